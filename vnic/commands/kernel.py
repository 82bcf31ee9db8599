"""`vnic run --chimney --netdma --tap`: the conversations with the Linux kernel as the peer, in real time."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from typing import Any

from vnic.commands.plug import Cable, Plug
from vnic.errors import ArgumentError, VnicError
from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.protocol.chimney_tally import Row
from vnic.protocol.netdma_options import NetDmaOptions
from vnic.stack.address import AddressOnLink
from vnic.testbench.dialogue import Dialogue, Noise, make_workload
from vnic.testbench.host import FAST, Host
from vnic.testbench.posted import PostedSocket
from vnic.testbench.traffic import TrafficPlan, buffer_bytes

_ETHERNET = 14
_OPEN_S = 10.0
_RUN_S = 600.0


class KernelSocket:
    """A connection of the kernel's, as a Dialogue speaks to it."""

    error: VnicError | None = None

    def __init__(self, made: socket.socket) -> None:
        made.setblocking(False)
        self._socket = made

    def send(self, data: memoryview) -> int:
        """How many bytes were taken."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def recv(self, size: int) -> bytes | None:
        """Bytes; b'' at the end, None: none now."""
        try:
            return self._socket.recv(size)
        except BlockingIOError:
            return None

    def shutdown(self) -> None:
        """FIN."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Give it up."""
        self._socket.close()


class Outlet:
    """The far end of a wire whose near end is a card: frames go on to the cable."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """A frame has come through the wire."""
        self._cable.transmit(frame, now_ns)


class OffloadingPlug(Plug):
    """A plug of a host that offloads; a wire that delays and loses is before the TAP when asked for."""

    def __init__(
        self,
        options: argparse.Namespace,
        chimney: ChimneyOptions,
        netdma: NetDmaOptions | None,
        plan: TrafficPlan,
    ) -> None:
        self._chimney = chimney
        self._netdma = netdma
        self._connections = max(plan.connections, 16)
        line = Impairments(delay_ns=plan.delay_ns, loss=plan.loss)
        is_perfect = line == Impairments()
        self._wire = None if is_perfect else Wire(forth=line, back=line, seed=plan.seed)
        super().__init__(options)

    def _make_host(self, options: argparse.Namespace, cable: Cable, mac: bytes, mtu: int) -> Host:
        frame = mtu + _ETHERNET
        bench: dict[str, Any] = {
            **FAST,
            "keywords": dict(FAST["keywords"]) | {"*JumboPacket": max(frame, 1514)},
            "memory_bytes": 256 << 20,
            "device": {"mac": mac, "max_frame": max(frame + 4, 1518), "connections": self._connections},
        }
        stack = {"address_probes": 0, "buffer_bytes": 64 << 20}
        addresses = map(str, self.addresses)
        link = self._wire.end(0) if self._wire is not None else cable
        made = Host(
            *addresses, link=link, stack=stack, bench=bench, chimney=self._chimney, netdma=self._netdma
        )
        if self._wire is not None:
            self._wire.attach(0, made.bench.device)
            self._wire.attach(1, Outlet(cable))
            made.world.add_link(self._wire)
        return made

    def _way_in(self) -> Callable[[bytes, int], None]:
        return super()._way_in() if self._wire is None else self._wire.end(1).transmit


class KernelTraffic:
    """Conversations with kernel sockets at `peer`, an address of the kernel's side of the TAP.

    PlugError when the TAP cannot be used.
    """

    def __init__(
        self,
        plan: TrafficPlan,
        options: ChimneyOptions,
        tap: str,
        address: AddressOnLink,
        peer: str,
        *,
        netdma: NetDmaOptions | None = None,
    ) -> None:
        asked = argparse.Namespace(tap=tap, address=[address], gateway=[], pcap=None, quiet=True)
        self.plan = plan
        self.dialogues: list[Dialogue] = []
        self._peer = peer
        self._plug = OffloadingPlug(asked, options, netdma, plan)

    @property
    def host(self) -> Host:
        """The host behind the TAP."""
        return self._plug.host

    @property
    def moved(self) -> int:
        """Bytes that arrived so far."""
        return sum(each.moved for each in self.dialogues)

    @property
    def broken(self) -> list[int]:
        """Conversations whose bytes did not arrive as they were sent."""
        return [number for number, each in enumerate(self.dialogues) if not each.is_whole]

    def rows(self) -> list[Row]:
        """The host's connections."""
        return self.host.chimney.connections()

    def run(self, show: Callable[[KernelTraffic], None]) -> None:
        """All of it; ArgumentError when nobody answers, or it does not end."""
        self._open()

        def is_done() -> bool:
            for each in self.dialogues:
                if not each.is_done:
                    each.step()
            show(self)
            return all(each.is_done for each in self.dialogues)

        if not self._plug.run_until(is_done, _RUN_S):
            raise ArgumentError(f"the conversations do not end within {_RUN_S:g} s")
        self._plug.farewell()

    def _open(self) -> None:
        plan, noise = self.plan, Noise(self.plan.seed)
        workload = make_workload(plan.workload, max(plan.total_bytes // plan.connections, 1))
        family = socket.AF_INET6 if ":" in self._peer else socket.AF_INET
        with socket.create_server((self._peer, 0), family=family, backlog=plan.connections) as listener:
            listener.setblocking(False)
            for number in range(plan.connections):
                near = self.host.stack.connect((self._peer, listener.getsockname()[1]))
                self._plug.run_until(lambda near=near: near.is_connected or near.is_over, _OPEN_S)  # type: ignore[misc]
                if not near.is_connected:
                    raise ArgumentError(f"{self._peer} does not answer")
                far = KernelSocket(self._accept(listener))
                room = buffer_bytes(plan.connections)
                reader = PostedSocket(near, self.host.bench.memory, buffer_bytes=room)
                self.dialogues.append(Dialogue(reader, far, workload(number), noise, number))

    def _accept(self, listener: socket.socket) -> socket.socket:
        found: list[socket.socket] = []

        def has_come() -> bool:
            try:
                found.append(listener.accept()[0])
            except BlockingIOError:
                return False
            return True

        if not self._plug.run_until(has_come, _OPEN_S):
            raise ArgumentError(f"no connection came to {self._peer}")
        return found[0]

    def __enter__(self) -> KernelTraffic:
        return self

    def __exit__(self, *error: Any) -> None:
        self._plug.__exit__(*error)
