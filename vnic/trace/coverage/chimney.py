"""Coverage of the chimney: states of offloaded connections by what came in and by what the card said."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from typing import Final

from vnic.abi import DmaPurpose, DmaStatus, EventType, RxVerdict
from vnic.gen.descriptors import (
    ChmAdminCompletion,
    ChmCommand,
    ChmEventEntry,
    ChmPath,
    ChmSubmission,
    ChmTcp,
    RxCompletion,
)
from vnic.gen.enums import ChmEvent, ChmObject, ChmOp, ChmReason, ChmStatus, ChmSubmissionOp, CompletionType
from vnic.trace.coverage.rings import Rings
from vnic.trace.coverage.shadow import Came, Shadow, State
from vnic.trace.event import TraceEvent
from vnic.trace.names import Names
from vnic.trace.report.connections import segment_of
from vnic.wire.parse import L4, Frame

_ENTRY: Final = RxCompletion.SIZE
#: Handles, images and commands under way that are remembered; a hostile trace has no end of them.
_MOST: Final = 1 << 16


class Asked(Enum):
    """What comes in from the host: submissions and commands."""

    SEND = "SEND"
    RECEIVE = "RECEIVE"
    CREDIT = "CREDIT"
    DISCONNECT = "DISCONNECT"
    ABORTIVE = "ABORTIVE"
    FORWARD = "FORWARD"
    UPDATE = "UPDATE"
    QUERY = "QUERY"
    INVALIDATE = "INVALIDATE"
    TERMINATE = "TERMINATE"


#: Columns of the matrix.
EVENTS: Final = tuple(each.value for each in (*Came, *Asked))
#: What the card can say.
SAYS: Final = (
    "FIN",
    "ABORT",
    *(reason.name for reason in ChmReason if reason is not ChmReason.NONE),
    "RETRANSMISSION",
)
End = tuple[str, int]


@dataclass
class ChimneyCoverage:
    """Counts of cells, (state, event) and (state, what the card said); they add up."""

    cells: Counter[tuple[State, str]] = field(default_factory=Counter)
    said: Counter[tuple[State, str]] = field(default_factory=Counter)
    connections: int = 0

    def merge(self, other: ChimneyCoverage) -> None:
        """Add what another run reached."""
        self.cells += other.cells
        self.said += other.said
        self.connections += other.connections


@dataclass
class _Created:
    """A CREATE under way: the command, and the bytes of its image so far."""

    command: ChmCommand
    image: bytearray


class ChimneyWatch:
    """Adds what happens on one card to a ChimneyCoverage."""

    def __init__(self, into: ChimneyCoverage, names: Names) -> None:
        self._into = into
        self._names = names
        self.forget()

    def forget(self) -> None:
        """The card was reset: rings, objects and connections are gone."""
        self._rings = Rings()
        self._created: dict[int, _Created] = {}
        self._paths: dict[int, tuple[str, str]] = {}
        self._shadows: dict[int, Shadow] = {}
        self._by_ends: dict[tuple[End, End], int] = {}

    def add(self, event: TraceEvent) -> None:
        """The next event of the card."""
        if event.type == EventType.MMIO_WRITE:
            place = self._names.place(event)
            if place is not None:
                self._rings.written(event, place)
        elif event.type == EventType.DMA_READ and event.value == DmaStatus.OK:
            self._read(event)
        elif event.type == EventType.DMA_WRITE and event.index == DmaPurpose.COMPLETION:
            for offset in range(0, len(event.data) - _ENTRY + 1, _ENTRY):
                self._complete(event.data[offset : offset + _ENTRY])
        elif event.type == EventType.FRAME_OUT or (
            event.type == EventType.FRAME_IN and event.value == RxVerdict.TAKEN
        ):
            self._frame(event)

    # -- what the host asks for ------------------------------------------------------------------------------

    def _read(self, event: TraceEvent) -> None:
        if event.index == DmaPurpose.STATE:
            self._take_image(event)
        elif event.index == DmaPurpose.DESCRIPTOR:
            for entry in self._rings.entries(event):
                if isinstance(entry, ChmCommand):
                    self._command(entry)
                else:
                    self._submission(entry)

    def _command(self, command: ChmCommand) -> None:
        if command.op == ChmOp.CREATE and len(self._created) < _MOST:
            self._created[command.cookie] = _Created(command, bytearray(max(ChmTcp.SIZE, ChmPath.SIZE)))
        elif command.object == ChmObject.TCP:
            shadow = self._shadows.get(command.handle)
            with suppress(ValueError):
                self._count(shadow, ChmOp(command.op).name)
            if shadow is not None and command.op == ChmOp.INVALIDATE:
                shadow.state = State.INVALIDATED

    def _submission(self, submission: ChmSubmission) -> None:
        with suppress(ValueError):
            name = ChmSubmissionOp(submission.op).name
            self._count(self._shadows.get(submission.handle), "ABORTIVE" if submission.abortive else name)

    def _take_image(self, event: TraceEvent) -> None:
        for created in self._created.values():
            offset = event.addr - created.command.in_addr
            if 0 <= offset < len(created.image):
                room = len(created.image) - offset
                created.image[offset : offset + len(event.data)] = event.data[:room]
                return

    def _count(self, shadow: Shadow | None, what: str) -> None:
        if shadow is not None and what in EVENTS:
            self._into.cells[shadow.state, what] += 1

    # -- what the card answers -------------------------------------------------------------------------------

    def _complete(self, entry: bytes) -> None:
        kind = RxCompletion.unpack(entry).type
        if kind == CompletionType.CHM_ADMIN:
            self._answered(ChmAdminCompletion.unpack(entry))
        elif kind == CompletionType.CHM_EVENT:
            self._told(ChmEventEntry.unpack(entry))

    def _answered(self, answer: ChmAdminCompletion) -> None:
        if answer.op == ChmOp.CREATE:
            created = self._created.pop(answer.cookie, None)
            if created is not None and answer.status == ChmStatus.OK:
                self._live(answer, created)
        elif answer.op == ChmOp.TERMINATE and answer.object == ChmObject.TCP:
            self._shadows.pop(answer.handle, None)

    def _live(self, answer: ChmAdminCompletion, created: _Created) -> None:
        if answer.object == ChmObject.PATH and len(self._paths) < _MOST:
            self._paths[answer.handle] = _addresses(ChmPath.unpack(created.image))
        elif answer.object == ChmObject.TCP and len(self._shadows) < _MOST:
            image = ChmTcp.unpack(created.image)
            self._into.connections += 1
            self._shadows[answer.handle] = Shadow.of(image)
            ends = self._paths.get(created.command.parent)
            if ends is not None:
                local, remote = (ends[0], image.local_port), (ends[1], image.remote_port)
                self._by_ends[local, remote] = answer.handle

    def _told(self, entry: ChmEventEntry) -> None:
        shadow = self._shadows.get(entry.handle)
        if shadow is None:
            return
        if entry.event == ChmEvent.RETRIEVE:
            with suppress(ValueError):
                self._into.said[shadow.state, ChmReason(entry.reason).name] += 1
            if shadow.state is not State.INVALIDATED:
                shadow.state = State.RETRIEVED
        elif entry.event in (ChmEvent.FIN, ChmEvent.ABORT):
            self._into.said[shadow.state, ChmEvent(entry.event).name] += 1
            if entry.event == ChmEvent.FIN:
                shadow.take_fin()

    # -- the wire --------------------------------------------------------------------------------------------

    def _frame(self, event: TraceEvent) -> None:
        if not self._by_ends or event.digest is not None:
            return
        frame = Frame.parse(event.data)
        if frame.l4 is not L4.TCP or frame.source is None or frame.ports is None:
            return
        source = str(frame.source), frame.ports[0]
        destination = str(frame.destination), frame.ports[1]
        is_in = event.type == EventType.FRAME_IN
        ends = (destination, source) if is_in else (source, destination)
        shadow = self._shadows.get(self._by_ends.get(ends, 0))
        if shadow is None:
            return
        segment = segment_of(frame)
        if is_in:
            self._count(shadow, shadow.kind_of(segment).value)
            shadow.receive(segment)
        elif shadow.send(segment):
            self._into.said[shadow.state, "RETRANSMISSION"] += 1


def _addresses(path: ChmPath) -> tuple[str, str]:
    """Source and destination as text."""

    def text(low: int, high: int) -> str:
        octets = low.to_bytes(8, "little") + high.to_bytes(8, "little")
        return str(ip_address(octets if path.ipv6 else octets[:4]))

    return text(path.source_lo, path.source_hi), text(path.destination_lo, path.destination_hi)
