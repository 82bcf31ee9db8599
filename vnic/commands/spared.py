"""What the host is spared: the same work with nothing, RSS, chimney and both, per MiB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vnic.commands.table import Cell
from vnic.protocol.chimney_policy import AutomaticPolicy, Policy
from vnic.protocol.switches import PLAIN, Switches
from vnic.testbench.traffic import Costs, TrafficPlan

VARIANTS: Final = {
    "nothing": PLAIN,
    "RSS": Switches(EnableTCPChimney=False),
    "chimney": Switches(EnableRSS=False),
    "chimney + RSS": Switches(),
}
COLUMNS: Final = (
    "Copied: payload that the host's processor moved from place to place. C stack: processor time in the\n"
    "host's stack. Simulation: the rest of the process (card, peer, interpreter): it says nothing of a host."
)
_MIB: Final = 1 << 20


def policy_of(plan: TrafficPlan) -> Policy:
    """The policy that decides by itself; for `web` one that offloads at once, small requests or not."""
    if plan.workload != "web":
        return AutomaticPolicy()
    return AutomaticPolicy(min_age_ns=0, min_bytes=0, min_request_bytes=0)


def compare_rows(results: dict[str, Costs]) -> list[Sequence[Cell]]:
    """A row for each thing that is counted."""
    counted = {
        "register accesses": [_per_mib(each, each.register_accesses) for each in results.values()],
        "interrupts": [_per_mib(each, each.interrupts) for each in results.values()],
        "DPCs": [_per_mib(each, each.dpcs) for each in results.values()],
        "NBLs indicated": [_per_mib(each, each.indicated) for each in results.values()],
        "segments in the host's TCP": [_per_mib(each, each.segments) for each in results.values()],
        "KiB copied": [_per_mib(each, each.touched / 1024) for each in results.values()],
        "C stack, us": [_per_mib(each, each.stack_ns / 1000) for each in results.values()],
        "simulation, ms": [
            _per_mib(each, (each.total_ns - each.stack_ns) / 1e6) for each in results.values()
        ],
        "moved through the chimney": [
            f"{each.offloaded_bytes / each.moved:.0%}" if each.moved else "-" for each in results.values()
        ],
    }
    return [(name, *values) for name, values in counted.items()]


def _per_mib(costs: Costs, count: float) -> str:
    value = count * _MIB / costs.moved if costs.moved else 0.0
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
