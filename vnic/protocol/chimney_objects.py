"""Neighbours and paths of one target as the host counts them: who hangs on whom, and what is under way."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from vnic.ndis.chimney import NDIS_OFFLOAD_HANDLE
from vnic.stack.address import Address
from vnic.stack.offload import Route

if TYPE_CHECKING:
    from vnic.protocol.chimney_connection import Connection


PathKey = tuple[int, Address, Address]


def path_key(route: Route) -> PathKey:
    """What makes two routes one path: connections never move between paths."""
    return route.interface, route.source, route.destination


class Phase(Enum):
    """Where a state object is."""

    HOST = "InHost"
    INITIATING = "Offloading"
    TARGET = "Offloaded"
    TERMINATING = "Uploading"


class Owned(NDIS_OFFLOAD_HANDLE):
    """The handle of an object that knows its object, as one in C is found around its handle."""

    __slots__ = ("owner",)

    def __init__(self, owner: Neighbour | Path | Connection) -> None:
        super().__init__()
        self.owner = owner


class Neighbour:
    """A next hop; `key` is the stack's name for it."""

    def __init__(self, route: Route) -> None:
        self.key = (route.interface, route.neighbour)
        self.handle = Owned(self)
        self.phase = Phase.HOST
        self.mac = route.mac
        self.vlan = route.vlan
        #: In the order they came, as all collections here: what follows from it is the same in every run.
        self.paths: dict[Path, None] = {}
        #: An update or invalidation is under way: no other, and no termination. [INV-37]
        self.is_busy = False
        self.is_invalid = False
        #: The target asked and was told "stale": it waits for better news.
        self.is_doubted = False

    @property
    def is_settled(self) -> bool:
        """Whether it is at the target and nothing is under way."""
        return self.phase is Phase.TARGET and not self.is_busy

    def __str__(self) -> str:
        return f"neighbour {self.mac.hex(':')}"


class Path:
    """A pair of addresses over a neighbour."""

    def __init__(self, route: Route, neighbour: Neighbour) -> None:
        self.key = path_key(route)
        self.handle = Owned(self)
        self.phase = Phase.HOST
        self.route = route
        self.mtu = route.path_mtu
        self.neighbour = neighbour
        #: Where it is to hang, and does not yet.
        self.relink_to: Neighbour | None = None
        self.connections: dict[Connection, None] = {}
        self.is_busy = False
        neighbour.paths[self] = None

    @property
    def is_ipv6(self) -> bool:
        """The version of its addresses."""
        return self.route.destination.version == 6

    @property
    def is_settled(self) -> bool:
        """Whether it is at the target and nothing is under way."""
        return self.phase is Phase.TARGET and not self.is_busy

    def hang_on(self, neighbour: Neighbour) -> None:
        """Another next hop."""
        self.neighbour.paths.pop(self, None)
        self.neighbour = neighbour
        neighbour.paths[self] = None

    def __str__(self) -> str:
        return f"path {self.route.source} - {self.route.destination}"


class ObjectTable:
    """The neighbours and paths of one target; dependents keep those above them alive."""

    def __init__(self) -> None:
        self.neighbours: dict[tuple[int, int], Neighbour] = {}
        self.paths: dict[PathKey, Path] = {}

    def neighbour(self, route: Route) -> Neighbour:
        """The next hop of a route, made when it is new."""
        key = (route.interface, route.neighbour)
        found = self.neighbours.get(key)
        if found is None:
            found = self.neighbours[key] = Neighbour(route)
        return found

    def path(self, route: Route) -> Path:
        """The path of a route, made with its neighbour when it is new."""
        found = self.paths.get(path_key(route))
        if found is None:
            found = Path(route, self.neighbour(route))
            self.paths[found.key] = found
        return found

    def forget_path(self, path: Path) -> None:
        """It is nowhere but here, and nobody hangs on it."""
        path.neighbour.paths.pop(path, None)
        if self.paths.get(path.key) is path:
            del self.paths[path.key]

    def forget_neighbour(self, neighbour: Neighbour) -> None:
        """Likewise."""
        if self.neighbours.get(neighbour.key) is neighbour:
            del self.neighbours[neighbour.key]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the target."""
        return not self.neighbours and not self.paths

    def idle_paths(self) -> list[Path]:
        """Offloaded paths that no connection needs."""
        return [path for path in self.paths.values() if not path.connections and path.is_settled]

    def idle_neighbours(self) -> list[Neighbour]:
        """Offloaded neighbours that no path needs."""
        return [each for each in self.neighbours.values() if not each.paths and each.is_settled]
