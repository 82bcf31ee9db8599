"""A connection that is given away when a probe is due: it has been counted, and is still to be sent."""

from __future__ import annotations

import pytest

from tests.tcp.builder import MS, Conversation
from tests.tcp.offload import NOT_RUNNING
from tests.tcp.offload import given as state_of
from tests.tcp.options import ISS
from tests.tcp.segment import MODULUS
from tests.tcp.states import established
from vnic._core import lib


def expire(t: Conversation) -> None:
    """The next timer fires, and nobody asks for output."""
    while not t.endpoint.is_output_due:
        assert t.engine.step(t.engine.now_ns + 100_000 * MS)


def closed_window() -> Conversation:
    """5000 bytes wait in front of a closed window; one probe went without an answer."""
    t = established(rtt_ms=50)
    t.inject("ACK", wnd=0)
    t.send(5000)
    t.drain()
    t.wait(10_000)
    t.drain()
    return t


@pytest.mark.requirement("CH-06", "WIN-04")
def test_a_window_probe_that_is_due_counts_as_not_sent() -> None:
    t = closed_window()
    before = state_of(t.engine, t.c).Delegated
    count, rounds = before.Retransmit.Count, before.SndWndProbeCount
    assert (count, rounds) == (1, 1)
    assert before.Retransmit.TimeoutDelta not in (0, NOT_RUNNING)
    expire(t)
    due = state_of(t.engine, t.c).Delegated
    assert (due.Retransmit.Count, due.SndWndProbeCount) == (count, rounds)
    assert due.Retransmit.TimeoutDelta == 0
    assert due.SndNxt == due.SndMax
    t._pull()
    t.drain()
    sent = state_of(t.engine, t.c).Delegated
    assert (sent.Retransmit.Count, sent.SndWndProbeCount) == (count + 1, rounds + 1)
    assert sent.Retransmit.TimeoutDelta > 0


@pytest.mark.requirement("CH-06", "WIN-04")
def test_what_probes_carried_in_vain_is_below_snd_nxt_when_the_window_opens() -> None:
    t = closed_window()
    with t.batch():
        t.inject("ACK", wnd=30_000)
        due = state_of(t.engine, t.c).Delegated
        assert due.SndMax == (ISS + 2) % MODULUS, "the probe's byte"
        assert due.SndNxt == due.SndUna == (ISS + 1) % MODULUS, "and it is to be sent again"
    assert t.drain()[0].seq == 1


@pytest.mark.requirement("CH-05", "KA-01")
def test_a_keepalive_probe_that_is_due_counts_as_not_sent() -> None:
    t = established(keepalive=True, keep_time_ms=60_000, keep_interval_ms=10_000, keep_limit=3)
    expire(t)
    due = state_of(t.engine, t.c).Delegated.KeepAlive
    assert (due.ProbeCount, due.TimeoutDelta) == (0, 0)
    t._pull()
    t.expect("ACK", seq=0)
    sent = state_of(t.engine, t.c).Delegated.KeepAlive
    assert (sent.ProbeCount, sent.TimeoutDelta) == (1, 10_000)
    assert t.wait(100_000) == 10_000
    t.expect("ACK", seq=0)
    assert not t.c.flags & lib.TCP_PROBE_PENDING


@pytest.mark.requirement("CH-05", "CLS-04")
def test_an_orphan_without_a_timer_left_has_none_to_give() -> None:
    t = established()
    t.close()
    t.expect("FIN,ACK", seq=1)
    assert state_of(t.engine, t.c).Delegated.Retransmit.TimeoutDelta not in (0, NOT_RUNNING)
    t.inject("ACK", ack=2)
    assert state_of(t.engine, t.c).Delegated.Retransmit.TimeoutDelta == 60_000
    t.c.armed &= ~lib.TCP_TIMER_KEEP
    assert state_of(t.engine, t.c).Delegated.Retransmit.TimeoutDelta == NOT_RUNNING
