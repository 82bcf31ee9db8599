"""qtest: requests that become accesses, what is kept as it was, and export, import, export as identity."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trace.traces import events_of, recorded
from vnic.abi import EventType
from vnic.fuzz.effort import examples
from vnic.trace.event import TraceEvent
from vnic.trace.exporters.qtest import QtestExport
from vnic.trace.file import TraceReader
from vnic.trace.header import FunctionHeader, TraceError, TraceHeader
from vnic.trace.importers import Imported, open_import
from vnic.trace.text import Lines

BAR0 = ["outl 0xcf8 0x80001810", "outl 0xcfc 0xe0000000"]
FOREIGN = TraceHeader((FunctionHeader(0, "foreign", "", {"location": "00:03.0"}),))


def imported(path: Path, lines: list[str], device: str | None = None) -> tuple[Imported, list[TraceEvent]]:
    """What a script or a log of these lines becomes."""
    path.write_text("".join(f"{line}\n" for line in lines))
    found = open_import(path, "qtest", device)
    return found, list(found)


def exported(header: TraceHeader, events: list[TraceEvent], answers: bool = False) -> list[str]:
    return list(QtestExport(header, answers=answers).lines(events))


def said(found: Imported, events: list[TraceEvent]) -> list[str]:
    """Without names: as in the manual."""
    return [Lines(found.header).what(event) for event in events]


def test_accesses_of_a_script(tmp_path: Path) -> None:
    script = [
        *BAR0,
        "outl 0xcf8 0x80001804",
        "outw 0xcfe 0xffff",
        "readb 0xe0000001",
        "writeq 0xe0000008 0x1122334455667788",
        "write 0xe0000010 0x4 0x01020304",
        "write 0xe0000011 0x4 0x01020304",
        "write 0xe0000010 0x3 0x010203",
        "read 0xe0000010 2",
        "readl 0xd0000000",
        "memset 0x1000 0x10 0xff",
    ]
    found, events = imported(tmp_path / "a", script)
    assert said(found, events) == [
        "cw32 BAR[0] <- 0xe0000000",
        "cw16 COMMAND+2 <- 0xffff",
        "mr8 b0 0x1 -> 0x0",
        "mw64 b0 0x8 <- 0x1122334455667788",
        "mw32 b0 0x10 <- 0x4030201",
        "mark 'qtest write 0xe0000011 0x4 0x01020304'",
        "mark 'qtest write 0xe0000010 0x3 0x010203'",
        "mr16 b0 0x10 -> 0x0",
        "mark 'qtest readl 0xd0000000'",
        "mark 'qtest memset 0x1000 0x10 0xff'",
    ]
    assert found.complaints == []
    assert found.notes == [
        "2 reads have no answer: their values are 0",
        "2 blocks in a BAR are kept as marks",
    ]


def test_ports_of_a_bar(tmp_path: Path) -> None:
    script = [
        "outl 0xcf8 0x80001818",
        "outl 0xcfc 0xc041",
        "outl 0xc044 0x5",
        "inb 0xc040",
        "writel 0xc044 0x1",
    ]
    found, events = imported(tmp_path / "a", script)
    assert said(found, events)[1:] == [
        "mw32 b2 0x4 <- 0x5",
        "mr8 b2 0x0 -> 0x0",
        "mark 'qtest writel 0xc044 0x1'",
    ]
    assert exported(found.header, events) == script


def test_the_host_bridge_keeps_its_ports(tmp_path: Path) -> None:
    script = ["outl 0xcf8 0x80001810", "outl 0xcfc 0xcf8", "outl 0xcf8 0x0", "inw 0xcfc"]
    found, events = imported(tmp_path / "a", script)
    assert said(found, events)[1:] == ["mark 'qtest outl 0xcf8 0x0'", "mark 'qtest inw 0xcfc'"]
    assert exported(found.header, events) == script


def test_an_address_that_is_used_later(tmp_path: Path) -> None:
    script = [
        BAR0[0],
        "clock_set 5",
        BAR0[1],
        "inl 0xcfc",
        "outb 0xcf9 0x6",
        "outl 0xcf8 0x1810",
        "inl 0xcfc",
    ]
    found, events = imported(tmp_path / "a", script)
    assert said(found, events) == [
        "mark 'qtest outl 0xcf8 0x80001810'",
        "time 5",
        "cw32 BAR[0] <- 0xe0000000",
        "cr32 BAR[0] -> 0x0",
        "mark 'qtest outb 0xcf9 0x6'",
        "mark 'qtest outl 0xcf8 0x1810'",  # not enabled: no access to configuration space
        "mark 'qtest inl 0xcfc'",
    ]
    once = exported(found.header, events)
    found, events = imported(tmp_path / "b", once)
    assert exported(found.header, events) == once


def test_the_clock(tmp_path: Path) -> None:
    script = [*BAR0, "clock_step 100", "clock_step 010", "writel 0xe0000000 1", "clock_step", "clock_step 5"]
    script += ["clock_set 0x1000", "clock_step 1"]
    found, events = imported(tmp_path / "a", script)
    assert said(found, events)[1:] == [
        "time 100",
        "time 108",
        "mw32 b0 0x0 <- 0x1",
        "mark 'qtest clock_step'",
        "mark 'qtest clock_step 5'",  # from a time that nobody knows
        "time 4096",
        "time 4097",
    ]
    assert [event.time_ns for event in events] == [0, 100, 108, 108, 108, 108, 4096, 4097]
    with pytest.raises(TraceError, match="line 2: the clock runs over"):
        imported(tmp_path / "a", ["clock_set 0xffffffffffffffff", "clock_step 1"])


def test_a_log(tmp_path: Path) -> None:
    log = [
        "[I 0.000000] OPENED",
        "[R +0.000010] outl 0xcf8 0x80001800",
        "[S +0.000011] OK",
        "[R +0.000012] inl 0xcfc",
        "[S +0.000013] OK 0x10d38086",
        *(f"[{kind} +0.000020] {text}" for line in BAR0 for kind, text in (("R", line), ("S", "OK"))),
        "[S +0.000025] IRQ lower 4",
        "[R +0.000030] writel 0xe0000008 0x1",
        "[S +0.000031] IRQ raise 4",
        "[S +0.000032] OK",
        "[R +0.000040] clock_step",
        "[S +0.000041] OK 77000",
        "[R +0.000050] bogus",
        "[S +0.000051] FAIL Unknown command 'bogus'",
        "[R +0.000060] readl 0xe0000008",
        "[I +0.000070] CLOSED",
    ]
    found, events = imported(tmp_path / "a", log)
    assert found.header.functions[0].map == "8086:10d3"
    assert said(found, events) == [
        "cr32 ID -> 0x10d38086 {VENDOR=0x8086 DEVICE=0x10d3}",
        "cw32 BAR[0] <- 0xe0000000",
        "mark 'IRQ lower 4'",
        "mw32 b0 0x8 <- 0x1",
        "mark 'IRQ raise 4'",
        "time 77000",
        "mark \"qtest bogus -> FAIL Unknown command 'bogus'\"",
        "mr32 b0 0x8 -> 0x0",
    ]
    assert found.notes == [
        "1 requests that were refused are kept as marks",
        "1 reads have no answer: their values are 0",
    ]
    assert found.complaints == ["1 requests without an answer"]
    assert [event.time_ns for event in events] == [12000, 20000, 25000, 30000, 30000, 40000, 50000, 60000]
    once = exported(found.header, events, answers=True)
    found, events = imported(tmp_path / "b", once)
    assert exported(found.header, events, answers=True) == once
    assert "[S +0.000030] IRQ raise 4" in once


def test_which_devices(tmp_path: Path) -> None:
    script = [
        "outl 0xcf8 0x80000000",
        "inl 0xcfc",
        *BAR0,
        "outl 0xcf8 0x80002014",
        "outl 0xcfc 0xe0100000",
        "writel 0xe0100004 1",
        "writel 0xe0000004 2",
    ]
    found, events = imported(tmp_path / "a", script)
    assert [each.config["location"] for each in found.header.functions] == ["00:03.0", "00:04.0"]
    assert [(event.function, event.index) for event in events[-2:]] == [(1, 1), (0, 0)]
    assert exported(found.header, events) == [
        line.replace(" 1", " 0x1").replace(" 2", " 0x2") for line in script
    ]
    found, events = imported(tmp_path / "a", script, "00:04.0")
    assert [event.type for event in events].count(EventType.MARK) == 5
    with pytest.raises(TraceError, match=r"0 devices 00:09.0: name one of 00:00.0, 00:03.0, 00:04.0"):
        imported(tmp_path / "a", script, "00:09.0")


def test_sizes_and_64_bits(tmp_path: Path) -> None:
    answered = [
        ("outl 0xcf8 0x80001810", "OK"),
        ("outl 0xcfc 0xffffffff", "OK"),
        ("outl 0xcf8 0x80001810", "OK"),
        ("inl 0xcfc", "OK 0xffff0004"),
        ("outl 0xcf8 0x80001810", "OK"),
        ("outl 0xcfc 0xe0000000", "OK"),
        ("outl 0xcf8 0x80001814", "OK"),
        ("outl 0xcfc 0x80", "OK"),
        ("writel 0x80e0000010 0x1", "OK"),
        ("writel 0x80e0010000 0x1", "OK"),
    ]
    log = [f"[{kind} +1.000000] {text}" for pair in answered for kind, text in zip("RS", pair, strict=True)]
    found, events = imported(tmp_path / "a", log)
    assert said(found, events)[-2:] == ["mw32 b0 0x10 <- 0x1", "mark 'qtest writel 0x80e0010000 0x1'"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["readl"], "line 1: readl needs 1 arguments"),
        (["writel 0x0", "x"], "line 1: writel needs 2 arguments"),
        (["clock_set 1", "hello"], "line 2: 'hello' is no request of qtest"),
        ([*BAR0, "readl 0xzz"], "line 3: '0xzz' is not a number"),
        (["[R +0.000001] readl 0x1", "[S +0.000002] OK", ""], "line 1: the answer to readl 0x1 has no value"),
        (["[R +0.000001] readl 0x1", "readl 0x1"], "line 2: no line of a qtest log"),
        (["[S +0.000001] OK"], "line 1: no answer to a request"),
        (["[R +0.000001] readl 0x1", "[S +0.000001] HELLO"], "line 2: no answer to a request"),
        (["[R +0.000001] "], "line 1: an empty request"),
    ],
)
def test_what_is_no_qtest(lines: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=message):
        imported(tmp_path / "a", lines)


# -- export --------------------------------------------------------------------------------------------------


def test_dma_data_stand_before_the_access_that_needs_them() -> None:
    def dma(kind: EventType, addr: int, data: bytes) -> TraceEvent:
        return TraceEvent(0, kind, 0, addr=addr, data=data, length=len(data))

    events = [
        TraceEvent(0, EventType.CFG_WRITE, 0, width=4, addr=0x10, value=0xE0000000),
        TraceEvent(0, EventType.MMIO_WRITE, 0, width=4, addr=0x38, value=1),
        dma(EventType.DMA_READ, 0x1000, b"\1\2"),
        dma(EventType.DMA_WRITE, 0x1000, b"\1\3"),
        dma(EventType.DMA_READ, 0x1000, b"\1\3"),
        dma(EventType.DMA_READ, 0x2000, b"\4"),
        dma(EventType.DMA_READ, 0x2000, b"\5"),
        TraceEvent(0, EventType.MMIO_READ, 0, width=4, addr=0x3C, value=1),
        TraceEvent(0, EventType.FRAME_IN, 0, data=bytes(60), length=60),
        TraceEvent(0, EventType.CFG_READ, 0, width=4, addr=0x100, value=1),
    ]
    export = QtestExport(FOREIGN)
    assert list(export.lines(events)) == [
        *BAR0,
        "write 0x1000 0x2 0x0102",
        "write 0x2000 0x1 0x04",
        "writel 0xe0000038 0x1",
        "readl 0xe000003c",
    ]
    assert export.left_out == {
        "DMA reads of data that changed meanwhile": 1,
        "FRAME_IN": 1,
        "accesses to configuration space that ports do not reach": 1,
    }


def test_a_bar_that_is_nowhere_is_put_somewhere_once() -> None:
    event = TraceEvent(0, EventType.MMIO_WRITE, 0, 1, 2, width=4, addr=0x38, value=1)
    header = TraceHeader((FunctionHeader(0, "nic"), FunctionHeader(1, "copy")))
    lines = exported(header, [event, event])
    assert lines == [
        "outl 0xcf8 0x80002018",
        "outl 0xcfc 0xc5000000",
        "outl 0xcf8 0x80002004",
        "outw 0xcfc 0x7",
        "writel 0xc5000038 0x1",
        "writel 0xc5000038 0x1",
    ]


@pytest.mark.parametrize("answers", [False, True], ids=["script", "log"])
def test_a_trace_of_the_card(answers: bool, tmp_path: Path) -> None:
    octets = recorded(6)
    events = events_of(octets)
    once = exported(TraceReader(io.BytesIO(octets)).header, events, answers)
    text = [line.split("] ")[-1] for line in once]
    for event in events:
        if event.type == EventType.DMA_READ and event.data:
            assert f"write {event.addr:#x} {event.length:#x} 0x{event.data.hex()}" in text
    found, back = imported(tmp_path / "a", once)
    assert exported(found.header, back, answers) == once

    def accesses(of: list[TraceEvent]) -> list[tuple[int, ...]]:
        registers = [e for e in of if e.type in (EventType.MMIO_READ, EventType.MMIO_WRITE)]
        is_known = [answers or e.type == EventType.MMIO_WRITE for e in registers]
        return [
            (e.type, e.index, e.width, e.addr, e.value if known else 0)
            for e, known in zip(registers, is_known, strict=True)
        ]

    assert accesses(back) == accesses(events)


U64 = st.integers(0, (1 << 64) - 1)
WIDTH = st.sampled_from([0, 1, 2, 3, 4, 8])
VALUES = st.one_of(U64, st.integers(0, 0xFFFF), st.sampled_from([0xE0000000, 0xFFFFFFFF, 0xC041, 0x80, 4]))
EVENTS = st.lists(
    st.one_of(
        st.builds(
            lambda kind, function, bar, width, addr, value: TraceEvent(
                0, kind, 5_000, function, bar, width, addr, value
            ),
            st.sampled_from([EventType.MMIO_READ, EventType.MMIO_WRITE]),
            st.integers(0, 2),
            st.integers(0, 7),
            WIDTH,
            st.one_of(U64, st.integers(0, 64)),
            VALUES,
        ),
        st.builds(
            lambda kind, function, width, addr, value: TraceEvent(
                0, kind, 5_000, function, 0, width, addr, value & (1 << 8 * (width or 4)) - 1
            ),
            st.sampled_from([EventType.CFG_READ, EventType.CFG_WRITE]),
            st.integers(0, 2),
            WIDTH,
            st.one_of(st.integers(0, 0x110), st.sampled_from([0x10, 0x14, 0x18, 0x1C, 0x24])),
            VALUES,
        ),
        st.builds(lambda value: TraceEvent(0, EventType.TIME, 5_000, value=value), U64),
        st.builds(
            lambda addr, data: TraceEvent(0, EventType.DMA_READ, 0, addr=addr, data=data, length=len(data)),
            st.integers(0, 1 << 40),
            st.binary(max_size=8),
        ),
        st.builds(
            lambda text: TraceEvent(0, EventType.MARK, 5_000, data=text.encode()),
            st.sampled_from(
                ["qtest memset 0x0 0x10 0xff", "qtest # note", "IRQ raise 1", "mine", "qtest ", "qtest a\nb"]
            ),
        ),
    ),
    max_size=20,
)


@given(EVENTS, st.booleans())
@examples(60)
def test_export_import_export_is_the_identity(
    tmp_path: Path, events: list[TraceEvent], answers: bool
) -> None:
    header = TraceHeader(
        (
            FunctionHeader(0, "nic"),
            FunctionHeader(1, "copy"),
            FunctionHeader(2, "foreign", "", {"bars": {"1": "x"}}),
        )
    )
    once = exported(header, events, answers)
    found, back = imported(tmp_path / "a", once)
    assert exported(found.header, back, answers) == once
