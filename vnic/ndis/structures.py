"""NDIS structures as bytes: the object header with its rules, link state, statistics, moderation, power.

Layouts are those of a 64-bit Windows, little-endian. parse() of hostile bytes raises StructureError with the
status that a driver returns for them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum, IntFlag
from typing import ClassVar

from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS


class StructureError(ValueError):
    """Bytes that are not the structure expected; `status` and `bytes_needed` are what the request gets."""

    def __init__(self, status: NDIS_STATUS, message: str, bytes_needed: int = 0) -> None:
        super().__init__(f"{message} ({status})")
        self.status = status
        self.bytes_needed = bytes_needed

    def fail(self, request: OidRequest) -> NDIS_STATUS:
        """Put the sizes in the request; returns the status to complete it with."""
        request.bytes_read = request.bytes_written = 0
        request.bytes_needed = self.bytes_needed
        return self.status


def too_short(name: str, length: int, needed: int) -> StructureError:
    """A buffer of `length` bytes where `needed` are required."""
    return StructureError(NDIS_STATUS.INVALID_LENGTH, f"{name}: {length} bytes, {needed} needed", needed)


def bad_data(name: str, message: str) -> StructureError:
    """A value out of its range."""
    return StructureError(NDIS_STATUS.INVALID_DATA, f"{name}: {message}")


class ObjectType(IntEnum):
    """NDIS_OBJECT_TYPE_* in the Type of an NDIS_OBJECT_HEADER."""

    DEFAULT = 0x80
    RSS_CAPABILITIES = 0x88
    RSS_PARAMETERS = 0x89
    OID_REQUEST = 0x96
    STATUS_INDICATION = 0x98
    MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES = 0x9E
    MINIPORT_ADAPTER_GENERAL_ATTRIBUTES = 0x9F
    MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES = 0xA0
    OFFLOAD = 0xA7
    OFFLOAD_ENCAPSULATION = 0xA8


def pack_header(kind: ObjectType, revision: int, size: int) -> bytes:
    """NDIS_OBJECT_HEADER, 4 bytes."""
    return struct.pack("<BBH", kind, revision, size)


def parse_header(name: str, data: bytes, kind: ObjectType, sizes: Mapping[int, int]) -> int:
    """Check an object header against `sizes` (revision -> bytes); returns the revision to read it as.

    A revision newer than the newest known is read as that one. Raises StructureError: INVALID_LENGTH for a
    buffer or Size too small, INVALID_DATA for another type, BAD_VERSION for revision 0.
    """
    least = min(sizes.values())
    revision: int
    if len(data) < least:
        raise too_short(name, len(data), least)
    found, revision, size = struct.unpack_from("<BBH", data)
    if found != kind:
        raise bad_data(name, f"object type 0x{found:02X} instead of 0x{kind:02X}")
    if revision < 1:
        raise StructureError(NDIS_STATUS.BAD_VERSION, f"{name}: revision {revision}")
    revision = min(revision, max(sizes))
    if size < sizes[revision] or len(data) < sizes[revision]:
        raise too_short(name, min(size, len(data)), sizes[revision])
    return revision


class MediaConnectState(IntEnum):
    """NET_IF_MEDIA_CONNECT_STATE."""

    UNKNOWN = 0
    CONNECTED = 1
    DISCONNECTED = 2


class MediaDuplexState(IntEnum):
    """NET_IF_MEDIA_DUPLEX_STATE."""

    UNKNOWN = 0
    HALF = 1
    FULL = 2


class PauseFunctions(IntEnum):
    """NDIS_SUPPORTED_PAUSE_FUNCTIONS."""

    UNSUPPORTED = 0
    SEND_ONLY = 1
    RECEIVE_ONLY = 2
    SEND_AND_RECEIVE = 3
    UNKNOWN = 4


class AutoNegotiation(IntFlag):
    """NDIS_LINK_STATE_*_AUTO_NEGOTIATED."""

    NONE = 0
    XMIT_LINK_SPEED = 1
    RCV_LINK_SPEED = 2
    DUPLEX = 4
    PAUSE_FUNCTIONS = 8


LINK_SPEED_UNKNOWN = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class LinkState:
    """NDIS_LINK_STATE; speeds in bit/s."""

    connect: MediaConnectState = MediaConnectState.UNKNOWN
    duplex: MediaDuplexState = MediaDuplexState.UNKNOWN
    xmit_speed_bps: int = LINK_SPEED_UNKNOWN
    rcv_speed_bps: int = LINK_SPEED_UNKNOWN
    pause: PauseFunctions = PauseFunctions.UNKNOWN
    auto_negotiation: AutoNegotiation = AutoNegotiation.NONE

    SIZE: ClassVar[int] = 40
    _BODY: ClassVar[struct.Struct] = struct.Struct("<IIIQQII")

    def pack(self) -> bytes:
        """40 bytes, revision 1; 4 bytes of padding before the speeds."""
        return pack_header(ObjectType.DEFAULT, 1, self.SIZE) + self._BODY.pack(
            self.connect,
            self.duplex,
            0,
            self.xmit_speed_bps,
            self.rcv_speed_bps,
            self.pause,
            self.auto_negotiation,
        )

    @classmethod
    def parse(cls, data: bytes) -> LinkState:
        """Raises StructureError."""
        parse_header("NDIS_LINK_STATE", data, ObjectType.DEFAULT, {1: cls.SIZE})
        connect, duplex, _, xmit, rcv, pause, auto = cls._BODY.unpack_from(data, 4)
        try:
            states = MediaConnectState(connect), MediaDuplexState(duplex), PauseFunctions(pause)
        except ValueError as error:
            raise bad_data("NDIS_LINK_STATE", str(error)) from None
        return cls(states[0], states[1], xmit, rcv, states[2], AutoNegotiation(auto & 0xF))


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """NDIS_LINK_PARAMETERS of OID_GEN_LINK_PARAMETERS; speeds in bit/s."""

    duplex: MediaDuplexState = MediaDuplexState.UNKNOWN
    xmit_speed_bps: int = LINK_SPEED_UNKNOWN
    rcv_speed_bps: int = LINK_SPEED_UNKNOWN
    pause: PauseFunctions = PauseFunctions.UNKNOWN
    auto_negotiation: AutoNegotiation = AutoNegotiation.NONE

    SIZE: ClassVar[int] = 32
    _BODY: ClassVar[struct.Struct] = struct.Struct("<IQQII")

    def pack(self) -> bytes:
        """32 bytes, revision 1."""
        return pack_header(ObjectType.DEFAULT, 1, self.SIZE) + self._BODY.pack(
            self.duplex, self.xmit_speed_bps, self.rcv_speed_bps, self.pause, self.auto_negotiation
        )

    @classmethod
    def parse(cls, data: bytes) -> LinkParameters:
        """Raises StructureError."""
        parse_header("NDIS_LINK_PARAMETERS", data, ObjectType.DEFAULT, {1: cls.SIZE})
        duplex, xmit, rcv, pause, auto = cls._BODY.unpack_from(data, 4)
        try:
            return cls(
                MediaDuplexState(duplex), xmit, rcv, PauseFunctions(pause), AutoNegotiation(auto & 0xF)
            )
        except ValueError as error:
            raise bad_data("NDIS_LINK_PARAMETERS", str(error)) from None


@dataclass(slots=True)
class StatisticsInfo:
    """NDIS_STATISTICS_INFO; the fields' order is the structure's."""

    supported: int = 0x003F87FF
    if_in_discards: int = 0
    if_in_errors: int = 0
    if_hc_in_octets: int = 0
    if_hc_in_ucast_pkts: int = 0
    if_hc_in_multicast_pkts: int = 0
    if_hc_in_broadcast_pkts: int = 0
    if_hc_out_octets: int = 0
    if_hc_out_ucast_pkts: int = 0
    if_hc_out_multicast_pkts: int = 0
    if_hc_out_broadcast_pkts: int = 0
    if_out_errors: int = 0
    if_out_discards: int = 0
    if_hc_in_ucast_octets: int = 0
    if_hc_in_multicast_octets: int = 0
    if_hc_in_broadcast_octets: int = 0
    if_hc_out_ucast_octets: int = 0
    if_hc_out_multicast_octets: int = 0
    if_hc_out_broadcast_octets: int = 0

    SIZE: ClassVar[int] = 152
    #: The bits an NDIS 6 driver sets: it must support every statistic.
    ALL: ClassVar[int] = 0x003F87FF

    def pack(self) -> bytes:
        """152 bytes, revision 1; counters modulo 2^64."""
        counters = [getattr(self, each.name) & (1 << 64) - 1 for each in fields(self)[1:]]
        body = struct.pack("<I18Q", self.supported, *counters)
        return pack_header(ObjectType.DEFAULT, 1, self.SIZE) + body

    @classmethod
    def parse(cls, data: bytes) -> StatisticsInfo:
        """Raises StructureError."""
        parse_header("NDIS_STATISTICS_INFO", data, ObjectType.DEFAULT, {1: cls.SIZE})
        return cls(*struct.unpack_from("<I18Q", data, 4))


class InterruptModerationState(IntEnum):
    """NDIS_INTERRUPT_MODERATION."""

    UNKNOWN = 0
    NOT_SUPPORTED = 1
    ENABLED = 2
    DISABLED = 3


@dataclass(frozen=True, slots=True)
class InterruptModeration:
    """NDIS_INTERRUPT_MODERATION_PARAMETERS; flags: 1 change needs reset, 2 change needs reinitialize."""

    state: InterruptModerationState
    flags: int = 0

    SIZE: ClassVar[int] = 12

    def pack(self) -> bytes:
        """12 bytes, revision 1."""
        return pack_header(ObjectType.DEFAULT, 1, self.SIZE) + struct.pack("<II", self.flags, self.state)

    @classmethod
    def parse(cls, data: bytes) -> InterruptModeration:
        """Raises StructureError."""
        parse_header("NDIS_INTERRUPT_MODERATION_PARAMETERS", data, ObjectType.DEFAULT, {1: cls.SIZE})
        flags, state = struct.unpack_from("<II", data, 4)
        if state > InterruptModerationState.DISABLED:
            raise bad_data("NDIS_INTERRUPT_MODERATION_PARAMETERS", f"InterruptModeration {state}")
        return cls(InterruptModerationState(state), flags)


class DevicePowerState(IntEnum):
    """NDIS_DEVICE_POWER_STATE; the buffer of OID_PNP_SET_POWER is one ULONG of it."""

    UNSPECIFIED = 0
    D0 = 1
    D1 = 2
    D2 = 3
    D3 = 4

    @classmethod
    def parse(cls, data: bytes) -> DevicePowerState:
        """Raises StructureError; UNSPECIFIED is no state to go to."""
        if len(data) < 4:
            raise too_short("NDIS_DEVICE_POWER_STATE", len(data), 4)
        value = int.from_bytes(data[:4], "little")
        if not cls.D0 <= value <= cls.D3:
            raise bad_data("NDIS_DEVICE_POWER_STATE", str(value))
        return cls(value)


@dataclass(frozen=True, slots=True)
class PnpCapabilities:
    """NDIS_PNP_CAPABILITIES: the lowest state from which each wake-up event still works."""

    flags: int = 0
    min_magic_packet_wake_up: DevicePowerState = DevicePowerState.UNSPECIFIED
    min_pattern_wake_up: DevicePowerState = DevicePowerState.UNSPECIFIED
    min_link_change_wake_up: DevicePowerState = DevicePowerState.UNSPECIFIED

    SIZE: ClassVar[int] = 16

    def pack(self) -> bytes:
        """16 bytes, no object header."""
        wake = (self.min_magic_packet_wake_up, self.min_pattern_wake_up, self.min_link_change_wake_up)
        return struct.pack("<IIII", self.flags, *wake)


@dataclass(frozen=True, slots=True)
class StatusIndication:
    """NDIS_STATUS_INDICATION; `destination_handle` and `request_id` answer an INDICATION_REQUIRED request."""

    status: int
    buffer: bytes = b""
    source_handle: object = None
    destination_handle: object = None
    request_id: int = 0
    port: int = 0


def parse_multicast_list(data: bytes, limit: int) -> tuple[bytes, ...]:
    """The addresses of OID_802_3_MULTICAST_LIST; raises StructureError INVALID_LENGTH or MULTICAST_FULL."""
    if len(data) % 6:
        raise too_short("OID_802_3_MULTICAST_LIST", len(data), -(-len(data) // 6) * 6)
    addresses = tuple(data[at : at + 6] for at in range(0, len(data), 6))
    if len(addresses) > limit:
        raise StructureError(
            NDIS_STATUS.MULTICAST_FULL, f"{len(addresses)} addresses, {limit} fit", limit * 6
        )
    for address in addresses:
        if not address[0] & 1:
            raise bad_data("OID_802_3_MULTICAST_LIST", f"{address.hex(':')} is no multicast address")
    return addresses


@dataclass(frozen=True, slots=True)
class PauseParameters:
    """NDIS_MINIPORT_PAUSE_PARAMETERS; flag 1: the pause prepares for low power."""

    flags: int = 0
    reason: int = 0


@dataclass(frozen=True, slots=True)
class RestartParameters:
    """NDIS_MINIPORT_RESTART_PARAMETERS; attributes an upper driver asks the miniport to restart with."""

    flags: int = 0
    attributes: dict[str, object] = field(default_factory=dict)
