"""A protocol that offloads as it is told, by the rules of NDIS: it keeps account, and takes all back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import Any

from vnic.fuzz.scene import Broken
from vnic.host.cpu import Processors
from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import NetBufferList, walk
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED
from vnic.ndis.protocol import BindingHandle, NetEvent
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, StatusIndication
from vnic.ndis.verifier import Verifier
from vnic.protocol.capture import CaptureProtocol, Memory
from vnic.testbench.chimney.blocks import Block, bytes_of, ending_of, tree
from vnic.testbench.tcp_peer import Peer

__all__ = ["Answer", "Node", "OffloadClient", "OffloadProtocol", "Phase"]

_OFFLOADED = (NDIS_STATUS.SUCCESS, NDIS_STATUS.OFFLOAD_PARTIAL_SUCCESS)
_STATUSES = (NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.UPLOAD_ALL, NDIS_STATUS.OFFLOAD_RESUME)


class Phase(Enum):
    """How far an object is, as the protocol knows it."""

    INITIATING = 0
    OFFLOADED = 1
    TERMINATING = 2


class Answer(Enum):
    """How much of an indication the protocol takes."""

    ALL = 0
    NOTHING = 1
    HALF = 2


class Node:
    """A neighbour, a path or a connection; `calls`: its queries, updates and invalidates that are out.

    peer: the other end of a connection, None for others. owed: bytes of its requests that did not end.
    """

    def __init__(self, block: Block, parent: Node | None, peer: Peer | None = None) -> None:
        self.block = block
        self.parent = parent
        self.peer = peer
        self.phase = Phase.INITIATING
        self.calls = 0
        self.owed: dict[int, int] = {}
        self.is_updating = self.is_invalid = self.must_end = False
        self.is_closed = self.is_aborted = False
        self.buffered: NetBufferList | None = None

    @property
    def handle(self) -> nd.NDIS_OFFLOAD_HANDLE:
        """NDIS_OFFLOAD_HANDLE."""
        assert self.block.OffloadHandle is not None
        return self.block.OffloadHandle

    @property
    def is_usable(self) -> bool:
        """Whether calls may be made for it."""
        return self.phase is Phase.OFFLOADED

    def lend(self, nbls: Iterable[NetBufferList]) -> None:
        """Requests were made of these."""
        self.owed |= {id(nbl): sum(each.data_length for each in nbl.net_buffers()) for nbl in nbls}

    def settle(self, nbl: NetBufferList) -> None:
        """One ended; Broken when that is no request of this connection, or more bytes than it held moved."""
        length = self.owed.pop(id(nbl), None)
        if length is None:
            raise Broken("chimney-twice", "a request ended that is not outstanding")
        count = nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED)
        if not 0 <= count <= length:
            raise Broken("chimney-bytes", f"{count} bytes transferred of a request of {length}")


class OffloadClient(nd.ClientChimney):
    """Takes what comes. `nodes` are the objects that are not gone, parents before what hangs on them."""

    def __init__(self, protocol: OffloadProtocol, processors: Processors) -> None:
        self.nodes: list[Node] = []
        self.kept: list[tuple[nd.NDIS_OFFLOAD_HANDLE, NetBufferList]] = []
        self.ended: set[str] = set()
        self.answer = Answer.ALL
        self.returns = True
        #: OFFLOAD_PAUSE or UPLOAD_ALL was heard and no OFFLOAD_RESUME; a binding that is on its way out.
        self.is_paused = self.is_leaving = False
        self._protocol = protocol
        self._processors = processors

    # -- who is there ----------------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether nothing is offloaded, and nothing of the target's is held."""
        return not (self.nodes or self.kept)

    @property
    def connections(self) -> list[Node]:
        """Those that are not gone."""
        return [node for node in self.nodes if node.peer is not None]

    def find(self, handle: object) -> Node | None:
        """The object of a handle."""
        return next((node for node in self.nodes if node.handle is handle), None)

    def _of(self, handle: object) -> Node:
        node = self.find(handle)
        if node is None:
            raise Broken("chimney-late", "something was told of an object that is gone")
        return node

    def give_up(self, nodes: Iterable[Node]) -> None:
        """These were not offloaded at all."""
        for node in nodes:
            self._protocol.free_injected([*walk(node.buffered), *walk(node.block.NetBufferListChain)])
            self.nodes.remove(node)

    def has_children(self, node: Node) -> bool:
        """Whether something hangs on it."""
        return any(each.parent is node for each in self.nodes)

    # -- the end ---------------------------------------------------------------------------------------------

    def take_back(self, nodes: Iterable[Node]) -> None:
        """End these, dependents first, as soon as NDIS lets it be."""
        for node in nodes:
            node.must_end = True
        self.stir()

    def leave(self) -> None:
        """Everything goes back, what is indicated too."""
        self.is_leaving = True
        self.take_back(self.nodes)
        self._give_back()

    def stir(self) -> None:
        """A work item looks for what can be done."""
        self._processors.queue_work(self._go_on)

    def _go_on(self) -> None:
        if self.returns or self.is_leaving:
            self._give_back()
        for node in reversed(self.nodes):
            may = node.is_usable and not node.calls and not self.has_children(node)
            if node.must_end and may:
                node.phase = Phase.TERMINATING
                with self._protocol.running():
                    self._protocol.calls.terminate_offload(ending_of(node.block))
        self._protocol.finish_leaving()

    def _give_back(self) -> None:
        """ReceiveReturn of everything that is held."""
        kept, self.kept = self.kept, []
        for handle, nbl in kept:
            nbl.next = None
            with self._protocol.running():
                self._protocol.calls.offload_tcp_receive_return(handle, nbl)

    def give_back(self) -> None:
        """The same, by whoever wants to see it."""
        self._give_back()
        self._protocol.finish_leaving()

    # -- control calls that ended ----------------------------------------------------------------------------

    def initiate_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        """Objects are there, or the chains of those that are not are ours again."""
        for each in tree(block):
            node = self.find(each.OffloadHandle) if each.OffloadHandle is not None else None
            if node is None or node.phase is not Phase.INITIATING:
                continue
            self.ended.add(f"initiate: {each.Status.name}")
            self._protocol.free_injected(walk(node.buffered))
            node.buffered = None
            if each.Status in _OFFLOADED:
                node.phase = Phase.OFFLOADED
            else:
                self._protocol.free_injected(list(walk(each.NetBufferListChain)))
                self.nodes.remove(node)
        self.stir()

    def terminate_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        """Objects are gone; sends that were not done and data that was not consumed come with them."""
        for each in tree(block):
            node = self._of(each.OffloadHandle)
            self.ended.add(f"terminate: {each.Status.name}")
            chain = list(walk(each.NetBufferListChain))
            for nbl in chain:
                node.owed.pop(id(nbl), None)
            self._protocol.free_injected(chain)
            if each.Status == NDIS_STATUS.SUCCESS:
                buffered = getattr(each.delegated, "BufferedData", None)
                self.kept += [(node.handle, nbl) for nbl in walk(buffered)]
            if node.owed:
                raise Broken("chimney-lost", f"{len(node.owed)} requests never ended")
            self.nodes.remove(node)
        self.stir()

    def _end_call(self, what: str, block: Block) -> None:
        for each in tree(block):
            node = self._of(each.OffloadHandle)
            if each.state_type is not nd.OFFLOAD_STATE_TYPE.NONE or what == "invalidate":
                node.calls -= 1
                self.ended.add(f"{what}: {each.Status.name}")
            if what == "update":
                node.is_updating = False
        self.stir()

    def update_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        """CACHED values are in force, or not."""
        self._end_call("update", block)

    def invalidate_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        """Nothing is sent on it any more."""
        self._end_call("invalidate", block)

    def query_offload_complete(self, binding: BindingHandle, block: Block) -> None:
        """State as it was."""
        self._end_call("query", block)

    def indicate_offload_event(
        self, binding: BindingHandle, block: Block | None, event: nd.INDICATE_OFFLOAD_EVENT
    ) -> None:
        """Reachable or not, now and then."""
        cached = block.cached if block is not None else None
        if isinstance(cached, nd.NEIGHBOR_OFFLOAD_STATE_CACHED):
            cached.HostReachabilityDelta = len(self.ended) & 1
        self.ended.add("asked about a neighbour")

    # -- connections -----------------------------------------------------------------------------------------

    def tcp_offload_event(
        self, handle: nd.NDIS_OFFLOAD_HANDLE, event: nd.TCP_OFFLOAD_EVENT_TYPE, info: int
    ) -> None:
        """The host takes back what has to come."""
        node = self._of(handle)
        self.ended.add(f"event {event.name} {info if event is nd.TCP_OFFLOAD_EVENT_TYPE.RETRIEVE else ''}")
        is_over = event is nd.TCP_OFFLOAD_EVENT_TYPE.ABORT
        if event is nd.TCP_OFFLOAD_EVENT_TYPE.RETRIEVE:
            is_over = nd.TCP_UPLOAD_REASON(info).is_mandatory
        if is_over:
            self.take_back([node])

    def tcp_offload_receive_indicate(
        self, handle: nd.NDIS_OFFLOAD_HANDLE, nbl: NetBufferList
    ) -> tuple[NDIS_STATUS, int]:
        """As much as `answer` says."""
        self._of(handle)
        length = len(bytes_of(nbl))
        self.ended.add(f"indication: {self.answer.name}")
        if self.answer is Answer.NOTHING and not self.is_leaving:
            return NDIS_STATUS.OFFLOAD_DATA_NOT_ACCEPTED, 0
        if self.answer is Answer.HALF and length > 1:
            return NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED, length // 2
        self.kept.append((handle, nbl))
        if self.returns or self.is_leaving:
            self.stir()
        return NDIS_STATUS.SUCCESS, length

    def _end_requests(self, what: str, handle: object, chain: NetBufferList) -> None:
        node = self._of(handle)
        nbls = list(walk(chain))
        for nbl in nbls:
            self.ended.add(f"{what}: {nbl.status.name}")
            node.settle(nbl)
        self._protocol.free_injected(nbls)

    def tcp_offload_send_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """Sends ended."""
        self._end_requests("send", handle, chain)

    def tcp_offload_receive_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """Receives ended."""
        self._end_requests("receive", handle, chain)

    def tcp_offload_disconnect_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, nbl: NetBufferList) -> None:
        """A disconnect ended."""
        self._end_requests("disconnect", handle, nbl)

    def tcp_offload_forward_complete(self, handle: nd.NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """Forwarded segments were dealt with."""
        self._end_requests("forward", handle, chain)


class OffloadProtocol(CaptureProtocol):
    """CaptureProtocol with chimney handlers; a pause and low power wait until nothing is offloaded."""

    def __init__(self, memory: Memory, processors: Processors) -> None:
        super().__init__(memory, processors, keeps_frames=False)
        self.client = OffloadClient(self, processors)
        self.verifier: Verifier | None = None
        self._powering_down: BindingHandle | None = None

    def client_chimney(self) -> nd.ClientChimney | None:
        """Its handlers."""
        return self.client

    @property
    def calls(self) -> nd.ClientCalls:
        """The chimney of the binding, which has one as long as something is offloaded."""
        calls = self.bindings[0].chimney
        assert calls is not None
        return calls

    @contextmanager
    def running(self) -> Iterator[None]:
        """The protocol's own code runs."""
        assert self.verifier is not None
        with self.verifier.entering(self, "OffloadProtocol"):
            yield

    def io(self, call: Callable[..., NDIS_STATUS], node: Node, chain: NetBufferList, *more: Any) -> None:
        """A request on a connection."""
        node.lend(walk(chain))
        with self.running():
            call(node.handle, chain, *more)

    def initiate(self, root: Block, nodes: Iterable[Node]) -> None:
        """NdisInitiateOffload, unless another processor was told meanwhile that nothing may be offloaded."""
        with self.running():
            if self.client.is_paused or self.client.is_leaving or not self.bindings:
                self.client.give_up(nodes)
            else:
                self.calls.initiate_offload(root)

    def control(self, name: str, block: Block, nodes: Iterable[Node]) -> None:
        """NdisUpdateOffload, NdisInvalidateOffload or NdisQueryOffloadState about these objects."""
        for node in nodes:
            node.calls += 1
            node.is_updating |= name == "update_offload"
            node.is_invalid |= name == "invalidate_offload"
        with self.running():
            partial(getattr(self.calls, name), block)()

    def status_ex(self, binding: BindingHandle, indication: StatusIndication) -> None:
        """ProtocolStatusEx: whether more may be offloaded."""
        super().status_ex(binding, indication)
        if indication.status not in _STATUSES:
            return
        self.client.is_paused = indication.status != NDIS_STATUS.OFFLOAD_RESUME
        self.client.ended.add(f"status {NDIS_STATUS(indication.status).name}")
        if indication.status == NDIS_STATUS.UPLOAD_ALL:
            self.client.take_back(self.client.nodes)

    # -- pause and low power ---------------------------------------------------------------------------------

    def bind_adapter_ex(self, binding: BindingHandle, parameters: Any) -> NDIS_STATUS:
        """ProtocolBindAdapterEx: an adapter that begins anew."""
        self.client.is_paused = False
        return super().bind_adapter_ex(binding, parameters)

    def net_pnp_event(self, binding: BindingHandle, event: NetEvent, data: object) -> NDIS_STATUS:
        """ProtocolNetPnPEvent: nothing is offloaded when a pause, or the way to low power, is complete."""
        is_low = event is NetEvent.SET_POWER and data is not DevicePowerState.D0
        if event is NetEvent.PAUSE or is_low:
            self.client.leave()
        elif event in (NetEvent.RESTART, NetEvent.SET_POWER):
            self.client.is_leaving = False
        status = super().net_pnp_event(binding, event, data)
        if not self.client.is_leaving or self.client.is_empty:
            return status
        if is_low:
            self._powering_down = binding
        elif status != NDIS_STATUS.PENDING:
            self._pausing.append(binding)
        return NDIS_STATUS.PENDING

    def _finish_pauses(self) -> None:
        if self.client.is_empty:
            super()._finish_pauses()

    def finish_leaving(self) -> None:
        """What waits for the last object goes on, if that was it."""
        self._finish_pauses()
        binding = self._powering_down
        if binding is not None and self.client.is_empty:
            self._powering_down = None
            binding.complete_net_pnp_event(NetEvent.SET_POWER, NDIS_STATUS.SUCCESS)
