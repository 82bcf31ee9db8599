"""The functions that a miniport calls for its offloaded objects: checked, then on to the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vnic.ndis.chimney import (
    INDICATE_OFFLOAD_EVENT,
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST,
    TCP_OFFLOAD_EVENT_TYPE,
    ProviderCalls,
)
from vnic.ndis.chimney_connection import Connection
from vnic.ndis.chimney_objects import OffloadObject, Phase
from vnic.ndis.chimney_operation import Request
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.ndis.chimney_layer import Chimney
    from vnic.ndis.verifier import Call


class ChimneyProvider(ProviderCalls):
    """What NdisMGetOffloadHandlers gives."""

    def __init__(self, chimney: Chimney) -> None:
        self._chimney = chimney
        self._verifier = chimney.verifier
        self._miniport = chimney.miniport

    # -- control -------------------------------------------------------------------------------------------

    def m_initiate_offload_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMInitiateOffloadComplete."""
        self._complete(Request.INITIATE, block)

    def m_terminate_offload_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMTerminateOffloadComplete."""
        self._complete(Request.TERMINATE, block)

    def m_update_offload_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMUpdateOffloadComplete."""
        self._complete(Request.UPDATE, block)

    def m_invalidate_offload_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMInvalidateOffloadComplete."""
        self._complete(Request.INVALIDATE, block)

    def m_query_offload_state_complete(self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        """NdisMQueryOffloadStateComplete."""
        self._complete(Request.QUERY, block)

    def _complete(self, request: Request, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        with self._chimney.called_by_miniport(request.from_miniport) as call:
            self._chimney.control.complete(request, block, call)

    def m_offload_event_indicate(
        self, block: NDIS_MINIPORT_OFFLOAD_BLOCK_LIST | None, event: INDICATE_OFFLOAD_EVENT
    ) -> None:
        """NdisMOffloadEventIndicate."""
        with self._chimney.called_by_miniport("NdisMOffloadEventIndicate", repr(event)):
            self._chimney.neighbors.indicate(block, event)

    # -- indications ---------------------------------------------------------------------------------------

    def tcp_offload_event_handler(self, handle: object, event: TCP_OFFLOAD_EVENT_TYPE, info: int) -> None:
        """NdisTcpOffloadEventHandler."""
        with self._of(handle, "NdisTcpOffloadEventHandler", f"{event!r}, {info}") as (subject, connection):
            connection.check_announced("an event")
            with connection.indication():
                connection.close.check_event(event, info)
                client = subject.binding.chimney_handlers
                with self._entering(subject, "ProtocolTcpOffloadEventIndicate", f"{event!r}, {info}"):
                    client.tcp_offload_event(subject.handle, TCP_OFFLOAD_EVENT_TYPE(event), info)
                connection.close.note_event(TCP_OFFLOAD_EVENT_TYPE(event))

    def tcp_offload_receive_handler(self, handle: object, nbl: NetBufferList) -> tuple[NDIS_STATUS, int]:
        """NdisTcpOffloadReceiveHandler."""
        name = "NdisTcpOffloadReceiveHandler"
        posted = self._check_posts(handle)
        with self._of(handle, name) as (subject, connection):
            connection.check_announced("received data")
            with connection.indication(), connection.receives.exclusive(name):
                return self._indicate(subject, connection, nbl, posted)

    def _check_posts(self, handle: object) -> int:
        """Before other processors may get ahead: what is posted from now on, the target cannot know of.

        Returns how many receives were posted so far.
        """
        if not isinstance(handle, OffloadObject) or handle.connection is None:
            return 0
        handle.connection.receives.check_no_post()
        return handle.connection.receives.posted

    def _indicate(
        self, subject: OffloadObject, connection: Connection, nbl: NetBufferList, posted: int
    ) -> tuple[NDIS_STATUS, int]:
        receives, verifier, inbox = connection.receives, self._verifier, self._chimney.inbox
        is_list = isinstance(nbl, NetBufferList)
        connection.require(is_list, "CHIM-31", self._miniport, f"indicates {type(nbl).__name__}")
        extent = inbox.extent(subject, nbl)
        is_form = nbl.next is None and len(extent.buffers) == 1 and nbl.status == NDIS_STATUS.SUCCESS
        text = "an indication is not one NBL with one NET_BUFFER and status SUCCESS"
        connection.require(is_form and extent.length > 0, "CHIM-31", self._miniport, text)
        receives.check_indication(extent)
        inbox.keep(subject, nbl, extent)
        verifier.give(nbl, subject.binding.protocol)
        client = subject.binding.chimney_handlers
        name = "ProtocolTcpOffloadReceiveIndicate"
        with self._entering(subject, name, f"{extent.length} bytes") as call:
            status, consumed = client.tcp_offload_receive_indicate(subject.handle, nbl)
            call.result = f"{status!s}, {consumed}"
        if status != NDIS_STATUS.SUCCESS:
            inbox.refused(subject, nbl)
            text = "a refused indication was changed, or returned"
            connection.require(extent.advanced(nbl) == 0, "CHIM-30", subject.binding.protocol, text)
        receives.answered(extent, status, consumed, posted)
        return status, consumed

    # -- completions of I/O --------------------------------------------------------------------------------

    def tcp_offload_send_complete(self, handle: object, chain: NetBufferList) -> None:
        """NdisTcpOffloadSendComplete."""
        with self._of(handle, "NdisTcpOffloadSendComplete", is_early=True) as (subject, connection):
            nbls = self._walk(connection, chain)
            connection.sends.complete(nbls)
            client = subject.binding.chimney_handlers
            with self._entering(subject, "ProtocolTcpOffloadSendComplete", f"{len(nbls)} NBLs"):
                client.tcp_offload_send_complete(subject.handle, chain)

    def tcp_offload_receive_complete(self, handle: object, chain: NetBufferList) -> None:
        """NdisTcpOffloadReceiveComplete."""
        name = "NdisTcpOffloadReceiveComplete"
        with self._of(handle, name) as (subject, connection), connection.receives.exclusive(name):
            nbls = self._walk(connection, chain)
            connection.receives.complete(nbls)
            client = subject.binding.chimney_handlers
            with self._entering(subject, "ProtocolTcpOffloadReceiveComplete", f"{len(nbls)} NBLs"):
                client.tcp_offload_receive_complete(subject.handle, chain)

    def tcp_offload_disconnect_complete(self, handle: object, nbl: NetBufferList) -> None:
        """NdisTcpOffloadDisconnectComplete."""
        with self._of(handle, "NdisTcpOffloadDisconnectComplete") as (subject, connection):
            connection.close.complete(nbl)
            client = subject.binding.chimney_handlers
            with self._entering(subject, "ProtocolTcpOffloadDisconnectComplete", str(nbl.status)):
                client.tcp_offload_disconnect_complete(subject.handle, nbl)

    def tcp_offload_forward_complete(self, handle: object, chain: NetBufferList) -> None:
        """NdisTcpOffloadForwardComplete."""
        with self._of(handle, "NdisTcpOffloadForwardComplete") as (subject, connection):
            nbls = self._walk(connection, chain)
            connection.close.complete_forward(nbls)
            client = subject.binding.chimney_handlers
            with self._entering(subject, "ProtocolTcpOffloadForwardComplete", f"{len(nbls)} NBLs"):
                client.tcp_offload_forward_complete(subject.handle, chain)

    def _walk(self, connection: Connection, chain: NetBufferList) -> list[NetBufferList]:
        nbls = self._verifier.walk(chain, self._miniport)
        connection.require(bool(nbls), "CHIM-22", self._miniport, "a completion without NET_BUFFER_LIST")
        return nbls

    # -- whose ---------------------------------------------------------------------------------------------

    @contextmanager
    def _of(
        self, handle: object, function: str, detail: str = "", is_early: bool = False
    ) -> Iterator[tuple[OffloadObject, Connection]]:
        with self._chimney.called_by_miniport(function, detail) as call:
            subject = self._chimney.find(handle, function)
            call.text = f"{function}({', '.join(filter(None, (str(subject), detail)))})"
            subject.remember(call)
            connection = subject.connection
            if connection is None:
                rule = "CHIM-40" if function == "NdisTcpOffloadEventHandler" else "CHIM-5"
                text = f"{function} for {subject}, which is no connection"
                raise self._verifier.breach(rule, self._miniport, text, subject.calls)
            if subject.phase is Phase.OFFLOADING and not is_early:
                connection.check_announced(function)
            yield subject, connection

    @contextmanager
    def _entering(self, subject: OffloadObject, function: str, detail: str) -> Iterator[Call]:
        protocol = subject.binding.protocol
        with self._verifier.entering(protocol, function, f"{subject}, {detail}") as call:
            subject.remember(call)
            yield call
