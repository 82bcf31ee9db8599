"""WIN: flow control in both directions, zero windows, silly windows, scaling."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.tcp.segment import Segment
from tests.tcp.states import established, fresh, syn_received, syn_sent
from vnic._core import lib

MSS = 1460


@pytest.mark.requirement("WIN-01")
@pytest.mark.parametrize("size", [0, 100, 2000, 9999])
def test_a_smaller_buffer_does_not_move_the_edge_left(size: int) -> None:
    t = established(rcv_buf=10_000)
    t.call("set_receive_buffer", size)
    t.drain()
    t.inject("ACK", data=100)
    ack = t.flush_ack()
    assert ack.ack + ack.wnd == 10_001
    t.is_lax = True
    t.inject("ACK", data=5000)
    t.inject("ACK", data=4900)
    assert len(t.received) == 10_000, "the peer used what it had been offered"
    assert t.drain()[-1].wnd == 0


@pytest.mark.requirement("WIN-01")
def test_the_syn_acks_window_never_shrinks() -> None:
    t = syn_received(rcv_buf=5000)
    t.call("set_receive_buffer", 100)
    t.wait(10_000)
    t.expect("SYN,ACK", wnd=5000)
    t.inject("ACK", seq=1, ack=1)
    t.inject("ACK", data=1000)
    ack = t.flush_ack()
    assert ack.ack + ack.wnd == 5001


@pytest.mark.requirement("WIN-01")
def test_the_syns_window_counts_in_a_simultaneous_open() -> None:
    t = syn_sent(rcv_buf=5000)
    t.call("set_receive_buffer", 100)
    t.inject("SYN", seq=0)
    assert t.expect("SYN,ACK", seq=0, ack=1).wnd >= 5000


@pytest.mark.requirement("WIN-01")
def test_a_larger_buffer_is_offered() -> None:
    t = established(rcv_buf=5000)
    t.call("set_receive_buffer", 20_000)
    t.expect("ACK", ack=1, wnd=20_000)


@pytest.mark.requirement("WIN-02")
@pytest.mark.parametrize("edge", [0, 1, 1000, 4999])
def test_a_window_that_shrinks_does_not_wrap(edge: int) -> None:
    t = established(peer_wnd=5000, nodelay=True)
    t.send(5000)
    assert sum(seen.len for seen in t.drain()) == 5000
    t.inject("ACK", ack=1, wnd=edge)
    t.send(20_000)
    t.expect_nothing()
    t.inject("ACK", ack=5001, wnd=0)
    t.expect_nothing()
    t.inject("ACK", ack=5001, wnd=2 * MSS)
    assert sum(seen.len for seen in t.drain()) == 2 * MSS


@pytest.mark.requirement("WIN-02", "SEG-10")
def test_an_old_segment_with_a_new_ack_does_not_move_the_edge() -> None:
    t = established(peer_wnd=4 * MSS, nodelay=True)
    t.send(20 * MSS)
    assert len(t.drain()) == 4
    t.inject("ACK", seq=501, data=10)  # newest: WL1 = 501, edge at 4 MSS
    t.drain()
    t.inject("ACK", seq=1, data=10, ack=1 + 2 * MSS, wnd=0)  # sent again by the peer, with the ACK of now
    assert all(seen.len == 0 for seen in t.drain()), "beyond the edge that the peer offered"
    t.inject("ACK", seq=511, ack=1 + 2 * MSS, wnd=4 * MSS)
    assert [seen.seq for seen in t.drain()] == [1 + 4 * MSS, 1 + 5 * MSS]


@pytest.mark.requirement("WIN-02")
def test_the_peer_acknowledges_beyond_the_edge_that_it_took_back() -> None:
    t = established(peer_wnd=8000, nodelay=True)
    t.send(8000)
    t.drain()
    t.inject("ACK", ack=1, wnd=100)
    t.inject("ACK", ack=3001, wnd=100)
    t.drain()
    assert t.snd_una == 3001
    t.inject("ACK", ack=8001, wnd=8000)
    t.expect_nothing()


@pytest.mark.requirement("WIN-03")
def test_after_a_shrink_only_the_window_is_sent_again() -> None:
    t = established(peer_wnd=5000, nodelay=True)
    t.send(5000)
    t.drain()
    t.inject("ACK", ack=1, wnd=2000)
    t.send(5000)
    t.expect_nothing()
    for _ in range(4):
        t.wait(20_000)
        for seen in t.drain():
            assert seen.seq + seen.len <= 2001, f"{seen} lies beyond the edge"
            assert seen.len > 0


@pytest.mark.requirement("WIN-03")
def test_data_beyond_a_closed_window_does_not_time_out() -> None:
    t = established(peer_wnd=5000, nodelay=True, config={"r2_ms": 100_000})
    t.send(5000)
    t.drain()
    t.inject("ACK", ack=1, wnd=0)
    spent = 0.0
    while spent < 1_000_000:
        spent += t.wait(200_000)
        for seen in t.drain():
            assert seen.len <= 1, "more than a probe beyond the edge"
        t.inject("ACK", ack=1, wnd=0)
    t.expect_state("ESTABLISHED")
    t.inject("ACK", ack=1, wnd=5000)
    if not t.outbox:
        t.wait(200_000)
    assert t.drain()[0].seq == 1


@pytest.mark.requirement("WIN-04", "WIN-05")
def test_a_zero_window_is_probed_with_the_next_byte() -> None:
    t = established(peer_wnd=0)
    t.send(3000)
    t.expect_nothing()
    rto = t.c.rto_us / 1000
    gaps = []
    for _ in range(8):
        gaps.append(t.wait(200_000))
        t.expect("ACK", seq=1, len=1)
        t.inject("ACK", ack=1, wnd=0)
    assert gaps[0] == pytest.approx(rto, abs=2)
    for before, after in pairwise(gaps):
        assert after == pytest.approx(min(2 * before, 60_000), rel=0.02, abs=2) or after > 59_999
    assert t.statistics.window_probes == 8
    assert t.statistics.retransmits == 0


@pytest.mark.requirement("WIN-04")
def test_the_probe_is_answered_by_a_window() -> None:
    t = established(peer_wnd=0, nodelay=True)
    t.send(3000)
    t.wait(60_000)
    t.expect("ACK", seq=1, len=1)
    t.inject("ACK", ack=1, wnd=65535)
    seen = t.drain()
    assert seen[0].seq in (1, 2)
    assert max(s.seq + s.len for s in seen) == 3001
    t.inject("ACK", ack=3001)
    t.expect_nothing().expect_event("WINDOW", "ACKED")
    assert not t.is_running


@pytest.mark.requirement("WIN-04")
def test_the_probes_byte_is_taken_by_the_peer() -> None:
    t = established(peer_wnd=0)
    t.send(3000)
    gaps = []
    for i in range(1, 5):
        gaps.append(t.wait(60_000))
        t.expect("ACK", seq=i, len=1)
        t.inject("ACK", ack=i + 1, wnd=0)
    assert t.endpoint.released == 4
    assert all(after == pytest.approx(2 * before, abs=2) for before, after in pairwise(gaps))
    t.inject("ACK", ack=5, wnd=1460)
    t.expect("ACK", seq=5, len=1460)


@pytest.mark.requirement("WIN-05")
def test_answered_probes_keep_the_connection_for_ever() -> None:
    t = established(peer_wnd=0, user_timeout_ms=0)
    t.send(3000)
    while t.now_ms < 4 * 3_600_000:
        t.wait(300_000)
        t.expect("ACK", seq=1, len=1)
        t.inject("ACK", ack=1, wnd=0)
    t.expect_state("ESTABLISHED")


@pytest.mark.requirement("WIN-05")
def test_a_fin_behind_a_closed_window_gets_out_in_the_end() -> None:
    t = established(peer_wnd=0)
    t.send(1)
    t.shutdown()
    t.wait(60_000)
    probe = t.drain()
    assert probe[0].seq == 1
    t.inject("ACK", ack=1, wnd=1000)
    if not t.outbox:
        t.wait(200_000)
    last = t.drain()[-1]
    assert last.seq + last.len == 2
    assert last.has("FIN")


@pytest.mark.requirement("WIN-06")
@pytest.mark.parametrize("profile", ["rfc", "chimney"])
def test_unanswered_probes_end_the_connection(profile: str) -> None:
    t = established(peer_wnd=0, profile=profile, config={"r2_ms": 120_000})
    t.send(3000)
    probes = 0
    while not (t.endpoint.is_closed or "UPLOAD" in t.endpoint.events):
        t.wait(400_000)
        probes += len(t.drain())
        assert t.now_ms < 600_000, "unanswered probes for ever"
    assert probes >= 3
    assert t.now_ms >= 100_000
    if profile == "rfc":
        t.expect_end("TIMEOUT")
    else:
        t.expect_upload("UPLOAD_TIMEOUT")


@pytest.mark.requirement("WIN-06")
def test_only_unanswered_probes_count() -> None:
    t = established(peer_wnd=0, config={"r2_ms": 120_000})
    t.send(3000)
    for i in range(60):
        t.wait(300_000)
        t.expect("ACK", seq=1, len=1)
        if i % 2:
            t.inject("ACK", ack=1, wnd=0)
        t.expect_state("ESTABLISHED")


@pytest.mark.requirement("WIN-07")
def test_the_receiver_moves_its_edge_in_large_steps() -> None:
    t = established(rcv_buf=10_000)
    t.inject("ACK", data=1000)
    t.flush_ack()
    edge = 10_001
    for _ in range(14):
        t.consume(100)
        for seen in t.drain():
            assert seen.ack + seen.wnd >= edge + MSS
        t.inject("ACK", data=100)
        seen = t.flush_ack()
        step = seen.ack + seen.wnd - edge
        assert step == 0 or step >= MSS, f"the edge moves by {step}"
        edge += step
    t.drain()


@pytest.mark.requirement("WIN-07")
def test_a_small_buffer_moves_by_half_of_it() -> None:
    t = established(rcv_buf=1000)
    t.inject("ACK", data=1000)
    t.expect("ACK", wnd=0) if t.outbox else t.flush_ack()
    t.consume(499)
    t.expect_nothing()
    t.consume(1)
    t.expect("ACK", ack=1001, wnd=500)


@pytest.mark.requirement("WIN-08")
def test_a_silly_window_waits_for_the_override() -> None:
    t = established(peer_wnd=65535)
    t.inject("ACK", wnd=100)
    t.send(5000)
    t.expect_nothing()
    took = t.wait(2000)
    assert 100 <= took <= 1001
    t.expect("ACK", seq=1, len=100)


@pytest.mark.requirement("WIN-08")
def test_half_of_the_largest_window_is_not_silly() -> None:
    t = established(peer_wnd=2000)
    t.send(1460)
    t.expect("ACK", len=1460)
    t.inject("ACK", ack=1461, wnd=999)
    t.send(2000)
    t.expect_nothing()
    t.inject("ACK", ack=1461, wnd=1000)
    t.expect("ACK", seq=1461, len=1000)


@pytest.mark.requirement("WIN-09")
def test_nagle_holds_a_second_small_segment() -> None:
    t = established()
    t.send(100)
    t.expect("ACK", seq=1, len=100)
    t.send(100)
    t.send(100)
    t.expect_nothing()
    t.inject("ACK", ack=101)
    t.expect("ACK", seq=101, len=200)
    t.send(1400)
    t.expect_nothing()
    t.send(1520)
    t.expect("ACK", seq=301, len=MSS)
    t.expect("ACK", seq=301 + MSS, len=MSS)


@pytest.mark.requirement("WIN-09")
def test_nagle_can_be_disabled() -> None:
    t = established()
    t.send(100)
    t.expect("ACK", len=100)
    t.send(100)
    t.expect_nothing()
    t.call("set_options", flags=lib.TCP_NODELAY)
    t.expect("ACK", seq=101, len=100)
    t.send(100)
    t.expect("ACK", seq=201, len=100)


@pytest.mark.requirement("WIN-10")
@pytest.mark.parametrize(("buffer", "freed"), [(10_000, MSS), (2000, 1000), (100_000, MSS)])
def test_a_window_that_opens_is_told_at_once(buffer: int, freed: int) -> None:
    t = established(rcv_buf=buffer, wscale=7 if buffer > 65535 else None)
    t.give(buffer, 1400)
    assert t.endpoint.window == 0
    t.consume(freed)
    seen = t.expect("ACK", ack=buffer + 1)
    assert seen.wnd << t.c.rcv_wscale >= freed - 127


@pytest.mark.requirement("WIN-10")
def test_a_reader_that_empties_a_large_buffer_tells() -> None:
    t = established(rcv_buf=20_000)
    t.give(15_000, MSS)
    t.consume(15_000)
    t.expect("ACK", ack=15_001, wnd=20_000)


@pytest.mark.requirement("WIN-11")
def test_data_in_a_closed_window_is_answered_and_refused() -> None:
    t = established(rcv_buf=2000)
    t.give(2000, 1000)
    for _ in range(3):
        t.advance(1000)
        t.inject("ACK", seq=2001, data=1)
        t.expect("ACK", seq=1, ack=2001, wnd=0)
    assert len(t.received) == 2000
    t.consume(500)  # half of MSS or of the buffer is not there yet
    t.inject("ACK", seq=2001, data=1)
    seen = t.drain()[-1]
    assert (seen.ack, seen.wnd) in ((2001, 0), (2002, 499), (2001, 500))


@pytest.mark.requirement("WIN-11")
def test_data_that_the_caller_cannot_store_is_refused() -> None:
    t = established()
    t.inject("ACK", data=1000, refused=True)
    t.expect("ACK", ack=1)
    assert t.received == b""
    t.inject("ACK", seq=1, data=1000)
    t.flush_ack()
    assert len(t.received) == 1000


@pytest.mark.requirement("WIN-11")
def test_a_probe_without_data_is_answered() -> None:
    t = established(rcv_buf=2000)
    t.give(2000, 1000)
    t.inject("ACK", seq=2000)
    t.expect("ACK", ack=2001, wnd=0)


@pytest.mark.requirement("WIN-12")
@pytest.mark.parametrize("shift", [0, 1, 14, 15, 255])
def test_the_peers_scale_is_at_most_14(shift: int) -> None:
    t = established(wscale=2, peer_wscale=shift, peer_wnd=0)
    o = t.options
    t.receive(Segment(lib.TCP_ACK, o.irs + 1, o.iss + 1, wnd=100))
    assert t.c.snd_wnd == 100 << min(shift, 14)


@pytest.mark.requirement("WIN-12")
@pytest.mark.parametrize("is_active", [False, True])
@pytest.mark.parametrize("scale", [0, 3, 14])
def test_every_window_but_the_syns_is_scaled(is_active: bool, scale: int) -> None:
    buffer = 1_000_000
    t = fresh(wscale=scale, peer_wscale=3, rcv_buf=buffer, peer_wnd=8000)
    if is_active:
        t.connect().expect("SYN", wnd=65535, wscale=scale)
        t.syn_ack()
        assert t.c.snd_wnd == 8000, "the window of a SYN is not scaled"
        seen = t.expect("ACK")
    else:
        t.accept().expect("SYN,ACK", wnd=65535, wscale=scale)
        t.inject("ACK", seq=1, ack=1)
        t.inject("ACK", seq=5001, data=10)
        seen = t.expect("ACK")
    assert seen.wnd == min(buffer >> scale, 65535)
    t.inject("ACK", wnd=16_000)
    t.drain()
    assert t.c.snd_wnd == 16_000


@pytest.mark.requirement("WIN-13")
def test_data_up_to_the_furthest_edge_is_taken() -> None:
    t = established(wscale=7, rcv_buf=65535)
    t.inject("ACK", data=1)
    seen = t.flush_ack()
    assert seen.ack + (seen.wnd << 7) < 65536, "rounding takes nothing: the test proves nothing"
    t.give(65534, MSS)
    assert len(t.received) == 65535
    t.inject("ACK", data=1)
    t.expect("ACK", ack=65536, wnd=0)


@pytest.mark.requirement("WIN-14")
def test_a_scale_counts_when_both_syns_have_it() -> None:
    t = syn_received(wscale=7, peer_options=lib.TCP_OPT_MSS)
    assert t.trace[0][1].options & lib.TCP_OPT_WSCALE == 0, "our SYN,ACK offers what the SYN did not"
    t.inject("ACK", seq=1, ack=1, wscale=9)
    assert (t.c.snd_wscale, t.c.rcv_wscale) == (0, 0)
    t = syn_sent(wscale=7, peer_wscale=9, peer_options=lib.TCP_OPT_MSS, rcv_buf=1_000_000)
    t.syn_ack()
    t.expect("ACK", wnd=65535)
    assert (t.c.snd_wscale, t.c.rcv_wscale) == (0, 0)
    assert not t.endpoint.has(lib.TCP_HAS_WSCALE)


@pytest.mark.requirement("WIN-14")
@pytest.mark.parametrize("is_active", [False, True])
def test_the_agreed_shifts(is_active: bool) -> None:
    t = established(wscale=7, peer_wscale=9, is_active=is_active)
    assert (t.c.snd_wscale, t.c.rcv_wscale) == (9, 7)
    t.inject("ACK", options=lib.TCP_OPT_WSCALE, wscale=1)
    assert (t.c.snd_wscale, t.c.rcv_wscale) == (9, 7)


@pytest.mark.requirement("WIN-10", "WIN-07")
def test_a_wide_window_is_not_told_by_itself() -> None:
    t = established(rcv_buf=20_000)
    t.give(5000, 1250)
    t.consume(5000)
    t.expect_nothing()
    t.inject("ACK", data=100)
    assert t.flush_ack().wnd == 19_900


@pytest.mark.requirement("WIN-09")
def test_nagle_cuts_the_tail_off_a_large_send() -> None:
    t = established()
    t.endpoint.max_len = 65_535
    t.send(2 * MSS + 80)
    t.expect("ACK", seq=1, len=2 * MSS)
    t.expect_nothing()
    t.inject("ACK", ack=1 + 2 * MSS)
    t.expect("PSH,ACK", seq=1 + 2 * MSS, len=80)


def test_the_event_of_the_window_comes_when_the_queue_is_empty() -> None:
    t = established()
    t.send(2 * MSS)
    t.drain()
    t.inject("ACK", ack=1 + MSS)
    t.expect_no_event("WINDOW")
    t.inject("ACK", ack=1 + 2 * MSS)
    t.expect_event("WINDOW", "ACKED")


def test_the_event_of_the_window_comes_when_it_opens() -> None:
    t = established(peer_wnd=0)
    t.send(10 * MSS)
    t.take_events()
    t.inject("ACK", wnd=4 * MSS)
    t.expect_event("WINDOW")
    t.drain()


@pytest.mark.requirement("WIN-06")
def test_the_time_without_an_answer_counts_from_the_last_answer() -> None:
    t = established(peer_wnd=0, config={"r2_ms": 120_000})
    t.send(3000)
    while t.now_ms < 1_000_000:
        t.wait(300_000)
        t.expect("ACK", seq=1, len=1)
        t.inject("ACK", ack=1, wnd=0)
    start = t.now_ms
    while not t.endpoint.is_closed:
        t.wait(400_000)
        t.drain()
    assert t.now_ms - start >= 120_000
    t.expect_end("TIMEOUT")
