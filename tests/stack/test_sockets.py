"""Sockets of the C library: opening, sending, receiving and ending, against a peer played by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import pytest

from tests.stack.peer import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    Peer,
    completions,
    connect,
    establish,
    events,
    info,
    listen,
    mss,
    outcomes,
    peer6,
    receive,
    refer,
    resolve,
    scale,
    segment_of,
    send,
    statistics,
    timestamp,
)
from tests.stack.world import OTHER, PEER, PEER6, SECOND, US, US6, World, address, endpoint
from vnic._core import ffi, lib
from vnic.wire import checksum, packet

EAGAIN, EBADF, EPIPE = lib.VNIC_STACK_EAGAIN, lib.VNIC_STACK_EBADF, lib.VNIC_STACK_EPIPE
ENOTCONN, EINVAL = lib.VNIC_STACK_ENOTCONN, lib.VNIC_EINVAL
READABLE, WRITABLE, CLOSED = lib.VNIC_EVENT_READABLE, lib.VNIC_EVENT_WRITABLE, lib.VNIC_EVENT_CLOSED
MS = SECOND // 1000


@pytest.fixture
def near(world: World) -> World:
    """A stack that knows its peer's Ethernet address."""
    resolve(world)
    return world


@pytest.fixture
def peer(near: World) -> Peer:
    """A host at 10.0.0.2."""
    return Peer(near)


def be_prompt(world: World, socket: int) -> None:
    """Turns Nagle's algorithm off."""
    assert lib.vnic_stack_set_option(world.stack, socket, lib.VNIC_OPTION_NODELAY, 1) == 0


def try_connect(world: World, to: str, port: int = 80, source: str | None = None, local_port: int = 0) -> int:
    """A socket, or a result below 0."""
    local = endpoint(source, local_port) if source else ffi.NULL
    return int(lib.vnic_tcp_connect(world.stack, local, endpoint(to, port)))


class TestHandles:
    @pytest.mark.requirement("SOCK-1")
    def test_a_closed_handle_names_nobody(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        assert lib.vnic_tcp_abort(world.stack, socket) == 0
        for call in (lib.vnic_tcp_abort, lib.vnic_tcp_shutdown, lib.vnic_stack_close):
            assert call(world.stack, socket) == EBADF
        assert send(world, socket, b"x") == EBADF
        assert receive(world, socket) == EBADF
        assert lib.vnic_tcp_get_info(world.stack, socket, ffi.new("struct vnic_tcp_info *")) == EBADF
        peer.heard()
        again = connect(world, Peer(world, port=40001))
        assert again != socket  # the same slot
        assert again & 0xFFFFFFFF == socket & 0xFFFFFFFF
        assert send(world, socket, b"x") == EBADF

    @pytest.mark.requirement("SOCK-1")
    @pytest.mark.parametrize("handle", [0, -1, 1, 1 << 32, 2**63 - 1, -(2**63), 1 << 32 | 16, 99 << 32 | 1])
    def test_invented_handles_name_nobody(self, peer: Peer, handle: int) -> None:
        stack = peer.world.stack
        connect(peer.world, peer)
        listen(peer.world)
        assert lib.vnic_stack_close(stack, handle) == EBADF
        assert lib.vnic_tcp_accept(stack, handle) == EBADF
        assert lib.vnic_stack_completions(stack, handle, ffi.NULL, 0) == EBADF
        assert lib.vnic_stack_set_option(stack, handle, lib.VNIC_OPTION_NODELAY, 1) == EBADF
        assert lib.vnic_tcp_peek(stack, handle, ffi.new("struct vnic_bytes[1]"), 1) == EBADF

    @pytest.mark.requirement("SOCK-1")
    def test_a_listener_is_no_connection(self, near: World) -> None:
        listener = listen(near)
        assert send(near, listener, b"x") == ENOTCONN
        assert receive(near, listener) == ENOTCONN
        assert lib.vnic_tcp_shutdown(near.stack, listener) == ENOTCONN
        assert lib.vnic_tcp_abort(near.stack, listener) == ENOTCONN
        assert lib.vnic_tcp_post(near.stack, listener, ffi.new("uint8_t[4]"), 4, 0) == ENOTCONN
        assert lib.vnic_tcp_consume(near.stack, listener, 0) == ENOTCONN

    @pytest.mark.requirement("SOCK-1")
    def test_a_udp_socket_is_neither(self, near: World) -> None:
        udp = lib.vnic_udp_bind(near.stack, endpoint(US, 53))
        assert udp > 0
        assert send(near, udp, b"x") == EBADF
        assert lib.vnic_tcp_accept(near.stack, udp) == EBADF
        assert lib.vnic_stack_close(near.stack, udp) == 0
        assert lib.vnic_stack_close(near.stack, udp) == EBADF


class TestConnect:
    @pytest.mark.requirement("SOCK-2")
    @pytest.mark.parametrize(("us", "them"), [(US, PEER), (US6, PEER6)])
    def test_source_and_port_are_chosen(self, near: World, us: str, them: str) -> None:
        socket = try_connect(near, them, 443)
        assert socket > 0
        syn = segment_of(near.one())
        assert syn.seen.datagram.source == packet.packed(us)
        assert syn.seen.datagram.destination == packet.packed(them)
        assert 49152 <= syn.source_port <= 65535
        assert syn.port == 443
        assert syn.flags == SYN
        found = info(near, socket)
        assert (found.local.port, found.remote.port) == (syn.source_port, 443)
        assert found.state == 1

    @pytest.mark.requirement("SOCK-2")
    def test_ports_differ(self, make_world: Callable[..., World]) -> None:
        ports = []
        for seed in (1, 2):
            world = make_world(seed=seed)
            resolve(world)
            for _ in range(8):
                assert try_connect(world, PEER) > 0
            ports.append([segment_of(frame).source_port for frame in world.transmit()])
            assert len(set(ports[-1])) == 8
        assert ports[0] != ports[1]

    @pytest.mark.requirement("SOCK-2")
    def test_a_tuple_in_use_is_refused_and_another_is_not(self, near: World) -> None:
        assert try_connect(near, PEER, 80, US, 5000) > 0
        assert try_connect(near, PEER, 80, US, 5000) == lib.VNIC_STACK_EADDRINUSE
        assert try_connect(near, PEER, 81, US, 5000) > 0

    @pytest.mark.requirement("SOCK-2")
    def test_destinations_that_are_none(self, near: World) -> None:
        assert try_connect(near, "0.0.0.0") == EINVAL
        assert try_connect(near, "::") == EINVAL
        assert try_connect(near, "255.255.255.255") == EINVAL
        assert try_connect(near, "224.0.0.1") == EINVAL
        assert try_connect(near, "ff02::1") == EINVAL
        assert try_connect(near, PEER, 0) == EINVAL
        assert try_connect(near, PEER, 80, US6) == EINVAL
        assert lib.vnic_tcp_connect(near.stack, ffi.NULL, ffi.NULL) == EINVAL
        assert try_connect(near, "192.0.2.1") == lib.VNIC_STACK_EHOSTUNREACH
        assert try_connect(near, PEER, 80, OTHER) == lib.VNIC_STACK_EADDRNOTAVAIL

    @pytest.mark.requirement("SOCK-2")
    def test_connections_run_out(self, make_world: Callable[..., World]) -> None:
        world = make_world(connections=3)
        resolve(world)
        sockets = [try_connect(world, PEER) for _ in range(4)]
        assert sockets[3] == lib.VNIC_STACK_ENOBUFS
        assert lib.vnic_tcp_abort(world.stack, sockets[1]) == 0
        assert try_connect(world, PEER) > 0

    @pytest.mark.requirement("SOCK-3")
    def test_initial_numbers(self, make_world: Callable[..., World]) -> None:
        def numbers(seed: int, seconds: int) -> list[int]:
            world = make_world(seed=seed)
            resolve(world)
            world.advance(seconds)
            found = []
            for port in (80, 81):
                assert try_connect(world, PEER, port, US, 5000) > 0
                found.append(segment_of(world.one()).seq)
            return found

        first, other = numbers(1, 0), numbers(2, 0)
        later = numbers(1, 8)
        assert [(b - a) % 2**32 for a, b in zip(first, later, strict=True)] == [2_000_000] * 2
        assert first[0] != first[1]
        assert first[0] != other[0]
        assert (first[1] - first[0]) % 2**32 != (other[1] - other[0]) % 2**32

    @pytest.mark.requirement("SOCK-4")
    def test_timestamps_have_an_offset_of_the_tuple(self, near: World) -> None:
        values = {}
        for port in (80, 81):
            assert try_connect(near, PEER, port, US, 5000) > 0
            values[port] = segment_of(near.one()).timestamp[0]
        assert values[80] != values[81]
        near.advance(0.5)
        assert near.transmit() == []
        near.advance(0.6)
        again = [segment_of(frame) for frame in near.transmit()]  # the SYNs once more
        assert len(again) == 2
        assert {(syn.timestamp[0] - values[syn.port]) % 2**32 for syn in again} == {1100}

    @pytest.mark.requirement("SOCK-5")
    def test_events_are_gathered(self, peer: Peer) -> None:
        socket = connect(peer.world, peer)
        peer.send(ACK | PSH, b"one")
        peer.send(ACK | PSH, b"two")
        peer.send(FIN | ACK)
        assert events(peer.world) == {socket: READABLE | lib.VNIC_EVENT_FIN}
        assert events(peer.world) == {}
        assert lib.vnic_stack_events(peer.world.stack, ffi.NULL, 1) == EINVAL
        assert lib.vnic_stack_events(peer.world.stack, ffi.NULL, 0) == 0

    @pytest.mark.requirement("SOCK-5")
    def test_events_come_in_the_order_of_sockets(self, near: World) -> None:
        peers = [Peer(near, port=41000 + i) for i in range(5)]
        sockets = [connect(near, each) for each in peers]
        for i in (3, 1, 4, 0, 2, 3):
            peers[i].send(ACK | PSH, b"x")
        assert list(events(near)) == [sockets[i] for i in (3, 1, 4, 0, 2)]


class TestEnd:
    @pytest.mark.requirement("SOCK-6")
    def test_refused(self, peer: Peer) -> None:
        socket = try_connect(peer.world, PEER, peer.port)
        peer.our_port = peer.take().source_port
        peer.send(RST | ACK)
        assert outcomes(peer.world) == {socket: (CLOSED, lib.VNIC_STACK_ECONNREFUSED)}
        assert send(peer.world, socket, b"x") == lib.VNIC_STACK_ECONNREFUSED
        assert receive(peer.world, socket) == lib.VNIC_STACK_ECONNREFUSED
        assert lib.vnic_stack_close(peer.world.stack, socket) == 0
        assert statistics(peer.world).connections == 0

    @pytest.mark.requirement("SOCK-6")
    def test_timed_out(self, peer: Peer) -> None:
        socket = try_connect(peer.world, PEER, peer.port)
        seen: dict[int, tuple[int, int]] = {}
        for _ in range(10):
            peer.world.advance(30)
            peer.heard()
            seen |= outcomes(peer.world)
        assert seen[socket][0] & CLOSED
        assert seen[socket][1] == lib.VNIC_STACK_ETIMEDOUT
        assert len(peer.sent) >= 4

    @pytest.mark.requirement("SOCK-6", "SOCK-11")
    def test_reset_after_data(self, peer: Peer) -> None:
        socket = connect(peer.world, peer)
        peer.send(ACK, b"last words")
        peer.send(RST)
        assert outcomes(peer.world) == {socket: (READABLE | CLOSED, lib.VNIC_STACK_ECONNRESET)}
        assert receive(peer.world, socket, 4) == b"last"
        assert receive(peer.world, socket) == b" words"
        assert receive(peer.world, socket) == lib.VNIC_STACK_ECONNRESET
        assert outcomes(peer.world) == {}
        assert lib.vnic_tcp_shutdown(peer.world.stack, socket) == 0
        peer.silent()

    @pytest.mark.requirement("SOCK-6")
    @pytest.mark.parametrize("we_first", [True, False])
    def test_orderly(self, peer: Peer, we_first: bool) -> None:
        world = peer.world
        socket = connect(world, peer)
        told: dict[int, int] = {}
        for is_ours in (we_first, not we_first):
            if is_ours:
                assert lib.vnic_tcp_shutdown(world.stack, socket) == 0
                assert peer.take().flags & FIN
                peer.send(ACK)
            else:
                peer.send(FIN | ACK)
                peer.heard()
            for handle, (bits, result) in outcomes(world).items():
                assert handle == socket
                assert result == 0
                told[bits] = told.get(bits, 0) + 1
        assert sum(count for bits, count in told.items() if bits & CLOSED) == 1
        assert receive(world, socket) == b""
        world.advance(100)
        assert outcomes(world) == {}
        assert lib.vnic_stack_close(world.stack, socket) == 0
        assert statistics(world).connections == 0

    @pytest.mark.requirement("SOCK-6", "SOCK-15")
    def test_time_wait_keeps_the_tuple_but_not_the_handle(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer, local_port=6000)
        assert lib.vnic_stack_close(world.stack, socket) == 0
        assert peer.take().flags & FIN
        peer.send(FIN | ACK)
        assert peer.one().flags == ACK
        assert statistics(world).connections == 1
        assert try_connect(world, PEER, peer.port, US, 6000) == lib.VNIC_STACK_EADDRINUSE
        world.advance(61)
        assert statistics(world).connections == 0
        assert try_connect(world, PEER, peer.port, US, 6000) > 0

    @pytest.mark.requirement("SOCK-14")
    def test_shutdown_sends_what_is_queued_and_receives_on(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        assert send(world, socket, b"bye") == 3
        assert lib.vnic_tcp_shutdown(world.stack, socket) == 0
        assert lib.vnic_tcp_shutdown(world.stack, socket) == 0
        assert send(world, socket, b"x") == EPIPE
        last = peer.take()
        assert (last.data, last.flags & FIN) == (b"bye", FIN)
        peer.send(ACK | PSH, b"still here")
        assert receive(world, socket) == b"still here"

    @pytest.mark.requirement("SOCK-14")
    def test_shutdown_before_the_handshake_ends(self, peer: Peer) -> None:
        socket = try_connect(peer.world, PEER, peer.port)
        assert send(peer.world, socket, b"early") == 5
        assert lib.vnic_tcp_shutdown(peer.world.stack, socket) == 0
        peer.our_port = peer.take().source_port
        peer.send(SYN | ACK, options=mss(1460))
        found = peer.heard()
        assert b"".join(segment.data for segment in found) == b"early"
        assert found[-1].flags & FIN

    @pytest.mark.requirement("SOCK-15")
    def test_close_sends_what_is_queued(self, peer: Peer) -> None:
        socket = connect(peer.world, peer)
        assert send(peer.world, socket, b"rest") == 4
        assert lib.vnic_stack_close(peer.world.stack, socket) == 0
        last = peer.take()
        assert (last.data, last.flags & (FIN | RST)) == (b"rest", FIN)
        peer.world.advance(1)
        again = peer.heard()
        assert again and all(segment.data == b"rest" and segment.seq == last.seq for segment in again)
        peer.send(FIN | ACK)
        assert peer.one().flags == ACK
        assert outcomes(peer.world) == {}

    @pytest.mark.requirement("SOCK-15")
    def test_close_with_unread_data_resets(self, peer: Peer) -> None:
        socket = connect(peer.world, peer)
        peer.send(ACK, b"unread")
        assert lib.vnic_stack_close(peer.world.stack, socket) == 0
        assert [segment.flags & RST for segment in peer.heard()] == [RST]
        assert statistics(peer.world).connections == 0

    @pytest.mark.requirement("SOCK-15")
    def test_data_after_close_resets(self, peer: Peer) -> None:
        socket = connect(peer.world, peer)
        assert lib.vnic_stack_close(peer.world.stack, socket) == 0
        assert peer.take().flags & FIN
        peer.send(ACK, b"too late")
        assert [segment.flags & RST for segment in peer.heard()] == [RST]
        assert statistics(peer.world).connections == 0

    @pytest.mark.requirement("SOCK-17")
    def test_abort(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        data, target = ffi.new("uint8_t[]", b"x" * 3000), ffi.new("uint8_t[64]")
        assert refer(world, socket, [data], 7) == 3001
        assert lib.vnic_tcp_post(world.stack, socket, target, 64, 8) == 0
        first = peer.heard()
        peer.send(ACK, ack=first[0].seq + 1460)
        peer.heard()
        assert lib.vnic_tcp_abort(world.stack, socket) == 0
        assert [segment.flags & RST for segment in peer.heard()] == [RST]
        aborted = lib.VNIC_STACK_ECONNABORTED
        assert events(world) == {socket: lib.VNIC_EVENT_SENT | lib.VNIC_EVENT_RECEIVED}
        assert completions(world, socket) == [(8, 0, aborted, False), (7, 1460, aborted, True)]
        assert lib.vnic_stack_completions(world.stack, socket, ffi.NULL, 0) == EBADF
        assert statistics(world).connections == 0

    @pytest.mark.requirement("SOCK-17")
    def test_abort_of_a_connect_says_nothing(self, peer: Peer) -> None:
        socket = try_connect(peer.world, PEER, peer.port)
        peer.heard()
        assert lib.vnic_tcp_abort(peer.world.stack, socket) == 0
        peer.silent()
        assert statistics(peer.world).connections == 0


class TestSend:
    @pytest.mark.requirement("SOCK-7")
    def test_the_send_buffer_fills_and_empties(self, make_world: Callable[..., World]) -> None:
        world = make_world(send_buffer=8192)
        resolve(world)
        peer = Peer(world)
        socket = connect(world, peer)
        be_prompt(world, socket)
        assert send(world, socket, b"a" * 5000) == 5000
        assert send(world, socket, b"b" * 5000) == 3192
        assert send(world, socket, b"c") == EAGAIN
        got = peer.heard()
        assert sum(len(segment.data) for segment in got) == 8192
        peer.send(ACK, ack=got[0].seq + 1460)
        assert events(world) == {}
        peer.send(ACK, ack=got[0].seq + 2048)
        assert events(world) == {socket: WRITABLE}
        assert send(world, socket, b"d" * 3000) == 2048
        peer.heard()
        peer.send(ACK, ack=got[0].seq + 8192 + 2048)
        assert events(world) == {socket: WRITABLE}
        assert info(world, socket).send_queued == 0

    @pytest.mark.requirement("SOCK-7")
    def test_bad_arguments(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        null = ffi.new("struct vnic_bytes[1]", [{"data": ffi.NULL, "len": 4}])
        huge = ffi.new("struct vnic_bytes[2]", [{"data": null, "len": 2**63}, {"data": null, "len": 2**63}])
        assert lib.vnic_tcp_send(world.stack, socket, null, 1, 0, 0) == EINVAL
        assert lib.vnic_tcp_send(world.stack, socket, ffi.NULL, 1, 0, 0) == EINVAL
        assert lib.vnic_tcp_send(world.stack, socket, huge, 2, 0, 0) == EINVAL
        assert lib.vnic_tcp_send(world.stack, socket, null, 0, 16, 0) == EINVAL
        assert lib.vnic_tcp_send(world.stack, socket, null, 0, 0, 0) == 0
        peer.silent()

    @pytest.mark.requirement("SOCK-8")
    def test_references_are_read_at_each_transmission(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        data = ffi.new("uint8_t[1000]")
        assert refer(world, socket, [data], 1) == 1000
        ffi.memmove(data, b"A" * 1000, 1000)
        assert peer.one().data == b"A" * 1000
        ffi.memmove(data, b"B" * 1000, 1000)
        world.advance(1.5)
        assert {segment.data for segment in peer.heard()} == {b"B" * 1000}

    @pytest.mark.requirement("SOCK-8")
    def test_references_complete_in_order_when_acknowledged(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        one, two = ffi.new("uint8_t[100]", b"1" * 100), ffi.new("uint8_t[200]", b"2" * 200)
        assert send(world, socket, b"copied") == 6
        assert refer(world, socket, [one, two], 11) == 300
        assert send(world, socket, b"between") == 7
        assert refer(world, socket, [two], 12) == 200
        got = b"".join(segment.data for segment in peer.heard())
        start = peer.sent[-1].seq + len(peer.sent[-1].data) - len(got)
        assert got[:106] == b"copied" + b"1" * 100
        done = {306: [(11, 300, 0, True)], 513: [(12, 200, 0, True)]}
        for acked in (305, 306, 512, 513):
            peer.send(ACK, ack=start + acked)
            peer.heard()
            assert completions(world, socket) == done.get(acked, [])
        assert events(world) == {socket: lib.VNIC_EVENT_SENT}

    @pytest.mark.requirement("SOCK-8")
    def test_references_are_taken_all_or_not_at_all(self, make_world: Callable[..., World]) -> None:
        world = make_world(send_buffer=4096)
        resolve(world)
        peer = Peer(world)
        socket = connect(world, peer)
        data = ffi.new("uint8_t[10000]")
        assert refer(world, socket, [data], 1) == 10000  # more than the buffer, but nothing else is queued
        assert refer(world, socket, [ffi.new("uint8_t[1]")], 2) == EAGAIN
        while found := peer.heard():
            peer.send(ACK, ack=found[-1].seq + len(found[-1].data))
        assert completions(world, socket) == [(1, 10000, 0, True)]
        assert events(world)[socket] == lib.VNIC_EVENT_SENT | WRITABLE

    @pytest.mark.requirement("SOCK-8")
    def test_too_much_by_reference(self, peer: Peer) -> None:
        socket = connect(peer.world, peer)
        pieces = ffi.new("struct vnic_bytes[1]", [{"data": ffi.new("uint8_t[1]"), "len": 2**29 + 1}])
        flags = lib.VNIC_SEND_REFERENCE
        assert lib.vnic_tcp_send(peer.world.stack, socket, pieces, 1, flags, 0) == lib.VNIC_STACK_EMSGSIZE

    @pytest.mark.requirement("SOCK-9")
    def test_push_ends_the_queue(self, peer: Peer) -> None:
        socket = connect(peer.world, peer)
        be_prompt(peer.world, socket)
        assert send(peer.world, socket, b"x" * 4000) == 4000
        assert [segment.flags & PSH for segment in peer.heard()] == [0, 0, PSH]

    @pytest.mark.requirement("SOCK-10")
    def test_more_holds_back_a_short_segment(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        assert send(world, socket, b"a" * 2000, lib.VNIC_SEND_MORE) == 2000
        assert [len(segment.data) for segment in peer.heard()] == [1460]
        assert info(world, socket).send_queued == 2000
        assert send(world, socket, b"b" * 1000) == 1000
        peer.send(ACK, ack=peer.sent[-1].seq + 1460)
        found = peer.heard()
        assert found[0].data == b"a" * 540 + b"b" * 920

    @pytest.mark.requirement("SOCK-10")
    def test_more_holds_back_no_longer_than_200_ms(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        started = world.now
        assert send(world, socket, b"short", lib.VNIC_SEND_MORE) == 5
        peer.silent()
        assert world.deadline <= started + 200 * MS
        world.advance(0.199)
        peer.silent()
        world.advance(0.001)
        assert peer.one().data == b"short"

    @pytest.mark.requirement("SOCK-10")
    @pytest.mark.parametrize("end", ["shutdown", "close"])
    def test_what_is_held_leaves_before_fin(self, peer: Peer, end: str) -> None:
        socket = connect(peer.world, peer)
        assert send(peer.world, socket, b"held", lib.VNIC_SEND_MORE) == 4
        call = lib.vnic_tcp_shutdown if end == "shutdown" else lib.vnic_stack_close
        assert call(peer.world.stack, socket) == 0
        last = peer.one()
        assert (last.data, last.flags & FIN) == (b"held", FIN)

    @pytest.mark.requirement("SOCK-19")
    def test_urgent_data_out_and_in(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        assert send(world, socket, b"stop!", lib.VNIC_SEND_URGENT) == 5
        found = peer.take()
        assert found.flags & packet.URG
        assert found.urgent == 5  # the number behind the last urgent byte: RFC 9293 MUST-62
        peer.send(ACK | packet.URG, b"halt", urgent=4)
        assert events(world) == {socket: READABLE | lib.VNIC_EVENT_URGENT}
        assert receive(world, socket) == b"halt"


class TestReceive:
    @pytest.mark.requirement("SOCK-11")
    def test_in_order_whatever_the_order_of_arrival(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        assert receive(world, socket) == EAGAIN
        data = bytes(range(250)) * 40
        pieces = [(at, data[at : at + 1000]) for at in range(0, len(data), 1000)]
        start = peer.seq
        for at, piece in pieces[1:][::-1]:
            peer.send(ACK, piece, seq=start + at)
        assert receive(world, socket) == EAGAIN
        assert events(world) == {}
        peer.send(FIN | ACK, seq=start + len(data))
        peer.send(ACK, data[500:1500], seq=start + 500)
        peer.send(ACK, data[:700], seq=start)
        assert events(world) == {socket: READABLE | lib.VNIC_EVENT_FIN}
        assert receive(world, socket, 333) == data[:333]
        assert receive(world, socket) == data[333:]
        assert receive(world, socket) == b""
        assert receive(world, socket) == b""

    @pytest.mark.requirement("SOCK-11")
    def test_before_the_handshake_there_is_nothing(self, peer: Peer) -> None:
        socket = try_connect(peer.world, PEER, peer.port)
        assert receive(peer.world, socket) == ENOTCONN

    @pytest.mark.requirement("SOCK-12")
    def test_peek_and_consume(self, make_world: Callable[..., World]) -> None:
        world = make_world(receive_buffer=16384)
        resolve(world)
        peer = Peer(world)
        socket = connect(world, peer)
        data = bytes(i * 7 & 255 for i in range(16000))
        for at in range(0, len(data), 1000):
            peer.send(ACK, data[at : at + 1000])
        closed = peer.heard()[-1]
        assert closed.window == 16384 - 16000
        pieces = ffi.new("struct vnic_bytes[16]")
        count = lib.vnic_tcp_peek(world.stack, socket, pieces, 16)
        assert count >= 2
        seen = b"".join(bytes(ffi.buffer(pieces[i].data, pieces[i].len)) for i in range(count))
        assert seen == data
        assert lib.vnic_tcp_consume(world.stack, socket, 16001) == EINVAL
        assert lib.vnic_tcp_consume(world.stack, socket, 15000) == 0
        assert peer.one().window > 8192  # the update of WIN-10
        assert lib.vnic_tcp_peek(world.stack, socket, pieces, 1) == 1
        assert bytes(ffi.buffer(pieces[0].data, pieces[0].len)) == data[15000:][: pieces[0].len]
        assert receive(world, socket) == data[15000:]
        assert lib.vnic_tcp_peek(world.stack, socket, pieces, 1) == EAGAIN
        peer.send(FIN | ACK)
        assert lib.vnic_tcp_peek(world.stack, socket, pieces, 1) == 0

    @pytest.mark.requirement("SOCK-13")
    def test_posted_buffers_fill_in_order(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        peer.send(ACK, b"early")
        buffers = [ffi.new("uint8_t[]", 10) for _ in range(3)]
        for cookie, buffer in enumerate(buffers):
            assert lib.vnic_tcp_post(world.stack, socket, buffer, 10, cookie) == 0
        assert completions(world, socket) == []
        assert receive(world, socket) == EAGAIN
        peer.send(ACK, b" bird and more")  # the first is full, the second has begun
        assert completions(world, socket) == [(0, 10, 0, False)]
        assert ffi.buffer(buffers[0])[:] == b"early bird"
        peer.send(ACK | PSH, b"!")
        assert completions(world, socket) == [(1, 10, 0, False)]
        assert ffi.buffer(buffers[1])[:] == b" and more!"
        peer.send(ACK | PSH, b"tail")
        assert completions(world, socket) == [(2, 4, 0, False)]
        assert events(world)[socket] & lib.VNIC_EVENT_RECEIVED
        peer.send(ACK | PSH, b"no buffer")
        assert receive(world, socket) == b"no buffer"

    @pytest.mark.requirement("SOCK-13")
    def test_posted_buffers_take_what_was_out_of_order(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        buffer = ffi.new("uint8_t[12]")
        assert lib.vnic_tcp_post(world.stack, socket, buffer, 12, 5) == 0
        peer.send(ACK, b"world", seq=peer.seq + 6)
        peer.send(ACK, b"!", seq=peer.seq + 11)
        assert completions(world, socket) == []
        peer.send(ACK, b"hello ", seq=peer.seq)
        assert completions(world, socket) == [(5, 12, 0, False)]
        assert ffi.buffer(buffer)[:] == b"hello world!"

    @pytest.mark.requirement("SOCK-13")
    def test_a_push_behind_a_gap_is_not_waited_for(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        buffer = ffi.new("uint8_t[100]")
        assert lib.vnic_tcp_post(world.stack, socket, buffer, 100, 5) == 0
        peer.send(ACK | PSH, b"world", seq=peer.seq + 6)
        peer.send(ACK, b"hello ", seq=peer.seq)
        assert completions(world, socket) == [(5, 11, 0, False)]

    @pytest.mark.requirement("SOCK-13")
    @pytest.mark.parametrize("is_read", [False, True])
    def test_a_push_before_the_buffer_was_posted(self, peer: Peer, is_read: bool) -> None:
        world = peer.world
        socket = connect(world, peer)
        buffer = ffi.new("uint8_t[100]")
        peer.send(ACK | PSH, b"early")
        if is_read:
            assert receive(world, socket) == b"early"
        assert lib.vnic_tcp_post(world.stack, socket, buffer, 100, 5) == 0
        assert completions(world, socket) == ([] if is_read else [(5, 5, 0, False)])
        if is_read:
            peer.send(ACK, b"later")
            assert completions(world, socket) == [], "the push was of what was read"

    @pytest.mark.requirement("SOCK-13")
    def test_fin_gives_all_posted_buffers_back(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        buffers = [ffi.new("uint8_t[10]") for _ in range(3)]
        for cookie, buffer in enumerate(buffers):
            assert lib.vnic_tcp_post(world.stack, socket, buffer, 10, cookie) == 0
        peer.send(ACK, b"half")
        peer.send(FIN | ACK)
        assert completions(world, socket) == [(0, 4, 0, False), (1, 0, 0, False), (2, 0, 0, False)]
        assert lib.vnic_tcp_post(world.stack, socket, buffers[0], 10, 9) == 0
        assert completions(world, socket) == [(9, 0, 0, False)]

    @pytest.mark.requirement("SOCK-13")
    def test_reset_gives_posted_buffers_back_with_what_came(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        buffer = ffi.new("uint8_t[10]")
        assert lib.vnic_tcp_post(world.stack, socket, buffer, 10, 3) == 0
        peer.send(ACK, b"half")
        peer.send(RST)
        assert completions(world, socket) == [(3, 4, lib.VNIC_STACK_ECONNRESET, False)]
        assert events(world)[socket] & CLOSED

    @pytest.mark.requirement("SOCK-13")
    def test_posting_frees_the_window(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        buffer = ffi.new("uint8_t[100000]")
        before = info(world, socket).rcv_wnd
        assert lib.vnic_tcp_post(world.stack, socket, buffer, 100000, 3) == 0
        for _ in range(20):
            peer.send(ACK, b"z" * 1000)
        peer.heard()
        assert info(world, socket).receive_queued == 0
        assert info(world, socket).rcv_wnd >= before - 20000
        assert lib.vnic_tcp_post(world.stack, socket, ffi.NULL, 4, 0) == EINVAL
        assert lib.vnic_tcp_post(world.stack, socket, buffer, 0, 0) == EINVAL

    @pytest.mark.requirement("SOCK-16")
    def test_a_closed_handle_fetches_completions_only(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        data = ffi.new("uint8_t[500]", b"d" * 500)
        assert refer(world, socket, [data], 21) == 500
        assert lib.vnic_stack_close(world.stack, socket) == 0
        assert send(world, socket, b"x") == EBADF
        assert completions(world, socket) == []
        peer.take()
        peer.send(ACK)
        assert events(world) == {socket: lib.VNIC_EVENT_SENT}
        assert completions(world, socket) == [(21, 500, 0, True)]
        assert lib.vnic_stack_completions(world.stack, socket, ffi.NULL, 0) == EBADF
        peer.send(FIN | ACK)
        assert events(world) == {}


class TestOptions:
    @pytest.mark.requirement("SOCK-18")
    @pytest.mark.parametrize(
        ("option", "bad", "good"),
        [
            ("NODELAY", 2, 1),
            ("KEEPALIVE", 2, 1),
            ("KEEP_TIME_MS", 9999, 10000),
            ("KEEP_INTERVAL_MS", 999, 1000),
            ("KEEP_LIMIT", 0, 1),
            ("KEEP_LIMIT", 256, 255),
            ("USER_TIMEOUT_MS", 2**31, 2**31 - 1),
            ("SEND_BUFFER", 2047, 2048),
            ("SEND_BUFFER", 2**29 + 1, 2**29),
            ("RECEIVE_BUFFER", 2047, 2048),
            ("RECEIVE_BUFFER", 2**30 + 1, 2**30),
            ("TTL", 0, 1),
            ("TTL", 256, 255),
            ("TOS", 256, 252),
            ("TOS", 1, 4),
        ],
    )
    def test_bounds(self, peer: Peer, option: str, bad: int, good: int) -> None:
        world = peer.world
        number = getattr(lib, f"VNIC_OPTION_{option}")
        for socket in (connect(world, peer), listen(world)):
            assert lib.vnic_stack_set_option(world.stack, socket, number, bad) == EINVAL
            assert lib.vnic_stack_set_option(world.stack, socket, number, good) == 0
        assert lib.vnic_stack_set_option(world.stack, socket, 99, 0) == EINVAL

    @pytest.mark.requirement("SOCK-18")
    def test_they_work(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        for option, value in (("TTL", 9), ("TOS", 0x20), ("NODELAY", 1)):
            number = getattr(lib, f"VNIC_OPTION_{option}")
            assert lib.vnic_stack_set_option(world.stack, socket, number, value) == 0
        for _ in range(2):
            assert send(world, socket, b"x") == 1
            found = peer.one()  # the second too, though the first is not acknowledged: Nagle is off
            assert (found.seen.datagram.ttl, found.seen.datagram.tos) == (9, 0x20)

    @pytest.mark.requirement("SOCK-18")
    def test_congestion_control_is_chosen_before_data_flows(self, peer: Peer) -> None:
        world = peer.world
        socket = try_connect(world, PEER, peer.port)
        assert lib.vnic_stack_set_option(world.stack, socket, lib.VNIC_OPTION_CONGESTION, 2) == EINVAL
        assert lib.vnic_stack_set_option(world.stack, socket, lib.VNIC_OPTION_CONGESTION, 0) == 0
        peer.our_port = peer.take().source_port
        peer.send(SYN | ACK, options=mss(1460))
        assert lib.vnic_stack_set_option(world.stack, socket, lib.VNIC_OPTION_CONGESTION, 1) == EINVAL

    @pytest.mark.requirement("SOCK-18", "WIN-01")
    def test_a_larger_receive_buffer_opens_the_window(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer, options=mss(1460) + scale(7))
        before = info(world, socket).rcv_wnd
        option = lib.VNIC_OPTION_RECEIVE_BUFFER
        assert lib.vnic_stack_set_option(world.stack, socket, option, 4 * before) == 0
        assert info(world, socket).rcv_wnd > before
        assert lib.vnic_stack_set_option(world.stack, socket, option, 2048) == 0
        assert info(world, socket).rcv_wnd >= before - 2048  # the right edge stays


class TestTrouble:
    def unreachable(self, segment: bytes, code: int) -> bytes:
        """An ICMP destination unreachable that quotes our datagram."""
        body = bytes(4) + segment[:28]
        return packet.ipv4(PEER, US, packet.ICMP, packet.icmp(3, code, body))

    @pytest.mark.requirement("SOCK-20")
    def test_unreachable_is_soft_once_established(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        assert send(world, socket, b"data") == 4
        quoted = peer.one().seen.raw[14:]
        world.hear(self.unreachable(quoted, 1))
        assert events(world) == {socket: lib.VNIC_EVENT_SOFT_ERROR}
        assert info(world, socket).state == 3

    @pytest.mark.requirement("SOCK-20")
    def test_port_unreachable_refuses_a_connect(self, peer: Peer) -> None:
        world = peer.world
        socket = try_connect(world, PEER, peer.port)
        quoted = peer.one().seen.raw[14:]
        world.hear(self.unreachable(quoted, 3))
        found = outcomes(world)
        assert found[socket][0] & CLOSED
        assert found[socket][1] == lib.VNIC_STACK_ECONNREFUSED

    @pytest.mark.requirement("SOCK-21")
    def test_a_connect_waits_for_its_neighbour(self, world: World) -> None:
        socket = try_connect(world, PEER)
        request = world.one()
        assert request.packet.target == packet.packed(PEER)
        world.answer_arp()
        syn = segment_of(world.one())
        assert syn.flags == SYN
        assert events(world) == {}
        assert info(world, socket).state == 1

    @pytest.mark.requirement("SOCK-21", "SOCK-6")
    def test_a_neighbour_that_never_answers(self, world: World) -> None:
        sockets = [try_connect(world, PEER) for _ in range(3)]
        told: dict[int, tuple[int, int]] = {}
        for _ in range(8):
            world.transmit()
            world.advance(1)
            told |= outcomes(world)
        assert {told[socket] for socket in sockets} == {(CLOSED, lib.VNIC_STACK_EHOSTUNREACH)}
        for socket in sockets:
            assert lib.vnic_stack_close(world.stack, socket) == 0
        assert statistics(world).connections == 0

    @pytest.mark.requirement("SOCK-21")
    def test_abort_while_waiting_for_the_neighbour(self, world: World) -> None:
        sockets = [try_connect(world, PEER) for _ in range(3)]
        world.transmit()
        assert lib.vnic_tcp_abort(world.stack, sockets[1]) == 0
        world.answer_arp()
        assert len(world.transmit()) == 2
        assert lib.vnic_tcp_abort(world.stack, sockets[0]) == 0
        assert lib.vnic_tcp_abort(world.stack, sockets[2]) == 0
        assert statistics(world).connections == 0

    @pytest.mark.requirement("SOCK-21")
    def test_the_link_goes_down_and_up(self, world: World) -> None:
        world.know(PEER)
        peer = Peer(world)
        socket = connect(world, peer)
        world.set_link(False)
        assert send(world, socket, b"patience") == 8
        peer.silent()
        world.advance(3)
        world.set_link(True)
        world.advance(10)
        assert any(segment.data == b"patience" for segment in peer.heard())
        assert not events(world).get(socket, 0) & CLOSED

    @pytest.mark.requirement("SOCK-21")
    def test_the_route_is_taken_away(self, world: World) -> None:
        far = "192.0.2.9"
        assert world.add_route("192.0.2.0/24", OTHER) == 0
        assert world.know(OTHER) == 0
        peer = Peer(world, them=far)
        socket = connect(world, peer)
        late = try_connect(world, far, 81)
        assert world.remove_route("192.0.2.0/24") == 0
        peer.silent()
        assert outcomes(world) == {late: (CLOSED, lib.VNIC_STACK_EHOSTUNREACH)}
        assert send(world, socket, b"anybody?") == 8
        peer.silent()
        assert events(world) == {socket: lib.VNIC_EVENT_SOFT_ERROR}
        world.advance(2)
        peer.silent()
        assert world.add_route("192.0.2.0/24", OTHER) == 0
        world.advance(20)
        assert {segment.data for segment in peer.heard()} == {b"anybody?"}

    @pytest.mark.requirement("SOCK-21", "SOCK-6", "RTO-07")
    def test_the_route_never_comes_back(self, world: World) -> None:
        far = "192.0.2.9"
        assert world.add_route("192.0.2.0/24", OTHER) == 0
        assert world.know(OTHER) == 0
        peer = Peer(world, them=far)
        socket = connect(world, peer)
        assert world.remove_route("192.0.2.0/24") == 0
        assert send(world, socket, b"anybody?") == 8
        seen: dict[int, tuple[int, int]] = {}
        for _ in range(60):
            peer.silent()
            seen |= outcomes(world)
            world.advance(20)
        assert seen[socket][0] & CLOSED
        assert seen[socket][1] == lib.VNIC_STACK_ETIMEDOUT

    @pytest.mark.requirement("SOCK-21")
    def test_the_neighbour_of_an_established_connection_is_silent(self, world: World) -> None:
        peer = Peer(world)
        socket = try_connect(world, PEER, peer.port)
        world.transmit()
        world.answer_arp()
        peer.our_port = peer.take().source_port
        peer.send(SYN | ACK, options=mss(1460))
        peer.take()
        events(world)
        world.advance(3600)
        told = 0
        assert send(world, socket, b"still there?") == 12
        for _ in range(30):
            world.transmit()
            world.advance(1)
            told |= events(world).get(socket, 0)
        assert told == lib.VNIC_EVENT_SOFT_ERROR
        assert info(world, socket).state == 3
        world.answer_arp()
        world.advance(60)
        assert any(frame.ip is not None and frame.ip.proto == packet.TCP for frame in world.transmit())

    @pytest.mark.requirement("SOCK-2")
    def test_ports_run_out(self, make_world: Callable[..., World]) -> None:
        world = make_world(connections=16500)
        to = endpoint(PEER, 80)
        for _ in range(16384):
            assert lib.vnic_tcp_connect(world.stack, ffi.NULL, to) > 0
        assert lib.vnic_tcp_connect(world.stack, ffi.NULL, to) == lib.VNIC_STACK_EADDRNOTAVAIL
        assert lib.vnic_tcp_connect(world.stack, ffi.NULL, endpoint(PEER, 81)) > 0

    @pytest.mark.requirement("SOCK-16")
    def test_completions_that_waited_when_the_socket_closed(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        data = ffi.new("uint8_t[100]")
        assert refer(world, socket, [data], 5) == 100
        peer.take()
        peer.send(ACK)
        assert lib.vnic_stack_close(world.stack, socket) == 0
        peer.take()
        peer.send(FIN | ACK)
        peer.heard()
        world.advance(100)
        assert events(world)[socket] & lib.VNIC_EVENT_SENT
        assert statistics(world).connections == 1  # kept for what is to be fetched
        assert completions(world, socket) == [(5, 100, 0, True)]
        assert statistics(world).connections == 0

    @pytest.mark.requirement("SOCK-18")
    def test_options_of_udp_sockets(self, near: World) -> None:
        udp = lib.vnic_udp_bind(near.stack, endpoint(US, 53))
        assert lib.vnic_stack_set_option(near.stack, udp, lib.VNIC_OPTION_TTL, 7) == 0
        assert lib.vnic_stack_set_option(near.stack, udp, lib.VNIC_OPTION_NODELAY, 1) == EINVAL
        assert lib.vnic_stack_set_option(near.stack, udp, lib.VNIC_OPTION_TTL, 0) == EINVAL


class TestFrames:
    @pytest.mark.requirement("SOCK-22")
    def test_sockets_take_turns(self, near: World) -> None:
        peers = [Peer(near, port=42000 + i) for i in range(3)]
        sockets = [connect(near, each) for each in peers]
        for socket in sockets:
            assert send(near, socket, b"x" * 500_000) == 500_000
        for _ in range(6):  # until the congestion windows are wider than a train
            for segment in map(segment_of, near.transmit()):
                peers[segment.port - 42000].send(ACK, ack=segment.seq + len(segment.data))
        order = [segment_of(frame).port - 42000 for frame in near.transmit()]
        turns = [(who, len(list(run))) for who, run in groupby(order)]
        assert [length for _, length in turns[:3]] == [32] * 3
        assert [who for who, _ in turns[:3]] == [who for who, _ in turns[3:6]]
        assert all(length <= 32 for _, length in turns)

    @pytest.mark.requirement("SOCK-23")
    def test_a_checksum_left_to_the_link(self, make_world: Callable[..., World]) -> None:
        world = make_world(offload=lib.VNIC_STACK_TX_CHECKSUM)
        resolve(world)
        for us, peer in ((US, Peer(world)), (US6, peer6(world))):
            assert try_connect(world, peer.them, peer.port) > 0
            frame = world.one()
            segment = frame.datagram.payload
            assert frame.checksum_start == len(frame.raw) - len(segment)
            assert frame.checksum_offset == 16
            pseudo = checksum.pseudo(packet.packed(us), packet.packed(peer.them), 6, len(segment))
            assert int.from_bytes(segment[16:18]) == checksum.total(pseudo)

    @pytest.mark.requirement("SOCK-23")
    @pytest.mark.parametrize("them", [PEER, PEER6])
    def test_large_sends(self, make_world: Callable[..., World], them: str) -> None:
        world = make_world(send_buffer=1 << 20)
        resolve(world)
        both = lib.VNIC_STACK_TX_CHECKSUM | lib.VNIC_STACK_TSO
        assert lib.vnic_stack_set_offload(world.stack, 0, lib.VNIC_STACK_TSO, 60000) == EINVAL
        assert lib.vnic_stack_set_offload(world.stack, 0, both, 65536) == EINVAL
        assert lib.vnic_stack_set_offload(world.stack, 1, 0, 0) == EINVAL
        assert lib.vnic_stack_set_offload(world.stack, 0, both, 65535) == 0
        peer = Peer(world) if them == PEER else peer6(world)
        socket = connect(world, peer, options=mss(1000) + scale(7))
        data = bytes(i * 13 & 255 for i in range(300_000))
        assert send(world, socket, data) == len(data)
        out, frame = ffi.new("uint8_t[65536]"), ffi.new("struct vnic_stack_frame *")
        got, largest, expected = bytearray(), 0, peer.ack
        for _ in range(300):
            length = lib.vnic_stack_transmit(world.stack, 0, out, 3000 if len(got) < 5000 else 65536, frame)
            if length == 0:
                peer.send(ACK, ack=peer.ack, window=65535)
                length = lib.vnic_stack_transmit(world.stack, 0, out, 65536, frame)
            if length == 0:
                break
            raw = bytes(ffi.buffer(out, length))
            assert length <= (3000 if len(got) < 5000 else 65536)
            segment = raw[frame.checksum_start :]
            payload = segment[(segment[12] >> 4) * 4 :]
            assert int.from_bytes(segment[4:8]) == (peer.ack & 0xFFFFFFFF)
            assert frame.header_len == length - len(payload)
            large = len(payload) > 1000
            assert frame.mss == (1000 if large else 0)
            assert len(payload) % 1000 == 0 or len(got) + len(payload) == len(data)
            pseudo = checksum.pseudo(
                packet.packed(peer.us), packet.packed(them), 6, 0 if large else len(segment)
            )
            assert int.from_bytes(segment[16:18]) == checksum.total(pseudo)
            got += payload
            peer.ack += len(payload)
            largest = max(largest, len(payload))
        assert bytes(got) == data
        assert (peer.ack - expected) == len(data)
        assert largest > 20000

    @pytest.mark.requirement("SOCK-23")
    def test_capacity_below_the_mtu(self, near: World) -> None:
        out, frame = ffi.new("uint8_t[2000]"), ffi.new("struct vnic_stack_frame *")
        assert lib.vnic_stack_transmit(near.stack, 0, out, 1517, frame) == EINVAL
        assert lib.vnic_stack_transmit(near.stack, 0, out, 1518, frame) == 0
        assert lib.vnic_stack_transmit(near.stack, 0, ffi.NULL, 1518, frame) == EINVAL
        assert lib.vnic_stack_transmit(near.stack, 0, out, 1518, ffi.NULL) == EINVAL
        assert lib.vnic_stack_transmit(near.stack, 8, out, 1518, frame) == EINVAL

    @pytest.mark.requirement("SOCK-24")
    @pytest.mark.parametrize("ours", [US, US6])
    def test_to_ourselves(self, world: World, ours: str) -> None:
        listener = listen(world, "::" if ":" in ours else "0.0.0.0")
        socket = try_connect(world, ours)
        assert socket > 0
        for _ in range(3):
            assert world.transmit() == []
        server = int(lib.vnic_tcp_accept(world.stack, listener))
        assert server > 0
        data, got = bytes(range(256)) * 400, b""
        sent = 0
        for _ in range(300):
            sent += max(send(world, socket, data[sent:]), 0) if sent < len(data) else 0
            assert world.transmit() == []  # nothing leaves
            piece = receive(world, server)
            got += piece if isinstance(piece, bytes) else b""
            world.advance(0.01)
        assert got == data

    @pytest.mark.requirement("SOCK-24")
    def test_to_itself(self, world: World) -> None:
        socket = try_connect(world, US, 7000, US, 7000)
        assert socket > 0
        for _ in range(4):
            assert world.transmit() == []
            world.advance(0.01)
        assert info(world, socket).state == 3
        assert send(world, socket, b"echo") == 4
        world.transmit()
        assert receive(world, socket) == b"echo"
        assert lib.vnic_stack_close(world.stack, socket) == 0
        world.transmit()
        world.advance(100)
        world.transmit()
        assert statistics(world).connections == 0

    @pytest.mark.requirement("SOCK-24")
    def test_simultaneous_open(self, peer: Peer) -> None:
        world = peer.world
        socket = try_connect(world, PEER, peer.port, US, 7001)
        syn = peer.take()
        peer.our_port = 7001
        peer.send(SYN, options=mss(1460))
        answer = peer.one()
        assert answer.flags == SYN | ACK
        assert answer.seq == syn.seq
        peer.send(SYN | ACK, seq=1_000_000, options=mss(1460))
        assert events(world) == {socket: lib.VNIC_EVENT_CONNECTED}

    @pytest.mark.requirement("SOCK-26", "ACK-04")
    def test_one_ack_answers_a_burst(self, make_world: Callable[..., World]) -> None:
        got = {}
        for is_burst in (True, False):
            world = make_world()
            resolve(world)
            peer = Peer(world, port=43000)
            socket = connect(world, peer, local_port=7002)
            frames = []
            for i in range(10):
                frames.append(peer.frame(ACK, bytes([i]) * 1000))
                peer.seq += 1000
            if is_burst:
                kept = [ffi.from_buffer("uint8_t[]", frame) for frame in frames]
                burst = ffi.new(
                    "struct vnic_stack_packet[]",
                    [{"data": data, "len": len(data), "flags": 0} for data in kept],
                )
                assert lib.vnic_stack_receive_burst(world.stack, 0, burst, len(kept)) == 0
                assert peer.one().ack == peer.seq
            else:
                for frame in frames:
                    world.receive(frame)
            got[is_burst] = receive(world, socket)
        assert got[True] == got[False] == b"".join(bytes([i]) * 1000 for i in range(10))

    @pytest.mark.requirement("SOCK-26")
    def test_bad_bursts(self, near: World) -> None:
        burst = ffi.new("struct vnic_stack_packet[2]")
        assert lib.vnic_stack_receive_burst(near.stack, 0, burst, 2) == EINVAL
        assert lib.vnic_stack_receive_burst(near.stack, 0, ffi.NULL, 1) == EINVAL
        assert lib.vnic_stack_receive_burst(near.stack, 0, ffi.NULL, 0) == 0
        assert lib.vnic_stack_receive(near.stack, 1, b"x", 1, 0) == EINVAL
        assert lib.vnic_stack_receive(near.stack, 0, ffi.NULL, 1, 0) == EINVAL

    @pytest.mark.requirement("SOCK-25")
    def test_info_and_counters(self, peer: Peer) -> None:
        world = peer.world
        socket = connect(world, peer)
        be_prompt(world, socket)
        assert send(world, socket, b"x" * 3000) == 3000
        first = peer.heard()
        assert info(world, socket).flight == 3000
        peer.send(ACK, ack=first[0].seq + 1460)
        world.advance(3)
        peer.heard()
        found = info(world, socket)
        assert (found.sent_bytes, found.send_queued, found.flight) == (1460, 1540, 1540)
        assert found.retransmits >= 1
        assert found.retransmitted_bytes >= 1460
        peer.send(ACK, b"y" * 10, ack=first[0].seq + 3000)
        assert info(world, socket).receive_queued == 10
        assert receive(world, socket, 4) == b"yyyy"
        found = info(world, socket)
        assert (found.received_bytes, found.receive_queued, found.sent_bytes) == (4, 6, 3000)
        assert found.local.address.is_ipv6 == 0
        assert bytes(found.remote.address.bytes)[:4] == packet.packed(PEER)
        counted = statistics(world)
        assert counted.tcp_retransmits == found.retransmits
        assert (counted.connections, counted.connections_peak) == (1, 1)
        assert counted.frames_in == 3
        assert counted.frames_out == len(peer.sent)
        assert lib.vnic_tcp_get_info(world.stack, socket, ffi.NULL) == EINVAL

    @pytest.mark.requirement("SOCK-25", "CLS-01")
    def test_counted_bytes_do_not_include_syn_and_fin(self, peer: Peer) -> None:
        world = peer.world
        listener = listen(world)
        socket = establish(world, peer, listener)
        assert info(world, socket).sent_bytes == 0
        assert send(world, socket, b"x" * 5) == 5
        assert lib.vnic_tcp_shutdown(world.stack, socket) == 0
        peer.take()
        peer.send(FIN | ACK, b"four")
        assert info(world, socket).sent_bytes == 5
        assert receive(world, socket) == b"four"
        assert info(world, socket).received_bytes == 4

    @pytest.mark.requirement("SOCK-25")
    def test_time_runs_forward_only(self, near: World) -> None:
        near.advance(1)
        assert lib.vnic_stack_time(near.stack, near.now - 1) == lib.VNIC_ETIME
        assert lib.vnic_stack_time(near.stack, near.now) == 0

    @pytest.mark.requirement("SOCK-25")
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("connections", 0),
            ("connections", 4_000_001),
            ("interfaces", 0),
            ("interfaces", 9),
            ("neighbours", 0),
            ("buffer_bytes", 1000),
            ("send_buffer", 100),
            ("receive_buffer", 2**30 + 1),
            ("syn_cookies", 3),
            ("congestion", 2),
            ("ecn", 3),
            ("rto_min_us", 0),
            ("delack_us", 500_000),
            ("msl_ms", 0),
            ("address_probes", 17),
            ("router_solicitations", 4),
        ],
    )
    def test_configurations_that_are_refused(self, field: str, value: int) -> None:
        config = ffi.new("struct vnic_stack_config *")
        lib.vnic_stack_defaults(config)
        setattr(config, field, value)
        assert lib.vnic_stack_create(config) == ffi.NULL
        assert lib.vnic_stack_create(ffi.NULL) == ffi.NULL
        lib.vnic_stack_destroy(ffi.NULL)

    @pytest.mark.requirement("SOCK-25")
    def test_results_in_words(self) -> None:
        names = [name for name in dir(lib) if name.startswith("VNIC_STACK_E")]
        texts = {ffi.string(lib.vnic_stack_strerror(getattr(lib, name))) for name in names}
        assert len(texts) == len(names) == 13
        assert ffi.string(lib.vnic_stack_strerror(lib.VNIC_EINVAL)) == b"an argument is out of range"
        assert ffi.string(lib.vnic_stack_strerror(5)) == b"success"
        assert ffi.string(lib.vnic_stack_strerror(-1000)) == b"unknown result"


@pytest.mark.requirement("LOOK-1")
def test_link_local_addresses_belong_to_their_interface(make_world: Callable[..., World]) -> None:
    world = make_world(interfaces=2)
    assert world.add_interface(mac=packet.mac("02:00:00:00:01:02")) == 1
    world.set_link(True, 1)
    theirs = "fe80::99"
    ours = "fe80::ff:fe00:101"
    assert lib.vnic_stack_add_neighbour(world.stack, 0, address(theirs), packet.mac("02:00:00:00:09:09")) == 0
    peer = Peer(world, us=ours, them=theirs, mac=packet.mac("02:00:00:00:09:09"))
    socket = try_connect(world, theirs, peer.port, ours, 7003)
    assert socket > 0
    peer.our_port = 7003
    peer.take()
    answer = peer.frame(SYN | ACK, options=mss(1440))
    world.receive(packet.mac("02:00:00:00:01:02") + answer[6:], interface=1)
    assert events(world) == {}
    assert world.transmit(1) == []
    world.receive(answer)
    assert events(world) == {socket: lib.VNIC_EVENT_CONNECTED}


@pytest.mark.requirement("SOCK-4", "TS-01")
def test_timestamps_are_offered_and_echoed(world: World) -> None:
    resolve(world)
    peer = Peer(world)
    socket = try_connect(world, PEER, peer.port)
    syn = peer.take()
    peer.our_port = syn.source_port
    peer.send(SYN | ACK, options=mss(1460) + timestamp(77, syn.timestamp[0]))
    assert peer.one().timestamp[1] == 77
    assert info(world, socket).state == 3
