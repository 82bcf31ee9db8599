"""The bus on the real card: bring-up as a kernel does it, DMA through the translation, all vectors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vnic.abi import InterruptKind
from vnic.device import Device
from vnic.errors import ArgumentError, CapacityError, LeakError, UnknownError
from vnic.gen.enums import TestResult
from vnic.gen.registers import BAR0, CONFIG
from vnic.host.bus import Bus, Direction, VectorKinds
from vnic.host.cpu import Processors
from vnic.host.interrupts import InterruptController
from vnic.host.memory import GuestMemory
from vnic.host.pci import CapabilityId, ExtendedId, Fields, capability_fields
from vnic.host.system import System

RESULT = BAR0.TEST_DMA_STATUS.field("RESULT")
ALL_KINDS = [VectorKinds.INTX, VectorKinds.MSI, VectorKinds.MSIX]


def fire(bus: Bus, vector: int) -> None:
    """Raise a vector by the bring-up register."""
    bus.write(0, BAR0.INT_CTRL.offset, 1)
    bus.write(0, BAR0.VEC_CTRL.at(vector), 1)
    bus.write(0, BAR0.TEST_FIRE.offset, vector)


def copy(bus: Bus, source: int, target: int, length: int) -> int:
    """Have the card copy memory; the result."""
    bus.write(0, BAR0.TEST_DMA_SRC.offset, source, 8)
    bus.write(0, BAR0.TEST_DMA_DST.offset, target, 8)
    bus.write(0, BAR0.TEST_DMA_LEN.offset, length)
    bus.write(0, BAR0.TEST_DMA_CMD.offset, BAR0.TEST_DMA_CMD.encode(GO=1, OP=1))
    return RESULT.get(bus.read(0, BAR0.TEST_DMA_STATUS.offset))


# -- bring-up -----------------------------------------------------------------------------------------------


def test_capabilities_and_bars(system: System) -> None:
    found = {(c.id, c.extended) for c in system.walk_capabilities()}
    plain = {(int(id), False) for id in CapabilityId}
    assert found == plain | {(ExtendedId.AER, True)}
    assert system.find_capability(CapabilityId.MSIX) == CONFIG.MSIX_CTRL.offset
    assert [system.bar_size(bar) for bar in range(6)] == [0x10000, 0, 0x2000, 0, 0, 0]
    with pytest.raises(UnknownError):
        system.find_capability(0x42)
    with pytest.raises(UnknownError):
        system.window(1)
    for bar in system.bars.values():
        assert bar.address % bar.size == 0


def test_nothing_answers_before_it_is_enabled(device: Device) -> None:
    bus: Bus = System(device, GuestMemory(4096))
    assert bus.read(0, BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF
    bus.enable_device()
    assert bus.read(0, BAR0.GLB_TYPE.offset) == 1
    bus.disable_device()
    assert bus.read(0, BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF
    with pytest.raises(ArgumentError):
        bus.read(0, 0, 3)


def test_status_bits_survive_command_writes(system: System) -> None:
    fields = Fields(system.function)
    system.read(0, 0)
    memory = system.alloc_coherent(4096)
    copy(system, 0x7000_0000_0000, memory.addr, 8)
    assert fields[CONFIG.COMMAND, "RCV_MASTER_ABORT"] == 1
    system.set_master(False)
    system.set_master()
    assert fields[CONFIG.COMMAND, "RCV_MASTER_ABORT"] == 1


def test_function_level_reset_and_power(system: System) -> None:
    def pattern() -> int:
        return system.read(0, BAR0.TEST_DMA_PATTERN.offset)

    def sleep() -> None:
        system.set_power_state(3)
        system.set_power_state(0)

    for reset in (system.reset_function, sleep):
        system.set_master()
        system.write(0, BAR0.TEST_DMA_PATTERN.offset, 7)
        assert pattern() == 7
        reset()
        assert pattern() == 0
        assert Fields(system.function)[CONFIG.COMMAND, "MASTER"] == 0
    system.set_power_state(3)
    assert pattern() == 0xFFFF_FFFF
    assert capability_fields(system, CONFIG.PM_CAP, CapabilityId.PM)[CONFIG.PM_CTRL, "STATE"] == 3


# -- DMA ----------------------------------------------------------------------------------------------------


def test_dma_through_the_translation(system: System) -> None:
    source = system.memory.alloc(3000)
    ring = system.alloc_coherent(4096)
    source.view[:] = bytes(i % 251 for i in range(3000))
    segments = system.map(source.address, 3000, Direction.TO_DEVICE)
    offset = 0
    for segment in segments:
        assert copy(system, segment.addr, ring.addr + offset, segment.len) == TestResult.OK
        offset += segment.len
    assert bytes(ring.view[:3000]) == bytes(source.view)


def test_dma_outside_of_a_mapping_fails(system: System) -> None:
    source = system.memory.alloc(100)
    ring = system.alloc_coherent(4096)
    segments = system.map(source.address, 100, Direction.TO_DEVICE)
    addr = segments[0].addr
    assert copy(system, ring.addr, addr, 10) == TestResult.DMA_ERROR  # not writable
    assert copy(system, addr - addr % 4096 + 4096, ring.addr, 10) == TestResult.DMA_ERROR  # beside it
    assert copy(system, addr, ring.addr, 10) == TestResult.OK
    system.unmap(segments, Direction.TO_DEVICE)
    assert copy(system, addr, ring.addr, 10) == TestResult.DMA_ERROR  # too late


def test_dma_waits_for_bus_master_enable(system: System) -> None:
    ring = system.alloc_coherent(4096)
    ring.view[:4] = b"data"
    system.set_master(False)
    assert copy(system, ring.addr, ring.addr + 16, 4) == TestResult.NONE
    assert bytes(ring.view[16:20]) == bytes(4)
    system.set_master()
    assert bytes(ring.view[16:20]) == b"data"


def test_dma_to_the_own_bars_fails(system: System) -> None:
    ring = system.alloc_coherent(4096)
    for bar in system.bars.values():
        assert copy(system, ring.addr, bar.address, 8) == TestResult.DMA_ERROR
        assert copy(system, bar.address, ring.addr, 8) == TestResult.DMA_ERROR


# -- vectors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [VectorKinds.MSI, VectorKinds.MSIX])
def test_messages_reach_their_handlers(system: System, kind: VectorKinds) -> None:
    calls: list[int] = []
    assert system.alloc_vectors(1, 4, kind) == 4
    assert 1 << system.vector_kind == kind
    for vector in range(4):
        system.request_irq(vector, calls.append)
    for vector in (2, 0, 3, 3):
        fire(system, vector)
    assert calls == [2, 0, 3, 3]
    assert system.controller.stray_count == 0
    for vector in range(4):
        system.free_irq(vector)
    fire(system, 1)
    assert calls == [2, 0, 3, 3]
    system.free_vectors()
    system.assert_no_leaks()


def test_the_line_reaches_its_handler(system: System) -> None:
    calls: list[int] = []

    def serve(vector: int) -> bool:
        cause = system.read(0, BAR0.INT_CAUSE.offset)
        calls.append(cause)
        return cause != 0

    assert system.alloc_vectors(1, 8, VectorKinds.INTX) == 1
    assert system.vector_kind is InterruptKind.INTX
    system.request_irq(0, serve)
    for vector in (5, 0):
        fire(system, vector)
    assert calls == [1 << 5, 1]
    assert not system.line.is_asserted
    system.free_irq(0)
    system.free_vectors()
    fire(system, 3)
    assert calls == [1 << 5, 1]
    assert not system.line.is_asserted


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_masked_interrupt_comes_when_somebody_listens(system: System, kind: VectorKinds) -> None:
    calls: list[int] = []

    def serve(vector: int) -> None:
        system.read(0, BAR0.INT_CAUSE.offset)
        calls.append(vector)

    system.alloc_vectors(1, 2, kind)
    fire(system, 0)
    assert calls == []
    system.request_irq(0, serve)
    assert calls == [0]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_interrupts_go_to_the_chosen_processor(device: Device, kind: VectorKinds) -> None:
    processors = Processors(4)
    system = System(device, GuestMemory(4096), InterruptController(processors.raise_interrupt))
    system.enable_device()
    system.set_master()
    ran: list[int] = []

    def serve(_: int) -> None:
        system.read(0, BAR0.INT_CAUSE.offset)
        ran.append(processors.current)

    system.alloc_vectors(1, 1, kind)
    system.request_irq(0, serve, cpu=2)
    fire(system, 0)
    processors.run_until_idle()
    system.set_affinity(0, 3)
    fire(system, 0)
    processors.run_until_idle()
    assert ran == [2, 3]


@pytest.fixture
def small() -> Iterator[System]:
    """A card with three vectors and two messages."""
    with Device(vectors=3, msi_capable_log2=1) as device:
        made = System(device, GuestMemory(4096))
        made.enable_device()
        made.set_master()
        yield made


def test_as_many_vectors_as_there_are(small: System) -> None:
    assert small.alloc_vectors(1, 64) == 3
    assert small.vector_kind.name == "MSIX"
    small.free_vectors()
    assert small.alloc_vectors(2, 64, VectorKinds.MSI | VectorKinds.INTX) == 2
    assert small.vector_kind.name == "MSI"
    small.free_vectors()
    with pytest.raises(CapacityError):
        small.alloc_vectors(4, 64)
    with pytest.raises(CapacityError):
        small.alloc_vectors(2, 64, VectorKinds.INTX)
    with pytest.raises(CapacityError):
        small.alloc_vectors(0, 1)


def test_vectors_are_given_back_in_order(small: System) -> None:
    with pytest.raises(UnknownError):
        small.free_vectors()
    small.alloc_vectors(1, 2)
    with pytest.raises(CapacityError):
        small.alloc_vectors(1, 1)
    small.request_irq(1, lambda _: None)
    with pytest.raises(CapacityError):
        small.request_irq(1, lambda _: None)
    with pytest.raises(CapacityError, match="handler"):
        small.free_vectors()
    with pytest.raises(UnknownError):
        small.request_irq(2, lambda _: None)
    with pytest.raises(UnknownError):
        small.free_irq(0)
    with pytest.raises(LeakError):
        small.assert_no_leaks()
    small.free_irq(1)
    small.free_vectors()
    small.assert_no_leaks()


def test_time_passes_while_a_driver_waits(device: Device) -> None:
    System(device, GuestMemory(4096)).delay_ns(500)
    assert device.now_ns == 500
    waited: list[int] = []
    System(device, GuestMemory(4096), delay=waited.append).delay_ns(7)
    assert waited == [7]
