"""Connections that leave for an offload target: which may, what goes along, and what a refusal changes."""

from __future__ import annotations

import pytest

from tests.stack.offload_scene import DATA, Scene, beside
from tests.stack.offload_world import MS, TICKS, Hosts
from tests.stack.world import PEER, US
from vnic import errors
from vnic.abi import SocketEvent, TcpState
from vnic.host.memory import GuestMemory
from vnic.stack import Stack
from vnic.stack.config import StackConfig, send_memory_bytes
from vnic.stack.errors import (
    ResetError,
    SocketClosedError,
    WouldBlockError,
)
from vnic.stack.memory import pointer_of
from vnic.stack.offload import Where


@pytest.mark.requirement("OFS-1")
def test_a_handshake_waits() -> None:
    with Hosts() as hosts:
        socket = hosts.a.connect((PEER, 80))
        with pytest.raises(WouldBlockError):
            hosts.target.offload.begin(socket.handle, TICKS)
        assert hosts.target.offload.where(socket.handle) is Where.IN_HOST


@pytest.mark.requirement("OFS-1")
def test_listeners_and_own_addresses_never_leave() -> None:
    with Hosts() as hosts:
        offload = hosts.target.offload
        listener = hosts.a.listen((US, 90))
        own = hosts.a.connect((US, 90))
        hosts.until(lambda: own.is_connected, 1000)
        for socket in (listener, own):
            with pytest.raises(errors.ArgumentError):
                offload.begin(socket.handle, TICKS)


@pytest.mark.requirement("OFS-1")
def test_what_waits_to_be_accepted_stays() -> None:
    with Hosts() as hosts:
        hosts.a.listen((US, 90))
        client = hosts.b.connect((US, 90))
        hosts.until(lambda: client.is_connected, 1000)
        for index in range(1, 17):
            for generation in range(1, 6):
                with pytest.raises(SocketClosedError):
                    hosts.target.offload.begin(generation << 32 | index, TICKS)


@pytest.mark.requirement("OFS-1")
def test_urgent_data_waits(scene: Scene) -> None:
    scene.user.send(b"!", urgent=True)
    with pytest.raises(WouldBlockError):
        scene.offload.begin(scene.handle, TICKS)
    scene.run()
    scene.leave()


@pytest.mark.requirement("OFS-1")
def test_ecn_never_leaves() -> None:
    with Hosts(ecn=1) as hosts:
        user, _ = hosts.connect()
        with pytest.raises(errors.ArgumentError):
            hosts.target.offload.begin(user.handle, TICKS)


@pytest.mark.requirement("OFS-1")
def test_closed_states_never_leave(scene: Scene) -> None:
    scene.user.shutdown()
    scene.run(20)
    scene.peer.shutdown()
    scene.run(20)
    assert scene.user.info.state is TcpState.TIME_WAIT
    with pytest.raises(errors.ArgumentError):
        scene.offload.begin(scene.handle, TICKS)


@pytest.mark.requirement("OFS-1")
def test_a_train_that_is_being_cut_waits(scene: Scene) -> None:
    scene.user.send(bytes(20_000))
    assert scene.hosts.ports[0].transmit() is not None
    with pytest.raises(WouldBlockError):
        scene.offload.begin(scene.handle, TICKS)
    assert scene.frames
    scene.leave()


@pytest.mark.requirement("OFS-1")
def test_changed_routes_are_looked_up_first(scene: Scene) -> None:
    scene.hosts.a.add_route("192.0.2.0/24", PEER)
    with pytest.raises(WouldBlockError):
        scene.offload.begin(scene.handle, TICKS)
    scene.run(5)
    scene.leave()


@pytest.mark.requirement("OFS-1")
def test_it_leaves_once(scene: Scene) -> None:
    scene.leave()
    with pytest.raises(errors.ArgumentError):
        scene.offload.begin(scene.handle, TICKS)


@pytest.mark.requirement("OFS-2")
def test_an_owed_acknowledgement_leaves_first(scene: Scene) -> None:
    scene.peer.send(b"x" * 100)
    scene.hosts.until(lambda: scene.user.info.receive_queued == 100, 100)
    assert not scene.frames  # delayed
    scene.offload.begin(scene.handle, TICKS)
    (frame,) = scene.frames
    assert int.from_bytes(frame[42:46]) == scene.offload.cached(scene.handle, TICKS).Delegated.RcvNxt


@pytest.mark.requirement("OFS-2")
def test_nothing_is_sent_and_no_timer_expires(scene: Scene) -> None:
    scene.user.set_keepalive(10_000, 1000, 3)
    scene.user.send(DATA)
    scene.leave()
    for _ in range(60):
        scene.hosts.a.advance(scene.hosts.a.now_ns + 10_000 * MS)
        assert not scene.frames
    assert scene.user.info.state is TcpState.ESTABLISHED


@pytest.mark.requirement("OFS-3")
def test_unread_bytes_go_along_and_come_back(scene: Scene) -> None:
    scene.peer.send(b"abcdef")
    scene.run(20)
    state = scene.offload.begin(scene.handle, TICKS)
    assert scene.user.recv() is None
    assert scene.offload.buffered(scene.handle) == b"abcdef"
    assert state.Delegated.ReceiveBacklogSize == 6
    assert scene.user.info.receive_queued == 6
    scene.offload.end(scene.handle, True)
    assert scene.user.recv() is None
    assert scene.user.info.receive_queued == 6
    assert scene.offload.deliver(scene.handle, b"abcdefgh") == 8
    assert SocketEvent.READABLE in scene.told()
    assert scene.user.recv() == b"abcdefgh"


@pytest.mark.requirement("OFS-3")
def test_a_fin_that_was_here_follows_its_bytes(scene: Scene) -> None:
    scene.peer.send(b"abc")
    scene.peer.shutdown()
    scene.run(20)
    scene.leave()
    assert scene.user.recv() is None
    scene.offload.fin(scene.handle)  # told again, before the bytes: no news
    scene.offload.deliver(scene.handle, b"ab")
    assert (scene.user.recv(), scene.user.recv()) == (b"ab", None)
    with pytest.raises(errors.ArgumentError):
        scene.offload.deliver(scene.handle, b"cd")
    scene.offload.deliver(scene.handle, b"c", 1)
    assert (scene.user.recv(), scene.user.recv()) == (b"c", b"")
    assert scene.user.info.state is TcpState.CLOSE_WAIT


@pytest.mark.requirement("OFS-3")
@pytest.mark.parametrize("is_offloaded", [True, False])
def test_what_was_looked_at_is_given_up_though_it_leaves(scene: Scene, is_offloaded: bool) -> None:
    scene.peer.send(b"abcdef")
    scene.run(20)
    assert bytes(scene.user.peek()[0]) == b"abcdef"
    state = scene.offload.begin(scene.handle, TICKS)
    scene.user.consume(4)
    with pytest.raises(errors.ArgumentError):
        scene.user.consume(3)
    assert not scene.user.peek()
    scene.offload.end(scene.handle, is_offloaded)
    if is_offloaded:
        assert state.Delegated.ReceiveBacklogSize == 6
        assert scene.offload.deliver(scene.handle, b"abc", 7) == 3
        assert scene.offload.returns(scene.handle) == [7]
        assert scene.offload.deliver(scene.handle, b"def") == 3
    assert scene.user.recv() == b"ef"


@pytest.mark.requirement("OFS-4")
def test_the_send_queue_lies_where_it_lay() -> None:
    config = StackConfig(connections=16, neighbours=16, buffer_bytes=1 << 20)
    memory = GuestMemory(size=4 << 20)
    where = memory.alloc(send_memory_bytes(config), align=4096)
    first, size = pointer_of(where.view), len(where.view)
    assert first % 4096 == 0
    with Stack(config, send_memory=where.view) as stack:
        scene = Scene(beside(stack))
        scene.user.send(DATA)
        kept = bytes(5000)
        scene.user.send_by_reference(kept)
        scene.user.send(b"tail")
        scene.leave()
        pieces = scene.offload.send_pieces(scene.handle, 0)
        assert b"".join(bytes(view) for _, view in pieces) == DATA + kept + b"tail"
        inside = [view for at, view in pieces if first <= at < first + size]
        assert sum(len(view) for view in inside) == len(DATA) + 4
        scene.user.send(b"more")
        scene.offload.acked(scene.handle, 4000)
        after = scene.offload.send_pieces(scene.handle, 0)
        assert b"".join(bytes(view) for _, view in after) == (DATA + kept + b"tailmore")[4000:]
        assert b"".join(bytes(view) for _, view in pieces)[4080:] == (DATA + kept + b"tail")[4080:]
        scene.hosts.b.close()


@pytest.mark.requirement("OFS-4", "OFS-23")
def test_memory_for_send_queues_has_its_shape() -> None:
    memory = GuestMemory(size=1 << 20)
    with pytest.raises(errors.ArgumentError):
        Stack(StackConfig(), send_memory=memory.alloc(1 << 17, align=4096).view[16:])
    with pytest.raises(errors.ArgumentError):
        Stack(StackConfig(), send_memory=memory.alloc(1 << 15, align=4096).view)


@pytest.mark.requirement("OFS-5")
def test_a_refused_connection_goes_on(scene: Scene) -> None:
    scene.peer.send(b"first")
    scene.run(20)
    scene.offload.begin(scene.handle, TICKS)
    scene.peer.send(b"held")
    scene.user.send(b"meanwhile")
    scene.run(60)
    assert scene.offload.news() == []
    scene.offload.end(scene.handle, False)
    scene.run(20)
    assert scene.user.recv() == b"firstheld"
    assert scene.peer.recv() == b"meanwhile"
    assert scene.offload.where(scene.handle) is Where.IN_HOST


@pytest.mark.requirement("OFS-5")
@pytest.mark.parametrize("act", ["shutdown", "close", "abort"])
def test_ends_while_it_is_refused(scene: Scene, act: str) -> None:
    scene.offload.begin(scene.handle, TICKS)
    getattr(scene.user, act)()
    scene.run(20)
    assert not scene.peer.events & (SocketEvent.FIN | SocketEvent.CLOSED)
    scene.offload.end(scene.handle, False)
    scene.run(20)
    assert scene.peer.events & (SocketEvent.CLOSED if act == "abort" else SocketEvent.FIN)


@pytest.mark.requirement("OFS-5")
def test_a_close_with_unread_bytes_while_it_is_refused(scene: Scene) -> None:
    scene.peer.send(b"unread")
    scene.run(20)
    scene.offload.begin(scene.handle, TICKS)
    scene.user.close()
    scene.offload.end(scene.handle, False)
    scene.run(20)
    assert isinstance(scene.peer.error, ResetError)
    with pytest.raises(SocketClosedError):
        scene.offload.where(scene.handle)
