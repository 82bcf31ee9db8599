"""OFFLOAD_PAUSE, UPLOAD_ALL and OFFLOAD_RESUME: what may follow what, and what the host may do then."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.ndis.chimney_layer import Chimney
    from vnic.ndis.verifier import Moment


class OffloadState(Enum):
    """What the target last said of offloading."""

    OPEN = "open"
    PAUSED = "NDIS_STATUS_OFFLOAD_PAUSE"
    UPLOADING = "NDIS_STATUS_UPLOAD_ALL"


class OffloadStatus:
    """The offload state of one adapter; its moment is when all bindings had heard of it."""

    def __init__(self, chimney: Chimney) -> None:
        self._chimney = chimney
        self.state = OffloadState.OPEN
        self._heard: Moment | None = None

    def may_not_initiate(self) -> str:
        """The status that bars the running protocol from new offloads, "" when none does."""
        if self._heard is None or not self._chimney.verifier.must_know(self._heard):
            return ""
        return self.state.value

    def check(self, status: NDIS_STATUS) -> None:
        """Before a status is indicated."""
        if status not in _MOVES:
            return
        require = self._chimney.verifier.require
        miniport = self._chimney.miniport
        if status == NDIS_STATUS.OFFLOAD_RESUME:
            text = "OFFLOAD_RESUME without OFFLOAD_PAUSE or UPLOAD_ALL before it"
            require(self.state is not OffloadState.OPEN, "INV-41", miniport, text)
            left = len(self._chimney.registry.live) if self.state is OffloadState.UPLOADING else 0
            waiting = self._chimney.initiating()
            text = f"OFFLOAD_RESUME after UPLOAD_ALL with {left - waiting} objects offloaded"
            require(left <= waiting, "INV-41", miniport, text)
        is_back = status == NDIS_STATUS.OFFLOAD_PAUSE and self.state is OffloadState.UPLOADING
        require(not is_back, "INV-41", miniport, "OFFLOAD_PAUSE after UPLOAD_ALL")
        self.state = _MOVES[status]
        if self.state is OffloadState.OPEN:
            self._heard = None

    def indicated(self, status: NDIS_STATUS) -> None:
        """Every binding has heard it; one that is bound later knows nothing of it."""
        is_heard = bool(self._chimney.adapter.bindings)
        if status in _MOVES and self.state is not OffloadState.OPEN and is_heard:
            self._heard = self._chimney.verifier.moment()

    def reset(self) -> None:
        """The adapter is initialized anew."""
        self.state, self._heard = OffloadState.OPEN, None


_MOVES = {
    NDIS_STATUS.OFFLOAD_PAUSE: OffloadState.PAUSED,
    NDIS_STATUS.UPLOAD_ALL: OffloadState.UPLOADING,
    NDIS_STATUS.OFFLOAD_RESUME: OffloadState.OPEN,
}
