"""The Linux kernel's TCP at the other end of a bad wire judges our stack: all arrives, once, in order."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.strangers.kernel_wire import (
    KERNEL,
    OURS,
    KernelWire,
    OurEnd,
    OurServer,
    digests,
    noise,
)
from vnic.link.impairments import Impairments
from vnic.link.netns import Namespace
from vnic.stack.errors import RefusedError, ResetError

PORT = 5001
CONNECTIONS = 24
SIZE = 256 << 10
CABLES = {
    "loss 0.5 %": Impairments(loss=0.005, delay_ns=1_000_000),
    "loss 3 %": Impairments(loss=0.03, delay_ns=1_000_000),
    "reorder": Impairments(reorder=0.03, reorder_hold_ns=3_000_000, delay_ns=1_000_000),
    "duplicate": Impairments(duplicate=0.05, delay_ns=1_000_000),
    "50 ms": Impairments(delay_ns=25_000_000),
}
LINGER_RESET = struct.pack("ii", 1, 0)
versions = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])


@pytest.fixture
def plain(namespace: Namespace) -> Iterator[KernelWire]:
    """A wire that does nothing to frames."""
    with KernelWire(namespace) as wire:
        yield wire


# ---- transfers ---------------------------------------------------------------------------------------------


def transfer(wire: KernelWire, version: int) -> None:
    """Half of the connections opened by us, half by the kernel; each carries data both ways at once."""
    half = CONNECTIONS // 2
    ours = [noise(SIZE, number) for number in range(CONNECTIONS)]
    theirs = [noise(SIZE, 100 + number) for number in range(CONNECTIONS)]
    server = OurServer(wire.stack.listen((OURS[version], PORT), backlog=CONNECTIONS), ours[:half])
    wire.kernel.listen(version, PORT, theirs[:half])
    for number in range(half):
        wire.kernel.connect(version, PORT, theirs[half + number])
    opened = [
        OurEnd(wire.stack.connect((KERNEL[version], PORT)), ours[half + number]) for number in range(half)
    ]

    def is_done() -> bool:
        assert not any(end.error for end in wire.kernel.ends), "the kernel lost a connection"
        ends = (*opened, *server.ends)
        assert not any(end.socket.error for end in ends), "we lost a connection"
        return (
            len(server.ends) == half
            and len(wire.kernel.ends) == CONNECTIONS
            and all(end.is_done for end in wire.kernel.ends)
            and all(end.is_done for end in ends)
        )

    wire.wait_for(is_done)
    assert digests([end.received for end in wire.kernel.ends]) == digests(ours)
    assert digests([end.received for end in (*opened, *server.ends)]) == digests(theirs)


@versions
@pytest.mark.parametrize("cable", CABLES)
def test_all_arrives_over_a_bad_wire(namespace: Namespace, cable: str, version: int) -> None:
    nature = CABLES[cable]
    with KernelWire(namespace, nature, seed=version) as wire:
        transfer(wire, version)
        out, back = wire.wire.statistics(0), wire.wire.statistics(1)
        if nature.loss:
            assert min(out.lost, back.lost) > 0
            assert wire.stack.statistics["tcp_retransmits"] > 0
        if nature.reorder:
            assert min(out.reordered, back.reordered) > 0
            assert wire.stack.statistics["tcp_out_of_order"] > 0
        if nature.duplicate:
            assert min(out.duplicated, back.duplicated) > 0
            assert wire.stack.statistics["tcp_duplicates"] > 0


# ---- half-closed connections -------------------------------------------------------------------------------


@versions
def test_data_flows_after_the_kernel_closed_its_half(plain: KernelWire, version: int) -> None:
    plain.kernel.listen(version, PORT, [b""])
    end = OurEnd(plain.stack.connect((KERNEL[version], PORT)), ends=False)
    plain.wait_for(lambda: end.is_ended)
    data = noise(SIZE)
    late = OurEnd(end.socket, data)
    (peer,) = plain.kernel.ends
    plain.wait_for(lambda: peer.is_done)
    assert late.is_finished and peer.received == data


@versions
def test_data_flows_after_we_closed_our_half(plain: KernelWire, version: int) -> None:
    plain.kernel.listen(version, PORT, [b""], ends=False)
    end = OurEnd(plain.stack.connect((KERNEL[version], PORT)))
    plain.wait_for(lambda: bool(plain.kernel.ends) and plain.kernel.ends[0].is_ended)
    (peer,) = plain.kernel.ends
    peer.socket.setblocking(True)
    peer.socket.sendall(b"late")
    peer.ends = True
    peer.socket.setblocking(False)
    plain.wait_for(lambda: end.is_done)
    assert end.received == b"late"


# ---- zero windows ------------------------------------------------------------------------------------------


@versions
def test_a_kernel_that_does_not_read_is_probed_and_then_gets_all(plain: KernelWire, version: int) -> None:
    data = noise(SIZE)
    plain.kernel.listen(version, PORT, [b""], receive=8192, reads=False)
    end = OurEnd(plain.stack.connect((KERNEL[version], PORT)), data)
    plain.wait_for(lambda: end.socket.is_connected and end.socket.info.snd_wnd == 0)
    before = plain.wire.statistics(0).sent
    plain.pass_time(1)
    probes = plain.wire.statistics(0).sent - before
    assert 1 <= probes <= 5, "first after an RTO of 200 ms, then ever more rarely"
    assert end.socket.error is None
    (peer,) = plain.kernel.ends
    peer.reads = True
    plain.wait_for(lambda: peer.is_done)
    assert peer.received == data


@versions
def test_we_answer_the_kernels_probes_and_open_the_window(namespace: Namespace, version: int) -> None:
    data = noise(SIZE)
    with KernelWire(namespace, receive_buffer=8192) as wire:
        wire.kernel.listen(version, PORT, [data])
        end = OurEnd(wire.stack.connect((KERNEL[version], PORT)), reads=False)
        wire.wait_for(lambda: end.socket.is_connected and end.socket.info.rcv_wnd == 0)
        before = wire.wire.statistics(1).sent
        wire.pass_time(1)
        assert wire.wire.statistics(1).sent > before, "the kernel probes"
        assert end.socket.info.receive_queued <= 8192
        end.reads = True
        end.move()
        wire.wait_for(lambda: end.is_ended)
        assert end.received == data


# ---- resets ------------------------------------------------------------------------------------------------


@versions
def test_a_reset_by_the_kernel_is_reported(plain: KernelWire, version: int) -> None:
    plain.kernel.listen(version, PORT, [b""], ends=False, reads=False)
    end = OurEnd(plain.stack.connect((KERNEL[version], PORT)), noise(SIZE), ends=False)
    plain.wait_for(lambda: bool(plain.kernel.ends))
    (peer,) = plain.kernel.ends
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    plain.kernel.drop(peer)
    plain.wait_for(lambda: end.socket.is_over)
    assert isinstance(end.socket.error, ResetError)


@versions
@pytest.mark.parametrize("how", ["abort", "close with unread data"])
def test_the_kernel_obeys_our_reset(plain: KernelWire, version: int, how: str) -> None:
    plain.kernel.listen(version, PORT, [noise(4096)], ends=False)
    end = OurEnd(plain.stack.connect((KERNEL[version], PORT)), reads=False, ends=False)
    plain.wait_for(lambda: end.socket.is_connected and end.socket.info.receive_queued == 4096)
    (peer,) = plain.kernel.ends
    if how == "abort":
        end.socket.abort()
    else:
        end.socket.close()
    plain.wait_for(lambda: peer.error is not None)
    assert peer.error is not None and peer.error.errno == errno.ECONNRESET


@versions
def test_closed_ports_refuse(plain: KernelWire, version: int) -> None:
    refused = plain.stack.connect((KERNEL[version], PORT))
    plain.wait_for(lambda: refused.is_over)
    assert isinstance(refused.error, RefusedError)
    end = plain.kernel.connect(version, PORT)
    plain.wait_for(lambda: end.error is not None)
    assert end.error is not None and end.error.errno == errno.ECONNREFUSED
