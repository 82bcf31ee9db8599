"""Memory under the sends of a protocol driver: frames one after the other in slabs that are used again."""

from __future__ import annotations

from collections import deque

from vnic.protocol.capture import Allocation, Memory
from vnic.stack.interface import Area

_FRAMES = 8
_ALIGN = 64


class Slab:
    """One piece of memory, and how many frames in it are on their way."""

    __slots__ = ("address", "allocation", "area", "out", "used")

    def __init__(self, allocation: Allocation) -> None:
        self.allocation = allocation
        self.address = allocation.address
        self.area = Area(allocation.view)
        self.used = 0
        self.out = 0

    def take(self, length: int) -> None:
        """The next `length` bytes are a frame that leaves."""
        self.used += -(-length // _ALIGN) * _ALIGN
        self.out += 1


class SendArena:
    """At most `slabs` slabs, made when needed, with room for several frames of `frame_room` bytes each."""

    def __init__(self, memory: Memory, frame_room: int, slabs: int = 8) -> None:
        self._memory = memory
        self._frame_room = frame_room
        self._slab_bytes = max(_FRAMES * frame_room, 1 << 16)
        self._slabs = self._left = slabs
        self._current: Slab | None = None
        self._free: deque[Slab] = deque()
        self._all: list[Slab] = []

    def slab(self) -> Slab | None:
        """Where the next frame goes; None when all memory is under way."""
        current = self._current
        if current is not None:
            if not current.out:
                current.used = 0
            if current.used + self._frame_room <= current.area.size:
                return current
        self._current = self._free.popleft() if self._free else self._make()
        return self._current

    def _make(self) -> Slab | None:
        if not self._left:
            return None
        self._left -= 1
        made = Slab(self._memory.alloc(self._slab_bytes, align=_ALIGN, label="sends"))
        self._all.append(made)
        return made

    def give_back(self, slab: Slab) -> None:
        """A frame of a slab came back."""
        slab.out -= 1
        if not slab.out:
            slab.used = 0
            if slab is not self._current:
                self._free.append(slab)

    def free(self) -> None:
        """Give all memory back; nothing is on its way."""
        for slab in self._all:
            slab.area.release()
            slab.allocation.free()
        self._all, self._current, self._left = [], None, self._slabs
        self._free.clear()
