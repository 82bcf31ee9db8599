"""Segments taken in a row do what the same segments do one step at a time."""

from __future__ import annotations

from random import Random

import pytest

from tests.nic.chimney.driver import Driver
from vnic.device import Budget
from vnic.gen.registers import BAR0
from vnic.testbench.frames import plain_frame
from vnic.testbench.tcp_peer import IRS
from vnic.wire import packet

PORTS = range(50000, 50012)
ONE = Budget(1, 1 << 60)
FEW = Budget(1 << 60, 4096)


def made(strips: int) -> Driver:
    """Connections on two pairs and two VLANs, some with receives."""
    driver = Driver(pairs=2, manual=True, cq_count=64, rx_count=64)
    driver.rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=strips)
    driver.run()
    paths = [driver.path(driver.neighbour(vlan_id=vlan)) for vlan in (0, 7)]
    for port in PORTS:
        connection = driver.connect(
            paths[port % 5 == 0], remote_port=port, tci=7 if port % 5 == 0 else None, queue=port % 2
        )
        if port % 3 == 0:
            connection.post(3000)
    driver.run()
    return driver


def frame_of(driver: Driver, random: Random) -> bytes:
    """Data in and out of order, wrong sums, wrong tags, other hosts' segments and no segments at all."""
    connection = random.choice(list(driver.connections.values()))
    payload = random.randbytes(random.choice((0, 1, 100, 1460)))
    choice = random.randrange(12)
    if choice == 0:
        return plain_frame(random.randrange(60, 200))
    if choice == 1:
        return connection.peer.frame(payload, seq=IRS + random.randrange(1 << 20))
    if choice == 2:
        return connection.peer.frame(payload)[:-1] + b"\x55"
    if choice == 3:
        return connection.peer.frame(payload, tci=random.randrange(9))
    flags = packet.ACK | random.choice((0, packet.PSH, packet.FIN if choice == 4 else 0))
    frame = connection.peer.frame(payload, flags=flags)
    connection.peer.seq += len(payload) + ((flags & packet.FIN) != 0)
    return frame if choice > 5 else frame.replace(b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02", 1)


@pytest.mark.requirement("RUN-2", "CHM-40")
@pytest.mark.parametrize("seed", range(4))
def test_bursts_equal_single_steps(seed: int) -> None:
    with made(seed % 2) as burst, made(seed % 2) as single:
        random, again = Random(seed), Random(seed)
        for _ in range(12):
            for _ in range(random.randrange(1, 30)):
                burst.rig.inject(frame_of(burst, random))
            burst.device.run(FEW)
            burst.device.run()
            for _ in range(again.randrange(1, 30)):
                single.rig.inject(frame_of(single, again))
            while single.device.runnable:
                single.device.run(ONE)
            assert burst.device.state_hash() == single.device.state_hash()
            assert burst.rig.sent() == single.rig.sent()
            burst.poll()
            single.poll()
        assert bytes(burst.memory.view) == bytes(single.memory.view)
        assert burst.stat("TCP4_IN_SEGMENTS") > 100
        assert burst.stat("PLACED_BYTES") > 0
        assert burst.stat("POOL_BYTES") > 0
        assert burst.rig.counters("RX_UNICAST") == single.rig.counters("RX_UNICAST")


@pytest.mark.requirement("RUN-2", "CHM-40")
def test_a_burst_keeps_to_the_budget() -> None:
    with made(0) as driver:
        connection = next(iter(driver.connections.values()))
        for _ in range(20):
            connection.receive(bytes(1000))
        used = driver.device.run(Budget(1 << 60, 5000))
        assert used.bytes <= 5000
        assert 0 < used.steps < 20
        used = driver.device.run(Budget(3, 1 << 60))
        assert used.steps == 3
        driver.run()
        assert driver.stat("TCP4_IN_SEGMENTS") == 20
