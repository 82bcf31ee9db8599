"""The handshake in both directions, both at once, repeated, and remembered by a cookie: RFC 9293 3.5."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.endpoint import Endpoint
from tests.tcp.segment import Segment, pattern
from tests.tcp.states import fresh, syn_received, syn_sent
from vnic._core import lib

RICH: dict[str, Any] = {"timestamps": True, "sack": True, "ecn": True, "wscale": 7, "peer_wscale": 5}


def assert_works(t: Conversation) -> None:
    """Data flows both ways."""
    t.expect_state("ESTABLISHED")
    t.send(500)
    t.expect("PSH,ACK", seq=1, len=500, ack=t.rcv_nxt)
    t.inject("ACK", seq=t.rcv_nxt, data=300, ack=501)
    t.flush_ack()


def test_both_open_at_once() -> None:
    t = syn_sent()
    t.inject("SYN", seq=0)
    t.expect("SYN,ACK", seq=0, ack=1)
    t.expect_state("SYN_RECEIVED").expect_no_event("CONNECTED")
    t.inject("SYN,ACK", seq=0, ack=1)
    t.expect("ACK", seq=1, ack=1)
    t.expect_event("CONNECTED")
    assert_works(t)


def test_both_open_at_once_and_a_plain_ack_ends_it() -> None:
    t = syn_sent(**RICH)
    t.inject("SYN", seq=0)
    t.expect("SYN,ACK", seq=0, ack=1, wscale=7, sack_permitted=True)
    t.inject("ACK", seq=1, ack=1)
    t.expect_nothing().expect_event("CONNECTED")
    assert_works(t)


@pytest.mark.parametrize("is_active", [False, True])
def test_the_other_side_asks_again(is_active: bool) -> None:
    if is_active:
        t = syn_sent()
        t.syn_ack()
        t.expect("ACK", seq=1, ack=1)
        t.syn_ack()  # our ACK was lost
        t.expect("ACK", seq=1, ack=1)
    else:
        t = syn_received()
        t.inject("SYN", seq=0)  # our SYN,ACK was lost
        t.expect("SYN,ACK", seq=0, ack=1)
        t.expect_nothing()
        t.inject("ACK", seq=1, ack=1)
    assert_works(t)


@pytest.mark.parametrize("size", [1, 1000])
def test_data_comes_with_the_last_ack(size: int) -> None:
    t = syn_received()
    t.inject("PSH,ACK", seq=1, ack=1, data=size)
    t.expect_event("CONNECTED", "READABLE")
    t.flush_ack()
    assert t.received == pattern(0, size)


def test_data_and_fin_come_with_the_last_ack() -> None:
    t = syn_received()
    t.inject("FIN,ACK", seq=1, ack=1, data=100)
    t.expect("ACK", ack=102)
    t.expect_state("CLOSE_WAIT").expect_event("CONNECTED", "READABLE", "FIN")


def test_data_comes_with_the_syn_ack() -> None:
    t = syn_sent()
    t.inject("SYN,ACK", seq=0, ack=1, data=pattern(0, 50))
    t.expect_event("CONNECTED")
    if not t.outbox:
        t.wait(500)
    assert t.outbox[-1].ack in (1, 51)
    t.drain()
    assert t.received == pattern(0, t.rcv_nxt - 1)


def test_the_last_ack_is_lost_but_data_tells() -> None:
    t = syn_received()
    t.wait(5000)
    t.expect("SYN,ACK", seq=0, ack=1)
    t.inject("ACK", seq=1, ack=1, data=10)
    t.expect_event("CONNECTED", "READABLE")
    t.flush_ack()


def test_data_that_was_queued_before_leaves_with_the_ack() -> None:
    t = syn_sent()
    t.send(100)
    t.expect_nothing()
    t.syn_ack()
    seen = t.drain()
    assert sum(s.len for s in seen) == 100
    assert seen[0].ack == 1
    t.inject("ACK", ack=101)


@pytest.mark.parametrize("is_active", [False, True])
def test_a_user_who_shut_down_before(is_active: bool) -> None:
    t = syn_sent() if is_active else syn_received()
    t.send(100)
    t.shutdown()
    t.drain()
    if is_active:
        t.syn_ack()
    else:
        t.inject("ACK", seq=1, ack=1)
    seen = t.drain()
    assert seen[-1].has("FIN")
    assert sum(s.len for s in seen) == 100
    t.expect_state("FIN_WAIT_1")


@pytest.mark.parametrize("seq", [-1, 1, 5000, 70_000])
def test_another_syn_in_syn_received_is_no_news(seq: int) -> None:
    t = syn_received()
    t.inject("SYN", seq=seq)
    assert not any(s.has("RST") or s.has("SYN") for s in t.drain())
    t.inject("ACK", seq=1, ack=1)
    assert_works(t)


def test_a_fin_and_data_without_a_handshake_change_nothing() -> None:
    t = syn_sent()
    t.inject("FIN", seq=0, data=10)
    t.inject("PSH", seq=0, data=10)
    t.expect_nothing().expect_state("SYN_SENT").expect_no_event("READABLE", "FIN")


@pytest.mark.parametrize("options", [{}, RICH])
@pytest.mark.parametrize("size", [0, 200])
def test_a_cookie_remembers_the_syn(options: dict[str, Any], size: int) -> None:
    t = fresh(**options)
    o = t.options
    ack = Segment(
        lib.TCP_ACK, o.irs + 1, o.iss + 1, wnd=1000, payload=pattern(0, size),
        options=lib.TCP_OPT_TIMESTAMP if o.timestamps else 0, ts_val=t.peer_clock, ts_ecr=o.ts_offset,
    )  # fmt: skip
    made = lib.tcp_accept_cookie(t.engine.handle, t.engine.now_ns, o.raw(), t.syn().raw(), ack.raw())
    t.endpoint = Endpoint(t.engine, made, o.iss)
    t.endpoint.irs = o.irs
    t.endpoint.edges.start(o.iss + 1, 1000 << (o.peer_wscale if o.wscale is not None else 0))
    t.expect_state("ESTABLISHED")
    t.receive(ack)  # with what it carries
    t.drain()
    assert t.received == pattern(0, size)
    t.send(500)
    t.expect("PSH,ACK", seq=1, len=500, ack=1 + size)
    assert t.endpoint.has(lib.TCP_HAS_SACK) == bool(options)
    assert t.c.snd_wnd == 1000 << (5 if options else 0)


def test_no_connection_is_left() -> None:
    t = fresh(config={"connections": 1}).accept()
    t.drain()
    assert not lib.tcp_connect(t.engine.handle, t.engine.now_ns, t.options.raw())
    assert t.statistics.no_connections == 1
    lib.tcp_release(t.engine.handle, t.c)
    assert lib.tcp_connect(t.engine.handle, t.engine.now_ns, t.options.raw())
