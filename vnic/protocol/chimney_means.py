"""What all connections of a host's chimney work with: the stack's side, memory, and buffers that are out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from vnic.protocol.chimney_memory import Reach
from vnic.stack.offload import Offload


@dataclass(frozen=True, slots=True)
class ReceivePlan:
    """When receives are posted ahead of the data, and how much."""

    #: Bytes indicated before; a user who takes this much reads in bulk.
    after_bytes: int = 128 << 10
    buffers: int = 4
    buffer_bytes: int = 32 << 10


class Loans:
    """Memory that the stack has, by cookie: a connection offloaded again finds what its last round lent."""

    def __init__(self) -> None:
        self._cookies = itertools.count(1)
        self._lenders: dict[int, Callable[[int], None]] = {}

    @property
    def is_any(self) -> bool:
        """Whether the stack has some."""
        return bool(self._lenders)

    def lend(self, on_return: Callable[[int], None]) -> int:
        """A cookie, which on_return() is called with."""
        cookie = next(self._cookies)
        self._lenders[cookie] = on_return
        return cookie

    def cancel(self, cookie: int) -> None:
        """It was not taken."""
        del self._lenders[cookie]

    def end(self, cookie: int) -> None:
        """It came back."""
        self._lenders.pop(cookie)(cookie)


class Means(NamedTuple):
    """What every connection of a host works with."""

    offload: Offload
    reach: Reach
    plan: ReceivePlan
    loans: Loans
