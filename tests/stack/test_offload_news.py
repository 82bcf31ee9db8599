"""What the client of an offload target hears: segments held, options, routes and neighbours, urgent data."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.stack.offload_scene import DATA, Scene, learned, segment_frame
from tests.stack.offload_world import MS, TICKS, Hosts
from tests.stack.world import OTHER_MAC, OUR_MAC, PEER, PEER_MAC, US
from vnic import errors
from vnic._core import ffi, lib
from vnic.abi import SocketEvent, SocketOption
from vnic.stack.offload import OffloadEvent, Route
from vnic.wire import packet

# -- segments that come the plain way ------------------------------------------------------------------------


@pytest.mark.requirement("OFS-13")
def test_segments_are_held_for_the_target(scene: Scene) -> None:
    scene.state = scene.offload.begin(scene.handle, TICKS)
    port = scene.hosts.ports[0]
    port.receive(segment_frame(scene, b"early"))
    assert scene.offload.forward(scene.handle) is None
    scene.offload.end(scene.handle, True)
    assert scene.events() == OffloadEvent.FORWARD
    port.receive_burst([(segment_frame(scene, b"late", flags=packet.ACK | packet.PSH), 0)] * 2)
    port.receive(segment_frame(scene, b"bad", field=0x1234))
    for payload in (b"early", b"late", b"late"):
        segment = scene.offload.forward(scene.handle)
        assert segment is not None
        assert segment == segment_frame(scene, payload, flags=segment[13])[34:]
    assert scene.offload.forward(scene.handle) is None
    assert scene.user.recv() is None


@pytest.mark.requirement("OFS-13")
def test_fragments_are_forwarded_whole(scene: Scene) -> None:
    scene.leave()
    frame = segment_frame(scene, bytes(3000))
    for fragment in packet.ipv4_fragments(frame[14:], 1000):
        scene.hosts.ports[0].receive(packet.ethernet(fragment, source=PEER_MAC, destination=OUR_MAC))
    assert scene.offload.forward(scene.handle) == frame[34:]


@pytest.mark.requirement("OFS-13")
def test_a_segment_too_long_for_the_caller_stays(scene: Scene) -> None:
    scene.leave()
    scene.hosts.ports[0].receive(segment_frame(scene, b"12345"))
    stack, room = scene.hosts.a.native.enter(), ffi.new("uint8_t[64]")
    assert lib.vnic_tcp_offload_forward(stack, scene.handle, room, 24) == lib.VNIC_EINVAL
    assert lib.vnic_tcp_offload_forward(stack, scene.handle, room, 25) == 25


@pytest.mark.requirement("OFS-13")
def test_held_segments_are_processed_at_home(scene: Scene) -> None:
    scene.leave()
    scene.peer.set_nodelay()
    scene.peer.send(b"abc")
    scene.run(5)
    scene.offload.upload_begin(scene.handle)
    scene.peer.send(b"def")
    scene.run(5)
    assert scene.offload.forward(scene.handle) is None
    scene.back()
    assert scene.user.recv() == b"abcdef"


@pytest.mark.requirement("OFS-13")
def test_a_forward_that_came_too_late_is_held_again(scene: Scene) -> None:
    scene.leave()
    scene.peer.send(b"abc")
    scene.run(5)
    segment = scene.offload.forward(scene.handle)
    assert segment is not None
    scene.offload.upload_begin(scene.handle)
    scene.offload.hold(scene.handle, segment)
    scene.back()
    assert scene.user.recv() == b"abc"
    scene.offload.hold(scene.handle, segment)
    assert scene.user.recv() is None


@pytest.mark.requirement("OFS-13")
def test_segments_for_what_ended_are_not_answered(scene: Scene) -> None:
    scene.leave()
    scene.offload.upload_begin(scene.handle)
    scene.hosts.ports[0].receive(segment_frame(scene, b"late"))
    scene.back(State=lib.TcpConnectionClosed)
    assert not scene.frames
    scene.hosts.ports[0].receive(segment_frame(scene, b"later"))
    assert scene.frames  # as any closed port


@pytest.mark.requirement("OFS-13")
def test_the_store_of_held_segments_is_bounded(scene: Scene) -> None:
    scene.leave()
    frame = segment_frame(scene, bytes(1000))
    for _ in range(20):
        scene.hosts.ports[0].receive_burst([(frame, 0)] * 60)
    count = 0
    while scene.offload.forward(scene.handle) is not None:
        count += 1
    assert count == 512
    scene.hosts.ports[0].receive(frame)
    assert scene.offload.forward(scene.handle) is not None


# -- options, routes, neighbours -----------------------------------------------------------------------------


@pytest.mark.requirement("OFS-14")
@pytest.mark.parametrize("when", ["leaving", "away"])
def test_options_are_told(scene: Scene, when: str) -> None:
    scene.offload.begin(scene.handle, TICKS)
    if when == "away":
        scene.offload.end(scene.handle, True)
    scene.user.set_nodelay()
    scene.user.set_keepalive(20_000, 3000, 7)
    for option, value in (
        (SocketOption.TTL, 9),
        (SocketOption.TOS, 32),
        (SocketOption.RECEIVE_BUFFER, 99_000),
        (SocketOption.USER_TIMEOUT_MS, 44_000),
    ):
        scene.user.set_option(option, value)
    if when == "leaving":
        scene.offload.end(scene.handle, True)
    assert scene.events() == OffloadEvent.OPTIONS
    cached = scene.offload.cached(scene.handle, 100).Cached
    assert cached.Flags == lib.TCP_CONNECTION_KEEP_ALIVE_ENABLED
    assert (cached.TtlOrHopLimit, cached.TosOrTrafficClass, cached.InitialRcvWnd) == (9, 32, 99_000)
    assert (cached.KaTimeout, cached.KaInterval, cached.KaProbeCount, cached.MaxRT) == (2000, 300, 7, 4400)


@pytest.mark.requirement("OFS-14")
def test_the_hop_limit_is_never_0(scene: Scene) -> None:
    assert scene.leave().Cached.TtlOrHopLimit == 64
    assert scene.offload.cached(scene.handle, TICKS).Cached.TtlOrHopLimit == 64


@pytest.mark.requirement("OFS-15")
def test_neighbours_and_paths_have_names(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene()
    second = scene.hosts.connect()[0]
    scene.leave()
    scene.offload.begin(second.handle, TICKS)
    first, other = scene.offload.route(scene.handle), scene.offload.route(second.handle)
    assert isinstance(first, Route)
    assert (first.neighbour, first.path) == (other.neighbour, other.path)
    assert first.path and first.neighbour
    assert (str(first.source), str(first.destination), str(first.next_hop)) == (US, PEER, PEER)
    assert (first.mac, first.is_reachable, first.vlan, first.path_mtu) == (PEER_MAC, True, 0, 1500)


@pytest.mark.requirement("OFS-15")
def test_paths_are_not_named_twice(scene: Scene) -> None:
    names = set()
    for _ in range(5):
        scene.leave()
        names.add(scene.offload.route(scene.handle).path)
        scene.back()
        assert scene.offload.route(scene.handle).path == 0
    assert len(names) == 5


@pytest.mark.requirement("OFS-15")
def test_another_address_of_the_neighbour_is_told_to_all(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene()
    others = [scene.hosts.connect()[0].handle for _ in range(3)]
    handles = {scene.handle, *others}
    for handle in handles:
        scene.offload.begin(handle, TICKS)
        scene.offload.end(handle, True)
    assert scene.offload.news() == []
    scene.hosts.ports[0].add_neighbour(PEER, OTHER_MAC)
    assert dict(scene.offload.news()) == dict.fromkeys(handles, OffloadEvent.NEIGHBOUR)
    assert scene.offload.route(scene.handle).mac == OTHER_MAC
    assert scene.offload.news() == []


@pytest.mark.requirement("OFS-15")
def test_another_next_hop_is_told(scene: Scene) -> None:
    scene.leave()
    before = scene.offload.route(scene.handle)
    scene.hosts.ports[0].add_neighbour("10.0.0.9", OTHER_MAC)
    scene.hosts.a.add_route(f"{PEER}/32", "10.0.0.9")
    assert scene.events() == OffloadEvent.PATH | OffloadEvent.NEIGHBOUR
    after = scene.offload.route(scene.handle)
    assert after.path == before.path
    assert after.neighbour != before.neighbour
    assert (str(after.next_hop), after.mac) == ("10.0.0.9", OTHER_MAC)


@pytest.mark.requirement("OFS-15")
def test_a_link_that_is_down_is_told(scene: Scene) -> None:
    scene.leave()
    scene.hosts.ports[0].set_link(False)
    assert OffloadEvent.NEIGHBOUR in scene.events()
    assert not scene.offload.route(scene.handle).is_reachable
    scene.hosts.ports[0].set_link(True)
    assert OffloadEvent.NEIGHBOUR in scene.events()
    assert scene.offload.route(scene.handle).is_reachable
    scene.back()


@pytest.mark.requirement("OFS-15")
def test_a_smaller_path_is_told_to_all_on_it(scene: Scene) -> None:
    other = scene.hosts.connect()[0].handle
    scene.offload.begin(other, TICKS)
    scene.offload.end(other, True)
    scene.user.send(DATA)
    scene.leave()
    too_big(scene, 1200, seq=len(DATA) + 5)  # not ours
    assert scene.offload.news() == []
    too_big(scene, 1200)
    assert dict(scene.offload.news()) == {scene.handle: OffloadEvent.PATH, other: OffloadEvent.PATH}
    assert scene.offload.route(other).path_mtu == 1200
    too_big(scene, 1400)
    assert scene.offload.news() == []
    too_big(scene, 0)  # the next plateau
    assert scene.offload.route(scene.handle).path_mtu == 1006
    scene.back()
    assert scene.user.info.mss in (1006 - 40, 1006 - 52)


@pytest.mark.requirement("OFS-15", "OFS-16")
def test_the_neighbour_is_probed_and_found_gone() -> None:
    with Hosts() as hosts:
        scene = Scene(learned(hosts))
        scene.leave()
        route = scene.offload.route(scene.handle)
        assert scene.offload.query(route.neighbour, 5).host_reachability_ms >= 1
        hosts.a.advance(hosts.a.now_ns + 60_000 * MS)
        assert scene.offload.query(route.neighbour, 60_000).host_reachability_ms == 0
        for _ in range(20):
            hosts.a.advance(hosts.a.now_ns + 1000 * MS)
            _ = scene.frames  # nobody answers
        assert scene.events() == OffloadEvent.NEIGHBOUR
        assert not scene.offload.route(scene.handle).is_reachable


@pytest.mark.requirement("OFS-16")
def test_a_younger_proof_is_believed() -> None:
    with Hosts() as hosts:
        scene = Scene(learned(hosts))
        scene.leave()
        neighbour = scene.offload.route(scene.handle).neighbour
        hosts.a.advance(hosts.a.now_ns + 60_000 * MS)
        scene.offload.confirm(neighbour, 55_000)
        assert scene.offload.query(neighbour, 1 << 40).host_reachability_ms == 0
        scene.offload.confirm(neighbour, 100)
        assert scene.offload.query(neighbour, 1 << 40).host_reachability_ms == 100
        with pytest.raises(errors.UnknownError):
            scene.offload.query(neighbour + 1, 0)
        with pytest.raises(errors.UnknownError):
            scene.offload.confirm(neighbour + (1 << 21), 0)


def too_big(scene: Scene, mtu: int, seq: int = 0) -> None:
    """An ICMP error about a segment of the connection."""
    assert scene.state is not None
    here = scene.user.info.local
    number = (scene.state.Delegated.SndUna + seq) % (1 << 32)
    quote = packet.ipv4(US, PEER, packet.TCP, packet.tcp(US, PEER, here.port, 80, bytes(1160), seq=number))
    body = b"\0\0" + mtu.to_bytes(2) + quote[:28]
    datagram = packet.ipv4("10.0.0.9", US, packet.ICMP, packet.icmp(3, 4, body))
    scene.hosts.ports[0].receive(packet.ethernet(datagram, source=OTHER_MAC, destination=OUR_MAC))


# -- urgent data ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("OFS-17")
def test_urgent_data_waits_for_the_upload(scene: Scene) -> None:
    scene.leave()
    scene.user.send(b"plain")
    scene.user.send(b"urgent", urgent=True)
    scene.user.send(b"later")
    scene.user.shutdown()
    assert OffloadEvent.URGENT in scene.events()
    assert scene.offload.queued(scene.handle) == (5, False)
    scene.back()
    scene.run(20)
    assert scene.peer.events & SocketEvent.URGENT
    assert (scene.peer.recv(), scene.peer.recv()) == (b"plainurgentlater", b"")
