"""The table of events."""

from __future__ import annotations

from typing import Final

from vnic.trace.report import figures
from vnic.trace.report.html import Html, element, join
from vnic.trace.report.listing import FIRST, LAST, Listing
from vnic.trace.report.survey import Survey
from vnic.trace.text import Lines

_LINE: Final = 300
_DIGITS: Final = 6


def events_table(survey: Survey) -> Html:
    """The events that are listed; where some are left out, a row says how many."""
    lines = Lines(survey.header, survey.names)
    rows = []
    for each in survey.listing.rows():
        if isinstance(each, int):
            rows.append(_gap(each))
            continue
        what = lines.what(each)
        cells = (
            element("td", f"{each.number:,}", class_="n"),
            element("td", figures.time(each.time_ns, _DIGITS), class_="n"),
            element("td", f"f{each.function}"),
            element("td", each.type.name),
            element("td", element("code", what if len(what) <= _LINE else f"{what[:_LINE]} …")),
        )
        rows.append(element("tr", Html("".join(cells))))
    heads = ("event", "virtual time", "function", "type", "what happened")
    head = element("tr", *(element("th", each) for each in heads))
    body = element("tbody", join(rows), id="event-rows")
    return element("div", element("table", element("thead", head), body, class_="events"), class_="wide tall")


def _gap(number: int) -> Html:
    return element("tr", element("td", f"… {number:,} events left out …", colspan=5), class_="gap")


def listing_note(listing: Listing) -> str:
    """Which events are in the table."""
    kept = len(listing.kept())
    if kept == listing.events:
        return f"All {kept:,} events."
    note = (
        f"{kept:,} of {listing.events:,} events: the first {FIRST:,}, the last {LAST}, and between them "
        "marks, faults, resets, link changes, failed transfers and frames that were not taken"
    )
    if listing.notable_left_out:
        note += f" ({listing.notable_left_out:,} more of those are left out)"
    return f"{note}. vnic trace dump prints all of them."
