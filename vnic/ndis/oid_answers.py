"""The queries that NDIS answers itself, from what the miniport told it at initialization and since."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from vnic.ndis.attributes import MEDIUM_802_3, PHYSICAL_MEDIUM_802_3, GeneralAttributes, OffloadAttributes
from vnic.ndis.offload import OffloadEncapsulation, TcpConnectionOffloadParameters
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.rss_watch import RssWatch
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import LinkState, MediaConnectState, PnpCapabilities, StatisticsInfo

NDIS_VERSION = 0x0614  # 6.20


@dataclass(slots=True)
class Known:
    """What NDIS knows of an adapter."""

    rss: RssWatch
    general: GeneralAttributes
    offload: OffloadAttributes | None
    link: LinkState
    lookahead: int
    encapsulation: OffloadEncapsulation | None = None
    connection_parameters: TcpConnectionOffloadParameters | None = None
    init_time_ns: int = 0
    resets: int = 0
    connects: int = 0

    def answer(
        self, request: OidRequest, packet_filter: int, multicast: frozenset[bytes]
    ) -> NDIS_STATUS | None:
        """Complete a query that NDIS answers for a binding with this filter and list; None for others."""
        if request.oid == OID.GEN_CURRENT_PACKET_FILTER:
            return request.answer(_ulong(packet_filter))
        if request.oid == OID.O802_3_MULTICAST_LIST:
            return request.answer(b"".join(sorted(multicast)))
        producer = _PRODUCERS.get(request.oid)
        if producer is None:
            return None
        data = producer(self)
        return NDIS_STATUS.NOT_SUPPORTED if data is None else request.answer(data)


def _ulong(value: int) -> bytes:
    return struct.pack("<I", min(value, 0xFFFFFFFF))


def _link_speed(known: Known) -> bytes:
    """OID_GEN_LINK_SPEED counts in 100 bit/s."""
    speed = known.link.xmit_speed_bps
    return _ulong(0 if speed > 1 << 60 else speed // 100)


def _media_state(known: Known) -> bytes:
    """NDIS_MEDIA_STATE: 0 connected, 1 disconnected."""
    return _ulong(0 if known.link.connect is MediaConnectState.CONNECTED else 1)


def _rss_capabilities(known: Known) -> bytes | None:
    found = known.general.receive_scale
    return None if found is None else found.pack()


def _rss_parameters(known: Known) -> bytes | None:
    if known.general.receive_scale is None:
        return None
    found = known.rss.parameters
    if found is None:
        return None
    return found.pack()


def _receive_hash(known: Known) -> bytes | None:
    found = known.rss.receive_hash
    return None if found is None else found.pack()


def _connection_current(known: Known) -> bytes | None:
    found = known.offload.connection_default_config if known.offload else None
    return None if found is None else found.pack()


def _connection_hardware(known: Known) -> bytes | None:
    found = known.offload.connection_hardware if known.offload else None
    return None if found is None else found.pack()


def _connection_parameters(known: Known) -> bytes | None:
    found = known.connection_parameters
    return None if found is None else found.pack()


def _max_link_speed(known: Known) -> bytes:
    speed = known.general.max_link_speed_bps
    return struct.pack("<QQ", speed, speed)


def _supported_list(known: Known) -> bytes:
    return b"".join(map(_ulong, sorted({*known.general.supported_oids, *_PRODUCERS})))


_PRODUCERS: dict[int, Callable[[Known], bytes | None]] = {
    OID.GEN_SUPPORTED_LIST: _supported_list,
    OID.GEN_HARDWARE_STATUS: lambda known: _ulong(0),
    OID.GEN_MEDIA_SUPPORTED: lambda known: _ulong(MEDIUM_802_3),
    OID.GEN_MEDIA_IN_USE: lambda known: _ulong(MEDIUM_802_3),
    OID.GEN_PHYSICAL_MEDIUM: lambda known: _ulong(PHYSICAL_MEDIUM_802_3),
    OID.GEN_MAXIMUM_LOOKAHEAD: lambda known: _ulong(known.general.lookahead_size),
    OID.GEN_CURRENT_LOOKAHEAD: lambda known: _ulong(known.lookahead),
    OID.GEN_MAXIMUM_FRAME_SIZE: lambda known: _ulong(known.general.mtu_size),
    OID.GEN_LINK_SPEED: _link_speed,
    OID.GEN_MAX_LINK_SPEED: _max_link_speed,
    OID.GEN_LINK_STATE: lambda known: known.link.pack(),
    OID.GEN_MEDIA_CONNECT_STATUS: _media_state,
    OID.GEN_MEDIA_CONNECT_STATUS_EX: lambda known: _ulong(known.link.connect),
    OID.GEN_MEDIA_DUPLEX_STATE: lambda known: _ulong(known.link.duplex),
    OID.GEN_MAC_OPTIONS: lambda known: _ulong(known.general.mac_options),
    OID.GEN_DRIVER_VERSION: lambda known: struct.pack("<H", NDIS_VERSION),
    OID.GEN_INIT_TIME_MS: lambda known: _ulong(known.init_time_ns // 1_000_000),
    OID.GEN_RESET_COUNTS: lambda known: _ulong(known.resets),
    OID.GEN_MEDIA_SENSE_COUNTS: lambda known: _ulong(known.connects),
    OID.O802_3_PERMANENT_ADDRESS: lambda known: known.general.permanent_mac_address,
    OID.O802_3_CURRENT_ADDRESS: lambda known: known.general.current_mac_address,
    OID.O802_3_MAXIMUM_LIST_SIZE: lambda known: _ulong(known.general.max_multicast_list_size),
    OID.GEN_RECEIVE_SCALE_CAPABILITIES: _rss_capabilities,
    OID.GEN_RECEIVE_SCALE_PARAMETERS: _rss_parameters,
    OID.GEN_RECEIVE_HASH: _receive_hash,
    OID.GEN_HD_SPLIT_CURRENT_CONFIG: lambda known: None,
    OID.OFFLOAD_ENCAPSULATION: lambda known: (known.encapsulation or OffloadEncapsulation()).pack(),
    OID.TCP_OFFLOAD_CURRENT_CONFIG: lambda known: (
        known.offload.default_config.pack() if known.offload else None
    ),
    OID.TCP_OFFLOAD_HARDWARE_CAPABILITIES: lambda known: (
        known.offload.hardware.pack() if known.offload else None
    ),
    OID.TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG: _connection_current,
    OID.TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES: _connection_hardware,
    OID.TCP_CONNECTION_OFFLOAD_PARAMETERS: _connection_parameters,
    OID.PNP_CAPABILITIES: lambda known: (known.general.power or PnpCapabilities()).pack(),
}

#: OIDs of old drivers that NDIS serves from OID_GEN_STATISTICS: which members add up to the answer.
STATISTICS: dict[int, Callable[[StatisticsInfo], int]] = {
    OID.GEN_XMIT_OK: lambda s: (
        s.if_hc_out_ucast_pkts + s.if_hc_out_multicast_pkts + s.if_hc_out_broadcast_pkts
    ),
    OID.GEN_RCV_OK: lambda s: s.if_hc_in_ucast_pkts + s.if_hc_in_multicast_pkts + s.if_hc_in_broadcast_pkts,
    OID.GEN_XMIT_ERROR: lambda s: s.if_out_errors,
    OID.GEN_RCV_ERROR: lambda s: s.if_in_errors,
    OID.GEN_RCV_NO_BUFFER: lambda s: s.if_in_discards,
    OID.GEN_DIRECTED_BYTES_XMIT: lambda s: s.if_hc_out_ucast_octets,
    OID.GEN_DIRECTED_FRAMES_XMIT: lambda s: s.if_hc_out_ucast_pkts,
    OID.GEN_MULTICAST_BYTES_XMIT: lambda s: s.if_hc_out_multicast_octets,
    OID.GEN_MULTICAST_FRAMES_XMIT: lambda s: s.if_hc_out_multicast_pkts,
    OID.GEN_BROADCAST_BYTES_XMIT: lambda s: s.if_hc_out_broadcast_octets,
    OID.GEN_BROADCAST_FRAMES_XMIT: lambda s: s.if_hc_out_broadcast_pkts,
    OID.GEN_DIRECTED_BYTES_RCV: lambda s: s.if_hc_in_ucast_octets,
    OID.GEN_DIRECTED_FRAMES_RCV: lambda s: s.if_hc_in_ucast_pkts,
    OID.GEN_MULTICAST_BYTES_RCV: lambda s: s.if_hc_in_multicast_octets,
    OID.GEN_MULTICAST_FRAMES_RCV: lambda s: s.if_hc_in_multicast_pkts,
    OID.GEN_BROADCAST_BYTES_RCV: lambda s: s.if_hc_in_broadcast_octets,
    OID.GEN_BROADCAST_FRAMES_RCV: lambda s: s.if_hc_in_broadcast_pkts,
    OID.GEN_BYTES_RCV: lambda s: s.if_hc_in_octets,
    OID.GEN_BYTES_XMIT: lambda s: s.if_hc_out_octets,
    OID.GEN_RCV_DISCARDS: lambda s: s.if_in_discards,
    OID.GEN_XMIT_DISCARDS: lambda s: s.if_out_discards,
}
