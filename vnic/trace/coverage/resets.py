"""Reset levels, as the accesses and events of a trace show them."""

from __future__ import annotations

from enum import Enum
from typing import Final

from vnic.abi import EventType, ResetLevel
from vnic.gen.model import Register
from vnic.gen.registers import BAR0, CONFIG, COPY_BAR0
from vnic.trace.event import TraceEvent
from vnic.trace.names import Place

_D3HOT: Final = 3


class Level(Enum):
    """The columns of the table in spec/reset.md."""

    QUEUE = "queue"
    DEVICE = "device"
    D3 = "D3hot to D0"
    FLR = "FLR"
    HOT = "hot"
    POWER = "power"


_PULSES: Final[dict[int, tuple[str, Level]]] = {
    id(register): (name, level)
    for register, name, level in (
        (BAR0.GLB_CTRL, "RESET", Level.DEVICE),
        (BAR0.QP_RX_CTRL, "RESET", Level.QUEUE),
        (BAR0.QP_TX_CTRL, "RESET", Level.QUEUE),
        (BAR0.QP_CQ_CTRL, "RESET", Level.QUEUE),
        (BAR0.CHM_ADMIN_CTRL, "RESET", Level.QUEUE),
        (BAR0.CHQ_SQ_CTRL, "RESET", Level.QUEUE),
        (BAR0.CHQ_POOL_CTRL, "RESET", Level.QUEUE),
        (COPY_BAR0.CHANCMD, "RESET", Level.QUEUE),
        (CONFIG.DEVCTL, "FLR", Level.FLR),
    )
}
#: Rings that a queue reset of this register takes, by how their registers begin; its own element only.
_REACH: Final[dict[int, tuple[str, ...]]] = {
    id(BAR0.QP_RX_CTRL): ("QP_RX_",),
    id(BAR0.QP_TX_CTRL): ("QP_TX_",),
    id(BAR0.QP_CQ_CTRL): ("QP_RX_", "QP_TX_", "QP_CQ_"),
    id(BAR0.CHM_ADMIN_CTRL): ("CHM_ADMIN_",),
    id(BAR0.CHQ_SQ_CTRL): ("CHQ_SQ_",),
    id(BAR0.CHQ_POOL_CTRL): ("CHQ_POOL_",),
    id(COPY_BAR0.CHANCMD): ("CHAN", "DMACOUNT", "CDAR"),
}


class Resets:
    """Sees the resets of one function."""

    def __init__(self) -> None:
        self._power_state = 0

    def outside(self, event: TraceEvent) -> Level | None:
        """The level of a RESET or an insertion."""
        if event.type == EventType.RESET:
            self._power_state = 0
            return Level.HOT if event.value == ResetLevel.HOT else Level.POWER
        return Level.POWER if event.type == EventType.REMOVE and not event.value else None

    def written(self, event: TraceEvent, place: Place) -> Level | None:
        """The level that a write asks for."""
        register = place.register
        if register is CONFIG.PM_CTRL and not place.rest:
            before, self._power_state = self._power_state, register.field("STATE").get(event.value)
            return Level.D3 if before == _D3HOT and self._power_state == 0 else None
        name, level = _PULSES.get(id(register), ("", None))
        if level is None or not register.field(name).get(event.value << 8 * place.rest):
            return None
        if level is Level.FLR:
            self._power_state = 0
        return level


def reached_by_queue_reset(control: Register, register: Register) -> bool:
    """Whether the reset bit of `control` resets `register`, of the same element."""
    return register.name.startswith(_REACH.get(id(control), ()))
