"""Whose turn it is in the card: the order of its engines, turns of 64 steps, budgets, and the way to rest."""

from __future__ import annotations

from itertools import groupby, product

from vnic.abi import DmaPurpose, Engine, EventType
from vnic.conformance.card_drive import LEVELS, reset
from vnic.conformance.case import card_case
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.function import UNBOUNDED, Budget
from vnic.gen.registers import BAR0
from vnic.testbench.frames import MAC, PEER, large_send, plain_frame, tcp_frame
from vnic.testbench.rig import Rig

_TURN = 64
_A_STEP = Budget(1, UNBOUNDED.bytes)
_KINDS = (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT)


def _fill(rig: Rig, length: int) -> None:
    rig.put(BAR0.TEST_DMA_DST, rig.stage(bytes(length)))
    rig.put(BAR0.TEST_DMA_LEN, length)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1))


def _stepped(rig: Rig) -> list[Engine]:
    """Whose step each was, until the card is at rest: by what it moved, or by what was left of its work."""
    order = []
    told: list[Event] = []
    with rig.device.observe(told.append, _KINDS):
        while rig.device.runnable:
            told.clear()
            before = rig.device.runnable
            frames = rig[0].get(BAR0.QP_TX_FRAMES)
            rig.device.run(_A_STEP)
            grown = rig[0].get(BAR0.QP_TX_FRAMES) - frames
            order.append(_engine(rig, told, before, grown))
            rig.device.frames()
    return order


def _engine(rig: Rig, told: list[Event], before: list[Engine], sent: int) -> Engine:
    """Of one step."""
    if len(before) == 1:
        return before[0]
    if any(event.type == EventType.INTERRUPT for event in told):
        return Engine.IRQ
    if any(event.index == DmaPurpose.TEST for event in told):
        return Engine.TEST
    if Engine.LSO in before and any(event.type == EventType.DMA_READ and event.index == DmaPurpose.DATA
                                    for event in told):  # fmt: skip
        return Engine.LSO
    if sent or any(event.type == EventType.DMA_READ and event.addr in _memory(rig) for event in told):
        return Engine.TX
    return Engine.TX if not told else Engine.RX


def _memory(rig: Rig) -> range:
    ring = rig[0].tx_memory
    return range(ring.address, ring.address + len(ring.view))


@card_case(
    manual("RUN-2", "overview"),
    "TEST, RX, TX, LSO, IRQ, and around again; each keeps its turn until it has no work or has taken 64 "
    "steps",
    rx_count=256,
    cq_count=512,
    manual=True,
)
def the_order_of_engines(rig: Rig) -> None:
    """Work for all: 16 chunks, 100 frames in, 3 out, a large send, vectors; whose each step is."""
    _fill(rig, 65536)
    for number in range(100):
        rig.inject(plain_frame(80, number))
    for number in range(3):
        rig[0].send(plain_frame(90, number, PEER))
    data, context, cut = large_send(bytes(3000), 1000)
    rig[0].send(data, **context)
    rig[0].send(plain_frame(91, 9, PEER))
    rig.put(BAR0.TEST_FIRE, 1)
    order = [(engine, len(list(steps))) for engine, steps in groupby(_stepped(rig))]
    names = [engine.name for engine, _ in order]
    wanted = ["TEST", "RX", "TX", "LSO", "IRQ", "RX", "TX", "IRQ"]
    assert names == wanted, f"the engines take turns as {', '.join(names)}"
    counts = [count for _, count in order]
    assert counts[0] == 16, f"TEST has taken {counts[0]} steps of 4,096 bytes"
    assert counts[1] == _TURN, f"RX has taken {counts[1]} steps in its turn"
    assert counts[3] == len(cut) + 1, f"LSO has taken {counts[3]} steps: headers and {len(cut)} segments"
    assert sum(counts[1::4]) >= 100


@card_case(
    manual("RUN-2", "overview"),
    "a turn lasts over the ends of budgets, and ends when all work does: then it is TEST's turn",
    rx_count=256,
    cq_count=512,
    manual=True,
)
def turns_over_budgets(rig: Rig) -> None:
    """Runs of 1 to 63 steps: the turn of RX is 64 steps in all; at rest in its middle, and then TEST goes
    first."""
    for length in (1, 5, 63, 64, 65):
        for number in range(120):
            rig.inject(plain_frame(80, number))
        rig[0].send(plain_frame(90, 1, PEER))
        steps = 0
        while rig[0].get(BAR0.QP_TX_HEAD) != rig[0].tx_tail:
            before = len(rig[0].posted)
            used = rig.device.run(Budget(min(length, 200), UNBOUNDED.bytes))
            assert used.steps <= length and before
            steps += used.steps
        rig.device.run()
        assert _TURN < steps <= _TURN + 2 + length, (
            f"in runs of {length} the frame leaves after {steps} steps"
        )
        rig.device.frames()
        _again(rig)
    rig.put(BAR0.INT_CTRL, 0)
    for number in range(10):
        rig.inject(plain_frame(80, number))
    while rig.device.runnable:
        rig.device.run(_A_STEP)
    told: list[Event] = []
    rig.inject(plain_frame(80, 1))
    _fill(rig, 4096)
    with rig.device.observe(told.append, _KINDS):
        rig.device.run(_A_STEP)
    assert [event.index for event in told] == [DmaPurpose.TEST], "at rest the turn does not go to TEST"
    rig.device.run()


def _again(rig: Rig) -> None:
    """What came in is taken, and its buffers handed over."""
    got = rig[0].take()
    rig[0].post_rx(sum(len(each.parts) for each in got))
    rig.device.run()


@card_case(
    manual("RUN-3", "overview"),
    "one step moves at most GLB_MAX_FRAME + 1,024 bytes, 4,096 of TEST, or 8,192 where it reads and writes",
    max_frame=2000,
    buf_len=1024,
    split=True,
    manual=True,
)
def bytes_of_a_step(rig: Rig) -> None:
    """Work of every kind with the longest of everything; the bytes that each step moves over the bus."""
    for number in range(20):
        rig.inject(tcp_frame(bytes(1900), ports=(number, 80)))
        rig[0].send(plain_frame(2000, number, PEER), report=number % 5 == 4)
    data, context, _ = large_send(bytes(200_000), 1900)
    rig[0].send(data, cuts=[100_000], **context)
    most = rig.get(BAR0.GLB_MAX_FRAME) + 1024
    told: list[Event] = []
    with rig.device.observe(told.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
        for op in range(3):
            rig.put(BAR0.TEST_DMA_SRC, rig.stage(bytes(20_000)))
            rig.put(BAR0.TEST_DMA_DST, rig.stage(bytes(20_000)))
            rig.put(BAR0.TEST_DMA_LEN, 20_000)
            rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=op))
            while rig.device.runnable:
                told.clear()
                engine = rig.device.runnable[0]
                rig.device.step(engine)
                rig.device.frames()
                moved = sum(len(event.data) for event in told)
                bound = 8192 if op else 4096
                limit = bound if engine == Engine.TEST else most
                assert moved <= limit, f"a step of {engine.name} moves {moved} bytes, {limit} at most"


@card_case(
    manual("RUN-6", "overview"),
    "no run takes more steps or bytes than its budget, and each that is large enough takes one",
    pairs=2,
    max_frame=2000,
    manual=True,
)
def budgets_that_are_small(rig: Rig) -> None:
    """Trains in and out in runs of the least bytes, of few steps, and of less than the least."""
    least = max(rig.get(BAR0.GLB_MAX_FRAME) + 1024, 8192)
    for budget in (Budget(64, least), Budget(7, least), Budget(1, least), Budget(1000, 3 * least + 1)):
        for number in range(30):
            rig.inject(tcp_frame(bytes(1400), ports=(number, 80)))
            rig[number % 2].send(plain_frame(1500, number, PEER), report=number % 10 == 9)
        data, context, _ = large_send(bytes(20_000), 1400)
        rig[1].send(data, **context)
        _fill(rig, 20_000)
        while rig.device.runnable:
            told: list[Event] = []
            with rig.device.observe(told.append, (EventType.LINK,)):
                used = rig.device.run(budget)
            assert 0 < used.steps <= budget.steps, f"{budget} takes {used.steps} steps"
            assert used.bytes <= budget.bytes, f"{budget} moves {used.bytes} bytes"
            rig.device.frames()
        for pair in rig.pairs:
            pair.post_rx(sum(len(each.parts) for each in pair.take()))
        rig.device.run()
    rig.inject(plain_frame(90))
    for none in (Budget(0, least), Budget(5, 0), Budget(5, 31)):
        used = rig.device.run(none)
        assert used == Budget(0, 0), f"{none} takes {used}"
    rig.device.run()
    assert len(rig[0].take()) == 1


@card_case(
    manual("RUN-4", "overview"),
    "the card comes to rest within the steps that it says, and says of none that it needs none",
    pairs=2,
    rx_count=512,
    tx_count=512,
    cq_count=1024,
    buf_len=64,
    rx_buffer_bytes=1 << 18,
    max_frame=9000,
    manual=True,
)
def steps_to_rest(rig: Rig) -> None:
    """Long frames into short buffers, many pieces, the most segments, copies; alone, together, and looped
    back."""
    for looped in (0, 1):
        rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(LOOPBACK=looped))
        for kind in (1, 2, 4, 8, 16, 31):
            if kind & 1:
                for number in range(3):
                    rig.inject(plain_frame(9000, number))
            if kind & 2:
                rig[0].send(plain_frame(120, 1, MAC), cuts=[1] * 100)
            if kind & 4:
                data, context, _ = large_send(bytes(6400), 64)
                rig[1].send(MAC + data[6:], **context)
            if kind & 8:
                _fill(rig, 65536)
            if kind & 16:
                rig.put(BAR0.TEST_FIRE, 1)
            bound, steps = rig.device.idle_steps, 0
            while rig.device.runnable:
                steps += rig.device.run().steps
                rig.device.frames()
            assert 0 < steps <= bound, f"work {kind:05b}, looped {looped}: {steps} steps, {bound} were said"
            for pair in rig.pairs:
                pair.reset()
                pair.start()
                pair.post_rx(500)
            rig.device.run()


@card_case(
    manual("RUN-2", "overview"),
    "whose turn it is, and how much of it is spent, outlasts no reset: then it is TEST's turn",
    rx_count=64,
    manual=True,
)
def turns_over_resets(rig: Rig) -> None:
    """Each level of reset in the middle of the turn of RX, of TX and of IRQ; then work for TEST and for
    them."""
    for level, engine in product(LEVELS, (Engine.RX, Engine.TX, Engine.IRQ)):
        for number in range(4):
            if engine == Engine.RX:
                rig.inject(plain_frame(80, number))
            elif engine == Engine.TX:
                rig[0].send(plain_frame(80, number, PEER))
            else:
                rig.put(BAR0.TEST_FIRE, number % 2)
        rig.device.run(_A_STEP)
        reset(rig, level)
        rig.bring_up(8)
        rig.device.interrupts()
        told: list[Event] = []
        rig.inject(plain_frame(80, 1))
        rig[0].send(plain_frame(80, 1, PEER))
        rig.put(BAR0.TEST_FIRE, 0)
        _fill(rig, 4096)
        with rig.device.observe(told.append, _KINDS):
            rig.device.run(_A_STEP)
        found = [DmaPurpose(event.index).name for event in told]
        assert found == ["TEST"], f"{level} reset in the turn of {engine.name}: the first step moves {found}"
        rig.device.run()
        rig.device.frames()
        for pair in rig.pairs:
            pair.reset()
            pair.start()
            pair.post_rx(8)


def _trains(budget: Budget) -> tuple[list[list[tuple[str, int]]], list[int]]:
    """What stands in the completion rings, entry by entry, and the messages, after runs of so much."""
    with Rig(pairs=2, rx_count=256, tx_count=256, cq_count=512, manual=True) as rig:
        for number in range(90):
            rig.inject(tcp_frame(b"a train of frames", ports=(number, 80)))
        for number in range(70):
            rig[0].send(plain_frame(90, number, PEER), ring=False)
            rig[1].send(plain_frame(200, number, PEER), ring=False)
        for pair in rig.pairs:
            pair.ring_tx()
        sent = []
        while rig.device.runnable:
            rig.device.run(budget)
            sent += [frame.queue for frame in rig.device.frames()]
        kinds = [[(type(entry).__name__, entry.index) for entry in pair.poll()] for pair in rig.pairs]
        return [*kinds, [("sent", queue) for queue in sent]], [each.data for each in rig.device.interrupts()]


@card_case(
    manual("RUN-2", "overview"),
    "frames that the card takes together are taken in turns of 64 steps all the same, and change no order",
)
def turns_of_trains(rig: Rig) -> None:
    """Long trains in and out with nobody watching: runs of any size fill the rings alike, and raise as
    often."""
    rig.device.run()
    wanted = _trains(_A_STEP)
    for budget in (UNBOUNDED, Budget(50, UNBOUNDED.bytes), Budget(333, 20_000)):
        entries, messages = _trains(budget)
        for found, right, where in zip(entries, wanted[0], ("pair 0", "pair 1", "the link"), strict=True):
            same = next((n for n, (a, b) in enumerate(zip(found, right, strict=False)) if a != b), len(right))
            assert found == right, f"{budget}: of {where} entry {same} of {len(right)} is another"
        assert messages == wanted[1], f"{budget}: {len(messages)} messages, {len(wanted[1])} are right"
