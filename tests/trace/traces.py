"""Traces for tests: a bench that does a little of everything, recorded."""

from __future__ import annotations

import io
from typing import Any

from vnic.testbench.bench import Bench
from vnic.trace.event import TraceEvent
from vnic.trace.file import TraceReader
from vnic.trace.recorder import Recorder

FRAME = bytes.fromhex("0200000000010200000000020800") + bytes(50)


def work(bench: Bench, frames: int = 40) -> None:
    """Bring-up, frames in, frames out, and rest."""
    bench.start()
    for number in range(frames):
        bench.device.receive(FRAME[:-2] + number.to_bytes(2, "big"))
        if number % 5 == 0:
            bench.send(FRAME)
        bench.world.pump()
    while bench.world.pump():
        pass


def recorded(frames: int = 40, **options: Any) -> bytes:
    """The octets of a trace of one run."""
    stream = io.BytesIO()
    with (
        Bench(queues=2, cpus=2, starts=False) as bench,
        Recorder(stream, bench.device, **options) as recorder,
    ):
        recorder.mark("bring-up")
        work(bench, frames)
        recorder.hash()
    return stream.getvalue()


def events_of(octets: bytes) -> list[TraceEvent]:
    """The events of a trace."""
    return list(TraceReader(io.BytesIO(octets)))
