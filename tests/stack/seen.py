"""Frames that left the stack, read back: every length and checksum in them is judged on the way."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vnic.wire import checksum, packet

HEADERS = {packet.HOP_BY_HOP, packet.ROUTING, packet.DESTINATION}


@dataclass(frozen=True)
class Arp:
    """An ARP packet. RFC 826."""

    operation: int
    sender_mac: bytes
    sender: bytes
    target_mac: bytes
    target: bytes


@dataclass(frozen=True)
class Datagram:
    """An IP datagram, or a fragment of one (offset in bytes)."""

    source: bytes
    destination: bytes
    proto: int
    ttl: int
    tos: int
    payload: bytes
    identification: int = 0
    dont_fragment: bool = False
    more: bool = False
    offset: int = 0

    @property
    def is_fragment(self) -> bool:
        """Whether it is only a part."""
        return self.more or self.offset > 0


@dataclass(frozen=True)
class Seen:
    """A frame: Ethernet header, what is in it, and what the link was asked to do."""

    raw: bytes
    destination: bytes
    source: bytes
    vlan: int | None
    ethertype: int
    arp: Arp | None
    ip: Datagram | None
    offload_vlan: int
    checksum_start: int
    checksum_offset: int

    @property
    def datagram(self) -> Datagram:
        """The datagram; AssertionError when there is none."""
        assert self.ip is not None
        return self.ip

    @property
    def packet(self) -> Arp:
        """The ARP packet; AssertionError when there is none."""
        assert self.arp is not None
        return self.arp


def read_arp(data: bytes) -> Arp:
    """The packet; AssertionError when it is not IPv4 over Ethernet."""
    head = struct.unpack("!HHBBH", data[:8])
    assert head[:4] == (1, 0x0800, 6, 4), head
    return Arp(head[4], data[8:14], data[14:18], data[18:24], data[24:28])


def read_ipv4(data: bytes) -> Datagram:
    """The datagram; AssertionError when the header is wrong."""
    header_len = (data[0] & 15) * 4
    total = int.from_bytes(data[2:4])
    assert data[0] >> 4 == 4
    assert total == len(data)
    assert checksum.total(data[:header_len]) == 0xFFFF
    field = int.from_bytes(data[6:8])
    return Datagram(
        source=data[12:16],
        destination=data[16:20],
        proto=data[9],
        ttl=data[8],
        tos=data[1],
        payload=data[header_len:],
        identification=int.from_bytes(data[4:6]),
        dont_fragment=bool(field & 0x4000),
        more=bool(field & 0x2000),
        offset=(field & 0x1FFF) * 8,
    )


def read_ipv6(data: bytes) -> Datagram:
    """The datagram; a Fragment header is taken in, other extension headers stay in the payload."""
    word, length, following, hop_limit = struct.unpack("!IHBB", data[:8])
    assert word >> 28 == 6
    assert length == len(data) - 40
    payload, fragment, identification = data[40:], 0, 0
    if following == packet.FRAGMENT:
        following, _, fragment, identification = struct.unpack("!BBHI", payload[:8])
        payload = payload[8:]
    return Datagram(
        source=data[8:24],
        destination=data[24:40],
        proto=following,
        ttl=hop_limit,
        tos=word >> 20 & 0xFF,
        payload=payload,
        identification=identification,
        more=bool(fragment & 1),
        offset=fragment & 0xFFF8,
    )


def judge_transport(datagram: Datagram) -> None:
    """AssertionError when the checksum of a whole datagram is wrong."""
    if datagram.proto == packet.ICMP:
        assert checksum.total(datagram.payload) == 0xFFFF
    elif datagram.proto in (packet.TCP, packet.UDP, packet.ICMPV6):
        pseudo = checksum.pseudo(datagram.source, datagram.destination, datagram.proto, len(datagram.payload))
        assert checksum.total(pseudo + datagram.payload) == 0xFFFF


def read(raw: bytes, vlan: int = 0, checksum_start: int = 0, checksum_offset: int = 0) -> Seen:
    """A frame; the transport checksum is judged unless it is left to the link."""
    at, tag = 12, None
    if raw[12:14] == b"\x81\x00":
        tag, at = int.from_bytes(raw[14:16]), 16
    ethertype = int.from_bytes(raw[at : at + 2])
    body = raw[at + 2 :]
    arp = read_arp(body) if ethertype == packet.ETHERTYPE_ARP else None
    datagram = None
    if ethertype in (packet.ETHERTYPE_IPV4, packet.ETHERTYPE_IPV6):
        datagram = read_ipv4(body) if ethertype == packet.ETHERTYPE_IPV4 else read_ipv6(body)
        if checksum_start == 0 and not datagram.is_fragment:
            judge_transport(datagram)
    return Seen(raw, raw[:6], raw[6:12], tag, ethertype, arp, datagram, vlan, checksum_start, checksum_offset)


def join(fragments: list[Datagram]) -> bytes:
    """The payload that fragments in order make; AssertionError when they do not fit together."""
    payload = b""
    for place, part in enumerate(fragments):
        assert part.offset == len(payload)
        assert part.more == (place < len(fragments) - 1)
        assert part.identification == fragments[0].identification
        payload += part.payload
    return payload
