"""Ends of connections that are at an offload target: shutdown, close, abort, FIN and reset."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from tests.stack.offload_scene import Scene
from tests.stack.offload_world import TICKS
from vnic import errors
from vnic._core import lib
from vnic.abi import SocketEvent, TcpState
from vnic.stack.errors import (
    AbortedError,
    PipeError,
    ResetError,
    SocketClosedError,
)
from vnic.stack.offload import OffloadEvent, UserGone


@pytest.mark.requirement("OFS-9")
def test_a_shutdown_is_told_behind_everything(scene: Scene) -> None:
    scene.leave()
    scene.user.send(b"last")
    scene.user.shutdown()
    assert scene.events() == OffloadEvent.SEND | OffloadEvent.SHUTDOWN
    scene.user.shutdown()
    assert scene.events() == 0
    assert scene.offload.queued(scene.handle) == (4, True)
    with pytest.raises(PipeError):
        scene.user.send(b"more")
    assert scene.user.info.state is TcpState.FIN_WAIT_1


@pytest.mark.requirement("OFS-9")
def test_a_shutdown_while_it_leaves(scene: Scene) -> None:
    state = scene.offload.begin(scene.handle, TICKS)
    scene.user.shutdown()
    assert state.Delegated.State == lib.TcpConnectionEstablished
    scene.offload.end(scene.handle, True)
    assert scene.events() == OffloadEvent.SHUTDOWN


@pytest.mark.requirement("OFS-9", "OFS-20")
def test_a_shutdown_that_the_target_did_not_come_to(scene: Scene) -> None:
    scene.leave()
    scene.user.send(b"last")
    scene.user.shutdown()
    scene.back()
    scene.run(20)
    assert (scene.peer.recv(), scene.peer.recv()) == (b"last", b"")


@pytest.mark.requirement("OFS-10")
def test_a_close_is_a_shutdown(scene: Scene) -> None:
    scene.leave()
    scene.user.close()
    assert scene.events() == OffloadEvent.SHUTDOWN
    with pytest.raises(UserGone):
        scene.offload.deliver(scene.handle, b"nobody reads this", 4)
    assert scene.events() == OffloadEvent.ABORT
    assert scene.offload.returns(scene.handle) == []


@pytest.mark.requirement("OFS-10")
@pytest.mark.parametrize("when", ["delivered", "owed", "leaving"])
def test_a_close_with_unread_bytes_is_an_abort(scene: Scene, when: str) -> None:
    if when != "delivered":
        scene.peer.send(b"unread")
        scene.run(20)
    scene.offload.begin(scene.handle, TICKS)
    if when == "leaving":
        scene.user.close()
    scene.offload.end(scene.handle, True)
    if when == "delivered":
        scene.offload.deliver(scene.handle, b"unread", 9)
    if when != "leaving":
        scene.user.close()
    assert OffloadEvent.ABORT in scene.events()


@pytest.mark.requirement("OFS-10", "OFS-20")
def test_a_closed_connection_comes_back(scene: Scene) -> None:
    scene.leave()
    scene.user.close()
    scene.back()
    scene.run(20)
    assert scene.peer.events & SocketEvent.FIN
    scene.peer.send(b"nobody reads this")
    scene.run(20)
    assert isinstance(scene.peer.error, ResetError)
    with pytest.raises(SocketClosedError):
        scene.offload.where(scene.handle)


@pytest.mark.requirement("OFS-11")
@pytest.mark.parametrize("comes_back", ["closed", "alive"])
def test_an_abort_is_the_targets(scene: Scene, comes_back: str) -> None:
    done: list[Any] = []
    scene.leave()
    scene.user.send_by_reference(b"abc", done=lambda count, error: done.append((count, type(error))))
    scene.user.abort()
    assert OffloadEvent.ABORT in scene.events()
    scene.hosts.a.dispatch()
    assert done == []
    assert not scene.frames
    if comes_back == "closed":
        scene.offload.aborted(scene.handle)
        scene.back(State=lib.TcpConnectionClosed)
        assert not scene.frames
    else:
        scene.back()  # the upload was faster
        scene.run(20)
        assert isinstance(scene.peer.error, ResetError)
    scene.hosts.a.dispatch()
    assert done == [(0, AbortedError)]
    with pytest.raises(SocketClosedError):
        scene.offload.where(scene.handle)


@pytest.mark.requirement("OFS-12")
def test_the_peers_fin_comes_behind_its_bytes(scene: Scene) -> None:
    scene.leave()
    scene.offload.deliver(scene.handle, b"abc", 1)
    scene.offload.fin(scene.handle)
    assert SocketEvent.FIN in scene.told()
    assert (scene.user.recv(), scene.user.recv()) == (b"abc", b"")
    scene.offload.fin(scene.handle)
    assert SocketEvent.FIN not in scene.told()
    with pytest.raises(errors.ArgumentError):
        scene.offload.deliver(scene.handle, b"more")


@pytest.mark.requirement("OFS-12")
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_both_fins_are_an_orderly_end(scene: Scene, first: str) -> None:
    scene.leave()
    if first == "theirs":
        scene.offload.fin(scene.handle)
    scene.user.send(b"abc")
    scene.user.shutdown()
    with suppress(errors.ArgumentError):
        scene.offload.acked(scene.handle, 4)
    scene.offload.shut(scene.handle)  # which acknowledges everything
    if first == "ours":
        assert scene.user.info.state is TcpState.FIN_WAIT_2
        assert SocketEvent.CLOSED not in scene.told()
        scene.offload.fin(scene.handle)
    assert SocketEvent.CLOSED in scene.told()
    assert scene.user.error is None
    assert scene.user.info.send_queued == 0
    assert scene.user.info.sent_bytes == 3


@pytest.mark.requirement("OFS-12")
def test_a_reset_leaves_what_can_be_read(scene: Scene) -> None:
    done: list[Any] = []
    scene.leave()
    scene.user.send_by_reference(b"abcd", done=lambda count, error: done.append((count, type(error))))
    scene.offload.acked(scene.handle, 1)
    scene.offload.deliver(scene.handle, b"abc", 1)
    scene.offload.aborted(scene.handle)
    assert SocketEvent.CLOSED in scene.told()
    assert isinstance(scene.user.error, ResetError)
    assert done == [(1, ResetError)]
    assert scene.user.recv() == b"abc"
    with pytest.raises(ResetError):
        scene.user.recv()
    with pytest.raises(ResetError):
        scene.user.send(b"x")
    scene.back(State=lib.TcpConnectionClosed)
    assert SocketEvent.CLOSED not in scene.told()
    assert scene.offload.returns(scene.handle) == [1]
