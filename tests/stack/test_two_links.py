"""Link-local addresses on two links: the same address on each is two, and each speaks over its own link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.peer import ACK, RST, SYN, Peer, Segment, establish, info, listen, mss, segment_of, send
from tests.stack.world import OUR_LINK_LOCAL, PEER_LINK_LOCAL, PEER_MAC, World
from vnic._core import ffi, lib

SECOND_MAC = bytes.fromhex("020000000155")
COOKIES = {"never": 0, "always": 2}


@pytest.fixture
def two_links(make_world: Callable[..., World]) -> World:
    """A stack on two links, both up; the peer's link-local address is known on both."""
    return add_second_link(make_world(syn_cookies=0, address_probes=0))


def add_second_link(world: World) -> World:
    """It is up, as the first is."""
    assert world.add_interface(mac=SECOND_MAC) == 1
    world.set_link(True, 1)
    for interface in (0, 1):
        assert world.know(PEER_LINK_LOCAL, PEER_MAC, interface) == 0
    return world


def local_peer(world: World, **more: Any) -> Peer:
    """A peer that uses link-local addresses."""
    return Peer(world, us=OUR_LINK_LOCAL, them=PEER_LINK_LOCAL, **more)


def answers(world: World) -> list[Segment]:
    """What is said over either link."""
    return [segment_of(seen) for interface in (0, 1) for seen in world.transmit(interface)]


def test_a_listener_on_a_link_local_address_hears_its_link(two_links: World) -> None:
    listener = listen(two_links, OUR_LINK_LOCAL)
    assert listener > 0
    socket = establish(two_links, local_peer(two_links), listener)
    assert info(two_links, socket).remote.port == 40000


def test_the_same_address_on_another_link_is_another(two_links: World) -> None:
    """The second link has the address, too; the listener is the first link's."""
    assert listen(two_links, OUR_LINK_LOCAL) > 0
    if two_links.add_address(OUR_LINK_LOCAL, 64, 1) != 0:
        pytest.fail("each link may have it")
    listener = listen(two_links, OUR_LINK_LOCAL)
    assert listener == lib.VNIC_STACK_EADDRINUSE
    peer = local_peer(two_links, port=41000)
    two_links.receive(peer.frame(SYN, options=mss(1460), destination=SECOND_MAC), 1)
    assert two_links.transmit(0) == []
    assert [segment_of(seen).flags & RST for seen in two_links.transmit(1)] == [RST]
    two_links.receive(peer.frame(SYN, options=mss(1460)), 0)
    (answer,) = [segment_of(seen) for seen in two_links.transmit(0)]
    assert answer.flags == SYN | ACK


def test_connections_over_a_link_stay_on_it(two_links: World) -> None:
    """A segment of the same four numbers that comes over the other link is nobody's."""
    listener = listen(two_links, OUR_LINK_LOCAL)
    peer = local_peer(two_links)
    socket = establish(two_links, peer, listener)
    if two_links.add_address(OUR_LINK_LOCAL, 64, 1) != 0:
        pytest.fail("each link may have it")
    two_links.receive(peer.frame(ACK, b"data", destination=SECOND_MAC), 1)
    assert [answer.flags & RST for answer in answers(two_links)] == [RST]
    assert info(two_links, socket).state != 0
    peer.send(ACK, b"data")
    out = ffi.new("uint8_t[]", 16)
    assert lib.vnic_tcp_receive(two_links.stack, socket, out, 16) == 4


# -- the second link ---------------------------------------------------------------------------------------


@pytest.fixture(params=COOKIES)
def both_have_it(request: pytest.FixtureRequest, make_world: Callable[..., World]) -> World:
    """Two links on which the stack has one address and the peers have one; with and without SYN cookies."""
    world = add_second_link(make_world(syn_cookies=COOKIES[request.param], address_probes=0))
    assert world.add_address(OUR_LINK_LOCAL, 64, 1) == 0
    return world


def second_peer(world: World, **more: Any) -> Peer:
    """A peer on the second link."""
    return local_peer(world, interface=1, our_mac=SECOND_MAC, **more)


@pytest.mark.requirement("LOOK-1")
def test_a_connection_that_comes_over_the_second_link_is_answered_there(both_have_it: World) -> None:
    peer = second_peer(both_have_it)
    socket = establish(both_have_it, peer, listen(both_have_it, "::"))
    assert send(both_have_it, socket, b"data") == 4
    assert peer.take().data == b"data"
    assert both_have_it.transmit(0) == []


def test_a_closed_port_is_refused_over_the_link_that_asked(both_have_it: World) -> None:
    peer = second_peer(both_have_it)
    peer.send(SYN)
    assert peer.one().flags & RST
    assert both_have_it.transmit(0) == []


def test_an_aborted_connection_is_reset_over_its_link(both_have_it: World) -> None:
    peer = second_peer(both_have_it)
    socket = establish(both_have_it, peer, listen(both_have_it, "::"))
    assert lib.vnic_tcp_abort(both_have_it.stack, socket) == 0
    assert peer.one().flags & RST
    assert both_have_it.transmit(0) == []


@pytest.mark.requirement("LOOK-1")
def test_new_routes_leave_a_connection_on_its_link(both_have_it: World) -> None:
    peer = second_peer(both_have_it)
    socket = establish(both_have_it, peer, listen(both_have_it, "::"))
    assert both_have_it.add_address("2001:db8:5::1", 64, 0) == 0
    assert send(both_have_it, socket, b"data") == 4
    assert peer.take().data == b"data"
    assert both_have_it.transmit(0) == []
