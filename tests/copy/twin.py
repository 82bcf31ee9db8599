"""An engine that a program is played on in some manner, and everything that it said."""

from __future__ import annotations

from dataclasses import dataclass

from tests.copy.pair import HOLE, Pair, Shape, said_by
from vnic.abi import FaultAction, FaultSite
from vnic.events import Event
from vnic.fault import Fault
from vnic.function import Budget

ALL = (1 << 64) - 1
#: Matches nothing that a program does: it only makes the engine look.
IDLE_FAULT = Fault(
    site=FaultSite.DMA_READ, action=FaultAction.ERROR, first=HOLE.addr, last=HOLE.addr, argument=1
)


@dataclass(frozen=True, slots=True)
class Manner:
    """What must make no difference; `cut`, `bytes`: budget of a run, at least 8 KiB."""

    is_watched: bool = False
    has_fault: bool = False
    is_restored: bool = False
    cut: int = 0
    bytes: int = ALL


def ignore(_: Event) -> None:
    """An observer."""


class Twin(Pair):
    """A pair of which the reference only says what a program may do next; nothing is compared with it."""

    def __init__(self, shape: Shape, manner: Manner) -> None:
        super().__init__(shape)
        self._manner = manner
        self.said: list[object] = []
        if manner.is_watched:
            self.engine.observe(ignore)
        if manner.has_fault:
            self.engine.arm(IDLE_FAULT)

    def read(self, offset: int, width: int) -> int:
        """A register access; what it says is kept."""
        self.oracle.read(offset, width)
        value = self.engine.read(0, offset, width)
        self.said.append(value)
        return value

    def step(self, part: int) -> bool:
        """One step of a part, if it has one."""
        self.oracle.step(part)
        is_taken = self.engine.step(part)
        self.said.append(is_taken)
        return is_taken

    def run(self, steps: int, *, cut: int = 0) -> int:
        """At most `steps` steps by turns, cut up as this one's manner is."""
        del cut
        self.oracle.run(steps)
        total = Budget(0, 0)
        while total.steps < steps:
            most = min(self._manner.cut or steps, steps - total.steps)
            used = self.engine.run(Budget(most, self._manner.bytes))
            assert used.steps <= most and used.bytes <= self._manner.bytes
            total = Budget(total.steps + used.steps, total.bytes + used.bytes)
            if not used.steps:
                break
        self.said.append(total)
        return total.steps

    def restore(self) -> None:
        """Save and load, if that is this one's manner."""
        if self._manner.is_restored:
            super().restore()

    def check(self) -> None:
        """Keep what the engine shows; in a restored one all goes through a snapshot first."""
        self.restore()
        self.said.append([said_by(interrupt) for interrupt in self.engine.interrupts()])
        self.oracle.said.clear()
        self.said.append(
            (list(self.engine.runnable), self.engine.next_deadline_ns(), self.engine.state_hash())
        )

    def image(self) -> list[bytes]:
        """All memory."""
        return [bytes(data) for data in self.bytes.values()]
