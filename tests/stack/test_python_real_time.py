"""Stacks on a real clock: the pump drives the same world that virtual time does."""

from __future__ import annotations

import time

import pytest

from vnic.host.pump import Pump
from vnic.link.impairments import Impairments
from vnic.stack.errors import TimedOutError
from vnic.stack.stream import Streams
from vnic.testbench.network import Network
from vnic.testbench.patience import in_real_time


def test_a_transfer_takes_the_time_that_the_wire_takes() -> None:
    with Network() as network, Pump(network) as pump:
        first, second = network.station("10.0.0.1/24"), network.station("10.0.0.2/24")
        network.join(first, second, forth=Impairments(delay_ns=20_000_000))
        wait = in_real_time(pump, 10)
        listener = first.stack.listen(("0.0.0.0", 80))
        started = time.monotonic()
        client = Streams(second.stack, wait).connect(("10.0.0.1", 80))
        server = Streams(first.stack, wait).accept(listener)
        client.write_all(b"hello")
        assert server.read_exactly(5) == b"hello"
        # ARP and its answer, SYN and its answer, the data
        assert time.monotonic() - started >= 0.1


def test_patience_ends_in_real_time() -> None:
    with Network() as network, Pump(network) as pump:
        station = network.station("10.0.0.1/24")
        listener = station.stack.listen(("0.0.0.0", 80))
        with pytest.raises(TimedOutError, match=r"within 0\.02 s"):
            Streams(station.stack, in_real_time(pump, 0.02)).accept(listener)
