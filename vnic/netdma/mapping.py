"""The bus mappings of one copy request: source and destination of each transfer, for as long as it runs."""

from __future__ import annotations

from collections.abc import Sequence

from vnic.errors import UnknownError
from vnic.host.bus import Bus, Direction, Segment
from vnic.netdma.types import Transfer


class Mapping:
    """Maps in its making; holds nothing when that fails: AllocationError, CapacityError, ArgumentError."""

    def __init__(self, bus: Bus, transfers: Sequence[Transfer]) -> None:
        self._bus = bus
        self._held: list[tuple[list[Segment], Direction]] = []
        self.pairs: list[tuple[list[Segment], list[Segment]]] = []
        try:
            for transfer in transfers:
                source = self._map(transfer.source, transfer.length, Direction.TO_DEVICE)
                destination = self._map(transfer.destination, transfer.length, Direction.FROM_DEVICE)
                self.pairs.append((source, destination))
        except Exception:
            self.end()
            raise

    def _map(self, address: int, length: int, direction: Direction) -> list[Segment]:
        segments = self._bus.map(address, length, direction)
        self._held.append((segments, direction))
        return segments

    def end(self) -> list[str]:
        """End every mapping; what was not mapped any more, for people."""
        lost: list[str] = []
        for segments, direction in self._held:
            try:
                self._bus.unmap(segments, direction)
            except UnknownError as error:
                lost.append(str(error))
        self._held.clear()
        return lost
