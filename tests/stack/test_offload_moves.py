"""Connections that move at random under loss: the streams do not notice, and every end is an end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stack.offload_world import MS, Hosts, Link, Talker
from vnic.abi import SocketEvent
from vnic.errors import VnicError
from vnic.fuzz.effort import examples
from vnic.stack import TcpSocket
from vnic.stack.offload import Where

EXAMPLES = examples(20)


@dataclass
class Mover:
    """Moves a connection of A to the target and back, by dice."""

    hosts: Hosts
    socket: TcpSocket
    random: Random
    chance: float

    def __post_init__(self) -> None:
        self.handle = self.socket.handle

    def tick(self) -> None:
        """Perhaps the next step of a move."""
        target = self.hosts.target
        connection = target.connections.get(self.handle)
        if connection is None:
            if not self.socket.is_over and self._happens(self.chance):
                with suppress(VnicError):  # ECN, or in its end
                    target.begin(self.socket)
            return
        where = target.offload.where(self.handle)
        if where is Where.OFFLOADING and self._happens(0.3):
            target.settle(self.handle, self._happens(0.8))
        elif where is Where.OFFLOADED and (connection.wants_upload or self._happens(self.chance)):
            target.upload(self.handle)
        elif where is Where.UPLOADING and self._happens(0.3):
            target.give_back(self.handle)

    def _happens(self, chance: float) -> bool:
        return self.random.random() < chance


def move_a_stream(
    seed: int, total: int, *, chance: float, loss: float = 0.0, jitter_ms: int = 0, version: int = 4
) -> Hosts:
    """Both ends send `total` bytes while A's moves; the hosts as they were in the end."""
    random = Random(seed)
    link = Link(seed, loss, jitter_ms=jitter_ms)
    with Hosts(link, seed=seed, shift_ms=random.randint(0, 10**6), version=version) as hosts:
        here, there = hosts.connect(passive=random.random() < 0.5)
        talkers = Talker(here, total, seed + 1), Talker(there, total, seed + 2)
        mover = Mover(hosts, here, random, chance)

        def tick() -> None:
            for talker in talkers:
                talker.pump()
            mover.tick()

        hosts.until(lambda: all(t.is_done and t.socket.is_over for t in talkers), tick=tick)
        for talker in talkers:
            talker.check(total)
        hosts.target.work()
        assert not hosts.target.lent
        assert hosts.resets == 0
        return hosts


@pytest.mark.requirement("OFS-22")
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("loss", [0.0, 0.03])
def test_a_long_stream_moves_often(version: int, loss: float) -> None:
    hosts = move_a_stream(version, 300_000, chance=0.2, loss=loss, jitter_ms=8, version=version)
    target = hosts.target
    assert target.uploaded >= (2 if loss == 0 else 100)
    assert target.refused > 0
    assert target.delivered > 20_000


@pytest.mark.requirement("OFS-22", "OFS-4", "OFS-7", "OFS-8", "OFS-13")
@EXAMPLES
@given(
    seed=st.integers(0, 1 << 20),
    total=st.integers(1, 60_000),
    chance=st.sampled_from((0.02, 0.1, 0.5)),
    wire=st.tuples(st.sampled_from((0.0, 0.02, 0.1)), st.sampled_from((0, 4, 30))),
    version=st.sampled_from((4, 6)),
)
def test_streams_do_not_notice(
    seed: int, total: int, chance: float, wire: tuple[float, int], version: int
) -> None:
    move_a_stream(seed, total, chance=chance, loss=wire[0], jitter_ms=wire[1], version=version)


ACTS = ("shutdown", "close", "abort")


@pytest.mark.requirement("OFS-10", "OFS-11", "OFS-12", "OFS-18")
@EXAMPLES
@given(
    seed=st.integers(0, 1 << 20),
    acts=st.lists(
        st.tuples(st.integers(0, 150), st.sampled_from((0, 1)), st.sampled_from(ACTS)), min_size=1, max_size=3
    ),
    chance=st.sampled_from((0.02, 0.2, 0.6)),
    loss=st.sampled_from((0.0, 0.05)),
)
def test_every_end_is_an_end(seed: int, acts: list[tuple[int, int, str]], chance: float, loss: float) -> None:
    random = Random(seed)
    with Hosts(
        Link(seed, loss, jitter_ms=3), seed=seed, msl_ms=100, fin_wait_2_ms=1000, rto_min_us=50_000
    ) as hosts:
        sockets = hosts.connect(passive=random.random() < 0.5)
        mover = Mover(hosts, sockets[0], random, chance)
        users = [_Careless(socket, random) for socket in sockets]
        waiting = sorted(acts, reverse=True)
        start = hosts.now_ns

        def tick() -> None:
            while waiting and start + waiting[-1][0] * MS <= hosts.now_ns:
                _, side, act = waiting.pop()
                users[side].do(act)
            if hosts.now_ns > start + 400 * MS:
                hosts.stride_ns = 100 * MS
                for user in users:
                    user.do("close")
            for user in users:
                user.pump()
            mover.tick()

        def is_over() -> bool:
            counts = [stack.statistics["connections"] for stack in (hosts.a, hosts.b)]
            return counts == [0, 0] and not hosts.target.lent

        hosts.until(is_over, 900_000, tick)
        for user in users:
            assert user.completed == user.out


class _Careless:
    """A user who reads some, sends some, and ends when told."""

    def __init__(self, socket: TcpSocket, random: Random) -> None:
        self.socket, self.random = socket, random
        self.out = self.completed = 0

    def do(self, act: str) -> None:
        """End, if it did not end before."""
        if not self.socket.is_closed:
            getattr(self.socket, act)()

    def pump(self) -> None:
        """Go on."""
        if self.socket.is_closed:
            return
        calls: tuple[Callable[[], object], ...] = (
            lambda: self.socket.send(bytes(700)),
            self._refer,
            lambda: self.socket.recv(900),
            self._post,
        )
        with suppress(VnicError):
            self.random.choice(calls)()
        if self.socket.events & SocketEvent.CLOSED and self.random.random() < 0.1:
            self.socket.close()

    def _refer(self) -> None:
        if self.socket.send_by_reference(bytes(300), done=self._on_done):
            self.out += 1

    def _post(self) -> None:
        if self.out - self.completed < 4 and self.socket.post(bytearray(2000), self._on_done):
            self.out += 1

    def _on_done(self, count: int, error: object) -> None:
        self.completed += 1
