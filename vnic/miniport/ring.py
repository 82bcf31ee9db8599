"""Rings in coherent memory: descriptors that the driver fills, and completions that it takes."""

from __future__ import annotations

from vnic.host.bus import Bus

_GEN_BIT = 0x80


class DescriptorRing:
    """Descriptors between `head` (oldest the card has not given back) and `tail` (next the driver fills).

    Both count on freely; the index is the count modulo the size, a power of two. One slot stays empty.
    """

    def __init__(self, bus: Bus, count: int, entry_bytes: int) -> None:
        self.count = count
        self.memory = bus.alloc_coherent(count * entry_bytes)
        self.head = 0
        self.tail = 0
        self._bus = bus
        self._entry_bytes = entry_bytes

    @property
    def room(self) -> int:
        """Descriptors that can be filled now."""
        return self.count - 1 - (self.tail - self.head)

    @property
    def tail_index(self) -> int:
        """What the doorbell is told."""
        return self.tail % self.count

    def put(self, entry: bytes) -> int:
        """Fill the next descriptor; returns its index."""
        index = self.tail % self.count
        start = index * self._entry_bytes
        self.memory.view[start : start + self._entry_bytes] = entry
        self.tail += 1
        return index

    def rewrite(self, position: int, entry: bytes) -> None:
        """Replace a descriptor that the doorbell has not announced yet."""
        start = position % self.count * self._entry_bytes
        self.memory.view[start : start + self._entry_bytes] = entry

    def clear(self) -> None:
        """Forget everything: the card's ring was reset."""
        self.head = self.tail = 0

    def free(self) -> None:
        """Give the memory back; the card must not use it any more."""
        self._bus.free_coherent(self.memory)


class CompletionRing:
    """Entries of 32 bytes that the card writes; the generation bit says whether one is new."""

    ENTRY_BYTES = 32

    def __init__(self, bus: Bus, count: int) -> None:
        self.count = count
        self.memory = bus.alloc_coherent(count * self.ENTRY_BYTES)
        self._bus = bus
        self._taken = 0
        self._announced = 0

    def next_offset(self) -> int | None:
        """Offset in memory of the next new entry, which thereby is taken; None when there is none."""
        offset = self._taken % self.count * self.ENTRY_BYTES
        is_odd_pass = self._taken // self.count % 2 == 0
        if bool(self.memory.view[offset + 31] & _GEN_BIT) != is_odd_pass:
            return None
        self._taken += 1
        return offset

    @property
    def position(self) -> int:
        """Index of the next entry to take."""
        return self._taken % self.count

    @property
    def has_news(self) -> bool:
        """Whether an entry waits."""
        if self.next_offset() is None:
            return False
        self._taken -= 1
        return True

    def tail_to_announce(self) -> int | None:
        """What the doorbell is to be told of the slots given back; None when nothing changed."""
        if self._announced == self._taken:
            return None
        self._announced = self._taken
        return (self._taken - 1) % self.count

    def clear(self) -> None:
        """Start over at index 0, generation 1: the card's ring was reset."""
        self.memory.view[:] = bytes(len(self.memory))
        self._taken = self._announced = 0

    def free(self) -> None:
        """Give the memory back; the card must not use it any more."""
        self._bus.free_coherent(self.memory)
