"""Looks at the connections of a host now and then, and asks the policy which of them should be where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from vnic.abi import TcpState
from vnic.errors import VnicError
from vnic.protocol.chimney_connection import Connection
from vnic.protocol.chimney_objects import Phase
from vnic.protocol.chimney_policy import Policy, Seen, Verdict
from vnic.protocol.journal import Cause
from vnic.stack.tcp import TcpSocket

_RUNNING = (TcpState.ESTABLISHED, TcpState.CLOSE_WAIT)
_SOCKETS_A_LOOK = 256


@dataclass(slots=True)
class _Memory:
    """What was seen of a socket before."""

    first_ns: int
    looked_ns: int
    moved: int
    requests: int
    refusals: int = 0
    #: No offload is tried before.
    not_before_ns: int = 0
    #: Bytes and requests of late, each look half as much as the one after it.
    recent_bytes: float = 0.0
    recent_requests: float = 0.0

    def request_bytes(self, moved: int, requests: int) -> int | None:
        """The mean of late, with what came since the last look; None: there was no request."""
        self.recent_bytes = self.recent_bytes / 2 + moved
        self.recent_requests = self.recent_requests / 2 + requests
        return int(self.recent_bytes / self.recent_requests) if self.recent_requests else None


class Ranked(NamedTuple):
    """A connection and what the policy saw of it."""

    socket: TcpSocket
    seen: Seen


class Finding(NamedTuple):
    """What a look came to."""

    #: Best first.
    candidates: list[Ranked]
    #: Offloaded ones that the policy does not object to, worst first.
    holders: list[Ranked]
    objections: list[tuple[TcpSocket, Cause]]


class Scout:
    """Keeps what it has to remember of each socket; forgets those that are gone."""

    def __init__(self, policy: Policy, find: Callable[[int], Connection | None]) -> None:
        self.policy = policy
        self._find = find
        self._known: dict[int, _Memory] = {}
        self._turn = 0

    # -- looking ---------------------------------------------------------------------------------------------

    def look(self, sockets: list[TcpSocket], now_ns: int) -> Finding:
        """Look at sockets, at most so many at a time, all in turn."""
        finding = Finding([], [], [])
        if len(sockets) > _SOCKETS_A_LOOK:
            self._turn %= len(sockets)
            sockets = (sockets[self._turn :] + sockets[: self._turn])[:_SOCKETS_A_LOOK]
            self._turn += _SOCKETS_A_LOOK
        else:
            self._forget_but({socket.handle for socket in sockets})
        for socket in sockets:
            self._consider(socket, now_ns, finding)
        finding.candidates.sort(key=lambda each: self.policy.rank(each.seen), reverse=True)
        finding.holders.sort(key=lambda each: self.policy.rank(each.seen))
        return finding

    def _consider(self, socket: TcpSocket, now_ns: int, finding: Finding) -> None:
        try:
            info = socket.info
        except VnicError:
            return
        connection = self._find(socket.handle)
        if info.state not in _RUNNING and connection is None:
            return
        moved = info.sent_bytes + info.received_bytes + info.send_queued + info.receive_queued
        requests = info.sends + info.receives
        memory = self._known.get(socket.handle)
        if memory is None:
            self._known[socket.handle] = _Memory(now_ns, now_ns, moved, requests)
            return
        lately, asked = max(moved - memory.moved, 0), requests - memory.requests
        seen = Seen(
            info.local,
            info.remote,
            now_ns - memory.first_ns,
            moved,
            lately,
            now_ns - memory.looked_ns,
            memory.request_bytes(lately, asked),
            now_ns - connection.offloaded_ns if connection is not None else 0,
        )
        memory.looked_ns, memory.moved, memory.requests = now_ns, moved, requests
        self._judge(socket, seen, connection, now_ns >= memory.not_before_ns, finding)

    def _judge(
        self,
        socket: TcpSocket,
        seen: Seen,
        connection: Connection | None,
        may_try: bool,
        finding: Finding,
    ) -> None:
        if connection is None:
            if may_try and self.policy.verdict(seen) is Verdict.OFFLOAD:
                finding.candidates.append(Ranked(socket, seen))
        elif connection.phase is Phase.TARGET and connection.cause is None:
            cause = self.policy.objection(seen)
            if cause is None:
                finding.holders.append(Ranked(socket, seen))
            else:
                finding.objections.append((socket, cause))

    def _forget_but(self, there: set[int]) -> None:
        for handle in [each for each in self._known if each not in there]:
            del self._known[handle]

    # -- experience ------------------------------------------------------------------------------------------

    def on_refused(self, handle: int, now_ns: int) -> None:
        """It was not taken, or had to come back: wait longer each time."""
        memory = self._known.get(handle)
        if memory is not None:
            memory.refusals += 1
            memory.not_before_ns = now_ns + self.policy.back_off(memory.refusals)

    def on_settled(self, handle: int) -> None:
        """It was offloaded and did well: nothing is held against it any more."""
        memory = self._known.get(handle)
        if memory is not None:
            memory.refusals = 0
