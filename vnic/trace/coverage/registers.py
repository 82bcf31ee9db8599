"""Coverage of registers: kinds of access, values of bits, and what was looked at after which reset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final

from vnic.gen.model import Field, Register, RegisterMap
from vnic.gen.registers import BAR0, CONFIG, COPY_BAR0, MSIX_TABLE
from vnic.trace.coverage.resets import Level, Resets, reached_by_queue_reset
from vnic.trace.event import READS, TraceEvent
from vnic.trace.names import Names, Place

#: Of these and no others; a device of others brings no reset values.
MAPS: Final[tuple[RegisterMap, ...]] = (CONFIG.MAP, BAR0.MAP, MSIX_TABLE.MAP, COPY_BAR0.MAP)
_MAP_OF: Final = {id(register): each.name for each in MAPS for register in each}
_LEVELS_ABOVE: Final = frozenset(Level) - {Level.QUEUE}


class Kind(Enum):
    """What an access was to a register; spec/coverage.md."""

    READ = "read"
    WRITE = "write"
    READ_ONLY = "read-only write"
    CLEAR = "clear"
    PARTIAL = "partial"


#: Map and register.
Key = tuple[str, str]


def is_writable(register: Register) -> bool:
    """Whether a write can change anything."""
    return any(each.access not in ("ro", "rc") for each in register.fields)


def possible(register: Register) -> tuple[Kind, ...]:
    """The kinds of access that a register can see."""
    kinds = [Kind.READ, Kind.WRITE if is_writable(register) else Kind.READ_ONLY]
    if register.mask("w1c"):
        kinds.append(Kind.CLEAR)
    return (*kinds, Kind.PARTIAL)


@lru_cache(maxsize=1024)
def _resettable(register: Register) -> int:
    """Bits that a driver can set to something that a reset undoes."""
    return register.mask("rw")


@dataclass
class RegisterCoverage:
    """Counts, by map and register; they add up."""

    accesses: Counter[tuple[Key, Kind]] = field(default_factory=Counter)
    after: Counter[tuple[Key, Level]] = field(default_factory=Counter)
    zeros: dict[Key, int] = field(default_factory=dict)
    ones: dict[Key, int] = field(default_factory=dict)
    strays: Counter[str] = field(default_factory=Counter)

    def merge(self, other: RegisterCoverage) -> None:
        """Add what another run reached."""
        self.accesses += other.accesses
        self.after += other.after
        self.strays += other.strays
        for mine, its in ((self.zeros, other.zeros), (self.ones, other.ones)):
            for key, bits in its.items():
                mine[key] = mine.get(key, 0) | bits

    def see(self, key: Key, value: int, mask: int) -> None:
        """Bits that had these values."""
        self.zeros[key] = self.zeros.get(key, 0) | (~value & mask)
        self.ones[key] = self.ones.get(key, 0) | (value & mask)

    def bits(self, key: Key, which: Field) -> tuple[int, int]:
        """How many bits of a field were seen both as 0 and as 1, and how many it has."""
        both = self.zeros.get(key, 0) & self.ones.get(key, 0) & which.mask
        return both.bit_count(), which.width


class RegisterWatch:
    """Adds the accesses of one function to a RegisterCoverage, in their order."""

    def __init__(self, into: RegisterCoverage, names: Names) -> None:
        self._into = into
        self._names = names
        self._resets = Resets()
        self._last: dict[tuple[int, int], int] = {}
        self._changed: dict[tuple[int, int], Register] = {}
        self._waiting: dict[tuple[int, int], set[Level]] = {}

    def outside(self, event: TraceEvent) -> None:
        """A reset, or a removal."""
        level = self._resets.outside(event)
        if level is not None:
            self._reset(level, None)

    def add(self, event: TraceEvent) -> None:
        """A register or configuration access."""
        place = self._names.place(event)
        if place is None:
            self._into.strays[f"{'read' if event.type in READS else 'write'} of no register"] += 1
            return
        where = _MAP_OF.get(id(place.register))
        if where is None:
            return
        key = where, place.register.name
        if event.width < place.register.bytes or place.rest:
            self._into.accesses[key, Kind.PARTIAL] += 1
        if event.type in READS:
            self._read(event, place, key)
        else:
            self._write(event, place, key)

    def _read(self, event: TraceEvent, place: Place, key: Key) -> None:
        register, spot = place.register, (id(place.register), place.element)
        if _is_no_answer(event, register):
            self._into.strays["read that nobody answered"] += 1
            return
        self._into.accesses[key, Kind.READ] += 1
        for level in self._waiting.pop(spot, ()):
            self._into.after[key, level] += 1
        if place.rest == 0 and event.width >= register.bytes:
            self._last[spot] = event.value
            self._into.see(key, event.value, _known(register))

    def _write(self, event: TraceEvent, place: Place, key: Key) -> None:
        register, spot = place.register, (id(place.register), place.element)
        kind = Kind.WRITE if is_writable(register) else Kind.READ_ONLY
        self._into.accesses[key, kind] += 1
        self._waiting.pop(spot, None)
        value = event.value << 8 * place.rest
        if value & self._last.get(spot, 0) & register.mask("w1c"):
            self._into.accesses[key, Kind.CLEAR] += 1
        if place.rest == 0 and event.width >= register.bytes:
            self._into.see(key, event.value, register.mask("rw"))
        if (value ^ register.reset) & _resettable(register):
            self._changed[spot] = register
        level = self._resets.written(event, place)
        if level is not None:
            self._reset(level, place)

    def _reset(self, level: Level, cause: Place | None) -> None:
        """What had been changed is worth a look now; a queue reset reaches its own element's rings only."""
        for spot, register in list(self._changed.items()):
            if level is Level.QUEUE and not (
                cause is not None
                and spot[1] == cause.element
                and reached_by_queue_reset(cause.register, register)
            ):
                continue
            self._waiting.setdefault(spot, set()).add(level)
            if level in _LEVELS_ABOVE:
                del self._changed[spot]
                self._last.pop(spot, None)


def _is_no_answer(event: TraceEvent, register: Register) -> bool:
    """All ones where some bits are always 0: memory space is off, or the card gone, or in D3."""
    return event.value == (1 << 8 * event.width) - 1 and _known(register) != (1 << register.width) - 1


@lru_cache(maxsize=1024)
def _known(register: Register) -> int:
    """Bits that belong to a field."""
    return sum(each.mask for each in register.fields)


def registers() -> Iterator[tuple[Key, Register]]:
    """Every register of every map."""
    for each in MAPS:
        for register in each:
            yield (each.name, register.name), register
