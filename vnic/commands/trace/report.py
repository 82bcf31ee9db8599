"""`vnic trace report`: a trace as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from vnic.commands.trace.choice import complaints, declare_file, open_trace
from vnic.commands.trace.naming import declare_map, names_for
from vnic.errors import ArgumentError
from vnic.trace.report.page import page
from vnic.trace.report.survey import survey


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the page; it needs no network (the trace's name with .html)"
    )
    declare_map(parser)


def execute(options: argparse.Namespace) -> int:
    """0, or 1 for a file that ends early or has gaps: the page then says so, too."""
    out = options.out or _beside(options.file)
    with open_trace(options.file) as reader:
        found = survey(reader, names_for(reader.header, options))
        said = complaints(reader)
    found.said = tuple(said)
    try:
        out.write_text(page(found, options.file.name), encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"{out}: {error.strerror}") from None
    print(f"{out}: {found.listing.events:,} events, {out.stat().st_size / 1e6:.1f} MB; open it in a browser")
    for text in said:
        print(f"NOT WHOLE: {text}")
    return 1 if said else 0


def _beside(path: Path) -> Path:
    """run.pcapng.gz becomes run.html, in the current folder."""
    return Path(path.name.removesuffix(".gz").removesuffix(".zst").removesuffix(".pcapng") + ".html")
