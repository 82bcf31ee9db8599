"""How the card receives, by registers: which frames, into which buffers, and what is told of them."""

from __future__ import annotations

from itertools import product

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.conformance.card_drive import WAYS, arrive, filled
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames, messages
from vnic.conformance.pages import manual
from vnic.conformance.shapes import shapes, trains
from vnic.fault import Fault
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.frames import MAC, plain_frame, tcp_frame
from vnic.testbench.rig import UNTOUCHED, Received, Rig
from vnic.wire import verify
from vnic.wire.parse import L3, L4, Frame, Mark

_GROUP = bytes.fromhex("01005e000001")
_EVERYBODY = b"\xff" * 6


def _judged(frame: bytes) -> dict[str, int]:
    """What a completion says of a frame, by the reference parser."""
    f = Frame.parse(frame)
    is_whole = f.l4 in (L4.TCP, L4.UDP)
    l4 = verify.transport(f)
    return {
        "ip_csum": int(verify.ipv4_header(f)),
        "l4_csum": 0 if l4 == verify.Verdict.UDP_ZERO else int(l4),
        "ipv4": int(f.l3 is L3.IPV4),
        "ipv6": int(f.l3 is L3.IPV6),
        "tcp": int(f.l4 is L4.TCP),
        "udp": int(f.l4 is L4.UDP),
        "fragment": int(Mark.FRAGMENT in f.marks),
        "l3_offset": f.l2_len if f.l3 is not L3.NONE else 0,
        "l4_offset": f.l4_offset if is_whole else 0,
    }


def _told(received: Received) -> dict[str, int]:
    return {name: getattr(received.first, name) for name in _judged(b"")}


@card_case(
    manual("RX-7", "receive"),
    "checksums are judged as far as they can be, kinds and offsets are the frame's; verdicts are counted",
)
def verdicts_of_every_shape(rig: Rig) -> None:
    """Frames of every shape, alone, both ways; each field of the completion, and the counters of verdicts."""
    for (name, frame), run in product(shapes().items(), WAYS):
        before = rig.counters("RX_")
        (got,) = arrive(rig, [frame], run)
        wanted = _judged(frame)
        assert _told(got) == wanted, f"{name}: {filled(_told(got))}; wanted {filled(wanted)}"
        assert (got.data, got.first.frame_len) == (frame, len(frame)), f"{name} came otherwise"
        grown = {key: count - before.get(key, 0) for key, count in rig.counters("RX_").items()}
        counted = {key: count for key, count in grown.items() if count and "CSUM" in key}
        verdicts = {
            "CSUM_GOOD": wanted["l4_csum"] == 1,
            "IP_CSUM_BAD": wanted["ip_csum"] == 2,
            "L4_CSUM_BAD": wanted["l4_csum"] == 2,
        }
        assert counted == {key: 1 for key, is_so in verdicts.items() if is_so}, f"{name} counts {counted}"


@card_case(
    manual("RX-7", "receive"), "frames that come together are judged as each of them alone", rx_count=128
)
def verdicts_of_trains(rig: Rig) -> None:
    """Trains of 24 like frames, one of them damaged, taken at once and step by step."""
    for run in WAYS:
        for number, train in enumerate(trains()):
            bad = bytearray(train[number + 3])
            bad[-1] ^= 0x40
            train[number + 3] = bytes(bad)
            got = list(arrive(rig, train, run))
            assert [each.data for each in got] == train, "frames came otherwise, or in another order"
            for received, frame in zip(got, train, strict=True):
                assert _told(received) == _judged(frame), f"{filled(_told(received))}"


@card_case(
    manual("RX-4", "receive"),
    "a unicast frame is taken if all six octets are MAC_ADDR's, a multicast one if they are a valid entry's",
)
def every_octet_of_an_address(rig: Rig) -> None:
    """Addresses that differ from MAC_ADDR, and from each end of the multicast list, in one bit."""
    rig.change(BAR0.MAC_RX_CTRL, MULTICAST=1)
    listed = [bytes([1, 0, 0x5E, n, 2 * n, 255 - n]) for n in range(32)]
    for number, address in enumerate(listed):
        value = int.from_bytes(address, "little") | BAR0.MAC_MULTICAST.encode(VALID=1)
        rig.put(BAR0.MAC_MULTICAST, value, number)
    for address in (MAC, listed[0], listed[15], listed[31]):
        for octet in range(6):
            for bit in (1, 6, 7):
                other = bytearray(address)
                other[octet] ^= 1 << bit
                assert not rig.receive(plain_frame(80, 1, bytes(other))), (
                    f"{other.hex()} was taken for {address.hex()}"
                )
        assert rig.receive(plain_frame(80, 1, address)), f"{address.hex()} was not taken"
        rig[0].post_rx(1)
    rig.put(BAR0.MAC_MULTICAST, int.from_bytes(listed[31], "little"), 31)
    assert not rig.receive(plain_frame(80, 1, listed[31])), "an entry that is not VALID counts"
    rig.put(BAR0.MAC_ADDR, int.from_bytes(bytes.fromhex("0600000000fe"), "little"))
    assert not rig.receive(plain_frame(80, 1, MAC)), "the old station address is still taken"
    assert rig.receive(plain_frame(80, 1, bytes.fromhex("0600000000fe")))


@card_case(
    manual("RX-4", "receive"), "each filter lets in its own kind of address and no other; PROMISCUOUS all"
)
def each_filter_alone(rig: Rig) -> None:
    """Each filter bit alone, with frames to two stations, to a listed and another group, and to all."""
    rig.put(BAR0.MAC_MULTICAST, int.from_bytes(_GROUP, "little") | BAR0.MAC_MULTICAST.encode(VALID=1))
    other_group = bytes.fromhex("01005e000002")
    sent = [MAC, bytes.fromhex("020000000077"), _GROUP, other_group, _EVERYBODY]
    wanted = {
        "UNICAST": [MAC],
        "MULTICAST": [_GROUP],
        "ALL_MULTICAST": [_GROUP, other_group],
        "BROADCAST": [_EVERYBODY],
        "PROMISCUOUS": sent,
    }
    for name, allowed in wanted.items():
        rig.put(BAR0.MAC_RX_CTRL, BAR0.MAC_RX_CTRL.encode(ENABLE=1, **{name: 1}))
        for run in WAYS:
            got = [each.data[:6] for each in arrive(rig, [plain_frame(80, 1, to) for to in sent], run)]
            assert got == allowed, f"with {name} frames to {[each.hex() for each in got]} came"


@card_case(
    manual("RX-2", "receive"),
    "the longest frame is the smaller of MAC_RX_MAX and GLB_MAX_FRAME, a tag included",
)
def the_longest_frame(rig: Rig) -> None:
    """Both sides of each limit, tagged and not; beyond GLB_MAX_FRAME with MAC_RX_MAX above it."""
    most = rig.get(BAR0.GLB_MAX_FRAME)
    for limit in (60, 1000, most, 0xFFFF):
        rig.put(BAR0.MAC_RX_MAX, limit)
        for length in (min(limit, most), min(limit, most) + 1):
            for frame in (plain_frame(length, 1), tcp_frame(bytes(length - 58), tags=((0x8100, 5),))):
                before = rig.stat("RX_DROP_OVERSIZE")
                came = rig.receive(frame)
                is_long = length > min(limit, most)
                assert bool(came) != is_long, f"{length} bytes with MAC_RX_MAX {limit}"
                assert rig.stat("RX_DROP_OVERSIZE") == before + is_long
                if came:
                    assert came[0].data == frame
                    rig[0].post_rx(len(came[0].parts))


@card_case(
    manual("RX-10", "receive"),
    "each buffer but the last is filled to RX_BUF_LEN, and beyond LEN it is left as it was",
    buf_len=192,
    rx_count=256,
)
def buffers_and_what_is_behind(rig: Rig) -> None:
    """Frames around multiples of 192 bytes; each completion, and each byte of the buffers, both ways."""
    for run in WAYS:
        for length in (60, 191, 192, 193, 384, 385, 1513):
            first = rig[0].rx_tail  # the ring is kept full but for one: its head is one ahead
            places = dict(rig[0].posted)
            (got,) = arrive(rig, [plain_frame(length, length)], run)
            assert got.data == plain_frame(length, length), f"{length} bytes came otherwise"
            assert len(got.parts) == -(-length // 192), f"{length} bytes in {len(got.parts)} buffers"
            for number, part in enumerate(got.parts):
                is_last = number == len(got.parts) - 1
                want = length - 192 * number if is_last else 192
                told = (part.len, part.sop, part.eop, part.frame_len, part.index)
                index = (first + 1 + number) % rig.rx_count
                assert told == (want, number == 0, is_last, length, index), f"completion {number}: {told}"
                del places[part.index]
        assert len(places) == rig.rx_count - 1 - len(got.parts)
        for data, _ in places.values():
            rest = rig.peek(data, 192)
            assert rest == bytes([UNTOUCHED]) * 192, "a buffer that is the card's was written"


@card_case(manual("RX-10", "receive"), "a buffer is left as it was beyond LEN", buf_len=2048)
def bytes_behind_a_frame(rig: Rig) -> None:
    """Short frames in long buffers."""
    for length in (60, 61, 64, 100, 1513):
        place = rig[0].posted[rig[0].get(BAR0.QP_RX_HEAD)][0]
        (got,) = rig.receive(plain_frame(length, 3))
        assert len(got.data) == length
        behind = rig.peek(place + length, 2048 - length)
        assert behind == bytes([UNTOUCHED]) * (2048 - length), f"bytes behind {length} of a buffer changed"


@card_case(
    manual("RX-8", "receive"),
    "a frame is split behind its headers if they fit the header buffer; else nothing is written there",
    split=True,
    hdr_len=64,
)
def headers_are_split(rig: Rig) -> None:
    """Frames of every shape with header buffers of 64 bytes; what is behind the header buffers stays."""
    for (name, frame), run in product(shapes().items(), WAYS):
        f = Frame.parse(frame)
        at = f.header_end if f.l3 is not L3.NONE and f.header_end <= 64 else 0
        header = rig[0].posted[rig[0].get(BAR0.QP_RX_HEAD)][1]
        (got,) = arrive(rig, [frame], run)
        told = (got.first.split, got.first.hdr_len, got.first.len)
        assert told == (int(at != 0), at, len(frame) - at), f"{name}: SPLIT, HDR_LEN and LEN are {told}"
        assert got.data == frame, f"{name} came otherwise"
        rest = rig.peek(header + at, 64 - at)
        assert rest == bytes([UNTOUCHED]) * (64 - at), (
            f"{name}: the header buffer was written behind {at} bytes"
        )


@card_case(
    manual("RX-8", "receive"), "of a split frame the header comes once, before its first buffer",
    split=True, hdr_len=256, buf_len=128,
)  # fmt: skip
def split_frames_in_several_buffers(rig: Rig) -> None:
    """Payloads of 0 to 1,400 bytes behind headers of both versions, into buffers of 128, both ways."""
    for run in WAYS:
        for version in (4, 6):
            for length in (0, 1, 127, 128, 129, 256, 1400):
                frame = tcp_frame(bytes(n & 0xFF for n in range(length)), version=version, min_len=60)
                (got,) = arrive(rig, [frame], run)
                head = Frame.parse(frame).header_end
                rest = len(frame) - head
                assert got.header == frame[:head], f"{length} bytes over IPv{version}: another header"
                assert got.payload == frame[head:], f"{length} bytes over IPv{version}: another payload"
                assert [part.hdr_len for part in got.parts] == [head] + [0] * (len(got.parts) - 1)
                assert len(got.parts) == max(1, -(-rest // 128))


@card_case(
    manual("RX-12", "receive"),
    "a frame whose buffer cannot be written ends there with ERROR and EOP; the next one is whole",
    buf_len=256,
)
def buffers_that_cannot_be_written(rig: Rig) -> None:
    """Of a frame in four buffers each write fails in turn."""
    frame = plain_frame(1000, 9)
    for number in range(4):
        before = rig.counters("RX_"), rig[0].get(BAR0.QP_RX_DROPS)
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        rig.device.arm(
            Fault(
                site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=number,
                count=1, argument=DmaStatus.UNSUPPORTED,
            )
        )  # fmt: skip
        (got,) = rig.receive(frame)
        ends = [(part.sop, part.eop, part.error) for part in got.parts]
        wanted = [(int(n == 0), int(n == number), int(n == number)) for n in range(number + 1)]
        assert ends == wanted, f"SOP, EOP and ERROR are {ends} when write {number} fails"
        after = rig.counters("RX_")
        assert after.get("DROP_DMA", 0) == before[0].get("DROP_DMA", 0) + 1, "it is not counted as dropped"
        assert after.get("UNICAST_FRAMES", 0) == before[0].get("UNICAST_FRAMES", 0), "it counts as delivered"
        assert rig[0].get(BAR0.QP_RX_DROPS) == before[1] + 1
        assert rig.field(BAR0.GLB_EVENT, "DMA") == 1, "GLB_EVENT.DMA is clear"
        (whole,) = rig.receive(frame)
        assert whole.data == frame, "the frame behind it came otherwise"
        assert whole.first.index == (got.parts[-1].index + 1) % rig.rx_count, "descriptors were lost"
        rig[0].post_rx(len(got.parts) + len(whole.parts))


@card_case(
    manual("RX-9", "receive"),
    "a frame is taken when every descriptor and every slot for it is there, and nothing of it else",
    buf_len=256,
    posted=0,
    cq_count=8,
    rx_count=16,
)
def room_for_all_of_a_frame(rig: Rig) -> None:
    """Frames of 1 to 5 buffers with 0 to 5 descriptors; then with descriptors enough and few slots."""
    for count in range(6):
        rig[0].reset()
        rig.pairs[0].start()
        if count:
            rig[0].post_rx(count)
        for buffers in range(5, 0, -1):
            before = rig.counters("RX_DROP_").get("NO_DESCRIPTOR", 0)
            came = rig.receive(plain_frame(256 * buffers, 1))
            assert bool(came) == (buffers <= count), f"{buffers} buffers with {count} descriptors"
            if came:
                break
            assert rig.counters("RX_DROP_").get("NO_DESCRIPTOR", 0) == before + 1
    rig[0].reset()
    rig.pairs[0].start()
    rig[0].post_rx(15)
    for frame in frames(5):
        rig.inject(frame)
    for buffers, is_room in ((3, False), (2, True), (1, False)):
        rig.inject(plain_frame(256 * buffers, 1))
        assert rig.counters("RX_DROP_").get("NO_COMPLETION", 0) == (1 if is_room or buffers == 3 else 2), (
            f"{buffers} buffers with {2 if buffers > 1 else 0} slots"
        )
    assert len(rig[0].take()) == 6, "an accepted frame was lost"


@card_case(manual("RX-3", "receive"), "while Bus Master Enable is clear frames wait, and come in their order")
def frames_wait_for_the_bus(rig: Rig) -> None:
    """Ten frames without Bus Master Enable; set it."""
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=0)
    for frame in frames(10):
        rig.inject(frame)
    assert rig[0].take() == []
    rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
    rig.device.run()
    assert [each.data for each in rig[0].take()] == frames(10), "frames were lost, or changed places"
    assert not rig.counters("RX_DROP_")


@card_case(
    manual("RX-1", "receive"),
    "each frame counts once, by the class of its address, with its bytes as delivered, and for its pair",
    rx_count=128,
)
def every_frame_is_counted(rig: Rig) -> None:
    """Frames to the card, to a group and to all, tagged and not, with and without stripping, both ways."""
    rig.change(BAR0.MAC_RX_CTRL, ALL_MULTICAST=1)
    for strip in (0, 1):
        rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=strip)
        for run in WAYS:
            rig.put(BAR0.STAT_CTRL, BAR0.STAT_CTRL.encode(CLEAR=1))
            pair = rig[0].get(BAR0.QP_RX_FRAMES), rig[0].get(BAR0.QP_RX_BYTES)
            sent = []
            for count, to in ((3, MAC), (4, _GROUP), (5, _EVERYBODY)):
                sent += [tcp_frame(bytes(40 + n), to=to, tags=((0x8100, 3),) * (n % 2)) for n in range(count)]
            assert len(list(arrive(rig, sent, run))) == 12
            wanted: dict[str, int] = {}
            for frame in sent:
                name = "UNICAST" if frame[:6] == MAC else "MULTICAST" if frame[:6] == _GROUP else "BROADCAST"
                length = len(frame) - (4 if strip and frame[12:14] == b"\x81\0" else 0)
                wanted[f"{name}_FRAMES"] = wanted.get(f"{name}_FRAMES", 0) + 1
                wanted[f"{name}_BYTES"] = wanted.get(f"{name}_BYTES", 0) + length
            found = {name: count for name, count in rig.counters("RX_").items() if "CSUM" not in name}
            assert found == wanted, f"counted: {found}, received: {wanted}"
            grown = rig[0].get(BAR0.QP_RX_FRAMES) - pair[0], rig[0].get(BAR0.QP_RX_BYTES) - pair[1]
            assert grown == (12, sum(v for k, v in wanted.items() if k.endswith("BYTES"))), (
                "the pair's counters"
            )


@card_case(
    manual("RX-6", "receive"),
    "of a stripped frame lengths and offsets are those without the tag; an inner tag stays",
)
def stripped_frames(rig: Rig) -> None:
    """Every shape in a tag, and in two; a frame that ends in its tag; 0x88A8 outside is no tag to strip."""
    rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1)
    for name, frame in shapes().items():
        if frame[12:14] in (b"\x81\0", b"\x88\xa8"):
            continue
        tagged = frame[:12] + b"\x81\0\x60\x07" + frame[12:]
        for run in WAYS:
            (got,) = arrive(rig, [tagged], run)
            assert got.data == frame, f"{name} in a tag came otherwise"
            assert (got.first.vlan, got.first.vlan_tci) == (1, 0x6007)
            assert got.first.frame_len == len(frame), f"{name}: FRAME_LEN has the tag in it"
            assert _told(got) == _judged(frame), f"{name}: {filled(_told(got))}"
    for frame in (tcp_frame(b"x", tags=((0x88A8, 3), (0x8100, 4))), plain_frame(12) + b"\x81\0\0\x05"):
        (got,) = rig.receive(frame)
        rig[0].post_rx(1)
        assert (got.data, got.first.vlan) == (frame, 0), "what is no 0x8100 tag was stripped"


@card_case(
    manual("INT-13", "interrupts"),
    "many completions raise the vector at least once, and each is counted as a cause",
)
def causes_of_received_frames(rig: Rig) -> None:
    """Twenty frames at once, then one by one."""
    messages(rig)
    for run in WAYS:
        before = rig.get(BAR0.VEC_CAUSES), rig.get(BAR0.VEC_RAISED)
        assert len(list(arrive(rig, frames(20), run))) == 20
        sent = messages(rig)
        assert sent and set(sent) == {0}, f"vectors {sent} were raised"
        assert rig.get(BAR0.VEC_CAUSES) - before[0] == 20, "a completion is no cause"
        assert rig.get(BAR0.VEC_RAISED) - before[1] == len(sent)
