"""Frames that are shorter, longer, or cut otherwise than the author of a card thought of."""

from __future__ import annotations

import pytest

from vnic.gen.enums import CsumResult, TxStatus
from vnic.gen.registers import BAR0
from vnic.ndis.rss import HashType
from vnic.testbench.frames import MAC, datagram, ethernet, large_send, tcp_frame, udp_frame
from vnic.testbench.pair import UNTOUCHED
from vnic.testbench.rig import Rig, plain_frame
from vnic.wire import packet

KEY = bytes(range(40))


# ---- checksums of what is too short


@pytest.mark.parametrize("length", range(14, 60, 3))
@pytest.mark.parametrize("kind", [0, 1])
def test_cve_2024_3567_a_checksum_beyond_the_fragment(length: int, kind: int) -> None:
    """QEMU net_tx_pkt: the checksum of a fragment shorter than its header was written behind the buffer.

    Here offsets must lie in the frame with room for the field [TX-9], or the frame is refused whole.
    """
    with Rig() as rig:
        frame = udp_frame(b"", min_len=60)[:length]
        header, field = 34, 6 if kind else 16
        rig[0].send(frame, l4_csum=1, l3_offset=14, l4_offset=header, l4_kind=kind)
        (report,) = rig[0].reports()
        fits = header + field + 2 <= length
        assert report.status == (TxStatus.OK if fits else TxStatus.OFFLOAD)
        assert len(rig.sent()) == fits


@pytest.mark.parametrize("length", range(1, 20))
def test_cve_2024_3567_received_fragments_that_end_in_their_header(length: int) -> None:
    """The receiver's side: a transport header that is cut off has no checksum, good or bad, and no ports."""
    with Rig() as rig:
        whole = packet.udp("192.0.2.1", "198.51.100.2", 1, 2, bytes(40))
        for place in (0, 1, 125):
            cut = datagram(4, packet.UDP, whole[:length], fragment=packet.MORE_FRAGMENTS | place)
            (frame,) = rig.receive(ethernet(cut, min_len=60))
            assert frame.first.l4_csum == CsumResult.NONE
            assert frame.first.ip_csum == CsumResult.GOOD


# ---- headers and buffers


@pytest.mark.parametrize("tag", [0, 0x2064])
@pytest.mark.parametrize("cut", [1, 13, 14, 15, 33, 34, 53, 54])
def test_cve_2023_6693_headers_copied_by_the_length_that_they_claim(cut: int, tag: int) -> None:
    """QEMU virtio-net: the header with its hash fields was copied into room for one without.

    Here the lengths of the headers that are changed come from the frame as it was read, however it was cut.
    """
    with Rig() as rig:
        payload, mss = bytes(range(250)) * 12, 600
        data, context, frames = large_send(payload, mss, tag=tag or None)
        sent, report = rig.transmit(data, cuts=[cut, 3, 200], **context)
        assert report.status == TxStatus.OK
        assert sent == frames


@pytest.mark.parametrize("header", [64, 128, 256])
@pytest.mark.parametrize("buffer", [64, 128, 256])
def test_gitlab_537_a_frame_that_fits_with_its_header_and_not_without(header: int, buffer: int) -> None:
    """QEMU igb and e1000e: a packet split over buffers of sizes 1+2+3+4 was measured against 2+3+4.

    Here every length from the least to all buffers gets exactly the buffers that it takes, and nothing beside
    them is written.
    """
    with Rig(split=True, hdr_len=header, buf_len=buffer, rx_count=16, cq_count=32) as rig:
        headers = 14 + 20 + 20
        for size in sorted(
            {0, 1, buffer - 1, buffer, buffer + 1, 2 * buffer, 3 * buffer - 1, 3 * buffer, 5 * buffer}
        ):
            frame = tcp_frame(bytes(n % 251 for n in range(size)), min_len=0)
            (got,) = rig.receive(frame)
            assert got.data == frame
            assert (len(got.header), len(got.payload)) == (headers, size)
            assert len(got.parts) == max(-(-size // buffer), 1)
            rig[0].post_rx(len(got.parts))


@pytest.mark.parametrize("free", range(1, 8))
def test_gitlab_537_a_frame_for_which_a_buffer_is_missing(free: int) -> None:
    """The other side of the sum: one buffer fewer than the frame takes, and nothing of it may be written.

    Here the frame is dropped whole and counted [RX-9]; the buffers stay the card's and as they were.
    """
    with Rig(buf_len=64, rx_count=8, cq_count=32, posted=free) as rig:
        assert rig.receive(plain_frame(64 * free + 1)) == []
        assert rig.stat("RX_DROP_NO_DESCRIPTOR") == 1
        assert set(rig.memory.read(rig[0].buffers.address, 64 * free)) == {UNTOUCHED}
        (frame,) = rig.receive(plain_frame(64 * free))
        assert frame.data == plain_frame(64 * free)


def test_6da0c98281_a_descriptor_without_a_buffer() -> None:
    """QEMU e1000e: a receive descriptor with address 0 swallowed the bytes that were meant for the next one.

    Here 0 is an address like any other: where nothing is mapped there, the frame ends with DMA.
    """
    with Rig(buf_len=64, rx_count=8, posted=0) as rig:
        good = rig[0].buffers.address
        rig[0].post_rx(3, [good, 0, good + 128])
        (frame,) = rig.receive(plain_frame(150))
        assert [(part.len, part.error) for part in frame.parts] == [(64, 0), (64, 1)]
        assert rig.stat("RX_DROP_DMA") == 1
        rig[0].post_rx(1)
        (following,) = rig.receive(plain_frame(60, 7))
        assert following.data == plain_frame(60, 7)


# ---- short frames


@pytest.mark.parametrize("loopback", [0, 1])
@pytest.mark.parametrize("length", [14, 42, 59, 60])
def test_gitlab_3043_short_frames_are_padded_on_every_way(length: int, loopback: int) -> None:
    """QEMU: frames that were looped went around the padding; receivers saw frames shorter than any wire's.

    Here padding comes before the choice of the way [TX-15], of zeros and never of an earlier frame.
    """
    with Rig() as rig:
        rig.change(BAR0.GLB_CTRL, LOOPBACK=loopback)
        rig[0].send(b"\xff" * 6 + MAC + b"\xee" * 1400)
        frame = plain_frame(length)
        rig[0].send(frame)
        looped = [each.data for each in rig[0].take()]
        assert (looped if loopback else rig.sent())[-1] == frame + bytes(60 - length)


@pytest.mark.parametrize("mss", [0, 1, 63])
def test_gitlab_1582_a_large_send_with_mss_0(mss: int) -> None:
    """QEMU e1000e: segmentation divided by the MSS that the driver wrote, and that was 0.

    Here an MSS below 64 is refused with OFFLOAD [TX-11] before anything is counted with it.
    """
    with Rig() as rig:
        data, context, _ = large_send(bytes(3000), 1000)
        rig[0].send(data, **context | {"mss": mss})
        (report,) = rig[0].reports()
        assert report.status == TxStatus.OFFLOAD
        assert rig.sent() == []
        assert rig.transmit(plain_frame(70))[0] == [plain_frame(70)]


# ---- parsing and alignment


def rss_on(rig: Rig, types: int) -> None:
    """Hash these types over two queues."""
    for word in range(10):
        rig.put(BAR0.RSS_KEY, int.from_bytes(KEY[4 * word : 4 * word + 4], "little"), word)
    rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=1, TABLE_LOG2=0))
    rig.put(BAR0.RSS_TYPES, types)
    rig.put(BAR0.RSS_COMMIT, 1)


@pytest.mark.parametrize("claimed", [0, 1, 2, 3, 16, 255])
@pytest.mark.parametrize("kind", [0, 43, 44, 60, 135])
def test_lp1879531_extension_headers_that_claim_more_than_there_is(kind: int, claimed: int) -> None:
    """QEMU: the parser of IPv6 extension headers for RSS read options behind the end of the packet.

    Here a chain that leads out of the frame has no transport header; the frame passes as it is.
    """
    with Rig() as rig:
        rss_on(rig, int(HashType.TCP_IPV6 | HashType.TCP_IPV6_EX | HashType.IPV6 | HashType.IPV6_EX))
        for length in range(0, 40):
            body = (bytes([59, claimed, 201, 16]) + bytes(60))[:length]
            frame = ethernet(datagram(6, kind, body), min_len=60)
            (got,) = rig.receive(frame)
            assert got.data == frame
            assert got.first.tcp == 0
            has_home = kind == 60 and claimed >= 2 and length >= 8 * (claimed + 1)
            assert (got.first.hash_type == HashType.IPV6_EX >> 8) == has_home
            rig[0].post_rx(len(got.parts))


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 5, 7, 63, 4095])
def test_gitlab_2143_and_1544_buffers_at_any_address(offset: int) -> None:
    """QEMU: unaligned buffers and registers ended in asserts, or in bytes that went to the wrong place.

    Here bytes go to and come from any address, and what lies before and behind stays as it was.
    """
    with Rig(posted=0) as rig:
        arena = rig.memory.alloc(3 * 4096, align=4096)
        rig.memory.write(arena.address, bytes([UNTOUCHED]) * len(arena))
        rig[0].post_rx(1, [arena.address + offset])
        frame = plain_frame(777)
        rig.receive(frame)
        expected = bytes([UNTOUCHED]) * offset + frame
        assert rig.memory.read(arena.address, len(arena)) == expected.ljust(len(arena), bytes([UNTOUCHED]))
        rig[0].send_raw([rig[0].piece(b"", addr=arena.address + offset, len=777, rs=1)])
        assert rig.sent() == [frame]


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_gitlab_2143_registers_at_any_address_and_width(width: int) -> None:
    """The same for registers: any width at any offset, the end of the BAR among them."""
    with Rig() as rig:
        end = 1 << 16
        for offset in (1, 2, 3, 5, 6, 7, 4093, end - width, end - 1):
            value = rig.device.read(0, offset, width)
            assert 0 <= value < 1 << 8 * width
        rig.put(BAR0.TEST_ECHO, 0x0102_0304)
        offset = BAR0.TEST_ECHO.offset
        whole = rig.device.read(0, offset, 4).to_bytes(4, "little")
        assert [rig.device.read(0, offset + n, 1) for n in range(4)] == list(whole)
        assert rig.transmit(plain_frame(70))[0] == [plain_frame(70)]
