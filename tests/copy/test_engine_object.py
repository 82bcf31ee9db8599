"""CopyEngine: how it is made and closed, when it works, time, resets, removal and snapshots."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from tests.copy.driver import Driver
from vnic._core import ffi, lib
from vnic._kind import Calls, Kind
from vnic.abi import CopyPart, Map, ResetLevel
from vnic.copy_engine import IRQ, UNBOUNDED, Budget, CopyEngine, CopyEngineConfig
from vnic.device import Device
from vnic.errors import (
    ArgumentError,
    BuildError,
    ClosedError,
    SnapshotConfigError,
    SnapshotError,
    TimeError,
)
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.enums import ChanStatus
from vnic.gen.registers import COPY_BAR0, Copy

TEXT = bytes(i * 7 & 0xFF for i in range(3000))
STRAY = 0x7000_0000_0000


# -- making -------------------------------------------------------------------------------------------------


def test_parameters_and_defaults() -> None:
    with CopyEngine(channels=7, vectors=3, function=5, vendor_id=0x1234, is_overlapping=True) as engine:
        assert (engine.config.channels, engine.config.vectors, engine.config.function) == (7, 3, 5)
        assert engine.config.is_overlapping is True
        assert None not in {getattr(engine.config, name) for name in CopyEngineConfig.__slots__}
        assert engine.config_read(0) & 0xFFFF == 0x1234
        with CopyEngine(engine.config) as twin:
            assert twin.config == engine.config
            assert twin.state_hash() == engine.state_hash()
            assert twin.footprint == engine.footprint > 0
    with CopyEngine() as engine:
        assert engine.config_read(0) == 0x0E20_8086
        assert engine.config.channels == 4
        assert engine.config.is_overlapping is False


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 0},
        {"channels": 17},
        {"channels": 256},
        {"vectors": 0},
        {"vectors": 18},
        {"transfer_log2": 11},
        {"transfer_log2": 31},
        {"msi_capable_log2": 6},
        {"map_regions": -1},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        CopyEngine(**wrong)


def test_config_and_parameters_exclude_each_other() -> None:
    with pytest.raises(ArgumentError):
        CopyEngine(CopyEngineConfig(), channels=2)


def test_the_configuration_is_that_of_the_library() -> None:
    names = {name for name, _ in ffi.typeof("struct vnic_copy_config").fields} - {"reserved"}
    assert names == {field.name for field in fields(CopyEngineConfig)}


def test_both_kinds_of_function_have_the_same_calls() -> None:
    """No call of the base may mean something else for another function."""
    for name in Calls._fields:
        ours, theirs = (ffi.typeof(getattr(lib, f"{prefix}_{name}")) for prefix in ("vnic", "vnic_copy"))
        assert ours.result is theirs.result, name
        named = [kind.cname.replace("vnic_copy", "vnic") for kind in theirs.args]
        assert named == [kind.cname for kind in ours.args], name


def test_a_module_of_other_registers_is_refused() -> None:
    other = replace(COPY_BAR0.MAP, hash=COPY_BAR0.MAP.hash ^ 1)
    with pytest.raises(BuildError):
        Kind("vnic_copy", CopyEngineConfig, other, lib.vnic_access_to_copy).calls  # noqa: B018


# -- life ---------------------------------------------------------------------------------------------------


def test_a_closed_engine_refuses_everything() -> None:
    engine = CopyEngine()
    read, write = engine.read32, engine.window(0).write32
    engine.close()
    engine.close()
    calls: list[Callable[[], object]] = [
        lambda: read(0),
        lambda: write(0, 0),
        engine.save,
        engine.run,
        engine.interrupts,
        lambda: engine.runnable,
        lambda: engine.advance(1),
    ]
    for call in calls:
        with pytest.raises(ClosedError):
            call()
    assert engine.is_closed


def test_a_forgotten_engine_is_freed() -> None:
    engine = CopyEngine()
    window = engine.window(0)
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None
    with pytest.raises(ClosedError):
        window.read32(0)


def test_mapped_memory_lives_as_long_as_the_engine(driver: Driver, engine: CopyEngine) -> None:
    class Owner(bytearray):
        """Memory that can be watched going."""

    memory = Owner(4096)
    gone = weakref.ref(memory)
    engine.map(STRAY, memory, int(Map.READ))
    engine.unmap(STRAY, 4096)
    del memory
    gc.collect()
    assert gone() is not None
    engine.close()
    gc.collect()
    assert gone() is None


def test_accesses_of_all_widths(driver: Driver, engine: CopyEngine) -> None:
    cmp = COPY_BAR0.CHANCMP.at(2)
    engine.write64(cmp, 0x1122_3344_5566_7788)
    assert engine.read64(cmp) == engine.window(0).read64(cmp) == 0x1122_3344_5566_7788
    assert engine.read32(cmp + 4) == 0x1122_3344
    engine.write16(cmp + 6, 0xABCD)
    engine.write8(cmp + 5, 0xEF)
    assert engine.read16(cmp + 6) == 0xABCD
    assert engine.read8(cmp + 5) == 0xEF
    assert engine.read(0, cmp, 8) == 0xABCD_EF44_5566_7788
    with pytest.raises(OverflowError):
        engine.write32(cmp, 1 << 32)


# -- modes --------------------------------------------------------------------------------------------------


def test_auto_mode_runs_to_rest(driver: Driver, engine: CopyEngine) -> None:
    channel = driver.channel(1)
    target = channel.post_copy(TEXT, compl_write=1, int_en=1)
    channel.start()
    assert engine.is_idle
    assert driver.memory.get(target, len(TEXT)) == TEXT
    assert channel.status is ChanStatus.DONE
    assert channel.last == channel.slot(0)
    assert channel.completion == (ChanStatus.DONE, channel.slot(0))
    assert driver.vectors() == [1]
    assert driver.vectors() == []


def test_manual_mode_moves_when_told(driver: Driver, engine: CopyEngine) -> None:
    engine.is_manual = True
    channel = driver.channel(3)
    target = channel.post_copy(TEXT)
    channel.start()
    assert engine.runnable == [3]
    assert channel.status is ChanStatus.ACTIVE
    assert not engine.step(0)
    assert not engine.step(IRQ)
    steps, bound = 0, engine.idle_steps
    while engine.step(3):
        steps += 1
        assert steps <= bound
    assert steps >= 2
    assert engine.runnable == []
    assert driver.memory.get(target, len(TEXT)) == TEXT


def test_leaving_manual_mode_catches_up(driver: Driver, engine: CopyEngine) -> None:
    engine.is_manual = True
    channel = driver.channel(0)
    channel.post_copy(TEXT)
    channel.start()
    assert not engine.is_idle
    engine.is_manual = False
    assert engine.is_idle
    assert channel.status is ChanStatus.DONE


def test_a_run_keeps_its_budget(driver: Driver, engine: CopyEngine) -> None:
    engine.is_manual = True
    channel = driver.channel(0)
    channel.post_copy(bytes(16384))
    channel.start()
    assert engine.run(Budget(1, 1 << 20)) == Budget(1, CopyDescriptor.SIZE)
    assert engine.run(Budget(100, 100)) == Budget(0, 0)
    assert engine.run(UNBOUNDED).bytes == 2 * 16384
    assert engine.is_idle


# -- time ---------------------------------------------------------------------------------------------------


def test_time_lets_a_delayed_interrupt_go(driver: Driver, engine: CopyEngine) -> None:
    engine.advance(1_000_000)
    engine.write32(Copy.INTRDELAY, 50)
    channel = driver.channel(0)
    channel.rearm()
    channel.post_copy(TEXT, int_en=1)
    assert engine.next_deadline_ns() is None
    channel.start()
    assert driver.vectors() == []
    assert engine.next_deadline_ns() == 1_050_000
    engine.advance(1_049_999)
    assert driver.vectors() == []
    engine.advance(1_050_000)
    assert driver.vectors() == [0]
    assert engine.next_deadline_ns() is None
    assert engine.now_ns == 1_050_000
    with pytest.raises(TimeError):
        engine.advance(1_049_999)


def test_the_delayed_interrupt_is_a_step_of_its_own(driver: Driver, engine: CopyEngine) -> None:
    engine.write32(Copy.INTRDELAY, 1)
    driver.channel(0).rearm()
    driver.channel(0).post_copy(TEXT, int_en=1)
    driver.channel(0).start()
    engine.is_manual = True
    engine.advance(1_000)
    assert engine.runnable == [CopyPart.IRQ]
    assert engine.step(CopyPart.IRQ)
    assert driver.vectors() == [0]


# -- resets, removal, snapshots -----------------------------------------------------------------------------


@pytest.mark.parametrize("level", ResetLevel)
def test_a_reset_halts_every_channel(driver: Driver, engine: CopyEngine, level: ResetLevel) -> None:
    channel = driver.channel(0)
    channel.post_copy(TEXT)
    engine.is_manual = True
    channel.start()
    engine.reset(level)
    assert engine.is_idle
    engine.is_manual = False
    driver.enable()
    assert channel.status is ChanStatus.HALTED
    target = channel.post_copy(TEXT)
    channel.start()
    assert driver.memory.get(target, len(TEXT)) == TEXT


def test_a_removed_engine_reads_all_ones_and_returns_as_new(driver: Driver, engine: CopyEngine) -> None:
    engine.remove()
    assert engine.read32(Copy.CBVER) == engine.config_read(0) == 0xFFFF_FFFF
    assert engine.read64(COPY_BAR0.CHANSTS.at(0)) == (1 << 64) - 1
    engine.insert()
    assert engine.config_read(0) == 0x0E20_8086
    driver.enable()
    assert engine.read32(Copy.CBVER) == 0x32
    assert driver.channel(0).status is ChanStatus.HALTED


def test_a_snapshot_goes_on_in_another_engine(driver: Driver, engine: CopyEngine) -> None:
    engine.is_manual = True
    channel = driver.channel(2)
    target = channel.post_copy(bytes(5000) + TEXT, compl_write=1, int_en=1)
    channel.start()
    engine.run(Budget(2, 1 << 20))
    with CopyEngine(engine.config, manual=True) as twin:
        twin.map(driver.memory.base, driver.memory.bytes, 3)
        twin.load(engine.save())
        assert twin.state_hash() == engine.state_hash()
        assert twin.runnable == [2]
        twin.run()
        assert [i.vector for i in twin.interrupts()] == [2]
        assert driver.memory.get(target + 5000, len(TEXT)) == TEXT
        engine.run()
        assert driver.vectors() == [2]
        assert twin.state_hash() == engine.state_hash()


def test_images_of_others_are_refused(engine: CopyEngine) -> None:
    with CopyEngine(channels=3, vectors=5) as other, pytest.raises(SnapshotConfigError):
        engine.load(other.save())
    with Device() as card:
        with pytest.raises(SnapshotError):
            engine.load(card.save())
        with pytest.raises(SnapshotError):
            card.load(engine.save())
    with pytest.raises(SnapshotError):
        engine.load(engine.save()[:-1])
    with pytest.raises(SnapshotError):
        engine.load(b"")
