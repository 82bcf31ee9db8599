"""A host with two cards and a station at a learning switch between them."""

from __future__ import annotations

from typing import Any

from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.protocol.chimney_options import ChimneyOptions, manual
from vnic.protocol.chimney_tally import Where
from vnic.protocol.tcpip_binding import TcpipBinding
from vnic.stack.stream import Stream
from vnic.testbench.host import Host
from vnic.testbench.network import Network, Station
from vnic.testbench.slot import Slot
from vnic.testbench.team import Team
from vnic.testbench.world import World

MS = 1_000_000
S = 1_000_000_000
_QUICK = Impairments(delay_ns=50_000)


class _Port:
    """One port of the switch: what arrives there goes on to the others."""

    def __init__(self, switch: Switch, number: int) -> None:
        self.switch = switch
        self.number = number

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """Learn where the source is, then send it on."""
        self.switch.forward(self.number, frame)

    def link_changed(self, up: bool, now_ns: int) -> None:
        """Forget who was there."""
        self.switch.places = {mac: at for mac, at in self.switch.places.items() if at != self.number}


class Switch:
    """Ports of the host's two cards, then the station. `misdirected`: from the right port to another."""

    def __init__(self, wires: list[Wire], world: World) -> None:
        self.wires = wires
        self.world = world
        self.places: dict[bytes, int] = {}
        self.misdirected: dict[int, int] = {}
        for number, wire in enumerate(wires):
            wire.attach(1, _Port(self, number))

    def forward(self, source: int, frame: bytes) -> None:
        """To the port of its destination, else to all; at the world's time, which no wire is ahead of."""
        self.places[frame[6:12]] = source
        known = self.places.get(frame[:6])
        known = self.misdirected.get(known, known) if known is not None else None
        for number, wire in enumerate(self.wires):
            if number != source and known in (None, number):
                wire.transmit(1, frame, self.world.clock.now_ns)


class TwoCards:
    """A host (10.0.0.1, fd00::1) with cards `own` and `slot`, and a station (10.0.0.2, fd00::2).

    is_team: both under one teaming driver, with one address; else two interfaces.
    """

    def __init__(
        self,
        *,
        is_team: bool = True,
        options: ChimneyOptions | None = None,
        slot: dict[str, Any] | None = None,
        **host: Any,
    ) -> None:
        self.network = Network()
        self.wires = [Wire(forth=_QUICK, seed=each) for each in range(3)]
        self.switch = Switch(self.wires, self.network)
        self.peer: Station = self.network.station(
            "10.0.0.2/24", "fd00::2/64", mac=b"\2\0\0\0\0\x22", link=self.wires[2].end(0)
        )
        self.host = Host(
            "10.0.0.1/24", "fd00::1/64", link=self.wires[0].end(0), world=self.network,
            stack={"address_probes": 0}, chimney=options or manual(), **host,
        )  # fmt: skip
        self.wires[0].attach(0, self.host.bench.device)
        self.wires[2].attach(0, self.peer.port)
        self.slot = self.insert_slot(is_team, slot or {})
        self.wires[1].attach(0, self.slot.device)
        for wire in self.wires:
            self.network.add_link(wire)
        self.chimney = self.host.chimney
        self.team: Team | None = None
        if is_team:
            self.team = Team(self.host, [self.slot])
        else:
            self.slot.adapter.bind(self.host.protocol)
        self.network.run_for(MS)

    def insert_slot(self, is_team: bool, more: dict[str, Any]) -> Slot:
        """The second card; of a team, with the address of the first."""
        mac = self.host.bench.station if is_team else b"\2\0\0\0\0\x12"
        device = {"connections": 256, "mac": b"\2\0\0\0\0\x12"} | more.pop("device", {})
        keywords = {"NetworkAddress": mac.hex(), "*InterruptModeration": 0}
        return Slot(self.host.bench, link=self.wires[1].end(0), device=device, keywords=keywords, **more)

    @property
    def the_team(self) -> Team:
        """The team, where there is one."""
        assert self.team is not None
        return self.team

    @property
    def second(self) -> TcpipBinding:
        """The interface of the second card, where that is not in a team."""
        return self.host.protocol.bindings[1]

    def connect(self, address: str = "10.0.0.2", port: int = 80) -> tuple[Stream, Stream]:
        """The host's and the station's end of a connection that the host opens."""
        listener = self.peer.stack.listen((address, port))
        near = self.host.streams.connect((address, port))
        far = self.peer.streams.accept(listener)
        listener.close()
        return near, far

    def offloaded(self, address: str = "10.0.0.2", port: int = 80) -> tuple[Stream, Stream]:
        """A connection that is at a card."""
        near, far = self.connect(address, port)
        assert self.chimney.offload(near.socket)
        self.reach(near, Where.OFFLOADED)
        return near, far

    def reach(self, stream: Stream, where: Where) -> None:
        """Let time pass until a connection is somewhere."""
        assert self.network.run_until(lambda: self.chimney.where(stream.socket) is where, S)

    def set_link(self, number: int, up: bool) -> None:
        """Plug or unplug the cable of card 0 or 1."""
        now_ns = self.network.clock.now_ns
        self.wires[number].set_link(up, now_ns)
        device = (self.host.bench.device, self.slot.device)[number]
        device.set_link(10_000 if up else 0)

    def __enter__(self) -> TwoCards:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.network:
            if kind is not None:
                self.slot.abandon()
                self.host.abandon()
                return
            if self.team is not None:
                self.team.dissolve()
            self.wires[1].attach(0, None)
            self.slot.close()
            self.host.close()
