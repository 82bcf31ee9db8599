"""Rings of the card, clause by clause: what it owns, what it latched, what stops it, and what it leaves
alone."""

from __future__ import annotations

from itertools import product

from vnic.abi import DmaPurpose, EventType
from vnic.conformance.card_drive import WAYS, arrive
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames, messages, through
from vnic.conformance.groups.card_rings import again, state
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.gen.descriptors import RxCompletion, RxDesc, TxData
from vnic.gen.enums import RingError
from vnic.gen.model import Register
from vnic.gen.registers import BAR0
from vnic.testbench.frames import PEER, plain_frame, tcp_frame
from vnic.testbench.rig import Rig

_RINGS = ("RX", "TX", "CQ")
_RUNS = (1, 1, RingError.NONE)


def _register(ring: str, name: str) -> Register:
    return BAR0.MAP[f"QP_{ring}_{name}"]


def _control(rig: Rig, ring: str, pair: int = 0, **fields: int) -> None:
    rig.put(_register(ring, "CTRL"), _register(ring, "CTRL").encode(**fields), pair)


def _fetched(told: list[Event], base: int, size: int) -> set[int]:
    """Indexes of the descriptors that were read."""
    found: set[int] = set()
    for event in told:
        first = (event.addr - base) // size
        if event.index == DmaPurpose.DESCRIPTOR and 0 <= first < 64:
            found |= set(range(first, first + len(event.data) // size))
    return found


@card_case(
    manual("RING-1", "rings"),
    "no descriptor is read that is not the card's: from HEAD up to TAIL, all round the ring",
    rx_count=16,
    tx_count=16,
    cq_count=64,
    posted=0,
)
def descriptors_that_are_not_the_cards(rig: Rig) -> None:
    """Hand 1 to 15 descriptors over at a time, both rings, three times round; which of them are read."""
    told: list[Event] = []
    pair = rig[0]
    with rig.device.observe(told.append, (EventType.DMA_READ,)):
        for count in (1, 2, 15, 7, 1, 15, 3):
            told.clear()
            given = {(pair.rx_tail + n) % 16 for n in range(count)}
            pair.post_rx(count)
            got = [each.data for frame in frames(count) for each in rig.receive(frame)]
            assert got == frames(count), f"{len(got)} of {count} frames came"
            assert rig.receive(plain_frame(99, 99)) == [], (
                f"a frame came into a ring of {count} that is used up"
            )
            read = _fetched(told, pair.rx_memory.address, RxDesc.SIZE)
            assert read == given, f"of {sorted(given)} handed over {sorted(read)} were read"
            told.clear()
            given = {(pair.tx_tail + n) % 16 for n in range(count)}
            for frame in frames(count):
                pair.send(frame, ring=False)
            pair.ring_tx()
            assert rig.sent() == frames(count), f"of {count} frames others left"
            read = _fetched(told, pair.tx_memory.address, TxData.SIZE)
            assert read == given, f"of {sorted(given)} handed over {sorted(read)} were read to send"
            pair.poll()


@card_case(
    manual("RING-1", "rings"),
    "no completion slot is written that is not the card's, at any place of the ring",
    cq_count=16,
    rx_count=64,
)
def slots_that_are_not_the_cards(rig: Rig) -> None:
    """Give 1 to 15 slots at a time; 16 frames come: so many are told of, and no other slot is written."""
    pair = rig[0]
    pair.put(BAR0.QP_CQ_TAIL, 0)
    at = 0
    for count in (1, 3, 15, 9, 15, 2):
        pair.put(BAR0.QP_CQ_TAIL, (at + count) % 16)
        before = bytes(pair.cq_memory.view)
        for frame in frames(16):
            rig.inject(frame)
        after = bytes(pair.cq_memory.view)
        changed = {n for n in range(16) if before[32 * n : 32 * n + 32] != after[32 * n : 32 * n + 32]}
        wanted = {(at + n) % 16 for n in range(count)}
        assert changed == wanted, f"slots {sorted(wanted)} are the card's, {sorted(changed)} were written"
        got = pair.assemble(e for e in pair.poll(give_back=False) if isinstance(e, RxCompletion))
        assert [each.data for each in got] == frames(count)
        pair.post_rx(count)
        at = (at + count) % 16
        assert pair.get(BAR0.QP_CQ_HEAD) == at == pair.get(BAR0.QP_CQ_TAIL)


@card_case(
    manual("RING-2", "rings"),
    "the lengths of buffers and header buffers, and the vector, are those of the ring's start",
    buf_len=512,
    hdr_len=128,
    split=True,
    vectors=4,
)
def lengths_that_are_latched(rig: Rig) -> None:
    """Write other lengths and vectors under running rings; frames of several buffers; then a start."""
    frame = tcp_frame(bytes(n & 0xFF for n in range(1100)))
    for name, value in (("RX_BUF_LEN", 64), ("RX_BUF_LEN", 4096), ("RX_HDR_LEN", 64), ("RX_HDR_LEN", 30)):
        kept = rig[0].get(BAR0.MAP[f"QP_{name}"])
        rig[0].put(BAR0.MAP[f"QP_{name}"], value)
        for odd in (frame, tcp_frame(b"x" * 40, ip={"options": b"\1" * 40}, options=b"\1" * 20)):
            for run in WAYS:
                (got,) = arrive(rig, [odd], run)
                assert got.data == odd and len(got.header) >= 54, f"{name} counts before the ring is started"
                assert len(got.parts) == max(1, -(-len(got.payload) // 512)), f"{name} counts at once"
        rig[0].put(BAR0.MAP[f"QP_{name}"], kept)
    messages(rig)
    rig[0].put(BAR0.QP_CQ_VECTOR, 2)
    assert rig.receive(frame) and set(messages(rig)) == {0}, "CQ_VECTOR counts at once"
    rig[0].post_rx(3)
    _control(rig, "CQ")
    assert rig[0].get(BAR0.QP_CQ_VECTOR) == 2
    rig[0].put(BAR0.QP_CQ_VECTOR, 2)
    rig.buf_len = 256
    rig[0].cq_memory.view[:] = bytes(len(rig[0].cq_memory))
    rig[0].cq_index, rig[0].generation = 0, 1
    _control(rig, "CQ", ENABLE=1)
    rig[0].put(BAR0.QP_CQ_TAIL, rig.cq_count - 1)
    rig[0].start_rx()
    rig[0].post_rx(8)
    (got,) = rig.receive(frame)
    assert (got.data, len(got.parts)) == (frame, 5), "RX_BUF_LEN does not count at the next start"
    assert set(messages(rig)) == {2}, "CQ_VECTOR does not count at the next start"


@card_case(
    manual("RING-3", "rings"),
    "of several things that are wrong the first in the manual's order is the error of the start",
)
def errors_in_their_order(rig: Rig) -> None:
    """Each wrong value with each that is checked later; powers of two and their neighbours as counts."""
    order = {"COUNT": (12, RingError.BAD_COUNT), "BASE": (0x20, RingError.BAD_BASE)}
    last = {
        "RX": {"BUF_LEN": (8, RingError.BAD_BUFFER), "CQ": (0, RingError.NO_CQ)},
        "TX": {"CQ": (0, RingError.NO_CQ)},
        "CQ": {"VECTOR": (77, RingError.BAD_VECTOR)},
    }
    for ring in _RINGS:
        checks = list((order | last[ring]).items())
        for first, (name, (value, error)) in enumerate(checks):
            for other, (more, _) in checks[first:]:
                again(rig)
                _control(rig, ring)
                for each, wrong in ((name, value), (other, more)):
                    if each == "CQ":
                        _control(rig, "CQ")
                    else:
                        rig[0].put(_register(ring, each), wrong)
                _control(rig, ring, ENABLE=1)
                found = state(rig, ring)
                assert found == (0, 0, error), f"{ring}: {name} and {other} wrong: {found}, not {error.name}"
    again(rig)
    for ring in _RINGS:
        for count in range(3, 16):
            for near in ((1 << count) - 1, 1 << count, (1 << count) + 1):
                _control(rig, ring)
                if ring == "CQ":
                    rig[0].put(BAR0.QP_CQ_VECTOR, 0)
                rig[0].put(_register(ring, "COUNT"), near)
                _control(rig, ring, ENABLE=1)
                assert state(rig, ring)[0] == (near == 1 << count), f"{ring} of {near} entries"
        again(rig)


@card_case(
    manual("RING-4", "rings"),
    "ENABLE written as it is changes nothing: a running ring goes on, an error stays until start or reset",
    pairs=2,
)
def enables_that_change_nothing(rig: Rig) -> None:
    """Write ENABLE 1 to running rings and 0 to rings that stopped with an error; then stop, and start."""
    through(rig)
    heads = [rig[0].get(_register(ring, "HEAD")) for ring in _RINGS]
    tails = [rig[0].get(_register(ring, "TAIL")) for ring in _RINGS]
    for ring in _RINGS:
        _control(rig, ring, ENABLE=1)
        assert state(rig, ring) == _RUNS, f"{ring}: {state(rig, ring)} after ENABLE in a ring that runs"
    assert [rig[0].get(_register(ring, "HEAD")) for ring in _RINGS] == heads, "a HEAD changed"
    assert [rig[0].get(_register(ring, "TAIL")) for ring in _RINGS] == tails, "a TAIL changed"
    through(rig)
    for ring in _RINGS:
        again(rig)
        rig[0].put(_register(ring, "TAIL"), 0xFFFF)
        for _ in range(2):
            assert state(rig, ring) == (0, 0, RingError.BAD_TAIL)
            _control(rig, ring)
            rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        assert state(rig, ring)[2] == RingError.BAD_TAIL, (
            f"{ring}: ENABLE 0 in a ring that stopped forgets why"
        )
        if ring == "CQ":
            rig[0].start_cq()
        else:
            getattr(rig[0], f"start_{ring.lower()}")()
        assert state(rig, ring) == _RUNS, f"{ring} does not start after an error"
    again(rig)
    through(rig)


@card_case(
    manual("RING-16", "rings"),
    "the event RING is of rings that stop by themselves: what the driver stops or resets is none",
)
def stops_that_are_no_event(rig: Rig) -> None:
    """Stop, start, and reset each ring; then a BAD_TAIL of each."""
    for ring in _RINGS:
        again(rig)
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        messages(rig)
        _control(rig, ring)
        assert state(rig, ring) == (0, 0, RingError.NONE), f"{ring}: {state(rig, ring)} after a stop"
        _control(rig, ring, RESET=1)
        errors = rig.stat("GUEST_ERRORS")
        rig[0].put(_register(ring, "TAIL"), 1)
        assert rig.stat("GUEST_ERRORS") == errors + 1, f"a {ring} TAIL without a ring is no guest error"
        assert rig[0].get(_register(ring, "TAIL")) == 0, f"a {ring} TAIL without a ring is taken"
        assert state(rig, ring) == (0, 0, RingError.NONE), f"{ring}: {state(rig, ring)} after its TAIL"
        assert rig.get(BAR0.GLB_EVENT) == 0 and messages(rig) == [], f"{ring}: an event without an error"
        again(rig)
        errors = rig.stat("GUEST_ERRORS")
        rig[0].put(_register(ring, "TAIL"), _size(rig, ring))
        assert rig.get(BAR0.GLB_EVENT) == BAR0.GLB_EVENT.encode(RING=1), f"{ring}: BAD_TAIL is no event"
        assert rig.stat("GUEST_ERRORS") == errors + 1, f"{ring}: BAD_TAIL is no guest error"
        wanted = [RingError.BAD_TAIL if each == ring else RingError.NONE for each in _RINGS]
        assert [state(rig, each)[2] for each in _RINGS] == wanted, f"{ring}: another ring has the error"
        assert messages(rig) == [1]
        rig.device.run()
        assert state(rig, ring)[1] == 0, f"{ring} starts by itself"


def _size(rig: Rig, ring: str) -> int:
    return {"RX": rig.rx_count, "TX": rig.tx_count, "CQ": rig.cq_count}[ring]


def _registers_of(rig: Rig, pair: int) -> dict[str, int]:
    """All that can be read of a pair, and of its vector."""
    found = {
        each.name: rig.get(each, pair) for each in BAR0.MAP if each.name.startswith("QP_") and each.count > 1
    }
    return found | {name: rig.get(BAR0.MAP[name], pair) for name in ("VEC_CTRL", "VEC_STATUS", "VEC_CAUSES")}


@card_case(
    manual("RING-5", "rings"),
    "an error, a stop or a reset of one pair's ring changes nothing on another, whatever it is at",
    pairs=3,
    buf_len=256,
    cq_count=16,
)
def pairs_that_know_nothing_of_each_other(rig: Rig) -> None:
    """Frames in delivery and being sent on pair 0; every end of every ring of pairs 1 and 2; all arrive."""
    for number in (1, 2):
        for ring in _RINGS:
            for end in ({}, {"RESET": 1}, None):
                rig.device.is_manual = True
                rig.inject(plain_frame(1000, 1))
                rig[0].send(plain_frame(900, 2, PEER), cuts=[100] * 8)
                for _ in range(3):
                    for engine in rig.device.runnable[:2]:
                        rig.device.step(engine)
                before = _registers_of(rig, 0)
                if end is None:
                    rig[number].put(_register(ring, "TAIL"), 0xFFFF)
                else:
                    _control(rig, ring, number, **end)
                what = f"{ring} of pair {number}, {end if end is not None else 'BAD_TAIL'}"
                assert _registers_of(rig, 0) == before, f"{what}: registers of pair 0 changed"
                assert rig.counters("RX_DROP_") == {}, f"{what}: a frame of pair 0 was dropped"
                rig.device.is_manual = False
                rig.device.run()
                assert rig.sent() == [plain_frame(900, 2, PEER)], f"{what}: pair 0 does not send"
                assert [each.data for each in rig[0].take()] == [plain_frame(1000, 1)], (
                    f"{what}: nothing came"
                )
                rig[0].post_rx(4)
                again(rig, number)


@card_case(
    manual("RING-7", "rings"),
    "just what is in use may not be taken back: fetched descriptors, buffers of the frame, promised slots",
    buf_len=256,
    posted=0,
)
def tails_at_what_is_in_use(rig: Rig) -> None:
    """A frame of five buffers in delivery, six in the cache to be sent; tails on both sides of the border."""
    for ring, least in (("RX", 3), ("CQ", 3), ("TX", 6)):
        for short in (0, 1):
            again(rig)
            rig.device.is_manual = True
            rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
            _begin(rig, ring)
            head, errors = rig[0].get(_register(ring, "HEAD")), rig.stat("GUEST_ERRORS")
            rig[0].put(_register(ring, "TAIL"), head + least - short)
            assert rig.stat("GUEST_ERRORS") - errors == short, f"{ring}: BAD_TAIL is no guest error"
            wanted = (0, 0, RingError.BAD_TAIL) if short else _RUNS
            found = state(rig, ring)
            assert found == wanted, f"{ring} TAIL {least - short} behind HEAD, {least} are in use: {found}"
            assert rig.field(BAR0.GLB_EVENT, "RING") == short
            others = [state(rig, each)[1] for each in _RINGS if each != ring]
            assert others == ([0, 0] if short and ring == "CQ" else [1, 1]), f"{ring}: others run {others}"
            rig.device.run()
            rig.device.is_manual = False
            if not short:
                assert ring == "TX" or rig[0].take()[0].data == plain_frame(1200, 3), (
                    f"{ring}: the frame is lost"
                )
            rig.device.frames()


def _begin(rig: Rig, ring: str) -> None:
    """Two of five buffers are written; or six descriptors fetched, and four behind them not."""
    if ring == "TX":
        for number in range(6):
            rig[0].send(plain_frame(80, number, PEER))
        rig.device.step(2)
        for number in range(4):
            rig[0].send(plain_frame(80, number, PEER))
        return
    rig.inject(plain_frame(1200, 3))
    for _ in range(3):
        rig.device.step(1)


@card_case(
    manual("RING-13", "rings"),
    "every entry is a cause of its ring's vector, sent or received, and nothing else is",
    pairs=2,
)
def causes_of_entries(rig: Rig) -> None:
    """Frames with a report in three, without any, refused ones, and trains that come in, both ways."""
    train = [tcp_frame(b"train", ports=(number, 80)) for number in range(9)]
    for run, pair in product(WAYS, rig.pairs):
        rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(DEFAULT_QUEUE=pair.number))
        rig.put(BAR0.RSS_COMMIT, BAR0.RSS_COMMIT.encode(GO=1))
        before = [rig.get(BAR0.VEC_CAUSES, each.number) for each in rig.pairs]
        rig.device.is_manual = True
        for number in range(12):
            pair.send(plain_frame(70, number, PEER), report=number % 3 == 2)
        pair.send(plain_frame(5, 1, PEER), report=False)
        for number in range(5):
            pair.send(plain_frame(400, number, PEER), cuts=[100], report=False)
        for frame in train:
            rig.inject(frame)
        run(rig)
        rig.device.is_manual = False
        entries = len(pair.poll())
        assert entries == 14, f"{entries} entries; 4 reports, an error and 9 frames are right"
        grown = [rig.get(BAR0.VEC_CAUSES, n) - before[n] for n in range(2)]
        wanted = [entries * (n == pair.number) for n in range(2)]
        assert grown == wanted, f"{entries} entries of pair {pair.number} are {grown} causes"
        pair.post_rx(9)
        rig.device.frames()
