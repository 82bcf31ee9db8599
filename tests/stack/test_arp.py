"""ARP and reachability, by the requirements of spec/stack.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.stack.world import OTHER, OTHER_MAC, OUR_MAC, PEER, PEER_MAC, US, World
from vnic._core import lib
from vnic.wire import packet

BROADCAST = b"\xff" * 6
UNREACHABLE = lib.VNIC_STACK_EHOSTUNREACH


@pytest.fixture
def asking(world: World) -> World:
    """It sent a datagram to a neighbour that it does not know; the request is out."""
    world.send(world.bind(), b"x")
    assert world.one().packet.target == packet.packed(PEER)
    return world


@pytest.fixture
def resolved(asking: World) -> World:
    """The neighbour is REACHABLE, the datagram is out."""
    asking.answer_arp()
    asking.one()
    assert asking.state_of() == lib.VNIC_NEIGHBOUR_REACHABLE
    return asking


@pytest.mark.requirement("ARP-1")
@pytest.mark.parametrize("destination", [BROADCAST, OUR_MAC])
def test_a_request_for_us_is_answered(world: World, destination: bytes) -> None:
    world.hear_arp(1, PEER, US, destination=destination)
    frame = world.one()
    assert (frame.destination, frame.source) == (PEER_MAC, OUR_MAC)
    reply = frame.packet
    assert reply.operation == 2
    assert (reply.sender_mac, reply.sender) == (OUR_MAC, packet.packed(US))
    assert (reply.target_mac, reply.target) == (PEER_MAC, packet.packed(PEER))


@pytest.mark.requirement("ARP-1")
def test_a_probe_for_our_address_is_answered(world: World) -> None:
    world.hear_arp(1, "0.0.0.0", US, destination=BROADCAST)
    assert world.one().packet.target == bytes(4)


@pytest.mark.requirement("ARP-1")
def test_nothing_else_is_answered(world: World) -> None:
    world.hear_arp(1, PEER, OTHER, destination=BROADCAST)
    world.hear_arp(2, PEER, US)
    world.hear_arp(1, PEER, "255.255.255.255", destination=BROADCAST)
    assert world.transmit() == []
    assert world.statistics.arp_in == 3


@pytest.mark.requirement("ARP-2")
@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, b"\0\6"),
        (2, b"\x86\xdd"),
        (4, b"\x08"),
        (5, b"\x10"),
        (6, b"\0\0"),
        (6, b"\0\3"),
        (6, b"\1\1"),
        (8, b"\xff" * 6),
        (8, b"\1\0\x5e\0\0\1"),
        (8, bytes(6)),
    ],
)
def test_other_packets_are_ignored(asking: World, at: int, value: bytes) -> None:
    for operation in (1, 2):
        body = bytearray(packet.arp(PEER, US, operation=operation, source_mac=PEER_MAC, target_mac=OUR_MAC))
        body[at : at + len(value)] = value
        asking.receive(packet.ethernet(bytes(body), ethertype=0x0806, source=PEER_MAC, destination=OUR_MAC))
    assert asking.transmit() == []
    assert asking.statistics.bad_frame == 2
    assert asking.state_of() == lib.VNIC_NEIGHBOUR_INCOMPLETE


@pytest.mark.requirement("ARP-2")
def test_cut_packets_are_ignored(asking: World) -> None:
    body = packet.arp(PEER, US, operation=2, source_mac=PEER_MAC, target_mac=OUR_MAC)
    for length in range(28):
        asking.receive(packet.ethernet(body[:length], ethertype=0x0806, source=PEER_MAC, destination=OUR_MAC))
    assert asking.statistics.bad_frame == 28
    assert asking.transmit() == []


@pytest.mark.requirement("ARP-3")
def test_the_request_is_repeated_three_times_in_all(world: World) -> None:
    world.send(world.bind(), b"x")
    times = []
    for tenth in range(100):
        for frame in world.transmit():
            assert frame.destination == BROADCAST
            request = frame.packet
            assert request.operation == 1
            assert (request.sender_mac, request.sender) == (OUR_MAC, packet.packed(US))
            assert (request.target_mac, request.target) == (bytes(6), packet.packed(PEER))
            times.append(tenth / 10)
        world.advance(0.1)
    assert times == [0, 1, 2]
    assert world.neighbours() == {}
    assert world.statistics.neighbours_failed == 1
    assert world.deadline == 2**64 - 1


@pytest.mark.requirement("ARP-3", "NUD-6")
def test_what_waited_is_dropped_and_told(asking: World) -> None:
    socket = asking.bind(port=6000)
    assert asking.send(socket, b"y", port=9) == 1
    asking.advance(10)
    assert [frame.arp is not None for frame in asking.transmit()] == [True, True]
    assert asking.events()[socket] == lib.VNIC_EVENT_SOFT_ERROR
    assert asking.take_result(socket) == (UNREACHABLE, PEER, 9)
    assert asking.take_result(socket)[0] == lib.VNIC_STACK_EAGAIN
    asking.answer_arp()
    assert asking.transmit() == []


@pytest.mark.requirement("ARP-4")
def test_the_newest_three_datagrams_wait(world: World) -> None:
    socket = world.bind()
    for number in range(5):
        assert world.send(socket, bytes([number])) == 1
    assert len(world.transmit()) == 1
    world.answer_arp()
    assert [frame.datagram.payload[8:] for frame in world.transmit()] == [b"\2", b"\3", b"\4"]
    assert world.statistics.outbox_full == 2


@pytest.mark.requirement("ARP-4")
def test_a_datagram_in_fragments_waits_as_one(world: World) -> None:
    socket = world.bind()
    world.send(socket, bytes(4000))
    for number in range(2):
        world.send(socket, bytes([number]))
    world.answer_arp()
    frames = [frame for frame in world.transmit() if frame.arp is None]
    assert [frame.datagram.is_fragment for frame in frames] == [True] * 3 + [False] * 2
    assert {frame.destination for frame in frames} == {PEER_MAC}


@pytest.mark.requirement("ARP-5")
def test_nobody_is_added_unasked(world: World) -> None:
    world.hear_arp(1, PEER, US, destination=BROADCAST)
    world.hear_arp(2, PEER, US)
    world.hear_arp(1, PEER, PEER, destination=BROADCAST)
    assert world.neighbours() == {}


@pytest.mark.requirement("ARP-5")
def test_a_gratuitous_announcement_moves_a_neighbour(resolved: World) -> None:
    resolved.hear_arp(1, PEER, PEER, mac=OTHER_MAC, destination=BROADCAST)
    assert resolved.mac_of() == OTHER_MAC
    assert resolved.state_of() == lib.VNIC_NEIGHBOUR_STALE
    resolved.send(resolved.bind(port=1), b"x")
    assert resolved.one().destination == OTHER_MAC


@pytest.mark.requirement("ARP-5")
def test_a_request_from_the_neighbour_asked_for_resolves_it(asking: World) -> None:
    asking.hear_arp(1, PEER, US, destination=BROADCAST)
    frames = asking.transmit()
    assert [frame.arp is not None for frame in frames] == [False, True]
    assert asking.state_of() == lib.VNIC_NEIGHBOUR_DELAY


@pytest.mark.requirement("ARP-6")
def test_a_reply_to_us_proves_reachability(asking: World) -> None:
    asking.answer_arp()
    assert asking.one().datagram.payload[8:] == b"x"
    assert asking.state_of() == lib.VNIC_NEIGHBOUR_REACHABLE
    assert asking.neighbours()[PEER].confirmed_ns == asking.now


@pytest.mark.requirement("ARP-6")
@pytest.mark.parametrize("how", ["to all", "to another"])
def test_another_reply_proves_nothing(asking: World, how: str) -> None:
    if how == "to all":
        asking.hear_arp(2, PEER, US, destination=BROADCAST)
    else:
        asking.hear_arp(2, PEER, OTHER)
    assert len(asking.transmit()) == 1
    assert asking.state_of() == lib.VNIC_NEIGHBOUR_DELAY  # STALE, then used by what waited


@pytest.mark.requirement("ARP-6")
def test_an_unsolicited_reply_does_not_prolong(resolved: World) -> None:
    resolved.advance(10)
    resolved.answer_arp()
    assert resolved.neighbours()[PEER].confirmed_ns == 0


@pytest.mark.requirement("ARP-7")
def test_a_conflict_is_counted_and_defended_now_and_then(world: World) -> None:
    world.send(world.bind(), b"x")
    world.transmit()
    announcements = []
    for _ in range(25):
        world.hear_arp(2, US, PEER, mac=OTHER_MAC)
        announcements.append(len(world.transmit()))
        world.advance(0.9)
        world.transmit()
    assert world.statistics.address_conflicts == 25
    assert sum(announcements) == 3
    assert announcements[0] == 1
    assert world.addresses()[US].state == lib.VNIC_ADDRESS_PREFERRED


@pytest.mark.requirement("ARP-7")
def test_the_defence_names_us(world: World) -> None:
    world.hear_arp(1, US, US, mac=OTHER_MAC, destination=BROADCAST)
    frame = world.one()
    assert frame.destination == BROADCAST
    assert (frame.packet.sender, frame.packet.target) == (packet.packed(US), packet.packed(US))
    assert frame.packet.sender_mac == OUR_MAC


@pytest.mark.requirement("ARP-7")
def test_our_own_packets_are_no_conflict(world: World) -> None:
    world.hear_arp(1, US, US, mac=OUR_MAC, destination=BROADCAST)
    assert world.transmit() == []
    assert world.statistics.address_conflicts == 0


@pytest.mark.requirement("ARP-8")
def test_probes_come_before_the_address_is_ours(make_world: Callable[..., World]) -> None:
    world = make_world(address_probes=3, addresses=((US, 24),))
    seen = []
    for tenth in range(40):
        world.advance(0.1 if tenth else 0)
        for frame in world.transmit():
            if frame.arp:
                assert frame.destination == BROADCAST
                seen.append((round(world.now / 1e9, 1), frame.packet.sender, frame.packet.target))
        if world.now < 3_000_000_000:
            assert world.addresses()[US].state == lib.VNIC_ADDRESS_TENTATIVE
    ours, nobody = packet.packed(US), bytes(4)
    assert seen == [(0, nobody, ours), (1, nobody, ours), (2, nobody, ours), (3, ours, ours)]
    assert world.addresses()[US].state == lib.VNIC_ADDRESS_PREFERRED


@pytest.mark.requirement("ARP-8")
def test_a_tentative_address_is_not_used(make_world: Callable[..., World]) -> None:
    world = make_world(address_probes=1, addresses=((US, 24),))
    world.advance(0)
    world.transmit()
    assert world.bind(US, 9) == lib.VNIC_STACK_EADDRNOTAVAIL
    assert world.send(world.bind(), b"x") == lib.VNIC_STACK_EADDRNOTAVAIL
    world.hear_arp(1, PEER, US, destination=BROADCAST)
    assert [frame for frame in world.transmit() if frame.arp] == []


@pytest.mark.requirement("ARP-8")
@pytest.mark.parametrize(
    ("operation", "source", "target"), [(2, US, PEER), (1, US, PEER), (1, US, US), (1, "0.0.0.0", US)]
)
def test_an_address_that_another_host_has_or_wants_is_given_up(
    make_world: Callable[..., World], operation: int, source: str, target: str
) -> None:
    world = make_world(address_probes=2, addresses=((US, 24),))
    world.advance(0.5)
    world.hear_arp(operation, source, target, mac=OTHER_MAC, destination=BROADCAST)
    assert world.addresses()[US].state == lib.VNIC_ADDRESS_DUPLICATE
    world.transmit()
    world.advance(20)
    assert [frame for frame in world.transmit() if frame.arp] == []
    assert world.addresses()[US].state == lib.VNIC_ADDRESS_DUPLICATE
    assert world.statistics.address_conflicts == 1
    world.hear_arp(1, PEER, US, destination=BROADCAST)
    assert world.transmit() == []


@pytest.mark.requirement("ARP-8")
def test_a_link_that_comes_up_starts_the_probes(make_world: Callable[..., World]) -> None:
    world = make_world(address_probes=1, addresses=((US, 24),), is_up=False)
    world.advance(5)
    assert world.addresses()[US].state == lib.VNIC_ADDRESS_TENTATIVE
    world.set_link(True)
    world.advance(2)
    assert world.addresses()[US].state == lib.VNIC_ADDRESS_PREFERRED
    assert [frame.packet.sender for frame in world.transmit() if frame.arp] == [
        bytes(4),
        packet.packed(US),
    ]


@pytest.mark.requirement("ARP-9")
def test_answers_are_limited(make_world: Callable[..., World]) -> None:
    world = make_world(outbox_frames=4096)
    for _ in range(3000):
        world.hear_arp(1, PEER, US, destination=BROADCAST)
    assert len(world.transmit()) == 100
    world.advance(0.05)
    for _ in range(3000):
        world.hear_arp(1, PEER, US, destination=BROADCAST)
    assert len(world.transmit()) == 50


# -- reachability


@pytest.mark.requirement("NUD-1")
def test_reachable_lasts_half_to_one_and_a_half_of_30_s(make_world: Callable[..., World]) -> None:
    lasts = []
    for seed in range(40):
        world = make_world(seed=seed)
        world.send(world.bind(), b"x")
        world.answer_arp()
        while world.state_of() == lib.VNIC_NEIGHBOUR_REACHABLE:
            world.advance(0.5)
        lasts.append(world.now / 1e9)
    assert min(lasts) >= 15
    assert max(lasts) <= 45.5
    assert max(lasts) - min(lasts) > 15


@pytest.mark.requirement("NUD-2")
def test_a_stale_neighbour_is_used_and_then_probed(resolved: World) -> None:
    resolved.advance(50)
    assert resolved.state_of() == lib.VNIC_NEIGHBOUR_STALE
    resolved.send(resolved.bind(port=1), b"y")
    assert resolved.one().datagram.payload[8:] == b"y"
    assert resolved.state_of() == lib.VNIC_NEIGHBOUR_DELAY
    start = resolved.now
    probes = []
    for _ in range(120):
        resolved.advance(0.1)
        for frame in resolved.transmit():
            assert frame.destination == PEER_MAC
            assert frame.packet.operation == 1
            assert frame.packet.target == packet.packed(PEER)
            probes.append(round((resolved.now - start) / 1e9, 1))
    assert probes == [5, 6, 7]
    assert resolved.neighbours() == {}
    assert resolved.statistics.neighbours_failed == 1


@pytest.mark.requirement("NUD-2")
def test_frames_go_on_while_it_is_probed(resolved: World) -> None:
    resolved.advance(50)
    socket = resolved.bind(port=1)
    for _ in range(7):
        resolved.send(socket, b"y")
        assert any(frame.ip for frame in resolved.transmit())
        resolved.advance(1)


@pytest.mark.requirement("NUD-2")
def test_without_use_there_is_no_probe(resolved: World) -> None:
    resolved.advance(1000)
    assert resolved.transmit() == []
    assert resolved.state_of() == lib.VNIC_NEIGHBOUR_STALE
    assert resolved.deadline == 2**64 - 1


@pytest.mark.requirement("NUD-3")
def test_an_answer_to_a_probe_renews(resolved: World) -> None:
    resolved.advance(50)
    resolved.send(resolved.bind(port=1), b"y")
    resolved.advance(5)
    assert resolved.state_of() == lib.VNIC_NEIGHBOUR_PROBE
    resolved.answer_arp()
    assert resolved.state_of() == lib.VNIC_NEIGHBOUR_REACHABLE
    resolved.transmit()
    resolved.advance(10)
    assert resolved.transmit() == []


@pytest.mark.requirement("NUD-4")
def test_unresolved_entries_go_first(make_world: Callable[..., World]) -> None:
    world = make_world(neighbours=8)
    socket = world.bind()
    for host in range(2, 6):
        world.send(socket, b"x", to=f"10.0.0.{host}")
        world.answer_arp(f"10.0.0.{host}")
    for host in range(100, 200):
        world.send(socket, b"x", to=f"10.0.0.{host}")
        world.transmit()
    known = world.neighbours()
    assert len(known) == 8
    assert {f"10.0.0.{host}" for host in range(2, 6)} <= known.keys()
    assert {f"10.0.0.{host}" for host in range(196, 200)} <= known.keys()
    assert world.statistics.neighbours_evicted == 96


@pytest.mark.requirement("NUD-4")
def test_then_the_least_recently_used(make_world: Callable[..., World]) -> None:
    world = make_world(neighbours=4)
    socket = world.bind()
    for host in range(2, 6):
        world.send(socket, b"x", to=f"10.0.0.{host}")
        world.answer_arp(f"10.0.0.{host}")
    world.send(socket, b"x", to="10.0.0.2")
    world.send(socket, b"x", to="10.0.0.9")
    assert world.neighbours().keys() == {"10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.9"}


@pytest.mark.requirement("NUD-4")
def test_permanent_entries_stay(make_world: Callable[..., World]) -> None:
    world = make_world(neighbours=2)
    assert world.know("10.0.0.8") == 0
    assert world.know("10.0.0.9") == 0
    assert world.send(world.bind(), b"x") == lib.VNIC_STACK_ENOBUFS
    assert world.know("10.0.0.10") == lib.VNIC_ENOSPC
    assert world.send(world.bind(port=1), b"x", to="10.0.0.9") == 1


@pytest.mark.requirement("NUD-5")
def test_a_permanent_entry_is_not_changed(world: World) -> None:
    world.know(PEER)
    world.hear_arp(2, PEER, US, mac=OTHER_MAC)
    world.hear_arp(1, PEER, PEER, mac=OTHER_MAC, destination=BROADCAST)
    world.advance(1000)
    assert world.mac_of() == PEER_MAC
    assert world.state_of() == lib.VNIC_NEIGHBOUR_PERMANENT


def test_a_permanent_entry_releases_what_waits(asking: World) -> None:
    asking.know(PEER)
    assert asking.one().datagram.payload[8:] == b"x"
    assert asking.deadline == 2**64 - 1


def test_a_storm_of_replies_leaves_no_trace(world: World) -> None:
    for host in range(2, 250):
        mac = bytes([2, 0, 0, 0, 9, host])
        world.hear_arp(2, f"10.0.0.{host}", US, mac=mac)
        world.hear_arp(1, f"10.0.0.{host}", f"10.0.0.{host}", mac=mac, destination=BROADCAST)
    assert world.neighbours() == {}
    assert world.transmit() == []
