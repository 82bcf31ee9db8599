"""`vnic trace diff`: two traces beside each other."""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import islice
from pathlib import Path

from vnic.commands.table import Table, print_tables
from vnic.commands.trace.choice import declare_file, open_trace
from vnic.commands.trace.naming import declare_map, names_for
from vnic.trace.align import Pair, aligned
from vnic.trace.event import ACCESSES
from vnic.trace.names import Names
from vnic.trace.text import Lines

_SHOWN = 20


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    parser.add_argument("other", type=Path, metavar="OTHER", help="another")
    declare_map(parser)
    parser.add_argument("--all", action="store_true", help=f"print all differences, not the first {_SHOWN}")


def execute(options: argparse.Namespace) -> int:
    """0: the same events; 1: not."""
    counts: Counter[str] = Counter()
    shown = 0
    with open_trace(options.file) as left, open_trace(options.other) as right:
        names = names_for(left.header, options)
        lines = Lines(left.header, names)
        if left.header != right.header:
            print("the headers differ: other functions, configurations or seeds")
        for pair in aligned(left, right):
            counts[_subject(pair, names)] += 1
            if options.all or shown < _SHOWN:
                _print(pair, lines)
                shown += 1
        is_same = left.header == right.header
    total = sum(counts.values())
    print_tables([Table("Differences", ("what", "times"), list(islice(counts.most_common(), 30)))])
    print(f"{total:,} differences" if total else "the same events")
    return 0 if total == 0 and is_same else 1


def _subject(pair: Pair, names: Names) -> str:
    event = pair.left or pair.right
    assert event is not None
    place = names.place(event) if event.type in ACCESSES else None
    return place.register.name if place else event.type.name


def _print(pair: Pair, lines: Lines) -> None:
    for sign, event in (("-", pair.left), ("+", pair.right)):
        if event is not None:
            print(f"{sign} {event.number:>8} {lines.line(event)}")
