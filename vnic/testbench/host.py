"""A whole host: applications on our stack, the TCP/IP driver, NDIS, the reference miniport and the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from vnic.device import FrameSink
from vnic.host.memory import GuestBuffer
from vnic.ndis.adapter import Adapter as NdisAdapter
from vnic.ndis.adapter import AdapterOptions
from vnic.ndis.binding import Binding
from vnic.protocol.chimney import Chimney
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.protocol.coexistence import Coexistence, Component
from vnic.protocol.intermediate import IntermediateDriver
from vnic.protocol.journal import Cause
from vnic.protocol.netdma import NetDma
from vnic.protocol.netdma_options import NetDmaOptions
from vnic.protocol.switches import Switches
from vnic.protocol.tcpip import TcpipProtocol
from vnic.stack.config import StackConfig, send_memory_bytes
from vnic.stack.interface import Interface
from vnic.stack.stack import Stack
from vnic.stack.stream import Streams
from vnic.testbench.bench import Bench
from vnic.testbench.copier import Copier, engine_copier
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

_PAGE = 4096
#: Payload that the sockets of a host with a chimney hold by default: half of it is send memory.
_BUFFER_BYTES = 16 << 20
_CONNECTIONS = 1024
_RETIRE_NS = 30_000_000_000


class Host:
    """A Bench whose protocol is TCP/IP.

    addresses: of its interface, as '10.0.0.1/24'; gateways: default routers; stack: parameters of
    StackConfig; bench: parameters of Bench.

    chimney: offloads connections to the card, and scales receives over its queues, as the switches in it
    say; the send queues then lie in memory that the card reaches. None: the host knows neither.

    netdma: moves received data by a copy engine, which is made by `copier`. Applications see no difference;
    those that post buffers in the machine's memory (bench.memory) spare the processor their copies.

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
        chimney: ChimneyOptions | None = None,
        netdma: NetDmaOptions | bool | None = None,
        copier: Callable[[Bench], Copier] | None = None,
    ) -> None:
        settings = dict(bench or {})
        device: dict[str, Any] = {}
        if chimney is not None:
            device["connections"] = _CONNECTIONS
        if netdma:
            device["is_multifunction"] = True
        settings["device"] = device | dict(settings.get("device") or {})
        self.bench = Bench(link=link, world=world, starts=False, **settings)
        self.world = self.bench.world
        self.coexistence = Coexistence()
        self._send_memory: GuestBuffer | None = None
        self._inserted: tuple[NdisAdapter, IntermediateDriver, Binding] | None = None
        self.stack = self._make_stack(dict(stack or {}), chimney is not None)
        self._chimney = self._make_chimney(chimney)
        self._netdma = self._make_netdma(netdma, chimney)
        self._copier: Copier | None = None
        self.protocol = TcpipProtocol(
            self.stack,
            self.bench.memory,
            self.world.clock,
            addresses=addresses,
            vlan=vlan,
            wants_large_send=large_send,
            chimney=self._chimney,
            processors=len(self.bench.processors),
            netdma=self._netdma,
        )
        self.streams = Streams(self.stack, in_virtual_time(self.world))
        try:
            if self._netdma is not None:
                self._copier = (copier or engine_copier(settings))(self.bench)
                self._netdma.attach(self._copier.interface)
            self._start()
            for gateway in gateways:
                self.stack.add_route("::/0" if ":" in gateway else "0.0.0.0/0", gateway)
        except BaseException:
            self.abandon()
            raise
        self.world.add_link(self.protocol)

    def _make_stack(self, parameters: dict[str, Any], is_offloading: bool) -> Stack:
        if not is_offloading:
            return Stack(StackConfig(**parameters))
        config = StackConfig(**{"buffer_bytes": _BUFFER_BYTES} | parameters)
        memory = self.bench.memory.alloc(send_memory_bytes(config), align=_PAGE, label="send queues")
        self._send_memory = memory
        return Stack(config, send_memory=memory.view)

    def _make_chimney(self, options: ChimneyOptions | None) -> Chimney | None:
        if options is None:
            return None
        clock = self.world.clock
        return Chimney(self.stack, self.bench.memory, lambda: clock.now_ns, options, self.coexistence)

    def _make_netdma(
        self, options: NetDmaOptions | bool | None, chimney: ChimneyOptions | None
    ) -> NetDma | None:
        if not options:
            return None
        known = NetDmaOptions() if options is True else options
        if chimney is not None:
            known = replace(known, switches=chimney.switches)  # a host has one registry
        bench, clock = self.bench, self.world.clock
        return NetDma(
            self.stack, bench.memory, bench.processors, clock, options=known, coexistence=self.coexistence
        )

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
    def chimney(self) -> Chimney:
        """The host's chimney; AttributeError where it was made without."""
        if self._chimney is None:
            raise AttributeError("this host was made without a chimney")
        return self._chimney

    @property
    def has_netdma(self) -> bool:
        """Whether the host was made with NetDMA."""
        return self._netdma is not None

    @property
    def engine_interrupts(self) -> int:
        """Interrupts of the copy engine; 0 where there is none."""
        return self._copier.interrupts if self._copier is not None else 0

    @property
    def netdma(self) -> NetDma:
        """The host's NetDMA client; AttributeError where it was made without."""
        if self._netdma is None:
            raise AttributeError("this host was made without NetDMA")
        return self._netdma

    @property
    def copier(self) -> Copier:
        """The copy engine's side; AttributeError where there is none."""
        if self._copier is None:
            raise AttributeError("this host was made without NetDMA")
        return self._copier

    def set_switches(self, switches: Switches) -> None:
        """Change the registry: what is off now is undone, what is on may begin."""
        if self._chimney is not None:
            self._chimney.set_switches(switches)
        if self._netdma is not None:
            self._netdma.set_switches(switches)

    @property
    def interface(self) -> Interface:
        """The stack's interface over the card."""
        return self.protocol.bindings[0].interface

    # -- intermediate drivers --------------------------------------------------------------------------------

    def insert(self, driver: IntermediateDriver) -> None:
        """Put an intermediate driver between TCP/IP and the adapter, while both run; connections live on.

        One without a chimney is a component of NDIS 5.1 on the binding above it.
        """
        adapter, ndis = self.bench.adapter, self.bench.ndis
        (binding,) = [each for each in adapter.bindings if each.protocol is self.protocol]
        adapter.unbind(binding)
        adapter.bind(driver)
        virtual = ndis.add_adapter(driver, AdapterOptions("intermediate"))
        status = virtual.initialize()
        above = virtual.bind(self.protocol) if status == 0 else None
        if above is None or virtual.restart() != 0:
            raise RuntimeError(f"the intermediate driver does not start: {status!s}")
        self._inserted = virtual, driver, above
        if not driver.has_chimney:
            self.coexistence.attach(Component.NDIS_5_1_INTERMEDIATE, above)

    def remove(self) -> None:
        """Take the intermediate driver out again."""
        if self._inserted is None:
            return
        virtual, driver, above = self._inserted
        self._inserted = None
        if not driver.has_chimney:
            self.coexistence.detach(Component.NDIS_5_1_INTERMEDIATE, above)
        adapter = self.bench.adapter
        virtual.halt()
        self.bench.ndis.remove_adapter(virtual)
        (below,) = [each for each in adapter.bindings if each.protocol is driver]
        adapter.unbind(below)
        adapter.bind(self.protocol)

    # -- life ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take connections back, halt, and see that nothing is left; idempotent."""
        if self._chimney is not None and not self.stack.is_closed:
            self._retire(self._chimney)
        self.remove()
        if self._netdma is not None:
            self._netdma.close()
        if not self.stack.is_closed:
            self.stack.dispatch()  # who closed a socket hears of its last buffers
        self.stack.close()
        if self._copier is not None:
            self._copier.close()
            self._copier = None
        if self._send_memory is not None:
            self._send_memory.free()
            self._send_memory = None
        self.bench.close()

    def _retire(self, chimney: Chimney) -> None:
        """Nothing may be at the card when the stack, and the memory of its sends, goes."""
        for target in list(chimney.targets.values()):
            chimney.stop(target.binding, Cause.UNBIND)
        self.world.run_until(lambda: all(each.is_empty for each in chimney.targets.values()), _RETIRE_NS)
        for target in chimney.targets.values():
            target.reclaim()

    def abandon(self) -> None:
        """Pull the plug: nothing is checked; idempotent."""
        self.stack.close()
        if self._copier is not None:
            self._copier.abandon()
            self._copier = None
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
