"""The copy of received data behind a hook that takes its time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.stack.peer import (
    ACK,
    FIN,
    PSH,
    RST,
    Peer,
    completions,
    connect,
    events,
    info,
    receive,
    resolve,
    statistics,
)
from tests.stack.world import World
from vnic._core import ffi, lib

ENOENT, EBADF = lib.VNIC_ENOENT, lib.VNIC_STACK_EBADF


class Engine:
    """A copy engine: copies when it is told to, in the order it is told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waiting: dict[int, tuple[Any, Any, int]] = {}
        self.is_sync = False
        self.calls = 0
        self.kept: list[Any] = []
        maker: Any = ffi
        self._hook = maker.callback("int(void *, void *, const void *, uint64_t, uint64_t)", self._take)
        lib.vnic_stack_set_copy_hook(world.stack, self._hook, ffi.NULL)

    def _take(self, opaque: Any, to: Any, source: Any, length: int, ticket: int) -> int:
        self.calls += 1
        if self.is_sync:
            ffi.memmove(to, source, length)
            return 0
        assert ticket not in self.waiting
        self.waiting[ticket] = (to, source, length)
        return 1

    def finish(self, ticket: int) -> None:
        """Copies, and says so."""
        to, source, length = self.waiting.pop(ticket)
        ffi.memmove(to, source, length)
        assert lib.vnic_stack_copied(self.world.stack, ticket) == 0

    def finish_all(self) -> None:
        """Copies all that waits, and what comes meanwhile."""
        while self.waiting:
            self.finish(next(iter(self.waiting)))


@pytest.fixture
def engine(make_world: Callable[..., World]) -> Iterator[Engine]:
    """A stack whose received data is copied by an engine."""
    world = make_world()
    resolve(world)
    yield Engine(world)


def post(engine: Engine, socket: int, size: int, cookie: int) -> Any:
    """A posted buffer; it lives as long as the engine."""
    buffer = ffi.new("uint8_t[]", size)
    engine.kept.append(buffer)
    assert lib.vnic_tcp_post(engine.world.stack, socket, buffer, size, cookie) == 0
    return buffer


@pytest.mark.requirement("SOCK-27")
def test_a_buffer_completes_only_after_its_copies(engine: Engine) -> None:
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    buffer = post(engine, socket, 10, 1)
    peer.send(ACK, b"hello")
    peer.send(ACK | PSH, b"world")
    assert completions(world, socket) == []
    assert events(world) == {}
    assert ffi.buffer(buffer)[:] == bytes(10)
    engine.finish_all()
    assert events(world) == {socket: lib.VNIC_EVENT_RECEIVED}
    assert completions(world, socket) == [(1, 10, 0, False)]
    assert ffi.buffer(buffer)[:] == b"helloworld"


@pytest.mark.requirement("SOCK-27")
def test_a_hook_that_copies_at_once(engine: Engine) -> None:
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    engine.is_sync = True
    buffer = post(engine, socket, 10, 1)
    peer.send(ACK | PSH, b"at once")
    assert completions(world, socket) == [(1, 7, 0, False)]
    assert ffi.buffer(buffer)[:7] == b"at once"
    assert engine.calls == 1


@pytest.mark.requirement("SOCK-27")
def test_receive_needs_no_hook(engine: Engine) -> None:
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    peer.send(ACK | PSH, b"by the processor")
    assert receive(world, socket) == b"by the processor"
    assert engine.calls == 0


@pytest.mark.requirement("SOCK-27")
@pytest.mark.parametrize("seed", range(4))
def test_copies_end_in_any_order(engine: Engine, seed: int) -> None:
    chance = random.Random(seed)
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    data = chance.randbytes(60_000)
    sizes = [chance.randrange(1, 9000) for _ in range(30)]
    buffers = [post(engine, socket, size, cookie) for cookie, size in enumerate(sizes)]
    got, order, sent = b"", [], 0
    while sent < len(data) or engine.waiting:
        if sent < len(data):
            piece = data[sent : sent + chance.randrange(1, 1461)]
            peer.send(ACK | (PSH if chance.random() < 0.1 else 0), piece)
            sent += len(piece)
        for ticket in chance.sample(list(engine.waiting), min(len(engine.waiting), chance.randrange(3))):
            engine.finish(ticket)
        for cookie, length, result, _ in completions(world, socket):
            assert result == 0
            order.append(cookie)
            got += ffi.buffer(buffers[cookie])[:length]
    assert order == list(range(len(order)))
    rest = receive(world, socket)
    got += rest if isinstance(rest, bytes) else b""
    assert data.startswith(got)
    assert lib.vnic_tcp_abort(world.stack, socket) == 0
    for cookie, length, result, _ in completions(world, socket):
        assert result == lib.VNIC_STACK_ECONNABORTED
        got += ffi.buffer(buffers[cookie])[:length]
    assert got == data
    peer.heard()
    assert statistics(world).connections == 0


@pytest.mark.requirement("SOCK-27")
def test_later_data_may_be_read_while_copies_run(engine: Engine) -> None:
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    buffer = post(engine, socket, 4, 1)
    peer.send(ACK | PSH, b"slowfast")
    assert receive(world, socket) == b"fast"
    engine.finish_all()
    assert ffi.buffer(buffer)[:] == b"slow"
    assert completions(world, socket) == [(1, 4, 0, False)]


@pytest.mark.requirement("SOCK-27")
@pytest.mark.parametrize("end", ["abort", "close", "reset", "fin"])
def test_the_end_waits_for_copies(engine: Engine, end: str) -> None:
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    buffer = post(engine, socket, 10, 1)
    peer.send(ACK, b"flight")
    assert len(engine.waiting) == 1
    results = {
        "abort": lib.VNIC_STACK_ECONNABORTED,
        "close": lib.VNIC_STACK_ECONNABORTED,
        "reset": lib.VNIC_STACK_ECONNRESET,
        "fin": 0,
    }
    if end == "abort":
        assert lib.vnic_tcp_abort(world.stack, socket) == 0
    elif end == "close":
        assert lib.vnic_stack_close(world.stack, socket) == 0
        assert all(not segment.flags & RST for segment in peer.heard())  # it was read
    elif end == "reset":
        peer.send(RST)
    else:
        peer.send(FIN | ACK)
    peer.heard()
    world.advance(5)
    assert completions(world, socket) == []
    events(world)
    peer.heard()
    other = connect(world, Peer(world, port=40001))  # the slot is not given away
    assert other & 0xFFFFFFFF != socket & 0xFFFFFFFF
    engine.finish_all()
    assert ffi.buffer(buffer)[:6] == b"flight"
    assert completions(world, socket) == [(1, 6, results[end], False)]
    if end in ("abort", "close"):
        assert lib.vnic_stack_completions(world.stack, socket, ffi.NULL, 0) == EBADF
    else:
        assert lib.vnic_stack_close(world.stack, socket) == 0


@pytest.mark.requirement("SOCK-27")
def test_completions_fetched_before_the_last_copy(engine: Engine) -> None:
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    post(engine, socket, 3, 1)
    post(engine, socket, 3, 2)
    peer.send(ACK | PSH, b"abcdef")
    first, second = engine.waiting
    assert lib.vnic_tcp_abort(world.stack, socket) == 0
    engine.finish(second)
    assert completions(world, socket) == []
    engine.finish(first)
    assert completions(world, socket) == [(1, 3, 0, False), (2, 3, 0, False)]
    assert statistics(world).connections == 0


@pytest.mark.requirement("SOCK-27", "SOCK-1")
def test_tickets_that_are_none(engine: Engine) -> None:
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    post(engine, socket, 10, 1)
    peer.send(ACK | PSH, b"x")
    (ticket,) = engine.waiting
    for wrong in (0, ticket + 1, ticket ^ 1 << 32, ticket | 1 << 63, 2**64 - 1, ticket & 0xFFFFFFFF):
        assert lib.vnic_stack_copied(world.stack, wrong) == ENOENT
    engine.finish(ticket)
    assert lib.vnic_stack_copied(world.stack, ticket) == ENOENT


@pytest.mark.requirement("SOCK-27")
def test_the_window_does_not_wait_for_copies(engine: Engine) -> None:
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    post(engine, socket, 50000, 1)
    before = info(world, socket).rcv_wnd
    for _ in range(20):
        peer.send(ACK, b"w" * 1000)
    assert info(world, socket).receive_queued == 0
    assert info(world, socket).rcv_wnd >= before - 20000
    engine.finish_all()


@pytest.mark.requirement("SOCK-27")
def test_more_copies_than_tickets(make_world: Callable[..., World]) -> None:
    world = make_world(connections=4, receive_buffer=1 << 20)
    resolve(world)
    engine = Engine(world)
    peers = [Peer(world, port=40000 + i) for i in range(2)]
    sockets = [connect(world, peer) for peer in peers]
    buffers = [post(engine, socket, 4000, 7) for socket in sockets]
    for i in range(1500):  # a ticket each: they run out
        peers[0].send(ACK, bytes([i & 255]))
    assert len(engine.waiting) < 1500
    peers[1].send(ACK | PSH, b"other")  # who has none under way is served by the processor
    assert completions(world, sockets[1]) == [(7, 5, 0, False)]
    assert ffi.buffer(buffers[1])[:5] == b"other"
    engine.finish_all()
    peers[0].send(ACK | PSH, b"!")
    engine.finish_all()
    assert completions(world, sockets[0]) == [(7, 1501, 0, False)]
    assert ffi.buffer(buffers[0])[:1501] == bytes(i & 255 for i in range(1500)) + b"!"


@pytest.mark.requirement("SOCK-27")
def test_a_hook_that_is_taken_away(engine: Engine) -> None:
    world, peer = engine.world, Peer(engine.world)
    socket = connect(world, peer)
    buffer = post(engine, socket, 8, 1)
    peer.send(ACK, b"hook")
    lib.vnic_stack_set_copy_hook(world.stack, ffi.NULL, ffi.NULL)
    peer.send(ACK, b"none")
    assert completions(world, socket) == []
    assert ffi.buffer(buffer)[:] == bytes(4) + b"none"
    engine.finish_all()
    assert completions(world, socket) == [(1, 8, 0, False)]
    assert ffi.buffer(buffer)[:] == b"hooknone"
