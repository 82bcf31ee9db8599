"""What the miniport tells NDIS of the adapter at initialization."""

from __future__ import annotations

from vnic.miniport.card import Card
from vnic.miniport.filters import SUPPORTED_FILTERS
from vnic.miniport.link import MAX_SPEED_BPS
from vnic.ndis.attributes import GeneralAttributes, MacOption, OffloadAttributes
from vnic.ndis.structures import PnpCapabilities

_HEADER_BYTES = 14


def offload_attributes(card: Card) -> OffloadAttributes:
    """NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES: task offloads, and the chimney where there is one."""
    connections = card.chimney_settings
    return OffloadAttributes(
        card.offloads.current,
        card.offloads.hardware,
        connections.current if connections is not None else None,
        connections.hardware if connections is not None else None,
    )


def general_attributes(card: Card, supported_oids: tuple[int, ...]) -> GeneralAttributes:
    """NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES of a card that is connected; no wake-up from low power."""
    state = card.link.state
    options = MacOption.COPY_LOOKAHEAD_DATA | MacOption.NO_LOOPBACK | MacOption.TRANSFERS_NOT_PEND
    if card.has_tags:
        options |= MacOption.EIGHT_P1_PRIORITY | MacOption.EIGHT_Q1_VLAN
    interrupts = card.interrupts
    return GeneralAttributes(
        permanent_mac_address=card.capacities.permanent_address,
        current_mac_address=card.station,
        mtu_size=card.frame_bytes - _HEADER_BYTES,
        max_link_speed_bps=MAX_SPEED_BPS,
        link_speed_bps=state.xmit_speed_bps if card.link.is_up else MAX_SPEED_BPS,
        connect_state=state.connect,
        duplex_state=state.duplex,
        lookahead_size=card.frame_bytes - _HEADER_BYTES,
        mac_options=options,
        supported_packet_filters=SUPPORTED_FILTERS,
        max_multicast_list_size=card.filter.list_size,
        pause_functions=state.pause,
        supported_oids=supported_oids,
        auto_negotiation=state.auto_negotiation,
        receive_scale=card.scaling.capabilities(interrupts.kind, interrupts.messages),
        power=PnpCapabilities(),
    )
