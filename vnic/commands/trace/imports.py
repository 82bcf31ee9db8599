"""`vnic trace import`: what another tool recorded, as a trace."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path

from vnic.commands.table import Table, print_tables
from vnic.errors import ArgumentError
from vnic.trace.file import TraceWriter
from vnic.trace.importers import FORMATS, Imported, guess, open_import


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what to import, may be .gz or .zst")
    parser.add_argument("out", type=Path, metavar="OUT", help="the trace; .gz and .zst are compressed")
    known = "; ".join(f"{name}: {summary}" for name, _, summary in FORMATS)
    parser.add_argument(
        "--format", choices=[name for name, _, _ in FORMATS], help=f"{known} (by the content)"
    )
    parser.add_argument(
        "--device", metavar="D", help="which one, as 00:03.0 or 8086:10d3; needed for several"
    )


def execute(options: argparse.Namespace) -> int:
    """0; or 1 when the file says that something was lost."""
    out: Path = options.out
    part = out.with_name(f".part.{out.name}")
    try:
        form = options.format or guess(options.file)
        imported = open_import(options.file, form, options.device)
        counts = _write(imported, part)
        os.replace(part, out)
    except OSError as error:
        name = out if error.filename in (None, str(part)) else error.filename
        raise ArgumentError(f"{name}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    _print(form, imported, counts, out)
    return 1 if imported.complaints else 0


def _write(imported: Imported, part: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    with TraceWriter(part, imported.header) as writer:
        for event in imported:
            writer.write(event)
            counts[event.type.name] += 1
    return counts


def _print(form: str, imported: Imported, counts: Counter[str], out: Path) -> None:
    devices = ", ".join(
        " ".join(
            filter(None, (str(each.config.get("device") or each.config.get("location") or ""), each.map))
        )
        for each in imported.header.functions
    )
    print(f"{form}{f' of {devices}' if devices else ''}: {counts.total():,} events to {out}")
    print_tables([Table("Events", ("type", "count"), list(counts.most_common()), bar=1)])
    for text in imported.notes:
        print(text)
    for text in imported.complaints:
        print(f"LOST: {text}")
