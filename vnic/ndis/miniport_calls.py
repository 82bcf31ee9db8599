"""The NdisMXxx functions of one adapter: each checked for state, level and sense, then carried out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from vnic.host.cpu import Processors
from vnic.ndis.attributes import Attributes, GeneralAttributes, OffloadAttributes, RegistrationAttributes
from vnic.ndis.chimney import ProviderCalls, ProviderChimney
from vnic.ndis.interrupts import Interrupt, InterruptBus
from vnic.ndis.miniport import (
    InterruptCharacteristics,
    InterruptHandle,
    Miniport,
    NdisFailure,
    ReceiveFlag,
)
from vnic.ndis.ndis_timer import NdisTimer
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.offload import Offload, TcpConnectionOffload
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS, status_name
from vnic.ndis.structures import LinkState, StatusIndication, StructureError
from vnic.ndis.verifier import Call, Verifier

if TYPE_CHECKING:
    from vnic.ndis.chimney_layer import Chimney
    from vnic.ndis.oid_service import OidService
    from vnic.ndis.receive_path import ReceivePath
    from vnic.ndis.send_path import SendPath

T = TypeVar("T")

_NDIS_INDICATES = (
    NDIS_STATUS.RESET_START,
    NDIS_STATUS.RESET_END,
    NDIS_STATUS.MEDIA_CONNECT,
    NDIS_STATUS.MEDIA_DISCONNECT,
    NDIS_STATUS.LINK_SPEED_CHANGE,
    NDIS_STATUS.OPER_STATUS,
)
_KNOWN_STATUSES = frozenset(int(each) for each in NDIS_STATUS)
_BUFFERS: dict[int, Callable[[bytes], object]] = {
    NDIS_STATUS.LINK_STATE: LinkState.parse,
    NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG: Offload.parse,
    NDIS_STATUS.TASK_OFFLOAD_HARDWARE_CAPABILITIES: Offload.parse,
    NDIS_STATUS.TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES: TcpConnectionOffload.parse,
}


class MiniportCalls(ABC):
    """MiniportAdapterHandle: implements miniport.MiniportHandle; the state machine is the subclass."""

    sends: SendPath
    receives: ReceivePath
    chimney: Chimney

    def __init__(self, verifier: Verifier, miniport: Miniport, bus: InterruptBus | None) -> None:
        self.verifier = verifier
        self.miniport = miniport
        self._interrupt_bus = bus
        self.state = AdapterState.HALTED
        self.registration: RegistrationAttributes | None = None
        self.general: GeneralAttributes | None = None
        self.offload_attributes: OffloadAttributes | None = None
        self.early_link: LinkState | None = None
        self.is_pause_complete = False
        self.restart_status: NDIS_STATUS | None = None
        self.is_resetting = False
        self.is_surprise_removed = False
        self.is_setting_options = False
        self._oids: OidService | None = None
        self._interrupts: list[Interrupt] = []
        self._timers: list[NdisTimer] = []

    @abstractmethod
    def on_attributes(self, attributes: Attributes) -> None:
        """Keep attributes that were set."""

    @abstractmethod
    def on_link_state(self, link: LinkState) -> None:
        """Keep a link state that was indicated."""

    @abstractmethod
    def on_connection_hardware(self, hardware: TcpConnectionOffload) -> None:
        """Keep connection offload capabilities that were indicated."""

    @abstractmethod
    def indicate_status(self, indication: StatusIndication) -> None:
        """Pass a status up."""

    @abstractmethod
    def finish_reset(self, status: NDIS_STATUS, addressing_reset: bool) -> None:
        """A reset is complete."""

    @abstractmethod
    def on_restart_outcome(self, status: NDIS_STATUS) -> None:
        """MiniportRestart ended, by its return or by NdisMRestartComplete."""

    @abstractmethod
    def reset(self) -> None:
        """Start a reset."""

    @abstractmethod
    def remove(self) -> None:
        """Halt an adapter whose hardware failed."""

    @abstractmethod
    def wait_until(self, is_done: Callable[[], bool], driver: object, what: str) -> None:
        """Let the world go on."""

    @contextmanager
    def _called(self, function: str, detail: str = "") -> Iterator[Call]:
        """Every function: not before MiniportInitializeEx, not after MiniportHaltEx or MiniportShutdownEx."""
        with self.verifier.called(self.miniport, function, detail) as call:
            is_there = self.state not in (AdapterState.HALTED, AdapterState.SHUTDOWN)
            text = f"{function} while {self.state.value}"
            self.verifier.require(is_there, "STATE-1", self.miniport, text)
            yield call

    def _require(self, condition: bool, rule_id: str, message: str) -> None:
        self.verifier.require(condition, rule_id, self.miniport, message)

    @property
    def processors(self) -> Processors:
        """The host's processors."""
        return self.verifier.processors

    def now_ns(self) -> int:
        """Virtual nanoseconds."""
        return self.verifier.clock.now_ns

    # -- set-up --------------------------------------------------------------------------------------------

    def m_set_miniport_attributes(self, attributes: Attributes) -> NDIS_STATUS:
        """NdisMSetMiniportAttributes."""
        with self._called("NdisMSetMiniportAttributes", type(attributes).__name__):
            is_initializing = self.state is AdapterState.INITIALIZING
            self._require(is_initializing, "STATE-1", f"attributes set while {self.state.value}")
            if isinstance(attributes, RegistrationAttributes):
                self._require(self.registration is None, "INIT-1", "registration attributes twice")
            else:
                self._require(self.registration is not None, "INIT-1", "registration attributes come first")
            if isinstance(attributes, GeneralAttributes):
                self._require(self.general is None, "INIT-1", "general attributes twice")
                self._require(not attributes.faults, "INIT-4", ", ".join(attributes.faults))
            if isinstance(attributes, OffloadAttributes):
                self._require(self.general is not None, "INIT-1", "general attributes come before offload")
                self._check_within_hardware(attributes.default_config, attributes.hardware)
            self.on_attributes(attributes)
            return NDIS_STATUS.SUCCESS

    def _check_within_hardware(self, config: Offload, hardware: Offload) -> None:
        excess = config.exceeds(hardware)
        self._require(not excess, "OFFLOAD-1", f"enabled beyond the hardware: {', '.join(excess)}")

    def m_set_optional_handlers(self, provider: ProviderChimney) -> NDIS_STATUS:
        """NdisSetOptionalHandlers."""
        chimney = self.chimney
        self._require(self.is_setting_options, "STATE-1", "optional handlers outside of MiniportSetOptions")
        self._require(chimney.handlers is None, "STATE-1", "the chimney handlers are registered twice")
        chimney.handlers = provider
        return NDIS_STATUS.SUCCESS

    def m_get_offload_handlers(self) -> ProviderCalls:
        """NdisMGetOffloadHandlers."""
        with self._called("NdisMGetOffloadHandlers"):
            is_initializing = self.state is AdapterState.INITIALIZING
            self._require(is_initializing, "STATE-1", f"offload handlers fetched while {self.state.value}")
            if self.chimney.handlers is None:
                raise NdisFailure(NDIS_STATUS.FAILURE, "the driver registered no chimney handlers")
            return self.chimney.provider

    # -- interrupts, timers, work --------------------------------------------------------------------------

    def m_register_interrupt_ex(self, wanted: InterruptCharacteristics) -> Interrupt:
        """NdisMRegisterInterruptEx."""
        with self._called("NdisMRegisterInterruptEx", f"{wanted.messages} messages"):
            self._require(self.registration is not None, "INIT-2", "registration attributes are not set")
            is_initializing = self.state is AdapterState.INITIALIZING
            self._require(is_initializing, "STATE-1", f"an interrupt registered while {self.state.value}")
            if any(each.is_registered for each in self._interrupts):
                raise NdisFailure(NDIS_STATUS.RESOURCE_CONFLICT, "the interrupt is registered already")
            if self._interrupt_bus is None:
                raise NdisFailure(NDIS_STATUS.RESOURCE_CONFLICT, "the adapter has no interrupt")
            interrupt = Interrupt(self.verifier, self.miniport, self._interrupt_bus, wanted)
            self._interrupts.append(interrupt)
            interrupt.connect()
        return interrupt

    def m_deregister_interrupt_ex(self, interrupt: InterruptHandle) -> None:
        """NdisMDeregisterInterruptEx."""
        with self._called("NdisMDeregisterInterruptEx"):
            found = self._own(interrupt)
            self._require(found.is_registered, "INT-1", "deregistered twice")
            found.disconnect()
            self.wait_until(lambda: not found.has_pending_dpc(), self.miniport, "the last DPC")
            found.release()

    def m_queue_dpc_ex(
        self, interrupt: InterruptHandle, message_id: int, processors: frozenset[int], context: object = None
    ) -> frozenset[int]:
        """NdisMQueueDpcEx."""
        with self._called("NdisMQueueDpcEx", f"message {message_id}, processors {sorted(processors)}"):
            return self._own(interrupt).queue_dpcs(message_id, processors, context)

    def m_synchronize_with_interrupt_ex(
        self, interrupt: InterruptHandle, message_id: int, function: Callable[[], T]
    ) -> T:
        """NdisMSynchronizeWithInterruptEx."""
        with self._called("NdisMSynchronizeWithInterruptEx", f"message {message_id}"):
            return self._own(interrupt).synchronize(function)

    def _own(self, interrupt: InterruptHandle) -> Interrupt:
        for each in self._interrupts:
            if each is interrupt:
                return each
        raise self.verifier.breach("INT-1", self.miniport, "an interrupt handle of somebody else")

    def m_allocate_timer(self, function: Callable[[], None]) -> NdisTimer:
        """NdisAllocateTimerObject."""
        with self._called("NdisAllocateTimerObject"):
            timer = NdisTimer(self.verifier, self.miniport, function)
            self._timers.append(timer)
            return timer

    def m_queue_work_item(self, routine: Callable[[], None]) -> None:
        """NdisQueueIoWorkItem."""

        def run() -> None:
            with self.verifier.entering(self.miniport, "NdisIoWorkItem"):
                routine()

        with self._called("NdisQueueIoWorkItem"):
            self.processors.queue_work(run)

    def m_sleep(self, microseconds: int) -> None:
        """NdisMSleep."""
        with self._called("NdisMSleep", f"{microseconds} us"):
            until_ns = self.now_ns() + microseconds * 1000
            self.verifier.clock.call_at(until_ns, _wake)
            self.wait_until(lambda: self.now_ns() >= until_ns, self.miniport, "NdisMSleep")

    def registered_interrupts(self) -> int:
        """Interrupts that were not deregistered."""
        return sum(each.is_registered for each in self._interrupts)

    def outstanding_timers(self) -> int:
        """Timers that are armed or about to run."""
        return sum(each.is_outstanding for each in self._timers)

    def release_all(self) -> None:
        """Drop interrupts and timers of a driver that is gone."""
        for interrupt in self._interrupts:
            if interrupt.is_registered:
                interrupt.disconnect()
                interrupt.release()
        for timer in self._timers:
            timer.discard()
        self._interrupts, self._timers = [], []

    # -- data ----------------------------------------------------------------------------------------------

    def m_send_net_buffer_lists_complete(self, chain: NetBufferList | None, flags: int = 0) -> None:
        """NdisMSendNetBufferListsComplete."""
        function = "NdisMSendNetBufferListsComplete"
        with self._called(function):
            self.verifier.check_dispatch_flag(self.miniport, function, flags)
            self.sends.complete(chain)

    def m_indicate_receive_net_buffer_lists(
        self,
        chain: NetBufferList | None,
        port: int,
        count: int,
        flags: int = 0,
    ) -> None:
        """NdisMIndicateReceiveNetBufferLists."""
        function = "NdisMIndicateReceiveNetBufferLists"
        with self._called(function, f"{count} NBLs, flags {flags:#x}"):
            self.verifier.check_dispatch_flag(self.miniport, function, flags)
            self.receives.indicate(chain, port, count, ReceiveFlag(flags))

    # -- completions ---------------------------------------------------------------------------------------

    def m_oid_request_complete(self, request: OidRequest, status: NDIS_STATUS) -> None:
        """NdisMOidRequestComplete."""
        with self._called("NdisMOidRequestComplete", f"{request}, {status_name(status)}"):
            if self._oids is None:
                raise self.verifier.breach("OID-1", self.miniport, f"{request} is not pending")
            self._oids.queue.complete(request, status)

    def m_reset_complete(self, status: NDIS_STATUS, addressing_reset: bool) -> None:
        """NdisMResetComplete."""
        with self._called("NdisMResetComplete", status_name(status)):
            self._require(self.is_resetting, "RESET-1", "no reset is pending")
            self.finish_reset(status, addressing_reset)

    def m_pause_complete(self) -> None:
        """NdisMPauseComplete."""
        with self._called("NdisMPauseComplete"):
            is_pending = self.state is AdapterState.PAUSING and not self.is_pause_complete
            self._require(is_pending, "PAUSE-4", f"no pause is pending while {self.state.value}")
            self.check_paused()
            self.is_pause_complete = True

    def check_paused(self) -> None:
        """What a complete pause leaves behind: nothing."""
        received, sends = self.receives.outstanding(), self.sends.outstanding()
        self._require(received == 0, "PAUSE-1", f"{received} indicated NBLs (or calls) are not back")
        self._require(sends == 0, "PAUSE-2", f"{sends} sends are not complete")

    def m_restart_complete(self, status: NDIS_STATUS) -> None:
        """NdisMRestartComplete."""
        with self._called("NdisMRestartComplete", status_name(status)):
            is_pending = self.state is AdapterState.RESTARTING and self.restart_status is None
            self._require(is_pending, "RESTART-1", f"no restart is pending while {self.state.value}")
            self._require(status != NDIS_STATUS.PENDING, "RESTART-1", "completed with PENDING")
            self.restart_status = status
            self.on_restart_outcome(status)

    def restart_outcome(self) -> NDIS_STATUS:
        """What m_restart_complete was told; PENDING before."""
        return NDIS_STATUS.PENDING if self.restart_status is None else self.restart_status

    def m_remove_miniport(self) -> None:
        """NdisMRemoveMiniport."""
        with self._called("NdisMRemoveMiniport"):
            self.processors.queue_work(self.remove)

    def m_reset_miniport(self) -> None:
        """NdisMResetMiniport."""
        with self._called("NdisMResetMiniport"):
            self.processors.queue_work(self.reset)

    # -- status --------------------------------------------------------------------------------------------

    def m_indicate_status_ex(self, indication: StatusIndication) -> None:
        """NdisMIndicateStatusEx."""
        status = indication.status
        with self._called("NdisMIndicateStatusEx", status_name(status)):
            self._require(
                status not in _NDIS_INDICATES, "STATUS-2", f"{status_name(status)} is NDIS's to indicate"
            )
            self._require(self.registration is not None, "STATE-1", "a status before registration attributes")
            content = self._parse_status(indication)
            if isinstance(content, LinkState):
                self.on_link_state(content)
            elif status == NDIS_STATUS.TASK_OFFLOAD_CURRENT_CONFIG and isinstance(content, Offload):
                self._on_offload_config(content)
            elif isinstance(content, TcpConnectionOffload):
                self.on_connection_hardware(content)
            known = NDIS_STATUS(status) if status in _KNOWN_STATUSES else NDIS_STATUS.SUCCESS
            self.chimney.statuses.check(known)
            self.indicate_status(indication)
            self.chimney.statuses.indicated(known)

    def _parse_status(self, indication: StatusIndication) -> object:
        parse = _BUFFERS.get(indication.status)
        if parse is None:
            return None
        try:
            return parse(indication.buffer)
        except StructureError as error:
            text = f"{status_name(indication.status)}: {error}"
            raise self.verifier.breach("STATUS-1", self.miniport, text) from None

    def _on_offload_config(self, config: Offload) -> None:
        attributes = self.offload_attributes
        self._check_within_hardware(config, attributes.hardware if attributes else Offload())
        self.sends.offload = config
        if self._oids is not None:
            self._oids.on_offload_config(config)


def _wake() -> None:
    """The deadline of NdisMSleep: being there is enough."""
