"""An NDIS timer object: armed on the virtual clock, its function runs as a DPC."""

from __future__ import annotations

from collections.abc import Callable

from vnic.host.clock import Timer
from vnic.ndis.verifier import Verifier


class NdisTimer:
    """One timer object of a miniport; the function runs at DISPATCH on the processor that armed it."""

    def __init__(self, verifier: Verifier, driver: object, function: Callable[[], None]) -> None:
        self._verifier = verifier
        self._driver = driver
        self._function = function
        self._armed: Timer | None = None
        self._cpu = 0
        self._period_ns = 0

    @property
    def is_outstanding(self) -> bool:
        """Armed, or fired with its DPC still queued."""
        is_armed = self._armed is not None and self._armed.is_armed
        return is_armed or self._verifier.processors.is_pending(id(self))

    def set(self, due_ns: int, period_ns: int = 0) -> None:
        """Arm, replacing an earlier deadline."""
        with self._verifier.called(self._driver, "NdisSetTimerObject", f"{due_ns} ns"):
            self._disarm()
            self._cpu = self._verifier.processors.current
            self._period_ns = period_ns
            self._armed = self._verifier.clock.call_after(max(due_ns, 0), self._fire)

    def cancel(self) -> bool:
        """Disarm; False when it was not armed: the function may have fired already."""
        with self._verifier.called(self._driver, "NdisCancelTimerObject"):
            self._period_ns = 0
            return self._disarm()

    def discard(self) -> None:
        """Forget deadline and queued DPC (the driver is gone)."""
        self._disarm()
        self._verifier.processors.discard(id(self))

    def _disarm(self) -> bool:
        armed, self._armed = self._armed, None
        return armed is not None and armed.cancel()

    def _fire(self) -> None:
        if self._period_ns:
            self._armed = self._verifier.clock.call_after(self._period_ns, self._fire)
        self._verifier.processors.queue_dpc(self._cpu, self._run, None, id(self))

    def _run(self, _: object) -> None:
        with self._verifier.entering(self._driver, "NetTimerCallback"):
            self._function()
