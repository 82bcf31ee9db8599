"""Linux mmiotrace (kernel/trace/trace_mmiotrace.c): what a driver did to mapped BARs."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from vnic.abi import EventType
from vnic.trace.event import FUNCTIONS, TraceEvent
from vnic.trace.header import FunctionHeader, TraceError, TraceHeader
from vnic.trace.importers.bars import Bars
from vnic.trace.importers.lines import hex_of, lines_of, time_of, value_of, width_of
from vnic.trace.importers.place import place_text

_VERSION: Final = "20070824"
_FLAGS: Final = 0xF
_IO: Final = 1
_SLOTS: Final = 6
_PCIDEV_WORDS: Final = 4 + 14
_DEVICES_MAX: Final = 4096
_LOST: Final = re.compile(r"Lost ([0-9]{1,18}) events\.")

#: BAR, address, size.
_Bar = tuple[int, int, int]


class Mmiotrace:
    """One file. Lines UNKNOWN and `Lost N events` are complaints; so are accesses that no BAR decodes.

    The format has no configuration space, no interrupts and no DMA; widths are in bytes.
    """

    def __init__(self, path: str | os.PathLike[str], device: str | None = None) -> None:
        self._path = path
        self._bars = Bars()
        self._functions: list[FunctionHeader] = []
        self.notes: list[str] = []
        self.complaints: list[str] = []
        self._read_devices(device)
        self.header = TraceHeader(tuple(self._functions))

    # -- devices ---------------------------------------------------------------------------------------------

    def _read_devices(self, wanted: str | None) -> None:
        """PCIDEV lines come first; of the devices those stay that a MAP is of, or the one that is wanted."""
        found: dict[str, tuple[str, list[_Bar]]] = {}
        mapped: set[str] = set()
        lines = lines_of(self._path)
        if next(lines, (0, ""))[1].split() != ["VERSION", _VERSION]:
            raise TraceError(f"line 1: no mmiotrace of version {_VERSION}")
        for number, line in lines:
            words = line.split()
            if words[:1] == ["PCIDEV"]:
                place, device = _device(words, number)
                found[place] = device
                if len(found) > _DEVICES_MAX:
                    raise TraceError(f"line {number}: more than {_DEVICES_MAX} devices")
            elif words[:1] == ["MAP"] and len(words) > 3:
                address = value_of(words[3], number)
                mapped.update(place for place, (_, bars) in found.items() if _holds(bars, address))
        for place, (ids, bars) in found.items():
            if wanted in (place, ids) or (wanted is None and place in mapped):
                self._take(place, ids, bars)
        if not self._functions:
            known = ", ".join(f"{place} ({ids})" for place, (ids, _) in list(found.items())[:20]) or "none"
            raise TraceError(f"no device {wanted or 'of which a BAR is mapped'}; the file has {known}")

    def _take(self, place: str, ids: str, bars: list[_Bar]) -> None:
        number = len(self._functions)
        if number == FUNCTIONS:
            raise TraceError(f"more than {FUNCTIONS} devices are mapped: name one")
        for bar, base, size in bars:
            self._bars.map(number, bar, base, size)
        config: dict[str, Any] = {
            "location": place,
            "bars": {str(bar): f"{base:#x}" for bar, base, _ in bars},
        }
        self._functions.append(FunctionHeader(number, "foreign", ids, config))

    # -- events ----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[TraceEvent]:
        """The accesses and marks."""
        self.complaints.clear()
        odd: Counter[str] = Counter()
        count = 0
        for number, line in lines_of(self._path):
            event = self._event(line, number, odd)
            if event is not None:
                yield event._replace(number=count)
                count += 1
        self.complaints += [f"{times:,} {what}" for what, times in odd.items()]

    def _event(self, line: str, number: int, odd: Counter[str]) -> TraceEvent | None:
        words = line.split()
        kind = words[0] if words else ""
        if kind in ("R", "W"):
            return self._access(words, number, odd)
        if kind == "MARK":
            return _mark(line, number, odd)
        if kind == "UNKNOWN":
            odd["accesses that mmiotrace could not decode (UNKNOWN)"] += 1
        elif kind not in ("", "MAP", "UNMAP", "PCIDEV", "VERSION"):
            raise TraceError(f"line {number}: {kind[:60]!r} is no line of mmiotrace")
        return None

    def _access(self, words: list[str], number: int, odd: Counter[str]) -> TraceEvent | None:
        if len(words) < 6:
            raise TraceError(f"line {number}: no access: {' '.join(words)[:60]}")
        spot = self._bars.find(value_of(words[4], number))
        if spot is None:
            odd["accesses to what is no BAR of the device"] += 1
            return None
        return TraceEvent(
            0,
            EventType.MMIO_READ if words[0] == "R" else EventType.MMIO_WRITE,
            time_of(words[2], number),
            spot.function,
            spot.bar,
            width_of(words[1], number),
            spot.offset,
            value_of(words[5], number),
        )


def _device(words: list[str], number: int) -> tuple[str, tuple[str, list[_Bar]]]:
    """Of a PCIDEV line: where it is, its ids and memory BARs."""
    if len(words) < _PCIDEV_WORDS or len(words[2]) > 8:
        raise TraceError(f"line {number}: PCIDEV with {len(words) - 1} fields")
    bases = [hex_of(word, number) for word in words[4 : 4 + _SLOTS]]
    sizes = [hex_of(word, number) for word in words[11 : 11 + _SLOTS]]
    bars = [
        (bar, base & ~_FLAGS, size)
        for bar, (base, size) in enumerate(zip(bases, sizes, strict=True))
        if size and not base & _IO
    ]
    ids = hex_of(words[2], number)
    place = place_text(hex_of(words[1], number) & 0xFFFF)
    return place, (f"{ids >> 16:04x}:{ids & 0xFFFF:04x}", bars)


def _mark(line: str, number: int, odd: Counter[str]) -> TraceEvent:
    words = line.split(maxsplit=2)
    if len(words) < 2:
        raise TraceError(f"line {number}: MARK without a time")
    text = words[2] if len(words) > 2 else ""
    if lost := _LOST.fullmatch(text):
        odd["events lost"] += int(lost[1])
    data = text.encode()
    return TraceEvent(0, EventType.MARK, time_of(words[1], number), data=data, length=len(data))


def _holds(bars: list[_Bar], address: int) -> bool:
    return any(base <= address < base + size for _, base, size in bars)


def open_file(path: str | os.PathLike[str], device: str | None = None) -> Mmiotrace:
    """Open one; `device`: its place, as 00:03.0, or its ids, as 8086:10d3."""
    return Mmiotrace(path, device)
