"""The card's rings, by registers: starting, doorbells, wraps, errors; and that pairs are apart."""

from __future__ import annotations

from vnic.abi import DmaPurpose, DmaStatus, EventType, FaultAction, FaultSite
from vnic.conformance.card_drive import WAYS
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames, messages, through
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.fault import Fault
from vnic.gen.descriptors import RxCompletion, TxCompletion
from vnic.gen.enums import RingError
from vnic.gen.registers import BAR0
from vnic.testbench.frames import PEER, plain_frame
from vnic.testbench.rig import Pair, Rig

_RINGS = ("RX", "TX", "CQ")


def _enable(rig: Rig, ring: str, pair: int = 0, **also: int) -> None:
    register = BAR0.MAP[f"QP_{ring}_CTRL"]
    rig.put(register, register.encode(ENABLE=1, **also), pair)


def _stop(rig: Rig, ring: str, pair: int = 0) -> None:
    rig.put(BAR0.MAP[f"QP_{ring}_CTRL"], 0, pair)


def state(rig: Rig, ring: str, pair: int = 0) -> tuple[int, int, RingError]:
    """ENABLE, RUNNING, ERROR."""
    status = BAR0.MAP[f"QP_{ring}_STATUS"].decode(rig.get(BAR0.MAP[f"QP_{ring}_STATUS"], pair))
    enable = rig.get(BAR0.MAP[f"QP_{ring}_CTRL"], pair) & 1
    return enable, status["RUNNING"], RingError(status["ERROR"])


def again(rig: Rig, number: int = 0) -> None:
    """All three rings of a pair, from the start."""
    rig[number].reset()
    rig.pairs[number] = Pair(rig, number)
    rig[number].start()
    rig[number].post_rx(rig.rx_count - 1)


@card_case(
    manual("RING-3", "rings"),
    "what a ring is started with is checked, in order; the first failure is its ERROR, and an event",
)
def configurations_that_are_refused(rig: Rig) -> None:
    """Counts, bases, buffers and vectors out of bounds, for each ring; two at once."""
    vectors = rig.vectors
    wrong: list[tuple[tuple[str, ...], dict[str, int], RingError]] = [
        (_RINGS, {"COUNT": 0}, RingError.BAD_COUNT),
        (_RINGS, {"COUNT": 4}, RingError.BAD_COUNT),
        (_RINGS, {"COUNT": 100}, RingError.BAD_COUNT),
        (_RINGS, {"COUNT": 65536}, RingError.BAD_COUNT),
        (_RINGS, {"COUNT": 7, "BASE": 1}, RingError.BAD_COUNT),
        (_RINGS, {"BASE": 32}, RingError.BAD_BASE),
        (_RINGS, {"BASE": (1 << 40) + 1}, RingError.BAD_BASE),
        (("RX",), {"BUF_LEN": 63}, RingError.BAD_BUFFER),
        (("RX",), {"BUF_LEN": 65537}, RingError.BAD_BUFFER),
        (("CQ",), {"VECTOR": vectors}, RingError.BAD_VECTOR),
        (("CQ",), {"VECTOR": 255}, RingError.BAD_VECTOR),
    ]
    for rings, fields, error in wrong:
        for ring in rings:
            again(rig)
            _stop(rig, ring)
            if ring != "CQ":
                assert state(rig, "CQ")[1] == 1
            for name, value in fields.items():
                rig[0].put(BAR0.MAP[f"QP_{ring}_{name}"], value)
            rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
            _enable(rig, ring)
            found = state(rig, ring)
            assert found == (0, 0, error), f"{ring} with {fields}: ENABLE, RUNNING, ERROR are {found}"
            assert rig.field(BAR0.GLB_EVENT, "RING") == 1, f"{ring} with {fields}: no event"
    again(rig)
    _stop(rig, "CQ")
    for ring in ("RX", "TX"):
        _enable(rig, ring)
        assert state(rig, ring) == (0, 0, RingError.NO_CQ), f"{ring} runs without a completion ring"
    again(rig)
    through(rig)


@card_case(
    manual("RING-3", "rings"),
    "each bound itself is allowed: 8 and 32,768 entries, buffers of 64 and 65,536 bytes, the last vector",
)
def configurations_at_their_bounds(rig: Rig) -> None:
    """Start each ring with the least and the most of each; header buffers with header split on."""
    for ring in _RINGS:
        for count in (8, 32768):
            again(rig)
            _stop(rig, ring)
            rig[0].put(BAR0.MAP[f"QP_{ring}_COUNT"], count)
            _enable(rig, ring)
            found = state(rig, ring)
            assert found == (1, 1, RingError.NONE), f"{ring} of {count} entries: {found}"
    for split, register, values in (
        (0, BAR0.QP_RX_BUF_LEN, {63: 0, 64: 1, 65536: 1, 65537: 0}),
        (0, BAR0.QP_RX_HDR_LEN, {0: 1, 63: 1, 5000: 1}),
        (1, BAR0.QP_RX_HDR_LEN, {0: 0, 63: 0, 64: 1, 1024: 1, 1025: 0}),
    ):
        for value, is_good in values.items():
            again(rig)
            rig.change(BAR0.MAC_RX_CTRL, HEADER_SPLIT=split)
            _stop(rig, "RX")
            rig[0].put(register, value)
            _enable(rig, "RX")
            assert state(rig, "RX")[1] == is_good, f"{register.name} {value}, header split {split}"
            rig[0].put(register, register.reset)
            rig.change(BAR0.MAC_RX_CTRL, HEADER_SPLIT=0)


@card_case(
    manual("RING-2", "rings"),
    "a ring latches its configuration when it starts, and starts at index 0 with the first pass's GEN",
)
def rings_that_are_started_again(rig: Rig) -> None:
    """Change every register of running rings: nothing changes. Stop in mid-ring and start: all from 0."""
    pair = rig[0]
    for frame in frames(5):
        assert rig.receive(frame)
        pair.send(frame)
    pair.reports()
    rig.sent()
    for ring in _RINGS:
        for name in ("BASE", "COUNT"):
            register = BAR0.MAP[f"QP_{ring}_{name}"]
            kept = pair.get(register)
            pair.put(register, kept ^ 0x40)
            through(rig)
            pair.put(register, kept)
    for register in (BAR0.QP_RX_BUF_LEN, BAR0.QP_CQ_VECTOR):
        kept = pair.get(register)
        pair.put(register, kept ^ 1)
        messages(rig)
        through(rig)
        assert set(messages(rig)) == {0}, "another vector"
        pair.put(register, kept)
    for ring in ("TX", "RX", "CQ"):
        head = pair.get(BAR0.MAP[f"QP_{ring}_HEAD"])
        assert head != 0
        _stop(rig, ring)
        shown = pair.get(BAR0.MAP[f"QP_{ring}_HEAD"])
        assert shown == head, f"{ring}: HEAD shows {shown} where it stopped, {head} is right"
    pair.start()
    for ring in _RINGS:
        assert pair.get(BAR0.MAP[f"QP_{ring}_HEAD"]) == 0, f"{ring} goes on where it stopped"
    assert pair.get(BAR0.QP_RX_TAIL) == pair.get(BAR0.QP_TX_TAIL) == 0
    pair.post_rx(rig.rx_count - 1)
    through(rig)
    assert pair.get(BAR0.QP_TX_HEAD) == 1


@card_case(
    manual("RING-4", "rings"),
    "stopping the completion ring stops all three rings; stopping one of the others stops it alone",
    pairs=2,
)
def rings_that_are_stopped(rig: Rig) -> None:
    """Stop each ring of pair 1 with work on it: which run, what moves afterwards (RST-10); pair 0 goes on."""
    for ring, running in (("RX", (0, 1, 1)), ("TX", (1, 0, 1)), ("CQ", (0, 0, 0))):
        again(rig, 1)
        rig.device.is_manual = True
        rig[1].send(plain_frame(100, 1, PEER))
        _stop(rig, ring, 1)
        found = tuple(state(rig, each, 1)[1] for each in _RINGS)
        assert found == running, f"with {ring} stopped RUNNING of RX, TX and CQ are {found}"
        assert state(rig, ring, 1) == (0, 0, RingError.NONE)
        moved: list[Event] = []
        with rig.device.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
            rig.device.run()
        if ring != "RX":
            assert not moved, f"{moved[0].type.name} for a ring that was stopped"
            assert rig.sent() == [], "a frame left from a ring that was stopped"
        rig.device.is_manual = False
        rig.device.frames()
        through(rig)


@card_case(
    manual("RING-10", "rings"),
    "entries are written in ring order, GEN alternates at each wrap, receive and transmit share the ring",
    cq_count=8,
    rx_count=8,
    tx_count=8,
    pairs=2,
)
def many_times_round(rig: Rig) -> None:
    """Rings of 8: 200 frames in and out on pair 1, in bunches of 1 to 3; both ways."""
    pair = rig[1]
    rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(DEFAULT_QUEUE=1))
    rig.put(BAR0.RSS_COMMIT, BAR0.RSS_COMMIT.encode(GO=1))
    for run in WAYS:
        for bunch in range(100):
            rig.device.is_manual = True
            sent = [plain_frame(70, 3 * bunch + n, PEER) for n in range(bunch % 3 + 1)]
            came = [plain_frame(80, 3 * bunch + n) for n in range(bunch % 3 + 1)]
            for frame in came:
                rig.inject(frame)
            for frame in sent:
                pair.send(frame)
            run(rig)
            assert rig.sent() == sent, f"bunch {bunch}: other frames left"
            entries = pair.poll()
            heads = [each.head for each in entries if isinstance(each, TxCompletion)]
            assert heads[-1:] == [pair.tx_tail], f"bunch {bunch}: the last HEAD of {heads}"
            got = pair.assemble(each for each in entries if isinstance(each, RxCompletion))
            assert [each.data for each in got] == came, f"bunch {bunch}: other frames came in"
            pair.post_rx(len(came))


@card_case(
    manual("RING-17", "rings"),
    "no completion is lost or overwritten: without a slot frames are dropped and counted, and sends wait",
    cq_count=8,
    posted=63,
)
def completion_rings_that_are_full(rig: Rig) -> None:
    """Ten frames in and ten out with 7 slots; give them back."""
    pair = rig[0]
    for frame in frames(10):
        rig.inject(frame)
    assert rig.counters("RX_DROP_") == {"NO_COMPLETION": 3}, f"{rig.counters('RX_DROP_')}"
    assert pair.get(BAR0.QP_RX_DROPS) == 3
    out = [plain_frame(90, n, PEER) for n in range(10)]
    for frame in out:
        pair.send(frame)
    assert rig.sent() == [], "a frame leaves that nobody could be told of"
    assert [each.data for each in pair.take()] == frames(7), "entries were lost or overwritten"
    sent, reports = rig.sent(), 0
    for _ in range(5):
        reports += len(pair.reports())
        sent += rig.sent()
    assert (sent, reports) == (out, 10), f"{len(sent)} frames left, {reports} were reported"


@card_case(
    manual("RING-14", "rings"),
    "descriptors that cannot be read stop their ring with FETCH_DMA; the others of the pair run on",
    pairs=2,
)
def descriptors_that_cannot_be_read(rig: Rig) -> None:
    """The fetch of either ring fails."""
    for ring, other in (("TX", "RX"), ("RX", "TX")):
        again(rig, 0)
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        rig.device.arm(
            Fault(
                site=FaultSite.DMA_READ, action=FaultAction.ERROR, index=DmaPurpose.DESCRIPTOR, count=1,
                argument=DmaStatus.UNSUPPORTED,
            )
        )  # fmt: skip
        if ring == "TX":
            rig[0].send(plain_frame(90, 1, PEER))
        else:
            rig.inject(plain_frame(90, 1))
        assert state(rig, ring) == (0, 0, RingError.FETCH_DMA), f"{ring}: {state(rig, ring)}"
        assert state(rig, other)[1] == 1 and state(rig, "CQ")[1] == 1, f"{other} or CQ stopped with {ring}"
        event = rig.get(BAR0.GLB_EVENT)
        wanted = BAR0.GLB_EVENT.encode(RING=1, DMA=1)
        assert event & wanted == wanted, f"GLB_EVENT is {event:#x}"
        rig[1].send(plain_frame(91, 1, PEER))
        assert rig.sent() == [plain_frame(91, 1, PEER)]
        assert rig.stat("DMA_ERRORS") >= 1
    again(rig, 0)
    through(rig)


@card_case(
    manual("RING-15", "rings"),
    "a completion that cannot be written stops all three rings of its pair, and no other pair",
    pairs=2,
)
def completions_that_cannot_be_written(rig: Rig) -> None:
    """The write of a receive and of a transmit completion fails on pair 0."""
    for way in ("RX", "TX"):
        again(rig, 0)
        rig.device.arm(
            Fault(
                site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=DmaPurpose.COMPLETION, count=1,
                argument=DmaStatus.UNSUPPORTED,
            )
        )  # fmt: skip
        if way == "TX":
            rig[0].send(plain_frame(90, 1, PEER))
        else:
            rig.inject(plain_frame(90, 1))
        found = {ring: state(rig, ring) for ring in _RINGS}
        assert found["CQ"] == (0, 0, RingError.WRITE_DMA), f"CQ: {found['CQ']}"
        assert found["RX"][:2] == found["TX"][:2] == (0, 0), "rings run without their completion ring"
        rig.device.frames()
        rig[1].send(plain_frame(91, 1, PEER))
        assert rig.sent() == [plain_frame(91, 1, PEER)], "another pair stopped"
    again(rig, 0)
    through(rig)


@card_case(
    manual("RING-9", "rings"), "a pair that the card lacks keeps nothing, and writing it is a guest error"
)
def pairs_that_are_absent(rig: Rig) -> None:
    """Write every register of pairs 1 and 31 of a card of one pair."""
    for number in (1, 31):
        for ring in _RINGS:
            rig.put(BAR0.MAP[f"QP_{ring}_BASE"], 0x1000, number)
            rig.put(BAR0.MAP[f"QP_{ring}_COUNT"], 64, number)
            errors = rig.stat("GUEST_ERRORS")
            _enable(rig, ring, number)
            rig.put(BAR0.MAP[f"QP_{ring}_TAIL"], 1, number)
            assert rig.stat("GUEST_ERRORS") == errors + 2, f"{ring} of pair {number}"
            for name in ("BASE", "COUNT", "CTRL", "TAIL", "STATUS"):
                register = BAR0.MAP[f"QP_{ring}_{name}"]
                assert rig.get(register, number) == register.reset, f"{register.name} of pair {number} keeps"
    through(rig)


@card_case(
    manual("RST-4", "reset"), "RESET wins over ENABLE, forgets ring and error, and leaves the configuration"
)
def resets_of_single_rings(rig: Rig) -> None:
    """Reset each ring after an error, with ENABLE in the same write; the others of the pair run on."""
    for ring in ("RX", "TX"):
        again(rig)
        rig[0].put(BAR0.MAP[f"QP_{ring}_TAIL"], 0xFFFF)
        assert state(rig, ring)[2] == RingError.BAD_TAIL
        count, base = (rig[0].get(BAR0.MAP[f"QP_{ring}_{each}"]) for each in ("COUNT", "BASE"))
        _enable(rig, ring, RESET=1)
        assert state(rig, ring) == (0, 0, RingError.NONE), (
            f"{ring} after RESET with ENABLE: {state(rig, ring)}"
        )
        for name, wanted in (("HEAD", 0), ("TAIL", 0), ("COUNT", count), ("BASE", base)):
            found = rig[0].get(BAR0.MAP[f"QP_{ring}_{name}"])
            assert found == wanted, f"QP_{ring}_{name} is {found:#x} after RESET, not {wanted:#x}"
        other = "TX" if ring == "RX" else "RX"
        assert state(rig, other)[1] == state(rig, "CQ")[1] == 1, f"RESET of {ring} stopped others"


@card_case(
    manual("RST-5", "reset"),
    "a frame in delivery to a ring that is reset is dropped and counted; its slots are free again",
    buf_len=256,
    cq_count=8,
)
def resets_in_the_middle_of_a_frame(rig: Rig) -> None:
    """Reset the receive ring after 1 to 4 steps of a frame of 5 buffers; then 7 slots are free."""
    for steps in range(1, 5):
        again(rig)
        drops = rig.counters("RX_DROP_").get("RESET", 0)
        rig.device.is_manual = True
        rig.inject(plain_frame(1200, 1))
        for _ in range(steps):
            rig.device.step(rig.device.runnable[0])
        rig[0].put(BAR0.QP_RX_CTRL, BAR0.QP_RX_CTRL.encode(RESET=1))
        assert rig.counters("RX_DROP_").get("RESET", 0) == drops + 1, f"after {steps} steps it is not counted"
        rig.device.run()
        rig.device.is_manual = False
        written = len(rig[0].poll())
        rig[0].start_rx()
        rig[0].post_rx(20)
        for frame in frames(7):
            rig.inject(frame)
        found = rig[0].poll()
        assert len(found) == 7, f"after {steps} steps and {written} entries {len(found)} of 7 frames fit"
