"""The link as the adapter reports it."""

from __future__ import annotations

from vnic.gen.registers import BAR0, GlbStatus
from vnic.miniport.registers import Registers
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import (
    LINK_SPEED_UNKNOWN,
    AutoNegotiation,
    LinkState,
    MediaConnectState,
    MediaDuplexState,
    PauseFunctions,
    StatusIndication,
)

MAX_SPEED_BPS = 100_000_000_000
_NEGOTIATED = AutoNegotiation.XMIT_LINK_SPEED | AutoNegotiation.RCV_LINK_SPEED | AutoNegotiation.DUPLEX


class LinkMonitor:
    """Reads the link and says when it is another than last time."""

    def __init__(self, registers: Registers) -> None:
        self._registers = registers
        self.state = self.read()

    @property
    def is_up(self) -> bool:
        """The link when it was last read."""
        return self.state.connect is MediaConnectState.CONNECTED

    def read(self) -> LinkState:
        """The link now; a card that does not answer has none."""
        status = self._registers.read(BAR0.GLB_STATUS)
        if not status & GlbStatus.LINK_UP or not self._registers.is_answering:
            return LinkState(
                MediaConnectState.DISCONNECTED,
                MediaDuplexState.UNKNOWN,
                LINK_SPEED_UNKNOWN,
                LINK_SPEED_UNKNOWN,
                PauseFunctions.UNSUPPORTED,
            )
        speed = self._registers.read(BAR0.GLB_SPEED) * 1_000_000
        connected, full = MediaConnectState.CONNECTED, MediaDuplexState.FULL
        return LinkState(connected, full, speed, speed, PauseFunctions.UNSUPPORTED, _NEGOTIATED)

    def news(self, source: object) -> StatusIndication | None:
        """NDIS_STATUS_LINK_STATE when the link changed since the last look."""
        before, self.state = self.state, self.read()
        if before == self.state:
            return None
        return StatusIndication(NDIS_STATUS.LINK_STATE, self.state.pack(), source)
