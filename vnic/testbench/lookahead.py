"""A copy of a function that nobody sees: what its next step would do, and what its registers say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from vnic.abi import DmaStatus, EventType, Map
from vnic.events import Event
from vnic.function import PciFunction

FunctionT = TypeVar("FunctionT", bound=PciFunction[Any])

_ACTS = (EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT, EventType.FRAME_OUT)


class Lookahead(Generic[FunctionT]):
    """Of one function; it is made of a snapshot each time, so that nothing of the function itself moves.

    The copy reads the memory that the function reads, and what it writes goes nowhere. It knows nothing of
    faults that are armed, nor of callbacks that answer for memory that is not mapped.
    """

    def __init__(self, function: FunctionT) -> None:
        self._function = function
        self._copy = _unwatched(function)
        self._copy.answer_unmapped(self._answer)
        self._events: list[Event] = []
        self._copy.observe(self._events.append, _ACTS)

    def close(self) -> None:
        """Free the copy; idempotent."""
        self._copy.close()

    def copy(self) -> FunctionT:
        """The function as it is now, to read its registers; valid until the next call here."""
        self._copy.load(self._function.save())
        return self._copy

    def foresee(self, part: int) -> list[Event]:
        """What one step of an engine would do: its DMA, interrupts and frames, in their order."""
        copy = self.copy()
        self._events.clear()
        copy.step(part)
        return list(self._events)

    def _answer(self, addr: int, data: memoryview, is_write: bool) -> DmaStatus:
        """As the function's own map does, but for the writing."""
        wanted = Map.WRITE if is_write else Map.READ
        offset = 0
        while offset < len(data):
            found = self._function.memory_at(addr + offset, len(data) - offset)
            if found is None:
                return DmaStatus.UNSUPPORTED
            memory, permissions = found
            if not permissions & wanted:
                return DmaStatus.ABORTED
            if not is_write:
                data[offset : offset + len(memory)] = memory
            offset += len(memory)
        return DmaStatus.OK


def _unwatched(function: FunctionT) -> FunctionT:
    """Another function of the same kind, of which those who watch for new ones do not hear."""
    watchers, PciFunction.watchers = PciFunction.watchers, []
    try:
        make: Callable[..., FunctionT] = type(function)
        return make(function.config, manual=True)
    finally:
        PciFunction.watchers = watchers
