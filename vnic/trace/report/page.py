"""The page: one HTML file with its style, its script and its data, which asks no network for anything."""

from __future__ import annotations

from typing import Final

from vnic.trace.report import activity, coverage, events, overview, registers
from vnic.trace.report.charts import embedded
from vnic.trace.report.html import Html, element, join, section
from vnic.trace.report.listing import Listing
from vnic.trace.report.page_shell import asset, document
from vnic.trace.report.survey import Survey

_PARTS: Final = (
    ("timeline", "Timeline"),
    ("queues", "Queues"),
    ("tcp", "TCP"),
    ("registers", "Registers"),
    ("polling", "Polling"),
    ("coverage", "Coverage"),
    ("events", "Events"),
    ("about", "About"),
)


def page(survey: Survey, title: str) -> str:
    """The whole file; `title`: the name of the trace."""
    links = join(element("a", name, href=f"#{identity}") for identity, name in _PARTS)
    body = join(
        [
            element("header", element("h1", title), element("nav", links)),
            element("main", overview.cards(survey), overview.warnings(survey), *_sections(survey)),
            element("script", Html(embedded(survey)), type="application/json", id="data"),
            element("script", Html(asset("report.js"))),
        ]
    )
    return document(f"{title}, vnic trace", body)


def _sections(survey: Survey) -> list[Html]:
    return [
        section("timeline", "Timeline", _TIMELINE, _chart("timeline")),
        section(
            "queues", "Queues, channels and vectors", _QUEUES, _chart("units"), activity.units_table(survey)
        ),
        section("tcp", "TCP time-sequence graph", _TCP, _chart("tcp"), activity.connections_table(survey)),
        section("registers", "Registers used most", _REGISTERS, registers.histogram(survey.usage)),
        section("polling", "Polling loops", _POLLING, registers.polls_table(survey)),
        section(
            "coverage",
            "Coverage",
            _COVERAGE,
            registers.coverage(survey.usage),
            *coverage.tables(survey.reached),
        ),
        section(
            "events",
            "Events",
            events.listing_note(survey.listing),
            _search(),
            events.events_table(survey),
        ),
        section(
            "about", "About this trace", _about(survey, survey.listing), overview.functions_table(survey)
        ),
    ]


def _chart(name: str) -> Html:
    """Where the script draws; what is there until then is for those who have none."""
    return element(
        "div", element("p", "Needs JavaScript.", class_="none"), id=f"{name}-chart", class_="chart"
    )


def _search() -> Html:
    field = Html(
        '<input id="search" type="search" placeholder="QP_TX_TAIL, INTERRUPT, aborted …" '
        'aria-label="Show events that contain">'
    )
    return element(
        "p", element("label", "Show events that contain ", field), element("span", id="search-found")
    )


def _about(survey: Survey, listing: Listing) -> str:
    mode = "with all data" if not survey.header.is_compact else "compact: outputs as length and digest"
    return (
        f"Format vnic-trace/1, {mode}; seed {survey.header.seed}; {listing.events:,} events. Time is "
        "virtual: it is what the simulated card lives in, not how long the recording took."
    )


_TIMELINE: Final = (
    "How many events of each kind, from left to right as they happened. Drag over a part to look closer; a "
    "double click shows all again. Each row has its own scale: the figure on its right is its highest "
    "column. Dashed lines are marks; the pointer on one shows its text."
)
_QUEUES: Final = (
    "Activity over the same part of the trace as the timeline shows: the stronger, the more accesses to a "
    "queue's registers, frames that left by it, or interrupts of a vector."
)
_TCP: Final = (
    "Every segment as a stroke from its first to its last sequence number, at the time when it was on the "
    "wire; below it the line of what is acknowledged, above it the end of the receiver's window (outside the "
    "picture where that is large). Drag over a part to look closer; a double click shows all again."
)
_REGISTERS: Final = "All elements of an array of registers together; its name has their number in brackets."
_POLLING: Final = (
    "The same register read again and again with no other access between, and the same value each time."
)
_COVERAGE: Final = (
    "Which registers were read and written at all, of those that the functions have; open one to see. Below: "
    "kinds of access, what was looked at after which reset, and what offloaded connections went through."
)
