"""FaultPlan: what shall go wrong, where and when, as a value that is built, written, read and armed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultPick, FaultSite, FaultTimer
from vnic.errors import ArgumentError
from vnic.fault import ANY, Fault, refusal
from vnic.gen.enums import ChmObject, ChmOp
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, COPY_BAR0
from vnic.ndis.oid import OID
from vnic.ndis.status import NDIS_STATUS

__all__ = [
    "ALWAYS",
    "FaultPlan",
    "Pending",
    "Rule",
    "Where",
    "admin",
    "descriptor_fetch",
    "dma",
    "frame",
    "interrupt",
    "oid",
    "payload",
    "register",
    "timer",
    "write_back",
]

ALWAYS: Final = (1 << 64) - 1
_LAST: Final = (1 << 64) - 1
_WORD: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15

#: The registers of BAR0 by kind of function and name.
MAPS: Final[dict[str, dict[str, Register]]] = {
    kind: {each.name: each for each in map_} for kind, map_ in (("nic", BAR0.MAP), ("copy", COPY_BAR0.MAP))
}
#: What a request for an OID can suffer; the device's table is in vnic.fault.
OID_ACTIONS: Final = (FaultAction.ERROR, FaultAction.DROP, FaultAction.DUPLICATE, FaultAction.DELAY)


@dataclass(frozen=True, slots=True)
class Where:
    """A site and what is looked at there.

    word: how it begins as text. name: of the register, OID, timer, purpose or operation, "" any.
    access: read, write, in, out, query, set, "" where there is only one, or any OID request.
    index: queue, vector, or element of a register. first, last: the range; of a register within it.
    """

    word: str
    name: str = ""
    access: str = ""
    index: int | None = None
    first: int = 0
    last: int = _LAST

    def __str__(self) -> str:
        parts = [self.word, self.name, self.access]
        parts += [f"index={self.index}"] if self.index is not None else []
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Rule:
    """`where` suffers `action` at the matches after the first `after`, `times` times.

    argument, mask: as in Fault; of `error` at an OID an NDIS_STATUS. Of all occurrences, each `every`th or by
    chance one in `one_in` is a match.
    """

    where: Where
    action: FaultAction
    argument: int = 0
    mask: int = _WORD
    after: int = 0
    times: int = 1
    every: int = 1
    one_in: int = 1

    def fault(self, kind: str = "nic", seed: int = 0) -> Fault:
        """What a function of a kind (nic or copy) is armed with. Raises ArgumentError."""
        fault = replace(
            _site_of(self.where, kind), action=self.action, argument=self.argument, mask=self.mask
        )
        fault = replace(fault, skip=self.after, count=self.times)
        if self.one_in > 1:
            fault = replace(fault, pick=FaultPick.CHANCE, one_in=self.one_in, seed=seed)
        elif self.every > 1:
            fault = replace(fault, pick=FaultPick.EVERY, one_in=self.every)
        if (why := refusal(fault)) is not None:
            raise ArgumentError(f"{self.where}: {why}")
        return fault

    @property
    def is_of_oid(self) -> bool:
        """Whether it is applied between NDIS and the miniport, not in the device."""
        return self.where.word == "oid"


def check_rule(rule: Rule) -> None:
    """Raise ArgumentError, saying why, for a rule that no machine could be armed with."""
    if rule.every > 1 and rule.one_in > 1:
        raise ArgumentError(f"{rule.where}: every={rule.every} or one-in={rule.one_in}, not both")
    if min(rule.every, rule.one_in, rule.times) < 1 or rule.after < 0:
        raise ArgumentError(f"{rule.where}: times, every and one-in are at least 1, after at least 0")
    if rule.is_of_oid:
        _check_oid(rule)
        return
    if rule.action == FaultAction.ERROR and rule.where.word in ("register", "timer") and rule.argument:
        raise ArgumentError(f"an error of {rule.where} has no status")
    kind = next((k for k, m in MAPS.items() if rule.where.name in m), "nic")
    rule.fault(kind)


def _check_oid(rule: Rule) -> None:
    if rule.action not in OID_ACTIONS:
        words = ", ".join(action.name.lower() for action in OID_ACTIONS)
        raise ArgumentError(f"{rule.where}: {rule.action.name} means nothing for a request; {words} do")
    if rule.action == FaultAction.ERROR:
        failures = {int(status): status for status in NDIS_STATUS} | {int(NDIS_STATUS.SUCCESS): None}
        if failures.get(rule.argument) in (None, NDIS_STATUS.PENDING):
            raise ArgumentError(f"{rule.where}: {rule.argument:#x} is no failure's NDIS_STATUS")
    if rule.action == FaultAction.DELAY and rule.argument < 1:
        raise ArgumentError(f"{rule.where}: a delay of 0 changes nothing")


# -- sites ---------------------------------------------------------------------------------------------------


def register(name: str, queue: int | None = None, *, access: str = "write") -> Where:
    """A register, or element `queue` of an array of them; access: read or write. Raises ArgumentError."""
    where = Where("register", name, access, queue)
    if access not in ("read", "write"):
        raise ArgumentError(f"a register is read or written: {access!r}")
    found = [map_ for map_ in MAPS.values() if name in map_]
    if not found:
        raise ArgumentError(f"no register {name!r}; {_near(name, [*MAPS['nic'], *MAPS['copy']])}")
    _offset(found[0][name], queue)
    return where


def dma(access: str, purpose: str = "", *, first: int = 0, last: int = _LAST) -> Where:
    """DMA, read or write, of a purpose (descriptor, data, header, completion, test, state), in a range."""
    if access not in ("read", "write"):
        raise ArgumentError(f"DMA is read or write: {access!r}")
    if purpose:
        _member(DmaPurpose, purpose, "purpose of DMA")
    return Where("dma", purpose, access, None, first, last)


def descriptor_fetch() -> Where:
    """A fetch of descriptors."""
    return dma("read", "descriptor")


def write_back() -> Where:
    """The write-back of a completion."""
    return dma("write", "completion")


def payload(access: str) -> Where:
    """DMA of payload, read (transmit, sends) or write (receive)."""
    return dma(access, "data")


def interrupt(vector: int | None = None) -> Where:
    """A message, or with the line in force an edge of it (vector 0)."""
    return Where("interrupt", index=vector)


def frame(direction: str, queue: int | None = None, *, shortest: int = 0, longest: int = _LAST) -> Where:
    """A frame, in from or out to the link; queue: only out."""
    if direction not in ("in", "out"):
        raise ArgumentError(f"a frame goes in or out: {direction!r}")
    if direction == "in" and queue is not None:
        raise ArgumentError("a frame that comes in has no queue yet")
    return Where("frame", "", direction, queue, shortest, longest)


def timer(name: str, number: int | None = None) -> Where:
    """A timer: moderation (number: vector), tcp or push (number: connection)."""
    _member(FaultTimer, name, "timer")
    return Where("timer", name, "", number)


def admin(operation: str = "", kind: str = "") -> Where:
    """A chimney command: create, update, query, invalidate, terminate; of a neighbour, path or tcp."""
    if operation:
        _member(ChmOp, operation, "operation")
    number = int(_member(ChmObject, kind, "object")) if kind else None
    return Where("admin", operation, "", number)


def oid(name: str, access: str = "") -> Where:
    """An OID request, query or set, "" both; name: with OID_, "" any."""
    if access not in ("", "query", "set"):
        raise ArgumentError(f"a request is a query or a set: {access!r}")
    names = [f"OID_{member}" for member in OID.__members__]
    if name and name not in names:
        raise ArgumentError(f"no OID {name!r}; {_near(name, names)}")
    return Where("oid", name, access)


def _near(word: str, words: list[str]) -> str:
    """What somebody may have meant."""
    close = get_close_matches(word, words, 4, 0.5)
    return (
        "did you mean " + " or ".join(close) + "?"
        if close
        else f"there are {', '.join(sorted(words)[:12])} ..."
    )


def _member(enum: type[DmaPurpose | FaultTimer | ChmOp | ChmObject], word: str, what: str) -> int:
    """A member by its name in any case; ArgumentError names those that there are."""
    names: dict[str, int] = {name.lower(): int(value) for name, value in enum.__members__.items()}
    if word.lower() not in names:
        raise ArgumentError(f"no {what} {word!r}: {', '.join(names)}")
    return names[word.lower()]


def _offset(register_: Register, index: int | None) -> int:
    try:
        return register_.at(index or 0)
    except IndexError:
        raise ArgumentError(f"{register_.name} has {register_.count} elements: {index}") from None


def _register_site(where: Where, kind: str) -> Fault:
    map_ = MAPS[kind]
    if where.name not in map_:
        raise ArgumentError(f"a function of kind {kind} has no register {where.name}")
    first = _offset(map_[where.name], where.index)
    site = FaultSite.MMIO_READ if where.access == "read" else FaultSite.MMIO_WRITE
    last = first + map_[where.name].bytes - 1
    return Fault(site=site, action=FaultAction.REMOVE, index=0, first=first, last=last)


def _ranged(where: Where, index: int) -> Fault:
    """A timer or a command: the number is a range of one."""
    site = FaultSite.TIMER if where.word == "timer" else FaultSite.ADMIN
    first, last = (0, _LAST) if where.index is None else (where.index, where.index)
    return Fault(site=site, action=FaultAction.REMOVE, index=index, first=first, last=last)


def _site_of(where: Where, kind: str) -> Fault:
    """Site, index and range."""
    index = ANY if where.index is None else where.index
    match where.word:
        case "register":
            return _register_site(where, kind)
        case "timer":
            return _ranged(where, _member(FaultTimer, where.name, "timer"))
        case "admin":
            return _ranged(where, _member(ChmOp, where.name, "operation") if where.name else ANY)
        case "dma":
            site = FaultSite.DMA_READ if where.access == "read" else FaultSite.DMA_WRITE
            index = _member(DmaPurpose, where.name, "purpose of DMA") if where.name else ANY
        case "interrupt":
            site = FaultSite.INTERRUPT
        case "frame":
            site = FaultSite.FRAME_IN if where.access == "in" else FaultSite.FRAME_OUT
        case _:
            raise ArgumentError(f"{where}: not a site of a device")
    return Fault(site=site, action=FaultAction.REMOVE, index=index, first=where.first, last=where.last)


# -- the plan ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Rules that are armed together; `seed` feeds the chances. `on(...)` gives a plan with one rule more."""

    rules: tuple[Rule, ...] = ()
    seed: int = 0

    def on(self, where: Where) -> Pending:
        """The start of a rule: say next what happens."""
        return Pending(self, where)

    def and_rule(self, rule: Rule) -> FaultPlan:
        """The plan with a rule more. Raises ArgumentError."""
        check_rule(rule)
        return replace(self, rules=(*self.rules, rule))

    def seeds(self) -> Iterator[int]:
        """The start of each rule's generator: far apart, and the same for the same plan."""
        for number, _ in enumerate(self.rules, 1):
            yield (self.seed * 0xD1342543DE82EF95 + number * _GOLDEN) & _WORD

    def __or__(self, other: FaultPlan) -> FaultPlan:
        return replace(self, rules=self.rules + other.rules)

    def __len__(self) -> int:
        return len(self.rules)


@dataclass(frozen=True, slots=True)
class Pending:
    """A site to which something is about to happen; each method gives the plan with that rule.

    when: after (matches that pass first), times (how often; default once, always with `every`, `one_in` or
    for what sticks), every (each n-th occurrence is a match), one_in (one in n by chance).
    """

    plan: FaultPlan
    where: Where

    def error(self, status: int | None = None, **when: int) -> FaultPlan:
        """Ends with a DmaStatus, ChmStatus or NDIS_STATUS; registers: all ones; default: an abort."""
        usual = {"dma": int(DmaStatus.ABORTED), "admin": 1, "oid": int(NDIS_STATUS.FAILURE)}
        argument = usual.get(self.where.word, 0) if status is None else int(status)
        return self._add(FaultAction.ERROR, when, argument=argument)

    def drop(self, **when: int) -> FaultPlan:
        """Is lost."""
        return self._add(FaultAction.DROP, when)

    def corrupt(self, mask: int = 1, offset: int = 0, **when: int) -> FaultPlan:
        """8 bytes at `offset` are XORed with `mask`, lowest byte first."""
        return self._add(FaultAction.CORRUPT, when, argument=offset, mask=mask)

    def duplicate(self, later_ns: int = 0, **when: int) -> FaultPlan:
        """Happens twice."""
        return self._add(FaultAction.DUPLICATE, when, argument=later_ns)

    def delay(self, ns: int, **when: int) -> FaultPlan:
        """Happens later."""
        return self._add(FaultAction.DELAY, when, argument=ns)

    def reorder(self, behind: int = 1, **when: int) -> FaultPlan:
        """Happens behind so many matches more."""
        return self._add(FaultAction.REORDER, when, argument=behind)

    def stuck(self, value: int, mask: int, **when: int) -> FaultPlan:
        """Bits of `mask` are those of `value`."""
        return self._add(FaultAction.STUCK, {"times": ALWAYS} | when, argument=value, mask=mask)

    def stuck_field(self, field: str, value: int, **when: int) -> FaultPlan:
        """A field of the register reads, or is written, as `value`. Raises ArgumentError."""
        found = next((map_[self.where.name] for map_ in MAPS.values() if self.where.name in map_), None)
        fields = {each.name: each for each in found.fields} if found is not None else {}
        if field not in fields:
            raise ArgumentError(f"{self.where} has no field {field!r}: {', '.join(fields) or 'none at all'}")
        if not 0 <= value <= fields[field].max:
            raise ArgumentError(f"{field} has {fields[field].width} bits: {value}")
        return self.stuck(value << fields[field].lsb, fields[field].mask, **when)

    def remove(self, **when: int) -> FaultPlan:
        """The card is gone instead: surprise removal."""
        return self._add(FaultAction.REMOVE, when)

    #: Of timers.
    early = error
    lost = drop
    late = delay

    def _add(self, action: FaultAction, when: dict[str, int], **parts: int) -> FaultPlan:
        unknown = set(when) - {"after", "times", "every", "one_in"}
        if unknown:
            raise TypeError(f"when is after, times, every or one_in: {', '.join(sorted(unknown))}")
        is_thinned = when.get("every", 1) > 1 or when.get("one_in", 1) > 1
        usual = {"times": ALWAYS} if is_thinned else {}
        return self.plan.and_rule(Rule(self.where, action, **parts, **(usual | when)))
