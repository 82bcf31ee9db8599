"""The copy engine of a host: a second function on the machine, with its provider and the NetDMA interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from vnic.abi import EventType
from vnic.events import Event
from vnic.netdma.interface import NetDma
from vnic.protocol.netdma import Interface
from vnic.testbench.bench import Bench
from vnic.testbench.copy_bench import CopyBench

_CHANNELS_MAX = 16
#: Settings of a bench that hold for its copy engine too.
_SHARED = ("seed", "interrupt", "strict_dma", "scatter")


class Copier(Protocol):
    """A copy engine on a host's machine, as the host sees it."""

    @property
    def interface(self) -> Interface:
        """What a client registers with."""

    @property
    def interrupts(self) -> int:
        """How often the engine interrupted."""

    def close(self) -> None:
        """Stop the provider, and see that nothing is left."""

    def abandon(self) -> None:
        """Pull the plug."""


class EngineCopier:
    """Our engine, driver and interface; `parameters` are more of CopyBench."""

    def __init__(self, bench: Bench, **parameters: Any) -> None:
        self.bench = CopyBench(
            world=bench.world,
            memory=bench.memory,
            processors=bench.processors,
            controller=bench.controller,
            races=bench.races,
            **{"channels": min(len(bench.processors), _CHANNELS_MAX)} | parameters,
        )
        self.interrupts = 0
        self._observation = self.bench.engine.observe(self._on_interrupt, (EventType.INTERRUPT,))

    def _on_interrupt(self, event: Event) -> None:
        self.interrupts += 1

    @property
    def interface(self) -> NetDma:
        """The NetDMA interface."""
        return self.bench.interface

    def close(self) -> None:
        """Stop the provider, and see that nothing is left."""
        self._observation.cancel()
        self.bench.close()

    def abandon(self) -> None:
        """Pull the plug."""
        self.bench.abandon()


def engine_copier(settings: Mapping[str, Any], **parameters: Any) -> Callable[[Bench], Copier]:
    """Makes the engine of a machine whose bench has these settings."""
    shared = {name: settings[name] for name in _SHARED if name in settings}
    shared["is_checked"] = settings.get("checks_data", True)
    return lambda bench: EngineCopier(bench, **shared | parameters)
