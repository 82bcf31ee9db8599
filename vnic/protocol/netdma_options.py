"""What a host's NetDMA client is made with, and what it counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from vnic.errors import ArgumentError
from vnic.protocol.switches import Switches

_MS: Final = 1_000_000


class Reason(StrEnum):
    """Why the processor copied what the engine might have."""

    SHORT = "too short for a descriptor"
    ELSEWHERE = "not in memory that the engine reaches"
    NOT_KEPT = "the receive buffer could not be kept"
    OBSTACLE = "switched off, or another component is in the way"
    NO_CHANNEL = "no channel"
    REFUSED = "the channel had no room"
    FAILED = "the engine failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetDmaOptions:
    """Nothing has to be set: received data is then moved by the engine where it pays. ArgumentError."""

    #: Copies below this are the processor's. [NDMA-23]
    minimum_bytes: int = 512
    #: A copy that takes longer is looked for, and given up after the same time again.
    patience_ns: int = 5 * _MS
    #: After a failure the engine is left alone for so long, twice as long each time, up to the second.
    retry_ns: int = 10 * _MS
    retry_max_ns: int = 1000 * _MS
    #: EnableTCPA; those of a host's chimney are the same.
    switches: Switches = field(default_factory=Switches)

    def __post_init__(self) -> None:
        if self.minimum_bytes < 1 or self.patience_ns < 1 or not 1 <= self.retry_ns <= self.retry_max_ns:
            raise ArgumentError(f"{self}")


@dataclass(slots=True)
class NetDmaTally:
    """Counters of one client; `declined` counts copies, the rest bytes where it says so."""

    bytes_by_engine: int = 0
    #: Of those that came to the client: declined, or finished after a failure.
    bytes_by_processor: int = 0
    #: Of these, finished after a failure.
    bytes_finished: int = 0
    copies: int = 0
    #: Calls to a channel, and those that ended as a failure.
    batches: int = 0
    failures: int = 0
    #: Batches whose end was seen by looking, no interrupt having told.
    looked_up: int = 0
    #: NBLs that were kept for the engine, most at once.
    kept: int = 0
    kept_peak: int = 0
    declined: Counter[Reason] = field(default_factory=Counter)
