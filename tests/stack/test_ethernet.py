"""Ethernet: addresses, tags, links and the outbox, by the requirements of spec/stack.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.stack.world import (
    ALL_NODES,
    OUR_MAC,
    PEER,
    PEER_MAC,
    US,
    US6,
    World,
    group_mac,
    solicited_node,
)
from vnic._core import lib
from vnic.wire import packet


def ping(source: str = PEER, destination: str = US) -> bytes:
    return packet.ipv4(source, destination, packet.ICMP, packet.icmp(8, 0, b"\0\1\0\1data"))


@pytest.mark.requirement("ETH-1")
@pytest.mark.parametrize(
    ("mac", "is_ours"),
    [
        (OUR_MAC, True),
        (b"\xff" * 6, True),
        (packet.mac("01:00:5e:00:00:01"), True),
        (group_mac(ALL_NODES), True),
        (group_mac(solicited_node(US6)), True),
        (packet.mac("02:00:00:00:01:02"), False),
        (packet.mac("01:00:5e:00:00:02"), False),
        (group_mac("ff02::2"), False),
        (group_mac(solicited_node("2001:db8::2")), False),
    ],
)
def test_the_filter_passes_our_addresses_and_groups(world: World, mac: bytes, is_ours: bool) -> None:
    world.receive(packet.ethernet(b"", ethertype=0x1234, destination=mac))
    assert world.statistics.no_protocol == is_ours
    assert world.statistics.not_for_us == (not is_ours)


@pytest.mark.requirement("ETH-2")
@pytest.mark.parametrize(
    ("tags", "is_taken"),
    [
        ([(0x8100, 42)], True),
        ([(0x8100, 0xE000 | 42)], True),
        ([(0x8100, 43)], False),
        ([(0x8100, 0)], False),
        ([(0x88A8, 42)], False),
        ([], False),
    ],
)
def test_a_tagged_interface_takes_its_tag_only(
    make_world: Callable[..., World], tags: list[tuple[int, int]], is_taken: bool
) -> None:
    world = make_world(vlan=42)
    world.know(PEER)
    world.receive(packet.ethernet(ping(), destination=OUR_MAC, tags=tags))
    frames = world.transmit()
    assert len(frames) == is_taken
    assert [frame.vlan for frame in frames] == [42] * len(frames)


@pytest.mark.requirement("ETH-2")
def test_an_untagged_interface_drops_tagged_frames(world: World) -> None:
    world.know(PEER)
    world.receive(packet.ethernet(ping(), destination=OUR_MAC, tags=[(0x8100, 1)]))
    world.receive(packet.ethernet(ping(), destination=OUR_MAC, tags=[(0x8100, 0)]))
    assert world.transmit() == []
    assert world.statistics.not_for_us == 2


@pytest.mark.requirement("ETH-3")
def test_a_tag_is_left_to_the_link(make_world: Callable[..., World]) -> None:
    world = make_world(vlan=42, offload=lib.VNIC_STACK_TX_VLAN)
    world.send(world.bind(), b"x")
    world.hear_arp(1, PEER, US)  # untagged: not ours
    frame = world.one()
    assert frame.vlan is None
    assert frame.offload_vlan == 42
    assert frame.packet.operation == 1


@pytest.mark.requirement("ETH-4")
@pytest.mark.parametrize("length", range(0, 19))
def test_short_frames_are_counted(make_world: Callable[..., World], length: int) -> None:
    plain, tagged = make_world(), make_world(vlan=1)
    plain.receive((OUR_MAC + PEER_MAC + b"\x12\x34" + bytes(8))[:length])
    tagged.receive((OUR_MAC + PEER_MAC + b"\x81\0\0\1\x12\x34" + bytes(8))[:length])
    assert plain.statistics.bad_frame == (length < 14)
    assert plain.statistics.no_protocol == (length >= 14)
    assert tagged.statistics.no_protocol == (length >= 18)


@pytest.mark.requirement("ETH-4")
def test_a_group_as_source_is_bad(world: World) -> None:
    world.know(PEER)
    world.receive(packet.ethernet(ping(), source=b"\x03" + PEER_MAC[1:], destination=OUR_MAC))
    assert world.statistics.bad_frame == 1
    assert world.transmit() == []


@pytest.mark.requirement("ETH-5")
def test_padding_is_no_part_of_the_datagram(world: World) -> None:
    world.know(PEER)
    body = packet.ipv4(PEER, US, packet.ICMP, packet.icmp(8, 0, b"\0\1\0\1ab"))
    world.receive(packet.ethernet(body, destination=OUR_MAC) + b"\xee" * 26)
    assert world.one().datagram.payload[8:] == b"ab"


@pytest.mark.requirement("ETH-6")
def test_a_link_that_is_down_is_silent(world: World) -> None:
    world.know(PEER)
    world.hear(ping())
    world.set_link(False)
    assert world.transmit() == []
    world.hear(ping())
    assert world.send(world.bind(), b"x") == lib.VNIC_STACK_EHOSTUNREACH
    assert world.transmit() == []
    world.set_link(True)
    assert world.transmit() == []
    world.hear(ping())
    assert len(world.transmit()) == 1


@pytest.mark.requirement("ETH-6")
def test_neighbours_are_forgotten_with_the_link(world: World) -> None:
    world.send(world.bind(), b"x")
    world.answer_arp()
    world.know("10.0.0.9")
    world.set_link(False)
    assert list(world.neighbours()) == ["10.0.0.9"]
    assert world.deadline == 2**64 - 1


@pytest.mark.requirement("ETH-7")
def test_the_outbox_is_bounded(make_world: Callable[..., World]) -> None:
    world = make_world(outbox_frames=8)
    world.know(PEER)
    for _ in range(20):
        world.hear(ping())
    assert world.statistics.outbox_full == 12
    assert len(world.transmit()) == 8
    world.hear(ping())
    assert len(world.transmit()) == 1


@pytest.mark.requirement("ETH-7")
def test_frames_that_wait_for_neighbours_are_bounded(make_world: Callable[..., World]) -> None:
    world = make_world(outbox_frames=8)
    socket = world.bind()
    results = [world.send(socket, b"x", to=f"10.0.0.{host}") for host in range(10, 30)]
    # Eight wait; each of them also asked once, and the requests fill the outbox.
    assert results[:8] == [1] * 8
    assert all(result < 0 for result in results[8:])
    assert len(world.transmit()) == 8


def test_transmit_wants_room_for_the_largest_frame(world: World) -> None:
    out = bytes(1517)
    assert lib.vnic_stack_transmit(world.stack, 0, out, 1517, world._frame) == lib.VNIC_EINVAL
    assert lib.vnic_stack_transmit(world.stack, 7, out, 1518, world._frame) == lib.VNIC_EINVAL
