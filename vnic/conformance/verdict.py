"""The outcome of a case: a verdict, and what a stranger needs to understand it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Verdict(Enum):
    """How a case ended."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    NOT_SUPPORTED = "NOT SUPPORTED"
    HUNG = "HUNG"
    CRASHED = "CRASHED"

    @property
    def is_good(self) -> bool:
        """Whether a driver with this verdict conforms."""
        return self in (Verdict.PASSED, Verdict.NOT_SUPPORTED)


@dataclass(slots=True)
class Result:
    """A case's verdict.

    `happened` is one line, `detail` all that is known; `rule_id` and `rule_page` name a rule of the NDIS
    layer that was broken; `card` is what the card's own counters say; `traces` are files.
    """

    case: str
    verdict: Verdict
    seconds: float = 0.0
    happened: str = ""
    detail: str = ""
    rule_id: str = ""
    rule_page: str = ""
    card: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    seed: int | None = None

    def pack(self) -> dict[str, Any]:
        """As a mapping of plain values."""
        return asdict(self) | {"verdict": self.verdict.value}

    @classmethod
    def unpack(cls, values: dict[str, Any]) -> Result:
        """Out of pack()'s mapping."""
        return cls(**values | {"verdict": Verdict(values["verdict"])})
