"""A campaign: shards of one target from a seed until time is up, and their findings, each cause once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any, Final

from vnic.fuzz.executors import Workers
from vnic.fuzz.finding import Finding
from vnic.fuzz.process import shrink_in_processes
from vnic.fuzz.shard import ShardPlan, ShardResult
from vnic.fuzz.target import target_of
from vnic.fuzz.trial import LIMIT_S

__all__ = ["Campaign", "Order", "Tally"]

_TELL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a campaign.

    What shard k does follows from target, seed, options and k alone: time, and the number of jobs, decide how
    many shards there are, nothing else. seconds: no shard begins after so long, and one that runs is cut
    short; shards: so many, all of them whole. One of the two is given.
    """

    target: str
    seed: int = 0
    seconds: float = 0.0
    shards: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    limit_s: float = LIMIT_S
    executions: int = 0
    shrinks: bool = True


@dataclass(slots=True)
class Tally:
    """What a campaign came to so far; findings by key, in the order of the shards that met them first."""

    executions: int = 0
    acts: int = 0
    shards: int = 0
    seconds: float = 0.0
    reached: set[str] = field(default_factory=set)
    findings: dict[str, Finding] = field(default_factory=dict)
    is_interrupted: bool = False
    _ranks: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Executions in a second."""
        return self.executions / self.seconds if self.seconds else 0.0

    def add(self, result: ShardResult) -> None:
        """A shard is over."""
        self.shards += 1
        self.executions += result.executions
        self.acts += result.acts
        self.reached |= result.reached
        for place, finding in enumerate(result.findings):
            self._merge(finding, (finding.shard, place))

    def _merge(self, finding: Finding, rank: tuple[int, int]) -> None:
        """Kept is what the first shard found, whichever came in first."""
        key = finding.failure.key
        known = self.findings.get(key)
        is_first = rank < self._ranks.get(key, (rank[0] + 1, 0))
        if is_first:
            self._ranks[key] = rank
        kept = finding if is_first or known is None else known
        self.findings[key] = replace(kept, count=finding.count + (known.count if known else 0))

    def in_order(self) -> list[Finding]:
        """The findings by first shard, then as that shard met them."""
        return [self.findings[key] for key in sorted(self.findings, key=self._ranks.__getitem__)]


class Campaign:
    """Runs an order on workers; `tell` hears of the tally now and then."""

    def __init__(
        self, order: Order, workers: Workers, tell: Callable[[Tally], None] = lambda tally: None
    ) -> None:
        self._order = order
        self._workers = workers
        self._tell = tell
        self._target = target_of(order.target)
        self._next = 0
        self._started = time.monotonic()
        self.tally = Tally()

    def run(self) -> Tally:
        """To its end, or to the first Ctrl-C; either way with what was found until then."""
        waiting: set[Future[ShardResult]] = set()
        try:
            while self._submit(waiting) or waiting:
                done, waiting = wait(waiting, timeout=_TELL_S, return_when=FIRST_COMPLETED)
                self._take(done)
        except KeyboardInterrupt:
            self.tally.is_interrupted = True
            self._workers.stop()
            for future in waiting:
                future.cancel()
            self._take(each for each in waiting if each.done() and not each.cancelled())
        self.tally.seconds = self._elapsed
        self._shrink_crashes()
        return self.tally

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    @property
    def _is_over(self) -> bool:
        order = self._order
        if order.shards and self._next >= order.shards:
            return True
        return bool(order.seconds) and self._elapsed >= order.seconds

    def _submit(self, waiting: set[Future[ShardResult]]) -> bool:
        """Keep the workers busy; False when no shard is to begin any more."""
        while len(waiting) < self._workers.count and not self._is_over:
            waiting.add(self._workers.executor.submit(self._workers.run, self._plan(self._next)))
            self._next += 1
        return not self._is_over

    def _plan(self, shard: int) -> ShardPlan:
        order = self._order
        left = max(order.seconds - self._elapsed, 0.1) if order.seconds else 0.0
        count = order.executions or self._target.executions
        return ShardPlan(
            order.target, order.seed, shard, count, order.options, left, order.limit_s, order.shrinks
        )

    def _take(self, done: Iterable[Future[ShardResult]]) -> None:
        for future in done:
            try:
                self.tally.add(future.result())
            except CancelledError:
                continue
        self.tally.seconds = self._elapsed
        self._tell(self.tally)

    def _shrink_crashes(self) -> None:
        """What killed its process could not be shrunk in it."""
        if self.tally.is_interrupted or not self._order.shrinks:
            return
        for key, finding in self.tally.findings.items():
            if key.startswith(("crash", "hang")) and not finding.is_shrunk:
                self.tally.findings[key] = shrink_in_processes(finding, min(self._order.limit_s, 5.0))
