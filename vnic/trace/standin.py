"""A function made from a trace: it answers a driver as the recorded device did, and compares what it does.

The driver, and what is around it (frames that arrive, time that passes), does again what it did when the
trace was recorded; the stand-in answers reads, writes into the driver's memory, interrupts, and sends frames.
Bus addresses are the driver's own: a machine with the same seed gives the same ones, and a mapping somewhere
else is a difference like any other. The recording has to begin with the device's making.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from enum import IntEnum
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol, Self, TypeVar

from vnic.abi import DmaStatus, EventType, InterruptKind, ResetLevel, RxVerdict
from vnic.errors import VnicError
from vnic.fault import Fault, FaultHandle
from vnic.host.bus import Interrupt, InterruptSink
from vnic.trace.driver_memory import DriverMemory
from vnic.trace.event import ACCESSES, READS, TraceEvent
from vnic.trace.file import TraceReader
from vnic.trace.header import TraceError
from vnic.trace.names import Names
from vnic.trace.replay import Difference
from vnic.trace.text import Lines

NameT = TypeVar("NameT", bound=IntEnum)

_NEVER: Final = (1 << 64) - 1
#: What the device says the value of.
_ANSWERED: Final = READS | {EventType.ARM}
_NO_MEMORY: Final = "the driver has mapped no memory there"
#: What comes from outside: from the driver, and from who drives the machine.
_OUTSIDE: Final = ACCESSES | {
    EventType.FRAME_IN,
    EventType.TIME,
    EventType.LINK,
    EventType.RESET,
    EventType.REMOVE,
    EventType.ARM,
    EventType.MAP,
    EventType.UNMAP,
}


class StandInError(VnicError):
    """The driver did something else than when the trace was recorded; `difference` says where."""

    def __init__(self, text: str, difference: Difference) -> None:
        super().__init__(text)
        self.difference = difference


class FrameSink(Protocol):
    """The link as a card sees it."""

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """Take a frame that was sent."""


class StandIn:
    """A Function (vnic.host.bus) out of a trace: `System(StandIn(file), memory)`, or in place of a Device.

    At the first difference every call raises StandInError, with the number of the event, and register and
    field by name. finish(): the driver did everything that it did before. TraceError for a trace of several
    functions, a compact one, or one in which a snapshot is loaded. Data that a fault corrupted on their way
    are in a trace as they were before.
    """

    is_manual = False

    def __init__(self, source: str | os.PathLike[str] | BinaryIO) -> None:
        self._reader = TraceReader(source)
        header = self._reader.header
        self._lines = Lines(header, Names(header))
        try:
            if len(header.functions) != 1 or header.is_compact:
                raise TraceError(
                    "a stand-in is one function, of a full trace: `vnic trace expand` fills one in"
                )
            self.function = header.functions[0].function
            self._events = self._start(iter(self._reader))
            self._next: TraceEvent | None = next(self._events, None)
        except BaseException:
            self._reader.close()
            raise
        self._memory = DriverMemory()
        self._windows: dict[int, StandInWindow] = {}
        self._interrupts: deque[Interrupt] = deque()
        self._taken: deque[Interrupt] = deque()
        self._frames: deque[bytes] = deque()
        self._interrupt_sink: InterruptSink | None = None
        self._frame_sink: FrameSink | None = None
        self._failure: StandInError | None = None
        self._fired: Counter[int] = Counter()
        self._passed = 0
        self.now_ns = 0

    @staticmethod
    def _start(events: Iterator[TraceEvent]) -> Iterator[TraceEvent]:
        """Events behind the snapshot with which a recording begins; that has to be of a new device."""
        first = next(events, None)
        if first is not None and first.type != EventType.LOAD:
            yield first
        for event in events:
            if event.type == EventType.LOAD:
                raise TraceError(f"event {event.number}: the device became another; a driver cannot")
            yield event

    # -- the trace -------------------------------------------------------------------------------------------

    def _pass(self) -> None:
        if self._next is not None:
            self.now_ns = self._next.time_ns
            self._passed = self._next.number + 1
        self._next = next(self._events, None)

    def _play(self) -> None:
        """Do what the device did by itself, up to the next event that comes from outside."""
        while (event := self._next) is not None and event.type not in _OUTSIDE:
            self._pass()
            self._do(event)

    def _do(self, event: TraceEvent) -> None:
        """One doing of the device; what is not here is not for the driver to see."""
        if event.digest is not None:
            raise TraceError(f"event {event.number}: its data are left out")
        if event.type == EventType.DMA_READ:
            self._dma_read(event)
        elif event.type == EventType.DMA_WRITE:
            self._dma_write(event)
        elif event.type == EventType.INTERRUPT:
            kind = _known(InterruptKind, event.width, event)
            self._interrupts.append(Interrupt(kind, event.index, event.addr, event.value))
        elif event.type == EventType.FRAME_OUT:
            self._frames.append(event.data)
        elif event.type == EventType.TAKE:
            self._taken.extend(
                self._interrupts.popleft() for _ in range(min(event.value, len(self._interrupts)))
            )
        elif event.type == EventType.RELEASE:
            self._send(event.value)
        elif event.type == EventType.FAULT:
            self._fired[event.value] += 1

    def _meet(self, kind: EventType, **values: Any) -> TraceEvent:
        """The event of the trace that this call is; StandInError when it is another one."""
        self._raise_failure()
        self._play()
        expected = self._next
        actual = TraceEvent(0, kind, self.now_ns, self.function, **values)
        if expected is None or not _is_same(expected, actual):
            raise self._differ(expected, actual)
        self._pass()
        return expected

    def _differ(self, expected: TraceEvent | None, actual: TraceEvent | None, more: str = "") -> StandInError:
        """The error, which every later call raises again."""
        number = expected.number if expected is not None else self._passed
        difference = Difference(number, expected, actual)
        fields = self._lines.field_differences(expected, actual) if not more else [more]
        text = [
            f"the driver differs at event {number}, {self.now_ns} ns",
            f"  trace:  {self._what(expected)}",
            f"  driver: {self._what(actual)}",
            *(f"  {line}" for line in fields),
        ]
        self._failure = StandInError("\n".join(text), difference)
        return self._failure

    def _what(self, event: TraceEvent | None) -> str:
        """In a line; of a read only where it goes, as what it gives is not the driver's."""
        if event is None:
            return "nothing"
        text = self._lines.what(event)
        return text.partition(" -> ")[0] if event.type in READS else text

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _go_on(self) -> None:
        """What follows an input: the device's own doings, and interrupts reach the driver."""
        self._play()
        while self._taken and self._interrupt_sink is not None:
            # A handler comes back here with its accesses: oldest first keeps the order.
            self._interrupt_sink.signal(self._taken.popleft())
            self._play()

    def finish(self) -> None:
        """StandInError when the trace has more that comes from outside."""
        self._raise_failure()
        self._play()
        if self._next is not None:
            raise self._differ(self._next, None)

    def close(self) -> None:
        """Close the file; idempotent."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    # -- registers and configuration space -------------------------------------------------------------------

    def config_read(self, offset: int, width: int = 4) -> int:
        """What the device gave."""
        value = self._meet(EventType.CFG_READ, addr=offset, width=width).value
        self._go_on()
        return value

    def config_write(self, offset: int, value: int, width: int = 4) -> None:
        """Has to be what the driver wrote."""
        self._meet(EventType.CFG_WRITE, addr=offset, value=value, width=width)
        self._go_on()

    def read(self, bar: int, offset: int, width: int = 4) -> int:
        """What the device gave."""
        value = self._meet(EventType.MMIO_READ, index=bar, addr=offset, width=width).value
        self._go_on()
        return value

    def write(self, bar: int, offset: int, value: int, width: int = 4) -> None:
        """Has to be what the driver wrote."""
        self._meet(EventType.MMIO_WRITE, index=bar, addr=offset, value=value, width=width)
        self._go_on()

    def window(self, bar: int) -> StandInWindow:
        """The accesses of a BAR."""
        return self._windows.setdefault(bar, StandInWindow(self, bar))

    # -- the driver's memory ---------------------------------------------------------------------------------

    def map(self, iova: int, memory: memoryview, permissions: int) -> None:
        """The driver's memory, where it was."""
        self._meet(EventType.MAP, addr=iova, value=len(memory), width=permissions)
        self._memory.map(iova, memory)
        self._go_on()

    def unmap(self, iova: int, length: int) -> None:
        """It is gone."""
        self._meet(EventType.UNMAP, addr=iova, value=length)
        self._memory.unmap(iova, length)
        self._go_on()

    def unmap_all(self) -> None:
        """All of it."""
        self.unmap(0, _NEVER)

    def _dma_read(self, event: TraceEvent) -> None:
        """What the driver has in its memory has to be what the device read there."""
        if event.value != DmaStatus.OK:
            return
        found = self._memory.read(event.addr, event.length)
        if found is None:
            raise self._differ(event, None, _NO_MEMORY)
        if found != event.data:
            raise self._differ(event, event._replace(data=found), _first_octet(event, found))

    def _dma_write(self, event: TraceEvent) -> None:
        if event.value == DmaStatus.OK and not self._memory.write(event.addr, event.data):
            raise self._differ(event, None, _NO_MEMORY)

    # -- interrupts, frames, time ----------------------------------------------------------------------------

    def connect_interrupts(self, sink: InterruptSink | None) -> None:
        """Interrupts go to `sink` from now on."""
        self._interrupt_sink = sink

    def connect_link(self, sink: FrameSink | None) -> None:
        """Frames that the device sent go to `sink`."""
        self._frame_sink = sink

    def _send(self, count: int) -> None:
        for _ in range(min(count, len(self._frames))):
            frame = self._frames.popleft()
            if self._frame_sink is not None:
                self._frame_sink.transmit(frame, self.now_ns)

    def set_link(self, mbps: int) -> None:
        """The link, as it was."""
        self._meet(EventType.LINK, value=mbps)
        self._go_on()

    def receive(self, frame: bytes | bytearray | memoryview) -> RxVerdict:
        """A frame arrives that arrived; what the device said."""
        event = self._meet(EventType.FRAME_IN, data=bytes(frame), length=len(frame))
        self._go_on()
        return _known(RxVerdict, event.value, event)

    def advance(self, now_ns: int) -> None:
        """Virtual time, as it was."""
        self._meet(EventType.TIME, value=now_ns)
        self._go_on()

    def next_deadline_ns(self) -> int | None:
        """The next time that was told to the device, when nothing else comes from outside before."""
        self._play()
        event = self._next
        return event.value if event is not None and event.type == EventType.TIME else None

    # -- from outside ----------------------------------------------------------------------------------------

    def reset(self, level: ResetLevel = ResetLevel.HOT) -> None:
        """A reset, as it was."""
        self._meet(EventType.RESET, value=level)
        self._go_on()

    def remove(self) -> None:
        """Surprise removal, as it was."""
        self._meet(EventType.REMOVE, value=1)
        self._go_on()

    def insert(self) -> None:
        """It is back, as it was."""
        self._meet(EventType.REMOVE, value=0)
        self._go_on()

    def arm(self, fault: Fault) -> FaultHandle:
        """A fault that was armed here: what it did is in the trace."""
        return FaultHandle(self, fault, self._meet(EventType.ARM).value)

    def disarm(self, number: int) -> None:
        """It is taken out, as it was."""
        self._meet(EventType.ARM)

    def fault_fired(self, number: int) -> int:
        """How often it fired so far."""
        self._play()
        return self._fired[number]


class StandInWindow:
    """The accesses of a BAR of a stand-in."""

    def __init__(self, function: StandIn, bar: int) -> None:
        self.read8, self.read16, self.read32, self.read64 = (
            partial(_read, function, bar, width) for width in (1, 2, 4, 8)
        )
        self.write8, self.write16, self.write32, self.write64 = (
            partial(_write, function, bar, width) for width in (1, 2, 4, 8)
        )


def _read(function: StandIn, bar: int, width: int, offset: int) -> int:
    if offset < 0:
        raise OverflowError(f"offset {offset}")
    return function.read(bar, offset, width)


def _write(function: StandIn, bar: int, width: int, offset: int, value: int) -> None:
    if offset < 0 or not 0 <= value < 1 << 8 * width:
        raise OverflowError(f"offset {offset}, value {value:#x} of {width} bytes")
    function.write(bar, offset, value, width)


def _known(names: type[NameT], value: int, event: TraceEvent) -> NameT:
    """A value of an enum; TraceError."""
    try:
        return names(value)
    except ValueError as error:
        raise TraceError(f"event {event.number}: {error}") from None


def _is_same(expected: TraceEvent, actual: TraceEvent) -> bool:
    """Whether a call is the one that was recorded; what a read or receive() answers is no part of it."""
    if expected.type == actual.type == EventType.FRAME_IN:
        return expected.data == actual.data
    if (expected.type, expected.index, expected.addr, expected.width) != (
        actual.type,
        actual.index,
        actual.addr,
        actual.width,
    ):
        return False
    return expected.type in _ANSWERED or expected.value == actual.value


def _first_octet(event: TraceEvent, found: bytes) -> str:
    """Where memory is another than what the device read."""
    place = next(
        place for place, (one, other) in enumerate(zip(event.data, found, strict=True)) if one != other
    )
    return (
        f"octet {place} of {event.length}, at {event.addr + place:#x}: "
        f"{event.data[place]:#04x} in the trace, {found[place]:#04x} now"
    )
