"""How the card sends, clause by clause: descriptors of each kind, offsets at their bounds, what waits and
for what."""

from __future__ import annotations

from itertools import product
from typing import Any

from vnic.abi import DmaPurpose, DmaStatus, Engine, FaultAction, FaultSite
from vnic.conformance.card_drive import WAYS, filled
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.fault import Fault
from vnic.gen.descriptors import TxContext
from vnic.gen.enums import DescType, TxStatus
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.frames import MAC, PEER, datagram, ethernet, large_send, plain_frame, tcp_frame, udp_frame
from vnic.testbench.rig import Rig
from vnic.wire import checksum, packet
from vnic.wire.parse import Frame

_TAG = 0xA123


def _context(**fields: int) -> bytes:
    return TxContext(type=DescType.CONTEXT, **fields).pack()


def _seeded(frame: bytes) -> tuple[bytes, dict[str, int]]:
    """As a driver hands a frame over, with the pseudo-header's sum in it; and the context that asks for
    both sums."""
    f = Frame.parse(frame)
    assert f.source is not None and f.destination is not None
    at = f.l4_offset + (16 if f.proto == packet.TCP else 6)
    seed = checksum.total(checksum.pseudo(f.source.packed, f.destination.packed, f.proto, f.l4_len))
    is_ipv6 = int(frame[f.l2_len] >> 4 == 6)
    handed = frame[:at] + seed.to_bytes(2) + frame[at + 2 :]
    if not is_ipv6:
        handed = handed[: f.l2_len + 10] + b"\xbe\xef" + handed[f.l2_len + 12 :]
    context = {"l3_offset": f.l2_len, "l4_offset": f.l4_offset, "l3_kind": is_ipv6, "l4_csum": 1}
    return handed, context | {"l4_kind": int(f.proto == packet.UDP), "ip_csum": 1 - is_ipv6}


@card_case(
    manual("TX-3", "transmit"),
    "a descriptor that is neither data nor context ends the frame that it is in, with EOP or without",
)
def descriptors_of_no_kind(rig: Rig) -> None:
    """Each of the 14 other types, alone, behind data and behind a context; good frames around it, both
    ways."""
    body = plain_frame(90, 1, PEER)
    pair = rig[0]
    for kind, run in product((0, *range(3, 16)), WAYS):
        for head in (
            [],
            [pair.piece(body, eop=0)],
            [_context(vlan_insert=1)],
            [_context(), pair.piece(body, eop=0)],
        ):
            rig.device.is_manual = True
            first = pair.tx_tail
            pair.send_raw([*head, pair.piece(body, type=kind, eop=0)])
            behind = pair.tx_tail
            pair.send(plain_frame(80, kind, PEER))
            run(rig)
            assert rig.sent() == [plain_frame(80, kind, PEER)], f"type {kind} behind {len(head)} others"
            bad, good = pair.reports()
            told = (bad.status, bad.index, bad.head, bad.frames, bad.bytes)
            assert told == (TxStatus.DESCRIPTOR, first, behind, 0, 0), (
                f"type {kind}: STATUS to BYTES are {told}"
            )
            assert (good.status, good.index) == (TxStatus.OK, behind)


@card_case(
    manual("TX-4", "transmit"),
    "a frame has up to 128 descriptors, its context counted; one of more is passed over to its end",
    tx_count=1024,
)
def frames_of_many_descriptors(rig: Rig) -> None:
    """127 to 129, 256, 257 and 700 descriptors, with a context and without, from every 37th place of the
    ring."""
    pair = rig[0]
    for count, has_context in product((127, 128, 129, 256, 257, 700), (False, True)):
        head = [_context(vlan_insert=1, vlan_tci=_TAG)] if has_context else []
        body = plain_frame(count - len(head), count, PEER)
        for run in WAYS:
            rig.device.is_manual = True
            first = pair.tx_tail
            pieces = [pair.piece(body[n : n + 1], eop=int(n == len(body) - 1)) for n in range(len(body))]
            pair.send_raw([*head, *pieces])
            behind = pair.tx_tail
            for number in range(37):
                pair.send(plain_frame(70, number, PEER), report=number == 36)
            run(rig)
            sent, reports = rig.sent(), pair.reports()
            tagged = body[:12] + b"\x81\0" + _TAG.to_bytes(2) + body[12:] if has_context else body
            what = f"{count} descriptors, {len(head)} of them a context"
            if count <= 128:
                assert sent[:1] == [tagged], f"{what}: another frame left"
                assert len(reports) == 1, f"{what}: {len(reports)} reports, one was asked for"
            else:
                told = (reports[0].status, reports[0].index, reports[0].head)
                assert told == (TxStatus.DESCRIPTOR, first, behind), (
                    f"{what}: STATUS, INDEX and HEAD are {told}"
                )
            rest = sent[count <= 128 :]
            assert rest == [plain_frame(70, n, PEER) for n in range(37)], (
                f"{what}: {len(rest)} of 37 behind it"
            )
            assert reports[-1].head == pair.tx_tail
    assert rig.counters("TX_DROP_") == {"DESCRIPTOR": 16}, filled(rig.counters("TX_DROP_"))


@card_case(
    manual("TX-7", "transmit"),
    "checksums are put in where the context says, whatever lies before: tags, options, extension headers",
)
def offsets_of_offloads(rig: Rig) -> None:
    """TCP and UDP in one tag, in two, with 0 to 40 bytes of options, with extension headers; with
    VLAN_INSERT too."""
    tags: list[Any] = [(), ((0x8100, 5),), ((0x88A8, 5), (0x8100, 6))]
    hops = packet.options_header(b"\x05\x02\0\0")
    frames = []
    for each, make in product(tags, (tcp_frame, udp_frame)):
        frames += [make(b"data!", tags=each, ip={"options": b"\x01" * length}) for length in (0, 4, 36, 40)]
        frames.append(make(b"data!", version=6, tags=each))
        if not each:
            for count in (1, 7):
                ip = {"extensions": ((packet.HOP_BY_HOP, hops), *((packet.DESTINATION, hops),) * count)}
                frames.append(make(b"data!", version=6, ip=ip))
    for frame, insert in product(frames, (0, 1)):
        handed, context = _seeded(frame)
        tag = b"\x81\0" + _TAG.to_bytes(2) if insert else b""
        sent, report = rig.transmit(handed, **context, vlan_insert=insert, vlan_tci=_TAG)
        wanted = (frame[:12] + tag + frame[12:]).ljust(60, b"\0")
        assert report.status == TxStatus.OK, f"{context}: {report.status}"
        assert sent == [wanted], f"{context}, VLAN_INSERT {insert}: another frame left"


@card_case(
    manual("TX-9", "transmit"),
    "each offset is checked against what it needs by its kind: 20 bytes before L4_OFFSET, or 40; an IHL's "
    "length",
)
def offsets_at_their_bounds(rig: Rig) -> None:
    """L4_OFFSET around the end of either header, L3_OFFSET around 14, an IHL that reaches beyond the
    frame."""
    body = b"\x45" + bytes(119)
    body6 = b"\x65" + bytes(119)
    ethernet_header = PEER + MAC + b"\x08\0"
    for kind, data, least in ((0, body, 34), (1, body6, 54)):
        for l4 in (least - 1, least, least + 1):
            context = {"l4_csum": 1, "l3_offset": 14, "l4_offset": l4, "l3_kind": kind}
            _, report = rig.transmit(ethernet_header + data, **context)
            wanted = TxStatus.OFFLOAD if l4 < least else TxStatus.OK
            assert report.status == wanted, f"L3_KIND {kind}, L4_OFFSET {l4}: {report.status}"
    for l3, field in product((0, 13, 14), ("ip_csum", "l4_csum")):
        data = ethernet_header[:l3] + body
        _, report = rig.transmit(data, l3_offset=l3, l4_offset=60, **{field: 1})
        wanted = TxStatus.OK if l3 == 14 else TxStatus.OFFLOAD
        assert report.status == wanted, f"{field} with L3_OFFSET {l3}: {report.status}"
    for length, ihl in product((34, 37, 38, 73, 74, 90), (5, 6, 15)):
        data = (ethernet_header + bytes([0x40 | ihl]) + bytes(100))[:length]
        _, report = rig.transmit(data, ip_csum=1, l3_offset=14)
        wanted = TxStatus.OK if 14 + 4 * ihl <= length else TxStatus.OFFLOAD
        assert report.status == wanted, f"an IHL of {ihl} in {length} bytes: {report.status}"


@card_case(
    manual("TX-11", "transmit"),
    "HDR_LEN of 54 and 256, MSS of 64, and segments as long as GLB_MAX_FRAME are the bounds, and allowed",
)
def large_sends_at_their_bounds(rig: Rig) -> None:
    """Headers of 54 to 260 bytes over both versions; the longest segments, with a tag too, and one byte
    more."""
    option = packet.options_header(b"\x1e" + bytes([172]) + bytes(172))
    ip = {"extensions": ((packet.DESTINATION, option),)}
    for shift, words in product((0, 2, 3, 4), (0, 1, 2)):
        data, context, cut = large_send(bytes(range(200)), 64, 6, ip=ip, options=b"\1" * 4 * words)
        for name in ("hdr_len", "l3_offset", "l4_offset"):
            context[name] += shift
        data, *cut = (each[:14] + bytes(shift) + each[14:] for each in (data, *cut))
        sent, report = rig.transmit(data, **context)
        is_good = context["hdr_len"] <= 256
        told = (TxStatus(report.status), sent)
        assert told == ((TxStatus.OK, cut) if is_good else (TxStatus.OFFLOAD, [])), (
            f"HDR_LEN {context['hdr_len']}: {told[0].name}, {len(sent)} segments"
        )
    for options in (b"\x01" * 40, b"\x01" * 4):
        data, context, cut = large_send(bytes(range(200)), 64, ip={"options": options}, options=options)
        assert rig.transmit(data, **context)[0] == cut, f"HDR_LEN {context['hdr_len']} over IPv4"
    most = rig.get(BAR0.GLB_MAX_FRAME)
    for version, tag, more in product((4, 6), (None, _TAG), (0, 1)):
        header = 54 if version == 4 else 74
        data, context, cut = large_send(bytes(2 * most), most - header + more, version, tag=tag)
        sent, report = rig.transmit(data, **context)
        wanted = [] if more else cut
        assert sent == wanted, (
            f"IPv{version}, tag {tag}, MSS {context['mss']}: {TxStatus(report.status).name}"
        )


def _refused(rig: Rig, what: str, data: bytes, context: dict[str, Any]) -> None:
    sent, report = rig.transmit(data, **context, report=False)
    told = (report.status, report.frames, report.bytes, sent)
    assert told == (TxStatus.OFFLOAD, 0, 0, []), f"{what}: {TxStatus(report.status).name}, {len(sent)} left"


@card_case(
    manual("TX-12", "transmit"),
    "headers that contradict their context are refused, each bit of them; what is no contradiction is not",
)
def headers_of_large_sends(rig: Rig) -> None:
    """Each bit of the fragment field, versions, protocols and next headers, offsets and data offsets of
    both kinds."""
    data, good, _ = large_send(bytes(300), 100)
    for bit in range(16):
        changed = data[:20] + (1 << bit).to_bytes(2) + data[22:]
        if bit < 14:
            _refused(rig, f"bit {bit} of the fragment field", changed, good)
        else:
            assert len(rig.transmit(changed, **good)[0]) == 3, f"bit {bit} of the fragment field is refused"
    for nibble in (*range(4), *range(5, 16)):
        _refused(rig, f"version {nibble}", data[:14] + bytes([nibble << 4 | 5]) + data[15:], good)
    for words in (*range(5), *range(6, 16)):
        _refused(rig, f"a data offset of {words}", data[:46] + bytes([words << 4]) + data[47:], good)
        _refused(rig, f"an IHL of {words}", data[:14] + bytes([0x40 | words]) + data[15:], good)
    for proto in (0, 1, 17, 41, 255):
        _refused(rig, f"protocol {proto}", data[:23] + bytes([proto]) + data[24:], good)
    data6, good6, cut6 = large_send(bytes(300), 100, 6)
    for proto in (0, 17, 43, 44, 60):
        _refused(rig, f"next header {proto}", data6[:20] + bytes([proto]) + data6[21:], good6)
    for l4 in (53, 55, 46, 62):
        _refused(rig, f"IPv6 with L4_OFFSET {l4}", data6, good6 | {"l4_offset": l4})
    for l3 in (0, 10, 13, 15, 18):
        _refused(rig, f"L3_OFFSET {l3}", data, good | {"l3_offset": l3})
        _refused(rig, f"IPv6 with L3_OFFSET {l3}", data6, good6 | {"l3_offset": l3})
    _refused(rig, "IPv6 as IPv4", data6, good6 | {"l3_kind": 0})
    wild = data6[:18] + b"\xff\xff" + data6[20:]
    assert rig.transmit(wild, **good6)[0] == cut6, "a payload length in the header is looked at"


@card_case(
    manual("TX-1", "transmit"),
    "what is half done waits while the transmitter or Bus Master Enable is off, and goes on with the next "
    "byte",
)
def sends_that_are_held_up(rig: Rig) -> None:
    """A frame in pieces, a large send, descriptors to be fetched; each held up after every step, in both
    ways."""
    data, context, cut = large_send(bytes(n * 3 & 0xFF for n in range(700)), 250)
    plain = plain_frame(300, 4, PEER)
    off = BAR0.MAC_TX_CTRL.encode(PAD=1)
    on = BAR0.MAC_TX_CTRL.encode(PAD=1, ENABLE=1)
    for way, steps in product(("ENABLE", "Bus Master Enable"), range(9)):
        rig.device.is_manual = True
        rig[0].send(plain, cuts=[60, 100, 100])
        rig[0].send(data, cuts=[30, 24, 100, 300], **context)
        for _ in range(steps):
            rig.device.step(rig.device.runnable[0])
        if way == "ENABLE":
            rig.put(BAR0.MAC_TX_CTRL, off)
        else:
            rig.configure(CONFIG.COMMAND, MEMORY=1)
        sent = rig.sent()
        runnable = set(rig.device.runnable) - {Engine.IRQ}
        assert not runnable, f"{way} off after {steps} steps: {runnable} could go on"
        rig.device.run()
        assert rig.sent() == [], f"{way} off after {steps} steps: a frame leaves"
        rig.put(BAR0.MAC_TX_CTRL, on)
        rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
        rig.device.run()
        rig.device.is_manual = False
        sent += rig.sent()
        assert sent == [plain, *cut], (
            f"{way} off after {steps} steps: {len(sent)} of {len(cut) + 1} left, or others"
        )
        assert [each.status for each in rig[0].reports()] == [TxStatus.OK] * 2
    assert rig.counters("TX_DROP_") == {} and rig.stat("DMA_ERRORS") == 0


@card_case(
    manual("TX-16", "transmit"),
    "a looped frame waits for room in the receive packet buffer, like one to the link in the transmit buffer",
    rx_buffer_bytes=65536,
    tx_count=512,
    cq_count=1024,
    rx_count=512,
)
def looped_frames_wait_for_room(rig: Rig) -> None:
    """300 frames and a large send, while nothing is taken out of the buffer; then all of it is."""
    rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(LOOPBACK=1))
    for run in WAYS:
        rig.device.is_manual = True
        wanted = [plain_frame(1000, n) for n in range(100)]
        for frame in wanted:
            rig[0].send(frame, report=False)
        data, context, cut = large_send(bytes(4000), 1000)
        rig[0].send(MAC + data[6:], cuts=[54, 2000], **context)
        wanted += [MAC + segment[6:] for segment in cut]
        for _ in range(1000):
            if not {Engine.TX, Engine.LSO} & set(rig.device.runnable):
                break
            for engine in (Engine.TX, Engine.LSO):
                rig.device.step(engine)
        room = rig.get(BAR0.GLB_RX_BUFFER)
        sent = rig[0].get(BAR0.QP_TX_FRAMES)
        assert sent % 104 == room // 1024, f"{sent} frames of 1,024 bytes went into {room}"
        run(rig)
        rig.device.is_manual = False
        got = [each.data for each in rig[0].take()]
        assert got == wanted, f"{len(got)} of {len(wanted)} looped frames came, or others"
        rig[0].post_rx(len(got))
    assert rig.counters("RX_DROP_") == {}, filled(rig.counters("RX_DROP_"))
    rig.change(BAR0.MAC_RX_CTRL, ENABLE=0)
    rig[0].send(plain_frame(100, 1))
    (report,) = rig[0].reports()
    assert report.status == TxStatus.OK, "what the door refuses is not sent for the transmit side"
    assert rig.counters("RX_DROP_") == {"DISABLED": 1}


@card_case(
    manual("TX-22", "transmit"),
    "frames with a checksum put in count once each; a large send counts when all of it was sent",
)
def counters_of_offloads(rig: Rig) -> None:
    """Each set of offloads, refused ones too; large sends, one that ends with the link and one that cannot
    be read."""
    for ip, l4, tag in product((0, 1), (0, 1), (0, 1)):
        handed, context = _seeded(tcp_frame(b"count"))
        before = rig.stat("TX_CSUM_INSERTED")
        rig.transmit(handed, **context | {"ip_csum": ip, "l4_csum": l4, "vlan_insert": tag})
        grown = rig.stat("TX_CSUM_INSERTED") - before
        assert grown == (ip | l4), f"IP_CSUM {ip}, L4_CSUM {l4}, VLAN_INSERT {tag}: {grown} counted"
        _refused(rig, "version 5", handed[:14] + b"\x55" + handed[15:], context)
        assert rig.stat("TX_CSUM_INSERTED") == before + grown, (
            "a frame that is refused has a checksum counted"
        )
    data, send, cut = large_send(bytes(3000), 1000)
    for skip in range(3):
        sends = rig.stat("TX_LSO_SENDS")
        argument = DmaStatus.ABORTED
        rig.device.arm(
            Fault(
                site=FaultSite.DMA_READ, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=skip, count=1,
                argument=argument,
            )
        )  # fmt: skip
        sent, report = rig.transmit(data, cuts=[54, 1000], report=False, **send)
        told = (report.status, report.frames, report.bytes, sent)
        left = cut[: max(0, skip - 1)]
        assert told == (TxStatus.DMA, len(left), sum(map(len, left)), left), f"read {skip} fails: {told[:3]}"
        assert rig.stat("TX_LSO_SENDS") == sends, "a large send that broke off counts as sent"
        rig.transmit(data, **send)
        assert rig.stat("TX_LSO_SENDS") == sends + 1


@card_case(
    manual("TX-6", "transmit"),
    "lengths count before tag and padding: 14 bytes and GLB_MAX_FRAME are the bounds, tag or not",
)
def lengths_at_their_bounds(rig: Rig) -> None:
    """One byte below and above each bound, with a context, a tag, and in pieces; datagrams of the longest."""
    most = rig.get(BAR0.GLB_MAX_FRAME)
    fields: tuple[dict[str, Any], ...] = ({}, {"vlan_insert": 1, "vlan_tci": _TAG}, {"cuts": [7, 3]})
    for length, extra in product((1, 13, 14, 15, most - 1, most, most + 1), fields):
        frame = plain_frame(length, 1, PEER)
        sent, report = rig.transmit(frame, **extra)
        is_good = 14 <= length <= most
        wanted = TxStatus.OK if is_good else TxStatus.LENGTH
        assert (report.status, len(sent)) == (wanted, int(is_good)), (
            f"{length} bytes, {extra}: {report.status}"
        )
    payload = bytes(most - 42)
    frame = ethernet(datagram(4, packet.UDP, packet.udp("192.0.2.1", "198.51.100.2", 1, 2, payload)))
    handed, context = _seeded(frame)
    assert rig.transmit(handed, **context)[0] == [frame], "a checksum over the longest frame is another"
