"""NetDMA: a provider between the interface and its engine, through chains made by hand and copies of a
client."""

from __future__ import annotations

import random

from vnic.conformance.case import provider_case
from vnic.conformance.chain import CopyClient, content
from vnic.conformance.pages import ddi, netdma
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE, NTSTATUS, Transfer
from vnic.testbench.copy_bench import CopyBench

_OK = NTSTATUS.SUCCESS
_START = ddi("nc-netdma-dma_start_handler", "netdma")
_APPEND = ddi("nc-netdma-dma_append_handler", "netdma")
_POWER = ddi("nf-netdma-netdmapnpeventnotify", "netdma")


def copies(bench: CopyBench, client: CopyClient, channel: object, sizes: list[int]) -> None:
    """Copy buffers of these sizes, at odd offsets; every byte arrives, and none beside them."""
    made = []
    for number, size in enumerate(sizes):
        source = bench.buffer(content(size, number), align=1)
        target = bench.buffer(size + 2, align=1)
        made.append((source, target, size))
        before = len(client.ended)
        assert client.copy(channel, Transfer(target.address + 1, source.address, size)), (
            "a copy was not taken"
        )
        bench.settle()
        assert [ended[1] for ended in client.ended[before:]] == [True], f"a copy of {size} bytes failed"
    for number, (source, target, size) in enumerate(made):
        assert bytes(target.view) == b"\0" + content(size, number) + b"\0", f"{size} bytes arrived wrong"
        source.free()
        target.free()


@provider_case(_START, "a provider copies what the descriptors say", channels=4, cpus=4)
def copies_of_all_sizes(bench: CopyBench) -> None:
    """A client copies 1 byte to 100,000 bytes on each of four channels."""
    client = CopyClient(bench)
    for cpu in range(4):
        channel = client.handle.allocate_channel(cpu)
        assert channel is not None
        copies(bench, client, channel, [1, 2, 63, 64, 65, 4095, 4096, 4097, 20_000, 100_000])
        channel.free()


@provider_case(
    _START, "a provider of version 1.0 works as one of 2.0 does", version=(1, 0), cpus=2, channels=2
)
def copies_with_version_1(bench: CopyBench) -> None:
    """The same with version 1.0."""
    client = CopyClient(bench)
    channel = client.handle.allocate_channel(0)
    assert channel is not None
    copies(bench, client, channel, [1, 64, 4096, 4097, 50_000])
    channel.free()


@provider_case(_APPEND, "copies end in the order in which they were given", cpus=2, channels=2, ring=64)
def many_copies_in_order(bench: CopyBench) -> None:
    """A client posts 300 copies on a channel of 64 descriptors, as they find room."""
    client = CopyClient(bench)
    channel = client.handle.allocate_channel(0)
    assert channel is not None
    source, target = bench.buffer(content(300 * 40)), bench.buffer(300 * 40)
    posted = 0
    while posted < 300:
        move = Transfer(target.address + posted * 40, source.address + posted * 40, 40)
        if client.copy(channel, move):
            posted += 1
        else:
            before = len(client.ended)
            bench.settle()
            assert len(client.ended) > before, "no room, and nothing ends"
    bench.settle()
    assert [number for number, _, _ in client.ended] == list(range(300)), "copies ended in another order"
    assert all(is_copied for _, is_copied, _ in client.ended)
    assert bytes(target.view) == bytes(source.view)
    channel.free()
    source.free()
    target.free()


@provider_case(
    _POWER, "a provider tells of PowerDown and PowerUp; channels work again afterwards", cpus=2, channels=2
)
def low_power_and_back(bench: CopyBench) -> None:
    """Copies, low power and back three times; copies that are under way when it begins end."""
    code = NET_DMA_PNP_NOTIFICATION_CODE
    client = CopyClient(bench)
    channel = client.handle.allocate_channel(0)
    assert channel is not None
    for _ in range(3):
        copies(bench, client, channel, [100, 5000])
        assert bench.provider.power_down() == _OK
        bench.provider.power_up()
        assert client.events[-2:] == [code.POWER_DOWN, code.POWER_UP], f"clients heard {client.events[-2:]}"
    copies(bench, client, channel, [100, 5000])
    channel.free()


@provider_case(
    ddi("nf-netdma-netdmaproviderstop", "netdma"),
    "a provider that stops ends everything and gives everything back",
    cpus=2,
    channels=2,
)
def stops_and_starts(bench: CopyBench) -> None:
    """Stop and start with a client that has channels, three times."""
    code = NET_DMA_PNP_NOTIFICATION_CODE
    client = CopyClient(bench)
    for _ in range(3):
        channel = client.handle.allocate_channel(1)
        assert channel is not None
        copies(bench, client, channel, [4000])
        bench.provider.stop_device()
        assert client.events[-1] is code.REMOVAL, "clients were not told"
        bench.system.assert_no_leaks()
        assert bench.provider.start_device() == _OK


@provider_case(
    netdma("handling-a-netdma-interrupt-dpc"),
    "what is outstanding when the engine is gone ends as an error, at once",
    is_rough=True,
    manual=True,
    cpus=2,
    channels=2,
)
def surprise_removal(bench: CopyBench) -> None:
    """Pull the engine out with six copies under way on two channels."""
    client = CopyClient(bench)
    channels = [client.handle.allocate_channel(cpu) for cpu in range(2)]
    source, target = bench.buffer(content(256)), bench.buffer(256)
    for channel in channels:
        for _ in range(3):
            assert client.copy(channel, Transfer(target.address, source.address, 256))
    bench.step(0)
    before = bench.clock.now_ns
    bench.remove()
    assert [is_copied for _, is_copied, _ in client.ended] == [False] * 6, (
        f"{len(client.ended)} of 6 copies ended"
    )
    assert bench.clock.now_ns - before < 1_000_000_000, "it waits for an engine that is gone"
    assert client.events[-1] is NET_DMA_PNP_NOTIFICATION_CODE.REMOVAL
    bench.system.assert_no_leaks()
    source.free()
    target.free()


@provider_case(
    netdma("handling-a-netdma-interrupt-dpc"),
    "interrupts of a channel go to the processor that it was allocated for",
    channels=4,
    cpus=4,
)
def channels_on_their_processors(bench: CopyBench) -> None:
    """Four channels for four processors; each copy ends on the processor of its channel."""
    client = CopyClient(bench)
    channels = [client.handle.allocate_channel(cpu) for cpu in (3, 1, 2, 0)]
    source, target = bench.buffer(content(64)), bench.buffer(64)
    wanted = []
    for number, channel in enumerate(channels):
        assert channel is not None
        wanted.append((number, True, channel.cpu))
        assert client.copy(channel, Transfer(target.address, source.address, 64))
    bench.settle()
    assert sorted(client.ended) == wanted, f"copies ended {client.ended}"
    for channel in channels:
        assert channel is not None
        channel.free()
    source.free()
    target.free()


def _with_interrupts(bench: CopyBench) -> None:
    client = CopyClient(bench)
    channels = [client.handle.allocate_channel(cpu) for cpu in range(4)]
    for channel in channels:
        assert channel is not None
        copies(bench, client, channel, [64, 5000])
    for channel in channels:
        assert channel is not None
        channel.free()


@provider_case(
    netdma("handling-a-netdma-interrupt-dpc"),
    "a provider works with the line",
    channels=4,
    cpus=4,
    interrupt="line",
)
def works_with_the_line(bench: CopyBench) -> None:
    """Copies on four channels that share the INTx line."""
    _with_interrupts(bench)


@provider_case(
    netdma("handling-a-netdma-interrupt-dpc"),
    "a provider works with fewer vectors than channels",
    channels=4,
    cpus=4,
    device={"vectors": 1},
)
def works_with_one_vector(bench: CopyBench) -> None:
    """Copies on four channels that share a vector."""
    _with_interrupts(bench)


@provider_case(
    ddi("nf-netdma-netdmaregisterprovider", "netdma"),
    "a provider declines an engine that is not there",
    starts=False,
)
def declines_an_engine_that_is_gone(bench: CopyBench) -> None:
    """Every register reads all ones at the start; then the engine is there."""
    bench.engine.remove()
    assert bench.provider.add_device() == _OK
    assert bench.provider.start_device() != _OK, "it starts without an engine"
    bench.engine.insert()
    assert bench.provider.start_device() == _OK
    client = CopyClient(bench)
    channel = client.handle.allocate_channel(0)
    assert channel is not None
    copies(bench, client, channel, [100])
    channel.free()


@provider_case(
    _APPEND,
    "channels are used by several processors at once",
    seeds=(31, 32, 33),
    channels=4,
    cpus=4,
    ring=32,
)
def races_of_four_processors(bench: CopyBench) -> None:
    """Two hundred copies on four channels under three schedules; each ends once, in order of its channel."""
    choose = random.Random(bench.processors.seed)
    client = CopyClient(bench)
    channels = [client.handle.allocate_channel(cpu) for cpu in range(4)]
    source, target = bench.buffer(content(200 * 32)), bench.buffer(200 * 32)
    of: list[int] = []
    while len(of) < 200:
        which = choose.randrange(4)
        at = len(of) * 32
        with bench.processors.on(choose.randrange(4)):
            if client.copy(channels[which], Transfer(target.address + at, source.address + at, 32)):
                of.append(which)
        if choose.random() < 0.2:
            bench.settle()
    bench.settle()
    assert len(client.ended) == 200, f"{len(client.ended)} of 200 copies ended"
    for which in range(4):
        order = [number for number, _, _ in client.ended if of[number] == which]
        assert order == sorted(order), f"copies of channel {which} ended in another order"
    assert bytes(target.view) == bytes(source.view)
    for channel in channels:
        assert channel is not None
        channel.free()
    source.free()
    target.free()
