"""ICMP errors about a connection that is at its target: what of them is believed, and whom the host tells."""

from __future__ import annotations

import pytest

from tests.stack.offload_scene import DATA, Scene
from tests.stack.test_offload_news import too_big
from tests.stack.world import OTHER_MAC, OUR_MAC, PEER, US
from vnic import errors
from vnic.abi import SocketEvent
from vnic.stack.offload import OffloadEvent
from vnic.wire import packet


def unreachable(scene: Scene, code: int, seq: int = 0) -> None:
    """An ICMP destination unreachable about a segment of the connection."""
    assert scene.state is not None
    number = (scene.state.Delegated.SndUna + seq) % (1 << 32)
    local = scene.user.info.local
    quote = packet.ipv4(US, PEER, packet.TCP, packet.tcp(US, PEER, local.port, 80, bytes(100), seq=number))
    datagram = packet.ipv4("10.0.0.9", US, packet.ICMP, packet.icmp(3, code, bytes(4) + quote[:28]))
    scene.hosts.ports[0].receive(packet.ethernet(datagram, source=OTHER_MAC, destination=OUR_MAC))


def mtu(scene: Scene) -> int:
    """Of the path, as the target is told."""
    return scene.offload.route(scene.handle).path_mtu


@pytest.mark.requirement("OFS-15")
def test_no_path_is_smaller_than_every_link(scene: Scene) -> None:
    scene.user.send(DATA)
    scene.leave()
    too_big(scene, 1)
    least = mtu(scene)
    assert 68 <= least < 296
    assert OffloadEvent.PATH in scene.events()
    too_big(scene, 1400)
    assert mtu(scene) == least


@pytest.mark.requirement("OFS-15")
@pytest.mark.parametrize("seq", [-1, len(DATA) + 1, 1 << 31])
def test_numbers_that_are_not_in_the_queue_are_not_believed(scene: Scene, seq: int) -> None:
    scene.user.send(DATA)
    scene.leave()
    too_big(scene, 600, seq)
    unreachable(scene, 1, seq)
    assert mtu(scene) == 1500
    assert not scene.user.events & SocketEvent.SOFT_ERROR


@pytest.mark.requirement("OFS-15")
@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_an_unreachable_peer_is_the_users_matter(scene: Scene, code: int) -> None:
    scene.user.send(DATA)
    scene.leave()
    unreachable(scene, code)
    scene.run(1)
    assert mtu(scene) == 1500
    assert scene.user.events & SocketEvent.SOFT_ERROR
    scene.back()


@pytest.mark.requirement("OFS-16")
@pytest.mark.parametrize("name", [0, 63, (1 << 20) - 1, (1 << 32) - 1])
def test_neighbours_that_there_are_not(scene: Scene, name: int) -> None:
    scene.leave()
    with pytest.raises(errors.UnknownError):
        scene.offload.query(name, 0)
