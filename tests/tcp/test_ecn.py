"""ECN: congestion that is signalled and not suffered, RFC 3168."""

from __future__ import annotations

import pytest

from tests.tcp.flight import BOTH, MSS, ack, sender
from tests.tcp.states import BUILDERS, established, fresh, syn_received, syn_sent
from vnic._core import lib

NOT_ECT, ECT_0, CE = lib.TCP_NOT_ECT, lib.TCP_ECT_0, lib.TCP_CE


@pytest.mark.requirement("ECN-01")
def test_the_passive_side_agrees() -> None:
    t = fresh(ecn=True).accept()
    t.expect("SYN,ACK,ECE", ecn=NOT_ECT)
    t.inject("ACK", seq=1, ack=1)
    t.send(3 * MSS)
    assert [seen.ecn for seen in t.drain()] == [ECT_0] * 3


@pytest.mark.requirement("ECN-01")
def test_the_active_side_asks() -> None:
    t = fresh(ecn=True).connect()
    t.expect("SYN,ECE,CWR", ecn=NOT_ECT)
    t.syn_ack()
    t.expect("ACK", ecn=NOT_ECT)
    t.send(MSS)
    t.expect("ACK", len=MSS, ecn=ECT_0)


@pytest.mark.requirement("ECN-01")
@pytest.mark.parametrize("answer", ["SYN,ACK", "SYN,ACK,ECE,CWR", "SYN,ACK,CWR"])
def test_an_answer_that_does_not_agree(answer: str) -> None:
    t = syn_sent(ecn=True)
    t.inject(answer, seq=0, ack=1)
    t.expect("ACK", ecn=NOT_ECT)
    t.send(MSS)
    t.expect("ACK", len=MSS, ecn=NOT_ECT)
    t.inject("ACK,ECE", ack=1 + MSS)
    assert t.statistics.ece_in == 0 or t.c.ssthresh > 2**30


@pytest.mark.requirement("ECN-01")
@pytest.mark.parametrize("control", [lib.TCP_SYN, lib.TCP_SYN | lib.TCP_ECE, lib.TCP_SYN | lib.TCP_CWR])
def test_a_syn_that_does_not_ask(control: int) -> None:
    t = fresh(ecn=True).accept(control=control)
    t.expect("SYN,ACK", ecn=NOT_ECT)
    t.inject("ACK", seq=1, ack=1)
    t.send(MSS)
    t.expect("ACK", len=MSS, ecn=NOT_ECT)


@pytest.mark.requirement("ECN-01")
def test_not_offered_not_agreed() -> None:
    t = fresh(ecn=False).accept(control=lib.TCP_SYN | lib.TCP_ECE | lib.TCP_CWR)
    t.expect("SYN,ACK", ecn=NOT_ECT)


@pytest.mark.requirement("ECN-01")
def test_a_syn_that_is_lost_asks_no_more_in_the_end() -> None:
    t = syn_sent(ecn=True)
    asked = []
    for _ in range(4):
        t.wait(100_000)
        asked.append(t.outbox.pop(0).has("ECE"))
    assert not asked[-1], "RFC 3168 6.1.1.1"
    assert asked == sorted(asked, reverse=True)


@pytest.mark.requirement("ECN-02")
def test_no_ect_on_acks_retransmissions_and_probes() -> None:
    t = established(ecn=True)
    t.inject("ACK", data=100)
    if not t.outbox:
        t.wait(500)
    t.expect("ACK", ecn=NOT_ECT)
    t.inject("ACK", seq=5001, data=10)
    t.expect("ACK", ecn=NOT_ECT)
    t.inject("RST", seq=3000)
    t.expect("ACK", ecn=NOT_ECT)
    t.send(MSS)
    t.expect("ACK", len=MSS, ecn=ECT_0)
    t.wait(5000)
    t.expect("ACK", seq=1, len=MSS, ecn=NOT_ECT)
    t.inject("ACK", ack=1 + MSS, wnd=0)
    t.send(100)
    t.wait(60_000)
    t.expect("ACK", len=1, ecn=NOT_ECT)


@pytest.mark.requirement("ECN-02")
def test_no_ect_on_keepalives_and_a_lone_fin() -> None:
    t = established(ecn=True, keepalive=True, keep_time_ms=10_000)
    t.wait(20_000)
    t.expect("ACK", seq=0, ecn=NOT_ECT)
    t.inject("ACK")
    t.shutdown()
    t.expect("FIN,ACK")


@pytest.mark.requirement("ECN-03")
@pytest.mark.parametrize("state", ["ESTABLISHED", "FIN_WAIT_2"])
def test_ce_is_echoed_until_cwr(state: str) -> None:
    t = BUILDERS[state](ecn=True)
    t.inject("ACK", data=1000, ecn=CE)
    if not t.outbox:
        t.wait(500)
    t.expect("ACK,ECE", ack=1001)
    for i in range(5):
        t.inject("ACK", data=1000, ecn=ECT_0)
        if not t.outbox:
            t.wait(500)
        t.expect("ACK,ECE", ack=2001 + 1000 * i)
    t.inject("ACK,CWR", data=1000, ecn=ECT_0)
    if not t.outbox:
        t.wait(500)
    t.expect("ACK", ack=7001)
    t.inject("ACK,CWR", data=1000, ecn=CE)
    if not t.outbox:
        t.wait(500)
    t.expect("ACK,ECE", ack=8001)


@pytest.mark.requirement("ECN-03")
def test_data_carries_the_echo() -> None:
    t = established(ecn=True)
    t.inject("ACK", data=100, ecn=CE)
    t.drain()
    t.send(MSS)
    t.expect("ACK,ECE", len=MSS)


@pytest.mark.requirement("ECN-03")
def test_ce_means_nothing_where_ecn_was_not_agreed() -> None:
    t = established(ecn=False)
    t.inject("ACK", data=100, ecn=CE)
    t.flush_ack()


@pytest.mark.requirement("ECN-04")
@BOTH
def test_an_echo_reduces_once_a_window(congestion: str) -> None:
    t = sender(queue=200, ecn=True, sack=True, congestion=congestion)
    t.drain()
    t.advance(100)
    for number in range(1, 11):
        ack(t, number)
    before = t.c.cwnd
    t.advance(100)
    t.inject("ACK,ECE", ack=1 + 11 * MSS)
    seen = t.drain()
    reduced = t.c.ssthresh
    assert (
        reduced == pytest.approx((0.5 if congestion == "newreno" else 0.7) * before, rel=0.15)
        or reduced < before
    )
    assert t.c.cwnd < before
    for number in range(12, 25):
        t.inject("ACK,ECE", ack=1 + number * MSS)
        seen += t.drain()
    assert t.c.ssthresh == reduced, "the same window of data"
    new = [s for s in seen if s.len]
    assert new[0].has("CWR")
    assert not any(s.has("CWR") for s in new[1:])
    assert not any(s.ecn == NOT_ECT for s in new)
    t.advance(100)
    top = (t.snd_nxt - 1) // MSS
    ack(t, top)
    t.inject("ACK,ECE", ack=t.snd_nxt)
    t.drain()
    assert t.c.ssthresh < reduced, "another window of data"
    assert t.statistics.retransmits == 0


@pytest.mark.requirement("ECN-04")
def test_cwr_is_not_on_a_retransmission() -> None:
    t = sender(queue=100, ecn=True, sack=True)
    t.drain()
    t.advance(100)
    t.inject("ACK,ECE", ack=1, sack=[(1 + MSS, 1 + 5 * MSS)])
    for seen in t.drain():
        assert seen.has("CWR") <= (seen.seq > 10 * MSS)


@pytest.mark.requirement("ECN-05")
def test_what_is_pending_is_in_the_connection() -> None:
    t = established(ecn=True)
    t.inject("ACK", data=100, ecn=CE)
    assert t.endpoint.has(lib.TCP_ECE_PENDING)
    t.drain()
    s = sender(queue=10, ecn=True)
    s.drain()
    s.inject("ACK,ECE", ack=1 + MSS)
    assert s.endpoint.has(lib.TCP_CWR_PENDING)
    s.drain()


@pytest.mark.requirement("ECN-01")
def test_ecn_is_agreed_without_other_options() -> None:
    t = syn_received(ecn=True, peer_options=0)
    t.inject("ACK", seq=1, ack=1)
    assert t.endpoint.has(lib.TCP_HAS_ECN)
