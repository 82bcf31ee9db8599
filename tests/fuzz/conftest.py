"""How many examples, what they reached at the end of the run, and the C fuzzer, built."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vnic.fuzz.coverage import Coverage

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
REPORT = ROOT / "build" / "fuzz-coverage.json"
STRICT = [
    "-std=c11",
    "-D_POSIX_C_SOURCE=200809L",
    "-Wall",
    "-Wextra",
    "-Wstrict-prototypes",
    "-Wconversion",
    "-Wshadow",
    "-Werror",
]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g"]
CARD = ("base", "gen", "wire", "pci", "nic")
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


def is_asked(name: str) -> bool:
    """Whether an environment variable selects a flavour of the build."""
    return os.environ.get(name, "0") not in ("", "0")


def build_fuzzer(folder: Path) -> Path:
    """Compile the card and its C fuzzer into a program."""
    flags = [*STRICT, "-O1", *(SANITIZE if is_asked("VNIC_SANITIZE") else [])]
    flags += ["--coverage"] if is_asked("VNIC_COVERAGE") else []
    target = folder / "fuzz_card"
    include = [f"-I{ROOT / part}" for part in ("csrc", "csrc/include", "tests/fuzz")]
    card = [path for room in CARD for path in sorted((ROOT / "csrc" / room).glob("*.c"))]
    files = [*(HERE / name for name in FUZZER), *card]
    command = ["gcc", *flags, *include, "-o", str(target), *map(str, files)]
    subprocess.run(command, check=True, timeout=300, cwd=folder)
    return target


@pytest.fixture(scope="session")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C fuzzer as a program of its own; for coverage it is built where the report looks."""
    folder = ROOT / "build/tests-fuzz" if is_asked("VNIC_COVERAGE") else tmp_path_factory.mktemp("fuzz")
    folder.mkdir(parents=True, exist_ok=True)
    return build_fuzzer(folder)
