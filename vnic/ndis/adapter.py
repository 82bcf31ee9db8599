"""One miniport adapter as NDIS holds it: its state, its driver, its bindings, and every way they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from vnic.host.bus import Bus
from vnic.host.cpu import Level
from vnic.ndis.attributes import (
    GeneralAttributes,
    HaltAction,
    OffloadAttributes,
    PnpEvent,
    RegistrationAttributes,
    ShutdownAction,
)
from vnic.ndis.binding import Binding
from vnic.ndis.chimney_layer import Chimney
from vnic.ndis.interrupts import InterruptBus
from vnic.ndis.keywords import Settings
from vnic.ndis.miniport import InitParameters, Miniport
from vnic.ndis.miniport_calls import MiniportCalls
from vnic.ndis.offload import TcpConnectionOffload, TcpConnectionOffloadParameters
from vnic.ndis.oid_answers import Known
from vnic.ndis.oid_queue import Finish
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.oid_service import OidService
from vnic.ndis.power import Power
from vnic.ndis.protocol import BindParameters, Protocol
from vnic.ndis.receive_path import ReceivePath
from vnic.ndis.recovery import Recovery
from vnic.ndis.rss_watch import RssWatch
from vnic.ndis.send_path import SendPath
from vnic.ndis.states import AdapterState, BindingState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    DevicePowerState,
    LinkState,
    PauseParameters,
    RestartParameters,
    StatusIndication,
)

if TYPE_CHECKING:
    from vnic.ndis.layer import Ndis


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """What the host gives an adapter at its start; `on_power` moves the device's PCI power state.

    `interrupts` is where its interrupts come from when that is not the bus.
    """

    name: str = "vnic"
    bus: Bus | None = None
    interrupts: InterruptBus | None = None
    settings: Settings | None = None
    on_power: Callable[[DevicePowerState], None] | None = None


P = ParamSpec("P")
R = TypeVar("R")


def _in_turn(
    method: Callable[Concatenate[Adapter, P], R],
) -> Callable[Concatenate[Adapter, P], R]:
    """A change of state that waits for drivers: a removal that one asks for meanwhile comes after it."""

    @wraps(method)
    def call(self: Adapter, /, *arguments: P.args, **keywords: P.kwargs) -> R:
        with self.changing():
            return method(self, *arguments, **keywords)

    return call


class Adapter(MiniportCalls):
    """State machine of "Miniport Adapter States and Operations"; here is NDIS's side, at PASSIVE."""

    def __init__(self, ndis: Ndis, miniport: Miniport, options: AdapterOptions) -> None:
        super().__init__(ndis.verifier, miniport, options.interrupts or options.bus)
        self.ndis = ndis
        self.name = options.name
        self.options = options
        self.settings = options.settings or Settings()
        self.rss = RssWatch(ndis.verifier, ndis.hash_oracle, ndis.is_strict_rss)
        self.sends = SendPath(ndis.verifier, miniport)
        self.receives = ReceivePath(ndis.verifier, miniport, self, self.rss)
        self.bindings: list[Binding] = []
        self.chimney = Chimney(self)
        self.power = Power(self)
        self.recovery = Recovery(self)
        self._changes = 0
        self._is_removal_due = False

    # -- waiting -------------------------------------------------------------------------------------------

    def wait_until(self, is_done: Callable[[], bool], driver: object, what: str) -> None:
        """Let the world go on until `is_done`; raises HANG-1 with what is outstanding when it never is."""
        if self.ndis.wait_until(is_done):
            return
        left = f"{self.sends.outstanding()} sends, {self.receives.outstanding()} received NBLs"
        if self.chimney.registry.live:
            left += f", {len(self.chimney.registry.live)} offloaded objects"
        if self.ndis.who_holds is not None:
            left += f"\n{self.ndis.who_holds()}\n"
        raise self.verifier.breach("HANG-1", driver, f"{what} never ends; outstanding: {left}")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """PnP lets one change of an adapter happen at a time."""
        self._changes += 1
        try:
            yield
        finally:
            self._changes -= 1
        if not self._changes and self._is_removal_due:
            self.remove()

    def _at_passive(self, what: str) -> None:
        if self.verifier.processors.level != Level.PASSIVE:
            raise RuntimeError(f"NDIS cannot {what} at {self.verifier.processors.level.name}")

    def _move(self, state: AdapterState) -> None:
        self.verifier.note(f"{self.name}: {self.state.value} -> {state.value}")
        self.state = self.sends.state = self.receives.state = state

    # -- Halted -> Paused ----------------------------------------------------------------------------------

    @_in_turn
    def initialize(self) -> NDIS_STATUS:
        """MiniportInitializeEx; the adapter is Paused when it succeeds, Halted when not."""
        self._at_passive("initialize")
        if self.state is not AdapterState.HALTED:
            raise RuntimeError(f"initialize while {self.state.value}")
        self._move(AdapterState.INITIALIZING)
        self.chimney.statuses.reset()
        self.registration = self.general = self.offload_attributes = None
        parameters = InitParameters(self.options.bus, self.settings)
        started_ns = self.verifier.clock.now_ns
        with self.verifier.entering(self.miniport, "MiniportInitializeEx", self.name) as call:
            status = self.miniport.initialize_ex(self, parameters)
            call.result = str(status)
        if status == NDIS_STATUS.SUCCESS:
            self._finish_initialize(started_ns)
        else:
            self._check_released("INIT-5", "INIT-5")
            self._move(AdapterState.HALTED)
        return status

    def _finish_initialize(self, started_ns: int) -> None:
        general = self.general
        if general is None:
            raise self.verifier.breach("INIT-3", self.miniport, "initialized without general attributes")
        took_ns = self.verifier.clock.now_ns - started_ns
        link = self.early_link or general.link_state
        offload = self.offload_attributes
        known = Known(self.rss, general, offload, link, general.lookahead_size, init_time_ns=took_ns)
        self._oids = OidService(self.verifier, self.miniport, known, self.bindings)
        self._oids.offloaded = self.chimney.established
        self.receives.filter = self._oids.filter
        self.sends.offload = offload.default_config if offload else None
        self.power.state = DevicePowerState.D0
        self.sends.is_low_power = False
        self._move(AdapterState.PAUSED)
        self.recovery.arm()

    @property
    def oids(self) -> OidService:
        """The OID side; there from a successful initialization on."""
        if self._oids is None:
            raise RuntimeError(f"{self.name} was never initialized")
        return self._oids

    @property
    def known_offload(self) -> OffloadAttributes | None:
        """The offload capabilities and configuration now; None where there are none."""
        return self._oids.known.offload if self._oids is not None else self.offload_attributes

    @property
    def known_connection_parameters(self) -> TcpConnectionOffloadParameters | None:
        """The parameters of offloaded connections as last set."""
        return self._oids.known.connection_parameters if self._oids is not None else None

    @property
    def link_state(self) -> LinkState:
        """The link as last indicated."""
        return self.oids.known.link

    # -- Paused <-> Running --------------------------------------------------------------------------------

    @_in_turn
    def restart(self) -> NDIS_STATUS:
        """MiniportRestart, then NetEventRestart to the bindings."""
        self._at_passive("restart")
        if self.state is not AdapterState.PAUSED:
            raise RuntimeError(f"restart while {self.state.value}")
        self._move(AdapterState.RESTARTING)
        self.restart_status = None
        with self.verifier.entering(self.miniport, "MiniportRestart") as call:
            status = self.miniport.restart(RestartParameters())
            call.result = str(status)
            if status != NDIS_STATUS.PENDING and self.restart_outcome() == NDIS_STATUS.PENDING:
                self.on_restart_outcome(status)
        if status == NDIS_STATUS.PENDING:
            self.wait_until(lambda: self.restart_status is not None, self.miniport, "MiniportRestart")
            status = self.restart_outcome()
        elif self.restart_status is not None:
            raise self.verifier.breach("RESTART-1", self.miniport, "completed by call and by return value")
        if status == NDIS_STATUS.SUCCESS:
            for binding in self.bindings:
                binding.restart()
        return status

    def on_restart_outcome(self, status: NDIS_STATUS) -> None:
        """Running from the moment the driver says so: a DPC of another processor may indicate at once."""
        self._move(AdapterState.RUNNING if status == NDIS_STATUS.SUCCESS else AdapterState.PAUSED)

    @_in_turn
    def pause(self, flags: int = 0) -> None:
        """NetEventPause to the bindings, then MiniportPause, to its end."""
        self._at_passive("pause")
        if self.state is not AdapterState.RUNNING:
            raise RuntimeError(f"pause while {self.state.value}")
        for binding in self.bindings:
            binding.pause()
        self._move(AdapterState.PAUSING)
        self.is_pause_complete = False
        with self.verifier.entering(self.miniport, "MiniportPause") as call:
            status = self.miniport.pause(PauseParameters(flags))
            call.result = str(status)
        if status == NDIS_STATUS.PENDING:
            self.wait_until(lambda: self.is_pause_complete, self.miniport, "MiniportPause")
        elif status != NDIS_STATUS.SUCCESS:
            raise self.verifier.breach("PAUSE-3", self.miniport, f"MiniportPause returned {status!s}")
        elif self.is_pause_complete:
            raise self.verifier.breach("PAUSE-4", self.miniport, "completed by call and by return value")
        else:
            self.check_paused()
        self._move(AdapterState.PAUSED)

    def start(self) -> NDIS_STATUS:
        """Initialize and restart."""
        status = self.initialize()
        return self.restart() if status == NDIS_STATUS.SUCCESS else status

    # -- bindings ------------------------------------------------------------------------------------------

    @_in_turn
    def bind(self, protocol: Protocol) -> Binding | None:
        """Bind a protocol; a running adapter is paused meanwhile. None when the protocol declines."""
        was_running = self._pause_if_running()
        binding = Binding(self, protocol)
        if binding.open(self._bind_parameters()) != NDIS_STATUS.SUCCESS:
            binding.state = BindingState.CLOSED
            found = None
        else:
            self.bindings.append(binding)
            self.receives.receivers.append(binding)
            found = binding
        if was_running:
            self.restart()
        return found

    @_in_turn
    def unbind(self, binding: Binding) -> None:
        """Unbind a protocol; a running adapter is paused meanwhile."""
        was_running = self._pause_if_running()
        binding.unbind()
        self.bindings.remove(binding)
        self.receives.receivers.remove(binding)
        self.oids.drop_subscriber(binding)
        if was_running:
            self.restart()

    def _pause_if_running(self) -> bool:
        was_running = self.state is AdapterState.RUNNING
        if was_running:
            self.pause()
        return was_running

    def _bind_parameters(self) -> BindParameters:
        known = self.oids.known
        general, offload = known.general, known.offload
        return BindParameters(
            self.name,
            general.current_mac_address,
            general.mtu_size,
            known.link,
            general.max_multicast_list_size,
            general.supported_packet_filters,
            general.receive_scale,
            offload.default_config if offload else None,
            offload.connection_default_config if offload else None,
            general.data_backfill,
        )

    def request_oid(self, binding: Binding, request: OidRequest, finish: Finish) -> NDIS_STATUS:
        """A binding's OID request, refused where no driver is there to answer."""
        if not self.state.takes_oids or self.is_surprise_removed:
            return NDIS_STATUS.NOT_ACCEPTED if self.is_surprise_removed else NDIS_STATUS.ADAPTER_NOT_READY
        self.chimney.check_set(binding, request)
        return self.oids.request(binding, request, finish)

    def indicate_status(self, indication: StatusIndication) -> None:
        """To every binding."""
        for binding in list(self.bindings):
            binding.indicate_status(indication)

    # -- the end -------------------------------------------------------------------------------------------

    @_in_turn
    def halt(self, action: HaltAction = HaltAction.DISABLED) -> None:
        """Pause, unbind and halt; nothing of the adapter is left in NDIS."""
        self._at_passive("halt")
        self._pause_if_running()
        if self.state is not AdapterState.PAUSED:
            raise RuntimeError(f"halt while {self.state.value}")
        for binding in list(self.bindings):
            self.unbind(binding)
        queue = self.oids.queue
        queue.abort_waiting(NDIS_STATUS.REQUEST_ABORTED)
        self.wait_until(lambda: len(queue) == 0, self.miniport, "an OID request")
        self.oids.check_offload_status_came()
        self.recovery.disarm()
        with self.verifier.entering(self.miniport, "MiniportHaltEx", action.name):
            self.miniport.halt_ex(action)
        self._check_released("HALT-1", "HALT-2")
        self._check_chimney_is_empty()
        self.rss.reset()
        self._oids = None
        self.early_link = None
        self._move(AdapterState.HALTED)

    def _check_chimney_is_empty(self) -> None:
        """Every binding closed before; nothing can be left but by a fault of this layer's checks."""
        chimney = self.chimney
        count = chimney.inbox.outstanding() + len(chimney.registry.live) + chimney.control.outstanding()
        self.verifier.require(count == 0, "INV-27", self.miniport, f"halted with {count} of the chimney out")

    def _check_released(self, interrupt_rule: str, timer_rule: str) -> None:
        interrupts, timers = self.registered_interrupts(), self.outstanding_timers()
        self.release_all()
        require = self.verifier.require
        require(not interrupts, interrupt_rule, self.miniport, "its interrupt is still registered")
        require(not timers, timer_rule, self.miniport, f"{timers} timers are still armed")

    def unload(self) -> None:
        """MiniportDriverUnload, once halted."""
        if self.state is not AdapterState.HALTED:
            raise RuntimeError(f"unload while {self.state.value}")
        with self.verifier.entering(self.miniport, "MiniportDriverUnload"):
            self.miniport.driver_unload()

    def shutdown(self, action: ShutdownAction = ShutdownAction.POWER_OFF) -> None:
        """MiniportShutdownEx: the system goes down; no call follows, none may come from the driver."""
        self.recovery.disarm()
        with self.verifier.entering(self.miniport, "MiniportShutdownEx", action.name):
            self.miniport.shutdown_ex(action)
        self.release_all()
        self._move(AdapterState.SHUTDOWN)

    @_in_turn
    def surprise_remove(self) -> None:
        """The device is gone: notify, then halt; a miniport that has been halted already hears of nothing."""
        if self.state is AdapterState.HALTED:
            return
        self.is_surprise_removed = True
        self.notify_pnp(PnpEvent.SURPRISE_REMOVED)
        self.halt(HaltAction.SURPRISE_REMOVED)
        self.is_surprise_removed = False

    def remove(self) -> None:
        """The miniport gave its hardware up: halt, once a change that is under way has ended."""
        self._is_removal_due = self._changes > 0
        if self._is_removal_due:
            return
        if self.state in (AdapterState.PAUSED, AdapterState.RUNNING):
            self.halt(HaltAction.FAILED)

    def notify_pnp(self, event: PnpEvent) -> None:
        """MiniportDevicePnPEventNotify."""
        self._at_passive("notify")
        with self.verifier.entering(self.miniport, "MiniportDevicePnPEventNotify", event.name):
            self.miniport.device_pnp_event_notify(event)

    @_in_turn
    def set_power(self, state: DevicePowerState) -> NDIS_STATUS:
        """To low power and back; returns the miniport's status."""
        self._at_passive("change power")
        return self.power.set(state)

    def reset(self) -> None:
        """MiniportResetEx; superfluous while one is in progress."""
        self.recovery.reset()

    def finish_reset(self, status: NDIS_STATUS, addressing_reset: bool) -> None:
        """A reset is complete."""
        self.recovery.finish(status, addressing_reset)

    def check_for_hang(self) -> bool:
        """MiniportCheckForHangEx; whether it led to a reset."""
        return self.recovery.check_for_hang()

    # -- what the miniport told ----------------------------------------------------------------------------

    def on_link_state(self, link: LinkState) -> None:
        """LINK_STATE was indicated."""
        if self._oids is None:
            self.early_link = link
            return
        if link.connect != self.link_state.connect:
            self._oids.known.connects += 1
        self._oids.known.link = link

    def on_connection_hardware(self, hardware: TcpConnectionOffload) -> None:
        """TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES was indicated."""
        known = self._oids.known if self._oids is not None else None
        if known is not None:
            known.offload = replace(known.offload or OffloadAttributes(), connection_hardware=hardware)

    def on_attributes(
        self, attributes: RegistrationAttributes | GeneralAttributes | OffloadAttributes
    ) -> None:
        """NdisMSetMiniportAttributes succeeded."""
        if isinstance(attributes, RegistrationAttributes):
            self.registration = attributes
        elif isinstance(attributes, GeneralAttributes):
            self.general = attributes
        else:
            self.offload_attributes = replace(attributes)
