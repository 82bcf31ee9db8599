"""What the page's script draws, as JSON that is safe within a page."""

from __future__ import annotations

import json
from typing import Any, Final

from vnic.trace.report.connections import Connection, End
from vnic.trace.report.half import Half
from vnic.trace.report.survey import LANES, Survey, in_order
from vnic.trace.report.timeline import Timeline

GRAPHS_MAX: Final = 12
ROWS_MAX: Final = 64


def embedded(survey: Survey) -> str:
    """For `<script type="application/json">`: nothing in it can end that element."""
    values = {
        "timeline": timeline_values(survey.timeline, [*LANES]),
        "units": unit_values(survey),
        "connections": [
            connection_values(each) for each in survey.connections.ranked()[:GRAPHS_MAX] if each.segments
        ],
    }
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def timeline_values(timeline: Timeline, lanes: list[str]) -> dict[str, Any]:
    """The groups as columns; each lane as pairs of group and count, one after the other."""
    groups = timeline.groups
    start = min((group.first_ns for group in groups), default=0)
    return {
        "size": timeline.size,
        "events": timeline.events,
        "end": timeline.end,
        "start_ns": start,
        "number": [group.number for group in groups],
        "first": [group.first_ns - start for group in groups],
        "last": [group.last_ns - start for group in groups],
        "lanes": [{"name": lane, "counts": _counts(timeline, lane)} for lane in lanes],
        "marks": [[number, time_ns - start, text] for number, time_ns, text in timeline.marks],
    }


def unit_values(survey: Survey) -> list[dict[str, Any]]:
    """A row of the heat map each queue, channel and vector, as far as there is room."""
    labels = in_order(survey.units)[:ROWS_MAX]
    return [{"name": label, "counts": _counts(survey.timeline, label)} for label in labels]


def _counts(timeline: Timeline, lane: str) -> list[int]:
    flat: list[int] = []
    for index, group in enumerate(timeline.groups):
        if lane in group.counts:
            flat += (index, group.counts[lane])
    return flat


def connection_values(connection: Connection) -> dict[str, Any]:
    """Both directions of a connection; times from its first segment on."""
    first, second = (end_text(end) for end in connection.ends)
    return {
        "name": f"{first}, {second}",
        "halves": [
            {"name": f"{first} → {second}", **_half(connection.halves[0], connection.first_ns)},
            {"name": f"{second} → {first}", **_half(connection.halves[1], connection.first_ns)},
        ],
    }


def end_text(end: End) -> str:
    """Address and port."""
    address, port = end
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _half(half: Half, start: int) -> dict[str, Any]:
    return {
        "bytes": half.bytes,
        "left_out": half.left_out,
        "data": [[first - start, at, last - start, end] for first, at, last, end in half.data],
        "again": [[time - start, at, end] for time, at, end in half.again],
        "late": [[time - start, at, end] for time, at, end in half.late],
        "acks": [[time - start, at] for time, at in half.acks],
        "windows": [[time - start, at] for time, at in half.windows],
        "sacks": [[time - start, at, end] for time, at, end in half.sacks],
        "flags": [[time - start, at, letter] for time, at, letter in half.flags],
    }
