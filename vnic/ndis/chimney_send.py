"""The sends of an offloaded connection: completed in order, no byte lost, none counted twice."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vnic.ndis.chimney_extent import Extent
from vnic.ndis.net_buffer_list import NetBufferError, NetBufferList
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.ndis.chimney import TCP_OFFLOAD_STATE_DELEGATED
    from vnic.ndis.chimney_connection import Connection

_REMEMBERED = 16
_FROM_INTERMEDIATE = (NDIS_STATUS.REQUEST_UPLOAD, NDIS_STATUS.UPLOAD_REQUESTED)


@dataclass(frozen=True, slots=True)
class Sent:
    """One NBL that the target has; `status` as it came."""

    nbl: NetBufferList
    extent: Extent
    status: NDIS_STATUS


class SendWatch:
    """The queue of one connection; `acked` and `returned` count bytes."""

    def __init__(self, connection: Connection) -> None:
        self._of = connection
        self._done: deque[NetBufferList] = deque(maxlen=_REMEMBERED)
        self._has_failed = False
        self.queue: deque[Sent] = deque()
        self.has_completed = False
        self.posted = self.acked = self.returned = 0

    def post(self, nbls: list[NetBufferList]) -> None:
        """The protocol gives them away, at initiate or by a send."""
        of = self._of
        for nbl in nbls:
            try:
                extent = Extent.of(nbl, of.verifier.verify_data)
            except NetBufferError as error:
                raise of.verifier.breach("NBL-2", of.protocol, str(error), of.subject.calls) from None
            of.require(bool(extent.buffers), "NBL-2", of.protocol, "an NBL without NET_BUFFER")
            is_own = nbl.custodian is None or nbl.holder is of.protocol
            of.require(is_own, "PSEND-1", of.protocol, "sends a NET_BUFFER_LIST that is not its own")
            self.queue.append(Sent(nbl, extent, nbl.status))
            self.posted += extent.length
        for nbl in nbls:
            of.verifier.give(nbl, of.miniport)

    def take_back(self, chain: list[NetBufferList]) -> None:
        """The initiate failed for this connection: its chain is the protocol's again, as it was."""
        of = self._of
        of.require(not self.has_completed, "INV-3", of.miniport, "SendComplete for a connection that failed")
        text = "NetBufferListChain of a connection that failed was changed"
        of.require(chain == [sent.nbl for sent in self.queue], "INV-3", of.miniport, text)
        for sent in self.queue:
            is_same = sent.nbl.status == sent.status and sent.extent.advanced(sent.nbl) == 0
            of.require(is_same, "INV-3", of.miniport, "a send of a connection that failed was changed")
            of.verifier.give(sent.nbl, of.protocol)
        self.queue.clear()

    def complete(self, nbls: list[NetBufferList]) -> None:
        """NdisTcpOffloadSendComplete."""
        self.has_completed = True
        for nbl in nbls:
            self._check_turn(nbl)
            sent = self.queue.popleft()
            self._done.append(nbl)
            self._check_outcome(sent, nbl.status, nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED))
            self._of.verifier.give(nbl, self._of.protocol)

    def _check_turn(self, nbl: NetBufferList) -> None:
        of = self._of
        if self.queue and self.queue[0].nbl is nbl:
            return
        if any(sent.nbl is nbl for sent in self.queue):
            of.require(False, "INV-17", of.miniport, "a send was completed before an earlier one")
        if any(done is nbl for done in self._done):
            of.require(False, "INV-18", of.miniport, "a send was completed twice")
        of.require(False, "CHIM-22", of.miniport, "an NBL was completed that was never sent")

    def _check_outcome(self, sent: Sent, status: NDIS_STATUS, transferred: int) -> None:
        of, length = self._of, sent.extent.length
        of.check_status("a send", status, *_FROM_INTERMEDIATE)
        self._check_advanced(sent, transferred)
        if status == NDIS_STATUS.SUCCESS:
            text = f"a send of {length} bytes is SUCCESS with {transferred} transferred"
            of.require(transferred == length, "INV-16", of.miniport, text)
            of.require(not self._has_failed, "INV-17", of.miniport, "a send is SUCCESS behind a failed one")
        if self._has_failed:
            text = f"{transferred} bytes were transferred behind a send that failed"
            of.require(transferred == 0, "INV-17", of.miniport, text)
        self._has_failed |= status != NDIS_STATUS.SUCCESS
        self.acked += transferred
        self.returned += length - transferred

    def _check_advanced(self, sent: Sent, transferred: int) -> None:
        of = self._of
        moved = sent.extent.advanced(sent.nbl)
        text = (
            f"TcpOffloadBytesTransferred {transferred} of {sent.extent.length}, data start moved by {moved}"
        )
        of.require(moved == transferred, "CHIM-23", of.miniport, text)
        of.require(sent.extent.has_same_bytes(), "SEND-5", of.miniport, "bytes of a send changed")

    # -- terminate -----------------------------------------------------------------------------------------

    def chain_back(self, nbls: list[NetBufferList], state: TCP_OFFLOAD_STATE_DELEGATED | None) -> None:
        """NetBufferListChain at the end: every send that was not completed, the first one perhaps in part."""
        of = self._of
        wanted = [sent.nbl for sent in self.queue]
        if nbls != wanted:
            is_same_set = {id(nbl) for nbl in nbls} == {id(nbl) for nbl in wanted} and len(nbls) == len(
                wanted
            )
            text = f"{len(nbls)} NBLs in NetBufferListChain, {len(wanted)} sends outstanding"
            of.require(False, "INV-19" if is_same_set else "INV-18", of.miniport, text)
        if state is not None:
            ends = (nbls[0], nbls[-1]) if nbls else (None, None)
            is_right = (state.SendDataHead, state.SendDataTail) == ends
            of.require(is_right, "INV-19", of.miniport, "SendDataHead and SendDataTail are not the chain's")
        for place, sent in enumerate(self.queue):
            moved = sent.extent.advanced(sent.nbl)
            is_right = moved is not None and (place == 0 or moved == 0)
            of.require(is_right, "INV-19", of.miniport, f"send {place} of the chain is advanced by {moved}")
            of.require(sent.extent.has_same_bytes(), "SEND-5", of.miniport, "bytes of a send changed")
            self._close(sent, moved or 0)
        self.queue.clear()

    def _close(self, sent: Sent, moved: int) -> None:
        of = self._of
        text = f"{moved} bytes were transferred behind a send that failed"
        of.require(not (moved and self._has_failed), "INV-17", of.miniport, text)
        self.acked += moved
        self.returned += sent.extent.length - moved
        of.verifier.give(sent.nbl, of.protocol)
