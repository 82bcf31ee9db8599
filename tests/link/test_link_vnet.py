"""virtio_net_hdr: its bytes, checksum completion and segmentation against arithmetic done another way."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.link.vnet import (
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP,
    GSO_UDP_L4,
    NEEDS_CSUM,
    VnetError,
    VnetHeader,
    complete_checksum,
    ones_sum,
    segment_gso,
)

FIN, SYN, PSH, ACK, CWR = 0x01, 0x02, 0x08, 0x10, 0x80


def plain_sum(data: bytes) -> int:
    """RFC 1071 word by word with end-around carry."""
    total = 0
    for word in struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) & 1)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def tcp_frame(
    payload: bytes, *, ipv6: bool = False, tags: int = 0, flags: int = ACK, options: bytes = b"", seq: int = 1
) -> tuple[bytes, int]:
    """A TCP frame as a sender with offloads leaves it (pseudo-header sum in the field), and TCP's offset."""
    l4_bytes = 20 + len(options) + len(payload)
    ethernet = bytes(12) + b"\x81\x00\x00\x05" * tags
    if ipv6:
        addresses = bytes(range(32))
        ip = struct.pack(">IHBB", 6 << 28, l4_bytes & 0xFFFF, 6, 64) + addresses
        ethernet += b"\x86\xdd"
    else:
        addresses = bytes((10, 0, 0, 1, 10, 0, 0, 2))
        ip = struct.pack(">BBHHHBBH", 0x45, 0, (20 + l4_bytes) & 0xFFFF, 0xFFFE, 0x4000, 64, 6, 0) + addresses
        ethernet += b"\x08\x00"
    pseudo = plain_sum(addresses + struct.pack(">II", l4_bytes, 6))
    offset = (5 + len(options) // 4) << 12
    tcp = struct.pack(">HHIIHHHH", 1000, 2000, seq, 77, offset | flags, 500, pseudo, 0) + options
    return ethernet + ip + tcp + payload, len(ethernet) + len(ip)


def large_send(frame: bytes, transport: int, gso_size: int, *, ipv6: bool) -> list[bytes]:
    """Segment with the header that the kernel would put before this frame."""
    kind = GSO_TCPV6 if ipv6 else GSO_TCPV4
    return segment_gso(frame, VnetHeader(NEEDS_CSUM, kind, 0, gso_size, transport, 16))


def transport_is_valid(frame: bytes, ip: int, *, ipv6: bool) -> bool:
    """Whether the TCP or UDP checksum of a frame is right."""
    if ipv6:
        addresses, l4, protocol = frame[ip + 8 : ip + 40], frame[ip + 40 :], frame[ip + 6]
    else:
        addresses, l4, protocol = frame[ip + 12 : ip + 20], frame[ip + 20 :], frame[ip + 9]
    return plain_sum(addresses + struct.pack(">II", len(l4), protocol) + l4) == 0xFFFF


@given(st.binary(max_size=200))
def test_ones_sum_is_rfc_1071(data: bytes) -> None:
    assert ones_sum(data) == plain_sum(data)


HEADERS = st.builds(VnetHeader, st.integers(0, 255), st.integers(0, 255), *([st.integers(0, 0xFFFF)] * 5))


@given(HEADERS)
def test_header_round_trip(header: VnetHeader) -> None:
    assert VnetHeader.parse(header.build(12), 12) == header
    short = VnetHeader.parse(header.build(10), 10)
    assert short.build(10) == header.build(12)[:10] and short.num_buffers == 0


def test_ones_sum_knows_both_zeros() -> None:
    assert (ones_sum(bytes(6)), ones_sum(b"\xff\xff"), ones_sum(b"\x12\x34\xed\xcb")) == (0, 0xFFFF, 0xFFFF)


def test_header_bytes_are_little_endian_in_uapi_order() -> None:
    header = VnetHeader(1, 4, 0x0102, 0x0304, 0x0506, 0x0708, 0x090A)
    assert header.build() == bytes((1, 4, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9))


@pytest.mark.parametrize("size", [10, 12])
def test_partial_header_is_refused(size: int) -> None:
    for length in range(size):
        with pytest.raises(VnetError, match=f"{length} bytes, not {size}"):
            VnetHeader.parse(bytes(length), size)


@settings(deadline=None)
@given(st.binary(max_size=100), st.booleans(), st.integers(0, 2))
def test_partial_checksum_is_completed(payload: bytes, ipv6: bool, tags: int) -> None:
    frame, transport = tcp_frame(payload, ipv6=ipv6, tags=tags)
    done = complete_checksum(frame, VnetHeader(NEEDS_CSUM, csum_start=transport, csum_offset=16))
    assert transport_is_valid(done, 14 + 4 * tags, ipv6=ipv6)
    assert (
        done[: transport + 16] == frame[: transport + 16]
        and done[transport + 18 :] == frame[transport + 18 :]
    )
    assert complete_checksum(frame, VnetHeader()) == frame


def test_checksum_of_zero_is_written_as_ffff() -> None:
    frame = bytes(14) + b"\xff\xff" + bytes(4)
    done = complete_checksum(frame, VnetHeader(NEEDS_CSUM, csum_start=14, csum_offset=4))
    assert done[18:20] == b"\xff\xff"


@pytest.mark.parametrize(("start", "offset"), [(0, 19), (19, 0), (0xFFFF, 0xFFFF), (20, 0)])
def test_checksum_outside_the_frame_is_refused(start: int, offset: int) -> None:
    with pytest.raises(VnetError, match="in 20 bytes"):
        complete_checksum(bytes(20), VnetHeader(NEEDS_CSUM, csum_start=start, csum_offset=offset))


@examples(60)
@given(
    st.integers(1, 5000),
    st.integers(1, 1600),
    st.booleans(),
    st.integers(0, 2),
    st.sampled_from([b"", bytes(12)]),
)
def test_segments_carry_the_whole_payload_with_right_headers(
    length: int, gso_size: int, ipv6: bool, tags: int, options: bytes
) -> None:
    payload = bytes(n * 7 & 0xFF for n in range(length))
    start = 0xFFFFFF00
    frame, transport = tcp_frame(
        payload, ipv6=ipv6, tags=tags, options=options, flags=ACK | PSH | FIN | CWR, seq=start
    )
    segments = large_send(frame, transport, gso_size, ipv6=ipv6)
    ip, header = 14 + 4 * tags, transport + 20 + len(options)
    assert b"".join(segment[header:] for segment in segments) == payload
    assert len(segments) == -(-length // gso_size)
    for index, segment in enumerate(segments):
        assert segment[:ip] == frame[:ip]
        assert transport_is_valid(segment, ip, ipv6=ipv6)
        assert (
            int.from_bytes(segment[transport + 4 : transport + 8], "big")
            == (start + index * gso_size) % 2**32
        )
        last = index == len(segments) - 1
        assert segment[transport + 13] == ACK | (PSH | FIN if last else 0) | (0 if index else CWR)
        if ipv6:
            assert int.from_bytes(segment[ip + 4 : ip + 6], "big") == len(segment) - ip - 40
        else:
            assert int.from_bytes(segment[ip + 2 : ip + 4], "big") == len(segment) - ip
            assert int.from_bytes(segment[ip + 4 : ip + 6], "big") == (0xFFFE + index) % 2**16
            assert plain_sum(segment[ip : ip + 20]) == 0xFFFF


def test_udp_segments_are_datagrams_of_their_own() -> None:
    payload = bytes(range(250))
    addresses = bytes((10, 0, 0, 1, 10, 0, 0, 2))
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 278, 5, 0, 64, 17, 0) + addresses
    frame = bytes(12) + b"\x08\x00" + ip + struct.pack(">HHHH", 1, 2, 258, 0) + payload
    segments = segment_gso(frame, VnetHeader(NEEDS_CSUM, GSO_UDP_L4, 0, 100, 34, 6))
    assert [segment[42:] for segment in segments] == [payload[:100], payload[100:200], payload[200:]]
    assert [int.from_bytes(segment[38:40], "big") for segment in segments] == [108, 108, 58]
    assert all(transport_is_valid(segment, 14, ipv6=False) for segment in segments)


def test_large_send_without_payload_is_one_segment() -> None:
    frame, transport = tcp_frame(b"", flags=ACK | FIN)
    (segment,) = large_send(frame, transport, 1460, ipv6=False)
    assert segment[transport + 13] == ACK | FIN and transport_is_valid(segment, 14, ipv6=False)


FRAME4, TCP4 = tcp_frame(bytes(3000))


@pytest.mark.parametrize(
    ("frame", "header", "message"),
    [
        (FRAME4, VnetHeader(NEEDS_CSUM, GSO_TCPV4, 0, 0, TCP4, 16), "size is 0"),
        (FRAME4, VnetHeader(NEEDS_CSUM, GSO_UDP, 0, 100, TCP4, 16), "GSO type 3 was not offered"),
        (FRAME4, VnetHeader(NEEDS_CSUM, 9, 0, 100, TCP4, 16), "GSO type 9"),
        (FRAME4, VnetHeader(0, GSO_TCPV4, 0, 100, TCP4, 16), "without a checksum start"),
        (FRAME4, VnetHeader(NEEDS_CSUM, GSO_TCPV4, 0, 100, 20, 16), "without a checksum start"),
        (FRAME4, VnetHeader(NEEDS_CSUM, GSO_TCPV4, 0, 100, 60_000, 16), "ends in its TCP header"),
        (FRAME4, VnetHeader(NEEDS_CSUM, GSO_TCPV4, 0, 100, TCP4 + 2, 16), "headers end at"),
        (FRAME4, VnetHeader(NEEDS_CSUM, GSO_TCPV6, 0, 100, TCP4, 16), "TCPV6 on IPv4"),
        (
            tcp_frame(b"", ipv6=True)[0],
            VnetHeader(NEEDS_CSUM, GSO_TCPV4, 0, 100, 54, 16),
            "on EtherType 0x86dd",
        ),
        (bytes(60), VnetHeader(NEEDS_CSUM, GSO_TCPV4, 0, 100, 34, 16), "on EtherType 0x0000"),
        (b"", VnetHeader(NEEDS_CSUM, GSO_TCPV4, 0, 100, 34, 16), "on EtherType"),
    ],
)
def test_header_that_does_not_fit_is_refused(frame: bytes, header: VnetHeader, message: str) -> None:
    with pytest.raises(VnetError, match=message):
        segment_gso(frame, header)


@examples(100)
@given(HEADERS, st.integers(0, 200), st.integers(0, 255))
def test_any_header_over_any_frame_ends_in_frames_or_vnet_error(
    header: VnetHeader, length: int, place: int
) -> None:
    frame = bytearray(FRAME4[:length])
    if frame:
        frame[place % len(frame)] ^= 0xFF
    try:
        frames = segment_gso(bytes(frame), header)
    except VnetError:
        return
    assert 1 <= len(frames) <= max(1, length)


def test_ecn_bit_does_not_change_the_kind() -> None:
    header = VnetHeader(NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, 0, 1460, TCP4, 16)
    assert len(segment_gso(FRAME4, header)) == 3
