"""Guest memory with a red zone behind each allocation, and an eye on what was freed."""

from __future__ import annotations

from vnic.fuzz.scene import Broken
from vnic.host.memory import POISON, GuestBuffer, GuestMemory

__all__ = ["GuardedMemory"]

_ZONE = 32
_GUARD = bytes(range(0x50, 0x50 + _ZONE))


class GuardedMemory(GuestMemory):
    """Broken where an owner, or a card that he told wrong, wrote behind an allocation or into a freed one."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._zones: dict[int, memoryview] = {}

    def alloc(self, size: int, *, align: int = 16, label: str = "") -> GuestBuffer:
        """As GuestMemory, with a guard behind; what is fresh holds 0, what was freed holds the poison."""
        buffer = super().alloc(size + _ZONE, align=align, label=label)
        whole = self._zones[buffer.address] = buffer.view
        self._check_fresh(buffer)
        whole[size:] = _GUARD
        buffer.view = whole[:size]
        return buffer

    def alloc_pages(self, size: int, *, label: str = "") -> GuestBuffer:
        """Whole pages, zeroed, without a guard: a device reaches all of a page."""
        pages = -(-size // 4096) * 4096
        buffer = super().alloc(pages, align=4096, label=label)
        buffer.view[:] = bytes(len(buffer))
        return buffer

    def _check_fresh(self, buffer: GuestBuffer) -> None:
        content = bytes(buffer.view)
        if content.count(0) + content.count(POISON) != len(content):
            at = next(i for i, byte in enumerate(content) if byte not in (0, POISON))
            raise Broken("memory-after-free", f"{buffer.address + at:#x} was written after it was freed")

    def free(self, buffer: GuestBuffer) -> None:
        """Give it back; Broken when its guard was written."""
        self.check(buffer)
        whole = self._zones.get(buffer.address)
        if whole is not None and not buffer.is_free:
            buffer.view = whole
            del self._zones[buffer.address]
        super().free(buffer)

    def check(self, buffer: GuestBuffer) -> None:
        """Broken when the guard of an allocation was written."""
        whole = self._zones.get(buffer.address)
        if whole is not None and bytes(whole[len(buffer.view) :]) != _GUARD and not buffer.is_free:
            raise Broken("memory-guard", f"written behind {buffer!r}")

    def check_all(self) -> None:
        """Look at the guards of all that is allocated."""
        for buffer in self.live:
            self.check(buffer)
