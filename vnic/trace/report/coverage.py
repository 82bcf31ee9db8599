"""Coverage as HTML: the same tables as the command's, for a trace's report and for a page of its own."""

from __future__ import annotations

from vnic.trace.coverage.registers import MAPS
from vnic.trace.coverage.run import RunCoverage
from vnic.trace.coverage.tables import NEVER, Table, matrix, missing, register_table, said, summary
from vnic.trace.report.html import Html, element, join, section, table
from vnic.trace.report.page_shell import document

_REGISTERS = (
    "How many registers saw each kind of access that they can see, bits that were seen as 0 and as 1, and "
    "registers that a driver had changed and read again after a reset of each level."
)
_CHIMNEY = (
    "What came in while an offloaded connection was in each state: segments, submissions and commands; and "
    "what the card said in it."
)


def tables(run: RunCoverage) -> list[Html]:
    """Of registers, and of the chimney where a connection was offloaded."""
    shown = [summary(run)]
    if run.chimney.connections:
        shown += [matrix(run), said(run)]
    return [join([element("h3", each.title), _table(each)]) for each in shown]


def _table(made: Table) -> Html:
    rows = ([row[0], *map(_cell, row[1:])] for row in made.rows)
    return table(made.heads, rows, numbers="." + "n" * (len(made.heads) - 1))


def _cell(text: str) -> Html:
    return element("span", text, class_="unseen" if text in (NEVER, "") else "seen")


def page(run: RunCoverage, title: str) -> str:
    """The whole file."""
    maps = [_details(run, each.name) for each in MAPS]
    requirements = [(name, f"{count:,}") for name, count in sorted(run.requirements.items())]
    body = join(
        [
            element("header", element("h1", title)),
            element(
                "main",
                section("summary", f"{run.runs:,} traces, {run.events:,} events", _REGISTERS, *tables(run)),
                section("registers", "Registers", "Open one to see.", *maps),
                section("missing", "Not reached", _CHIMNEY, _missing(run)),
                section(
                    "requirements",
                    "Requirements",
                    "Of the manual, and how many tests that passed are marked with each.",
                    table(("requirement", "tests"), requirements, numbers=".n"),
                ),
            ),
        ]
    )
    return document(title, body)


def _details(run: RunCoverage, name: str) -> Html:
    return element("details", element("summary", element("b", name)), _table(register_table(run, name)))


def _missing(run: RunCoverage) -> Html:
    lines = list(missing(run))
    rows = ((line,) for line in lines)
    return element("details", element("summary", f"{len(lines):,} lines"), table(("what",), rows))
