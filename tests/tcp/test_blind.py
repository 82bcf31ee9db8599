"""BL: blind attacks, RFC 5961: resets, SYNs and ACKs that an outsider could have made up."""

from __future__ import annotations

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.states import BUILDERS, SYNCHRONIZED, established, fresh, syn_received, syn_sent
from vnic._core import lib

PROFILES = ("rfc", "chimney")
OPEN = tuple(state for state in SYNCHRONIZED if state != "TIME_WAIT")


def expect_challenge(t: Conversation) -> None:
    """An ACK of what was expected, and nothing else happened."""
    t.expect("ACK", seq=t.snd_nxt, ack=t.rcv_nxt)
    t.expect_nothing().expect_no_event("CLOSED", "UPLOAD", "READABLE")


@pytest.mark.requirement("BL-01")
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("state", OPEN)
def test_a_rst_at_rcv_nxt_aborts(state: str, profile: str) -> None:
    t = BUILDERS[state](profile=profile)
    t.inject("RST", seq=t.rcv_nxt)
    t.expect_nothing()
    t.expect_end("RESET")


@pytest.mark.requirement("BL-01")
def test_a_rst_refuses_our_syn_only_with_its_ack() -> None:
    t = syn_sent()
    t.inject("RST", seq=0)
    t.inject("RST,ACK", seq=0, ack=0)
    t.inject("RST,ACK", seq=0, ack=2)
    t.expect_nothing().expect_state("SYN_SENT")
    t.inject("RST,ACK", seq=0, ack=1)
    t.expect_nothing()
    t.expect_end("REFUSED")


@pytest.mark.requirement("BL-01")
def test_a_rst_ends_a_half_open_connection() -> None:
    t = syn_received()
    t.inject("RST", seq=1)
    t.expect_nothing().expect_state("CLOSED").expect_event("CLOSED")


@pytest.mark.requirement("BL-02")
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("ahead", [1, 1000, 65534 - 1])
def test_a_rst_in_window_is_challenged(state: str, profile: str, ahead: int) -> None:
    t = BUILDERS[state](profile=profile)
    t.inject("RST", seq=t.rcv_nxt + ahead)
    expect_challenge(t)
    t.expect_state(state)
    t.inject("RST", seq=t.rcv_nxt)
    t.expect_state("CLOSED")


@pytest.mark.requirement("BL-03")
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("state", (*SYNCHRONIZED, "SYN_RECEIVED"))
@pytest.mark.parametrize("away", [-1, -70000, 65536, 2**31 - 1])
def test_a_rst_outside_the_window_is_dropped(state: str, profile: str, away: int) -> None:
    t = BUILDERS[state](profile=profile)
    t.inject("RST", seq=t.rcv_nxt + away)
    t.inject("RST,ACK", seq=t.rcv_nxt + away, ack=t.snd_nxt)
    t.expect_nothing().expect_state(state).expect_no_event("CLOSED")


@pytest.mark.requirement("BL-04")
@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("away", [-100_000, -1, 0, 500, 2**31 - 1])
@pytest.mark.parametrize("control", ["SYN", "SYN,ACK"])
def test_a_syn_is_challenged_whatever_its_number(state: str, away: int, control: str) -> None:
    t = BUILDERS[state]()
    t.inject(control, seq=t.rcv_nxt + away, ack=t.snd_nxt if "ACK" in control else None)
    expect_challenge(t)
    t.expect_state(state)


@pytest.mark.requirement("BL-04")
@pytest.mark.parametrize("state", OPEN)
def test_chimney_a_syn_at_rcv_nxt_is_the_hosts_business(state: str) -> None:
    t = BUILDERS[state](profile="chimney")
    t.inject("SYN", seq=t.rcv_nxt)
    t.expect_nothing().expect_upload("UPLOAD_SYN")


@pytest.mark.requirement("BL-04")
def test_chimney_answers_one_syn_in_three_seconds() -> None:
    t = established(profile="chimney")
    t.inject("SYN", seq=500)
    expect_challenge(t)
    for _ in range(5):
        t.advance(500)
        t.inject("SYN", seq=600)
        t.expect_nothing()
    t.advance(600)
    t.inject("SYN", seq=500)
    expect_challenge(t)


@pytest.mark.requirement("BL-05")
@pytest.mark.parametrize("profile", PROFILES)
def test_an_ack_older_than_the_largest_window_is_refused(profile: str) -> None:
    t = established(profile=profile, peer_wnd=3000)
    t.inject("ACK", data=100, ack=1 - 3000)
    t.flush_ack()
    assert len(t.received) == 100
    t.take_events()
    t.inject("ACK", data=100, ack=1 - 3001)
    t.expect("ACK", seq=1, ack=101)
    t.expect_nothing().expect_no_event("READABLE", "DATA")
    assert len(t.received) == 100
    assert t.statistics.bad_acks >= 1


@pytest.mark.requirement("BL-05")
def test_the_largest_window_counts_and_not_the_last() -> None:
    t = established(peer_wnd=3000)
    t.inject("ACK", wnd=100)
    t.inject("ACK", data=100, ack=1 - 3000, wnd=100)
    t.flush_ack()
    assert len(t.received) == 100


@pytest.mark.requirement("BL-06")
def test_challenges_are_throttled_by_connection() -> None:
    t = established(config={"challenge_limit": 3, "challenge_period_ms": 1000})
    sent = 0
    for i in range(50):
        t.inject("RST", seq=100 + i)
        sent += len(t.drain())
    assert sent == 3
    assert t.statistics.challenge_suppressed == 47
    t.advance(1001)
    t.inject("SYN", seq=5)
    expect_challenge(t)


@pytest.mark.requirement("BL-06")
def test_one_connections_challenges_do_not_use_up_anothers() -> None:
    t = established(config={"challenge_limit": 2, "challenge_period_ms": 1000})
    t.is_lax = True
    for i in range(10):
        t.inject("RST", seq=100 + i)
    assert len(t.drain()) == 2
    other = fresh(config={"challenge_limit": 2, "challenge_period_ms": 1000})
    other.engine.close()
    other.engine = t.engine  # two connections of one engine
    other.accept()
    other.drain()
    other.inject("ACK", seq=1, ack=1)
    other.inject("RST", seq=100)
    assert [seen.control for seen in other.drain()] == ["ACK"]


@pytest.mark.requirement("BL-06")
def test_an_ordinary_ack_is_not_throttled() -> None:
    t = established(config={"challenge_limit": 1, "challenge_period_ms": 1000})
    t.is_lax = True
    for i in range(5):
        t.inject("RST", seq=100 + i)
    t.drain()
    t.inject("ACK", seq=5001, data=10)
    t.expect("ACK", ack=1)


@pytest.mark.requirement("BL-07")
@pytest.mark.parametrize("profile", PROFILES)
def test_an_old_timestamp_does_not_save_from_a_rst(profile: str) -> None:
    t = established(timestamps=True, profile=profile)
    t.inject("RST", seq=1, ts=(t.options.peer_ts - 100_000, 0))
    t.expect_nothing()
    t.expect_end("RESET")


@pytest.mark.requirement("BL-02")
def test_chimney_challenges_one_rst_in_a_period() -> None:
    t = established(profile="chimney", config={"challenge_period_ms": 3000})
    t.is_lax = True
    for _ in range(5):
        t.inject("RST", seq=100)
    t.expect("ACK", seq=1, ack=1)
    t.expect_nothing()


def test_blind_resets_are_counted() -> None:
    t = established()
    t.inject("RST", seq=1)
    t.expect_end("RESET")
    assert (t.statistics.resets_in, t.statistics.challenge_acks) == (1, 0)
    assert t.c.state == lib.TCP_STATE_CLOSED


@pytest.mark.requirement("BL-04")
def test_chimney_answers_a_syn_outside_of_the_window() -> None:
    t = established(profile="chimney")
    for seq in (-1000, 70_000, 2**31 - 1):
        t.inject("SYN", seq=seq)
        expect_challenge(t)


@pytest.mark.requirement("BL-02")
def test_chimney_an_acceptable_segment_starts_another_validation_period() -> None:
    t = established(profile="chimney")
    for _ in range(3):
        t.inject("RST", seq=100)
        t.expect("ACK", ack=t.rcv_nxt)
        t.inject("RST", seq=100)
        t.expect_nothing()
        t.give(10)


@pytest.mark.requirement("BL-04")
def test_chimney_a_suspicion_hastens_the_keepalive_timer() -> None:
    t = established(profile="chimney")
    t.inject("SYN", seq=500)
    expect_challenge(t)
    assert t.wait(600_000) <= 300_001
    t.expect("ACK", seq=0, ack=1)
    t.inject("ACK")
    t.advance(3_600_000).expect_nothing()


@pytest.mark.requirement("BL-05")
def test_a_larger_window_widens_what_is_taken() -> None:
    t = established(peer_wnd=3000)
    t.inject("ACK", wnd=9000)
    t.inject("ACK", wnd=100)
    t.inject("ACK", data=100, ack=1 - 9000)
    t.flush_ack()
    t.inject("ACK", data=100, ack=1 - 9001)
    t.expect("ACK", ack=101)
