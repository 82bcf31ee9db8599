"""What a race is: the kinds, who took part, where and when; and the exception that carries them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

_BYTES_SHOWN = 16
_RACES_SHOWN = 8


class RaceKind(Enum):
    """Which rule was broken; the value is what a report says of it."""

    HOST_WRITE = "the host wrote memory that a device has"  # NDMA-30
    HOST_READ = "the host read memory that a device is still writing"  # NDMA-30
    OVERLAP = "two transfers that nothing orders use the same memory, and one writes it"  # NDMA-31
    UNMAPPED = "memory was taken from a device that still uses it"  # NDMA-32
    COMPLETED = "the device used memory of a descriptor that it had completed"  # NDMA-32
    DESCRIPTOR = "a descriptor changed while the device had it"  # NDMA-33


class Moment(NamedTuple):
    """When: a number that rises with everything that the checker hears, and the virtual time."""

    order: int
    ns: int

    def __str__(self) -> str:
        return f"{self.ns} ns"


@dataclass(frozen=True, slots=True)
class Party:
    """One of those who met: a transfer, a mapping or the host.

    name: `card RX[0] #17`, `mapping of card`, `host`. detail: a phrase. bus, length: its range there, None of
    the host; descriptor: bus address. since, until: None when not known, or when it has not ended.
    """

    name: str
    detail: str = ""
    bus: int | None = None
    length: int = 0
    descriptor: int | None = None
    index: int | None = None
    since: Moment | None = None
    until: Moment | None = None

    def __str__(self) -> str:
        where = "" if self.descriptor is None else f", descriptor at bus {self.descriptor:#x}"
        memory = "" if self.bus is None else f", {self.length} bytes at bus {self.bus:#x}"
        since = "" if self.since is None else f", since {self.since}"
        until = "" if self.until is None else f", ended at {self.until}"
        detail = f" {self.detail}" if self.detail else ""
        return f"{self.name}:{detail}{where}{memory}{since}{until}"


@dataclass(frozen=True, slots=True)
class Race:
    """One race. address, length: guest memory in question; parties: who had it first, and who came then.

    before, after: the bytes there, where the host changed them; seen: when it was noticed; label: of the
    allocation; writes: the last register writes, oldest first.
    """

    kind: RaceKind
    address: int
    length: int
    parties: tuple[Party, Party]
    seen: Moment
    before: bytes = b""
    after: bytes = b""
    label: str = ""
    writes: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """Address of the last byte."""
        return self.address + self.length - 1

    def __str__(self) -> str:
        label = f" ({self.label})" if self.label else ""
        lines = [
            f"{self.kind.name} of {self.length} bytes at guest {self.address:#x}{label}: {self.kind.value}",
            *(f"  {party}" for party in self.parties),
        ]
        if self.before != self.after:
            lines.append(f"  bytes: {_hex(self.before)} became {_hex(self.after)}")
        lines.append(f"  noticed at {self.seen}")
        if self.writes:
            lines.append("  last register writes: " + "; ".join(self.writes))
        return "\n".join(lines)


def _hex(data: bytes) -> str:
    more = " .." if len(data) > _BYTES_SHOWN else ""
    return data[:_BYTES_SHOWN].hex(" ") + more


class DmaRaceError(AssertionError):
    """Host and devices raced; `races` are those that were kept, oldest first."""

    def __init__(self, races: Sequence[Race], more: int = 0) -> None:
        self.races = tuple(races)
        self.more = more
        count = len(races) + more
        shown = "\n".join(str(race) for race in self.races[:_RACES_SHOWN])
        rest = count - min(len(races), _RACES_SHOWN)
        super().__init__(f"{count} DMA races\n{shown}" + (f"\nand {rest} more" if rest else ""))
