"""Delta debugging: the inputs that matter stay, and everything else goes."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.trace.traces import events_of, recorded
from vnic.abi import EventType
from vnic.cli import main
from vnic.device import Device
from vnic.errors import ArgumentError
from vnic.gen.registers import BAR0
from vnic.trace.event import INPUTS, TraceEvent
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.minimize import minimize, units_of
from vnic.trace.names import Names
from vnic.trace.recorder import Recorder
from vnic.trace.replay import Outcome, Replay

SECRET = 0x5A5A_1234
PATTERN = BAR0.TEST_DMA_PATTERN.offset


def run(path: Path) -> None:
    """Two writes that matter for one read, among two hundred other inputs."""
    with Device(manual=True) as device, Recorder(path, device):
        device.config_write(4, 6, 2)
        for place in range(50):
            device.advance(100 * place)
            device.write32(BAR0.TEST_ECHO.offset, place)
        device.write32(PATTERN, SECRET)
        for place in range(50, 100):
            device.advance(100 * place)
            device.read32(BAR0.TEST_ECHO.offset)
        device.read32(PATTERN)
        for place in range(100, 140):
            device.advance(100 * place)


def spoil(source: Path, target: Path, register: str, kind: EventType = EventType.MMIO_READ) -> None:
    """As if another build had recorded it, whose last access of a kind to a register gave another value."""
    with TraceReader(source) as reader:
        header, events = reader.header, list(reader)
    names = Names(header)
    last = max(event.number for event in events if event.type == kind and names.name(event) == register)
    events[last] = events[last]._replace(value=events[last].value ^ 1)
    with TraceWriter(target, header) as writer:
        for event in events:
            writer.write(event)


def inputs(path: Path) -> list[TraceEvent]:
    with TraceReader(path) as reader:
        return [event for event in reader if event.type in INPUTS]


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    run(tmp_path / "good.pcapng")
    spoil(tmp_path / "good.pcapng", tmp_path / "bad.pcapng", "TEST_DMA_PATTERN")
    return tmp_path / "bad.pcapng"


@pytest.mark.requirement("TRC-28")
def test_only_what_matters_is_left(failing: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pcapng"
    found = minimize(failing, out)
    left = inputs(out)
    assert [event.type for event in left] == [
        EventType.LOAD,
        EventType.CFG_WRITE,
        EventType.MMIO_WRITE,
        EventType.MMIO_READ,
    ]
    assert (found.inputs_before, found.inputs, found.is_minimal) == (len(inputs(failing)), 4, True)
    assert left[2].value == SECRET
    with Replay(failing) as whole, Replay(out) as part:
        assert whole.run() is part.run() is Outcome.DIFFERENT
        assert whole.difference is not None
        assert part.difference is not None
        assert whole.difference.expected is not None
        assert part.difference.expected is not None
        assert whole.difference.expected.value == part.difference.expected.value == SECRET ^ 1
    first = out.read_bytes()
    minimize(failing, out)
    assert out.read_bytes() == first


@pytest.mark.requirement("TRC-28")
def test_an_output_that_differs_keeps_what_causes_it(tmp_path: Path) -> None:
    """One octet of a frame that the card wrote to memory: bring-up stays; a state hash is no way there."""
    whole, changed, out = (tmp_path / f"{name}.pcapng" for name in ("whole", "changed", "out"))
    whole.write_bytes(recorded(12))
    events = events_of(whole.read_bytes())
    writes = [event for event in events if event.type == EventType.DMA_WRITE and event.length == 64]
    first = writes[0]
    with TraceReader(whole) as reader, TraceWriter(changed, reader.header) as writer:
        for event in reader:
            is_it = event.number == first.number
            writer.write(event._replace(data=b"\xff" + event.data[1:]) if is_it else event)
    found = minimize(changed, out, tries=400)
    assert found.inputs < found.inputs_before / 3
    assert EventType.FRAME_IN in {event.type for event in inputs(out)}
    with Replay(out) as replay:
        assert replay.run() is Outcome.DIFFERENT
        assert replay.difference is not None
        assert replay.difference.expected is not None
        assert replay.difference.expected.data == b"\xff" + first.data[1:]
    spoiled = tmp_path / "hash.pcapng"
    with TraceReader(whole) as reader, TraceWriter(spoiled, reader.header) as writer:
        for event in reader:
            writer.write(event._replace(value=0) if event.type == EventType.HASH else event)
    with pytest.raises(ArgumentError, match="bisect"):
        minimize(spoiled, out)


def test_units_are_inputs_with_their_outputs(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(recorded(3))
    _, units, difference = units_of(path)
    assert difference is None
    assert [event for unit in units for event in unit.events] == events_of(path.read_bytes())
    assert max(sum(event.type in INPUTS for event in unit.events) for unit in units) == 1
    runs = [unit for unit in units if EventType.RUN in {event.type for event in unit.events}]
    assert any(EventType.DMA_WRITE in {event.type for event in unit.events} for unit in runs)


@pytest.mark.requirement("TRC-28")
def test_tries_are_bounded(failing: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = minimize(
        failing, tmp_path / "out.pcapng", tries=3, tell=lambda tries, units: told.append((tries, units))
    )
    assert found.tries == 3 == len(told)
    assert not found.is_minimal
    with Replay(tmp_path / "out.pcapng") as replay:
        assert replay.run() is Outcome.DIFFERENT


def test_what_does_not_fail(tmp_path: Path) -> None:
    run(tmp_path / "good.pcapng")
    with pytest.raises(ArgumentError, match="replays as it says"):
        minimize(tmp_path / "good.pcapng", tmp_path / "out.pcapng")
    with pytest.raises(ArgumentError, match="check passes"):
        minimize(tmp_path / "good.pcapng", tmp_path / "out.pcapng", check=lambda path: False)


@pytest.mark.requirement("TRC-28")
def test_a_check_of_ones_own(tmp_path: Path) -> None:
    """Anything can be looked for: here, two values written to one register."""
    run(tmp_path / "good.pcapng")

    def check(path: object) -> bool:
        values = {event.value for event in inputs(Path(str(path))) if event.type == EventType.MMIO_WRITE}
        return {7, SECRET} <= values

    found = minimize(tmp_path / "good.pcapng", tmp_path / "out.pcapng", check=check)
    assert found.inputs == 2
    assert [event.value for event in inputs(tmp_path / "out.pcapng")] == [7, SECRET]


@pytest.mark.requirement("TRC-28")
def test_a_reference_has_to_do_what_is_tried(failing: Path, tmp_path: Path) -> None:
    """The recorded device, here: its register gives what was written last, with the lowest bit turned."""

    def reference(path: object) -> bool:
        written, is_enabled = 0, False
        for event in inputs(Path(str(path))):
            is_enabled |= event.type == EventType.CFG_WRITE
            if event.addr == PATTERN and event.type == EventType.MMIO_WRITE and is_enabled:
                written = event.value
            if event.addr == PATTERN and event.type == EventType.MMIO_READ and event.value != written ^ 1:
                return False
        return True

    found = minimize(failing, tmp_path / "out.pcapng", passes=reference)
    assert found.inputs == 4
    with pytest.raises(ArgumentError, match="reference"):
        minimize(failing, tmp_path / "out.pcapng", passes=lambda path: False)


def test_the_command_writes_a_test_that_fails(
    failing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small.pcapng"
    assert main(["trace", "minimize", str(failing), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "4 of " in said
    assert "test_small.py" in said
    written = runpy.run_path(str(tmp_path / "test_small.py"))
    with pytest.raises(AssertionError, match="TEST_DMA_PATTERN"):
        written["test_small"]()


def test_the_command_with_commands(
    failing: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    python_environment: dict[str, str],
) -> None:
    for name, value in python_environment.items():
        monkeypatch.setenv(name, value)
    out, script = tmp_path / "small.pcapng", tmp_path / "check.py"
    script.write_text(
        "import sys\nfrom vnic.trace.file import TraceReader\n"
        "sys.exit(any(event.value == 99 for event in TraceReader(sys.argv[-1])))\n"
    )
    words = ["trace", "minimize", str(failing), "--out", str(out), "--tries", "4"]
    assert main([*words, "--check", f"{sys.executable} {script} {{}}"]) == 2
    assert "check passes" in capsys.readouterr().err
    script.write_text(script.read_text().replace("99", "49"))
    assert main([*words, "--check", f"{sys.executable} {script}"]) == 0
    assert "last try" in capsys.readouterr().out
    assert len(events_of(out.read_bytes())) < len(events_of(failing.read_bytes()))
    assert main([*words, "--check", "no-such-command"]) == 2
    assert main([*words, "--check", ""]) == 2
    assert main([*words, "--reference", "false"]) == 2
    assert main(["trace", "minimize", str(failing), "--out", str(failing)]) == 2
