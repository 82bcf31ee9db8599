"""Interrupt registers and completions whose order or clearing others got wrong."""

from __future__ import annotations

from itertools import permutations

import pytest

from vnic.abi import DmaPurpose, EventType, InterruptKind
from vnic.events import Event
from vnic.gen.registers import BAR0
from vnic.testbench.rig import Rig, plain_frame

INTERVAL_NS = 10_000
LEVELS = (InterruptKind.INTX, InterruptKind.MSI, InterruptKind.MSIX)


def quiet(rig: Rig) -> None:
    """Forget what happened so far."""
    rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
    rig.get(BAR0.INT_CAUSE)
    rig.device.interrupts()


def heard(rig: Rig) -> list[tuple[InterruptKind, int]]:
    """What came out: kind, and vector or the line's level."""
    return [
        (each.kind, each.data if each.kind == InterruptKind.INTX else each.vector)
        for each in rig.device.interrupts()
    ]


@pytest.mark.parametrize(("before", "after"), [*permutations(LEVELS, 2)], ids=lambda level: level.name)
def test_gitlab_1863_switched_while_a_moderation_timer_is_armed(
    before: InterruptKind, after: InterruptKind
) -> None:
    """QEMU igb: MSI-X enabled while the legacy timer ran fired a vector that was not there, and asserted.

    Here a cause that waits for its interval is raised when that is over, once, by what is in force then.
    """
    with Rig(level=before, interval_ns=INTERVAL_NS) as rig:
        quiet(rig)
        rig.device.advance(rig.device.now_ns + INTERVAL_NS)
        rig.device.interrupts()
        rig.inject(plain_frame(60, 1))
        assert len(heard(rig)) == 1
        rig.get(BAR0.INT_CAUSE)
        heard(rig)
        rig.inject(plain_frame(60, 2))
        assert heard(rig) == []
        deadline = rig.device.next_deadline_ns()
        assert deadline is not None
        rig.set_level(after)
        assert heard(rig) == []
        rig.device.advance(deadline)
        assert heard(rig) == [(after, 1 if after == InterruptKind.INTX else 0)]
        assert len(rig[0].take()) == 2


def test_gitlab_1863_moderation_switched_off_while_its_timer_is_armed() -> None:
    """The same by the register: an interval that is made 0 in the midst of one."""
    with Rig(interval_ns=INTERVAL_NS) as rig:
        quiet(rig)
        rig.device.advance(rig.device.now_ns + INTERVAL_NS)
        for number in range(2):
            rig.inject(plain_frame(60, number))
        deadline = rig.device.next_deadline_ns()
        rig.put(BAR0.VEC_INTERVAL, 0, 0)
        assert rig.device.next_deadline_ns() == deadline, "INT-6: it takes effect at the next raise"
        rig.device.advance(deadline or 0)
        rig.inject(plain_frame(60, 3))
        assert heard(rig) == [(InterruptKind.MSIX, 0)] * 3
        assert rig.device.next_deadline_ns() is None


@pytest.mark.parametrize("level", [InterruptKind.INTX, InterruptKind.MSI])
def test_bz1707441_a_read_clears_only_what_it_showed(level: InterruptKind) -> None:
    """QEMU e1000e: ICR was cleared by reads that must not, and not by those that must.

    Here a read of INT_CAUSE clears the bits that it returned, and INT_CAUSE_PEEK none [INT-3].
    """
    with Rig(level=level, pairs=2, vectors=3) as rig:
        quiet(rig)
        rig.put(BAR0.TEST_FIRE, 0)
        rig.put(BAR0.TEST_FIRE, 2)
        assert rig.get(BAR0.INT_CAUSE_PEEK) == 0b101
        assert rig.device.read(0, BAR0.INT_CAUSE.offset + 4, 4) == 0
        assert rig.get(BAR0.INT_CAUSE_PEEK) == 0b101
        assert rig.get(BAR0.INT_CAUSE) == 0b101
        assert rig.get(BAR0.INT_CAUSE) == 0
        rig.put(BAR0.TEST_FIRE, 1)
        assert rig.get(BAR0.INT_CAUSE) == 0b010


def test_bz1447935_a_mask_that_is_written_clears_no_cause() -> None:
    """QEMU e1000e: writing IMS, or auto-masking, dropped causes: the next packet never interrupted.

    Here what comes while a vector is off waits, and is raised when it is on [INT-8].
    """
    with Rig(auto_mask=True) as rig:
        quiet(rig)
        rig.inject(plain_frame(60, 1))
        assert heard(rig) == [(InterruptKind.MSIX, 0)]
        rig.inject(plain_frame(60, 2))
        assert heard(rig) == []
        rig.put(BAR0.VEC_CTRL, BAR0.VEC_CTRL.encode(AUTO_MASK=1), 0)
        assert heard(rig) == []
        rig.put(BAR0.VEC_CTRL, BAR0.VEC_CTRL.encode(ENABLE=1, AUTO_MASK=1), 0)
        assert heard(rig) == [(InterruptKind.MSIX, 0)]


def test_bz1449490_the_line_falls_with_the_last_cause() -> None:
    """QEMU e1000e: the line stayed up, or went down with causes left, after partial clears.

    Here it is up exactly while a cause is unread and the master enable is set [INT-4].
    """
    with Rig(level=InterruptKind.INTX, pairs=2, vectors=40) as rig:
        quiet(rig)
        rig.put(BAR0.TEST_FIRE, 1)
        rig.put(BAR0.TEST_FIRE, 35)
        assert heard(rig) == [(InterruptKind.INTX, 1)]
        assert rig.device.read(0, BAR0.INT_CAUSE.offset, 4) == 2
        assert heard(rig) == []
        assert rig.device.read(0, BAR0.INT_CAUSE.offset + 4, 4) == 1 << 3
        assert heard(rig) == [(InterruptKind.INTX, 0)]


@pytest.mark.parametrize("direction", ["receive", "transmit"])
def test_gitlab_402_a_completion_is_whole_before_it_is_new(direction: str) -> None:
    """QEMU e1000: the DD bit was in memory before the rest of the descriptor, and a fast guest read the rest.

    Here a completion follows its data [RX-10] and is one write, whose word with GEN goes last [RING-10]; the
    interrupt comes behind it [INT-12].
    """
    seen: list[tuple[EventType, int, int]] = []

    def note(event: Event) -> None:
        if event.type in (EventType.DMA_WRITE, EventType.INTERRUPT):
            seen.append((event.type, event.index, len(event.data)))

    with Rig(manual=True) as rig:
        rig.device.observe(note)
        if direction == "receive":
            rig.inject(plain_frame(300))
        else:
            rig[0].send(plain_frame(300))
        rig.device.run()
    data = [(EventType.DMA_WRITE, int(DmaPurpose.DATA), 300)] if direction == "receive" else []
    assert seen == [*data, (EventType.DMA_WRITE, int(DmaPurpose.COMPLETION), 32), (EventType.INTERRUPT, 0, 0)]


def test_gitlab_402_no_completion_for_data_that_did_not_arrive() -> None:
    """The same between steps: whenever a completion can be seen, its frame is there."""
    with Rig(manual=True, buf_len=64, rx_count=16) as rig:
        frame = plain_frame(64 * 5 + 7)
        rig.inject(frame)
        received = b""
        while rig.device.runnable:
            rig.device.step(rig.device.runnable[0])
            for part in rig[0].poll():
                received += rig.memory.read(rig[0].buffers.address + 64 * part.index, part.len)  # type: ignore[union-attr]
                assert received == frame[: len(received)]
        assert received == frame
