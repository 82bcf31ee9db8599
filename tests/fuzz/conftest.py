"""How many examples, what they reached at the end of the run, and the C fuzzer, built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.c_objects import build_program, is_asked
from vnic.fuzz.coverage import Coverage

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
REPORT = ROOT / "build" / "fuzz-coverage.json"
POSIX = ("-std=c11", "-D_POSIX_C_SOURCE=200809L")
FUZZER = ("fuzz_card.c", "judge.c", "author.c", "author_op.c", "world.c", "tamper.c", "bring_up.c")

_COVERAGE = Coverage()


@pytest.fixture(scope="session")
def coverage() -> Coverage:
    """What all examples of this folder reached."""
    return _COVERAGE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was reached, and write it as JSON."""
    if _COVERAGE.programs:
        terminalreporter.section("hostile programs reached")
        for line in _COVERAGE.summary():
            terminalreporter.write_line(line)
        _COVERAGE.write(REPORT)


def build_fuzzer(folder: Path) -> Path:
    """Compile the card and its C fuzzer into a program."""
    files = [HERE / name for name in FUZZER]
    return build_program(folder / "fuzz_card", files, *POSIX, f"-I{HERE}")


@pytest.fixture(scope="session")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C fuzzer as a program of its own; for coverage it is built where the report looks."""
    folder = ROOT / "build/tests-fuzz" if is_asked("VNIC_COVERAGE") else tmp_path_factory.mktemp("fuzz")
    folder.mkdir(parents=True, exist_ok=True)
    return build_fuzzer(folder)
