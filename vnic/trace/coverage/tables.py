"""The tables of a coverage: rows of text, the same for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vnic.gen.model import Register
from vnic.trace.coverage.chimney import EVENTS, SAYS
from vnic.trace.coverage.registers import MAPS, Key, Kind, RegisterCoverage, possible, registers
from vnic.trace.coverage.resets import Level
from vnic.trace.coverage.run import RunCoverage
from vnic.trace.coverage.shadow import State

NEVER: Final = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """A title, heads, and rows of as many texts; all columns but the first are figures."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def share(reached: int, total: int) -> str:
    """`12 of 40 (30 %)`."""
    return f"{reached} of {total} ({100 * reached // total} %)" if total else NEVER


def reached_kinds(found: RegisterCoverage) -> tuple[int, int]:
    """Pairs of register and possible kind that were reached, and how many there are."""
    pairs = [(key, kind) for key, register in registers() for kind in possible(register)]
    return sum(1 for pair in pairs if found.accesses[pair]), len(pairs)


def summary(run: RunCoverage) -> Table:
    """Each map a column: registers by kind of access, bits seen as 0 and as 1, and by reset."""
    columns = [_map_column(run.registers, each.name) for each in MAPS]
    heads = ("registers", *(each.name for each in MAPS))
    labels = (
        *(kind.value for kind in Kind),
        "bits seen as 0 and 1",
        *(f"looked at after {each.value}" for each in Level),
    )
    return Table("Registers reached", heads, tuple(zip(labels, *columns, strict=True)))


def _map_column(found: RegisterCoverage, name: str) -> Iterator[str]:
    mine = [(key, register) for key, register in registers() if key[0] == name]
    for kind in Kind:
        able = [key for key, register in mine if kind in possible(register)]
        yield share(sum(1 for key in able if found.accesses[key, kind]), len(able))
    bits = [found.bits(key, each) for key, register in mine for each in register.fields]
    yield share(sum(seen for seen, _ in bits), sum(width for _, width in bits))
    settable = [key for key, register in mine if register.mask("rw")]
    for level in Level:
        yield share(sum(1 for key in settable if found.after[key, level]), len(settable))


def register_table(run: RunCoverage, name: str) -> Table:
    """Every register of a map: how often each kind, bits seen both ways, and looked at after which reset."""
    heads = ("register", *(kind.value for kind in Kind), "bits", *(each.value for each in Level))
    rows = tuple(
        _register_row(run.registers, key, register) for key, register in registers() if key[0] == name
    )
    return Table(name, heads, rows)


def _register_row(found: RegisterCoverage, key: Key, register: Register) -> tuple[str, ...]:
    able = possible(register)
    kinds = [_number(found.accesses[key, kind]) if kind in able else "" for kind in Kind]
    bits = [found.bits(key, each) for each in register.fields]
    seen = f"{sum(each[0] for each in bits)}/{sum(each[1] for each in bits)}"
    levels = [_number(found.after[key, level]) if register.mask("rw") else "" for level in Level]
    return (register.name, *kinds, seen, *levels)


def _number(count: int) -> str:
    return f"{count:,}" if count else NEVER


def matrix(run: RunCoverage) -> Table:
    """States of offloaded connections by what came in; one event a row, so that it fits a screen."""
    cells = run.chimney.cells
    rows = tuple((what, *(_number(cells[state, what]) for state in State)) for what in EVENTS)
    reached = sum(1 for state in State for what in EVENTS if cells[state, what])
    title = f"Chimney, what came in by state: {share(reached, len(State) * len(EVENTS))}"
    return Table(title, ("event", *(state.name for state in State)), rows)


def said(run: RunCoverage) -> Table:
    """What the card said, by state; rows without any are left out."""
    cells = run.chimney.said
    rows = tuple(
        (what, *(_number(cells[state, what]) for state in State))
        for what in SAYS
        if any(cells[state, what] for state in State)
    )
    return Table("Chimney, what the card said by state", ("said", *(state.name for state in State)), rows)


def missing(run: RunCoverage) -> Iterator[str]:
    """A line for everything that was not reached."""
    found = run.registers
    for key, register in registers():
        kinds = [kind.value for kind in possible(register) if not found.accesses[key, kind]]
        levels = [each.value for each in Level if register.mask("rw") and not found.after[key, each]]
        if kinds:
            yield f"{key[0]} {key[1]}: never {', '.join(kinds)}"
        if levels:
            yield f"{key[0]} {key[1]}: never looked at after {', '.join(levels)}"
    for state in State:
        never = [what for what in EVENTS if not run.chimney.cells[state, what]]
        if never and run.chimney.connections:
            yield f"chimney {state.name}: never {', '.join(never)}"
