"""Judges of a replay: which differences are borne, and where device and trace meet again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vnic.abi import EventType
from vnic.trace.event import INPUTS, READS, TraceEvent
from vnic.trace.names import Names
from vnic.trace.replay import Decision, Difference

_KEPT: Final = 1000
_ALL: Final = (1 << 64) - 1


@dataclass
class Tolerant:
    """Goes on after differences in what was read or done; reports them, by register.

    masks: bits of a register that may differ, by its name without index: volatile bits, statistics, counters
    (-1: all of it). resync: also goes on where one has an event that the other has not. At most the first
    1,000 differences are kept; counts are of all.
    """

    names: Names
    masks: Mapping[str, int] = field(default_factory=dict)
    resync: bool = False
    differences: list[Difference] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    borne: int = 0

    def __call__(self, difference: Difference) -> Decision:
        """What to do about a difference."""
        expected, actual = difference.expected, difference.actual
        if expected is not None and actual is not None and _is_same_kind(expected, actual):
            if self._is_borne(expected, actual):
                self.borne += 1
            else:
                self._keep(difference, expected)
            return Decision.GO_ON
        if not self.resync:
            return Decision.STOP
        decision = _meet(expected, actual)
        self._keep(difference, actual if decision is Decision.DROP_ACTUAL else expected)
        return decision

    def _is_borne(self, expected: TraceEvent, actual: TraceEvent) -> bool:
        if expected.type not in READS or expected.time_ns != actual.time_ns:
            return False
        place = self.names.place(expected)
        mask = self.masks.get(place.register.name, 0) & _ALL if place else 0
        return (expected.value ^ actual.value) << 8 * (place.rest if place else 0) & ~mask == 0

    def _keep(self, difference: Difference, event: TraceEvent | None) -> None:
        self.counts[self._subject(event)] += 1
        if len(self.differences) < _KEPT:
            self.differences.append(difference)

    def _subject(self, event: TraceEvent | None) -> str:
        """What a difference is about: a register by name, or a type of event."""
        if event is None:
            return "nothing"
        place = self.names.place(event) if event.type in READS else None
        return place.register.name if place else event.type.name


def _is_same_kind(expected: TraceEvent, actual: TraceEvent) -> bool:
    """Whether the two are one event that turned out differently."""
    if (expected.type, expected.function) != (actual.type, actual.function):
        return False
    return expected.type not in INPUTS or (
        (expected.index, expected.width, expected.addr) == (actual.index, actual.width, actual.addr)
    )


def _meet(expected: TraceEvent | None, actual: TraceEvent | None) -> Decision:
    if expected is None:
        return Decision.DROP_ACTUAL
    if actual is None:
        return Decision.DROP_EXPECTED
    # An input of the trace waits for the device's word of it, and a DMA read for the device to ask for it;
    # everything else before what came is one too many.
    is_awaited = expected.type in INPUTS or expected.type in {EventType.DMA_READ, EventType.HASH}
    return Decision.DROP_ACTUAL if is_awaited else Decision.DROP_EXPECTED
