"""Steps taken together do what the same steps do one by one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.c_objects import build_folder, build_program

ROOT = Path(__file__).resolve().parents[2]
WORLDS = 60


@pytest.fixture(scope="module")
def burst_equal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that compares; for coverage it is built where the report looks."""
    folder = build_folder("burst", tmp_path_factory)
    return build_program(folder / "burst_equal", [Path(__file__).with_name("burst_equal.c")], "-std=gnu11")


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
