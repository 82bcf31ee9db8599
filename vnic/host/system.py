"""The machine around one function: a Bus made of the function, guest memory and an interrupt controller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from vnic.abi import InterruptKind
from vnic.errors import ArgumentError, LeakError, UnknownError
from vnic.gen.registers import CONFIG
from vnic.host import pci
from vnic.host.bus import (
    Capability,
    Coherent,
    Direction,
    Function,
    Handler,
    Interrupt,
    Segment,
    VectorKinds,
    Window,
)
from vnic.host.interrupts import InterruptController, Line
from vnic.host.iommu import CoherentBuffer, Iommu
from vnic.host.memory import GuestMemory
from vnic.host.vectors import Vectors

MMIO_BASE = 0xC000_0000


class System:
    """A `Bus`. Assigns the BARs as firmware does; the driver enables what it needs.

    delay: how time passes when the driver waits (a bench moves its clock and links too); by default the
    function's own. mmio_base: where BARs go; the functions of one machine need distinct places.
    """

    def __init__(
        self,
        function: Function,
        memory: GuestMemory,
        controller: InterruptController | None = None,
        *,
        line: Line | None = None,
        strict_dma: bool = True,
        scatter: bool = True,
        seed: int = 0,
        mmio_base: int = MMIO_BASE,
        delay: Callable[[int], None] | None = None,
    ) -> None:
        self.function = function
        self.memory = memory
        self.controller = controller or InterruptController()
        self.line = line or self.controller.line()
        self.iommu = Iommu(function, memory, strict=strict_dma, scatter=scatter, seed=seed)
        self.vectors = Vectors(function, self.controller, self.line)
        self._command = pci.Fields(function)
        self._delay = delay or self._pass_time
        self._mmio_next = mmio_base
        function.connect_interrupts(self)
        self.bars = {bar.number: bar for bar in pci.size_bars(function)}
        for bar in sorted(self.bars.values(), key=lambda bar: -bar.size):
            self._assign(bar)

    def _assign(self, bar: pci.Bar) -> None:
        bar.address = -(-self._mmio_next // bar.size) * bar.size
        self._mmio_next = bar.address + bar.size
        bar.write(self.function)

    # -- interrupts in ---------------------------------------------------------------------------------------

    def signal(self, interrupt: Interrupt) -> None:
        """An interrupt left the function."""
        if interrupt.kind == InterruptKind.INTX:
            self.line.drive(self, bool(interrupt.data))
        else:
            self.controller.signal(interrupt)

    # -- registers -------------------------------------------------------------------------------------------

    def config_read(self, offset: int, width: int = 4) -> int:
        """Read configuration space."""
        return self.function.config_read(offset, width)

    def config_write(self, offset: int, value: int, width: int = 4) -> None:
        """Write configuration space."""
        self.function.config_write(offset, value, width)

    def read(self, bar: int, offset: int, width: int = 4) -> int:
        """Read 1, 2, 4 or 8 bytes of a BAR."""
        access: Callable[[int], int] = getattr(self.function.window(bar), f"read{_bits(width)}")
        return access(offset)

    def write(self, bar: int, offset: int, value: int, width: int = 4) -> None:
        """Write 1, 2, 4 or 8 bytes of a BAR."""
        access: Callable[[int, int], None] = getattr(self.function.window(bar), f"write{_bits(width)}")
        access(offset, value)

    def window(self, bar: int) -> Window:
        """A BAR for many accesses; UnknownError when the function has no such BAR."""
        if bar not in self.bars:
            raise UnknownError(f"the function has no BAR {bar}")
        return self.function.window(bar)

    def bar_size(self, bar: int) -> int:
        """Bytes of a BAR, 0 when it is not there."""
        return self.bars[bar].size if bar in self.bars else 0

    def walk_capabilities(self) -> Iterator[Capability]:
        """The capability list, then the extended one."""
        return pci.walk_capabilities(self.function)

    def find_capability(self, id: int, *, extended: bool = False) -> int:
        """Offset of a capability; UnknownError when the function has none."""
        return pci.find_capability(self.function, id, extended=extended)

    # -- bring-up and reset ----------------------------------------------------------------------------------

    def enable_device(self) -> None:
        """D0, Memory Space Enable; BARs that a reset or D3 cleared are written again."""
        self._set_power_state(0)
        for bar in self.bars.values():
            bar.write(self.function)
        self._command[CONFIG.COMMAND, "MEMORY"] = 1

    def disable_device(self) -> None:
        """Memory Space Enable and Bus Master Enable off."""
        self._command.change(CONFIG.COMMAND, MEMORY=0, MASTER=0)

    def set_master(self, on: bool = True) -> None:
        """Let the function issue DMA and messages, or forbid it."""
        self._command[CONFIG.COMMAND, "MASTER"] = int(on)

    def set_power_state(self, state: int) -> None:
        """PM state 0 (D0) or 3 (D3hot); to D0 the BARs come back, what was enabled does not."""
        if state == 0:
            self.enable_device()
        else:
            self._set_power_state(state)

    def reset_function(self) -> None:
        """Function Level Reset as a kernel does it; BARs and Memory Space Enable are restored, no more."""
        fields = pci.capability_fields(self.function, CONFIG.PCIE_CAP, pci.CapabilityId.PCIE)
        fields[CONFIG.DEVCTL, "FLR"] = 1
        self.enable_device()

    def _set_power_state(self, state: int) -> None:
        fields = pci.capability_fields(self.function, CONFIG.PM_CAP, pci.CapabilityId.PM)
        if fields[CONFIG.PM_CTRL, "STATE"] != state:
            fields[CONFIG.PM_CTRL, "STATE"] = state

    # -- DMA -------------------------------------------------------------------------------------------------

    def alloc_coherent(self, size: int) -> CoherentBuffer:
        """Zeroed memory for rings."""
        return self.iommu.alloc_coherent(size)

    def free_coherent(self, memory: Coherent) -> None:
        """Give it back."""
        self.iommu.free_coherent(memory.addr)

    def map(self, address: int, length: int, direction: Direction) -> list[Segment]:
        """Let the function reach guest memory."""
        return self.iommu.map(address, length, direction)

    def unmap(self, segments: Sequence[Segment], direction: Direction) -> None:
        """End a mapping."""
        self.iommu.unmap(segments, direction)

    # -- interrupts out --------------------------------------------------------------------------------------

    def alloc_vectors(self, minimum: int, maximum: int, kinds: VectorKinds = VectorKinds.ANY) -> int:
        """Get interrupt vectors, numbered from 0."""
        return self.vectors.allocate(minimum, maximum, kinds)

    def free_vectors(self) -> None:
        """Give all vectors back."""
        self.vectors.free()

    @property
    def vector_kind(self) -> InterruptKind:
        """What the vectors are."""
        return self.vectors.scheme.kind

    def request_irq(self, vector: int, handler: Handler, cpu: int = 0) -> None:
        """Connect a handler."""
        self.vectors.request(vector, handler, cpu)

    def set_affinity(self, vector: int, cpu: int) -> None:
        """Move a vector to another processor."""
        self.vectors.set_affinity(vector, cpu)

    def free_irq(self, vector: int) -> None:
        """Disconnect a handler."""
        self.vectors.release(vector)

    # -- time ------------------------------------------------------------------------------------------------

    def delay_ns(self, ns: int) -> None:
        """Let virtual time pass."""
        self._delay(ns)

    def _pass_time(self, ns: int) -> None:
        self.function.advance(self.function.now_ns + ns)

    # -- inspection ------------------------------------------------------------------------------------------

    def assert_no_leaks(self) -> None:
        """LeakError when a driver that left still holds memory, mappings or vectors."""
        self.iommu.assert_no_leaks()
        if self.vectors.is_allocated:
            raise LeakError(f"vectors ({self.vector_kind.name}) were not freed")


def _bits(width: int) -> int:
    if width not in (1, 2, 4, 8):
        raise ArgumentError(f"an access of {width} bytes")
    return width * 8
