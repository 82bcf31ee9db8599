"""`vnic record`: a Python program, with a trace of every device that it makes."""

from __future__ import annotations

import argparse
import importlib.util
import os
import runpy
import sys
from pathlib import Path

from vnic.errors import ArgumentError
from vnic.trace.ambient import Recorded, recording


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("vnic.pcapng"),
        metavar="FILE",
        help="where to; .gz and .zst are compressed; a second device goes to FILE.1 (vnic.pcapng)",
    )
    parser.add_argument(
        "--compact",
        action="store_true",
        help="outputs with data as length and digest",
    )
    parser.add_argument(
        "program",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND",
        help="a Python program: SCRIPT.py ..., -m MODULE ..., vnic ..., or pytest ...",
    )


def execute(options: argparse.Namespace) -> int:
    """The program's own exit status; 2 when there is nothing to run or nothing to write to."""
    words = options.program[1:] if options.program[:1] == ["--"] else options.program
    if words[:1] in (["python"], ["python3"]):
        words = words[1:]
    if not words:
        raise ArgumentError("what is to be recorded? say `vnic record -- pytest tests`, as an example")
    try:
        with recording(options.out, compact=options.compact) as recorded:
            status = _run(words)
    except OSError as error:
        raise ArgumentError(f"{error.filename or words[0]}: {error.strerror}") from error
    _tell(recorded)
    return status


def _run(words: list[str]) -> int:
    """Run it within this process, as the interpreter would."""
    is_module = words[0] == "-m" or not words[0].endswith(".py")
    name, arguments = (words[1], words[2:]) if words[0] == "-m" and words[1:] else (words[0], words[1:])
    before, sys.argv = sys.argv, [name, *arguments]
    sys.path.insert(0, os.getcwd() if is_module else str(Path(name).resolve().parent))
    try:
        if is_module and not _is_module(name):
            raise ArgumentError(f"no Python program {name}")
        if is_module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(name, run_name="__main__")
    except SystemExit as end:
        return _status(end.code)
    finally:
        sys.argv = before
        sys.path.pop(0)
    return 0


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _tell(recorded: Recorded) -> None:
    for path, count in recorded.events.items():
        print(f"vnic: {path}: {count:,} events; look at it with `vnic trace info {path}`", file=sys.stderr)
    if not recorded.events:
        print("vnic: the program made no device: nothing was recorded", file=sys.stderr)
