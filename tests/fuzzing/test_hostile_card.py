"""The hostile card: it lies, goes deaf, forges and scribbles as it is told, and is honest otherwise."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from vnic.fuzz.driver_machine import DriverMachine
from vnic.fuzz.guarded_memory import GuardedMemory
from vnic.fuzz.hostile_card import ENTRY_BYTES, HostileCard
from vnic.fuzz.hostile_driver import HostileDriverScene, _altered
from vnic.fuzz.hostile_function import Lie, Twist
from vnic.fuzz.scene import Act, Broken, Overrun
from vnic.gen.descriptors import RxCompletion
from vnic.gen.registers import BAR0
from vnic.testbench.driver import load_driver

ECHO = BAR0.TEST_ECHO.offset


@pytest.fixture
def machine() -> Iterator[DriverMachine]:
    """A machine whose driver is running."""
    made = DriverMachine(load_driver(), seed=None, interrupt="msix", keywords={})
    made.adapter.initialize()
    made.adapter.bind(made.protocol)
    made.adapter.restart()
    made.settle()
    yield made
    made.abandon()


@pytest.fixture
def card(machine: DriverMachine) -> HostileCard:
    """Its card."""
    return machine.card


@pytest.mark.requirement("FUZ-51")
@pytest.mark.parametrize(
    ("twist", "value", "heard"),
    [
        (Twist.SET, 7, 7),
        (Twist.XOR, 1, 0x2469),
        (Twist.ADD, 2, 0x246A),
        (Twist.ONES, 0, 0xFFFF_FFFF),
        (Twist.ZERO, 5, 0),
    ],
)
def test_a_lie_is_told_so_many_times(card: HostileCard, twist: Twist, value: int, heard: int) -> None:
    window = card.window(0)
    window.write32(ECHO, 0x1234)
    card.lies[0, ECHO] = Lie(twist, value, 2)
    assert [window.read32(ECHO) for _ in range(3)] == [heard, heard, 0x2468]
    assert card.told == 2


@pytest.mark.requirement("FUZ-51")
def test_a_deaf_card_hears_again(card: HostileCard) -> None:
    window = card.window(0)
    window.write32(ECHO, 1)
    card.deaf[0, ECHO] = 2
    for value in (5, 6, 7):
        window.write32(ECHO, value)
        heard = window.read32(ECHO)
    assert heard == 14
    card.deaf[0, ECHO] = 1
    window.write32(ECHO, 9)
    assert window.read32(ECHO) == 14


@pytest.mark.requirement("FUZ-51")
def test_interrupts_are_not_held_for_ever(machine: DriverMachine) -> None:
    machine.card.hold()
    for _ in range(5):
        machine.protocol.send(b"\xff" * 60)
    machine.settle()
    assert machine.protocol.sends_outstanding == 5
    for _ in range(100):
        machine.card.window(0).read32(ECHO)
    machine.settle()
    assert machine.protocol.sends_outstanding == 0


@pytest.mark.requirement("FUZ-51", "FUZ-54")
def test_who_spins_on_a_register_is_stopped(card: HostileCard) -> None:
    with pytest.raises(Overrun, match="spins"):
        while True:
            card.window(0).read32(ECHO)


@pytest.mark.requirement("FUZ-51")
def test_a_forged_completion_is_the_next_that_the_driver_takes(machine: DriverMachine) -> None:
    card = machine.card
    entry = RxCompletion(len=60, frame_len=60, index=0, sop=1, eop=1, type=1).pack()
    assert card.forge_completion(0, bytes(entry))
    machine.adapter.check_for_hang()  # it looks for completions whose interrupt was lost
    machine.settle()
    assert machine.adapter.receives.indicated == 1


@pytest.mark.requirement("FUZ-51")
def test_scribbling_reaches_what_the_driver_gave_and_nothing_else(machine: DriverMachine) -> None:
    card, memory = machine.card, machine.memory
    given = {addr: length for addr, length in card.writable.items()}
    assert given
    outside = memory.alloc(64)
    before = bytes(outside.view)
    for number in range(len(given) + 2):
        assert card.scribble(number, 1 << 40, b"\xee" * 4096)
    assert bytes(outside.view) == before
    memory.check_all()
    outside.free()


@pytest.mark.requirement("FUZ-52")
def test_bounded_alterations_leave_what_binds_the_driver() -> None:
    rng = random.Random(1)
    for number in range(300):
        made = RxCompletion(len=60, frame_len=60, index=number % 16, sop=1, eop=1, type=1, gen=number & 1)
        entry = bytes(made.pack())
        after = RxCompletion.unpack(_altered(entry, rng, is_unbounded=False))
        assert (after.index, after.gen, after.type, after.len, after.frame_len) == (
            made.index, made.gen, made.type, 60, 60,
        )  # fmt: skip
        assert len(_altered(entry, rng, is_unbounded=True)) == ENTRY_BYTES


@pytest.mark.requirement("FUZ-52")
def test_a_bounded_card_does_nothing_that_hardware_could_not() -> None:
    bounded = HostileDriverScene({"unbounded": False})
    free = {"invent", "ignore", "forge", "scribble", "send_message"}
    try:
        assert {name for name, kind in bounded.ACTS.items() if not kind.when(bounded)} >= free
        for name in free:
            kind = bounded.ACTS[name]
            simplest = {argument: choice.simplest for argument, choice in kind.choices.items()}
            assert not bounded.perform(Act(name, simplest))
    finally:
        bounded.abandon()


@pytest.mark.requirement("FUZ-51")
def test_an_honest_card_is_as_the_card_behind_it(machine: DriverMachine) -> None:
    machine.card.lies[0, ECHO] = Lie(Twist.SET, 0, 99)
    machine.card.lost_interrupts = 9
    machine.card.is_holding = True
    machine.card.reform()
    for _ in range(5):
        machine.protocol.send(b"\xff" * 60)
    machine.settle()
    assert machine.wire.frames == 5 and machine.protocol.sends_outstanding == 0


@pytest.mark.requirement("FUZ-53")
def test_memory_knows_who_writes_behind_and_after() -> None:
    memory = GuardedMemory(1 << 16)
    first, second = memory.alloc(100), memory.alloc(100)
    memory.write(first.address + 100, b"!")
    with pytest.raises(Broken, match="memory-guard"):
        memory.check_all()
    memory.slice(first.address + 100, 1)[:] = b"\x50"
    first.free()
    memory.write(first.address + 10, b"!")
    with pytest.raises(Broken, match="memory-after-free"):
        memory.alloc(100)
    second.free()
