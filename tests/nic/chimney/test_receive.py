"""Segments that arrive: whose they are, and what becomes of resets, SYNs, urgent data and FINs."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.nic.chimney.driver import (
    CLOSE_WAIT,
    ESTABLISHED,
    FIN_WAIT_1,
    LAST_ACK,
    SACK,
    Driver,
    neighbour_image,
)
from vnic.gen.descriptors import ChmEventEntry
from vnic.gen.enums import ChmEvent, ChmObject, ChmReason, ChmStatus, CompletionType
from vnic.gen.registers import BAR0
from vnic.testbench.frames import ADDRESSES, MAC, PEER
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

FIN, SYN, RST, PSH, ACK, URG = packet.FIN, packet.SYN, packet.RST, packet.PSH, packet.ACK, packet.URG
CLOSED, TIME_WAIT = 0, 10
WINDOW = 65535


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver() as made:
        yield made


def plain(driver: Driver) -> list[bytes]:
    """Frames that went the plain way since the last call."""
    driver.poll()
    frames, driver.frames = driver.frames, []
    return [frame.data for frame in frames]


def kinds(driver: Driver) -> list[ChmEvent]:
    return [ChmEvent(entry.event) for entry in driver.events()]


# -- whose it is -----------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-40")
@pytest.mark.parametrize("version", [4, 6])
def test_a_segment_finds_its_connection(driver: Driver, version: int) -> None:
    first = driver.connect(version=version)
    path = driver.path(version=version)
    second = driver.connect(path, version=version, remote_port=40001)
    first.receive(b"to the first")
    second.receive(b"to the second")
    assert plain(driver) == []
    assert (bytes(first.data), bytes(second.data)) == (b"to the first", b"to the second")
    assert driver.rig.stat("RX_UNICAST_FRAMES") == 2
    assert driver.stat(f"TCP{version}_IN_SEGMENTS") == 2
    assert driver.stat(f"IP{version}_IN_OCTETS") == 2 * (20 + (20 if version == 4 else 40)) + 25


@pytest.mark.requirement("CHM-40", "INV-43")
@pytest.mark.parametrize(
    "frame",
    [
        {"source_port": 40001},
        {"destination_port": 81},
    ],
)
def test_other_ports_are_not_the_connections(driver: Driver, frame: dict[str, int]) -> None:
    connection = driver.connect()
    ports = (frame.get("source_port", 40000), frame.get("destination_port", 80))
    connection.peer.ports = ports
    made = connection.peer.frame(b"x")
    connection.receive(b"x")
    assert plain(driver) == [made]
    assert connection.query().rcv_nxt == IRS


def segment(connection: Any, payload: bytes = b"payload", **tcp: Any) -> bytes:
    made: bytes = connection.peer.tcp(payload, **tcp)
    return made


def ethernet(datagram: bytes, **fields: Any) -> bytes:
    return packet.ethernet(datagram, **({"source": PEER, "destination": MAC} | fields))


@pytest.mark.requirement("CHM-40", "INV-43")
@pytest.mark.parametrize("version", [4, 6])
def test_what_a_target_must_not_process_goes_the_plain_way(driver: Driver, version: int) -> None:
    """Fragments, options, extension headers, wrong lengths, other protocols: unchanged, and nothing moved."""
    connection = driver.connect(version=version)
    peer, us = ADDRESSES[version]
    maker = packet.ipv4 if version == 4 else packet.ipv6
    tcp = segment(connection)
    whole = maker(peer, us, packet.TCP, tcp)
    frames = [
        ethernet(whole[: len(whole) - 3]),  # cut
        ethernet(maker(peer, us, packet.UDP, tcp)),
        ethernet(whole, tags=((0x88A8, 5),)),
        ethernet(whole, tags=((0x8100, 0), (0x8100, 0))),
        ethernet(maker(peer, us, packet.TCP, segment(connection, data_offset=4))),
        ethernet(maker(peer, us, packet.TCP, segment(connection, data_offset=15))),
        ethernet(packet.arp("192.0.2.1", "198.51.100.2"), ethertype=0x0806),
    ]
    if version == 4:
        frames += [
            ethernet(packet.ipv4(peer, us, packet.TCP, tcp, options=b"\x01\x01\x01\x00")),
            *(ethernet(piece) for piece in packet.ipv4_fragments(whole, 16)),
        ]
        bad = bytearray(whole)
        bad[10] ^= 1  # the IP header's checksum
        frames.append(ethernet(bytes(bad)))
    else:
        for kind, body in (
            (packet.DESTINATION, packet.options_header(b"\x01\x02\x00\x00")),
            (packet.FRAGMENT, packet.fragment_header(0, more=True)),
        ):
            frames.append(ethernet(packet.ipv6(peer, us, packet.TCP, tcp, extensions=[(kind, body)])))
    for frame in frames:
        driver.rig.inject(frame)
    assert plain(driver) == frames
    assert connection.query().rcv_nxt == IRS
    assert driver.stat(f"TCP{version}_IN_SEGMENTS") == 0


@pytest.mark.requirement("CHM-40")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("is_verified", [True, False])
def test_a_wrong_checksum_is_counted_and_dropped(driver: Driver, version: int, is_verified: bool) -> None:
    """Whatever MAC_RX_CTRL.CSUM says: the card verifies for its connections."""
    driver.rig.change(BAR0.MAC_RX_CTRL, CSUM=int(is_verified))
    connection = driver.connect(version=version)
    frame = bytearray(connection.peer.frame(b"payload"))
    frame[-1] ^= 0x40
    driver.rig.inject(bytes(frame))
    assert plain(driver) == []
    assert connection.query().rcv_nxt == IRS
    assert driver.stat(f"TCP{version}_IN_ERRORS") == 1
    connection.receive(b"payload")
    assert plain(driver) == []
    assert connection.data == b"payload"


@pytest.mark.requirement("CHM-40", "INV-45")
@pytest.mark.parametrize("strips", [0, 1])
def test_the_vlan_decides_among_equals(driver: Driver, strips: int) -> None:
    driver.rig.change(BAR0.MAC_RX_CTRL, VLAN_STRIP=strips)
    neighbours = [driver.neighbour(vlan_id=vlan) for vlan in (0, 7)]
    untagged, tagged = (driver.connect(driver.path(neighbour)) for neighbour in neighbours)
    untagged.receive(b"no tag")
    tagged.receive(b"its own tag", tci=7)
    untagged.receive(b", or another", tci=9)
    untagged.receive(b", or a priority", tci=5 << 13)
    driver.poll()
    assert bytes(untagged.data) == b"no tag, or another, or a priority"
    assert bytes(tagged.data) == b"its own tag"
    assert plain(driver) == []


@pytest.mark.requirement("CHM-40", "INV-45")
def test_a_wrong_or_absent_tag_is_dropped_and_counted(driver: Driver) -> None:
    connection = driver.connect(driver.path(driver.neighbour(vlan_id=7)))
    for tci in (None, 8, 0, 7 << 12):
        driver.rig.inject(connection.peer.frame(b"x", tci=tci))
    assert driver.stat("WRONG_VLAN") == 4
    assert plain(driver) == []
    connection.receive(b"right", tci=0xE007)
    driver.poll()
    assert connection.data == b"right"


@pytest.mark.requirement("CHM-40")
def test_what_is_addressed_to_others_is_not_the_connections(driver: Driver) -> None:
    driver.rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1)
    connection = driver.connect()
    whole = connection.peer.frame(b"x")
    for destination in (b"\xff" * 6, b"\x02\x00\x00\x00\x00\x55"):
        driver.rig.inject(destination + whole[6:])
    assert [frame[:6] for frame in plain(driver)] == [b"\xff" * 6, b"\x02\x00\x00\x00\x00\x55"]
    assert connection.query().rcv_nxt == IRS


@pytest.mark.requirement("CHM-40")
def test_a_neighbour_with_a_source_address_receives_there(driver: Driver) -> None:
    driver.rig.change(BAR0.MAC_RX_CTRL, PROMISCUOUS=1)
    other = b"\x02\x00\x00\x00\x00\x66"
    neighbour = driver.create(neighbour_image(source_address=int.from_bytes(other, "little")))
    connection = driver.connect(driver.path(neighbour))
    whole = connection.peer.frame(b"x")
    driver.rig.inject(whole)
    assert plain(driver) == [whole]
    driver.rig.inject(other + whole[6:])
    driver.poll()
    assert connection.data == b"x"


@pytest.mark.requirement("CHM-40", "CHM-7", "INV-38")
def test_a_terminated_connection_leaves_its_segments_to_the_host(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(b"before")
    connection.terminate()
    frame = connection.peer.frame(b"behind")
    connection.receive(b"behind")
    assert plain(driver) == [frame]
    assert connection.data == b"before"


@pytest.mark.requirement("CHM-7", "INV-38")
def test_data_out_of_order_is_neither_delivered_nor_acknowledged_at_the_end(driver: Driver) -> None:
    connection = driver.connect(const_flags=SACK)
    connection.receive(b"in order")
    connection.receive(b"behind a gap", seq=IRS + 100)
    _, image = connection.terminate()
    assert bytes(connection.data) == b"in order"
    assert image.rcv_nxt == IRS + 8
    assert {sent.ack for sent in connection.sent()} == {IRS + 8}
    gap = connection.peer.frame(bytes(92), seq=IRS + 8)
    driver.rig.inject(gap)
    assert plain(driver) == [gap]


@pytest.mark.requirement("CHM-7", "INV-39")
@pytest.mark.parametrize("stopped", [False, True])
def test_an_ack_that_is_owed_leaves_before_the_end(driver: Driver, stopped: bool) -> None:
    connection = driver.connect()
    connection.receive(b"acknowledged late")
    if stopped:
        connection.receive(b"urgent", flags=ACK | URG, urgent=3, seq=connection.peer.seq)
    assert connection.sent() == []
    connection.terminate()
    assert [(sent.ack, sent.payload) for sent in connection.sent()] == [(IRS + 17, b"")]


@pytest.mark.requirement("CHM-47", "CHM-8", "INV-36")
@pytest.mark.parametrize("end", ["reset", "fin", "invalidate"])
def test_what_has_ended_is_there_until_it_is_terminated(driver: Driver, end: str) -> None:
    connection = driver.connect()
    connection.post(10)
    connection.receive(b"some")
    if end == "invalidate":
        driver.invalidate(ChmObject.TCP, connection.handle)
    else:
        connection.receive(flags=RST if end == "reset" else ACK | FIN)
    driver.advance(10_000_000_000)
    other = driver.connect(remote_port=40001)
    assert other.handle != connection.handle
    assert driver.rig.get(BAR0.CHM_CONNECTIONS) == 2
    assert connection.query().rcv_nxt == IRS + 4 + (end == "fin")
    assert connection.terminate()[1].rcv_nxt == IRS + 4 + (end == "fin")


@pytest.mark.requirement("CHM-40", "RX-16")
def test_segments_need_no_receive_ring() -> None:
    with Driver(posted=0) as driver:
        connection = driver.connect()
        connection.receive(b"no descriptor is there")
        driver.poll()
        assert connection.data == b"no descriptor is there"
        assert driver.rig.counters("RX_") == {"UNICAST_FRAMES": 1, "UNICAST_BYTES": 14 + 40 + 22}
        assert driver.rig.get(BAR0.QP_RX_FRAMES) == 0


# -- resets, SYNs, urgent data ---------------------------------------------------------------------------


@pytest.mark.requirement("CHM-47", "INV-33")
def test_the_next_number_resets(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(flags=RST, seq=IRS)
    assert kinds(driver) == [ChmEvent.ABORT]
    assert connection.sent() == []
    assert connection.terminate()[1].state == CLOSED


@pytest.mark.requirement("CHM-41", "INV-33")
@pytest.mark.parametrize("seq", [IRS - 1, IRS + WINDOW, (IRS - 70000) % (1 << 32)])
def test_a_reset_out_of_the_window_is_nothing(driver: Driver, seq: int) -> None:
    connection = driver.connect()
    connection.receive(flags=RST, seq=seq)
    assert (kinds(driver), connection.sent()) == ([], [])
    connection.receive(b"lives on")
    driver.poll()
    assert connection.data == b"lives on"


@pytest.mark.requirement("CHM-41", "INV-33")
def test_a_reset_elsewhere_in_the_window_gets_one_challenge(driver: Driver) -> None:
    connection = driver.connect()
    for offset in (1, 2, 1000, WINDOW - 1):
        connection.receive(flags=RST, seq=IRS + offset)
    (challenge,) = connection.sent()
    assert (challenge.flags, challenge.ack, challenge.seq) == (ACK, IRS, ISS)
    assert kinds(driver) == []
    connection.receive(b"acceptable")
    connection.sent()
    connection.receive(flags=RST, seq=IRS + 500)
    assert len(connection.sent()) == 1


@pytest.mark.requirement("CHM-41", "INV-34")
def test_a_syn_at_the_next_number_asks_for_an_upload_in_closed(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(flags=SYN, seq=IRS)
    assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED]
    assert (connection.sent(), plain(driver)) == ([], [])
    connection.receive(flags=SYN, seq=IRS)
    assert len(plain(driver)) == 1
    assert connection.terminate()[1].state == CLOSED


@pytest.mark.requirement("CHM-41", "INV-34")
def test_syns_elsewhere_are_acknowledged(driver: Driver) -> None:
    connection = driver.connect()
    for _ in range(3):
        connection.receive(flags=SYN, seq=IRS + 70000)
    assert len(connection.sent()) == 3
    for offset in (1, 2, 3):
        connection.receive(flags=SYN, seq=IRS + offset)
    assert len(connection.sent()) == 1
    driver.advance(3_000_000_000)
    connection.receive(flags=SYN, seq=IRS + 4)
    assert len(connection.sent()) == 1
    assert kinds(driver) == []


@pytest.mark.requirement("CHM-41", "CHM-62", "INV-35")
def test_urgent_data_is_not_acknowledged_and_nothing_behind_it(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(b"before", flags=ACK | PSH)
    connection.receive(b"urgent", flags=ACK | URG, urgent=3, seq=connection.peer.seq)
    connection.receive(b"behind", seq=connection.peer.seq + 6)
    assert driver.reasons() == [ChmReason.RECEIVED_URGENT_DATA]
    done, image = connection.terminate()
    assert image.rcv_nxt == IRS + len(b"before")
    assert all(sent.ack <= IRS + len(b"before") for sent in connection.sent())
    assert connection.data == b"before"
    assert done.status == ChmStatus.OK
    frame = connection.peer.frame(b"urgent", flags=ACK | URG, urgent=3)
    driver.rig.inject(frame)
    assert plain(driver) == [frame]


@pytest.mark.requirement("CHM-41", "INV-35")
@pytest.mark.parametrize("numbers", [{"seq": IRS + 70000}, {"ack": ISS + 1}])
def test_urgent_data_with_bad_numbers_is_no_event(driver: Driver, numbers: dict[str, int]) -> None:
    connection = driver.connect()
    connection.receive(b"urgent", **({"flags": ACK | URG, "urgent": 3, "seq": IRS} | numbers))
    assert kinds(driver) == []
    connection.receive(b"on", seq=IRS)
    driver.poll()
    assert connection.data == b"on"


@pytest.mark.requirement("CHM-41", "CHM-48")
def test_a_stopped_connection_takes_nothing(driver: Driver) -> None:
    connection = driver.connect()
    driver.invalidate(ChmObject.TCP, connection.handle)
    assert driver.reasons() == [ChmReason.INVALID_STATE]
    connection.receive(b"unheard")
    connection.receive(flags=RST, seq=IRS)
    assert (connection.sent(), plain(driver), bytes(connection.data)) == ([], [], b"")
    assert driver.stat("IP4_IN_DISCARDS") == 2
    assert connection.terminate()[1].rcv_nxt == IRS


@pytest.mark.requirement("CHM-41", "INV-29")
def test_noise_is_never_answered_by_a_reset(driver: Driver) -> None:
    """Flags and numbers at random: no RST leaves, and right segments are taken as long as nothing ended."""
    random = Random(7)
    for _ in range(40):
        connection = driver.connect(remote_port=random.randrange(1024, 60000))
        for _ in range(30):
            numbers = {
                "seq": (IRS + random.choice((0, 1, -1, 3, WINDOW, random.getrandbits(32)))) % (1 << 32),
                "ack": (ISS + random.choice((0, 1, -1, random.getrandbits(32)))) % (1 << 32),
            }
            flags = random.getrandbits(8)
            connection.receive(random.randbytes(random.randrange(3)), flags=flags, **numbers)
        assert not any(sent.flags & RST for sent in connection.sent())
        connection.terminate()
        driver.take()
    assert driver.stat("TCP4_OUT_RESETS") == 0
    assert driver.rig.get(BAR0.CHM_FREE_BLOCKS) == driver.rig.get(BAR0.CHM_MAX_BLOCKS)


# -- both sides close ------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-41", "CHM-46", "CHM-62")
def test_last_ack_ends_with_a_request_to_be_uploaded(driver: Driver) -> None:
    connection = driver.connect()
    connection.receive(flags=ACK | FIN)
    connection.disconnect()
    connection.sent()
    connection.peer.ack += 1
    connection.receive()
    events = driver.events()
    assert [(entry.event, entry.reason) for entry in events] == [
        (ChmEvent.FIN, 0),
        (ChmEvent.RETRIEVE, ChmReason.UPLOAD_REQUESTED),
    ]
    assert [entry.count for entry in driver.completions(CompletionType.CHM_DISCONNECT)] == [1]
    assert connection.terminate()[1].state == CLOSED


@pytest.mark.requirement("CHM-41", "CHM-62")
def test_time_wait_asks_to_be_uploaded_and_acknowledges_meanwhile(driver: Driver) -> None:
    connection = driver.connect()
    connection.disconnect()
    connection.peer.ack += 1
    connection.receive(flags=ACK | FIN)
    assert connection.sent()[-1].ack == IRS + 1
    assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED]
    connection.receive(flags=ACK | FIN, seq=IRS)
    assert connection.sent()[-1].ack == IRS + 1
    syn = connection.peer.frame(flags=SYN, seq=IRS + 100_000)
    driver.rig.inject(syn)
    assert plain(driver) == [syn]
    assert connection.terminate()[1].state == TIME_WAIT


@pytest.mark.requirement("CHM-46", "INV-28")
@pytest.mark.parametrize(
    ("state", "fields"), [(ESTABLISHED, {}), (FIN_WAIT_1, {"fin": True, "snd_max": ISS + 1})]
)
def test_a_fin_is_told_once(driver: Driver, state: int, fields: dict[str, Any]) -> None:
    connection = driver.connect(state=state, **fields)
    connection.receive(b"last words", flags=ACK | FIN | PSH)
    connection.receive(flags=ACK | FIN, seq=IRS + 10)
    entries = [
        entry for entry in driver.take() if entry.type in (CompletionType.CHM_DATA, CompletionType.CHM_EVENT)
    ]
    assert [entry.type for entry in entries] == [CompletionType.CHM_DATA, CompletionType.CHM_EVENT]
    assert isinstance(entries[1], ChmEventEntry)
    assert entries[1].event == ChmEvent.FIN
    assert connection.data == b"last words"


# -- forwarded -------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-50")
def test_a_forwarded_segment_counts_as_received(driver: Driver) -> None:
    connection = driver.connect()
    connection.forward(connection.peer.tcp(b"from the host"))
    driver.poll()
    assert connection.data == b"from the host"
    assert [(e.count, e.status) for e in driver.completions(CompletionType.CHM_FORWARD)] == [
        (1, ChmStatus.OK)
    ]
    assert driver.stat("TCP4_IN_SEGMENTS") == 1
    assert driver.stat("IP4_IN_RECEIVES") == 0


@pytest.mark.requirement("CHM-50")
def test_a_forwarded_segment_of_another_or_of_nobody_is_dropped(driver: Driver) -> None:
    connection = driver.connect()
    connection.peer.ports = (1, 2)
    connection.forward(connection.peer.tcp(b"x"))
    connection.peer.ports = (40000, 80)
    connection.forward(connection.peer.tcp(b"x", data_offset=15))
    driver.poll()
    assert connection.data == b""
    assert driver.stat("TCP4_IN_ERRORS") == 2
    assert [e.status for e in driver.completions(CompletionType.CHM_FORWARD)] == [ChmStatus.OK] * 2
    assert connection.query().state in (ESTABLISHED, CLOSE_WAIT, LAST_ACK)
