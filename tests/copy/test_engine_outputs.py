"""CopyEngine: where its outputs go, what observers and answers may do, faults, and its place on a bus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.copy.driver import CHANCTRL_RUN, Driver
from vnic.abi import DmaPurpose, DmaStatus, EventType, InterruptKind
from vnic.copy_engine import CopyEngine
from vnic.device import Device
from vnic.errors import (
    InsideError,
    UnknownError,
)
from vnic.events import Event
from vnic.fault import Fault, FaultAction, FaultSite
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import BAR0, COPY_BAR0, Copy
from vnic.host.bus import Bus, Direction, Function, Interrupt
from vnic.host.interrupts import InterruptController
from vnic.host.memory import GuestMemory
from vnic.host.system import MMIO_BASE, System

TEXT = bytes(i * 7 & 0xFF for i in range(3000))
STRAY = 0x7000_0000_0000


class Recorder:
    """Takes interrupts; raises for the first ones when told to."""

    def __init__(self, refusals: int = 0) -> None:
        self.got: list[int] = []
        self.refusals = refusals

    def signal(self, interrupt: Interrupt) -> None:
        """Note the vector."""
        self.got.append(interrupt.vector)
        if len(self.got) <= self.refusals:
            raise RuntimeError(f"refused {interrupt.vector}")


# -- outputs ------------------------------------------------------------------------------------------------


def test_interrupts_go_to_who_is_connected(driver: Driver, engine: CopyEngine) -> None:
    recorder = Recorder()
    engine.connect_interrupts(recorder)
    for index in (2, 0):
        driver.channel(index).post_copy(TEXT, int_en=1)
        driver.channel(index).start()
    assert recorder.got == [2, 0]
    assert driver.vectors() == []


def test_an_exception_of_a_sink_comes_out_of_the_access(driver: Driver, engine: CopyEngine) -> None:
    recorder = Recorder(refusals=1)
    engine.is_manual = True
    for index in (1, 3):
        driver.channel(index).post_copy(TEXT, int_en=1)
        driver.channel(index).start()
    engine.connect_interrupts(recorder)
    with pytest.raises(RuntimeError, match="refused 1"):
        engine.is_manual = False
    assert recorder.got == [1]
    driver.engine.read32(0)
    assert recorder.got == [1, 3]


def test_what_a_failing_sink_left_does_not_survive_a_load(driver: Driver, engine: CopyEngine) -> None:
    image = engine.save()
    recorder = Recorder(refusals=1)
    engine.is_manual = True
    for index in (1, 3):
        driver.channel(index).post_copy(TEXT, int_en=1)
        driver.channel(index).start()
    engine.connect_interrupts(recorder)
    with pytest.raises(RuntimeError, match="refused 1"):
        engine.is_manual = False
    engine.load(image)
    assert engine.read32(Copy.CBVER) == 0x32
    assert recorder.got == [1]


def test_an_exception_of_an_observer_comes_out_of_what_it_saw(driver: Driver, engine: CopyEngine) -> None:
    def refuse(event: Event) -> None:
        raise LookupError(f"purpose {event.index}")

    channel = driver.channel(0)
    channel.post_copy(TEXT)
    channel.write(COPY_BAR0.CHAINADDR, channel.slot(0))
    with engine.observe(refuse, [EventType.DMA_READ]):
        with pytest.raises(LookupError, match=f"purpose {int(DmaPurpose.DESCRIPTOR)}"):
            channel.set_count(1)
        assert channel.status is ChanStatus.DONE


def test_a_run_hands_on_what_an_exception_left(driver: Driver, engine: CopyEngine) -> None:
    def refuse(_: Event) -> None:
        raise LookupError

    recorder = Recorder()
    engine.connect_interrupts(recorder)
    driver.channel(0).post_copy(TEXT, int_en=1)
    with engine.observe(refuse, [EventType.INTERRUPT]), pytest.raises(LookupError):
        driver.channel(0).start()
    assert recorder.got == []
    engine.run()
    assert recorder.got == [0]


def test_events_carry_the_number_of_the_function() -> None:
    seen: list[Event] = []
    with CopyEngine(function=3) as engine, engine.observe(seen.append):
        driver = Driver(engine)
        channel = driver.channel(0)
        channel.post_copy(TEXT, int_en=1)
        channel.start()
    assert {event.function for event in seen} == {3}
    kinds = {event.type for event in seen}
    assert kinds >= {EventType.MMIO_WRITE, EventType.CFG_WRITE, EventType.MAP, EventType.RUN}
    moved = [(event.type, event.index, event.addr) for event in seen if event.data]
    assert moved[0] == (EventType.DMA_READ, DmaPurpose.DESCRIPTOR, channel.slot(0))
    written = b"".join(event.data for event in seen if event.type is EventType.DMA_WRITE)
    assert written == TEXT
    (message,) = [event for event in seen if event.type is EventType.INTERRUPT]
    assert (message.index, message.width) == (0, InterruptKind.MSIX)


def test_an_observer_must_not_use_its_engine(driver: Driver, engine: CopyEngine) -> None:
    uses: list[Callable[[], object]] = [lambda: engine.read32(0), engine.save, engine.close]
    for use in uses:

        def observer(_: Event, use: Callable[[], object] = use) -> None:
            use()

        with engine.observe(observer, [EventType.CFG_READ]), pytest.raises(InsideError):
            engine.config_read(0)
    assert engine.config_read(0) == 0x0E20_8086


def test_what_is_not_mapped_can_be_answered(driver: Driver, engine: CopyEngine) -> None:
    asked: list[tuple[int, int]] = []

    def answer(iova: int, data: memoryview, is_write: bool) -> DmaStatus:
        assert not is_write
        asked.append((iova, len(data)))
        data[:] = b"\x5a" * len(data)
        return DmaStatus.OK

    channel = driver.channel(0)
    target = driver.memory.alloc(100)
    stray = CopyDescriptor(size=100, src=STRAY, dst=target)
    engine.answer_unmapped(answer)
    channel.post(stray)
    channel.start()
    assert asked == [(STRAY, 100)]
    assert driver.memory.get(target, 101) == b"\x5a" * 100 + b"\0"
    engine.answer_unmapped(None)
    channel.append(replace(stray, next=0))
    assert channel.status is ChanStatus.HALTED
    assert channel.clear_error() == COPY_BAR0.CHANERR.field("SRC_ADDR").mask


# -- faults -------------------------------------------------------------------------------------------------


def test_a_fault_hits_and_is_counted(driver: Driver, engine: CopyEngine) -> None:
    fault = Fault(
        site=FaultSite.DMA_READ,
        action=FaultAction.ERROR,
        index=DmaPurpose.DATA,
        argument=DmaStatus.POISONED,
    )
    channel = driver.channel(0)
    target = channel.post_copy(TEXT)
    with engine.arm(fault) as armed:
        channel.start()
        assert armed.fired == 1
    assert armed.fired == 1
    assert not armed.is_armed
    assert channel.status is ChanStatus.HALTED
    assert channel.clear_error() == COPY_BAR0.CHANERR.field("DATA_INTEGRITY").mask
    assert driver.memory.get(target, len(TEXT)) == bytes(len(TEXT))
    assert channel.read(COPY_BAR0.CHANCTRL) & 0xFC == CHANCTRL_RUN & 0xFC
    with pytest.raises(UnknownError):
        engine.disarm(armed.number)
    with pytest.raises(UnknownError):
        engine.fault_fired(armed.number)


# -- on a bus -----------------------------------------------------------------------------------------------


def test_card_and_engine_in_one_machine(engine: CopyEngine) -> None:
    """Two functions share memory and interrupt controller; the driver sees a Bus and nothing else."""
    function: Function = engine
    memory, controller = GuestMemory(1 << 20), InterruptController()
    with Device() as card:
        first: Bus = System(card, memory, controller)
        second: Bus = System(function, memory, controller, scatter=False, mmio_base=MMIO_BASE + 0x10_0000)
        calls: list[int] = []
        for bus in (first, second):
            bus.enable_device()
            bus.set_master()
        assert first.read(0, BAR0.GLB_TYPE.offset) == 1
        assert [second.bar_size(bar) for bar in range(6)] == [0x4000, 0, 0, 0, 0, 0]
        assert second.alloc_vectors(1, 4) == 4
        assert second.vector_kind is InterruptKind.MSIX
        second.request_irq(1, calls.append)
        copy_by_bus(second, memory)
        assert calls == [1]
        assert controller.stray_count == 0
        second.free_irq(1)
        second.free_vectors()


def copy_by_bus(bus: Bus, memory: GuestMemory) -> None:
    """Copy TEXT on channel 1 as a driver does, with an interrupt, and see that it arrived."""
    source, target = memory.alloc(len(TEXT)), memory.alloc(len(TEXT))
    source.view[:] = TEXT
    ring = bus.alloc_coherent(4096)
    (read,) = bus.map(source.address, len(TEXT), Direction.TO_DEVICE)
    (write,) = bus.map(target.address, len(TEXT), Direction.FROM_DEVICE)
    ring.view[:64] = CopyDescriptor(size=len(TEXT), src=read.addr, dst=write.addr, int_en=1).pack()
    bus.write(0, Copy.GENERAL + 3, 0x09, 1)
    bus.write(0, COPY_BAR0.CHAINADDR.at(1), ring.addr, 8)
    bus.write(0, COPY_BAR0.CHANCMD.at(1) + 2, 1, 2)
    bus.unmap([read], Direction.TO_DEVICE)
    bus.unmap([write], Direction.FROM_DEVICE)
    bus.free_coherent(ring)
    assert bytes(target.view) == TEXT
