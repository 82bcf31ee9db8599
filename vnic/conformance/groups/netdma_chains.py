"""NetDMA chains made by hand: started, appended, suspended, aborted at every step of the engine."""

from __future__ import annotations

from typing import Any

from vnic.abi import DmaPurpose, EventType
from vnic.conformance.case import provider_case
from vnic.conformance.chain import REPORT, Chain
from vnic.conformance.pages import ddi
from vnic.events import Event
from vnic.host.bus import PAGE, Direction
from vnic.netdma.descriptor import NET_DMA, NET_DMA_TRANSFER_STATUS
from vnic.netdma.types import NTSTATUS
from vnic.testbench.copy_bench import CopyBench

_STATUS = NET_DMA_TRANSFER_STATUS
_OK = NTSTATUS.SUCCESS
_START = ddi("nc-netdma-dma_start_handler", "netdma")
_APPEND = ddi("nc-netdma-dma_append_handler", "netdma")
_ABORT = ddi("nc-netdma-dma_abort_handler", "netdma")
_SUSPEND = ddi("nc-netdma-dma_suspend_handler", "netdma")
_DESCRIPTOR = ddi("ns-netdma-_net_dma_descriptor", "netdma")
#: The engine moves by steps of the case only, in one range of bus addresses.
_RAW: dict[str, Any] = {"manual": True, "scatter": False, "channels": 2, "cpus": 2}
_V1: dict[str, Any] = _RAW | {"version": (1, 0)}
_V2: dict[str, Any] = _RAW | {"version": (2, 0)}


def _append_at_every_step(bench: CopyBench, moment: int) -> None:
    with Chain(bench) as chain:
        chain.put([0, 1], onward=2)
        chain.put([2], onward=3)
        chain.put([3, 4])
        assert chain.start(0, 1) == _OK
        chain.steps(moment)
        assert chain.append(2) == _OK
        chain.steps(moment // 2)
        assert chain.append(3, 4) == _OK
        bench.settle()
        assert chain.copied == {0, 1, 2, 3, 4}, f"after {moment} steps: pieces {sorted(chain.copied)} arrived"
        chain.ends_at(4, _STATUS.IDLE)


def _suspend_at_every_step(bench: CopyBench, moment: int) -> None:
    with Chain(bench) as chain:
        chain.put([0, 1, 2, 3])
        assert chain.start(0, 1, 2, 3) == _OK
        chain.steps(moment)
        status, last = chain.handle.suspend()
        assert status == _OK, f"Suspend ends {status!s}"
        done = chain.copied
        assert done == set(range(len(done))), f"pieces {sorted(done)} are copied after Suspend"
        assert last == (chain.pointer(len(done) - 1).physical if done else 0), (
            "Suspend names another descriptor"
        )
        if done:
            chain.ends_at(len(done) - 1, _STATUS.SUSPEND)
        chain.steps(20)
        assert chain.copied == done, "a suspended engine copies"
        assert chain.handle.resume() == _OK
        bench.settle()
        assert chain.copied == {0, 1, 2, 3}, f"after Resume pieces {sorted(chain.copied)} are copied"


@provider_case(
    _APPEND, "what is appended is processed, whenever it comes: while the engine works, or is idle", **_V2
)
def append_at_every_step(bench: CopyBench) -> None:
    """Append two chains with the engine stopped after 0 to 11 of its steps, version 2.0."""
    for moment in range(12):
        _append_at_every_step(bench, moment)


@provider_case(
    _APPEND, "what is appended is processed, whenever it comes: while the engine works, or is idle", **_V1
)
def append_at_every_step_with_version_1(bench: CopyBench) -> None:
    """The same with version 1.0, where a chain ends by NULL."""
    for moment in range(12):
        _append_at_every_step(bench, moment)


@provider_case(
    _SUSPEND, "Suspend finishes the current descriptor, says which was the last, and Resume goes on", **_V2
)
def suspend_and_resume_at_every_step(bench: CopyBench) -> None:
    """Suspend a chain of four after 0 to 11 steps, version 2.0."""
    for moment in range(12):
        _suspend_at_every_step(bench, moment)


@provider_case(
    _SUSPEND, "Suspend finishes the current descriptor, says which was the last, and Resume goes on", **_V1
)
def suspend_and_resume_with_version_1(bench: CopyBench) -> None:
    """The same with version 1.0."""
    for moment in range(12):
        _suspend_at_every_step(bench, moment)


@provider_case(
    _ABORT,
    "after Abort or Reset nothing more is read or written, the status is HALTED, and Start works again",
    **_V2,
)
def nothing_after_abort_or_reset(bench: CopyBench) -> None:
    """Abort and reset a chain of four after 0 to 9 steps; then start another."""
    for how in ("abort", "reset"):
        for moment in range(10):
            with Chain(bench) as chain:
                chain.put([0, 1, 2, 3], [chain.make(place, REPORT) for place in range(4)])
                chain.put([6])
                assert chain.start(0, 1, 2, 3) == _OK
                chain.steps(moment)
                assert getattr(chain.handle, how)() == _OK
                before = bytes(chain.target.view)
                found = chain.handle.completion.status
                assert found == _STATUS.HALTED, f"the status is {found!r} after {how}"
                chain.steps(20)
                bench.settle()
                assert bytes(chain.target.view) == before, f"memory changes after {how}"
                assert chain.start(6) == _OK
                bench.settle()
                assert 6 in chain.copied, f"nothing is copied after {how} and Start"
                chain.ends_at(6, _STATUS.IDLE)


@provider_case(
    _START, "Start on a running channel finishes the current descriptor and goes on with the new chain", **_V2
)
def start_on_a_running_chain(bench: CopyBench) -> None:
    """Start another chain after 0 to 9 steps of one of four."""
    for moment in range(10):
        with Chain(bench) as chain:
            chain.put([0, 1, 2, 3])
            chain.put([6, 7])
            fetched: list[int] = []

            def see(event: Event, chain: Chain = chain, fetched: list[int] = fetched) -> None:
                if event.index == DmaPurpose.DESCRIPTOR:
                    fetched.append(chain.place(event.addr))

            with bench.engine.observe(see, (EventType.DMA_READ,)):
                assert chain.start(0, 1, 2, 3) == _OK
                chain.steps(moment)
                begun = set(fetched)
                assert chain.start(6, 7) == _OK
                bench.settle()
            assert chain.copied == begun | {6, 7}, (
                f"after {moment} steps pieces {sorted(chain.copied)} are copied"
            )
            chain.ends_at(7, _STATUS.IDLE)


@provider_case(
    _DESCRIPTOR,
    "status updates and interrupts come for the descriptors that ask for them, and no others",
    **_V2,
)
def status_and_interrupt_are_independent(bench: CopyBench) -> None:
    """One descriptor with neither flag, with each, with both; plain and as a NULL transfer."""
    for null in (0, NET_DMA.NULL_TRANSFER):
        for flags in (0, NET_DMA.STATUS_UPDATE_ON_COMPLETION, NET_DMA.INTERRUPT_ON_COMPLETION, REPORT):
            with Chain(bench) as chain:
                chain.handle.clear_completion()
                chain.put([0], [chain.make(0, flags | null, transfer_size=1 if null else chain.piece)])
                assert chain.start(0) == _OK
                bench.settle()
                if flags & NET_DMA.STATUS_UPDATE_ON_COMPLETION:
                    chain.ends_at(0, _STATUS.IDLE)
                else:
                    assert chain.handle.completion.address == 0, "a status was written that nobody asked for"
                wanted = [0] if flags & NET_DMA.INTERRUPT_ON_COMPLETION else []
                assert chain.reports == wanted, f"NetDmaInterruptDpc for {chain.reports}, wanted {wanted}"
                assert chain.copied == (set() if null else {0})


@provider_case(_DESCRIPTOR, "a NULL transfer moves nothing, whatever its size and addresses", **_V2)
def null_transfers_move_nothing(bench: CopyBench) -> None:
    """NULL transfers of 0, 1 and 2^32 - 1 bytes between copies."""
    for size in (0, 1, 0xFFFF_FFFF):
        with Chain(bench) as chain:
            null = chain.make(
                1, NET_DMA.NULL_TRANSFER, transfer_size=size, source_address=3, destination_address=5
            )
            chain.put([0, 1, 2], [chain.make(0), null, chain.make(2, REPORT)])
            assert chain.start(0, 1, 2) == _OK
            bench.settle()
            assert chain.copied == {0, 2}
            assert chain.reports == [2]


@provider_case(
    _DESCRIPTOR,
    "with SERIALIZE_TRANSFER a later descriptor sees what an earlier one wrote",
    device={"is_overlapping": True},
    **_V2,
)
def serialized_transfers_see_each_other(bench: CopyBench) -> None:
    """Copy A to B and B to C on an engine that overlaps what is not serialized."""
    with Chain(bench) as chain:
        middle = bench.buffer(b"\x55" * chain.piece, align=PAGE)
        (segment,) = bench.system.map(middle.address, len(middle), Direction.BIDIRECTIONAL)
        first = chain.make(0, NET_DMA.SERIALIZE_TRANSFER, destination_address=segment.addr)
        chain.put([0, 1], [first, chain.make(1, REPORT, source_address=segment.addr)])
        assert chain.start(0, 1) == _OK
        bench.settle()
        got = bytes(chain.target.view[chain.piece : 2 * chain.piece])
        assert got == chain.bytes[: chain.piece], (
            "the second transfer read what the first had not written yet"
        )
        bench.system.unmap([segment], Direction.BIDIRECTIONAL)
        middle.free()
        chain.target.view[: 2 * chain.piece] = bytes(2 * chain.piece)


@provider_case(_DESCRIPTOR, "page breaks continue a transfer at the next source or destination page", **_V2)
def page_breaks(bench: CopyBench) -> None:
    """A page that begins at several offsets on either side, and goes on in another page."""
    for source_at in (0, 1, PAGE - 1):
        for target_at in (0, 7, PAGE - 64):
            with Chain(bench, pieces=3, piece=PAGE) as chain:
                flags = REPORT | NET_DMA.SOURCE_PAGE_BREAK | NET_DMA.DESTINATION_PAGE_BREAK
                one = chain.make(0, flags, transfer_size=PAGE)
                one.source_address += source_at
                one.destination_address += target_at
                one.next_source_address = chain.source_addr + 2 * PAGE
                one.next_destination_address = chain.target_addr + 2 * PAGE
                chain.put([0], [one])
                assert chain.start(0) == _OK
                bench.settle()
                data = (chain.bytes[source_at:PAGE] + chain.bytes[2 * PAGE :])[:PAGE]
                wanted = bytearray(3 * PAGE)
                head = PAGE - target_at
                wanted[target_at:PAGE] = data[:head]
                wanted[2 * PAGE : 2 * PAGE + PAGE - head] = data[head:]
                assert bytes(chain.target.view) == bytes(wanted), (
                    f"from {source_at} to {target_at}: other bytes"
                )


@provider_case(
    _DESCRIPTOR,
    "a descriptor that cannot be done halts the channel, which says so and can be started again",
    **_V2,
)
def descriptors_that_cannot_be_done(bench: CopyBench) -> None:
    """A source and a destination that lead nowhere, in the midst of a chain of three."""
    for wrong in ({"source_address": 1 << 60}, {"destination_address": (1 << 64) - 64}):
        with Chain(bench) as chain:
            chain.put([0, 1, 2], [chain.make(0, REPORT), chain.make(1, **wrong), chain.make(2, REPORT)])
            assert chain.start(0, 1, 2) == _OK
            bench.settle()
            assert chain.reports and chain.reports[-1] is None, "the failure was not told"
            assert chain.copied == {0}, f"pieces {sorted(chain.copied)} are copied"
            assert chain.handle.completion.status == _STATUS.HALTED
            chain.put([5])
            assert chain.start(5) == _OK
            bench.settle()
            assert 5 in chain.copied, "the channel does not start again"
