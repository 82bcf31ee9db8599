"""Rings: ownership, doorbells, completions and errors, by the requirements of spec/rings.md."""

from __future__ import annotations

import pytest

from vnic.abi import DmaPurpose, Engine, EventType
from vnic.events import Event
from vnic.gen.descriptors import RxCompletion, TxCompletion, TxData
from vnic.gen.enums import DescType, RingError
from vnic.gen.model import Register
from vnic.gen.registers import BAR0
from vnic.testbench.rig import Pair, Rig, plain_frame

NOWHERE = 0x7000_0000_0000  # a bus address without memory, aligned to 64


def indices(pair: Pair) -> tuple[int, int, int]:
    """HEAD of the receive, transmit and completion ring."""
    return pair.get(BAR0.QP_RX_HEAD), pair.get(BAR0.QP_TX_HEAD), pair.get(BAR0.QP_CQ_HEAD)


def running(pair: Pair) -> tuple[int, int, int]:
    """RUNNING of the receive, transmit and completion ring."""
    registers = (BAR0.QP_RX_STATUS, BAR0.QP_TX_STATUS, BAR0.QP_CQ_STATUS)
    rx, tx, cq = (register.field("RUNNING").get(pair.get(register)) for register in registers)
    return rx, tx, cq


def ring_event(rig: Rig) -> int:
    """GLB_EVENT.RING, and clear it."""
    value = rig.field(BAR0.GLB_EVENT, "RING")
    rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.encode(RING=1))
    return value


@pytest.mark.requirement("RING-1")
def test_ring_holds_one_less_than_count() -> None:
    with Rig(rx_count=8, posted=7) as rig:
        for number in range(9):
            rig.inject(plain_frame(number=number))
        assert [f.data for f in rig[0].take()] == [plain_frame(number=number) for number in range(7)]
        assert rig.stat("RX_DROP_NO_DESCRIPTOR") == 2
        assert rig[0].get(BAR0.QP_RX_HEAD) == rig[0].get(BAR0.QP_RX_TAIL) == 7


@pytest.mark.requirement("RING-1")
def test_no_entry_is_touched_that_the_card_does_not_own() -> None:
    with Rig(rx_count=16, posted=5, tx_count=16, cq_count=16) as rig:
        pair = rig[0]
        events: list[Event] = []
        with rig.device.observe(events.append, [EventType.DMA_READ, EventType.DMA_WRITE]):
            pair.send(plain_frame(), cuts=[20, 30])
            for _ in range(3):
                rig.inject(plain_frame())
        reads = [e for e in events if e.index == DmaPurpose.DESCRIPTOR]
        writes = [e for e in events if e.index == DmaPurpose.COMPLETION]
        owned = {pair.rx_memory.address: 5, pair.tx_memory.address: 3}
        for event in reads:
            base = max(b for b in owned if b <= event.addr)
            assert event.addr + len(event.data) <= base + 16 * owned[base]
        assert [e.addr for e in writes] == [pair.cq_memory.address + 32 * n for n in range(4)]
        assert all(len(e.data) == 32 for e in writes)


@pytest.mark.requirement("RING-2")
def test_configuration_is_latched_at_the_start() -> None:
    with Rig(posted=20) as rig:
        pair = rig[0]
        for register in (BAR0.QP_RX_BASE, BAR0.QP_TX_BASE, BAR0.QP_CQ_BASE):
            pair.put(register, NOWHERE)
        for register in (BAR0.QP_RX_COUNT, BAR0.QP_TX_COUNT, BAR0.QP_CQ_COUNT, BAR0.QP_RX_BUF_LEN):
            pair.put(register, 8)
        pair.put(BAR0.QP_CQ_VECTOR, 1)
        assert [f.data for f in rig.receive(plain_frame(200))] == [plain_frame(200)]
        assert rig.transmit(plain_frame(150))[0] == [plain_frame(150)]
        assert rig.get(BAR0.VEC_CAUSES, 0) == 2
        assert rig.get(BAR0.VEC_CAUSES, 1) == 0


@pytest.mark.requirement("RING-2")
def test_start_begins_at_index_0_again() -> None:
    with Rig(posted=10) as rig:
        rig.receive(plain_frame())
        rig.transmit(plain_frame())
        assert indices(rig[0]) == (1, 1, 2)
        rig[0].put(BAR0.QP_CQ_CTRL, 0)
        rig[0].start()
        assert indices(rig[0]) == (0, 0, 0)
        assert [rig[0].get(r) for r in (BAR0.QP_RX_TAIL, BAR0.QP_TX_TAIL)] == [0, 0]
        rig[0].post_rx(1)
        assert rig.receive(plain_frame())[0].first.index == 0


@pytest.mark.requirement("RING-3")
@pytest.mark.parametrize("ring", ["RX", "TX", "CQ"])
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("COUNT", 0, RingError.BAD_COUNT),
        ("COUNT", 4, RingError.BAD_COUNT),
        ("COUNT", 24, RingError.BAD_COUNT),
        ("COUNT", 65536, RingError.BAD_COUNT),
        ("COUNT", 0x8000_0000, RingError.BAD_COUNT),
        ("BASE", 0x1000_0020, RingError.BAD_BASE),
        ("BASE", 1, RingError.BAD_BASE),
    ],
)
def test_unsound_size_or_base_is_refused(ring: str, name: str, value: int, error: RingError) -> None:
    with Rig() as rig:
        ring_event(rig)
        check_refused(rig[0], ring, {name: value}, error)
        assert ring_event(rig) == 1


def check_refused(pair: Pair, ring: str, values: dict[str, int], error: RingError) -> None:
    """Stop a ring, change its configuration, try to start it."""
    control, status = BAR0.MAP[f"QP_{ring}_CTRL"], BAR0.MAP[f"QP_{ring}_STATUS"]
    pair.put(control, 0)
    for name, value in values.items():
        pair.put(BAR0.MAP[f"QP_{ring}_{name}"], value)
    pair.put(control, 1)
    assert pair.get(control) == 0
    assert pair.get(status) == status.encode(RUNNING=0, ERROR=error)


@pytest.mark.requirement("RING-3")
@pytest.mark.parametrize(
    ("ring", "values", "error"),
    [
        ("RX", {"BUF_LEN": 63}, RingError.BAD_BUFFER),
        ("RX", {"BUF_LEN": 65537}, RingError.BAD_BUFFER),
        ("RX", {"BUF_LEN": 0, "COUNT": 7, "BASE": 1}, RingError.BAD_COUNT),
        ("RX", {"BUF_LEN": 0, "BASE": 1}, RingError.BAD_BASE),
        ("CQ", {"VECTOR": 2}, RingError.BAD_VECTOR),
        ("CQ", {"VECTOR": 255, "COUNT": 9}, RingError.BAD_COUNT),
    ],
)
def test_other_refusals_and_their_order(ring: str, values: dict[str, int], error: RingError) -> None:
    with Rig() as rig:
        check_refused(rig[0], ring, values, error)


@pytest.mark.requirement("RING-3")
@pytest.mark.parametrize("length", [63, 1025])
def test_header_buffer_matters_only_with_header_split(length: int) -> None:
    with Rig() as rig:
        rig[0].put(BAR0.QP_RX_CTRL, 0)
        rig[0].put(BAR0.QP_RX_HDR_LEN, length)
        rig[0].put(BAR0.QP_RX_CTRL, 1)
        assert running(rig[0])[0] == 1
        rig.change(BAR0.MAC_RX_CTRL, HEADER_SPLIT=1)
        check_refused(rig[0], "RX", {}, RingError.BAD_BUFFER)


@pytest.mark.requirement("RING-3")
@pytest.mark.parametrize("ring", ["RX", "TX"])
def test_rings_need_the_completion_ring(ring: str) -> None:
    with Rig() as rig:
        rig[0].put(BAR0.QP_CQ_CTRL, 0)
        check_refused(rig[0], ring, {}, RingError.NO_CQ)
        check_refused(rig[0], ring, {"BASE": 32}, RingError.BAD_BASE)


@pytest.mark.requirement("RING-3", "RING-1")
@pytest.mark.parametrize("count", [8, 32768])
def test_smallest_and_largest_ring(count: int) -> None:
    with Rig(rx_count=count, tx_count=count, cq_count=count, buf_len=64, hdr_len=64, posted=count - 1) as rig:
        for number in range(20):
            (received,) = rig.receive(plain_frame(60, number))
            assert received.data == plain_frame(60, number)
            rig[0].post_rx(1)
            assert rig.transmit(plain_frame(60, number))[0] == [plain_frame(60, number)]


@pytest.mark.requirement("RING-4")
def test_stop_is_immediate() -> None:
    with Rig(manual=True) as rig:
        pair = rig[0]
        for number in range(4):
            pair.send(plain_frame(number=number))
            rig.inject(plain_frame(number=number))
        rig.device.run()
        head = indices(pair)
        rig.inject(plain_frame())
        pair.send(plain_frame())
        rig.device.step(Engine.TX)
        events: list[Event] = []
        with rig.device.observe(events.append, [EventType.DMA_READ, EventType.DMA_WRITE]):
            pair.put(BAR0.QP_CQ_CTRL, 0)
            rig.device.run()
        assert not events
        assert running(pair) == (0, 0, 0)
        assert indices(pair) == head == (4, 4, 8)
        for ring in ("RX", "TX", "CQ"):
            assert pair.get(BAR0.MAP[f"QP_{ring}_CTRL"]) == 0
            assert pair.get(BAR0.MAP[f"QP_{ring}_STATUS"]) == 0
        assert rig.stat("RX_DROP_QUEUE") == 1
        assert len(rig.sent()) == 4


@pytest.mark.requirement("RING-4")
@pytest.mark.parametrize("ring", ["RX", "TX", "CQ"])
def test_writing_enable_again_changes_nothing(ring: str) -> None:
    with Rig() as rig:
        rig.receive(plain_frame())
        rig.transmit(plain_frame())
        before = indices(rig[0])
        rig[0].put(BAR0.MAP[f"QP_{ring}_CTRL"], 1)
        assert indices(rig[0]) == before
        assert rig.receive(plain_frame(77))[0].data == plain_frame(77)


@pytest.mark.requirement("RING-4")
def test_receive_and_transmit_rings_stop_alone() -> None:
    with Rig() as rig:
        rig[0].put(BAR0.QP_RX_CTRL, 0)
        assert running(rig[0]) == (0, 1, 1)
        assert rig.transmit(plain_frame())[0] == [plain_frame()]
        rig[0].put(BAR0.QP_TX_CTRL, 0)
        rig[0].start_rx()
        rig[0].post_rx(3)
        assert running(rig[0]) == (1, 0, 1)
        assert len(rig.receive(plain_frame())) == 1


@pytest.mark.requirement("RING-5")
def test_pairs_are_apart() -> None:
    with Rig(pairs=3, posted=8) as rig:
        rig[1].put(BAR0.QP_CQ_TAIL, 0xFFFF)
        rig[2].reset()
        assert [running(pair) for pair in rig.pairs] == [(1, 1, 1), (0, 0, 0), (0, 0, 0)]
        assert len(rig.receive(plain_frame())) == 1
        rig[0].send(plain_frame())
        assert len(rig.sent()) == 1
        assert rig[1].error(BAR0.QP_CQ_STATUS) == RingError.BAD_TAIL
        assert rig[2].error(BAR0.QP_CQ_STATUS) == RingError.NONE


@pytest.mark.requirement("RING-6")
@pytest.mark.parametrize("ring", ["RX", "TX", "CQ"])
@pytest.mark.parametrize("tail", [64, 65, 0x1_0000, 0xFFFF_FFFF])
def test_doorbell_out_of_range_stops_the_ring(ring: str, tail: int) -> None:
    with Rig(rx_count=64, tx_count=64, cq_count=64) as rig:
        ring_event(rig)
        tail_register = BAR0.MAP[f"QP_{ring}_TAIL"]
        before = rig[0].get(tail_register)
        rig[0].put(tail_register, tail)
        status = {"RX": (0, 1, 1), "TX": (1, 0, 1), "CQ": (0, 0, 0)}
        assert running(rig[0]) == status[ring]
        assert rig[0].error(BAR0.MAP[f"QP_{ring}_STATUS"]) == RingError.BAD_TAIL
        assert rig[0].get(tail_register) == before
        assert ring_event(rig) == 1
        assert rig.stat("GUEST_ERRORS") == 1


@pytest.mark.requirement("RING-6")
@pytest.mark.parametrize("ring", ["RX", "TX", "CQ"])
@pytest.mark.parametrize("tail", [0, 3, 0xFFFF_FFFF])
def test_doorbell_of_a_stopped_ring_is_a_guest_error_only(ring: str, tail: int) -> None:
    with Rig() as rig:
        rig[0].put(BAR0.QP_CQ_CTRL, 0)
        ring_event(rig)
        before = rig[0].get(BAR0.MAP[f"QP_{ring}_TAIL"])
        rig[0].put(BAR0.MAP[f"QP_{ring}_TAIL"], tail)
        assert rig[0].get(BAR0.MAP[f"QP_{ring}_TAIL"]) == before
        assert rig[0].get(BAR0.MAP[f"QP_{ring}_STATUS"]) == 0
        assert ring_event(rig) == 0
        assert rig.stat("GUEST_ERRORS") == 1


@pytest.mark.requirement("RING-6")
@pytest.mark.parametrize("ring", ["RX", "TX", "CQ"])
def test_tail_of_a_ring_that_failed_reads_back_what_was_accepted(ring: str) -> None:
    with Rig() as rig:
        register = BAR0.MAP[f"QP_{ring}_TAIL"]
        rig[0].put(register, 0xFFFF)
        before = rig[0].get(register)
        for tail in (before ^ 1, 3, 0xFFFF_FFFF):
            rig[0].put(register, tail)
            assert rig[0].get(register) == before
        assert rig[0].error(BAR0.MAP[f"QP_{ring}_STATUS"]) == RingError.BAD_TAIL


@pytest.mark.requirement("RING-7")
def test_fetched_transmit_descriptors_cannot_be_taken_back() -> None:
    with Rig(manual=True) as rig:
        rig[0].send(plain_frame())
        rig[0].send(plain_frame())
        rig.device.step(Engine.TX)
        rig[0].put(BAR0.QP_TX_TAIL, 1)
        assert rig[0].error(BAR0.QP_TX_STATUS) == RingError.BAD_TAIL
        assert rig.stat("GUEST_ERRORS") == 1
        rig.device.run()
        assert rig.sent() == []
        assert rig[0].poll() == []


@pytest.mark.requirement("RING-7")
def test_transmit_descriptors_not_yet_fetched_can_be_taken_back() -> None:
    with Rig(manual=True) as rig:
        rig[0].send(plain_frame(number=1))
        rig[0].send(plain_frame(number=2))
        rig[0].put(BAR0.QP_TX_TAIL, 1)
        rig.device.run()
        assert rig.sent() == [plain_frame(number=1)]
        assert running(rig[0]) == (1, 1, 1)


@pytest.mark.requirement("RING-7")
def test_receive_descriptors_of_the_frame_in_delivery_cannot_be_taken_back() -> None:
    with Rig(manual=True, buf_len=64, posted=10) as rig:
        rig.inject(plain_frame(300))
        for _ in range(3):
            rig.device.step(Engine.RX)
        rig[0].put(BAR0.QP_RX_TAIL, 2)
        assert rig[0].error(BAR0.QP_RX_STATUS) == RingError.BAD_TAIL
        assert rig.stat("GUEST_ERRORS") == 1
        assert rig.device.run().steps <= rig.device.idle_steps
        assert rig.device.is_idle
        assert rig.stat("RX_DROP_RESET") == 1


@pytest.mark.requirement("RING-7")
def test_other_receive_descriptors_can_be_taken_back() -> None:
    with Rig(posted=10) as rig:
        rig[0].put(BAR0.QP_RX_TAIL, 2)
        assert [len(rig.receive(plain_frame())) for _ in range(3)] == [1, 1, 0]
        assert rig.stat("RX_DROP_NO_DESCRIPTOR") == 1


@pytest.mark.requirement("RING-7")
def test_promised_completion_slots_cannot_be_taken_back() -> None:
    with Rig(manual=True, buf_len=64, posted=10) as rig:
        rig.inject(plain_frame(300))
        for _ in range(2):
            rig.device.step(Engine.RX)
        rig[0].put(BAR0.QP_CQ_TAIL, 3)
        assert rig[0].error(BAR0.QP_CQ_STATUS) == RingError.BAD_TAIL
        assert rig.stat("GUEST_ERRORS") == 1
        assert running(rig[0]) == (0, 0, 0)


@pytest.mark.requirement("RING-8")
def test_a_descriptor_is_read_once() -> None:
    with Rig(manual=True) as rig:
        pair = rig[0]
        pair.send(plain_frame(number=5))
        reads: list[Event] = []
        with rig.device.observe(reads.append, [EventType.DMA_READ]):
            rig.device.step(Engine.TX)
            pair.tx_memory.view[:] = bytes([0xFF]) * len(pair.tx_memory)
            rig.device.run()
        assert rig.sent() == [plain_frame(number=5)]
        assert sum(e.index == DmaPurpose.DESCRIPTOR for e in reads) == 1


@pytest.mark.requirement("RING-9")
@pytest.mark.parametrize("name", ["RX_CTRL", "TX_CTRL", "CQ_CTRL", "RX_TAIL", "TX_TAIL", "CQ_TAIL"])
def test_absent_pairs_never_run(name: str) -> None:
    with Rig(pairs=2) as rig:
        for absent in (2, 31):
            rig.put(BAR0.QP_CQ_BASE, rig[0].cq_memory.address, absent)
            rig.put(BAR0.QP_CQ_COUNT, 256, absent)
            errors = rig.stat("GUEST_ERRORS")
            rig.put(BAR0.MAP[f"QP_{name}"], 1, absent)
            assert rig.stat("GUEST_ERRORS") == errors + 1
            queue_registers = [r for r in BAR0.MAP if r.name.startswith("QP_")]
            assert all(rig.get(r, absent) == r.reset for r in queue_registers)


@pytest.mark.requirement("RING-10", "RING-11")
def test_generation_alternates_at_each_wrap() -> None:
    with Rig(cq_count=8, rx_count=8, posted=0) as rig:
        seen: list[int] = []
        for number in range(45):
            rig[0].post_rx(1)
            rig.inject(plain_frame(number=number))
            (entry,) = rig[0].poll()
            assert isinstance(entry, RxCompletion)
            assert rig[0].assemble([entry])[0].data == plain_frame(number=number)
            seen.append(entry.gen)
        assert seen == [1 - number // 8 % 2 for number in range(45)]


@pytest.mark.requirement("RING-10", "RING-12", "RING-17")
@pytest.mark.parametrize("batch", [1, 3, 7])
def test_no_completion_is_lost_over_many_wraps(batch: int) -> None:
    with Rig(cq_count=8, tx_count=8, rx_count=8, posted=0) as rig:
        sent, indices_seen = 0, []
        while sent < 100:
            for _ in range(batch):
                rig[0].send(plain_frame(number=sent))
                sent += 1
            indices_seen += [report.index for report in rig[0].reports()]
        assert indices_seen == [n % 8 for n in range(sent)]
        assert rig.sent() == [plain_frame(number=n) for n in range(sent)]


@pytest.mark.requirement("RING-11")
def test_a_start_clears_what_looked_like_completions() -> None:
    with Rig() as rig:
        rig[0].reset()
        rig[0].cq_memory.view[:] = b"\xff" * len(rig[0].cq_memory)
        assert rig[0].poll(give_back=False) != []
        rig[0].start()
        assert rig[0].poll() == []


@pytest.mark.requirement("RING-12")
def test_both_kinds_share_the_ring_in_order() -> None:
    with Rig() as rig:
        for number in range(6):
            rig[0].send(plain_frame(number=number))
            rig.inject(plain_frame(number=number))
        entries = rig[0].poll()
        assert [entry.index for entry in entries if isinstance(entry, RxCompletion)] == list(range(6))
        assert [entry.index for entry in entries if isinstance(entry, TxCompletion)] == list(range(6))
        assert [type(entry) for entry in entries] == [TxCompletion, RxCompletion] * 6


@pytest.mark.requirement("RING-13")
def test_each_entry_is_a_cause_of_the_vector_of_its_pair() -> None:
    with Rig(pairs=2, buf_len=64) as rig:
        rig.inject(plain_frame(200))
        rig[1].send(plain_frame())
        assert [rig.get(BAR0.VEC_CAUSES, vector) for vector in range(2)] == [4, 1]


@pytest.mark.requirement("RING-14")
@pytest.mark.parametrize("ring", ["RX", "TX"])
def test_unreadable_descriptors_stop_one_ring(ring: str) -> None:
    with Rig() as rig:
        pair = rig[0]
        control = BAR0.MAP[f"QP_{ring}_CTRL"]
        pair.put(control, 0)
        pair.put(BAR0.MAP[f"QP_{ring}_BASE"], NOWHERE)
        pair.put(control, 1)
        ring_event(rig)
        pair.put(BAR0.MAP[f"QP_{ring}_TAIL"], 4)
        rig.inject(plain_frame())
        assert running(pair) == ((0, 1, 1) if ring == "RX" else (1, 0, 1))
        assert pair.error(BAR0.MAP[f"QP_{ring}_STATUS"]) == RingError.FETCH_DMA
        assert ring_event(rig) == 1
        assert rig.stat("DMA_ERRORS") == 1
        if ring == "RX":
            assert rig.transmit(plain_frame())[0] == [plain_frame()]
            assert rig.stat("RX_DROP_RESET") == 1
        else:
            assert len(pair.take()) == 1


@pytest.mark.requirement("RING-15")
@pytest.mark.parametrize("work", ["receive", "transmit"])
def test_unwritable_completion_stops_the_pair(work: str) -> None:
    with Rig() as rig:
        pair = rig[0]
        pair.put(BAR0.QP_CQ_CTRL, 0)
        pair.put(BAR0.QP_CQ_BASE, NOWHERE)
        pair.put(BAR0.QP_CQ_CTRL, 1)
        pair.put(BAR0.QP_CQ_TAIL, 255)
        pair.start_rx()
        pair.start_tx()
        pair.post_rx(4)
        ring_event(rig)
        if work == "receive":
            rig.inject(plain_frame())
        else:
            pair.send(plain_frame())
        assert running(pair) == (0, 0, 0)
        assert pair.error(BAR0.QP_CQ_STATUS) == RingError.WRITE_DMA
        assert ring_event(rig) == 1
        assert rig.device.is_idle


@pytest.mark.requirement("RING-16")
def test_a_stopped_ring_stays_stopped_and_says_why() -> None:
    with Rig() as rig:
        pair = rig[0]
        pair.put(BAR0.QP_RX_TAIL, 0x1234)
        for _ in range(3):
            rig.inject(plain_frame())
            pair.put(BAR0.QP_RX_TAIL, 1)
        assert pair.error(BAR0.QP_RX_STATUS) == RingError.BAD_TAIL
        assert rig.stat("RX_DROP_QUEUE") == 3
        pair.start_rx()
        assert pair.get(BAR0.QP_RX_STATUS) == 1


@pytest.mark.requirement("RING-16")
@pytest.mark.parametrize("control", [BAR0.QP_RX_CTRL, BAR0.QP_TX_CTRL, BAR0.QP_CQ_CTRL], ids=str)
@pytest.mark.parametrize("value", [0, 2])
def test_a_stop_by_the_driver_is_no_event(control: Register, value: int) -> None:
    with Rig() as rig:
        ring_event(rig)
        rig[0].put(control, value)
        assert ring_event(rig) == 0


@pytest.mark.requirement("RING-17")
def test_receive_drops_when_slots_are_out() -> None:
    with Rig(cq_count=8, posted=30) as rig:
        for number in range(9):
            rig.inject(plain_frame(number=number))
        assert rig.stat("RX_DROP_NO_COMPLETION") == 2
        assert rig[0].get(BAR0.QP_RX_DROPS) == 2
        assert [f.data for f in rig[0].take()] == [plain_frame(number=n) for n in range(7)]
        assert rig.receive(plain_frame(number=99))[0].data == plain_frame(number=99)


@pytest.mark.requirement("RING-17", "RX-9")
def test_a_frame_of_several_buffers_takes_all_slots_or_none() -> None:
    with Rig(cq_count=8, buf_len=64, posted=30) as rig:
        for _ in range(3):
            rig.inject(plain_frame(64 * 3))
        assert rig.stat("RX_DROP_NO_COMPLETION") == 1
        assert [len(f.parts) for f in rig[0].take()] == [3, 3]
        assert rig[0].get(BAR0.QP_RX_HEAD) == 6


@pytest.mark.requirement("RING-17")
def test_transmit_waits_for_slots() -> None:
    with Rig(cq_count=8) as rig:
        for number in range(10):
            rig[0].send(plain_frame(number=number), ring=False)
        rig[0].ring_tx()
        assert len(rig.sent()) == 7
        assert rig.device.is_idle
        assert len(rig[0].reports()) == 7
        assert rig.sent() == [plain_frame(number=n) for n in range(7, 10)]


@pytest.mark.requirement("RING-17")
def test_slots_of_unreported_frames_come_back() -> None:
    with Rig(cq_count=8) as rig:
        for number in range(100):
            rig[0].send(plain_frame(number=number), report=False)
        assert len(rig.sent()) == 100
        assert rig[0].poll() == []
        tail = rig[0].tx_tail
        rig[0].send_raw([TxData(rig.stage(plain_frame()), 100, DescType.DATA, 1, 1).pack()])
        assert [(r.index, r.head) for r in rig[0].reports()] == [(tail, tail + 1)]
