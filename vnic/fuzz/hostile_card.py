"""A card that lies: its completions and the states of its objects are rewritten or forged, too."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from vnic.abi import DmaPurpose
from vnic.device import Device
from vnic.events import Event
from vnic.fuzz.hostile_function import HostileFunction
from vnic.gen.registers import BAR0

__all__ = ["ENTRY_BYTES", "HostileCard"]

ENTRY_BYTES = 32
_GEN_BIT = 0x80
_SEEN_MAX = 64


class HostileCard(HostileFunction):
    """A `HostileFunction` in front of a Device.

    rewrite: what becomes of a completion that the card has just written. garble: of the state of an object.
    seen: the last completions, as the card wrote them.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.rewrite: Callable[[bytes], bytes] | None = None
        self.rewrites_left = 0
        self.garble: Callable[[bytes], bytes] | None = None
        self.garbles_left = 0
        self.seen: deque[bytes] = deque(maxlen=_SEEN_MAX)
        super().__init__(device)

    def slot(self, queue: int) -> tuple[memoryview, int] | None:
        """Where the next completion of a queue goes, and the generation it has; None: its ring is nowhere."""
        base = self.device.read(0, BAR0.QP_CQ_BASE.at(queue), 8)
        head = self.device.read(0, BAR0.QP_CQ_HEAD.at(queue))
        count = self.device.read(0, BAR0.QP_CQ_COUNT.at(queue))
        region = self.regions.get(base)
        at = head * ENTRY_BYTES
        if region is None or head >= count or at + ENTRY_BYTES > len(region.memory):
            return None
        entry = region.memory[at : at + ENTRY_BYTES]
        return entry, (entry[ENTRY_BYTES - 1] & _GEN_BIT) ^ _GEN_BIT

    def forge_completion(self, queue: int, entry: bytes) -> bool:
        """Write an entry where the driver looks next, with the generation that makes it new."""
        found = self.slot(queue)
        if found is None:
            return False
        memory, generation = found
        memory[:] = entry[:-1] + bytes([entry[-1] & ~_GEN_BIT | generation])
        self.told += 1
        return True

    def on_write(self, event: Event) -> None:
        """The device wrote to memory: a completion, or the state of an object, may be another in the end."""
        if event.index == DmaPurpose.STATE:
            self._garble(event.addr, event.data)
        if event.index != DmaPurpose.COMPLETION:
            return
        for at in range(0, len(event.data) - ENTRY_BYTES + 1, ENTRY_BYTES):
            self._rewrite(event.addr + at, event.data[at : at + ENTRY_BYTES])

    def _garble(self, addr: int, image: bytes) -> None:
        memory = self.memory_at(addr, len(image)) if self.garbles_left and self.garble is not None else None
        if memory is not None and self.garble is not None:
            memory[:] = self.garble(image)
            self.garbles_left -= 1
            self.told += 1

    def _rewrite(self, addr: int, entry: bytes) -> None:
        self.seen.append(entry)
        if not self.rewrites_left or self.rewrite is None:
            return
        memory = self.memory_at(addr, ENTRY_BYTES)
        if memory is not None:
            memory[:] = self.rewrite(entry)
            self.rewrites_left -= 1
            self.told += 1

    def reform(self) -> None:
        """Honest from now on; what was held comes."""
        self.rewrites_left = self.garbles_left = 0
        super().reform()
