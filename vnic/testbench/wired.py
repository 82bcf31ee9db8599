"""Two machines and the wire between their cards, in one virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from vnic.link.wire import Impairments, Wire
from vnic.testbench.bench import Bench
from vnic.testbench.world import World


class WiredBenches:
    """`first`, `second`: Bench parameters of sides 0 and 1. `forth`, `back`: what the wire does to frames."""

    def __init__(
        self,
        *,
        first: Mapping[str, Any] | None = None,
        second: Mapping[str, Any] | None = None,
        forth: Impairments | None = None,
        back: Impairments | None = None,
        seed: int = 0,
    ) -> None:
        self.world = World()
        self.wire = Wire(forth=forth, back=back, seed=seed)
        self.first = Bench(world=self.world, link=self.wire.end(0), **dict(first or {}))
        mac = {"mac": bytes.fromhex("020000000002")}
        others = dict(second or {})
        others["device"] = mac | dict(others.get("device", {}))
        self.second = Bench(world=self.world, link=self.wire.end(1), **others)
        self.wire.attach(0, self.first.device)
        self.wire.attach(1, self.second.device)
        self.world.add_link(self.wire)
        self._open = ExitStack()

    def settle(self) -> None:
        """Run until nothing is under way on either side or on the wire."""
        self.world.settle()

    def set_link(self, up: bool) -> None:
        """Pull or plug the wire; both cards see it."""
        self.wire.set_link(up, self.world.clock.now_ns)
        self.settle()

    def __enter__(self) -> WiredBenches:
        self._open.enter_context(self.first)
        self._open.enter_context(self.second)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.settle()
        self._open.__exit__(kind, error, trace)
