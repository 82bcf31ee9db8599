"""Offloaded neighbours and paths as the miniport has them, and what every object has."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from vnic.gen.enums import ChmObject
from vnic.miniport.chimney_images import pack_neighbour, pack_path
from vnic.ndis.chimney import (
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    NEIGHBOR_OFFLOAD_STATE_CONST,
    NEIGHBOR_OFFLOAD_STATE_DELEGATED,
    PATH_OFFLOAD_STATE_CACHED,
    PATH_OFFLOAD_STATE_CONST,
)

if TYPE_CHECKING:
    from vnic.miniport.chimney_connection import Connection


class Kind(Enum):
    """Kinds of objects, as the card numbers them."""

    NEIGHBOUR = ChmObject.NEIGHBOUR
    PATH = ChmObject.PATH
    TCP = ChmObject.TCP


class ChimneyObject:
    """What the miniport writes into MiniportOffloadContext. `handle` is the card's, 0 without one.

    `is_open`: NdisMInitiateOffloadComplete has returned. `is_lost`: the card was reset or is gone, and the
    state with it; only a terminate is left to do.
    """

    kind: Kind

    def __init__(self, ndis_handle: object, parent: ChimneyObject | None) -> None:
        self.ndis_handle = ndis_handle
        self.parent = parent
        self.handle = 0
        self.is_open = False
        self.is_lost = False

    def lose(self) -> None:
        """The hardware lost it."""
        self.is_lost = True
        self.handle = 0


class Neighbour(ChimneyObject):
    """A neighbour; its CACHED values in force, and the newest given, of which the card may not have said yes.

    `asked`: NicReachabilityDelta of a query that the host has not been asked yet.
    """

    kind = Kind.NEIGHBOUR

    def __init__(
        self,
        ndis_handle: object,
        const: NEIGHBOR_OFFLOAD_STATE_CONST,
        cached: NEIGHBOR_OFFLOAD_STATE_CACHED,
    ) -> None:
        super().__init__(ndis_handle, None)
        self.const = const
        self.cached = self.newest = cached
        self.asked: int | None = None

    def image(self, cached: NEIGHBOR_OFFLOAD_STATE_CACHED | None = None) -> bytes:
        """Of an update; raises ImageError."""
        return pack_neighbour(self.const, cached or self.cached, NEIGHBOR_OFFLOAD_STATE_DELEGATED())


class Path(ChimneyObject):
    """A path; its CACHED values as last given, for an update that only links it to another neighbour."""

    kind = Kind.PATH

    def __init__(
        self,
        ndis_handle: object,
        parent: Neighbour,
        const: PATH_OFFLOAD_STATE_CONST,
        cached: PATH_OFFLOAD_STATE_CACHED,
    ) -> None:
        super().__init__(ndis_handle, parent)
        self.const = const
        self.cached = cached

    @property
    def is_ipv6(self) -> bool:
        """Whether its addresses are IPv6."""
        return len(self.const.SourceAddress) == 16

    def image(self, cached: PATH_OFFLOAD_STATE_CACHED | None = None) -> bytes:
        """Of an update; raises ImageError."""
        return pack_path(self.const, cached or self.cached, self.is_ipv6)


class Ending(Protocol):
    """What a terminated connection still has to do when all it had to tell is told."""

    def wind_up(self, connection: Connection) -> None:
        """End what is outstanding and report; called with the lock held."""
