"""A trial: the tests that are marked with invariants, run in a workshop, and what came of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

#: Where the drivers and the card are tested comes first: it is there that a fault shows.
ORDER = ("copy", "netdma", "nic", "miniport", "protocol", "chimney", "wire", "spec", "ndis")
#: Seeds faults of its own: with one more there its failure says nothing.
LEFT_OUT = "test_chimney_faults.py"
PASSED, FAILED = 0, 1


class Verdict(Enum):
    """What the tests said."""

    PASSED = "NOT caught"
    FAILED = "caught"
    HUNG = "caught (hangs)"
    CRASHED = "caught (crashes)"
    #: The tests could not be run: this says nothing.
    BROKEN = "CANNOT BE TRIED"

    @property
    def is_caught(self) -> bool:
        """Whether a test noticed."""
        return self in (Verdict.FAILED, Verdict.HUNG, Verdict.CRASHED)


class Result(NamedTuple):
    """`witness`: the first test that failed, or what was said instead."""

    verdict: Verdict
    seconds: float
    witness: str


def marked_files(root: Path, invariants: Sequence[str]) -> list[str]:
    """Test files that name one of the invariants."""
    wanted = tuple(f'"{invariant}"' for invariant in invariants)
    found = [
        str(path.relative_to(root))
        for path in sorted((root / "tests").rglob("test_*.py"))
        if path.name != LEFT_OUT and any(name in path.read_text(encoding="utf-8") for name in wanted)
    ]
    return sorted(found, key=_place)


def _place(path: str) -> int:
    folder = path.split("/")[1]
    return ORDER.index(folder) if folder in ORDER else len(ORDER)


def run(root: Path, invariants: Sequence[str], limit_seconds: float) -> Result:
    """Run the tests of invariants until the first fails, or the time is over."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    for invariant in invariants:
        command += ["--requirement", invariant]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    began = time.monotonic()
    with subprocess.Popen(
        [*command, *marked_files(root, invariants)],
        cwd=root,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as child:
        try:
            said, _ = child.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            return Result(Verdict.HUNG, time.monotonic() - began, f"{limit_seconds:.0f} s are over")
    return Result(_verdict(child.returncode), time.monotonic() - began, _witness(said))


def _verdict(code: int) -> Verdict:
    if code < 0:
        return Verdict.CRASHED
    return {PASSED: Verdict.PASSED, FAILED: Verdict.FAILED}.get(code, Verdict.BROKEN)


def _witness(said: str) -> str:
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    return found[1] if found else said.strip().rpartition("\n")[2]
