"""A bench whose protocol offloads: block lists over the real miniport and card, and a peer by hand."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tests.nic.chimney.driver import IRS, ISS, Peer, Segment, segment_of
from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList, link, walk
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED, TCP_RECEIVE_NO_PUSH, Slot
from vnic.ndis.protocol import BindingHandle, NetEvent
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.capture import CaptureProtocol
from vnic.testbench import Bench
from vnic.testbench.frames import ADDRESSES, PEER
from vnic.wire import packet

Block = nd.NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
TYPE = nd.OFFLOAD_STATE_TYPE
STATE = nd.TCP_OFFLOAD_CONNECTION_STATE
OK = NDIS_STATUS.SUCCESS
PARTIAL = NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS
FAILURE = NDIS_STATUS.FAILURE
ABORTED = NDIS_STATUS.REQUEST_ABORTED
UPLOAD = NDIS_STATUS.UPLOAD_IN_PROGRESS
EVENT = nd.TCP_OFFLOAD_EVENT_TYPE
REASON = nd.TCP_UPLOAD_REASON


def tree(block: Any) -> Iterator[Any]:
    """Depth first."""
    while block is not None:
        yield block
        yield from tree(block.DependentBlockList)
        block = block.NextBlock


def bytes_of(nbl: NetBufferList) -> bytes:
    """The data of an NBL."""
    return b"".join(each.data() for each in nbl.net_buffers())


def chain_of(nbls: Sequence[NetBufferList]) -> NetBufferList:
    """NBLs, at least one, in order."""
    head = link(nbls)
    assert head is not None
    return head


def chain(blocks: Sequence[Block]) -> Block | None:
    """Siblings."""
    for block, following in itertools.pairwise(blocks):
        block.NextBlock = following
    return blocks[0] if blocks else None


def block_of(kind: TYPE, *dependents: Block, handle: Any = None, **members: Any) -> Block:
    """One block over others."""
    found = Block(kind, OffloadHandle=handle, **members)
    found.DependentBlockList = chain(dependents)
    return found


def neighbour(*dependents: Block, **const: Any) -> Block:
    """A new neighbour: the peer of these tests."""
    return block_of(
        TYPE.NEIGHBOR_ALL,
        *dependents,
        handle=nd.NDIS_OFFLOAD_HANDLE(),
        const=nd.NEIGHBOR_OFFLOAD_STATE_CONST(**const),
        cached=nd.NEIGHBOR_OFFLOAD_STATE_CACHED(PEER, 0),
        delegated=nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED(0),
    )


def path(*dependents: Block, version: int = 4, mtu: int = 1500) -> Block:
    """A new path from the card's host to the peer's."""
    peer, us = (packet.packed(address) for address in ADDRESSES[version])
    return block_of(
        TYPE.IP4_PATH_ALL if version == 4 else TYPE.IP6_PATH_ALL,
        *dependents,
        handle=nd.NDIS_OFFLOAD_HANDLE(),
        const=nd.PATH_OFFLOAD_STATE_CONST(us, peer),
        cached=nd.PATH_OFFLOAD_STATE_CACHED(mtu),
        delegated=nd.PATH_OFFLOAD_STATE_DELEGATED(),
    )


def tcp(
    port: int = 40000, hash_value: int = 0, *, cached: dict[str, Any] | None = None, **delegated: Any
) -> Block:
    """A new connection at rest, from the peer's `port` to ours, 80."""
    state = {
        "State": STATE.ESTABLISHED, "RcvNxt": IRS, "RcvWnd": 65535, "SndUna": ISS, "SndNxt": ISS,
        "SndMax": ISS, "SndWnd": 65535, "MaxSndWnd": 65535, "SendWL1": IRS, "CWnd": 14600,
        "SsThresh": 0x7FFF_FFFF,
    }  # fmt: skip
    return block_of(
        TYPE.TCP_ALL,
        handle=nd.NDIS_OFFLOAD_HANDLE(),
        const=nd.TCP_OFFLOAD_STATE_CONST(RemotePort=port, LocalPort=80, RemoteMss=1460, HashValue=hash_value),
        cached=nd.TCP_OFFLOAD_STATE_CACHED(**{"InitialRcvWnd": 65535, "TtlOrHopLimit": 64} | (cached or {})),
        delegated=nd.TCP_OFFLOAD_STATE_DELEGATED(**state | delegated),
    )


@dataclass(eq=False)
class Client(nd.ClientChimney):
    """Records what comes; `accepts` decides about indications: None takes all, else so many bytes."""

    bench: ChimneyBench
    done: list[tuple[str, Block]] = field(default_factory=list)
    accepts: Callable[[bytes], int | None] = lambda data: None
    returns: bool = True
    kept: list[tuple[Any, NetBufferList]] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    during: Callable[[str, Any], None] = lambda what, handle: None

    def initiate_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        self.done.append(("initiate", block))
        self.during("initiated", None)

    def terminate_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        self.done.append(("terminate", block))

    def update_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        self.done.append(("update", block))

    def invalidate_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        self.done.append(("invalidate", block))

    def query_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        self.done.append(("query", block))

    def indicate_offload_event(
        self, binding: BindingHandle, block: Block | None, event: nd.INDICATE_OFFLOAD_EVENT
    ) -> None:
        assert block is not None
        assert isinstance(block.cached, nd.NEIGHBOR_OFFLOAD_STATE_CACHED)
        assert isinstance(block.delegated, nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED)
        self.queries.append(block.delegated.NicReachabilityDelta)
        block.cached.HostReachabilityDelta = 1

    def _of(self, handle: Any) -> Connection:
        connection = self.bench.connections[handle]
        connection.cpus.append(self.bench.processors.current)
        return connection

    def tcp_offload_event(self, handle: Any, event: EVENT, info: int) -> None:
        self._of(handle).log.append((event.name, info))
        self.during("event", handle)

    def tcp_offload_receive_indicate(self, handle: Any, nbl: NetBufferList) -> tuple[NDIS_STATUS, int]:
        connection = self._of(handle)
        data = bytes_of(nbl)
        self.during("indicate", handle)
        wanted = self.accepts(data)
        taken = len(data) if wanted is None else min(wanted, len(data))
        connection.stream += data[:taken]
        connection.log.append(("indicate", len(data)))
        if taken == len(data):
            self.kept.append((handle, nbl))
            if self.returns:
                self.bench.processors.queue_work(self.give_back)
            return OK, taken
        if not taken:
            return NDIS_STATUS.OFFLOAD_DATA_NOT_ACCEPTED, 0
        return NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED, taken

    def give_back(self) -> None:
        """ReceiveReturn of everything that is held."""
        kept, self.kept = self.kept, []
        for handle, nbl in kept:
            nbl.next = None
            give = functools.partial(self.bench.calls.offload_tcp_receive_return, handle, nbl)
            assert self.bench.as_protocol(give) == OK

    def tcp_offload_send_complete(self, handle: Any, head: NetBufferList) -> None:
        connection = self._of(handle)
        for nbl in list(walk(head)):
            connection.log.append(("sent", nbl.status, nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED)))
        self.during("sent", handle)

    def tcp_offload_receive_complete(self, handle: Any, head: NetBufferList) -> None:
        connection = self._of(handle)
        for nbl in list(walk(head)):
            count = nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED)
            connection.log.append(("received", nbl.status, count))
            buffer = nbl.first_net_buffer
            assert buffer is not None
            buffer.retreat_data_start(count)
            connection.stream += buffer.data(0, count)
        self.during("received", handle)

    def tcp_offload_disconnect_complete(self, handle: Any, nbl: NetBufferList) -> None:
        self._of(handle).log.append(("disconnected", nbl.status))

    def tcp_offload_forward_complete(self, handle: Any, head: NetBufferList) -> None:
        self._of(handle).log.extend(("forwarded", nbl.status) for nbl in list(walk(head)))


class Offloader(CaptureProtocol):
    """CaptureProtocol with chimney handlers; at a pause it gives back what it holds."""

    client: Client
    on_pause: Callable[[], None] = staticmethod(lambda: None)

    def client_chimney(self) -> nd.ClientChimney | None:
        return self.client

    def net_pnp_event(self, binding: BindingHandle, event: NetEvent, data: object) -> NDIS_STATUS:
        if event in (NetEvent.PAUSE, NetEvent.SET_POWER):
            self.on_pause()
        return super().net_pnp_event(binding, event, data)


@dataclass(eq=False)
class Connection:
    """An offloaded connection: its blocks, its peer, and what the client was told of it."""

    bench: ChimneyBench
    block: Block
    peer: Peer
    log: list[tuple[Any, ...]] = field(default_factory=list)
    stream: bytes = b""
    cpus: list[int] = field(default_factory=list)
    state: nd.TCP_OFFLOAD_STATE_DELEGATED | None = None

    @property
    def handle(self) -> Any:
        """NDIS_OFFLOAD_HANDLE."""
        return self.block.OffloadHandle

    def told(self, what: str) -> list[tuple[Any, ...]]:
        """Entries of the log of one kind, without the kind."""
        return [entry[1:] for entry in self.log if entry[0] == what]

    # the host

    def send(self, *data: bytes, cuts: Sequence[int] = (), settles: bool = True) -> list[NetBufferList]:
        """One call with an NBL each."""
        nbls = [self.bench.nbl(each, cuts) for each in data]
        head = chain_of(nbls)
        self.bench.call(lambda: self.bench.calls.offload_tcp_send(self.handle, head), settles)
        return nbls

    def post(self, *lengths: int, no_push: bool = False, before: int = 0, settles: bool = True) -> None:
        """One call with a receive each."""
        nbls = [self.bench.nbl(bytes(length)) for length in lengths]
        for nbl in nbls:
            nbl.set_info(TCP_RECEIVE_NO_PUSH, int(no_push))
            nbl.set_info(Slot.TCP_RECEIVE_BYTES_TRANSFERRED, before)
        head = chain_of(nbls)
        self.bench.call(lambda: self.bench.calls.offload_tcp_receive(self.handle, head), settles)

    def disconnect(self, data: bytes = b"", *, abortive: bool = False, settles: bool = True) -> None:
        """Graceful, with data or without, or abortive."""
        nbl = self.bench.nbl(data)
        flags = nd.TcpDisconnectFlag.ABORTIVE_CLOSE if abortive else nd.TcpDisconnectFlag.GRACEFUL_CLOSE
        self.bench.call(lambda: self.bench.calls.offload_tcp_disconnect(self.handle, nbl, flags), settles)

    def forward(self, *segments: bytes) -> None:
        """Segments from the TCP header on."""
        head = chain_of([self.bench.nbl(each) for each in segments])
        self.bench.call(lambda: self.bench.calls.offload_tcp_forward(self.handle, head))

    def query(self) -> nd.TCP_OFFLOAD_STATE_DELEGATED:
        """DELEGATED now."""
        block = block_of(TYPE.TCP_DELEGATED, handle=self.handle, delegated=nd.TCP_OFFLOAD_STATE_DELEGATED())
        self.bench.control("query", block)
        assert block.Status == OK
        assert isinstance(block.delegated, nd.TCP_OFFLOAD_STATE_DELEGATED)
        return block.delegated

    def ending(self) -> Block:
        """A block that terminates it."""
        return block_of(TYPE.TCP_DELEGATED, handle=self.handle, delegated=nd.TCP_OFFLOAD_STATE_DELEGATED())

    def terminate(self) -> Block:
        """Its end; the block has what came back."""
        block = self.ending()
        self.bench.control("terminate", block)
        assert isinstance(block.delegated, nd.TCP_OFFLOAD_STATE_DELEGATED)
        self.state = block.delegated
        return block

    # the peer

    def receive(self, payload: bytes = b"", *, settles: bool = True, **frame: Any) -> None:
        """The peer sends the next bytes."""
        self.bench.receive(self.peer.frame(payload, **frame))
        if "seq" not in frame:
            fin = frame.get("flags", 0) & packet.FIN
            self.peer.seq = (self.peer.seq + len(payload) + fin) % (1 << 32)
        if settles:
            self.bench.settle()

    def sent(self) -> list[Segment]:
        """What the card sent to the peer since the last call."""
        segments = [segment_of(frame) for frame in self.bench.transmitted]
        port = self.peer.ports[0]
        self.bench.transmitted[:] = [each.frame for each in segments if each.destination_port != port]
        return [each for each in segments if each.destination_port == port]

    def acknowledge(self) -> bytes:
        """The peer acknowledges everything sent so far; the new bytes."""
        data = b""
        for each in self.sent():
            fin = each.flags & packet.FIN
            if each.seq == self.peer.ack:
                data += each.payload
                self.peer.ack = (self.peer.ack + len(each.payload) + fin) % (1 << 32)
        self.receive()
        return data


ENDS: dict[TYPE, tuple[TYPE, Any]] = {
    TYPE.TCP_ALL: (TYPE.TCP_DELEGATED, nd.TCP_OFFLOAD_STATE_DELEGATED),
    TYPE.IP4_PATH_ALL: (TYPE.IP4_PATH_DELEGATED, nd.PATH_OFFLOAD_STATE_DELEGATED),
    TYPE.IP6_PATH_ALL: (TYPE.IP6_PATH_DELEGATED, nd.PATH_OFFLOAD_STATE_DELEGATED),
    TYPE.NEIGHBOR_ALL: (TYPE.NEIGHBOR_DELEGATED, nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED),
}


def context_of(block: Block) -> object:
    """What the miniport wrote into MiniportOffloadContext."""
    assert block.OffloadHandle is not None
    return block.OffloadHandle.MiniportOffloadContext.value


def ending_of(block: Block) -> Block:
    """A block that terminates what this one offloaded."""
    kind, state = ENDS[block.state_type]
    return block_of(kind, handle=block.OffloadHandle, delegated=state())


class Recorder(nd.ProviderCalls):
    """NDIS as the miniport calls it when there is no NDIS between: keeps what comes, `accepts` everything."""

    def __init__(self) -> None:
        self.completed: list[tuple[str, Any]] = []
        self.told: list[tuple[Any, ...]] = []

    @property
    def indicated(self) -> list[NetBufferList]:
        """NBLs that were indicated."""
        return [entry[1] for entry in self.told if entry[0] == "indicate"]

    def m_initiate_offload_complete(self, block: Any) -> None:
        self.completed.append(("initiate", block))

    def m_terminate_offload_complete(self, block: Any) -> None:
        self.completed.append(("terminate", block))

    def m_update_offload_complete(self, block: Any) -> None:
        self.completed.append(("update", block))

    def m_invalidate_offload_complete(self, block: Any) -> None:
        self.completed.append(("invalidate", block))

    def m_query_offload_state_complete(self, block: Any) -> None:
        self.completed.append(("query", block))

    def m_offload_event_indicate(self, block: Any, event: nd.INDICATE_OFFLOAD_EVENT) -> None:
        self.told.append(("query", block))

    def tcp_offload_event_handler(self, handle: object, event: EVENT, info: int) -> None:
        self.told.append((event.name, info))

    def tcp_offload_receive_handler(self, handle: object, nbl: NetBufferList) -> tuple[NDIS_STATUS, int]:
        self.told.append(("indicate", nbl))
        return OK, len(bytes_of(nbl))

    def tcp_offload_send_complete(self, handle: object, chain: NetBufferList) -> None:
        self.told += [("sent", nbl.status) for nbl in walk(chain)]

    def tcp_offload_receive_complete(self, handle: object, chain: NetBufferList) -> None:
        self.told += [("received", nbl.status) for nbl in walk(chain)]

    def tcp_offload_disconnect_complete(self, handle: object, nbl: NetBufferList) -> None:
        self.told.append(("disconnected", nbl.status))

    def tcp_offload_forward_complete(self, handle: object, chain: NetBufferList) -> None:
        self.told += [("forwarded", nbl.status) for nbl in walk(chain)]


def for_miniport(block: Any) -> Any:
    """The same tree as a miniport sees it, contexts shared."""
    if block is None:
        return None
    handle = block.OffloadHandle
    return nd.NDIS_MINIPORT_OFFLOAD_BLOCK_LIST(
        block.state_type,
        block.const,
        block.cached,
        block.delegated,
        NetBufferListChain=block.NetBufferListChain,
        NextBlock=for_miniport(block.NextBlock),
        DependentBlockList=for_miniport(block.DependentBlockList),
        MiniportOffloadContext=handle.MiniportOffloadContext if handle is not None else None,
        NdisOffloadHandle=handle,
    )


class ChimneyBench(Bench):
    """A Bench that has `neighbour`, `path` and connections of Connection; everything goes through NDIS."""

    def __init__(self, **bench: Any) -> None:
        keywords = {"*InterruptModeration": 0} | bench.pop("keywords", {})
        device = {"connections": 64} | bench.pop("device", {})
        shape = {"queues": 2, "cpus": 2, "starts": False, "keywords": keywords, "device": device}
        super().__init__(**shape | bench)
        self.client = Client(self)
        offloader = Offloader(self.memory, self.processors, packet_filter=self.protocol.packet_filter)
        offloader.client = self.client
        self.protocol = offloader
        self.connections: dict[Any, Connection] = {}
        self.owned: list[Any] = []
        self.neighbour_block: Block | None = None
        self.path_block: Block | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    @property
    def calls(self) -> nd.ClientCalls:
        """The chimney of the binding."""
        calls = self.protocol.bindings[0].chimney
        assert calls is not None
        return calls

    @property
    def rings(self) -> Any:
        """The miniport's chimney."""
        chimney = self.miniport.card.chimney  # type: ignore[attr-defined]
        assert chimney is not None
        return chimney

    def settle(self) -> None:
        """Let everything happen that takes no time: TCP's timers would go on for ever."""
        self.ndis.run_until_idle()

    def upload_all(self) -> None:
        """Terminate whatever is offloaded."""
        for connection in [each for each in self.connections.values() if each.state is None]:
            connection.terminate()
        if self.path_block is not None:
            self.release()

    def close(self) -> None:
        """Upload what tests left offloaded, give back what the client holds, then as every bench."""
        if not self._is_closed:
            self.upload_all()
            self.client.give_back()
            for buffer in self.owned:
                if not buffer.is_free:
                    buffer.free()
            self.owned = []
        super().close()

    # -- calls -----------------------------------------------------------------------------------------------

    def nbl(self, data: bytes, cuts: Sequence[int] = ()) -> NetBufferList:
        """Data in guest memory, in MDLs of the given lengths and the rest."""
        buffer = self.memory.alloc(max(len(data), 1))
        self.owned.append(buffer)
        buffer.view[: len(data)] = data
        mdls, at = [], 0
        for length in (*cuts, len(data) - sum(cuts)):
            mdls.append(Mdl(buffer.view[at : at + length], buffer.address + at))
            at += length
        for mdl, following in itertools.pairwise(mdls):
            mdl.next = following
        return NetBufferList(NetBuffer(mdls[0]), self.protocol.bindings[0])

    def as_protocol(self, call: Callable[[], Any]) -> Any:
        """Run as the protocol's code."""
        with self.ndis.verifier.entering(self.protocol, "Test"):
            return call()

    def call(self, call: Callable[[], NDIS_STATUS], settles: bool = True) -> None:
        """An I/O call: PENDING."""
        assert self.as_protocol(call) == NDIS_STATUS.PENDING
        if settles:
            self.settle()

    def control(self, name: str, block: Block, settles: bool = True) -> list[NDIS_STATUS | None]:
        """NdisXxxOffload; the statuses of the tree, depth first."""
        function = {"query": "query_offload_state"}.get(name, f"{name}_offload")
        before = len(self.client.done)
        self.as_protocol(lambda: getattr(self.calls, function)(block))
        if not settles:
            return []
        self.settle()
        assert [(what, each is block) for what, each in self.client.done[before:]] == [(name, True)]
        return [each.Status for each in tree(block)]

    def record(self) -> Recorder:
        """From now on the miniport calls a recorder: for what NDIS would not let a protocol ask."""
        recorder = Recorder()
        self.rings.ndis = recorder
        return recorder

    def direct(self, name: str, block: Block) -> list[NDIS_STATUS | None]:
        """A call of the miniport's entry point; the statuses of the tree, depth first."""
        recorder = self.rings.ndis
        given = for_miniport(block)
        before = len(recorder.completed)
        getattr(self.miniport._chimney.provider, f"{name}_offload")(given)  # type: ignore[attr-defined]
        assert len(recorder.completed) == before, "completed before the call returned"
        self.settle()
        assert [(what, each is given) for what, each in recorder.completed[before:]] == [(name, True)]
        return [each.Status for each in tree(given)]

    def connect(self, *blocks: Block) -> list[Connection]:
        """Offload connections on the bench's neighbour and path, which are offloaded with the first."""
        blocks = blocks or (tcp(),)
        if self.path_block is None:
            self.path_block = path(*blocks)
            self.neighbour_block = root = neighbour(self.path_block)
        else:
            root = block_of(TYPE.NONE, *blocks, handle=self.path_block.OffloadHandle)
        for block in blocks:
            self.enlist(block)
        statuses = self.control("initiate", root)
        assert set(statuses) == {OK}, statuses
        return [self.connections[block.OffloadHandle] for block in blocks]

    def enlist(self, block: Block) -> Connection:
        """Remember a connection that is being offloaded."""
        const, state = block.const, block.delegated
        assert isinstance(const, nd.TCP_OFFLOAD_STATE_CONST)
        assert isinstance(state, nd.TCP_OFFLOAD_STATE_DELEGATED)
        peer = Peer(4, (const.RemotePort, const.LocalPort), state.RcvNxt, state.SndUna)
        found = self.connections[block.OffloadHandle] = Connection(self, block, peer)
        return found

    def release(self) -> list[NDIS_STATUS | None]:
        """Terminate the bench's path and neighbour."""
        assert self.path_block is not None
        assert self.neighbour_block is not None
        lower = block_of(
            TYPE.IP4_PATH_DELEGATED,
            handle=self.path_block.OffloadHandle,
            delegated=nd.PATH_OFFLOAD_STATE_DELEGATED(),
        )
        upper = block_of(
            TYPE.NEIGHBOR_DELEGATED,
            lower,
            handle=self.neighbour_block.OffloadHandle,
            delegated=nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED(),
        )
        statuses = self.control("terminate", upper)
        self.path_block = self.neighbour_block = None
        return statuses
