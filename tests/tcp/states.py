"""A conversation in any state, reached by real segments; nothing waits, and no event is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.tcp.builder import Conversation
from tests.tcp.options import Options

_open: list[Conversation] = []


def close_all() -> list[Conversation]:
    """Frees every engine made since the last call, and returns the conversations."""
    made = list(_open)
    _open.clear()
    for conversation in made:
        conversation.close_engine()
    return made


def fresh(**options: Any) -> Conversation:
    """Before anything was said."""
    conversation = Conversation(Options(**options))
    _open.append(conversation)
    return conversation


def _ready(t: Conversation, state: str) -> Conversation:
    t.expect_nothing()
    t.expect_state(state)
    t.take_events()
    return t


def syn_sent(**options: Any) -> Conversation:
    """Our SYN is out."""
    t = fresh(is_active=True, **options).connect()
    t.outbox.pop(0)
    return _ready(t, "SYN_SENT")


def syn_received(**options: Any) -> Conversation:
    """A SYN came and our SYN,ACK is out."""
    t = fresh(**options).accept()
    t.outbox.pop(0)
    return _ready(t, "SYN_RECEIVED")


def established(**options: Any) -> Conversation:
    """The handshake is over: passively, or actively with is_active=True."""
    if options.pop("is_active", False):
        t = syn_sent(**options)
        t.advance(t.options.rtt_ms)
        t.syn_ack()
        t.expect("ACK", seq=1, ack=1)
    else:
        t = syn_received(**options)
        t.advance(t.options.rtt_ms)
        t.inject("ACK", seq=1, ack=1)
    return _ready(t, "ESTABLISHED")


def fin_wait_1(**options: Any) -> Conversation:
    """Our FIN is out, at 1."""
    t = established(**options)
    t.shutdown()
    t.expect("FIN,ACK", seq=1)
    return _ready(t, "FIN_WAIT_1")


def fin_wait_2(**options: Any) -> Conversation:
    """Our FIN is acknowledged."""
    t = fin_wait_1(**options)
    t.inject("ACK", ack=2)
    return _ready(t, "FIN_WAIT_2")


def close_wait(**options: Any) -> Conversation:
    """The peer's FIN, at 1, is acknowledged."""
    t = established(**options)
    t.inject("FIN,ACK")
    t.expect("ACK", seq=1, ack=2)
    return _ready(t, "CLOSE_WAIT")


def closing(**options: Any) -> Conversation:
    """Both FINs crossed."""
    t = fin_wait_1(**options)
    t.inject("FIN,ACK", ack=1)
    t.expect("ACK", seq=2, ack=2)
    return _ready(t, "CLOSING")


def last_ack(**options: Any) -> Conversation:
    """Our FIN, the second, is out."""
    t = close_wait(**options)
    t.shutdown()
    t.expect("FIN,ACK", seq=1, ack=2)
    return _ready(t, "LAST_ACK")


def time_wait(**options: Any) -> Conversation:
    """Both FINs are acknowledged, ours first."""
    t = fin_wait_2(**options)
    t.inject("FIN,ACK")
    t.expect("ACK", seq=2, ack=2)
    return _ready(t, "TIME_WAIT")


BUILDERS: dict[str, Callable[..., Conversation]] = {
    "SYN_SENT": syn_sent,
    "SYN_RECEIVED": syn_received,
    "ESTABLISHED": established,
    "FIN_WAIT_1": fin_wait_1,
    "FIN_WAIT_2": fin_wait_2,
    "CLOSE_WAIT": close_wait,
    "CLOSING": closing,
    "LAST_ACK": last_ack,
    "TIME_WAIT": time_wait,
}
SYNCHRONIZED = tuple(name for name in BUILDERS if not name.startswith("SYN"))
"""States after the handshake."""

RECEIVING = ("ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2")
"""States in which the peer may still send data."""

SENDING = ("ESTABLISHED", "CLOSE_WAIT")
"""States in which the user may still send data."""
