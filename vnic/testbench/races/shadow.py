"""What watched guest memory held when it was last looked at."""

from __future__ import annotations

import mmap
from typing import NamedTuple

from vnic.host.memory import GuestMemory


class Change(NamedTuple):
    """Bytes that are not what they were: from the first to the last that differs."""

    address: int
    before: bytes
    after: bytes


class Shadow:
    """A second copy of the memory; it takes room only where something was watched."""

    def __init__(self, memory: GuestMemory) -> None:
        self._base = memory.base
        self._now = memory.view
        self._then = memoryview(mmap.mmap(-1, memory.size))

    def take(self, address: int, length: int) -> None:
        """Remember what is there now."""
        start = address - self._base
        self._then[start : start + length] = self._now[start : start + length]

    def put(self, address: int, data: bytes | memoryview) -> None:
        """What is there is known to have become this."""
        start = address - self._base
        self._then[start : start + len(data)] = data

    def is_same(self, address: int, length: int) -> bool:
        """Whether a range is as it is remembered."""
        start, end = address - self._base, address - self._base + length
        return self._then[start:end].tobytes() == self._now[start:end].tobytes()

    def change(self, address: int, length: int) -> Change | None:
        """How a range differs from what is remembered; None when it does not."""
        start = address - self._base
        before = self._then[start : start + length].tobytes()
        after = self._now[start : start + length].tobytes()
        if before == after:
            return None
        differing = [i for i in range(length) if before[i] != after[i]]
        first, end = differing[0], differing[-1] + 1
        return Change(address + first, before[first:end], after[first:end])
