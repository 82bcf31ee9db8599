"""What `vnic conformance` says of a driver in a copy of the project: which cases fail, or the first."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

LINE = re.compile(r"^(PASSED|FAILED|HUNG|CRASHED|NOT SUPPORTED) +(\S+) +\d+ ms")
BAD = ("FAILED", "HUNG", "CRASHED")


@dataclass(slots=True)
class Judgement:
    """`failed`: verdict by case; `said` the last lines when there was no verdict at all."""

    failed: dict[str, str] = field(default_factory=dict)
    cases: int = 0
    is_over_time: bool = False
    said: str = ""

    @property
    def is_void(self) -> bool:
        """The suite did not run, so this says nothing about the driver."""
        return self.cases == 0 and not self.is_over_time


@contextmanager
def _running(root: Path, driver: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """The suite in a process group of its own, of which nothing is left afterwards."""
    command = [sys.executable, "-u", "-m", "vnic", "conformance", "--driver", driver, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as child:
        try:
            yield child
        finally:
            _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):  # it may have ended by itself, and its cases with it
        os.killpg(child.pid, signal.SIGKILL)


def judge(
    root: Path,
    driver: str,
    *,
    limit_seconds: float,
    is_first_enough: bool = False,
    known: frozenset[str] = frozenset(),
    arguments: Sequence[str] = (),
) -> Judgement:
    """Judge a driver by the project in `root`; `known` cases fail in any case and count for nothing."""
    found = Judgement()
    tail: list[str] = []
    with _running(root, driver, arguments) as child:
        timer = threading.Timer(limit_seconds, _expire, (child, found))
        timer.start()
        assert child.stdout is not None
        for line in child.stdout:
            tail = [*tail[-9:], line]
            note(line, known, found)
            if found.failed and is_first_enough:
                break
        timer.cancel()
    found.said = "".join(tail)
    return found


def _expire(child: subprocess.Popen[str], found: Judgement) -> None:
    found.is_over_time = True
    _end(child)


def note(line: str, known: frozenset[str], found: Judgement) -> None:
    match = LINE.match(line)
    if match is None:
        return
    found.cases += 1
    if match[1] in BAD and match[2] not in known:
        found.failed[match[2]] = match[1]
