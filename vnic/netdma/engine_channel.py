"""One channel of the engine, as its driver works with it."""

from __future__ import annotations

from dataclasses import dataclass

from vnic.gen.enums import ChanStatus
from vnic.gen.registers import COPY_BAR0, Chancmd, Chanctrl
from vnic.host.cpu import Processors, SpinLock
from vnic.netdma.chain_check import CHAIN_MAX
from vnic.netdma.channel_handle import ChannelHandle
from vnic.netdma.descriptor import DESCRIPTOR_BYTES, CompletionStatus, DescriptorPointer
from vnic.netdma.registers import ChannelRegisters, Registers
from vnic.netdma.types import NET_DMA_CHANNEL_PARAMETERS, NET_DMA_TRANSFER_STATUS, NTSTATUS

#: How long the engine may take to finish a descriptor.
_POLL_NS = 1_000
_POLLS = 10_000
#: What the channel shall do with errors: halt, complete, interrupt.
_CONTROL = Chanctrl.ERR_COMPLETION_EN | Chanctrl.ANY_ERR_ABORT_EN | Chanctrl.ERR_INT_EN
_STANDING = (ChanStatus.DONE, ChanStatus.SUSPENDED, ChanStatus.HALTED, ChanStatus.ARMED)


@dataclass(slots=True)
class Use:
    """Whom a channel is allocated to: NetDMA's handle, and where the completion status goes."""

    handle: ChannelHandle
    completion: memoryview
    completion_address: int


class EngineChannel:
    """The ProviderChannelContext. is_counted: as the client of the channel sees it, version 2.0 and later."""

    def __init__(
        self, processors: Processors, registers: Registers, number: int, *, is_counted: bool
    ) -> None:
        self.number = number
        self.registers = ChannelRegisters(registers, number)
        self.use: Use | None = None
        self.errors_seen = 0
        self._bus = registers.bus
        self._is_counted = is_counted
        self._lock = SpinLock(processors, f"engine channel {number}")
        self._count = 0
        self._is_started = False
        self._is_suspended = False
        self._is_aborted = False
        # Version 1.x: the chain, what of it was to be done at Suspend, and the ends of chains before it.
        self._chain: DescriptorPointer | None = None
        self._behind: list[DescriptorPointer] = []
        self._latest: DescriptorPointer | None = None
        self._stale: set[int] = set()

    # -- life ------------------------------------------------------------------------------------------------

    @property
    def is_allocated(self) -> bool:
        """Whether a client has it."""
        return self.use is not None

    def open(self, handle: ChannelHandle, parameters: NET_DMA_CHANNEL_PARAMETERS) -> None:
        """It is allocated."""
        memory, address = parameters.completion_virtual_address, parameters.completion_physical_address
        self.use = Use(handle, memory, address)
        self.prepare()

    def prepare(self) -> None:
        """What the engine must know before the first Start, also after it lost its power."""
        self._quiet()
        if self.use is not None:
            self.registers.write(COPY_BAR0.CHANCMP, self.use.completion_address)
        self.rearm()

    def close(self) -> None:
        """It is freed: the engine knows no address of it any more."""
        self._quiet()
        self.registers.write(COPY_BAR0.CHANCMP, 0)
        self.use = None

    def rearm(self) -> None:
        """Let the channel interrupt again."""
        self.registers.write(COPY_BAR0.CHANCTRL, _CONTROL | Chanctrl.INT_DISABLE)

    # -- ProviderXxx -----------------------------------------------------------------------------------------

    def start(self, first: DescriptorPointer, address: int, count: int) -> NTSTATUS:
        """A new chain; the engine finishes the descriptor at hand. Not before an error was reported."""
        total = self._length(first, count)
        with self._lock:
            if total is None or self.registers.errors:
                return NTSTATUS.UNSUCCESSFUL
            if self._is_aborted:
                self.prepare()  # else CHANSTS might name what was before the abort
            self._begin(first, address, total)
            return self._result()

    def append(self, first: DescriptorPointer, address: int, count: int) -> NTSTATUS:
        """More of the same chain. An engine that counts needs no more than the count of them."""
        added = self._length(first, count)
        with self._lock:
            if added is None or not self._is_started or self._is_halted():
                return NTSTATUS.UNSUCCESSFUL
            if self._is_counted or self._is_suspended:
                self._add(added)
            elif self._chain is None:
                self._begin(first, address, added)
            elif not self._append_at_the_end(added):
                return NTSTATUS.UNSUCCESSFUL
            return self._result()

    def _append_at_the_end(self, added: int) -> bool:
        """Version 1.x: NextDescriptor of the last descriptor was NULL when the engine fetched it, perhaps.

        It is stopped between two descriptors, told of the new ones, and reads the last processed one again
        as it goes on. Where it stood, before the end or at it, makes no difference then. [NDMA-4]
        """
        if not self._stop():
            return False
        self._add(added)
        self.registers.command(Chancmd.RESUME)
        return True

    def suspend(self) -> tuple[NTSTATUS, int]:
        """Stop after the descriptor at hand; the last processed one's address."""
        with self._lock:
            if not self._is_started or not self._stop():
                return NTSTATUS.UNSUCCESSFUL, 0
            self._is_suspended = True
            last = self.registers.status.address
            self._behind = [] if self._is_counted else self._list_behind(last)
            self._report(last, NET_DMA_TRANSFER_STATUS.SUSPEND)
            return NTSTATUS.SUCCESS, last

    def resume(self) -> NTSTATUS:
        """Go on: the engine reads the last processed descriptor again for its NextDescriptor."""
        with self._lock:
            if not self._is_suspended or self._is_halted():
                return NTSTATUS.UNSUCCESSFUL
            self._is_suspended = False
            last = self.registers.status.address
            behind = [] if self._is_counted else self._list_behind(last)
            if behind == self._behind:
                self.registers.command(Chancmd.RESUME)
            else:
                self._go_on_with(behind, last)
            return self._result()

    def _go_on_with(self, behind: list[DescriptorPointer], last: int) -> None:
        """Version 1.x: the list was edited, its length may be another, so it is a new chain to the engine."""
        if behind:
            self._begin(behind[0], behind[0].physical, len(behind))
        else:
            self._chain = None  # cut off here: an Append goes on
            self._report(last, NET_DMA_TRANSFER_STATUS.IDLE)

    def _list_behind(self, last: int) -> list[DescriptorPointer]:
        """Version 1.x: what is to be done of the chain after its last processed descriptor."""
        if self._chain is None:
            return []
        here = self._chain.at(last)
        if here is None or (last in self._stale and here not in set(self._chain.walk(CHAIN_MAX))):
            return list(self._chain.walk(CHAIN_MAX))  # none of this chain is processed
        return list(here.walk(CHAIN_MAX))[1:]

    def abort(self) -> NTSTATUS:
        """Stop at once; the descriptor at hand is not finished."""
        with self._lock:
            self.registers.command(Chancmd.ABORT)
            self._clear_errors()
            self._forget()
            self._is_aborted = True
            self._report(self.registers.status.address, NET_DMA_TRANSFER_STATUS.HALTED)
            return self._result()

    def reset(self) -> NTSTATUS:
        """As after the allocation."""
        with self._lock:
            self.prepare()
            self._report(0, NET_DMA_TRANSFER_STATUS.HALTED)
            return self._result()

    # -- interrupts ------------------------------------------------------------------------------------------

    def take_progress(self) -> tuple[bool, int]:
        """Whether the channel failed, and the last processed descriptor; after a failure it stands still."""
        with self._lock:
            status, errors = self.registers.status, self.registers.errors
            if not errors:
                return False, status.address if self._is_ours(status.address) else 0
            self.errors_seen |= errors
            self._report(status.address, NET_DMA_TRANSFER_STATUS.HALTED)
            self.prepare()
            return True, status.address

    def _is_ours(self, address: int) -> bool:
        """Whether a descriptor can be one of the channel's chains: an engine can say anything."""
        found = self._latest.at(address) if self._latest is not None else None
        is_status = self.use is not None and address == self.use.completion_address
        return found is not None and not (found.offset % DESCRIPTOR_BYTES or is_status)

    def lose(self) -> None:
        """The engine is gone, or has no power: nothing of the chain is left."""
        with self._lock:
            self._forget()

    # -- inside ----------------------------------------------------------------------------------------------

    def _length(self, first: DescriptorPointer, count: int) -> int | None:
        """The descriptors of a chain. Before version 2.0 it ends with NULL, and the count may be anything."""
        if self._is_counted:
            return count if 0 < count <= CHAIN_MAX else None
        chain = list(first.walk(CHAIN_MAX))
        return len(chain) if chain[-1].read().next_descriptor == 0 else None

    def _begin(self, first: DescriptorPointer, address: int, count: int) -> None:
        """CHAINADDR, then DMACOUNT; between the two no descriptor of the new chain can be processed."""
        registers = self.registers
        last = registers.status.address
        registers.start_chain(address)
        self._stale = {last, registers.read(COPY_BAR0.CDAR)}
        self._chain, self._count = first, count
        self._latest = first
        self._is_started, self._is_suspended = True, False
        registers.count(count)

    def _add(self, count: int) -> None:
        self._count += count
        self.registers.count(self._count)

    def _stop(self) -> bool:
        """SUSPEND, and wait until it took effect; False when the channel failed or does not stop in time."""
        self.registers.command(Chancmd.SUSPEND)
        for _ in range(_POLLS):
            if self.registers.status.status in _STANDING:
                return not self._is_halted()
            self._bus.delay_ns(_POLL_NS)
        self.registers.command(Chancmd.RESUME)  # takes the SUSPEND back
        return False

    def _is_halted(self) -> bool:
        return self.registers.status.status == ChanStatus.HALTED

    def _result(self) -> NTSTATUS:
        """Accesses to an engine that is gone do nothing."""
        return (
            NTSTATUS.SUCCESS
            if self.registers.read(COPY_BAR0.CHANCMD) != 0xFFFF_FFFF
            else NTSTATUS.UNSUCCESSFUL
        )

    def _quiet(self) -> None:
        """ABORT, that no more errors come; those that came; then RESET, which takes CHANERR with it."""
        self._forget()
        self.registers.command(Chancmd.ABORT)
        self._clear_errors()
        self.registers.command(Chancmd.RESET)

    def _clear_errors(self) -> None:
        errors = self.registers.errors
        if errors:
            self.registers.clear_errors(errors)

    def _forget(self) -> None:
        self._count = 0
        self._chain = None
        self._is_started = self._is_suspended = self._is_aborted = False

    def _report(self, address: int, status: NET_DMA_TRANSFER_STATUS) -> None:
        """The completion status that a command leads to: the engine writes only those of descriptors."""
        if self.use is not None:
            CompletionStatus(address, status).write(self.use.completion)
