"""From a message or the line over NetDmaIsr to a DPC for a channel, on the processor that NetDMA names.

MSI-X with a vector a channel: the ISR knows the channel, and needs no register but the channel's status.
One vector or the line for all: the ISR reads INTRCTRL, which says whether it was the engine, and keeps that
quiet until the ISR writes it again; ATTNSTATUS says which channels it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from vnic.gen.registers import COPY_BAR0
from vnic.host.bus import Bus, InterruptKind, VectorKinds
from vnic.host.cpu import Processors
from vnic.netdma.channel_handle import ChannelHandle
from vnic.netdma.engine_channel import EngineChannel
from vnic.netdma.registers import INT_STATUS, MASTER_INT_EN, MSIX_VECTOR_CONTROL, Registers


class InterruptInterface(Protocol):
    """The functions of the NetDMA interface for interrupts."""

    def isr(self, handle: ChannelHandle, descriptor: int) -> int:
        """NetDmaIsr."""

    def interrupt_dpc(self, handle: ChannelHandle, descriptor: int | None) -> None:
        """NetDmaInterruptDpc."""


class EngineInterrupts:
    """The vectors of one engine, from alloc() to free()."""

    def __init__(
        self,
        bus: Bus,
        processors: Processors,
        netdma: InterruptInterface,
        registers: Registers,
        channels: Sequence[EngineChannel],
    ) -> None:
        self._bus = bus
        self._processors = processors
        self._netdma = netdma
        self._registers = registers
        self._channels = channels
        self.is_live = False
        self.vectors = 0

    # -- vectors ---------------------------------------------------------------------------------------------

    def alloc(self, kinds: VectorKinds, cpus: Callable[[int], int]) -> None:
        """Take vectors, channel n's for processor cpus(n); CapacityError when there are none."""
        count = self._bus.alloc_vectors(1, len(self._channels), kinds)
        is_each = self._bus.vector_kind == InterruptKind.MSIX and count >= len(self._channels)
        self.vectors = len(self._channels) if is_each else 1
        for vector in range(self.vectors):
            self._bus.request_irq(
                vector, self._service_one if self.has_own else self._service_all, cpus(vector)
            )

    def free(self) -> None:
        """Give them back; DPCs that are queued are dropped."""
        self.is_live = False
        for vector in range(self.vectors):
            self._bus.free_irq(vector)
        self._bus.free_vectors()
        for channel in self._channels:
            self._processors.discard(self._source(channel))

    @property
    def has_own(self) -> bool:
        """Whether each channel has a vector of its own."""
        return self._bus.vector_kind == InterruptKind.MSIX and self.vectors == len(self._channels)

    def set_affinity(self, channel: int, cpu: int) -> None:
        """Move a channel's vector, where it has one."""
        if self.has_own:
            self._bus.set_affinity(channel, cpu)

    def enable(self, delay_us: int) -> None:
        """INTRDELAY, and INTRCTRL last."""
        self._registers.write(COPY_BAR0.INTRDELAY, COPY_BAR0.INTRDELAY.encode(DELAY=delay_us))
        self.is_live = True
        self._write_control()

    def disable(self) -> None:
        """No more interrupts; what the DPCs find is done."""
        self.is_live = False
        self._registers.write_interrupt_control(0)

    def _write_control(self) -> None:
        self._registers.write_interrupt_control(MASTER_INT_EN | (MSIX_VECTOR_CONTROL if self.has_own else 0))

    # -- ISR -------------------------------------------------------------------------------------------------

    def _service_one(self, vector: int) -> bool:
        """The ISR of one channel's vector."""
        if self.is_live:
            self._notice(self._channels[vector])
        return True

    def _service_all(self, _: int) -> bool:
        """The ISR of all channels; False when it was another device of the line."""
        if not self.is_live or not self._registers.take_interrupt_control() & INT_STATUS:
            if self.is_live:
                self._write_control()
            return self._bus.vector_kind != InterruptKind.INTX
        attention = self._registers.take_attention()
        for channel in self._channels:
            if attention >> channel.number & 1:
                self._notice(channel)
        self._write_control()
        return True

    def _notice(self, channel: EngineChannel) -> None:
        if channel.use is None:
            return
        cpu = self._netdma.isr(channel.use.handle, channel.registers.status.address)
        self._processors.queue_dpc(cpu, self._dpc, channel, self._source(channel))

    def _source(self, channel: EngineChannel) -> tuple[int, int]:
        return id(self), channel.number

    # -- DPC -------------------------------------------------------------------------------------------------

    def _dpc(self, channel: object) -> None:
        """What the channel has done since; then it may interrupt again."""
        assert isinstance(channel, EngineChannel)
        if channel.use is None:
            return
        handle = channel.use.handle
        has_failed, last = channel.take_progress()
        if has_failed or last:
            self._netdma.interrupt_dpc(handle, None if has_failed else last)
        if channel.is_allocated and not has_failed and self.is_live:
            channel.rearm()
