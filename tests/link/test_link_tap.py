"""TAP against the Linux kernel: its stack sends, receives, checks checksums and leaves large sends to us."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from vnic.link.netns import Namespace, NetnsError
from vnic.link.tap import Tap, TapBusy, TapError, TapForbidden, TapNotFound
from vnic.link.vnet import DATA_VALID, NEEDS_CSUM, VnetHeader, ones_sum
from vnic.link.wire import Impairments, Wire

OUR_MAC = bytes.fromhex("02000000aa02")
KERNEL_MAC = bytes.fromhex("02000000aa01")
PATIENCE_S = 30


class Sink:
    """A port that keeps what it gets."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def deliver(self, frame: bytes, now_ns: int) -> None:
        self.frames.append(frame)


def checksum(data: bytes) -> int:
    return ~ones_sum(data) & 0xFFFF


def ipv4(payload: bytes, protocol: int, source: str = "10.9.0.2", target: str = "10.9.0.1") -> bytes:
    """An Ethernet frame with an IPv4 packet from us to the kernel."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    total = checksum(head + addresses)
    return KERNEL_MAC + OUR_MAC + b"\x08\x00" + head[:10] + total.to_bytes(2, "big") + addresses + payload


def udp(payload: bytes, port: int, *, check: int | None = None) -> bytes:
    """A UDP datagram from us to the kernel's `port`, with its checksum or another."""
    head = struct.pack(">HHH", 7, port, 8 + len(payload))
    pseudo = (
        socket.inet_aton("10.9.0.2") + socket.inet_aton("10.9.0.1") + struct.pack(">HH", 17, 8 + len(payload))
    )
    value = checksum(pseudo + head + b"\0\0" + payload) if check is None else check
    return ipv4(head + value.to_bytes(2, "big") + payload, 17)


def snmp(namespace: Namespace, protocol: str, counter: str) -> int:
    """One of the kernel's counters in a namespace."""
    rows = [
        line.split()
        for line in namespace.run("cat", "/proc/thread-self/net/snmp").splitlines()
        if line.startswith(f"{protocol}:")
    ]
    return int(rows[1][rows[0].index(counter)])


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll until true; fails after PATIENCE_S."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the kernel did not do what was awaited"
        time.sleep(0.002)


@contextlib.contextmanager
def tap_up(namespace: Namespace, **settings: bool | int) -> Iterator[Tap]:
    """A TAP of that namespace, up as 10.9.0.1 and fd00:9::1, with us as a neighbour."""
    with Tap("tap0", netns=namespace, **settings) as tap:  # type: ignore[arg-type]
        namespace.bring_up("tap0", ["10.9.0.1/24", "fd00:9::1/64"], mac="02:00:00:00:aa:01")
        namespace.neighbour("tap0", "fd00:9::2", "02:00:00:00:aa:02")
        yield tap


def test_kernel_asks_by_arp_and_its_datagram_is_answered(namespace: Namespace) -> None:
    with tap_up(namespace) as tap:
        with namespace.entered():
            client = socket.socket(type=socket.SOCK_DGRAM)
        client.setblocking(False)
        client.sendto(b"hello card", ("10.9.0.2", 7))
        received: list[bytes] = []

        def answer() -> bool:
            while (frame := tap.read()) is not None:
                received.append(frame)
                if frame[12:14] == b"\x08\x06":
                    reply = frame[14:20] + b"\0\x02" + OUR_MAC + frame[38:42] + frame[22:32]
                    tap.write(KERNEL_MAC + OUR_MAC + b"\x08\x06" + reply)
                elif frame[12:14] == b"\x08\x00" and frame[23] == 17:
                    tap.write(udp(frame[42:].upper(), int.from_bytes(frame[34:36], "big")))
            with contextlib.suppress(BlockingIOError):
                return client.recv(100) == b"HELLO CARD"
            return False

        with client:
            wait_for(answer)
        asked = [frame for frame in received if frame[12:14] == b"\x08\x06"]  # IPv6 speaks by itself
        assert asked[0][:6] == b"\xff" * 6
        assert tap.statistics.received == len(received) >= 2
        assert tap.statistics.sent == 2


def test_kernel_answers_our_ping(namespace: Namespace) -> None:
    with tap_up(namespace) as tap:
        namespace.neighbour("tap0", "10.9.0.2", "02:00:00:00:aa:02")
        body = struct.pack(">HH", 77, 1) + b"payload of the echo"
        total = checksum(b"\x08\0\0\0" + body)
        tap.deliver(ipv4(b"\x08\0" + total.to_bytes(2, "big") + body, 1), 0)
        sink = Sink()
        wait_for(lambda: tap.pump(sink, 0) > 0 and sink.frames[-1][23] == 1)
        reply = sink.frames[-1]
        assert reply[:6] == OUR_MAC and reply[34] == 0 and reply[38:] == body
        assert checksum(reply[34:]) == 0


def test_kernel_refuses_a_bad_checksum_also_when_it_is_called_valid(namespace: Namespace) -> None:
    with tap_up(namespace, vnet_hdr=True) as tap:
        with namespace.entered():
            server = socket.socket(type=socket.SOCK_DGRAM)
        with server:
            server.bind(("10.9.0.1", 0))
            server.settimeout(PATIENCE_S)
            port = server.getsockname()[1]
            assert tap.write(udp(b"good", port))
            assert tap.write(udp(b"bad", port, check=0x1234))
            assert tap.write(udp(b"bad", port, check=0x1234), VnetHeader(DATA_VALID))
            # A checksum of zero says that there is none.
            assert tap.write(udp(b"none", port, check=0))
            # Left to the receiver of the header: the field holds the pseudo-header's sum.
            pseudo = ones_sum(
                socket.inet_aton("10.9.0.2") + socket.inet_aton("10.9.0.1") + struct.pack(">HH", 17, 15)
            )
            needs = VnetHeader(NEEDS_CSUM, csum_start=34, csum_offset=6)
            assert tap.write(udp(b"partial", port, check=pseudo), needs)
            assert [server.recv(100) for _ in range(3)] == [b"good", b"none", b"partial"]
        assert snmp(namespace, "Udp", "InCsumErrors") == 2


def test_a_header_that_contradicts_its_frame_is_refused_and_counted(namespace: Namespace) -> None:
    with tap_up(namespace, vnet_hdr=True) as tap:
        wrong = VnetHeader(NEEDS_CSUM, gso_type=9, gso_size=100, csum_start=34, csum_offset=6)
        assert not tap.write(udp(b"x", 9), wrong)
        assert tap.statistics.refused == 1
    with tap_up(namespace) as tap, pytest.raises(ValueError, match="vnet_hdr"):
        tap.write(udp(b"x", 9), VnetHeader())


def test_partial_checksums_of_the_kernel_are_completed(namespace: Namespace) -> None:
    with tap_up(namespace, vnet_hdr=True, offloads=True) as tap:
        with namespace.entered():
            client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with client:
            client.sendto(b"odd", ("fd00:9::2", 4000))
        frames: list[bytes] = []
        sink = Sink()
        wait_for(lambda: tap.pump(sink, 0) > 0)
        frames = [frame for frame in sink.frames if frame[12:14] == b"\x86\xdd" and frame[20] == 17]
        assert tap.statistics.checksums_completed >= len(frames) == 1
        pseudo = frames[0][22:54] + struct.pack(">II", len(frames[0]) - 54, 17)
        assert checksum(pseudo + frames[0][54:]) == 0


@pytest.mark.parametrize("header_bytes", [10, 12])
def test_both_header_sizes(namespace: Namespace, header_bytes: int) -> None:
    with tap_up(namespace, vnet_hdr=True, header_bytes=header_bytes) as tap:
        with namespace.entered():
            server = socket.socket(type=socket.SOCK_DGRAM)
        with server:
            server.bind(("10.9.0.1", 0))
            server.settimeout(PATIENCE_S)
            tap.write(udp(b"size", server.getsockname()[1]))
            assert server.recv(10) == b"size"
            server.sendto(b"back", ("10.9.0.2", 9))
        sink = Sink()
        wait_for(lambda: tap.pump(sink, 0) > 0 and any(is_arp(frame) for frame in sink.frames))
        assert {len(frame) for frame in sink.frames if is_arp(frame)} == {42}


def is_arp(frame: bytes) -> bool:
    """The kernel may speak of other things first: router solicitations, listener reports."""
    return frame[12:14] == b"\x08\x06"


class Transfer:
    """Bytes from a TCP socket in one namespace to one in another, the frames carried by this test."""

    def __init__(self, sender: Namespace, receiver: Namespace, address: str, total: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with receiver.entered():
            self.listener = socket.create_server((address, 5001), family=family)
        with sender.entered():
            self.client = socket.socket(family)
        for end in (self.listener, self.client):
            end.setblocking(False)
        self.client.connect_ex((address, 5001))
        self.data = random.Random(1).randbytes(total)
        self.offset = 0
        self.server: socket.socket | None = None
        self.received = bytearray()

    def move(self) -> bool:
        """Push and pull what goes without waiting; True when the receiver has seen the end."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            if self.offset < len(self.data):
                self.offset += self.client.send(self.data[self.offset : self.offset + (1 << 18)])
                if self.offset == len(self.data):
                    self.client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(BlockingIOError):
            if self.server is None:
                self.server, _ = self.listener.accept()
                self.server.setblocking(False)
            while part := self.server.recv(1 << 18):
                self.received += part
            return True
        return False

    def close(self) -> None:
        for end in (self.listener, self.client, self.server):
            if end is not None:
                end.close()


@contextlib.contextmanager
def two_hosts(namespace: Namespace, *, offloads: bool) -> Iterator[tuple[Namespace, Tap, Tap]]:
    """A second namespace, and a TAP in each: the first with offloads or not, the second plain."""
    with (
        Namespace() as peer,
        Tap("tap0", netns=namespace, vnet_hdr=offloads, offloads=offloads) as near,
        Tap("tap1", netns=peer) as far,
    ):
        for host, device, number in ((namespace, "tap0", 1), (peer, "tap1", 2)):
            host.sysctl("net.ipv4.tcp_congestion_control", "reno")
            host.bring_up(
                device, [f"10.9.0.{number}/24", f"fd00:9::{number}/64"], mac=f"02:00:00:00:aa:0{number}"
            )
        yield peer, near, far


@pytest.mark.parametrize("address", ["10.9.0.2", "fd00:9::2"])
@pytest.mark.parametrize("offloads", [True, False])
def test_tcp_between_two_kernels(namespace: Namespace, address: str, offloads: bool) -> None:
    """Large sends of one kernel are segmented here and pass the other one's checksum check."""
    with two_hosts(namespace, offloads=offloads) as (peer, near, far):
        transfer = Transfer(namespace, peer, address, 4 << 20)
        longest = 0

        def relay() -> bool:
            nonlocal longest
            while (frame := near.read()) is not None:
                longest = max(longest, len(frame))
                far.write(frame)
            while (frame := far.read()) is not None:
                near.write(frame)
            done = transfer.move()
            if not done:
                select.select([near, far], [], [], 0.01)
            return done

        wait_for(relay)
        transfer.close()
        assert hashlib.sha256(transfer.received).digest() == hashlib.sha256(transfer.data).digest()
        assert snmp(peer, "Tcp", "InCsumErrors") == 0
        assert longest <= 1514
        assert (near.statistics.large_sends > 20) == offloads
        assert near.statistics.malformed == 0
        assert near.statistics.received > 2500


def test_tcp_between_two_kernels_over_a_bad_wire(namespace: Namespace) -> None:
    """Loss, reorder, duplicates and corruption on our wire: the kernels repair it and see the corruption."""
    nature = Impairments(loss=0.005, delay_ns=100_000, reorder=0.01, duplicate=0.01, corrupt=0.01)
    with two_hosts(namespace, offloads=True) as (peer, near, far):
        wire = Wire(near, far, forth=nature, seed=4)
        start_ns = time.monotonic_ns()

        class Ingress:
            def __init__(self, side: int) -> None:
                self.end = wire.end(side)

            def deliver(self, frame: bytes, now_ns: int) -> None:
                self.end.transmit(frame, now_ns)

        from_near, from_far = Ingress(0), Ingress(1)
        transfer = Transfer(namespace, peer, "10.9.0.2", 1 << 20)

        def relay() -> bool:
            now_ns = time.monotonic_ns() - start_ns
            wire.advance(now_ns)
            near.pump(from_near, now_ns)
            far.pump(from_far, now_ns)
            return transfer.move()

        wait_for(relay)
        transfer.close()
        assert bytes(transfer.received) == transfer.data
        counts = wire.statistics(0)
        assert counts.lost and counts.duplicated and counts.reordered and counts.corrupted
        # Some hit the Ethernet or IP header instead.
        assert 0 < snmp(peer, "Tcp", "InCsumErrors") <= counts.corrupted


def test_link_down_is_counted_and_over_when_it_comes_up(namespace: Namespace) -> None:
    with tap_up(namespace) as tap:
        assert tap.write(udp(b"x", 9))
        namespace.take_down("tap0")
        assert not tap.write(udp(b"x", 9))
        while tap.read() is not None:
            pass
        assert tap.statistics.down_dropped == 1
        namespace.bring_up("tap0")
        assert tap.write(udp(b"x", 9))
        assert tap.statistics.sent == 2


@pytest.mark.parametrize("length", [0, 13, 65_555, 200_000])
def test_impossible_lengths_are_counted_not_written(namespace: Namespace, length: int) -> None:
    with tap_up(namespace) as tap:
        assert not tap.write(bytes(length))
        assert tap.statistics.size_dropped == 1


def test_a_tap_taken_away_is_an_error(namespace: Namespace) -> None:
    with tap_up(namespace) as tap:
        namespace.run("ip", "link", "delete", "tap0")
        with pytest.raises(TapError, match="tap0 is gone"):
            tap.read()
        with pytest.raises(TapError, match="tap0 is gone"):
            tap.write(udp(b"x", 9))


def test_names(namespace: Namespace) -> None:
    with Tap("card%d", netns=namespace) as first, Tap("card%d", netns=namespace) as second:
        assert (first.name, second.name) == ("card0", "card1")
    assert "card" not in namespace.run("ip", "-br", "link")


def test_tap_in_use(namespace: Namespace) -> None:
    with tap_up(namespace), pytest.raises(TapBusy, match="tap0 is in use"):
        Tap("tap0", netns=namespace)


def test_no_such_tap(namespace: Namespace) -> None:
    with pytest.raises(TapNotFound, match="no such TAP: tap7"):
        Tap("tap7", netns=namespace, create=False)
    namespace.run("ip", "tuntap", "add", "tap7", "mode", "tap")
    with Tap("tap7", netns=namespace, create=False) as tap:
        assert tap.name == "tap7"
    assert "tap7" in namespace.run("ip", "-br", "link")


def test_not_a_tap(namespace: Namespace) -> None:
    for name in ("lo", "a/b"):
        with pytest.raises(TapError, match="is no TAP"):
            Tap(name, netns=namespace)


def test_no_rights(namespace: Namespace) -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(TapForbidden, match="no rights"):
            Tap("vnic-forbidden")
    finally:
        os.seteuid(0)


def test_unknown_namespace() -> None:
    with pytest.raises(NetnsError, match="no such network namespace"):
        Tap("tap0", netns="no-such-namespace")


def test_by_path_and_by_process(namespace: Namespace) -> None:
    process = namespace.popen("sleep", "30")
    try:
        for netns in (namespace.path, process.pid):
            with Tap("tap3", netns=netns):
                assert "tap3" in namespace.run("ip", "-br", "link")
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"offloads": True}, "need vnet_hdr"),
        ({"vnet_hdr": True, "header_bytes": 11}, "10 or 12 bytes"),
        ({"name": "x" * 16}, "1 to 15 bytes"),
        ({"name": ""}, "1 to 15 bytes"),
    ],
)
def test_settings_that_contradict(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tap(**settings)  # type: ignore[arg-type]


def test_closed_twice(namespace: Namespace) -> None:
    tap = Tap("tap0", netns=namespace)
    assert tap.fileno() >= 0
    tap.close()
    tap.close()
    assert tap.fileno() == -1
