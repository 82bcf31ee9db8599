"""Noise and storms: what arrives never harms the stack, takes more than it has, or stops its service."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tests.stack.noise import corpus, damage
from tests.stack.world import PEER, US, US6, World
from vnic._core import ffi, lib
from vnic.wire import packet

NEVER = 2**64 - 1


def is_serving(world: World, host: int = 200) -> bool:
    """Whether a host that was never seen gets an answer to an echo request, ARP included."""
    peer, mac = f"10.0.0.{host}", bytes([2, 0, 0, 0, 0, host])
    world.transmit()
    request = packet.ipv4(peer, US, packet.ICMP, packet.icmp(8, 0, b"\0\1\0\1ping"))
    world.hear(request, source=mac)
    for frame in world.transmit():
        if frame.arp and frame.arp.target == packet.packed(peer):
            world.answer_arp(peer, mac=mac)
    return [frame.datagram.payload[8:] for frame in world.transmit()] == [b"ping"]


def drain(world: World) -> None:
    """Takes what waits, as raw bytes: answers to damaged requests need not be right."""
    out = ffi.new("uint8_t[]", 65600)
    while lib.vnic_stack_transmit(world.stack, 0, out, 65600, world._frame) > 0:
        pass


@pytest.mark.requirement("ETH-4", "FRG-5", "NUD-4")
@pytest.mark.parametrize("seed", range(8))
def test_damaged_frames(make_world: Callable[..., World], seed: int) -> None:
    random = Random(seed)
    world = make_world(
        seed=seed, neighbours=8, outbox_frames=16, fragments_bytes=8192, address_probes=seed % 2
    )
    sockets = [world.bind("0.0.0.0", 9), world.bind("::", 9)]
    frames = corpus()
    for _ in range(1500):
        world.receive(damage(random, random.choice(frames)), flags=random.randrange(4))
        match random.randrange(40):
            case 0:
                world.advance(random.choice([0.01, 1, 20]))
            case 1:
                world.send(random.choice(sockets), b"x", to=f"10.0.0.{random.randrange(2, 40)}")
            case 2:
                drain(world)
            case 3 if random.random() < 0.1:
                world.set_link(False)
                world.set_link(True)
        assert len(world.neighbours()) <= 8
    assert world.statistics.frames_in == 1500
    world.advance(200)
    drain(world)
    assert is_serving(world) == (world.addresses()[US].state == lib.VNIC_ADDRESS_PREFERRED)


@pytest.mark.parametrize("kind", ["arp", "solicitation", "echo"])
def test_a_storm_of_strangers(make_world: Callable[..., World], kind: str) -> None:
    world = make_world(neighbours=16, outbox_frames=32)
    for number in range(2000):
        host, mac = number % 150 + 2, bytes([2, 1, 0, 0, number >> 8, number & 255])
        peer = f"10.0.0.{host}"
        if kind == "arp":
            world.hear_arp(1, peer, US, mac=mac, destination=b"\xff" * 6)
        elif kind == "solicitation":
            world.solicit(US6, source=f"2001:db8::{number + 9:x}", options=b"\1\1" + mac, mac=mac)
        else:
            ping = packet.icmp(8, 0, b"\0\1\0\1")
            world.hear(packet.ipv4(peer, US, packet.ICMP, ping), source=mac)
        assert len(world.neighbours()) <= 16
    drain(world)
    assert is_serving(world)
    world.advance(60)
    drain(world)
    world.advance(60)
    assert world.deadline == NEVER


@pytest.mark.requirement("FRG-5")
@pytest.mark.parametrize("version", [4, 6])
def test_a_storm_of_first_fragments(make_world: Callable[..., World], version: int) -> None:
    world = make_world(fragments_bytes=32768)
    world.know(PEER)
    socket = world.bind(port=9)
    for number in range(5000):
        if version == 4:
            field = packet.MORE_FRAGMENTS
            world.hear(packet.ipv4(PEER, US, 17, bytes(1200), identification=number, fragment=field))
        else:
            extension = (packet.FRAGMENT, packet.fragment_header(0, more=True, identification=number))
            world.hear(packet.ipv6("2001:db8::2", US6, 17, bytes(1200), extensions=[extension]))
    assert world.statistics.fragments_no_room > 4900
    whole = packet.udp(PEER, US, 7, 9, bytes(3000))
    for part in packet.ipv4_fragments(packet.ipv4(PEER, US, 17, whole, identification=9), 1480):
        world.hear(part)
    assert world.take(socket)[0] == bytes(3000)
    world.advance(100)
    world.transmit()
    assert world.deadline == NEVER


def test_every_frame_of_the_corpus_is_of_use(world: World) -> None:
    for frame in corpus():
        world.receive(frame)
    counters = world.statistics
    assert counters.bad_frame == 0
    for name in ("arp_in", "nd_in", "icmp_in", "udp_in", "fragments_in", "fragments_overlap", "no_protocol"):
        assert getattr(counters, name) > 0, name
