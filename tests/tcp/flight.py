"""A sender whose flight a test acknowledges by segment numbers: segment 0, 1, 2 ... of 1460 bytes each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.seen import Seen
from tests.tcp.states import established

MSS = 1460
WIDE: dict[str, Any] = {"wscale": 7, "peer_wscale": 7, "peer_wnd": 4_000_000, "rcv_buf": 1_000_000}
BOTH = pytest.mark.parametrize("congestion", ["newreno", "cubic"])


def sender(queue: int = 200, rtt_ms: float = 100, **options: Any) -> Conversation:
    """A connection without SACK that has its initial window out, of so many full segments queued."""
    t = established(rtt_ms=rtt_ms, **{**WIDE, **options})
    t.send(queue * MSS)
    return t


def at(segment: int) -> int:
    """The first number of segment 0, 1, 2 ..."""
    return 1 + segment * MSS


def numbers(seen: list[Seen]) -> list[int]:
    """Which segments these are; whole ones only."""
    assert all((s.seq - 1) % MSS == 0 for s in seen), [str(s) for s in seen]
    return [(s.seq - 1) // MSS for s in seen]


def ack(t: Conversation, segment: int, *blocks: int, **more: Any) -> list[int]:
    """Everything before the segment is acknowledged, these segments are SACKed: what is sent then."""
    t.inject("ACK", ack=at(segment), sack=merged(blocks), **more)
    return numbers(t.drain())


def merged(segments: tuple[int, ...]) -> list[tuple[int, int]]:
    """SACK blocks of these segments, the highest first."""
    blocks: list[tuple[int, int]] = []
    for number in sorted(segments):
        if blocks and blocks[-1][1] == at(number):
            blocks[-1] = (blocks[-1][0], at(number + 1))
        else:
            blocks.append((at(number), at(number + 1)))
    return blocks[::-1][:4]


def round_trip(t: Conversation, rtt_ms: float) -> None:
    """Everything in flight is acknowledged, segment by segment, one RTT later; as much as may leaves."""
    first, last = (t.snd_una - 1) // MSS, (t.snd_nxt - 1) // MSS
    t.advance(rtt_ms)
    t.drain()
    for number in range(first + 1, last + 1):
        t.inject("ACK", ack=at(number))
        t.drain()
    if len(t.endpoint.queued) - t.snd_nxt < 4000 * MSS:
        t.send(4000 * MSS)
        t.drain()


class Receiver:
    """What the peer holds, as ranges: cumulative ACK and SACK blocks follow from it."""

    def __init__(self) -> None:
        self.next = 1
        self.ranges: list[tuple[int, int]] = []

    def take(self, seq: int, length: int) -> list[tuple[int, int]]:
        """A segment arrives: the blocks of the answer, the one with this segment first, three at most."""
        left, right = seq, seq + length
        apart = [r for r in self.ranges if r[1] < left or right < r[0]]
        touching = [r for r in self.ranges if r not in apart]
        joined = (min([left, *(r[0] for r in touching)]), max([right, *(r[1] for r in touching)]))
        if joined[0] <= self.next:
            self.next = max(self.next, joined[1])
            self.ranges = sorted(r for r in apart if r[1] > self.next)
            return sorted(self.ranges, reverse=True)[:3]
        self.ranges = sorted([*apart, joined])
        return [joined, *(r for r in self.ranges if r != joined)][:3]
