"""Delta debugging of a trace: the fewest inputs with which a device still differs from it in the same way.

An input goes or stays together with what it caused when it was recorded: nothing that the recorded device
did is made up. So a candidate is what the recorded device would have done without the inputs that are gone,
as far as the replay up to the difference can tell; `passes` asks that device itself.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from vnic.abi import EventType
from vnic.errors import ArgumentError
from vnic.trace.event import ACCESSES, INPUTS, READS, TraceEvent
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.header import TraceError, TraceHeader
from vnic.trace.replay import Difference, Outcome, Replay

TRIES: Final = 2000
_WRITES: Final = ACCESSES - READS
_MEMORY: Final = frozenset({EventType.MAP, EventType.UNMAP})

#: Whether a trace file fails, or passes.
Check = Callable[[str | os.PathLike[str]], bool]


class Unit(NamedTuple):
    """One input with what it causes, as recorded; `before`: the time of its function until then."""

    events: tuple[TraceEvent, ...]
    before: int

    @property
    def is_input(self) -> bool:
        """Whether there is an input among them: a state hash, as an example, is none."""
        return any(event.type in INPUTS for event in self.events)


class Signature(NamedTuple):
    """What makes two differences the same: all but when and where in the file."""

    expected: TraceEvent | None
    actual: TraceEvent | None
    is_late: bool

    @classmethod
    def of(cls, difference: Difference) -> Signature:
        """Of a difference."""
        expected, actual = difference.expected, difference.actual
        is_late = expected is not None and actual is not None and expected.time_ns != actual.time_ns
        return cls(_placeless(expected), _placeless(actual), is_late)


def _placeless(event: TraceEvent | None) -> TraceEvent | None:
    return event and event._replace(number=0, time_ns=0, offset=0)


@dataclass(frozen=True, slots=True)
class Minimized:
    """What came of it; is_minimal: without any one of its inputs it no longer fails so."""

    inputs_before: int
    inputs: int
    events: int
    tries: int
    is_minimal: bool


# -- the parts -----------------------------------------------------------------------------------------------


def units_of(source: str | os.PathLike[str]) -> tuple[TraceHeader, list[Unit], Difference | None]:
    """Header, units and first difference of a trace.

    Which output is whose, the replay says; behind a difference, and where there is no device to replay it
    into, an input starts a unit. TraceError for events that are not known: they may be inputs.
    """
    with TraceReader(source) as reader:
        events = list(reader)
        header = reader.header
        if reader.skipped:
            raise TraceError(f"{reader.skipped} events of a kind that is not known: none may be left out")
    ends, difference = _ends(source)
    behind = _behind(difference, len(events)) if difference else max([0, *ends]) + 1
    ends += [place for place in range(behind, len(events)) if events[place].type in INPUTS]
    return header, _cut(events, [*ends, len(events)]), difference


def _behind(difference: Difference, count: int) -> int:
    """How many events there are up to the one that differs, with it."""
    return difference.number + 1 if difference.expected is not None else count


def _ends(source: str | os.PathLike[str]) -> tuple[list[int], Difference | None]:
    """How many events are behind after each input, as long as the device does what the trace says."""
    ends: list[int] = []
    try:
        replay = Replay(source)
    except TraceError:
        return ends, None
    with replay:
        try:
            while replay.run(replay.events + 1) is Outcome.STOPPED:
                ends.append(replay.events)
        finally:
            for device in replay.devices.values():
                device.close()
    return ends, replay.difference


def _cut(events: Sequence[TraceEvent], ends: Sequence[int]) -> list[Unit]:
    units, start = [], 0
    times: dict[int, int] = {}
    for end in ends:
        part = tuple(events[start:end])
        if part:
            units.append(Unit(part, times.get(part[-1].function, 0)))
            times.update((event.function, event.time_ns) for event in part)
        start = max(start, end)
    return units


class Encoder:
    """The octets of units, each encoded once: numbers of events stay, which a replay does not compare."""

    def __init__(self, header: TraceHeader) -> None:
        self._stream = io.BytesIO()
        self._writer = TraceWriter(self._stream, header)
        self._head = self._stream.getvalue()
        self._known: dict[int, bytes] = {}

    def octets(self, units: Sequence[Unit]) -> bytes:
        """A trace of these units."""
        clocks: dict[int, int] = {}
        parts = [self._head]
        for unit in units:
            parts.append(self._unit(unit, clocks))
        return b"".join(parts)

    def _unit(self, unit: Unit, clocks: dict[int, int]) -> bytes:
        events = timed(unit, clocks)
        if events != list(unit.events):
            return self._encoded(events)
        if id(unit) not in self._known:
            self._known[id(unit)] = self._encoded(events)
        return self._known[id(unit)]

    def _encoded(self, events: Sequence[TraceEvent]) -> bytes:
        self._stream.seek(0)
        self._stream.truncate()
        for event in events:
            self._writer.write(event)
        return self._stream.getvalue()


def joined(units: Sequence[Unit]) -> list[TraceEvent]:
    """Events of units that are left, with the time as it is without those that are gone."""
    clocks: dict[int, int] = {}
    return [event for unit in units for event in timed(unit, clocks)]


def timed(unit: Unit, clocks: dict[int, int]) -> list[TraceEvent]:
    """The events of a unit that comes at these times of the functions, which go on with it."""
    events = []
    for event in unit.events:
        time_ns = event.time_ns if event.time_ns > unit.before else clocks.get(event.function, 0)
        clocks[event.function] = time_ns
        events.append(event if time_ns == event.time_ns else event._replace(time_ns=time_ns))
    return events


def write(path: str | os.PathLike[str], header: TraceHeader, units: Sequence[Unit]) -> int:
    """Write a trace of these units; how many events it has."""
    with TraceWriter(path, header) as writer:
        for event in joined(units):
            writer.write(event)
        return writer.count


# -- the search ----------------------------------------------------------------------------------------------


class Search:
    """Leaves out units while `fails` holds; deterministic, and at most `tries` times.

    tell: called with tries so far and units that are left.
    """

    def __init__(
        self, fails: Callable[[list[Unit]], bool], tries: int, tell: Callable[[int, int], None]
    ) -> None:
        self._fails = fails
        self._limit = tries
        self._tell = tell
        self.tries = 0

    @property
    def is_spent(self) -> bool:
        """Whether no try is left."""
        return self.tries >= self._limit

    def run(self, units: list[Unit], is_fixed: Callable[[Unit], bool]) -> tuple[list[Unit], bool]:
        """What is left, and whether not one more can go."""
        size = len(units)
        while size and not self.is_spent:
            fewer = self._sweep(units, size, is_fixed)
            is_done = size == 1 and len(fewer) == len(units)
            units = fewer
            if is_done:
                return units, not self.is_spent
            size = max(min(size, len(units)) // 2, 1)
        return units, False

    def _sweep(self, units: list[Unit], size: int, is_fixed: Callable[[Unit], bool]) -> list[Unit]:
        """Try without each run of `size` units, from the end on: what is late needs what is early."""
        end = len(units)
        while end > 0 and not self.is_spent:
            start = max(end - size, 0)
            rest = units[:start] + [unit for unit in units[start:end] if is_fixed(unit)] + units[end:]
            if len(rest) < len(units) and self._try(rest):
                units = rest
            end = start
        return units

    def _try(self, units: list[Unit]) -> bool:
        self.tries += 1
        self._tell(self.tries, len(units))
        return self._fails(units)


def minimize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    check: Check | None = None,
    passes: Check | None = None,
    tries: int = TRIES,
    tell: Callable[[int, int], None] = lambda tries, units: None,
) -> Minimized:
    """Write the shortest trace found to `target`.

    check: says that a file fails; without it, a file fails when its strict replay differs first in the same
    event as the whole trace, with the same values expected and come. passes: has to hold of every candidate
    as well: the recorded device does what it says. Without either, writes to the register whose value differs
    stay, or their absence would pass for the failure.
    ArgumentError when the trace does not fail, or fails in a state hash, which no part of it can have.
    """
    header, units, difference = units_of(source)
    before = sum(unit.is_input for unit in units)
    judge = _Judge(header, target, check, passes)
    if check is None:
        units = judge.expect(units, difference)
    elif not check(source):
        raise ArgumentError("the check passes with the whole trace: there is nothing to minimize")
    if passes is not None and not judge.is_passing(units):
        raise ArgumentError("the reference does not do what the trace says up to the difference")
    search = Search(judge.fails, tries, tell)
    try:
        units, is_minimal = search.run(units, judge.is_fixed)
    finally:
        events = write(target, header, units)
    inputs = sum(unit.is_input for unit in units)
    return Minimized(before, inputs, events, search.tries, is_minimal)


class _Judge:
    """Says which candidates fail; for commands they are written to the target in turn."""

    def __init__(
        self,
        header: TraceHeader,
        path: str | os.PathLike[str],
        check: Check | None,
        passes: Check | None,
    ) -> None:
        self._header = header
        self._encoder = Encoder(header)
        self._path = path
        self._check = check
        self._passes = passes
        self._signature: Signature | None = None
        self._last: Unit | None = None

    def expect(self, units: list[Unit], difference: Difference | None) -> list[Unit]:
        """The units up to the difference, which is to be found again."""
        if difference is None:
            raise ArgumentError("the trace replays as it says: there is nothing to minimize")
        signature = Signature.of(difference)
        if EventType.HASH in {each.type for each in signature[:2] if each}:
            raise ArgumentError("the state hash differs: `vnic trace bisect` finds where two runs part")
        self._signature = signature
        left = _behind(difference, sum(len(unit.events) for unit in units))
        kept = []
        for unit in units:
            left -= len(unit.events)
            kept.append(_without_memory(unit))
            if left <= 0:
                break
        self._last = kept[-1]
        return kept

    def is_fixed(self, unit: Unit) -> bool:
        """What is in every candidate."""
        if self._check is not None:
            return False
        is_start = any(event.type == EventType.LOAD for event in unit.events)
        return is_start or unit is self._last or (self._passes is None and self._is_source(unit))

    def _is_source(self, unit: Unit) -> bool:
        """Whether it writes what is read at the difference."""
        target = self._signature and self._signature.expected
        if target is None or target.type not in READS:
            return False
        return any(event.type in _WRITES and _overlap(event, target) for event in unit.events)

    def fails(self, units: list[Unit]) -> bool:
        """Whether these units fail as the whole trace does."""
        if self._check is None:
            is_failing = self._differs(self._encoder.octets(units))
        else:
            write(self._path, self._header, units)
            is_failing = self._check(self._path)
        return is_failing and (self._passes is None or self._check_reference(units))

    def is_passing(self, units: list[Unit]) -> bool:
        """Whether the reference does what these units say."""
        return self._check_reference(units)

    def _check_reference(self, units: list[Unit]) -> bool:
        assert self._passes is not None
        write(self._path, self._header, units)
        return self._passes(self._path)

    def _differs(self, octets: bytes) -> bool:
        with Replay(io.BytesIO(octets)) as replay:
            try:
                outcome = replay.run()
            finally:
                for device in replay.devices.values():
                    device.close()
            return (
                outcome is Outcome.DIFFERENT
                and replay.difference is not None
                and Signature.of(replay.difference) == self._signature
            )


def _without_memory(unit: Unit) -> Unit:
    """A replay has no memory: which of it was mapped is of no use to it."""
    return unit._replace(events=tuple(event for event in unit.events if event.type not in _MEMORY))


def _overlap(write: TraceEvent, read: TraceEvent) -> bool:
    """Whether two accesses are to the same octets."""
    is_config = write.type == EventType.CFG_WRITE, read.type == EventType.CFG_READ
    return (
        is_config[0] == is_config[1]
        and (write.function, write.index) == (read.function, read.index)
        and write.addr < read.addr + read.width
        and read.addr < write.addr + write.width
    )
