"""Processor time that one stack spends in C, measured around each call into the library."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from vnic._core import lib
from vnic.stack import datagram, interface, native, offload, socket, stack, tcp
from vnic.stack.stack import Stack

_MODULES: tuple[ModuleType, ...] = (datagram, interface, native, offload, socket, stack, tcp)
_PREFIXES = ("vnic_stack_", "vnic_tcp_", "vnic_udp_")
_TRIALS = 2_000


class Stopwatch:
    """Counts while it is entered; `nanoseconds` are the thread's own, what measuring costs taken off.

    Every call of the package goes through it meanwhile, those of other stacks untimed.
    """

    def __init__(self, measured: Stack) -> None:
        self.calls = 0
        self._raw = measured.native.enter()
        self._spent_ns = 0
        self._cost_ns = 0.0
        self._timed = _Timed(self)

    @property
    def nanoseconds(self) -> int:
        """Time in the library so far."""
        return max(int(self._spent_ns - self.calls * self._cost_ns), 0)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed when it is about our stack."""
        raw, clock = self._raw, time.thread_time_ns

        def timed(*arguments: Any) -> Any:
            if not arguments or arguments[0] != raw:
                return function(*arguments)
            before = clock()
            try:
                return function(*arguments)
            finally:
                self._spent_ns += clock() - before
                self.calls += 1

        return timed

    def __enter__(self) -> Stopwatch:
        idle = self.wrap(lambda _: None)
        for _ in range(_TRIALS):
            idle(self._raw)
        self._cost_ns = self._spent_ns / _TRIALS
        self._spent_ns = self.calls = 0
        for module in _MODULES:
            module.lib = self._timed  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_: object) -> None:
        for module in _MODULES:
            module.lib = lib  # type: ignore[attr-defined]


class _Timed:
    """The library's functions, wrapped as they are asked for."""

    def __init__(self, watch: Stopwatch) -> None:
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        found = getattr(lib, name)
        if name.startswith(_PREFIXES):
            found = self._watch.wrap(found)
        setattr(self, name, found)
        return found
