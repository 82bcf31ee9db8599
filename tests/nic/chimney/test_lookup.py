"""Which connection a segment belongs to: by addresses, ports and VLAN, among many."""

from __future__ import annotations

import random
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.nic.chimney.driver import Connection, Driver, number_of, tcp_image
from vnic.gen.enums import ChmObject, ChmStatus
from vnic.testbench.frames import ADDRESSES
from vnic.testbench.tcp_peer import Peer
from vnic.wire import packet

LOCALS = {4: ["198.51.100.2", "198.51.100.3"], 6: ["2001:db8:7::2", "c633:6402::"]}
REMOTES = {4: ["192.0.2.1", "192.0.2.2"], 6: ["2001:db8::1", "c000:201::"]}
VLANS = (0, 5, 6)


@dataclass(frozen=True)
class Tuple:
    """What a connection is looked up by, and its VLAN."""

    version: int
    local: str
    remote: str
    ports: tuple[int, int]
    vlan: int


def any_tuple(chance: random.Random) -> Tuple:
    """From a small world, so that most things are the same as somebody else's."""
    version = chance.choice((4, 6))
    return Tuple(
        version,
        chance.choice(LOCALS[version]),
        chance.choice(REMOTES[version]),
        (chance.randrange(40000, 40006), chance.randrange(80, 83)),
        chance.choice(VLANS),
    )


class Table:
    """The driver's idea of what is offloaded."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.connections: dict[Tuple, Connection] = {}
        self.neighbours = {vlan: driver.neighbour(vlan_id=vlan) for vlan in VLANS}
        self.paths: dict[tuple[int, str, str, int], int] = {}

    def path(self, key: Tuple) -> int:
        """The path of a tuple, made when it is asked for first."""
        place = (key.version, key.local, key.remote, key.vlan)
        if place not in self.paths:
            local, remote = (packet.packed(each).ljust(16, b"\0") for each in (key.local, key.remote))
            self.paths[place] = self.driver.path(
                self.neighbours[key.vlan],
                key.version,
                source_lo=number_of(local[:8]),
                source_hi=number_of(local[8:]),
                destination_lo=number_of(remote[:8]),
                destination_hi=number_of(remote[8:]),
            )
        return self.paths[place]

    def add(self, key: Tuple) -> None:
        """Offload it, or see it refused as a duplicate."""
        remote_port, local_port = key.ports
        if key in self.connections:
            image = tcp_image(remote_port=remote_port, local_port=local_port)
            done = self.driver.try_create(image, parent=self.path(key))
            assert done.status == ChmStatus.DUPLICATE
            return
        made = self.driver.connect(
            self.path(key), version=key.version, remote_port=remote_port, local_port=local_port
        )
        made.peer.addresses = (key.remote, key.local)
        self.connections[key] = made

    def owner(self, key: Tuple) -> Connection | None:
        """[CHM-40] Who takes a segment of this tuple on this VLAN."""
        untagged = Tuple(key.version, key.local, key.remote, key.ports, 0)
        return self.connections.get(key) or self.connections.get(untagged)

    def is_known(self, key: Tuple) -> bool:
        """Whether somebody has the tuple on any VLAN."""
        return any(
            Tuple(key.version, key.local, key.remote, key.ports, vlan) in self.connections for vlan in VLANS
        )

    def knock(self, key: Tuple) -> None:
        """A byte arrives for the tuple; it goes where the dictionary says."""
        driver, owner = self.driver, self.owner(key)
        peer = owner.peer if owner else Peer(key.version, key.ports, addresses=(key.remote, key.local))
        had = len(owner.data) if owner else 0
        frames, wrong = len(driver.frames), driver.stat("WRONG_VLAN")
        driver.rig.inject(peer.frame(b"!", tci=key.vlan, flags=packet.ACK | packet.PSH))
        driver.poll()
        if owner:
            peer.seq += 1
            assert len(owner.data) == had + 1
        assert len(driver.frames) - frames == int(owner is None and not self.is_known(key))
        assert driver.stat("WRONG_VLAN") - wrong == int(owner is None and self.is_known(key))
        if driver.frames:
            driver.rig[0].post_rx()
            driver.frames.clear()


@pytest.mark.requirement("CHM-40", "CHM-3")
@pytest.mark.parametrize("seed", range(3))
def test_as_a_dictionary(seed: int) -> None:
    """Connections come and go; segments of tuples alike in all but one thing find theirs."""
    chance = random.Random(seed)
    with Driver(connections=512, paths=64, pool_len=64) as driver:
        table = Table(driver)
        for _ in range(400):
            key = any_tuple(chance)
            if chance.random() < 0.4:
                table.add(key)
            elif table.connections and chance.random() < 0.2:
                victim = chance.choice(sorted(table.connections, key=str))
                table.connections.pop(victim).terminate()
            else:
                table.knock(key)
            driver.entries.clear()
            driver.rig.sent()
        assert driver.stat("CONNECTIONS") == len(table.connections)


@pytest.mark.requirement("CHM-40")
def test_a_full_table() -> None:
    """As many connections as there can be, all found, all gone again; then the same with others."""
    with Driver(connections=2000, admin_count=64) as driver:
        path = driver.path()
        for round_ in range(2):
            made = []
            for n in range(2000):
                made.append(driver.connect(path, remote_port=1000 + n, local_port=80 + round_))
                driver.entries.clear()
            assert driver.stat("FREE_NODES") == driver.stat("MAX_NODES")
            for connection in made[::7]:
                connection.receive(b"x", flags=packet.ACK | packet.PSH)
                driver.poll()
                assert connection.data == b"x"
            driver.entries.clear()
            for connection in made:
                driver.terminate(ChmObject.TCP, connection.handle)
                driver.entries.clear()
            driver.rig.sent()
        assert driver.frames == []


@pytest.mark.requirement("CHM-40")
def test_addresses_of_two_versions_are_not_the_same() -> None:
    """An IPv6 address whose first bytes are those of an IPv4 one, the rest 0, is another host."""
    four, six = (IPv4Address(ADDRESSES[4][0]), IPv6Address("c000:201::"))
    assert four.packed == six.packed[:4]
    with Driver() as driver:
        table = Table(driver)
        key4 = Tuple(4, LOCALS[4][0], "192.0.2.1", (40000, 80), 0)
        key6 = Tuple(6, "c633:6402::", "c000:201::", (40000, 80), 0)
        table.add(key4)
        table.knock(key6)
        table.add(key6)
        table.knock(key6)
        table.knock(key4)


@pytest.mark.requirement("CHM-40", "CHM-7")
def test_what_ends_is_not_found_any_more() -> None:
    with Driver() as driver:
        connection = driver.connect()
        frame = connection.peer.frame(b"to whom it may concern")
        connection.terminate()
        (received,) = driver.rig.receive(frame)
        assert received.data == frame
