"""The pytest plugin: a failing test leaves traces that replay, and a replay that differs fails the test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vnic.device import Device
from vnic.function import PciFunction
from vnic.testbench.recording import Recordings
from vnic.trace.replay import Outcome, Replay

pytest_plugins = ["pytester"]

TESTS = """
    from vnic.device import Device

    def test_that_fails():
        with Device(manual=True) as device:
            device.advance(7)
            assert device.read32(0) == 0

    def test_that_passes():
        Device(manual=True).advance(9)
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", *options)


def test_a_failing_test_leaves_a_trace(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(TESTS)
    result = run(pytester, f"--vnic-record={tmp_path}/kept")
    result.assert_outcomes(failed=1, passed=1)
    (path,) = (tmp_path / "kept").iterdir()
    assert "test_that_fails" in path.name
    result.stdout.fnmatch_lines([f"vnic trace dump {path}"])
    with Replay(path) as replay:
        assert replay.run() is Outcome.END


def test_everything_is_replayed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    result = run(pytester, "--vnic-replay")
    result.assert_outcomes(failed=1, passed=1)
    text = result.stdout.str()
    found = re.search(r"(\d+) recordings of (\d+) events replayed, 0 differ", text)
    assert found
    assert found[1] == "2"


def test_without_an_option_nothing_is_recorded(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        from vnic.function import PciFunction

        def test_it():
            assert len(PciFunction.watchers) == {len(PciFunction.watchers)}
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_a_replay_that_differs_is_told_of() -> None:
    recordings = Recordings()
    recordings.start()
    try:
        with Device(manual=True) as device:
            device.read32(0)
    finally:
        recordings.stop()
    (recording,) = recordings.take_over()
    octets = bytearray(recording.octets())
    octets[-16] ^= 1  # in the value of the last event; BARs do not decode yet, so it is all ones
    recording.file.seek(0)
    recording.file.write(octets)
    difference = recordings.replay(recording)
    recording.close()
    assert re.search(r"recorded '.*GLB_TYPE -> 0x1ffffffff', replayed '.*GLB_TYPE -> 0xffffffff'", difference)
