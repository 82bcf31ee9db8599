"""What can be seen of a host's chimney: counters, and where its connections are."""

from __future__ import annotations

from collections import Counter

from vnic.errors import VnicError
from vnic.protocol.chimney_connection import Connection
from vnic.protocol.chimney_means import Means
from vnic.protocol.chimney_objects import Phase
from vnic.protocol.chimney_tally import Row, Tally, Where
from vnic.protocol.chimney_target import Target
from vnic.stack.stack import Stack
from vnic.stack.tcp import TcpSocket

_WHERE = {
    Phase.HOST: Where.IN_HOST,
    Phase.INITIATING: Where.OFFLOADING,
    Phase.TARGET: Where.OFFLOADED,
    Phase.TERMINATING: Where.UPLOADING,
}


class ChimneyView:
    """The side of a Chimney that changes nothing."""

    stack: Stack
    tally: Tally
    targets: dict[int, Target]
    _means: Means
    _connections: dict[int, Connection]

    @property
    def initiates(self) -> int:
        """Connections that a target took."""
        return self.tally.initiates

    @property
    def initiates_failed(self) -> int:
        """Connections that a target refused."""
        return self.tally.initiates_failed

    @property
    def uploads(self) -> Counter[str]:
        """Connections that came back, by cause."""
        return self.tally.uploads

    @property
    def bytes_sent(self) -> int:
        """Bytes that targets sent and that were acknowledged to them."""
        return self.tally.bytes_sent + sum(each.send.acked for each in self._connections.values())

    @property
    def bytes_received(self) -> int:
        """Bytes that targets delivered."""
        return self.tally.bytes_received + sum(each.receive.delivered for each in self._connections.values())

    @property
    def indications(self) -> int:
        """Indications and completed receives of targets."""
        live = sum(each.receive.indications for each in self._connections.values())
        return self.tally.indications + live

    @property
    def bounced(self) -> int:
        """Bytes that were copied to where a target reads them."""
        return self._means.reach.bounced

    @property
    def offloaded(self) -> int:
        """Connections at targets now, those on their way included."""
        return sum(len(target.connections) for target in self.targets.values())

    def where(self, socket: TcpSocket | int) -> Where:
        """Where a connection is."""
        found = self._connections.get(handle_of(socket))
        return Where.IN_HOST if found is None else _WHERE[found.phase]

    def connections(self) -> list[Row]:
        """Every connection that somebody holds, as `netstat -t` lists them."""
        rows = []
        for socket in self.stack.connections:
            try:
                info = socket.info
            except VnicError:
                continue
            where = self.where(socket)
            queues = info.send_queued, info.receive_queued
            protocol = f"tcp{info.local.address.version}" if info.local.address.version == 6 else "tcp"
            rows.append(Row(protocol, info.local, info.remote, info.state, where, *queues))
        return rows


def handle_of(socket: TcpSocket | int) -> int:
    """A socket, or the handle of one that its user closed."""
    return socket if isinstance(socket, int) else socket.handle
