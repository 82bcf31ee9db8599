"""Virtual CPUs: level, pending interrupts and DPCs of each, and the scheduler that interleaves them.

One Python thread plays all processors. Code that runs "on another processor" runs nested, to its end, at a
yield point of the code it races with; a processor never runs anything at or below the level it is at. With a
seed the choice at each yield point is random and reproducible; without one, yield points do nothing and
pending work waits for run_until_idle().
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from types import TracebackType


class Level(IntEnum):
    """Interrupt request level of a processor, as far as a network driver sees it."""

    PASSIVE = 0
    DISPATCH = 2
    DIRQL = 5


class Kind(Enum):
    """What a processor can be given to run, with the level it runs at."""

    INTERRUPT = Level.DIRQL
    DPC = Level.DISPATCH
    WORK = Level.PASSIVE

    @property
    def level(self) -> Level:
        """The level at which such an item runs."""
        return self.value


class SchedulerError(RuntimeError):
    """Work that never ends, a wait at raised level, or a processor that does not exist."""


class DeadlockError(SchedulerError):
    """A spin lock would be waited for by the processor that holds it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the schedule log; `depth` counts the frames it interrupted."""

    where: str
    cpu: int
    kind: Kind
    name: str
    depth: int


@dataclass(slots=True, eq=False)
class Item:
    """Something pending on one processor."""

    kind: Kind
    cpu: int
    source: Hashable
    name: str
    run: Callable[[], object]


@dataclass(slots=True)
class Processor:
    """State and counters of one virtual CPU."""

    level: Level = Level.PASSIVE
    interrupts: int = 0
    dpcs: int = 0
    work_items: int = 0
    pending: dict[tuple[Kind, Hashable], Item] = field(default_factory=dict)


class Processors:
    """`count` virtual CPUs; `seed` turns yield points into seeded preemption."""

    def __init__(
        self, count: int = 1, seed: int | None = None, *, preemption: float = 0.5, log_length: int = 4096
    ) -> None:
        if count < 1:
            raise SchedulerError("a host has at least one processor")
        self.seed = seed
        self.current = 0
        self.depth = 0
        self.locks_held = 0
        #: The spin locks that are held, in the order in which they were taken.
        self.locks: list[SpinLock] = []
        self.schedule: deque[Step] = deque(maxlen=log_length)
        self._cpus = [Processor() for _ in range(count)]
        self._work: deque[Item] = deque()
        self._random = None if seed is None else random.Random(seed)
        self._preemption = preemption

    def __len__(self) -> int:
        return len(self._cpus)

    def __getitem__(self, cpu: int) -> Processor:
        if not 0 <= cpu < len(self._cpus):
            raise SchedulerError(f"there is no processor {cpu}; the host has {len(self._cpus)}")
        return self._cpus[cpu]

    @property
    def level(self) -> Level:
        """The level of the processor that executes now."""
        return self._cpus[self.current].level

    # -- making work ---------------------------------------------------------------------------------------

    def raise_interrupt(self, handler: Callable[[int], object], cpu: int, source: Hashable = None) -> bool:
        """Make handler(cpu) pending at DIRQL; False when this source already pends there (it merges)."""
        key = handler if source is None else source
        return self._pend(Kind.INTERRUPT, cpu, key, handler, lambda: handler(cpu))

    def queue_dpc(
        self, cpu: int, routine: Callable[[object], None], argument: object = None, source: Hashable = None
    ) -> bool:
        """Queue routine(argument) at DISPATCH; False when this DPC object is queued on that CPU already."""
        key = routine if source is None else source
        return self._pend(Kind.DPC, cpu, key, routine, lambda: routine(argument))

    def queue_work(self, routine: Callable[[], None], cpu: int | None = None) -> None:
        """Queue a work item for a system thread, at PASSIVE, on `cpu` or the current one; never coalesced."""
        target = self.current if cpu is None else cpu
        self._work.append(Item(Kind.WORK, target, id(routine), _name_of(routine), routine))

    def _pend(
        self,
        kind: Kind,
        cpu: int,
        source: Hashable,
        routine: Callable[..., object],
        run: Callable[[], object],
    ) -> bool:
        pending = self[cpu].pending
        if (kind, source) in pending:
            return False
        pending[kind, source] = Item(kind, cpu, source, _name_of(routine), run)
        return True

    def discard(self, source: Hashable) -> int:
        """Forget what pends for `source` on any processor; returns how many items that were."""
        keys = [(cpu, key) for cpu in self._cpus for key in cpu.pending if key[1] == source]
        for cpu, key in keys:
            del cpu.pending[key]
        return len(keys)

    def is_pending(self, source: Hashable) -> bool:
        """Whether an interrupt or DPC of `source` waits on any processor."""
        return any(key[1] == source for cpu in self._cpus for key in cpu.pending)

    @property
    def is_idle(self) -> bool:
        """Whether nothing at all is pending."""
        return not self._work and not any(cpu.pending for cpu in self._cpus)

    @property
    def pending(self) -> list[Item]:
        """All that waits: interrupts and DPCs by processor, then work items."""
        return [*(item for cpu in self._cpus for item in cpu.pending.values()), *self._work]

    # -- running it ----------------------------------------------------------------------------------------

    @property
    def eligible(self) -> list[Item]:
        """What could run next from PASSIVE: each interrupt and DPC that no level keeps, one work item."""
        return [*self._eligible(), *list(self._work)[:1]]

    def run_one(self, item: Item) -> None:
        """Run one of `eligible`, to its end; SchedulerError when it is none, or not at PASSIVE."""
        if self.level != Level.PASSIVE:
            raise SchedulerError(f"processor {self.current} is at {self.level.name}; only PASSIVE chooses")
        if not any(each is item for each in self.eligible):
            raise SchedulerError(f"{item.name} on processor {item.cpu} cannot run now")
        self._run(item, "chosen")

    def yield_point(self, where: str) -> None:
        """A place where other processors may get ahead: runs any number of eligible interrupts and DPCs."""
        if self._random is None:
            return
        while self._random.random() < self._preemption:
            eligible = self._eligible()
            if not eligible:
                return
            self._run(self._random.choice(eligible), where)

    def run_until_idle(self, limit: int = 100_000) -> int:
        """Run all that pends, and what it makes pending; returns the number of items run.

        Raises SchedulerError at raised level (a wait there hangs a real machine) and after `limit` items.
        """
        if self.level != Level.PASSIVE:
            raise SchedulerError(
                f"processor {self.current} waits at {self.level.name}; only PASSIVE may wait"
            )
        for ran in range(limit):
            item = self._next()
            if item is None:
                return ran
            self._run(item, "idle")
        busiest = self._next()
        name = busiest.name if busiest else "nothing"
        raise SchedulerError(f"still busy after {limit} items; next would be {name}: an interrupt storm?")

    def _eligible(self) -> list[Item]:
        items = []
        for cpu in self._cpus:
            for item in cpu.pending.values():
                if item.kind.level > cpu.level and not (item.kind is Kind.DPC and self.locks_held):
                    items.append(item)
        return items

    def _next(self) -> Item | None:
        eligible = self._eligible()
        if self._random is not None:
            choices = [*eligible, *list(self._work)[:1]]
            return self._random.choice(choices) if choices else None
        for kind in (Kind.INTERRUPT, Kind.DPC):
            for item in eligible:
                if item.kind is kind:
                    return item
        return self._work[0] if self._work else None

    def _run(self, item: Item, where: str) -> None:
        cpu = self[item.cpu]
        self._take(item, cpu)
        self.schedule.append(Step(where, item.cpu, item.kind, item.name, self.depth))
        saved_current, saved_level = self.current, cpu.level
        self.current, cpu.level = item.cpu, item.kind.level
        self.depth += 1
        try:
            item.run()
        finally:
            self.depth -= 1
            self.current, cpu.level = saved_current, saved_level

    def _take(self, item: Item, cpu: Processor) -> None:
        if item.kind is Kind.WORK:
            self._work.remove(item)
            cpu.work_items += 1
            return
        del cpu.pending[item.kind, item.source]
        if item.kind is Kind.INTERRUPT:
            cpu.interrupts += 1
        else:
            cpu.dpcs += 1

    # -- the level of the running code ---------------------------------------------------------------------

    @contextmanager
    def raised_to(self, level: Level) -> Iterator[None]:
        """Run a block of the current processor at `level` (KeRaiseIrql / KeLowerIrql); never lowers."""
        cpu = self._cpus[self.current]
        saved = cpu.level
        if level < saved:
            raise SchedulerError(f"cannot raise from {saved.name} to {level.name}")
        cpu.level = level
        try:
            yield
        finally:
            cpu.level = saved

    @contextmanager
    def on(self, cpu: int) -> Iterator[None]:
        """Move the running thread to `cpu` for a block (thread affinity); only at PASSIVE on both sides."""
        if self.level != Level.PASSIVE or self[cpu].level != Level.PASSIVE:
            raise SchedulerError("a thread changes its processor at PASSIVE only")
        saved, self.current = self.current, cpu
        try:
            yield
        finally:
            self.current = saved


class SpinLock:
    """A spin lock: the holder's processor is at DISPATCH; taking it twice on one processor is a deadlock.

    While any lock is held the scheduler runs no DPC (it would have to spin until the holder goes on).
    """

    def __init__(self, processors: Processors, name: str = "lock") -> None:
        self.name = name
        self.owner: int | None = None
        self._processors = processors
        self._saved = Level.PASSIVE

    def __enter__(self) -> SpinLock:
        processors = self._processors
        if self.owner is not None:
            raise DeadlockError(f"processor {processors.current} spins on {self.name}, held by {self.owner}")
        if processors.level > Level.DISPATCH:
            raise DeadlockError(f"{self.name} taken at {processors.level.name}")
        cpu = processors[processors.current]
        self.owner, self._saved, cpu.level = processors.current, cpu.level, Level.DISPATCH
        processors.locks_held += 1
        processors.locks.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.owner is not None
        self._processors[self.owner].level = self._saved
        self._processors.locks_held -= 1
        self._processors.locks.remove(self)
        self.owner = None


def _name_of(routine: Callable[..., object]) -> str:
    inner = getattr(routine, "func", routine)  # functools.partial
    return getattr(inner, "__qualname__", type(inner).__name__)
