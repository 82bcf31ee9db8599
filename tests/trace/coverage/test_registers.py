"""Coverage of registers: kinds of access, bits, and what is read after which reset."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from vnic.abi import ResetLevel
from vnic.copy_engine import CopyEngine
from vnic.device import Device
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, COPY_BAR0
from vnic.trace.coverage.registers import Kind, possible, registers
from vnic.trace.coverage.resets import Level
from vnic.trace.coverage.run import RunCoverage, cover
from vnic.trace.file import TraceReader
from vnic.trace.recorder import Recorder


def covered(act: Callable[[Device], object]) -> RunCoverage:
    """What one device's life reached."""
    stream = io.BytesIO()
    with Device(manual=True, queue_pairs=2) as device, Recorder(stream, device):
        enable(device)
        act(device)
    return cover(TraceReader(io.BytesIO(stream.getvalue())))


def enable(device: Device) -> None:
    """Memory Space Enable."""
    device.config_write(CONFIG.COMMAND.offset, 2, 2)


def put(device: Device, register: Register, value: int, i: int = 0) -> None:
    device.write(0, register.at(i), value, register.bytes)


def get(device: Device, register: Register, i: int = 0) -> int:
    return device.read(0, register.at(i), register.bytes)


def count(run: RunCoverage, register: Register, kind: Kind, where: str = "vnic_bar0") -> int:
    return run.registers.accesses[(where, register.name), kind]


@pytest.mark.requirement("COV-1")
def test_kinds_of_access() -> None:
    def act(device: Device) -> None:
        get(device, BAR0.QP_RX_BASE, 1)
        put(device, BAR0.QP_RX_BASE, 0x1000, 0)
        put(device, BAR0.GLB_CAPS, 1)
        device.read(0, BAR0.QP_RX_BASE.at(0) + 4, 4)

    run = covered(act)
    assert count(run, BAR0.QP_RX_BASE, Kind.READ) == 2
    assert count(run, BAR0.QP_RX_BASE, Kind.WRITE) == 1
    assert count(run, BAR0.QP_RX_BASE, Kind.PARTIAL) == 1
    assert count(run, BAR0.GLB_CAPS, Kind.READ_ONLY) == 1
    assert count(run, BAR0.GLB_CAPS, Kind.WRITE) == 0


@pytest.mark.requirement("COV-1")
def test_a_clear_is_a_one_on_a_bit_that_was_read_as_one() -> None:
    def act(device: Device) -> None:
        put(device, BAR0.GLB_EVENT, 0xFFFF_FFFF)  # nothing is known of it
        device.set_link(1000)
        put(device, BAR0.GLB_EVENT, get(device, BAR0.GLB_EVENT))
        put(device, BAR0.GLB_EVENT, get(device, BAR0.GLB_EVENT))  # it reads 0 now

    assert count(covered(act), BAR0.GLB_EVENT, Kind.CLEAR) == 1


def test_every_register_has_possible_kinds_that_agree_with_its_fields() -> None:
    for _, register in registers():
        kinds = possible(register)
        assert Kind.READ in kinds and (Kind.WRITE in kinds) != (Kind.READ_ONLY in kinds)
        assert (Kind.CLEAR in kinds) == any(each.access == "w1c" for each in register.fields)


@pytest.mark.requirement("COV-2")
def test_bits_count_when_they_were_seen_both_ways() -> None:
    def act(device: Device) -> None:
        put(device, BAR0.QP_RX_COUNT, 0b1100)
        put(device, BAR0.QP_RX_COUNT, 0b1010)

    run = covered(act)
    (field,) = BAR0.QP_RX_COUNT.fields
    assert run.registers.bits(("vnic_bar0", "QP_RX_COUNT"), field) == (2, field.width)


def pulse(register: Register, field: str, i: int = 0) -> Callable[[Device], object]:
    return lambda device: put(device, register, register.encode(**{field: 1}), i)


def flr(device: Device) -> None:
    device.config_write(CONFIG.DEVCTL.offset, CONFIG.DEVCTL.encode(FLR=1), 2)


def d3_and_back(device: Device) -> None:
    for state in (3, 0):
        device.config_write(CONFIG.PM_CTRL.offset, CONFIG.PM_CTRL.encode(STATE=state), CONFIG.PM_CTRL.bytes)


LEVELS: dict[Level, Callable[[Device], object]] = {
    Level.DEVICE: pulse(BAR0.GLB_CTRL, "RESET"),
    Level.QUEUE: pulse(BAR0.QP_RX_CTRL, "RESET"),
    Level.D3: d3_and_back,
    Level.FLR: flr,
    Level.HOT: lambda device: device.reset(ResetLevel.HOT),
    Level.POWER: lambda device: device.reset(ResetLevel.POWER),
}


@pytest.mark.requirement("COV-3")
@pytest.mark.parametrize("level", Level)
def test_looked_at_after_a_reset(level: Level) -> None:
    def act(device: Device) -> None:
        put(device, BAR0.QP_RX_BASE, 0x1000)
        put(device, BAR0.QP_TX_BASE, 0x1000)
        put(device, BAR0.QP_RX_COUNT, 64)
        LEVELS[level](device)
        enable(device)
        put(device, BAR0.QP_RX_COUNT, 32)
        for register in (
            BAR0.QP_RX_BASE,
            BAR0.QP_RX_BASE,
            BAR0.QP_TX_BASE,
            BAR0.QP_RX_COUNT,
            BAR0.QP_CQ_BASE,
        ):
            get(device, register)

    after = {name: at for ((_, name), at), n in covered(act).registers.after.items() if n}
    reached = {"QP_RX_BASE"} if level is Level.QUEUE else {"QP_RX_BASE", "QP_TX_BASE"}
    assert after == dict.fromkeys(
        reached, level
    )  # not COUNT, written before it was read, nor CQ, never changed


@pytest.mark.requirement("COV-3")
def test_a_queue_reset_is_of_its_own_element() -> None:
    def act(device: Device) -> None:
        put(device, BAR0.QP_RX_BASE, 0x1000, 1)
        pulse(BAR0.QP_RX_CTRL, "RESET", 0)(device)
        get(device, BAR0.QP_RX_BASE, 1)

    assert not covered(act).registers.after


@pytest.mark.requirement("COV-3")
def test_the_reset_value_is_nothing_to_look_at() -> None:
    def act(device: Device) -> None:
        put(device, BAR0.QP_RX_BASE, BAR0.QP_RX_BASE.reset)
        device.reset(ResetLevel.HOT)
        enable(device)
        get(device, BAR0.QP_RX_BASE)

    assert not covered(act).registers.after


@pytest.mark.requirement("COV-4")
def test_accesses_to_no_register_are_named() -> None:
    def act(device: Device) -> None:
        device.read(0, 0xFF00, 4)
        device.write(0, 0xFF00, 1, 4)

    run = covered(act)
    assert run.registers.strays == {"read of no register": 1, "write of no register": 1}


@pytest.mark.requirement("COV-4")
def test_reads_that_nobody_answered_reach_nothing() -> None:
    def act(device: Device) -> None:
        device.config_write(CONFIG.COMMAND.offset, 0, 2)
        get(device, BAR0.GLB_EVENT)

    run = covered(act)
    assert run.registers.strays == {"read that nobody answered": 1}
    assert not count(run, BAR0.GLB_EVENT, Kind.READ)
    assert ("vnic_bar0", "GLB_EVENT") not in run.registers.ones


def test_the_copy_engine_has_its_own_map() -> None:
    stream = io.BytesIO()
    with CopyEngine(manual=True) as engine, Recorder(stream, engine):
        engine.config_write(CONFIG.COMMAND.offset, 2, 2)
        engine.read(0, COPY_BAR0.CHANCTRL.at(2), COPY_BAR0.CHANCTRL.bytes)
    run = cover(TraceReader(io.BytesIO(stream.getvalue())))
    assert count(run, COPY_BAR0.CHANCTRL, Kind.READ, "copy_bar0") == 1
