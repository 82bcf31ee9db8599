"""NetDMA, what a provider says of its engine: attributes, versions, several clients, few vectors."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import provider_case
from vnic.conformance.chain import CopyClient, content
from vnic.conformance.groups.netdma import copies
from vnic.conformance.pages import ddi, manual
from vnic.netdma.types import Transfer
from vnic.testbench.copy_bench import CopyBench

_ATTRIBUTES = ddi("ns-netdma-_net_dma_provider_attributes", "netdma")
_ALLOCATE = ddi("nc-netdma-dma_channel_allocate_handler", "netdma")


def _attributes(bench: CopyBench, channels: int, transfer_log2: int) -> None:
    """What NetDmaProviderStart was told is the engine's."""
    record = bench.provider.record
    assert record is not None
    found = record.attributes
    said = (found.dma_channel_count, found.maximum_transfer_size, found.vendor_id)
    right = (channels, 1 << transfer_log2, 0x8086)
    assert said == right, f"channels, MaximumTransferSize and VendorId are {said}, the engine's {right}"
    hardware = found.major_hw_version, found.minor_hw_version
    assert hardware == (3, 2), f"the hardware's version is {hardware}, CBVER says 3.2"
    assert found.maximum_address_space >= (1 << 40) - 1, f"{found.maximum_address_space:#x}"
    client = CopyClient(bench)
    given = [client.handle.allocate_channel(0) for _ in range(channels)]
    assert None not in given, f"of {channels} channels {given.count(None)} are not to be had"
    assert client.handle.allocate_channel(0) is None, "a channel more than the engine has"
    copies(bench, client, given[-1], [1, 5000, (1 << transfer_log2) + 1 if transfer_log2 < 20 else 9000])
    for channel in given:
        assert channel is not None
        channel.free()


@provider_case(
    _ATTRIBUTES, "the attributes are those of the engine", channels=1, device={"transfer_log2": 12}
)
def attributes_of_the_least_engine(bench: CopyBench) -> None:
    """One channel, transfers of 4 KiB: attributes, all channels and one more, copies in several transfers."""
    _attributes(bench, 1, 12)


@provider_case(
    _ATTRIBUTES, "the attributes are those of the engine", channels=16, device={"transfer_log2": 30}
)
def attributes_of_the_largest_engine(bench: CopyBench) -> None:
    """Sixteen channels, transfers of 1 GiB: the same."""
    _attributes(bench, 16, 30)


@provider_case(
    _ALLOCATE, "a channel is one client's alone until it is freed, and then another's", channels=3, cpus=2
)
def channels_of_several_clients(bench: CopyBench) -> None:
    """Two clients take all channels in turn, give them back in another order, and copy at once."""
    clients = CopyClient(bench), CopyClient(bench)
    source, target = bench.buffer(content(4096), align=64), bench.buffer(4096, align=64)
    for turn in range(4):
        held: list[tuple[CopyClient, Any]] = []
        for number in range(3):
            client = clients[(number + turn) % 2]
            channel = client.handle.allocate_channel(number % 2)
            assert channel is not None, f"turn {turn}: no channel {number}"
            held.append((client, channel))
        for client in clients:
            assert client.handle.allocate_channel(0) is None, f"turn {turn}: a fourth channel"
        target.view[:] = bytes(4096)
        before = [len(client.ended) for client in clients]
        for number, (client, channel) in enumerate(held):
            at = number * 1000
            assert client.copy(channel, Transfer(target.address + at, source.address + at, 1000))
        bench.settle()
        ended = [len(client.ended) - count for client, count in zip(clients, before, strict=True)]
        wanted = [sum(each is client for each, _ in held) for client in clients]
        assert ended == wanted, f"turn {turn}: {ended} copies ended by client, {wanted} were theirs"
        assert bytes(target.view[:3000]) == content(4096)[:3000], f"turn {turn}: other bytes"
        for _, channel in held[turn % 3 :] + held[: turn % 3]:
            channel.free()
    source.free()
    target.free()


def _works(bench: CopyBench) -> None:
    client = CopyClient(bench)
    for cpu in range(2):
        channel = client.handle.allocate_channel(cpu)
        assert channel is not None
        copies(bench, client, channel, [1, 64, 4096, 4097, 50_000])
        channel.free()


@provider_case(
    manual("NDMA-2", "netdma"), "a provider of version 1.1 works", version=(1, 1), cpus=2, channels=2
)
def copies_with_version_1_1(bench: CopyBench) -> None:
    """Copies of 1 byte to 50,000 with a provider of version 1.1."""
    _works(bench)


@provider_case(
    manual("NDMA-2", "netdma"), "a provider of version 2.1 works", version=(2, 1), cpus=2, channels=2
)
def copies_with_version_2_1(bench: CopyBench) -> None:
    """The same with version 2.1."""
    _works(bench)


@provider_case(
    manual("DMA-32", "netdma"),
    "a channel without a vector of its own interrupts by vector 0: copies end on all channels",
    channels=6,
    cpus=3,
    device={"vectors": 3},
)
def fewer_vectors_than_channels(bench: CopyBench) -> None:
    """Six channels with three vectors; copies on each alone, and on all at once."""
    client = CopyClient(bench)
    channels = [client.handle.allocate_channel(number % 3) for number in range(6)]
    source, target = bench.buffer(content(6000), align=64), bench.buffer(6000, align=64)
    for together in (False, True):
        target.view[:] = bytes(6000)
        before = len(client.ended)
        for number, channel in enumerate(channels):
            at = number * 1000
            assert client.copy(channel, Transfer(target.address + at, source.address + at, 1000))
            if not together:
                bench.settle()
                assert len(client.ended) == before + number + 1, f"a copy of channel {number} does not end"
        bench.settle()
        done = [is_copied for _, is_copied, _ in client.ended[before:]]
        assert done == [True] * 6, f"{'together' if together else 'one by one'}: {done}"
        assert bytes(target.view) == content(6000)
    for channel in channels:
        assert channel is not None
        channel.free()
    source.free()
    target.free()
