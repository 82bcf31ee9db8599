"""The I/O address translation of one function: which bus address leads to which guest memory, how long."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from vnic.abi import Map
from vnic.errors import AllocationError, ArgumentError, LeakError, UnknownError
from vnic.host.bus import PAGE, Direction, Segment
from vnic.host.memory import GuestBuffer, GuestMemory

# Above everything that 32 bits reach: BARs and messages are below.
IOVA_FIRST = 1 << 32
IOVA_LAST = 1 << 44
_FIRST_PAGE = IOVA_FIRST // PAGE + 1
_PAGE_BITS = (IOVA_LAST // PAGE - 1).bit_length()
_TRIES = 1000

_PERMISSIONS = {
    Direction.TO_DEVICE: int(Map.READ),
    Direction.FROM_DEVICE: int(Map.WRITE),
    Direction.BIDIRECTIONAL: int(Map.READ | Map.WRITE),
}


class Mappable(Protocol):
    """What of a function the translation needs."""

    def map(self, iova: int, memory: memoryview, permissions: int) -> None:
        """Let DMA reach memory."""

    def unmap(self, iova: int, length: int) -> None:
        """Stop that."""


class MapWatcher(Protocol):
    """Who is told where bus addresses lead and what drivers have mapped: as it begins, and before it ends."""

    def placed(self, addr: int, address: int, length: int) -> None:
        """Bus addresses lead to guest memory from now on."""

    def removed(self, addr: int, length: int) -> None:
        """They lead nowhere."""

    def begun(self, segment: Segment, direction: Direction | None) -> None:
        """A driver has mapped memory; None: coherent memory."""

    def ending(self, segment: Segment, direction: Direction | None) -> None:
        """It gives the mapping up."""


class CoherentBuffer:
    """Coherent memory: whole pages at one contiguous range of bus addresses."""

    __slots__ = ("_pages", "addr", "view")

    def __init__(self, pages: GuestBuffer, addr: int, size: int) -> None:
        self._pages = pages
        self.addr = addr
        self.view = pages.view[:size]

    def __len__(self) -> int:
        return len(self.view)

    @property
    def pages(self) -> GuestBuffer:
        """The allocation behind it."""
        return self._pages


class Iommu:
    """Gives bus addresses out at random (seeded), no two mappings side by side, so that who strays is caught.

    strict: a mapping ends with unmap(). Otherwise a page stays where it was first mapped, readable and
    writable: cheap, as on a machine without an IOMMU. scatter: each page of a buffer has an address of its
    own, else the buffer is one segment.
    """

    def __init__(
        self,
        function: Mappable,
        memory: GuestMemory,
        *,
        strict: bool = True,
        scatter: bool = True,
        seed: int = 0,
    ) -> None:
        self.memory = memory
        self.is_strict = strict
        self.is_scattering = scatter
        self._function = function
        self._random = random.Random(seed)
        self._taken: set[int] = set()  # bus page numbers
        self._coherent: dict[int, CoherentBuffer] = {}
        self._streaming: dict[int, tuple[Segment, Direction]] = {}
        self._fixed: dict[int, int] = {}  # not strict: guest page address to bus address
        self._watcher: MapWatcher | None = None

    def watch(self, watcher: MapWatcher) -> None:
        """Tell of everything from here on; ArgumentError when there is something already."""
        if self._taken or self._watcher is not None:
            raise ArgumentError("who watches an Iommu comes before the first mapping, and alone")
        self._watcher = watcher

    # -- coherent --------------------------------------------------------------------------------------------

    def alloc_coherent(self, size: int) -> CoherentBuffer:
        """Zeroed pages, mapped for both."""
        pages = self.memory.alloc_pages(size, label="coherent")
        try:
            addr = self._place(pages.address, len(pages), int(Map.READ | Map.WRITE))
        except Exception:
            pages.free()
            raise
        buffer = self._coherent[addr] = CoherentBuffer(pages, addr, size)
        self._tell_begun(Segment(addr, size), None)
        return buffer

    def free_coherent(self, addr: int) -> None:
        """Unmap and free; UnknownError when it is no coherent memory."""
        buffer = self._coherent.pop(addr, None)
        if buffer is None:
            raise UnknownError(f"no coherent memory at bus address {addr:#x}")
        self._tell_ending(Segment(addr, len(buffer)), None)
        self._remove(addr, len(buffer.pages))
        buffer.pages.free()

    # -- streaming -------------------------------------------------------------------------------------------

    def map(self, address: int, length: int, direction: Direction) -> list[Segment]:
        """Map guest memory; pieces that follow each other on the bus are one segment."""
        if self.is_strict and 0 < length <= PAGE - address % PAGE:
            return [self._map_part(address, length, direction)]
        self.memory.slice(address, length)
        if not self.is_strict:
            return self._map_fixed(address, length, direction)
        parts = list(self.memory.pages(address, length)) if self.is_scattering else [(address, length)]
        segments: list[Segment] = []
        try:
            for part, part_length in parts if length else ():
                segments.append(self._map_part(part, part_length, direction))
        except Exception:
            self.unmap(segments, direction)
            raise
        return segments

    def unmap(self, segments: Sequence[Segment], direction: Direction) -> None:
        """End a mapping; UnknownError when it is none, or was made with another length or direction."""
        if not self.is_strict:
            for segment in segments:
                self._tell_ending(segment, direction)
            return
        for segment in segments:
            if self._streaming.get(segment.addr) != (segment, direction):
                raise UnknownError(f"{segment} {direction.name} is not mapped so")
        for segment in segments:
            self._tell_ending(segment, direction)
            del self._streaming[segment.addr]
            start = segment.addr - segment.addr % PAGE
            self._remove(start, _page_span(segment.addr, segment.len))

    def _map_part(self, address: int, length: int, direction: Direction) -> Segment:
        inset = address % PAGE
        addr = self._place(address - inset, _page_span(address, length), _PERMISSIONS[direction])
        segment = Segment(addr + inset, length)
        self._streaming[segment.addr] = (segment, direction)
        self._tell_begun(segment, direction)
        return segment

    def _map_fixed(self, address: int, length: int, direction: Direction) -> list[Segment]:
        segments = _merge([Segment(self._fixed_addr(a), n) for a, n in self.memory.pages(address, length)])
        for segment in segments:
            self._tell_begun(segment, direction)
        return segments

    def _fixed_addr(self, address: int) -> int:
        inset = address % PAGE
        page = address - inset
        if page not in self._fixed:
            self._fix(page)
        return self._fixed[page] + inset

    def _fix(self, page: int) -> None:
        """Choose the lasting address of a page; without scatter, of all memory at once."""
        first, length = (page, PAGE) if self.is_scattering else (self.memory.base, self.memory.size)
        addr = self._place(first, length, int(Map.READ | Map.WRITE))
        self._fixed.update((first + step, addr + step) for step in range(0, length, PAGE))

    # -- addresses -------------------------------------------------------------------------------------------

    def _place(self, address: int, length: int, permissions: int) -> int:
        memory = self.memory.slice(address, length)
        pages = length // PAGE
        first = self._find(pages)
        self._function.map(first * PAGE, memory, permissions)
        self._taken.update(range(first, first + pages))
        if self._watcher is not None:
            self._watcher.placed(first * PAGE, address, length)
        return first * PAGE

    def _find(self, pages: int) -> int:
        """The first of free bus pages with a free page on both sides."""
        for _ in range(_TRIES):
            first = _FIRST_PAGE + self._random.getrandbits(_PAGE_BITS)
            is_inside = first + pages < IOVA_LAST // PAGE
            if is_inside and self._taken.isdisjoint(range(first - 1, first + pages + 1)):
                return first
        raise AllocationError(f"no {pages} bus pages in a row after {_TRIES} tries")

    def _remove(self, start: int, length: int) -> None:
        self._function.unmap(start, length)
        self._taken.difference_update(range(start // PAGE, (start + length) // PAGE))
        if self._watcher is not None:
            self._watcher.removed(start, length)

    # -- watching --------------------------------------------------------------------------------------------

    def _tell_begun(self, segment: Segment, direction: Direction | None) -> None:
        if self._watcher is not None:
            self._watcher.begun(segment, direction)

    def _tell_ending(self, segment: Segment, direction: Direction | None) -> None:
        if self._watcher is not None:
            self._watcher.ending(segment, direction)

    # -- inspection ------------------------------------------------------------------------------------------

    @property
    def mapped(self) -> list[tuple[Segment, Direction]]:
        """Streaming mappings that were not ended."""
        return list(self._streaming.values())

    def assert_no_leaks(self) -> None:
        """LeakError naming what is still mapped or allocated."""
        left = [f"{segment} {direction.name}" for segment, direction in self._streaming.values()]
        left += [f"coherent memory of {len(b)} bytes at {addr:#x}" for addr, b in self._coherent.items()]
        if left:
            raise LeakError(f"{len(left)} mappings were not ended: {', '.join(left[:8])}")


def _page_span(address: int, length: int) -> int:
    """Bytes of the pages that a range touches."""
    return -(-(address % PAGE + length) // PAGE) * PAGE


def _merge(segments: list[Segment]) -> list[Segment]:
    merged: list[Segment] = []
    for segment in segments:
        if merged and merged[-1].addr + merged[-1].len == segment.addr:
            merged[-1] = Segment(merged[-1].addr, merged[-1].len + segment.len)
        else:
            merged.append(segment)
    return merged
