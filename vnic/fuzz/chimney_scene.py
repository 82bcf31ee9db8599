"""Connections that move into the card and back while data moves: each stream arrives as it was sent."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Final

from vnic.errors import ArgumentError, VnicError
from vnic.fuzz.choice import OneOf, Range
from vnic.fuzz.scene import Broken, Scene, act
from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.ndis.structures import DevicePowerState
from vnic.protocol.chimney_options import manual
from vnic.stack.tcp import TcpSocket
from vnic.testbench.host import FAST, Host
from vnic.testbench.network import Network

__all__ = ["ChimneyScene"]

CONNECTIONS = 3
_MS = 1_000_000
_PORT = 7
_CABLE = Impairments(delay_ns=_MS)
_OPTIONS: Final[dict[str, Any]] = {"seed": 0}
_PATIENCE_NS = 900_000 * _MS
#: Bytes on their way in one direction, beyond which nothing more is sent.
_WAITING_MAX = 1 << 18


@dataclass(eq=False)
class Way:
    """One direction of a connection: what was written, how much of it was read."""

    source: TcpSocket
    sink: TcpSocket
    noise: random.Random
    written: bytearray
    read: int = 0
    is_shut: bool = False
    has_end: bool = False
    is_stopped: bool = False

    def write(self, size: int) -> None:
        """As much as is taken."""
        if self.is_shut or len(self.written) - self.read > _WAITING_MAX:
            return
        data = self.noise.randbytes(size)
        self.written += data[: self.source.send(data)]

    @property
    def is_broken(self) -> bool:
        """Whether the connection broke off at either end."""
        return self.source.error is not None or self.sink.error is not None

    def pull(self) -> None:
        """Read what is there; Broken when it is not what was written."""
        while not (self.is_stopped or self.has_end) and (data := self.sink.recv()) is not None:
            if not data:
                self.has_end = True
                if not self.is_shut or self.read != len(self.written):
                    raise Broken(
                        "chimney-end", f"the end came after {self.read} of {len(self.written)} bytes"
                    )
                return
            if self.written[self.read : self.read + len(data)] != data:
                raise Broken("chimney-data", f"other bytes at {self.read} than were sent")
            self.read += len(data)


class ChimneyScene(Scene):
    """A host with a chimney and a peer on one wire, and a few connections between them."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        if options.keys() - _OPTIONS.keys():
            raise ArgumentError(f"options of a chimney's scene: {sorted(options.keys() - _OPTIONS.keys())}")
        options = _OPTIONS | options
        self.network = Network()
        self.wire = Wire(forth=_CABLE, seed=options["seed"])
        self.peer = self.network.station("10.0.0.2/24", mac=b"\2\0\0\0\0\x22", link=self.wire.end(1), seed=77)
        self.host = Host(
            "10.0.0.1/24",
            link=self.wire.end(0),
            world=self.network,
            stack={"address_probes": 0, "seed": 5, "buffer_bytes": 1 << 20, "connections": 16},
            bench={**FAST, "seed": options["seed"] or None, "cpus": 2, "device": {"connections": 64}},
            chimney=manual(),
        )
        self.wire.attach(0, self.host.bench.device)
        self.wire.attach(1, self.peer.port)
        self.network.add_link(self.wire)
        self.ways: list[tuple[Way, Way]] = [self._connect(number) for number in range(CONNECTIONS)]
        self.is_asleep = False

    def _connect(self, number: int) -> tuple[Way, Way]:
        listener = self.host.stack.listen(("10.0.0.1", _PORT + number))
        far = self.peer.streams.connect(("10.0.0.1", _PORT + number)).socket
        near = self.host.streams.accept(listener).socket
        listener.close()
        return (
            Way(near, far, random.Random(number), bytearray()),
            Way(far, near, random.Random(~number), bytearray()),
        )

    @property
    def situation(self) -> str:
        """Where the connections are."""
        places = {str(self.host.chimney.where(up.source)) for up, _ in self.ways if not up.source.is_over}
        return " and ".join(sorted(places)) or "over"

    # -- moves -----------------------------------------------------------------------------------------------

    @act(16, number=Range(0, CONNECTIONS - 1))
    def move(self, number: int) -> None:
        """Into the card, or back; both take their time."""
        socket = self.ways[number][0].source
        if socket.is_over:
            return
        where = str(self.host.chimney.where(socket))
        state = getattr(socket.info.state, "name", "LISTEN")
        if where == "InHost" and self.host.chimney.offload(socket):
            self.reached.add(f"offloaded in {state}")
        elif where == "Offloaded" and self.host.chimney.upload(socket):
            self.reached.add(f"uploaded in {state}")

    # -- data ------------------------------------------------------------------------------------------------

    @act(24, number=Range(0, CONNECTIONS - 1), side=Range(0, 1), size=OneOf(100, 1, 1460, 5000, 60_000))
    def write(self, number: int, side: int, size: int) -> None:
        """One end writes."""
        try:
            self.ways[number][side].write(size)
        except VnicError as error:
            self._broke(error)

    @act(4, number=Range(0, CONNECTIONS - 1), side=Range(0, 1))
    def stop(self, number: int, side: int) -> None:
        """One end does not read for a while, or reads again."""
        way = self.ways[number][side]
        way.is_stopped = not way.is_stopped

    @act(2, number=Range(0, CONNECTIONS - 1), side=Range(0, 1))
    def shut(self, number: int, side: int) -> None:
        """One end has no more to say."""
        self._shut(self.ways[number][side])

    @staticmethod
    def _shut(way: Way) -> None:
        if not (way.is_shut or way.is_broken):
            way.is_shut = True
            way.source.shutdown()

    # -- the world -------------------------------------------------------------------------------------------

    @act(16, ms=OneOf(1, 5, 50, 300))
    def wait(self, ms: int) -> None:
        """Time goes on, and both read."""
        self.network.run_until(self._pull, ms * _MS)

    @act(3, loss=OneOf(0, 5, 20), reorder=OneOf(0, 30))
    def storm(self, loss: int, reorder: int) -> None:
        """The wire is bad, or good again."""
        nature = replace(_CABLE, loss=loss / 100, reorder=reorder / 100)
        for side in (0, 1):
            self.wire.set_impairments(side, nature)

    @act(1)
    def sleep(self) -> None:
        """The card to D3 and back: everything comes back to the host first."""
        for state in (DevicePowerState.D3, DevicePowerState.D0):
            self.host.bench.adapter.set_power(state)

    @act(1)
    def reset(self) -> None:
        """The card is reset under its connections."""
        self.host.bench.adapter.reset()
        self.reached.add("reset")

    # -- looking ---------------------------------------------------------------------------------------------

    def _pull(self) -> bool:
        for way in (way for pair in self.ways for way in pair):
            try:
                way.pull()
            except VnicError as error:
                self._broke(error)
        return all(way.has_end or way.is_broken for pair in self.ways for way in pair)

    def _broke(self, error: VnicError) -> None:
        """A connection that broke off, which only a reset of the card may do to it."""
        if "reset" not in self.reached:
            raise Broken("chimney-broken", f"a connection ended as {type(error).__name__}")

    def check(self) -> None:
        """What arrives is what was sent; no rule was broken and hidden."""
        self._pull()
        if self.host.bench.ndis.violations:
            raise self.host.bench.ndis.violations[0]

    def finish(self) -> None:
        """Both ends of each connection finish, and nothing is left."""
        self.storm(0, 0)
        for way in (way for pair in self.ways for way in pair):
            way.is_stopped = False
            try:
                self._shut(way)
            except VnicError as error:
                self._broke(error)
        is_done = self.network.run_until(self._pull, _PATIENCE_NS)
        if not is_done and "reset" not in self.reached:
            raise Broken("chimney-stalled", "the connections never end")
        for pair in self.ways:
            for way in pair:
                way.source.close()
        self.network.run_for(1000 * _MS)
        self.host.close()
        self.network.__exit__(None, None, None)

    def abandon(self) -> None:
        """Pull the plug."""
        self.host.abandon()
        for each in self.network.stations:
            each.stack.close()
