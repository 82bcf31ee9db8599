"""Interrupts: causes, vectors, the three levels, moderation and events, by spec/interrupts.md."""

from __future__ import annotations

import pytest

from vnic.abi import Engine, EventType, InterruptKind
from vnic.events import Event
from vnic.gen.enums import TestOp
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.host.bus import Interrupt
from vnic.testbench.rig import MESSAGE_ADDRESS, MESSAGE_DATA, Rig, plain_frame

INTX, MSI, MSIX = InterruptKind.INTX, InterruptKind.MSI, InterruptKind.MSIX
LEVELS = [INTX, MSI, MSIX]
UP, DOWN = Interrupt(INTX, 0, 0, 1), Interrupt(INTX, 0, 0, 0)
NOWHERE = 0x7000_0000_0000


def message(kind: InterruptKind, vector: int) -> Interrupt:
    """The message that the rig programmed for a vector."""
    return Interrupt(kind, vector, MESSAGE_ADDRESS, MESSAGE_DATA + vector)


def fire(rig: Rig, *vectors: int) -> None:
    """Causes of vectors, as a driver makes them."""
    for vector in vectors:
        rig.put(BAR0.TEST_FIRE, vector)


def raised(rig: Rig) -> list[int]:
    """How often each vector was raised."""
    return [rig.get(BAR0.VEC_RAISED, vector) for vector in range(rig.vectors)]


def pending(rig: Rig) -> list[int]:
    """VEC_STATUS.PENDING of each vector."""
    return [rig.get(BAR0.VEC_STATUS, vector) for vector in range(rig.vectors)]


def clear_events(rig: Rig) -> None:
    """Forget what happened so far."""
    rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
    rig.get(BAR0.INT_CAUSE)
    rig.device.interrupts()


# ---- causes


@pytest.mark.requirement("INT-1", "INT-12")
def test_completions_events_and_fire_are_causes() -> None:
    with Rig(pairs=2) as rig:
        rig.device.interrupts()
        rig[1].send(plain_frame())
        assert rig.device.interrupts() == [message(MSIX, 1)]
        rig.inject(plain_frame())
        assert rig.device.interrupts() == [message(MSIX, 0)]
        rig.device.set_link(0)
        assert rig.device.interrupts() == [message(MSIX, 2)]
        fire(rig, 1)
        assert rig.device.interrupts() == [message(MSIX, 1)]
        assert [rig.get(BAR0.VEC_CAUSES, v) for v in range(3)] == [1, 2, 1]


@pytest.mark.requirement("INT-1")
@pytest.mark.parametrize("number", [3, 63, 255])
def test_a_vector_that_the_card_lacks(number: int) -> None:
    with Rig(vectors=3) as rig:
        clear_events(rig)
        fire(rig, number)
        assert rig.stat("GUEST_ERRORS") == 1
        rig.put(BAR0.GLB_EVENT_VECTOR, number)
        rig.device.set_link(0)
        assert rig.field(BAR0.GLB_EVENT, "LINK") == 1
        assert rig.device.interrupts() == []
        assert rig.stat("GUEST_ERRORS") == 1
        if number < 64:
            rig.put(BAR0.VEC_CTRL, 1, number)
            assert rig.get(BAR0.VEC_CTRL, number) == 0


@pytest.mark.requirement("INT-2")
def test_level_is_chosen_by_configuration_space() -> None:
    with Rig(level=INTX) as rig:
        clear_events(rig)
        fire(rig, 0)
        assert rig.device.interrupts() == [UP]
        rig.set_level(MSI)
        assert rig.device.interrupts() == [DOWN]
        fire(rig, 1)
        assert rig.device.interrupts() == [message(MSI, 1)]
        rig.get(BAR0.INT_CAUSE)
        rig.set_level(MSIX)
        fire(rig, 1)
        assert rig.device.interrupts() == [message(MSIX, 1)]
        rig.configure(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=5)
        fire(rig, 0)
        assert rig.device.interrupts() == [message(MSIX, 0)]


# ---- the line


@pytest.mark.requirement("INT-3", "INT-4")
def test_line_follows_the_cause_register() -> None:
    with Rig(level=INTX, vectors=40) as rig:
        clear_events(rig)
        fire(rig, 0, 7, 33)
        assert rig.device.interrupts() == [UP]
        assert rig.get(BAR0.INT_CAUSE_PEEK) == 1 << 33 | 1 << 7 | 1
        assert rig.get(BAR0.INT_CAUSE_PEEK) == 1 << 33 | 1 << 7 | 1
        assert rig.device.read32(BAR0.INT_CAUSE.offset) == 1 << 7 | 1
        assert rig.device.interrupts() == []
        assert rig.device.read32(BAR0.INT_CAUSE.offset + 4) == 1 << 1
        assert rig.device.interrupts() == [DOWN]
        assert rig.get(BAR0.INT_CAUSE) == 0


@pytest.mark.requirement("INT-3")
def test_a_read_clears_the_bytes_that_it_reads() -> None:
    with Rig(level=INTX, vectors=64) as rig:
        clear_events(rig)
        fire(rig, *range(4, 64, 8))
        offset = BAR0.INT_CAUSE.offset
        assert rig.device.read8(offset + 2) == 0x10
        assert rig.device.read8(offset + 2) == 0
        assert rig.device.read16(offset + 3) == 0x1010
        assert rig.get(BAR0.INT_CAUSE_PEEK) == 0x1010_1000_0000_1010
        assert rig.device.read16(offset) == 0x1010
        assert rig.device.read32(offset + 4) == 0x1010_1000
        assert rig.get(BAR0.INT_CAUSE_PEEK) == 0
        assert rig.device.interrupts() == [UP, DOWN]


@pytest.mark.requirement("INT-3")
@pytest.mark.parametrize("level", LEVELS)
def test_causes_are_collected_for_line_and_msi_only(level: InterruptKind) -> None:
    with Rig(level=level) as rig:
        clear_events(rig)
        fire(rig, 0, 1)
        assert rig.get(BAR0.INT_CAUSE_PEEK) == (0 if level == MSIX else 3)


@pytest.mark.requirement("INT-4")
@pytest.mark.parametrize("how", ["master", "msi", "msix", "disable"])
def test_line_falls_with_what_allowed_it(how: str) -> None:
    def switch(on: bool) -> None:
        if how == "master":
            rig.put(BAR0.INT_CTRL, int(on))
        elif how == "disable":
            rig.configure(CONFIG.COMMAND, MEMORY=1, MASTER=1, INTX_DISABLE=int(not on))
        else:
            rig.configure(CONFIG.MSI_CTRL if how == "msi" else CONFIG.MSIX_CTRL, ENABLE=int(not on))

    with Rig(level=INTX) as rig:
        clear_events(rig)
        fire(rig, 0)
        switch(False)
        assert rig.device.interrupts() == [UP, DOWN]
        assert rig.get(BAR0.INT_CAUSE_PEEK) == 1
        switch(True)
        assert rig.device.interrupts() == [UP]


# ---- messages


@pytest.mark.requirement("INT-5")
@pytest.mark.parametrize("granted", range(6))
def test_msi_messages_go_modulo_what_is_granted(granted: int) -> None:
    with Rig(vectors=40, level=MSI) as rig:
        rig.configure(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=granted)
        clear_events(rig)
        for vector in (0, 1, 5, 39):
            fire(rig, vector)
            assert rig.device.interrupts() == [message(MSI, vector % (1 << granted))]
        assert rig.get(BAR0.INT_CAUSE) == 1 << 39 | 1 << 5 | 3


@pytest.mark.requirement("INT-5", "INT-13")
def test_masked_message_waits_in_the_pending_bits() -> None:
    with Rig(vectors=4) as rig:
        rig.device.interrupts()
        control = MSIX_TABLE.ENTRY_CTRL.at(2)
        rig.device.write(2, control, 1)
        for _ in range(3):
            fire(rig, 2)
        assert rig.device.interrupts() == []
        assert rig.device.read(2, MSIX_TABLE.PBA.offset, 4) == 1 << 2
        rig.device.write(2, control, 0)
        assert rig.device.interrupts() == [message(MSIX, 2)]
        assert rig.device.read(2, MSIX_TABLE.PBA.offset, 4) == 0


@pytest.mark.requirement("INT-5")
def test_msi_mask() -> None:
    with Rig(vectors=4, level=MSI) as rig:
        clear_events(rig)
        rig.configure(CONFIG.MSI_MASK, MASK=1 << 3)
        fire(rig, 3, 3, 1)
        assert rig.device.interrupts() == [message(MSI, 1)]
        assert rig.device.config_read(CONFIG.MSI_PENDING.offset) == 1 << 3
        rig.configure(CONFIG.MSI_MASK, MASK=0)
        assert rig.device.interrupts() == [message(MSI, 3)]


# ---- raising


@pytest.mark.requirement("INT-6", "INT-11", "INT-13")
@pytest.mark.parametrize("level", LEVELS)
def test_moderation_in_virtual_time(level: InterruptKind) -> None:
    with Rig(level=level) as rig:
        clear_events(rig)
        rig.put(BAR0.VEC_INTERVAL, 1000, 0)
        start = rig.device.now_ns
        rig.inject(plain_frame())
        assert raised(rig)[0] == 1
        for _ in range(5):
            rig.inject(plain_frame())
        assert raised(rig)[0] == 1
        assert pending(rig)[0] == 1
        assert rig.device.next_deadline_ns() == start + 1000
        rig.device.advance(start + 999)
        assert raised(rig)[0] == 1
        rig.device.advance(start + 1000)
        assert raised(rig)[0] == 2
        assert pending(rig)[0] == 0
        assert rig.device.next_deadline_ns() is None
        assert rig.get(BAR0.VEC_CAUSES, 0) == 6
        rig.device.advance(start + 5000)
        assert raised(rig)[0] == 2
        rig.inject(plain_frame())
        assert raised(rig)[0] == 3


@pytest.mark.requirement("INT-6", "INT-11")
def test_intervals_are_per_vector() -> None:
    with Rig(vectors=3) as rig:
        for vector, interval in enumerate((0, 100, 300)):
            rig.put(BAR0.VEC_INTERVAL, interval, vector)
        before = raised(rig)
        history = []
        for now in range(0, 1000, 50):
            rig.device.advance(now)
            fire(rig, 0, 1, 2)
            history.append([a - b for a, b in zip(raised(rig), before, strict=True)])
        assert history[-1] == [20, 10, 4]


@pytest.mark.requirement("INT-6", "INT-8")
@pytest.mark.parametrize("level", LEVELS)
def test_auto_mask(level: InterruptKind) -> None:
    with Rig(level=level, auto_mask=True) as rig:
        clear_events(rig)
        rig.inject(plain_frame())
        assert raised(rig)[0] == 1
        assert rig.get(BAR0.VEC_CTRL, 0) == BAR0.VEC_CTRL.encode(ENABLE=0, AUTO_MASK=1)
        rig.inject(plain_frame())
        rig.inject(plain_frame())
        assert (raised(rig)[0], pending(rig)[0]) == (1, 1)
        rig.change(BAR0.VEC_CTRL, 0, ENABLE=1)
        assert (raised(rig)[0], pending(rig)[0]) == (2, 0)
        assert rig.field(BAR0.VEC_CTRL, "ENABLE") == 0
        rig.change(BAR0.VEC_CTRL, 0, ENABLE=1)
        assert raised(rig)[0] == 2


@pytest.mark.requirement("INT-6")
def test_auto_mask_and_interval_both_hold() -> None:
    with Rig(auto_mask=True, interval_ns=100) as rig:
        rig.inject(plain_frame())
        rig.inject(plain_frame())
        rig.change(BAR0.VEC_CTRL, 0, ENABLE=1)
        assert raised(rig)[0] == 1
        assert rig.device.next_deadline_ns() == 100
        rig.device.advance(100)
        assert raised(rig)[0] == 2
        rig.inject(plain_frame())
        rig.device.advance(500)
        assert (raised(rig)[0], rig.device.next_deadline_ns()) == (2, None)


@pytest.mark.requirement("INT-8", "INT-13")
def test_disabled_vector_keeps_its_cause() -> None:
    with Rig() as rig:
        rig.put(BAR0.VEC_CTRL, 0, 0)
        rig.device.interrupts()
        for _ in range(4):
            rig.inject(plain_frame())
        assert rig.device.interrupts() == []
        assert (pending(rig)[0], rig.get(BAR0.VEC_CAUSES, 0)) == (1, 4)
        rig.put(BAR0.VEC_CTRL, 1, 0)
        assert rig.device.interrupts() == [message(MSIX, 0)]
        assert raised(rig)[0] == 1


@pytest.mark.requirement("INT-9")
@pytest.mark.parametrize("level", LEVELS)
def test_master_enable(level: InterruptKind) -> None:
    with Rig(level=level, vectors=3) as rig:
        clear_events(rig)
        rig.put(BAR0.INT_CTRL, 0)
        before = raised(rig)
        fire(rig, 0, 1, 2)
        assert rig.device.interrupts() == []
        assert (raised(rig), pending(rig)) == (before, [1, 1, 1])
        assert rig.device.is_idle
        rig.put(BAR0.INT_CTRL, 1)
        assert raised(rig) == [n + 1 for n in before]
        assert rig.device.interrupts() == ([UP] if level == INTX else [message(level, n) for n in range(3)])


@pytest.mark.requirement("INT-10")
def test_vectors_take_turns() -> None:
    with Rig(vectors=5, manual=True) as rig:
        rig.device.run()
        rig.device.interrupts()
        fire(rig, 3, 1, 4)
        order: list[int] = []
        for again in (1, 3, 1, 1, 0, 0, 0):
            assert rig.device.step(Engine.IRQ) == (len(order) < 7)
            order += [i.vector for i in rig.device.interrupts()]
            fire(rig, again)
        # The event vector 4 was raised last, so the turn starts at 0.
        assert order == [1, 3, 4, 1, 3, 0, 1]


@pytest.mark.requirement("INT-10")
def test_one_step_raises_one_vector() -> None:
    with Rig(vectors=4, manual=True) as rig:
        rig.device.run()
        before = sum(raised(rig))
        fire(rig, 0, 1, 2, 3)
        for count in range(1, 5):
            assert rig.device.step(Engine.IRQ)
            assert sum(raised(rig)) == before + count
        assert not rig.device.step(Engine.IRQ)


@pytest.mark.requirement("INT-12")
@pytest.mark.parametrize("level", LEVELS)
def test_the_entry_is_there_before_the_interrupt(level: InterruptKind) -> None:
    with Rig(level=level) as rig:
        clear_events(rig)
        events: list[Event] = []
        with rig.device.observe(events.append, [EventType.DMA_WRITE, EventType.INTERRUPT]):
            rig.inject(plain_frame())
        assert [event.type for event in events] == [EventType.DMA_WRITE] * 2 + [EventType.INTERRUPT]
        assert events[1].addr == rig[0].cq_memory.address


# ---- events


def start_test_dma(rig: Rig) -> None:
    """A bring-up operation that ends at once, in an error."""
    rig.put(BAR0.TEST_DMA_LEN, 0)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=TestOp.FILL))


def break_ring(rig: Rig) -> None:
    """A doorbell out of range."""
    rig[0].put(BAR0.QP_RX_TAIL, 9999)


def break_dma(rig: Rig) -> None:
    """Data that cannot be read."""
    rig.put(BAR0.TEST_DMA_LEN, 4)
    rig.put(BAR0.TEST_DMA_DST, NOWHERE)
    rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(GO=1, OP=TestOp.FILL))


CAUSES = {
    "LINK": lambda rig: rig.device.set_link(0),
    "RING": break_ring,
    "TEST": start_test_dma,
    "DMA": break_dma,
}


@pytest.mark.requirement("INT-7")
@pytest.mark.parametrize("name", CAUSES)
def test_each_event(name: str) -> None:
    with Rig() as rig:
        rig.put(BAR0.GLB_EVENT_ENABLE, BAR0.GLB_EVENT_ENABLE.encode(**{name: 1}))
        clear_events(rig)
        CAUSES[name](rig)
        found = BAR0.GLB_EVENT.decode(rig.get(BAR0.GLB_EVENT))
        assert found == {n: int(n == name or (name, n) == ("DMA", "TEST")) for n in found}
        assert rig.device.interrupts() == [message(MSIX, 1)]
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.encode(**{name: 1}))
        assert rig.field(BAR0.GLB_EVENT, name) == 0


@pytest.mark.requirement("INT-7")
def test_events_that_are_not_enabled_stand_until_they_are() -> None:
    with Rig() as rig:
        clear_events(rig)
        rig.put(BAR0.GLB_EVENT_ENABLE, 0)
        rig.device.set_link(0)
        rig.device.set_link(1000)
        break_ring(rig)
        assert rig.device.interrupts() == []
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.encode(RING=1))
        rig.put(BAR0.GLB_EVENT_ENABLE, BAR0.GLB_EVENT_ENABLE.encode(RING=1))
        assert rig.device.interrupts() == []
        rig.put(BAR0.GLB_EVENT_ENABLE, BAR0.GLB_EVENT_ENABLE.encode(LINK=1))
        assert rig.device.interrupts() == [message(MSIX, 1)]


@pytest.mark.requirement("INT-7")
@pytest.mark.parametrize(("mbps", "is_event"), [(0, True), (1000, True), (10_000, False)])
def test_link_event_is_a_change(mbps: int, is_event: bool) -> None:
    with Rig(mbps=10_000) as rig:
        clear_events(rig)
        rig.device.set_link(mbps)
        assert rig.field(BAR0.GLB_EVENT, "LINK") == is_event
        assert rig.get(BAR0.GLB_SPEED) == mbps


@pytest.mark.requirement("INT-14")
def test_an_event_after_the_clear_is_seen() -> None:
    with Rig() as rig:
        clear_events(rig)
        seen = []
        for mbps in (0, 1000, 0):
            rig.device.set_link(mbps)
            assert rig.device.interrupts() == [message(MSIX, 1)]
            rig.put(BAR0.GLB_EVENT, rig.get(BAR0.GLB_EVENT))
            seen.append(rig.field(BAR0.GLB_STATUS, "LINK_UP"))
        assert seen == [0, 1, 0]


# ---- the service routine


@pytest.mark.requirement("INT-15", "PROG-15")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("late", range(4))
def test_no_completion_is_lost_to_the_service_routine(level: InterruptKind, late: int) -> None:
    """A frame arrives at one point of the routine; it is served in this round, or announced."""
    with Rig(pairs=2, level=level, auto_mask=True) as rig:
        clear_events(rig)
        served, is_late = 0, False
        rig.inject(plain_frame())
        for _ in range(3):
            waiting = rig.device.interrupts()
            if not any(i.kind != INTX or i.data for i in waiting):
                break
            for point, step in enumerate(("cause", "poll", "enable", "done")):
                if point == late and not is_late:
                    is_late = True
                    rig.inject(plain_frame())
                if step == "cause" and level != MSIX:
                    assert rig.get(BAR0.INT_CAUSE) & 1
                elif step == "poll":
                    served += len(rig[0].take())
                elif step == "enable":
                    rig.change(BAR0.VEC_CTRL, 0, ENABLE=1)
        assert served == 2


@pytest.mark.requirement("INT-13")
@pytest.mark.parametrize("register", [BAR0.VEC_CAUSES, BAR0.VEC_RAISED], ids=str)
def test_counters_of_a_vector(register: Register) -> None:
    with Rig(interval_ns=1_000_000) as rig:
        before = rig.get(register, 0)
        for _ in range(10):
            rig.inject(plain_frame())
        assert rig.get(register, 0) - before == (10 if register is BAR0.VEC_CAUSES else 1)
