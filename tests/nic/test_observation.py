"""Events: each input and output of the card is told once, with its content, in the order of what happens."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from vnic.abi import (
    DmaPurpose,
    DmaStatus,
    Engine,
    EventType,
    FaultAction,
    FaultSite,
    InterruptKind,
    Map,
    ResetLevel,
)
from vnic.device import Budget
from vnic.errors import ArgumentError, TimeError, UnknownError
from vnic.events import Event
from vnic.fault import ANY, Fault
from vnic.gen.registers import BAR0, CONFIG
from vnic.testbench.rig import BAR0_ADDRESS, MESSAGE_ADDRESS, MESSAGE_DATA, Rig, plain_frame

ALL_ONES = (1 << 64) - 1


def told(rig: Rig, act: Callable[[], object], *types: EventType) -> list[Event]:
    """The events of some types, by default all, that an act causes."""
    events: list[Event] = []
    with rig.device.observe(events.append, types or tuple(EventType)):
        act()
    return events


def one(rig: Rig, act: Callable[[], object], kind: EventType) -> Event:
    """The only event of a type that an act causes, and that it says where and when."""
    (event,) = told(rig, act, kind)
    assert (event.type, event.function, event.time_ns) == (kind, 3, rig.device.now_ns)
    return event


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A card that is function 3, in manual mode."""
    with Rig(manual=True, function=3) as made:
        made.device.run()
        made.device.interrupts()
        made.device.advance(1234)
        yield made


def test_registers_and_configuration_space(rig: Rig) -> None:
    device = rig.device
    echo = BAR0.TEST_ECHO.offset
    event = one(rig, lambda: device.write(0, echo, 7, 2), EventType.MMIO_WRITE)
    assert (event.index, event.width, event.addr, event.value) == (0, 2, echo, 7)
    event = one(rig, lambda: device.read(0, echo, 4), EventType.MMIO_READ)
    assert (event.index, event.width, event.addr, event.value) == (0, 4, echo, 14)
    event = one(rig, lambda: device.config_write(CONFIG.INTERRUPT.offset, 9, 1), EventType.CFG_WRITE)
    assert (event.width, event.addr, event.value) == (1, CONFIG.INTERRUPT.offset, 9)
    event = one(rig, lambda: device.config_read(CONFIG.INTERRUPT.offset, 1), EventType.CFG_READ)
    assert (event.width, event.addr, event.value) == (1, CONFIG.INTERRUPT.offset, 9)


def test_memory_map(rig: Rig) -> None:
    device = rig.device
    memory = bytearray(8192)
    event = one(rig, lambda: device.map(1 << 40, memory, Map.READ), EventType.MAP)
    assert (event.addr, event.value, event.width) == (1 << 40, 8192, Map.READ)
    event = one(rig, lambda: device.unmap(1 << 40, 4096), EventType.UNMAP)
    assert (event.addr, event.value) == (1 << 40, 4096)
    event = one(rig, device.unmap_all, EventType.UNMAP)
    assert (event.addr, event.value) == (0, ALL_ONES)


def test_a_call_that_fails_changed_nothing_and_is_not_told(rig: Rig) -> None:
    device = rig.device

    def fail() -> None:
        with pytest.raises(ArgumentError):
            device.map(1, bytearray(4096), Map.READ)
        with pytest.raises(UnknownError):
            device.unmap(1 << 41, 4096)
        with pytest.raises(TimeError):
            device.advance(0)
        with pytest.raises(UnknownError):
            device.disarm(3)

    assert told(rig, fail) == []


def test_frames(rig: Rig) -> None:
    frame = plain_frame(100)
    event = one(rig, lambda: rig.inject(frame), EventType.FRAME_IN)
    assert (event.data, event.value) == (frame, 0)
    event = one(rig, lambda: rig.inject(frame[:5]), EventType.FRAME_IN)
    assert (event.data, event.value) == (frame[:5], 1)
    rig[0].send(frame)
    event = one(rig, rig.device.run, EventType.FRAME_OUT)
    assert (event.data, event.index) == (frame, 0)


def test_a_looped_frame_does_not_leave(rig: Rig) -> None:
    rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
    rig[0].send(plain_frame())
    assert told(rig, rig.device.run, EventType.FRAME_OUT, EventType.FRAME_IN) == []
    assert [received.data for received in rig[0].take()] == [plain_frame()]


def test_time_work_and_link(rig: Rig) -> None:
    device = rig.device
    event = one(rig, lambda: device.advance(5000), EventType.TIME)
    assert event.value == 5000
    event = one(rig, lambda: device.run(Budget(17, 99)), EventType.RUN)
    assert (event.addr, event.value) == (17, 99)
    event = one(rig, lambda: device.step(Engine.LSO), EventType.STEP)
    assert event.index == Engine.LSO
    for mbps in (0, 0, 2500):
        assert one(rig, partial(device.set_link, mbps), EventType.LINK).value == mbps


def test_dma_and_interrupts(rig: Rig) -> None:
    frame = plain_frame(80)
    rig.inject(frame)
    events = told(rig, rig.device.run, EventType.DMA_READ, EventType.DMA_WRITE, EventType.INTERRUPT)
    kinds = [(event.type, event.index) for event in events]
    assert kinds == [
        (EventType.DMA_READ, DmaPurpose.DESCRIPTOR),
        (EventType.DMA_WRITE, DmaPurpose.DATA),
        (EventType.DMA_WRITE, DmaPurpose.COMPLETION),
        (EventType.INTERRUPT, 0),
    ]
    descriptors, data, completion, message = events
    assert descriptors.addr == rig[0].rx_memory.address
    assert struct.unpack_from("<Q", descriptors.data)[0] == data.addr == rig[0].buffers.address
    assert data.data == frame
    assert completion.addr == rig[0].cq_memory.address
    assert completion.data == bytes(rig[0].cq_memory.view[:32])
    assert {event.value for event in (descriptors, data, completion)} == {DmaStatus.OK}
    assert (message.addr, message.value, message.width) == (MESSAGE_ADDRESS, MESSAGE_DATA, InterruptKind.MSIX)


@pytest.mark.parametrize(
    ("address", "status"), [(1 << 50, DmaStatus.UNSUPPORTED), (BAR0_ADDRESS, DmaStatus.UNSUPPORTED)]
)
def test_dma_that_fails(rig: Rig, address: int, status: DmaStatus) -> None:
    rig[0].send_raw([rig[0].piece(bytes(100), addr=address)])
    events = told(rig, rig.device.run, EventType.DMA_READ)
    assert (events[-1].addr, events[-1].value, events[-1].data) == (address, status, b"")


@pytest.mark.parametrize("level", ResetLevel)
def test_resets(rig: Rig, level: ResetLevel) -> None:
    assert one(rig, lambda: rig.device.reset(level), EventType.RESET).value == level


def test_removal_and_return(rig: Rig) -> None:
    assert one(rig, rig.device.remove, EventType.REMOVE).value == 1
    (event,) = told(rig, rig.device.insert, EventType.REMOVE)
    assert (event.value, event.function) == (0, 3)


def test_faults_armed_fired_and_disarmed(rig: Rig) -> None:
    fault = Fault(site=FaultSite.FRAME_IN, action=FaultAction.DROP, first=60, last=70)
    (armed,) = told(rig, lambda: rig.device.arm(fault), EventType.ARM)
    fields = struct.unpack("<BBB5xQQQQQQ", armed.data)
    assert fields == (FaultSite.FRAME_IN, FaultAction.DROP, ANY, 60, 70, 0, 1, 0, ALL_ONES)
    fired = told(rig, lambda: rig.inject(plain_frame(65)), EventType.FAULT, EventType.FRAME_IN)
    assert [event.type for event in fired] == [EventType.FAULT, EventType.FRAME_IN]
    assert (fired[0].value, fired[0].addr, fired[1].value) == (armed.value, 65, 1)
    (disarmed,) = told(rig, lambda: rig.device.disarm(armed.value), EventType.ARM)
    assert (disarmed.value, disarmed.data) == (armed.value, b"")


def test_a_load_brings_its_snapshot(rig: Rig) -> None:
    image = rig.device.save()
    rig.device.advance(9999)
    (event,) = told(rig, lambda: rig.device.load(image), EventType.LOAD)
    assert (event.data, event.function) == (image, 3)


def test_only_what_was_asked_for_is_told(rig: Rig) -> None:
    def act() -> None:
        rig.inject(plain_frame())
        rig.device.read(0, 0)
        rig.device.run()

    for kind in (EventType.RUN, EventType.FRAME_IN, EventType.MMIO_READ, EventType.INTERRUPT):
        assert {event.type for event in told(rig, act, kind)} == {kind}
    events: list[Event] = []
    observation = rig.device.observe(events.append)
    observation.cancel()
    act()
    assert events == []
