"""A connection between two hosts and the client's side of it, for a target that is played by hand."""

from __future__ import annotations

from typing import Any

from tests.stack.offload_world import TICKS, Hosts
from tests.stack.world import OUR_MAC, PEER, PEER_MAC, US
from vnic.abi import SocketEvent
from vnic.stack import Stack
from vnic.stack.offload import Offload, OffloadEvent, State, Where
from vnic.wire import packet

DATA = bytes(range(256)) * 40


class Scene:
    """A connection between two hosts, and the client's side of it."""

    def __init__(self, hosts: Hosts, *, passive: bool = False) -> None:
        self.hosts = hosts
        self.user, self.peer = hosts.connect(passive=passive)
        self.handle = self.user.handle
        self.offload: Offload = hosts.target.offload
        self.state: State | None = None

    def leave(self) -> State:
        """Offloaded, at a target that is played by hand."""
        self.state = self.offload.begin(self.handle, TICKS)
        self.offload.end(self.handle, True)
        return self.state

    def events(self) -> OffloadEvent:
        """News of this connection, and of no other."""
        found = OffloadEvent(0)
        for handle, events in self.offload.news():
            assert handle == self.handle
            found |= events
        return found

    def told(self) -> SocketEvent:
        """Events of the user since the last look."""
        self.user.events = SocketEvent(0)
        self.hosts.a.dispatch()
        return self.user.events

    def back(self, buffered: bytes = b"", result: int = 0, **delegated: int) -> None:
        """Uploaded, with DELEGATED as it left but for what is given, as differences for numbers."""
        state = self.state
        assert state is not None
        for name, value in delegated.items():
            d: Any = state.Delegated
            setattr(d, name, value if name == "State" else (getattr(d, name) + value) % (1 << 32))
        if self.offload.where(self.handle) is Where.OFFLOADED:
            self.offload.upload_begin(self.handle)
        self.offload.upload_end(self.handle, TICKS, state, buffered, result)

    def run(self, ms: float = 100) -> None:
        """Let time pass."""
        self.hosts.run(ms)

    def hear(self, data: bytes) -> None:
        """The target receives what the peer sends now."""
        self.peer.set_nodelay()
        self.peer.send(data)
        self.run(5)
        assert self.offload.forward(self.handle)

    @property
    def frames(self) -> list[bytes]:
        """What A's stack sends now."""
        found = []
        while (sent := self.hosts.ports[0].transmit()) is not None:
            found.append(sent[0])
        return found


def segment_frame(scene: Scene, payload: bytes, *, flags: int = packet.ACK, **more: Any) -> bytes:
    """A frame of the peer's next segment."""
    here, there = scene.user.info.local, scene.user.info.remote
    d = scene.state.Delegated if scene.state is not None else None
    seq, ack = (d.RcvNxt, d.SndUna) if d is not None else (0, 0)
    l4 = packet.tcp(PEER, US, there.port, here.port, payload, seq=seq, ack=ack, flags=flags, **more)
    return packet.ethernet(packet.ipv4(PEER, US, packet.TCP, l4), source=PEER_MAC, destination=OUR_MAC)


def beside(stack: Stack) -> Hosts:
    """Hosts of which A is this stack."""
    hosts = Hosts(connections=16)
    hosts.a.close()
    hosts.a = stack
    hosts.ports = hosts._interface(stack, OUR_MAC, (US, "2001:db8::1")), hosts.ports[1]
    hosts.ports[0].add_neighbour(PEER, PEER_MAC)
    hosts.target.close()
    hosts.target = type(hosts.target)(stack)
    return hosts


def learned(hosts: Hosts) -> Hosts:
    """The neighbour of A was learned and is not permanent."""
    hosts.a.close()
    hosts.target.close()
    hosts.a = Stack(seed=3, connections=16, neighbours=16)
    hosts.ports = hosts._interface(hosts.a, OUR_MAC, (US, "2001:db8::1")), hosts.ports[1]
    hosts.target = type(hosts.target)(hosts.a)
    return hosts
