"""An offloaded connection of a bench: what its host asks for, and what its peer does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oob import TCP_RECEIVE_NO_PUSH, Slot
from vnic.testbench.chimney.blocks import OK, TYPE, Block, block_of, chain_of
from vnic.testbench.tcp_peer import Peer, Segment, segment_of
from vnic.wire import packet

if TYPE_CHECKING:
    from vnic.testbench.chimney.bench import ChimneyBench


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
