"""struct vnic_ndis_ops over a MiniportHandle: the NdisXxx functions of a C driver."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from vnic.errors import AllocationError, CapacityError
from vnic.host.bus import Bus, Direction, Segment, VectorKinds
from vnic.host.cpu import SpinLock
from vnic.ndis.keywords import Settings
from vnic.ndis.miniport import (
    InterruptCharacteristics,
    InterruptHandle,
    MiniportHandle,
    NdisFailure,
    ReceiveFlag,
)
from vnic.ndis.miniport import TimerHandle as Timer
from vnic.ndis.net_buffer_list import link
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StatusIndication, StructureError
from vnic.testbench.c_driver.attributes import (
    general_attributes,
    link_state,
    offload_attributes,
    registration_attributes,
)
from vnic.testbench.c_driver.crossing import Crossing
from vnic.testbench.c_driver.declarations import C, address_of, declared, new
from vnic.testbench.c_driver.guest import Guest
from vnic.testbench.c_driver.receives import Receives
from vnic.testbench.c_driver.requests import Requests
from vnic.testbench.c_driver.sends import Sends

__all__ = ["NdisCalls"]

_BUFFER_MAX = 1 << 20
_MESSAGES_MAX = 64


class NdisCalls:
    """Every member of the table by its name; arguments are C's, without the first."""

    def __init__(
        self,
        crossing: Crossing,
        handle: MiniportHandle,
        bus: Bus,
        guest: Guest,
        *,
        settings: Settings,
        sends: Sends,
    ) -> None:
        self._crossing = crossing
        self._handle = handle
        self._bus = bus
        self._guest = guest
        self._settings = settings
        self.sends = sends
        self.receives = Receives(crossing, guest, handle)
        self.requests = Requests(crossing)
        self._numbers = count(0x1000, 0x10)
        self._objects: dict[int, object] = {}
        self._sg_lists: dict[int, tuple[list[Segment], C, C]] = {}

    # -- handles -----------------------------------------------------------------------------------------

    def _make_handle(self, what: object) -> C:
        number = next(self._numbers)
        self._objects[number] = what
        return declared().cast("void *", number)

    def _interrupt(self, pointer: C) -> InterruptHandle:
        found = self._objects.get(address_of(pointer))
        if found is None or isinstance(found, SpinLock) or hasattr(found, "cancel"):
            raise self._crossing.breach("DRV-10", f"{address_of(pointer):#x} is no interrupt of the driver's")
        return found  # type: ignore[return-value]

    def _timer(self, pointer: C) -> Timer:
        found = self._objects.get(address_of(pointer))
        if not hasattr(found, "cancel"):
            raise self._crossing.breach("DRV-10", f"{address_of(pointer):#x} is no timer of the driver's")
        return found  # type: ignore[return-value]

    def _lock(self, pointer: C) -> SpinLock:
        found = self._objects.get(address_of(pointer))
        if not isinstance(found, SpinLock):
            raise self._crossing.breach("DRV-10", f"{address_of(pointer):#x} is no spin lock of the driver's")
        return found

    # -- set-up ------------------------------------------------------------------------------------------

    def set_registration_attributes(self, attributes: C) -> int:
        """NdisMSetMiniportAttributes."""
        made = registration_attributes(attributes, self._crossing.driver)
        return self._handle.m_set_miniport_attributes(made)

    def set_general_attributes(self, attributes: C) -> int:
        """NdisMSetMiniportAttributes."""
        try:
            made = general_attributes(attributes)
        except ValueError as error:
            raise self._crossing.breach("INIT-4", str(error)) from None
        return self._handle.m_set_miniport_attributes(made)

    def set_offload_attributes(self, attributes: C) -> int:
        """NdisMSetMiniportAttributes."""
        try:
            made = offload_attributes(attributes)
        except StructureError as error:
            return error.status
        return self._handle.m_set_miniport_attributes(made)

    def read_configuration(self, keyword: C, value: C) -> int:
        """NdisReadConfiguration."""
        name = declared().string(keyword, 128).decode("ascii", "replace")
        if name not in self._settings:
            return NDIS_STATUS.FILE_NOT_FOUND
        value[0] = self._settings[name]
        return NDIS_STATUS.SUCCESS

    def read_network_address(self, address: C) -> int:
        """NdisReadNetworkAddress."""
        found = self._settings.network_address
        if found is None:
            return NDIS_STATUS.FILE_NOT_FOUND
        for place in range(6):
            address[place] = found[place]
        return NDIS_STATUS.SUCCESS

    # -- interrupts --------------------------------------------------------------------------------------

    def register_interrupt_ex(self, wanted: C, granted: C) -> int:
        """NdisMRegisterInterruptEx."""
        kinds = VectorKinds(wanted.kinds & VectorKinds.ANY) or VectorKinds.ANY
        most = min(wanted.messages, _MESSAGES_MAX)
        try:
            interrupt = self._handle.m_register_interrupt_ex(InterruptCharacteristics(most, (), kinds))
        except NdisFailure as error:
            return error.status
        granted.handle = self._make_handle(interrupt)
        granted.kind = 1 << interrupt.kind
        granted.messages = len(interrupt.affinity)
        for message, cpu in enumerate(interrupt.affinity):
            granted.affinity[message] = cpu
        return NDIS_STATUS.SUCCESS

    def deregister_interrupt_ex(self, interrupt: C) -> None:
        """NdisMDeregisterInterruptEx."""
        self._handle.m_deregister_interrupt_ex(self._interrupt(interrupt))

    def queue_dpc_ex(self, interrupt: C, message_id: int, processors: int, context: C) -> int:
        """NdisMQueueDpcEx."""
        targets = processor_set(processors)
        found = self._interrupt(interrupt)
        queued = self._handle.m_queue_dpc_ex(found, message_id, targets, address_of(context))
        return sum(1 << cpu for cpu in queued)

    def synchronize_with_interrupt_ex(self, interrupt: C, message_id: int, function: C, context: C) -> bool:
        """NdisMSynchronizeWithInterruptEx."""

        def run() -> bool:
            return bool(self._crossing.call(function, context))

        return self._handle.m_synchronize_with_interrupt_ex(self._interrupt(interrupt), message_id, run)

    # -- data --------------------------------------------------------------------------------------------

    def send_net_buffer_lists_complete(self, chain: C, flags: int) -> None:
        """NdisMSendNetBufferListsComplete."""
        nbls = self.sends.take_back(chain)
        self._handle.m_send_net_buffer_lists_complete(link(nbls), flags)

    def indicate_receive_net_buffer_lists(self, chain: C, port: int, number: int, flags: int) -> None:
        """NdisMIndicateReceiveNetBufferLists."""
        nbls = self.receives.give(chain)
        self._handle.m_indicate_receive_net_buffer_lists(link(nbls), port, number, flags)
        if flags & ReceiveFlag.RESOURCES:
            for nbl in nbls:
                self.receives.end(nbl)

    def alloc_memory(self, size: int, align: int) -> C:
        """NdisAllocateMemoryWithTagPriority."""
        return self._guest.alloc(size, align)

    def free_memory(self, memory: C) -> None:
        """NdisFreeMemory."""
        self._guest.free(memory)

    def alloc_mdl(self, memory: C, size: int) -> C:
        """NdisAllocateMdl."""
        return self.receives.alloc_mdl(memory, size)

    def free_mdl(self, mdl: C) -> None:
        """NdisFreeMdl."""
        self.receives.free_mdl(mdl)

    def alloc_net_buffer_list(self, chain: C, offset: int, length: int) -> C:
        """NdisAllocateNetBufferAndNetBufferList."""
        return self.receives.alloc_list(chain, offset, length)

    def free_net_buffer_list(self, which: C) -> None:
        """NdisFreeNetBufferList."""
        self.receives.free_list(which)

    def alloc_net_buffer_sg_list(self, buffer: C) -> C:
        """NdisMAllocateNetBufferSGList."""
        segments: list[Segment] = []
        try:
            for address, part in self.sends.net_buffer(buffer).views():
                segments += self._bus.map(address, len(part), Direction.TO_DEVICE)
        except (AllocationError, CapacityError):
            self._bus.unmap(segments, Direction.TO_DEVICE)
            return declared().NULL
        elements = new(f"struct vnic_segment[{max(len(segments), 1)}]")
        for place, segment in enumerate(segments):
            elements[place].addr, elements[place].len = segment
        made = new("struct vnic_sg_list *")
        made.count, made.elements = len(segments), elements
        self._sg_lists[address_of(made)] = (segments, made, elements)
        return made

    def free_net_buffer_sg_list(self, which: C) -> None:
        """NdisMFreeNetBufferSGList."""
        found = self._sg_lists.pop(address_of(which), None)
        if found is None:
            text = f"free_net_buffer_sg_list of {address_of(which):#x}: not allocated (or freed before)"
            raise self._crossing.breach("DRV-13", text)
        self._bus.unmap(found[0], Direction.TO_DEVICE)

    # -- completions and statuses ------------------------------------------------------------------------

    def indicate_status_ex(self, status: int, buffer: C, size: int) -> None:
        """NdisMIndicateStatusEx."""
        if size > _BUFFER_MAX or (size and not buffer):
            raise self._crossing.breach("STATUS-1", f"a status buffer of {size} bytes at {buffer}")
        data = bytes(declared().buffer(buffer, size)) if size else b""
        self._handle.m_indicate_status_ex(StatusIndication(status, data, self._handle))

    def indicate_link_state(self, link: C) -> None:
        """NDIS_STATUS_LINK_STATE."""
        try:
            state = link_state(link)
        except ValueError as error:
            raise self._crossing.breach("STATUS-1", str(error)) from None
        indication = StatusIndication(NDIS_STATUS.LINK_STATE, state.pack(), self._handle)
        self._handle.m_indicate_status_ex(indication)

    def oid_request_complete(self, request: C, status: int) -> None:
        """NdisMOidRequestComplete."""
        final = self._crossing.status(status, "the status of an OID request")
        self._handle.m_oid_request_complete(self.requests.take_back(request), final)

    def pause_complete(self) -> None:
        """NdisMPauseComplete."""
        self._handle.m_pause_complete()

    def restart_complete(self, status: int) -> None:
        """NdisMRestartComplete."""
        self._handle.m_restart_complete(self._crossing.status(status, "the status of a restart"))

    def reset_complete(self, status: int, addressing_reset: bool) -> None:
        """NdisMResetComplete."""
        final = self._crossing.status(status, "the status of a reset")
        self._handle.m_reset_complete(final, addressing_reset)

    def remove_miniport(self) -> None:
        """NdisMRemoveMiniport."""
        self._handle.m_remove_miniport()

    def reset_miniport(self) -> None:
        """NdisMResetMiniport."""
        self._handle.m_reset_miniport()

    # -- time, work, processors --------------------------------------------------------------------------

    def alloc_timer(self, function: C, context: C) -> C:
        """NdisAllocateTimerObject."""
        return self._make_handle(self._handle.m_allocate_timer(self._later(function, context)))

    def set_timer(self, timer: C, due_ns: int, period_ns: int) -> None:
        """NdisSetTimerObject."""
        self._timer(timer).set(due_ns, period_ns)

    def cancel_timer(self, timer: C) -> bool:
        """NdisCancelTimerObject."""
        return self._timer(timer).cancel()

    def free_timer(self, timer: C) -> None:
        """NdisFreeTimerObject: a timer that is armed must not be freed."""
        if self._timer(timer).cancel():
            raise self._crossing.breach("HALT-2", "free_timer of a timer that is armed")
        del self._objects[address_of(timer)]

    def queue_work_item(self, routine: C, context: C) -> None:
        """NdisQueueIoWorkItem."""
        self._handle.m_queue_work_item(self._later(routine, context))

    def _later(self, function: C, context: C) -> Callable[[], None]:
        if not function:
            raise self._crossing.breach("DRV-10", "a function to call later is NULL")

        def run() -> None:
            self._crossing.call(function, context)

        return run

    def sleep(self, microseconds: int) -> None:
        """NdisMSleep."""
        self._handle.m_sleep(microseconds)

    def now_ns(self) -> int:
        """NdisGetCurrentSystemTime."""
        return self._handle.now_ns()

    def alloc_spin_lock(self) -> C:
        """NdisAllocateSpinLock."""
        return self._make_handle(SpinLock(self._handle.processors))

    def free_spin_lock(self, lock: C) -> None:
        """NdisFreeSpinLock."""
        if self._lock(lock).owner is not None:
            raise self._crossing.breach("DRV-13", "free_spin_lock of a lock that is held")
        del self._objects[address_of(lock)]

    def acquire_spin_lock(self, lock: C) -> None:
        """NdisAcquireSpinLock."""
        self._lock(lock).__enter__()

    def release_spin_lock(self, lock: C) -> None:
        """NdisReleaseSpinLock."""
        found = self._lock(lock)
        if found.owner != self._handle.processors.current:
            raise self._crossing.breach(
                "LOCK-2", "release_spin_lock of a lock that this processor does not hold"
            )
        found.__exit__(None, None, None)

    def current_processor(self) -> int:
        """NdisGetCurrentProcessorIndex."""
        return self._handle.processors.current

    def current_irql(self) -> int:
        """NDIS_CURRENT_IRQL."""
        return int(self._handle.processors.level)

    # -- the end -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """What a halted driver must have given back; DRV-13. Interrupts and timers are NDIS's to look for."""
        self.sends.check()
        self.requests.check()
        if self._sg_lists:
            raise self._crossing.breach(
                "DRV-13", f"{len(self._sg_lists)} scatter-gather lists were not freed"
            )
        locks = sum(isinstance(each, SpinLock) for each in self._objects.values())
        if locks:
            raise self._crossing.breach("DRV-13", f"{locks} spin locks were not freed")
        self.receives.check()


def processor_set(mask: int) -> frozenset[int]:
    """The processors of a mask."""
    return frozenset(cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1)
