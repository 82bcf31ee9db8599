"""The watch on every call between the NetDMA interface, providers and clients: level, history, who erred."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vnic.host.clock import VirtualClock
from vnic.host.cpu import Level, Processors
from vnic.netdma.rules import LEVEL_MAX, LEVELS, RULES, Rule

_SHOWN = 24


@dataclass(slots=True)
class Call:
    """One call across the interface; `depth` is how many calls it is nested in."""

    time_ns: int
    cpu: int
    level: Level
    depth: int
    text: str
    result: str = ""

    def __str__(self) -> str:
        head = f"{self.time_ns:>12} cpu{self.cpu} {self.level.name:<8} {'  ' * self.depth}{self.text}"
        return f"{head} -> {self.result}" if self.result else head


class NetDmaViolation(AssertionError):
    """A provider or client broke a rule; names it, its public page, and the calls that led there."""

    def __init__(self, rule: Rule, driver: str, message: str, history: tuple[Call, ...]) -> None:
        self.rule = rule
        self.rule_id = rule.id
        self.source_page = rule.page
        self.driver = driver
        self.history = history
        calls = "\n".join(f"  {call}" for call in history[-_SHOWN:])
        super().__init__(
            f"{rule.id}: {driver}: {message}\n  rule: a {rule.binds} {rule.text}\n"
            f"  source: {rule.page}\n  last calls, oldest first:\n{calls}"
        )


class Watch:
    """Shared by the whole interface; at each crossing other processors may get ahead."""

    def __init__(self, processors: Processors, clock: VirtualClock, history_length: int = 256) -> None:
        self.processors = processors
        self.clock = clock
        self.history: deque[Call] = deque(maxlen=history_length)
        self.violations: list[NetDmaViolation] = []
        self._depth = 0

    # -- breaches ------------------------------------------------------------------------------------------

    def breach(self, rule: str, driver: object, message: str) -> NetDmaViolation:
        """Record a breach; the caller raises what it returns. `violations` keeps it if a driver hides it."""
        name = driver if isinstance(driver, str) else type(driver).__name__
        violation = NetDmaViolation(RULES[rule], name, message, tuple(self.history))
        self.violations.append(violation)
        return violation

    def require(self, condition: bool, rule: str, driver: object, message: str) -> None:
        """Raise the breach of a rule unless `condition` holds."""
        if not condition:
            raise self.breach(rule, driver, message)

    # -- crossings -----------------------------------------------------------------------------------------

    def note(self, text: str) -> Call:
        """Add a line to the history."""
        processors = self.processors
        call = Call(self.clock.now_ns, processors.current, processors.level, self._depth, text)
        self.history.append(call)
        return call

    def check_level(self, driver: object, function: str) -> None:
        """A function is called: at the level it may be called at."""
        level = self.processors.level
        least, most = LEVELS.get(function, (Level.PASSIVE, LEVEL_MAX))
        if not least <= level <= most:
            allowed = f"at {most.name}" if least == most else f"at {most.name} or below"
            raise self.breach("level", driver, f"{function} at {level.name}; it is called {allowed}")

    @contextmanager
    def entering(self, driver: object, function: str, detail: str = "") -> Iterator[Call]:
        """The interface calls a provider or client."""
        processors = self.processors
        processors.yield_point(function)
        call = self.note(f"{function}({detail})")
        level, locks = processors.level, processors.locks_held
        self._depth += 1
        try:
            yield call
        finally:
            self._depth -= 1
        if processors.level != level or processors.locks_held != locks:
            raise self.breach("level", driver, f"{function} returned at {processors.level.name}")
        processors.yield_point(f"{function} returned")

    @contextmanager
    def called(self, driver: object, function: str, detail: str = "") -> Iterator[Call]:
        """A provider or client calls the interface."""
        call = self.note(f"{function}({detail})")
        self.check_level(driver, function)
        self.processors.yield_point(function)
        self._depth += 1
        try:
            yield call
        finally:
            self._depth -= 1
        self.processors.yield_point(f"{function} returned")
