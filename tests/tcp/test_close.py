"""CLS: the end of a connection, RFC 9293 3.6."""

from __future__ import annotations

import pytest

from tests.tcp.segment import Segment, control_bits
from tests.tcp.states import (
    BUILDERS,
    SENDING,
    close_wait,
    closing,
    established,
    fin_wait_1,
    fin_wait_2,
    last_ack,
    syn_received,
    syn_sent,
    time_wait,
)
from vnic._core import lib

MSS = 1460
PROFILES = ("rfc", "chimney")


@pytest.mark.requirement("CLS-01")
@pytest.mark.parametrize("state", SENDING)
def test_the_fin_follows_all_that_was_queued(state: str) -> None:
    t = BUILDERS[state](peer_wnd=2 * MSS)
    t.send(5 * MSS)
    t.drain()
    t.shutdown()
    t.expect_nothing()
    t.inject("ACK", ack=1 + 2 * MSS)
    assert [seen.has("FIN") for seen in t.drain()] == [False, False]
    t.inject("ACK", ack=1 + 4 * MSS, wnd=65535)
    last = t.drain()[-1]
    assert last.has("FIN")
    assert last.seq + last.len == 1 + 5 * MSS
    t.expect_state("FIN_WAIT_1" if state == "ESTABLISHED" else "LAST_ACK")


@pytest.mark.requirement("CLS-01")
def test_the_fin_rides_on_the_last_data() -> None:
    t = established(peer_wnd=0)
    t.send(100)
    t.shutdown()
    t.inject("ACK", wnd=1000)
    t.expect("FIN,ACK", seq=1, len=100)


@pytest.mark.requirement("CLS-01")
@pytest.mark.parametrize("state", ["FIN_WAIT_1", "CLOSING", "LAST_ACK"])
def test_the_fin_is_sent_again(state: str) -> None:
    t = BUILDERS[state](rtt_ms=100)
    gaps = []
    for _ in range(3):
        gaps.append(t.wait(10_000))
        t.expect("FIN,ACK", seq=1)
    assert gaps == [pytest.approx(300 * 2**i, rel=0.02) for i in range(3)]


@pytest.mark.requirement("CLS-01")
def test_data_after_the_peers_fin_still_leaves() -> None:
    t = close_wait()
    t.send(4 * MSS)
    assert sum(seen.len for seen in t.drain()) == 4 * MSS
    t.inject("ACK", ack=1 + 4 * MSS)
    t.shutdown()
    t.expect("FIN,ACK", seq=1 + 4 * MSS)
    t.inject("ACK", ack=2 + 4 * MSS)
    t.expect_nothing()
    t.expect_end("CLOSED")


@pytest.mark.requirement("CLS-01")
def test_a_lost_fin_with_data_is_repaired_by_parts() -> None:
    t = established(rtt_ms=100, peer_wnd=0)
    t.send(1000)
    t.shutdown()
    t.inject("ACK", wnd=5000)
    t.expect("FIN,ACK", seq=1, len=1000)
    t.inject("ACK", ack=1001)
    t.expect_state("FIN_WAIT_1")
    t.wait(10_000)
    t.expect("FIN,ACK", seq=1001)
    t.inject("ACK", ack=1002)
    t.expect_state("FIN_WAIT_2")


@pytest.mark.requirement("CLS-01")
def test_shutdown_twice_and_in_handshake() -> None:
    t = fin_wait_1()
    t.shutdown()
    t.expect_nothing()
    t = syn_received()
    t.shutdown()
    t.drain()
    t.inject("ACK", seq=1, ack=1)
    if t.outbox:
        t.expect("FIN,ACK", seq=1)
    t.expect_state("FIN_WAIT_1")


@pytest.mark.requirement("CLS-02")
def test_both_close_at_once() -> None:
    t = fin_wait_1()
    t.inject("FIN,ACK", ack=1)
    t.expect("ACK", seq=2, ack=2)
    t.expect_state("CLOSING").expect_event("FIN")
    t.inject("ACK", ack=2)
    t.expect_nothing()
    t.expect_state("TIME_WAIT").expect_event("TIME_WAIT")


@pytest.mark.requirement("CLS-02")
def test_closing_goes_on_although_the_ack_was_lost() -> None:
    t = closing(rtt_ms=100)
    t.inject("FIN,ACK", seq=1, ack=2)  # below the window: answered, and its ACK does not count
    t.expect("ACK", seq=2, ack=2)
    t.wait(5000)
    t.expect("FIN,ACK", seq=1)
    t.inject("ACK", seq=2, ack=2)
    t.expect_state("TIME_WAIT")


@pytest.mark.requirement("CLS-02")
def test_the_orderly_ways_to_the_end() -> None:
    t = fin_wait_2()
    t.inject("FIN,ACK")
    t.expect("ACK", seq=2, ack=2)
    t.expect_state("TIME_WAIT")
    t = last_ack()
    t.inject("ACK", ack=2)
    t.expect_nothing()
    t.expect_end("CLOSED")


@pytest.mark.requirement("CLS-03")
def test_time_wait_lasts_two_msl() -> None:
    t = time_wait(config={"msl_ms": 30_000})
    t.advance(59_900).expect_nothing().expect_state("TIME_WAIT")
    t.advance(200).expect_nothing()
    t.expect_end("CLOSED")


@pytest.mark.requirement("CLS-03")
def test_a_fin_in_time_wait_starts_the_time_again() -> None:
    t = time_wait(config={"msl_ms": 30_000})
    t.advance(50_000)
    t.inject("FIN,ACK", seq=1)
    t.expect("ACK", ack=2)
    t.advance(59_000).expect_state("TIME_WAIT")
    t.advance(2000).expect_state("CLOSED")


@pytest.mark.requirement("CLS-03")
def test_chimney_time_wait_is_the_hosts() -> None:
    t = fin_wait_2(profile="chimney")
    t.inject("FIN,ACK")
    t.drain()
    t.expect_upload("UPLOAD_TIME_WAIT")


@pytest.mark.requirement("CLS-03")
def test_a_new_syn_may_take_the_place() -> None:
    def syn(seq: int, ts: int | None = None) -> Segment:
        options = lib.TCP_OPT_TIMESTAMP if ts is not None else 0
        return Segment(
            control_bits("SYN"), (77_000_000 + seq) % 2**32, 0, 100, options=options, ts_val=ts or 0
        )

    t = time_wait()
    assert lib.tcp_may_reopen(t.c, syn(3).raw())
    assert not lib.tcp_may_reopen(t.c, syn(1).raw())
    assert not lib.tcp_may_reopen(t.c, syn(-100).raw())
    t = time_wait(timestamps=True)
    recent = int(t.c.ts_recent)
    assert lib.tcp_may_reopen(t.c, syn(-100, recent + 1).raw()), "RFC 6191: a later timestamp"
    assert not lib.tcp_may_reopen(t.c, syn(-100, recent - 1).raw())
    assert not lib.tcp_may_reopen(established().c, syn(100_000).raw())


@pytest.mark.requirement("CLS-04")
@pytest.mark.parametrize("profile", PROFILES)
def test_fin_wait_2_ends_when_nobody_reads(profile: str) -> None:
    t = established(profile=profile, config={"fin_wait_2_ms": 60_000})
    t.close()
    t.expect("FIN,ACK", seq=1)
    t.inject("ACK", ack=2)
    t.expect_state("FIN_WAIT_2")
    t.advance(59_900).expect_nothing()
    assert not {"CLOSED", "UPLOAD"} & set(t.endpoint.events)
    t.advance(200)
    t.drain()
    if profile == "rfc":
        t.expect_state("CLOSED").expect_event("CLOSED")
    else:
        t.expect_upload("UPLOAD_TIMEOUT")


@pytest.mark.requirement("CLS-04")
def test_fin_wait_2_of_a_half_close_waits_for_ever() -> None:
    t = fin_wait_2()
    t.advance(10 * 3_600_000).expect_nothing().expect_state("FIN_WAIT_2")
    t.inject("ACK", data=100)
    t.flush_ack()
    t.inject("FIN,ACK")
    t.expect("ACK", ack=102)
    t.expect_state("TIME_WAIT")


@pytest.mark.requirement("CLS-04")
def test_closing_the_other_half_later_starts_the_timer() -> None:
    t = fin_wait_2(config={"fin_wait_2_ms": 60_000})
    t.advance(100_000)
    t.close()
    t.expect_state("FIN_WAIT_2")
    t.advance(61_000)
    t.drain()
    t.expect_state("CLOSED")


@pytest.mark.requirement("CLS-05")
def test_closing_with_unread_data_resets() -> None:
    t = established()
    t.give(100)
    t.close()
    t.expect("RST,ACK", seq=1, ack=101)
    t.expect_end("ABORTED")


@pytest.mark.requirement("CLS-05")
def test_closing_after_reading_all_is_orderly() -> None:
    t = established()
    t.give(100)
    t.consume()
    t.drain()
    t.close()
    t.expect("FIN,ACK", seq=1)
    t.expect_state("FIN_WAIT_1")


@pytest.mark.requirement("CLS-05")
@pytest.mark.parametrize("state", ["FIN_WAIT_1", "FIN_WAIT_2"])
def test_data_for_nobody_resets(state: str) -> None:
    t = established()
    t.close()
    t.expect("FIN,ACK", seq=1)
    if state == "FIN_WAIT_2":
        t.inject("ACK", ack=2)
    t.inject("ACK", data=10)
    t.expect("RST", seq=1 if state == "FIN_WAIT_1" else 2)  # what the peer expects next
    t.expect_end("DATA_AFTER_CLOSE")


@pytest.mark.requirement("CLS-05")
def test_a_fin_for_nobody_is_fine() -> None:
    t = established()
    t.close()
    t.expect("FIN,ACK", seq=1)
    t.inject("FIN,ACK", ack=2)
    t.expect("ACK", ack=2)
    t.expect_state("TIME_WAIT")


@pytest.mark.requirement("CLS-05")
@pytest.mark.parametrize("state", BUILDERS)
@pytest.mark.parametrize("profile", PROFILES)
def test_an_abort_resets_where_the_peer_knows_us(state: str, profile: str) -> None:
    if state == "TIME_WAIT" and profile == "chimney":
        return
    t = BUILDERS[state](profile=profile)
    nxt = t.snd_nxt
    t.abort()
    if state in ("SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT"):
        assert t.outbox.pop(0).seq == nxt
        assert t.trace[-1][1].control & lib.TCP_RST
    t.expect_nothing()
    assert t.state == "CLOSED"
    assert not t.is_running


@pytest.mark.requirement("CLS-05")
def test_closing_before_the_handshake_is_over() -> None:
    t = syn_sent()
    t.close()
    t.expect_nothing()
    t.expect_state("CLOSED").expect_event("CLOSED")
