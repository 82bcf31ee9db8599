"""A case of the conformance suite: what is done to a driver, and the public page whose rule it checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

from vnic.abi import EventType
from vnic.copy_engine import CopyEngine
from vnic.errors import ArgumentError
from vnic.events import Event
from vnic.testbench.bench import Bench
from vnic.testbench.copy_bench import CopyBench
from vnic.testbench.engine_rig import EngineRig
from vnic.testbench.rig import Rig

__all__ = [
    "CASES",
    "Case",
    "Feature",
    "NotSupported",
    "Run",
    "RunCard",
    "RunEngine",
    "RunProvider",
    "Subject",
    "card_case",
    "case",
    "engine_case",
    "provider_case",
]

#: Does it to a bench whose machine holds the driver under test. An exception is the verdict's reason.
Run = Callable[[Bench], None]
#: The same to the provider of a copy engine.
RunProvider = Callable[[CopyBench], None]
#: The same to the card, by registers and rings.
RunCard = Callable[[Rig], None]
#: The same to the copy engine, by registers and chains.
RunEngine = Callable[[EngineRig], None]


#: Rig or EngineRig.
Hardware = TypeVar("Hardware")
_DMA = (EventType.DMA_READ, EventType.DMA_WRITE)


class Feature(Enum):
    """What a driver may lack: a case that needs it is then NOT SUPPORTED. Seen by attributes and OIDs
    only."""

    CHECKSUM = "checksum offload"
    LSO = "large send offload"
    VLAN = "802.1Q"
    RSS = "receive side scaling"
    CHIMNEY = "TCP chimney"
    POWER = "D3"
    MULTICAST = "multicast list"
    CANCEL = "NdisCancelSendNetBufferLists"


class Subject(Enum):
    """Who is judged."""

    MINIPORT = "miniport"
    PROVIDER = "NetDMA provider"
    CARD = "card"
    ENGINE = "copy engine"


class NotSupported(Exception):
    """Raised by a case: the driver says that it does not have what the case is about."""


@dataclass(frozen=True, slots=True)
class Case:
    """`name` is group.function; `page` says where the rule stands, `rule` what it says there.

    done: what the case does, from the function's docstring. bench: parameters of Bench. seeds: the case runs
    once with each. is_rough: it breaks the card or pulls it out, so DMA may fail and registers may read all
    ones. subject: who is judged; of a provider `bench` are parameters of CopyBench, of the card those of Rig,
    of the copy engine those of CopyEngine.
    """

    name: str
    title: str
    page: str
    rule: str
    run: Callable[[Any], None]
    needs: frozenset[Feature] = frozenset()
    bench: Mapping[str, Any] = field(default_factory=dict)
    done: str = ""
    seeds: tuple[int | None, ...] = (None,)
    is_rough: bool = False
    subject: Subject = Subject.MINIPORT

    @property
    def group(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]


#: All of them by name, in the order in which they were declared.
CASES: dict[str, Case] = {}


def case(
    page: str,
    rule: str,
    *needs: Feature,
    seeds: tuple[int, ...] = (),
    is_rough: bool = False,
    **bench: Any,
) -> Callable[[Run], Run]:
    """Declare a function as a case: its docstring's first sentence is the title, its module the group."""

    def declare(run: Run) -> Run:
        found = _described(run, page, rule)
        _keep(replace(found, needs=frozenset(needs), bench=bench, seeds=seeds or (None,), is_rough=is_rough))
        return run

    return declare


def provider_case(
    page: str, rule: str, *, seeds: tuple[int, ...] = (), is_rough: bool = False, **bench: Any
) -> Callable[[RunProvider], RunProvider]:
    """As case(), of the provider of a copy engine."""

    def declare(run: RunProvider) -> RunProvider:
        found = _described(run, page, rule)
        subject = Subject.PROVIDER
        _keep(replace(found, bench=bench, seeds=seeds or (None,), is_rough=is_rough, subject=subject))
        return run

    return declare


def card_case(page: str, rule: str, **rig: Any) -> Callable[[RunCard], RunCard]:
    """As case(), of the card itself; `rig` are parameters of Rig."""

    def again(run: RunCard) -> None:
        with Rig(**rig) as watched, watched.device.observe(_look_away, _DMA):
            run(watched)

    def declare(run: RunCard) -> RunCard:
        found = _described(run, page, rule)
        _keep(replace(found, run=_also_watched(run, again), bench=rig, subject=Subject.CARD))
        return run

    return declare


def engine_case(page: str, rule: str, **engine: Any) -> Callable[[RunEngine], RunEngine]:
    """As case(), of the copy engine itself; `engine` are parameters of CopyEngine."""

    def again(run: RunEngine) -> None:
        with CopyEngine(**engine) as watched, watched.observe(_look_away, _DMA):
            run(EngineRig(watched))

    def declare(run: RunEngine) -> RunEngine:
        found = _described(run, page, rule)
        _keep(replace(found, run=_also_watched(run, again), bench=engine, subject=Subject.ENGINE))
        return run

    return declare


def _look_away(event: Event) -> None:
    """Somebody is told of each transfer: nothing is taken together, all of it passes the choke point."""


def _also_watched(
    run: Callable[[Hardware], None], again: Callable[[Callable[[Hardware], None]], None]
) -> Callable[[Hardware], None]:
    """Short ways must not be observable: a case runs as it is, and where none is taken."""

    def twice(hardware: Hardware) -> None:
        run(hardware)
        try:
            again(run)
        except AssertionError as error:
            raise AssertionError(f"where each transfer is watched: {error}") from error

    return twice


def _described(run: Callable[[Any], None], page: str, rule: str) -> Case:
    name = f"{run.__module__.rpartition('.')[2]}.{run.__name__}"
    done = " ".join((run.__doc__ or "").split())
    return Case(name, done.partition(". ")[0].rstrip("."), page, rule, run, done=done)


def _keep(case: Case) -> None:
    if case.name in CASES or not case.title or not case.page or not case.rule:
        raise ArgumentError(f"{case.name}: declared twice, or without a docstring, page or rule")
    CASES[case.name] = case
