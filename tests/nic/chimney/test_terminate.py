"""TERMINATE of a connection: what it owes, delivers, writes and gives back, at whatever moment it comes."""

from __future__ import annotations

import random

import pytest

from tests.nic.chimney.driver import Connection, Driver
from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.gen.descriptors import ChmAdminCompletion, ChmCommand, ChmData
from vnic.gen.enums import ChmEvent, ChmObject, ChmOp, ChmStatus, CompletionType
from vnic.gen.registers import BAR0
from vnic.host.memory import GuestBuffer
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

CLOSED = 0


@pytest.mark.requirement("CHM-7")
def test_an_ack_that_is_owed_leaves_first() -> None:
    """The delayed ACK timer is not handed over; without a debt nothing is sent."""
    with Driver() as driver:
        connection = driver.connect()
        connection.receive(b"unanswered")
        assert connection.sent() == []
        _, image = connection.terminate()
        (owed,) = connection.sent()
        assert (owed.seq, owed.ack, owed.flags, owed.payload) == (ISS, IRS + 10, packet.ACK, b"")
        assert image.rcv_nxt == IRS + 10
        other = driver.connect()
        other.terminate()
        assert other.sent() == []


@pytest.mark.requirement("CHM-7")
def test_the_plain_way_afterwards() -> None:
    """Segments that come behind TERMINATE are the host's, unchanged, and not answered."""
    with Driver(manual=True, pool_posted=0) as driver:
        driver.run()
        connection = driver.connect()
        connection.receive(b"taken")
        driver.run()
        driver.command(_ending(driver, connection))
        driver.run()
        assert driver.stat("CONNECTIONS") == 1
        late = connection.peer.frame(b"late", seq=connection.peer.seq)
        driver.rig.inject(late)
        driver.run()
        driver.poll()
        (frame,) = driver.frames
        assert frame.data == late
        driver.post_pool(0, driver.pool_buffers[0].address)
        driver.run()
        driver.poll()
        (done,) = [e for e in driver.entries if isinstance(e, ChmAdminCompletion) and e.op == ChmOp.TERMINATE]
        assert (done.status, bytes(connection.data), driver.stat("CONNECTIONS")) == (
            ChmStatus.OK,
            b"taken",
            0,
        )


def _ending(driver: Driver, connection: Connection) -> bytes:
    driver.cookie += 1
    return ChmCommand(
        op=ChmOp.TERMINATE,
        object=ChmObject.TCP,
        handle=connection.handle,
        out_addr=driver.image_memory.address + 1024,
        out_len=160,
        cookie=driver.cookie,
    ).pack()


@pytest.mark.requirement("CHM-7", "CHM-60")
def test_data_comes_before_the_completion() -> None:
    """All in order goes to the pool, though a receive is posted; what is out of order has never been."""
    with Driver(pool_len=100, pool_count=64) as driver:
        connection = driver.connect()
        driver.keeps_pool = True
        connection.receive(bytes(range(250)) * 2)
        connection.receive(b"a hole before", seq=connection.peer.seq + 1)
        driver.take()
        connection.post(10, data_count=77)
        done, image = connection.terminate()
        entries = [entry for entry in driver.take() if entry.type != CompletionType.CHM_RECEIVE]
        assert [type(entry) for entry in entries] == [ChmAdminCompletion]
        assert connection.data == bytes(range(250)) * 2
        assert (image.rcv_nxt, image.receive_backlog_size) == (IRS + 500, 500)
        assert (done.placed, done.acked) == (0, 0)
        assert driver.stat("FREE_BLOCKS") == driver.stat("MAX_BLOCKS")
        assert driver.stat("FREE_NODES") == driver.stat("MAX_NODES")


@pytest.mark.requirement("CHM-7", "CHM-42")
def test_it_waits_for_buffers() -> None:
    with Driver(pool_len=64, pool_posted=2) as driver:
        driver.keeps_pool = True
        connection = driver.connect()
        connection.receive(bytes(300))
        driver.poll()
        driver.command(_ending(driver, connection))
        assert driver.stat("CONNECTIONS") == 1
        while driver.stat("CONNECTIONS"):
            driver.poll()
            driver.post_pool(0, driver.pool_buffers[0].address)
        driver.poll()
        entries = [entry for entry in driver.entries if isinstance(entry, ChmData)]
        assert [entry.len for entry in entries] == [64, 64, 64, 64, 44]
        assert connection.data == bytes(300)


@pytest.mark.requirement("CHM-7")
def test_what_is_left_of_requests() -> None:
    """PLACED and ACKED say how much of the first receive and send is done, over all their pieces."""
    with Driver() as driver:
        connection = driver.connect()
        connection.send(b"done")
        connection.send(bytes(300), cuts=(100, 100))
        connection.send(bytes(50))
        buffer = connection.post(200, cuts=(30, 30), no_push=1)
        connection.post(100)
        connection.receive(bytes(range(70)), ack=ISS + 4 + 150)
        driver.take()
        done, image = connection.terminate()
        assert (done.placed, done.acked) == (70, 150)
        assert bytes(buffer.view[:71]) == bytes(range(70)) + b"\xee"
        assert (image.snd_una, image.send_backlog_size) == (ISS + 154, 200)
        assert image.receive_backlog_size == 0
        assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")


@pytest.mark.requirement("CHM-7", "CHM-47")
def test_after_a_reset_it_is_closed() -> None:
    with Driver() as driver:
        connection = driver.connect()
        connection.send(b"never acknowledged")
        driver.rig.inject(connection.peer.frame(flags=packet.RST))
        assert [entry.event for entry in driver.events()] == [ChmEvent.ABORT]
        connection.sent()
        _, image = connection.terminate()
        assert image.state == CLOSED
        assert connection.sent() == []


@pytest.mark.requirement("CHM-7", "CHM-24")
def test_after_an_abortive_disconnect_it_is_closed() -> None:
    with Driver() as driver:
        connection = driver.connect()
        connection.post(10)
        connection.receive(bytes(5))
        connection.disconnect(abortive=1)
        assert connection.sent()[-1].flags & packet.RST
        _, image = connection.terminate()
        assert (image.state, driver.stat("FREE_WORK")) == (CLOSED, driver.stat("MAX_WORK"))


@pytest.mark.requirement("CHM-7", "CHM-3")
def test_an_image_that_cannot_be_written() -> None:
    """It stays, silent, and can be terminated again; nothing is lost by it."""
    with Driver() as driver:
        connection = driver.connect(sends=[b"unsent"], snd_wnd=0)
        fault = Fault(
            site=FaultSite.DMA_WRITE,
            action=FaultAction.ERROR,
            index=DmaPurpose.STATE,
            argument=DmaStatus.ABORTED,
        )
        with driver.device.arm(fault):
            done, _ = driver.read_out(ChmOp.TERMINATE, ChmObject.TCP, connection.handle)
        assert (done.status, driver.stat("CONNECTIONS")) == (ChmStatus.DMA, 1)
        connection.receive(window=65535)
        driver.advance(10_000_000_000)
        assert connection.sent() == []
        driver.take()
        _, image = connection.terminate()
        assert (image.send_backlog_size, driver.stat("FREE_WORK")) == (6, driver.stat("MAX_WORK"))


@pytest.mark.requirement("CHM-7")
@pytest.mark.parametrize("open_", [False, True])
def test_a_link_that_takes_nothing(open_: bool) -> None:
    """Down: what is owed is lost like any frame, nobody waits. Slow: it is waited for."""
    with Driver(manual=True, tx_buffer_bytes=1 << 16) as driver:
        driver.run()
        connection, filler = driver.connect(), driver.connect(remote_port=2, cwnd=1 << 20, snd_wnd=1 << 20)
        connection.receive(b"unanswered")
        driver.run()
        if open_:
            filler.send(bytes(1 << 18))
            driver.run()
        else:
            driver.device.set_link(0)
        driver.command(_ending(driver, connection))
        driver.run()
        assert driver.stat("CONNECTIONS") == 1 + open_
        sent = connection.sent()
        driver.run()
        sent += connection.sent()
        assert driver.stat("CONNECTIONS") == 1
        owed = [segment for segment in sent if segment.destination_port == connection.peer.ports[0]]
        assert [segment.ack for segment in owed] == ([IRS + 10] if open_ else [])


@pytest.mark.requirement("CHM-7", "CHM-9")
@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_doubled(seed: int) -> None:
    """Random traffic cut off at a random step: bytes received are placed, pooled or not acknowledged."""
    chance = random.Random(seed)
    with Driver(manual=True, pool_len=256) as driver:
        driver.run()
        connection = driver.connect()
        driver.rig.sent()
        came, queued = b"", 0
        posted: list[GuestBuffer] = []
        for _ in range(chance.randrange(1, 25)):
            match chance.randrange(3):
                case 0:
                    payload = chance.randbytes(chance.randrange(1, 1460))
                    if len(came) + len(payload) < 60000:
                        connection.receive(payload, flags=packet.ACK | chance.choice((0, packet.PSH)))
                        came += payload
                case 1:
                    length = chance.randrange(1, 4000)
                    connection.send(chance.randbytes(length))
                    queued += length
                case _:
                    posted.append(connection.post(chance.randrange(1, 3000)))
            for _ in range(chance.randrange(30)):
                ready = driver.device.runnable
                if not ready:
                    break
                driver.device.step(chance.choice(list(ready)))
            driver.poll()
        done, image = connection.terminate()
        placed = b""
        order = iter(posted)
        for entry in driver.completions(CompletionType.CHM_RECEIVE):
            for _ in range(entry.count):
                buffer = next(order)
                if entry.status == ChmStatus.OK:
                    placed += bytes(buffer.view[: entry.bytes])
                else:
                    assert entry.status == ChmStatus.LATE
        if done.placed:
            placed += bytes(next(order).view[: done.placed])
        got = image.rcv_nxt - IRS
        assert len(placed) + len(connection.data) == got
        assert sorted(placed + connection.data) == sorted(came[:got])
        assert image.receive_backlog_size == len(connection.data)
        assert image.snd_una - ISS + image.send_backlog_size <= queued
        assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")
        assert driver.stat("FREE_BLOCKS") == driver.stat("MAX_BLOCKS")
        assert driver.rig.get(BAR0.CHM_CONNECTIONS) == 0
