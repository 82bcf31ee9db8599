"""An event as a line of text: what `vnic trace dump` prints, the same for the same event, fit for a diff."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vnic.abi import (
    CopyPart,
    DmaPurpose,
    DmaStatus,
    Engine,
    EventType,
    InterruptKind,
    Map,
    ResetLevel,
    RxVerdict,
)
from vnic.fault import BYTES_1 as FAULT_BYTES
from vnic.fault import Fault, describe, unpack
from vnic.trace.event import ACCESSES, HASHED, TraceEvent
from vnic.trace.header import TraceHeader
from vnic.trace.names import Names

_SHOWN: Final = 16
_NEVER: Final = (1 << 64) - 1


class Lines:
    """Makes lines; `shown`: bytes of data on a line at most."""

    def __init__(self, header: TraceHeader, names: Names | None = None, shown: int = _SHOWN) -> None:
        self._names = names or Names(header)
        self._kinds = {each.function: each.kind for each in header.functions}
        self._shown = shown
        self._armed: dict[tuple[int, int], Fault] = {}
        self._makers: dict[EventType, Callable[[TraceEvent], str]] = {
            EventType.MMIO_READ: self._read,
            EventType.MMIO_WRITE: self._write,
            EventType.CFG_READ: self._read,
            EventType.CFG_WRITE: self._write,
            EventType.DMA_READ: self._dma,
            EventType.DMA_WRITE: self._dma,
            EventType.INTERRUPT: _interrupt,
            EventType.FRAME_IN: self._frame_in,
            EventType.FRAME_OUT: self._frame_out,
            EventType.TIME: lambda event: f"time {event.value}",
            EventType.RUN: _run,
            EventType.STEP: self._step,
            EventType.LINK: lambda event: f"link {event.value} Mb/s",
            EventType.MAP: _map,
            EventType.UNMAP: lambda event: f"unmap {event.addr:#x} {_amount(event.value)}",
            EventType.RESET: lambda event: f"reset {_name(ResetLevel, event.value)}",
            EventType.REMOVE: lambda event: "remove" if event.value else "insert",
            EventType.FAULT: self._fault,
            EventType.ARM: self._arm,
            EventType.LOAD: lambda event: f"load {event.length} bytes",
            EventType.TAKE: lambda event: f"take {event.value} interrupts",
            EventType.RELEASE: lambda event: f"release {event.value} frames",
            EventType.MARK: lambda event: f"mark {event.text!r}",
            EventType.HASH: lambda event: f"hash {event.value:#018x}",
        }

    def line(self, event: TraceEvent) -> str:
        """`time function what`, without an end of line."""
        return f"{event.time_ns:>12} f{event.function} {self.what(event)}"

    def what(self, event: TraceEvent) -> str:
        """What happened, alone."""
        return self._makers[event.type](event)

    def field_differences(self, expected: TraceEvent | None, actual: TraceEvent | None) -> list[str]:
        """What differs between two accesses to one register, field by field."""
        if (
            expected is None
            or actual is None
            or expected.type not in ACCESSES
            or expected.addr != actual.addr
        ):
            return []
        before, now = self._names.fields(expected), self._names.fields(actual)
        return [
            f"{name}: {before[name]} in the trace, {now[name]} now"
            for name in before
            if before[name] != now[name]
        ]

    # -- registers -------------------------------------------------------------------------------------------

    def _read(self, event: TraceEvent) -> str:
        return f"{self._access(event, 'r')} -> {event.value:#x}{self._fields(event)}"

    def _write(self, event: TraceEvent) -> str:
        return f"{self._access(event, 'w')} <- {event.value:#x}{self._fields(event)}"

    def _access(self, event: TraceEvent, way: str) -> str:
        is_config = event.type in (EventType.CFG_READ, EventType.CFG_WRITE)
        where = f"c{way}{8 * event.width or ''}" if is_config else f"m{way}{8 * event.width} b{event.index}"
        return f"{where} {self._names.name(event)}"

    def _fields(self, event: TraceEvent) -> str:
        """The fields that are not 0, where a register has several."""
        place = self._names.place(event)
        if place is None or len(place.register.fields) < 2:
            return ""
        values = self._names.fields(event)
        named = {field.name: field for field in place.register.fields}
        parts = [f"{name}={_value(named[name].enum, value)}" for name, value in values.items() if value]
        return f" {{{' '.join(parts)}}}" if parts else ""

    # -- data ------------------------------------------------------------------------------------------------

    def _data(self, event: TraceEvent) -> str:
        if event.digest is not None:
            return f"digest {event.digest:#018x}"
        text = event.data[: self._shown].hex(" ", 4)
        return f"{text} .." if len(event.data) > self._shown else text

    def _dma(self, event: TraceEvent) -> str:
        way = "dr" if event.type == EventType.DMA_READ else "dw"
        purpose = _name(DmaPurpose, event.index)
        status = "" if event.value == DmaStatus.OK else f" {_name(DmaStatus, event.value)}"
        return f"{way} {purpose} {event.addr:#x} {event.length}{status} {self._data(event)}".rstrip()

    def _frame_in(self, event: TraceEvent) -> str:
        where = f" q{event.index}" if event.value == RxVerdict.TAKEN else ""
        hashed = f" {event.addr & (HASHED - 1):#010x}" if event.addr & HASHED else ""
        return f"rx {event.length} {_name(RxVerdict, event.value)}{where}{hashed} {self._data(event)}"

    def _frame_out(self, event: TraceEvent) -> str:
        return f"tx q{event.index} {event.length} {self._data(event)}"

    def _arm(self, event: TraceEvent) -> str:
        if not event.length:
            self._armed.pop((event.function, event.value), None)
            return f"disarm {event.value}"
        if len(event.data) < FAULT_BYTES:
            return f"arm {event.value} {event.data.hex()}"
        fault = self._armed[event.function, event.value] = unpack(event.data)
        return f"arm {event.value} {describe(fault)}"

    def _fault(self, event: TraceEvent) -> str:
        """With site and action, where its arming went by."""
        fault = self._armed.get((event.function, event.value))
        if fault is None:
            return f"fault {event.value} fired"
        site, action, *_ = describe(fault).split()
        return f"fault {event.value} fired: {site} {action}, index {event.index} {event.addr:#x}"

    def _step(self, event: TraceEvent) -> str:
        if self._kinds.get(event.function) == "copy":
            return f"step {'irq' if event.index == CopyPart.IRQ else f'channel {event.index}'}"
        return f"step {_name(Engine, event.index)}"


def _interrupt(event: TraceEvent) -> str:
    kind = _name(InterruptKind, event.width)
    if event.width == InterruptKind.INTX:
        return f"irq {kind} {'assert' if event.value else 'deassert'}"
    return f"irq {kind} {event.index} {event.addr:#x} <- {event.value:#x}"


def _run(event: TraceEvent) -> str:
    return f"run {_amount(event.addr)} steps {_amount(event.value)} bytes"


def _map(event: TraceEvent) -> str:
    letters = "".join(letter for letter, bit in (("r", Map.READ), ("w", Map.WRITE)) if event.width & bit)
    return f"map {event.addr:#x} {event.value} {letters}"


def _amount(value: int) -> str:
    return "all" if value == _NEVER else str(value)


def _name(names: type, value: int) -> str:
    """The name of a number; the number where it has none."""
    try:
        return str(names(value).name).lower()
    except ValueError:
        return str(value)


def _value(names: type | None, value: int) -> str:
    if names is not None:
        try:
            return str(names(value).name)
        except ValueError:
            pass
    return f"{value:#x}" if value > 9 else str(value)
