"""What a compact trace leaves out comes back by replay, byte for byte."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.trace.traces import FRAME, events_of, recorded
from vnic.abi import DmaPurpose, EventType, FaultAction, FaultSite
from vnic.cli import main
from vnic.copy_engine import CopyEngine
from vnic.device import Device
from vnic.fault import Fault
from vnic.testbench.bench import Bench
from vnic.trace.expand import expand
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.header import TraceError
from vnic.trace.recorder import Recorder
from vnic.trace.replay import Outcome


def with_faults(compact: bool) -> bytes:
    """A run that begins in the middle, in which data are corrupted on their way and marks are made."""
    stream = io.BytesIO()
    with Bench(queues=2, cpus=2) as bench:
        bench.receive(FRAME)
        fault = Fault(site=FaultSite.DMA_READ, action=FaultAction.CORRUPT, index=DmaPurpose.DATA, argument=3)
        with Recorder(stream, bench.device, compact=compact, seed=7) as recorder, bench.device.arm(fault):
            recorder.mark("frames")
            bench.receive(FRAME, FRAME)
            bench.send(FRAME)
            bench.settle()
            recorder.hash()
    return stream.getvalue()


def two_functions(compact: bool) -> bytes:
    """A card and a copy engine in one file."""
    stream = io.BytesIO()
    with (
        Device(manual=True) as card,
        CopyEngine(manual=True) as engine,
        Recorder(stream, card, engine, compact=compact),
    ):
        card.config_write(4, 6)
        engine.config_write(4, 6)
        card.advance(20)
        engine.read32(8)
    return stream.getvalue()


@pytest.mark.requirement("TRC-27")
@pytest.mark.parametrize("kind", ["frames", "faults", "functions"])
def test_it_is_the_full_recording(kind: str) -> None:
    make = {
        "frames": lambda compact: recorded(12, compact=compact),
        "faults": with_faults,
        "functions": two_functions,
    }[kind]
    full, compact = make(compact=False), make(compact=True)
    target = io.BytesIO()
    events, outcome = expand(io.BytesIO(compact), target)
    assert target.getvalue() == full
    assert outcome is Outcome.END
    assert events == len(events_of(full))
    assert compact != full


def test_a_full_trace_stays_as_it_is() -> None:
    full = recorded(2)
    target = io.BytesIO()
    expand(io.BytesIO(full), target)
    assert target.getvalue() == full


@pytest.mark.requirement("TRC-27")
def test_another_device_is_not_taken_for_the_one_that_was_recorded() -> None:
    reader = TraceReader(io.BytesIO(recorded(3, compact=True)))
    changed = io.BytesIO()
    writer = TraceWriter(changed, reader.header)
    digests = 0
    for event in reader:
        digests += event.digest is not None
        is_it = event.digest is not None and digests == 2
        writer.write(event._replace(digest=(event.digest or 0) ^ 1) if is_it else event)
    changed.seek(0)
    with pytest.raises(TraceError, match="something else at event"):
        expand(changed, io.BytesIO())


def test_a_file_that_takes_no_more_is_told_of() -> None:
    class Full(io.BytesIO):
        def write(self, octets: object, /) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        expand(io.BytesIO(recorded(2, compact=True)), Full())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "compact.pcapng", tmp_path / "full.pcapng"
    octets = recorded(3, compact=True)
    path.write_bytes(octets)
    assert main(["trace", "expand", str(path), str(out)]) == 0
    assert out.read_bytes() == recorded(3)
    assert main(["trace", "expand", str(path), str(path)]) == 2
    assert path.read_bytes() == octets
    path.write_bytes(octets[:-50])
    assert main(["trace", "expand", str(path), str(out)]) == 1
    assert "ends within a block" in capsys.readouterr().err
    assert {event.type for event in events_of(out.read_bytes())} >= {EventType.DMA_WRITE}
    assert main(["trace", "expand", str(tmp_path / "missing"), str(out)]) == 2
    assert main(["trace", "expand", str(path), str(tmp_path / "no" / "where")]) == 2
