"""Register accesses as Python functions: widths, windows, refused arguments, and life after the device."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.device import BarWindow, Device
from vnic.errors import ArgumentError, ClosedError
from vnic.gen.registers import BAR0, MSIX_TABLE
from vnic.host.memory import GuestMemory
from vnic.host.system import System

DST = BAR0.TEST_DMA_DST.offset
PATTERN = BAR0.TEST_DMA_PATTERN.offset


def enabled() -> Device:
    """A card that answers accesses to its BARs."""
    device = Device()
    System(device, GuestMemory(4096)).enable_device()
    return device


@given(value=st.integers(0, (1 << 64) - 1))
def test_widths_agree(value: int) -> None:
    with enabled() as device:
        device.write64(DST, value)
        assert device.read64(DST) == value
        assert device.read32(DST) == value & 0xFFFF_FFFF
        assert device.read16(DST + 6) == value >> 48
        assert device.read8(DST + 3) == value >> 24 & 0xFF
        assert device.read(0, DST, 8) == value


def test_narrow_writes_change_only_their_bytes() -> None:
    with enabled() as device:
        device.write32(PATTERN, 0x1122_3344)
        device.write8(PATTERN + 1, 0xAA)
        device.write16(PATTERN + 2, 0xBBCC)
        assert device.read32(PATTERN) == 0xBBCC_AA44


def test_windows_reach_other_bars() -> None:
    with enabled() as device:
        entry = MSIX_TABLE.ENTRY_DATA.at(2)
        device.window(2).write32(entry, 0x1234)
        assert device.window(2).read32(entry) == 0x1234
        assert device.window(2) is device.window(2)
        assert device.read(2, entry) == 0x1234
        assert device.window(0).read32(BAR0.GLB_TYPE.offset) == device.read32(BAR0.GLB_TYPE.offset) == 1


@pytest.mark.parametrize("bar", [-1, 6])
def test_there_are_six_bars(device: Device, bar: int) -> None:
    with pytest.raises(ArgumentError):
        device.window(bar)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.read32(-1),
        lambda d: d.read32(1 << 64),
        lambda d: d.write32(0, 1 << 32),
        lambda d: d.write8(0, 256),
        lambda d: d.write64(0, 1 << 64),
        lambda d: d.write16(0, -1),
    ],
)
def test_numbers_out_of_range_are_refused(device: Device, call: Callable[[Device], object]) -> None:
    before = device.state_hash()
    with pytest.raises(OverflowError):
        call(device)
    assert device.state_hash() == before


def test_other_arguments_are_refused(device: Device) -> None:
    with pytest.raises(TypeError):
        device.read32("0")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        device.write32(0)  # type: ignore[call-arg]


def test_functions_outlive_the_device_safely() -> None:
    device = Device()
    read, write = device.read32, device.window(2).write32
    device.close()
    device.close()
    calls: list[Callable[[], object]] = [
        lambda: read(0),
        lambda: write(0, 0),
        device.save,
        lambda: device.read(0, 0),
        device.run,
    ]
    for call in calls:
        with pytest.raises(ClosedError):
            call()
    assert device.is_closed


def test_a_forgotten_device_is_freed() -> None:
    device = Device()
    window = device.window(2)
    gone = weakref.ref(device)
    del device
    gc.collect()
    assert gone() is None
    with pytest.raises(ClosedError):
        window.read32(0)


def test_a_window_opens_through_a_device_only() -> None:
    with pytest.raises(ValueError, match="not opened"):
        BarWindow().read32(0)


@given(offset=st.integers(0, 0x1_0010), width=st.sampled_from([1, 2, 4, 8]))
def test_a_read_makes_no_engine_run(offset: int, width: int) -> None:
    with enabled() as device:
        device.read(0, offset, width)
        assert device.is_idle
