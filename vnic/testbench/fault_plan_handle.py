"""Arming fault plans: the handle says which rule fired, how often and when."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vnic.abi import EventType
from vnic.copy_engine import CopyEngine
from vnic.errors import ArgumentError, ClosedError
from vnic.events import Event
from vnic.fault import FaultHandle
from vnic.function import PciFunction
from vnic.ndis.oid import oid_name
from vnic.ndis.oid_request import OidRequest
from vnic.testbench.card import Card
from vnic.testbench.fault_plan import FaultPlan
from vnic.testbench.fault_plan_oid import OidFaults
from vnic.testbench.fault_plan_text import format_rule, parse_plan

if TYPE_CHECKING:
    from vnic.testbench.bench import Bench

__all__ = ["Firing", "NeverFired", "PlanHandle", "arm"]


class NeverFired(AssertionError):
    """A plan was armed that had to fire, and a rule of it did not."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule fired: its number in the plan, when, and on what (index and address, or the OID)."""

    rule: int
    time_ns: int
    index: int
    addr: int


class PlanHandle:
    """An armed plan; as a context manager it disarms at the end of the block."""

    def __init__(self, plan: FaultPlan, must_fire: bool = False) -> None:
        self.plan = plan
        self.must_fire = must_fire
        self.firings: list[Firing] = []
        self._handles: dict[int, FaultHandle] = {}
        self._rules: dict[int, int] = {}
        self._observation: Any = None
        self._oids: OidFaults | None = None

    # -- what it says ----------------------------------------------------------------------------------------

    @property
    def fired(self) -> int:
        """How often its rules fired, all together."""
        return len(self.firings)

    def fired_of(self, rule: int) -> int:
        """How often one rule fired."""
        return sum(firing.rule == rule for firing in self.firings)

    @property
    def first_fired_ns(self) -> int | None:
        """Virtual time of the first firing."""
        return self.firings[0].time_ns if self.firings else None

    @property
    def silent(self) -> list[str]:
        """Rules that never fired, as text."""
        rules = enumerate(self.plan.rules)
        return [format_rule(rule) for number, rule in rules if not self.fired_of(number)]

    def check(self) -> None:
        """Raise NeverFired unless every rule fired."""
        if self.silent:
            raise NeverFired("never fired: " + "; ".join(self.silent))

    # -- its life --------------------------------------------------------------------------------------------

    def disarm(self) -> None:
        """Take it out; what it keeps goes its way, unless the device is closed already. Idempotent."""
        if self._oids is not None:
            self._oids.withdraw()
            self._oids = None
        with suppress(ClosedError):
            for handle in self._handles.values():
                handle.disarm()
            if self._observation is not None:
                self._observation.cancel()
        self._handles.clear()
        self._observation = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disarm()
        if kind is None and self.must_fire:
            self.check()

    # -- arming ----------------------------------------------------------------------------------------------

    def arm_function(self, function: PciFunction[Any]) -> None:
        """Arm the rules for a device. Raises ArgumentError, CapacityError; then none is armed."""
        kind = "copy" if isinstance(function, CopyEngine) else "nic"
        seeds = self.plan.seeds()
        faults = {
            number: rule.fault(kind, seed)
            for (number, rule), seed in zip(enumerate(self.plan.rules), seeds, strict=True)
            if not rule.is_of_oid
        }
        if faults:
            self._observation = function.observe(self._note, [EventType.FAULT])
        try:
            for number, fault in faults.items():
                handle = self._handles[number] = function.arm(fault)
                self._rules[handle.number] = number
        except Exception:
            self.disarm()
            raise

    def arm_requests(self, bench: Bench) -> None:
        """Put the rules for OID requests between NDIS and the miniport."""
        rules = [
            (number, rule, seed)
            for (number, rule), seed in zip(enumerate(self.plan.rules), self.plan.seeds(), strict=True)
            if rule.is_of_oid
        ]
        if not rules:
            return
        device: Card = bench.device

        def fired(number: int, request: OidRequest) -> None:
            self.firings.append(Firing(number, bench.clock.now_ns, 0, request.oid))
            if isinstance(device, PciFunction):
                told = format_rule(self.plan.rules[number])
                device.mark(f"fault {number} of the plan: {told}, on {oid_name(request.oid)}")

        self._oids = OidFaults(bench.adapter.oids.queue, bench.clock, fired)
        for number, rule, seed in rules:
            self._oids.add(number, rule, seed)

    def _note(self, event: Event) -> None:
        """A fault of the device fired; others' are not ours."""
        if event.value in self._rules:
            firing = Firing(self._rules[event.value], event.time_ns, event.index, event.addr)
            self.firings.append(firing)


def arm(target: Bench | PciFunction[Any], plan: FaultPlan | str, *, must_fire: bool = False) -> PlanHandle:
    """Arm a plan, or the text of one, on a bench or a device.

    must_fire: the end of a `with` raises NeverFired where a rule did not fire. Rules for OID requests need a
    bench. Raises ArgumentError, CapacityError.
    """
    wanted = parse_plan(plan) if isinstance(plan, str) else plan
    handle = PlanHandle(wanted, must_fire)
    if isinstance(target, PciFunction):
        if any(rule.is_of_oid for rule in wanted.rules):
            raise ArgumentError("a device gets no OID requests: arm the plan on a bench")
        handle.arm_function(target)
        return handle
    handle.arm_function(target.device)
    handle.arm_requests(target)
    return handle
