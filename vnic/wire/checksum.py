"""The Internet checksum by the book: the reference of the C paths."""

from __future__ import annotations

import struct

PROTO_TCP = 6
PROTO_UDP = 17


def total(data: bytes) -> int:
    """The one's-complement sum of the 16-bit big-endian words, odd data padded with a zero. RFC 1071."""
    padded = data + bytes(len(data) % 2)
    plain = sum(word for (word,) in struct.iter_unpack("!H", padded))
    # Addition with end-around carry is arithmetic modulo 0xffff in which only the sum of zeros is zero.
    return (plain - 1) % 0xFFFF + 1 if plain else 0


def internet(data: bytes) -> int:
    """What a checksum field over data holds, its own bytes being zero in data."""
    return 0xFFFF - total(data)


def pseudo_ipv4(source: bytes, destination: bytes, proto: int, length: int) -> bytes:
    """The IPv4 pseudo header: 12 bytes. RFC 9293 3.1."""
    return source + destination + struct.pack("!BBH", 0, proto, length)


def pseudo_ipv6(source: bytes, destination: bytes, proto: int, length: int) -> bytes:
    """The IPv6 pseudo header: 40 bytes. RFC 8200 8.1."""
    return source + destination + struct.pack("!I3xB", length, proto)


def pseudo(source: bytes, destination: bytes, proto: int, length: int) -> bytes:
    """The pseudo header of the version that the addresses have; ValueError when they differ."""
    if len(source) != len(destination):
        raise ValueError("addresses of two IP versions")
    maker = pseudo_ipv4 if len(source) == 4 else pseudo_ipv6
    return maker(source, destination, proto, length)


def transport(source: bytes, destination: bytes, proto: int, segment: bytes) -> int:
    """The TCP, UDP or ICMPv6 checksum of a segment whose checksum field is zero; UDP never gives 0."""
    value = internet(pseudo(source, destination, proto, len(segment)) + segment)
    return 0xFFFF if proto == PROTO_UDP and value == 0 else value
