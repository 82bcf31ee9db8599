"""A copy engine and the reference side by side: what is done to one is done to both, and all is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tests.copy.oracle import Mode, Oracle, Said
from tests.copy.oracle_bus import PAGE, Memory
from vnic.abi import InterruptKind, Map, ResetLevel
from vnic.copy_engine import CopyEngine
from vnic.fault import Fault, FaultHandle
from vnic.function import Budget
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import CONFIG, COPY_BAR0, MSIX_TABLE, Copy, Devctl
from vnic.host import pci
from vnic.host.bus import Interrupt

ALL = (1 << 64) - 1
BAR = 0xC000_0000
BAR_BYTES = 0x4000
TABLE = 0x2000
MESSAGES = 0xFEE0_0000
INTRCTRL = Copy.GENERAL + 3
READ, WRITE = int(Map.READ), int(Map.WRITE)


class Region(NamedTuple):
    """Memory of the host that is mapped in one piece."""

    addr: int
    pages: int
    permissions: int = READ | WRITE

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.addr + self.pages * PAGE


CHAINS = Region(0x10_0000, 3)
DATA = Region(0x20_0000, 6)
READ_ONLY = Region(0x20_6000, 1, READ)
WRITE_ONLY = Region(0x20_7000, 1, WRITE)
HOLE = Region(0x20_8000, 1, 0)
#: Memory where the engine's own BAR decodes: DMA must not see it.
SHADOW = Region(BAR, 4)
LAST = Region((1 << 64) - PAGE, 1)
REGIONS = (CHAINS, DATA, READ_ONLY, WRITE_ONLY, SHADOW, LAST)

#: Registers of a channel whose reading changes nothing.
QUIET = tuple(
    (register, register.bytes)
    for register in (
        COPY_BAR0.CHANSTS,
        COPY_BAR0.CDAR,
        COPY_BAR0.CHANERR,
        COPY_BAR0.CHANCMD,
        COPY_BAR0.CHAINADDR,
        COPY_BAR0.CHANCMP,
        COPY_BAR0.CHANERRMSK,
        COPY_BAR0.DCACTRL,
    )
)
KINDS = {InterruptKind.INTX: Mode.LINE, InterruptKind.MSI: Mode.MSI, InterruptKind.MSIX: Mode.MSIX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an engine is made with, and how its interrupts leave it."""

    channels: int = 2
    vectors: int = 16
    transfer_log2: int = 13
    mode: Mode = Mode.MSIX
    is_overlapping: bool = False


def content(region: Region) -> bytes:
    """Bytes of which no two neighbouring runs are alike."""
    salt = region.addr >> 12
    return bytes((i * 167 >> 3 ^ i ^ i >> 8 ^ salt) & 0xFF for i in range(region.pages * PAGE))


FRESH = {region: content(region) for region in REGIONS}


def bring_up(engine: CopyEngine, mode: Mode) -> None:
    """BAR, Memory Space, Bus Master Enable, and messages or the line."""
    for number, bar in enumerate(pci.size_bars(engine)):
        bar.address = BAR + number * 0x10_0000
        bar.write(engine)
    pci.Fields(engine).change(CONFIG.COMMAND, MEMORY=1, MASTER=1)
    if mode == Mode.MSIX:
        for vector in range(engine.config.vectors or 0):
            engine.write32(TABLE + MSIX_TABLE.ENTRY_ADDR_LO.at(vector), MESSAGES)
            engine.write32(TABLE + MSIX_TABLE.ENTRY_DATA.at(vector), vector)
            engine.write32(TABLE + MSIX_TABLE.ENTRY_CTRL.at(vector), 0)
        pci.capability_fields(engine, CONFIG.MSIX_CTRL, pci.CapabilityId.MSIX)[CONFIG.MSIX_CTRL, "ENABLE"] = 1
    elif mode == Mode.MSI:
        fields = pci.capability_fields(engine, CONFIG.MSI_CTRL, pci.CapabilityId.MSI)
        fields.change(CONFIG.MSI_CTRL, ENABLE=1, GRANTED=2)


def said_by(interrupt: Interrupt) -> Said:
    """In the words of the reference."""
    mode = KINDS[interrupt.kind]
    if mode == Mode.MSIX:
        assert (interrupt.addr, interrupt.data) == (MESSAGES, interrupt.vector)
    return Said(mode, interrupt.data if mode == Mode.LINE else interrupt.vector)


class Pair:
    """An engine in manual mode and its reference, with the same memory and after the same bring-up."""

    def __init__(self, shape: Shape | None = None) -> None:
        self.shape = shape = shape or Shape()
        self.engine = CopyEngine(
            manual=True,
            channels=shape.channels,
            vectors=shape.vectors,
            transfer_log2=shape.transfer_log2,
            is_overlapping=shape.is_overlapping,
            msi_capable_log2=2,
        )
        self.bytes = {region: bytearray(FRESH[region]) for region in REGIONS}
        memory = Memory(window=(BAR, BAR + BAR_BYTES - 1))
        for region, data in self.bytes.items():
            self.engine.map(region.addr, data, region.permissions)
            memory.map(region.addr, FRESH[region], region.permissions)
        bring_up(self.engine, shape.mode)
        self.oracle = Oracle(
            memory,
            channels=shape.channels,
            transfer_log2=shape.transfer_log2,
            vectors=shape.vectors,
            mode=shape.mode,
            messages=4,
            is_overlapping=shape.is_overlapping,
        )

    # -- inputs of both --------------------------------------------------------------------------------------

    def set(self, addr: int, data: bytes) -> None:
        """The host writes memory; data lies in one region, not across pages."""
        region = next(r for r in REGIONS if r.addr <= addr < r.end)
        self.bytes[region][addr - region.addr : addr - region.addr + len(data)] = data
        page = self.oracle.memory.pages[addr // PAGE].data
        page[addr % PAGE : addr % PAGE + len(data)] = data

    def protect(self, addr: int, permissions: int) -> None:
        """A page gets other permissions, or with 0 is not mapped any more."""
        region = next(r for r in REGIONS if r.addr <= addr < r.end)
        page = self.oracle.memory.pages[addr // PAGE]
        if page.permissions:
            self.engine.unmap(addr, PAGE)
        if permissions:
            view = memoryview(self.bytes[region])[addr - region.addr :][:PAGE]
            self.engine.map(addr, view, permissions)
        page.permissions = permissions

    def put(self, addr: int, descriptor: CopyDescriptor) -> None:
        """The host writes a descriptor."""
        self.set(addr, bytes(descriptor.pack()))

    def get(self, addr: int, count: int) -> bytes:
        """Memory of the engine's side."""
        region = next(r for r in REGIONS if r.addr <= addr < r.end)
        return bytes(self.bytes[region][addr - region.addr : addr - region.addr + count])

    def write(self, offset: int, value: int, width: int) -> None:
        """A register access."""
        self.engine.write(0, offset, value, width)
        self.oracle.write(offset, value, width)

    def read(self, offset: int, width: int) -> int:
        """A register access; both say the same."""
        value = self.engine.read(0, offset, width)
        assert value == self.oracle.read(offset, width), f"{COPY_BAR0.MAP.describe(offset)}: {value:#x}"
        return value

    def arm(self, fault: Fault) -> FaultHandle:
        """A fault of DMA: ERROR or DROP."""
        self.oracle.memory.arm(fault)
        return self.engine.arm(fault)

    def set_master(self, is_master: bool) -> None:
        """Bus Master Enable."""
        pci.Fields(self.engine).change(CONFIG.COMMAND, MASTER=int(is_master))
        self.oracle.set_master(is_master)

    def advance(self, ns: int) -> None:
        """Time passes."""
        self.oracle.advance(self.oracle.now_ns + ns)
        self.engine.advance(self.oracle.now_ns)

    def power_cycle(self) -> None:
        """And the same bring-up again."""
        self.engine.reset(ResetLevel.POWER)
        self.come_up()

    def come_up(self) -> None:
        """The bring-up, after the engine was reset as far as a function can be."""
        self.engine.interrupts()
        bring_up(self.engine, self.shape.mode)
        self.oracle.power_on()

    def function_reset(self) -> None:
        """Function Level Reset, and the same bring-up again; CHANERR_INT survives it."""
        self.engine.config_write(CONFIG.DEVCTL.offset, Devctl.FLR, 2)
        survives = self.oracle.chanerr_int
        self.come_up()
        self.oracle.chanerr_int = survives

    def step(self, part: int) -> bool:
        """One step of a part, if it has one."""
        is_taken = self.engine.step(part)
        assert is_taken == (self.oracle.step(part) is not None)
        return is_taken

    def run(self, steps: int, *, cut: int = 0) -> int:
        """At most `steps` steps by turns, in runs of `cut`; the steps that were taken."""
        taken, moved = self.oracle.run(steps)
        used_steps = used_bytes = 0
        while used_steps < steps:
            most = min(cut or steps, steps - used_steps)
            used = self.engine.run(Budget(most, ALL))
            assert used.steps <= most
            used_steps, used_bytes = used_steps + used.steps, used_bytes + used.bytes
            if not used.steps:
                break
        assert (used_steps, used_bytes) == (taken, moved)
        return taken

    def restore(self) -> None:
        """Save, live another life, load."""
        image = self.engine.save()
        digest = self.engine.state_hash()
        self.engine.reset(ResetLevel.POWER)
        self.engine.load(image)
        assert self.engine.save() == image
        assert self.engine.state_hash() == digest

    # -- comparison ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Memory, registers, interrupts, what can go on and when."""
        self.check_memory()
        for index in range(self.shape.channels):
            for register, width in QUIET:
                self.read(register.at(index), width)
            self.read(COPY_BAR0.CHANCTRL.at(index), 1)
            self.read(COPY_BAR0.CHANCTRL.at(index) + 2, 2)
        self.read(Copy.GENERAL, 2)
        self.read(Copy.INTRDELAY, 2)
        self.heard()
        assert list(self.engine.runnable) == self.oracle.runnable
        assert self.engine.next_deadline_ns() == self.oracle.deadline_ns
        assert self.engine.config_read(CONFIG.CHANERR_INT.offset) == self.oracle.chanerr_int

    def heard(self) -> list[Said]:
        """Interrupts since the last look."""
        heard, expected = [said_by(interrupt) for interrupt in self.engine.interrupts()], self.oracle.said
        self.oracle.said = []
        assert heard == expected
        return heard

    def check_memory(self) -> None:
        """Every byte that is mapped."""
        pages = self.oracle.memory.pages
        for region, data in self.bytes.items():
            number = region.addr // PAGE
            same = b"".join(pages[number + n].data for n in range(region.pages))
            assert data == same, f"{region}: {_first_difference(data, same):#x}"


def _first_difference(left: bytes | bytearray, right: bytes) -> int:
    return next(at for at, (a, b) in enumerate(zip(left, right, strict=True)) if a != b)
