"""Builds the program that runs a scene in virtual time, runs it, and sums up the seeds."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bars.scene import Scene

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent.parent / "csrc"
ENGINE = ("base", "wire", "tcp")
BUILD_SECONDS, RUN_SECONDS = 120, 300


@dataclass(frozen=True)
class Run:
    """What one seed gave; counts of packets, times in ns."""

    seed: int
    delivered: list[int]
    seconds: int
    lost: int
    retransmitted: int
    timeouts: int
    spurious: int
    undone: int
    recoveries: int
    probes: int
    short_of: int  # nodes or recovery entries
    stall_ns: int

    @property
    def mbps(self) -> float:
        """Goodput of all flows together."""
        return sum(self.delivered) * 8 / self.seconds / 1e6

    @property
    def jain(self) -> float:
        """Jain's index of the flows: 1 is equal shares."""
        return sum(self.delivered) ** 2 / (len(self.delivered) * sum(share**2 for share in self.delivered))


@dataclass(frozen=True)
class Result:
    """A scene and its seeds."""

    scene: Scene
    runs: list[Run]

    @property
    def mbps(self) -> float:
        """Median goodput."""
        return median(run.mbps for run in self.runs)

    @property
    def ratio(self) -> float:
        """Median goodput over theory."""
        return self.mbps / self.scene.theory_mbps

    @property
    def sent_again(self) -> float:
        """Packets sent again for each that was lost, all seeds together; 0 when none was."""
        lost = sum(run.lost for run in self.runs)
        return sum(run.retransmitted for run in self.runs) / lost if lost else 0.0

    @property
    def spurious(self) -> int:
        """Timeouts while nothing outstanding was lost, all seeds together."""
        return sum(run.spurious for run in self.runs)

    @property
    def timeouts(self) -> float:
        """Timeouts, mean of the seeds."""
        return sum(run.timeouts for run in self.runs) / len(self.runs)

    @property
    def stall_s(self) -> float:
        """The 95th percentile over the seeds of the longest time without progress, in s."""
        stalls = sorted(run.stall_ns for run in self.runs)
        return stalls[math.ceil(0.95 * len(stalls)) - 1] / 1e9

    @property
    def jain(self) -> float:
        """Median of Jain's index."""
        return median(run.jain for run in self.runs)

    def failures(self) -> Iterator[str]:
        """The bars that are missed; empty when all are met."""
        scene = self.scene
        if not scene.loss_ppm and not scene.reorder_ppm and self.ratio < 0.95:
            yield f"{self.ratio:.2f} of the ceiling, 0.95 wanted"
        if scene.loss_ppm in (1_000, 10_000) and scene.flows == 1 and not 0.8 <= self.ratio <= 1.25:
            yield f"{self.ratio:.2f} of Mathis, 0.8 to 1.25 wanted"
        if scene.reorder_ppm == 10_000 and self.ratio < 0.85:
            yield f"{self.ratio:.2f} of the ceiling, 0.85 wanted"
        if scene.loss_ppm <= 10_000 and self.spurious:
            yield f"{self.spurious} spurious timeouts"
        if scene.loss_ppm and self.sent_again > 1.2:
            yield f"{self.sent_again:.2f} packets sent again for each lost, 1.2 at most"
        if self.stall_s > 3:
            yield f"stalled for {self.stall_s:.1f} s, 3 s at most"
        if self.jain < 0.9:
            yield f"Jain's index {self.jain:.2f}, 0.9 wanted"


def compiler() -> str | None:
    """The C compiler, if there is one."""
    return shutil.which(os.environ.get("CC", "cc"))


def build(folder: Path, flags: Sequence[str] = ("-O2",), engine: Sequence[str] = ()) -> Path:
    """Compile the emulator, and the engine unless its object files are given, into a program.

    Raises: CalledProcessError; RuntimeError when there is no compiler.
    """
    cc = compiler()
    if cc is None:
        raise RuntimeError("no C compiler")
    program = folder / "bars"
    rooms = [HERE] if engine else [*(CSRC / name for name in ENGINE), HERE]
    sources = [*engine, *(str(path) for room in rooms for path in sorted(room.glob("*.c")))]
    command = [cc, "-std=c11", *flags, f"-I{CSRC}", f"-I{HERE}", *sources, "-o", str(program)]
    subprocess.run(command, check=True, timeout=BUILD_SECONDS)
    return program


def measure(program: Path, scene: Scene, seeds: int, *more: str) -> Result:
    """Run seeds 1 to `seeds` of a scene, with more options of the program.

    Raises: CalledProcessError, also when an invariant of the engine broke.
    """
    command = [str(program), *scene.arguments, "--seeds", str(seeds), *more]
    done = subprocess.run(command, check=True, timeout=RUN_SECONDS, capture_output=True, text=True)
    return Result(scene, [Run(**json.loads(line)) for line in done.stdout.splitlines()])
