"""Statistics of the adapter: the card's counters, kept over resets, as NDIS_STATISTICS_INFO."""

from __future__ import annotations

from vnic.gen.registers import BAR0
from vnic.miniport.registers import Registers
from vnic.ndis.structures import StatisticsInfo

_COUNTERS = tuple(r for r in BAR0.MAP if r.name.startswith("STAT_") and r.width == 64)
#: Frames that arrived whole but found no buffer or were not wanted as things stood.
_IN_DISCARDS = ("RX_DROP_DISABLED", "RX_DROP_BUFFER", "RX_DROP_QUEUE", "RX_DROP_NO_DESCRIPTOR",
                "RX_DROP_NO_COMPLETION", "RX_DROP_RESET")  # fmt: skip
_IN_ERRORS = ("RX_DROP_RUNT", "RX_DROP_OVERSIZE", "RX_DROP_DMA")
_OUT_ERRORS = ("TX_DROP_DESCRIPTOR", "TX_DROP_LENGTH", "TX_DROP_OFFLOAD", "TX_DROP_DMA")
_OUT_DISCARDS = ("TX_DROP_LINK",)


class Statistics:
    """Counters since initialization; `keep` must be called before the card forgets its own."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers
        self._kept: dict[str, int] = dict.fromkeys((r.name.removeprefix("STAT_") for r in _COUNTERS), 0)

    def _read(self) -> dict[str, int]:
        return {r.name.removeprefix("STAT_"): self._registers.read(r) for r in _COUNTERS}

    def keep(self) -> None:
        """Remember what the card counted; a reset is about to clear it."""
        self._kept = self.counters()

    def counters(self) -> dict[str, int]:
        """Every counter of the card by name; the last known ones when it is gone."""
        if not self._registers.is_answering:
            return dict(self._kept)
        return {name: (self._kept[name] + count) & (1 << 64) - 1 for name, count in self._read().items()}

    def info(self) -> StatisticsInfo:
        """NDIS_STATISTICS_INFO."""
        c = self.counters()
        kinds = ("UNICAST", "MULTICAST", "BROADCAST")
        frames_in, bytes_in, frames_out, bytes_out = (
            [c[f"{way}_{kind}_{what}"] for kind in kinds]
            for way in ("RX", "TX")
            for what in ("FRAMES", "BYTES")
        )
        return StatisticsInfo(
            if_in_discards=_sum(c, _IN_DISCARDS),
            if_in_errors=_sum(c, _IN_ERRORS),
            if_hc_in_octets=sum(bytes_in),
            if_hc_in_ucast_pkts=frames_in[0],
            if_hc_in_multicast_pkts=frames_in[1],
            if_hc_in_broadcast_pkts=frames_in[2],
            if_hc_out_octets=sum(bytes_out),
            if_hc_out_ucast_pkts=frames_out[0],
            if_hc_out_multicast_pkts=frames_out[1],
            if_hc_out_broadcast_pkts=frames_out[2],
            if_out_errors=_sum(c, _OUT_ERRORS),
            if_out_discards=_sum(c, _OUT_DISCARDS),
            if_hc_in_ucast_octets=bytes_in[0],
            if_hc_in_multicast_octets=bytes_in[1],
            if_hc_in_broadcast_octets=bytes_in[2],
            if_hc_out_ucast_octets=bytes_out[0],
            if_hc_out_multicast_octets=bytes_out[1],
            if_hc_out_broadcast_octets=bytes_out[2],
        )


def _sum(counters: dict[str, int], names: tuple[str, ...]) -> int:
    return sum(counters[name] for name in names)
