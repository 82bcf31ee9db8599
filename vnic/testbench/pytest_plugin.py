"""The pytest plugin: a trace of each test that fails, and a replay of everything that tests do."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from vnic.testbench.recording import Recording, Recordings


_SENT: Final = "vnic_replayed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("vnic", "virtual network card")
    group.addoption(
        "--vnic-record",
        type=Path,
        metavar="DIR",
        help="keep a trace of every device of a test that fails in DIR",
    )
    group.addoption(
        "--vnic-replay",
        action="store_true",
        help="replay what every device did, strictly, after it: a test whose trace differs fails",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is imported and nothing costs unless an option asks for it."""
    if config.getoption("--vnic-record") or config.getoption("--vnic-replay"):
        recordings = importlib.import_module("vnic.testbench.recording").Recordings()
        config.pluginmanager.register(Recorded(config, recordings), "vnic-recorded")


class Recorded:
    """The hooks of a run whose devices are recorded."""

    def __init__(self, config: pytest.Config, recordings: Recordings) -> None:
        self._config = config
        self._folder: Path | None = config.getoption("--vnic-record")
        self._replays: bool = config.getoption("--vnic-replay")
        self._recordings = recordings
        self._count = self._events = 0
        self._differences: list[str] = []

    def pytest_sessionstart(self) -> None:
        """From now on."""
        self._recordings.start()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """No more; devices that were never closed are replayed, too."""
        self._recordings.stop()
        for each in self._recordings.take_all():
            self._replay(each)
        if self._differences:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_SENT] = (self._count, self._events, self._differences)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist is done: what it replayed counts here."""
        count, events, differences = getattr(node, "workeroutput", {}).get(_SENT, (0, 0, []))
        self._count += count
        self._events += events
        self._differences += differences

    def _replay(self, recording: Recording) -> str:
        """What is different, or nothing; the recording is over."""
        difference = ""
        if self._replays:
            self._count += 1
            self._events += recording.recorder.events
            difference = self._recordings.replay(recording)
        recording.close()
        if difference:
            self._differences.append(difference)
        return difference

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Keep the traces of a test that failed, and name them in its report."""
        report = yield
        if self._folder and report.failed and call.when != "teardown":  # type: ignore[attr-defined]
            for path in self._recordings.save(self._folder, item.nodeid):
                report.sections.append(("trace", f"vnic trace dump {path}"))  # type: ignore[attr-defined]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        """Replay what is over."""
        result = yield
        for each in self._recordings.take_over():
            difference = self._replay(each)
            if difference:
                pytest.fail(f"the replay of a device is not what was recorded: {difference}")
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """How much was replayed."""
        if self._replays:
            terminalreporter.write_line(
                f"{self._count} recordings of {self._events} events replayed, {len(self._differences)} differ"
            )
        for each in self._differences[:10]:
            terminalreporter.write_line(each)
