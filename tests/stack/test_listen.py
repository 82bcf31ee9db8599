"""Listeners: what a SYN, an ACK and anything else brings about, TIME_WAIT, and answers for nobody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.stack.peer import (
    ACK,
    FIN,
    RST,
    SYN,
    Peer,
    Segment,
    establish,
    events,
    info,
    listen,
    mss,
    outcomes,
    peer6,
    receive,
    resolve,
    segment_of,
    send,
    statistics,
    timestamp,
)
from tests.stack.world import OTHER, PEER, US, US6, World, endpoint, group_mac
from vnic._core import ffi, lib
from vnic.wire import packet

EAGAIN = lib.VNIC_STACK_EAGAIN
ACCEPT = lib.VNIC_EVENT_ACCEPT


@pytest.fixture
def near(make_world: Callable[..., World]) -> World:
    """A stack without cookies that knows its peers' Ethernet addresses."""
    world = make_world(syn_cookies=0)
    resolve(world)
    assert world.know(OTHER) == 0
    return world


def accept(world: World, listener: int) -> int:
    """A socket, or a result below 0."""
    return int(lib.vnic_tcp_accept(world.stack, listener))


def syn_from(world: World, port: int) -> Peer:
    """A peer that has sent a SYN; its answer was not fetched."""
    peer = Peer(world, port=port)
    peer.send(SYN, options=mss(1460))
    return peer


class TestListen:
    @pytest.mark.requirement("LSN-1")
    def test_where_one_may_listen(self, near: World) -> None:
        assert listen(near, US) > 0
        assert listen(near, US) == lib.VNIC_STACK_EADDRINUSE
        assert listen(near) > 0
        assert listen(near) == lib.VNIC_STACK_EADDRINUSE
        assert listen(near, "::") > 0
        assert listen(near, US6) > 0
        assert listen(near, US6, 81) > 0
        assert listen(near, PEER) == lib.VNIC_STACK_EADDRNOTAVAIL
        assert lib.vnic_tcp_listen(near.stack, endpoint(US, 82), 0) == lib.VNIC_EINVAL
        assert lib.vnic_tcp_listen(near.stack, ffi.NULL, 1) == lib.VNIC_EINVAL

    @pytest.mark.requirement("LSN-1")
    def test_a_closed_listener_leaves_the_port(self, near: World) -> None:
        first = listen(near, US)
        assert lib.vnic_stack_close(near.stack, first) == 0
        assert lib.vnic_stack_close(near.stack, first) == lib.VNIC_STACK_EBADF
        assert listen(near, US) > 0

    @pytest.mark.requirement("LSN-1")
    def test_port_0_is_one_that_is_free(self, near: World) -> None:
        listeners = [listen(near, "0.0.0.0", 0) for _ in range(5)]
        ports = {info(near, listener).local.port for listener in listeners}
        assert len(ports) == 5
        assert all(port >= 49152 for port in ports)

    @pytest.mark.requirement("LSN-1")
    def test_listeners_run_out(self, make_world: Callable[..., World]) -> None:
        world = make_world(listeners=2)
        first = [listen(world, port=port) for port in (1, 2, 3)]
        assert first[2] == lib.VNIC_STACK_ENOBUFS
        assert lib.vnic_stack_close(world.stack, first[0]) == 0
        assert listen(world, port=3) > 0

    @pytest.mark.requirement("LSN-2")
    @pytest.mark.parametrize("is_first", [True, False])
    def test_the_very_address_wins(self, near: World, is_first: bool) -> None:
        order = (US, "0.0.0.0") if is_first else ("0.0.0.0", US)
        listeners = {address: listen(near, address) for address in order}
        assert near.add_address("10.0.0.77", 24) == 0
        establish(near, Peer(near), listeners[US])
        establish(near, Peer(near, us="10.0.0.77"), listeners["0.0.0.0"])

    @pytest.mark.requirement("LSN-1")
    def test_families_are_apart(self, near: World) -> None:
        four, six = listen(near), listen(near, "::")
        socket = establish(near, peer6(near), six)
        assert info(near, socket).local.address.is_ipv6 == 1
        establish(near, Peer(near), four)

    @pytest.mark.requirement("LSN-1")
    def test_only_its_own_family(self, near: World) -> None:
        listen(near, "::")
        peer = syn_from(near, 5000)
        assert peer.one().flags & RST


class TestBacklog:
    @pytest.mark.requirement("LSN-3")
    def test_handshakes_count(self, near: World) -> None:
        listener = listen(near, backlog=3)
        peers = [syn_from(near, 5000 + i) for i in range(5)]
        answers = [segment_of(frame).port for frame in near.transmit()]
        assert answers == [5000, 5001, 5002]
        counted = statistics(near)
        assert (counted.syn_dropped, counted.backlog_full, counted.connections) == (2, 2, 3)
        peers[0].send(RST)
        peers[3].send(SYN, seq=1_000_000, options=mss(1460))
        assert segment_of(near.one()).port == 5003
        assert accept(near, listener) == EAGAIN

    @pytest.mark.requirement("LSN-3")
    def test_connections_to_be_accepted_count(self, near: World) -> None:
        listener = listen(near, backlog=2)
        for port in (5000, 5001):
            peer = syn_from(near, port)
            peer.take()
            peer.send(ACK)
        assert events(near) == {listener: ACCEPT}
        assert info(near, listener).backlog_waiting == 2
        assert info(near, listener).state == 255
        late = syn_from(near, 5002)
        late.silent()
        first = accept(near, listener)
        late.send(SYN, seq=1_000_000, options=mss(1460))
        assert late.one().flags == SYN | ACK
        assert info(near, first).remote.port == 5000
        assert info(near, accept(near, listener)).remote.port == 5001
        assert accept(near, listener) == EAGAIN

    @pytest.mark.requirement("LSN-3")
    def test_a_handshake_that_is_never_finished_ends(self, near: World) -> None:
        listener = listen(near, backlog=1)
        syn_from(near, 5000)
        for _ in range(20):
            near.transmit()
            near.advance(20)
        assert statistics(near).connections == 0
        establish(near, Peer(near, port=5001), listener)

    @pytest.mark.requirement("LSN-9")
    def test_a_flood_takes_no_more_than_the_backlog(self, near: World) -> None:
        listener = listen(near, backlog=4)
        peers = [syn_from(near, 1024 + i) for i in range(200)]
        near.transmit()
        assert statistics(near).connections == 4
        for peer in peers[:4]:
            peer.send(RST)
        establish(near, Peer(near, port=9), listener)

    @pytest.mark.requirement("LSN-9")
    def test_all_connections_in_use(self, make_world: Callable[..., World]) -> None:
        world = make_world(connections=2, syn_cookies=0)
        resolve(world)
        listener = listen(world)
        sockets = [establish(world, Peer(world, port=port), listener) for port in (5000, 5001)]
        late = syn_from(world, 5002)
        late.silent()
        assert statistics(world).syn_dropped == 1
        assert lib.vnic_tcp_abort(world.stack, sockets[0]) == 0
        world.transmit()
        late.send(SYN, seq=1_000_000, options=mss(1460))
        assert late.one().flags == SYN | ACK


class TestSegments:
    @pytest.mark.requirement("LSN-4")
    def test_only_syn_opens(self, near: World) -> None:
        listener = listen(near)
        for flags in (0, FIN, packet.PSH, packet.URG | FIN):
            Peer(near).send(flags)
        Peer(near).send(RST)
        Peer(near).send(RST | SYN)
        assert near.transmit() == []
        for flags in (ACK, SYN | ACK, FIN | ACK):
            peer = Peer(near, ack=777)
            peer.send(flags)
            answer = peer.one()
            assert (answer.flags, answer.seq) == (RST, 777)
        assert statistics(near).connections == 0
        assert accept(near, listener) == EAGAIN

    @pytest.mark.requirement("LSN-4", "LSN-6")
    def test_nothing_is_said_to_a_group(self, near: World) -> None:
        listen(near)
        listen(near, "::")
        everyone = packet.mac("ff:ff:ff:ff:ff:ff")
        for flags in (SYN, ACK, SYN | ACK):
            for port in (80, 81):
                Peer(near, our_port=port).send(flags, destination=everyone)
                group = Peer(near, us="224.0.0.1", our_port=port)
                group.send(flags, destination=packet.mac("01:00:5e:00:00:01"))
                six = peer6(near, our_port=port)
                six.us = "ff02::1"
                six.send(flags, destination=group_mac("ff02::1"))
        assert near.transmit() == []
        assert statistics(near).connections == 0

    @pytest.mark.requirement("LSN-6")
    @pytest.mark.parametrize("make", [Peer, peer6])
    def test_rst_for_nobody(self, near: World, make: Callable[..., Peer]) -> None:
        def answer(flags: int, data: bytes = b"") -> Segment:
            peer = make(near, our_port=9999, seq=5000, ack=600)
            peer.send(flags, data)
            return peer.one()

        first = answer(SYN)
        assert (first.flags, first.seq, first.ack) == (RST | ACK, 0, 5001)
        second = answer(ACK, b"data")
        assert (second.flags, second.seq) == (RST, 600)
        third = answer(FIN, b"abc")
        assert (third.flags, third.seq, third.ack) == (RST | ACK, 0, 5004)
        assert (third.source_port, third.port) == (9999, 40000)
        before = statistics(near).no_port
        make(near, our_port=9999).send(RST | ACK)
        assert near.transmit() == []
        assert statistics(near).no_port == before + 1

    @pytest.mark.requirement("LOOK-3", "SEG-01")
    @pytest.mark.parametrize("make", [Peer, peer6])
    def test_a_wrong_checksum_changes_nothing(self, near: World, make: Callable[..., Peer]) -> None:
        listener = listen(near, "::" if make is peer6 else "0.0.0.0")
        peer = make(near)
        peer.send(SYN, field=0x1234)
        assert near.transmit() == []
        socket = establish(near, make(near), listener)
        peer = make(near, seq=1_000_001, ack=info(near, socket).flight)
        peer.ack = 0
        for flags, data in ((ACK, b"data"), (RST, b""), (FIN | ACK, b""), (ACK, b"")):
            peer.send(flags, data, seq=1_000_001, field=0x1234)
        assert near.transmit() == []
        assert events(near) == {}
        assert statistics(near).bad_l4_checksum == 5
        assert info(near, socket).state == 3

    @pytest.mark.requirement("LOOK-3")
    def test_a_checksum_that_the_link_verified_is_not_looked_at(self, near: World) -> None:
        listener = listen(near)
        peer = Peer(near)
        socket = establish(near, peer, listener)
        frame = peer.frame(ACK, b"trusted", field=0x1234)
        near.receive(frame)
        assert receive(near, socket) == EAGAIN
        near.receive(frame, flags=lib.VNIC_STACK_RX_L4_GOOD | lib.VNIC_STACK_RX_IP_GOOD)
        assert receive(near, socket) == b"trusted"

    @pytest.mark.requirement("SEG-02")
    @pytest.mark.parametrize("offset", [0, 4, 15])
    def test_a_wrong_data_offset(self, near: World, offset: int) -> None:
        listener = listen(near)
        peer = Peer(near)
        socket = establish(near, peer, listener)
        peer.send(ACK, b"x" * 8, data_offset=offset, seq=peer.seq)
        assert near.transmit() == []
        assert receive(near, socket) == EAGAIN
        peer.send(ACK, b"fine")
        assert receive(near, socket) == b"fine"


class TestAccept:
    @pytest.mark.requirement("SOCK-18")
    def test_options_are_inherited(self, near: World) -> None:
        listener = listen(near)
        before = establish(near, Peer(near, port=5000), listener)
        for option, value in (("TTL", 33), ("RECEIVE_BUFFER", 4096), ("SEND_BUFFER", 4096), ("NODELAY", 1)):
            number = getattr(lib, f"VNIC_OPTION_{option}")
            assert lib.vnic_stack_set_option(near.stack, listener, number, value) == 0
        peer = Peer(near, port=5001)
        after = establish(near, peer, listener)
        assert peer.sent[0].window == 4096
        assert peer.sent[0].seen.datagram.ttl == 33
        assert send(near, after, b"x" * 5000) == 4096
        assert send(near, before, b"x" * 5000) == 5000

    @pytest.mark.requirement("LSN-8")
    def test_a_connection_that_ended_meanwhile(self, near: World) -> None:
        listener = listen(near)
        peer = syn_from(near, 5000)
        peer.take()
        peer.send(ACK, b"hello and")
        peer.send(RST)
        assert events(near) == {listener: ACCEPT}
        socket = accept(near, listener)
        assert socket > 0
        told = lib.VNIC_EVENT_READABLE | lib.VNIC_EVENT_CLOSED
        assert outcomes(near) == {socket: (told, lib.VNIC_STACK_ECONNRESET)}
        assert receive(near, socket) == b"hello and"
        assert receive(near, socket) == lib.VNIC_STACK_ECONNRESET
        assert lib.vnic_stack_close(near.stack, socket) == 0
        assert statistics(near).connections == 0

    @pytest.mark.requirement("LSN-8")
    def test_data_and_fin_before_accept(self, near: World) -> None:
        listener = listen(near)
        peer = syn_from(near, 5000)
        peer.take()
        peer.send(FIN | ACK, b"all I have to say")
        assert peer.take().flags == ACK
        socket = accept(near, listener)
        assert events(near)[socket] == lib.VNIC_EVENT_READABLE | lib.VNIC_EVENT_FIN
        assert receive(near, socket) == b"all I have to say"
        assert receive(near, socket) == b""

    @pytest.mark.requirement("LSN-5")
    def test_closing_resets_what_was_not_accepted(self, near: World) -> None:
        listener = listen(near)
        kept = establish(near, Peer(near, port=5000), listener)
        handshake, ready, over = (syn_from(near, 5001), syn_from(near, 5002), syn_from(near, 5003))
        for peer, frame in zip((handshake, ready, over), near.transmit(), strict=True):
            peer.ack = segment_of(frame).seq + 1
        ready.send(ACK)
        over.send(ACK)
        over.send(RST)
        assert lib.vnic_stack_close(near.stack, listener) == 0
        assert {segment_of(frame).port: segment_of(frame).flags & RST for frame in near.transmit()} == {
            5001: RST,
            5002: RST,
        }
        assert statistics(near).connections == 1
        assert info(near, kept).state == 3
        assert events(near) == {}
        late = syn_from(near, 5004)
        assert late.one().flags & RST


class TestTimeWait:
    def closed(self, world: World, listener: int, options: bytes = mss(1460)) -> tuple[Peer, int]:
        """A connection in TIME_WAIT on our side, its peer, and our last number."""
        peer = Peer(world)
        socket = establish(world, peer, listener, options=options)
        peer.options = options[4:]
        assert send(world, socket, b"x" * 100) == 100
        assert lib.vnic_stack_close(world.stack, socket) == 0
        for segment in peer.heard():
            peer.ack = segment.seq + len(segment.data) + bool(segment.flags & FIN)
        peer.send(FIN | ACK)
        peer.heard()
        assert statistics(world).connections == 1
        return peer, peer.ack

    @pytest.mark.requirement("LSN-7")
    def test_a_newer_syn_takes_its_place(self, near: World) -> None:
        listener = listen(near)
        old, last = self.closed(near, listener)
        peer = Peer(near, seq=old.seq + 1000)
        socket = establish(near, peer, listener)
        assert 0 < (peer.sent[0].seq - last) % 2**32 < 2**31
        assert statistics(near).time_wait_reused == 1
        peer.send(ACK, b"new life")
        assert receive(near, socket) == b"new life"
        assert statistics(near).connections == 1

    @pytest.mark.requirement("LSN-7")
    def test_an_older_syn_does_not(self, near: World) -> None:
        listener = listen(near)
        old, last = self.closed(near, listener)
        peer = Peer(near, seq=old.seq - 5000)
        peer.send(SYN, options=mss(1460))
        answer = peer.one()
        assert (answer.flags, answer.seq) == (ACK, last)
        assert statistics(near).time_wait_reused == 0

    @pytest.mark.requirement("LSN-7")
    def test_a_newer_timestamp_does_whatever_the_number(self, near: World) -> None:
        listener = listen(near)
        old, last = self.closed(near, listener, mss(1460) + timestamp(1000))
        peer = Peer(near, seq=old.seq - 5000)
        peer.send(SYN, options=mss(1460) + timestamp(1001))
        answer = peer.one()
        assert answer.flags == SYN | ACK
        assert 0 < (answer.seq - last) % 2**32 < 2**31

    @pytest.mark.requirement("LSN-7")
    def test_not_without_a_listener(self, near: World) -> None:
        listener = listen(near)
        old, last = self.closed(near, listener)
        assert lib.vnic_stack_close(near.stack, listener) == 0
        peer = Peer(near, seq=old.seq + 1000)
        peer.send(SYN, options=mss(1460))
        assert (peer.one().flags, statistics(near).connections) == (ACK, 1)
        assert peer.sent[-1].seq == last
