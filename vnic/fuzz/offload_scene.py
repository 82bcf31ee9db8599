"""A driver whose connections are offloaded, by a host that does anything that is legal, and their peers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Any

from vnic.fuzz.choice import OneOf, Range
from vnic.fuzz.driver_machine import DriverMachine
from vnic.fuzz.hostile_driver import HostileDriverScene
from vnic.fuzz.offload_client import Answer, Node, OffloadProtocol
from vnic.fuzz.oid_payload import SETS
from vnic.fuzz.scene import Broken, act
from vnic.host.cpu import Processors
from vnic.host.memory import GuestMemory
from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import NetBufferList, link, walk
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.oob import TCP_RECEIVE_NO_PUSH, Slot
from vnic.ndis.rss import HashType, ReceiveScaleParameters
from vnic.ndis.states import AdapterState
from vnic.testbench.chimney.blocks import (
    STATE,
    TYPE,
    Block,
    block_of,
    chain,
    neighbour,
    path,
    tcp,
)
from vnic.testbench.tcp_peer import ISS, Peer, segment_of
from vnic.wire import packet

__all__ = ["OffloadScene"]

CONNECTIONS = 4
_VERSIONS = (4, 6)
_FIRST_PORT = 41_000
_ROOM = 1 << 20
_SECOND_NS = 1_000_000_000
_WAITS = 30
_LINK_MBPS = 10_000
_CHIMNEY: dict[str, Any] = {
    "connections": 8,
    "paths": 4,
    "neighbours": 4,
    "chimney_work": 64,
    "chimney_nodes": 16,
    "chimney_recoveries": 4,
    "chimney_bytes": 64 << 10,
    "map_regions": 2048,
}
_MODULUS = 1 << 32
_FLAGS = (packet.ACK, packet.ACK | packet.PSH, packet.ACK | packet.FIN, packet.RST, packet.ACK | packet.URG)
_QUERIED = {
    TYPE.NEIGHBOR_ALL: (TYPE.NEIGHBOR_DELEGATED, nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED),
    TYPE.IP4_PATH_ALL: (TYPE.IP4_PATH_DELEGATED, nd.PATH_OFFLOAD_STATE_DELEGATED),
    TYPE.IP6_PATH_ALL: (TYPE.IP6_PATH_DELEGATED, nd.PATH_OFFLOAD_STATE_DELEGATED),
    TYPE.TCP_ALL: (TYPE.TCP_DELEGATED, nd.TCP_OFFLOAD_STATE_DELEGATED),
}


_UPDATED = {
    TYPE.NEIGHBOR_ALL: TYPE.NEIGHBOR_CACHED,
    TYPE.IP4_PATH_ALL: TYPE.IP4_PATH_CACHED,
    TYPE.IP6_PATH_ALL: TYPE.IP6_PATH_CACHED,
    TYPE.TCP_ALL: TYPE.TCP_CACHED,
}
_HASHED = int(HashType.IPV4 | HashType.TCP_IPV4 | HashType.IPV6 | HashType.TCP_IPV6) | 1
#: How a connection is when it comes: lengths of its sends, bytes of them that were sent, BufferedData, state.
_MANNERS: tuple[tuple[tuple[int, ...], int, int, nd.TCP_OFFLOAD_CONNECTION_STATE], ...] = (
    ((), 0, 0, STATE.ESTABLISHED),
    ((100, 0, 2000), 0, 0, STATE.ESTABLISHED),
    ((100, 2000), 1100, 0, STATE.ESTABLISHED),
    ((), 0, 300, STATE.ESTABLISHED),
    ((50,), 50, 0, STATE.CLOSE_WAIT),
    ((), 0, 0, STATE.FIN_WAIT2),
    ((10,) * 5, 0, 5000, STATE.ESTABLISHED),
)


def path_kind(version: int) -> nd.OFFLOAD_STATE_TYPE:
    """What follows the block of a new path."""
    return TYPE.IP6_PATH_ALL if version == 6 else TYPE.IP4_PATH_ALL


class Peers:
    """The wire: what the card sends to a peer's connection moves that peer's acknowledgement."""

    def __init__(self) -> None:
        self.frames = 0
        self.by_port: dict[int, Peer] = {}

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """A frame leaves the card; whose headers make no sense is nobody's."""
        self.frames += 1
        with suppress(IndexError, ValueError):
            self._hear(segment_of(frame))

    def _hear(self, segment: Any) -> None:
        peer = self.by_port.get(segment.destination_port)
        if peer is not None and segment.seq == peer.ack:
            fin = segment.flags & packet.FIN
            peer.ack = (peer.ack + len(segment.payload) + fin) % _MODULUS


class OffloadScene(HostileDriverScene):
    """Objects are one neighbour, a path for each version of IP, and a few connections on them."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.peers = Peers()
        self.machine.device.connect_link(self.peers)
        self._ports = _FIRST_PORT
        self._is_sound = False

    def make_machine(self, **more: Any) -> DriverMachine:
        """With a chimney in the card, small, and a protocol that uses it."""
        machine = super().make_machine(device=_CHIMNEY, protocol=self._make_protocol, **more)
        self.protocol.verifier = machine.ndis.verifier
        return machine

    def _make_protocol(self, memory: GuestMemory, processors: Processors) -> OffloadProtocol:
        self.protocol = OffloadProtocol(memory, processors)
        self.client = self.protocol.client
        return self.protocol

    # -- what is there ---------------------------------------------------------------------------------------

    @property
    def may_offload(self) -> bool:
        """Whether NDIS lets the protocol begin to offload."""
        is_free = self.may_send and self.is_d0 and not (self.client.is_paused or self.client.is_leaving)
        return is_free and self.protocol.bindings[0].chimney is not None

    @property
    def has_usable(self) -> bool:
        """Whether a connection takes requests."""
        is_there = any(node.is_usable for node in self.client.connections)
        return is_there and self.machine.memory.free_bytes > _ROOM

    @property
    def has_objects(self) -> bool:
        """Whether calls may be made about anything."""
        return any(node.is_usable for node in self.client.nodes)

    @property
    def situation(self) -> str:
        """That of the adapter, and where the connections are."""
        phases = {node.phase.name.lower() for node in self.client.connections}
        return f"{super().situation}, {' and '.join(sorted(phases)) or 'nothing'}"

    def _connection(self, number: int) -> Node:
        """A connection that takes requests, counted around."""
        usable = [node for node in self.client.connections if node.is_usable]
        return usable[number % len(usable)]

    def _node(self, number: int) -> Node:
        """Any object that calls may be made about, likewise."""
        usable = [node for node in self.client.nodes if node.is_usable]
        return usable[number % len(usable)]

    def _nbl(self, data: bytes, pieces: int = 0) -> NetBufferList:
        nbl, _ = self.protocol.make_nbl([data], pieces=tuple(range(1, pieces + 1)))
        return nbl

    # -- objects ---------------------------------------------------------------------------------------------

    @act(
        30,
        when=lambda s: s.may_offload and len(s.client.connections) < CONNECTIONS,
        version=OneOf(4, 4, 6),
        count=OneOf(1, 1, 2),
        manner=Range(0, len(_MANNERS) - 1),
        hash_value=OneOf(0, 1, 77),
    )
    def offload(self, version: int, count: int, manner: int, hash_value: int) -> None:
        """NdisInitiateOffload of connections at rest, with data, half closed, and what they hang on."""
        parameters = self.protocol.parameters
        config = parameters.connection_offload_config if parameters is not None else None
        before = list(self.client.nodes)
        trunk = self._trunk(version)
        if trunk is None or (config is not None and not (config.ipv6 if version == 6 else config.ipv4)):
            return
        root, holder, above = trunk
        made = [self._new_connection(above, version, manner, hash_value) for _ in range(count)]
        holder.DependentBlockList = chain([node.block for node in made])
        self.client.nodes += made
        self.protocol.initiate(root, [node for node in self.client.nodes if node not in before])

    def _trunk(self, version: int) -> tuple[Block, Block, Node] | None:
        """The tree's root, the path's block in it, and the path; None when one of them is on its way."""
        nodes = self.client.nodes
        top = next((node for node in nodes if node.parent is None), None)
        kind = path_kind(version)
        middle = next((node for node in nodes if node.block.state_type is kind), None)
        if any(node is not None and (not node.is_usable or node.must_end) for node in (top, middle)):
            return None
        if middle is not None:
            linker = block_of(TYPE.NONE, handle=middle.handle)
            return linker, linker, middle
        below = path(version=version)
        root = neighbour(below) if top is None else block_of(TYPE.NONE, below, handle=top.handle)
        if top is None:
            top = Node(root, None)
            nodes.append(top)
        middle = Node(below, top)
        nodes.append(middle)
        return root, below, middle

    def _new_connection(self, above: Node, version: int, manner: int, hash_value: int) -> Node:
        """At rest; with sends, some under way; with received data; half closed by the peer, or by us."""
        self._ports += 1
        sends, sent, buffered, state = _MANNERS[manner]
        block = tcp(self._ports, hash_value, State=state, SndMax=ISS + sent)
        peer = self.peers.by_port[self._ports] = Peer(version, (self._ports, 80))
        node = Node(block, above, peer)
        node.is_closed = state is STATE.FIN_WAIT2
        nbls = [self._nbl(bytes(size), 2) for size in sends]
        node.lend(nbls)
        block.NetBufferListChain = link(nbls)
        if buffered and isinstance(block.delegated, nd.TCP_OFFLOAD_STATE_DELEGATED):
            node.buffered = block.delegated.BufferedData = self._nbl(bytes(buffered))
        return node

    @act(8, when=lambda s: s.has_usable, number=Range(0, 3))
    def upload(self, number: int) -> None:
        """NdisTerminateOffload of one connection, when its other calls have ended."""
        self.client.take_back([self._connection(number)])

    @act(2, when=lambda s: s.has_objects)
    def upload_all(self) -> None:
        """NdisTerminateOffload of everything, dependents first."""
        self.client.take_back(self.client.nodes)

    @act(4, when=lambda s: s.has_objects, number=Range(0, 7), whole=OneOf(0, 1))
    def query(self, number: int, whole: int) -> None:
        """NdisQueryOffloadState: DELEGATED, or all there is."""
        node = self._node(number)
        kind, state = _QUERIED[node.block.state_type]
        block = block_of(kind, handle=node.handle, delegated=state())
        if whole:
            block.state_type = node.block.state_type
            block.const, block.cached = copy(node.block.const), copy(node.block.cached)
        self.protocol.control("query_offload_state", block, [node])

    @act(4, when=lambda s: s.has_objects, number=Range(0, 7), value=OneOf(576, 1400, 9000))
    def update(self, number: int, value: int) -> None:
        """NdisUpdateOffload: a destination, a PathMtu, an RcvIndicationSize."""
        node = self._node(number)
        if node.is_updating or node.is_invalid:
            return
        cached = copy(node.block.cached)
        if isinstance(cached, nd.NEIGHBOR_OFFLOAD_STATE_CACHED):
            cached.DlDestinationAddress = b"\2" + value.to_bytes(5)
        elif isinstance(cached, nd.PATH_OFFLOAD_STATE_CACHED):
            cached.PathMtu = value
        elif isinstance(cached, nd.TCP_OFFLOAD_STATE_CACHED):
            cached.RcvIndicationSize = value
        block = block_of(_UPDATED[node.block.state_type], handle=node.handle, cached=cached)
        self.protocol.control("update_offload", block, [node])

    @act(1, when=lambda s: s.has_objects, number=Range(0, 7))
    def invalidate(self, number: int) -> None:
        """NdisInvalidateOffload of an object without what hangs on it."""
        node = self._node(number)
        if not (node.is_invalid or self.client.has_children(node)):
            self.protocol.control("invalidate_offload", block_of(TYPE.NONE, handle=node.handle), [node])

    # -- requests --------------------------------------------------------------------------------------------

    @act(
        20,
        when=lambda s: s.has_usable,
        number=Range(0, 3),
        size=OneOf(100, 0, 1, 1460, 5000),
        count=OneOf(1, 1, 2, 5),
        pieces=OneOf(0, 1, 6, 30),
    )
    def write(self, number: int, size: int, count: int, pieces: int) -> None:
        """NdisOffloadTcpSend: a few NBLs, in few pieces or in many."""
        node = self._connection(number)
        head = link([self._nbl(bytes(size), pieces) for _ in range(count)])
        if head is None:
            return
        if node.is_closed:
            self.protocol.free_injected(list(walk(head)))
            return
        self.protocol.io(self.protocol.calls.offload_tcp_send, node, head)

    @act(
        20,
        when=lambda s: s.has_usable,
        number=Range(0, 3),
        size=OneOf(100, 0, 1, 1460, 5000),
        count=OneOf(1, 1, 2, 5),
        is_no_push=OneOf(0, 0, 1),
        before=OneOf(0, 0, 7),
    )
    def post(self, number: int, size: int, count: int, is_no_push: int, before: int) -> None:
        """NdisOffloadTcpReceive: a few NBLs."""
        nbls = [self._nbl(bytes(size), 2) for _ in range(count)]
        for nbl in nbls:
            nbl.set_info(TCP_RECEIVE_NO_PUSH, is_no_push)
            nbl.set_info(Slot.TCP_RECEIVE_BYTES_TRANSFERRED, before)
        head = link(nbls)
        assert head is not None
        self.protocol.io(self.protocol.calls.offload_tcp_receive, self._connection(number), head)

    @act(4, when=lambda s: s.has_usable, number=Range(0, 3), size=OneOf(0, 1, 3000), aborts=OneOf(0, 0, 1))
    def close(self, number: int, size: int, aborts: int) -> None:
        """NdisOffloadTcpDisconnect: graceful with data or without, or abortive."""
        node = self._connection(number)
        if node.is_aborted or (node.is_closed and not aborts):
            return
        node.is_closed, node.is_aborted = True, bool(aborts)
        flag = nd.TcpDisconnectFlag.ABORTIVE_CLOSE if aborts else nd.TcpDisconnectFlag.GRACEFUL_CLOSE
        nbl = self._nbl(bytes(0 if aborts else size), 2)
        self.protocol.io(self.protocol.calls.offload_tcp_disconnect, node, nbl, flag)

    @act(3, when=lambda s: s.has_usable, number=Range(0, 3), size=OneOf(100, 0, 1460), count=OneOf(1, 3))
    def forward(self, number: int, size: int, count: int) -> None:
        """NdisOffloadTcpForward of segments that came on the plain path."""
        node = self._connection(number)
        assert node.peer is not None
        head = link([self._nbl(node.peer.tcp(bytes(size), flags=_FLAGS[1])) for _ in range(count)])
        assert head is not None
        self.protocol.io(self.protocol.calls.offload_tcp_forward, node, head)

    @act(3, how=Range(0, len(Answer) - 1), returns=OneOf(1, 0))
    def take(self, how: int, returns: int) -> None:
        """From now on indications are taken, refused, or taken in part, and given back at once or kept."""
        self.client.answer, self.client.returns = Answer(how), bool(returns)

    @act(3, when=lambda s: s.client.kept)
    def give_back_data(self) -> None:
        """NdisOffloadTcpReceiveReturn of all that was accepted."""
        self.client.give_back()

    # -- the peer --------------------------------------------------------------------------------------------

    @act(
        24,
        when=lambda s: s.client.connections,
        number=Range(0, 3),
        size=OneOf(100, 0, 1, 1460),
        count=OneOf(1, 1, 3, 20),
        flags=OneOf(1, 0, 0, 1, 2, 3, 4),
        gap=OneOf(0, 0, 0, 1, 5000),
    )
    def speak(self, number: int, size: int, count: int, flags: int, gap: int) -> None:
        """Segments of a peer, which acknowledges what it has heard; with a gap, or as they should be."""
        connections = self.client.connections
        peer = connections[number % len(connections)].peer
        assert peer is not None
        for _ in range(count):
            seq = (peer.seq + gap) % _MODULUS
            self.machine.device.receive(peer.frame(bytes(size), flags=_FLAGS[flags], seq=seq))
            if not gap and flags < 3:
                peer.seq = (peer.seq + size + (flags == 2)) % _MODULUS

    # -- what else the host does -----------------------------------------------------------------------------

    @act(2, when=lambda s: s.is_up and s.is_d0, size=OneOf(2, 1, 128), seed=Range(0, 7))
    def spread(self, size: int, seed: int) -> None:
        """Another indirection table: connections change their completion ring at a fence."""
        table = tuple((entry + seed) % 2 for entry in range(size))
        wanted = ReceiveScaleParameters(hash_information=_HASHED, table=table, key=bytes(range(40)))
        self.protocol.request(set_(OID.GEN_RECEIVE_SCALE_PARAMETERS, wanted.pack()))

    @act(
        6,
        when=lambda s: s.is_up,
        oid=Range(0, len(SETS) - 1),
        damage=OneOf(0, 0, 0, 1, 2, 3),
        seed=Range(0, 255),
    )
    def tell(self, oid: int, damage: int, seed: int) -> None:
        """An OID set, right or not; connection offload stays as it is: that would end everything first."""
        if SETS[oid] is not OID.TCP_OFFLOAD_PARAMETERS:
            super().tell(oid, damage, seed)

    # -- looking ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """As for any driver; what ended is told in `reached`."""
        super().check()
        self.reached |= self.client.ended
        self.client.ended.clear()

    @act(40, when=lambda s: s.state is AdapterState.HALTED and not s.is_gone)
    def initialize(self) -> None:
        """MiniportInitializeEx; what the card said of itself then holds until the halt."""
        card = self.machine.card
        before = card.told
        super().initialize()
        self._is_sound = card.told == before and not any(each.startswith("fault:") for each in self.reached)

    def prove(self) -> None:
        """Everything comes back; after a reset of a card that is sound a connection moves data again."""
        self.client.answer, self.client.returns = Answer.ALL, True
        self.client.take_back(self.client.nodes)
        self._wait_until(lambda: not self.client.nodes)
        if self.state is not AdapterState.RUNNING or not self.is_d0 or not self._is_sound:
            return
        if self.client.nodes:
            raise Broken("chimney-stuck", f"{len(self.client.nodes)} objects do not come back")
        self._wait_until(lambda: not self.client.is_paused)
        if self.client.is_paused:
            raise Broken("chimney-paused", "nothing is offloaded, and OFFLOAD_RESUME does not come")
        self.machine.device.set_link(_LINK_MBPS)
        self.machine.adapter.reset()
        if self.may_offload:
            self._move_data()

    def _move_data(self) -> None:
        """One connection, one send."""
        self.offload(4, 1, 0, 0)
        self._wait_until(lambda: all(node.is_usable for node in self.client.nodes))
        for peer in [node.peer for node in self.client.connections if node.peer is not None]:
            before = peer.ack
            self.write(0, 100, 1, 0)
            self._wait_until(lambda: peer.ack != before)  # noqa: B023 - called before the next turn
            if peer.ack == before:
                raise Broken("chimney-dead", "a send on a sound card does not leave it")
            self.reached.add("data moves again")

    def _wait_until(self, is_done: Callable[[], bool]) -> None:
        """As long as a driver may take that has lost an interrupt, and finds news in its checks for hang."""
        for _ in range(_WAITS):
            if is_done():
                return
            self.machine.advance(_SECOND_NS)

    def finish(self) -> None:
        """Everything that is offloaded comes back, and nothing is left."""
        super().finish()
        if not self.client.is_empty:
            raise Broken("chimney-left", f"{len(self.client.nodes)} objects are left")
