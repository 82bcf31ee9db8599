"""Engines, steps and budgets, blocks and bring-up registers, by the requirements of spec/overview.md."""

from __future__ import annotations

import random
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import DmaPurpose, Engine, EventType
from vnic.device import Budget
from vnic.events import Event
from vnic.gen.enums import BlockType, TestOp, TestResult
from vnic.gen.registers import BAR0, CONFIG
from vnic.host.bus import Interrupt
from vnic.testbench.frames import tcp_frame
from vnic.testbench.rig import MAC, Rig, plain_frame
from vnic.wire.capture import open_capture

SAMPLES = Path(__file__).parents[1] / "samples"
WORK = [EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT, EventType.FRAME_OUT]
LARGE: dict[str, Any] = {"lso": 1, "mss": 64, "hdr_len": 54, "l3_offset": 14, "l4_offset": 34}
PLENTY = 1 << 40


# ---- what the card is


@pytest.mark.requirement("DEV-1", "DEV-2")
def test_blocks_are_found_by_walking() -> None:
    with Rig() as rig:
        assert rig.blocks.keys() == set(BlockType)
        end = 0
        for kind, offset in rig.blocks.items():
            found, version, following, size = (rig.device.read(0, offset + 4 * n) for n in range(4))
            assert (found, version) == (kind, 1)
            assert offset >= end
            end = offset + size
            assert following == 0 or following >= end
        assert end <= 0x10000
        for register in BAR0.MAP:
            inside = [o for o in rig.blocks.values() if o <= register.offset < o + rig.device.read(0, o + 12)]
            assert len(inside) == 1, register


@pytest.mark.requirement("DEV-3")
def test_permanent_address_is_the_one_after_reset() -> None:
    with Rig(mac=bytes.fromhex("0a1b2c3d4e5f")) as rig:
        assert rig.get(BAR0.MAC_PERM_ADDR) == rig.get(BAR0.MAC_ADDR) == 0x5F4E_3D2C_1B0A
        rig.put(BAR0.MAC_ADDR, 1)
        assert (rig.get(BAR0.MAC_PERM_ADDR), rig.get(BAR0.MAC_ADDR)) == (0x5F4E_3D2C_1B0A, 1)


@pytest.mark.requirement("DEV-4")
def test_statistics_are_cleared_and_nothing_else() -> None:
    counters = [r for r in BAR0.MAP if r.name.startswith("STAT_") and r.width == 64]
    with Rig() as rig:
        rig.receive(plain_frame())
        rig.transmit(plain_frame())
        rig.inject(b"")
        rig.put(BAR0.TEST_FIRE, 99)
        assert sum(bool(rig.get(counter)) for counter in counters) >= 6
        rig.put(BAR0.STAT_CTRL, 0)
        assert rig.stat("RX_DROP_RUNT") == 1
        rig.put(BAR0.STAT_CTRL, 1)
        assert [rig.get(counter) for counter in counters] == [0] * len(counters)
        assert rig[0].get(BAR0.QP_RX_FRAMES) == rig[0].get(BAR0.QP_TX_FRAMES) == 1


@pytest.mark.requirement("DEV-5")
def test_link_and_time_are_shown() -> None:
    with Rig(mbps=2500) as rig:
        assert (rig.field(BAR0.GLB_STATUS, "LINK_UP"), rig.get(BAR0.GLB_SPEED)) == (1, 2500)
        rig.device.advance(0x1_2345_6789)
        assert rig.get(BAR0.GLB_TIME) == 0x1_2345_6789
        assert rig.device.read32(BAR0.GLB_TIME.offset + 4) == 1
        rig.device.set_link(0)
        assert (rig.field(BAR0.GLB_STATUS, "LINK_UP"), rig.get(BAR0.GLB_SPEED)) == (0, 0)


@pytest.mark.requirement("DEV-6")
def test_idle_is_shown() -> None:
    with Rig(manual=True) as rig:
        rig.device.run()
        for work in (
            lambda: rig.inject(plain_frame()),
            lambda: rig[0].send(plain_frame()),
            lambda: rig.put(BAR0.TEST_FIRE, 0),
        ):
            assert rig.field(BAR0.GLB_STATUS, "IDLE") == 1
            work()
            assert rig.field(BAR0.GLB_STATUS, "IDLE") == 0
            rig.device.run()


# ---- bring-up registers


def start(rig: Rig, op: int, length: int, to: int, *, source: int = 0, pattern: int = 0) -> None:
    """A bring-up DMA operation."""
    rig.put(BAR0.TEST_DMA_DST, to)
    rig.put(BAR0.TEST_DMA_SRC, source)
    rig.put(BAR0.TEST_DMA_LEN, length)
    rig.put(BAR0.TEST_DMA_PATTERN, pattern)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=op))


def result(rig: Rig) -> TestResult:
    """How it ended; it must have."""
    status = BAR0.TEST_DMA_STATUS.decode(rig.get(BAR0.TEST_DMA_STATUS))
    assert status["BUSY"] == 0
    return TestResult(status["RESULT"])


@pytest.mark.requirement("TEST-2")
@pytest.mark.parametrize("length", [1, 3, 4095, 4096, 4097, 65535, 65536])
def test_operations_of_every_length(length: int) -> None:
    content = random.Random(length).randbytes(length)
    with Rig() as rig:
        source, to = rig.stage(content), rig.stage(b"\xaa" * (length + 8))
        start(rig, TestOp.COPY, length, to, source=source)
        assert (result(rig), rig.peek(to, length + 1)) == (TestResult.OK, content + b"\xaa")
        start(rig, TestOp.INVERT, length, to)
        assert rig.peek(to, length + 1) == bytes(255 - octet for octet in content) + b"\xaa"
        start(rig, TestOp.FILL, length, to + 1, pattern=0x0403_0201)
        assert rig.peek(to + 1, length) == (bytes([1, 2, 3, 4]) * (length // 4 + 1))[:length]


@pytest.mark.requirement("TEST-2")
def test_overlapping_copy_is_by_chunks() -> None:
    with Rig() as rig:
        content = random.Random(1).randbytes(20000)
        memory = bytearray(content)
        for at in range(0, 16384, 4096):
            memory[100 + at : 100 + at + 4096] = memory[at : at + 4096]
        to = rig.stage(content)
        start(rig, TestOp.COPY, 16384, to + 100, source=to)
        assert rig.peek(to, 20000) == memory


@pytest.mark.requirement("TEST-3")
def test_parameters_are_latched() -> None:
    with Rig(manual=True) as rig:
        to = rig.stage(bytes(30000))
        start(rig, TestOp.FILL, 8192, to, pattern=0x1111_1111)
        assert rig.field(BAR0.TEST_DMA_STATUS, "BUSY") == 1
        rig.device.step(Engine.TEST)
        start(rig, TestOp.INVERT, 16, to + 10000, pattern=0x2222_2222)
        assert rig.stat("GUEST_ERRORS") == 1
        rig.device.run()
        assert rig.peek(to, 30000) == b"\x11" * 8192 + bytes(30000 - 8192)


@pytest.mark.requirement("TEST-4")
@pytest.mark.parametrize(
    ("op", "length", "ended"),
    [
        (TestOp.FILL, 0, TestResult.BAD_LEN),
        (TestOp.COPY, 65537, TestResult.BAD_LEN),
        (TestOp.INVERT, 0xFFFF_FFFF, TestResult.BAD_LEN),
        (3, 16, TestResult.BAD_OP),
        (3, 0, TestResult.BAD_OP),
    ],
)
def test_unsound_operations_move_nothing(op: int, length: int, ended: TestResult) -> None:
    with Rig(manual=True) as rig:
        rig.device.run()
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        events: list[Event] = []
        with rig.device.observe(events.append, [EventType.DMA_READ, EventType.DMA_WRITE]):
            start(rig, op, length, rig.stage(bytes(64)))
            assert result(rig) == ended
            rig.device.run()
        assert events == []
        assert rig.field(BAR0.GLB_EVENT, "TEST") == 1


@pytest.mark.requirement("TEST-4")
@pytest.mark.parametrize("op", TestOp)
def test_a_failing_chunk_ends_the_operation(op: TestOp) -> None:
    with Rig() as rig:
        end = rig.memory.base + rig.memory.size
        rig.memory.write(end - 8192, bytes(8192))
        start(rig, op, 16384, end - 8192, source=rig.stage(b"\xff" * 16384), pattern=0xFFFF_FFFF)
        assert result(rig) == TestResult.DMA_ERROR
        assert rig.peek(end - 8192, 8192) == b"\xff" * 8192
        assert rig.stat("DMA_ERRORS") == 1


# ---- steps and budgets


def load_up(rig: Rig, rng: random.Random) -> None:
    """Work of every kind, by chance."""
    for _ in range(rng.randrange(1, 25)):
        kind = rng.randrange(6)
        pair = rng.choice(rig.pairs)
        if kind <= 1:
            to = rng.choice([MAC, MAC, b"\xff" * 6, bytes(6)])
            rig.inject(plain_frame(rng.randrange(10, 4000), to=to))
        elif kind <= 3:
            cuts = [rng.randrange(1, 400) for _ in range(rng.randrange(5))]
            pair.send(plain_frame(rng.randrange(10, 4000)), cuts=cuts, report=rng.random() < 0.5)
        elif kind == 4:
            pair.send(tcp_frame(bytes(rng.randrange(1, 6000))), cuts=[rng.randrange(1, 500)], **LARGE)
        else:
            start(
                rig,
                rng.randrange(3),
                rng.randrange(1, 65537),
                rig.memory.base + (8 << 20),
                source=rig.memory.base,
            )
            rig.put(BAR0.TEST_FIRE, rng.randrange(rig.vectors))


def make_rig(seed: int, *, loopback: bool = False) -> tuple[Rig, random.Random]:
    """A rig in manual mode, at rest."""
    rig = Rig(pairs=3, manual=True, buf_len=256, cq_count=1024, rx_count=256)
    rig.device.run()
    rig.device.interrupts()
    rig.change(BAR0.GLB_CTRL, LOOPBACK=int(loopback))
    return rig, random.Random(seed)


@pytest.mark.requirement("RUN-1")
def test_accesses_do_no_work() -> None:
    rig, rng = make_rig(1)
    with rig:
        events: list[Event] = []
        with rig.device.observe(events.append, WORK):
            load_up(rig, rng)
            for register in BAR0.MAP:
                for offset in register.offsets():
                    rig.device.read(0, offset, register.bytes)
            rig[0].put(BAR0.QP_TX_TAIL, 0xFFFF)
            rig.put(BAR0.VEC_CTRL, 0, 0)
            rig.put(BAR0.VEC_CTRL, 1, 0)
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=0)
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1)
        assert events == []
        assert not rig.device.is_idle


def engine_of(rig: Rig, events: list[Event]) -> Engine | None:
    """Which engine a step was, from what it did."""
    pair = rig[0]
    rx = [(m.address, m.address + len(m)) for m in (pair.rx_memory, pair.buffers)]
    for event in events:
        if event.type == EventType.INTERRUPT:
            return Engine.IRQ
        if event.index == DmaPurpose.TEST:
            return Engine.TEST
        if any(first <= event.addr < last for first, last in rx):
            return Engine.RX
        if event.index in (DmaPurpose.DESCRIPTOR, DmaPurpose.DATA):
            return Engine.TX
    return None


@pytest.mark.requirement("RUN-2")
def test_engines_take_turns_of_64_steps_in_order() -> None:
    with Rig(manual=True, rx_count=512, tx_count=512, cq_count=2048) as rig:
        rig.device.run()
        rig.device.interrupts()
        for number in range(150):
            rig.inject(plain_frame(number=number))
            rig[0].send(plain_frame(number=number), report=False)
        start(rig, TestOp.FILL, 65536, rig.memory.base + (8 << 20))
        order = []
        while not rig.device.is_idle:
            events: list[Event] = []
            with rig.device.observe(events.append, WORK):
                assert rig.device.run(Budget(1, PLENTY)).steps == 1
            order.append(engine_of(rig, events))
        turns = [(engine, len(list(steps))) for engine, steps in groupby(order)]
        cycle = {Engine.TEST: 0, Engine.RX: 1, Engine.TX: 2, Engine.IRQ: 3}
        assert turns[:3] == [(Engine.TEST, 16), (Engine.RX, 64), (Engine.TX, 64)]
        assert all(engine is not None and length <= 64 for engine, length in turns)
        places = [cycle[engine] for engine, _ in turns if engine is not None]
        assert all(after == (1 if before == 3 else before + 1) for before, after in pairwise(places))
        assert [frame.data for frame in rig.device.frames()] == [plain_frame(number=n) for n in range(150)]


@pytest.mark.requirement("RUN-3", "RUN-5")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_frame", [1514, 9728])
def test_a_step_moves_no_more_than_its_bound(seed: int, max_frame: int) -> None:
    bound = max(max_frame + 1024, 8192)
    with Rig(pairs=3, manual=True, max_frame=max_frame, buf_len=16384, rx_count=512, posted=200) as rig:
        rng = random.Random(seed)
        start(rig, TestOp.INVERT, 65536, rig.memory.base + (8 << 20))
        load_up(rig, rng)
        rig.inject(plain_frame(max_frame))
        rig[1].send(plain_frame(max_frame))
        moved = []
        while not rig.device.is_idle:
            used = rig.device.run(Budget(1, bound))
            assert used.steps == 1
            moved.append(used.bytes)
        assert max(moved) == 8192 if max_frame == 1514 else max(moved) <= bound
        assert rig.stat("RX_UNICAST_BYTES") > 0


@pytest.mark.requirement("RUN-4")
@pytest.mark.parametrize("loopback", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_idle_is_reached_within_the_bound(seed: int, loopback: bool) -> None:
    rig, rng = make_rig(seed, loopback=loopback)
    with rig:
        for _ in range(3):
            load_up(rig, rng)
            rig.device.run(Budget(rng.randrange(30), PLENTY))
            bound = rig.device.idle_steps
            steps = 0
            while used := rig.device.run(Budget(1000, PLENTY)).steps:
                steps += used
                rig.device.frames()
                assert steps <= bound
            assert rig.device.is_idle
            rig[0].poll()


@pytest.mark.requirement("RUN-4")
def test_the_bound_is_the_stated_sum() -> None:
    with Rig(manual=True, max_frame=1514, buf_len=64) as rig:
        rig.device.run()
        assert rig.device.idle_steps == 65
        rig.inject(plain_frame(1000))
        received = 2 * (1000 // 64 + 2)
        assert rig.device.idle_steps == 2 * received + 65
        rig[0].send(plain_frame(100), cuts=[20, 20])
        segments = 3 + 3 // 2 * (262144 // 64 + 1)
        sent = 4 * 3 + segments * (2 + 2 * (1514 // 64 + 2))
        assert rig.device.idle_steps == 2 * (received + sent) + 65
        start(rig, TestOp.FILL, 4097, rig.memory.base)
        assert rig.device.idle_steps == 2 * (received + sent + 2) + 65


@pytest.mark.requirement("RUN-6")
@given(
    seed=st.integers(0, 1 << 30),
    budgets=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30000)), max_size=30),
)
def test_budgets_are_never_exceeded(seed: int, budgets: list[tuple[int, int]]) -> None:
    rig, rng = make_rig(seed)
    with rig:
        load_up(rig, rng)
        for steps, size in budgets:
            events: list[Event] = []
            with rig.device.observe(events.append, [EventType.DMA_READ, EventType.DMA_WRITE]):
                used = rig.device.run(Budget(steps, size))
            assert used.steps <= steps
            assert sum(len(event.data) for event in events) <= used.bytes <= size


def outcome(
    seed: int, budgets: random.Random | None, *, observed: bool
) -> tuple[int, list[bytes], list[Interrupt], bytes]:
    """State, frames, interrupts and memory after the same inputs, run in one go or in pieces."""
    rig, rng = make_rig(seed, loopback=seed % 2 == 1)
    with rig:
        if observed:
            rig.device.observe(lambda event: None, WORK)
        load_up(rig, rng)
        while not rig.device.is_idle:
            limit = Budget(PLENTY, PLENTY) if budgets is None else Budget(budgets.randrange(1, 50), 1 << 16)
            rig.device.run(limit)
        rings = b"".join(bytes(pair.cq_memory.view) + bytes(pair.buffers.view) for pair in rig.pairs)
        return rig.device.state_hash(), rig.sent(), rig.device.interrupts(), rings


@pytest.mark.requirement("RUN-7", "RUN-2")
@pytest.mark.parametrize("seed", range(12))
def test_how_a_budget_is_cut_changes_nothing(seed: int) -> None:
    whole = outcome(seed, None, observed=False)
    assert outcome(seed, None, observed=True) == whole
    for cut in range(3):
        assert outcome(seed, random.Random(cut), observed=cut == 2) == whole


def traffic_outcome(how: str, *, split: bool, loopback: bool) -> tuple[int, bytes, list[bytes]]:
    """State, memory and frames after real traffic came in and went out, taken in one of three ways."""
    with (
        Rig(pairs=4, manual=True, split=split, buf_len=512, rx_count=512, cq_count=1024, tx_count=512) as rig,
        open_capture(SAMPLES / "flows.pcap") as capture,
    ):
        frames = [captured.data for captured in capture][:600]
        rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1, VLAN_STRIP=1)
        rig.change(BAR0.GLB_CTRL, LOOPBACK=int(loopback))
        rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=1, TABLE_LOG2=2))
        rig.put(BAR0.RSS_TYPES, BAR0.RSS_TYPES.mask())
        rig.put(BAR0.RSS_TABLE, 0x0302_0100)
        for word in range(10):
            rig.put(BAR0.RSS_KEY, 0x9E37_79B9 * (word + 1) & 0xFFFF_FFFF, word)
        rig.put(BAR0.RSS_COMMIT, 1)
        if how == "observed":
            rig.device.observe(lambda event: None, WORK)
        sent: list[bytes] = []
        for start_at in range(0, len(frames), 100):
            for number, frame in enumerate(frames[start_at : start_at + 100]):
                rig.inject(frame)
                rig[number % 4].send(frame, cuts=[number] if number % 3 == 0 else [], report=number % 5 == 0)
            limit = Budget(1, PLENTY) if how == "step by step" else Budget(PLENTY, PLENTY)
            while rig.device.run(limit).steps:
                pass
            sent += rig.sent()
            rig.device.interrupts()
            for pair in rig.pairs:
                pair.post_rx(sum(len(received.parts) for received in pair.take()))
        blocks = [m.view for pair in rig.pairs for m in (pair.cq_memory, pair.buffers, pair.headers)]
        return rig.device.state_hash(), b"".join(bytes(block) for block in blocks), sent


@pytest.mark.requirement("RUN-7")
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("loopback", [False, True])
def test_real_traffic_taken_in_any_way_ends_alike(split: bool, loopback: bool) -> None:
    whole = traffic_outcome("at once", split=split, loopback=loopback)
    assert loopback or len(whole[2]) == 600
    for how in ("observed", "step by step"):
        assert traffic_outcome(how, split=split, loopback=loopback) == whole


@pytest.mark.requirement("RUN-8")
def test_frames_wait_for_the_link() -> None:
    with Rig() as rig:
        for number in range(10):
            rig[0].send(plain_frame(number=number))
        assert len(rig[0].reports()) == 10
        assert rig.sent() == [plain_frame(number=number) for number in range(10)]
        assert rig.sent() == []
