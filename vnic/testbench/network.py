"""Stacks on wires in one virtual time: peers without a card between them."""

from __future__ import annotations

from typing import Any

from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.stack.config import StackConfig
from vnic.stack.port import Port, Transmitter
from vnic.stack.stack import Stack
from vnic.stack.stream import Streams
from vnic.testbench.patience import in_virtual_time
from vnic.testbench.world import World


class Station:
    """A stack with one interface and its port; `streams` wait in the network's time."""

    def __init__(self, world: World, stack: Stack, port: Port) -> None:
        self.stack = stack
        self.port = port
        self.interface = port.interface
        self.streams = Streams(stack, in_virtual_time(world))


class Network(World):
    """A world of stacks; its end closes them."""

    def __init__(self) -> None:
        super().__init__()
        self.stations: list[Station] = []

    def station(
        self,
        *addresses: str,
        mac: bytes | None = None,
        mtu: int = 1500,
        vlan: int = 0,
        gateway: str | None = None,
        link: Transmitter | None = None,
        **config: Any,
    ) -> Station:
        """A stack with an interface of these addresses ('10.0.0.1/24'); `config` is that of StackConfig.

        The seed follows from the number of the station, so that no two have the same numbers; addresses are
        not probed for first.
        """
        number = len(self.stations) + 1
        stack = Stack(StackConfig(**{"seed": number, "address_probes": 0} | config))
        address = mac or bytes.fromhex("0200000000") + bytes([number])
        port = Port(stack, stack.add_interface(mac=address, mtu=mtu, vlan=vlan), link)
        for each in addresses:
            port.interface.add_address(each)
        if gateway is not None:
            stack.add_route("::/0" if ":" in gateway else "0.0.0.0/0", gateway)
        made = Station(self, stack, port)
        self.stations.append(made)
        self.add_link(port)
        return made

    def join(
        self,
        first: Station,
        second: Station,
        *,
        forth: Impairments | None = None,
        back: Impairments | None = None,
        seed: int = 0,
    ) -> Wire:
        """A wire between two stations; `forth` is what it does to frames of the first."""
        wire = Wire(first.port, second.port, forth=forth, back=back, seed=seed)
        first.port.link, second.port.link = wire.end(0), wire.end(1)
        self.add_link(wire)
        return wire

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.stations:
            each.stack.close()
