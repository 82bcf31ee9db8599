"""From scatter-gather lists to descriptors, and which need a fence: pure functions against plain ones."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import CopyOp
from vnic.host.bus import PAGE, Segment
from vnic.netdma import descriptor
from vnic.netdma.descriptor import NET_DMA, NET_DMA_DESCRIPTOR, NET_DMA_TRANSFER_STATUS
from vnic.netdma.overlap import fenced
from vnic.netdma.plan import Move, plan
from vnic.netdma.types import Transfer


def scatter(start: int, length: int, cuts: list[int]) -> list[Segment]:
    """A list as a bus makes it: cut where pages end, each part at some page of its own."""
    segments = []
    at = start
    for number, page in enumerate(cuts):
        room = PAGE - at % PAGE
        size = min(room, length)
        if not size:
            break
        segments.append(Segment((page * 64 + number * 2) * PAGE + at % PAGE, size))
        at, length = at + size, length - size
    if length:
        segments.append(Segment(1 << 40 | at % PAGE, length))  # the rest in one piece
    return segments


def addresses(segments: list[Segment]) -> list[int]:
    """Every byte's bus address."""
    return [segment.addr + n for segment in segments for n in range(segment.len)]


def expand(first: int, second: int, size: int) -> list[int]:
    """The addresses that one side of a descriptor reaches."""
    if not second:
        return list(range(first, first + size))
    room = PAGE - first % PAGE
    return list(range(first, first + room)) + list(range(second, second + size - room))


@pytest.mark.requirement("INV-66")
@examples(40)
@given(
    starts=st.tuples(st.integers(0, PAGE - 1), st.integers(0, PAGE - 1)),
    length=st.integers(0, 3 * PAGE),
    a=st.lists(st.integers(1, 50), unique=True, max_size=4),
    b=st.lists(st.integers(51, 99), unique=True, max_size=4),
    most=st.sampled_from([PAGE, 2 * PAGE, 1 << 20]),
    breaks=st.booleans(),
)
@example(starts=(0, 1), length=3 * PAGE, a=[1, 2, 3], b=[51, 52, 53, 54], most=1 << 20, breaks=True)
def test_a_plan_moves_every_byte_once_and_in_order(
    *, starts: tuple[int, int], length: int, a: list[int], b: list[int], most: int, breaks: bool
) -> None:
    read, write = scatter(starts[0], length, a), scatter(starts[1], length, b)
    moves = list(plan(read, write, most, has_breaks=breaks))
    assert [x for m in moves for x in expand(m.source, m.next_source, m.size)] == addresses(read)
    assert [x for m in moves for x in expand(m.destination, m.next_destination, m.size)] == addresses(write)
    for move in moves:
        assert 0 < move.size <= most
        assert (move.next_source | move.next_destination) % PAGE == 0
        assert breaks or not (move.next_source or move.next_destination)


def test_page_breaks_join_what_two_pages_hold() -> None:
    read = [Segment(0x10F00, 0x100), Segment(0x20000, 0xF00)]
    write = [Segment(0x30000, 0x1000)]
    joined = list(plan(read, write, 1 << 20, has_breaks=True))
    assert joined == [Move(0x10F00, 0x30000, 0x1000, 0x20000, 0)]
    apart = list(plan(read, write, 1 << 20, has_breaks=False))
    assert apart == [Move(0x10F00, 0x30000, 0x100), Move(0x20000, 0x30100, 0xF00)]


def test_both_sides_break_by_themselves() -> None:
    read = [Segment(0x10800, 0x800), Segment(0x20000, 0x800)]
    write = [Segment(0x30C00, 0x400), Segment(0x40000, 0xC00)]
    assert list(plan(read, write, 1 << 20, has_breaks=True)) == [
        Move(0x10800, 0x30C00, 0x1000, 0x20000, 0x40000)
    ]


ranges = st.lists(st.builds(Transfer, st.integers(0, 40), st.integers(0, 40), st.integers(0, 8)), max_size=6)


def plain_fenced(transfers: list[Transfer]) -> set[int]:
    """By sets of bytes."""
    reads = [set(range(t.source, t.source + t.length)) for t in transfers]
    writes = [set(range(t.destination, t.destination + t.length)) for t in transfers]
    return {
        i
        for j in range(len(transfers))
        for i in range(j)
        if writes[i] & (reads[j] | writes[j]) or reads[i] & writes[j]
    }


@pytest.mark.requirement("INV-65")
@examples(100)
@given(ranges)
def test_fences_stand_where_bytes_meet(transfers: list[Transfer]) -> None:
    alone = [t for t in transfers if not t.overlaps_itself]
    assert fenced(alone) == plain_fenced(alone)


def test_the_descriptor_is_the_engines() -> None:
    ours = NET_DMA_DESCRIPTOR(1, 0, 2, 3, 4, 5, 6, 7, 8)
    theirs = CopyDescriptor(size=1, src=2, dst=3, next=4, next_src=5, next_dst=6, user1=7, user2=8)
    assert ours.pack() == theirs.pack()
    assert NET_DMA_DESCRIPTOR.unpack(theirs.pack()) == ours


def test_flags_are_those_of_the_header() -> None:
    """Section 6.1 of the guide gives the bits; the engine's manual has to agree."""
    bits = [0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40, 0x80, 0x200]
    assert [int(flag) for flag in NET_DMA] == bits
    assert descriptor.OP_TYPE_CONTEXT_CHANGE == 0xFF00_0000 == CopyOp.CONTEXT_CHANGE << 24
    reserved = 0xFFFF_FFFF & ~(0xFF00_0000 | sum(bits))
    assert reserved == descriptor.RESERVED_MASK
    names = [status.name for status in sorted(NET_DMA_TRANSFER_STATUS)]
    assert names == ["ACTIVE", "IDLE", "SUSPEND", "HALTED", "ARMED"]
    assert sorted(NET_DMA_TRANSFER_STATUS) == list(range(5))
