"""What all tests share: the rule about skips, one profile of examples, and children without the sanitizer."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SKIPS = ROOT / ".ci" / "skips.txt"
PRELOAD = "VNIC_PRELOAD"
WORKER = "PYTEST_XDIST_WORKER"

# Deadlines measure the machine, not the code; the same examples everywhere make a failure everybody's.
settings.register_profile(
    "vnic",
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("explore", settings.get_profile("vnic"), derandomize=False, max_examples=2000)
# By the names that vnic.fuzz.effort has for them.
settings.register_profile("dev", settings.get_profile("vnic"))
settings.register_profile("ci", settings.get_profile("vnic"), max_examples=120)
settings.register_profile("nightly", settings.get_profile("explore"))
settings.load_profile(os.environ.get("VNIC_HYPOTHESIS", "vnic"))


def allowed_reasons() -> list[str]:
    """Patterns of the reasons for which a test may skip under CI."""
    lines = SKIPS.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Under CI, turn a skip for a reason that is not on the list into a failure."""
    if not report.skipped or hasattr(report, "wasxfail") or os.environ.get("CI") != "true":
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not any(fnmatchcase(reason, pattern) for pattern in allowed_reasons()):
        report.outcome = "failed"
        report.longrepr = f"skipped for a reason that is not in .ci/skips.txt: {reason}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--requirement INV-24`: only the tests that are marked with it; may be given more than once."""
    parser.addoption(
        "--requirement", action="append", default=[], metavar="ID", help="tests of a requirement"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what proves none of the requirements asked for; every worker has the rest in one order."""
    items.sort(key=lambda item: item.path.parts)
    wanted = set(config.getoption("requirement"))
    if wanted:
        proves = [
            wanted & {i for mark in item.iter_markers("requirement") for i in mark.args} for item in items
        ]
        chosen = list(zip(items, proves, strict=True))
        config.hook.pytest_deselected(items=[item for item, names in chosen if not names])
        items[:] = [item for item, names in chosen if names]


def pytest_collection_finish() -> None:
    """What collecting made lives to the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at each result of a test."""
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at each module that skips as a whole.

    Every other worker goes through the folders from their ends: it finds there what it meets second compiled.
    """
    report = yield
    refuse_skip(report)
    if isinstance(collector, pytest.Directory) and int(os.environ.get(WORKER, "gw0")[2:]) % 2:
        report.result.reverse()
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the processes that run tests; one that only starts workers leaves that to them."""
    # Files in the order of their names. By their number of tests, long ones would be last and be waited for.
    config.option.loadscopereorder = False
    if not config.getoption("numprocesses", None):
        spare_children_the_sanitizer()
        share_bytecode()


def spare_children_the_sanitizer() -> None:
    """Keep the sanitizer's library out of children: tools hang under it. It is loaded here already."""
    if "LD_PRELOAD" in os.environ:
        os.environ[PRELOAD] = os.environ.pop("LD_PRELOAD")


def share_bytecode() -> None:
    """Have every module compiled once for all workers and children, whatever their environment says."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ.setdefault("PYTHONPYCACHEPREFIX", str(ROOT / "build" / "pycache"))


@pytest.fixture
def python_environment() -> dict[str, str]:
    """The environment of a child that imports vnic: with the sanitizer's library, if this process has it."""
    environment = dict(os.environ)
    if preload := environment.pop(PRELOAD, None):
        environment["LD_PRELOAD"] = preload
    return environment
