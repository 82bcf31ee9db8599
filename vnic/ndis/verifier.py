"""The watch on every call across the NDIS border: who runs, at which level, after which calls, who erred."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from vnic.host.clock import VirtualClock
from vnic.host.cpu import Level, Processors
from vnic.ndis.net_buffer_list import NetBufferError, NetBufferList, walk
from vnic.ndis.rule import Rule
from vnic.ndis.rules import AT_DISPATCH, CALLS_BACK, LEVELS, RULES

#: What stands on the stack of running code while NDIS itself works.
NDIS = object()


@dataclass(slots=True)
class Call:
    """One crossing of the NDIS border; `depth` is how many calls it is nested in."""

    time_ns: int
    cpu: int
    level: Level
    depth: int
    text: str
    result: str = ""

    def __str__(self) -> str:
        head = f"{self.time_ns:>12} cpu{self.cpu} {self.level.name:<8} {'  ' * self.depth}{self.text}"
        return f"{head} -> {self.result}" if self.result else head


class NdisViolation(AssertionError):
    """A driver broke a rule; names it, its public page, and the calls that led there."""

    def __init__(
        self,
        rule: Rule,
        driver: str,
        message: str,
        history: tuple[Call, ...],
        about: tuple[Call, ...] = (),
    ) -> None:
        self.rule = rule
        self.rule_id = rule.id
        self.source_page = rule.page
        self.driver = driver
        self.history = history
        self.about = about
        calls = "\n".join(f"  {call}" for call in history[-24:])
        super().__init__(
            f"{rule.id}: {driver}: {message}\n  rule: a {rule.binds} driver {rule.text}\n"
            f"  source: {rule.page}\n  last calls, oldest first:\n{calls}{_of_the_object(about)}"
        )


def _of_the_object(calls: tuple[Call, ...]) -> str:
    lines = "".join(f"\n  {call}" for call in calls)
    return f"\n  calls for this object, oldest first:{lines}" if calls else ""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened: inside which driver calls, and in how deeply nested a frame of processors."""

    entries: tuple[int, ...]
    depth: int


class Verifier:
    """Shared by everything in the NDIS layer; implements Custodian for the NBLs that pass through.

    With `verify_data` the bytes of sends and indications are checksummed when they change hands.
    """

    def __init__(
        self,
        processors: Processors,
        clock: VirtualClock,
        *,
        history_length: int = 256,
        verify_data: bool = True,
    ) -> None:
        self.processors = processors
        self.clock = clock
        self.verify_data = verify_data
        self.history: deque[Call] = deque(maxlen=history_length)
        self.violations: list[NdisViolation] = []
        self._running: list[object] = []
        self._entries: list[int] = []
        self._entered = 0

    # -- breaches ------------------------------------------------------------------------------------------

    def breach(self, rule_id: str, driver: object, message: str, about: Sequence[Call] = ()) -> NdisViolation:
        """Record a breach; the caller raises what it returns. `violations` keeps it if a driver hides it.

        `about` are the calls that concern the object in question.
        """
        name = self.name_of(driver)
        violation = NdisViolation(RULES[rule_id], name, message, tuple(self.history), tuple(about))
        self.violations.append(violation)
        return violation

    @staticmethod
    def name_of(driver: object) -> str:
        """What a driver is called: its class, or what it says itself (a filter: who is below it)."""
        return driver if isinstance(driver, str) else getattr(driver, "driver_name", type(driver).__name__)

    def require(self, condition: bool, rule_id: str, driver: object, message: str) -> None:
        """Raise the breach of a rule unless `condition` holds."""
        if not condition:
            raise self.breach(rule_id, driver, message)

    def on_touch(self, nbl: NetBufferList) -> None:
        """An NBL is read or written: by its holder, by NDIS, or by code outside of any driver call."""
        if not self._running:
            return
        driver = self._running[-1]
        if driver is not NDIS and driver is not nbl.holder:
            holder = "NDIS" if nbl.holder is NDIS else self.name_of(nbl.holder)
            raise self.breach("NBL-1", driver, f"a NET_BUFFER_LIST that {holder} owns was touched")

    def give(self, nbl: NetBufferList, holder: object) -> None:
        """Ownership of an NBL passes on; from now on nobody else may touch it."""
        nbl.custodian = self
        nbl.holder = holder

    def walk(self, chain: NetBufferList | None, driver: object) -> list[NetBufferList]:
        """The NBLs of a chain that `driver` passed; raises NBL-2 on a cycle."""
        try:
            return list(walk(chain))
        except NetBufferError as error:
            raise self.breach("NBL-2", driver, str(error)) from None

    # -- moments -------------------------------------------------------------------------------------------

    def moment(self) -> Moment:
        """Now."""
        return Moment(tuple(self._entries), self.processors.depth)

    def must_know(self, moment: Moment) -> bool:
        """Whether the driver code that runs now can have seen what happened at a moment.

        It cannot when another processor's code did it, which got ahead while this call was already under way.
        """
        if not self._entries:
            return True
        return self._entries[-1] not in moment.entries or moment.depth <= self.processors.depth

    # -- crossings -----------------------------------------------------------------------------------------

    @property
    def driver(self) -> object:
        """The driver that runs now, None outside of drivers."""
        return self._running[-1] if self._running and self._running[-1] is not NDIS else None

    @property
    def last_call(self) -> Call | None:
        """The newest line of the history."""
        return self.history[-1] if self.history else None

    def note(self, text: str) -> Call:
        """Add a line to the history."""
        processors = self.processors
        depth = len(self._running)
        call = Call(self.clock.now_ns, processors.current, processors.level, depth, text)
        self.history.append(call)
        return call

    @contextmanager
    def entering(self, driver: object, function: str, detail: str = "") -> Iterator[Call]:
        """NDIS calls a driver; other processors may get ahead before and after it."""
        processors = self.processors
        processors.yield_point(function)
        call = self.note(f"{function}({detail})")
        level, locks = processors.level, processors.locks_held
        self._running.append(driver)
        self._entered += 1
        self._entries.append(self._entered)
        try:
            yield call
        finally:
            self._entries.pop()
            self._running.pop()
        if processors.level != level or processors.locks_held != locks:
            raise self.breach("LOCK-2", driver, f"{function} returned at {processors.level.name}")
        processors.yield_point(f"{function} returned")

    @contextmanager
    def called(self, driver: object, function: str, detail: str = "") -> Iterator[Call]:
        """A driver calls NDIS: its level and locks are checked, other processors may get ahead around it."""
        processors = self.processors
        call = self.note(f"{function}({detail})")
        if processors.level > LEVELS[function]:
            allowed = LEVELS[function].name
            raise self.breach("LEVEL-1", driver, f"{function} at {processors.level.name}; {allowed} at most")
        if function in AT_DISPATCH and processors.level != Level.DISPATCH:
            raise self.breach("LEVEL-3", driver, f"{function} at {processors.level.name}")
        if processors.locks_held and function in CALLS_BACK:
            raise self.breach("LOCK-1", driver, f"{function} with a spin lock held")
        processors.yield_point(function)
        self._running.append(NDIS)
        try:
            yield call
        finally:
            self._running.pop()
        processors.yield_point(f"{function} returned")

    def check_dispatch_flag(self, driver: object, function: str, flags: int) -> None:
        """Bit 0 of every flags argument is DISPATCH_LEVEL."""
        if flags & 1 and self.processors.level != Level.DISPATCH:
            level = self.processors.level.name
            raise self.breach("LEVEL-2", driver, f"{function} with the DISPATCH_LEVEL flag at {level}")

    @property
    def dispatch_flag(self) -> int:
        """The DISPATCH_LEVEL flag for a call that NDIS makes now."""
        return int(self.processors.level == Level.DISPATCH)
