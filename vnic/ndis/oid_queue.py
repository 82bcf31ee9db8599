"""OID requests to one miniport, one at a time, each completed exactly once and with sizes that make sense."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from vnic.host.cpu import Level
from vnic.ndis.miniport import Miniport
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import Call, Verifier

#: Called with the final status of a request.
Finish = Callable[[NDIS_STATUS], None]

_TOO_SMALL = (NDIS_STATUS.BUFFER_TOO_SHORT, NDIS_STATUS.INVALID_LENGTH, NDIS_STATUS.BUFFER_OVERFLOW)


@dataclass(slots=True, eq=False)
class Entry:
    """A request on its way to the miniport."""

    request: OidRequest
    finish: Finish
    owner: object
    #: The call by which it came.
    since: Call | None
    is_done: bool = False
    hang_checks: int = 0


class OidQueue:
    """NDIS's serialisation: at PASSIVE, one request at a time, none during a reset."""

    def __init__(self, verifier: Verifier, miniport: Miniport) -> None:
        self._verifier = verifier
        self._miniport = miniport
        self._waiting: deque[Entry] = deque()
        self._is_scheduled = False
        self.current: Entry | None = None
        self.is_held = False
        self.supported: Collection[int] = ()
        #: How a request reaches the driver. A bench that injects faults answers some in its place.
        self.ask: Callable[[OidRequest], NDIS_STATUS] = miniport.oid_request
        #: Whether an answer of the driver's is withheld from NDIS.
        self.keeps: Callable[[OidRequest, NDIS_STATUS], bool] = lambda request, status: False

    def __len__(self) -> int:
        return len(self._waiting) + (self.current is not None)

    @property
    def waiting(self) -> list[Entry]:
        """Requests that the miniport has not seen."""
        return list(self._waiting)

    def outstanding(self, owner: object) -> int:
        """Requests of one owner that are not complete."""
        current = [self.current] if self.current else []
        return sum(entry.owner is owner for entry in [*self._waiting, *current])

    def is_in_flight(self, request: OidRequest) -> bool:
        """Whether this very request is queued or with the miniport."""
        current = [self.current] if self.current else []
        return any(entry.request is request for entry in [*self._waiting, *current])

    def submit(self, request: OidRequest, finish: Finish, owner: object = None) -> None:
        """Queue; at PASSIVE with nothing ahead the miniport has it, maybe done, when this returns."""
        self._waiting.append(Entry(request, finish, owner, self._verifier.last_call))
        self.run()

    def run(self) -> None:
        """Give the miniport its next requests, now or in a work item."""
        if self._verifier.processors.level == Level.PASSIVE:
            while self._waiting and self.current is None and not self.is_held:
                self._start(self._waiting.popleft())
        elif self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            self._verifier.processors.queue_work(self._run_scheduled)

    def _run_scheduled(self) -> None:
        self._is_scheduled = False
        self.run()

    def _start(self, entry: Entry) -> None:
        self.current = entry
        request, miniport = entry.request, self._miniport
        request.status = NDIS_STATUS.PENDING
        with self._verifier.entering(miniport, "MiniportOidRequest", str(request)) as call:
            status = self.ask(request)
            call.result = str(status)
        if status == NDIS_STATUS.PENDING:
            return
        text = f"{request} was completed by call and by return value"
        self._verifier.require(not entry.is_done, "OID-1", miniport, text)
        self._finish(entry, status)

    def complete(self, request: OidRequest, status: NDIS_STATUS) -> None:
        """NdisMOidRequestComplete."""
        if self.keeps(request, status):
            return
        entry = self.current
        if entry is None or entry.request is not request:
            raise self._verifier.breach("OID-1", self._miniport, f"{request} is not pending")
        self._finish(entry, status)
        self.run()

    def cancel(self, owner: object, request_id: int) -> None:
        """Abort what waits; ask the miniport to cancel what it has."""
        for entry in [e for e in self._waiting if e.owner is owner and e.request.request_id == request_id]:
            self._waiting.remove(entry)
            entry.request.status = NDIS_STATUS.REQUEST_ABORTED
            entry.finish(NDIS_STATUS.REQUEST_ABORTED)
        current = self.current
        if current is not None and current.owner is owner and current.request.request_id == request_id:
            with self._verifier.entering(self._miniport, "MiniportCancelOidRequest", str(request_id)):
                self._miniport.cancel_oid_request(request_id)

    def abort_waiting(self, status: NDIS_STATUS) -> None:
        """Complete everything the miniport has not seen."""
        while self._waiting:
            entry = self._waiting.popleft()
            entry.request.status = status
            entry.finish(status)

    def _finish(self, entry: Entry, status: NDIS_STATUS) -> None:
        self._check(entry.request, status)
        entry.is_done = True
        entry.request.status = status
        self.current = None
        entry.finish(status)

    def _check(self, request: OidRequest, status: NDIS_STATUS) -> None:
        require, miniport = self._verifier.require, self._miniport
        require(status != NDIS_STATUS.PENDING, "OID-4", miniport, f"{request} completed with PENDING")
        length, size = request.buffer_length, len(request.buffer)
        require(size == length, "OID-2", miniport, f"{request}: the buffer was grown to {size} bytes")
        used = request.bytes_written if request.is_query else request.bytes_read
        require(0 <= used <= length, "OID-2", miniport, f"{request}: {used} bytes used of {length}")
        if status == NDIS_STATUS.SUCCESS and request.is_query:
            require(used > 0 or length == 0, "OID-2", miniport, f"{request}: SUCCESS with BytesWritten 0")
        if status in _TOO_SMALL and (request.is_query or status == NDIS_STATUS.BUFFER_TOO_SHORT):
            text = f"{request}: {status!s} with BytesNeeded {request.bytes_needed}"
            require(request.bytes_needed > length, "OID-3", miniport, text)
        if status in (NDIS_STATUS.NOT_SUPPORTED, NDIS_STATUS.INVALID_OID):
            listed = request.oid in self.supported and request.buffer_length > 0
            may_refuse = (
                not request.is_query
            )  # a set may be refused for its moment (RSS against receive hash)
            require(
                not listed or may_refuse, "OID-5", miniport, f"{request}: listed as supported, {status!s}"
            )
