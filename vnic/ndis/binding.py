"""One protocol bound to one adapter: its state, its packet filter, and the NdisXxx functions it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic.ndis.chimney import ClientCalls, ClientChimney
from vnic.ndis.miniport import ReceiveFlag, SendCompleteFlag
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oid import filter_accepts
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.protocol import BindingHandle, BindParameters, NetEvent, Protocol
from vnic.ndis.send_path import offload_faults
from vnic.ndis.states import BindingState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StatusIndication

if TYPE_CHECKING:
    from vnic.ndis.adapter import Adapter


class Binding(BindingHandle):
    """NdisBindingHandle, given to the protocol in bind_adapter_ex."""

    def __init__(self, adapter: Adapter, protocol: Protocol) -> None:
        self.adapter = adapter
        self.protocol = protocol
        self.state = BindingState.OPENING
        self.packet_filter = 0
        self.multicast: frozenset[bytes] = frozenset()
        self._verifier = adapter.verifier
        self._event_status: NDIS_STATUS | None = None
        self.client_handlers = protocol.client_chimney()

    @property
    def chimney_handlers(self) -> ClientChimney:
        """The protocol's chimney entry points; there when it has offloaded anything."""
        assert self.client_handlers is not None
        return self.client_handlers

    @property
    def chimney(self) -> ClientCalls | None:
        """The NdisXxx chimney functions, None where either side has no chimney."""
        return self.adapter.chimney.client_of(self)

    @property
    def driver(self) -> object:
        """The protocol driver, as owner of NBLs."""
        return self.protocol

    # -- called by the protocol ----------------------------------------------------------------------------

    def send_net_buffer_lists(self, chain: NetBufferList, port: int = 0) -> None:
        """NdisSendNetBufferLists."""
        with self._verifier.called(self.protocol, "NdisSendNetBufferLists"):
            text = f"a send on a binding that is {self.state.value}"
            self._verifier.require(self.state is BindingState.RUNNING, "PSEND-2", self.protocol, text)
            for nbl in self._verifier.walk(chain, self.protocol):
                self._check_send(nbl)
            self.adapter.sends.submit(self, chain, port)

    def _check_send(self, nbl: NetBufferList) -> None:
        require = self._verifier.require
        require(nbl.source_handle is self, "PSEND-3", self.protocol, f"SourceHandle is {nbl.source_handle!r}")
        config = self.adapter.sends.offload
        if config is not None:
            faults = offload_faults(nbl, config)
            require(not faults, "PSEND-4", self.protocol, ", ".join(faults))

    def cancel_send_net_buffer_lists(self, cancel_id: object) -> None:
        """NdisCancelSendNetBufferLists."""
        with self._verifier.called(self.protocol, "NdisCancelSendNetBufferLists", repr(cancel_id)):
            self.adapter.sends.cancel(cancel_id)

    def return_net_buffer_lists(self, chain: NetBufferList) -> None:
        """NdisReturnNetBufferLists."""
        with self._verifier.called(self.protocol, "NdisReturnNetBufferLists"):
            self.adapter.receives.give_back(self, chain)

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """NdisOidRequest."""
        with self._verifier.called(self.protocol, "NdisOidRequest", str(request)) as call:
            is_free = request.source_handle is None
            self._verifier.require(is_free, "POID-1", self.protocol, f"{request} is still in use")
            request.source_handle = self
            status = self.adapter.request_oid(self, request, lambda final: self._on_oid(request, final))
            if status != NDIS_STATUS.PENDING:
                request.source_handle, request.status = None, status
            call.result = str(status)
            return status

    def _on_oid(self, request: OidRequest, status: NDIS_STATUS) -> None:
        request.source_handle, request.status = None, status
        with self._verifier.entering(self.protocol, "ProtocolOidRequestComplete", f"{request}, {status!s}"):
            self.protocol.oid_request_complete(self, request, status)

    def cancel_oid_request(self, request_id: int) -> None:
        """NdisCancelOidRequest."""
        with self._verifier.called(self.protocol, "NdisCancelOidRequest", str(request_id)):
            self.adapter.oids.queue.cancel(self, request_id)

    def complete_net_pnp_event(self, event: NetEvent, status: NDIS_STATUS) -> None:
        """NdisCompleteNetPnPEvent."""
        with self._verifier.called(self.protocol, "NdisCompleteNetPnPEvent", event.name):
            self._event_status = status

    def close(self) -> None:
        """NdisCloseAdapterEx."""
        with self._verifier.called(self.protocol, "NdisCloseAdapterEx"):
            self._check_nothing_outstanding()
            self.state = BindingState.CLOSED

    def _check_nothing_outstanding(self) -> None:
        adapter = self.adapter
        left = {
            "sends": adapter.sends.outstanding(self),
            "received NBLs": adapter.receives.outstanding(self),
            "OID requests": adapter.oids.queue.outstanding(self),
        }
        text = ", ".join(f"{count} {what} outstanding" for what, count in left.items() if count)
        self._verifier.require(not text, "PNP-2", self.protocol, text)
        adapter.chimney.check_uploaded(self, "NdisCloseAdapterEx")
        adapter.chimney.check_returned(self)

    # -- called by NDIS ------------------------------------------------------------------------------------

    def open(self, parameters: BindParameters) -> NDIS_STATUS:
        """ProtocolBindAdapterEx; the binding is Paused when it succeeds."""
        with self._verifier.entering(self.protocol, "ProtocolBindAdapterEx", parameters.adapter_name) as call:
            status = self.protocol.bind_adapter_ex(self, parameters)
            call.result = str(status)
        if status == NDIS_STATUS.SUCCESS:
            self.state = BindingState.PAUSED
        return status

    def unbind(self) -> None:
        """ProtocolUnbindAdapterEx; the protocol has closed the binding when it returns."""
        with self._verifier.entering(self.protocol, "ProtocolUnbindAdapterEx"):
            self.protocol.unbind_adapter_ex(self)
        is_closed = self.state is BindingState.CLOSED
        self._verifier.require(is_closed, "PNP-2", self.protocol, "the binding was not closed")

    def pause(self) -> None:
        """NetEventPause, to its end: the protocol has all of its sends back."""
        self.state = BindingState.PAUSING
        self.notify(NetEvent.PAUSE)
        sends = self.adapter.sends.outstanding(self)
        self._verifier.require(sends == 0, "PNP-1", self.protocol, f"{sends} sends outstanding")
        self.adapter.chimney.check_uploaded(self, "NetEventPause is complete")
        self.state = BindingState.PAUSED

    def restart(self) -> None:
        """NetEventRestart."""
        self.state = BindingState.RUNNING
        self.notify(NetEvent.RESTART)

    def notify(self, event: NetEvent, data: object = None) -> NDIS_STATUS:
        """ProtocolNetPnPEvent, waiting for a pending one."""
        self._event_status = None
        with self._verifier.entering(self.protocol, "ProtocolNetPnPEvent", event.name) as call:
            status = self.protocol.net_pnp_event(self, event, data)
            call.result = str(status)
        if status != NDIS_STATUS.PENDING:
            return status
        self.adapter.wait_until(
            lambda: self._event_status is not None, self.protocol, f"NetEvent {event.name}"
        )
        return self._event_outcome()

    def _event_outcome(self) -> NDIS_STATUS:
        return NDIS_STATUS.PENDING if self._event_status is None else self._event_status

    def accepts(self, destination: bytes) -> bool:
        """Whether this binding's own packet filter wants the frame; a closed one wants nothing."""
        if self.state in (BindingState.OPENING, BindingState.CLOSED):
            return False
        station = self.adapter.oids.filter.station
        return filter_accepts(self.packet_filter, destination, station, self.multicast)

    def deliver(self, chain: NetBufferList, port: int, count: int, flags: ReceiveFlag) -> None:
        """ProtocolReceiveNetBufferLists."""
        with self._verifier.entering(
            self.protocol, "ProtocolReceiveNetBufferLists", f"{count} NBLs, {flags!r}"
        ):
            self.protocol.receive_net_buffer_lists(self, chain, port, count, flags)

    def on_sends_complete(self, chain: NetBufferList, flags: SendCompleteFlag) -> None:
        """ProtocolSendNetBufferListsComplete."""
        with self._verifier.entering(self.protocol, "ProtocolSendNetBufferListsComplete"):
            self.protocol.send_net_buffer_lists_complete(self, chain, flags)

    def indicate_status(self, indication: StatusIndication) -> None:
        """ProtocolStatusEx."""
        if self.state in (BindingState.OPENING, BindingState.CLOSED):
            return
        with self._verifier.entering(self.protocol, "ProtocolStatusEx", f"0x{indication.status:08X}"):
            self.protocol.status_ex(self, indication)
