"""How many examples, what they reached at the end of the run, and the C fuzzers, built."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.c_objects import INCLUDE, WARNINGS, build_folder, flavour, objects_of
from tests.fuzz import kept
from tests.fuzz.workshop import HARNESS, HERE, LANGUAGE, ROOT, Target, files_of, targets
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


def _compile(folder: Path, files: set[Path]) -> None:
    """Every file once, shared out between compilers that run at once."""
    sources = sorted(map(str, files))
    own = [f"-I{HERE}", f"-I{ROOT / HARNESS}"]
    command = ["gcc", *LANGUAGE, *WARNINGS, *flavour(), *QUICK, *INCLUDE, *own, "-c"]
    running = [
        subprocess.Popen([*command, *sources[n::COMPILERS]], cwd=folder)
        for n in range(COMPILERS)
        if sources[n::COMPILERS]
    ]
    assert [process.wait(timeout=SECONDS) for process in running] == [0] * len(running)


def _objects(folder: Path, names: Sequence[str]) -> list[str]:
    """The files of some names, compiled where that has not been done."""
    files = [path for name in names for path in files_of(name)]
    missing = {path for path in files if not (folder / f"{path.stem}.o").exists()}
    if missing:
        _compile(folder, missing)
    return [str(folder / f"{path.stem}.o") for path in files]


def _program(folder: Path, target: Target) -> Path:
    """A target as a program that runs files, or random inputs for some seconds."""
    program = folder / f"fuzz_{target.name}"
    objects = _objects(folder, (*target.sources, *target.alone))
    command = ["gcc", *flavour(), *objects, *objects_of(target.rooms, flavour()), "-o", str(program)]
    subprocess.run(command, check=True, timeout=SECONDS)
    return program


@pytest.fixture(scope="session")
def fuzz_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they are compiled; for coverage where the report looks."""
    return build_folder("fuzz", tmp_path_factory)


@pytest.fixture(scope="session")
def fuzz_program(fuzz_folder: Path) -> Callable[[str], Path]:
    """Target by name, as a program."""
    return functools.cache(lambda name: _program(fuzz_folder, targets()[name]))


def _kept_program(folder: Path, target: Target) -> Path:
    """A target as a program that says all that the core does with its inputs."""
    own = _objects(folder, kept.sources(target))
    core = objects_of(target.rooms, flavour())
    return kept.link(["gcc", *flavour()], own, core, folder / f"kept_{target.name}")


@pytest.fixture(scope="session")
def kept_program(fuzz_folder: Path) -> Callable[[str], Path]:
    """Target by name, as a program that keeps what is done."""
    return functools.cache(lambda name: _kept_program(fuzz_folder, kept.all_targets()[name]))


@pytest.fixture(scope="session")
def fuzzer(fuzz_program: Callable[[str], Path]) -> Path:
    """The judge of programs, which also prints them."""
    return fuzz_program("twins")
