"""The entry points of the TCP/IP driver's chimney: each finds the object, and notes what it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic.ndis.chimney import (
    INDICATE_OFFLOAD_EVENT,
    NDIS_OFFLOAD_HANDLE,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    TCP_OFFLOAD_EVENT_TYPE,
    TCP_UPLOAD_REASON,
    ClientChimney,
)
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.protocol import BindingHandle
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.chimney_connection import Connection
from vnic.protocol.chimney_objects import Owned
from vnic.protocol.journal import Cause, Happening

if TYPE_CHECKING:
    from vnic.protocol.chimney import Chimney

_Block = NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
_CAUSES = {
    TCP_UPLOAD_REASON.LOW_ACTIVITY: Cause.LOW_ACTIVITY,
    TCP_UPLOAD_REASON.HIGH_DROP_RATE: Cause.HIGH_DROP_RATE,
    TCP_UPLOAD_REASON.SMALL_IO: Cause.TARGET_SMALL_IO,
    TCP_UPLOAD_REASON.NO_BUFFER_PREPOSTING: Cause.NO_BUFFER_PREPOSTING,
    TCP_UPLOAD_REASON.RECEIVED_URGENT_DATA: Cause.RECEIVED_URGENT_DATA,
    TCP_UPLOAD_REASON.HIGH_FRAGMENTATION: Cause.HIGH_FRAGMENTATION,
    TCP_UPLOAD_REASON.HIGH_OUT_OF_ORDER_PACKETS: Cause.HIGH_OUT_OF_ORDER_PACKETS,
    TCP_UPLOAD_REASON.TIMEOUT_EXPIRATION: Cause.TIMEOUT_EXPIRATION,
    TCP_UPLOAD_REASON.INVALID_STATE: Cause.INVALID_STATE,
    TCP_UPLOAD_REASON.UPLOAD_REQUESTED: Cause.UPLOAD_REQUESTED,
    TCP_UPLOAD_REASON.HARDWARE_FAILURE: Cause.HARDWARE_FAILURE,
}


class ChimneyEvents(ClientChimney):
    """NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_ and _TCP_CHARACTERISTICS of the host."""

    def __init__(self, chimney: Chimney) -> None:
        self._chimney = chimney

    # -- operations ------------------------------------------------------------------------------------------

    def initiate_offload_complete(self, binding: BindingHandle, block: _Block) -> None:
        """ProtocolInitiateOffloadComplete."""
        self._chimney.targets[id(binding)].on_initiated(block)

    def terminate_offload_complete(self, binding: BindingHandle, block: _Block) -> None:
        """ProtocolTerminateOffloadComplete."""
        self._chimney.targets[id(binding)].on_terminated(block)

    def update_offload_complete(self, binding: BindingHandle, block: _Block) -> None:
        """ProtocolUpdateOffloadComplete."""
        self._chimney.targets[id(binding)].on_updated(block)

    def invalidate_offload_complete(self, binding: BindingHandle, block: _Block) -> None:
        """ProtocolInvalidateOffloadComplete."""
        self._chimney.targets[id(binding)].on_invalidated(block)

    def query_offload_complete(self, binding: BindingHandle, block: _Block) -> None:
        """ProtocolQueryOffloadComplete."""
        self._chimney.targets[id(binding)].on_queried(block)

    # -- indications -----------------------------------------------------------------------------------------

    def indicate_offload_event(
        self, binding: BindingHandle, block: _Block | None, event: INDICATE_OFFLOAD_EVENT
    ) -> None:
        """ProtocolIndicateOffloadEvent."""
        self._chimney.targets[id(binding)].on_event(block, event)

    def tcp_offload_event(
        self, handle: NDIS_OFFLOAD_HANDLE, event: TCP_OFFLOAD_EVENT_TYPE, info: int
    ) -> None:
        """ProtocolTcpOffloadEventIndicate."""
        connection = _connection(handle)
        if event is TCP_OFFLOAD_EVENT_TYPE.DISCONNECT:
            connection.on_fin()
        elif event is TCP_OFFLOAD_EVENT_TYPE.ABORT:
            connection.on_abort()
        elif event is TCP_OFFLOAD_EVENT_TYPE.RETRIEVE:
            self._on_retrieve(connection, TCP_UPLOAD_REASON(info))
        connection.target.wake(connection)

    def _on_retrieve(self, connection: Connection, reason: TCP_UPLOAD_REASON) -> None:
        if reason is TCP_UPLOAD_REASON.HARDWARE_FAILURE:
            connection.on_hardware_failure()
        if reason.is_mandatory or self._chimney.options.policy.heeds(reason):
            connection.ask_back(_CAUSES[reason])
        else:
            self._chimney.journal.note(Happening.IGNORED, str(connection), str(_CAUSES[reason]))

    def tcp_offload_receive_indicate(
        self, handle: NDIS_OFFLOAD_HANDLE, nbl: NetBufferList
    ) -> tuple[NDIS_STATUS, int]:
        """ProtocolTcpOffloadReceiveIndicate."""
        connection = _connection(handle)
        self._chimney.stir()
        answer = connection.receive.on_indicate(nbl)
        connection.target.wake(connection)
        return answer

    # -- completions -----------------------------------------------------------------------------------------

    def tcp_offload_send_complete(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadSendComplete."""
        connection = _connection(handle)
        self._chimney.stir()
        connection.send.on_complete(chain)
        connection.target.wake(connection)

    def tcp_offload_receive_complete(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadReceiveComplete."""
        connection = _connection(handle)
        self._chimney.stir()
        connection.receive.on_complete(chain)
        connection.target.wake(connection)

    def tcp_offload_disconnect_complete(self, handle: NDIS_OFFLOAD_HANDLE, nbl: NetBufferList) -> None:
        """ProtocolTcpOffloadDisconnectComplete."""
        connection = _connection(handle)
        connection.on_disconnected(nbl)
        connection.target.wake(connection)

    def tcp_offload_forward_complete(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> None:
        """ProtocolTcpOffloadForwardComplete."""
        connection = _connection(handle)
        connection.on_forwarded(chain)
        connection.target.wake(connection)


def _connection(handle: NDIS_OFFLOAD_HANDLE) -> Connection:
    assert isinstance(handle, Owned) and isinstance(handle.owner, Connection)
    return handle.owner
