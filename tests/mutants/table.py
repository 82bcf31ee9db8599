"""All seeded faults, in the order of the invariants."""

from __future__ import annotations

from tests.mutants import closing, copying, ending, providing, receiving, scaling, sending, tree
from tests.mutants.fault import Fault

#: Of the chimney, of RSS and of NetDMA.
INVARIANTS = tuple(f"INV-{number}" for number in range(1, 68))

FAULTS: tuple[Fault, ...] = (
    *tree.FAULTS,
    *sending.FAULTS,
    *receiving.FAULTS,
    *closing.FAULTS,
    *ending.FAULTS,
    *scaling.FAULTS,
    *copying.FAULTS,
    *providing.FAULTS,
)
