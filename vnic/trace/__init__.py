"""Traces: one file for everything that happened to devices, vnic-trace/1 (spec/trace.md).

with vnic.trace.Recorder("run.pcapng", device): ...     # record
vnic.trace.Replay("run.pcapng").run()                   # replay, strictly
vnic.trace.at("run.pcapng", 1000)                       # the device as it was after 1,000 events
"""

from __future__ import annotations

from vnic.trace.event import TraceEvent
from vnic.trace.file import TraceReader, TraceWriter
from vnic.trace.header import TraceError
from vnic.trace.recorder import Recorder
from vnic.trace.replay import Outcome, Replay, at

__all__ = ["Outcome", "Recorder", "Replay", "TraceError", "TraceEvent", "TraceReader", "TraceWriter", "at"]
