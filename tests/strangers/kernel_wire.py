"""The kernel of a namespace at one end of a wire, a stack of ours at the other, in real time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import random
import selectors
import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from vnic.host.pump import Pump
from vnic.link.capture import CaptureWriter
from vnic.link.impairments import Impairments
from vnic.link.netns import Namespace
from vnic.link.port import Port
from vnic.link.tap import Tap
from vnic.link.wire import Wire
from vnic.stack.tcp import Listener, TcpSocket
from vnic.testbench.host import FAST, Host
from vnic.testbench.network import Network
from vnic.wire.pcapng import Direction

KERNEL_MAC = bytes.fromhex("02000000aa01")
KERNEL = {4: "10.9.0.1", 6: "fd00:9::1"}
OURS = {4: "10.9.0.2", 6: "fd00:9::2"}
PATIENCE_S = 20
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32  # asm-generic/socket.h
_PART = 1 << 18


def noise(size: int, number: int = 0) -> bytes:
    """Bytes that are the same in every run and others for every number."""
    return random.Random(9293 + number).randbytes(size)


class _Recorder:
    """Stands before our port: frames both ways go into a capture, as this end sees them."""

    def __init__(self, port: Port, wire: Wire, writer: CaptureWriter) -> None:
        self._port, self._end, self._writer = port, wire.end(0), writer

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """To us."""
        self._writer.record(frame, now_ns, direction=Direction.INBOUND)
        self._port.deliver(frame, now_ns)

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """From us."""
        self._writer.record(frame, now_ns, direction=Direction.OUTBOUND)
        self._end.transmit(frame, now_ns)


class _Entry:
    """The kernel's end of the wire: what comes out of the TAP goes in there."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """From the kernel."""
        self._wire.transmit(1, frame, now_ns)


class KernelWire:
    """Our stack, a wire of that nature both ways, and a kernel that speaks IPv4 and IPv6.

    `stack` are parameters of StackConfig. The kernel's congestion control is Reno: its default may be paced.
    """

    def __init__(
        self,
        namespace: Namespace,
        cable: Impairments | None = None,
        *,
        seed: int = 1,
        capture: CaptureWriter | None = None,
        **stack: Any,
    ) -> None:
        self.namespace = namespace
        self.tap = Tap("tap0", netns=namespace)
        namespace.sysctl("net.ipv4.tcp_congestion_control", "reno")
        namespace.bring_up("tap0", [f"{KERNEL[4]}/24", f"{KERNEL[6]}/64"], mac=KERNEL_MAC.hex(":"))
        namespace.run("ip", "link", "set", "tap0", "txqueuelen", "10000")
        self.world = Network()
        station = self.world.station(f"{OURS[4]}/24", f"{OURS[6]}/64", **stack)
        self.stack, self.streams = station.stack, station.streams
        port: Any = station.port
        self.wire = Wire(port, self.tap, forth=cable, seed=seed)
        station.port.link = self.wire.end(0)
        if capture is not None:
            recorder = _Recorder(port, self.wire, capture)
            self.wire.attach(0, recorder)
            station.port.link = recorder
        self.world.add_link(self.wire)
        self.pump = Pump(self.world)
        self.pump.attach(self.tap, lambda now_ns: self.tap.pump(_Entry(self.wire), now_ns))
        self.kernel = KernelSockets(namespace)

    def wait_for(self, is_done: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Let real time pass, the kernel's sockets at work, until something is so."""

        def has_come() -> bool:
            self.kernel.move()
            return is_done()

        assert self.pump.run_until(has_come, within_s), "what was awaited did not come"

    def pass_time(self, seconds: float) -> None:
        """Let real time pass."""
        end_ns = self.world.clock.now_ns + int(seconds * 1e9)
        self.wait_for(lambda: self.world.clock.now_ns >= end_ns)

    def __enter__(self) -> KernelWire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pump.close()
        self.kernel.close()
        self.world.__exit__()
        self.tap.close()


class HostWire:
    """A host with a card, a wire of that nature both ways, and a kernel behind a TAP."""

    def __init__(self, namespace: Namespace, cable: Impairments, **host: Any) -> None:
        self.tap = Tap("tap0", netns=namespace)
        namespace.sysctl("net.ipv4.tcp_congestion_control", "reno")
        namespace.bring_up("tap0", [f"{KERNEL[4]}/24", f"{KERNEL[6]}/64"], mac=KERNEL_MAC.hex(":"))
        self.wire = Wire(forth=cable, seed=1)
        nature: dict[str, Any] = {"link": self, "stack": {"address_probes": 0}, "bench": dict(FAST)} | host
        self.host = Host(f"{OURS[4]}/24", f"{OURS[6]}/64", **nature)
        self.wire.attach(0, self.host.bench.device)
        self.wire.attach(1, self.tap)
        self.host.world.add_link(self.wire)
        self.pump = Pump(self.host.world)
        self.pump.attach(self.tap, lambda now_ns: self.tap.pump(self, now_ns))
        self.kernel = KernelSockets(namespace)

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """The card's link."""
        self.wire.transmit(0, frame, now_ns)

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """The TAP's port."""
        self.wire.transmit(1, frame, now_ns)

    def wait_for(self, is_done: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Let real time pass, the kernel's sockets at work, until something is so."""

        def has_come() -> bool:
            self.kernel.move()
            return is_done()

        assert self.pump.run_until(has_come, within_s), "what was awaited did not come"

    def __enter__(self) -> HostWire:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.pump.close()
        self.kernel.close()
        self.host.__exit__(*raised)
        self.tap.close()


# ---- the kernel's sockets ----------------------------------------------------------------------------------


class KernelEnd:
    """A connection of the kernel's: sends `data`, then FIN, and keeps what it receives.

    It reads only while `reads`, and leaves the connection open behind it only while `ends` is False.
    """

    def __init__(
        self, made: socket.socket, data: bytes = b"", *, reads: bool = True, ends: bool = True
    ) -> None:
        made.setblocking(False)
        self.socket = made
        self.reads = reads
        self.ends = ends
        self.received = bytearray()
        self.is_ended = False  # FIN received
        self.is_finished = False  # FIN sent
        self.error: OSError | None = None
        self._left = memoryview(data)

    @property
    def is_done(self) -> bool:
        """Whether both directions ended."""
        return self.is_ended and self.is_finished

    @property
    def wanted(self) -> int:
        """What to wait for, as selectors say it."""
        if self.error is not None:
            return 0
        wants_out = bool(self._left) or (self.ends and not self.is_finished)
        wants_in = self.reads and not self.is_ended
        return selectors.EVENT_WRITE * wants_out | selectors.EVENT_READ * wants_in

    def move(self) -> None:
        """Do what can be done without waiting."""
        try:
            self._send()
            self._receive()
        except BlockingIOError:
            pass
        except OSError as error:
            code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error.errno != errno.ENOTCONN or code:
                self.error = OSError(code or error.errno, str(error))

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._left:
                self._left = self._left[self.socket.send(self._left[:_PART]) :]
            if self.ends and not self.is_finished:
                self.socket.shutdown(socket.SHUT_WR)
                self.is_finished = True

    def _receive(self) -> None:
        while self.reads and not self.is_ended:
            part = self.socket.recv(_PART)
            self.received += part
            self.is_ended = not part


class KernelSockets:
    """All of the kernel's sockets of a test; each does what it can in move()."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._selector = selectors.EpollSelector()
        self._listeners: list[socket.socket] = []
        self._plans: dict[socket.socket, list[tuple[bytes, dict[str, bool]]]] = {}
        self.ends: list[KernelEnd] = []

    def _socket(self, version: int, receive: int = 0, send: int = 0) -> socket.socket:
        with self._namespace.entered():
            made = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6)
        if receive:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive)
        if send:
            made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, send)
        return made

    def listen(
        self, version: int, port: int, plans: Sequence[bytes], *, receive: int = 0, **nature: bool
    ) -> None:
        """Accept as many connections as there are plans; each sends the next one's bytes."""
        made = self._socket(version, receive)
        made.bind((KERNEL[version], port))
        made.listen(len(plans))
        made.setblocking(False)
        self._listeners.append(made)
        self._plans[made] = [(data, nature) for data in plans]
        self._selector.register(made, selectors.EVENT_READ)

    def connect(self, version: int, port: int, data: bytes = b"", **nature: bool) -> KernelEnd:
        """Begin to connect to us."""
        made = self._socket(version)
        made.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            made.connect((OURS[version], port))
        return self._take(KernelEnd(made, data, **nature))

    def _take(self, end: KernelEnd) -> KernelEnd:
        self.ends.append(end)
        self._selector.register(end.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, end)
        return end

    def move(self) -> None:
        """Do what can be done without waiting."""
        for end in self.ends:
            self._want(end)
        for key, _ in self._selector.select(0):
            if isinstance(key.data, KernelEnd):
                key.data.move()
            else:
                self._accept(key.fileobj)

    def _want(self, end: KernelEnd) -> None:
        wanted, known = end.wanted, self._selector.get_map().get(end.socket)
        if known is None:
            if wanted:
                self._selector.register(end.socket, wanted, end)
        elif not wanted:
            self._selector.unregister(end.socket)
        elif known.events != wanted:
            self._selector.modify(end.socket, wanted, end)

    def _accept(self, listener: Any) -> None:
        plans = self._plans[listener]
        while plans:
            try:
                made, _ = listener.accept()
            except BlockingIOError:
                return
            data, nature = plans.pop(0)
            self._take(KernelEnd(made, data, **nature))

    def drop(self, end: KernelEnd) -> None:
        """Close one now."""
        if self._selector.get_map().get(end.socket) is not None:
            self._selector.unregister(end.socket)
        self.ends.remove(end)
        end.socket.close()

    def close(self) -> None:
        """Close them all."""
        self._selector.close()
        for each in (*self._listeners, *(end.socket for end in self.ends)):
            each.close()


# ---- ours --------------------------------------------------------------------------------------------------


class OurEnd:
    """A connection of our stack's, as KernelEnd; it acts when the stack reports an event."""

    def __init__(self, made: TcpSocket, data: bytes = b"", *, reads: bool = True, ends: bool = True) -> None:
        self.socket = made
        self.reads = reads
        self.ends = ends
        self.received = bytearray()
        self.is_ended = self.is_finished = False
        self._left = memoryview(data)
        made.on_event = lambda events: self.move()
        self.move()

    @property
    def is_done(self) -> bool:
        """Whether both directions ended, and all that was sent is acknowledged."""
        return self.is_ended and self.is_finished and not self.socket.info.send_queued

    def move(self) -> None:
        """Do what can be done without waiting."""
        if self.socket.error is not None or not self.socket.is_connected:
            return
        while self._left and (taken := self.socket.send(self._left[:_PART])):
            self._left = self._left[taken:]
        if self.ends and not self._left and not self.is_finished:
            self.socket.shutdown()
            self.is_finished = True
        while self.reads and not self.is_ended and (part := self.socket.recv(_PART)) is not None:
            self.received += part
            self.is_ended = not part


class OurServer:
    """A listener of ours: each connection sends the next plan's bytes."""

    def __init__(self, listener: Listener, plans: Sequence[bytes], **nature: bool) -> None:
        self._listener, self._plans, self._nature = listener, list(plans), nature
        self.ends: list[OurEnd] = []
        listener.on_event = lambda events: self._accept()

    def _accept(self) -> None:
        while self._plans and (made := self._listener.accept()) is not None:
            self.ends.append(OurEnd(made, self._plans.pop(0), **self._nature))


def digests(parts: Sequence[bytes | bytearray]) -> list[str]:
    """SHA-256 of each, sorted: who came first does not matter."""
    return sorted(hashlib.sha256(part).hexdigest() for part in parts)
