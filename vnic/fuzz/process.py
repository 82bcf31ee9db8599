"""A shard in a process of its own: a crash, a hang or a sanitizer's report is a result like any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from vnic.errors import VnicError
from vnic.fuzz.finding import Failure, Finding, failure_of_report
from vnic.fuzz.script import Script
from vnic.fuzz.shard import Progress, ShardPlan, ShardResult, encode
from vnic.fuzz.shrink import shrink
from vnic.fuzz.target import target_of

__all__ = ["ShardError", "run_shard", "shrink_in_processes"]

_POLL_S: Final = 0.05
#: Beyond the limit of an execution, for a loop that Python cannot interrupt.
_GRACE_S: Final = 10.0
#: Until a child has imported what it needs, on a machine that has much to do.
_START_S: Final = 60.0
_REPORT_BYTES: Final = 64 << 10
_SHRINK_TRIES: Final = 60


class ShardError(VnicError):
    """A shard died and left nothing to tell why: not even an execution had begun."""


def run_shard(plan: ShardPlan, stop: threading.Event | None = None) -> ShardResult:
    """Carry a plan out in a child, and say what became of it; once `stop` is set it ends early.

    May be run on another machine: everything that it needs and says can be pickled.
    """
    with tempfile.TemporaryDirectory(prefix="vnic-fuzz-") as folder:
        return _Child(plan, Path(folder), stop or threading.Event()).run()


class _Child:
    """One process, its output in files: no pipe can fill up."""

    def __init__(self, plan: ShardPlan, folder: Path, stop: threading.Event) -> None:
        self._progress = folder / "script"
        self._plan = replace(plan, progress=str(self._progress))
        self._out = folder / "out"
        self._report = folder / "report"
        self._stop = stop
        self._started = time.monotonic()

    def run(self) -> ShardResult:
        with self._out.open("wb") as out, self._report.open("wb") as report:
            process = self._start(out, report)
            hung = self._wait(process)
        if process.returncode == 0 and not hung:
            return ShardResult.from_dict(json.loads(self._out.read_text(encoding="utf-8")))
        if self._stop.is_set():
            return ShardResult(self._plan.shard, seconds=self._elapsed, is_whole=False)
        return self._died(process.returncode, hung)

    def _start(self, out: IO[bytes], report: IO[bytes]) -> subprocess.Popen[bytes]:
        # Sets of strings must come in the same order everywhere.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        process = subprocess.Popen(
            [sys.executable, "-m", "vnic.fuzz.shard"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=report,
            env=environment,
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            process.stdin.write(encode(self._plan).encode())
            process.stdin.close()
        except BrokenPipeError:
            pass  # it is dead already; its report says why
        return process

    def _wait(self, process: subprocess.Popen[bytes]) -> bool:
        """To its end; True when it had to be killed because one execution did not end."""
        patience_s = max(_START_S, self._plan.limit_s + _GRACE_S)
        seen, since = 0.0, time.monotonic()
        while process.poll() is None:
            time.sleep(_POLL_S)
            now = time.monotonic()
            if (stamp := self._stamp()) != seen:
                seen, since = stamp, now
                patience_s = self._plan.limit_s + _GRACE_S
            is_hung = now - since > patience_s
            if is_hung or self._stop.is_set():
                process.kill()
                process.wait()
                return is_hung
        return False

    def _stamp(self) -> float:
        try:
            return self._progress.stat().st_mtime
        except OSError:
            return 0.0

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _died(self, status: int, hung: bool) -> ShardResult:
        """The script that it was at is the finding."""
        report = self._report.read_bytes()[-_REPORT_BYTES:].decode(errors="replace")
        script = Progress.read(self._progress)
        if script is None:
            raise ShardError(f"a shard ended with status {status}: {report[-500:].strip() or 'no word'}")
        failure = failure_of_report(status, report)
        if hung:
            last = script.acts[-1].name if script.acts else "its start"
            failure = Failure(f"hang {script.target} {last}", f"no end after {last}", report)
        finding = Finding(failure, script, self._plan.seed, self._plan.shard)
        return ShardResult(self._plan.shard, 1, len(script.acts), self._elapsed, False, set(), [finding])


def shrink_in_processes(finding: Finding, limit_s: float) -> Finding:
    """The shortest script that still kills a process in the same way; each try is a process."""

    def fails(acts: tuple[object, ...]) -> bool:
        result = _run_alone(finding.script.with_acts(acts), limit_s)  # type: ignore[arg-type]
        return any(each.failure.key == finding.failure.key for each in result.findings)

    kinds = target_of(finding.script.target).scene.ACTS
    acts, tries = shrink(kinds, finding.script.acts, fails, _SHRINK_TRIES)
    return replace(finding, script=finding.script.with_acts(acts), is_shrunk=tries < _SHRINK_TRIES)


def _run_alone(script: Script, limit_s: float) -> ShardResult:
    plan = ShardPlan(script.target, 0, 0, limit_s=limit_s, shrinks=False, script=script.to_text())
    return run_shard(plan)


def run_alone(script: Script, limit_s: float) -> Finding | None:
    """What a script comes to in a process of its own."""
    findings = _run_alone(script, limit_s).findings
    return findings[0] if findings else None


__all__ += ["run_alone"]
