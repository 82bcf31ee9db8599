"""The Miniport whose entry points are those of a C driver."""

from __future__ import annotations

from vnic.host.bus import Bus
from vnic.host.memory import GuestMemory
from vnic.ndis.attributes import HaltAction, PnpEvent, ShutdownAction
from vnic.ndis.miniport import (
    InitParameters,
    InterruptResult,
    Miniport,
    MiniportHandle,
    ResetResult,
    ReturnFlag,
    SendFlag,
)
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oid_request import OidRequest
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import PauseParameters, RestartParameters
from vnic.testbench.c_driver.bus import BusCalls
from vnic.testbench.c_driver.crossing import Crossing
from vnic.testbench.c_driver.declarations import C, declared, new
from vnic.testbench.c_driver.guest import Guest
from vnic.testbench.c_driver.ndis import NdisCalls, processor_set
from vnic.testbench.c_driver.sends import CancelIds, Sends

__all__ = ["CMiniport"]

_CONTEXT_ALIGN = 64


class Life:
    """One adapter from initialize_ex to halt_ex: the tables it is given, and what it has."""

    def __init__(
        self, driver: CMiniport, handle: MiniportHandle, bus: Bus, parameters: InitParameters
    ) -> None:
        self.crossing = crossing = Crossing(driver, handle, is_instrumented=driver.is_instrumented)
        guest = Guest(crossing, driver.memory, bus)
        sends = Sends(crossing, driver.cancel_ids)
        self.calls = NdisCalls(crossing, handle, bus, guest, settings=parameters.settings, sends=sends)
        self._bus_ops = new("struct vnic_bus_ops *")
        self._ops = new("struct vnic_ndis_ops *")
        self.ndis = ndis = new("struct vnic_ndis *")
        own_bus, own = (declared().cast("void *", each) for each in (self._bus_ops, ndis))
        self._callbacks = crossing.table(
            "struct vnic_bus_ops", own_bus, BusCalls(crossing, bus, guest), self._bus_ops
        ) + crossing.table("struct vnic_ndis_ops", own, self.calls, self._ops)
        ndis.size, ndis.ops_size = (
            declared().sizeof(f"struct {name}") for name in ("vnic_ndis", "vnic_ndis_ops")
        )
        ndis.ops, ndis.adapter = self._ops, own
        ndis.bus.ops, ndis.bus.opaque = self._bus_ops, own_bus
        ndis.processors = len(handle.processors)


class CMiniport(Miniport):
    """One adapter's driver; each library has a class of its own, named after it.

    table: its struct vnic_miniport. memory: what it allocates from. A breach of the border's rules raises
    NdisViolation with a DRV id, one of NDIS's with its own.
    """

    #: Whether the library was built with AddressSanitizer.
    is_instrumented = False

    def __init__(self, table: C, memory: GuestMemory) -> None:
        self.memory = memory
        self.cancel_ids = CancelIds()
        self.ndis_version = (table.ndis_major, table.ndis_minor)
        self._table = table
        self._size = table.context_bytes
        self._block = new(f"uint8_t[{self._size + 2 * _CONTEXT_ALIGN}]")
        at = int(declared().cast("uintptr_t", self._block))
        self._context = declared().cast("void *", self._block + -at % _CONTEXT_ALIGN)
        self._life: Life | None = None

    @property
    def _lived(self) -> Life:
        assert self._life is not None, "NDIS calls a miniport that is halted"
        return self._life

    # -- initialize and halt -----------------------------------------------------------------------------

    def initialize_ex(self, handle: MiniportHandle, parameters: InitParameters) -> NDIS_STATUS:
        """MiniportInitializeEx."""
        if parameters.bus is None:
            return NDIS_STATUS.RESOURCES
        declared().buffer(self._context, self._size)[:] = bytes(self._size)
        life = self._life = Life(self, handle, parameters.bus, parameters)
        result = life.crossing.call(self._table.initialize_ex, self._context, life.ndis)
        status = life.crossing.status(result, "what initialize_ex returned")
        if status != NDIS_STATUS.SUCCESS:
            self._end()
        return status

    def halt_ex(self, action: HaltAction) -> None:
        """MiniportHaltEx."""
        self._lived.crossing.call(self._table.halt_ex, self._context, action)
        self._end()

    def _end(self) -> None:
        """Nothing may be left, nor anything have been touched late; the tables are gone."""
        life, self._life = self._lived, None
        life.calls.check()

    def shutdown_ex(self, action: ShutdownAction) -> None:
        """MiniportShutdownEx."""
        self._lived.crossing.call(self._table.shutdown_ex, self._context, action)

    # -- pause, restart, reset ---------------------------------------------------------------------------

    def pause(self, parameters: PauseParameters) -> NDIS_STATUS:
        """MiniportPause."""
        crossing = self._lived.crossing
        result = crossing.call(self._table.pause, self._context, parameters.flags)
        return crossing.status(result, "what pause returned")

    def restart(self, parameters: RestartParameters) -> NDIS_STATUS:
        """MiniportRestart."""
        crossing = self._lived.crossing
        return crossing.status(crossing.call(self._table.restart, self._context), "what restart returned")

    def check_for_hang_ex(self) -> bool:
        """MiniportCheckForHangEx; a driver without one never hangs."""
        if not self._table.check_for_hang_ex:
            return False
        return bool(self._lived.crossing.call(self._table.check_for_hang_ex, self._context))

    def reset_ex(self) -> ResetResult:
        """MiniportResetEx."""
        crossing = self._lived.crossing
        addressing_reset = new("bool *")
        result = crossing.call(self._table.reset_ex, self._context, addressing_reset)
        return ResetResult(crossing.status(result, "what reset_ex returned"), bool(addressing_reset[0]))

    def device_pnp_event_notify(self, event: PnpEvent) -> None:
        """MiniportDevicePnPEventNotify."""
        self._lived.crossing.call(self._table.device_pnp_event_notify, self._context, event)

    # -- data --------------------------------------------------------------------------------------------

    def send_net_buffer_lists(self, chain: NetBufferList, port: int, flags: SendFlag) -> None:
        """MiniportSendNetBufferLists."""
        life = self._lived
        head = life.calls.sends.give(chain)
        life.crossing.call(self._table.send_net_buffer_lists, self._context, head, port, flags)

    def cancel_send(self, cancel_id: object) -> None:
        """MiniportCancelSend."""
        number = self.cancel_ids.number(cancel_id)
        if self._table.cancel_send:
            self._lived.crossing.call(self._table.cancel_send, self._context, number)

    def return_net_buffer_lists(self, chain: NetBufferList, flags: ReturnFlag) -> None:
        """MiniportReturnNetBufferLists."""
        life = self._lived
        head = life.calls.receives.take_back(chain)
        life.crossing.call(self._table.return_net_buffer_lists, self._context, head, flags)

    # -- OIDs --------------------------------------------------------------------------------------------

    def oid_request(self, request: OidRequest) -> NDIS_STATUS:
        """MiniportOidRequest."""
        life = self._lived
        structure = life.calls.requests.give(request)
        result = life.crossing.call(self._table.oid_request, self._context, structure)
        status = life.crossing.status(result, f"what {request} was answered with")
        if status != NDIS_STATUS.PENDING and life.calls.requests.has(structure):
            life.calls.requests.take_back(structure)
        return status

    def cancel_oid_request(self, request_id: int) -> None:
        """MiniportCancelOidRequest."""
        if self._table.cancel_oid_request:
            self._lived.crossing.call(self._table.cancel_oid_request, self._context, request_id)

    # -- interrupts --------------------------------------------------------------------------------------

    def interrupt(self, message_id: int) -> InterruptResult:
        """MiniportInterrupt / MiniportMessageInterrupt."""
        wants_dpc, targets = new("bool *"), new("uint64_t *")
        is_ours = self._lived.crossing.call(
            self._table.interrupt, self._context, message_id, wants_dpc, targets
        )
        return InterruptResult(bool(is_ours), bool(wants_dpc[0]), processor_set(targets[0]))

    def interrupt_dpc(self, message_id: int, cpu: int, context: object) -> None:
        """MiniportInterruptDPC / MiniportMessageInterruptDPC."""
        given = declared().cast("void *", context if isinstance(context, int) else 0)
        self._lived.crossing.call(self._table.interrupt_dpc, self._context, message_id, cpu, given)
