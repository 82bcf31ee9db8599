"""IPv4 headers in and out, by the requirements of spec/stack.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.stack.seen import join
from tests.stack.world import OTHER, OUR_MAC, PEER, PEER_MAC, US, World
from vnic._core import lib
from vnic.wire import packet

BROADCAST = b"\xff" * 6
ECHO = packet.icmp(8, 0, b"\0\1\0\1data")


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """It knows its peer, so that every answer shows at once."""
    made = make_world()
    made.know(PEER)
    return made


@pytest.mark.requirement("IP4-1")
def test_a_good_datagram_is_taken(world: World) -> None:
    world.hear(packet.ipv4(PEER, US, packet.ICMP, ECHO))
    assert world.one().datagram.payload[4:] == ECHO[4:]
    assert world.statistics.bad_ip == 0


@pytest.mark.requirement("IP4-1")
@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 6},
        {"version": 3},
        {"ihl": 4},
        {"ihl": 15},
        {"total_len": 19},
        {"total_len": 4000},
        {"header_checksum": 0x1234},
    ],
)
def test_a_wrong_header_is_counted(world: World, wrong: dict[str, int]) -> None:
    datagram = packet.ipv4(PEER, US, packet.ICMP, ECHO, **wrong)  # type: ignore[arg-type]
    world.receive(packet.ethernet(datagram, ethertype=0x0800, destination=OUR_MAC))
    assert world.statistics.bad_ip == 1
    assert world.transmit() == []


@pytest.mark.requirement("IP4-1")
def test_every_cut_is_refused(world: World) -> None:
    datagram = packet.ipv4(PEER, US, packet.ICMP, ECHO, options=b"\x94\x04\0\0")
    for length in range(len(datagram)):
        world.receive(packet.ethernet(datagram[:length], ethertype=0x0800, destination=OUR_MAC))
    assert world.statistics.bad_ip == len(datagram)
    assert world.transmit() == []


@pytest.mark.requirement("IP4-1")
def test_a_header_verified_below_is_not_summed_again(world: World) -> None:
    datagram = packet.ipv4(PEER, US, packet.ICMP, ECHO, header_checksum=0)
    world.receive(packet.ethernet(datagram, destination=OUR_MAC), flags=lib.VNIC_STACK_RX_IP_GOOD)
    assert len(world.transmit()) == 1


@pytest.mark.requirement("IP4-2")
@pytest.mark.parametrize(
    "source",
    ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "10.0.0.255", US],
)
def test_impossible_sources_are_dropped(world: World, source: str) -> None:
    world.add_route("0.0.0.0/0", PEER)
    world.hear(packet.ipv4(source, US, packet.ICMP, ECHO))
    world.hear(packet.ipv4(source, US, packet.UDP, packet.udp(source, US, 1, 2)))
    assert world.statistics.bad_ip == 2
    assert world.transmit() == []


@pytest.mark.requirement("IP4-3")
@pytest.mark.parametrize(
    ("destination", "mac", "is_taken"),
    [
        (US, OUR_MAC, True),
        (OTHER, OUR_MAC, False),
        (US, BROADCAST, False),
        ("10.0.0.255", BROADCAST, True),
        ("255.255.255.255", BROADCAST, True),
        ("10.0.1.255", BROADCAST, False),
        ("224.0.0.1", packet.mac("01:00:5e:00:00:01"), True),
        ("224.0.0.1", OUR_MAC, True),
        ("224.0.0.2", OUR_MAC, False),
        ("224.0.0.251", packet.mac("01:00:5e:00:00:01"), False),
    ],
)
def test_destinations_that_are_ours(world: World, destination: str, mac: bytes, is_taken: bool) -> None:
    socket = world.bind(port=9)
    datagram = packet.ipv4(PEER, destination, packet.UDP, packet.udp(PEER, destination, 1, 9, b"x"))
    world.hear(datagram, destination=mac)
    assert world.statistics.not_for_us == (not is_taken)
    assert (socket in world.events()) == is_taken


@pytest.mark.requirement("IP4-3")
def test_tcp_to_all_is_dropped_silently(world: World) -> None:
    for destination in ("10.0.0.255", "224.0.0.1"):
        syn = packet.tcp(PEER, destination, 1000, 80, flags=packet.SYN)
        world.hear(packet.ipv4(PEER, destination, packet.TCP, syn), destination=BROADCAST)
    assert world.transmit() == []


@pytest.mark.requirement("IP4-4")
@pytest.mark.parametrize(
    "options", [b"\1\1\1\1", b"\0\xff\xff\xff", b"\x94\x04\0\0", b"\x07\x07\x04" + bytes(4), b"\1" * 40]
)
def test_options_are_skipped(world: World, options: bytes) -> None:
    world.hear(packet.ipv4(PEER, US, packet.ICMP, ECHO, options=options))
    assert world.one().datagram.payload[8:] == b"data"


@pytest.mark.requirement("IP4-4")
@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        (b"\x94\x00\0\0", 20),
        (b"\x94\x01\0\0", 20),
        (b"\x94\x05\0\0", 20),
        (b"\1\1\1\x94", 23),
        (b"\1\x07\x09\4", 21),
    ],
)
def test_broken_options_are_reported(world: World, options: bytes, pointer: int) -> None:
    datagram = packet.ipv4(PEER, US, packet.UDP, packet.udp(PEER, US, 1, 2), options=options)
    world.hear(datagram)
    error = world.one().datagram.payload
    assert (error[0], error[1], error[4]) == (12, 0, pointer)
    assert error[8:] == datagram
    assert world.statistics.bad_ip == 1


@pytest.mark.requirement("IP4-4")
@pytest.mark.parametrize("kind", [0x83, 0x89])
@pytest.mark.parametrize("pointer", [4, 8])
def test_source_routes_are_dropped(world: World, kind: int, pointer: int) -> None:
    options = bytes([kind, 7, pointer]) + packet.packed(OTHER)
    world.hear(packet.ipv4(PEER, US, packet.ICMP, ECHO, options=options))
    assert world.statistics.bad_ip == 1
    assert world.transmit() == []


@pytest.mark.requirement("IP4-5")
def test_the_header_of_a_datagram(world: World) -> None:
    socket = world.bind()
    world.send(socket, b"x")
    datagram = world.one().datagram  # whose lengths and sums were judged when it was read
    assert (datagram.ttl, datagram.tos, datagram.proto) == (64, 0, packet.UDP)
    assert not datagram.dont_fragment
    assert not datagram.is_fragment
    assert lib.vnic_stack_set_option(world.stack, socket, lib.VNIC_OPTION_TTL, 3) == 0
    assert lib.vnic_stack_set_option(world.stack, socket, lib.VNIC_OPTION_TOS, 0xB8) == 0
    world.send(socket, b"x")
    datagram = world.one().datagram
    assert (datagram.ttl, datagram.tos) == (3, 0xB8)


@pytest.mark.requirement("IP4-5")
def test_a_reset_may_not_be_cut(world: World) -> None:
    world.hear(packet.ipv4(PEER, US, packet.TCP, packet.tcp(PEER, US, 1000, 80, flags=packet.SYN)))
    datagram = world.one().datagram
    assert datagram.proto == packet.TCP
    assert datagram.payload[13] & packet.RST
    assert datagram.dont_fragment


@pytest.mark.requirement("IP4-6")
def test_identifications_do_not_repeat_and_tell_nothing(make_world: Callable[..., World]) -> None:
    seen = []
    for seed in (1, 2):
        world = make_world(seed=seed)
        world.know(PEER)
        world.know(OTHER)
        socket = world.bind()
        numbers: dict[str, list[int]] = {PEER: [], OTHER: []}
        for _ in range(100):
            for to, of_host in numbers.items():
                world.send(socket, b"x", to=to)
                of_host.append(world.one().datagram.identification)
        for of_host in numbers.values():
            assert len(set(of_host)) == 100
        assert abs(numbers[PEER][0] - numbers[OTHER][0]) > 1
        seen.append(numbers[PEER][0])
    assert seen[0] != seen[1]


@pytest.mark.requirement("IP4-7")
@pytest.mark.parametrize("mtu", [576, 1500, 1501, 9000])
@pytest.mark.parametrize("length", [0, 548, 549, 1472, 1473, 8000, 65507])
def test_long_datagrams_are_cut(make_world: Callable[..., World], mtu: int, length: int) -> None:
    world = make_world(mtu=mtu, addresses=((US, 24),))
    world.know(PEER)
    data = bytes(index % 251 for index in range(length))
    assert world.send(world.bind(), data) == length
    frames = world.transmit()
    assert all(len(frame.raw) <= mtu + 14 for frame in frames)
    assert all(len(frame.datagram.payload) % 8 == 0 for frame in frames[:-1])
    assert len(frames) == (1 if length + 28 <= mtu else -(-(length + 8) // ((mtu - 20) & ~7)))
    whole = join([frame.datagram for frame in frames])
    assert whole == packet.udp(US, PEER, 5000, 7, data)


@pytest.mark.requirement("IP4-7")
def test_all_fragments_or_none(make_world: Callable[..., World]) -> None:
    world = make_world(outbox_frames=8)
    world.know(PEER)
    socket = world.bind()
    assert world.send(socket, bytes(1)) == 1
    assert world.send(socket, bytes(12000)) == lib.VNIC_STACK_EAGAIN
    assert len(world.transmit()) == 1
    assert world.send(socket, bytes(11000)) == 11000
    assert len(world.transmit()) == 8
    assert world.send(socket, bytes(12000)) == lib.VNIC_STACK_ENOBUFS
    assert world.transmit() == []


@pytest.mark.requirement("IP4-8")
def test_an_unknown_protocol_is_reported(world: World) -> None:
    datagram = packet.ipv4(PEER, US, 132, b"sctp")
    world.hear(datagram)
    frame = world.one()
    assert frame.destination == PEER_MAC
    assert frame.datagram.payload[:2] == b"\3\2"
    assert frame.datagram.payload[8:] == datagram
    assert world.statistics.no_protocol == 1
