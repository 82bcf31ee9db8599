"""What DPDK's ioat driver does to an engine's registers, step by step, with that driver's own numbers.

It polls: no interrupts. CHAINADDR and CHANCMP are written as 64 bits, and CHANSTS must read exactly 4 (armed)
before the first descriptor.
"""

from __future__ import annotations

import struct

from vnic.host.bus import Coherent
from vnic.host.system import System

CHANCNT, CBVER = 0x00, 0x08
BLOCK = 0x80
CHANCTRL, CHANCMD, DMACOUNT, CHANSTS, CHAINADDR, CHANCMP, CHANERR = 0x00, 0x04, 0x06, 0x08, 0x10, 0x18, 0x28
SUSPEND, RESUME, RESET = 0x04, 0x10, 0x20
ACTIVE, IDLE, SUSPENDED, HALTED, ARMED = 0, 1, 2, 3, 4
ANY_ERR_ABORT_EN, ERR_COMPLETION_EN = 0x08, 0x04
COMPLETION_UPDATE, FENCE = 0x08, 0x10
DESC = 64
RETRIES = 200
MS = 1_000_000


class StartError(Exception):
    """The driver returns an error."""


class DpdkChannel:
    """One queue of the driver: a ring of a power of two, and a word that the engine writes its status to."""

    def __init__(self, bus: System, number: int = 0, size: int = 16) -> None:
        self.bus = bus
        self.window = bus.window(0)
        self.base = BLOCK * (number + 1)
        self.size = size
        self.ring: Coherent = bus.alloc_coherent(size * DESC)
        self.status: Coherent = bus.alloc_coherent(8)
        self.next_write = self.next_read = self.offset = 0

    def create(self) -> None:
        """Version and channels, RESET with at most 200 ms, CHANCTRL."""
        self.bus.enable_device()
        self.bus.set_master()
        if self.window.read8(CHANCNT) == 0 or self.window.read8(CBVER) == 0:
            raise StartError("no channels")
        self.reset()
        self.window.write16(self.base + CHANCTRL, ANY_ERR_ABORT_EN | ERR_COMPLETION_EN)

    def reset(self) -> None:
        """RESET, which must end."""
        self.window.write8(self.base + CHANCMD, RESET)
        for _ in range(RETRIES):
            self.bus.delay_ns(MS)
            if not self.window.read8(self.base + CHANCMD) & RESET:
                return
            self.window.write64(self.base + CHAINADDR, 0)
        raise StartError("cannot reset")

    def start(self) -> None:
        """Link the ring, chain address, completion address; armed, or it is an error."""
        for index in range(self.size):
            at = index * DESC
            self.ring.view[at + 24 : at + 32] = struct.pack("<Q", self.address(index + 1))
        self.next_write = self.next_read = 0
        self.put_status(self.address(self.size - 1))
        self.window.write64(self.base + CHAINADDR, self.ring.addr)
        self.window.write64(self.base + CHANCMP, self.status.addr)
        state = self.window.read64(self.base + CHANSTS) & 7
        if state != ARMED:
            raise StartError(f"error starting: {state}")

    def stop(self) -> None:
        """SUSPEND, which must be read back."""
        self.window.write8(self.base + CHANCMD, SUSPEND)
        for _ in range(RETRIES):
            self.bus.delay_ns(MS)
            if self.window.read64(self.base + CHANSTS) & 7 == SUSPENDED:
                return
        raise StartError("cannot suspend")

    def address(self, index: int) -> int:
        """Of a descriptor."""
        return self.ring.addr + index % self.size * DESC

    def put_status(self, value: int) -> None:
        """The word as the driver primes it."""
        self.status.view[:8] = struct.pack("<Q", value)

    def enqueue_copy(self, source: int, target: int, size: int, control: int = COMPLETION_UPDATE) -> None:
        """One copy; not yet known to the engine."""
        at = self.next_write % self.size * DESC
        self.ring.view[at : at + 24] = struct.pack("<IIQQ", size, control, source, target)
        self.next_write += 1

    def submit(self) -> None:
        """DMACOUNT: the running total since the chain address was written."""
        self.window.write16(self.base + DMACOUNT, self.next_write - self.offset & 0xFFFF)

    def completed(self) -> tuple[int, bool]:
        """How many are done since last time, by the status word; and whether the channel halted.

        The address is 0 where the first descriptor of a chain fails: none of it is done.
        """
        (word,) = struct.unpack("<Q", self.status.view[:8])
        address = word & ~0x3F
        last = (address - self.ring.addr) // DESC if address else self.offset - 1
        done = (last + 1 - self.next_read) % self.size
        self.next_read += done
        return done, word & 7 == HALTED

    def recover(self) -> int:
        """Clear CHANERR and go on behind the descriptor that failed; what CHANERR was."""
        error = self.window.read32(self.base + CHANERR)
        self.window.write32(self.base + CHANERR, error)
        self.next_read += 1
        self.offset = self.next_read
        self.put_status(self.address(self.next_read - 1))
        self.window.write64(self.base + CHAINADDR, self.address(self.next_read))
        if self.window.read64(self.base + CHANSTS) & 7 != ARMED:
            raise StartError("cannot recover")
        self.submit()
        return error
