"""`vnic record` and `vnic run --record`: every device that somebody makes leaves a trace of its own."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from vnic.abi import EventType
from vnic.cli import main
from vnic.device import Device
from vnic.function import PciFunction
from vnic.trace.ambient import recording
from vnic.trace.event import TraceEvent
from vnic.trace.file import TraceReader
from vnic.trace.header import TraceHeader
from vnic.trace.replay import Outcome, Replay
from vnic.wire.capture import open_capture
from vnic.wire.pcap import PcapWriter

SHIPPED = Path(__file__).parents[2] / "vnic" / "data" / "flows.pcap"
FRAMES = 100

SCRIPT = """\
import sys
from vnic.device import Device

first, second = Device(manual=True), Device(manual=True)
first.advance(int(sys.argv[1]))
second.advance(9)
print(sys.argv, __name__, sys.path[0])
"""


def read(path: Path) -> tuple[TraceHeader, list[TraceEvent]]:
    with TraceReader(path) as reader:
        return reader.header, list(reader)


def is_exact(path: Path) -> bool:
    with Replay(path) as replay:
        outcome = replay.run()
        for device in replay.devices.values():
            device.close()
    return outcome is Outcome.END


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "script.py"
    path.parent.mkdir()
    path.write_text(SCRIPT)
    return path


# -- the block -----------------------------------------------------------------------------------------------


def test_a_file_a_device_with_a_hash_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng.gz"
    with recording(path, seed=5) as recorded:
        kept = Device(manual=True)
        kept.advance(7)
        with Device(manual=True) as closed:
            closed.advance(8)
    kept.advance(99)
    second = tmp_path / "run.1.pcapng.gz"
    assert list(recorded.events) == [path, second]
    header, events = read(path)
    assert header.seed == 5
    assert [event.type for event in events] == [EventType.LOAD, EventType.TIME, EventType.HASH]
    assert recorded.events[path] == len(events)
    assert [event.value for event in read(second)[1] if event.type == EventType.TIME] == [8]
    assert is_exact(path)
    assert is_exact(second)
    kept.close()


def test_what_is_made_outside_of_the_block_is_not_recorded(tmp_path: Path) -> None:
    with Device(manual=True) as before:
        with recording(tmp_path / "run.pcapng") as recorded:
            before.advance(1)
        with Device(manual=True):
            pass
    assert recorded.events == {}
    assert list(tmp_path.iterdir()) == []


def test_an_exception_ends_the_recording_and_leaves_the_file(tmp_path: Path) -> None:
    before = list(PciFunction.watchers)
    with pytest.raises(ZeroDivisionError), recording(tmp_path / "run.pcapng", compact=True):
        device = Device(manual=True)
        device.advance(3)
        raise ZeroDivisionError
    assert PciFunction.watchers == before
    header, events = read(tmp_path / "run.pcapng")
    assert header.is_compact
    assert events[1].value == 3
    device.close()


# -- vnic record ---------------------------------------------------------------------------------------------


def test_a_script_is_run_as_the_interpreter_runs_it(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.pcapng"
    arguments, path = list(sys.argv), list(sys.path)
    assert main(["record", "--out", str(out), "--", "python3", str(script), "12"]) == 0
    assert (sys.argv, sys.path) == (arguments, path)
    said = capsys.readouterr()
    assert said.out == f"{[str(script), '12']} __main__ {script.parent}\n"
    assert f"{out}: 2 events" in said.err
    assert [event.value for event in read(out)[1] if event.type == EventType.TIME] == [12]
    assert [event.value for event in read(tmp_path / "out.1.pcapng")[1] if event.value == 9]
    assert is_exact(out)


@pytest.mark.parametrize(("end", "status"), [("sys.exit()", 0), ("sys.exit(3)", 3), ("sys.exit('no')", 1)])
def test_the_programs_own_status(script: Path, tmp_path: Path, end: str, status: int) -> None:
    script.write_text(SCRIPT + end)
    assert main(["record", "--out", str(tmp_path / "a.pcapng"), str(script), "1"]) == status
    assert is_exact(tmp_path / "a.pcapng")


def test_a_module_with_compact_output(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module is found in the working directory, as the interpreter's -m does."""
    (tmp_path / "program.py").write_text(
        "import sys\nfrom vnic.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.pcapng"
    words = ["-m", "program", "run", str(capture), "--json"]
    assert main(["record", "--compact", "--out", str(out), "--", *words]) == 0
    header, events = read(out)
    assert header.is_compact
    assert {event.digest is not None for event in events if event.type == EventType.DMA_WRITE} == {True}
    assert "vnic trace info" in capsys.readouterr().err
    assert is_exact(out)


def test_a_program_that_makes_no_device(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text("pass\n")
    assert main(["record", "--out", str(tmp_path / "a.pcapng"), str(script)]) == 0
    assert "nothing was recorded" in capsys.readouterr().err
    assert not (tmp_path / "a.pcapng").exists()


def test_an_exception_of_the_program_comes_out(script: Path, tmp_path: Path) -> None:
    script.write_text(SCRIPT + "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        main(["record", "--out", str(tmp_path / "a.pcapng"), str(script), "4"])
    assert is_exact(tmp_path / "a.pcapng")


def test_what_cannot_be_recorded(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["record", "--out", str(tmp_path / "a.pcapng")]
    assert main(out) == 2
    assert "what is to be recorded" in capsys.readouterr().err
    assert main([*out, "--", "python"]) == 2
    assert main([*out, "--", "no_such_module"]) == 2
    assert "no Python program no_such_module" in capsys.readouterr().err
    assert main([*out, "--", "-m", "no_such_package.module"]) == 2
    script.write_text("import no_such_import")
    with pytest.raises(ModuleNotFoundError):
        main([*out, "--", str(script)])
    script.write_text(SCRIPT)
    assert main([*out, "--", str(tmp_path / "missing.py")]) == 2
    assert main(["record", "--out", str(tmp_path / "no" / "where"), "--", str(script), "1"]) == 2
    assert "No such file" in capsys.readouterr().err


def test_pytest_is_recorded_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "from vnic.device import Device\n\ndef test_one():\n    Device(manual=True).advance(5)\n"
    )
    words = ["-m", "vnic", "record", "--", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, *words, "-p", "no:hypothesispytest", "test_one.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert [event.value for event in read(tmp_path / "vnic.pcapng")[1] if event.type == EventType.TIME] == [5]


# -- vnic run --record ---------------------------------------------------------------------------------------


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """The first frames of the shipped capture."""
    path = tmp_path / "few.pcap"
    with open_capture(SHIPPED) as whole, path.open("wb") as stream:
        writer = PcapWriter(stream)
        for frame in islice(whole, FRAMES):
            writer.packet(frame.time_ns, frame.data)
    return path


def test_run_keeps_a_trace(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = tmp_path / "one.pcapng", tmp_path / "other.pcapng"
    plain = main(["run", str(capture), "--json"]), capsys.readouterr().out
    assert (main(["run", str(capture), "--json", "--record", str(one)]), capsys.readouterr().out) == plain
    assert main(["run", str(capture), "--json", "--record", str(other)]) == 0
    assert one.read_bytes() == other.read_bytes()
    events = read(one)[1]
    assert sum(event.type == EventType.FRAME_IN for event in events) == FRAMES
    assert is_exact(one)


def test_run_says_that_it_cannot_write_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--record", str(tmp_path / "no" / "where.pcapng")]) == 2
    assert "No such file" in capsys.readouterr().err
