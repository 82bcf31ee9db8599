"""The invariants of NetDMA about chains, 58 to 63, on the registers of the engine; each at every step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import pytest

from tests.copy.oracle import IRQ
from tests.copy.pair import DATA, HOLE, Shape
from tests.copy.scene import COMPLETION, Log, Scene, completion_word, copy, slot
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp
from vnic.gen.registers import COPY_BAR0, Chanerr

LEFT, RIGHT, AWAY = DATA.addr + 0x100, DATA.addr + 0x900, DATA.addr + 0x3200
LENGTH = 0x300


def swap() -> list[CopyDescriptor]:
    """Left and right change places: once is not twice, and the order matters."""
    ways = ((LEFT, AWAY), (RIGHT, LEFT), (AWAY, RIGHT))
    return [CopyDescriptor(size=LENGTH, src=source, dst=target, fence=1) for source, target in ways]


def swapped(scene: Scene) -> list[tuple[int, bytes]]:
    """What a swap leaves."""
    left, right = scene.old(LEFT, LENGTH), scene.old(RIGHT, LENGTH)
    return [(LEFT, right), (RIGHT, left), (AWAY, left)]


def moments(most: int, index: int = 0) -> Iterator[tuple[int, Scene]]:
    """A scene for each number of steps that a test may let pass first."""
    for steps in range(most + 1):
        with Scene(Shape(is_overlapping=False), index=index) as scene:
            yield steps, scene


# -- 58 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-58", "DMA-4")
@pytest.mark.parametrize("command", [None, "ABORT", "RESET"])
def test_an_append_without_a_start_moves_nothing(command: str | None) -> None:
    for steps, scene in moments(7 if command else 0):
        log = Log(scene)
        scene.write("CHANCTRL", 1)
        scene.chain(*swap())
        if command:
            scene.start(2)
            for _ in range(steps):
                scene.pair.step(0)
            scene.command(command)
        scene.before = scene.image()
        fetched = len(log.fetched)
        for count in (1, 3, 0xFFFF):
            scene.count(count)
            assert scene.pair.run(50) == 0
        assert scene.state() == ChanStatus.HALTED
        assert scene.read("CHANERR") == Chanerr.DESC_COUNT
        assert len(log.fetched) == fetched
        scene.assert_only([])
        scene.recover()


# -- 59 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-59", "DMA-3")
@pytest.mark.parametrize("appends", [(1, 2, 3), (2, 3), (3, 3), (1, 1, 3)], ids=str)
@pytest.mark.parametrize("index", [0, 1])
def test_an_append_at_any_step_loses_and_doubles_nothing(appends: tuple[int, ...], index: int) -> None:
    for steps, scene in moments(10, index):
        log = Log(scene)
        scene.chain(*swap())
        scene.start(appends[0])
        for count in appends[1:]:
            for _ in range(steps):
                scene.pair.step(index)
            scene.count(count)
        scene.run()
        assert log.fetched == [slot(0), slot(1), slot(2)]
        assert (scene.state(), scene.last, scene.dmacount) == (ChanStatus.DONE, slot(2), 3)
        scene.assert_only(swapped(scene))


@pytest.mark.requirement("INV-59", "DMA-3")
def test_a_count_wraps_around() -> None:
    with Scene() as scene:
        engine, count = scene.pair.engine, COPY_BAR0.CHANCMD.offset + 2
        scene.chain(CopyDescriptor(null=1, next=slot(0)))
        engine.write(0, COPY_BAR0.CHAINADDR.offset, slot(0), 8)
        for value, more in ((0xFFFF, 0xFFFF), (0xFFFF, 0), (2, 3), (1, 0xFFFF)):
            engine.write(0, count, value, 2)
            assert engine.run().steps == more
            assert engine.read(0, COPY_BAR0.CHANSTS.offset, 8) == slot(0) | ChanStatus.DONE


@pytest.mark.requirement("INV-59", "DMA-5")
def test_the_next_of_the_last_one_is_not_followed_and_not_read_again() -> None:
    with Scene() as scene:
        log = Log(scene)
        scene.chain(copy(8), copy(8, at=1), copy(8, at=2, next=HOLE.addr))
        scene.start(1)
        scene.run()
        scene.pair.set(slot(0) + 24, HOLE.addr.to_bytes(8, "little"))
        scene.count(3)
        scene.run()
        assert log.fetched == [slot(0), slot(1), slot(2)]
        assert scene.state() == ChanStatus.DONE


# -- 60 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-60", "DMA-1")
@pytest.mark.parametrize("flags", [{}, {"compl_write": 1}, {"int_en": 1, "compl_write": 1}], ids=str)
def test_a_start_on_a_running_chain_finishes_one_descriptor_and_drops_the_rest(flags: dict[str, int]) -> None:
    for steps, scene in moments(16):
        log = Log(scene)
        old = [
            copy(5000, at=n, dst=DATA.addr + 0x2000 + n * 0x1400, src=DATA.addr + n, **flags) for n in (0, 1)
        ]
        scene.chain(*old)
        scene.chain(copy(16, at=7, src=DATA.addr + 0x1F00, dst=DATA.addr + 0x5F00), first=8)
        scene.start(2)
        taken = sum(scene.pair.step(0) for _ in range(steps))
        begun = list(log.fetched)
        is_at_hand = scene.pair.oracle.channels[0].hand is not None
        scene.start(1, slot(8))
        assert scene.state() == ChanStatus.ACTIVE
        scene.run()
        assert log.fetched == [*begun, slot(8)]
        assert (scene.state(), scene.last, scene.dmacount) == (ChanStatus.DONE, slot(8), 1)
        whole = [(d.dst, scene.old(d.src, d.size)) for d in old[: len(begun)]]
        completed = [(COMPLETION, scene.pair.get(COMPLETION, 8))]
        if flags and begun:
            state = ChanStatus.ACTIVE if is_at_hand or len(begun) == 1 else ChanStatus.DONE
            completed = [(COMPLETION, completion_word(slot(len(begun) - 1), state))]
        new = (DATA.addr + 0x5F00, scene.old(DATA.addr + 0x1F00, 16))
        scene.assert_only([*whole, *completed, new])
        assert taken <= steps


# -- 61 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-61", "DMA-6", "DMA-7")
@pytest.mark.parametrize("flags", [{}, {"compl_write": 1}], ids=str)
def test_a_suspend_finishes_one_descriptor_and_its_next_may_then_be_edited(flags: dict[str, int]) -> None:
    for steps, scene in moments(6):
        log = Log(scene)
        scene.chain(*(copy(at=n, **flags) for n in range(3)), copy(at=5, **flags))
        scene.start(3)
        scene.step(steps)
        fetched = len(log.fetched)
        scene.command("SUSPEND")
        assert (scene.state() == ChanStatus.SUSPENDED) == (scene.pair.oracle.channels[0].hand is None)
        scene.run()
        assert scene.state() == ChanStatus.SUSPENDED
        assert len(log.fetched) == fetched
        returned = scene.last
        assert returned == (slot(fetched - 1) if fetched else 0)
        copied = [(copy(at=n).dst, scene.old(copy(at=n).src, 256)) for n in range(fetched)]
        told = [(COMPLETION, scene.pair.get(COMPLETION, 8))] if flags else []
        scene.assert_only([*copied, *told])
        if returned:
            scene.pair.set(returned + 24, slot(3).to_bytes(8, "little"))
        scene.count(fetched + 1)
        scene.command("RESUME")
        scene.run()
        after = slot(3) if returned else slot(0)
        assert (scene.state(), scene.last) == (ChanStatus.DONE, after)
        assert log.fetched[fetched:] == ([returned] if returned else []) + [after]


@pytest.mark.requirement("INV-61", "DMA-6", "INV-63")
def test_a_completion_says_that_the_channel_is_suspended() -> None:
    for steps in (1, 2):
        with Scene() as scene:
            scene.chain(copy(compl_write=1, int_en=1), copy(at=1, compl_write=1))
            scene.start(2)
            scene.step(steps)
            scene.command("SUSPEND")
            assert scene.state() == ChanStatus.ACTIVE
            scene.run()
            assert scene.pair.get(COMPLETION, 8) == completion_word(slot(0), ChanStatus.SUSPENDED)
            assert scene.vectors == [0]


# -- 62 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-62", "DMA-8", "DMA-9")
@pytest.mark.parametrize("command", ["ABORT", "RESET"])
def test_nothing_is_written_after_abort_or_reset(command: str) -> None:
    for steps, scene in moments(12):
        log = Log(scene)
        scene.chain(*(copy(5000, at=n, compl_write=1, int_en=1) for n in range(2)))
        scene.start(2)
        for _ in range(steps):
            scene.pair.step(0)
        last, heard = scene.last, scene.vectors
        scene.command(command)
        assert (scene.state(), scene.last) == (ChanStatus.HALTED, last if command == "ABORT" else 0)
        scene.before, events = scene.image(), len(log.events)
        assert scene.pair.run(50) == 0
        scene.pair.advance(1_000_000)
        assert scene.vectors == [] or heard == []
        scene.write("CHANCTRL", 0x1D)
        scene.command("RESUME")
        assert scene.pair.run(50) <= 1  # an interrupt that waited
        assert len(log.events) == events
        scene.assert_only([])
        assert scene.state() == ChanStatus.HALTED


@pytest.mark.requirement("INV-62", "DMA-9")
def test_no_earlier_descriptor_is_fetched_after_reset() -> None:
    for steps, scene in moments(9):
        log = Log(scene)
        scene.chain(*(copy(at=n, compl_write=1) for n in range(3)))
        scene.start(3)
        scene.step(steps)
        scene.command("RESET")
        names = ("CHAINADDR", "CDAR", "CHANERR", "CHANSTS", "CHANCMD")
        assert [scene.read(name) for name in names] == [0, 0, 0, ChanStatus.HALTED, 0]
        fetched = len(log.fetched)
        scene.chain(copy(16, at=6), first=20)
        scene.command("RESUME")
        scene.start(1, slot(20))
        scene.command("SUSPEND")
        scene.command("RESUME")
        scene.run()
        assert log.fetched[fetched:] == [slot(20)]


# -- 63 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-63", "DMA-30", "DMA-31")
@pytest.mark.parametrize(
    "kind", [{}, {"null": 1}, {"op": CopyOp.FILL}, {"op": CopyOp.CONTEXT_CHANGE}], ids=str
)
@pytest.mark.parametrize("others", list(product((0, 1), repeat=2)), ids=str)
def test_status_and_interrupt_come_exactly_when_asked_for(
    kind: dict[str, int], others: tuple[int, int]
) -> None:
    for status, interrupt, index in product((0, 1), (0, 1), (0, 1)):
        with Scene(index=index) as scene:
            asked = copy(64, **kind, compl_write=status, int_en=interrupt)
            other = CopyDescriptor(null=1, compl_write=others[0], int_en=others[1])
            scene.chain(asked, other)
            scene.start(2)
            words = [scene.pair.get(scene.completion, 8)]
            vectors = []
            while scene.pair.step(index):
                words.append(scene.pair.get(scene.completion, 8))
                vectors += scene.vectors
                scene.write("CHANCTRL", 1)
            expected = [completion_word(slot(0), ChanStatus.ACTIVE)] * status
            expected += [completion_word(slot(1), ChanStatus.DONE)] * others[0]
            assert [new for old, new in pairwise(words) if old != new] == expected
            assert vectors == [index] * (interrupt + others[1])


@pytest.mark.requirement("INV-63", "DMA-32", "DMA-33")
def test_an_interrupt_that_is_not_asked_for_never_comes() -> None:
    with Scene() as scene:
        scene.chain(*(copy(at=n, compl_write=1) for n in range(3)))
        scene.start(3)
        scene.run()
        scene.pair.advance(1 << 40)
        assert not scene.pair.step(IRQ)
        assert scene.vectors == []
