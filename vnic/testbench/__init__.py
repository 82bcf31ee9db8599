"""The testbench: everything wired together, for tests, the command line and a user's own driver."""

from vnic.testbench.bench import Bench
from vnic.testbench.host import Host
from vnic.testbench.network import Network, Station
from vnic.testbench.wired import WiredBenches
from vnic.testbench.world import World

__all__ = ["Bench", "Host", "Network", "Station", "WiredBenches", "World"]
