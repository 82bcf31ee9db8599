"""Many connections in the table, opened and closed in any order."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.stack.peer import ACK, FIN, RST, SYN, Peer, listen, mss, receive, resolve, segment_of, statistics
from tests.stack.world import OTHER, PEER, World
from vnic._core import lib

Key = tuple[str, int, int]


class Crowd:
    """Connections of many peers to two listeners, and which of them there must be."""

    def __init__(self, world: World) -> None:
        self.world = world
        resolve(world)
        assert world.know(OTHER) == 0
        self.listeners = {port: listen(world, port=port, backlog=1) for port in (80, 81)}
        self.peers: dict[Key, tuple[Peer, int]] = {}

    def open(self, key: Key) -> None:
        """A connection that is established and accepted."""
        them, port, our_port = key
        peer = Peer(self.world, them=them, port=port, our_port=our_port)
        peer.send(SYN, options=mss(1460))
        peer.take()
        peer.send(ACK)
        socket = int(lib.vnic_tcp_accept(self.world.stack, self.listeners[our_port]))
        assert socket > 0
        self.peers[key] = (peer, socket)

    def close(self, key: Key) -> None:
        """Ends it, from one side or the other."""
        peer, socket = self.peers.pop(key)
        if peer.port % 2:
            peer.send(RST)
            assert lib.vnic_stack_close(self.world.stack, socket) == 0
        else:
            assert lib.vnic_tcp_abort(self.world.stack, socket) == 0
            peer.heard()

    def judge(self, key: Key) -> None:
        """A segment of this connection reaches this socket, or nobody."""
        if key in self.peers:
            peer, socket = self.peers[key]
            mark = f"{key}".encode()
            peer.send(ACK, mark)
            assert receive(self.world, socket) == mark
        else:
            them, port, our_port = key
            Peer(self.world, them=them, port=port, our_port=our_port).send(ACK)
            assert segment_of(self.world.one()).flags & RST
        self.world.transmit()


@pytest.mark.requirement("LOOK-1", "LOOK-2")
@pytest.mark.parametrize("capacity", [4, 37, 300])
def test_opened_and_closed_in_any_order(make_world: Callable[..., World], capacity: int) -> None:
    chance = random.Random(capacity)
    crowd = Crowd(make_world(connections=capacity, syn_cookies=0))
    keys = [(them, port, ours) for them in (PEER, OTHER) for port in range(1000, 1100) for ours in (80, 81)]
    for step in range(700):
        is_full = len(crowd.peers) == capacity
        if crowd.peers and (is_full or chance.random() < 0.45):
            crowd.close(chance.choice(list(crowd.peers)))
        else:
            crowd.open(chance.choice([key for key in keys if key not in crowd.peers]))
        assert statistics(crowd.world).connections == len(crowd.peers)
        if step % 7 == 0:
            crowd.judge(chance.choice(keys))
    for key in keys:
        crowd.judge(key)
    for key in list(crowd.peers):
        crowd.close(key)
    assert statistics(crowd.world).connections == 0


@pytest.mark.requirement("LOOK-4")
def test_the_seed_decides_nothing_that_a_peer_sees(make_world: Callable[..., World]) -> None:
    answers = []
    for seed in (1, 2):
        crowd = Crowd(make_world(seed=seed, connections=64, syn_cookies=0))
        for port in range(1000, 1050):
            crowd.open((PEER, port, 80))
        order = []
        for peer, _ in crowd.peers.values():
            peer.send(FIN | ACK)
            order.append([(segment.port, segment.ack, segment.flags) for segment in peer.heard()])
        answers.append(order)
    assert answers[0] == answers[1]
