"""An offloaded connection as the miniport has it: its requests, and what is to be told, one at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from vnic.gen.descriptors import ChmCompletion, ChmEventEntry, ChmSubmission
from vnic.gen.enums import ChmEvent, ChmReason, ChmSubmissionOp
from vnic.miniport.chimney_account import Account
from vnic.miniport.chimney_objects import ChimneyObject, Ending, Kind, Path
from vnic.miniport.chimney_receiving import Receiving
from vnic.miniport.chimney_requests import DisconnectRequest, ForwardRequest, OutOfMemory
from vnic.miniport.chimney_sending import Sending
from vnic.miniport.chimney_status import request_status
from vnic.miniport.receive import RingFault
from vnic.ndis.chimney import (
    TCP_OFFLOAD_EVENT_TYPE,
    TCP_OFFLOAD_STATE_CACHED,
    TCP_OFFLOAD_STATE_CONST,
    TCP_UPLOAD_REASON,
    TcpDisconnectFlag,
)
from vnic.ndis.net_buffer_list import NetBufferList, link, walk
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.miniport.chimney import Chimney

_ABORTED = NDIS_STATUS.REQUEST_ABORTED
_UPLOAD = NDIS_STATUS.UPLOAD_IN_PROGRESS
_REASONS = frozenset(int(reason) for reason in TCP_UPLOAD_REASON)
_MANDATORY = frozenset(int(reason) for reason in TCP_UPLOAD_REASON if reason.is_mandatory)


class Connection(ChimneyObject):
    """A TCP connection object.

    What its entry points do is done under the chimney's lock; what is to be told to NDIS is queued in `calls`
    and told by `run`, by one processor at a time and to the end, so that no two indications of a connection
    ever overlap or nest [INV-23]. Until its initiate was completed nothing is told [INV-6].
    """

    kind = Kind.TCP

    def __init__(
        self,
        chimney: Chimney,
        ndis_handle: object,
        path: Path,
        const: TCP_OFFLOAD_STATE_CONST,
        cached: TCP_OFFLOAD_STATE_CACHED,
    ) -> None:
        super().__init__(ndis_handle, path)
        self.chimney = chimney
        self.const = const
        self.cached = cached
        self.hash_value = const.HashValue
        self.queue = chimney.queue_of(const.HashValue)
        self.calls: deque[Callable[[], None]] = deque()
        #: Entries of the card from before the end of the initiate: until then its sends are the host's.
        self.early: list[bytes] = []
        self.account = Account()
        self.sending = Sending(self)
        self.receiving = Receiving(self)
        self.disconnects: deque[DisconnectRequest] = deque()
        self.forwards: deque[ForwardRequest] = deque()
        self.has_queued_fin = False
        self.is_deferred = False
        self.is_stopped = False
        self.is_aborted = False
        self.ending: Ending | None = None
        self._is_busy = False
        self._credit = 0

    @property
    def end_status(self) -> NDIS_STATUS | None:
        """How requests end at once now; None while they are taken."""
        return _ABORTED if self.is_aborted or self.is_lost else None

    @property
    def is_in_card(self) -> bool:
        """Whether the card works for it."""
        return bool(self.handle) and not (self.is_lost or self.is_aborted or self.is_stopped)

    # -- told one at a time --------------------------------------------------------------------------------

    def run(self) -> None:
        """Tell NDIS all there is, at DISPATCH; who comes meanwhile leaves it to this processor."""
        if self._is_busy or not self.is_open:
            return
        self._is_busy = True
        try:
            while (call := self._next_call()) is not None:
                call()
        finally:
            self._is_busy = False

    def _next_call(self) -> Callable[[], None] | None:
        with self.chimney.section():
            if not self.calls:
                self.receiving.deliver()
            if not self.calls and self.ending is not None:
                self.ending.wind_up(self)
            if self.calls:
                return self.calls.popleft()
            self._is_busy = False
            return None

    def defer(self) -> None:
        """There may be something to tell."""
        self.chimney.defer(self)

    def tell_event(self, event: TCP_OFFLOAD_EVENT_TYPE, info: int = 0) -> None:
        """Queue an NdisTcpOffloadEventHandler call."""
        ndis = self.chimney.ndis
        self.calls.append(lambda: ndis.tcp_offload_event_handler(self.ndis_handle, event, info))

    # -- the host's calls ----------------------------------------------------------------------------------

    def pump(self) -> None:
        """Give the card what it has room for."""
        if self.is_in_card:
            self.sending.pump()
            self._pump_disconnects()
            self.receiving.pump()

    def disconnect(self, nbl: NetBufferList, flags: TcpDisconnectFlag) -> None:
        """MiniportTcpOffloadDisconnect."""
        is_abortive = flags == TcpDisconnectFlag.ABORTIVE_CLOSE
        request = DisconnectRequest(self.chimney.bus, nbl, is_abortive)
        self.account.disconnect(request.length, is_abortive)
        if self.end_status is not None:
            self.tell_disconnect(request, self.end_status)
        else:
            self.disconnects.append(request)
            self.pump()
        self.defer()

    def _pump_disconnects(self) -> None:
        """A graceful one waits for every send and for room; an abortive one passes it."""
        is_held = False
        for request in self.disconnects:
            if request.is_posted:
                continue
            if not request.is_abortive:
                is_held = is_held or not self._prepare_close(request)
                if is_held:
                    continue
            self.submit(request.post(self.handle))

    def _prepare_close(self, request: DisconnectRequest) -> bool:
        work = self.chimney.work
        if self.sending.is_waiting:
            return False
        try:
            pieces = request.prepare(work.part_most)
        except OutOfMemory:
            self.ask_upload()
            return False
        if work.take_send(pieces):
            return True
        self.chimney.wait_for_room(self)
        return False

    def forward(self, chain: NetBufferList) -> None:
        """MiniportTcpOffloadForward: each segment is copied into one piece."""
        done = []
        for nbl in walk(chain):
            if not self.is_in_card:
                nbl.next, nbl.status = None, self.end_status or _UPLOAD
                done.append(nbl)
                continue
            try:
                request = ForwardRequest(self.chimney.bus, nbl)
            except OutOfMemory:
                nbl.next, nbl.status = None, _UPLOAD
                done.append(nbl)
                continue
            self.forwards.append(request)
            self.submit(request.post(self.handle))
        self._tell_forwards(done)
        self.defer()

    def submit(self, entries: list[ChmSubmission]) -> None:
        """Put a request on the connection's submission ring."""
        self.chimney.submit(self.queue, entries)

    def credit(self, count: int) -> None:
        """The host has consumed bytes that came through the pool; the next flush tells the card."""
        if count:
            self._credit += count
            self.chimney.announce_credit(self)

    def submit_credit(self) -> None:
        """Tell the card, which knows nothing any more of a connection that is over."""
        count, self._credit = self._credit, 0
        if self.handle and not (self.is_lost or self.is_aborted):
            self.submit([ChmSubmission(handle=self.handle, len=count, op=ChmSubmissionOp.CREDIT)])

    def ask_upload(self) -> None:
        """The miniport is out of something: the host shall take the connection back."""
        if not self.is_stopped:
            self.is_stopped = True
            self.tell_event(TCP_OFFLOAD_EVENT_TYPE.RETRIEVE, TCP_UPLOAD_REASON.UPLOAD_REQUESTED)

    # -- the card's entries --------------------------------------------------------------------------------

    def on_disconnected(self, entry: ChmCompletion) -> None:
        """CHM_DISCONNECT. An abortive one implies that everything else has ended. Raises RingFault."""
        for _ in range(entry.count):
            if self.has_queued_fin:
                self.has_queued_fin = False
                self.chimney.give_send_work(1)
                continue
            request = next((each for each in self.disconnects if each.is_posted), None)
            if request is None:
                if self.is_aborted or self.is_stopped:
                    return
                raise RingFault("a disconnect ended that is not outstanding")
            status = request_status(entry.status)
            is_early = bool(self.sending.requests) and status != _ABORTED
            if is_early and not request.is_abortive:
                raise RingFault("a disconnect ended before the sends that it closes")
            self.disconnects.remove(request)
            if request.is_abortive:
                self.is_aborted = True
                self.end_requests(_ABORTED)
            else:
                self.chimney.give_send_work(request.pieces)
                if status == _ABORTED:  # an abortive one overtook it: the sends before it have ended
                    self.tell_sends(self.sending.end_all(_ABORTED, 0))
            self.tell_disconnect(request, status)

    def tell_disconnect(self, request: DisconnectRequest, status: NDIS_STATUS, count: int = 0) -> None:
        """Queue an NdisTcpOffloadDisconnectComplete call."""
        count = request.length if status == NDIS_STATUS.SUCCESS else count
        self.account.acked += count
        nbl = request.end(status, count)
        ndis = self.chimney.ndis
        self.calls.append(lambda: ndis.tcp_offload_disconnect_complete(self.ndis_handle, nbl))

    def on_forwarded(self, entry: ChmCompletion) -> None:
        """CHM_FORWARD. Raises RingFault."""
        if self.is_aborted:
            return
        if entry.count > len(self.forwards):
            raise RingFault(f"{entry.count} forwarded segments are done of {len(self.forwards)}")
        status = request_status(entry.status)
        self._tell_forwards([self.forwards.popleft().end(status) for _ in range(entry.count)])

    def _tell_forwards(self, nbls: list[NetBufferList]) -> None:
        chain = link(nbls)
        if chain is not None:
            ndis = self.chimney.ndis
            self.calls.append(lambda: ndis.tcp_offload_forward_complete(self.ndis_handle, chain))

    def on_event(self, entry: ChmEventEntry) -> None:
        """CHM_EVENT. Raises RingFault."""
        if entry.event == ChmEvent.FIN:
            self.receiving.on_fin()
        elif entry.event == ChmEvent.ABORT:
            self._on_abort(entry)
        elif entry.event == ChmEvent.RETRIEVE:
            self._on_retrieve(entry.reason)
        elif entry.event == ChmEvent.SEND_BACKLOG:
            self.tell_event(TCP_OFFLOAD_EVENT_TYPE.SEND_BACKLOG_CHANGE, entry.count)

    def _on_abort(self, entry: ChmEventEntry) -> None:
        """An acceptable RST: the host hears of it first, then every request ends. [INV-30]"""
        self.is_aborted = True
        self.tell_event(TCP_OFFLOAD_EVENT_TYPE.ABORT)
        self.end_requests(_ABORTED, placed=entry.count, acked=entry.acked)

    def _on_retrieve(self, reason: int) -> None:
        if reason not in _REASONS:
            raise RingFault(f"RETRIEVE with reason {reason}")
        if reason in _MANDATORY:
            if self.is_stopped and reason == ChmReason.UPLOAD_REQUESTED:
                return  # the miniport has asked already
            self.is_stopped = True
        elif self.is_stopped or self.account.is_half_closed or self.receiving.has_fin:
            return  # asked for already, or closed in one direction
        self.tell_event(TCP_OFFLOAD_EVENT_TYPE.RETRIEVE, reason)

    # -- the end of requests -------------------------------------------------------------------------------

    def outstanding(self, acked: int, placed: int) -> tuple[int, int]:
        """Bytes acknowledged and placed that the requests which did not end can tell of, of those told."""
        sending, first = self.sending, next(iter(self.disconnects), None)
        room = sending.room if sending.requests else first.length if first is not None else 0
        return sending.acked + min(acked, room), min(placed, self.receiving.room)

    def end_requests(self, status: NDIS_STATUS, placed: int = 0, acked: int = 0) -> None:
        """Everything ends; `acked` is of the oldest send, or without one of a disconnect's data."""
        has_sends = bool(self.sending.requests)
        self.tell_sends(self.sending.end_all(status, acked))
        self.receiving.end_all(status, placed)
        self.end_disconnects(status, 0 if has_sends else acked)
        self._tell_forwards([request.end(status) for request in self.forwards])
        self.forwards.clear()

    def end_disconnects(self, status: NDIS_STATUS, acked: int = 0) -> None:
        """Every disconnect ends; `acked` bytes of the first one's data have arrived."""
        if self.has_queued_fin:
            self.has_queued_fin = False
            self.chimney.give_send_work(1)
        while self.disconnects:
            request = self.disconnects.popleft()
            if request.is_posted and not request.is_abortive:
                self.chimney.give_send_work(request.pieces)
            self.tell_disconnect(request, status, min(acked, request.length))
            acked = 0

    def tell_sends(self, nbls: list[NetBufferList]) -> None:
        """Queue an NdisTcpOffloadSendComplete call."""
        chain = link(nbls)
        if chain is not None:
            ndis = self.chimney.ndis
            self.calls.append(lambda: ndis.tcp_offload_send_complete(self.ndis_handle, chain))

    def disown(self) -> None:
        """Its initiate fails after all: the host's NBLs are as they were. [INV-3]"""
        self.is_lost = True
        self.handle = 0
        self.sending.disown()
        if self.has_queued_fin:
            self.has_queued_fin = False
            self.chimney.give_send_work(1)
        self.receiving.drop()

    def lose(self) -> None:
        """The hardware lost it: Retrieve, Abort, and nothing is outstanding. [hardware-corrupt sequence]"""
        was_lost, self.is_lost = self.is_lost, True
        self.early.clear()
        if self.ending is not None:
            return
        if not (self.is_aborted or was_lost):  # a second reset is no news
            self.tell_event(TCP_OFFLOAD_EVENT_TYPE.RETRIEVE, TCP_UPLOAD_REASON.HARDWARE_FAILURE)
            self.tell_event(TCP_OFFLOAD_EVENT_TYPE.ABORT)
        self.end_requests(_ABORTED)
        self.receiving.drop()
        self.handle = 0
        self.defer()
