"""Two hosts on a lossy link, and at one of them an offload target: an engine that connections visit."""

from __future__ import annotations

import heapq
import itertools
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.stack.world import OUR_MAC, PEER, PEER6, PEER_MAC, US, US6
from tests.tcp.endpoint import Endpoint, Engine
from tests.tcp.offload import freeze, given, take
from tests.tcp.segment import MODULUS, Segment, pattern
from vnic._core import ffi, lib
from vnic.abi import SocketEvent
from vnic.stack import Endpoint as Place
from vnic.stack import Interface, Stack, TcpSocket
from vnic.stack.errors import WouldBlockError
from vnic.stack.interface import VERIFIED
from vnic.stack.offload import Offload, OffloadEvent, Posted, State, UserGone, Where
from vnic.wire import packet

MS = 1_000_000
TICKS = 1000


@dataclass
class Link:
    """A link that loses, delays and reorders; seeded."""

    seed: int = 0
    loss: float = 0.0
    delay_ms: int = 3
    jitter_ms: int = 0
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def fate(self) -> int | None:
        """Delay in ns; None: lost."""
        if self.random.random() < self.loss:
            return None
        return (self.delay_ms + self.random.randint(0, self.jitter_ms)) * MS


class Connection:
    """An offloaded connection: the engine's side of it, and what its driver has to remember."""

    def __init__(self, target: Target, handle: int, state: State, local: Place, remote: Place) -> None:
        self.target, self.handle, self.state = target, handle, state
        self.local, self.remote = local, remote
        self.views: list[tuple[int, memoryview]] = []
        self.endpoint: Endpoint | None = None
        self.acked = 0
        self.taken = 0
        self.posted: deque[tuple[Posted, list[int]]] = deque()
        self.is_shut_told = self.is_fin_told = self.has_shutdown = self.must_abort = False
        self.wants_upload = False
        self.result = 0

    # -- out

    def submit(self, offset: int, size: int | None = None) -> bytes:
        """What of the send queue was not given yet, with a view of where it lies."""
        offload = self.target.offload
        size = offload.queued(self.handle)[0] - offset if size is None else size
        data = b""
        for _, view in offload.send_pieces(self.handle, offset, size):
            self.views.append((offset + self.acked + len(data), view))
            data += bytes(view)
        return data

    def adopt(self) -> None:
        """The connection is live here."""
        engine = self.target.engine
        d = self.state.Delegated
        buffered = self.target.offload.buffered(self.handle)
        assert len(buffered) == d.ReceiveBacklogSize
        data = self.submit(0, d.SendBacklogSize)
        assert len(data) == d.SendBacklogSize
        result, c = take(engine, self.state, rate=TICKS)
        assert result == lib.TCP_OFFLOAD_OK
        made = Endpoint(engine, c, (d.SndUna - 1) % MODULUS)
        fin = bool(c.flags & lib.TCP_FIN_RECEIVED)
        made.irs = (d.RcvNxt - fin - len(buffered) - 1) % MODULUS
        made.edges.start(d.SndUna, d.SndWnd)
        made.queued += data
        made.received += buffered
        made.store += buffered
        made.stored += b"\1" * len(buffered)
        self.has_shutdown = bool(c.flags & lib.TCP_FIN_QUEUED)
        self.is_fin_told = fin
        self.endpoint = made

    # -- at work

    def work(self) -> None:
        """Report what happened, and learn what the user did."""
        self._report_sent()
        self._report_received()
        self._look_for_end()

    def _report_sent(self) -> None:
        endpoint = self._endpoint()
        count = endpoint.released - self.acked
        if count:
            self.check_views()
            self.acked = endpoint.released
            self.target.offload.acked(self.handle, count)
        done = (lib.TCP_STATE_FIN_WAIT_2, lib.TCP_STATE_TIME_WAIT)
        if self.has_shutdown and not self.is_shut_told and endpoint.c.state in done:
            self.is_shut_told = True
            self.target.offload.shut(self.handle)

    def check_views(self) -> None:
        """What was not acknowledged lies where it lay, and is what it was."""
        endpoint = self._endpoint()
        for at, view in self.views:
            if at >= self.acked:
                assert bytes(view) == bytes(endpoint.queued[at : at + len(view)])
        self.views = [(at, view) for at, view in self.views if at + len(view) > endpoint.released]

    def _report_received(self) -> None:
        endpoint, offload = self._endpoint(), self.target.offload
        while self.taken < len(endpoint.received):
            size = self.target.random.choice((100, 1460, 4000, 40000))
            chunk = bytes(endpoint.received[self.taken : self.taken + size])
            if self.posted:
                self._place(chunk)
            elif not self._deliver(chunk):
                return
        if endpoint.has(lib.TCP_FIN_RECEIVED) and not self.is_fin_told:
            self.is_fin_told = True
            if self.posted and self.posted[0][1][0]:  # bytes come before the FIN that follows them
                _, filled = self.posted.popleft()
                offload.posted(self.handle, filled[0], True)
            offload.fin(self.handle)
            while self.posted:
                _, filled = self.posted.popleft()
                offload.posted(self.handle, filled[0], True)

    def _place(self, chunk: bytes) -> None:
        posted, filled = self.posted[0]
        room = len(posted.view) - posted.done - filled[0]
        size = min(room, len(chunk))
        at = posted.done + filled[0]
        posted.view[at : at + size] = chunk[:size]
        filled[0] += size
        self._took(size)
        self._endpoint().consume(size)
        if size == room or self.target.random.random() < 0.5:
            self.posted.popleft()
            self.target.offload.posted(self.handle, filled[0], True)

    def _deliver(self, chunk: bytes) -> bool:
        by_reference = self.target.random.random() < 0.6
        lent = self.target.lent
        cookie = next(self.target.cookies) if by_reference else 0
        if by_reference:
            lent[cookie] = self, chunk
        try:
            count = self.target.offload.deliver(self.handle, chunk, cookie)
        except UserGone:
            lent.pop(cookie, None)
            self.must_abort = True
            return False
        if by_reference and not count:
            del lent[cookie]
        self._took(count)
        if not by_reference:
            self._endpoint().consume(count)
        self.target.delivered += count
        return count > 0

    def _took(self, count: int) -> None:
        self.taken += count

    def read(self, count: int) -> None:
        """The user read bytes that were delivered by reference."""
        if self.endpoint is not None and self.target.is_live(self) and not self.endpoint.is_closed:
            self.endpoint.consume(count)

    def _look_for_end(self) -> None:
        endpoint = self._endpoint()
        if endpoint.is_closed and not self.wants_upload:
            if endpoint.reason == lib.TCP_REASON_RESET:
                self.target.offload.aborted(self.handle)
                self.result = lib.VNIC_STACK_ECONNRESET
            self.wants_upload = True
        self.wants_upload |= endpoint.is_uploading

    def on_news(self, events: OffloadEvent) -> None:
        """What the user or the network did."""
        endpoint, offload = self._endpoint(), self.target.offload
        if endpoint.is_closed:
            return
        if events & OffloadEvent.URGENT:
            self.wants_upload = True
        if events & (OffloadEvent.SEND | OffloadEvent.SHUTDOWN):
            self._report_sent()
            data = self.submit(len(endpoint.queued) - self.acked)
            if data:
                endpoint.queue(data, push=True)
            if offload.queued(self.handle)[1] and not self.has_shutdown:
                self.has_shutdown = True
                endpoint.shutdown()
        if events & OffloadEvent.ABORT or self.must_abort:
            endpoint.abort()
            self.target.send(self, [Segment.of(endpoint.out, b"")])
            offload.aborted(self.handle)
            self.wants_upload = True
            return
        while (segment := offload.forward(self.handle)) is not None:
            self.target.forwarded += 1
            endpoint.input(parse(segment))
        if events & OffloadEvent.POST and self.target.random.random() < 0.8:
            while (posted := offload.post(self.handle)) is not None:
                self.posted.append((posted, [0]))

    # -- and back

    def leave(self) -> None:
        """The target's part of the upload."""
        endpoint, offload = self._endpoint(), self.target.offload
        if not endpoint.is_closed:
            self.target.send(self, freeze(endpoint))
        state = given(endpoint.engine, endpoint.c, TICKS)
        if endpoint.is_closed:
            state.Delegated.State = lib.TcpConnectionClosed
        if not endpoint.is_closed and self.target.random.random() < 0.5:
            self._report_sent()
        if not endpoint.is_closed:
            self.check_views()
        while self.posted:
            _, filled = self.posted.popleft()
            offload.posted(self.handle, filled[0], False)
        buffered = bytes(endpoint.received[self.taken :])
        offload.upload_end(self.handle, TICKS, state, buffered, self.result)
        lib.tcp_release(endpoint.engine.handle, endpoint.c)
        del endpoint.engine.endpoints[endpoint.index]

    def _endpoint(self) -> Endpoint:
        assert self.endpoint is not None
        return self.endpoint


def parse(l4: bytes) -> Segment:
    """A segment from its header on."""
    raw = ffi.new("struct tcp_segment *")
    assert lib.tcp_header_parse(raw, l4, len(l4)) == 0
    return Segment.of(raw, l4[(l4[12] >> 4) * 4 :])


class Target:
    """An offload target at an interface of a stack, and the driver that moves connections to it."""

    def __init__(self, host: Stack, seed: int = 0, shift_ms: int = 0) -> None:
        self.offload = Offload(host)
        self.random = Random(seed)
        self.shift_ns = 5_000_000_000 + shift_ms * MS
        self.engine = Engine(self.shift_ns, 64)
        self.connections: dict[int, Connection] = {}
        #: Memory that the stack reads, by cookie.
        self.lent: dict[int, tuple[Connection, bytes]] = {}
        self.cookies = itertools.count(1)
        self.out: list[bytes] = []
        self.begun = self.offloaded = self.uploaded = self.refused = 0
        self.delivered = self.forwarded = self.segments_in = 0

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def is_live(self, connection: Connection) -> bool:
        """Whether it runs here."""
        return self.connections.get(connection.handle) is connection and connection.endpoint is not None

    # -- moving

    def begin(self, socket: TcpSocket) -> bool:
        """Freeze a connection; False: not now."""
        try:
            info = socket.info
            state = self.offload.begin(socket.handle, TICKS)
        except WouldBlockError:
            return False
        self.begun += 1
        assert self.offload.where(socket.handle) is Where.OFFLOADING
        self.connections[socket.handle] = Connection(self, socket.handle, state, info.local, info.remote)
        return True

    def settle(self, handle: int, is_offloaded: bool = True) -> None:
        """The initiate ends."""
        connection = self.connections[handle]
        if is_offloaded:
            connection.adopt()
            self.offloaded += 1
        else:
            del self.connections[handle]
            self.refused += 1
        self.offload.end(handle, is_offloaded)

    def upload(self, handle: int) -> None:
        """Begin to give a connection back."""
        self.offload.upload_begin(handle)

    def give_back(self, handle: int) -> None:
        """And do it."""
        connection = self.connections.pop(handle)
        connection.leave()
        self.uploaded += 1

    # -- running

    def set_time(self, now_ns: int) -> None:
        """Time of the host."""
        while self.engine.step(now_ns + self.shift_ns):
            pass

    def deadline_ns(self) -> int:
        """In the host's time."""
        deadline = self.engine.deadline_ns
        return deadline - self.shift_ns if deadline < 1 << 63 else deadline

    def takes(self, frame: bytes) -> bool:
        """A frame from the link: true when it was an offloaded connection's."""
        found = self._find(frame)
        if found is None:
            return False
        connection, l4 = found
        assert connection.endpoint is not None
        self.segments_in += 1
        connection.endpoint.input(parse(l4))
        return True

    def _find(self, frame: bytes) -> tuple[Connection, bytes] | None:
        version = frame[14] >> 4
        if (
            (version == 4 and frame[23] != 6)
            or (version == 6 and frame[20] != 6)
            or frame[12:14] == b"\x08\x06"
        ):
            return None
        start, addresses, size = (34, 26, 4) if version == 4 else (54, 22, 16)
        ports = struct.unpack_from("!HH", frame, start)
        ends = (frame[addresses : addresses + size], ports[0]), (frame[addresses + size : start], ports[1])
        for each in self.connections.values():
            if not self.is_live(each) or self.offload.where(each.handle) is not Where.OFFLOADED:
                continue
            if (
                (each.remote.address.packed, each.remote.port),
                (each.local.address.packed, each.local.port),
            ) == ends:
                length = struct.unpack_from("!H", frame, 16 if version == 4 else 18)[0]
                end = 14 + length if version == 4 else 54 + length
                return each, frame[start:end]
        return None

    def send(self, connection: Connection, segments: Iterable[Segment]) -> None:
        """Segments leave as frames, without checksums: the link is trusted."""
        for segment in itertools.chain.from_iterable(each.packets() for each in segments):
            header = ffi.new("uint8_t[60]")
            size = lib.tcp_header_write(segment.raw(), connection.local.port, connection.remote.port, header)
            l4 = bytes(ffi.buffer(header, size)) + segment.payload
            source, destination = str(connection.local.address), str(connection.remote.address)
            if connection.local.address.version == 4:
                datagram = packet.ipv4(source, destination, packet.TCP, l4)
            else:
                datagram = packet.ipv6(source, destination, packet.TCP, l4)
            self.out.append(packet.ethernet(datagram, source=OUR_MAC, destination=PEER_MAC))

    def work(self) -> None:
        """Everything that waits, both ways."""
        for handle, events in self.offload.news():
            for cookie in self.offload.returns(handle):
                owner, data = self.lent.pop(cookie)
                owner.read(len(data))
            connection = self.connections.get(handle)
            if connection is not None and connection.endpoint is not None:
                connection.on_news(events)
        for connection in list(self.connections.values()):
            where = self.offload.where(connection.handle)
            if connection.endpoint is not None and where is Where.OFFLOADED:
                connection.work()
                self.send(connection, connection.endpoint.pull())


class Hosts:
    """Host A with a target, host B without, a link between; A sends by its stack or by the target."""

    def __init__(
        self, link: Link | None = None, *, seed: int = 0, shift_ms: int = 0, version: int = 4, **config: Any
    ) -> None:
        self.link = link or Link()
        values: dict[str, Any] = {"connections": 16, "neighbours": 16} | config
        self.a, self.b = Stack(seed=3 + seed, **values), Stack(seed=4 + seed, **values)
        self.version = version
        self.ports = (
            self._interface(self.a, OUR_MAC, (US, US6)),
            self._interface(self.b, PEER_MAC, (PEER, PEER6)),
        )
        self.ports[0].add_neighbour(PEER, PEER_MAC)
        self.ports[1].add_neighbour(US, OUR_MAC)
        self.ports[0].add_neighbour(PEER6, PEER_MAC)
        self.ports[1].add_neighbour(US6, OUR_MAC)
        self.target = Target(self.a, seed, shift_ms)
        self.now_ns = 0
        self._wire: list[tuple[int, int, int, bytes, int]] = []
        self._count = itertools.count()
        self.resets = 0
        #: The longest step of time.
        self.stride_ns = MS

    @staticmethod
    def _interface(stack: Stack, mac: bytes, addresses: tuple[str, str]) -> Interface:
        made = stack.add_interface(mac=mac)
        made.set_link(True)
        made.add_address(f"{addresses[0]}/24")
        made.add_address(f"{addresses[1]}/64")
        return made

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, *_: object) -> None:
        self.target.close()
        self.a.close()
        self.b.close()

    def connect(self, *, passive: bool = False) -> tuple[TcpSocket, TcpSocket]:
        """A connection: A's end and B's."""
        names = (US, PEER) if self.version == 4 else (US6, PEER6)
        here, there = (self.b, self.a) if passive else (self.a, self.b)
        at = names[0] if passive else names[1]
        listener = there.listen((at, 80))
        opened = here.connect((at, 80))
        accepted: list[TcpSocket] = []

        def has_come() -> bool:
            socket = listener.accept()
            accepted.extend([socket] if socket else [])
            return bool(accepted) and opened.is_connected

        self.until(has_come, 10_000)
        listener.close()
        return (accepted[0], opened) if passive else (opened, accepted[0])

    # -- time

    def until(self, is_done: Any, limit_ms: int = 600_000, tick: Any = None) -> None:
        """Run until then; AssertionError when it never comes."""
        end = self.now_ns + limit_ms * MS
        idle = 0
        while not is_done():
            before = self.now_ns
            self.step()
            if tick is not None:
                tick()
            idle = idle + 1 if self.now_ns == before else 0
            assert idle < 200, "time stands still"
            assert self.now_ns < end, "it never comes"

    def run(self, ms: float, tick: Any = None) -> None:
        """Let time pass."""
        end = self.now_ns + int(ms * MS)
        while self.now_ns < end:
            self.step(end)
            if tick is not None:
                tick()

    def step(self, end_ns: int | None = None) -> None:
        """Everything that is due now; then to the next time at which something is, at most 1 ms on."""
        self._arrive()
        for stack in (self.a, self.b):
            stack.advance(self.now_ns)
            stack.dispatch()
        self.target.set_time(self.now_ns)
        self.target.work()
        self._leave()
        if not (self._wire and self._wire[0][0] <= self.now_ns):
            self.now_ns = min(
                self.now_ns + self.stride_ns, max(self._next(), self.now_ns + 1000), end_ns or 1 << 62
            )

    def _next(self) -> int:
        times = [self.target.deadline_ns()]
        times += [each for each in (self.a.next_deadline_ns(), self.b.next_deadline_ns()) if each is not None]
        times += [self._wire[0][0]] if self._wire else []
        return min(times)

    def _arrive(self) -> None:
        while self._wire and self._wire[0][0] <= self.now_ns:
            _, _, to, frame, flags = heapq.heappop(self._wire)
            if to == 0 and self.target.takes(frame):
                continue
            self.ports[to].receive(frame, flags)

    def _leave(self) -> None:
        for side, port in enumerate(self.ports):
            while (sent := port.transmit()) is not None:
                self._put(1 - side, sent[0], 0)
        frames, self.target.out = self.target.out, []
        for frame in frames:
            self._put(1, frame, VERIFIED)

    def _put(self, to: int, frame: bytes, flags: int) -> None:
        start = {(8, 0): 34, (0x86, 0xDD): 54}.get((frame[12], frame[13]))
        if start is not None and frame[23 if start == 34 else 20] == 6:
            self.resets += bool(frame[start + 13] & lib.TCP_RST)
        delay = self.link.fate()
        if delay is not None:
            heapq.heappush(self._wire, (self.now_ns + delay, next(self._count), to, frame, flags))


class Talker:
    """The user of a connection: sends a pattern, reads all, in changing ways, and finishes."""

    def __init__(
        self, socket: TcpSocket, total: int, seed: int, *, posts: bool = True, reads: bool = True
    ) -> None:
        self.socket, self.total, self.random = socket, total, Random(seed)
        self.sent = 0
        self.given = 0  # by reference and copy
        self.completed = 0
        self.received = bytearray()
        self.has_end = False
        self.posts, self.reads = posts, reads
        self._posted: deque[bytearray] = deque()

    def pump(self) -> None:
        """Go on with both."""
        if self.sent < self.total:
            self._send()
        elif self.sent == self.total:
            self.sent += 1
            self.socket.shutdown()
        if self.reads and not self.has_end:
            self._read()

    def _send(self) -> None:
        size = min(self.random.choice((1, 300, 5000, 60_000)), self.total - self.sent)
        data = pattern(self.sent, size)
        if self.random.random() < 0.4:
            if self.socket.send_by_reference(data, done=self._done):
                self.sent += size
                self.given += size
        else:
            self.sent += self.socket.send(data, more=self.random.random() < 0.2)

    def _done(self, count: int, error: object) -> None:
        assert error is None, error
        self.completed += count

    def _read(self) -> None:
        way = self.random.random()
        if self._posted:
            return
        if way < 0.3 and self.posts:
            room = bytearray(self.random.choice((500, 3000, 30_000)))
            self._posted.append(room)
            self.socket.post(room, self._filled)
        elif way < 0.6:
            pieces = self.socket.peek()
            data = b"".join(bytes(piece) for piece in pieces)[: self.random.choice((100, 10_000))]
            if data:
                self.received += data
                self.socket.consume(len(data))
        else:
            self._take(self.socket.recv(self.random.choice((100, 5000, 100_000))))

    def _take(self, data: bytes | None) -> None:
        if data is not None:
            self.received += data
            self.has_end = not data

    def _filled(self, count: int, error: object) -> None:
        assert error is None, error
        self.received += self._posted.popleft()[:count]

    @property
    def is_done(self) -> bool:
        """Sent all, and read to the end."""
        return self.sent > self.total and self.has_end and self.completed == self.given

    def check(self, total: int) -> None:
        """It read what the other sent, and the connection ended well."""
        assert len(self.received) == total
        assert bytes(self.received) == pattern(0, total)
        assert self.socket.error is None
        assert self.socket.events & SocketEvent.FIN
