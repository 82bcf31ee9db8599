"""The part of the pytest plugin that counts what a run reached: `--vnic-coverage FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from vnic.errors import ArgumentError
from vnic.testbench.recording import Recording, Recordings
from vnic.trace.coverage.run import RunCoverage, cover, load, parsed
from vnic.trace.file import TraceReader

_SENT: Final = "vnic_covered"


class Covered:
    """The hooks of a run whose devices are recorded to see what they reached."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._path = path
        self._recordings = Recordings()
        self._run = RunCoverage()

    def pytest_sessionstart(self) -> None:
        """From now on."""
        self._recordings.start()

    def pytest_sessionfinish(self) -> None:
        """Count devices that were never closed, too; a worker sends what it has."""
        self._recordings.stop()
        for each in self._recordings.take_all():
            self._count(each)
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_SENT] = self._run.as_json()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist is done: what it reached counts here."""
        sent = getattr(node, "workeroutput", {}).get(_SENT)
        if sent is not None:
            self._run.merge(parsed(sent))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that passed exercised the requirements that it is marked with."""
        if report.when == "call" and report.passed and not hasattr(self._config, "workerinput"):
            self._run.requirements.update(
                {str(value) for name, value in report.user_properties if name == "requirement"}
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Have the ids of its marks travel with the report."""
        for mark in item.iter_markers("requirement"):
            item.user_properties.extend(("requirement", name) for name in mark.args)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        """Count what is over."""
        for each in self._recordings.take_over():
            self._count(each)

    def _count(self, recording: Recording) -> None:
        recording.recorder.close()
        recording.file.seek(0)
        with TraceReader(recording.file) as reader:
            cover(reader, self._run)
        recording.close()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Add to what the file has already, and say so."""
        if hasattr(self._config, "workerinput"):
            return
        try:
            if self._path.exists():
                self._run.merge(load(self._path))
            self._run.write(self._path)
        except (ArgumentError, OSError) as error:
            raise pytest.UsageError(f"--vnic-coverage {self._path}: {error}") from error
        terminalreporter.write_line(
            f"{self._run.runs} devices covered; vnic coverage {self._path} shows what they reached"
        )
