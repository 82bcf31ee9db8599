"""Operation lists: the same as single calls, bounded, and the same bytes in Python and C."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic._core import ffi
from vnic.abi import Engine, OpCode, ResetLevel, RxVerdict
from vnic.device import Device
from vnic.errors import ArgumentError, CapacityError
from vnic.gen.registers import BAR0, CONFIG
from vnic.host.system import System
from vnic.oplist import OP, Op, OpList

ECHO = BAR0.TEST_ECHO.offset


def test_the_layout_is_that_of_the_library() -> None:
    assert ffi.sizeof("struct vnic_op") == OP.size
    raw = ffi.new("struct vnic_op *", {"code": 1, "index": 2, "width": 4, "addr": 5 << 40, "value": 6 << 40})
    assert bytes(ffi.buffer(raw)) == OP.pack(1, 2, 4, 5 << 40, 6 << 40)


def test_a_batch_does_what_single_calls_do(system: System, device: Device) -> None:
    ops = OpList(8)
    ops.write(ECHO, 21)
    echo = ops.read(ECHO)
    half = ops.read(ECHO, width=2)
    vendor = ops.config_read(CONFIG.ID.offset, 2)
    ops.config_write(CONFIG.INTERRUPT.offset, 9, 1)
    line = ops.config_read(CONFIG.INTERRUPT.offset, 1)
    assert device.batch(ops) == len(ops) == 6
    assert [ops.value(i) for i in (echo, half, vendor, line)] == [42, 42, device.config.vendor_id, 9]


def test_a_batch_can_do_all_that_a_test_does(system: System, device: Device) -> None:
    device.connect_interrupts(None)
    device.is_manual = True
    frame = bytes(60)
    ops = OpList(16)
    ops.set_link(10_000)
    ops.write(BAR0.MAC_RX_CTRL.offset, BAR0.MAC_RX_CTRL.encode(ENABLE=1, PROMISCUOUS=1))
    verdict = ops.receive(frame)
    step = ops.step(Engine.RX)
    nothing = ops.step(Engine.LSO)
    run = ops.run(100, 10_000)
    ops.write(BAR0.VEC_CTRL.at(0), 1)
    ops.write(BAR0.TEST_FIRE.offset, 0)
    ops.run(100, 10_000)
    drained = ops.drain()
    ops.advance(500)
    ops.remove()
    gone = ops.read(ECHO)
    ops.remove(False)
    ops.reset(ResetLevel.HOT)
    assert device.batch(ops) == len(ops)
    assert ops.value(verdict) == RxVerdict.TAKEN
    assert (ops.value(step), ops.value(nothing)) == (1, 0)
    assert ops.value(run) < 100
    assert ops.value(drained) >= 1
    assert ops.value(gone) == 0xFFFF_FFFF
    assert device.now_ns == 500


def test_an_unknown_operation_ends_the_batch(device: Device) -> None:
    ops = OpList(4)
    ops.config_read(0)
    ops.append(Op(len(OpCode)))
    ops.config_read(0)
    assert device.batch(ops) == 1


def test_lists_are_bounded_and_checked() -> None:
    ops = OpList(1)
    ops.read(0)
    with pytest.raises(CapacityError):
        ops.read(0)
    ops.clear()
    with pytest.raises(ArgumentError):
        ops.write(0, 1 << 64)
    assert len(ops) == 0
    with pytest.raises(IndexError):
        ops.value(0)
    with pytest.raises(ArgumentError):
        OpList(0)


def test_a_marked_list_runs_again(device: Device) -> None:
    ops = OpList(2)
    with pytest.raises(ArgumentError):
        ops.rewind()
    ops.run(77, 5)
    ops.mark()
    device.batch(ops)
    assert ops.value(0) == 0
    ops.rewind()
    assert ops[0] == Op(OpCode.RUN, addr=77, value=5)


OPS = st.builds(
    Op,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
)


@given(listed=st.lists(OPS, max_size=20), frames=st.lists(st.binary(max_size=80), max_size=3))
def test_lists_survive_as_bytes(listed: list[Op], frames: list[bytes]) -> None:
    ops = OpList(32)
    for op in listed:
        ops.append(op)
    for frame in frames:
        ops.receive(frame)
    again = OpList.from_bytes(ops.to_bytes())
    assert list(again) == list(ops)
    assert again.data == ops.data


@given(encoded=st.binary(max_size=100))
def test_any_bytes_are_a_list_or_an_error(encoded: bytes) -> None:
    try:
        ops = OpList.from_bytes(encoded)
    except ArgumentError:
        return
    assert ops.to_bytes() == encoded
