"""A ring of descriptors in coherent memory; positions count on for ever, their remainder is the place."""

from __future__ import annotations

from collections.abc import Sequence

from vnic.host.bus import Coherent
from vnic.netdma.descriptor import COMPLETION_BYTES, DESCRIPTOR_BYTES, NET_DMA_DESCRIPTOR, DescriptorPointer


def ring_bytes(count: int) -> int:
    """The memory of a ring of `count` descriptors, with a completion status behind it."""
    return count * DESCRIPTOR_BYTES + DESCRIPTOR_BYTES


class Ring:
    """Descriptors from `head`, the first that may not be processed, to `tail`, the next free one.

    is_counted: NextDescriptor of each is the next place; else chains end with NULL, and link() joins them.
    The place before `head` is never reused: an engine reads the last processed descriptor again.
    """

    def __init__(self, memory: Coherent, *, is_counted: bool) -> None:
        self._memory = memory
        self._is_counted = is_counted
        self.count = (len(memory) - COMPLETION_BYTES) // DESCRIPTOR_BYTES
        self.head = 0
        self.tail = 0

    @property
    def free(self) -> int:
        """Descriptors that can be added."""
        return self.count - 1 - (self.tail - self.head)

    def pointer(self, position: int) -> DescriptorPointer:
        """The descriptor at a position."""
        return DescriptorPointer(self._memory, position % self.count * DESCRIPTOR_BYTES)

    def add(self, descriptors: Sequence[NET_DMA_DESCRIPTOR]) -> DescriptorPointer:
        """Write a chain behind `tail`, and move that; the first one's pointer."""
        first = self.tail
        self.tail += len(descriptors)
        for position, descriptor in enumerate(descriptors, first):
            is_last = position == self.tail - 1
            ends = is_last and not self._is_counted
            descriptor.next_descriptor = 0 if ends else self.pointer(position + 1).physical
            self.pointer(position).write(descriptor)
        return self.pointer(first)

    def link(self, position: int) -> None:
        """Where chains end with NULL: join the one that starts at `position` to the descriptor before it."""
        if not self._is_counted:
            self.pointer(position - 1).link(self.pointer(position).physical)

    def take_back(self, position: int) -> None:
        """Nobody has seen what is from `position` on: it is free again, and no chain leads there."""
        self.tail = position
        if not self._is_counted and position:
            self.pointer(position - 1).link(0)

    def position_of(self, address: int) -> int | None:
        """The position from `head` to `tail` that a bus address is, None when it is none of them."""
        offset = address - self._memory.addr
        if not self.holds(address):
            return None
        ahead = (offset // DESCRIPTOR_BYTES - self.head) % self.count
        return self.head + ahead if ahead < self.tail - self.head else None

    def holds(self, address: int) -> bool:
        """Whether a bus address is that of one of the ring's descriptors."""
        offset = address - self._memory.addr
        return 0 <= offset < self.count * DESCRIPTOR_BYTES and offset % DESCRIPTOR_BYTES == 0
