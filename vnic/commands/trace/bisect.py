"""`vnic trace bisect`: the first event after which two runs are in different states."""

from __future__ import annotations

import argparse
from pathlib import Path

from vnic.commands.trace.choice import declare_file, number, open_trace
from vnic.errors import ArgumentError
from vnic.trace.bisect import parting
from vnic.trace.text import Lines


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    parser.add_argument("other", type=Path, metavar="OTHER", help="another")
    parser.add_argument(
        "--hash-every", type=number, default=1000, metavar="K", help="events between state hashes (1000)"
    )


def execute(options: argparse.Namespace) -> int:
    """0: the same states throughout; 1: not."""
    if options.hash_every == 0:
        raise ArgumentError("--hash-every is at least 1")
    for path in (options.file, options.other):
        open_trace(path).close()
    found = parting(options.file, options.other, options.hash_every)
    if found is None:
        print("the same states throughout")
        return 0
    print(f"after {found.events:,} events: {found.why}")
    for path in (options.file, options.other):
        with open_trace(path) as reader:
            lines = Lines(reader.header)
            for event in reader:
                if event.number == max(found.events - 1, 0):
                    print(f"{path}: {event.number} {lines.line(event).strip()}")
                    break
    return 1
