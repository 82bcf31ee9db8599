"""SYN cookies: a handshake of which nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.stack.peer import (
    ACK,
    FIN,
    RST,
    SCALE,
    SYN,
    TIMESTAMP,
    Peer,
    events,
    info,
    listen,
    mss,
    peer6,
    receive,
    resolve,
    sack_permitted,
    scale,
    send,
    statistics,
    timestamp,
)
from tests.stack.world import World
from vnic._core import lib
from vnic.wire.packet import CWR, ECE

Make = Callable[..., World]


def start(make_world: Make, **config: Any) -> tuple[World, int]:
    """A stack that answers every SYN with a cookie, and its listener."""
    world = make_world(**{"syn_cookies": 2} | config)
    resolve(world)
    return world, listen(world)


def shake(peer: Peer, options: bytes = mss(1460), flags: int = SYN) -> None:
    """SYN and cookie; the peer is ready to send its ACK, with timestamps if it offered them."""
    peer.send(flags, options=options)
    answer = peer.take()
    assert answer.flags & (SYN | ACK) == SYN | ACK
    if TIMESTAMP in answer.options:
        peer.options = timestamp(answer.timestamp[1] + 1, answer.timestamp[0])


def accept(world: World, listener: int) -> int:
    """A socket, or a result below 0."""
    return int(lib.vnic_tcp_accept(world.stack, listener))


@pytest.mark.requirement("COOK-1", "COOK-2")
@pytest.mark.parametrize("make", [Peer, peer6])
def test_nothing_is_kept_and_the_ack_establishes(make_world: Make, make: Callable[..., Peer]) -> None:
    world, listener = start(make_world)
    if make is peer6:
        listener = listen(world, "::")
    peer = make(world)
    shake(peer)
    assert statistics(world).connections == 0
    assert world.deadline == 2**64 - 1
    peer.send(ACK)
    assert events(world) == {listener: lib.VNIC_EVENT_ACCEPT}
    socket = accept(world, listener)
    assert info(world, socket).state == 3
    assert send(world, socket, b"served") == 6
    assert peer.take().data == b"served"
    peer.send(ACK, b"thanks")
    assert receive(world, socket) == b"thanks"
    assert (statistics(world).cookies_sent, statistics(world).cookies_good) == (1, 1)


@pytest.mark.requirement("COOK-5")
def test_data_and_fin_come_with_the_ack(make_world: Make) -> None:
    world, listener = start(make_world)
    peer = Peer(world)
    shake(peer)
    peer.send(FIN | ACK, b"short and")
    socket = accept(world, listener)
    assert receive(world, socket) == b"short and"
    assert receive(world, socket) == b""
    assert peer.take().ack == peer.seq


@pytest.mark.requirement("COOK-2")
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(9000, 1460), (1460, 1460), (1459, 1440), (1400, 1400), (700, 536), (300, 216), (100, 216)],
)
def test_mss_is_the_next_of_the_table(make_world: Make, theirs: int, ours: int) -> None:
    world, listener = start(make_world)
    peer = Peer(world)
    shake(peer, mss(theirs))
    peer.send(ACK)
    assert info(world, accept(world, listener)).mss == ours


@pytest.mark.requirement("COOK-2")
def test_no_mss_means_the_default(make_world: Make) -> None:
    world, listener = start(make_world)
    peer = Peer(world)
    shake(peer, b"")
    peer.send(ACK)
    assert info(world, accept(world, listener)).mss == 536


@pytest.mark.requirement("COOK-2")
@pytest.mark.parametrize("shift", [0, 7, 14])
@pytest.mark.parametrize("has_sack", [True, False])
@pytest.mark.parametrize("has_ecn", [True, False])
def test_options_ride_in_the_timestamp(make_world: Make, shift: int, has_sack: bool, has_ecn: bool) -> None:
    world, listener = start(make_world)
    world.advance(12.345)
    options = mss(1460) + scale(shift) + timestamp(5000) + (sack_permitted() if has_sack else b"")
    peer = Peer(world)
    shake(peer, options, SYN | ECE | CWR if has_ecn else SYN)
    assert bool(peer.sent[0].flags & ECE) == has_ecn
    assert SCALE in peer.sent[0].options
    assert (4 in peer.sent[0].options) == has_sack
    peer.send(ACK, window=1000)
    socket = accept(world, listener)
    assert info(world, socket).snd_wnd == 1000 << shift
    assert send(world, socket, b"x") == 1
    found = peer.take()
    assert found.seen.datagram.tos & 3 == (2 if has_ecn else 0)
    assert (found.timestamp[0] - peer.sent[0].timestamp[0]) % 2**32 <= 64  # the clock goes on, never back
    peer.send(ACK, b"gap", seq=peer.seq + 10)
    assert (5 in peer.one().options) == has_sack


@pytest.mark.requirement("COOK-2")
def test_without_timestamps_there_is_no_scale(make_world: Make) -> None:
    world, listener = start(make_world)
    peer = Peer(world)
    shake(peer, mss(1460) + scale(7) + sack_permitted())
    assert set(peer.sent[0].options) == {2}
    peer.send(ACK, window=1000)
    assert info(world, accept(world, listener)).snd_wnd == 1000


@pytest.mark.requirement("COOK-3")
def test_forged_cookies_are_refused(make_world: Make) -> None:
    world, listener = start(make_world)
    peer = Peer(world)
    shake(peer)
    good = peer.ack
    wrong = [
        replace(peer, ack=good ^ 1),
        replace(peer, ack=good ^ 1 << 23),
        replace(peer, ack=good ^ 1 << 24),  # another MSS
        replace(peer, ack=good ^ 1 << 27),  # another time
        replace(peer, seq=peer.seq + 1),
        replace(peer, port=peer.port + 1),
        replace(peer, options=timestamp(1, 64)),
    ]
    for each in wrong:
        each.send(ACK)
        answer = each.one()
        assert answer.flags & RST, each
        assert answer.seq == each.ack
    assert statistics(world).cookies_bad == len(wrong)
    assert accept(world, listener) == lib.VNIC_STACK_EAGAIN
    peer.send(ACK)
    assert accept(world, listener) > 0


@pytest.mark.requirement("COOK-3")
def test_options_cannot_be_forged(make_world: Make) -> None:
    world, _ = start(make_world)
    peer = Peer(world)
    shake(peer, mss(1460) + scale(2) + timestamp(5000))
    stamp = peer.sent[0].timestamp[0]
    peer.options = timestamp(5001, stamp ^ 1)
    peer.send(ACK)
    assert peer.one().flags & RST


@pytest.mark.requirement("COOK-3")
@pytest.mark.parametrize(("seconds", "is_good"), [(63, True), (127, False), (200, False), (64 * 32, False)])
def test_cookies_expire(make_world: Make, seconds: int, is_good: bool) -> None:
    world, listener = start(make_world)
    world.advance(64 * 3)
    peer = Peer(world)
    shake(peer)
    world.advance(seconds)
    if not is_good:
        shake(Peer(world, port=1))  # cookies are out, but this one is old
        world.advance(1)
    peer.send(ACK)
    assert (accept(world, listener) > 0) == is_good
    assert bool([segment for segment in peer.heard() if segment.flags & RST]) != is_good


@pytest.mark.requirement("COOK-3")
def test_no_cookie_counts_when_none_was_sent_lately(make_world: Make) -> None:
    world, listener = start(make_world)
    peer = Peer(world)
    shake(peer)
    world.advance(64 * 32)  # the same five bits of time
    peer.send(ACK)
    assert peer.one().flags & RST
    assert statistics(world).cookies_bad == 0
    assert accept(world, listener) == lib.VNIC_STACK_EAGAIN


@pytest.mark.requirement("COOK-3")
def test_cookies_of_another_seed(make_world: Make) -> None:
    numbers = []
    for seed in (1, 2):
        world, _ = start(make_world, seed=seed)
        peer = Peer(world)
        shake(peer)
        numbers.append(peer.sent[0].seq)
    assert numbers[0] & 0xFFFFFF != numbers[1] & 0xFFFFFF


@pytest.mark.requirement("COOK-4")
@pytest.mark.parametrize("mode", [0, 1])
def test_when_the_backlog_is_full(make_world: Make, mode: int) -> None:
    world = make_world(syn_cookies=mode)
    resolve(world)
    listener = listen(world, backlog=2)
    flood = [Peer(world, port=1000 + i) for i in range(50)]
    for peer in flood:
        peer.send(SYN, options=mss(1460))
    assert len(world.transmit()) == (2 if mode == 0 else 50)
    assert statistics(world).connections == 2
    honest = Peer(world, port=9)
    honest.send(SYN, options=mss(1460))
    if mode == 0:
        honest.silent()
        return
    honest.take()
    honest.send(ACK, b"let me in")
    socket = accept(world, listener)
    assert receive(world, socket) == b"let me in"
    assert (statistics(world).cookies_sent, statistics(world).syn_dropped) == (49, 0)


@pytest.mark.requirement("COOK-4", "LSN-9")
def test_when_all_connections_are_in_use(make_world: Make) -> None:
    world = make_world(connections=1)
    resolve(world)
    listener = listen(world)
    peer = Peer(world)
    shake(peer)
    assert statistics(world).connections == 1
    late = Peer(world, port=41000)
    shake(late)
    assert statistics(world).cookies_sent == 1
    late.send(ACK)
    late.silent()  # there still is no room: the peer's data will ask again
    peer.send(RST)
    late.send(ACK, b"now?")
    assert receive(world, accept(world, listener)) == b"now?"


@pytest.mark.requirement("COOK-4", "LSN-3")
def test_a_full_queue_of_accepted_gets_no_cookie(make_world: Make) -> None:
    world, listener = start(make_world)
    assert lib.vnic_stack_close(world.stack, listener) == 0
    listener = listen(world, backlog=1)
    peers = [Peer(world, port=port) for port in (5000, 5001, 5002)]
    shake(peers[0])
    shake(peers[1])
    peers[0].send(ACK)
    peers[1].send(ACK)  # a good cookie, no room
    peers[2].send(SYN, options=mss(1460))
    assert world.transmit() == []
    assert accept(world, listener) > 0
    assert accept(world, listener) == lib.VNIC_STACK_EAGAIN
    peers[1].send(ACK, b"again")
    assert receive(world, accept(world, listener)) == b"again"


@pytest.mark.requirement("COOK-1")
def test_neighbours_of_a_flood_are_bounded(make_world: Make) -> None:
    world, listener = start(make_world, neighbours=8)
    for i in range(3, 250):
        Peer(world, them=f"10.0.0.{i}").send(SYN, options=mss(1460))
    world.transmit()
    assert statistics(world).connections == 0
    peer = Peer(world)
    shake(peer)
    peer.send(ACK)
    assert accept(world, listener) > 0
