"""CC, RTO: rules of loss recovery that keep it from stalling, from bursting, and from being misled."""

from __future__ import annotations

import pytest

from tests.tcp.flight import BOTH, MSS, ack, at, numbers, sender
from vnic._core import lib

RTT = 100


@pytest.mark.requirement("CC-01")
@BOTH
@pytest.mark.parametrize(("segments", "growth"), [(1, 1), (2, 1), (4, 2), (10, 5)])
def test_an_ack_of_merged_segments_counts_every_second(congestion: str, segments: int, growth: int) -> None:
    t = sender(congestion=congestion)
    t.drain()
    t.advance(RTT)
    before = t.c.cwnd
    ack(t, segments)
    assert t.c.cwnd - before == growth * MSS


@pytest.mark.requirement("CC-01")
def test_an_ack_opens_slow_start_by_eight_segments_at_most() -> None:
    t = sender(queue=400)
    t.drain()
    for _ in range(3):
        t.advance(RTT)
        ack(t, (t.snd_nxt - 1) // MSS)
    before = t.c.cwnd
    t.advance(RTT)
    ack(t, (t.snd_nxt - 1) // MSS)
    assert t.c.cwnd - before == 8 * MSS


@pytest.mark.requirement("CC-01", "CC-04")
def test_after_a_timeout_an_ack_counts_once() -> None:
    t = sender(queue=10)
    t.drain()
    t.wait(5000)
    assert numbers(t.drain()) == [0]
    t.advance(RTT)
    t.inject("ACK", ack=at(6))
    t.drain()
    assert t.c.cwnd <= 3 * MSS


@pytest.mark.requirement("CC-07")
@BOTH
def test_recovery_without_sack_ends_without_a_burst(congestion: str) -> None:
    t = sender(queue=10, congestion=congestion)
    t.drain()
    t.advance(RTT)
    for _ in range(3):
        ack(t, 0)
    t.advance(RTT)
    t.inject("ACK", ack=at(10))
    assert t.c.phase == lib.TCP_PHASE_OPEN
    t.send(100 * MSS)
    assert len(t.drain()) <= 3, "RFC 6582 3.2 step 5: not all of ssthresh at once"
    assert t.c.cwnd < t.c.ssthresh


@pytest.mark.requirement("RTO-04", "RTO-06")
def test_a_duplicate_report_ends_the_back_off() -> None:
    t = sender(queue=1, sack=True)
    t.drain()
    while t.statistics.timeouts < 3:
        t.wait(100_000)
        t.drain()
    assert t.c.backoff == 3
    t.inject("ACK", ack=at(1), sack=[(at(0), at(1))])
    assert t.c.backoff == 0, "it was the ACKs that got lost"
    assert t.c.srtt_us == RTT * 8000, "and nothing was measured"


@pytest.mark.requirement("RTO-04", "RTO-06")
def test_acks_without_a_timeout_between_them_wear_the_back_off_down() -> None:
    t = sender(queue=10)
    t.drain()
    while t.statistics.timeouts < 3:
        t.wait(100_000)
        t.drain()
    t.advance(50)
    ack(t, 1)
    assert t.c.backoff == 3, "Karn: kept, for want of a sample"
    t.advance(50)
    ack(t, 2)
    t.advance(50)
    ack(t, 3)
    assert t.c.backoff == 1


@pytest.mark.requirement("RTO-04")
def test_a_late_sack_is_no_measure_of_the_rtt() -> None:
    t = sender(queue=10, sack=True)
    t.drain()
    t.advance(RTT)
    ack(t, 1)
    before = t.c.srtt_us, t.c.rttvar_us
    t.advance(80)
    ack(t, 1, 3)
    assert (t.c.srtt_us, t.c.rttvar_us) == before
    t.drain()


@pytest.mark.requirement("RTO-09")
@pytest.mark.parametrize("sack", [False, True])
def test_f_rto_is_not_misled_by_the_peers_own_data(sack: bool) -> None:
    t = sender(queue=30, sack=sack)
    t.drain()
    while not t.statistics.timeouts:
        t.wait(10_000)
        t.drain()
    t.inject("ACK", ack=at(1))
    assert all(number >= 10 for number in numbers(t.drain())), "step 2b: new data"
    t.inject("ACK", ack=at(1), data=100)
    assert all(seen.len == 0 for seen in t.drain()), "says nothing of the timeout"
    t.inject("ACK", ack=at(2))
    t.drain()
    assert t.statistics.spurious_timeouts == 1


@pytest.mark.requirement("CC-14", "CC-15")
def test_a_probe_that_arrived_twice_does_not_make_rack_patient() -> None:
    t = sender(queue=5, sack=True)
    t.drain()
    t.wait(5000)
    assert numbers(t.drain()) == [4]
    t.inject("ACK", ack=at(5))
    t.inject("ACK", ack=at(5), sack=[(at(4), at(5))])
    t.drain()
    assert t.statistics.dsacks_in == 1
    assert t.c.reo_mult == 0


@pytest.mark.requirement("PMT-01")
def test_what_fits_the_smaller_packets_is_not_sent_again() -> None:
    t = sender(queue=1, sack=True, nodelay=True)
    t.drain()
    t.advance(5)
    t.send(200)
    t.drain()
    t.advance(5)
    t.send(MSS)
    t.drain()
    t.icmp("TOO_BIG", 1, 1000)
    again = t.drain()
    assert {seen.seq for seen in again} >= {at(0), at(1) + 200}
    assert all(seen.seq + seen.len <= at(1) or seen.seq >= at(1) + 200 for seen in again)
