"""Snapshots and resets: state that a stranger wrote, work that was pending, resets that come in hundreds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vnic.abi import Engine, InterruptKind, Map, ResetLevel
from vnic.device import Device
from vnic.errors import VnicError
from vnic.fuzz.records import Record, edited, records
from vnic.gen.registers import BAR0, CONFIG
from vnic.ndis.oid import OID
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, LinkState, MediaConnectState
from vnic.testbench.bench import Bench
from vnic.testbench.rig import MAC, Rig, plain_frame

#: Of csrc/nic/tags.h: what other models believed without a look, and used as index or length.
INDICES = {
    "TAG_RING_TAIL": 0x23,
    "TAG_RING_COUNT": 0x21,
    "TAG_PACKET_LEN": 0x13,
    "TAG_PACKET_OFFSET": 0x12,
    "TAG_PACKET_COUNT": 0x10,
    "TAG_CQ_VECTOR": 0x32,
    "TAG_RX_CACHED": 0x35,
    "TAG_TX_CACHED": 0x3A,
    "TAG_RXF_PAIR": 0x52,
    "TAG_RXF_OFFSET": 0x53,
    "TAG_TXF_PAIR": 0x61,
    "TAG_TXF_DESCRIPTORS": 0x67,
    "TAG_TXF_TOTAL": 0x6A,
    "TAG_TXF_TAKEN": 0x6B,
    "TAG_TX_TURN": 0x72,
    "TAG_RSS_LOG2": 0xA2,
}
SET = 0


def successor(rig: Rig, image: bytes) -> Device:
    """A new card with the same memory, that takes the snapshot."""
    fresh = Device(queue_pairs=len(rig.pairs), vectors=rig.vectors, mac=MAC, manual=True)
    fresh.map(rig.memory.base, rig.memory.view, Map.READ | Map.WRITE)
    fresh.load(image)
    return fresh


def busy() -> Rig:
    """A card in the middle of everything: a frame half delivered, one half gathered, others waiting."""
    rig = Rig(manual=True, buf_len=64, rx_count=32)
    for number in range(3):
        rig.inject(plain_frame(200, number))
    rig[0].send(plain_frame(200, 7), cuts=[50, 50, 50])
    rig[0].send(plain_frame(100, 8))
    for engine in (Engine.RX, Engine.RX, Engine.TX, Engine.TX, Engine.TX):
        rig.device.step(engine)
    return rig


# ---- trust


def numbers_of(image: bytes, tag: int) -> list[int]:
    """Where the records of a tag are, counted from the first."""
    return [n for n, record in enumerate(records(image)) if record.tag == tag]


@pytest.mark.parametrize("tag", INDICES)
def test_cve_2013_4149_4150_and_4544_an_index_out_of_a_snapshot(tag: str) -> None:
    """QEMU virtio-net and vmxnet3: counts and indices of the migration stream were used as they came.

    Here each is checked against what it indexes: a snapshot with one out of range is refused [PCI-46], and
    the card that refused it can be used.
    """
    with busy() as rig:
        image = rig.device.save()
        places = numbers_of(image, INDICES[tag])
        assert places, "the scene has such a field"
        for value in (0xFFFF_FFFF, 0x7FFF_FFFF, 0x8080_8080):
            for place in (places[0], places[-1]):
                wrong = edited(image, [(place, SET, value)])
                with pytest.raises(VnicError):
                    rig.device.load(wrong)
        rig.device.load(image)
        rig.device.run()
        assert [frame.data for frame in rig.device.frames()] == [plain_frame(200, 7), plain_frame(100, 8)]


def test_cve_2013_4150_a_number_that_is_one_too_large() -> None:
    """The same by one: the value just above the largest is as wrong as the largest number there is."""
    with busy() as rig:
        image = rig.device.save()
        least = {"TAG_TX_TURN": 1, "TAG_RXF_PAIR": 1, "TAG_CQ_VECTOR": rig.vectors, "TAG_RSS_LOG2": 8}
        for tag, value in least.items():
            (*_, place) = numbers_of(image, INDICES[tag])
            with pytest.raises(VnicError):
                rig.device.load(edited(image, [(place, SET, value)]))


def test_cve_2013_4544_a_length_that_is_more_than_what_follows() -> None:
    """vmxnet3 again: a record that claims to be longer than the rest of the stream."""
    with busy() as rig:
        image = rig.device.save()
        for record in list(records(image))[::7]:
            wrong = bytearray(image)
            wrong[record.at + 2 : record.at + 4] = b"\xff\xff"
            if not _is_same(bytes(wrong), record):
                with pytest.raises(VnicError):
                    rig.device.load(bytes(wrong))


def _is_same(image: bytes, record: Record) -> bool:
    return next(records(image, record.at), None) == record


# ---- pending work


@pytest.mark.parametrize("steps", range(0, 12, 2))
def test_cubesandbox_1084_a_restored_ring_with_work_needs_no_second_kick(steps: int) -> None:
    """cloud-hypervisor's family: a ring restored with work in it waited for a doorbell, its driver for it.

    Here what was handed over before the save is runnable after the load, and ends as it would have ended.
    """
    with busy() as rig:
        for _ in range(steps):
            if rig.device.runnable:
                rig.device.step(rig.device.runnable[0])
        left = [frame.data for frame in rig.device.frames()]
        image = rig.device.save()
        was_runnable = rig.device.runnable
        rig.device.close()
        with successor(rig, image) as fresh:
            assert fresh.runnable == was_runnable
            fresh.run()
            assert fresh.is_idle
            left += [frame.data for frame in fresh.frames()]
            assert left == [plain_frame(200, 7), plain_frame(100, 8)]
            rig.device = fresh
            assert [each.data for each in rig[0].take()] == [plain_frame(200, n) for n in range(3)]
            assert any(each.kind == InterruptKind.MSIX for each in fresh.interrupts())


def test_cubesandbox_1084_an_interrupt_that_waited_comes() -> None:
    """The other half: an interrupt that moderation held back at the save is raised after the load."""
    with Rig(manual=True, interval_ns=5000) as rig:
        rig.device.run()
        rig.device.advance(rig.device.now_ns + 5000)
        rig.device.run()
        for number in range(2):
            rig.inject(plain_frame(60, number))
            rig.device.run()
        rig.device.interrupts()
        image, deadline = rig.device.save(), rig.device.next_deadline_ns()
        assert deadline is not None
        with successor(rig, image) as fresh:
            assert fresh.next_deadline_ns() == deadline
            fresh.advance(deadline)
            fresh.run()
            assert [each.vector for each in fresh.interrupts()] == [0]


@pytest.mark.parametrize("now", [0, 1000, 10_000])
@pytest.mark.parametrize("saved", [0, 1000, 10_000])
def test_rhel_21867_the_link_after_a_resume(saved: int, now: int) -> None:
    """QEMU igb and e1000e: after migration the guest saw no link, or one at the speed of the other host.

    Here the snapshot's link stands until the host says what it is now; a change then is an event.
    """
    with Rig(manual=True, mbps=saved) as rig:
        rig.device.run()
        rig.put(BAR0.GLB_EVENT, BAR0.GLB_EVENT.mask())
        image = rig.device.save()
        with successor(rig, image) as fresh:
            rig.device = fresh
            assert rig.field(BAR0.GLB_STATUS, "LINK_UP") == (saved != 0)
            assert rig.get(BAR0.GLB_SPEED) == saved
            fresh.set_link(now)
            assert rig.get(BAR0.GLB_SPEED) == now
            assert rig.field(BAR0.GLB_EVENT, "LINK") == (now != saved)


def test_rhel_21867_the_driver_tells_of_a_link_that_changed_in_d3() -> None:
    """The driver's side: the link goes down while the adapter sleeps, and the protocols hear of it at D0."""
    with Bench() as bench:
        assert bench.adapter.set_power(DevicePowerState.D3) == NDIS_STATUS.SUCCESS
        bench.device.set_link(0)
        bench.settle()
        assert bench.adapter.set_power(DevicePowerState.D0) == NDIS_STATUS.SUCCESS
        bench.settle()
        state = LinkState.parse(bench.query(OID.GEN_LINK_STATE))
        assert state.connect is MediaConnectState.DISCONNECTED


# ---- resets that come in hundreds


def flr(rig: Rig) -> None:
    """Initiate Function Level Reset."""
    rig.configure(CONFIG.DEVCTL, FLR=1)


def device_reset(rig: Rig) -> None:
    """GLB_CTRL.RESET."""
    rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))


def hot_reset(rig: Rig) -> None:
    """A reset of the bus."""
    rig.device.reset(ResetLevel.HOT)


@pytest.mark.parametrize("reset", [flr, device_reset, hot_reset])
@pytest.mark.parametrize("steps", [0, 3, 7])
def test_spdk_2043_and_3903_resets_in_the_midst_of_work(reset: Callable[[Rig], None], steps: int) -> None:
    """SPDK: Function Level Resets in quick succession met an assert on queues that were half deleted.

    Here a reset is over within its write, from any state: fifty of them in the midst of work leave a card
    that is as after one.
    """
    with busy() as rig:
        for number in range(50):
            for _ in range(steps):
                if rig.device.runnable:
                    rig.device.step(rig.device.runnable[0])
            reset(rig)
            reset(rig)
            assert rig.device.is_idle
            rig.device.frames()
            rig.bring_up(31)
            rig.inject(plain_frame(200, number))
            rig[0].send(plain_frame(90, number), cuts=[20, 20])
        rig.device.run()
        assert [each.data for each in rig[0].take()] == [plain_frame(200, 49)]
        assert [frame.data for frame in rig.device.frames()][-1] == plain_frame(90, 49)


def test_libvfio_user_461_an_flr_that_says_it_was_done_was_done() -> None:
    """libvfio-user (since 2021, and spdk 3903): the FLR bit could be written, and nothing was reset.

    Here rings, vectors, counters and configuration are as after power-on, and the bit reads 0.
    """
    with Rig() as rig:
        rig.receive(plain_frame())
        rig[0].send(plain_frame())
        flr(rig)
        assert CONFIG.DEVCTL.field("FLR").get(rig.device.config_read(CONFIG.DEVCTL.offset)) == 0
        assert rig.device.read(0, BAR0.GLB_TYPE.offset) == 0xFFFF_FFFF, "it does not decode any more"
        rig.power_up()
        assert rig.get(BAR0.QP_RX_CTRL) == rig.get(BAR0.QP_TX_CTRL) == rig.get(BAR0.QP_CQ_CTRL) == 0
        assert rig.get(BAR0.VEC_CTRL) & BAR0.VEC_CTRL.encode(ENABLE=1) == 0
        assert rig.counters("RX_") == rig.counters("TX_") == {}
        assert rig.inject(plain_frame()).name == "DROPPED"
