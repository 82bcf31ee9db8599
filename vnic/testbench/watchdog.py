"""A watchdog over a test, in real time: what hangs ends, and it says who held what."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

#: How long after the limit an exception has to get out of the code that hangs; then it is raised again.
GRACE_S: Final = 5.0
#: After so many times that, the process ends: what hangs is not Python, or takes no exception.
_PATIENCE: Final = 3
STATUS: Final = 70


class HungTest(BaseException):
    """A test did not end in time. No Exception, so that a driver that catches those does not hide it."""


class Watchdog:
    """From its beginning to its end as a context manager at most `seconds` pass; 0: any time.

    report: asked for who holds what, in the middle of whatever hangs.
    error: what is raised, with the report.
    tell: where the last words of a process go that hangs outside of Python.

    Python code is interrupted where it is by SIGALRM; the timer and handler that were there before come back
    at the end. Off the main thread, and in native code, there is only the end of the process (status 70).
    """

    def __init__(
        self,
        seconds: float,
        report: Callable[[], str],
        *,
        grace_s: float = GRACE_S,
        error: type[HungTest] = HungTest,
        tell: Callable[[str], None] = lambda text: print(text, file=sys.__stderr__, flush=True),
        leave: Callable[[int], Any] = os._exit,
    ) -> None:
        self._seconds = seconds
        self._report = report
        self._grace_s = grace_s
        self._error = error
        self._tell = tell
        self._leave = leave
        self._is_over = threading.Event()
        self._watched = threading.get_ident()
        self._before: tuple[Any, tuple[float, float]] | None = None
        self.has_barked = False

    def __enter__(self) -> Watchdog:
        if self._seconds <= 0:
            return self
        self._watched = threading.get_ident()
        if threading.current_thread() is threading.main_thread():
            handler = signal.signal(signal.SIGALRM, self._on_alarm)
            timer = signal.setitimer(signal.ITIMER_REAL, self._seconds, self._grace_s)
            self._before = handler, timer
        threading.Thread(target=self._wait, name="vnic-watchdog", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        if self._before is not None:
            handler, timer = self._before
            self._before = None
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, handler)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        self.has_barked = True
        raise self._error(self._text())

    def _text(self) -> str:
        try:
            held = self._report()
        except Exception as error:  # in the middle of anything: better less than nothing
            held = f"who holds what is not known: {error!r}"
        return f"the test did not end within {self._seconds:g} s\n{held}"

    def _wait(self) -> None:
        """The other thread: the last resort."""
        if self._is_over.wait(self._seconds + _PATIENCE * self._grace_s):
            return
        frames = sys._current_frames().get(self._watched)
        where = "".join(traceback.format_stack(frames)) if frames is not None else ""
        self._tell(f"{self._text()}\nand no exception ends it, so the process ends here:\n{where}")
        self._leave(STATUS)
