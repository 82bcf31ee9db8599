"""One step of a device or of the host around it: its kind, whose it is, and what it does."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum

from vnic.abi import DmaPurpose, DmaStatus, EventType
from vnic.events import Event


class StepKind(IntEnum):
    """What a step does first; the order is that in which one thing leads to the next."""

    DESCRIPTOR_FETCH = 1
    DATA_MOVE = 2
    COMPLETION_WRITE = 3
    INTERRUPT_RAISE = 4
    #: A message, or a change of the line, reaches the interrupt controller.
    INTERRUPT_DELIVERY = 5
    ISR = 6
    DPC = 7
    WORK_ITEM = 8
    #: A frame leaves the card's buffer for the link.
    FRAME_OUT = 9
    #: A link moves what is due on it.
    LINK = 10
    #: Bring-up DMA, images of chimney objects, timers, a step without DMA.
    OTHER = 11


DESCRIPTOR_FETCH = StepKind.DESCRIPTOR_FETCH
DATA_MOVE = StepKind.DATA_MOVE
COMPLETION_WRITE = StepKind.COMPLETION_WRITE
INTERRUPT_RAISE = StepKind.INTERRUPT_RAISE
INTERRUPT_DELIVERY = StepKind.INTERRUPT_DELIVERY
FRAME_OUT = StepKind.FRAME_OUT

_PURPOSES = {
    DmaPurpose.DESCRIPTOR: StepKind.DESCRIPTOR_FETCH,
    DmaPurpose.DATA: StepKind.DATA_MOVE,
    DmaPurpose.HEADER: StepKind.DATA_MOVE,
    DmaPurpose.COMPLETION: StepKind.COMPLETION_WRITE,
}
_DMA = (EventType.DMA_READ, EventType.DMA_WRITE)


def kind_of(event: Event) -> StepKind:
    """What an event is as a step."""
    if event.type in _DMA:
        return _PURPOSES.get(DmaPurpose(event.index), StepKind.OTHER)
    return StepKind.INTERRUPT_RAISE if event.type == EventType.INTERRUPT else StepKind.OTHER


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """`who` takes it: an engine, the bus, a processor. acts: DMA, interrupts and frames of an engine's step.

    part: number of the engine. queues: queue pairs or channels that it concerns, as far as that can be seen.
    source: what tells it from the other steps that are possible at the same time.
    """

    kind: StepKind
    who: str
    source: Hashable
    part: int | None = None
    queues: frozenset[int] = frozenset()
    acts: tuple[Event, ...] = ()
    detail: str = field(default="")

    @property
    def kinds(self) -> frozenset[StepKind]:
        """All that it does."""
        acts = (act for act in self.acts if act.type != EventType.FRAME_OUT)  # it is in the card's buffer yet
        return frozenset({self.kind, *(kind_of(act) for act in acts)})

    def is_(self, kind: StepKind, queue: int | None = None) -> bool:
        """Whether it is of a kind, and concerns a queue."""
        return kind in self.kinds and (queue is None or queue in self.queues)

    def __str__(self) -> str:
        where = f" of queue {', '.join(map(str, sorted(self.queues)))}" if self.queues else ""
        acts = "; ".join(describe(act) for act in self.acts) or self.detail
        return f"{self.kind.name}{where} by {self.who}" + (f": {acts}" if acts else "")


def describe(event: Event) -> str:
    """An act in words."""
    if event.type in _DMA:
        verb = "reads" if event.type == EventType.DMA_READ else "writes"
        ended = "" if event.value == DmaStatus.OK else f", {DmaStatus(event.value).name}"
        return f"{verb} {len(event.data)} bytes at {event.addr:#x} ({DmaPurpose(event.index).name}){ended}"
    if event.type == EventType.INTERRUPT:
        return f"raises vector {event.index}"
    return f"sends {len(event.data)} bytes from queue {event.index}"
