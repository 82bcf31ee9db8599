"""What a wire does to the frames of one direction: the settings, and the counts of what was done."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

OVERHEAD_BYTES: Final = 24  # preamble and start delimiter 8, inter-frame gap 12, FCS 4
MIN_FRAME_BYTES: Final = 60  # a MAC pads shorter frames
VLAN_HEADER_BYTES: Final = 18  # Ethernet header with one tag; the FCS is not counted

GIGABIT: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Impairments:
    """The nature of one direction of a wire; the default is perfect: no delay, no limit, no loss.

    `loss`, `reorder`, `duplicate` and `corrupt` are probabilities per frame. Jitter adds 0 to `jitter_ns`
    to the delay and keeps the order; a frame picked by `reorder` is held for `reorder_hold_ns` more and
    lets later ones pass. A corrupted frame has one bit inverted and arrives: the damage happened where no
    FCS covers it. `queue_bytes` bounds what waits for a line of `bandwidth_bps` (0: no limit of speed),
    `flight_bytes` all that the direction holds; what is over is dropped at the tail. `mtu` is the largest
    layer-3 length, 0 any.
    """

    loss: float = 0.0
    delay_ns: int = 0
    jitter_ns: int = 0
    reorder: float = 0.0
    reorder_hold_ns: int = 1_000_000
    duplicate: float = 0.0
    corrupt: float = 0.0
    bandwidth_bps: int = 0
    queue_bytes: int | None = None
    flight_bytes: int = 64 << 20
    mtu: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning; raises ValueError naming the field."""
        for name in ("loss", "reorder", "duplicate", "corrupt"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is no probability: {getattr(self, name)}")
        for name in (
            "delay_ns",
            "jitter_ns",
            "reorder_hold_ns",
            "bandwidth_bps",
            "queue_bytes",
            "flight_bytes",
            "mtu",
        ):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} is negative: {getattr(self, name)}")

    @property
    def is_random(self) -> bool:
        """Whether any frame's fate depends on chance."""
        return bool(self.loss or self.jitter_ns or self.reorder or self.duplicate or self.corrupt)

    @property
    def frame_limit(self) -> int:
        """The longest frame let through, in bytes, with room for one VLAN tag; 0 any."""
        return self.mtu + VLAN_HEADER_BYTES if self.mtu else 0


@dataclass(slots=True)
class LaneStatistics:
    """Counts of one direction; frames but for the two byte counts.

    At any time: sent + duplicated = delivered + lost + queue_dropped + oversize_dropped + link_dropped +
    in flight.
    """

    sent: int = 0
    sent_bytes: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0
    queue_dropped: int = 0
    oversize_dropped: int = 0
    link_dropped: int = 0

    def as_dict(self) -> dict[str, int]:
        """All counts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def line_bits(frame_bytes: int) -> int:
    """Bit times that a frame takes on the line, padding and overhead included."""
    return (max(frame_bytes, MIN_FRAME_BYTES) + OVERHEAD_BYTES) * 8
