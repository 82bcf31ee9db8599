"""`vnic coverage`: what traces reached of the card, one by one or together."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from vnic.commands.table import Cell, Table, print_tables
from vnic.commands.trace.choice import complaints, open_trace
from vnic.errors import ArgumentError
from vnic.trace.coverage import tables
from vnic.trace.coverage.registers import MAPS
from vnic.trace.coverage.run import RunCoverage, cover, load
from vnic.trace.report.coverage import page


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="a trace, or what --out or pytest --vnic-coverage wrote; their sum is shown",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the sum, to be merged again later")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it as one HTML page")
    parser.add_argument("--json", action="store_true", help="print it as JSON, of format vnic-coverage/1")
    parser.add_argument("--map", choices=[each.name for each in MAPS], help="show every register of a map")
    parser.add_argument("--missing", action="store_true", help="a line for everything that was not reached")
    parser.add_argument(
        "--fail-under",
        type=_percent,
        metavar="PERCENT",
        help="exit status 1 when fewer of the registers' kinds of access were reached",
    )


def execute(options: argparse.Namespace) -> int:
    """0; 1 below --fail-under, or when a trace is not whole."""
    run, said = _read(options.files)
    for path, text in ((options.out, None), (options.html, page(run, "Coverage") if options.html else "")):
        if path is not None:
            _write(path, run, text)
    if options.json:
        print(json.dumps(run.as_json(), indent=1))
    elif options.missing:
        print("\n".join(tables.missing(run)))
    else:
        _show(run, options.map)
    for line in said:
        print(f"NOT WHOLE: {line}")
    reached, total = tables.reached_kinds(run.registers)
    return 1 if said or 100 * reached < (options.fail_under or 0) * total else 0


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage")
    return value


def _read(paths: Sequence[Path]) -> tuple[RunCoverage, list[str]]:
    """The sum, and what is wrong with traces that could be read in part."""
    run, said = RunCoverage(), []
    for path in paths:
        if _is_coverage(path):
            run.merge(load(path))
            continue
        with open_trace(path) as reader:
            cover(reader, run)
            said += [f"{path}: {each}" for each in complaints(reader)]
    return run, said


def _is_coverage(path: Path) -> bool:
    """Whether a file begins as JSON does; what cannot be opened is said as of a trace."""
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"{")
    except OSError:
        return False


def _write(path: Path, run: RunCoverage, text: str | None) -> None:
    try:
        if text is None:
            run.write(path)
        else:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{path}: {error.strerror}") from None


def _show(run: RunCoverage, only: str | None) -> None:
    print(f"{run.runs:,} traces, {run.events:,} events")
    shown = [tables.register_table(run, only)] if only else [tables.summary(run)]
    if not only and run.chimney.connections:
        shown += [tables.matrix(run), tables.said(run)]
    print_tables([_of(each) for each in shown])
    if not only:
        reached = tables.reached_kinds(run.registers)
        print(f"\nregisters' kinds of access: {tables.share(*reached)}; --missing names the others")
        if run.requirements:
            print(f"requirements exercised: {len(run.requirements):,}")


def _of(table: tables.Table) -> Table:
    """For the terminal: figures to the right."""
    columns = list(zip(table.heads, *table.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    rows: list[Sequence[Cell]] = [
        [row[0], *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
        for row in table.rows
    ]
    return Table(table.title, table.heads, rows)
