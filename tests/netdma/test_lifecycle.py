"""A provider's life: registration, start, stop, power, removal; what clients hear, and what is left."""

from __future__ import annotations

import pytest

from tests.netdma.scene import ONE_OF_EACH, VERSIONS, Client, pattern, transfer
from vnic.abi import EventType
from vnic.gen.registers import CONFIG, COPY_BAR0
from vnic.host.bus import InterruptKind
from vnic.netdma.interface import NetDma
from vnic.netdma.provider import Provider, ProviderOptions
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE as CODE
from vnic.netdma.types import NTSTATUS, Version
from vnic.testbench.copy_bench import CopyBench
from vnic.testbench.world import World

MS = 1_000_000


@pytest.mark.requirement("NDMA-1", "NDMA-8", "NDMA-11")
@pytest.mark.parametrize("version", VERSIONS)
def test_start_and_stop_may_repeat(version: tuple[int, int]) -> None:
    with CopyBench(version=version) as bench:
        client = Client(bench)
        source, target = bench.buffer(pattern(100)), bench.buffer(100)
        for turn in range(3):
            channel = client.channel()
            assert client.copy(channel, transfer(target, source))
            bench.provider.stop_device()
            assert client.results == [True] * (turn + 1), "Stop waits for what is outstanding"
            assert channel.handle.is_freed and not client.copy(channel, transfer(target, source))
            bench.system.assert_no_leaks()
            assert bench.engine.config_read(CONFIG.COMMAND.offset, 2) & 0x6 == 0
            assert bench.provider.start_device() == NTSTATUS.SUCCESS
        assert client.events == [CODE.REGISTERED, CODE.ARRIVAL, *[CODE.REMOVAL, CODE.ARRIVAL] * 3]
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-1", "NDMA-11")
@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_stop_in_mid_flight_ends_what_the_engine_does_not_do(version: tuple[int, int]) -> None:
    """The engine stands still: the wait ends, the channel is reset, nothing is written after that."""
    with CopyBench(version=version, manual=True) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(400)), bench.buffer(400)
        for n in range(3):
            client.copy(channel, transfer(target, source, at=n * 100, length=100))
        bench.provider.stop_device()
        assert client.results == [False] * 3 and channel.errors == 3
        bench.system.assert_no_leaks()
        bench.engine.run()
        assert bytes(target.view) == bytes(400)
        assert not client.copy(channel, transfer(target, source))
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-3")
def test_attributes_are_the_engines() -> None:
    device = {"channels": 3, "vectors": 3, "transfer_log2": 14, "vendor_id": 0x1234}
    with CopyBench(device=device) as bench:
        record = bench.provider.record
        assert record is not None
        attributes = record.attributes
        assert (attributes.dma_channel_count, attributes.maximum_transfer_size) == (3, 1 << 14)
        assert (attributes.vendor_id, attributes.maximum_address_space) == (0x1234, (1 << 64) - 1)
        assert (attributes.major_hw_version, attributes.minor_hw_version) == (3, 2)


@pytest.mark.requirement("NDMA-3", "NDMA-8", "NDMA-10")
def test_channels_are_given_once_and_come_back() -> None:
    with CopyBench(channels=3) as bench:
        clients = [Client(bench) for _ in range(2)]
        held = [clients[0].channel(0), clients[1].channel(1), clients[0].channel(2)]
        assert len({channel.handle.context for channel in held}) == 3
        assert clients[1].handle.allocate_channel() is None
        held[0].free()
        held[0].free()
        bench.settle()
        assert clients[1].events[-1] == CODE.CHANNEL_ARRIVAL
        assert CODE.CHANNEL_ARRIVAL not in clients[0].events
        assert clients[1].handle.allocate_channel() is not None
        clients[1].handle.deregister()
        bench.settle()
        assert clients[0].events[-1] == CODE.CHANNEL_ARRIVAL


@pytest.mark.requirement("NDMA-8", "NDMA-11")
@pytest.mark.parametrize("interrupt", ["msix", "msi", "line"])
@pytest.mark.parametrize("version", [(1, 1), (2, 0)])
def test_power_down_drains_and_power_up_starts_again(version: tuple[int, int], interrupt: str) -> None:
    with CopyBench(version=version, interrupt=interrupt) as bench:
        client = Client(bench)
        channels = [client.channel(cpu) for cpu in range(2)]
        source, target = bench.buffer(pattern(500)), bench.buffer(500)
        for channel in channels:
            client.copy(channel, transfer(target, source))
        assert bench.provider.power_down() == NTSTATUS.SUCCESS
        assert client.results == [True, True]
        assert bench.engine.config_read(CONFIG.PM_CTRL.offset) & 3 == 3
        assert not client.copy(channels[0], transfer(target, source))
        assert client.handle.allocate_channel() is None
        bench.provider.power_up()
        assert client.events[-2:] == [CODE.POWER_DOWN, CODE.POWER_UP]
        target.view[:] = bytes(500)
        for channel in channels:
            assert client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.results == [True] * 4 and bytes(target.view) == pattern(500)
        assert [channel.errors for channel in channels] == [0, 0]
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-8")
def test_after_power_up_every_channel_gets_a_start() -> None:
    with CopyBench() as bench:
        client = Client(bench)
        channel = client.channel()
        bench.provider.power_down()
        bench.provider.power_up()
        last = [call.text for call in bench.interface.watch.history]
        assert [text.partition("(")[0] for text in last].count("ProviderStartDma") == 1
        assert channel.handle.completion.address == channel.handle.memory.addr
        assert client.events[-1] == CODE.POWER_UP


@pytest.mark.requirement("NDMA-8")
def test_a_provider_of_1_0_stays_awake_under_its_clients() -> None:
    with CopyBench(version=(1, 0)) as bench:
        client = Client(bench)
        channel = client.channel()
        assert bench.provider.power_down() == NTSTATUS.UNSUCCESSFUL
        channel.free()
        assert bench.provider.power_down() == NTSTATUS.SUCCESS
        bench.provider.power_up()
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.results == [True] and CODE.POWER_DOWN not in client.events
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-11")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("interrupt", ["msix", "line"])
def test_surprise_removal_ends_everything_as_an_error(version: tuple[int, int], interrupt: str) -> None:
    with CopyBench(version=version, interrupt=interrupt, manual=True) as bench:
        client = Client(bench)
        channels = [client.channel(cpu) for cpu in range(3)]
        source, target = bench.buffer(pattern(300)), bench.buffer(300)
        for channel in channels:
            client.copy(channel, transfer(target, source))
            client.copy(channel, transfer(target, source))
        bench.step(0)
        before = bench.clock.now_ns
        bench.remove()
        assert client.results == [False] * 6
        assert bench.clock.now_ns == before, "nobody waits for an engine that is gone"
        assert client.events[-1] == CODE.REMOVAL
        assert all(channel.handle.is_freed and channel.outstanding == 0 for channel in channels)
        bench.system.assert_no_leaks()
        bench.settle()
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-11")
def test_an_engine_that_vanishes_unseen_is_given_up() -> None:
    """The bus has not said anything yet: reads are all ones, writes go nowhere."""
    with CopyBench() as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        bench.engine.remove()
        assert not client.copy(channel, transfer(target, source))
        assert client.ended == [] and channel.outstanding == 0
        bench.provider.surprise_removal()
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-10")
def test_channels_spread_over_the_processors_and_vectors_move() -> None:
    with CopyBench(channels=4, cpus=4) as bench:
        client = Client(bench)
        channels = [client.channel(cpu) for cpu in (3, 1, 2, 0)]
        assert [channel.cpu for channel in channels] == [3, 1, 2, 0]
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        for channel in channels:
            client.copy(channel, transfer(target, source))
        bench.settle()
        assert [bench.processors[cpu].interrupts for cpu in range(4)] == [1, 1, 1, 1]
        assert sorted(client.ended) == [(n, True, channel.cpu) for n, channel in enumerate(channels)]
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-10")
def test_where_the_vector_cannot_go_the_dpc_does() -> None:
    with CopyBench(channels=4, cpus=4, interrupt="line") as bench:
        client = Client(bench)
        channel = client.channel(cpu=3)
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.ended == [(0, True, 3)]
        assert [bench.processors[cpu].dpcs for cpu in range(4)] == [0, 0, 0, 1]
        source.free()
        target.free()


@pytest.mark.parametrize(
    ("device", "kind"),
    [({"vectors": 1}, InterruptKind.MSIX), ({"vectors": 4}, InterruptKind.MSIX)],
)
def test_fewer_vectors_than_channels_share_one(device: dict[str, int], kind: InterruptKind) -> None:
    with CopyBench(channels=4, device=device) as bench:
        client = Client(bench)
        channels = [client.channel(cpu) for cpu in range(4)]
        source, target = bench.buffer(pattern(256)), bench.buffer(256)
        for n, channel in enumerate(channels):
            client.copy(channel, transfer(target, source, at=64 * n, length=64))
        bench.settle()
        assert bench.system.vector_kind == kind
        assert sorted(client.ended) == [(n, True, n) for n in range(4)]
        assert bytes(target.view) == pattern(256)
        source.free()
        target.free()


def test_a_function_that_is_no_engine_is_declined() -> None:
    with CopyBench(starts=False) as bench:
        provider = Provider(bench.system, bench.processors, bench.interface)
        bench.engine.remove()
        assert provider.add_device() == NTSTATUS.SUCCESS
        assert provider.start_device() == NTSTATUS.UNSUCCESSFUL
        bench.engine.insert()
        assert provider.start_device() == NTSTATUS.SUCCESS
        provider.stop_device()
        provider.remove_device()


@pytest.mark.requirement("NDMA-2")
def test_the_version_of_the_interface() -> None:
    assert NetDma(version=Version(2, 0)).get_version() == 0x0002_0000
    assert NetDma(version=Version(1, 1)).get_version() == 0x0001_0001
    assert ProviderOptions().version == (2, 0)


@pytest.mark.requirement("NDMA-2")
def test_a_provider_without_the_optional_functions_is_used_all_the_same() -> None:
    options = {"has_suspend": False, "has_abort": False, "has_reset": False}
    with CopyBench(options=options, manual=True) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        client.copy(channel, transfer(target, source))
        channel.free()
        assert channel.outstanding == 1, "nothing can stop it: the channel goes when it is done"
        bench.settle()
        assert client.results == [True] and channel.handle.is_freed
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-5")
def test_a_provider_of_2_0_only_counts() -> None:
    """Append: one write of DMACOUNT, and no descriptor read by the processor."""
    with CopyBench(manual=True) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(256)), bench.buffer(256)
        client.copy(channel, transfer(target, source, length=64))
        written: list[tuple[int, int]] = []
        offset = COPY_BAR0.CHANCMD.at(0)
        with bench.engine.observe(
            lambda event: written.append((event.addr - offset, event.value)), [EventType.MMIO_WRITE]
        ):
            client.copy(
                channel,
                transfer(target, source, at=64, length=64),
                transfer(target, source, at=128, length=64),
            )
        assert written == [(2, 3)]
        bench.engine.is_manual = False
        bench.settle()
        source.free()
        target.free()


class Declining(Provider):
    """One whose AddDevice fails."""

    def add_device(self) -> NTSTATUS:
        """Nothing was begun."""
        return NTSTATUS.RESOURCES


def test_a_provider_that_declines_leaves_no_engine_in_the_world() -> None:
    world, before = World(), set(CopyBench.open)
    with pytest.raises(RuntimeError, match="RESOURCES"):
        CopyBench(world=world, driver=Declining)
    world.tell_time()
    assert not world.pump()
    assert set(CopyBench.open) == before
    with CopyBench(world=world) as bench:
        assert bench.world is world
