"""TS: the timestamps option, PAWS, and what may be inferred from them: RFC 7323."""

from __future__ import annotations

import pytest

from tests.tcp.builder import MS
from tests.tcp.segment import Segment, control_bits
from tests.tcp.states import BUILDERS, SYNCHRONIZED, established, fresh, syn_received, syn_sent
from vnic._core import ffi, lib

PEER = 900_000
DAY = 86_400_000


@pytest.mark.requirement("TS-01")
def test_the_option_is_in_every_segment() -> None:
    t = fresh(timestamps=True, ts_offset=5000).connect()
    val, ecr = t.expect("SYN").ts or (0, -1)
    assert ecr == 0, "TSecr is not valid without ACK"
    t.syn_ack()
    assert t.expect("ACK").ts == (val, PEER)
    t.advance(7)
    t.send(2896)
    for seen in t.drain():
        assert seen.ts == (val + 7, PEER)
    t.inject("ACK", data=1, ack=2897)
    t.flush_ack()
    t.inject("ACK", seq=900, data=1)
    assert t.expect("ACK").ts
    t.inject("RST", seq=100)
    assert t.expect("ACK").ts, "challenge ACKs too"
    t.shutdown()
    assert t.expect("FIN,ACK").ts
    t.wait(10_000)
    assert t.expect("FIN,ACK").ts, "and what is sent again"


@pytest.mark.requirement("TS-01")
@pytest.mark.parametrize("is_active", [False, True])
def test_the_option_is_used_when_both_syns_had_it(is_active: bool) -> None:
    if is_active:
        t = syn_sent(timestamps=True, peer_options=0)
        t.syn_ack(options=0)
        assert t.expect("ACK").ts is None
    else:
        t = syn_received(timestamps=True, peer_options=0)
        t.inject("ACK", seq=1, ack=1, no_ts=True)
    t.send(536)
    assert t.expect("ACK", len=536).ts is None
    t = syn_received(timestamps=False, peer_options=lib.TCP_OPT_TIMESTAMP)
    assert not t.trace[0][1].options & lib.TCP_OPT_TIMESTAMP


@pytest.mark.requirement("TS-02")
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_segment_that_lacks_the_option_is_dropped_if_so_chosen(state: str) -> None:
    t = BUILDERS[state](timestamps=True, strict_timestamps=True)
    t.inject("ACK", data=100, ack=t.snd_nxt, no_ts=True)
    t.expect_nothing()
    assert t.received == b""
    if state != "TIME_WAIT":
        t.inject("RST", seq=t.rcv_nxt)
        t.expect_state("CLOSED")


@pytest.mark.requirement("TS-02")
def test_a_segment_that_lacks_the_option_is_taken_else() -> None:
    t = established(timestamps=True)
    t.inject("ACK", data=100, no_ts=True)
    t.flush_ack()
    assert len(t.received) == 100


@pytest.mark.requirement("TS-03")
def test_the_echo_is_of_the_segment_that_advanced_the_window() -> None:
    t = established(timestamps=True)
    with t.batch():
        t.inject("ACK", data=100, ts=(PEER + 10, 0))
        t.inject("ACK", data=100, ts=(PEER + 20, 0))
    assert t.flush_ack().ecr == PEER + 10, "the earlier of the two: the ACK was delayed"
    t.advance(1000)
    t.drain()
    base = t.rcv_nxt
    t.inject("ACK", seq=base + 100, data=100, ts=(PEER + 40, 0))
    assert t.expect("ACK", ack=base).ecr < PEER + 40, "SEG.SEQ > Last.ACK.sent"
    t.inject("ACK", seq=base, data=100, ts=(PEER + 50, 0))
    assert t.expect("ACK", ack=base + 200).ecr == PEER + 50, "it filled the hole"
    t.inject("ACK", seq=base - 100, data=100, ts=(PEER + 45, 0))
    t.drain()
    assert t.c.ts_recent == PEER + 50, "TSval < TS.Recent"


@pytest.mark.requirement("TS-03")
def test_ts_recent_wraps() -> None:
    t = established(timestamps=True, peer_ts=2**32 - 5)
    t.give(100)
    t.advance(30)
    t.give(100)
    assert t.c.ts_recent < 1000
    assert len(t.received) == 200


@pytest.mark.requirement("TS-04")
@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("age", [1, 1000, 2**31 - 1])
def test_an_old_timestamp_is_answered_and_dropped(state: str, age: int) -> None:
    t = BUILDERS[state](timestamps=True)
    nxt, rcv = t.snd_nxt, t.rcv_nxt
    t.inject("ACK", seq=rcv, ack=nxt, data=100, ts=(t.c.ts_recent - age, t.last_ts))
    t.expect("ACK", seq=nxt, ack=rcv)
    t.expect_nothing().expect_state(state).expect_no_event("READABLE", "ACKED")
    assert t.received == b""
    assert t.statistics.paws_drops == 1


@pytest.mark.requirement("TS-04")
def test_an_equal_timestamp_is_taken() -> None:
    t = established(timestamps=True)
    for _ in range(3):
        t.inject("ACK", data=100, ts=(PEER, 0))
        t.drain()
    assert len(t.received) == 300


@pytest.mark.requirement("TS-05")
@pytest.mark.parametrize(("days", "is_taken"), [(20, False), (24.9, True)])
def test_ts_recent_ages(days: float, is_taken: bool) -> None:
    t = established(timestamps=True)
    t.engine.now_ns += int(days * DAY) * MS
    t.advance(1)
    t.inject("ACK", data=100, ts=(PEER - 1000, 0))
    assert bool(t.received) == is_taken
    t.flush_ack() if is_taken else t.drain()
    if is_taken:
        assert t.c.ts_recent == PEER - 1000


@pytest.mark.requirement("TS-06")
@pytest.mark.parametrize("start_ns", [5_000_000_000, 2**32 * 1000 - 5_000_000, 2**32 * 1_000_000 - 5_000_000])
def test_our_clock_is_steady(start_ns: int) -> None:
    t = established(timestamps=True, start_ns=start_ns, ts_offset=2**32 - 3, nodelay=True)
    before = (t.trace[-1][1].ts_val) % 2**32
    for _ in range(40):
        t.advance(1)
        t.send(1)
        seen = t.expect("ACK", len=1)
        assert seen.ts is not None
        assert (seen.ts[0] - before) % 2**32 == 1
        before = seen.ts[0]
        t.inject("ACK", ack=t.snd_nxt)


@pytest.mark.requirement("TS-07")
@pytest.mark.parametrize("has_option", [False, True])
def test_a_rst_has_the_option_if_its_trigger_did(has_option: bool) -> None:
    options = lib.TCP_OPT_TIMESTAMP if has_option else 0
    out = ffi.new("struct tcp_segment *")
    for control, ecr in (("ACK", 0), ("SYN", 77)):  # TSecr is valid only with ACK
        trigger = Segment(control_bits(control), 5, 1000, 10, b"abc", options=options, ts_val=77, ts_ecr=88)
        assert lib.tcp_reset_for(trigger.raw(), out)
        assert bool(out.options & lib.TCP_OPT_TIMESTAMP) == has_option
        assert not has_option or out.ts_ecr == ecr


@pytest.mark.requirement("TS-07")
def test_a_rst_of_a_connection_has_the_option() -> None:
    t = established(timestamps=True)
    t.abort()
    assert t.outbox[0].ts is not None
    t.drain()


@pytest.mark.requirement("TS-03", "TS-04")
def test_an_old_duplicate_across_the_wrap_of_numbers_is_found() -> None:
    t = established(timestamps=True, rcv_buf=60_000, irs=2**32 - 500)
    t.give(1000)
    t.inject("ACK", seq=1001, data=100, ts=(t.c.ts_recent - 5, 0))
    t.drain()
    assert len(t.received) == 1000
