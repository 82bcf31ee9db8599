"""Reports: a full ring loses nothing, the entries of a connection are in order, reasons come once."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.nic.chimney.driver import Driver
from vnic.abi import DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.gen.descriptors import ChmData, ChmEventEntry, ChmFence
from vnic.gen.enums import ChmEvent, ChmObject, ChmReason, ChmStatus, CompletionType
from vnic.gen.registers import BAR0
from vnic.host.memory import GuestBuffer
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

ACK, PSH, FIN, RST, URG = packet.ACK, packet.PSH, packet.FIN, packet.RST, packet.URG
RECEIVE, DATA, SEND, EVENT = (
    CompletionType.CHM_RECEIVE,
    CompletionType.CHM_DATA,
    CompletionType.CHM_SEND,
    CompletionType.CHM_EVENT,
)


def write_table(driver: Driver, *entries: int, default: int = 0, enable: int = 1) -> None:
    """A new indirection table, committed."""
    rig, size = driver.rig, len(entries).bit_length() - 1
    rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=enable, TABLE_LOG2=size, DEFAULT_QUEUE=default))
    padded = bytes(entries).ljust(128, b"\0")
    for word in range(32):
        rig.put(BAR0.RSS_TABLE, int.from_bytes(padded[4 * word : 4 * word + 4], "little"), word)
    rig.put(BAR0.RSS_COMMIT, 1)


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver() as made:
        yield made


# -- full and standing rings -----------------------------------------------------------------------------


@pytest.mark.requirement("CHM-60")
def test_a_full_completion_ring_loses_nothing() -> None:
    with Driver(cq_count=8, pool_count=32) as driver:
        connection = driver.connect()
        driver.take()
        for n in range(20):
            connection.receive(bytes([n]), flags=ACK | PSH)
        connection.post(4, data_count=0)
        connection.receive(flags=ACK | FIN)
        for _ in range(20):
            driver.poll()
        assert bytes(connection.data) == bytes(range(20))
        kinds = [entry.type for entry in driver.take()]
        assert kinds.count(EVENT) == 1
        assert kinds.count(RECEIVE) == 1


@pytest.mark.requirement("CHM-60", "CHM-46")
@pytest.mark.parametrize("cq_count", [8, 64])
def test_the_order_is_that_of_happening(cq_count: int) -> None:
    with Driver(cq_count=cq_count) as driver:
        connection = driver.connect()
        driver.take()
        connection.send(b"s" * 10)
        connection.peer.ack = ISS + 10
        connection.receive()
        connection.receive(b"pool")
        driver.poll()
        connection.post(4), connection.post(8)
        connection.receive(b"fourpart")
        connection.receive(b"", flags=ACK | FIN)
        for _ in range(4):
            driver.poll()
        kinds = [
            entry.type
            for entry in driver.take()
            if not (isinstance(entry, ChmEventEntry) and entry.event == ChmEvent.SEND_BACKLOG)
        ]
        assert kinds == [SEND, DATA, RECEIVE, RECEIVE, EVENT]


@pytest.mark.requirement("CHM-60")
def test_data_does_not_pass_what_waits_to_be_reported() -> None:
    """Segments in a row, with no step of the report engine between them."""
    with Driver(manual=True) as driver:
        driver.run()
        connection = driver.connect()
        connection.receive(b"a")
        connection.send(b"s")
        driver.run()
        driver.take()
        connection.peer.ack = ISS + 1
        connection.receive()
        connection.receive(b"b")
        connection.receive(b"c")
        driver.run()
        assert [e.type for e in driver.take() if e.type in (SEND, DATA)] == [SEND, DATA]
        assert connection.data == b"abc"


@pytest.mark.requirement("CHM-60")
def test_reports_wait_for_a_ring_that_stands_still(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(b"before")
    driver.poll()
    driver.rig.put(BAR0.QP_CQ_CTRL, 0)
    connection.receive(b"meanwhile")
    connection.receive(flags=RST)
    pair = driver.rig[0]
    pair.start()
    driver.start_admin()
    driver.start_submissions(0)
    driver.start_pool(0)
    driver.poll()
    assert driver.events()[-1].event == ChmEvent.ABORT
    connection.terminate()
    assert connection.data == b"beforemeanwhile"


@pytest.mark.requirement("CHM-60")
def test_an_entry_that_cannot_be_written_is_not_lost(driver: Driver) -> None:
    connection = driver.connect()
    driver.take()
    connection.post(4)
    fault = Fault(site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=3, argument=DmaStatus.ABORTED)
    with driver.device.arm(fault):
        connection.receive(b"four")
    assert driver.rig.field(BAR0.QP_CQ_STATUS, "RUNNING") == 0
    driver.rig[0].start()
    driver.start_submissions(0)
    driver.start_pool(0)
    assert [(e.status, e.bytes) for e in driver.completions(RECEIVE)] == [(ChmStatus.OK, 4)]
    with driver.device.arm(fault):
        connection.receive(b"pool")
    driver.poll()
    assert connection.data == b""
    driver.rig[0].start()
    driver.start_pool(0)
    driver.poll()
    assert connection.data == b"pool"


@pytest.mark.requirement("CHM-60")
def test_many_connections_take_turns() -> None:
    """None of them waits for the pool of another pair, nor for one that is starved."""
    with Driver(pairs=2, pool_count=64) as driver:
        write_table(driver, 0, 1)
        driver.take()
        path = driver.path()
        connections = [
            driver.connect(path, remote_port=50000 + n, hash_value=n, queue=n % 2) for n in range(12)
        ]
        driver.rig.put(BAR0.CHQ_POOL_CTRL, 0, 1)
        for connection in connections:
            connection.send(b"x")
            connection.peer.ack += 1
            connection.receive(b"hello")
        driver.poll()
        assert [bytes(each.data) for each in connections] == [b"hello", b""] * 6
        assert sum(entry.count for entry in driver.completions(SEND)) == 12
        driver.start_pool(1)
        driver.poll()
        assert [bytes(each.data) for each in connections] == [b"hello"] * 12


# -- reasons ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-62")
def test_of_mandatory_reasons_there_is_one(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(b"urgent", flags=ACK | URG, urgent=3)
    driver.invalidate(ChmObject.TCP, connection.handle)
    driver.invalidate(ChmObject.TCP, connection.handle)
    driver.advance(10_000_000_000)
    assert driver.reasons() == [ChmReason.RECEIVED_URGENT_DATA]
    assert driver.stat("UPLOADS_ASKED") == 1


@pytest.mark.requirement("CHM-62", "CHM-41")
def test_timeouts_in_a_row_ask_for_an_upload(driver: Driver) -> None:
    """TcpDoubtReachabilityRetransmissions comes before TcpMaximumRetransmissions."""
    connection = driver.connect()
    connection.send(b"nobody hears")
    for _ in range(60):
        driver.advance(1_000_000_000)
    assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED]


# -- fences ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-61", "INV-55", "INV-57")
def test_a_commit_moves_connections_behind_a_fence() -> None:
    with Driver(pairs=4) as driver:
        write_table(driver, 0, 1, 2, 3)
        path = driver.path()
        connections = [driver.connect(path, remote_port=50000 + n, hash_value=n, queue=n) for n in range(4)]
        for connection in connections:
            connection.receive(b"old")
        driver.poll()
        driver.by_pair[:] = [[] for _ in range(4)]
        write_table(driver, 3, 2, 1, 0)
        for connection in connections:
            connection.receive(b"new", flags=ACK | PSH)
        driver.poll()
        generation = driver.rig.field(BAR0.RSS_STATUS, "GENERATION")
        for pair, entries in enumerate(driver.by_pair):
            fence, data = entries
            assert isinstance(fence, ChmFence)
            assert fence.generation == generation
            assert isinstance(data, ChmData)
            assert data.handle == connections[3 - pair].handle
        assert all(each.data == b"oldnew" for each in connections)


@pytest.mark.requirement("CHM-61")
def test_nothing_is_reported_until_every_fence_is_written() -> None:
    with Driver(pairs=2, cq_count=8) as driver:
        write_table(driver, 0, 1)
        path = driver.path()
        left, right = (driver.connect(path, remote_port=50000 + n, hash_value=n, queue=n) for n in range(2))
        driver.take()
        for n in range(20):  # the ring of pair 1 is full, and some of it waits
            right.receive(bytes([n]))
        left.receive(b"before")
        driver.by_pair[:] = [[], []]
        driver.poll_pair(0)
        assert left.data == b"before"
        write_table(driver, 1, 0)
        left.receive(b"behind")
        driver.poll_pair(0)
        assert left.data == b"before"
        assert [entry.type for entry in driver.by_pair[0][-1:]] == [CompletionType.CHM_FENCE]
        write_table(driver, 1, 1)  # both at once for the full ring
        for _ in range(30):
            driver.poll()
        fences = [[e.generation for e in entries if isinstance(e, ChmFence)] for entries in driver.by_pair]
        assert len(fences[0]) == 2
        assert fences[1] == fences[0][-1:]
        assert (bytes(left.data), bytes(right.data)) == (b"beforebehind", bytes(range(20)))
        for connection in (left, right):
            places = [
                pair
                for pair in range(2)
                for entry in driver.by_pair[pair]
                if isinstance(entry, ChmData) and entry.handle == connection.handle
            ]
            assert places[-1] == 1
        assert driver.stat("FENCES") == 2 + 3


@pytest.mark.requirement("CHM-61")
def test_a_ring_that_stops_holds_no_fence_up() -> None:
    with Driver(pairs=2, cq_count=8, manual=True) as driver:
        connection = driver.connect()
        write_table(driver, 0, 0)
        driver.rig.put(BAR0.QP_CQ_CTRL, 0, 1)
        connection.receive(b"x")
        driver.run()
        driver.poll()
        assert connection.data == b"x"
        assert driver.stat("FENCES") == 1


@pytest.mark.requirement("CHM-61")
def test_a_refused_commit_and_a_card_without_chimney_write_no_fence(driver: Driver) -> None:
    write_table(driver, 9)
    assert driver.stat("FENCES") == 0
    driver.switch_off()
    write_table(driver, 0)
    driver.poll()
    assert driver.stat("FENCES") == 0


@pytest.mark.requirement("CHM-61", "CHM-60", "INV-55")
@pytest.mark.parametrize("seed", range(6))
def test_order_holds_across_changes_of_the_table(seed: int) -> None:
    """Random tables, traffic and polls: by the driver's rule about fences every stream stays in order."""
    random = Random(seed)
    with Driver(pairs=3, cq_count=8, pool_count=64, manual=True) as driver:
        write_table(driver, 0, 1, 2, 0)
        driver.run()
        path = driver.path()
        connections = [
            driver.connect(path, remote_port=50000 + n, hash_value=n, queue=n % 3) for n in range(6)
        ]
        expected = {each.handle: bytearray() for each in connections}
        posted: dict[int, list[GuestBuffer]] = {each.handle: [] for each in connections}
        for _ in range(150):
            choice, connection = random.randrange(10), random.choice(connections)
            if choice < 5:
                payload = random.randbytes(random.randrange(1, 40))
                connection.receive(payload, flags=ACK | PSH)
                expected[connection.handle] += payload
            elif choice == 5:
                write_table(driver, *(random.randrange(3) for _ in range(4)))
            elif choice < 8:
                driver.poll_pair(random.randrange(3))
            else:
                driver.device.run()
            connection.credit(0)
        for _ in range(100):
            driver.run()
            driver.poll()
        for connection in connections:
            data = [
                (entry.data_count, entry.seq)
                for entries in driver.by_pair
                for entry in entries
                if isinstance(entry, ChmData) and entry.handle == connection.handle
            ]
            assert sorted(data) == sorted(data, key=lambda pair: pair[0])
            assert sum(1 for _ in data) >= 1 or not expected[connection.handle]
        in_order = merged(driver)
        assert {handle: in_order.get(handle, []) for handle in expected} == {
            handle: sorted(in_order.get(handle, [])) for handle in expected
        }
        assert sum(map(len, expected.values())) == driver.stat("POOL_BYTES")
        assert posted


def merged(driver: Driver) -> dict[int, list[int]]:
    """DATA_COUNTs by connection, for a driver that takes nothing behind a fence before it saw all of them."""
    queues = [list(entries) for entries in driver.by_pair]
    seen: dict[int, list[int]] = {}
    at_fence: list[int | None] = [None] * len(queues)
    while any(queues):
        moved = False
        for pair, entries in enumerate(queues):
            while entries and at_fence[pair] is None:
                entry = entries.pop(0)
                moved = True
                if isinstance(entry, ChmFence):
                    at_fence[pair] = entry.generation
                elif isinstance(entry, ChmData):
                    seen.setdefault(entry.handle, []).append(entry.data_count)
        if all(fence is not None for fence in at_fence):
            oldest = min(fence for fence in at_fence if fence is not None)
            at_fence = [None if fence == oldest else fence for fence in at_fence]
            moved = True
        if not moved:
            break
    assert not any(queues)
    return seen
