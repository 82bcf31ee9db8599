"""Lines and alignment: every type of event has its line, and two traces meet again after a difference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import DmaPurpose, DmaStatus, EventType, InterruptKind
from vnic.fault import Fault, FaultAction, FaultSite, pack
from vnic.gen.registers import BAR0, CONFIG, COPY_BAR0
from vnic.trace.align import WINDOW, Pair, aligned
from vnic.trace.event import TraceEvent
from vnic.trace.header import FunctionHeader, TraceHeader
from vnic.trace.names import Names
from vnic.trace.text import Lines

DROP = Fault(site=FaultSite.INTERRUPT, action=FaultAction.DROP, index=2)
HEADER = TraceHeader((FunctionHeader(0, "nic"), FunctionHeader(1, "copy")))
LINES = Lines(HEADER)
NEVER = (1 << 64) - 1


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            TraceEvent(0, EventType.MMIO_WRITE, 5, width=4, addr=BAR0.QP_TX_TAIL.at(2), value=8),
            "mw32 b0 QP_TX_TAIL[2] <- 0x8",
        ),
        (
            TraceEvent(0, EventType.MMIO_READ, 5, index=2, width=8, addr=0x9999, value=1),
            "mr64 b2 0x9999 -> 0x1",
        ),
        (
            TraceEvent(0, EventType.CFG_WRITE, 5, width=2, addr=CONFIG.COMMAND.offset, value=6),
            "cw16 COMMAND <- 0x6 {MEMORY=1 MASTER=1}",
        ),
        (
            TraceEvent(0, EventType.MMIO_READ, 5, 1, width=8, addr=COPY_BAR0.CHANSTS.at(3), value=0x1000 | 2),
            "mr64 b0 CHANSTS[3] -> 0x1002 {STATUS=SUSPENDED ADDR=0x40}",
        ),
        (
            TraceEvent(0, EventType.MMIO_WRITE, 5, 1, width=2, addr=COPY_BAR0.CHANCMD.at(0) + 2, value=7),
            "mw16 b0 CHANCMD[0]+2 <- 0x7",
        ),
        (
            TraceEvent(
                0,
                EventType.DMA_READ,
                5,
                index=DmaPurpose.DESCRIPTOR,
                addr=0x1000,
                value=DmaStatus.ABORTED,
                data=bytes(20),
                length=20,
            ),
            "dr descriptor 0x1000 20 aborted 00000000 00000000 00000000 00000000 ..",
        ),
        (
            TraceEvent(
                0, EventType.DMA_WRITE, 5, index=DmaPurpose.DATA, addr=0x1000, digest=0xAB, length=1500
            ),
            "dw data 0x1000 1500 digest 0x00000000000000ab",
        ),
        (
            TraceEvent(
                0, EventType.INTERRUPT, 5, index=3, width=InterruptKind.MSIX, addr=0xFEE00000, value=0x41
            ),
            "irq msix 3 0xfee00000 <- 0x41",
        ),
        (TraceEvent(0, EventType.INTERRUPT, 5, width=InterruptKind.INTX, value=1), "irq intx assert"),
        (TraceEvent(0, EventType.FRAME_IN, 5, value=1, data=b"\x01\x02", length=2), "rx 2 dropped 0102"),
        (
            TraceEvent(0, EventType.FRAME_IN, 5, index=3, addr=0x1_0000_00AB, data=b"\x01\x02", length=2),
            "rx 2 taken q3 0x000000ab 0102",
        ),
        (TraceEvent(0, EventType.FRAME_OUT, 5, index=4, data=b"\x01\x02", length=2), "tx q4 2 0102"),
        (TraceEvent(0, EventType.TIME, 5, value=5), "time 5"),
        (TraceEvent(0, EventType.RUN, 5, addr=NEVER, value=100), "run all steps 100 bytes"),
        (TraceEvent(0, EventType.STEP, 5, index=2), "step tx"),
        (TraceEvent(0, EventType.STEP, 5, 1, index=2), "step channel 2"),
        (TraceEvent(0, EventType.STEP, 5, 1, index=16), "step irq"),
        (TraceEvent(0, EventType.LINK, 5, value=10_000), "link 10000 Mb/s"),
        (TraceEvent(0, EventType.MAP, 5, width=3, addr=0x1000, value=4096), "map 0x1000 4096 rw"),
        (TraceEvent(0, EventType.UNMAP, 5, addr=0, value=NEVER), "unmap 0x0 all"),
        (TraceEvent(0, EventType.RESET, 5, value=1), "reset power"),
        (TraceEvent(0, EventType.RESET, 5, value=77), "reset 77"),
        (TraceEvent(0, EventType.REMOVE, 5, value=1), "remove"),
        (TraceEvent(0, EventType.REMOVE, 5), "insert"),
        (TraceEvent(0, EventType.FAULT, 5, value=3), "fault 3 fired"),
        (TraceEvent(0, EventType.ARM, 5, value=3), "disarm 3"),
        (TraceEvent(0, EventType.ARM, 5, value=3, data=b"\x07", length=1), "arm 3 07"),
        (TraceEvent(0, EventType.LOAD, 5, length=9), "load 9 bytes"),
        (TraceEvent(0, EventType.TAKE, 5, value=2), "take 2 interrupts"),
        (TraceEvent(0, EventType.RELEASE, 5, value=2), "release 2 frames"),
        (TraceEvent(0, EventType.MARK, 5, data="über".encode(), length=5), "mark 'über'"),
        (TraceEvent(0, EventType.HASH, 5, value=0xAB), "hash 0x00000000000000ab"),
    ],
    ids=lambda each: each.type.name if isinstance(each, TraceEvent) else "",
)
def test_the_line_of_an_event(event: TraceEvent, text: str) -> None:
    assert LINES.what(event) == text
    assert LINES.line(event) == f"           5 f{event.function} {text}"


@given(
    st.sampled_from(EventType), st.integers(0, 255), st.integers(0, 255), st.integers(0, NEVER), st.binary()
)
def test_every_event_has_a_line(kind: EventType, index: int, width: int, number: int, data: bytes) -> None:
    event = TraceEvent(0, kind, 1, index, index, width, number, number, data, None, len(data))
    line = LINES.line(event)
    assert "\n" not in line
    assert line == LINES.line(event)


def test_fields_of_a_write_of_part_of_a_register() -> None:
    names = Names(HEADER)
    half = TraceEvent(0, EventType.CFG_WRITE, 0, width=1, addr=CONFIG.COMMAND.offset, value=6)
    assert names.fields(half)["MASTER"] == 1
    assert "CAP_LIST" not in names.fields(half)
    assert names.fields(half._replace(addr=CONFIG.COMMAND.offset + 1)) == {}


# -- alignment -----------------------------------------------------------------------------------------------


def of(*values: int) -> list[TraceEvent]:
    """Events told by their value."""
    return [TraceEvent(n, EventType.TIME, 0, value=value, offset=n) for n, value in enumerate(values)]


def values(pairs: list[Pair]) -> list[tuple[int | None, int | None]]:
    """What they are about."""
    return [
        (pair.left.value if pair.left else None, pair.right.value if pair.right else None) for pair in pairs
    ]


@pytest.mark.parametrize(
    ("left", "right", "differences"),
    [
        ([1, 2, 3], [1, 2, 3], []),
        ([1, 2, 3, 4, 5], [1, 9, 3, 4, 5], [(2, 9)]),
        ([1, 2, 3, 4, 5], [1, 3, 4, 5], [(2, None)]),
        ([1, 3, 4, 5], [1, 2, 3, 4, 5], [(None, 2)]),
        ([1, 2, 3], [1, 2, 3, 4], [(None, 4)]),
        ([], [7, 8], [(None, 7), (None, 8)]),
        ([1, 1, 2, 3, 4], [1, 2, 3, 4], [(1, None)]),
    ],
)
def test_what_differs(
    left: list[int], right: list[int], differences: list[tuple[int | None, int | None]]
) -> None:
    assert values(list(aligned(of(*left), of(*right)))) == differences


@given(st.lists(st.integers(0, 5), max_size=40), st.lists(st.integers(0, 5), max_size=40))
def test_nothing_is_lost(left: list[int], right: list[int]) -> None:
    """What is common and what is told apart make up both sides."""
    pairs = list(aligned(of(*left), of(*right)))
    ones = sum(1 for pair in pairs if pair.left)
    others = sum(1 for pair in pairs if pair.right)
    assert len(left) - ones == len(right) - others >= 0
    assert (not pairs) == (left == right)


def test_far_behind_the_window_it_still_ends() -> None:
    left = of(*range(3 * WINDOW))
    right = of(*range(10_000, 10_000 + 2 * WINDOW), *range(3 * WINDOW))
    assert len(list(aligned(left, right))) > 0


@pytest.mark.requirement("FLT-2")
def test_a_fault_is_named_where_its_arming_went_by() -> None:
    lines = Lines(HEADER)
    fired = TraceEvent(0, EventType.FAULT, 5, index=2, addr=0xFEE00000, value=3)
    assert lines.what(fired) == "fault 3 fired"
    arm = TraceEvent(0, EventType.ARM, 5, value=3, data=pack(DROP), length=56)
    assert lines.what(arm) == "arm 3 interrupt drop index=2"
    assert lines.what(fired) == "fault 3 fired: interrupt drop, index 2 0xfee00000"
    assert lines.what(fired._replace(function=1)) == "fault 3 fired"
    assert lines.what(TraceEvent(0, EventType.ARM, 5, value=3)) == "disarm 3"
    assert lines.what(fired) == "fault 3 fired"
