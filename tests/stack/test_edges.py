"""The stack's calls at their edges: addresses of one link, what runs out, and arguments that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.peer import RST, Peer, establish, listen, resolve, segment_of
from tests.stack.world import (
    OTHER,
    OTHER_MAC,
    PEER,
    PEER_LINK_LOCAL,
    US,
    World,
    address,
    endpoint,
)
from vnic._core import ffi, lib

SECOND_MAC = bytes.fromhex("020000000155")
EINVAL, EBADF, ENOBUFS = lib.VNIC_EINVAL, lib.VNIC_STACK_EBADF, lib.VNIC_STACK_ENOBUFS
NO_ADDRESS = lib.VNIC_STACK_EADDRNOTAVAIL


def test_who_gives_up_waiting_for_a_neighbour_leaves_the_others_waiting(world: World) -> None:
    """Three connections wait for one neighbour, the second is given up; its place serves another."""

    def connect(to: str, port: int) -> int:
        return int(lib.vnic_tcp_connect(world.stack, ffi.NULL, endpoint(to, port)))

    sockets = [connect(PEER, port) for port in (80, 81, 82)]
    assert lib.vnic_tcp_abort(world.stack, sockets[1]) == 0
    assert connect(OTHER, 90) > 0
    world.transmit()
    world.answer_arp(PEER)
    assert sorted(segment_of(seen).port for seen in world.transmit()) == [80, 82]
    world.answer_arp(OTHER, mac=OTHER_MAC)
    assert [segment_of(seen).port for seen in world.transmit()] == [90]
    assert lib.vnic_tcp_abort(world.stack, sockets[1]) == EBADF


def test_what_is_no_listener(world: World) -> None:
    listener, socket = listen(world), world.bind(port=9)
    resolve(world)
    connection = establish(world, Peer(world), listener)
    accept = lib.vnic_tcp_accept
    assert accept(world.stack, connection) == EINVAL
    assert accept(world.stack, 0) == EBADF
    assert accept(world.stack, -5) == EBADF
    assert accept(world.stack, socket) < 0
    assert accept(world.stack, 1 << 40) == EBADF


@pytest.mark.parametrize("family", [2, 255])
def test_families_that_there_are_not(world: World, family: int) -> None:
    odd = endpoint(US, 80)
    odd.address.is_ipv6 = family
    assert lib.vnic_tcp_listen(world.stack, odd, 4) == EINVAL
    assert lib.vnic_tcp_connect(world.stack, ffi.NULL, odd) == EINVAL
    assert lib.vnic_udp_bind(world.stack, odd) < 0


def test_connecting_needs_somebody(world: World) -> None:
    for remote in (ffi.NULL, endpoint(PEER, 0), endpoint("0.0.0.0", 80), endpoint("::", 80)):
        assert lib.vnic_tcp_connect(world.stack, ffi.NULL, remote) < 0
    assert lib.vnic_tcp_connect(world.stack, endpoint(PEER, 0), endpoint(PEER, 80)) == NO_ADDRESS
    assert lib.vnic_tcp_connect(world.stack, endpoint(US, 0), endpoint(PEER, 80)) > 0


def test_datagram_sockets_run_out_and_come_back(make_world: Callable[..., World]) -> None:
    world = make_world(udp_sockets=2)
    sockets = [world.bind(port=port) for port in (5, 6, 7)]
    assert sockets[2] == ENOBUFS
    assert world.close(sockets[0]) == 0
    assert world.bind(port=7) > 0
    assert world.close(sockets[0]) == EBADF


@pytest.mark.parametrize(("option", "value"), [("TTL", 0), ("TTL", 256), ("TOS", 256), ("TTL", 2**32 - 1)])
def test_options_of_a_datagram_socket_out_of_bounds(world: World, option: str, value: int) -> None:
    socket = world.bind(port=9)
    code = getattr(lib, f"VNIC_OPTION_{option}")
    assert lib.vnic_stack_set_option(world.stack, socket, code, value) == EINVAL
    assert lib.vnic_stack_set_option(world.stack, socket, code, 252) == 0
    assert lib.vnic_stack_set_option(world.stack, 77 << 8, code, 4) == EBADF
    assert lib.vnic_stack_set_option(world.stack, socket, lib.VNIC_OPTION_NODELAY, 1) < 0


def test_pieces_that_cannot_be_sent(world: World) -> None:
    listener = listen(world)
    resolve(world)
    socket = establish(world, Peer(world), listener)
    data = ffi.new("uint8_t[]", 8)
    half = (1 << 63) - 1

    def send(*pieces: tuple[Any, int]) -> int:
        made = ffi.new("struct vnic_bytes[]", [{"data": at, "len": size} for at, size in pieces])
        return int(lib.vnic_tcp_send(world.stack, socket, made, len(pieces), 0, 0))

    assert send((ffi.NULL, 1)) == EINVAL
    assert send((data, half), (data, 1)) == EINVAL
    assert send((data, 0), (ffi.NULL, 0)) == 0
    assert send((data, 4), (ffi.NULL, 0), (data, 3)) == 7
    receive = lib.vnic_tcp_receive
    assert receive(world.stack, socket, ffi.NULL, 4) == EINVAL
    assert lib.vnic_tcp_peek(world.stack, socket, ffi.NULL, 4) == EINVAL
    assert lib.vnic_tcp_consume(world.stack, socket, 1) == EINVAL


def test_after_the_end_nothing_is_sent(world: World) -> None:
    listener = listen(world)
    resolve(world)
    peer = Peer(world)
    socket = establish(world, peer, listener)
    peer.send(RST)
    data = ffi.new("struct vnic_bytes *", {"data": ffi.new("uint8_t[]", 8), "len": 8})
    assert lib.vnic_tcp_send(world.stack, socket, data, 1, 0, 0) == lib.VNIC_STACK_ECONNRESET
    assert world.close(socket) == 0
    assert lib.vnic_tcp_send(world.stack, socket, data, 1, 0, 0) == EBADF


def test_calls_about_interfaces_that_there_are_not(world: World) -> None:
    stack, far = world.stack, 7
    assert lib.vnic_stack_set_link(stack, far, 1) < 0
    assert lib.vnic_stack_receive(stack, far, b"x", 1, 0) < 0
    assert lib.vnic_stack_add_address(stack, far, address(US), 24) < 0
    assert lib.vnic_stack_add_address(stack, 0, address(US), 33) < 0
    assert lib.vnic_stack_add_route(stack, address("10.0.0.0"), 33, address(PEER), 0, 0) < 0
    assert lib.vnic_stack_add_route(stack, address("10.0.0.0"), 24, address(PEER), far, 0) < 0
    assert lib.vnic_stack_add_route(stack, address("2001:db8::"), 129, address(PEER_LINK_LOCAL), 0, 0) < 0
    assert lib.vnic_stack_remove_route(stack, address("10.9.0.0"), 24, 0) < 0
    assert lib.vnic_stack_neighbour(stack, 0, ffi.NULL) < 0
    assert lib.vnic_stack_address(stack, 0, ffi.NULL) < 0
    assert lib.vnic_stack_events(stack, ffi.NULL, 4) <= 0
