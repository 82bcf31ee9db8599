"""The Linux kernel as a neighbour of the stack: ARP, ND, ICMP, UDP and fragments, both ways."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any

import pytest

from tests.stack.world import OUR_MAC, World, address
from vnic._core import ffi, lib
from vnic.link.netns import Namespace
from vnic.link.tap import Tap
from vnic.wire import checksum, packet

KERNEL = {4: "10.9.0.1", 6: "fd00:9::1"}
OURS = {4: "10.9.0.2", 6: "fd00:9::2"}
ANY = {4: "0.0.0.0", 6: "::"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
KERNEL_MAC = "02:00:00:00:aa:01"
OTHER_MAC = "02:00:00:00:aa:02"
PATIENCE_S = 20
ECHO, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
ICMP_PROTO = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}


class Neighbourhood:
    """A kernel behind a TAP and our stack on it, at OURS unless `addresses` says otherwise."""

    def __init__(self, namespace: Namespace, *, addresses: bool = True, **world: Any) -> None:
        self.namespace = namespace
        self.tap = Tap("tap0", netns=namespace)
        namespace.bring_up("tap0", [f"{KERNEL[4]}/24", f"{KERNEL[6]}/64"], mac=KERNEL_MAC)
        ends = ((OURS[4], 24), (OURS[6], 64)) if addresses else ()
        self.world = World(addresses=ends, **world)
        self._start = time.monotonic_ns()
        self._out = ffi.new("uint8_t[]", 65600)
        self._frame = ffi.new("struct vnic_stack_frame *")

    def __enter__(self) -> Neighbourhood:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.world.__exit__(kind, error, trace)
        self.tap.close()

    def turn(self) -> None:
        """One round of a caller's loop: time, frames in, frames out."""
        self.world.now = time.monotonic_ns() - self._start
        assert lib.vnic_stack_time(self.world.stack, self.world.now) == 0
        while (frame := self.tap.read()) is not None:
            self.world.receive(frame)
        while length := lib.vnic_stack_transmit(self.world.stack, 0, self._out, 65600, self._frame):
            self.tap.write(bytes(ffi.buffer(self._out, length)))

    def wait_for(self, is_so: Callable[[], object]) -> None:
        """Turns until something is so; AssertionError when it does not come."""
        end = time.monotonic() + PATIENCE_S
        self.turn()
        while not is_so():
            assert time.monotonic() < end, "what was awaited did not come"
            select.select([self.tap], [], [], 0.005)
            self.turn()

    @contextlib.contextmanager
    def kernel_socket(
        self, version: int, kind: int = socket.SOCK_DGRAM, proto: int = 0
    ) -> Iterator[socket.socket]:
        """A socket of the kernel at its address, which does not wait."""
        with self.namespace.entered():
            made = socket.socket(FAMILIES[version], kind, proto)
        with made:
            made.bind((KERNEL[version], 0))
            made.setblocking(False)
            yield made

    def receive_from(self, source: socket.socket) -> bytes:
        """What arrives at a socket of the kernel."""
        found: list[bytes] = []

        def has_come() -> bool:
            with contextlib.suppress(BlockingIOError):
                found.append(source.recv(1 << 17))
            return bool(found)

        self.wait_for(has_come)
        return found[0]

    def take(self, handle: int) -> tuple[int, bytes]:
        """What our socket receives: the result, and the data."""
        out = ffi.new("uint8_t[]", 65536)
        results: list[int] = []

        def has_come() -> bool:
            result = int(lib.vnic_udp_receive(self.world.stack, handle, ffi.NULL, out, 65536))
            if result != lib.VNIC_STACK_EAGAIN:
                results.append(result)
            return bool(results)

        self.wait_for(has_come)
        return results[0], bytes(ffi.buffer(out, max(results[0], 0)))

    def kernel_neighbour(self, version: int) -> str:
        """What the kernel knows of us."""
        return self.namespace.run("ip", "neigh", "show", "to", OURS[version], "dev", "tap0")


@pytest.fixture
def near(namespace: Namespace) -> Iterator[Neighbourhood]:
    """Our stack and a kernel that have not spoken yet."""
    with Neighbourhood(namespace) as made:
        yield made


def contents(size: int) -> bytes:
    """Bytes that tell their place."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.requirement("ICMP-1", "FRG-1", "ARP-1", "ND-2")
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_pings_us(near: Neighbourhood, version: int) -> None:
    with near.kernel_socket(version, socket.SOCK_RAW, ICMP_PROTO[version]) as pinger:
        for number, size in enumerate((0, 1, 56, 1472, 1473, 20000, 60000)):
            body = struct.pack("!HH", 77, number) + contents(size)
            request = struct.pack("!BBH", ECHO[version], 0, 0) + body
            if version == 4:
                request = request[:2] + checksum.internet(request).to_bytes(2) + body
            pinger.sendto(request, (OURS[version], 0))
            while True:
                answer = near.receive_from(pinger)
                answer = answer[20:] if version == 4 else answer
                if answer[0] == ECHO_REPLY[version]:
                    break
            assert answer[4:] == body
    assert "lladdr " + OUR_MAC.hex(":") in near.kernel_neighbour(version)
    assert near.world.statistics.reassembled == (3 if version == 4 else 4)


@pytest.mark.requirement("ICMP-8", "IP4-7", "IP6-7", "ARP-6", "ND-5")
@pytest.mark.parametrize("version", [4, 6])
def test_we_ping_the_kernel(near: Neighbourhood, version: int) -> None:
    handle = int(lib.vnic_icmp_open(near.world.stack, version == 6))
    for size in (0, 56, 1452, 1473, 20000, 60000):
        request = bytes([ECHO[version], 0, 0, 0, 0, 0, 0, 1]) + contents(size)
        assert near.world.send(handle, request, to=KERNEL[version]) == len(request)
        result, answer = near.take(handle)
        assert result == len(request)
        assert answer[0] == ECHO_REPLY[version]
        assert answer[8:] == contents(size)
    assert near.world.state_of(KERNEL[version]) == lib.VNIC_NEIGHBOUR_REACHABLE


@pytest.mark.requirement("UDP-1", "UDP-3", "FRG-1")
@pytest.mark.parametrize("version", [4, 6])
def test_datagrams_both_ways(near: Neighbourhood, version: int) -> None:
    handle = near.world.bind(ANY[version], 9)
    with near.kernel_socket(version) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for size in (0, 1, 1451, 1452, 1453, 1472, 1473, 9000, 65507):
            peer.sendto(contents(size), (OURS[version], 9))
            assert near.take(handle) == (size, contents(size))
            port = peer.getsockname()[1]
            assert near.world.send(handle, contents(size), to=KERNEL[version], port=port) == size
            assert near.receive_from(peer) == contents(size)
    assert near.world.statistics.bad_l4_checksum == 0


@pytest.mark.requirement("UDP-4", "ICMP-5")
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_hears_that_our_port_is_closed(near: Neighbourhood, version: int) -> None:
    with near.kernel_socket(version) as peer:
        peer.connect((OURS[version], 9))
        peer.send(contents(1400))

        def is_refused() -> bool:
            return peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED

        near.wait_for(is_refused)


@pytest.mark.requirement("UDP-9", "ICMP-6")
@pytest.mark.parametrize("version", [4, 6])
def test_we_hear_that_the_kernels_port_is_closed(near: Neighbourhood, version: int) -> None:
    handle = near.world.bind(ANY[version], 9)
    near.world.send(handle, contents(1000), to=KERNEL[version], port=1)
    assert near.take(handle)[0] == lib.VNIC_STACK_ECONNREFUSED


@pytest.mark.requirement("ARP-5", "ND-5")
@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_moves_to_another_ethernet_address(near: Neighbourhood, version: int) -> None:
    handle = near.world.bind(ANY[version], 9)
    near.namespace.sysctl("net.ipv4.conf.tap0.arp_notify", "1")
    near.namespace.sysctl("net.ipv6.conf.tap0.ndisc_notify", "1")
    near.world.send(handle, b"x", to=KERNEL[version], port=1)
    near.take(handle)
    near.namespace.run("ip", "link", "set", "tap0", "address", OTHER_MAC)
    near.wait_for(lambda: near.world.mac_of(KERNEL[version]) == packet.mac(OTHER_MAC))
    near.world.send(handle, b"x", to=KERNEL[version], port=1)
    assert near.take(handle)[0] == lib.VNIC_STACK_ECONNREFUSED


def is_in_state(world: World, text: str, state: int) -> bool:
    return bool(world.addresses()[text].state == state)


@pytest.mark.requirement("ARP-8", "ND-11")
@pytest.mark.parametrize("version", [4, 6])
def test_we_find_that_the_kernel_has_our_address(namespace: Namespace, version: int) -> None:
    with Neighbourhood(namespace, addresses=False, address_probes=1) as near:
        near.turn()
        prefix_len = 24 if version == 4 else 64
        for text in (KERNEL[version], OURS[version]):
            assert lib.vnic_stack_add_address(near.world.stack, 0, address(text), prefix_len) == 0
        for text, state in (
            (KERNEL[version], lib.VNIC_ADDRESS_DUPLICATE),
            (OURS[version], lib.VNIC_ADDRESS_PREFERRED),
        ):
            near.wait_for(partial(is_in_state, near.world, text, state))


@pytest.mark.requirement("ND-2")
def test_the_kernel_finds_that_we_have_its_address(near: Neighbourhood) -> None:
    near.turn()
    near.namespace.run("ip", "-6", "address", "add", f"{OURS[6]}/64", "dev", "tap0")

    def has_failed() -> bool:
        return "dadfailed" in near.namespace.run("ip", "-6", "address", "show", "dev", "tap0")

    near.wait_for(has_failed)
