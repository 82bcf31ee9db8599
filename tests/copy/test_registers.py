"""Registers of the engine: identity, what only reads, what reading changes, channels that are not there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.copy.driver import Driver
from vnic._core import ffi, lib
from vnic.copy_engine import CopyEngine
from vnic.errors import ArgumentError
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import CONFIG, COPY_BAR0, Chanctrl
from vnic.host import pci

GENERAL = COPY_BAR0.GENERAL.offset
LAST = COPY_BAR0.CHANCTRL.at(15)


def manual(**parameters: Any) -> Driver:
    """An engine that takes steps when told."""
    return Driver(CopyEngine(manual=True, **parameters))


@pytest.mark.requirement("PCI-2", "PCI-5")
def test_the_default_identity_is_that_of_crystal_beach_3_2() -> None:
    engine = manual().engine
    assert engine.config_read(CONFIG.ID.offset) == 0x0E20_8086
    assert engine.config_read(CONFIG.CLASS.offset) >> 8 == 0x08_8000
    assert engine.config.function == 1
    (bar,) = pci.size_bars(engine)
    assert bar.size == 16384
    control = pci.capability_fields(engine, CONFIG.MSIX_CTRL, pci.CapabilityId.MSIX)
    assert control[CONFIG.MSIX_TABLE, "OFFSET"] * 8 == 0x2000
    assert control[CONFIG.MSIX_PBA, "OFFSET"] * 8 == 0x3000
    assert control[CONFIG.MSIX_TABLE, "BIR"] == control[CONFIG.MSIX_PBA, "BIR"] == 0


@pytest.mark.requirement("PCI-8")
@pytest.mark.parametrize(("channels", "log2"), [(1, 12), (4, 20), (16, 30)])
def test_the_general_registers_say_what_the_engine_can(channels: int, log2: int) -> None:
    engine = manual(channels=channels, transfer_log2=log2).engine
    assert (engine.read8(GENERAL), engine.read8(GENERAL + 1), engine.read8(GENERAL + 2)) == (
        channels,
        log2,
        0,
    )
    assert engine.read8(COPY_BAR0.CBVER.offset) == 0x32
    assert engine.read32(COPY_BAR0.DMACAP.offset) == 0x41
    assert engine.read16(COPY_BAR0.DCAOFFSET.offset) == 0
    assert engine.read16(COPY_BAR0.INTRDELAY.offset) == 0x8000
    engine.write64(GENERAL, 0xFFFF_FFFF_00FF_FFFF)
    assert (engine.read8(GENERAL), engine.read8(GENERAL + 1), engine.read8(GENERAL + 2)) == (
        channels,
        log2,
        0,
    )


@pytest.mark.requirement("PCI-9")
@pytest.mark.parametrize("channels", [1, 4, 15])
def test_channels_that_are_not_there_are_no_registers(channels: int) -> None:
    engine = manual(channels=channels).engine
    assert engine.read32(COPY_BAR0.CHANCTRL.at(channels - 1)) >> 16 == 2
    before = engine.state_hash()
    for offset in (COPY_BAR0.CHANCTRL.at(channels), LAST, COPY_BAR0.CHAINADDR.at(15)):
        engine.write32(offset, 0xFFFF_FFFF)
        assert engine.read32(offset) == 0
    assert list(engine.runnable) == []
    assert engine.state_hash() != before  # strays are counted, nothing else changed
    assert engine.read32(COPY_BAR0.CHANSTS.at(channels - 1)) == ChanStatus.HALTED


@pytest.mark.requirement("PCI-8")
def test_the_first_who_reads_chanctrl_sees_the_channel_free() -> None:
    driver = manual()
    control = COPY_BAR0.CHANCTRL.at(1)
    assert driver.engine.read8(control) & Chanctrl.ERR_COMPLETION_EN
    assert driver.engine.read16(control) & Chanctrl.IN_USE == 0
    assert driver.engine.read16(control) & Chanctrl.IN_USE
    driver.engine.write16(control, 0)
    assert driver.engine.read32(control) & Chanctrl.IN_USE == 0
    assert driver.engine.read32(control) & Chanctrl.IN_USE


@pytest.mark.requirement("PCI-8", "PCI-10")
def test_64_bit_registers_are_written_whole_or_by_halves() -> None:
    engine = manual().engine
    for register in (COPY_BAR0.CHAINADDR, COPY_BAR0.CHANCMP):
        engine.write64(register.at(0), 0x1122_3344_5566_7788)
        assert engine.read64(register.at(0)) == 0x1122_3344_5566_7788
        engine.write32(register.at(0) + 4, 0x99AA_BBCC)
        engine.write32(register.at(0), 0x1000_0040)
        assert engine.read64(register.at(0)) == 0x99AA_BBCC_1000_0040
    engine.write64(COPY_BAR0.CHANCMP.at(0), 0x1007)
    assert engine.read64(COPY_BAR0.CHANCMP.at(0)) == 0x1000
    engine.write64(COPY_BAR0.CHANSTS.at(0), 0)
    engine.write64(COPY_BAR0.CDAR.at(0), 5)
    assert (engine.read64(COPY_BAR0.CHANSTS.at(0)), engine.read64(COPY_BAR0.CDAR.at(0))) == (
        ChanStatus.ARMED,
        0,
    )


@pytest.mark.requirement("DMA-11")
def test_commands_read_0() -> None:
    driver = manual()
    for command in range(256):
        driver.engine.write8(COPY_BAR0.CHANCMD.at(0), command)
        assert driver.engine.read32(COPY_BAR0.CHANCMD.at(0)) == 0


@pytest.mark.requirement("PCI-9")
def test_names_are_those_of_the_register_description() -> None:
    for offset in range(0, 0x1000):
        name = lib.vnic_copy_register_name(0, offset)
        found = COPY_BAR0.MAP.describe(offset) if name != ffi.NULL else None
        assert name == ffi.NULL or found is None or found.startswith(ffi.string(name).decode())
    assert ffi.string(lib.vnic_copy_register_name(0, LAST + 2)) == b"CHANCTRL"
    for bar, offset in ((0, 0x40), (0, 0x2000), (1, 0), (0, 1 << 40)):
        assert lib.vnic_copy_register_name(bar, offset) == ffi.NULL


@pytest.mark.requirement("DMA-51")
@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 0},
        {"channels": 17},
        {"vectors": 0},
        {"vectors": 18},
        {"msi_capable_log2": 6},
        {"transfer_log2": 11},
        {"transfer_log2": 31},
        {"function": 8},
        {"map_regions": 0},
        {"faults": 65537},
    ],
)
def test_a_configuration_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        CopyEngine(**wrong)


@pytest.mark.requirement("DMA-27")
def test_what_an_engine_takes_is_said() -> None:
    small, large = (
        CopyEngine(channels=16, is_overlapping=held, map_regions=1, faults=0) for held in (False, True)
    )
    assert large.footprint - small.footprint == 16 * 4096
    assert 8192 < small.footprint < 64 * 1024
