"""`vnic trace`: what it prints and how it ends."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.trace.traces import events_of, recorded
from vnic.abi import EventType
from vnic.cli import main
from vnic.trace.file import TraceReader, TraceWriter


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "a.pcapng"
    path.write_bytes(recorded(6))
    return path


@pytest.fixture
def changed(trace: Path, tmp_path: Path) -> Path:
    """Another value of the second register read."""
    path = tmp_path / "changed.pcapng"
    with TraceReader(trace) as reader, TraceWriter(path, reader.header) as writer:
        reads = 0
        for event in reader:
            reads += event.type == EventType.MMIO_READ
            is_it = event.type == EventType.MMIO_READ and reads == 2
            writer.write(event._replace(value=event.value ^ 0x10) if is_it else event)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main(["trace", *map(str, words)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_info(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "info", trace, "--json")
    found = json.loads(out)
    assert status == 0
    assert found["events"] == len(events_of(trace.read_bytes())) == sum(found["types"].values())
    assert found["header"]["functions"][0]["kind"] == "nic"
    assert found["registers"]["TEST_ECHO"] > 0
    status, out, _ = run(capsys, "info", trace)
    assert status == 0
    assert "MMIO_WRITE" in out
    assert "TEST_ECHO" in out


def test_dump_is_a_line_an_event(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "dump", trace)
    assert out.count("\n") == len(events_of(trace.read_bytes()))
    assert "mw32 b0 GLB_CTRL <- 0x1 {RESET=1}" in out
    _, part, _ = run(capsys, "dump", trace, "--register", "qp_tx_tail", "--type", "mmio_write", "--numbers")
    lines = part.splitlines()
    assert lines
    assert all("QP_TX_TAIL" in line for line in lines)
    _, few, _ = run(capsys, "dump", trace, "--from", 10, "--until", 13)
    assert few.splitlines() == out.splitlines()[10:13]


def test_replay_of_a_run_that_is_as_it_was(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "replay", trace)
    assert status == 0
    assert "all as the trace says" in out


def test_replay_names_register_and_values(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "replay", changed)
    assert status == 1
    assert "trace:  mr32 b0 GLB_VERSION -> 0x11" in out
    assert "device: mr32 b0 GLB_VERSION -> 0x1" in out
    assert "before that:" in out
    status, out, _ = run(capsys, "replay", changed, "--tolerant", "--json")
    found = json.loads(out)
    assert status == 1
    assert found["differences"] == {"GLB_VERSION": 1}
    status, out, _ = run(capsys, "replay", changed, "--resync", "--mask", "GLB_VERSION=0x10", "--json")
    assert status == 0
    assert json.loads(out)["borne"] == 1


def test_diff(trace: Path, changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "diff", trace, trace)[:2] == (0, "the same events\n")
    status, out, _ = run(capsys, "diff", trace, changed)
    assert status == 1
    assert "GLB_VERSION -> 0x1\n" in out
    assert "GLB_VERSION -> 0x11" in out
    assert "1 differences" in out


def test_export(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = events_of(trace.read_bytes())
    _, out, _ = run(capsys, "export", trace)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [int(row["value"]) for row in rows] == [event.value for event in events]
    assert [bytes.fromhex(row["data"]) for row in rows] == [event.data for event in events]
    _, out, _ = run(capsys, "export", trace, "--format", "jsonl", "--type", "CFG_READ")
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["type"] for line in lines} == {"CFG_READ"}
    assert lines[0]["register"] == "ID"


def test_a_file_cut_short(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.pcapng"
    path.write_bytes(trace.read_bytes()[:5001])
    for action in ("info", "dump", "export"):
        status, out, err = run(capsys, action, path)
        assert status == 1
        assert "ends within a block, at offset 5,001" in out + err
    status, out, _ = run(capsys, "replay", path)
    assert status == 1
    assert "cut short" in out


@pytest.mark.parametrize("action", ["info", "dump", "replay", "export"])
def test_what_is_no_trace(action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text"
    path.write_text("not a trace at all")
    status, _, err = run(capsys, action, path)
    assert status == 2
    assert "no trace" in err
    status, _, err = run(capsys, action, tmp_path / "missing")
    assert status == 2
    assert "No such file" in err
    status, _, err = run(capsys, action, tmp_path)
    assert status == 2
    assert "directory" in err


def test_options_that_do_not_go_together(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "replay", trace, "--mask", "GLB_TIME")[0] == 2
    assert run(capsys, "replay", trace, "--tolerant", "--mask", "NO_SUCH")[0] == 2
    assert run(capsys, "replay", trace, "--tolerant", "--mask", "GLB_TIME=x")[0] == 2
    with pytest.raises(SystemExit, match="2"):
        run(capsys, "dump", trace, "--type", "NONE")
