"""The smallest driver of the copy engine: its registers, chains in flat memory, no NetDMA.

rig = EngineRig(CopyEngine())                    # enabled, MSI-X, 1 MiB of memory at 0x10_0000
source, target = rig.memory.put(b"data"), rig.memory.alloc(4)
channel = rig.channel(0)
channel.post(CopyDescriptor(size=4, src=source, dst=target, compl_write=1, int_en=1))
channel.start()                                  # CHANCMP, CHAINADDR, DMACOUNT
rig.memory.get(target, 4), channel.completion, channel.status, rig.vectors()
"""

from __future__ import annotations

from collections.abc import Sequence

from vnic.abi import Map
from vnic.copy_engine import CopyEngine
from vnic.gen.descriptors import CopyCompletion, CopyDescriptor
from vnic.gen.enums import ChanStatus
from vnic.gen.model import Register
from vnic.gen.registers import CONFIG, COPY_BAR0, MSIX_TABLE
from vnic.host import pci

BASE = 0x10_0000
BAR_ADDRESS = 0xC000_0000
MESSAGE_ADDRESS = 0xFEE0_0000
#: CHANCTRL as Linux writes it: INT_REARM, and errors complete, abort and interrupt.
CHANCTRL_RUN = 0x1D
_INTRCTRL = COPY_BAR0.GENERAL.offset + 3
_READ_WRITE = int(Map.READ | Map.WRITE)


class Memory:
    """Host memory that an engine reaches at bus address `base`, flat: `size` bytes, a multiple of 4096."""

    def __init__(self, engine: CopyEngine, base: int, size: int, permissions: int = _READ_WRITE) -> None:
        self.base = base
        self.bytes = bytearray(size)
        self._next = base
        engine.map(base, self.bytes, permissions)

    def alloc(self, size: int, align: int = 64) -> int:
        """Bus address of memory that nobody else got; MemoryError when there is none left."""
        addr = -(-self._next // align) * align
        if addr + size > self.base + len(self.bytes):
            raise MemoryError(f"{size} bytes of {len(self.bytes)}")
        self._next = addr + size
        return addr

    def put(self, data: bytes, align: int = 64) -> int:
        """Allocate memory that holds `data`."""
        addr = self.alloc(len(data), align)
        self.set(addr, data)
        return addr

    def set(self, addr: int, data: bytes) -> None:
        """Write at a bus address."""
        offset = self._offset(addr, len(data))
        self.bytes[offset : offset + len(data)] = data

    def get(self, addr: int, size: int) -> bytes:
        """The bytes at a bus address."""
        offset = self._offset(addr, size)
        return bytes(self.bytes[offset : offset + size])

    def mark(self) -> int:
        """Where the next allocation begins, for rewind()."""
        return self._next

    def rewind(self, mark: int) -> None:
        """Give back, zeroed, what was allocated since mark()."""
        self.set(mark, bytes(self._next - mark))
        self._next = mark

    def _offset(self, addr: int, size: int) -> int:
        if not self.base <= addr <= addr + size <= self.base + len(self.bytes):
            raise IndexError(f"{addr:#x}+{size:#x} is not in this memory")
        return addr - self.base


class Channel:
    """A channel with a ring of descriptors, in which each one's NEXT names the next slot.

    post() writes descriptors, start() begins a new chain with those that are posted and not yet counted,
    append() counts in more of them.
    """

    def __init__(self, driver: EngineRig, index: int, slots: int = 256) -> None:
        self.driver = driver
        self.index = index
        self.slots = slots
        self.ring = driver.memory.alloc(slots * CopyDescriptor.SIZE)
        self.completion_addr = driver.memory.put(bytes(CopyCompletion.SIZE))
        self.posted = 0
        self.counted = 0
        self.origin = 0

    def slot(self, number: int) -> int:
        """Bus address of the number-th descriptor that was ever posted."""
        return self.ring + number % self.slots * CopyDescriptor.SIZE

    def post(self, *descriptors: CopyDescriptor) -> list[int]:
        """Write descriptors into the ring; their addresses. A NEXT that is not 0 stays as it is."""
        addresses = []
        for descriptor in descriptors:
            addresses.append(self.slot(self.posted))
            self.posted += 1
            descriptor.next = descriptor.next or self.slot(self.posted)
            self.driver.memory.set(addresses[-1], descriptor.pack())
        return addresses

    def post_copy(self, data: bytes, **flags: int) -> int:
        """Put `data` into memory and post a descriptor that copies it; the bus address where it goes."""
        target = self.driver.memory.alloc(len(data))
        source = self.driver.memory.put(data)
        self.post(CopyDescriptor(size=len(data), src=source, dst=target, **flags))
        return target

    def start(self) -> None:
        """Start a chain: what was posted and not counted yet."""
        self.origin = self.counted
        self.write(COPY_BAR0.CHANCMP, self.completion_addr)
        self.write(COPY_BAR0.CHAINADDR, self.slot(self.origin))
        self.append()

    def append(self, *descriptors: CopyDescriptor) -> None:
        """Post these, too, then count in all that is posted: DMACOUNT is their number since start()."""
        self.post(*descriptors)
        self.counted = self.posted
        self.set_count(self.counted - self.origin)

    def set_count(self, count: int) -> None:
        """Write DMACOUNT, 16 bits."""
        self.driver.engine.write16(COPY_BAR0.CHANCMD.at(self.index) + 2, count & 0xFFFF)

    def start_at(self, addr: int, count: int) -> None:
        """Start a chain of the test's own making."""
        self.write(COPY_BAR0.CHANCMP, self.completion_addr)
        self.write(COPY_BAR0.CHAINADDR, addr)
        self.set_count(count)

    def command(self, *names: str) -> None:
        """Write CHANCMD, 8 bits: SUSPEND, RESUME, ABORT, RESET; several at once are an error."""
        bits = COPY_BAR0.CHANCMD.encode(**dict.fromkeys(names, 1))
        self.driver.engine.write8(COPY_BAR0.CHANCMD.at(self.index), bits)

    def rearm(self) -> None:
        """Let the next interrupt go: INT_REARM, the rest of CHANCTRL as CHANCTRL_RUN."""
        self.write(COPY_BAR0.CHANCTRL, CHANCTRL_RUN)

    def clear_error(self) -> int:
        """Read CHANERR and clear it; what it was."""
        errors = self.chanerr
        self.write(COPY_BAR0.CHANERR, errors)
        return errors

    def read(self, register: Register) -> int:
        """A register of this channel, whole."""
        return self.driver.engine.read(0, register.at(self.index), register.bytes)

    def write(self, register: Register, value: int) -> None:
        """Write a register of this channel, whole."""
        self.driver.engine.write(0, register.at(self.index), value, register.bytes)

    @property
    def status(self) -> ChanStatus:
        """The state that CHANSTS shows."""
        return ChanStatus(self.read(COPY_BAR0.CHANSTS) & 7)

    @property
    def last(self) -> int:
        """The last processed descriptor, as CHANSTS has it."""
        return self.read(COPY_BAR0.CHANSTS) & ~0x3F

    @property
    def chanerr(self) -> int:
        """CHANERR."""
        return self.read(COPY_BAR0.CHANERR)

    @property
    def completion(self) -> tuple[ChanStatus, int]:
        """The state and the descriptor that the last completion in memory names."""
        word = self.driver.memory.get(self.completion_addr, CopyCompletion.SIZE)
        found = CopyCompletion.unpack(word)
        return ChanStatus(found.status), found.addr << 6


class EngineRig:
    """An engine that is enabled, with memory and MSI-X; nobody is connected to its interrupts."""

    def __init__(self, engine: CopyEngine, size: int = 1 << 20, base: int = BASE) -> None:
        self.engine = engine
        self.memory = Memory(engine, base, size)
        self._channels: dict[int, Channel] = {}
        self.enable()

    def enable(self) -> None:
        """BARs, Memory Space and Bus Master Enable, MSI-X, INTRCTRL, CHANCTRL; again after a reset."""
        for number, bar in enumerate(pci.size_bars(self.engine)):
            bar.address = BAR_ADDRESS + number * 0x10_0000
            bar.write(self.engine)
        pci.Fields(self.engine).change(CONFIG.COMMAND, MEMORY=1, MASTER=1)
        self._enable_msix()
        self.engine.write8(_INTRCTRL, COPY_BAR0.GENERAL.encode(MASTER_INT_EN=1, MSIX_VECTOR_CONTROL=1) >> 24)
        for index in range(self.engine.config.channels or 0):
            self.engine.write32(COPY_BAR0.CHANCTRL.at(index), CHANCTRL_RUN)

    def _enable_msix(self) -> None:
        control = pci.capability_fields(self.engine, CONFIG.MSIX_CTRL, pci.CapabilityId.MSIX)
        table = self.engine.window(control[CONFIG.MSIX_TABLE, "BIR"])
        first = control[CONFIG.MSIX_TABLE, "OFFSET"] * 8
        for vector in range(control[CONFIG.MSIX_CTRL, "TABLE_SIZE"] + 1):
            table.write32(first + MSIX_TABLE.ENTRY_ADDR_LO.at(vector), MESSAGE_ADDRESS)
            table.write32(first + MSIX_TABLE.ENTRY_ADDR_HI.at(vector), 0)
            table.write32(first + MSIX_TABLE.ENTRY_DATA.at(vector), vector)
            table.write32(first + MSIX_TABLE.ENTRY_CTRL.at(vector), 0)
        control[CONFIG.MSIX_CTRL, "ENABLE"] = 1

    def channel(self, index: int) -> Channel:
        """A channel; the same one each time."""
        if index not in self._channels:
            self._channels[index] = Channel(self, index)
        return self._channels[index]

    def vectors(self) -> Sequence[int]:
        """The vectors of the interrupts that came since the last call, in their order."""
        return [interrupt.vector for interrupt in self.engine.interrupts()]

    def errors(self) -> list[str]:
        """`channel n: CHANERR 0x...` of each channel that has an error."""
        found = [
            (n, self.engine.read32(COPY_BAR0.CHANERR.at(n))) for n in range(self.engine.config.channels or 0)
        ]
        return [f"channel {n}: CHANERR 0x{errors:x}" for n, errors in found if errors]
