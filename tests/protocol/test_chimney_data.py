"""What the client of a target does with bytes: sends, indications, receives that it posts, ends."""

from __future__ import annotations

import pytest

from tests.protocol.target import Scene
from vnic.ndis.chimney import TCP_OFFLOAD_EVENT_TYPE, TCP_UPLOAD_REASON, TcpDisconnectFlag
from vnic.ndis.oob import Slot
from vnic.ndis.status import NDIS_STATUS
from vnic.protocol.chimney_means import ReceivePlan
from vnic.protocol.chimney_options import manual
from vnic.protocol.chimney_tally import Where
from vnic.protocol.journal import Cause
from vnic.stack.errors import ResetError

ACCEPTED = NDIS_STATUS.SUCCESS
REFUSED = NDIS_STATUS.OFFLOAD_DATA_NOT_ACCEPTED
PARTLY = NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED
EAGER = manual(receives=ReceivePlan(after_bytes=0, buffers=2, buffer_bytes=8192))
LAZY = manual(receives=ReceivePlan(after_bytes=1 << 40))


# ---- sending -----------------------------------------------------------------------------------------------


def test_sends_are_given_in_order_and_their_memory_is_free_when_they_are_acknowledged() -> None:
    with Scene(send_buffer=64 << 10) as scene:
        near, _ = scene.connect()
        scene.offload(near)
        assert near.socket.send(bytes(100_000)) == 64 << 10, "the buffer is full"
        scene.settle()
        assert near.socket.send(b"more") == 0
        acked = scene.complete_send(near)
        assert 0 < acked <= 64 << 10
        scene.settle()
        assert near.socket.send(b"more") == 4 and scene.chimney.bytes_sent == acked


def test_a_send_that_comes_back_is_sent_by_the_host() -> None:
    with Scene() as scene:
        near, far = scene.connect()
        scene.offload(near)
        near.write_all(b"0123456789")
        scene.settle()
        assert scene.complete_send(near, NDIS_STATUS.UPLOAD_IN_PROGRESS, count=0) == 0
        near.write_all(b"abc")
        scene.settle()
        assert not scene.target.sends, "after the first failure nothing more is given"
        scene.upload(near)
        assert far.read_exactly(13) == b"0123456789abc"


@pytest.mark.parametrize("status", [NDIS_STATUS.REQUEST_UPLOAD, NDIS_STATUS.UPLOAD_REQUESTED])
def test_a_driver_without_memory_for_a_send_gets_rid_of_the_connection(status: NDIS_STATUS) -> None:
    with Scene() as scene:
        near, far = scene.connect()
        scene.offload(near)
        near.write_all(b"too much")
        scene.settle()
        scene.complete_send(near, status, count=0)
        scene.drain()
        assert scene.chimney.uploads == {Cause.RESOURCES: 1}
        assert far.read_exactly(8) == b"too much"


def test_memory_that_the_target_cannot_reach_is_bounced() -> None:
    with Scene() as scene:
        near, _ = scene.connect()
        scene.offload(near)
        done: list[int] = []
        assert near.socket.send_by_reference(b"elsewhere", done=lambda count, error: done.append(count))
        scene.settle()
        buffer = scene.target.sends[0].first_net_buffer
        assert buffer is not None
        ((address, view),) = buffer.views()
        assert scene.memory.read(address, 9) == bytes(view) == b"elsewhere" and scene.chimney.bounced == 9
        live = len(scene.memory.live)
        scene.complete_send(near)
        scene.settle()
        assert done == [9] and len(scene.memory.live) == live - 1


# ---- indications -------------------------------------------------------------------------------------------


@pytest.mark.requirement("POL-24")
def test_indicated_data_is_read_in_place_and_goes_back_when_it_was() -> None:
    with Scene(LAZY) as scene:
        near, _ = scene.connect()
        scene.offload(near)
        assert scene.indicate(near, b"first") == (ACCEPTED, 5)
        assert scene.indicate(near, b"sec", b"ond") == (ACCEPTED, 6), "of two pieces: copied"
        scene.settle()
        assert len(scene.target.returned) == 1
        assert near.socket.recv(3) == b"fir"
        scene.settle()
        assert len(scene.target.returned) == 1
        assert near.read_exactly(8) == b"stsecond"
        scene.settle()
        assert len(scene.target.returned) == 2


@pytest.mark.requirement("POL-24", "INV-25")
def test_a_full_socket_refuses_and_posts_when_there_is_room() -> None:
    with Scene(LAZY, receive_buffer=8192) as scene:
        near, _ = scene.connect()
        scene.offload(near)
        assert scene.indicate(near, bytes(6000)) == (ACCEPTED, 6000)
        status, taken = scene.indicate(near, b"x" * 6000)
        assert status == PARTLY and 0 < taken < 6000
        assert scene.indicate(near, b"y") == (REFUSED, 0)
        scene.settle()
        assert not scene.target.receives
        assert near.read_exactly(6000 + taken) == bytes(6000) + b"x" * taken
        scene.settle()
        (posted,) = scene.target.receives
        assert posted.first_net_buffer is not None and posted.first_net_buffer.data_length == 0
        scene.complete_receive(near)
        assert scene.indicate(near, b"x" * (6000 - taken)) == (ACCEPTED, 6000 - taken)


# ---- posted receives ---------------------------------------------------------------------------------------


@pytest.mark.requirement("POL-24")
def test_receives_are_posted_ahead_for_one_who_reads_in_bulk() -> None:
    with Scene(EAGER) as scene:
        near, _ = scene.connect()
        scene.offload(near)
        scene.settle()
        assert len(scene.target.receives) == 2
        scene.complete_receive(near, b"a" * 8192)
        scene.complete_receive(near, b"b" * 100)
        assert near.read_exactly(8292) == b"a" * 8192 + b"b" * 100
        scene.settle()
        assert len(scene.target.receives) == 2, "and again"


@pytest.mark.requirement("POL-24")
@pytest.mark.parametrize("is_reached", [True, False])
def test_a_buffer_that_the_user_posts_is_filled_by_the_target(is_reached: bool) -> None:
    with Scene(LAZY) as scene:
        near, _ = scene.connect()
        scene.offload(near)
        room = scene.memory.alloc(100).view if is_reached else memoryview(bytearray(100))
        done: list[int] = []
        assert near.socket.post(room, done=lambda count, error: done.append(count))
        scene.settle()
        (posted,) = scene.target.receives
        assert posted.info(Slot.TCP_RECEIVE_BYTES_TRANSFERRED) == 0
        scene.complete_receive(near, b"z" * 100)
        scene.settle()
        assert done == [100] and bytes(room) == b"z" * 100
        assert scene.chimney.bytes_received == 100


@pytest.mark.requirement("POL-20")
def test_a_posted_buffer_that_comes_back_half_full_is_filled_by_the_host() -> None:
    with Scene(LAZY) as scene:
        near, far = scene.connect()
        scene.offload(near)
        room, done = memoryview(bytearray(10)), list[int]()
        assert near.socket.post(room, done=lambda count, error: done.append(count))
        scene.settle()
        scene.chimney.upload(near.socket)
        scene.settle()
        scene.complete_receive(near, b"", NDIS_STATUS.UPLOAD_IN_PROGRESS)
        scene.drain()
        far.write_all(b"0123456789")
        scene.network.run_for(10_000_000)
        assert done == [10] and bytes(room) == b"0123456789"


# ---- the end -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("POL-20")
def test_shutdown_follows_the_data_and_both_ends_make_an_upload() -> None:
    with Scene(LAZY) as scene:
        near, _ = scene.connect()
        scene.offload(near)
        near.write_all(b"last words")
        near.finish()
        scene.settle()
        assert len(scene.target.sends) == 1
        assert scene.target.disconnects[0][1] is TcpDisconnectFlag.GRACEFUL_CLOSE
        scene.complete_send(near)
        scene.complete_disconnect(near)
        scene.settle()
        assert not scene.target.terminates, "the peer may still send"
        scene.event(near, TCP_OFFLOAD_EVENT_TYPE.DISCONNECT)
        assert near.read() == b""
        scene.settle()
        assert len(scene.target.terminates) == 1


def test_a_reset_ends_it() -> None:
    with Scene(LAZY) as scene:
        near, _ = scene.connect()
        scene.offload(near)
        scene.event(near, TCP_OFFLOAD_EVENT_TYPE.ABORT)
        scene.drain()
        assert scene.chimney.uploads == {Cause.ABORTED: 1}
        with pytest.raises(ResetError):
            near.read()


@pytest.mark.parametrize("is_closing", [False, True])
def test_an_abort_is_an_abortive_disconnect_at_once(is_closing: bool) -> None:
    with Scene(LAZY) as scene:
        near, _ = scene.connect()
        scene.offload(near)
        handle, number = scene.handle(near), near.socket.handle
        if is_closing:
            near.finish()
            scene.settle()
        near.abort()
        scene.settle()
        flags = [flags for _, flags in scene.target.disconnects]
        assert flags == [TcpDisconnectFlag.GRACEFUL_CLOSE] * is_closing + [TcpDisconnectFlag.ABORTIVE_CLOSE]
        while scene.target.disconnects:
            nbl, kind = scene.target.disconnects.popleft()
            is_last = kind is TcpDisconnectFlag.ABORTIVE_CLOSE
            nbl.status = NDIS_STATUS.SUCCESS if is_last else NDIS_STATUS.REQUEST_ABORTED
            scene.client.tcp_offload_disconnect_complete(handle, nbl)
        scene.drain()
        assert scene.chimney.where(number) is Where.IN_HOST
        assert scene.chimney.uploads == {Cause.CLOSED: 1}


@pytest.mark.requirement("POL-23")
def test_segments_caught_in_between_are_forwarded_after_the_initiate() -> None:
    with Scene(LAZY) as scene:
        near, far = scene.connect()
        scene.chimney.offload(near.socket)
        scene.settle()
        far.write_all(b"caught")
        scene.settle()
        assert not scene.target.forwards
        scene.complete_initiate()
        scene.settle()
        (nbl,) = scene.target.forwards
        assert nbl.first_net_buffer is not None
        segment = nbl.first_net_buffer.data()
        assert segment[:2] == (80).to_bytes(2) and segment.endswith(b"caught")
        scene.chimney.upload(near.socket)
        nbl.status = NDIS_STATUS.UPLOAD_IN_PROGRESS
        scene.client.tcp_offload_forward_complete(scene.handle(near), nbl)
        scene.drain()
        assert near.read_exactly(6) == b"caught", "what came too late is the host's to process"


@pytest.mark.requirement("POL-26")
def test_a_hardware_failure_is_an_error_for_the_user() -> None:
    with Scene(LAZY) as scene:
        near, _ = scene.connect()
        scene.offload(near)
        scene.retrieve(near, TCP_UPLOAD_REASON.HARDWARE_FAILURE)
        scene.event(near, TCP_OFFLOAD_EVENT_TYPE.ABORT)
        scene.settle()
        scene.complete_terminate(NDIS_STATUS.FAILURE)
        scene.drain()
        with pytest.raises(ConnectionError):
            near.read()
        assert scene.chimney.tally.lost == 1
