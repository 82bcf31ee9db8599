"""The real-time pump: the one place where real time and descriptors become inputs of the virtual world."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from vnic.host.clock import VirtualClock

LEAP_MAX_NS = 1_000_000_000
_NAP_MAX_NS = 5_000_000


class Timeline(Protocol):
    """The virtual world, as far as time goes."""

    @property
    def clock(self) -> VirtualClock:
        """Its clock."""

    def run_for(self, duration_ns: int) -> None:
        """Let virtual time pass, doing all that falls into it; 0: what is due now."""

    def next_deadline_ns(self) -> int | None:
        """When it next has something to do by itself; timers of the clock are not among that."""


class Source(Protocol):
    """Something with a descriptor: a TAP, a socket, a pipe."""

    def fileno(self) -> int:
        """The descriptor."""


#: Takes in what waits at a source, at a virtual time; how much that was. May leave a rest for the next tick.
Intake = Callable[[int], int]


@dataclass(slots=True)
class PumpStatistics:
    """What the pump did; `slipped_ns` is real time that the world was spared because it had fallen behind."""

    ticks: int = 0
    inputs: int = 0
    slipped_ns: int = 0


class Pump:
    """Lets virtual time follow real time, one nanosecond for one, and takes sources in as they become ready.

    The world sees ticks and inputs only, so the same ticks with the same inputs give the same world: on_tick
    hears each of them. A world that got ahead of real time stands still until that has caught up. One that is
    more than leap_max_ns behind, after a stop in a debugger or a sleep of the machine, stays behind: it never
    leaps further at once, so that its timeouts do not all end together.
    """

    def __init__(
        self,
        world: Timeline,
        *,
        on_tick: Callable[[int], None] | None = None,
        leap_max_ns: int = LEAP_MAX_NS,
        read_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.statistics = PumpStatistics()
        self._world = world
        self._on_tick = on_tick
        self._leap_max_ns = leap_max_ns
        self._read_ns = read_ns
        # Virtual time 0 in real time.
        self._origin_ns = read_ns() - world.clock.now_ns
        # Moderation intervals are microseconds; poll and epoll wait in whole milliseconds.
        self._selector = selectors.SelectSelector()

    # -- sources ---------------------------------------------------------------------------------------------

    def attach(self, source: Source, take: Intake) -> None:
        """Call `take` in each tick in which the source can be read; KeyError when it is attached already."""
        self._selector.register(source, selectors.EVENT_READ, take)

    def detach(self, source: Source) -> None:
        """Leave a source alone from now on; KeyError when it is not attached."""
        self._selector.unregister(source)

    def close(self) -> None:
        """Forget all sources, which stay open. Idempotent."""
        self._selector.close()

    def __enter__(self) -> Pump:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- time ------------------------------------------------------------------------------------------------

    def due_ns(self) -> int:
        """The virtual time that the world should have now."""
        due_ns = self._read_ns() - self._origin_ns
        slip_ns = due_ns - self._world.clock.now_ns - self._leap_max_ns
        if slip_ns <= 0:
            return due_ns
        self._origin_ns += slip_ns
        self.statistics.slipped_ns += slip_ns
        return due_ns - slip_ns

    def tick(self, now_ns: int) -> int:
        """It is `now_ns`: do what was due until then, take in what waits, do what follows at once.

        Returns how much was taken in. Reads no clock; a time that the world has passed counts as its present.
        """
        clock = self._world.clock
        now_ns = max(now_ns, clock.now_ns)
        self.statistics.ticks += 1
        if self._on_tick is not None:
            self._on_tick(now_ns)
        self._world.run_for(now_ns - clock.now_ns)
        taken = self._take(now_ns)
        if taken:
            self._world.run_for(0)
        return taken

    def _take(self, now_ns: int) -> int:
        ready = self._selector.select(0)
        takes: list[Intake] = [key.data for key, _ in ready]
        taken = sum(take(now_ns) for take in takes)
        self.statistics.inputs += taken
        return taken

    # -- the loop --------------------------------------------------------------------------------------------

    def run_until(self, is_done: Callable[[], bool], within_s: float) -> bool:
        """Tick until `is_done`, which is asked between ticks and may act; False when time is up."""
        end_ns = self._read_ns() + int(within_s * 1e9)
        while not is_done():
            if self._read_ns() >= end_ns:
                return False
            if not self.tick(self.due_ns()):
                self._nap()
        return True

    def _nap(self) -> None:
        """Wait for a source or a deadline; never long, since `is_done` may wait for something else."""
        deadlines = (self._world.next_deadline_ns(), self._world.clock.next_deadline_ns())
        waits_ns = [deadline - self.due_ns() for deadline in deadlines if deadline is not None]
        wait_ns = min([_NAP_MAX_NS, *waits_ns])
        if wait_ns > 0:
            self._selector.select(wait_ns / 1e9)
