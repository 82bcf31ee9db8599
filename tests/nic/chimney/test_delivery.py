"""Whatever arrives in whatever order, however it is fetched: the stream, each byte once, none unaccounted."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nic.chimney.driver import Connection, Driver
from vnic.fuzz.effort import examples
from vnic.gen.descriptors import ChmCompletion, ChmData
from vnic.gen.enums import ChmStatus, CompletionType
from vnic.gen.registers import BAR0
from vnic.host.memory import GuestBuffer
from vnic.testbench.tcp_peer import IRS
from vnic.wire import packet

ACK, PSH, FIN = packet.ACK, packet.PSH, packet.FIN
MODULUS = 1 << 32
#: Answers of the card that mean that a receive was not taken.
NOT_TAKEN = (ChmStatus.LATE, ChmStatus.AFTER_FIN)


class Reader:
    """A driver's receive side: pool data and complete receives, in entry order, are the stream.

    None is posted behind one that will come back LATE.
    """

    def __init__(self, driver: Driver, connection: Connection) -> None:
        self.driver, self.connection = driver, connection
        self.stream = bytearray()
        self.posted: list[GuestBuffer] = []
        self.taken = 0
        self.uncredited = 0

    def post(self, length: int, cuts: tuple[int, ...], no_push: int) -> None:
        if self.posted and self.taken != len(self.connection.data):
            return
        self.posted.append(self.connection.post(length, cuts=cuts, no_push=no_push))

    def poll(self) -> None:
        for entry in self.driver.poll():
            if isinstance(entry, ChmData):
                self.take_data(entry)
            elif isinstance(entry, ChmCompletion) and entry.type == CompletionType.CHM_RECEIVE:
                self.take_receive(entry)

    def take_data(self, entry: ChmData) -> None:
        data = self.connection.data
        assert entry.data_count == self.taken + entry.len
        assert entry.seq == (IRS + len(self.stream)) % MODULUS
        self.stream += data[self.taken : self.taken + entry.len]
        self.taken += entry.len
        self.uncredited += entry.len

    def take_receive(self, entry: ChmCompletion) -> None:
        buffer = self.posted.pop(0)
        if entry.status == ChmStatus.LATE:
            assert entry.data_count >= self.taken
            assert entry.bytes == 0
            return
        assert entry.status in (ChmStatus.OK, ChmStatus.AFTER_FIN)
        self.stream += bytes(buffer.view[: entry.bytes])

    def credit(self, count: int) -> None:
        self.connection.credit(min(count, self.uncredited))
        self.uncredited -= min(count, self.uncredited)


def play(driver: Driver, reader: Reader, random: Random, source: bytes, steps: int) -> int:
    """Random segments of the source, receives, polls, credit and time; how much the card acknowledged."""
    connection, acked, edge = reader.connection, 0, 65535
    for _ in range(steps):
        for sent in connection.sent():
            acked = max(acked, (sent.ack - IRS) % MODULUS)
            edge = max(edge, acked + sent.window)
        choice = random.randrange(12)
        if choice < 6:
            at = acked + random.choice((0, 0, 0, random.randrange(4000), -random.randrange(100)))
            at = max(0, min(at, len(source)))
            count = min(random.choice((1, 100, 536, 1460)), len(source) - at)
            flags = ACK | random.choice((0, 0, PSH))
            connection.receive(source[at : at + count], seq=(IRS + at) % MODULUS, flags=flags)
        elif choice < 8:
            length = random.choice((0, 1, 10, 1000, 3000))
            cuts = tuple(random.randrange(length + 1) for _ in range(random.randrange(3)))
            reader.post(length, cuts if sum(cuts) <= length else (), random.randrange(2))
        elif choice < 10:
            reader.poll()
        elif choice == 10:
            reader.credit(random.randrange(5000))
        else:
            driver.advance(random.choice((1000, 40_000_000, 700_000_000)))
    return acked


@pytest.mark.requirement("CHM-7", "CHM-42", "CHM-43", "CHM-44", "CHM-45", "INV-20", "INV-22")
@examples(12)
@given(
    seed=st.integers(0, MODULUS - 1), cq_count=st.sampled_from((8, 64)), pool_len=st.sampled_from((64, 2048))
)
def test_the_stream_arrives_whole(seed: int, cq_count: int, pool_len: int) -> None:
    random = Random(seed)
    source = random.randbytes(60_000)
    with Driver(cq_count=cq_count, pool_len=pool_len) as driver:
        connection = driver.connect()
        driver.take()
        reader = Reader(driver, connection)
        play(driver, reader, random, source, 120)
        for _ in range(200):
            reader.poll()
        assert reader.stream == source[: len(reader.stream)]
        driver.entries.clear()
        before = len(connection.data)
        done, image = connection.terminate()
        received = (image.rcv_nxt - IRS) % MODULUS
        partial = bytes(reader.posted[0].view[: done.placed]) if done.placed else b""
        assert bytes(reader.stream) + partial + bytes(connection.data[before:]) == source[:received]
        assert driver.stat("PLACED_BYTES") + driver.stat("POOL_BYTES") == received
        assert driver.rig.get(BAR0.CHM_FREE_BLOCKS) == driver.rig.get(BAR0.CHM_MAX_BLOCKS)
        assert driver.rig.get(BAR0.CHM_FREE_WORK) == driver.rig.get(BAR0.CHM_MAX_WORK)


@pytest.mark.requirement("CHM-45")
@examples(6)
@given(seed=st.integers(0, MODULUS - 1))
def test_the_right_edge_never_moves_back(seed: int) -> None:
    random = Random(seed)
    source = random.randbytes(60_000)
    with Driver() as driver:
        connection = driver.connect(initial_rcv_wnd=8000, rcv_wnd=8000)
        reader, edge, at = Reader(driver, connection), IRS + 8000, 0
        for _ in range(60):
            count = min(random.choice((1, 536, 1460)), edge - IRS - at)
            connection.receive(source[at : at + count], seq=IRS + at, flags=ACK | PSH)
            at += count
            if random.random() < 0.4:
                reader.poll()
                reader.credit(random.randrange(4000))
            if random.random() < 0.3:
                reader.post(random.randrange(3000), (), 0)
            for sent in connection.sent():
                assert sent.ack + sent.window >= edge
                edge = sent.ack + sent.window
        assert edge > IRS + 8000
