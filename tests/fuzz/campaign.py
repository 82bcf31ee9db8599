"""`python -m tests.fuzz.campaign`: targets under a sanitizer for some CPU minutes, and what they found."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fuzz.workshop import FLAVOURS, Flavour, Target, Workshop, has_libfuzzer, targets

#: Of a slice: coverage is looked at between slices, and a finding costs no more than one.
SLICES = 8
#: Bytes of a new input; those of `card` are short, for two of them see more than one.
INPUT_MOST = {"card": 464, "trace": 16384}
OTHERWISE_MOST = 2048
#: Bytes of one that is kept: all of it counts when a corpus is replayed or merged.
KEPT_MOST = 1 << 18
INPUT_SECONDS = 20
#: Figures at the end, and no symbolizer for each new function.
SAYING = ("-print_final_stats=1", "-print_funcs=0")
SUFFIXES = {"card": "ops", "twins": "ops", "trace": "pcapng"}
#: How the names of kept inputs begin that a target did not survive once.
FOUND_ONCE = "bug-"
_COVERAGE = re.compile(r"^#(\d+)\t\w+\s+cov: (\d+) ft: (\d+)", re.MULTILINE)
_CAUSES = (
    re.compile(r"^SUMMARY: \w+Sanitizer: (.*)$", re.MULTILINE),
    re.compile(
        r"^((?:card|twins|segment|image|chimney|copy engine|snapshot|trace|driver): .*)$", re.MULTILINE
    ),
    re.compile(r"^==\d+== ERROR: (.*)$", re.MULTILINE),
)


@dataclass(frozen=True)
class Finding:
    """An input that is not survived, and the line that says why."""

    cause: str
    input: str


@dataclass
class Outcome:
    """What a campaign of a target came to; edges and features are libFuzzer's `cov` and `ft`."""

    target: str
    sanitizer: str
    cpu_seconds: float = 0.0
    executions: int = 0
    edges_at_start: int = 0
    edges_at_half: int = 0
    edges: int = 0
    features: int = 0
    corpus: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Executions a second of processor time."""
        return self.executions / self.cpu_seconds if self.cpu_seconds else 0.0


def cause_of(said: str) -> str:
    """The first line that says what went wrong, without what differs from run to run."""
    judged = _CAUSES[1].search(said)
    for pattern in _CAUSES:
        if (match := pattern.search(said)) and not (judged and "deadly signal" in match[1]):
            return re.sub(r" \(at byte \d+\)$|0x[0-9a-f]+", "", match[1]).strip()
    return "ended without a word"


class Campaign:
    """Runs one program in `folder`, where `corpus` has inputs and `found` those it did not survive."""

    def __init__(
        self,
        target: Target,
        flavour: Flavour,
        program: Path,
        folder: Path,
        *,
        input_seconds: int = INPUT_SECONDS,
    ) -> None:
        self.target, self.program, self.folder, self.input_seconds = target, program, folder, input_seconds
        self.outcome = Outcome(target.name, flavour.name)
        self.corpus, self.found = folder / "corpus", folder / "found"
        for path in (self.corpus, self.found):
            path.mkdir(parents=True, exist_ok=True)

    def run(self, cpu_seconds: float, seed: int) -> Outcome:
        """Until the processor time is used up; a finding ends a slice, not the campaign."""
        outcome = self.outcome
        outcome.edges_at_start = self._replay()
        number, clock = 0, time.monotonic()
        while outcome.cpu_seconds < cpu_seconds and cpu_seconds > 0:
            left = cpu_seconds - outcome.cpu_seconds
            self.slice(min(left, max(cpu_seconds / SLICES, 1.0)), seed + number)
            number += 1
            if not outcome.edges_at_half and outcome.cpu_seconds >= cpu_seconds / 2:
                outcome.edges_at_half = outcome.edges
            if time.monotonic() - clock > 20 * cpu_seconds + 600:
                break
        self.merge()
        return outcome

    def _arguments(self, most: int = KEPT_MOST) -> list[str]:
        return [f"-max_len={most}", f"-timeout={self.input_seconds}", "-rss_limit_mb=4096"]

    def _call(self, *arguments: str) -> tuple[int, str, float]:
        """Exit status, what was said, and processor time."""
        options = {
            "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=16:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
        with subprocess.Popen(
            [str(self.program), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self.folder,
            env={**os.environ, **options},
        ) as running:
            assert running.stderr is not None
            said = running.stderr.read()
            _, status, used = os.wait4(running.pid, 0)  # of this one: others run beside it
            running.returncode = os.waitstatus_to_exitcode(status)
        return running.returncode, said, used.ru_utime + used.ru_stime

    def _replay(self) -> int:
        """Edges of what is in the corpora before anything new."""
        places = [str(place) for place in (self.corpus, self.target.corpus) if place.is_dir()]
        status, said, _ = self._call("-runs=0", *self._arguments(), *places)
        if status != 0:
            raise SystemExit(f"the corpus of {self.target.name} fails: {cause_of(said)}")
        return self._note(said)

    def _note(self, said: str) -> int:
        numbers = _COVERAGE.findall(said)
        if not numbers:
            return 0
        self.outcome.edges = max(self.outcome.edges, *(int(edges) for _, edges, _ in numbers))
        self.outcome.features = max(self.outcome.features, *(int(features) for _, _, features in numbers))
        return self.outcome.edges

    def slice(self, cpu_seconds: float, seed: int) -> None:
        """New inputs for a while; what was found, and how far it came, is in the outcome."""
        places = [str(place) for place in (self.corpus, self.target.corpus) if place.is_dir()]
        prefix = f"-artifact_prefix={self.found}/"
        limits = [f"-max_total_time={max(round(cpu_seconds), 1)}", f"-seed={seed}", *SAYING]
        most = INPUT_MOST.get(self.target.name, OTHERWISE_MOST)
        status, said, spent = self._call(*limits, prefix, *self._arguments(most), *places)
        executed = re.search(r"number_of_executed_units: (\d+)", said)
        self.outcome.executions += int(executed[1]) if executed else 0
        self.outcome.cpu_seconds += spent
        self._note(said)
        if status != 0:
            written = re.search(r"Test unit written to (\S+)", said)
            finding = Finding(cause_of(said), written[1] if written else "")
            if finding.cause not in {known.cause for known in self.outcome.findings}:
                self.outcome.findings.append(finding)

    def merge(self) -> None:
        """The corpus becomes the fewest and smallest inputs that reach as much as it and the kept one."""
        merged = self._merged("merged", "-merge=1")
        shutil.rmtree(self.corpus)
        merged.rename(self.corpus)
        self.outcome.corpus = len(list(self.corpus.iterdir()))

    def _merged(self, name: str, *how: str) -> Path:
        merged = self.folder / name
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir()
        places = [str(place) for place in (self.target.corpus, self.corpus) if place.is_dir()]
        status, said, _ = self._call(*how, *self._arguments(), str(merged), *places)
        if status != 0:
            raise SystemExit(f"merging the corpus of {self.target.name} failed: {said[-500:]}")
        return merged

    def commit(self) -> int:
        """Make the kept corpus what reaches every edge, and what was once found; how many inputs that is."""
        merged = self._merged("kept", "-set_cover_merge=1", "-use_counters=0")
        kept = self.target.corpus
        kept.mkdir(parents=True, exist_ok=True)
        for path in kept.iterdir():
            if not path.name.startswith(FOUND_ONCE):
                path.unlink()
        for path in merged.iterdir():
            name = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            shutil.copy(path, kept / f"{name}.{SUFFIXES.get(self.target.name, 'acts')}")
        return len(list(kept.iterdir()))


def table(outcomes: Sequence[Outcome]) -> str:
    """A line a target."""
    head = f"{'target':10} {'sanitizer':9} {'CPU min':>7} {'executions':>11} {'exec/s':>8}"
    head += f" {'edges':>7} {'at half':>7} {'at end':>7} {'inputs':>6}  findings"
    lines = [head]
    for o in outcomes:
        line = f"{o.target:10} {o.sanitizer:9} {o.cpu_seconds / 60:7.1f} {o.executions:11d} {o.rate:8.0f}"
        line += f" {o.edges_at_start:7d} {o.edges_at_half:7d} {o.edges:7d} {o.corpus:6d}  {len(o.findings)}"
        lines += [line, *(f"    {finding.cause}  ({finding.input})" for finding in o.findings)]
    return "\n".join(lines)


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.campaign", description=__doc__)
    parser.add_argument("--target", action="append", choices=list(targets()), help="default: all")
    parser.add_argument("--cpu-minutes", type=float, default=1.0, metavar="N", help="of each target (1)")
    parser.add_argument("--cpu-seconds", type=float, metavar="N", help="instead of minutes")
    parser.add_argument("--sanitizer", choices=("asan", "memory", "bare"), default="asan")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="targets at a time (1)")
    parser.add_argument("--folder", type=Path, help="work there and leave it; else in a temporary folder")
    parser.add_argument("--seeds", type=Path, metavar="DIR", help="more inputs, in a folder a target")
    parser.add_argument(
        "--commit", action="store_true", help="and make tests/fuzz/corpus of what was reached"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy the inputs that were found there")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


def run_one(name: str, wanted: argparse.Namespace, folder: Path, program: Path) -> Outcome:
    """One target, in a folder of its own."""
    target, flavour = targets()[name], FLAVOURS[wanted.sanitizer]
    campaign = Campaign(target, flavour, program, folder / f"{name}-{flavour.name}")
    if wanted.seeds and (wanted.seeds / name).is_dir():
        shutil.copytree(wanted.seeds / name, campaign.corpus, dirs_exist_ok=True)
    seconds = 60 * wanted.cpu_minutes if wanted.cpu_seconds is None else wanted.cpu_seconds
    outcome = campaign.run(seconds, wanted.seed)
    if wanted.commit:
        outcome.corpus = campaign.commit()
    if wanted.keep:
        shutil.copytree(campaign.found, wanted.keep, dirs_exist_ok=True)
    return outcome


def run_all(wanted: argparse.Namespace, folder: Path) -> list[Outcome]:
    """All that are asked for, `--jobs` at a time; each one's line when it and those before it are done."""
    folder = folder.resolve()
    workshop = Workshop(folder / "build")
    flavour = FLAVOURS[wanted.sanitizer]
    names = wanted.target or list(targets())
    programs = {name: workshop.build(targets()[name], flavour) for name in names}
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(wanted.jobs) as pool:
        for outcome in pool.map(lambda name: run_one(name, wanted, folder, programs[name]), names):
            lines = table([outcome])
            print(lines if not outcomes else lines.split("\n", 1)[1], flush=True)
            outcomes.append(outcome)
    return outcomes


def main() -> int:
    """Exit status: 1 when something was found, 2 when there is no libFuzzer."""
    wanted = options()
    if not has_libfuzzer():
        print("no clang with libFuzzer here", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="vnic-fuzz-") as temporary:
        outcomes = run_all(wanted, wanted.folder or Path(temporary))
    if wanted.json:
        wanted.json.write_text(json.dumps([{**asdict(o), "rate": o.rate} for o in outcomes], indent=1) + "\n")
    return 1 if any(outcome.findings for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
