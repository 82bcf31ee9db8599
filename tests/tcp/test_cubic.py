"""CC: CUBIC, HyStart++, idle and limited senders: RFC 9438, 9406, 5681 4.1, 7661."""

from __future__ import annotations

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.flight import BOTH, MSS, ack, at, numbers, round_trip, sender
from tests.tcp.states import established
from vnic._core import lib

C, BETA = 0.4, 0.7


def after_a_loss(
    rtt_ms: float, segments: int, congestion: str = "cubic"
) -> tuple[Conversation, float, float]:
    """A bulk sender that lost one segment at about that window; cwnd before and after, in segments."""
    t = sender(queue=4000, congestion=congestion, sack=True, rtt_ms=rtt_ms)
    t.drain()
    while t.c.cwnd < segments * MSS:
        round_trip(t, rtt_ms)
    before = t.c.cwnd / MSS
    una, top = (t.snd_una - 1) // MSS, (t.snd_nxt - 1) // MSS
    t.advance(rtt_ms)
    t.drain()
    for number in range(una + 2, top + 1):
        t.inject("ACK", ack=at(una), sack=[(at(una + 1), at(number))])
        t.drain()
    while t.c.phase != lib.TCP_PHASE_OPEN:
        t.advance(rtt_ms)
        t.drain()
        t.inject("ACK", ack=t.snd_nxt)
        t.drain()
    return t, before, t.c.cwnd / MSS


@pytest.mark.requirement("CC-16")
def test_cubic_takes_seven_tenths() -> None:
    _, before, after = after_a_loss(100, 100)
    assert after == pytest.approx(BETA * before, rel=0.03)


@pytest.mark.requirement("CC-16")
@pytest.mark.parametrize(("rtt", "segments"), [(200, 150), (300, 80)])
def test_cubic_returns_to_w_max_after_k_seconds(rtt: int, segments: int) -> None:
    t, w_max, w = after_a_loss(rtt, segments)
    k = ((w_max - w) / C) ** (1 / 3)
    start = t.now_ms
    previous = w
    while (seconds := (t.now_ms - start) / 1000) < k + 2:
        round_trip(t, rtt)
        now = t.c.cwnd / MSS
        target = C * (seconds + rtt / 1000 - k) ** 3 + w_max
        assert now == pytest.approx(target, rel=0.08), f"at {seconds} s of K = {k}"
        assert now >= previous
        previous = now
    assert previous > w_max


@pytest.mark.requirement("CC-16")
def test_cubic_is_as_fast_as_reno_on_a_short_path() -> None:
    t, before, after = after_a_loss(10, 50)
    start = t.now_ms
    for _ in range(20):
        round_trip(t, 10)
    rounds = (t.now_ms - start) / 10
    alpha = 3 * (1 - BETA) / (1 + BETA)
    assert t.c.cwnd / MSS == pytest.approx(after + alpha * rounds, abs=4)
    assert t.c.cwnd / MSS > after + alpha * rounds * 0.6
    assert after < before


@pytest.mark.requirement("CC-16")
def test_fast_convergence_gives_way() -> None:
    t, w_max, _ = after_a_loss(100, 100)
    una, top = (t.snd_una - 1) // MSS, (t.snd_nxt - 1) // MSS
    low = t.c.cwnd / MSS
    assert low < w_max
    t.advance(100)
    t.drain()
    for number in range(una + 2, top + 1):
        t.inject("ACK", ack=at(una), sack=[(at(una + 1), at(number))])
        t.drain()
    while t.c.phase != lib.TCP_PHASE_OPEN:
        t.advance(100)
        t.drain()
        t.inject("ACK", ack=t.snd_nxt)
        t.drain()
    start = t.now_ms
    reached = low * (1 + BETA) / 2  # W_max of the second reduction (RFC 9438 4.7)
    k = ((reached - t.c.cwnd / MSS) / C) ** (1 / 3)
    while (t.now_ms - start) / 1000 < k:
        round_trip(t, 100)
    assert t.c.cwnd / MSS == pytest.approx(reached, rel=0.1)


@pytest.mark.requirement("CC-17")
@pytest.mark.parametrize("idle_ms", [150, 20_000])
def test_idle_time_is_not_growth(idle_ms: int) -> None:
    t, _, _ = after_a_loss(100, 100)
    for _ in range(3):
        round_trip(t, 100)
    while t.snd_una <= len(t.endpoint.queued):  # until the queue is empty
        t.inject("ACK", ack=t.snd_nxt)
        t.drain()
    before = t.c.cwnd
    for _ in range(8):
        t.advance(idle_ms)
        t.drain()
        t.send(10 * MSS)
        t.drain()
        t.advance(100)
        t.inject("ACK", ack=t.snd_nxt)
        t.drain()
    assert t.c.cwnd <= before + 2 * MSS, "idleness moved the window up the cubic"


@pytest.mark.requirement("CC-17")
def test_a_timeout_starts_cubic_again() -> None:
    t, before, _ = after_a_loss(100, 100)
    low = t.c.cwnd
    while not t.statistics.timeouts:
        t.wait(10_000)
        t.drain()
    assert t.c.cwnd == MSS
    assert t.c.ssthresh < low
    assert before * MSS > low


def slow_start(rtts: list[float], congestion: str) -> Conversation:
    """Rounds with these RTTs, without a loss."""
    t = sender(queue=8000, congestion=congestion, timestamps=False, sack=True, rtt_ms=rtts[0])
    t.drain()
    for rtt in rtts:
        round_trip(t, rtt)
    return t


@pytest.mark.requirement("CC-18")
@BOTH
def test_hystart_leaves_slow_start_when_the_rtt_rises(congestion: str) -> None:
    steady = slow_start([100] * 7, congestion)
    assert steady.c.cwnd >= 10 * 2**7 * MSS * 0.9
    assert steady.c.ssthresh > 2**30
    rising = slow_start([100, 100, 100, 125, 150, 175, 200], congestion)
    assert rising.c.cwnd < steady.c.cwnd / 3, "Conservative Slow Start grows by a quarter"
    assert rising.endpoint.has(lib.TCP_HYSTART_CSS) or rising.c.ssthresh < 2**30
    done = slow_start([100, 100, 100, *[150] * 9], congestion)
    assert done.c.ssthresh < 2**30, "after CSS_ROUNDS slow start is over"


@pytest.mark.requirement("CC-18")
def test_hystart_goes_back_when_the_rtt_falls_again() -> None:
    t = slow_start([100, 100, 100, 150, 100, 100, 100, 100, 100, 100], "newreno")
    assert t.c.ssthresh > 2**30
    assert not t.endpoint.has(lib.TCP_HYSTART_CSS)


@pytest.mark.requirement("CC-19")
@BOTH
@pytest.mark.parametrize("idle_ms", [100, 5000])
def test_after_an_idle_rto_the_restart_window_counts(congestion: str, idle_ms: int) -> None:
    t = sender(queue=300, congestion=congestion)
    t.drain()
    while len(t.endpoint.queued) >= t.snd_nxt:
        t.advance(100)
        for number in range((t.snd_una - 1) // MSS, (t.snd_nxt - 1) // MSS):
            ack(t, number + 1)
    while t.snd_una < t.snd_nxt:
        t.inject("ACK", ack=t.snd_nxt)
        t.drain()
    window = t.c.cwnd // MSS
    assert window > 50
    t.advance(idle_ms)
    t.send(300 * MSS)
    assert len(t.drain()) == (10 if idle_ms > 1000 else window)


@pytest.mark.requirement("CC-20")
@BOTH
@pytest.mark.parametrize("limit", ["application", "window"])
def test_a_limited_sender_does_not_grow(congestion: str, limit: str) -> None:
    wnd = 4_000_000 if limit == "application" else 4 * MSS
    t = established(rtt_ms=100, congestion=congestion, wscale=7, peer_wscale=0, peer_wnd=min(wnd, 65535))
    if limit == "window":
        t.send(400 * MSS)
    for _ in range(50):
        if limit == "application":
            t.send(2 * MSS)
        assert len(t.drain()) <= 4
        t.advance(50)
        t.drain()
        t.inject("ACK", ack=t.snd_nxt)
    t.drain()
    assert t.c.cwnd <= 12 * MSS


@pytest.mark.requirement("CC-19")
def test_numbers_of_the_restart() -> None:
    t = established(rtt_ms=100, config={"initial_segments": 4}, wscale=7, peer_wscale=7, peer_wnd=1_000_000)
    t.send(8 * MSS)
    assert numbers(t.drain()) == [0, 1, 2, 3]
    t.advance(100)
    t.inject("ACK", ack=at(4))
    t.drain()
    t.inject("ACK", ack=at(8))
    t.advance(10_000)
    t.send(20 * MSS)
    assert len(t.drain()) == 4
