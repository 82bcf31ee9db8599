"""NetDMA, the machine around an engine: processors, shared lines, no interrupts, removal, low power."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vnic.conformance.case import provider_case
from vnic.conformance.chain import REPORT, Chain, CopyClient, content
from vnic.conformance.pages import ddi, netdma
from vnic.errors import CapacityError
from vnic.gen.registers import COPY_BAR0
from vnic.host.interrupts import Irq
from vnic.netdma.descriptor import NET_DMA_DESCRIPTOR
from vnic.netdma.types import NTSTATUS, Transfer
from vnic.testbench.copy_bench import CopyBench

_OK = NTSTATUS.SUCCESS
_PARAMETERS = ddi("ns-netdma-_net_dma_channel_parameters", "netdma")
_INTERRUPT = netdma("handling-a-netdma-interrupt")
#: The engine moves by steps of the case only, in one range of bus addresses.
_RAW: dict[str, Any] = {"manual": True, "scatter": False, "channels": 2, "cpus": 2}
_V2: dict[str, Any] = _RAW | {"version": (2, 0)}


def _names_its_processor(bench: CopyBench) -> None:
    client = CopyClient(bench)
    count = len(bench.processors)
    source, target = bench.buffer(content(64)), bench.buffer(64)
    for cpu in (count - 1, 1, 0, 2):
        channel = client.handle.allocate_channel(cpu)
        assert channel is not None
        assert channel.cpu == cpu, f"CpuNumber is {channel.cpu}, the channel was asked for processor {cpu}"
        before = len(client.ended)
        assert client.copy(channel, Transfer(target.address, source.address, 64))
        bench.settle()
        assert [each[2] for each in client.ended[before:]] == [cpu], (
            f"a copy for {cpu} ended as {client.ended[before:]}"
        )
        channel.free()
    source.free()
    target.free()


@provider_case(_PARAMETERS, "CpuNumber is one of the processors asked for", channels=4, cpus=4)
def names_the_processor_of_a_channel(bench: CopyBench) -> None:
    """Allocate one channel after the other for each of four processors, a vector for each channel."""
    _names_its_processor(bench)


@provider_case(
    _PARAMETERS,
    "CpuNumber is one of the processors asked for, though channels share a vector",
    channels=4,
    cpus=4,
    device={"vectors": 1},
)
def names_the_processor_with_one_vector(bench: CopyBench) -> None:
    """The same with one vector for all channels."""
    _names_its_processor(bench)


@provider_case(
    _PARAMETERS,
    "CpuNumber is one of the processors asked for, though channels share the line",
    channels=4,
    cpus=4,
    interrupt="line",
)
def names_the_processor_with_the_line(bench: CopyBench) -> None:
    """The same with the INTx line."""
    _names_its_processor(bench)


@provider_case(
    _INTERRUPT,
    "on a shared line an ISR says FALSE when its engine did not interrupt",
    channels=4,
    cpus=4,
    interrupt="line",
)
def interrupts_of_another_device(bench: CopyBench) -> None:
    """Another device on the line interrupts before, between and after copies; the engine claims none."""
    line = bench.system.line
    assert line.irqs, "the provider has no handler on the line"
    claims: list[bool] = []
    is_other = [False]
    for irq in line.irqs:
        genuine = irq.handler
        assert genuine is not None

        def watched(vector: int, genuine: Callable[[int], bool | None] = genuine) -> bool | None:
            claimed = genuine(vector)
            if is_other[0]:
                claims.append(claimed is not False)
            return claimed

        irq.handler = watched

    def serve(vector: int) -> bool:
        was_other, is_other[0] = is_other[0], False
        line.drive("other", False)
        return was_other

    other = Irq(99, handler=serve)
    line.connect(other)
    client = CopyClient(bench)
    channel = client.handle.allocate_channel(1)
    assert channel is not None
    source, target = bench.buffer(content(64)), bench.buffer(64)
    for turn in range(20):
        is_other[0] = True
        line.drive("other", True)
        bench.settle()
        assert claims == [False] * (turn + 1), f"interrupt {turn} of another device: claimed {claims[turn:]}"
        assert client.copy(channel, Transfer(target.address, source.address, 64))
        bench.settle()
        assert len(client.ended) == turn + 1, "a copy never ended"
    line.disconnect(other)
    channel.free()
    source.free()
    target.free()


@provider_case(
    ddi("nf-netdma-netdmaregisterprovider", "netdma"),
    "a provider that cannot have its interrupts does not start, gives everything back, and starts later",
    starts=False,
)
def no_interrupts_to_be_had(bench: CopyBench) -> None:
    """The machine grants no vector; then it does."""
    genuine = bench.system.vectors.allocate

    def none(minimum: int, maximum: int, kinds: Any) -> int:
        raise CapacityError("no interrupts")

    setattr(bench.system.vectors, "allocate", none)  # noqa: B010 - an instance's own
    assert bench.provider.add_device() == _OK
    assert bench.provider.start_device() != _OK, "it starts without an interrupt"
    bench.system.assert_no_leaks()
    setattr(bench.system.vectors, "allocate", genuine)  # noqa: B010
    assert bench.provider.start_device() == _OK
    with Chain(bench) as chain:
        chain.put([0, 1])
        assert chain.start(0, 1) == _OK
        bench.settle()
        assert chain.copied == {0, 1}


@provider_case(
    ddi("ns-netdma-_net_dma_provider_attributes", "netdma"),
    "a transfer may be as long as MaximumTransferSize, and of every length up to it",
    channels=1,
    cpus=1,
    scatter=False,
    device={"transfer_log2": 16},
)
def transfers_of_the_largest_size(bench: CopyBench) -> None:
    """Copy MaximumTransferSize bytes, one less, and twice as many and one more."""
    client = CopyClient(bench)
    channel = client.handle.allocate_channel(0)
    assert channel is not None and bench.provider.record is not None
    most = bench.provider.record.attributes.maximum_transfer_size
    for size in (most - 1, most, 2 * most + 1):
        source, target = bench.buffer(content(size)), bench.buffer(size)
        before = len(client.ended)
        assert client.copy(channel, Transfer(target.address, source.address, size)), (
            f"{size} bytes are refused"
        )
        bench.settle()
        assert [each[1] for each in client.ended[before:]] == [True], f"a copy of {size} bytes failed"
        assert bytes(target.view) == bytes(source.view), f"of {size} bytes others arrived"
        source.free()
        target.free()
    channel.free()


@provider_case(
    netdma("handling-a-netdma-interrupt-dpc"),
    "when the engine is gone every call ends, and says that it failed",
    is_rough=True,
    **_V2,
)
def calls_after_a_surprise_removal(bench: CopyBench) -> None:
    """Pull the engine under a chain; start, append and suspend before anybody says so; then it is said."""
    chain = Chain(bench)
    chain.put([0, 1, 2], onward=3)
    chain.put([3])
    assert chain.start(0, 1, 2) == _OK
    chain.steps(3)
    bench.engine.remove()
    before = bench.clock.now_ns
    ended = [chain.append(3), chain.handle.suspend()[0], chain.start(3)]
    assert set(ended) <= {NTSTATUS.UNSUCCESSFUL}, (
        f"of an engine that is gone calls end {[str(each) for each in ended]}"
    )
    took = bench.clock.now_ns - before
    assert took < 1_000_000_000, f"calls wait {took / 1e9:.1f} s for an engine that is gone"
    bench.provider.surprise_removal()
    assert chain.reports[-1:] == [None], "the failure was not told"
    chain.__exit__(None, None, None)


@provider_case(
    ddi("nf-netdma-netdmapnpeventnotify", "netdma"),
    "chains run after low power as before it, on channels that were idle, suspended and halted",
    version=(2, 0),
    **_RAW,
)
def low_power_between_chains(bench: CopyBench) -> None:
    """A chain; low power and back; another chain with an Append; an error; low power and back; a chain."""
    with Chain(bench, pieces=16) as chain:
        chain.put([0, 1])
        assert chain.start(0, 1) == _OK
        bench.settle()
        assert bench.provider.power_down() == _OK
        bench.provider.power_up()
        chain.put([3, 4], onward=5)
        chain.put([5])
        assert chain.start(3, 4) == _OK, "no Start after low power"
        assert chain.append(5) == _OK
        bench.settle()
        assert chain.copied == {0, 1, 3, 4, 5}, f"pieces {sorted(chain.copied)} are copied after low power"
        chain.put([7, 8], [chain.make(7, source_address=1 << 60), chain.make(8, REPORT)])
        assert chain.start(7, 8) == _OK
        bench.settle()
        assert chain.reports[-1] is None, "the failure was not told"
        assert bench.provider.power_down() == _OK
        bench.provider.power_up()
        chain.put([10, 11])
        assert chain.start(10, 11) == _OK
        bench.settle()
        assert {10, 11} <= chain.copied, "nothing is copied after an error and low power"


@provider_case(
    ddi("nf-netdma-netdmaregisterprovider", "netdma"),
    "what somebody left in an engine is over when its provider starts: nothing of it moves",
    starts=False,
    manual=True,
    scatter=False,
    channels=4,
    cpus=4,
)
def channels_that_somebody_left_at_work(bench: CopyBench) -> None:
    """Each of four channels has a chain, and runs, when the provider starts, and when it starts again."""
    system, size = bench.system, 64
    memory = system.alloc_coherent(12 * size)
    for turn in range(2):
        memory.view[:] = content(len(memory), turn)
        system.enable_device()
        system.set_master()
        window = system.window(0)
        for channel in range(4):
            at = channel * 3 * size
            copy = NET_DMA_DESCRIPTOR(size, 0, memory.addr + at + size, memory.addr + at + 2 * size)
            memory.view[at : at + size] = copy.pack()
            window.write64(COPY_BAR0.CHAINADDR.at(channel), memory.addr + at)
            window.write16(COPY_BAR0.CHANCMD.at(channel) + 2, 1)
        before = bytes(memory.view)
        bench.start()
        bench.settle()
        assert bytes(memory.view) == before, "a chain of nobody's is done after the start"
        with Chain(bench, cpu=3) as chain:
            chain.put([0, 1])
            assert chain.start(0, 1) == _OK
            bench.settle()
            assert chain.copied == {0, 1}
        bench.provider.stop_device()
        bench.provider.remove_device()
    system.free_coherent(memory)
