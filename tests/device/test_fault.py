"""Faults armed from Python: they fire where and as often as was said."""

from __future__ import annotations

import pytest

from vnic.device import Device
from vnic.errors import ArgumentError, CapacityError, UnknownError
from vnic.fault import DmaStatus, Fault, FaultAction, FaultSite
from vnic.gen.enums import TestResult
from vnic.gen.registers import BAR0
from vnic.host.system import System

RESULT = BAR0.TEST_DMA_STATUS.field("RESULT")


def fill(device: Device, addr: int) -> int:
    """A bring-up DMA of 16 bytes; its result."""
    device.write64(BAR0.TEST_DMA_DST.offset, addr)
    device.write32(BAR0.TEST_DMA_LEN.offset, 16)
    device.write32(BAR0.TEST_DMA_CMD.offset, 1)
    return RESULT.get(device.read32(BAR0.TEST_DMA_STATUS.offset))


def test_a_dma_error_fires_as_often_as_said(system: System, device: Device) -> None:
    memory = system.alloc_coherent(4096)
    fault = Fault(
        site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, argument=DmaStatus.ABORTED, skip=1, count=2
    )
    with device.arm(fault) as handle:
        results = [fill(device, memory.addr) for _ in range(5)]
        assert handle.fired == 2
        assert handle.is_armed
    error, ok = TestResult.DMA_ERROR, TestResult.OK
    assert results == [ok, error, error, ok, ok]
    assert not handle.is_armed
    assert handle.fired == handle.disarm() == 2


def test_a_write_is_lost_or_damaged(system: System, device: Device) -> None:
    offset = BAR0.TEST_DMA_PATTERN.offset
    with device.arm(Fault(site=FaultSite.MMIO_WRITE, action=FaultAction.DROP, first=offset, last=offset)):
        device.write32(offset, 5)
        assert device.read32(offset) == 0
        device.write32(offset, 6)
        assert device.read32(offset) == 6
    memory = system.alloc_coherent(4096)
    flip = Fault(site=FaultSite.DMA_WRITE, action=FaultAction.CORRUPT, argument=8, mask=0xFF)
    with device.arm(flip):
        fill(device, memory.addr)
    assert bytes(memory.view[:16]) == bytes.fromhex("06000000 06000000 f9000000 06000000")


def test_reads_can_fail(system: System, device: Device) -> None:
    with device.arm(Fault(site=FaultSite.MMIO_READ, action=FaultAction.ERROR)) as handle:
        assert device.read32(BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF
        assert device.read32(BAR0.GLB_TYPE.offset) == 1
        assert handle.fired == 1


def test_the_registry_is_bounded() -> None:
    with Device(faults=2) as device:
        fault = Fault(site=FaultSite.FRAME_IN, action=FaultAction.DROP)
        first = device.arm(fault)
        device.arm(fault)
        with pytest.raises(CapacityError):
            device.arm(fault)
        first.disarm()
        device.arm(fault)


def test_nonsense_is_refused(device: Device) -> None:
    with pytest.raises(UnknownError):
        device.disarm(5)
    with pytest.raises(UnknownError):
        device.fault_fired(-1)
    with pytest.raises(ArgumentError):
        device.arm(Fault(site=99, action=FaultAction.DROP))  # type: ignore[arg-type]
