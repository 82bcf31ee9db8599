"""A shard of a campaign: a number of executions from one seed, in a process of its own.

`python -m vnic.fuzz.shard` reads a ShardPlan from standard input and writes a ShardResult to standard output,
both JSON. Before each execution it writes the script into a file, for whoever finds it dead.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, TextIO

from vnic.fuzz.finding import Failure, Finding
from vnic.fuzz.scene import Act, Scene
from vnic.fuzz.script import Script
from vnic.fuzz.shrink import shrink
from vnic.fuzz.target import Target, target_of
from vnic.fuzz.trial import LIMIT_S, Chosen, Trial, attempt, run_script

__all__ = ["ShardPlan", "ShardResult", "work"]

_FINDINGS_MAX = 32
_CORPUS_MAX = 256
_SHRINK_TRIES = 400
_SHRINK_S = 20.0
_MUTATED = 0.4


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What a shard does follows from target, seed, shard, executions and options alone.

    options: of every execution, over what its target draws. seconds: none begins after so long; 0: no limit.
    progress: a file for the script that is being run; "": none. script: run this one only, as it is.
    """

    target: str
    seed: int
    shard: int
    executions: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    limit_s: float = LIMIT_S
    shrinks: bool = True
    progress: str = ""
    script: str = ""


@dataclass(slots=True)
class ShardResult:
    """What a shard did; `is_whole`: all of its executions."""

    shard: int
    executions: int = 0
    acts: int = 0
    seconds: float = 0.0
    is_whole: bool = True
    reached: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Of JSON's types."""
        return {
            **{name: getattr(self, name) for name in ("shard", "executions", "acts", "seconds", "is_whole")},
            "reached": sorted(self.reached),
            "findings": [each.to_dict() for each in self.findings],
        }

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> ShardResult:
        """The reverse of to_dict()."""
        findings = [Finding.from_dict(each) for each in found["findings"]]
        return cls(**{**found, "reached": set(found["reached"]), "findings": findings})


class Shard:
    """Executions one after the other; scripts that reach something new are kept and changed."""

    def __init__(self, plan: ShardPlan) -> None:
        self.plan = plan
        self.target: Target = target_of(plan.target)
        self.result = ShardResult(plan.shard)
        self._random = Random(f"{plan.target} {plan.seed} {plan.shard}")
        self._corpus: list[tuple[Act, ...]] = []
        self._by_key: dict[str, int] = {}
        self.target.prepare(plan.options)
        self._started = time.monotonic()

    def run(self) -> ShardResult:
        """All executions, or as many as the time allows."""
        for _ in range(self.plan.executions):
            if self.plan.seconds and self.elapsed > self.plan.seconds:
                self.result.is_whole = False
                break
            self._execute()
        self.result.seconds = self.elapsed
        return self.result

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def _execute(self) -> None:
        random = Random(self._random.getrandbits(64))
        options = {**self.target.manners(random), **self.plan.options}
        trial = attempt(
            lambda: self.target.make(options),
            self._written(Chosen(self._author(random)), options),
            limit_s=self.plan.limit_s,
        )
        self._note(trial, options)

    def _author(self, random: Random) -> Any:
        """What chooses the acts: some of a script that is known, changed, then any."""
        length = random.randint(3, self.target.length)
        known: list[Act] = []
        if self._corpus and random.random() < _MUTATED:
            known = _mutated(random, random.choice(self._corpus), random.choice(self._corpus))
        waiting = iter(known)
        left = length if not known else length // 4

        def choose(scene: Scene) -> Act | None:
            nonlocal left
            act = next(waiting, None)
            if act is not None:
                return _varied(random, scene, act)
            left -= 1
            return scene.choose(random) if left >= 0 else None

        return choose

    def _written(self, chosen: Chosen, options: dict[str, Any]) -> Chosen:
        """The same acts, each in the progress file before it is done."""
        if not self.plan.progress:
            return chosen
        progress = Progress(Path(self.plan.progress), self.plan.target, options)

        def choose(scene: Scene) -> Act | None:
            chosen.scene = scene
            act = next(chosen, None)
            if act is not None:
                progress.add(act)
            return act

        return Chosen(choose)

    def _note(self, trial: Trial, options: dict[str, Any]) -> None:
        result = self.result
        result.executions += 1
        result.acts += len(trial.acts)
        if not trial.reached <= result.reached:
            result.reached |= trial.reached
            if trial.failure is None and len(self._corpus) < _CORPUS_MAX:
                self._corpus.append(trial.acts)
        if trial.failure is not None:
            self._find(trial.failure, Script(self.target.name, trial.acts, options))

    def _find(self, failure: Failure, script: Script) -> None:
        findings = self.result.findings
        known = self._by_key.get(failure.key)
        if known is not None:
            findings[known] = replace(findings[known], count=findings[known].count + 1)
            return
        if len(findings) >= _FINDINGS_MAX:
            return
        self._by_key[failure.key] = len(findings)
        findings.append(self._shrunk(Finding(failure, script, self.plan.seed, self.plan.shard)))

    def _shrunk(self, finding: Finding) -> Finding:
        if not self.plan.shrinks:
            return finding
        end = time.monotonic() + _SHRINK_S
        key, limit_s = finding.failure.key, self.plan.limit_s

        def fails(acts: tuple[Act, ...]) -> bool:
            if time.monotonic() > end:
                return False
            failure = run_script(finding.script.with_acts(acts), limit_s=limit_s).failure
            return failure is not None and failure.key == key

        acts, _ = shrink(self.target.scene.ACTS, finding.script.acts, fails, _SHRINK_TRIES)
        script = finding.script.with_acts(acts)
        failure = run_script(script, limit_s=limit_s).failure
        if failure is None or failure.key != key:
            return finding  # it depends on something that no script holds
        return replace(finding, failure=failure, script=script, is_shrunk=True)


def _mutated(random: Random, acts: tuple[Act, ...], other: tuple[Act, ...]) -> list[Act]:
    """A script with runs left out, doubled, or taken from another."""
    found = list(acts)
    for _ in range(random.randint(1, 3)):
        start = random.randint(0, len(found))
        end = min(start + random.randint(0, 8), len(found))
        kind = random.randrange(3)
        if kind == 0:
            del found[start:end]
        elif kind == 1:
            found[end:end] = found[start:end]
        else:
            at = random.randint(0, len(other))
            found[start:start] = other[at : at + random.randint(0, 12)]
    return found


def _varied(random: Random, scene: Scene, act: Act) -> Act:
    """Now and then with other arguments."""
    return scene.ACTS[act.name].pick(random) if random.randrange(8) == 0 else act


class Progress:
    """The script that is being run, in a file: whoever comes after a crash finds it."""

    def __init__(self, path: Path, target: str, options: dict[str, Any]) -> None:
        self._path = path
        head = json.dumps({"target": target, "options": options})
        path.write_text(f"{head}\n", encoding="utf-8")

    def add(self, act: Act) -> None:
        """It is about to be done."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([act.name, dict(act.arguments)]) + "\n")

    @staticmethod
    def read(path: Path) -> Script | None:
        """What was being run; None when nothing was, or the file was cut short."""
        try:
            head, *lines = path.read_text(encoding="utf-8").splitlines()
            found = json.loads(head)
            acts = tuple(Act(name, arguments) for name, arguments in map(json.loads, lines))
        except (OSError, ValueError):
            return None
        return Script(found["target"], acts, found["options"])


def _told(script: Script, progress: str) -> Iterator[Act]:
    """Its acts, each in the progress file before it is done."""
    told = Progress(Path(progress), script.target, dict(script.options)) if progress else None
    for act in script.acts:
        if told is not None:
            told.add(act)
        yield act


def work(plan: ShardPlan) -> ShardResult:
    """Carry a plan out in this process."""
    if not plan.script:
        return Shard(plan).run()
    started = time.monotonic()
    script = Script.from_text(plan.script)
    target, options = target_of(script.target), dict(script.options)
    target.prepare(options)
    trial = attempt(lambda: target.make(options), _told(script, plan.progress), limit_s=plan.limit_s)
    result = ShardResult(plan.shard, 1, len(trial.acts), time.monotonic() - started, True, set(trial.reached))
    if trial.failure is not None:
        result.findings.append(Finding(trial.failure, script, plan.seed, plan.shard))
    return result


def _serve(source: TextIO, out: TextIO) -> None:
    plan = ShardPlan(**json.load(source))
    result = work(plan)
    json.dump(result.to_dict(), out)


def encode(plan: ShardPlan) -> str:
    """A plan as text."""
    return json.dumps(asdict(plan))


if __name__ == "__main__":
    faulthandler.enable()
    _serve(sys.stdin, sys.stdout)
