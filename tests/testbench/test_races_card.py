"""The DMA race checker on the card's rings: seeded races are named, near misses are not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testbench.watched_rig import WatchedRig
from vnic.abi import DmaPurpose, DmaStatus, Engine, EventType
from vnic.events import Event
from vnic.gen.descriptors import RxDesc, TxData
from vnic.gen.registers import BAR0
from vnic.host.bus import Direction
from vnic.testbench import Bench
from vnic.testbench.frames import plain_frame
from vnic.testbench.races import DmaRaceError, RaceChecker, RaceKind


def assert_clean(checker: RaceChecker | None) -> None:
    """Nothing was found."""
    assert checker is not None
    assert checker.look() == ()


def bench(**options: Any) -> Bench:
    """A machine of one queue and one processor, watched."""
    return Bench(queues=1, cpus=1, check_races=True, **options)


# -- receive -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-30", "NDMA-34")
@pytest.mark.parametrize("index", [0, 1, 5, 40])
def test_a_write_to_a_posted_receive_buffer_is_found_before_the_card_writes_over_it(index: int) -> None:
    with WatchedRig() as rig:
        rig.poke(rig.buffer(index) + 7, b"abc")
        for number in range(index + 1):
            rig.inject(plain_frame(100, number))
        race = rig.only(RaceKind.HOST_WRITE)
        assert (race.address, race.length) == (rig.buffer(index) + 7, 3)
        assert (race.before, race.after) == (b"\xee\xee\xee", b"abc")
        assert race.parties[0].name == f"card RX[0] #{index}"
        assert race.parties[0].descriptor == rig[0].rx_memory.address + index * RxDesc.SIZE


@pytest.mark.requirement("NDMA-30", "NDMA-34")
def test_a_write_to_a_buffer_that_is_not_the_next_is_found_before_the_card_writes_over_it() -> None:
    with WatchedRig() as rig:
        rig.inject(plain_frame(100))
        rig.device.is_manual = True
        rig.poke(rig.buffer(6), b"abc")
        for number in range(10):
            rig.inject(plain_frame(100, number))
        rig.device.run()
        assert rig.only(RaceKind.HOST_WRITE).address == rig.buffer(6)


@pytest.mark.requirement("NDMA-30", "NDMA-34")
def test_a_write_through_the_memory_names_the_line_that_wrote_even_what_was_there() -> None:
    with WatchedRig() as rig:
        rig.memory.write(rig.buffer(3), b"\xee\xee")
        race = rig.only(RaceKind.HOST_WRITE)
        assert (race.address, race.length, race.before == race.after) == (rig.buffer(3), 2, True)
        assert "test_a_write_through_the_memory_names" in race.parties[1].detail
        assert "test_races_card.py:" in race.parties[1].detail


@pytest.mark.requirement("NDMA-30", "NDMA-34")
def test_a_read_of_a_posted_receive_buffer_is_found_where_reads_can_be_seen() -> None:
    with WatchedRig() as rig:
        rig.memory.read(rig.buffer(2) + 10, 4)
        race = rig.only(RaceKind.HOST_READ)
        assert (race.address, race.length, race.parties[0].index) == (rig.buffer(2) + 10, 4, 2)


@pytest.mark.requirement("NDMA-30", "NDMA-34")
def test_a_watched_view_of_a_buffer_shows_the_access_to_one_byte() -> None:
    with WatchedRig() as rig:
        view = rig.checker.view(rig[0].buffers)
        assert view[rig.buf_len * 4] == 0xEE
        race = rig.only(RaceKind.HOST_READ)
        assert (race.address, race.length) == (rig.buffer(4), 1)


@pytest.mark.requirement("NDMA-34")
def test_a_receive_buffer_is_the_drivers_when_it_is_completed_and_no_earlier() -> None:
    with WatchedRig() as rig:
        rig.receive(plain_frame(100, 1))
        rig.memory.read(rig.buffer(0), 100)
        rig.memory.write(rig.buffer(0), b"mine")
        rig.poke(rig.buffer(0) + 50, b"mine")
        assert_clean(rig.checker)
        rig.memory.write(rig.buffer(1), b"not mine")
        rig.only(RaceKind.HOST_WRITE)


@pytest.mark.requirement("NDMA-34")
def test_a_buffer_that_is_taken_back_by_the_doorbell_is_the_drivers() -> None:
    with WatchedRig(posted=0) as rig:
        rig[0].post_rx(4)
        rig[0].put(BAR0.QP_RX_TAIL, 2)
        rig.memory.write(rig.buffer(3), b"mine")
        assert_clean(rig.checker)
        rig.memory.write(rig.buffer(1), b"not mine")
        rig.only(RaceKind.HOST_WRITE)


@pytest.mark.requirement("NDMA-34")
@pytest.mark.parametrize("register", [BAR0.QP_RX_CTRL, BAR0.QP_CQ_CTRL])
@pytest.mark.parametrize("value", [0, 2])
def test_the_buffers_of_a_ring_that_is_stopped_or_reset_are_the_drivers(register: Any, value: int) -> None:
    with WatchedRig() as rig:
        rig[0].put(register, value)
        rig.memory.write(rig.buffer(3), b"mine")
        assert_clean(rig.checker)


@pytest.mark.requirement("NDMA-34")
@pytest.mark.parametrize("how", ["device", "hot", "remove", "d3", "flr"])
def test_after_every_reset_of_the_card_memory_is_the_drivers(how: str) -> None:
    with WatchedRig() as rig:
        match how:
            case "device":
                rig.put(BAR0.GLB_CTRL, BAR0.GLB_CTRL.encode(RESET=1))
            case "hot":
                rig.device.reset()
            case "remove":
                rig.device.remove()
            case "d3":
                rig.device.config_write(0x44, 3, 2)
            case "flr":
                rig.device.config_write(0x78, 0x8000, 2)
        rig.memory.write(rig.buffer(3), b"mine")
        assert_clean(rig.checker)


@pytest.mark.requirement("NDMA-31", "NDMA-34")
def test_a_buffer_that_is_posted_twice_is_found_at_the_doorbell() -> None:
    with WatchedRig(posted=0, rx_count=8) as rig:
        rig[0].post_rx(3, buffers=[rig.buffer(0), rig.buffer(1), rig.buffer(0) + 100])
        races = rig.checker.look()
        assert {race.kind for race in races} == {RaceKind.OVERLAP}
        first, second = races
        assert (first.address, first.length) == (rig.buffer(0) + 100, rig.buf_len - 100)
        assert [party.index for party in first.parties] == [0, 2]
        assert (second.address, second.length) == (rig.buffer(1), 100)


@pytest.mark.requirement("NDMA-33", "NDMA-34")
@pytest.mark.parametrize("is_fetched", [False, True])
def test_a_receive_descriptor_that_changes_after_the_doorbell_is_found(is_fetched: bool) -> None:
    with WatchedRig() as rig:
        if is_fetched:
            rig.receive(plain_frame(100))
        where = rig[0].rx_memory.address + 5 * RxDesc.SIZE
        rig.poke(where, RxDesc(rig.buffer(40), 0).pack()[:8])
        race = rig.only(RaceKind.DESCRIPTOR)
        assert where <= race.address < where + 8
        assert race.parties[0].name == "card RX[0] #5"


@pytest.mark.requirement("NDMA-33", "NDMA-34")
def test_a_descriptor_that_changes_before_the_fetch_moves_the_transfer_to_what_it_names_then() -> None:
    with WatchedRig(posted=0, rx_count=8) as rig:
        rig[0].post_rx(1)
        rig.poke(rig[0].rx_memory.address, RxDesc(rig.buffer(5), 0).pack())
        rig.device.is_manual = True
        rig.inject(plain_frame(100))
        rig.device.step(Engine.RX)
        rig.only(RaceKind.DESCRIPTOR)
        rig.memory.write(rig.buffer(0), b"mine again")
        rig.memory.write(rig.buffer(5), b"the card's")
        assert [race.kind for race in rig.checker.look()] == [RaceKind.DESCRIPTOR, RaceKind.HOST_WRITE]


@pytest.mark.requirement("NDMA-32", "NDMA-34")
def test_unmapping_a_posted_receive_buffer_is_found_and_named() -> None:
    with bench() as machine:
        checker = machine.races
        assert checker is not None
        segment = next(s for s, d in machine.system.iommu.mapped if d == Direction.FROM_DEVICE)
        machine.system.unmap([segment], Direction.FROM_DEVICE)
        (race,) = checker.look()
        assert race.kind == RaceKind.UNMAPPED
        assert (race.parties[0].bus, race.length) == segment
        assert race.parties[0].name.startswith("card RX[0] #")
        assert race.parties[1].name == "mapping of card"
        with pytest.raises(DmaRaceError, match="UNMAPPED of 2048 bytes"):
            checker.check()
        machine.abandon()


@pytest.mark.requirement("NDMA-32", "NDMA-34")
@pytest.mark.parametrize("strict", [True, False])
def test_dma_to_a_mapping_that_has_ended_names_the_mapping_that_it_was(strict: bool) -> None:
    with bench(strict_dma=strict) as machine:
        checker, system = machine.races, machine.system
        assert checker is not None
        buffer = machine.memory.alloc(256, align=4096, label="stale")
        (segment,) = system.map(buffer.address, 256, Direction.TO_DEVICE)
        system.unmap([segment], Direction.TO_DEVICE)
        test = {BAR0.TEST_DMA_SRC: segment.addr, BAR0.TEST_DMA_DST: segment.addr, BAR0.TEST_DMA_LEN: 64}
        for register, value in test.items():
            system.write(0, register.offset, value, register.bytes)
        system.write(0, BAR0.TEST_DMA_CMD.offset, BAR0.TEST_DMA_CMD.encode(OP=1, GO=1))
        (race,) = checker.look()
        assert race.kind == RaceKind.UNMAPPED
        assert race.address == buffer.address
        assert race.label == "stale+0x0"
        assert (race.parties[0].bus, race.parties[0].detail) == (segment.addr, "TO_DEVICE")
        assert race.parties[1].name == "card"
        machine.abandon()


# -- transmit ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-30", "NDMA-34")
def test_a_write_to_a_frame_before_the_card_has_read_it_is_found() -> None:
    with WatchedRig() as rig:
        rig.device.is_manual = True
        source = rig.stage(plain_frame(200))
        rig[0].send_raw([TxData(source, 200, 1, eop=1, rs=1).pack()])
        rig.poke(source + 20, b"\x55")
        race = rig.only(RaceKind.HOST_WRITE)
        assert (race.address, race.after) == (source + 20, b"\x55")
        assert (race.parties[0].name, race.parties[0].detail) == ("card TX[0] #0", "reads")


@pytest.mark.requirement("NDMA-30", "NDMA-34")
def test_a_frame_without_report_is_the_drivers_only_when_a_later_one_is_reported() -> None:
    with WatchedRig() as rig:
        source = rig.stage(plain_frame(200))
        rig[0].send_raw([TxData(source, 200, 1, eop=1, rs=0).pack()])
        assert len(rig.sent()) == 1
        rig.poke(source, b"\x01")
        rig.only(RaceKind.HOST_WRITE)
        rig[0].send(plain_frame(100))
        rig.poke(source, b"\x02")
        assert len(rig.checker.look()) == 1


@pytest.mark.requirement("NDMA-34")
def test_a_frame_is_the_drivers_when_transmit_head_was_read_behind_it() -> None:
    with WatchedRig() as rig:
        source = rig.stage(plain_frame(200))
        rig[0].send_raw([TxData(source, 200, 1, eop=1, rs=0).pack()])
        assert rig[0].get(BAR0.QP_TX_HEAD) == 1
        rig.memory.write(source, b"mine")
        assert_clean(rig.checker)


@pytest.mark.requirement("NDMA-34")
def test_reading_a_frame_that_the_card_reads_and_sending_it_twice_are_no_races() -> None:
    with WatchedRig() as rig:
        rig.device.is_manual = True
        source = rig.stage(plain_frame(200))
        rig[0].send_raw([TxData(source, 200, 1, eop=1, rs=1).pack()] * 2)
        rig.memory.read(source, 200)
        rig.device.run()
        assert len(rig.sent()) == 2
        rig.memory.write(source, b"mine")
        assert_clean(rig.checker)


@pytest.mark.requirement("NDMA-31", "NDMA-34")
def test_sending_from_a_buffer_that_is_posted_for_receiving_is_found() -> None:
    with WatchedRig() as rig:
        rig[0].send_raw([TxData(rig.buffer(7), 200, 1, eop=1, rs=1).pack()])
        race = rig.only(RaceKind.OVERLAP)
        assert (race.address, race.length) == (rig.buffer(7), 200)
        assert [party.name for party in race.parties] == ["card RX[0] #7", "card TX[0] #0"]


@pytest.mark.requirement("NDMA-33", "NDMA-34")
def test_a_transmit_descriptor_that_changes_before_its_completion_is_found() -> None:
    with WatchedRig() as rig:
        rig.device.is_manual = True
        rig[0].send(plain_frame(200))
        rig.poke(rig[0].tx_memory.address + 8, b"\xff")
        race = rig.only(RaceKind.DESCRIPTOR)
        assert (race.address, race.length) == (rig[0].tx_memory.address + 8, 1)


@pytest.mark.requirement("NDMA-30", "NDMA-34")
def test_a_protocol_that_writes_a_packet_which_it_has_sent_is_found_through_the_mapping() -> None:
    with bench(checks_data=False) as machine:
        machine.device.is_manual = True
        nbl = machine.send(plain_frame(300))
        (packet,) = nbl.net_buffers()
        address, view = next(iter(packet.views()))
        view[30] ^= 0xFF
        machine.device.is_manual = False
        machine.settle()
        assert machine.races is not None
        (race,) = machine.races.look()
        assert (race.kind, race.address, race.length) == (RaceKind.HOST_WRITE, address + 30, 1)
        assert race.writes
        machine.abandon()


# -- the rest ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-32", "NDMA-34")
@pytest.mark.parametrize("is_write", [True, False])
def test_a_card_that_uses_a_buffer_of_a_completed_descriptor_is_found(is_write: bool) -> None:
    with WatchedRig() as rig:
        frame = plain_frame(200)
        if is_write:
            rig.receive(frame)
            where, kind = rig.buffer(0), EventType.DMA_WRITE
        else:
            rig.transmit(frame)
            where, kind = TxData.unpack(rig[0].tx_memory.view).addr, EventType.DMA_READ
        assert_clean(rig.checker)
        # As a broken card would: nothing that this driver can do makes ours do it.
        rig.tap.on_event(Event(kind, 0, DmaPurpose.DATA, 0, 0, where, DmaStatus.OK, bytes(16)))
        race = rig.only(RaceKind.COMPLETED)
        assert (race.address, race.length) == (where, 16)
        assert race.parties[0].index == 0
        assert race.parties[0].until is not None


def test_bench_without_a_wish_has_no_checker_and_the_environment_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VNIC_CHECK_RACES", raising=False)
    with Bench(queues=1, cpus=1, starts=False) as machine:
        assert machine.races is None
    monkeypatch.setenv("VNIC_CHECK_RACES", "1")
    with Bench(queues=1, cpus=1, starts=False) as machine:
        assert machine.races is not None
    with Bench(queues=1, cpus=1, starts=False, check_races=False) as machine:
        assert machine.races is None


def test_the_end_of_a_bench_raises_the_races_of_its_driver() -> None:
    machine = bench()
    segment = next(s for s, d in machine.system.iommu.mapped if d == Direction.FROM_DEVICE)
    address = machine.memory.live[0].address
    assert segment
    machine.memory.read(address, 4)
    with pytest.raises(DmaRaceError) as caught, machine:
        target = next(b for b in machine.memory.live if b.label == "receive data")
        target.view[9] ^= 1
    assert [race.kind for race in caught.value.races] == [RaceKind.HOST_WRITE]
    assert caught.value.races[0].label == "receive data+0x9"
    assert "last register writes: card" in str(caught.value)
