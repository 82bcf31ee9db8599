"""What RSS hashes: every combination of enabled types against the reference, and the rules by example."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.wire import packet
from vnic.wire.parse import Frame, HashType, Mark, rss_input

V4 = ("192.0.2.1", "192.0.2.2")
V6 = ("2001:db8::1", "2001:db8::2")
ALL_TYPES = [kind for kind in HashType if kind]
EVERY = sum(ALL_TYPES)
T = HashType


def check(kernels: Any, data: bytes, types: int) -> tuple[HashType, bytes]:
    """Holds C against the reference and returns what that says."""
    expected = rss_input(Frame.parse(data), types)
    assert kernels.rss_input(data, types) == expected
    kind, hashed = expected
    assert kind in ALL_TYPES or (kind, hashed) == (T.NONE, b"")
    assert kind & types == kind
    return expected


def ipv4_frame(proto: int, segment: bytes, **changes: Any) -> bytes:
    return packet.ethernet(packet.ipv4(*V4, proto, segment, **changes))


def ipv6_frame(proto: int, segment: bytes, *extensions: tuple[int, bytes]) -> bytes:
    return packet.ethernet(packet.ipv6(*V6, proto, segment, extensions=extensions))


V4_ADDRESSES = b"".join(map(packet.packed, V4))
V6_ADDRESSES = b"".join(map(packet.packed, V6))
PORTS = b"\x00\x50\x13\x89"
TCP4 = packet.tcp(*V4, 80, 5001, b"data")
UDP4 = packet.udp(*V4, 80, 5001, b"data")
TCP6 = packet.tcp(*V6, 80, 5001, b"data")
UDP6 = packet.udp(*V6, 80, 5001, b"data")
HOME = (packet.DESTINATION, packet.options_header(packet.home_address_option("2001:db8::77")))
ROUTE = (packet.ROUTING, packet.routing_header("2001:db8::99"))


@examples(150)
@given(data=st.data(), types=st.one_of(st.sampled_from(ALL_TYPES), st.integers(0, 0x1FFFF), st.just(EVERY)))
def test_structured_frames(
    kernels: Any, frames: st.SearchStrategy[bytes], data: st.DataObject, types: int
) -> None:
    check(kernels, data.draw(frames), types)


@examples(20)
@given(data=st.data())
def test_every_combination_of_types(
    kernels: Any, frames: st.SearchStrategy[bytes], data: st.DataObject
) -> None:
    frame = data.draw(frames)
    for mask in range(1 << len(ALL_TYPES)):
        types = sum(kind for bit, kind in enumerate(ALL_TYPES) if mask >> bit & 1)
        check(kernels, frame, types)


@pytest.mark.parametrize(
    ("types", "tcp", "udp", "other"),
    [
        (T.IPV4, T.IPV4, T.IPV4, T.IPV4),
        (T.TCP_IPV4, T.TCP_IPV4, T.NONE, T.NONE),
        (T.TCP_IPV4 | T.IPV4, T.TCP_IPV4, T.IPV4, T.IPV4),
        (T.UDP_IPV4 | T.TCP_IPV4, T.TCP_IPV4, T.UDP_IPV4, T.NONE),
        (T.TCP_IPV6 | T.IPV6, T.NONE, T.NONE, T.NONE),
        (T.NONE, T.NONE, T.NONE, T.NONE),
    ],
)
@pytest.mark.parametrize("options", [b"", bytes([7, 11, 4]) + bytes(8)])
def test_ipv4_table(
    kernels: Any, *, types: HashType, tcp: HashType, udp: HashType, other: HashType, options: bytes
) -> None:
    for proto, segment, kind in [
        (packet.TCP, TCP4, tcp),
        (packet.UDP, UDP4, udp),
        (packet.ICMP, packet.icmp(8, 0, bytes(4)), other),
    ]:
        ports = PORTS if kind in (T.TCP_IPV4, T.UDP_IPV4) else b""
        expected = (kind, V4_ADDRESSES + ports if kind else b"")
        assert check(kernels, ipv4_frame(proto, segment, options=options), types) == expected


@pytest.mark.requirement("INV-54")
@pytest.mark.parametrize("fragment", [0x2000, 0x2001, 0x0001])
@pytest.mark.parametrize(("proto", "segment"), [(packet.TCP, TCP4), (packet.UDP, UDP4)])
def test_ipv4_fragments_are_never_hashed_with_ports(
    kernels: Any, fragment: int, proto: int, segment: bytes
) -> None:
    frame = ipv4_frame(proto, segment, fragment=fragment)
    assert check(kernels, frame, T.TCP_IPV4 | T.UDP_IPV4) == (T.NONE, b"")
    assert check(kernels, frame, T.TCP_IPV4 | T.UDP_IPV4 | T.IPV4) == (T.IPV4, V4_ADDRESSES)


@pytest.mark.requirement("INV-54")
@pytest.mark.parametrize(("offset", "more"), [(0, True), (8, True), (8, False)])
def test_ipv6_fragments_are_never_hashed_with_ports(kernels: Any, offset: int, more: bool) -> None:
    frame = ipv6_frame(packet.TCP, TCP6, (packet.FRAGMENT, packet.fragment_header(offset, more=more)))
    assert check(kernels, frame, T.TCP_IPV6 | T.TCP_IPV6_EX) == (T.NONE, b"")
    assert check(kernels, frame, T.TCP_IPV6 | T.IPV6) == (T.IPV6, V6_ADDRESSES)


@pytest.mark.requirement("INV-53")
@pytest.mark.parametrize(
    "frame",
    [
        b"",
        bytes(13),
        packet.ethernet(packet.arp(*V4), ethertype=packet.ETHERTYPE_ARP),
        packet.ethernet(b"\x45", ethertype=packet.ETHERTYPE_IPV4),
        ipv4_frame(packet.TCP, TCP4, version=7),
        ipv4_frame(packet.TCP, TCP4, ihl=4),
        ipv6_frame(packet.TCP, TCP6, *[(packet.DESTINATION, packet.options_header(b""))] * 9),
        ipv6_frame(packet.TCP, TCP6, (packet.DESTINATION, bytes([0, 255, 0, 0, 0, 0, 0, 0]))),
        ipv6_frame(packet.TCP, TCP6, (packet.ROUTING, packet.routing_header("::9")))[:70],
    ],
)
def test_unhashable_frames_have_type_none(kernels: Any, frame: bytes) -> None:
    assert check(kernels, frame, EVERY) == (T.NONE, b"")


@pytest.mark.parametrize("extensions", [[], [HOME], [ROUTE], [ROUTE, HOME]])
@pytest.mark.parametrize(
    ("proto", "segment", "plain", "ex"),
    [
        (packet.TCP, TCP6, T.TCP_IPV6, T.TCP_IPV6_EX),
        (packet.UDP, UDP6, T.UDP_IPV6, T.UDP_IPV6_EX),
        (packet.NO_NEXT_HEADER, b"", T.IPV6, T.IPV6_EX),
    ],
)
def test_mobility_addresses(
    kernels: Any,
    *,
    extensions: list[tuple[int, bytes]],
    proto: int,
    segment: bytes,
    plain: HashType,
    ex: HashType,
) -> None:
    frame = ipv6_frame(proto, segment, *extensions)
    ports = PORTS if segment else b""
    source = packet.packed("2001:db8::77" if HOME in extensions else V6[0])
    destination = packet.packed("2001:db8::99" if ROUTE in extensions else V6[1])
    assert check(kernels, frame, plain) == (plain, V6_ADDRESSES + ports)
    assert check(kernels, frame, ex) == (ex, source + destination + ports)
    both = (ex, source + destination + ports) if extensions else (plain, V6_ADDRESSES + ports)
    assert check(kernels, frame, plain | ex) == both


def test_extension_headers_are_skipped(kernels: Any) -> None:
    extensions = [
        (packet.HOP_BY_HOP, packet.options_header(b"")),
        (packet.AUTHENTICATION, packet.authentication_header()),
        (packet.FRAGMENT, packet.fragment_header(0, more=False)),
    ]
    frame = ipv6_frame(packet.TCP, TCP6, *extensions)
    assert check(kernels, frame, T.TCP_IPV6) == (T.TCP_IPV6, V6_ADDRESSES + PORTS)


def test_a_tag_changes_nothing(kernels: Any) -> None:
    frame = ipv4_frame(packet.TCP, TCP4)
    tagged = packet.ethernet(frame[14:], tags=[(0x88A8, 1), (0x8100, 2)])
    assert check(kernels, tagged, EVERY) == check(kernels, frame, EVERY) == (T.TCP_IPV4, V4_ADDRESSES + PORTS)


def test_a_transport_header_that_is_not_whole_counts_as_no_transport(kernels: Any) -> None:
    frame = ipv4_frame(packet.TCP, TCP4[:19])
    assert Mark.BAD_L4 in Frame.parse(frame).marks
    assert check(kernels, frame, T.TCP_IPV4) == (T.NONE, b"")
    assert check(kernels, frame, T.TCP_IPV4 | T.IPV4) == (T.IPV4, V4_ADDRESSES)
