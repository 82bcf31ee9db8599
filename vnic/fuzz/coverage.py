"""What hostile programs reached: registers by kind of access, states of rings, resets, engines, counters."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vnic.abi import Engine, InterruptKind, OpCode
from vnic.fuzz.oplang import Step, WorldCode
from vnic.fuzz.world import PAIRS, World
from vnic.gen.enums import BlockType, RingError
from vnic.gen.model import Register, RegisterMap
from vnic.gen.registers import BAR0, CONFIG, MSIX_TABLE
from vnic.host.bus import Interrupt

_MAPS: dict[int, RegisterMap] = {0: BAR0.MAP, 2: MSIX_TABLE.MAP}
_READS, _WRITES = (OpCode.READ, OpCode.CFG_READ), (OpCode.WRITE, OpCode.CFG_WRITE)
_ACCESSES: dict[int, str] = {**dict.fromkeys(_READS, "read"), **dict.fromkeys(_WRITES, "write")}
_STATUSES = {"RX": BAR0.QP_RX_STATUS, "TX": BAR0.QP_TX_STATUS, "CQ": BAR0.QP_CQ_STATUS}
_WIDTHS = (1, 2, 4, 8)
_NOT_STATUS = ("STAT_TYPE", "STAT_VERSION", "STAT_NEXT", "STAT_SIZE", "STAT_CTRL")
COUNTERS = tuple(r for r in BAR0.MAP if r.name.startswith("STAT_") and r.name not in _NOT_STATUS)


@functools.lru_cache(maxsize=1 << 16)  # programs come back to the same places
def _place_of(code: int, index: int, addr: int) -> tuple[str, str] | None:
    """Names of the map and of the register that an access meets."""
    space = CONFIG.MAP if code in (OpCode.CFG_READ, OpCode.CFG_WRITE) else _MAPS.get(index)
    try:
        return (space.name, space.lookup(addr)[0].name) if space else None
    except KeyError:
        return None


class Coverage:
    """Counts: accesses by map, register, kind and width; and what the card was seen to do, by name."""

    def __init__(self) -> None:
        self.programs = 0
        self.steps_taken = 0
        self.ops: Counter[str] = Counter()
        self.accesses: Counter[tuple[str, str, str, int]] = Counter()
        self.strays: Counter[str] = Counter()
        self.levels: Counter[str] = Counter()
        self.rings: Counter[tuple[str, str]] = Counter()
        self.engines: Counter[str] = Counter()
        self.interrupts: Counter[str] = Counter()
        self.counters: Counter[str] = Counter()

    # -- counting --------------------------------------------------------------------------------------------

    def note_program(self, steps: Iterable[Step]) -> None:
        """Count the operations of a program."""
        self.programs += 1
        for step in steps:
            self.ops[_code_name(step.code)] += 1
            if kind := _ACCESSES.get(step.code):
                self._note_access(step, kind)

    def _note_access(self, step: Step, kind: str) -> None:
        width = step.width if step.width in _WIDTHS else 0
        place = _place_of(step.code, step.index, step.addr)
        if place is None:
            self.strays[f"{kind} of {width} bytes"] += 1
        else:
            self.accesses[*place, kind, width] += 1

    def note_level(self, name: str) -> None:
        """Count a reset after which the card was brought up and tested."""
        self.levels[name] += 1

    def note_world(self, world: World) -> None:
        """Look at where a program left the card: rings, engines, counters, interrupts. Repairs the world."""
        world.repair()  # a fault must not change what is looked at
        self.steps_taken += world.steps_taken
        for engine in world.device.runnable:
            self.engines[engine.name] += 1
        for said in world.said:
            if isinstance(said, Interrupt):
                self.interrupts[InterruptKind(said.kind).name] += 1
        if world.device.read(0, BAR0.GLB_TYPE.offset) == BlockType.GLOBAL:
            self._note_registers(world)

    def _note_registers(self, world: World) -> None:
        for ring, status in _STATUSES.items():
            for pair in range(PAIRS):
                state = status.decode(world.device.read(0, status.at(pair)))
                name = "RUNNING" if state["RUNNING"] else f"stopped, {RingError(state['ERROR']).name}"
                self.rings[ring, name] += 1
        for counter in COUNTERS:
            if world.device.read(0, counter.offset, counter.bytes):
                self.counters[counter.name.removeprefix("STAT_")] += 1

    # -- telling ---------------------------------------------------------------------------------------------

    def missing(self) -> list[str]:
        """Registers with the kinds of access that never happened."""
        seen = {(space, register, kind) for space, register, kind, _ in self.accesses}
        return [
            f"{register.name} {kind}"
            for space in (BAR0.MAP, MSIX_TABLE.MAP, CONFIG.MAP)
            for register in space
            for kind in ("read", "write")
            if (space.name, register.name, kind) not in seen
        ]

    def summary(self) -> list[str]:
        """Lines for people."""
        return [
            f"{self.programs} programs of {self.ops.total()} operations, {self.steps_taken} steps",
            *(self._space_line(space) for space in (BAR0.MAP, MSIX_TABLE.MAP, CONFIG.MAP)),
            f"accesses to no register: {_listed(self.strays)}",
            f"operations: {_listed(self.ops)}",
            f"resets followed by a bring-up: {_listed(self.levels)}",
            *(f"{ring} rings: {_listed(self._ring(ring))}" for ring in _STATUSES),
            f"engines left with work: {_listed(self.engines)} of {len(Engine)}",
            f"interrupts: {_listed(self.interrupts)}",
            f"counters that rose: {len(self.counters)} of {len(COUNTERS)}"
            + (f"; not {', '.join(self._silent())}" if self._silent() else ""),
        ]

    def _ring(self, ring: str) -> Counter[str]:
        return Counter({state: n for (name, state), n in self.rings.items() if name == ring})

    def _silent(self) -> list[str]:
        names = [counter.name.removeprefix("STAT_") for counter in COUNTERS]
        return [name for name in names if name not in self.counters]

    def _space_line(self, space: RegisterMap) -> str:
        registers: list[Register] = list(space)
        parts = []
        for kind in ("read", "write"):
            reached = {
                register for name, register, how, _ in self.accesses if name == space.name and how == kind
            }
            parts.append(f"{kind} {len(reached)} of {len(registers)}")
        widths = Counter({f"{width or 'other'}": 0 for width in (*_WIDTHS, 0)})
        for (name, _, _, width), n in self.accesses.items():
            if name == space.name:
                widths[f"{width or 'other'}"] += n
        return f"{space.name}: registers {', '.join(parts)}; widths {_listed(widths)}"

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "programs": self.programs,
            "steps": self.steps_taken,
            "operations": dict(self.ops),
            "accesses": [[*key, n] for key, n in sorted(self.accesses.items())],
            "missing": self.missing(),
            "strays": dict(self.strays),
            "levels": dict(self.levels),
            "rings": [[*key, n] for key, n in sorted(self.rings.items())],
            "engines": dict(self.engines),
            "interrupts": dict(self.interrupts),
            "counters": dict(self.counters),
        }

    def write(self, path: Path) -> None:
        """As JSON into a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")


@functools.cache
def _code_name(code: int) -> str:
    for codes in (OpCode, WorldCode):
        if code in codes.__members__.values():
            return codes(code).name
    return f"{code:#x}"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"
