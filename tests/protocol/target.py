"""A target that is told each step: it keeps every call, and completes it when and as a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from vnic.host.memory import GuestMemory
from vnic.ndis.chimney import (
    NDIS_OFFLOAD_HANDLE,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    TCP_OFFLOAD_EVENT_TYPE,
    TCP_OFFLOAD_STATE_DELEGATED,
    TCP_UPLOAD_REASON,
    ClientCalls,
    TcpDisconnectFlag,
)
from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList, link, walk
from vnic.ndis.offload import Encapsulation, TcpConnectionOffload
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.chimney import Chimney
from vnic.protocol.chimney_blocks import walk_blocks
from vnic.protocol.chimney_options import ChimneyOptions, manual
from vnic.stack.config import StackConfig, send_memory_bytes
from vnic.stack.port import Port
from vnic.stack.stack import Stack
from vnic.stack.stream import Stream, Streams
from vnic.testbench.network import Network
from vnic.testbench.patience import in_virtual_time

Block = NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
CONFIG = TcpConnectionOffload(Encapsulation.IEEE_802_3, True, True, sack=True, capacity=8)


class Target(ClientCalls):
    """The NdisXxx chimney functions of one binding, which is this object too."""

    def __init__(self) -> None:
        self.chimney: ClientCalls | None = self
        self.initiates: deque[Block] = deque()
        self.terminates: deque[Block] = deque()
        self.updates: deque[Block] = deque()
        self.invalidates: deque[Block] = deque()
        self.queries: deque[Block] = deque()
        self.sends: deque[NetBufferList] = deque()
        self.receives: deque[NetBufferList] = deque()
        self.returned: list[NetBufferList] = []
        self.disconnects: deque[tuple[NetBufferList, TcpDisconnectFlag]] = deque()
        self.forwards: deque[NetBufferList] = deque()
        #: DELEGATED of each connection as it came, by handle.
        self.states: dict[int, TCP_OFFLOAD_STATE_DELEGATED] = {}
        self.chains: dict[int, list[NetBufferList]] = {}

    # -- calls -----------------------------------------------------------------------------------------------

    def initiate_offload(self, block: Block) -> None:
        self.initiates.append(block)

    def terminate_offload(self, block: Block) -> None:
        self.terminates.append(block)

    def update_offload(self, block: Block) -> None:
        self.updates.append(block)

    def invalidate_offload(self, block: Block) -> None:
        self.invalidates.append(block)

    def query_offload_state(self, block: Block) -> None:
        self.queries.append(block)

    def offload_tcp_send(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        self.sends.append(chain)
        return NDIS_STATUS.PENDING

    def offload_tcp_receive(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        self.receives.append(chain)
        return NDIS_STATUS.PENDING

    def offload_tcp_receive_return(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        self.returned += walk(chain)
        return NDIS_STATUS.SUCCESS

    def offload_tcp_disconnect(
        self, handle: NDIS_OFFLOAD_HANDLE, nbl: NetBufferList, flags: TcpDisconnectFlag
    ) -> NDIS_STATUS:
        self.disconnects.append((nbl, flags))
        return NDIS_STATUS.PENDING

    def offload_tcp_forward(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        self.forwards.append(chain)
        return NDIS_STATUS.PENDING


class Scene:
    """A stack with a chimney over a Target (10.0.0.1), and a station (10.0.0.2) that speaks to the stack.

    What the connection does while it is offloaded is the test's to say: no segment of the target's exists.
    """

    def __init__(self, options: ChimneyOptions | None = None, **stack: int) -> None:
        self.network = Network()
        self.peer = self.network.station("10.0.0.2/24", "fd00::2/64")
        self.memory = GuestMemory(64 << 20)
        config = StackConfig(seed=7, address_probes=0, buffer_bytes=4 << 20, **stack)
        self.sends = self.memory.alloc(send_memory_bytes(config), align=4096)
        self.stack = Stack(config, send_memory=self.sends.view)
        interface = self.stack.add_interface(mac=b"\2\0\0\0\0\x11")
        self.port = Port(self.stack, interface)
        for address in ("10.0.0.1/24", "fd00::1/64"):
            interface.add_address(address)
        clock = self.network.clock
        self.chimney = Chimney(self.stack, self.memory, lambda: clock.now_ns, options or manual())
        self.client = self.chimney.client
        self.target = Target()
        self.chimney.add_target(0, self.target, CONFIG)  # type: ignore[arg-type]
        self.chimney.start(self.target)  # type: ignore[arg-type]
        self.network.add_link(self.port)
        self.network.add_link(self)
        self.network.stations[0].port.link = self
        self.port.link = self
        self.streams = Streams(self.stack, in_virtual_time(self.network))
        self.cut = False
        self.frames: list[bytes] = []

    # -- the wire, in no time --------------------------------------------------------------------------------

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """To everybody else: there are two."""
        self.frames.append(frame)
        if self.cut:
            return
        is_ours = frame[6:12] == b"\2\0\0\0\0\x11"
        (self.peer.port if is_ours else self.port).deliver(frame, now_ns)

    def next_deadline_ns(self) -> int | None:
        return self.chimney.next_deadline_ns()

    def advance(self, now_ns: int) -> int:
        return self.chimney.run()

    # -- the story -------------------------------------------------------------------------------------------

    def connect(self, address: str = "10.0.0.2") -> tuple[Stream, Stream]:
        """Both ends of a connection."""
        listener = self.peer.stack.listen((address, 80))
        near = self.streams.connect((address, 80))
        far = self.peer.streams.accept(listener)
        listener.close()
        return near, far

    def settle(self) -> None:
        """Let everything happen that does at this time."""
        while self.network.pump():
            pass

    def offload(self, *streams: Stream) -> list[Block]:
        """Offload connections; the TCP blocks, all accepted."""
        for stream in streams:
            assert self.chimney.offload(stream.socket)
        self.settle()
        found = []
        while self.target.initiates:
            found += [b for b in self.complete_initiate() if b.state_type.name.startswith("TCP")]
            self.settle()
        return found

    def complete_initiate(
        self, judge: Callable[[Block], NDIS_STATUS | None] = lambda block: None
    ) -> list[Block]:
        """Complete the oldest initiate; `judge` says how a block fares, None: well."""
        tree = self.target.initiates.popleft()
        blocks = list(walk_blocks(tree))
        for block in blocks:
            block.Status = judge(block) or NDIS_STATUS.SUCCESS
            handle = block.OffloadHandle
            if handle is None or block.Status != NDIS_STATUS.SUCCESS:
                continue
            handle.MiniportOffloadContext.value = self
            if isinstance(block.delegated, TCP_OFFLOAD_STATE_DELEGATED):
                self.target.states[id(handle)] = block.delegated
                self.target.chains[id(handle)] = list(walk(block.NetBufferListChain))
        self.client.initiate_offload_complete(self.target, tree)  # type: ignore[arg-type]
        return blocks

    def complete_terminate(
        self, status: NDIS_STATUS = NDIS_STATUS.SUCCESS, **delegated: object
    ) -> list[Block]:
        """Complete the oldest terminate: DELEGATED as it came, but for `delegated`; sends chained back."""
        tree = self.target.terminates.popleft()
        blocks = list(walk_blocks(tree))
        for block in blocks:
            block.Status = status if block.OffloadHandle is not None else NDIS_STATUS.SUCCESS
            state = self.target.states.pop(id(block.OffloadHandle), None)
            if state is None or status != NDIS_STATUS.SUCCESS:
                continue
            state.SendDataHead = state.SendDataTail = state.BufferedData = None
            for name, value in delegated.items():
                setattr(state, name, value)
            block.delegated = state
            chain = [*self.target.chains.pop(id(block.OffloadHandle), []), *self.target.sends]
            self.target.sends.clear()
            block.NetBufferListChain = link(chain)
        self.client.terminate_offload_complete(self.target, tree)  # type: ignore[arg-type]
        return blocks

    def drain(self) -> None:
        """Complete terminates until none is left."""
        self.settle()
        while self.target.terminates:
            self.complete_terminate()
            self.settle()

    def upload(self, stream: Stream) -> None:
        """Take a connection back, with all that it was alone to need."""
        assert self.chimney.upload(stream.socket)
        self.drain()

    def handle(self, stream: Stream) -> NDIS_OFFLOAD_HANDLE:
        """The handle of an offloaded connection."""
        found = self.chimney.find(stream.socket.handle)
        assert found is not None
        return found.handle

    def complete_send(
        self, stream: Stream, status: NDIS_STATUS = NDIS_STATUS.SUCCESS, count: int = -1
    ) -> int:
        """Complete the oldest send; how many bytes were acknowledged."""
        handle = self.handle(stream)
        chain = self.target.chains.get(id(handle))
        nbl = chain.pop(0) if chain else self.target.sends.popleft()
        buffer = nbl.first_net_buffer
        assert buffer is not None
        done = buffer.data_length if count < 0 else count
        buffer.advance_data_start(done)
        nbl.status = status
        nbl.next = None
        nbl.set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, done)
        self.client.tcp_offload_send_complete(handle, nbl)
        self._moved(handle, SndUna=done, SndNxt=done, SndMax=done)
        return done

    def complete_receive(
        self, stream: Stream, data: bytes = b"", status: NDIS_STATUS = NDIS_STATUS.SUCCESS
    ) -> None:
        """Complete the oldest posted receive with bytes."""
        handle, nbl = self.handle(stream), self.target.receives.popleft()
        buffer = nbl.first_net_buffer
        assert buffer is not None
        buffer.write(0, data)
        buffer.advance_data_start(len(data))
        nbl.status = status
        nbl.set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, len(data))
        self._moved(handle, RcvNxt=len(data))
        self.client.tcp_offload_receive_complete(handle, nbl)

    def complete_disconnect(
        self, stream: Stream, status: NDIS_STATUS = NDIS_STATUS.SUCCESS
    ) -> TcpDisconnectFlag:
        """Complete the disconnect."""
        nbl, flags = self.target.disconnects.popleft()
        nbl.status = status
        self.client.tcp_offload_disconnect_complete(self.handle(stream), nbl)
        return flags

    def indicate(self, stream: Stream, *parts: bytes) -> tuple[NDIS_STATUS, int]:
        """Data that no receive waits for, an MDL a part."""
        head: Mdl | None = None
        for part in reversed(parts):
            head = Mdl(bytearray(part), 0, head)
        handle = self.handle(stream)
        status, count = self.client.tcp_offload_receive_indicate(handle, NetBufferList(NetBuffer(head)))
        self._moved(handle, RcvNxt=count)
        return status, count

    def event(self, stream: Stream, kind: TCP_OFFLOAD_EVENT_TYPE, info: int = 0) -> None:
        """An event of a connection."""
        self.client.tcp_offload_event(self.handle(stream), kind, info)

    def retrieve(self, stream: Stream, reason: TCP_UPLOAD_REASON) -> None:
        """The target wants a connection to come back."""
        self.event(stream, TCP_OFFLOAD_EVENT_TYPE.RETRIEVE, reason)

    def _moved(self, handle: NDIS_OFFLOAD_HANDLE, **by: int) -> None:
        state = self.target.states[id(handle)]
        for name, count in by.items():
            setattr(state, name, (getattr(state, name) + count) & 0xFFFFFFFF)

    def close(self) -> None:
        """Whatever was offloaded is let go."""
        self.stack.close()
        self.peer.stack.close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
