"""Each allocation of the core fails once: the call says so, nothing is left behind, the next try succeeds.

A child does it: the calls of the compiled module are replaced for good.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-Wstrict-prototypes"]
SECONDS = 120
#: At least so many allocations does each make.
LEAST = {
    "card": 6, "card with a chimney": 15, "card of many connections": 15, "copy engine": 4, "stack": 30,
    "stack of many": 30, "stack in lent memory": 25, "TCP engine": 4, "recorder": 2, "replay": 3,
}  # fmt: skip


@pytest.fixture
def found(tmp_path: Path, python_environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What the child found, by the name of what it made."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        pytest.skip("this processor lacks relocations that the test knows")
    library = tmp_path / "scarce.so"
    command = ["gcc", *STRICT, "-O1", "-fPIC", "-shared", str(HERE / "scarce_memory.c"), "-o", str(library)]
    subprocess.run(command, check=True, timeout=SECONDS)
    child = subprocess.run(
        [sys.executable, str(HERE / "scarce_memory.py"), str(library)],
        env=python_environment, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-3000:]
    told: dict[str, dict[str, Any]] = json.loads(child.stdout)
    return told


def test_what_cannot_be_made_leaves_nothing_behind(found: dict[str, dict[str, Any]]) -> None:
    assert {name: each["wrong"] for name, each in found.items()} == {name: [] for name in LEAST}
    assert [name for name, least in LEAST.items() if found[name]["allocations"] < least] == []
