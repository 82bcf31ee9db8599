"""RTO: round-trip times and the retransmission timer, RFC 6298."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.states import BUILDERS, SENDING, established, syn_received, syn_sent
from vnic._core import lib

MSS = 1460
CLOCK = 1.0  # ms that a timer may be late


def estimate(t: Conversation) -> tuple[float, float]:
    """SRTT and RTTVAR in ms."""
    return t.c.srtt_us / 8000, t.c.rttvar_us / 4000


def sample(t: Conversation, rtt_ms: float, size: int = 100) -> None:
    """One more measurement."""
    t.send(size)
    t.drain()
    t.advance(rtt_ms)
    assert t.drain() == []
    t.inject("ACK", ack=t.snd_nxt)


@pytest.mark.requirement("RTO-01")
@pytest.mark.parametrize("is_active", [False, True])
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("rtt", [1, 100, 400])
def test_the_first_sample(is_active: bool, timestamps: bool, rtt: int) -> None:
    t = established(rtt_ms=rtt, is_active=is_active, timestamps=timestamps)
    srtt, rttvar = estimate(t)
    assert srtt == pytest.approx(rtt, rel=0.01)
    assert rttvar == pytest.approx(rtt / 2, rel=0.01)
    t.send(100)
    t.expect("ACK", len=100)
    assert t.wait(5000) == pytest.approx(max(200, 3 * rtt), abs=CLOCK)
    t.expect("ACK", seq=1, len=100)


@pytest.mark.requirement("RTO-02")
def test_later_samples_weigh_a_quarter_and_an_eighth() -> None:
    t = established(rtt_ms=100)
    srtt, rttvar = 100.0, 50.0
    for rtt in (200, 80, 250, 100, 100):
        sample(t, rtt)
        rttvar += (abs(srtt - rtt) - rttvar) / 4
        srtt += (rtt - srtt) / 8
        assert list(estimate(t)) == pytest.approx([srtt, rttvar], abs=0.2)
    t.send(100)
    t.drain()
    assert t.wait(5000) == pytest.approx(srtt + max(4 * rttvar, 0), abs=CLOCK)
    t.drain()


@pytest.mark.requirement("RTO-03")
@pytest.mark.parametrize("minimum", [200, 1000])
def test_the_smallest_rto(minimum: int) -> None:
    t = established(rtt_ms=1, config={"rto_min_us": minimum * 1000})
    for _ in range(10):
        sample(t, 1)
    t.send(100)
    t.drain()
    assert minimum <= t.wait(5000) <= minimum + 10
    t.drain()


@pytest.mark.requirement("RTO-03")
def test_the_largest_rto_is_at_least_a_minute() -> None:
    t = established(rtt_ms=100, config={"r2_ms": 3_600_000})
    t.send(100)
    t.drain()
    gaps = []
    while t.now_ms < 1_500_000:
        gaps.append(t.wait(300_000))
        t.drain()
    assert max(gaps) >= 60_000
    assert gaps == sorted(gaps)


@pytest.mark.requirement("RTO-04")
def test_no_sample_from_data_that_was_sent_again() -> None:
    t = established(rtt_ms=100)
    before = estimate(t)
    t.send(100)
    t.drain()
    t.wait(5000)
    t.expect("ACK", seq=1, len=100)
    t.advance(50)
    t.inject("ACK", ack=101)
    assert estimate(t) == before
    t.send(100)
    t.drain()
    doubled = t.wait(5000)
    assert doubled == pytest.approx(600, abs=CLOCK), "the backed-off RTO stays until there is a sample"
    t.drain()


@pytest.mark.requirement("RTO-04")
def test_no_sample_from_a_syn_that_was_sent_again() -> None:
    t = syn_sent()
    t.wait(5000)
    t.expect("SYN", seq=0)
    t.advance(5)
    t.syn_ack()
    t.expect("ACK", seq=1)
    assert t.c.srtt_us == 0
    t.send(100)
    t.drain()
    assert t.wait(10_000) >= 3000 - CLOCK, "RFC 6298 5.7: 3 s after a lost SYN"
    t.drain()


@pytest.mark.requirement("RTO-04")
def test_timestamps_tell_which_transmission_was_acknowledged() -> None:
    t = established(rtt_ms=100, timestamps=True)
    t.send(100)
    t.drain()
    t.wait(5000)
    t.drain()
    t.advance(100)
    t.inject("ACK", ack=101)
    assert estimate(t)[0] == pytest.approx(100, abs=2)
    t.send(100)
    t.drain()
    assert t.wait(5000) < 600 - CLOCK, "a sample ends the back-off"
    t.drain()


@pytest.mark.requirement("RTO-05")
def test_the_timer_starts_restarts_and_stops() -> None:
    t = established(rtt_ms=100)
    assert not t.is_running
    t.send(2 * MSS)
    t.drain()
    t.advance(200)
    t.inject("ACK", ack=1 + MSS)  # new data: 300 ms from here, more after this sample of 200 ms
    rto = t.c.rto_us / 1000
    assert t.wait(5000) == pytest.approx(rto, abs=CLOCK)
    t.expect("ACK", seq=1 + MSS, len=MSS)
    t.inject("ACK", ack=1 + 2 * MSS)
    assert not t.is_running
    t.advance(100_000).expect_nothing()


@pytest.mark.requirement("RTO-05")
def test_the_timer_does_not_restart_at_a_duplicate_or_at_more_data() -> None:
    t = established(rtt_ms=100, nodelay=True)
    t.send(100)
    t.drain()
    for _ in range(2):
        t.advance(100)
        t.inject("ACK", ack=1)
        t.send(10)
        t.drain()
    assert t.wait(5000) == pytest.approx(100, abs=CLOCK)
    assert t.drain()[0].seq == 1


@pytest.mark.requirement("RTO-06")
@pytest.mark.parametrize("state", SENDING)
@pytest.mark.parametrize("sack", [False, True])
def test_the_earliest_segment_is_sent_again_and_the_rto_doubles(state: str, sack: bool) -> None:
    t = BUILDERS[state](rtt_ms=100, sack=sack)
    t.send(3 * MSS)
    t.drain()
    if sack:
        t.wait(5000)  # the tail loss probe
        t.drain()
    gaps = []
    for _ in range(6):
        gaps.append(t.wait(100_000))
        t.expect("ACK", seq=1, len=MSS)
        t.expect_nothing()
    for before, after in pairwise(gaps[1:]):
        assert after == pytest.approx(2 * before, abs=2 * CLOCK)
    assert t.statistics.timeouts == 6


@pytest.mark.requirement("RTO-06")
@pytest.mark.parametrize("is_active", [False, True])
def test_syn_and_syn_ack_are_sent_again(is_active: bool) -> None:
    t = syn_sent() if is_active else syn_received()
    gaps = []
    for _ in range(4):
        gaps.append(t.wait(100_000))
        t.expect("SYN" if is_active else "SYN,ACK", seq=0, mss=1460)
    assert gaps == [pytest.approx(1000 * 2**i, rel=0.01) for i in range(4)]


@pytest.mark.requirement("RTO-07")
@pytest.mark.parametrize("profile", ["rfc", "chimney"])
@pytest.mark.parametrize("state", SENDING)
def test_r1_tells_and_r2_gives_up(profile: str, state: str) -> None:
    t = BUILDERS[state](rtt_ms=100, profile=profile)
    t.send(100)
    t.drain()
    timeouts, told = 0, None
    start = t.now_ms
    while not {"CLOSED", "UPLOAD"} & set(t.endpoint.events):
        t.wait(1_000_000)
        timeouts += len(t.drain())
        if told is None and "R1" in t.endpoint.events:
            told = timeouts
    assert told is not None
    assert told >= 3
    assert t.endpoint.events.count("R1") == 1
    assert t.now_ms - start >= 100_000
    if profile == "rfc":
        t.expect_end("TIMEOUT")
    else:
        t.expect_upload("UPLOAD_TIMEOUT")
    t.advance(500_000).expect_nothing()


@pytest.mark.requirement("RTO-07")
@pytest.mark.parametrize("is_active", [False, True])
def test_a_syn_is_tried_for_three_minutes(is_active: bool) -> None:
    t = syn_sent() if is_active else syn_received()
    while "CLOSED" not in t.endpoint.events:
        t.wait(1_000_000)
        t.drain()
    t.expect_end("TIMEOUT")
    if is_active:
        assert t.now_ms >= 180_000


@pytest.mark.requirement("RTO-07")
def test_progress_starts_r2_again() -> None:
    t = established(rtt_ms=100, config={"r2_ms": 100_000})
    t.send(50 * 100)
    t.drain()
    for i in range(1, 10):
        t.advance(60_000)
        t.drain()
        t.inject("ACK", ack=1 + 100 * i)
        t.drain()
        t.expect_state("ESTABLISHED")


@pytest.mark.requirement("RTO-08")
@pytest.mark.parametrize("timestamps", [False, True])
def test_a_flight_of_many_acks_weighs_like_one_measurement(timestamps: bool) -> None:
    t = established(rtt_ms=100, timestamps=timestamps, sack=True)
    size = MSS - 12 if timestamps else MSS
    t.send(40 * size)
    assert len(t.drain()) == 10
    t.advance(180)
    for i in range(2, 11, 2):
        t.inject("ACK", ack=1 + i * size, ts=None if not timestamps else (t.peer_clock, t.last_ts))
        t.drain()
    srtt = estimate(t)[0]
    assert 105 < srtt < 117, "five ACKs of one flight count as one sample of 180 ms: 110 ms"


@pytest.mark.requirement("RTO-08")
def test_an_ack_without_new_data_is_no_sample() -> None:
    t = established(rtt_ms=100, timestamps=True)
    before = estimate(t)
    t.advance(3000)
    t.inject("ACK", data=1)
    t.drain()
    t.advance(3000)
    t.drain()
    t.inject("ACK")
    assert estimate(t) == before


@pytest.mark.requirement("RTO-08")
def test_a_lying_echo_is_no_sample() -> None:
    t = established(rtt_ms=100, timestamps=True)
    before = estimate(t)
    t.send(100)
    t.drain()
    t.advance(100)
    t.inject("ACK", ack=101, ts=(t.peer_clock, t.last_ts + 1_000_000))  # from the future
    assert estimate(t)[0] == pytest.approx(before[0], abs=1)


def lose_the_acks(**options: Any) -> Conversation:
    """A flight of 8 whose ACKs are late: the timer has fired and the first segment was sent again."""
    t = established(rtt_ms=100, **options)
    size = MSS - 12 if t.options.timestamps else MSS
    t.send(20 * size)
    t.drain()
    t.first_ts = t.last_ts  # type: ignore[attr-defined]
    while not t.statistics.timeouts:
        t.wait(10_000)
        t.drain()
    return t


@pytest.mark.requirement("RTO-09", "CC-21")
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
def test_timestamps_undo_a_spurious_timeout(congestion: str) -> None:
    t = lose_the_acks(timestamps=True, sack=True, congestion=congestion)
    assert t.c.cwnd <= 2 * MSS
    first: int = t.first_ts  # type: ignore[attr-defined]
    t.advance(20)
    t.inject("ACK", ack=1 + 10 * (MSS - 12), ts=(t.peer_clock, first))
    t.drain()
    assert t.c.cwnd >= 10 * (MSS - 12)
    assert t.statistics.spurious_timeouts == 1
    assert t.statistics.retransmits <= 2, "nothing else was sent again"


@pytest.mark.requirement("RTO-09")
def test_f_rto_finds_a_spurious_timeout_without_timestamps() -> None:
    t = lose_the_acks(sack=True)
    sent_again = t.statistics.retransmits
    t.inject("ACK", ack=1 + MSS)  # of the first transmission, late
    seen = t.drain()
    assert all(s.seq > 10 * MSS for s in seen), "F-RTO step 2b: new data, not the next segment again"
    t.inject("ACK", ack=1 + 2 * MSS)
    t.drain()
    assert t.statistics.spurious_timeouts == 1
    assert t.statistics.retransmits == sent_again


@pytest.mark.requirement("RTO-09")
@pytest.mark.parametrize("timestamps", [False, True])
def test_a_true_timeout_is_not_undone(timestamps: bool) -> None:
    t = lose_the_acks(sack=True, timestamps=timestamps)
    size = MSS - 12 if timestamps else MSS
    t.advance(100)
    t.inject("ACK", ack=1 + size)  # echoes the retransmission
    t.drain()
    t.inject("ACK", ack=1 + size)
    t.drain()
    t.advance(100)
    t.inject("ACK", ack=1 + 3 * size)
    t.drain()
    assert t.statistics.spurious_timeouts == 0
    assert t.c.ssthresh < 10 * MSS
    assert lib.TCP_PHASE_OPEN <= t.c.phase <= lib.TCP_PHASE_LOSS
