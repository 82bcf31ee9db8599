"""What the card has promised and what it has asked for: slots, segments that may leave, memory that the
host answers."""

from __future__ import annotations

from itertools import product

from vnic.abi import DmaStatus, Engine, EventType
from vnic.conformance.card_drive import WAYS, filled
from vnic.conformance.case import card_case
from vnic.conformance.chain import content
from vnic.conformance.groups.card import frames, through
from vnic.conformance.groups.card_rings import again, state
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.gen.descriptors import RxCompletion, TxCompletion
from vnic.gen.enums import RingError, TestOp, TestResult, TxStatus
from vnic.gen.registers import BAR0
from vnic.testbench.frames import PEER, large_send, plain_frame
from vnic.testbench.rig import Rig

_PAGE = 4096
_AWAY = 0x7_0000_0000
#: Steps of TX after which a send is begun: fetches, and the first of the frame itself.
_BEGUN = (2, 2, 6)


@card_case(
    manual("RING-17", "rings"),
    "a slot that is promised to one direction is not the other's: a frame is dropped, or a send waits",
    cq_count=8,
    posted=7,
    buf_len=256,
    rx_count=8,
)
def slots_that_are_promised(rig: Rig) -> None:
    """1 to 4 slots: a send half gathered, a large one, one that is skipped; frames come; and the other way
    round."""
    data, context, _ = large_send(bytes(600), 200)
    many = [rig[0].piece(b"x", eop=int(n == 199)) for n in range(200)]
    for slots, work in product(range(1, 5), range(3)):
        again(rig)
        rig[0].put(BAR0.QP_CQ_TAIL, slots)
        rig.device.is_manual = True
        if work == 0:
            rig[0].send(plain_frame(300, 1, PEER), cuts=[60, 60])
        elif work == 1:
            rig[0].send(data, cuts=[54, 100], **context)
        else:
            rig[0].send_raw(many)
        for _ in range(_BEGUN[work]):
            rig.device.step(Engine.TX)
        assert rig[0].get(BAR0.QP_TX_HEAD) == (0 if work < 2 else 128), "it is not in the middle"
        drops = rig.counters("RX_DROP_").get("NO_COMPLETION", 0)
        for frame in frames(5, 200):
            rig.inject(frame)
        while Engine.RX in rig.device.runnable:
            rig.device.step(Engine.RX)
        came = 5 - (rig.counters("RX_DROP_").get("NO_COMPLETION", 0) - drops)
        assert came == slots - 1, f"{slots} slots, one promised to a send: {came} frames were taken"
        rig.device.run()
        rig.device.is_manual = False
        kinds = [type(each) for each in rig[0].poll()]
        assert sorted(map(str, kinds)) == sorted(map(str, [RxCompletion] * came + [TxCompletion])), f"{kinds}"
        rig.device.frames()
    again(rig)
    rig[0].put(BAR0.QP_CQ_TAIL, 3)
    rig.device.is_manual = True
    rig.inject(plain_frame(700, 1))
    rig.device.step(Engine.RX)
    rig[0].send(plain_frame(70, 1, PEER))
    for _ in range(4):
        rig.device.step(Engine.TX)
    assert rig.sent() == [], "a send takes a slot that is promised to a frame in delivery"
    rig.device.run()
    assert [type(each) for each in rig[0].poll()] == [RxCompletion] * 3
    rig.device.run()
    assert rig.sent() == [plain_frame(70, 1, PEER)]


@card_case(
    manual("TX-13", "transmit"),
    "a segment leaves with the read of its last byte, before anything of the next one is read",
)
def segments_leave_at_once(rig: Rig) -> None:
    """Watch reads and frames of large sends in pieces of every size around a segment."""
    data, context, cut = large_send(bytes(n & 0xFF for n in range(1000)), 200)
    for cuts in ([54, 200, 200], [54, 100, 100, 100], [10, 44, 199, 1, 201], [254, 200], [60, 300, 300]):
        told: list[Event] = []
        with rig.device.observe(told.append, (EventType.DMA_READ, EventType.FRAME_OUT)):
            rig.transmit(data, cuts=cuts, **context)
        read = left = 0
        for event in told[1:]:
            if event.type == EventType.FRAME_OUT:
                left += 1
                assert bytes(event.data) == cut[left - 1], f"pieces of {cuts}: segment {left} is another"
            else:
                assert left == max(0, read - 54) // 200, (
                    f"pieces of {cuts}: {left} segments with {read} bytes read"
                )
                read += len(event.data)
        assert (read, left) == (len(data), len(cut)), f"pieces of {cuts}: {read} bytes read, {left} segments"


@card_case(
    manual("TX-17", "transmit"),
    "it is the link at the moment of leaving that counts, also for a frame that waited for room",
    tx_buffer_bytes=16384,
    max_frame=2000,
)
def links_that_go_while_frames_wait(rig: Rig) -> None:
    """More frames than the transmit buffer holds; the link goes; room comes; then the link is back."""
    rig.device.is_manual = True
    wanted = [plain_frame(1400, number, PEER) for number in range(16)]
    for frame in wanted:
        rig[0].send(frame, report=False)
    rig.device.run()
    rig.device.set_link(0)
    sent = rig.sent()
    assert 0 < len(sent) < 16, f"{len(sent)} frames fit"
    while rig.device.runnable:
        rig.device.run()
        assert rig.sent() == [], "a frame leaves without a link"
    reports = rig[0].reports()
    assert len(reports) == 16 - len(sent), f"{len(sent)} left, {len(reports)} are reported as not sent"
    assert {(each.status, each.frames, each.bytes) for each in reports} == {(TxStatus.LINK, 0, 0)}
    assert rig.counters("TX_DROP_") == {"LINK": 16 - len(sent)}, filled(rig.counters("TX_DROP_"))
    assert sent == wanted[: len(sent)]
    rig.device.set_link(10_000)
    rig.device.is_manual = False
    assert rig.transmit(wanted[0])[0] == wanted[:1]


@card_case(
    manual("PCI-15", "pci"),
    "what is not mapped the host is asked for, a granule at most at a time; what it does not answer is UR",
)
def memory_that_the_host_answers(rig: Rig) -> None:
    """Copies and fills where an answer has bytes, errors, nothing; beside mapped memory; then without an
    answer."""
    asked: list[tuple[int, int, bool]] = []
    store = bytearray(content(8 * _PAGE))

    def answer(at: int, view: memoryview, is_write: bool) -> DmaStatus:
        asked.append((at - _AWAY, len(view), is_write))
        if at - _AWAY >= 6 * _PAGE:
            return DmaStatus.ABORTED
        where = at - _AWAY
        if is_write:
            store[where : where + len(view)] = view
        else:
            view[:] = store[where : where + len(view)]
        return DmaStatus.OK

    rig.device.answer_unmapped(answer)
    own = rig.stage(bytes(5 * _PAGE))
    assert _go(rig, TestOp.COPY, own, _AWAY + 100, 9000) == TestResult.OK
    assert rig.peek(own, 9000) == bytes(store[100:9100]), "other bytes are read"
    _assert_whole(asked, 100, 9000, is_write=False)
    assert _go(rig, TestOp.FILL, _AWAY + _PAGE - 3, 0, 4100) == TestResult.OK
    assert bytes(store[_PAGE - 4 : 2 * _PAGE + 2]) == content(8 * _PAGE)[_PAGE - 4 : _PAGE - 3] + (
        b"\x5a" * 4100 + content(8 * _PAGE)[2 * _PAGE + 1 : 2 * _PAGE + 2]
    )
    _assert_whole(asked, _PAGE - 3, 4100, is_write=True)
    before = bytes(store)
    told: list[Event] = []
    with rig.device.observe(told.append, (EventType.DMA_WRITE,)):
        assert _go(rig, TestOp.FILL, _AWAY + 6 * _PAGE - 8, 0, 16) == TestResult.DMA_ERROR
    moved = [(len(event.data), event.value) for event in told]
    assert moved == [(8, DmaStatus.ABORTED)], f"bytes that moved, and how it ended: {moved}"
    assert bytes(store) == before[: 6 * _PAGE - 8] + b"\x5a" * 8 + before[6 * _PAGE :]
    asked.clear()
    rig[0].send_raw([rig[0].piece(b"", addr=_AWAY, len=80, rs=1)])
    assert rig.sent() == [bytes(store[:80])] and rig[0].reports()[0].status == TxStatus.OK
    rig.device.answer_unmapped(None)
    asked.clear()
    assert _go(rig, TestOp.FILL, _AWAY, 0, 16) == TestResult.DMA_ERROR, "nobody answers, and it is written"
    assert not asked
    through(rig)


def _assert_whole(asked: list[tuple[int, int, bool]], start: int, length: int, *, is_write: bool) -> None:
    """Asked for each byte once, in order, never across a granule."""
    at = start
    for where, count, kind in asked:
        assert (where, kind) == (at, is_write), f"asked for {where:#x}, it is {at:#x} that is next"
        assert where // _PAGE == (where + count - 1) // _PAGE, (
            f"asked for {count} bytes at {where:#x} at once"
        )
        at += count
    assert at == start + length, f"asked for {at - start} of {length} bytes"
    asked.clear()


def _go(rig: Rig, op: int, dst: int, src: int, length: int) -> TestResult:
    rig.put(BAR0.TEST_DMA_DST, dst)
    rig.put(BAR0.TEST_DMA_SRC, src)
    rig.put(BAR0.TEST_DMA_LEN, length)
    rig.put(BAR0.TEST_DMA_PATTERN, 0x5A5A_5A5A)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=op))
    return TestResult(rig.field(BAR0.TEST_DMA_STATUS, "RESULT"))


@card_case(
    manual("RING-15", "rings"),
    "a completion that cannot be written in the middle of a frame ends the frame, and all three rings",
    buf_len=128,
    pairs=2,
)
def entries_that_have_no_memory(rig: Rig) -> None:
    """The completion ring's memory ends behind 0 to 4 of the entries of a frame of five buffers; start
    again."""
    for left in range(5):
        again(rig)
        pair = rig[0]
        page = bytearray(_PAGE)
        rig.device.map(_AWAY, page, 3)
        pair.put(BAR0.QP_CQ_CTRL, 0)
        pair.put(BAR0.QP_CQ_BASE, _AWAY)
        pair.put(BAR0.QP_CQ_COUNT, 256)
        pair.put(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(ENABLE=1))
        pair.put(BAR0.QP_CQ_TAIL, 255)
        pair.start_rx()
        pair.start_tx()
        pair.post_rx(20)
        for number in range(128 - left):
            pair.send(plain_frame(64, number, PEER))
        rig.device.frames()
        before = rig.counters("RX_")
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        causes = rig.get(BAR0.VEC_CAUSES)
        rig.inject(plain_frame(600, 1))
        grown_causes = rig.get(BAR0.VEC_CAUSES) - causes
        assert grown_causes == left, f"{left} entries are written, {grown_causes} are causes"
        found = [state(rig, ring) for ring in ("CQ", "RX", "TX")]
        stopped = (0, 0, RingError.NONE)
        wanted = [(0, 0, RingError.WRITE_DMA), stopped, stopped]
        assert found == wanted, f"{left} entries fit: the rings are {found}"
        event = rig.get(BAR0.GLB_EVENT)
        assert event == BAR0.GLB_EVENT.encode(RING=1, DMA=1), f"{left} entries fit: GLB_EVENT is {event:#x}"
        grown = {k: v - before.get(k, 0) for k, v in rig.counters("RX_").items() if v != before.get(k, 0)}
        assert grown == {"DROP_RESET": 1}, f"{left} entries fit: {filled(grown)}"
        rig.device.unmap(_AWAY, _PAGE)
    again(rig)
    through(rig)


@card_case(
    manual("RING-12", "rings"),
    "the work of a ring is completed in the order of its descriptors, whatever kind of work it is",
    pairs=2,
    tx_count=1024,
    cq_count=512,
)
def reports_in_order(rig: Rig) -> None:
    """Short frames, large sends, frames that are refused, passed over or unreadable, without a link,
    mixed; INDEX."""
    data, context, _ = large_send(bytes(900), 300)
    for run, link in product(WAYS, (10_000, 0)):
        rig.device.is_manual = True
        rig.device.set_link(link)
        wanted: dict[int, list[int]] = {0: [], 1: []}
        for number in range(60):
            pair = rig[number % 2]
            wanted[pair.number].append(pair.tx_tail)
            kind = number * 7 % 6
            if kind == 0:
                pair.send(data, cuts=[54, 400], **context)
            elif kind == 1:
                pair.send_raw([pair.piece(b"x", eop=int(n == 140)) for n in range(141)])
            elif kind == 2:
                pair.send_raw([pair.piece(b"", addr=_AWAY, len=100)])
            elif kind == 3:
                pair.send_raw([pair.piece(b"short")])
            else:
                pair.send(plain_frame(80, number, PEER), cuts=[20] * (kind - 4))
            if number % 12 == 11:
                run(rig)
                rig.device.frames()
                for each in rig.pairs:
                    found = [report.index for report in each.reports()]
                    assert found == wanted[each.number], f"pair {each.number} reports {found}"
                    wanted[each.number].clear()
        rig.device.is_manual = False
