"""Whether the tests that enter a mutant's line notice it: likely and quick ones first, then the others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

from tests.mutants.random import chosen
from tests.mutants.random.chart import Chart
from tests.mutants.random.inputs import Inputs
from tests.mutants.random.plant import Plant
from tests.mutants.random.sample import Mutant

#: What one start of pytest is worth: so much time of tests, from so many files.
FIRST_SECONDS, FIRST_FILES = 2.0, 5
MORE_SECONDS, MORE_FILES = 12.0, 25
#: A test that takes so much longer than charted hangs.
SLOWER, START_SECONDS = 5, 25
#: Tests of these folders say more about a room than the room's name does.
NEAR = {
    "nic": ("nic", "spec", "miniport", "snapshot"),
    "tcp": ("tcp",),
    "stack": ("stack",),
    "pci": ("pci", "device"),
    "copy": ("copy",),
    "trace": ("trace", "traces"),
    "wire": ("wire",),
    "base": ("snapshot", "tcp", "nic"),
}
#: Tests that hold all that is done against what was done before: few mutants that they enter escape them.
KEPT = ("tests/traces/test_kept.py", "tests/tcp/test_kept_runs.py", "tests/stack/test_kept_runs.py",
        "tests/chimney/test_kept_runs.py")  # fmt: skip
#: A test whose child has the module, so that the chart knows nothing of it.
IN_A_CHILD = ("tests/base/test_scarce_memory.py::test_what_cannot_be_made_leaves_nothing_behind", 2.0)


def ordered(chart: Chart, mutant: Mutant) -> list[int]:
    """The tests that enter the line: kept runs first, then those of its room, quick before slow."""
    room = mutant.file.split("/")[1]
    near = tuple(f"tests/{folder}/" for folder in NEAR[room])
    is_chimney = "chimney" in mutant.file

    def place(number: int) -> tuple[bool, bool, bool, float]:
        name, seconds = chart.tests[number]
        return (
            not name.startswith(KEPT),
            not name.startswith(near),
            is_chimney and "chimney" not in name,
            seconds,
        )

    return sorted(chart.of(mutant.file, mutant.change.line), key=place)


def portions(chart: Chart, numbers: Sequence[int], limit_seconds: float) -> Iterator[list[int]]:
    """What one start of pytest runs, and the next, until the time is up."""
    left, spent, limit, files = list(numbers), 0.0, FIRST_SECONDS, FIRST_FILES
    while left and spent < limit_seconds:
        portion: list[int] = []
        seen: set[str] = set()
        seconds = 0.0
        for number in left:
            name, lasts = chart.tests[number]
            file = name.partition("::")[0]
            if seconds >= limit:
                break
            if file in seen or len(seen) < files:
                seen.add(file)
                portion.append(number)
                seconds += lasts
        taken = set(portion)
        left = [number for number in left if number not in taken]
        spent += seconds
        limit, files = MORE_SECONDS, MORE_FILES
        yield portion


class Trial:
    """Runs tests in the folder where a mutant is planted."""

    def __init__(self, plant: Plant, chart: Chart, inputs: Inputs, limit_seconds: float) -> None:
        self._plant = plant
        self._folder = plant.folder
        self._chart = chart
        self._inputs = inputs
        self._limit_seconds = limit_seconds

    def killer(self, mutant: Mutant) -> str | None:
        """The test that notices, or how it hangs or crashes; nothing when the mutant survives."""
        if (noticed := self._inputs.killer(mutant)) is not None:
            return noticed
        if self._limit_seconds == 0:
            return None
        self._plant.link()
        for portion in portions(self._chart, ordered(self._chart, mutant), self._limit_seconds):
            noticed = self._run([self._chart.tests[number] for number in portion])
            if noticed is not None:
                return noticed
        return self._run([IN_A_CHILD])

    def _run(self, tests: Sequence[tuple[str, float]]) -> str | None:
        names = self._folder / "build" / "chosen.json"
        names.write_text(json.dumps([name for name, _ in tests]), encoding="utf-8")
        files = list(dict.fromkeys(name.partition("::")[0] for name, _ in tests))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            chosen.__name__,
        ]
        command += [
            "--no-header",
            "--tb=no",
            "-p",
            "no:faulthandler",
            f"--basetemp={names.parent / 'pytest'}",
        ]
        environment = {**os.environ, "PYTHONPATH": str(self._folder), chosen.NAMES: str(names)}
        limit = START_SECONDS + SLOWER * sum(seconds for _, seconds in tests)
        with subprocess.Popen(
            [*command, *files],
            cwd=self._folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as child:
            try:
                said, _ = child.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()
                return f"hangs: {limit:.0f} s are over"
        return _noticed(child.returncode, said)


def _noticed(code: int, said: str) -> str | None:
    """What came of a run; RuntimeError when the tests could not be run at all."""
    if code < 0:
        return f"crashes: signal {-code}"
    if code in (0, 5):  # 5: nothing was collected, as when every test skips its module
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    if code == 1 and found:
        return found[1]
    raise RuntimeError(said[-3000:])
