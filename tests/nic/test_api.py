"""The public calls: what each refuses, and what their corners are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vnic._core import ffi, lib
from vnic.abi import Engine, Map, OpCode, ResetLevel, Result, RxVerdict
from vnic.device import Device
from vnic.errors import ArgumentError, CapacityError, OverlapError, TimeError, UnknownError
from vnic.gen.registers import BAR0
from vnic.oplist import Op, OpList
from vnic.testbench.frames import large_send, tcp_frame
from vnic.testbench.rig import Rig, plain_frame

GRANULE = 4096
ALL_ONES = (1 << 64) - 1
RANGE = bytearray(16 * GRANULE)


@pytest.fixture
def raw() -> Iterator[Any]:
    """A card without Python around it: link up, receiving everything."""
    config, card = ffi.new("struct vnic_config *"), ffi.new("vnic **")
    lib.vnic_config_init(config)
    config.map_regions = 3
    assert lib.vnic_create(config, card) == Result.OK
    yield card[0]
    lib.vnic_destroy(card[0])


# ---- memory


@pytest.mark.parametrize(
    ("iova", "size", "permissions"),
    [
        (1, GRANULE, 3),
        (GRANULE // 2, GRANULE, 3),
        (0, 0, 3),
        (0, GRANULE - 1, 3),
        (0, GRANULE + 1, 3),
        (0, GRANULE, 0),
        (0, GRANULE, 4),
        (0, GRANULE, 7),
        (0, GRANULE, 1 << 31),
        ((1 << 64) - GRANULE, 2 * GRANULE, 3),
    ],
)
def test_mappings_that_cannot_be(raw: Any, iova: int, size: int, permissions: int) -> None:
    memory = ffi.from_buffer("uint8_t[]", RANGE)
    assert lib.vnic_map(raw, iova, memory, size, permissions) == Result.EINVAL
    assert lib.vnic_unmap(raw, iova, size) in (Result.EINVAL, Result.ENOENT)


def test_no_host_memory_no_mapping(raw: Any) -> None:
    assert lib.vnic_map(raw, 0, ffi.NULL, GRANULE, Map.READ) == Result.EINVAL


def test_overlaps_holes_and_capacity(raw: Any) -> None:
    memory = ffi.from_buffer("uint8_t[]", RANGE)
    assert lib.vnic_map(raw, 0, memory, 8 * GRANULE, 3) == Result.OK
    assert lib.vnic_map(raw, 7 * GRANULE, memory, GRANULE, 3) == Result.EOVERLAP
    assert lib.vnic_map(raw, 8 * GRANULE, memory, GRANULE, 1) == Result.OK
    assert lib.vnic_map(raw, 16 * GRANULE, memory, GRANULE, 2) == Result.OK
    assert lib.vnic_map(raw, 32 * GRANULE, memory, GRANULE, 3) == Result.ENOSPC
    assert lib.vnic_unmap(raw, 2 * GRANULE, GRANULE) == Result.ENOSPC  # a split needs a region more
    assert lib.vnic_unmap(raw, 8 * GRANULE, 9 * GRANULE) == Result.ENOENT  # a hole in between
    assert lib.vnic_unmap(raw, 4 * GRANULE, 5 * GRANULE) == Result.OK
    assert lib.vnic_unmap(raw, 4 * GRANULE, GRANULE) == Result.ENOENT
    lib.vnic_unmap_all(raw)
    assert lib.vnic_unmap(raw, 0, GRANULE) == Result.ENOENT
    assert lib.vnic_map(raw, (1 << 64) - GRANULE, memory, GRANULE, 3) == Result.OK


def test_the_same_as_exceptions() -> None:
    with Device(map_regions=1) as device:
        with pytest.raises(ArgumentError):
            device.map(0, bytearray(100), Map.READ)
        device.map(0, RANGE, Map.READ)
        with pytest.raises(OverlapError):
            device.map(GRANULE, RANGE, Map.READ)
        with pytest.raises(CapacityError):
            device.map(1 << 20, RANGE, Map.READ)
        with pytest.raises(UnknownError):
            device.unmap(1 << 20, GRANULE)
        device.unmap_all()
        device.map(GRANULE, RANGE, Map.READ)


# ---- time


def test_time_does_not_go_back(raw: Any) -> None:
    assert lib.vnic_advance(raw, 100) == Result.OK
    assert lib.vnic_advance(raw, 99) == Result.ETIME
    assert lib.vnic_now(raw) == 100
    assert lib.vnic_advance(raw, 100) == Result.OK
    assert lib.vnic_advance(raw, ALL_ONES) == Result.OK
    assert lib.vnic_advance(raw, ALL_ONES - 1) == Result.ETIME


def test_an_interval_at_the_end_of_time() -> None:
    """A moderated vector's next time does not wrap."""
    with Rig(interval_ns=1000) as rig:
        rig.device.advance(ALL_ONES - 10)
        rig.put(BAR0.TEST_FIRE, 0)
        assert len(rig.device.interrupts()) == 1
        rig.put(BAR0.TEST_FIRE, 0)
        assert rig.device.interrupts() == []
        assert rig.device.next_deadline_ns() is None  # all ones is never
        with pytest.raises(TimeError):
            rig.device.advance(0)
        rig.device.advance(ALL_ONES)
        assert len(rig.device.interrupts()) == 1


def test_without_the_master_enable_there_is_no_deadline() -> None:
    with Rig(interval_ns=1000) as rig:
        rig.put(BAR0.TEST_FIRE, 0)
        rig.put(BAR0.TEST_FIRE, 0)
        assert rig.device.next_deadline_ns() == 1000
        rig.put(BAR0.INT_CTRL, 0)
        assert rig.device.next_deadline_ns() is None


# ---- frames and work


@pytest.mark.parametrize("size", [65536, 70000, 1 << 20])
def test_a_frame_beyond_what_a_frame_can_be(size: int) -> None:
    with Rig(max_frame=65535, tx_buffer_bytes=1 << 20) as rig:
        assert rig.inject(plain_frame(100) + bytes(size - 100)) == RxVerdict.DROPPED
        assert rig.stat("RX_DROP_OVERSIZE") == 1


def test_no_frame_enters_a_removed_card() -> None:
    with Rig() as rig:
        rig.device.remove()
        assert rig.inject(plain_frame()) == RxVerdict.DROPPED
        rig.device.insert()
        rig.device.set_link(10_000)
        rig.bring_up(20)
        assert [received.data for received in rig.receive(plain_frame())] == [plain_frame()]


def test_more_frames_released_than_there_are(raw: Any) -> None:
    lib.vnic_frames_release(raw, 5)
    frames = ffi.new("struct vnic_frame[]", 1)
    assert lib.vnic_frames(raw, frames, 1) == 0


def test_a_run_may_keep_its_use_to_itself(raw: Any) -> None:
    budget = ffi.new("struct vnic_budget *", (10, 10_000))
    assert lib.vnic_run(raw, budget, ffi.NULL) == 0


@pytest.mark.parametrize("engine", [5, 6, 255, 1 << 31])
def test_there_are_no_other_engines(raw: Any, engine: int) -> None:
    moved = ffi.new("uint64_t *", 77)
    assert lib.vnic_step(raw, engine, moved) == 0
    assert moved[0] == 0


def test_an_idle_engine_takes_no_step(raw: Any) -> None:
    moved = ffi.new("uint64_t *", 77)
    for engine in Engine:
        assert lib.vnic_step(raw, engine, moved) == 0


def test_a_snapshot_is_written_only_when_it_fits(raw: Any) -> None:
    size = lib.vnic_save(raw, ffi.NULL, 0)
    image = ffi.new("uint8_t[]", b"\xaa" * size)
    assert lib.vnic_save(raw, image, size - 1) == size
    assert bytes(ffi.buffer(image, size)) == b"\xaa" * size
    assert lib.vnic_save(raw, image, size) == size
    assert lib.vnic_load(raw, image, size) == Result.OK
    assert lib.vnic_load(raw, image, size - 1) == Result.EFORMAT


# ---- batches


def test_every_operation_of_a_batch() -> None:
    with Rig(manual=True) as rig:
        device = rig.device
        ops = OpList(32)
        frame = plain_frame(100)
        receive = ops.receive(frame)
        outside = ops.append(Op(OpCode.RECEIVE, addr=len(frame) + 1, value=0))
        beyond = ops.append(Op(OpCode.RECEIVE, addr=1, value=len(frame)))
        wrapped = ops.append(Op(OpCode.RECEIVE, addr=8, value=ALL_ONES - 4))
        step = ops.step(Engine.RX)
        none = ops.append(Op(OpCode.STEP, 9))
        run = ops.run(100, 1 << 20)
        fire = ops.write(BAR0.TEST_FIRE.offset, 0)
        ops.run(100, 0)
        drain = ops.drain()
        again = ops.drain()
        ops.advance(5)
        ops.advance(ALL_ONES)
        ops.set_link(0)
        status = ops.read(BAR0.GLB_STATUS.offset)
        ops.reset(ResetLevel.POWER)
        assert device.batch(ops) == len(ops)
        assert ops.value(receive) == RxVerdict.TAKEN
        assert [ops.value(n) for n in (outside, beyond, wrapped)] == [RxVerdict.DROPPED] * 3
        assert (ops.value(step), ops.value(none), ops.value(fire)) == (1, 0, 0)
        assert ops.value(run) >= 1
        assert (ops.value(drain), ops.value(again)) == (2, 0)
        assert ops.value(status) & 1 == 0
        assert device.now_ns == ALL_ONES


@pytest.mark.parametrize("code", [len(OpCode), 100, 255])
def test_an_unknown_operation_stops_the_batch(code: int) -> None:
    with Device(manual=True) as device:
        ops = OpList(4)
        ops.advance(1)
        ops.append(Op(code, 1, 4, 0, 99))
        ops.advance(1)
        assert device.batch(ops) == 1
        assert ops.value(1) == 99
        assert device.now_ns == 1
        assert device.batch(OpList(1)) == 0


# ---- registers that the card lacks


@pytest.mark.requirement("TEST-3")
def test_a_command_without_go_does_nothing() -> None:
    with Rig(manual=True) as rig:
        rig.put(BAR0.TEST_DMA_LEN, 64)
        rig.put(BAR0.TEST_DMA_CMD, BAR0.TEST_DMA_CMD.encode(OP=2))
        assert rig.get(BAR0.TEST_DMA_STATUS) == 0
        assert rig.device.is_idle


def test_rings_that_do_not_run_can_be_stopped() -> None:
    with Rig() as rig:
        rig[0].reset()
        state = rig.device.state_hash()
        for control in (BAR0.QP_CQ_CTRL, BAR0.QP_RX_CTRL, BAR0.QP_TX_CTRL):
            rig[0].put(control, 0)
        assert rig.device.state_hash() == state


@pytest.mark.parametrize("stepwise", [False, True])
def test_a_full_completion_ring_holds_transmission(stepwise: bool) -> None:
    with Rig(manual=True, cq_count=8) as rig:
        for number in range(12):
            rig[0].send(plain_frame(100, number))
        for engine in (Engine.TX,) * 60 if stepwise else ():
            rig.device.step(engine)
        rig.device.run()
        assert Engine.TX not in rig.device.runnable
        assert not rig.device.step(Engine.TX)
        assert len(rig.sent()) == 7
        assert len(rig[0].reports()) == 7
        rig.device.run()
        assert [frame[14:18] for frame in rig.sent()] == [number.to_bytes(4) for number in range(7, 12)]


@pytest.mark.requirement("RING-9")
def test_registers_of_pairs_that_the_card_lacks() -> None:
    with Rig(pairs=2) as rig:
        rig.put(BAR0.QP_RX_BASE, 4096, 5)
        assert (rig.get(BAR0.QP_RX_BASE, 5), rig.get(BAR0.QP_RX_HEAD, 5)) == (4096, 0)
        assert rig.stat("GUEST_ERRORS") == 0
        rig.put(BAR0.QP_RX_TAIL, 0, 5)
        assert rig.get(BAR0.QP_RX_BASE, 5) == 0
        assert rig.stat("GUEST_ERRORS") == 1


@pytest.mark.parametrize("width", [1, 2, 4, 8, 3, 0, 16])
def test_bars_that_the_card_lacks_are_all_ones(width: int) -> None:
    with Rig() as rig:
        ones = (1 << 8 * width) - 1 if width in (1, 2, 4, 8) else ALL_ONES
        for bar in (1, 3, 4, 5, 6, 99):
            rig.device.write(bar, 0, 5, width)
            assert rig.device.read(bar, 0, width) == ones


def test_the_bar_of_the_msix_table_has_nothing_between_table_and_pending_bits() -> None:
    with Rig() as rig:
        for offset in (0x400, 0xFFC, 0x1008, 0x1FFC):
            rig.device.write(2, offset, 5)
            assert rig.device.read(2, offset) == 0
        assert rig.device.read(2, 0x2000) == 0xFFFF_FFFF


# ---- large sends that meet a change of the card


@pytest.mark.parametrize("register", ["MAC_TX_CTRL", "COMMAND"])
def test_a_large_send_waits_while_transmission_is_off(register: str) -> None:
    data, context, frames = large_send(bytes(3000), 1000)
    with Rig(manual=True) as rig:
        rig[0].send(data, **context)
        for _ in range(2):
            rig.device.step(Engine.TX)
        assert rig.device.step(Engine.LSO)
        if register == "COMMAND":
            command = rig.device.config_read(4) & 0xFFFF
            rig.device.config_write(4, command & ~4, 2)
        else:
            control = rig.get(BAR0.MAC_TX_CTRL)
            rig.change(BAR0.MAC_TX_CTRL, ENABLE=0)
        assert Engine.LSO not in rig.device.runnable
        assert not rig.device.step(Engine.LSO)
        if register == "COMMAND":
            rig.device.config_write(4, command, 2)
        else:
            rig.put(BAR0.MAC_TX_CTRL, control)
        rig.device.run()
        assert rig.sent() == frames


def test_frames_of_a_card_that_sleeps() -> None:
    with Rig() as rig:
        rig.device.config_write(0x44, 3, 2)
        assert rig.inject(tcp_frame(b"x")) == RxVerdict.DROPPED
