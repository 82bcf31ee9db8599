"""Connections that come back from an offload target, and wrong calls on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.offload_scene import Scene
from tests.stack.offload_world import MS, TICKS
from tests.stack.world import US
from vnic import errors
from vnic._core import ffi, lib
from vnic.abi import SocketEvent, TcpState
from vnic.stack.errors import (
    AbortedError,
    ResetError,
    SocketClosedError,
    TimedOutError,
    WouldBlockError,
)
from vnic.stack.offload import Offload, OffloadEvent, Where


@pytest.mark.requirement("OFS-19")
@pytest.mark.parametrize(
    ("buffered", "delegated"),
    [
        (b"", {"RcvNxt": 1}),
        (b"abc", {}),
        (b"", {"RcvNxt": -1}),
        (b"", {"SndUna": 6, "SndNxt": 6, "SndMax": 6}),
        (b"", {"SndUna": -1, "SndNxt": -1, "SndMax": -1}),
        (b"", {"SndMax": 6}),
        (b"", {"State": lib.TcpConnectionFinWait1}),
        (b"", {"State": lib.TcpConnectionCloseWait}),
        (b"", {"State": lib.TcpConnectionTimeWait}),
        (b"", {"State": lib.TcpConnectionSynSent}),
        (b"", {"State": 77}),
        (b"", {"CWnd": -(1 << 31)}),
    ],
)
def test_a_state_that_does_not_add_up_is_refused(
    scene: Scene, buffered: bytes, delegated: dict[str, int]
) -> None:
    scene.user.send(b"abcde")
    scene.leave()
    if "CWnd" in delegated:
        scene.state.Delegated.CWnd = 1 << 31  # type: ignore[union-attr]
    with pytest.raises(errors.ArgumentError):
        scene.back(buffered, **delegated)
    assert scene.offload.where(scene.handle) is Where.UPLOADING
    assert scene.offload.queued(scene.handle) == (5, False)
    assert scene.user.recv() is None
    scene.offload.upload_end(scene.handle, TICKS, scene.offload.cached(scene.handle, TICKS))
    scene.run(20)
    assert scene.peer.recv() == b"abcde"


@pytest.mark.requirement("OFS-19")
def test_a_fin_does_not_go_away(scene: Scene) -> None:
    scene.leave()
    scene.offload.fin(scene.handle)
    with pytest.raises(errors.ArgumentError):
        scene.back(RcvNxt=1)
    scene.back(State=lib.TcpConnectionCloseWait)


@pytest.mark.requirement("OFS-19")
def test_no_room_for_the_bytes_changes_nothing(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(buffer_bytes=512 << 10)
    scene.leave()
    with pytest.raises(WouldBlockError):
        scene.back(bytes(400_000), RcvNxt=400_000)
    scene.back(bytes(200_000), RcvNxt=-200_000)
    assert scene.user.recv(300_000) == bytes(200_000)


@pytest.mark.requirement("OFS-20")
def test_it_goes_on_from_what_is_unacknowledged(scene: Scene) -> None:
    scene.leave()
    scene.user.send(b"abcdef")
    scene.hear(b"one,two,three")
    scene.offload.deliver(scene.handle, b"one,", 1)
    scene.offload.deliver(scene.handle, b"two,")
    scene.back(b"three", RcvNxt=13)
    assert scene.told() & SocketEvent.READABLE
    assert scene.user.recv() == b"one,two,three"
    assert scene.offload.returns(scene.handle) == [1]
    scene.run(20)
    assert scene.peer.recv() == b"abcdef"


@pytest.mark.requirement("OFS-20")
def test_what_was_looked_at_is_taken_off_an_upload(scene: Scene) -> None:
    scene.peer.send(b"abcdef")
    scene.run(20)
    scene.user.peek()
    scene.state = scene.offload.begin(scene.handle, TICKS)
    scene.user.consume(2)
    scene.offload.end(scene.handle, True)
    with pytest.raises(errors.ArgumentError):
        scene.back(b"a")
    scene.back(b"abcdef")
    assert scene.user.recv() == b"cdef"


@pytest.mark.requirement("OFS-20")
def test_a_fin_that_comes_with_the_upload(scene: Scene) -> None:
    scene.leave()
    scene.back(b"abc", RcvNxt=4, State=lib.TcpConnectionCloseWait)
    assert scene.told() & SocketEvent.FIN
    assert (scene.user.recv(), scene.user.recv()) == (b"abc", b"")


@pytest.mark.requirement("OFS-20")
def test_time_wait_comes_back(scene: Scene) -> None:
    scene.leave()
    scene.user.shutdown()
    scene.offload.shut(scene.handle)
    scene.offload.fin(scene.handle)
    scene.back(State=lib.TcpConnectionTimeWait, SndUna=1, SndNxt=1, SndMax=1, RcvNxt=1)
    assert scene.user.info.state is TcpState.TIME_WAIT
    scene.told()
    assert scene.user.error is None
    scene.user.close()
    scene.hosts.a.advance(scene.hosts.a.now_ns + 61_000 * MS)
    with pytest.raises(SocketClosedError):
        scene.offload.where(scene.handle)


@pytest.mark.requirement("OFS-21")
@pytest.mark.parametrize(
    ("result", "error"),
    [
        (lib.VNIC_OK, None),
        (lib.VNIC_STACK_ECONNRESET, ResetError),
        (lib.VNIC_STACK_ETIMEDOUT, TimedOutError),
        (lib.VNIC_STACK_ECONNABORTED, AbortedError),
    ],
)
def test_an_end_over_there(scene: Scene, result: int, error: type[Exception] | None) -> None:
    scene.leave()
    scene.offload.deliver(scene.handle, b"abc", 1)
    scene.back(b"def", result, State=lib.TcpConnectionClosed)
    assert SocketEvent.CLOSED in scene.told()
    assert (type(scene.user.error) if scene.user.error else None) is error
    assert scene.user.recv() == b"abcdef"
    assert scene.offload.where(scene.handle) is Where.IN_HOST
    assert scene.offload.returns(scene.handle) == [1]
    scene.user.close()
    with pytest.raises(SocketClosedError):
        scene.offload.where(scene.handle)


def calls(offload: Offload) -> dict[str, Callable[[int], object]]:
    """Every call for a handle."""
    state: Any = offload.new_state()
    state.Delegated.State = lib.TcpConnectionEstablished
    return {
        "begin": lambda handle: offload.begin(handle, TICKS),
        "send_pieces": lambda handle: offload.send_pieces(handle, 0),
        "buffered": offload.buffered,
        "end": lambda handle: offload.end(handle, True),
        "acked": lambda handle: offload.acked(handle, 1),
        "queued": offload.queued,
        "deliver": lambda handle: offload.deliver(handle, b"x"),
        "own": offload.unread,
        "post": offload.post,
        "posted": lambda handle: offload.posted(handle, 0, True),
        "fin": offload.fin,
        "aborted": offload.aborted,
        "shut": offload.shut,
        "forward": offload.forward,
        "hold": lambda handle: offload.hold(handle, bytes(20)),
        "cached": lambda handle: offload.cached(handle, TICKS),
        "route": offload.route,
        "upload_begin": offload.upload_begin,
        "upload_end": lambda handle: offload.upload_end(handle, TICKS, state),
        "where": offload.where,
    }


@pytest.mark.requirement("OFS-23")
def test_stale_and_foreign_handles_are_refused(scene: Scene) -> None:
    udp = scene.hosts.a.udp((US, 0)).handle
    listener = scene.hosts.a.listen((US, 99)).handle
    for handle in (0, -1, 1, udp, scene.handle + 1, scene.handle + (1 << 32), 1 << 62, listener):
        for name, call in calls(scene.offload).items():
            kind = errors.ArgumentError if (handle, name) == (listener, "begin") else SocketClosedError
            with pytest.raises(kind):
                call(handle)


@pytest.mark.requirement("OFS-23")
@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("in host", "buffered end acked deliver posted fin aborted shut upload_begin upload_end"),
        ("leaving", "begin acked deliver posted fin aborted shut upload_begin upload_end"),
        ("away", "begin buffered end acked posted shut upload_end"),
        ("coming", "begin buffered end acked posted shut upload_begin upload_end"),
    ],
)
def test_calls_that_do_not_fit_are_refused(scene: Scene, where: str, names: str) -> None:
    if where != "in host":
        scene.state = scene.offload.begin(scene.handle, TICKS)
    if where in ("away", "coming"):
        scene.offload.end(scene.handle, True)
    if where == "coming":
        scene.offload.upload_begin(scene.handle)
    for name in names.split():
        with pytest.raises(errors.ArgumentError):
            calls(scene.offload)[name](scene.handle)
    if where == "leaving":
        scene.offload.end(scene.handle, False)
    elif where != "in host":
        scene.back()
    scene.user.send(b"goes on")
    scene.run(20)
    assert scene.peer.recv() == b"goes on"


@pytest.mark.requirement("OFS-23")
def test_null_and_senseless_arguments_are_refused(scene: Scene) -> None:
    stack, handle = scene.hosts.a.native.enter(), scene.handle
    state, null = ffi.new("struct tcp_offload_state *"), ffi.NULL
    assert lib.vnic_tcp_offload_begin(stack, handle, TICKS, null) == lib.VNIC_EINVAL
    assert lib.vnic_tcp_offload_begin(stack, handle, 999, state) == lib.VNIC_EINVAL
    scene.leave()
    refused = [
        lib.vnic_stack_offload_news(stack, null, 1),
        lib.vnic_tcp_offload_send_pieces(stack, handle, 0, null, 1),
        lib.vnic_tcp_offload_send_pieces(stack, handle, 1, null, 0),
        lib.vnic_tcp_offload_deliver(stack, handle, null, 5, 1),
        lib.vnic_tcp_offload_deliver(stack, handle, state, 0, 1),
        lib.vnic_tcp_offload_returns(stack, handle, null, 1),
        lib.vnic_tcp_offload_post(stack, handle, null),
        lib.vnic_tcp_offload_hold(stack, handle, null, 20),
        lib.vnic_tcp_offload_hold(stack, handle, state, 5),
        lib.vnic_tcp_offload_cached(stack, handle, TICKS, null),
        lib.vnic_tcp_offload_cached(stack, handle, 1, state),
        lib.vnic_tcp_offload_route(stack, handle, null),
        lib.vnic_stack_offload_query(stack, scene.offload.route(handle).neighbour, 0, null),
    ]
    assert refused == [lib.VNIC_EINVAL] * len(refused)
    scene.offload.upload_begin(handle)
    given = scene.state
    assert given is not None
    assert lib.vnic_tcp_upload_end(stack, handle, TICKS, null, null, 0, 0) == lib.VNIC_EINVAL
    assert lib.vnic_tcp_upload_end(stack, handle, TICKS, given, null, 1, 0) == lib.VNIC_EINVAL
    assert lib.vnic_tcp_upload_end(stack, handle, 7, given, null, 0, 0) == lib.VNIC_EINVAL
    assert (
        lib.vnic_tcp_upload_end(stack, handle, TICKS, given, null, 0, lib.VNIC_STACK_ECONNRESET)
        == lib.VNIC_EINVAL
    )
    scene.back()


@pytest.mark.requirement("OFS-18")
def test_a_closed_socket_stays_for_the_client(scene: Scene) -> None:
    scene.leave()
    scene.user.abort()
    assert scene.user.handle == 0
    assert scene.offload.where(scene.handle) is Where.OFFLOADED
    assert OffloadEvent.ABORT in scene.events()
    scene.back(State=lib.TcpConnectionClosed)
    with pytest.raises(SocketClosedError):
        scene.offload.where(scene.handle)
