"""What a device has of guest memory: transfers in flight, mappings, and the ranges that they claim."""

from __future__ import annotations

from dataclasses import dataclass, field

from vnic.host.bus import Direction, Segment
from vnic.testbench.races.race import Moment, Party


@dataclass(eq=False, slots=True)
class Claim:
    """A range of guest memory that a device reads, or writes, at a bus address."""

    start: int
    length: int
    bus: int
    is_written: bool
    owner: Flight | Mapping
    is_descriptor: bool = False

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.start + self.length

    @property
    def flight(self) -> Flight | None:
        """The transfer that it is of, if it is of one."""
        return self.owner if isinstance(self.owner, Flight) else None

    def party(self) -> Party:
        """Its owner as a report names it, with this range."""
        if isinstance(self.owner, Mapping):
            return self.owner.party()
        flight = self.owner
        verb = "has its descriptor" if self.is_descriptor else "writes" if self.is_written else "reads"
        return Party(
            f"{flight.lane} #{flight.index}",
            verb,
            self.bus,
            self.length,
            flight.descriptor,
            flight.index,
            flight.begun,
            flight.ended,
        )


@dataclass(eq=False, slots=True)
class Mapping:
    """Memory that a driver mapped, from guest address `address` on.

    direction None: coherent memory, which both may touch at all times.
    """

    function: str
    segment: Segment
    address: int
    direction: Direction | None
    begun: Moment
    claims: list[Claim] = field(default_factory=list)
    ended: Moment | None = None

    def party(self) -> Party:
        """As a report names it."""
        kind = "coherent" if self.direction is None else self.direction.name
        name = f"mapping of {self.function}"
        return Party(name, kind, self.segment.addr, self.segment.len, since=self.begun, until=self.ended)


@dataclass(eq=False, slots=True)
class Flight:
    """One descriptor that a device has, from when it got it to when the driver can know that it is done.

    lane: what serves descriptors in order: `card RX[0]`, `engine channel 2`. handed: when the driver handed
    it over, begun: when it was seen. fences: how many stood before it in its lane. packed: the descriptor as
    it was then. wanted, written: bytes of its destination, where the device is seen to fill it.
    """

    lane: str
    index: int
    descriptor: int
    handed: Moment
    begun: Moment
    fences: int = 0
    claims: list[Claim] = field(default_factory=list)
    packed: bytes = b""
    wanted: int = 0
    written: int = 0
    ended: Moment | None = None

    @property
    def is_processed(self) -> bool:
        """Whether all that it moves is moved, told to the driver or not."""
        return self.written >= self.wanted

    def is_ordered_before(self, other: Flight) -> bool:
        """Whether all of it is done before the other one can begin."""
        if self.lane == other.lane and self.fences != other.fences:
            return True
        return self.ended is not None and self.ended <= other.handed
