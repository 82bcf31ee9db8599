"""Check-for-hang and reset of an adapter: when NDIS calls MiniportResetEx, and what a reset must leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic.host.clock import Timer
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import StatusIndication

if TYPE_CHECKING:
    from vnic.ndis.adapter import Adapter

_RESET_STATUSES = (
    NDIS_STATUS.SUCCESS,
    NDIS_STATUS.SOFT_ERRORS,
    NDIS_STATUS.HARD_ERRORS,
    NDIS_STATUS.RESET_IN_PROGRESS,
)
#: "does not complete an OID request within two successive calls to MiniportCheckForHangEx"
_STUCK_CHECKS = 2


class Recovery:
    """Hang checks on the virtual clock, and the reset that follows."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._timer: Timer | None = None

    def arm(self) -> None:
        """Start the periodic check."""
        adapter = self._adapter
        if adapter.ndis.checks_for_hang:
            interval_s = adapter.registration.check_for_hang_interval_s if adapter.registration else 2
            self._timer = adapter.verifier.clock.call_after(interval_s * 1_000_000_000, self._on_timer)

    def disarm(self) -> None:
        """Stop it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._adapter.verifier.processors.queue_work(self._run_check)
        self.arm()

    def _run_check(self) -> None:
        self.check_for_hang()

    def check_for_hang(self) -> bool:
        """MiniportCheckForHangEx; resets when it says so, or an OID request is stuck. True after a reset."""
        adapter = self._adapter
        if not adapter.state.takes_oids or adapter.is_resetting:
            return False
        current = adapter.oids.queue.current
        if current is not None:
            current.hang_checks += 1
        with adapter.verifier.entering(adapter.miniport, "MiniportCheckForHangEx") as call:
            is_hung = adapter.miniport.check_for_hang_ex()
            call.result = str(is_hung)
        is_stuck = current is not None and not current.is_done and current.hang_checks > _STUCK_CHECKS
        if is_hung or is_stuck:
            self.reset()
        return is_hung or is_stuck

    def reset(self) -> None:
        """MiniportResetEx; superfluous while one is in progress or where no driver is."""
        adapter = self._adapter
        if adapter.is_resetting or not adapter.state.takes_oids:
            return
        adapter.is_resetting = True
        adapter.oids.queue.is_held = True
        adapter.oids.known.resets += 1
        adapter.indicate_status(StatusIndication(NDIS_STATUS.RESET_START, source_handle=adapter))
        with adapter.verifier.entering(adapter.miniport, "MiniportResetEx") as call:
            result = adapter.miniport.reset_ex()
            call.result = str(result.status)
        if result.status == NDIS_STATUS.PENDING:
            return
        text = "completed by call and by return value"
        adapter.verifier.require(adapter.is_resetting, "RESET-1", adapter.miniport, text)
        self.finish(result.status, result.addressing_reset)

    def finish(self, status: NDIS_STATUS, addressing_reset: bool) -> None:
        """A reset is complete: check what must be, restore what was lost, let OID requests through again."""
        adapter = self._adapter
        require, miniport = adapter.verifier.require, adapter.miniport
        require(status in _RESET_STATUSES, "RESET-3", miniport, f"MiniportResetEx ended with {status!s}")
        if miniport.ndis_version >= (6, 30):
            sends, oid = adapter.sends.outstanding(), adapter.oids.queue.current
            require(sends == 0, "RESET-2", miniport, f"{sends} sends outlive the reset")
            require(oid is None, "RESET-2", miniport, f"{oid.request if oid else ''} outlives the reset")
        adapter.is_resetting = False
        adapter.indicate_status(StatusIndication(NDIS_STATUS.RESET_END, source_handle=adapter))
        adapter.oids.queue.is_held = False
        if addressing_reset:
            adapter.oids.restore_addressing()
        adapter.oids.queue.run()
