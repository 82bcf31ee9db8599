"""Translation of bus addresses: a function reaches what is mapped, while it is mapped, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import Map
from vnic.errors import AllocationError, ArgumentError, CapacityError, LeakError, UnknownError
from vnic.host.bus import Direction, Segment
from vnic.host.iommu import Iommu
from vnic.host.memory import GuestMemory


class Seen:
    """A function that knows what is mapped to it, page by page, and has room for so many ranges."""

    def __init__(self, room: int = 10_000) -> None:
        self.pages: dict[int, tuple[memoryview, int]] = {}
        self.room = room

    def map(self, iova: int, memory: memoryview, permissions: int) -> None:
        """Take pages."""
        assert iova % 4096 == len(memory) % 4096 == 0
        if self.room == 0:
            raise CapacityError("full")
        self.room -= 1
        for offset in range(0, len(memory), 4096):
            assert iova + offset not in self.pages
            self.pages[iova + offset] = (memory[offset : offset + 4096], permissions)

    def unmap(self, iova: int, length: int) -> None:
        """Lose pages."""
        self.room += 1
        for offset in range(0, length, 4096):
            del self.pages[iova + offset]

    def read(self, segments: list[Segment]) -> bytes:
        """What DMA would read."""
        data = bytearray()
        for addr, length in segments:
            data += b"".join(self._bytes(addr + i) for i in range(length))
        return bytes(data)

    def _bytes(self, addr: int) -> bytes:
        page, _ = self.pages[addr - addr % 4096]
        return bytes(page[addr % 4096 : addr % 4096 + 1])


@given(
    offset=st.integers(0, 9000),
    length=st.integers(0, 9000),
    scatter=st.booleans(),
    strict=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_segments_lead_to_the_bytes(offset: int, length: int, scatter: bool, strict: bool, seed: int) -> None:
    function, memory = Seen(), GuestMemory(8 * 4096)
    memory.view[:] = bytes(i * 7 % 251 for i in range(len(memory.view)))
    iommu = Iommu(function, memory, strict=strict, scatter=scatter, seed=seed)
    segments = iommu.map(memory.base + offset, length, Direction.TO_DEVICE)
    assert function.read(segments) == memory.read(memory.base + offset, length)
    assert sum(segment.len for segment in segments) == length
    touched = len(list(memory.pages(memory.base + offset, length)))
    assert len(segments) == (touched if scatter else min(length, 1))
    iommu.unmap(segments, Direction.TO_DEVICE)
    if strict:
        assert function.pages == {}
    iommu.assert_no_leaks()


@pytest.mark.parametrize(
    ("direction", "permissions"),
    [
        (Direction.TO_DEVICE, Map.READ),
        (Direction.FROM_DEVICE, Map.WRITE),
        (Direction.BIDIRECTIONAL, Map.READ | Map.WRITE),
    ],
)
def test_directions_are_permissions(direction: Direction, permissions: Map) -> None:
    function, memory = Seen(), GuestMemory(8192)
    Iommu(function, memory).map(memory.base, 10, direction)
    assert [granted for _, granted in function.pages.values()] == [permissions]


def test_mappings_never_touch_each_other() -> None:
    function, memory = Seen(), GuestMemory(64 * 4096)
    iommu = Iommu(function, memory, seed=7)
    for page in range(64):
        iommu.map(memory.base + page * 4096, 4096, Direction.TO_DEVICE)
    pages = sorted(function.pages)
    assert len(pages) == 64
    assert all(high - low > 4096 for low, high in pairwise(pages))


def test_addresses_follow_from_the_seed() -> None:
    def addresses(seed: int) -> list[Segment]:
        memory = GuestMemory(16384)
        return Iommu(Seen(), memory, seed=seed).map(memory.base, 16384, Direction.TO_DEVICE)

    assert addresses(1) == addresses(1) != addresses(2)


def test_coherent_memory_is_contiguous_zeroed_and_given_back() -> None:
    function, memory = Seen(), GuestMemory(64 * 4096)
    memory.view[:] = b"\xff" * len(memory.view)
    iommu = Iommu(function, memory)
    ring = iommu.alloc_coherent(10_000)
    assert ring.addr % 4096 == 0
    assert len(ring) == 10_000
    ring.view[9_999] = 5
    assert function.read([Segment(ring.addr, 10_000)]) == bytes(9_999) + b"\x05"
    with pytest.raises(LeakError, match="coherent"):
        iommu.assert_no_leaks()
    iommu.free_coherent(ring.addr)
    assert function.pages == {}
    with pytest.raises(UnknownError):
        iommu.free_coherent(ring.addr)
    memory.assert_no_leaks()


def test_wrong_unmaps_are_refused() -> None:
    memory = GuestMemory(8192)
    iommu = Iommu(Seen(), memory)
    segments = iommu.map(memory.base, 5000, Direction.TO_DEVICE)
    with pytest.raises(UnknownError):
        iommu.unmap(segments, Direction.FROM_DEVICE)
    with pytest.raises(UnknownError):
        iommu.unmap([Segment(segments[0].addr, 1)], Direction.TO_DEVICE)
    with pytest.raises(LeakError, match="TO_DEVICE"):
        iommu.assert_no_leaks()
    iommu.unmap(segments, Direction.TO_DEVICE)
    with pytest.raises(UnknownError):
        iommu.unmap(segments, Direction.TO_DEVICE)
    assert iommu.mapped == []


def test_a_mapping_that_does_not_fit_leaves_nothing() -> None:
    function, memory = Seen(room=2), GuestMemory(16384)
    iommu = Iommu(function, memory)
    with pytest.raises(CapacityError):
        iommu.map(memory.base, 16384, Direction.TO_DEVICE)
    assert function.pages == {}
    iommu.assert_no_leaks()
    function.room = 0
    with pytest.raises(CapacityError):
        iommu.alloc_coherent(10)
    memory.assert_no_leaks()


def test_memory_outside_is_not_mapped() -> None:
    memory = GuestMemory(8192)
    with pytest.raises(ArgumentError):
        Iommu(Seen(), memory).map(memory.base, 8193, Direction.TO_DEVICE)
    with pytest.raises(AllocationError):
        Iommu(Seen(), memory).alloc_coherent(8193)


def test_without_strictness_a_page_stays_where_it_is() -> None:
    function, memory = Seen(), GuestMemory(16384)
    iommu = Iommu(function, memory, strict=False)
    first = iommu.map(memory.base + 5, 100, Direction.TO_DEVICE)
    iommu.unmap(first, Direction.TO_DEVICE)
    assert iommu.map(memory.base + 5, 100, Direction.FROM_DEVICE) == first
    assert len(function.pages) == 1
