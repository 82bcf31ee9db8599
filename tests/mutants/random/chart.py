"""The chart: which tests enter which lines of the C core, found by one run of the suite."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import or_
from pathlib import Path

from tests.mutants.random import watch
from tests.mutants.workshop import Workshop

HERE = Path(__file__).resolve().parent
SECONDS = 1800
#: Tests that do not run the core in this process, or try others in other builds.
LEFT_OUT = (
    "tests/layers",
    "tests/mutants",
    "tests/mutants/random",
    "tests/bars",
    "tests/perf",
    "tests/conformance",
)
COVERAGE = ("-O0", "-gline-tables-only", "-fsanitize-coverage=edge,no-prune,inline-bool-flag,pc-table")
#: Programs that tests compile are watched as the module is, when they are libraries in the same process.
_GCC = """#!/bin/sh
exec {clang} -Qunused-arguments "$@" {flags} -w {agent}
"""


class Chart:
    """Tests by line, as far as blocks tell."""

    def __init__(self, tests: list[tuple[str, float]], lines: dict[str, dict[int, int]]) -> None:
        self.tests = tests
        self._lines = lines
        self._starts = {file: sorted(of) for file, of in lines.items()}

    def knows(self, file: str) -> bool:
        """Whether any test enters the file."""
        return file in self._lines

    def of(self, file: str, line: int) -> list[int]:
        """Numbers of tests that enter a line: a block begins before it, or further on in its statement."""
        starts = self._starts.get(file, [])
        at = bisect_right(starts, line)
        near = [self._lines[file][start] for start in starts[max(at - 1, 0) : at + 1]]
        bits = reduce(or_, near, 0)
        return [n for n in range(bits.bit_length()) if bits >> n & 1]

    def and_more(self, other: Chart) -> Chart:
        """With the tests of another chart beside; of one that both have, the other's lines."""
        anew = {name for name, _ in other.tests}
        old = sum(1 << n for n, (name, _) in enumerate(self.tests) if name not in anew)
        shift = len(self.tests)
        lines: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for file, of in self._lines.items():
            for start, bits in of.items():
                lines[file][start] = bits & old
        for file, of in other._lines.items():
            for start, bits in of.items():
                lines[file][start] |= bits << shift
        return Chart([*self.tests, *other.tests], lines)

    def write(self, path: Path) -> None:
        """As compressed JSON."""
        lines = {file: {str(n): f"{bits:x}" for n, bits in of.items()} for file, of in self._lines.items()}
        with gzip.open(path, "wt", encoding="utf-8") as out:
            json.dump({"tests": self.tests, "lines": lines}, out)

    @classmethod
    def read(cls, path: Path) -> Chart:
        """What `write` wrote."""
        with gzip.open(path, "rt", encoding="utf-8") as source:
            found = json.load(source)
        lines = {
            file: {int(n): int(bits, 16) for n, bits in of.items()} for file, of in found["lines"].items()
        }
        return cls([(test, seconds) for test, seconds in found["tests"]], lines)


def _wrap_compiler(folder: Path) -> Path:
    """A folder with a `gcc` that builds what the agent can watch."""
    agent = folder / watch.AGENT
    command = ["clang", "-shared", "-fPIC", "-O1", str(HERE / "agent.c"), "-o", str(agent), "-ldl"]
    subprocess.run(command, check=True, timeout=SECONDS)
    wrapper = folder / "bin" / "gcc"
    wrapper.parent.mkdir(exist_ok=True)
    clang = shutil.which("clang") or "clang"
    wrapper.write_text(_GCC.format(clang=clang, flags=" ".join(COVERAGE), agent=agent), encoding="utf-8")
    wrapper.chmod(0o755)
    return wrapper.parent


def _places(module: str, addresses: Iterable[int]) -> list[tuple[str, int] | None]:
    """File below the root and line of each address."""
    # The address of a block that the compiler has dropped lies before the module.
    asked = "".join(f"{max(address, 0):#x}\n" for address in addresses)
    command = ["llvm-symbolizer", "--no-inlines", "--functions=none", f"--obj={module}"]
    said = subprocess.run(command, input=asked, text=True, capture_output=True, timeout=SECONDS, check=True)
    found: list[tuple[str, int] | None] = []
    for line in said.stdout.split():
        path, number, _ = line.rsplit(":", 2)
        at = path.find("csrc/")
        found.append((path[at:], int(number)) if at >= 0 else None)
    return found


class _Part:
    """What one process wrote."""

    def __init__(self, path: Path) -> None:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        self.modules = {row["module"]: row for row in rows if "module" in row}
        self.tests = [row for row in rows if "test" in row]

    def columns(self, number: int) -> Iterator[tuple[int, int]]:
        """Blocks of a module that tests enter: the number of each, and the tests as bits."""
        width = len(self.modules[number]["addresses"])
        nothing = bytes(width)
        each = (row["entered"].get(str(number)) for row in self.tests)
        table = b"".join(nothing if text is None else watch.unpacked(text) for text in each)
        for block in range(width):
            column = table[block::width]
            if any(column):
                yield block, int(column[::-1].translate(_DIGITS), 2)


#: A flag as a binary digit.
_DIGITS = bytes([ord("0")]) + bytes([ord("1")]) * 255


def _merge(parts: Sequence[_Part]) -> Chart:
    tests: list[tuple[str, float]] = []
    lines: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    known: dict[str, list[tuple[str, int] | None]] = {}
    for part in parts:
        for number, module in part.modules.items():
            if not module["addresses"]:
                continue
            path = module["path"]
            known[path] = known.get(path) or _places(path, module["addresses"])
            for place in known[path]:
                if place is not None:
                    lines[place[0]][place[1]] |= 0
            for block, bits in part.columns(number):
                place = known[path][block]
                if place is not None:
                    lines[place[0]][place[1]] |= bits << len(tests)
        tests += [(row["test"], row["seconds"]) for row in part.tests]
    return Chart(tests, lines)


def _rooms(folder: Path, asked: Sequence[str]) -> list[str]:
    """What one process each runs: if a test ends it, the others go on."""
    if list(asked) != ["tests"]:
        return list(asked)
    found = [path.parent for path in (folder / "tests").rglob("test_*.py")]
    return sorted({str(path.relative_to(folder)) for path in found} - set(LEFT_OUT))


def draw(folder: Path, asked: Sequence[str]) -> Chart:
    """Build the project there, run its tests under watch, and chart them; ten minutes for the whole suite."""
    workshop = Workshop(folder)
    workshop.compiler, workshop.options = ["clang", "-w"], COVERAGE
    workshop.open()
    for old in folder.glob("part-*.jsonl"):
        old.unlink()
    path = f"{_wrap_compiler(folder)}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, watch.FOLDER: str(folder), "PYTHONPATH": str(folder)}
    environment["LD_PRELOAD"] = str(folder / watch.AGENT)

    def run(room: str) -> None:
        name = room.replace("/", "-")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", watch.__name__]
        command += [f"--basetemp={folder / 'build' / name}", *sorted(_own(folder, room))]
        with (folder / f"{name}.log").open("w") as log:
            subprocess.run(
                command, cwd=folder, env=environment, stdout=log, stderr=log, check=False, timeout=SECONDS
            )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, _rooms(folder, asked)))
    return _merge([_Part(part) for part in sorted(folder.glob("part-*.jsonl"))])


def _own(folder: Path, room: str) -> list[str]:
    """The test files of a folder, without those below."""
    path = folder / room
    return [str(each) for each in path.glob("test_*.py")] if path.is_dir() else [room]
