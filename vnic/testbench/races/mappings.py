"""What the bus addresses of one function lead to, and what its driver has mapped there."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from vnic.host.bus import Direction, Segment
from vnic.testbench.races.flight import Claim, Mapping
from vnic.testbench.races.race import Moment
from vnic.testbench.races.spans import Past, Spans

_PAST_MAPPINGS = 4096


class Piece(NamedTuple):
    """A range of bus addresses and the guest memory that it leads to."""

    bus: int
    start: int
    length: int


class Translation:
    """Which bus addresses lead to which guest memory now."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._regions: dict[int, tuple[int, int]] = {}  # bus address: guest address, bytes

    def place(self, bus: int, address: int, length: int) -> None:
        """Bus addresses lead to guest memory from now on."""
        self._starts.insert(bisect_right(self._starts, bus), bus)
        self._regions[bus] = (address, length)

    def remove(self, bus: int) -> None:
        """Those that begin here lead nowhere."""
        if self._regions.pop(bus, None):
            del self._starts[bisect_right(self._starts, bus) - 1]

    def pieces(self, bus: int, length: int) -> Iterator[Piece]:
        """The parts of a range that lead somewhere."""
        end = bus + length
        number = max(bisect_right(self._starts, bus) - 1, 0)
        while number < len(self._starts) and self._starts[number] < end:
            start = self._starts[number]
            address, size = self._regions[start]
            first, last = max(bus, start), min(end, start + size)
            if first < last:
                yield Piece(first, address + first - start, last - first)
            number += 1


class Mappings:
    """What the driver of one function mapped and has not given up, and what it had mapped before."""

    def __init__(self, function: str) -> None:
        self.translation = Translation()
        self._function = function
        self._live: Spans[Mapping] = Spans()
        self._past: Past[Mapping] = Past(_PAST_MAPPINGS)

    def begin(self, segment: Segment, direction: Direction | None, when: Moment) -> Mapping:
        """A mapping, with its claims where the host has to keep away."""
        pieces = list(self.translation.pieces(segment.addr, segment.len))
        address = pieces[0].start if pieces else 0
        mapping = Mapping(self._function, segment, address, direction, when)
        self._live.add(segment.addr, segment.len, mapping)
        self._past.forget(segment.addr, segment.len)
        if direction is not None:
            is_written = bool(direction & Direction.FROM_DEVICE)
            mapping.claims = [
                Claim(piece.start, piece.length, piece.bus, is_written, mapping) for piece in pieces
            ]
        return mapping

    def find(self, segment: Segment, direction: Direction | None) -> Mapping | None:
        """The mapping that was made so, the newest of several."""
        for mapping in reversed(self._live.at(segment.addr, segment.len)):
            if mapping.segment == segment and mapping.direction == direction:
                return mapping
        return None

    def end(self, mapping: Mapping, when: Moment) -> None:
        """The driver gave it up."""
        mapping.ended = when
        self._live.remove(mapping.segment.addr, mapping.segment.len, mapping)
        self._past.add(mapping.segment.addr, mapping.segment.len, mapping)

    def forget(self, mapping: Mapping) -> None:
        """DMA to where it was need not be told of any more."""
        self._past.forget(mapping.segment.addr, mapping.segment.len)

    def is_covered(self, bus: int, length: int) -> bool:
        """Whether mappings that live reach over the whole range."""
        ranges = sorted((m.segment.addr, m.segment.len) for m in self._live.at(bus, length))
        at = bus
        for start, size in ranges:
            if start > at:
                return False
            at = max(at, start + size)
        return at >= bus + length

    def lost(self, bus: int, length: int) -> Mapping | None:
        """The mapping that a range belonged to and does not any more; named once."""
        past = self._past.at(bus, length)
        if not past or self.is_covered(bus, length):
            return None
        self.forget(past[-1])
        return past[-1]
