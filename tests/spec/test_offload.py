"""Offloads of transmit: checksums, tags, padding and large sends, by the requirements of spec/transmit.md."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import Engine
from vnic.gen.descriptors import TxContext
from vnic.gen.enums import DescType, L3Kind, L4Kind, TxStatus
from vnic.gen.registers import BAR0
from vnic.testbench.frames import ADDRESSES, large_send, tcp_frame, udp_frame
from vnic.testbench.rig import Rig, plain_frame
from vnic.wire import checksum, packet, verify
from vnic.wire.parse import Frame

NOWHERE = 0x7000_0000_0000
KINDS = {4: L3Kind.IPV4, 6: L3Kind.IPV6}
DATA = DescType.DATA


# ---- offloads


def offsets(version: int, options: int = 0) -> dict[str, int]:
    """Context fields of a frame of the tests."""
    return {
        "l3_offset": 14,
        "l4_offset": 14 + (20 if version == 4 else 40) + options,
        "l3_kind": KINDS[version],
    }


def seed(version: int, proto: int, length: int) -> int:
    """What the driver leaves in the checksum field."""
    source, destination = (packet.packed(address) for address in ADDRESSES[version])
    return checksum.total(checksum.pseudo(source, destination, proto, length))


@pytest.mark.requirement("TX-7")
@pytest.mark.parametrize("options", [0, 4, 40])
@pytest.mark.parametrize("stale", [0, 0xFFFF, 0x1234])
def test_ipv4_checksum_is_inserted(options: int, stale: int) -> None:
    right = udp_frame(b"data", ip={"options": b"\1" * options})
    wrong = udp_frame(b"data", ip={"options": b"\1" * options, "header_checksum": stale})
    with Rig() as rig:
        assert rig.transmit(wrong, l3_offset=14, ip_csum=1)[0] == [right.ljust(60, b"\0")]
        assert rig.stat("TX_CSUM_INSERTED") == 1


@pytest.mark.requirement("TX-8")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, 1001, 9000])
def test_transport_checksum_is_inserted(version: int, size: int) -> None:
    content = random.Random(size).randbytes(size)
    with Rig() as rig:
        rig.change(BAR0.MAC_TX_CTRL, PAD=0)
        field = seed(version, packet.TCP, 20 + size)
        sent, _ = rig.transmit(
            tcp_frame(content, version=version, field=field),
            l4_csum=1,
            l4_kind=L4Kind.TCP,
            **offsets(version),
        )
        assert sent == [tcp_frame(content, version=version)]
        field = seed(version, packet.UDP, 8 + size)
        sent, _ = rig.transmit(
            udp_frame(content, version=version, field=field),
            l4_csum=1,
            l4_kind=L4Kind.UDP,
            **offsets(version),
        )
        assert sent == [udp_frame(content, version=version)]


@pytest.mark.requirement("TX-7", "TX-8")
def test_both_checksums_at_once_behind_options_and_a_tag() -> None:
    ip = {"options": b"\1" * 8}
    field = seed(4, packet.TCP, 32 + 5)
    tags = [(0x8100, 5)]
    wrong = tcp_frame(b"hello", tags=tags, options=b"\1" * 12, field=field, ip=ip | {"header_checksum": 0})
    with Rig() as rig:
        sent, _ = rig.transmit(wrong, l3_offset=18, l4_offset=46, ip_csum=1, l4_csum=1)
        assert sent == [tcp_frame(b"hello", tags=tags, options=b"\1" * 12, ip=ip)]


@pytest.mark.requirement("TX-8")
@pytest.mark.parametrize("version", [4, 6])
def test_a_udp_checksum_is_never_0(version: int) -> None:
    plain = udp_frame(bytes(2), version=version, field=0)
    facts = Frame.parse(plain)
    rest = checksum.total(
        plain[facts.l4_offset :] + bytes([0, 0]) + seed(version, packet.UDP, 10).to_bytes(2)
    )
    content = (0xFFFF - rest).to_bytes(2)
    frame = udp_frame(content, version=version, field=seed(version, packet.UDP, 10))
    with Rig() as rig:
        (sent,), _ = rig.transmit(frame, l4_csum=1, l4_kind=L4Kind.UDP, **offsets(version))
        assert sent[facts.l4_offset + 6 : facts.l4_offset + 8] == b"\xff\xff"


CONTRADICTIONS: dict[str, tuple[bytes, dict[str, int]]] = {
    "IPv4 checksum of IPv6": (tcp_frame(version=6), {"l3_offset": 14, "ip_csum": 1, "l3_kind": 1}),
    "IP header in the Ethernet header": (tcp_frame(), {"l3_offset": 13, "ip_csum": 1}),
    "IP header beyond the frame": (plain_frame(60), {"l3_offset": 41, "ip_csum": 1}),
    "IP version 6, header checksum": (tcp_frame(version=6), {"l3_offset": 14, "ip_csum": 1}),
    "IHL of 4": (tcp_frame(ip={"ihl": 4}), {"l3_offset": 14, "ip_csum": 1}),
    "IHL beyond the frame": (plain_frame(30) + b"\x4f" + bytes(30), {"l3_offset": 30, "ip_csum": 1}),
    "transport in the IPv4 header": (tcp_frame(), {"l3_offset": 14, "l4_offset": 33, "l4_csum": 1}),
    "transport in the IPv6 header": (
        tcp_frame(version=6),
        {"l3_offset": 14, "l4_offset": 53, "l4_csum": 1, "l3_kind": 1},
    ),
    "transport before IP": (tcp_frame(b"x" * 50), {"l3_offset": 60, "l4_offset": 34, "l4_csum": 1}),
    "IP for transport in the Ethernet header": (tcp_frame(), {"l3_offset": 0, "l4_offset": 34, "l4_csum": 1}),
    "TCP checksum beyond the frame": (tcp_frame()[:51], {"l3_offset": 14, "l4_offset": 34, "l4_csum": 1}),
    "UDP checksum beyond the frame": (
        udp_frame()[:41],
        {"l3_offset": 14, "l4_offset": 34, "l4_csum": 1, "l4_kind": 1},
    ),
    "transport checksum, version 6": (tcp_frame(version=6), {"l3_offset": 14, "l4_offset": 54, "l4_csum": 1}),
    "transport checksum, version 4": (
        tcp_frame(b"x" * 40),
        {"l3_offset": 14, "l4_offset": 54, "l4_csum": 1, "l3_kind": 1},
    ),
}


@pytest.mark.requirement("TX-9")
@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions(name: str) -> None:
    frame, context = CONTRADICTIONS[name]
    with Rig() as rig:
        rig.assert_refused(
            [TxContext(type=DescType.CONTEXT, **context).pack(), rig[0].piece(frame)], TxStatus.OFFLOAD
        )


@pytest.mark.requirement("TX-9")
def test_fields_of_offloads_not_asked_for_are_not_looked_at() -> None:
    with Rig() as rig:
        sent, _ = rig.transmit(
            plain_frame(),
            **{
                "l3_offset": 500,
                "l4_offset": 3,
                "hdr_len": 511,
                "mss": 1,
                "vlan_tci": 9,
                "l3_kind": 1,
                "l4_kind": 1,
            },
        )
        assert sent == [plain_frame()]
        assert rig.stat("TX_CSUM_INSERTED") == 0


@pytest.mark.requirement("TX-10")
@pytest.mark.parametrize("tci", [0, 1, 0xE005, 0xFFFF])
@pytest.mark.parametrize("length", [14, 60, 1514, 9728])
def test_tag_is_inserted(tci: int, length: int) -> None:
    frame = plain_frame(length)
    with Rig() as rig:
        rig.change(BAR0.MAC_TX_CTRL, PAD=0)
        sent, report = rig.transmit(frame, vlan_insert=1, vlan_tci=tci)
        assert sent == [frame[:12] + b"\x81\0" + tci.to_bytes(2) + frame[12:]]
        assert report.bytes == length + 4


@pytest.mark.requirement("TX-10", "TX-8")
def test_offsets_are_those_without_the_inserted_tag() -> None:
    field = seed(4, packet.UDP, 8 + 50)
    with Rig() as rig:
        sent, _ = rig.transmit(
            udp_frame(bytes(50), field=field), l4_csum=1, l4_kind=1, vlan_insert=1, vlan_tci=7, **offsets(4)
        )
        assert sent == [udp_frame(bytes(50), tags=[(0x8100, 7)])]


@pytest.mark.requirement("TX-15")
@pytest.mark.parametrize("length", [14, 30, 55, 56, 57, 59, 60, 61])
@pytest.mark.parametrize("tag", [0, 1])
def test_padding(length: int, tag: int) -> None:
    frame = plain_frame(length)
    with Rig() as rig:
        rig.transmit(plain_frame(1000))  # so that padding would show what lay there before
        context = {"vlan_insert": 1, "vlan_tci": 2} if tag else {}
        (sent,), report = rig.transmit(frame, **context)
        unpadded = frame[:12] + b"\x81\0\0\2" + frame[12:] if tag else frame
        assert sent == unpadded.ljust(60, b"\0")
        assert report.bytes == len(sent)
        rig.change(BAR0.MAC_TX_CTRL, PAD=0)
        assert rig.transmit(frame, **context)[0] == [unpadded]


# ---- large send


@pytest.mark.requirement("TX-13", "TX-19", "TX-20")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("size", "mss"), [(1, 64), (64, 64), (65, 64), (1460, 1460), (1461, 1460), (20000, 536), (60000, 9000)]
)
def test_large_send_against_the_oracle(version: int, size: int, mss: int) -> None:
    payload = random.Random(size).randbytes(size)
    frame, context, expected = large_send(payload, mss, version, flags=0x18 | 0x01 | 0x80, seq=0xFFFF_FF00)
    with Rig() as rig:
        sent, report = rig.transmit(frame, cuts=[len(frame) - size], **context)
        assert sent == [f.ljust(60, b"\0") for f in expected]
        assert report.status == TxStatus.OK
        assert (report.frames, report.bytes) == (len(sent), sum(map(len, sent)))
        for one in sent:
            assert verify.transport(Frame.parse(one)) == verify.Verdict.GOOD


@pytest.mark.requirement("TX-13", "TX-6", "TX-18")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mss", [64, 1460, 9000])
def test_largest_large_send(version: int, mss: int) -> None:
    header = 54 if version == 4 else 74
    payload = random.Random(mss).randbytes(262144 - header)
    frame, context, expected = large_send(payload, mss, version)
    assert len(frame) == 262144
    with Rig(tx_buffer_bytes=1 << 21) as rig:
        sent, report = rig.transmit(frame, cuts=[100, 65536, 65536, 3], **context)
        assert sent == expected
        assert report.frames == len(expected)
        assert rig.stat("TX_LSO_SENDS") == 1
        assert rig.stat("TX_LSO_SEGMENTS") == len(expected)
        rig.put(BAR0.STAT_CTRL, 1)
        too_long = TxContext(type=DescType.CONTEXT, **context).pack()
        rig.assert_refused([too_long, rig[0].piece(frame, eop=0), rig[0].piece(b"x")], TxStatus.LENGTH)


@pytest.mark.requirement("TX-13", "TX-19")
@given(
    version=st.sampled_from([4, 6]),
    size=st.integers(1, 5000),
    mss=st.integers(64, 2000),
    cuts=st.lists(st.integers(1, 1500), max_size=20),
    flags=st.integers(0, 255),
    options=st.integers(0, 10),
    tag=st.none() | st.integers(0, 0xFFFF),
    identification=st.integers(0, 0xFFFF),
)
def test_large_sends_of_all_kinds(  # noqa: PLR0917 (given() names them)
    version: int,
    size: int,
    mss: int,
    cuts: list[int],
    flags: int,
    options: int,
    tag: int | None,
    identification: int,
) -> None:
    ip = {"identification": identification} if version == 4 else {}
    payload = random.Random(size).randbytes(size)
    frame, context, expected = large_send(
        payload, mss, version, tag=tag, ip=ip, flags=flags, options=b"\1" * 4 * options, seq=identification
    )
    with Rig(posted=0) as rig:
        sent, report = rig.transmit(frame, cuts=cuts, **context)
        assert sent == [f.ljust(60, b"\0") for f in expected]
        assert report.frames == len(expected)


@pytest.mark.requirement("TX-19")
def test_identification_stays_in_the_lower_half() -> None:
    frame, context, _ = large_send(bytes(64 * 6), 64, ip={"identification": 0x7FFD})
    with Rig() as rig:
        sent, _ = rig.transmit(frame, **context)
        assert [int.from_bytes(f[18:20]) for f in sent] == [0x7FFD, 0x7FFE, 0x7FFF, 0, 1, 2]


@pytest.mark.requirement("TX-19")
def test_flags_by_segment() -> None:
    flags = packet.FIN | packet.PSH | packet.ACK | packet.CWR | packet.ECE
    frame, context, _ = large_send(bytes(64 * 3), 64, flags=flags)
    with Rig() as rig:
        sent, _ = rig.transmit(frame, **context)
        kept = packet.ACK | packet.ECE
        assert [f[47] for f in sent] == [kept | packet.CWR, kept, kept | packet.FIN | packet.PSH]


@pytest.mark.requirement("TX-20")
def test_the_seed_in_the_field_is_what_counts() -> None:
    frame, context, _ = large_send(bytes(100), 64)
    wrong = frame[:50] + bytes([frame[50] ^ 1]) + frame[51:]
    with Rig() as rig:
        sent, _ = rig.transmit(wrong, **context)
        assert {verify.transport(Frame.parse(f)) for f in sent} == {verify.Verdict.BAD}


@pytest.mark.requirement("TX-11")
@pytest.mark.parametrize(
    "change",
    [
        {"hdr_len": 0},
        {"hdr_len": 257},
        {"mss": 63},
        {"mss": 0},
        {"mss": 9728 - 53},
        {"mss": 65535},
        {"l4_kind": L4Kind.UDP},
    ],
    ids=str,
)
def test_large_send_that_contradicts_itself(change: dict[str, int]) -> None:
    frame, context, _ = large_send(bytes(3000), 1000)
    with Rig() as rig:
        head = TxContext(type=DescType.CONTEXT, **context | change).pack()
        rig.assert_refused([head, rig[0].piece(frame)], TxStatus.OFFLOAD)


@pytest.mark.requirement("TX-6")
def test_large_send_without_payload() -> None:
    frame, context, _ = large_send(b"", 1000)
    with Rig() as rig:
        head = TxContext(type=DescType.CONTEXT, **context).pack()
        rig.assert_refused([head, rig[0].piece(frame)], TxStatus.LENGTH)


def broken(at: int, value: int, version: int = 4) -> bytes:
    """A large send with one octet of its headers replaced."""
    frame = bytearray(large_send(bytes(500), 100, version)[0])
    frame[at] = value
    return bytes(frame)


@pytest.mark.requirement("TX-12")
@pytest.mark.parametrize(
    ("frame", "change"),
    [
        (broken(14, 0x65), {}),
        (broken(14, 0x55), {}),
        (broken(14, 0x46), {}),
        (broken(14, 0x44), {}),
        (broken(20, 0x20), {}),
        (broken(21, 0x01), {}),
        (broken(23, packet.UDP), {}),
        (broken(46, 0x60), {}),
        (broken(46, 0x40), {}),
        (broken(14, 0x45), {"l3_kind": L3Kind.IPV6}),
        (broken(14, 0x45), {"l3_offset": 13}),
        (broken(14, 0x45), {"l4_offset": 38}),
        (broken(14, 0x45), {"l4_offset": 511}),
        (broken(14, 0x45), {"hdr_len": 50}),
        (broken(14, 0x45), {"hdr_len": 10}),
        (broken(20, packet.UDP, 6), {"l3_kind": L3Kind.IPV6, "l4_offset": 54, "hdr_len": 74}),
    ],
)
def test_large_send_whose_headers_disagree(frame: bytes, change: dict[str, int]) -> None:
    _, context, _ = large_send(bytes(500), 100)
    with Rig() as rig:
        head = TxContext(type=DescType.CONTEXT, **context | change).pack()
        rig.assert_refused([head, rig[0].piece(frame)], TxStatus.OFFLOAD)


@pytest.mark.requirement("TX-12")
def test_lengths_and_checksums_of_the_template_are_not_looked_at() -> None:
    frame, context, expected = large_send(bytes(500), 100)
    noise = bytearray(frame)
    noise[16:18] = b"\xab\xcd"
    noise[24:26] = b"\x12\x34"
    with Rig() as rig:
        assert rig.transmit(bytes(noise), **context)[0] == expected


@pytest.mark.requirement("TX-12", "TX-19")
def test_large_send_over_ipv6_extension_headers() -> None:
    extensions = [(packet.DESTINATION, packet.options_header(b"\1\2\0\0"))]
    frame, context, expected = large_send(bytes(1000), 300, 6, ip={"extensions": extensions})
    assert context["l4_offset"] == 62
    with Rig() as rig:
        assert rig.transmit(frame, **context)[0] == expected


@pytest.mark.requirement("TX-13")
def test_a_segment_leaves_as_soon_as_it_is_read() -> None:
    frame, context, expected = large_send(bytes(1000), 100)
    with Rig(manual=True) as rig:
        rig[0].send(frame, cuts=[54, *[100] * 9], **context)
        while not rig.device.step(Engine.LSO):
            rig.device.step(Engine.TX)
        left = []
        while rig.device.step(Engine.LSO):
            left.append(len(rig.sent()))
        assert left == [1] * 10
        assert [r.frames for r in rig[0].reports()] == [len(expected)]
