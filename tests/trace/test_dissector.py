"""The Wireshark dissector: tshark runs it on traces, names registers, and filters by them beside frames."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.trace.traces import recorded
from vnic.abi import DmaPurpose, EventType
from vnic.cli import main
from vnic.gen.model import Field, Register, RegisterMap
from vnic.gen.registers import BAR0, COPY_BAR0
from vnic.trace.event import FRAMES, TraceEvent
from vnic.trace.exporters.lua import dissector, quoted
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.header import FunctionHeader, TraceHeader
from vnic.trace.names import Names, Window
from vnic.wire.pcapng import LINKTYPE_USER0, Interface, PcapngWriter, Section

HEADER = TraceHeader((FunctionHeader(0, "nic"), FunctionHeader(1, "copy")))
NEVER = (1 << 64) - 1

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")


def written(path: Path, events: list[TraceEvent], header: TraceHeader = HEADER) -> Path:
    """A trace of these events, with the dissector for it beside it."""
    with TraceWriter(path, header) as writer:
        for event in events:
            writer.write(event)
    return path


def shown(path: Path, script: str, *words: str) -> list[str]:
    """What tshark prints, line by line; it must not complain."""
    lua = path.with_suffix(".lua")
    lua.write_text(script, encoding="utf-8")
    done = subprocess.run(
        ["tshark", "-n", "-X", f"lua_script:{lua}", "-r", str(path), *words],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=60,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Running as user")]
    assert (done.returncode, complaints) == (0, [])
    assert "Lua Error" not in done.stdout
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def nic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace that a card left."""
    path = tmp_path_factory.mktemp("dissector") / "nic.pcapng"
    path.write_bytes(recorded(6))
    return path


@pytest.fixture(scope="module")
def script(nic: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The dissector for it, as the command prints it."""
    with pytest.MonkeyPatch.context() as patch:
        out = io.StringIO()
        patch.setattr("sys.stdout", out)
        assert main(["trace", "export", "--format", "lua", str(nic)]) == 0
    return out.getvalue()


@needs_tshark
def test_one_filter_finds_accesses_fields_and_frames(nic: Path, script: str) -> None:
    """Doorbells of one queue, a reset, and the frames beside them, in their order."""
    wanted = []
    with TraceReader(nic) as reader:
        names = Names(reader.header)
        for event in reader:
            if event.type in FRAMES:
                wanted.append(("port0", "", "", f"{event.length}"))
            elif event.type == EventType.MMIO_WRITE and names.name(event) in ("QP_TX_TAIL[0]", "GLB_CTRL"):
                wanted.append(("vnic-dev", names.name(event), f"{event.number}", "32"))
    lines = shown(
        nic, script, "-Y", 'vnic.reg == "QP_TX_TAIL[0]" || vnic.field == "RESET=1" || eth.type == 0x800',
        "-Tfields", "-e", "frame.interface_name", "-e", "vnic.reg", "-e", "vnic.number", "-e", "frame.len",
        "-e", "_ws.col.Protocol", "-e", "_ws.col.Info",
    )  # fmt: skip
    rows = [line.split("\t") for line in lines]
    assert [tuple(row[:4]) for row in rows] == wanted
    assert {row[0] for row in rows} == {"port0", "vnic-dev"}
    events = [row for row in rows if row[0] == "vnic-dev"]
    assert {row[4] for row in events} == {"VNIC"}
    assert events[0][5] == f"MMIO_W BAR0+{BAR0.GLB_CTRL.offset:#x} GLB_CTRL <- 0x1 {{RESET=1}}"
    assert events[-1][5].startswith(f"MMIO_W BAR0+{BAR0.QP_TX_TAIL.at(0):#x} QP_TX_TAIL[0] <- 0x")


EVENTS = [
    (TraceEvent(0, EventType.MMIO_WRITE, 5, 1, width=2, addr=COPY_BAR0.CHANCMD.at(2) + 2, value=7),
     "MMIO_W BAR0+0x186 CHANCMD[2]+2 <- 0x7"),
    (TraceEvent(0, EventType.MMIO_READ, 5, 1, width=8, addr=COPY_BAR0.CHANSTS.at(3), value=0x1002),
     "MMIO_R BAR0+0x208 CHANSTS[3] -> 0x1002 {STATUS=SUSPENDED ADDR=0x40}"),
    (TraceEvent(0, EventType.MMIO_WRITE, 5, 1, width=4, addr=0x200C, value=1),
     "MMIO_W BAR0+0x200c ENTRY_CTRL[0] <- 0x1"),
    (TraceEvent(0, EventType.MMIO_READ, 5, 0, 2, 8, NEVER, NEVER),
     "MMIO_R BAR2+0xffffffffffffffff -> 0xffffffffffffffff"),
    (TraceEvent(0, EventType.CFG_READ, 5, width=4, addr=0, value=0x10F01AF4),
     "CFG_R CFG+0x0 ID -> 0x10f01af4 {VENDOR=0x1af4 DEVICE=0x10f0}"),
    (TraceEvent(0, EventType.CFG_WRITE, 5, width=2, addr=4, value=6),
     "CFG_W CFG+0x4 COMMAND <- 0x6 {MEMORY=1 MASTER=1}"),
    (TraceEvent(0, EventType.DMA_READ, 5, 0, DmaPurpose.DESCRIPTOR, 0, 0x1000, 2, b"\1\2", None, 2),
     "DMA_R descriptor 0x1000 2 aborted 0102"),
    (TraceEvent(0, EventType.DMA_WRITE, 5, 0, DmaPurpose.DATA, 0, 0x1000, 0, digest=0xAB, length=1500),
     "DMA_W data 0x1000 1500 digest 0xab"),
    (TraceEvent(0, EventType.INTERRUPT, 5, 0, 3, 2, 0xFEE00000, 0x41), "INTERRUPT msix 3 0xfee00000 <- 0x41"),
    (TraceEvent(0, EventType.INTERRUPT, 5, value=1), "INTERRUPT intx assert"),
    (TraceEvent(0, EventType.TIME, 5, value=5), "TIME 5 ns"),
    (TraceEvent(0, EventType.RUN, 5, addr=NEVER, value=100), "RUN all steps 100 bytes"),
    (TraceEvent(0, EventType.STEP, 5, index=2), "STEP tx"),
    (TraceEvent(0, EventType.STEP, 5, 1, index=16), "STEP irq"),
    (TraceEvent(0, EventType.STEP, 5, 1, index=2), "STEP channel 2"),
    (TraceEvent(0, EventType.LINK, 5, value=10_000), "LINK 10000 Mb/s"),
    (TraceEvent(0, EventType.MAP, 5, width=3, addr=0x1000, value=4096), "MAP 0x1000 4096 rw"),
    (TraceEvent(0, EventType.UNMAP, 5, addr=0, value=NEVER), "UNMAP 0x0 all"),
    (TraceEvent(0, EventType.RESET, 5, value=1), "RESET power"),
    (TraceEvent(0, EventType.RESET, 5, value=1 << 40), "RESET 255"),
    (TraceEvent(0, EventType.REMOVE, 5, value=1), "REMOVE"),
    (TraceEvent(0, EventType.REMOVE, 5), "INSERT"),
    (TraceEvent(0, EventType.FAULT, 5, value=3), "FAULT 3 fired"),
    (TraceEvent(0, EventType.ARM, 5, value=3), "DISARM 3"),
    (TraceEvent(0, EventType.ARM, 5, value=3, data=b"\7", length=1), "ARM 3 07"),
    (TraceEvent(0, EventType.LOAD, 5, data=bytes(40), length=40), "LOAD 40 bytes"),
    (TraceEvent(0, EventType.TAKE, 5, value=2), "TAKE 2 interrupts"),
    (TraceEvent(0, EventType.RELEASE, 5, value=2), "RELEASE 2 frames"),
    (TraceEvent(0, EventType.MARK, 5, data=b"%n <b>", length=6), "MARK %n <b>"),
    (TraceEvent(0, EventType.MARK, 5), "MARK"),
    (TraceEvent(0, EventType.HASH, 5, value=0xAB), "HASH 0xab"),
    (TraceEvent(0, EventType.FRAME_OUT, 5, index=4, digest=0xAB, length=99), "FRAME_OUT q4 99 digest 0xab"),
    (TraceEvent(0, EventType.MMIO_READ, 5, 7, width=4, addr=0, value=1), "MMIO_R BAR0+0x0 -> 0x1"),
]  # fmt: skip


@needs_tshark
def test_every_type_of_event_has_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "all.pcapng", [event for event, _ in EVENTS])
    assert shown(path, dissector(HEADER), "-Tfields", "-e", "_ws.col.Info") == [line for _, line in EVENTS]
    seen = {event.type for event, _ in EVENTS}
    assert seen == set(EventType) - {EventType.FRAME_IN}


@needs_tshark
def test_a_foreign_function_has_the_names_of_its_map(tmp_path: Path) -> None:
    """Whatever they say: a name is text, not Lua."""
    hostile = 'A"]] \\ é'
    registers = RegisterMap(
        "other", (Register(hostile, 0x10, 32, (Field("F", 4, 28, "rw"), Field("G", 0, 4, "rw"))),), 0, 0x100
    )
    header = TraceHeader((FunctionHeader(2, "foreign"),))
    names = Names(header, {2: (Window(1, 0x1000, registers),)})
    event = TraceEvent(0, EventType.MMIO_WRITE, 0, 2, 1, 4, 0x1010, 0x23)
    path = written(tmp_path / "foreign.pcapng", [event], header)
    words = ("-Y", 'vnic.reg contains "A" && vnic.field == "F=2"', "-Tfields", "-e", "_ws.col.Info")
    found = shown(path, dissector(header, names), *words)
    assert found == [f"MMIO_W BAR1+0x1010 {hostile} <- 0x23 {{F=2 G=3}}"]


@needs_tshark
def test_octets_that_are_no_event_are_no_error_of_the_script(tmp_path: Path) -> None:
    path = tmp_path / "odd.pcapng"
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, Section(hardware=HEADER.text()))
        device = writer.add_interface(Interface(linktype=LINKTYPE_USER0, name="vnic-dev", tsresol=9))
        for length in (1, 31):
            writer.packet(device, 0, bytes(length))
        for kind in range(40):
            writer.packet(device, 0, bytes((1, kind)) + b"\xff" * 40)
            writer.packet(device, 0, bytes((1, kind, 0, 0, 9, 1)) + bytes(26))
        writer.packet(device, 0, bytes((2, 1)) + bytes(30))
    lines = shown(path, dissector(HEADER), "-V")
    text = "\n".join(lines)
    assert text.count("[shorter than an event]") == 2
    assert "version 2, type 1: not known" in text
    assert "version 1, type 39: not known" in text


def test_a_string_in_the_quotes_of_lua() -> None:
    assert quoted('a"b\\c\n\0é') == '"a\\034b\\092c\\010\\000\\195\\169"'
