"""A whole host with the card: connections move while bytes flow, by request, policy and circumstance."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.ndis.offload import TcpConnectionOffload
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState, StatusIndication
from vnic.protocol.chimney_options import ChimneyOptions, manual
from vnic.protocol.chimney_policy import AutomaticPolicy
from vnic.protocol.chimney_tally import Where
from vnic.protocol.coexistence import Component
from vnic.protocol.journal import Cause, Happening
from vnic.protocol.switches import Switches
from vnic.stack.stream import Stream
from vnic.testbench.host import Host
from vnic.testbench.network import Network, Station

MS = 1_000_000
S = 1_000_000_000
NOISE = random.Random(5).randbytes(400_000)
QUICK = Impairments(delay_ns=100_000)


class Site:
    """A host with a chimney (10.0.0.1, fd00::1) and a station (10.0.0.2, fd00::2) on one wire."""

    def __init__(
        self, options: ChimneyOptions | None = None, *, wire: Impairments = QUICK, seed: int = 0, **host: Any
    ) -> None:
        self.network = Network()
        self.wire = Wire(forth=wire, back=wire, seed=seed)
        self.peer: Station = self.network.station(
            "10.0.0.2/24", "fd00::2/64", mac=b"\2\0\0\0\0\x22", link=self.wire.end(1)
        )
        self.host = Host(
            "10.0.0.1/24", "fd00::1/64", link=self.wire.end(0), world=self.network,
            stack={"address_probes": 0} | host.pop("stack", {}), chimney=options or manual(), **host,
        )  # fmt: skip
        self.wire.attach(0, self.host.bench.device)
        self.wire.attach(1, self.peer.port)
        self.network.add_link(self.wire)
        self.chimney = self.host.chimney

    def connect(self, address: str = "10.0.0.2", port: int = 80) -> tuple[Stream, Stream]:
        """The host's and the station's end of a connection that the host opens."""
        listener = self.peer.stack.listen((address, port))
        near = self.host.streams.connect((address, port))
        far = self.peer.streams.accept(listener)
        listener.close()
        return near, far

    def offloaded(self, address: str = "10.0.0.2") -> tuple[Stream, Stream]:
        """A connection that is at the card."""
        near, far = self.connect(address)
        assert self.chimney.offload(near.socket)
        self.reach(near, Where.OFFLOADED)
        return near, far

    def reach(self, stream: Stream, where: Where) -> None:
        """Let time pass until a connection is somewhere."""
        assert self.network.run_until(lambda: self.chimney.where(stream.socket) is where, S)

    def exchange(self, near: Stream, far: Stream, size: int = len(NOISE)) -> None:
        """Bytes both ways at once."""
        near.write_all(NOISE[:size])
        far.write_all(NOISE[:size][::-1])
        assert far.read_exactly(size) == NOISE[:size]
        assert near.read_exactly(size) == NOISE[:size][::-1]

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.network:
            self.host.close() if kind is None else self.host.abandon()


@pytest.fixture
def site() -> Iterator[Site]:
    """A host and a station."""
    with Site() as made:
        yield made


@pytest.mark.requirement("POL-20")
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_a_life_at_the_card(site: Site, address: str) -> None:
    near, far = site.offloaded(address)
    site.exchange(near, far)
    site.network.run_for(300 * MS)
    assert site.chimney.bytes_sent == site.chimney.bytes_received == len(NOISE)
    near.finish()
    assert far.read_all() == b""
    far.write_all(b"half closed")
    far.finish()
    assert near.read_all() == b"half closed"
    site.reach(near, Where.IN_HOST)
    (cause,) = site.chimney.uploads
    assert cause in (Cause.CLOSED, Cause.UPLOAD_REQUESTED), "TIME_WAIT is the host's"
    near.wait_closed()


@pytest.mark.requirement("POL-20")
@pytest.mark.parametrize("seed", range(6))
def test_bytes_are_the_same_however_often_it_moves(seed: int) -> None:
    chance = random.Random(seed)
    wire = Impairments(delay_ns=200_000, loss=0.01, duplicate=0.01)
    cpus = 1 + seed % 3
    with Site(wire=wire, seed=seed, bench={"cpus": cpus, "queues": cpus, "seed": seed}) as site:
        near, far = site.connect()
        received: dict[Stream, bytearray] = {near: bytearray(), far: bytearray()}
        sent = {near: 0, far: 0}
        while min(map(len, received.values())) < len(NOISE):
            for end in (near, far):
                size = chance.choice([100, 5_000, 80_000])
                sent[end] += end.socket.send(NOISE[sent[end] : sent[end] + size])
                if chance.random() < 0.7 and (data := end.socket.recv(chance.choice([500, 70_000]))):
                    received[end] += data
            (site.chimney.offload if chance.random() < 0.6 else site.chimney.upload)(near.socket)
            site.network.run_for(chance.choice([MS, 3 * MS, 10 * MS]))
            assert site.network.clock.now_ns < 60 * S
        assert received == {near: NOISE, far: NOISE}
        assert site.chimney.initiates > 2 and not site.chimney.tally.lost


@pytest.mark.requirement("POL-11", "POL-16")
def test_a_connection_that_moves_much_is_offloaded_by_itself_in_every_run_the_same() -> None:
    stories = []
    for _ in range(2):
        with Site(ChimneyOptions()) as site:
            bulk, far = site.connect()
            idle, _other = site.connect(port=81)
            for _ in range(6):
                site.exchange(bulk, far, 100_000)
                site.network.run_for(15 * MS)
            assert site.chimney.where(bulk.socket) is Where.OFFLOADED
            assert site.chimney.where(idle.socket) is Where.IN_HOST
            assert site.chimney.bytes_sent > 200_000
            stories.append([str(entry) for entry in site.chimney.journal])
    assert stories[0] == stories[1]


@pytest.mark.requirement("POL-12", "POL-14")
def test_a_connection_that_turns_to_small_requests_comes_back_and_stays_for_longer_each_time() -> None:
    with Site(ChimneyOptions(policy=AutomaticPolicy(min_stay_ns=20 * MS))) as site:
        near, far = site.connect()
        for _ in range(6):
            site.exchange(near, far, 60_000)
            site.network.run_for(15 * MS)
        assert site.chimney.where(near.socket) is Where.OFFLOADED
        for _ in range(20):
            near.write_all(b"ping")
            assert far.read_exactly(4) == b"ping"
            site.network.run_for(5 * MS)
        assert site.chimney.where(near.socket) is Where.IN_HOST
        assert site.chimney.uploads == {Cause.SMALL_IO: 1}
        while site.chimney.initiates == 1:
            site.exchange(near, far, 60_000)
            site.network.run_for(5 * MS)
        back, again = (
            site.chimney.journal.of(Happening.UPLOADED)[0],
            site.chimney.journal.of(Happening.OFFLOADED)[1],
        )
        assert again.time_ns - back.time_ns >= site.chimney.options.policy.back_off_ns


@pytest.mark.requirement("POL-13")
def test_a_better_candidate_takes_the_place_of_a_worse_one() -> None:
    options = ChimneyOptions(policy=AutomaticPolicy(min_stay_ns=20 * MS))
    with Site(options, bench={"device": {"connections": 1}}) as site:
        slow, slow_far = site.connect()
        fast, fast_far = site.connect(port=81)
        for _ in range(6):
            site.exchange(slow, slow_far, 60_000)
            site.network.run_for(15 * MS)
        assert site.chimney.where(slow.socket) is Where.OFFLOADED
        for _ in range(12):
            site.exchange(slow, slow_far, 5_000)
            site.exchange(fast, fast_far, 150_000)
            site.network.run_for(5 * MS)
        assert site.chimney.where(fast.socket) is Where.OFFLOADED
        assert site.chimney.uploads[Cause.OUTRANKED] >= 1


@pytest.mark.requirement("POL-2")
def test_switches_say_over_how_many_processors_receives_are_spread() -> None:
    bench = {"queues": 4, "cpus": 4}
    for switches, spread in ((Switches(), 4), (Switches(MaxNumRssCpus=2), 2), (Switches(EnableRSS=False), 0)):
        with Site(manual(switches=switches), bench=bench) as site:
            parameters = site.host.bench.adapter.rss.parameters
            assert (len(set(parameters.table)) if parameters and parameters.table else 0) == spread


# ---- what happens to a host --------------------------------------------------------------------------------


@pytest.mark.requirement("POL-30", "POL-31", "INV-49")
@pytest.mark.parametrize("component", [each for each in Component if not each.is_of_a_binding])
def test_a_component_that_is_attached_at_run_time(site: Site, component: Component) -> None:
    near, far = site.offloaded()
    near.write_all(NOISE)
    site.host.coexistence.attach(component)
    assert far.read_exactly(len(NOISE)) == NOISE
    site.reach(near, Where.IN_HOST)
    assert not site.chimney.offload(near.socket) and site.chimney.offloaded == 0
    assert site.chimney.journal.of(Happening.BLOCKED)[0].reason == component
    site.host.coexistence.detach(component)
    assert site.chimney.offload(near.socket)
    site.exchange(near, far, 50_000)


@pytest.mark.requirement("POL-25", "INV-41")
def test_the_adapter_is_paused_and_goes_on(site: Site) -> None:
    near, far = site.offloaded()
    far.write_all(NOISE)
    near.write_all(NOISE)
    site.network.run_for(3 * MS)
    adapter = site.host.bench.adapter
    adapter.pause()
    assert adapter.state is AdapterState.PAUSED
    assert site.chimney.where(near.socket) is Where.IN_HOST and site.chimney.uploads == {Cause.PAUSE: 1}
    assert adapter.restart() == NDIS_STATUS.SUCCESS
    assert far.read_exactly(len(NOISE)) == NOISE == near.read_exactly(len(NOISE))
    assert site.chimney.offload(near.socket)
    site.exchange(near, far, 50_000)


@pytest.mark.requirement("POL-25")
def test_low_power_and_back(site: Site) -> None:
    near, far = site.offloaded()
    near.write_all(NOISE[:50_000])
    adapter = site.host.bench.adapter
    assert adapter.set_power(DevicePowerState.D3) == NDIS_STATUS.SUCCESS
    assert site.chimney.where(near.socket) is Where.IN_HOST and site.chimney.uploads == {Cause.POWER: 1}
    assert adapter.set_power(DevicePowerState.D0) == NDIS_STATUS.SUCCESS
    assert far.read_exactly(50_000) == NOISE[:50_000]
    assert site.chimney.offload(near.socket)
    site.exchange(near, far, 50_000)


@pytest.mark.requirement("POL-25")
def test_media_loss_brings_connections_back_and_they_survive_it(site: Site) -> None:
    near, far = site.offloaded()
    near.write_all(NOISE)
    site.host.bench.device.set_link(0)
    site.reach(near, Where.IN_HOST)
    assert site.chimney.uploads == {Cause.MEDIA: 1}
    site.network.run_for(300 * MS)
    site.host.bench.device.set_link(10_000)
    assert far.read_exactly(len(NOISE)) == NOISE


@pytest.mark.requirement("POL-25")
def test_the_adapter_is_halted_with_unread_data_and_comes_back(site: Site) -> None:
    near, far = site.offloaded()
    far.write_all(NOISE[:100_000])
    site.network.run_for(300 * MS)
    adapter = site.host.bench.adapter
    adapter.halt()
    assert near.socket.info.receive_queued == 100_000, "the adapter is gone, what it delivered is not"
    assert adapter.initialize() == NDIS_STATUS.SUCCESS and adapter.bind(site.host.protocol) is not None
    assert adapter.restart() == NDIS_STATUS.SUCCESS
    assert near.read_exactly(100_000) == NOISE[:100_000]
    near.write_all(b"here again")
    assert far.read_exactly(10) == b"here again"


def test_status_lists_every_connection(site: Site) -> None:
    near, far = site.offloaded()
    other, _ = site.connect("fd00::2", 81)
    near.write_all(b"x")
    far.read_exactly(1)
    rows = {row.remote: row for row in site.chimney.connections()}
    assert rows[near.socket.info.remote].where is Where.OFFLOADED
    assert rows[other.socket.info.remote].where is Where.IN_HOST
    assert rows[other.socket.info.remote].protocol == "tcp6"


@pytest.mark.requirement("POL-26")
def test_a_card_that_is_pulled_out_loses_what_it_had_and_nothing_else() -> None:
    with Site() as site:
        near, _far = site.offloaded()
        other, _other_far = site.connect(port=81)
        near.write_all(NOISE[:30_000])
        site.host.bench.device.remove()
        site.host.bench.adapter.surprise_remove()
        site.network.run_for(MS)
        assert site.chimney.tally.lost == 1
        with pytest.raises(ConnectionError):
            near.read()
        assert other.socket.error is None
        assert site.chimney.offloaded == 0


@pytest.mark.requirement("POL-26")
def test_a_reset_of_the_adapter_ends_only_what_was_at_the_card() -> None:
    with Site() as site:
        near, _ = site.offloaded()
        other, other_far = site.connect(port=81)
        site.host.bench.adapter.reset()
        site.network.run_for(20 * MS)
        assert site.chimney.where(near.socket) is Where.IN_HOST
        if site.chimney.tally.lost:
            with pytest.raises(ConnectionError):
                near.read()
        site.exchange(other, other_far, 50_000)
        assert site.chimney.offload(other.socket)
        site.exchange(other, other_far, 50_000)


@pytest.mark.requirement("POL-22")
def test_a_new_next_hop_is_a_new_neighbour_and_a_relink() -> None:
    with Site() as site:
        far_stack = site.peer.stack
        site.peer.interface.add_address("192.0.2.9/32")
        site.peer.interface.add_address("10.0.0.3/24")
        site.host.stack.add_route("192.0.2.0/24", "10.0.0.2", metric=5)
        listener = far_stack.listen(("192.0.2.9", 80))
        near = site.host.streams.connect(("192.0.2.9", 80))
        far = site.peer.streams.accept(listener)
        assert site.chimney.offload(near.socket)
        site.reach(near, Where.OFFLOADED)
        (target,) = site.chimney.targets.values()
        before = next(iter(target.table.paths.values())).neighbour
        site.host.stack.add_route("192.0.2.0/24", "10.0.0.3", metric=1)
        site.exchange(near, far, 20_000)
        site.network.run_for(50 * MS)
        site.exchange(near, far, 20_000)
        path = next(iter(target.table.paths.values()))
        assert site.chimney.where(near.socket) is Where.OFFLOADED
        assert path.neighbour is not before and path.relink_to is None
        assert list(target.table.neighbours.values()) == [path.neighbour], "the old one was terminated"


@pytest.mark.requirement("INV-41")
def test_a_resume_is_heard_and_the_capabilities_are_asked_for_again(site: Site) -> None:
    near, far = site.offloaded()
    (target,) = site.chimney.targets.values()
    known, target.config = target.config, TcpConnectionOffload()
    protocol, handle = site.host.protocol, site.host.protocol.bindings[0].handle
    assert handle is not None
    protocol.status_ex(handle, StatusIndication(NDIS_STATUS.UPLOAD_ALL))
    site.reach(near, Where.IN_HOST)
    assert site.chimney.uploads == {Cause.UPLOAD_ALL: 1} and not site.chimney.offload(near.socket)
    protocol.status_ex(handle, StatusIndication(NDIS_STATUS.OFFLOAD_RESUME))
    site.network.run_for(MS)
    assert target.config == known
    assert site.chimney.offload(near.socket)
    site.exchange(near, far, 20_000)
