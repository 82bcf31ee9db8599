"""Neighbor Discovery, by the requirements of spec/stack.md."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.world import (
    ALL_NODES,
    OTHER_MAC,
    OUR_LINK_LOCAL,
    OUR_MAC,
    PEER6,
    PEER_LINK_LOCAL,
    PEER_MAC,
    US6,
    World,
    group_mac,
    solicited_node,
)
from vnic._core import lib
from vnic.wire import packet

SOLICITATION, ADVERTISEMENT = 135, 136
SOLICITED, OVERRIDE, ROUTER = 0x40, 0x20, 0x80
NEVER = 2**64 - 1
AUTONOMOUS = "2001:db8:1::ff:fe00:101"


def prefix(
    text: str = "2001:db8:1::",
    *,
    length: int = 64,
    flags: int = 0xC0,
    valid: int = 86400,
    preferred: int = 14400,
) -> bytes:
    """A Prefix Information option. RFC 4861 4.6.2."""
    return struct.pack("!BBBBIII", 3, 4, length, flags, valid, preferred, 0) + packet.packed(text)


def advertise_router(
    world: World,
    *options: bytes,
    lifetime: int = 1800,
    hop_limit: int = 0,
    reachable: int = 0,
    retrans: int = 0,
    source: str = PEER_LINK_LOCAL,
    **more: Any,
) -> None:
    body = struct.pack("!BBHII", hop_limit, 0, lifetime, reachable, retrans) + b"".join(options)
    world.hear_icmpv6(134, body, source=source, destination=ALL_NODES, **more)


@pytest.fixture
def asking(world: World) -> World:
    """It sent a datagram to a neighbour that it does not know; the solicitation is out."""
    assert world.send(world.bind("::"), b"x", to=PEER6) == 1
    world.one()
    return world


@pytest.fixture
def resolved(asking: World) -> World:
    """The neighbour is REACHABLE, the datagram is out."""
    asking.advertise()
    assert asking.one().datagram.proto == packet.UDP
    return asking


# -- messages that are not valid


@pytest.mark.requirement("ND-1")
@pytest.mark.parametrize("hop_limit", [0, 1, 64, 254])
def test_a_message_that_passed_a_router_is_refused(asking: World, hop_limit: int) -> None:
    asking.advertise(hop_limit=hop_limit)
    asking.solicit(US6, hop_limit=hop_limit)
    advertise_router(asking, hop_limit=hop_limit)
    assert asking.state_of(PEER6) == lib.VNIC_NEIGHBOUR_INCOMPLETE
    assert asking.transmit() == []
    assert asking.statistics.nd_bad >= 2


@pytest.mark.requirement("ND-1")
def test_a_router_advertisement_from_afar_is_refused(world: World) -> None:
    body = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    world.hear_icmpv6(134, body, destination=ALL_NODES, hop_limit=254)
    assert world.statistics.nd_bad == 1
    assert world.send(world.bind("::"), b"x", to="2001:db8:9::1") == lib.VNIC_STACK_EHOSTUNREACH


@pytest.mark.requirement("ND-1")
@pytest.mark.parametrize("kind", [134, SOLICITATION, ADVERTISEMENT])
def test_a_code_other_than_0_is_refused(asking: World, kind: int) -> None:
    body = bytes(4) + packet.packed(PEER6) + b"\2\1" + PEER_MAC
    asking.hear_icmpv6(kind, body, code=1)
    assert asking.statistics.nd_bad == 1
    assert asking.state_of(PEER6) == lib.VNIC_NEIGHBOUR_INCOMPLETE


@pytest.mark.requirement("ND-1")
@pytest.mark.parametrize("length", range(4, 20))
def test_a_cut_message_is_refused(asking: World, length: int) -> None:
    body = (bytes(4) + packet.packed(PEER6))[:length]
    asking.hear_icmpv6(ADVERTISEMENT, body)
    asking.hear_icmpv6(SOLICITATION, body)
    assert asking.statistics.nd_bad == 2


@pytest.mark.requirement("ND-1")
@pytest.mark.parametrize(
    "options", [b"\2\0" + PEER_MAC, b"\2\2" + PEER_MAC, b"\2", b"\2\1" + PEER_MAC + b"\1\0" + bytes(6)]
)
def test_options_of_a_wrong_length_are_refused(asking: World, options: bytes) -> None:
    body = bytes([OVERRIDE | SOLICITED, 0, 0, 0]) + packet.packed(PEER6) + options
    asking.hear_icmpv6(ADVERTISEMENT, body, destination=US6)
    asking.solicit(US6, options=options)
    advertise_router(asking, options)
    assert asking.statistics.nd_bad == 3
    assert asking.transmit() == []
    assert asking.state_of(PEER6) == lib.VNIC_NEIGHBOUR_INCOMPLETE


@pytest.mark.requirement("ND-1")
def test_a_wrong_checksum_is_refused(asking: World) -> None:
    asking.advertise(field=0x1234)
    assert asking.statistics.icmp_bad == 1
    assert asking.state_of(PEER6) == lib.VNIC_NEIGHBOUR_INCOMPLETE


@pytest.mark.requirement("ND-1")
def test_a_group_is_no_neighbour(asking: World) -> None:
    asking.advertise(mac=b"\3" + PEER_MAC[1:])
    assert asking.statistics.nd_bad == 1
    asking.solicit("ff02::1", destination=US6)
    assert asking.statistics.nd_bad == 2


# -- solicitations for us


@pytest.mark.requirement("ND-2")
@pytest.mark.parametrize("target", [US6, OUR_LINK_LOCAL])
def test_a_solicitation_for_us_is_answered(world: World, target: str) -> None:
    world.solicit(target, options=b"\1\1" + PEER_MAC)
    frame = world.one()
    assert (frame.destination, frame.datagram.ttl) == (PEER_MAC, 255)
    assert (frame.datagram.source, frame.datagram.destination) == (
        packet.packed(target),
        packet.packed(PEER6),
    )
    message = frame.datagram.payload
    assert (message[0], message[1], message[4]) == (ADVERTISEMENT, 0, SOLICITED | OVERRIDE)
    assert message[8:24] == packet.packed(target)
    assert message[24:] == b"\2\1" + OUR_MAC


@pytest.mark.requirement("ND-2")
def test_a_unicast_solicitation_without_option_is_answered(world: World) -> None:
    world.solicit(US6, destination=US6)
    frame = world.one()
    assert frame.destination == PEER_MAC
    assert frame.datagram.payload[4] == SOLICITED | OVERRIDE
    assert world.neighbours() == {}


@pytest.mark.requirement("ND-2")
def test_a_solicitation_from_nobody_is_answered_to_all(world: World) -> None:
    world.solicit(US6, source="::")
    frame = world.one()
    assert frame.destination == group_mac(ALL_NODES)
    assert frame.datagram.destination == packet.packed(ALL_NODES)
    assert frame.datagram.payload[4] == OVERRIDE


@pytest.mark.requirement("ND-2")
def test_a_solicitation_for_others_is_not_answered(world: World) -> None:
    world.solicit("2001:db8::3", destination=solicited_node(US6))
    world.solicit("2001:db8::3", destination=US6)
    assert world.transmit() == []


@pytest.mark.requirement("ND-3")
def test_a_solicitation_from_nobody_must_be_a_probe(world: World) -> None:
    world.solicit(US6, source="::", options=b"\1\1" + PEER_MAC)
    world.solicit(US6, source="::", destination=US6)
    world.solicit(US6, source="::", destination=ALL_NODES)
    assert world.transmit() == []
    assert world.statistics.nd_bad == 3


# -- our solicitations


@pytest.mark.requirement("ND-4")
def test_the_solicitation_is_repeated_three_times_in_all(world: World) -> None:
    socket = world.bind("::")
    world.send(socket, b"x", to=PEER6, port=9)
    times = []
    for tenth in range(60):
        for frame in world.transmit():
            group = solicited_node(PEER6)
            assert frame.destination == group_mac(group)
            assert frame.datagram.destination == packet.packed(group)
            assert frame.datagram.source == packet.packed(US6)
            assert frame.datagram.ttl == 255
            assert frame.datagram.payload[0] == SOLICITATION
            assert frame.datagram.payload[8:24] == packet.packed(PEER6)
            assert frame.datagram.payload[24:] == b"\1\1" + OUR_MAC
            times.append(tenth / 10)
        world.advance(0.1)
    assert times == [0, 1, 2]
    assert world.neighbours() == {}
    assert world.take_result(socket) == (lib.VNIC_STACK_EHOSTUNREACH, PEER6, 9)


@pytest.mark.requirement("ND-5")
def test_a_solicited_advertisement_resolves(asking: World) -> None:
    asking.advertise()
    assert asking.state_of(PEER6) == lib.VNIC_NEIGHBOUR_REACHABLE
    frame = asking.one()
    assert (frame.destination, frame.datagram.payload[8:]) == (PEER_MAC, b"x")


@pytest.mark.requirement("ND-5")
def test_an_unsolicited_one_resolves_but_proves_nothing(asking: World) -> None:
    asking.advertise(flags=OVERRIDE, destination=ALL_NODES)
    assert asking.state_of(PEER6) == lib.VNIC_NEIGHBOUR_DELAY
    assert asking.one().destination == PEER_MAC


@pytest.mark.requirement("ND-5")
def test_an_unknown_address_is_needed(asking: World) -> None:
    asking.advertise(mac=None)
    assert asking.state_of(PEER6) == lib.VNIC_NEIGHBOUR_INCOMPLETE
    assert asking.transmit() == []


@pytest.mark.requirement("ND-5")
def test_one_that_nobody_asked_for_is_ignored(world: World) -> None:
    world.advertise()
    world.advertise("2001:db8::7", flags=OVERRIDE, destination=ALL_NODES)
    assert world.neighbours() == {}
    assert world.statistics.nd_bad == 0


@pytest.mark.requirement("ND-5")
@pytest.mark.parametrize(
    ("flags", "mac", "expected_mac", "state"),
    [
        (SOLICITED | OVERRIDE, OTHER_MAC, OTHER_MAC, lib.VNIC_NEIGHBOUR_REACHABLE),
        (OVERRIDE, OTHER_MAC, OTHER_MAC, lib.VNIC_NEIGHBOUR_STALE),
        (SOLICITED, OTHER_MAC, PEER_MAC, lib.VNIC_NEIGHBOUR_STALE),
        (0, OTHER_MAC, PEER_MAC, lib.VNIC_NEIGHBOUR_STALE),
        (0, PEER_MAC, PEER_MAC, lib.VNIC_NEIGHBOUR_REACHABLE),
        (OVERRIDE, PEER_MAC, PEER_MAC, lib.VNIC_NEIGHBOUR_REACHABLE),
        (SOLICITED, PEER_MAC, PEER_MAC, lib.VNIC_NEIGHBOUR_REACHABLE),
    ],
)
def test_flags_and_address_of_an_advertisement(
    resolved: World, flags: int, mac: bytes, expected_mac: bytes, state: int
) -> None:
    resolved.advertise(flags=flags, mac=mac)
    assert resolved.mac_of(PEER6) == expected_mac
    assert resolved.state_of(PEER6) == state


@pytest.mark.requirement("ND-5")
def test_a_solicited_one_without_address_confirms(resolved: World) -> None:
    resolved.advance(60)
    assert resolved.state_of(PEER6) == lib.VNIC_NEIGHBOUR_STALE
    resolved.advertise(flags=SOLICITED, mac=None)
    assert resolved.state_of(PEER6) == lib.VNIC_NEIGHBOUR_REACHABLE


@pytest.mark.requirement("ND-5")
def test_a_solicited_one_to_a_group_is_refused(asking: World) -> None:
    asking.advertise(flags=SOLICITED, destination=ALL_NODES)
    assert asking.statistics.nd_bad == 1
    assert asking.state_of(PEER6) == lib.VNIC_NEIGHBOUR_INCOMPLETE


@pytest.mark.requirement("NUD-2", "NUD-3")
def test_a_stale_neighbour_is_probed_itself(resolved: World) -> None:
    resolved.advance(60)
    resolved.send(resolved.bind("::", 1), b"y", to=PEER6)
    assert resolved.one().datagram.proto == packet.UDP
    resolved.advance(5)
    probe = resolved.one()
    assert probe.destination == PEER_MAC
    assert probe.datagram.destination == packet.packed(PEER6)
    assert probe.datagram.payload[0] == SOLICITATION
    resolved.advertise(flags=SOLICITED, mac=None)
    assert resolved.state_of(PEER6) == lib.VNIC_NEIGHBOUR_REACHABLE


@pytest.mark.requirement("ND-7")
def test_who_asks_is_entered_while_there_is_room(make_world: Callable[..., World]) -> None:
    world = make_world(neighbours=2)
    world.solicit(US6, options=b"\1\1" + PEER_MAC)
    assert world.state_of(PEER6) in (lib.VNIC_NEIGHBOUR_STALE, lib.VNIC_NEIGHBOUR_DELAY)
    assert world.mac_of(PEER6) == PEER_MAC
    for host in range(16, 80):
        world.solicit(US6, source=f"2001:db8::{host:x}", options=b"\1\1\2\0\0\0\7" + bytes([host]))
    assert len(world.neighbours()) == 2
    assert world.mac_of(PEER6) == PEER_MAC
    assert len(world.transmit()) == 65
    assert world.statistics.neighbours_evicted == 0


@pytest.mark.requirement("ND-7")
def test_another_address_of_the_asker_is_stale(resolved: World) -> None:
    resolved.solicit(US6, options=b"\1\1" + OTHER_MAC)
    assert resolved.mac_of(PEER6) == OTHER_MAC
    assert resolved.one().destination == OTHER_MAC


@pytest.mark.requirement("ND-12")
@pytest.mark.parametrize("is_atomic", [True, False])
def test_fragments_are_ignored(asking: World, is_atomic: bool) -> None:
    body = bytes([SOLICITED | OVERRIDE, 0, 0, 0]) + packet.packed(PEER6) + b"\2\1" + PEER_MAC
    message = packet.icmpv6(PEER6, US6, ADVERTISEMENT, 0, body)
    parts = [(0, message)] if is_atomic else [(0, message[:16]), (16, message[16:])]
    for offset, part in parts:
        header = packet.fragment_header(offset, more=offset + len(part) < len(message))
        asking.hear(
            packet.ipv6(
                PEER6, US6, packet.ICMPV6, part, extensions=[(packet.FRAGMENT, header)], hop_limit=255
            )
        )
    assert asking.statistics.nd_bad == 1
    assert asking.state_of(PEER6) == lib.VNIC_NEIGHBOUR_INCOMPLETE


# -- routers


def next_hop(world: World, to: str = "2001:db8:9::1") -> bytes | None:
    """The target of the solicitation that a datagram causes; None without a route."""
    socket = world.bind("::", 0)
    result = world.send(socket, b"x", to=to)
    frames = world.transmit()
    world.close(socket)
    if result == lib.VNIC_STACK_EHOSTUNREACH:
        return None
    return frames[0].datagram.payload[8:24]


@pytest.mark.requirement("ND-8")
def test_a_router_is_the_default_for_its_lifetime(world: World) -> None:
    advertise_router(world, lifetime=100)
    assert next_hop(world) == packet.packed(PEER_LINK_LOCAL)
    world.advance(99)
    world.transmit()
    assert next_hop(world) == packet.packed(PEER_LINK_LOCAL)
    world.advance(1)
    assert next_hop(world) is None


@pytest.mark.requirement("ND-8")
def test_lifetime_0_ends_it(world: World) -> None:
    advertise_router(world)
    advertise_router(world, lifetime=0)
    assert next_hop(world) is None


@pytest.mark.requirement("ND-8")
def test_only_link_local_sources_are_routers(world: World) -> None:
    advertise_router(world, source=PEER6)
    assert world.statistics.nd_bad == 1
    assert next_hop(world) is None


@pytest.mark.requirement("ND-8")
def test_the_option_names_the_router(world: World) -> None:
    advertise_router(world, b"\1\1" + PEER_MAC)
    entry = world.neighbours()[PEER_LINK_LOCAL]
    assert (entry.is_router, entry.state) == (1, lib.VNIC_NEIGHBOUR_STALE)
    world.send(world.bind("::"), b"x", to="2001:db8:9::1")
    assert world.one().destination == PEER_MAC


@pytest.mark.requirement("ND-8")
def test_an_on_link_prefix_needs_no_router(world: World) -> None:
    advertise_router(world, prefix("2001:db8:9::", flags=0x80, valid=50))
    assert next_hop(world) == packet.packed("2001:db8:9::1")
    world.advance(50)
    world.transmit()
    assert next_hop(world) == packet.packed(PEER_LINK_LOCAL)


@pytest.mark.requirement("ND-8")
@pytest.mark.parametrize(("mtu", "expected"), [(1280, 1280), (1400, 1400), (1279, 1500), (1501, 1500)])
def test_the_mtu_is_taken_within_bounds(world: World, mtu: int, expected: int) -> None:
    advertise_router(world, struct.pack("!BBHI", 5, 1, 0, mtu))
    world.know(PEER6)
    world.send(world.bind("::"), bytes(3000), to=PEER6)
    longest = max(len(frame.raw) - 14 for frame in world.transmit())
    assert expected - 8 < longest <= expected


@pytest.mark.requirement("ND-8")
def test_the_hop_limit_is_taken(world: World) -> None:
    advertise_router(world, hop_limit=99)
    advertise_router(world, hop_limit=0)
    world.know(PEER6)
    world.send(world.bind("::"), b"x", to=PEER6)
    assert world.one().datagram.ttl == 99


@pytest.mark.requirement("ND-8")
def test_the_times_are_taken(world: World) -> None:
    advertise_router(world, reachable=2000, retrans=5000)
    world.send(world.bind("::"), b"x", to=PEER6)
    world.transmit()
    world.advance(4.9)
    assert world.transmit() == []
    world.advance(0.2)
    world.one()
    world.advertise()
    world.advance(1)
    assert world.state_of(PEER6) == lib.VNIC_NEIGHBOUR_REACHABLE
    world.advance(2.1)
    assert world.state_of(PEER6) == lib.VNIC_NEIGHBOUR_STALE


@pytest.mark.requirement("ND-6")
def test_a_router_that_is_none_any_more_is_left(world: World) -> None:
    advertise_router(world, b"\1\1" + PEER_MAC)
    world.advertise(PEER_LINK_LOCAL, flags=OVERRIDE | ROUTER, destination=ALL_NODES)
    world.send(world.bind("::"), b"x", to="2001:db8:9::1")
    assert len(world.transmit()) == 1
    world.advertise(PEER_LINK_LOCAL, flags=OVERRIDE, destination=ALL_NODES)
    assert next_hop(world) is None


@pytest.mark.requirement("ND-9")
def test_a_prefix_makes_an_address(world: World) -> None:
    advertise_router(world, prefix(valid=1000, preferred=500))
    entry = world.addresses()[AUTONOMOUS]
    assert (entry.state, entry.is_autonomous) == (lib.VNIC_ADDRESS_PREFERRED, 1)
    world.advance(501)
    assert world.addresses()[AUTONOMOUS].state == lib.VNIC_ADDRESS_DEPRECATED
    world.solicit(AUTONOMOUS)
    assert world.one().datagram.payload[0] == ADVERTISEMENT
    world.advance(500)
    assert AUTONOMOUS not in world.addresses()
    world.solicit(AUTONOMOUS)
    assert world.transmit() == []


@pytest.mark.requirement("ND-9")
@pytest.mark.parametrize(
    "option",
    [
        prefix(length=63),
        prefix(length=65),
        prefix(flags=0x80),
        prefix("fe80::"),
        prefix("ff02::"),
        prefix(valid=10, preferred=11),
        prefix(valid=0, preferred=0),
        prefix()[:1] + b"\3" + prefix()[2:24],
        b"\3\1" + bytes(6),
    ],
)
def test_other_prefixes_make_none(world: World, option: bytes) -> None:
    before = world.addresses().keys()
    advertise_router(world, option)
    assert world.addresses().keys() == before
    assert world.statistics.nd_bad == 0


@pytest.mark.requirement("ND-9")
@pytest.mark.parametrize(("offered", "lasts"), [(10, 7200), (7300, 7300), (100000, 100000)])
def test_a_life_is_not_cut_below_two_hours(world: World, offered: int, lasts: int) -> None:
    advertise_router(world, prefix(valid=50000, preferred=50000))
    advertise_router(world, prefix(valid=offered, preferred=min(offered, 50000)))
    world.advance(lasts - 1)
    assert AUTONOMOUS in world.addresses()
    world.advance(2)
    assert AUTONOMOUS not in world.addresses()


@pytest.mark.requirement("ND-9")
def test_a_short_life_is_not_prolonged_by_zero(world: World) -> None:
    advertise_router(world, prefix(valid=100, preferred=100))
    world.advance(50)
    advertise_router(world, prefix(valid=0, preferred=0))
    assert world.addresses()[AUTONOMOUS].state in (
        lib.VNIC_ADDRESS_PREFERRED,
        lib.VNIC_ADDRESS_DEPRECATED,
    )
    world.advance(49)
    assert AUTONOMOUS in world.addresses()
    world.advance(2)
    assert AUTONOMOUS not in world.addresses()


@pytest.mark.requirement("ND-10")
def test_what_routers_can_add_is_bounded(world: World) -> None:
    for number in range(200):
        advertise_router(world, prefix(f"2001:db8:{number + 1:x}::"), source=f"fe80::{number + 1:x}")
    assert sum(entry.is_autonomous for entry in world.addresses().values()) == 8
    assert world.add_address("2001:db8:ffff::1", 64) == 0
    assert world.add_route("2001:db8:eeee::/64", PEER_LINK_LOCAL) == 0


@pytest.mark.requirement("RTE-3", "ND-9")
def test_a_deprecated_address_is_the_last_choice(make_world: Callable[..., World]) -> None:
    world = make_world(addresses=())
    advertise_router(world, prefix("2001:db8:1::", preferred=0), prefix("2001:db8:2::"))
    world.advance(0)
    world.know("2001:db8:1::9")
    world.know("2001:db8:2::9")
    deprecated = world.addresses()[AUTONOMOUS]
    assert deprecated.state == lib.VNIC_ADDRESS_DEPRECATED
    for to in ("2001:db8:1::9", "2001:db8:2::9"):
        world.send(world.bind("::", 0), b"x", to=to)
        assert world.one().datagram.source == packet.packed("2001:db8:2::ff:fe00:101")
    advertise_router(world, prefix("2001:db8:1::"))
    world.send(world.bind("::", 0), b"x", to="2001:db8:1::9")
    assert world.one().datagram.source == packet.packed(AUTONOMOUS)


@pytest.mark.requirement("ND-9")
def test_an_address_of_the_users_is_not_a_routers(world: World) -> None:
    assert world.add_address(AUTONOMOUS, 64) == 0
    advertise_router(world, prefix(valid=100, preferred=50))
    world.advance(8000)
    entry = world.addresses()[AUTONOMOUS]
    assert (entry.state, entry.is_autonomous) == (lib.VNIC_ADDRESS_PREFERRED, 0)


@pytest.mark.requirement("ND-9", "RTE-6")
def test_an_address_that_is_over_is_a_strangers(world: World) -> None:
    advertise_router(world, prefix(valid=100, preferred=100))
    socket = world.bind("::", 9)
    assert world.send(socket, b"x", to=AUTONOMOUS, port=9) == 1
    world.advance(1)
    assert world.take(socket)[0] == b"x"
    assert world.state_of(AUTONOMOUS) == lib.VNIC_NEIGHBOUR_PERMANENT
    world.advance(100)
    assert AUTONOMOUS not in world.neighbours()
    assert next_hop(world, AUTONOMOUS) == packet.packed(PEER_LINK_LOCAL)


@pytest.mark.requirement("ND-11", "ND-9")
def test_an_autonomous_address_is_probed_after_a_random_delay(make_world: Callable[..., World]) -> None:
    starts = set()
    for seed in range(6):
        world = make_world(address_probes=1, addresses=(), seed=seed)
        world.advance(2)
        world.transmit()
        advertise_router(world, prefix())
        while not world.transmit():
            world.advance(0.05)
        starts.add(world.now)
        assert world.now <= 3.1e9
    assert len(starts) > 2


# -- duplicate addresses


@pytest.mark.requirement("ND-11")
def test_a_new_address_is_solicited_first(make_world: Callable[..., World]) -> None:
    world = make_world(address_probes=1, addresses=((US6, 64),))
    world.advance(0)
    probes = {frame.datagram.payload[8:24]: frame for frame in world.transmit()}
    probe = probes[packet.packed(US6)]
    assert probes.keys() == {packet.packed(US6), packet.packed(OUR_LINK_LOCAL)}
    assert probe.datagram.source == bytes(16)
    assert probe.datagram.destination == packet.packed(solicited_node(US6))
    assert len(probe.datagram.payload) == 24
    assert world.addresses()[US6].state == lib.VNIC_ADDRESS_TENTATIVE
    world.solicit(US6)
    assert world.transmit() == []
    world.advance(1)
    assert world.addresses()[US6].state == lib.VNIC_ADDRESS_PREFERRED
    world.solicit(US6)
    world.one()


@pytest.mark.requirement("ND-11")
@pytest.mark.parametrize("how", ["solicitation", "advertisement"])
def test_a_duplicate_is_not_used(make_world: Callable[..., World], how: str) -> None:
    world = make_world(address_probes=1, addresses=((US6, 64),))
    world.advance(0.5)
    world.transmit()
    if how == "solicitation":
        world.solicit(US6, source="::")
    else:
        world.advertise(US6, flags=OVERRIDE, destination=ALL_NODES)
    assert world.addresses()[US6].state == lib.VNIC_ADDRESS_DUPLICATE
    world.advance(10)
    assert world.addresses()[US6].state == lib.VNIC_ADDRESS_DUPLICATE
    world.solicit(US6)
    assert world.transmit() == []
    assert world.bind(US6, 1) == lib.VNIC_STACK_EADDRNOTAVAIL


@pytest.mark.requirement("ND-11")
@pytest.mark.parametrize("source", [US6, PEER6])
def test_an_address_in_use_stays(world: World, source: str) -> None:
    world.advertise(US6, flags=OVERRIDE, source=source, destination=ALL_NODES)
    assert world.addresses()[US6].state == lib.VNIC_ADDRESS_PREFERRED
    assert world.statistics.address_conflicts == 1


@pytest.mark.requirement("ND-13")
def test_routers_are_asked_until_one_answers(make_world: Callable[..., World]) -> None:
    silent, answered = make_world(router_solicitations=3), make_world(router_solicitations=3)
    times = []
    for tenth in range(200):
        for frame in silent.transmit():
            assert frame.datagram.destination == packet.packed("ff02::2")
            assert frame.datagram.source == packet.packed(OUR_LINK_LOCAL)
            assert frame.datagram.payload[0] == 133
            assert frame.datagram.payload[8:] == b"\1\1" + OUR_MAC
            times.append(tenth / 10)
        silent.advance(0.1)
    assert times[0] <= 1
    assert [later - times[0] for later in times] == pytest.approx([0, 4, 8], abs=0.11)
    answered.advance(1)
    assert len(answered.transmit()) == 1
    advertise_router(answered)
    answered.advance(20)
    assert answered.transmit() == []


@pytest.mark.requirement("ND-13")
def test_a_stack_is_silent_by_default(world: World) -> None:
    world.advance(100)
    assert world.transmit() == []
    assert world.deadline == NEVER


@pytest.mark.requirement("ND-14")
def test_the_link_local_address_follows_from_the_mac(make_world: Callable[..., World]) -> None:
    world = make_world(addresses=())
    assert list(world.addresses()) == [OUR_LINK_LOCAL]
    assert make_world(mtu=1279, addresses=()).addresses() == {}


@pytest.mark.requirement("ARP-9")
def test_answers_to_solicitations_are_limited(make_world: Callable[..., World]) -> None:
    world = make_world(outbox_frames=4096)
    for _ in range(3000):
        world.solicit(US6)
    assert len(world.transmit()) == 100


def test_a_redirect_is_not_followed(world: World) -> None:
    world.add_route("::/0", PEER_LINK_LOCAL)
    body = bytes(4) + packet.packed("fe80::99") + packet.packed("2001:db8:9::1")
    world.hear_icmpv6(137, body)
    assert world.statistics.nd_in == 1
    assert next_hop(world) == packet.packed(PEER_LINK_LOCAL)
