"""`vnic trace dump`: one line an event."""

from __future__ import annotations

import argparse
import sys

from vnic.commands.trace.choice import chosen, complaints, declare_choice, declare_file, number, open_trace
from vnic.commands.trace.naming import declare_map, names_for
from vnic.trace.text import Lines


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    parser.add_argument(
        "--numbers", action="store_true", help="number the events: handy, but no longer fit for a diff"
    )
    parser.add_argument("--bytes", type=number, default=16, metavar="N", help="bytes of data on a line (16)")
    declare_map(parser)
    declare_choice(parser)


def execute(options: argparse.Namespace) -> int:
    """0, or 1 for a file that ends early or has gaps."""
    with open_trace(options.file) as reader:
        names = names_for(reader.header, options)
        lines = Lines(reader.header, names, options.bytes)
        write = sys.stdout.write
        for event in chosen(reader, options, names):
            start = f"{event.number:>8} " if options.numbers else ""
            write(f"{start}{lines.line(event)}\n")
        said = complaints(reader)
    for text in said:
        print(f"vnic: {options.file}: {text}", file=sys.stderr)
    return 1 if said else 0
