"""The contract of an NDIS 6 miniport: the MiniportXxx entry points, and the handle by which it calls NDIS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Protocol, TypeVar

from vnic.host.bus import Bus, InterruptKind, VectorKinds
from vnic.host.cpu import Processors
from vnic.ndis.attributes import Attributes, HaltAction, PnpEvent, ShutdownAction
from vnic.ndis.chimney import ProviderCalls, ProviderChimney
from vnic.ndis.keywords import Settings
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import PauseParameters, RestartParameters, StatusIndication

T = TypeVar("T")


class SendFlag(IntFlag):
    """NDIS_SEND_FLAGS_*."""

    DISPATCH_LEVEL = 1
    CHECK_FOR_LOOPBACK = 2


class SendCompleteFlag(IntFlag):
    """NDIS_SEND_COMPLETE_FLAGS_*."""

    DISPATCH_LEVEL = 1


class ReceiveFlag(IntFlag):
    """NDIS_RECEIVE_FLAGS_*."""

    DISPATCH_LEVEL = 0x0001
    RESOURCES = 0x0002
    SINGLE_ETHER_TYPE = 0x0100
    SINGLE_VLAN = 0x0200
    PERFECT_FILTERED = 0x0400


class ReturnFlag(IntFlag):
    """NDIS_RETURN_FLAGS_*."""

    DISPATCH_LEVEL = 1


@dataclass(frozen=True, slots=True)
class InitParameters:
    """NDIS_MINIPORT_INIT_PARAMETERS: the bus that reaches the device, and the configured keywords."""

    bus: Bus | None = None
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class InterruptCharacteristics:
    """NDIS_MINIPORT_INTERRUPT_CHARACTERISTICS: most messages wanted, of which kinds, the processor of each.

    The best kind there is gets granted; look at the handle for kind and count.
    """

    messages: int = 1
    affinity: tuple[int, ...] = ()
    kinds: VectorKinds = VectorKinds.ANY


@dataclass(frozen=True, slots=True)
class InterruptResult:
    """What an ISR answers: was it ours, and on which processors NDIS shall queue a DPC.

    With `default_dpc` the DPC goes to the processor of the ISR and `target_processors` is ignored.
    """

    is_claimed: bool
    default_dpc: bool = False
    target_processors: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ResetResult:
    """MiniportResetEx's answer; `addressing_reset` has NDIS restore filter, multicast list and offloads."""

    status: NDIS_STATUS
    addressing_reset: bool = False


class NdisFailure(Exception):
    """An NdisXxx function that gives back an object failed; `status` is what it would have returned."""

    def __init__(self, status: NDIS_STATUS, message: str) -> None:
        super().__init__(f"{message} ({status})")
        self.status = status


class InterruptHandle(Protocol):
    """NdisInterruptHandle."""

    @property
    def kind(self) -> InterruptKind:
        """MSI-X, MSI or the line, as granted."""

    @property
    def affinity(self) -> tuple[int, ...]:
        """Processor of each granted message; one entry for a line."""


class TimerHandle(Protocol):
    """An NDIS timer object; its function runs at DISPATCH on the processor that armed it."""

    def set(self, due_ns: int, period_ns: int = 0) -> None:
        """NdisSetTimerObject: arm (again), once after `due_ns`, then every `period_ns` if not 0."""

    def cancel(self) -> bool:
        """NdisCancelTimerObject; False when it was not armed, its function may have fired."""


class DriverHandle(Protocol):
    """NdisDriverHandle of MiniportSetOptions."""

    def m_set_optional_handlers(self, provider: ProviderChimney) -> NDIS_STATUS:
        """NdisSetOptionalHandlers with the chimney characteristics, generic and TCP; once."""


class MiniportHandle(Protocol):
    """MiniportAdapterHandle: the NdisMXxx functions of one adapter.

    Every call may let other processors get ahead before and after. Allowed levels are in rules.LEVELS.
    """

    @property
    def processors(self) -> Processors:
        """The host's processors (for spin locks)."""

    def now_ns(self) -> int:
        """NdisGetCurrentSystemTime, in virtual nanoseconds."""

    def m_set_miniport_attributes(self, attributes: Attributes) -> NDIS_STATUS:
        """NdisMSetMiniportAttributes: registration, then general, then offload; only in initialize_ex."""

    def m_get_offload_handlers(self) -> ProviderCalls:
        """NdisMGetOffloadHandlers for NdisTcpChimneyOffload; only in initialize_ex. Raises NdisFailure."""

    def m_register_interrupt_ex(self, wanted: InterruptCharacteristics) -> InterruptHandle:
        """NdisMRegisterInterruptEx; an ISR may run before this returns. Raises NdisFailure."""

    def m_deregister_interrupt_ex(self, interrupt: InterruptHandle) -> None:
        """NdisMDeregisterInterruptEx: returns when the last ISR and DPC are through."""

    def m_queue_dpc_ex(
        self, interrupt: InterruptHandle, message_id: int, processors: frozenset[int], context: object = None
    ) -> frozenset[int]:
        """NdisMQueueDpcEx: the processors for which a DPC was newly queued."""

    def m_synchronize_with_interrupt_ex(
        self, interrupt: InterruptHandle, message_id: int, function: Callable[[], T]
    ) -> T:
        """NdisMSynchronizeWithInterruptEx: run `function` at DIRQL."""

    def m_send_net_buffer_lists_complete(self, chain: NetBufferList | None, flags: int = 0) -> None:
        """NdisMSendNetBufferListsComplete; flags of SendCompleteFlag."""

    def m_indicate_receive_net_buffer_lists(
        self,
        chain: NetBufferList | None,
        port: int,
        count: int,
        flags: int = 0,
    ) -> None:
        """NdisMIndicateReceiveNetBufferLists; flags of ReceiveFlag."""

    def m_indicate_status_ex(self, indication: StatusIndication) -> None:
        """NdisMIndicateStatusEx."""

    def m_oid_request_complete(self, request: OidRequest, status: NDIS_STATUS) -> None:
        """NdisMOidRequestComplete."""

    def m_reset_complete(self, status: NDIS_STATUS, addressing_reset: bool) -> None:
        """NdisMResetComplete."""

    def m_pause_complete(self) -> None:
        """NdisMPauseComplete."""

    def m_restart_complete(self, status: NDIS_STATUS) -> None:
        """NdisMRestartComplete."""

    def m_allocate_timer(self, function: Callable[[], None]) -> TimerHandle:
        """NdisAllocateTimerObject."""

    def m_queue_work_item(self, routine: Callable[[], None]) -> None:
        """NdisQueueIoWorkItem: run `routine` at PASSIVE."""

    def m_sleep(self, microseconds: int) -> None:
        """NdisMSleep: let virtual time pass, at PASSIVE."""

    def m_remove_miniport(self) -> None:
        """NdisMRemoveMiniport: the hardware has failed beyond recovery; NDIS halts the adapter."""

    def m_reset_miniport(self) -> None:
        """NdisMResetMiniport: ask NDIS for a reset."""


class Miniport(ABC):
    """One adapter's driver; its instance is the MiniportAdapterContext.

    IRQL as documented: PASSIVE for initialize_ex, halt_ex, pause, restart, oid_request, check_for_hang_ex,
    device_pnp_event_notify, set_options, driver_unload; DISPATCH for interrupt_dpc; DIRQL for interrupt; up
    to DISPATCH for the rest.
    """

    #: The NDIS version the driver registers with; from (6, 30) on, requests must not outlive a reset.
    ndis_version: tuple[int, int] = (6, 20)

    def set_options(self, handle: DriverHandle) -> NDIS_STATUS:
        """MiniportSetOptions: register optional handlers, here those of the chimney."""
        return NDIS_STATUS.SUCCESS

    def driver_unload(self) -> None:  # noqa: B027 - optional
        """MiniportDriverUnload."""

    @abstractmethod
    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        """MiniportInitializeEx: bring the adapter to the Paused state."""

    @abstractmethod
    def halt_ex(self, action: HaltAction) -> None:
        """MiniportHaltEx: stop the hardware, free everything."""

    @abstractmethod
    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        """MiniportPause: SUCCESS or PENDING; cannot fail."""

    @abstractmethod
    def restart(self, parameters: RestartParameters) -> NDIS_STATUS:
        """MiniportRestart: SUCCESS, PENDING, or why not (the adapter stays Paused)."""

    @abstractmethod
    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        """MiniportSendNetBufferLists: takes every send; m_send_net_buffer_lists_complete gives it back."""

    @abstractmethod
    def cancel_send(self, cancel_id: object) -> None:
        """MiniportCancelSend: complete the queued sends of this id with SEND_ABORTED."""

    @abstractmethod
    def return_net_buffer_lists(self, chain: NetBufferList, flags: ReturnFlag) -> None:
        """MiniportReturnNetBufferLists: indicated data comes back."""

    @abstractmethod
    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """MiniportOidRequest: the final status, or PENDING and later m_oid_request_complete."""

    @abstractmethod
    def cancel_oid_request(self, request_id: int) -> None:
        """MiniportCancelOidRequest."""

    @abstractmethod
    def check_for_hang_ex(self) -> bool:
        """MiniportCheckForHangEx: True asks for a reset."""

    @abstractmethod
    def reset_ex(self) -> ResetResult:
        """MiniportResetEx."""

    @abstractmethod
    def device_pnp_event_notify(self, event: PnpEvent) -> None:
        """MiniportDevicePnPEventNotify."""

    @abstractmethod
    def shutdown_ex(self, action: ShutdownAction) -> None:
        """MiniportShutdownEx: restore the hardware to its initial state; call nothing."""

    @abstractmethod
    def interrupt(self, message_id: int) -> InterruptResult:
        """MiniportInterrupt / MiniportMessageInterrupt, at DIRQL; a line has message 0."""

    @abstractmethod
    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        """MiniportInterruptDPC / MiniportMessageInterruptDPC on processor `cpu`, at DISPATCH."""
