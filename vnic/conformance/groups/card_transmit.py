"""How the card sends, by registers: what leaves, in which order, what is refused and how it is reported."""

from __future__ import annotations

from typing import Any

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.conformance.card_drive import WAYS, filled
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.fault import Fault
from vnic.gen.descriptors import RxCompletion, TxCompletion, TxContext
from vnic.gen.enums import DescType, TxStatus
from vnic.gen.registers import BAR0
from vnic.testbench.frames import MAC, PEER, large_send, plain_frame, tcp_frame
from vnic.testbench.rig import Pair, Rig

_GROUP = bytes.fromhex("01005e000001")
_EVERYBODY = b"\xff" * 6


def _loud(rig: Rig) -> None:
    """Leave FFh everywhere in the card's buffers."""
    rig.transmit(PEER + MAC + b"\xff" * 1400)


@card_case(manual("TX-15", "transmit"), "short frames are padded with zeros to 60 bytes, tag included")
def padding_is_zeros(rig: Rig) -> None:
    """Frames of 14 to 61 bytes, tagged and not, each behind a long one full of FFh; with PAD and without."""
    for pad in (1, 0):
        rig.change(BAR0.MAC_TX_CTRL, PAD=pad)
        for length in (14, 15, 30, 55, 56, 57, 59, 60, 61):
            for tag in (None, 0x2005):
                _loud(rig)
                frame = (PEER + MAC + b"\x88\xb5" + bytes(range(1, 60)))[:length]
                context = {} if tag is None else {"vlan_insert": 1, "vlan_tci": tag}
                sent, report = rig.transmit(frame, **context)
                wanted = frame if tag is None else frame[:12] + b"\x81\0" + tag.to_bytes(2) + frame[12:]
                wanted = wanted.ljust(60, b"\0") if pad else wanted
                assert sent == [wanted], f"{length} bytes, tag {tag}, PAD {pad}: left as {sent[0].hex()}"
                assert (report.bytes, report.frames) == (len(wanted), 1), "BYTES or FRAMES is another"


@card_case(
    manual("TX-2", "transmit"),
    "a frame is its descriptors' bytes in their order, wherever it is cut, and however many there are",
    tx_count=256,
)
def frames_in_pieces(rig: Rig) -> None:
    """Frames of 14 to 1,514 bytes in pieces of 1, 7, 64 and 999, in up to 128 descriptors, both ways."""
    pair = rig[0]
    for run in WAYS:
        for length in (14, 60, 301, 1514):
            for piece in (1, 7, 64, 999):
                frame = plain_frame(length, piece, PEER)
                cuts = [piece] * min(-(-length // piece) - 1, 127)
                rig.device.is_manual = True
                pair.send(frame, cuts=cuts)
                run(rig)
                (report,) = pair.reports()
                assert report.status == TxStatus.OK, (
                    f"{length} bytes in {len(cuts) + 1} pieces: {report.status}"
                )
                assert rig.sent() == [frame.ljust(60, b"\0")], f"{length} bytes in {len(cuts) + 1} pieces"
        rig.device.is_manual = False


@card_case(
    manual("TX-5", "transmit"),
    "a frame without RS has no completion and returns its slot; the next report's HEAD covers it",
    cq_count=8,
    tx_count=64,
)
def frames_without_a_report(rig: Rig) -> None:
    """Three times round the ring with one report in ten, and 7 slots in all; both ways."""
    pair = rig[0]
    for run in WAYS:
        for batch in range(10):
            rig.device.is_manual = True
            sent = [plain_frame(70 + n, batch, PEER) for n in range(10)]
            for number, frame in enumerate(sent):
                pair.send(frame, report=number == 9)
            run(rig)
            assert rig.sent() == sent, "frames without RS do not leave"
            reports = pair.reports()
            assert len(reports) == 1, f"{len(reports)} reports of 10 frames of which one has RS"
            assert reports[0].head == pair.tx_tail, "HEAD does not cover the frames before"
            assert reports[0].index == (pair.tx_tail - 1) % rig.tx_count, "INDEX is not the frame's own"
            assert pair.get(BAR0.QP_TX_HEAD) == pair.tx_tail


def _refused(rig: Rig) -> list[tuple[str, list[bytes], TxStatus]]:
    """Descriptors that are one frame each, and why it is refused."""
    pair = rig[0]
    most = rig.get(BAR0.GLB_MAX_FRAME)
    piece, body = pair.piece, plain_frame(100, 1, PEER)

    def context(**fields: int) -> bytes:
        return TxContext(type=DescType.CONTEXT, **fields).pack()

    tcp = tcp_frame(bytes(100))
    offload = {"l3_offset": 14, "l4_offset": 34, "l4_csum": 1}
    descriptor, length, bad = TxStatus.DESCRIPTOR, TxStatus.LENGTH, TxStatus.OFFLOAD
    return [
        ("13 bytes", [piece(body[:13])], length),
        ("a byte more than GLB_MAX_FRAME", [piece(bytes(most + 1))], length),
        ("a length of 0", [piece(body, eop=0), piece(b"x", len=0)], descriptor),
        ("a length above 262144", [piece(body, len=262145)], descriptor),
        ("a context behind data", [piece(body, eop=0), context(ip_csum=1), piece(body)], descriptor),
        ("two contexts", [context(), context(), piece(body)], descriptor),
        ("a descriptor of no kind", [piece(body, type=3)], descriptor),
        ("129 descriptors", [piece(b"x", eop=int(n == 128)) for n in range(129)], descriptor),
        ("IP_CSUM of IPv6", [context(ip_csum=1, l3_offset=14, l3_kind=1), piece(tcp)], bad),
        ("IP_CSUM with L3_OFFSET 13", [context(ip_csum=1, l3_offset=13), piece(tcp)], bad),
        ("IP_CSUM beyond the frame", [context(ip_csum=1, l3_offset=140), piece(tcp)], bad),
        ("IP_CSUM with an IHL of 4", [context(ip_csum=1, l3_offset=14), piece(_changed(tcp, 14, 0x44))], bad),
        ("IP_CSUM with version 6", [context(ip_csum=1, l3_offset=14), piece(_changed(tcp, 14, 0x65))], bad),
        ("L4_CSUM without room for IP", [context(**offload | {"l4_offset": 33}), piece(tcp)], bad),
        ("a checksum beyond the frame", [context(**offload | {"l4_offset": 150}), piece(tcp)], bad),
        ("L4_CSUM of another version", [context(**offload), piece(_changed(tcp, 14, 0x65))], bad),
    ]


def _changed(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + bytes([value]) + frame[at + 1 :]


@card_case(
    manual("TX-3", "transmit"),
    "a frame that cannot be sent is reported with its status, RS or not, and those around it are sent",
)
def frames_that_are_refused(rig: Rig) -> None:
    """Sixteen kinds of them, each between two good frames; the counter of each reason."""
    good = [plain_frame(80 + n, n, PEER) for n in range(2)]
    for name, descriptors, status in _refused(rig):
        for run in WAYS:
            pair = rig[0]
            before = rig.counters("TX_DROP_")
            rig.device.is_manual = True
            pair.send(good[0])
            first = pair.tx_tail
            pair.send_raw(descriptors)
            behind = pair.tx_tail
            pair.send(good[1])
            run(rig)
            assert rig.sent() == good, f"{name}: the frames around it"
            reports = pair.reports()
            assert [each.status for each in reports] == [TxStatus.OK, status, TxStatus.OK], (
                f"{name}: {[TxStatus(each.status).name for each in reports]}"
            )
            told = (reports[1].index, reports[1].head, reports[1].frames, reports[1].bytes)
            assert told == (first, behind, 0, 0), f"{name}: INDEX, HEAD, FRAMES and BYTES are {told}"
            grown = {k: v - before.get(k, 0) for k, v in rig.counters("TX_DROP_").items()}
            grown = {k: v for k, v in grown.items() if v}
            assert grown == {status.name: 1}, f"{name} is counted as {filled(grown)}"


@card_case(manual("TX-18", "transmit"), "a frame whose bytes cannot be read ends with DMA, the ring runs on")
def bytes_that_cannot_be_read(rig: Rig) -> None:
    """Of a frame in three pieces each read fails in turn."""
    for number in range(3):
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        rig.device.arm(
            Fault(
                site=FaultSite.DMA_READ, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=number,
                count=1, argument=DmaStatus.UNSUPPORTED,
            )
        )  # fmt: skip
        sent, report = rig.transmit(plain_frame(300, 1, PEER), cuts=[100, 100], report=False)
        assert (sent, report.status) == ([], TxStatus.DMA), f"read {number} fails: {report.status}"
        assert rig.field(BAR0.GLB_EVENT, "DMA") == 1, "GLB_EVENT.DMA is clear"
        assert rig.transmit(plain_frame(90, 2, PEER))[0] == [plain_frame(90, 2, PEER)], "the next one"
    assert rig.counters("TX_DROP_") == {"DMA": 3}


@card_case(manual("TX-17", "transmit"), "without a link a frame ends with LINK; with LOOPBACK it needs none")
def links_that_are_down(rig: Rig) -> None:
    """Link down: send; LOOPBACK: send, and it comes in; link up: send."""
    frame = plain_frame(100, 1, MAC)
    rig.device.set_link(0)
    sent, report = rig.transmit(frame, report=False)
    assert (sent, report.status) == ([], TxStatus.LINK)
    assert rig.counters("TX_DROP_") == {"LINK": 1}
    rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(LOOPBACK=1))
    for mbps in (0, 10_000):
        rig.device.set_link(mbps)
        rig[0].send(frame)
        entries = rig[0].poll()
        status = [each.status for each in entries if isinstance(each, TxCompletion)]
        assert status == [TxStatus.OK], f"looped with a link of {mbps} Mb/s: {status}"
        came = [each for each in entries if isinstance(each, RxCompletion)]
        got = [each.data for each in rig[0].assemble(came)]
        assert got == [frame], "what is looped back did not come in"
        assert rig.sent() == [], "a looped frame reached the link"
    rig.put(BAR0.GLB_CTRL, 0)
    assert rig.transmit(frame)[0] == [frame]


@card_case(
    manual("TX-1", "transmit"),
    "while the transmitter is off rings wait, and nothing is lost or reported",
    pairs=2,
)
def a_transmitter_that_is_off(rig: Rig) -> None:
    """Frames on two rings with MAC_TX_CTRL.ENABLE clear, one of them half gathered; set it."""
    frames = [plain_frame(90 + n, n, PEER) for n in range(4)]
    rig.device.is_manual = True
    rig[0].send(frames[0], cuts=[20, 20, 20])
    for _ in range(3):
        rig.device.step(rig.device.runnable[0])
    rig.change(BAR0.MAC_TX_CTRL, ENABLE=0)
    for number, frame in enumerate(frames[1:]):
        rig[number % 2].send(frame)
    rig.device.run()
    assert rig.sent() == [], "frames leave with the transmitter off"
    assert rig[0].reports() == rig[1].reports() == []
    rig.change(BAR0.MAC_TX_CTRL, ENABLE=1)
    rig.device.run()
    assert sorted(rig.sent()) == sorted(frames), "frames were lost"
    assert len(rig[0].reports()) + len(rig[1].reports()) == 4


@card_case(
    manual("TX-14", "transmit"),
    "rings share the wire by bytes: in any stretch none gets much more than another that has work",
    pairs=3,
    tx_count=1024,
    cq_count=1024,
)
def rings_share_the_wire(rig: Rig) -> None:
    """Three rings with frames of 1,500, 300 and 60 bytes, 200 KB and 20 KB each; what left by then."""
    lengths = (1500, 300, 60)
    for number, length in enumerate(lengths):
        for count in range(100 if length == 1500 else 400):
            rig[number].send(plain_frame(length, count, PEER), ring=False, report=False)
    rig.device.is_manual = True
    for pair in rig.pairs:
        pair.ring_tx()
    order: list[int] = []
    while rig.device.runnable:
        rig.device.run()
        order += [frame.queue for frame in rig.device.frames()]
    assert len(order) == 900, f"{len(order)} of 900 frames left"
    for upto in range(60, 400, 20):
        given = [sum(lengths[n] for n in order[:upto] if n == queue) for queue in range(3)]
        left = [queue for queue in range(3) if queue in order[upto:]]
        if len(left) == 3:
            least = min(given)
            assert max(given) - least <= 3 * 16384, f"after {upto} frames the rings had {given} bytes"
    last = [len(order) - 1 - order[::-1].index(queue) for queue in range(3)]
    assert last[2] < last[0], "a ring of short frames waits for all the long ones"


@card_case(
    manual("TX-22", "transmit"),
    "each frame that left counts once, by the class of its address, with tag and padding, and for its pair",
    pairs=2,
)
def every_frame_is_counted(rig: Rig) -> None:
    """Frames to a station, to a group and to all, tagged and not, on two pairs, both ways; a large send."""
    for run in WAYS:
        rig.put(BAR0.STAT_CTRL, BAR0.STAT_CTRL.encode(CLEAR=1))
        before = [_of_pair(pair) for pair in rig.pairs]
        rig.device.is_manual = True
        for number, (to, count) in enumerate(((PEER, 3), (_GROUP, 4), (_EVERYBODY, 5))):
            for n in range(count):
                tag: dict[str, Any] = {"vlan_insert": 1, "vlan_tci": 5} if n % 2 else {}
                rig[number % 2].send(plain_frame(30 + 20 * n, n, to), **tag)
        data, context, cut = large_send(bytes(3000), 1000)
        rig[1].send(data, **context)
        run(rig)
        frames = rig.device.frames()
        wanted: dict[str, int] = {"LSO_SENDS": 1, "LSO_SEGMENTS": len(cut)}
        for frame in frames:
            to = frame.data[:6]
            name = "BROADCAST" if to == _EVERYBODY else "MULTICAST" if to[0] & 1 else "UNICAST"
            wanted[f"{name}_FRAMES"] = wanted.get(f"{name}_FRAMES", 0) + 1
            wanted[f"{name}_BYTES"] = wanted.get(f"{name}_BYTES", 0) + len(frame.data)
        assert len(frames) == 12 + len(cut), f"{len(frames)} frames left"
        found = {k: v for k, v in rig.counters("TX_").items() if k != "CSUM_INSERTED"}
        assert found == wanted, f"counted: {filled(found)}; left: {filled(wanted)}"
        for number, pair in enumerate(rig.pairs):
            own = [len(frame.data) for frame in frames if frame.queue == number]
            grown = tuple(now - then for now, then in zip(_of_pair(pair), before[number], strict=True))
            assert grown == (len(own), sum(own), 0, 0), f"pair {number} counts {grown} for {own}"
            pair.reports()


def _of_pair(pair: Pair) -> tuple[int, int, int, int]:
    """QP_TX_FRAMES, QP_TX_BYTES, QP_RX_FRAMES, QP_RX_BYTES."""
    return (
        pair.get(BAR0.QP_TX_FRAMES),
        pair.get(BAR0.QP_TX_BYTES),
        pair.get(BAR0.QP_RX_FRAMES),
        pair.get(BAR0.QP_RX_BYTES),
    )


@card_case(
    manual("TX-21", "transmit"), "a frame waits for room in the transmit buffer; none is dropped for that",
    tx_count=512, cq_count=512,
)  # fmt: skip
def a_link_that_does_not_take_frames(rig: Rig) -> None:
    """300 frames of 1,514 bytes, and nobody takes one before the card stands still."""
    frames = [plain_frame(1514, n, PEER) for n in range(300)]
    rig.device.is_manual = True
    for frame in frames:
        rig[0].send(frame)
    sent: list[bytes] = []
    for _ in range(400):
        rig.device.run()
        some = rig.sent()
        if not some:
            break
        sent += some
    assert sent == frames, f"{len(sent)} of 300 frames left, or in another order"
    assert [each.status for each in rig[0].reports()] == [TxStatus.OK] * 300


@card_case(manual("TX-5", "transmit"), "a report has the virtual time at which the frame left")
def times_of_reports(rig: Rig) -> None:
    """Send at times that go up to 2^40 ns."""
    for time_ns in (0, 1, 4096, 1 << 32, 1 << 40):
        rig.device.advance(time_ns)
        _, report = rig.transmit(plain_frame(90, 1, PEER))
        assert report.time == time_ns, f"TIME is {report.time} at {time_ns} ns"
        assert rig.get(BAR0.GLB_TIME) == time_ns
