"""A chimney client that keeps a record of what it is told, and the protocol that has it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import NetBufferList, walk
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED
from vnic.ndis.protocol import BindingHandle, NetEvent
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.capture import CaptureProtocol
from vnic.testbench.chimney.blocks import EVENT, OK, Block, bytes_of

if TYPE_CHECKING:
    from vnic.testbench.chimney.bench import ChimneyBench
    from vnic.testbench.chimney.connection import Connection


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
