"""The context descriptor of a send: what its out-of-band information asks for, and where its headers are."""

from __future__ import annotations

from dataclasses import dataclass

from vnic.gen.descriptors import TxContext
from vnic.gen.enums import DescType, L3Kind, L4Kind
from vnic.miniport.offload import LSO_HEADER_MAX
from vnic.ndis.net_buffer_list import NetBuffer, NetBufferList
from vnic.ndis.oob import LargeSend, Slot, TransmitChecksum, Vlan
from vnic.ndis.status import NDIS_STATUS

_ETHERNET_BYTES = 14
_TAG_BYTES = 4
_TAGS = (b"\x81\x00", b"\x88\xa8")
_TAGS_MAX = 2
_IPV6_BYTES = 40
_IPV6_EXTENSIONS = frozenset({0, 43, 60, 135})
_UDP_BYTES = 8
_PRIORITY, _VLAN = 1, 2


class SendError(Exception):
    """The NBL asks for what its packet cannot have; `status` completes it."""

    def __init__(self, status: NDIS_STATUS, message: str) -> None:
        super().__init__(f"{message} ({status})")
        self.status = status


@dataclass(frozen=True, slots=True)
class Tagging:
    """How the adapter tags: the bits of *PriorityVLANTag, and OID_GEN_VLAN_ID (0: none)."""

    mode: int = 0
    vlan_id: int = 0

    def tci(self, asked: Vlan) -> int:
        """The tag to insert; 0 for none."""
        priority = asked.user_priority if self.mode & _PRIORITY else 0
        vlan_id = (asked.vlan_id or self.vlan_id) if self.mode & _VLAN else 0
        canonical = asked.canonical_format and bool(priority or vlan_id)
        return Vlan(priority, canonical, vlan_id).tci


@dataclass(frozen=True, slots=True)
class SendOffload:
    """The offloads of one NBL, the same for all of its NET_BUFFERs."""

    checksum: TransmitChecksum
    large_send: LargeSend
    tci: int

    @classmethod
    def of(cls, nbl: NetBufferList, tagging: Tagging) -> SendOffload:
        """Read the slots."""
        return cls(
            TransmitChecksum.of(nbl.info(Slot.TCP_IP_CHECKSUM)),
            LargeSend.of(nbl.info(Slot.TCP_LARGE_SEND)),
            tagging.tci(Vlan.of(nbl.info(Slot.IEEE_8021Q))),
        )

    @property
    def is_large_send(self) -> bool:
        """Whether segmentation is asked for; MSS 0 says no."""
        return self.large_send.mss != 0

    def context(self, packet: NetBuffer) -> TxContext | None:
        """The descriptor for one packet, None when none is needed. Raises SendError."""
        context = TxContext(type=DescType.CONTEXT, vlan_insert=int(self.tci != 0), vlan_tci=self.tci)
        asked = self.checksum
        if self.is_large_send:
            self._ask_large_send(context, packet)
        elif asked.ip_header or asked.tcp or asked.udp:
            self._ask_checksums(context, packet)
        elif not self.tci:
            return None
        return context

    def _ask_checksums(self, context: TxContext, packet: NetBuffer) -> None:
        asked = self.checksum
        l3 = _network_offset(packet)
        context.l3_offset = l3
        context.l3_kind = L3Kind.IPV6 if asked.is_ipv6 else L3Kind.IPV4
        context.ip_csum = int(asked.ip_header and asked.is_ipv4)
        if asked.tcp or asked.udp:
            named = asked.tcp_header_offset if asked.tcp else 0
            context.l4_offset = _fitting(
                named or _transport_offset(packet, l3, asked.is_ipv6), "transport header"
            )
            context.l4_kind = L4Kind.TCP if asked.tcp else L4Kind.UDP
            context.l4_csum = 1

    def _ask_large_send(self, context: TxContext, packet: NetBuffer) -> None:
        asked = self.large_send
        l4 = _fitting(asked.tcp_header_offset, "TCP header")
        headers = l4 + (_part(packet, l4 + 12, 1)[0] >> 4) * 4
        if headers > LSO_HEADER_MAX or headers >= packet.data_length or asked.mss > 0xFFFF:
            raise SendError(
                NDIS_STATUS.INVALID_PACKET, f"a large send with {headers} bytes of headers, MSS {asked.mss}"
            )
        context.l3_offset = _network_offset(packet)
        context.l3_kind = L3Kind.IPV6 if _part(packet, context.l3_offset, 1)[0] >> 4 == 6 else L3Kind.IPV4
        context.l4_offset, context.l4_kind = l4, L4Kind.TCP
        context.hdr_len, context.mss, context.lso = headers, asked.mss, 1

    def payload(self, packet: NetBuffer, context: TxContext | None) -> int:
        """TCP payload that a large send carries, for LSOv1's report."""
        return packet.data_length - context.hdr_len if context is not None and context.lso else 0


def _part(packet: NetBuffer, offset: int, length: int) -> bytes:
    if offset + length > packet.data_length:
        raise SendError(NDIS_STATUS.INVALID_PACKET, f"headers reach beyond {packet.data_length} bytes")
    return packet.data(offset, length)


def _fitting(offset: int, what: str) -> int:
    if not 0 < offset < 512:
        raise SendError(NDIS_STATUS.INVALID_PACKET, f"{what} at {offset}")
    return offset


def _network_offset(packet: NetBuffer) -> int:
    """Behind the Ethernet header and the tags that the packet carries in band."""
    offset = _ETHERNET_BYTES
    for _ in range(_TAGS_MAX):
        if _part(packet, offset - 2, 2) not in _TAGS:
            break
        offset += _TAG_BYTES
    return offset


def _transport_offset(packet: NetBuffer, l3: int, is_ipv6: bool) -> int:
    """Behind the IP header and its extensions; TcpHeaderOffset says so for TCP, nothing does for UDP."""
    if not is_ipv6:
        return l3 + (_part(packet, l3, 1)[0] & 0xF) * 4
    following, offset = _part(packet, l3 + 6, 1)[0], l3 + _IPV6_BYTES
    while following in _IPV6_EXTENSIONS and offset < 512:
        following, length = _part(packet, offset, 2)
        offset += 8 + 8 * length
    return offset
