"""Benchmarks in C that bring their peers along and compare by themselves, one JSON line a comparison."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .harness import Comparison, Goal, Outcome, Summary
from .workshop import BuildError, Workshop

RUN_SECONDS = 300


@dataclass
class KernelBenchmark:
    """A C program whose rounds interleave inside it; here it is built, run and held against the goals.

    `kernels` are compiled with `kernel_flags`, as the package does it; `source` for the machine at hand, with
    `define` and the flags of `package` when that is installed. Goals are ratios by (work, peer).
    """

    name: str
    title: str
    source: Path
    goals: Mapping[tuple[str, str], float]
    kernels: Sequence[Path] = ()
    kernel_flags: Sequence[str] = ()
    package: str | None = None
    define: str = ""
    debian: str = ""

    def run(self, shop: Workshop, rounds: int, effort: float, tell: Callable[[str], None]) -> Outcome:
        """Build, run once, read the lines; the program sizes its rounds by itself."""
        outcome = Outcome(self.name, self.title)
        tell(f"{self.name}: building")
        program = self._build(shop, outcome)
        if program is None:
            return outcome
        tell(f"{self.name}: running")
        try:
            done = subprocess.run(
                [str(program), str(rounds)], capture_output=True, text=True, timeout=RUN_SECONDS, check=True
            )
        except subprocess.SubprocessError as error:
            outcome.failed.append(f"{self.name}: {error}")
            return outcome
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                self._take(json.loads(line), outcome)
        return outcome

    def _build(self, shop: Workshop, outcome: Outcome) -> Path | None:
        if not self.source.is_file() or not shop.can_compile():
            outcome.skipped.append(
                f"{self.name}: no {self.source.name if shop.can_compile() else 'C compiler'}"
            )
            return None
        flags, libraries = self._package_flags(shop, outcome)
        try:
            objects = shop.objects(self.kernels, self.kernel_flags)
            bench = [*self.kernel_flags, *flags, "-O2", "-march=native"]
            return shop.program(self.name, [self.source, *objects], bench, libraries)
        except BuildError as error:
            outcome.failed.append(f"{self.name} does not build: {error}")
            return None

    def _package_flags(self, shop: Workshop, outcome: Outcome) -> tuple[list[str], list[str]]:
        if self.package is None:
            return [], []
        found = shop.package_flags(self.package)
        if found is None:
            outcome.skipped.append(
                f"peers of {self.name}: no {self.package} (Debian: {self.debian}, pkg-config)"
            )
            return [], []
        return [*found[0], f"-D{self.define}"], found[1]

    def _take(self, line: dict[str, object], outcome: Outcome) -> None:
        work = str(line["name"])
        if "skipped" in line:
            outcome.skipped.append(f"{work}: {line['skipped']}")
            return
        ours_ns = float(str(line["ours_ns"]))
        if line.get("peer_ns") is None:
            outcome.figures[work] = Summary.of([ours_ns])
            return
        peer, peer_ns = str(line["peer"]), float(str(line["peer_ns"]))
        goal = Goal(work, "kernel", (peer,), at_least=self.goals.get((work, peer)))
        outcome.comparisons.append(Comparison(goal, ours_ns, peer, peer_ns))
