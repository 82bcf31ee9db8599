"""What a miniport tells NDIS of its adapter: the NDIS_MINIPORT_ADAPTER_*_ATTRIBUTES and their values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from vnic.ndis.offload import Offload, TcpConnectionOffload
from vnic.ndis.oid import PacketFilter
from vnic.ndis.rss import ReceiveScaleCapabilities
from vnic.ndis.structures import (
    AutoNegotiation,
    LinkState,
    MediaConnectState,
    MediaDuplexState,
    PauseFunctions,
    PnpCapabilities,
    StatisticsInfo,
)

MEDIUM_802_3 = 0
PHYSICAL_MEDIUM_802_3 = 14
IF_TYPE_ETHERNET_CSMACD = 6
INTERFACE_PCI = 5


class AttributeFlag(IntFlag):
    """NDIS_MINIPORT_ATTRIBUTES_*."""

    HARDWARE_DEVICE = 0x0001
    NDIS_WDM = 0x0002
    SURPRISE_REMOVE_OK = 0x0004
    NOT_CO_NDIS = 0x0008
    NO_HALT_ON_SUSPEND = 0x0020
    BUS_MASTER = 0x0040
    CONTROLS_DEFAULT_PORT = 0x0080
    NO_PAUSE_ON_SUSPEND = 0x0100


class MacOption(IntFlag):
    """NDIS_MAC_OPTION_*."""

    COPY_LOOKAHEAD_DATA = 0x0001
    TRANSFERS_NOT_PEND = 0x0004
    NO_LOOPBACK = 0x0008
    EIGHT_P1_PRIORITY = 0x0040
    RECEIVE_AT_DPC = 0x0100
    EIGHT_Q1_VLAN = 0x0200


class HaltAction(IntEnum):
    """NDIS_HALT_ACTION."""

    DISABLED = 0
    INSTANCE_DEINITIALIZED = 1
    POWERED_DOWN = 2
    SURPRISE_REMOVED = 3
    FAILED = 4
    INITIALIZATION_FAILED = 5
    STOPPED = 6


class ShutdownAction(IntEnum):
    """NDIS_SHUTDOWN_ACTION."""

    POWER_OFF = 0
    BUG_CHECK = 1


class PnpEvent(IntEnum):
    """NDIS_DEVICE_PNP_EVENT of MiniportDevicePnPEventNotify."""

    QUERY_REMOVED = 0
    REMOVED = 1
    SURPRISE_REMOVED = 2
    QUERY_STOPPED = 3
    STOPPED = 4
    POWER_PROFILE_CHANGED = 5
    FILTER_LIST_CHANGED = 6


@dataclass(frozen=True, slots=True)
class RegistrationAttributes:
    """NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES."""

    context: object = None
    flags: AttributeFlag = AttributeFlag.HARDWARE_DEVICE | AttributeFlag.BUS_MASTER
    check_for_hang_s: int = 0
    interface_type: int = INTERFACE_PCI

    @property
    def check_for_hang_interval_s(self) -> int:
        """What NDIS makes of CheckForHangTimeInSeconds: a multiple of 2 seconds, 2 when none is given."""
        return max(2, self.check_for_hang_s // 2 * 2)


@dataclass(frozen=True, slots=True)
class GeneralAttributes:
    """NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES; speeds in bit/s, MTU without the Ethernet header."""

    permanent_mac_address: bytes
    current_mac_address: bytes
    mtu_size: int = 1500
    max_link_speed_bps: int = 10_000_000_000
    link_speed_bps: int = 10_000_000_000
    connect_state: MediaConnectState = MediaConnectState.DISCONNECTED
    duplex_state: MediaDuplexState = MediaDuplexState.FULL
    lookahead_size: int = 1500
    mac_options: MacOption = MacOption.COPY_LOOKAHEAD_DATA | MacOption.NO_LOOPBACK
    supported_packet_filters: PacketFilter = (
        PacketFilter.DIRECTED | PacketFilter.MULTICAST | PacketFilter.ALL_MULTICAST
        | PacketFilter.BROADCAST | PacketFilter.PROMISCUOUS
    )  # fmt: skip
    max_multicast_list_size: int = 32
    supported_statistics: int = StatisticsInfo.ALL
    pause_functions: PauseFunctions = PauseFunctions.UNSUPPORTED
    supported_oids: tuple[int, ...] = ()
    auto_negotiation: AutoNegotiation = AutoNegotiation.NONE
    receive_scale: ReceiveScaleCapabilities | None = None
    power: PnpCapabilities | None = None
    data_backfill: int = 0
    context_backfill: int = 0

    @property
    def link_state(self) -> LinkState:
        """The link as it was at initialization."""
        speed = self.link_speed_bps
        return LinkState(
            self.connect_state, self.duplex_state, speed, speed, self.pause_functions, self.auto_negotiation
        )

    @property
    def faults(self) -> list[str]:
        """What NDIS would reject."""
        checks = (
            (
                "a MAC address is not 6 bytes",
                {len(self.permanent_mac_address), len(self.current_mac_address)} != {6},
            ),
            ("the current MAC address is a group address", bool(self.current_mac_address[:1][0] & 1)),
            ("an NDIS 6 driver supports every statistic", self.supported_statistics != StatisticsInfo.ALL),
            ("MtuSize is below 46", self.mtu_size < 46),
            ("LookaheadSize is 0", self.lookahead_size < 1),
            ("SupportedOidList is empty", not self.supported_oids),
        )
        return [text for text, is_so in checks if is_so]


@dataclass(frozen=True, slots=True)
class OffloadAttributes:
    """NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES: what is enabled at start, and what the hardware can do."""

    default_config: Offload = field(default_factory=Offload)
    hardware: Offload = field(default_factory=Offload)
    connection_default_config: TcpConnectionOffload | None = None
    connection_hardware: TcpConnectionOffload | None = None


Attributes = RegistrationAttributes | GeneralAttributes | OffloadAttributes
