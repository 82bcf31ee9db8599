"""`vnic trace info`: what a trace holds."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from vnic.commands.table import Cell, Table, print_tables
from vnic.commands.trace.choice import complaints, declare_file, open_trace
from vnic.commands.trace.naming import declare_map, names_for
from vnic.trace.event import ACCESSES, READS, TraceEvent
from vnic.trace.file import TraceReader
from vnic.trace.names import Names

_MOST = 12
_POLLS = 8


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    declare_map(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


@dataclass
class Summary:
    """Counts over a trace; polls: reads of a register, one right after the other, that gave the same."""

    events: int = 0
    data: int = 0
    first_ns: int | None = None
    last_ns: int = 0
    types: Counter[str] = field(default_factory=Counter)
    registers: Counter[str] = field(default_factory=Counter)
    polls: Counter[str] = field(default_factory=Counter)
    _last: tuple[str, int] | None = None

    def add(self, event: TraceEvent, names: Names) -> None:
        """Count one."""
        self.events += 1
        self.data += event.length
        self.first_ns = event.time_ns if self.first_ns is None else self.first_ns
        self.last_ns = max(self.last_ns, event.time_ns)
        self.types[event.type.name] += 1
        if event.type not in ACCESSES:
            return
        name = names.name(event)
        self.registers[name] += 1
        seen = (name, event.value) if event.type in READS else None
        if seen is not None and seen == self._last:
            self.polls[name] += 1
        self._last = seen


def execute(options: argparse.Namespace) -> int:
    """0, or 1 for a file that ends early or has gaps."""
    with open_trace(options.file) as reader:
        names, summary = names_for(reader.header, options), Summary()
        for event in reader:
            summary.add(event, names)
        said = complaints(reader)
    if options.json:
        print(json.dumps(_values(reader, summary, said), indent=2))
    else:
        _print(reader, summary, said)
    return 1 if said else 0


def _values(reader: TraceReader, summary: Summary, said: list[str]) -> dict[str, Any]:
    return {
        "header": json.loads(reader.header.text().partition(" ")[2]),
        "events": summary.events,
        "data_bytes": summary.data,
        "first_ns": summary.first_ns,
        "last_ns": summary.last_ns,
        "types": dict(summary.types.most_common()),
        "registers": dict(summary.registers.most_common()),
        "polls": dict(summary.polls.most_common()),
        "lost": reader.lost,
        "skipped": reader.skipped,
        "cut": reader.cut,
        "complaints": said,
    }


def _print(reader: TraceReader, summary: Summary, said: list[str]) -> None:
    header = reader.header
    span = (summary.last_ns - (summary.first_ns or 0)) / 1e9
    print(
        f"{summary.events:,} events with {summary.data:,} bytes of data in {span:.6f} s of virtual time; "
        f"{header.mode}, seed {header.seed}"
    )
    functions: list[tuple[Cell, ...]] = [
        (each.function, each.kind, each.map or "-") for each in header.functions
    ]
    print_tables(
        [
            Table("Functions", ("number", "kind", "register map"), list(functions)),
            Table("Events", ("type", "count"), list(summary.types.most_common()), bar=1),
            Table("Registers", ("register", "accesses"), list(summary.registers.most_common(_MOST))),
            Table(
                "Polled: the same read again, with the same value",
                ("register", "times"),
                list(summary.polls.most_common(_POLLS)),
            ),
        ]
    )
    for text in said:
        print(f"NOT WHOLE: {text}")
