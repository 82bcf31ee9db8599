"""Bytes of connections that are at an offload target: sent, received in place, put into posted buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.offload_scene import Scene
from tests.stack.offload_world import TICKS
from vnic import errors
from vnic.abi import HookAnswer, SocketEvent
from vnic.stack import TcpSocket
from vnic.stack.errors import (
    AbortedError,
    ResetError,
    SocketClosedError,
    WouldBlockError,
)
from vnic.stack.memory import move, pointer_of
from vnic.stack.offload import OffloadEvent

# -- sending -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("OFS-6")
def test_sends_are_news_and_acknowledgements_make_room(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(send_buffer=8192)
    scene.leave()
    assert scene.events() == 0
    assert scene.user.send(bytes(10_000)) == 8192
    assert scene.user.send(b"x") == 0
    assert scene.events() == OffloadEvent.SEND
    assert scene.events() == 0
    assert scene.offload.queued(scene.handle) == (8192, False)
    scene.offload.acked(scene.handle, 1000)
    assert SocketEvent.WRITABLE not in scene.told()
    scene.offload.acked(scene.handle, 2000)
    assert SocketEvent.WRITABLE in scene.told()
    assert scene.offload.queued(scene.handle) == (5192, False)
    assert scene.user.info.sent_bytes == 3000
    with pytest.raises(errors.ArgumentError):
        scene.offload.acked(scene.handle, 5193)


@pytest.mark.requirement("OFS-6")
def test_references_complete_as_they_are_acknowledged(scene: Scene) -> None:
    done: list[int] = []
    scene.leave()
    scene.user.send_by_reference(b"abc", b"def", done=lambda count, _: done.append(count))
    scene.user.send_by_reference(b"ghi", done=lambda count, _: done.append(count))
    scene.offload.acked(scene.handle, 5)
    scene.told()
    assert done == []
    scene.offload.acked(scene.handle, 2)
    scene.told()
    assert done == [6]


@pytest.mark.requirement("OFS-6")
def test_what_was_sent_while_it_left_is_told_at_the_end(scene: Scene) -> None:
    scene.user.send(b"before", more=True)
    state = scene.offload.begin(scene.handle, TICKS)
    assert state.Delegated.SendBacklogSize == 6
    scene.user.send(b"after")
    assert scene.offload.news() == []
    scene.offload.end(scene.handle, True)
    assert scene.events() == OffloadEvent.SEND
    assert scene.offload.queued(scene.handle) == (11, False)


# -- receiving -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("OFS-7")
def test_bytes_are_read_in_place_and_cookies_come_back_once(scene: Scene) -> None:
    scene.leave()
    first, second = bytearray(b"0123456789"), bytearray(b"abcdef")
    assert scene.offload.deliver(scene.handle, first, 11) == 10
    assert scene.offload.deliver(scene.handle, b"copied") == 6
    assert scene.offload.deliver(scene.handle, second, 12) == 6
    assert scene.offload.unread(scene.handle)[0] == 22
    first[0:2] = b"**"  # it lies there
    assert [bytes(piece) for piece in scene.user.peek()] == [b"**23456789", b"copied", b"abcdef"]
    assert scene.user.recv(9) == b"**2345678"
    assert scene.offload.returns(scene.handle) == []
    assert scene.user.recv(10) == b"9copiedabc"
    assert OffloadEvent.CONSUMED in scene.events()
    assert scene.offload.returns(scene.handle) == [11]
    assert scene.offload.returns(scene.handle) == []
    scene.user.consume(3)
    assert scene.offload.returns(scene.handle) == [12]
    assert scene.user.info.received_bytes == 22


@pytest.mark.requirement("OFS-7")
def test_no_more_than_the_receive_buffer(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(receive_buffer=4096)
    scene.leave()
    kept = bytes(10_000)
    assert scene.offload.deliver(scene.handle, kept, 1) == 10_000  # never nothing
    assert scene.offload.deliver(scene.handle, b"x", 2) == 0
    assert scene.offload.deliver(scene.handle, b"x") == 0
    assert scene.user.recv(8000) == bytes(8000)
    assert OffloadEvent.CONSUMED in scene.events()
    assert scene.offload.deliver(scene.handle, bytes(3000), 2) == 0
    assert scene.offload.deliver(scene.handle, bytes(3000)) == 2096
    assert scene.offload.unread(scene.handle) == (4096, 0)


@pytest.mark.requirement("OFS-7")
def test_a_used_up_pool_refuses_and_tells_when_there_is_room(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(buffer_bytes=512 << 10, receive_buffer=1 << 20)
    scene.leave()
    taken = 0
    while count := scene.offload.deliver(scene.handle, bytes(50_000)):
        taken += count
    assert 150_000 < taken < 256 << 10
    while scene.user.recv():
        pass
    assert OffloadEvent.CONSUMED in scene.events()
    assert scene.offload.deliver(scene.handle, b"again") == 5


@pytest.mark.requirement("OFS-7", "OFS-18")
@pytest.mark.parametrize("ends", ["reads", "closes"])
def test_cookies_outlive_the_upload(scene: Scene, ends: str) -> None:
    scene.leave()
    scene.hear(b"abc")
    scene.offload.deliver(scene.handle, b"abc", 5)
    scene.back(RcvNxt=3)
    scene.peer.send(b"def")
    scene.run(5)
    if ends == "reads":
        assert scene.user.recv(4) == b"abcd"
    else:
        scene.user.close()
    assert scene.events() == OffloadEvent.CONSUMED
    assert scene.offload.returns(scene.handle) == [5]
    if ends == "closes":
        with pytest.raises(SocketClosedError):
            scene.offload.where(scene.handle)


@pytest.mark.requirement("OFS-3", "OFS-7")
def test_bytes_not_read_since_an_earlier_stay_go_along(scene: Scene) -> None:
    scene.leave()
    scene.hear(b"abcdef")
    scene.offload.deliver(scene.handle, b"abc", 5)
    scene.offload.deliver(scene.handle, b"def")
    scene.back(RcvNxt=6)
    scene.state = scene.offload.begin(scene.handle, TICKS)
    assert scene.offload.buffered(scene.handle) == b"abcdef"
    scene.offload.end(scene.handle, True)
    assert scene.offload.returns(scene.handle) == [5]
    scene.offload.deliver(scene.handle, b"abcd", 6)
    scene.offload.deliver(scene.handle, b"ef", 7)
    assert scene.user.recv() == b"abcdef"
    assert scene.offload.returns(scene.handle) == [6, 7]


@pytest.mark.requirement("OFS-7")
def test_memory_is_given_up_for_a_copy(scene: Scene) -> None:
    scene.leave()
    data = bytearray(b"abcdef")
    scene.offload.deliver(scene.handle, data, 5)
    scene.offload.deliver(scene.handle, b"ghi", 6)
    assert scene.user.recv(2) == b"ab"
    assert scene.offload.own(scene.handle)
    assert scene.offload.returns(scene.handle) == [5, 6]
    data[:] = bytes(6)
    assert scene.user.recv() == b"cdefghi"


# -- buffers that the user posts -----------------------------------------------------------------------------


class Posts:
    """Buffers of a user, and how they came back."""

    def __init__(self, socket: TcpSocket, *sizes: int) -> None:
        self.rooms = [bytearray(size) for size in sizes]
        self.done: list[tuple[bytes, type[Exception] | None]] = []
        for room in self.rooms:
            socket.post(room, self._on_done(room))

    def _on_done(self, room: bytearray) -> Callable[[int, Any], None]:
        return lambda count, error: self.done.append((bytes(room[:count]), type(error) if error else None))


@pytest.mark.requirement("OFS-8")
def test_posted_buffers_are_filled_in_place(scene: Scene) -> None:
    scene.leave()
    posts = Posts(scene.user, 4, 4, 4)
    assert scene.events() == OffloadEvent.POST
    first, second = scene.offload.post(scene.handle), scene.offload.post(scene.handle)
    assert first is not None and second is not None
    assert first.pointer == pointer_of(memoryview(posts.rooms[0]))
    assert scene.offload.deliver(scene.handle, b"!") == 0
    first.view[:] = b"abcd"
    second.view[:2] = b"ef"
    scene.told()
    assert posts.done == []
    scene.offload.posted(scene.handle, 4, False)  # full: complete
    scene.offload.posted(scene.handle, 2, True)  # a push
    scene.told()
    assert posts.done == [(b"abcd", None), (b"ef", None)]
    assert scene.offload.deliver(scene.handle, b"ghij") == 4
    scene.told()
    assert posts.done[2:] == [(b"ghij", None)]
    assert scene.user.info.received_bytes == 10


@pytest.mark.requirement("OFS-8")
def test_a_buffer_that_came_back_in_part_goes_on(scene: Scene) -> None:
    scene.leave()
    posts = Posts(scene.user, 6, 6)
    first = scene.offload.post(scene.handle)
    assert scene.offload.post(scene.handle) is not None
    assert first is not None
    first.view[:3] = b"abc"
    scene.offload.posted(scene.handle, 3, False)
    assert scene.offload.post(scene.handle) is None  # one behind it is still out
    scene.offload.posted(scene.handle, 0, False)
    again = scene.offload.post(scene.handle)
    assert again is not None
    assert (bytes(again.view[:3]), again.done) == (b"abc", 3)
    with pytest.raises(errors.ArgumentError):
        scene.offload.posted(scene.handle, 4, True)
    again.view[3:] = b"def"
    scene.offload.posted(scene.handle, 3, True)
    scene.told()
    assert posts.done == [(b"abcdef", None)]


@pytest.mark.requirement("OFS-8")
@pytest.mark.parametrize("end", ["fin", "abort", "close", "reset"])
def test_no_buffer_completes_before_it_is_back(scene: Scene, end: str) -> None:
    scene.leave()
    posts = Posts(scene.user, 4, 4)
    assert scene.offload.post(scene.handle) is not None
    user = scene.user
    actions: dict[str, Callable[[], None]] = {
        "fin": lambda: scene.offload.fin(scene.handle),
        "abort": user.abort,
        "close": user.close,
        "reset": lambda: scene.offload.aborted(scene.handle),
    }
    actions[end]()
    scene.hosts.a.dispatch()
    assert posts.done == []
    scene.offload.posted(scene.handle, 1, True)
    scene.hosts.a.dispatch()
    error = {"fin": None, "reset": ResetError}.get(end, AbortedError)
    assert [kind for _, kind in posts.done][1:] == [error]
    assert len(posts.done) == 2


@pytest.mark.requirement("OFS-8")
def test_an_upload_takes_what_is_out(scene: Scene) -> None:
    scene.leave()
    posts = Posts(scene.user, 6)
    assert scene.offload.post(scene.handle) is not None
    scene.back(b"abcdef", RcvNxt=6)
    scene.told()
    assert posts.done == [(b"abcdef", None)]


@pytest.mark.requirement("OFS-8")
def test_buffers_posted_before_it_left(scene: Scene) -> None:
    posts = Posts(scene.user, 6)
    scene.offload.begin(scene.handle, TICKS)
    assert scene.offload.post(scene.handle) is None
    scene.offload.end(scene.handle, True)
    assert scene.events() == OffloadEvent.POST
    assert scene.offload.post(scene.handle) is not None
    scene.offload.posted(scene.handle, 0, False)
    scene.offload.deliver(scene.handle, b"abc", 3)
    scene.told()
    assert posts.done == [(b"abc", None)]
    assert scene.offload.returns(scene.handle) == [3]


@pytest.mark.requirement("OFS-1", "OFS-7")
def test_memory_that_is_being_copied_is_not_given_back(scene: Scene) -> None:
    tickets: list[tuple[int, int, int, int]] = []

    def later(to: int, source: int, length: int, ticket: int) -> HookAnswer:
        tickets.append((to, source, length, ticket))
        return HookAnswer.LATER

    scene.hosts.a.set_copy_hook(later)
    scene.leave()
    scene.hear(b"abcdef")
    posts = Posts(scene.user, 6)
    scene.offload.deliver(scene.handle, b"abcdef", 5)
    assert scene.offload.returns(scene.handle) == []
    scene.back(RcvNxt=6)
    with pytest.raises(WouldBlockError):
        scene.offload.begin(scene.handle, TICKS)
    for to, source, length, ticket in tickets:
        move(to, source, length)
        scene.hosts.a.copied(ticket)
    scene.told()
    assert posts.done == [(b"abcdef", None)]
    assert scene.offload.returns(scene.handle) == [5]
    scene.leave()
