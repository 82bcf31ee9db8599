"""A right offload target of memory only, a right client of it, and a rig on which either can err."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from tests.ndis.conftest import HARDWARE, FakeBus, FakeMiniport, FakeProtocol, Stage
from vnic.host.clock import VirtualClock
from vnic.host.cpu import Level, Processors
from vnic.ndis import chimney as nd
from vnic.ndis.adapter import AdapterOptions
from vnic.ndis.attributes import OffloadAttributes
from vnic.ndis.chimney import NDIS_MINIPORT_OFFLOAD_BLOCK_LIST as Block
from vnic.ndis.chimney import NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST as ProtocolBlock
from vnic.ndis.chimney import OFFLOAD_STATE_TYPE as TYPE
from vnic.ndis.chimney import TCP_OFFLOAD_CONNECTION_STATE as STATE
from vnic.ndis.layer import Ndis
from vnic.ndis.miniport import DriverHandle, InitParameters, MiniportHandle
from vnic.ndis.net_buffer_list import NetBufferList, link, net_buffer_list, walk
from vnic.ndis.offload import TcpConnectionOffload
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED, TCP_RECEIVE_NO_PUSH, Slot
from vnic.ndis.protocol import BindingHandle
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import NdisViolation

SUCCESS = NDIS_STATUS.SUCCESS
PARTIAL = NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS
CAPACITY = 8
CONNECTIONS = TcpConnectionOffload(2, ipv4=True, ipv6=True, capacity=CAPACITY)
CARRIES = {SUCCESS, PARTIAL}


def advance(nbl: NetBufferList, count: int) -> None:
    """Move the data start of an NBL and say so."""
    nbl.set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, count)
    for buffer in nbl.net_buffers():
        part = min(count, buffer.data_length)
        buffer.advance_data_start(part)
        count -= part


def size(nbl: NetBufferList) -> int:
    """Bytes of an NBL."""
    return sum(buffer.data_length for buffer in nbl.net_buffers())


@dataclass(eq=False)
class Target:
    """A connection as the toy target runs it: the far end is whoever calls ack, arrive, fin and reset."""

    handle: Any
    state: nd.TCP_OFFLOAD_STATE_DELEGATED
    sends: deque[NetBufferList] = field(default_factory=deque)
    posts: deque[NetBufferList] = field(default_factory=deque)
    disconnects: list[NetBufferList] = field(default_factory=list)
    forwards: list[NetBufferList] = field(default_factory=list)
    waiting: bytes = b""
    partial: int = 0
    is_announced: bool = False
    is_busy: bool = False
    is_refused: bool = False
    has_fin: bool = False
    fin_told: bool = False


class ToyTarget(nd.ProviderChimney):
    """Completes everything in DPCs; `hooks` replaces an entry point, the original as first argument."""

    def __init__(self, miniport: ChimneyMiniport, processors: Processors) -> None:
        self.miniport = miniport
        self.processors = processors
        self.calls: Any = None
        self.verifier: Any = None
        self.hooks: dict[str, Callable[..., Any]] = {}
        self.refuses: Callable[[Block], NDIS_STATUS | None] = lambda block: None
        self.held: list[tuple[str, Block]] = []
        self.holds = False
        self.connections: list[Target] = []
        self.returned: list[tuple[object, NetBufferList]] = []
        self.cpu = 0
        self._count = 0

    def _do(self, name: str, default: Callable[..., Any], *arguments: Any) -> Any:
        hook = self.hooks.get(name)
        return hook(default, *arguments) if hook else default(*arguments)

    def defer(self, routine: Callable[[], object]) -> None:
        """Run later in a DPC of this driver."""
        self._count += 1

        def run(_: object) -> None:
            with self.verifier.entering(self.miniport, "Dpc"):
                routine()

        self.processors.queue_dpc(self.cpu, run, source=("toy", self._count))

    # control

    def _control(self, name: str, block: Block) -> None:
        def later() -> None:
            if self.holds:
                self.held.append((name, block))
            else:
                self._do(name, getattr(self, f"_{name}"), block)

        self._do(f"call_{name}", lambda _: self.defer(later), block)

    def initiate_offload(self, block: Block) -> None:
        self._control("initiate", block)

    def terminate_offload(self, block: Block) -> None:
        self._control("terminate", block)

    def update_offload(self, block: Block) -> None:
        self._control("update", block)

    def invalidate_offload(self, block: Block) -> None:
        self._control("invalidate", block)

    def query_offload_state(self, block: Block) -> None:
        self._control("query", block)

    def query_offload(self, block: Block) -> None:
        self._control("query", block)

    def release(self) -> None:
        """Complete what was held, in a DPC."""
        held, self.held, self.holds = self.held, [], False
        for name, block in held:
            self.defer(partial(self._do, name, getattr(self, f"_{name}"), block))

    def _initiate(self, block: Block) -> None:
        started = self.offload(block)
        self.complete_initiate(block)
        for each in started:
            each.is_announced = True
            self.deliver(each)

    def complete_initiate(self, block: Block) -> None:
        """NdisMInitiateOffloadComplete."""
        self.calls.m_initiate_offload_complete(block)

    def offload(self, block: Block | None, may: bool = True) -> list[Target]:
        """Siblings and all below; statuses as the guide has them."""
        started: list[Target] = []
        while block is not None:
            refusal = self.refuses(block) if may else NDIS_STATUS.FAILURE
            is_new = block.state_type != TYPE.NONE
            fails = is_new and refusal is not None
            if is_new and not fails:
                started += self._take(block)
            started += self.offload(block.DependentBlockList, may and not fails)
            below = [each.Status for each in siblings(block.DependentBlockList)]
            is_whole = all(each in CARRIES for each in below)
            if block.MiniportOffloadContext is None:
                block.Status = SUCCESS
            elif fails:
                block.Status = refusal
            elif not is_new and below and not any(each in CARRIES for each in below):
                block.Status = NDIS_STATUS.FAILURE
            else:
                block.Status = SUCCESS if is_whole else PARTIAL
            block = block.NextBlock
        return started

    def _take(self, block: Block) -> list[Target]:
        assert block.MiniportOffloadContext is not None
        if not isinstance(block.delegated, nd.TCP_OFFLOAD_STATE_DELEGATED):
            block.MiniportOffloadContext.value = object()
            return []
        found = Target(block.NdisOffloadHandle, replace(block.delegated))
        found.sends.extend(walk(block.NetBufferListChain))
        found.waiting = b"".join(buffer_bytes(nbl) for nbl in walk(block.delegated.BufferedData))
        block.MiniportOffloadContext.value = found
        self.connections.append(found)
        return [found]

    def _terminate(self, block: Block) -> None:
        for each in tree(block):
            each.Status = SUCCESS
            context = each.MiniportOffloadContext
            if isinstance(each.delegated, nd.TCP_OFFLOAD_STATE_DELEGATED) and context is not None:
                assert isinstance(context.value, Target)
                self.upload(context.value, each)
        self.calls.m_terminate_offload_complete(block)

    def upload(self, found: Target, block: Block) -> None:
        """Everything goes back."""
        self._do("upload", self._upload, found, block)

    def _upload(self, found: Target, block: Block) -> None:
        self.end_io(found, NDIS_STATUS.UPLOAD_IN_PROGRESS, sends=False)
        sends = list(found.sends)
        block.NetBufferListChain = link(sends)
        buffered = net_buffer_list(found.waiting) if found.waiting else None
        block.delegated = replace(
            found.state,
            SendDataHead=sends[0] if sends else None,
            SendDataTail=sends[-1] if sends else None,
            BufferedData=buffered,
        )
        found.sends.clear()
        self.connections.remove(found)

    def end_io(self, found: Target, status: NDIS_STATUS, sends: bool = True) -> None:
        """Complete what is outstanding."""
        if sends:
            self.complete_sends(found, len(found.sends), status)
        self.complete_posts(found, len(found.posts), status)
        for nbl in found.disconnects:
            nbl.status = status
            self.calls.tcp_offload_disconnect_complete(found.handle, nbl)
        for nbl in found.forwards:
            nbl.status = status
            self.calls.tcp_offload_forward_complete(found.handle, nbl)
        found.disconnects, found.forwards = [], []

    def _update(self, block: Block) -> None:
        self.succeed(block)
        self.calls.m_update_offload_complete(block)

    def _invalidate(self, block: Block) -> None:
        self.succeed(block)
        self.calls.m_invalidate_offload_complete(block)

    def _query(self, block: Block) -> None:
        self.succeed(block)
        for each in tree(block):
            context = each.MiniportOffloadContext
            if isinstance(each.delegated, nd.TCP_OFFLOAD_STATE_DELEGATED) and context is not None:
                assert isinstance(context.value, Target)
                each.delegated = replace(context.value.state)
        self.calls.m_query_offload_state_complete(block)

    def succeed(self, block: Block) -> None:
        """SUCCESS everywhere."""
        for each in tree(block):
            each.Status = SUCCESS

    # I/O

    def tcp_offload_send(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        assert isinstance(context, Target)
        context.sends.extend(walk(chain))
        return NDIS_STATUS(self._do("send", lambda _: NDIS_STATUS.PENDING, context))

    def tcp_offload_receive(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        assert isinstance(context, Target)
        context.posts.extend(walk(chain))
        context.is_refused = False
        if not context.is_busy:
            self.defer(lambda: self.deliver(context))
        return NDIS_STATUS(self._do("receive", lambda _: NDIS_STATUS.PENDING, context))

    def tcp_offload_receive_return(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        self.returned += [(context, nbl) for nbl in walk(chain)]
        return NDIS_STATUS(self._do("return", lambda: SUCCESS))

    def tcp_offload_disconnect(
        self, context: object, nbl: NetBufferList, flags: nd.TcpDisconnectFlag
    ) -> NDIS_STATUS:
        assert isinstance(context, Target)
        context.disconnects.append(nbl)
        if flags == nd.TcpDisconnectFlag.ABORTIVE_CLOSE:
            self.defer(lambda: self.finish_abort(context))
        return NDIS_STATUS.PENDING

    def tcp_offload_forward(self, context: object, chain: NetBufferList) -> NDIS_STATUS:
        assert isinstance(context, Target)
        context.forwards.extend(walk(chain))
        self.defer(lambda: self.finish_forwards(context))
        return NDIS_STATUS.PENDING

    def finish_abort(self, found: Target) -> None:
        """The RST is sent."""
        self.complete_sends(found, len(found.sends), NDIS_STATUS.REQUEST_ABORTED)
        self.complete_posts(found, len(found.posts), NDIS_STATUS.REQUEST_ABORTED)
        for nbl in found.disconnects:
            nbl.status = SUCCESS if nbl is found.disconnects[-1] else NDIS_STATUS.REQUEST_ABORTED
            self.calls.tcp_offload_disconnect_complete(found.handle, nbl)
        found.disconnects = []

    def finish_forwards(self, found: Target) -> None:
        """All are processed."""
        forwards, found.forwards = found.forwards, []
        for nbl in forwards:
            nbl.status = SUCCESS
        if forwards:
            self.calls.tcp_offload_forward_complete(found.handle, link(forwards))

    # the far end

    def complete_sends(self, found: Target, count: int, status: NDIS_STATUS) -> None:
        """Complete the first sends; not acknowledged further than they are unless SUCCESS."""
        done = [found.sends.popleft() for _ in range(count)]
        for nbl in done:
            if status == SUCCESS:
                found.state.SndUna += size(nbl)
            advance(nbl, size(nbl) if status == SUCCESS else 0)
            nbl.status = status
        if done:
            self.calls.tcp_offload_send_complete(found.handle, link(done))

    def ack(self, found: Target, count: int | None = None) -> None:
        """The peer acknowledges whole sends."""
        total = len(found.sends) if count is None else count
        self.complete_sends(found, total, SUCCESS)
        state = found.state
        state.SndNxt = state.SndMax = max(state.SndMax, state.SndUna)

    def complete_posts(self, found: Target, count: int, status: NDIS_STATUS) -> None:
        """Complete the first receives with what is placed in them."""
        done = [found.posts.popleft() for _ in range(count)]
        for place, nbl in enumerate(done):
            advance(nbl, found.partial if place == 0 else 0)
            nbl.status = status
        if done:
            found.partial = 0
            self.calls.tcp_offload_receive_complete(found.handle, link(done))

    def arrive(self, found: Target, data: bytes) -> None:
        """Data comes in sequence."""
        found.state.RcvNxt += len(data)
        found.waiting += data
        self.deliver(found)

    def deliver(self, found: Target) -> None:
        """The delivery algorithm, run to its end."""
        if found.is_busy or not found.is_announced or found not in self.connections:
            return
        found.is_busy = True
        try:
            while self._deliver_once(found):
                pass
        finally:
            found.is_busy = False
        if found.has_fin and not found.waiting and not found.fin_told:
            found.fin_told = True
            self.event(found, nd.TCP_OFFLOAD_EVENT_TYPE.DISCONNECT)

    def _deliver_once(self, found: Target) -> bool:
        if found.posts:
            return self._place(found)
        if not found.waiting or found.is_refused:
            return False
        return self.indicate(found)

    def _place(self, found: Target) -> bool:
        nbl = found.posts[0]
        room = size(nbl) - found.partial
        part, rest = found.waiting[:room], found.waiting[room:]
        if part:
            buffer = nbl.first_net_buffer
            assert buffer is not None
            buffer.write(found.partial, part)
        found.waiting = rest
        found.partial += len(part)
        if found.has_fin and not rest and found.partial == 0 and room:
            self.complete_posts(found, 1, NDIS_STATUS.INVALID_STATE)
            return True
        is_push = not nbl.info(TCP_RECEIVE_NO_PUSH) or found.has_fin
        if found.partial < size(nbl) and not (is_push and found.partial):
            return False
        self.complete_posts(found, 1, SUCCESS)
        return True

    def indicate(self, found: Target, nbl: NetBufferList | None = None) -> bool:
        """NdisTcpOffloadReceiveHandler; whether to go on."""
        nbl = nbl or net_buffer_list(found.waiting)
        posts = len(found.posts)
        with self.processors.raised_to(Level.DISPATCH):
            status, consumed = self.calls.tcp_offload_receive_handler(found.handle, nbl)
        found.waiting = found.waiting[consumed:]
        if status != SUCCESS:
            found.is_refused = len(found.posts) == posts
        return not found.is_refused

    def fin(self, found: Target) -> None:
        """The peer closes."""
        found.has_fin = True
        found.state.RcvNxt += 1
        found.state.State = STATE.CLOSE_WAIT
        self.deliver(found)

    def reset(self, found: Target) -> None:
        """An acceptable RST."""
        self.event(found, nd.TCP_OFFLOAD_EVENT_TYPE.ABORT)
        found.state.State = STATE.CLOSED
        self.end_io(found, NDIS_STATUS.REQUEST_ABORTED)

    def event(self, found: Target, event: nd.TCP_OFFLOAD_EVENT_TYPE, info: int = 0) -> None:
        """NdisTcpOffloadEventHandler."""
        with self.processors.raised_to(Level.DISPATCH):
            self.calls.tcp_offload_event_handler(found.handle, event, info)


class ChimneyMiniport(FakeMiniport):
    """The right miniport of the other tests, with a chimney."""

    def __init__(self, bus: FakeBus, processors: Processors) -> None:
        super().__init__(bus)
        self.target = ToyTarget(self, processors)
        self.connections: TcpConnectionOffload | None = CONNECTIONS
        self.registers = True

    def set_options(self, handle: DriverHandle) -> NDIS_STATUS:
        if self.registers:
            return handle.m_set_optional_handlers(self.target)
        return SUCCESS

    def _initialize(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        self.handle = handle
        handle.m_set_miniport_attributes(self.registration)
        handle.m_set_miniport_attributes(self.general())
        offload = OffloadAttributes(self.config, HARDWARE, self.connections, self.connections)
        handle.m_set_miniport_attributes(offload)
        if self.registers:
            self.target.calls = handle.m_get_offload_handlers()
        self.timer = handle.m_allocate_timer(lambda: None)
        return SUCCESS

    def _halt(self, action: object) -> None:
        assert self.timer is not None
        self.timer.cancel()


class ToyClient(nd.ClientChimney):
    """Records what comes; `answer` decides about received data: None accepts, a number consumes that much."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ProtocolBlock]] = []
        self.statuses: list[NDIS_STATUS | None] = []
        self.sent: list[tuple[NDIS_STATUS, int]] = []
        self.received: list[tuple[NDIS_STATUS, int]] = []
        self.disconnected: list[NDIS_STATUS] = []
        self.forwarded: list[NDIS_STATUS] = []
        self.events: list[tuple[nd.TCP_OFFLOAD_EVENT_TYPE, int]] = []
        self.stream = b""
        self.kept: list[tuple[nd.NDIS_OFFLOAD_HANDLE, NetBufferList]] = []
        self.answer: Callable[[bytes], int | None] = lambda data: None
        self.during: Callable[[str, nd.NDIS_OFFLOAD_HANDLE], None] = lambda what, handle: None
        self.reachability = 7
        self.hooks: dict[str, Callable[..., None]] = {}

    def _end(self, name: str, block: ProtocolBlock) -> None:
        self.done.append((name, block))
        self.statuses = [each.Status for each in tree(block)]

    def initiate_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._end("initiate", block)
        for each in tree(block):
            if each.OffloadHandle is not None:
                self.during("initiate", each.OffloadHandle)

    def terminate_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._end("terminate", block)
        for each in tree(block):
            state = each.delegated
            if isinstance(state, nd.TCP_OFFLOAD_STATE_DELEGATED) and state.BufferedData is not None:
                assert each.OffloadHandle is not None
                self.stream += b"".join(buffer_bytes(nbl) for nbl in walk(state.BufferedData))
                self.kept.append((each.OffloadHandle, state.BufferedData))

    def update_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._end("update", block)

    def invalidate_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._end("invalidate", block)

    def query_offload_complete(self, binding: BindingHandle, block: ProtocolBlock) -> None:
        self._end("query", block)

    def indicate_offload_event(
        self, binding: BindingHandle, block: ProtocolBlock | None, event: nd.INDICATE_OFFLOAD_EVENT
    ) -> None:
        assert block is not None
        assert isinstance(block.cached, nd.NEIGHBOR_OFFLOAD_STATE_CACHED)
        block.cached.HostReachabilityDelta = self.reachability
        if "query" in self.hooks:
            self.hooks["query"](block)

    def tcp_offload_event(
        self, handle: nd.NDIS_OFFLOAD_HANDLE, event: nd.TCP_OFFLOAD_EVENT_TYPE, info: int
    ) -> None:
        self.events.append((event, info))
        self.during("event", handle)

    def tcp_offload_receive_indicate(
        self, handle: nd.NDIS_OFFLOAD_HANDLE, nbl: NetBufferList
    ) -> tuple[NDIS_STATUS, int]:
        data = buffer_bytes(nbl)
        self.during("indicate", handle)
        wanted = self.answer(data)
        if wanted is None or wanted == len(data):
            self.kept.append((handle, nbl))
            self.stream += data
            return SUCCESS, len(data)
        self.stream += data[:wanted]
        if not wanted:
            return NDIS_STATUS.OFFLOAD_DATA_NOT_ACCEPTED, 0
        return NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED, wanted

    def tcp_offload_send_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        self.sent += [(nbl.status, nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED)) for nbl in walk(chain)]
        self.during("sent", handle)

    def tcp_offload_receive_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        for nbl in walk(chain):
            count = nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED)
            self.received.append((nbl.status, count))
            buffer = nbl.first_net_buffer
            assert buffer is not None
            buffer.retreat_data_start(count)
            self.stream += buffer.data(0, count)
        self.during("received", handle)

    def tcp_offload_disconnect_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, nbl: NetBufferList) -> None:
        self.disconnected.append(nbl.status)

    def tcp_offload_forward_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        self.forwarded += [nbl.status for nbl in walk(chain)]


class ChimneyProtocol(FakeProtocol):
    """The right protocol of the other tests, with chimney handlers; uploads all at pause and low power."""

    def __init__(self) -> None:
        super().__init__()
        self.client: ToyClient | None = ToyClient()
        self.at_pause: Callable[[], None] = lambda: None

    def client_chimney(self) -> nd.ClientChimney | None:
        return self.client

    def net_pnp_event(self, binding: BindingHandle, event: Any, data: object) -> NDIS_STATUS:
        if event.name in ("PAUSE", "SET_POWER"):
            self.at_pause()
        return super().net_pnp_event(binding, event, data)


def siblings(block: Any) -> Iterator[Any]:
    """A block and those beside it."""
    while block is not None:
        yield block
        block = block.NextBlock


def tree(block: Any) -> list[Any]:
    """Depth-first."""
    found = []
    for each in siblings(block):
        found += [each, *tree(each.DependentBlockList)]
    return found


def buffer_bytes(nbl: NetBufferList) -> bytes:
    """The data of an NBL."""
    return b"".join(buffer.data() for buffer in nbl.net_buffers())


# -- block lists of a protocol ---------------------------------------------------------------------------


def neighbor(*dependents: ProtocolBlock, handle: nd.NDIS_OFFLOAD_HANDLE | None = None) -> ProtocolBlock:
    """A new neighbor, or with a handle a linker."""
    if handle is not None:
        return linker(handle, *dependents)
    return _new(
        TYPE.NEIGHBOR_ALL,
        nd.NEIGHBOR_OFFLOAD_STATE_CONST(),
        nd.NEIGHBOR_OFFLOAD_STATE_CACHED(bytes(6), 5),
        nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED(5),
        dependents,
    )


def path(*dependents: ProtocolBlock, kind: TYPE = TYPE.IP4_PATH_ALL) -> ProtocolBlock:
    """A new path."""
    const = nd.PATH_OFFLOAD_STATE_CONST(bytes(4), bytes(4))
    cached, delegated = nd.PATH_OFFLOAD_STATE_CACHED(1500), nd.PATH_OFFLOAD_STATE_DELEGATED()
    return _new(kind, const, cached, delegated, dependents)


def tcp(
    sends: tuple[bytes, ...] = (), buffered: bytes = b"", sent: int = 0, state: STATE = STATE.ESTABLISHED
) -> ProtocolBlock:
    """A new connection; `sent` bytes of its sends are out already."""
    chain = [net_buffer_list(data) for data in sends]
    delegated = nd.TCP_OFFLOAD_STATE_DELEGATED(
        State=state,
        RcvNxt=5000,
        SndUna=1000,
        SndNxt=1000 + sent,
        SndMax=1000 + sent,
        SendDataHead=chain[0] if chain else None,
        SendDataTail=chain[-1] if chain else None,
        BufferedData=net_buffer_list(buffered) if buffered else None,
    )
    block = _new(
        TYPE.TCP_ALL, nd.TCP_OFFLOAD_STATE_CONST(LocalPort=80), nd.TCP_OFFLOAD_STATE_CACHED(), delegated, ()
    )
    block.NetBufferListChain = link(chain)
    return block


def _new(
    kind: TYPE,
    const: nd.Const,
    cached: nd.Cached,
    delegated: nd.Delegated,
    dependents: tuple[ProtocolBlock, ...],
) -> ProtocolBlock:
    block = ProtocolBlock(kind, const, cached, delegated, OffloadHandle=nd.NDIS_OFFLOAD_HANDLE())
    return over(block, *dependents)


def linker(handle: nd.NDIS_OFFLOAD_HANDLE | None, *dependents: ProtocolBlock) -> ProtocolBlock:
    """A block without state: a linker, or with None a placeholder."""
    return over(ProtocolBlock(OffloadHandle=handle), *dependents)


def over(block: ProtocolBlock, *dependents: ProtocolBlock) -> ProtocolBlock:
    """Hang blocks below another."""
    block.DependentBlockList = chain(*dependents)
    return block


def chain(*blocks: ProtocolBlock) -> ProtocolBlock | None:
    """Siblings."""
    for block, following in itertools.pairwise(blocks):
        block.NextBlock = following
    return blocks[0] if blocks else None


def with_state(handle: nd.NDIS_OFFLOAD_HANDLE, kind: TYPE, **state: Any) -> ProtocolBlock:
    """A block about an offloaded object."""
    return ProtocolBlock(kind, OffloadHandle=handle, **state)


DELEGATED: dict[int, tuple[TYPE, Callable[[], nd.Delegated]]] = {
    0: (TYPE.NEIGHBOR_DELEGATED, nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED),
    1: (TYPE.IP4_PATH_DELEGATED, nd.PATH_OFFLOAD_STATE_DELEGATED),
    2: (TYPE.TCP_DELEGATED, nd.TCP_OFFLOAD_STATE_DELEGATED),
}


def ending(handle: nd.NDIS_OFFLOAD_HANDLE, level: int, *dependents: ProtocolBlock) -> ProtocolBlock:
    """A block that terminates an object."""
    kind, state = DELEGATED[level]
    return over(with_state(handle, kind, delegated=state()), *dependents)


def of(block: ProtocolBlock) -> nd.NDIS_OFFLOAD_HANDLE:
    """The handle of a block that is no placeholder."""
    assert block.OffloadHandle is not None
    return block.OffloadHandle


# -- the rig -----------------------------------------------------------------------------------------------


@dataclass
class Rig(Stage):
    """A stage whose adapter and protocol have a chimney; `root` is the tree that is offloaded."""

    root: ProtocolBlock | None = None

    @property
    def target(self) -> ToyTarget:
        """The provider."""
        assert isinstance(self.miniport, ChimneyMiniport)
        return self.miniport.target

    @property
    def client(self) -> ToyClient:
        """The client."""
        assert isinstance(self.protocol, ChimneyProtocol)
        assert self.protocol.client is not None
        return self.protocol.client

    @property
    def calls(self) -> nd.ClientCalls:
        """What the protocol calls."""
        assert self.binding is not None
        calls = self.binding.chimney
        assert calls is not None
        return calls

    def protocol_does(self, routine: Callable[[], Any]) -> Any:
        """Run as the protocol, and let everything happen."""
        result = self.as_protocol(routine)
        self.run()
        return result

    def target_does(self, routine: Callable[[], Any]) -> Any:
        """Run as the miniport at DISPATCH, and let everything happen."""
        result = self.as_miniport(routine, Level.DISPATCH)
        self.run()
        return result

    def initiate(self, root: ProtocolBlock) -> ProtocolBlock:
        """NdisInitiateOffload, to its end."""
        self.protocol_does(lambda: self.calls.initiate_offload(root))
        return root

    def offload(self, **of_connection: Any) -> Target:
        """Neighbor, path and one connection."""
        self.root = self.initiate(neighbor(path(tcp(**of_connection))))
        assert self.client.statuses == [SUCCESS] * 3
        return self.target.connections[-1]

    @property
    def handles(self) -> list[nd.NDIS_OFFLOAD_HANDLE]:
        """Of neighbor, path and connection."""
        return [of(block) for block in tree(self.root)]

    @property
    def handle(self) -> nd.NDIS_OFFLOAD_HANDLE:
        """Of the connection."""
        return self.handles[2]

    def terminate(self) -> nd.TCP_OFFLOAD_STATE_DELEGATED:
        """All of the tree; the state of the connection."""
        first, second, third = self.handles
        root = ending(first, 0, ending(second, 1, ending(third, 2)))
        self.protocol_does(lambda: self.calls.terminate_offload(root))
        state = tree(root)[2].delegated
        assert isinstance(state, nd.TCP_OFFLOAD_STATE_DELEGATED)
        return state

    def terminate_connection(self) -> None:
        """The connection alone, below placeholders."""
        root = linker(None, linker(None, ending(self.handle, 2)))
        self.protocol_does(lambda: self.calls.terminate_offload(root))

    def send(self, *parts: bytes) -> list[NetBufferList]:
        """NdisOffloadTcpSend of one chain."""
        nbls = [net_buffer_list(part) for part in parts]
        head = link(nbls)
        assert head is not None
        self.protocol_does(lambda: self.calls.offload_tcp_send(self.handle, head))
        return nbls

    def post(self, *sizes: int, no_push: bool = False, before: int = 0) -> list[NetBufferList]:
        """NdisOffloadTcpReceive of one chain; `before` bytes are in the buffers already."""
        nbls = [net_buffer_list(bytes(size)) for size in sizes]
        for nbl in nbls:
            nbl.set_info(TCP_RECEIVE_NO_PUSH, int(no_push))
            nbl.set_info(Slot.TCP_RECEIVE_BYTES_TRANSFERRED, before)
        head = link(nbls)
        assert head is not None
        self.protocol_does(lambda: self.calls.offload_tcp_receive(self.handle, head))
        return nbls

    def disconnect(
        self, data: bytes = b"", flags: nd.TcpDisconnectFlag = nd.TcpDisconnectFlag.GRACEFUL_CLOSE
    ) -> NetBufferList:
        """NdisOffloadTcpDisconnect."""
        nbl = net_buffer_list(data)
        self.protocol_does(lambda: self.calls.offload_tcp_disconnect(self.handle, nbl, flags))
        return nbl

    def give_back(self) -> None:
        """Return what was accepted."""
        kept, self.client.kept = self.client.kept, []
        for handle, nbl in kept:
            self.protocol_does(partial(self.calls.offload_tcp_receive_return, handle, nbl))

    @contextmanager
    def breach(self, rule_id: str, by: str) -> Iterator[None]:
        """The block breaks this rule, and the layer says who did."""
        with pytest.raises(NdisViolation) as caught:
            yield
        violation = caught.value
        assert violation.rule_id == rule_id, str(violation)
        assert violation.driver == {"target": "ChimneyMiniport", "client": "ChimneyProtocol"}[by]
        assert violation.history
        assert self.ndis.violations[-1] is violation


def make_rig(cpus: int = 2, seed: int | None = None, **options: Any) -> Rig:
    """A rig that has not started."""
    processors, clock = Processors(cpus, seed), VirtualClock()
    ndis = Ndis(processors, clock, **options)
    bus = FakeBus(processors, 4)
    miniport = ChimneyMiniport(bus, processors)
    miniport.target.verifier = ndis.verifier
    adapter = ndis.add_adapter(miniport, AdapterOptions("toy", interrupts=bus))
    return Rig(ndis, bus, miniport, ChimneyProtocol(), adapter)
