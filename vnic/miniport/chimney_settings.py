"""What the chimney can do, what is switched on, and its parameters in the card's registers."""

from __future__ import annotations

from vnic.gen.registers import BAR0
from vnic.miniport.registers import Registers
from vnic.ndis.keywords import Settings
from vnic.ndis.offload import (
    Encapsulation,
    OffloadParameters,
    Switch,
    TcpConnectionOffload,
    TcpConnectionOffloadParameters,
)

#: Free blocks below which the card asks for a pause; the double of it ends one.
_BLOCKS_LOW = 64
_PARAMETERS = (
    (BAR0.CHM_TICKS_PER_SECOND, "ticks_per_second"),
    (BAR0.CHM_ACK_FREQUENCY, "ack_frequency"),
    (BAR0.CHM_DELAYED_ACK_TICKS, "delayed_ack_ticks"),
    (BAR0.CHM_MAX_RETRANSMISSIONS, "maximum_retransmissions"),
    (BAR0.CHM_DOUBT_RETRANSMISSIONS, "doubt_reachability_retransmissions"),
    (BAR0.CHM_SWS_TICKS, "sws_prevention_ticks"),
    (BAR0.CHM_DUPLICATE_ACK_THRESHOLD, "duplicate_ack_threshold"),
    (BAR0.CHM_PUSH_TICKS, "push_ticks"),
    (BAR0.CHM_NCE_STALE_TICKS, "nce_stale_ticks"),
)
_REASONS = (
    (BAR0.CHM_OUT_OF_ORDER_RATE, "ChimneyOutOfOrderRate"),
    (BAR0.CHM_DROP_RATE, "ChimneyDropRate"),
    (BAR0.CHM_SMALL_IO, "ChimneySmallIo"),
    (BAR0.CHM_UNPOSTED_BYTES, "ChimneyUnpostedBytes"),
    (BAR0.CHM_IDLE_TICKS, "ChimneyIdleTicks"),
    (BAR0.CHM_FRAGMENTS, "ChimneyFragments"),
)


class ChimneySettings:
    """Capabilities of one card, the switches of each IP version, and connection parameters."""

    def __init__(self, registers: Registers, settings: Settings) -> None:
        self._capacity = registers.read(BAR0.CHM_MAX_CONNECTIONS)
        self._able = (
            bool(settings["*TCPConnectionOffloadIPv4"]),
            bool(settings["*TCPConnectionOffloadIPv6"]),
        )
        self._on = self._able
        self._reasons = {register: settings[keyword] for register, keyword in _REASONS}
        self.parameters = TcpConnectionOffloadParameters(
            **{name: registers.read(register) for register, name in _PARAMETERS}
        )

    @property
    def is_offered(self) -> bool:
        """Whether the keywords let anything be offloaded."""
        return self._capacity > 0 and any(self._able)

    def is_on(self, is_ipv6: bool) -> bool:
        """Whether connections of an IP version may be offloaded."""
        return self._on[is_ipv6]

    @property
    def hardware(self) -> TcpConnectionOffload:
        """NDIS_TCP_CONNECTION_OFFLOAD of the hardware, as far as the keywords allow."""
        return self._describe(self._able)

    @property
    def current(self) -> TcpConnectionOffload:
        """NDIS_TCP_CONNECTION_OFFLOAD of what is switched on."""
        return self._describe(self._on)

    def _describe(self, families: tuple[bool, bool]) -> TcpConnectionOffload:
        if not any(families):
            return TcpConnectionOffload(Encapsulation.IEEE_802_3)
        return TcpConnectionOffload(Encapsulation.IEEE_802_3, *families, sack=True, capacity=self._capacity)

    def wants_too_much(self, wanted: OffloadParameters) -> bool:
        """Whether a version is to be switched on that is not there."""
        asked = (wanted.tcp_connection_ipv4, wanted.tcp_connection_ipv6)
        return any(ask == Switch.ENABLED and not able for ask, able in zip(asked, self._able, strict=True))

    def take_switches(self, wanted: OffloadParameters) -> None:
        """TcpConnectionIPv4 and IPv6 of OID_TCP_OFFLOAD_PARAMETERS."""
        four, six = (
            on if ask == Switch.NO_CHANGE else ask == Switch.ENABLED
            for ask, on in zip(
                (wanted.tcp_connection_ipv4, wanted.tcp_connection_ipv6), self._on, strict=True
            )
        )
        self._on = (four, six)

    def write(self, registers: Registers) -> None:
        """Parameters and water marks, which the card latches when its chimney is switched on."""
        blocks = registers.read(BAR0.CHM_MAX_BLOCKS)
        registers.write(BAR0.CHM_BLOCKS_LOW, min(blocks // 8, _BLOCKS_LOW))
        registers.write(BAR0.CHM_BLOCKS_HIGH, min(blocks // 4, 2 * _BLOCKS_LOW))
        for register, name in _PARAMETERS:
            registers.write(register, getattr(self.parameters, name))
        for register, value in self._reasons.items():
            registers.write(register, value)
