"""The scenarios whose traces are kept: one for each subject, short, and always the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.traces.findings import FINDINGS
from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite, ResetLevel
from vnic.copy_engine import CopyEngine
from vnic.device import Device
from vnic.fault import Fault
from vnic.netdma.dma_channel import DmaChannel
from vnic.netdma.types import Transfer
from vnic.protocol.chimney_options import ChimneyOptions
from vnic.protocol.chimney_policy import AutomaticPolicy
from vnic.testbench.bench import Bench
from vnic.testbench.copy_bench import CopyBench
from vnic.testbench.recording import Recordings
from vnic.testbench.traffic import Traffic, TrafficPlan
from vnic.wire.packet import ethernet, ipv4, tcp

CARD = "02:00:00:00:00:01"


def _flow(number: int) -> bytes:
    source, target = f"10.0.0.{2 + number % 3}", "10.0.0.1"
    segment = tcp(source, target, 1000 + number, 80, bytes(20 + 40 * number), seq=number)
    return ethernet(ipv4(source, target, 6, segment), destination=CARD, min_len=60)


FLOWS = [_flow(number) for number in range(12)]


def bring_up(**bench: Any) -> None:
    """Probe, start, stop; MSI-X. Here and below, `bench` is more of the bench's parameters."""
    Bench(queues=4, cpus=4, **bench).close()


def line_interrupt(**bench: Any) -> None:
    """One line for everything, with moderation."""
    with Bench(queues=2, cpus=2, interrupt="line", **bench) as machine:
        for frame in FLOWS[:6]:
            machine.receive(frame)
        machine.advance(1_000_000)


def rss(**bench: Any) -> None:
    """Flows over four queues, then another table."""
    with Bench(queues=4, cpus=4, keywords={"*InterruptModeration": 0}, **bench) as machine:
        machine.set_rss()
        machine.receive(*FLOWS)
        machine.send(*FLOWS[:4])
        machine.settle()


def dma_errors(**bench: Any) -> None:
    """Every transfer for data fails once; descriptors, too."""
    with Bench(queues=2, cpus=2, keywords={"*InterruptModeration": 0}, **bench) as machine:
        for purpose, site in ((DmaPurpose.DATA, FaultSite.DMA_WRITE), (DmaPurpose.DATA, FaultSite.DMA_READ)):
            fault = Fault(
                site=site, action=FaultAction.ERROR, index=purpose, argument=int(DmaStatus.UNSUPPORTED)
            )
            with machine.device.arm(fault):
                machine.receive(FLOWS[0])
                machine.send(FLOWS[1])
                machine.settle()


def resets() -> None:
    """Every level from outside, removal, and registers in between."""
    with Device(manual=True) as device:
        for level in ResetLevel:
            device.config_write(4, 6, 2)
            device.read32(0)
            device.set_link(10_000)
            device.reset(level)
        device.remove()
        device.config_read(0)
        device.insert()
        device.config_read(0)


def chimney() -> None:
    """Two connections, offloaded at once, with small questions and answers."""
    plan = TrafficPlan(
        connections=2, total_bytes=1 << 15, workload="web", delay_ns=2_000_000, queues=2, cpus=2
    )
    at_once = AutomaticPolicy(min_age_ns=0, min_bytes=0, min_request_bytes=0)
    with Traffic(plan, ChimneyOptions(policy=at_once)) as traffic:
        assert traffic.run().initiates > 0


def copies(**bench: Any) -> None:
    """NetDMA: a provider of version 2.0 copies, with page breaks, and meets an error."""
    with CopyBench(channels=2, cpus=2, **bench) as machine:
        client = _Client()
        channel = machine.interface.register_client(client).allocate_channel(0)
        assert channel is not None
        source, target = machine.buffer(bytes(range(256)) * 40), machine.buffer(256 * 40)
        _copy(machine, channel, target.address, source.address, 9000)
        fault = Fault(
            site=FaultSite.DMA_READ,
            action=FaultAction.ERROR,
            index=DmaPurpose.DATA,
            argument=DmaStatus.ABORTED,
        )
        with machine.engine.arm(fault):
            _copy(machine, channel, target.address, source.address, 500)
        channel.free()
        source.free()
        target.free()


class _Client:
    def pnp_event(self, code: object, provider: object) -> None:
        """Nothing to do."""


def _copy(bench: CopyBench, channel: DmaChannel, to: int, source: int, size: int) -> None:
    assert channel.copy([Transfer(to, source, size)], lambda is_done: None)
    bench.settle()


#: Name of the file, scenario, and which of its devices is kept.
SCENARIOS: Final[dict[str, tuple[Callable[..., None], type]]] = {
    "bring-up": (bring_up, Device),
    "line-interrupt": (line_interrupt, Device),
    "rss": (rss, Device),
    "dma-errors": (dma_errors, Device),
    "resets": (resets, Device),
    "chimney": (chimney, Device),
    "copies": (copies, CopyEngine),
    **{name: (case, Device) for name, case in FINDINGS.items()},
}


def record(name: str) -> bytes:
    """Run a scenario; the trace of its first device of the kind; of a finding, the one that tells most."""
    scenario, kind = SCENARIOS[name]
    recordings = Recordings()
    recordings.start()
    try:
        scenario()
    finally:
        recordings.stop()
    taken = recordings.take_over()
    octets = [each.octets() for each in taken if each.kind is kind]
    for each in taken:
        each.close()
    return max(octets, key=len) if name in FINDINGS else octets[0]
