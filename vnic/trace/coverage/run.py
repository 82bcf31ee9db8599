"""What one run, or the sum of several, reached."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

from vnic.abi import EventType
from vnic.errors import ArgumentError
from vnic.trace.coverage.chimney import EVENTS, SAYS, ChimneyCoverage, ChimneyWatch
from vnic.trace.coverage.registers import MAPS, Key, Kind, RegisterCoverage, RegisterWatch, registers
from vnic.trace.coverage.resets import Level
from vnic.trace.coverage.shadow import State
from vnic.trace.event import ACCESSES, TraceEvent
from vnic.trace.file import TraceReader
from vnic.trace.names import Names

__all__ = ["FORMAT", "RunCoverage", "Watches", "cover", "load", "parsed"]

FORMAT: Final = "vnic-coverage/1"
_SIZE_MAX: Final = 1 << 26
_MAP_HASHES: Final = {each.name: f"{each.hash:016x}" for each in MAPS}
_KEYS: Final = frozenset(key for key, _ in registers())
_OUTSIDE: Final = frozenset({EventType.RESET, EventType.REMOVE})
T = TypeVar("T", bound=Enum)


@dataclass
class RunCoverage:
    """`runs`: traces in it; `requirements`: ids, by tests that passed."""

    registers: RegisterCoverage = field(default_factory=RegisterCoverage)
    chimney: ChimneyCoverage = field(default_factory=ChimneyCoverage)
    requirements: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    events: int = 0

    def merge(self, other: RunCoverage) -> None:
        """Add another run."""
        self.registers.merge(other.registers)
        self.chimney.merge(other.chimney)
        self.requirements += other.requirements
        self.runs += other.runs
        self.events += other.events

    def as_json(self) -> dict[str, Any]:
        """Of format vnic-coverage/1; lists are sorted, so equal runs are equal files."""
        found = self.registers
        return {
            "format": FORMAT,
            "maps": _MAP_HASHES,
            "runs": self.runs,
            "events": self.events,
            "accesses": sorted([*key, kind.name, n] for (key, kind), n in found.accesses.items()),
            "after": sorted([*key, level.name, n] for (key, level), n in found.after.items()),
            "bits": sorted(
                [*key, found.zeros.get(key, 0), found.ones.get(key, 0)] for key in {*found.zeros, *found.ones}
            ),
            "strays": sorted([what, n] for what, n in found.strays.items()),
            "chimney": sorted([state.name, what, n] for (state, what), n in self.chimney.cells.items()),
            "said": sorted([state.name, what, n] for (state, what), n in self.chimney.said.items()),
            "connections": self.chimney.connections,
            "requirements": sorted([name, n] for name, n in self.requirements.items()),
        }

    def write(self, path: Path) -> None:
        """As a file; OSError."""
        path.write_text(json.dumps(self.as_json(), separators=(",", ":")) + "\n", encoding="utf-8")


class _Watch:
    """One function of a trace."""

    def __init__(self, into: RunCoverage, names: Names) -> None:
        self._registers = RegisterWatch(into.registers, names)
        self._chimney = ChimneyWatch(into.chimney, names)

    def add(self, event: TraceEvent) -> None:
        """An event of this function."""
        if event.type in ACCESSES:
            self._registers.add(event)
        elif event.type in _OUTSIDE:
            self._registers.outside(event)
            self._chimney.forget()
        self._chimney.add(event)


class Watches:
    """Of all functions of a trace."""

    def __init__(self, into: RunCoverage, names: Names) -> None:
        self._into = into
        self._names = names
        self._watches: dict[int, _Watch] = {}
        into.runs += 1

    def add(self, event: TraceEvent) -> None:
        """The next event."""
        self._into.events += 1
        watch = self._watches.get(event.function)
        if watch is None:
            watch = self._watches[event.function] = _Watch(self._into, self._names)
        watch.add(event)


def cover(reader: TraceReader, into: RunCoverage | None = None) -> RunCoverage:
    """Read a trace to its end, and add it. TraceError when it is broken."""
    found = into or RunCoverage()
    watches = Watches(found, Names(reader.header))
    for event in reader:
        watches.add(event)
    return found


def load(path: Path) -> RunCoverage:
    """Read a file of format vnic-coverage/1; ArgumentError says what is wrong with it."""
    try:
        if path.stat().st_size > _SIZE_MAX:
            raise ArgumentError(f"{path}: more than {_SIZE_MAX >> 20} MiB")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"{path}: {error}") from error
    try:
        return parsed(raw)
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}") from error


def parsed(raw: object) -> RunCoverage:
    """What as_json() gave; ArgumentError says what is wrong with it."""
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ArgumentError(f"not of format {FORMAT}")
    if raw.get("maps") != _MAP_HASHES:
        raise ArgumentError("of a card with other registers")
    try:
        return _parsed(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise ArgumentError(f"{type(error).__name__}: {error}") from error


def _parsed(raw: Mapping[str, Any]) -> RunCoverage:
    found = RunCoverage(runs=_count(raw["runs"]), events=_count(raw["events"]))
    found.registers.accesses = _counter(raw["accesses"], 4, lambda row: (_key(row), Kind[row[2]]))
    found.registers.after = _counter(raw["after"], 4, lambda row: (_key(row), Level[row[2]]))
    for row in _rows(raw["bits"], 4):
        key = _key(row)
        found.registers.zeros[key], found.registers.ones[key] = _count(row[2]), _count(row[3])
    found.registers.strays = _counter(raw["strays"], 2, lambda row: _text(row[0]))
    found.chimney.cells = _counter(raw["chimney"], 3, lambda row: (State[row[0]], _one_of(row[1], EVENTS)))
    found.chimney.said = _counter(raw["said"], 3, lambda row: (State[row[0]], _one_of(row[1], SAYS)))
    found.chimney.connections = _count(raw["connections"])
    found.requirements = _counter(raw["requirements"], 2, lambda row: _text(row[0]))
    return found


K = TypeVar("K")


def _counter(rows: object, length: int, key: Callable[[list[Any]], K]) -> Counter[K]:
    found: Counter[K] = Counter()
    for row in _rows(rows, length):
        found[key(row)] += _count(row[-1])
    return found


def _rows(rows: object, length: int) -> Iterable[list[Any]]:
    if not isinstance(rows, list):
        raise TypeError("a list of lists is expected")
    for row in rows:
        if not isinstance(row, list) or len(row) != length:
            raise ValueError(f"{str(row)[:60]} is not a list of {length}")
        yield row


def _key(row: list[Any]) -> Key:
    key = _text(row[0]), _text(row[1])
    if key not in _KEYS:
        raise ValueError(f"there is no register {key[1]} in {key[0]}")
    return key


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{str(value)[:60]} is not a count")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError(f"{str(value)[:60]} is not a name")
    return value


def _one_of(value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{str(value)[:60]} is not known")
    return str(value)
