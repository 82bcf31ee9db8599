"""The DMA race checker: what host and devices do to the same memory at the same time, caught and named."""

from vnic.testbench.races.checker import RaceChecker, is_asked_for
from vnic.testbench.races.race import DmaRaceError, Moment, Party, Race, RaceKind
from vnic.testbench.races.view import WatchedView

__all__ = [
    "DmaRaceError",
    "Moment",
    "Party",
    "Race",
    "RaceChecker",
    "RaceKind",
    "WatchedView",
    "is_asked_for",
]
