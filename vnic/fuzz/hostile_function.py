"""A function that lies: a real one, behind reads, writes, interrupts and DMA that are as a fuzzer likes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from vnic.abi import EventType, InterruptKind
from vnic.events import Event
from vnic.function import PciFunction
from vnic.fuzz.scene import Overrun
from vnic.host.bus import Direction, Interrupt, InterruptSink, Segment

__all__ = ["CONFIG_SPACE", "HostileFunction", "Lie", "Region", "Twist"]

CONFIG_SPACE = -1
#: Register accesses between two acts, beyond which a driver is said to spin.
ACCESSES_MAX = 100_000
_HELD_MAX = 256
#: Register accesses after which interrupts are held no longer.
_HOLD_MAX = 100


class Twist(IntEnum):
    """What becomes of a value that is read."""

    SET = 0
    XOR = 1
    ADD = 2
    ONES = 3
    ZERO = 4


@dataclass(slots=True)
class Lie:
    """The next `left` reads of a place are twisted."""

    twist: Twist
    value: int
    left: int

    def tell(self, truth: int, bits: int) -> int:
        """The answer in place of the truth."""
        mask = (1 << bits) - 1
        if self.twist is Twist.SET:
            return self.value & mask
        if self.twist is Twist.XOR:
            return (truth ^ self.value) & mask
        if self.twist is Twist.ADD:
            return truth + self.value & mask
        return mask if self.twist is Twist.ONES else 0


@dataclass(frozen=True, slots=True)
class Region:
    """Host memory that the function's DMA reaches, at a bus address."""

    addr: int
    memory: memoryview
    permissions: int


class HostileFunction:
    """A `Function` in front of a device. An honest one until it is told otherwise; every trick has its end.

    told: how many tricks were played. on_write() is called with what the device wrote to memory.
    """

    def __init__(self, device: PciFunction[Any]) -> None:
        self.accesses = 0
        self.regions: dict[int, Region] = {}
        self.writable: dict[int, int] = {}
        self.lies: dict[tuple[int, int], Lie] = {}
        self.deaf: dict[tuple[int, int], int] = {}
        self.lost_interrupts = 0
        self.is_holding = False
        self.told = 0
        self._hold_left = 0
        self._inner = device
        self._held: deque[Interrupt] = deque(maxlen=_HELD_MAX)
        self._sink: InterruptSink | None = None
        self._windows: dict[int, HostileWindow] = {}
        self._observation = device.observe(self.on_write, (EventType.DMA_WRITE,))

    # -- Function --------------------------------------------------------------------------------------------

    def config_read(self, offset: int, width: int = 4) -> int:
        """Configuration space, or a lie about it."""
        return self.answer(CONFIG_SPACE, offset, self._inner.config_read(offset, width), width * 8)

    def config_write(self, offset: int, value: int, width: int = 4) -> None:
        """Configuration space; unheard by a card that is deaf there."""
        if self.hears(CONFIG_SPACE, offset):
            self._inner.config_write(offset, value, width)

    def window_behind(self, bar: int) -> Any:
        """A BAR of the device itself."""
        return self._inner.window(bar)

    def window(self, bar: int) -> HostileWindow:
        """A BAR."""
        if bar not in self._windows:
            self._windows[bar] = HostileWindow(self, bar)
        return self._windows[bar]

    def map(self, iova: int, memory: memoryview, permissions: int) -> None:
        """Memory that DMA reaches, the hostile kind too."""
        self._inner.map(iova, memory, permissions)
        self.regions[iova] = Region(iova, memory, permissions)

    def unmap(self, iova: int, length: int) -> None:
        """It does no longer."""
        self._inner.unmap(iova, length)
        self.regions.pop(iova, None)

    def connect_interrupts(self, sink: InterruptSink | None) -> None:
        """Where interrupts go that are neither lost nor held."""
        self._sink = sink
        self._inner.connect_interrupts(None if sink is None else self)

    @property
    def now_ns(self) -> int:
        """The card's time."""
        return self._inner.now_ns

    def advance(self, now_ns: int) -> None:
        """Time."""
        self._inner.advance(now_ns)

    def next_deadline_ns(self) -> int | None:
        """When the card does something by itself."""
        return self._inner.next_deadline_ns()

    # -- MapWatcher: what drivers mapped, to the byte --------------------------------------------------------

    def placed(self, addr: int, address: int, length: int) -> None:
        """Pages; begun() says more."""

    def removed(self, addr: int, length: int) -> None:
        """Pages; ending() came before."""

    def begun(self, segment: Segment, direction: Direction | None) -> None:
        """A driver has mapped memory."""
        if direction is not Direction.TO_DEVICE:
            self.writable[segment.addr] = segment.len

    def ending(self, segment: Segment, direction: Direction | None) -> None:
        """It gives the mapping up."""
        self.writable.pop(segment.addr, None)

    # -- reads and writes ------------------------------------------------------------------------------------

    def answer(self, space: int, offset: int, truth: int, bits: int) -> int:
        """What a read gives; Overrun when there have been too many."""
        self._count()
        lie = self.lies.get((space, offset))
        if lie is None:
            return truth
        lie.left -= 1
        if lie.left <= 0:
            del self.lies[space, offset]
        self.told += 1
        return lie.tell(truth, bits)

    def hears(self, space: int, offset: int) -> bool:
        """Whether a write reaches the card."""
        self._count()
        left = self.deaf.get((space, offset))
        if left is None:
            return True
        if left <= 1:
            del self.deaf[space, offset]
        else:
            self.deaf[space, offset] = left - 1
        self.told += 1
        return False

    def _count(self) -> None:
        self.accesses += 1
        if self.accesses > ACCESSES_MAX:
            raise Overrun(f"{ACCESSES_MAX} register accesses in one act: the driver spins")
        if self._hold_left:
            self._hold_left -= 1
            if not self._hold_left:
                self.let_go()

    # -- interrupts ------------------------------------------------------------------------------------------

    def signal(self, interrupt: Interrupt) -> None:
        """The device raised one."""
        if self.lost_interrupts:
            self.lost_interrupts -= 1
            self.told += 1
        elif self.is_holding:
            self._held.append(interrupt)
        elif self._sink is not None:
            self._sink.signal(interrupt)

    def forge_message(self, message: Interrupt) -> None:
        """One that the device never raised."""
        self.told += 1
        if self._sink is not None:
            self._sink.signal(message)

    def drive_line(self, is_asserted: bool) -> None:
        """The line goes up or down, whatever the device says."""
        self.forge_message(Interrupt(InterruptKind.INTX, 0, 0, int(is_asserted)))

    def hold(self) -> None:
        """Interrupts wait, for so many accesses."""
        self.is_holding = True
        self._hold_left = _HOLD_MAX

    def let_go(self) -> None:
        """Interrupts are held no longer; those that were come now, in their order."""
        self.is_holding = False
        self._hold_left = 0
        while self._held and self._sink is not None:
            self._sink.signal(self._held.popleft())

    # -- memory ----------------------------------------------------------------------------------------------

    def scribble(self, number: int, offset: int, data: bytes) -> bool:
        """Write into what the driver gave the card: mapping `number`, counted around; False without any.

        What else is in the page of a mapping, no driver can keep a card from, and no card is made to write.
        """
        if not self.writable:
            return False
        addr = sorted(self.writable)[number % len(self.writable)]
        memory = self.memory_at(addr, self.writable[addr])
        if memory is None:
            return False
        at = offset % len(memory)
        part = data[: len(memory) - at]
        memory[at : at + len(part)] = part
        self.told += 1
        return True

    def memory_at(self, addr: int, length: int) -> memoryview | None:
        """The bytes at a bus address; None where they are not in one piece."""
        for region in self.regions.values():
            at = addr - region.addr
            if at >= 0 and at + length <= len(region.memory):
                return region.memory[at : at + length]
        return None

    def on_write(self, event: Event) -> None:
        """The device wrote to memory: what stands there may be another thing in the end."""

    # -- the end ---------------------------------------------------------------------------------------------

    def reform(self) -> None:
        """Honest from now on; what was held comes."""
        self.lies.clear()
        self.deaf.clear()
        self.lost_interrupts = 0
        self.let_go()


class HostileWindow:
    """A `Window` whose every access passes the card's tricks."""

    def __init__(self, function: HostileFunction, bar: int) -> None:
        inner = function.window_behind(bar)
        self.read8 = _reader(function, bar, inner.read8, 8)
        self.read16 = _reader(function, bar, inner.read16, 16)
        self.read32 = _reader(function, bar, inner.read32, 32)
        self.read64 = _reader(function, bar, inner.read64, 64)
        self.write8 = _writer(function, bar, inner.write8)
        self.write16 = _writer(function, bar, inner.write16)
        self.write32 = _writer(function, bar, inner.write32)
        self.write64 = _writer(function, bar, inner.write64)


def _reader(
    function: HostileFunction, bar: int, read: Callable[[int], int], bits: int
) -> Callable[[int], int]:
    def access(offset: int) -> int:
        return function.answer(bar, offset, read(offset), bits)

    return access


def _writer(
    function: HostileFunction, bar: int, write: Callable[[int, int], None]
) -> Callable[[int, int], None]:
    def access(offset: int, value: int) -> None:
        if function.hears(bar, offset):
            write(offset, value)

    return access
