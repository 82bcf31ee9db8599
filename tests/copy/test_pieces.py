"""What a descriptor does: pieces, page breaks, fill, nothing; seen at the bus."""

from __future__ import annotations

from typing import Any

import pytest

from tests.copy.driver import Channel, Driver
from vnic.abi import DmaPurpose, EventType
from vnic.copy_engine import CopyEngine
from vnic.events import Event
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus, CopyOp

PAGE = 4096
PATTERN = 0x8877665544332211
DMA = (EventType.DMA_READ, EventType.DMA_WRITE)


def scene(**parameters: Any) -> tuple[Channel, int, int]:
    """A channel, and two areas of 16 pages of which the first is full of numbers."""
    driver = Driver(CopyEngine(manual=True, **parameters))
    source = driver.memory.put(b"".join(n.to_bytes(4, "little") for n in range(16 * PAGE // 4)), align=PAGE)
    return driver.channel(0), source, driver.memory.alloc(16 * PAGE, align=PAGE)


def transfers(channel: Channel, descriptor: CopyDescriptor) -> list[tuple[str, int, int]]:
    """Carry a descriptor out: its DMA of data, in order."""
    seen: list[Event] = []
    channel.post(descriptor)
    with channel.driver.engine.observe(seen.append, DMA):
        channel.start()
        channel.driver.engine.run()
    assert channel.status == ChanStatus.DONE
    data = [event for event in seen if event.index == DmaPurpose.DATA]
    return [(event.type.name[4:], event.addr, len(event.data)) for event in data]


@pytest.mark.requirement("DMA-20", "DMA-50")
def test_a_descriptor_is_read_once_and_whole() -> None:
    channel, source, target = scene()
    seen: list[Event] = []
    channel.post(CopyDescriptor(size=3 * PAGE, src=source, dst=target, compl_write=1))
    with channel.driver.engine.observe(seen.append, DMA):
        channel.start()
        channel.driver.engine.step(0)
        # Changed after it was fetched: that does not count.
        channel.driver.memory.set(channel.slot(0), CopyDescriptor(size=0, op=9).pack())
        channel.driver.engine.run()
    fetches = [event for event in seen if event.index == DmaPurpose.DESCRIPTOR]
    assert [(event.addr, len(event.data)) for event in fetches] == [(channel.slot(0), 64)]
    assert channel.driver.memory.get(target, 3 * PAGE) == channel.driver.memory.get(source, 3 * PAGE)
    assert channel.completion == (ChanStatus.DONE, channel.slot(0))


@pytest.mark.requirement("DMA-21")
@pytest.mark.parametrize(("from_offset", "to_offset"), [(0, 0), (100, 0), (0, 4000), (1, 4095), (2048, 2048)])
def test_pieces_cross_no_page_of_either_side_and_rise(from_offset: int, to_offset: int) -> None:
    channel, source, target = scene()
    source, target, size = source + from_offset, target + to_offset, 2 * PAGE + 77
    seen = transfers(channel, CopyDescriptor(size=size, src=source, dst=target))
    moved = 0
    for read, write in zip(seen[::2], seen[1::2], strict=True):
        length = min(size - moved, PAGE - (source + moved) % PAGE, PAGE - (target + moved) % PAGE)
        assert read == ("READ", source + moved, length)
        assert write == ("WRITE", target + moved, length)
        moved += length
    assert moved == size


@pytest.mark.requirement("DMA-21")
@pytest.mark.parametrize("is_watched", [False, True])
@pytest.mark.parametrize("shift", [-100, -1, 1, 64, 3000])
def test_a_piece_is_read_whole_before_it_is_written(shift: int, is_watched: bool) -> None:
    channel, source, _ = scene()
    start, size = source + PAGE, 3 * PAGE - 5
    expected = bytearray(channel.driver.memory.get(source, 8 * PAGE))
    moved = 0
    while moved < size:
        read, write = PAGE + moved, PAGE + shift + moved
        length = min(size - moved, PAGE - read % PAGE, PAGE - write % PAGE)
        expected[write : write + length] = bytes(expected[read : read + length])
        moved += length
    descriptor = CopyDescriptor(size=size, src=start, dst=start + shift)
    if is_watched:
        assert transfers(channel, descriptor)
    else:
        channel.post(descriptor)
        channel.start()
        channel.driver.engine.run()
    assert channel.driver.memory.get(source, 8 * PAGE) == expected


@pytest.mark.requirement("DMA-22", "INV-66")
@pytest.mark.parametrize("from_first", [1, 64, 3000, PAGE])
@pytest.mark.parametrize("to_first", [1, 1000, PAGE])
@pytest.mark.parametrize("breaks", [(1, 0), (0, 1), (1, 1)])
def test_page_breaks_go_on_elsewhere_each_by_itself(
    from_first: int, to_first: int, breaks: tuple[int, int]
) -> None:
    channel, source, target = scene()
    memory = channel.driver.memory
    size = (
        min(first for first, is_broken in zip((from_first, to_first), breaks, strict=True) if is_broken)
        + PAGE
    )
    src, dst = source + PAGE - from_first, target + PAGE - to_first
    next_src, next_dst = source + 9 * PAGE, target + 12 * PAGE
    src_brk, dst_brk = breaks
    channel.post(
        CopyDescriptor(
            size=size,
            src=src,
            dst=dst,
            src_brk=src_brk,
            dst_brk=dst_brk,
            next_src=next_src,
            next_dst=next_dst,
        )
    )
    data = memory.get(src, size)
    if src_brk:
        data = memory.get(src, from_first) + memory.get(next_src, size - from_first)
    expected = bytearray(16 * PAGE)
    first = to_first if dst_brk else size
    expected[PAGE - to_first : PAGE - to_first + first] = data[:first]
    if dst_brk:
        expected[12 * PAGE : 12 * PAGE + size - first] = data[first:]
    channel.start()
    channel.driver.engine.run()
    assert channel.status == ChanStatus.DONE
    assert memory.get(target, 16 * PAGE) == expected


@pytest.mark.requirement("DMA-22")
def test_a_page_break_that_is_not_reached_is_not_used() -> None:
    channel, source, target = scene()
    nowhere = 1 << 40
    seen = transfers(
        channel,
        CopyDescriptor(
            size=96,
            src=source + PAGE - 96,
            dst=target,
            src_brk=1,
            dst_brk=1,
            next_src=nowhere,
            next_dst=nowhere,
        ),
    )
    assert seen == [("READ", source + PAGE - 96, 96), ("WRITE", target, 96)]


@pytest.mark.requirement("DMA-23", "INV-64")
@pytest.mark.parametrize("fields", [{"null": 1}, {"op": CopyOp.CONTEXT_CHANGE}])
@pytest.mark.parametrize("size", [0, 1, 0xFFFFFFFF])
def test_what_moves_nothing_completes_like_any_other(fields: dict[str, int], size: int) -> None:
    channel, _, _ = scene()
    before = bytes(channel.driver.memory.bytes)
    nonsense = {"src": 3, "dst": (1 << 64) - 1, "dst_brk": 1, "next_src": 1, "next_dst": 5}
    seen = transfers(channel, CopyDescriptor(size=size, compl_write=1, int_en=1, **fields, **nonsense))
    assert seen == []
    assert channel.completion == (ChanStatus.DONE, channel.slot(0))
    assert channel.driver.vectors() == [0]
    at = channel.completion_addr - channel.driver.memory.base
    ring = channel.ring - channel.driver.memory.base
    after = bytearray(channel.driver.memory.bytes)
    after[at : at + 8] = before[at : at + 8]
    after[ring : ring + 64] = before[ring : ring + 64]
    assert bytes(after) == before


@pytest.mark.requirement("DMA-24")
@pytest.mark.parametrize("is_watched", [False, True])
@pytest.mark.parametrize("dst_brk", [0, 1])
@pytest.mark.parametrize(("offset", "size"), [(0, 8), (3, 1), (4091, 13), (1, 4097), (4095, 4097), (8, 4000)])
def test_fill_repeats_its_pattern_from_the_first_byte_on(
    offset: int, size: int, dst_brk: int, is_watched: bool
) -> None:
    channel, _, target = scene()
    descriptor = CopyDescriptor(
        size=size,
        op=CopyOp.FILL,
        src=PATTERN,
        dst=target + offset,
        dst_brk=dst_brk,
        next_dst=target + 8 * PAGE,
    )
    if is_watched:
        assert {kind for kind, _, _ in transfers(channel, descriptor)} == {"WRITE"}
    else:
        channel.post(descriptor)
        channel.start()
        channel.driver.engine.run()
    data = (PATTERN.to_bytes(8, "little") * (size // 8 + 1))[:size]
    first = min(size, PAGE - offset) if dst_brk else size
    expected = bytearray(16 * PAGE)
    expected[offset : offset + first] = data[:first]
    expected[8 * PAGE : 8 * PAGE + size - first] = data[first:]
    assert channel.driver.memory.get(target, 16 * PAGE) == expected


@pytest.mark.requirement("DMA-25")
def test_hints_have_no_effect() -> None:
    channel, source, target = scene()
    plain = transfers(channel, CopyDescriptor(size=5000, src=source, dst=target))
    hints = {"src_snoop_dis": 1, "dst_snoop_dis": 1, "bundle": 1, "dest_dca": 1, "hint": 1}
    users = {"user1": (1 << 64) - 1, "user2": 0xDEAD}
    assert transfers(channel, CopyDescriptor(size=5000, src=source, dst=target, **hints, **users)) == plain
    assert channel.driver.memory.get(target, 5000) == channel.driver.memory.get(source, 5000)
    assert CopyDescriptor.unpack(channel.driver.memory.get(channel.slot(1), 64)).user2 == 0xDEAD
