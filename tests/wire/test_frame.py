"""Parsing frames: the C parser against the reference on structured, damaged, captured and random bytes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.wire import packet
from vnic.wire.capture import open_capture
from vnic.wire.parse import L3, L4, Frame, Mark

FLOWS = Path(__file__).parents[1] / "samples" / "flows.pcap"
V4 = ("192.0.2.1", "192.0.2.2")
V6 = ("2001:db8::1", "2001:db8::2")


def facts(frame: Frame) -> dict[str, int]:
    """What the reference says under the names of struct kernel_facts."""
    return {
        "len": len(frame.data),
        "l2_len": frame.l2_len,
        "ethertype": frame.ethertype,
        "vlan_tci": frame.vlan_tci,
        "inner_tci": frame.inner_tci,
        "l3": frame.l3,
        "l4": frame.l4,
        "proto": frame.proto,
        "l4_offset": frame.l4_offset,
        "l4_len": frame.l4_len,
        "header_end": frame.header_end,
        "home_address": frame.home_address,
        "routing_address": frame.routing_address,
        "flags": frame.marks,
    }


def check(kernels: Any, data: bytes) -> Frame:
    """Holds both C parsers against the reference and returns what that says."""
    frame = Frame.parse(data)
    expected = facts(frame)
    for is_any in (False, True):
        found = kernels.parse(data, is_any=is_any)
        found.pop("is_plain")
        assert found == expected
    assert frame.l2_len <= frame.l4_offset <= frame.header_end <= len(frame.data)
    assert frame.l4_offset + frame.l4_len <= len(frame.data)
    return frame


@examples(80)
@given(data=st.data())
def test_structured_frames(kernels: Any, frames: st.SearchStrategy[bytes], data: st.DataObject) -> None:
    check(kernels, data.draw(frames))


@examples(40)
@given(
    noise=st.binary(max_size=300), ethertype=st.sampled_from([b"\x08\0", b"\x86\xdd", b"\x81\0", b"\x88\xa8"])
)
def test_noise_behind_a_known_ethertype(kernels: Any, noise: bytes, ethertype: bytes) -> None:
    check(kernels, bytes(12) + ethertype + noise)


def test_noise_of_every_size_up_to_64_kib(kernels: Any) -> None:
    source = random.Random(791)
    for length in [*range(80), 1514, 9014, 65535, 65536, 65596, 65597, 65598, 70_000]:
        check(kernels, source.randbytes(length))


def test_every_prefix_of_a_long_chain_of_headers(kernels: Any) -> None:
    extensions = [
        (packet.HOP_BY_HOP, packet.options_header(bytes([5, 2, 0, 0]))),
        (packet.ROUTING, packet.routing_header("2001:db8::99")),
        (packet.DESTINATION, packet.options_header(packet.home_address_option("2001:db8::77"))),
        (packet.AUTHENTICATION, packet.authentication_header()),
    ]
    datagram = packet.ipv6(*V6, packet.TCP, packet.tcp(*V6, 80, 5001, b"data"), extensions=extensions)
    frame = packet.ethernet(datagram, tags=[(0x88A8, 7), (0x8100, 0x6005)])
    for length in range(len(frame) + 1):
        check(kernels, frame[:length])
    whole = Frame.parse(frame)
    assert (whole.l4, whole.ports, whole.payload) == (L4.TCP, (80, 5001), b"data")
    assert (whole.vlan_tci, whole.inner_tci) == (7, 0x6005)
    assert frame[whole.home_address :][:16] == packet.packed("2001:db8::77")
    assert frame[whole.routing_address :][:16] == packet.packed("2001:db8::99")
    assert whole.marks == Mark.VLAN | Mark.QINQ | Mark.IP_OPTIONS


@pytest.mark.parametrize("is_v6", [False, True])
@pytest.mark.parametrize("kind", [packet.TCP, packet.UDP])
def test_the_common_shapes_take_the_shortcut(kernels: Any, kind: int, is_v6: bool) -> None:
    addresses = V6 if is_v6 else V4
    build, wrap = (packet.tcp, packet.udp)[kind == packet.UDP], (packet.ipv4, packet.ipv6)[is_v6]
    frame = packet.ethernet(wrap(*addresses, kind, build(*addresses, 80, 5001, b"data")), min_len=60)
    assert kernels.parse(frame)["is_plain"]
    found = check(kernels, frame)
    assert (found.payload, found.ports) == (b"data", (80, 5001))
    assert found.header_end - found.l4_offset == (8 if kind == packet.UDP else 20)
    assert not kernels.parse(packet.ethernet(frame[14:], tags=[(0x8100, 1)]))["is_plain"]


def test_ethernet_padding_is_no_payload(kernels: Any) -> None:
    frame = packet.ethernet(packet.ipv4(*V4, packet.UDP, packet.udp(*V4, 1, 2, b"x")), min_len=60)
    found = check(kernels, frame)
    assert (len(frame), found.l4_len, found.payload) == (60, 9, b"x")


@pytest.mark.parametrize(
    ("changes", "mark", "l3", "l4"),
    [
        ({"version": 5}, Mark.BAD_VERSION, L3.NONE, L4.NONE),
        ({"ihl": 4}, Mark.BAD_IHL, L3.NONE, L4.NONE),
        ({"ihl": 15}, Mark.BAD_IHL, L3.NONE, L4.NONE),
        ({"total_len": 19}, Mark.BAD_TOTAL, L3.NONE, L4.NONE),
        ({"total_len": 30}, Mark.BAD_L4, L3.IPV4, L4.NONE),
        ({"total_len": 500}, Mark.CUT, L3.IPV4, L4.TCP),
        ({"fragment": 0x2000}, Mark.FRAGMENT | Mark.FIRST_FRAGMENT, L3.IPV4, L4.NONE),
        ({"fragment": 0x0001}, Mark.FRAGMENT, L3.IPV4, L4.NONE),
        ({"fragment": 0xC000}, Mark.NONE, L3.IPV4, L4.TCP),
        ({"options": bytes([1, 1, 1])}, Mark.IP_OPTIONS, L3.IPV4, L4.TCP),
    ],
)
def test_ipv4_header_fields(kernels: Any, changes: dict[str, Any], mark: Mark, l3: L3, l4: L4) -> None:
    datagram = packet.ipv4(*V4, packet.TCP, packet.tcp(*V4, 1, 2), **changes)
    found = check(kernels, packet.ethernet(datagram, ethertype=packet.ETHERTYPE_IPV4))
    assert (found.marks, found.l3, found.l4) == (mark, l3, l4)


@pytest.mark.parametrize("data_offset", [0, 4, 8, 15])
def test_tcp_data_offset_outside_the_segment(kernels: Any, data_offset: int) -> None:
    segment = packet.tcp(*V4, 1, 2, b"12", data_offset=data_offset)
    found = check(kernels, packet.ethernet(packet.ipv4(*V4, packet.TCP, segment)))
    assert found.marks == Mark.BAD_L4
    assert found.header_end == found.l4_offset == 34


def test_the_walk_over_extension_headers_is_bounded(kernels: Any) -> None:
    header = (packet.DESTINATION, packet.options_header(b""))
    for count in range(12):
        datagram = packet.ipv6(*V6, packet.UDP, packet.udp(*V6, 1, 2), extensions=[header] * count)
        found = check(kernels, packet.ethernet(datagram))
        assert (Mark.UNSKIPPABLE in found.marks) == (count > 8)
        assert (found.l4 is L4.UDP) == (count <= 8)


def test_ipv6_fragments(kernels: Any) -> None:
    for offset, more, mark in [
        (0, True, Mark.FRAGMENT | Mark.FIRST_FRAGMENT),
        (8, True, Mark.FRAGMENT),
        (8, False, Mark.FRAGMENT),
        (0, False, Mark.NONE),  # an atomic fragment is a whole datagram: RFC 6946
    ]:
        extensions = [(packet.FRAGMENT, packet.fragment_header(offset, more=more))]
        datagram = packet.ipv6(*V6, packet.TCP, packet.tcp(*V6, 1, 2), extensions=extensions)
        found = check(kernels, packet.ethernet(datagram))
        assert found.marks == mark | Mark.IP_OPTIONS
        assert found.l4 is (L4.NONE if mark else L4.TCP)


def test_a_later_fragment_is_not_read_for_more_headers(kernels: Any) -> None:
    extensions = [(packet.FRAGMENT, packet.fragment_header(8, more=True)), (packet.DESTINATION, bytes(8))]
    found = check(kernels, packet.ethernet(packet.ipv6(*V6, packet.TCP, bytes(20), extensions=extensions)))
    assert found.marks == Mark.FRAGMENT | Mark.IP_OPTIONS
    assert found.l4_offset == 14 + 40 + 8


def test_a_routing_header_in_use_hides_the_destination(kernels: Any) -> None:
    for kind, left, mark, address in [
        (2, 1, Mark.NONE, 62),
        (2, 0, Mark.NONE, 0),
        (0, 1, Mark.ROUTED, 0),
        (4, 0, Mark.NONE, 0),
    ]:
        extensions = [(packet.ROUTING, packet.routing_header("::9", kind=kind, segments_left=left))]
        datagram = packet.ipv6(*V6, packet.TCP, packet.tcp(*V6, 1, 2), extensions=extensions)
        found = check(kernels, packet.ethernet(datagram))
        assert found.marks == mark | Mark.IP_OPTIONS
        assert found.routing_address == address


def test_captured_frames_all_parse(kernels: Any) -> None:
    with open_capture(FLOWS) as capture:
        frames = [captured.data for captured in capture]
    found = [check(kernels, data) for data in frames]
    assert len(found) == 1316
    bad = Mark.BAD_L2 | Mark.BAD_VERSION | Mark.BAD_IHL | Mark.BAD_TOTAL | Mark.CUT | Mark.BAD_L4
    assert not any(frame.marks & bad for frame in found)
    tcp = [frame for frame in found if frame.l4 is L4.TCP]
    assert sum(frame.l3 is L3.IPV4 for frame in tcp) == 804
    assert sum(frame.l3 is L3.IPV6 for frame in tcp) == 430
    flows = {frozenset(((f.source, f.ports[0]), (f.destination, f.ports[1]))) for f in tcp if f.ports}
    assert len(flows) == 64
    assert any(Mark.FRAGMENT in frame.marks for frame in found)
