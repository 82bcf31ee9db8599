"""NetDmaChannelHandle: one allocated channel, with each call into its provider checked on the way."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from vnic.host.bus import Coherent
from vnic.netdma.chain_check import ChainCheck
from vnic.netdma.descriptor import COMPLETION_BYTES, DESCRIPTOR_BYTES, CompletionStatus
from vnic.netdma.record import ProviderRecord
from vnic.netdma.types import (
    NET_DMA_CHANNEL_PARAMETERS,
    NET_DMA_TRANSFER_STATUS,
    NTSTATUS,
    ChannelCommand,
    DescriptorPointer,
)
from vnic.netdma.watch import Watch

_STATUSES = frozenset(NTSTATUS)


class ChannelState(Enum):
    """What a channel takes next."""

    NEEDS_START = "needs a Start"
    STARTED = "started"
    SUSPENDED = "suspended"
    FREED = "freed"


class Listener(Protocol):
    """Who hears of a channel's interrupts."""

    def on_interrupt_dpc(self, descriptor: int | None) -> None:
        """The last processed descriptor, at DISPATCH; None: the channel failed, and needs a Start."""


class ChannelHandle:
    """One channel of one client. `memory` ends with the completion status, what is before it is the owner's.

    is_checked: walk every chain before the provider gets it.
    """

    def __init__(
        self,
        watch: Watch,
        record: ProviderRecord,
        client: object,
        memory: Coherent,
        *,
        is_checked: bool = True,
    ) -> None:
        self._watch = watch
        self.record = record
        self.client = client
        self.memory = memory
        self.state = ChannelState.NEEDS_START
        self.context: object = None
        self.cpu = 0
        self.listener: Listener | None = None
        #: ProviderFreeDmaChannel has returned: no interrupt may come any more.
        self.is_quiet = False
        self._check = ChainCheck(watch, record, client)
        self._is_checked = is_checked
        self._completion_offset = len(memory) - COMPLETION_BYTES
        self._completion = memory.view[self._completion_offset :]

    # -- life ------------------------------------------------------------------------------------------------

    def allocate(self, mask: int, revision: int) -> NTSTATUS:
        """ProviderAllocateDmaChannel, for the processors of a mask."""
        record = self.record
        parameters = NET_DMA_CHANNEL_PARAMETERS(
            self._completion,
            self.memory.addr + self._completion_offset,
            mask,
            revision,
            processor_affinity_mask_ex=(0, mask) if revision > 1 else None,
        )
        function = record.characteristics.allocate_dma_channel
        assert function is not None
        with self._watch.entering(record.driver, "ProviderAllocateDmaChannel", f"mask {mask:#x}") as call:
            status, self.context = function(record.driver, parameters, self)
            call.result = _name(status)
        self._check_status("ProviderAllocateDmaChannel", status)
        if status == NTSTATUS.SUCCESS:
            self._take_cpu(parameters.cpu_number)
        return status

    def _take_cpu(self, cpu: int) -> None:
        known = 0 <= cpu < len(self._watch.processors)
        self._watch.require(known, "channel", self.record.driver, f"CpuNumber {cpu}")
        self.cpu = cpu

    def free(self) -> None:
        """ProviderFreeDmaChannel; the owner has nothing outstanding."""
        self._check_use("ProviderFreeDmaChannel")
        self._move(ChannelState.FREED)
        function = self.record.characteristics.free_dma_channel
        assert function is not None
        with self._watch.entering(self.record.driver, "ProviderFreeDmaChannel"):
            function(self.context)
            self.is_quiet = True

    def _move(self, state: ChannelState) -> None:
        """To a state; a channel that another processor freed meanwhile stays so."""
        if not self.is_freed:
            self.state = state

    @property
    def is_freed(self) -> bool:
        """Whether it is gone."""
        return self.state is ChannelState.FREED

    # -- transfers -------------------------------------------------------------------------------------------

    def start(self, first: DescriptorPointer, count: int) -> NTSTATUS:
        """ProviderStartDma, at any time."""
        self._check_use("ProviderStartDma")
        function = self.record.characteristics.start_dma
        assert function is not None
        self._check_chain(first, count)
        with self._watch.entering(self.record.driver, "ProviderStartDma", _described(first, count)) as call:
            status = function(self.context, first, first.physical, count)
            call.result = _name(status)
        self._check_status("ProviderStartDma", status)
        if status == NTSTATUS.SUCCESS:
            self._move(ChannelState.STARTED)
        return status

    def append(self, first: DescriptorPointer, count: int) -> NTSTATUS:
        """ProviderAppendDma, after a Start."""
        self._check_use("ProviderAppendDma")
        is_started = self.state is not ChannelState.NEEDS_START
        self._watch.require(is_started, "append", self.client, "ProviderAppendDma before ProviderStartDma")
        function = self.record.characteristics.append_dma
        assert function is not None
        self._check_chain(first, count)
        with self._watch.entering(self.record.driver, "ProviderAppendDma", _described(first, count)) as call:
            status = function(self.context, first, first.physical, count)
            call.result = _name(status)
        self._check_status("ProviderAppendDma", status)
        return status

    def suspend(self) -> tuple[NTSTATUS, int]:
        """ProviderSuspendDma: the last processed descriptor's address, 0 when there is none."""
        self._check_use("ProviderSuspendDma")
        function = self.record.characteristics.suspend_dma
        if function is None:
            raise self._missing("SuspendDma")
        is_ready = self.state is ChannelState.STARTED
        self._watch.require(
            is_ready, "suspend", self.client, f"Suspend of a channel that is {self.state.value}"
        )
        with self._watch.entering(self.record.driver, "ProviderSuspendDma") as call:
            status, last = function(self.context)
            call.result = f"{_name(status)}, {last:#x}"
        self._check_status("ProviderSuspendDma", status)
        if status == NTSTATUS.SUCCESS:
            is_descriptor = last % DESCRIPTOR_BYTES == 0
            self._watch.require(is_descriptor, "suspended", self.record.driver, f"Suspend answers {last:#x}")
            self._move(ChannelState.SUSPENDED)
        return status, last

    def resume(self) -> NTSTATUS:
        """ProviderResumeDma, after a Suspend."""
        self._check_use("ProviderResumeDma")
        is_suspended = self.state is ChannelState.SUSPENDED
        status = self._command("ResumeDma", self.record.characteristics.resume_dma, is_suspended)
        if status == NTSTATUS.SUCCESS:
            self._move(ChannelState.STARTED)
        return status

    def abort(self) -> NTSTATUS:
        """ProviderAbortDma: what is under way stops, a Start must follow."""
        self._check_use("ProviderAbortDma")
        return self._halt("AbortDma", self.record.characteristics.abort_dma)

    def reset(self) -> NTSTATUS:
        """ProviderResetChannel: as after the allocation."""
        self._check_use("ProviderResetChannel")
        return self._halt("ResetChannel", self.record.characteristics.reset_channel)

    def stop(self) -> bool:
        """Reset or Abort, whichever there is; False when there is neither, or the provider failed to."""
        characteristics = self.record.characteristics
        if characteristics.reset_channel is not None:
            return self.reset() == NTSTATUS.SUCCESS
        return characteristics.abort_dma is not None and self.abort() == NTSTATUS.SUCCESS

    def _halt(self, name: str, function: ChannelCommand | None) -> NTSTATUS:
        status = self._command(name, function, True)
        if status == NTSTATUS.SUCCESS:
            self._move(ChannelState.NEEDS_START)
            left = self.completion.status
            is_halted = left == NET_DMA_TRANSFER_STATUS.HALTED
            self._watch.require(is_halted, "halted", self.record.driver, f"{name} leaves status {left}")
        return status

    def _command(self, name: str, function: ChannelCommand | None, is_in_place: bool) -> NTSTATUS:
        if function is None:
            raise self._missing(name)
        what = f"{name} of a channel that is {self.state.value}"
        self._watch.require(is_in_place, "suspend", self.client, what)
        full = f"Provider{name}"
        with self._watch.entering(self.record.driver, full) as call:
            status = function(self.context)
            call.result = _name(status)
        self._check_status(full, status)
        return status

    # -- completion ------------------------------------------------------------------------------------------

    @property
    def completion(self) -> CompletionStatus:
        """The completion status in memory."""
        return CompletionStatus.read(self._completion)

    def clear_completion(self) -> None:
        """Forget the completion status of an earlier chain; the channel stands still."""
        CompletionStatus(0, NET_DMA_TRANSFER_STATUS.ARMED).write(self._completion)

    def on_failed(self) -> None:
        """The provider reset the channel after an error, or lost it with the engine's power."""
        self._move(ChannelState.NEEDS_START)

    # -- checks ----------------------------------------------------------------------------------------------

    def _check_use(self, function: str) -> None:
        self._watch.require(
            not self.is_freed, "freed", self.client, f"{function} of a channel that was freed"
        )
        self._watch.check_level(self.client, function)

    def _check_chain(self, first: DescriptorPointer, count: int) -> None:
        if self._is_checked:
            self._check.check(first, count)

    def _check_status(self, function: str, status: int) -> None:
        said = f"{function} returned {status!r}"
        self._watch.require(status in _STATUSES, "status", self.record.driver, said)

    def _missing(self, name: str) -> Exception:
        return self._watch.breach("optional", self.client, f"{name} is NULL")


def _name(status: int) -> str:
    return NTSTATUS(status).name if status in _STATUSES else f"{status:#x}"


def _described(first: DescriptorPointer, count: int) -> str:
    return f"{count} from {first.physical:#x}"
