"""A wire between two ports, with seeded impairments for each direction."""

from __future__ import annotations

from vnic.link.impairments import Impairments, LaneStatistics
from vnic.link.lane import Lane
from vnic.link.port import LinkAware, Port

__all__ = ["Impairments", "LaneStatistics", "Wire", "WireEnd"]


class Wire:
    """Carries frames between side 0 and side 1; the same calls with the same seed give the same deliveries.

    It has no clock: every call brings the virtual time, which never goes back (ValueError). A frame is
    delivered by `advance`, never inside `transmit`. Who drives the wire advances it to each deadline before
    anything later happens; a frame for which that was not done is delivered late, never back in time.
    """

    def __init__(
        self,
        first: Port | None = None,
        second: Port | None = None,
        *,
        forth: Impairments | None = None,
        back: Impairments | None = None,
        seed: int = 0,
    ) -> None:
        """`forth` governs what side 0 sends, `back` what side 1 sends (default: as `forth`)."""
        nature = forth or Impairments()
        self._ports = [first, second]
        # lanes[s] carries what side s sends.
        self._lanes = (Lane(nature, 2 * seed), Lane(back or nature, 2 * seed + 1))
        self._up = True
        self._now_ns = 0

    @property
    def is_up(self) -> bool:
        """Whether the link is up: not taken down, and a port at each end."""
        return self._up and None not in self._ports

    def end(self, side: int) -> WireEnd:
        """The end of side 0 or 1, for a port that wants to send."""
        return WireEnd(self, side)

    def attach(self, side: int, port: Port | None) -> None:
        """Put a port at a side; None unplugs it, and what is under way is lost."""
        self._ports[side] = port
        if port is None:
            self._cut()

    def set_impairments(self, side: int, impairments: Impairments) -> None:
        """Change the nature of the direction that `side` sends on."""
        self._lanes[side].set_impairments(impairments)

    def statistics(self, side: int) -> LaneStatistics:
        """The counts of what `side` sent."""
        return self._lanes[side].statistics

    def in_flight(self, side: int) -> int:
        """Frames that `side` sent and that are still under way."""
        return self._lanes[side].in_flight

    def set_link(self, up: bool, now_ns: int) -> None:
        """Take the link up or down; down loses all that is under way. Ports that are LinkAware hear of it."""
        self._pass_time(now_ns)
        if up == self._up:
            return
        self._up = up
        if not up:
            self._cut()
        for port in self._ports:
            if isinstance(port, LinkAware):
                port.link_changed(up, now_ns)

    def transmit(self, side: int, frame: bytes, now_ns: int) -> None:
        """Send a frame from `side`; what becomes of it shows in the statistics."""
        self._pass_time(now_ns)
        if self.is_up:
            self._lanes[side].enter(frame, now_ns)
        else:
            self._lanes[side].refuse(frame)

    def next_deadline_ns(self) -> int | None:
        """When the next frame arrives (now, for one that is late); None when nothing is under way."""
        arrivals = [lane.next_arrival_ns() for lane in self._lanes]
        known = [arrival_ns for arrival_ns in arrivals if arrival_ns is not None]
        return max(min(known), self._now_ns) if known else None

    def advance(self, now_ns: int, max_frames: int | None = None) -> int:
        """Deliver what arrives by `now_ns` in order of arrival, each at its own time; returns how many.

        It stops after `max_frames`, by default as many as are under way at the call, so that two ports that
        answer each other cannot hold it: go on while `next_deadline_ns()` is not after `now_ns`.
        """
        if max_frames is None:
            max_frames = self.in_flight(0) + self.in_flight(1)
        delivered = 0
        while (side := self._earliest(now_ns)) is not None:
            if delivered == max_frames:
                return delivered
            arrival_ns, frame = self._lanes[side].leave()
            self._now_ns = max(self._now_ns, arrival_ns)
            port = self._ports[1 - side]
            assert port is not None  # unplugging cuts the lanes
            port.deliver(frame, self._now_ns)
            delivered += 1
        self._pass_time(now_ns)
        return delivered

    def _earliest(self, now_ns: int) -> int | None:
        """The side whose frame arrives first by `now_ns`, side 0 at a tie; None when nothing is due."""
        due = [
            (arrival_ns, side)
            for side, lane in enumerate(self._lanes)
            if (arrival_ns := lane.next_arrival_ns()) is not None and arrival_ns <= now_ns
        ]
        return min(due)[1] if due else None

    def _cut(self) -> None:
        for lane in self._lanes:
            lane.cut(self._now_ns)

    def _pass_time(self, now_ns: int) -> None:
        if now_ns < self._now_ns:
            raise ValueError(f"time goes back from {self._now_ns} to {now_ns} ns")
        self._now_ns = now_ns


class WireEnd:
    """One end of a wire, as a card's transmit side sees it."""

    def __init__(self, wire: Wire, side: int) -> None:
        if side not in (0, 1):
            raise ValueError(f"a wire has sides 0 and 1, not {side}")
        self.wire = wire
        self.side = side

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """Send a frame to the other end."""
        self.wire.transmit(self.side, frame, now_ns)

    @property
    def statistics(self) -> LaneStatistics:
        """The counts of what this end sent."""
        return self.wire.statistics(self.side)
