"""Objects over their lives: handles, what hangs on what, images as they were given, invalidation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nic.chimney.driver import (
    CLOSE_WAIT,
    Connection,
    Driver,
    Image,
    neighbour_image,
    number_of,
    path_image,
    tcp_image,
)
from vnic.gen.descriptors import ChmEventEntry, ChmNeighbour, ChmPath, ChmTcp
from vnic.gen.enums import ChmEvent, ChmObject, ChmOp, ChmReason, ChmStatus, CompletionType
from vnic.testbench.frames import PEER
from vnic.testbench.tcp_peer import ISS, segment_of
from vnic.wire import packet

NEIGHBOUR, PATH, TCP = ChmObject.NEIGHBOUR, ChmObject.PATH, ChmObject.TCP
OTHER_MAC = bytes.fromhex("0200000000aa")
#: What is CONST or CACHED of a TCP image; the rest is the card's.
CONST = (
    "const_flags",
    "remote_port",
    "local_port",
    "snd_wind_scale",
    "rcv_wind_scale",
    "remote_mss",
    "hash_value",
)
CACHED = (
    "cached_flags",
    "ka_probe_count",
    "ttl_or_hop_limit",
    "tos_or_traffic_class",
    "user_priority",
    "flow_label",
    "initial_rcv_wnd",
    "rcv_indication_size",
    "ka_timeout",
    "ka_interval",
    "max_rt",
)
words = st.integers(0, 0xFFFF_FFFF)


def part(image: ChmTcp, names: tuple[str, ...]) -> dict[str, int]:
    """Some fields of an image."""
    return {name: asdict(image)[name] for name in names}


# -- handles -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-1", "CHM-3")
@pytest.mark.parametrize("kind", list(ChmObject))
def test_an_old_handle_names_nothing(kind: ChmObject) -> None:
    """A place is used again with another generation, 1,023 of them, none twice in a row, never 0."""
    with Driver() as driver:
        neighbour = driver.neighbour()
        path = driver.path(neighbour)
        images: dict[ChmObject, Image] = {
            NEIGHBOUR: neighbour_image(),
            PATH: path_image(),
            TCP: tcp_image(),
        }
        parents = {NEIGHBOUR: 0, PATH: neighbour, TCP: path}
        seen: list[int] = []
        for _ in range(1030 if kind == NEIGHBOUR else 5):
            handle = driver.create(images[kind], parent=parents[kind])
            driver.terminate(kind, handle)
            assert driver.read_out(ChmOp.QUERY, kind, handle)[0].status == ChmStatus.BAD_HANDLE
            assert handle >> 22 != 0
            seen.append(handle)
            driver.take()
        assert len({handle & 0x3F_FFFF for handle in seen}) == 1
        assert len(set(seen)) == min(len(seen), 1023)


@pytest.mark.requirement("CHM-1", "CHM-3")
def test_handles_survive_no_switch() -> None:
    """After ENABLE went to 0 and 1 again, handles of before name nothing; their places are used again."""
    with Driver() as driver:
        old = driver.connect().handle
        driver.switch_off()
        driver.enable()
        new = driver.connect().handle
        assert old & 0x3F_FFFF == new & 0x3F_FFFF
        assert driver.read_out(ChmOp.QUERY, TCP, old)[0].status == ChmStatus.BAD_HANDLE
        assert driver.read_out(ChmOp.QUERY, TCP, new)[0].status == ChmStatus.OK


@pytest.mark.requirement("CHM-6")
def test_nobody_is_left_hanging() -> None:
    with Driver() as driver:
        neighbour = driver.neighbour()
        paths = [driver.path(neighbour) for _ in range(3)]
        connection = driver.connect(paths[1])
        done, image = driver.read_out(ChmOp.TERMINATE, NEIGHBOUR, neighbour)
        assert done.status == ChmStatus.HAS_DEPENDENTS
        assert image.pack() == b"\xee" * ChmNeighbour.SIZE or isinstance(image, ChmNeighbour)
        assert driver.read_out(ChmOp.TERMINATE, PATH, paths[1])[0].status == ChmStatus.HAS_DEPENDENTS
        connection.terminate()
        for path in (paths[1], paths[0], paths[2]):
            assert driver.read_out(ChmOp.TERMINATE, NEIGHBOUR, neighbour)[0].status != ChmStatus.OK
            driver.terminate(PATH, path)
        driver.terminate(NEIGHBOUR, neighbour)
        assert [driver.stat(name) for name in ("NEIGHBOURS", "PATHS", "CONNECTIONS")] == [0, 0, 0]


# -- CONST and CACHED ----------------------------------------------------------------------------------------

tcp_images = st.builds(
    tcp_image,
    const_flags=st.sampled_from([0, 1, 2, 3, 4, 7]),
    remote_port=st.integers(0, 65535),
    local_port=st.integers(0, 65535),
    remote_mss=st.integers(48, 65535),
    hash_value=words,
    cached_flags=st.integers(0, 31),
    ka_probe_count=st.integers(0, 255),
    ttl_or_hop_limit=st.integers(0, 255),
    tos_or_traffic_class=st.integers(0, 255),
    user_priority=st.integers(0, 7),
    flow_label=st.integers(0, (1 << 20) - 1),
    initial_rcv_wnd=st.integers(0, 1 << 30),
    rcv_indication_size=words,
    ka_timeout=words,
    ka_interval=words,
    max_rt=words,
    snd_wnd=st.integers(0, 1 << 30),
    rcv_wnd=st.integers(0, 1 << 20),
    cwnd=st.integers(1, 1 << 20),
)


@pytest.fixture(scope="module")
def drivers() -> Iterator[dict[int, Driver]]:
    """By ticks a second, each with a path; every test leaves them as they were."""
    with ExitStack() as stack:
        made = {
            ticks: stack.enter_context(
                Driver(
                    connections=4,
                    parameters={"TICKS_PER_SECOND": ticks, "DELAYED_ACK_TICKS": 1},
                    cq_count=1024,
                )
            )
            for ticks in (10, 100, 1000)
        }
        yield made


@pytest.mark.requirement("CHM-4", "CHM-9")
@given(first=tcp_images, second=tcp_images, ticks=st.sampled_from([10, 100, 1000]))
def test_what_is_not_the_cards_comes_back_as_it_was(
    drivers: dict[int, Driver], first: ChmTcp, second: ChmTcp, ticks: int
) -> None:
    """After a CREATE, an UPDATE that changes CACHED only, and a QUERY; TERMINATE says the same."""
    driver = drivers[ticks]
    neighbour = driver.neighbour()
    path = driver.path(neighbour)
    handle = driver.create(first, parent=path)
    seen = driver.query(TCP, handle)
    assert isinstance(seen, ChmTcp)
    assert part(seen, CONST + CACHED) == part(first, CONST + CACHED)
    assert seen.rcv_nxt == first.rcv_nxt
    assert driver.update(second, handle).status == ChmStatus.OK
    seen = driver.query(TCP, handle)
    assert isinstance(seen, ChmTcp)
    assert part(seen, CONST) == part(first, CONST)
    assert part(seen, CACHED) == part(second, CACHED)
    _, last = driver.terminate(TCP, handle)
    assert isinstance(last, ChmTcp)
    assert part(last, CONST + CACHED) == part(seen, CONST + CACHED)
    driver.terminate(PATH, path)
    driver.terminate(NEIGHBOUR, neighbour)
    driver.take()


@pytest.mark.requirement("CHM-4")
@given(
    image=st.builds(
        ChmNeighbour,
        st.integers(0, (1 << 48) - 1).map(lambda value: value & ~1),
        st.integers(0, 0xFFE),
        st.integers(0, (1 << 48) - 1),
        words,
        words,
    ),
    after=st.tuples(st.integers(0, (1 << 48) - 1), words),
    wait=st.integers(0, 10_000),
)
def test_neighbours_come_back_as_they_were(
    drivers: dict[int, Driver], image: ChmNeighbour, after: tuple[int, int], wait: int
) -> None:
    """NicReachabilityDelta grows with time and is the card's; the rest is the host's."""
    driver = drivers[1000]
    handle = driver.create(image)
    assert driver.query(NEIGHBOUR, handle) == image
    driver.advance(wait * 1_000_000)
    other = replace(
        image, destination_address=after[0], host_reachability_delta=after[1], source_address=2, vlan_id=9
    )
    assert driver.update(other, handle).status == ChmStatus.OK
    age = min(image.nic_reachability_delta + wait, 0xFFFF_FFFF)
    expected = replace(
        other,
        source_address=image.source_address,
        vlan_id=image.vlan_id,
        nic_reachability_delta=age,
    )
    assert driver.query(NEIGHBOUR, handle) == expected
    assert driver.terminate(NEIGHBOUR, handle)[1] == expected
    driver.take()


@pytest.mark.requirement("CHM-4")
@pytest.mark.parametrize("version", [4, 6])
def test_paths_come_back_as_they_were(version: int) -> None:
    with Driver() as driver:
        image = path_image(version)
        handle = driver.create(image, parent=driver.neighbour())
        assert driver.query(PATH, handle) == image
        assert driver.update(ChmPath(1, 2, 3, 4, 1400, 1 - image.ipv6), handle).status == ChmStatus.OK
        expected = replace(image, path_mtu=1400)
        for mtu, status in ((67, ChmStatus.BAD_VALUE), (9728, ChmStatus.PATH_MTU)):
            assert driver.update(replace(image, path_mtu=mtu), handle).status == status
            assert driver.query(PATH, handle) == expected
        assert driver.terminate(PATH, handle)[1] == expected


@pytest.mark.requirement("CHM-4")
def test_a_refused_update_leaves_everything_as_it_was() -> None:
    with Driver() as driver:
        connection = driver.connect(ka_timeout=7200)
        before = connection.query()
        for fields, status in (
            ({"cached_flags": 32}, ChmStatus.BAD_VALUE),
            ({"initial_rcv_wnd": (1 << 30) + 1}, ChmStatus.RCV_WINDOW),
        ):
            image = tcp_image(**{"ka_timeout": 1, "ttl_or_hop_limit": 1} | fields)
            assert driver.update(image, connection.handle).status == status
            assert connection.query() == before
        connection.send(b"still there")
        (segment,) = connection.sent()
        assert (segment.payload, segment.ip[8]) == (b"still there", 64)


@pytest.mark.requirement("CHM-4", "CHM-26")
def test_updates_take_effect_in_the_next_frame() -> None:
    with Driver() as driver:
        neighbour = driver.neighbour()
        path = driver.path(neighbour)
        connection = driver.connect(path)
        image = tcp_image(ttl_or_hop_limit=7, tos_or_traffic_class=0xB8, user_priority=5)
        assert driver.update(image, connection.handle).status == ChmStatus.OK
        moved = neighbour_image(destination_address=number_of(OTHER_MAC))
        assert driver.update(moved, neighbour).status == ChmStatus.OK
        connection.send(b"x")
        (segment,) = connection.sent()
        assert (segment.frame[:6], segment.tci) == (OTHER_MAC, 5 << 13)
        assert (segment.ip[1], segment.ip[8]) == (0xB8, 7)


# -- paths that change ---------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-25")
def test_a_narrower_path_for_many_connections() -> None:
    """The UPDATE is completed when all of them keep to it; the walk takes more than a step."""
    with Driver(connections=200, sq_count=256, manual=True) as driver:
        driver.run()
        path = driver.path()
        connections = [driver.connect(path, remote_port=port) for port in range(1, 101)]
        assert driver.update(path_image(path_mtu=600), path).status == ChmStatus.OK
        for connection in connections:
            connection.send(bytes(1200))
        driver.run()
        segments = [segment_of(frame) for frame in driver.rig.sent()]
        assert max(len(segment.ip) for segment in segments) == 600
        assert sum(len(segment.payload) for segment in segments) == 100 * 1200


@pytest.mark.requirement("CHM-4")
def test_a_path_moves_to_another_neighbour() -> None:
    with Driver() as driver:
        first = driver.neighbour()
        second = driver.neighbour(destination_address=number_of(OTHER_MAC), vlan_id=7)
        path, other = driver.path(first), driver.path(first)
        connection = driver.connect(path)
        assert driver.update(path_image(), path, parent=second).status == ChmStatus.OK
        connection.send(b"over there")
        (segment,) = connection.sent()
        assert (segment.frame[:6], segment.tci) == (OTHER_MAC, 7)
        connection.peer.tci = 7
        connection.receive(b"heard", flags=packet.ACK | packet.PSH, ack=ISS + 10)
        driver.poll()
        assert connection.data == b"heard"
        driver.terminate(PATH, other)
        driver.terminate(NEIGHBOUR, first)
        assert driver.read_out(ChmOp.TERMINATE, NEIGHBOUR, second)[0].status == ChmStatus.HAS_DEPENDENTS


# -- INVALIDATE ----------------------------------------------------------------------------------------------


def retrieved(driver: Driver) -> dict[int, list[int]]:
    """Reasons of RETRIEVE events since the last take(), by handle."""
    reasons: dict[int, list[int]] = {}
    for entry in driver.take():
        if isinstance(entry, ChmEventEntry) and entry.event == ChmEvent.RETRIEVE:
            reasons.setdefault(entry.handle, []).append(entry.reason)
    return reasons


@pytest.mark.requirement("CHM-8", "CHM-62")
@pytest.mark.parametrize("kind", list(ChmObject))
def test_what_was_invalidated_is_silent(kind: ChmObject) -> None:
    """It and all that hangs on it; each connection asks once to be taken back; others go on."""
    with Driver(connections=300) as driver:
        neighbours = [driver.neighbour() for _ in range(2)]
        paths = [driver.path(neighbours[0]), driver.path(neighbours[0]), driver.path(neighbours[1])]
        made: list[list[Connection]] = []
        for n, path in enumerate(paths):
            made.append([driver.connect(path, remote_port=1000 * n + port) for port in range(40)])
        target = {NEIGHBOUR: neighbours[0], PATH: paths[0], TCP: made[0][3].handle}[kind]
        silent = {
            NEIGHBOUR: made[0] + made[1],
            PATH: made[0],
            TCP: made[0][3:4],
        }[kind]
        driver.take()
        for _ in range(2):
            assert driver.invalidate(kind, target).status == ChmStatus.OK
        assert retrieved(driver) == {c.handle: [ChmReason.INVALID_STATE] for c in silent}
        for connection in (each for group in made for each in group):
            connection.send(b"anything?")
        refused = driver.completions(CompletionType.CHM_SEND)
        assert {entry.handle for entry in refused} == {connection.handle for connection in silent}
        assert {entry.status for entry in refused} == {ChmStatus.UPLOAD}
        driver.take()
        ports = {segment.destination_port for segment in made[0][0].sent()}
        loud = {c.peer.ports[0] for group in made for c in group} - {c.peer.ports[0] for c in silent}
        assert ports == loud
        driver.advance(10_000_000_000)
        assert {segment.destination_port for segment in made[0][0].sent()} <= loud
        for connection in silent:
            _, image = connection.terminate()
            assert (image.snd_una, image.snd_max, image.send_backlog_size) == (ISS, ISS, 0)
            driver.take()


@pytest.mark.requirement("CHM-8", "CHM-3")
def test_nothing_new_hangs_on_what_is_invalid() -> None:
    with Driver() as driver:
        neighbour, other = driver.neighbour(), driver.neighbour()
        path = driver.path(neighbour)
        driver.invalidate(PATH, path)
        assert driver.try_create(tcp_image(), parent=path).status == ChmStatus.BAD_PARENT
        driver.path(neighbour)
        driver.invalidate(NEIGHBOUR, neighbour)
        assert driver.try_create(path_image(), parent=neighbour).status == ChmStatus.BAD_PARENT
        free = driver.path(other)
        assert driver.update(path_image(), free, parent=neighbour).status == ChmStatus.BAD_PARENT


@pytest.mark.requirement("CHM-8", "CHM-60")
def test_the_retrieve_comes_before_the_completion() -> None:
    with Driver() as driver:
        connection = driver.connect()
        driver.take()
        driver.invalidate(TCP, connection.handle)
        entries = driver.take()
        assert [entry.type for entry in entries] == [CompletionType.CHM_EVENT, CompletionType.CHM_ADMIN]


# -- CREATE --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-5")
def test_what_was_sent_and_not_acknowledged_is_the_cards() -> None:
    """SndNxt to SndMax goes first, then what was never sent; its requests are completed one by one."""
    with Driver() as driver:
        first, second = bytes(range(100)), bytes(range(100, 200))
        connection = driver.connect(sends=[first, second], snd_nxt=ISS + 50, snd_max=ISS + 150, fin=True)
        driver.take()
        segments = connection.sent()
        assert (segments[0].seq, segments[0].payload) == (ISS + 50, (first + second)[50:150])
        assert b"".join(segment.payload for segment in segments) == (first + second)[50:]
        assert segments[-1].flags & packet.FIN
        connection.receive(ack=ISS + 100)
        assert [entry.count for entry in driver.completions(CompletionType.CHM_SEND)] == [1]
        connection.receive(ack=ISS + 201)
        assert sum(entry.count for entry in driver.completions(CompletionType.CHM_SEND)) == 2
        assert len(driver.completions(CompletionType.CHM_DISCONNECT)) == 1


@pytest.mark.requirement("CHM-5")
def test_nothing_of_a_connection_precedes_its_completion() -> None:
    """Zero-length sends at its head are over at once, and yet after it."""
    with Driver() as driver:
        handle = driver.create(tcp_image(), parent=driver.path(), **driver.send_list([b"", b""]))
        entries = [entry for entry in driver.take() if getattr(entry, "handle", 0) == handle]
        last = [entry for entry in entries if entry.type != CompletionType.CHM_EVENT][-2:]
        assert [entry.type for entry in last] == [CompletionType.CHM_ADMIN, CompletionType.CHM_SEND]


@pytest.mark.requirement("CHM-5", "CHM-46")
def test_a_fin_that_the_host_has_seen_is_not_reported_again() -> None:
    with Driver() as driver:
        connection = driver.connect(state=CLOSE_WAIT)
        driver.take()
        connection.receive(flags=packet.ACK | packet.FIN, seq=connection.peer.seq - 1)
        driver.advance(1_000_000_000)
        assert driver.events() == []
        _, image = connection.terminate()
        assert image.state == CLOSE_WAIT


@pytest.mark.requirement("CHM-9")
def test_query_disturbs_nothing() -> None:
    """With data on its way, in every state that a CREATE takes; backlogs are what is still to do."""
    with Driver() as driver:
        connection = driver.connect()
        connection.send(bytes(3000))
        assert connection.query().send_backlog_size == 3000
        assert len(connection.sent()) == 3
        connection.receive(bytes(500), ack=ISS + 1460)
        image = connection.query()
        assert (image.send_backlog_size, image.receive_backlog_size) == (1540, 500)
        assert image == connection.query()
        connection.credit(200)
        assert connection.query().receive_backlog_size == 300
        assert connection.query().rcv_nxt == 1500
        for state in (5, 6, 7, 8, 9):
            fin = state in (5, 8, 9)
            other = driver.connect(remote_port=state, state=state, fin=fin)
            assert other.query().state == state
            driver.take()


@pytest.mark.requirement("CHM-10")
def test_limits_can_be_read() -> None:
    config: dict[str, Any] = {
        "connections": 33,
        "paths": 17,
        "neighbours": 9,
        "chimney_work": 77,
        "chimney_nodes": 55,
        "chimney_recoveries": 5,
        "chimney_bytes": 65536,
    }
    with Driver(**config) as driver:
        names = ("CONNECTIONS", "PATHS", "NEIGHBOURS", "WORK", "NODES", "RECOVERIES", "BLOCKS", "WINDOW")
        assert [driver.stat(f"MAX_{name}") for name in names] == [33, 17, 9, 77, 55, 5, 17, 1 << 30]
        assert (driver.stat("MAX_VLANS"), driver.stat("MAX_MTU")) == (64, 9714)
        assert [driver.stat(f"FREE_{name}") for name in ("WORK", "NODES", "BLOCKS")] == [77, 55, 17]
        connection = driver.connect()
        connection.post(10)
        connection.receive(b"late", seq=connection.peer.seq + 100)
        assert [driver.stat(f"FREE_{name}") for name in ("WORK", "NODES", "BLOCKS")] == [76, 54, 16]
        connection.terminate()
        assert [driver.stat(f"FREE_{name}") for name in ("WORK", "NODES", "BLOCKS")] == [77, 55, 17]
        assert PEER != OTHER_MAC
