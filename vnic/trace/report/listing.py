"""Which events the page lists: the first, the last, and those that one would look for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vnic.abi import DmaStatus, EventType, RxVerdict
from vnic.trace.event import TraceEvent

FIRST: Final = 1_500
LAST: Final = 300
NOTABLE: Final = 700
_DATA_KEPT: Final = 64
_TEXT_KEPT: Final = 1_024
_ALWAYS: Final = frozenset(
    {
        EventType.LINK,
        EventType.RESET,
        EventType.REMOVE,
        EventType.FAULT,
        EventType.ARM,
        EventType.LOAD,
        EventType.MARK,
        EventType.HASH,
    }
)
_DMA: Final = frozenset({EventType.DMA_READ, EventType.DMA_WRITE})


def is_notable(event: TraceEvent) -> bool:
    """Marks, faults, resets, link, transfers that failed, frames that were not taken."""
    if event.type in _DMA:
        return event.value != DmaStatus.OK
    if event.type == EventType.FRAME_IN:
        return event.value != RxVerdict.TAKEN
    return event.type in _ALWAYS


@dataclass
class Listing:
    """Keeps them while the trace goes by; the memory is bounded."""

    events: int = 0
    _too_many: int = 0
    _first: list[TraceEvent] = field(default_factory=list)
    _notable: list[TraceEvent] = field(default_factory=list)
    _last: deque[TraceEvent] = field(default_factory=lambda: deque(maxlen=LAST))

    def add(self, event: TraceEvent) -> None:
        """The next event."""
        self.events += 1
        kept = _TEXT_KEPT if event.type == EventType.MARK else _DATA_KEPT
        if len(event.data) > kept:
            event = event._replace(data=event.data[:kept])
        if len(self._first) < FIRST:
            self._first.append(event)
            return
        if is_notable(event):
            if len(self._notable) < NOTABLE:
                self._notable.append(event)
            else:
                self._too_many += 1
        self._last.append(event)

    def kept(self) -> list[TraceEvent]:
        """Those that are listed, in their order."""
        start = self._last[0].number if self._last else 0
        return [*self._first, *(each for each in self._notable if each.number < start), *self._last]

    @property
    def notable_left_out(self) -> int:
        """Notable events for which there was no room, but for those that are among the last anyway."""
        return self._too_many - min(self._too_many, sum(map(is_notable, self._last)))

    def rows(self) -> Iterator[TraceEvent | int]:
        """Them, and where some are left out between, how many."""
        number = 0
        for event in self.kept():
            if event.number > number:
                yield event.number - number
            yield event
            number = event.number + 1
