"""Ages of neighbours: NeighborReachabilityQuery before a send when both are beyond NceStaleTicks."""

from __future__ import annotations

import pytest

from tests.nic.chimney.driver import Connection, Driver, neighbour_image
from vnic.abi import Engine
from vnic.gen.descriptors import ChmCommand, ChmEventEntry, ChmNeighbour, ChmPath, ChmTcp
from vnic.gen.enums import ChmEvent, ChmObject, ChmOp, ChmStatus
from vnic.gen.registers import BAR0

TICK_NS = 1_000_000
STALE = 1000
SIZES = {ChmObject.TCP: ChmTcp.SIZE, ChmObject.PATH: ChmPath.SIZE, ChmObject.NEIGHBOUR: ChmNeighbour.SIZE}


def queries(driver: Driver) -> list[ChmEventEntry]:
    """NEIGHBOUR_QUERY events so far."""
    return [e for e in driver.events() if e.event == ChmEvent.NEIGHBOUR_QUERY]


def made(driver: Driver, **fields: int) -> tuple[int, Connection]:
    """A neighbour and a connection on it, with a window that is closed to nothing."""
    neighbour = driver.neighbour(**fields)
    return neighbour, driver.connect(driver.path(neighbour))


def driver_of(**parameters: int) -> Driver:
    """NceStaleTicks is a second."""
    return Driver(parameters={"NCE_STALE_TICKS": STALE} | parameters)


@pytest.mark.requirement("CHM-28", "INV-46")
@pytest.mark.parametrize(
    ("nic", "host", "asks"),
    [
        (0, 0, False),
        (STALE, STALE, False),
        (STALE + 1, STALE, False),
        (STALE, STALE + 1, False),
        (STALE + 1, STALE + 1, True),
        (0, 0xFFFF_FFFF, False),
        (0xFFFF_FFFF, 0, False),
        (0xFFFF_FFFF, 0xFFFF_FFFF, True),
    ],
)
def test_a_query_if_and_only_if_both_ages_are_too_great(nic: int, host: int, asks: bool) -> None:
    with driver_of() as driver:
        neighbour, connection = made(driver, nic_reachability_delta=nic, host_reachability_delta=host)
        assert queries(driver) == []
        connection.send(b"x")
        assert len(connection.sent()) == 1
        found = queries(driver)
        assert len(found) == asks
        if asks:
            assert (found[0].handle, found[0].count) == (neighbour, nic)
            assert driver.stat("NEIGHBOUR_QUERIES") == 1


@pytest.mark.requirement("CHM-28")
def test_time_makes_a_neighbour_stale() -> None:
    with driver_of() as driver:
        _, connection = made(driver)
        driver.advance(STALE * TICK_NS)
        connection.send(b"x")
        assert queries(driver) == []
        driver.advance(TICK_NS)
        connection.send(b"x")
        assert [entry.count for entry in queries(driver)] == [STALE + 1]


@pytest.mark.requirement("CHM-28")
@pytest.mark.parametrize("ticks", [10, 100])
def test_ticks_are_those_of_the_host(ticks: int) -> None:
    with driver_of(TICKS_PER_SECOND=ticks, NCE_STALE_TICKS=2 * ticks, DELAYED_ACK_TICKS=1) as driver:
        _, connection = made(driver)
        driver.advance(2_000_000_000)
        connection.send(b"x")
        assert queries(driver) == []
        driver.advance(1_000_000_000 // ticks)
        connection.send(b"x")
        assert [entry.count for entry in queries(driver)] == [2 * ticks + 1]


@pytest.mark.requirement("CHM-28", "INV-46")
def test_at_most_one_query_until_it_is_answered_or_that_time_has_passed() -> None:
    with driver_of() as driver:
        _, connection = made(driver, nic_reachability_delta=5000, host_reachability_delta=5000)
        connection.send(b"x")
        connection.send(b"x")
        driver.advance(STALE * TICK_NS)
        connection.send(b"x")
        assert len(queries(driver)) == 1
        driver.advance(TICK_NS)
        connection.send(b"x")
        assert len(queries(driver)) == 2


@pytest.mark.requirement("CHM-28")
@pytest.mark.parametrize(("answer", "again"), [(0, False), (STALE + 1, True)])
def test_an_update_answers(answer: int, again: bool) -> None:
    with driver_of() as driver:
        neighbour, connection = made(driver, nic_reachability_delta=5000, host_reachability_delta=5000)
        connection.send(b"x")
        image = neighbour_image(host_reachability_delta=answer)
        assert driver.update(image, neighbour).status == ChmStatus.OK
        connection.send(b"x")
        assert len(queries(driver)) == 1 + again


@pytest.mark.requirement("CHM-28")
def test_forward_progress_makes_it_young() -> None:
    with driver_of() as driver:
        neighbour, connection = made(driver, host_reachability_delta=1 << 31)
        for _ in range(4):
            driver.advance(STALE * TICK_NS)
            connection.send(b"x")
            connection.sent()
            connection.peer.ack += 1
            connection.receive()
        assert queries(driver) == []
        image = driver.query(ChmObject.NEIGHBOUR, neighbour)
        assert isinstance(image, ChmNeighbour)
        assert image.nic_reachability_delta == 0


@pytest.mark.requirement("CHM-28")
def test_every_neighbour_has_its_own() -> None:
    with driver_of() as driver:
        pairs = [made(driver, nic_reachability_delta=5000, host_reachability_delta=5000)]
        for port in (81, 82):
            neighbour = driver.neighbour(nic_reachability_delta=5000 + port, host_reachability_delta=5000)
            pairs.append((neighbour, driver.connect(driver.path(neighbour), local_port=port)))
        for _, connection in pairs:
            connection.send(b"x")
        assert [entry.handle for entry in queries(driver)] == [neighbour for neighbour, _ in pairs]


def end_slowly(driver: Driver, kind: ChmObject, handle: int) -> None:
    """TERMINATE as far as the ADMIN engine gets alone."""
    address = driver.image_memory.address + 1024
    driver.command(
        ChmCommand(op=ChmOp.TERMINATE, object=kind, handle=handle, out_addr=address, out_len=SIZES[kind])
    )
    while driver.device.step(Engine.ADMIN):
        pass


@pytest.mark.requirement("CHM-28")
@pytest.mark.parametrize("gone", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_a_query_of_a_neighbour_that_ends_before_it_is_told_is_forgotten(gone: tuple[int, ...]) -> None:
    """Queries wait for pair 0, whose completion ring is full; the connections report on pair 1."""
    with Driver(manual=True, pairs=2, cq_count=64, parameters={"NCE_STALE_TICKS": 0}) as driver:
        rig = driver.rig
        rig.put(BAR0.RSS_CTRL, BAR0.RSS_CTRL.encode(DEFAULT_QUEUE=1))
        rig.put(BAR0.RSS_COMMIT, 1)
        driver.run()
        stale = {"nic_reachability_delta": 9, "host_reachability_delta": 9}
        neighbours = [driver.neighbour(**stale) for _ in range(3)]
        paths = [driver.path(neighbour) for neighbour in neighbours]
        connections = [driver.connect(path, local_port=80 + n) for n, path in enumerate(paths)]
        driver.take()
        while driver.device.step(Engine.ADMIN):
            pass
        for _ in range(63):
            driver.command(ChmCommand())
            driver.device.step(Engine.ADMIN)
        driver.run()
        for connection in connections:
            connection.send(b"x")
        driver.run()
        for n in gone:
            end_slowly(driver, ChmObject.TCP, connections[n].handle)
            driver.run()
        assert len(driver.rig.sent()) == 3
        driver.poll_pair(1)
        assert driver.events() == []
        for n in gone:
            end_slowly(driver, ChmObject.PATH, paths[n])
            end_slowly(driver, ChmObject.NEIGHBOUR, neighbours[n])
        assert driver.stat("NEIGHBOURS") == 3 - len(gone)
        driver.run()
        assert [entry.handle for entry in queries(driver)] == [
            neighbour for n, neighbour in enumerate(neighbours) if n not in gone
        ]
