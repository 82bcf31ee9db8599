"""What a C driver tells NDIS of its adapter: attributes and link state out of C structures."""

from __future__ import annotations

from vnic.ndis.attributes import (
    AttributeFlag,
    GeneralAttributes,
    MacOption,
    OffloadAttributes,
    RegistrationAttributes,
)
from vnic.ndis.offload import Offload
from vnic.ndis.oid import PacketFilter
from vnic.ndis.rss import ReceiveScaleCapabilities, RssCapability
from vnic.ndis.structures import (
    AutoNegotiation,
    LinkState,
    MediaConnectState,
    MediaDuplexState,
    PauseFunctions,
    PnpCapabilities,
)
from vnic.testbench.c_driver.declarations import C, declared

__all__ = ["general_attributes", "link_state", "offload_attributes", "registration_attributes"]

_OIDS_MAX = 1024
_NEGOTIATED = AutoNegotiation.XMIT_LINK_SPEED | AutoNegotiation.RCV_LINK_SPEED | AutoNegotiation.DUPLEX


def registration_attributes(given: C, context: object) -> RegistrationAttributes:
    """NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES."""
    return RegistrationAttributes(context, AttributeFlag(given.flags), given.check_for_hang_s)


def link_state(given: C) -> LinkState:
    """NDIS_LINK_STATE; ValueError for states that NDIS does not have."""
    connect, duplex = MediaConnectState(given.connect), MediaDuplexState(given.duplex)
    is_up = connect is MediaConnectState.CONNECTED
    negotiated = _NEGOTIATED if is_up else AutoNegotiation.NONE
    return LinkState(
        connect, duplex, given.speed_bps, given.speed_bps, PauseFunctions.UNSUPPORTED, negotiated
    )


def general_attributes(given: C) -> GeneralAttributes:
    """NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES; ValueError for values that NDIS does not have."""
    link = link_state(given.link)
    if given.supported_oid_count > _OIDS_MAX or not given.supported_oids:
        raise ValueError(f"supported_oids: {given.supported_oid_count} at {given.supported_oids}")
    oids = declared().unpack(given.supported_oids, given.supported_oid_count)
    return GeneralAttributes(
        permanent_mac_address=bytes(given.permanent_mac_address),
        current_mac_address=bytes(given.current_mac_address),
        mtu_size=given.mtu_size,
        max_link_speed_bps=given.max_link_speed_bps,
        link_speed_bps=link.xmit_speed_bps,
        connect_state=link.connect,
        duplex_state=link.duplex,
        lookahead_size=given.lookahead_size,
        mac_options=MacOption(given.mac_options),
        supported_packet_filters=PacketFilter(given.supported_packet_filters),
        max_multicast_list_size=given.max_multicast_list_size,
        pause_functions=link.pause,
        supported_oids=tuple(oids),
        auto_negotiation=link.auto_negotiation,
        receive_scale=_receive_scale(given.receive_scale),
        power=PnpCapabilities() if given.has_power_management else None,
    )


def _receive_scale(given: C) -> ReceiveScaleCapabilities | None:
    if not given:
        return None
    flags = RssCapability(given.flags)
    return ReceiveScaleCapabilities(
        flags, given.interrupt_messages, given.receive_queues, given.table_entries
    )


def offload_attributes(given: C) -> OffloadAttributes:
    """NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES; StructureError for bytes that are no NDIS_OFFLOAD."""
    default, hardware = (
        Offload.parse(bytes(declared().buffer(each, given.len)) if each else b"")
        for each in (given.default_config, given.hardware)
    )
    return OffloadAttributes(default, hardware)
