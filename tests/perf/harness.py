"""Runs contenders in interleaved rounds and compares the medians with the goals."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .workshop import BuildError, Workshop

Figures = dict[str, float]


class MissingError(Exception):
    """A contender cannot run on this machine; the text names what is missing."""


class RoundError(Exception):
    """A contender broke off or did something else than the work asked for."""


class Contender(Protocol):
    """One implementation that is measured, ours or a peer."""

    name: str

    def start(self, shop: Workshop) -> None:
        """Build and start it.

        Raises: MissingError.
        """

    def round(self, effort: float) -> Figures:
        """Do one round; nanoseconds per unit of work, by the name of the figure.

        Raises: RoundError.
        """

    def stop(self) -> None:
        """Release what start took, whether it succeeded or not."""


@dataclass(frozen=True)
class Goal:
    """What a figure of ours has to reach: a ratio to the best of some peers, or a bound in its unit."""

    work: str
    ours: str
    peers: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "ns"

    def __str__(self) -> str:
        if self.at_least is not None and self.at_least < 1:
            return f"<= {1 / self.at_least:.3g}x its {'time' if self.unit == 'ns' else 'size'}"
        if self.at_least is not None:
            return f">= {self.at_least:.3g}x"
        return f"<= {self.at_most:g} {self.unit}" if self.at_most is not None else "-"


@dataclass(frozen=True)
class Summary:
    """A figure over all rounds, nanoseconds per unit of work."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """The summary of at least one value."""
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True)
class Comparison:
    """One row of the table; None stands for what was not measured."""

    goal: Goal
    ours_ns: float | None
    peer: str | None
    peer_ns: float | None

    @property
    def ratio(self) -> float | None:
        """How many times faster than the peer we are."""
        if not self.ours_ns or self.peer_ns is None:
            return None
        return self.peer_ns / self.ours_ns

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None if that cannot be said."""
        if self.goal.at_least is not None:
            return None if self.ratio is None else self.ratio >= self.goal.at_least
        if self.goal.at_most is not None:
            return None if self.ours_ns is None else self.ours_ns <= self.goal.at_most
        return None


@dataclass
class Outcome:
    """All that one benchmark found; with payloads, the bytes that a unit of work carries by figure."""

    name: str
    title: str
    figures: dict[str, Summary] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unit: str = "ns"
    payloads: Mapping[str, int] = field(default_factory=dict)
    rate: str = "Gbit/s"


class Benchmark(Protocol):
    """Something that can be run by its name."""

    name: str
    title: str

    def run(self, shop: Workshop, rounds: int, effort: float, tell: Callable[[str], None]) -> Outcome:
        """Measure everything; tell receives a word on progress."""


def compare(goal: Goal, figures: dict[str, Summary]) -> Comparison:
    """Hold a figure of ours against the fastest of the goal's peers that were measured."""
    ours = figures.get(goal.ours)
    peer = min(
        (name for name in goal.peers if name in figures), key=lambda n: figures[n].median, default=None
    )
    return Comparison(
        goal,
        ours.median if ours else None,
        peer,
        figures[peer].median if peer else None,
    )


def rounds_of(contenders: Sequence[Contender], number: int) -> tuple[Contender, ...]:
    """The contenders in the order of that round: each takes the first place in turn."""
    first = number % len(contenders) if contenders else 0
    return (*contenders[first:], *contenders[:first])


@dataclass
class InterleavedBenchmark:
    """Contenders that take turns, round by round, so that a disturbance hits all of them."""

    name: str
    title: str
    contenders: Sequence[Contender]
    goals: Sequence[Goal]
    unit: str = "ns"
    payloads: Mapping[str, int] = field(default_factory=dict)
    rate: str = "Gbit/s"

    def run(self, shop: Workshop, rounds: int, effort: float, tell: Callable[[str], None]) -> Outcome:
        """Measure every contender that starts; the others are listed as skipped."""
        outcome = Outcome(self.name, self.title, unit=self.unit, payloads=self.payloads, rate=self.rate)
        started: list[Contender] = []
        try:
            for contender in self.contenders:
                tell(f"{self.name}: starting {contender.name}")
                if _start(contender, shop, outcome):
                    started.append(contender)
            samples = self._measure(started, rounds, effort, tell, outcome)
        finally:
            for contender in self.contenders:
                contender.stop()
        outcome.figures = {name: Summary.of(values) for name, values in samples.items()}
        outcome.comparisons = [compare(goal, outcome.figures) for goal in self.goals]
        return outcome

    def _measure(
        self,
        started: Sequence[Contender],
        rounds: int,
        effort: float,
        tell: Callable[[str], None],
        outcome: Outcome,
    ) -> dict[str, list[float]]:
        samples: dict[str, list[float]] = {}
        running = [contender for contender in started if _round(contender, effort / 10, outcome) is not None]
        for number in range(rounds):
            tell(f"{self.name}: round {number + 1} of {rounds}")
            for contender in rounds_of(running, number):
                figures = _round(contender, effort, outcome)
                if figures is None:
                    running.remove(contender)
                    continue
                for name, ns in figures.items():
                    samples.setdefault(name, []).append(ns)
        return samples


def _start(contender: Contender, shop: Workshop, outcome: Outcome) -> bool:
    try:
        contender.start(shop)
    except MissingError as reason:
        outcome.skipped.append(f"{contender.name}: {reason}")
    except BuildError as reason:
        outcome.failed.append(f"{contender.name} does not build: {reason}")
    else:
        return True
    return False


def _round(contender: Contender, effort: float, outcome: Outcome) -> Figures | None:
    try:
        return contender.round(effort)
    except RoundError as reason:
        outcome.failed.append(f"{contender.name}: {reason}")
        return None
