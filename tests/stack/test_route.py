"""Routes, sources and set-up, by the requirements of spec/stack.md."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from tests.stack.world import (
    OTHER_MAC,
    OUR_LINK_LOCAL,
    OUR_MAC,
    PEER,
    PEER6,
    PEER_LINK_LOCAL,
    PEER_MAC,
    US,
    US6,
    World,
    address,
    endpoint,
)
from vnic._core import ffi, lib
from vnic.wire import packet


def way(world: World, to: str) -> tuple[int, str] | None:
    """Interface and next hop that a datagram takes, by whom it asks for; None without a route."""
    socket = world.bind("::" if ":" in to else "0.0.0.0", 0)
    result = world.send(socket, b"x", to=to)
    frames = [(number, frame) for number in range(world.interfaces) for frame in world.transmit(number)]
    world.close(socket)
    if result == lib.VNIC_STACK_EHOSTUNREACH:
        return None
    number, frame = frames[0]
    target = frame.packet.target if frame.arp else frame.datagram.payload[8:24]
    return number, str(ip_address(target))


@pytest.fixture
def two(make_world: Callable[..., World]) -> World:
    """Interfaces 0 (10.0.0.1/24) and 1 (10.0.1.1/24, 2001:db8:1::1/64)."""
    world = make_world()
    assert world.add_interface(OTHER_MAC) == 1
    world.set_link(True, 1)
    assert world.add_address("10.0.1.1", 24, 1) == 0
    assert world.add_address("2001:db8:1::1", 64, 1) == 0
    return world


@pytest.mark.requirement("RTE-1")
def test_the_longest_prefix_wins(two: World) -> None:
    two.add_route("0.0.0.0/0", "10.0.0.9")
    two.add_route("10.9.0.0/16", "10.0.1.9", 1, 50)
    two.add_route("10.9.9.0/24", "10.0.0.8", 0, 99)
    assert way(two, "8.8.8.8") == (0, "10.0.0.9")
    assert way(two, "10.9.1.1") == (1, "10.0.1.9")
    assert way(two, "10.9.9.1") == (0, "10.0.0.8")
    assert way(two, "10.0.1.5") == (1, "10.0.1.5")


@pytest.mark.requirement("RTE-1")
def test_then_the_lowest_metric(two: World) -> None:
    two.add_route("0.0.0.0/0", "10.0.0.9", 0, 20)
    two.add_route("0.0.0.0/0", "10.0.1.9", 1, 10)
    assert way(two, "8.8.8.8") == (1, "10.0.1.9")
    assert two.remove_route("0.0.0.0/0", 1) == 0
    assert way(two, "8.8.8.8") == (0, "10.0.0.9")
    assert two.remove_route("0.0.0.0/0", 1) == lib.VNIC_ENOENT


@pytest.mark.requirement("RTE-1")
def test_a_link_that_is_down_is_no_way(two: World) -> None:
    two.add_route("0.0.0.0/0", "10.0.0.9", 0, 20)
    two.add_route("0.0.0.0/0", "10.0.1.9", 1, 10)
    two.set_link(False, 1)
    assert way(two, "8.8.8.8") == (0, "10.0.0.9")
    two.set_link(True, 1)
    assert way(two, "8.8.8.8") == (1, "10.0.1.9")


@pytest.mark.requirement("RTE-1", "RTE-2")
def test_a_route_is_replaced_by_one_to_the_same_place(world: World) -> None:
    for metric in range(200):
        assert world.add_route("0.0.0.0/0", "10.0.0.9", 0, metric) == 0
    assert world.remove_route("0.0.0.0/0") == 0
    assert way(world, "8.8.8.8") is None


@pytest.mark.requirement("RTE-2")
@pytest.mark.parametrize(
    ("network", "gateway", "to", "expected"),
    [
        ("0.0.0.0/0", "10.0.0.9", "8.8.8.8", "10.0.0.9"),
        ("192.168.0.0/16", None, "192.168.1.1", "192.168.1.1"),
        ("::/0", PEER_LINK_LOCAL, "2001:db8:9::1", PEER_LINK_LOCAL),
        ("2001:db8:9::/48", None, "2001:db8:9::1", "2001:db8:9::1"),
        ("10.0.0.128/25", "10.0.0.9", "10.0.0.200", "10.0.0.9"),
    ],
)
def test_the_gateway_or_the_destination_is_asked_for(
    world: World, network: str, gateway: str | None, to: str, expected: str
) -> None:
    assert world.add_route(network, gateway) == 0
    assert way(world, to) == (0, expected)


def source_for(world: World, to: str) -> str:
    world.know(to)
    assert world.send(world.bind("::" if ":" in to else "0.0.0.0", 0), b"x", to=to) == 1
    return str(ip_address(world.one().datagram.source))


@pytest.mark.requirement("RTE-3")
def test_ipv4_source_of_the_next_hops_subnet(world: World) -> None:
    world.add_address("172.16.0.1", 16)
    world.add_route("8.0.0.0/8", "172.16.0.9")
    world.add_route("9.0.0.0/8", "10.0.0.9")
    world.know("172.16.0.9")
    world.know("10.0.0.9")
    assert source_for(world, "10.0.0.7") == US
    assert source_for(world, "172.16.3.3") == "172.16.0.1"
    for to, source in (("8.8.8.8", "172.16.0.1"), ("9.9.9.9", US)):
        world.send(world.bind(port=0), b"x", to=to)
        assert world.one().datagram.source == packet.packed(source)


@pytest.mark.requirement("RTE-3")
def test_ipv6_source_by_scope_and_prefix(world: World) -> None:
    world.add_address("2001:db8:5::1", 64)
    world.add_route("::/0", PEER_LINK_LOCAL)
    world.know(PEER_LINK_LOCAL)
    assert source_for(world, PEER_LINK_LOCAL) == OUR_LINK_LOCAL
    assert source_for(world, "2001:db8:5::9") == "2001:db8:5::1"
    assert source_for(world, PEER6) == US6
    world.send(world.bind("::", 0), b"x", to="2001:db8:5:8::1")
    assert world.one().datagram.source == packet.packed("2001:db8:5::1")


@pytest.mark.requirement("RTE-4")
def test_sources_must_be_ours_and_destinations_reachable(world: World) -> None:
    assert world.bind("10.0.0.77", 1) == lib.VNIC_STACK_EADDRNOTAVAIL
    for to in ("8.8.8.8", "127.0.0.1", "0.0.0.0", "240.0.0.1"):
        assert world.send(world.bind(port=0), b"x", to=to) == lib.VNIC_STACK_EHOSTUNREACH
    for to in ("2001:db8:9::1", "::1", "::", "::ffff:10.0.0.2"):
        assert world.send(world.bind("::", 0), b"x", to=to) == lib.VNIC_STACK_EHOSTUNREACH
    assert world.transmit() == []
    assert world.statistics.no_route == 8


@pytest.mark.requirement("RTE-4")
def test_a_source_leaves_through_its_interface(two: World) -> None:
    two.add_route("0.0.0.0/0", "10.0.0.9", 0, 1)
    two.add_route("0.0.0.0/0", "10.0.1.9", 1, 2)
    two.know("10.0.1.9", interface=1)
    for port, to in ((1, "8.8.8.8"), (2, PEER)):  # the second is on the other link
        assert two.send(two.bind("10.0.1.1", port), b"x", to=to) == 1
        assert two.transmit(0) == []
        assert two.one(1).datagram.destination == packet.packed(to)


@pytest.mark.requirement("RTE-4")
def test_an_address_of_another_interface_is_not_taken(two: World) -> None:
    ping = packet.icmp(8, 0, b"\0\1\0\1")
    two.hear(packet.ipv4(PEER, "10.0.1.1", packet.ICMP, ping))
    assert two.statistics.not_for_us == 1
    two.know(PEER)
    assert two.transmit(0) == []


@pytest.mark.requirement("RTE-5")
@pytest.mark.parametrize(
    "values",
    [
        {"mac": b"\1" + OUR_MAC[1:]},
        {"mac": bytes(6)},
        {"mtu": 575},
        {"mtu": 65536},
        {"vlan": 4095},
        {"offload": 8},
        {"offload": lib.VNIC_STACK_TSO, "tso_bytes": 1000},
        {"offload": lib.VNIC_STACK_TSO | lib.VNIC_STACK_TX_CHECKSUM, "tso_bytes": 0},
        {"offload": lib.VNIC_STACK_TSO | lib.VNIC_STACK_TX_CHECKSUM, "tso_bytes": 65536},
    ],
)
def test_interfaces_out_of_bounds(world: World, values: dict[str, int]) -> None:
    assert world.add_interface(**values) == lib.VNIC_EINVAL  # type: ignore[arg-type]
    assert world.add_interface() == 1


@pytest.mark.requirement("RTE-5")
@pytest.mark.parametrize(
    ("text", "prefix_len"),
    [
        ("10.0.0.5", 33),
        ("2001:db8::5", 129),
        ("224.0.0.5", 24),
        ("255.255.255.255", 32),
        ("0.0.0.0", 24),
        ("127.0.0.1", 8),
        ("10.0.0.255", 24),
        ("::", 64),
        ("::1", 64),
        ("ff02::5", 64),
        ("::ffff:1.2.3.4", 96),
    ],
)
def test_addresses_out_of_bounds(world: World, text: str, prefix_len: int) -> None:
    assert world.add_address(text, prefix_len) == lib.VNIC_EINVAL


@pytest.mark.requirement("RTE-5")
def test_more_than_was_created(make_world: Callable[..., World]) -> None:
    world = make_world(interfaces=2, routes=3)
    assert world.add_interface() == 1
    assert world.add_interface() == lib.VNIC_ENOSPC
    assert [world.add_address(f"10.1.{n}.1", 24) for n in range(14)] == [0] * 13 + [lib.VNIC_ENOSPC]
    assert [world.add_route(f"20.{n}.0.0/16", PEER) for n in range(4)] == [0] * 3 + [lib.VNIC_ENOSPC]
    assert way(world, "10.1.12.7") == (0, "10.1.12.7")


@pytest.mark.requirement("RTE-5")
def test_arguments_out_of_bounds(world: World) -> None:
    stack, invalid = world.stack, lib.VNIC_EINVAL
    assert lib.vnic_stack_set_link(stack, 1, 1) == invalid
    assert lib.vnic_stack_add_address(stack, 1, address("10.0.0.5"), 24) == invalid
    assert world.add_route("10.0.0.0/33", PEER) == invalid
    assert world.add_route("10.0.0.0/8", PEER, interface=1) == invalid
    assert world.add_route("10.0.0.0/8", PEER6) == invalid
    assert world.add_route("10.0.0.0/8", "224.0.0.1") == invalid
    assert world.add_route("224.0.0.0/8", PEER) == invalid
    assert world.remove_route("10.0.0.0/33") == invalid
    assert world.remove_route("10.0.0.0/24") == lib.VNIC_ENOENT  # connected: not the user's
    assert world.know("224.0.0.9") == invalid
    assert world.know(PEER, b"\1" + PEER_MAC[1:]) == invalid
    assert world.know(PEER, interface=1) == invalid


@pytest.mark.requirement("RTE-5")
def test_pointers_to_nothing(world: World) -> None:
    stack, invalid, some = world.stack, lib.VNIC_EINVAL, address(PEER)
    socket = world.bind()
    assert lib.vnic_stack_add_interface(stack, ffi.NULL) == invalid
    assert lib.vnic_stack_add_address(stack, 0, ffi.NULL, 24) == invalid
    assert lib.vnic_stack_add_route(stack, ffi.NULL, 24, some, 0, 0) == invalid
    assert lib.vnic_stack_add_route(stack, some, 24, ffi.NULL, 0, 0) == invalid
    assert lib.vnic_stack_remove_route(stack, ffi.NULL, 24, 0) == invalid
    assert lib.vnic_stack_add_neighbour(stack, 0, ffi.NULL, OTHER_MAC) == invalid
    assert lib.vnic_stack_add_neighbour(stack, 0, some, ffi.NULL) == invalid
    assert lib.vnic_stack_address(stack, 0, ffi.NULL) == invalid
    assert lib.vnic_stack_neighbour(stack, 0, ffi.NULL) == lib.VNIC_ENOENT
    assert lib.vnic_udp_bind(stack, ffi.NULL) == invalid
    assert lib.vnic_udp_send(stack, socket, ffi.NULL, ffi.NULL, 0) == invalid
    assert lib.vnic_udp_send(stack, socket, endpoint(PEER, 7), ffi.NULL, 1) == invalid
    assert lib.vnic_udp_send(stack, socket, endpoint(PEER, 7), ffi.NULL, 0) == 0
    assert lib.vnic_udp_receive(stack, socket, ffi.NULL, ffi.NULL, 1) == invalid
    assert lib.vnic_udp_receive(stack, socket, ffi.NULL, ffi.NULL, 0) == lib.VNIC_STACK_EAGAIN


@pytest.mark.requirement("RTE-5")
def test_a_small_mtu_carries_no_ipv6(make_world: Callable[..., World]) -> None:
    world = make_world(mtu=1279, addresses=((US, 24),))
    assert world.add_address(US6, 64) == lib.VNIC_EINVAL


@pytest.mark.requirement("RTE-5")
def test_what_the_user_left_in_an_address_does_not_matter(world: World) -> None:
    dirty = address(PEER)
    dirty.bytes[9] = 1
    dirty.reserved[1] = 7
    assert lib.vnic_stack_add_neighbour(world.stack, 0, dirty, PEER_MAC) == 0
    assert world.send(world.bind(), b"x") == 1
    assert world.one().destination == PEER_MAC


@pytest.mark.requirement("RTE-6")
@pytest.mark.parametrize(("any_address", "us"), [("0.0.0.0", US), ("::", US6), ("::", OUR_LINK_LOCAL)])
@pytest.mark.parametrize("length", [1, 5000])
def test_we_can_talk_to_ourselves(world: World, any_address: str, us: str, length: int) -> None:
    data = bytes(index % 251 for index in range(length))
    sender, receiver = world.bind(any_address, 1000), world.bind(us, 2000)
    assert world.send(sender, data, to=us, port=2000) == length
    assert world.deadline <= world.now
    world.advance(0)
    assert world.take(receiver) == (data, us, 1000)
    assert world.transmit() == []
    assert world.deadline == 2**64 - 1


@pytest.mark.requirement("RTE-6")
def test_we_hear_of_our_own_closed_ports(world: World) -> None:
    socket = world.bind()
    world.send(socket, b"x", to=US, port=9)
    world.advance(0)
    assert world.take_result(socket) == (lib.VNIC_STACK_ECONNREFUSED, US, 9)
    assert world.transmit() == []


@pytest.mark.requirement("RTE-6", "ETH-7")
def test_what_we_tell_ourselves_is_bounded(make_world: Callable[..., World]) -> None:
    world = make_world(outbox_frames=8)
    socket = world.bind(port=9)
    results = [world.send(socket, b"x", to=US, port=9) for _ in range(20)]
    assert results == [1] * 8 + [lib.VNIC_STACK_ENOBUFS] * 12
    world.advance(0)
    assert [world.take(socket)[0] for _ in range(8)] == [b"x"] * 8
    assert world.take_result(socket)[0] == lib.VNIC_STACK_EAGAIN


@pytest.mark.requirement("RTE-4")
def test_groups_need_a_link_and_a_source(make_world: Callable[..., World]) -> None:
    world = make_world(addresses=())
    for group in ("224.0.0.251", "255.255.255.255"):
        assert world.send(world.bind(port=0), b"x", to=group) == lib.VNIC_STACK_EADDRNOTAVAIL
    world.set_link(False)
    assert world.send(world.bind("::", 0), b"x", to="ff02::fb") == lib.VNIC_STACK_EHOSTUNREACH


@pytest.mark.requirement("RTE-1", "RTE-4")
def test_a_group_follows_its_source_or_its_route(two: World) -> None:
    for number, source in ((0, US), (1, "10.0.1.1")):
        assert two.send(two.bind(source, 0), b"x", to="224.0.0.251") == 1
        assert two.one(number).datagram.source == packet.packed(source)
    assert two.send(two.bind(port=0), b"x", to="10.0.1.255") == 1
    assert two.one(1).destination == b"\xff" * 6


@pytest.mark.requirement("RTE-2")
def test_a_neighbour_table_that_is_full_of_gateways(make_world: Callable[..., World]) -> None:
    world = make_world(neighbours=1)
    world.know("10.0.0.9")
    world.add_route("0.0.0.0/0", "10.0.0.9")
    assert world.send(world.bind(port=0), b"x", to="8.8.8.8") == 1
    assert world.send(world.bind(port=0), b"x", to=US) == lib.VNIC_STACK_ENOBUFS
    assert len(world.transmit()) == 1
