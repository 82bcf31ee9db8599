"""A copy engine with strict mappings, a driver of a few lines, and the race checker on all of it."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from vnic.config import CopyEngineConfig
from vnic.copy_engine import CopyEngine
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import COPY_BAR0
from vnic.host.bus import Coherent, Direction, Segment
from vnic.host.memory import GuestBuffer, GuestMemory
from vnic.host.system import System
from vnic.testbench.races import Race, RaceChecker, RaceKind

_SIZE = CopyDescriptor.SIZE
_SLOTS = 32
_COUNT_AT = COPY_BAR0.CHANCMD.offset + 2
_COMPLETION_AT = _SLOTS * _SIZE


class EngineScene:
    """Channel `n` has a ring of 32 descriptors and a completion word in coherent memory."""

    def __init__(
        self, *, manual: bool = False, strict_dma: bool = True, poisons: bool = False, **engine: Any
    ) -> None:
        self.engine = CopyEngine(CopyEngineConfig(**{"channels": 2} | engine))
        self.memory = GuestMemory(4 << 20)
        self.system = System(self.engine, self.memory, strict_dma=strict_dma, seed=1)
        self.checker = RaceChecker(self.memory, poisons=poisons)
        self.tap = self.checker.watch_engine(self.engine, self.system.iommu)
        self.system.enable_device()
        self.system.set_master()
        self.rings = [self.system.alloc_coherent(_COMPLETION_AT + 8) for _ in range(2)]
        self.posted = [0, 0]
        self.engine.is_manual = manual

    def __enter__(self) -> EngineScene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.checker.close()
        self.engine.close()

    # -- the driver ------------------------------------------------------------------------------------------

    def put(self, offset: int, value: int, channel: int = 0, width: int = 4) -> None:
        """Write a register of a channel, by its offset in channel 0."""
        self.system.write(0, offset + COPY_BAR0.CHANCMD.stride * channel, value, width)

    def interrupts(self) -> None:
        """One vector of MSI-X, and INTRCTRL."""
        self.system.alloc_vectors(1, 1)
        self.system.request_irq(0, lambda vector: True)
        self.system.write(0, COPY_BAR0.GENERAL.offset + 3, 1, 1)

    def ring(self, channel: int = 0) -> Coherent:
        """Descriptors of a channel."""
        return self.rings[channel]

    def descriptor(self, slot: int, channel: int = 0) -> int:
        """Bus address of a descriptor."""
        return self.rings[channel].addr + slot * _SIZE

    def chain(self, channel: int = 0) -> None:
        """CHANCMP, then CHAINADDR at the first slot: a new chain."""
        self.put(COPY_BAR0.CHANCMP.offset, self.rings[channel].addr + _COMPLETION_AT, channel, 8)
        self.put(COPY_BAR0.CHAINADDR.offset, self.descriptor(0, channel), channel, 8)
        self.posted[channel] = 0

    def post(self, source: int, target: int, size: int, channel: int = 0, **fields: int) -> int:
        """Fill the next slot; bus addresses. Returns the slot."""
        slot = self.posted[channel]
        following = self.descriptor(slot + 1, channel)
        packed = CopyDescriptor(size=size, src=source, dst=target, next=following, **fields).pack()
        self.rings[channel].view[slot * _SIZE : (slot + 1) * _SIZE] = packed
        self.posted[channel] += 1
        return slot

    def count(self, channel: int = 0) -> None:
        """DMACOUNT: all that is posted."""
        self.put(_COUNT_AT, self.posted[channel], channel, 2)

    def copy(self, source: int, target: int, size: int, **fields: int) -> None:
        """One descriptor that completes, handed over alone."""
        self.post(source, target, size, compl_write=1, **fields)
        self.count()

    def map(self, buffer: GuestBuffer, direction: Direction) -> Segment:
        """Map a buffer that lies in one page."""
        (segment,) = self.system.map(buffer.address, len(buffer), direction)
        return segment

    def buffers(self, size: int = 256) -> tuple[GuestBuffer, GuestBuffer]:
        """A source that holds something and a target."""
        source = self.memory.alloc(size, align=4096, label="source")
        target = self.memory.alloc(size, align=4096, label="target")
        source.view[:] = bytes(n & 0xFF for n in range(size))
        return source, target

    # -- what was found --------------------------------------------------------------------------------------

    def only(self, kind: RaceKind) -> Race:
        """The one race that there is, of this kind."""
        races = self.checker.look()
        assert [race.kind for race in races] == [kind], "\n".join(map(str, races))
        return races[0]
