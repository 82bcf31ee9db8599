"""The packet builders: known bytes, checksums that hold, and tshark's opinion."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vnic.wire import checksum, packet, verify
from vnic.wire.capture import open_capture
from vnic.wire.parse import L4, Frame
from vnic.wire.pcap import PcapWriter
from vnic.wire.verify import Verdict

FLOWS = Path(__file__).parents[1] / "samples" / "flows.pcap"
V4 = ("192.0.2.1", "192.0.2.2")
V6 = ("2001:db8::1", "2001:db8::2")


def test_arp_by_the_byte() -> None:
    frame = packet.ethernet(packet.arp(*V4), ethertype=packet.ETHERTYPE_ARP, destination=packet.BROADCAST)
    assert frame.hex() == (
        "ffffffffffff" "02000000000a" "0806" "0001" "0800" "06" "04" "0001"
        "02000000000a" "c0000201" "000000000000" "c0000202"
    )  # fmt: skip


def test_captured_tcp_frames_can_be_built_again() -> None:
    with open_capture(FLOWS) as capture:
        frames = [Frame.parse(one.data) for one in capture]
    built = 0
    for frame in frames:
        if frame.l4 is not L4.TCP or not frame.ports or frame.source is None or frame.destination is None:
            continue
        tcp, ip = frame.data[frame.l4_offset :], frame.data[frame.l2_len :]
        segment = packet.tcp(
            frame.source,
            frame.destination,
            *frame.ports,
            frame.payload,
            seq=int.from_bytes(tcp[4:8]),
            ack=int.from_bytes(tcp[8:12]),
            flags=tcp[13],
            window=int.from_bytes(tcp[14:16]),
            urgent=int.from_bytes(tcp[18:20]),
            options=tcp[20 : frame.header_end - frame.l4_offset],
        )
        if ip[0] >> 4 == 4:
            datagram = packet.ipv4(
                frame.source,
                frame.destination,
                packet.TCP,
                segment,
                tos=ip[1],
                identification=int.from_bytes(ip[4:6]),
                ttl=ip[8],
            )
        else:
            word = int.from_bytes(ip[:4])
            datagram = packet.ipv6(
                frame.source,
                frame.destination,
                packet.TCP,
                segment,
                traffic_class=word >> 20 & 0xFF,
                flow_label=word & 0xFFFFF,
                hop_limit=ip[7],
            )
        again = packet.ethernet(datagram, source=frame.data[6:12], destination=frame.data[:6])
        assert again == frame.data
        built += 1
    assert built == 1234


def test_ipv4_fragments_put_together_are_the_datagram() -> None:
    datagram = packet.ipv4(
        *V4, packet.UDP, packet.udp(*V4, 1, 2, bytes(range(256)) * 4), fragment=0, identification=9
    )
    pieces = packet.ipv4_fragments(datagram, 400)
    assert b"".join(piece[20:] for piece in pieces) == datagram[20:]
    assert [int.from_bytes(piece[6:8]) for piece in pieces] == [0x2000, 0x2000 | 50, 100]
    assert all(checksum.total(piece[:20]) == 0xFFFF for piece in pieces)


def test_icmp_checksums_hold() -> None:
    assert checksum.total(packet.icmp(8, 0, b"\0\1\0\1odd")) == 0xFFFF
    message = packet.icmpv6(*V6, 128, 0, b"\0\1\0\1odd")
    header = checksum.pseudo(packet.packed(V6[0]), packet.packed(V6[1]), packet.ICMPV6, len(message))
    assert checksum.total(header + message) == 0xFFFF


def test_extension_headers_keep_their_alignment() -> None:
    for length in range(30):
        body = packet.options_header(bytes(length))
        assert len(body) == 8 * (body[1] + 1) >= 2 + length
    option = packet.options_header(packet.home_address_option("2001:db8::77"))
    assert (option.index(0xC9) - 6) % 8 == 0


def test_a_field_given_is_kept() -> None:
    segment = packet.tcp(*V4, 1, 2, field=0xBEEF, data_offset=3)
    assert (segment[16:18], segment[12]) == (b"\xbe\xef", 0x30)
    frame = Frame.parse(
        packet.ethernet(packet.ipv4(*V4, packet.UDP, packet.udp(*V4, 1, 2), header_checksum=7))
    )
    assert verify.ipv4_header(frame) is Verdict.BAD


def test_addresses_of_two_versions_are_refused() -> None:
    with pytest.raises(ValueError, match="two IP versions"):
        packet.tcp(V4[0], V6[1], 1, 2)


def test_tshark_finds_nothing_wrong(tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("needs tshark: not installed")
    timestamps = bytes([1, 1, 8, 10]) + bytes(8)
    extensions = [
        (packet.HOP_BY_HOP, packet.options_header(b"")),
        (packet.DESTINATION, packet.options_header(packet.home_address_option("2001:db8::77"))),
    ]
    datagrams = [
        packet.ipv4(*V4, packet.TCP, packet.tcp(*V4, 49152, 50000, b"odd", options=timestamps)),
        packet.ipv4(*V4, packet.UDP, packet.udp(*V4, 49152, 50000, b"data"), options=bytes([1] * 4)),
        packet.ipv4(*V4, packet.ICMP, packet.icmp(8, 0, b"\0\1\0\1ping")),
        packet.ipv6(*V6, packet.TCP, packet.tcp("2001:db8::77", V6[1], 49152, 50000), extensions=extensions),
        packet.ipv6(*V6, packet.UDP, packet.udp(*V6, 49152, 50000, b"data")),
        packet.ipv6(*V6, packet.ICMPV6, packet.icmpv6(*V6, 128, 0, b"\0\1\0\1ping")),
    ]
    path = tmp_path / "built.pcap"
    with path.open("wb") as file:
        writer = PcapWriter(file)
        for datagram in datagrams:
            writer.packet(0, packet.ethernet(datagram, tags=[(0x8100, 5)]))
    # A sanitizer preloaded for us is none of tshark's business.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    checks = [f"-o{name}.check_checksum:TRUE" for name in ("ip", "tcp", "udp")]
    fields = ["-Tfields", "-e", "_ws.expert", "-e", "_ws.malformed", "-e", "frame.protocols"]
    found = subprocess.run(
        [tshark, "-r", str(path), *checks, *fields],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    lines = found.stdout.splitlines()
    assert len(lines) == len(datagrams)
    for line in lines:
        expert, malformed, protocols = line.split("\t")
        assert "checksum" not in expert.lower()
        assert not malformed
        assert protocols.startswith("eth:ethertype:vlan:ethertype:ip")
