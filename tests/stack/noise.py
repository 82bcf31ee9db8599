"""Frames that are nearly right: one of every kind that the stack knows, and seeded damage."""

from __future__ import annotations

import struct
from random import Random

from tests.stack.world import (
    ALL_NODES,
    OUR_LINK_LOCAL,
    OUR_MAC,
    PEER,
    PEER6,
    PEER_LINK_LOCAL,
    PEER_MAC,
    US,
    US6,
    group_mac,
    solicited_node,
)
from vnic.wire import checksum, packet

PADDING = packet.options_header(b"\1\4\0\0\0\0")
OURS4 = packet.ipv4(US, PEER, packet.UDP, packet.udp(US, PEER, 9, 7, b"question"))
OURS6 = packet.ipv6(US6, PEER6, packet.UDP, packet.udp(US6, PEER6, 9, 7, b"question"))
PREFIX = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 100, 50, 0) + packet.packed("2001:db8:1::")


def to_us(datagram: bytes, destination: bytes = OUR_MAC) -> bytes:
    """A frame from the peer."""
    return packet.ethernet(datagram, source=PEER_MAC, destination=destination)


def arps() -> list[bytes]:
    """Requests, replies, probes, announcements, conflicts."""
    bodies = [
        packet.arp(source, target, operation=operation, source_mac=PEER_MAC)
        for operation in (1, 2)
        for source, target in ((PEER, US), ("0.0.0.0", US), (US, US), (PEER, PEER))
    ]
    return [
        packet.ethernet(body, ethertype=packet.ETHERTYPE_ARP, source=PEER_MAC, destination=mac)
        for body in bodies
        for mac in (OUR_MAC, b"\xff" * 6)
    ]


def icmpv6(kind: int, body: bytes, destination: str = OUR_LINK_LOCAL, code: int = 0) -> bytes:
    """A frame with a message from the peer's link-local address and hop limit 255."""
    message = packet.icmpv6(PEER_LINK_LOCAL, destination, kind, code, body)
    datagram = packet.ipv6(PEER_LINK_LOCAL, destination, packet.ICMPV6, message, hop_limit=255)
    return to_us(datagram, group_mac(destination) if destination.startswith("ff") else OUR_MAC)


def discovery() -> list[bytes]:
    """Every message of Neighbor Discovery."""
    option = b"\1\1" + PEER_MAC
    frames = [
        icmpv6(134, struct.pack("!BBHII", 64, 0, 60, 1000, 500) + option + PREFIX, ALL_NODES),
        icmpv6(134, struct.pack("!BBHII", 0, 0, 0, 0, 0) + struct.pack("!BBHI", 5, 1, 0, 1300), ALL_NODES),
        icmpv6(137, bytes(4) + packet.packed("fe80::9") + packet.packed(PEER6)),
    ]
    for target in (US6, OUR_LINK_LOCAL):
        frames.append(icmpv6(135, bytes(4) + packet.packed(target) + option, solicited_node(target)))
    for flags in (0, 0x20, 0x60, 0xE0):
        body = bytes([flags, 0, 0, 0]) + packet.packed(PEER6) + b"\2\1" + PEER_MAC
        frames.append(icmpv6(136, body))
    return frames


def datagrams() -> list[bytes]:
    """Echo, UDP, TCP, unknown protocols and errors, with and without options and extension headers."""
    echo = packet.icmp(8, 0, b"\0\1\0\1data")
    echo6 = packet.icmpv6(PEER6, US6, 128, 0, b"\0\1\0\1data")
    unknown = packet.options_header(b"\x9e\2\0\0")
    chains = [
        [(0, PADDING)],
        [(60, unknown)],
        [(0, PADDING), (60, PADDING), (43, packet.routing_header(US6)), (60, PADDING)],
        [(44, packet.fragment_header(0, more=False)), (60, PADDING)],
    ]
    return [
        to_us(packet.ipv4(PEER, US, packet.ICMP, echo)),
        to_us(packet.ipv4(PEER, US, packet.ICMP, echo, options=b"\x94\4\0\0\1\1\1\0")),
        to_us(packet.ipv6(PEER6, US6, packet.ICMPV6, echo6)),
        *[to_us(packet.ipv6(PEER6, US6, packet.ICMPV6, echo6, extensions=chain)) for chain in chains],
        *[to_us(packet.ipv4(PEER, US, 17, packet.udp(PEER, US, 7, port, b"data"))) for port in (9, 10)],
        *[to_us(packet.ipv6(PEER6, US6, 17, packet.udp(PEER6, US6, 7, port, b"x"))) for port in (9, 10)],
        to_us(packet.ipv4(PEER, US, 6, packet.tcp(PEER, US, 7, 9, flags=packet.SYN))),
        to_us(packet.ipv6(PEER6, US6, 6, packet.tcp(PEER6, US6, 7, 9, flags=packet.SYN))),
        to_us(packet.ipv4(PEER, US, 132, bytes(20))),
        *[
            to_us(packet.ipv4(PEER, US, 1, packet.icmp(kind, 3, struct.pack("!I", 1300) + OURS4)))
            for kind in (3, 4, 11, 12)
        ],
        *[icmpv6(kind, struct.pack("!I", 1300) + OURS6, US6) for kind in (1, 2, 3, 4)],
    ]


def fragments() -> list[bytes]:
    """Datagrams in pieces, and pieces that overlap them."""
    frames = []
    whole = packet.udp(PEER, US, 7, 9, bytes(200))
    whole6 = packet.udp(PEER6, US6, 7, 9, bytes(200))
    for at, length in ((0, 48), (96, 48), (144, 64), (48, 48), (0, 48), (40, 16), (96, 200)):
        more = at + length < 208
        field = (packet.MORE_FRAGMENTS if more else 0) | at // 8
        part, part6 = whole[at : at + length], whole6[at : at + length]
        extension = (packet.FRAGMENT, packet.fragment_header(at, more=more))
        frames.append(to_us(packet.ipv4(PEER, US, 17, part, fragment=field)))
        frames.append(to_us(packet.ipv6(PEER6, US6, 17, part6, extensions=[extension])))
    return frames


def corpus() -> list[bytes]:
    """One of everything."""
    return [*arps(), *discovery(), *datagrams(), *fragments()]


def mend(frame: bytearray) -> None:
    """Makes the IPv4 header's checksum right, and that of ICMP behind a plain header."""
    kind, ip = int.from_bytes(frame[12:14]), frame[14:]
    if kind == packet.ETHERTYPE_IPV4 and len(ip) >= 28:
        header = (ip[0] & 15) * 4
        ip[10:12] = b"\0\0"
        ip[10:12] = checksum.internet(bytes(ip[:header])).to_bytes(2)
        if ip[9] == packet.ICMP and header + 4 <= len(ip):
            ip[header + 2 : header + 4] = b"\0\0"
            ip[header + 2 : header + 4] = checksum.internet(bytes(ip[header:])).to_bytes(2)
    elif kind == packet.ETHERTYPE_IPV6 and len(ip) >= 48 and ip[6] == packet.ICMPV6:
        ip[42:44] = b"\0\0"
        value = checksum.transport(bytes(ip[8:24]), bytes(ip[24:40]), packet.ICMPV6, bytes(ip[40:]))
        ip[42:44] = value.to_bytes(2)
    frame[14:] = ip


def damage(random: Random, frame: bytes) -> bytes:
    """The frame with some bytes changed, cut or added; half of them with right checksums."""
    damaged = bytearray(frame)
    for _ in range(random.randrange(4)):
        at = random.randrange(14, min(len(damaged), 90)) if random.random() < 0.9 else random.randrange(14)
        damaged[at] = (
            random.randrange(256) if random.random() < 0.5 else damaged[at] ^ 1 << random.randrange(8)
        )
    if random.random() < 0.1:
        del damaged[random.randrange(len(damaged)) :]
    elif random.random() < 0.1:
        damaged += random.randbytes(random.randrange(64))
    if random.random() < 0.8:
        mend(damaged)
    return bytes(damaged)
