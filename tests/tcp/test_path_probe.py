"""PMT-04: a path that swallows large packets and says nothing, and what probes make of it: RFC 4821, 8899."""

from __future__ import annotations

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.seen import Seen
from tests.tcp.states import established

HEADERS = 40


class Path:
    """A peer behind a path that carries packets of `mtu` bytes and drops larger ones without a word."""

    def __init__(self, talk: Conversation, mtu: int) -> None:
        self.talk, self.mtu = talk, mtu
        self.headers = 60 if talk.options.is_ipv6 else HEADERS
        self.options = 12 if talk.options.timestamps else 0
        self.held: set[tuple[int, int]] = set()
        self.next = talk.snd_una
        self.largest = 0
        self.dropped: list[int] = []

    def size(self, seen: Seen) -> int:
        """Of the packet."""
        return seen.len + self.options + self.headers

    def carry(self, seen: Seen) -> None:
        """One packet arrives, or does not; the peer acknowledges each."""
        if self.size(seen) > self.mtu:
            self.dropped.append(self.size(seen))
            return
        self.largest = max(self.largest, self.size(seen))
        self.held.add((seen.seq, seen.seq + seen.len))
        for left, right in sorted(self.held):
            self.next = max(self.next, right) if left <= self.next else self.next
        self.held = {block for block in self.held if block[0] > self.next}
        blocks = sorted(self.held)[-3:] if self.talk.options.sack else []
        self.talk.inject("ACK", ack=self.next, sack=blocks)

    def run(self, queued: int) -> None:
        """Until all of it has arrived."""
        waiting: list[Seen] = self.talk.drain()
        for _ in range(2000):
            if self.next > queued:
                return
            if not waiting:
                self.talk.wait(70_000)
                waiting = self.talk.drain()
            seen = waiting.pop(0)
            self.carry(seen)
            waiting += self.talk.drain()
        raise AssertionError("the path never carried all of it")


def sender(**options: object) -> Conversation:
    """An established connection that looks for the size of packets itself."""
    return established(plpmtud=True, sack=True, rtt_ms=20, **options)


@pytest.mark.requirement("PMT-04")
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize(
    ("is_ipv6", "mtu"), [(False, 1300), (False, 1453), (True, 1420), (True, 1280), (False, 600)]
)
def test_a_black_hole_is_found_and_left(is_ipv6: bool, mtu: int, timestamps: bool) -> None:
    t = sender(is_ipv6=is_ipv6, timestamps=timestamps, peer_mss=1440 if is_ipv6 else 1460)
    path = Path(t, mtu)
    t.send(200_000)
    path.run(200_000)
    t.expect_event("MTU")
    assert t.c.snd_mss + path.headers <= mtu
    assert path.largest <= mtu
    assert t.c.path_mtu == t.c.snd_mss + path.headers


@pytest.mark.requirement("PMT-04")
def test_probes_climb_to_what_the_path_carries_and_stop_there() -> None:
    t = sender()
    path = Path(t, 1450)
    t.send(400_000)
    path.run(400_000)
    assert t.c.path_mtu == 1440, "the largest size of the search below 1450"
    sizes = [size for size in path.dropped if size < 1500]
    assert sizes == [1460], "one probe was lost, and that ended the search"


@pytest.mark.requirement("PMT-04")
def test_a_path_that_recovers_is_used_in_full() -> None:
    t = sender()
    path = Path(t, 1300)
    t.send(400_000)
    while t.c.path_mtu != 1200:
        t.drain()
        t.wait(70_000)
    waiting = t.drain()
    path.mtu = 1500
    for _ in range(3000):
        if path.next > 400_000:
            break
        if not waiting:
            t.wait(70_000)
            waiting = t.drain()
        path.carry(waiting.pop(0))
        waiting += t.drain()
    assert t.c.path_mtu == 0
    assert t.c.snd_mss == 1460
    assert path.largest == 1500


@pytest.mark.requirement("PMT-04")
def test_one_timeout_is_no_black_hole() -> None:
    t = sender()
    t.send(10_000)
    t.drain()
    t.wait(70_000)
    while t.c.retransmits == 0:
        t.drain()
        t.wait(70_000)
    t.drain()
    t.expect_no_event("MTU")
    assert t.c.path_mtu == 0
    assert t.c.snd_mss == 1460


@pytest.mark.requirement("PMT-04")
def test_without_the_option_sizes_stay() -> None:
    t = established(sack=True, rtt_ms=20)
    t.send(10_000)
    t.drain()
    for _ in range(5):
        t.wait(70_000)
        t.drain()
    assert t.c.retransmits >= 3
    t.expect_no_event("MTU")
    assert t.c.snd_mss == 1460


@pytest.mark.requirement("PMT-04")
def test_what_icmp_said_is_not_doubted() -> None:
    t = sender()
    t.send(300_000)
    t.drain()
    t.icmp("TOO_BIG", 1, 1400)
    path = Path(t, 1400)
    path.run(300_000)
    assert path.dropped == [], "no larger packet left after ICMP named a size"
    assert t.c.path_mtu == 1400
