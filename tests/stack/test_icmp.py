"""ICMP and ICMPv6, by the requirements of spec/stack.md."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tests.stack.seen import join
from tests.stack.world import (
    ALL_NODES,
    OTHER,
    PEER,
    PEER6,
    PEER_LINK_LOCAL,
    US,
    US6,
    World,
    group_mac,
    solicited_node,
)
from vnic._core import lib
from vnic.wire import packet

BROADCAST = b"\xff" * 6
REFUSED, UNREACHABLE = lib.VNIC_STACK_ECONNREFUSED, lib.VNIC_STACK_EHOSTUNREACH


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """It knows its peers, so that every answer shows at once."""
    return knowing(make_world())


def knowing(world: World) -> World:
    for text in (PEER, PEER6, PEER_LINK_LOCAL):
        world.know(text)
    return world


def echo(version: int, data: bytes = b"data", to: str | None = None) -> bytes:
    body = b"\x12\x34\0\1" + data
    if version == 4:
        return packet.ipv4(PEER, to or US, packet.ICMP, packet.icmp(8, 0, body), tos=0x42, fragment=0)
    message = packet.icmpv6(PEER6, to or US6, 128, 0, body)
    return packet.ipv6(PEER6, to or US6, packet.ICMPV6, message, traffic_class=0x42)


def closed_port(version: int, source: str | None = None, data: bytes = b"") -> bytes:
    if version == 4:
        return packet.ipv4(source or PEER, US, packet.UDP, packet.udp(source or PEER, US, 1, 2, data))
    return packet.ipv6(source or PEER6, US6, packet.UDP, packet.udp(source or PEER6, US6, 1, 2, data))


# -- echo


@pytest.mark.requirement("ICMP-1")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("length", [0, 1, 56, 1400])
def test_an_echo_request_is_answered(world: World, version: int, length: int) -> None:
    data = bytes(index % 256 for index in range(length))
    world.hear(echo(version, data))
    answer = world.one().datagram
    assert answer.source == packet.packed(US if version == 4 else US6)
    assert answer.payload[:2] == (b"\0\0" if version == 4 else b"\x81\0")
    assert answer.payload[4:] == b"\x12\x34\0\1" + data
    assert answer.tos == 0x40
    assert (world.statistics.icmp_in, world.statistics.icmp_out) == (1, 1)


@pytest.mark.requirement("ICMP-1")
@pytest.mark.parametrize("version", [4, 6])
def test_the_largest_echo_is_answered_in_fragments(world: World, version: int) -> None:
    data = bytes(index % 251 for index in range(65507 - 8))
    whole = echo(version, data)
    header = 20 if version == 4 else 40
    payload = whole[header:]
    for at in range(0, len(payload), 1448):
        part, more = payload[at : at + 1448], at + 1448 < len(payload)
        if version == 4:
            field = (packet.MORE_FRAGMENTS if more else 0) | at // 8
            world.hear(packet.ipv4(PEER, US, packet.ICMP, part, fragment=field))
        else:
            extension = (packet.FRAGMENT, packet.fragment_header(at, more=more))
            world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, part, extensions=[extension]))
    answer = join([frame.datagram for frame in world.transmit()])
    assert answer[8:] == data


@pytest.mark.requirement("ICMP-1")
@pytest.mark.parametrize("to", ["10.0.0.255", "255.255.255.255", "224.0.0.1"])
def test_an_echo_request_to_all_is_not_answered(world: World, to: str) -> None:
    world.hear(echo(4, to=to), destination=BROADCAST)
    assert world.transmit() == []
    assert world.statistics.icmp_in == 1


@pytest.mark.requirement("ICMP-1")
@pytest.mark.parametrize("group", [ALL_NODES, "ff01::1", solicited_node(US6)])
def test_an_echo_request_to_an_ipv6_group_is(world: World, group: str) -> None:
    world.hear(echo(6, to=group), destination=group_mac(group))
    assert world.one().datagram.source == packet.packed(US6)


@pytest.mark.requirement("ICMP-2")
@pytest.mark.parametrize("field", [0, 0xFFFF, 0x1234])
def test_wrong_checksums(world: World, field: int) -> None:
    world.hear(packet.ipv4(PEER, US, packet.ICMP, packet.icmp(8, 0, b"\0\1\0\1", field=field)))
    world.hear(
        packet.ipv6(PEER6, US6, packet.ICMPV6, packet.icmpv6(PEER6, US6, 128, 0, b"\0\1\0\1", field=field))
    )
    assert world.statistics.icmp_bad == 2
    assert world.transmit() == []


@pytest.mark.requirement("ICMP-2")
@pytest.mark.parametrize("length", range(8))
def test_short_messages(world: World, length: int) -> None:
    body = bytes(max(length - 4, 0))
    world.hear(packet.ipv4(PEER, US, packet.ICMP, packet.icmp(8, 0, body)[:length]))
    world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, packet.icmpv6(PEER6, US6, 128, 0, body)[:length]))
    assert world.statistics.icmp_bad == 2
    assert world.transmit() == []


def test_other_queries_are_not_answered(world: World) -> None:
    for kind in (13, 15, 17, 10, 5, 9):
        world.hear(packet.ipv4(PEER, US, packet.ICMP, packet.icmp(kind, 0, bytes(28))))
    for kind in (130, 131, 139, 200):
        world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, packet.icmpv6(PEER6, US6, kind, 0, bytes(28))))
    assert world.transmit() == []
    assert world.statistics.icmp_in == 10


# -- errors that we send


@pytest.mark.requirement("ICMP-3")
@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12, 42])
def test_no_error_about_an_error(world: World, kind: int) -> None:
    broken = packet.ipv4(PEER, US, packet.ICMP, packet.icmp(kind, 0, bytes(28)), options=b"\x94\0\0\0")
    world.hear(broken)
    world.hear(packet.ipv4(PEER, US, packet.ICMP, packet.icmp(8, 0, bytes(4)), options=b"\x94\0\0\0"))
    assert len(world.transmit()) == 1  # only about the echo request


@pytest.mark.requirement("ICMP-3")
@pytest.mark.parametrize(
    ("kind", "is_told"), [(1, False), (4, False), (127, False), (137, False), (128, True)]
)
def test_no_error_about_an_icmpv6_error(world: World, kind: int, is_told: bool) -> None:
    unknown = packet.options_header(b"\x9e\2\0\0")
    message = packet.icmpv6(PEER6, US6, kind, 0, bytes(40))
    for extensions in ([(60, unknown)], [(60, packet.options_header(b"")), (43, packet.routing_header(US6))]):
        world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, message, extensions=extensions))
    assert len(world.transmit()) == (2 if is_told else 0)
    assert world.statistics.bad_ip == 2


@pytest.mark.requirement("ICMP-3")
def test_no_error_about_groups_and_broadcasts(world: World) -> None:
    for to in ("10.0.0.255", "224.0.0.1"):
        world.hear(packet.ipv4(PEER, to, packet.UDP, packet.udp(PEER, to, 1, 2)), destination=BROADCAST)
        world.hear(packet.ipv4(PEER, to, 132, b"x"), destination=BROADCAST)
    datagram = packet.udp(PEER6, ALL_NODES, 1, 2)
    world.hear(packet.ipv6(PEER6, ALL_NODES, packet.UDP, datagram), destination=group_mac(ALL_NODES))
    assert world.transmit() == []
    assert world.statistics.icmp_limited == 0


@pytest.mark.requirement("ICMP-3")
def test_no_error_about_later_fragments(world: World) -> None:
    world.hear(
        packet.ipv4(
            PEER, US, packet.UDP, bytes(16), fragment=packet.MORE_FRAGMENTS | 2, options=b"\x94\0\0\0"
        )
    )
    assert world.transmit() == []
    world.hear(packet.ipv4(PEER, US, packet.UDP, bytes(16), options=b"\x94\0\0\0"))
    assert len(world.transmit()) == 1


@pytest.mark.requirement("ICMP-4")
@pytest.mark.parametrize("version", [4, 6])
def test_errors_to_one_host_are_limited(world: World, version: int) -> None:
    for _ in range(100):
        world.hear(closed_port(version))
    assert len(world.transmit()) == 10
    assert world.statistics.icmp_limited == 90
    world.advance(0.5)
    for _ in range(100):
        world.hear(closed_port(version))
    assert len(world.transmit()) == 5
    world.hear(echo(version))
    assert len(world.transmit()) == 1


@pytest.mark.requirement("ICMP-4")
def test_errors_to_all_are_limited_by_a_random_measure(make_world: Callable[..., World]) -> None:
    counts = set()
    for seed in range(12):
        world = make_world(seed=seed, addresses=((US, 16),), neighbours=512, outbox_frames=512)
        for host in range(200):
            world.know(f"10.0.1.{host}")
            world.hear(closed_port(4, f"10.0.1.{host}"))
        counts.add(len(world.transmit()))
    assert min(counts) >= 15
    assert max(counts) <= 50
    assert len(counts) > 3


@pytest.mark.requirement("ICMP-5")
@pytest.mark.parametrize(("version", "longest"), [(4, 576), (6, 1280)])
@pytest.mark.parametrize("length", [0, 500, 1400])
def test_what_is_quoted(world: World, version: int, longest: int, length: int) -> None:
    datagram = closed_port(version, data=bytes(index % 256 for index in range(length)))
    world.hear(datagram)
    frame = world.one()
    assert len(frame.raw) - 14 <= longest
    quoted = frame.datagram.payload[8:]
    assert quoted == datagram[: len(quoted)]
    assert len(quoted) == min(len(datagram), longest - 8 - (20 if version == 4 else 40))


# -- errors that we receive


def sent_to(world: World, version: int, port: int = 9) -> tuple[int, bytes, str]:
    """A socket, the datagram that it sent, and to whom."""
    socket = world.bind("0.0.0.0" if version == 4 else "::")
    to = PEER if version == 4 else PEER6
    world.send(socket, b"question", to=to, port=port)
    return socket, world.one().raw[14:], to


def hear_error(world: World, version: int, kind: int, code: int, quote: bytes, *, word: int = 0) -> None:
    body = struct.pack("!I", word) + quote
    if version == 4:
        world.hear(packet.ipv4(OTHER, US, packet.ICMP, packet.icmp(kind, code, body)))
    else:
        message = packet.icmpv6(PEER_LINK_LOCAL, US6, kind, code, body)
        world.hear(packet.ipv6(PEER_LINK_LOCAL, US6, packet.ICMPV6, message))


@pytest.mark.requirement("ICMP-6", "UDP-9")
@pytest.mark.parametrize(
    ("version", "kind", "code", "result"),
    [
        (4, 3, 3, REFUSED),
        (4, 3, 2, REFUSED),
        (4, 3, 0, UNREACHABLE),
        (4, 3, 1, UNREACHABLE),
        (4, 3, 13, UNREACHABLE),
        (4, 11, 0, UNREACHABLE),
        (4, 12, 0, UNREACHABLE),
        (6, 1, 4, REFUSED),
        (6, 1, 0, UNREACHABLE),
        (6, 1, 1, UNREACHABLE),
        (6, 3, 0, UNREACHABLE),
        (6, 4, 1, REFUSED),
        (6, 4, 0, UNREACHABLE),
    ],
)
def test_an_error_reaches_its_socket_once(
    world: World, version: int, kind: int, code: int, result: int
) -> None:
    socket, quote, to = sent_to(world, version)
    other = world.bind("0.0.0.0" if version == 4 else "::", 5001)
    hear_error(world, version, kind, code, quote)
    assert world.events() == {socket: lib.VNIC_EVENT_SOFT_ERROR}
    assert world.take_result(socket) == (result, to, 9)
    assert world.take_result(socket)[0] == lib.VNIC_STACK_EAGAIN
    assert world.take_result(other)[0] == lib.VNIC_STACK_EAGAIN


@pytest.mark.requirement("ICMP-6")
@pytest.mark.parametrize("version", [4, 6])
def test_28_or_48_bytes_are_enough(world: World, version: int) -> None:
    socket, quote, to = sent_to(world, version)
    enough = 28 if version == 4 else 48
    kind, code = (3, 3) if version == 4 else (1, 4)
    for length in range(enough):
        hear_error(world, version, kind, code, quote[:length])
    assert world.events() == {}
    hear_error(world, version, kind, code, quote[:enough])
    assert world.take_result(socket) == (REFUSED, to, 9)


@pytest.mark.requirement("ICMP-6")
@pytest.mark.parametrize("version", [4, 6])
def test_quotes_of_what_is_not_ours(world: World, version: int) -> None:
    _, quote, _ = sent_to(world, version)
    kind, code = (3, 3) if version == 4 else (1, 4)
    header = 20 if version == 4 else 40
    source = slice(12, 16) if version == 4 else slice(8, 24)
    for at, change in (
        (slice(0, 1), b"\x56"),
        (slice(header, header + 2), b"\xff\xff"),
        (slice(9, 10) if version == 4 else slice(6, 7), b"\x84"),
    ):
        bad = bytearray(quote)
        bad[at] = change
        hear_error(world, version, kind, code, bytes(bad))
    later = bytearray(quote)
    if version == 4:
        later[6:8] = b"\0\1"
        hear_error(world, version, kind, code, bytes(later))
    stranger = bytearray(quote)
    stranger[source] = packet.packed("10.0.0.77" if version == 4 else "2001:db8::77")
    hear_error(world, version, kind, code, bytes(stranger))
    assert world.events() == {}


@pytest.mark.requirement("ICMP-6")
def test_an_error_to_all_is_ignored(world: World) -> None:
    _, quote, _ = sent_to(world, 4)
    message = packet.icmp(3, 3, bytes(4) + quote)
    world.hear(packet.ipv4(OTHER, "10.0.0.255", packet.ICMP, message), destination=BROADCAST)
    assert world.events() == {}


@pytest.mark.requirement("ICMP-6")
def test_source_quench_is_ignored(world: World) -> None:
    _, quote, _ = sent_to(world, 4)
    hear_error(world, 4, 4, 0, quote)
    assert world.events() == {}


def longest_sent(world: World, socket: int, to: str = PEER6) -> int:
    assert world.send(socket, bytes(6000), to=to) == 6000
    return max(len(frame.raw) - 14 for frame in world.transmit())


@pytest.mark.requirement("ICMP-7")
@pytest.mark.parametrize(
    ("mtu", "expected"), [(1280, 1280), (1400, 1400), (1279, 1496), (68, 1496), (9000, 1496)]
)
def test_a_path_mtu_is_learned(world: World, mtu: int, expected: int) -> None:
    socket, quote, _ = sent_to(world, 6)
    hear_error(world, 6, 2, 0, quote, word=mtu)
    assert longest_sent(world, socket) == expected
    assert world.events() == {}
    assert world.statistics.icmp_bad == (mtu < 1280)


@pytest.mark.requirement("ICMP-7")
def test_for_ten_minutes_and_for_that_host(world: World) -> None:
    world.know("2001:db8::3")
    socket, quote, _ = sent_to(world, 6)
    hear_error(world, 6, 2, 0, quote, word=1300)
    world.advance(599)
    assert longest_sent(world, socket) <= 1300
    assert longest_sent(world, socket, "2001:db8::3") == 1496
    world.advance(1)
    assert longest_sent(world, socket) == 1496


@pytest.mark.requirement("ICMP-7")
def test_not_from_a_stranger(world: World) -> None:
    socket, quote, _ = sent_to(world, 6)
    forged = quote[:40] + struct.pack("!H", 4999) + quote[42:]
    hear_error(world, 6, 2, 0, forged, word=1300)
    assert longest_sent(world, socket) == 1496


# -- echo sockets


def open_echo(world: World, version: int) -> int:
    return int(lib.vnic_icmp_open(world.stack, version == 6))


@pytest.mark.requirement("ICMP-8")
@pytest.mark.parametrize("version", [4, 6])
def test_an_echo_socket_gets_the_answers_to_it(world: World, version: int) -> None:
    first, second = open_echo(world, version), open_echo(world, version)
    kinds, to = ((8, 0), PEER) if version == 4 else ((128, 129), PEER6)
    identifiers = []
    for socket in (first, second):
        request = bytes([kinds[0], 0, 0xEE, 0xEE, 0xEE, 0xEE, 0, 7]) + b"data"
        assert world.send(socket, request, to=to, port=0) == len(request)
        message = world.one().datagram.payload  # whose checksum was judged
        assert (message[0], message[6:]) == (kinds[0], b"\0\7data")
        identifiers.append(message[4:6])
    assert identifiers[0] != identifiers[1]
    for identifier in (identifiers[1], b"\xfe\xfe"):
        body = identifier + b"\0\7data"
        if version == 4:
            world.hear(packet.ipv4(PEER, US, packet.ICMP, packet.icmp(0, 0, body)))
        else:
            answer = packet.icmpv6(PEER6, US6, 129, 0, body)
            world.hear(packet.ipv6(PEER6, US6, packet.ICMPV6, answer))
    assert world.events() == {second: lib.VNIC_EVENT_READABLE}
    data, source, _ = world.take(second)
    assert (data[0], data[4:], source) == (kinds[1], identifiers[1] + b"\0\7data", to)


@pytest.mark.requirement("ICMP-8")
@pytest.mark.parametrize(
    "message", [b"", b"\x08\0\0\0\0\0\0", b"\0" + bytes(7), b"\x08\1" + bytes(6), b"\3" + bytes(7)]
)
def test_it_sends_nothing_else(world: World, message: bytes) -> None:
    socket = open_echo(world, 4)
    assert world.send(socket, message) == lib.VNIC_EINVAL
    assert world.transmit() == []


@pytest.mark.requirement("ICMP-8", "ICMP-6")
@pytest.mark.parametrize("version", [4, 6])
def test_it_hears_of_errors(world: World, version: int) -> None:
    socket = open_echo(world, version)
    to = PEER if version == 4 else PEER6
    world.send(socket, bytes([8 if version == 4 else 128]) + bytes(11), to=to)
    quote = world.one().raw[14:]
    hear_error(world, version, 11 if version == 4 else 3, 0, quote)
    assert world.take_result(socket)[:2] == (UNREACHABLE, to)


@pytest.mark.requirement("ICMP-8")
def test_echo_sockets_are_bounded_and_close(world: World) -> None:
    sockets = [open_echo(world, 4) for _ in range(64)]
    assert min(sockets) > 0
    assert open_echo(world, 4) == lib.VNIC_STACK_ENOBUFS
    for socket in sockets:
        assert world.close(socket) == 0
    assert world.close(sockets[0]) == lib.VNIC_STACK_EBADF
    assert open_echo(world, 4) > 0
