"""The NetDMA client in the receive path, over an engine that does what a test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.protocol.netdma_site import MS, NOISE, US, S, ToldSite
from vnic.errors import ArgumentError
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE as Code
from vnic.protocol.coexistence import Component
from vnic.protocol.intermediate import IntermediateDriver
from vnic.protocol.netdma_options import NetDmaOptions, Reason
from vnic.protocol.switches import Switches
from vnic.stack.stream import Stream
from vnic.testbench.posted import PostedSocket

SIZE = 60_000


@pytest.fixture
def site() -> Iterator[ToldSite]:
    """A host and a station."""
    with ToldSite() as made:
        yield made


def hold(site: ToldSite, size: int = 20_000) -> tuple[PostedSocket, Stream]:
    """Received data that the engine has, and has not copied."""
    site.copier.is_automatic = False
    reader, far = site.connect()
    far.write_all(NOISE[:size])
    assert site.run_until(lambda: site.netdma.outstanding > 0, S)
    site.network.run_for(100 * US)
    return reader, far


# -- what is moved -------------------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-20")
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
def test_received_data_is_moved_by_the_engine(site: ToldSite, address: str) -> None:
    reader, far = site.connect(address)
    site.download(reader, far)
    assert site.netdma.tally.bytes_by_engine > 0.95 * SIZE
    assert site.copier.moved == site.netdma.tally.bytes_by_engine
    site.finish(reader, far)


@pytest.mark.requirement("NDMA-20")
def test_copies_of_one_indication_are_given_together(site: ToldSite) -> None:
    reader, far = site.connect()
    site.download(reader, far)
    tally = site.netdma.tally
    assert tally.copies > 4 * tally.batches > 0


@pytest.mark.requirement("NDMA-20")
def test_readers_who_post_nothing_and_memory_elsewhere_are_served_by_the_processor(site: ToldSite) -> None:
    listener = site.peer.stack.listen(("10.0.0.2", 80))
    near = site.host.streams.connect(("10.0.0.2", 80))
    far = site.peer.streams.accept(listener)
    far.write_all(NOISE[:50_000])
    assert near.read_exactly(50_000) == NOISE[:50_000]
    room, done = bytearray(30_000), list[int]()
    assert near.socket.post(room, lambda size, error: done.append(size))
    far.write_all(NOISE[:30_000])
    site.network.run_for(S)
    assert done == [30_000] and room == NOISE[:30_000]
    assert site.copier.moved == 0 and set(site.netdma.tally.declined) <= {Reason.ELSEWHERE, Reason.SHORT}
    near.close()
    far.close()
    listener.close()


@pytest.mark.requirement("NDMA-23")
@pytest.mark.parametrize(("minimum", "is_moved"), [(600, True), (601, False)])
def test_short_copies_are_the_processors(minimum: int, is_moved: bool) -> None:
    with ToldSite(NetDmaOptions(minimum_bytes=minimum)) as site:
        reader, far = site.connect()
        for _ in range(5):
            far.write_all(NOISE[:600])
            assert site.read(reader, 600) == NOISE[:600]
        tally = site.netdma.tally
        assert tally.bytes_by_engine == (3000 if is_moved else 0)
        assert tally.bytes_by_processor == (0 if is_moved else 3000)
        assert tally.declined[Reason.SHORT] == (0 if is_moved else 5)


@pytest.mark.requirement("NDMA-24")
def test_data_whose_checksum_nobody_verified_is_the_processors() -> None:
    keywords = {"*TCPChecksumOffloadIPv4": 0, "*InterruptModeration": 0}
    with ToldSite(keywords=keywords) as site:
        reader, far = site.connect()
        site.download(reader, far)
        assert site.copier.moved == 0
        other, six = site.connect("fd00::2", 81)
        site.download(other, six)
        assert site.copier.moved > 0.9 * SIZE


@pytest.mark.requirement("NDMA-20")
def test_tagged_frames_and_frames_in_pieces_are_the_processors() -> None:
    for parameters in ({"vlan": 7}, {"mtu": 4000, "keywords": {"*JumboPacket": 4014}}):
        with ToldSite(**parameters) as site:
            reader, far = site.connect()
            site.download(reader, far)
            assert site.copier.moved == 0 and site.netdma.tally.declined[Reason.ELSEWHERE] > 10


# -- buffers -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-21")
def test_receive_buffers_stay_until_the_engine_has_copied(site: ToldSite) -> None:
    reader, _ = hold(site)
    adapter = site.host.bench.adapter
    kept = len(site.netdma.holds)
    assert kept == adapter.receives.outstanding() > 5
    assert reader.recv(100) is None, "nothing completes before the engine is through"
    site.copier.channels[0].step()
    site.network.settle()
    assert len(site.netdma.holds) == adapter.receives.outstanding() < kept
    site.copier.is_automatic = True
    assert site.read(reader, 20_000) == NOISE[:20_000]
    assert adapter.receives.outstanding() == 0 == site.netdma.outstanding


@pytest.mark.requirement("NDMA-21")
def test_buffers_that_are_lent_are_not_kept() -> None:
    keywords = {"*ReceiveBuffers": 32, "*InterruptModeration": 0}
    with ToldSite(NetDmaOptions(patience_ns=S), keywords=keywords, queues=1, cpus=1) as site:
        site.copier.is_automatic = False
        reader, far = site.connect()
        far.write_all(NOISE[:SIZE])
        site.network.run_for(50 * MS)
        assert site.netdma.tally.declined[Reason.NOT_KEPT] > 0, "the adapter ran short, and lent"
        site.copier.is_automatic = True
        assert site.read(reader, SIZE) == NOISE[:SIZE]


@pytest.mark.requirement("NDMA-21")
@pytest.mark.parametrize("how", ["pause", "low power", "halt"])
def test_a_pause_waits_for_buffers_that_are_kept(how: str) -> None:
    with ToldSite(NetDmaOptions(patience_ns=10 * S)) as site:
        reader, _ = hold(site)
        adapter = site.host.bench.adapter
        assert site.netdma.holds
        site.host.world.clock.call_after(MS, lambda: setattr(site.copier, "is_automatic", True))
        if how == "pause":
            adapter.pause()
            assert not len(site.netdma.holds) and site.netdma.tally.failures == 0
            assert adapter.restart() == NDIS_STATUS.SUCCESS
        elif how == "low power":
            adapter.set_power(DevicePowerState.D3)
            assert not len(site.netdma.holds)
            adapter.set_power(DevicePowerState.D0)
        else:
            adapter.halt()
            assert not len(site.netdma.holds)
            adapter.initialize()
            adapter.bind(site.host.protocol)
            adapter.restart()
        assert site.read(reader, 20_000) == NOISE[:20_000]


@pytest.mark.requirement("NDMA-21")
def test_sockets_end_while_the_engine_copies(site: ToldSite) -> None:
    first, _ = hold(site)
    first.abort()
    second, far = site.connect(port=81)
    far.write_all(NOISE[:5000])
    site.network.run_for(MS)
    second.close()
    assert site.netdma.outstanding > 0
    site.copier.is_automatic = True
    site.network.run_for(10 * MS)
    assert site.netdma.outstanding == 0 == len(site.netdma.holds)
    assert all("posted" not in each.label for each in site.memory.live)


# -- when it does not work -----------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-22")
def test_what_fails_is_copied_by_the_processor(site: ToldSite) -> None:
    reader, far = hold(site)
    site.copier.channels[0].fail()
    site.copier.is_automatic = True
    assert site.read(reader, 20_000) == NOISE[:20_000]
    tally = site.netdma.tally
    assert tally.failures >= 1 and tally.bytes_finished == tally.bytes_by_processor > 0
    site.download(reader, far)
    assert tally.bytes_by_engine > 0.9 * SIZE, "the channel is good again"


@pytest.mark.requirement("NDMA-22")
def test_an_interrupt_that_is_lost_is_made_up_for_by_looking(site: ToldSite) -> None:
    reader, _ = hold(site)
    for channel in site.copier.channels:
        channel.is_mute = True
    site.copier.is_automatic = True
    assert site.read(reader, 20_000) == NOISE[:20_000]
    tally = site.netdma.tally
    assert tally.looked_up >= 1 and tally.failures == tally.bytes_finished == 0


@pytest.mark.requirement("NDMA-22")
def test_an_engine_that_stands_still_is_given_up_and_tried_again() -> None:
    with ToldSite(NetDmaOptions(patience_ns=2 * MS, retry_ns=20 * MS)) as site:
        reader, far = hold(site)
        (channel,) = site.copier.channels
        began = site.network.clock.now_ns
        assert site.read(reader, 20_000) == NOISE[:20_000]
        assert channel.is_freed and channel.polls >= 1 and not site.copier.channels
        assert 2 * MS <= site.network.clock.now_ns - began <= 10 * MS
        site.download(reader, far, 5000)
        assert site.netdma.tally.declined[Reason.NO_CHANNEL] > 0 and not site.copier.channels
        site.network.run_for(20 * MS)
        site.copier.is_automatic = True
        site.download(reader, far)
        assert site.netdma.tally.bytes_by_engine > 0.9 * SIZE


@pytest.mark.requirement("NDMA-22")
def test_tries_become_rarer_while_the_engine_stays_dead() -> None:
    with ToldSite(NetDmaOptions(patience_ns=MS, retry_ns=4 * MS, retry_max_ns=16 * MS)) as site:
        site.copier.is_automatic = False
        reader, far = site.connect()
        tries = []
        for _ in range(60):
            far.write_all(NOISE[:3000])
            assert site.read(reader, 3000) == NOISE[:3000]
            tries.append(site.netdma.tally.failures)
            site.network.run_for(MS)
        assert 3 <= tries[-1] <= 9, "with 4, 8, 16, 16 ... ms between them"


@pytest.mark.requirement("NDMA-22")
@pytest.mark.parametrize("code", [Code.REMOVAL, Code.POWER_DOWN])
def test_a_provider_that_goes_and_comes_back(site: ToldSite, code: Code) -> None:
    reader, far = hold(site)
    channels = list(site.copier.channels)
    site.netdma.pnp_event(code, None)
    if code is Code.POWER_DOWN:  # clients drain
        site.copier.is_automatic = True
    assert site.read(reader, 20_000) == NOISE[:20_000]
    moved = site.copier.moved
    far.write_all(NOISE[:30_000])
    assert site.read(reader, 30_000) == NOISE[:30_000]
    assert site.copier.moved == moved
    site.netdma.pnp_event(Code.ARRIVAL if code is Code.REMOVAL else Code.POWER_UP, None)
    site.copier.is_automatic = True
    site.download(reader, far)
    assert site.copier.moved > moved + 0.9 * SIZE
    assert (channels[0] in site.copier.channels) is (code is Code.POWER_DOWN)


@pytest.mark.requirement("NDMA-22")
def test_a_channel_without_room_is_asked_again(site: ToldSite) -> None:
    reader, far = hold(site, 3000)
    site.copier.channels[0].is_full = True
    far.write_all(NOISE[3000:20_000])
    site.network.run_for(MS)
    assert site.netdma.tally.declined[Reason.REFUSED] > 0
    site.copier.channels[0].is_full = False
    site.copier.is_automatic = True
    assert site.read(reader, 20_000) == NOISE[:20_000]
    assert not site.copier.channels[0].is_freed


@pytest.mark.requirement("NDMA-20")
@pytest.mark.parametrize("channels", [0, 1, 2])
def test_fewer_channels_than_processors(channels: int) -> None:
    with ToldSite(channels=channels, queues=4, cpus=4) as site:
        pairs = [site.connect(port=port) for port in range(80, 86)]
        for reader, far in pairs:
            site.download(reader, far, 50_000)
        assert len(site.copier.channels) == min(channels, len(site.copier.channels)) <= channels
        assert (site.copier.moved > 0) is (channels > 0)


# -- what stands in the way ----------------------------------------------------------------------------------


@pytest.mark.requirement("INV-49", "POL-30", "NDMA-20")
def test_nothing_is_moved_beside_what_netdma_does_not_work_with(site: ToldSite) -> None:
    reader, far = site.connect()
    for component in [each for each in Component if not each.is_of_a_binding]:
        site.host.coexistence.attach(component)
        before = site.copier.moved
        site.download(reader, far, 20_000)
        assert site.copier.moved == before
        site.host.coexistence.detach(component)
        site.download(reader, far, 20_000)
        assert site.copier.moved > before + 15_000


@pytest.mark.requirement("INV-49", "NDMA-22")
@pytest.mark.parametrize("how", ["component", "switch"])
def test_what_is_under_way_is_finished_when_it_is_forbidden(site: ToldSite, how: str) -> None:
    reader, far = hold(site)
    under_way = site.netdma.outstanding
    if how == "component":
        site.host.coexistence.attach(Component.IPSEC)
    else:
        site.host.set_switches(Switches(EnableTCPA=False))
    far.write_all(NOISE[20_000:60_000])
    site.network.run_for(MS)
    assert site.netdma.outstanding == under_way, "no new copies"
    site.copier.is_automatic = True
    assert site.read(reader, 60_000) == NOISE[:60_000]
    assert site.netdma.tally.copies == under_way


@pytest.mark.requirement("INV-49", "POL-30")
def test_an_obstacle_on_one_binding(site: ToldSite) -> None:
    (binding,) = site.host.protocol.bindings
    site.host.coexistence.attach(Component.NDIS_5_1_INTERMEDIATE, binding.handle)
    reader, far = site.connect()
    site.download(reader, far)
    assert site.copier.moved == 0 and site.netdma.tally.declined[Reason.OBSTACLE] > 30
    site.host.coexistence.detach(Component.NDIS_5_1_INTERMEDIATE, binding.handle)
    site.download(reader, far)
    assert site.copier.moved > 0.9 * SIZE


@pytest.mark.requirement("INV-49", "POL-30", "NDMA-21")
@pytest.mark.parametrize("has_chimney", [False, True])
def test_an_intermediate_driver_comes_and_goes_while_buffers_are_kept(has_chimney: bool) -> None:
    with ToldSite(NetDmaOptions(patience_ns=S)) as site:
        reader, far = hold(site)
        clock = site.network.clock
        clock.call_after(MS, lambda: setattr(site.copier, "is_automatic", True))
        driver = IntermediateDriver(has_chimney=has_chimney)
        site.host.insert(driver)
        assert site.read(reader, 20_000) == NOISE[:20_000]
        before = site.copier.moved
        site.download(reader, far)
        assert driver.received > 30
        assert (site.copier.moved > before) is has_chimney
        site.copier.is_automatic = False
        far.write_all(NOISE[:20_000])
        site.network.run_for(500 * US)
        assert bool(site.netdma.holds) is has_chimney
        clock.call_after(MS, lambda: setattr(site.copier, "is_automatic", True))
        site.host.remove()
        assert site.read(reader, 20_000) == NOISE[:20_000]
        before = site.copier.moved
        site.download(reader, far)
        assert site.copier.moved > before + 0.9 * SIZE and site.netdma.tally.failures == 0


@pytest.mark.requirement("NDMA-20")
def test_without_the_switch_there_is_no_hook() -> None:
    with ToldSite(NetDmaOptions(switches=Switches(EnableTCPA=False))) as site:
        assert not site.netdma.is_listening
        reader, far = site.connect()
        site.download(reader, far, 50_000)
        site.host.set_switches(Switches())
        site.download(reader, far, 50_000)
        assert 40_000 < site.copier.moved <= 50_000


def test_options_have_bounds() -> None:
    wrongs: tuple[dict[str, Any], ...] = (
        {"minimum_bytes": 0},
        {"patience_ns": 0},
        {"retry_ns": 5, "retry_max_ns": 4},
    )
    for wrong in wrongs:
        with pytest.raises(ArgumentError):
            NetDmaOptions(**wrong)
