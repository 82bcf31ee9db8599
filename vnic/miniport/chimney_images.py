"""State objects of NDIS as the card's images, and back."""

from __future__ import annotations

from vnic.gen.descriptors import ChmNeighbour, ChmPath, ChmTcp
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

_MAC_BYTES = 6
_SEQUENCES = 1 << 32


class ImageError(ValueError):
    """A state structure holds what its field in the image cannot: the block fails."""


# -- neighbours --------------------------------------------------------------------------------------------


def pack_neighbour(
    const: NEIGHBOR_OFFLOAD_STATE_CONST,
    cached: NEIGHBOR_OFFLOAD_STATE_CACHED,
    delegated: NEIGHBOR_OFFLOAD_STATE_DELEGATED,
) -> bytes:
    """32 bytes; raises ImageError."""
    return _packed(
        ChmNeighbour(
            source_address=_mac(const.DlSourceAddress),
            vlan_id=const.VlanId,
            destination_address=_mac(cached.DlDestinationAddress),
            host_reachability_delta=cached.HostReachabilityDelta,
            nic_reachability_delta=delegated.NicReachabilityDelta,
        )
    )


def unpack_neighbour(
    image: bytes,
) -> tuple[NEIGHBOR_OFFLOAD_STATE_CONST, NEIGHBOR_OFFLOAD_STATE_CACHED, NEIGHBOR_OFFLOAD_STATE_DELEGATED]:
    """CONST, CACHED, DELEGATED."""
    it = ChmNeighbour.unpack(image)
    return (
        NEIGHBOR_OFFLOAD_STATE_CONST(it.source_address.to_bytes(_MAC_BYTES, "little"), it.vlan_id),
        NEIGHBOR_OFFLOAD_STATE_CACHED(
            it.destination_address.to_bytes(_MAC_BYTES, "little"), it.host_reachability_delta
        ),
        NEIGHBOR_OFFLOAD_STATE_DELEGATED(it.nic_reachability_delta),
    )


def _mac(address: bytes) -> int:
    """DlSourceAddress and DlDestinationAddress have room for 32 octets; Ethernet uses six."""
    if len(address) < _MAC_BYTES or any(address[_MAC_BYTES:]):
        raise ImageError(f"{address.hex()} is no Ethernet address")
    return int.from_bytes(address[:_MAC_BYTES], "little")


# -- paths -------------------------------------------------------------------------------------------------


def pack_path(const: PATH_OFFLOAD_STATE_CONST, cached: PATH_OFFLOAD_STATE_CACHED, is_ipv6: bool) -> bytes:
    """48 bytes; raises ImageError."""
    length = 16 if is_ipv6 else 4
    source_lo, source_hi = _halves(const.SourceAddress, length)
    destination_lo, destination_hi = _halves(const.DestinationAddress, length)
    return _packed(
        ChmPath(source_lo, source_hi, destination_lo, destination_hi, cached.PathMtu, int(is_ipv6))
    )


def _halves(address: bytes, length: int) -> tuple[int, int]:
    if len(address) != length:
        raise ImageError(f"an address of {len(address)} octets where {length} are due")
    octets = bytes(address).ljust(16, b"\0")
    return int.from_bytes(octets[:8], "little"), int.from_bytes(octets[8:], "little")


def unpack_path(image: bytes) -> tuple[PATH_OFFLOAD_STATE_CONST, PATH_OFFLOAD_STATE_CACHED]:
    """CONST and CACHED; paths have nothing DELEGATED."""
    it = ChmPath.unpack(image)
    length = 16 if it.ipv6 else 4
    source = it.source_lo | it.source_hi << 64
    destination = it.destination_lo | it.destination_hi << 64
    return (
        PATH_OFFLOAD_STATE_CONST(
            source.to_bytes(16, "little")[:length], destination.to_bytes(16, "little")[:length]
        ),
        PATH_OFFLOAD_STATE_CACHED(it.path_mtu),
    )


# -- connections -------------------------------------------------------------------------------------------


def pack_tcp(
    const: TCP_OFFLOAD_STATE_CONST,
    cached: TCP_OFFLOAD_STATE_CACHED,
    delegated: TCP_OFFLOAD_STATE_DELEGATED,
    *,
    send_backlog: int = 0,
    receive_backlog: int = 0,
) -> bytes:
    """160 bytes; the backlogs are what the send list and BufferedData hold. Raises ImageError."""
    image = ChmTcp(send_backlog_size=send_backlog, receive_backlog_size=receive_backlog)
    _put_const(image, const)
    _put_cached(image, cached)
    _put_delegated(image, delegated)
    return _packed(image)


def _put_const(image: ChmTcp, const: TCP_OFFLOAD_STATE_CONST) -> None:
    image.const_flags = int(const.Flags)
    image.remote_port = const.RemotePort
    image.local_port = const.LocalPort
    image.snd_wind_scale = const.SndWindScale
    image.rcv_wind_scale = const.RcvWindScale
    image.remote_mss = const.RemoteMss
    image.hash_value = const.HashValue


def _put_cached(image: ChmTcp, cached: TCP_OFFLOAD_STATE_CACHED) -> None:
    image.cached_flags = int(cached.Flags)
    image.initial_rcv_wnd = cached.InitialRcvWnd
    image.rcv_indication_size = cached.RcvIndicationSize
    image.ka_probe_count = cached.KaProbeCount
    image.ka_timeout = cached.KaTimeout
    image.ka_interval = cached.KaInterval
    image.max_rt = cached.MaxRT
    image.flow_label = cached.FlowLabel
    image.ttl_or_hop_limit = cached.TtlOrHopLimit
    image.tos_or_traffic_class = cached.TosOrTrafficClass
    image.user_priority = cached.UserPriority


def _put_delegated(image: ChmTcp, delegated: TCP_OFFLOAD_STATE_DELEGATED) -> None:
    image.state = int(delegated.State)
    image.keep_alive_probe_count = delegated.KeepAlive.ProbeCount
    image.keep_alive_timeout_delta = delegated.KeepAlive.TimeoutDelta
    image.retransmit_count = delegated.Retransmit.Count
    image.retransmit_timeout_delta = delegated.Retransmit.TimeoutDelta
    for name, field in _DELEGATED:
        setattr(image, field, getattr(delegated, name))


#: The plain members of TCP_OFFLOAD_STATE_DELEGATED and the fields of the image that hold them.
_DELEGATED = (
    ("RcvNxt", "rcv_nxt"), ("RcvWnd", "rcv_wnd"), ("SndUna", "snd_una"), ("SndNxt", "snd_nxt"),
    ("SndMax", "snd_max"), ("SndWnd", "snd_wnd"), ("MaxSndWnd", "max_snd_wnd"), ("SendWL1", "send_wl1"),
    ("CWnd", "cwnd"), ("SsThresh", "ss_thresh"), ("SRtt", "srtt"), ("RttVar", "rtt_var"),
    ("TsRecent", "ts_recent"), ("TsRecentAge", "ts_recent_age"), ("TsTime", "ts_time"),
    ("TotalRT", "total_rt"), ("DupAckCount", "dup_ack_count"),
    ("SndWndProbeCount", "snd_wnd_probe_count"), ("DWnd", "d_wnd"),
)  # fmt: skip


def unpack_const(it: ChmTcp) -> TCP_OFFLOAD_STATE_CONST:
    """CONST of an image."""
    return TCP_OFFLOAD_STATE_CONST(
        TcpConstFlag(it.const_flags),
        it.remote_port,
        it.local_port,
        it.snd_wind_scale,
        it.rcv_wind_scale,
        it.remote_mss,
        it.hash_value,
    )


def unpack_cached(it: ChmTcp) -> TCP_OFFLOAD_STATE_CACHED:
    """CACHED of an image."""
    return TCP_OFFLOAD_STATE_CACHED(
        TcpCachedFlag(it.cached_flags),
        it.initial_rcv_wnd,
        it.rcv_indication_size,
        it.ka_probe_count,
        it.ka_timeout,
        it.ka_interval,
        it.max_rt,
        it.flow_label,
        it.ttl_or_hop_limit,
        it.tos_or_traffic_class,
        it.user_priority,
    )


def unpack_delegated(it: ChmTcp) -> TCP_OFFLOAD_STATE_DELEGATED:
    """DELEGATED of an image, backlogs included; raises ImageError for a state that there is not. [INV-14]"""
    if it.state not in TCP_OFFLOAD_CONNECTION_STATE.__members__.values():
        raise ImageError(f"TCP_OFFLOAD_CONNECTION_STATE {it.state}")
    sent, most = ((each - it.snd_una) % _SEQUENCES for each in (it.snd_nxt, it.snd_max))
    if sent > most or most >= _SEQUENCES // 2:
        raise ImageError(f"SndUna {it.snd_una}, SndNxt {it.snd_nxt}, SndMax {it.snd_max}")
    return TCP_OFFLOAD_STATE_DELEGATED(
        TCP_OFFLOAD_CONNECTION_STATE(it.state),
        KeepAlive=KeepAliveState(it.keep_alive_probe_count, it.keep_alive_timeout_delta),
        Retransmit=RetransmitState(it.retransmit_count, it.retransmit_timeout_delta),
        SendBacklogSize=it.send_backlog_size,
        ReceiveBacklogSize=it.receive_backlog_size,
        **{name: getattr(it, field) for name, field in _DELEGATED},
    )


def _packed(image: ChmNeighbour | ChmPath | ChmTcp) -> bytes:
    try:
        return image.pack()
    except (ValueError, TypeError) as error:
        raise ImageError(str(error)) from None
