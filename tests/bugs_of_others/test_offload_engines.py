"""What other TCP offload engines shipped: the issues of the ETH Zurich stack and its successor by number."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from tests.nic.chimney.driver import SACK, SCALING, Driver, tcp_image
from vnic.gen.enums import ChmReason, ChmStatus
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

MSS = 1460
WINDOW = 65535


@pytest.fixture
def driver() -> Iterator[Driver]:
    """A card with its chimney on."""
    with Driver() as made:
        yield made


def noise(length: int, seed: int = 1) -> bytes:
    """Bytes that tell their place."""
    return Random(seed).randbytes(length)


@pytest.mark.parametrize("which", ["snd_wind_scale", "rcv_wind_scale"])
@pytest.mark.parametrize("shift", range(12, 16))
def test_eth_toe_42_a_window_scale_of_15(driver: Driver, which: str, shift: int) -> None:
    """fpga-network-stack #42: a shift of 15 was taken from the SYN, and led out of a table.

    Here a connection whose scale is above 14 (RFC 7323 2.3) is not taken.
    """
    path = driver.path()
    image = tcp_image(const_flags=SCALING, **{which: shift})
    status = driver.try_create(image, parent=path, queue=0).status
    assert status == (ChmStatus.OK if shift <= 14 else ChmStatus.BAD_VALUE)


@pytest.mark.parametrize("first", [0, 1, 0xFFFF_FFFF, 0xFFFF_F000, 0x7FFF_FFFF, 2**32 - MSS, 2**32 - MSS + 1])
def test_eth_toe_31_a_retransmission_over_the_wrap(driver: Driver, first: int) -> None:
    """fpga-network-stack #31: a retransmission that began before the end of the buffer read on at address 0.

    Here bytes are found by their sequence number, in the sends as they were posted, over the wrap of both.
    """
    connection = driver.connect(snd_una=first, snd_nxt=first, snd_max=first)
    payloads = [noise(n, n) for n in (MSS, 700, 1, 2 * MSS, 3000)]
    for payload in payloads:
        connection.send(payload, cuts=(len(payload) // 3,))
        driver.rig.stage(noise(5000, 99))  # memory of the next send does not follow on this one's
    stream = b"".join(payloads)
    sent = connection.sent()
    assert b"".join(segment.payload for segment in sent) == stream
    for _ in range(2):
        driver.advance(10_000_000_000)
        again = connection.sent()
        assert again
        for segment in again:
            at = (segment.seq - first) % (1 << 32)
            assert segment.payload == stream[at : at + len(segment.payload)]


def test_eth_toe_21_a_window_that_fills_opens_again(driver: Driver) -> None:
    """fpga-network-stack #21: a receive window that was full never opened again, and the transfer stalled.

    Here what is consumed opens it, and the peer is told at once when it was shut [WIN-10].
    """
    connection = driver.connect(rcv_wnd=4 * MSS, initial_rcv_wnd=4 * MSS)
    edge, consumed = IRS + 4 * MSS, 0
    for _ in range(6):
        while edge - connection.peer.seq >= MSS:
            connection.receive(noise(MSS))
            driver.poll()
        driver.advance(500_000_000)
        assert connection.sent()[-1].window < MSS
        connection.credit(len(connection.data) - consumed)
        consumed = len(connection.data)
        (update,) = connection.sent()
        edge = update.ack + update.window
    assert connection.data == noise(MSS) * 24


def test_eth_toe_21_the_peers_window_that_fills_is_probed(driver: Driver) -> None:
    """The same in the other direction: the ACK that opened the peer's window was lost.

    Here a window that is shut is probed until it opens (RFC 9293 3.8.6.1).
    """
    connection = driver.connect(snd_wnd=MSS, max_snd_wnd=MSS)
    connection.send(noise(5000))
    assert sum(len(segment.payload) for segment in connection.sent()) == MSS
    connection.peer.ack += MSS
    connection.receive(window=0)
    assert connection.sent() == []
    driver.advance(70_000_000_000)
    probes = connection.sent()
    assert probes
    assert all(len(segment.payload) <= 1 for segment in probes)
    connection.receive(window=WINDOW)
    assert sum(len(segment.payload) for segment in connection.sent()) >= 5000 - MSS - 1


def test_eth_toe_39_a_syn_is_not_answered_with_a_syn(driver: Driver) -> None:
    """fpga-network-stack #39: a SYN that came where none belongs was answered with a SYN.

    Here a SYN in the window is challenged with an ACK (RFC 5961 4.2), one at RcvNxt is the host's business.
    """
    connection = driver.connect()
    connection.receive(seq=IRS + 100, flags=packet.SYN)
    assert all(not segment.flags & packet.SYN for segment in connection.sent())
    connection.receive(seq=IRS, flags=packet.SYN)
    assert all(not segment.flags & packet.SYN for segment in connection.sent())


@pytest.mark.parametrize("order", [(1, 0), (2, 1, 0), (3, 1, 0, 2), (1, 3, 0, 2), (3, 2, 1, 0)])
def test_eth_toe_19_segments_out_of_order_are_kept(driver: Driver, order: tuple[int, ...]) -> None:
    """fpga-network-stack #19: everything that was out of order was thrown away, and asked for again.

    Here it is held until the gap is filled: nothing of it has to be sent twice.
    """
    connection = driver.connect(const_flags=SACK)
    stream = noise(len(order) * MSS)
    for place in order:
        connection.receive(stream[place * MSS : (place + 1) * MSS], seq=IRS + place * MSS)
    driver.poll()
    assert bytes(connection.data) == stream


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_vitis_12_a_retransmission_does_not_end_the_engine(driver: Driver, lost: int) -> None:
    """Vitis_with_100Gbps_TCP-IP #12: the kernel hung for good at the first retransmission.

    Here a segment that is lost any number of times is sent again, and what follows goes on.
    """
    connection = driver.connect()
    stream = noise(4 * MSS)
    connection.send(stream)
    heard = {segment.seq: segment.payload for segment in connection.sent()}
    del heard[ISS + lost * MSS]
    for _ in range(5):
        while connection.peer.ack in heard:
            connection.peer.ack += len(heard[connection.peer.ack])
        connection.receive()
        driver.advance(3_000_000_000)
        heard |= {segment.seq: segment.payload for segment in connection.sent()}
    assert b"".join(heard[seq] for seq in sorted(heard)) == stream
    following = noise(MSS, 2)
    connection.send(following)
    assert [segment.payload for segment in connection.sent()] == [following]


@pytest.mark.parametrize("kind", ["connections", "requests"])
def test_critics_of_toe_limits_that_are_found_out_at_the_worst_moment(kind: str) -> None:
    """wiki.linuxfoundation.org: unpublished limits, "only to be discovered at the worst moments".

    Here limits are registers, and what exceeds them is refused by name: nothing that was taken suffers.
    """
    with Driver(connections=2, chimney_work=16) as driver:
        connection = driver.connect()
        if kind == "connections":
            driver.connect(remote_port=40001)
            path = driver.path()
            done = driver.try_create(tcp_image(remote_port=40002), parent=path, queue=0)
            assert done.status == ChmStatus.TCP_ENTRIES
        else:
            for _ in range(40):
                connection.post(100)
            driver.poll()
            assert ChmReason.UPLOAD_REQUESTED in driver.reasons()
        _, image = connection.terminate()
        assert (image.rcv_nxt, image.snd_una) == (IRS, ISS)
