"""NDIS 6 structures of task and connection offload: capabilities, current configuration, parameters."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields
from enum import IntEnum, IntFlag
from typing import ClassVar

from vnic.ndis.structures import ObjectType, bad_data, pack_header, parse_header


class Encapsulation(IntFlag):
    """NDIS_ENCAPSULATION_*."""

    NOT_SUPPORTED = 0
    NULL = 1
    IEEE_802_3 = 2
    IEEE_802_3_P_AND_Q = 4
    IEEE_802_3_P_AND_Q_IN_OOB = 8
    IEEE_LLC_SNAP_ROUTED = 16


class Supported(IntEnum):
    """NDIS_OFFLOAD_NOT_SUPPORTED / _SUPPORTED in a 2-bit field."""

    NO = 0
    YES = 1


def _pack_bits(*values: bool) -> int:
    """2-bit fields from the least significant bit on."""
    return sum(int(value) << 2 * place for place, value in enumerate(values))


def _unpack_bits(word: int, count: int) -> list[bool]:
    return [(word >> 2 * place & 3) == Supported.YES for place in range(count)]


@dataclass(frozen=True, slots=True)
class ChecksumOffload:
    """One direction of NDIS_TCP_IP_CHECKSUM_OFFLOAD; for IPv6 `ip_options` are extension headers."""

    encapsulation: int = 0
    ip_options: bool = False
    tcp_options: bool = False
    tcp_checksum: bool = False
    udp_checksum: bool = False
    ip_checksum: bool = False

    def pack(self) -> bytes:
        """8 bytes."""
        bits = (self.ip_options, self.tcp_options, self.tcp_checksum, self.udp_checksum, self.ip_checksum)
        return struct.pack("<II", self.encapsulation, _pack_bits(*bits))

    @classmethod
    def parse(cls, data: bytes, offset: int) -> ChecksumOffload:
        """Read 8 bytes at `offset`."""
        encapsulation, word = struct.unpack_from("<II", data, offset)
        return cls(encapsulation, *_unpack_bits(word, 5))


@dataclass(frozen=True, slots=True)
class LargeSendV1:
    """NDIS_TCP_LARGE_SEND_OFFLOAD_V1."""

    encapsulation: int = 0
    max_offload_size: int = 0
    min_segment_count: int = 0
    tcp_options: bool = False
    ip_options: bool = False

    def pack(self) -> bytes:
        """16 bytes."""
        bits = _pack_bits(self.tcp_options, self.ip_options)
        return struct.pack("<IIII", self.encapsulation, self.max_offload_size, self.min_segment_count, bits)

    @classmethod
    def parse(cls, data: bytes, offset: int) -> LargeSendV1:
        """Read 16 bytes at `offset`."""
        encapsulation, size, count, word = struct.unpack_from("<IIII", data, offset)
        return cls(encapsulation, size, count, *_unpack_bits(word, 2))


@dataclass(frozen=True, slots=True)
class LargeSendV2:
    """NDIS_TCP_LARGE_SEND_OFFLOAD_V2; sizes in bytes of TCP payload."""

    ipv4_encapsulation: int = 0
    ipv4_max_offload_size: int = 0
    ipv4_min_segment_count: int = 0
    ipv6_encapsulation: int = 0
    ipv6_max_offload_size: int = 0
    ipv6_min_segment_count: int = 0
    ipv6_extension_headers: bool = False
    ipv6_tcp_options: bool = False

    def pack(self) -> bytes:
        """28 bytes."""
        sizes = [getattr(self, each.name) for each in fields(self)[:6]]
        return struct.pack("<7I", *sizes, _pack_bits(self.ipv6_extension_headers, self.ipv6_tcp_options))

    @classmethod
    def parse(cls, data: bytes, offset: int) -> LargeSendV2:
        """Read 28 bytes at `offset`."""
        *sizes, word = struct.unpack_from("<7I", data, offset)
        return cls(*sizes, *_unpack_bits(word, 2))


@dataclass(frozen=True, slots=True)
class Offload:
    """NDIS_OFFLOAD revision 1: what hardware can do, or what is enabled now; IPsec is never offered here."""

    ipv4_transmit: ChecksumOffload = field(default_factory=ChecksumOffload)
    ipv4_receive: ChecksumOffload = field(default_factory=ChecksumOffload)
    ipv6_transmit: ChecksumOffload = field(default_factory=ChecksumOffload)
    ipv6_receive: ChecksumOffload = field(default_factory=ChecksumOffload)
    lso_v1: LargeSendV1 = field(default_factory=LargeSendV1)
    lso_v2: LargeSendV2 = field(default_factory=LargeSendV2)
    flags: int = 0

    SIZE: ClassVar[int] = 112

    def pack(self) -> bytes:
        """112 bytes; NDIS_IPSEC_OFFLOAD_V1 (28 bytes) is zero."""
        checksums = (self.ipv4_transmit, self.ipv4_receive, self.ipv6_transmit, self.ipv6_receive)
        body = (
            b"".join(each.pack() for each in checksums) + self.lso_v1.pack() + bytes(28) + self.lso_v2.pack()
        )
        return pack_header(ObjectType.OFFLOAD, 1, self.SIZE) + body + struct.pack("<I", self.flags)

    @classmethod
    def parse(cls, data: bytes) -> Offload:
        """Raises StructureError."""
        parse_header("NDIS_OFFLOAD", data, ObjectType.OFFLOAD, {1: cls.SIZE})
        return cls(
            ChecksumOffload.parse(data, 4),
            ChecksumOffload.parse(data, 12),
            ChecksumOffload.parse(data, 20),
            ChecksumOffload.parse(data, 28),
            LargeSendV1.parse(data, 36),
            LargeSendV2.parse(data, 80),
            int.from_bytes(data[108:112], "little"),
        )

    def exceeds(self, other: Offload) -> list[str]:
        """Members by which this configuration claims more than `other` (the hardware) can do."""
        mine, theirs = _flat(self), _flat(other)
        return [name for name, value in mine.items() if not _is_within(name, value, theirs[name])]


def _flat(offload: Offload) -> dict[str, int]:
    values: dict[str, int] = {}
    for part in fields(offload):
        inner = getattr(offload, part.name)
        if part.name != "flags":
            values |= {f"{part.name}.{each.name}": int(getattr(inner, each.name)) for each in fields(inner)}
    return values


def _is_within(name: str, value: int, limit: int) -> bool:
    if "encapsulation" in name:
        return value & ~limit == 0
    if "min_segment_count" in name:
        return value == 0 or value >= limit
    return value <= limit


class Toggle(IntEnum):
    """NDIS_OFFLOAD_PARAMETERS_*: of a checksum member."""

    NO_CHANGE = 0
    TX_RX_DISABLED = 1
    TX_ENABLED_RX_DISABLED = 2
    RX_ENABLED_TX_DISABLED = 3
    TX_RX_ENABLED = 4


class Switch(IntEnum):
    """NDIS_OFFLOAD_PARAMETERS_*: of an LSO or connection-offload member."""

    NO_CHANGE = 0
    DISABLED = 1
    ENABLED = 2


@dataclass(frozen=True, slots=True)
class OffloadParameters:
    """NDIS_OFFLOAD_PARAMETERS, revisions 1 and 2; zero everywhere is "no change"."""

    ipv4_checksum: Toggle = Toggle.NO_CHANGE
    tcp_ipv4_checksum: Toggle = Toggle.NO_CHANGE
    udp_ipv4_checksum: Toggle = Toggle.NO_CHANGE
    tcp_ipv6_checksum: Toggle = Toggle.NO_CHANGE
    udp_ipv6_checksum: Toggle = Toggle.NO_CHANGE
    lso_v1: Switch = Switch.NO_CHANGE
    lso_v2_ipv4: Switch = Switch.NO_CHANGE
    lso_v2_ipv6: Switch = Switch.NO_CHANGE
    tcp_connection_ipv4: Switch = Switch.NO_CHANGE
    tcp_connection_ipv6: Switch = Switch.NO_CHANGE
    flags: int = 0

    NAME: ClassVar[str] = "NDIS_OFFLOAD_PARAMETERS"
    SIZES: ClassVar[dict[int, int]] = {1: 20, 2: 22}

    def pack(self) -> bytes:
        """20 bytes, revision 1."""
        members = [getattr(self, each.name) for each in fields(self)[:10]]
        members.insert(6, 0)  # IPsecV1
        return pack_header(ObjectType.DEFAULT, 1, 20) + struct.pack("<11BxI", *members, self.flags)

    @classmethod
    def parse(cls, data: bytes) -> OffloadParameters:
        """Raises StructureError INVALID_LENGTH, INVALID_DATA; a wish for IPsec is INVALID_DATA."""
        revision = parse_header(cls.NAME, data, ObjectType.DEFAULT, cls.SIZES)
        *members, flags = struct.unpack_from("<11BxI", data, 4)
        ipsec = [members.pop(6)] + (list(data[20:22]) if revision > 1 else [])
        if max(ipsec) > 1:  # neither NO_CHANGE nor DISABLED
            raise bad_data(cls.NAME, "IPsec offload asked for")
        try:
            v4, tcp4, udp4, tcp6, udp6 = map(Toggle, members[:5])
            lso1, lso4, lso6, connection4, connection6 = map(Switch, members[5:])
        except ValueError as error:
            raise bad_data(cls.NAME, str(error)) from None
        return cls(v4, tcp4, udp4, tcp6, udp6, lso1, lso4, lso6, connection4, connection6, flags)


@dataclass(frozen=True, slots=True)
class OffloadEncapsulation:
    """NDIS_OFFLOAD_ENCAPSULATION: switches task offloads on for one header format per IP version.

    `enabled`: 0 no change, 1 on, 2 off (NDIS_OFFLOAD_SET_*).
    """

    ipv4_enabled: int = 0
    ipv4_type: int = 0
    ipv4_header_size: int = 0
    ipv6_enabled: int = 0
    ipv6_type: int = 0
    ipv6_header_size: int = 0

    NAME: ClassVar[str] = "NDIS_OFFLOAD_ENCAPSULATION"
    SIZE: ClassVar[int] = 28

    def pack(self) -> bytes:
        """28 bytes, revision 1."""
        members = [getattr(self, each.name) for each in fields(self)]
        return pack_header(ObjectType.OFFLOAD_ENCAPSULATION, 1, self.SIZE) + struct.pack("<6I", *members)

    @classmethod
    def parse(cls, data: bytes) -> OffloadEncapsulation:
        """Raises StructureError."""
        parse_header(cls.NAME, data, ObjectType.OFFLOAD_ENCAPSULATION, {1: cls.SIZE})
        found = cls(*struct.unpack_from("<6I", data, 4))
        if max(found.ipv4_enabled, found.ipv6_enabled) > 2:
            raise bad_data(cls.NAME, "Enabled out of range")
        return found


@dataclass(frozen=True, slots=True)
class TcpConnectionOffload:
    """NDIS_TCP_CONNECTION_OFFLOAD: chimney capability; `capacity` counts IPv4 and IPv6 together."""

    encapsulation: int = 0
    ipv4: bool = False
    ipv6: bool = False
    ipv6_extension_headers: bool = False
    sack: bool = False
    congestion_algorithm: int = 0
    capacity: int = 0
    flags: int = 0

    SIZE: ClassVar[int] = 20

    def pack(self) -> bytes:
        """20 bytes, revision 1."""
        bits = _pack_bits(self.ipv4, self.ipv6, self.ipv6_extension_headers, self.sack)
        bits |= (self.congestion_algorithm & 15) << 8
        body = struct.pack("<IIII", self.encapsulation, bits, self.capacity, self.flags)
        return pack_header(ObjectType.DEFAULT, 1, self.SIZE) + body

    @classmethod
    def parse(cls, data: bytes) -> TcpConnectionOffload:
        """Raises StructureError."""
        parse_header("NDIS_TCP_CONNECTION_OFFLOAD", data, ObjectType.DEFAULT, {1: cls.SIZE})
        encapsulation, bits, capacity, flags = struct.unpack_from("<IIII", data, 4)
        ipv4, ipv6, extension_headers, sack = _unpack_bits(bits, 4)
        return cls(encapsulation, ipv4, ipv6, extension_headers, sack, bits >> 8 & 15, capacity, flags)


@dataclass(frozen=True, slots=True)
class TcpConnectionOffloadParameters:
    """NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS: constants of all offloaded connections, times in ticks."""

    encapsulation: int = Encapsulation.IEEE_802_3
    ticks_per_second: int = 1000
    ack_frequency: int = 2
    delayed_ack_ticks: int = 200
    maximum_retransmissions: int = 5
    doubt_reachability_retransmissions: int = 3
    sws_prevention_ticks: int = 0
    duplicate_ack_threshold: int = 3
    push_ticks: int = 500
    nce_stale_ticks: int = 30_000

    NAME: ClassVar[str] = "NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS"
    SIZE: ClassVar[int] = 32

    def pack(self) -> bytes:
        """32 bytes, revision 1."""
        members = [getattr(self, each.name) for each in fields(self)]
        return pack_header(ObjectType.DEFAULT, 1, self.SIZE) + struct.pack("<II4B4I", *members)

    @classmethod
    def parse(cls, data: bytes) -> TcpConnectionOffloadParameters:
        """Raises StructureError; TicksPerSecond is 10, 100 or 1000."""
        parse_header(cls.NAME, data, ObjectType.DEFAULT, {1: cls.SIZE})
        found = cls(*struct.unpack_from("<II4B4I", data, 4))
        if found.ticks_per_second not in (10, 100, 1000):
            raise bad_data(cls.NAME, f"TicksPerSecond {found.ticks_per_second}")
        if not found.encapsulation & (Encapsulation.IEEE_802_3 | Encapsulation.IEEE_LLC_SNAP_ROUTED):
            raise bad_data(cls.NAME, f"Encapsulation {found.encapsulation}")
        return found
