"""URG: urgent data, RFC 9293 3.8.5 with the pointer of RFC 6093."""

from __future__ import annotations

import pytest

from tests.tcp.segment import signed
from tests.tcp.states import BUILDERS, RECEIVING, close_wait, established
from vnic._core import lib

MSS = 1460


@pytest.mark.requirement("URG-01")
@pytest.mark.parametrize("state", RECEIVING)
@pytest.mark.parametrize("pointer", [1, 10, 500, 65535])
def test_the_pointer_names_the_first_octet_after(state: str, pointer: int) -> None:
    t = BUILDERS[state]()
    t.inject("ACK,URG", data=10, urgent=pointer)
    t.drain()
    t.expect_event("URGENT", "READABLE")
    assert signed(t.c.rcv_up - t.options.irs) == 1 + pointer
    assert t.endpoint.has(lib.TCP_URGENT_RECEIVED)


@pytest.mark.requirement("URG-01")
def test_the_pointer_only_moves_forward() -> None:
    t = established()
    t.inject("ACK,URG", data=10, urgent=500)
    t.drain()
    t.take_events()
    for pointer in (490, 100, 1):
        t.inject("ACK,URG", data=0, urgent=pointer)
        t.drain()
        t.expect_no_event("URGENT")
    t.inject("ACK,URG", data=0, urgent=600)
    t.drain()
    t.expect_event("URGENT")
    assert signed(t.c.rcv_up - t.options.irs) == 611


@pytest.mark.requirement("URG-01")
def test_urgent_news_comes_before_the_data() -> None:
    t = established()
    t.inject("ACK,URG", seq=1001, data=10, urgent=10)
    t.drain()
    t.expect_event("URGENT")


@pytest.mark.requirement("URG-01")
def test_a_pointer_without_its_bit_says_nothing() -> None:
    t = established()
    t.inject("ACK", data=10, urgent=500)
    t.drain()
    t.expect_no_event("URGENT")


@pytest.mark.requirement("URG-01")
def test_no_urgent_data_after_the_fin() -> None:
    t = close_wait()
    t.inject("ACK,URG", seq=2, urgent=100)
    t.drain()
    t.expect_no_event("URGENT")


@pytest.mark.requirement("URG-01")
def test_our_urgent_data_of_any_length() -> None:
    t = established(peer_wnd=3 * MSS)
    t.send(5 * MSS)
    t.drain()
    t.send(10)
    t.call("queue_urgent")
    end = 5 * MSS + 11
    assert all(seen.has("URG") for seen in t.drain())
    t.send(1000)
    t.inject("ACK", ack=1 + 3 * MSS)
    seen = t.drain()
    assert seen[0].seq == 1 + 3 * MSS
    for s in seen:
        assert s.has("URG") == (s.seq < end)
        if s.has("URG"):
            assert s.seq + s.urgent == end


@pytest.mark.requirement("URG-01")
def test_a_far_pointer_is_cut_to_sixteen_bits() -> None:
    t = established(wscale=7, peer_wscale=7, peer_wnd=1_000_000)
    t.send(200_000)
    t.drain()
    t.call("queue_urgent")
    t.drain()
    t.inject("ACK", ack=1 + MSS)
    for seen in t.drain():
        assert seen.has("URG")
        assert seen.urgent == min(65535, 200_001 - seen.seq)


@pytest.mark.requirement("URG-01")
def test_a_retransmission_is_still_urgent() -> None:
    t = established(rtt_ms=100)
    t.send(100)
    t.expect("ACK", len=100)
    t.call("queue_urgent")
    t.drain()
    t.wait(5000)
    seen = t.drain()[0]
    assert (seen.seq, seen.urgent, seen.has("URG")) == (1, 100, True)
    t.inject("ACK", ack=101)
    t.send(10)
    assert not t.expect("ACK", seq=101, len=10).has("URG")


@pytest.mark.requirement("URG-01")
@pytest.mark.parametrize("size", [0, 10])
def test_chimney_leaves_urgent_data_to_the_host(size: int) -> None:
    t = established(profile="chimney")
    t.give(100)
    t.take_events()
    t.inject("ACK,URG", data=size, urgent=10)
    t.expect_nothing().expect_upload("UPLOAD_URGENT")
    assert len(t.received) == 100
    t.inject("ACK", seq=101, data=1000)
    t.advance(1000).expect_nothing()
    assert len(t.received) == 100, "nothing later is acknowledged"


@pytest.mark.requirement("URG-01")
def test_chimney_does_not_believe_an_unacceptable_urgent_segment() -> None:
    t = established(profile="chimney")
    t.inject("ACK,URG", seq=-100, data=10, urgent=5)
    t.expect("ACK", ack=1)
    t.expect_no_event("UPLOAD", "URGENT")


@pytest.mark.requirement("URG-01")
def test_the_news_leaves_though_the_window_is_closed() -> None:
    t = established(peer_wnd=0)
    t.send(10)
    t.expect_nothing()
    t.call("queue_urgent")
    seen = t.expect("ACK,URG", seq=1, len=0)
    assert seen.urgent == 10


@pytest.mark.requirement("URG-01")
def test_with_an_open_window_it_rides_on_data() -> None:
    t = established()
    t.send(10)
    t.expect("ACK", len=10)
    t.call("queue_urgent")
    t.expect_nothing()
    t.inject("ACK", ack=11)
    t.send(10)
    assert not t.expect("ACK", seq=11, len=10).has("URG")


@pytest.mark.requirement("URG-01")
def test_urgent_data_that_was_read_is_forgotten() -> None:
    t = established()
    t.inject("ACK,URG", data=10, urgent=5)
    t.drain()
    t.consume(4)
    assert t.endpoint.has(lib.TCP_URGENT_RECEIVED)
    t.drain()
    t.consume(1)
    assert not t.endpoint.has(lib.TCP_URGENT_RECEIVED)
    t.drain()
