"""What an offloaded connection sends: NBLs over the send queue, until the peer acknowledged them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from vnic.errors import AllocationError, ArgumentError
from vnic.ndis.chimney import NDIS_OFFLOAD_HANDLE, ClientCalls, TcpDisconnectFlag
from vnic.ndis.net_buffer_list import NetBuffer, NetBufferList, link, walk
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.chimney_memory import Reach, lent_of
from vnic.stack.errors import SocketClosedError
from vnic.stack.offload import Offload

_WANTS_UPLOAD = (NDIS_STATUS.REQUEST_UPLOAD, NDIS_STATUS.UPLOAD_REQUESTED)

#: Of one NBL, bytes: its memory is the user's again when all of it is acknowledged.
_PART_BYTES = 64 << 10
Piece = tuple[int, memoryview]


def _in_parts(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Pieces in groups of about so many bytes."""
    part: list[Piece] = []
    size = 0
    for piece in pieces:
        part.append(piece)
        size += len(piece[1])
        if size >= _PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


class SendSide:
    """One connection's sends, from its initiate to its termination."""

    def __init__(self, offload: Offload, socket: int, handle: NDIS_OFFLOAD_HANDLE, reach: Reach) -> None:
        self._offload = offload
        self._socket = socket
        self._handle = handle
        self._reach = reach
        self._out: deque[NetBufferList] = deque()
        self._disconnects: list[NetBufferList] = []
        #: Bytes of the stack's queue that are the target's to send.
        self.given = 0
        #: Of these, told to be acknowledged since the initiate.
        self.acked = 0
        #: The first failure ends sending: the host goes on itself. [INV-17]
        self.is_over = False
        self.has_finished = False
        #: The target or a driver above it cannot take more: it has to come back.
        self.wants_upload = False
        self.is_starved = False

    @property
    def is_disconnecting(self) -> bool:
        """Whether a disconnect is outstanding."""
        return bool(self._disconnects)

    # -- initiate --------------------------------------------------------------------------------------------

    def chain(self, source: object) -> NetBufferList | None:
        """NetBufferListChain of the initiate: all of the queue, its first byte at SndUna. AllocationError."""
        queued = self._offload.queued(self._socket)[0]
        made = self._gather(queued, source)
        if self.given < queued:
            self.withdraw()
            raise AllocationError(f"only {self.given} of {queued} bytes are where the target reaches them")
        return link(made)

    def _gather(self, queued: int, source: object) -> list[NetBufferList]:
        """NBLs over what is queued and not given yet, each small enough to make room soon."""
        pieces = self._offload.send_pieces(self._socket, self.given, queued - self.given)
        made: list[NetBufferList] = []
        try:
            for part in _in_parts(pieces):
                made.append(self._reach.send_list(part, source))
        except AllocationError:
            if not made:
                raise
        self._out += made
        self.given += sum(lent_of(nbl).length for nbl in made)
        return made

    def withdraw(self) -> None:
        """The initiate failed: the chain came back untouched."""
        while self._out:
            lent_of(self._out.popleft()).free()
        self.given = 0

    # -- at work ---------------------------------------------------------------------------------------------

    def post(self, calls: ClientCalls, source: object) -> int:
        """Give the target what was appended to the queue, then the user's shutdown; how much was done."""
        if self.is_over or self.has_finished:
            return 0
        queued, has_fin = self._offload.queued(self._socket)
        count = self._post_data(calls, source, queued)
        if has_fin and self.given == queued and not self.is_starved:
            self.disconnect(calls, source, TcpDisconnectFlag.GRACEFUL_CLOSE)
            count += 1
        return count

    def _post_data(self, calls: ClientCalls, source: object, queued: int) -> int:
        if queued <= self.given:
            return 0
        try:
            head = link(self._gather(queued, source))
        except AllocationError:
            self.is_starved = True  # asked again when a send comes back
            return 0
        self.is_starved = self.given < queued
        if head is not None:
            calls.offload_tcp_send(self._handle, head)
        return 1

    def disconnect(self, calls: ClientCalls, source: object, flags: TcpDisconnectFlag) -> None:
        """No more will be sent: FIN behind everything, or RST now."""
        self.has_finished = True
        if flags & TcpDisconnectFlag.ABORTIVE_CLOSE:
            self.is_over = True
        nbl = NetBufferList(NetBuffer(None), source)
        nbl.context = flags
        self._disconnects.append(nbl)
        calls.offload_tcp_disconnect(self._handle, nbl, flags)

    # -- completions -----------------------------------------------------------------------------------------

    def on_complete(self, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadSendComplete: bytes are acknowledged; the rest stays in the queue."""
        for nbl in walk(chain):
            self._out.remove(nbl)
            lent = lent_of(nbl)
            self._acknowledge(nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED))
            if nbl.status != NDIS_STATUS.SUCCESS:
                self.is_over = True
                self.wants_upload |= nbl.status in _WANTS_UPLOAD
            lent.free()

    def _acknowledge(self, count: int) -> None:
        self.acked += count
        self.given -= count
        if count:
            with suppress(ArgumentError, SocketClosedError):  # the user aborted: the queue is gone
                self._offload.acked(self._socket, count)

    def on_disconnected(self, nbl: NetBufferList) -> TcpDisconnectFlag:
        """ProtocolTcpOffloadDisconnectComplete: which kind ended, GRACEFUL with FIN acknowledged told."""
        self._disconnects.remove(nbl)
        assert isinstance(nbl.context, TcpDisconnectFlag)
        if nbl.status == NDIS_STATUS.SUCCESS and nbl.context & TcpDisconnectFlag.GRACEFUL_CLOSE:
            self._offload.shut(self._socket)
        return nbl.context

    # -- terminate -------------------------------------------------------------------------------------------

    def take_back(self, chain: NetBufferList | None) -> None:
        """NetBufferListChain of the termination: its first byte is SndUna."""
        for nbl in walk(chain):
            self._out.remove(nbl)
            lent = lent_of(nbl)
            self._acknowledge(lent.length - sum(each.data_length for each in nbl.net_buffers()))
            lent.free()

    def forget(self) -> None:
        """The target lost its state and gave nothing back."""
        for nbl in self._out:
            lent_of(nbl).free()
        self._out.clear()
