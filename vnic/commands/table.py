"""Tables: with rich where it is installed and a terminal shows them, else as plain text."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

BAR_WIDTH = 24

Cell = str | int


@dataclass
class Table:
    """Rows under a title. `bar`: number of the column whose shares of its sum are drawn behind the rows."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    bar: int | None = None

    def shares(self) -> list[float]:
        """Each row's part of the sum of the bar's column; empty without a bar."""
        if self.bar is None:
            return []
        values = [int(row[self.bar]) for row in self.rows]
        return [value / (sum(values) or 1) for value in values]


def cell_text(cell: Cell) -> str:
    """Numbers with thousands apart."""
    return f"{cell:,}" if isinstance(cell, int) else cell


def bar_text(share: float, full: float, mark: str) -> str:
    """A bar whose longest is BAR_WIDTH, and the share it stands for."""
    length = round(BAR_WIDTH * share / full) if full else 0
    return f"{mark * length} {share:.1%}".strip()


def is_rich(stream: TextIO) -> bool:
    """Whether rich is there and the stream is a terminal."""
    return stream.isatty() and importlib.util.find_spec("rich") is not None


def print_tables(tables: Sequence[Table], stream: TextIO | None = None) -> None:
    """Print them, one after the other; tables without rows are left out."""
    out = stream or sys.stdout
    for table in tables:
        if table.rows:
            (_print_rich if is_rich(out) else _print_plain)(table, out)


def _print_plain(table: Table, out: TextIO) -> None:
    shares = table.shares()
    texts = [[cell_text(cell) for cell in row] for row in table.rows]
    widths = [max(len(column), *(len(row[i]) for row in texts)) for i, column in enumerate(table.columns)]
    print(f"\n{table.title}", file=out)
    print(
        "  " + "  ".join(name.ljust(width) for name, width in zip(table.columns, widths, strict=True)),
        file=out,
    )
    for number, (row, text) in enumerate(zip(table.rows, texts, strict=True)):
        cells = [
            value.rjust(width) if isinstance(cell, int) else value.ljust(width)
            for cell, value, width in zip(row, text, widths, strict=True)
        ]
        tail = "  " + bar_text(shares[number], max(shares), "#") if shares else ""
        print(("  " + "  ".join(cells) + tail).rstrip(), file=out)


def _print_rich(table: Table, out: TextIO) -> None:
    from rich.console import Console  # noqa: PLC0415 (an extra, and slow to import)
    from rich.table import Table as RichTable  # noqa: PLC0415

    shares = table.shares()
    made = RichTable(title=table.title, title_justify="left", title_style="bold", header_style="dim")
    for number, name in enumerate(table.columns):
        is_number = all(isinstance(row[number], int) for row in table.rows)
        made.add_column(name, justify="right" if is_number else "left")
    if shares:
        made.add_column("share", style="cyan")
    for number, row in enumerate(table.rows):
        tail = [bar_text(shares[number], max(shares), "█")] if shares else []
        made.add_row(*(cell_text(cell) for cell in row), *tail)
    Console(file=out).print(made)
