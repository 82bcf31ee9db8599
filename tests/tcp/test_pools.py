"""What an engine lends to connections comes back, what is used up is counted, and counters count."""

from __future__ import annotations

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.endpoint import Engine
from tests.tcp.flight import MSS, ack, at, numbers, sender
from tests.tcp.states import established, syn_received
from vnic._core import lib

SCARCE = {"connections": 2, "nodes": 12, "recoveries": 1, "ranges_per_connection": 4}


def again(t: Conversation) -> Conversation:
    """Another conversation in the engine of one that is over."""
    lib.tcp_release(t.engine.handle, t.c)
    t.engine.endpoints.clear()
    other = Conversation(t.options)
    other.engine.close()
    other.engine = t.engine
    other.accept()
    other.drain()
    other.advance(100)
    other.inject("ACK", seq=1, ack=1)
    return other


@pytest.mark.parametrize("ending", ["reset", "release", "abort"])
def test_an_engine_of_little_memory_serves_for_ever(ending: str) -> None:
    t = sender(queue=10, sack=True, config=SCARCE)
    for _ in range(30):
        t.drain()
        t.advance(100)
        ack(t, 0, 3, 5, 7)
        assert t.c.recovery, "no entry was free"
        for seq in (101, 301, 501):
            t.inject("ACK", seq=seq, data=100)
            t.drain()
        assert len(t.endpoint.ranges()) == 3, "no node was free"
        if ending == "reset":
            t.inject("RST", seq=1)
        elif ending == "abort":
            t.abort()
            t.drain()
        t = again(t)
        t.send(10 * MSS)
    t.drain()
    assert (t.statistics.no_nodes, t.statistics.no_recoveries, t.statistics.no_connections) == (0, 0, 0)


def test_without_an_entry_a_loss_is_repaired_by_the_timer() -> None:
    t = sender(queue=10, sack=True, config=SCARCE)
    first = t.drain()
    t.advance(100)
    ack(t, 0, 3, 5, 7)  # takes the only entry
    other = Conversation(t.options)
    other.engine.close()
    other.engine = t.engine
    other.accept()
    other.drain()
    other.inject("ACK", seq=1, ack=1)
    other.send(10 * MSS)
    assert len(other.drain()) == len(first)
    ack(other, 0, 2, 3, 4)
    assert not other.c.recovery
    assert t.statistics.no_recoveries > 0
    una = 0
    for _ in range(20):
        if other.snd_una == at(10):
            break
        other.is_lax = True
        other.wait(100_000)
        for number in numbers([seen for seen in other.drain() if seen.len]):
            una = number + 1 if number == una else una
        ack(other, una)
    assert other.snd_una == at(10)


def test_without_a_node_data_out_of_order_is_not_held() -> None:
    t = established(sack=True, config={"nodes": 2})
    for seq in range(101, 2001, 200):
        t.inject("ACK", seq=seq, data=100)
        assert t.expect("ACK", ack=1).sack == tuple(t.endpoint.ranges()[::-1][: len(t.endpoint.ranges())])
    assert t.statistics.no_nodes > 0
    t.inject("ACK", seq=1, data=3000)
    t.drain()
    while t.rcv_nxt < 3001:
        t.inject("ACK", seq=t.rcv_nxt, data=3001 - t.rcv_nxt)
        t.drain()
    assert len(t.received) == 3000


@pytest.mark.parametrize(
    "change",
    [
        {"connections": 0}, {"nodes": 0}, {"recoveries": 0}, {"ranges_per_connection": 3},
        {"ranges_per_connection": 1025}, {"rto_min_us": 0}, {"rto_max_us": 59_999_999},
        {"delack_us": 500_000}, {"override_us": 99_999}, {"override_us": 1_000_001}, {"r1": 2},
        {"r2_ms": 99_999}, {"syn_r2_ms": 179_999}, {"initial_segments": 0}, {"msl_ms": 0},
        {"connections": 4 * 2**20 + 1},
    ],
)  # fmt: skip
def test_a_configuration_out_of_bounds_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="refused"):
        Engine(**change)


def test_counters_of_a_connections_life() -> None:
    t = syn_received()
    t.inject("ACK", seq=1, ack=1)
    s = t.statistics
    assert (s.opened_passive, s.opened_active) == (1, 0)
    before = s.segments_in, s.segments_out, s.bytes_in, s.bytes_out
    t.give(2 * MSS)
    t.send(100)
    t.expect("ACK", len=100)
    assert s.segments_in - before[0] == 2
    assert s.bytes_in - before[2] == 2 * MSS
    assert s.segments_out - before[1] == 2
    assert s.bytes_out - before[3] == 100
    t.abort()
    t.drain()
    assert (s.aborted, s.resets_out) == (1, 1)


def test_counters_of_disorder() -> None:
    t = established(sack=True)
    t.give(1000)
    t.inject("ACK", seq=1, data=500)
    t.expect("ACK", sack=[(1, 501)])
    t.inject("ACK", seq=2001, data=500)
    t.drain()
    s = t.statistics
    assert (s.duplicates, s.out_of_order, s.dsacks_out) == (1, 1, 1)


def test_counters_of_the_unread_that_is_reset() -> None:
    t = established()
    t.give(100)
    t.close()
    t.expect("RST,ACK", seq=1)
    assert (t.statistics.aborted, t.statistics.resets_out) == (1, 1)
