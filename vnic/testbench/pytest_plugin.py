"""The pytest plugin: fixtures of the testbench, a trace of each test that fails, a replay of everything."""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from vnic.device import Device
    from vnic.host.system import System
    from vnic.ndis.adapter import Adapter
    from vnic.testbench.bench import Bench
    from vnic.testbench.capture import Capture
    from vnic.testbench.driver import Driver
    from vnic.testbench.host import Host
    from vnic.testbench.machine import Machine
    from vnic.testbench.peer import Peer
    from vnic.testbench.recording import Recording, Recordings
    from vnic.testbench.scene import Scene
    from vnic.testbench.steps import Steps


_SENT: Final = "vnic_replayed"
_SEEDED: Final = "vnic_seed"
_MARKER: Final = (
    "vnic(**keywords): what the fixtures of vnic are made with: queues=4, loss=0.01, manual=True, "
    "driver=..., seed=..., chimney=True, interrupt='line', timeout=10, and whatever Bench and the wire take"
)
_TIMEOUT_S: Final = 60.0
_SEED_BITS: Final = 32


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("vnic", "virtual network card")
    group.addoption(
        "--vnic-driver",
        action="append",
        metavar="NAME",
        help="the driver under test: reference, package.module:Class, file.py:Class or library.so; "
        "more than once: every test for each",
    )
    group.addoption(
        "--vnic-seed",
        type=_seed,
        metavar="N",
        help="choose everything random by N: addresses, processors, the wire; 'random': an N of its own",
    )
    group.addoption(
        "--vnic-timeout",
        type=float,
        default=_TIMEOUT_S,
        metavar="S",
        help="end a test of the card after S seconds, and say who held what; 0: never (default: %(default)g)",
    )
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
    group.addoption(
        "--vnic-coverage",
        type=Path,
        metavar="FILE",
        help="add what every device reached to FILE, for `vnic coverage`",
    )


def _seed(text: str) -> int:
    """A number, or one that nobody chose."""
    if text == "random":
        return random.SystemRandom().getrandbits(_SEED_BITS)
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << _SEED_BITS:
        raise argparse.ArgumentTypeError(f"{text!r}: 'random', or a number of {_SEED_BITS} bits")
    return value


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is imported and nothing costs unless an option asks for it."""
    config.addinivalue_line("markers", _MARKER)
    if _SEEDED in getattr(config, "workerinput", {}):
        config.option.vnic_seed = config.workerinput[_SEEDED]  # type: ignore[attr-defined]
    if path := config.getoption("--vnic-coverage"):
        if config.getoption("--vnic-record") or config.getoption("--vnic-replay"):
            raise pytest.UsageError(
                "--vnic-coverage records by itself: not with --vnic-record or --vnic-replay"
            )
        covered = importlib.import_module("vnic.testbench.coverage_plugin").Covered(config, path)
        config.pluginmanager.register(covered, "vnic-covered")
    if config.getoption("--vnic-record") or config.getoption("--vnic-replay"):
        recordings = importlib.import_module("vnic.testbench.recording").Recordings()
        config.pluginmanager.register(Recorded(config, recordings), "vnic-recorded")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist has the seed of all, whoever chose it."""
    node.workerinput[_SEEDED] = node.config.getoption("--vnic-seed")


# -- fixtures ------------------------------------------------------------------------------------------------


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What was asked for."""
    seed, drivers = config.getoption("--vnic-seed"), config.getoption("--vnic-driver")
    parts = ([f"seed {seed}"] if seed is not None else []) + [f"driver {name}" for name in drivers or ()]
    return [f"vnic: {', '.join(parts)}"] if parts else []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each driver; a test with the marker is watched, and its keywords are checked."""
    if metafunc.definition.get_closest_marker("vnic") is None:
        marked = {}
    else:
        marked = importlib.import_module("vnic.testbench.scene").wanted_by(metafunc.definition).own
        if "vnic_watchdog" not in metafunc.fixturenames:
            metafunc.fixturenames.insert(0, "vnic_watchdog")
    drivers = metafunc.config.getoption("--vnic-driver") or []
    if "vnic_driver" in metafunc.fixturenames and drivers and "driver" not in marked:
        metafunc.parametrize("vnic_driver", drivers, indirect=True)


@pytest.fixture
def vnic_driver(request: pytest.FixtureRequest) -> Driver:
    """The driver under test: of the mark, of --vnic-driver, or the reference."""
    scene = importlib.import_module("vnic.testbench.scene")
    named = getattr(request, "param", None)
    driver: Driver = scene.find_driver(scene.wanted_by(request.node).own.get("driver", named))
    return driver


@pytest.fixture
def vnic_watchdog(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ends the test when it hangs, and says who held what."""
    watchdog = importlib.import_module("vnic.testbench.watchdog")
    own = importlib.import_module("vnic.testbench.scene").wanted_by(request.node).own
    seconds = float(own.get("timeout", request.config.getoption("--vnic-timeout")))

    class HungTest(watchdog.HungTest, pytest.fail.Exception):  # type: ignore[name-defined, misc]
        """A failure, which pytest expects of fixtures, too."""

    with watchdog.Watchdog(
        seconds, _who_holds, error=HungTest, tell=lambda text: _tell(request.config, text)
    ):
        yield


def _who_holds() -> str:
    """Of every bench that is open."""
    benches = list(importlib.import_module("vnic.testbench.bench").Bench.open)
    copies = list(importlib.import_module("vnic.testbench.copy_bench").CopyBench.open)
    return "\n".join(bench.who_holds() for bench in [*benches, *copies]) or "no bench is open"


def _tell(config: pytest.Config, text: str) -> None:
    """To the terminal, past what captures the output of tests."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    print(text, file=sys.__stderr__, flush=True)


def _make_scene(request: pytest.FixtureRequest, driver: Driver | None) -> Iterator[Scene]:
    scene = importlib.import_module("vnic.testbench.scene")
    seed = request.config.getoption("--vnic-seed")
    names = frozenset(request.node.fixturenames)
    made: Scene = scene.Scene(scene.wanted_by(request.node), names, driver or scene.find_driver(None), seed)
    repeat = [f"--vnic-seed={made.seed}"] if made.seed is not None else []
    if driver is not None and driver.name in (request.config.getoption("--vnic-driver") or ()):
        repeat.append(f"--vnic-driver={driver.name}")
    again = " ".join(["pytest", f"'{request.node.nodeid}'", *repeat])
    seeded = f"seed {made.seed}" if made.seed is not None else "no seed"
    line = f"{seeded}, driver {made.driver.name}; again: {again}"
    request.node.add_report_section("setup", "vnic", line)
    failed_before = request.session.testsfailed
    yield made
    made.close(failed=request.session.testsfailed > failed_before)


@pytest.fixture
def vnic_scene(request: pytest.FixtureRequest, vnic_watchdog: None, vnic_driver: Driver) -> Iterator[Scene]:
    """What the fixtures stand on that have a driver under test."""
    names = request.node.fixturenames
    if "vnic_bare_scene" in names and "vnic_scene" not in names:
        pytest.fail(importlib.import_module("vnic.testbench.scene").LATE, pytrace=False)
    yield from _make_scene(request, vnic_driver)


@pytest.fixture
def vnic_bare_scene(request: pytest.FixtureRequest, vnic_watchdog: None) -> Iterator[Scene]:
    """What the fixtures stand on that have none; that of the driver, where the test has one, too."""
    if "vnic_scene" in request.node.fixturenames:
        yield request.getfixturevalue("vnic_scene")
    else:
        yield from _make_scene(request, None)


@pytest.fixture
def bench(vnic_scene: Scene) -> Bench:
    """A machine with the driver under test, up and running."""
    return vnic_scene.bench


@pytest.fixture
def adapter(vnic_scene: Scene) -> Adapter:
    """The NDIS adapter of `bench`."""
    return vnic_scene.bench.adapter


@pytest.fixture
def capture(vnic_scene: Scene) -> Capture:
    """The filter between NDIS and the driver of `bench`: holds NBLs and OID requests in flight."""
    return vnic_scene.bench.capture


@pytest.fixture
def host(vnic_scene: Scene) -> Host:
    """TCP/IP over the driver under test, at 10.0.0.1 and fd00::1; its bench is `bench`."""
    return vnic_scene.host


@pytest.fixture
def peer(vnic_bare_scene: Scene) -> Peer:
    """The other end of the card's wire: frames by hand, and a station at 10.0.0.2 and fd00::2."""
    return vnic_bare_scene.peer


@pytest.fixture
def machine(vnic_bare_scene: Scene) -> Machine:
    """A card on a bus as a kernel has it, for a driver in the test itself."""
    return vnic_bare_scene.machine


@pytest.fixture
def bus(vnic_bare_scene: Scene) -> System:
    """The bus of `machine`."""
    return vnic_bare_scene.machine.bus


@pytest.fixture
def device(vnic_bare_scene: Scene) -> Device:
    """The card: by itself, or that of the bench or machine which the test asks for."""
    return vnic_bare_scene.device


@pytest.fixture
def steps(vnic_bare_scene: Scene, request: pytest.FixtureRequest) -> Steps:
    """The steps of the device, and of the host around it, where there is one."""
    return vnic_bare_scene.steps


# -- recording -----------------------------------------------------------------------------------------------


class Recorded:
    """The hooks of a run whose devices are recorded."""

    def __init__(self, config: pytest.Config, recordings: Recordings) -> None:
        self._config = config
        self._folder: Path | None = config.getoption("--vnic-record")
        self._replays: bool = config.getoption("--vnic-replay")
        self._recordings = recordings
        self._count = self._events = 0
        self._differences: list[str] = []
        self._kept: list[Path] = []

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
        if self._folder and report.failed:  # type: ignore[attr-defined]
            if call.when != "teardown":
                self._keep(item)
            for path in self._kept:
                report.sections.append(("trace", f"vnic trace dump {path}"))  # type: ignore[attr-defined]
        return report

    def _keep(self, item: pytest.Item) -> None:
        """Write the traces of all devices there are."""
        if self._folder:
            self._kept = self._recordings.save(self._folder, item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        """Replay what is over; a test that fails here, because of what it left behind, has its trace, too."""
        try:
            result = yield
        except BaseException:
            self._keep(item)
            raise
        finally:
            differences = [self._replay(each) for each in self._recordings.take_over()]
        for difference in filter(None, differences):
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
