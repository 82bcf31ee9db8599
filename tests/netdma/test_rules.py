"""Every rule of the interface, broken by a toy provider or client: raised with rule, page and history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.netdma.scene import ONE_OF_EACH, REPORT, Client, RawChain, pattern, transfer
from vnic.errors import LeakError
from vnic.host.cpu import Level
from vnic.netdma.channel_handle import ChannelHandle
from vnic.netdma.descriptor import NET_DMA, OP_TYPE_CONTEXT_CHANGE, DescriptorPointer
from vnic.netdma.provider import Provider
from vnic.netdma.rules import RULES
from vnic.netdma.types import (
    NET_DMA_CHANNEL_PARAMETERS,
    NET_DMA_PNP_NOTIFICATION,
    NET_DMA_PNP_NOTIFICATION_CODE,
    NET_DMA_PROVIDER_ATTRIBUTES,
    NET_DMA_PROVIDER_CHARACTERISTICS,
    NTSTATUS,
    Transfer,
    Version,
)
from vnic.netdma.watch import NetDmaViolation
from vnic.testbench.copy_bench import CopyBench


@contextmanager
def breach(rule: str, bench: CopyBench, driver: str) -> Iterator[None]:
    """The block breaks a rule, `driver` is the one who did."""
    with pytest.raises(NetDmaViolation) as caught:
        yield
    violation = caught.value
    assert (violation.rule, violation.driver) == (RULES[rule], driver), str(violation)
    assert violation.rule_id in str(violation) and violation.source_page in str(violation)
    assert violation.history == tuple(bench.interface.watch.history)[: len(violation.history)]
    assert bench.interface.violations[0] is violation


@contextmanager
def bench_of(**settings: Any) -> Iterator[CopyBench]:
    """A bench that nobody closes: what was broken stays so."""
    bench = CopyBench(**settings)
    try:
        yield bench
    finally:
        bench.abandon()


def record(bench: CopyBench) -> Any:
    """The provider's record."""
    assert bench.provider.record is not None
    return bench.provider.record


# -- life of a provider --------------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-1", "NDMA-7")
@pytest.mark.parametrize("what", ["start", "deregister", "stop", "forgotten"])
def test_the_order_of_a_life(what: str) -> None:
    with bench_of() as bench:
        netdma, known = bench.interface, record(bench)
        if what == "forgotten":
            bench.provider.stop_device()
            bench.provider.remove_device()
        elif what == "stop":
            bench.provider.stop_device()
        with breach("lifecycle", bench, "Provider"):
            if what == "start":
                netdma.provider_start(known, known.attributes)
            elif what == "stop":
                netdma.provider_stop(known)
            else:
                netdma.deregister_provider(known)


@pytest.mark.requirement("NDMA-2")
@pytest.mark.parametrize(
    "changed",
    [
        {"allocate_dma_channel": None},
        {"free_dma_channel": None},
        {"start_dma": None},
        {"append_dma": None},
        {"suspend_dma": None},
        {"resume_dma": None},
        {"max_dma_channel_count": 0},
        {"flags": 2},
        {"version": Version(1, 1), "flags": 1},
    ],
)
def test_characteristics(changed: dict[str, Any]) -> None:
    class Wrong(Provider):
        """Registers something else."""

        def _characteristics(self) -> NET_DMA_PROVIDER_CHARACTERISTICS:
            return replace(super()._characteristics(), **changed)

    with bench_of(driver=Wrong, starts=False) as bench, breach("characteristics", bench, "Wrong"):
        bench.provider.add_device()


@pytest.mark.requirement("NDMA-2")
def test_a_version_that_the_interface_does_not_have() -> None:
    with (
        bench_of(version=(2, 0), netdma_version=(1, 1), starts=False) as bench,
        breach("version", bench, "Provider"),
    ):
        bench.provider.add_device()
    with bench_of(version=(1, 0), netdma_version=(1, 0)) as bench, breach("version", bench, "Provider"):
        bench.interface.get_version(bench.provider)


@pytest.mark.requirement("NDMA-2", "NDMA-8")
def test_a_provider_of_1_0_does_not_notify() -> None:
    with bench_of(version=(1, 0)) as bench, breach("version", bench, "Provider"):
        down = NET_DMA_PNP_NOTIFICATION_CODE.POWER_DOWN
        bench.interface.pnp_event_notify(record(bench), NET_DMA_PNP_NOTIFICATION(down))


@pytest.mark.requirement("NDMA-3")
@pytest.mark.parametrize(
    "changed",
    [
        {"dma_channel_count": 0},
        {"dma_channel_count": 17},
        {"maximum_transfer_size": 4095},
        {"maximum_address_space": 0},
        {"flags": 1},
    ],
)
def test_attributes(changed: dict[str, int]) -> None:
    class Wrong(Provider):
        """Starts with something else."""

        def _attributes(self, capacities: Any) -> NET_DMA_PROVIDER_ATTRIBUTES:
            return replace(super()._attributes(capacities), **changed)

    with bench_of(driver=Wrong, starts=False) as bench:
        bench.provider.add_device()
        with breach("attributes", bench, "Wrong"):
            bench.provider.start_device()


@pytest.mark.requirement("NDMA-8")
@pytest.mark.parametrize("events", ["up", "down down", "removal", "data"])
def test_notifications(events: str) -> None:
    code = NET_DMA_PNP_NOTIFICATION_CODE
    with bench_of() as bench:
        last = {
            "up": NET_DMA_PNP_NOTIFICATION(code.POWER_UP),
            "down down": NET_DMA_PNP_NOTIFICATION(code.POWER_DOWN),
            "removal": NET_DMA_PNP_NOTIFICATION(code.REMOVAL),
            "data": NET_DMA_PNP_NOTIFICATION(code.POWER_DOWN, buffer=b"x"),
        }[events]
        if events == "down down":
            bench.interface.pnp_event_notify(record(bench), last)
        with breach("notify", bench, "Provider"):
            bench.interface.pnp_event_notify(record(bench), last)


# -- channels of a provider ----------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-3")
@pytest.mark.parametrize("what", ["twice", "processor"])
def test_channels(what: str) -> None:
    class Wrong(Provider):
        """Gives channel 0 to everybody, or names no processor."""

        def allocate_dma_channel(
            self, context: object, parameters: NET_DMA_CHANNEL_PARAMETERS, handle: object
        ) -> tuple[NTSTATUS, object]:
            if what == "twice":
                self.channels[0].use = None
            status, channel = super().allocate_dma_channel(context, parameters, handle)
            if what == "processor":
                parameters.cpu_number = -1
            return status, channel

    with bench_of(driver=Wrong) as bench:
        client = Client(bench)
        if what == "twice":
            client.channel()
        with breach("channel", bench, "Wrong"):
            client.channel()


def first_chain(**settings: Any) -> Any:
    """A bench with a raw chain of three descriptors put and not started."""

    @contextmanager
    def made() -> Iterator[RawChain]:
        with bench_of(**{"manual": True, "scatter": False} | settings) as bench:
            chain = RawChain(bench)
            chain.put([0, 1, 2])
            yield chain

    return made()


@pytest.mark.requirement("NDMA-2")
def test_statuses() -> None:
    class Wrong(Provider):
        """Returns what StartDma does not."""

        def start_dma(self, *_: Any) -> Any:
            return 0x103

    with first_chain(driver=Wrong) as chain, breach("status", chain.bench, "Wrong"):
        chain.start(0, 1, 2)


@pytest.mark.requirement("INV-62", "NDMA-7")
@pytest.mark.parametrize("how", ["abort", "reset"])
def test_a_halt_that_is_not_shown(how: str) -> None:
    class Wrong(Provider):
        """Stops the channel and forgets the status."""

        def abort_dma(self, channel: Any) -> NTSTATUS:
            channel._report = lambda *_: None
            return super().abort_dma(channel)

        def reset_channel(self, channel: Any) -> NTSTATUS:
            channel._report = lambda *_: None
            return super().reset_channel(channel)

    with first_chain(driver=Wrong) as chain:
        chain.start(0, 1, 2)
        with breach("halted", chain.bench, "Wrong"):
            getattr(chain.handle, how)()


@pytest.mark.requirement("INV-61", "NDMA-7")
def test_a_suspend_that_names_no_descriptor() -> None:
    class Wrong(Provider):
        """Answers with the status in it."""

        def suspend_dma(self, channel: object) -> tuple[NTSTATUS, int]:
            status, last = super().suspend_dma(channel)
            return status, last | 2

    with first_chain(driver=Wrong) as chain:
        chain.start(0, 1, 2)
        with breach("suspended", chain.bench, "Wrong"):
            chain.handle.suspend()


@pytest.mark.requirement("NDMA-7")
def test_a_level_that_is_left_raised() -> None:
    class Wrong(Provider):
        """Comes back at DISPATCH."""

        def start_dma(self, channel: object, first: DescriptorPointer, address: int, count: int) -> NTSTATUS:
            self._processors[self._processors.current].level = Level.DISPATCH
            return super().start_dma(channel, first, address, count)

    with first_chain(driver=Wrong) as chain, breach("level", chain.bench, "Wrong"):
        chain.start(0, 1, 2)


# -- interrupts ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-6", "NDMA-7")
def test_interrupts_at_their_levels() -> None:
    with bench_of() as bench:
        handle = Client(bench).channel().handle
        with breach("level", bench, "Provider"):
            bench.interface.isr(handle, handle.memory.addr)
        bench.interface.violations.clear()
        with breach("level", bench, "Provider"):
            bench.interface.interrupt_dpc(handle, handle.memory.addr)


@pytest.mark.requirement("NDMA-6")
def test_interrupts_with_descriptors_that_are_none() -> None:
    with bench_of() as bench:
        handle = Client(bench).channel().handle
        with bench.processors.raised_to(Level.DIRQL), breach("isr", bench, "Provider"):
            bench.interface.isr(handle, handle.memory.addr + 8)
        for address in (handle.memory.addr + 8, handle.memory.addr - 64, handle.memory.addr + (1 << 20)):
            bench.interface.violations.clear()
            with bench.processors.raised_to(Level.DISPATCH), breach("dpc", bench, "Provider"):
                bench.interface.interrupt_dpc(handle, address)


@pytest.mark.requirement("NDMA-1", "NDMA-11")
def test_interrupts_of_a_channel_that_is_gone() -> None:
    with bench_of() as bench:
        channel = Client(bench).channel()
        channel.free()
        with bench.processors.raised_to(Level.DIRQL), breach("quiet", bench, "Provider"):
            bench.interface.isr(channel.handle, 0)


# -- clients -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-58", "NDMA-7")
@pytest.mark.parametrize("version", ONE_OF_EACH)
@pytest.mark.parametrize("after", ["allocate", "abort", "reset"])
def test_append_before_start(version: tuple[int, int], after: str) -> None:
    with first_chain(version=version) as chain:
        if after != "allocate":
            chain.start(0, 1, 2)
            getattr(chain.handle, after)()
        with breach("append", chain.bench, "Client"):
            chain.handle.append(chain.pointer(0), 3)
        chain.bench.engine.run()
        assert chain.copied == set()


@pytest.mark.requirement("NDMA-7")
def test_a_channel_after_it_was_freed() -> None:
    with bench_of() as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        channel.free()
        with breach("freed", bench, "Client"):
            client.copy(channel, transfer(target, source))
    with first_chain() as chain:
        chain.client.handle.free_raw_channel(chain.handle)
        for call in (
            lambda: chain.start(0, 1, 2),
            chain.handle.abort,
            chain.handle.suspend,
            chain.handle.free,
        ):
            chain.bench.interface.violations.clear()
            with breach("freed", chain.bench, "Client"):
                call()


@pytest.mark.requirement("NDMA-7")
def test_clients_at_device_level() -> None:
    with bench_of() as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        calls: list[Callable[[], object]] = [
            lambda: client.copy(channel, transfer(target, source)),
            client.channel,
            channel.free,
            lambda: channel.handle.start(DescriptorPointer(channel.handle.memory, 0), 1),
        ]
        for call in calls:
            bench.interface.violations.clear()
            with bench.processors.raised_to(Level.DIRQL), breach("level", bench, "Client"):
                call()


@pytest.mark.requirement("NDMA-7")
@pytest.mark.parametrize("what", ["self", "outside", "negative"])
def test_transfers(what: str) -> None:
    with bench_of() as bench:
        client = Client(bench)
        channel = client.channel()
        source = bench.buffer(pattern(128))
        wrong = {
            "self": Transfer(source.address + 1, source.address, 2),
            "outside": Transfer(source.address, 0x100, 64),
            "negative": Transfer(source.address, source.address + 64, -1),
        }[what]
        with breach("transfer", bench, "Client"):
            client.copy(channel, wrong)
        assert bench.system.iommu.mapped == [] and channel.outstanding == 0


@pytest.mark.requirement("NDMA-7")
def test_memory_in_flight_is_unmapped() -> None:
    with bench_of(manual=True) as bench:
        client = Client(bench)
        channel = client.channel()
        source, target = bench.buffer(pattern(64)), bench.buffer(64)
        client.copy(channel, transfer(target, source))
        segment, direction = bench.system.iommu.mapped[0]
        bench.system.unmap([segment], direction)
        bench.engine.is_manual = False
        with breach("mapped", bench, "Client"):
            bench.settle()


@pytest.mark.requirement("NDMA-7")
def test_suspend_and_resume_by_turns() -> None:
    with first_chain() as chain:
        with breach("suspend", chain.bench, "Client"):
            chain.handle.suspend()
        chain.bench.interface.violations.clear()
        chain.start(0, 1, 2)
        with breach("suspend", chain.bench, "Client"):
            chain.handle.resume()
        chain.handle.suspend()
        chain.bench.interface.violations.clear()
        with breach("suspend", chain.bench, "Client"):
            chain.handle.suspend()


@pytest.mark.requirement("NDMA-2", "NDMA-7")
@pytest.mark.parametrize("name", ["suspend", "resume", "abort", "reset"])
def test_functions_that_the_provider_does_not_have(name: str) -> None:
    options = {"has_suspend": False, "has_abort": False, "has_reset": False}
    with first_chain(options=options) as chain, breach("optional", chain.bench, "Client"):
        getattr(chain.handle, name)()


CHAINS: list[tuple[str, dict[str, int], tuple[int, int]]] = [
    ("size", {"transfer_size": 0}, (1, 0)),
    ("size", {"transfer_size": 4097}, (2, 0)),
    ("flags", {"control_flags": 1 << 8}, (2, 0)),
    ("flags", {"control_flags": 1 << 11}, (1, 0)),
    ("flags", {"control_flags": 0x0100_0000}, (2, 0)),
    ("flags", {"control_flags": int(NET_DMA.SOURCE_PAGE_BREAK)}, (1, 1)),
    ("flags", {"control_flags": int(NET_DMA.DESTINATION_DCA_ENABLE)}, (1, 0)),
    ("flags", {"control_flags": OP_TYPE_CONTEXT_CHANGE}, (2, 0)),
    (
        "alignment",
        {"control_flags": int(NET_DMA.DESTINATION_PAGE_BREAK), "next_destination_address": 64},
        (2, 0),
    ),
]


@pytest.mark.requirement("NDMA-7", "INV-67")
@pytest.mark.parametrize(("rule", "changed", "version"), CHAINS)
def test_descriptors(rule: str, changed: dict[str, int], version: tuple[int, int]) -> None:
    with first_chain(version=version, device={"transfer_log2": 12}) as chain:
        chain.put([0, 1, 2], chain.make(0), chain.make(1, **changed), chain.make(2, REPORT))
        with breach(rule, chain.bench, "Client"):
            chain.start(0, 1, 2)
        chain.bench.engine.run()
        assert chain.copied == set(), "the provider was not called"


@pytest.mark.requirement("NDMA-7")
@pytest.mark.parametrize("version", ONE_OF_EACH)
def test_the_links_of_a_chain(version: tuple[int, int]) -> None:
    with first_chain(version=version) as chain:
        chain.pointer(2).link(chain.pointer(3).physical + 8)
        with breach("alignment", chain.bench, "Client"):
            chain.start(0, 1, 2)
        chain.bench.interface.violations.clear()
        chain.pointer(2).link(0 if chain.is_counted else chain.pointer(3).physical)
        with breach("chain", chain.bench, "Client"):
            chain.start(0, 1, 2)
        chain.bench.interface.violations.clear()
        with breach("chain", chain.bench, "Client"):
            chain.handle.start(chain.pointer(0), 0)


@pytest.mark.requirement("NDMA-7")
def test_a_first_descriptor_that_is_not_aligned() -> None:
    with first_chain() as chain, breach("alignment", chain.bench, "Client"):
        chain.handle.start(DescriptorPointer(chain.handle.memory, 8), 1)


@pytest.mark.requirement("NDMA-7")
def test_addresses_beyond_what_the_engine_reaches() -> None:
    class Narrow(Provider):
        """An engine of 36 address bits."""

        def _attributes(self, capacities: Any) -> NET_DMA_PROVIDER_ATTRIBUTES:
            return replace(super()._attributes(capacities), maximum_address_space=(1 << 36) - 1)

    with first_chain(driver=Narrow) as chain:
        chain.put([0], chain.make(0, source_address=(1 << 36) - 32, destination_address=0))
        with breach("size", chain.bench, "Client"):
            chain.start(0)


# -- what the bench itself catches ---------------------------------------------------------------------------


@pytest.mark.requirement("NDMA-7", "NDMA-11")
def test_a_breach_that_is_hidden_and_a_leak_end_the_bench() -> None:
    with pytest.raises(NetDmaViolation), CopyBench() as bench:
        handle = Client(bench).channel().handle
        with pytest.raises(NetDmaViolation):
            bench.interface.isr(handle, 0)
    with pytest.raises(LeakError), CopyBench() as bench:
        bench.system.alloc_coherent(64)


def test_a_handle_of_the_interface_is_what_a_provider_gets() -> None:
    with CopyBench() as bench:
        assert isinstance(Client(bench).channel().handle, ChannelHandle)


def test_every_rule_is_broken_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert {rule for rule in RULES if f'"{rule}"' not in source} == set()
