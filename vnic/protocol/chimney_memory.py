"""Memory that a target can reach: data where it lies, or a copy of it, and buffers of our own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList
from vnic.protocol.capture import Allocation
from vnic.stack.memory import pointer_of


class HostMemory(Protocol):
    """Memory of the guest: an arena whose addresses the bus knows."""

    @property
    def base(self) -> int:
        """The first address."""

    @property
    def view(self) -> memoryview:
        """All of it."""

    def alloc(self, size: int, *, align: int = 16, label: str = "") -> Allocation:
        """Some bytes; AllocationError."""


class Lent:
    """What goes with an NBL until it is completed: its length, and memory that was made for it."""

    __slots__ = ("allocations", "length")

    def __init__(self, length: int, allocations: list[Allocation]) -> None:
        self.length = length
        self.allocations = allocations

    def free(self) -> None:
        """Give the memory back."""
        for allocation in self.allocations:
            allocation.free()
        self.allocations = []


class Reach:
    """Turns places of the processor's into MDLs."""

    def __init__(self, memory: HostMemory) -> None:
        self._memory = memory
        self._first = pointer_of(memory.view)
        self._end = self._first + len(memory.view)
        #: Bytes that had to be copied to where the target can read them.
        self.bounced = 0

    def send_list(self, pieces: Iterable[tuple[int, memoryview]], source: object) -> NetBufferList:
        """An NBL with one NET_BUFFER over pieces (where, what); AllocationError when a copy finds no room."""
        head: Mdl | None = None
        tail: Mdl | None = None
        made: list[Allocation] = []
        length = 0
        try:
            for where, view in pieces:
                mdl = self._mdl(where, view) or self._copy(view, made)
                if tail is None:
                    head = mdl
                else:
                    tail.next = mdl
                tail = mdl
                length += len(view)
        except BaseException:
            Lent(0, made).free()
            raise
        nbl = NetBufferList(NetBuffer(head), source)
        nbl.protocol_reserved = Lent(length, made)
        return nbl

    def _mdl(self, where: int, view: memoryview) -> Mdl | None:
        if not self._first <= where <= self._end - len(view):
            return None
        offset = where - self._first
        return Mdl(self._memory.view[offset : offset + len(view)], self._memory.base + offset)

    def _copy(self, view: memoryview, made: list[Allocation]) -> Mdl:
        allocation = self._memory.alloc(len(view), align=1, label="chimney bounce")
        made.append(allocation)
        allocation.view[:] = view
        self.bounced += len(view)
        return Mdl(allocation.view, allocation.address)

    def reaches(self, where: int, length: int) -> bool:
        """Whether the target can reach memory where it is."""
        return self._first <= where <= self._end - length

    def own(self, size: int) -> Allocation:
        """A buffer of our own for receives; AllocationError."""
        return self._memory.alloc(size, align=64, label="chimney receive")


def lent_of(nbl: NetBufferList) -> Lent:
    """What goes with an NBL of ours."""
    lent = nbl.protocol_reserved
    assert isinstance(lent, Lent)
    return lent
