"""What Linux's ioatdma does to an engine's registers, step by step, with that driver's own numbers.

The numbers are the driver's knowledge of CB 3.2, on purpose not taken from the generated registers: they
judge these. Ring, completion and error handling are reduced to what reaches the engine.
"""

from __future__ import annotations

import struct

from vnic.host.bus import Coherent, Direction, Segment
from vnic.host.system import System

CHANCNT, XFERCAP, INTRCTRL, CBVER, DMACAP, DCAOFFSET = 0x00, 0x01, 0x03, 0x08, 0x10, 0x14
CHANCTRL, CHANCMD, DMACOUNT, CHANSTS = 0x00, 0x04, 0x06, 0x08
CHAINADDR_LOW, CHAINADDR_HIGH, CHANCMP_LOW, CHANCMP_HIGH, CHANERR = 0x10, 0x14, 0x18, 0x1C, 0x28
SUSPEND, RESET = 0x04, 0x20
ACTIVE, DONE, SUSPENDED, HALTED = 0, 1, 2, 3
INT_REARM, ERR_COMPLETION_EN, ANY_ERR_ABORT_EN, ERR_INT_EN = 0x01, 0x04, 0x08, 0x10
RUN = INT_REARM | ANY_ERR_ABORT_EN | ERR_INT_EN | ERR_COMPLETION_EN
MASTER_INT_EN, MSIX_VECTOR_CONTROL = 0x01, 0x08
CHANERR_INT = 0x180
CTL_INT, CTL_COMPL_WRITE, CTL_NULL = 0x01, 0x08, 0x20
RELAXED_ORDERING = 0x0010
RING = 16
DESC = 64
US, MS = 1_000, 1_000_000


class ProbeError(Exception):
    """The driver would not bind, or would complain in the log."""


class LinuxChannel:
    """A channel, with a ring of 16 descriptors that are linked once and for all."""

    def __init__(self, driver: LinuxDriver, number: int) -> None:
        self.driver = driver
        self.number = number
        self.base = 0x80 * (number + 1)
        self.ring: Coherent | None = None
        self.completion: Coherent | None = None
        self.head = self.tail = self.issued = 0
        self.dmacount = 0
        self.interrupts = 0
        self.finished = 0

    # -- registers -------------------------------------------------------------------------------------------

    def status(self) -> int:
        """CHANSTS, read whole."""
        return self.driver.window.read64(self.base + CHANSTS)

    def state(self) -> int:
        """The low bits of it."""
        return self.status() & 7

    def quiesce(self, timeout_ns: int) -> None:
        """SUSPEND, until the channel is neither active nor done."""
        window, waited = self.driver.window, 0
        if self.state() in (ACTIVE, DONE):
            window.write8(self.base + CHANCMD, SUSPEND)
        while self.state() in (ACTIVE, DONE):
            if waited >= timeout_ns:
                raise ProbeError("SUSPEND leaves the channel active or done")
            self.driver.bus.delay_ns(US)
            waited += US

    def reset_hardware(self) -> None:
        """Quiesce, clear errors in the channel and in configuration space, RESET, wait at most 200 ms."""
        window, bus = self.driver.window, self.driver.bus
        self.quiesce(100 * MS)
        window.write32(self.base + CHANERR, window.read32(self.base + CHANERR))
        pending = bus.config_read(CHANERR_INT)
        if pending == 0xFFFF_FFFF:
            raise ProbeError("CHANERR_INT cannot be read")
        bus.config_write(CHANERR_INT, pending)
        window.write8(self.base + CHANCMD, RESET)
        for _ in range(200):
            if not window.read8(self.base + CHANCMD) & RESET:
                return
            bus.delay_ns(MS)
        raise ProbeError("RESET does not end")

    # -- life of a channel -----------------------------------------------------------------------------------

    def alloc(self) -> None:
        """Completion address, ring, and a NULL descriptor to get off the ground."""
        window, bus = self.driver.window, self.driver.bus
        window.write16(self.base + CHANCTRL, RUN)
        self.completion = bus.alloc_coherent(8)
        window.write32(self.base + CHANCMP_LOW, self.completion.addr & 0xFFFF_FFFF)
        window.write32(self.base + CHANCMP_HIGH, self.completion.addr >> 32)
        self.ring = bus.alloc_coherent(RING * DESC)
        for index in range(RING):
            self.put(index, bytes(24) + struct.pack("<Q", self.address(index + 1)) + bytes(32))
        self.start_null()
        for _ in range(20):
            bus.delay_ns(US)
            if self.state() in (ACTIVE, DONE):
                break
        else:
            raise ProbeError(f"no start: CHANERR {window.read32(self.base + CHANERR):#x}")

    def start_null(self) -> None:
        """Chain address, then a NULL descriptor of size 1."""
        self.fill(1, CTL_NULL | CTL_INT | CTL_COMPL_WRITE, 0, 0)
        self.set_chain_address(self.address(self.head - 1))
        self.issue()

    def free(self) -> None:
        """Reset, and give the memory back."""
        self.reset_hardware()
        assert self.ring is not None
        assert self.completion is not None
        self.driver.bus.free_coherent(self.ring)
        self.driver.bus.free_coherent(self.completion)

    # -- descriptors -----------------------------------------------------------------------------------------

    def address(self, index: int) -> int:
        """Of a descriptor of the ring."""
        assert self.ring is not None
        return self.ring.addr + index % RING * DESC

    def put(self, index: int, octets: bytes) -> None:
        """Write a descriptor, or its front."""
        assert self.ring is not None
        at = index % RING * DESC
        self.ring.view[at : at + len(octets)] = octets

    def fill(self, size: int, control: int, source: int, target: int) -> None:
        """The next descriptor; its link stays."""
        self.put(self.head, struct.pack("<IIQQ", size, control, source, target))
        self.head += 1

    def set_chain_address(self, address: int) -> None:
        """Two writes of 32 bits, low first."""
        window = self.driver.window
        window.write32(self.base + CHAINADDR_LOW, address & 0xFFFF_FFFF)
        window.write32(self.base + CHAINADDR_HIGH, address >> 32)

    def issue(self) -> None:
        """Tell the engine of what was filled in: the running total, modulo 2^16."""
        self.dmacount += self.head - self.issued
        self.issued = self.head
        self.driver.window.write16(self.base + DMACOUNT, self.dmacount & 0xFFFF)

    # -- completion ------------------------------------------------------------------------------------------

    def on_interrupt(self) -> None:
        """The tasklet: clean up, then rearm."""
        self.interrupts += 1
        self.cleanup()
        self.driver.window.write16(self.base + CHANCTRL, RUN)

    def cleanup(self) -> None:
        """Take what the completion says is finished; it must name a descriptor that is outstanding."""
        assert self.completion is not None
        word = int.from_bytes(self.completion.view[:8], "little")
        address = word & ~0x3F
        if not address:
            return
        for index in range(self.tail, self.issued):
            if self.address(index) == address:
                self.finished += index + 1 - self.tail
                self.tail = index + 1
                return

    def restart(self) -> None:
        """After SUSPEND: what was not finished is issued again, from the tail on."""
        self.quiesce(100 * MS)
        self.cleanup()
        self.issued, self.dmacount = self.tail, 0
        if self.head > self.tail:
            self.set_chain_address(self.address(self.tail))
            self.issue()
        else:
            self.start_null()

    def recover(self) -> int:
        """After an error: outstanding work is given up, the hardware reset and started again; CHANERR."""
        if self.state() != HALTED:
            raise ProbeError("no error to recover from")
        error = self.driver.window.read32(self.base + CHANERR)
        self.tail = self.issued = self.head
        self.reset_hardware()
        self.issued, self.dmacount = self.tail, 0
        self.start_null()
        return error


class LinuxDriver:
    """ioatdma on a bus: probe, and what its channels do."""

    def __init__(self, bus: System) -> None:
        self.bus = bus
        self.window = bus.window(0)
        self.channels: list[LinuxChannel] = []

    def probe(self) -> None:
        """Enable, look at the version, reset every channel, MSI-X a channel; ProbeError."""
        bus, window = self.bus, self.window
        bus.enable_device()
        bus.set_master()
        version = window.read8(CBVER)
        if version >> 4 != 3:
            raise ProbeError(f"CBVER {version:#x}")
        count, transfer = window.read8(CHANCNT) & 0x1F, window.read8(XFERCAP) & 0x1F
        if count == 0 or transfer == 0:
            raise ProbeError(f"{count} channels, XFERCAP {transfer}")
        self.max_transfer = 1 << transfer
        self.capabilities = window.read32(DMACAP)
        for number in range(min(count, 4)):
            channel = LinuxChannel(self, number)
            channel.reset_hardware()
            self.channels.append(channel)
        self._interrupts()
        if window.read16(DCAOFFSET) != 0:
            raise ProbeError("registers for direct cache access where there are none")
        self._disable_relaxed_ordering()

    def _interrupts(self) -> None:
        count = len(self.channels)
        if self.bus.alloc_vectors(1, count) == count:
            for channel in self.channels:
                self.bus.request_irq(channel.number, lambda vector: self.channels[vector].on_interrupt())
            self.window.write8(INTRCTRL, MASTER_INT_EN | MSIX_VECTOR_CONTROL)
            return
        raise ProbeError("too few vectors")

    def _disable_relaxed_ordering(self) -> None:
        control = self.bus.find_capability(0x10) + 8
        value = self.bus.config_read(control, 2)
        self.bus.config_write(control, value & ~RELAXED_ORDERING, 2)
        if self.bus.config_read(control, 2) & RELAXED_ORDERING:
            raise ProbeError("DevCtl does not take it")

    def self_test(self) -> None:
        """2,000 bytes, compared; the interrupt comes within 3 s."""
        channel = self.channels[0]
        channel.alloc()
        self._settle(lambda: channel.interrupts == 1)
        memory = self.bus.memory
        source, target = memory.alloc(2000, label="source"), memory.alloc(2000, label="target")
        source.view[:] = bytes(index & 0xFF for index in range(2000))
        there = self.bus.map(source.address, 2000, Direction.TO_DEVICE)
        here = self.bus.map(target.address, 2000, Direction.FROM_DEVICE)
        before = channel.interrupts
        self.copy(channel, there, here)
        self._settle(lambda: channel.interrupts > before)
        self.bus.unmap(there, Direction.TO_DEVICE)
        self.bus.unmap(here, Direction.FROM_DEVICE)
        if bytes(target.view) != bytes(source.view):
            raise ProbeError("Self-test copy failed compare, disabling")
        source.free()
        target.free()
        channel.free()

    def copy(self, channel: LinuxChannel, source: list[Segment], target: list[Segment]) -> None:
        """A copy of one segment to one segment, issued."""
        ((source_address, size),), ((target_address, _),) = source, target
        channel.fill(size, CTL_INT | CTL_COMPL_WRITE, source_address, target_address)
        channel.issue()

    def _settle(self, is_done: object) -> None:
        for _ in range(3000):
            if is_done():  # type: ignore[operator]
                return
            self.bus.delay_ns(MS)
        raise ProbeError("Self-test copy timed out, disabling")

    def remove(self) -> None:
        """Interrupts off, vectors back."""
        self.window.write8(INTRCTRL, 0)
        for channel in self.channels:
            self.bus.free_irq(channel.number)
        self.bus.free_vectors()
        self.bus.disable_device()
