"""Several adapters' clients at once, on several processors, in every order that a seed makes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.netdma.scene import Client, pattern
from vnic.abi import DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.host.cpu import Level
from vnic.host.memory import GuestBuffer
from vnic.netdma.channel_handle import ChannelState
from vnic.netdma.dma_channel import DmaChannel
from vnic.netdma.types import NTSTATUS, Transfer
from vnic.testbench.copy_bench import CopyBench

SEEDS = range(8)
_BYTES = 3000
_SLOT = 400
_SLOTS = 80


class Adapter(Client):
    """One adapter's client: copies into a slot of its own each, and once more from inside `done`.

    What the engine does not copy, the processor does.
    """

    def __init__(self, bench: CopyBench, number: int) -> None:
        super().__init__(bench)
        self.random = random.Random(number)
        self.data = pattern(_BYTES, salt=number)
        self.source: GuestBuffer = bench.buffer(self.data)
        self.target: GuestBuffer = bench.buffer(_SLOT * _SLOTS)
        self.wanted = bytearray(_SLOT * _SLOTS)
        self.dma: DmaChannel = self.channel(number % 4)
        self.order: list[int] = []
        self.failed = 0
        self.posted = 0
        self._slot = 0

    def post(self, more: int = 0) -> bool:
        """A random piece; `more` further ones follow from its `done`."""
        number, to, at = self.posted, self._slot * _SLOT, self.random.randrange(_BYTES - _SLOT)
        length = self.random.randrange(1, _SLOT)
        self._slot += 1
        self.wanted[to : to + length] = self.data[at : at + length]

        def done(is_copied: bool) -> None:
            assert self.bench.processors.level == Level.DISPATCH
            self.order.append(number)
            if not is_copied:
                self.failed += 1
                self.target.view[to : to + length] = self.data[at : at + length]
            if more:
                self.post(more - 1)

        taken = self.dma.copy([Transfer(self.target.address + to, self.source.address + at, length)], done)
        self.posted += taken
        if not taken:
            self.target.view[to : to + length] = self.data[at : at + length]
        return taken

    def check(self) -> None:
        """All ended, in order, and every byte is there."""
        assert self.order == list(range(self.posted)) and self.dma.outstanding == 0
        assert bytes(self.target.view) == self.wanted
        self.source.free()
        self.target.free()


@pytest.mark.requirement("NDMA-10", "NDMA-6")
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("interrupt", ["msix", "line"])
@pytest.mark.parametrize("seed", SEEDS)
def test_clients_do_not_disturb_each_other(version: tuple[int, int], interrupt: str, seed: int) -> None:
    device = {"is_overlapping": bool(seed & 1)}
    with CopyBench(version=version, interrupt=interrupt, seed=seed, ring=16, device=device) as bench:
        adapters = [Adapter(bench, number) for number in range(3)]
        choose = random.Random(seed)
        for _ in range(20):
            choose.choice(adapters).post(more=choose.randrange(3))
            if choose.random() < 0.3:
                bench.settle()
        bench.settle()
        for adapter in adapters:
            adapter.check()
            assert adapter.failed == 0 and adapter.dma.bytes > 0


@pytest.mark.requirement("NDMA-9", "NDMA-10")
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("seed", SEEDS)
def test_errors_stay_where_they_are(version: tuple[int, int], seed: int) -> None:
    """DMA errors and lost or doubled interrupts at random; what was not copied is copied by the client."""
    with CopyBench(version=version, seed=seed, ring=16) as bench:
        adapters = [Adapter(bench, number) for number in range(3)]
        choose = random.Random(seed)
        for _ in range(20):
            site = choose.choice([FaultSite.DMA_READ, FaultSite.DMA_WRITE, FaultSite.INTERRUPT])
            is_dma = site != FaultSite.INTERRUPT
            action = FaultAction.ERROR if is_dma else choose.choice([FaultAction.DROP, FaultAction.DUPLICATE])
            argument = DmaStatus.ABORTED if is_dma else 0
            with bench.engine.arm(
                Fault(site=site, action=action, argument=argument, skip=choose.randrange(6))
            ):
                for _ in range(3):
                    choose.choice(adapters).post(more=choose.randrange(2))
                bench.settle()
        bench.advance(1_000_000_000)
        assert sum(adapter.failed for adapter in adapters) > 0
        for adapter in adapters:
            adapter.check()
        assert bench.interface.violations == []


@pytest.mark.requirement("NDMA-1", "NDMA-11")
@pytest.mark.parametrize("seed", SEEDS)
def test_stop_and_removal_at_any_moment(seed: int) -> None:
    choose = random.Random(seed)
    with CopyBench(version=choose.choice([(1, 0), (2, 0)]), seed=seed, ring=16) as bench:
        adapters = [Adapter(bench, number) for number in range(3)]
        for _ in range(choose.randrange(1, 12)):
            choose.choice(adapters).post(more=2)
        if seed & 1:
            bench.remove()
        else:
            bench.provider.stop_device()
        bench.system.assert_no_leaks()
        bench.settle()
        for adapter in adapters:
            adapter.check()
            assert adapter.dma.handle.is_freed


@pytest.mark.requirement("NDMA-4", "NDMA-6", "INV-59")
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("seed", SEEDS)
def test_engine_and_processors_by_small_steps(version: tuple[int, int], seed: int) -> None:
    """Posts, steps of the engine, Suspend and Resume, interrupts, in any order: nothing is lost or late."""
    choose = random.Random(seed)
    device = {"is_overlapping": bool(seed & 1)}
    settings: dict[str, Any] = {"ring": 12, "manual": True, "device": device, "seed": seed}
    with CopyBench(version=version, interrupt=choose.choice(["msix", "line"]), **settings) as bench:
        adapters = [Adapter(bench, number) for number in range(2)]
        suspended: set[Adapter] = set()
        for _ in range(150):
            adapter, what = choose.choice(adapters), choose.random()
            handle = adapter.dma.handle
            if what < 0.2 and adapter.posted < 60:
                adapter.post()
            elif what < 0.7:
                bench.step(choose.choice(bench.engine.runnable or [0]))
            elif what < 0.8:
                bench.processors.run_until_idle()
            elif adapter in suspended:
                suspended.discard(adapter)
                assert handle.resume() == NTSTATUS.SUCCESS
            elif handle.state is ChannelState.STARTED and what < 0.9:
                suspended.add(adapter)
                assert handle.suspend()[0] == NTSTATUS.SUCCESS
        for adapter in suspended:
            adapter.dma.handle.resume()
        bench.settle()
        for adapter in adapters:
            adapter.check()
            assert adapter.failed == 0 and adapter.dma.lost_interrupts == 0
