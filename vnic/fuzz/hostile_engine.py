"""A hostile copy engine against the NetDMA provider: registers, statuses and interrupts that lie."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any

from vnic.abi import DmaPurpose, InterruptKind
from vnic.config import CopyEngineConfig
from vnic.copy_engine import CopyEngine
from vnic.errors import InterruptError
from vnic.events import Event
from vnic.function import UNBOUNDED, Budget
from vnic.fuzz.choice import Edges, OneOf, Range
from vnic.fuzz.guarded_memory import GuardedMemory
from vnic.fuzz.hostile_function import CONFIG_SPACE, HostileFunction, Lie, Twist
from vnic.fuzz.netdma_scene import CHANNELS, NetDmaScene
from vnic.fuzz.scene import act
from vnic.gen.enums import ChanStatus
from vnic.gen.model import Register
from vnic.gen.registers import CONFIG, COPY_BAR0, MSIX_TABLE
from vnic.host.bus import Interrupt
from vnic.host.cpu import Processors
from vnic.host.interrupts import InterruptController
from vnic.netdma.types import NTSTATUS
from vnic.testbench.copy_bench import CopyBench

__all__ = ["HostileEngine", "HostileEngineScene"]

_STATUS_BYTES = 8
_REGISTERS = tuple(COPY_BAR0.MAP)
_CONFIG = (CONFIG.ID, CONFIG.CLASS)
_DESCRIPTOR = 64
_STATE = 0x7
_ONES = (1 << 64) - 1
_MEMORY = 2 << 20


class HostileEngine(HostileFunction):
    """A `HostileFunction` in front of a CopyEngine, with what else a CopyBench asks of one.

    rewrite: what becomes of a completion status that the engine has just written.
    """

    def __init__(self, config: CopyEngineConfig) -> None:
        self.device = CopyEngine(config)
        self.rewrite: Callable[[int], int] | None = None
        self.rewrites_left = 0
        super().__init__(self.device)

    def on_write(self, event: Event) -> None:
        """A completion status may be another in the end."""
        is_status = event.index == DmaPurpose.COMPLETION and len(event.data) == _STATUS_BYTES
        if not (is_status and self.rewrites_left) or self.rewrite is None:
            return
        memory = self.memory_at(event.addr, _STATUS_BYTES)
        if memory is not None:
            truth = int.from_bytes(event.data, "little")
            memory[:] = self.rewrite(truth).to_bytes(_STATUS_BYTES, "little")
            self.rewrites_left -= 1
            self.told += 1

    def reform(self) -> None:
        """Honest from now on."""
        self.rewrites_left = 0
        super().reform()

    # -- what a bench asks -----------------------------------------------------------------------------------

    @property
    def is_manual(self) -> bool:
        """Whether it does nothing by itself."""
        return self.device.is_manual

    @is_manual.setter
    def is_manual(self, manual: bool) -> None:
        self.device.is_manual = manual

    @property
    def runnable(self) -> Sequence[int]:
        """The parts that can go."""
        return self.device.runnable

    def step(self, part: int) -> bool:
        """One step of a part."""
        return self.device.step(part)

    def run(self, budget: Budget = UNBOUNDED) -> Budget:
        """All there is to do."""
        return self.device.run(budget)

    def interrupts(self) -> list[Interrupt]:
        """Interrupts that an engine in manual mode keeps."""
        return self.device.interrupts()

    def remove(self) -> None:
        """It is pulled."""
        self.device.remove()

    def close(self) -> None:
        """The end."""
        self.device.close()


class HostileEngineScene(NetDmaScene):
    """Bounded: states and errors that hardware could tell, lost and spurious interrupts. Else: anything.

    Every trick lasts for a number of accesses, so that a provider that resets its channel gets a sound one.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.is_unbounded = bool(options.get("unbounded", True))
        super().__init__(options)

    def make_bench(self, options: dict[str, Any], **more: Any) -> CopyBench:
        """With the hostile engine, guarded memory, and a line that the kernel may switch off."""
        self.memory = GuardedMemory(_MEMORY)
        processors = Processors(2, options["seed"] or None)
        made: list[HostileEngine] = []

        def make(config: CopyEngineConfig) -> HostileEngine:
            made.append(HostileEngine(config))
            return made[0]

        def deliver(run: Callable[[int], object], cpu: int, source: Hashable) -> None:
            def service(processor: int) -> None:
                with suppress(InterruptError):  # a line that nobody claims is switched off
                    run(processor)

            if cpu < len(processors):  # a message to a processor that there is not goes nowhere
                processors.raise_interrupt(service, cpu, source)

        more |= {"memory": self.memory, "processors": processors, "function": make}
        bench = super().make_bench(options, controller=InterruptController(deliver), **more)
        self.hostile = made[0]
        bench.system.iommu.watch(self.hostile)
        return bench

    @property
    def engine(self) -> CopyEngine:
        """The engine itself."""
        return self.hostile.device

    @property
    def is_truthful(self) -> bool:
        """What it says of its progress is not to be relied on."""
        return False

    # -- life ------------------------------------------------------------------------------------------------

    @act(1, when=lambda s: s.is_here and s.is_started)
    def stop(self) -> None:
        """IRP_MN_STOP_DEVICE: NetDMA frees every channel."""
        self.engine.is_manual = False
        self.bench.provider.stop_device()

    @act(30, when=lambda s: s.is_here and not s.is_started)
    def start(self) -> None:
        """IRP_MN_START_DEVICE of an engine that may say anything of itself."""
        status = self.bench.provider.start_device()
        self.reached.add(f"start: {NTSTATUS(status).name}")

    # -- what hardware could do ------------------------------------------------------------------------------

    @act(
        8,
        register=Range(0, len(_REGISTERS) - 1),
        channel=Range(0, CHANNELS - 1),
        field=Range(0, 7),
        value=Edges(64),
        times=OneOf(1, 1, 2, 5, 50),
    )
    def lie(self, register: int, channel: int, field: int, value: int, times: int) -> None:
        """The next reads of a register have another value in one field."""
        found = _REGISTERS[register]
        part = found.fields[field % len(found.fields)]
        self._tell_lie(found, channel, Lie(Twist.XOR, value % (part.max + 1) << part.lsb, times))

    @act(2, register=Range(0, len(_REGISTERS) - 1), channel=Range(0, CHANNELS - 1), times=OneOf(1, 2, 20))
    def go_silent(self, register: int, channel: int, times: int) -> None:
        """Reads of a register give all ones, as after a completion timeout."""
        self._tell_lie(_REGISTERS[register], channel, Lie(Twist.ONES, 0, times))

    @act(1, register=Range(0, len(_CONFIG) - 1), value=Edges(32), times=Range(1, 3))
    def lie_of_config(self, register: int, value: int, times: int) -> None:
        """Vendor, device or class are others."""
        self.hostile.lies[CONFIG_SPACE, _CONFIG[register].offset] = Lie(Twist.SET, value, times)

    def _tell_lie(self, register: Register, channel: int, lie: Lie) -> None:
        self.hostile.lies[0, register.at(min(channel, register.count - 1))] = lie
        self.reached.add(f"lie: {register.name}")

    @act(8, seed=Range(0, 65535), times=OneOf(1, 2, 10))
    def alter(self, seed: int, times: int) -> None:
        """The next completion statuses are others: a state of the channel, a descriptor, or anything."""
        rng = random.Random(seed)
        self.hostile.rewrite = lambda truth: self._altered(truth, rng)
        self.hostile.rewrites_left = times

    def _altered(self, truth: int, rng: random.Random) -> int:
        state = truth & ~_STATE | rng.choice(tuple(ChanStatus))
        if not self.is_unbounded:
            return state
        step = rng.randrange(-16, 17) * _DESCRIPTOR
        return rng.choice((state, 0, rng.getrandbits(64), (truth + step) & _ONES, _ONES, truth))

    @act(2, count=OneOf(1, 2, 8))
    def lose_interrupts(self, count: int) -> None:
        """The next interrupts do not arrive."""
        if self.interrupt != "line":  # a deassertion that is lost has the kernel switch the line off
            self.hostile.lost_interrupts = count

    @act(3)
    def hold_interrupts(self) -> None:
        """Interrupts wait, or those that waited come at once."""
        if self.hostile.is_holding:
            self.hostile.let_go()
        elif self.interrupt != "line":
            self.hostile.hold()

    @act(4, vector=Range(0, CHANNELS - 1), times=OneOf(1, 2, 5))
    def interrupt_idly(self, vector: int, times: int) -> None:
        """A message that nobody asked for, on a vector that the driver has."""
        place = CONFIG.MSIX_TABLE.decode(self.engine.config_read(CONFIG.MSIX_TABLE.offset))
        at = place["OFFSET"] * 8
        addr = self.engine.read(place["BIR"], at + MSIX_TABLE.ENTRY_ADDR_LO.at(vector))
        data = self.engine.read(place["BIR"], at + MSIX_TABLE.ENTRY_DATA.at(vector))
        for _ in range(times):
            self.hostile.forge_message(Interrupt(InterruptKind.MSIX, vector, addr, data))

    # -- what it could not -----------------------------------------------------------------------------------

    @act(
        6,
        when=lambda s: s.is_unbounded,
        register=Range(0, len(_REGISTERS) - 1),
        channel=Range(0, CHANNELS - 1),
        twist=OneOf(*(int(each) for each in Twist)),
        value=Edges(64),
        times=OneOf(1, 2, 5, 50),
    )
    def invent(self, register: int, channel: int, twist: int, value: int, times: int) -> None:
        """The next reads of a register give anything, reserved bits too."""
        self._tell_lie(_REGISTERS[register], channel, Lie(Twist(twist), value, times))

    @act(
        4,
        when=lambda s: s.is_unbounded,
        register=Range(0, len(_REGISTERS) - 1),
        channel=Range(0, CHANNELS - 1),
        times=Range(1, 4),
    )
    def ignore(self, register: int, channel: int, times: int) -> None:
        """The next writes of a register are not heard."""
        found = _REGISTERS[register]
        self.hostile.deaf[0, found.at(min(channel, found.count - 1))] = times

    @act(
        4,
        when=lambda s: s.is_unbounded,
        region=Range(0, 63),
        offset=Edges(16),
        seed=Range(0, 65535),
        size=OneOf(1, 8, 64, 2048),
    )
    def scribble(self, region: int, offset: int, seed: int, size: int) -> None:
        """DMA to anywhere that is mapped for writing: descriptors, statuses, destinations."""
        self.hostile.scribble(region, offset, random.Random(seed).randbytes(size))

    # -- looking ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """As with an honest engine; no guard was written."""
        self.hostile.accesses = 0
        super().check()
        self.memory.check_all()

    def finish(self) -> None:
        """With a sound engine everything ends; nothing is left."""
        self.hostile.reform()
        self.hostile.accesses = 0
        super().finish()
        self.memory.assert_no_leaks()
