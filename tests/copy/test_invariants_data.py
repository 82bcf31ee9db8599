"""The invariants of NetDMA about data, 64 to 67, on the registers of the engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.copy.oracle_bus import PAGE
from tests.copy.pair import DATA, HOLE, LAST, REGIONS, Shape
from tests.copy.scene import COMPLETION, Log, Scene, completion_word, copy, slot
from vnic.abi import DmaPurpose, EventType
from vnic.fuzz.effort import examples
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus

LEFT, RIGHT, AWAY = DATA.addr + 0x100, DATA.addr + 0x900, DATA.addr + 0x3200


# -- 64 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-64", "DMA-23")
@pytest.mark.parametrize("size", [0, 1, 64, 8192, (1 << 32) - 1])
@pytest.mark.parametrize("breaks", [0, 1])
def test_a_null_transfer_moves_nothing_and_completes(size: int, breaks: int) -> None:
    with Scene() as scene:
        log = Log(scene)
        fields = {"src_brk": breaks, "dst_brk": breaks, "next_src": 5, "next_dst": 7}
        scene.chain(copy(size, null=1, compl_write=1, int_en=1, **fields), copy(8, at=3))
        scene.start(2)
        scene.run()
        done = completion_word(slot(0), ChanStatus.ACTIVE)
        scene.assert_only([(COMPLETION, done), (copy(at=3).dst, scene.old(copy(at=3).src, 8))])
        assert scene.vectors == [0]
        assert [e.addr for e in log.events if e.index == DmaPurpose.DATA] == [copy(at=3).src, copy(at=3).dst]


# -- 65 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-65", "DMA-26")
@pytest.mark.parametrize("is_overlapping", [False, True])
@pytest.mark.parametrize("size", [1, 64, 4096, 6000])
@pytest.mark.parametrize("completes", [0, 1])
@pytest.mark.parametrize("ahead", [0, 8])
def test_what_is_fenced_is_written_before_the_next_one_reads(
    is_overlapping: bool, size: int, completes: int, ahead: int
) -> None:
    first, second, third = DATA.addr + 0x80, DATA.addr + 0x1F00, DATA.addr + 0x4000
    with Scene(Shape(is_overlapping=is_overlapping)) as scene:
        log = Log(scene)
        before = [CopyDescriptor(size=ahead, src=DATA.addr, dst=DATA.end - ahead)] if ahead else []
        scene.chain(
            *before,
            CopyDescriptor(size=size, src=first, dst=second, fence=1, compl_write=completes),
            CopyDescriptor(size=size, src=second, dst=third),
        )
        scene.start(len(before) + 2)
        scene.pair.engine.run()
        moved = scene.old(first, size)
        told = [(COMPLETION, completion_word(slot(len(before)), ChanStatus.ACTIVE))] * completes
        unfenced = (DATA.end - ahead, scene.old(DATA.addr, ahead))
        scene.assert_only([unfenced, (second, moved), (third, moved), *told][not ahead :])
        read = log.of(EventType.DMA_READ, DmaPurpose.DATA, second)
        last_write = max(n for n in range(read) if log.events[n].type == EventType.DMA_WRITE)
        written = sum(len(e.data) for e in log.events[: last_write + 1] if e.type == EventType.DMA_WRITE)
        assert written == ahead + size + 8 * completes


@pytest.mark.requirement("INV-65", "DMA-27")
@pytest.mark.parametrize("fence", [0, 1])
def test_an_engine_that_does_not_overlap_needs_no_fence(fence: int) -> None:
    with Scene() as scene:
        ways = ((LEFT, RIGHT), (RIGHT, AWAY), (AWAY, LEFT + 64))
        scene.chain(
            *(CopyDescriptor(size=64, src=source, dst=target, fence=fence) for source, target in ways)
        )
        scene.start(3)
        scene.run()
        scene.assert_only((target, scene.old(LEFT, 64)) for _, target in ways)


@pytest.mark.requirement("INV-65", "DMA-27")
def test_without_a_fence_an_overlapping_engine_reads_first() -> None:
    with Scene(Shape(is_overlapping=True)) as scene:
        ways = ((LEFT, RIGHT), (RIGHT, AWAY))
        scene.chain(*(CopyDescriptor(size=64, src=source, dst=target) for source, target in ways))
        scene.start(2)
        scene.pair.engine.run()
        scene.assert_only([(RIGHT, scene.old(LEFT, 64)), (AWAY, scene.old(RIGHT, 64))])


# -- 66 ------------------------------------------------------------------------------------------------------

OFFSETS = st.integers(0, PAGE - 1)


def fragments(start: int, following: int | None, size: int) -> list[tuple[int, int]]:
    """Address and length of what one side of a transfer consists of."""
    first = min(PAGE - start % PAGE, size)
    if following is None or first == size:
        return [(start, size)]
    return [(start, first), (following, size - first)]


@pytest.mark.requirement("INV-66", "DMA-22")
@examples(80)
@given(
    offsets=st.tuples(OFFSETS, OFFSETS),
    following=st.tuples(st.sampled_from((0, 1, 2)), st.sampled_from((3, 4, 5))),
    breaks=st.sampled_from([(1, 0), (0, 1), (1, 1)]),
    size=st.integers(1, 8192),
)
def test_a_page_break_is_a_copy_of_fragments(
    offsets: tuple[int, int], following: tuple[int, int], breaks: tuple[int, int], size: int
) -> None:
    source, target = DATA.addr + offsets[0], DATA.addr + 3 * PAGE + offsets[1]
    next_source, next_target = (DATA.addr + number * PAGE for number in following)
    size = min([size, *(2 * PAGE - offset for offset, has in zip(offsets, breaks, strict=True) if has)])
    with Scene() as scene:
        work = CopyDescriptor(size=size, src=source, dst=target, src_brk=breaks[0], dst_brk=breaks[1])
        work.next_src, work.next_dst = next_source, next_target
        scene.chain(work)
        scene.start(1)
        scene.run()
        assert scene.state() == ChanStatus.DONE
        sources = fragments(source, next_source if breaks[0] else None, size)
        moved = b"".join(scene.old(*fragment) for fragment in sources)
        changes = []
        for addr, count in fragments(target, next_target if breaks[1] else None, size):
            changes.append((addr, moved[:count]))
            moved = moved[count:]
        scene.assert_only(changes)


# -- 67 ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-67", "DMA-41")
@examples(60)
@given(
    size=st.integers(0, 1 << 15),
    page=st.sampled_from([DATA.addr, LAST.addr, HOLE.addr - 2 * PAGE]),
    at=OFFSETS,
)
def test_nothing_is_ever_written_outside_the_destination(size: int, page: int, at: int) -> None:
    with Scene(Shape(transfer_log2=13)) as scene:
        scene.chain(copy(size, src=DATA.addr + 7, dst=page + at))
        scene.start(1)
        scene.run()
        done = [(COMPLETION, scene.pair.get(COMPLETION, 8))]
        for region in REGIONS:
            first, last = max(page + at, region.addr), min(page + at + size, region.end)
            if first < last:
                done.append((first, scene.pair.get(first, last - first)))
        scene.assert_only(done)
