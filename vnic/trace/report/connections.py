"""TCP connections in the frames of a trace."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from vnic.abi import EventType
from vnic.trace.event import TraceEvent
from vnic.trace.report.half import ACK, FIN, RST, SYN, Half
from vnic.wire.parse import L4, Frame

#: Connections that are followed; of more only the segments are counted.
FOLLOWED_MAX: Final = 64
_FIXED: Final = struct.Struct(">HHIIBBH")
_WINDOW_SCALE, _SACK = 3, 5

End: TypeAlias = tuple[str, int]
Key: TypeAlias = tuple[int, End, End]


@dataclass
class Connection:
    """Both directions: halves[0] is what `ends[0]`, who spoke first, sent."""

    function: int
    ends: tuple[End, End]
    first_ns: int
    last_ns: int
    halves: tuple[Half, Half] = field(default_factory=lambda: (Half(), Half()))
    scales: list[int | None] = field(default_factory=lambda: [None, None])
    syns: list[int | None] = field(default_factory=lambda: [None, None])
    fins: list[bool] = field(default_factory=lambda: [False, False])
    is_reset: bool = False

    @property
    def is_over(self) -> bool:
        """Reset, or finished by both."""
        return self.is_reset or all(self.fins)

    @property
    def bytes(self) -> int:
        """Of data, in both directions, each byte once."""
        return self.halves[0].bytes + self.halves[1].bytes

    @property
    def segments(self) -> int:
        """In both directions."""
        return self.halves[0].segments + self.halves[1].segments

    def add(self, time_ns: int, side: int, segment: Segment) -> None:
        """A segment that `ends[side]` sent."""
        self.last_ns = max(self.last_ns, time_ns)
        if segment.flags & SYN:
            self.syns[side] = segment.seq
            self.scales[side] = segment.scale if segment.scale is not None else -1
        self.fins[side] |= bool(segment.flags & FIN)
        self.is_reset |= bool(segment.flags & RST)
        self.halves[side].send(time_ns, segment.seq, segment.length, segment.flags)
        if segment.flags & ACK and not segment.flags & RST:
            about = self.halves[1 - side]
            window = self._window(side, segment)
            about.acknowledge(time_ns, segment.ack, window, is_bare=segment.length == 0)
            about.select(time_ns, segment.sacks)

    def _window(self, side: int, segment: Segment) -> int | None:
        """In bytes; None: the handshake was not seen, so its unit is not known."""
        scale, other = self.scales[side], self.scales[1 - side]
        if scale is None or other is None:
            return None
        if segment.flags & SYN or scale < 0 or other < 0:
            return segment.window
        return segment.window << min(scale, 14)


@dataclass(slots=True)
class Segment:
    """What a TCP header says."""

    seq: int
    ack: int
    flags: int
    window: int
    length: int
    scale: int | None = None
    sacks: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Connections:
    """All of a trace; `left_out`: segments of those that came when there were too many, `unread`: digests."""

    all: list[Connection] = field(default_factory=list)
    left_out: int = 0
    unread: int = 0
    _open: dict[Key, Connection] = field(default_factory=dict)

    def add(self, event: TraceEvent) -> None:
        """A frame, on either way."""
        if event.digest is not None:
            self.unread += 1
            return
        frame = Frame.parse(event.data)
        if frame.l4 is not L4.TCP or frame.source is None or frame.ports is None:
            return
        source, destination = (str(frame.source), frame.ports[0]), (str(frame.destination), frame.ports[1])
        segment = segment_of(frame)
        connection = self._of(event, source, destination, segment)
        if connection is None:
            self.left_out += 1
            return
        side = connection.ends.index(source)
        # A connection to oneself has equal ends: then the way decides.
        if source == destination:
            side = int(event.type == EventType.FRAME_IN)
        connection.add(event.time_ns, side, segment)

    def _of(self, event: TraceEvent, source: End, destination: End, segment: Segment) -> Connection | None:
        low, high = sorted((source, destination))
        key = event.function, low, high
        connection = self._open.get(key)
        if connection and not _begins_again(connection, source, segment):
            return connection
        if len(self.all) == FOLLOWED_MAX:
            return None
        connection = Connection(event.function, (source, destination), event.time_ns, event.time_ns)
        self._open[key] = connection
        self.all.append(connection)
        return connection

    def ranked(self) -> list[Connection]:
        """Those with the most data first."""
        return sorted(self.all, key=lambda each: (-each.bytes, -each.segments, each.first_ns))


def _begins_again(connection: Connection, source: End, segment: Segment) -> bool:
    """Another connection between the same ends: a first SYN with a number of its own, or after the end."""
    before = connection.syns[connection.ends.index(source)]
    is_other = before is not None and before != segment.seq
    return segment.flags & (SYN | ACK) == SYN and (is_other or connection.is_over)


def segment_of(frame: Frame) -> Segment:
    """The TCP header of a frame that has a whole one."""
    start = frame.l4_offset
    _, _, seq, ack, _, flags, window = _FIXED.unpack_from(frame.data, start)
    length = max(0, start + frame.l4_len - frame.header_end)
    segment = Segment(seq, ack, flags, window, length)
    for kind, body in _options(frame.data[start + 20 : frame.header_end]):
        if kind == _WINDOW_SCALE and len(body) == 1:
            segment.scale = body[0]
        elif kind == _SACK and len(body) % 8 == 0:
            segment.sacks = list(struct.iter_unpack(">II", body))
    return segment


def _options(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(octets) and octets[at] != 0:
        if octets[at] == 1:
            at += 1
            continue
        if at + 1 >= len(octets) or octets[at + 1] < 2:
            return
        yield octets[at], octets[at + 2 : at + octets[at + 1]]
        at += octets[at + 1]
