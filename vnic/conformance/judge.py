"""Judging: one case is run on one driver in this process, and what comes of it becomes a verdict."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from vnic.conformance.case import Case, NotSupported
from vnic.conformance.stage import Stage, make_stage
from vnic.conformance.subjects import Subjects
from vnic.conformance.verdict import Result, Verdict
from vnic.errors import UnrestError
from vnic.host.cpu import SchedulerError
from vnic.ndis.verifier import NdisViolation
from vnic.netdma.watch import NetDmaViolation
from vnic.testbench.driver import Driver

_TAIL = 24


class Hung(BaseException):
    """The time is up; no exception that a driver's `except Exception` would swallow."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise Hung in the block when it takes longer; 0: no limit. Only in a main thread."""

    def on_alarm(number: int, frame: FrameType | None) -> None:
        where = "".join(traceback.format_stack(frame)[-6:]) if frame is not None else ""
        raise Hung(where)

    if not seconds:
        yield
        return
    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(
    case: Case,
    subjects: Subjects | Driver,
    timeout: float = 0,
    before_calls: Callable[[], None] | None = None,
) -> Result:
    """Run a case with each of its seeds, until one fails; the verdict, and why.

    before_calls: called whenever the driver is about to be called.
    """
    judged = subjects if isinstance(subjects, Subjects) else Subjects(subjects)
    began = time.monotonic()
    result = Result(case.name, Verdict.PASSED)
    for seed in case.seeds:
        result = _judge_once(case, judged, seed, timeout, before_calls)
        if result.verdict is not Verdict.PASSED:
            break
    result.seconds = round(time.monotonic() - began, 4)
    return result


def _judge_once(
    case: Case, subjects: Subjects, seed: int | None, timeout: float, before_calls: Callable[[], None] | None
) -> Result:
    result = Result(case.name, Verdict.PASSED, seed=seed)
    stage = None
    try:
        with limited(timeout):
            stage = make_stage(case, subjects, seed)
            if before_calls is not None:
                stage.announce(before_calls)
            stage.start()
            case.run(stage.bench)
            stage.check_end()
    except NotSupported as lack:
        result.verdict, result.happened = Verdict.NOT_SUPPORTED, str(lack)
    except (Exception, Hung) as error:
        _explain(result, error, stage)
    finally:
        if stage is not None:
            stage.abandon()
    return result


def _explain(result: Result, error: BaseException, stage: Stage | None) -> None:
    """Put in the result what the exception, the layer around the subject, and the hardware say."""
    hidden = stage.violations[0] if stage is not None and stage.violations else None
    cause = hidden if hidden is not None and not isinstance(error, Hung) else error
    result.verdict = Verdict.HUNG if _is_hang(cause) else Verdict.FAILED
    result.happened = _first_line(cause)
    result.detail = _detail(cause, error, stage, result.verdict)
    if isinstance(cause, (NdisViolation, NetDmaViolation)):
        result.rule_id, result.rule_page = cause.rule_id, cause.source_page
    if stage is not None:
        with suppress(Exception):
            result.card = stage.hardware_words()


def _is_hang(error: BaseException) -> bool:
    if isinstance(error, NdisViolation):
        return error.rule_id == "HANG-1"
    return isinstance(error, (Hung, UnrestError, SchedulerError))


def _first_line(error: BaseException) -> str:
    if isinstance(error, Hung):
        return "did not end in the time it was given"
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, AssertionError):
        return text or _asserted(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _asserted(error: BaseException) -> str:
    """The line of an assertion without text."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"does not hold: {(frames[-1].line or '').strip()}" if frames else type(error).__name__


def _detail(cause: BaseException, error: BaseException, stage: Stage | None, verdict: Verdict) -> str:
    parts = []
    is_rule = isinstance(cause, (NdisViolation, NetDmaViolation))
    if is_rule or isinstance(cause, Hung):
        parts.append(str(cause))
    if not isinstance(error, (NdisViolation, NetDmaViolation, Hung)):
        parts.append("".join(traceback.format_exception(error)[-_TAIL:]))
    if stage is not None and not is_rule:
        parts.append("last calls across the border, oldest first:\n" + stage.calls())
    if stage is not None and verdict is Verdict.HUNG:
        parts.append(stage.held())
    return "\n".join(part.rstrip() for part in parts)
