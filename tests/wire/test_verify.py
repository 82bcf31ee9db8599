"""Receive checksum verification: C against the reference, and each verdict by example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.wire import packet, verify
from vnic.wire.capture import open_capture
from vnic.wire.parse import L4, Frame
from vnic.wire.verify import Verdict

FLOWS = Path(__file__).parents[1] / "samples" / "flows.pcap"
V4 = ("192.0.2.1", "192.0.2.2")
V6 = ("2001:db8::1", "2001:db8::2")
NONE, GOOD, BAD, UDP_ZERO = Verdict


def check(kernels: Any, data: bytes) -> tuple[Verdict, Verdict]:
    """Holds every C path against the reference and returns what that says."""
    frame = Frame.parse(data)
    expected = (verify.ipv4_header(frame), verify.transport(frame))
    for path in kernels.csum_paths:
        ip, l4, span = kernels.verify(path, data)
        assert (ip, l4) == expected
        assert (span > 0) <= (l4 in (GOOD, BAD))
        assert span <= frame.l4_len
    return expected


@examples(150)
@given(data=st.data())
def test_structured_frames(kernels: Any, frames: st.SearchStrategy[bytes], data: st.DataObject) -> None:
    check(kernels, data.draw(frames))


@given(payload=st.binary(max_size=300), bit=st.integers(0), is_v6=st.booleans(), is_udp=st.booleans())
def test_any_flipped_bit_of_the_segment_shows(
    kernels: Any, payload: bytes, bit: int, is_v6: bool, is_udp: bool
) -> None:
    addresses, wrap = (V6, packet.ipv6) if is_v6 else (V4, packet.ipv4)
    proto, build = (packet.UDP, packet.udp) if is_udp else (packet.TCP, packet.tcp)
    segment = build(*addresses, 80, 5001, payload)
    frame = bytearray(packet.ethernet(wrap(*addresses, proto, segment), min_len=60))
    assert check(kernels, bytes(frame))[1] is GOOD
    start = 54 if is_v6 else 34
    # Not the data offset of TCP nor the length of UDP: they change what is a segment.
    choices = [at for at in range(len(segment)) if at not in ((4, 5, 6, 7) if is_udp else (12,))]
    at = choices[bit // 8 % len(choices)]
    frame[start + at] ^= 1 << bit % 8
    assert check(kernels, bytes(frame))[1] is BAD


@pytest.mark.parametrize("is_v6", [False, True])
def test_udp_lengths_and_the_zero_checksum(kernels: Any, is_v6: bool) -> None:
    addresses, wrap = (V6, packet.ipv6) if is_v6 else (V4, packet.ipv4)
    for segment, verdict in [
        (packet.udp(*addresses, 1, 2, b"abc"), GOOD),
        (packet.udp(*addresses, 1, 2, b"abc") + b"beyond", GOOD),
        (packet.udp(*addresses, 1, 2, b"abc", length=7), BAD),
        (packet.udp(*addresses, 1, 2, b"abc", length=12), BAD),
        (packet.udp(*addresses, 1, 2, b"abc", field=0), BAD if is_v6 else UDP_ZERO),
        (packet.udp(*addresses, 1, 2, b"abc", field=0x1234), BAD),
    ]:
        found = check(kernels, packet.ethernet(wrap(*addresses, packet.UDP, segment)))
        assert found == (NONE if is_v6 else GOOD, verdict)


def test_the_ipv4_header_with_and_without_options(kernels: Any) -> None:
    for options in (b"", bytes([1] * 40)):
        datagram = packet.ipv4(*V4, packet.TCP, packet.tcp(*V4, 1, 2), options=options)
        assert check(kernels, packet.ethernet(datagram)) == (GOOD, GOOD)
        wrong = packet.ipv4(*V4, packet.TCP, packet.tcp(*V4, 1, 2), options=options, header_checksum=1)
        assert check(kernels, packet.ethernet(wrong)) == (BAD, GOOD)


def test_what_cannot_be_judged_is_not(kernels: Any) -> None:
    segment = packet.tcp(*V4, 1, 2, b"data", field=1)
    unjudged: list[dict[str, Any]] = [{"fragment": 0x2000}, {"fragment": 3}, {"total_len": 1000}]
    for changes in unjudged:
        datagram = packet.ipv4(*V4, packet.TCP, segment, **changes)
        assert check(kernels, packet.ethernet(datagram)) == (GOOD, NONE)
    routed = [(packet.ROUTING, packet.routing_header("::9", kind=0))]
    datagram = packet.ipv6(*V6, packet.TCP, packet.tcp(*V6, 1, 2), extensions=routed)
    assert check(kernels, packet.ethernet(datagram)) == (NONE, NONE)
    arp = packet.ethernet(packet.arp(*V4), ethertype=packet.ETHERTYPE_ARP)
    assert check(kernels, arp) == (NONE, NONE)


def test_mobility_addresses_are_those_of_the_pseudo_header(kernels: Any) -> None:
    home, care_of = "2001:db8::77", "2001:db8::99"
    extensions = [
        (packet.ROUTING, packet.routing_header(care_of)),
        (packet.DESTINATION, packet.options_header(packet.home_address_option(home))),
    ]
    for source, destination, verdict in [(home, care_of, GOOD), (home, V6[1], BAD), (V6[0], care_of, BAD)]:
        segment = packet.tcp(source, destination, 1, 2, b"data")
        datagram = packet.ipv6(*V6, packet.TCP, segment, extensions=extensions)
        assert check(kernels, packet.ethernet(datagram)) == (NONE, verdict)


def test_captured_frames_are_good(kernels: Any) -> None:
    with open_capture(FLOWS) as capture:
        found = [(Frame.parse(one.data), check(kernels, one.data)) for one in capture]
    assert {ip for _, (ip, _) in found} == {NONE, GOOD}
    assert all(l4 is GOOD for frame, (_, l4) in found if frame.l4 is L4.TCP)
