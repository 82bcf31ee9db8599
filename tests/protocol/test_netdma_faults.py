"""The whole receive path over our copy engine: the same bytes as without it, whatever fails and when."""

from __future__ import annotations

import hashlib
import random
from contextlib import ExitStack
from typing import Any

import pytest

from tests.protocol.netdma_site import MS, NOISE, US, S, Site
from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.link.impairments import Impairments
from vnic.protocol.chimney_options import manual
from vnic.protocol.coexistence import Component
from vnic.protocol.netdma_options import NetDmaOptions, Reason
from vnic.testbench.copier import EngineCopier
from vnic.testbench.copy_bench import CopyBench
from vnic.testbench.posted import PostedSocket

BAD_WIRE = Impairments(delay_ns=50_000, loss=0.02, duplicate=0.02, reorder=0.05)
READ, WRITE, INTERRUPT = FaultSite.DMA_READ, FaultSite.DMA_WRITE, FaultSite.INTERRUPT
STATUSES = (DmaStatus.UNSUPPORTED, DmaStatus.ABORTED, DmaStatus.POISONED, DmaStatus.TIMEOUT)
#: Patient enough for our wire, quick enough for a test.
QUICK = NetDmaOptions(patience_ns=MS, retry_ns=2 * MS, retry_max_ns=8 * MS)


def engine_of(site: Site) -> CopyBench:
    """The copy engine of a host."""
    copier = site.host.copier
    assert isinstance(copier, EngineCopier)
    return copier.bench


class Download:
    """One stream from the station, some at a time, hashed at both ends."""

    def __init__(self, site: Site, number: int, address: str = "10.0.0.2") -> None:
        self.reader, self.far = site.connect(address, 80 + number)
        self._sent, self._got = hashlib.sha256(), hashlib.sha256()
        self.sent = self.got = 0

    def send(self, size: int) -> None:
        """Bytes leave, as far as there is room."""
        data = NOISE[self.sent % 500_000 :][:size]
        taken = self.far.socket.send(data)
        self._sent.update(data[:taken])
        self.sent += taken

    def take(self) -> None:
        """Bytes that are there."""
        while part := self.reader.recv(1 << 16):
            self._got.update(part)
            self.got += len(part)

    @property
    def is_whole(self) -> bool:
        """Whether all that was sent is here, as it was sent."""
        self.take()
        return self.got == self.sent and self._got.digest() == self._sent.digest()


def fault(chance: random.Random) -> Fault:
    """Something that goes wrong with the engine's next access, or its next interrupt."""
    site = chance.choice([READ, READ, WRITE, WRITE, INTERRUPT])
    skip, count = chance.randrange(4), chance.randrange(1, 4)
    if site == INTERRUPT:
        return Fault(site=site, action=chance.choice([FaultAction.DROP, FaultAction.DUPLICATE]), count=count)
    purposes = [DmaPurpose.DATA, DmaPurpose.DESCRIPTOR if site == READ else DmaPurpose.COMPLETION]
    return Fault(
        site=site,
        action=FaultAction.ERROR,
        index=chance.choice(purposes),
        argument=chance.choice(STATUSES),
        skip=skip,
        count=count,
    )


class Mishaps:
    """What befalls an engine while it is in use, by a seed."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.bench = engine_of(site)
        self.chance = chance
        self.faults = self.power_cycles = 0
        self._is_down = False

    def happen(self) -> None:
        """Maybe something happens."""
        dice = self.chance.random()
        if self._is_down:
            if dice < 0.5:
                self.bench.provider.power_up()
                self._is_down = False
        elif dice < 0.3:
            with ExitStack() as stack:
                self.faults += 1
                stack.enter_context(self.bench.engine.arm(fault(self.chance)))
                self.bench.world.run_for(400 * US)
        elif dice < 0.36:
            self.bench.provider.power_down()
            self.power_cycles += 1
            self._is_down = True

    def end(self) -> None:
        """Nothing more happens."""
        if self._is_down:
            self.bench.provider.power_up()


@pytest.mark.requirement("NDMA-20", "NDMA-21", "NDMA-22", "INV-49")
@pytest.mark.parametrize(("seed", "version"), [(0, (2, 0)), (1, (1, 0)), (2, (1, 1)), (3, (2, 1))])
def test_the_same_bytes_whatever_befalls_the_engine(seed: int, version: tuple[int, int]) -> None:
    chance = random.Random(seed)
    cpus = 1 + 3 * (seed % 2)
    race: dict[str, Any] = {"seed": seed, "cpus": cpus, "queues": cpus} if seed % 2 else {}
    with Site(QUICK, wire=BAD_WIRE, wire_seed=seed, engine={"version": version}, **race) as site:
        mishaps = Mishaps(site, chance)
        streams = [Download(site, n, ("10.0.0.2", "fd00::2")[n % 2]) for n in range(3)]
        for _ in range(60):
            for each in streams:
                each.send(chance.choice([0, 600, 8000, 30_000]))
                each.take()
            mishaps.happen()
            site.network.run_for(chance.choice([0, 100, 1000]) * US)
        mishaps.end()
        assert site.run_until(lambda: all([each.is_whole for each in streams]), 20 * S)
        tally = site.netdma.tally
        assert mishaps.faults > 5 and tally.failures + tally.looked_up > 0
        assert tally.bytes_by_engine > 20_000 and tally.bytes_finished > 0
        assert site.netdma.outstanding == 0 == len(site.netdma.holds)


@pytest.mark.requirement("NDMA-20", "NDMA-22")
@pytest.mark.parametrize("when", ["idle", "busy"])
def test_an_engine_that_is_pulled_out(when: str) -> None:
    with Site(QUICK) as site:
        stream = Download(site, 0)
        stream.send(40_000)
        if when == "idle":
            assert site.run_until(lambda: stream.is_whole, S)
        else:
            engine_of(site).engine.is_manual = True  # it stands still
            assert site.run_until(lambda: site.netdma.outstanding > 0, S)
        moved = site.netdma.tally.bytes_by_engine
        engine_of(site).remove()
        engine_of(site).engine.is_manual = False
        for _ in range(5):
            stream.send(20_000)
            site.network.run_for(5 * MS)
        assert site.run_until(lambda: stream.is_whole, S)
        assert site.netdma.tally.bytes_by_engine == moved
        assert site.netdma.tally.declined[Reason.NO_CHANNEL] > 0


@pytest.mark.requirement("NDMA-22")
def test_a_provider_that_is_stopped_and_started() -> None:
    with Site(QUICK) as site:
        stream = Download(site, 0)
        bench = engine_of(site)
        for _ in range(3):
            before = site.netdma.tally.bytes_by_engine
            stream.send(40_000)
            assert site.run_until(lambda: stream.is_whole, S)
            assert site.netdma.tally.bytes_by_engine > before + 30_000
            bench.provider.stop_device()
            stream.send(20_000)
            assert site.run_until(lambda: stream.is_whole, S)
            bench.provider.start_device()


@pytest.mark.requirement("NDMA-20", "NDMA-21")
def test_data_that_a_chimney_left_is_moved_too() -> None:
    with Site(QUICK, chimney=manual()) as site:
        listener = site.peer.stack.listen(("10.0.0.2", 80))
        near = site.host.streams.connect(("10.0.0.2", 80))
        far = site.peer.streams.accept(listener)
        listener.close()
        assert site.host.chimney.offload(near.socket)
        site.network.run_for(20 * MS)
        for at in range(0, 30_000, 1000):  # nobody has posted: it lies in the card's receive pool
            far.write_all(NOISE[at : at + 1000])
            site.network.run_for(MS)
        reader = PostedSocket(near.socket, site.memory)
        assert site.read(reader, 30_000) == NOISE[:30_000]
        assert site.netdma.tally.bytes_by_engine > 20_000
        far.write_all(NOISE[:60_000])
        assert site.read(reader, 60_000) == NOISE[:60_000]
        site.host.chimney.upload(near.socket)
        far.write_all(NOISE[:60_000])
        assert site.read(reader, 60_000) == NOISE[:60_000]
        reader.close()
        far.close()


@pytest.mark.requirement("INV-49", "POL-30")
def test_nothing_begins_that_was_asked_for_before_it_was_forbidden() -> None:
    with Site(QUICK, chimney=manual()) as site:
        listener = site.peer.stack.listen(("10.0.0.2", 80))
        near = site.host.streams.connect(("10.0.0.2", 80))
        far = site.peer.streams.accept(listener)
        listener.close()
        assert site.host.chimney.offload(near.socket)
        site.network.run_for(20 * MS)
        far.write_all(NOISE[:1000])
        site.network.run_for(5 * MS)
        reader = PostedSocket(near.socket, site.memory)
        assert site.netdma.outstanding == 1, "asked for by the post, and not given to the engine yet"
        site.host.coexistence.attach(Component.IPNAT)
        assert site.read(reader, 1000) == NOISE[:1000]
        assert site.netdma.tally.bytes_by_engine == 0
        assert site.netdma.tally.declined[Reason.OBSTACLE] == 1
        reader.close()
        far.close()


@pytest.mark.requirement("NDMA-20", "NDMA-21", "POL-20")
@pytest.mark.parametrize("seed", range(2))
def test_connections_that_move_while_copies_run(seed: int) -> None:
    chance = random.Random(seed)
    with Site(QUICK, chimney=manual(), wire=BAD_WIRE, wire_seed=seed, cpus=2, queues=2) as site:
        mishaps = Mishaps(site, chance)
        streams = [Download(site, n) for n in range(2)]
        for _ in range(50):
            for each in streams:
                each.send(chance.choice([0, 2000, 30_000]))
                each.take()
                if chance.random() < 0.2:
                    chimney, socket = site.host.chimney, each.reader.socket
                    chimney.offload(socket) or chimney.upload(socket)
            mishaps.happen()
            site.network.run_for(chance.choice([0, 100, 2000]) * US)
        mishaps.end()
        assert site.run_until(lambda: all([each.is_whole for each in streams]), 20 * S)
        assert site.netdma.tally.bytes_by_engine > 10_000 and site.host.chimney.bytes_received > 0
