"""TCP_OFFLOAD_STATS and IP_OFFLOAD_STATS of the chimney: the card's counters, kept over resets."""

from __future__ import annotations

from collections.abc import Callable

from vnic.gen.model import Register
from vnic.gen.registers import BAR0, ChmStatClear
from vnic.miniport.registers import Registers
from vnic.ndis.chimney_stats import IpOffloadStats, TcpOffloadStats

_TCP = ("IN_SEGMENTS", "OUT_SEGMENTS", "ESTABLISHED", "RESET_ESTABLISHED", "RETRANSMITTED_SEGMENTS",
        "IN_ERRORS", "OUT_RESETS")  # fmt: skip
_IP = ("IN_RECEIVES", "IN_OCTETS", "IN_DELIVERS", "OUT_REQUESTS", "OUT_OCTETS", "IN_HEADER_ERRORS",
       "IN_TRUNCATED", "IN_DISCARDS", "OUT_DISCARDS", "OUT_NO_ROUTES")  # fmt: skip
#: What counts objects there are now: nothing of it outlives a reset, and a set does not clear it.
_GAUGE = "ESTABLISHED"
_GROUPS = {
    "TCP4": (_TCP, ChmStatClear.TCP4),
    "TCP6": (_TCP, ChmStatClear.TCP6),
    "IP4": (_IP, ChmStatClear.IP4),
    "IP6": (_IP, ChmStatClear.IP6),
}


def _register(group: str, name: str) -> Register:
    return BAR0.MAP[f"CHM_{group}_{name}"]


class ChimneyStatistics:
    """Four groups: TCP4, TCP6, IP4, IP6. `offloaded`: how many connections of a version of IP there are."""

    def __init__(self, registers: Registers) -> None:
        self.offloaded: Callable[[bool], int] = lambda is_ipv6: 0
        self._registers = registers
        self._kept: dict[str, list[int]] = {group: [0] * len(names) for group, (names, _) in _GROUPS.items()}

    def counters(self, group: str) -> list[int]:
        """The group's members in the order of the structure; the last known ones when the card is gone."""
        names, _ = _GROUPS[group]
        kept = self._kept[group]
        if not self._registers.is_answering:
            return list(kept)
        return [kept[i] + self._read(group, name) for i, name in enumerate(names)]

    def _read(self, group: str, name: str) -> int:
        """A counter; no more are established than are offloaded, whatever the card says. [INV-50]"""
        value = self._registers.read(_register(group, name))
        return min(value, self.offloaded(group == "TCP6")) if name == _GAUGE else value

    def keep(self) -> None:
        """A reset is about to clear the card's counters."""
        for group, (names, _) in _GROUPS.items():
            self._kept[group] = [
                0 if name == _GAUGE else count
                for name, count in zip(names, self.counters(group), strict=True)
            ]

    def clear(self, group: str) -> None:
        """A set of the OID: everything to 0. [INV-50]"""
        self._kept[group] = [0] * len(self._kept[group])
        self._registers.write(BAR0.CHM_STAT_CLEAR, _GROUPS[group][1])

    def pack(self, group: str) -> bytes:
        """TCP_OFFLOAD_STATS or IP_OFFLOAD_STATS."""
        values = self.counters(group)
        stats = TcpOffloadStats(*values) if group.startswith("TCP") else IpOffloadStats(*values)
        return stats.pack()
