"""Bring-up that fails: each thing that a driver asks for is refused once, and nothing is left behind."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import NotSupported, case
from vnic.conformance.drive import OK, works
from vnic.conformance.pages import ddi
from vnic.errors import AllocationError, CapacityError
from vnic.host.bus import Direction, Segment
from vnic.host.memory import GuestBuffer
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench

_INITIALIZE = ddi("nc-ndis-miniport_initialize")


def declined(bench: Bench, why: str) -> NDIS_STATUS:
    """Initialize, which must fail and leave nothing; the status."""
    status = bench.adapter.initialize()
    assert status.is_error, f"MiniportInitializeEx says {status!s} {why}"
    bench.settle()
    bench.system.assert_no_leaks()
    bench.memory.assert_no_leaks()
    return status


def _each_failure(bench: Bench, name: str, most: int = 40) -> None:
    for number in range(most):
        if not _fails_at(bench, number, name):
            assert number, f"the driver never calls {name}"
            break
    bench.start()
    works(bench, "after its failed attempts")


def _fails_at(bench: Bench, number: int, name: str) -> bool:
    """Let the n-th call of one function of bus or memory fail; whether it was ever reached."""
    owner, count, is_reached = bench.memory if name == "alloc" else bench.system, 0, False
    genuine = getattr(owner, name)

    def allocate(*arguments: object, **named: object) -> object:
        nonlocal count, is_reached
        count += 1
        if count - 1 == number:
            is_reached = True
            raise (
                AllocationError("no memory on this machine")
                if name != "map"
                else CapacityError("no map registers")
            )
        return genuine(*arguments, **named)

    setattr(owner, name, allocate)
    status = bench.adapter.initialize()
    bench.settle()
    setattr(owner, name, genuine)
    if status == OK:
        bench.adapter.halt()
    bench.system.assert_no_leaks()
    bench.memory.assert_no_leaks()
    assert is_reached or status == OK, f"it fails with {status!s} although nothing did"
    return is_reached


@case(
    _INITIALIZE,
    "when MiniportInitializeEx fails it frees everything that it allocated",
    starts=False,
    is_rough=True,
)
def declines_a_card_that_is_gone(bench: Bench) -> None:
    """Every register and configuration word reads all ones."""
    bench.device.remove()
    declined(bench, "without a card")
    assert bench.adapter.state is AdapterState.HALTED


@case(
    _INITIALIZE,
    "when shared memory is not there MiniportInitializeEx fails with NDIS_STATUS_RESOURCES and frees what "
    "it has",
    starts=False,
    queues=2,
    cpus=2,
    keywords={"*ReceiveBuffers": 16, "*TransmitBuffers": 16},
)
def gives_everything_back_when_shared_memory_runs_out(bench: Bench) -> None:
    """The 1st, 2nd, 3rd ... allocation of coherent memory fails, until an attempt comes through."""
    _each_failure(bench, "alloc_coherent")


@case(
    _INITIALIZE,
    "when memory is not there MiniportInitializeEx fails with NDIS_STATUS_RESOURCES and frees what it has",
    starts=False,
    queues=1,
    cpus=1,
    keywords={"*ReceiveBuffers": 8, "*TransmitBuffers": 8},
)
def gives_everything_back_when_memory_runs_out(bench: Bench) -> None:
    """The 1st, 2nd, 3rd ... allocation of the machine's memory fails, until an attempt comes through."""
    counted: list[int] = []
    genuine = bench.memory.alloc

    def count(size: int, **named: Any) -> GuestBuffer:
        counted.append(size)
        return genuine(size, **named)

    setattr(bench.memory, "alloc", count)  # noqa: B010 - an instance's own
    bench.start()
    bench.adapter.halt()
    setattr(bench.memory, "alloc", genuine)  # noqa: B010
    if not counted:
        raise NotSupported("allocates no memory but what it shares with the card")
    _each_failure(bench, "alloc", 25)


@case(
    _INITIALIZE,
    "when DMA cannot be mapped MiniportInitializeEx fails and frees what it has",
    starts=False,
    queues=1,
    cpus=1,
    keywords={"*ReceiveBuffers": 16, "*TransmitBuffers": 16},
)
def gives_everything_back_when_a_mapping_fails(bench: Bench) -> None:
    """The 1st, 2nd, 3rd ... mapping of a buffer for DMA fails, until an attempt comes through."""
    maps: list[int] = []
    genuine = bench.system.map

    def count(address: int, length: int, direction: Direction) -> list[Segment]:
        maps.append(length)
        return genuine(address, length, direction)

    bench.system.map = count  # type: ignore[method-assign]
    bench.start()
    bench.adapter.halt()
    bench.system.map = genuine  # type: ignore[method-assign]
    if not maps:
        raise NotSupported("maps no memory during initialization")
    _each_failure(bench, "map")


@case(
    _INITIALIZE,
    "when memory runs out MiniportInitializeEx fails with NDIS_STATUS_RESOURCES",
    starts=False,
    memory_bytes=64 << 12,
    keywords={"*ReceiveBuffers": 512},
)
def fails_with_resources_in_a_small_machine(bench: Bench) -> None:
    """The machine has 256 KiB of memory, the driver is told to have 512 receive buffers on each of four
    queues."""
    status = bench.adapter.initialize()
    bench.settle()
    if status == OK:
        raise NotSupported("needs less than 256 KiB")
    bench.system.assert_no_leaks()
    bench.memory.assert_no_leaks()
    assert status == NDIS_STATUS.RESOURCES, f"it ended {status!s}"


@case(
    ddi("nf-ndis-ndismregisterinterruptex"),
    "when NdisMRegisterInterruptEx fails MiniportInitializeEx fails and frees what it has",
    starts=False,
)
def gives_everything_back_when_no_interrupt_is_granted(bench: Bench) -> None:
    """Another driver holds the card's vectors; then they are free, and the driver starts."""
    bench.system.alloc_vectors(1, 1)
    status = bench.adapter.initialize()
    assert status.is_error, f"it ended {status!s} without an interrupt"
    bench.settle()
    bench.system.free_vectors()
    bench.system.assert_no_leaks()
    bench.memory.assert_no_leaks()
    bench.start()
    works(bench)
