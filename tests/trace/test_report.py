"""The report: one page that has what the trace has, whatever that says, and asks no network for anything."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from tests.trace.pages import Page
from tests.trace.traces import events_of, recorded
from vnic.abi import DmaPurpose, DmaStatus, EventType, InterruptKind, RxVerdict
from vnic.cli import main
from vnic.gen.registers import BAR0, COPY_BAR0
from vnic.trace.event import ACCESSES, TraceEvent
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.header import FunctionHeader, TraceHeader
from vnic.trace.report.charts import GRAPHS_MAX
from vnic.trace.report.page import page
from vnic.trace.report.survey import LANES, Survey, survey
from vnic.wire.packet import ethernet, ipv4, tcp

KEPT = Path(__file__).parent.parent / "traces"
BOTH = TraceHeader((FunctionHeader(0, "nic"), FunctionHeader(1, "copy")))
NASTY = "</script><script>alert(1)</script><b>&\u2028\"'"


def written(events: list[TraceEvent], header: TraceHeader = BOTH) -> bytes:
    """A trace of these events."""
    stream = io.BytesIO()
    with TraceWriter(stream, header) as writer:
        for event in events:
            writer.write(event)
    return stream.getvalue()


def surveyed(octets: bytes) -> Survey:
    """What the report finds."""
    return survey(TraceReader(io.BytesIO(octets)))


def shown(octets: bytes, title: str = "a trace") -> Page:
    """The page, taken apart."""
    return Page(page(surveyed(octets), title))


@pytest.fixture(scope="module")
def trace() -> bytes:
    return recorded(6)


@pytest.fixture(scope="module")
def chimney() -> Survey:
    """Connections through the card's TCP."""
    with TraceReader(KEPT / "chimney.pcapng.gz") as reader:
        return survey(reader)


# ---- the page ----------------------------------------------------------------------------------------------


def test_a_page_has_every_part(trace: bytes) -> None:
    found = shown(trace, "run.pcapng")
    sections = [attributes["id"] for attributes in found.all("section")]
    assert sections == ["timeline", "queues", "tcp", "registers", "polling", "coverage", "events", "about"]
    assert found.title == "run.pcapng, vnic trace"
    assert [attributes["href"] for attributes in found.all("a")] == [f"#{name}" for name in sections]
    assert f"All {len(events_of(trace)):,} events." in found.texts["events"]
    assert "bring-up" in found.texts["event-rows"]


def test_a_page_needs_nothing_else(trace: bytes) -> None:
    """No address of anything but of parts of itself, and a policy that forbids the rest."""
    found = shown(trace)
    names = {name for _, attributes in found.elements for name in attributes}
    assert not names & {"src", "srcset", "action", "onclick", "onload"}
    assert [each["href"] for each in found.all("link")] == ["data:,"]
    policies = [each["content"] or "" for each in found.all("meta") if each.get("http-equiv")]
    assert policies[0].startswith("default-src 'none';")
    script = found.scripts[1]
    assert not re.search(r"fetch\(|XMLHttpRequest|import\s*\(|eval\(|innerHTML", script)
    assert set(re.findall(r"https?://[^\"']*", script)) == {"http://www.w3.org/2000/svg"}


def telling(text: str) -> Page:
    """The page of a trace that says this wherever it can."""
    header = TraceHeader((FunctionHeader(0, "nic", text, {text: text}), FunctionHeader(1, "foreign", text)))
    said = text.encode()
    return shown(written([TraceEvent(0, EventType.MARK, 0, data=said, length=len(said))], header), text)


def test_what_a_trace_says_is_text() -> None:
    """In a mark, in the header, in the name of the file: never markup."""
    found = telling(NASTY)
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in telling("harmless").elements]
    assert found.data["timeline"]["marks"] == [[0, 0, NASTY]]
    assert found.title == f"{NASTY}, vnic trace"
    assert found.texts["about"].count(NASTY) == 4
    assert "<script>alert(1)</script><b>" in found.texts["event-rows"]


def test_a_page_has_no_characters_that_none_may_have(trace: bytes) -> None:
    """A name of a file that is no UTF-8, and control characters."""
    markup = page(surveyed(trace), "a\udcff\0\x1b")
    assert "a\ufffd\ufffd\ufffd" in markup
    assert markup.encode()


def test_the_timeline_counts_every_event(trace: bytes) -> None:
    events, data = events_of(trace), shown(trace).data["timeline"]
    assert [lane["name"] for lane in data["lanes"]] == list(LANES)
    for lane in data["lanes"]:
        assert sum(lane["counts"][1::2]) == sum(event.type in LANES[lane["name"]] for event in events)
    assert data["number"] == [event.number for event in events]
    assert data["first"] == [event.time_ns - events[0].time_ns for event in events]
    assert data["marks"] == [
        [event.number, 0, "bring-up"] for event in events if event.type == EventType.MARK
    ]


def test_registers_are_counted_by_kind_of_access(trace: bytes) -> None:
    events = [event for event in events_of(trace) if event.type in ACCESSES]
    lines = {(line.bar, line.register.name): line for line in surveyed(trace).usage.lines()}
    assert sum(line.use.total for line in lines.values()) == len(events)
    tails = [
        event
        for event in events
        if event.type == EventType.MMIO_WRITE and event.addr in list(BAR0.QP_TX_TAIL.offsets())
    ]
    tail = lines[0, "QP_TX_TAIL"]
    assert (tail.use.writes, tail.use.reads) == (len(tails), 0)
    assert tail.use.elements == {(event.addr - BAR0.QP_TX_TAIL.offset) // 256 for event in tails}
    assert tail.use.widths == {4}
    assert lines[0, "MAC_VLAN"].name == "MAC_VLAN[128]"
    assert not lines[0, "GLB_TYPE"].is_writable
    text = shown(trace).texts
    read = sum(1 for (bar, _), line in lines.items() if bar == 0 and line.use.reads)
    assert f"f0 BAR0: {read} of {len(BAR0.MAP.registers)} registers read" in text["coverage"]
    assert "QP_RX_TAIL[32]" in text["registers"]


def test_queues_vectors_and_channels() -> None:
    events = [
        TraceEvent(0, EventType.MMIO_WRITE, 0, width=4, addr=BAR0.QP_TX_TAIL.at(2), value=1),
        TraceEvent(0, EventType.MMIO_WRITE, 0, width=4, addr=BAR0.QP_TX_TAIL.at(2), value=2),
        TraceEvent(0, EventType.MMIO_READ, 0, width=4, addr=BAR0.QP_TX_HEAD.at(2), value=2),
        TraceEvent(0, EventType.FRAME_OUT, 0, index=2, data=bytes(60), length=60),
        TraceEvent(0, EventType.INTERRUPT, 0, index=7, width=InterruptKind.MSIX),
        TraceEvent(0, EventType.INTERRUPT, 0, width=InterruptKind.INTX, value=1),
        TraceEvent(0, EventType.INTERRUPT, 0, width=InterruptKind.INTX, value=0),
        TraceEvent(0, EventType.MMIO_WRITE, 0, 1, width=1, addr=COPY_BAR0.CHANCMD.at(3), value=1),
        TraceEvent(0, EventType.MMIO_WRITE, 0, width=4, addr=BAR0.GLB_CTRL.offset, value=1),
    ]
    found = surveyed(written(events))
    queue = found.units["f0 queue 2"]
    assert (queue.accesses, queue.doorbells, queue.frames, queue.bytes) == (3, {"QP_TX_TAIL": 2}, 1, 60)
    assert found.units["f0 vector 7"].interrupts == found.units["f0 line"].interrupts == 1
    assert found.units["f1 channel 3"].doorbells == {"CHANCMD": 1}
    names = [row["name"] for row in Page(page(found, "")).data["units"]]
    assert names == ["f0 line", "f0 queue 2", "f0 vector 7", "f1 channel 3"]


def test_what_went_wrong_stands_above_all() -> None:
    events = [
        TraceEvent(0, EventType.DMA_READ, 0, index=DmaPurpose.DATA, value=DmaStatus.ABORTED),
        TraceEvent(0, EventType.DMA_WRITE, 0, index=99, value=98),
        TraceEvent(0, EventType.FRAME_IN, 0, value=RxVerdict.FULL, data=bytes(60), length=60),
        TraceEvent(0, EventType.FAULT, 0, value=1),
        TraceEvent(0, EventType.RESET, 0),
        TraceEvent(0, EventType.REMOVE, 0, value=1),
    ]
    assert surveyed(written(events)).troubles == {
        "DMA read, data: aborted": 1,
        "DMA write, 99: 98": 1,
        "frames in: full": 1,
        "injected faults that fired": 1,
        "resets": 1,
        "surprise removals": 1,
    }


def test_polling_and_offsets_without_a_register() -> None:
    poll = TraceEvent(0, EventType.MMIO_READ, 50, index=5, width=4, addr=0x7770, value=3)
    text = shown(written([poll] * 5)).texts
    assert "f0 BAR5+0x777050x3" in text["polling"].replace("\n", "")
    assert "Offsets where no register is: 1." in text["coverage"]


def test_connections_of_a_chimney_have_graphs(chimney: Survey) -> None:
    data = Page(page(chimney, "")).data["connections"]
    assert 0 < len(data) <= GRAPHS_MAX
    for connection, values in zip(chimney.connections.ranked(), data, strict=False):
        for side, half in enumerate(values["halves"]):
            carried = sum(end - at for _, at, _, end in half["data"])
            controls = sum(letter in "SF" for _, _, letter in half["flags"])
            assert half["bytes"] == connection.halves[side].bytes > 0
            assert carried == half["bytes"] + controls
            assert half["acks"][-1][1] == half["data"][-1][3]


def test_only_so_many_connections_have_graphs() -> None:
    events = []
    for port in range(GRAPHS_MAX + 3):
        frame = ethernet(ipv4("10.0.0.1", "10.0.0.2", 6, tcp("10.0.0.1", "10.0.0.2", 1 + port, 80, bytes(9))))
        events.append(TraceEvent(0, EventType.FRAME_IN, port, data=frame, length=len(frame)))
    found = shown(written(events))
    assert len(found.data["connections"]) == GRAPHS_MAX
    assert "3 connections with less data are left out" in found.texts["tcp"]


def test_a_compact_trace_says_what_is_not_seen() -> None:
    text = shown(recorded(6, compact=True)).texts
    assert re.search(r"[1-9]\d* frames are here as digests only", text["tcp"])
    assert "compact: outputs as length and digest" in text["about"]


def test_a_trace_without_events() -> None:
    found = shown(written([]))
    assert found.data["timeline"]["number"] == []
    assert "All 0 events." in found.texts["events"]


def test_a_long_trace_makes_no_large_page() -> None:
    """Hostile ones: every offset, every mark, every vector, every status is another one."""
    found = surveyed(written([]))
    for number in range(40_000):
        kind = (EventType.MMIO_READ, EventType.MARK, EventType.INTERRUPT, EventType.DMA_WRITE)[number % 4]
        data = b"x" * 500 if kind == EventType.MARK else b""
        index, addr = number // 4 % 256, 0x8000 + number
        found.add(TraceEvent(number, kind, number, 0, index, 4, addr, number, data, None, len(data)))
    assert len(page(found, "")) < 4_000_000
    assert (len(found.timeline.groups), found.timeline.size) == (5_000, 8)
    assert found.usage.left_out == 9_000
    assert found.troubles["of other kinds"] == 9_900


# ---- the command -------------------------------------------------------------------------------------------


def test_the_command_writes_a_page(
    trace: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.pcapng").write_bytes(trace)
    assert main(["trace", "report", "run.pcapng"]) == 0
    assert "run.html" in capsys.readouterr().out
    first = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert Page(first).title == "run.pcapng, vnic trace"
    assert main(["trace", "report", "run.pcapng", "--out", "again.html"]) == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == first


def test_the_command_says_what_is_missing(
    trace: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut, out = tmp_path / "cut.pcapng", tmp_path / "cut.html"
    cut.write_bytes(trace[:5001])
    assert main(["trace", "report", str(cut), "--out", str(out)]) == 1
    assert "offset 5,001" in capsys.readouterr().out
    assert "This trace is not whole: the file ends within a block" in out.read_text(encoding="utf-8").replace(
        "<b>", ""
    ).replace("</b>", "")
    assert main(["trace", "report", str(cut), "--out", str(tmp_path / "no" / "x.html")]) == 2
    assert main(["trace", "report", str(out)]) == 2
