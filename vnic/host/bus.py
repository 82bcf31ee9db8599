"""The bus as a driver sees it, and what stands on its other side: protocols only.

A driver is given a `Bus` and nothing else. `System` (vnic.host.system) makes one out of a `Function`: the C
device, a recorded trace or a device elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum, IntFlag
from typing import NamedTuple, Protocol

from vnic.abi import InterruptKind

__all__ = [
    "Bus",
    "Capability",
    "Coherent",
    "Direction",
    "Function",
    "Handler",
    "Interrupt",
    "InterruptKind",
    "InterruptSink",
    "Segment",
    "VectorKinds",
    "Window",
]

PAGE = 4096


class Direction(IntEnum):
    """Which way streaming DMA moves data, as the driver promised when it mapped the memory."""

    TO_DEVICE = 1
    FROM_DEVICE = 2
    BIDIRECTIONAL = 3


class VectorKinds(IntFlag):
    """What a driver accepts as interrupts; the best on offer is taken: MSI-X, MSI, the line."""

    INTX = 1
    MSI = 2
    MSIX = 4
    ANY = 7


class Segment(NamedTuple):
    """A piece of a scatter-gather list: bus address and bytes."""

    addr: int
    len: int


class Capability(NamedTuple):
    """An entry of a capability list; `extended` ones live at 0x100 and above."""

    id: int
    offset: int
    extended: bool = False


class Interrupt(NamedTuple):
    """An interrupt that left a function; of the line, `data` is 1 for assert and 0 for deassert."""

    kind: InterruptKind
    vector: int
    addr: int
    data: int


class Coherent(Protocol):
    """Memory that driver and device both see at all times."""

    @property
    def view(self) -> memoryview:
        """Its bytes, as the driver has them."""

    @property
    def addr(self) -> int:
        """Its bus address, a multiple of 4096; the bytes are contiguous there."""

    def __len__(self) -> int: ...


class Window(Protocol):
    """A mapped BAR: one call an access. Offsets and values out of range raise OverflowError."""

    @property
    def read8(self) -> Callable[[int], int]:
        """The byte at an offset."""

    @property
    def read16(self) -> Callable[[int], int]:
        """The 16 bits at an offset."""

    @property
    def read32(self) -> Callable[[int], int]:
        """The 32 bits at an offset."""

    @property
    def read64(self) -> Callable[[int], int]:
        """The 64 bits at an offset."""

    @property
    def write8(self) -> Callable[[int, int], None]:
        """Write (offset, value)."""

    @property
    def write16(self) -> Callable[[int, int], None]:
        """Write (offset, value)."""

    @property
    def write32(self) -> Callable[[int, int], None]:
        """Write (offset, value)."""

    @property
    def write64(self) -> Callable[[int, int], None]:
        """Write (offset, value)."""


class InterruptSink(Protocol):
    """Who takes the interrupts that leave a function."""

    def signal(self, interrupt: Interrupt) -> None:
        """Take one, in the order in which they left."""


class Function(Protocol):
    """One PCI function, as the system around it sees it."""

    def config_read(self, offset: int, width: int = 4) -> int:
        """Read 1, 2 or 4 bytes of configuration space."""

    def config_write(self, offset: int, value: int, width: int = 4) -> None:
        """Write 1, 2 or 4 bytes of configuration space."""

    def window(self, bar: int) -> Window:
        """The accesses of a BAR."""

    def map(self, iova: int, memory: memoryview, permissions: int) -> None:
        """Let the function's DMA reach `memory` at a bus address; permissions are vnic.abi.Map bits."""

    def unmap(self, iova: int, length: int) -> None:
        """Take a range of bus addresses away."""

    def connect_interrupts(self, sink: InterruptSink | None) -> None:
        """Interrupts go to `sink` from now on."""

    @property
    def now_ns(self) -> int:
        """The function's virtual time."""

    def advance(self, now_ns: int) -> object:
        """Virtual time is `now_ns` now."""


# Called with the vector. The answer matters for the line only: False says that it was another device's.
Handler = Callable[[int], "bool | None"]


class Bus(Protocol):
    """All that a driver may use of the machine: the calls of a kernel's PCI and DMA interface."""

    def config_read(self, offset: int, width: int = 4) -> int:
        """Read configuration space."""

    def config_write(self, offset: int, value: int, width: int = 4) -> None:
        """Write configuration space."""

    def read(self, bar: int, offset: int, width: int = 4) -> int:
        """Read 1, 2, 4 or 8 bytes of a BAR."""

    def write(self, bar: int, offset: int, value: int, width: int = 4) -> None:
        """Write 1, 2, 4 or 8 bytes of a BAR."""

    def window(self, bar: int) -> Window:
        """A BAR for many accesses (ioremap)."""

    def bar_size(self, bar: int) -> int:
        """Bytes of a BAR; 0 when it is not implemented, or the upper half of one."""

    def walk_capabilities(self) -> Iterator[Capability]:
        """The capability list, then the extended one."""

    def find_capability(self, id: int, *, extended: bool = False) -> int:
        """Offset of a capability; UnknownError when the function has none."""

    def enable_device(self) -> None:
        """D0, Memory Space Enable; raises UnknownError when the function answers no longer."""

    def disable_device(self) -> None:
        """Memory Space Enable and Bus Master Enable off."""

    def set_master(self, on: bool = True) -> None:
        """Let the function issue DMA and messages, or forbid it."""

    def set_power_state(self, state: int) -> None:
        """0 (D0) or 3 (D3hot)."""

    def reset_function(self) -> None:
        """Function Level Reset; BARs and Memory Space Enable are as before, all else is as after power-on."""

    def alloc_coherent(self, size: int) -> Coherent:
        """Zeroed memory for rings; AllocationError."""

    def free_coherent(self, memory: Coherent) -> None:
        """Give it back."""

    def map(self, address: int, length: int, direction: Direction) -> list[Segment]:
        """Let the function reach guest memory; the segments cover it in order. No bytes: no segment."""

    def unmap(self, segments: Sequence[Segment], direction: Direction) -> None:
        """End a mapping, exactly as map() returned it."""

    def alloc_vectors(self, minimum: int, maximum: int, kinds: VectorKinds = VectorKinds.ANY) -> int:
        """Get interrupt vectors; how many there are, numbered from 0. CapacityError below `minimum`."""

    def free_vectors(self) -> None:
        """Give all vectors back; their handlers must be gone."""

    @property
    def vector_kind(self) -> InterruptKind:
        """What the vectors are."""

    def request_irq(self, vector: int, handler: Handler, cpu: int = 0) -> None:
        """Call `handler` on `cpu` for each interrupt of a vector, from now on."""

    def set_affinity(self, vector: int, cpu: int) -> None:
        """Move a vector's interrupts to another processor."""

    def free_irq(self, vector: int) -> None:
        """No more calls for this vector."""

    def delay_ns(self, ns: int) -> None:
        """Let virtual time pass."""
