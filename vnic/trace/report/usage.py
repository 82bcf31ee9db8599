"""Which registers were read and written, how often, at which elements and widths; and which were not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vnic.gen.model import Register
from vnic.trace.event import READS, TraceEvent
from vnic.trace.names import Names, Place

_UNNAMED_MAX: Final = 1_000


@dataclass(slots=True)
class Use:
    """Accesses to one register, all its elements together."""

    reads: int = 0
    writes: int = 0
    elements: set[int] = field(default_factory=set)
    widths: set[int] = field(default_factory=set)

    @property
    def total(self) -> int:
        """Of both kinds."""
        return self.reads + self.writes

    def add(self, event: TraceEvent, element: int) -> None:
        """Count an access."""
        if event.type in READS:
            self.reads += 1
        else:
            self.writes += 1
        self.elements.add(element)
        self.widths.add(event.width)


@dataclass(frozen=True, slots=True)
class Line:
    """A register of a function, and what was done to it."""

    function: int
    bar: int | None
    register: Register
    use: Use

    @property
    def count(self) -> int:
        """Its elements."""
        return self.register.count * self.register.inner_count

    @property
    def name(self) -> str:
        """With the number of its elements, where it is an array."""
        return f"{self.register.name}[{self.count}]" if self.count > 1 else self.register.name

    @property
    def is_writable(self) -> bool:
        """Whether a write can change anything; of a register without fields that is not known."""
        fields = self.register.fields
        return not fields or any(each.access != "ro" for each in fields)


@dataclass
class Usage:
    """Of all registers; `unnamed`: of offsets where no register is, `left_out` accesses to more of those."""

    names: Names
    unnamed: dict[tuple[int, int | None, int], Use] = field(default_factory=dict)
    left_out: int = 0
    _uses: dict[tuple[int, int], Use] = field(default_factory=dict)

    def add(self, event: TraceEvent, place: Place | None, bar: int | None) -> None:
        """Count an access."""
        if place is None:
            self._add_unnamed(event, bar)
            return
        key = event.function, id(place.register)
        use = self._uses.get(key)
        if use is None:
            use = self._uses[key] = Use()
        use.add(event, place.element)

    def _add_unnamed(self, event: TraceEvent, bar: int | None) -> None:
        key = event.function, bar, event.addr
        if key not in self.unnamed and len(self.unnamed) == _UNNAMED_MAX:
            self.left_out += 1
            return
        self.unnamed.setdefault(key, Use()).add(event, 0)

    def lines(self) -> Iterator[Line]:
        """Every register of every function, used or not, as the maps have them."""
        for function, windows in sorted(self.names.windows.items()):
            for window in windows:
                for register in window.map:
                    use = self._uses.get((function, id(register)), Use())
                    yield Line(function, window.bar, register, use)
