"""Everything that the page shows, gathered in one pass over a trace in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from vnic.abi import DmaPurpose, DmaStatus, EventType, InterruptKind, RxVerdict
from vnic.trace.coverage.run import RunCoverage, Watches
from vnic.trace.event import ACCESSES, FRAMES, TraceEvent
from vnic.trace.file import TraceReader
from vnic.trace.header import TraceHeader
from vnic.trace.names import Names, Place
from vnic.trace.report.connections import Connections
from vnic.trace.report.listing import Listing
from vnic.trace.report.polls import Polls
from vnic.trace.report.timeline import Timeline
from vnic.trace.report.usage import Usage

#: Lanes of the timeline, from top to bottom; the events of each.
LANES: Final = {
    "register reads": frozenset({EventType.MMIO_READ}),
    "register writes": frozenset({EventType.MMIO_WRITE}),
    "configuration": frozenset({EventType.CFG_READ, EventType.CFG_WRITE}),
    "DMA reads": frozenset({EventType.DMA_READ}),
    "DMA writes": frozenset({EventType.DMA_WRITE}),
    "interrupts": frozenset({EventType.INTERRUPT}),
    "frames in": frozenset({EventType.FRAME_IN}),
    "frames out": frozenset({EventType.FRAME_OUT}),
    "runs and steps": frozenset({EventType.RUN, EventType.STEP}),
    "memory map": frozenset({EventType.MAP, EventType.UNMAP}),
    "link, reset, faults": frozenset(
        {EventType.LINK, EventType.RESET, EventType.REMOVE, EventType.FAULT, EventType.ARM}
    ),
}
#: What the elements of these arrays of registers are.
_UNITS: Final = {"QP": "queue", "CHQ": "queue", "VEC": "vector", "ENTRY": "vector"}
_CHANNEL: Final = frozenset(
    {"CHANCTRL", "CHANCMD", "CHANSTS", "CHAINADDR", "CHANCMP", "CDAR", "CHANERR", "CHANERRMSK", "DCACTRL"}
)
_UNITS_MAX: Final = 256
_TROUBLES_MAX: Final = 100
_LANE_OF: Final = {kind: lane for lane, kinds in LANES.items() for kind in kinds}


@dataclass
class Unit:
    """A queue, a channel or a vector: accesses to its registers, doorbells among them, and what it did."""

    accesses: int = 0
    doorbells: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    bytes: int = 0
    interrupts: int = 0


@dataclass
class Survey:
    """What there is to say about a trace; said: what is wrong with the file."""

    header: TraceHeader
    names: Names
    usage: Usage
    timeline: Timeline = field(default_factory=Timeline)
    polls: Polls = field(default_factory=Polls)
    connections: Connections = field(default_factory=Connections)
    listing: Listing = field(default_factory=Listing)
    reached: RunCoverage = field(default_factory=RunCoverage)
    types: Counter[EventType] = field(default_factory=Counter)
    octets: Counter[EventType] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    units: dict[str, Unit] = field(default_factory=dict)
    units_left_out: int = 0
    first_ns: int | None = None
    last_ns: int = 0
    said: tuple[str, ...] = ()

    def add(self, event: TraceEvent) -> None:
        """The next event."""
        self.first_ns = event.time_ns if self.first_ns is None else self.first_ns
        self.last_ns = max(self.last_ns, event.time_ns)
        self.types[event.type] += 1
        self.octets[event.type] += event.length
        lanes = [_LANE_OF[event.type]] if event.type in _LANE_OF else []
        unit = None
        if event.type in ACCESSES:
            unit = self._add_access(event)
        elif event.type in FRAMES:
            unit = self._add_frame(event)
        elif event.type == EventType.INTERRUPT:
            unit = self._add_interrupt(event)
        elif event.type == EventType.MARK:
            self.timeline.mark(event.number, event.time_ns, event.text)
        else:
            self._note(event)
        self.timeline.add(event.number, event.time_ns, [*lanes, unit] if unit else lanes)
        self.listing.add(event)

    def _add_access(self, event: TraceEvent) -> str | None:
        place = self.names.place(event)
        bar = None if event.type in (EventType.CFG_READ, EventType.CFG_WRITE) else event.index
        self.usage.add(event, place, bar)
        self.polls.add(event, place.name if place else _bare(event, bar))
        label = _unit_of(event, place)
        unit = self._unit(label)
        if unit is None or place is None:
            return None
        unit.accesses += 1
        if event.type == EventType.MMIO_WRITE and place.register.name.endswith(("_TAIL", "CHANCMD")):
            unit.doorbells[place.register.name] += 1
        return label

    def _add_frame(self, event: TraceEvent) -> str | None:
        self.connections.add(event)
        if event.type == EventType.FRAME_IN:
            if event.value != RxVerdict.TAKEN:
                self._trouble(f"frames in: {_name(RxVerdict, event.value)}")
            return None
        label = f"f{event.function} queue {event.index}"
        unit = self._unit(label)
        if unit is None:
            return None
        unit.frames += 1
        unit.bytes += event.length
        return label

    def _add_interrupt(self, event: TraceEvent) -> str | None:
        if event.width == InterruptKind.INTX and not event.value:
            return None
        which = "line" if event.width == InterruptKind.INTX else f"vector {event.index}"
        label = f"f{event.function} {which}"
        unit = self._unit(label)
        if unit is None:
            return None
        unit.interrupts += 1
        return label

    def _unit(self, label: str | None) -> Unit | None:
        if label is None:
            return None
        if label not in self.units and len(self.units) == _UNITS_MAX:
            self.units_left_out += 1
            return None
        return self.units.setdefault(label, Unit())

    def _note(self, event: TraceEvent) -> None:
        """What went wrong, or was made to."""
        if event.type in (EventType.DMA_READ, EventType.DMA_WRITE) and event.value != DmaStatus.OK:
            way = "read" if event.type == EventType.DMA_READ else "write"
            purpose, status = _name(DmaPurpose, event.index), _name(DmaStatus, event.value)
            self._trouble(f"DMA {way}, {purpose}: {status}")
        elif event.type == EventType.FAULT:
            self._trouble("injected faults that fired")
        elif event.type == EventType.RESET:
            self._trouble("resets")
        elif event.type == EventType.REMOVE and event.value:
            self._trouble("surprise removals")

    def _trouble(self, what: str) -> None:
        is_new = what not in self.troubles and len(self.troubles) >= _TROUBLES_MAX
        self.troubles["of other kinds" if is_new else what] += 1


def survey(reader: TraceReader, names: Names | None = None) -> Survey:
    """Read a trace to its end. TraceError when it is broken."""
    names = names or Names(reader.header)
    found = Survey(reader.header, names, Usage(names))
    watches = Watches(found.reached, names)
    for event in reader:
        found.add(event)
        watches.add(event)
    found.polls.finish()
    return found


def in_order(labels: Iterable[str]) -> list[str]:
    """By function, then by kind, then by number."""

    def key(label: str) -> tuple[str, str, int]:
        function, kind, *number = label.split()
        return function, kind, int(number[0]) if number else 0

    return sorted(labels, key=key)


def _unit_of(event: TraceEvent, place: Place | None) -> str | None:
    if (
        place is None
        or place.register.count < 2
        or event.type not in (EventType.MMIO_READ, EventType.MMIO_WRITE)
    ):
        return None
    name = place.register.name
    kind = "channel" if name in _CHANNEL else _UNITS.get(name.partition("_")[0])
    return f"f{event.function} {kind} {place.element}" if kind else None


def _bare(event: TraceEvent, bar: int | None) -> str:
    return f"{'CFG' if bar is None else f'BAR{bar}'}+{event.addr:#x}"


def _name(names: type, value: int) -> str:
    try:
        return str(names(value).name).lower()
    except ValueError:
        return str(value)
