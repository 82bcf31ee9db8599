"""Snapshots of a card with offloaded connections: taken at any step, restored, and nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nic.chimney.driver import (
    ESTABLISHED,
    FIN_WAIT_1,
    SACK,
    Connection,
    Driver,
    neighbour_image,
    path_image,
)
from vnic.abi import Engine
from vnic.device import Device
from vnic.errors import SnapshotError
from vnic.fuzz.effort import examples
from vnic.gen.descriptors import ChmCommand, ChmSubmission, ChmTcp
from vnic.gen.enums import ChmObject, ChmOp, ChmSubmissionOp
from vnic.gen.registers import BAR0
from vnic.testbench.tcp_peer import IRS
from vnic.wire import packet

ENGINES = (Engine.RX, Engine.TX, Engine.ADMIN, Engine.SUBMIT, Engine.CHIMNEY, Engine.REPORT)
SMALL: dict[str, Any] = {
    "connections": 16, "paths": 8, "neighbours": 4, "chimney_work": 64, "chimney_nodes": 16,
    "chimney_recoveries": 2, "chimney_bytes": 1 << 16,
}  # fmt: skip


def restore(device: Device) -> None:
    """The card is made anew from its snapshot; what it saves and hashes to is the same."""
    image, number = device.save(), device.state_hash()
    device.load(image)
    assert device.state_hash() == number
    assert device.save() == image


class Script:
    """A random life of connections, step by step; what can be seen of it goes to `seen`."""

    def __init__(self, seed: int, restores: float, pairs: int = 1) -> None:
        self.random, self.chance = Random(seed), Random(seed + 1)
        self.restores, self.restored = restores, 0
        self.driver = Driver(
            pairs=pairs, manual=True, pool_count=8, pool_posted=3, cq_count=32, rx_count=8, **SMALL
        )
        self.device = self.driver.device
        self.seen: list[Any] = []
        self.connections: list[Connection] = []
        self.dying = 0
        neighbour = self.driver.neighbour()
        self.neighbour = neighbour
        self.paths = [self.driver.path(neighbour, version) for version in (4, 6)]
        for number in range(4):
            self.open(number)

    def open(self, number: int) -> None:
        """A connection, with a send list of its own now and then; it waits for nothing."""
        version = 4 + 2 * (number % 2)
        sends = [bytes([number]) * 700, b"x"] if number % 3 == 1 else []
        self.connections.append(
            self.driver.connect(
                self.paths[number % 2], version=version, sends=sends,
                queue=number % len(self.driver.sq_memory),
                remote_port=40000 + number, hash_value=number * 7, const_flags=SACK if number % 2 else 0,
                state=FIN_WAIT_1 if number == 9 else ESTABLISHED, fin=number == 9,
            )
        )  # fmt: skip

    def steps(self, most: int) -> None:
        """Single steps of engines that could go, perhaps with a restoration before each."""
        for _ in range(self.random.randrange(most + 1)):
            ready = [engine for engine in ENGINES if engine in self.device.runnable]
            if self.chance.random() < self.restores:
                self.restored += 1
                restore(self.device)
            if not ready:
                return
            self.device.step(self.random.choice(ready))

    def act(self) -> None:
        """One thing that a driver, a peer or the time does."""
        random = self.random
        connection = random.choice(self.connections)
        what = random.choice(
            ["send", "send", "post", "post", "segment", "segment", "segment", "ack", "later", "fin", "poll",
             "time", "query", "update", "credit", "disconnect", "terminate", "table", "noise", "poll"]
        )  # fmt: skip
        getattr(self, f"on_{what}")(connection)
        self.seen.append((what, self.device.runnable, self.device.next_deadline_ns(), self.device.idle_steps))

    def on_send(self, connection: Connection) -> None:
        length = self.random.choice([0, 1, 300, 5000])
        connection.send(self.random.randbytes(length), cuts=[length // 3] if length > 3 else [])

    def on_post(self, connection: Connection) -> None:
        connection.post(self.random.choice([0, 10, 3000]), no_push=self.random.randrange(2), cuts=())

    def on_segment(self, connection: Connection) -> None:
        connection.receive(self.random.randbytes(self.random.choice([1, 500, 1460])), flags=packet.ACK)

    def on_later(self, connection: Connection) -> None:
        ahead = self.random.choice([500, 1460, 4000])
        connection.receive(b"o" * 600, seq=connection.peer.seq + ahead)

    def on_ack(self, connection: Connection) -> None:
        connection.peer.ack += self.random.choice([0, 0, 300, 1460])
        connection.receive()

    def on_fin(self, connection: Connection) -> None:
        if self.random.random() < 0.3:
            connection.receive(b"", flags=packet.ACK | packet.FIN)

    def on_noise(self, connection: Connection) -> None:
        flags = self.random.choice([packet.SYN, packet.RST, packet.ACK | packet.URG, packet.ACK])
        if self.random.random() < 0.3:
            connection.receive(
                b"n" * 5, flags=flags, seq=connection.peer.seq + self.random.choice([0, 9, 1 << 20])
            )

    def on_time(self, connection: Connection) -> None:
        self.device.advance(self.device.now_ns + self.random.choice([1000, 10**6, 5 * 10**7, 10**9]))

    def on_poll(self, connection: Connection) -> None:
        self.seen.append([entry.pack() for entry in self.driver.poll()])
        self.seen.append(self.driver.rig.sent())

    def on_query(self, connection: Connection) -> None:
        at = self.driver.image_memory.address + 2048
        self.command(op=ChmOp.QUERY, handle=connection.handle, out_addr=at, out_len=ChmTcp.SIZE)

    def on_update(self, connection: Connection) -> None:
        kind = self.random.choice(["path", "neighbour", "invalidate"])
        at = self.driver.image_memory.address
        if kind == "path":
            self.driver.memory.write(at, path_image(path_mtu=self.random.choice([576, 1500])).pack())
            self.command(op=ChmOp.UPDATE, object=ChmObject.PATH, handle=self.paths[0], in_addr=at, in_len=48)
        elif kind == "neighbour":
            self.driver.memory.write(at, neighbour_image().pack())
            fields = {"handle": self.neighbour, "in_addr": at, "in_len": 32}
            self.command(op=ChmOp.UPDATE, object=ChmObject.NEIGHBOUR, **fields)
        elif self.random.random() < 0.1:
            self.command(op=ChmOp.INVALIDATE, handle=connection.handle)

    def on_credit(self, connection: Connection) -> None:
        connection.credit()

    def on_disconnect(self, connection: Connection) -> None:
        if self.random.random() < 0.2:
            connection.disconnect(abortive=self.random.randrange(2))

    def on_terminate(self, connection: Connection) -> None:
        if self.random.random() < 0.3:
            at = self.driver.image_memory.address + 1024
            self.command(op=ChmOp.TERMINATE, handle=connection.handle, out_addr=at, out_len=ChmTcp.SIZE)

    def on_table(self, connection: Connection) -> None:
        rig, pairs = self.driver.rig, len(self.driver.sq_memory)
        rig.put(BAR0.RSS_TABLE, sum(self.random.randrange(pairs) << 8 * k for k in range(4)), 0)
        rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(ENABLE=1, TABLE_LOG2=2))
        rig.put(BAR0.RSS_COMMIT, BAR0.RSS_COMMIT.encode(GO=1))

    def command(self, **fields: int) -> None:
        """A command that nobody waits for."""
        self.driver.cookie += 1
        self.driver.command(ChmCommand(**{"object": ChmObject.TCP, "cookie": self.driver.cookie} | fields))

    def run(self, acts: int) -> list[Any]:
        """So many acts, then the rest of the work: everything that was seen, and the state at the end."""
        for _ in range(acts):
            self.act()
            self.steps(6)
        for _ in range(20):
            self.device.advance(self.device.now_ns + 3 * 10**8)
            self.steps(30)
            self.on_poll(self.connections[0])
        memory = bytes(self.driver.memory.view[: 1 << 20])
        self.seen.append((self.device.state_hash(), memory))
        self.device.close()
        return self.seen


def difference(a: list[Any], b: list[Any]) -> str:
    """Where two lives part."""
    for number, (one, other) in enumerate(zip(a, b, strict=True)):
        if one != other:
            return f"entry {number}: {str(one)[:200]} or {str(other)[:200]}"
    return ""


@pytest.mark.requirement("CHM-80")
@examples(8)
@given(seed=st.integers(0, 2**32), pairs=st.sampled_from([1, 2, 4]))
def test_a_restored_card_goes_on_as_if_nothing_had_been(seed: int, pairs: int) -> None:
    plain = Script(seed, 0, pairs).run(60)
    script = Script(seed, 0.3, pairs)
    restored = script.run(60)
    assert script.restored > 5
    assert difference(plain, restored) == ""


@pytest.mark.requirement("CHM-80")
def test_at_every_step_of_a_busy_scene() -> None:
    """Every engine is caught between two of its steps; a new card hashes to the same."""
    script = Script(7, 0.0, 2)
    caught: set[Engine] = set()
    for _ in range(100):
        script.act()
        for _ in range(4):
            ready = [engine for engine in ENGINES if engine in script.device.runnable]
            if not ready:
                break
            image = script.device.save()
            with Device(script.device.config, manual=True) as fresh:
                fresh.load(image)
                assert fresh.state_hash() == script.device.state_hash()
                assert fresh.save() == image
                assert fresh.runnable == script.device.runnable
                assert fresh.next_deadline_ns() == script.device.next_deadline_ns()
            caught |= set(ready)
            script.device.step(script.random.choice(ready))
    script.device.close()
    assert {Engine.ADMIN, Engine.SUBMIT, Engine.CHIMNEY, Engine.REPORT} <= caught


# --- strangers' snapshots


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Any, bytes]]:
    """The config and the snapshot of a card with a bit of everything, in the middle of its work."""
    script = Script(11, 0.0, 2)
    for number in range(4, 7):
        script.open(number)
    a, b, c, d = script.connections[:4]
    a.send(b"a" * 4000, cuts=[1000])
    b.post(10_000, cuts=[100, 3000])
    b.receive(b"b" * 900, flags=packet.ACK)
    c.receive(b"c" * 700, seq=IRS + 2000)
    c.receive(b"c" * 700, seq=IRS + 9000)
    for _ in range(6):
        d.receive(b"d" * 1000)
    script.steps(40)
    script.device.run()
    d.submit(ChmSubmission(op=ChmSubmissionOp.SEND, addr=0x1000, len=5, more=1))
    script.on_query(a)
    a.receive(b"e" * 100)
    a.send(b"f" * 3000)
    for engine in (Engine.ADMIN, Engine.SUBMIT, Engine.SUBMIT, Engine.RX):
        script.device.step(engine)
    yield script.device.config, script.device.save()
    script.device.close()


def records(image: bytes) -> Iterator[tuple[int, int, int]]:
    """Tag, place of the value, and size of every record."""
    at = 0
    while at < len(image):
        tag, size = (int.from_bytes(image[at + k : at + k + 2], "little") for k in (0, 2))
        yield tag, at + 4, size
        at += 4 + size


def live_on(device: Device) -> None:
    """Whatever was loaded, the card works, answers and can be saved; no step is without a bound."""
    for _ in range(3):
        for _ in range(400):
            ready = [engine for engine in ENGINES if engine in device.runnable]
            if not ready:
                break
            device.step(ready[0])
        deadline = device.next_deadline_ns()
        if deadline is not None:
            device.advance(min(max(deadline, device.now_ns), 2**62))
    device.save()
    device.state_hash()
    device.reset()


def is_taken(config: Any, image: bytes) -> bool:
    """Whether a card takes the snapshot; what it takes it lives on with, what it refuses leaves it new."""
    with Device(config, manual=True) as device:
        try:
            device.load(image)
        except SnapshotError:
            with Device(config) as new:
                assert device.state_hash() == new.state_hash()
            return False
        live_on(device)
        return True


@pytest.mark.requirement("CHM-80")
def test_the_scene_has_everything(scene: tuple[Any, bytes]) -> None:
    tags = {tag for tag, _, _ in records(scene[1])}
    assert {0x5C1, 0x5D1, 0x5D3, 0x50A, 0x592} <= tags, "work, blocks, their bytes, lists, a command at hand"
    assert is_taken(*scene)


@pytest.mark.requirement("CHM-80")
def test_every_kind_of_record_changed(scene: tuple[Any, bytes]) -> None:
    """The first records of each tag, and some others, with the least, the greatest and near values."""
    config, image = scene
    random, counts, taken, refused = Random(3), dict[int, int](), 0, 0
    for tag, at, size in records(image):
        counts[tag] = counts.get(tag, 0) + 1
        if tag < 0x100 or size > 8 or (counts[tag] > 1 and random.random() > 0.004):
            continue
        value = int.from_bytes(image[at : at + size], "little")
        for forged in {0, (1 << 8 * size) - 1, value ^ 1, value + 1} - {value}:
            data = (forged % (1 << 8 * size)).to_bytes(size, "little")
            if is_taken(config, image[:at] + data + image[at + size :]):
                taken += 1
            else:
                refused += 1
    assert taken > 100
    assert refused > 100


@pytest.mark.requirement("CHM-80")
def test_a_snapshot_cut_short_is_refused(scene: tuple[Any, bytes]) -> None:
    config, image = scene
    for length in range(0, len(image), len(image) // 60):
        assert not is_taken(config, image[:length])
    assert not is_taken(config, image + b"\0")


@pytest.mark.requirement("CHM-80")
def test_a_card_of_another_size_refuses_it(scene: tuple[Any, bytes]) -> None:
    _, image = scene
    with (
        Device(queue_pairs=2, vectors=3, **SMALL | {"connections": 17}) as other,
        pytest.raises(SnapshotError),
    ):
        other.load(image)


@pytest.mark.requirement("CHM-80")
def test_what_is_not_offloaded_costs_nothing() -> None:
    """A snapshot grows with what lives, not with what could."""
    with Driver(connections=16) as few, Driver(connections=1 << 16) as many:
        assert len(few.device.save()) == len(many.device.save())
        before = len(many.device.save())
        connection = many.connect()
        assert len(many.device.save()) > before + 500
        connection.terminate()
        assert len(many.device.save()) < before + 1000
