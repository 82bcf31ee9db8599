"""What the host is spared: the same work with nothing, with each part of the Pack, and all of it; per MiB."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vnic.commands.table import Cell
from vnic.protocol.chimney_policy import AutomaticPolicy, Policy
from vnic.protocol.switches import PLAIN, Switches
from vnic.testbench.traffic import Costs, TrafficPlan

VARIANTS: Final = {
    "nothing": PLAIN,
    "RSS": replace(PLAIN, EnableRSS=True),
    "NetDMA": replace(PLAIN, EnableTCPA=True),
    "chimney": replace(PLAIN, EnableTCPChimney=True),
    "chimney + RSS": Switches(EnableTCPA=False),
    "all three": Switches(),
}
COLUMNS: Final = (
    "Copied: payload that the host's processor moved from place to place, each time. Applications post\n"
    "their buffers in every column. C stack: time in the host's stack, without idle polls and the crossing\n"
    "from Python; of all rounds the least. With NetDMA part of the crossing into its hook, which is Python\n"
    "too, is left in it. Simulation: processor time of all the rest (card, peer, interpreter), the median:\n"
    "it says nothing of a host."
)
_MIB: Final = 1 << 20


def policy_of(plan: TrafficPlan) -> Policy:
    """The policy that decides by itself; for `web` one that offloads at once, small requests or not."""
    if plan.workload != "web":
        return AutomaticPolicy()
    return AutomaticPolicy(min_age_ns=0, min_bytes=0, min_request_bytes=0)


def typical_costs(rounds: Sequence[Costs]) -> Costs:
    """Of the same work done several times: counts are equal, and others only add to a time in C."""
    return replace(
        rounds[0],
        stack_ns=min(each.stack_ns for each in rounds),
        total_ns=round(statistics.median(each.total_ns for each in rounds)),
    )


def per_mib(results: dict[str, Costs]) -> dict[str, list[float]]:
    """What is counted, of each variant in their order, divided by the MiB it moved."""
    counted: dict[str, list[float]] = {
        "register accesses": [each.register_accesses for each in results.values()],
        "interrupts": [each.interrupts for each in results.values()],
        "DPCs": [each.dpcs for each in results.values()],
        "NBLs indicated": [each.indicated for each in results.values()],
        "segments in the host's TCP": [each.segments for each in results.values()],
        "KiB copied": [each.touched / 1024 for each in results.values()],
        "KiB moved by NetDMA": [each.moved_by_netdma / 1024 for each in results.values()],
        "copies by NetDMA": [each.netdma_copies for each in results.values()],
        "interrupts of the engine": [each.engine_interrupts for each in results.values()],
        "C stack, us": [each.stack_ns / 1000 for each in results.values()],
        "simulation, ms": [(each.total_ns - each.stack_ns) / 1e6 for each in results.values()],
    }
    moved = [max(each.moved, 1) / _MIB for each in results.values()]
    return {
        name: [value / mib for value, mib in zip(values, moved, strict=True)]
        for name, values in counted.items()
    }


def compare_rows(results: dict[str, Costs]) -> list[Sequence[Cell]]:
    """A row for each thing that is counted, and one for how much went through the chimney."""
    rows: list[Sequence[Cell]] = [(name, *map(_figure, each)) for name, each in per_mib(results).items()]
    shares = [each.offloaded_bytes / each.moved if each.moved else 0.0 for each in results.values()]
    return [*rows, ("moved through the chimney", *(f"{share:.0%}" for share in shares))]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
