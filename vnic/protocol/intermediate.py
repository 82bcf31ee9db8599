"""An intermediate driver: a protocol to the adapter below, and a miniport to whoever is above."""

from __future__ import annotations

import itertools

from vnic.ndis.attributes import (
    AttributeFlag,
    GeneralAttributes,
    HaltAction,
    OffloadAttributes,
    PnpEvent,
    RegistrationAttributes,
    ShutdownAction,
)
from vnic.ndis.chimney import ClientCalls, ClientChimney, ProviderCalls
from vnic.ndis.miniport import (
    DriverHandle,
    InitParameters,
    InterruptResult,
    Miniport,
    MiniportHandle,
    NdisFailure,
    ReceiveFlag,
    ResetResult,
    ReturnFlag,
    SendCompleteFlag,
    SendFlag,
)
from vnic.ndis.net_buffer_list import NetBuffer, NetBufferList, link, walk
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import OidRequest, query
from vnic.ndis.oob import Slot
from vnic.ndis.protocol import BindingHandle, BindParameters, NetEvent, Protocol
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import LinkState, PauseParameters, RestartParameters, StatusIndication
from vnic.protocol.intermediate_chimney import ChimneyDown, ChimneyUp, Conversion

_SUCCESS = NDIS_STATUS.SUCCESS
_OFFLOAD_STATUSES = (NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.UPLOAD_ALL, NDIS_STATUS.OFFLOAD_RESUME)
#: Power of the virtual adapter itself.
OWN_OIDS = (OID.PNP_SET_POWER, OID.PNP_QUERY_POWER)
_LIST_BYTES = 4096


class IntermediateDriver(Miniport, Protocol):
    """Passes everything through, frames by reference.

    has_chimney: of NDIS 6, with chimney handlers on both edges; else as a driver of NDIS 5.1, which has none,
    so that NDIS offers no chimney above it.
    """

    def __init__(self, *, has_chimney: bool = True) -> None:
        self.has_chimney = has_chimney
        self.received = 0
        self.sent = 0
        self._binding: BindingHandle | None = None
        self._parameters: BindParameters | None = None
        self._virtual: MiniportHandle | None = None
        self._calls: ProviderCalls | None = None
        self._conversion = Conversion()
        self._is_running = False
        self._is_lower_running = False
        self._must_report_pause = False
        self._is_pause_pending = False
        self._sending = 0
        self._requests: dict[int, OidRequest] = {}

    @property
    def below(self) -> ClientCalls:
        """The chimney of the adapter below."""
        assert self._binding is not None and self._binding.chimney is not None
        return self._binding.chimney

    @property
    def above(self) -> ProviderCalls:
        """NDIS's chimney functions of the virtual adapter."""
        assert self._calls is not None
        return self._calls

    @property
    def binding(self) -> BindingHandle:
        """The lower binding."""
        assert self._binding is not None
        return self._binding

    # -- protocol edge: binding ------------------------------------------------------------------------------

    def client_chimney(self) -> ClientChimney | None:
        """Handlers of the protocol edge."""
        return ChimneyUp(self, self._conversion) if self.has_chimney else None

    def bind_adapter_ex(self, binding: BindingHandle, parameters: BindParameters) -> NDIS_STATUS:
        """ProtocolBindAdapterEx."""
        self._binding, self._parameters = binding, parameters
        return _SUCCESS

    def unbind_adapter_ex(self, binding: BindingHandle) -> NDIS_STATUS:
        """ProtocolUnbindAdapterEx: the virtual adapter was halted before."""
        self._binding = None
        binding.close()
        return _SUCCESS

    def net_pnp_event(self, binding: BindingHandle, event: NetEvent, data: object) -> NDIS_STATUS:
        """ProtocolNetPnPEvent: a pause lasts until all sends are back."""
        if event is NetEvent.PAUSE:
            self._is_lower_running = False
            self._must_report_pause = self._sending > 0
            return NDIS_STATUS.PENDING if self._must_report_pause else _SUCCESS
        if event is NetEvent.RESTART:
            self._is_lower_running = True
        return _SUCCESS

    def status_ex(self, binding: BindingHandle, indication: StatusIndication) -> None:
        """ProtocolStatusEx: to whoever is above; the chimney's only where that has one."""
        is_foreign = indication.status in _OFFLOAD_STATUSES and not self.has_chimney
        if self._virtual is not None and not is_foreign:
            self._virtual.m_indicate_status_ex(StatusIndication(indication.status, indication.buffer))

    # -- protocol edge: data ---------------------------------------------------------------------------------

    def receive_net_buffer_lists(
        self, binding: BindingHandle, chain: NetBufferList, port: int, count: int, flags: ReceiveFlag
    ) -> None:
        """ProtocolReceiveNetBufferLists: clones go up."""
        if not self._is_running or self._virtual is None:
            if not flags & ReceiveFlag.RESOURCES:
                binding.return_net_buffer_lists(chain)
            return
        clones = []
        for nbl in walk(chain):
            clones.append(clone(nbl, self._virtual))
            clones[-1].miniport_reserved = nbl
        self.received += len(clones)
        self._virtual.m_indicate_receive_net_buffer_lists(link(clones), port, len(clones), int(flags))

    def send_net_buffer_lists_complete(
        self, binding: BindingHandle, chain: NetBufferList, flags: SendCompleteFlag
    ) -> None:
        """ProtocolSendNetBufferListsComplete: the originals go back up."""
        done = []
        for clone in walk(chain):
            original = clone.protocol_reserved
            assert isinstance(original, NetBufferList)
            original.status = clone.status
            original.set_info(Slot.TCP_LARGE_SEND, clone.info(Slot.TCP_LARGE_SEND))
            done.append(original)
        self._sending -= len(done)
        if self._virtual is not None:
            self._virtual.m_send_net_buffer_lists_complete(link(done), int(flags))
        self._look_for_pauses()

    def _look_for_pauses(self) -> None:
        if self._sending:
            return
        if self._is_pause_pending and self._virtual is not None:
            self._is_pause_pending = False
            self._virtual.m_pause_complete()
        if self._must_report_pause:
            self._must_report_pause = False
            self.binding.complete_net_pnp_event(NetEvent.PAUSE, _SUCCESS)

    def oid_request_complete(self, binding: BindingHandle, request: OidRequest, status: NDIS_STATUS) -> None:
        """ProtocolOidRequestComplete: the answer to the request from above."""
        original = self._requests.pop(id(request))
        answer(original, request)
        if self._virtual is not None:
            self._virtual.m_oid_request_complete(original, status)

    # -- miniport edge: life ---------------------------------------------------------------------------------

    def set_options(self, handle: DriverHandle) -> NDIS_STATUS:
        """MiniportSetOptions: the chimney handlers, where there are any."""
        if not self.has_chimney:
            return _SUCCESS
        return handle.m_set_optional_handlers(ChimneyDown(self, self._conversion))

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        """MiniportInitializeEx: the virtual adapter is what the one below is."""
        lower = self._parameters
        if lower is None or self._binding is None:
            return NDIS_STATUS.ADAPTER_NOT_READY
        handle.m_set_miniport_attributes(RegistrationAttributes(self, AttributeFlag.NDIS_WDM))
        handle.m_set_miniport_attributes(general(lower, lower.link_state, self._supported_oids()))
        offload = lower.offload_config
        if offload is not None:
            connections = lower.connection_offload_config if self.has_chimney else None
            handle.m_set_miniport_attributes(OffloadAttributes(offload, offload, connections, connections))
        if self.has_chimney:
            try:
                self._calls = handle.m_get_offload_handlers()
            except NdisFailure as error:
                return error.status
        self._virtual = handle
        return _SUCCESS

    def _supported_oids(self) -> tuple[int, ...]:
        request = query(OID.GEN_SUPPORTED_LIST, _LIST_BYTES)
        if self.binding.oid_request(request) != _SUCCESS:
            return ()
        data = request.data
        return tuple(int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4))

    def halt_ex(self, action: HaltAction) -> None:
        """MiniportHaltEx."""
        self._virtual = self._calls = None

    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        """MiniportPause: PENDING until what was sent is back."""
        self._is_running = False
        self._is_pause_pending = self._sending > 0
        return NDIS_STATUS.PENDING if self._is_pause_pending else _SUCCESS

    def restart(self, parameters: RestartParameters) -> NDIS_STATUS:
        """MiniportRestart."""
        self._is_running = True
        return _SUCCESS

    def shutdown_ex(self, action: ShutdownAction) -> None:
        """MiniportShutdownEx: there is no device."""

    def check_for_hang_ex(self) -> bool:
        """MiniportCheckForHangEx."""
        return False

    def reset_ex(self) -> ResetResult:
        """MiniportResetEx."""
        return ResetResult(_SUCCESS)

    def device_pnp_event_notify(self, event: PnpEvent) -> None:
        """MiniportDevicePnPEventNotify."""

    def interrupt(self, message_id: int) -> InterruptResult:
        """There is no interrupt."""
        return InterruptResult(False)

    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        """There is no interrupt."""

    # -- miniport edge: data ---------------------------------------------------------------------------------

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        """MiniportSendNetBufferLists: clones go down, while the adapter below runs."""
        nbls = list(walk(chain))
        if not self._is_lower_running or self._binding is None:
            for nbl in nbls:
                nbl.status = NDIS_STATUS.PAUSED
            assert self._virtual is not None
            self._virtual.m_send_net_buffer_lists_complete(link(nbls))
            return
        clones = []
        for nbl in nbls:
            clones.append(clone(nbl, self._binding))
            clones[-1].protocol_reserved = nbl
        self.sent += len(clones)
        self._sending += len(clones)
        head = link(clones)
        assert head is not None
        self._binding.send_net_buffer_lists(head, port)

    def cancel_send(self, cancel_id: object) -> None:
        """MiniportCancelSend."""
        self.binding.cancel_send_net_buffer_lists(cancel_id)

    def return_net_buffer_lists(self, chain: NetBufferList, flags: ReturnFlag) -> None:
        """MiniportReturnNetBufferLists: the originals go back down."""
        originals = []
        for clone in walk(chain):
            original = clone.miniport_reserved
            assert isinstance(original, NetBufferList)
            originals.append(original)
        head = link(originals)
        if head is not None:
            self.binding.return_net_buffer_lists(head)

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """MiniportOidRequest: asked below; power is the driver's own affair."""
        if request.oid in OWN_OIDS:
            request.bytes_read = request.buffer_length
            return _SUCCESS
        if request.oid == OID.TCP_TASK_OFFLOAD and not self.has_chimney:
            return NDIS_STATUS.NOT_SUPPORTED
        below = OidRequest(request.type, request.oid, bytearray(request.buffer), port=request.port)
        self._requests[id(below)] = request
        status = self.binding.oid_request(below)
        if status != NDIS_STATUS.PENDING:
            del self._requests[id(below)]
            answer(request, below)
        return status

    def cancel_oid_request(self, request_id: int) -> None:
        """MiniportCancelOidRequest: the adapter below answers soon."""


def clone(nbl: NetBufferList, source: object) -> NetBufferList:
    """NdisAllocateCloneNetBufferList: the same memory, and the same out-of-band information."""
    buffers = [NetBuffer(each.mdl_chain, each.data_offset, each.data_length) for each in nbl.net_buffers()]
    for buffer, following in itertools.pairwise(buffers):
        buffer.next = following
    made = NetBufferList(buffers[0] if buffers else None, source)
    for slot in Slot:
        made.set_info(slot, nbl.info(slot))
    made.flags, made.cancel_id = nbl.flags, nbl.cancel_id
    return made


def answer(original: OidRequest, below: OidRequest) -> None:
    """What the adapter below said, for whoever asked above."""
    original.buffer[: len(below.buffer)] = below.buffer
    original.bytes_written, original.bytes_read = below.bytes_written, below.bytes_read
    original.bytes_needed = below.bytes_needed


def general(lower: BindParameters, link_state: LinkState, oids: tuple[int, ...]) -> GeneralAttributes:
    """The attributes of a virtual adapter over one, or several, with these parameters and this link."""
    return GeneralAttributes(
        lower.current_mac_address,
        lower.current_mac_address,
        lower.mtu_size,
        link_speed_bps=link_state.xmit_speed_bps,
        connect_state=link_state.connect,
        max_multicast_list_size=lower.max_multicast_list_size,
        supported_oids=oids,
        receive_scale=lower.receive_scale,
        data_backfill=lower.data_backfill,
    )
