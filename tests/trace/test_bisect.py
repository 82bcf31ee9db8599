"""Two runs whose states part before anything can be seen of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnic import trace
from vnic.abi import EventType
from vnic.cli import main
from vnic.device import Device
from vnic.gen.registers import BAR0
from vnic.trace.bisect import parting
from vnic.trace.file import TraceReader


def run(path: Path, secret: int) -> None:
    """The value that is written is not read again."""
    with Device(manual=True) as device, trace.Recorder(path, device):
        device.config_write(4, 6, 2)
        for number in range(40):
            device.advance(number)
        device.write32(BAR0.TEST_DMA_PATTERN.offset, secret)
        for number in range(40, 80):
            device.advance(number)


@pytest.mark.requirement("TRC-24")
@pytest.mark.parametrize("every", [1, 7, 1000])
def test_the_event_that_made_the_difference(tmp_path: Path, every: int) -> None:
    one, other = tmp_path / "one.pcapng", tmp_path / "other.pcapng"
    run(one, 1)
    run(other, 2)
    found = parting(one, other, every)
    assert found is not None
    with TraceReader(one) as reader:
        event = list(reader)[found.events - 1]
    assert event.type == EventType.MMIO_WRITE
    assert "state of function 0" in found.why
    assert parting(one, one, every) is None


def test_one_that_ends_sooner(tmp_path: Path) -> None:
    paths = tmp_path / "one.pcapng", tmp_path / "other.pcapng"
    for path, count in zip(paths, (5, 9), strict=True):
        with Device(manual=True) as device, trace.Recorder(path, device):
            for number in range(count):
                device.advance(number)
    found = parting(*paths)
    assert found is not None
    assert found.why == "one trace ends here"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = tmp_path / "one.pcapng", tmp_path / "other.pcapng"
    run(one, 1)
    run(other, 2)
    assert main(["trace", "bisect", str(one), str(one)]) == 0
    assert main(["trace", "bisect", str(one), str(other), "--hash-every", "10"]) == 1
    out = capsys.readouterr().out
    assert "TEST_DMA_PATTERN <- 0x1" in out
    assert "TEST_DMA_PATTERN <- 0x2" in out
    assert main(["trace", "bisect", str(one), str(other), "--hash-every", "0"]) == 2
