"""`vnic trace test`: a trace as a pytest file that replays it."""

from __future__ import annotations

import argparse
from pathlib import Path

from vnic.commands.trace.choice import declare_file, open_trace
from vnic.errors import ArgumentError
from vnic.trace.exporters.pytest import export_pytest


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="TEST",
        help="the test file (test_NAME.py of NAME.pcapng); a trace that is not small goes beside it",
    )


def execute(options: argparse.Namespace) -> int:
    """0; 2 for what is no trace, or cannot be written."""
    open_trace(options.file).close()
    target = options.out or place_of(options.file)
    try:
        beside = export_pytest(options.file, target, f"What {options.file.name} recorded")
    except OSError as error:
        raise ArgumentError(f"{error.filename or target}: {error.strerror}") from None
    print(f"{target}: run it with `pytest {target}`")
    if beside is not None:
        print(f"{beside}: the trace that it replays")
    return 0


def place_of(trace: Path) -> Path:
    """The test file of a trace: beside it, test_NAME.py."""
    stem = trace.name.partition(".")[0].replace("-", "_")
    return trace.with_name(f"test_{stem}.py")
