"""The smallest driver of the card, with the race checker on the card."""

from __future__ import annotations

from typing import Self

from vnic.testbench.races import Race, RaceChecker, RaceKind
from vnic.testbench.races.tap import Tap
from vnic.testbench.rig import Rig


class WatchedRig(Rig):
    """The smallest driver, with the checker on the card from before its first register access."""

    checker: RaceChecker
    tap: Tap

    def __enter__(self) -> Self:
        return self

    def bring_up(self, posted: int) -> None:
        """PROG-1 to PROG-11, watched."""
        self.checker = RaceChecker(self.memory)
        self.tap = self.checker.watch_card(self.device)
        self.tap.placed(self.memory.base, self.memory.base, self.memory.size)
        super().bring_up(posted)

    def buffer(self, index: int, pair: int = 0) -> int:
        """Address of a receive buffer."""
        return self.pairs[pair].buffers.address + index * self.buf_len

    def poke(self, address: int, data: bytes) -> None:
        """Write as a driver does that holds a view: nobody is told."""
        start = address - self.memory.base
        self.memory.view[start : start + len(data)] = data

    def only(self, kind: RaceKind) -> Race:
        """The one race that there is, of this kind."""
        races = self.checker.look()
        assert [race.kind for race in races] == [kind], "\n".join(map(str, races))
        return races[0]
