"""Large send: C segments against the reference, reassembled, and refused templates."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.wire import packet, segment, verify
from vnic.wire.parse import Frame
from vnic.wire.verify import Verdict

V4 = ("192.0.2.1", "192.0.2.2")
V6 = ("2001:db8::1", "2001:db8::2")
NOISE = random.Random(1323).randbytes(256 * 1024)
BAD_LENGTH, BAD_OFFSET, BAD_IP, BAD_TCP, BAD_MSS = (-1 - code for code in range(1, 6))


def template(
    *,
    is_v6: bool = False,
    options: bytes = b"",
    flags: int = packet.ACK,
    seq: int = 1,
    identification: int = 0,
) -> tuple[bytes, int]:
    """A header template and the offset of its TCP header."""
    if is_v6:
        datagram = packet.ipv6(
            *V6, packet.TCP, packet.tcp(*V6, 80, 5001, seq=seq, flags=flags, options=options)
        )
        return packet.ethernet(datagram), 54
    head = packet.tcp(*V4, 80, 5001, seq=seq, flags=flags, options=options)
    datagram = packet.ipv4(*V4, packet.TCP, head, identification=identification, total_len=0)
    return packet.ethernet(datagram), 34


def cut(kernels: Any, header: bytes, payload: bytes, mss: int, **offsets: Any) -> list[bytes]:
    """All segments that C makes."""
    frames: list[bytes] = []
    while frame := kernels.segment(header, payload, mss, len(frames), **offsets):
        assert isinstance(frame, bytes)
        frames.append(frame)
    return frames


@examples(60)
@given(
    is_v6=st.booleans(),
    options=st.sampled_from([b"", bytes([1, 1, 8, 10]) + bytes(8), bytes([1] * 40)]),
    flags=st.integers(0, 255),
    seq=st.integers(0, 2**32 - 1),
    identification=st.integers(0, 0xFFFF),
    mss=st.integers(1, 1500),
    length=st.integers(0, 20_000),
)
def test_segments_agree_with_the_reference_and_reassemble(
    kernels: Any,
    *,
    is_v6: bool,
    options: bytes,
    flags: int,
    seq: int,
    identification: int,
    mss: int,
    length: int,
) -> None:
    mss = max(mss, length // 40)
    header, l4_offset = template(
        is_v6=is_v6, options=options, flags=flags, seq=seq, identification=identification
    )
    payload = NOISE[:length]
    found = cut(kernels, header, payload, mss, l4_offset=l4_offset)
    assert found == segment.segment(header, payload, mss, l4_offset=l4_offset)
    assert len(found) == max(1, -(-length // mss))
    parsed = [Frame.parse(frame) for frame in found]
    assert b"".join(frame.payload for frame in parsed) == payload
    for index, frame in enumerate(parsed):
        assert verify.transport(frame) is Verdict.GOOD
        assert verify.ipv4_header(frame) is (Verdict.NONE if is_v6 else Verdict.GOOD)
        tcp = frame.data[l4_offset:]
        assert int.from_bytes(tcp[4:8]) == (seq + index * mss) % 2**32
        gone = 0 if index + 1 == len(found) else packet.FIN | packet.PSH
        gone |= packet.CWR if index > 0 else 0
        assert tcp[13] == flags & ~gone
        if not is_v6:
            assert int.from_bytes(frame.data[18:20]) == (identification + index) % 0x8000


@pytest.mark.parametrize("is_v6", [False, True])
def test_a_quarter_mebibyte_in_the_largest_and_smallest_pieces(kernels: Any, is_v6: bool) -> None:
    header, l4_offset = template(is_v6=is_v6, seq=2**32 - 5)
    for mss, length in [(65_535 - 40, 256 * 1024), (1460, 256 * 1024), (1, 300)]:
        found = cut(kernels, header, NOISE[:length], mss, l4_offset=l4_offset)
        assert found == segment.segment(header, NOISE[:length], mss, l4_offset=l4_offset)
        assert all(verify.transport(Frame.parse(frame)) is Verdict.GOOD for frame in found)


@pytest.mark.parametrize("is_v6", [False, True])
def test_the_seed_in_the_field_is_the_sum_without_the_length(kernels: Any, is_v6: bool) -> None:
    header, l4_offset = template(is_v6=is_v6)
    addresses = [packet.packed(address) for address in (V6 if is_v6 else V4)]
    seed = segment.seed_of(addresses[0], addresses[1])
    seeded = header[: l4_offset + 16] + seed.to_bytes(2) + header[l4_offset + 18 :]
    right = segment.segment(header, NOISE[:4000], 1448, l4_offset=l4_offset)
    assert cut(kernels, seeded, NOISE[:4000], 1448, l4_offset=l4_offset, is_field_seed=True) == right
    # A wrong seed is the driver's, and shows.
    wrong = header[: l4_offset + 16] + (seed ^ 1).to_bytes(2) + header[l4_offset + 18 :]
    found = cut(kernels, wrong, NOISE[:4000], 1448, l4_offset=l4_offset, is_field_seed=True)
    assert found == segment.segment(header, NOISE[:4000], 1448, l4_offset=l4_offset, seed=seed ^ 1)
    assert all(verify.transport(Frame.parse(frame)) is Verdict.BAD for frame in found)


def test_tags_and_extension_headers_stay(kernels: Any) -> None:
    extensions = [(packet.DESTINATION, packet.options_header(b""))]
    datagram = packet.ipv6(*V6, packet.TCP, packet.tcp(*V6, 80, 5001), extensions=extensions)
    header = packet.ethernet(datagram, tags=[(0x8100, 5)])
    found = cut(kernels, header, NOISE[:3000], 1000, l3_offset=18, l4_offset=18 + 48)
    assert found == segment.segment(header, NOISE[:3000], 1000, l3_offset=18, l4_offset=18 + 48)
    assert [verify.transport(Frame.parse(frame)) for frame in found] == [Verdict.GOOD] * 3


def test_refused_templates(kernels: Any) -> None:
    header, l4 = template()
    header6, l4_v6 = template(is_v6=True)
    fragment = header[:20] + b"\x20\0" + header[22:]
    udp = header[:23] + b"\x11" + header[24:]
    refusals: list[tuple[bytes, dict[str, Any], int]] = [
        (header.ljust(257, b"\0"), {}, BAD_LENGTH),
        (header, {"payload": bytes(256 * 1024 + 1)}, BAD_LENGTH),
        (header, {"l3_offset": 13}, BAD_OFFSET),
        (header, {"l4_offset": 33}, BAD_OFFSET),
        (header, {"l4_offset": 35}, BAD_OFFSET),
        (header, {"l4_offset": 2**32 - 1}, BAD_OFFSET),
        (header[:53], {}, BAD_OFFSET),
        (header6, {"l4_offset": 34}, BAD_OFFSET),
        (header[:14] + b"\x46" + header[15:], {}, BAD_IP),
        (header[:14] + b"\x75" + header[15:], {}, BAD_IP),
        (fragment, {}, BAD_IP),
        (udp, {}, BAD_IP),
        (header6[:20] + b"\x11" + header6[21:], {"l4_offset": l4_v6}, BAD_IP),
        (header + bytes(4), {}, BAD_TCP),
        (header[:46] + b"\x40" + header[47:], {}, BAD_TCP),
        (header, {"mss": 0}, BAD_MSS),
        (header, {"mss": 65_535 - 39}, BAD_MSS),
        (header, {"mss": 2**32 - 1}, BAD_MSS),
        (header6, {"l4_offset": l4_v6, "mss": 65_535 - 19}, BAD_MSS),
    ]
    for refused, arguments, code in refusals:
        call: dict[str, Any] = {"payload": b"data", "mss": 1460, "index": 0, "l4_offset": l4} | arguments
        assert kernels.segment(refused, **call) == code
    assert isinstance(kernels.segment(header, b"data", 65_535 - 40, 0, l4_offset=l4), bytes)
    assert isinstance(kernels.segment(header6, b"data", 65_535 - 20, 0, l4_offset=l4_v6), bytes)


def test_the_reference_refuses_an_mss_of_zero() -> None:
    header, l4_offset = template()
    with pytest.raises(ValueError, match="MSS"):
        segment.segment(header, b"data", 0, l4_offset=l4_offset)
