"""Device: how it is made, when it works, where its outputs go, snapshots and time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import Engine, InterruptKind, ResetLevel, RxVerdict
from vnic.device import UNBOUNDED, Budget, Device, DeviceConfig
from vnic.errors import ArgumentError, SnapshotConfigError, SnapshotError, TimeError, UnrestError
from vnic.fuzz.effort import examples
from vnic.gen.enums import TestResult
from vnic.gen.registers import BAR0, CONFIG
from vnic.host.bus import Interrupt
from vnic.host.memory import GuestMemory
from vnic.host.system import System

RESULT = BAR0.TEST_DMA_STATUS.field("RESULT")


def start_fill(device: Device, addr: int, length: int) -> None:
    """Start a bring-up DMA."""
    device.write64(BAR0.TEST_DMA_DST.offset, addr)
    device.write32(BAR0.TEST_DMA_LEN.offset, length)
    device.write32(BAR0.TEST_DMA_PATTERN.offset, 0x0403_0201)
    device.write32(BAR0.TEST_DMA_CMD.offset, 1)


def result(device: Device) -> int:
    """How the last bring-up DMA ended."""
    return RESULT.get(device.read32(BAR0.TEST_DMA_STATUS.offset))


# -- making -------------------------------------------------------------------------------------------------


def test_parameters_and_defaults() -> None:
    with Device(queue_pairs=4, mac=b"\x02\x11\x22\x33\x44\x55", vendor_id=0x1234) as device:
        assert device.config.queue_pairs == 4
        assert device.config.mac == b"\x02\x11\x22\x33\x44\x55"
        assert None not in {getattr(device.config, name) for name in DeviceConfig.__slots__}
        assert device.config_read(CONFIG.ID.offset) & 0xFFFF == 0x1234
        with Device(device.config) as twin:
            assert twin.config == device.config
            assert twin.state_hash() == device.state_hash()


@pytest.mark.parametrize(
    "wrong",
    [
        {"queue_pairs": 0},
        {"queue_pairs": 33},
        {"queue_pairs": 256},
        {"vectors": 65},
        {"max_frame": 1513},
        {"rx_buffer_bytes": 3 << 15},
        {"mac": b"12345"},
        {"msi_capable_log2": 6},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Device(**wrong)


@pytest.mark.parametrize(("function", "alone"), [(0, True), (0, False), (3, True)])
def test_the_multi_function_bit(function: int, alone: bool) -> None:
    with Device(function=function, is_multifunction=not alone) as device:
        assert device.config_read(0x0E, 1) == (0x00 if function == 0 and alone else 0x80)


def test_config_and_parameters_exclude_each_other() -> None:
    with pytest.raises(ArgumentError):
        Device(DeviceConfig(), queue_pairs=2)


# -- modes --------------------------------------------------------------------------------------------------


def test_auto_mode_runs_to_rest(system: System, device: Device) -> None:
    ring = system.alloc_coherent(65536)
    start_fill(device, ring.addr, 65536)
    assert device.is_idle
    assert result(device) == TestResult.OK
    assert bytes(ring.view) == b"\x01\x02\x03\x04" * 16384


def test_manual_mode_moves_when_told(system: System, device: Device) -> None:
    ring = system.alloc_coherent(8192)
    device.is_manual = True
    start_fill(device, ring.addr, 8192)
    assert device.runnable == [Engine.TEST]
    assert bytes(ring.view) == bytes(8192)
    assert not device.step(Engine.RX)
    steps = 0
    while device.step(Engine.TEST):
        steps += 1
        assert steps <= 10
    assert steps >= 2
    assert bytes(ring.view[-4:]) == b"\x01\x02\x03\x04"


def test_a_run_keeps_its_budget(system: System, device: Device) -> None:
    ring = system.alloc_coherent(16384)
    device.is_manual = True
    start_fill(device, ring.addr, 16384)
    assert device.run(Budget(1, 1 << 20)).steps == 1
    assert device.run(Budget(100, 100)) == Budget(0, 0)
    assert device.idle_steps > 0
    device.run(UNBOUNDED)
    assert device.is_idle
    assert result(device) == TestResult.OK


def test_leaving_manual_mode_catches_up(system: System, device: Device) -> None:
    ring = system.alloc_coherent(4096)
    device.is_manual = True
    start_fill(device, ring.addr, 4096)
    device.is_manual = False
    assert device.is_idle
    assert result(device) == TestResult.OK


# -- outputs ------------------------------------------------------------------------------------------------


class Recorder:
    """Takes interrupts and says what it got; may answer with a register access."""

    def __init__(self, device: Device, *, answers: bool = False) -> None:
        self.device = device
        self.answers = answers
        self.got: list[Interrupt] = []

    def signal(self, interrupt: Interrupt) -> None:
        """Note it, and interrupt again when asked to."""
        self.got.append(interrupt)
        if self.answers:
            self.device.write32(BAR0.INT_CAUSE.offset, 0)
            self.device.read32(BAR0.INT_CAUSE.offset)
            self.device.write32(BAR0.TEST_FIRE.offset, 0)


def fire(device: Device, vector: int = 0) -> None:
    """Raise a vector by the bring-up register."""
    device.write32(BAR0.VEC_CTRL.at(vector), 1)
    device.write32(BAR0.TEST_FIRE.offset, vector)


def test_interrupts_wait_when_nobody_is_connected(system: System, device: Device) -> None:
    device.connect_interrupts(None)
    fire(device, 3)
    waiting = device.interrupts()
    assert [(i.kind, i.data) for i in waiting] == [(InterruptKind.INTX, 1)]
    assert device.interrupts() == []


def test_the_line_falls_when_the_cause_is_read(system: System, device: Device) -> None:
    recorder = Recorder(device)
    device.connect_interrupts(recorder)
    fire(device)
    assert device.read32(BAR0.INT_CAUSE.offset) == 1
    assert [i.data for i in recorder.got] == [1, 0]


def test_interrupts_that_never_end_are_an_error(system: System, device: Device) -> None:
    device.connect_interrupts(Recorder(device, answers=True))
    with pytest.raises((UnrestError, RecursionError)):
        fire(device)


def test_an_exception_of_a_sink_comes_out_of_the_access(system: System, device: Device) -> None:
    class Refusing:
        def __init__(self) -> None:
            self.calls = 0

        def signal(self, interrupt: Interrupt) -> None:
            self.calls += 1
            raise RuntimeError(f"refused {interrupt.data}")

    sink = Refusing()
    device.connect_interrupts(sink)
    with pytest.raises(RuntimeError, match="refused 1"):
        fire(device)
    with pytest.raises(RuntimeError, match="refused 0"):
        device.read32(BAR0.INT_CAUSE.offset)
    assert device.read32(BAR0.INT_CAUSE.offset) == 0
    assert sink.calls == 2


def test_what_a_failing_sink_left_comes_with_the_next_access(system: System, device: Device) -> None:
    class FailsOnce(Recorder):
        def signal(self, interrupt: Interrupt) -> None:
            super().signal(interrupt)
            if len(self.got) == 1:
                raise RuntimeError("first")

    device.connect_interrupts(None)
    device.is_manual = True
    fire(device)
    device.run()
    device.read32(BAR0.INT_CAUSE.offset)
    sink = FailsOnce(device)
    device.connect_interrupts(sink)
    with pytest.raises(RuntimeError, match="first"):
        device.is_manual = False
    assert [i.data for i in sink.got] == [1]
    device.read32(BAR0.GLB_TYPE.offset)
    assert [i.data for i in sink.got] == [1, 0]


def test_receive_says_what_became_of_the_frame(system: System, device: Device) -> None:
    assert device.receive(bytes(60)) is RxVerdict.DROPPED
    device.set_link(10_000)
    device.write32(BAR0.MAC_RX_CTRL.offset, BAR0.MAC_RX_CTRL.encode(ENABLE=1, PROMISCUOUS=1))
    assert device.receive(memoryview(bytes(60))) is RxVerdict.TAKEN


def test_a_device_is_a_port(device: Device) -> None:
    device.link_changed(True, 1000)
    device.deliver(bytes(60), 2000)
    device.deliver(bytes(60), 1500)
    assert device.now_ns == 2000


# -- time ---------------------------------------------------------------------------------------------------


def test_time_goes_forward_only(device: Device) -> None:
    device.advance(5_000)
    assert device.now_ns == 5_000
    with pytest.raises(TimeError):
        device.advance(4_999)
    assert device.next_deadline_ns() is None


def test_moderation_has_a_deadline(system: System, device: Device) -> None:
    recorder = Recorder(device)
    device.connect_interrupts(recorder)
    device.write32(BAR0.VEC_INTERVAL.at(0), 10_000)
    fire(device)
    device.read32(BAR0.INT_CAUSE.offset)
    fire(device)
    assert [i.data for i in recorder.got] == [1, 0]
    deadline = device.next_deadline_ns()
    assert deadline is not None
    device.advance(deadline - 1)
    assert [i.data for i in recorder.got] == [1, 0]
    device.advance(deadline)
    assert [i.data for i in recorder.got] == [1, 0, 1]


# -- removal, reset, snapshot -------------------------------------------------------------------------------


def test_removed_reads_all_ones_and_returns_as_new(system: System, device: Device) -> None:
    device.write32(BAR0.TEST_DMA_PATTERN.offset, 77)
    device.remove()
    assert device.read32(BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF
    assert device.config_read(0) == 0xFFFF_FFFF
    device.insert()
    system.enable_device()
    assert device.read32(BAR0.TEST_DMA_PATTERN.offset) == 0


@pytest.mark.parametrize("level", list(ResetLevel))
def test_reset_from_outside(system: System, device: Device, level: ResetLevel) -> None:
    device.write32(BAR0.TEST_DMA_PATTERN.offset, 77)
    device.reset(level)
    assert not device.config_read(CONFIG.COMMAND.offset) & 6
    system.enable_device()
    assert device.read32(BAR0.TEST_DMA_PATTERN.offset) == 0


def test_a_snapshot_holds_work_pending(system: System, device: Device) -> None:
    ring = system.alloc_coherent(12288)
    device.is_manual = True
    start_fill(device, ring.addr, 12288)
    assert device.step(Engine.TEST)
    image, told = device.save(), device.state_hash()
    with Device(device.config, manual=True) as twin:
        twin.load(image)
        assert twin.state_hash() == told
        assert twin.save() == image
        assert twin.runnable == device.runnable == [Engine.TEST]
        twin.map(ring.addr, bytearray(12288), 3)
        device.run()
        twin.run()
        assert twin.state_hash() == device.state_hash() != told


def test_snapshots_of_others_are_refused(device: Device) -> None:
    with Device(queue_pairs=2) as other, pytest.raises(SnapshotConfigError):
        device.load(other.save())


@examples(30)
@given(data=st.data())
def test_damaged_snapshots_are_refused_or_whole(data: st.DataObject) -> None:
    with Device(queue_pairs=2, vectors=2) as device:
        fresh = device.state_hash()
        device.advance(123_456)
        image = bytearray(device.save())
        if data.draw(st.booleans()):
            del image[data.draw(st.integers(0, len(image) - 1)) :]
        else:
            image[data.draw(st.integers(0, len(image) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        try:
            device.load(bytes(image))
        except SnapshotError:
            assert device.state_hash() == fresh
        else:
            assert device.save() == image
        device.read32(0)


def test_a_load_is_the_machine_it_was(device: Device) -> None:
    system = System(device, GuestMemory(1 << 16))
    system.enable_device()
    image = device.save()
    device.write32(BAR0.TEST_DMA_PATTERN.offset, 5)
    device.load(image)
    assert device.read32(BAR0.TEST_DMA_PATTERN.offset) == 0
    assert device.save() == image


def test_config_is_a_value() -> None:
    config = DeviceConfig(queue_pairs=2)
    assert replace(config, vectors=3) == DeviceConfig(queue_pairs=2, vectors=3)
