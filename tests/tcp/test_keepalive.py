"""KA and UTO: how long a silent peer is believed."""

from __future__ import annotations

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.states import BUILDERS, SYNCHRONIZED, close_wait, established, fin_wait_2
from vnic._core import lib

HOUR = 3_600_000
FAST = {"keepalive": True, "keep_time_ms": 10_000, "keep_interval_ms": 1000, "keep_limit": 5}


@pytest.mark.requirement("KA-01")
@pytest.mark.parametrize("state", ["ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_2"])
def test_keepalive_is_off_by_default(state: str) -> None:
    t = BUILDERS[state]()
    t.advance(100 * HOUR).expect_nothing().expect_state(state)


@pytest.mark.requirement("KA-01")
def test_the_interval_is_two_hours_at_least_by_default() -> None:
    t = established()
    t.call("set_options", flags=lib.TCP_KEEPALIVE, keep_time_ms=0, keep_interval_ms=0, keep_limit=0)
    assert t.wait(10 * HOUR) >= 2 * HOUR
    t.expect("ACK", seq=0, ack=1)


@pytest.mark.requirement("KA-01")
def test_only_an_idle_connection_is_probed() -> None:
    t = established(**FAST)
    for _ in range(10):
        t.advance(5000)
        t.inject("ACK", data=1)
        t.flush_ack()
    assert t.wait(20_000) == pytest.approx(10_000, abs=600)
    t.expect("ACK", seq=0)


@pytest.mark.requirement("KA-01")
def test_no_probe_while_data_is_outstanding() -> None:
    t = established(**FAST, rtt_ms=100)
    t.send(100)
    t.drain()
    for _ in range(5):
        t.wait(60_000)
        t.expect("ACK", seq=1, len=100)
    assert t.statistics.keepalive_probes == 0


@pytest.mark.requirement("KA-01", "WIN-05")
@pytest.mark.parametrize("late_ms", range(-3, 4))
def test_no_probe_beside_that_of_a_closed_window_not_even_at_the_same_moment(late_ms: int) -> None:
    def closed(keep_time_ms: int) -> Conversation:
        t = established(**FAST | {"keep_time_ms": keep_time_ms}, rtt_ms=100, peer_wnd=0)
        t.send(100)
        t.drain()
        return t

    t = closed(100_000)
    first = t.wait(20_000)
    t.drain()
    t = closed(round(first) + late_ms)
    for _ in range(6):
        t.wait(120_000)
        t.drain()
    assert t.statistics.keepalive_probes == 0
    assert t.statistics.window_probes == 6
    assert t.c.probes == 6


@pytest.mark.requirement("KA-01")
def test_keepalive_can_be_switched() -> None:
    t = established()
    t.call("set_options", flags=lib.TCP_KEEPALIVE, keep_time_ms=5000, keep_interval_ms=1000, keep_limit=3)
    assert t.wait(20_000) == pytest.approx(5000, abs=5)
    t.expect("ACK", seq=0)
    t.inject("ACK")
    t.call("set_options", flags=0)
    t.advance(HOUR).expect_nothing()


@pytest.mark.requirement("KA-02")
def test_the_probe_is_below_and_empty_and_one_is_not_death() -> None:
    t = established(**FAST)
    t.wait(20_000)
    t.expect("ACK", seq=0, ack=1, len=0)
    assert t.wait(20_000) == pytest.approx(1000, abs=5)
    t.expect("ACK", seq=0, ack=1, len=0)
    t.inject("ACK")
    t.expect_state("ESTABLISHED")
    assert t.wait(20_000) == pytest.approx(10_000, abs=5)
    t.expect("ACK", seq=0, ack=1)


@pytest.mark.requirement("KA-02")
@pytest.mark.parametrize("profile", ["rfc", "chimney"])
@pytest.mark.parametrize("make", [established, close_wait])
def test_a_dead_peer_is_found(profile: str, make: type) -> None:
    t = make(**FAST, profile=profile)
    probes = 0
    while not {"CLOSED", "UPLOAD"} & set(t.endpoint.events):
        t.wait(60_000)
        probes += sum(not seen.has("RST") for seen in t.drain())
    assert probes == 5
    if profile == "rfc":
        t.expect_end("KEEPALIVE")
    else:
        t.expect_upload("UPLOAD_TIMEOUT")


@pytest.mark.requirement("KA-02")
def test_any_segment_is_a_sign_of_life() -> None:
    t = established(**FAST)
    for _ in range(40):
        t.wait(60_000)
        t.expect("ACK", seq=0)
        if t.statistics.keepalive_probes % 4 == 0:
            t.inject("ACK", data=1)
            t.flush_ack()
    t.expect_state("ESTABLISHED")


@pytest.mark.requirement("KA-03")
@pytest.mark.parametrize("state", [s for s in SYNCHRONIZED if s != "TIME_WAIT"])
@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("timestamps", [False, True])
def test_a_peers_keepalive_is_answered(state: str, size: int, timestamps: bool) -> None:
    t = BUILDERS[state](timestamps=timestamps)
    for _ in range(3):
        t.inject("ACK", seq=t.rcv_nxt - 1, data=size, ack=t.snd_una)
        t.expect("ACK", seq=t.snd_nxt, ack=t.rcv_nxt)
    t.expect_nothing().expect_state(state)
    assert t.received == b""


@pytest.mark.requirement("UTO-01")
@pytest.mark.parametrize("profile", ["rfc", "chimney"])
@pytest.mark.parametrize("is_persist", [False, True])
@pytest.mark.parametrize("timeout", [5000, 20_000, 300_000])
def test_the_user_timeout_bounds_retransmission_and_persist(
    profile: str, is_persist: bool, timeout: int
) -> None:
    t = established(profile=profile, user_timeout_ms=timeout, rtt_ms=100, peer_wnd=0 if is_persist else 65535)
    start = t.now_ms
    t.send(1000)
    t.drain()
    while not {"CLOSED", "UPLOAD"} & set(t.endpoint.events):
        t.wait(1_000_000)
        t.drain()
    spent = t.now_ms - start
    assert timeout <= spent <= timeout + (1000 if is_persist else 2)  # probes of a window begin with a round
    if profile == "rfc":
        t.expect_end("TIMEOUT")
    else:
        t.expect_upload("UPLOAD_TIMEOUT")


@pytest.mark.requirement("UTO-01")
def test_the_user_timeout_can_be_changed_and_progress_counts() -> None:
    t = established(rtt_ms=100)
    t.call("set_options", user_timeout_ms=30_000)
    t.send(1000)
    t.drain()
    for i in range(10):
        t.advance(20_000)
        t.drain()
        t.inject("ACK", ack=2 + i)
        t.drain()
        t.expect_state("ESTABLISHED")
    t.advance(100_000)
    t.drain()
    t.expect_end("TIMEOUT")


@pytest.mark.requirement("KA-01", "CLS-04")
def test_keepalive_in_fin_wait_2() -> None:
    t = fin_wait_2(**FAST)
    assert t.wait(60_000) == pytest.approx(10_000, abs=5)
    t.expect("ACK", seq=1, ack=1)
