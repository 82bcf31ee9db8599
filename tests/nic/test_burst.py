"""Steps taken together do what the same steps do one by one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-Wstrict-prototypes"]
FLAGS = ["-std=gnu11", "-O1", *STRICT]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g"]
CARD = ("base", "gen", "wire", "pci", "nic")
WORLDS = 60


def is_asked(name: str) -> bool:
    """Whether an environment variable selects a flavour of the build."""
    return os.environ.get(name, "0") not in ("", "0")


@pytest.fixture(scope="module")
def burst_equal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that compares; for coverage it is built where the report looks."""
    folder = ROOT / "build/tests-burst" if is_asked("VNIC_COVERAGE") else tmp_path_factory.mktemp("burst")
    folder.mkdir(parents=True, exist_ok=True)
    flags = [*FLAGS, *(SANITIZE if is_asked("VNIC_SANITIZE") else [])]
    flags += ["--coverage"] if is_asked("VNIC_COVERAGE") else []
    program = folder / "burst_equal"
    card = [path for room in CARD for path in sorted((CSRC / room).glob("*.c"))]
    sources = map(str, [Path(__file__).with_name("burst_equal.c"), *card])
    command = ["gcc", *flags, f"-I{CSRC}", f"-I{CSRC / 'include'}", "-o", str(program), *sources]
    subprocess.run(command, check=True, timeout=240, cwd=folder)
    return program


@pytest.mark.requirement("RUN-2", "RUN-6", "RUN-7")
def test_bursts_equal_single_steps(burst_equal: Path) -> None:
    """Random rings, frames, settings and budgets: memory, state hash, frames and bytes agree at each stop."""
    command = [str(burst_equal), str(WORLDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.replace(",", "").split()
    worlds, comparisons, steps = (int(word) for word in words if word.isdigit())
    assert worlds == WORLDS
    assert comparisons > 20 * WORLDS
    assert steps > 10 * comparisons
