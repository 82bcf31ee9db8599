"""IPv6 headers and extension headers in and out, by the requirements of spec/stack.md."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.stack.seen import join
from tests.stack.world import (
    ALL_NODES,
    OUR_LINK_LOCAL,
    OUR_MAC,
    PEER6,
    PEER_LINK_LOCAL,
    US,
    US6,
    World,
    group_mac,
)
from vnic._core import lib
from vnic.wire import packet

HBH, DST, ROUTING, FRAGMENT = packet.HOP_BY_HOP, packet.DESTINATION, packet.ROUTING, packet.FRAGMENT
PADDING = packet.options_header(b"\1\4\0\0\0\0")


def echo(source: str = PEER6, destination: str = US6) -> bytes:
    return packet.icmpv6(source, destination, 128, 0, b"\0\1\0\1data")


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """It knows its peer, so that every answer shows at once."""
    made = make_world()
    made.know(PEER6)
    made.know(PEER_LINK_LOCAL)
    return made


def is_answered(world: World) -> bool:
    frames = world.transmit()
    return [frame.datagram.payload[0] for frame in frames] == [129]


def problem_of(world: World) -> tuple[int, int, int]:
    """Type, code and pointer of the error that was sent."""
    return struct.unpack("!BBxxI", world.one().datagram.payload[:8])


@pytest.mark.requirement("IP6-1")
@pytest.mark.parametrize(
    "wrong", [{"version": 4}, {"version": 5}, {"payload_len": 13}, {"payload_len": 65535}]
)
def test_a_wrong_header_is_counted(world: World, wrong: dict[str, int]) -> None:
    datagram = packet.ipv6(PEER6, US6, packet.ICMPV6, echo(), **wrong)  # type: ignore[arg-type]
    world.receive(packet.ethernet(datagram, ethertype=0x86DD, destination=OUR_MAC))
    assert world.statistics.bad_ip == 1
    assert world.transmit() == []


@pytest.mark.requirement("IP6-1")
def test_every_cut_is_refused(world: World) -> None:
    datagram = packet.ipv6(PEER6, US6, packet.ICMPV6, echo(), extensions=[(HBH, PADDING)])
    for length in range(len(datagram)):
        world.receive(packet.ethernet(datagram[:length], ethertype=0x86DD, destination=OUR_MAC))
    assert world.statistics.bad_ip == len(datagram)
    assert world.transmit() == []


@pytest.mark.requirement("IP6-1")
def test_no_ipv6_below_its_smallest_mtu(make_world: Callable[..., World]) -> None:
    world = make_world(mtu=1279, addresses=((US, 24),))
    world.hear(packet.ipv6(PEER6, ALL_NODES, packet.ICMPV6, echo()), destination=group_mac(ALL_NODES))
    assert world.statistics.not_for_us == 1
    assert world.transmit() == []


@pytest.mark.requirement("IP6-2")
@pytest.mark.parametrize("source", ["::1", "ff02::1", "::ffff:10.0.0.2", "::10.0.0.2", US6])
def test_impossible_sources_are_dropped(world: World, source: str) -> None:
    world.add_route("::/0", PEER_LINK_LOCAL)
    world.hear(packet.ipv6(source, US6, packet.ICMPV6, echo(source)))
    assert world.statistics.bad_ip == 1
    assert world.transmit() == []


@pytest.mark.requirement("IP6-2")
def test_the_unspecified_source_gets_no_answer(world: World) -> None:
    socket = world.bind("::", 9)
    world.hear(packet.ipv6("::", US6, packet.ICMPV6, echo("::")))
    world.hear(packet.ipv6("::", US6, packet.UDP, packet.udp("::", US6, 1, 9, b"x")))
    world.hear(packet.ipv6("::", US6, packet.TCP, packet.tcp("::", US6, 1, 9, flags=packet.SYN)))
    world.hear(packet.ipv6("::", US6, 132, b"sctp"))
    assert world.transmit() == []
    assert socket not in world.events()
    assert world.statistics.bad_ip == 3


@pytest.mark.requirement("IP6-3")
@pytest.mark.parametrize(
    "extensions",
    [
        [],
        [(HBH, PADDING)],
        [(DST, PADDING)],
        [
            (HBH, PADDING),
            (DST, PADDING),
            (ROUTING, packet.routing_header(US6, segments_left=0)),
            (DST, PADDING),
        ],
        [(DST, PADDING)] * 8,
        [(HBH, packet.options_header(b"\5\2\0\0"))],
        [(DST, packet.options_header(b"\0\0\0\0"))],
        [(FRAGMENT, packet.fragment_header(0, more=False)), (DST, PADDING)],
    ],
)
def test_extension_headers_are_walked(world: World, extensions: list[tuple[int, bytes]]) -> None:
    world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, echo(), extensions=extensions))
    assert is_answered(world)


@pytest.mark.requirement("IP6-3")
def test_no_more_than_eight(world: World) -> None:
    world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, echo(), extensions=[(DST, PADDING)] * 9))
    assert world.transmit() == []
    assert world.statistics.bad_ip == 1


@pytest.mark.requirement("IP6-3")
def test_hop_by_hop_comes_first(world: World) -> None:
    extensions = [(DST, PADDING), (HBH, PADDING)]
    world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, echo(), extensions=extensions))
    assert problem_of(world) == (4, 1, 40)


@pytest.mark.requirement("IP6-3")
@pytest.mark.parametrize("kind", [HBH, DST])
def test_a_header_beyond_the_end_is_dropped(world: World, kind: int) -> None:
    body = bytearray(PADDING)
    body[1] = 5
    world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, echo(), extensions=[(kind, bytes(body))]))
    assert world.transmit() == []
    assert world.statistics.bad_ip == 1


@pytest.mark.requirement("IP6-3")
def test_an_option_beyond_its_header_is_reported(world: World) -> None:
    extensions = [(DST, b"\0\0\x1e\x05\0\0\0\0")]
    world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, echo(), extensions=extensions))
    # An echo request is a query, so errors about it may be sent.
    assert problem_of(world) == (4, 0, 42)


@pytest.mark.requirement("IP6-4")
@pytest.mark.parametrize("kind", [HBH, DST])
@pytest.mark.parametrize(
    ("option", "to", "expected"),
    [
        (0x1E, US6, "answered"),
        (0x5E, US6, "dropped"),
        (0x9E, US6, "reported"),
        (0xDE, US6, "reported"),
        (0xC9, US6, "reported"),
        (0x1E, ALL_NODES, "answered"),
        (0x5E, ALL_NODES, "dropped"),
        (0x9E, ALL_NODES, "reported"),
        (0xDE, ALL_NODES, "dropped"),
    ],
)
def test_unknown_options(world: World, kind: int, option: int, to: str, expected: str) -> None:
    header = packet.options_header(bytes([1, 0, option, 2, 0, 0]))
    datagram = packet.ipv6(PEER6, to, packet.ICMPV6, echo(PEER6, to), extensions=[(kind, header)])
    world.hear(datagram, destination=group_mac(to) if to == ALL_NODES else OUR_MAC)
    if expected == "reported":
        assert problem_of(world) == (4, 2, 44)
    else:
        assert is_answered(world) == (expected == "answered")
    assert world.statistics.bad_ip == (expected != "answered")


@pytest.mark.requirement("IP6-5")
@pytest.mark.parametrize("kind", [0, 2, 3, 4, 253])
def test_routing_headers(world: World, kind: int) -> None:
    for left in (0, 1, 255):
        header = packet.routing_header(US6, kind=kind, segments_left=left)
        world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, echo(), extensions=[(ROUTING, header)]))
        if left == 0:
            assert is_answered(world)
        else:
            assert problem_of(world) == (4, 0, 42)


@pytest.mark.requirement("IP6-6")
@pytest.mark.parametrize("proto", [50, 51, 132, 135, 253])
def test_an_unknown_next_header_is_reported(world: World, proto: int) -> None:
    world.hear(packet.ipv6(PEER6, US6, proto, bytes(16)))
    assert problem_of(world) == (4, 1, 6)
    world.hear(packet.ipv6(PEER6, US6, proto, bytes(16), extensions=[(DST, PADDING)]))
    assert problem_of(world) == (4, 1, 40)
    assert world.statistics.no_protocol == 2


@pytest.mark.requirement("IP6-6")
def test_no_next_header_is_the_end(world: World) -> None:
    world.hear(packet.ipv6(PEER6, US6, packet.NO_NEXT_HEADER, b"anything"))
    world.hear(packet.ipv6(PEER6, US6, packet.NO_NEXT_HEADER, b"", extensions=[(DST, PADDING)]))
    assert world.transmit() == []
    assert (world.statistics.bad_ip, world.statistics.no_protocol) == (0, 0)


@pytest.mark.requirement("IP6-7")
@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
@pytest.mark.parametrize("length", [0, 1232, 1233, 1452, 1453, 20000, 65527])
def test_long_datagrams_are_cut(make_world: Callable[..., World], mtu: int, length: int) -> None:
    world = make_world(mtu=mtu)
    world.know(PEER6)
    data = bytes(index % 251 for index in range(length))
    assert world.send(world.bind("::"), data, to=PEER6) == length
    frames = world.transmit()
    assert all(len(frame.raw) <= mtu + 14 for frame in frames)
    assert len(frames) == (1 if length + 48 <= mtu else -(-(length + 8) // ((mtu - 48) & ~7)))
    assert join([frame.datagram for frame in frames]) == packet.udp(US6, PEER6, 5000, 7, data)


@pytest.mark.requirement("IP6-7")
def test_identifications_differ(world: World) -> None:
    socket, seen = world.bind("::"), set()
    for _ in range(50):
        world.send(socket, bytes(2000), to=PEER6)
        seen.add(world.transmit()[0].datagram.identification)
    assert len(seen) == 50


@pytest.mark.requirement("IP6-8")
def test_resets_are_never_cut(world: World) -> None:
    # The path MTU of a connection is its own affair; a segment that is not of one fits every link.
    segment = packet.tcp(PEER6, US6, 1000, 80, bytes(1000), flags=packet.ACK)
    world.hear(packet.ipv6(PEER6, US6, packet.TCP, segment))
    datagram = world.one().datagram
    assert datagram.proto == packet.TCP
    assert not datagram.is_fragment
    assert datagram.payload[13] & packet.RST


def test_link_local_answers_leave_where_the_question_came_from(make_world: Callable[..., World]) -> None:
    world = make_world(addresses=())
    assert world.add_interface() == 1  # with the same MAC and so the same link-local address
    world.set_link(True, 1)
    assert world.know(PEER_LINK_LOCAL, interface=1) == 0
    message = packet.icmpv6(PEER_LINK_LOCAL, OUR_LINK_LOCAL, 128, 0, b"\0\1\0\1")
    datagram = packet.ipv6(PEER_LINK_LOCAL, OUR_LINK_LOCAL, packet.ICMPV6, message)
    world.receive(packet.ethernet(datagram, destination=OUR_MAC), interface=1)
    assert world.transmit(0) == []
    assert world.one(1).datagram.payload[0] == 129
    assert lib.vnic_stack_deadline(world.stack) == 2**64 - 1
