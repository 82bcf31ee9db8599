"""Time that one stack spends in C, measured around each call into the library."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from vnic._core import ffi, lib
from vnic.stack import datagram, interface, native, offload, socket, stack, tcp
from vnic.stack.stack import Stack

_MODULES: tuple[ModuleType, ...] = (datagram, interface, native, offload, socket, stack, tcp)
_PREFIXES = ("vnic_stack_", "vnic_tcp_", "vnic_udp_")
_BATCHES, _TRIALS = 15, 400


#: Asked again and again by a virtual world, where a host would be interrupted: 0 is no work of a host's.
_POLLS = frozenset({"vnic_stack_transmit", "vnic_stack_events", "vnic_stack_offload_news"})


class Stopwatch:
    """Counts while it is entered; of several runs with the same work, the least is the truest.

    By the wall: the thread's own clock takes longer than most calls. What it costs to measure, and to come
    from Python into C and back, is taken off; a poll that finds nothing, the question for the next deadline
    and time that stands still do not count, nor does a copy hook that C calls. Every call of the package
    goes through it meanwhile, those of other stacks untimed.
    """

    def __init__(self, measured: Stack) -> None:
        self.calls = 0
        self._native = measured.native
        self._raw = measured.native.enter()
        self._spent_ns = 0
        self._cost_ns = self._hook_cost_ns = 0.0
        self._hooked = 0
        self._now_ns = -1
        self._timed = _Timed(self)

    @property
    def nanoseconds(self) -> int:
        """Time in the library so far."""
        costs_ns = self.calls * self._cost_ns + self._hooked * self._hook_cost_ns
        return max(int(self._spent_ns - costs_ns), 0)

    def wrap(self, function: Callable[..., Any], *, is_poll: bool = False) -> Callable[..., Any]:
        """The same function, timed when it is about our stack; a poll only when it finds something."""
        raw, clock = self._raw, time.perf_counter_ns

        def timed(*arguments: Any) -> Any:
            if not arguments or arguments[0] != raw:
                return function(*arguments)
            before = clock()
            result = function(*arguments)
            spent_ns = clock() - before
            if result or not is_poll:
                self._spent_ns += spent_ns
                self.calls += 1
            return result

        return timed

    def wrap_time(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """vnic_stack_time(), timed when time moves."""
        timed = self.wrap(function)

        def tell(stack: Any, now_ns: int) -> Any:
            if stack != self._raw or now_ns == self._now_ns:
                return function(stack, now_ns)
            self._now_ns = now_ns
            return timed(stack, now_ns)

        return tell

    def __enter__(self) -> Stopwatch:
        self._cost_ns = self._calibrate()
        self._hook_cost_ns = max(self._calibrate_hook() - self._cost_ns, 0.0)
        self._native.on_copy = self._wrap_hook(self._native.on_copy)  # type: ignore[method-assign]
        for module in _MODULES:
            module.lib = self._timed  # type: ignore[attr-defined]
        return self

    def _calibrate(self) -> float:
        """What a call costs that finds no socket: the least of batches, as others run too."""
        found = []
        idle = self.wrap(lib.vnic_tcp_offload_where)
        for _ in range(_BATCHES):
            self._spent_ns = 0
            for _ in range(_TRIALS):
                idle(self._raw, 0)
            found.append(self._spent_ns / _TRIALS)
        self._spent_ns = self.calls = 0
        return min(found)

    def _wrap_hook(self, hook: Callable[..., int]) -> Callable[..., int]:
        """Native.on_copy(), whose time is none of the stack's."""
        clock = time.perf_counter_ns

        def untimed(*arguments: Any) -> int:
            before = clock()
            try:
                return hook(*arguments)
            finally:
                self._hooked += 1
                self._spent_ns -= clock() - before

        return untimed

    def _calibrate_hook(self) -> float:
        """What it costs to come from C into the hook and back, and from here into C."""
        found = []
        clock, handle, nothing = time.perf_counter_ns, self._native.hook_handle, ffi.NULL
        hook: Any = lib.vnic_py_copy
        self._native.on_copy = self._wrap_hook(lambda *_: 0)  # type: ignore[method-assign]
        for _ in range(_BATCHES):
            for _ in range(_TRIALS):
                before = clock()
                hook(handle, nothing, nothing, 0, 0)
                self._spent_ns += clock() - before
            found.append(self._spent_ns / _TRIALS)
            self._spent_ns = 0
        del self._native.on_copy
        self._hooked = 0
        return min(found)

    def __exit__(self, *_: object) -> None:
        del self._native.on_copy
        for module in _MODULES:
            module.lib = lib  # type: ignore[attr-defined]


class _Timed:
    """The library's functions, wrapped as they are asked for."""

    def __init__(self, watch: Stopwatch) -> None:
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        found = getattr(lib, name)
        if name == "vnic_stack_time":
            found = self._watch.wrap_time(found)
        elif name.startswith(_PREFIXES) and name != "vnic_stack_deadline":
            found = self._watch.wrap(found, is_poll=name in _POLLS)
        setattr(self, name, found)
        return found
