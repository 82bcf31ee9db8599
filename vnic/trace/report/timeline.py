"""Counts of events over a trace, in groups of consecutive events: few enough to draw, however long it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

GROUPS_MAX: Final = 6_000
MARKS_MAX: Final = 200
_MARK_TEXT: Final = 120


@dataclass(slots=True)
class Group:
    """Consecutive events: number and time of the first, time of the last, and how many of each lane."""

    number: int
    first_ns: int
    last_ns: int
    counts: dict[str, int] = field(default_factory=dict)

    def join(self, later: Group) -> None:
        """Take over the group behind this one."""
        self.last_ns = max(self.last_ns, later.last_ns)
        for lane, count in later.counts.items():
            self.counts[lane] = self.counts.get(lane, 0) + count


@dataclass
class Timeline:
    """The groups; all are of `size` events, the last perhaps of fewer; end: behind the last event's number.

    Whenever there are too many, neighbours are joined: the memory is bounded, the resolution halves.
    """

    size: int = 1
    events: int = 0
    end: int = 0
    groups: list[Group] = field(default_factory=list)
    marks: list[tuple[int, int, str]] = field(default_factory=list)
    marks_left_out: int = 0
    _room: int = 0

    def add(self, number: int, time_ns: int, lanes: Iterable[str]) -> None:
        """Count an event in these lanes."""
        self.events += 1
        self.end = number + 1
        if self._room == 0:
            if len(self.groups) == GROUPS_MAX:
                self._halve()
            self.groups.append(Group(number, time_ns, time_ns))
            self._room = self.size
        self._room -= 1
        group = self.groups[-1]
        group.last_ns = max(group.last_ns, time_ns)
        counts = group.counts
        for lane in lanes:
            counts[lane] = counts.get(lane, 0) + 1

    def mark(self, number: int, time_ns: int, text: str) -> None:
        """Keep what the user said, as far as it can be shown."""
        if len(self.marks) == MARKS_MAX:
            self.marks_left_out += 1
            return
        self.marks.append((number, time_ns, text[:_MARK_TEXT]))

    def _halve(self) -> None:
        kept = self.groups[::2]
        for group, later in zip(kept, self.groups[1::2], strict=False):
            group.join(later)
        self.groups = kept
        self.size *= 2
