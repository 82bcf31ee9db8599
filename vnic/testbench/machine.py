"""A machine for a driver that a test writes itself, without NDIS: a bus as a kernel has it, and a card."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from vnic.abi import RxVerdict
from vnic.config import DeviceConfig
from vnic.device import Device, FrameSink
from vnic.errors import LeakError
from vnic.host.cpu import Processors
from vnic.host.interrupts import InterruptController
from vnic.host.memory import GuestBuffer, GuestMemory
from vnic.host.system import System
from vnic.testbench.outgoing import Outgoing, Timestamped
from vnic.testbench.steps import Steps
from vnic.testbench.world import World


class Machine:
    """A card on `bus`, the machine's memory and processors; nothing is enabled and nobody drives it.

    seed: places bus addresses, and lets interrupts come in another order. link: where frames go; by default
    they stay in `transmitted`. device: parameters of DeviceConfig.

    Handlers of interrupts run when time is given: settle(), advance(), bus.delay_ns(). At its end nothing may
    be left (LeakError): memory, mappings, vectors, handlers, nor a message that named no interrupt.
    """

    def __init__(
        self,
        *,
        queues: int = 1,
        cpus: int = 1,
        seed: int | None = None,
        manual: bool = False,
        link: FrameSink | None = None,
        link_mbps: int = 10_000,
        world: World | None = None,
        device: Mapping[str, Any] | None = None,
        memory_bytes: int = 16 << 20,
        scatter: bool = True,
        strict_dma: bool = True,
    ) -> None:
        self.world = world or World()
        self.clock = self.world.clock
        self.processors = Processors(cpus, seed)
        self.memory = GuestMemory(memory_bytes)
        parameters = {"queue_pairs": queues, "vectors": queues + 1, "connections": 0} | dict(device or {})
        self.device = Device(DeviceConfig(**parameters))
        self.device.advance(self.clock.now_ns)
        self._outgoing = Outgoing()
        self._link = Timestamped(self.world, link or self._outgoing)
        self.device.connect_link(self._link)
        self.device.set_link(link_mbps)
        self.controller = InterruptController(self._deliver)
        self.bus = System(
            self.device,
            self.memory,
            self.controller,
            strict_dma=strict_dma,
            scatter=scatter,
            seed=seed or 0,
            delay=self._delay,
        )
        self.world.add_machine(self.device, self.processors)
        self._steps: Steps | None = None
        self._is_closed = False
        self.device.is_manual = manual

    def _deliver(self, run: Callable[[int], object], cpu: int, source: Hashable) -> None:
        self.processors.raise_interrupt(run, cpu, source)

    def _delay(self, ns: int) -> None:
        """A driver waits: interrupts reach their handlers meanwhile, unless it waits in one."""
        self.world.delay(ns)
        if self.processors.depth == 0:
            self.processors.run_until_idle()

    # -- life ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See that nothing is left; idempotent."""
        if self._is_closed:
            return
        try:
            if self._steps is not None:
                self._steps.close()
            self.device.is_manual = False
            self._check_handlers()
            self.bus.assert_no_leaks()
            self.memory.assert_no_leaks()
            if self.controller.stray_count:
                first = self.controller.strays[0]
                raise LeakError(f"{self.controller.stray_count} messages named no interrupt, {first} first")
        finally:
            self.abandon()

    def _check_handlers(self) -> None:
        vectors = self.bus.vectors
        if vectors.is_allocated:
            left = [str(irq.vector) for irq in vectors.scheme.irqs if irq.handler is not None]
            if left:
                raise LeakError(f"the handlers of vectors {', '.join(left)} were not freed (free_irq)")

    def abandon(self) -> None:
        """Pull the plug: nothing is checked; idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self.world.remove_machine(self.device, self.processors)
            self.device.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close() if kind is None else self.abandon()

    # -- time ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Run device, link and handlers until nothing is under way."""
        self.world.settle()

    def advance(self, ns: int) -> None:
        """Let virtual time pass, and everything that falls into it happen."""
        self.world.run_for(ns)

    @property
    def steps(self) -> Steps:
        """The steps of device and host, one at a time; the device is in manual mode until they are closed."""
        if self._steps is None or self._steps.is_closed:
            self._steps = Steps(
                self.device,
                interrupts=self.bus.signal,
                frames=lambda frame: self._link.transmit(frame, self.device.now_ns),
                processors=self.processors,
                world=self.world,
            )
        return self._steps

    # -- traffic and memory ----------------------------------------------------------------------------------

    def receive(self, *frames: bytes) -> list[RxVerdict]:
        """Frames arrive from the link; what the card says at its door."""
        return [self.device.receive(frame) for frame in frames]

    @property
    def transmitted(self) -> list[bytes]:
        """The frames that left the card, where it has no other link."""
        return self._outgoing.frames

    def alloc(self, content: bytes | int, *, align: int = 64) -> GuestBuffer:
        """Guest memory that holds these bytes, or so many zeros; to be mapped by bus.map(), and freed."""
        data = bytes(content) if isinstance(content, int) else content
        buffer = self.memory.alloc(max(len(data), 1), align=align)
        buffer.view[: len(data)] = data
        return buffer

    @contextmanager
    def enabled(self) -> Iterator[System]:
        """The bus, for a block in which the device is enabled and may be bus master."""
        self.bus.enable_device()
        self.bus.set_master()
        try:
            yield self.bus
        finally:
            self.bus.disable_device()
