"""NetDMA, ends of chains: one behind the other, freed, failed, edited, and suspended ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vnic.conformance.case import provider_case
from vnic.conformance.chain import REPORT, Chain
from vnic.conformance.pages import ddi, netdma
from vnic.netdma.descriptor import NET_DMA, NET_DMA_TRANSFER_STATUS
from vnic.netdma.types import NTSTATUS
from vnic.testbench.copy_bench import CopyBench

_STATUS = NET_DMA_TRANSFER_STATUS
_OK = NTSTATUS.SUCCESS
_START = ddi("nc-netdma-dma_start_handler", "netdma")
_ABORT = ddi("nc-netdma-dma_abort_handler", "netdma")
_FREE = ddi("nc-netdma-dma_channel_free_handler", "netdma")
_SUSPEND = netdma("suspending-and-resuming-a-dma-transfer")
#: The engine moves by steps of the case only, in one range of bus addresses.
_RAW: dict[str, Any] = {"manual": True, "scatter": False, "channels": 2, "cpus": 2}
_V1: dict[str, Any] = _RAW | {"version": (1, 0)}
_V2: dict[str, Any] = _RAW | {"version": (2, 0)}


def _unheard(bench: CopyBench, count: int) -> None:
    """So many steps of the engine of which no interrupt reaches a processor yet."""
    for _ in range(count):
        for part in bench.engine.runnable:
            bench.engine.step(part)


def _one_chain_after_the_other(bench: CopyBench) -> None:
    """Chains of 1 to 3, each with one appended; what lies behind them would be copied if it were counted."""
    with Chain(bench, pieces=16) as chain:
        at, wanted = 0, set()
        for length in (3, 1, 2, 1):
            here = list(range(at, at + length + 1))
            chain.put(here[:-1], onward=here[-1])
            chain.put(here[-1:])
            if chain.is_counted:  # nobody may follow these: they are not counted
                chain.put([at + length + 1, at + length + 2])
            assert chain.start(*here[:-1]) == _OK
            chain.steps(2 * length)
            assert chain.append(here[-1]) == _OK
            bench.settle()
            wanted |= set(here)
            assert chain.copied == wanted, (
                f"pieces {sorted(chain.copied)} are copied, {sorted(wanted)} should be"
            )
            chain.ends_at(here[-1], _STATUS.IDLE)
            at += length + 1


@provider_case(_START, "a chain is as long as its Start and its Appends say, whatever was before it", **_V2)
def one_chain_after_the_other(bench: CopyBench) -> None:
    """Four chains on one channel, each with an Append, version 2.0."""
    _one_chain_after_the_other(bench)


@provider_case(_START, "a chain ends where NextDescriptor is NULL, whatever was before it", **_V1)
def one_chain_after_the_other_with_version_1(bench: CopyBench) -> None:
    """The same with version 1.0."""
    _one_chain_after_the_other(bench)


@provider_case(
    _START,
    "a count of descriptors has 16 bits in the hardware: chains go on beyond it",
    version=(2, 0),
    **_RAW,
)
def more_descriptors_than_the_count_holds(bench: CopyBench) -> None:
    """Append a descriptor to a chain of NULL transfers until 70,000 were given; the last two copy."""

    with Chain(bench, pieces=16) as chain:
        null = NET_DMA.NULL_TRANSFER
        ring = 12
        chain.put([ring - 1], [chain.make(0, null, transfer_size=1)], onward=0)
        chain.put(list(range(ring)), [chain.make(0, null, transfer_size=1) for _ in range(ring)], onward=0)
        assert chain.handle.start(chain.pointer(0), ring) == _OK
        bench.settle()
        given = ring
        while given < 70_000:
            assert chain.handle.append(chain.pointer(0), 50 * ring) == _OK, f"Append fails after {given}"
            given += 50 * ring
            bench.settle()
        chain.pointer(ring - 1).link(chain.pointer(13).physical)
        chain.put([0], [chain.make(0, REPORT)], onward=1)
        assert chain.handle.append(chain.pointer(0), 1) == _OK
        bench.settle()
        assert chain.copied == {0}, f"pieces {sorted(chain.copied)} are copied after {given} descriptors"


@provider_case(
    _FREE, "when ProviderFreeDmaChannel has returned nothing of the client's is read or written", **_V2
)
def a_channel_freed_at_every_step(bench: CopyBench) -> None:
    """Free the channel of a chain of four after 0 to 9 steps; then use another one for its memory."""
    for moment in range(10):
        chain = Chain(bench)
        chain.put([0, 1, 2, 3], [chain.make(place, REPORT) for place in range(4)])
        assert chain.start(0, 1, 2, 3) == _OK
        chain.steps(moment)
        before = bytes(chain.target.view)
        reports = list(chain.reports)
        chain.client.handle.free_raw_channel(chain.handle)
        chain.steps(30)
        bench.settle()
        assert bytes(chain.target.view) == before, f"freed after {moment} steps, the channel goes on copying"
        assert chain.reports == reports, "a channel that was freed interrupts"
        chain.__exit__(None, None, None)
    with Chain(bench) as again:
        again.put([0, 1])
        assert again.start(0, 1) == _OK
        bench.settle()
        assert again.copied == {0, 1}, "a channel that was freed cannot be used again"


def _failed_unheard(bench: CopyBench, then: Callable[[Chain], None]) -> None:
    """A chain fails, no processor has heard of it; something is done; then another chain runs."""
    for wrong in ({"source_address": 1 << 60}, {"destination_address": (1 << 64) - 64}):
        with Chain(bench) as chain:
            chain.put([0, 1, 2], [chain.make(0), chain.make(1, **wrong), chain.make(2, REPORT)])
            assert chain.start(0, 1, 2) == _OK
            _unheard(bench, 20)
            then(chain)
            chain.put([6])
            assert chain.start(6) == _OK, "Start fails after an error that Abort or Reset put an end to"
            bench.settle()
            assert chain.copied == {0, 6}, f"pieces {sorted(chain.copied)} are copied"
            assert None not in chain.reports[1:] or chain.reports[-1] == 6, (
                f"NetDmaInterruptDpc for {chain.reports}"
            )
            chain.ends_at(6, _STATUS.IDLE)


@provider_case(_ABORT, "after Abort a channel is ready for Start, also when it had failed just before", **_V2)
def aborts_a_channel_that_failed(bench: CopyBench) -> None:
    """A descriptor cannot be done; before an interrupt tells of it the chain is aborted."""

    def abort(chain: Chain) -> None:
        assert chain.handle.abort() == _OK
        assert chain.handle.completion.status == _STATUS.HALTED, (
            f"the status is {chain.handle.completion.status!r}"
        )

    _failed_unheard(bench, abort)


@provider_case(
    ddi("nc-netdma-dma_reset_handler", "netdma"),
    "after Reset a channel is as it was allocated, also when it had failed just before",
    **_V2,
)
def resets_a_channel_that_failed(bench: CopyBench) -> None:
    """A descriptor cannot be done; before an interrupt tells of it the channel is reset."""

    def reset(chain: Chain) -> None:
        assert chain.handle.reset() == _OK
        assert chain.handle.completion.status == _STATUS.HALTED, (
            f"the status is {chain.handle.completion.status!r}"
        )

    _failed_unheard(bench, reset)


def _edited(bench: CopyBench, moment: int, rest: list[int]) -> None:
    """Suspend a chain of four and make the last processed descriptor lead to others."""
    with Chain(bench, pieces=16) as chain:
        chain.put([0, 1, 2, 3])
        assert chain.start(0, 1, 2, 3) == _OK
        chain.steps(moment)
        status, last = chain.handle.suspend()
        assert status == _OK, f"Suspend ends {status!s}"
        done = chain.copied
        if not 0 < len(done) < 4:
            assert chain.handle.resume() == _OK
            bench.settle()
            return
        assert last == chain.pointer(len(done) - 1).physical
        if chain.is_counted:  # the count stands: as many as were left
            rest = rest[: 4 - len(done)] + [12, 13, 14][: max(4 - len(done) - len(rest), 0)]
        chain.put(rest)
        chain.pointer(len(done) - 1).link(chain.pointer(rest[0]).physical)
        assert chain.handle.resume() == _OK
        bench.settle()
        assert chain.copied == done | set(rest), (
            f"edited after {moment} steps: {sorted(chain.copied)} are copied, not {sorted(done)} and {rest}"
        )


@provider_case(_SUSPEND, "a list that was edited while suspended is followed as it is at Resume", **_V1)
def lists_edited_while_suspended(bench: CopyBench) -> None:
    """Suspend a chain of four after 1 to 11 steps; lead it to one, two or five others, version 1.0."""
    for rest in ([8], [8, 9], [7, 8, 9, 10, 11]):
        for moment in range(1, 12):
            _edited(bench, moment, rest)


@provider_case(_SUSPEND, "a list that was edited while suspended is followed as it is at Resume", **_V2)
def lists_edited_while_suspended_by_count(bench: CopyBench) -> None:
    """Suspend a chain of four after 1 to 11 steps; lead what is left of its count elsewhere, version 2.0."""
    for moment in range(1, 12):
        _edited(bench, moment, [8, 9, 10])


def _suspended_and_every_call(bench: CopyBench) -> None:
    for then in ("append", "abort", "reset", "start"):
        with Chain(bench, pieces=16) as chain:
            chain.put([0, 1, 2, 3], onward=4)
            chain.put([4])
            chain.put([8])
            assert chain.start(0, 1, 2, 3) == _OK
            chain.steps(3)
            assert chain.handle.suspend()[0] == _OK
            done = chain.copied
            if then == "append":
                assert chain.append(4) == _OK
                chain.steps(20)
                assert chain.copied == done, "a suspended channel copies after Append"
                assert chain.handle.resume() == _OK
                bench.settle()
                assert chain.copied == {0, 1, 2, 3, 4}, f"pieces {sorted(chain.copied)} are copied"
                continue
            if then != "start":
                assert getattr(chain.handle, then)() == _OK
            assert chain.start(8) == _OK, f"no Start after Suspend and {then}"
            bench.settle()
            assert chain.copied == done | {8}, (
                f"after Suspend and {then} pieces {sorted(chain.copied)} are copied"
            )


@provider_case(_SUSPEND, "a suspended channel can be appended to, aborted, reset and started", **_V2)
def a_suspended_channel_and_every_call(bench: CopyBench) -> None:
    """Suspend a chain of four after 3 steps; append and resume; abort, reset, or start another."""
    _suspended_and_every_call(bench)


@provider_case(_SUSPEND, "a suspended channel can be appended to, aborted, reset and started", **_V1)
def a_suspended_channel_and_every_call_with_version_1(bench: CopyBench) -> None:
    """The same with version 1.0, where what is appended is linked to the last one."""
    _suspended_and_every_call(bench)


def _append_after_resume(bench: CopyBench) -> None:
    for moment in range(9):
        for between in (0, 2, 30):
            with Chain(bench) as chain:
                chain.put([0, 1, 2], onward=3)
                chain.put([3], onward=4)
                chain.put([4, 5])
                assert chain.start(0, 1, 2) == _OK
                chain.steps(moment)
                assert chain.handle.suspend()[0] == _OK
                assert chain.handle.resume() == _OK
                chain.steps(between)
                assert chain.append(3) == _OK, "no Append after Resume"
                chain.steps(30)
                assert chain.append(4, 5) == _OK, "no second Append after Resume"
                bench.settle()
                assert chain.copied == {0, 1, 2, 3, 4, 5}, (
                    f"suspended after {moment} steps and resumed: {sorted(chain.copied)} are copied"
                )
                chain.ends_at(5, _STATUS.IDLE)


@provider_case(_SUSPEND, "after Resume a chain is as any: what is appended is processed, whenever", **_V2)
def appends_after_resume(bench: CopyBench) -> None:
    """Suspend a chain of three after 0 to 8 steps, resume it, append at once, soon, and when idle."""
    _append_after_resume(bench)


@provider_case(_SUSPEND, "after Resume a chain is as any: what is appended is processed, whenever", **_V1)
def appends_after_resume_with_version_1(bench: CopyBench) -> None:
    """The same with version 1.0, where a chain ends by NULL."""
    _append_after_resume(bench)


def _suspended_at_once(bench: CopyBench) -> None:
    for how in ("abort", "reset"):
        for moment in range(0, 11, 2):
            with Chain(bench) as chain:
                chain.put([0, 1, 2, 3])
                chain.put([5, 6, 7])
                assert chain.start(0, 1, 2, 3) == _OK
                chain.steps(moment)
                assert getattr(chain.handle, how)() == _OK
                assert chain.start(5, 6, 7) == _OK
                status, last = chain.handle.suspend()
                assert status == _OK, f"Suspend ends {status!s} after {how} and Start"
                own = {0, *(chain.pointer(place).physical for place in (5, 6, 7))}
                assert last in own, (
                    f"the last processed one is {chain.place(last)}, of the chain before {how}"
                )
                found = chain.handle.completion
                assert found.status == _STATUS.SUSPEND, f"the status is {found.status!r}"
                assert found.address in own, f"the completion status names {chain.place(found.address)}"
                assert chain.handle.resume() == _OK
                bench.settle()
                assert chain.copied >= {5, 6, 7}, f"pieces {sorted(chain.copied)} are copied"
                chain.ends_at(7, _STATUS.IDLE)


@provider_case(_ABORT, "behind Abort or Reset the last processed descriptor is one of the new chain", **_V2)
def suspends_behind_an_abort(bench: CopyBench) -> None:
    """Abort or reset a chain of four after 0 to 10 steps; start another one and suspend it at once."""
    _suspended_at_once(bench)


@provider_case(_ABORT, "behind Abort or Reset the last processed descriptor is one of the new chain", **_V1)
def suspends_behind_an_abort_with_version_1(bench: CopyBench) -> None:
    """The same with version 1.0."""
    _suspended_at_once(bench)


@provider_case(
    _SUSPEND,
    "a Suspend that fails has suspended nothing: the chain goes on to its end",
    **_V2,
)
def a_suspend_that_takes_too_long(bench: CopyBench) -> None:
    """The engine stands still while a chain is to be suspended, after one step and five; then it goes on."""
    for moment in (1, 5):
        with Chain(bench) as chain:
            chain.put([0, 1, 2, 3])
            assert chain.start(0, 1, 2, 3) == _OK
            chain.steps(moment)
            with _standing_still(bench):
                status, _ = chain.handle.suspend()
            assert status != _OK, "Suspend succeeds with a descriptor half done"
            bench.settle()
            assert chain.copied == {0, 1, 2, 3}, (
                f"Suspend ended {status!s} after {moment} steps: pieces {sorted(chain.copied)} are copied"
            )
            chain.ends_at(3, _STATUS.IDLE)


@contextmanager
def _standing_still(bench: CopyBench) -> Iterator[None]:
    """However long a driver waits the engine makes no step."""
    genuine = bench.engine.step
    setattr(bench.engine, "step", lambda part: False)  # noqa: B010 - an instance's own
    try:
        yield
    finally:
        setattr(bench.engine, "step", genuine)  # noqa: B010
