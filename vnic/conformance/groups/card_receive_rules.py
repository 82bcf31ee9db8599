"""How the card receives, clause by clause: the order of reasons, tags, and what is said of every buffer."""

from __future__ import annotations

from itertools import product

from vnic.abi import DmaPurpose, DmaStatus, EventType, FaultAction, FaultSite
from vnic.conformance.card_drive import WAYS, arrive, commit_rss, filled
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import messages
from vnic.conformance.pages import manual
from vnic.conformance.shapes import shapes
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.descriptors import RxCompletion
from vnic.gen.registers import BAR0
from vnic.testbench.frames import MAC, plain_frame, tcp_frame
from vnic.testbench.rig import UNTOUCHED, Rig
from vnic.wire.parse import HashType

_KEY = bytes((n * 59 + 17) & 0xFF for n in range(40))
_ALL = sum(each for each in HashType)
_EVERYBODY = b"\xff" * 6
_TAG = ((0x8100, 0xA005),)


def _grown(rig: Rig, before: dict[str, int]) -> dict[str, int]:
    found = {name: count - before.get(name, 0) for name, count in rig.counters("RX_").items()}
    return {name: count for name, count in found.items() if count}


@card_case(
    manual("RX-2", "receive"),
    "the first reason that holds is the one that counts: link, off, too short, too long, no room",
    rx_buffer_bytes=65536,
    max_frame=9000,
    buf_len=9216,
    rx_count=8,
    posted=0,
    pairs=2,
)
def reasons_at_the_door(rig: Rig) -> None:
    """Frames to which two or more reasons apply, in each state of link, ENABLE, and a buffer that is full."""
    rig.put(BAR0.MAC_RX_MAX, 8000)
    rig.device.is_manual = True
    while rig.inject(plain_frame(8000)) == 0:
        pass
    while rig.inject(plain_frame(64)) == 0:
        pass
    drops = (rig[0].get(BAR0.QP_RX_DROPS), rig[1].get(BAR0.QP_RX_DROPS))
    for link, enable, length in product((0, 10_000), (0, 1), (0, 13, 14, 8000, 8001, 9000, 9001)):
        rig.device.set_link(link)
        rig.change(BAR0.MAC_RX_CTRL, ENABLE=enable)
        before = rig.counters("RX_")
        rig.inject(plain_frame(length))
        reason = "RUNT" if length < 14 else "OVERSIZE" if length > 8000 else "BUFFER"
        wanted = "LINK" if not link else "DISABLED" if not enable else reason
        assert _grown(rig, before) == {f"DROP_{wanted}": 1}, (
            f"link {link}, ENABLE {enable}, {length} bytes: {filled(_grown(rig, before))}, not {wanted}"
        )
    found = (rig[0].get(BAR0.QP_RX_DROPS), rig[1].get(BAR0.QP_RX_DROPS))
    assert found == drops, "a frame that no pair was chosen for is a pair's drop"


@card_case(
    manual("RX-1", "receive"),
    "a drop counts for the pair that was chosen, and for none before one was; each once, and nowhere else",
    pairs=3,
    posted=0,
    buf_len=128,
    cq_count=8,
)
def drops_of_pairs(rig: Rig) -> None:
    """No ring, no descriptor, no slot, a reset in delivery, on each pair; filters, which come before."""
    for number, pair in enumerate(rig.pairs):
        assert commit_rss(rig, key=_KEY, table=[0], types=0, log2=0, queue=number)
        for reason in ("QUEUE", "NO_DESCRIPTOR", "NO_COMPLETION", "RESET", "ADDRESS", "VLAN"):
            pair.reset()
            pair.start()
            frame = plain_frame(300, 1)
            if reason == "QUEUE":
                pair.put(BAR0.QP_RX_CTRL, 0)
            elif reason == "NO_DESCRIPTOR":
                pair.post_rx(2)
            elif reason == "NO_COMPLETION":
                pair.post_rx(9)
                pair.put(BAR0.QP_CQ_TAIL, 2)
            else:
                pair.post_rx(3)
            if reason == "ADDRESS":
                frame = plain_frame(300, 1, bytes.fromhex("020000000055"))
            if reason == "VLAN":
                frame = tcp_frame(bytes(200), tags=_TAG)
            rig.change(BAR0.MAC_RX_CTRL, VLAN_FILTER=int(reason == "VLAN"))
            before = rig.counters("RX_")
            drops = [each.get(BAR0.QP_RX_DROPS) for each in rig.pairs]
            rig.device.is_manual = True
            rig.inject(frame)
            if reason == "RESET":
                rig.device.step(1)
                rig.device.step(1)
                pair.put(BAR0.QP_RX_CTRL, BAR0.QP_RX_CTRL.encode(RESET=1))
            rig.device.run()
            rig.device.is_manual = False
            grown = {name: count for name, count in _grown(rig, before).items() if "HASHED" not in name}
            assert grown == {f"DROP_{reason}": 1}, f"pair {number}, {reason}: {filled(grown)}"
            now = [each.get(BAR0.QP_RX_DROPS) for each in rig.pairs]
            wanted = [int(n == number and reason not in ("ADDRESS", "VLAN")) for n in range(3)]
            found = [b - a for a, b in zip(drops, now, strict=True)]
            assert found == wanted, f"pair {number}, {reason}: QP_RX_DROPS have grown by {found}"


@card_case(
    manual("RX-4", "receive"),
    "broadcast is no multicast: neither the list nor ALL_MULTICAST lets it in, whatever is listed",
)
def broadcasts_in_the_list(rig: Rig) -> None:
    """The broadcast, a unicast and the station's own address as entries of the list; each set of filters."""
    station = bytes.fromhex("020000000044")
    for number, address in enumerate((_EVERYBODY, station, MAC)):
        value = int.from_bytes(address, "little") | BAR0.MAC_MULTICAST.encode(VALID=1)
        rig.put(BAR0.MAC_MULTICAST, value, number)
    for fields in (
        {"MULTICAST": 1},
        {"ALL_MULTICAST": 1},
        {"MULTICAST": 1, "ALL_MULTICAST": 1},
        {"UNICAST": 1},
    ):
        rig.put(BAR0.MAC_RX_CTRL, BAR0.MAC_RX_CTRL.encode(ENABLE=1, **fields))
        for to, run in product((_EVERYBODY, station, MAC), WAYS):
            got = list(arrive(rig, [plain_frame(80, 1, to)] * 2, run))
            wanted = 2 * (to == MAC and "UNICAST" in fields)
            assert len(got) == wanted, f"{', '.join(fields)}: {len(got)} of 2 frames to {to.hex()} came"


@card_case(
    manual("RX-5", "receive"),
    "the VLAN filter and stripping are about an outer tag of 0x8100, and about no other",
)
def tags_of_other_kinds(rig: Rig) -> None:
    """0x88A8 and 0x9100 outside of 0x8100, and 0x8100 outside of both, with each id in the table or not."""
    rig.put(BAR0.MAC_VLAN, 1 << 7)
    inner = tcp_frame(b"tags" * 20)
    for strip in (0, 1):
        rig.change(BAR0.MAC_RX_CTRL, VLAN_FILTER=1, VLAN_STRIP=strip)
        for outer, first, second in product((0x8100, 0x88A8, 0x9100), (7, 8), (7, 8)):
            tags = outer.to_bytes(2) + first.to_bytes(2) + b"\x81\0" + second.to_bytes(2)
            frame = inner[:12] + tags + inner[12:]
            is_tag = outer == 0x8100
            for run in WAYS:
                got = list(arrive(rig, [frame], run))
                assert len(got) == int(not is_tag or first == 7), f"{outer:#x} {first} outside of {second}"
                if got:
                    is_cut = is_tag and strip
                    assert got[0].data == (frame[:12] + frame[16:] if is_cut else frame), (
                        f"{outer:#x}, {strip}"
                    )
                    assert (got[0].first.vlan, got[0].first.vlan_tci) == (is_cut, first * is_cut)


@card_case(
    manual("RX-7", "receive"),
    "with CSUM clear nothing is judged and no verdict counted; all else is said as before",
)
def frames_that_nobody_judges(rig: Rig) -> None:
    """Frames of every shape, alone and as trains, with CSUM and without."""
    for run in WAYS:
        for name, frame in shapes().items():
            if name.endswith(", short"):
                continue
            told = []
            for csum in (1, 0):
                rig.change(BAR0.MAC_RX_CTRL, CSUM=csum)
                before = rig.counters("RX_")
                got = list(arrive(rig, [frame, frame], run))
                told.append([{**vars_of(each.first), "ip_csum": 0, "l4_csum": 0} for each in got])
                if not csum:
                    verdicts = [(each.first.ip_csum, each.first.l4_csum) for each in got]
                    assert verdicts == [(0, 0)] * 2, f"{name}: {verdicts} without CSUM"
                    counted = {key for key in _grown(rig, before) if "CSUM" in key}
                    assert not counted, f"{name}: {counted} count without CSUM"
            assert told[0] == told[1], f"{name}: CSUM changes other fields"


def vars_of(entry: RxCompletion) -> dict[str, int]:
    """What a completion says, but for its place."""
    names = entry.__slots__ if hasattr(entry, "__slots__") else vars(entry)
    return {name: getattr(entry, name) for name in names if name not in ("index", "gen")}


@card_case(
    manual("RX-11", "receive"),
    "all completions of a frame say the same of it: hash and type, tag, verdicts, kinds and offsets",
    buf_len=64,
    pairs=2,
    rx_count=128,
)
def every_completion_of_a_frame(rig: Rig) -> None:
    """Frames of every shape with a tag that is stripped, in buffers of 64 bytes, split and not."""
    assert commit_rss(rig, key=_KEY, table=[0], types=_ALL, log2=0)
    for split in (0, 1):
        rig[0].put(BAR0.QP_RX_CTRL, 0)
        rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1, HEADER_SPLIT=split)
        rig[0].start_rx()
        rig[0].post_rx(100)
        for name, frame in shapes().items():
            if len(frame) < 100 or "tag" in name:
                continue
            tagged = frame[:12] + b"\x81\0\xa0\x05" + frame[12:]
            (got,) = arrive(rig, [tagged], WAYS[-1])
            own = {"len", "hdr_len", "sop", "eop", "split"}
            said = [{k: v for k, v in vars_of(part).items() if k not in own} for part in got.parts]
            assert got.data == frame and len(got.parts) > 1 - split, f"{name} came otherwise"
            assert all(each == said[0] for each in said), f"{name}: its completions say different things"
            assert said[0]["vlan_tci"] == 0xA005 and said[0]["frame_len"] == len(frame)


@card_case(
    manual("RX-10", "receive"),
    "header, data, completion: each buffer of a frame is written before its entry, in the order of "
    "descriptors",
    buf_len=128,
    split=True,
)
def writes_of_a_frame(rig: Rig) -> None:
    """Watch the writes of frames in one to five buffers, split and not."""
    told: list[Event] = []
    for frame in (tcp_frame(bytes(n)) for n in (0, 5, 128, 129, 600)):
        told.clear()
        with rig.device.observe(told.append, (EventType.DMA_WRITE,)):
            rig.inject(frame)
        (got,) = rig[0].take()
        order = [DmaPurpose(event.index).name for event in told]
        each = ["DATA", "COMPLETION"]
        wanted = ["HEADER", *each * len(got.parts)] if got.payload else ["HEADER", "COMPLETION"]
        assert order == wanted, f"{len(frame)} bytes are written as {', '.join(order)}"
        written = b"".join(e.data for e in told if e.index in (DmaPurpose.HEADER, DmaPurpose.DATA))
        assert written == frame, "other bytes are written, or in another order"
        rig[0].post_rx(len(got.parts))


@card_case(
    manual("RX-12", "receive"),
    "a header that cannot be written ends its frame like data that cannot: ERROR, EOP, and nothing behind it",
    buf_len=128,
    split=True,
)
def headers_that_cannot_be_written(rig: Rig) -> None:
    """The header of a frame of five buffers fails, then that of one with nothing behind it; then good
    ones."""
    for length in (600, 0):
        frame = tcp_frame(bytes(n & 0xFF for n in range(length)))
        places = dict(rig[0].posted)
        messages(rig)
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        rig.device.arm(
            Fault(
                site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=DmaPurpose.HEADER, count=1,
                argument=DmaStatus.UNSUPPORTED,
            )
        )  # fmt: skip
        before = rig.counters("RX_")
        (got,) = rig.receive(frame)
        ends = [(part.sop, part.eop, part.error) for part in got.parts]
        assert ends == [(1, 1, 1)], f"SOP, EOP and ERROR are {ends}"
        data, header = places[got.first.index]
        assert rig.peek(data, 128) == bytes([UNTOUCHED]) * 128, "data is written behind a header that failed"
        assert rig.peek(header, 64) == bytes([UNTOUCHED]) * 64
        grown = {k: v for k, v in _grown(rig, before).items() if "CSUM" not in k}
        assert grown == {"DROP_DMA": 1}, filled(grown)
        assert rig.field(BAR0.GLB_EVENT, "DMA") == 1
        (whole,) = rig.receive(frame)
        assert whole.data == frame
        assert whole.first.index == (got.first.index + 1) % rig.rx_count, "descriptors were lost"
        rig[0].post_rx(1 + len(whole.parts))


@card_case(
    manual("RX-15", "receive"),
    "as long as RSS was never configured every frame comes on pair 0, without a hash, whatever is written",
    pairs=4,
)
def frames_without_rss(rig: Rig) -> None:
    """Every shape with the registers of RSS full of values that were never committed."""
    for register in (BAR0.RSS_KEY, BAR0.RSS_TABLE):
        for n in range(register.count):
            rig.put(register, 0x0302_0103, n)
    rig.put(BAR0.RSS_TYPES, BAR0.RSS_TYPES.mask())
    rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=1, TABLE_LOG2=2, DEFAULT_QUEUE=3))
    for run in WAYS:
        got = list(arrive(rig, list(shapes().values())[:60], run))
        assert len(got) == 60, f"{len(got)} of 60 frames came"
        where = {(each.first.queue, each.first.hash_type, each.first.hash) for each in got}
        assert where == {(0, 0, 0)}, f"pair, type and hash are {where}"
    assert not {"HASHED", "UNHASHED"} & set(rig.counters("RX_"))


@card_case(
    manual("RX-6", "receive"),
    "a frame that is too short to hold its tag is not stripped, and the first that is long enough is",
)
def tags_at_the_end_of_a_frame(rig: Rig) -> None:
    """Frames of 14 to 22 bytes that begin as tagged ones do, alone and as trains, with stripping and
    filter."""
    rig.put(BAR0.MAC_VLAN, 1 << 5)
    rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=1, VLAN_FILTER=1)
    whole = plain_frame(12) + b"\x81\0\x60\x05" + bytes(range(6))
    for length, run in product(range(14, 23), WAYS):
        got = list(arrive(rig, [whole[:length]] * 2, run))
        is_cut = length >= 18
        frame = whole[:12] + whole[16:length] if is_cut else whole[:length]
        assert [each.data for each in got] == [frame] * 2, f"{length} bytes came otherwise"
        told = {(each.first.vlan, each.first.vlan_tci, each.first.frame_len) for each in got}
        assert told == {(int(is_cut), 0x6005 * is_cut, len(frame))}, f"{length} bytes: {told}"


@card_case(
    manual("RX-9", "receive"),
    "of a pair that lacks several things the first counts: its ring, descriptors, slots",
    pairs=2,
    posted=0,
    buf_len=128,
    cq_count=8,
)
def reasons_of_a_pair(rig: Rig) -> None:
    """Frames of three buffers with too few of either, or of both, and without a ring, both ways."""
    for run, ring, descriptors, slots in product(WAYS, (1, 0), (0, 2, 3, 4), (0, 2, 3)):
        rig[0].reset()
        rig[0].start()
        rig[0].put(BAR0.QP_CQ_TAIL, slots)
        if descriptors:
            rig[0].post_rx(descriptors)
        if not ring:
            rig[0].put(BAR0.QP_RX_CTRL, 0)
        before = rig.counters("RX_")
        got = list(arrive(rig, [tcp_frame(bytes(300))], run))
        reason = "QUEUE" if not ring else "NO_DESCRIPTOR" if descriptors < 3 else "NO_COMPLETION"
        is_good = ring and descriptors >= 3 and slots >= 3
        grown = {name: count for name, count in _grown(rig, before).items() if "DROP" in name}
        what = f"ring {ring}, {descriptors} descriptors, {slots} slots"
        assert grown == ({} if is_good else {f"DROP_{reason}": 1}), f"{what}: {filled(grown)}"
        assert len(got) == int(is_good), what
