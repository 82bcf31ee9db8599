"""The Linux kernel's TCP judges the card: it takes large sends, and its own frames are received right."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from vnic.ndis.oob import LargeSendType
from vnic.protocol.capture import Received
from vnic.wire.packet import ACK, FIN, PSH, RST, SYN
from vnic.wire.parse import L4, Frame

if TYPE_CHECKING:
    from tests.strangers.conftest import Plugged, Route

    Plug = Callable[..., Plugged]
    Check = Callable[..., None]

PORT = 5001
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
LSO_MAX = 261_888
#: Sequence numbers wrap after 100,000 bytes.
FIRST_SEQ = 2**32 - 100_000
AWAITED_NS = 400_000_000
WINDOW_SCALE = bytes.fromhex("01030308")
KERNEL, CARD = {4: "10.9.0.1", 6: "fd00:9::1"}, {4: "10.9.0.2", 6: "fd00:9::2"}


def noise(size: int) -> bytes:
    """Bytes that are the same in every run."""
    return random.Random(9293).randbytes(size)


class Server:
    """A socket of the kernel: accepts once and sends `data`, or else the digest of what it received."""

    def __init__(self, plugged: Plugged, version: int, data: bytes = b"", *, room: int = 4 << 20) -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with plugged.namespace.entered():
            self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, room)
        self._listener.bind((KERNEL[version], PORT))
        self._listener.listen()
        self._listener.setblocking(False)
        self._connection: socket.socket | None = None
        self._left = memoryview(data)
        self._ends_first = bool(data)
        self.received = bytearray()

    def move(self) -> None:
        """Do what can be done without waiting."""
        with contextlib.suppress(BlockingIOError):
            if self._connection is None:
                self._connection, _ = self._listener.accept()
                self._connection.setblocking(False)
            self._send()
            while part := self._connection.recv(1 << 20):
                self.received += part
            if not self._ends_first:
                self._connection.sendall(hashlib.sha256(self.received).digest())
                self._connection.shutdown(socket.SHUT_WR)
                self._ends_first = True

    def _send(self) -> None:
        assert self._connection is not None
        while self._left:
            sent = self._connection.send(self._left[: 1 << 18])
            self._left = self._left[sent:]
            if not self._left:
                self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close; idempotent."""
        for each in (self._connection, self._listener):
            if each is not None:
                each.close()


class Client:
    """As much of a TCP client on the card as a cable that spoils frames demands.

    It sends as large sends all that the window allows, and after a silence everything again from SND.UNA; it
    takes data in order only, and none whose checksum the card calls bad. Positions count from the SYN.
    """

    def __init__(self, plugged: Plugged, route: Route, data: bytes, kind: LargeSendType) -> None:
        self._plugged, self._route, self._kind = plugged, route, kind
        self._most = LSO_MAX if kind is LargeSendType.V2 else 0x10000 - 256
        self._data = data
        self._una = self._nxt = self._window = 0
        self._mss = self._shift = 0
        self._peer = self._echo = 0
        self._progress_ns = plugged.bench.clock.now_ns
        self.received = bytearray()
        self.is_ended = False
        self.largest = 0
        plugged.on_frame = self.take
        mss = plugged.mtu - (40 if route.version == 4 else 60)
        self._emit(0, SYN, options=b"\2\4" + mss.to_bytes(2) + WINDOW_SCALE)

    @property
    def is_done(self) -> bool:
        """Whether both sides have said and acknowledged everything."""
        return self.is_ended and self._una == len(self._data) + 2

    @property
    def _is_open(self) -> bool:
        return self._mss > 0

    def _emit(
        self, position: int, flags: int, payload: bytes = b"", *, options: bytes = b"", mss: int = 0
    ) -> None:
        stamp = self._plugged.bench.clock.now_ns // 1_000_000
        options += b"\1\1\x08\x0a" + (stamp & 0xFFFF_FFFF).to_bytes(4) + self._echo.to_bytes(4)
        handed = self._route.tcp(
            (40_000, PORT), payload, mss=mss, kind=self._kind, options=options, flags=flags,
            seq=(FIRST_SEQ + position) % 2**32, ack=self._peer if flags & ACK else 0,
        )  # fmt: skip
        self.largest = max(self.largest, len(payload))
        self._plugged.send(handed)

    # -- in ----------------------------------------------------------------------------------------------

    def take(self, received: Received, frame: Frame) -> None:
        """A frame was indicated."""
        if frame.l4 is not L4.TCP or received.checksum.tcp_failed or received.checksum.ip_failed:
            return
        header = frame.data[frame.l4_offset : frame.header_end]
        seq, flags = int.from_bytes(header[4:8]), header[13]
        assert not flags & RST, "the kernel resets the connection"
        if flags & SYN:
            self._open(seq, header[20:])
        self._take_ack(int.from_bytes(header[8:12]), int.from_bytes(header[14:16]) << self._shift)
        if flags & SYN or not (frame.payload or flags & FIN):
            return
        if seq == self._peer and not self.is_ended:
            self._take_data(frame.payload, flags, header)
        self._emit(self._nxt, ACK)

    def _open(self, seq: int, options: bytes) -> None:
        self._peer = (seq + 1) % 2**32
        while options:
            kind, length = options[0], options[1] if options[0] > 1 else 1
            value = int.from_bytes(options[2:length])
            if kind == 2:
                self._mss = value - 12
            elif kind == 3:
                self._shift = value
            elif kind == 8:
                self._echo = value >> 32
            options = options[length:]

    def _take_ack(self, ack: int, window: int) -> None:
        ahead = (ack - FIRST_SEQ - self._una) % 2**32
        if ahead <= len(self._data) + 2 - self._una:
            self._una += ahead
            self._nxt = max(self._nxt, self._una)
            self._window = window
            if ahead:
                self._progress_ns = self._plugged.bench.clock.now_ns

    def _take_data(self, payload: bytes, flags: int, header: bytes) -> None:
        self.received += payload
        self.is_ended = bool(flags & FIN)
        self._peer = (self._peer + len(payload) + self.is_ended) % 2**32
        self._echo = int.from_bytes(header[24:28])

    # -- out ---------------------------------------------------------------------------------------------

    def push(self) -> None:
        """Send what the window allows."""
        if not self._is_open:
            return
        now_ns = self._plugged.bench.clock.now_ns
        if now_ns - self._progress_ns > AWAITED_NS:
            self._nxt, self._progress_ns = max(self._una, 1), now_ns
        while self._nxt <= len(self._data) + 1 and self._push_some():
            pass

    def _push_some(self) -> bool:
        left = len(self._data) + 1 - self._nxt
        size = min(self._una + self._window - self._nxt, left, self._most)
        if size < min(left, self._mss):
            return False
        payload = self._data[self._nxt - 1 : self._nxt - 1 + size]
        fin = FIN if size == left else 0
        self._emit(self._nxt, ACK | PSH | fin, payload, mss=self._mss if size > self._mss else 0)
        self._nxt += size + bool(fin)
        return not fin


@contextlib.contextmanager
def connected(
    plugged: Plugged,
    route: type[Route],
    version: int,
    *,
    up: bytes = b"",
    down: bytes = b"",
    kind: LargeSendType = LargeSendType.V2,
) -> Iterator[tuple[Server, Client]]:
    """A connection over which everything went, in both directions."""
    server = Server(plugged, version, down)
    with contextlib.closing(server):
        client = Client(plugged, route(CARD[version], KERNEL[version]), up, kind)

        def move() -> bool:
            server.move()
            client.push()
            return client.is_done

        plugged.wait_for(move)
        server.move()
        yield server, client


def every(count: int, is_meant: Callable[[bytes], bool]) -> tuple[Callable[[bytes], bytes], list[bytes]]:
    """A cable that flips a bit in the last byte of every count-th frame of a kind; and what it spoilt."""
    spoilt: list[bytes] = []
    met = 0

    def spoil(frame: bytes) -> bytes:
        nonlocal met
        if not is_meant(frame):
            return frame
        met += 1
        if met % count:
            return frame
        spoilt.append(frame[:-1] + bytes([frame[-1] ^ 1]))
        return spoilt[-1]

    return spoil, spoilt


# ---- the card sends


@pytest.mark.requirement("TX-8", "TX-13", "TX-19")
@pytest.mark.parametrize("vnet_hdr", [False, True])
@pytest.mark.parametrize(
    ("version", "kind"), [(4, LargeSendType.V2), (6, LargeSendType.V2), (4, LargeSendType.V1)]
)
def test_the_kernel_receives_large_sends_bit_for_bit(
    plug: Plug, route: type[Route], version: int, kind: LargeSendType, vnet_hdr: bool
) -> None:
    data = noise(2_000_003)
    with plug(vnet_hdr=vnet_hdr) as plugged:
        before = plugged.kernel("Tcp")
        with connected(plugged, route, version, up=data, kind=kind) as (server, client):
            assert hashlib.sha256(server.received).digest() == hashlib.sha256(data).digest()
            assert client.received == hashlib.sha256(data).digest()
        after = plugged.kernel("Tcp")
        assert after["InCsumErrors"] == before["InCsumErrors"] == 0
        assert after["InErrs"] == before["InErrs"] == 0
        assert plugged.tap.statistics.size_dropped == plugged.tap.statistics.refused == 0
        counters = plugged.bench.counters()
        assert counters["TX_LSO_SEGMENTS"] >= len(data) // 1460
        assert after["InSegs"] >= counters["TX_LSO_SEGMENTS"] > 10 * counters["TX_LSO_SENDS"] > 0
        assert client.largest >= (200_000 if kind is LargeSendType.V2 else 60_000)


@pytest.mark.parametrize("version", [4, 6])
def test_a_bit_that_falls_over_on_the_cable_is_counted_by_the_kernel_and_sent_again(
    plug: Plug, route: type[Route], version: int
) -> None:
    """What the tests above rely on: the kernel does look at these checksums."""
    data = noise(300_000)
    spoil, spoilt = every(100, lambda frame: len(frame) > 1000)
    with plug(spoil_out=spoil) as plugged:
        with connected(plugged, route, version, up=data) as (server, _):
            assert server.received == data
        assert plugged.kernel("Tcp")["InCsumErrors"] == len(spoilt) >= 2


# ---- the card receives


@pytest.mark.requirement("RX-7", "RX-8", "RX-11", "RSS-5")
@pytest.mark.parametrize("eased", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_frames_of_the_kernels_tcp_are_received_right(
    plug: Plug, route: type[Route], check: Check, version: int, eased: bool
) -> None:
    """Eased: the kernel sends 64 KiB at once (TSO), which the link cuts up, and the card splits headers."""
    data = noise(1_000_003)
    with plug(offloads=eased, keywords={"*HeaderDataSplit": int(eased)}) as plugged:
        with connected(plugged, route, version, down=data) as (_, client):
            assert client.received == data
        segments = [(got, frame) for got, frame in plugged.seen if frame.l4 is L4.TCP]
        assert len(segments) > len(data) // 1460
        for received, frame in plugged.seen:
            check(received, frame, is_split=eased)
        assert all(received.checksum.tcp_succeeded for received, _ in segments)
        assert len({received.hash for received, _ in segments}) == 1
        assert max(len(frame) for frame in plugged.arrived) == 1514
        assert (plugged.tap.statistics.large_sends > 5) == eased
        assert plugged.bench.counters()["RX_L4_CSUM_BAD"] == 0


@pytest.mark.requirement("RX-7")
@pytest.mark.parametrize("version", [4, 6])
def test_what_the_cable_spoilt_is_called_bad_and_nothing_else(
    plug: Plug, route: type[Route], check: Check, version: int
) -> None:
    data = noise(200_000)
    spoil, spoilt = every(40, lambda frame: len(frame) > 1000)
    with plug(spoil_in=spoil) as plugged:
        with connected(plugged, route, version, down=data) as (_, client):
            assert client.received == data
        failed = [received.data for received, _ in plugged.seen if received.checksum.tcp_failed]
        assert failed == spoilt
        assert len(spoilt) >= 3
        for received, frame in plugged.seen:
            check(received, frame)
        assert plugged.bench.counters()["RX_L4_CSUM_BAD"] == len(spoilt)


@pytest.mark.requirement("RX-13", "RX-10", "TX-13")
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("version", [4, 6])
def test_jumbo_frames_of_the_kernel_and_to_it(
    plug: Plug, route: type[Route], check: Check, version: int, split: bool
) -> None:
    down, up = noise(400_000), noise(600_000)
    keywords = {"*JumboPacket": 9014, "*HeaderDataSplit": int(split)}
    sent: list[int] = []

    def spy(frame: bytes) -> bytes:
        sent.append(len(frame))
        return frame

    with plug(mtu=9000, keywords=keywords, spoil_out=spy) as plugged:
        with connected(plugged, route, version, up=up, down=down) as (server, client):
            assert client.received == down
            assert server.received == up
        assert max(sent) == max(len(frame) for frame in plugged.arrived) == 9014
        for received, frame in plugged.seen:
            check(received, frame, is_split=split)
        assert plugged.kernel("Tcp")["InCsumErrors"] == 0
