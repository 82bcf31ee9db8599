"""The chimney's border: CONST, CACHED and DELEGATED values, who may cross it, and the life after it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tcp import flight
from tests.tcp.builder import MS
from tests.tcp.endpoint import Engine
from tests.tcp.offload import NOT_RUNNING, delegated, edge, freeze, hand_over, offload, take
from tests.tcp.offload import given as state_of
from tests.tcp.options import IRS, ISS
from tests.tcp.states import BUILDERS, close_wait, established, fin_wait_1, fin_wait_2
from tests.tcp.test_metamorphic import assert_drained, finished, scenarios
from tests.tcp.world import Scenario, World
from vnic._core import ffi, lib
from vnic.fuzz.effort import examples

OFFLOADABLE = ("ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK")
NDIS = {
    "SYN_SENT": 2, "SYN_RECEIVED": 3, "ESTABLISHED": 4, "FIN_WAIT_1": 5, "FIN_WAIT_2": 6, "CLOSE_WAIT": 7,
    "CLOSING": 8, "LAST_ACK": 9, "TIME_WAIT": 10,
}  # fmt: skip
rates = pytest.mark.parametrize("rate", [10, 100, 1000])
WIDE: dict[str, Any] = {"wscale": 3, "peer_wscale": 7, "peer_wnd": 100_000, "rcv_buf": 200_000}


# --- CH-01: who may cross


@pytest.mark.requirement("CH-01")
@pytest.mark.parametrize("state", BUILDERS)
@pytest.mark.parametrize("profile", ["rfc", "chimney"])
def test_states_that_may_be_taken(state: str, profile: str) -> None:
    t = BUILDERS[state]()
    given = state_of(t.engine, t.c)
    assert given.Delegated.State == NDIS[state]
    assert bool(lib.tcp_may_offload(t.c)) == (state in OFFLOADABLE)
    result, _ = take(t.engine, given, profile=profile)
    may = state in OFFLOADABLE or (state == "TIME_WAIT" and profile == "rfc")
    assert result == (lib.TCP_OFFLOAD_OK if may else lib.TCP_OFFLOAD_STATE)


@pytest.mark.requirement("CH-01")
@pytest.mark.parametrize("state", [0, 1, 11, 2**32 - 1])
def test_states_that_are_none(state: int) -> None:
    t = established()
    given = state_of(t.engine, t.c)
    given.Delegated.State = state
    assert take(t.engine, given)[0] == lib.TCP_OFFLOAD_STATE


@pytest.mark.requirement("CH-01")
def test_what_would_be_lost_for_good_stays() -> None:
    """ECN has no field, and urgent data none either."""
    assert not lib.tcp_may_offload(established(ecn=True).c)
    t = established()
    t.inject("URG,ACK", data=10, urgent=15)
    t.drain()
    assert not lib.tcp_may_offload(t.c)
    t = established()
    t.send(10)
    t.drain()
    t.call("queue_urgent")
    t.drain()
    t.send(10)
    t.drain()
    t.call("queue_urgent")
    t.drain()
    assert bool(lib.tcp_may_offload(t.c)) != t.endpoint.has(lib.TCP_URGENT_SENDING)


# --- the fields


@pytest.mark.requirement("CH-02", "CH-04", "CH-05", "CH-07")
def test_every_field_of_a_busy_connection() -> None:
    t = established(
        timestamps=True, sack=True, keepalive=True, keep_limit=5, user_timeout_ms=120_000, ttl=33, rtt_ms=80,
        nodelay=True, congestion="newreno", **WIDE,
    )  # fmt: skip
    t.inject("ACK", data=100)
    t.flush_ack()
    t.advance(20)
    t.send(5000)
    t.drain()
    t.advance(7)
    state = state_of(t.engine, t.c)
    path, const, cached = state.Path, state.Const, state.Cached
    assert bytes(path.SourceAddress)[:4] == b"\xc0\x00\x02\x01"
    assert bytes(path.DestinationAddress)[:4] == b"\xc0\x00\x02\x02"
    assert (path.PathMtu, path.VlanId, path.IsIpv6) == (1500, 0, 0)
    assert (const.Flags, const.LocalPort, const.RemotePort) == (7, 80, 40000)
    assert (const.SndWindScale, const.RcvWindScale, const.RemoteMss) == (7, 3, 1460)
    assert (cached.Flags, cached.KaProbeCount, cached.TtlOrHopLimit) == (1, 5, 33)
    assert (cached.InitialRcvWnd, cached.KaTimeout, cached.KaInterval) == (200_000, 7_200_000, 75_000)
    assert cached.MaxRT == 120_000
    assert delegated(state) == {
        "State": 4, "Flags": 0, "RcvNxt": IRS + 101, "RcvWnd": edge(t) - 101,
        "SndUna": ISS + 1, "SndNxt": ISS + 5001, "SndMax": ISS + 5001, "SndWnd": 100_000 >> 7 << 7,
        "MaxSndWnd": 100_000 >> 7 << 7, "SendWL1": IRS + 1, "CWnd": int(t.c.cwnd), "SsThresh": 0x7FFFFFFF,
        "SRtt": 80 * 8, "RttVar": 40 * 4, "TsRecent": 900_080, "TsRecentAge": int(t.now_ms) - 80,
        "TsTime": 10_000 + int(t.now_ms), "TotalRT": 0, "DupAckCount": 0, "SndWndProbeCount": 0,
        "SendBacklogSize": 5000, "ReceiveBacklogSize": 100, "DWnd": 0,
        "KeepAlive.ProbeCount": 0, "KeepAlive.TimeoutDelta": int(t.c.t_keep_ms) - int(t.engine.now_ns // MS),
        "Retransmit.Count": 0, "Retransmit.TimeoutDelta": 240 - 7,
    }  # fmt: skip


@rates
@pytest.mark.requirement("CH-05")
def test_ticks_are_rounded_up(rate: int) -> None:
    tick = 1000 // rate
    t = established(keepalive=True, keep_time_ms=7_200_001, user_timeout_ms=1001, rtt_ms=90)
    t.send(100)
    t.drain()
    t.advance(3)
    state = state_of(t.engine, t.c, rate)
    assert state.Cached.KaTimeout == -(-7_200_001 // tick)
    assert state.Cached.MaxRT == -(-1001 // tick)
    assert state.Delegated.Retransmit.TimeoutDelta == -(-(90 + 180 - 3) // tick)
    assert state.Delegated.SRtt == (8 * 90 + tick // 2) // tick


@pytest.mark.requirement("OFL-1")
def test_no_other_tick_rate() -> None:
    t = established()
    state = ffi.new("struct tcp_offload_state *")
    for rate in (0, 1, 50, 1001, 2**32 - 1):
        assert lib.tcp_to_offload(t.engine.handle, t.c, t.engine.now_ns, rate, state) == lib.TCP_OFFLOAD_VALUE
        assert take(t.engine, state_of(t.engine, t.c), rate=rate)[0] == lib.TCP_OFFLOAD_VALUE


def test_limits_of_time() -> None:
    """MaxRT: 0 is R2's business, -1 no limit at all; both come back."""
    for limit in (0, 2**32 - 1):
        t = established(user_timeout_ms=limit)
        assert state_of(t.engine, t.c, 10).Cached.MaxRT == limit
        assert offload(t, rate=10).c.user_timeout_ms == limit


@rates
@pytest.mark.requirement("CH-05", "CH-16")
@pytest.mark.parametrize("days", [24, 25, 40])
def test_a_timestamp_of_long_ago(rate: int, days: int) -> None:
    """An age beyond what the other side takes is told as the oldest that it takes."""
    t = established(timestamps=True)
    t.advance(days * 86_400_000)
    state = state_of(t.engine, t.c, rate)
    tick = 1000 // rate
    age = min(days * 86_400_000, 2**31 - 1)
    assert state.Delegated.TsRecentAge == pytest.approx(age / tick, abs=1000)
    taken = offload(t, rate=rate)
    assert delegated(state_of(taken.engine, taken.c, rate))["TsRecentAge"] == state.Delegated.TsRecentAge


# --- CH-02: what is sent first


@pytest.mark.requirement("CH-02")
@pytest.mark.parametrize("profile", ["rfc", "chimney"])
def test_what_was_sent_before_is_sent_again_first(profile: str) -> None:
    """SndNxt < SndMax: those bytes, all of them, and only then new ones."""
    t = established(peer_wnd=30_000)
    t.send(6 * 1460)
    t.drain()
    t.inject("ACK", ack=1 + 1460)
    t.send(6 * 1460)
    t.drain()
    state = state_of(t.engine, t.c)
    state.Delegated.SndNxt = ISS + 1 + 2 * 1460
    state.Delegated.SendBacklogSize += 5 * 1460
    t.endpoint.queued += bytes(5 * 1460)
    result, c = take(t.engine, state, profile=profile)
    assert result == lib.TCP_OFFLOAD_OK
    lib.tcp_release(t.engine.handle, t.c)
    t.endpoint.c, t.endpoint.index = c, int(lib.tcp_index(t.engine.handle, c))
    t.engine.endpoints[t.endpoint.index] = t.endpoint
    seen = []
    t._pull()
    for _ in range(12):
        seen += flight.numbers(t.drain())
        t.inject("ACK", ack=min(t.snd_una + 1460, t.snd_nxt))
    seen += flight.numbers(t.drain())
    again, new = seen[: seen.index(12)], seen[seen.index(12) :]
    assert again == list(range(2, 12))
    assert new == list(range(12, 17))


@pytest.mark.requirement("CH-02")
def test_lost_bytes_are_below_snd_nxt_of_the_taker() -> None:
    """The giver is in recovery: what it knows to be lost, and all behind it, is the taker's to send again."""
    t = flight.sender(sack=True)
    t.drain()
    t.inject("ACK", ack=1 + 1460, sack=flight.merged((4, 5, 6)))
    t.drain()
    t.advance(2000)
    t.drain()
    d = state_of(t.engine, t.c).Delegated
    assert d.SndUna <= d.SndNxt < d.SndMax
    assert d.SndMax == t.c.snd_nxt


# --- CH-03, CH-08: giving away


@pytest.mark.requirement("CH-03")
def test_a_delayed_ack_leaves_first() -> None:
    t = established()
    t.inject("ACK", data=100)
    t.expect_nothing()
    offload(t)
    t.expect("ACK", seq=1, ack=101)
    assert not t.c.armed & lib.TCP_TIMER_DELACK
    t.advance(1000)
    t.expect_nothing()


@pytest.mark.requirement("CH-03")
def test_nothing_is_sent_that_is_not_owed() -> None:
    t = established()
    assert freeze(t.endpoint) == []


@pytest.mark.requirement("CH-08")
def test_frozen() -> None:
    """Neither segments nor time nor the user make it say anything; thawed, what came due is done."""
    t = established(rtt_ms=50)
    t.send(100)
    t.expect("ACK", len=100)
    assert freeze(t.endpoint) == []
    before = t.endpoint.image()
    t.inject("ACK", data=100)
    t.inject("RST")
    t.expect_no_event("CLOSED", "DATA", "READABLE", "ACKED")
    assert t.endpoint.image() == before
    assert t.engine.deadline_ns == 2**64 - 1
    t.advance(10_000)
    t.expect_nothing()
    lib.tcp_thaw(t.engine.handle, t.c, t.engine.now_ns, t.endpoint.result)
    assert t.endpoint.result.events == lib.TCP_EVENT_OUTPUT
    t.advance(0)
    t.expect("ACK", seq=1, len=100)
    t.expect_nothing()


# --- CH-05, CH-06: timers


@pytest.mark.requirement("CH-05")
@pytest.mark.parametrize("delta,expected", [(150, 150), (1, 1), (0, 0)])
def test_the_retransmission_timer_goes_on(delta: int, expected: int) -> None:
    t = established(rtt_ms=50)
    t.send(100)
    t.drain()
    state = state_of(t.engine, t.c)
    state.Delegated.Retransmit.TimeoutDelta = delta
    state.Delegated.Retransmit.Count = 2
    assert take_in_place(t, state) == lib.TCP_OFFLOAD_OK
    if expected:
        assert t.wait(1000) == expected
    else:
        t.advance(0)
    t.expect("ACK", seq=1, len=100)
    assert t.c.retransmits == 3
    assert t.wait(10_000) == pytest.approx(200 * 2**3, abs=1)  # backed off by the count
    t.drain()


def take_in_place(t: Any, state: Any, **how: Any) -> int:
    """The conversation's connection is replaced by what the state says."""
    result, c = take(t.engine, state, **how)
    if result == lib.TCP_OFFLOAD_OK:
        lib.tcp_release(t.engine.handle, t.c)
        del t.engine.endpoints[t.endpoint.index]
        t.endpoint.c, t.endpoint.index = c, int(lib.tcp_index(t.engine.handle, c))
        t.engine.endpoints[t.endpoint.index] = t.endpoint
        t.endpoint.forget_ranges()
        t._pull()
    return result


@pytest.mark.requirement("CH-05")
def test_no_timer_with_nothing_in_flight() -> None:
    t = established()
    values = delegated(state_of(t.engine, t.c))
    assert values["Retransmit.TimeoutDelta"] == NOT_RUNNING
    assert values["KeepAlive.TimeoutDelta"] == NOT_RUNNING


@rates
@pytest.mark.requirement("CH-05", "KA-01")
def test_keepalive_goes_on(rate: int) -> None:
    t = established(keepalive=True, keep_time_ms=60_000, keep_interval_ms=10_000, keep_limit=3)
    t.advance(20_000)
    offload(t, shift_ms=777, rate=rate)
    assert t.wait(100_000) == pytest.approx(40_000, abs=1000 // rate)
    t.expect("ACK", seq=0)
    t.advance(4000)
    offload(t, rate=rate, profile="rfc")
    assert t.wait(100_000) == pytest.approx(6000, abs=1000 // rate)
    t.expect("ACK", seq=0)
    assert state_of(t.engine, t.c, rate).Delegated.KeepAlive.ProbeCount == 2
    t.inject("ACK")
    assert state_of(t.engine, t.c, rate).Delegated.KeepAlive.ProbeCount == 0


@pytest.mark.requirement("CH-05", "BL-02")
def test_a_suspected_attack_goes_on() -> None:
    """A RST in the window starts a target's keepalive timer in any case; the next target goes on."""
    t = established(profile="chimney")
    t.inject("RST", seq=100)
    t.expect("ACK", ack=1)
    assert state_of(t.engine, t.c).Delegated.KeepAlive.TimeoutDelta == 300_000
    t.advance(100_000)
    offload(t, profile="chimney")
    assert t.wait(300_000) == 200_000
    t.expect("ACK", seq=0)
    offload(t, profile="rfc")  # a host does not
    t.advance(400_000)
    t.expect_nothing()


@pytest.mark.requirement("CH-05", "CLS-04")
def test_fin_wait_2_goes_on() -> None:
    t = established()
    t.close()
    t.expect("FIN,ACK", seq=1)
    t.inject("ACK", ack=2)
    t.advance(10_000)
    assert state_of(t.engine, t.c).Delegated.Retransmit.TimeoutDelta == 50_000
    offload(t, profile="rfc")
    t.advance(49_000)
    t.expect_state("FIN_WAIT_2")
    t.advance(1000)
    t.expect_end("TIMEOUT")


@pytest.mark.requirement("CH-06", "WIN-04")
def test_the_persist_timer_goes_on() -> None:
    t = established(rtt_ms=50)
    t.inject("ACK", wnd=0)
    t.send(5000)
    for _ in range(3):
        t.wait(10_000)
        t.drain()
        t.inject("ACK", wnd=0)
    t.wait(10_000)
    t.drain()
    t.advance(100)
    state = state_of(t.engine, t.c)
    assert state.Delegated.SndWnd == 0
    assert state.Delegated.SndWndProbeCount == 4  # rounds
    assert state.Delegated.Retransmit.Count == 1  # unanswered
    assert state.Delegated.Retransmit.TimeoutDelta == 200 * 2**4 - 100
    offload(t)
    assert t.wait(10_000) == 200 * 2**4 - 100
    assert len(t.drain()) == 1
    t.inject("ACK", wnd=30_000)
    assert t.drain()[0].seq == 1


# --- CH-04, CH-09, OFL-2: the receiver


@pytest.mark.requirement("CH-04", "OFL-2", "WIN-01")
def test_unread_bytes_and_the_edge_travel() -> None:
    t = established(rcv_buf=20_000)
    t.inject("ACK", data=1460)
    t.inject("ACK", data=1460)
    t.drain()
    before = edge(t)
    state = state_of(t.engine, t.c)
    assert state.Delegated.ReceiveBacklogSize == 2920
    state.Cached.InitialRcvWnd = 3000  # the host gives less from now on
    assert take_in_place(t, state) == lib.TCP_OFFLOAD_OK
    assert edge(t) == before
    t.inject("ACK", data=before - t.rcv_nxt)  # what was promised is taken
    t.drain()
    assert edge(t) >= before
    assert t.consume() == t.received
    t.drain()


@pytest.mark.requirement("CH-09", "ACK-09")
def test_bytes_out_of_order_are_given_up() -> None:
    t = established(sack=True)
    t.inject("ACK", seq=2001, data=1000)
    t.expect("ACK", ack=1, sack=[(2001, 3001)])
    offload(t)
    t.inject("ACK", seq=5001, data=1000)
    t.expect("ACK", ack=1, sack=[(5001, 6001)])
    t.inject("ACK", seq=1, data=2000)
    t.expect("ACK", ack=2001, sack=[(5001, 6001)])


# --- CH-07: timestamps


@pytest.mark.requirement("CH-07", "TS-06")
def test_the_guides_numbers() -> None:
    """Stack 100, card 200: the card says 110 when it is 210; given back at 250 the stack goes on with 150."""
    t = established(timestamps=True, start_ns=100 * MS, ts_offset=0)
    offload(t, shift_ms=100)
    assert t.engine.now_ns == 200 * MS
    t.advance(10)
    t.send(1)
    seen = t.expect("ACK", len=1)
    assert seen.ts is not None
    assert seen.ts[0] == 110
    t.inject("ACK", ack=2)
    t.advance(40)
    assert state_of(t.engine, t.c).Delegated.TsTime == 150
    offload(t, shift_ms=-50, profile="rfc")  # the stack's clock drifted: it reads 200
    t.advance(50)
    assert t.engine.now_ns == 250 * MS
    t.send(1)
    seen = t.expect("ACK", len=1)
    assert seen.ts is not None
    assert seen.ts[0] == 200
    t.inject("ACK", ack=3)


@pytest.mark.requirement("CH-07", "RTO-04")
def test_a_sample_in_flight_stays_valid() -> None:
    t = established(timestamps=True, rtt_ms=100)
    t.send(100)
    sent = t.expect("ACK", len=100)
    assert sent.ts is not None
    t.advance(40)
    offload(t, shift_ms=123_456)
    t.advance(60)
    t.inject("ACK", ack=101, ts=(t.peer_clock, sent.ts[0]))
    assert state_of(t.engine, t.c).Delegated.SRtt == 100 * 8


# --- CH-16: there and back


@rates
@pytest.mark.requirement("CH-16")
@pytest.mark.parametrize("state", OFFLOADABLE)
def test_there_and_back_changes_nothing(state: str, rate: int) -> None:
    t = BUILDERS[state](timestamps=True, sack=True, keepalive=True, rtt_ms=70, **WIDE)
    if state in ("ESTABLISHED", "CLOSE_WAIT"):
        t.send(30_000)
        t.drain()
    t.advance(13)
    t.drain()
    assert freeze(t.endpoint) == []
    first = state_of(t.engine, t.c, rate)
    _, card = take(t.engine, first, rate=rate)
    second = state_of(t.engine, card, rate)
    _, host = take(t.engine, second, rate=rate, profile="rfc")
    third = state_of(t.engine, host, rate)
    assert delegated(first) == delegated(second) == delegated(third)
    for part in ("Const", "Cached"):
        before, after = (bytes(ffi.buffer(ffi.addressof(state, part))) for state in (first, third))
        assert before == after


WORD = st.integers(0, 2**32 - 1)
SPAN = st.integers(0, 2**30)
TICKS = st.one_of(st.just(NOT_RUNNING), st.integers(0, 20_000))


@st.composite
def states(draw: st.DrawFn) -> dict[str, int]:
    """DELEGATED values that may come from a host: anything that does not contradict itself."""
    state = draw(st.sampled_from([4, 5, 7, 8, 9]))
    backlog = draw(st.integers(0, 100_000))
    has_fin = state in (5, 8, 9)
    sent = draw(st.integers(0, backlog + has_fin))
    una, window = draw(WORD), draw(st.one_of(st.just(0), SPAN))
    resend = draw(st.integers(0, sent))
    waits = sent != 0 or (window == 0 and (backlog != 0 or has_fin))
    is_closed = waits and window == 0
    count = draw(st.integers(0, 20)) if waits else 0
    values = {
        "State": state, "RcvNxt": draw(WORD), "RcvWnd": draw(SPAN), "SndUna": una,
        "SndNxt": (una + resend) % 2**32, "SndMax": (una + sent) % 2**32, "SndWnd": window,
        "MaxSndWnd": draw(st.integers(window, 2**30)), "SendWL1": draw(WORD),
        "CWnd": draw(st.integers(1, 2**30)), "SsThresh": draw(WORD),
        "SRtt": draw(st.integers(0, 20_000)), "RttVar": draw(st.integers(0, 20_000)),
        "TsRecent": draw(WORD), "TsRecentAge": draw(st.integers(0, 10**6)), "TsTime": draw(WORD),
        "TotalRT": draw(st.integers(0, 10**6)) if count else 0,
        "DupAckCount": draw(st.integers(0, 255)) if sent else 0,
        "SndWndProbeCount": draw(st.integers(0, 31)) if is_closed else 0,
        "SendBacklogSize": backlog, "ReceiveBacklogSize": draw(SPAN), "Retransmit.Count": count,
        "Retransmit.TimeoutDelta": draw(st.integers(0, 20_000)) if waits else NOT_RUNNING,
        "KeepAlive.ProbeCount": 0 if is_closed else draw(st.integers(0, 255)),
        "KeepAlive.TimeoutDelta": draw(TICKS),
    }  # fmt: skip
    return values


def fill(state: Any, values: dict[str, int]) -> None:
    """Puts values into the delegated part, by name."""
    for name, value in values.items():
        inner, _, leaf = name.rpartition(".")
        setattr(getattr(state.Delegated, inner) if inner else state.Delegated, leaf, value)


@pytest.mark.requirement("CH-16", "OFL-1")
@examples(100)
@given(values=states(), rate=st.sampled_from([10, 100, 1000]), profile=st.sampled_from(["rfc", "chimney"]))
def test_any_state_comes_back(values: dict[str, int], rate: int, profile: str) -> None:
    t = established(timestamps=True, sack=True, nodelay=True)
    state = state_of(t.engine, t.c)
    fill(state, values)
    state.Cached.Flags = values["KeepAlive.TimeoutDelta"] != NOT_RUNNING
    wanted = delegated(state)
    result, c = take(t.engine, state, rate=rate, profile=profile)
    assert result == lib.TCP_OFFLOAD_OK
    try:
        assert lib.tcp_check(t.engine.handle, c) == ffi.NULL, ffi.string(lib.tcp_check(t.engine.handle, c))
        assert delegated(state_of(t.engine, c, rate)) == wanted
    finally:
        t.close_engine()


# --- OFL-1: values that cannot be

LIES: list[tuple[str, str, int]] = [
    ("Path", "IsIpv6", 2), ("Path", "VlanId", 0x1000), ("Path", "PathMtu", 67), ("Const", "SndWindScale", 15),
    ("Const", "RcvWindScale", 15), ("Const", "RemoteMss", 0), ("Const", "RemoteMss", 47),
    ("Cached", "UserPriority", 8), ("Cached", "InitialRcvWnd", 2**30 + 1), ("Delegated", "RcvWnd", 2**30 + 1),
    ("Delegated", "SndWnd", 2**30 + 1), ("Delegated", "MaxSndWnd", 2**32 - 1), ("Delegated", "CWnd", 0),
    ("Delegated", "CWnd", 2**30 + 1), ("Delegated", "SndNxt", ISS), ("Delegated", "SndNxt", ISS + 102),
    ("Delegated", "SndMax", ISS), ("Delegated", "SndMax", ISS + 102), ("Delegated", "SndUna", ISS + 102),
    ("Delegated", "SendBacklogSize", 99), ("Delegated", "SendBacklogSize", 2**32 - 1),
    ("Delegated", "ReceiveBacklogSize", 2**32 - 1), ("Delegated", "SndWndProbeCount", 32),
]  # fmt: skip


@pytest.mark.requirement("OFL-1")
@pytest.mark.parametrize("part,name,value", LIES)
def test_a_value_that_cannot_be(part: str, name: str, value: int) -> None:
    t = established(wscale=7, peer_wscale=7, config={"connections": 2})
    t.send(100)
    t.drain()
    state = state_of(t.engine, t.c)
    setattr(getattr(state, part), name, value)
    for _ in range(3):  # nothing is used up
        assert take(t.engine, state)[0] == lib.TCP_OFFLOAD_VALUE
    assert take(t.engine, state_of(t.engine, t.c))[0] == lib.TCP_OFFLOAD_OK


@pytest.mark.requirement("OFL-1")
def test_contradictions() -> None:
    t = established()
    state = state_of(t.engine, t.c)
    state.Path.SourceAddress[4] = 1  # an IPv4 address of five bytes
    assert take(t.engine, state)[0] == lib.TCP_OFFLOAD_VALUE
    state = state_of(t.engine, t.c)
    state.Const.SndWindScale = 3  # a scale that was not agreed on
    assert take(t.engine, state)[0] == lib.TCP_OFFLOAD_VALUE
    state = state_of(t.engine, t.c)
    state.Delegated.State = NDIS["FIN_WAIT_2"]  # with data that waits
    state.Delegated.SendBacklogSize = 1
    assert take(t.engine, state)[0] == lib.TCP_OFFLOAD_VALUE


@pytest.mark.requirement("OFL-1")
def test_no_connection_left() -> None:
    t = established(config={"connections": 1})
    assert take(t.engine, state_of(t.engine, t.c))[0] == lib.TCP_OFFLOAD_RESOURCES


# --- the life after it


@pytest.mark.requirement("CH-17")
@pytest.mark.parametrize("make", [established, close_wait, fin_wait_1, fin_wait_2])
@pytest.mark.parametrize("profile", ["rfc", "chimney"])
def test_it_closes_as_it_would_have(make: Any, profile: str) -> None:
    t = offload(make(), profile=profile)
    if make in (established, close_wait):
        t.shutdown()
        t.expect("FIN,ACK", seq=1)
    if make is not fin_wait_2:
        t.inject("ACK", ack=2)
    if make is close_wait:
        t.expect_end("CLOSED")
        return
    t.inject("FIN,ACK")
    t.expect("ACK", seq=2, ack=2)
    t.expect_state("TIME_WAIT")


@examples(30)
@given(scenario=scenarios, every=st.integers(1, 60), rate=st.sampled_from([10, 100, 1000]))
@pytest.mark.requirement("CH-17", "CH-09")
def test_handed_over_at_any_point(scenario: Scenario, every: int, rate: int) -> None:
    """
    Back and forth between host and card, clocks apart, while a bad network carries it: the streams are whole.
    No more often than every other tick: what is left of a timer is rounded up to one.
    """
    seen, last = 0, [0, 0]

    def hand(world: World, index: int) -> None:
        nonlocal seen
        side, is_early = world.sides[index], world.now_ns - last[index] < 2 * 10**9 // rate
        endpoint = side.endpoint
        seen += not is_early
        if is_early or endpoint is None or seen % every or not lib.tcp_may_offload(endpoint.c):
            return
        last[index], before = world.now_ns, int(endpoint.c.rcv_adv)
        made, shift = side.engine, 0
        if seen % 3:
            shift = seen % 100 * 7919 * MS
            made = Engine(side.engine.now_ns + shift, **scenario.options[index].config)
        sent = hand_over(endpoint, made, rate=rate, profile="chimney" if seen % 2 else "rfc")
        if made is not side.engine:
            side.engine.close()
            side.engine = made
            world.shift[index] += shift
        assert (int(endpoint.c.rcv_adv) - before) % 2**32 < 2**31, "the right edge moved back"
        endpoint.resets += sent

    assert_drained(finished(scenario, hand))
