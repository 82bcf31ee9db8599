"""Polling: reads of one register, one after the other with no other access between, that give the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from vnic.trace.event import READS, TraceEvent

#: Reads that make a loop; twice the same may be chance.
READS_MIN: Final = 3
LONGEST_MAX: Final = 100
_REGISTERS_MAX: Final = 1_000


@dataclass(slots=True)
class Loop:
    """One loop: what was read, how often, from which event on, and what it saw at its end, if it ended so."""

    function: int
    name: str
    value: int
    first: int
    first_ns: int
    last_ns: int
    reads: int = 1
    then: int | None = None


@dataclass
class Polls:
    """The longest loops, and all counted by register: (loops, reads)."""

    longest: list[Loop] = field(default_factory=list)
    registers: dict[str, tuple[int, int]] = field(default_factory=dict)
    loops: int = 0
    _open: Loop | None = None

    def add(self, event: TraceEvent, name: str) -> None:
        """An access, of any kind."""
        is_read = event.type in READS
        loop = self._open
        if loop and is_read and loop.function == event.function and loop.name == name:
            if loop.value == event.value:
                loop.reads += 1
                loop.last_ns = event.time_ns
                return
            loop.then = event.value
        self.finish()
        if is_read:
            self._open = Loop(event.function, name, event.value, event.number, event.time_ns, event.time_ns)

    def finish(self) -> None:
        """No more reads of what was read last."""
        loop, self._open = self._open, None
        if loop is None or loop.reads < READS_MIN:
            return
        self.loops += 1
        label = f"f{loop.function} {loop.name}"
        if label in self.registers or len(self.registers) < _REGISTERS_MAX:
            loops, reads = self.registers.get(label, (0, 0))
            self.registers[label] = loops + 1, reads + loop.reads
        self.longest.append(loop)
        if len(self.longest) > 2 * LONGEST_MAX:
            self._keep_longest()

    def ranked(self) -> list[Loop]:
        """The longest first."""
        self._keep_longest()
        return self.longest

    def _keep_longest(self) -> None:
        self.longest.sort(key=lambda loop: (-loop.reads, loop.first))
        del self.longest[LONGEST_MAX:]
