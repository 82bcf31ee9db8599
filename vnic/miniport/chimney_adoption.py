"""What comes with an offloaded connection: send data in flight or waiting, its FIN, and buffered data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic.errors import AllocationError, CapacityError
from vnic.gen.descriptors import ChmSubmission
from vnic.gen.enums import ChmObject, ChmOp, ChmSubmissionOp
from vnic.miniport.chimney_images import ImageError, pack_tcp
from vnic.miniport.chimney_pool import Kept
from vnic.miniport.chimney_requests import OutOfMemory, SendRequest
from vnic.miniport.chimney_rings import Command, Outcome
from vnic.ndis.chimney import (
    TCP_OFFLOAD_CONNECTION_STATE,
    TCP_OFFLOAD_STATE_CACHED,
    TCP_OFFLOAD_STATE_CONST,
    TCP_OFFLOAD_STATE_DELEGATED,
)
from vnic.ndis.net_buffer_list import NetBufferError, NetBufferList, walk
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.miniport.chimney import Chimney
    from vnic.miniport.chimney_connection import Connection

#: The host's FIN is queued or in flight.
_OWN_FIN = (
    TCP_OFFLOAD_CONNECTION_STATE.FIN_WAIT1,
    TCP_OFFLOAD_CONNECTION_STATE.CLOSING,
    TCP_OFFLOAD_CONNECTION_STATE.LAST_ACK,
)


class AdoptionError(Exception):
    """The connection cannot be taken; `status` is its block's."""

    def __init__(self, status: NDIS_STATUS) -> None:
        super().__init__(str(status))
        self.status = status


class Adoption:
    """Of one connection. Until `settle`, NBLs and BufferedData are only looked at. [INV-3]"""

    def __init__(self, chimney: Chimney, connection: Connection) -> None:
        self._chimney = chimney
        self._connection = connection
        self._requests: list[SendRequest] = []
        self._kept: Kept | None = None
        self._has_fin = False

    def command(
        self,
        const: TCP_OFFLOAD_STATE_CONST,
        cached: TCP_OFFLOAD_STATE_CACHED,
        delegated: TCP_OFFLOAD_STATE_DELEGATED,
        chain: NetBufferList | None,
    ) -> Command:
        """The CREATE. Raises AdoptionError."""
        try:
            self._requests = [SendRequest(self._chimney.bus, nbl) for nbl in walk(chain)]
            self._keep(delegated.BufferedData)
            entries, listed = self._send_list(delegated)
            image = pack_tcp(
                const,
                cached,
                delegated,
                send_backlog=listed,
                receive_backlog=self._kept.length if self._kept else 0,
            )
        except (ImageError, NetBufferError):
            raise AdoptionError(NDIS_STATUS.FAILURE) from None
        except OutOfMemory:
            raise AdoptionError(NDIS_STATUS.RESOURCES) from None
        connection = self._connection
        assert connection.parent is not None
        return Command(
            ChmOp.CREATE,
            ChmObject.TCP,
            _nobody,
            parent=connection.parent.handle,
            queue=connection.queue,
            image=image,
            sends=[entry.pack() for entry in entries],
        )

    def _keep(self, buffered: NetBufferList | None) -> None:
        """Bytes left of RcvNxt are copied, and go up before any younger one. [INV-21]"""
        parts = [part for nbl in walk(buffered) for packet in nbl.net_buffers() for _, part in packet.views()]
        if not any(map(len, parts)):
            return
        try:
            self._kept = Kept.copy_of(self._chimney.memory, parts, True)
        except (AllocationError, CapacityError):
            raise AdoptionError(NDIS_STATUS.FAILURE) from None

    def _send_list(self, delegated: TCP_OFFLOAD_STATE_DELEGATED) -> tuple[list[ChmSubmission], int]:
        """Submissions of what the card has room for, and their bytes; what was sent must be among them."""
        has_fin = delegated.State in _OWN_FIN
        entries: list[ChmSubmission] = []
        listed, is_all = 0, True
        for request in self._requests:
            taken, is_all = self._list(request, entries)
            listed += taken
            if not is_all:
                break
        sent = (delegated.SndMax - delegated.SndUna) & 0xFFFFFFFF
        if not is_all and (has_fin or listed < sent):
            raise AdoptionError(NDIS_STATUS.OFFLOAD_TCP_XMIT_BUFFER)
        if has_fin:
            if not self._chimney.work.take_send(1):
                raise AdoptionError(NDIS_STATUS.OFFLOAD_TCP_XMIT_BUFFER)
            self._has_fin = True
            entries.append(ChmSubmission(op=ChmSubmissionOp.DISCONNECT))
        return entries, listed

    def _list(self, request: SendRequest, entries: list[ChmSubmission]) -> tuple[int, bool]:
        """Bytes of one request that are listed, and whether these are all."""
        work = self._chimney.work
        request.prepare(work.part_most)
        listed = 0
        while request.length and not request.is_posted:
            if not work.take_send(request.next_pieces):
                return listed, False
            part = request.post(0)
            listed += sum(piece.len for piece in part)
            entries += part
        return listed, True

    def settle(self) -> None:
        """The card has taken it: its sends are the miniport's to complete."""
        connection = self._connection
        connection.sending.adopt(self._requests)
        connection.has_queued_fin = self._has_fin
        if self._kept is not None:
            connection.receiving.kept.append(self._kept)

    def undo(self) -> None:
        """It was not offloaded: the chain is as it was."""
        for request in self._requests:
            self._chimney.give_send_work(request.pieces_posted)
            request.unmap()
        if self._has_fin:
            self._chimney.give_send_work(1)
        if self._kept is not None:
            self._kept.release()


def _nobody(_: Outcome) -> None:
    """Until the walk puts itself there."""
