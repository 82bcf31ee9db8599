"""All seeded faults."""

from __future__ import annotations

from tests.seeded import card, features, function, miniport, provider
from tests.seeded.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *miniport.FAULTS,
    *features.FAULTS,
    *provider.FAULTS,
    *card.FAULTS,
    *function.FAULTS,
)

#: For every run of CI: one of each room, quick to build.
SAMPLE = ("MP-2", "MP-7", "MF-3", "CC-2", "CC-9", "CF-2")
