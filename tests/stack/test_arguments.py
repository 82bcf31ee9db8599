"""Arguments that cannot be: handles of sockets that are gone, and what an interface may be given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.peer import Peer, establish, listen, resolve
from tests.stack.world import OTHER, OUR_MAC, PEER, PEER6, PEER_MAC, US, US6, World, address, endpoint
from vnic._core import ffi, lib

EINVAL, EBADF, OK = lib.VNIC_EINVAL, lib.VNIC_STACK_EBADF, lib.VNIC_OK
Call = Callable[[Any, int], int]

STATE = ffi.new("struct tcp_offload_state *")
ROUTE, POST = ffi.new("struct vnic_offload_route *"), ffi.new("struct vnic_offload_post *")
ROOM, BYTES = ffi.new("uint8_t[64]"), ffi.new("struct vnic_bytes[1]", [{"data": ffi.NULL, "len": 0}])
INFO, DONE = ffi.new("struct vnic_tcp_info *"), ffi.new("struct vnic_completion[1]")

#: Every call that takes the handle of a connection.
OF_CONNECTIONS: dict[str, Call] = {
    "accept": lib.vnic_tcp_accept,
    "send": lambda s, n: lib.vnic_tcp_send(s, n, BYTES, 1, 0, 0),
    "receive": lambda s, n: lib.vnic_tcp_receive(s, n, ROOM, 64),
    "peek": lambda s, n: lib.vnic_tcp_peek(s, n, BYTES, 1),
    "consume": lambda s, n: lib.vnic_tcp_consume(s, n, 0),
    "post": lambda s, n: lib.vnic_tcp_post(s, n, ROOM, 64, 0),
    "shutdown": lib.vnic_tcp_shutdown,
    "abort": lib.vnic_tcp_abort,
    "get_info": lambda s, n: lib.vnic_tcp_get_info(s, n, INFO),
    "close": lib.vnic_stack_close,
    "completions": lambda s, n: lib.vnic_stack_completions(s, n, DONE, 1),
    "set_option": lambda s, n: lib.vnic_stack_set_option(s, n, lib.VNIC_OPTION_TTL, 64),
    "offload_where": lib.vnic_tcp_offload_where,
    "offload_begin": lambda s, n: lib.vnic_tcp_offload_begin(s, n, 1000, STATE),
    "offload_send_pieces": lambda s, n: lib.vnic_tcp_offload_send_pieces(s, n, 0, BYTES, 1),
    "offload_buffered": lambda s, n: lib.vnic_tcp_offload_buffered(s, n, ROOM, 64),
    "offload_end": lambda s, n: lib.vnic_tcp_offload_end(s, n, 1),
    "offload_acked": lambda s, n: lib.vnic_tcp_offload_acked(s, n, 0),
    "offload_queued": lambda s, n: lib.vnic_tcp_offload_queued(s, n, ffi.new("int *")),
    "offload_deliver": lambda s, n: lib.vnic_tcp_offload_deliver(s, n, ROOM, 1, 0),
    "offload_own": lib.vnic_tcp_offload_own,
    "offload_unread": lambda s, n: lib.vnic_tcp_offload_unread(s, n, ffi.new("int64_t *")),
    "offload_post": lambda s, n: lib.vnic_tcp_offload_post(s, n, POST),
    "offload_posted": lambda s, n: lib.vnic_tcp_offload_posted(s, n, 0, 1),
    "offload_fin": lib.vnic_tcp_offload_fin,
    "offload_aborted": lib.vnic_tcp_offload_aborted,
    "offload_shut": lib.vnic_tcp_offload_shut,
    "offload_forward": lambda s, n: lib.vnic_tcp_offload_forward(s, n, ROOM, 64),
    "offload_hold": lambda s, n: lib.vnic_tcp_offload_hold(s, n, ROOM, 20),
    "offload_cached": lambda s, n: lib.vnic_tcp_offload_cached(s, n, 1000, STATE),
    "offload_route": lambda s, n: lib.vnic_tcp_offload_route(s, n, ROUTE),
    "upload_begin": lib.vnic_tcp_upload_begin,
    "upload_end": lambda s, n: lib.vnic_tcp_upload_end(s, n, 1000, STATE, ffi.NULL, 0, 0),
}
OF_DATAGRAMS: dict[str, Call] = {
    "udp_send": lambda s, n: lib.vnic_udp_send(s, n, endpoint(PEER, 9), ROOM, 1),
    "udp_receive": lambda s, n: lib.vnic_udp_receive(s, n, endpoint(PEER), ROOM, 64),
}


def gone(world: World) -> dict[str, int]:
    """Handles that name no socket, while others are alive."""
    resolve(world)
    listener = listen(world)
    establish(world, Peer(world), listener)
    connection = lib.vnic_tcp_connect(world.stack, ffi.NULL, endpoint(PEER, 81))
    assert lib.vnic_tcp_abort(world.stack, connection) == OK
    datagrams = world.bind(port=9)
    assert world.close(datagrams) == OK
    other = listen(world, port=4000)
    assert world.close(other) == OK
    return {
        "none": 0,
        "a connection": int(connection),
        "datagrams": datagrams,
        "a listener": other,
        "of no place": 1 << 40,
        "before the first": -1,
    }


ALL = OF_CONNECTIONS | OF_DATAGRAMS


@pytest.mark.parametrize("call", ALL)
def test_a_handle_of_no_socket(world: World, call: str) -> None:
    """VNIC_STACK_EBADF, and nothing happens: no frame, no event, no other socket is touched."""
    handles = gone(world)
    world.transmit()
    before, events = bytes(ffi.buffer(world.statistics)), world.events()
    answers = {name: ALL[call](world.stack, handle) for name, handle in handles.items()}
    assert answers == dict.fromkeys(handles, EBADF)
    assert world.transmit() == []
    assert (bytes(ffi.buffer(world.statistics)), world.events()) == (before, {})
    assert len(events) <= 2


@pytest.mark.parametrize(
    "call", sorted(set(OF_CONNECTIONS) - {"accept", "close", "set_option", "completions"})
)
def test_a_listener_is_no_connection(world: World, call: str) -> None:
    """It is refused, but for what it is asked about itself."""
    listener = listen(world)
    answer = OF_CONNECTIONS[call](world.stack, listener)
    assert answer < 0 or call in ("get_info", "offload_where")
    assert world.transmit() == []


#: Arguments of add_address with what comes of them; interface 1 carries no IPv6.
ADDRESSES = [
    (US, 33, 0, EINVAL), (OTHER, 32, 0, OK), (OTHER, 0, 0, OK),
    (US6, 129, 0, EINVAL), ("2001:db8::7", 128, 0, OK), (OTHER, 24, 2, EINVAL),
    ("2001:db8::7", 64, 1, EINVAL), ("10.1.0.1", 24, 1, OK), ("0.0.0.0", 24, 0, EINVAL),
    ("224.0.0.1", 24, 0, EINVAL), ("ff02::1", 64, 0, EINVAL), ("255.255.255.255", 24, 0, EINVAL),
    ("240.0.0.1", 24, 0, EINVAL), ("10.7.0.255", 24, 0, EINVAL), ("10.7.0.255", 23, 0, OK),
    ("::", 64, 0, EINVAL),
]  # fmt: skip


@pytest.mark.parametrize(("text", "prefix_len", "interface", "result"), ADDRESSES)
def test_what_may_be_an_address(
    world: World, text: str, prefix_len: int, interface: int, result: int
) -> None:
    assert world.add_interface(mac=PEER_MAC, mtu=1279) == 1
    assert world.add_address(text, prefix_len, interface) == result
    assert (text in world.addresses()) == (result == OK or text in (US, US6))


#: Destination, gateway, interface and what comes of it.
ROUTES = [
    ("10.9.0.0/16", PEER, 0, OK), ("10.9.0.0/33", PEER, 0, EINVAL),
    ("10.9.0.0/16", PEER, 1, EINVAL), ("2001:db8:9::/48", PEER6, 0, OK),
    ("2001:db8:9::/129", PEER6, 0, EINVAL), ("10.9.0.0/16", PEER6, 0, EINVAL),
    ("2001:db8:9::/48", PEER, 0, EINVAL), ("224.0.0.0/4", PEER, 0, EINVAL),
    ("ff00::/8", PEER6, 0, EINVAL), ("10.9.0.0/16", "224.0.0.1", 0, EINVAL),
    ("10.9.0.0/16", "255.255.255.255", 0, EINVAL), ("2001:db8:9::/48", "ff02::1", 0, EINVAL),
    ("10.9.0.0/16", None, 0, OK), ("0.0.0.0/0", PEER, 0, OK),
    ("::/0", PEER6, 0, OK),
]  # fmt: skip


@pytest.mark.parametrize(("network", "gateway", "interface", "result"), ROUTES)
def test_what_may_be_a_route(
    world: World, network: str, gateway: str | None, interface: int, result: int
) -> None:
    assert world.add_route(network, gateway, interface) == result
    removed = world.remove_route(network, interface)
    assert removed == (OK if result == OK else removed)
    assert world.remove_route(network, interface) != OK


@pytest.mark.parametrize(
    ("text", "mac", "interface", "result"),
    [
        (OTHER, PEER_MAC, 0, OK), (OTHER, PEER_MAC, 1, EINVAL), (OTHER, b"\1" + PEER_MAC[1:], 0, EINVAL),
        ("224.0.0.1", PEER_MAC, 0, EINVAL), ("0.0.0.0", PEER_MAC, 0, EINVAL), (PEER6, PEER_MAC, 0, OK),
        ("ff02::2", PEER_MAC, 0, EINVAL), ("255.255.255.255", PEER_MAC, 0, EINVAL),
    ],
)  # fmt: skip
def test_what_may_be_a_neighbour(world: World, text: str, mac: bytes, interface: int, result: int) -> None:
    assert world.know(text, mac, interface) == result
    assert (text in world.neighbours()) == (result == OK)


@pytest.mark.parametrize(
    ("more", "result"),
    [
        ({"mtu": 576}, 1), ({"mtu": 575}, EINVAL), ({"mtu": 65535}, 1), ({"mtu": 65536}, EINVAL),
        ({"vlan": 4094}, 1), ({"vlan": 4095}, EINVAL), ({"mac": b"\1" + OUR_MAC[1:]}, EINVAL),
        ({"mac": bytes(6)}, EINVAL), ({"offload": 8}, EINVAL), ({"offload": 2, "tso_bytes": 9000}, EINVAL),
        ({"offload": 3, "tso_bytes": 0}, EINVAL), ({"offload": 3, "tso_bytes": 65535}, 1),
        ({"offload": 3, "tso_bytes": 65536}, EINVAL), ({"offload": 7, "tso_bytes": 1}, 1),
    ],
)  # fmt: skip
def test_what_may_be_an_interface(world: World, more: dict[str, Any], result: int) -> None:
    assert world.add_interface(**{"mac": PEER_MAC, **more}) == result
    assert world.add_interface() == (2 if result == 1 else 1)


def test_no_more_interfaces_than_configured() -> None:
    with World(interfaces=2) as world:
        assert world.add_interface(mac=PEER_MAC) == 1
        assert world.add_interface(mac=PEER_MAC) == lib.VNIC_ENOSPC


def test_nothing_where_something_must_be(world: World) -> None:
    stack, null = world.stack, ffi.NULL
    assert lib.vnic_stack_add_interface(stack, null) == EINVAL
    assert lib.vnic_stack_add_address(stack, 0, null, 24) == EINVAL
    assert lib.vnic_stack_add_route(stack, null, 24, address(PEER), 0, 0) == EINVAL
    assert lib.vnic_stack_add_route(stack, address(PEER), 24, null, 0, 0) == EINVAL
    assert lib.vnic_stack_remove_route(stack, null, 24, 0) == EINVAL
    assert lib.vnic_stack_add_neighbour(stack, 0, null, PEER_MAC) == EINVAL
    assert lib.vnic_stack_add_neighbour(stack, 0, address(PEER), null) == EINVAL
    assert lib.vnic_stack_address(stack, 0, null) == EINVAL
    assert lib.vnic_stack_set_link(stack, 1, 1) == EINVAL
