"""What a provider meets at start: other functions, other engines, no vectors, no memory; and strays later."""

from __future__ import annotations

import pytest

from tests.netdma.scene import Client, RawChain, pattern, transfer
from vnic.abi import FaultAction, FaultSite
from vnic.device import Device
from vnic.fault import Fault
from vnic.gen.model import Register
from vnic.gen.registers import COPY_BAR0
from vnic.host.interrupts import InterruptController
from vnic.host.memory import GuestMemory
from vnic.host.system import System
from vnic.netdma.interface import NetDma
from vnic.netdma.provider import Provider
from vnic.netdma.types import NET_DMA_CHANNEL_CPU_AFFINITY, NET_DMA_CHANNEL_PARAMETERS, NTSTATUS
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE as CODE
from vnic.testbench.copy_bench import CopyBench


def test_a_card_is_no_copy_engine() -> None:
    with Device() as card:
        system = System(card, GuestMemory(1 << 20))
        netdma = NetDma()
        provider = Provider(system, netdma.processors, netdma)
        assert provider.add_device() == NTSTATUS.SUCCESS
        assert provider.start_device() == NTSTATUS.UNSUCCESSFUL
        system.assert_no_leaks()


@pytest.mark.parametrize(
    ("register", "mask"),
    [
        (COPY_BAR0.CBVER, 0x10),  # version 2: other registers
        (COPY_BAR0.GENERAL, 0x4),  # no channel
        (COPY_BAR0.GENERAL, 0x1400),  # nothing can be moved
        (COPY_BAR0.CHANCTRL, 0x3_0000),  # a channel of version 1
        (COPY_BAR0.CBVER, 0xFFFF_FFCD),  # all ones
    ],
)
def test_an_engine_that_this_driver_does_not_know(register: Register, mask: int) -> None:
    with CopyBench(starts=False) as bench:
        assert bench.provider.add_device() == NTSTATUS.SUCCESS
        at = register.offset
        corrupt = Fault(
            site=FaultSite.MMIO_READ, action=FaultAction.CORRUPT, first=at, last=at, mask=mask, count=9
        )
        with bench.engine.arm(corrupt):
            assert bench.provider.start_device() == NTSTATUS.UNSUCCESSFUL
        assert bench.engine.config_read(4, 2) & 0x6 == 0, "it is disabled again"
        assert bench.provider.start_device() == NTSTATUS.SUCCESS


def test_no_vector_is_left() -> None:
    with CopyBench(controller=InterruptController(capacity=0), starts=False) as bench:
        assert bench.provider.add_device() == NTSTATUS.SUCCESS
        assert bench.provider.start_device() == NTSTATUS.RESOURCES


def test_no_memory_for_a_channel() -> None:
    with CopyBench(memory_bytes=4 * 4096) as bench:
        assert Client(bench).handle.allocate_channel() is None


@pytest.mark.requirement("NDMA-3")
def test_a_provider_that_has_no_channel_after_all() -> None:
    class Stingy(Provider):
        """Never has one."""

        def allocate_dma_channel(
            self, context: object, parameters: NET_DMA_CHANNEL_PARAMETERS, handle: object
        ) -> tuple[NTSTATUS, object]:
            return NTSTATUS.RESOURCES, None

    with CopyBench(driver=Stingy) as bench:
        assert Client(bench).handle.allocate_channel() is None
        bench.memory.assert_no_leaks()


@pytest.mark.requirement("NDMA-8")
def test_a_client_that_comes_later_hears_what_is_there() -> None:
    with CopyBench(starts=False) as bench:
        bench.provider.add_device()
        early = Client(bench)
        bench.provider.start_device()
        late = Client(bench)
        assert early.events == late.events == [CODE.REGISTERED, CODE.ARRIVAL]


@pytest.mark.requirement("NDMA-10")
def test_a_vector_moves_while_its_channel_works() -> None:
    with CopyBench() as bench:
        assert isinstance(bench.provider, Provider)
        client = Client(bench)
        channel = client.channel(0)
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        where = [NET_DMA_CHANNEL_CPU_AFFINITY(0, 3)]
        assert bench.provider.set_dma_channel_cpu_affinity(None, where) == NTSTATUS.SUCCESS
        client.copy(channel, transfer(target, source))
        bench.settle()
        assert [bench.processors[cpu].interrupts for cpu in range(4)] == [0, 0, 0, 1]
        assert client.ended == [(0, True, 0)], "the DPC runs where NetDmaIsr says"
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-6")
def test_an_interrupt_of_the_line_that_is_another_devices() -> None:
    with CopyBench(interrupt="line") as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        other = object()
        claimed: list[bool] = []

        def release(_: int) -> bool:
            bench.system.line.drive(other, False)
            claimed.append(True)
            return True

        irq = bench.controller.allocate(1)[0]
        irq.handler = release
        bench.system.line.connect(irq)
        bench.system.line.drive(other, True)
        bench.settle()
        assert claimed == [True] and client.ended == []
        client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.results == [True], "MASTER_INT_EN was set again"
        bench.system.line.disconnect(irq)
        bench.controller.release([irq])
        source.free()
        target.free()


def test_a_copy_that_can_never_fit_is_never_taken() -> None:
    with CopyBench(ring=4) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(30_000)), bench.buffer(30_000)
        assert not client.copy(channel, transfer(target, source))
        assert bench.system.iommu.mapped == []
        assert client.copy(channel, transfer(target, source, length=8000))
        bench.settle()
        assert client.results == [True]
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-8")
def test_raw_channels_need_a_start_after_power_up() -> None:
    with CopyBench(scatter=False) as bench:
        chain = RawChain(bench)
        chain.put([0])
        assert chain.start(0) == NTSTATUS.SUCCESS
        bench.settle()
        bench.provider.power_down()
        bench.provider.power_up()
        chain.put([1])
        assert chain.start(1) == NTSTATUS.SUCCESS
        bench.settle()
        assert chain.copied == {0, 1} and chain.reports == [0, 1]
        chain.close()
