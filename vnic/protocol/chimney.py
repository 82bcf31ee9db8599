"""The chimney of a host: which connections are at which target, moved by the policy, by request, by need."""

from __future__ import annotations

from collections.abc import Callable

from vnic.abi import TcpState
from vnic.errors import VnicError
from vnic.ndis.chimney import ClientChimney
from vnic.ndis.offload import TcpConnectionOffload
from vnic.ndis.protocol import BindingHandle
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.chimney_connection import Connection
from vnic.protocol.chimney_events import ChimneyEvents
from vnic.protocol.chimney_means import Loans, Means
from vnic.protocol.chimney_memory import HostMemory, Reach
from vnic.protocol.chimney_objects import Phase, path_key
from vnic.protocol.chimney_options import ChimneyOptions, target_parameters
from vnic.protocol.chimney_scout import Ranked, Scout
from vnic.protocol.chimney_tally import Tally
from vnic.protocol.chimney_target import Target, Told
from vnic.protocol.chimney_view import ChimneyView, handle_of
from vnic.protocol.coexistence import Coexistence
from vnic.protocol.journal import Cause, Happening, Journal
from vnic.protocol.switches import Switches
from vnic.stack.errors import WouldBlockError
from vnic.stack.offload import Offload, OffloadEvent
from vnic.stack.stack import Stack
from vnic.stack.tcp import TcpSocket

#: [CH-01]
_MAY_MOVE = frozenset(
    {
        TcpState.ESTABLISHED,
        TcpState.FIN_WAIT_1,
        TcpState.FIN_WAIT_2,
        TcpState.CLOSE_WAIT,
        TcpState.CLOSING,
        TcpState.LAST_ACK,
    }
)
_ROUTES = OffloadEvent.PATH | OffloadEvent.NEIGHBOUR
#: Came back because the host knows better now; not held against the connection.
_NO_BLAME = frozenset(
    {
        Cause.USER,
        Cause.PAUSE,
        Cause.POWER,
        Cause.MEDIA,
        Cause.UNBIND,
        Cause.COMPONENT,
        Cause.SWITCH,
        Cause.UPLOAD_ALL,
    }
)


class Chimney(ChimneyView):
    """Belongs to a TCP/IP protocol driver, which tells it of bindings, time and traffic.

    All calls to targets are made in run(), at PASSIVE_LEVEL. What targets indicate is taken by `client`.
    """

    def __init__(
        self,
        stack: Stack,
        memory: HostMemory,
        now_ns: Callable[[], int],
        options: ChimneyOptions,
        coexistence: Coexistence | None = None,
    ) -> None:
        self.stack = stack
        self.options = options
        self.switches = options.switches
        #: OID_TCP_CONNECTION_OFFLOAD_PARAMETERS.
        self.parameters = target_parameters(options, stack.config)
        self.coexistence = coexistence or Coexistence()
        self.coexistence.listeners.append(self._apply_rules)
        self.journal = Journal(now_ns)
        self.tally = Tally()
        self.targets: dict[int, Target] = {}
        self.client: ClientChimney = ChimneyEvents(self)
        self._offload = Offload(stack)
        self._means = Means(self._offload, Reach(memory), options.receives, Loans())
        self._now_ns = now_ns
        self._connections: dict[int, Connection] = {}
        self._interfaces: dict[int, Target] = {}
        self._blocked: dict[int, str] = {}
        self._scout = Scout(options.policy, self._connections.get)
        self._looked_ns = 0
        self._is_stirred = False
        self._is_running = False
        #: News were heard that run() has not acted on.
        self._is_due = False
        self._may_have_news = False

    # -- by request ------------------------------------------------------------------------------------------

    def offload(self, socket: TcpSocket) -> bool:
        """Begin to offload a connection, whatever the policy says; False when that cannot be now."""
        handle = socket.handle
        if not handle or handle in self._connections:
            return False
        try:
            route = self._offload.route(handle)
            info = socket.info
        except VnicError:
            return False
        target = self._interfaces.get(route.interface)
        if target is None or not route.is_reachable or info.state not in _MAY_MOVE:
            return False
        if not self.may_offload(target):
            return False
        is_ipv6 = info.remote.address.version == 6
        if not target.can_take(is_ipv6) or target.room <= 0:
            return False
        ends = info.local, info.remote
        path = target.table.path(route)
        made = Connection(self._means, handle, ends, target, path)
        self._connections[handle] = made
        self._may_have_news = True
        target.want(made)
        return True

    def upload(self, socket: TcpSocket | int, cause: Cause = Cause.USER) -> bool:
        """Begin to take a connection back; False when it is in the host, or comes already."""
        found = self._connections.get(handle_of(socket))
        if found is None or found.phase is Phase.TERMINATING or found.cause is not None:
            return False
        if found.phase is Phase.HOST:
            del self._connections[found.socket]
        found.target.take_back(cause, [found])
        return True

    def upload_all(self, cause: Cause = Cause.USER) -> None:
        """Begin to take every connection back."""
        for target in self.targets.values():
            self._empty(target, cause)

    def _empty(self, target: Target, cause: Cause) -> None:
        for handle in [h for h, each in self._connections.items() if each.target is target]:
            self.upload(handle, cause)

    def find(self, socket: int) -> Connection | None:
        """The connection of a handle, while it is not in the host."""
        return self._connections.get(socket)

    # -- what the host allows --------------------------------------------------------------------------------

    def obstacle(self, target: Target) -> str | None:
        """Why nothing may be offloaded to a target; None: it may."""
        present = self.coexistence.obstacles(target.binding)
        if present:
            return ", ".join(present)
        return None if self.switches.EnableTCPChimney else str(Cause.SWITCH)

    def may_offload(self, target: Target) -> bool:
        """Whether switches and components let it. [INV-49]"""
        return self.obstacle(target) is None

    def set_switches(self, switches: Switches) -> None:
        """Change the host's switches; what is off now is undone at once."""
        self.switches = switches
        self._apply_rules()

    def _apply_rules(self) -> None:
        """Take back what is not allowed any more, and note every change."""
        for key, target in self.targets.items():
            obstacle, known = self.obstacle(target), self._blocked.get(key)
            if obstacle is not None:
                is_off = not self.coexistence.obstacles(target.binding)
                self._empty(target, Cause.SWITCH if is_off else Cause.COMPONENT)
                self._blocked[key] = obstacle
                if obstacle != known:
                    self.journal.note(Happening.BLOCKED, _name(target), obstacle)
            elif known is not None:
                del self._blocked[key]
                self.journal.note(Happening.ALLOWED, _name(target), known)

    # -- bindings --------------------------------------------------------------------------------------------

    def add_target(self, interface: int, handle: BindingHandle, config: TcpConnectionOffload | None) -> None:
        """An adapter was bound; one without a chimney is none of ours."""
        calls = handle.chimney
        if calls is None or config is None or not (config.ipv4 or config.ipv6):
            return
        target = Target(
            handle,
            calls,
            config,
            self._offload,
            Told(self._on_initiated, self._on_returned, self._on_declined),
            rss_key=self.options.rss_key,
            ticks_per_second=self.parameters.ticks_per_second,
            now_ns=self._now_ns,
        )
        target.is_stopping = True  # until the binding runs
        self.targets[id(handle)] = self._interfaces[interface] = target
        self._apply_rules()

    def remove_target(self, interface: int, handle: BindingHandle) -> None:
        """The adapter is unbound: everything was taken back before, its buffers go back now."""
        target = self.targets.pop(id(handle), None)
        if target is not None:
            target.reclaim()
        self._blocked.pop(id(handle), None)
        self._interfaces.pop(interface, None)

    def start(self, handle: BindingHandle) -> None:
        """The binding runs: it may be offloaded to."""
        target = self.targets.get(id(handle))
        if target is not None:
            target.is_stopping = False

    def stop(self, handle: BindingHandle, cause: Cause) -> None:
        """Take everything back from a binding, and offload nothing until start()."""
        target = self.targets.get(id(handle))
        if target is not None:
            target.is_stopping = True
            self._empty(target, cause)

    def is_stopped(self, handle: BindingHandle) -> bool:
        """Whether nothing is left at a binding's target, nor any of its buffers here."""
        target = self.targets.get(id(handle))
        return target is None or target.is_clear

    def on_media_loss(self, handle: BindingHandle) -> None:
        """The link went down: the host decides what becomes of its connections."""
        target = self.targets.get(id(handle))
        if target is not None and self.options.uploads_on_media_loss:
            self._empty(target, Cause.MEDIA)

    def on_config(self, handle: BindingHandle, config: TcpConnectionOffload) -> None:
        """What the adapter can do now."""
        target = self.targets.get(id(handle))
        if target is not None:
            target.config = config

    def on_status(self, handle: BindingHandle, status: NDIS_STATUS) -> None:
        """OFFLOAD_PAUSE, UPLOAD_ALL, OFFLOAD_RESUME. [INV-41]"""
        target = self.targets.get(id(handle))
        if target is None:
            return
        target.is_paused = status != NDIS_STATUS.OFFLOAD_RESUME
        if not target.is_paused:
            target.reclaim()  # what was behind the adapter may be going away
        if status == NDIS_STATUS.UPLOAD_ALL:
            self._empty(target, Cause.UPLOAD_ALL)

    # -- running ---------------------------------------------------------------------------------------------

    def stir(self) -> None:
        """Something moves: the policy shall look again when its time has come."""
        self._is_stirred = True

    def next_deadline_ns(self) -> int | None:
        """Now, when users did something to connections that are away; else when the policy looks next."""
        if self.targets and not self._is_running and self._hear():
            self._is_due = True
        return self._now_ns() if self._is_due else self._next_look_ns()

    def _next_look_ns(self) -> int | None:
        """None: nothing moves."""
        interval = self.options.policy.interval_ns
        return self._looked_ns + interval if interval and self._is_stirred and self.targets else None

    def run(self) -> int:
        """Do what is due; how much that was. A second processor that comes here leaves it to the first."""
        if self._is_running or not self.targets:
            return 0
        self._is_running = True
        count, self._is_due = int(self._is_due), False
        try:
            count += self._hear() + self._look()
            return count + sum([target.run() for target in list(self.targets.values())])
        finally:
            self._is_running = False

    def _hear(self) -> int:
        """What users did to connections that are away; nobody asks while all are in the host."""
        if not self._may_have_news:
            return 0
        news = self._offload.news()
        self._may_have_news = bool(news or self._connections or self._means.loans.is_any)
        for handle, events in news:
            connection = self._connections.get(handle)
            if connection is None:
                self._hear_late(handle)
                continue
            connection.on_news(events)
            connection.target.wake(connection)
            if events & _ROUTES:
                self._reroute(connection)
        return len(news)

    def _hear_late(self, handle: int) -> None:
        """Of a connection that is back, with buffers of its target still with the user."""
        for cookie in self._offload.returns(handle):
            self._means.loans.end(cookie)

    def _reroute(self, connection: Connection) -> None:
        try:
            route = self._offload.route(connection.socket)
        except WouldBlockError:
            return  # the next hop is asked for: there will be news
        except VnicError:
            self.upload(connection.socket, Cause.ROUTE)
            return
        target, path = connection.target, connection.path
        if self._interfaces.get(route.interface) is not target or path_key(route) != path.key:
            self.upload(connection.socket, Cause.ROUTE)
        elif route.is_reachable:
            target.changes.note(path, route)
        elif (route.interface, route.neighbour) == path.neighbour.key:
            target.invalidate(path.neighbour)

    # -- the policy ------------------------------------------------------------------------------------------

    def _look(self) -> int:
        deadline = self._next_look_ns()
        if deadline is None or self._now_ns() < deadline:
            return 0
        self._looked_ns = self._now_ns()
        self._is_stirred = False
        finding = self._scout.look(self.stack.connections, self._looked_ns)
        for socket, cause in finding.objections:
            self.upload(socket, cause)
        count = len(finding.objections)
        for candidate in finding.candidates:
            if self.offload(candidate.socket):
                count += 1
            else:
                count += self._make_room(candidate, finding.holders)
        return count

    def _make_room(self, candidate: Ranked, holders: list[Ranked]) -> int:
        """Take the least worthy one back for a better candidate, which gets its place at a later look."""
        if not holders or any(target.room > 0 for target in self.targets.values()):
            return 0
        if not self.options.policy.outranks(candidate.seen, holders[0].seen):
            return 0
        self._is_stirred = True
        return int(self.upload(holders.pop(0).socket, Cause.OUTRANKED))

    # -- what targets did ------------------------------------------------------------------------------------

    def _on_initiated(self, connection: Connection, refusal: NDIS_STATUS | None) -> None:
        if refusal is None:
            self.tally.initiates += 1
            self.journal.note(Happening.OFFLOADED, str(connection), _name(connection.target))
            return
        self._fail(connection, str(refusal))

    def _on_declined(self, connection: Connection, error: VnicError) -> None:
        self._fail(connection, str(error))

    def _fail(self, connection: Connection, reason: str) -> None:
        self._connections.pop(connection.socket, None)
        self.tally.initiates_failed += 1
        self.tally.failures[reason] += 1
        self._scout.on_refused(connection.socket, self._now_ns())
        self.journal.note(Happening.OFFLOAD_FAILED, str(connection), reason)

    def _on_returned(self, connection: Connection, is_whole: bool) -> None:
        self._connections.pop(connection.socket, None)
        cause = connection.cause or Cause.USER
        sent, received = connection.moved
        self.tally.bytes_sent += sent
        self.tally.bytes_received += received
        self.tally.indications += connection.receive.indications
        self.tally.uploads[cause] += 1
        self.tally.lost += not is_whole
        if cause in _NO_BLAME:
            self._scout.on_settled(connection.socket)
        else:
            self._scout.on_refused(connection.socket, self._now_ns())
        what = Happening.UPLOADED if is_whole else Happening.LOST
        self.journal.note(what, str(connection), str(cause))


def _name(target: Target) -> str:
    return str(getattr(getattr(target.binding, "adapter", None), "name", "adapter"))
