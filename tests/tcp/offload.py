"""Connections across the chimney's border: frozen, projected on NDIS's fields, made anew from them."""

from __future__ import annotations

from typing import Any

from tests.tcp.builder import Conversation
from tests.tcp.endpoint import Endpoint, Engine
from tests.tcp.options import CONGESTIONS, PROFILES
from tests.tcp.segment import Segment, signed
from vnic._core import ffi, lib

NOT_RUNNING = 2**32 - 1
DELEGATED = (
    "State", "Flags", "RcvNxt", "RcvWnd", "SndUna", "SndNxt", "SndMax", "SndWnd", "MaxSndWnd", "SendWL1",
    "CWnd", "SsThresh", "SRtt", "RttVar", "TsRecent", "TsRecentAge", "TsTime", "TotalRT", "DupAckCount",
    "SndWndProbeCount", "SendBacklogSize", "ReceiveBacklogSize", "DWnd",
)  # fmt: skip


def freeze(endpoint: Endpoint) -> list[Segment]:
    """Freezes the connection; what it owed leaves first."""
    sent = []
    while lib.tcp_freeze(endpoint.engine.handle, endpoint.c, endpoint.engine.now_ns, endpoint.out):
        sent.append(endpoint._sent())
        assert len(sent) < 300, "never frozen"
    assert endpoint.has(lib.TCP_FROZEN)
    return sent


def given(engine: Engine, c: Any, rate: int = 1000) -> Any:
    """struct tcp_offload_state of a connection now."""
    state = ffi.new("struct tcp_offload_state *")
    assert lib.tcp_to_offload(engine.handle, c, engine.now_ns, rate, state) == lib.TCP_OFFLOAD_OK
    return state


def take(
    engine: Engine, state: Any, *, rate: int = 1000, profile: str = "chimney", congestion: str = "newreno"
) -> tuple[int, Any]:
    """The result, and the connection or NULL."""
    taker = ffi.new("struct tcp_offload_taker *")
    taker.profile, taker.congestion, taker.ticks_per_second = PROFILES[profile], CONGESTIONS[congestion], rate
    box = ffi.new("struct tcp_connection **")
    result = int(lib.tcp_from_offload(engine.handle, engine.now_ns, taker, state, box))
    assert (box[0] != ffi.NULL) == (result == lib.TCP_OFFLOAD_OK)
    return result, box[0]


def delegated(state: Any) -> dict[str, int]:
    """What goes both ways, by name."""
    d = state.Delegated
    values = {name: int(getattr(d, name)) for name in DELEGATED}
    values |= {
        f"KeepAlive.{name}": int(getattr(d.KeepAlive, name)) for name in ("ProbeCount", "TimeoutDelta")
    }
    return values | {
        f"Retransmit.{name}": int(getattr(d.Retransmit, name)) for name in ("Count", "TimeoutDelta")
    }


def adopt(endpoint: Endpoint, engine: Engine, c: Any) -> None:
    """The endpoint goes on with another connection; bytes out of order were given up (CH-09)."""
    endpoint.engine, endpoint.c = engine, c
    endpoint.index = int(lib.tcp_index(engine.handle, c))
    engine.endpoints[endpoint.index] = endpoint
    endpoint.forget_ranges()


def hand_over(
    endpoint: Endpoint,
    engine: Engine,
    *,
    rate: int = 1000,
    profile: str = "chimney",
    congestion: str = "newreno",
) -> list[Segment]:
    """A frozen connection moves into an engine, perhaps its own: what left before it did."""
    sent = freeze(endpoint)
    old = endpoint.engine
    state = given(old, endpoint.c, rate)
    lib.tcp_release(old.handle, endpoint.c)
    del old.endpoints[endpoint.index]
    result, c = take(engine, state, rate=rate, profile=profile, congestion=congestion)
    assert result == lib.TCP_OFFLOAD_OK, delegated(state)
    assert lib.tcp_check(engine.handle, c) == ffi.NULL, ffi.string(lib.tcp_check(engine.handle, c))
    adopt(endpoint, engine, c)
    return sent


def offload(t: Conversation, shift_ms: int = 0, **how: Any) -> Conversation:
    """The conversation's connection moves to an engine whose clock differs by that; what it says waits."""
    made = Engine(t.engine.now_ns + shift_ms * 1_000_000, **t.options.config)
    old = t.engine
    sent = hand_over(t.endpoint, made, **how)
    old.close()
    t.engine, t.shift_ns = made, t.shift_ns + shift_ms * 1_000_000
    t.endpoint.resets += sent  # leaves before what the new engine says
    t._pull()
    return t


def edge(t: Conversation) -> int:
    """The right edge of our receive window, relative to the peer's ISN."""
    return signed(int(t.c.rcv_adv) - t.options.irs)
