"""The testbench: everything wired together, for tests, the command line and a user's own driver."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vnic.testbench.bench import Bench
    from vnic.testbench.host import Host
    from vnic.testbench.machine import Machine
    from vnic.testbench.network import Network, Station
    from vnic.testbench.peer import Peer
    from vnic.testbench.wired import WiredBenches
    from vnic.testbench.world import World

__all__ = ["Bench", "Host", "Machine", "Network", "Peer", "Station", "WiredBenches", "World"]

_HOMES = {
    "Bench": "bench",
    "Host": "host",
    "Machine": "machine",
    "Network": "network",
    "Peer": "peer",
    "Station": "network",
    "WiredBenches": "wired",
    "World": "world",
}


def __getattr__(name: str) -> Any:
    """Imported when asked for: the pytest plugin lives in this package, and costs nothing without use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
