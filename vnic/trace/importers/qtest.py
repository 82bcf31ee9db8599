"""qtest scripts and logs: port and memory accesses become those of the devices that they go to."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Final

from vnic.abi import EventType
from vnic.trace.event import FUNCTIONS, TraceEvent
from vnic.trace.header import FunctionHeader, TraceError, TraceHeader
from vnic.trace.importers.bars import Assignment, Bars
from vnic.trace.importers.lines import value_of
from vnic.trace.importers.place import place_text
from vnic.trace.importers.qtest_lines import Exchange, exchanges_of

#: A request as a MARK; in a log, ` -> ` and its answer follow unless that is a bare OK.
MARKED: Final = "qtest "
ANSWERED: Final = " -> "
ADDRESS_PORT: Final = 0xCF8
DATA_PORT: Final = 0xCFC
CONFIG_PORTS: Final = range(ADDRESS_PORT, DATA_PORT + 4)
ENABLED: Final = 1 << 31
#: Bus, device, function and register of the address port.
_LATCHED: Final = 0xFF_FFFC
_ACCESS: Final = re.compile(r"(read|write|in|out)([bwlq])")
_WIDTHS: Final = {"b": 1, "w": 2, "l": 4, "q": 8}
_BLOCK_WIDTHS: Final = frozenset({1, 2, 4})
_BARS: Final = range(0x10, 0x28)
_TIMES_MAX: Final = 1 << 64


class Qtest:
    """One file. What it says of no device's registers or configuration, is kept as a MARK with its text.

    Kept so: guest memory, ports of others, interrupts, requests that were refused, steps of the clock
    without an end that is known. A script has no answers: its reads are 0, and its times those of its clock.
    """

    def __init__(self, path: str | os.PathLike[str], device: str | None = None) -> None:
        self._path = path
        self.notes: list[str] = []
        self.complaints: list[str] = []
        found = self._choose(device)
        self._functions = {place: number for number, (place, _) in enumerate(found)}
        functions = [
            FunctionHeader(number, "foreign", ids, {"location": place_text(place)})
            for number, (place, ids) in enumerate(found)
        ]
        self.header = TraceHeader(tuple(functions) or (FunctionHeader(0, "foreign"),))
        self._start()

    def _start(self) -> None:
        self._bars = Bars()
        self._assigned = {number: Assignment(self._bars, number) for number in self._functions.values()}
        self._latch = 0
        self._clock: int | None = 0
        self._time = 0
        self._notes: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    def _choose(self, wanted: str | None) -> list[tuple[int, str]]:
        """Devices and their ids: the one that is wanted; or those that get a BAR; or all."""
        latch, ids, with_bars = 0, dict[int, str](), set[int]()
        for each in exchanges_of(self._path):
            access = _port_access(each)
            if access is None or each.is_refused:
                continue
            is_write, port, width, value = access
            if is_write and port == ADDRESS_PORT and width == 4:
                latch = value
            place = _config_place(latch, port, width)
            if place is None:
                continue
            ids.setdefault(place[0], "")
            if is_write and place[1] in _BARS and value not in (0, 0xFFFF_FFFF):
                with_bars.add(place[0])
            if not is_write and place[1] == 0 and width == 4 and value:
                ids[place[0]] = f"{value & 0xFFFF:04x}:{value >> 16 & 0xFFFF:04x}"
        found = [
            (place, named)
            for place, named in ids.items()
            if (
                not with_bars or place in with_bars
                if wanted is None
                else wanted in (place_text(place), named)
            )
        ]
        if (wanted is not None and len(found) != 1) or len(found) > FUNCTIONS:
            known = ", ".join(place_text(place) for place in list(ids)[:20]) or "none"
            raise TraceError(f"{len(found)} devices{f' {wanted}' if wanted else ''}: name one of {known}")
        return found

    # -- events ----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[TraceEvent]:
        """Accesses, times and marks."""
        self._start()
        self.notes.clear()
        self.complaints.clear()
        count = 0
        for this, after in pairwise(chain(exchanges_of(self._path), (None,))):
            assert this is not None  # only the last one is
            for event in self._events(this, after):
                yield event._replace(number=count, time_ns=self._time)
                count += 1
        self.notes += [f"{times:,} {what}" for what, times in self._notes.items()]
        self.complaints += [f"{times:,} {what}" for what, times in self._lost.items()]

    def _events(self, this: Exchange, after: Exchange | None) -> Iterator[TraceEvent]:
        if this.time_ns is not None:
            self._time = this.time_ns
            self._count_missing(this)
        if this.words:
            event = _mark_of(this) if this.is_refused else self._event(this, after)
            if event is not None:
                yield event
        for text in this.irqs:
            yield _mark(text)

    def _count_missing(self, this: Exchange) -> None:
        """Of a log, what was not carried out, or not to its end."""
        if this.is_refused:
            self._notes["requests that were refused are kept as marks"] += 1
        elif this.words and this.answer is None:
            self._lost["requests without an answer"] += 1

    def _event(self, this: Exchange, after: Exchange | None) -> TraceEvent | None:
        """The event of a request that was carried out; None: it is part of the next one's."""
        name = this.words[0]
        if name in ("read", "write"):
            return self._block(this) or _mark_of(this)
        if name in ("clock_step", "clock_set"):
            return self._tick(this)
        match = _ACCESS.fullmatch(name)
        if match is None:
            return _mark_of(this)
        if match[1] in ("in", "out"):
            return self._port(this, after)
        return self._memory(this, match[1] == "write", _WIDTHS[match[2]])

    def _port(self, this: Exchange, after: Exchange | None) -> TraceEvent | None:
        access = _port_access(this)
        if access is None:
            return _mark_of(this)
        is_write, port, width, value = access
        if is_write and port == ADDRESS_PORT and width == 4:
            self._latch = value
            is_used = after is not None and self._config_of(after) is not None
            return None if is_used else _mark_of(this)
        config = self._config_of(this)
        if config is not None:
            function, addr = config
            if is_write or this.answer is not None:
                self._assigned[function].note(is_write, addr, width, value)
            kind = EventType.CFG_WRITE if is_write else EventType.CFG_READ
            return self._access(this, TraceEvent(0, kind, 0, function, 0, width, addr, value))
        if port in CONFIG_PORTS:  # the host bridge takes them, whatever a BAR says
            return _mark_of(this)
        return self._in_bar(this, is_write, port, width, value, is_io=True)

    def _config_of(self, exchange: Exchange) -> tuple[int, int] | None:
        """Function and address of an access to the data port, with the address that is latched now."""
        access = _port_access(exchange)
        if access is None or exchange.is_refused:
            return None
        place = _config_place(self._latch, access[1], access[2])
        if place is None or place[0] not in self._functions:
            return None
        return self._functions[place[0]], place[1]

    def _memory(self, this: Exchange, is_write: bool, width: int) -> TraceEvent | None:
        address = value_of(this.words[1], this.line)
        value = value_of(this.words[2], this.line) if is_write else _answered(this)
        return self._in_bar(this, is_write, address, width, value & (1 << 8 * width) - 1, is_io=False)

    def _in_bar(
        self, this: Exchange, is_write: bool, address: int, width: int, value: int, *, is_io: bool
    ) -> TraceEvent:
        spot = self._bars.find(address, is_io=is_io)
        if spot is None:
            return _mark_of(this)
        kind = EventType.MMIO_WRITE if is_write else EventType.MMIO_READ
        return self._access(this, TraceEvent(0, kind, 0, spot.function, spot.bar, width, spot.offset, value))

    def _access(self, this: Exchange, event: TraceEvent) -> TraceEvent:
        """Counts those whose value nobody knows."""
        if this.answer is None and event.type in (EventType.MMIO_READ, EventType.CFG_READ):
            self._notes["reads have no answer: their values are 0"] += 1
        return event

    def _block(self, this: Exchange) -> TraceEvent | None:
        """`read` and `write` of a naturally aligned 1, 2 or 4 octets in a BAR are an access to a register."""
        address, width = (value_of(word, this.line) for word in this.words[1:3])
        spot = self._bars.find(address)
        if spot is None:
            return None
        octets = this.words[3] if this.words[0] == "write" else (this.answer or "OK 0x").partition(" ")[2]
        value = _little(octets, width)
        if width not in _BLOCK_WIDTHS or address % width or value is None:
            self._notes["blocks in a BAR are kept as marks"] += 1
            return None
        kind = EventType.MMIO_WRITE if this.words[0] == "write" else EventType.MMIO_READ
        return self._access(this, TraceEvent(0, kind, 0, spot.function, spot.bar, width, spot.offset, value))

    def _tick(self, this: Exchange) -> TraceEvent:
        """The clock goes on to a time that is in the answer, or follows from the last one."""
        to = self._clock_after(this)
        self._clock = to
        if to is None:
            return _mark_of(this)
        if this.time_ns is None:
            self._time = to
        return TraceEvent(0, EventType.TIME, 0, value=to)

    def _clock_after(self, this: Exchange) -> int | None:
        answer = (this.answer or "").split()
        if len(answer) > 1:
            return value_of(answer[1], this.line)
        if len(this.words) < 2:
            return None
        amount = value_of(this.words[1], this.line)
        if this.words[0] == "clock_set":
            return amount
        if self._clock is None:
            return None
        if self._clock + amount >= _TIMES_MAX:
            raise TraceError(f"line {this.line}: the clock runs over")
        return self._clock + amount


def _port_access(exchange: Exchange) -> tuple[bool, int, int, int] | None:
    """Whether it writes, port, width, value (of a read: of the answer); None for what is none."""
    match = _ACCESS.fullmatch(exchange.words[0]) if exchange.words else None
    if match is None or match[1] not in ("in", "out") or match[2] == "q" or exchange.is_refused:
        return None
    is_write = match[1] == "out"
    if len(exchange.words) < (3 if is_write else 2):
        raise TraceError(f"line {exchange.line}: {exchange.words[0]} lacks arguments")
    port = value_of(exchange.words[1], exchange.line)
    width = _WIDTHS[match[2]]
    value = value_of(exchange.words[2], exchange.line) if is_write else _answered(exchange)
    return is_write, port, width, value & (1 << 8 * width) - 1


def _config_place(latch: int, port: int, width: int) -> tuple[int, int] | None:
    """Bus, device and function, and address, of an access to the data port; None where it is no such."""
    lane = port - DATA_PORT
    if latch & ~_LATCHED != ENABLED or lane < 0 or lane + width > 4:
        return None
    return latch >> 8 & 0xFFFF, (latch & 0xFC) + lane


def _answered(exchange: Exchange) -> int:
    """The value of a read; 0 without an answer."""
    if exchange.answer is None:
        return 0
    words = exchange.answer.split()
    if len(words) < 2:
        raise TraceError(f"line {exchange.line}: the answer to {exchange.text[:40]} has no value")
    return value_of(words[1], exchange.line)


def _little(text: str, width: int) -> int | None:
    """The value of this many octets in hex, as a machine with little endian reads them; 0 where unknown."""
    digits = text.removeprefix("0x")
    if not digits:
        return 0
    if len(digits) != 2 * width or re.fullmatch(r"[0-9a-fA-F]+", digits) is None:
        return None
    return int.from_bytes(bytes.fromhex(digits), "little")


def _mark_of(exchange: Exchange) -> TraceEvent:
    is_plain = exchange.answer is None or exchange.answer == "OK"
    return _mark(f"{MARKED}{exchange.text}" + ("" if is_plain else f"{ANSWERED}{exchange.answer}"))


def _mark(text: str) -> TraceEvent:
    data = text.encode()
    return TraceEvent(0, EventType.MARK, 0, data=data, length=len(data))


def open_file(path: str | os.PathLike[str], device: str | None = None) -> Qtest:
    """Open one; `device`: its place, as 00:03.0, or its ids, as 8086:10d3."""
    return Qtest(path, device)
