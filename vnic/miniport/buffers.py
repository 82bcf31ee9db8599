"""Receive buffers: guest memory with an NBL, its MDLs and their streaming mappings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Protocol

from vnic.host.bus import Bus, Direction, Segment
from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList

PAGE = 4096
DATA_BYTES = 2048
HEADER_BYTES = 256


class Allocation(Protocol):
    """Memory of the guest."""

    @property
    def address(self) -> int:
        """Where Bus.map finds it."""

    @property
    def view(self) -> memoryview:
        """Its bytes."""

    def free(self) -> None:
        """Give it back."""


class Memory(Protocol):
    """What a driver allocates data buffers from (NdisAllocateMemoryWithTagPriority)."""

    def alloc_pages(self, size: int, *, label: str = "") -> Allocation:
        """Zeroed whole pages."""


class Piece:
    """Memory within one page, so that one descriptor names it; mapped while the card may write it."""

    __slots__ = ("_bus", "_segments", "address", "mdl", "view")

    def __init__(self, bus: Bus, address: int, view: memoryview) -> None:
        self._bus = bus
        self._segments: Sequence[Segment] = ()
        self.address = address
        self.view = view
        self.mdl = Mdl(view, address)

    def map(self) -> int:
        """Give it to the card; returns its bus address."""
        self._segments = self._bus.map(self.address, len(self.view), Direction.FROM_DEVICE)
        if len(self._segments) != 1:
            raise AssertionError(
                f"{len(self.view)} bytes within a page became {len(self._segments)} segments"
            )
        return self._segments[0].addr

    def unmap(self) -> None:
        """Take it back from the card; does nothing when it has it not."""
        if self._segments:
            self._bus.unmap(self._segments, Direction.FROM_DEVICE)
            self._segments = ()

    def trim(self, length: int) -> None:
        """NdisAdjustMdlLength: the MDL describes the first `length` bytes."""
        self.mdl.buffer = self.view[:length]
        self.mdl.next = None


class ReceiveBuffer:
    """What one receive descriptor names: a data piece, maybe a header piece, and an NBL to indicate it."""

    __slots__ = ("data", "header", "nbl", "net_buffer")

    def __init__(self, data: Piece, header: Piece | None, source_handle: object) -> None:
        self.data = data
        self.header = header
        self.net_buffer = NetBuffer(data.mdl)
        self.nbl = NetBufferList(self.net_buffer, source_handle)

    def map(self) -> tuple[int, int]:
        """Give it to the card; bus addresses of data and header (0 without one)."""
        return self.data.map(), self.header.map() if self.header else 0

    def unmap(self) -> None:
        """Take it back from the card."""
        self.data.unmap()
        if self.header:
            self.header.unmap()


class BufferPool:
    """The receive buffers of one queue and the memory under them."""

    def __init__(self, bus: Bus, memory: Memory, count: int, is_split: bool, source_handle: object) -> None:
        self._allocations: list[Allocation] = []
        self.buffers: list[ReceiveBuffer] = []
        with ExitStack() as undo:
            undo.callback(self.free)
            data = self._pieces(bus, memory, count, DATA_BYTES, "receive data")
            headers: Sequence[Piece | None] = [None] * count
            if is_split:
                headers = self._pieces(bus, memory, count, HEADER_BYTES, "receive headers")
            undo.pop_all()
        self.buffers = [ReceiveBuffer(*each, source_handle) for each in zip(data, headers, strict=True)]

    def _pieces(self, bus: Bus, memory: Memory, count: int, size: int, label: str) -> list[Piece]:
        """`size` divides a page, so no piece crosses one."""
        allocation = memory.alloc_pages(count * size, label=label)
        self._allocations.append(allocation)
        starts = range(0, count * size, size)
        return [Piece(bus, allocation.address + at, allocation.view[at : at + size]) for at in starts]

    def free(self) -> None:
        """Unmap and give back everything; no NBL may be out."""
        for buffer in self.buffers:
            buffer.unmap()
        for allocation in self._allocations:
            allocation.free()
        self.buffers, self._allocations = [], []
