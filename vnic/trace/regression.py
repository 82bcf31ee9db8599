"""A trace as a regression test: replayed strictly, and the first difference told by register and field."""

from __future__ import annotations

import os
from collections import deque
from typing import BinaryIO, Final

from vnic.trace.event import TraceEvent
from vnic.trace.file import TraceReader
from vnic.trace.replay import Difference, Outcome, Replay
from vnic.trace.text import Lines

_BEFORE: Final = 8

Source = str | os.PathLike[str] | BinaryIO


def assert_replays(source: Source) -> None:
    """AssertionError with event, register and field where a fresh device does something else; TraceError."""
    with Replay(source) as replay:
        try:
            outcome = replay.run()
        finally:
            for device in replay.devices.values():
                device.close()
        difference, lines, events = replay.difference, Lines(replay.header), replay.events
    if difference is not None:
        raise AssertionError("\n".join([*told(difference, lines), *_before(source, events, lines)]))
    if outcome is not Outcome.END:
        raise AssertionError(f"the trace ends within a block, after {events} events")


def told(difference: Difference, lines: Lines) -> list[str]:
    """A difference in a few lines of text."""
    event = difference.expected or difference.actual
    time_ns = event.time_ns if event else 0
    return [
        f"different at event {difference.number}, {time_ns} ns",
        f"  trace:  {_what(difference.expected, lines)}",
        f"  device: {_what(difference.actual, lines)}",
        *(f"  {text}" for text in lines.field_differences(difference.expected, difference.actual)),
    ]


def _what(event: TraceEvent | None, lines: Lines) -> str:
    return lines.what(event) if event else "nothing"


def _before(source: Source, last: int, lines: Lines) -> list[str]:
    """The events that led there."""
    if not isinstance(source, (str, os.PathLike)):
        source.seek(0)
    kept: deque[TraceEvent] = deque(maxlen=_BEFORE)
    with TraceReader(source) as reader:
        for event in reader:
            if event.number >= last:
                break
            kept.append(event)
    return ["before that:", *(f"  {event.number:>8} {lines.line(event)}" for event in kept)]
