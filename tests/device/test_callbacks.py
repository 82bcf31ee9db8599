"""Observers and answers: what they see, what their exceptions do, and that they may not come back in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vnic.abi import DmaPurpose, EventType
from vnic.device import Device
from vnic.errors import InsideError
from vnic.events import DmaStatus, Event
from vnic.gen.enums import TestResult
from vnic.gen.registers import BAR0
from vnic.host.system import System

RESULT = BAR0.TEST_DMA_STATUS.field("RESULT")
STRAY = 0x7000_0000_0000


def start(device: Device, addr: int, op: int = 0, length: int = 4096) -> int:
    """Run a bring-up DMA to its end; its result."""
    device.write64(BAR0.TEST_DMA_DST.offset, addr)
    device.write64(BAR0.TEST_DMA_SRC.offset, addr)
    device.write32(BAR0.TEST_DMA_LEN.offset, length)
    device.write32(BAR0.TEST_DMA_CMD.offset, 1 | op << 4)
    return RESULT.get(device.read32(BAR0.TEST_DMA_STATUS.offset))


def test_an_observer_sees_accesses_and_dma(system: System, device: Device) -> None:
    seen: list[Event] = []
    memory = system.alloc_coherent(4096)
    with device.observe(seen.append, [EventType.MMIO_WRITE, EventType.DMA_WRITE]):
        start(device, memory.addr, length=16)
    writes = [e for e in seen if e.type is EventType.MMIO_WRITE]
    dma = [e for e in seen if e.type is EventType.DMA_WRITE]
    assert (writes[0].addr, writes[0].value, writes[0].width) == (BAR0.TEST_DMA_DST.offset, memory.addr, 8)
    assert [(e.addr, e.index, e.value, e.data) for e in dma] == [
        (memory.addr, DmaPurpose.TEST, DmaStatus.OK, bytes(16))
    ]
    assert len(writes) == 4
    assert len(seen) == 5
    device.write32(BAR0.TEST_ECHO.offset, 1)
    assert len(seen) == 5


def test_observers_are_independent(device: Device) -> None:
    first: list[Event] = []
    second: list[Event] = []
    one = device.observe(first.append, [EventType.CFG_READ])
    two = device.observe(second.append)
    device.config_read(0)
    one.cancel()
    one.cancel()
    device.config_read(0)
    two.cancel()
    device.config_read(0)
    assert len(first) == 1
    assert [e.type for e in second if e.type is EventType.CFG_READ] == [EventType.CFG_READ] * 2


def test_an_observer_may_cancel_itself(device: Device) -> None:
    seen: list[Event] = []

    def once(event: Event) -> None:
        seen.append(event)
        observation.cancel()

    observation = device.observe(once, [EventType.CFG_READ])
    device.config_read(0)
    device.config_read(0)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda d: d.read32(0),
        lambda d: d.write32(0, 0),
        lambda d: d.config_read(0),
        lambda d: d.run(),
        lambda d: d.save(),
        lambda d: d.close(),
        lambda d: d.now_ns,
        lambda d: d.set_link(1),
    ],
)
def test_an_observer_must_not_use_the_device(device: Device, use: Callable[[Device], object]) -> None:
    def busy(_: Event) -> None:
        use(device)

    device.observe(busy, [EventType.CFG_READ])
    with pytest.raises(InsideError):
        device.config_read(0)


def test_an_exception_comes_out_of_the_access_that_caused_it(system: System, device: Device) -> None:
    def refuse(event: Event) -> None:
        raise RuntimeError(f"refused {event.addr:#x}")

    observation = device.observe(refuse, [EventType.MMIO_READ])
    with pytest.raises(RuntimeError, match=f"refused {BAR0.TEST_ECHO.offset:#x}"):
        device.read32(BAR0.TEST_ECHO.offset)
    with pytest.raises(RuntimeError, match="refused 0x4"):
        device.window(2).read32(4)
    observation.cancel()
    assert device.read32(BAR0.GLB_TYPE.offset) == 1


def test_only_the_first_exception_is_raised(system: System, device: Device) -> None:
    count = 0

    def refuse(_: Event) -> None:
        nonlocal count
        count += 1
        raise RuntimeError(f"number {count}")

    memory = system.alloc_coherent(8192)
    with device.observe(refuse, [EventType.DMA_WRITE]), pytest.raises(RuntimeError, match="number 1"):
        start(device, memory.addr, length=8192)
    assert count == 2
    assert device.read32(BAR0.GLB_TYPE.offset) == 1


def test_keyboard_interrupt_gets_out(device: Device) -> None:
    def stop(_: Event) -> None:
        raise KeyboardInterrupt

    with device.observe(stop, [EventType.CFG_READ]), pytest.raises(KeyboardInterrupt):
        device.config_read(0)


def test_what_is_not_mapped_can_be_answered(system: System, device: Device) -> None:
    asked: list[tuple[int, int, bool]] = []
    store = bytearray(4096)

    def answer(iova: int, data: memoryview, is_write: bool) -> DmaStatus:
        asked.append((iova, len(data), is_write))
        offset = iova - STRAY
        if is_write:
            store[offset : offset + len(data)] = data
        else:
            data[:] = store[offset : offset + len(data)]
        return DmaStatus.OK

    assert start(device, STRAY, length=64) == TestResult.DMA_ERROR
    device.answer_unmapped(answer)
    device.write32(BAR0.TEST_DMA_PATTERN.offset, 0x5A5A_5A5A)
    assert start(device, STRAY, length=64) == TestResult.OK
    assert store[:65] == b"\x5a" * 64 + b"\0"
    assert start(device, STRAY, op=2, length=64) == TestResult.OK
    assert store[:65] == b"\xa5" * 64 + b"\0"
    assert {is_write for _, _, is_write in asked} == {True, False}
    device.answer_unmapped(None)
    assert start(device, STRAY, length=64) == TestResult.DMA_ERROR


def test_an_answer_that_raises_is_a_bus_error(system: System, device: Device) -> None:
    def answer(iova: int, data: memoryview, is_write: bool) -> DmaStatus:
        raise LookupError(f"nothing at {iova:#x}")

    device.answer_unmapped(answer)
    with pytest.raises(LookupError, match="nothing at 0x7000"):
        start(device, STRAY)
    device.answer_unmapped(None)
    assert RESULT.get(device.read32(BAR0.TEST_DMA_STATUS.offset)) == TestResult.DMA_ERROR


def test_written_bytes_are_read_only_for_the_answer(system: System, device: Device) -> None:
    def answer(iova: int, data: memoryview, is_write: bool) -> DmaStatus:
        data[0] = 1
        return DmaStatus.OK

    device.answer_unmapped(answer)
    with pytest.raises(TypeError):
        start(device, STRAY)
