"""What the card does to frames that it sends: checksums, tags and large sends, against a plain reference."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.conformance.card_drive import WAYS
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.fault import Fault
from vnic.gen.descriptors import TxContext, TxData
from vnic.gen.enums import DescType, TxStatus
from vnic.gen.registers import BAR0
from vnic.testbench.frames import MAC, PEER, large_send, plain_frame, pseudo_sum, tcp_frame, udp_frame
from vnic.testbench.rig import Rig
from vnic.wire import checksum, packet
from vnic.wire.parse import Frame

_PORTS = (40000, 80)


def _seeded(frame: bytes) -> bytes:
    """As a driver hands it over: the pseudo-header's sum, length included, in the checksum field."""
    f = Frame.parse(frame)
    assert f.source is not None and f.destination is not None
    at = f.l4_offset + (16 if f.proto == packet.TCP else 6)
    pseudo = checksum.pseudo(f.source.packed, f.destination.packed, f.proto, f.l4_len)
    return frame[:at] + checksum.total(pseudo).to_bytes(2) + frame[at + 2 :]


def _context(frame: bytes, **fields: int) -> dict[str, Any]:
    f = Frame.parse(frame)
    is_udp, is_ipv6 = int(f.proto == packet.UDP), int(frame[14] >> 4 == 6)
    return {
        "l3_offset": 14, "l4_offset": f.l4_offset, "l3_kind": is_ipv6, "l4_kind": is_udp, "l4_csum": 1
    } | fields  # fmt: skip


@card_case(
    manual("TX-8", "transmit"),
    "an inserted checksum is that of the datagram, for every length, version and protocol",
)
def checksums_of_every_length(rig: Rig) -> None:
    """TCP and UDP over both versions with 0 to 70 and 1,400 bytes, with IPv4 options, both ways."""
    pair = rig[0]
    for run in WAYS:
        for make in (tcp_frame, udp_frame):
            for version in (4, 6):
                options = [{}, {"options": b"\x01" * 12}] if version == 4 else [{}]
                for ip in options:
                    for length in (*range(0, 20), 69, 70, 1400):
                        data = bytes((n * 29 + length) & 0xFF for n in range(length))
                        frame = make(data, version=version, ip=dict(ip))
                        wanted = frame.ljust(60, b"\0")
                        handed = _seeded(frame)
                        context = _context(frame)
                        if version == 4:
                            handed = handed[:24] + b"\xde\xad" + handed[26:]
                            context["ip_csum"] = 1
                        rig.device.is_manual = True
                        pair.send(handed, **context)
                        run(rig)
                        assert rig.sent() == [wanted], f"{make.__name__}, IPv{version}, {length} bytes, {ip}"
                pair.reports()
    assert not rig.counters("TX_DROP_")


@card_case(manual("TX-8", "transmit"), "a UDP checksum that comes out as 0 is FFFFh; a TCP one stays 0")
def checksums_that_come_out_as_0(rig: Rig) -> None:
    """Datagrams whose last word makes the sum FFFFh."""
    for make, wanted in ((udp_frame, b"\xff\xff"), (tcp_frame, b"\0\0")):
        at = 40 if make is udp_frame else 50
        word = int.from_bytes(make(b"ab\0\0")[at : at + 2])
        frame = make(b"ab" + word.to_bytes(2), field=0)
        ((sent,), _) = rig.transmit(_seeded(frame), **_context(frame))
        assert sent[at : at + 2] == wanted, f"{make.__name__}: the field is {sent[at : at + 2].hex()}"


@card_case(
    manual("TX-10", "transmit"),
    "a tag is put behind the source address, whole, and does not count against the longest frame",
)
def tags_that_are_put_in(rig: Rig) -> None:
    """Tags with every priority and ids over the range, in frames of 14 bytes to GLB_MAX_FRAME."""
    most = rig.get(BAR0.GLB_MAX_FRAME)
    for number, vlan in enumerate((0, 1, 2, 255, 256, 4094, 4095)):
        tci = number << 13 | (number & 1) << 12 | vlan
        for length in (60, 1514, most):
            frame = plain_frame(length, number, PEER)
            sent, report = rig.transmit(frame, vlan_insert=1, vlan_tci=tci)
            wanted = frame[:12] + b"\x81\0" + tci.to_bytes(2) + frame[12:]
            assert sent == [wanted], f"tag 0x{tci:04x} in {length} bytes"
            assert report.bytes == length + 4
    assert rig.transmit(plain_frame(90, 1, PEER))[0] == [plain_frame(90, 1, PEER)], "contexts are sticky"


def _expect(rig: Rig, what: str, data: bytes, context: dict[str, Any], cut: list[bytes], **how: Any) -> None:
    sent, report = rig.transmit(data, **context, **how)
    wanted = [frame.ljust(60, b"\0") for frame in cut]
    assert len(sent) == len(wanted), f"{what}: {len(sent)} segments, not {len(wanted)}"
    for number, (found, right) in enumerate(zip(sent, wanted, strict=True)):
        wrong = [n for n in range(min(len(found), len(right))) if found[n] != right[n]]
        assert found == right, f"{what}: segment {number} of {len(wanted)} differs at {wrong[:4]}"
    told = (report.status, report.frames, report.bytes)
    assert told == (TxStatus.OK, len(wanted), sum(map(len, wanted))), f"{what}: STATUS, FRAMES, BYTES {told}"


@card_case(
    manual("TX-19", "transmit"),
    "each segment of a large send has its own numbers, lengths, flags and checksums; all else stays",
)
def segments_of_large_sends(rig: Rig) -> None:
    """Both versions, all flags, options of IP and TCP, tags, payloads around multiples of the MSS."""
    every = 0xFF
    shapes: list[tuple[str, dict[str, Any]]] = [
        ("plain", {}),
        ("all flags", {"flags": every}),
        ("FIN and PSH", {"flags": packet.ACK | packet.FIN | packet.PSH}),
        ("CWR and ECE", {"flags": packet.ACK | packet.CWR | packet.ECE}),
        ("urgent", {"flags": packet.ACK | packet.URG, "urgent": 7}),
        ("TCP options", {"options": b"\x01\x01\x08\x0a\1\2\3\4\5\6\7\x08"}),
        ("a sequence number that wraps", {"seq": (1 << 32) - 1500}),
        ("a tag", {"tag": 0xE123}),
    ]
    for version in (4, 6):
        for name, fields in shapes:
            for mss, length in ((64, 1), (64, 64), (64, 65), (536, 5000), (1446, 1446 * 3)):
                payload = bytes((n * 7 + n // 251) & 0xFF for n in range(length))
                data, context, cut = large_send(payload, mss, version, **fields)
                _expect(rig, f"IPv{version}, {name}, {length} bytes by {mss}", data, context, cut)


@card_case(
    manual("TX-19", "transmit"),
    "Identification goes up by one a segment and stays below 8000h; TOS, TTL and options stay",
)
def ip_headers_of_large_sends(rig: Rig) -> None:
    """Identifications around 7FFFh, FFFFh and 0; every TOS bit, odd TTLs, IPv4 options; IPv6 flow labels."""
    for identification in (0, 1, 0x7FFD, 0x7FFE, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF):
        ip = {"identification": identification, "tos": 0xB9, "ttl": 3, "options": b"\x94\x04\0\0"}
        data, context, cut = large_send(bytes(400), 100, 4, ip=ip)
        _expect(rig, f"Identification {identification:#x}", data, context, cut)
    ip6 = {"traffic_class": 0xB9, "flow_label": 0xABCDE, "hop_limit": 2}
    data, context, cut = large_send(bytes(400), 100, 6, ip=ip6)
    _expect(rig, "a flow label", data, context, cut)
    hops = (packet.HOP_BY_HOP, packet.options_header(b"\x05\x02\0\0"))
    data, context, cut = large_send(bytes(400), 100, 6, ip={"extensions": (hops,)})
    _expect(rig, "an extension header", data, context, cut)


@card_case(
    manual("TX-13", "transmit"),
    "a large send is the same whatever it is cut into, up to GLB_MAX_LSO bytes",
    tx_count=256,
)
def large_sends_in_pieces(rig: Rig) -> None:
    """Cuts in the headers, at their end and in each segment; 127 pieces; the largest; step by step."""
    data, context, cut = large_send(bytes(n * 13 & 0xFF for n in range(6000)), 1000)
    for cuts in ([10], [54], [53, 1], [1] * 60, [54, 1000, 1000], [54] + [47] * 100, [5999]):
        _expect(rig, f"pieces of {cuts[:4]}", data, context, cut, cuts=cuts)
    rig.device.is_manual = True
    rig[0].send(data, cuts=[54, 500, 999, 1], **context)
    for run in reversed(WAYS):
        run(rig)
    assert rig.sent() == cut, "step by step the segments are others"
    rig[0].reports()
    rig.device.is_manual = False
    most = rig.get(BAR0.GLB_MAX_LSO)
    payload = bytes(n * 31 & 0xFF for n in range(1024)) * (most // 1024)
    data, context, cut = large_send(payload[: most - 54], 1460)
    _expect(rig, "the largest", data, context, cut, cuts=[65536, 65536, 65536])


@card_case(
    manual("TX-12", "transmit"),
    "a large send whose context or headers contradict each other is refused, and nothing of it is sent",
)
def large_sends_that_are_refused(rig: Rig) -> None:
    """Wrong lengths, offsets, MSS, versions, protocols, fragments and data offsets."""
    data, good, _ = large_send(bytes(3000), 1000)
    most_frame, most = rig.get(BAR0.GLB_MAX_FRAME), rig.get(BAR0.GLB_MAX_LSO)
    wrong: list[tuple[str, dict[str, int], bytes, TxStatus]] = [
        ("no payload", {}, data[:54], TxStatus.LENGTH),
        ("more than GLB_MAX_LSO", {}, data + bytes(most - len(data) + 1), TxStatus.LENGTH),
        ("MSS 63", {"mss": 63}, data, TxStatus.OFFLOAD),
        ("MSS 0", {"mss": 0}, data, TxStatus.OFFLOAD),
        ("segments beyond GLB_MAX_FRAME", {"mss": most_frame - 53}, data + bytes(20_000), TxStatus.OFFLOAD),
        ("HDR_LEN 53", {"hdr_len": 53}, data, TxStatus.OFFLOAD),
        ("HDR_LEN 257", {"hdr_len": 257}, data, TxStatus.OFFLOAD),
        ("HDR_LEN behind the headers", {"hdr_len": 58}, data, TxStatus.OFFLOAD),
        ("UDP", {"l4_kind": 1}, data, TxStatus.OFFLOAD),
        ("L3_KIND IPv6", {"l3_kind": 1}, data, TxStatus.OFFLOAD),
        ("L4_OFFSET 38", {"l4_offset": 38}, data, TxStatus.OFFLOAD),
        ("L3_OFFSET 13", {"l3_offset": 13}, data, TxStatus.OFFLOAD),
        ("another protocol", {}, _changed(data, 23, 17), TxStatus.OFFLOAD),
        ("a fragment", {}, _changed(data, 20, 0x20), TxStatus.OFFLOAD),
        ("version 6 in the header", {}, _changed(data, 14, 0x65), TxStatus.OFFLOAD),
        ("a data offset of 6", {}, _changed(data, 46, 0x60), TxStatus.OFFLOAD),
    ]  # fmt: skip
    for name, fields, frame, status in wrong:
        cuts = [60_000] * (len(frame) // 60_000)
        sent, report = rig.transmit(frame, cuts=cuts, report=False, **good | fields)
        told = (report.status, report.frames, report.bytes, sent)
        assert told == (status, 0, 0, []), f"{name}: STATUS, FRAMES, BYTES and what left are {told[:3]}"
        assert rig.transmit(plain_frame(90, 2, PEER))[0] == [plain_frame(90, 2, PEER)], f"after {name}"


def _changed(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + bytes([value]) + frame[at + 1 :]


def _known_bits(kind: type[TxContext] | type[TxData]) -> int:
    """Those of a descriptor that are in a field."""
    known = 0
    for field in dataclasses.fields(kind):
        for bit in range(64):
            with suppress(ValueError):
                known |= int.from_bytes(kind(**{field.name: 1 << bit}).pack(), "little")
    return known


@card_case(
    manual("TX-3", "transmit"), "a bit without a meaning that is set in a descriptor refuses its frame"
)
def bits_without_a_meaning(rig: Rig) -> None:
    """Each such bit of a context, and of a data descriptor, alone."""
    pair = rig[0]
    body = plain_frame(90, 1, PEER)
    for kind in (TxContext, TxData):
        known = _known_bits(kind)
        for bit in range(128):
            if known >> bit & 1:
                continue
            made = [TxContext(type=DescType.CONTEXT).pack(), pair.piece(body)]
            place = 0 if kind is TxContext else 1
            changed = int.from_bytes(made[place], "little") ^ 1 << bit
            made[place] = changed.to_bytes(16, "little")
            pair.send_raw(made)
            (report,) = pair.reports()
            assert report.status == TxStatus.DESCRIPTOR, f"bit {bit} of {kind.__name__}: {report.status}"
            assert rig.sent() == [], f"with bit {bit} of {kind.__name__} the frame leaves"


@card_case(manual("TX-20", "transmit"), "the seed of a large send is taken from the header, whatever it says")
def seeds_of_large_sends(rig: Rig) -> None:
    """A seed that is not the addresses' own: each segment's checksum is off by as much."""
    for version in (4, 6):
        data, context, cut = large_send(bytes(range(200)) * 2, 100, version)
        at = context["l4_offset"] + 16
        seed = (pseudo_sum(version) + 0x1111) % 0xFFFF
        sent, _ = rig.transmit(data[:at] + seed.to_bytes(2) + data[at + 2 :], **context)
        for found, right in zip(sent, cut, strict=True):
            wanted = (int.from_bytes(right[at : at + 2]) - 0x1111) % 0xFFFF
            assert int.from_bytes(found[at : at + 2]) % 0xFFFF == wanted, "the seed is not what was given"
            assert found[:at] == right[:at], "the header is another"


@card_case(
    manual("TX-17", "transmit"),
    "a large send that breaks off ends at that segment: STATUS says why, FRAMES and BYTES what left",
)
def large_sends_that_break_off(rig: Rig) -> None:
    """Six segments; the link goes, or a read fails, before each of them."""
    data, context, cut = large_send(bytes(n * 5 & 0xFF for n in range(6000)), 1000)
    for left in range(1, 6):
        for way in (TxStatus.LINK, TxStatus.DMA):
            rig.device.is_manual = True
            rig.device.set_link(10_000)
            if way == TxStatus.DMA:
                failure = Fault(
                    site=FaultSite.DMA_READ, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=left + 1,
                    count=1, argument=DmaStatus.ABORTED,
                )  # fmt: skip
                rig.device.arm(failure)
            rig[0].send(data, cuts=[54] + [1000] * 5, **context, report=False)
            sent: list[bytes] = []
            while rig.device.runnable:
                rig.device.step(rig.device.runnable[0])
                sent += rig.sent()
                if way == TxStatus.LINK and len(sent) == left:
                    rig.device.set_link(0)
            rig.device.is_manual = False
            assert sent == cut[:left], f"{way.name}: {len(sent)} segments left, or others"
            (report,) = rig[0].reports()
            told = (report.status, report.frames, report.bytes)
            assert told == (way, left, sum(map(len, sent))), f"STATUS, FRAMES and BYTES are {told}"
    rig.device.set_link(10_000)
    assert rig.transmit(plain_frame(90, 2, PEER))[0] == [plain_frame(90, 2, PEER)]


@card_case(manual("TX-9", "transmit"), "fields that the offloads asked for do not use are not looked at")
def contexts_that_ask_for_little(rig: Rig) -> None:
    """A tag alone with impossible offsets, IP_CSUM alone with an impossible L4_OFFSET, nothing at all."""
    frame = tcp_frame(bytes(100))
    other = frame[:24] + b"\0\0" + frame[26:]
    wild = {"hdr_len": 1, "mss": 1, "l4_kind": 1}
    for context, handed, wanted in (
        ({"l3_offset": 511, "l4_offset": 511, "l3_kind": 1} | wild, frame, frame),
        ({"ip_csum": 1, "l3_offset": 14, "l4_offset": 3} | wild, other, frame),
        ({"vlan_insert": 1, "vlan_tci": 5, "l3_offset": 0} | wild, frame, None),
    ):
        sent, report = rig.transmit(handed, **context)
        assert report.status == TxStatus.OK, f"{context}: status {report.status}"
        right = wanted if wanted is not None else frame[:12] + b"\x81\0\0\x05" + frame[12:]
        assert sent == [right], f"{context}: another frame left"


@card_case(
    manual("TX-9", "transmit"),
    "headers and checksum fields may end with the frame, and not one byte behind it",
)
def headers_at_the_end_of_a_frame(rig: Rig) -> None:
    """IPv4 headers, and checksum fields of TCP and UDP, that end 1 before, at and behind the frame's end."""
    for behind in (-1, 0, 1, 2):
        ip = b"\x45" + bytes(19)
        frame = (PEER + MAC + b"\x88\xb5" + bytes(60)) + ip
        handed = frame[: len(frame) - behind] if behind > 0 else frame + bytes(-behind)
        _, report = rig.transmit(handed, ip_csum=1, l3_offset=74)
        wanted = TxStatus.OFFLOAD if behind > 0 else TxStatus.OK
        assert report.status == wanted, (
            f"an IPv4 header that ends {behind} bytes behind the frame: {report.status}"
        )
        for kind, field in ((0, 18), (1, 8)):
            body = b"\x45" + bytes(99)
            l4 = 14 + len(body) - field + behind
            sent, report = rig.transmit(
                PEER + MAC + b"\x08\0" + body, l4_csum=1, l3_offset=14, l4_offset=l4, l4_kind=kind
            )
            assert report.status == wanted, (
                f"a checksum field that ends {behind} behind the frame: {report.status}"
            )
            assert len(sent) == (behind <= 0)
