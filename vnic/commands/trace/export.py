"""`vnic trace export`: events as CSV, JSON Lines or qtest, or a Wireshark dissector for them."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from vnic.commands.trace.choice import chosen, complaints, declare_choice, declare_file, open_trace
from vnic.commands.trace.naming import declare_map, names_for
from vnic.trace.event import ACCESSES, TraceEvent
from vnic.trace.exporters.lua import dissector
from vnic.trace.exporters.qtest import QtestExport
from vnic.trace.file import TraceReader
from vnic.trace.names import Names

_COLUMNS = (
    "number",
    "time_ns",
    "function",
    "type",
    "index",
    "width",
    "addr",
    "value",
    "register",
    "length",
    "digest",
    "data",
)


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    parser.add_argument(
        "--format",
        choices=tuple(WRITERS),
        default="csv",
        help="csv; jsonl: JSON Lines; lua: a Wireshark dissector with the register names of the trace;"
        " qtest: a script for QEMU; qtest-log: with the answers and times of the trace (csv)",
    )
    declare_map(parser)
    declare_choice(parser)


def execute(options: argparse.Namespace) -> int:
    """0, or 1 for a file that ends early or has gaps."""
    with open_trace(options.file) as reader:
        names = names_for(reader.header, options)
        WRITERS[options.format](reader, names, chosen(reader, options, names))
        said = complaints(reader)
    for text in said:
        print(f"vnic: {options.file}: {text}", file=sys.stderr)
    return 1 if said else 0


def _write_csv(_reader: TraceReader, names: Names, events: Iterator[TraceEvent]) -> None:
    table = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    table.writeheader()
    for event in events:
        table.writerow(_values(event, names))


def _write_jsonl(_reader: TraceReader, names: Names, events: Iterator[TraceEvent]) -> None:
    for event in events:
        print(json.dumps(_values(event, names), separators=(",", ":")))


def _write_lua(reader: TraceReader, names: Names, _events: Iterator[TraceEvent]) -> None:
    """Names alone: the dissector is for all events, and for other traces of such functions."""
    sys.stdout.write(dissector(reader.header, names))


def _write_qtest(reader: TraceReader, _names: Names, events: Iterator[TraceEvent]) -> None:
    _write_requests(QtestExport(reader.header), events)


def _write_qtest_log(reader: TraceReader, _names: Names, events: Iterator[TraceEvent]) -> None:
    _write_requests(QtestExport(reader.header, answers=True), events)


def _write_requests(export: QtestExport, events: Iterator[TraceEvent]) -> None:
    """The lines; what qtest cannot say is counted on standard error."""
    for line in export.lines(events):
        sys.stdout.write(f"{line}\n")
    for what, times in export.left_out.items():
        print(f"vnic: left out: {times:,} {what}", file=sys.stderr)


def _values(event: TraceEvent, names: Names) -> dict[str, Any]:
    return {
        "number": event.number,
        "time_ns": event.time_ns,
        "function": event.function,
        "type": event.type.name,
        "index": event.index,
        "width": event.width,
        "addr": event.addr,
        "value": event.value,
        "register": names.name(event) if event.type in ACCESSES else None,
        "length": event.length,
        "digest": event.digest,
        "data": event.data.hex(),
    }


WRITERS: dict[str, Callable[[TraceReader, Names, Iterator[TraceEvent]], None]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "lua": _write_lua,
    "qtest": _write_qtest,
    "qtest-log": _write_qtest_log,
}
