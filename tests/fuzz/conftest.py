"""How many examples, what they reached at the end of the run, and the C fuzzers, built."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.c_objects import INCLUDE, WARNINGS, build_folder, flavour, objects_of
from tests.fuzz.workshop import HERE, LANGUAGE, ROOT, Target, targets
from vnic.fuzz.coverage import Coverage

REPORT = ROOT / "build" / "fuzz-coverage.json"
COMPILERS = 2
SECONDS = 240
#: Of the targets' own files: they are compiled in every run.
QUICK = ["-O0"]

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


def _compile(folder: Path, names: set[str]) -> None:
    """Every file once, shared out between compilers that run at once."""
    sources = sorted(str(HERE / f"{name}.c") for name in names)
    command = ["gcc", *LANGUAGE, *WARNINGS, *flavour(), *QUICK, *INCLUDE, f"-I{HERE}", "-c"]
    running = [
        subprocess.Popen([*command, *sources[n::COMPILERS]], cwd=folder)
        for n in range(COMPILERS)
        if sources[n::COMPILERS]
    ]
    assert [process.wait(timeout=SECONDS) for process in running] == [0] * len(running)


def _program(folder: Path, target: Target) -> Path:
    """A target as a program that runs files, or random inputs for some seconds."""
    names = (*target.sources, *target.alone)
    missing = {name for name in names if not (folder / f"{name}.o").exists()}
    if missing:
        _compile(folder, missing)
    program = folder / f"fuzz_{target.name}"
    objects = [str(folder / f"{name}.o") for name in names]
    command = ["gcc", *flavour(), *objects, *objects_of(target.rooms, flavour()), "-o", str(program)]
    subprocess.run(command, check=True, timeout=SECONDS)
    return program


@pytest.fixture(scope="session")
def fuzz_program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Target by name, as a program; for coverage they are built where the report looks."""
    folder = build_folder("fuzz", tmp_path_factory)
    return functools.cache(lambda name: _program(folder, targets()[name]))


@pytest.fixture(scope="session")
def fuzzer(fuzz_program: Callable[[str], Path]) -> Path:
    """The judge of programs, which also prints them."""
    return fuzz_program("twins")
