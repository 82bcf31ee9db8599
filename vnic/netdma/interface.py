"""The NetDMA interface: what stands between the providers of a machine and their clients, and checks both."""

from __future__ import annotations

from collections.abc import Callable

from vnic.errors import AllocationError
from vnic.host.clock import VirtualClock
from vnic.host.cpu import Processors
from vnic.netdma.channel_handle import ChannelHandle
from vnic.netdma.client import ClientHandle, NetDmaClient
from vnic.netdma.descriptor import DESCRIPTOR_BYTES
from vnic.netdma.dma_channel import DmaChannel
from vnic.netdma.record import ProviderRecord, ProviderState, check_attributes, check_characteristics
from vnic.netdma.ring import ring_bytes
from vnic.netdma.types import (
    NET_DMA_CHANNEL_CPU_AFFINITY,
    NET_DMA_PNP_NOTIFICATION,
    NET_DMA_PNP_NOTIFICATION_CODE,
    NET_DMA_PROVIDER_ATTRIBUTES,
    NET_DMA_PROVIDER_CHARACTERISTICS,
    NTSTATUS,
    VERSIONS,
    Version,
)
from vnic.netdma.watch import NetDmaViolation, Watch

_Code = NET_DMA_PNP_NOTIFICATION_CODE
_WAIT_NS = 1_000_000_000


class NetDma:
    """One machine's NetDMA.

    version: of the interface. pump: makes the world outside go on, and says whether it did anything.
    ring: descriptors of a channel. is_checked: look at every chain before a provider gets it.
    """

    def __init__(
        self,
        processors: Processors | None = None,
        clock: VirtualClock | None = None,
        *,
        version: Version = VERSIONS[-1],
        pump: Callable[[], bool] | None = None,
        ring: int = 256,
        is_checked: bool = True,
    ) -> None:
        self.processors = processors or Processors()
        self.clock = clock or VirtualClock()
        self.version = version
        self.watch = Watch(self.processors, self.clock)
        self.providers: list[ProviderRecord] = []
        self.clients: list[ClientHandle] = []
        self._handles: list[ChannelHandle] = []
        self._channels: dict[ChannelHandle, DmaChannel] = {}
        self._pump = pump
        self._ring = ring
        self._is_checked = is_checked

    @property
    def violations(self) -> list[NetDmaViolation]:
        """Every breach so far, those that a driver caught and hid included."""
        return self.watch.violations

    # -- providers -------------------------------------------------------------------------------------------

    def get_version(self, provider: object = None) -> int:
        """NetDmaGetVersion: major in the high 16 bits; an interface of 1.0 has no such call."""
        with self.watch.called(provider, "NetDmaGetVersion"):
            there = self.version.has_notifications
            self.watch.require(there, "version", provider, "NetDmaGetVersion is not in NetDMA 1.0")
            return self.version.major << 16 | self.version.minor

    def register_provider(
        self, context: object, characteristics: NET_DMA_PROVIDER_CHARACTERISTICS
    ) -> tuple[NTSTATUS, ProviderRecord | None]:
        """NetDmaRegisterProvider: its handle; says which processors the channels' MSI-X vectors go to."""
        with self.watch.called(context, "NetDmaRegisterProvider", f"version {characteristics.version}"):
            check_characteristics(self.watch, context, characteristics, self.version)
            record = ProviderRecord(context, characteristics)
            if not self._spread(record):
                return NTSTATUS.UNSUCCESSFUL, None
            self.providers.append(record)
            self._tell(_Code.REGISTERED, record)
        return NTSTATUS.SUCCESS, record

    def provider_start(self, record: ProviderRecord, attributes: NET_DMA_PROVIDER_ATTRIBUTES) -> None:
        """NetDmaProviderStart: the engine is there, with these attributes."""
        with self.watch.called(
            record.driver, "NetDmaProviderStart", f"{attributes.dma_channel_count} channels"
        ):
            is_ready = record.state is ProviderState.REGISTERED
            self.watch.require(is_ready, "lifecycle", record.driver, f"a Start of {record!r}")
            check_attributes(self.watch, record, attributes)
            record.start(attributes)
            self._tell(_Code.ARRIVAL, record)

    def provider_stop(self, record: ProviderRecord) -> None:
        """NetDmaProviderStop: waits for what is outstanding, then frees every channel."""
        with self.watch.called(record.driver, "NetDmaProviderStop"):
            self.watch.require(record.is_started, "lifecycle", record.driver, f"a Stop of {record!r}")
            record.state = ProviderState.STOPPING
            self._tell(_Code.REMOVAL, record)
            self._drain(record)
            for handle in self._of(record):
                self._free(handle)
            record.state = ProviderState.REGISTERED

    def deregister_provider(self, record: ProviderRecord) -> None:
        """NetDmaDeregisterProvider."""
        with self.watch.called(record.driver, "NetDmaDeregisterProvider"):
            is_ready = record.state is ProviderState.REGISTERED and record in self.providers
            self.watch.require(is_ready, "lifecycle", record.driver, f"a Deregister of {record!r}")
            record.state = ProviderState.DEREGISTERED
            self.providers.remove(record)

    def pnp_event_notify(self, record: ProviderRecord, event: NET_DMA_PNP_NOTIFICATION) -> None:
        """NetDmaPnPEventNotify: PowerDown waits for what is outstanding, PowerUp starts every channel."""
        code = event.notification_code
        with self.watch.called(record.driver, "NetDmaPnPEventNotify", code.name):
            has_it = record.version.has_notifications and self.version.has_notifications
            self.watch.require(has_it, "version", record.driver, "NetDmaPnPEventNotify is not in NetDMA 1.0")
            self._check_event(record, event)
            record.is_powered = code == _Code.POWER_UP
            if code == _Code.POWER_DOWN:
                self._tell(code, record)
                self._drain(record)
                return
            for handle in self._of(record):
                self._restart(handle)
            self._tell(code, record)

    def isr(self, handle: ChannelHandle, descriptor: int) -> int:
        """NetDmaIsr: the processor that the DPC shall run on."""
        driver = handle.record.driver
        with self.watch.called(driver, "NetDmaIsr", f"{descriptor:#x}"):
            self._check_interrupt("isr", handle, descriptor)
            return handle.cpu

    def interrupt_dpc(self, handle: ChannelHandle, descriptor: int | None) -> None:
        """NetDmaInterruptDpc: the bus address of the last processed descriptor; None: the channel failed."""
        driver = handle.record.driver
        detail = "NULL" if descriptor is None else f"{descriptor:#x}"
        with self.watch.called(driver, "NetDmaInterruptDpc", detail):
            self._check_interrupt("dpc", handle, descriptor)
            if descriptor is None:
                handle.on_failed()
            if handle.listener is not None:
                handle.listener.on_interrupt_dpc(descriptor)

    # -- clients ---------------------------------------------------------------------------------------------

    def register_client(self, client: NetDmaClient) -> ClientHandle:
        """A client; it is told of the providers that are there."""
        handle = ClientHandle(self, client)
        self.clients.append(handle)
        for record in self.providers:
            self._tell_one(handle, _Code.REGISTERED, record)
            if record.is_usable:
                self._tell_one(handle, _Code.ARRIVAL, record)
        return handle

    def forget(self, client: ClientHandle) -> None:
        """A client is gone."""
        self.clients.remove(client)

    def grant(self, client: NetDmaClient, cpu: int) -> ChannelHandle | None:
        """A channel of the usable provider that has most to give."""
        self.watch.check_level(client, "allocate_channel")
        for record in sorted(filter(lambda r: r.is_usable, self.providers), key=self._used):
            handle = self._allocate(record, client, cpu)
            if handle is not None:
                return handle
        return None

    def take_back(self, handle: ChannelHandle) -> None:
        """A channel is free again; other clients are told when it can be had."""
        self._free(handle)
        if handle.record.is_usable:
            self.processors.queue_work(lambda: self._tell_others(handle))

    def make_channel(self, handle: ChannelHandle, owner: ClientHandle) -> DmaChannel:
        """What copies through a channel; it is in the owner's list until it is freed."""
        bus = handle.record.characteristics.physical_device_object
        channel = DmaChannel(
            self.watch,
            handle,
            bus,
            release=lambda: self.take_back(handle),
            forget=lambda: owner.channels.remove(channel),
        )
        owner.channels.append(channel)
        self._channels[handle] = channel
        return channel

    @property
    def channels(self) -> list[DmaChannel]:
        """The channels that clients have."""
        return list(self._channels.values())

    # -- channels --------------------------------------------------------------------------------------------

    def _used(self, record: ProviderRecord) -> int:
        return len(self._of(record)) - record.attributes.dma_channel_count

    def _of(self, record: ProviderRecord) -> list[ChannelHandle]:
        return [handle for handle in self._handles if handle.record is record]

    def _allocate(self, record: ProviderRecord, client: NetDmaClient, cpu: int) -> ChannelHandle | None:
        if len(self._of(record)) >= record.attributes.dma_channel_count:
            return None
        bus = record.characteristics.physical_device_object
        try:
            memory = bus.alloc_coherent(ring_bytes(self._ring))
        except AllocationError:
            return None
        handle = ChannelHandle(self.watch, record, client, memory, is_checked=self._is_checked)
        revision = 2 if min(self.version, record.version) >= VERSIONS[-1] else 1
        if handle.allocate(1 << cpu, revision) != NTSTATUS.SUCCESS:
            bus.free_coherent(memory)
            return None
        is_new = all(other.context is not handle.context for other in self._of(record))
        self.watch.require(is_new, "channel", record.driver, "one channel for two clients")
        self._handles.append(handle)
        return handle

    def _free(self, handle: ChannelHandle) -> None:
        """Free a channel, once nothing is outstanding on it."""
        channel = self._channels.pop(handle, None)
        handle.free()
        self._handles.remove(handle)
        if channel is not None:
            channel.on_freed()
        handle.record.characteristics.physical_device_object.free_coherent(handle.memory)

    def _restart(self, handle: ChannelHandle) -> None:
        """The engine has forgotten the channel: Start, with nothing to copy."""
        handle.on_failed()
        if handle in self._channels:
            self._channels[handle].restart()

    def _drain(self, record: ProviderRecord) -> None:
        """Wait until nothing is outstanding; what does not end in time is stopped and fails."""
        mine = [self._channels[handle] for handle in self._of(record) if handle in self._channels]
        if self._wait(lambda: not any(channel.outstanding for channel in mine)):
            return
        for channel in mine:
            channel.abandon()

    def _wait(self, is_done: Callable[[], bool]) -> bool:
        end_ns = self.clock.now_ns + _WAIT_NS
        while True:
            self.processors.run_until_idle()
            while self._pump is not None and self._pump():
                self.processors.run_until_idle()
            deadline_ns = self.clock.next_deadline_ns()
            if is_done():
                return True
            if deadline_ns is None or deadline_ns > end_ns:
                return False
            self.clock.advance_to(max(deadline_ns, self.clock.now_ns))

    # -- telling and checking --------------------------------------------------------------------------------

    def _spread(self, record: ProviderRecord) -> bool:
        """ProviderSetDmaChannelCpuAffinity: the channels take turns over the processors."""
        function = record.characteristics.set_dma_channel_cpu_affinity
        if function is None:
            return True
        count = record.characteristics.max_dma_channel_count
        wanted = [NET_DMA_CHANNEL_CPU_AFFINITY(n, n % len(self.processors)) for n in range(count)]
        with self.watch.entering(record.driver, "ProviderSetDmaChannelCpuAffinity", f"{count} channels"):
            return function(record.driver, wanted) == NTSTATUS.SUCCESS

    def _tell(self, code: _Code, record: ProviderRecord) -> None:
        for handle in list(self.clients):
            self._tell_one(handle, code, record)

    def _tell_one(self, handle: ClientHandle, code: _Code, record: ProviderRecord) -> None:
        with self.watch.entering(handle.client, "pnp_event", code.name):
            handle.client.pnp_event(code, record)

    def _tell_others(self, freed: ChannelHandle) -> None:
        for handle in list(self.clients):
            if handle.client is not freed.client and freed.record.is_usable:
                self._tell_one(handle, _Code.CHANNEL_ARRIVAL, freed.record)

    def _check_event(self, record: ProviderRecord, event: NET_DMA_PNP_NOTIFICATION) -> None:
        code = event.notification_code
        is_turn = record.is_started and record.is_powered == (code == _Code.POWER_DOWN)
        is_power = code in (_Code.POWER_DOWN, _Code.POWER_UP) and not event.buffer
        what = f"{code.name} of {record!r}, which is {'up' if record.is_powered else 'down'}"
        self.watch.require(is_turn and is_power, "notify", record.driver, what)

    def _check_interrupt(self, rule: str, handle: ChannelHandle, descriptor: int | None) -> None:
        driver = handle.record.driver
        self.watch.require(not handle.is_quiet, "quiet", driver, "an interrupt of a channel that was freed")
        is_aligned = descriptor is None or descriptor % DESCRIPTOR_BYTES == 0
        self.watch.require(is_aligned, rule, driver, f"{descriptor or 0:#x} is no descriptor")
