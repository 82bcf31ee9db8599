"""CopyBench: a copy engine, its provider and the NetDMA interface, in a machine of their own or a bench's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Protocol, cast
from weakref import WeakSet

from vnic.config import CopyEngineConfig
from vnic.copy_engine import CopyEngine
from vnic.host.bus import Bus, Function
from vnic.host.cpu import Processors
from vnic.host.interrupts import InterruptController, Line
from vnic.host.memory import GuestBuffer, GuestMemory
from vnic.host.system import System
from vnic.ndis.structures import DevicePowerState
from vnic.netdma.interface import NetDma
from vnic.netdma.provider import Provider, ProviderOptions
from vnic.netdma.record import ProviderRecord
from vnic.netdma.types import NTSTATUS, VERSIONS, Version
from vnic.testbench.bench import INTERRUPTS
from vnic.testbench.copy_holders import who_holds_copies
from vnic.testbench.pci_power import PciPower
from vnic.testbench.races import RaceChecker, is_asked_for
from vnic.testbench.steps import Steps
from vnic.testbench.world import World

#: Beside the places of a bench's card and of those in its slots.
MMIO_BASE = 0xF000_0000


class ProviderDriver(Protocol):
    """The driver of an engine, as the PnP manager knows it."""

    record: ProviderRecord | None

    def add_device(self) -> NTSTATUS:
        """AddDevice: register with NetDMA."""

    def start_device(self) -> NTSTATUS:
        """IRP_MN_START_DEVICE."""

    def stop_device(self) -> None:
        """IRP_MN_STOP_DEVICE."""

    def remove_device(self) -> None:
        """IRP_MN_REMOVE_DEVICE."""

    def surprise_removal(self) -> None:
        """IRP_MN_SURPRISE_REMOVAL."""

    def power_down(self) -> NTSTATUS:
        """To D3hot."""

    def power_up(self) -> None:
        """To D0."""


class MakeProvider(Protocol):
    """Makes a driver, as the class of the reference does."""

    def __call__(
        self,
        bus: Bus,
        processors: Processors,
        netdma: NetDma,
        options: ProviderOptions | None = None,
        *,
        set_power: Callable[[int], None] | None = None,
    ) -> ProviderDriver: ...


class CopyBench:
    """One engine, its provider started unless `starts` is False.

    world, memory, processors, controller, line: those of a machine that is there, of which the bench then
    leaves nothing behind; by default it has its own. interrupt: msix, msi, line or any.
    version: of the provider, `netdma_version` of the interface; options: more of ProviderOptions.
    driver: makes a provider to test, in place of the reference.
    device: parameters of CopyEngineConfig. function: makes another function in place of the engine.
    ring: descriptors of a client's channel.
    races: the machine's race checker, which its bench asks; check_races: one of its own (None: as for Bench).
    manual: the engine does only what step() and settle() let it do, and one step while a driver waits.

    At its end the provider is stopped and nothing may be left (LeakError), nor a breach that was hidden.
    """

    #: Those that are neither closed nor abandoned.
    open: ClassVar[WeakSet[CopyBench]] = WeakSet()

    def __init__(
        self,
        *,
        channels: int = 4,
        cpus: int = 4,
        seed: int | None = None,
        manual: bool = False,
        interrupt: str = "msix",
        version: tuple[int, int] = (2, 0),
        netdma_version: tuple[int, int] = VERSIONS[-1],
        options: Mapping[str, Any] | None = None,
        driver: MakeProvider = Provider,
        device: Mapping[str, Any] | None = None,
        function: Callable[[CopyEngineConfig], Function] | None = None,
        ring: int = 256,
        world: World | None = None,
        memory: GuestMemory | None = None,
        processors: Processors | None = None,
        controller: InterruptController | None = None,
        line: Line | None = None,
        memory_bytes: int = 64 << 20,
        scatter: bool = True,
        strict_dma: bool = True,
        is_checked: bool = True,
        races: RaceChecker | None = None,
        check_races: bool | None = None,
        starts: bool = True,
    ) -> None:
        self.world = world or World()
        self.clock = self.world.clock
        self.processors = processors or Processors(cpus, seed)
        self.memory = memory or GuestMemory(memory_bytes)
        self._owns_memory = memory is None
        parameters = {"channels": channels, "vectors": channels} | dict(device or {})
        made = (function or CopyEngine)(CopyEngineConfig(**parameters))
        # What else is made has the calls of a Function, a deadline and an end; tests of those know that.
        self.engine = cast(CopyEngine, made)
        self.engine.advance(self.clock.now_ns)
        self.controller = controller or InterruptController(self._deliver)
        self.system = System(
            self.engine,
            self.memory,
            self.controller,
            line=line,
            strict_dma=strict_dma,
            scatter=scatter,
            seed=seed or 0,
            mmio_base=MMIO_BASE,
            delay=self._delay,
        )
        self._owns_races = races is None
        self.races = races or self._make_races(is_asked_for() if check_races is None else check_races)
        if self.races is not None:
            self.races.watch_engine(self.engine, self.system.iommu)
        self.world.add_machine(self.engine, self.processors)
        self.interface = NetDma(
            self.processors,
            self.clock,
            version=Version(*netdma_version),
            pump=self.world.pump,
            ring=ring,
            is_checked=is_checked,
        )
        self.provider = driver(
            self.system,
            self.processors,
            self.interface,
            ProviderOptions(Version(*version), INTERRUPTS[interrupt], **dict(options or {})),
            set_power=self._power_setter(),
        )
        self._steps: Steps | None = None
        self._is_closed = False
        CopyBench.open.add(self)
        if starts:
            self._start_or_abandon()
        self.engine.is_manual = manual

    def _start_or_abandon(self) -> None:
        try:
            self.start()
        except BaseException:
            self.abandon()
            raise

    def _deliver(self, run: Callable[[int], object], cpu: int, source: Hashable) -> None:
        """An interrupt reaches a processor, which takes it when it can."""

        def service(processor: int) -> None:
            self._hand_on()
            run(processor)

        self.processors.raise_interrupt(service, cpu, source)

    def _delay(self, ns: int) -> None:
        """A driver waits; the engine goes on meanwhile, by a step of each part if it is in manual mode."""
        self.world.delay(ns)
        if self.engine.is_manual:
            for part in self.engine.runnable:
                self.engine.step(part)

    def _make_races(self, wanted: bool) -> RaceChecker | None:
        clock = self.clock
        return RaceChecker(self.memory, now=lambda: clock.now_ns) if wanted else None

    def _power_setter(self) -> Callable[[int], None]:
        power = PciPower(self.system)
        return lambda state: power.set(DevicePowerState.D0 if state == 0 else DevicePowerState.D3)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """AddDevice and start; RuntimeError with the status when the provider declines."""
        status = self.provider.add_device()
        if status == NTSTATUS.SUCCESS:
            status = self.provider.start_device()
        if status != NTSTATUS.SUCCESS:
            raise RuntimeError(f"the provider does not start: {NTSTATUS(status).name}")

    def remove(self) -> None:
        """Pull the engine out while it runs: surprise removal."""
        self.engine.remove()
        self.provider.surprise_removal()

    def close(self) -> None:
        """Stop, and see that nothing is left; idempotent."""
        if self._is_closed:
            return
        if self._steps is not None:
            self._steps.close()
            self._steps = None
        self.engine.is_manual = False
        try:
            record = self.provider.record
            if record is not None:
                if record.is_started:
                    self.provider.stop_device()
                self.provider.remove_device()
            if self.races is not None and self._owns_races:
                self.races.check()
            self.system.assert_no_leaks()
            if self._owns_memory:
                self.memory.assert_no_leaks()
            if self.interface.violations:
                raise self.interface.violations[0]
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Pull the plug: nothing is stopped and nothing checked; idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        CopyBench.open.discard(self)
        self.world.remove_machine(self.engine, self.processors)
        if self.races is not None and self._owns_races:
            self.races.close()
        self.engine.close()

    def __enter__(self) -> CopyBench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    # -- time ------------------------------------------------------------------------------------------------

    def who_holds(self) -> str:
        """Which clients wait for how many copies, what each channel does, what the test holds."""
        return who_holds_copies(self)

    def holding(self) -> list[str]:
        """What the test itself keeps from going on."""
        return self._steps.holding() if self._steps is not None else []

    def settle(self) -> None:
        """Run engine, interrupts, DPCs and work items until nothing is under way."""
        self.world.settle()
        while self.engine.is_manual and (self.engine.runnable or self._hand_on()):
            self.engine.run()
            self._hand_on()
            self.world.settle()

    def step(self, part: int | None = None) -> bool:
        """In manual mode: one step of a part, by default the first that can, and its interrupts go out."""
        runnable = self.engine.runnable
        if not runnable or (part is not None and part not in runnable):
            return False
        did = self.engine.step(runnable[0] if part is None else part)
        self._hand_on()
        return did

    @property
    def steps(self) -> Steps:
        """The steps of engine and host, one at a time; the engine is in manual mode until they are closed."""
        if self._steps is None or self._steps.is_closed:
            self._steps = Steps(
                self.engine,
                interrupts=self.system.signal,
                processors=self.processors,
                world=self.world,
            )
        return self._steps

    def _hand_on(self) -> bool:
        """Pass on the interrupts, and ends of those of the line, that an engine in manual mode keeps."""
        keeps = self.engine.is_manual and (self._steps is None or self._steps.is_closed)
        kept = self.engine.interrupts() if keeps else []
        for interrupt in kept:
            self.system.signal(interrupt)
        return bool(kept)

    def advance(self, ns: int) -> None:
        """Let virtual time pass, and everything that falls into it happen."""
        self.world.run_for(ns)

    # -- memory ----------------------------------------------------------------------------------------------

    def buffer(self, content: bytes | int, *, align: int = 64, offset: int = 0) -> GuestBuffer:
        """Guest memory with these bytes, or so many zeroed ones, `offset` bytes behind an aligned address."""
        data = bytes(content) if isinstance(content, int) else content
        buffer = self.memory.alloc(offset + len(data), align=align)
        buffer.view[:] = bytes(offset) + data
        return buffer
