"""The last register writes, as a report shows them."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from vnic.events import Event
from vnic.gen.model import RegisterMap

_KEPT = 8


class Write(NamedTuple):
    """A register write: of which function, the map of that BAR where there is one, and the event."""

    function: str
    registers: RegisterMap | None
    event: Event

    def __str__(self) -> str:
        bar, offset = self.event.index, self.event.addr
        name = f"BAR{bar}+{offset:#x}" if self.registers is None else self.registers.describe(offset)
        return f"{self.function} {name} = {self.event.value:#x} at {self.event.time_ns} ns"


class History:
    """Register writes of all functions of a machine, in their order."""

    def __init__(self) -> None:
        self._writes: deque[Write] = deque(maxlen=_KEPT)

    def add(self, write: Write) -> None:
        """A write; the oldest is forgotten."""
        self._writes.append(write)

    def lines(self) -> tuple[str, ...]:
        """Oldest first: `card QP_RX_TAIL[0] = 0x40 at 1200 ns`."""
        return tuple(map(str, self._writes))
