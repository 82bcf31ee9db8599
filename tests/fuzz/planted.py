"""`python -m tests.fuzz.planted`: does each target find again the bugs that were planted in a copy?"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.campaign import Campaign
from tests.fuzz.planted_bugs import BUGS, Bug
from tests.fuzz.planted_more import MORE
from tests.fuzz.workshop import FLAVOURS, HARNESS, ROOT, BuildError, Workshop, has_libfuzzer, targets

SECONDS = 120.0
SLICE_SECONDS = 15.0
#: An input that takes so long is one that never ends; others may want the processors, too.
INPUT_SECONDS = 10


@dataclass(frozen=True)
class Verdict:
    """Whether and how a bug was found; seconds of processor time."""

    target: str
    kind: str
    file: str
    broken: str
    is_found: bool
    seconds: float
    cause: str


def _survives(healthy: Path, found: Path) -> bool:
    """Whether it is the bug that is found: a program without it survives the input."""
    command = [str(healthy), f"-timeout={INPUT_SECONDS}", str(found)]
    return found.is_file() and subprocess.run(command, check=False, capture_output=True).returncode == 0


class Trial:
    """A copy of what targets are made of with one bug at a time; objects of whole files are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copy = folder / "copy"
        for part in ("csrc", HARNESS, "vnic/examples"):
            shutil.copytree(ROOT / part, self.copy / part, dirs_exist_ok=True)
        self.workshop = Workshop(folder / "build", self.copy)

    def run(self, bug: Bug, seconds: float) -> Verdict:
        """Plant it, fuzz until it is found or time is over, and heal the copy."""
        path = self.copy / bug.fault.file
        whole = path.read_bytes()
        healthy = self.workshop.build(targets()[bug.target], FLAVOURS[bug.sanitizer])
        bug.fault.seed(self.copy)
        try:
            return self._search(bug, seconds, healthy)
        finally:
            path.write_bytes(whole)

    def _search(self, bug: Bug, seconds: float, healthy: Path) -> Verdict:
        target, flavour = targets()[bug.target], FLAVOURS[bug.sanitizer]
        where = self.folder / "trial"
        shutil.rmtree(where, ignore_errors=True)
        said = (bug.target, bug.kind, bug.fault.file, bug.fault.broken)
        try:
            program = self.workshop.build(target, flavour)
        except BuildError as error:
            return Verdict(*said, is_found=False, seconds=0.0, cause=f"does not build: {error}")
        campaign = Campaign(target, flavour, program, where, input_seconds=INPUT_SECONDS)
        clock = time.monotonic()
        seed = 1
        while campaign.outcome.cpu_seconds < seconds and not campaign.outcome.findings:
            campaign.slice(SLICE_SECONDS, seed)
            seed += 1
            if time.monotonic() - clock > 10 * seconds + 60:
                break
        found = campaign.outcome.findings
        cause = found[0].cause if found else f"{campaign.outcome.executions} executions"
        is_found = bool(found)
        if found and not _survives(healthy, Path(found[0].input)):
            is_found, cause = False, f"without the bug, too: {cause}"
        return Verdict(*said, is_found, campaign.outcome.cpu_seconds, cause)


def line(verdict: Verdict) -> str:
    """A bug in a line, and below how it showed."""
    mark = "found" if verdict.is_found else "NOT FOUND"
    head = f"{verdict.target:9} {verdict.kind:13} {mark:9} {verdict.seconds:6.1f} s  {verdict.broken}"
    return f"{head}\n{'':42}{verdict.cause[:110]}"


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.planted", description=__doc__)
    parser.add_argument("--target", action="append", choices=list(targets()), help="default: all")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"processor time a bug ({SECONDS:g})")
    parser.add_argument("--folder", type=Path, help="work there and leave it; else in a temporary folder")
    parser.add_argument("--only", action="append", type=int, metavar="N", help="numbers of bugs, by --list")
    parser.add_argument("--more", action="store_true", help="the second five of each target")
    parser.add_argument("--list", action="store_true", help="the bugs, without planting them")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


def chosen(wanted: argparse.Namespace) -> list[Bug]:
    """The bugs that the command line asks for."""
    return [
        bug
        for number, bug in enumerate(MORE if wanted.more else BUGS)
        if (not wanted.target or bug.target in wanted.target) and (not wanted.only or number in wanted.only)
    ]


def run_all(wanted: argparse.Namespace, folder: Path) -> list[Verdict]:
    """One bug after the other."""
    trial = Trial(folder.resolve())
    verdicts = []
    for bug in chosen(wanted):
        verdicts.append(trial.run(bug, wanted.seconds))
        print(line(verdicts[-1]), flush=True)
    return verdicts


def main() -> int:
    """Exit status: 1 when a bug was not found, 2 when there is no libFuzzer."""
    wanted = options()
    if wanted.list:
        for number, bug in enumerate(MORE if wanted.more else BUGS):
            print(f"{number:3} {bug.target:9} {bug.kind:13} {bug.fault.file}: {bug.fault.broken}")
        return 0
    if not has_libfuzzer():
        print("no clang with libFuzzer here", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="vnic-planted-") as temporary:
        verdicts = run_all(wanted, wanted.folder or Path(temporary))
    found = sum(verdict.is_found for verdict in verdicts)
    print(f"{found} of {len(verdicts)} planted bugs found")
    if wanted.json:
        wanted.json.write_text(json.dumps([asdict(v) for v in verdicts], indent=1) + "\n", encoding="utf-8")
    return 0 if found == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
