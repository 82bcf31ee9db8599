"""What the card says it can do, and what it does at that limit and beyond it, by registers."""

from __future__ import annotations

from vnic.abi import EventType, RxVerdict
from vnic.conformance.card_drive import WAYS, arrive, filled
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames, messages, through
from vnic.conformance.pages import manual
from vnic.function import Budget
from vnic.gen.descriptors import RxCompletion, TxCompletion
from vnic.gen.enums import TxStatus
from vnic.gen.registers import BAR0
from vnic.testbench.frames import MAC, PEER, large_send, plain_frame, tcp_frame
from vnic.testbench.rig import Pair, Rig


@card_case(
    manual("RX-2", "receive"),
    "a frame takes its length rounded up to 64 bytes of the packet buffer; without room it is dropped",
    posted=63,
    rx_buffer_bytes=65536,
    max_frame=9000,
    rx_count=2048,
    cq_count=4096,
)
def the_packet_buffer(rig: Rig) -> None:
    """Frames of several lengths while the card stands still, until one does not fit; all others come."""
    rig[0].post_rx(1900)
    room = rig.get(BAR0.GLB_RX_BUFFER)
    for length in (64, 200, 8999):
        rig.device.is_manual = True
        before = rig.counters("RX_DROP_").get("BUFFER", 0)
        taken = 0
        while rig.inject(plain_frame(length, taken)) == RxVerdict.TAKEN:
            taken += 1
        most = room // (-(-length // 64) * 64)
        # A frame lies in one piece: what is left at the end of the buffer may be lost once.
        assert most - 1 <= taken <= most, f"{taken} frames of {length} bytes fit {room}, not {most}"
        assert rig.counters("RX_DROP_")["BUFFER"] == before + 1
        rig.device.run()
        rig.device.is_manual = False
        got = rig[0].take()
        assert [each.data for each in got] == [plain_frame(length, n) for n in range(taken)], (
            f"{length} bytes"
        )
        rig[0].post_rx(sum(len(each.parts) for each in got))


@card_case(
    manual("DEV-4", "overview"), "STAT_CTRL.CLEAR clears every counter of the statistics block, and no other"
)
def counters_that_are_cleared(rig: Rig) -> None:
    """Count something of everything; CLEAR; those of pairs and vectors stay, and counting goes on."""
    through(rig)
    rig.inject(plain_frame(10))
    rig.inject(tcp_frame(bytes(20), field=1))
    rig[0].send_raw([rig[0].piece(b"short")])
    rig.put(BAR0.TEST_FIRE, 60)
    rig.device.read(0, 0x60)
    counted = _counted(rig)
    assert len(counted) >= 8, f"counted: {filled(counted)}"
    others = _others(rig)
    rig.put(BAR0.STAT_CTRL, 0)
    assert _counted(rig) == counted, "counters are cleared without CLEAR"
    rig.put(BAR0.STAT_CTRL, BAR0.STAT_CTRL.encode(CLEAR=1))
    assert _counted(rig) == {}, f"after CLEAR: {filled(_counted(rig))}"
    assert _others(rig) == others, "CLEAR clears counters of pairs or vectors"
    rig[0].poll()
    rig.device.frames()
    through(rig)
    assert rig.stat("RX_UNICAST_FRAMES") == rig.stat("TX_UNICAST_FRAMES") == 1


def _counted(rig: Rig) -> dict[str, int]:
    """What is not 0 in the statistics block."""
    head = ("TYPE", "VERSION", "NEXT", "SIZE", "CTRL")
    return {name: count for name, count in rig.counters("").items() if name not in head}


def _others(rig: Rig) -> list[int]:
    """Counters of a pair and of a vector."""
    of_pair = (BAR0.QP_RX_FRAMES, BAR0.QP_RX_BYTES, BAR0.QP_TX_FRAMES, BAR0.QP_TX_BYTES)
    return [*map(rig[0].get, of_pair), rig.get(BAR0.VEC_CAUSES), rig.get(BAR0.VEC_RAISED)]


@card_case(
    manual("TX-16", "transmit"),
    "what is looped back is received as it was sent, tag and padding included, by the filters of the card",
)
def looped_frames(rig: Rig) -> None:
    """Frames to the card, to another station, short, tagged, and too long to come in."""
    rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(LOOPBACK=1))
    rig.put(BAR0.MAC_RX_MAX, 1000)
    for run in WAYS:
        for length, to, tag, comes in (
            (100, MAC, None, True),
            (20, MAC, None, True),
            (100, MAC, 0x2005, True),
            (996, MAC, 0x2005, True),
            (997, MAC, 0x2005, False),
            (1001, MAC, None, False),
            (100, PEER, None, False),
        ):
            frame = plain_frame(length, 1, to)
            context = {} if tag is None else {"vlan_insert": 1, "vlan_tci": tag}
            rig.device.is_manual = True
            rig[0].send(frame, **context)  # type: ignore[arg-type]
            run(rig)
            rig.device.is_manual = False
            entries = rig[0].poll()
            wire = frame if tag is None else frame[:12] + b"\x81\0" + tag.to_bytes(2) + frame[12:]
            states = [each.status for each in entries if isinstance(each, TxCompletion)]
            what = f"{length} bytes to {to.hex()}, tag {tag}"
            assert states == [TxStatus.OK], f"{what}: {states}"
            got = rig[0].assemble(each for each in entries if isinstance(each, RxCompletion))
            wanted = [wire.ljust(60, b"\0")] if comes else []
            assert [each.data for each in got] == wanted, f"{what}: {len(got)} frames came in"
            if got:
                rig[0].post_rx(1)
    assert rig.counters("RX_DROP_") == {"OVERSIZE": 4, "ADDRESS": 2}, f"{filled(rig.counters('RX_DROP_'))}"


@card_case(
    manual("RST-1", "reset"),
    "whatever was under way at a device reset, nothing of it moves afterwards, and the card comes up again",
    pairs=2,
)
def resets_at_every_step(rig: Rig) -> None:
    """Frames in and out and a bring-up copy under way; reset after 0 to 20 steps; start again."""
    for steps in range(0, 21, 2):
        rig.device.is_manual = True
        for frame in frames(4, 1400):
            rig.inject(frame)
            rig[1].send(frame, cuts=[100, 100])
        rig.put(BAR0.TEST_DMA_DST, rig.stage(bytes(20_000)))
        rig.put(BAR0.TEST_DMA_LEN, 20_000)
        rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1))
        for _ in range(steps):
            if rig.device.runnable:
                rig.device.step(rig.device.runnable[-1 if steps % 4 else 0])
        rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))
        before = [bytes(pair.cq_memory.view) for pair in rig.pairs]
        rig.device.frames()
        messages(rig)
        assert not rig.device.runnable, f"after {steps} steps and a reset there is work"
        assert rig.field(BAR0.GLB_STATUS, "IDLE") == 1
        assert rig.field(BAR0.TEST_DMA_STATUS, "BUSY") == 0
        rig.device.run()
        assert [bytes(pair.cq_memory.view) for pair in rig.pairs] == before
        assert not rig.device.frames() and not messages(rig), "frames or messages after a reset"
        rig.device.is_manual = False
        for pair in rig.pairs:
            for memory in (pair.rx_memory, pair.tx_memory, pair.cq_memory, pair.buffers, pair.headers):
                memory.free()
        rig.pairs = [Pair(rig, number) for number in range(2)]
        rig.bring_up(rig.rx_count - 1)
        messages(rig)
        through(rig)


@card_case(
    manual("RX-13", "receive"),
    "jumbo frames come in one buffer and in several alike, and leave in any number of pieces",
    max_frame=16_000,
    buf_len=4096,
    rx_buffer_bytes=65536,
    tx_count=64,
)
def jumbo_frames(rig: Rig) -> None:
    """Frames of 4,095 to 16,000 bytes in and out, both ways."""
    for run in WAYS:
        for length in (4095, 4096, 4097, 9014, 15_999, 16_000):
            frame = plain_frame(length, 5)
            (got,) = arrive(rig, [frame], run)
            assert (got.data, len(got.parts)) == (frame, -(-length // 4096)), f"{length} bytes in"
            sent, _ = rig.transmit(frame, cuts=[length // 3, length // 3])
            assert sent == [frame], f"{length} bytes out"


def _story(rig: Rig, budget: Budget | None) -> list[tuple[int, int, int, bytes]]:
    """What the card does with frames in, frames out, a large send, a copy and vectors, run after run."""
    told: list[tuple[int, int, int, bytes]] = []
    kinds = (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT, EventType.FRAME_OUT)
    rig.device.is_manual = True
    with rig.device.observe(lambda e: told.append((int(e.type), e.index, e.addr, bytes(e.data))), kinds):
        for number in range(12):
            rig.inject(plain_frame(200 + 90 * number, number))
            rig[number % 2].send(plain_frame(300, number, PEER), cuts=[100, 100])
        data, context, _ = large_send(bytes(5000), 900)
        rig[0].send(data, cuts=[60, 2000], **context)
        rig.put(BAR0.TEST_DMA_DST, rig.stage(bytes(9000)))
        rig.put(BAR0.TEST_DMA_LEN, 9000)
        rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1))
        for _ in range(2000):
            if not rig.device.runnable:
                break
            used = rig.device.run(budget) if budget is not None else rig.device.run()
            assert budget is None or (0 < used.steps <= budget.steps and used.bytes <= budget.bytes), (
                f"a run of {budget} took {used}"
            )
            rig.device.frames()
    assert not rig.device.runnable, "the card never comes to rest"
    return told


@card_case(
    manual("RUN-2", "overview"),
    "how a run is cut up changes nothing: transfers, frames and messages, and their order, are the same",
    pairs=2,
)
def budgets_of_any_size(rig: Rig) -> None:
    """The same work in one run, step by step, and in runs of 3, 7 and 64 steps and of few bytes."""
    whole = _story(rig, None)
    least = rig.get(BAR0.GLB_MAX_FRAME) + 1024
    for steps, count in ((1, 1 << 20), (3, 1 << 20), (7, max(least, 8192)), (64, 20_000)):
        with Rig(pairs=2) as other:
            cut = _story(other, Budget(steps, count))
        same = next((n for n, (a, b) in enumerate(zip(whole, cut, strict=False)) if a != b), len(whole))
        assert cut == whole, f"in runs of {steps} steps event {same} of {len(whole)} is another"
