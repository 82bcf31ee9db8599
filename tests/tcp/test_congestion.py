"""CC: how much may be in the network, and what is lost: RFC 5681, 6582, 6675, 6937, 8985, 9438, 9406."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.flight import BOTH, MSS, WIDE, Receiver, ack, at, numbers, round_trip, sender
from tests.tcp.states import established, syn_sent
from vnic._core import lib

# --- slow start and congestion avoidance


@pytest.mark.requirement("CC-01")
@BOTH
def test_the_initial_window_and_slow_start(congestion: str) -> None:
    t = sender(congestion=congestion)
    assert numbers(t.drain()) == list(range(10))
    t.advance(100)
    top = 10
    for i in range(1, 11):
        sent = ack(t, i)
        assert sent == [top, top + 1], "each ACK of a full segment opens the window by one"
        top += 2
    assert t.c.cwnd == 20 * MSS


@pytest.mark.requirement("CC-01")
@pytest.mark.parametrize(("mss", "segments"), [(1460, 10), (536, 10), (2190, 6), (8960, 2)])
def test_the_initial_window_of_large_segments(mss: int, segments: int) -> None:
    t = established(**{**WIDE, "mtu": mss + 40, "peer_mss": mss})
    t.send(30 * mss)
    assert len(t.drain()) == segments


@pytest.mark.requirement("CC-01")
@BOTH
def test_splitting_an_ack_gains_nothing(congestion: str) -> None:
    t = sender(congestion=congestion)
    t.drain()
    t.advance(100)
    for i in range(10):
        t.inject("ACK", ack=1 + (i + 1) * MSS // 10)
        t.drain()
    assert t.c.cwnd == 11 * MSS


@pytest.mark.requirement("CC-01")
def test_one_ack_of_two_segments_opens_by_two_at_most() -> None:
    t = sender()
    t.drain()
    t.advance(100)
    sent = ack(t, 2)
    assert 3 <= len(sent) <= 4


@pytest.mark.requirement("CC-04", "CC-01")
def test_the_initial_window_after_a_lost_syn_is_one_segment() -> None:
    t = syn_sent(**WIDE)
    t.wait(5000)
    t.expect("SYN")
    t.syn_ack()
    t.expect("ACK")
    t.send(20 * MSS)
    assert numbers(t.drain()) == [0]


def in_avoidance(congestion: str, **options: Any) -> Conversation:
    """A connection that lost one segment of twenty and recovered: nothing in flight, cwnd = ssthresh."""
    t = sender(queue=30, congestion=congestion, **options)
    t.drain()
    t.advance(100)
    sent = [new for number in range(1, 11) for new in ack(t, number)]
    assert sent == list(range(10, 30))
    t.advance(100)
    sack = bool(t.options.sack)
    for i in range(11, 15):
        ack(t, 10, *range(11, i + 1) if sack else ())
    t.drain()
    t.advance(100)
    ack(t, 30)
    assert t.c.phase == lib.TCP_PHASE_OPEN
    return t


@pytest.mark.requirement("CC-02")
@BOTH
def test_congestion_avoidance_grows_by_a_segment_a_round_at_most(congestion: str) -> None:
    t = in_avoidance(congestion)
    t.send(4000 * MSS)
    t.drain()
    while t.c.cwnd < t.c.ssthresh:
        round_trip(t, 100)
    for _ in range(8):
        before = t.c.cwnd
        round_trip(t, 100)
        growth = t.c.cwnd - before
        assert 0 <= growth <= MSS, f"grew by {growth}"
        assert growth >= MSS - MSS // 10 or congestion == "cubic"


@pytest.mark.requirement("CC-03", "CC-04")
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("flight", [10, 6, 3, 1])
def test_a_timeout_halves_the_flight_and_starts_with_one_segment(sack: bool, flight: int) -> None:
    t = sender(queue=flight, sack=sack)
    t.drain()
    while not t.statistics.timeouts:
        t.wait(5000)
        t.drain()
    assert t.c.ssthresh == max(flight * MSS // 2, 2 * MSS)
    assert t.c.cwnd == MSS
    t.wait(5000)
    t.drain()
    assert t.c.ssthresh == max(flight * MSS // 2, 2 * MSS), "only the first timeout reduces"


@pytest.mark.requirement("CC-03")
def test_a_timeout_with_cubic_takes_its_own_share() -> None:
    t = sender(queue=10, congestion="cubic")
    t.drain()
    t.wait(5000)
    t.drain()
    assert t.c.ssthresh == pytest.approx(7 * MSS, abs=MSS // 2)
    assert t.c.cwnd == MSS


# --- without SACK


@pytest.mark.requirement("CC-05", "CC-06")
def test_three_duplicate_acks() -> None:
    t = sender()
    t.drain()
    t.advance(100)
    assert ack(t, 1) == [10, 11]
    assert ack(t, 1) == [12], "limited transmit"
    assert ack(t, 1) == [13]
    assert t.c.cwnd == 11 * MSS, "limited transmit leaves cwnd alone"
    sent = ack(t, 1)
    assert sent[0] == 1, "fast retransmit"
    assert t.c.phase == lib.TCP_PHASE_RECOVERY
    assert t.c.ssthresh <= 7 * MSS
    assert t.statistics.fast_recoveries == 1
    assert ack(t, 14) != []
    assert t.c.phase == lib.TCP_PHASE_OPEN


@pytest.mark.requirement("CC-05")
@pytest.mark.parametrize("what", ["data", "window", "idle", "older"])
def test_what_is_no_duplicate_ack(what: str) -> None:
    t = sender(queue=10 if what != "idle" else 1)
    t.drain()
    t.advance(50)
    if what == "idle":
        t.inject("ACK", ack=at(1))
    for i in range(6):
        if what == "data":
            t.inject("ACK", data=1)
        elif what == "window":
            t.inject("ACK", wnd=4_000_000 - 128 * (i + 1))
        elif what == "older":
            t.inject("ACK", ack=0)
        else:
            t.inject("ACK")
        assert all(s.len == 0 for s in t.drain())
    assert (t.statistics.fast_recoveries, t.c.dup_acks) == (0, 0)


@pytest.mark.requirement("CC-06")
def test_limited_transmit_respects_the_peers_window() -> None:
    t = established(rtt_ms=100, peer_wnd=10 * MSS)
    t.send(20 * MSS)
    t.drain()
    for _ in range(2):
        t.inject("ACK", ack=1)
        t.expect_nothing()


@pytest.mark.requirement("CC-07")
def test_a_partial_ack_sends_the_next_hole() -> None:
    t = sender()
    t.drain()
    t.advance(100)
    top = 10
    for _ in range(3):
        top = max([top, *ack(t, 0)])
    recover = top
    assert t.c.phase == lib.TCP_PHASE_RECOVERY
    t.advance(100)
    assert ack(t, 4)[0] == 4, "the hole after the partial ACK"
    assert t.c.phase == lib.TCP_PHASE_RECOVERY
    t.advance(100)
    assert ack(t, 7)[0] == 7
    assert t.c.phase == lib.TCP_PHASE_RECOVERY
    t.advance(100)
    ack(t, recover + 1)
    assert t.c.phase == lib.TCP_PHASE_OPEN
    assert t.statistics.fast_recoveries == 1
    assert t.c.cwnd <= t.c.ssthresh + MSS
    assert t.statistics.retransmits == 3


@pytest.mark.requirement("CC-08")
def test_no_second_reduction_in_a_window() -> None:
    t = sender()
    t.drain()
    t.advance(100)
    for _ in range(3):
        ack(t, 0)
    ssthresh = t.c.ssthresh
    for partial in (2, 4, 6):
        t.advance(100)
        for _ in range(6):
            ack(t, partial)
        assert t.c.ssthresh == ssthresh
    assert t.statistics.fast_recoveries == 1


@pytest.mark.requirement("CC-08")
def test_duplicates_after_a_timeout_start_no_fast_retransmit() -> None:
    t = sender()
    t.drain()
    t.wait(5000)
    assert numbers(t.drain()) == [0]
    ssthresh = t.c.ssthresh
    for _ in range(5):
        ack(t, 0)
    assert t.statistics.fast_recoveries == 0
    assert t.c.ssthresh == ssthresh
    t.advance(50)
    for i in (2, 3, 4):
        for _ in range(4):
            ack(t, i)
    assert t.statistics.fast_recoveries == 0, "below recover after a timeout (RFC 6582 4)"


# --- with SACK


@pytest.mark.requirement("CC-09")
def test_lost_by_three_segments_above() -> None:
    t = sender(sack=True)
    t.drain()
    t.advance(100)
    assert ack(t, 0, 1) == [10]
    assert ack(t, 0, 1, 2) == [11]
    assert ack(t, 0, 1, 2, 3)[0] == 0
    assert t.c.phase == lib.TCP_PHASE_RECOVERY


@pytest.mark.requirement("CC-09")
def test_lost_by_bytes_above_in_one_ack() -> None:
    t = sender(sack=True)
    t.drain()
    t.advance(100)
    sent = ack(t, 0, 3, 4, 5, 6)
    assert t.endpoint.pipe == (10 - 4 - 3 + len(sent)) * MSS, "all with enough SACKed above are lost"
    sent += ack(t, 0, 3, 4, 5, 6, 7) + ack(t, 0, 3, 4, 5, 6, 7, 8) + ack(t, 0, 3, 4, 5, 6, 7, 8, 9)
    assert sent[:3] == [0, 1, 2]


@pytest.mark.requirement("CC-09")
def test_next_seg_takes_holes_then_new_data_then_the_rescue() -> None:
    t = sender(queue=11, sack=True)
    t.drain()
    t.advance(100)
    sent = (
        ack(t, 0, 1) + ack(t, 0, 1, 3) + ack(t, 0, 1, 3, 5) + ack(t, 0, 1, 3, 5, 6) + ack(t, 0, 1, 3, 5, 6, 7)
    )
    new = [number for number in sent if number >= 10]
    again = [number for number in sent if number < 10]
    assert new == [10]
    assert again == sorted(again)
    assert again[:2] == [0, 2]
    assert set(again) <= {0, 2, 4}


@pytest.mark.requirement("CC-10", "CC-09")
@BOTH
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_sacked_bytes_are_never_sent_again_and_the_pipe_is_kept(
    congestion: str, timestamps: bool, seed: int
) -> None:
    random = Random(seed)
    t = sender(queue=150, sack=True, timestamps=timestamps, congestion=congestion)
    receiver = Receiver()
    sent = t.drain()
    sacked: list[tuple[int, int]] = []
    while t.snd_una < 1 + 150 * MSS:
        if not sent:
            t.wait(100_000)
            sent = t.drain()
            continue
        t.advance(50)
        sent += t.drain()
        arriving, sent = [s for s in sent if random.random() > 0.15], []
        for segment in arriving:
            blocks = receiver.take(segment.seq, segment.len)
            sacked = sorted({*sacked, *blocks}) if blocks else sacked
            t.inject("ACK", ack=receiver.next, sack=blocks)
            for s in t.drain():
                over = [
                    b for b in sacked if max(b[0], s.seq) < min(b[1], s.seq + s.len) and b[0] > receiver.next
                ]
                assert not over, f"{s} was SACKed: {over}"
                sent.append(s)
            assert t.endpoint.pipe <= max(t.c.cwnd, 10 * MSS) + 3 * MSS
    assert receiver.next == 1 + 150 * MSS
