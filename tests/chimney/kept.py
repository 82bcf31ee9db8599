"""Kept runs: what a card does while a host and its peer talk over a bad line, as a digest of outputs.

`python -m tests.chimney.kept` writes them anew, after a change that is meant.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from vnic.abi import EventType
from vnic.device import Device
from vnic.protocol.chimney_options import ChimneyOptions, manual
from vnic.protocol.chimney_policy import AutomaticPolicy
from vnic.testbench.recording import Recordings
from vnic.testbench.traffic import Traffic, TrafficPlan
from vnic.trace.file import TraceReader

FILE = Path(__file__).resolve().parent / "kept.txt"

DONE = (EventType.FRAME_IN, EventType.FRAME_OUT, EventType.INTERRUPT, EventType.DMA_WRITE)
#: Workload, connections, bytes, loss, delay in ns, queues; whether connections are offloaded at once.
PLANS: dict[str, tuple[str, int, int, float, int, int, bool]] = {
    "web, 3 % lost": ("web", 3, 60_000, 0.03, 1_000_000, 4, True),
    "backup, 2 % lost": ("backup", 2, 400_000, 0.02, 500_000, 2, True),
    "stream, 2 % lost": ("stream", 2, 400_000, 0.02, 500_000, 1, True),
    "storage": ("storage", 3, 400_000, 0.0, 100_000, 2, True),
    "on the host, 3 % lost": ("storage", 2, 300_000, 0.03, 500_000, 2, False),
}


def recorded(name: str) -> bytes:
    """The trace of the host's card."""
    workload, connections, total, loss, delay_ns, queues, is_offloaded = PLANS[name]
    plan = TrafficPlan(
        workload=workload, connections=connections, total_bytes=total, loss=loss, delay_ns=delay_ns,
        queues=queues, cpus=queues, seed=len(name),
    )  # fmt: skip
    at_once = ChimneyOptions(policy=AutomaticPolicy(min_age_ns=0, min_bytes=0, min_request_bytes=0))
    recordings = Recordings()
    recordings.start()
    try:
        with Traffic(plan, at_once if is_offloaded else manual()) as traffic:
            assert traffic.run().moved > 0
    finally:
        recordings.stop()
    taken = recordings.take_over()
    octets = [each.octets() for each in taken if each.kind is Device]
    for each in taken:
        each.close()
    return octets[0]


def told(octets: bytes) -> str:
    """One line: how many outputs of the card, how many frames, and what all comes to.

    What the driver asks of registers is the driver's: it may change while the card does the same.
    """
    total, events, frames = hashlib.sha256(), 0, 0
    with TraceReader(io.BytesIO(octets)) as reader:
        for event in reader:
            if event.type not in DONE:
                continue
            events += 1
            frames += event.type in (EventType.FRAME_IN, EventType.FRAME_OUT)
            total.update(f"{event.type} {event.index} {event.addr} {event.value} {event.time_ns}".encode())
            total.update(bytes(event.data or b""))
    return f"{events} outputs, {frames} frames, {total.hexdigest()[:16]}"


def main() -> None:
    """Write them anew."""
    FILE.write_text("".join(f"{name}: {told(recorded(name))}\n" for name in PLANS), encoding="utf-8")


if __name__ == "__main__":
    main()
