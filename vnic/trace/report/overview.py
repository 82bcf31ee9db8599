"""The head of the page: the trace in figures, what went wrong in it, and what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vnic.abi import EventType
from vnic.trace.event import ACCESSES
from vnic.trace.header import FunctionHeader
from vnic.trace.report import figures
from vnic.trace.report.figures import NONE
from vnic.trace.report.html import Html, element, join, table
from vnic.trace.report.survey import Survey

_VALUE: Final = 300


def cards(survey: Survey) -> Html:
    """The trace in a few figures."""
    types, octets = survey.types, survey.octets
    span = survey.last_ns - (survey.first_ns or 0)
    accesses = sum(types[kind] for kind in ACCESSES)
    ways = ((EventType.DMA_READ, "read"), (EventType.DMA_WRITE, "written"))
    frames = ((EventType.FRAME_IN, "in"), (EventType.FRAME_OUT, "out"))
    shown = (
        ("events", figures.count(types.total()), f"{figures.time(span)} of virtual time"),
        ("register accesses", figures.count(accesses), "configuration space included"),
        (
            "DMA",
            *_amounts(octets[ways[0][0]] + octets[ways[1][0]], ((octets[kind], way) for kind, way in ways)),
        ),
        ("interrupts", figures.count(types[EventType.INTERRUPT]), "edges of a line, or messages"),
        (
            "frames",
            figures.count(types[EventType.FRAME_IN] + types[EventType.FRAME_OUT]),
            ", ".join(f"{types[kind]:,} {way} ({figures.octets(octets[kind])})" for kind, way in frames),
        ),
        ("TCP connections", figures.count(len(survey.connections.all)), _retransmitted(survey)),
    )
    made = (
        element("div", element("b", value), element("span", name), element("small", more), class_="card")
        for name, value, more in shown
    )
    return element("div", join(made), class_="cards")


def _amounts(total: int, parts: Iterator[tuple[int, str]]) -> tuple[str, str]:
    return figures.octets(total), ", ".join(f"{figures.octets(value)} {way}" for value, way in parts)


def _retransmitted(survey: Survey) -> str:
    halves = [half for each in survey.connections.all for half in each.halves]
    return f"segments sent again: {sum(half.retransmitted for half in halves):,}"


def warnings(survey: Survey) -> Html:
    """What is wrong with the file, and what went wrong in it."""
    wrong = [element("li", element("b", "This trace is not whole: "), said) for said in survey.said]
    troubles = [element("li", f"{name}: {times:,}") for name, times in survey.troubles.most_common()]
    if not wrong and not troubles:
        return element("p", "No failed transfer, dropped frame, fault or reset in it.", class_="note")
    return element("ul", join([*wrong, *troubles]), class_="troubles")


def functions_table(survey: Survey) -> Html:
    """What was recorded, and how it was created."""
    rows = [
        (f"f{each.function}", each.kind, each.map[:_VALUE] or NONE, _config(each) or NONE)
        for each in survey.header.functions
    ]
    return table(("function", "kind", "register map", "created with"), rows)


def _config(function: FunctionHeader) -> str:
    return ", ".join(f"{name} {str(value)[:_VALUE]}" for name, value in sorted(function.config.items()))
