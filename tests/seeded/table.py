"""All seeded faults."""

from __future__ import annotations

from tests.seeded import (
    adapter,
    borders,
    card,
    card_details,
    card_slots,
    chimney,
    connection,
    datapath,
    engine,
    example_c,
    example_python,
    examples_engine,
    features,
    function,
    function_details,
    function_limits,
    miniport,
    miniport_engine,
    miniport_rules,
    miniport_strangers,
    offloads,
    pci,
    provider,
)
from tests.seeded.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *miniport.FAULTS,
    *adapter.FAULTS,
    *features.FAULTS,
    *offloads.FAULTS,
    *chimney.FAULTS,
    *provider.FAULTS,
    *example_c.FAULTS,
    *example_python.FAULTS,
    *card.FAULTS,
    *function.FAULTS,
    *datapath.FAULTS,
    *pci.FAULTS,
    *connection.FAULTS,
    *engine.FAULTS,
    *borders.FAULTS,
    *card_details.FAULTS,
    *function_details.FAULTS,
    *examples_engine.FAULTS,
    *miniport_engine.FAULTS,
    *miniport_strangers.FAULTS,
    *miniport_rules.FAULTS,
    *card_slots.FAULTS,
    *function_limits.FAULTS,
)

#: For every run of CI: one of each room, quick to build.
SAMPLE = ("MP-2", "MF-3", "ND-3", "EC-5", "CC-2", "CF-2")
