"""The two drivers that exist for this engine, replayed register by register: they bind, copy and recover."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.copy import stock_dpdk, stock_linux
from tests.copy.stock_dpdk import DpdkChannel, StartError
from tests.copy.stock_linux import LinuxDriver
from vnic.copy_engine import CopyEngine
from vnic.host.bus import Direction, Segment
from vnic.host.interrupts import InterruptController
from vnic.host.memory import GuestBuffer, GuestMemory
from vnic.host.system import System

UNMAPPED = 1 << 45


class Machine:
    """An engine with memory; interrupts are taken at once."""

    def __init__(self) -> None:
        self.memory = GuestMemory(4 << 20)
        self.engine = CopyEngine()
        self.bus = System(self.engine, self.memory, InterruptController())

    def buffer(self, content: bytes, direction: Direction) -> tuple[GuestBuffer, list[Segment]]:
        """A page of memory that the engine reaches."""
        pages = self.memory.alloc_pages(4096, label="buffer")
        pages.view[: len(content)] = content
        return pages, self.bus.map(pages.address, len(content), direction)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.engine.close()


@pytest.fixture
def linux(machine: Machine) -> LinuxDriver:
    driver = LinuxDriver(machine.bus)
    driver.probe()
    return driver


# -- Linux ---------------------------------------------------------------------------------------------------


def test_linux_binds(linux: LinuxDriver, machine: Machine) -> None:
    config = machine.bus
    assert config.config_read(0, 4) == 0x0E20_8086
    assert config.config_read(8, 4) >> 8 == 0x088000
    assert config.bar_size(0) == 16 << 10
    assert len(linux.channels) == 4
    assert linux.max_transfer == 1 << 20
    # Neither XOR nor P+Q: what the driver then offers is memory copies.
    assert linux.capabilities & 0x700 == 0


def test_linux_self_test(linux: LinuxDriver, machine: Machine) -> None:
    linux.self_test()
    linux.remove()
    machine.bus.assert_no_leaks()


def test_linux_interrupts_come_to_the_channels_own_vector(linux: LinuxDriver, machine: Machine) -> None:
    for channel in linux.channels:
        channel.alloc()
    assert [channel.interrupts for channel in linux.channels] == [1, 1, 1, 1]
    assert [channel.finished for channel in linux.channels] == [1, 1, 1, 1]


def test_linux_restarts_after_suspend(linux: LinuxDriver, machine: Machine) -> None:
    channel = linux.channels[1]
    channel.alloc()
    machine.engine.is_manual = True
    _, there = machine.buffer(b"suspended and restarted", Direction.TO_DEVICE)
    target, here = machine.buffer(bytes(23), Direction.FROM_DEVICE)
    for _ in range(3):
        linux.copy(channel, there, here)
    for _ in range(3):  # the first one is done, no more
        machine.engine.step(1)
    linux.window.write8(channel.base + stock_linux.CHANCMD, stock_linux.SUSPEND)
    machine.engine.is_manual = False
    channel.quiesce(100 * stock_linux.MS)
    channel.cleanup()
    assert channel.head - channel.tail == 2
    channel.restart()
    assert channel.tail == channel.head
    assert bytes(target.view[:23]) == b"suspended and restarted"
    assert channel.state() == stock_linux.DONE


def test_linux_quiesce_ends_on_an_idle_channel(linux: LinuxDriver) -> None:
    """Its loop there has no time-out: SUSPEND on an idle channel must leave active and done."""
    channel = linux.channels[2]
    channel.alloc()
    channel.quiesce(0)
    assert channel.state() == stock_linux.SUSPENDED
    channel.restart()
    assert channel.state() == stock_linux.DONE


def test_linux_recovers_from_an_error(linux: LinuxDriver, machine: Machine) -> None:
    channel = linux.channels[0]
    channel.alloc()
    before = channel.interrupts
    _, here = machine.buffer(bytes(64), Direction.FROM_DEVICE)
    linux.copy(channel, [Segment(UNMAPPED, 64)], here)
    assert channel.interrupts == before + 1
    assert channel.state() == stock_linux.HALTED
    assert channel.completion is not None
    assert int.from_bytes(channel.completion.view[:8], "little") & 7 == stock_linux.HALTED
    assert machine.bus.config_read(stock_linux.CHANERR_INT) == 0x1
    assert channel.recover() == 0x1
    assert machine.bus.config_read(stock_linux.CHANERR_INT) == 0
    source, there = machine.buffer(b"as if nothing had been", Direction.TO_DEVICE)
    target, here = machine.buffer(bytes(22), Direction.FROM_DEVICE)
    linux.copy(channel, there, here)
    assert bytes(target.view[:22]) == bytes(source.view[:22])
    assert channel.state() == stock_linux.DONE


def test_linux_wraps_its_ring_and_its_count(linux: LinuxDriver, machine: Machine) -> None:
    """More than 2^16 descriptors: DMACOUNT is modulo 2^16, and the completion stays one of the ring."""
    channel = linux.channels[3]
    channel.alloc()
    _, there = machine.buffer(b"x" * 8, Direction.TO_DEVICE)
    target, here = machine.buffer(bytes(8), Direction.FROM_DEVICE)
    for _ in range(65_600 // 8):
        for _ in range(8):
            channel.fill(8, stock_linux.CTL_COMPL_WRITE, there[0].addr, here[0].addr)
        channel.issue()
        channel.cleanup()
    assert channel.finished == 1 + 65_600
    assert channel.dmacount > 1 << 16
    assert bytes(target.view[:8]) == b"x" * 8


# -- DPDK ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dpdk(machine: Machine) -> DpdkChannel:
    channel = DpdkChannel(machine.bus)
    channel.create()
    channel.start()
    return channel


def test_dpdk_wants_exactly_armed(machine: Machine) -> None:
    channel = DpdkChannel(machine.bus)
    channel.create()
    assert channel.window.read64(channel.base + stock_dpdk.CHANSTS) & 7 == stock_dpdk.HALTED
    channel.start()
    assert channel.window.read64(channel.base + stock_dpdk.CHANSTS) == stock_dpdk.ARMED


def test_dpdk_copies(dpdk: DpdkChannel, machine: Machine) -> None:
    source, there = machine.buffer(bytes(range(256)) * 4, Direction.TO_DEVICE)
    target, here = machine.buffer(bytes(1024), Direction.FROM_DEVICE)
    for part in range(8):
        dpdk.enqueue_copy(there[0].addr + 128 * part, here[0].addr + 128 * part, 128)
    dpdk.submit()
    assert dpdk.completed() == (8, False)
    assert bytes(target.view[:1024]) == bytes(source.view[:1024])
    assert dpdk.completed() == (0, False)
    assert machine.engine.interrupts() == []


def test_dpdk_stops_and_starts_again(dpdk: DpdkChannel, machine: Machine) -> None:
    _, there = machine.buffer(b"again", Direction.TO_DEVICE)
    target, here = machine.buffer(bytes(5), Direction.FROM_DEVICE)
    for _ in range(2):
        dpdk.stop()
        dpdk.start()
        target.view[:5] = bytes(5)
        dpdk.enqueue_copy(there[0].addr, here[0].addr, 5)
        dpdk.submit()
        assert dpdk.completed() == (1, False)
        assert bytes(target.view[:5]) == b"again"


def test_dpdk_recovers_behind_the_descriptor_that_failed(dpdk: DpdkChannel, machine: Machine) -> None:
    _, there = machine.buffer(b"good data", Direction.TO_DEVICE)
    target, here = machine.buffer(bytes(32), Direction.FROM_DEVICE)
    dpdk.enqueue_copy(there[0].addr, here[0].addr, 9)
    dpdk.enqueue_copy(there[0].addr, UNMAPPED, 9)
    dpdk.enqueue_copy(there[0].addr, here[0].addr + 16, 9)
    dpdk.submit()
    assert dpdk.completed() == (1, True)
    assert dpdk.recover() == 0x2
    assert dpdk.completed() == (1, False)
    assert bytes(target.view[:9]) == bytes(target.view[16:25]) == b"good data"


def test_dpdk_start_fails_while_an_error_stands(dpdk: DpdkChannel) -> None:
    dpdk.enqueue_copy(UNMAPPED, UNMAPPED, 9)
    dpdk.submit()
    assert dpdk.completed() == (0, True)
    with pytest.raises(StartError, match="3"):
        dpdk.start()
    dpdk.create()
    dpdk.start()
