"""The tables under the pictures: queues, channels and vectors, and TCP connections."""

from __future__ import annotations

from typing import Final

from vnic.trace.report import figures
from vnic.trace.report.charts import GRAPHS_MAX, ROWS_MAX, end_text
from vnic.trace.report.connections import FOLLOWED_MAX, Connection
from vnic.trace.report.figures import NONE
from vnic.trace.report.half import Half
from vnic.trace.report.html import Html, element, join, table
from vnic.trace.report.survey import Survey, Unit, in_order

_REPAIRS: Final = ("retransmitted", "gaps filled", "duplicate ACKs")


def units_table(survey: Survey) -> Html:
    """Queues, channels and vectors in figures."""
    heads = ("", "accesses", "doorbells", "by ring", "frames sent", "bytes sent", "interrupts")
    labels = in_order(survey.units)
    rows = [_unit_row(label, survey.units[label]) for label in labels]
    notes = []
    if len(labels) > ROWS_MAX:
        notes.append(f"The picture has the first {ROWS_MAX} of {len(labels):,} rows. ")
    if survey.units_left_out:
        notes.append(f"{survey.units_left_out:,} events of still more of them were left out.")
    return join([table(heads, rows, numbers=".nn.nnn"), element("p", *notes, class_="note")])


def _unit_row(label: str, unit: Unit) -> tuple[str, ...]:
    rings = (f"{name.removesuffix('_TAIL')} {times:,}" for name, times in sorted(unit.doorbells.items()))
    return (
        label,
        f"{unit.accesses:,}",
        f"{unit.doorbells.total():,}",
        ", ".join(rings) or NONE,
        f"{unit.frames:,}",
        figures.octets(unit.bytes) if unit.bytes else "0",
        f"{unit.interrupts:,}",
    )


def connections_table(survey: Survey) -> Html:
    """A row each direction of each connection that has a graph."""
    ranked = survey.connections.ranked()
    heads = ("from", "to", "segments", "data", "mean rate", *_REPAIRS, "ended")
    rows = [
        _half_row(each, side, half) for each in ranked[:GRAPHS_MAX] for side, half in enumerate(each.halves)
    ]
    left, found = max(0, len(ranked) - GRAPHS_MAX), survey.connections
    said = (
        (left, f"{left:,} connections with less data are left out. "),
        (found.left_out, f"{found.left_out:,} segments were of connections after the first {FOLLOWED_MAX}. "),
        (found.unread, f"{found.unread:,} frames are here as digests only, so their TCP is not seen."),
    )
    note = element("p", *(text for count, text in said if count), class_="note")
    return join([table(heads, rows, numbers="..nnnnnn."), note])


def _half_row(connection: Connection, side: int, half: Half) -> tuple[str, ...]:
    ends = [end_text(end) for end in connection.ends]
    letters = {letter for _, _, letter in half.flags}
    return (
        ends[side],
        ends[1 - side],
        f"{half.segments:,}",
        figures.octets(half.bytes),
        figures.rate(half.bytes, connection.last_ns - connection.first_ns),
        f"{half.retransmitted:,}",
        f"{half.gaps_filled:,}",
        f"{half.duplicate_acks:,}",
        "RST" if "R" in letters else "FIN" if "F" in letters else NONE,
    )
