"""A connection's state, between the stack's structure and the chimney's objects: they agree in names."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vnic.ndis.chimney import (
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    NEIGHBOR_OFFLOAD_STATE_CONST,
    NEIGHBOR_OFFLOAD_STATE_DELEGATED,
    PATH_OFFLOAD_STATE_CACHED,
    PATH_OFFLOAD_STATE_CONST,
    TCP_OFFLOAD_CONNECTION_STATE,
    TCP_OFFLOAD_STATE_CACHED,
    TCP_OFFLOAD_STATE_CONST,
    TCP_OFFLOAD_STATE_DELEGATED,
    KeepAliveState,
    RetransmitState,
    TcpCachedFlag,
    TcpConstFlag,
)
from vnic.stack.address import Address
from vnic.stack.offload import Route, State
from vnic.wire import toeplitz

#: Members of DELEGATED that are no numbers of the stack's structure.
_OTHERS = frozenset({"State", "KeepAlive", "Retransmit", "SendDataHead", "SendDataTail", "BufferedData"})
_DELEGATED = tuple(each.name for each in fields(TCP_OFFLOAD_STATE_DELEGATED) if each.name not in _OTHERS)
_CONST = tuple(each.name for each in fields(TCP_OFFLOAD_STATE_CONST) if each.name != "Flags")
_CACHED = tuple(each.name for each in fields(TCP_OFFLOAD_STATE_CACHED) if each.name != "Flags")
_MILLISECONDS = 1000
#: Where the user has set no limit (RFC 1122 3.2.1.7, the assigned numbers' default).
_HOPS = 64


def ticks(milliseconds: int, ticks_per_second: int) -> int:
    """Milliseconds in ticks, rounded up, so that what is not 0 does not become it."""
    return -(-milliseconds * ticks_per_second // _MILLISECONDS)


def connection_hash(key: bytes, local: Address, remote: Address, local_port: int, remote_port: int) -> int:
    """HashValue: RSS's hash of what arrives, so that offloaded or not it stays on one processor. [INV-57]"""
    ports = remote_port.to_bytes(2) + local_port.to_bytes(2)
    return toeplitz.hash(key, remote.packed + local.packed + ports)


def tcp_const(state: State, hash_value: int) -> TCP_OFFLOAD_STATE_CONST:
    """CONST of a connection that is offloaded."""
    made = TCP_OFFLOAD_STATE_CONST(TcpConstFlag(state.Const.Flags))
    for name in _CONST:
        setattr(made, name, getattr(state.Const, name))
    made.HashValue = hash_value
    return made


def tcp_cached(state: State) -> TCP_OFFLOAD_STATE_CACHED:
    """CACHED as the user has set it."""
    made = TCP_OFFLOAD_STATE_CACHED(TcpCachedFlag(state.Cached.Flags))
    for name in _CACHED:
        setattr(made, name, getattr(state.Cached, name))
    made.TtlOrHopLimit = made.TtlOrHopLimit or _HOPS
    return made


def tcp_delegated(state: State) -> TCP_OFFLOAD_STATE_DELEGATED:
    """DELEGATED without its data."""
    given = state.Delegated
    made = TCP_OFFLOAD_STATE_DELEGATED(TCP_OFFLOAD_CONNECTION_STATE(given.State))
    for name in _DELEGATED:
        setattr(made, name, getattr(given, name))
    made.KeepAlive = KeepAliveState(given.KeepAlive.ProbeCount, given.KeepAlive.TimeoutDelta)
    made.Retransmit = RetransmitState(given.Retransmit.Count, given.Retransmit.TimeoutDelta)
    return made


def take_delegated(state: State, delegated: TCP_OFFLOAD_STATE_DELEGATED) -> None:
    """Write DELEGATED as it came back into the stack's structure; backlogs are the host's."""
    into: Any = state.Delegated
    for name in _DELEGATED:
        setattr(into, name, getattr(delegated, name))
    into.State = int(delegated.State)
    into.KeepAlive.ProbeCount = delegated.KeepAlive.ProbeCount
    into.KeepAlive.TimeoutDelta = delegated.KeepAlive.TimeoutDelta
    into.Retransmit.Count = delegated.Retransmit.Count
    into.Retransmit.TimeoutDelta = delegated.Retransmit.TimeoutDelta


def neighbour_states(
    route: Route, ticks_per_second: int
) -> tuple[NEIGHBOR_OFFLOAD_STATE_CONST, NEIGHBOR_OFFLOAD_STATE_CACHED, NEIGHBOR_OFFLOAD_STATE_DELEGATED]:
    """CONST, CACHED and DELEGATED of a new neighbour: at first both reachabilities are the host's."""
    age = ticks(route.host_reachability_ms, ticks_per_second)
    return (
        NEIGHBOR_OFFLOAD_STATE_CONST(VlanId=route.vlan),
        NEIGHBOR_OFFLOAD_STATE_CACHED(route.mac, age),
        NEIGHBOR_OFFLOAD_STATE_DELEGATED(age),
    )


def path_states(route: Route) -> tuple[PATH_OFFLOAD_STATE_CONST, PATH_OFFLOAD_STATE_CACHED]:
    """CONST and CACHED of a new path."""
    return (
        PATH_OFFLOAD_STATE_CONST(route.source.packed, route.destination.packed),
        PATH_OFFLOAD_STATE_CACHED(route.path_mtu),
    )
