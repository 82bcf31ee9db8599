"""What NDIS keeps of each offloaded object: whose it is, what hangs on it, what is being done with it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from vnic.ndis.chimney import NDIS_OFFLOAD_HANDLE, Cached, Const
from vnic.ndis.verifier import Call

if TYPE_CHECKING:
    from vnic.ndis.binding import Binding
    from vnic.ndis.chimney_connection import Connection

_CALLS_KEPT = 48


class Kind(IntEnum):
    """The level of a tree on which an object stands."""

    NEIGHBOR = 0
    PATH = 1
    TCP = 2


class Phase(Enum):
    """Where an object is between initiate and terminate."""

    OFFLOADING = "being offloaded"
    OFFLOADED = "offloaded"
    TERMINATING = "being terminated"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class OffloadObject:
    """A neighbor, path or TCP connection; a miniport gets it as NdisOffloadHandle and only passes it back."""

    kind: Kind
    number: int
    binding: Binding
    handle: NDIS_OFFLOAD_HANDLE
    is_ipv6: bool = False
    parent: OffloadObject | None = None
    dependents: set[OffloadObject] = field(default_factory=set)
    phase: Phase = Phase.OFFLOADING
    const: Const | None = None
    cached: Cached | None = None
    #: NdisMInitiateOffloadComplete has returned.
    is_announced: bool = False
    is_updating: bool = False
    is_invalidating: bool = False
    is_invalid: bool = False
    queries: int = 0
    #: Of a neighbor: when it was last asked about with the answer 0.
    queried_ns: int | None = None
    connection: Connection | None = None
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=_CALLS_KEPT))

    def __str__(self) -> str:
        return f"{self.kind.name.lower()} {self.number}"

    def __repr__(self) -> str:
        return f"<{self} {self.phase.value}>"

    @property
    def is_usable(self) -> bool:
        """Whether calls other than the one in progress may name it."""
        return self.phase is Phase.OFFLOADED

    def remember(self, call: Call) -> None:
        """One more call that concerned it."""
        self.calls.append(call)


class Registry:
    """The objects of one adapter."""

    def __init__(self) -> None:
        self._numbers = dict.fromkeys(Kind, 0)
        self.live: set[OffloadObject] = set()
        self.initiated = 0
        self.terminated = 0

    def create(self, kind: Kind, binding: Binding, handle: NDIS_OFFLOAD_HANDLE) -> OffloadObject:
        """An object that is being offloaded."""
        self._numbers[kind] += 1
        found = OffloadObject(kind, self._numbers[kind], binding, handle)
        handle.NdisReserved = found
        self.live.add(found)
        return found

    def attach(self, child: OffloadObject, parent: OffloadObject | None) -> None:
        """`child` hangs on `parent` from now on, and on nothing else."""
        if child.parent is not None:
            child.parent.dependents.discard(child)
        child.parent = parent
        if parent is not None:
            parent.dependents.add(child)

    def forget(self, found: OffloadObject) -> None:
        """It was terminated, or never offloaded."""
        self.attach(found, None)
        found.phase = Phase.GONE
        found.handle.NdisReserved = None
        found.handle.MiniportOffloadContext.value = None
        self.live.discard(found)

    def of(self, binding: Binding) -> list[OffloadObject]:
        """The objects of one binding, in order."""
        mine = [each for each in self.live if each.binding is binding]
        return sorted(mine, key=lambda each: (each.kind, each.number))

    def count(self, kind: Kind) -> int:
        """How many objects of a kind are offloaded; one that is being offloaded does not count."""
        return sum(each.kind is kind and each.phase is not Phase.OFFLOADING for each in self.live)
