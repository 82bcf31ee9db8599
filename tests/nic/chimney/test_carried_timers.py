"""Timestamps and the persist timer of an offloaded connection: the guide's numbers, over both moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise

import pytest

from tests.nic.chimney.driver import Connection, Driver, tcp_image
from vnic.gen.descriptors import ChmEventEntry
from vnic.gen.enums import ChmEvent, ChmReason
from vnic.ndis.chimney import TIMER_STOPPED, TcpConstFlag

MS = 1_000_000
PEER_CLOCK = 77_000


@pytest.fixture
def driver() -> Iterator[Driver]:
    """With ticks of a millisecond."""
    with Driver(parameters={"TICKS_PER_SECOND": 1000}) as driver:
        yield driver


def until(driver: Driver, ms: int) -> None:
    """The card's clock reads this."""
    driver.advance(ms * MS - driver.device.now_ns)


def stamps(options: bytes) -> tuple[int, int]:
    """TSval and TSecr of a segment's options."""
    while options:
        kind = options[0]
        if kind == 8:
            return int.from_bytes(options[2:6]), int.from_bytes(options[6:10])
        options = options[1 if kind == 1 else options[1] :]
    raise AssertionError("a segment without timestamps")


def echo(connection: Connection, value: int, acked: int) -> None:
    """The peer acknowledges and echoes a TSval."""
    connection.peer.ack = (connection.peer.ack + acked) % (1 << 32)
    option = b"\1\1\x08\x0a" + PEER_CLOCK.to_bytes(4) + value.to_bytes(4)
    connection.receive(options=option)


def tsval(connection: Connection) -> int:
    """TSval of one byte, sent now."""
    connection.send(b"x")
    (segment,) = connection.sent()
    return stamps(segment.options)[0]


@pytest.mark.requirement("INV-47")
def test_the_worked_examples_of_timestamps(driver: Driver) -> None:
    flags = TcpConstFlag.TIMESTAMP_ENABLED
    until(driver, 200)
    connection = driver.connect(const_flags=flags, ts_time=100, ts_recent=PEER_CLOCK)
    assert tsval(connection) == 100  # NicDelta is -100
    until(driver, 205)
    echo(connection, 100, 1)
    assert connection.query().srtt == 5 * 8
    until(driver, 210)
    assert tsval(connection) == 110
    echo(connection, 110, 1)
    until(driver, 250)
    _, image = connection.terminate()
    assert image.ts_time == 150
    until(driver, 320)
    image = replace(image, ts_time=350, srtt=0, rtt_var=0)
    again = driver.connect(**asdict(image))
    assert tsval(again) == 350  # NicDelta is 30
    until(driver, 325)
    echo(again, 350, 1)
    assert again.query().srtt == 5 * 8


@pytest.mark.requirement("INV-47")
@pytest.mark.parametrize("start", [0, 1000, (1 << 32) - 60])
def test_tsval_never_goes_back(driver: Driver, start: int) -> None:
    """Away and back ten times; the host's clock runs fast, slow, or stands."""
    flags = TcpConstFlag.TIMESTAMP_ENABLED
    image = tcp_image(const_flags=flags, ts_time=start, ts_recent=PEER_CLOCK)
    last = start - 1
    for passed in (0, 1, 5, 40, 0, 3, 17, 90, 2, 1):
        connection = driver.connect(**asdict(image))
        value = tsval(connection)
        assert 0 < (value - last) % (1 << 32) < 1 << 31 or value == last % (1 << 32)
        driver.advance((passed + 1) * MS)
        echo(connection, value, 1)
        last = value
        _, image = connection.terminate()
        assert (image.ts_time - value) % (1 << 32) == passed + 1
        image = replace(image, ts_time=(image.ts_time + passed) % (1 << 32))


def probe_times(driver: Driver, connection: Connection, count: int) -> list[int]:
    """When the card sends its next segments, in ms from now; every one alone."""
    found: list[int] = []
    began = driver.device.now_ns
    while len(found) < count:
        deadline = driver.device.next_deadline_ns()
        assert deadline is not None
        driver.advance(deadline - driver.device.now_ns)
        sent = connection.sent()
        if sent:
            assert len(sent) == 1
            found.append((driver.device.now_ns - began) // MS)
    return found


@pytest.mark.requirement("INV-48")
def test_the_persist_interval_doubles_each_round(driver: Driver) -> None:
    connection = driver.connect(snd_wnd=0, srtt=50 * 8, rtt_var=25 * 4)
    connection.peer.window = 0
    connection.send(b"waiting")
    waited = []
    for round_ in range(1, 6):
        (interval,) = probe_times(driver, connection, 1)
        waited.append(interval)
        connection.receive()  # the window is still shut
        assert connection.query().snd_wnd_probe_count == round_
        assert connection.query().retransmit_count == 0
    assert [later / earlier for earlier, later in pairwise(waited)] == [2.0] * 4
    connection.peer.window = 100
    connection.receive()
    sent = connection.sent()
    assert sent[0].seq == connection.peer.ack
    assert b"".join(each.payload for each in sent) == b"waiting", sent
    assert connection.query().snd_wnd_probe_count == 0


@pytest.mark.requirement("INV-48")
def test_the_round_goes_with_the_connection(driver: Driver) -> None:
    connection = driver.connect(snd_wnd=0, srtt=50 * 8, rtt_var=25 * 4)
    connection.peer.window = 0
    connection.send(b"waiting")
    first, second = 0, 0
    for _ in range(2):
        first, second = second, probe_times(driver, connection, 1)[0]
        connection.receive()
    done, image = connection.terminate()
    assert (image.snd_wnd_probe_count, image.retransmit_count) == (2, 0)
    assert image.retransmit_timeout_delta not in (0, TIMER_STOPPED)
    again = driver.connect(sends=[b"waiting"], **asdict(image))
    (third,) = probe_times(driver, again, 1)
    assert (second, third) == (2 * first, 4 * first)
    assert done.acked == 0


@pytest.mark.requirement("INV-48")
@pytest.mark.parametrize("limit", [1, 3])
def test_unanswered_probes_end_with_a_time_out(limit: int) -> None:
    with Driver(parameters={"MAX_RETRANSMISSIONS": limit}) as driver:
        connection = driver.connect(snd_wnd=0, srtt=50 * 8, rtt_var=25 * 4)
        connection.peer.window = 0
        connection.send(b"waiting")
        times: list[int] = []
        while (deadline := driver.device.next_deadline_ns()) is not None:
            driver.advance(deadline - driver.device.now_ns)
            times += [driver.device.now_ns // MS for _ in connection.sent()]
        gaps = [later - earlier for earlier, later in pairwise([0, *times])]
        assert gaps == [gaps[0] << count for count in range(limit)]
        driver.poll()
        events = [entry for entry in driver.entries if isinstance(entry, ChmEventEntry)]
        assert [(each.event, each.reason) for each in events] == [
            (ChmEvent.RETRIEVE, ChmReason.TIMEOUT_EXPIRATION)
        ]
        assert connection.sent() == []
