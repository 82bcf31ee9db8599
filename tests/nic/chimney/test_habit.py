"""Optional reasons: each at its threshold, once, never of a connection that one side has closed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.nic.chimney.driver import ESTABLISHED, Connection, Driver, pieces
from vnic.gen.enums import ChmReason, ChmSubmissionOp
from vnic.testbench.tcp_peer import IRS
from vnic.wire import packet

ACK, PSH, FIN, URG = packet.ACK, packet.PSH, packet.FIN, packet.URG
MS = 1_000_000
WINDOW = 256
PARAMETERS = {
    "OUT_OF_ORDER_RATE": 25, "DROP_RATE": 25, "SMALL_IO": 100, "UNPOSTED_BYTES": 1000, "IDLE_TICKS": 100,
    "FRAGMENTS": 3,
}  # fmt: skip


def made(*names: str, **config: Any) -> Driver:
    """A card with these parameters set, and no others."""
    return Driver(parameters={name: PARAMETERS[name] for name in names}, **config)


def still_works(connection: Connection) -> None:
    """Data comes and goes as before."""
    connection.driver.poll()
    had = bytes(connection.data)
    connection.credit()
    connection.receive(b"more", flags=ACK | PSH)
    connection.driver.poll()
    assert bytes(connection.data) == had + b"more"
    connection.sent()
    connection.send(b"answer")
    assert [s.payload for s in connection.sent() if s.payload] == [b"answer"]


# -- HIGH_OUT_OF_ORDER -------------------------------------------------------------------------------------


def take_swapped(connection: Connection, segments: int, swapped: int) -> None:
    """So many segments of a byte, of which `swapped` come before the one that precedes them."""
    for n in range(0, segments, 2):
        seq = connection.peer.seq
        if n < 2 * swapped:
            connection.receive(b"b", seq=seq + 1)
            connection.receive(b"a", seq=seq)
            connection.peer.seq = seq + 2
        else:
            connection.receive(b"a"), connection.receive(b"b")
        connection.driver.poll()
        connection.credit()


@pytest.mark.requirement("CHM-65", "CHM-64")
@pytest.mark.parametrize(("swapped", "asks"), [(63, False), (64, True)])
def test_data_out_of_order(swapped: int, asks: bool) -> None:
    with made("OUT_OF_ORDER_RATE") as driver:
        connection = driver.connect()
        take_swapped(connection, WINDOW - 2, swapped)
        assert driver.reasons() == []
        take_swapped(connection, 2, 0)
        assert driver.reasons() == [ChmReason.HIGH_OUT_OF_ORDER] * asks
        assert bytes(connection.data) == b"ab" * (WINDOW // 2)
        still_works(connection)


@pytest.mark.requirement("CHM-65")
def test_windows_are_apart_and_duplicates_are_no_data() -> None:
    with made("OUT_OF_ORDER_RATE") as driver:
        connection = driver.connect()
        for _ in range(2):
            take_swapped(connection, WINDOW, 63)
        for _ in range(WINDOW):
            connection.receive(b"a", seq=IRS)
        assert driver.reasons() == []


@pytest.mark.requirement("CHM-62", "CHM-65")
def test_a_reason_comes_once() -> None:
    with made("OUT_OF_ORDER_RATE") as driver:
        connection = driver.connect()
        for _ in range(3):
            take_swapped(connection, WINDOW, 128)
        assert driver.reasons() == [ChmReason.HIGH_OUT_OF_ORDER]
        assert driver.stat("UPLOADS_ASKED") == 1


# -- HIGH_DROP_RATE ----------------------------------------------------------------------------------------


def send_lossily(connection: Connection, packets: int, lost: int) -> None:
    """So many packets of a byte, the first transmission of `lost` of which nobody hears of."""
    again = 0
    while packets:
        connection.send(b"s")
        assert len(connection.sent()) == 1
        packets -= 1
        if again < lost:
            while not connection.sent():
                connection.driver.advance(100 * MS)
            again, packets = again + 1, packets - 1
        connection.peer.ack += 1
        connection.receive()
        connection.driver.poll()


@pytest.mark.requirement("CHM-66", "CHM-64")
@pytest.mark.parametrize(("lost", "asks"), [(63, False), (64, True)])
def test_data_sent_again(lost: int, asks: bool) -> None:
    with made("DROP_RATE") as driver:
        connection = driver.connect()
        send_lossily(connection, WINDOW - 1, lost)
        assert driver.reasons() == []
        send_lossily(connection, 1, 0)
        assert driver.stat("TCP4_RETRANSMITTED_SEGMENTS") == lost
        assert driver.reasons() == [ChmReason.HIGH_DROP_RATE] * asks
        still_works(connection)


# -- SMALL_IO ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-67", "CHM-64")
@pytest.mark.parametrize("large", [1, 100])
@pytest.mark.parametrize("receives", [True, False])
def test_small_requests(large: int, receives: bool) -> None:
    """64 requests, the last of which decides; those of 0 bytes and the pool's data are none."""
    with made("SMALL_IO", sq_count=256, chimney_work=256) as driver:
        connection = driver.connect()
        connection.receive(b"p" * 5000)
        driver.poll()
        request = connection.post if receives else lambda length: connection.send(bytes(length))
        for _ in range(63):
            request(100)
            connection.post(0)
        driver.poll()
        assert driver.reasons() == []
        request(large)
        assert driver.reasons() == [ChmReason.SMALL_IO] * (large < 100)
        assert connection.query().state == ESTABLISHED


@pytest.mark.requirement("CHM-67")
def test_one_huge_request_counts_for_what_can_be_counted() -> None:
    with Driver(parameters={"SMALL_IO": 1 << 24}, sq_count=256, chimney_work=256) as driver:
        connection = driver.connect(initial_rcv_wnd=1 << 20)
        for _ in range(63):
            connection.submit(*pieces(ChmSubmissionOp.RECEIVE, 1 << 20, 1 << 25))
        assert driver.reasons() == []
        connection.post(1)
        assert driver.reasons() == [ChmReason.SMALL_IO]


# -- NO_BUFFER_PREPOSTING ----------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-68", "CHM-64")
@pytest.mark.parametrize("posts", [True, False])
def test_data_without_receives(posts: bool) -> None:
    with made("UNPOSTED_BYTES") as driver:
        connection = driver.connect()
        connection.receive(bytes(999))
        driver.poll()
        assert driver.reasons() == []
        if posts:
            connection.post(10)
            connection.receive(bytes(10), flags=ACK | PSH)
        connection.receive(b"x")
        assert driver.reasons() == ([] if posts else [ChmReason.NO_BUFFER_PREPOSTING])
        still_works(connection)


# -- LOW_ACTIVITY ------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-69", "CHM-64")
def test_idle_connections() -> None:
    """At the second look of 100 ms; one that sends and one that takes data are not, an ACK is nothing."""
    with made("IDLE_TICKS") as driver:
        path = driver.path()
        idle, sends, takes = (driver.connect(path, remote_port=n) for n in (1, 2, 3))
        driver.advance(100 * MS)
        sends.send(b"s"), takes.receive(b"r"), idle.receive()
        driver.advance(100 * MS - 1)
        assert driver.reasons() == []
        driver.advance(1)
        (event,) = driver.events()
        assert (event.handle, event.reason) == (idle.handle, ChmReason.LOW_ACTIVITY)
        still_works(idle)
        driver.advance(1000 * MS)
        driver.advance(1000 * MS)
        assert sorted(event.handle for event in driver.events()) == sorted(
            c.handle for c in (idle, sends, takes)
        )


@pytest.mark.requirement("CHM-69")
def test_looks_end_when_nobody_is_left_to_be_asked_for_and_begin_anew() -> None:
    with made("IDLE_TICKS") as driver:
        path = driver.path()
        assert driver.device.next_deadline_ns() is None
        first = driver.connect(path, remote_port=1)
        driver.advance(50 * MS)
        asked = [first.handle]
        for port in (2, 3):
            for _ in range(9):
                driver.advance(100 * MS)
            assert [event.handle for event in driver.events()] == asked
            assert driver.device.next_deadline_ns() is None
            asked.append(driver.connect(path, remote_port=port).handle)
            assert driver.device.next_deadline_ns() == driver.device.now_ns + 100 * MS


@pytest.mark.requirement("CHM-69", "RUN-4")
def test_a_look_at_many_takes_several_steps() -> None:
    with made("IDLE_TICKS", manual=True, connections=400, sq_count=8) as driver:
        driver.run()
        path = driver.path()
        handles = [driver.connect(path, remote_port=n + 1).handle for n in range(200)]
        driver.advance(100 * MS)
        driver.take()
        driver.device.advance(driver.device.now_ns + 100 * MS)
        assert driver.device.run().steps > 200
        for _ in range(10):
            driver.run()
            driver.poll()
        assert sorted(event.handle for event in driver.events()) == sorted(handles)
        assert driver.reasons() == [ChmReason.LOW_ACTIVITY] * 200


# -- HIGH_FRAGMENTATION ------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-51", "CHM-64")
@pytest.mark.parametrize("version", [4, 6])
def test_first_fragments(version: int) -> None:
    with made("FRAGMENTS") as driver:
        connection = driver.connect(version=version)
        other = driver.connect(version=version, path=None, remote_port=40001)
        driver.take()
        for n in range(1, 5):
            sent = connection.peer.fragments()
            for frame in sent:
                driver.rig.inject(frame)
            driver.poll()
            assert [frame.data for frame in driver.frames[-2:]] == sent
            assert driver.reasons() == [ChmReason.HIGH_FRAGMENTATION] * (n >= 3)
        assert {event.handle for event in driver.events()} == {connection.handle}
        assert other.query().rcv_nxt == IRS
        assert driver.stat(f"IP{version}_IN_RECEIVES") == 0
        still_works(connection)


@pytest.mark.requirement("CHM-51")
@pytest.mark.parametrize("spoil", ["port", "checksum", "tag", "host", "cut"])
def test_fragments_of_others(spoil: str) -> None:
    with made("FRAGMENTS") as driver:
        connection = driver.connect()
        frame = bytearray(connection.peer.fragments()[0])
        if spoil == "port":
            frame[34] ^= 1
        elif spoil == "checksum":
            frame[24] ^= 1
        elif spoil == "tag":
            frame[12:12] = b"\x88\xa8\0\1"
        elif spoil == "host":
            frame[0] |= 1
        else:
            del frame[36:]
        for _ in range(4):
            driver.rig.inject(bytes(frame))
        assert driver.reasons() == []


# -- all of them -------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-64")
def test_nothing_is_asked_by_default() -> None:
    with Driver(sq_count=256) as driver:
        connection = driver.connect()
        take_swapped(connection, WINDOW, 128)
        for _ in range(64):
            connection.post(1, data_count=WINDOW)
        for frame in connection.peer.fragments() * 9:
            driver.rig.inject(frame)
        driver.advance(10**12)
        assert driver.reasons() == []


def ask(connection: Connection, reason: ChmReason) -> None:
    """Whatever makes the card ask for this reason."""
    if reason == ChmReason.NO_BUFFER_PREPOSTING:
        connection.receive(bytes(1000))
    elif reason == ChmReason.HIGH_FRAGMENTATION:
        for _ in range(3):
            connection.driver.rig.inject(connection.peer.fragments()[0])
    else:
        connection.driver.advance(100 * MS)
        connection.driver.advance(100 * MS)


ASKED = [ChmReason.NO_BUFFER_PREPOSTING, ChmReason.HIGH_FRAGMENTATION, ChmReason.LOW_ACTIVITY]


@pytest.mark.requirement("CHM-64")
@pytest.mark.parametrize("reason", ASKED)
@pytest.mark.parametrize("closer", ["host", "peer"])
def test_of_a_half_closed_one_nothing_is_asked(reason: ChmReason, closer: str) -> None:
    """Conflict C1: a mandatory reason still is."""
    with made(*PARAMETERS) as driver:
        connection = driver.connect()
        if closer == "host":
            connection.disconnect()
        else:
            connection.receive(flags=ACK | FIN)
        ask(connection, reason)
        assert driver.reasons() == []
        connection.receive(b"u", flags=ACK | URG, urgent=1)
        assert driver.reasons() == [ChmReason.RECEIVED_URGENT_DATA] * (closer == "host")


@pytest.mark.requirement("CHM-64", "CHM-46")
def test_what_waits_is_forgotten_when_a_side_closes() -> None:
    with made("FRAGMENTS", manual=True) as driver:
        driver.run()
        connection = driver.connect()
        driver.take()
        ask(connection, ChmReason.HIGH_FRAGMENTATION)
        connection.receive(flags=ACK | FIN)
        driver.run()
        assert driver.reasons() == []
        assert len(driver.events()) == 1
        assert driver.stat("UPLOADS_ASKED") == 0


@pytest.mark.requirement("CHM-62", "CHM-64")
@pytest.mark.parametrize("is_mandatory", [True, False])
def test_two_reasons_at_once(is_mandatory: bool) -> None:
    """A mandatory one takes the place of the one that waits; another one comes when it arises again."""
    with made(*PARAMETERS, manual=True) as driver:
        driver.run()
        connection = driver.connect()
        driver.take()
        ask(connection, ChmReason.HIGH_FRAGMENTATION)
        if is_mandatory:
            connection.receive(b"u", flags=ACK | URG, urgent=1)
        else:
            connection.receive(bytes(1000))
        driver.run()
        if is_mandatory:
            assert driver.reasons() == [ChmReason.RECEIVED_URGENT_DATA]
        else:
            assert driver.reasons() == [ChmReason.HIGH_FRAGMENTATION]
            connection.receive(bytes(1000))
            driver.run()
            assert driver.reasons()[1:] == [ChmReason.NO_BUFFER_PREPOSTING]


@pytest.mark.requirement("CHM-64", "CHM-80")
@pytest.mark.parametrize("seed", range(4))
def test_counts_survive_a_snapshot(seed: int) -> None:
    """The same life, saved and loaded at random points or not: the same reasons, the same card."""
    ends = []
    for restores in (False, True):
        random, chance = Random(seed), Random(seed + 100)
        with made(*PARAMETERS, sq_count=256, chimney_work=256) as driver:
            connection = driver.connect()
            for _ in range(500):
                match random.randrange(5):
                    case 0:
                        take_swapped(connection, 2, random.randrange(2))
                    case 1:
                        connection.send(bytes(random.randrange(1, 150)))
                        connection.peer.ack = connection.query().snd_nxt
                        connection.receive()
                    case 2:
                        connection.driver.rig.inject(connection.peer.fragments()[0])
                    case 3:
                        driver.advance(random.randrange(80 * MS))
                    case _:
                        take_swapped(connection, 6, 0)
                driver.poll()
                if restores and chance.random() < 0.2:
                    driver.device.load(driver.device.save())
            ends.append((driver.reasons(), driver.device.state_hash()))
    assert ends[0] == ends[1]
    assert len(ends[0][0]) >= 2
