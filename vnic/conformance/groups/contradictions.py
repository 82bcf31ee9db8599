"""Completions that contradict what the driver knows: none is believed, and the adapter recovers."""

from __future__ import annotations

from typing import Any

from vnic.abi import DmaPurpose, FaultAction, FaultSite
from vnic.conformance.case import case
from vnic.conformance.drive import ONE, SHORT_RINGS
from vnic.conformance.groups.errors import after_an_error
from vnic.conformance.pages import manual
from vnic.fault import Fault
from vnic.gen.descriptors import RxCompletion, TxCompletion
from vnic.testbench.bench import Bench

_BELIEVED = (
    "what the driver's own records contradict is no frame and no end of a send: the ring is started anew"
)
_EMPTY: dict[str, Any] = {"is_rough": True, "keywords": SHORT_RINGS | {"*InterruptModeration": 0}} | ONE


def _corrupt(skip: int, field: bytes) -> Fault:
    """XORs the bits of a field into a completion, wherever in it they are."""
    at = next(place for place in range(0, len(field), 8) if any(field[place : place + 8]))
    mask = int.from_bytes(field[at : at + 8], "little")
    return Fault(
        site=FaultSite.DMA_WRITE,
        action=FaultAction.CORRUPT,
        index=DmaPurpose.COMPLETION,
        skip=skip,
        argument=at,
        mask=mask,
    )


def _each(bench: Bench, field: bytes) -> None:
    """One completion with it, of those of a frame and of those of a send; traffic before and after."""
    for skip in (2, 5):
        after_an_error(bench, _corrupt(skip, field))
        bench.protocol.sent.clear()
        bench.protocol.received.clear()
        bench.transmitted.clear()


@case(manual("PROG-14"), _BELIEVED, **_EMPTY)
def another_type(bench: Bench) -> None:
    """TYPE is none that there is."""
    _each(bench, bytes(RxCompletion(type=8).pack()))


@case(manual("PROG-14"), _BELIEVED, **_EMPTY)
def another_buffer(bench: Bench) -> None:
    """INDEX names the receive descriptor next to the right one."""
    _each(bench, bytes(RxCompletion(index=1).pack()))


@case(manual("PROG-14"), _BELIEVED, **_EMPTY)
def more_than_a_buffer_holds(bench: Bench) -> None:
    """LEN is more than the buffer holds."""
    _each(bench, bytes(RxCompletion(len=1 << 16).pack()))


@case(manual("PROG-13"), _BELIEVED, **_EMPTY)
def more_than_was_handed_over(bench: Bench) -> None:
    """HEAD of a transmit completion lies beyond the tail, or beyond the ring."""
    for head in (0x4, 0x8000):
        _each(bench, bytes(TxCompletion(head=head).pack()))
