"""What stands at the other end of a card's wire: frames by hand, and a station with TCP/IP."""

from __future__ import annotations

from collections.abc import Callable

from vnic.link.impairments import Impairments, LaneStatistics
from vnic.link.wire import Wire
from vnic.stack.config import StackConfig
from vnic.stack.port import Port
from vnic.stack.stack import Stack
from vnic.stack.stream import Stream
from vnic.stack.tcp import Listener
from vnic.testbench.frames import PEER
from vnic.testbench.network import Station
from vnic.testbench.world import World

#: Of the station, and of a host that talks to it.
ADDRESSES = ("10.0.0.2/24", "fd00::2/64")
HOST_ADDRESSES = ("10.0.0.1/24", "fd00::1/64")
ADDRESS, HOST_ADDRESS = "10.0.0.2", "10.0.0.1"
_SECOND_NS = 1_000_000_000


class Peer:
    """Side 1 of a wire whose side 0 is a card; made before the card, which sends to `end`.

    forth: what the wire does to frames of the card; back: to those of the peer (by default the same).
    """

    def __init__(
        self,
        world: World,
        *,
        forth: Impairments | None = None,
        back: Impairments | None = None,
        seed: int = 0,
        mac: bytes = PEER,
    ) -> None:
        self.world = world
        self.mac = mac
        self.wire = Wire(forth=forth, back=back, seed=seed)
        self.wire.attach(1, self)
        self.end = self.wire.end(0)
        #: Every frame that arrived, in order.
        self.received: list[bytes] = []
        self._seed = seed
        self._station: Station | None = None
        world.add_link(self.wire)

    # -- frames ----------------------------------------------------------------------------------------------

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """A frame arrives."""
        self.received.append(frame)
        if self._station is not None:
            self._station.port.deliver(frame, now_ns)

    def link_changed(self, up: bool, now_ns: int) -> None:
        """The link went up or down."""
        if self._station is not None:
            self._station.port.link_changed(up, now_ns)

    def send(self, *frames: bytes) -> None:
        """Put frames on the wire; they arrive as time passes."""
        for frame in frames:
            self.wire.transmit(1, frame, self.world.clock.now_ns)

    def wait(self, count: int = 1, within_ns: int = _SECOND_NS) -> list[bytes]:
        """Let time pass until so many frames have arrived in all; AssertionError when they do not come."""
        self.wait_until(lambda: len(self.received) >= count, within_ns, f"{count} frames")
        return self.received

    def wait_until(self, is_done: Callable[[], bool], within_ns: int = _SECOND_NS, what: str = "it") -> None:
        """Let time pass until something is so; AssertionError when it does not become so."""
        if not self.world.run_until(is_done, within_ns):
            came = f"{len(self.received)} frames came, {self.lost} were lost on the wire"
            raise AssertionError(f"{what} did not come within {within_ns} ns; {came}")

    # -- the wire --------------------------------------------------------------------------------------------

    def set_link(self, up: bool) -> None:
        """Pull or plug the cable; both ends see it."""
        self.wire.set_link(up, self.world.clock.now_ns)

    @property
    def statistics(self) -> LaneStatistics:
        """The wire's counts of what the card sent."""
        return self.wire.statistics(0)

    @property
    def lost(self) -> int:
        """Frames of the card that the wire lost."""
        return self.statistics.lost

    # -- TCP/IP ----------------------------------------------------------------------------------------------

    @property
    def station(self) -> Station:
        """A stack at this end, made when first asked for: 10.0.0.2 and fd00::2; see its `streams`."""
        if self._station is None:
            self._station = self._make_station()
        return self._station

    def listen(self, port: int, address: str = "0.0.0.0") -> Listener:
        """Take connections at a port; '::' for those of IPv6."""
        return self.station.stack.listen((address, port))

    def accept(self, listener: Listener) -> Stream:
        """Wait for the next connection."""
        return self.station.streams.accept(listener)

    def connect(self, port: int, address: str = HOST_ADDRESS) -> Stream:
        """Connect to the host, and wait for the handshake."""
        return self.station.streams.connect((address, port))

    def _make_station(self) -> Station:
        stack = Stack(StackConfig(seed=self._seed + 2, address_probes=0))
        port = Port(stack, stack.add_interface(mac=self.mac), self.wire.end(1))
        for address in ADDRESSES:
            port.interface.add_address(address)
        self.world.add_link(port)
        return Station(self.world, stack, port)

    def close(self) -> None:
        """Close the station, if there is one; idempotent."""
        if self._station is not None:
            self._station.stack.close()
