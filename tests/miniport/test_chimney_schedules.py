"""Races between processors on offloaded connections: seeded schedules and moving indirection tables."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings

from tests.miniport.chimney_bench import ChimneyBench
from vnic.gen.registers import BAR0
from vnic.ndis.net_buffer_list import walk
from vnic.testbench.chimney.blocks import EVENT, OK, UPLOAD, bytes_of, tcp
from vnic.testbench.chimney.connection import Connection
from vnic.wire import packet

PUSH = packet.ACK | packet.PSH
HASHES = (0, 1, 2, 3, 5, 6)
SMALL = {"chimney_work": 64}
#: Some in every run, a thousand in the nightly one.
SCHEDULES = 24 if settings().max_examples <= 100 else 1000


class Turmoil:
    """Random doings on several connections, each of whose streams is known."""

    def __init__(self, bench: ChimneyBench, choose: random.Random) -> None:
        self.bench = bench
        self.choose = choose
        self.given: dict[Connection, bytes] = {}
        self.taken: dict[Connection, bytes] = {}
        self.posted: dict[Connection, bytes] = {}
        for each in bench.connect(*[tcp(40000 + n, value) for n, value in enumerate(HASHES)]):
            self.given[each] = self.taken[each] = self.posted[each] = b""
        bench.client.accepts = self.accept

    def accept(self, data: bytes) -> int | None:
        """All, some or nothing."""
        return self.choose.choice([None, None, None, 0, 1, len(data) // 2])

    def step(self) -> None:
        """One thing happens."""
        connection = self.choose.choice(list(self.given))
        doing = self.choose.choice(
            [self.arrive, self.arrive, self.send, self.post, self.acknowledge, self.move]
        )
        doing(connection)
        if self.choose.random() < 0.3:
            self.bench.settle()

    def arrive(self, connection: Connection) -> None:
        """Data from the peer."""
        data = self.choose.randbytes(self.choose.choice([1, 30, 400, 1400]))
        if len(self.given[connection]) - len(connection.stream) + len(data) > 60000:
            return
        self.given[connection] += data
        connection.receive(data, flags=self.choose.choice([PUSH, packet.ACK]), settles=False)

    def send(self, connection: Connection) -> None:
        """Data of the host, in one or several NBLs."""
        parts = [
            self.choose.randbytes(self.choose.randrange(1, 900)) for _ in range(self.choose.randrange(1, 4))
        ]
        self.posted[connection] += b"".join(parts)
        with self.bench.processors.on(self.choose.randrange(4)):
            connection.send(*parts, cuts=(1,) if min(map(len, parts)) > 1 else (), settles=False)

    def post(self, connection: Connection) -> None:
        """Receives, some of no bytes."""
        lengths = [self.choose.choice([0, 1, 50, 3000]) for _ in range(self.choose.randrange(1, 4))]
        with self.bench.processors.on(self.choose.randrange(4)):
            connection.post(*lengths, no_push=self.choose.random() < 0.2, settles=False)

    def acknowledge(self, connection: Connection) -> None:
        """The peer takes what came, and says so."""
        data = b""
        for each in connection.sent():
            if each.seq == connection.peer.ack:
                data += each.payload
                connection.peer.ack = (connection.peer.ack + len(each.payload)) % (1 << 32)
        self.taken[connection] += data
        connection.receive(settles=False)

    def move(self, _: Connection) -> None:
        """Another indirection table."""
        if self.choose.random() < 0.4:
            table = tuple(self.choose.randrange(4) for _ in range(8))
            assert self.bench.set_rss(table) == OK

    def finish(self) -> None:
        """Everything arrives: what is refused is taken, what is sent is acknowledged."""
        self.bench.client.accepts = lambda data: None
        for connection in self.given:
            connection.post(0)
        for _ in range(100):
            if self.taken == self.posted:
                break
            for connection in self.given:
                self.acknowledge(connection)
            self.bench.settle()

    def check(self) -> None:
        """Every byte once and in order, in both directions; what terminates gives back is the rest."""
        for connection in self.given:
            block = connection.terminate()
            assert connection.state is not None
            buffered = connection.state.BufferedData
            rest = b"".join(bytes_of(nbl) for nbl in walk(buffered)) if buffered is not None else b""
            if buffered is not None:
                self.bench.client.kept.append((connection.handle, buffered))
            assert connection.stream + rest == self.given[connection]
            assert self.taken[connection] == self.posted[connection]
            assert block.NetBufferListChain is None
            assert {status for status, _ in connection.told("sent")} <= {OK}
            assert {entry[0] for entry in connection.told("received")} <= {OK, UPLOAD}
            assert connection.told(EVENT.RETRIEVE.name) == []


@pytest.mark.requirement(
    "INV-16", "INV-20", "INV-22", "INV-23", "INV-24", "INV-25", "INV-37", "INV-55", "CHM-61"
)
@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_streams_are_whole_whatever_the_processors_do(seed: int) -> None:
    choose = random.Random(seed)
    device: dict[str, Any] = SMALL if seed % 2 else {}
    interrupt = ("msix", "msi", "line")[seed % 3]
    with ChimneyBench(queues=4, cpus=4, seed=seed, interrupt=interrupt, device=device) as bench:
        assert bench.set_rss(tuple(range(4)) * 2) == OK
        turmoil = Turmoil(bench, choose)
        for _ in range(120):
            turmoil.step()
        turmoil.finish()
        turmoil.check()
        assert bench.device.read64(BAR0.CHM_FENCES.offset) > 0
        assert bench.rings.work.used == 0


@pytest.mark.requirement("INV-57")
def test_a_connection_speaks_on_the_processor_of_its_hash() -> None:
    with ChimneyBench(queues=4, cpus=4) as bench:
        for table in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 2, 1, 1)):
            assert bench.set_rss(table) == OK
            connections = bench.connect(*[tcp(40000 + n, n) for n in range(4)])
            for number, connection in enumerate(connections):
                connection.send(b"x")
                connection.acknowledge()
                connection.receive(b"y", flags=PUSH)
                connection.post(4, 0)
                connection.receive(b"data", flags=PUSH)
                assert set(connection.cpus) == {table[number]}
                connection.terminate()
            bench.release()


@pytest.mark.requirement("CHM-61", "INV-55", "PROG-30")
def test_order_holds_when_a_connection_moves_between_two_looks() -> None:
    """The old ring's processor is slow: what came on the new ring waits for it."""
    with ChimneyBench(queues=2, cpus=2) as bench:
        assert bench.set_rss((0, 0)) == OK
        (connection,) = bench.connect(tcp(40000, 1))
        queues = bench.miniport.card.queues  # type: ignore[attr-defined]
        queues[0].is_polling = True  # a DPC that takes its time
        connection.receive(b"first", flags=PUSH)
        assert bench.set_rss((0, 1)) == OK
        connection.receive(b"second", flags=PUSH)
        assert connection.stream == b""
        queues[0].is_polling = False
        bench.miniport.card.interrupts.queue_again(0, queues[0])  # type: ignore[attr-defined]
        bench.settle()
        assert connection.stream == b"firstsecond"
        assert connection.cpus[-1] == 1
