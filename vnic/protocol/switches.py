"""The host's switches, as values of Tcpip\\Parameters in the registry had them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vnic.errors import ArgumentError

_CPUS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """A feature works when both the switch is on and the adapter can. ArgumentError out of bounds.

    Source: KB 951037 and the Scalable Networking Pack; absent values are as here.
    """

    EnableTCPChimney: bool = True
    EnableRSS: bool = True
    #: NetDMA.
    EnableTCPA: bool = True
    #: Processors that take received data, 1 to 64.
    MaxNumRssCpus: int = 4
    #: The first of them.
    RssBaseCpu: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.MaxNumRssCpus <= _CPUS_MAX:
            raise ArgumentError(f"MaxNumRssCpus {self.MaxNumRssCpus}")
        if not 0 <= self.RssBaseCpu < _CPUS_MAX:
            raise ArgumentError(f"RssBaseCpu {self.RssBaseCpu}")

    def rss_cpus(self, present: int, queues: int) -> tuple[int, ...]:
        """The processors that RSS may use, of those present; empty: RSS is to stay off."""
        if not self.EnableRSS or queues < 1:
            return ()
        usable = range(min(self.RssBaseCpu, present - 1), present)
        return tuple(usable[: self.MaxNumRssCpus])


#: Nothing of the Pack.
PLAIN: Final = Switches(EnableTCPChimney=False, EnableRSS=False, EnableTCPA=False)
