"""One direction of a TCP connection as a time-sequence graph has it: data, acknowledgements, windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeVar

POINTS_MAX: Final = 1_500
_HOLES_MAX: Final = 256
_MODULUS: Final = 1 << 32

_Point = TypeVar("_Point")

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


@dataclass
class Half:
    """What one side sent, and what the other said of it; sequence numbers from its first one, unwrapped.

    data: (first ns, first seq, last ns, end seq), neighbours joined when there are too many; again: bytes
    that were seen before; late: bytes that fill a gap; acks, windows: (ns, seq) at each change; sacks: (ns,
    seq, end); left_out: points for which there was no room.
    """

    start: int | None = None
    end: int = 0
    segments: int = 0
    bytes: int = 0
    retransmitted: int = 0
    gaps_filled: int = 0
    duplicate_acks: int = 0
    left_out: int = 0
    data: list[tuple[int, int, int, int]] = field(default_factory=list)
    again: list[tuple[int, int, int]] = field(default_factory=list)
    late: list[tuple[int, int, int]] = field(default_factory=list)
    acks: list[tuple[int, int]] = field(default_factory=list)
    windows: list[tuple[int, int]] = field(default_factory=list)
    sacks: list[tuple[int, int, int]] = field(default_factory=list)
    flags: list[tuple[int, int, str]] = field(default_factory=list)
    _seen: list[tuple[int, int]] = field(default_factory=list)

    def relative(self, seq: int) -> int:
        """A sequence number from the first one on, near the highest so far."""
        if self.start is None:
            self.start = seq
        base = self.start + self.end
        return self.end + (seq - base + _MODULUS // 2) % _MODULUS - _MODULUS // 2

    def send(self, time_ns: int, seq: int, length: int, flags: int) -> None:
        """A segment of this side; `length` bytes of data."""
        self.segments += 1
        at = self.relative(seq)
        for bit, letter in ((SYN, "S"), (FIN, "F"), (RST, "R")):
            if flags & bit:
                self._keep(self.flags, (time_ns, at + (length if bit == FIN else 0), letter))
        end = at + length + bool(flags & SYN) + bool(flags & FIN)
        if end > at:
            self._place(time_ns, at, end, length)

    def _place(self, time_ns: int, at: int, end: int, length: int) -> None:
        if at >= self.end:
            self.bytes += length
            self._add_data((time_ns, at, time_ns, end))
        elif any(at < last and first < end for first, last in self._seen):
            self.retransmitted += 1
            self._keep(self.again, (time_ns, at, end))
        else:
            self.bytes += length
            self.gaps_filled += 1
            self._keep(self.late, (time_ns, at, end))
        self._see(at, end)
        self.end = max(self.end, end)

    def _see(self, at: int, end: int) -> None:
        """Remember which bytes there were; the oldest gaps are forgotten when there are too many."""
        apart = []
        for first, last in self._seen:
            if last < at or end < first:
                apart.append((first, last))
            else:
                at, end = min(at, first), max(end, last)
        apart.append((at, end))
        apart.sort()
        while len(apart) > _HOLES_MAX:
            apart[:2] = [(apart[0][0], apart[1][1])]
        self._seen = apart

    def _add_data(self, piece: tuple[int, int, int, int]) -> None:
        self.data.append(piece)
        if len(self.data) <= POINTS_MAX:
            return
        joined: list[tuple[int, int, int, int]] = []
        for number, each in enumerate(self.data):
            if number % 2 and joined[-1][3] == each[1]:
                joined[-1] = (*joined[-1][:2], *each[2:])
            else:
                joined.append(each)
        if len(joined) > POINTS_MAX * 3 // 4:
            self.left_out += len(joined) // 2
            joined = joined[::2]
        self.data = joined

    def acknowledge(self, time_ns: int, ack: int, window: int | None, *, is_bare: bool) -> None:
        """What the other side says: next byte that it expects, and how many it takes (None: not known)."""
        at = self.relative(ack)
        if self.acks and self.acks[-1][1] == at:
            self.duplicate_acks += is_bare and at < self.end
        else:
            self._step(self.acks, (time_ns, at))
        if window is not None and (not self.windows or self.windows[-1][1] != at + window):
            self._step(self.windows, (time_ns, at + window))

    def select(self, time_ns: int, blocks: list[tuple[int, int]]) -> None:
        """Blocks that the other side says it has (SACK)."""
        for first, last in blocks:
            self._keep(self.sacks, (time_ns, self.relative(first), self.relative(last)))

    def _step(self, line: list[tuple[int, int]], point: tuple[int, int]) -> None:
        line.append(point)
        if len(line) > POINTS_MAX:
            self.left_out += len(line) // 2
            del line[1:-1:2]

    def _keep(self, points: list[_Point], point: _Point) -> None:
        if len(points) < POINTS_MAX:
            points.append(point)
        else:
            self.left_out += 1
