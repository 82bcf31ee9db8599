"""A whole host: applications on our stack, the TCP/IP driver, NDIS, the reference miniport and the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from vnic.device import FrameSink
from vnic.protocol.tcpip import TcpipProtocol
from vnic.stack.config import StackConfig
from vnic.stack.interface import Interface
from vnic.stack.stack import Stack
from vnic.stack.stream import Streams
from vnic.testbench.bench import Bench
from vnic.testbench.patience import in_virtual_time
from vnic.testbench.world import World

#: Bench parameters for speed: nothing is recomputed or summed, memory stays mapped, interrupts come at once.
FAST: Mapping[str, Any] = {
    "queues": 1,
    "cpus": 1,
    "checks_hashes": False,
    "checks_data": False,
    "strict_dma": False,
    "scatter": False,
    "keywords": {"*InterruptModeration": 0},
}


class Host:
    """A Bench whose protocol is TCP/IP.

    addresses: of its interface, as '10.0.0.1/24'; gateways: default routers; stack: parameters of
    StackConfig; bench: parameters of Bench.

    At its end the adapter is halted and nothing may be left; connections end without a word.
    """

    def __init__(
        self,
        *addresses: str,
        gateways: Sequence[str] = (),
        link: FrameSink | None = None,
        world: World | None = None,
        stack: Mapping[str, Any] | None = None,
        vlan: int = 0,
        large_send: bool = True,
        bench: Mapping[str, Any] | None = None,
    ) -> None:
        self.bench = Bench(link=link, world=world, starts=False, **dict(bench or {}))
        self.world = self.bench.world
        self.stack = Stack(StackConfig(**dict(stack or {})))
        self.protocol = TcpipProtocol(
            self.stack,
            self.bench.memory,
            self.world.clock,
            addresses=addresses,
            vlan=vlan,
            wants_large_send=large_send,
        )
        self.streams = Streams(self.stack, in_virtual_time(self.world))
        try:
            self._start()
            for gateway in gateways:
                self.stack.add_route("::/0" if ":" in gateway else "0.0.0.0/0", gateway)
        except BaseException:
            self.abandon()
            raise
        self.world.add_link(self.protocol)

    def _start(self) -> None:
        adapter = self.bench.adapter
        status = adapter.initialize()
        if status == 0:
            if adapter.bind(self.protocol) is None:
                raise RuntimeError("the TCP/IP driver declines the adapter")
            status = adapter.restart()
        if status != 0:
            raise RuntimeError(f"the adapter does not start: {status!s}")
        while self.world.pump():
            pass

    @property
    def interface(self) -> Interface:
        """The stack's interface over the card."""
        return self.protocol.bindings[0].interface

    # -- life ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Halt, and see that nothing is left; idempotent."""
        self.stack.close()
        self.bench.close()

    def abandon(self) -> None:
        """Pull the plug: nothing is checked; idempotent."""
        self.stack.close()
        self.bench.abandon()

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()
