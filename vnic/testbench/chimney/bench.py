"""A bench whose protocol offloads: block lists over a driver and the card, and a peer by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Self

from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.blocks import OK, TYPE, Block, block_of, neighbour, path, tcp, tree
from vnic.testbench.chimney.client import Client, Offloader
from vnic.testbench.chimney.connection import Connection
from vnic.testbench.tcp_peer import Peer


class ChimneyBench(Bench):
    """A Bench that has `neighbour`, `path` and connections of Connection; everything goes through NDIS."""

    def __init__(self, **bench: Any) -> None:
        keywords = {"*InterruptModeration": 0} | bench.pop("keywords", {})
        device = {"connections": 64} | bench.pop("device", {})
        starts = bench.pop("starts", True)
        shape = {"queues": 2, "cpus": 2, "keywords": keywords, "device": device}
        super().__init__(**shape | bench, starts=False)
        self.client = Client(self)
        offloader = Offloader(self.memory, self.processors, packet_filter=self.protocol.packet_filter)
        offloader.client = self.client
        self.protocol = offloader
        self.connections: dict[Any, Connection] = {}
        self.owned: list[Any] = []
        self.neighbour_block: Block | None = None
        self.path_block: Block | None = None
        if starts:
            self.start()

    def __enter__(self) -> Self:
        return self

    @property
    def calls(self) -> nd.ClientCalls:
        """The chimney of the binding."""
        calls = self.protocol.bindings[0].chimney
        assert calls is not None
        return calls

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
