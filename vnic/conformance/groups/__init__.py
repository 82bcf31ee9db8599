"""The cases, a module for each group; importing them all declares them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping

from vnic.conformance.case import CASES, Case
from vnic.errors import ArgumentError

#: In the order of the report.
GROUPS = (
    "bring_up",
    "bring_up_failures",
    "oid_wishes",
    "oids",
    "offload_switches",
    "oid_values",
    "statistics",
    "link",
    "send",
    "send_pressure",
    "send_shapes",
    "cancel",
    "receive",
    "receive_buffers",
    "filters",
    "rss",
    "rss_sets",
    "rss_processors",
    "receive_hash",
    "power",
    "removal",
    "removal_notice",
    "chimney",
    "chimney_parts",
    "chimney_end",
    "chimney_requests",
    "chimney_send",
    "chimney_receive",
    "chimney_close",
    "chimney_wire",
    "chimney_peer",
    "chimney_life",
    "chimney_limits",
    "chimney_closing",
    "chimney_counts",
    "chimney_accounts",
    "chimney_moods",
    "chimney_variety",
    "chimney_crossings",
    "ownership",
    "pause_restart",
    "persistence",
    "reset",
    "halt",
    "interrupts",
    "errors",
    "contradictions",
    "settings",
    "task_offload",
    "vlan",
    "checksum",
    "checksum_headers",
    "lso",
    "netdma",
    "netdma_chains",
    "netdma_ends",
    "netdma_machine",
    "netdma_details",
    "card",
    "card_interrupts",
    "card_frames",
    "card_receive",
    "card_rss",
    "card_transmit",
    "card_offload",
    "card_rings",
    "card_doorbells",
    "card_config",
    "card_errors",
    "card_vectors",
    "card_states",
    "card_limits",
    "card_bus",
    "card_stops",
    "card_turns",
    "card_trains",
    "card_ring_rules",
    "card_send_rules",
    "card_receive_rules",
    "card_rss_rules",
    "card_interrupt_rules",
    "card_reset_rules",
    "card_pci_rules",
    "card_memory_rules",
    "card_fault_rules",
    "card_snapshots",
    "card_schedule",
    "card_promises",
    "card_chimney",
    "card_chimney_data",
    "card_chimney_rings",
    "card_chimney_peers",
    "card_chimney_accounts",
    "card_chimney_stops",
    "card_chimney_switch",
    "card_chimney_commands",
    "card_chimney_images",
    "card_chimney_updates",
    "card_chimney_entries",
    "card_chimney_sending",
    "card_chimney_receiving",
    "card_chimney_reasons",
    "card_chimney_tcp",
    "card_chimney_tcp_out",
    "card_chimney_congestion",
    "card_chimney_details",
    "card_chimney_snapshots",
    "memory_order",
    "races",
    "races_settings",
    "any_step",
    "engine",
    "engine_channels",
    "engine_interrupts",
    "engine_errors",
    "engine_overlap",
    "engine_state",
    "engine_details",
)


def load() -> Mapping[str, Case]:
    """Every case there is, by name."""
    for group in GROUPS:
        importlib.import_module(f"{__name__}.{group}")
    return CASES


def select(only: Iterable[str] = ()) -> list[Case]:
    """The cases of the names given, a group's or a case's, in the order of the suite; all without a name.

    ArgumentError names what there is instead of an unknown one.
    """
    cases = load()
    wanted = list(only)
    for name in wanted:
        if name not in cases and name not in GROUPS:
            raise ArgumentError(f"{name}: no case or group; {_nearest(name, cases)}")
    chosen = [case for case in cases.values() if not wanted or case.name in wanted or case.group in wanted]
    return sorted(chosen, key=lambda case: GROUPS.index(case.group))


def _nearest(name: str, cases: Mapping[str, Case]) -> str:
    group = name.partition(".")[0]
    if group in GROUPS:
        return f"{group} has " + ", ".join(
            c.name.partition(".")[2] for c in cases.values() if c.group == group
        )
    return "the groups are " + ", ".join(GROUPS)
