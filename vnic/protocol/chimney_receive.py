"""What an offloaded connection receives: indications accepted in place, and receives that are posted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from vnic.errors import AllocationError
from vnic.ndis.chimney import NDIS_OFFLOAD_HANDLE, ClientCalls
from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList, link, walk
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED, Slot
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.capture import Allocation
from vnic.protocol.chimney_means import Means
from vnic.stack.offload import Posted, UserGone

_ACCEPTED = NDIS_STATUS.SUCCESS
_REFUSED = NDIS_STATUS.OFFLOAD_DATA_NOT_ACCEPTED
_IN_PART = NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED


@dataclass(eq=False, slots=True)
class _Receive:
    """A posted receive: for a buffer of our own, a buffer of the user's, or none (0 bytes)."""

    nbl: NetBufferList
    allocation: Allocation | None = None
    posted: Posted | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it was posted for data, and had none."""
        return not self.posted.done if self.posted is not None else self.allocation is not None


class ReceiveSide:
    """One connection's receives, from its initiate until its last buffer is back."""

    def __init__(
        self, means: Means, socket: int, handle: NDIS_OFFLOAD_HANDLE, wake: Callable[[], None]
    ) -> None:
        self._offload = means.offload
        self._loans = means.loans
        self._socket = socket
        self._handle = handle
        self._reach = means.reach
        self._plan = means.plan
        self._wake = wake
        self._posted: deque[_Receive] = deque()
        #: With the stack, by cookie: an indicated NBL, or a buffer of ours.
        self._lent: dict[int, NetBufferList | Allocation] = {}
        self._to_return: list[NetBufferList] = []
        #: Filled buffers of ours that the stack did not take yet, and their lengths.
        self._filled: deque[tuple[Allocation, int, int]] = deque()
        self._free: list[Allocation] = []
        self._owned = 0
        self._has_fin = self._is_at_fin = False
        self._is_fin_told = False
        #: Data waits at the target, which says nothing before a receive is posted. [INV-25]
        self.is_refused = False
        self.is_over = False
        self.is_user_gone = False
        #: Bytes given to the user's side, and of those by indication.
        self.delivered = 0
        self.indicated = 0
        self.indications = 0

    @property
    def is_clear(self) -> bool:
        """Whether nothing of the target's or of ours is left with the stack, nor posted."""
        return not (self._lent or self._posted or self._filled or self._to_return)

    @property
    def is_full(self) -> bool:
        """Whether data waits here until the socket has room."""
        return bool(self._filled)

    @property
    def is_at_end(self) -> bool:
        """Whether the peer's FIN was indicated."""
        return self._has_fin

    # -- indications -----------------------------------------------------------------------------------------

    def on_indicate(self, nbl: NetBufferList) -> tuple[NDIS_STATUS, int]:
        """ProtocolTcpOffloadReceiveIndicate: all in place, or as much as fits by copy."""
        buffer = nbl.first_net_buffer
        assert buffer is not None
        self.indications += 1
        length = buffer.data_length
        if self._filled or self.is_over:
            return self._refuse()
        try:
            if self._take(nbl, [view for _, view in buffer.views()], length):
                return _ACCEPTED, length
            taken = self._copy([view for _, view in buffer.views()])
        except UserGone:
            self.is_user_gone = True
            self._to_return.append(nbl)  # nobody reads it: an abort follows
            return _ACCEPTED, length
        if taken == length:
            self._to_return.append(nbl)
            return _ACCEPTED, length
        if not taken:
            return self._refuse()
        self.is_refused = True
        return _IN_PART, taken

    def _refuse(self) -> tuple[NDIS_STATUS, int]:
        self.is_refused = True
        return _REFUSED, 0

    def _take(self, nbl: NetBufferList, views: list[memoryview], length: int) -> bool:
        """By reference, which is all or nothing; only data in one piece."""
        if len(views) != 1:
            return False
        if not self._lend(nbl, views[0]):
            return False
        self._count(length)
        return True

    def _lend(self, what: NetBufferList | Allocation, view: memoryview) -> bool:
        """Deliver in place; UserGone."""
        cookie = self._loans.lend(self._on_return)
        self._lent[cookie] = what
        try:
            is_taken = self._offload.deliver(self._socket, view, cookie) > 0
        except UserGone:
            self._retract(cookie)
            raise
        if not is_taken:
            self._retract(cookie)
        return is_taken

    def _retract(self, cookie: int) -> None:
        self._loans.cancel(cookie)
        del self._lent[cookie]

    def _on_return(self, cookie: int) -> None:
        lent = self._lent.pop(cookie)
        if isinstance(lent, NetBufferList):
            self._to_return.append(lent)
        else:
            self._free.append(lent)
        self._wake()

    def _copy(self, views: list[memoryview]) -> int:
        total = 0
        for view in views:
            taken = self._offload.deliver(self._socket, view, 0)
            total += taken
            if taken < len(view):
                break
        self._count(total)
        return total

    def _count(self, length: int) -> None:
        self.delivered += length
        self.indicated += length

    def on_fin(self) -> None:
        """TcpIndicateDisconnect."""
        self._has_fin = self._is_at_fin = True
        self._tell_fin()

    def _tell_fin(self) -> None:
        if self._has_fin and not self._is_fin_told and not self._filled:
            self._is_fin_told = True
            self._offload.fin(self._socket)

    @property
    def _may_post(self) -> bool:
        return not (self.is_over or self._is_at_fin or self.is_user_gone or self._filled)

    # -- posting ---------------------------------------------------------------------------------------------

    def post(self, calls: ClientCalls, source: object) -> int:
        """Post what is to be posted; how many."""
        if not self._may_post:
            return 0
        count = self._post_users(calls, source) or self._post_ahead(calls, source)
        if self.is_refused and not self._posted and self._offload.unread(self._socket)[1] > 0:
            self._submit(calls, _Receive(NetBufferList(NetBuffer(None), source)))
            count += 1
        return count

    def _post_users(self, calls: ClientCalls, source: object) -> int:
        """Buffers that the user posted; behind receives of our own they are filled by copy."""
        count = 0
        while self._may_post and not any(each.allocation for each in self._posted):
            posted = self._offload.post(self._socket)
            if posted is None:
                break
            self._submit(calls, self._receive_of(posted, source))
            count += 1
        return count

    def _receive_of(self, posted: Posted, source: object) -> _Receive:
        room = posted.view[posted.done :]
        where = posted.pointer + posted.done
        if self._reach.reaches(where, len(room)):
            nbl = self._reach.send_list([(where, room)], source)
            allocation = None
        else:
            allocation = self._reach.own(len(room))
            nbl = NetBufferList(NetBuffer(Mdl(allocation.view[: len(room)], allocation.address)), source)
        nbl.set_info(Slot.TCP_RECEIVE_BYTES_TRANSFERRED, posted.done)
        return _Receive(nbl, allocation, posted)

    def _post_ahead(self, calls: ClientCalls, source: object) -> int:
        """Buffers of our own for a user who reads in bulk, as far as the socket has room for them."""
        if self.indicated < self._plan.after_bytes or any(each.posted for each in self._posted):
            return 0
        size = self._plan.buffer_bytes
        _, room = self._offload.unread(self._socket)
        count = 0
        # What is posted may be complete before the next one is: another processor gets ahead in each call.
        while count < self._plan.buffers and (len(self._posted) + 1) * size <= room and self._may_post:
            allocation = self._buffer() if len(self._posted) < self._plan.buffers else None
            if allocation is None:
                break
            nbl = NetBufferList(NetBuffer(Mdl(allocation.view, allocation.address)), source)
            self._submit(calls, _Receive(nbl, allocation))
            count += 1
        return count

    def _buffer(self) -> Allocation | None:
        if self._free:
            return self._free.pop()
        if self._owned == 2 * self._plan.buffers:
            return None
        try:
            made = self._reach.own(self._plan.buffer_bytes)
        except AllocationError:
            return None
        self._owned += 1
        return made

    def _submit(self, calls: ClientCalls, receive: _Receive) -> None:
        self.is_refused = False
        self._posted.append(receive)
        calls.offload_tcp_receive(self._handle, receive.nbl)

    # -- completions -----------------------------------------------------------------------------------------

    def on_complete(self, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadReceiveComplete, oldest first."""
        for nbl in walk(chain):
            receive = self._posted.popleft()
            assert receive.nbl is nbl
            count = nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED)
            self.delivered += count
            self.indications += 1
            # Full of nothing: the FIN is there, although it is not indicated before all data is consumed.
            # Where something was in it before, it may have been the push timer.
            self._is_at_fin |= not count and receive.is_empty
            if receive.posted is not None:
                self._end_posted(receive, receive.posted, count, nbl.status)
            elif receive.allocation is not None:
                self._filled.append((receive.allocation, 0, count))
        self.drain()

    def _end_posted(self, receive: _Receive, posted: Posted, count: int, status: NDIS_STATUS) -> None:
        if receive.allocation is not None:
            posted.view[posted.done : posted.done + count] = receive.allocation.view[:count]
            receive.allocation.free()
        self._offload.posted(self._socket, count, status == NDIS_STATUS.SUCCESS)

    def drain(self) -> int:
        """Give the stack filled buffers of ours, as far as it has room; how many."""
        count = 0
        while self._filled:
            if not self._deliver(*self._filled[0]):
                break
            self._filled.popleft()
            count += 1
        self._tell_fin()
        return count

    def _deliver(self, allocation: Allocation, start: int, length: int) -> bool:
        """One buffer: in place, or else by copy as far as that goes."""
        if start == length:
            self._free.append(allocation)
            return True
        try:
            if self._lend(allocation, allocation.view[start:length]):
                return True
            start += self._offload.deliver(self._socket, allocation.view[start:length], 0)
        except UserGone:
            self.is_user_gone = True
            start = length
        if start == length:
            self._free.append(allocation)
            return True
        self._filled[0] = (allocation, start, length)
        return False

    # -- giving back -----------------------------------------------------------------------------------------

    def collect(self) -> int:
        """Take back what the user has read; how many pieces."""
        cookies = self._offload.returns(self._socket)
        for cookie in cookies:
            self._loans.end(cookie)  # maybe one of an earlier round
        return len(cookies)

    def reclaim(self, calls: ClientCalls) -> None:
        """Have the stack copy what its user did not read, and give everything back."""
        if self._lent:
            self._offload.own(self._socket)
            self.collect()
        self.give_back(calls)

    def give_back(self, calls: ClientCalls) -> int:
        """ReceiveReturn of indicated NBLs that nobody needs any more; how many."""
        returned, self._to_return = self._to_return, []
        head = link(returned)
        if head is not None:
            calls.offload_tcp_receive_return(self._handle, head)
        return len(returned)

    def keep(self, nbl: NetBufferList) -> None:
        """BufferedData of a termination, which was copied: back to the target with the others."""
        self._to_return += list(walk(nbl))

    def undelivered(self) -> bytes:
        """Bytes of filled buffers that the stack never had room for, oldest first; they are given up here."""
        parts = []
        while self._filled:
            allocation, start, length = self._filled.popleft()
            parts.append(bytes(allocation.view[start:length]))
            self._free.append(allocation)
        return b"".join(parts)

    def forget(self) -> None:
        """The target lost its state: receives that never came back are given up."""
        while self._posted:
            receive = self._posted.popleft()
            if receive.posted is not None:
                self._offload.posted(self._socket, 0, False)
            if receive.allocation is not None:
                receive.allocation.free()

    def free(self) -> None:
        """Give memory of our own back."""
        for allocation in self._free:
            allocation.free()
        self._free.clear()
