"""A compact trace filled in again: its inputs go into fresh devices, whose outputs are recorded in full."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, BinaryIO, Final

from vnic.trace._native import Sink, ffi, lib
from vnic.trace.file import create_stream, head_of, ports_of
from vnic.trace.header import TraceError, TraceHeader
from vnic.trace.replay import Outcome, Replay

_CAPACITY: Final = 1 << 20
_NO_PORT: Final = 0xFFFF_FFFF


class Expansion:
    """A file that takes what the devices of a replay do, as their recorder would write it."""

    def __init__(self, target: str | os.PathLike[str] | BinaryIO, header: TraceHeader) -> None:
        self._owns = isinstance(target, (str, os.PathLike))
        self._sink = Sink(create_stream(target) if isinstance(target, (str, os.PathLike)) else target)
        self._trace: Any = self._sink.open(_CAPACITY, compact=False)
        self._put_head(header)

    def _put_head(self, header: TraceHeader) -> None:
        octets = head_of(header)
        lib.vnic_trace_head(self._trace, ffi.from_buffer("uint8_t[]", octets), len(octets))
        ports = ports_of(header)
        for each in header.functions:
            port = ports.get(each.function, _NO_PORT)
            lib.vnic_trace_interfaces(self._trace, each.function, port, len(ports))

    def follow(self, replay: Replay) -> Outcome:
        """Replay to the end; how it ended. TraceError, OSError when the file cannot be written."""
        replay.follow(lib.vnic_trace_event, self._trace)
        try:
            return replay.run()
        finally:
            replay.follow(ffi.NULL, ffi.NULL)

    def close(self) -> int:
        """Write what is held; how many events there are. OSError, TraceError when it cannot be written."""
        events, trace = lib.vnic_trace_events(self._trace), self._trace
        try:
            if lib.vnic_trace_flush(trace) < 0:
                self._sink.raise_failure()
                raise TraceError(f"the file takes no more: {events} events were written")
        finally:
            lib.vnic_trace_destroy(trace)
            self._sink.close(owned=self._owns)
        return events


def expand(
    source: str | os.PathLike[str] | BinaryIO, target: str | os.PathLike[str] | BinaryIO
) -> tuple[int, Outcome]:
    """Write the full trace of a compact one: the bytes that a full recording of the same run has.

    How many events there are, and Outcome.END, or Outcome.CUT of a file that ends early. Events of unknown
    types are left out. TraceError where a device here does other things than the trace says: the file then
    has what was the same.
    """
    with Replay(source) as replay:
        try:
            expansion = Expansion(target, replace(replay.header, mode="full"))
            try:
                outcome = expansion.follow(replay)
            finally:
                events = expansion.close()
        finally:
            for device in replay.devices.values():
                device.close()
        if outcome not in (Outcome.END, Outcome.CUT):
            raise TraceError(
                f"the device here does something else at event {replay.events}: replay says what"
            )
    return events, outcome
