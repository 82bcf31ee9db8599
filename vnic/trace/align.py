"""Two sequences of events beside each other: what only one has, and what differs, in one pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from vnic.trace.event import TraceEvent

#: How far ahead a common event is looked for.
WINDOW: Final = 256


class Pair(NamedTuple):
    """A difference: an event of the left, of the right, or one of each that should be the same."""

    left: TraceEvent | None
    right: TraceEvent | None


def aligned(left: Iterable[TraceEvent], right: Iterable[TraceEvent]) -> Iterator[Pair]:
    """The differences, in order; memory is bounded by WINDOW events of each.

    After a difference the two go on where the next three events of one are found in the other; where they are
    not found within the window, event by event.
    """
    one, other = _Ahead(left), _Ahead(right)
    while one.fill(1) + other.fill(1):
        if not (one.waiting and other.waiting):
            yield Pair(one.take(), other.take())
        elif _key(one.waiting[0]) == _key(other.waiting[0]):
            one.take()
            other.take()
        else:
            yield from _part(one, other)


class _Ahead:
    """Events with a look ahead."""

    def __init__(self, events: Iterable[TraceEvent]) -> None:
        self._events = iter(events)
        self.waiting: deque[TraceEvent] = deque()

    def fill(self, count: int) -> int:
        """Have `count` events waiting, if there are so many; how many wait."""
        while len(self.waiting) < count:
            event = next(self._events, None)
            if event is None:
                break
            self.waiting.append(event)
        return len(self.waiting)

    def take(self) -> TraceEvent | None:
        """The next one."""
        return self.waiting.popleft() if self.waiting else None


def _key(event: TraceEvent) -> tuple[object, ...]:
    """What makes two events the same: all but where they stand."""
    return event[1:-1]


def _part(one: _Ahead, other: _Ahead) -> Iterator[Pair]:
    """The events up to where the two meet again."""
    one.fill(WINDOW)
    other.fill(WINDOW)
    skip_one, skip_other = _meeting([_key(e) for e in one.waiting], [_key(e) for e in other.waiting])
    for _ in range(min(skip_one, skip_other)):
        yield Pair(one.take(), other.take())
    for _ in range(skip_one - skip_other):
        yield Pair(one.take(), None)
    for _ in range(skip_other - skip_one):
        yield Pair(None, other.take())


def _meeting(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> tuple[int, int]:
    """The nearest places where three events in a row (or all that are left) are the same."""
    places: dict[tuple[object, ...], list[int]] = {}
    for at, key in enumerate(other):
        places.setdefault(key, []).append(at)
    best: tuple[int, int] | None = None
    for at, key in enumerate(one):
        if best is not None and at >= sum(best):
            break
        for there in places.get(key, ()):
            if best is not None and at + there >= sum(best):
                break
            if one[at : at + 3] == other[there : there + 3]:
                best = (at, there)
                break
    return best or (1, 1)
