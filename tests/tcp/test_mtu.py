"""PMT: the size of packets, and ICMP errors that may be forged: RFC 1191, 8201, 5927, 4821."""

from __future__ import annotations

import pytest

from tests.tcp.states import BUILDERS, established, syn_received, syn_sent

MSS = 1460


@pytest.mark.requirement("PMT-01")
@pytest.mark.parametrize(
    ("is_ipv6", "mtu", "headers"), [(False, 1000, 40), (False, 576, 40), (True, 1400, 60)]
)
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("sack", [False, True])
def test_a_packet_too_big_is_cut_and_sent_again(
    is_ipv6: bool, mtu: int, headers: int, timestamps: bool, sack: bool
) -> None:
    t = established(
        is_ipv6=is_ipv6, timestamps=timestamps, sack=sack, rtt_ms=100, peer_mss=1440 if is_ipv6 else 1460
    )
    t.send(20 * MSS)
    t.drain()
    cwnd = t.c.cwnd
    t.icmp("TOO_BIG", 1, mtu)
    packet = mtu - headers - (12 if timestamps else 0)
    if not t.outbox:
        t.wait(5000)
    again = t.drain()
    assert again[0].seq == 1
    assert max(seen.len for seen in again) == packet
    t.expect_event("MTU")
    assert t.c.cwnd <= cwnd
    assert t.c.path_mtu == mtu
    t.advance(50)
    t.drain()
    for _ in range(200):
        t.inject("ACK", ack=t.snd_nxt)
        assert all(seen.len <= packet for seen in t.drain())
    assert t.endpoint.released == 20 * MSS


@pytest.mark.requirement("PMT-01")
@pytest.mark.parametrize(("is_ipv6", "floor"), [(False, 68), (True, 1280)])
@pytest.mark.parametrize("mtu", [0, 1, 40, 67])
def test_never_below_the_floor(is_ipv6: bool, floor: int, mtu: int) -> None:
    t = established(is_ipv6=is_ipv6, rtt_ms=100)
    t.send(3000)
    t.drain()
    t.icmp("TOO_BIG", 1, mtu)
    t.drain()
    assert t.c.snd_mss >= floor - (60 if is_ipv6 else 40)
    assert t.c.path_mtu == 0 or t.c.path_mtu >= floor


@pytest.mark.requirement("PMT-01")
def test_a_larger_size_than_ours_is_no_news() -> None:
    t = established()
    t.send(3000)
    t.drain()
    for mtu in (1500, 1501, 65535):
        t.icmp("TOO_BIG", 1, mtu)
        t.expect_nothing().expect_no_event("MTU")
    assert t.c.snd_mss == MSS


@pytest.mark.requirement("PMT-02")
@pytest.mark.parametrize("seq", [0, -1, 3001, 3000 + 1, 100_000, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("kind", ["TOO_BIG", "HARD", "SOFT"])
def test_an_error_about_what_is_not_in_flight_is_ignored(seq: int, kind: str) -> None:
    t = established()
    t.send(3000)
    t.drain()
    t.icmp(kind, seq, 600)
    t.expect_nothing().expect_no_event("MTU", "CLOSED", "R1")
    assert t.c.snd_mss == MSS


@pytest.mark.requirement("PMT-02")
@pytest.mark.parametrize(("seq", "is_believed"), [(1, True), (3000, True), (3001, False)])
def test_una_to_nxt(seq: int, is_believed: bool) -> None:
    t = established(nodelay=True)
    t.send(3000)
    t.drain()
    t.icmp("TOO_BIG", seq, 600)
    t.drain()
    assert ("MTU" in t.take_events()) == is_believed


@pytest.mark.requirement("PMT-02")
def test_nothing_in_flight_nothing_believed() -> None:
    t = established()
    t.icmp("TOO_BIG", 1, 600)
    assert t.c.snd_mss == MSS
    t = syn_sent()
    t.icmp("HARD", 5, 0)
    t.expect_state("SYN_SENT")


@pytest.mark.requirement("PMT-03")
@pytest.mark.parametrize("state", BUILDERS)
@pytest.mark.parametrize("kind", ["SOFT", "QUENCH"])
def test_a_soft_error_or_source_quench_does_not_abort(state: str, kind: str) -> None:
    t = BUILDERS[state]()
    cwnd = t.c.cwnd
    for seq in (t.snd_una, t.snd_nxt - 1):
        t.icmp(kind, seq)
    t.expect_nothing().expect_state(state)
    assert t.c.cwnd == cwnd


@pytest.mark.requirement("PMT-03")
def test_a_hard_error_ends_a_handshake_only() -> None:
    t = syn_sent()
    t.icmp("HARD", 0)
    t.expect_nothing()
    t.expect_end("REFUSED")
    t = established()
    t.send(100)
    t.drain()
    t.icmp("HARD", 1)
    t.expect_nothing().expect_state("ESTABLISHED")


@pytest.mark.requirement("PMT-03")
def test_a_soft_error_explains_a_syn_that_times_out() -> None:
    t = syn_sent()
    t.icmp("SOFT", 0)
    while t.state != "CLOSED":
        t.wait(1_000_000)
        t.drain()
        if t.state == "SYN_SENT":
            t.icmp("SOFT", 0)
    t.expect_end("UNREACHABLE")
    assert t.now_ms >= 180_000


@pytest.mark.requirement("PMT-01")
def test_a_syn_ack_is_not_resegmented() -> None:
    t = syn_received()
    t.icmp("TOO_BIG", 0, 600)
    t.drain()
    t.inject("ACK", seq=1, ack=1)
    t.send(3000)
    assert all(seen.len <= MSS for seen in t.drain())
