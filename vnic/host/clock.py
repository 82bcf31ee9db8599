"""Virtual time: a clock in nanoseconds that moves only when told, and the timers that wait on it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class ClockError(RuntimeError):
    """The clock was moved backwards, moved from inside a timer, or a timer re-arms itself without end."""


class Timer:
    """One armed deadline; cancel() is idempotent and tells whether it came in time."""

    __slots__ = ("callback", "deadline_ns", "is_armed")

    def __init__(self, deadline_ns: int, callback: Callable[[], None]) -> None:
        self.deadline_ns = deadline_ns
        self.callback = callback
        self.is_armed = True

    def cancel(self) -> bool:
        """Disarm; False when it has fired or was cancelled before."""
        was_armed, self.is_armed = self.is_armed, False
        return was_armed


class VirtualClock:
    """Nanoseconds since start; equal deadlines fire in the order in which they were armed."""

    def __init__(self, start_ns: int = 0, fire_limit: int = 1_000_000) -> None:
        self._now_ns = start_ns
        self._fire_limit = fire_limit
        self._heap: list[tuple[int, int, Timer]] = []
        self._sequence = count()
        self._is_advancing = False

    @property
    def now_ns(self) -> int:
        """The present, in virtual nanoseconds."""
        return self._now_ns

    def call_at(self, deadline_ns: int, callback: Callable[[], None]) -> Timer:
        """Arm a timer; a deadline in the past fires at the next advance, at the then present time."""
        timer = Timer(deadline_ns, callback)
        heapq.heappush(self._heap, (deadline_ns, next(self._sequence), timer))
        return timer

    def call_after(self, delay_ns: int, callback: Callable[[], None]) -> Timer:
        """Arm a timer `delay_ns` from now."""
        return self.call_at(self._now_ns + delay_ns, callback)

    def next_deadline_ns(self) -> int | None:
        """The earliest armed deadline, None when nothing waits."""
        self._drop_disarmed()
        return self._heap[0][0] if self._heap else None

    @property
    def armed(self) -> list[Timer]:
        """The timers that wait, earliest first."""
        return [timer for _, _, timer in sorted(self._heap, key=lambda entry: entry[:2]) if timer.is_armed]

    def advance_to(self, time_ns: int) -> int:
        """Move to `time_ns`, firing what is due on the way; returns the number of timers fired."""
        if time_ns < self._now_ns:
            raise ClockError(f"time would run backwards: {self._now_ns} ns to {time_ns} ns")
        if self._is_advancing:
            raise ClockError("a timer callback moved the clock")
        self._is_advancing = True
        try:
            fired = self._fire_due(time_ns)
        finally:
            self._is_advancing = False
        self._now_ns = time_ns
        return fired

    def advance(self, delta_ns: int) -> int:
        """Move on by `delta_ns`; returns the number of timers fired."""
        return self.advance_to(self._now_ns + delta_ns)

    def advance_to_next(self) -> bool:
        """Move to the earliest deadline and fire it; False when nothing waits."""
        deadline_ns = self.next_deadline_ns()
        if deadline_ns is None:
            return False
        self.advance_to(max(deadline_ns, self._now_ns))
        return True

    def _fire_due(self, time_ns: int) -> int:
        for fired in range(self._fire_limit):
            self._drop_disarmed()
            if not self._heap or self._heap[0][0] > time_ns:
                return fired
            deadline_ns, _, timer = heapq.heappop(self._heap)
            self._now_ns = max(self._now_ns, deadline_ns)
            timer.is_armed = False
            timer.callback()
        raise ClockError(
            f"{self._fire_limit} timers fired before {time_ns} ns: one re-arms itself without delay"
        )

    def _drop_disarmed(self) -> None:
        while self._heap and not self._heap[0][2].is_armed:
            heapq.heappop(self._heap)
