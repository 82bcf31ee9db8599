"""One boot of Linux with e1000e, recorded by mmiotrace in the guest and by QEMU outside: they agree."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

import pytest

from vnic.abi import EventType
from vnic.cli import main
from vnic.trace.event import TraceEvent
from vnic.trace.exporters.qtest import QtestExport
from vnic.trace.file import TraceReader
from vnic.trace.importers import Imported, guess, open_import
from vnic.trace.maps import maps_of, names_of
from vnic.trace.text import Lines

SAMPLES = Path(__file__).parents[1] / "samples"
MMIOTRACE = SAMPLES / "mmiotrace-e1000e-linux6.1.txt"
QEMU = SAMPLES / "qemu7.2-log-e1000e-linux.txt.gz"
REGISTERS = (EventType.MMIO_READ, EventType.MMIO_WRITE)
Access = tuple[str, int, int, int, int]


@functools.cache
def imported(path: Path) -> tuple[Imported, list[TraceEvent]]:
    found = open_import(path, guess(path))
    return found, list(found)


def accesses(events: list[TraceEvent]) -> list[Access]:
    """Operation, BAR, offset, width and value of register accesses."""
    return [(e.type.name, e.index, e.addr, e.width, e.value) for e in events if e.type in REGISTERS]


def again(path: Path, answers: bool, folder: Path) -> tuple[str, str, list[TraceEvent]]:
    """Exported to qtest; imported, and exported again; and the events in between."""
    found, events = imported(path)
    first = "\n".join(QtestExport(found.header, answers=answers).lines(events)) + "\n"
    file = folder / "a.qtest"
    file.write_text(first)
    back = open_import(file, guess(file))
    returned = list(back)
    second = "\n".join(QtestExport(back.header, answers=answers).lines(returned)) + "\n"
    return first, second, returned


def test_both_records_agree_in_every_access() -> None:
    one, other = accesses(imported(MMIOTRACE)[1]), accesses(imported(QEMU)[1])
    assert len(one) == 4614
    assert one == other


def test_counts_are_those_of_the_lines() -> None:
    found, events = imported(MMIOTRACE)
    counts = Counter(event.type.name for event in events)
    lines = Counter(line.split()[0] for line in MMIOTRACE.read_text().splitlines())
    assert counts == {"MMIO_READ": lines["R"], "MMIO_WRITE": lines["W"], "MARK": lines["MARK"]}
    assert found.complaints == found.notes == []
    assert found.header.functions[0].map == "8086:10d3"
    found, events = imported(QEMU)
    assert Counter(event.type.name for event in events) == {
        "MMIO_READ": 1950,
        "MMIO_WRITE": 2664,
        "CFG_READ": 232,
        "CFG_WRITE": 65,
        "INTERRUPT": 18,
    }
    assert found.complaints == []
    assert found.notes == ["23 lines of other events"]


def test_times_are_those_of_the_file() -> None:
    events = imported(MMIOTRACE)[1]
    assert events[0].time_ns == 2_584_029_000
    assert [event.number for event in events] == list(range(len(events)))
    events = imported(QEMU)[1]
    assert events[0].time_ns == 0
    assert events[1].time_ns == 9000


def test_configuration_accesses_of_the_log_have_no_width() -> None:
    config = [e for e in imported(QEMU)[1] if e.type in (EventType.CFG_READ, EventType.CFG_WRITE)]
    assert {event.width for event in config} == {0}
    header = imported(QEMU)[0].header
    assert Lines(header).what(config[0]) == "cr ID -> 0x8086"


@pytest.mark.parametrize("path", [MMIOTRACE, QEMU], ids=["mmiotrace", "qemu"])
def test_to_qtest_and_back_is_the_identity(path: Path, tmp_path: Path) -> None:
    events = imported(path)[1]
    first, second, returned = again(path, True, tmp_path)
    assert first == second
    assert accesses(events) == accesses(returned)
    times = [event.time_ns for event in events if event.type in REGISTERS]
    assert times == [event.time_ns for event in returned if event.type in REGISTERS]


def test_a_script_has_every_access_but_no_answers(tmp_path: Path) -> None:
    first, second, returned = again(MMIOTRACE, False, tmp_path)
    assert first == second
    bare = [access[:4] for access in accesses(imported(MMIOTRACE)[1])]
    assert bare == [access[:4] for access in accesses(returned)]
    assert first.startswith("outl 0xcf8 0x8000181c\noutl 0xcfc 0xfebe0000\n")


@pytest.mark.parametrize("path", [MMIOTRACE, QEMU], ids=["mmiotrace", "qemu"])
def test_every_access_has_a_name(path: Path) -> None:
    found, events = imported(path)
    names = names_of(found.header)
    unnamed = {hex(e.addr) for e in events if e.type in REGISTERS and names.place(e) is None}
    assert unnamed == set()
    assert set(maps_of(found.header)) == {0}


def test_samples_of_qtest(tmp_path: Path) -> None:
    script = (SAMPLES / "tx.qtest").read_text()
    for name in ("tx.qtest", "qtest-log.txt"):
        found, events = imported(SAMPLES / name)
        assert "\n".join(QtestExport(found.header).lines(events)) + "\n" == script
    doorbell = [e for e in events if e.type == EventType.MMIO_WRITE and e.addr == 0x3818]
    assert [event.value for event in doorbell] == [0, 1]
    assert [e.value for e in events if e.type == EventType.MMIO_READ] == [0x80283, 1, 0x80000003]


def test_the_head_of_a_log_is_not_mistaken() -> None:
    found = open_import(SAMPLES / "qemu7.2-log-head.txt", guess(SAMPLES / "qemu7.2-log-head.txt"))
    events = list(found)
    assert {event.type for event in events} <= {EventType.CFG_READ, EventType.CFG_WRITE, *REGISTERS}
    assert found.complaints == []


def test_a_capture_arrives() -> None:
    found, events = imported(SAMPLES / "linux-e1000e.pcap")
    assert {event.type for event in events} == {EventType.FRAME_IN}
    assert events[0].time_ns == 0
    assert all(len(event.data) == event.length >= 14 for event in events)
    assert found.complaints == []


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.pcapng.gz"
    assert main(["trace", "import", str(MMIOTRACE), str(out)]) == 0
    said = capsys.readouterr().out
    assert "mmiotrace of 00:03.0 8086:10d3: 4,618 events" in said
    with TraceReader(out) as reader:
        events = list(reader)
    assert accesses(events) == accesses(imported(MMIOTRACE)[1])
    assert [path.name for path in tmp_path.iterdir()] == ["a.pcapng.gz"]
    main(["trace", "dump", str(out), "--register", "STATUS", "--until", "30"])
    assert (
        "mr32 b0 STATUS -> 0x80283 {FD=1 LU=1 SPEED=2 ASDV=2 GIO_MASTER_ENABLE=1}" in capsys.readouterr().out
    )
    assert main(["trace", "export", str(out), "--format", "qtest-log"]) == 0
    said, warned = capsys.readouterr()
    assert said.count(" OK 0x") == 1950
    assert "left out: 4 MARK" in warned


def test_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    text = tmp_path / "text"
    text.write_text("what is this\n")
    cut = tmp_path / "cut"
    cut.write_text("VERSION 20070824\nPCIDEV 0018\n")
    for words in (
        [str(text), str(out)],
        [str(tmp_path / "missing"), str(out)],
        [str(tmp_path), str(out)],
        [str(MMIOTRACE), str(tmp_path / "no" / "out")],
        [str(MMIOTRACE), str(out), "--device", "00:09.0"],
        [str(MMIOTRACE), str(out), "--format", "qemu"],
        [str(cut), str(out)],
    ):
        assert main(["trace", "import", *words]) == 2, words
        assert capsys.readouterr().err.startswith("vnic: ")
    assert {path.name for path in tmp_path.iterdir()} == {"text", "cut"}
