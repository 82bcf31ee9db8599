"""Reassembly, by the requirements of spec/stack.md."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stack.world import OUR_MAC, PEER, PEER6, PEER_MAC, US, US6, World
from vnic._core import lib
from vnic.wire import packet

PORT = 9
VERSIONS = [4, 6]


def message(length: int, version: int) -> bytes:
    """A UDP datagram whose bytes tell their place."""
    data = bytes((index * 7 + index // 256) % 256 for index in range(length))
    ends = (PEER, US) if version == 4 else (PEER6, US6)
    return packet.udp(*ends, 1000, PORT, data)


def fragment(
    version: int,
    payload: bytes,
    offset: int,
    *,
    more: bool,
    identification: int = 1,
    proto: int = packet.UDP,
    tos: int = 0,
    source: str | None = None,
) -> bytes:
    """One fragment from the peer to us."""
    if version == 4:
        field = (packet.MORE_FRAGMENTS if more else 0) | offset // 8
        return packet.ipv4(
            source or PEER, US, proto, payload, identification=identification, fragment=field, tos=tos
        )
    header = packet.fragment_header(offset, more=more, identification=identification)
    return packet.ipv6(
        source or PEER6, US6, proto, payload, extensions=[(packet.FRAGMENT, header)], traffic_class=tos
    )


def cut(version: int, whole: bytes, size: int, identification: int = 1) -> list[bytes]:
    """All fragments of a message, of size bytes each."""
    return [
        fragment(
            version,
            whole[at : at + size],
            at,
            more=at + size < len(whole),
            identification=identification,
        )
        for at in range(0, len(whole), size)
    ]


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """It knows its peers and has sockets on the port."""
    return prepared(make_world())


def prepared(world: World) -> World:
    world.know(PEER)
    world.know(PEER6)
    world.bind("0.0.0.0", PORT)
    world.bind("::", PORT)
    return world


def received(world: World) -> list[bytes]:
    """The datagrams that the sockets got, by the events."""
    return [world.take(socket)[0] for socket in world.events()]


def hear_all(world: World, fragments: Sequence[bytes]) -> None:
    for datagram in fragments:
        world.hear(datagram)


@pytest.mark.requirement("FRG-1")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_any_order(world: World, version: int, order: Sequence[int]) -> None:
    whole = message(100, version)
    fragments = cut(version, whole, 32)
    hear_all(world, [fragments[place] for place in order])
    assert received(world) == [whole[8:]]
    assert (world.statistics.reassembled, world.statistics.fragments_in) == (1, 4)
    assert world.deadline == 2**64 - 1


@pytest.mark.requirement("FRG-1")
@pytest.mark.parametrize("version", VERSIONS)
def test_the_largest_datagram(world: World, version: int) -> None:
    whole = message(65507 if version == 4 else 65527, version)
    hear_all(world, cut(version, whole, 1448))
    assert received(world) == [whole[8:]]


@pytest.mark.requirement("FRG-1")
@pytest.mark.parametrize("version", VERSIONS)
def test_interleaved_datagrams(world: World, version: int) -> None:
    wholes = [message(80 + number, version) for number in range(3)]
    by_datagram = [cut(version, whole, 24, number) for number, whole in enumerate(wholes)]
    found = []
    for row in itertools.zip_longest(*by_datagram):
        for datagram in row:
            if datagram:
                world.hear(datagram)
                found += received(world)
    assert found == [whole[8:] for whole in wholes]


@pytest.mark.requirement("FRG-1")
@pytest.mark.parametrize("version", VERSIONS)
def test_what_tells_datagrams_apart(world: World, version: int) -> None:
    whole = message(40, version)
    first, last = cut(version, whole, 24)
    world.hear(first)
    world.hear(fragment(version, whole[24:], 24, more=False, identification=2))
    other = "10.0.0.9" if version == 4 else "2001:db8::9"
    world.hear(fragment(version, whole[24:], 24, more=False, source=other))
    if version == 4:
        world.hear(fragment(4, whole[24:], 24, more=False, proto=packet.ICMP))
    assert received(world) == []
    world.hear(last)
    assert received(world) == [whole[8:]]


@pytest.mark.requirement("FRG-1")
def test_ipv6_fragments_need_not_agree_on_the_next_header(world: World) -> None:
    whole = message(40, 6)
    world.hear(fragment(6, whole[24:], 24, more=False, proto=packet.TCP))
    world.hear(fragment(6, whole[:24], 0, more=True))
    assert received(world) == [whole[8:]]


@pytest.mark.requirement("FRG-1")
def test_headers_before_the_fragment_header_stay(world: World) -> None:
    whole = message(40, 6)
    padding = packet.options_header(b"\1\4\0\0\0\0")
    for at in (24, 0):
        part = whole[at : at + 24]
        header = packet.fragment_header(at, more=at == 0)
        extensions = [(packet.HOP_BY_HOP, padding), (packet.FRAGMENT, header)]
        world.hear(packet.ipv6(PEER6, US6, packet.UDP, part, extensions=extensions))
    assert received(world) == [whole[8:]]


@pytest.mark.requirement("FRG-1")
def test_options_of_the_first_ipv4_fragment_stay(world: World) -> None:
    echo = packet.icmp(8, 0, b"\0\1\0\1" + bytes(40))
    for at in (0, 24):
        field = (packet.MORE_FRAGMENTS if at == 0 else 0) | at // 8
        options = b"\x94\4\0\0" if at == 0 else b""
        part = echo[at : at + 24] if at == 0 else echo[at:]
        world.hear(packet.ipv4(PEER, US, packet.ICMP, part, fragment=field, options=options))
    assert len(world.one().datagram.payload) == len(echo)


@pytest.mark.requirement("FRG-1")
@pytest.mark.parametrize("version", VERSIONS)
def test_the_checksum_covers_the_whole(world: World, version: int) -> None:
    whole = bytearray(message(100, version))
    whole[70] ^= 1
    for datagram in cut(version, bytes(whole), 48):
        frame = packet.ethernet(datagram, source=PEER_MAC, destination=OUR_MAC)
        world.receive(frame, flags=lib.VNIC_STACK_RX_L4_GOOD | lib.VNIC_STACK_RX_IP_GOOD)
    assert received(world) == []
    assert world.statistics.bad_l4_checksum == 1


OVERLAPS = {
    "by one unit before": (16, 32),
    "by one unit behind": (32, 48),
    "inside": (24, 32),
    "around": (16, 48),
    "same place, longer": (24, 48),
}


@pytest.mark.requirement("FRG-2")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OVERLAPS)
def test_an_overlap_voids_the_datagram(world: World, version: int, name: str) -> None:
    whole = message(88, version)
    start, end = OVERLAPS[name]
    world.hear(fragment(version, whole[24:40], 24, more=True))
    world.hear(fragment(version, whole[start:end], start, more=True))
    assert world.statistics.fragments_overlap == 1
    hear_all(
        world, [fragment(version, whole[:24], 0, more=True), fragment(version, whole[40:], 40, more=False)]
    )
    assert received(world) == []


@pytest.mark.requirement("FRG-2", "FRG-3")
@pytest.mark.parametrize("version", VERSIONS)
def test_another_content_is_an_overlap(world: World, version: int) -> None:
    for last in (b"\0", b"\0", b"\1"):
        world.hear(fragment(version, bytes(303) + last, 0, more=True))
        assert world.statistics.fragments_overlap == (last == b"\1")


@pytest.mark.requirement("FRG-2")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", ["two ends", "beyond the end", "end inside"])
def test_ends_that_contradict_void_the_datagram(world: World, version: int, case: str) -> None:
    far = message(120, version)
    if case == "two ends":
        pair = [(64, 72, False), (96, 104, False)]
    elif case == "beyond the end":
        pair = [(64, 72, False), (96, 104, True)]
    else:
        pair = [(96, 104, True), (64, 72, False)]
    for start, end, more in pair:
        world.hear(fragment(version, far[start:end], start, more=more))
    assert world.statistics.fragments_overlap == 1


@pytest.mark.requirement("FRG-2")
def test_what_comes_later_of_an_overlapped_ipv6_datagram_is_dropped(world: World) -> None:
    whole = message(40, 6)
    world.hear(fragment(6, whole[:24], 0, more=True))
    world.hear(fragment(6, whole[16:40], 16, more=True))
    hear_all(world, cut(6, whole, 24))
    assert received(world) == []
    world.advance(60)
    assert world.transmit() == []
    hear_all(world, cut(6, whole, 24))
    assert received(world) == [whole[8:]]


@pytest.mark.requirement("FRG-2")
def test_an_ipv4_identification_serves_again_after_an_overlap(world: World) -> None:
    whole = message(40, 4)
    world.hear(fragment(4, whole[:24], 0, more=True))
    world.hear(fragment(4, whole[16:40], 16, more=True))
    hear_all(world, cut(4, whole, 24))
    assert received(world) == [whole[8:]]


@pytest.mark.requirement("FRG-3")
@pytest.mark.parametrize("version", VERSIONS)
def test_copies_are_ignored(world: World, version: int) -> None:
    whole = message(700, version)
    fragments = cut(version, whole, 304)
    hear_all(world, [fragments[0], fragments[2], fragments[2], fragments[0], fragments[0], fragments[1]])
    assert received(world) == [whole[8:]]
    assert world.statistics.fragments_overlap == 0


@pytest.mark.requirement("FRG-4")
@pytest.mark.parametrize(("version", "seconds"), [(4, 30), (6, 60)])
def test_time_runs_out_after_the_first_to_arrive(world: World, version: int, seconds: int) -> None:
    whole = message(100, version)
    fragments = cut(version, whole, 48)
    world.hear(fragments[1])
    world.advance(seconds - 1)
    world.hear(fragments[0])
    world.advance(0.99)
    assert world.statistics.fragments_timed_out == 0
    world.advance(0.01)
    assert world.statistics.fragments_timed_out == 1
    error = world.one().datagram.payload
    assert error[:2] == (b"\x0b\1" if version == 4 else b"\3\1")
    assert error[8:] == fragments[0]
    world.hear(fragments[2])
    assert received(world) == []


@pytest.mark.requirement("FRG-4")
@pytest.mark.parametrize("version", VERSIONS)
def test_without_the_first_fragment_nothing_is_said(world: World, version: int) -> None:
    world.hear(cut(version, message(100, version), 48)[1])
    world.advance(100)
    assert world.statistics.fragments_timed_out == 1
    assert world.transmit() == []


@pytest.mark.requirement("FRG-5")
@pytest.mark.parametrize("version", VERSIONS)
def test_memory_is_bounded_and_the_oldest_goes(make_world: Callable[..., World], version: int) -> None:
    world = prepared(make_world(fragments_bytes=65536))
    whole = message(1000, version)
    for identification in range(200):
        world.hear(cut(version, whole, 512, identification)[0])
    lost = world.statistics.fragments_no_room
    assert lost >= 200 - 65536 // 512
    for identification in (0, 199):
        world.hear(cut(version, whole, 512, identification)[1])
    assert received(world) == [whole[8:]]


@pytest.mark.requirement("FRG-5")
def test_a_datagram_that_is_larger_than_the_memory(make_world: Callable[..., World]) -> None:
    world = prepared(make_world(fragments_bytes=16384))
    hear_all(world, cut(4, message(20000, 4), 1480))
    assert received(world) == []
    assert world.statistics.fragments_no_room > 0
    whole = message(3000, 4)
    hear_all(world, cut(4, whole, 1480, 2))
    assert received(world) == [whole[8:]]


@pytest.mark.requirement("FRG-5")
def test_the_number_of_fragments_is_bounded(world: World) -> None:
    whole = message(8 * 256 - 8, 4)
    hear_all(world, cut(4, whole, 8))
    assert received(world) == [whole[8:]]
    hear_all(world, cut(4, message(8 * 256, 4), 8))
    assert received(world) == []
    assert world.statistics.fragments_no_room == 1


@pytest.mark.requirement("FRG-5")
def test_without_memory_there_is_no_reassembly(make_world: Callable[..., World]) -> None:
    world = prepared(make_world(fragments_bytes=0))
    hear_all(world, cut(4, message(100, 4), 48))
    assert received(world) == []


@pytest.mark.requirement("FRG-6")
@pytest.mark.parametrize(
    ("offset", "length", "more"), [(65528, 8, False), (65512, 24, True), (65528, 1480, False)]
)
def test_the_ping_of_death(world: World, offset: int, length: int, more: bool) -> None:
    world.hear(fragment(4, bytes(length), offset, more=more))
    assert world.statistics.bad_ip == 1
    assert world.deadline == 2**64 - 1
    world.hear(fragment(6, bytes(length), offset, more=more))
    assert world.statistics.bad_ip == 2
    assert struct.unpack("!BBxxI", world.one().datagram.payload[:8]) == (4, 0, 42)


@pytest.mark.requirement("FRG-6")
def test_a_long_header_counts(world: World) -> None:
    options = b"\1" * 40
    field = packet.MORE_FRAGMENTS
    world.hear(packet.ipv4(PEER, US, packet.UDP, bytes(1480), fragment=field, options=options))
    for at in range(1480, 65480, 1480):
        end = min(at + 1480, 65512)
        world.hear(fragment(4, bytes(end - at), at, more=end < 65512, identification=0))
    assert received(world) == []
    assert world.statistics.bad_ip == 1


@pytest.mark.requirement("FRG-6")
@pytest.mark.parametrize("length", [1, 7, 9, 1479])
def test_lengths_that_are_no_multiple_of_8(world: World, length: int) -> None:
    world.hear(fragment(4, bytes(length), 0, more=True))
    assert (world.statistics.bad_ip, world.transmit()) == (1, [])
    world.hear(fragment(6, bytes(length), 0, more=True))
    assert struct.unpack("!BBxxI", world.one().datagram.payload[:8]) == (4, 0, 4)
    assert world.deadline == 2**64 - 1


@pytest.mark.requirement("FRG-6")
@pytest.mark.parametrize("version", VERSIONS)
def test_empty_fragments(world: World, version: int) -> None:
    world.hear(fragment(version, b"", 8, more=True))
    world.hear(fragment(version, b"", 8, more=False))
    assert world.statistics.bad_ip == 2
    assert world.deadline == 2**64 - 1


@pytest.mark.requirement("FRG-7")
def test_an_atomic_fragment_is_apart(world: World) -> None:
    whole = message(100, 6)
    fragments = cut(6, whole, 48)
    world.hear(fragments[0])
    atomic = message(20, 6)
    world.hear(fragment(6, atomic, 0, more=False))
    assert received(world) == [atomic[8:]]
    hear_all(world, fragments[1:])
    assert received(world) == [whole[8:]]
    assert world.statistics.fragments_in == 3


@pytest.mark.requirement("FRG-7")
def test_fragments_of_fragments_are_dropped(world: World) -> None:
    header = packet.fragment_header(0, more=False, identification=2)
    inner = bytes([packet.UDP]) + header[1:] + message(20, 6)
    world.hear(fragment(6, inner, 0, more=False, proto=packet.FRAGMENT))
    assert received(world) == []
    assert world.statistics.bad_ip == 1
    nested = bytes([packet.UDP]) + packet.fragment_header(0, more=True, identification=2)[1:] + message(24, 6)
    hear_all(
        world,
        [
            fragment(6, nested[:16], 0, more=True, proto=packet.FRAGMENT),
            fragment(6, nested[16:], 16, more=False, proto=packet.FRAGMENT),
        ],
    )
    assert received(world) == []
    world.advance(100)


@pytest.mark.requirement("FRG-8")
@pytest.mark.parametrize(
    ("proto", "length", "is_whole"),
    [
        (packet.TCP, 16, False),
        (packet.TCP, 24, True),
        (packet.UDP, 8, True),
        (packet.ICMPV6, 8, True),
        (packet.DESTINATION, 8, False),
    ],
)
def test_the_first_fragment_holds_all_headers(world: World, proto: int, length: int, is_whole: bool) -> None:
    body = bytearray(length)
    if proto == packet.TCP and length > 12:
        body[12] = 5 << 4
    if proto == packet.DESTINATION:
        body[:2] = bytes([packet.UDP, 3])
    world.hear(fragment(6, bytes(body), 0, more=True, proto=proto))
    if is_whole:
        assert world.transmit() == []
    else:
        assert struct.unpack("!BBxxI", world.one().datagram.payload[:8]) == (4, 3, 0)
    assert world.statistics.bad_ip == (not is_whole)


ECN = {"not": 0, "ect1": 1, "ect0": 2, "ce": 3}


@pytest.mark.requirement("FRG-9")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("first", "last", "is_taken"),
    [
        ("ect0", "ce", True),
        ("ce", "ect1", True),
        ("ce", "ce", True),
        ("not", "not", True),
        ("not", "ce", False),
        ("ce", "not", False),
    ],
)
def test_congestion_marks(world: World, version: int, first: str, last: str, is_taken: bool) -> None:
    whole = message(40, version)
    world.hear(fragment(version, whole[:24], 0, more=True, tos=ECN[first]))
    world.hear(fragment(version, whole[24:], 24, more=False, tos=ECN[last]))
    assert (received(world) == [whole[8:]]) == is_taken
    assert world.statistics.bad_ip == (not is_taken)


@pytest.mark.requirement("ETH-6")
def test_fragments_are_forgotten_with_the_link(world: World) -> None:
    fragments = [datagram for version in VERSIONS for datagram in cut(version, message(40, version), 24)]
    hear_all(world, fragments[::2])
    world.set_link(False)
    assert world.deadline == 2**64 - 1
    world.set_link(True)
    hear_all(world, fragments[1::2])
    assert received(world) == []


@given(
    version=st.sampled_from(VERSIONS),
    length=st.integers(1, 400),
    cuts=st.sets(st.integers(1, 50), max_size=12),
    order=st.randoms(use_true_random=False),
    copies=st.lists(st.integers(0, 12), max_size=6),
)
def test_any_cut_in_any_order_with_copies(
    version: int, length: int, cuts: set[int], order: object, copies: list[int]
) -> None:
    whole = message(length, version)
    ends = sorted({at * 8 for at in cuts if 8 < at * 8 < len(whole)} | {len(whole)})
    starts = [0, *ends[:-1]]
    if len(ends) == 1:
        return
    fragments = [
        fragment(version, whole[start:end], start, more=end < len(whole))
        for start, end in zip(starts, ends, strict=True)
    ]
    copied = [fragments[place % len(fragments)] for place in copies]
    order.shuffle(fragments)  # type: ignore[attr-defined]
    with World() as plain:
        world = prepared(plain)
        hear_all(world, copied)
        hear_all(world, fragments)
        found = received(world)
        assert found[:1] == [whole[8:]]
        assert world.statistics.fragments_overlap == 0
