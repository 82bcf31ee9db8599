"""Receives of one connection: the indicating half of the delivery algorithm, over data from the pool.

The card places data in receives that it has. What it gave to the pool comes first here: it fills receives
that the card does not have yet, is indicated while there are none, and is kept when the host refuses it. A
receive goes to the card only when nothing is kept, so that older data always goes first.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from vnic.gen.descriptors import ChmCompletion
from vnic.gen.enums import ChmStatus
from vnic.miniport.chimney_indication import Indication, KeptData
from vnic.miniport.chimney_pool import Kept
from vnic.miniport.chimney_requests import OutOfMemory, ReceiveRequest
from vnic.miniport.chimney_status import receive_status
from vnic.miniport.receive import RingFault
from vnic.ndis.chimney import TCP_OFFLOAD_EVENT_TYPE
from vnic.ndis.net_buffer_list import NetBufferList, link, walk
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.miniport.chimney_connection import Connection

_SUCCESS = NDIS_STATUS.SUCCESS
_MODULUS = 1 << 32


class Receiving:
    """`data_count` is of CHM-43: bytes taken from CHM_DATA entries."""

    def __init__(self, connection: Connection) -> None:
        self._of = connection
        self.requests: deque[ReceiveRequest] = deque()
        self.kept = KeptData()
        self.indication_size = 0
        self.data_count = 0
        self.has_fin = False
        self._is_fin_told = False
        self._may_indicate = True
        self._is_indicating = False

    @property
    def room(self) -> int:
        """Bytes that the card may place in the oldest receive that it has."""
        return next((request.posted for request in self.requests if request.is_posted), 0)

    # -- the host's calls ----------------------------------------------------------------------------------

    def post(self, chain: NetBufferList) -> None:
        """MiniportTcpOffloadReceive: each request lets data be indicated again. [INV-25]"""
        of = self._of
        requests = [ReceiveRequest(of.chimney.bus, nbl) for nbl in walk(chain)]
        self.requests.extend(requests)
        self._may_indicate = True
        if of.end_status is not None:
            self.end_all(of.end_status, 0)
        else:
            of.pump()
        of.defer()

    def pump(self) -> None:
        """Hand over receives, in order, when no older data is left here and none is on its way up."""
        of, work = self._of, self._of.chimney.work
        if self.kept or self.has_fin or self._is_indicating:
            return
        for request in self.requests:
            if not request.is_posted and not request.is_full:
                try:
                    pieces = request.prepare(work.part_most)
                except OutOfMemory:
                    return  # data comes through the pool meanwhile
                if not work.take_receive(pieces):
                    request.unmap()
                    of.chimney.wait_for_room(of)
                    return
                of.submit(request.post(of.handle, self.data_count))
            if not request.is_posted_whole:
                return

    # -- the card's entries --------------------------------------------------------------------------------

    def on_data(self, kept: Kept) -> None:
        """CHM_DATA: bytes in a pool buffer. Raises RingFault behind the peer's FIN, where there are none."""
        if self.has_fin:
            kept.release()
            raise RingFault(f"{kept.length} bytes behind the end of the stream")
        self.data_count = (self.data_count + kept.length) % _MODULUS
        self._of.account.arrived += kept.length
        self.kept.append(kept)

    def on_completed(self, entry: ChmCompletion) -> None:
        """CHM_RECEIVE: the oldest `count` of what the card has. Raises RingFault."""
        if entry.status == ChmStatus.LATE:
            self._take_back(entry.count)
            return
        done: list[NetBufferList] = []
        try:
            for place in range(entry.count):
                done += self._full()
                done += self._end_oldest(entry, place == entry.count - 1)
        finally:
            done += self._full()
            self._tell(done)

    def _end_oldest(self, entry: ChmCompletion, is_last: bool) -> list[NetBufferList]:
        """The oldest receive is over, or the part of it that the card had, and the rest follows."""
        if not self.requests or not self.requests[0].is_posted:
            raise RingFault("a receive ended that is not outstanding")
        request = self.requests[0]
        had, is_ok = request.posted, entry.status == ChmStatus.OK
        placed = entry.bytes if is_last else (had if is_ok else 0)
        if placed > had:
            raise RingFault(f"{placed} bytes placed in a receive with room for {had}")
        if placed and self._is_fin_told:
            raise RingFault(f"{placed} bytes placed behind the end of the stream")
        self._of.account.arrived += placed
        self._of.chimney.give_receive_work(request.take_back(placed))
        if is_ok and placed == had and not request.is_full:
            return []
        self.requests.popleft()
        return [self._ended(request, receive_status(entry.status))]

    def _ended(self, request: ReceiveRequest, status: NDIS_STATUS) -> NetBufferList:
        """Behind the FIN nothing comes: what is in the request is all, or there is nothing."""
        if status == NDIS_STATUS.INVALID_STATE and request.filled:
            status = _SUCCESS
        elif status == _SUCCESS and self._is_fin_told and not request.filled:
            status = NDIS_STATUS.INVALID_STATE
        return request.end(status, request.filled)

    def _full(self) -> list[NetBufferList]:
        """The oldest requests that are full without the card, those of no bytes among them."""
        done = []
        while self.requests and self.requests[0].is_full and not self.requests[0].is_posted:
            done.append(self._ended(self.requests.popleft(), _SUCCESS))
        return done

    def _take_back(self, count: int) -> None:
        """LATE: data came through the pool before the receives. They are filled from it first. [CHM-43]"""
        for request in self.requests:
            if not count:
                return
            if request.is_posted:
                self._of.chimney.give_receive_work(request.take_back(0))
                count -= 1
        if count:
            raise RingFault(f"{count} receives are late that are not outstanding")

    # -- delivery ------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Queue the next thing to tell, if there is one: completed receives, an indication, the FIN."""
        of = self._of
        if of.is_aborted or of.is_lost:
            return
        done = self._fill()
        if done:
            self._tell(done)
        elif self.kept and not self.requests and self._may_indicate and of.ending is None:
            self._indicate()
        else:
            self._tell_fin()
        if of.is_in_card:
            self.pump()

    def on_fin(self) -> None:
        """CHM_EVENT FIN; told at once when there is nothing that the host would have to consume first."""
        self.has_fin = True
        self._tell_fin()

    def _tell_fin(self) -> None:
        """TcpIndicateDisconnect: not before every byte is consumed. [INV-28]"""
        of = self._of
        is_early = self.kept or self.requests or self._is_indicating or of.ending is not None
        if self.has_fin and not (is_early or self._is_fin_told):
            self._is_fin_told = True
            of.tell_event(TCP_OFFLOAD_EVENT_TYPE.DISCONNECT)

    def _fill(self) -> list[NetBufferList]:
        """Half A with kept data: fill receives that the card does not have; those that are complete."""
        done: list[NetBufferList] = []
        used = 0
        while self.requests and not self.requests[0].is_posted:
            request = self.requests[0]
            is_pushed = False
            while self.kept and not request.is_full:
                piece = self.kept.first()
                count = request.put(piece.view)
                used += count
                piece.consume(count)
                if not piece.length:
                    is_pushed = piece.is_pushed
                    self.kept.drop_first()
            if not (request.is_full or self._is_over(request, is_pushed)):
                break
            self.requests.popleft()
            is_late = self._is_fin_told or (self.has_fin and request.length > 0)
            is_nothing = is_late and not request.filled
            done.append(request.end(NDIS_STATUS.INVALID_STATE if is_nothing else _SUCCESS, request.filled))
        self._of.credit(used)
        return done

    def _is_over(self, request: ReceiveRequest, is_pushed: bool) -> bool:
        """A request that is not full ends by PSH, or because nothing follows. [INV-26]"""
        if self.kept:
            return False
        return self.has_fin or (is_pushed and not request.is_no_push)

    def _tell(self, nbls: list[NetBufferList]) -> None:
        chain = link(nbls)
        if chain is not None:
            of, ndis = self._of, self._of.chimney.ndis
            of.calls.append(lambda: ndis.tcp_offload_receive_complete(of.ndis_handle, chain))

    def _indicate(self) -> None:
        """Half B: one stand-alone NBL; receives that are posted meanwhile wait for its outcome."""
        of = self._of
        self._is_indicating = True
        indication = of.chimney.lend(
            Indication(of, self.kept.take(self.indication_size), of.chimney.source_handle)
        )

        def call() -> None:
            status, consumed = of.chimney.ndis.tcp_offload_receive_handler(of.ndis_handle, indication.nbl)
            with of.chimney.section():
                self._on_answer(indication, status, consumed)

        of.calls.append(call)

    def _on_answer(self, indication: Indication, status: NDIS_STATUS, consumed: int) -> None:
        self._is_indicating = False
        if status == _SUCCESS:
            return  # ReceiveReturn brings it back
        of = self._of
        of.chimney.take_back(indication)
        consumed = consumed if status == NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED else 0
        self.kept.put_back(indication.pieces, consumed)
        self._may_indicate = bool(self.requests)
        of.credit(consumed)
        if of.is_lost:
            self.drop()

    # -- the end -------------------------------------------------------------------------------------------

    def end_all(self, status: NDIS_STATUS, placed: int) -> None:
        """Every request ends; the card placed `placed` bytes in the oldest that it has."""
        done = []
        while self.requests:
            request = self.requests.popleft()
            if request.is_posted:
                self._of.chimney.give_receive_work(request.take_back(placed))
                placed = 0
            is_whole = request.is_full and request.length > 0  # one of no bytes ends as all do [INV-30]
            done.append(request.end(_SUCCESS if is_whole else status, request.filled))
        self._tell(done)

    def give_out(self) -> NetBufferList | None:
        """BufferedData of a terminate: an NBL over all that is kept; it comes back by ReceiveReturn."""
        pieces = self.kept.take_all()
        if not pieces:
            return None
        return self._of.chimney.lend(Indication(None, pieces, self._of.chimney.source_handle)).nbl

    def drop(self) -> None:
        """The connection is lost, and its data with it."""
        self.kept.release()
