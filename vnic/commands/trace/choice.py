"""Which trace, and which events of it: what several actions share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from vnic.abi import EventType
from vnic.errors import ArgumentError
from vnic.trace.event import ACCESSES, TraceEvent
from vnic.trace.file import TraceReader
from vnic.trace.names import Names


def declare_file(parser: argparse.ArgumentParser) -> None:
    """The trace."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a trace, may be .gz or .zst")


def declare_choice(parser: argparse.ArgumentParser) -> None:
    """Options that choose events."""
    group = parser.add_argument_group("which events")
    group.add_argument("--from", dest="first", type=number, default=0, metavar="N", help="from event N on")
    group.add_argument("--until", type=number, metavar="N", help="up to event N, without it")
    group.add_argument(
        "--type",
        dest="types",
        type=_type,
        action="append",
        metavar="TYPE",
        help="of a type, as MMIO_WRITE; may be given several times",
    )
    group.add_argument("--function", type=number, metavar="N", help="of one function")
    group.add_argument("--register", metavar="NAME", help="accesses to a register, as QP_TX_TAIL")


def number(text: str) -> int:
    """A number of events."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def _type(text: str) -> EventType:
    try:
        return EventType[text.upper()]
    except KeyError:
        known = ", ".join(each.name for each in EventType)
        raise argparse.ArgumentTypeError(f"{text!r} is no type of event; there are {known}") from None


def open_trace(path: Path) -> TraceReader:
    """The trace; ArgumentError when it cannot be opened."""
    try:
        return TraceReader(path)
    except OSError as error:
        raise ArgumentError(f"{path}: {error.strerror}") from None


def chosen(reader: TraceReader, options: argparse.Namespace, names: Names) -> Iterator[TraceEvent]:
    """The events that the options choose."""
    wanted = frozenset(options.types or EventType)
    register = options.register and options.register.upper()
    for event in reader:
        if options.until is not None and event.number >= options.until:
            return
        if event.number < options.first or event.type not in wanted:
            continue
        if options.function is not None and event.function != options.function:
            continue
        if register and not _is_of(names, event, register):
            continue
        yield event


def _is_of(names: Names, event: TraceEvent, register: str) -> bool:
    if event.type not in ACCESSES:
        return False
    place = names.place(event)
    return place is not None and register in (place.register.name, place.name.partition("+")[0])


def complaints(reader: TraceReader) -> list[str]:
    """What is wrong with a file that was read to its end."""
    said = []
    if reader.cut is not None:
        said.append(f"the file ends within a block, at offset {reader.cut:,}")
    if reader.lost:
        said.append(f"{reader.lost:,} events are missing in it")
    if reader.skipped:
        said.append(f"{reader.skipped:,} events of a kind that is not known were skipped")
    return said
