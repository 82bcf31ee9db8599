"""A further card in the machine of a bench: the same memory, processors and NDIS, a link of its own."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from vnic.config import DeviceConfig
from vnic.device import Device, FrameSink
from vnic.host.system import System
from vnic.miniport import Adapter
from vnic.ndis.adapter import AdapterOptions
from vnic.ndis.attributes import HaltAction
from vnic.ndis.keywords import read_settings
from vnic.testbench.bench import Bench
from vnic.testbench.outgoing import Timestamped
from vnic.testbench.pci_power import PciPower

_MMIO_STEP = 0x0800_0000
_MMIO_BASE = 0xC800_0000
_GIGABIT_TEN = 10_000


class Slot:
    """The card, its adapter `adapter` (initialized and running unless `starts` is False), nobody bound to it.

    device: parameters of DeviceConfig; keywords as for Bench. Its end halts the adapter and sees that
    nothing is left mapped; it comes before the bench's.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        link: FrameSink,
        number: int = 0,
        name: str = "vnic2",
        device: Mapping[str, Any] | None = None,
        keywords: Mapping[str, object] | None = None,
        starts: bool = True,
    ) -> None:
        self.bench = bench
        self.device = Device(DeviceConfig(**{"queue_pairs": 1, "vectors": 2} | dict(device or {})))
        self.device.advance(bench.clock.now_ns)
        self.device.connect_link(Timestamped(bench.world, link))
        self.device.set_link(_GIGABIT_TEN)
        self.system = System(
            self.device,
            bench.memory,
            bench.controller,
            mmio_base=_MMIO_BASE + number * _MMIO_STEP,
            delay=bench.world.delay,
        )
        if bench.races is not None:
            bench.races.watch_card(self.device, self.system.iommu, name=name)
        bench.world.add_machine(self.device, bench.processors)
        settings = read_settings({"*NumRssQueues": 1} | dict(keywords or {}), "default")
        options = AdapterOptions(name, bus=self.system, settings=settings, on_power=PciPower(self.system).set)
        self.adapter = bench.ndis.add_adapter(Adapter(bench.memory), options)
        self._is_closed = False
        if starts:
            status = self.adapter.start()
            if status != 0:
                raise RuntimeError(f"the adapter does not start: {status!s}")

    def remove(self) -> None:
        """Pull the card out while it runs: MiniportDevicePnPEventNotify(SURPRISE_REMOVED), then halt."""
        self.device.remove()
        self.adapter.surprise_remove()

    def close(self) -> None:
        """Halt, and see that nothing is left; idempotent."""
        if self._is_closed:
            return
        try:
            if self.adapter.state.takes_oids:
                self.adapter.halt(HaltAction.DISABLED)
            self.bench.ndis.remove_adapter(self.adapter)
            self.system.assert_no_leaks()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Pull the plug: nothing is checked; idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self.bench.world.remove_machine(self.device, self.bench.processors)
        self.device.close()

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close() if kind is None else self.abandon()
