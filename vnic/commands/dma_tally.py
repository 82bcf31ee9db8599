"""What `vnic dma` shall do, and what it did: counts, and what each way of copying took."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field

#: The ways of copying; the same bytes each time.
THROUGH_NETDMA = "engine, through NetDMA (Python and all)"
ENGINE_ALONE = "engine alone (vnic_copy_run)"
MEMCPY = "memcpy (less what the calls from Python take)"


@dataclass(frozen=True)
class Plan:
    """What to copy with. size: bytes of one copy; faults: DMA transfers and interrupts that go wrong."""

    channels: int
    size: int
    is_hot: bool
    has_iommu: bool
    interrupt: str
    version: tuple[int, int]
    faults: int
    seed: int


@dataclass(frozen=True)
class Speed:
    """All bytes at the pace of the batch in the middle."""

    bytes: int
    copies: int
    seconds: float

    @property
    def ns_per_copy(self) -> float:
        """Nanoseconds for each copy."""
        return self.seconds * 1e9 / self.copies


@dataclass
class Tally:
    """What was done. batches: of each way of copying, bytes, copies and processor seconds of each batch."""

    bytes: int = 0
    copies: int = 0
    by_processor: int = 0
    completions: int = 0
    failures: int = 0
    descriptors: int = 0
    interrupts: int = 0
    lost_interrupts: int = 0
    faults_armed: int = 0
    faults_fired: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    wrong: str = ""
    batches: dict[str, list[tuple[int, int, float]]] = field(default_factory=dict)

    def note(self, way: str, total: int, copies: int, seconds: float) -> None:
        """One batch, copied in one way."""
        if total:
            self.batches.setdefault(way, []).append((total, copies, max(seconds, 1e-9)))

    def speeds(self) -> dict[str, Speed]:
        """What each way takes."""
        return {way: _typical(batches) for way, batches in self.batches.items()}


def _typical(batches: list[tuple[int, int, float]]) -> Speed:
    per_byte = statistics.median(seconds / total for total, _, seconds in batches)
    total = sum(batch[0] for batch in batches)
    return Speed(total, sum(batch[1] for batch in batches), per_byte * total)
