"""What is measured: the path of reference/tcp.md section 4, what theory and Linux say of it, and the bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

LINK_MBPS = 100.0
RTT_S = 0.05
MSS = 1448
WIRE_BYTES = MSS + 32 + 20 + 14 + 24  # TCP with timestamps, IP, Ethernet; preamble, FCS, gap
CEILING_MBPS = LINK_MBPS * MSS / WIRE_BYTES
MATHIS = 1.22
CONGESTION = {"newreno": 0, "cubic": 1}  # enum tcp_congestion


@dataclass(frozen=True)
class Scene:
    """One row of the table: shares are parts per million of the packets with data."""

    name: str
    congestion: str
    loss_ppm: int = 0
    reorder_ppm: int = 0
    flows: int = 1
    seconds: int = 60
    linux_mbps: float | None = None  # Linux 6.18 on this path, one seed

    @property
    def title(self) -> str:
        """The row's name, unique."""
        return f"{self.congestion} {self.name}"

    @property
    def theory_mbps(self) -> float:
        """Mathis where there is random loss, else what the link carries of payload."""
        if not self.loss_ppm:
            return CEILING_MBPS
        return self.flows * MSS * 8 / RTT_S * MATHIS / sqrt(self.loss_ppm / 1e6) / 1e6

    @property
    def arguments(self) -> list[str]:
        """The options of the program."""
        values = {
            "congestion": CONGESTION[self.congestion],
            "loss-ppm": self.loss_ppm,
            "reorder-ppm": self.reorder_ppm,
            "flows": self.flows,
            "seconds": self.seconds,
        }
        return [word for name, value in values.items() for word in (f"--{name}", str(value))]


def scenes() -> Iterator[Scene]:
    """All rows, in the order of the table."""
    linux = {"newreno": (94.2, 10.4, 2.69, 1.04, 94.2, 64.6), "cubic": (94.3, 10.5, 2.50, 0.90, 85.0, 57.8)}
    for congestion in CONGESTION:
        none, tenth, one, five, late_one, late_five = linux[congestion]
        yield Scene("no loss", congestion, seconds=20, linux_mbps=none)
        yield Scene("loss 0.1 %", congestion, loss_ppm=1_000, linux_mbps=tenth)
        yield Scene("loss 1 %", congestion, loss_ppm=10_000, linux_mbps=one)
        yield Scene("loss 5 %", congestion, loss_ppm=50_000, linux_mbps=five)
        yield Scene("reorder 1 %", congestion, reorder_ppm=10_000, seconds=20, linux_mbps=late_one)
        yield Scene("reorder 5 %", congestion, reorder_ppm=50_000, seconds=20, linux_mbps=late_five)
        yield Scene("two flows", congestion, flows=2)
        yield Scene("two, 0.1 %", congestion, flows=2, loss_ppm=1_000)
