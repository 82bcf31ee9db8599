"""TCP/IP as NDIS's protocol driver over the miniport and the card: a host of ours, a stack on its wire."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from vnic.abi import SocketEvent
from vnic.link.impairments import Impairments
from vnic.link.wire import Wire
from vnic.ndis.offload import Offload, OffloadParameters, Switch, Toggle
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import query, set_
from vnic.ndis.rss import ReceiveScaleParameters
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState
from vnic.stack.errors import HostUnreachableError
from vnic.stack.stream import Stream
from vnic.testbench.bench import RSS_KEY, RSS_TYPES
from vnic.testbench.host import Host
from vnic.testbench.network import Network, Station
from vnic.wire.parse import L4, Frame

S = 1_000_000_000
NOISE = random.Random(3).randbytes(600_000)
ADDRESSES = ("10.0.0.1/24", "fd00::1/64")
QUICK = Impairments(delay_ns=20_000)


class Site:
    """A host with a card (10.0.0.1, fd00::1) and a station (10.0.0.2, fd00::2) on one wire."""

    def __init__(self, *, wire: Impairments = QUICK, mtu: int = 1500, **host: Any) -> None:
        self.network = Network()
        self.frames: list[bytes] = []
        self.wire = Wire(forth=wire)
        vlan = host.get("vlan", 0)
        self.peer: Station = self.network.station(
            "10.0.0.2/24", "fd00::2/64", mac=b"\2\0\0\0\0\x22", mtu=mtu, vlan=vlan, link=self.wire.end(1)
        )
        stack = {"address_probes": 0} | host.pop("stack", {})
        self.host = Host(*ADDRESSES, link=self, world=self.network, stack=stack, **host)
        self.wire.attach(0, self.host.bench.device)
        self.wire.attach(1, self.peer.port)
        self.network.add_link(self.wire)

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """The card's link: remembers what it sent."""
        self.frames.append(frame)
        self.wire.transmit(0, frame, now_ns)

    def connect(self, address: str = "10.0.0.2") -> tuple[Stream, Stream]:
        """The host's and the station's end of a connection that the host opens."""
        listener = self.peer.stack.listen((address, 80))
        near = self.host.streams.connect((address, 80))
        far = self.peer.streams.accept(listener)
        listener.close()
        return near, far

    def exchange(self, address: str = "10.0.0.2", size: int = len(NOISE)) -> None:
        """Bytes both ways at once, and an orderly end."""
        near, far = self.connect(address)
        near.write_all(NOISE[:size])
        far.write_all(NOISE[:size][::-1])
        near.finish()
        far.finish()
        assert far.read_all() == NOISE[:size] and near.read_all() == NOISE[:size][::-1]
        near.close()
        far.close()

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


@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_bytes_both_ways_by_large_sends_and_verified_checksums(site: Site, address: str) -> None:
    site.exchange(address)
    site.network.run_for(S)
    card, driver = site.host.bench.counters(), site.host.protocol.bindings[0].statistics
    assert driver.large_sends == card["TX_LSO_SENDS"] > 0 and driver.completed_here == 0
    assert card["TX_LSO_SEGMENTS"] > 2 * card["TX_LSO_SENDS"]
    assert card["RX_CSUM_GOOD"] > 300 and driver.failed == 0
    assert site.host.stack.statistics["bad_l4_checksum"] == 0
    assert site.peer.stack.statistics["bad_l4_checksum"] == 0
    assert site.peer.stack.statistics["tcp_retransmits"] == 0


def test_the_peer_opens(site: Site) -> None:
    listener = site.host.stack.listen(("0.0.0.0", 80))
    far = site.peer.streams.connect(("10.0.0.1", 80))
    near = site.host.streams.accept(listener)
    far.write_all(b"ping")
    assert near.read_exactly(4) == b"ping"


@pytest.mark.parametrize(
    ("keywords", "profile"),
    [
        ({"*LsoV2IPv4": 0, "*LsoV2IPv6": 0, "*LsoV1IPv4": 0}, "default"),
        ({"*TCPChecksumOffloadIPv4": 0, "*TCPChecksumOffloadIPv6": 0, "*UDPChecksumOffloadIPv4": 0,
          "*UDPChecksumOffloadIPv6": 0}, "default"),
        ({"*LsoV2IPv6": 0}, "default"),
        ({"*TCPChecksumOffloadIPv6": 0}, "default"),
        ({"*PriorityVLANTag": 0}, "default"),
        ({"*HeaderDataSplit": 1}, "default"),
        ({}, "snp2003"),
    ],
)  # fmt: skip
def test_whatever_the_adapter_leaves_undone_is_done_here(keywords: dict[str, int], profile: str) -> None:
    with Site(bench={"keywords": keywords, "profile": profile}) as site:
        for address in ("10.0.0.2", "fd00::2"):
            site.exchange(address, 100_000)
        assert site.peer.stack.statistics["bad_l4_checksum"] == 0
        assert site.peer.stack.statistics["tcp_retransmits"] == 0


def test_offloads_may_be_switched_at_any_time(site: Site) -> None:
    near, far = site.connect()
    off = OffloadParameters(
        tcp_ipv4_checksum=Toggle.TX_RX_DISABLED, lso_v2_ipv4=Switch.DISABLED, lso_v1=Switch.DISABLED
    )
    on = OffloadParameters(
        tcp_ipv4_checksum=Toggle.TX_RX_ENABLED, lso_v2_ipv4=Switch.ENABLED, lso_v1=Switch.ENABLED
    )
    binding = site.host.protocol.bindings[0]
    for parameters in (off, on, off):
        assert site.host.protocol.ask(set_(OID.TCP_OFFLOAD_PARAMETERS, parameters.pack())) == 0
        before = binding.statistics.large_sends
        near.write_all(NOISE[:50_000])
        assert far.read_exactly(50_000) == NOISE[:50_000]
        assert (binding.statistics.large_sends > before) == (parameters is on)
    assert site.peer.stack.statistics["bad_l4_checksum"] == 0


def test_the_driver_asks_for_offloads_and_sets_filter_and_groups(site: Site) -> None:
    binding = site.host.protocol.bindings[0]
    current = query(OID.TCP_OFFLOAD_CURRENT_CONFIG, Offload.SIZE)
    assert site.host.protocol.ask(current) == NDIS_STATUS.SUCCESS
    assert Offload.parse(current.data) == binding.choice.config
    known = query(OID.GEN_CURRENT_PACKET_FILTER, 4)
    site.host.protocol.ask(known)
    assert int.from_bytes(known.data, "little") == 0x0B
    groups = query(OID.O802_3_MULTICAST_LIST, 600)
    site.host.protocol.ask(groups)
    assert b"\x33\x33\xff\x00\x00\x01" in {groups.data[at : at + 6] for at in range(0, len(groups.data), 6)}


@pytest.mark.parametrize(("vlan", "tagging"), [(0, 0), (0, 3), (5, 3)])
def test_a_vlan(vlan: int, tagging: int) -> None:
    with Site(vlan=vlan, bench={"keywords": {"*PriorityVLANTag": tagging}}) as site:
        site.exchange(size=50_000)
        tags = {Frame.parse(frame).data[12:14] == b"\x81\x00" for frame in site.frames}
        assert tags == {bool(vlan)}


def test_a_vlan_needs_a_driver_that_tells_of_tags() -> None:
    """Without, the 802.1Q header of what the peer answers is gone, and who was meant is not told."""
    with (
        Site(vlan=5, bench={"keywords": {"*PriorityVLANTag": 0}}) as site,
        pytest.raises(HostUnreachableError),
    ):
        site.connect()


def test_jumbo_frames_lie_in_several_buffers() -> None:
    keywords = {"*JumboPacket": 9014}
    with Site(mtu=9000, bench={"keywords": keywords, "device": {"max_frame": 9018}}) as site:
        assert site.host.interface.config.mtu == 9000
        site.exchange()
        assert max(map(len, site.frames)) > 8000


@pytest.mark.parametrize("seed", range(6))
def test_processors_that_race_keep_the_order(seed: int) -> None:
    with Site(bench={"seed": seed, "queues": 4, "cpus": 4, "strict_rss": True}) as site:
        spread = ReceiveScaleParameters(
            hash_information=int(RSS_TYPES) | 1, table=tuple(n % 4 for n in range(128)), key=RSS_KEY
        )
        wanted = set_(OID.GEN_RECEIVE_SCALE_PARAMETERS, spread.pack())
        assert site.host.protocol.ask(wanted) == NDIS_STATUS.SUCCESS
        streams = [site.connect() for _ in range(6)]
        for near, far in streams:
            near.write_all(NOISE[:60_000])
            far.write_all(NOISE[:60_000])
        for near, far in streams:
            assert near.read_exactly(60_000) == far.read_exactly(60_000) == NOISE[:60_000]
        assert site.peer.stack.statistics["tcp_out_of_order"] == 0
        assert site.host.stack.statistics["tcp_retransmits"] == 0
        assert sum(site.host.bench.processors[cpu].dpcs > 2 for cpu in range(4)) > 1


def test_loss_is_repaired() -> None:
    lossy = Impairments(delay_ns=1_000_000, bandwidth_bps=100_000_000, loss=0.01)
    with Site(wire=lossy) as site:
        site.exchange(size=300_000)
        assert site.host.stack.statistics["tcp_retransmits"] > 0


# -- states --------------------------------------------------------------------------------------------------


def test_a_pause_holds_everything_back_and_a_restart_lets_it_go(site: Site) -> None:
    near, far = site.connect()
    site.host.bench.adapter.pause()
    near.socket.send(NOISE[:5000])
    far.socket.send(NOISE[:5000])
    before = len(site.frames)
    site.network.run_for(S)
    assert len(site.frames) == before
    assert site.host.bench.adapter.restart() == NDIS_STATUS.SUCCESS
    assert far.read_exactly(5000) == near.read_exactly(5000) == NOISE[:5000]


def test_low_power_is_a_link_that_is_down(site: Site) -> None:
    near, far = site.connect()
    adapter = site.host.bench.adapter
    assert adapter.set_power(DevicePowerState.D3) == NDIS_STATUS.SUCCESS
    assert not site.host.interface.is_up
    near.socket.send(b"asleep")
    site.network.run_for(2 * S)
    assert adapter.set_power(DevicePowerState.D0) == NDIS_STATUS.SUCCESS
    assert far.read_exactly(6) == b"asleep" and site.host.interface.is_up


def test_the_link_goes_down_and_up(site: Site) -> None:
    near, far = site.connect()
    site.wire.set_link(False, site.network.clock.now_ns)
    site.network.run_for(S)
    assert not site.host.interface.is_up and not site.peer.interface.is_up
    near.socket.send(b"later")
    site.network.run_for(S)
    site.wire.set_link(True, site.network.clock.now_ns)
    assert far.read_exactly(5) == b"later" and near.socket.error is None


def test_an_adapter_that_was_halted_comes_back_to_its_interface(site: Site) -> None:
    near, far = site.connect()
    adapter, protocol = site.host.bench.adapter, site.host.protocol
    adapter.halt()
    assert adapter.state is AdapterState.HALTED and protocol.bindings[0].handle is None
    near.socket.send(b"gone for a while")
    site.network.run_for(S)
    assert adapter.initialize() == NDIS_STATUS.SUCCESS
    assert adapter.bind(protocol) is not None and adapter.restart() == NDIS_STATUS.SUCCESS
    assert len(protocol.bindings) == 1
    assert far.read_exactly(16) == b"gone for a while"


def test_a_reset_of_the_adapter_loses_nothing(site: Site) -> None:
    near, far = site.connect()
    near.socket.send(NOISE[:100_000])
    site.host.bench.adapter.reset()
    far.write_all(b"after")
    assert near.read_exactly(5) == b"after"
    site.network.run_for(2 * S)
    assert far.socket.info.receive_queued >= 10_000


def test_surprise_removal_ends_no_stack(site: Site) -> None:
    near, _ = site.connect()
    site.host.bench.device.remove()
    site.host.bench.adapter.surprise_remove()
    near.socket.send(b"into the void")
    site.network.run_for(S)
    assert not near.socket.events & SocketEvent.CLOSED
    site.host.bench.device.insert()
    site.host.bench.adapter.initialize()


def test_an_adapter_too_many_is_declined() -> None:
    with ExitStack() as stack:
        first = stack.enter_context(Site(stack={"interfaces": 1}))
        bench = first.host.bench
        bench.adapter.halt()
        bench.adapter.initialize()
        config = first.host.interface.config
        assert first.host.bench.station == config.mac
        protocol = first.host.protocol
        protocol.bindings[0].interface.config = type(config)(mac=b"\2\0\0\0\0\x77")
        assert bench.adapter.bind(protocol) is None
        protocol.bindings[0].interface.config = config


def test_a_bad_checksum_is_the_stacks_to_drop(site: Site) -> None:
    near, far = site.connect()
    far.write_all(b"x" * 100)
    near.read_exactly(100)
    good = next(f for f in reversed(site.frames) if Frame.parse(f).l4 is L4.TCP)
    bad = bytearray(good[6:12] + good[:6] + good[12:])
    bad[26:30], bad[30:34] = bad[30:34], bad[26:30]
    bad[-1] ^= 1
    before = site.host.stack.statistics["bad_l4_checksum"]
    site.host.bench.device.deliver(bytes(bad), site.network.clock.now_ns)
    site.network.run_for(S)
    assert site.host.stack.statistics["bad_l4_checksum"] == before + 1


def test_a_stack_that_is_closed_under_a_running_adapter(site: Site) -> None:
    near, far = site.connect()
    near.write_all(NOISE[:50_000])
    site.host.stack.close()
    far.socket.send(b"anybody?")
    site.network.run_for(S)
    assert site.host.bench.adapter.receives.outstanding() == 0
