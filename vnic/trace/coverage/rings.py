"""The rings of the chimney, as register writes place them: which descriptors a DMA read brought."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vnic.gen.descriptors import ChmCommand, ChmSubmission
from vnic.gen.model import Register
from vnic.gen.registers import BAR0
from vnic.trace.event import TraceEvent
from vnic.trace.names import Place

#: Base, count, and what an entry is.
_RINGS: Final[tuple[tuple[Register, Register, type[ChmCommand] | type[ChmSubmission]], ...]] = (
    (BAR0.CHM_ADMIN_BASE, BAR0.CHM_ADMIN_COUNT, ChmCommand),
    (BAR0.CHQ_SQ_BASE, BAR0.CHQ_SQ_COUNT, ChmSubmission),
)
_PLACING: Final = frozenset(id(each) for base, count, _ in _RINGS for each in (base, count))


class Rings:
    """Of one card."""

    def __init__(self) -> None:
        self._values: dict[tuple[int, int], int] = {}

    def written(self, event: TraceEvent, place: Place) -> None:
        """A register was written."""
        if id(place.register) not in _PLACING:
            return
        key = id(place.register), place.element
        shift, mask = 8 * place.rest, (1 << 8 * event.width) - 1
        self._values[key] = self._values.get(key, 0) & ~(mask << shift) | event.value << shift

    def entries(self, event: TraceEvent) -> Iterator[ChmCommand | ChmSubmission]:
        """The commands and submissions that a DMA read brought; none when it read no such ring."""
        for base, count, kind in _RINGS:
            for element in range(base.count):
                start = self._values.get((id(base), element), 0)
                end = start + kind.SIZE * self._values.get((id(count), element), 0)
                if start and start <= event.addr < end and not (event.addr - start) % kind.SIZE:
                    for offset in range(0, len(event.data) - kind.SIZE + 1, kind.SIZE):
                        yield kind.unpack(event.data, offset)
                    return
