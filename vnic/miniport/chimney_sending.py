"""Sends of one connection: they wait, go to the card in order, and end in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from vnic.gen.descriptors import ChmCompletion
from vnic.gen.enums import ChmStatus
from vnic.miniport.chimney_requests import OutOfMemory, SendRequest, advance
from vnic.miniport.chimney_status import request_status
from vnic.miniport.receive import RingFault
from vnic.ndis.net_buffer_list import NetBufferList, link, walk
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.miniport.chimney_connection import Connection

_SUCCESS = NDIS_STATUS.SUCCESS
_UPLOAD = NDIS_STATUS.UPLOAD_IN_PROGRESS


class Sending:
    """`requests` is everything not completed, the oldest first; the last of them wait for the card."""

    def __init__(self, connection: Connection) -> None:
        self._of = connection
        self.requests: deque[SendRequest] = deque()
        self._waiting: deque[SendRequest] = deque()
        self.end: NDIS_STATUS | None = None
        self._has_failed = self._is_broken = False

    @property
    def is_waiting(self) -> bool:
        """Whether some of them are not with the card."""
        return bool(self._waiting)

    @property
    def backlog(self) -> int:
        """Bytes that the card has not been given."""
        return sum(request.unposted_bytes for request in self._waiting)

    @property
    def acked(self) -> int:
        """Bytes of what is outstanding that are acknowledged."""
        return sum(request.acked for request in self.requests)

    @property
    def room(self) -> int:
        """Bytes of the oldest send that are not."""
        return next((request.unacked for request in self.requests if request.unacked), 0)

    def adopt(self, requests: list[SendRequest]) -> None:
        """Send data of an initiate, of which the card may have got the first part."""
        self._of.account.given += sum(request.length for request in requests)
        self.requests.extend(requests)
        self._waiting.extend(request for request in requests if request.length and not request.is_posted)

    def post(self, chain: NetBufferList) -> None:
        """MiniportTcpOffloadSend: every NBL is accepted."""
        of = self._of
        for nbl in walk(chain):
            request = SendRequest(of.chimney.bus, nbl)
            of.account.given += request.length
            self.requests.append(request)
            if request.length:
                self._waiting.append(request)
        if of.end_status is not None:
            self.end = self.end or of.end_status
        elif of.is_stopped or of.chimney.is_uploading:
            self.end = self.end or _UPLOAD
        of.pump()
        of.tell_sends(self._finished())
        of.defer()

    def pump(self) -> None:
        """Hand over what the card has room for; the rest waits for room."""
        of, work = self._of, self._of.chimney.work
        while self._waiting and self.end is None:
            request = self._waiting[0]
            try:
                request.prepare(work.part_most)
            except OutOfMemory:
                self.end = _UPLOAD
                of.ask_upload()
                of.tell_sends(self._finished())
                return
            if not work.take_send(request.next_pieces):
                of.chimney.wait_for_room(of)
                return
            of.submit(request.post(of.handle))
            if request.is_posted:
                self._waiting.popleft()

    def on_completed(self, entry: ChmCompletion) -> None:
        """CHM_SEND: the oldest `count` of what the card has. Raises RingFault."""
        done: list[NetBufferList] = []
        try:
            for _ in range(entry.count):
                done += self._finished()
                self._end_part(entry.status)
        finally:
            done += self._finished()
            self._of.tell_sends(done)

    def _end_part(self, status: int) -> None:
        """The oldest part that the card has is over; behind one that failed no byte moves. [INV-17]"""
        if not self.requests or not self.requests[0].is_begun:
            raise RingFault("a send ended that is not outstanding")
        request = self.requests[0]
        if status == ChmStatus.OK and not self._is_broken:
            self._of.chimney.give_send_work(request.finish_part())
        else:
            self._is_broken = True
            self._of.chimney.give_send_work(request.drop_part())
            self.end = self.end or request_status(status)

    def _finished(self) -> list[NetBufferList]:
        """The oldest requests as far as they are over: acknowledged, empty, or of no more use. [INV-17]"""
        done = []
        while self.requests:
            request = self.requests[0]
            if request.is_begun or not (request.is_done or self.end is not None):
                break
            self.requests.popleft()
            status = self._status_of(request)
            if self._waiting and self._waiting[0] is request:
                self._waiting.popleft()
            self._of.account.acked += request.acked
            done.append(request.end(status, request.acked))
        return done

    def _status_of(self, request: SendRequest) -> NDIS_STATUS:
        """Behind one that failed nothing succeeds, also what holds no byte."""
        self._has_failed |= (
            self.end is NDIS_STATUS.REQUEST_ABORTED
        )  # after an abort nothing succeeds [INV-30]
        if self.end is None or (request.is_done and not self._has_failed):
            return _SUCCESS
        self._has_failed = True
        return self.end

    def end_all(self, status: NDIS_STATUS, acked: int) -> list[NetBufferList]:
        """Everything ends; `acked` bytes of the oldest part that the card has are acknowledged."""
        self.end = self.end or status
        acked = 0 if self._has_failed or self._is_broken else acked
        done = []
        while self.requests:
            request = self.requests.popleft()
            self._of.chimney.give_send_work(request.pieces_posted)
            count = request.acked + min(acked, request.unacked)
            acked = 0 if request.unacked else acked
            self._of.account.acked += count
            done.append(request.end(self.end, count))
        self._waiting.clear()
        return done

    def disown(self) -> None:
        """The host's NBLs are its own again, untouched."""
        for request in self.requests:
            self._of.chimney.give_send_work(request.pieces_posted)
            request.unmap()
        self.requests.clear()
        self._waiting.clear()

    def chain_back(self, acked: int) -> tuple[NetBufferList | None, NetBufferList | None]:
        """Head and tail of what is not acknowledged, in order, from SndUna on. [INV-19]"""
        left = []
        while self.requests:
            request = self.requests.popleft()
            self._of.chimney.give_send_work(request.pieces_posted)
            request.unmap()
            count = request.acked + min(acked, request.unacked)
            acked = 0 if request.unacked else acked
            advance(request.nbl, count)
            left.append(request.nbl)
        self._waiting.clear()
        return link(left), left[-1] if left else None
