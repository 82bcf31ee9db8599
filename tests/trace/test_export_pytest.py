"""A trace as a test file: it passes where the device does the same, and names what differs."""

from __future__ import annotations

import io
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trace.traces import events_of, recorded
from vnic.abi import EventType
from vnic.cli import main
from vnic.trace.event import PART_BYTES, TraceEvent
from vnic.trace.exporters.pytest import INLINE_BYTES, export_pytest
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.names import Names
from vnic.trace.regression import assert_replays


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "a-run.pcapng"
    path.write_bytes(recorded(2))
    return path


@pytest.fixture
def bad(good: Path, tmp_path: Path) -> Path:
    """GLB_CAPS was read with one more vector."""
    path = tmp_path / "bad.pcapng"
    with TraceReader(good) as reader, TraceWriter(path, reader.header) as writer:
        names = Names(reader.header)
        for event in reader:
            is_it = event.type == EventType.MMIO_READ and names.name(event) == "GLB_CAPS"
            writer.write(event._replace(value=event.value + (1 << 8)) if is_it else event)
    return path


def test_pytest_runs_it(good: Path, bad: Path, tmp_path: Path) -> None:
    """In a process of its own, in a folder where nothing else is."""
    for path in (good, bad):
        assert main(["trace", "test", str(path)]) == 0
        path.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "."],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "test_bad" in done.stdout
    assert "different at event" in done.stdout
    assert "VECTORS: 4 in the trace, 3 now" in done.stdout


def test_a_difference_is_told_with_what_led_there(bad: Path) -> None:
    with pytest.raises(AssertionError, match="GLB_CAPS") as caught:
        assert_replays(io.BytesIO(bad.read_bytes()))
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("  trace:  mr")
    assert lines[2].startswith("  device: ")
    before = lines[lines.index("before that:") + 1 :]
    assert len(before) == 8
    assert int(before[-1].split()[0]) + 1 == int(lines[0].split()[3].rstrip(","))


def test_a_trace_cut_short_is_no_pass(good: Path) -> None:
    with pytest.raises(AssertionError, match="ends within a block"):
        assert_replays(io.BytesIO(good.read_bytes()[:-30]))


def test_inline_or_beside(good: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "test_one.py", tmp_path / "test_large.py"
    assert export_pytest(good, first) is None
    text = first.read_text()
    assert export_pytest(good, first) is None
    assert first.read_text() == text
    assert max(map(len, text.splitlines())) <= 110
    compile(text, "test_one.py", "exec")

    with TraceReader(good) as reader, TraceWriter(tmp_path / "large.pcapng", reader.header) as writer:
        for event in reader:
            writer.write(event)
        noise = bytes((number * number * 2654435761 >> 13) & 0xFF for number in range(PART_BYTES))
        writer.write(TraceEvent(0, EventType.MARK, event.time_ns, data=noise, length=len(noise)))
    beside = export_pytest(tmp_path / "large.pcapng", second)
    assert beside == tmp_path / "large.pcapng.gz"
    assert beside.stat().st_size >= INLINE_BYTES
    assert len(second.read_text()) < 1000
    with TraceReader(beside) as reader:
        assert len(list(reader)) == len(events_of(good.read_bytes())) + 1
    runpy.run_path(str(second))["test_large"]()
    assert export_pytest(beside, second) == beside


def test_a_name_is_no_code(good: Path, tmp_path: Path) -> None:
    """What a file is called cannot change what the test does."""
    target = tmp_path / 'test_x"""\n-1 y.py'
    export_pytest(good, target, 'title """ \\ \n{octets} \u2028')
    text = target.read_text()
    compile(text, "test.py", "exec")
    assert "def test_x_1_y() -> None:" in text


def test_the_command(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "test_other.py"
    assert main(["trace", "test", str(good), "--out", str(out)]) == 0
    assert "pytest" in capsys.readouterr().out
    runpy.run_path(str(out))["test_other"]()
    assert main(["trace", "test", str(good), "--out", str(tmp_path / "no" / "where.py")]) == 2
    assert main(["trace", "test", str(tmp_path / "missing")]) == 2
    out.write_text("no trace")
    assert main(["trace", "test", str(out)]) == 2
