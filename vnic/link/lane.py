"""One direction of a wire: queue, line, impairments and the frames in flight."""

from __future__ import annotations

import heapq
import random
from collections import deque

from vnic.link.impairments import Impairments, LaneStatistics, line_bits
from vnic.wire.pcapng_blocks import NS_PER_S


class Lane:
    """Takes frames in at one end and gives each out when it has arrived; knows no port and no clock."""

    def __init__(self, impairments: Impairments, seed: int) -> None:
        self.impairments = impairments
        self.statistics = LaneStatistics()
        self._random = random.Random(seed)
        self._flight: list[tuple[int, int, int, bytes]] = []  # arrival, order in, serial, frame
        self._flight_bytes = 0
        self._waiting: deque[tuple[int, int]] = deque()  # start on the line, length
        self._waiting_bytes = 0
        self._line_free_ns = 0
        self._line_rest = 0  # part of a nanosecond by which the line is free later, in 1/bandwidth
        self._last_arrival_ns = 0
        self._entered = 0
        self._serial = 0
        self._newest_delivered = 0

    @property
    def in_flight(self) -> int:
        """Frames queued, on the line or under way."""
        return len(self._flight)

    def set_impairments(self, impairments: Impairments) -> None:
        """Change the nature of the lane; frames under way keep their arrival."""
        self.impairments = impairments
        self._line_rest = 0

    def enter(self, frame: bytes, now_ns: int) -> None:
        """Take a frame in at `now_ns`: it is queued and given an arrival, or dropped and counted."""
        nature, counts = self.impairments, self.statistics
        counts.sent += 1
        counts.sent_bytes += len(frame)
        if nature.frame_limit and len(frame) > nature.frame_limit:
            counts.oversize_dropped += 1
        elif not self._has_room(len(frame), now_ns):
            counts.queue_dropped += 1
        else:
            self._launch(frame, self._serialise(len(frame), now_ns))

    def refuse(self, frame: bytes) -> None:
        """Count a frame sent while the link is down."""
        self.statistics.sent += 1
        self.statistics.sent_bytes += len(frame)
        self.statistics.link_dropped += 1

    def cut(self, now_ns: int) -> None:
        """Drop and count everything under way: the link went down."""
        self.statistics.link_dropped += len(self._flight)
        self._flight.clear()
        self._flight_bytes = 0
        self._waiting.clear()
        self._waiting_bytes = 0
        self._line_free_ns = self._last_arrival_ns = now_ns
        self._line_rest = 0

    def next_arrival_ns(self) -> int | None:
        """When the frame that arrives first arrives; None when nothing is under way."""
        return self._flight[0][0] if self._flight else None

    def leave(self) -> tuple[int, bytes]:
        """Take out the frame that arrives first, with its arrival time, and count it delivered."""
        arrival_ns, entered, _, frame = heapq.heappop(self._flight)
        self._flight_bytes -= len(frame)
        counts = self.statistics
        counts.delivered += 1
        counts.delivered_bytes += len(frame)
        if entered < self._newest_delivered:
            counts.reordered += 1
        self._newest_delivered = max(entered, self._newest_delivered)
        return arrival_ns, frame

    def _has_room(self, length: int, now_ns: int) -> bool:
        nature = self.impairments
        while self._waiting and self._waiting[0][0] <= now_ns:
            self._waiting_bytes -= self._waiting.popleft()[1]
        if self._flight_bytes + length > nature.flight_bytes:
            return False
        # A frame that finds the line idle starts at once and never waits.
        waits = nature.bandwidth_bps and self._line_free_ns > now_ns
        return not waits or nature.queue_bytes is None or self._waiting_bytes + length <= nature.queue_bytes

    def _serialise(self, length: int, now_ns: int) -> int:
        """Put a frame on the line as soon as it is free; returns when its last bit has left."""
        bandwidth = self.impairments.bandwidth_bps
        if not bandwidth:
            return now_ns
        if self._line_free_ns < now_ns:
            self._line_free_ns, self._line_rest = now_ns, 0
        elif self._line_free_ns > now_ns:
            self._waiting.append((self._line_free_ns, length))
            self._waiting_bytes += length
        took_ns, self._line_rest = divmod(line_bits(length) * NS_PER_S + self._line_rest, bandwidth)
        self._line_free_ns += took_ns
        return self._line_free_ns + (1 if self._line_rest else 0)

    def _launch(self, frame: bytes, left_ns: int) -> None:
        nature, counts = self.impairments, self.statistics
        self._entered += 1
        arrival_ns = left_ns + nature.delay_ns
        if not nature.is_random:
            self._fly(frame, max(arrival_ns, self._last_arrival_ns))
            return
        # Always five draws a frame: changing one setting leaves the fate by the others as it was.
        loss, duplicate, corrupt, reorder, jitter = (self._random.random() for _ in range(5))
        if loss < nature.loss:
            counts.lost += 1
            return
        arrival_ns = max(arrival_ns + int(jitter * (nature.jitter_ns + 1)), self._last_arrival_ns)
        if corrupt < nature.corrupt and frame:
            frame = self._inverted(frame, corrupt / nature.corrupt)
            counts.corrupted += 1
        self._fly(frame, arrival_ns, nature.reorder_hold_ns if reorder < nature.reorder else 0)
        if duplicate < nature.duplicate:
            counts.duplicated += 1
            self._fly(frame, arrival_ns)

    def _fly(self, frame: bytes, arrival_ns: int, hold_ns: int = 0) -> None:
        self._serial += 1
        heapq.heappush(self._flight, (arrival_ns + hold_ns, self._entered, self._serial, frame))
        self._flight_bytes += len(frame)
        if not hold_ns:
            self._last_arrival_ns = arrival_ns

    @staticmethod
    def _inverted(frame: bytes, place: float) -> bytes:
        """The frame with one bit inverted; `place` in 0..1 chooses which."""
        bit = min(int(place * len(frame) * 8), len(frame) * 8 - 1)
        damaged = bytearray(frame)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        return bytes(damaged)
