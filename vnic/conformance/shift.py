"""A shift: cases run in processes of their own, several at a time; a crash or hang is its case's verdict.

Every case begins in a fork of this process, so none can spoil another, and how many run at once changes
nothing.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import selectors
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from vnic.conformance.case import Case
from vnic.conformance.evidence import Evidence
from vnic.conformance.judge import judge
from vnic.conformance.subjects import Subjects
from vnic.conformance.verdict import Result, Verdict
from vnic.function import PciFunction
from vnic.testbench.driver import Driver

_TEXT_MOST = 20_000


@dataclass
class Task:
    """A case in its process: what comes through the pipe, and what the process says on its error output."""

    case: Case
    pid: int
    pipe: int
    words: BinaryIO
    ends_at: float
    began: float
    answer: bytearray = field(default_factory=bytearray)
    is_killed: bool = False

    def said(self) -> str:
        """The error output: a sanitizer's report, the stack of a hang."""
        self.words.seek(0)
        return self.words.read().decode(errors="replace")[-_TEXT_MOST:].strip()


class Shift:
    """Runs cases on a driver, or on a driver and a provider.

    timeout: of one case, in seconds of the clock on the wall; grace: how much longer it may take to say what
    hangs before its process is killed. record: where traces of failed cases go.
    """

    def __init__(
        self,
        subjects: Subjects | Driver,
        *,
        jobs: int = 1,
        timeout: float = 20.0,
        grace: float = 2.0,
        record: Path | None = None,
    ) -> None:
        self._subjects = subjects
        self._jobs = max(1, jobs)
        self._timeout = timeout
        self._grace = grace
        self._record = record

    def one(self, case: Case) -> Result:
        """The verdict of one case."""
        return next(iter(self.run([case])))

    def run(self, cases: Iterable[Case]) -> Iterator[Result]:
        """The verdicts, in the order of the cases."""
        waiting = list(cases)
        order = [case.name for case in waiting]
        done: dict[str, Result] = {}
        tasks: list[Task] = []
        with selectors.DefaultSelector() as selector:
            try:
                while order:
                    while waiting and len(tasks) < self._jobs:
                        tasks.append(self._begin(waiting.pop(0)))
                        selector.register(tasks[-1].pipe, selectors.EVENT_READ, tasks[-1])
                    for task in self._wait(selector, tasks):
                        tasks.remove(task)
                        done[task.case.name] = self._end(task)
                    while order and order[0] in done:
                        yield done.pop(order.pop(0))
            finally:
                for task in tasks:
                    self._kill(task)
                    self._end(task)

    # -- in the parent ---------------------------------------------------------------------------------------

    def _wait(self, selector: selectors.BaseSelector, tasks: list[Task]) -> list[Task]:
        """Until something is read or a time is up; the tasks that ended."""
        nearest = min(task.ends_at for task in tasks)
        over = []
        for key, _ in selector.select(max(0.0, nearest - time.monotonic())):
            task: Task = key.data
            part = os.read(task.pipe, 1 << 16)
            task.answer += part
            if not part:
                selector.unregister(task.pipe)
                over.append(task)
        for task in tasks:
            if task not in over and time.monotonic() > task.ends_at and not task.is_killed:
                self._kill(task)
        return over

    @staticmethod
    def _kill(task: Task) -> None:
        task.is_killed = True
        task.ends_at = time.monotonic() + 60
        os.kill(task.pid, signal.SIGKILL)

    def _end(self, task: Task) -> Result:
        os.close(task.pipe)
        _, status = os.waitpid(task.pid, 0)
        said = task.said()
        task.words.close()
        result = self._verdict(task, os.waitstatus_to_exitcode(status), said)
        if self._record is not None:
            result.traces = Evidence.left(self._record, task.case.name, result.verdict.is_good)
        return result

    def _verdict(self, task: Task, status: int, said: str) -> Result:
        if task.answer and not task.is_killed:
            return Result.unpack(json.loads(task.answer))
        result = Result(task.case.name, Verdict.CRASHED, round(time.monotonic() - task.began, 4), detail=said)
        if task.is_killed:
            result.verdict = Verdict.HUNG
            result.happened = "never came back from a call; its process was killed"
        else:
            report = next((line for line in said.splitlines() if "Sanitizer" in line), "")
            result.happened = f"the process ended by {_cause(status)}" + (f": {report}" if report else "")
        return result

    def _begin(self, case: Case) -> Task:
        words = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - closed with its task
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            # A process with threads may fork: the child of this one starts no code that needs them.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._work(case, writer, words)
        os.close(writer)
        began = time.monotonic()
        limit = self._timeout * len(case.seeds) + self._grace
        return Task(case, pid, reader, words, began + limit, began)

    # -- in the child ----------------------------------------------------------------------------------------

    def _work(self, case: Case, writer: int, words: BinaryIO) -> None:
        """Judge the case, write the result, end: never returns."""
        status = 70
        try:
            gc.freeze()  # what was there before is shared with the parent for as long as nobody looks at it
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            PciFunction.watchers.clear()
            for stream in (1, 2):
                os.dup2(words.fileno(), stream)
            faulthandler.enable(file=words)
            faulthandler.dump_traceback_later(self._timeout * len(case.seeds) + self._grace / 2, file=words)
            with Evidence(self._record, case.name) as evidence:
                flush = evidence.flush if self._record is not None else None
                result = judge(case, self._subjects, self._timeout, flush)
            _write(writer, json.dumps(result.pack()).encode())
            status = 0
        except BaseException:
            os.write(words.fileno(), traceback.format_exc().encode())
        finally:
            os._exit(status)


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def _cause(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
