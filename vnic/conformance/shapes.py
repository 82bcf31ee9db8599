"""Frames of every shape that a card tells apart: versions, options, extensions, fragments, damage."""

from __future__ import annotations

from vnic.testbench.frames import ADDRESSES, Tags, datagram, ethernet, plain_frame, tcp_frame, udp_frame
from vnic.wire import packet

_CARE_OF = "2001:db8:99::5"
_TAG: Tags = ((0x8100, 0x6005),)
_DATA = bytes(range(1, 90))


def _extended(data: bytes, *extensions: tuple[int, bytes], proto: int = packet.TCP) -> bytes:
    """TCP or UDP behind IPv6 extension headers; its checksum is over the header's own addresses."""
    source, destination = ADDRESSES[6]
    maker = packet.tcp if proto == packet.TCP else packet.udp
    inner = maker(source, destination, 40000, 80, data)
    return ethernet(datagram(6, proto, inner, extensions=extensions))


def _mobile(data: bytes, *extensions: tuple[int, bytes], source: str = "", destination: str = "") -> bytes:
    """TCP whose checksum is over the final addresses."""
    own, peer = ADDRESSES[6]
    inner = packet.tcp(source or own, destination or peer, 40000, 80, data)
    return ethernet(datagram(6, packet.TCP, inner, extensions=extensions))


def _ipv4(data: bytes) -> dict[str, bytes]:
    found = {
        "TCP over IPv4": tcp_frame(data),
        "UDP over IPv4": udp_frame(data),
        "IPv4 without transport": ethernet(datagram(4, packet.ICMP, data)),
        "TCP over IPv4 with a tag": tcp_frame(data, tags=_TAG),
        "TCP with options": tcp_frame(data, options=b"\x01\x01\x08\x0a" + bytes(8)),
        "UDP without a checksum": udp_frame(data, field=0),
        "UDP of length 7": udp_frame(data, length=7),
        "UDP beyond its datagram": udp_frame(data, length=len(data) + 9),
        "UDP shorter than its datagram": udp_frame(data, length=len(data), field=0x1234),
        "a total length beyond the frame": tcp_frame(data, ip={"total_len": 400}),
        "a total length below the header": tcp_frame(data, ip={"total_len": 19}),
        "a wrong IPv4 header checksum": tcp_frame(data, ip={"header_checksum": 0x1234}),
        "a wrong TCP checksum": tcp_frame(data, field=0x1234),
        "a wrong UDP checksum": udp_frame(data, field=0x1234),
        "IHL 4": tcp_frame(data, ip={"ihl": 4}),
        "version 5": tcp_frame(data, ip={"version": 5}),
        "a data offset of 4": tcp_frame(data, data_offset=4),
        "a data offset beyond the segment": tcp_frame(b"", data_offset=15),
    }
    for length in (4, 20, 40):
        found[f"{length} bytes of IPv4 options, TCP"] = tcp_frame(data, ip={"options": b"\x01" * length})
        found[f"{length} bytes of IPv4 options, UDP"] = udp_frame(data, ip={"options": b"\x01" * length})
    for name, word in (("first", 0x2000), ("middle", 0x2010), ("last", 0x0010)):
        found[f"a {name} fragment over IPv4"] = tcp_frame(data, ip={"fragment": word})
    return found


def _ipv6(data: bytes) -> dict[str, bytes]:
    hops = packet.options_header(b"\x05\x02\0\0")
    found = {
        "TCP over IPv6": tcp_frame(data, version=6),
        "UDP over IPv6": udp_frame(data, version=6),
        "TCP over IPv6 with a tag": tcp_frame(data, version=6, tags=_TAG),
        "IPv6 without transport": ethernet(datagram(6, packet.ICMPV6, data)),
        "no next header": ethernet(datagram(6, packet.NO_NEXT_HEADER, b"")),
        "UDP over IPv6 without a checksum": udp_frame(data, version=6, field=0),
        "a wrong TCP checksum over IPv6": tcp_frame(data, version=6, field=0x1234),
        "a payload length beyond the frame": tcp_frame(data, version=6, ip={"payload_len": 400}),
        "TCP behind hop-by-hop options": _extended(data, (packet.HOP_BY_HOP, hops)),
        "UDP behind hop-by-hop options": _extended(data, (packet.HOP_BY_HOP, hops), proto=packet.UDP),
        "TCP behind destination options": _extended(data, (packet.DESTINATION, hops)),
        "TCP behind an authentication header": _extended(
            data, (packet.AUTHENTICATION, packet.authentication_header())
        ),
        "TCP behind eight extension headers": _extended(data, *[(packet.DESTINATION, hops)] * 8),
        "TCP behind nine extension headers": _extended(data, *[(packet.DESTINATION, hops)] * 9),
        "a home address": _mobile(
            data,
            (packet.DESTINATION, packet.options_header(packet.home_address_option(_CARE_OF))),
            source=_CARE_OF,
        ),
        "a type 2 routing header": _mobile(
            data, (packet.ROUTING, packet.routing_header(_CARE_OF)), destination=_CARE_OF
        ),
        "both": _mobile(
            data,
            (packet.ROUTING, packet.routing_header(_CARE_OF)),
            (packet.DESTINATION, packet.options_header(packet.home_address_option("2001:db8:77::1"))),
            source="2001:db8:77::1",
            destination=_CARE_OF,
        ),
        "a routing header that is used up": _mobile(
            data, (packet.ROUTING, packet.routing_header(_CARE_OF, segments_left=0))
        ),
        "a routing header of another type": _mobile(
            data, (packet.ROUTING, packet.routing_header(_CARE_OF, kind=0))
        ),
    }
    for name, offset, more in (("first", 0, True), ("middle", 64, True), ("last", 64, False)):
        header = packet.fragment_header(offset, more=more)
        found[f"a {name} fragment over IPv6"] = _extended(data, (packet.FRAGMENT, header))
    found["an atomic fragment"] = _extended(data, (packet.FRAGMENT, packet.fragment_header(0, more=False)))
    return found


def _padded(frame: bytes) -> bytes:
    """Behind its datagram bytes that are no part of it."""
    return frame.ljust(60, b"\xa5") + b"\xa5" * 3


def shapes() -> dict[str, bytes]:
    """By what they are; all addressed to the card of a rig."""
    others = {
        "a short TCP segment, padded": tcp_frame(b"x", min_len=60),
        "a short UDP datagram, padded": udp_frame(b"x", min_len=60),
        "neither IPv4 nor IPv6": plain_frame(100, 1),
        "14 bytes": plain_frame(14, 2),
        "a tag and nothing behind it": plain_frame(12) + b"\x81\0\0\x05",
        "two tags": tcp_frame(_DATA, tags=((0x88A8, 3), (0x8100, 4))),
        "IPv4 in 20 bytes": tcp_frame(_DATA)[:33],
        "IPv6 in 39 bytes": tcp_frame(_DATA, version=6)[:53],
    }
    found = _ipv4(_DATA) | _ipv6(_DATA)
    short = _ipv4(b"y") | _ipv6(b"y")
    return found | {f"{name}, short": _padded(frame) for name, frame in short.items()} | others


def trains() -> list[list[bytes]]:
    """Frames that are alike but for their numbers: what a card may take together."""
    found = []
    for version in (4, 6):
        for make in (tcp_frame, udp_frame):
            found.append(
                [
                    make(bytes((n * 7 + i) & 0xFF for i in range(200)), version=version, ports=(5000 + n, 80))
                    for n in range(24)
                ]
            )
    return found
