"""All seeded faults, in the order of the invariants."""

from __future__ import annotations

from tests.mutants import closing, ending, receiving, scaling, sending, tree
from tests.mutants.fault import Fault

#: Invariants of the chimney and of RSS; 58 and later are of NetDMA.
INVARIANTS = tuple(f"INV-{number}" for number in range(1, 58))

FAULTS: tuple[Fault, ...] = (
    *tree.FAULTS,
    *sending.FAULTS,
    *receiving.FAULTS,
    *closing.FAULTS,
    *ending.FAULTS,
    *scaling.FAULTS,
)
