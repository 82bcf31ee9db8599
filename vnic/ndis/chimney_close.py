"""How an offloaded connection ends: disconnects, events, and segments that the host forwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vnic.ndis.chimney import TCP_OFFLOAD_EVENT_TYPE, TCP_UPLOAD_REASON, TcpDisconnectFlag
from vnic.ndis.chimney_extent import Extent
from vnic.ndis.net_buffer_list import NetBufferError, NetBufferList
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.ndis.chimney_connection import Connection
    from vnic.ndis.verifier import Moment

_TCP_HEADER = 20
_FORWARD_STATUSES = (NDIS_STATUS.SUCCESS, NDIS_STATUS.UPLOAD_IN_PROGRESS, NDIS_STATUS.REQUEST_ABORTED)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """One that the target has."""

    nbl: NetBufferList
    extent: Extent
    flags: TcpDisconnectFlag


class CloseWatch:
    """The end of one connection; moments are set when the indication has returned."""

    def __init__(self, connection: Connection) -> None:
        self._of = connection
        self._has_fin = self._has_abort = self._is_closed = False
        self.disconnects: list[Disconnect] = []
        self.forwards: dict[int, NetBufferList] = {}
        self.is_graceful = self.is_abortive = False
        self.disconnected: Moment | None = None
        self.aborted: Moment | None = None
        self.retrieved: set[TCP_UPLOAD_REASON] = set()
        self.acked = self.returned = 0

    @property
    def is_half_closed(self) -> bool:
        """Whether the target must know that one direction has ended while offloaded."""
        ended = self.disconnected
        return self._is_closed or (ended is not None and self._of.verifier.must_know(ended))

    # -- disconnect ----------------------------------------------------------------------------------------

    def disconnect(self, nbl: NetBufferList, flags: TcpDisconnectFlag) -> None:
        """The protocol closes: graceful once, abortive once, also behind a graceful one."""
        of = self._of
        is_list = isinstance(nbl, NetBufferList)
        of.require(is_list, "CHIM-24", of.protocol, f"a disconnect of {type(nbl).__name__}")
        extent = self._extent(nbl)
        is_form = nbl.next is None and len(extent.buffers) == 1
        of.require(is_form, "CHIM-24", of.protocol, "a disconnect is not one NBL with one NET_BUFFER")
        is_flag = flags in (TcpDisconnectFlag.GRACEFUL_CLOSE, TcpDisconnectFlag.ABORTIVE_CLOSE)
        of.require(is_flag, "CHIM-24", of.protocol, f"disconnect flags {flags!r}")
        is_abortive = flags == TcpDisconnectFlag.ABORTIVE_CLOSE
        text = f"an abortive disconnect with {extent.length} bytes"
        of.require(not (is_abortive and extent.length), "CHIM-24", of.protocol, text)
        is_again = self.is_abortive or (self.is_graceful and not is_abortive)
        of.require(not is_again, "CHIM-20", of.protocol, f"{flags!r} after a disconnect")
        self.is_abortive |= is_abortive
        self.is_graceful |= not is_abortive
        self.disconnects.append(Disconnect(nbl, extent, flags))
        of.verifier.give(nbl, of.miniport)

    def check_may_send(self) -> None:
        """Nothing is sent behind a disconnect."""
        of = self._of
        has_ended = self.is_graceful or self.is_abortive
        of.require(not has_ended, "CHIM-20", of.protocol, "a send after a disconnect")

    def complete(self, nbl: NetBufferList) -> None:
        """NdisTcpOffloadDisconnectComplete."""
        of = self._of
        found = next((each for each in self.disconnects if each.nbl is nbl), None)
        if found is None:
            text = "an NBL was completed that is no outstanding disconnect"
            raise of.verifier.breach("CHIM-22", of.miniport, f"{of.subject}: {text}", of.subject.calls)
        of.require(nbl.next is None, "CHIM-22", of.miniport, "a disconnect was completed in a chain")
        status, count, length = nbl.status, nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED), found.extent.length
        of.check_status("a disconnect", status)
        sends = len(of.sends.queue)
        of.require(not sends, "INV-31", of.miniport, f"a disconnect was completed before {sends} sends")
        moved = found.extent.advanced(nbl)
        text = f"TcpOffloadBytesTransferred {count} of {length}, data start moved by {moved}"
        of.require(moved == count, "CHIM-23", of.miniport, text)
        if status == NDIS_STATUS.SUCCESS:
            text = f"a disconnect with {length} bytes is SUCCESS with {count} transferred"
            of.require(count == length, "INV-31", of.miniport, text)
            self._is_closed = True
        self.acked += count
        self.returned += length - count
        self.disconnects.remove(found)
        of.verifier.give(nbl, of.protocol)

    def _extent(self, nbl: NetBufferList) -> Extent:
        of = self._of
        is_own = nbl.custodian is None or nbl.holder is of.protocol
        of.require(is_own, "PSEND-1", of.protocol, "passes a NET_BUFFER_LIST that is not its own")
        try:
            return Extent.of(nbl, of.verifier.verify_data)
        except NetBufferError as error:
            raise of.verifier.breach("NBL-2", of.protocol, str(error), of.subject.calls) from None

    # -- forward -------------------------------------------------------------------------------------------

    def forward(self, nbls: list[NetBufferList]) -> None:
        """Segments that the host received: TCP header first, one NET_BUFFER in each NBL."""
        of = self._of
        for nbl in nbls:
            extent = self._extent(nbl)
            text = f"a forwarded segment of {extent.length} bytes in {len(extent.buffers)} NET_BUFFERs"
            is_form = len(extent.buffers) == 1 and extent.length >= _TCP_HEADER
            of.require(is_form, "CHIM-24", of.protocol, text)
        for nbl in nbls:
            self.forwards[id(nbl)] = nbl
            of.verifier.give(nbl, of.miniport)

    def complete_forward(self, nbls: list[NetBufferList]) -> None:
        """NdisTcpOffloadForwardComplete."""
        of = self._of
        for nbl in nbls:
            is_ours = self.forwards.pop(id(nbl), None) is not None
            of.require(is_ours, "CHIM-22", of.miniport, "an NBL was completed that was not forwarded")
            is_one = nbl.status in _FORWARD_STATUSES
            of.require(is_one, "CHIM-22", of.miniport, f"a forwarded segment completed with {nbl.status!s}")
            of.verifier.give(nbl, of.protocol)

    # -- events --------------------------------------------------------------------------------------------

    def check_event(self, event: TCP_OFFLOAD_EVENT_TYPE, info: int) -> None:
        """Whether an event may be indicated now."""
        of = self._of
        is_known = event in TCP_OFFLOAD_EVENT_TYPE.__members__.values()
        of.require(is_known, "CHIM-40", of.miniport, f"event {event!r}")
        if event is TCP_OFFLOAD_EVENT_TYPE.DISCONNECT:
            of.require(not self._has_fin, "INV-28", of.miniport, "Disconnect was indicated twice")
            left = len(of.receives.expected)
            of.require(not left, "INV-28", of.miniport, f"Disconnect with {left} bytes not consumed")
            self._has_fin = True
        elif event is TCP_OFFLOAD_EVENT_TYPE.ABORT:
            of.require(not self._has_abort, "CHIM-40", of.miniport, "Abort was indicated twice")
            self._has_abort = True
        elif event is TCP_OFFLOAD_EVENT_TYPE.RETRIEVE:
            self._check_retrieve(info)

    def _check_retrieve(self, info: int) -> None:
        of = self._of
        is_known = info in TCP_UPLOAD_REASON.__members__.values()
        of.require(is_known, "CHIM-40", of.miniport, f"Retrieve with reason {info}")
        reason = TCP_UPLOAD_REASON(info)
        may = reason.is_mandatory or not of.is_half_closed
        of.require(may, "CHIM-40", of.miniport, f"Retrieve {reason.name} of a half-closed connection")
        self.retrieved.add(reason)

    def note_event(self, event: TCP_OFFLOAD_EVENT_TYPE) -> None:
        """The indication has returned."""
        if event is TCP_OFFLOAD_EVENT_TYPE.DISCONNECT:
            self.disconnected = self._of.verifier.moment()
        elif event is TCP_OFFLOAD_EVENT_TYPE.ABORT:
            self.aborted = self._of.verifier.moment()
