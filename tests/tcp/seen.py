"""A segment that the engine sent, in the numbers in which tests think."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.tcp.segment import CONTROLS, Segment


@dataclass(frozen=True)
class Seen:
    """A segment that the engine sent; seq relative to our ISS, ack and SACK relative to the peer's."""

    at_ns: int
    control: str
    seq: int
    ack: int
    len: int
    wnd: int
    urgent: int
    ecn: int
    mss: int | None
    wscale: int | None
    sack_permitted: bool
    ts: tuple[int, int] | None
    sack: tuple[tuple[int, int], ...]
    user_timeout: int | None
    payload: bytes = field(repr=False)
    absolute: Segment = field(repr=False)

    def has(self, name: str) -> bool:
        """Whether a control bit is set."""
        return bool(self.absolute.control & CONTROLS[name])

    @property
    def ecr(self) -> int:
        """TSecr; AssertionError without the option."""
        assert self.ts is not None
        return self.ts[1]

    def __str__(self) -> str:
        parts = [self.control or "none", f"seq={self.seq}"]
        parts += [f"ack={self.ack}"] if self.has("ACK") else []
        parts += [f"len={self.len}"] if self.len else []
        parts += [f"wnd={self.wnd}"]
        parts += [f"urgent={self.urgent}"] if self.has("URG") else []
        parts += [f"{name}={value}" for name, value in self._options()]
        return " ".join(parts)

    def _options(self) -> list[tuple[str, Any]]:
        named: list[tuple[str, Any]] = [("ecn", self.ecn or None), ("mss", self.mss)]
        named += [("wscale", self.wscale), ("ts", self.ts)]
        named += [("sack_permitted", self.sack_permitted or None), ("sack", list(self.sack) or None)]
        return [(name, value) for name, value in named if value is not None]
