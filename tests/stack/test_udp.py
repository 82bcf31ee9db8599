"""UDP, by the requirements of spec/stack.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.world import OTHER, OUR_MAC, PEER, PEER6, PEER_MAC, US, US6, World
from vnic._core import ffi, lib
from vnic.wire import checksum, packet

BROADCAST = b"\xff" * 6


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """It knows its peers, so that every answer shows at once."""
    return knowing(make_world())


def knowing(world: World) -> World:
    world.know(PEER)
    world.know(PEER6)
    return world


def datagram(
    port: int, data: bytes, *, version: int = 4, to: str | None = None, source: str | None = None, **more: Any
) -> bytes:
    """From port 1000 of the peer to a port of ours."""
    ends = (source or (PEER if version == 4 else PEER6), to or (US if version == 4 else US6))
    inner = packet.udp(*ends, 1000, port, data, **more)
    return (packet.ipv4 if version == 4 else packet.ipv6)(*ends, packet.UDP, inner)


@pytest.mark.requirement("UDP-1")
@pytest.mark.parametrize(("version", "us", "peer"), [(4, US, PEER), (6, US6, PEER6)])
@pytest.mark.parametrize("is_any", [True, False])
def test_a_datagram_reaches_its_socket(world: World, version: int, us: str, peer: str, is_any: bool) -> None:
    socket = world.bind(("0.0.0.0" if version == 4 else "::") if is_any else us, 9)
    others = [world.bind(us, 10), world.bind("::" if version == 4 else "0.0.0.0", 9)]
    for data in (b"one", b"", b"three"):
        world.hear(datagram(9, data, version=version))
    assert world.events() == {socket: lib.VNIC_EVENT_READABLE}
    assert [world.take(socket) for _ in range(3)] == [
        (b"one", peer, 1000),
        (b"", peer, 1000),
        (b"three", peer, 1000),
    ]
    for empty in (socket, *others):
        assert world.take_result(empty)[0] == lib.VNIC_STACK_EAGAIN
    assert world.statistics.udp_in == 3


@pytest.mark.requirement("UDP-1")
def test_a_bound_address_gets_nothing_else(world: World) -> None:
    world.add_address("10.0.0.5", 24)
    socket = world.bind("10.0.0.5", 9)
    world.hear(datagram(9, b"x"))
    assert world.take_result(socket)[0] == lib.VNIC_STACK_EAGAIN
    assert world.statistics.no_port == 1
    world.hear(datagram(9, b"y", to="10.0.0.5"))
    assert world.take(socket)[0] == b"y"


@pytest.mark.requirement("UDP-1")
def test_the_whole_length_is_told_when_the_buffer_is_short(world: World) -> None:
    socket = world.bind(port=9)
    world.hear(datagram(9, b"0123456789"))
    world.hear(datagram(9, b"next"))
    out = ffi.new("uint8_t[]", b"........")
    assert lib.vnic_udp_receive(world.stack, socket, ffi.NULL, out, 4) == 10
    assert bytes(ffi.buffer(out, 8)) == b"0123...."
    assert world.take(socket)[0] == b"next"


@pytest.mark.requirement("UDP-1")
def test_broadcasts_reach_sockets_of_any_address(world: World) -> None:
    any_socket, bound = world.bind(port=9), world.bind(US, 10)
    for port in (9, 10):
        world.hear(datagram(port, b"x", to="10.0.0.255"), destination=BROADCAST)
    assert world.take(any_socket)[0] == b"x"
    assert world.take_result(bound)[0] == lib.VNIC_STACK_EAGAIN


@pytest.mark.requirement("UDP-2")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "wrong", [{"field": 0x1234}, {"length": 7}, {"length": 0}, {"length": 13}, {"length": 65535}]
)
def test_wrong_checksums_and_lengths(world: World, version: int, wrong: dict[str, Any]) -> None:
    socket = world.bind("0.0.0.0" if version == 4 else "::", 9)
    world.hear(datagram(9, b"data", version=version, **wrong))
    assert world.statistics.bad_l4_checksum == 1
    assert world.events() == {}
    assert world.take_result(socket)[0] == lib.VNIC_STACK_EAGAIN
    assert world.transmit() == []


@pytest.mark.requirement("UDP-2")
@pytest.mark.parametrize("length", range(8))
def test_cut_headers(world: World, length: int) -> None:
    world.hear(packet.ipv4(PEER, US, packet.UDP, bytes(length)))
    world.hear(packet.ipv6(PEER6, US6, packet.UDP, bytes(length)))
    assert world.statistics.bad_l4_checksum == 2
    assert world.transmit() == []


@pytest.mark.requirement("UDP-2")
def test_no_checksum_is_fine_over_ipv4_only(world: World) -> None:
    sockets = [world.bind("0.0.0.0", 9), world.bind("::", 9)]
    world.hear(datagram(9, b"four", field=0))
    world.hear(datagram(9, b"six", version=6, field=0))
    assert world.events() == {sockets[0]: lib.VNIC_EVENT_READABLE}
    assert world.statistics.bad_l4_checksum == 1


@pytest.mark.requirement("UDP-2")
def test_bytes_behind_the_udp_length_are_left_out(world: World) -> None:
    socket = world.bind(port=9)
    inner = packet.udp(PEER, US, 1000, 9, b"data")
    world.hear(packet.ipv4(PEER, US, packet.UDP, inner + b"behind"))
    assert world.take(socket)[0] == b"data"


@pytest.mark.requirement("UDP-2")
def test_a_checksum_verified_below_is_not_summed_again(world: World) -> None:
    socket = world.bind(port=9)
    frame = packet.ethernet(datagram(9, b"x", field=0x1234), source=PEER_MAC, destination=OUR_MAC)
    world.receive(frame, flags=lib.VNIC_STACK_RX_L4_GOOD)
    assert world.take(socket)[0] == b"x"


@pytest.mark.requirement("UDP-3")
@pytest.mark.parametrize(("version", "us", "peer"), [(4, US, PEER), (6, US6, PEER6)])
def test_what_is_sent(world: World, version: int, us: str, peer: str) -> None:
    socket = world.bind("0.0.0.0" if version == 4 else "::", 9)
    assert world.send(socket, b"data", to=peer, port=77) == 4
    frame = world.one()
    assert frame.destination == PEER_MAC
    assert frame.datagram.payload == packet.udp(us, peer, 9, 77, b"data")
    assert frame.checksum_start == 0
    assert world.statistics.udp_out == 1


@pytest.mark.requirement("UDP-3")
def test_a_sum_of_zero_is_sent_as_ffff(world: World) -> None:
    socket = world.bind(port=9)
    plain = packet.udp(US, PEER, 9, 7, b"\0\0")
    filling = int.from_bytes(plain[6:8])  # makes the sum 0xffff and the field 0
    world.send(socket, filling.to_bytes(2))
    assert world.one().datagram.payload[6:8] == b"\xff\xff"


@pytest.mark.requirement("UDP-3")
@pytest.mark.parametrize("vlan", [0, 5])
@pytest.mark.parametrize(("version", "us", "peer"), [(4, US, PEER), (6, US6, PEER6)])
def test_a_checksum_is_left_to_the_link(
    make_world: Callable[..., World], version: int, us: str, peer: str, vlan: int
) -> None:
    world = knowing(make_world(offload=lib.VNIC_STACK_TX_CHECKSUM, vlan=vlan))
    world.send(world.bind("0.0.0.0" if version == 4 else "::", 9), b"data", to=peer, port=77)
    frame = world.one()
    pseudo = checksum.pseudo(packet.packed(us), packet.packed(peer), packet.UDP, 12)
    assert frame.checksum_start == 14 + (4 if vlan else 0) + (20 if version == 4 else 40)
    assert frame.checksum_offset == 6
    assert int.from_bytes(frame.datagram.payload[6:8]) == checksum.total(pseudo)
    world.send(world.bind("0.0.0.0" if version == 4 else "::", 10), bytes(3000), to=peer)
    assert [part.checksum_start for part in world.transmit()] == [0, 0, 0]


@pytest.mark.requirement("UDP-4")
@pytest.mark.parametrize("version", [4, 6])
def test_a_port_without_socket_is_unreachable(world: World, version: int) -> None:
    asked = datagram(9, b"x", version=version)
    world.hear(asked)
    error = world.one().datagram.payload
    assert error[:2] == (b"\3\3" if version == 4 else b"\1\4")
    assert error[8:] == asked
    assert world.statistics.no_port == 1
    world.hear(datagram(9, b"x", to="10.0.0.255"), destination=BROADCAST)
    assert world.transmit() == []


@pytest.mark.requirement("UDP-5")
def test_ports_are_chosen_from_the_dynamic_range(make_world: Callable[..., World]) -> None:
    world = make_world(udp_sockets=64)
    world.know(PEER)
    ports = []
    for _ in range(64):
        assert world.send(world.bind(port=0), b"x") == 1
        ports.append(int.from_bytes(world.one().datagram.payload[:2]))
    assert len(set(ports)) == 64
    assert min(ports) >= 49152
    assert world.bind(port=0) == lib.VNIC_STACK_ENOBUFS


@pytest.mark.requirement("UDP-5")
def test_chosen_ports_depend_on_the_seed(make_world: Callable[..., World]) -> None:
    chosen = []
    for seed in (1, 2):
        world = make_world(seed=seed)
        world.know(PEER)
        for _ in range(20):
            world.send(world.bind(port=0), b"x")
        chosen.append([int.from_bytes(frame.datagram.payload[:2]) for frame in world.transmit()])
    assert chosen[0] != chosen[1]


@pytest.mark.requirement("UDP-5")
def test_a_port_belongs_to_one_socket(world: World) -> None:
    world.add_address("10.0.0.5", 24)
    bound = world.bind(US, 9)
    assert world.bind("10.0.0.5", 9) > 0
    assert world.bind("::", 9) > 0
    for text in (US, "0.0.0.0"):
        assert world.bind(text, 9) == lib.VNIC_STACK_EADDRINUSE
    assert world.bind(US6, 9) == lib.VNIC_STACK_EADDRINUSE
    assert world.close(bound) == 0
    assert world.bind(US, 9) > 0


@pytest.mark.requirement("UDP-5")
def test_a_closed_socket_is_gone(world: World) -> None:
    socket = world.bind(port=9)
    world.hear(datagram(9, b"x"))
    assert world.close(socket) == 0
    assert world.close(socket) == lib.VNIC_STACK_EBADF
    assert world.send(socket, b"x") == lib.VNIC_STACK_EBADF
    assert world.take_result(socket)[0] == lib.VNIC_STACK_EBADF
    assert world.events() == {}
    world.hear(datagram(9, b"x"))
    assert world.one().datagram.payload[:2] == b"\3\3"


@pytest.mark.requirement("UDP-6")
@pytest.mark.parametrize(("any_address", "to", "longest"), [("0.0.0.0", PEER, 65507), ("::", PEER6, 65527)])
def test_the_longest_datagram(world: World, any_address: str, to: str, longest: int) -> None:
    socket = world.bind(any_address)
    assert world.send(socket, bytes(longest + 1), to=to) == lib.VNIC_STACK_EMSGSIZE
    assert world.transmit() == []
    assert world.send(socket, bytes(longest), to=to) == longest


@pytest.mark.requirement("UDP-6")
def test_arguments(world: World) -> None:
    socket = world.bind()
    assert world.send(socket, b"x", to=PEER6) == lib.VNIC_EINVAL
    assert world.send(socket, b"x", port=0) == lib.VNIC_EINVAL
    assert world.send(0, b"x") == lib.VNIC_STACK_EBADF
    assert world.send(-1, b"x") == lib.VNIC_STACK_EBADF
    assert world.bind("224.0.0.1", 9) == lib.VNIC_STACK_EADDRNOTAVAIL
    for value in (0, 256):
        assert lib.vnic_stack_set_option(world.stack, socket, lib.VNIC_OPTION_TTL, value) == lib.VNIC_EINVAL


@pytest.mark.requirement("UDP-7")
def test_a_reader_that_is_slow_loses_the_newest(world: World) -> None:
    socket = world.bind(port=9)
    for number in range(300):
        world.hear(datagram(9, number.to_bytes(2)))
    assert world.statistics.udp_dropped == 44
    assert [int.from_bytes(world.take(socket)[0]) for _ in range(256)] == list(range(256))
    assert world.take_result(socket)[0] == lib.VNIC_STACK_EAGAIN
    world.hear(datagram(9, b"again"))
    assert world.take(socket)[0] == b"again"


@pytest.mark.requirement("UDP-7")
def test_and_in_bytes(world: World) -> None:
    slow, other = world.bind(port=9), world.bind(port=10)
    for _ in range(250):
        world.hear(datagram(9, bytes(1472)))
    held = 250 - world.statistics.udp_dropped
    assert held == 262144 // 1472
    world.hear(datagram(10, b"x"))
    assert world.take(other)[0] == b"x"
    assert len(world.take(slow)[0]) == 1472


@pytest.mark.requirement("UDP-8")
def test_a_full_outbox_and_room_again(make_world: Callable[..., World]) -> None:
    world = make_world(outbox_frames=16)
    world.know(PEER)
    busy, idle = world.bind(port=9), world.bind(port=10)
    results = [world.send(busy, b"x") for _ in range(17)]
    assert results == [1] * 16 + [lib.VNIC_STACK_EAGAIN]
    assert world.events() == {}
    out = ffi.new("uint8_t[]", 1518)
    for left in range(15, -1, -1):
        assert lib.vnic_stack_transmit(world.stack, 0, out, 1518, world._frame) == 43
        assert world.events() == ({busy: lib.VNIC_EVENT_WRITABLE} if left == 8 else {})
    assert world.take_result(idle)[0] == lib.VNIC_STACK_EAGAIN
    assert world.send(busy, b"x") == 1


@pytest.mark.requirement("UDP-8")
def test_a_link_that_goes_down_makes_room(make_world: Callable[..., World]) -> None:
    world = make_world(outbox_frames=16)
    world.know(PEER)
    socket = world.bind()
    while world.send(socket, b"x") == 1:
        pass
    world.set_link(False)
    assert world.events() == {socket: lib.VNIC_EVENT_WRITABLE}


@pytest.mark.requirement("UDP-9")
def test_an_error_does_not_cost_a_datagram(world: World) -> None:
    socket = world.bind(port=9)
    world.hear(datagram(9, b"before"))
    world.send(socket, b"x", port=77)
    quote = world.one().raw[14:]
    world.hear(packet.ipv4(OTHER, US, packet.ICMP, packet.icmp(3, 3, bytes(4) + quote)))
    assert world.events() == {socket: lib.VNIC_EVENT_READABLE | lib.VNIC_EVENT_SOFT_ERROR}
    assert world.take_result(socket) == (lib.VNIC_STACK_ECONNREFUSED, PEER, 77)
    assert world.take(socket)[0] == b"before"


def test_a_broadcast_can_be_sent(world: World) -> None:
    socket = world.bind(port=9)
    for to in ("255.255.255.255", "10.0.0.255"):
        assert world.send(socket, b"x", to=to) == 1
        frame = world.one()
        assert frame.destination == BROADCAST
        assert frame.datagram.source == packet.packed(US)


def test_a_group_can_be_sent_to(world: World) -> None:
    for any_address, group, mac in (
        ("0.0.0.0", "239.129.2.3", "01:00:5e:01:02:03"),
        ("::", "ff02::fb", "33:33:00:00:00:fb"),
    ):
        assert world.send(world.bind(any_address, 9), b"x", to=group) == 1
        frame = world.one()
        assert frame.destination == packet.mac(mac)
        assert frame.datagram.ttl == 1
