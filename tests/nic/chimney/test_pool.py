"""Receive pools: data without a receive, receives that come late, blocks, credit, and rings that fail."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.nic.chimney.driver import Connection, Driver
from vnic.abi import DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.gen.descriptors import ChmAdminCompletion, ChmCommand, ChmData, ChmTcp
from vnic.gen.enums import ChmObject, ChmOp, ChmReason, ChmStatus, CompletionType, RingError
from vnic.gen.registers import BAR0
from vnic.testbench.tcp_peer import IRS
from vnic.wire import packet

RECEIVE, DATA = CompletionType.CHM_RECEIVE, CompletionType.CHM_DATA
ACK, PSH, FIN = packet.ACK, packet.PSH, packet.FIN
BLOCK = 4080
#: Blocks for what cannot be reported.
KEPT = 2
#: A window that is larger than all blocks.
WIDE: dict[str, Any] = {"rcv_wnd": 1 << 20, "initial_rcv_wnd": 1 << 20, "const_flags": 4, "rcv_wind_scale": 5}


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver() as made:
        yield made


def noise(length: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(length)


def data(driver: Driver) -> list[ChmData]:
    """CHM_DATA entries since the last take()."""
    driver.poll()
    return [entry for entry in driver.entries if isinstance(entry, ChmData)]


def receive_all(connection: Connection, payload: bytes, size: int = 1000) -> None:
    for at in range(0, len(payload), size):
        connection.receive(payload[at : at + size])


# -- buffers ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-42", "INV-24")
def test_without_a_receive_data_goes_to_the_pool(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(b"first")
    connection.receive(b"second", flags=ACK | PSH)
    entries = data(driver)
    assert [(e.len, e.data_count, e.seq - IRS, e.push) for e in entries] == [(5, 5, 0, 0), (6, 11, 5, 1)]
    assert [entry.index for entry in entries] == [0, 1]
    assert connection.data == b"firstsecond"
    assert driver.stat("POOL_BYTES") == 11


@pytest.mark.requirement("CHM-42")
def test_data_longer_than_a_buffer_takes_several() -> None:
    with Driver(pool_len=64, pool_count=32) as driver:
        connection = driver.connect()
        connection.receive(noise(200))
        assert [entry.len for entry in data(driver)] == [64, 64, 64, 8]
        assert connection.data == noise(200)


@pytest.mark.requirement("CHM-42")
def test_a_buffer_ends_with_the_last_push(driver: Driver) -> None:
    driver.keeps_pool = True
    connection = driver.connect()
    for _ in range(driver.pool_posted):
        connection.receive(b"x")
    connection.receive(b"pushed", flags=ACK | PSH)
    connection.receive(b"not pushed")
    driver.take()
    hand_back(driver)
    assert [(entry.len, entry.push) for entry in data(driver)] == [(6, 1), (10, 0)]


@pytest.mark.requirement("CHM-42", "CHM-48")
def test_without_a_buffer_data_waits_in_blocks_in_order(driver: Driver) -> None:
    driver.keeps_pool = True
    connection = driver.connect()
    payload = noise(20_000)
    receive_all(connection, payload)
    driver.poll()
    assert bytes(connection.data) == payload[: len(connection.data)]
    assert len(connection.data) < len(payload)
    free = driver.rig.get(BAR0.CHM_FREE_BLOCKS)
    assert free < driver.rig.get(BAR0.CHM_MAX_BLOCKS)
    hand_back(driver)
    driver.poll()
    assert bytes(connection.data) == payload
    assert driver.rig.get(BAR0.CHM_FREE_BLOCKS) == driver.rig.get(BAR0.CHM_MAX_BLOCKS)


@pytest.mark.requirement("CHM-42", "CHM-43")
def test_waiting_data_goes_into_a_receive_that_knows_of_all_pool_data(driver: Driver) -> None:
    driver.keeps_pool = True
    connection = driver.connect()
    payload = noise(20_000)
    receive_all(connection, payload)
    driver.poll()
    taken = len(connection.data)
    buffer = connection.post(len(payload) - taken)
    assert [(e.status, e.bytes) for e in driver.completions(RECEIVE)] == [
        (ChmStatus.OK, len(payload) - taken)
    ]
    assert bytes(connection.data) + bytes(buffer.view) == payload


@pytest.mark.requirement("CHM-42", "CHM-44")
def test_the_push_behind_all_that_waits_completes_once(driver: Driver) -> None:
    """More than one step places it."""
    driver.keeps_pool = True
    connection = driver.connect()
    receive_all(connection, noise(20_000))
    driver.poll()
    connection.receive(b"end", flags=ACK | PSH)
    taken = len(connection.data)
    buffer = connection.post(30_000)
    (entry,) = driver.completions(RECEIVE)
    assert (entry.status, entry.bytes, entry.pushed) == (ChmStatus.OK, 20_003 - taken, 1)
    assert bytes(buffer.view[: entry.bytes]) == (noise(20_000) + b"end")[taken:]


@pytest.mark.requirement("CHM-43", "INV-21")
def test_a_receive_that_comes_late_is_given_back(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(b"ahead")
    connection.post(10, data_count=0)
    (entry,) = driver.completions(RECEIVE)
    assert (entry.status, entry.data_count, entry.bytes) == (ChmStatus.LATE, 5, 0)
    assert driver.stat("LATE_RECEIVES") == 1
    assert connection.data == b"ahead"
    driver.take()
    connection.post(0, data_count=4)
    connection.post(0, data_count=5)
    assert [e.status for e in driver.completions(RECEIVE)] == [ChmStatus.LATE, ChmStatus.OK]


@pytest.mark.requirement("CHM-42")
def test_a_buffer_that_cannot_be_written_comes_back_empty(driver: Driver) -> None:
    connection = driver.connect()
    first = driver.pool_buffers[0].address
    fault = Fault(
        site=FaultSite.DMA_WRITE,
        action=FaultAction.ERROR,
        first=first,
        last=first + 2047,
        argument=DmaStatus.ABORTED,
        count=9,
    )
    with driver.device.arm(fault):
        connection.receive(b"not there")
    assert [(e.index, e.len, e.data_count) for e in data(driver)] == [(0, 0, 0), (1, 9, 9)]
    assert connection.data == b"not there"
    assert driver.reasons() == []


@pytest.mark.requirement("CHM-45")
def test_credit_for_more_than_was_given_is_cut(driver: Driver) -> None:
    driver.keeps_pool = True
    connection = driver.connect(initial_rcv_wnd=40_000, rcv_wnd=40_000)
    receive_all(connection, noise(38_000))
    driver.poll()
    given = len(connection.data)
    connection.credit(1 << 31)
    connection.credit(1 << 31)
    window = connection.sent()[-1]
    assert window.ack + window.window == IRS + given + 40_000
    assert connection.query().receive_backlog_size == 0


@pytest.mark.requirement("CHM-7", "CHM-42", "INV-20")
def test_terminate_waits_until_the_pool_has_taken_everything(driver: Driver) -> None:
    driver.keeps_pool = True
    connection = driver.connect()
    payload = noise(20_000)
    receive_all(connection, payload)
    driver.poll()
    done, image = terminate_late(driver, connection)
    assert bytes(connection.data) == payload
    assert image.rcv_nxt == IRS + len(payload)
    assert done.placed == 0


def hand_back(driver: Driver) -> None:
    """All buffers of the pool that was used up."""
    driver.poll()
    buffers = driver.pool_buffers[0].address
    driver.post_pool(0, *(buffers + n * driver.pool_len for n in range(driver.pool_posted)))


def terminate_late(driver: Driver, connection: Connection) -> tuple[ChmAdminCompletion, ChmTcp]:
    """The end of a connection whose data waits for buffers that come later."""
    address = driver.image_memory.address + 1024
    command = ChmCommand(
        op=ChmOp.TERMINATE,
        object=ChmObject.TCP,
        handle=connection.handle,
        cookie=77,
        out_addr=address,
        out_len=ChmTcp.SIZE,
    )
    driver.command(command)
    driver.poll()
    assert not any(getattr(entry, "cookie", 0) == 77 for entry in driver.entries)
    hand_back(driver)
    done = driver.completion_of(77)
    assert driver.entries.index(done) == len(driver.entries) - 1
    return done, ChmTcp.unpack(driver.memory.read(address, ChmTcp.SIZE))


# -- blocks ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-48")
def test_data_out_of_order_is_given_up_first() -> None:
    """Of this connection, then of others; what is in order finds room as long as anything else can go."""
    with Driver(chimney_bytes=17 * BLOCK, pool_posted=0) as driver:
        blocks = driver.rig.get(BAR0.CHM_MAX_BLOCKS) - KEPT
        one, two = (driver.connect(remote_port=port, **WIDE) for port in (40000, 40001))
        for n in range(blocks - 3):
            two.receive(b"o", seq=IRS + 1 + BLOCK * (n + 1))
        for n in range(3):
            one.receive(b"o", seq=IRS + 1 + BLOCK * (n + 1))
        assert driver.rig.get(BAR0.CHM_FREE_BLOCKS) == KEPT
        two.receive(b"out of order, and no room", seq=IRS + 60_000)
        refused = driver.stat("NO_BLOCK")
        receive_all(one, noise(2 * BLOCK))
        assert driver.stat("RANGES_DROPPED") == 1
        assert driver.rig.get(BAR0.CHM_FREE_BLOCKS) == KEPT + 1
        receive_all(one, noise((blocks - 2) * BLOCK, 2))
        assert driver.stat("RANGES_DROPPED") == 2
        assert driver.stat("NO_BLOCK") == refused
        assert driver.reasons() == []
        one.receive(b"one too many" + bytes(1400))
        assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED]
        assert driver.stat("NO_BLOCK") == refused + 1
        buffers = driver.pool_buffers[0].address
        driver.post_pool(0, *(buffers + n * driver.pool_len for n in range(15)))
        for _ in range(10):
            driver.poll()
        _, image = one.terminate()
        assert image.rcv_nxt == IRS + blocks * BLOCK
        assert bytes(one.data) == noise(2 * BLOCK) + noise((blocks - 2) * BLOCK, 2)
        assert max(sent.ack for sent in one.sent()) == image.rcv_nxt


@pytest.mark.requirement("CHM-48")
def test_what_is_delivered_at_once_needs_no_block() -> None:
    with Driver(chimney_bytes=1 << 16, pairs=2) as driver:
        driver.rig.put(BAR0.CHQ_POOL_CTRL, 0)
        table = BAR0.RSS_CTRL.encode(ENABLE=1, TABLE_LOG2=1)
        driver.rig.put(BAR0.RSS_CTRL, table)
        driver.rig.put(BAR0.RSS_TABLE, 0x0100)
        driver.rig.put(BAR0.RSS_COMMIT, 1)
        hog = driver.connect(**WIDE)
        other = driver.connect(remote_port=40001, hash_value=1)
        blocks = driver.rig.get(BAR0.CHM_MAX_BLOCKS) - KEPT
        receive_all(hog, noise(blocks * BLOCK))
        assert driver.rig.get(BAR0.CHM_FREE_BLOCKS) == KEPT
        other.receive(b"to the pool")
        driver.poll()
        assert other.data == b"to the pool"
        buffer = other.post(1000)
        other.receive(noise(1000))
        assert [e.bytes for e in driver.completions(RECEIVE)] == [1000]
        assert bytes(buffer.view) == noise(1000)
        fault = Fault(site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=3, argument=DmaStatus.ABORTED)
        with driver.device.arm(fault):
            other.receive(b", and what cannot be reported")
        driver.rig[1].start()
        driver.start_submissions(1)
        driver.start_pool(1)
        driver.poll()
        assert other.data == b"to the pool, and what cannot be reported"
        assert driver.reasons() == []


@pytest.mark.requirement("CHM-48", "CHM-47")
@pytest.mark.parametrize(
    "end", [{"flags": packet.RST}, {"flags": ACK | packet.URG, "urgent": 1, "payload": b"u"}]
)
def test_what_is_out_of_order_ends_with_the_connection(driver: Driver, end: dict[str, Any]) -> None:
    connection = driver.connect()
    connection.receive(b"out of order", seq=IRS + 100)
    assert driver.rig.get(BAR0.CHM_FREE_BLOCKS) == driver.rig.get(BAR0.CHM_MAX_BLOCKS) - 1
    connection.receive(**end)
    assert driver.rig.get(BAR0.CHM_FREE_BLOCKS) == driver.rig.get(BAR0.CHM_MAX_BLOCKS)


@pytest.mark.requirement("CHM-49")
def test_water_marks(driver: Driver) -> None:
    top = driver.rig.get(BAR0.CHM_MAX_BLOCKS)
    driver.rig.put(BAR0.CHM_BLOCKS_LOW, top - 1)
    driver.rig.put(BAR0.CHM_BLOCKS_HIGH, top)
    driver.rig.put(BAR0.GLB_EVENT, 0xFFFF_FFFF)
    connection = driver.connect()
    for n in range(2):
        connection.receive(b"o", seq=IRS + 1 + n * BLOCK)
    assert driver.rig.field(BAR0.CHM_STATUS, "PAUSE") == 1
    assert driver.rig.field(BAR0.GLB_EVENT, "CHIMNEY") == 1
    driver.rig.put(BAR0.GLB_EVENT, 0xFFFF_FFFF)
    connection.terminate()
    assert driver.rig.field(BAR0.CHM_STATUS, "PAUSE") == 0
    assert driver.rig.field(BAR0.GLB_EVENT, "CHIMNEY") == 1


# -- the ring --------------------------------------------------------------------------------------------


def status(driver: Driver) -> tuple[int, RingError]:
    return (
        driver.rig.field(BAR0.CHQ_POOL_STATUS, "RUNNING"),
        RingError(driver.rig.field(BAR0.CHQ_POOL_STATUS, "ERROR")),
    )


def restart(driver: Driver, **registers: int) -> tuple[int, RingError]:
    """Stop, write registers by their names, start."""
    driver.rig.put(BAR0.CHQ_POOL_CTRL, 0)
    for name, value in registers.items():
        driver.rig.put(BAR0.MAP[f"CHQ_POOL_{name}"], value)
    driver.rig.put(BAR0.CHQ_POOL_CTRL, BAR0.CHQ_POOL_CTRL.encode(ENABLE=1))
    assert driver.rig.field(BAR0.CHQ_POOL_CTRL, "ENABLE") == status(driver)[0]
    return status(driver)


@pytest.mark.requirement("CHM-63", "CHM-42")
def test_what_a_pool_needs_to_run(driver: Driver) -> None:
    good = {"BASE": driver.pool_memory[0].address, "COUNT": 16, "BUF_LEN": 2048}
    for bad, error in (
        ({"COUNT": 12}, RingError.BAD_COUNT),
        ({"BASE": 32}, RingError.BAD_BASE),
        ({"BUF_LEN": 63}, RingError.BAD_BUFFER),
        ({"BUF_LEN": 65537}, RingError.BAD_BUFFER),
    ):
        assert restart(driver, **(good | bad)) == (0, error)
    assert restart(driver, **good) == (1, RingError.NONE)
    driver.rig.put(BAR0.CHQ_POOL_TAIL, 16)
    assert status(driver) == (0, RingError.BAD_TAIL)
    driver.rig.put(BAR0.QP_CQ_CTRL, 0)
    assert restart(driver, **good) == (0, RingError.NO_CQ)
    driver.rig.put(BAR0.CHQ_POOL_CTRL, BAR0.CHQ_POOL_CTRL.encode(RESET=1))
    assert status(driver) == (0, RingError.NONE)


@pytest.mark.requirement("CHM-63", "CHM-42")
def test_a_pool_whose_entries_cannot_be_read_stops(driver: Driver) -> None:
    restart(driver, BASE=1 << 40)
    driver.rig.put(BAR0.CHQ_POOL_TAIL, 4)
    connection = driver.connect()
    connection.receive(b"waits")
    assert status(driver) == (0, RingError.FETCH_DMA)
    assert driver.rig.field(BAR0.GLB_EVENT, "RING") == 1
    assert data(driver) == []
    driver.start_pool(0)
    driver.poll()
    assert connection.data == b"waits"


@pytest.mark.requirement("CHM-63")
def test_buffers_may_be_taken_back(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(b"a")
    driver.poll()
    driver.keeps_pool = True
    driver.rig.put(BAR0.CHQ_POOL_TAIL, 3)
    for letter in (b"b", b"c", b"d"):
        connection.receive(letter)
    driver.poll()
    assert connection.data == b"abc"
    driver.rig.put(BAR0.CHQ_POOL_TAIL, 4)
    driver.poll()
    assert connection.data == b"abcd"


@pytest.mark.requirement("CHM-42", "CHM-46")
def test_the_fin_waits_for_data_that_waits(driver: Driver) -> None:
    driver.keeps_pool = True
    connection = driver.connect()
    receive_all(connection, noise(20_000))
    connection.receive(flags=ACK | FIN)
    assert driver.events() == []
    hand_back(driver)
    assert len(driver.events()) == 1
    assert bytes(connection.data) == noise(20_000)
    assert data(driver)[-1].push == 1
