"""The card's vectors and events, by registers: turns, intervals, causes that wait, enables."""

from __future__ import annotations

from vnic.abi import EventType, InterruptKind
from vnic.conformance.case import card_case
from vnic.conformance.groups.card import frames, messages
from vnic.conformance.pages import manual
from vnic.events import Event
from vnic.gen.registers import BAR0
from vnic.testbench.frames import PEER, plain_frame
from vnic.testbench.rig import Rig


def _fire(rig: Rig, *vectors: int) -> None:
    for vector in vectors:
        rig.put(BAR0.TEST_FIRE, vector)


def _enable(rig: Rig, vector: int, enable: int = 1) -> None:
    rig.change(BAR0.VEC_CTRL, vector, ENABLE=enable)


@card_case(
    manual("INT-10", "interrupts"),
    "vectors are raised in turn, ascending from the one after the last, each raise a step of its own",
    pairs=2,
    vectors=16,
    manual=True,
)
def vectors_take_turns(rig: Rig) -> None:
    """Sixteen vectors, all with causes; three of them get new ones after every step."""
    waiting, turn = set(range(16)), 0
    _fire(rig, *waiting)
    for number in range(60):
        wanted = min((each for each in waiting if each >= turn), default=min(waiting))
        rig.device.step(rig.device.runnable[0])
        taken = messages(rig)
        assert taken == [wanted], f"raise {number} is of {taken}, it is the turn of {wanted}"
        turn = (wanted + 1) % 64
        again = {0, 1, wanted * 7 % 16}
        waiting = waiting - {wanted} | again
        _fire(rig, *sorted(again))


@card_case(
    manual("INT-6", "interrupts"),
    "a vector waits for its own interval, from its own last raise, to the nanosecond; others do not wait",
    pairs=2,
    vectors=4,
)
def intervals_of_vectors(rig: Rig) -> None:
    """Intervals of 0, 1, 1,000 and 1,000,000 ns; causes at once after a raise; deadlines."""
    intervals = (0, 1, 1_000, 1_000_000)
    for vector, interval in enumerate(intervals):
        rig.put(BAR0.VEC_INTERVAL, interval, vector)
    now = 10_000_000
    for _ in range(3):
        rig.device.advance(now)
        messages(rig)
        _fire(rig, 0, 1, 2, 3)
        assert messages(rig) == [0, 1, 2, 3], "a vector waits though its interval is over"
        _fire(rig, 0, 1, 2, 3, 3, 2)
        assert messages(rig) == [0], "a vector with an interval is raised again at once"
        for vector in (1, 2, 3):
            due = now + intervals[vector]
            assert rig.device.next_deadline_ns() == due, (
                f"vector {vector} is due at {rig.device.next_deadline_ns()}, not {due}"
            )
            if intervals[vector] > 1:
                rig.device.advance(due - 1)
                assert messages(rig) == [], f"vector {vector} is raised before its interval is over"
            rig.device.advance(due)
            assert messages(rig) == [vector], f"vector {vector} is not raised when its interval is over"
        assert rig.device.next_deadline_ns() is None, "something is due that nobody waits for"
        now += 10_000_000


@card_case(
    manual("INT-6", "interrupts"),
    "a new interval counts from the next raise; with AUTO_MASK both are waited for",
)
def intervals_with_auto_mask(rig: Rig) -> None:
    """An interval of 1 us and AUTO_MASK: enable before and after it is over; change it meanwhile."""
    rig.put(BAR0.VEC_INTERVAL, 1_000)
    rig.put(BAR0.VEC_CTRL, BAR0.VEC_CTRL.encode(ENABLE=1, AUTO_MASK=1))
    rig.device.advance(1_000_000)
    for early in (True, False):
        now = rig.device.now_ns
        messages(rig)
        _fire(rig, 0)
        assert messages(rig) == [0]
        _fire(rig, 0)
        rig.put(BAR0.VEC_INTERVAL, 5)
        if early:
            _enable(rig, 0)
            assert messages(rig) == [], "ENABLE ends the interval"
            rig.device.advance(now + 1_000)
        else:
            rig.device.advance(now + 1_000)
            assert messages(rig) == [], "the end of the interval is enough though ENABLE is clear"
            _enable(rig, 0)
        assert messages(rig) == [0], "a cause that waited for interval and ENABLE is lost"
        rig.device.advance(now + 10_000)
        rig.put(BAR0.VEC_INTERVAL, 1_000)
        _enable(rig, 0)


@card_case(
    manual("INT-8", "interrupts"),
    "causes wait for ENABLE and the master enable, any number is one raise; the registers tell",
    pairs=2,
    vectors=4,
)
def causes_that_wait(rig: Rig) -> None:
    """Disable vectors 1 and 3; fire all three times; the registers of each; enable in another order."""
    messages(rig)
    for vector in (1, 3):
        _enable(rig, vector, 0)
    before = [(rig.get(BAR0.VEC_CAUSES, n), rig.get(BAR0.VEC_RAISED, n)) for n in range(4)]
    for _ in range(3):
        _fire(rig, 0, 1, 2, 3)
    assert messages(rig) == [0, 2] * 3, "a disabled vector is raised, or an enabled one is not"
    grown = [
        (rig.get(BAR0.VEC_CAUSES, n) - before[n][0], rig.get(BAR0.VEC_RAISED, n) - before[n][1])
        for n in range(4)
    ]
    assert grown == [(3, 3), (3, 0), (3, 3), (3, 0)], f"CAUSES and RAISED have grown by {grown}"
    pending = [rig.get(BAR0.VEC_STATUS, n) for n in range(4)]
    assert pending == [0, 1, 0, 1], f"VEC_STATUS.PENDING is {pending}"
    _enable(rig, 3)
    assert messages(rig) == [3], "enabling a vector raises another, or nothing"
    assert [rig.get(BAR0.VEC_STATUS, n) for n in range(4)] == [0, 1, 0, 0]
    rig.put(BAR0.INT_CTRL, 0)
    _enable(rig, 1)
    _fire(rig, 2)
    assert messages(rig) == [], "a vector is raised with the master enable clear"
    assert [rig.get(BAR0.VEC_STATUS, n) for n in range(4)] == [0, 1, 1, 0]
    rig.put(BAR0.INT_CTRL, BAR0.INT_CTRL.encode(MASTER_ENABLE=1))
    assert sorted(messages(rig)) == [1, 2]


@card_case(
    manual("INT-3", "interrupts"),
    "a read of INT_CAUSE clears the bits of the bytes that were read, PEEK shows them and clears none",
    level=InterruptKind.INTX,
    pairs=2,
    vectors=64,
)
def bytes_of_the_cause(rig: Rig) -> None:
    """Vectors in each byte of INT_CAUSE; read it by bytes, halves and as a whole; the line until the last."""
    fired = (0, 7, 9, 30, 33, 63)
    for width in (1, 2, 4, 8):
        messages(rig)
        _fire(rig, *fired)
        left = sum(1 << n for n in fired)
        for at in range(0, 8, width):
            assert rig.get(BAR0.INT_CAUSE_PEEK) == left, f"PEEK is not {left:#x}"
            mask = ((1 << 8 * width) - 1) << 8 * at
            found = rig.device.read(0, BAR0.INT_CAUSE.offset + at, width)
            assert found == (left & mask) >> 8 * at, f"{width} bytes at {at} of INT_CAUSE read {found:#x}"
            left &= ~mask
            line = messages(rig)[-1:]
            assert line == ([0] if not left and line else line), "the line"
        assert rig.get(BAR0.INT_CAUSE) == 0, "a cause that was read is still there"


@card_case(
    manual("INT-7", "interrupts"),
    "an event interrupts when it is enabled, also when it stands already; it stands until it is cleared",
    pairs=2,
)
def events_and_their_enables(rig: Rig) -> None:
    """Each of LINK, RING, TEST and DMA: disabled, then enabled, cleared, and again while it is enabled."""
    event = rig.get(BAR0.GLB_EVENT_VECTOR)

    def link(rig: Rig) -> None:
        rig.device.set_link(1_000 if rig.get(BAR0.GLB_SPEED) != 1_000 else 10_000)

    def ring(rig: Rig) -> None:
        rig[1].put(BAR0.QP_TX_TAIL, 0xFFFF)
        rig[1].put(BAR0.QP_TX_CTRL, BAR0.QP_TX_CTRL.encode(RESET=1))
        rig[1].start_tx()

    def test(rig: Rig) -> None:
        rig.put(BAR0.TEST_DMA_LEN, 0)
        rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1))

    def dma(rig: Rig) -> None:
        rig[0].send_raw([rig[0].piece(b"x" * 60, addr=0x7000_0000)])

    for name, happen in (("LINK", link), ("RING", ring), ("TEST", test), ("DMA", dma)):
        rig.put(BAR0.GLB_EVENT_ENABLE, 0)
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        messages(rig)
        happen(rig)
        assert event not in messages(rig), f"{name} interrupts though it is disabled"
        assert rig.field(BAR0.GLB_EVENT, name) == 1, f"{name} does not stand"
        other = BAR0.GLB_EVENT_ENABLE.mask() & ~BAR0.GLB_EVENT_ENABLE.encode(**{name: 1})
        rig.put(BAR0.GLB_EVENT_ENABLE, other)
        assert event not in messages(rig), f"{name} interrupts when others are enabled"
        rig.put(BAR0.GLB_EVENT_ENABLE, BAR0.GLB_EVENT_ENABLE.encode(**{name: 1}))
        assert event in messages(rig), f"{name} stands, is enabled, and does not interrupt"
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.encode(**{name: 1}))
        assert rig.field(BAR0.GLB_EVENT, name) == 0, f"{name} was cleared, and stands"
        happen(rig)
        assert event in messages(rig), f"{name} does not interrupt a second time"


@card_case(
    manual("INT-7", "interrupts"),
    "LINK is an event when the link goes up, down, or changes its speed",
)
def links_that_change(rig: Rig) -> None:
    """Speeds up and down, and the same speed again."""
    for mbps, is_event in ((25_000, 1), (25_000, 0), (0, 1), (0, 0), (100, 1), (10_000, 1)):
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        rig.device.set_link(mbps)
        assert rig.field(BAR0.GLB_EVENT, "LINK") == is_event, f"a link of {mbps} Mb/s"
        assert rig.get(BAR0.GLB_SPEED) == mbps
        assert rig.field(BAR0.GLB_STATUS, "LINK_UP") == int(mbps != 0)


@card_case(
    manual("INT-1", "interrupts"),
    "a completion is a cause of its ring's vector, an event of GLB_EVENT_VECTOR's",
    pairs=3,
    vectors=4,
)
def vectors_of_rings(rig: Rig) -> None:
    """Pairs with their vectors turned round, two with one vector; events to each vector, and to none."""
    for number, vector in enumerate((2, 3, 3)):
        rig[number].reset()
        rig[number].put(BAR0.QP_CQ_VECTOR, vector)
        rig.vectors = 4
        pair = rig[number]
        pair.cq_memory.view[:] = bytes(len(pair.cq_memory))
        pair.put(BAR0.QP_CQ_CTRL, BAR0.QP_CQ_CTRL.encode(ENABLE=1))
        pair.put(BAR0.QP_CQ_TAIL, rig.cq_count - 1)
        pair.start_tx()
        messages(rig)
        pair.send(plain_frame(90, 1, PEER))
        assert messages(rig) == [vector], f"pair {number} has vector {vector}"
    for vector in (0, 1, 3, 200):
        rig.put(BAR0.GLB_EVENT_VECTOR, vector)
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        messages(rig)
        rig.device.set_link(1_000 if rig.get(BAR0.GLB_SPEED) != 1_000 else 10_000)
        assert messages(rig) == ([vector] if vector < 4 else []), f"an event with GLB_EVENT_VECTOR {vector}"


@card_case(
    manual("RUN-1", "overview"),
    "no access moves memory, sends a frame or raises a vector: it marks work; IDLE tells of none",
    manual=True,
)
def accesses_do_no_work(rig: Rig) -> None:
    """Doorbells, frames, commits and bring-up commands without a step; IDLE before and after a run."""
    assert rig.field(BAR0.GLB_STATUS, "IDLE") == 1, "a card that has no work is not IDLE"
    moved: list[Event] = []
    with rig.device.observe(moved.append, (EventType.DMA_READ, EventType.DMA_WRITE)):
        for frame in frames(3):
            rig.inject(frame)
        tail = rig.get(BAR0.QP_TX_HEAD)
        rig.put(BAR0.QP_TX_TAIL, (tail + 3) % rig.tx_count)
        _fire(rig, 0)
    assert not moved, f"{moved[0].type.name} within an access"
    assert rig.device.frames() == [] and messages(rig) == []
    assert rig.field(BAR0.GLB_STATUS, "IDLE") == 0, "a card with work is IDLE"
    bound = rig.device.idle_steps
    rig.device.run()
    assert rig.field(BAR0.GLB_STATUS, "IDLE") == 1, (
        f"not IDLE after a run; {bound} steps were said to be enough"
    )
    assert len(rig[0].take()) == 3


@card_case(
    manual("INT-7", "interrupts"),
    "an event interrupts for itself: one that is disabled is silent though an enabled one stands",
    pairs=2,
)
def events_beside_others(rig: Rig) -> None:
    """LINK and TEST: one stands, and the other happens, with each of them enabled and not; twice in a row."""
    event = rig.get(BAR0.GLB_EVENT_VECTOR)

    def happen(name: str) -> None:
        if name == "LINK":
            rig.device.set_link(1_000 if rig.get(BAR0.GLB_SPEED) != 1_000 else 10_000)
        else:
            rig.put(BAR0.TEST_DMA_LEN, 0)
            rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1))

    for stands, other in (("LINK", "TEST"), ("TEST", "LINK")):
        for enabled in ((), (stands,), (other,), (stands, other)):
            rig.put(BAR0.GLB_EVENT_ENABLE, 0)
            rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
            happen(stands)
            rig.put(BAR0.GLB_EVENT_ENABLE, BAR0.GLB_EVENT_ENABLE.encode(**dict.fromkeys(enabled, 1)))
            messages(rig)
            for _ in range(2):
                happen(other)
                found = messages(rig)
                wanted = [event] * (other in enabled)
                assert found == wanted, (
                    f"{stands} stands, enabled {enabled or 'none'}: {other} raises {found}"
                )
            happen(stands)
            assert messages(rig) == [event] * (stands in enabled), (
                f"{stands} again, enabled {enabled or 'none'}"
            )
