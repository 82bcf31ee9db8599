"""A trial of one fault: seeded in a copy, judged with the drivers that it concerns, healed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from tests.mutants.workshop import BuildError
from tests.seeded.fault import Fault, Subject
from tests.seeded.judgement import Judgement, judge
from tests.seeded.workshop import C_LIBRARY, SeededWorkshop

REFERENCE = "reference"
PYTHON_EXAMPLE = "vnic/examples/minimal.py:Minimal"
#: Whom to judge, by what is broken; of a card one driver that notices is enough.
DRIVERS: Mapping[Subject, tuple[str, ...]] = {
    Subject.MINIPORT: (REFERENCE,),
    Subject.PROVIDER: (REFERENCE,),
    Subject.COPY_ENGINE: (REFERENCE,),
    Subject.C_EXAMPLE: (C_LIBRARY,),
    Subject.PYTHON_EXAMPLE: (PYTHON_EXAMPLE,),
    Subject.CARD: (REFERENCE, C_LIBRARY, PYTHON_EXAMPLE),
}
#: Groups of the suite that can say something of a subject; all where none are named.
GROUPS: Mapping[Subject, tuple[str, ...]] = {
    Subject.PROVIDER: ("netdma", "netdma_chains", "netdma_ends", "netdma_machine", "netdma_details"),
    Subject.COPY_ENGINE: (
        "netdma",
        "netdma_chains",
        "engine",
        "engine_channels",
        "engine_interrupts",
        "engine_errors",
        "engine_overlap",
        "engine_state",
        "engine_details",
    ),
}


class Outcome(Enum):
    """What came of a fault."""

    CAUGHT = "caught"
    MISSED = "NOT CAUGHT"
    #: It could not be built, or the suite did not run: this says nothing.
    VOID = "CANNOT BE TRIED"


@dataclass(frozen=True, slots=True)
class Trial:
    """`cases` by driver: those that fail with the fault and not without it."""

    fault: Fault
    outcome: Outcome
    cases: Mapping[str, Mapping[str, str]]
    seconds: float
    said: str = ""

    @property
    def names(self) -> list[str]:
        """The cases that catch it, each once, with how when they do not just fail."""
        found = {
            case if verdict == "FAILED" else f"{case} ({verdict})": None
            for failed in self.cases.values()
            for case, verdict in failed.items()
        }
        return list(found)

    def pack(self) -> dict[str, Any]:
        """As plain values."""
        fault = asdict(self.fault) | {
            "subject": self.fault.subject.value,
            "cites": self.fault.cites._asdict(),
        }
        cases = {driver: dict(failed) for driver, failed in self.cases.items()}
        return {"fault": fault, "outcome": self.outcome.value, "cases": cases, "seconds": self.seconds}


class Baseline:
    """What fails without a fault, by driver and groups: found out once for all copies, which are alike."""

    def __init__(self) -> None:
        self._failing: dict[tuple[str, tuple[str, ...]], frozenset[str]] = {}
        self._lock = threading.Lock()

    def of(self, driver: str, groups: tuple[str, ...], find: Callable[[], frozenset[str]]) -> frozenset[str]:
        """The cases; `find` is asked when nobody has asked before."""
        with self._lock:
            if (driver, groups) not in self._failing:
                self._failing[driver, groups] = find()
            return self._failing[driver, groups]


class Court:
    """Judges drivers in one workshop; what fails there without a fault counts for nothing."""

    def __init__(
        self, workshop: SeededWorkshop, baseline: Baseline, *, limit_seconds: float, is_first_enough: bool
    ) -> None:
        self._workshop = workshop
        self._baseline = baseline
        self._limit_seconds = limit_seconds
        self._is_first_enough = is_first_enough

    def _judge(
        self, driver: str, groups: tuple[str, ...], known: frozenset[str], is_first: bool
    ) -> Judgement:
        arguments = [word for group in groups for word in ("--only", group)]
        return judge(
            self._workshop.folder,
            driver,
            limit_seconds=self._limit_seconds,
            is_first_enough=is_first,
            known=known,
            arguments=["--jobs", "1", *arguments],
        )

    def known(self, driver: str, groups: tuple[str, ...]) -> frozenset[str]:
        """The cases that fail with a sound copy. Raises BuildError when the suite does not run."""

        def find() -> frozenset[str]:
            found = self._judge(driver, groups, frozenset(), False)
            if found.is_void or found.is_over_time:
                raise BuildError(f"{driver} cannot be judged without a fault:\n{found.said}")
            return frozenset(found.failed)

        return self._baseline.of(driver, groups, find)

    def try_out(self, fault: Fault, groups: tuple[str, ...] = ()) -> Trial:
        """Seed it, judge by groups of the suite, or by those that concern its subject, heal."""
        began = time.monotonic()
        drivers, groups = DRIVERS[fault.subject], groups or GROUPS.get(fault.subject, ())
        if fault.occurrences(self._workshop.folder) != 1:
            return Trial(fault, Outcome.VOID, {}, 0.0, f"the text to be replaced is not once in {fault.file}")
        try:
            known = {driver: self.known(driver, groups) for driver in drivers}
            self._workshop.seed(fault)
        except BuildError as error:
            return Trial(fault, Outcome.VOID, {}, time.monotonic() - began, str(error))
        try:
            cases, said = self._judge_all(drivers, groups, known)
        finally:
            self._workshop.heal(fault)
        outcome = Outcome.VOID if said else Outcome.CAUGHT if any(cases.values()) else Outcome.MISSED
        return Trial(fault, outcome, cases, time.monotonic() - began, said)

    def _judge_all(
        self, drivers: tuple[str, ...], groups: tuple[str, ...], known: Mapping[str, frozenset[str]]
    ) -> tuple[dict[str, dict[str, str]], str]:
        """The failed cases by driver, up to the first driver that has some; and why there is no verdict."""
        cases: dict[str, dict[str, str]] = {}
        for driver in drivers:
            found = self._judge(driver, groups, known[driver], self._is_first_enough)
            cases[driver] = found.failed
            if found.is_over_time and not found.failed:
                cases[driver] = {"the whole suite": "HUNG"}
            elif found.is_void:
                return cases, found.said
            if cases[driver]:
                break
        return cases, ""
