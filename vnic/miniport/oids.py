"""OID requests: what the miniport answers and sets itself; the rest NDIS serves from what it was told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from vnic.miniport.interrupts import MODERATION_NS
from vnic.miniport.receive import RingFault
from vnic.ndis.offload import OffloadParameters, Switch, TcpConnectionOffloadParameters
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    LINK_SPEED_UNKNOWN,
    DevicePowerState,
    InterruptModeration,
    InterruptModerationState,
    LinkParameters,
    MediaDuplexState,
    ObjectType,
    StatusIndication,
    StructureError,
    bad_data,
    parse_header,
)

if TYPE_CHECKING:
    from vnic.miniport.adapter import Adapter

VENDOR_DESCRIPTION = b"vnic reference miniport\0"
DRIVER_VERSION = 0x0001_0000

Query = Callable[["Adapter"], bytes]
Set = Callable[["Adapter", bytes], None]

_COMBINE_ALL_HEADERS = 1


def _ulong(value: int) -> bytes:
    return struct.pack("<I", value & 0xFFFFFFFF)


def _read_ulong(data: bytes) -> int:
    return int(struct.unpack_from("<I", data)[0])


# -- queries ---------------------------------------------------------------------------------------------


def _receive_space(adapter: Adapter) -> bytes:
    return _ulong(sum(queue.receive.bytes for queue in adapter.card.queues))


def _transmit_space(adapter: Adapter) -> bytes:
    frames = sum(queue.transmit.ring.count - 1 for queue in adapter.card.queues)
    return _ulong(frames * adapter.card.frame_bytes)


def _vendor_id(adapter: Adapter) -> bytes:
    """The OUI in the three low octets, the first of the address lowest."""
    return adapter.card.capacities.permanent_address[:3] + b"\0"


def _moderation(adapter: Adapter) -> bytes:
    is_on = adapter.card.interrupts.moderation_ns != 0
    state = InterruptModerationState.ENABLED if is_on else InterruptModerationState.DISABLED
    return InterruptModeration(state).pack()


def _none_counted(_: Adapter) -> bytes:
    """The medium has no collisions, alignment errors or lost carrier, and the FCS is not the card's."""
    return _ulong(0)


_QUERIES: dict[int, Query] = {
    OID.GEN_TRANSMIT_BUFFER_SPACE: _transmit_space,
    OID.GEN_RECEIVE_BUFFER_SPACE: _receive_space,
    OID.GEN_TRANSMIT_BLOCK_SIZE: lambda adapter: _ulong(adapter.card.frame_bytes),
    OID.GEN_RECEIVE_BLOCK_SIZE: lambda adapter: _ulong(adapter.card.frame_bytes),
    OID.GEN_VENDOR_ID: _vendor_id,
    OID.GEN_VENDOR_DESCRIPTION: lambda adapter: VENDOR_DESCRIPTION,
    OID.GEN_MAXIMUM_TOTAL_SIZE: lambda adapter: _ulong(adapter.card.frame_bytes),
    OID.GEN_VENDOR_DRIVER_VERSION: lambda adapter: _ulong(DRIVER_VERSION),
    OID.GEN_INTERRUPT_MODERATION: _moderation,
    OID.GEN_VLAN_ID: lambda adapter: _ulong(adapter.card.filter.vlan_id),
    OID.GEN_STATISTICS: lambda adapter: adapter.card.statistics.info().pack(),
    OID.GEN_TRANSMIT_QUEUE_LENGTH: lambda adapter: _ulong(adapter.card.packets_outstanding),
    OID.GEN_RCV_CRC_ERROR: _none_counted,
    OID.O802_3_RCV_ERROR_ALIGNMENT: _none_counted,
    OID.O802_3_XMIT_ONE_COLLISION: _none_counted,
    OID.O802_3_XMIT_MORE_COLLISIONS: _none_counted,
    OID.O802_3_XMIT_DEFERRED: _none_counted,
    OID.O802_3_XMIT_MAX_COLLISIONS: _none_counted,
    OID.O802_3_RCV_OVERRUN: lambda adapter: _ulong(adapter.card.statistics.counters()["RX_DROP_BUFFER"]),
    OID.O802_3_XMIT_UNDERRUN: _none_counted,
    OID.O802_3_XMIT_HEARTBEAT_FAILURE: _none_counted,
    OID.O802_3_XMIT_TIMES_CRS_LOST: _none_counted,
    OID.O802_3_XMIT_LATE_COLLISIONS: _none_counted,
    OID.TCP_TASK_OFFLOAD: lambda adapter: adapter.card.offloads.task_offload().pack(),
    OID.TCP4_OFFLOAD_STATS: lambda adapter: adapter.card.chimney_statistics.pack("TCP4"),
    OID.TCP6_OFFLOAD_STATS: lambda adapter: adapter.card.chimney_statistics.pack("TCP6"),
    OID.IP4_OFFLOAD_STATS: lambda adapter: adapter.card.chimney_statistics.pack("IP4"),
    OID.IP6_OFFLOAD_STATS: lambda adapter: adapter.card.chimney_statistics.pack("IP6"),
}

# -- sets ------------------------------------------------------------------------------------------------


def _set_lookahead(adapter: Adapter, data: bytes) -> None:
    """Frames are indicated whole, so any lookahead up to the MTU is had."""
    if _read_ulong(data) > adapter.card.frame_bytes:
        raise bad_data("OID_GEN_CURRENT_LOOKAHEAD", f"{_read_ulong(data)} bytes")


def _set_moderation(adapter: Adapter, data: bytes) -> None:
    state = InterruptModeration.parse(data).state
    if state not in (InterruptModerationState.ENABLED, InterruptModerationState.DISABLED):
        raise bad_data("NDIS_INTERRUPT_MODERATION_PARAMETERS", f"InterruptModeration {state.name}")
    adapter.card.interrupts.set_moderation(MODERATION_NS if state is InterruptModerationState.ENABLED else 0)


def _set_vlan_id(adapter: Adapter, data: bytes) -> None:
    if not adapter.card.has_tags:
        raise StructureError(NDIS_STATUS.NOT_SUPPORTED, "*PriorityVLANTag is off")
    adapter.card.filter.set_vlan_id(_read_ulong(data))


def _set_link_parameters(_: Adapter, data: bytes) -> None:
    """The card negotiates; only a wish for that, or for what it has anyway, can be granted."""
    wanted = LinkParameters.parse(data)
    is_fixed = LINK_SPEED_UNKNOWN not in (wanted.xmit_speed_bps, wanted.rcv_speed_bps)
    if is_fixed or wanted.duplex is MediaDuplexState.HALF:
        raise StructureError(NDIS_STATUS.NOT_SUPPORTED, "the link is negotiated")


def _set_split(adapter: Adapter, data: bytes) -> None:
    """NDIS_HD_SPLIT_PARAMETERS: header and flags; the card always has all headers in one buffer."""
    parse_header("NDIS_HD_SPLIT_PARAMETERS", data, ObjectType.DEFAULT, {1: 8})
    if not adapter.card.is_split:
        raise StructureError(NDIS_STATUS.NOT_SUPPORTED, "*HeaderDataSplit is off")
    if struct.unpack_from("<I", data, 4)[0] & ~_COMBINE_ALL_HEADERS:
        raise bad_data("NDIS_HD_SPLIT_PARAMETERS", "unknown HDSplitCombineFlags")


def _set_offload_parameters(adapter: Adapter, data: bytes) -> None:
    wanted = OffloadParameters.parse(data)
    connections = adapter.card.chimney_settings
    asked = (wanted.tcp_connection_ipv4, wanted.tcp_connection_ipv6)
    if Switch.ENABLED in asked and (connections is None or connections.wants_too_much(wanted)):
        raise StructureError(NDIS_STATUS.NOT_SUPPORTED, "connection offload")
    adapter.card.offloads.set_parameters(data)
    if connections is not None:
        connections.take_switches(wanted)
    _tell_offloads(adapter)


def _set_connection_parameters(adapter: Adapter, data: bytes) -> None:
    """NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS; the card latches them while nothing is offloaded."""
    wanted = TcpConnectionOffloadParameters.parse(data)
    chimney = adapter.card.chimney
    if chimney is None:
        raise StructureError(NDIS_STATUS.NOT_SUPPORTED, "connection offload")
    if chimney.has_objects or chimney.commands.outstanding:
        raise StructureError(NDIS_STATUS.INVALID_STATE, "connections are offloaded")
    before, chimney.settings.parameters = chimney.settings.parameters, wanted
    try:
        chimney.restart()
    except RingFault:
        chimney.settings.parameters = before
        chimney.restart()
        raise bad_data(TcpConnectionOffloadParameters.NAME, "the card refuses them") from None


def _clear_offload_stats(group: str) -> Set:
    return lambda adapter, _: adapter.card.chimney_statistics.clear(group)


def _set_encapsulation(adapter: Adapter, data: bytes) -> None:
    adapter.card.offloads.set_encapsulation(data)
    _tell_offloads(adapter)


def _set_task_offload(adapter: Adapter, data: bytes) -> None:
    adapter.card.offloads.set_task_offload(data)
    _tell_offloads(adapter)


def _tell_offloads(adapter: Adapter) -> None:
    """After a change the current configuration is indicated."""
    adapter.card.write_options()
    current = adapter.card.offloads.current.pack()
    adapter.handle.m_indicate_status_ex(
        StatusIndication(NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG, current, adapter.handle)
    )


def _ignore(_: Adapter, __: bytes) -> None:
    """Information that the card has no use for."""


#: Each with the bytes that it must have.
_SETS: dict[int, tuple[int, Set]] = {
    OID.GEN_CURRENT_PACKET_FILTER: (
        4,
        lambda adapter, data: adapter.card.filter.set_packet_filter(_read_ulong(data)),
    ),
    OID.GEN_CURRENT_LOOKAHEAD: (4, _set_lookahead),
    OID.GEN_NETWORK_LAYER_ADDRESSES: (8, _ignore),
    OID.GEN_MACHINE_NAME: (0, _ignore),
    OID.GEN_INTERRUPT_MODERATION: (InterruptModeration.SIZE, _set_moderation),
    OID.GEN_VLAN_ID: (4, _set_vlan_id),
    OID.GEN_LINK_PARAMETERS: (LinkParameters.SIZE, _set_link_parameters),
    OID.GEN_RECEIVE_SCALE_PARAMETERS: (28, lambda adapter, data: adapter.card.scaling.set_parameters(data)),
    OID.GEN_RECEIVE_HASH: (20, lambda adapter, data: adapter.card.scaling.set_receive_hash(data)),
    OID.GEN_HD_SPLIT_PARAMETERS: (8, _set_split),
    OID.O802_3_MULTICAST_LIST: (0, lambda adapter, data: adapter.card.filter.set_multicast(data)),
    OID.TCP_TASK_OFFLOAD: (28, _set_task_offload),
    OID.TCP_OFFLOAD_PARAMETERS: (20, _set_offload_parameters),
    OID.TCP_CONNECTION_OFFLOAD_PARAMETERS: (TcpConnectionOffloadParameters.SIZE, _set_connection_parameters),
    OID.TCP4_OFFLOAD_STATS: (0, _clear_offload_stats("TCP4")),
    OID.TCP6_OFFLOAD_STATS: (0, _clear_offload_stats("TCP6")),
    OID.IP4_OFFLOAD_STATS: (0, _clear_offload_stats("IP4")),
    OID.IP6_OFFLOAD_STATS: (0, _clear_offload_stats("IP6")),
    OID.OFFLOAD_ENCAPSULATION: (28, _set_encapsulation),
    OID.PNP_SET_POWER: (4, lambda adapter, data: adapter.set_power(DevicePowerState.parse(data))),
    OID.PNP_QUERY_POWER: (4, lambda adapter, data: _check_power(data)),
}


def _check_power(data: bytes) -> None:
    DevicePowerState.parse(data)


#: Only with a chimney.
_CHIMNEY_OIDS = {
    OID.TCP_CONNECTION_OFFLOAD_PARAMETERS,
    OID.TCP4_OFFLOAD_STATS,
    OID.TCP6_OFFLOAD_STATS,
    OID.IP4_OFFLOAD_STATS,
    OID.IP6_OFFLOAD_STATS,
}


def needs_power(request: OidRequest) -> bool:
    """Whether the card must be in D0 for a request: every set but that of power writes registers."""
    return not request.is_query and request.oid not in (OID.PNP_SET_POWER, OID.PNP_QUERY_POWER)


def supported_oids(adapter: Adapter) -> tuple[int, ...]:
    """SupportedOidList, for the features that are switched on."""
    absent: set[int] = set() if adapter.card.is_split else {OID.GEN_HD_SPLIT_PARAMETERS}
    if not adapter.card.scaling.is_offered:
        absent.add(OID.GEN_RECEIVE_SCALE_PARAMETERS)
    if adapter.card.chimney_settings is None:
        absent |= _CHIMNEY_OIDS
    return tuple(sorted({*_QUERIES, *_SETS} - absent))


def answer(adapter: Adapter, request: OidRequest) -> NDIS_STATUS:
    """Complete a request at once; no OID of this driver pends."""
    try:
        if request.is_query:
            return _answer_query(adapter, request)
        return _answer_set(adapter, request)
    except StructureError as error:
        return error.fail(request)


def _is_absent(adapter: Adapter, request: OidRequest) -> bool:
    return request.oid in _CHIMNEY_OIDS and adapter.card.chimney_settings is None


def _answer_query(adapter: Adapter, request: OidRequest) -> NDIS_STATUS:
    produce = None if _is_absent(adapter, request) else _QUERIES.get(request.oid)
    if request.oid == OID.PNP_QUERY_POWER:
        return request.accept(4)
    return NDIS_STATUS.NOT_SUPPORTED if produce is None else request.answer(produce(adapter))


def _answer_set(adapter: Adapter, request: OidRequest) -> NDIS_STATUS:
    known = None if _is_absent(adapter, request) else _SETS.get(request.oid)
    if known is None:
        return NDIS_STATUS.NOT_SUPPORTED
    size, change = known
    if request.accept(size) != NDIS_STATUS.SUCCESS:
        return NDIS_STATUS.INVALID_LENGTH
    change(adapter, request.data)
    request.bytes_read = request.buffer_length
    return NDIS_STATUS.SUCCESS
