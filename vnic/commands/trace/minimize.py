"""`vnic trace minimize`: the fewest inputs with which a trace still fails, and a test of them."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from vnic.commands.trace.choice import declare_file, number, open_trace
from vnic.commands.trace.test import place_of
from vnic.errors import ArgumentError
from vnic.trace.exporters.pytest import export_pytest
from vnic.trace.minimize import TRIES, Check, Minimized, minimize

_SECONDS = 60


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="OUT",
        help="where to; the test goes beside it, test_OUT.py",
    )
    parser.add_argument(
        "--check",
        type=shlex.split,
        metavar="COMMAND",
        help="what fails, in place of the replay: a command that exits with anything but 0 on a trace, "
        "which it is given as its last word, or as {}",
    )
    parser.add_argument(
        "--reference",
        type=shlex.split,
        metavar="COMMAND",
        help="a command that has to exit with 0 on every trace that is tried: the build that it was recorded "
        "on, as 'old/bin/vnic trace replay'; so nothing is tried that the recorded device would not do",
    )
    parser.add_argument(
        "--tries", type=number, default=TRIES, metavar="N", help=f"traces to try at most ({TRIES})"
    )


def execute(options: argparse.Namespace) -> int:
    """0; 2 for a trace that does not fail."""
    open_trace(options.file).close()
    if options.out.exists() and options.out.samefile(options.file):
        raise ArgumentError("OUT is FILE: it would be overwritten before it is read")
    try:
        found = minimize(
            options.file,
            options.out,
            check=_check(options.check, is_good=False),
            passes=_check(options.reference, is_good=True),
            tries=options.tries,
            tell=_tell,
        )
        beside = export_pytest(
            options.out, place_of(options.out), f"The fewest inputs with which {options.file.name} fails"
        )
    except OSError as error:
        raise ArgumentError(f"{error.filename or options.out}: {error.strerror}") from None
    finally:
        _tell_nothing()
    _print(found, options.out, beside)
    return 0


def _check(words: list[str] | None, *, is_good: bool) -> Check | None:
    """Runs a command on a trace: whether it exits as wanted."""
    if words is None:
        return None
    if not words:
        raise ArgumentError("an empty command")
    has_place = any("{}" in word for word in words)

    def check(path: str | os.PathLike[str]) -> bool:
        name = os.fspath(path)
        command = [word.replace("{}", name) for word in words] if has_place else [*words, name]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return False  # what hangs is another matter
        return (done.returncode == 0) is is_good

    return check


def _tell(tries: int, units: int) -> None:
    """Progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[Ktry {tries:,}: {units:,} inputs", end="", file=sys.stderr, flush=True)


def _tell_nothing() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print(found: Minimized, out: Path, beside: Path | None) -> None:
    print(f"{found.inputs:,} of {found.inputs_before:,} inputs still fail so, after {found.tries:,} tries")
    if not found.is_minimal:
        print("that was the last try: there may be fewer (--tries)")
    print(f"{out}: {found.events:,} events; look at it with `vnic trace dump {out}`")
    print(f"{place_of(out)}: run it with `pytest {place_of(out)}`")
    if beside is not None:
        print(f"{beside}: the trace that it replays")
