"""The miniport adapter: every MiniportXxx entry point over one card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vnic.errors import AllocationError, CapacityError, UnknownError
from vnic.gen.enums import RingError
from vnic.gen.registers import BAR0, GlbEvent
from vnic.host.bus import Bus, VectorKinds
from vnic.host.cpu import Level
from vnic.miniport import oids
from vnic.miniport.attributes import general_attributes, offload_attributes
from vnic.miniport.bringup import BringUpError, reset_device
from vnic.miniport.buffers import Memory
from vnic.miniport.card import Card
from vnic.miniport.chimney_adapter import AdapterChimney
from vnic.miniport.context import SendOffload
from vnic.miniport.queue import Harvest, QueuePair
from vnic.miniport.receive import RingFault
from vnic.miniport.registers import ALL_ONES
from vnic.miniport.transmit import Send
from vnic.ndis.attributes import (
    AttributeFlag,
    HaltAction,
    PnpEvent,
    RegistrationAttributes,
    ShutdownAction,
)
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
from vnic.ndis.net_buffer_list import NetBufferList, link, walk
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, PauseParameters, RestartParameters

_SUCCESS = NDIS_STATUS.SUCCESS


class Adapter(Miniport):
    """One adapter.

    memory: what data buffers are allocated from. kinds: the interrupts it accepts, best first.
    frames_per_dpc: after so many received frames of a queue a DPC queues another and ends.
    """

    ndis_version = (6, 30)

    def __init__(
        self, memory: Memory, *, kinds: VectorKinds = VectorKinds.ANY, frames_per_dpc: int = 64
    ) -> None:
        self._memory = memory
        self._kinds = kinds
        self._frames_per_dpc = frames_per_dpc
        self._handle: MiniportHandle | None = None
        self._card: Card | None = None
        self.is_running = False
        self.is_low_power = False
        self.is_resetting = False
        self.is_removed = False
        self._is_pause_pending = False
        self._passing_on = 0
        self._chimney = AdapterChimney(self)

    @property
    def card(self) -> Card:
        """There from initialization to halt."""
        assert self._card is not None
        return self._card

    @property
    def handle(self) -> MiniportHandle:
        """MiniportAdapterHandle, from initialization to halt."""
        assert self._handle is not None
        return self._handle

    # -- MiniportSetOptions, MiniportDriverUnload --------------------------------------------------------

    def set_options(self, handle: DriverHandle) -> NDIS_STATUS:
        """MiniportSetOptions: the chimney's handlers, whether or not the card will have one."""
        return handle.m_set_optional_handlers(self._chimney.provider)

    def driver_unload(self) -> None:
        """MiniportDriverUnload: with the last adapter halted nothing of the driver is left."""
        assert self._card is None

    # -- MiniportInitializeEx, MiniportHaltEx ------------------------------------------------------------

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        """MiniportInitializeEx; on a failure everything is given back."""
        if parameters.bus is None:
            return NDIS_STATUS.RESOURCES
        self._handle = handle
        self.is_running = self.is_low_power = self.is_resetting = self.is_removed = False
        try:
            self._initialize(handle, parameters.bus, parameters)
        except (BringUpError, NdisFailure) as error:
            return self._give_up(error.status)
        except (AllocationError, CapacityError):
            return self._give_up(NDIS_STATUS.RESOURCES)
        except RingFault:
            return self._give_up(NDIS_STATUS.DEVICE_FAILED)
        return _SUCCESS

    def _initialize(self, handle: MiniportHandle, bus: Bus, parameters: InitParameters) -> None:
        flags = AttributeFlag.HARDWARE_DEVICE | AttributeFlag.BUS_MASTER | AttributeFlag.SURPRISE_REMOVE_OK
        _require(handle.m_set_miniport_attributes(RegistrationAttributes(self, flags)))
        card = self._card = Card(bus, self._memory, parameters.settings)
        card.connect(handle, self._kinds)
        self._chimney.open(card, handle)
        _require(handle.m_set_miniport_attributes(general_attributes(card, oids.supported_oids(self))))
        _require(handle.m_set_miniport_attributes(offload_attributes(card)))
        card.program()

    def _give_up(self, status: NDIS_STATUS) -> NDIS_STATUS:
        if self._card is not None:
            self._card.close()
        self._card = self._handle = None
        return status

    def halt_ex(self, action: HaltAction) -> None:
        """MiniportHaltEx: reset the card, disconnect, free all."""
        self.card.close()
        self._card = self._handle = None

    def shutdown_ex(self, action: ShutdownAction) -> None:
        """MiniportShutdownEx: the hardware to its initial state, without a call to NDIS; memory stays."""
        self.is_running = False
        self.card.interrupts.quiet()
        reset_device(self.card.registers)
        self.card.bus.set_master(False)

    # -- MiniportPause, MiniportRestart ------------------------------------------------------------------

    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        """MiniportPause: no more receives; sends not yet in a ring end PAUSED; pends for the others."""
        self.is_running = False
        if not self.is_removed:
            self.card.filter.open(False)
        for queue in self.card.queues:
            with queue.lock:
                done = queue.transmit.abort_waiting(NDIS_STATUS.PAUSED)
            self._complete_sends(done)
        if self.card.has_nbls:
            self._is_pause_pending = True
            return NDIS_STATUS.PENDING
        return _SUCCESS

    def check_pause(self) -> None:
        """Complete a pause that pends, once nothing of NDIS's is left here."""
        if self._is_pause_pending and not self.card.has_nbls and not self._is_busy():
            self._is_pause_pending = False
            self.handle.m_pause_complete()

    def _is_busy(self) -> bool:
        """Somebody on some processor still holds NBLs that he is about to pass on."""
        return self._passing_on > 0 or any(queue.is_polling for queue in self.card.queues)

    @contextmanager
    def _passing(self) -> Iterator[None]:
        """Sends are taken out of the queues and completed: no pause ends meanwhile on another processor."""
        self._passing_on += 1
        try:
            yield
        finally:
            self._passing_on -= 1

    def restart(self, parameters: RestartParameters) -> NDIS_STATUS:
        """MiniportRestart: receive again."""
        if self.is_removed:
            return NDIS_STATUS.DEVICE_FAILED
        self.is_running = True
        self.card.filter.open(True)
        return _SUCCESS

    # -- sends -------------------------------------------------------------------------------------------

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        """MiniportSendNetBufferLists: on the queue of this processor; what has no room waits."""
        nbls = list(walk(chain))
        refusal = self._refusal()
        if refusal is not None:
            self._refuse(nbls, refusal)
            return
        tagging = self.card.tagging
        sends = [Send(nbl, SendOffload.of(nbl, tagging)) for nbl in nbls]
        queue = self.card.queue_of(self.handle.processors.current)
        self._complete_sends(queue.submit(sends))

    def _refusal(self) -> NDIS_STATUS | None:
        """Why nothing can be sent now."""
        if self.is_low_power:
            return NDIS_STATUS.LOW_POWER_STATE
        if not self.is_running:
            return NDIS_STATUS.PAUSED
        if self.is_removed:
            return NDIS_STATUS.ADAPTER_REMOVED
        return NDIS_STATUS.RESET_IN_PROGRESS if self.is_resetting else None

    def _refuse(self, nbls: list[NetBufferList], status: NDIS_STATUS) -> None:
        for nbl in nbls:
            nbl.status = status
        self._complete_sends(nbls)

    def _complete_sends(self, nbls: list[NetBufferList]) -> None:
        if nbls:
            self.handle.m_send_net_buffer_lists_complete(link(nbls), SendCompleteFlag(self._dispatch_flag))

    @property
    def _dispatch_flag(self) -> int:
        return int(self.handle.processors.level == Level.DISPATCH)

    def cancel_send(self, cancel_id: object) -> None:
        """MiniportCancelSend: what is in a ring is sent."""
        with self._passing():
            for queue in self.card.queues:
                with queue.lock:
                    done = queue.transmit.cancel(cancel_id)
                self._complete_sends(done)
        self.check_pause()

    # -- receives ----------------------------------------------------------------------------------------

    def return_net_buffer_lists(self, chain: NetBufferList, flags: ReturnFlag) -> None:
        """MiniportReturnNetBufferLists: the buffers go back to the queues that they came from."""
        by_queue: dict[int, list[NetBufferList]] = {}
        for nbl in walk(chain):
            by_queue.setdefault(self._queue_of(nbl), []).append(nbl)
        for index, nbls in by_queue.items():
            self.card.queues[index].recycle(nbls)
        self.check_pause()

    @staticmethod
    def _queue_of(nbl: NetBufferList) -> int:
        assert isinstance(nbl.context, int)
        return nbl.context

    def _indicate(self, queue: QueuePair, harvest: Harvest) -> None:
        """Up with what came; lent when buffers run short, thrown away while paused."""
        nbls = harvest.received
        if not nbls:
            return
        for nbl in nbls:
            nbl.context = queue.index
        if not self.is_running:
            queue.recycle(nbls)
            return
        flags = ReceiveFlag(self._dispatch_flag)
        if harvest.must_lend:
            flags |= ReceiveFlag.RESOURCES
        self.handle.m_indicate_receive_net_buffer_lists(link(nbls), 0, len(nbls), flags)
        if harvest.must_lend:
            queue.recycle(nbls)

    # -- interrupts --------------------------------------------------------------------------------------

    def interrupt(self, message_id: int) -> InterruptResult:
        """MiniportInterrupt / MiniportMessageInterrupt; before registration has returned nothing is ours."""
        if self._card is None or not self._card.is_connected:
            return InterruptResult(False)
        return self.card.interrupts.service(message_id)

    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        """MiniportInterruptDPC / MiniportMessageInterruptDPC: events, then each queue that is due here."""
        interrupts = self.card.interrupts
        due = interrupts.take_due(message_id, cpu)
        if due.has_events:
            self._look_at_events()
            interrupts.end_events()
        for index in sorted(due.queues):
            self._serve(self.card.queues[index], message_id)
        interrupts.end_dpc(message_id, cpu)
        self.check_pause()

    def _serve(self, queue: QueuePair, message_id: int) -> None:
        """One bounded look at a queue. Only one processor at a time has it, so its frames stay in order."""
        if queue.is_polling:
            queue.poll_again = True
            return
        queue.is_polling, queue.poll_again = True, False
        try:
            epoch = self._chimney.epoch
            harvest = queue.poll(self._frames_per_dpc)
            self._indicate(queue, harvest)
            self._complete_sends(harvest.sent)
            self._chimney.serve(queue, harvest, epoch)
        finally:
            queue.is_polling = False
        if harvest.fault is not None:
            self.handle.m_reset_miniport()
        interrupts = self.card.interrupts
        if not interrupts.is_live:
            return
        if harvest.has_more or queue.poll_again:
            interrupts.queue_again(message_id, queue)
        else:
            interrupts.end_queue(queue)

    def _look_at_events(self) -> None:
        """Step 16: clear first, then look, so that a later event is not lost."""
        registers = self.card.registers
        events = registers.read(BAR0.GLB_EVENT)
        if events == ALL_ONES:
            self._lose_card()
            return
        registers.write(BAR0.GLB_EVENT, events)
        if events & GlbEvent.RING:
            self._restart_queues()
        if events & GlbEvent.CHIMNEY:
            self._chimney.look()
        if events & GlbEvent.LINK:
            self._report_link()

    def _restart_queues(self) -> None:
        with self._passing():
            done, has_chimney_ended = self.card.restart_failed_queues(NDIS_STATUS.FAILURE)
            self._complete_sends(done)
        if has_chimney_ended:
            self._chimney.start()
            self._chimney.resume()

    def _report_link(self) -> None:
        news = self.card.link.news(self.handle)
        if news is not None:
            self.handle.m_indicate_status_ex(news)

    # -- OIDs --------------------------------------------------------------------------------------------

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """MiniportOidRequest: complete on return, but for low power while offloads are being terminated."""
        if self.is_removed:
            return NDIS_STATUS.ADAPTER_REMOVED
        if self.is_low_power and oids.needs_power(request):
            return NDIS_STATUS.LOW_POWER_STATE
        if self._chimney.holds(request):
            return NDIS_STATUS.PENDING
        return oids.answer(self, request)

    def cancel_oid_request(self, request_id: int) -> None:
        """MiniportCancelOidRequest: there is never a request pending that could be cancelled."""

    # -- power -------------------------------------------------------------------------------------------

    def set_power(self, state: DevicePowerState) -> None:
        """OID_PNP_SET_POWER: below D0 the card is stopped and forgets all; at D0 it is programmed anew."""
        if state is DevicePowerState.D0:
            self._power_up()
        elif not self.is_low_power:
            done = self.card.stop(NDIS_STATUS.LOW_POWER_STATE)
            self.card.bus.set_master(False)
            self.is_low_power = True
            self._complete_sends(done)

    def _power_up(self) -> None:
        if not self.is_low_power:
            return
        bus = self.card.bus
        try:
            bus.enable_device()
        except UnknownError:
            self._lose_card()
            return
        bus.set_master()
        reset_device(self.card.registers)
        try:
            self.card.program()
        except RingFault:
            self.handle.m_reset_miniport()
        self.is_low_power = False
        self._chimney.resume()
        self._report_link()

    # -- trouble -----------------------------------------------------------------------------------------

    def check_for_hang_ex(self) -> bool:
        """MiniportCheckForHangEx: a queue that takes nothing, or a ring that stopped, needs a reset."""
        if self.is_removed or self.is_low_power:
            return False
        if not self.card.registers.is_answering:
            self._lose_card()
            return False
        queues = self.card.queues
        self._chimney.poke()
        for queue in queues:
            if queue.has_news:  # an interrupt may have been lost; a DPC too many does no harm
                self.card.interrupts.queue_again(0, queue)
        stuck = [queue.is_stuck() or queue.ring_error() is not RingError.NONE for queue in queues]
        return any(stuck) or self._chimney.is_stuck

    def reset_ex(self) -> ResetResult:
        """MiniportResetEx: device reset; all settings are restored from the driver's own records."""
        if self.is_removed:
            return ResetResult(NDIS_STATUS.HARD_ERRORS)
        self.is_resetting = True
        with self._passing():
            status = self._begin_anew()
        self._chimney.tell_all()
        self.check_pause()
        self._report_link()
        # Not before: who is told sends again, and a send must not outlive the reset.
        self.is_resetting = False
        return ResetResult(status)

    def _begin_anew(self) -> NDIS_STATUS:
        """Stop the card, program it, and let go of the sends that it had."""
        card = self.card
        done = card.stop(NDIS_STATUS.RESET_IN_PROGRESS)
        status = _SUCCESS
        try:
            if not self.is_low_power:
                card.program()
        except RingFault:
            status = NDIS_STATUS.HARD_ERRORS
        self._complete_sends(done)
        return status

    def device_pnp_event_notify(self, event: PnpEvent) -> None:
        """MiniportDevicePnPEventNotify: after a surprise removal nothing is asked of the card any more."""
        if event is PnpEvent.SURPRISE_REMOVED:
            self._forget_card()

    def _lose_card(self) -> None:
        """The card answers all ones and nobody said why: NDIS is to remove the adapter."""
        if not self.is_removed:
            self._forget_card()
            self.handle.m_remove_miniport()

    def _forget_card(self) -> None:
        """Every send ends now; buffers are the driver's again."""
        self.is_removed = True
        self.card.registers.let_go()
        self.card.interrupts.is_live = False
        with self._passing():
            self._complete_sends(self.card.forget(NDIS_STATUS.ADAPTER_REMOVED))
        self._chimney.give_up()
        self.check_pause()


def _require(status: NDIS_STATUS) -> None:
    if status != _SUCCESS:
        raise NdisFailure(status, "NdisMSetMiniportAttributes")
