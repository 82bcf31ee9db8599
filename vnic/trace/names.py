"""Names of registers and fields for the accesses of a trace, by the kind of the function."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from vnic.abi import EventType
from vnic.gen.model import Register, RegisterMap
from vnic.gen.registers import BAR0, CONFIG, COPY_BAR0, MSIX_TABLE
from vnic.trace.event import TraceEvent
from vnic.trace.header import TraceHeader

_CONFIG_ACCESSES: Final = frozenset({EventType.CFG_READ, EventType.CFG_WRITE})


class Window(NamedTuple):
    """Where a register map stands: in which BAR, from which offset on; `bar` None: configuration space."""

    bar: int | None
    base: int
    map: RegisterMap


class Place(NamedTuple):
    """What an access is to: a register, which element of it, and bytes from its start."""

    register: Register
    element: int
    rest: int
    name: str


#: What the configuration space of every device begins with; its capabilities stand elsewhere in each.
HEADER: Final = RegisterMap(
    "config_header", tuple(each for each in CONFIG.MAP if each.offset < 0x40), CONFIG.MAP.hash, 0x40
)
WINDOWS: Final[Mapping[str, tuple[Window, ...]]] = {
    "nic": (Window(None, 0, CONFIG.MAP), Window(0, 0, BAR0.MAP), Window(2, 0, MSIX_TABLE.MAP)),
    "copy": (Window(None, 0, CONFIG.MAP), Window(0, 0, COPY_BAR0.MAP), Window(0, 0x2000, MSIX_TABLE.MAP)),
    "foreign": (Window(None, 0, HEADER),),
}


class Names:
    """Finds registers; `foreign`: more windows, of functions that no device here is, by their number."""

    def __init__(self, header: TraceHeader, foreign: Mapping[int, tuple[Window, ...]] | None = None) -> None:
        self.windows = {each.function: WINDOWS[each.kind] for each in header.functions}
        for function, more in (foreign or {}).items():
            self.windows[function] = self.windows.get(function, ()) + more
        self._find = lru_cache(maxsize=65_536)(self._look_up)

    def place(self, event: TraceEvent) -> Place | None:
        """What a register or configuration access is to; None where no register is."""
        bar = None if event.type in _CONFIG_ACCESSES else event.index
        return self._find(event.function, bar, event.addr)

    def name(self, event: TraceEvent) -> str:
        """`QP_TX_TAIL[2]`, or the bare offset."""
        place = self.place(event)
        return place.name if place else f"{event.addr:#x}"

    def fields(self, event: TraceEvent) -> dict[str, int]:
        """Values of the fields that an access covers whole; none where it does not start a register."""
        place = self.place(event)
        if place is None or place.rest:
            return {}
        covered = (1 << 8 * event.width) - 1
        return {
            field.name: field.get(event.value)
            for field in place.register.fields
            if field.mask & covered == field.mask
        }

    def _look_up(self, function: int, bar: int | None, offset: int) -> Place | None:
        for window in self.windows.get(function, ()):
            if window.bar == bar and 0 <= offset - window.base < window.map.size:
                place = _place(window.map, offset - window.base)
                if place is not None:
                    return place
        return None


def _place(registers: RegisterMap, offset: int) -> Place | None:
    try:
        register, element = registers.lookup(offset)
    except KeyError:
        return None
    rest = offset - register.at(*divmod(element, register.inner_count))
    return Place(register, element, rest, registers.describe(offset))
