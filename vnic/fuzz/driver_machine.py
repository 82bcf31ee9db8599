"""The machine around a driver under test: processors, memory, NDIS, a protocol, and a card that may lie."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from typing import Any

from vnic.config import DeviceConfig
from vnic.device import Device
from vnic.errors import InterruptError, UnknownError, VnicError
from vnic.fuzz.guarded_memory import GuardedMemory
from vnic.fuzz.hostile_card import HostileCard
from vnic.gen.registers import CONFIG
from vnic.host.bus import VectorKinds
from vnic.host.cpu import Processors
from vnic.host.interrupts import InterruptController
from vnic.host.memory import GuestMemory
from vnic.host.system import System
from vnic.miniport import Adapter
from vnic.ndis.adapter import AdapterOptions
from vnic.ndis.keywords import read_settings
from vnic.ndis.layer import Injector, Ndis
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.structures import DevicePowerState
from vnic.protocol.capture import CaptureProtocol
from vnic.testbench.driver import REFERENCE, Driver
from vnic.testbench.pci_power import PciPower
from vnic.testbench.world import World

__all__ = ["QUEUES", "DriverMachine"]

QUEUES = 2
_CPUS = 2
_BUFFERS = 16
_MEMORY = 4 << 20
_LINK_MBPS = 10_000
_FAULTS = 8
#: What costs time at creation is small.
_SMALL: dict[str, Any] = {
    "connections": 0,
    "faults": _FAULTS,
    "rx_buffer_bytes": 1 << 16,
    "tx_buffer_bytes": 1 << 16,
    "map_regions": 512,
}
_KINDS = {"msix": VectorKinds.MSIX, "msi": VectorKinds.MSI, "line": VectorKinds.INTX}


class Swallow:
    """The wire: frames that are sent are counted and gone."""

    def __init__(self) -> None:
        self.frames = 0

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """Take a frame."""
        self.frames += 1


def _quiet_protocol(memory: GuestMemory, processors: Processors) -> CaptureProtocol:
    return CaptureProtocol(memory, processors, keeps_frames=False)


class DriverMachine:
    """One machine whose driver is not initialized yet; `seed` lets processors race, None does not.

    device: parameters of DeviceConfig beside what keeps the card small. protocol: makes what is bound.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        seed: int | None,
        interrupt: str,
        keywords: dict[str, object],
        device: Mapping[str, Any] | None = None,
        protocol: Callable[[GuestMemory, Processors], CaptureProtocol] | None = None,
    ) -> None:
        self.world = World()
        self.clock = self.world.clock
        self.processors = Processors(_CPUS, seed)
        self.memory = GuardedMemory(_MEMORY)
        self.wire = Swallow()
        small = _SMALL | dict(device or {})
        self.device = Device(DeviceConfig(queue_pairs=QUEUES, vectors=QUEUES + 1, **small))
        self.device.connect_link(self.wire)
        self.device.set_link(_LINK_MBPS)
        self.card = HostileCard(self.device)
        self.controller = InterruptController(self._deliver)
        self.system = System(self.card, self.memory, self.controller, seed=seed or 0, delay=self.world.delay)
        self.system.iommu.watch(self.card)
        self.world.add_machine(self.card, self.processors)
        # A card that lies about hashes, or chooses another queue, is no fault of its driver's.
        self.ndis = Ndis(self.processors, self.clock, pump=self.world.pump)
        self.miniport = (
            Adapter(self.memory, kinds=_KINDS[interrupt])
            if driver.name == REFERENCE
            else driver.make(self.memory)
        )
        usual = {"*NumRssQueues": QUEUES, "*ReceiveBuffers": _BUFFERS, "*TransmitBuffers": _BUFFERS}
        options = AdapterOptions(
            bus=self.system,
            settings=read_settings(usual | keywords, "default"),
            on_power=self._set_power,
        )
        self._power = PciPower(self.system)
        self.adapter = self.ndis.add_adapter(self.miniport, options)
        self.protocol = (protocol or _quiet_protocol)(self.memory, self.processors)
        self.injector = Injector(self.adapter)
        self.injected = 0
        self.is_abandoned = False

    def _deliver(self, run: Callable[[int], object], cpu: int, source: Hashable) -> None:
        def service(processor: int) -> None:
            with suppress(InterruptError):  # a line that nobody claims is switched off: the kernel's way out
                run(processor)

        # A message to a processor that there is not goes nowhere.
        if cpu < len(self.processors):
            self.processors.raise_interrupt(service, cpu, source)

    def _set_power(self, state: DevicePowerState) -> None:
        with suppress(UnknownError):  # who does not answer has no capabilities, and no power to save for
            self._power.set(state)

    def inject(self, nbl: NetBufferList) -> None:
        """Send below the protocols."""
        nbl.source_handle = None
        self.injected += 1
        self.injector.send(nbl)

    def settle(self) -> None:
        """Run until nothing is under way."""
        self.world.settle()

    def advance(self, ns: int) -> None:
        """Let virtual time pass, and everything that falls into it happen."""
        self.world.run_for(ns)

    @property
    def is_card_gone(self) -> bool:
        """Whether the card was pulled, by whomever."""
        return self.device.config_read(CONFIG.ID.offset) == 0xFFFF_FFFF

    def mend(self) -> None:
        """No fault is armed in the card any more."""
        for number in range(_FAULTS):
            with suppress(VnicError):
                self.device.disarm(number)

    def free_injected(self) -> None:
        """Free the memory of injected sends that came back."""
        self.protocol.free_injected(nbl for nbl, _ in self.injector.completed)

    def abandon(self) -> None:
        """Pull the plug; idempotent."""
        if not self.is_abandoned:
            self.is_abandoned = True
            self.world.remove_machine(self.card, self.processors)
            self.device.close()
