"""Faults of OID requests: what stands between NDIS and a miniport, and spoils answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from vnic.abi import FaultAction
from vnic.host.clock import VirtualClock
from vnic.ndis.oid import oid_name
from vnic.ndis.oid_queue import OidQueue
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.fault_plan import Rule

#: A rule fired, on a request.
Fired = Callable[[int, OidRequest], None]


@dataclass(slots=True)
class _Slot:
    """A rule as it stands."""

    number: int
    rule: Rule
    random: Random
    seen: int = 0
    matched: int = 0


@dataclass(slots=True)
class OidFaults:
    """The rules for OID requests of a plan, in force until withdraw()."""

    queue: OidQueue
    clock: VirtualClock
    fired: Fired
    slots: list[_Slot] = field(default_factory=list)
    _spoiled: dict[int, tuple[OidRequest, Rule]] = field(default_factory=dict)
    #: Requests that wait, with what they end with.
    _waiting: dict[int, tuple[OidRequest, NDIS_STATUS]] = field(default_factory=dict)
    _below: Callable[[OidRequest], NDIS_STATUS] = field(init=False)
    _kept: Callable[[OidRequest, NDIS_STATUS], bool] = field(init=False)

    def __post_init__(self) -> None:
        self._below, self._kept = self.queue.ask, self.queue.keeps
        self.queue.ask, self.queue.keeps = self._ask, self._keeps

    def add(self, number: int, rule: Rule, seed: int) -> None:
        """A rule more; `number` is what `fired` is told."""
        self.slots.append(_Slot(number, rule, Random(seed)))

    def withdraw(self) -> None:
        """Requests reach the driver as before, and what waits is completed."""
        self.queue.ask, self.queue.keeps = self._below, self._kept
        self._spoiled.clear()
        for request, status in list(self._waiting.values()):
            self._complete(request, status)

    # -- what fires ------------------------------------------------------------------------------------------

    def _ask(self, request: OidRequest) -> NDIS_STATUS:
        """NDIS has a request for the driver."""
        slot = self._match(request)
        if slot is None:
            return self._below(request)
        self.fired(slot.number, request)
        if slot.rule.action == FaultAction.ERROR:
            return NDIS_STATUS(slot.rule.argument)
        if slot.rule.action == FaultAction.DROP:
            self._waiting[id(request)] = request, NDIS_STATUS.REQUEST_ABORTED
            return NDIS_STATUS.PENDING
        self._spoiled[id(request)] = request, slot.rule
        status = self._below(request)
        if status == NDIS_STATUS.PENDING or not self._keeps(request, status):
            return status
        return NDIS_STATUS.PENDING

    def _keeps(self, request: OidRequest, status: NDIS_STATUS) -> bool:
        """The driver's answer, by call or by return value; whether NDIS is not told of it now."""
        spoiled = self._spoiled.pop(id(request), None)
        if spoiled is None:
            return False
        if spoiled[1].action == FaultAction.DELAY:
            self._waiting[id(request)] = request, status
            self.clock.call_after(spoiled[1].argument, lambda: self._complete(request, status))
            return True
        self.queue.complete(request, status)
        return False

    def _complete(self, request: OidRequest, status: NDIS_STATUS) -> None:
        waiting = self._waiting.pop(id(request), None)
        if waiting is not None and self.queue.current is not None and self.queue.current.request is request:
            self.queue.complete(request, status)

    def _match(self, request: OidRequest) -> _Slot | None:
        """Every rule counts; the first of those whose turn it is fires."""
        ready = [slot for slot in self.slots if _is_match(slot, request) and _has_turn(slot)]
        return ready[0] if ready else None


def _is_match(slot: _Slot, request: OidRequest) -> bool:
    where = slot.rule.where
    is_kind = where.access in ("", "query" if request.is_query else "set")
    return is_kind and where.name in ("", oid_name(request.oid))


def _has_turn(slot: _Slot) -> bool:
    rule = slot.rule
    slot.seen += 1
    if rule.one_in > 1 and slot.random.randrange(rule.one_in) != 0:
        return False
    if rule.every > 1 and slot.seen % rule.every != 0:
        return False
    turn, slot.matched = slot.matched, slot.matched + 1
    return rule.after <= turn < rule.after + rule.times
