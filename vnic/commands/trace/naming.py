"""`--map`: names for the registers of devices that are not made here."""

from __future__ import annotations

import argparse

from vnic.errors import ArgumentError
from vnic.trace.header import TraceHeader
from vnic.trace.maps import ForeignMap, find_map, names_of
from vnic.trace.names import Names


def declare_map(parser: argparse.ArgumentParser) -> None:
    """The option."""
    parser.add_argument(
        "--map",
        dest="maps",
        action="append",
        default=[],
        metavar="[N=]FILE",
        help="register map of a foreign device (of function N; else of all), a JSON file, or a name or ids"
        " that are known, as e1000e or 8086:10d3; found by the ids in the trace when it has them",
    )


def names_for(header: TraceHeader, options: argparse.Namespace) -> Names:
    """The names of a trace, with the maps that are given; ArgumentError."""
    foreign = [each.function for each in header.functions if each.kind == "foreign"]
    given: dict[int, ForeignMap] = {}
    for text in options.maps:
        first, sign, rest = text.partition("=")
        functions = [int(first)] if sign and first.isascii() and first.isdigit() else foreign
        chosen = find_map(rest if functions is not foreign else text)
        if not functions or not set(functions) <= set(foreign):
            raise ArgumentError(f"--map {text}: the trace has no such foreign function")
        given.update(dict.fromkeys(functions, chosen))
    return names_of(header, given)
