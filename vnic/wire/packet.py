"""Builders of packets, right by default and wrong wherever an argument says so.

Every builder returns bytes. Addresses are text, packed bytes or ipaddress objects. A field that is computed
(lengths, checksums, offsets) takes its computed value when the argument is None and the argument's otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from vnic.wire import checksum

Address = str | bytes | IPv4Address | IPv6Address

MAC_A = "02:00:00:00:00:0a"
MAC_B = "02:00:00:00:00:0b"
BROADCAST = "ff:ff:ff:ff:ff:ff"

ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_VLAN = 0x0800, 0x0806, 0x8100
ETHERTYPE_IPV6, ETHERTYPE_QINQ = 0x86DD, 0x88A8
ICMP, TCP, UDP, ICMPV6, NO_NEXT_HEADER = 1, 6, 17, 58, 59
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
DONT_FRAGMENT, MORE_FRAGMENTS = 0x4000, 0x2000


def packed(address: Address) -> bytes:
    """The 4 or 16 bytes of an IP address."""
    return address if isinstance(address, bytes) else ip_address(address).packed


def mac(address: str | bytes) -> bytes:
    """The 6 bytes of an Ethernet address."""
    return address if isinstance(address, bytes) else bytes.fromhex(address.replace(":", ""))


def ethernet(
    payload: bytes,
    *,
    ethertype: int | None = None,
    source: str | bytes = MAC_A,
    destination: str | bytes = MAC_B,
    tags: Sequence[tuple[int, int]] = (),
    min_len: int = 0,
) -> bytes:
    """A frame without FCS; the EtherType is that of the IP version when None.

    tags are (TPID, TCI) pairs, outermost first. min_len pads with zeros, 60 being Ethernet's minimum.
    """
    if ethertype is None:
        ethertype = ETHERTYPE_IPV6 if payload[:1] >= b"\x60" else ETHERTYPE_IPV4
    stack = b"".join(struct.pack("!HH", tpid, tci) for tpid, tci in tags)
    frame = mac(destination) + mac(source) + stack + struct.pack("!H", ethertype) + payload
    return frame.ljust(min_len, b"\0")


def arp(
    source: Address,
    target: Address,
    *,
    operation: int = 1,
    source_mac: str | bytes = MAC_A,
    target_mac: str | bytes = bytes(6),
) -> bytes:
    """An ARP packet for IPv4 over Ethernet. RFC 826."""
    head = struct.pack("!HHBBH", 1, ETHERTYPE_IPV4, 6, 4, operation)
    return head + mac(source_mac) + packed(source) + mac(target_mac) + packed(target)


def ipv4(
    source: Address,
    destination: Address,
    proto: int,
    payload: bytes,
    *,
    options: bytes = b"",
    tos: int = 0,
    identification: int = 0,
    fragment: int = DONT_FRAGMENT,
    ttl: int = 64,
    version: int = 4,
    ihl: int | None = None,
    total_len: int | None = None,
    header_checksum: int | None = None,
) -> bytes:
    """An IPv4 datagram. options are padded to words; fragment is the 16-bit flags and offset field."""
    options += bytes(-len(options) % 4)
    first = version << 4 | (5 + len(options) // 4 if ihl is None else ihl)
    total = 20 + len(options) + len(payload) if total_len is None else total_len
    head = struct.pack("!BBHHHBB", first, tos, total & 0xFFFF, identification, fragment, ttl, proto)
    tail = packed(source) + packed(destination) + options
    value = checksum.internet(head + b"\0\0" + tail) if header_checksum is None else header_checksum
    return head + value.to_bytes(2) + tail + payload


def ipv4_fragments(datagram: bytes, payload_len: int) -> list[bytes]:
    """Cuts a datagram without options into fragments of payload_len bytes, a multiple of 8. RFC 791."""
    identification, payload = int.from_bytes(datagram[4:6]), datagram[20:]
    fragments = []
    for at in range(0, len(payload), payload_len):
        more = MORE_FRAGMENTS if at + payload_len < len(payload) else 0
        fragments.append(
            ipv4(
                datagram[12:16],
                datagram[16:20],
                datagram[9],
                payload[at : at + payload_len],
                identification=identification,
                fragment=more | at // 8,
                ttl=datagram[8],
                tos=datagram[1],
            )
        )
    return fragments


def ipv6(
    source: Address,
    destination: Address,
    proto: int,
    payload: bytes,
    *,
    extensions: Iterable[tuple[int, bytes]] = (),
    traffic_class: int = 0,
    flow_label: int = 0,
    hop_limit: int = 64,
    version: int = 6,
    payload_len: int | None = None,
) -> bytes:
    """An IPv6 datagram; extensions are (type, body) pairs, body[0] being replaced by the next header."""
    chain = list(extensions)
    types = [kind for kind, _ in chain] + [proto]
    following = types[1:]
    bodies = b"".join(bytes([after]) + body[1:] for (_, body), after in zip(chain, following, strict=True))
    length = len(bodies) + len(payload) if payload_len is None else payload_len
    word = version << 28 | traffic_class << 20 | flow_label
    head = struct.pack("!IHBB", word, length & 0xFFFF, types[0], hop_limit)
    return head + packed(source) + packed(destination) + bodies + payload


def options_header(options: bytes) -> bytes:
    """The body of a Hop-by-Hop or Destination Options header, padded with PadN. RFC 8200 4.3, 4.6."""
    missing = -(2 + len(options)) % 8
    padding = b"\0" if missing == 1 else bytes([1, missing - 2]) + bytes(missing - 2) if missing else b""
    body = options + padding
    return bytes([0, (2 + len(body)) // 8 - 1]) + body


def home_address_option(address: Address) -> bytes:
    """A Home Address option with the padding that aligns it at 8n + 6. RFC 6275 6.3."""
    return bytes([1, 2, 0, 0, 0xC9, 16]) + packed(address)


def routing_header(address: Address, *, kind: int = 2, segments_left: int = 1) -> bytes:
    """The body of a Routing header with one address; type 2 is that of RFC 6275 6.4."""
    return bytes([0, 2, kind, segments_left, 0, 0, 0, 0]) + packed(address)


def fragment_header(offset: int, *, more: bool, identification: int = 1) -> bytes:
    """The body of a Fragment header; offset in bytes, a multiple of 8. RFC 8200 4.5."""
    return struct.pack("!BBHI", 0, 0, offset | more, identification)


def authentication_header(icv: bytes = bytes(12)) -> bytes:
    """The body of an Authentication header. RFC 4302 2."""
    return struct.pack("!BBHII", 0, (12 + len(icv)) // 4 - 2, 0, 1, 1) + icv


def tcp(
    source: Address,
    destination: Address,
    source_port: int,
    destination_port: int,
    payload: bytes = b"",
    *,
    seq: int = 0,
    ack: int = 0,
    flags: int = ACK,
    window: int = 65535,
    urgent: int = 0,
    options: bytes = b"",
    data_offset: int | None = None,
    field: int | None = None,
) -> bytes:
    """A TCP segment; the addresses are those of its pseudo header, field its checksum. RFC 9293 3.1."""
    options += bytes(-len(options) % 4)
    words = 5 + len(options) // 4 if data_offset is None else data_offset
    head = struct.pack("!HHIIBBH", source_port, destination_port, seq, ack, words << 4 & 0xFF, flags, window)
    tail = urgent.to_bytes(2) + options + payload
    value = _transport(source, destination, TCP, head + b"\0\0" + tail) if field is None else field
    return head + value.to_bytes(2) + tail


def udp(
    source: Address,
    destination: Address,
    source_port: int,
    destination_port: int,
    payload: bytes = b"",
    *,
    length: int | None = None,
    field: int | None = None,
) -> bytes:
    """A UDP datagram; field is the checksum field, 0 meaning none. RFC 768."""
    length = 8 + len(payload) if length is None else length
    head = struct.pack("!HHH", source_port, destination_port, length & 0xFFFF)
    value = _transport(source, destination, UDP, head + b"\0\0" + payload) if field is None else field
    return head + value.to_bytes(2) + payload


def icmp(kind: int, code: int, body: bytes, *, field: int | None = None) -> bytes:
    """An ICMP message; body starts after the checksum. RFC 792."""
    value = checksum.internet(bytes([kind, code, 0, 0]) + body) if field is None else field
    return bytes([kind, code]) + value.to_bytes(2) + body


def icmpv6(
    source: Address, destination: Address, kind: int, code: int, body: bytes, *, field: int | None = None
) -> bytes:
    """An ICMPv6 message; body starts after the checksum. RFC 4443 2.1."""
    if field is None:
        field = _transport(source, destination, ICMPV6, bytes([kind, code, 0, 0]) + body)
    return bytes([kind, code]) + field.to_bytes(2) + body


def _transport(source: Address, destination: Address, proto: int, segment: bytes) -> int:
    return checksum.transport(packed(source), packed(destination), proto, segment)
