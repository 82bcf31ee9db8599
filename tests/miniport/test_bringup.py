"""Bring-up: what the driver finds, what makes it decline, and that it then leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vnic.abi import DmaPurpose, FaultAction, FaultSite
from vnic.device import Device
from vnic.fault import Fault
from vnic.gen.enums import BlockType
from vnic.gen.registers import BAR0
from vnic.host.interrupts import Irq
from vnic.host.memory import GuestMemory
from vnic.host.system import System
from vnic.miniport.bringup import BringUpError, bring_up
from vnic.miniport.registers import BlockError, Registers
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench import Bench
from vnic.testbench.frames import tcp_frame


class Doctored:
    """A bus whose register reads are changed on their way."""

    def __init__(self, bus: System, change: Callable[[int, int], int]) -> None:
        self._bus = bus
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def window(self, bar: int) -> Any:
        """A window that lies."""
        window, change = self._bus.window(bar), self._change

        class Window:
            read64, write32, write64 = window.read64, window.write32, window.write64

            @staticmethod
            def read32(offset: int) -> int:
                return change(offset, window.read32(offset))

        return Window()


def machine() -> System:
    """A card and memory, not brought up."""
    return System(Device(), GuestMemory(4 << 20))


@pytest.mark.requirement("PROG-2")
def test_blocks_are_found_by_their_list() -> None:
    system = machine()
    system.enable_device()
    found = Registers(system).discover()
    assert set(found) == set(BlockType)
    assert found[BlockType.STATISTIC] == BAR0.STAT_TYPE.offset


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda offset, value: 0x100 if offset == 0x508 else value, "does not end"),
        (lambda offset, value: 0x102 if offset == 0x008 else value, "a block at"),
        (lambda offset, value: 0x10000 if offset == 0x008 else value, "a block at"),
        (lambda offset, value: 0 if offset == 0x008 else value, "has no block"),
        (lambda offset, value: 77 if offset == 0x100 else value, "has no block MAC"),
        (lambda offset, value: 0 if offset == 0x104 else value, "version 0"),
        (lambda offset, value: 0xFFFFFFFF, "does not answer"),
    ],
)
@pytest.mark.requirement("PROG-2")
def test_a_broken_block_list_is_refused(change: Callable[[int, int], int], text: str) -> None:
    system = machine()
    system.enable_device()
    with pytest.raises(BlockError, match=text):
        Registers(Doctored(system, change)).discover()


def test_a_block_elsewhere_is_used_where_it_is() -> None:
    """The MAC block appears to be at 0x8000; its registers are asked for there."""
    moved = 0x8000
    asked: list[int] = []

    def change(offset: int, value: int) -> int:
        asked.append(offset)
        if offset == 0x008:
            return moved
        if moved <= offset < moved + 0x10:
            return system.read(0, offset - moved + BAR0.MAC_TYPE.offset)
        return value

    system = machine()
    system.enable_device()
    registers = Registers(Doctored(system, change))
    registers.discover()
    registers.read(BAR0.MAC_RX_MAX)
    assert asked[-1] == moved + BAR0.MAC_RX_MAX.offset - BAR0.MAC_TYPE.offset


@pytest.mark.requirement("PROG-25")
def test_a_card_that_is_gone_is_not_touched() -> None:
    """Its registers read as they would, all ones, and nothing reaches it."""
    system = machine()
    system.enable_device()
    asked: list[int] = []

    def change(offset: int, value: int) -> int:
        asked.append(offset)
        return value

    registers = Registers(Doctored(system, change))
    registers.discover()
    assert registers.is_answering
    registers.let_go()
    asked.clear()
    registers.write(BAR0.MAC_RX_MAX, 1000)
    registers.write(BAR0.MAC_ADDR, 1)
    assert registers.read(BAR0.MAC_RX_MAX) == (1 << 32) - 1
    assert registers.read(BAR0.MAC_ADDR) == (1 << 64) - 1
    assert not registers.is_answering
    assert not asked
    assert system.read(0, BAR0.MAC_RX_MAX.offset) != 1000


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (
            lambda offset, value: value ^ 4 if offset == BAR0.TEST_ECHO.offset else value,
            NDIS_STATUS.DEVICE_FAILED,
        ),
        (
            lambda offset, value: value | 1 if offset == BAR0.TEST_DMA_STATUS.offset else value,
            NDIS_STATUS.DEVICE_FAILED,
        ),
        (lambda offset, value: 0xFFFFFFFF, NDIS_STATUS.ADAPTER_NOT_FOUND),
    ],
)
@pytest.mark.requirement("PROG-4")
def test_a_card_that_fails_its_tests_is_refused(
    change: Callable[[int, int], int], status: NDIS_STATUS
) -> None:
    system = machine()
    with pytest.raises(BringUpError) as caught:
        bring_up(Doctored(system, change))
    assert caught.value.status == status
    system.assert_no_leaks()


@pytest.mark.parametrize("site", [FaultSite.DMA_READ, FaultSite.DMA_WRITE])
@pytest.mark.parametrize("action", [FaultAction.ERROR, FaultAction.CORRUPT, FaultAction.DROP])
@pytest.mark.requirement("PROG-4")
def test_dma_that_does_not_work_is_noticed(site: FaultSite, action: FaultAction) -> None:
    if (site, action) == (FaultSite.DMA_READ, FaultAction.DROP):
        action = FaultAction.ERROR
    system = machine()
    device = system.function
    assert isinstance(device, Device)
    device.arm(Fault(site=site, action=action, index=DmaPurpose.TEST, argument=1))
    with pytest.raises(BringUpError) as caught:
        bring_up(system)
    assert caught.value.status == NDIS_STATUS.DEVICE_FAILED
    assert not device.config_read(4) & 6, "a card that is not used is disabled"
    system.assert_no_leaks()


def declined(bench: Bench) -> NDIS_STATUS:
    """Why the adapter does not initialize; nothing may be left."""
    status = bench.adapter.initialize()
    bench.system.assert_no_leaks()
    bench.memory.assert_no_leaks()
    return status


def test_a_card_that_is_gone_is_not_found() -> None:
    with Bench(starts=False) as bench:
        bench.device.remove()
        assert declined(bench) == NDIS_STATUS.ADAPTER_NOT_FOUND


def test_memory_that_runs_out_is_resources_at_every_point() -> None:
    seen, keywords = set(), {"*ReceiveBuffers": 512}
    for pages in (2, 3, 40, 70, 300, 340, 350, 640, 700, 1100):
        with Bench(starts=False, memory_bytes=pages * 4096, keywords=keywords) as bench:
            seen.add(declined(bench))
    assert seen == {NDIS_STATUS.RESOURCES}


def test_interrupts_that_nobody_grants_are_a_conflict() -> None:
    with Bench(starts=False) as bench:
        bench.system.alloc_vectors(1, 1)
        status = bench.adapter.initialize()
        assert status == NDIS_STATUS.RESOURCE_CONFLICT
        bench.system.free_vectors()
        bench.system.assert_no_leaks()


@pytest.mark.parametrize("interrupt", ["msix", "msi", "line"])
@pytest.mark.parametrize("vectors", [1, 2, 3, 5])
def test_fewer_vectors_than_queues_still_serve_traffic(interrupt: str, vectors: int) -> None:
    with Bench(interrupt=interrupt, device={"vectors": vectors}) as bench:
        bench.set_rss()
        frames = [tcp_frame(b"x", ports=(n, 80)) for n in range(20)]
        bench.receive(*frames)
        bench.send(tcp_frame(b"y"))
        bench.settle()
        assert sorted(bench.received) == sorted(frames)
        assert len(bench.transmitted) == 1
        bench.device.set_link(0)
        bench.settle()
        assert bench.protocol.statuses[-1].status == NDIS_STATUS.LINK_STATE


@pytest.mark.parametrize(
    ("queues", "cpus", "wanted"), [(1, 4, 1), (4, 2, 2), (16, 16, 16), (32, 40, 32), (3, 8, 3)]
)
def test_queues_by_card_and_processors(queues: int, cpus: int, wanted: int) -> None:
    small = {"*ReceiveBuffers": 8, "*TransmitBuffers": 8, "*MaxRssProcessors": 64}
    with Bench(queues=queues, cpus=cpus, keywords=small) as bench:
        caps = bench.adapter.general
        assert caps is not None
        assert caps.receive_scale is not None
        assert caps.receive_scale.receive_queues == wanted
        bench.set_rss()
        bench.receive(*[tcp_frame(b"x", ports=(n, 80)) for n in range(7)])
        bench.settle()
        assert len(bench.received) == 7


def test_the_best_interrupt_on_offer_is_taken() -> None:
    with Bench(interrupt="any") as bench:
        assert bench.system.vector_kind.name == "MSIX"


def test_a_shared_line_that_another_device_asserts_during_registration_is_not_ours() -> None:
    with Bench(interrupt="line", starts=False) as bench:
        claims: list[int] = []

        def other(vector: int) -> bool:
            claims.append(vector)
            bench.system.line.drive("other", False)
            return True

        bench.system.line.connect(Irq(99, handler=other))
        bench.processors.raise_interrupt(lambda cpu: bench.system.line.drive("other", True), 0)
        bench.start()
        bench.receive(tcp_frame(b"x"))
        bench.settle()
        assert claims
        assert bench.received == [tcp_frame(b"x")]
