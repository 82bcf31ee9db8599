"""The judge of connections: each lie about a sound connection is found, and called by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tcp.builder import Conversation
from tests.tcp.flight import MSS, ack, sender
from tests.tcp.states import (
    close_wait,
    established,
    fin_wait_1,
    fin_wait_2,
    syn_received,
    syn_sent,
    time_wait,
)
from vnic._core import ffi, lib

Lie = Callable[[Any], None]


def flight() -> Conversation:
    """Segments are out, three of them SACKed: there are runs, and an entry for recovery."""
    t = sender(queue=20, sack=True)
    t.drain()
    t.advance(100)
    ack(t, 0, 3, 5, 7)
    return t


def disorder() -> Conversation:
    """Two ranges are held out of order."""
    t = established(sack=True)
    for seq in (101, 301):
        t.inject("ACK", seq=seq, data=100)
        t.drain()
    return t


def put(**values: int) -> Lie:
    """Fields with other values."""

    def lie(c: Any) -> None:
        for name, value in values.items():
            setattr(c, name, value)

    return lie


def move(**deltas: int) -> Lie:
    """Fields with so much more, modulo their width."""

    def lie(c: Any) -> None:
        for name, delta in deltas.items():
            setattr(c, name, (getattr(c, name) + delta) % 2**32)

    return lie


def mark(flags: int) -> Lie:
    """More flags."""

    def lie(c: Any) -> None:
        c.flags |= flags

    return lie


def unmark(flags: int) -> Lie:
    """Flags less."""

    def lie(c: Any) -> None:
        c.flags &= ~flags & 0xFFFFFFFF

    return lie


def both(one: Lie, other: Lie) -> Lie:
    """Two lies."""

    def lie(c: Any) -> None:
        one(c)
        other(c)

    return lie


LIES: list[tuple[str, Callable[[], Conversation], Lie, str]] = [
    ("state", established, put(state=200), "no such state"),
    ("una", established, move(snd_una=1), "UNA beyond NXT"),
    ("nxt", established, move(snd_nxt=1), "NXT beyond what was queued"),
    ("nxt before the FIN", fin_wait_1, move(snd_nxt=-1), "NXT beyond what was queued"),
    ("FIN of nobody", fin_wait_1, unmark(lib.TCP_FIN_QUEUED), "a FIN was sent that nobody queued"),
    ("edge", established, lambda c: put(rcv_adv=c.rcv_nxt - 1)(c), "right edge left of RCV.NXT"),
    ("acknowledged", established, move(rcv_acked=1), "acknowledged what was not received"),
    ("FIN before all", syn_received, mark(lib.TCP_FIN_RECEIVED), "FIN in a handshake"),
    ("our FIN", established, mark(lib.TCP_FIN_QUEUED), "our FIN contradicts the state"),
    ("no FIN of ours", close_wait, put(state=lib.TCP_STATE_LAST_ACK), "our FIN contradicts the state"),
    ("the peer's FIN", established, mark(lib.TCP_FIN_RECEIVED), "the peer's FIN contradicts the state"),
    ("none of the peer's", close_wait, unmark(lib.TCP_FIN_RECEIVED), "the peer's FIN contradicts the state"),
    ("FIN not sent", fin_wait_2, both(unmark(lib.TCP_FIN_SENT), move(snd_end=1)),
     "our FIN is not acknowledged"),
    ("FIN in flight", fin_wait_2, move(snd_una=-1), "our FIN is not acknowledged"),
    ("FIN seen", established, mark(lib.TCP_FIN_SEEN), "a FIN was seen that nothing holds"),
    ("timer in CLOSED", established, put(state=0, armed=1), "a timer is armed in CLOSED"),
    ("ranges beyond the edge", disorder, lambda c: put(rcv_adv=c.rcv_nxt + 150)(c),
     "ranges out of order, touching, empty or beyond the edge"),
    ("ranges touch", disorder, move(rcv_nxt=100),
     "ranges out of order, touching, empty or beyond the edge"),
    ("run of the past", flight, move(run_seq=-1), "scoreboard: newest run out of place"),
    ("run of the future", flight, move(snd_nxt=-3 * MSS), "scoreboard: newest run out of place"),
    ("gap", flight, move(snd_una=-1), "scoreboard: runs leave a gap"),
    ("no flight", flight, lambda c: put(snd_una=c.snd_nxt)(c), "scoreboard: runs without data in flight"),
]  # fmt: skip


def said(t: Conversation, *, is_structure: bool = True) -> str | None:
    """What is wrong, in words."""
    check = lib.tcp_check_structure if is_structure else lib.tcp_check
    found = check(t.engine.handle, t.c)
    return None if found == ffi.NULL else ffi.string(found).decode()


@pytest.mark.parametrize(
    ("make", "lie", "words"), [each[1:] for each in LIES], ids=[each[0] for each in LIES]
)
def test_a_lie_is_called_by_its_name(make: Callable[[], Conversation], lie: Lie, words: str) -> None:
    t = make()
    assert said(t) is None
    lie(t.c)
    assert said(t) == words
    t.outbox.clear()


LIVELINESS: list[tuple[str, Callable[[], Conversation], Lie, str]] = [
    ("flight", flight, put(armed=0), "data in flight without a timer"),
    ("time wait", time_wait, put(armed=0), "keepalive, FIN_WAIT_2 or TIME_WAIT without a timer"),
    ("an ACK", established, move(rcv_acked=-1), "an ACK is owed without a timer"),
    ("unfiled", syn_sent, put(wheel_prev=0), "a timer is armed and nothing will fire it"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "lie", "words"), [each[1:] for each in LIVELINESS], ids=[each[0] for each in LIVELINESS]
)
def test_what_waits_for_ever_is_found(make: Callable[[], Conversation], lie: Lie, words: str) -> None:
    t = make()
    assert said(t, is_structure=False) is None
    before = bytes(ffi.buffer(t.c))
    lie(t.c)
    assert said(t, is_structure=False) == words
    assert said(t) is None, "its structure is sound"
    ffi.buffer(t.c)[:] = before
    t.outbox.clear()
