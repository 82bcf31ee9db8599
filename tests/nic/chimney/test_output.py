"""Frames of connections: headers, tags, identifications, sizes, checksums; when they leave and when not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.nic.chimney.driver import NAGLING, TIMESTAMPS, Driver, neighbour_image, number_of, path_image
from vnic.abi import FaultAction, FaultSite
from vnic.device import Budget
from vnic.fault import Fault
from vnic.gen.enums import ChmObject, ChmReason, ChmStatus
from vnic.gen.registers import BAR0
from vnic.testbench.frames import ADDRESSES, MAC, PEER
from vnic.testbench.tcp_peer import ISS, Segment, segment_of
from vnic.wire import checksum, packet

MSS = 1460
OTHER = bytes.fromhex("0200000000aa")
ONE = Budget(1, 1 << 40)


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver() as made:
        yield made


def is_sound(segment: Segment) -> bool:
    """Both checksums are right, by the reference."""
    ip = segment.ip
    if ip[0] >> 4 == 4:
        ends, tcp = (ip[12:16], ip[16:20]), ip[20:]
        if checksum.internet(ip[:20]) != 0:
            return False
    else:
        ends, tcp = (ip[8:24], ip[24:40]), ip[40:]
    return checksum.transport(*ends, packet.TCP, tcp) == 0


@pytest.mark.requirement("CHM-25")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("flags", [0, TIMESTAMPS])
@pytest.mark.parametrize("length", [1, 2, 1459, 1460, 1461, 7777])
def test_headers_and_checksums(driver: Driver, version: int, flags: int, length: int) -> None:
    connection = driver.connect(
        version=version, const_flags=flags, ttl_or_hop_limit=77, tos_or_traffic_class=0xB8, flow_label=0xABCDE
    )
    connection.send(bytes(n & 0xFF for n in range(length)), cuts=(1,) if length > 1 else ())
    segments = connection.sent()
    peer, us = (packet.packed(address) for address in ADDRESSES[version])
    assert sum(len(s.payload) for s in segments) == length
    for segment in segments:
        assert is_sound(segment)
        assert segment.frame[:12] == PEER + MAC
        assert segment.tci is None
        assert len(segment.frame) >= 60
        if version == 4:
            assert segment.ip[:2] == b"\x45\xb8"
            assert segment.ip[6:10] == b"\x40\0" + bytes([77, 6])
            assert (segment.ip[12:16], segment.ip[16:20]) == (us, peer)
        else:
            assert int.from_bytes(segment.ip[:4]) == 6 << 28 | 0xB8 << 20 | 0xABCDE
            assert segment.ip[6:8] == bytes([6, 77])
            assert (segment.ip[8:24], segment.ip[24:40]) == (us, peer)


@pytest.mark.requirement("CHM-25", "INV-44")
def test_identifications_are_of_the_upper_half_and_differ(driver: Driver) -> None:
    connection = driver.connect(cwnd=1 << 20)
    seen = []
    for _ in range(3):
        connection.send(bytes(30 * MSS))
        seen += [int.from_bytes(s.ip[4:6]) for s in connection.sent()]
        connection.peer.ack += 30 * MSS
        connection.receive()
    assert all(number >= 0x8000 for number in seen)
    assert len(set(seen)) == len(seen) >= 90


@pytest.mark.requirement("CHM-25")
def test_large_sends_of_transmit_rings_keep_to_the_lower_half(driver: Driver) -> None:
    template = packet.ethernet(
        packet.ipv4(
            "198.51.100.2",
            "192.0.2.1",
            packet.TCP,
            packet.tcp("198.51.100.2", "192.0.2.1", 9, 9),
            identification=0x7FFE,
        ),
        source=MAC,
        destination=PEER,
    )
    large: dict[str, Any] = {"l3_offset": 14, "l4_offset": 34, "hdr_len": 54, "mss": 1000, "lso": 1}
    driver.rig[0].send(template + bytes(5 * 1000), **large)
    found = [int.from_bytes(frame[18:20]) for frame in driver.rig.sent()]
    assert found == [0x7FFE, 0x7FFF, 0, 1, 2]


@pytest.mark.requirement("CHM-25")
@pytest.mark.parametrize("version", [4, 6])
def test_packets_fit_the_path_also_when_it_becomes_narrower(driver: Driver, version: int) -> None:
    path = driver.path(version=version)
    connection = driver.connect(path, remote_mss=9000, cwnd=1 << 20)
    connection.send(bytes(20_000))
    assert max(len(s.ip) for s in connection.sent()) == 1500
    assert driver.update(path_image(version, path_mtu=1300), path).status == ChmStatus.OK
    connection.send(bytes(20_000))
    assert max(len(s.ip) for s in connection.sent()) == 1300
    assert driver.update(path_image(version, path_mtu=1400), path).status == ChmStatus.OK
    connection.peer.ack += 40_000
    connection.receive()
    connection.send(bytes(20_000))
    assert max(len(s.ip) for s in connection.sent()) == 1400


@pytest.mark.requirement("CHM-25")
def test_a_segment_under_way_is_cut_to_the_narrower_path() -> None:
    with Driver(manual=True) as driver:
        driver.run()
        path = driver.path()
        connection = driver.connect(path, cwnd=1 << 20)
        connection.send(bytes(20 * MSS))
        while not (sent := driver.rig.sent()):
            driver.device.run(ONE)
        assert driver.update(path_image(path_mtu=600), path).status == ChmStatus.OK
        driver.run()
        frames = [frame for frame in driver.rig.sent() if frame[23] == packet.TCP]
        del sent
        assert max(map(len, frames)) <= 14 + 1500
        assert len(frames[-1]) <= 614


@pytest.mark.requirement("CHM-26", "INV-45")
@pytest.mark.parametrize(
    ("vlan", "priority", "tci"), [(0, 0, None), (7, 0, 7), (0, 5, 5 << 13), (4094, 7, 7 << 13 | 4094)]
)
@pytest.mark.parametrize("version", [4, 6])
def test_a_tag_if_and_only_if_there_is_something_in_it(
    driver: Driver, vlan: int, priority: int, tci: int | None, version: int
) -> None:
    path = driver.path(driver.neighbour(vlan_id=vlan), version)
    connection = driver.connect(path, version=version, user_priority=priority, tci=vlan or None)
    connection.send(bytes(3000))
    segments = connection.sent()
    assert [s.tci for s in segments] == [tci] * len(segments)
    assert all(map(is_sound, segments))
    assert sum(len(s.payload) for s in segments) == 3000


@pytest.mark.requirement("CHM-25")
def test_the_host_may_give_the_source_address(driver: Driver) -> None:
    path = driver.path(driver.neighbour(source_address=number_of(OTHER)))
    connection = driver.connect(path)
    connection.send(b"x")
    (segment,) = connection.sent()
    assert segment.frame[6:12] == OTHER


@pytest.mark.requirement("CHM-4")
def test_a_new_address_of_the_neighbour_is_used_at_once(driver: Driver) -> None:
    neighbour = driver.neighbour()
    connection = driver.connect(driver.path(neighbour))
    update = driver.update(neighbour_image(destination_address=number_of(OTHER)), neighbour)
    assert update.status == ChmStatus.OK
    connection.send(b"x")
    (segment,) = connection.sent()
    assert segment.frame[:6] == OTHER


@pytest.mark.requirement("CHM-26")
def test_frames_are_padded_if_and_only_if_the_mac_pads(driver: Driver) -> None:
    connection = driver.connect()
    connection.send(b"x")
    driver.rig.change(BAR0.MAC_TX_CTRL, PAD=0)
    connection.send(b"y")
    padded, plain = (s.frame for s in connection.sent())
    assert len(padded) == 60
    assert padded[55:] == bytes(5)
    assert len(plain) == 55


@pytest.mark.requirement("CHM-8", "INV-40")
@pytest.mark.parametrize("kind", list(ChmObject))
def test_an_invalidated_object_is_silent(driver: Driver, kind: ChmObject) -> None:
    neighbour = driver.neighbour()
    path = driver.path(neighbour)
    connection = driver.connect(path, snd_wnd=2000)
    connection.send(bytes(5000))
    connection.sent()
    handle = {ChmObject.NEIGHBOUR: neighbour, ChmObject.PATH: path, ChmObject.TCP: connection.handle}[kind]
    assert driver.invalidate(kind, handle).status == ChmStatus.OK
    assert driver.reasons() == [ChmReason.INVALID_STATE]
    connection.peer.ack += 2000
    connection.receive(b"data", flags=packet.ACK | packet.PSH)
    connection.send(b"more")
    driver.advance(20_000_000_000)
    assert connection.sent() == []
    connection.terminate()
    assert connection.sent() == []


@pytest.mark.requirement("CHM-29")
def test_nothing_is_lost_while_the_link_is_down(driver: Driver) -> None:
    connection = driver.connect(cwnd=1 << 20)
    driver.rig.device.set_link(0)
    connection.send(bytes(10 * MSS))
    assert driver.rig.sent() == []
    driver.rig.device.set_link(10_000)
    driver.run()
    assert [s.seq - ISS for s in connection.sent()] == [n * MSS for n in range(10)]
    assert driver.stat("TCP4_RETRANSMITTED_SEGMENTS") == 0


@pytest.mark.requirement("CHM-29")
def test_a_full_buffer_holds_segments_back() -> None:
    with Driver(tx_buffer_bytes=1 << 16) as driver:
        connection = driver.connect(
            cwnd=1 << 22, const_flags=4, snd_wind_scale=8, snd_wnd=1 << 22, max_snd_wnd=1 << 22
        )
        connection.send(bytes(200 * MSS))
        got: list[int] = []
        while segments := connection.sent():
            got += [s.seq - ISS for s in segments]
            assert len(segments) < 60
            driver.run()
            driver.device.run()
        assert got == [n * MSS for n in range(200)]


@pytest.mark.requirement("CHM-7", "CHM-29", "INV-14")
def test_a_terminate_lets_out_what_the_engine_handed_out() -> None:
    """SndNxt is what was really sent: the host need not wait for a timeout (KB 948496 speaks of stalls)."""
    with Driver(manual=True) as driver:
        driver.run()
        connection = driver.connect(cwnd=1 << 20)
        connection.send(bytes(30 * MSS))
        frames: list[bytes] = []
        while not frames:
            driver.device.run(ONE)
            frames += driver.rig.sent()
        _, image = connection.terminate()
        frames += driver.rig.sent()
        assert (image.snd_nxt - ISS) // MSS == len(frames)


@pytest.mark.requirement("CHM-7", "CHM-29")
def test_a_terminate_does_not_wait_for_a_link_that_is_down() -> None:
    with Driver(manual=True) as driver:
        driver.run()
        connection = driver.connect(cwnd=1 << 20)
        connection.send(bytes(30 * MSS))
        while not driver.rig.sent():
            driver.device.run(ONE)
        driver.rig.device.set_link(0)
        completion, image = connection.terminate()
        assert completion.status == ChmStatus.OK
        assert image.snd_una == ISS


@pytest.mark.requirement("CHM-21")
@pytest.mark.parametrize("action", [FaultAction.DROP, FaultAction.DUPLICATE, FaultAction.CORRUPT])
def test_faults_of_frames_meet_those_of_connections(driver: Driver, action: FaultAction) -> None:
    connection = driver.connect()
    at = 60 if action == FaultAction.CORRUPT else 0
    fault = driver.device.arm(Fault(site=FaultSite.FRAME_OUT, action=action, argument=at))
    connection.send(bytes(100))
    frames = driver.rig.sent()
    assert fault.fired == 1
    assert len(frames) == {FaultAction.DROP: 0, FaultAction.DUPLICATE: 2, FaultAction.CORRUPT: 1}[action]


@pytest.mark.requirement("CHM-21")
def test_connections_take_turns(driver: Driver) -> None:
    connections = [driver.connect(local_port=80 + n, cwnd=1 << 20) for n in range(3)]
    driver.device.set_link(0)
    for connection in connections:
        connection.send(bytes(44 * MSS))
    driver.device.set_link(10_000)
    driver.run()
    ports = [s.source_port for s in connections[0].sent()]
    turns = [port for n, port in enumerate(ports) if n == 0 or ports[n - 1] != port]
    assert sorted(turns) == [80, 80, 81, 81, 82, 82]


@pytest.mark.requirement("CHM-21")
def test_nagle_holds_small_sends_back_when_asked(driver: Driver) -> None:
    for flags, frames in ((0, 3), (NAGLING, 1)):
        connection = driver.connect(local_port=81 + flags, cached_flags=flags)
        for _ in range(3):
            connection.send(b"small")
        assert len(connection.sent()) == frames


@pytest.mark.requirement("CHM-70", "INV-50")
@pytest.mark.parametrize("version", [4, 6])
def test_what_leaves_is_counted(driver: Driver, version: int) -> None:
    connection = driver.connect(version=version)
    connection.send(bytes(3000))
    segments = connection.sent()
    tcp, ip = f"TCP{version}_", f"IP{version}_"
    assert driver.stat(tcp + "OUT_SEGMENTS") == len(segments) == 3
    assert driver.stat(ip + "OUT_REQUESTS") == 3
    assert driver.stat(ip + "OUT_OCTETS") == sum(len(s.ip) for s in segments)
    other = 10 - version
    assert driver.stat(f"TCP{other}_OUT_SEGMENTS") == driver.stat(f"IP{other}_OUT_REQUESTS") == 0
    driver.advance(3_200_000_000)
    again = connection.sent()
    assert driver.stat(tcp + "RETRANSMITTED_SEGMENTS") == len(again) > 0
    assert driver.stat(tcp + "OUT_SEGMENTS") == 3


@pytest.mark.requirement("CHM-29")
def test_transmit_switched_off_holds_segments_back(driver: Driver) -> None:
    connection = driver.connect()
    driver.rig.change(BAR0.MAC_TX_CTRL, ENABLE=0)
    connection.send(b"wait")
    assert driver.rig.sent() == []
    driver.rig.change(BAR0.MAC_TX_CTRL, ENABLE=1)
    driver.run()
    assert [s.payload for s in connection.sent()] == [b"wait"]


@pytest.mark.requirement("CHM-21")
def test_a_hostile_peer_acknowledges_what_is_not_sent_yet() -> None:
    with Driver(manual=True) as driver:
        driver.run()
        connection = driver.connect(cwnd=1 << 20)
        connection.send(bytes(30 * MSS))
        while not driver.rig.sent():
            driver.device.run(ONE)
        connection.peer.ack += 30 * MSS
        connection.receive()
        driver.run()
        assert len(driver.rig.sent()) < 30
        assert connection.query().snd_una == ISS + 30 * MSS


@pytest.mark.requirement("RUN-2")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("steps", [1, 2, 7, 64, 1 << 20])
def test_how_a_budget_is_cut_up_changes_nothing(version: int, steps: int) -> None:
    def script(budget: Budget) -> tuple[list[bytes], int]:
        with Driver(manual=True) as driver:
            driver.run()
            connection = driver.connect(version=version, cwnd=1 << 20, const_flags=TIMESTAMPS)
            other = driver.connect(version=version, cwnd=3 * MSS, local_port=81)
            for n in range(5):
                connection.send(bytes([n]) * (11 * MSS + n), cuts=(n + 1, 2000))
                other.send(bytes([n]) * (3 * MSS))
            frames: list[bytes] = []
            for _ in range(3):
                while driver.device.run(budget).steps:
                    pass
                frames += driver.rig.sent()
                other.peer.ack += 2 * MSS
                other.receive()
            driver.device.advance(driver.device.now_ns + 4_000_000_000)
            while driver.device.run(budget).steps:
                pass
            return frames + driver.rig.sent(), driver.device.state_hash()

    wanted = script(Budget(1, 1 << 40))
    assert script(Budget(steps, 1 << 40)) == wanted
    assert len(wanted[0]) > 40


@pytest.mark.requirement("CHM-29")
def test_a_looped_card_sends_to_itself_with_the_link_down(driver: Driver) -> None:
    path = driver.path(driver.neighbour(destination_address=number_of(MAC)))
    connection = driver.connect(path)
    driver.device.set_link(0)
    driver.rig.change(BAR0.GLB_CTRL, LOOPBACK=1)
    connection.send(b"round and round")
    driver.poll()
    assert [segment_of(received.data).payload for received in driver.frames] == [b"round and round"]


@pytest.mark.requirement("RUN-4")
@pytest.mark.parametrize("mss", [88, 1460])
def test_rest_is_reached_within_the_bound(mss: int) -> None:
    with Driver(manual=True) as driver:
        driver.run()
        connections = [driver.connect(local_port=80 + n, remote_mss=mss, cwnd=1 << 20) for n in range(4)]
        for connection in connections:
            connection.send(bytes(60_000), cuts=(1, 2, 3))
        bound = driver.device.idle_steps
        used = driver.device.run()
        assert driver.device.is_idle
        assert 4 * 60_000 // mss <= used.steps <= bound
