"""`vnic trace expand`: a compact trace with its outputs in full."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vnic.commands.trace.choice import declare_file, open_trace
from vnic.errors import ArgumentError
from vnic.trace.expand import expand
from vnic.trace.replay import Outcome


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    parser.add_argument("out", type=Path, metavar="OUT", help="where to; .gz and .zst are compressed")


def execute(options: argparse.Namespace) -> int:
    """0; 1 for a file that ends early; 2 where the device here does not do what the trace says."""
    open_trace(options.file).close()
    if options.out.exists() and options.out.samefile(options.file):
        raise ArgumentError("OUT is FILE: it would be overwritten before it is read")
    try:
        events, outcome = expand(options.file, options.out)
    except OSError as error:
        raise ArgumentError(f"{options.out}: {error.strerror}") from None
    print(f"{options.out}: {events:,} events, {options.out.stat().st_size:,} bytes")
    if outcome is Outcome.CUT:
        print(f"vnic: {options.file}: the file ends within a block", file=sys.stderr)
        return 1
    return 0
