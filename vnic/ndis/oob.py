"""Out-of-band information of a NET_BUFFER_LIST: its slots, and the 32-bit unions that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Slot(IntEnum):
    """NDIS_NET_BUFFER_LIST_INFO; slots that two features share have one member here."""

    TCP_IP_CHECKSUM = 0  # also TcpOffloadBytesTransferred
    IPSEC_OFFLOAD = 1
    TCP_LARGE_SEND = 2  # also TcpReceiveNoPush
    CLASSIFICATION_HANDLE = 3
    IEEE_8021Q = 4
    CANCEL_ID = 5
    MEDIA_SPECIFIC = 6
    FRAME_TYPE = 7  # also NetBufferListProtocolId
    HASH_VALUE = 8
    HASH_INFO = 9
    WFP = 10
    IPSEC_V2_TUNNEL = 11
    IPSEC_V2_HEADER = 12
    CORRELATION_ID = 13
    FILTERING_INFO = 14
    MEDIA_SPECIFIC_EX = 15
    ORIGINAL_IF_INDEX = 16
    RE_AUTH_WFP_FLOW_CONTEXT = 17
    TCP_RECEIVE_BYTES_TRANSFERRED = 18


#: The chimney's names for slots that it shares with the plain path.
TCP_OFFLOAD_BYTES_TRANSFERRED = Slot.TCP_IP_CHECKSUM
TCP_RECEIVE_NO_PUSH = Slot.TCP_LARGE_SEND


@dataclass(frozen=True, slots=True)
class TransmitChecksum:
    """NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO.Transmit; the offset counts from the start of the packet."""

    is_ipv4: bool = False
    is_ipv6: bool = False
    tcp: bool = False
    udp: bool = False
    ip_header: bool = False
    tcp_header_offset: int = 0

    @property
    def value(self) -> int:
        """The slot's 32 bits."""
        bits = (self.is_ipv4, self.is_ipv6, self.tcp, self.udp, self.ip_header)
        return (
            sum(int(bit) << place for place, bit in enumerate(bits)) | (self.tcp_header_offset & 0x3FF) << 16
        )

    @classmethod
    def of(cls, value: int) -> TransmitChecksum:
        """Read the slot."""
        is_ipv4, is_ipv6, tcp, udp, ip_header = (bool(value >> place & 1) for place in range(5))
        return cls(is_ipv4, is_ipv6, tcp, udp, ip_header, value >> 16 & 0x3FF)


@dataclass(frozen=True, slots=True)
class ReceiveChecksum:
    """NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO.Receive; neither failed nor succeeded = not checked."""

    tcp_failed: bool = False
    udp_failed: bool = False
    ip_failed: bool = False
    tcp_succeeded: bool = False
    udp_succeeded: bool = False
    ip_succeeded: bool = False

    @property
    def value(self) -> int:
        """The slot's 32 bits."""
        failed = (self.tcp_failed, self.udp_failed, self.ip_failed)
        succeeded = (self.tcp_succeeded, self.udp_succeeded, self.ip_succeeded)
        return sum(int(bit) << place for place, bit in enumerate(failed + succeeded))

    @classmethod
    def of(cls, value: int) -> ReceiveChecksum:
        """Read the slot."""
        return cls(*(bool(value >> place & 1) for place in range(6)))

    @property
    def contradictions(self) -> list[str]:
        """Checksums said to have failed and succeeded at once, or TCP and UDP both."""
        pairs = (
            ("TCP failed and succeeded", self.tcp_failed and self.tcp_succeeded),
            ("UDP failed and succeeded", self.udp_failed and self.udp_succeeded),
            ("IP failed and succeeded", self.ip_failed and self.ip_succeeded),
            (
                "TCP and UDP in one packet",
                (self.tcp_failed or self.tcp_succeeded) and (self.udp_failed or self.udp_succeeded),
            ),
        )
        return [text for text, is_so in pairs if is_so]


class LargeSendType(IntEnum):
    """NDIS_TCP_LARGE_SEND_OFFLOAD_V1_TYPE / _V2_TYPE in bit 30."""

    V1 = 0
    V2 = 1


@dataclass(frozen=True, slots=True)
class LargeSend:
    """NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO on its way down; `is_ipv6` belongs to V2.

    An MSS of 0 means that the NBL asks for no segmentation.
    """

    mss: int = 0
    tcp_header_offset: int = 0
    type: LargeSendType = LargeSendType.V2
    is_ipv6: bool = False

    @property
    def value(self) -> int:
        """The slot's 32 bits."""
        low = self.mss & 0xFFFFF | (self.tcp_header_offset & 0x3FF) << 20
        return low | self.type << 30 | int(self.is_ipv6) << 31

    @classmethod
    def of(cls, value: int) -> LargeSend:
        """Read the slot."""
        kind = LargeSendType(value >> 30 & 1)
        return cls(value & 0xFFFFF, value >> 20 & 0x3FF, kind, bool(value >> 31) and kind is LargeSendType.V2)

    def completed(self, payload_bytes: int) -> int:
        """The slot as a miniport leaves it: V1 counts the TCP payload sent, V2 keeps only its type."""
        if self.type is LargeSendType.V1:
            return payload_bytes & 0x3FFFFFFF
        return LargeSendType.V2 << 30


@dataclass(frozen=True, slots=True)
class Vlan:
    """NDIS_NET_BUFFER_LIST_8021Q_INFO."""

    user_priority: int = 0
    canonical_format: bool = False
    vlan_id: int = 0

    @property
    def value(self) -> int:
        """The slot's 32 bits."""
        return self.user_priority & 7 | int(self.canonical_format) << 3 | (self.vlan_id & 0xFFF) << 4

    @classmethod
    def of(cls, value: int) -> Vlan:
        """Read the slot."""
        return cls(value & 7, bool(value >> 3 & 1), value >> 4 & 0xFFF)

    @property
    def tci(self) -> int:
        """The 16 bits of an 802.1Q tag."""
        return self.user_priority << 13 | int(self.canonical_format) << 12 | self.vlan_id
