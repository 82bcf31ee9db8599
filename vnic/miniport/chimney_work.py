"""How many pieces of requests the card may hold: what finds no room waits in the miniport."""

from __future__ import annotations

_PART_MOST = 128


class WorkBudget:
    """CHM_MAX_WORK pieces for all connections; sends and receives each find at least a quarter. [CHM-22]"""

    def __init__(self, total: int) -> None:
        self.total = total
        self._most = max(total - total // 4, 1)
        self._sends = 0
        self._receives = 0

    @property
    def part_most(self) -> int:
        """The most pieces that one request is handed over in at once."""
        return max(min(self.total // 8, _PART_MOST), 1)

    def take_send(self, pieces: int) -> bool:
        """Room for pieces of a send or a disconnect; False when there is none now."""
        if self._sends + pieces > self._most or self._used + pieces > self.total:
            return False
        self._sends += pieces
        return True

    def take_receive(self, pieces: int) -> bool:
        """Room for pieces of a receive; False when there is none now."""
        if self._receives + pieces > self._most or self._used + pieces > self.total:
            return False
        self._receives += pieces
        return True

    @property
    def _used(self) -> int:
        return self._sends + self._receives

    @property
    def has_room(self) -> bool:
        """Whether anything at all fits."""
        return self._used < self.total

    @property
    def used(self) -> int:
        """Pieces that the card holds."""
        return self._used

    def give_send(self, pieces: int) -> None:
        """Pieces of a send or a disconnect came back."""
        self._sends -= pieces

    def give_receive(self, pieces: int) -> None:
        """Pieces of a receive came back."""
        self._receives -= pieces
