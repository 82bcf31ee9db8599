"""The chimney functions that a protocol calls, for one binding: checked, then on to the miniport."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vnic.ndis.chimney import (
    NDIS_OFFLOAD_HANDLE,
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST,
    ClientCalls,
    TcpDisconnectFlag,
)
from vnic.ndis.chimney_connection import Connection
from vnic.ndis.chimney_objects import OffloadObject
from vnic.ndis.chimney_operation import Request
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.states import BindingState
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.ndis.binding import Binding
    from vnic.ndis.chimney_layer import Chimney


class ChimneyClient(ClientCalls):
    """BindingHandle.chimney."""

    def __init__(self, chimney: Chimney, binding: Binding) -> None:
        self._chimney = chimney
        self._binding = binding
        self._verifier = chimney.verifier

    # -- control -------------------------------------------------------------------------------------------

    def initiate_offload(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisInitiateOffload."""
        self._control(Request.INITIATE, block)

    def terminate_offload(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisTerminateOffload."""
        self._control(Request.TERMINATE, block)

    def update_offload(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisUpdateOffload."""
        self._control(Request.UPDATE, block)

    def invalidate_offload(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisInvalidateOffload."""
        self._control(Request.INVALIDATE, block)

    def query_offload_state(self, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        """NdisQueryOffloadState."""
        self._control(Request.QUERY, block)

    def _control(self, request: Request, block: NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) -> None:
        chimney, binding = self._chimney, self._binding
        paused = chimney.statuses.may_not_initiate()
        with self._verifier.called(binding.protocol, request.from_protocol) as call:
            is_open = binding.state not in (BindingState.OPENING, BindingState.CLOSED)
            self._require(is_open, "CHIM-9", f"{call.text} on a binding that is {binding.state.value}")
            if request is Request.INITIATE:
                is_running = binding.state is BindingState.RUNNING
                text = f"an initiate on a binding that is {binding.state.value}"
                self._require(is_running, "CHIM-9", text)
                self._require(not paused, "INV-41", f"an initiate after {paused}")
            chimney.control.submit(binding, request, block, call)

    def _require(self, condition: bool, rule_id: str, message: str) -> None:
        self._verifier.require(condition, rule_id, self._binding.protocol, message)

    # -- I/O -----------------------------------------------------------------------------------------------

    def offload_tcp_send(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        """NdisOffloadTcpSend."""
        with self._io(handle, "NdisOffloadTcpSend") as (subject, connection):
            connection.close.check_may_send()
            connection.sends.post(self._walk(connection, chain))
            send = self._chimney.provider_handlers.tcp_offload_send
            return self._pass(subject, "MiniportTcpOffloadSend", lambda context: send(context, chain))

    def offload_tcp_receive(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        """NdisOffloadTcpReceive."""
        with self._io(handle, "NdisOffloadTcpReceive") as (subject, connection):
            posts = connection.receives.post(self._walk(connection, chain))
            receive = self._chimney.provider_handlers.tcp_offload_receive

            def call(context: object) -> NDIS_STATUS:
                connection.receives.reached_target(posts)
                return receive(context, chain)

            status = self._pass(subject, "MiniportTcpOffloadReceive", call)
            for post in posts:
                post.is_returned = True
            return status

    def offload_tcp_disconnect(
        self, handle: NDIS_OFFLOAD_HANDLE, nbl: NetBufferList, flags: TcpDisconnectFlag
    ) -> NDIS_STATUS:
        """NdisOffloadTcpDisconnect."""
        with self._io(handle, "NdisOffloadTcpDisconnect") as (subject, connection):
            connection.close.disconnect(nbl, flags)
            disconnect = self._chimney.provider_handlers.tcp_offload_disconnect
            return self._pass(
                subject, "MiniportTcpOffloadDisconnect", lambda context: disconnect(context, nbl, flags)
            )

    def offload_tcp_forward(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        """NdisOffloadTcpForward."""
        with self._io(handle, "NdisOffloadTcpForward") as (subject, connection):
            connection.close.forward(self._walk(connection, chain))
            forward = self._chimney.provider_handlers.tcp_offload_forward
            return self._pass(subject, "MiniportTcpOffloadForward", lambda context: forward(context, chain))

    def offload_tcp_receive_return(self, handle: NDIS_OFFLOAD_HANDLE, chain: NetBufferList) -> NDIS_STATUS:
        """NdisOffloadTcpReceiveReturn; the connection may be terminated by now."""
        chimney, binding = self._chimney, self._binding
        with self._verifier.called(binding.protocol, "NdisOffloadTcpReceiveReturn"):
            nbls = self._verifier.walk(chain, binding.protocol)
            held = chimney.inbox.give_back(binding, handle, nbls)
            if not held:
                return NDIS_STATUS.SUCCESS
            give_back = chimney.provider_handlers.tcp_offload_receive_return
            context = held[0].context
            name = "MiniportTcpOffloadReceiveReturn"
            with self._verifier.entering(chimney.miniport, name, str(held[0].subject)) as call:
                status = give_back(context, chain)
                call.result = str(status)
            self._check_status(name, status, NDIS_STATUS.SUCCESS)
            return status

    def _walk(self, connection: Connection, chain: NetBufferList) -> list[NetBufferList]:
        nbls = self._verifier.walk(chain, self._binding.protocol)
        connection.require(bool(nbls), "CHIM-24", self._binding.protocol, "a request without NET_BUFFER_LIST")
        return nbls

    @contextmanager
    def _io(self, handle: NDIS_OFFLOAD_HANDLE, function: str) -> Iterator[tuple[OffloadObject, Connection]]:
        binding = self._binding
        with self._verifier.called(binding.protocol, function) as call:
            subject = self._chimney.control.find(binding, handle)
            if subject is None or subject.connection is None:
                text = f"{function} with a handle of no offloaded connection"
                raise self._verifier.breach("CHIM-3", binding.protocol, text)
            call.text = f"{function}({subject})"
            subject.remember(call)
            connection = subject.connection
            text = f"{function} while it is {subject.phase.value}"
            connection.require(subject.is_usable, "CHIM-6", binding.protocol, text)
            with connection.serialized(function):
                yield subject, connection

    def _pass(
        self, subject: OffloadObject, function: str, call: Callable[[object], NDIS_STATUS]
    ) -> NDIS_STATUS:
        context = subject.handle.MiniportOffloadContext.value
        with self._verifier.entering(self._chimney.miniport, function, str(subject)) as entry:
            subject.remember(entry)
            status = call(context)
            entry.result = str(status)
        self._check_status(function, status, NDIS_STATUS.PENDING)
        return status

    def _check_status(self, function: str, status: NDIS_STATUS, wanted: NDIS_STATUS) -> None:
        text = f"{function} returned {status!r}"
        self._verifier.require(status == wanted, "CHIM-21", self._chimney.miniport, text)
