"""One adapter as an offload target: what is offloaded to it, and the calls that bring it there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from vnic.errors import AllocationError, ArgumentError, VnicError
from vnic.ndis.chimney import (
    INDICATE_OFFLOAD_EVENT,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    NEIGHBOR_OFFLOAD_STATE_CACHED,
    NEIGHBOR_OFFLOAD_STATE_DELEGATED,
    OFFLOAD_STATE_TYPE,
    ClientCalls,
)
from vnic.ndis.offload import TcpConnectionOffload
from vnic.ndis.protocol import BindingHandle
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.chimney_blocks import (
    neighbour_invalidation,
    neighbour_termination,
    neighbour_to_offload,
    path_termination,
    path_to_offload,
    placeholder,
    siblings,
    walk_blocks,
)
from vnic.protocol.chimney_change import Changed, Changes
from vnic.protocol.chimney_connection import Connection
from vnic.protocol.chimney_objects import Neighbour, ObjectTable, Owned, Path, Phase
from vnic.protocol.chimney_state import connection_hash, ticks
from vnic.protocol.journal import Cause
from vnic.stack.errors import WouldBlockError
from vnic.stack.offload import Offload, Route

_Block = NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
_GOOD = (NDIS_STATUS.SUCCESS, NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS)


@dataclass(frozen=True, slots=True)
class Told:
    """Whom a target tells how its connections fare."""

    #: (connection, None) or (connection, why not).
    on_initiated: Callable[[Connection, NDIS_STATUS | None], None]
    #: (connection, whether its state was whole).
    on_returned: Callable[[Connection, bool], None]
    #: (connection, error): the stack does not let it go now.
    on_declined: Callable[[Connection, VnicError], None]


class Target:
    """The chimney of one binding. run() makes all calls; completions note, and the next run goes on."""

    def __init__(
        self,
        binding: BindingHandle,
        calls: ClientCalls,
        config: TcpConnectionOffload,
        offload: Offload,
        told: Told,
        *,
        rss_key: bytes,
        ticks_per_second: int,
        now_ns: Callable[[], int],
    ) -> None:
        self.binding = binding
        self.config = config
        self.table = ObjectTable()
        #: In the order in which they left the stack.
        self.connections: dict[Connection, None] = {}
        #: OFFLOAD_PAUSE: nothing new. UPLOAD_ALL: nothing at all, until OFFLOAD_RESUME. [INV-41]
        self.is_paused = False
        #: The host takes everything back: nothing new.
        self.is_stopping = False
        self.changes = Changes(self.table, ticks_per_second)
        self._calls = calls
        self._offload = offload
        self._told = told
        self._key = rss_key
        self._ticks = ticks_per_second
        self._now_ns = now_ns
        self._wanted: list[Connection] = []
        #: Back in the stack, with buffers still out.
        self._leaving: dict[Connection, None] = {}
        #: Those of whom something was heard since the last run.
        self._active: dict[Connection, None] = {}
        self._failed: list[Neighbour] = []
        self._under_way: dict[int, list[Changed]] = {}

    # -- state -----------------------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether nothing of this host is at the target, nor on its way."""
        return not self.connections and not self._wanted and self.table.is_empty

    @property
    def is_clear(self) -> bool:
        """Whether the binding can be closed: empty, and no buffer of the target's is with the host."""
        return self.is_empty and not self._leaving

    @property
    def room(self) -> int:
        """Entries that the target says it still has."""
        return self.config.capacity - len(self.connections) - len(self._wanted)

    def can_take(self, is_ipv6: bool) -> bool:
        """Whether it takes new connections of an IP version now."""
        can = self.config.ipv6 if is_ipv6 else self.config.ipv4
        return can and not self.is_paused and not self.is_stopping

    # -- asking ----------------------------------------------------------------------------------------------

    def want(self, connection: Connection) -> None:
        """Offload a connection at the next run, or as soon as what it hangs on is settled."""
        self._wanted.append(connection)
        connection.path.connections[connection] = None

    def take_back(self, cause: Cause, connections: Iterable[Connection] | None = None) -> None:
        """Upload connections, by default all; those that only wait stay where they are."""
        for connection in list(
            connections if connections is not None else [*self.connections, *self._wanted]
        ):
            if connection in self._wanted:
                self._wanted.remove(connection)
                self._release(connection)
            else:
                connection.ask_back(cause)
                self.wake(connection)

    def wake(self, connection: Connection) -> None:
        """Something was heard of a connection: the next run looks at it."""
        self._active[connection] = None

    def invalidate(self, neighbour: Neighbour) -> None:
        """A next hop that is gone: nothing more is sent on it, its connections come back."""
        if neighbour.is_invalid:
            return
        neighbour.is_invalid = True
        self._failed.append(neighbour)
        self.take_back(Cause.NEIGHBOUR, [each for path in neighbour.paths for each in path.connections])

    def reclaim(self) -> None:
        """Give every buffer of the target's back, whatever users have read of it: the stack keeps copies."""
        for connection in list(self._leaving):
            connection.receive.reclaim(self._calls)
            if connection.receive.is_clear:
                del self._leaving[connection]
                connection.receive.free()

    # -- running ---------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Make the calls that are due; how much was done."""
        active, self._active = self._active, {}
        count = sum([each.work(self._calls, self.binding) for each in active])
        count += self._invalidate() + self._terminate(active) + self._update(active)
        count += self._initiate() + self._terminate_idle()
        for connection in active:
            if connection.is_restless:
                self.wake(connection)
            elif connection in self._leaving and connection.receive.is_clear:
                del self._leaving[connection]
                connection.receive.free()
        if self.is_stopping and self.is_empty and self._leaving:
            self.reclaim()  # a miniport cannot pause while its buffers are out
        return count

    # -- initiate --------------------------------------------------------------------------------------------

    def _initiate(self) -> int:
        if self.is_paused or self.is_stopping:
            return 0
        trees = self._gather()
        for neighbour in self.changes.new_neighbours():
            trees.setdefault(neighbour, {})
        for neighbour, paths in trees.items():
            self._initiate_tree(neighbour, paths)
        return len(trees)

    def _gather(self) -> dict[Neighbour, dict[Path, list[_Block]]]:
        """What waits and can go now: blocks by neighbour and path; their connections left the stack."""
        trees: dict[Neighbour, dict[Path, list[_Block]]] = {}
        for connection in list(self._wanted):
            path = connection.path
            if not _is_ready(path.neighbour) or not _is_ready(path) or path.relink_to is not None:
                continue
            block = self._begin(connection)
            if block is not None:
                trees.setdefault(path.neighbour, {}).setdefault(path, []).append(block)
        return trees

    def _begin(self, connection: Connection) -> _Block | None:
        local, remote = connection.local, connection.remote
        value = connection_hash(self._key, local.address, remote.address, local.port, remote.port)
        try:
            block = connection.begin(value, self._ticks, self.binding)
        except WouldBlockError:
            return None
        except (AllocationError, ArgumentError, VnicError) as error:
            self._wanted.remove(connection)
            self._release(connection)
            self._told.on_declined(connection, error)
            return None
        self._wanted.remove(connection)
        self.connections[connection] = None
        return block

    def _initiate_tree(self, neighbour: Neighbour, paths: dict[Path, list[_Block]]) -> None:
        below = siblings([path_to_offload(path, siblings(blocks)) for path, blocks in paths.items()])
        route = next(iter(paths)).route if paths else self._route_of(neighbour)
        tree = neighbour_to_offload(neighbour, route, self._ticks, below)
        objects: list[Neighbour | Path] = [neighbour, *paths]
        for each in objects:
            if each.phase is Phase.HOST:
                each.phase = Phase.INITIATING
            else:
                each.is_busy = True  # a linker: it has to stay until the tree is complete
        self._calls.initiate_offload(tree)

    def _route_of(self, neighbour: Neighbour) -> Route:
        return next(path.route for path in self.table.paths.values() if path.relink_to is neighbour)

    def on_initiated(self, tree: _Block) -> None:
        """ProtocolInitiateOffloadComplete."""
        for block in walk_blocks(tree):
            owner = _owner_of(block)
            is_there = block.Status in _GOOD
            if isinstance(owner, Connection):
                self._end_initiate(owner, None if is_there else block.Status or NDIS_STATUS.FAILURE)
            elif owner is not None and owner.phase is Phase.INITIATING:
                owner.phase = Phase.TARGET if is_there else Phase.HOST
            elif owner is not None:
                owner.is_busy = False
        self._drop_unused()

    def _end_initiate(self, connection: Connection, refusal: NDIS_STATUS | None) -> None:
        connection.settle(refusal is None, self._now_ns())
        self.wake(connection)
        if refusal is not None:
            self.connections.pop(connection, None)
            self._release(connection)
        self._told.on_initiated(connection, refusal)

    def _release(self, connection: Connection) -> None:
        connection.path.connections.pop(connection, None)
        self._drop_unused()

    def _drop_unused(self) -> None:
        """Forget objects that never got to the target and that nobody needs."""
        for path in [each for each in self.table.paths.values() if not each.connections]:
            if path.phase is Phase.HOST:
                self.table.forget_path(path)
                self.changes.forget(path)
        for neighbour in list(self.table.neighbours.values()):
            if (
                neighbour.phase is Phase.HOST
                and not neighbour.paths
                and not self.changes.is_wanted(neighbour)
            ):
                self.table.forget_neighbour(neighbour)

    # -- update ----------------------------------------------------------------------------------------------

    def _update(self, active: Iterable[Connection]) -> int:
        updates = self.changes.take()
        for connection in active:
            if connection.must_update and connection.phase is Phase.TARGET and not connection.is_busy:
                connection.is_busy = True
                block = connection.cached(self._ticks)
                updates.append((placeholder(placeholder(block)), [connection]))
        for tree, changed in updates:
            self._under_way[id(tree)] = changed
            self._calls.update_offload(tree)
        return len(updates)

    def on_updated(self, tree: _Block) -> None:
        """ProtocolUpdateOffloadComplete: what failed goes on as it was, and comes back. [INV-42]"""
        for each in self._under_way.pop(id(tree), []):
            each.is_busy = False
            if isinstance(each, Connection):
                self.wake(each)
        for block in walk_blocks(tree):
            owner = _owner_of(block)
            is_done = block.Status in _GOOD
            if isinstance(owner, Path) and owner.relink_to is not None and is_done:
                owner.hang_on(owner.relink_to)
                owner.relink_to = None
            if owner is not None and not is_done:
                self.take_back(Cause.UPDATE, _dependents(owner))
                if isinstance(owner, Path):
                    owner.relink_to = None

    # -- invalidate ------------------------------------------------------------------------------------------

    def _invalidate(self) -> int:
        ready = [each for each in self._failed if each.is_settled]
        for neighbour in ready:
            self._failed.remove(neighbour)
            neighbour.is_busy = True
            self._calls.invalidate_offload(neighbour_invalidation(neighbour))
        return len(ready)

    def on_invalidated(self, tree: _Block) -> None:
        """ProtocolInvalidateOffloadComplete."""
        for block in walk_blocks(tree):
            owner = _owner_of(block)
            if owner is not None:
                owner.is_busy = False

    # -- terminate -------------------------------------------------------------------------------------------

    def _terminate(self, active: Iterable[Connection]) -> int:
        """Connections that are to come back, a tree for each path."""
        groups: dict[Path, list[_Block]] = {}
        for connection in active:
            if connection.can_terminate:
                groups.setdefault(connection.path, []).append(connection.retreat())
        for blocks in groups.values():
            self._calls.terminate_offload(placeholder(placeholder(siblings(blocks))))
        return len(groups)

    def _terminate_idle(self) -> int:
        """Paths without connections, then neighbours without paths. [INV-11]"""
        count = 0
        paths = [path for path in self.table.idle_paths() if path.relink_to is None]
        tree = path_termination(paths)
        if tree is not None:
            for path in paths:
                path.phase = Phase.TERMINATING
            count += 1
            self._calls.terminate_offload(tree)
        idle = [each for each in self.table.idle_neighbours() if not self.changes.is_wanted(each)]
        tree = neighbour_termination(idle)
        if tree is not None:
            for neighbour in idle:
                neighbour.phase = Phase.TERMINATING
            count += 1
            self._calls.terminate_offload(tree)
        return count

    def on_terminated(self, tree: _Block) -> None:
        """ProtocolTerminateOffloadComplete."""
        for block in walk_blocks(tree):
            owner = _owner_of(block)
            if isinstance(owner, Connection):
                self._return(owner, block)
            elif isinstance(owner, Path):
                owner.phase = Phase.HOST
                self._renew(owner)
            elif isinstance(owner, Neighbour):
                owner.phase = Phase.HOST
                owner.is_invalid = False
                self._renew(owner)
        self._drop_unused()

    def _renew(self, owner: Path | Neighbour) -> None:
        """Somebody may want it again meanwhile: it then goes down as a new object with a new handle."""
        owner.handle = Owned(owner)

    def _return(self, connection: Connection, block: _Block) -> None:
        is_whole = connection.come_back(block, self._ticks)
        self.connections.pop(connection, None)
        self._leaving[connection] = None
        self.wake(connection)
        self._told.on_returned(connection, is_whole)
        self._release(connection)

    # -- query -----------------------------------------------------------------------------------------------

    def on_queried(self, tree: _Block) -> None:
        """ProtocolQueryOffloadComplete: an object whose state cannot be read is terminated."""
        for block in walk_blocks(tree):
            owner = _owner_of(block)
            if (
                owner is not None
                and block.state_type is not OFFLOAD_STATE_TYPE.NONE
                and block.Status not in _GOOD
            ):
                self.take_back(Cause.HARDWARE_FAILURE, _dependents(owner))

    # -- indications -----------------------------------------------------------------------------------------

    def on_event(self, block: _Block | None, event: INDICATE_OFFLOAD_EVENT) -> None:
        """ProtocolIndicateOffloadEvent: how long ago the host knew it to be there. [INV-46]"""
        owner = _owner_of(block) if block is not None else None
        if event is not INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY or not isinstance(
            owner, Neighbour
        ):
            return
        assert block is not None
        age = 0
        if isinstance(block.delegated, NEIGHBOR_OFFLOAD_STATE_DELEGATED):
            age = block.delegated.NicReachabilityDelta * 1000 // self._ticks
        answer = 0
        with suppress(VnicError):
            answer = self._offload.query(owner.key[1], age).host_reachability_ms
        owner.is_doubted = not answer
        block.cached = NEIGHBOR_OFFLOAD_STATE_CACHED(owner.mac, ticks(answer, self._ticks))


def _is_ready(owner: Neighbour | Path) -> bool:
    if isinstance(owner, Neighbour) and owner.is_invalid:
        return False
    return owner.phase is Phase.HOST or owner.is_settled


def _owner_of(block: _Block) -> Neighbour | Path | Connection | None:
    handle = block.OffloadHandle
    return handle.owner if isinstance(handle, Owned) else None


def _dependents(owner: Neighbour | Path | Connection) -> list[Connection]:
    if isinstance(owner, Connection):
        return [owner]
    if isinstance(owner, Path):
        return list(owner.connections)
    return [each for path in owner.paths for each in path.connections]
