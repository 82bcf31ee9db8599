"""The tables of registers: those used most, polling loops, and coverage."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from vnic.trace.report import figures
from vnic.trace.report.figures import NONE
from vnic.trace.report.html import Html, bar, element, join, table
from vnic.trace.report.polls import READS_MIN
from vnic.trace.report.survey import Survey
from vnic.trace.report.usage import Line, Usage

HISTOGRAM_MAX: Final = 25
_LEGEND: Final = element(
    "span", Html('<i class="swatch reads"></i>reads <i class="swatch writes"></i>writes'), class_="legend"
)


def histogram(usage: Usage) -> Html:
    """The registers that were used most, reads and writes."""
    used = sorted((line for line in usage.lines() if line.use.total), key=lambda line: -line.use.total)
    most = used[0].use.total if used else 1
    rows = [
        (
            f"f{line.function}",
            line.name,
            f"{line.use.reads:,}",
            f"{line.use.writes:,}",
            bar((("reads", line.use.reads), ("writes", line.use.writes)), most),
        )
        for line in used[:HISTOGRAM_MAX]
    ]
    rest = f"{len(used) - HISTOGRAM_MAX:,} registers that were used less are below, under Coverage."
    return join(
        [
            table(
                ("function", "register", "reads", "writes", _LEGEND),
                rows,
                numbers="..nn.",
                class_="histogram",
            ),
            element("p", rest if len(used) > HISTOGRAM_MAX else "", class_="note"),
        ]
    )


def polls_table(survey: Survey) -> Html:
    """The longest loops."""
    loops = survey.polls.ranked()
    if not loops:
        return element(
            "p", f"None: no register was read {READS_MIN} times in a row with one result.", class_="none"
        )
    heads = ("register", "reads", "value", "then", "from event", "at", "for")
    rows = (
        (
            f"f{loop.function} {loop.name}",
            f"{loop.reads:,}",
            f"{loop.value:#x}",
            NONE if loop.then is None else f"{loop.then:#x}",
            f"{loop.first:,}",
            figures.time(loop.first_ns),
            figures.time(max(0, loop.last_ns - loop.first_ns)),
        )
        for loop in loops
    )
    more = survey.polls.loops - len(loops)
    note = f"{more:,} shorter loops are left out." if more > 0 else ""
    return join([table(heads, rows, numbers=".nnnnnn"), element("p", note, class_="note")])


# ---- coverage ----------------------------------------------------------------------------------------------


def coverage(usage: Usage) -> Html:
    """Each map of each function: its registers, and which kinds of access they saw."""
    parts = [
        _map_coverage(function, bar_, list(lines))
        for (function, bar_), lines in groupby(usage.lines(), key=lambda line: (line.function, line.bar))
    ]
    return join([*parts, *_unnamed(usage)])


def _map_coverage(function: int, bar_: int | None, lines: list[Line]) -> Html:
    where = "configuration space" if bar_ is None else f"BAR{bar_}"
    read = sum(1 for line in lines if line.use.reads)
    writable = [line for line in lines if line.is_writable]
    written = sum(1 for line in writable if line.use.writes)
    summary = element(
        "summary",
        element("b", f"f{function} {where}: "),
        f"{read} of {len(lines)} registers read ({figures.share(read, len(lines))}), "
        f"{written} of {len(writable)} writable ones written ({figures.share(written, len(writable))})",
    )
    heads = ("register", "read", "written", "widths", "elements", "what it is")
    shown = table(heads, map(_coverage_row, lines), numbers=".nn", class_="coverage")
    return element("details", summary, shown)


def _coverage_row(line: Line) -> tuple[object, ...]:
    use = line.use
    write: object = f"{use.writes:,}" if use.writes else "never" if line.is_writable else "read-only"
    return (
        line.name,
        _seen(f"{use.reads:,}" if use.reads else "never", bool(use.reads)),
        _seen(write, bool(use.writes)),
        ", ".join(str(8 * width) for width in sorted(use.widths)) or NONE,
        f"{len(use.elements)} of {line.count}" if line.count > 1 else NONE,
        line.register.desc,
    )


def _seen(value: object, is_seen: bool) -> Html:
    return element("span", value, class_="seen" if is_seen else "unseen")


def _unnamed(usage: Usage) -> list[Html]:
    if not usage.unnamed:
        return []
    rows = (
        (
            f"f{function}",
            "configuration" if bar_ is None else f"BAR{bar_}",
            f"{addr:#x}",
            f"{use.reads:,}",
            f"{use.writes:,}",
            ", ".join(str(8 * width) for width in sorted(use.widths)),
        )
        for (function, bar_, addr), use in sorted(
            usage.unnamed.items(), key=lambda item: (item[0][0], item[0][1] or -1, item[0][2])
        )
    )
    more = f" {usage.left_out:,} accesses to still others are left out." if usage.left_out else ""
    summary = element(
        "summary", element("b", "Offsets where no register is: "), f"{len(usage.unnamed):,}.{more}"
    )
    heads = ("function", "where", "offset", "reads", "writes", "widths")
    return [element("details", summary, table(heads, rows, numbers="..nnn."))]
