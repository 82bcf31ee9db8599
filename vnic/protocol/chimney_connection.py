"""One connection as the client of a target keeps it: where it is, why it comes back, what is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic.abi import StackResult
from vnic.ndis.chimney import (
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    OFFLOAD_STATE_TYPE,
    TCP_OFFLOAD_CONNECTION_STATE,
    TCP_OFFLOAD_STATE_DELEGATED,
    ClientCalls,
    TcpDisconnectFlag,
)
from vnic.ndis.net_buffer_list import NetBuffer, NetBufferList, net_buffer_list, walk
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.chimney_means import Means
from vnic.protocol.chimney_objects import Owned, Path, Phase
from vnic.protocol.chimney_receive import ReceiveSide
from vnic.protocol.chimney_send import SendSide
from vnic.protocol.chimney_state import take_delegated, tcp_cached, tcp_const, tcp_delegated
from vnic.protocol.journal import Cause
from vnic.stack.offload import OffloadEvent, State

if TYPE_CHECKING:
    from vnic.protocol.chimney_target import Target
    from vnic.stack.address import Endpoint

_Block = NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
_CLOSED = TCP_OFFLOAD_CONNECTION_STATE.CLOSED
_RESULTS = {
    Cause.ABORTED: StackResult.ECONNRESET,
    Cause.TIMEOUT_EXPIRATION: StackResult.ETIMEDOUT,
    Cause.HARDWARE_FAILURE: StackResult.ECONNABORTED,
}
_SENDING = OffloadEvent.SEND | OffloadEvent.SHUTDOWN
_RECEIVING = OffloadEvent.CONSUMED | OffloadEvent.POST


class Connection:
    """InHost, Offloading, Offloaded, Uploading, and InHost again; made anew for each round.

    Calls are made by the one who runs it; completions and indications only note what they mean, because they
    come at DISPATCH_LEVEL, on any processor, in the middle of anything.
    """

    def __init__(
        self,
        means: Means,
        socket: int,
        ends: tuple[Endpoint, Endpoint],
        target: Target,
        path: Path,
    ) -> None:
        self.socket = socket
        self.local, self.remote = ends
        self.target = target
        self.path = path
        self.handle = Owned(self)
        self.phase = Phase.HOST
        self.send = SendSide(means.offload, socket, self.handle, means.reach)
        self.receive = ReceiveSide(means, socket, self.handle, self._wake)
        #: Why it is to come back; None: it may stay.
        self.cause: Cause | None = None
        #: An update is under way.
        self.is_busy = False
        self.offloaded_ns = 0
        self.must_abort = False
        self.must_update = False
        #: The target said what happened, but its state is not worth anything.
        self.is_lost = False
        self._offload = means.offload
        self._state: State | None = None
        self._forwards = 0
        self._has_consumed = False
        self._is_aborting = False

    def _wake(self) -> None:
        self.target.wake(self)

    def __str__(self) -> str:
        return f"{self.local} - {self.remote}"

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes sent (acknowledged) and received while it was offloaded."""
        return self.send.acked, self.receive.delivered

    @property
    def is_restless(self) -> bool:
        """Whether it has to be looked at again although nothing is heard of it."""
        is_away = self.phase in (Phase.INITIATING, Phase.TARGET)
        wants = self.cause is not None or self.must_update or self.send.is_starved or self.receive.is_full
        return is_away and wants

    # -- to the target ---------------------------------------------------------------------------------------

    def begin(self, hash_value: int, ticks_per_second: int, source: object) -> _Block:
        """Take it out of the stack, as a block; WouldBlockError, ArgumentError, AllocationError: it stays."""
        state = self._offload.begin(self.socket, ticks_per_second)
        try:
            chain = self.send.chain(source)
        except BaseException:
            self._offload.end(self.socket, False)
            raise
        self._state = state
        self.phase = Phase.INITIATING
        delegated = tcp_delegated(state)
        if chain is not None:
            delegated.SendDataHead = chain
            *_, delegated.SendDataTail = walk(chain)
        buffered = self._offload.buffered(self.socket)
        if buffered:
            delegated.BufferedData = net_buffer_list(buffered, source)
        return _Block(
            OFFLOAD_STATE_TYPE.TCP_ALL,
            tcp_const(state, hash_value),
            tcp_cached(state),
            delegated,
            OffloadHandle=self.handle,
            NetBufferListChain=chain,
        )

    def settle(self, is_offloaded: bool, now_ns: int) -> None:
        """The initiate ended."""
        self.phase = Phase.TARGET if is_offloaded else Phase.HOST
        self.offloaded_ns = now_ns
        if not is_offloaded:
            self.send.withdraw()
        self._offload.end(self.socket, is_offloaded)

    # -- at work ---------------------------------------------------------------------------------------------

    def on_news(self, events: OffloadEvent) -> None:
        """What the user did that takes more than looking at the queues."""
        self._has_consumed |= bool(events & OffloadEvent.CONSUMED)
        self.must_abort |= bool(events & OffloadEvent.ABORT)
        self.must_update |= bool(events & OffloadEvent.OPTIONS)
        if events & OffloadEvent.URGENT:
            self.ask_back(Cause.RECEIVED_URGENT_DATA)

    def work(self, calls: ClientCalls, source: object) -> int:
        """Carry on: what the user sent, read, posted; how much was done."""
        count = self._collect() + self.receive.give_back(calls) + self.receive.drain()
        if self.phase is not Phase.TARGET or self.cause is not None or self.is_lost:
            return count
        if self.must_abort or self.receive.is_user_gone:
            return count + self._abort(calls, source)
        count += self._forward(calls, source)
        count += self.send.post(calls, source) + self.receive.post(calls, source)
        if self.send.wants_upload:
            self.ask_back(Cause.RESOURCES)
        return count

    def _collect(self) -> int:
        """Ask for memory back only when the user was told to have taken something."""
        if not self._has_consumed:
            return 0
        self._has_consumed = False
        return self.receive.collect()

    def _abort(self, calls: ClientCalls, source: object) -> int:
        if self._is_aborting:
            return 0
        self._is_aborting = self.must_abort = True  # also while a graceful one is outstanding
        self.send.disconnect(calls, source, TcpDisconnectFlag.ABORTIVE_CLOSE)
        return 1

    def _forward(self, calls: ClientCalls, source: object) -> int:
        count = 0
        while (segment := self._offload.forward(self.socket)) is not None:
            self._forwards += 1
            count += 1
            calls.offload_tcp_forward(self.handle, net_buffer_list(segment, source))
        return count

    def on_forwarded(self, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadForwardComplete: what came too late is the stack's to process."""
        for nbl in walk(chain):
            self._forwards -= 1
            if nbl.status == NDIS_STATUS.UPLOAD_IN_PROGRESS:
                buffer = nbl.first_net_buffer
                assert isinstance(buffer, NetBuffer)
                self._offload.hold(self.socket, buffer.data())

    def on_disconnected(self, nbl: NetBufferList) -> None:
        """ProtocolTcpOffloadDisconnectComplete."""
        flags = self.send.on_disconnected(nbl)
        if flags & TcpDisconnectFlag.ABORTIVE_CLOSE:
            self.ask_back(Cause.CLOSED)
        else:
            self._look_for_end(nbl.status == NDIS_STATUS.SUCCESS)

    def on_fin(self) -> None:
        """TcpIndicateDisconnect."""
        self.receive.on_fin()
        self._look_for_end(self.send.has_finished and not self.send.is_disconnecting)

    def _look_for_end(self, is_sent: bool) -> None:
        """Nothing more comes or goes: what is left (TIME_WAIT) is the host's."""
        if is_sent and self.receive.is_at_end:
            self.ask_back(Cause.CLOSED)

    def on_abort(self) -> None:
        """TcpIndicateAbort."""
        if self.send.has_finished and self.receive.is_at_end and not self.is_lost:
            self.ask_back(
                Cause.CLOSED
            )  # RFC 9293 3.10.7.4: in CLOSING, LAST-ACK and TIME-WAIT nobody is told
            return
        if not self.is_lost:
            self.ask_back(Cause.ABORTED)
        self._offload.aborted(self.socket)

    def on_hardware_failure(self) -> None:
        """TcpIndicateRetrieve (HardwareFailure): what the target says of its state is worth nothing now."""
        self.is_lost = True

    def ask_back(self, cause: Cause) -> None:
        """It has to come back; how a connection ended outweighs why it was wanted before."""
        if self.cause is None or cause in _RESULTS:
            self.cause = cause

    # -- updates ---------------------------------------------------------------------------------------------

    def cached(self, ticks_per_second: int) -> _Block:
        """The block that carries the options as the user has set them now."""
        self.must_update = False
        state = self._offload.cached(self.socket, ticks_per_second)
        return _Block(OFFLOAD_STATE_TYPE.TCP_CACHED, cached=tcp_cached(state), OffloadHandle=self.handle)

    # -- and back --------------------------------------------------------------------------------------------

    @property
    def can_terminate(self) -> bool:
        """Whether it is to come back and nothing forbids the call now. [INV-37]"""
        return self.cause is not None and self.phase is Phase.TARGET and not self.is_busy

    def retreat(self) -> _Block:
        """The block of its termination; segments that arrive are the stack's from now on."""
        self.phase = Phase.TERMINATING
        self.send.is_over = True
        self.receive.is_over = True
        self._offload.upload_begin(self.socket)
        return _Block(
            OFFLOAD_STATE_TYPE.TCP_DELEGATED,
            delegated=TCP_OFFLOAD_STATE_DELEGATED(),
            OffloadHandle=self.handle,
        )

    def come_back(self, block: _Block, ticks_per_second: int) -> bool:
        """The termination ended: go on in the stack; False when the state was lost on the way."""
        delegated = block.delegated
        assert isinstance(delegated, TCP_OFFLOAD_STATE_DELEGATED)
        self.phase = Phase.HOST
        is_whole = block.Status == NDIS_STATUS.SUCCESS and not self.is_lost
        buffered = b""
        if is_whole:
            self.send.take_back(block.NetBufferListChain)
            buffered = self._buffered(delegated)
        self.send.forget()
        self.receive.forget()
        state = self._state
        assert state is not None
        if is_whole:
            take_delegated(state, delegated)
            result = self._result() if delegated.State == _CLOSED else 0
        else:
            state.Delegated.State, result = int(_CLOSED), StackResult.ECONNABORTED
        rest = self.receive.undelivered()
        self._offload.upload_end(self.socket, ticks_per_second, state, rest + buffered, result)
        return is_whole

    def _buffered(self, delegated: TCP_OFFLOAD_STATE_DELEGATED) -> bytes:
        nbl = delegated.BufferedData
        if nbl is None:
            return b""
        data = b"".join(part.data() for each in walk(nbl) for part in each.net_buffers())
        self.receive.keep(nbl)
        return data

    def _result(self) -> int:
        """How a connection ended that came back closed."""
        if self.must_abort:
            return StackResult.ECONNABORTED
        known = _RESULTS.get(self.cause) if self.cause else None
        if known is not None:
            return known
        return 0 if self.send.has_finished else StackResult.ECONNRESET
