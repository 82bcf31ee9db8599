"""The states of a channel: chains, counts, SUSPEND, RESUME, ABORT, RESET, one step at a time."""

from __future__ import annotations

import pytest

from tests.copy.driver import Channel, Driver
from vnic.copy_engine import CopyEngine
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import COPY_BAR0, Chancmd, Chanerr, Chansts

NULL = {"null": 1, "compl_write": 1}


def channel_of(driver: Driver | None = None) -> Channel:
    """Channel 0 of an engine that takes a step when told."""
    return (driver or Driver(CopyEngine(manual=True))).channel(0)


def state_of(channel: Channel) -> ChanStatus:
    """As CHANSTS tells it now."""
    return channel.status


def step(channel: Channel, times: int = 1) -> None:
    """Steps that there must be."""
    for _ in range(times):
        assert channel.driver.engine.step(channel.index)


def copies(channel: Channel, count: int, **fields: int) -> list[tuple[int, int]]:
    """Post copies of 64 bytes; where each comes from and goes to."""
    memory = channel.driver.memory
    places = [(memory.put(bytes([n + 1]) * 64), memory.alloc(64)) for n in range(count)]
    channel.post(*(CopyDescriptor(size=64, src=source, dst=target, **fields) for source, target in places))
    return places


def done(channel: Channel, places: list[tuple[int, int]]) -> list[bool]:
    """Which of the copies were made; the others' targets must be untouched."""
    memory = channel.driver.memory
    found = [memory.get(target, 64) for _, target in places]
    for (source, _), data in zip(places, found, strict=True):
        assert data in (bytes(64), memory.get(source, 64))
    return [any(data) for data in found]


@pytest.mark.requirement("DMA-1", "DMA-3")
@pytest.mark.parametrize("half", [0, 4])
def test_writing_either_half_of_chainaddr_arms_the_channel(half: int) -> None:
    channel = channel_of()
    assert channel.read(COPY_BAR0.CHANSTS) == ChanStatus.HALTED
    channel.driver.engine.write32(COPY_BAR0.CHAINADDR.at(0) + half, 0)
    assert channel.read(COPY_BAR0.CHANSTS) == ChanStatus.ARMED
    channel.set_count(2)
    assert state_of(channel) == ChanStatus.ACTIVE
    channel.driver.engine.write32(COPY_BAR0.CHAINADDR.at(0) + half, 0x40)
    assert channel.read(COPY_BAR0.CHANSTS) == ChanStatus.ARMED
    assert channel.read(COPY_BAR0.CHANCMD) == 0
    assert channel.driver.engine.is_idle


@pytest.mark.requirement("DMA-1")
def test_a_new_chain_waits_for_the_descriptor_at_hand() -> None:
    channel = channel_of()
    old = copies(channel, 2)
    channel.start()
    step(channel)  # the first is fetched
    new = copies(channel, 1)
    first = channel.slot(0)
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(2))
    assert (state_of(channel), channel.read(COPY_BAR0.CHANCMD)) == (ChanStatus.ACTIVE, 0)
    channel.set_count(1)
    step(channel)
    assert (state_of(channel), channel.last) == (ChanStatus.ACTIVE, first)
    step(channel, 2)
    assert (state_of(channel), channel.last) == (ChanStatus.DONE, channel.slot(2))
    assert done(channel, old + new) == [True, False, True]
    assert channel.driver.engine.is_idle


@pytest.mark.requirement("DMA-1", "DMA-30")
def test_a_new_chain_with_nothing_counted_is_armed_when_the_old_descriptor_is_completed() -> None:
    channel = channel_of()
    channel.post(CopyDescriptor(**NULL), CopyDescriptor(**NULL))
    channel.start()
    step(channel)
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(1))
    step(channel)
    assert channel.completion == (ChanStatus.DONE, channel.slot(0))
    assert channel.read(COPY_BAR0.CHANSTS) == ChanStatus.ARMED
    channel.set_count(1)
    assert (state_of(channel), channel.last) == (ChanStatus.ACTIVE, channel.slot(0))


@pytest.mark.requirement("DMA-2", "DMA-44")
def test_a_channel_with_an_error_is_not_armed() -> None:
    channel = channel_of()
    channel.set_count(1)
    assert channel.chanerr == Chanerr.DESC_COUNT
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(0))
    assert channel.read(COPY_BAR0.CHANSTS) == ChanStatus.HALTED | Chansts.SOFT_ERR
    assert channel.read(COPY_BAR0.CHAINADDR) == channel.slot(0)
    assert channel.read(COPY_BAR0.CHANCMD) == 0
    channel.clear_error()
    assert channel.read(COPY_BAR0.CHANSTS) == ChanStatus.HALTED
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(0))
    assert state_of(channel) == ChanStatus.ARMED


@pytest.mark.requirement("DMA-3")
def test_what_is_counted_is_processed_once_and_in_order() -> None:
    channel = channel_of()
    places = copies(channel, 5)
    channel.start_at(channel.slot(0), 2)
    step(channel, 4)
    assert done(channel, places) == [True, True, False, False, False]
    assert state_of(channel) == ChanStatus.DONE
    assert not channel.driver.engine.step(0)
    channel.set_count(2)
    assert state_of(channel) == ChanStatus.DONE
    channel.set_count(4)
    step(channel, 2)
    channel.set_count(5)
    step(channel, 4)
    assert done(channel, places) == [True] * 5
    assert channel.driver.engine.is_idle


@pytest.mark.requirement("DMA-3", "DMA-52")
def test_the_count_is_modulo_2_to_the_16() -> None:
    channel = channel_of(Driver(CopyEngine()))
    word = CopyDescriptor(null=1)
    word.next = channel.slot(0)
    channel.post(word)
    steps = 0
    for count in (40_000, 65_535, 40_000 - 1):  # the last one is 40,000 further on
        channel.driver.engine.is_manual = True
        if steps == 0:
            channel.start_at(channel.slot(0), count)
        else:
            channel.set_count(count)
        steps += channel.driver.engine.run().steps
        assert state_of(channel) == ChanStatus.DONE
    assert steps == 65_536 + 40_000 - 1


@pytest.mark.requirement("DMA-3")
def test_a_count_set_back_before_anything_was_fetched_is_armed_again() -> None:
    channel = channel_of()
    channel.start_at(channel.slot(0), 3)
    channel.set_count(0)
    assert state_of(channel) == ChanStatus.ARMED
    assert channel.driver.engine.is_idle


@pytest.mark.requirement("DMA-4", "DMA-42")
def test_a_count_without_a_chain_is_an_error_and_moves_nothing() -> None:
    channel = channel_of()
    places = copies(channel, 1)
    channel.write(COPY_BAR0.CHANCMP, channel.completion_addr)
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(0))
    channel.command("ABORT")
    channel.set_count(0)
    assert channel.chanerr == 0
    channel.set_count(1)
    assert (state_of(channel), channel.chanerr) == (ChanStatus.HALTED, Chanerr.DESC_COUNT)
    step(channel)
    assert channel.driver.memory.get(channel.completion_addr, 8)[0] == ChanStatus.HALTED | Chansts.SOFT_ERR
    assert channel.driver.vectors() == [0]
    assert channel.driver.engine.is_idle
    assert done(channel, places) == [False]


@pytest.mark.requirement("DMA-5")
def test_next_is_that_of_the_copy() -> None:
    channel = channel_of()
    places = copies(channel, 3)
    channel.start_at(channel.slot(0), 1)
    step(channel)
    channel.driver.memory.set(channel.slot(0) + 24, channel.slot(2).to_bytes(8, "little"))
    step(channel)
    channel.set_count(2)
    step(channel, 2)
    assert done(channel, places) == [True, True, False]


@pytest.mark.requirement("DMA-6", "DMA-30", "DMA-31")
@pytest.mark.parametrize("after", [1, 2])
def test_suspend_finishes_the_descriptor_at_hand_with_completion_and_interrupt(after: int) -> None:
    channel = channel_of()
    places = copies(channel, 2, compl_write=1, int_en=1)
    channel.start()
    step(channel, after)
    channel.command("SUSPEND")
    assert state_of(channel) == ChanStatus.ACTIVE
    step(channel, 3 - after)
    assert state_of(channel) == ChanStatus.SUSPENDED
    assert channel.completion == (ChanStatus.SUSPENDED, channel.slot(0))
    assert channel.driver.vectors() == [0]
    assert channel.driver.engine.is_idle
    assert done(channel, places) == [True, False]


@pytest.mark.requirement("DMA-6", "DMA-7")
@pytest.mark.parametrize(
    ("count", "ran", "state"), [(None, 0, "ARMED"), (2, 0, "ACTIVE"), (2, 4, "DONE"), (2, 2, "ACTIVE")]
)
def test_suspend_between_descriptors_is_at_once_and_resume_goes_back(
    count: int | None, ran: int, state: str
) -> None:
    channel = channel_of()
    places = copies(channel, 2)
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(0))
    if count is not None:
        channel.set_count(count)
    step(channel, ran)
    channel.command("SUSPEND")
    assert state_of(channel) == ChanStatus.SUSPENDED
    assert channel.driver.engine.is_idle
    channel.command("RESUME")
    if ran:  # the last one is read again
        assert state_of(channel) == ChanStatus.ACTIVE
        step(channel)
    assert state_of(channel) == ChanStatus[state]
    channel.driver.engine.run()
    assert done(channel, places) == [count is not None] * 2


@pytest.mark.requirement("DMA-6", "DMA-7")
def test_a_halted_channel_ignores_suspend_and_resume() -> None:
    channel = channel_of()
    for command in ("SUSPEND", "RESUME", "ABORT", "RESET"):
        channel.command(command)
        assert channel.read(COPY_BAR0.CHANSTS) == ChanStatus.HALTED
    assert channel.chanerr == 0


@pytest.mark.requirement("DMA-6")
def test_a_suspended_channel_counts_and_moves_nothing() -> None:
    channel = channel_of()
    places = copies(channel, 1)
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(0))
    channel.command("SUSPEND")
    channel.set_count(1)
    assert state_of(channel) == ChanStatus.SUSPENDED
    assert channel.driver.engine.is_idle
    channel.command("RESUME")
    channel.driver.engine.run()
    assert done(channel, places) == [True]


@pytest.mark.requirement("DMA-7", "INV-61")
def test_resume_reads_the_last_descriptor_again_for_its_next() -> None:
    channel = channel_of()
    places = copies(channel, 3)
    channel.start()
    step(channel)
    channel.command("SUSPEND")
    step(channel)
    edited = CopyDescriptor.unpack(channel.driver.memory.get(channel.slot(0), 64))
    edited.next, edited.size = channel.slot(2), 0
    channel.driver.memory.set(channel.slot(0), edited.pack())
    channel.set_count(2)
    channel.command("RESUME")
    step(channel)
    assert (state_of(channel), channel.chanerr) == (ChanStatus.ACTIVE, 0)
    step(channel, 2)
    assert state_of(channel) == ChanStatus.DONE
    assert done(channel, places) == [True, False, True]


@pytest.mark.requirement("DMA-7")
def test_resume_takes_back_a_suspend_that_has_not_taken_effect() -> None:
    channel = channel_of()
    places = copies(channel, 2)
    channel.start()
    step(channel)
    channel.command("SUSPEND")
    channel.command("RESUME")
    step(channel, 3)
    assert state_of(channel) == ChanStatus.DONE
    assert done(channel, places) == [True, True]
    channel.command("RESUME")
    assert channel.driver.engine.is_idle


@pytest.mark.requirement("DMA-7")
def test_a_descriptor_that_cannot_be_read_again_is_an_error() -> None:
    channel = channel_of()
    copies(channel, 2)
    channel.start_at(channel.slot(0), 1)
    step(channel, 2)
    channel.command("SUSPEND")
    channel.driver.engine.unmap_all()
    channel.command("RESUME")
    step(channel)
    assert (state_of(channel), channel.chanerr) == (ChanStatus.HALTED, Chanerr.NEXT_ADDR)
    assert channel.read(COPY_BAR0.CDAR) == channel.last == channel.slot(0)


@pytest.mark.requirement("DMA-1", "DMA-7")
def test_a_new_chain_ends_a_suspension() -> None:
    channel = channel_of()
    places = copies(channel, 2)
    channel.start()
    channel.command("SUSPEND")
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(1))
    assert state_of(channel) == ChanStatus.ARMED
    channel.set_count(1)
    channel.driver.engine.run()
    assert done(channel, places) == [False, True]


@pytest.mark.requirement("DMA-8", "INV-62")
@pytest.mark.parametrize(("after", "last"), [(0, None), (1, None), (2, 0), (3, 0), (4, 0), (5, 1)])
def test_abort_stops_within_the_access(after: int, last: int | None) -> None:
    channel = channel_of()
    places = copies(channel, 2, compl_write=1, int_en=1)
    channel.start()
    step(channel, after)
    before = bytes(channel.driver.memory.bytes)
    current = channel.read(COPY_BAR0.CDAR)
    channel.command("ABORT")
    assert channel.driver.engine.is_idle
    assert bytes(channel.driver.memory.bytes) == before
    assert (state_of(channel), channel.chanerr) == (ChanStatus.HALTED, 0)
    assert channel.last == (0 if last is None else channel.slot(last))
    assert channel.read(COPY_BAR0.CHANCMD) >> 16 == 2
    assert channel.read(COPY_BAR0.CDAR) == current
    assert channel.read(COPY_BAR0.CHAINADDR) == channel.slot(0)
    assert done(channel, places)[1] == (after == 5)


@pytest.mark.requirement("DMA-9", "DMA-11", "INV-62")
@pytest.mark.parametrize("after", range(7))
def test_reset_forgets_the_chain_within_the_access(after: int) -> None:
    channel = channel_of()
    copies(channel, 2, compl_write=1, int_en=1)
    channel.write(COPY_BAR0.CHANERRMSK, 0x41)
    channel.write(COPY_BAR0.DCACTRL, 0x1234)
    channel.start()
    step(channel, after)
    before = bytes(channel.driver.memory.bytes)
    channel.command("RESET")
    assert channel.driver.engine.is_idle
    assert channel.read(COPY_BAR0.CHANCMD) == 0
    assert channel.read(COPY_BAR0.CHANSTS) == ChanStatus.HALTED
    for register in (COPY_BAR0.CHAINADDR, COPY_BAR0.CDAR, COPY_BAR0.CHANERR):
        assert channel.read(register) == 0
    assert channel.driver.engine.read32(COPY_BAR0.ATTNSTATUS.offset) == 0
    assert channel.read(COPY_BAR0.CHANCTRL) & 0xFFFF == 0x1C
    assert channel.read(COPY_BAR0.CHANERRMSK) == 0x41
    assert channel.read(COPY_BAR0.DCACTRL) == 0x1234
    assert channel.read(COPY_BAR0.CHANCMP) == channel.completion_addr
    assert bytes(channel.driver.memory.bytes) == before
    channel.set_count(2)
    assert channel.chanerr == Chanerr.DESC_COUNT


@pytest.mark.requirement("DMA-10")
@pytest.mark.parametrize(
    "command",
    [Chancmd.START, Chancmd.APPEND, Chancmd.SUSPEND | Chancmd.RESUME, Chancmd.ABORT | Chancmd.RESET, 0x3F],
)
@pytest.mark.parametrize("after", [0, 1, 2])
def test_several_commands_at_once_and_those_of_version_1_halt(command: int, after: int) -> None:
    channel = channel_of()
    places = copies(channel, 1, compl_write=1)
    channel.start()
    step(channel, after)
    channel.driver.engine.write8(COPY_BAR0.CHANCMD.at(0), command)
    assert (state_of(channel), channel.chanerr) == (ChanStatus.HALTED, Chanerr.CHANCMD)
    assert channel.read(COPY_BAR0.CHANCMD) >> 16 == 1
    channel.driver.engine.run()
    last = channel.slot(0) if after == 2 else 0
    assert channel.completion == (ChanStatus.HALTED, last)
    assert done(channel, places) == [after == 2]
    channel.command("RESET")
    assert channel.read(COPY_BAR0.CHANSTS) == ChanStatus.HALTED


@pytest.mark.requirement("DMA-10")
def test_a_command_is_done_before_a_count_in_the_same_access() -> None:
    channel = channel_of()
    places = copies(channel, 1)
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(0))
    channel.write(COPY_BAR0.CHANCMD, 1 << 16 | Chancmd.SUSPEND)
    assert (state_of(channel), channel.driver.engine.is_idle) == (ChanStatus.SUSPENDED, True)
    channel.write(COPY_BAR0.CHANCMD, 1 << 16 | Chancmd.RESET)
    assert (state_of(channel), channel.chanerr) == (ChanStatus.HALTED, Chanerr.DESC_COUNT)
    assert channel.read(COPY_BAR0.CHANCMD) == 1 << 16
    channel.write(COPY_BAR0.CHANCMD, Chancmd.RESET)
    assert (channel.chanerr, channel.read(COPY_BAR0.CHANCMD)) == (0, 0)
    assert done(channel, places) == [False]


@pytest.mark.requirement("DMA-12")
def test_a_completion_goes_where_chancmp_is_when_it_is_written() -> None:
    channel = channel_of()
    channel.post(CopyDescriptor(**NULL))
    other = channel.driver.memory.put(bytes(8))
    channel.start()
    step(channel)
    channel.write(COPY_BAR0.CHANCMP, other | 7)  # what a driver must not: the channel is ACTIVE
    step(channel)
    assert channel.driver.memory.get(channel.completion_addr, 8) == bytes(8)
    word = int.from_bytes(channel.driver.memory.get(other, 8), "little")
    assert word == channel.slot(0) | ChanStatus.DONE
