"""What hostile programs and snapshots once did to the card, each as the shortest case."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum

import pytest

from vnic.abi import Engine, EventType, OpCode, Result
from vnic.device import Device
from vnic.fuzz import strategies
from vnic.fuzz.bring_up import BRING_UP, RING_COUNT, check_card, cq_ring
from vnic.fuzz.coverage import COUNTERS
from vnic.fuzz.oplang import Step, WorldCode
from vnic.fuzz.records import Phase, is_mid_receive, records, transmit_phase
from vnic.fuzz.world import World
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE

requirement = pytest.mark.requirement

_ALL = (1 << 64) - 1
_BIG = strategies.real_frames()[-1]


class Tag(IntEnum):
    """Fields of a snapshot that were not checked."""

    PACKET_OFFSET = 0x12
    PACKET_SPAN = 0x14
    PAIR_IS_LIVE = 0x30
    RING_ERROR = 0x25
    RXF_OFFSET = 0x53
    RXF_HDR_LEN = 0x54
    TXF_FRAMES = 0x6E
    TXF_BYTES = 0x6F
    VECTOR_NEXT = 0x80
    REG_WORD = 0x202
    PCI_REMOVED = 0x211
    PCI_OUT_COUNT = 0x216


def doctored(image: bytes, tag: int, change: Callable[[int], int], nth: int = 0) -> bytes:
    """The snapshot with the n-th record of a tag changed."""
    record = [record for record in records(image) if record.tag == tag][nth]
    value = change(record.number).to_bytes(len(record.value), "little")
    return image[: record.start] + value + image[record.start + len(value) :]


def up(*more: Step) -> World:
    """A card that was brought up, and then did more."""
    world = World()
    world.apply((*BRING_UP, *more))
    return world


def arrival(frame: bytes = _BIG) -> Step:
    """A frame arrives."""
    return Step(OpCode.RECEIVE, data=frame)


def steps(engine: Engine, count: int) -> list[Step]:
    """Single steps."""
    return [Step(OpCode.STEP, engine)] * count


@requirement("PCI-46")
def test_reserved_bits_of_the_message_table_are_not_loaded() -> None:
    with up() as world:
        image = world.device.save()
        entry = MSIX_TABLE.ENTRY_ADDR_LO.at(3) << 32
        words = [r.number for r in records(image) if r.tag == Tag.REG_WORD]
        nth = words.index(entry | 0xFEE0_0000)
        assert world.reload(doctored(image, Tag.REG_WORD, lambda word: word | 1, nth)) == Result.EFORMAT


@requirement("PCI-46")
def test_reserved_bits_of_registers_are_not_loaded() -> None:
    """A read-only register's value is not the snapshot's to say."""
    with up() as world:
        image = world.device.save()
        words = [r.number for r in records(image) if r.tag == Tag.REG_WORD]
        control = BAR0.MAC_TX_CTRL.offset << 32
        nth = max(n for n, word in enumerate(words) if word & ~0xFFFF_FFFF == control)
        permanent = BAR0.MAC_PERM_ADDR.offset << 32 | 0x1234
        assert world.reload(doctored(image, Tag.REG_WORD, lambda _: permanent, nth)) == Result.EFORMAT


@pytest.mark.parametrize("tag", [Tag.PACKET_OFFSET, Tag.PACKET_SPAN], ids=str)
@pytest.mark.parametrize("change", [64, -64, 1, -1])
def test_frames_in_a_snapshot_do_not_overlap(tag: Tag, change: int) -> None:
    with up(arrival(), arrival()) as world:
        image = world.device.save()
        assert world.reload(image) == Result.OK
        assert world.reload(doctored(image, tag, lambda old: old + change, 1)) == Result.EFORMAT


@requirement("RST-8", "PCI-46")
def test_a_card_that_refused_a_snapshot_is_there() -> None:
    """The half of the snapshot that was read said that the card is removed."""
    with up() as world:
        image = doctored(world.device.save(), Tag.PCI_REMOVED, lambda _: 1)
        assert world.reload(image[:-1]) == Result.EFORMAT
        assert world.device.config_read(CONFIG.ID.offset) != 0xFFFF_FFFF
        world.apply(BRING_UP)
        check_card(world)


@requirement("RUN-7")
def test_a_refused_snapshot_leaves_no_interrupts_of_the_past() -> None:
    """A count of queued interrupts was taken over before the interrupts themselves."""
    with World() as fresh, World() as world:
        world.device.config_write(CONFIG.COMMAND.offset, CONFIG.COMMAND.encode(MEMORY=1, MASTER=1))
        world.act(Step(OpCode.WRITE, 0, 4, BAR0.INT_CTRL.offset, BAR0.INT_CTRL.encode(MASTER_ENABLE=1)))
        world.act(Step(OpCode.WRITE, 0, 4, BAR0.VEC_CTRL.at(0), BAR0.VEC_CTRL.encode(ENABLE=1)))
        world.act(Step(OpCode.WRITE, 0, 4, BAR0.TEST_FIRE.offset, 0))
        world.settle()
        assert len(world.device.interrupts()) == 1  # the line went up, and its slot in the queue is stale now
        world.device.reset()
        assert [interrupt.data for interrupt in world.device.interrupts()] == [0]
        image = doctored(fresh.device.save(), Tag.PCI_OUT_COUNT, lambda _: 9)
        assert world.reload(image) == fresh.reload(image) == Result.EFORMAT
        assert world.device.interrupts() == fresh.device.interrupts() == []
        assert world.device.state_hash() == fresh.device.state_hash()


@requirement("PCI-27")
def test_a_refused_snapshot_still_lets_the_line_fall_once() -> None:
    with World() as world:
        world.device.config_write(CONFIG.COMMAND.offset, CONFIG.COMMAND.encode(MEMORY=1, MASTER=1))
        world.act(Step(OpCode.WRITE, 0, 4, BAR0.INT_CTRL.offset, BAR0.INT_CTRL.encode(MASTER_ENABLE=1)))
        world.act(Step(OpCode.WRITE, 0, 4, BAR0.VEC_CTRL.at(0), BAR0.VEC_CTRL.encode(ENABLE=1)))
        world.act(Step(OpCode.WRITE, 0, 4, BAR0.TEST_FIRE.offset, 0))
        world.settle()
        assert [interrupt.data for interrupt in world.device.interrupts()] == [1]
        assert world.reload(b"") == Result.EFORMAT
        assert [interrupt.data for interrupt in world.device.interrupts()] == [0]


@requirement("INT-6")
def test_moderation_in_a_snapshot_ends() -> None:
    """No interval lasts longer than the register can say."""
    with up() as world:
        image = world.device.save()
        assert world.reload(doctored(image, Tag.VECTOR_NEXT, lambda _: 0xFFFF_FFFF)) == Result.OK
        assert world.reload(doctored(image, Tag.VECTOR_NEXT, lambda _: 1 << 33)) == Result.EFORMAT


def test_a_pair_with_nothing_to_save_is_not_live() -> None:
    count = Step(OpCode.WRITE, 0, 4, BAR0.QP_CQ_COUNT.at(2), 7)
    with up(count, Step(OpCode.WRITE, 0, 4, BAR0.QP_CQ_CTRL.at(2), 1)) as world:
        image = world.device.save()
        errors = [record.number for record in records(image) if record.tag == Tag.RING_ERROR]
        nth = next(n for n, error in enumerate(errors) if error)
        assert world.reload(doctored(image, Tag.RING_ERROR, lambda _: 0, nth)) == Result.EFORMAT


def test_a_frame_in_delivery_starts_at_its_start() -> None:
    """An offset before the first buffer made what is left negative: bytes behind the frame were read."""
    with up(arrival(), *steps(Engine.RX, 1)) as world:
        image = world.device.save()
        assert not is_mid_receive(image)
        wrong = doctored(image, Tag.RXF_OFFSET, lambda _: 400)
        assert world.reload(doctored(wrong, Tag.RXF_HDR_LEN, lambda _: len(_BIG))) == Result.EFORMAT
        assert world.reload(wrong) == Result.EFORMAT


@pytest.mark.parametrize("tag", [Tag.TXF_BYTES, Tag.TXF_FRAMES])
def test_a_large_send_has_sent_what_its_segments_hold(tag: Tag) -> None:
    """Any number of bytes sent was accepted, and taken from the ring's credit: it overflowed."""
    doorbell = Step(OpCode.WRITE, 0, 4, BAR0.QP_TX_TAIL.at(0), 8)
    with up(doorbell, *steps(Engine.TX, 7), *steps(Engine.LSO, 3)) as world:
        image = world.device.save()
        assert transmit_phase(image) == Phase.SEGMENT
        assert world.reload(image) == Result.OK
        assert world.reload(doctored(image, tag, lambda _: 0x8000_0000)) == Result.EFORMAT


@requirement("RX-1", "RING-15", "RUN-7")
def test_a_frame_whose_completion_cannot_be_written_is_counted_alike() -> None:
    """Together with others it was counted as received, alone as dropped by the stop."""
    unmap = Step(WorldCode.UNMAP, addr=cq_ring(0) & ~4095, value=4096)
    run = Step(OpCode.RUN, addr=64, value=_ALL)
    frames = [arrival(frame) for frame in strategies.real_frames() if len(frame) < 512]
    with up(*frames, *steps(Engine.RX, 4), unmap, run) as world, World() as twin:
        twin.watch()
        twin.apply((*BRING_UP, *frames, *steps(Engine.RX, 4), unmap, run))
        assert world.device.read(0, BAR0.STAT_RX_DROP_RESET.offset, 8) == 1
        assert world.device.state_hash() == twin.device.state_hash()
        fates = [
            c for c in COUNTERS if c.name.startswith("STAT_RX_DROP") or re.match("STAT_RX_.*_FRAMES", c.name)
        ]
        assert sum(world.device.read(0, fate.offset, fate.bytes) for fate in fates) == len(frames)


@requirement("RING-7")
@pytest.mark.parametrize("register", [BAR0.QP_RX_TAIL, BAR0.QP_CQ_TAIL], ids=str)
def test_taking_back_what_a_frame_needs_stops_the_ring(register: object) -> None:
    """Descriptors of the frame in delivery were taken back: fetching none of them went on for ever."""
    assert register in (BAR0.QP_RX_TAIL, BAR0.QP_CQ_TAIL)
    tail = BAR0.QP_RX_TAIL if register is BAR0.QP_RX_TAIL else BAR0.QP_CQ_TAIL
    pairs = [Step(OpCode.WRITE, 0, 4, tail.at(pair), 1) for pair in (0, 1)]
    with up(arrival(), *steps(Engine.RX, 2)) as world:
        assert is_mid_receive(world.device.save())
        world.apply(tuple(pairs))
        assert world.reload(world.device.save()) == Result.OK
        assert world.settle()


@requirement("PCI-44")
def test_an_access_is_one_event() -> None:
    with Device(manual=True) as device:
        seen: list[EventType] = []
        device.observe(lambda event: seen.append(event.type), EventType)
        device.read(0, BAR0.GLB_TYPE.offset)
        device.write(0, BAR0.TEST_ECHO.offset, 1)
        device.config_read(0)
        device.config_write(CONFIG.COMMAND.offset, 6)
    assert seen == [EventType.MMIO_READ, EventType.MMIO_WRITE, EventType.CFG_READ, EventType.CFG_WRITE]


def test_a_ring_that_is_full_of_reports_is_saved() -> None:
    """The completion ring has no free slot and the transmit ring waits."""
    doorbell = Step(OpCode.WRITE, 0, 4, BAR0.QP_TX_TAIL.at(0), RING_COUNT - 1)
    small = Step(OpCode.WRITE, 0, 4, BAR0.QP_CQ_TAIL.at(0), 2)
    with up(small, doorbell, Step(OpCode.RUN, addr=500, value=_ALL)) as world:
        assert world.reload(world.device.save()) == Result.OK
