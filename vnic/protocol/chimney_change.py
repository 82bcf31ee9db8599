"""What changes under offloaded connections: addresses of neighbours, path MTUs, next hops; as updates."""

from __future__ import annotations

from vnic.ndis.chimney import (
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    PATH_OFFLOAD_STATE_CACHED,
)
from vnic.protocol.chimney_blocks import neighbour_update, path_update, relink
from vnic.protocol.chimney_connection import Connection
from vnic.protocol.chimney_objects import Neighbour, ObjectTable, Path, Phase
from vnic.protocol.chimney_state import ticks
from vnic.stack.offload import Route

_Block = NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
Changed = Neighbour | Path | Connection


class Changes:
    """What the target has to be told, at most one update of an object at a time.

    An object that changes again while its update is under way is told once more afterwards.
    """

    def __init__(self, table: ObjectTable, ticks_per_second: int) -> None:
        self._table = table
        self._ticks = ticks_per_second
        self._neighbours: dict[Neighbour, Route] = {}
        self._paths: dict[Path, None] = {}
        self._moves: dict[Path, None] = {}

    def note(self, path: Path, route: Route) -> None:
        """What the stack says of a path's route now."""
        if route.path_mtu != path.mtu:
            path.mtu = route.path_mtu
            self._paths[path] = None
        target = self._table.neighbour(route)
        if target is not (path.relink_to or path.neighbour):
            path.relink_to = None if target is path.neighbour else target
        if path.relink_to is not None:
            self._moves[path] = None
        elif route.mac != target.mac or (target.is_doubted and route.host_reachability_ms):
            target.mac = route.mac
            target.is_doubted = False
            self._neighbours[target] = route
        path.route = route

    def new_neighbours(self) -> list[Neighbour]:
        """Neighbours that paths are to move to, and that the target does not know yet."""
        return [
            each
            for each in dict.fromkeys(path.relink_to for path in self._moves)
            if each is not None and each.phase is Phase.HOST
        ]

    def take(self) -> list[tuple[_Block, list[Changed]]]:
        """The updates that can be made now, each with the objects that it is about; those are busy then."""
        made = [*self._neighbour_updates(), *self._path_updates(), *self._relinks()]
        for _, changed in made:
            for each in changed:
                each.is_busy = True
        return made

    def _neighbour_updates(self) -> list[tuple[_Block, list[Changed]]]:
        ready = [each for each in self._neighbours if each.is_settled and not each.is_invalid]
        made: list[tuple[_Block, list[Changed]]] = []
        for neighbour in ready:
            route = self._neighbours.pop(neighbour)
            age = ticks(route.host_reachability_ms, self._ticks)
            cached = NEIGHBOR_OFFLOAD_STATE_CACHED(neighbour.mac, age)
            made.append((neighbour_update(neighbour, cached), [neighbour]))
        return made

    def _path_updates(self) -> list[tuple[_Block, list[Changed]]]:
        ready = [path for path in self._paths if path.is_settled]
        for path in ready:
            del self._paths[path]
        return [(path_update(path, PATH_OFFLOAD_STATE_CACHED(path.mtu)), [path]) for path in ready]

    def _relinks(self) -> list[tuple[_Block, list[Changed]]]:
        """Paths whose new neighbour is there, all of one neighbour together."""
        groups: dict[Neighbour, list[Path]] = {}
        for path in list(self._moves):
            target = path.relink_to
            if target is None:
                del self._moves[path]
            elif path.is_settled and target.is_settled and path not in self._paths:
                groups.setdefault(target, []).append(path)
        for path in [each for paths in groups.values() for each in paths]:
            del self._moves[path]
        return [(relink(target, paths), [target, *paths]) for target, paths in groups.items()]

    def is_wanted(self, neighbour: Neighbour) -> bool:
        """Whether a neighbour is about to get dependents."""
        return any(path.relink_to is neighbour for path in self._table.paths.values())

    def forget(self, path: Path) -> None:
        """It is gone."""
        self._paths.pop(path, None)
        self._moves.pop(path, None)
