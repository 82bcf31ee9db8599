"""The NetDMA provider: the driver of one I/OAT copy engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vnic.errors import CapacityError
from vnic.host.bus import Bus, VectorKinds
from vnic.host.cpu import Level, Processors
from vnic.netdma.channel_handle import ChannelHandle
from vnic.netdma.descriptor import DescriptorPointer
from vnic.netdma.engine import Capacities, EngineError, bring_up, quiet
from vnic.netdma.engine_channel import EngineChannel
from vnic.netdma.engine_interrupts import EngineInterrupts, InterruptInterface
from vnic.netdma.record import ProviderRecord
from vnic.netdma.registers import Registers
from vnic.netdma.types import (
    NET_DMA_CHANNEL_CPU_AFFINITY,
    NET_DMA_CHANNEL_PARAMETERS,
    NET_DMA_PNP_NOTIFICATION,
    NET_DMA_PNP_NOTIFICATION_CODE,
    NET_DMA_PROVIDER_ATTRIBUTES,
    NET_DMA_PROVIDER_CHARACTERISTICS,
    NTSTATUS,
    ProviderFlags,
    Version,
)

_CHANNELS_MAX = 16
_VERSION = Version(2, 0)
_D0, _D3HOT = 0, 3


class Interface(InterruptInterface, Protocol):
    """The functions of the NetDMA interface that a provider calls."""

    def register_provider(
        self, context: object, characteristics: NET_DMA_PROVIDER_CHARACTERISTICS
    ) -> tuple[NTSTATUS, ProviderRecord | None]:
        """NetDmaRegisterProvider."""

    def provider_start(self, record: ProviderRecord, attributes: NET_DMA_PROVIDER_ATTRIBUTES) -> None:
        """NetDmaProviderStart."""

    def provider_stop(self, record: ProviderRecord) -> None:
        """NetDmaProviderStop."""

    def deregister_provider(self, record: ProviderRecord) -> None:
        """NetDmaDeregisterProvider."""

    def pnp_event_notify(self, record: ProviderRecord, event: NET_DMA_PNP_NOTIFICATION) -> None:
        """NetDmaPnPEventNotify."""


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """How a provider presents its engine.

    interrupt_delay_us: INTRDELAY. has_suspend, has_abort, has_reset: which optional functions it offers.
    announces_dca: takes context changes and hints although the engine may not use them (version 2.0).
    """

    version: Version = _VERSION
    kinds: VectorKinds = VectorKinds.ANY
    interrupt_delay_us: int = 0
    has_suspend: bool = True
    has_abort: bool = True
    has_reset: bool = True
    announces_dca: bool = False
    friendly_name: str = "vnic copy engine"


class Provider:
    """One engine on a bus. add_device() to remove_device() are the PnP manager's requests.

    set_power: puts the function into D0 (0) or D3hot (3), as the bus driver does.
    """

    def __init__(
        self,
        bus: Bus,
        processors: Processors,
        netdma: Interface,
        options: ProviderOptions | None = None,
        *,
        set_power: Callable[[int], None] | None = None,
    ) -> None:
        self.options = options or ProviderOptions()
        self.record: ProviderRecord | None = None
        self.channels: list[EngineChannel] = []
        self._bus = bus
        self._processors = processors
        self._netdma = netdma
        self._set_power = set_power or bus.set_power_state
        self._cpus: dict[int, int] = {}
        self._registers: Registers | None = None
        self._interrupts: EngineInterrupts | None = None
        self._is_gone = False

    # -- Plug and Play ---------------------------------------------------------------------------------------

    def add_device(self) -> NTSTATUS:
        """AddDevice: register."""
        status, self.record = self._netdma.register_provider(self, self._characteristics())
        return status

    def start_device(self) -> NTSTATUS:
        """IRP_MN_START_DEVICE: bring the engine up, take vectors, tell NetDMA."""
        record = self._registered
        self._is_gone = False
        try:
            self._registers, capacities = bring_up(self._bus)
        except EngineError:
            return NTSTATUS.UNSUCCESSFUL
        self._make_channels(self._registers, capacities)
        interrupts = EngineInterrupts(
            self._bus, self._processors, self._netdma, self._registers, self.channels
        )
        try:
            interrupts.alloc(self.options.kinds, self._cpu_of)
        except CapacityError:
            self._bus.disable_device()
            return NTSTATUS.RESOURCES
        self._interrupts = interrupts
        interrupts.enable(self.options.interrupt_delay_us)
        self._netdma.provider_start(record, self._attributes(capacities))
        return NTSTATUS.SUCCESS

    def stop_device(self) -> None:
        """IRP_MN_STOP_DEVICE: NetDMA lets go of every channel, then the engine is shut down."""
        self._netdma.provider_stop(self._registered)
        self._shut_down()

    def remove_device(self) -> None:
        """IRP_MN_REMOVE_DEVICE, after a stop."""
        record, self.record = self._registered, None
        self._netdma.deregister_provider(record)

    def surprise_removal(self) -> None:
        """IRP_MN_SURPRISE_REMOVAL: the engine is gone, so what is outstanding has failed."""
        self._is_gone = True
        if self._interrupts is None:
            return
        with self._processors.raised_to(Level.DISPATCH):
            for channel in self.channels:
                channel.lose()
                if channel.use is not None:
                    self._netdma.interrupt_dpc(channel.use.handle, None)
        self._netdma.provider_stop(self._registered)
        self._shut_down()

    def power_down(self) -> NTSTATUS:
        """To D3hot, when nothing is outstanding. Clients of 1.0 cannot be told: not while there are any."""
        if self.options.version.has_notifications:
            self._notify(NET_DMA_PNP_NOTIFICATION_CODE.POWER_DOWN)
        elif any(channel.use is not None for channel in self.channels):
            return NTSTATUS.UNSUCCESSFUL
        self._running.disable()
        for channel in self.channels:
            channel.lose()
        self._set_power(_D3HOT)
        return NTSTATUS.SUCCESS

    def power_up(self) -> None:
        """To D0: the engine has forgotten everything, and is told again."""
        self._set_power(_D0)
        self._bus.set_master()
        for channel in self.channels:
            channel.prepare()
        self._running.enable(self.options.interrupt_delay_us)
        if self.options.version.has_notifications:
            self._notify(NET_DMA_PNP_NOTIFICATION_CODE.POWER_UP)

    @property
    def _registered(self) -> ProviderRecord:
        if self.record is None:
            raise RuntimeError("the provider is not registered")
        return self.record

    @property
    def _running(self) -> EngineInterrupts:
        if self._interrupts is None:
            raise RuntimeError("the provider is not started")
        return self._interrupts

    def _notify(self, code: NET_DMA_PNP_NOTIFICATION_CODE) -> None:
        self._netdma.pnp_event_notify(self._registered, NET_DMA_PNP_NOTIFICATION(code))

    def _shut_down(self) -> None:
        """Interrupts off, every channel halted, vectors back, the function disabled."""
        interrupts, self._interrupts = self._running, None
        interrupts.disable()
        if self._registers is not None:
            quiet(self._registers, len(self.channels))
        interrupts.free()
        self.channels = []
        self._bus.disable_device()

    # -- what is registered ----------------------------------------------------------------------------------

    def _characteristics(self) -> NET_DMA_PROVIDER_CHARACTERISTICS:
        options = self.options
        return NET_DMA_PROVIDER_CHARACTERISTICS(
            version=options.version,
            physical_device_object=self._bus,
            max_dma_channel_count=_CHANNELS_MAX,
            allocate_dma_channel=self.allocate_dma_channel,
            free_dma_channel=self.free_dma_channel,
            start_dma=self.start_dma,
            append_dma=self.append_dma,
            set_dma_channel_cpu_affinity=self.set_dma_channel_cpu_affinity,
            suspend_dma=self.suspend_dma if options.has_suspend else None,
            resume_dma=self.resume_dma if options.has_suspend else None,
            abort_dma=self.abort_dma if options.has_abort else None,
            reset_channel=self.reset_channel if options.has_reset else None,
            flags=ProviderFlags.DCA_SUPPORTED if self._has_dca else 0,
            friendly_name=options.friendly_name,
        )

    @property
    def _has_dca(self) -> bool:
        return self.options.announces_dca and self.options.version.is_counted

    def _attributes(self, capacities: Capacities) -> NET_DMA_PROVIDER_ATTRIBUTES:
        return NET_DMA_PROVIDER_ATTRIBUTES(
            vendor_id=capacities.vendor_id,
            dma_channel_count=capacities.channels,
            maximum_transfer_size=capacities.transfer_max,
            maximum_address_space=(1 << 64) - 1,
            major_hw_version=capacities.major,
            minor_hw_version=capacities.minor,
        )

    def _make_channels(self, registers: Registers, capacities: Capacities) -> None:
        is_counted = self.options.version.is_counted
        self.channels = [
            EngineChannel(self._processors, registers, number, is_counted=is_counted)
            for number in range(capacities.channels)
        ]

    def _cpu_of(self, channel: int) -> int:
        return self._cpus.get(channel, 0)

    # -- ProviderXxx -----------------------------------------------------------------------------------------

    def set_dma_channel_cpu_affinity(
        self, _: object, affinities: Sequence[NET_DMA_CHANNEL_CPU_AFFINITY]
    ) -> NTSTATUS:
        """ProviderSetDmaChannelCpuAffinity: for the vectors to come, and for those that are there."""
        for affinity in affinities:
            self._cpus[affinity.dma_channel] = affinity.cpu_number
            if self._interrupts is not None and affinity.dma_channel < len(self.channels):
                self._interrupts.set_affinity(affinity.dma_channel, affinity.cpu_number)
        return NTSTATUS.SUCCESS

    def allocate_dma_channel(
        self, _: object, parameters: NET_DMA_CHANNEL_PARAMETERS, handle: object
    ) -> tuple[NTSTATUS, object]:
        """ProviderAllocateDmaChannel: one whose vector goes where it shall, or any, with its DPC there."""
        assert isinstance(handle, ChannelHandle)
        free = [channel for channel in self.channels if channel.use is None]
        if not free or self._is_gone:
            return NTSTATUS.RESOURCES, None
        mask = parameters.processor_affinity_mask & (1 << len(self._processors)) - 1
        fitting = [channel for channel in free if mask >> self._cpu_of(channel.number) & 1]
        channel = (fitting if fitting and self._running.has_own else free)[0]
        if mask >> self._cpu_of(channel.number) & 1:
            parameters.cpu_number = self._cpu_of(channel.number)
        else:
            parameters.cpu_number = (mask & -mask).bit_length() - 1 if mask else 0
        channel.open(handle, parameters)
        return NTSTATUS.SUCCESS, channel

    def free_dma_channel(self, channel: object) -> None:
        """ProviderFreeDmaChannel."""
        _engine(channel).close()

    def start_dma(self, channel: object, first: DescriptorPointer, address: int, count: int) -> NTSTATUS:
        """ProviderStartDma."""
        return NTSTATUS.UNSUCCESSFUL if self._is_gone else _engine(channel).start(first, address, count)

    def append_dma(self, channel: object, first: DescriptorPointer, address: int, count: int) -> NTSTATUS:
        """ProviderAppendDma."""
        return NTSTATUS.UNSUCCESSFUL if self._is_gone else _engine(channel).append(first, address, count)

    def suspend_dma(self, channel: object) -> tuple[NTSTATUS, int]:
        """ProviderSuspendDma."""
        return (NTSTATUS.UNSUCCESSFUL, 0) if self._is_gone else _engine(channel).suspend()

    def resume_dma(self, channel: object) -> NTSTATUS:
        """ProviderResumeDma."""
        return NTSTATUS.UNSUCCESSFUL if self._is_gone else _engine(channel).resume()

    def abort_dma(self, channel: object) -> NTSTATUS:
        """ProviderAbortDma."""
        return NTSTATUS.UNSUCCESSFUL if self._is_gone else _engine(channel).abort()

    def reset_channel(self, channel: object) -> NTSTATUS:
        """ProviderResetChannel."""
        return NTSTATUS.UNSUCCESSFUL if self._is_gone else _engine(channel).reset()


def _engine(channel: object) -> EngineChannel:
    assert isinstance(channel, EngineChannel)
    return channel
