"""A host with a chimney and a peer on one wire; two applications that follow a script; what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from tests.chimney.lwip_peer import LwipSocket, LwipStation
from vnic.errors import VnicError
from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.protocol.chimney_options import manual
from vnic.stack.tcp import TcpSocket
from vnic.testbench.host import FAST, Host
from vnic.testbench.network import Network, Station
from vnic.wire.parse import L4, Frame

MS = 1_000_000
PORT = 7
PEER_MAC = b"\2\0\0\0\0\x22"
CABLE = Impairments(delay_ns=MS)
_PATIENCE_NS = 900_000 * MS
_HOST, _PEER = 0, 1


@dataclass(frozen=True, slots=True)
class Act:
    """After `pause_ms` side 0 (the host) or 1 does something.

    It sends `amount` bytes, stops reading or goes on, shuts down, aborts; or the link is bad for a while.
    """

    pause_ms: int
    side: int
    what: str
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """What both applications do, over which wire; `opener` connects."""

    acts: tuple[Act, ...]
    cable: Impairments = CABLE
    version: int = 4
    opener: int = 0
    seed: int = 0
    #: The peer is lwIP instead of a stack of ours; IPv4 only.
    is_foreign: bool = False
    stack: tuple[tuple[str, Any], ...] = ()


@dataclass(slots=True)
class Span:
    """Sequence numbers that one direction used: from the SYN to the highest byte or FIN."""

    first: int | None = None
    used: int = 0

    def see(self, seq: int, length: int) -> None:
        """A segment that takes `length` numbers."""
        if self.first is None:
            self.first = seq
        reach = (seq + length - self.first) & 0xFFFF_FFFF
        if reach < 1 << 31:
            self.used = max(self.used, reach)


class Application:
    """One end: writes what the script says as there is room, reads unless it was told to stop."""

    def __init__(self, socket: TcpSocket | LwipSocket, noise: Random) -> None:
        self.socket = socket
        self.sent = bytearray()
        self.received = bytearray()
        self.is_reading = True
        self.has_end = False
        self.error: str | None = None
        self._noise = noise
        self._waiting = bytearray()
        self._wants_end = self._is_shut = False

    def do(self, what: str, amount: int) -> None:
        """One act."""
        if what == "send" and not (self._wants_end or self._is_shut):
            self._waiting += self._noise.randbytes(amount)
        elif what in ("stop", "read"):
            self.is_reading = what == "read"
        elif what == "shutdown":
            self._wants_end = True
        elif what == "abort" and not self.socket.is_over:
            self.socket.abort()
            self.error = "aborted"
        self.move()

    def move(self) -> None:
        """As far as it goes now."""
        if self.error is not None:
            return
        try:
            self._write()
            if self.is_reading and not self.has_end:
                self._read()
        except VnicError as error:
            self.error = type(error).__name__

    def _write(self) -> None:
        while self._waiting and (taken := self.socket.send(self._waiting)):
            self.sent += self._waiting[:taken]
            del self._waiting[:taken]
        if self._wants_end and not self._waiting and not self._is_shut:
            self.socket.shutdown()
            self._is_shut = True

    def _read(self) -> None:
        while (data := self.socket.recv()) is not None:
            if not data:
                self.has_end = True
                return
            self.received += data

    @property
    def ended(self) -> str | None:
        """How the connection ended, whether the application still asked or not."""
        error = self.socket.error
        return self.error or (type(error).__name__ if error is not None else None)

    @property
    def is_done(self) -> bool:
        """Everything is said and heard, or it broke."""
        return self.error is not None or (self._is_shut and self.has_end and not self._waiting)


@dataclass(slots=True)
class Outcome:
    """What a run came to: by side, bytes read and how it ended; by direction, the numbers used."""

    received: tuple[bytes, bytes]
    sent: tuple[bytes, bytes]
    ended: tuple[str | None, str | None]
    spans: tuple[int, int]
    #: Where both connections were when one was broken off.
    broken_in: tuple[str, str] | None = None
    #: (connection state, event) pairs that were met.
    met: Counter[tuple[str, str]] = field(default_factory=Counter)
    initiates: int = 0
    #: Moves while bytes were sent, or at the card to be sent, and not acknowledged.
    moves_in_flight: int = 0
    offloaded_bytes: int = 0


class Stage:
    """Host and peer, connected; `mode` is software, offloaded or moving."""

    def __init__(self, script: Script, mode: str, **bench: Any) -> None:
        self.script, self.mode = script, mode
        self.network = Network()
        self.spans = (Span(), Span())
        self.met: Counter[tuple[str, str]] = Counter()
        # A handshake that meets too much loss is given up sooner by one than by the other.
        self.wire = Wire(forth=replace(script.cable, loss=0), seed=script.seed)
        self.peer: Station | LwipStation = self._make_peer()
        self.host = Host(
            "10.0.0.1/24", "fd00::1/64", link=_Near(self), world=self.network,
            stack={"address_probes": 0, "seed": script.seed + 5} | dict(script.stack),
            bench=dict(FAST) | bench,
            chimney=manual() if mode != "software" else None,
        )  # fmt: skip
        self.wire.attach(0, self.host.bench.device)
        self.wire.attach(1, self.peer.port)
        self.network.add_link(self.wire)
        if script.is_foreign:
            self.network.add_link(self.peer.port)
        self._near: TcpSocket
        self._moves_in_flight = 0
        self._broken_in: tuple[str, str] | None = None
        self._moves = Random(script.seed ^ 0x0FF10AD)

    def _make_peer(self) -> Station | LwipStation:
        script = self.script
        if script.is_foreign:
            return LwipStation(self)
        return self.network.station(
            "10.0.0.2/24", "fd00::2/64", mac=PEER_MAC, link=self, seed=script.seed + 77, **dict(script.stack)
        )

    # -- the wire, watched -----------------------------------------------------------------------------------

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """The peer's link."""
        self.see(1, frame)
        self.wire.transmit(1, frame, now_ns)

    def see(self, side: int, frame: bytes) -> None:
        """A frame that one side sends."""
        parsed = Frame.parse(frame)
        if parsed.l4 is L4.TCP:
            tcp = parsed.l4_offset
            flags = frame[tcp + 13]
            length = parsed.l4_len - (frame[tcp + 12] >> 4) * 4 + bool(flags & 1) + bool(flags & 2)
            if not flags & 4:
                self.spans[side].see(int.from_bytes(frame[tcp + 4 : tcp + 8]), length)

    # -- the run ---------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """The whole script, then both ends finish."""
        near, far = self._connect()
        self._set_cable(self.script.cable)
        self._near = near
        apps = (Application(near, Random(1)), Application(far, Random(2)))
        if self.mode == "offloaded":
            self._offload(near)
        for act in self.script.acts:
            self._pass(apps, act.pause_ms * MS)
            self._move_sometimes(near)
            self.met[(self._state(near), act.what)] += 1
            self._do(apps, act)
        if self._broken_in is not None:  # whoever closes first, the news of the end comes before
            self._pass(apps, 2000 * MS)
        for app in apps:
            app.is_reading = True
            app.do("shutdown", 0)
        self._finish(apps)
        return self._outcome(apps)

    def _connect(self) -> tuple[TcpSocket, TcpSocket | LwipSocket]:
        if isinstance(self.peer, LwipStation):
            return self._connect_foreign(self.peer)
        address = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}[self.script.version]
        stations = (self.host, self.peer)
        opener, other = stations[self.script.opener], stations[1 - self.script.opener]
        listener = other.stack.listen((address[1 - self.script.opener], PORT))
        first = opener.streams.connect((address[1 - self.script.opener], PORT))
        second = other.streams.accept(listener)
        listener.close()
        ends = (first.socket, second.socket)
        return ends if self.script.opener == _HOST else (ends[1], ends[0])

    def _connect_foreign(self, peer: LwipStation) -> tuple[TcpSocket, LwipSocket]:
        if self.script.opener == _HOST:
            peer.listen(PORT)
            near = self.host.streams.connect(("10.0.0.2", PORT)).socket
            far = self._awaited(peer.accepted)
        else:
            listener = self.host.stack.listen(("10.0.0.1", PORT))
            far = peer.connect(PORT)
            near = self.host.streams.accept(listener).socket
            listener.close()
        assert self.network.run_until(lambda: far.is_connected, 60_000 * MS)
        return near, far

    def _awaited(self, ask: Callable[[], LwipSocket | None]) -> LwipSocket:
        made: list[LwipSocket] = []

        def has_come() -> bool:
            made.extend(filter(None, [ask()]))
            return bool(made)

        assert self.network.run_until(has_come, 60_000 * MS)
        return made[0]

    def _do(self, apps: Sequence[Application], act: Act) -> None:
        if act.what == "storm":
            bad = replace(self.script.cable, loss=0.15, reorder=0.3)
            self._set_cable(bad if act.amount else self.script.cable)
        else:
            if act.what == "abort":
                self._broken_in = (self._state(apps[0].socket), self._state(apps[1].socket))
            apps[act.side].do(act.what, act.amount)

    def _set_cable(self, nature: Impairments) -> None:
        for side in (_HOST, _PEER):
            self.wire.set_impairments(side, nature)

    def _pass(self, apps: Sequence[Application], duration_ns: int) -> None:
        self.network.run_until(lambda: self._turn(apps), duration_ns)

    def _turn(self, apps: Sequence[Application]) -> bool:
        for app in apps:
            app.move()
        if self.mode == "moving" and self._moves.random() < 0.05:
            self._move_sometimes(self._near)
        elif self.mode == "offloaded":
            self._offload(self._near)
        return False

    def _finish(self, apps: Sequence[Application]) -> None:
        self._set_cable(self.script.cable)

        def is_done() -> bool:
            self._turn(apps)
            return all(app.is_done for app in apps)

        assert self.network.run_until(is_done, _PATIENCE_NS), f"{self.mode}: the applications never finish"
        self.network.run_for(1000 * MS)

    # -- moves -----------------------------------------------------------------------------------------------

    def _state(self, socket: TcpSocket | LwipSocket) -> str:
        if isinstance(socket, LwipSocket):
            return "lwIP"
        return "CLOSED" if socket.is_over else getattr(socket.info.state, "name", "LISTEN")

    def _offload(self, socket: TcpSocket) -> None:
        if not socket.is_over and str(self.host.chimney.where(socket)) == "InHost":
            state, flight = self._state(socket), socket.info.flight
            if self.host.chimney.offload(socket):
                self.met[(state, "offload")] += 1
                self._moves_in_flight += flight > 0

    def _move_sometimes(self, socket: TcpSocket) -> None:
        if self.mode != "moving" or socket.is_over:
            return
        where = str(self.host.chimney.where(socket))
        state, queued = self._state(socket), socket.info.send_queued
        if where == "InHost":
            self._offload(socket)
        elif where == "Offloaded" and self.host.chimney.upload(socket):
            self.met[(state, "upload")] += 1
            self._moves_in_flight += queued > 0

    def _outcome(self, apps: Sequence[Application]) -> Outcome:
        manager = self.host.chimney if self.mode != "software" else None
        return Outcome(
            received=(bytes(apps[0].received), bytes(apps[1].received)),
            sent=(bytes(apps[0].sent), bytes(apps[1].sent)),
            ended=(apps[0].ended, apps[1].ended),
            spans=(self.spans[0].used, self.spans[1].used),
            broken_in=self._broken_in,
            met=self.met,
            moves_in_flight=self._moves_in_flight,
            initiates=manager.initiates if manager else 0,
            offloaded_bytes=manager.bytes_sent + manager.bytes_received if manager else 0,
        )

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if isinstance(self.peer, LwipStation):
            self.peer.stop()
        with self.network:
            self.host.close() if kind is None else self.host.abandon()


class _Near:
    """The card's link."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """A frame of the card."""
        self._stage.see(0, frame)
        self._stage.wire.transmit(0, frame, now_ns)


def played(script: Script, mode: str, **bench: Any) -> Outcome:
    """The script in one mode, on a stage of its own."""
    with Stage(script, mode, **bench) as stage:
        return stage.run()
