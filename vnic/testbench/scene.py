"""What the fixtures of one test stand on: made when a fixture asks for it, checked and closed at the end."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import Any, Final

import pytest

from vnic.config import DeviceConfig
from vnic.device import Device
from vnic.errors import ArgumentError
from vnic.testbench.bench import Bench
from vnic.testbench.driver import REFERENCE, Driver, DriverError, load_driver
from vnic.testbench.host import Host
from vnic.testbench.machine import Machine
from vnic.testbench.marker import Wanted, wanted
from vnic.testbench.peer import HOST_ADDRESSES, Peer
from vnic.testbench.steps import Steps
from vnic.testbench.world import World

#: Parameters of Bench that a Machine has too, and those that a Device has.
_OF_MACHINE: Final = (
    "queues",
    "cpus",
    "seed",
    "manual",
    "link_mbps",
    "device",
    "memory_bytes",
    "scatter",
    "strict_dma",
)
LATE: Final = "what is wired to each other is named in the arguments of the test, not asked for on the way"


def wanted_by(item: pytest.Item | pytest.Function | Any) -> Wanted:
    """What the marks of a test say; the test fails when they say it wrongly."""
    try:
        return wanted((mark.args, mark.kwargs) for mark in item.iter_markers("vnic"))
    except ArgumentError as error:
        pytest.fail(str(error), pytrace=False)


def find_driver(asked: object) -> Driver:
    """A driver by name, class or maker; the test fails when there is none."""
    if isinstance(asked, str) or asked is None:
        try:
            return load_driver(asked or REFERENCE)
        except DriverError as error:
            pytest.fail(f"--vnic-driver {error}", pytrace=False)
    if not callable(asked):
        pytest.fail(f"@pytest.mark.vnic(driver={asked!r}): neither a name nor a class", pytrace=False)
    return Driver(getattr(asked, "__qualname__", repr(asked)), asked)


class Scene:
    """The bench, host, peer, machine and device of one test.

    names: the fixtures that the test asks for, by which it is known beforehand what is to be wired.
    """

    def __init__(self, asked: Wanted, names: frozenset[str], driver: Driver, seed: int | None) -> None:
        self.wanted = asked
        self.driver = driver
        self.seed: int | None = asked.bench.get("seed", seed)
        self._names = names
        self._open = ExitStack()

    # -- what there is ---------------------------------------------------------------------------------------

    @cached_property
    def world(self) -> World:
        """The one time of all of them."""
        return World()

    @cached_property
    def peer(self) -> Peer:
        """The other end of the wire."""
        asked = self.wanted
        if "peer" not in self._names and not asked.has_wire:
            pytest.fail(LATE, pytrace=False)
        peer = Peer(
            self.world,
            forth=asked.impairments("forth"),
            back=asked.impairments("back"),
            seed=self.seed or 0,
        )
        self._open.callback(peer.close)
        return peer

    @cached_property
    def _end(self) -> Any:
        """Where the card's frames go, when not to a list."""
        return self.peer.end if "peer" in self._names or self.wanted.has_wire else None

    def _parameters(self) -> dict[str, Any]:
        """Of Bench, but for link and world."""
        parameters = self.wanted.bench_parameters()
        if self.seed is not None:
            parameters["seed"] = self.seed
        if "capture" in self._names:
            parameters["captures"] = True
        if self.driver.name != REFERENCE:
            parameters["miniport"] = self.driver.make
        return parameters

    def _plug_in(self, device: Device) -> None:
        if self._end is not None:
            self.peer.wire.attach(0, device)

    @cached_property
    def bench(self) -> Bench:
        """The machine with the driver under test; of `host`, where the test has one."""
        if "host" in self._names:
            return self.host.bench
        bench = Bench(link=self._end, world=self.world, **self._parameters())
        self._plug_in(bench.device)
        self._open.push(bench)
        self._arm(bench)
        return bench

    def _arm(self, bench: Bench) -> None:
        plan = self.wanted.own.get("plan")
        if plan is not None:
            self._open.enter_context(bench.plan(plan))

    @cached_property
    def host(self) -> Host:
        """TCP/IP over the driver under test."""
        host = Host(
            *HOST_ADDRESSES,
            link=self._end,
            world=self.world,
            stack={"seed": (self.seed or 0) + 1, "address_probes": 0},
            bench=self._parameters(),
            chimney=self.wanted.chimney,
            netdma=self.wanted.own.get("netdma"),
        )
        self._plug_in(host.bench.device)
        self._open.push(host)
        self._arm(host.bench)
        return host

    @cached_property
    def machine(self) -> Machine:
        """A card without NDIS."""
        given = self._parameters()
        fitting = {name: given[name] for name in _OF_MACHINE if name in given}
        machine = Machine(link=self._end, world=self.world, **fitting)
        self._plug_in(machine.device)
        self._open.push(machine)
        return machine

    @cached_property
    def device(self) -> Device:
        """The card by itself, or that of the bench or machine which the test asks for, too."""
        if self._names & {"bench", "adapter", "host", "capture"}:
            return self.bench.device
        if self._names & {"machine", "bus"}:
            return self.machine.device
        given = self.wanted.bench_parameters()
        parameters = dict(given.get("device") or {})
        if "queues" in given:
            parameters = {"queue_pairs": given["queues"], "vectors": given["queues"] + 1} | parameters
        device = Device(DeviceConfig(**parameters), manual=bool(given.get("manual")))
        self._open.push(device)
        return device

    @cached_property
    def steps(self) -> Steps:
        """Of the bench or machine, or of the device alone."""
        if self._names & {"bench", "adapter", "host", "capture"}:
            return self.bench.steps
        if self._names & {"machine", "bus"}:
            return self.machine.steps
        return Steps(self.device)

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self, failed: bool) -> None:
        """Check and close, in the opposite order; after a failure nothing is checked."""
        if failed:
            self._open.__exit__(_Failed, _Failed(), None)
        else:
            self._open.close()


class _Failed(Exception):
    """The test failed already: its benches are abandoned."""
