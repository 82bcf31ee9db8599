"""What can be fuzzed: targets by name, each a scene, and how it is made anew for each execution."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from vnic.errors import ArgumentError
from vnic.fuzz.scene import Scene
from vnic.testbench.driver import DriverError, load_driver

__all__ = ["TARGETS", "Target", "target_of"]


@dataclass(frozen=True, slots=True)
class Target:
    """`where` is module:Class of its scene, imported when used; `executions` take a few seconds.

    manners: options that vary from one execution to the next, drawn anew for each.
    """

    name: str
    summary: str
    where: str
    executions: int
    length: int
    manners: Callable[[Random], dict[str, Any]]

    @property
    def scene(self) -> type[Scene]:
        """The class of its scenes."""
        module, _, name = self.where.partition(":")
        found: type[Scene] = getattr(importlib.import_module(module), name)
        return found

    def prepare(self, options: Mapping[str, Any]) -> None:
        """Import what the first scene would: that takes time, and none of an execution's. ArgumentError."""
        self.scene  # noqa: B018 - it is imported by being named
        if isinstance(driver := options.get("driver"), str):
            try:
                load_driver(driver)
            except DriverError as error:
                raise ArgumentError(str(error)) from error

    def make(self, options: Mapping[str, Any]) -> Scene:
        """A scene; ArgumentError for options that it does not know."""
        return self.scene(dict(options))  # type: ignore[call-arg]  # every scene takes its options


def _driver(random: Random) -> dict[str, Any]:
    """Half of the executions race; the interrupts are of all kinds; keywords now and then."""
    keywords = {name: random.choice(values) for name, values in _KEYWORDS.items() if not random.randrange(4)}
    return {
        "seed": random.choice((0, random.randrange(1, 1 << 16))),
        "interrupt": random.choice(("msix", "msix", "msi", "line")),
        "unbounded": bool(random.randrange(3)),
        "keywords": keywords,
    }


_KEYWORDS: Mapping[str, tuple[int, ...]] = {
    "*HeaderDataSplit": (1,),
    "*JumboPacket": (1514, 9014),
    "*PriorityVLANTag": (0, 1, 2),
    "*RSS": (0,),
    "*ReceiveBuffers": (8, 64),
    "*TransmitBuffers": (8, 64),
    "*InterruptModeration": (0,),
}


def _card(random: Random) -> dict[str, Any]:
    return {
        "is_up": bool(random.randrange(4)),
        "is_answering": bool(random.randrange(2)),
        "split": random.choice((0, 1, 2, 3, 64)),
        "is_watched": bool(random.randrange(2)),
        "is_restored": bool(random.randrange(2)),
    }


def _copy(random: Random) -> dict[str, Any]:
    return {"split": random.choice((1, 2, 7)), "is_overlapping": bool(random.randrange(2))}


def _machine(random: Random) -> dict[str, Any]:
    return {"seed": random.choice((0, random.randrange(1, 1 << 16)))}


def _engine(random: Random) -> dict[str, Any]:
    return {
        "seed": random.choice((0, random.randrange(1, 1 << 16))),
        "interrupt": random.choice(("msix", "msi", "line")),
        "minor": random.choice((10, 11, 20, 21)),
        "is_overlapping": bool(random.randrange(2)),
    }


def _hostile_engine(random: Random) -> dict[str, Any]:
    return {**_engine(random), "unbounded": bool(random.randrange(3))}


def _nothing(random: Random) -> dict[str, Any]:
    return {}


TARGETS: Mapping[str, Target] = {
    each.name: each
    for each in (
        Target(
            "card", "a hostile driver against the card", "vnic.fuzz.card_scene:CardScene", 400, 40, _card
        ),
        Target(
            "copy", "a hostile driver against the copy engine",
            "vnic.fuzz.copy_scene:CopyScene", 600, 40, _copy,
        ),
        Target(
            "driver", "a hostile card against a driver (--driver)",
            "vnic.fuzz.hostile_driver:HostileDriverScene", 60, 60, _driver,
        ),
        Target(
            "machine", "driver, card and wire: nothing lost, nothing twice, restored at any step",
            "vnic.fuzz.machine_scene:MachineScene", 60, 50, _machine,
        ),
        Target(
            "chimney", "connections that move into the card and back while data moves",
            "vnic.fuzz.chimney_scene:ChimneyScene", 10, 40, _machine,
        ),
        Target(
            "chimney-driver", "a hostile card against a driver whose connections are offloaded (--driver)",
            "vnic.fuzz.hostile_chimney:HostileChimneyScene", 40, 80, _driver,
        ),
        Target(
            "netdma", "the NetDMA provider under a client, the PnP manager and a failing bus",
            "vnic.fuzz.netdma_scene:NetDmaScene", 60, 50, _engine,
        ),
        Target(
            "netdma-driver", "a hostile copy engine against the NetDMA provider",
            "vnic.fuzz.hostile_engine:HostileEngineScene", 60, 60, _hostile_engine,
        ),
        Target(
            "trace", "damaged traces: read, replayed, never more than an error",
            "vnic.fuzz.trace_scene:TraceScene", 400, 12, _nothing,
        ),
    )
}  # fmt: skip


def target_of(name: str) -> Target:
    """By name; ArgumentError with those there are."""
    if name not in TARGETS:
        raise ArgumentError(f"no target {name!r}; there are {', '.join(TARGETS)}")
    return TARGETS[name]
