"""The host's interrupt controller: messages and lines become calls of handlers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from vnic.errors import CapacityError, InterruptError, UnknownError, UnrestError
from vnic.host.bus import Handler, Interrupt

# Message Signaled Interrupts as x86 has them: the address names the processor.
MESSAGE_BASE = 0xFEE0_0000
CPU_SHIFT = 12
CPU_MASK = 0xFF
# Unclaimed interrupts of a line, in a row, after which a kernel switches it off.
UNCLAIMED_LIMIT = 1000

# deliver(run, cpu, source): have run(cpu) called on that processor; what pends for a source is one call.
Deliver = Callable[[Callable[[int], None], int, Hashable], object]


class InlineDelivery:
    """Runs handlers at once, one after the other: what comes during a handler waits for its end."""

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._waiting: deque[tuple[Callable[[int], None], int, Hashable]] = deque()
        self._is_running = False

    def __call__(self, run: Callable[[int], None], cpu: int, source: Hashable) -> None:
        """Take one; UnrestError when handlers keep each other going without end."""
        if any(entry[1:] == (cpu, source) for entry in self._waiting):
            return
        self._waiting.append((run, cpu, source))
        if not self._is_running:
            self._is_running = True
            try:
                self._drain()
            finally:
                self._is_running = False

    def _drain(self) -> None:
        for _ in range(self._limit):
            if not self._waiting:
                return
            run, cpu, _ = self._waiting.popleft()
            run(cpu)
        self._waiting.clear()
        raise UnrestError(f"an interrupt storm: {self._limit} interrupts in a row")


@dataclass(eq=False)
class Irq:
    """One message or line input of the controller, and what is connected to it."""

    number: int
    vector: int = 0
    cpu: int = 0
    handler: Handler | None = None
    delivered: int = 0
    unhandled: int = 0

    def run(self, cpu: int) -> None:
        """Call the handler, on the processor that executes now."""
        self.service()

    def service(self) -> bool:
        """Call the handler; False when there is none or it says that the interrupt is not its own."""
        self.delivered += 1
        if self.handler is None:
            self.unhandled += 1
            return False
        return self.handler(self.vector) is not False


@dataclass(eq=False)
class Line:
    """A level-triggered interrupt line that several functions may share."""

    deliver: Deliver
    irqs: list[Irq] = field(default_factory=list)
    is_disabled: bool = False
    edges: int = 0
    _drivers: set[Hashable] = field(default_factory=set)
    _unclaimed: int = 0

    @property
    def is_asserted(self) -> bool:
        """Whether any function pulls the line."""
        return bool(self._drivers)

    def connect(self, irq: Irq) -> None:
        """Add a handler; a line that is asserted already is served at once."""
        self.irqs.append(irq)
        self.is_disabled = False
        self._unclaimed = 0
        self._fire()

    def disconnect(self, irq: Irq) -> None:
        """Remove a handler; UnknownError when it is not connected."""
        if irq not in self.irqs:
            raise UnknownError(f"irq {irq.number} is not connected to the line")
        self.irqs.remove(irq)

    def drive(self, source: Hashable, asserted: bool) -> None:
        """A function asserts or deasserts the line."""
        was_asserted = self.is_asserted
        (self._drivers.add if asserted else self._drivers.discard)(source)
        if self.is_asserted and not was_asserted:
            self.edges += 1
            self._fire()

    def _fire(self) -> None:
        if self.is_asserted and self.irqs and not self.is_disabled:
            self.deliver(self._service, self.irqs[0].cpu, self)

    def _service(self, cpu: int) -> None:
        if not self.is_asserted:
            return
        claims = [irq.service() for irq in self.irqs]
        self._unclaimed = 0 if any(claims) else self._unclaimed + 1
        if self._unclaimed >= UNCLAIMED_LIMIT:
            self.is_disabled = True
            raise InterruptError(f"nobody cared: {UNCLAIMED_LIMIT} interrupts of the line without a claim")
        self._fire()


class InterruptController:
    """Messages by number, and lines; `deliver` decides when and where handlers run.

    Processors.raise_interrupt fits; the default is at once.
    """

    def __init__(self, deliver: Deliver | None = None, *, capacity: int = 4096, first: int = 0x20) -> None:
        self.deliver: Deliver = deliver or InlineDelivery()
        self.strays: list[Interrupt] = []
        self.stray_count = 0
        self._irqs: dict[int, Irq] = {}
        self._first = first
        self._last = first + capacity - 1

    def line(self) -> Line:
        """A new line."""
        return Line(self.deliver)

    def allocate(self, count: int, *, align: int = 1) -> list[Irq]:
        """Consecutive message numbers from a multiple of `align`; CapacityError when there are none."""
        number = -(-self._first // align) * align
        while number + count - 1 <= self._last:
            taken = [n for n in range(number, number + count) if n in self._irqs]
            if not taken:
                irqs = [Irq(number + i, vector=i) for i in range(count)]
                self._irqs.update((irq.number, irq) for irq in irqs)
                return irqs
            number = -(-(taken[-1] + 1) // align) * align
        raise CapacityError(f"no {count} interrupts in a row are free")

    def release(self, irqs: list[Irq]) -> None:
        """Give message numbers back."""
        for irq in irqs:
            if self._irqs.pop(irq.number, None) is not irq:
                raise UnknownError(f"irq {irq.number} is not allocated")

    def message(self, irq: Irq, cpu: int) -> tuple[int, int]:
        """Address and data that make a function interrupt `cpu`."""
        if not 0 <= cpu <= CPU_MASK:
            raise UnknownError(f"messages reach processors 0 to {CPU_MASK}, not {cpu}")
        return MESSAGE_BASE | cpu << CPU_SHIFT, irq.number

    def signal(self, interrupt: Interrupt) -> None:
        """A message arrived; one that names no interrupt is kept in `strays` (the first 64) and counted."""
        irq = self._irqs.get(interrupt.data)
        if irq is None or interrupt.addr & ~(CPU_MASK << CPU_SHIFT) != MESSAGE_BASE:
            self._stray(interrupt)
            return
        self.deliver(irq.run, interrupt.addr >> CPU_SHIFT & CPU_MASK, irq)

    def _stray(self, interrupt: Interrupt) -> None:
        self.stray_count += 1
        if len(self.strays) < 64:
            self.strays.append(interrupt)
