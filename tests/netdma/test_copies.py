"""Copies through client, interface, provider and engine, in every version, with every kind of interrupt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.netdma.scene import ONE_OF_EACH, VERSIONS, Client, pattern, transfer
from vnic.fuzz.effort import examples
from vnic.gen.descriptors import CopyDescriptor
from vnic.host.bus import PAGE
from vnic.netdma.descriptor import DESCRIPTOR_BYTES
from vnic.netdma.dma_channel import DmaChannel
from vnic.netdma.types import Transfer
from vnic.testbench.bench import Bench
from vnic.testbench.copy_bench import CopyBench


def ring_of(channel: DmaChannel, count: int) -> list[CopyDescriptor]:
    """The first descriptors of a channel's ring, as the engine reads them."""
    memory = channel.handle.memory
    return [CopyDescriptor.unpack(memory.view, n * DESCRIPTOR_BYTES) for n in range(count)]


@pytest.mark.requirement("NDMA-2", "NDMA-6")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("interrupt", ["msix", "msi", "line"])
def test_bytes_arrive_and_nothing_beside_them(version: tuple[int, int], interrupt: str) -> None:
    with CopyBench(version=version, interrupt=interrupt) as bench:
        client = Client(bench)
        channel = client.channel(cpu=2)
        data = pattern(3 * PAGE + 77)
        source = bench.buffer(data, offset=100)
        target = bench.buffer(len(data) + 64, offset=3001)
        copy = Transfer(target.address + 3001, source.address + 100, len(data))
        assert client.copy(channel, copy) and client.copy(channel, copy)
        assert client.ended == []
        bench.settle()
        assert client.ended == [(0, True, 2), (1, True, 2)]
        assert bytes(target.view) == bytes(3001) + data + bytes(64)
        assert (channel.bytes, channel.transfers, channel.errors, channel.outstanding) == (
            2 * len(data),
            2,
            0,
            0,
        )
        channel.free()
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-2", "INV-66")
@pytest.mark.parametrize(("version", "descriptors", "breaks"), [((1, 0), 6, False), ((2, 0), 2, True)])
def test_page_breaks_are_used_where_the_version_has_them(
    version: tuple[int, int], descriptors: int, breaks: bool
) -> None:
    """Each page has a bus address of its own: 3 pages to 3 pages at other offsets."""
    with CopyBench(version=version) as bench:
        client = Client(bench)
        channel = client.channel()
        data = pattern(3 * PAGE)
        source, target = bench.buffer(data, align=PAGE, offset=16), bench.buffer(len(data), align=PAGE)
        client.copy(channel, Transfer(target.address, source.address + 16, len(data)))
        bench.settle()
        assert bytes(target.view) == data and client.results == [True]
        made = ring_of(channel, channel.descriptors)
        assert any(d.src_brk or d.dst_brk for d in made) == breaks
        assert channel.descriptors >= descriptors
        assert sum(d.size for d in made) == len(data)
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-4", "NDMA-5")
@pytest.mark.parametrize("version", VERSIONS)
def test_chains_end_as_the_version_says(version: tuple[int, int]) -> None:
    with CopyBench(version=version, manual=True) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(256)), bench.buffer(256)
        for n in range(3):
            client.copy(channel, transfer(target, source, at=n * 64, length=64))
        base = channel.handle.memory.addr
        links = [descriptor.next for descriptor in ring_of(channel, 3)]
        last = base + 3 * DESCRIPTOR_BYTES if version >= (2, 0) else 0
        assert links == [base + 64, base + 128, last]
        bench.engine.is_manual = False
        bench.settle()
        assert client.results == [True, True, True]
        assert bytes(target.view) == pattern(256)[:192] + bytes(64)
        source.free()
        target.free()


@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_only_the_last_descriptor_reports(version: tuple[int, int]) -> None:
    with CopyBench(version=version) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(1024)), bench.buffer(1024)
        client.copy(channel, *[transfer(target, source, at=at, length=128) for at in range(0, 1024, 128)])
        made = ring_of(channel, 8)
        assert [(d.int_en, d.compl_write, d.fence) for d in made] == [(0, 0, 0)] * 7 + [(1, 1, 1)]
        bench.settle()
        assert client.results == [True] and bytes(target.view) == pattern(1024)
        source.free()
        target.free()


@pytest.mark.requirement("INV-65")
@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_transfers_that_meet_are_serialized(version: tuple[int, int], overlapping: bool) -> None:
    """A to B, then B to C, then C to A: with a fence each sees what the one before wrote."""
    with CopyBench(version=version, device={"is_overlapping": overlapping}) as bench:
        client = Client(bench)
        channel = client.channel()
        a, b, c = bench.buffer(pattern(300)), bench.buffer(300), bench.buffer(300)
        client.copy(channel, transfer(b, a), transfer(c, b), transfer(c, a, length=8))
        assert [d.fence for d in ring_of(channel, 3)] == [1, 1, 1]
        bench.settle()
        assert bytes(b.view) == bytes(c.view) == pattern(300)
        for buffer in (a, b, c):
            buffer.free()


@pytest.mark.requirement("INV-64")
def test_no_transfer_and_no_bytes_complete_too() -> None:
    with CopyBench() as bench:
        client = Client(bench)
        channel = client.channel()
        nothing = bench.buffer(64)
        assert client.copy(channel) and client.copy(channel, Transfer(nothing.address, nothing.address, 0))
        bench.settle()
        assert client.results == [True, True] and channel.bytes == 0
        nothing.free()


@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_a_full_ring_takes_nothing_and_goes_on(version: tuple[int, int]) -> None:
    with CopyBench(version=version, manual=True, ring=8) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(640)), bench.buffer(640)
        taken = [client.copy(channel, transfer(target, source, at=n * 64, length=64)) for n in range(9)]
        assert taken == [True] * 7 + [False] * 2
        bench.engine.is_manual = False
        bench.settle()
        assert client.results == [True] * 7
        for n in range(40):
            assert client.copy(channel, transfer(target, source, at=n % 10 * 64, length=64))
            bench.settle()
        assert client.results == [True] * 47 and bytes(target.view) == pattern(640)
        source.free()
        target.free()


@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_more_than_a_transfer_can_be_is_split(version: tuple[int, int]) -> None:
    with CopyBench(version=version, scatter=False, device={"transfer_log2": 13}) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(20_000)), bench.buffer(20_000)
        client.copy(channel, transfer(target, source))
        assert [d.size for d in ring_of(channel, 3)] == [8192, 8192, 20_000 - 16_384]
        bench.settle()
        assert bytes(target.view) == pattern(20_000) and client.results == [True]
        source.free()
        target.free()


def test_context_changes_come_first_where_dca_is_announced() -> None:
    with CopyBench(options={"announces_dca": True}) as bench:
        client = Client(bench)
        channel = client.channel(cpu=3)
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        for _ in range(2):
            client.copy(channel, transfer(target, source))
        assert [(d.op, d.size) for d in ring_of(channel, 3)] == [(0xFF, 3), (0, 64), (0, 64)]
        bench.settle()
        assert client.results == [True, True]
        source.free()
        target.free()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("delay_us", [0, 500])
def test_interrupts_that_the_engine_delays(delay_us: int, strict: bool) -> None:
    with CopyBench(options={"interrupt_delay_us": delay_us}, strict_dma=strict) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(640)), bench.buffer(640)
        for n in range(10):
            client.copy(channel, transfer(target, source, at=n * 64, length=64))
        bench.processors.run_until_idle()
        assert len(client.ended) == (0 if delay_us else 10)
        bench.advance(delay_us * 1000)
        assert client.results == [True] * 10
        assert sum(bench.processors[cpu].interrupts for cpu in range(4)) <= 2
        source.free()
        target.free()


@pytest.mark.requirement("NDMA-10")
def test_it_lives_beside_a_card_in_one_machine() -> None:
    with (
        Bench(queues=1) as bench,
        CopyBench(
            world=bench.world,
            memory=bench.memory,
            processors=bench.processors,
            controller=bench.controller,
            line=bench.system.line,
            interrupt="line",
        ) as copies,
    ):
        client = Client(copies)
        channel = client.channel(cpu=1)
        source, target = copies.buffer(pattern(5000)), copies.buffer(5000)
        client.copy(channel, transfer(target, source))
        bench.settle()
        assert client.ended == [(0, True, 1)] and bytes(target.view) == pattern(5000)
        channel.free()
        source.free()
        target.free()


_SPAN = 3 * PAGE
_places = st.tuples(st.integers(0, _SPAN - 1), st.integers(0, _SPAN - 1), st.integers(0, PAGE + 500))


@pytest.mark.requirement("INV-65", "INV-66", "NDMA-2")
@examples(30)
@given(
    calls=st.lists(st.lists(_places, max_size=5), min_size=1, max_size=4),
    version=st.sampled_from(VERSIONS),
    overlapping=st.booleans(),
    scatter=st.booleans(),
)
def test_any_copies_equal_one_after_the_other(
    calls: list[list[tuple[int, int, int]]], version: tuple[int, int], overlapping: bool, scatter: bool
) -> None:
    """Ranges of one buffer over each other, several transfers a call: as if by the processor, in order."""
    device = {"is_overlapping": overlapping, "transfer_log2": 12}
    with CopyBench(version=version, scatter=scatter, device=device, manual=True) as bench:
        client = Client(bench)
        channel = client.channel()
        memory = bench.buffer(pattern(_SPAN), offset=100)
        expected = bytearray(memory.view)
        for call in calls:
            transfers = []
            for destination, source, wanted in call:
                apart = abs(destination - source)
                length = min(wanted, apart, _SPAN + 100 - max(destination, source))
                transfers.append(Transfer(memory.address + destination, memory.address + source, length))
                expected[destination : destination + length] = expected[source : source + length]
            assert client.copy(channel, *transfers)
        bench.settle()
        assert bytes(memory.view) == expected
        assert client.results == [True] * len(calls)
        memory.free()
