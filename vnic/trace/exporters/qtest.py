"""A trace as a qtest script, or as the log of one with its answers and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from vnic.abi import EventType
from vnic.trace.event import READS, TraceEvent
from vnic.trace.header import FunctionHeader, TraceHeader
from vnic.trace.importers.bars import Assignment, Bars, wide_bars
from vnic.trace.importers.place import place_number
from vnic.trace.importers.qtest import (
    ADDRESS_PORT,
    ANSWERED,
    CONFIG_PORTS,
    DATA_PORT,
    ENABLED,
    MARKED,
)
from vnic.trace.importers.qtest_lines import is_irq, is_request

_LETTERS: Final = {1: "b", 2: "w", 4: "l", 8: "q"}
_COMMAND: Final = 0x04
_DECODES: Final = 0x7
#: Registers of configuration space that are not 32 bits wide, for accesses of which no width is known.
_BYTES: Final = frozenset({0x08, 0x0C, 0x0D, 0x0E, 0x0F, 0x34, 0x3C, 0x3D, 0x3E, 0x3F})
_WORDS: Final = frozenset({0x00, 0x04, 0x2C})
_DEFAULT_DEVICE: Final = 3
_DEFAULT_BASE: Final = 0xC000_0000
_DEFAULT_STEP: Final = 0x0080_0000
_ADDRESSES: Final = (1 << 64) - 1
_PART: Final = 32_768
_KNOWN_MAX: Final = 65_536
#: What comes out of a device by itself, and so is no request.
_OUTPUTS: Final = frozenset(
    {EventType.DMA_WRITE, EventType.INTERRUPT, EventType.FRAME_OUT, EventType.HASH, EventType.FAULT}
)


class QtestExport:
    """Lines of a script (or with `answers` a log); `left_out`: what qtest cannot say, counted.

    A device of QEMU acts by itself: there is no request for RUN or STEP. What a device read by DMA is written
    to memory before the request upon which it read it; where it read a place twice and found different data,
    the first is written. A BAR stands where the trace put it; if it does not say where, it is put somewhere.
    """

    def __init__(self, header: TraceHeader, *, answers: bool = False) -> None:
        self.left_out: Counter[str] = Counter()
        self._answers = answers
        self._bars = Bars()
        self._functions = {each.function: each for each in header.functions}
        self._assigned = {
            number: Assignment(self._bars, number, wide_bars(each))
            for number, each in self._functions.items()
        }
        self._places = {number: _place_of(each) for number, each in self._functions.items()}
        self._held: list[str] = []
        self._held_time = 0
        self._known: dict[int, bytes | None] = {}
        self._tried: set[tuple[int, int]] = set()

    def lines(self, events: Iterable[TraceEvent]) -> Iterator[str]:
        """Without ends of lines."""
        if self._answers:
            yield "[I 0.000000] OPENED"
        for event in events:
            yield from self._event(event)
        yield from self._release()

    def _event(self, event: TraceEvent) -> Iterator[str]:
        kind = event.type
        if kind in (EventType.MMIO_READ, EventType.MMIO_WRITE):
            yield from self._memory(event)
        elif kind in (EventType.CFG_READ, EventType.CFG_WRITE):
            yield from self._config(event)
        elif kind == EventType.TIME:
            yield from self._request(event.time_ns, (f"clock_set {event.value}", f"OK {event.value}"))
        elif kind == EventType.DMA_READ:
            yield from self._dma(event)
        elif kind == EventType.MARK:
            yield from self._mark(event)
        elif kind == EventType.DMA_WRITE:
            self._know(event.addr, None)
        elif kind not in _OUTPUTS:
            self.left_out[kind.name] += 1

    # -- lines -----------------------------------------------------------------------------------------------

    def _request(self, time_ns: int, *spoken: tuple[str, str]) -> Iterator[str]:
        """The request before, which no DMA belongs to any more; this one (text and answer) is held."""
        yield from self._release()
        self._held_time = time_ns
        self._held = [line for text, answer in spoken for line in self._spoken(time_ns, text, answer)]

    def _release(self) -> Iterator[str]:
        yield from self._held
        self._held = []
        self._known.clear()

    def _spoken(self, time_ns: int, text: str, answer: str) -> list[str]:
        if not self._answers:
            return [text]
        stamp = _stamp(time_ns)
        return [f"[R {stamp}] {text}", f"[S {stamp}] {answer}"]

    # -- accesses --------------------------------------------------------------------------------------------

    def _memory(self, event: TraceEvent) -> Iterator[str]:
        if event.width not in _LETTERS or event.function not in self._functions or event.index > 5:
            self.left_out["accesses to what is no BAR"] += 1
            return
        if (event.function, event.index) not in self._tried:
            yield from self._assign(event.function, event.index, event.time_ns)
        place = self._bars.base(event.function, event.index)
        address, is_io = (place[0] + event.addr & _ADDRESSES, place[1]) if place else (0, False)
        if place is None or (is_io and (event.width == 8 or address in CONFIG_PORTS)):
            self.left_out["accesses to what is no BAR"] += 1
            return
        yield from self._request(event.time_ns, _access(event, is_io, address, event.width))

    def _config(self, event: TraceEvent) -> Iterator[str]:
        width = event.width or _width_of(event)
        lane = event.addr & 3
        if (
            event.addr > 0xFF
            or width not in (1, 2, 4)
            or lane + width > 4
            or event.function not in self._functions
        ):
            self.left_out["accesses to configuration space that ports do not reach"] += 1
            return
        if not event.width:
            self.left_out["widths of configuration accesses: they are guessed"] += 1
        is_write = event.type == EventType.CFG_WRITE
        self._assigned[event.function].note(is_write, event.addr, width, event.value)
        address = ENABLED | self._places[event.function] << 8 | event.addr & 0xFC
        yield from self._request(
            event.time_ns,
            (f"outl {ADDRESS_PORT:#x} {address:#x}", "OK"),
            _access(event, True, DATA_PORT + lane, width),
        )

    def _assign(self, function: int, bar: int, time_ns: int) -> Iterator[str]:
        """Put a BAR that is nowhere yet where the header says, or somewhere, and let it decode."""
        self._tried.add((function, bar))
        if self._bars.base(function, bar) is not None:
            return
        base = _header_base(self._functions[function].config, bar)
        if base is None:
            base = _DEFAULT_BASE + (function * 8 + bar) * _DEFAULT_STEP
        # What is 64 bits wide gets its upper half as well, so that the other BARs stay where they are.
        is_wide = bar in wide_bars(self._functions[function]) or base >> 32
        writes = [(0x10 + 4 * bar, 4, base & 0xFFFF_FFFF | (4 if base >> 32 else 0))]
        writes += [(0x14 + 4 * bar, 4, base >> 32)] if is_wide else []
        writes += [(_COMMAND, 2, _DECODES)]
        for addr, width, value in writes:
            yield from self._config(
                TraceEvent(0, EventType.CFG_WRITE, time_ns, function, 0, width, addr, value)
            )

    # -- the rest --------------------------------------------------------------------------------------------

    def _mark(self, event: TraceEvent) -> Iterator[str]:
        """A request that was imported, or the word of an interrupt; others qtest cannot say."""
        text = event.text
        if text.startswith(MARKED) and "\n" not in text and "\r" not in text:
            request, _, answer = text.removeprefix(MARKED).partition(ANSWERED)
            if is_request(request.split()) or (self._answers and answer.startswith("FAIL")):
                yield from self._request(event.time_ns, (request, answer or "OK"))
                return
        elif self._answers and is_irq(text):
            yield from self._release()
            yield f"[S {_stamp(event.time_ns)}] {text}"
            return
        self.left_out["MARK"] += 1

    def _dma(self, event: TraceEvent) -> Iterator[str]:
        if event.digest is not None or not event.data:
            return
        if event.addr in self._known:
            if self._known[event.addr] not in (None, event.data):
                self.left_out["DMA reads of data that changed meanwhile"] += 1
            return
        self._know(event.addr, event.data)
        for at in range(0, len(event.data), _PART):
            part = event.data[at : at + _PART]
            text = f"write {event.addr + at:#x} {len(part):#x} 0x{part.hex()}"
            yield from self._spoken(self._held_time, text, "OK")

    def _know(self, addr: int, data: bytes | None) -> None:
        """What is at an address, or that the device wrote it, until the next request."""
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[addr] = data


def _access(event: TraceEvent, is_io: bool, address: int, width: int) -> tuple[str, str]:
    """Request and answer."""
    letter, value = _LETTERS[width], event.value & (1 << 8 * width) - 1
    if event.type in READS:
        return f"{'in' if is_io else 'read'}{letter} {address:#x}", f"OK 0x{value:0{4 if is_io else 16}x}"
    return f"{'out' if is_io else 'write'}{letter} {address:#x} {value:#x}", "OK"


def _stamp(time_ns: int) -> str:
    return f"+{time_ns // 1_000_000_000}.{time_ns % 1_000_000_000 // 1000:06d}"


def _place_of(function: FunctionHeader) -> int:
    """Bus, device and function of the header, or one for each."""
    place = place_number(str(function.config.get("location", "")))
    return (_DEFAULT_DEVICE + function.function) << 3 if place is None else place


def _header_base(config: Mapping[str, object], bar: int) -> int | None:
    """Where an importer found a BAR that it knows of from elsewhere than configuration space."""
    bars = config.get("bars")
    try:
        base = int(str(bars[str(bar)]), 16) if isinstance(bars, Mapping) else 0
    except (KeyError, ValueError):
        return None
    return base if 0x1_0000 <= base < 1 << 64 and base % 16 == 0 else None


def _width_of(event: TraceEvent) -> int:
    """What an access without a width will have been."""
    addr, value = event.addr, event.value
    natural = 1 if addr in _BYTES or addr & 1 else 2 if addr in _WORDS or addr & 2 else 4
    fits = 1 if value < 1 << 8 else 2 if value < 1 << 16 else 4
    return max(natural, fits)
