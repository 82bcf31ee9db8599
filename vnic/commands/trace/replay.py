"""`vnic trace replay`: a trace into a fresh device; what comes out is compared."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

from vnic.commands.table import Table, print_tables
from vnic.commands.trace.choice import declare_file, number, open_trace
from vnic.errors import ArgumentError
from vnic.trace.event import TraceEvent
from vnic.trace.judge import Tolerant
from vnic.trace.names import Names
from vnic.trace.replay import Difference, Outcome, Replay
from vnic.trace.text import Lines

_BEFORE = 8
_SHOWN = 20


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    declare_file(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--tolerant", action="store_true", help="go on after reads and outputs that differ; count by register"
    )
    group.add_argument(
        "--resync", action="store_true", help="go on after missing and additional events as well"
    )
    parser.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="REGISTER[=BITS]",
        help="bits that may differ, as STAT_RX_FRAMES or GLB_TIME=0xffff; with --tolerant or --resync",
    )
    parser.add_argument("--until", type=number, metavar="N", help="up to event N, without it")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def execute(options: argparse.Namespace) -> int:
    """0: as the trace says; 1: not."""
    with open_trace(options.file) as reader:
        names = Names(reader.header)
        lines = Lines(reader.header, names)
    is_lenient = options.tolerant or options.resync
    if options.mask and not is_lenient:
        raise ArgumentError("--mask goes with --tolerant or --resync")
    judge = Tolerant(names, _masks(options.mask, names), resync=options.resync) if is_lenient else None
    started = time.perf_counter()
    with Replay(options.file, judge=judge) as replay:
        outcome = replay.run(options.until)
        seconds = time.perf_counter() - started
        found = [*(judge.differences if judge else []), *([replay.difference] if replay.difference else [])]
        figures: dict[str, Any] = {
            "outcome": outcome.name,
            "events": replay.events,
            "lost": replay.lost,
            "skipped": replay.skipped,
            "seconds": round(seconds, 6),
            "notes": replay.notes,
            "borne": judge.borne if judge else 0,
            "differences": dict(judge.counts) if judge else {},
        }
    if options.json:
        first = _texts(found[0], lines) if found else None
        print(json.dumps(figures | {"first": first}, indent=2))
    else:
        _print(figures, found, lines, options)
    return 0 if outcome in (Outcome.END, Outcome.STOPPED) and not found else 1


def _masks(given: list[str], names: Names) -> dict[str, int]:
    known = {each.name for windows in names.windows.values() for window in windows for each in window.map}
    masks: dict[str, int] = {}
    for text in given:
        name, _, bits = text.partition("=")
        if name.upper() not in known:
            raise ArgumentError(f"no register {name}")
        try:
            masks[name.upper()] = int(bits, 0) if bits else -1
        except ValueError:
            raise ArgumentError(f"{text}: {bits!r} is not a number") from None
    return masks


def _texts(difference: Difference, lines: Lines) -> dict[str, Any]:
    def text(event: TraceEvent | None) -> str:
        return lines.what(event) if event else "nothing"

    return {
        "event": difference.number,
        "time_ns": (difference.expected or difference.actual or _NOTHING).time_ns,
        "expected": text(difference.expected),
        "actual": text(difference.actual),
        "fields": lines.field_differences(difference.expected, difference.actual),
    }


class _Nothing:
    time_ns = 0


_NOTHING = _Nothing()


def _print(
    figures: dict[str, Any], found: list[Difference], lines: Lines, options: argparse.Namespace
) -> None:
    for note in figures["notes"]:
        print(f"NOTE: {note}")
    for difference in found[:_SHOWN]:
        texts = _texts(difference, lines)
        print(f"DIFFERENT at event {texts['event']:,}, {texts['time_ns']:,} ns")
        print(f"  trace:  {texts['expected']}")
        print(f"  device: {texts['actual']}")
        for text in texts["fields"]:
            print(f"  {text}")
    if len(found) > _SHOWN:
        print(f"and {len(found) - _SHOWN:,} more")
    if found and not options.tolerant and not options.resync:
        _print_before(options.file, found[0].number, lines)
    counts = Counter(figures["differences"]).most_common()
    print_tables([Table("Differences", ("what", "times"), list(counts))])
    for name, text in (("lost", "events are missing in the file"), ("skipped", "events are not known")):
        if figures[name]:
            print(f"{figures[name]:,} {text}")
    rate = figures["events"] / figures["seconds"] if figures["seconds"] else 0
    print(f"{_verdict(figures, found)} ({rate:,.0f} events a second)")


def _verdict(figures: dict[str, Any], found: list[Difference]) -> str:
    events = f"{figures['events']:,} events"
    if found:
        return f"NOT AS THE TRACE SAYS, after {events}"
    ends = {"END": "all", "STOPPED": "so far", "CUT": "all that is whole of a file cut short"}
    return f"{events} replayed, {ends[figures['outcome']]} as the trace says"


def _print_before(path: Path, last: int, lines: Lines) -> None:
    """The events that led there."""
    before: deque[TraceEvent] = deque(maxlen=_BEFORE)
    with open_trace(path) as reader:
        for event in reader:
            if event.number >= last:
                break
            before.append(event)
    print("before that:")
    for event in before:
        print(f"  {event.number:>8} {lines.line(event)}")
