"""What goes wrong by the caller's hand: the exceptions of the package."""

from __future__ import annotations


class VnicError(Exception):
    """Root of every exception of this package that is not a breach of a driver rule."""


class ArgumentError(VnicError, ValueError):
    """An argument is out of range."""


class AllocationError(VnicError, MemoryError):
    """No memory on the machine that runs this, or in a guest's arena."""


class OverlapError(VnicError, ValueError):
    """The bus address range is mapped already."""


class CapacityError(VnicError):
    """A capacity given at creation is used up."""


class UnknownError(VnicError, LookupError):
    """No such mapping, fault, vector, capability or allocation."""


class TimeError(VnicError, ValueError):
    """Virtual time would go backwards."""


class SnapshotError(VnicError, ValueError):
    """Not a snapshot, or cut short, or a field out of range."""


class SnapshotVersionError(SnapshotError):
    """A snapshot that another version wrote."""


class SnapshotConfigError(SnapshotError):
    """A snapshot of a card of another configuration."""


class ClosedError(VnicError):
    """The device, or the memory, was closed."""


class InsideError(VnicError):
    """An observer or answer used the device that was calling it."""


class UnrestError(VnicError):
    """Work, or answers to it, that does not come to an end."""


class BuildError(VnicError, ImportError):
    """The compiled module does not belong to these sources."""


class LeakError(VnicError):
    """Something was not given back."""


class InterruptError(VnicError):
    """An interrupt that nobody claims, or a message that leads nowhere."""
