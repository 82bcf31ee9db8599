"""Where the BARs of devices are: bus addresses to function, BAR and offset."""

from __future__ import annotations

from typing import Final, NamedTuple

from vnic.trace.header import FunctionHeader

_FIRST: Final = 0x10
_SLOTS: Final = 6
_DWORD: Final = 0xFFFF_FFFF
#: An address below this is a port: no machine has device memory there.
_PORTS: Final = 1 << 16
_LARGEST: Final = 1 << 24
_LARGEST_IO: Final = 256


class Spot(NamedTuple):
    """A place in a BAR."""

    function: int
    bar: int
    offset: int


class Bars:
    """BARs of one or more functions, as they are mapped now: memory and ports apart."""

    def __init__(self) -> None:
        self._mapped: dict[tuple[int, int], tuple[int, int, bool]] = {}

    def map(self, function: int, bar: int, base: int, size: int, *, is_io: bool = False) -> None:
        """A BAR decodes there now."""
        self._mapped[function, bar] = (base, size, is_io)

    def unmap(self, function: int, bar: int) -> None:
        """A BAR decodes no more."""
        self._mapped.pop((function, bar), None)

    def find(self, address: int, *, is_io: bool = False) -> Spot | None:
        """Which BAR decodes an address; of several, the one that starts nearest below it."""
        best: Spot | None = None
        for (function, bar), (base, size, kind) in self._mapped.items():
            offset = address - base
            if kind == is_io and 0 <= offset < size and (best is None or offset < best.offset):
                best = Spot(function, bar, offset)
        return best

    def base(self, function: int, bar: int) -> tuple[int, bool] | None:
        """Where a BAR is, and whether it is of ports."""
        place = self._mapped.get((function, bar))
        return (place[0], place[2]) if place else None


class Assignment:
    """The BARs of one function as accesses to its configuration space assign them.

    How large a BAR is, is known once it was sized (all ones written, and read back); before that it is taken
    to be as large as its alignment allows, at most 16 MiB. That memory decoding is enabled is not asked.
    `wide`: BARs that have 64 bits though nobody reads their type.
    """

    def __init__(self, bars: Bars, function: int, wide: frozenset[int] = frozenset()) -> None:
        self._bars = bars
        self._function = function
        self._wide = set(wide)
        self._values = [0] * _SLOTS
        self._sizes = [0] * _SLOTS

    def note(self, is_write: bool, addr: int, width: int, value: int) -> None:
        """An access; those to other registers, or across two, change nothing."""
        slot, lane = divmod(addr - _FIRST, 4)
        if not 0 <= slot < _SLOTS or lane + width > 4:
            return
        if is_write:
            mask = ((1 << 8 * width) - 1) << 8 * lane
            self._values[slot] = self._values[slot] & ~mask | value << 8 * lane & mask
            if width == 4 and value & 7 == 4:
                self._widen(slot)
            self._place(slot)
        elif width == 4:
            self._read(slot, value)

    def _read(self, slot: int, value: int) -> None:
        if slot - 1 in self._wide:
            return
        if value & 7 == 4:
            self._widen(slot)
        if _is_sizing(self._values[slot]):
            flags = 3 if value & 1 else 15
            self._sizes[slot] = -(value & ~flags) & (_PORTS - 1 if value & 1 else _DWORD)
        elif not self._values[slot] and value & ~15:
            self._values[slot] = value
            self._place(slot)

    def _widen(self, slot: int) -> None:
        if slot + 1 < _SLOTS and slot - 1 not in self._wide:
            self._wide.add(slot)
            self._bars.unmap(self._function, slot + 1)

    def _place(self, slot: int) -> None:
        slot -= slot - 1 in self._wide
        value = self._values[slot]
        high = self._values[slot + 1] if slot in self._wide else 0
        is_io = not high and value < _PORTS
        base = value & ~3 if is_io else high << 32 | value & ~15
        if not base or _is_sizing(value) or high == _DWORD:
            self._bars.unmap(self._function, slot)
            return
        size = self._sizes[slot] or min(base & -base, _LARGEST_IO if is_io else _LARGEST)
        self._bars.map(self._function, slot, base, size, is_io=is_io)


def wide_bars(function: FunctionHeader) -> frozenset[int]:
    """BARs with 64 bits of the functions that are made here; of a foreign one none is known."""
    return {"nic": frozenset({0, 2}), "copy": frozenset({0})}.get(function.kind, frozenset())


def _is_sizing(value: int) -> bool:
    return value | 15 == _DWORD
