"""PSH: what is queued goes out, and its end is marked: RFC 9293 3.9.1.2."""

from __future__ import annotations

import pytest

from tests.tcp.states import BUILDERS, SENDING, established

MSS = 1460


@pytest.mark.requirement("PSH-01")
@pytest.mark.parametrize("state", SENDING)
@pytest.mark.parametrize("size", [1, 100, MSS, 2 * MSS, 3 * MSS + 5])
def test_the_last_segment_of_what_is_queued_is_pushed(state: str, size: int) -> None:
    t = BUILDERS[state](nodelay=True)
    t.send(size)
    seen = t.drain()
    assert [s.has("PSH") for s in seen] == [False] * (len(seen) - 1) + [True]
    assert sum(s.len for s in seen) == size


@pytest.mark.requirement("PSH-01")
def test_data_that_was_not_pushed_is_not_kept_for_ever() -> None:
    t = established()
    t.send(100, push=False)
    assert t.outbox or t.wait(1001) <= 1001
    t.expect("ACK", len=100)
    t.inject("ACK", ack=101)
    t.send(50, push=False)
    t.send(1, push=True)
    if not t.outbox:
        t.wait(1001)
    t.expect("PSH,ACK", seq=101, len=51)


@pytest.mark.requirement("PSH-01")
def test_the_last_segment_that_the_window_lets_out() -> None:
    t = established(peer_wnd=2 * MSS)
    t.send(4 * MSS)
    first = t.drain()
    assert [s.has("PSH") for s in first] == [False, False], "more is queued"
    t.inject("ACK", ack=1 + 2 * MSS)
    assert [s.has("PSH") for s in t.drain()] == [False, True]


@pytest.mark.requirement("PSH-01")
def test_a_push_of_the_peer_is_told() -> None:
    t = established()
    t.inject("PSH,ACK", data=100)
    t.drain()
    t.expect_event("PUSH", "READABLE")
    t.inject("ACK", data=100)
    t.drain()
    t.expect_no_event("PUSH")


@pytest.mark.requirement("PSH-01")
def test_a_push_counts_when_all_before_it_is_here() -> None:
    t = established(sack=True)
    t.inject("ACK", seq=101, data=100)
    t.drain()
    t.take_events()
    t.inject("PSH,ACK", seq=1, data=50)
    t.drain()
    t.expect_event("PUSH", "READABLE")
    t.inject("PSH,ACK", seq=51, data=50)  # joins what was not pushed
    t.drain()
    t.expect_no_event("PUSH")
