"""Faults to inject into a device: what to match, and what happens then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vnic.abi import DmaStatus, FaultAction, FaultSite

__all__ = ["ANY", "DmaStatus", "Fault", "FaultAction", "FaultHandle", "FaultSite"]

ANY = 0xFF
_ALL = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Matches (skip+1) to (skip+count) of `site` behave as `action` says.

    index: DMA purpose, vector, queue or BAR. first, last: bus addresses or register offsets, inclusive; of
    frames, lengths. argument: of ERROR the DmaStatus, of CORRUPT where 8 bytes are XORed with `mask`.
    """

    site: FaultSite
    action: FaultAction
    index: int = ANY
    first: int = 0
    last: int = _ALL
    skip: int = 0
    count: int = 1
    argument: int = 0
    mask: int = _ALL


class Registry(Protocol):
    """Where faults are armed: a device."""

    def fault_fired(self, number: int) -> int:
        """How often a fault fired."""

    def disarm(self, number: int) -> None:
        """Take a fault out."""


class FaultHandle:
    """An armed fault; as a context manager it disarms at the end of the block."""

    def __init__(self, registry: Registry, fault: Fault, number: int) -> None:
        self.fault = fault
        self.number = number
        self._registry = registry
        self._fired_last: int | None = None

    @property
    def is_armed(self) -> bool:
        """Whether disarm() was not called yet."""
        return self._fired_last is None

    @property
    def fired(self) -> int:
        """How often it fired; after disarm(), what it was then."""
        return self._registry.fault_fired(self.number) if self._fired_last is None else self._fired_last

    def disarm(self) -> int:
        """Take it out; how often it fired. Idempotent."""
        if self._fired_last is None:
            self._fired_last = self.fired
            self._registry.disarm(self.number)
        return self._fired_last

    def __enter__(self) -> FaultHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.disarm()
