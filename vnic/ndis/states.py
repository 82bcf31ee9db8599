"""The operational states of a miniport adapter, and of a protocol's binding to it."""

from __future__ import annotations

from enum import Enum


class AdapterState(Enum):
    """States of "Miniport Adapter States and Operations"."""

    HALTED = "Halted"
    SHUTDOWN = "Shutdown"
    INITIALIZING = "Initializing"
    PAUSED = "Paused"
    RESTARTING = "Restarting"
    RUNNING = "Running"
    PAUSING = "Pausing"

    @property
    def takes_oids(self) -> bool:
        """A driver handles OID requests while Paused, Restarting, Running or Pausing."""
        return self in (self.PAUSED, self.RESTARTING, self.RUNNING, self.PAUSING)

    @property
    def may_indicate_data(self) -> bool:
        """Data moves up while Running, and while Pausing until the pause is complete."""
        return self in (self.RUNNING, self.PAUSING)


class BindingState(Enum):
    """States of "Binding States of a Protocol Driver"."""

    OPENING = "Opening"
    PAUSED = "Paused"
    RUNNING = "Running"
    PAUSING = "Pausing"
    CLOSED = "Closed"
