"""Random programs on a pair, read off a tape of bytes: chains, commands, appends, steps, time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import Phase

from tests.copy.oracle import IRQ
from tests.copy.pair import (
    BAR,
    CHAINS,
    DATA,
    HOLE,
    INTRCTRL,
    LAST,
    READ,
    READ_ONLY,
    WRITE,
    WRITE_ONLY,
    Pair,
)
from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.fuzz.effort import EFFORT
from vnic.gen.descriptors import CopyDescriptor
from vnic.gen.registers import COPY_BAR0, Chancmd, Copy

T = TypeVar("T")

# To make a tape shorter takes minutes: only who explores does it.
PHASES = tuple(phase for phase in Phase if phase != Phase.shrink or EFFORT > 1)

SLOT = CopyDescriptor.SIZE
SLOTS = 8
SIZES = (1, 2, 7, 8, 9, 63, 64, 65, 256, 1500, 2000, 4095, 4096, 4097, 6000, 8191, 8192)
ODD_SIZES = (0, 8193, 1 << 31, (1 << 32) - 1)
EDGES = (0, 1, 7, 8, 63, 64, 100, 2047, 4032, 4088, 4095)
BAD_PLACES = (
    *(HOLE.addr, HOLE.addr - 5, READ_ONLY.addr, READ_ONLY.end - 9, WRITE_ONLY.addr),
    *(BAR + 0x1000, BAR - 8, LAST.addr, LAST.end - 9, LAST.end - 1, 0),
)
BAD_LINKS = (CHAINS.addr + 8, CHAINS.addr + 1, HOLE.addr, WRITE_ONLY.addr, BAR, LAST.end - SLOT, 0, 63)
COMMANDS = (Chancmd.SUSPEND, Chancmd.SUSPEND, Chancmd.RESUME, Chancmd.RESUME, Chancmd.ABORT, Chancmd.RESET)
BAD_COMMANDS = (0, Chancmd.START, Chancmd.APPEND, Chancmd.SUSPEND | Chancmd.RESUME, 0xC0, 0xFF)
STATUSES = (DmaStatus.UNSUPPORTED, DmaStatus.ABORTED, DmaStatus.POISONED, DmaStatus.TIMEOUT)
PURPOSES = (DmaPurpose.DESCRIPTOR, DmaPurpose.DATA, DmaPurpose.DATA, DmaPurpose.COMPLETION)


class Tape:
    """Choices out of bytes; behind the end every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self._at >= len(self._data)

    def number(self, count: int) -> int:
        """One of 0..count-1."""
        width = 1 if count <= 256 else 4
        word, self._at = self._data[self._at : self._at + width], self._at + width
        return int.from_bytes(word, "little") % count

    def one_of(self, values: Sequence[T]) -> T:
        """One of the values."""
        return values[self.number(len(values))]

    def chance(self, of_256: int) -> bool:
        """True so many times of 256; False behind the end."""
        return 255 - self.number(256) < of_256


def ring(index: int) -> int:
    """Where the slots of a channel begin."""
    return CHAINS.addr + index % 16 * SLOTS * SLOT


def completion_of(index: int) -> int:
    """Where a channel's completions go."""
    return CHAINS.addr + 2 * 4096 + 64 * index


def slot(index: int, number: int) -> int:
    """Address of a slot of a channel."""
    return ring(index) + number % SLOTS * SLOT


class Program:
    """Reads acts off a tape and does them; `is_clean`: nothing that must end in an error."""

    def __init__(self, pair: Pair, data: bytes, *, is_clean: bool = False) -> None:
        self.pair = pair
        self.tape = Tape(data)
        self._mischief = 0 if is_clean else 10
        self._posted = [0] * pair.shape.channels
        self._counted = [0] * pair.shape.channels
        acts: list[tuple[Callable[[int], None], int]] = [
            (self._step, 90),
            (self._post, 40),
            (self._start, 22),
            (self._append, 30),
            (self._command, 14),
            (self._relink, 6),
            (self._run, 20),
            (self._irq, 8),
            (self._rearm, 8),
            (self._acknowledge, 6),
            (self._tune, 6),
            (self._wait, 4),
            (self._recover, 6),
            (self._restore, 3),
            (self._gate, 2),
            (self._settings, 3),
            (self._reset, 1),
        ]
        if not is_clean:
            acts.append((self._remap, 4))
        self._acts = [act for act, weight in acts for _ in range(weight)]

    def begin(self) -> None:
        """What a driver sets up: completion addresses, interrupts, errors that report themselves."""
        self.pair.write(INTRCTRL, 0x09, 1)
        for index in range(self.pair.shape.channels):
            self.pair.write(COPY_BAR0.CHANCMP.at(index), completion_of(index), 8)
            self.pair.write(COPY_BAR0.CHANCTRL.at(index), 0x1D if not self.tape.chance(60) else 0, 2)

    def act(self) -> None:
        """One act on one channel."""
        act = self._acts[self.tape.number(256) * len(self._acts) >> 8]
        act(self.tape.number(self.pair.shape.channels))

    # -- what the driver writes into memory ------------------------------------------------------------------

    def _is_mischief(self) -> bool:
        return bool(self._mischief) and self.tape.chance(self._mischief)

    def _place(self, size: int) -> int:
        if self._is_mischief():
            return self.tape.one_of(BAD_PLACES)
        room = max(DATA.pages * 4096 - size, 1)
        at = self.tape.number(DATA.pages) * 4096 + self.tape.one_of(EDGES)
        return DATA.addr + at % room

    def _page(self) -> int:
        if self._is_mischief():
            return self.tape.one_of(BAD_PLACES)
        return DATA.addr + self.tape.number(DATA.pages) * 4096

    def _size(self) -> int:
        if self._is_mischief():
            return self.tape.one_of(ODD_SIZES)
        most = 1 << self.pair.shape.transfer_log2
        return min(self.tape.one_of(SIZES), most)

    def _link(self, index: int, number: int) -> int:
        if self._is_mischief():
            return self.tape.one_of(BAD_LINKS)
        if self.tape.chance(12):
            return slot(index, self.tape.number(SLOTS))
        return slot(index, number + 1)

    def _descriptor(self, index: int, number: int) -> CopyDescriptor:
        flags = self.tape.number(256)
        kind = self.tape.number(16)
        size = self._size()
        d = CopyDescriptor(
            size=size,
            int_en=flags & 1,
            compl_write=flags >> 1 & 1,
            fence=flags >> 2 & 1,
            src_snoop_dis=flags >> 3 & 1,
            dest_dca=flags >> 4 & 1,
            src=self._place(size),
            dst=self._place(size),
            next=self._link(index, number),
            user1=flags * 0x0101_0101,
        )
        self._alter(d, kind)
        return d

    def _alter(self, d: CopyDescriptor, kind: int) -> None:
        match kind:
            case 1:
                d.null = 1
            case 2 | 3:
                d.op, d.src = 1, self.tape.number(1 << 32) * 0x1_0000_0001
            case 4:
                d.op = 255
            case 5 | 6 | 7:
                d.src_brk, d.dst_brk = ((1, 0), (0, 1), (1, 1))[kind - 5]
                d.next_src, d.next_dst = self._page(), self._page()
                if not self._is_mischief():
                    d.size = self._fit(d)
        if self._is_mischief():
            d.op = self.tape.number(256)

    @staticmethod
    def _fit(d: CopyDescriptor) -> int:
        source = 8192 - d.src % 4096 if d.src_brk else d.size
        target = 8192 - d.dst % 4096 if d.dst_brk else d.size
        return min(d.size, source, target)

    def _post(self, index: int) -> None:
        for _ in range(1 + self.tape.number(4)):
            number = self._posted[index]
            raw = bytearray(self._descriptor(index, number).pack())
            if self._is_mischief():
                raw[4 + self.tape.number(4)] ^= 1 << self.tape.number(8)
            self.pair.set(slot(index, number), bytes(raw))
            self._posted[index] += 1

    def _relink(self, index: int) -> None:
        """NEXT of some slot changes under the engine's hands."""
        number = self.tape.number(SLOTS)
        self.pair.set(slot(index, number) + 24, self._link(index, number).to_bytes(8, "little"))

    # -- what the driver writes into registers ---------------------------------------------------------------

    def _start(self, index: int) -> None:
        register = COPY_BAR0.CHAINADDR.at(index)
        address = slot(index, self._counted[index])
        if self._is_mischief():
            address = self.tape.one_of(BAD_LINKS)
        if self.tape.chance(60):
            self.pair.write(register, address & 0xFFFF_FFFF, 4)
            self.pair.write(register + 4, address >> 32, 4)
        else:
            self.pair.write(register, address, 8)
        if not self.tape.chance(40):
            self._append(index)

    def _append(self, index: int) -> None:
        register = COPY_BAR0.CHANCMD.at(index)
        more = self._posted[index] - self._counted[index]
        if self.tape.chance(40):
            more = self.tape.number(6)
        if self._is_mischief():
            more = self.tape.one_of((-1, -2, 0x8000))
        count = self.pair.oracle.channels[index].count + more & 0xFFFF
        self._counted[index] += more
        if self.tape.chance(12):
            self.pair.write(register, count << 16 | self.tape.one_of((0, *COMMANDS)), 4)
        elif self.tape.chance(12):
            self.pair.write(register + 2, count & 0xFF, 1)
            self.pair.write(register + 3, count >> 8, 1)
        else:
            self.pair.write(register + 2, count, 2)

    def _command(self, index: int) -> None:
        commands = BAD_COMMANDS if self._is_mischief() else COMMANDS
        self.pair.write(COPY_BAR0.CHANCMD.at(index), self.tape.one_of(commands), 1)

    def _recover(self, index: int) -> None:
        errors = self.pair.oracle.channels[index].errors
        self.pair.write(COPY_BAR0.CHANERR.at(index), errors if not self.tape.chance(60) else 1, 4)

    def _rearm(self, index: int) -> None:
        register = COPY_BAR0.CHANCTRL.at(index)
        if self.tape.chance(60):
            self.pair.read(register, self.tape.one_of((1, 2, 4)))
        self.pair.write(register, self.tape.one_of((0x1D, 0x1D, 0x01, 0x14, 0x0111)), 2)

    def _acknowledge(self, index: int) -> None:
        """INTRCTRL and ATTNSTATUS, as an ISR of the line has it, or half of that."""
        if not self.tape.chance(100):
            self.pair.read(INTRCTRL, 1)
        self.pair.read(Copy.ATTNSTATUS, self.tape.one_of((4, 2, 1)))
        if not self.tape.chance(60):
            self.pair.write(INTRCTRL, self.tape.one_of((0x09, 0x01, 0x08)), 1)

    def _tune(self, index: int) -> None:
        self.pair.write(Copy.INTRDELAY, self.tape.one_of((0, 1, 3, 50, 0xFFFF)), 2)

    def _settings(self, index: int) -> None:
        if self.tape.chance(128):
            mask = self.tape.one_of((0, 0x7_FFFF, 0x2, 0x1))
            self.pair.write(COPY_BAR0.CHANERRMSK.at(index), mask, 4)
        elif self._is_mischief():
            self.pair.write(COPY_BAR0.CHANCMP.at(index), self.tape.one_of(BAD_PLACES), 8)
        else:
            self.pair.write(COPY_BAR0.CHANCMP.at(index), completion_of(self.tape.number(16)) + 8, 8)

    def _gate(self, index: int) -> None:
        self.pair.set_master(not self.pair.oracle.is_master)

    # -- what happens ----------------------------------------------------------------------------------------

    def _step(self, index: int) -> None:
        runnable = self.pair.oracle.runnable
        self.pair.step(runnable[index % len(runnable)] if runnable else index)

    def _irq(self, index: int) -> None:
        self.pair.step(IRQ)

    def _run(self, index: int) -> None:
        self.pair.run(1 + self.tape.number(80), cut=self.tape.number(5))

    def _wait(self, index: int) -> None:
        self.pair.advance(self.tape.one_of((0, 1, 999, 1000, 3000, 49_999, 20_000_000)))

    def _remap(self, index: int) -> None:
        """A page of the data gets other permissions, or is unmapped; the next time it is as it was."""
        addr = DATA.addr + self.tape.number(DATA.pages) * 4096
        is_whole = self.pair.oracle.memory.pages[addr // 4096].permissions == READ | WRITE
        self.pair.protect(addr, self.tape.one_of((0, READ, WRITE)) if is_whole else READ | WRITE)

    def _reset(self, index: int) -> None:
        if self.tape.chance(128):
            self.pair.power_cycle()
        else:
            self.pair.function_reset()
        self.begin()

    def _restore(self, index: int) -> None:
        self.pair.restore()


def a_fault(tape: Tape) -> Fault:
    """A fault of DMA that a driver could meet."""
    site = tape.one_of((FaultSite.DMA_READ, FaultSite.DMA_WRITE))
    action = FaultAction.ERROR
    if site == FaultSite.DMA_WRITE and tape.chance(60):
        action = FaultAction.DROP
    return Fault(
        site=site,
        action=action,
        index=tape.one_of(PURPOSES),
        skip=tape.number(12),
        count=1 + tape.number(2),
        argument=0 if action == FaultAction.DROP else tape.one_of(STATUSES),
    )
