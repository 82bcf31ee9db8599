"""CACHED values of a connection at a target, the size of its path, and the way back into its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tcp.builder import Conversation
from tests.tcp.endpoint import Engine
from tests.tcp.offload import NOT_RUNNING, adopt, delegated, edge, freeze, take
from tests.tcp.offload import given as state_of
from tests.tcp.options import CONGESTIONS, PROFILES
from tests.tcp.states import BUILDERS, established, fin_wait_2
from tests.tcp.test_metamorphic import EXAMPLES, assert_drained, finished, scenarios
from tests.tcp.world import Scenario, World
from vnic._core import ffi, lib

MSS = 1460
ENABLED, NAGLE, RESTART, MAX_RT, WINDOW = 1, 2, 4, 8, 16
FAST: dict[str, Any] = {
    "keepalive": True, "keep_time_ms": 10_000, "keep_interval_ms": 1000, "keep_limit": 5,
}  # fmt: skip


def update(t: Conversation, rate: int = 1000, **values: int) -> int:
    """CACHED as it is but for these values: the result."""
    state = state_of(t.engine, t.c, rate)
    box = ffi.new("struct tcp_offload_cached *", state.Cached)
    for name, value in values.items():
        setattr(box, name, value)
    result = int(lib.tcp_offload_update(t.engine.handle, t.c, t.engine.now_ns, rate, box, t.endpoint.result))
    t.endpoint._absorb()
    t._pull()
    return result


def now(t: Conversation, name: str) -> int:
    """A DELEGATED value."""
    state = state_of(t.engine, t.c)
    return delegated(state)[name]


def image(t: Conversation) -> bytes:
    """All of the connection."""
    size = int(lib.tcp_image_size(t.engine.handle, t.c))
    box = ffi.new("uint8_t[]", size)
    assert lib.tcp_save(t.engine.handle, t.c, t.engine.now_ns, box, size) == size
    return bytes(ffi.buffer(box))


# --- OFL-4


@pytest.mark.requirement("OFL-4")
@pytest.mark.parametrize("values", [{"Flags": 0x20}, {"UserPriority": 8}, {"InitialRcvWnd": 2**30 + 1}])
def test_bad_values_change_nothing(values: dict[str, int]) -> None:
    t = established(profile="chimney", **FAST)
    before = image(t)
    assert update(t, TtlOrHopLimit=3, KaTimeout=5, **values) == lib.TCP_OFFLOAD_VALUE
    assert image(t) == before


@pytest.mark.requirement("OFL-4")
def test_a_rate_that_is_none_changes_nothing() -> None:
    t = established(profile="chimney")
    before = image(t)
    box = ffi.new("struct tcp_offload_cached *")
    assert lib.tcp_offload_update(t.engine.handle, t.c, t.engine.now_ns, 50, box, t.endpoint.result) < 0
    assert image(t) == before


@pytest.mark.requirement("OFL-4")
@pytest.mark.parametrize("state", BUILDERS)
def test_all_values_are_taken_in_any_state(state: str) -> None:
    t = BUILDERS[state](profile="chimney")
    nine = {"KaProbeCount": 9, "KaTimeout": 700, "KaInterval": 80, "MaxRT": 900, "TtlOrHopLimit": 5}
    assert update(t, 100, Flags=ENABLED, TosOrTrafficClass=0x20, UserPriority=6, **nine) == lib.TCP_OFFLOAD_OK
    c = t.c
    assert (c.keep_limit, c.keep_time_ms, c.keep_interval_ms) == (9, 7000, 800)
    assert (c.user_timeout_ms, c.ttl, c.tos, c.vlan >> 13) == (9000, 5, 0x20, 6)
    assert c.flags & lib.TCP_NODELAY
    assert c.flags & lib.TCP_KEEPALIVE
    assert lib.tcp_check(t.engine.handle, c) == ffi.NULL
    t.drain()


@pytest.mark.requirement("OFL-4")
def test_delegated_values_and_const_stay() -> None:
    t = established(profile="chimney", **FAST, sack=True, timestamps=True)
    t.send(3 * MSS)
    t.drain()
    before = state_of(t.engine, t.c)
    assert update(t, TtlOrHopLimit=9, KaTimeout=50_000, MaxRT=77_000, InitialRcvWnd=1) == lib.TCP_OFFLOAD_OK
    after = state_of(t.engine, t.c)
    assert delegated(after) == delegated(before)
    assert bytes(ffi.buffer(ffi.addressof(after, "Const"))) == bytes(
        ffi.buffer(ffi.addressof(before, "Const"))
    )
    assert after.Cached.InitialRcvWnd == before.Cached.InitialRcvWnd


@pytest.mark.requirement("OFL-4")
def test_keepalive_starts_and_stops_with_its_flag() -> None:
    t = established(profile="chimney")
    assert update(t, Flags=ENABLED, KaTimeout=5000, KaInterval=1000, KaProbeCount=3) == lib.TCP_OFFLOAD_OK
    assert t.wait(20_000) == pytest.approx(5000, abs=5)
    t.expect("ACK", seq=0)
    t.inject("ACK")
    assert update(t, Flags=0) == lib.TCP_OFFLOAD_OK
    t.advance(100_000).expect_nothing()


@pytest.mark.requirement("OFL-4")
def test_a_timer_that_runs_goes_on_unless_asked() -> None:
    t = established(profile="chimney", **FAST)
    t.advance(6000)
    assert update(t, KaTimeout=20_000) == lib.TCP_OFFLOAD_OK
    assert now(t, "KeepAlive.TimeoutDelta") == pytest.approx(4000, abs=2)
    assert update(t, KaTimeout=30_000, Flags=ENABLED | RESTART) == lib.TCP_OFFLOAD_OK
    assert now(t, "KeepAlive.TimeoutDelta") == pytest.approx(30_000, abs=2)
    assert t.wait(40_000) == pytest.approx(30_000, abs=5)
    t.expect("ACK", seq=0)


@pytest.mark.requirement("OFL-4")
@pytest.mark.parametrize("flags", [ENABLED | RESTART, ENABLED | MAX_RT, ENABLED])
@pytest.mark.parametrize("change", [{}, {"KaProbeCount": 7}, {"KaTimeout": 12_000}, {"KaInterval": 1500}])
def test_restarts_and_the_quirk(flags: int, change: dict[str, int]) -> None:
    t = established(profile="chimney", **FAST)
    t.wait(20_000)
    t.drain()
    t.wait(20_000)
    t.drain()
    t.advance(500)
    assert now(t, "KeepAlive.ProbeCount") == 2
    assert now(t, "KeepAlive.TimeoutDelta") == pytest.approx(500, abs=2)
    assert update(t, Flags=flags, **change) == lib.TCP_OFFLOAD_OK
    forgets = bool(flags & RESTART) or bool(flags & MAX_RT and "KaProbeCount" in change)
    starts = bool(flags & RESTART) or bool(flags & MAX_RT and {"KaTimeout", "KaInterval"} & set(change))
    assert now(t, "KeepAlive.ProbeCount") == (0 if forgets else 2)
    whole = change.get("KaTimeout", 10_000)
    assert now(t, "KeepAlive.TimeoutDelta") == pytest.approx(whole if starts else 500, abs=2)


@pytest.mark.requirement("OFL-4")
@pytest.mark.parametrize("restarts", [False, True])
def test_total_rt_starts_anew_when_asked(restarts: bool) -> None:
    t = established(profile="chimney", rtt_ms=100, user_timeout_ms=100_000)
    t.send(100)
    t.drain()
    t.is_lax = True
    t.advance(20_000)
    t.drain()
    total = now(t, "TotalRT")
    assert total > 10_000
    assert update(t, Flags=NAGLE | (MAX_RT if restarts else 0), MaxRT=25_000) == lib.TCP_OFFLOAD_OK
    assert now(t, "TotalRT") == (0 if restarts else total)
    t.advance(10_000)
    t.drain()
    assert t.endpoint.is_uploading == (not restarts)
    t.advance(16_000)
    t.drain()
    assert t.endpoint.is_uploading


@pytest.mark.requirement("OFL-4")
def test_without_a_limit_it_never_gives_up() -> None:
    t = established(profile="chimney", rtt_ms=100, user_timeout_ms=30_000)
    assert update(t, MaxRT=2**32 - 1) == lib.TCP_OFFLOAD_OK
    t.send(100)
    t.drain()
    t.is_lax = True
    t.advance(10_000_000)
    t.drain()
    assert not t.endpoint.is_uploading


@pytest.mark.requirement("OFL-4")
def test_a_frozen_connection_takes_values_and_stays_silent() -> None:
    t = established(profile="chimney", **FAST)
    freeze(t.endpoint)
    assert (
        update(t, Flags=ENABLED | RESTART | WINDOW, KaTimeout=5, InitialRcvWnd=500_000) == lib.TCP_OFFLOAD_OK
    )
    assert t.c.keep_time_ms == 5
    assert lib.tcp_deadline(t.engine.handle) == 2**64 - 1
    t.expect_nothing()


# --- OFL-5


@pytest.mark.requirement("OFL-5")
def test_a_larger_window_is_told_at_once() -> None:
    t = established(profile="chimney", wscale=3, peer_wscale=3, rcv_buf=20_000)
    assert update(t, InitialRcvWnd=60_000) == lib.TCP_OFFLOAD_OK
    t.expect_nothing()  # without the flag it is no news
    assert update(t, Flags=NAGLE | WINDOW, InitialRcvWnd=60_000) == lib.TCP_OFFLOAD_OK
    assert t.expect("ACK").wnd == 60_000 >> 3
    assert update(t, Flags=NAGLE | WINDOW, InitialRcvWnd=60_000) == lib.TCP_OFFLOAD_OK
    t.expect_nothing()  # as it was


@pytest.mark.requirement("OFL-5")
def test_a_smaller_window_moves_no_edge_back() -> None:
    t = established(profile="chimney", rcv_buf=20_000)
    before = edge(t)
    assert update(t, Flags=NAGLE | WINDOW, InitialRcvWnd=5000) == lib.TCP_OFFLOAD_OK
    t.expect_nothing()
    t.inject("ACK", data=10_000)
    t.drain()
    assert edge(t) == before
    assert t.c.rcv_buf == 5000


# --- OFL-6


def set_mtu(t: Conversation, mtu: int) -> None:
    """The host's word on the path."""
    lib.tcp_set_path_mtu(t.engine.handle, t.c, t.engine.now_ns, mtu, t.endpoint.result)
    t.endpoint._absorb()
    t._pull()


@pytest.mark.requirement("OFL-6")
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize(("is_ipv6", "small"), [(False, 576), (True, 1280)])
def test_smaller_then_larger(is_ipv6: bool, small: int, sack: bool) -> None:
    headers = 60 if is_ipv6 else 40
    t = established(
        profile="chimney", is_ipv6=is_ipv6, sack=sack, rtt_ms=100, peer_wnd=60_000, peer_mss=1500 - headers
    )
    t.send(1_000_000)
    assert max(seen.len for seen in t.drain()) == 1500 - headers
    set_mtu(t, small)
    t.expect_event("MTU")
    sent = t.drain()
    assert sent
    assert sent[0].seq == 1
    assert all(seen.len <= small - headers for seen in sent)
    for _ in range(6):
        t.inject("ACK", ack=t.snd_nxt)
        assert all(seen.len <= small - headers for seen in t.drain())
    set_mtu(t, 1400)
    assert t.c.path_mtu == 1400
    t.inject("ACK", ack=t.snd_nxt)
    assert max(seen.len for seen in t.drain()) == 1400 - headers
    set_mtu(t, 9000)
    assert t.c.path_mtu == 0
    t.send(30_000)
    t.inject("ACK", ack=t.snd_nxt)
    assert max(seen.len for seen in t.drain()) == 1500 - headers


@pytest.mark.requirement("OFL-6")
@pytest.mark.parametrize("state", BUILDERS)
@pytest.mark.parametrize("mtu", [0, 67, 68, 1280, 65_535, 2**32 - 1])
def test_any_size_in_any_state(state: str, mtu: int) -> None:
    t = BUILDERS[state]()
    set_mtu(t, mtu)
    t.drain()
    assert lib.tcp_check(t.engine.handle, t.c) == ffi.NULL
    assert t.c.path_mtu == 0 or t.c.path_mtu >= 68


# --- OFL-3


def give_back(t_engine: Engine, c: Any, state: Any, rate: int = 1000, **how: str) -> int:
    """The result of tcp_return()."""
    taker = ffi.new("struct tcp_offload_taker *")
    taker.profile = PROFILES[how.get("profile", "rfc")]
    taker.congestion, taker.ticks_per_second = CONGESTIONS["newreno"], rate
    return int(lib.tcp_return(t_engine.handle, c, t_engine.now_ns, taker, state))


def there_and_back(t: Conversation, rate: int = 1000) -> None:
    """Frozen here, alive in another engine, and back in its place."""
    target = Engine(t.engine.now_ns + 7_000_000, **t.options.config)
    t.endpoint.resets += freeze(t.endpoint)
    result, c = take(target, state_of(t.engine, t.c, rate), rate=rate)
    assert result == lib.TCP_OFFLOAD_OK
    back = state_of(target, c, rate)
    index, home = t.endpoint.index, t.c
    assert give_back(t.engine, t.c, back, rate) == lib.TCP_OFFLOAD_OK
    assert not t.endpoint.has(lib.TCP_FROZEN)
    assert lib.tcp_check(t.engine.handle, t.c) == ffi.NULL, ffi.string(lib.tcp_check(t.engine.handle, t.c))
    assert lib.tcp_at(t.engine.handle, index) == home
    adopt(t.endpoint, t.engine, home)
    target.close()


@pytest.mark.requirement("OFL-3")
@pytest.mark.parametrize(
    "state", ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK"]
)
@pytest.mark.parametrize("rate", [10, 100, 1000])
def test_back_in_its_place(state: str, rate: int) -> None:
    t = BUILDERS[state](timestamps=True, sack=True)
    there_and_back(t, rate)
    assert t.state == state
    t.drain()


@pytest.mark.requirement("OFL-3")
def test_what_it_held_is_given_back() -> None:
    t = established(sack=True, config={"nodes": 8, "recoveries": 1})
    for _ in range(20):
        t.send(4 * MSS)
        t.drain()
        at = t.snd_una
        t.inject("ACK", ack=at, sack=[(at + MSS, at + 2 * MSS)])
        t.drain()
        t.inject("ACK", seq=t.rcv_nxt + 100, data=50)
        t.drain()
        there_and_back(t)
        t._pull()
        t.drain()
        t.inject("ACK", ack=t.snd_nxt)
        t.drain()
    assert (t.statistics.no_nodes, t.statistics.no_recoveries) == (0, 0)


@pytest.mark.requirement("OFL-3")
def test_what_the_border_does_not_carry_stays() -> None:
    t = fin_wait_2(strict_timestamps=True, timestamps=True, plpmtud=True)
    t.close()
    t.drain()
    assert t.endpoint.has(lib.TCP_CLOSED_BY_USER)
    freeze(t.endpoint)
    state = state_of(t.engine, t.c)
    state.Delegated.Retransmit.TimeoutDelta = NOT_RUNNING  # a target that does not run that timer
    assert give_back(t.engine, t.c, state) == lib.TCP_OFFLOAD_OK
    kept = lib.TCP_CLOSED_BY_USER | lib.TCP_STRICT_TIMESTAMPS | lib.TCP_PLPMTUD
    assert t.c.flags & kept == kept
    assert lib.tcp_check(t.engine.handle, t.c) == ffi.NULL
    t.advance(61_000)
    assert t.state == "CLOSED"


@pytest.mark.requirement("OFL-3")
@pytest.mark.parametrize(
    "forge",
    [
        lambda s: setattr(s.Delegated, "State", 0), lambda s: setattr(s.Delegated, "State", 2),
        lambda s: setattr(s.Const, "RemotePort", 1), lambda s: setattr(s.Const, "LocalPort", 1),
        lambda s: s.Path.SourceAddress.__setitem__(0, 99),
        lambda s: s.Path.DestinationAddress.__setitem__(1, 9),
        lambda s: setattr(s.Delegated, "CWnd", 0), lambda s: setattr(s.Delegated, "SendBacklogSize", 2**31),
    ],
)  # fmt: skip
def test_refused_it_is_frozen_as_before(forge: Any) -> None:
    t = established(sack=True)
    t.send(5000)
    t.drain()
    freeze(t.endpoint)
    state = state_of(t.engine, t.c)
    before = image(t)
    forge(state)
    assert give_back(t.engine, t.c, state) in (lib.TCP_OFFLOAD_STATE, lib.TCP_OFFLOAD_VALUE)
    assert image(t) == before
    assert t.endpoint.has(lib.TCP_FROZEN)


@pytest.mark.requirement("OFL-3")
def test_one_that_is_not_frozen_stays() -> None:
    t = established()
    before = image(t)
    assert give_back(t.engine, t.c, state_of(t.engine, t.c)) == lib.TCP_OFFLOAD_VALUE
    assert image(t) == before


@pytest.mark.requirement("OFL-3", "CH-17")
@settings(EXAMPLES)
@given(scenario=scenarios, every=st.integers(3, 40), away=st.integers(1, 10))
def test_streams_survive_any_number_of_round_trips(scenario: Scenario, every: int, away: int) -> None:
    """A side lives at a target for some events, then in its own place again; nobody notices."""
    seen, targets = 0, {}

    def move(world: World, index: int) -> None:
        nonlocal seen
        seen += 1
        side = world.sides[index]
        endpoint = side.endpoint
        if endpoint is None or not lib.tcp_may_offload(endpoint.c) or endpoint.is_uploading:
            return
        if index not in targets and seen % every == 0:
            target = Engine(side.engine.now_ns, **side.options.config)
            sent = freeze(endpoint)
            result, c = take(target, state_of(side.engine, endpoint.c), profile="rfc")
            assert result == lib.TCP_OFFLOAD_OK
            targets[index] = (side.engine, endpoint.c, endpoint.index, seen)
            endpoint.resets += sent
            adopt(endpoint, target, c)
            side.engine = target
        elif index in targets and seen >= targets[index][3] + away:
            home, c, place, _ = targets.pop(index)
            home.now_ns = side.engine.now_ns
            sent = freeze(endpoint)
            result = give_back(home, c, state_of(side.engine, endpoint.c))
            assert result == lib.TCP_OFFLOAD_OK
            endpoint.resets += sent
            side.engine.close()
            adopt(endpoint, home, c)
            assert endpoint.index == place
            side.engine = home

    world = finished(scenario, move)
    for engine, *_ in targets.values():
        engine.close()
    assert_drained(world)
