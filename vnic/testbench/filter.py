"""A filter between NDIS and a miniport: everything that passes either way goes through here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TypeVar

from vnic.host.cpu import Processors
from vnic.ndis.attributes import Attributes, HaltAction, PnpEvent, ShutdownAction
from vnic.ndis.chimney import ProviderCalls
from vnic.ndis.miniport import (
    DriverHandle,
    InitParameters,
    InterruptCharacteristics,
    InterruptHandle,
    InterruptResult,
    Miniport,
    MiniportHandle,
    ReceiveFlag,
    ResetResult,
    ReturnFlag,
    SendFlag,
    TimerHandle,
)
from vnic.ndis.net_buffer_list import NetBufferList, walk
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import PauseParameters, RestartParameters, StatusIndication
from vnic.ndis.verifier import Call, Verifier

T = TypeVar("T")


class Taker:
    """Who wants to keep some of what passes; each call answers what goes on. This one keeps nothing."""

    def on_sends(self, chain: NetBufferList) -> NetBufferList | None:
        """NBLs on their way to the driver."""
        return chain

    def on_completions(self, chain: NetBufferList | None) -> NetBufferList | None:
        """NBLs that the driver has sent."""
        return chain

    def on_indications(self, chain: NetBufferList | None, port: int) -> NetBufferList | None:
        """NBLs that the driver indicates, and does not need back when the call returns."""
        return chain

    def on_returns(self, chain: NetBufferList) -> NetBufferList | None:
        """Indicated NBLs on their way back to the driver."""
        return chain

    def takes_request(self, request: OidRequest) -> bool:
        """Whether an OID request is kept before the driver sees it."""
        return False

    def takes_answer(self, request: OidRequest, status: NDIS_STATUS) -> bool:
        """Whether an OID request is kept that the driver has completed."""
        return False

    def on_cancel_send(self, cancel_id: object) -> None:
        """Sends with this id are cancelled."""

    def on_cancel_request(self, request_id: int) -> bool:
        """An OID request is cancelled; whether it was one that is kept."""
        return False

    def on_paused(self) -> None:
        """The driver says that it is paused."""

    def on_reset(self) -> None:
        """NDIS resets the driver."""

    def on_halt(self) -> None:
        """The driver has halted."""


class Filter(Miniport):
    """The miniport that NDIS sees: the driver below it, and what a Taker makes of what passes."""

    def __init__(self, below: Miniport, verifier: Verifier) -> None:
        self.below = below
        self.verifier = verifier
        self.taker = Taker()
        self.ndis_version = below.ndis_version
        self._handle: FilterHandle | None = None

    @property
    def driver_name(self) -> str:
        """A breach is the driver's, not the filter's."""
        return type(self.below).__name__

    @property
    def handle(self) -> FilterHandle:
        """What the driver calls; there from its initialization on."""
        assert self._handle is not None
        return self._handle

    def entering(self, function: str, detail: str) -> AbstractContextManager[Call]:
        """A block in which the driver is called by the filter, as NDIS would."""
        return self.verifier.entering(self, function, detail)

    def require(self, condition: bool, rule_id: str, message: str) -> None:
        """The driver's breach of a rule, unless `condition` holds."""
        self.verifier.require(condition, rule_id, self, message)

    @property
    def dispatch_flag(self) -> int:
        """The DISPATCH_LEVEL flag for a call that is made now."""
        return self.verifier.dispatch_flag

    def set_options(self, handle: DriverHandle) -> NDIS_STATUS:
        """Passed on."""
        return self.below.set_options(handle)

    def driver_unload(self) -> None:
        """Passed on."""
        self.below.driver_unload()

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        """With a handle of the filter's own."""
        self._handle = FilterHandle(self, handle)
        return self.below.initialize_ex(self._handle, parameters)

    def halt_ex(self, action: HaltAction) -> None:
        """Passed on."""
        self.below.halt_ex(action)
        self.taker.on_halt()

    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        """Passed on; what is paused keeps nothing."""
        status = self.below.pause(parameters)
        if status != NDIS_STATUS.PENDING:
            self.taker.on_paused()
        return status

    def restart(self, parameters: RestartParameters) -> NDIS_STATUS:
        """Passed on."""
        return self.below.restart(parameters)

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        """What is not kept is passed on."""
        rest = self.taker.on_sends(chain)
        if rest is not None:
            self.below.send_net_buffer_lists(rest, port, flags)

    def cancel_send(self, cancel_id: object) -> None:
        """Of what is kept, and of what the driver has."""
        self.taker.on_cancel_send(cancel_id)
        self.below.cancel_send(cancel_id)

    def return_net_buffer_lists(self, chain: NetBufferList, flags: ReturnFlag) -> None:
        """What is not kept is passed on."""
        for nbl in walk(chain):
            nbl.source_handle = self.handle
        rest = self.taker.on_returns(chain)
        if rest is not None:
            self.below.return_net_buffer_lists(rest, flags)

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """PENDING where it is kept."""
        if self.taker.takes_request(request):
            return NDIS_STATUS.PENDING
        return self.ask(request)

    def ask(self, request: OidRequest) -> NDIS_STATUS:
        """The driver answers; PENDING where its answer is kept."""
        status = self.below.oid_request(request)
        is_kept = status != NDIS_STATUS.PENDING and self.taker.takes_answer(request, status)
        return NDIS_STATUS.PENDING if is_kept else status

    def cancel_oid_request(self, request_id: int) -> None:
        """Of what is kept, or what the driver has."""
        if not self.taker.on_cancel_request(request_id):
            self.below.cancel_oid_request(request_id)

    def check_for_hang_ex(self) -> bool:
        """Passed on."""
        return self.below.check_for_hang_ex()

    def reset_ex(self) -> ResetResult:
        """Passed on; what is reset keeps nothing."""
        self.taker.on_reset()
        result = self.below.reset_ex()
        if result.status != NDIS_STATUS.PENDING:
            self.taker.on_reset()
        return result

    def device_pnp_event_notify(self, event: PnpEvent) -> None:
        """Passed on."""
        self.below.device_pnp_event_notify(event)

    def shutdown_ex(self, action: ShutdownAction) -> None:
        """Passed on."""
        self.below.shutdown_ex(action)

    def interrupt(self, message_id: int) -> InterruptResult:
        """Passed on."""
        return self.below.interrupt(message_id)

    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        """Passed on."""
        self.below.interrupt_dpc(message_id, cpu, context)


class FilterHandle:
    """MiniportAdapterHandle of the driver below: NDIS's own, but for what passes through the filter."""

    def __init__(self, owner: Filter, above: MiniportHandle) -> None:
        self._filter = owner
        self.above = above

    @property
    def processors(self) -> Processors:
        """The host's processors."""
        return self.above.processors

    def now_ns(self) -> int:
        """NdisGetCurrentSystemTime."""
        return self.above.now_ns()

    def m_set_miniport_attributes(self, attributes: Attributes) -> NDIS_STATUS:
        """NdisMSetMiniportAttributes."""
        return self.above.m_set_miniport_attributes(attributes)

    def m_get_offload_handlers(self) -> ProviderCalls:
        """NdisMGetOffloadHandlers; the chimney passes the filter by."""
        return self.above.m_get_offload_handlers()

    def m_register_interrupt_ex(self, wanted: InterruptCharacteristics) -> InterruptHandle:
        """NdisMRegisterInterruptEx."""
        return self.above.m_register_interrupt_ex(wanted)

    def m_deregister_interrupt_ex(self, interrupt: InterruptHandle) -> None:
        """NdisMDeregisterInterruptEx."""
        self.above.m_deregister_interrupt_ex(interrupt)

    def m_queue_dpc_ex(
        self, interrupt: InterruptHandle, message_id: int, processors: frozenset[int], context: object = None
    ) -> frozenset[int]:
        """NdisMQueueDpcEx."""
        return self.above.m_queue_dpc_ex(interrupt, message_id, processors, context)

    def m_synchronize_with_interrupt_ex(
        self, interrupt: InterruptHandle, message_id: int, function: Callable[[], T]
    ) -> T:
        """NdisMSynchronizeWithInterruptEx."""
        return self.above.m_synchronize_with_interrupt_ex(interrupt, message_id, function)

    def m_send_net_buffer_lists_complete(self, chain: NetBufferList | None, flags: int = 0) -> None:
        """NdisMSendNetBufferListsComplete, of what is not kept."""
        rest = self._filter.taker.on_completions(chain)
        if rest is not None or chain is None:
            self.above.m_send_net_buffer_lists_complete(rest, flags)

    def m_indicate_receive_net_buffer_lists(
        self, chain: NetBufferList | None, port: int, count: int, flags: int = 0
    ) -> None:
        """NdisMIndicateReceiveNetBufferLists, of what is not kept; what is lent (RESOURCES) cannot be."""
        nbls = list(walk(chain))
        if count != len(nbls) or flags & ReceiveFlag.RESOURCES:
            self.pass_up(chain, port, count, flags)
            return
        rest = self._filter.taker.on_indications(chain, port)
        if rest is not None or chain is None:
            self.pass_up(rest, port, len(list(walk(rest))), flags)

    def pass_up(self, chain: NetBufferList | None, port: int, count: int, flags: int) -> None:
        """With NDIS's handle as the source; those that were lent get the driver's back."""
        nbls = list(walk(chain))
        own = [nbl for nbl in nbls if nbl.source_handle is self]
        for nbl in own:
            nbl.source_handle = self.above
        self.above.m_indicate_receive_net_buffer_lists(chain, port, count, flags)
        if flags & ReceiveFlag.RESOURCES:
            for nbl in own:
                nbl.source_handle = self

    def m_indicate_status_ex(self, indication: StatusIndication) -> None:
        """NdisMIndicateStatusEx."""
        if indication.source_handle is self:
            indication = replace(indication, source_handle=self.above)
        self.above.m_indicate_status_ex(indication)

    def m_oid_request_complete(self, request: OidRequest, status: NDIS_STATUS) -> None:
        """NdisMOidRequestComplete, unless it is kept."""
        if not self._filter.taker.takes_answer(request, status):
            self.above.m_oid_request_complete(request, status)

    def m_reset_complete(self, status: NDIS_STATUS, addressing_reset: bool) -> None:
        """NdisMResetComplete."""
        self._filter.taker.on_reset()
        self.above.m_reset_complete(status, addressing_reset)

    def m_pause_complete(self) -> None:
        """NdisMPauseComplete."""
        self._filter.taker.on_paused()
        self.above.m_pause_complete()

    def m_restart_complete(self, status: NDIS_STATUS) -> None:
        """NdisMRestartComplete."""
        self.above.m_restart_complete(status)

    def m_allocate_timer(self, function: Callable[[], None]) -> TimerHandle:
        """NdisAllocateTimerObject."""
        return self.above.m_allocate_timer(function)

    def m_queue_work_item(self, routine: Callable[[], None]) -> None:
        """NdisQueueIoWorkItem."""
        self.above.m_queue_work_item(routine)

    def m_sleep(self, microseconds: int) -> None:
        """NdisMSleep."""
        self.above.m_sleep(microseconds)

    def m_remove_miniport(self) -> None:
        """NdisMRemoveMiniport."""
        self.above.m_remove_miniport()

    def m_reset_miniport(self) -> None:
        """NdisMResetMiniport."""
        self.above.m_reset_miniport()
