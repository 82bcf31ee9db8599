"""Completions that contradict what the driver knows: none is believed, and the adapter recovers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vnic.abi import DmaPurpose, FaultAction, FaultSite
from vnic.conformance.case import case
from vnic.conformance.drive import ONE, SHORT_RINGS, frames_to, same, take, works
from vnic.conformance.groups.errors import after_an_error
from vnic.conformance.pages import manual
from vnic.fault import Fault
from vnic.gen.descriptors import RxCompletion, TxCompletion
from vnic.testbench.bench import Bench

_BELIEVED = (
    "what the driver's own records contradict is no frame and no end of a send: the ring is started anew"
)
_HALF_A_MINUTE_NS = 30_000_000_000
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
    _each(bench, bytes(RxCompletion(type=12).pack()))


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


def _frames_alone(bench: Bench, wrong: Mapping[str, RxCompletion]) -> None:
    """Of three frames one has a completion with a wrong field; half a minute later others come."""
    for turn, (name, field) in enumerate(wrong.items()):
        for place in range(3):
            bench.protocol.received.clear()
            spoilt = frames_to(bench.station, 3, 120, first=turn * 100 + place * 10)
            with bench.device.arm(_corrupt(place, bytes(field.pack()))) as handle:
                bench.receive(*spoilt)
                bench.settle()
                assert handle.fired == 1, "the error never happened"
            bench.advance(_HALF_A_MINUTE_NS)
            assert spoilt[place] not in bench.received, f"a frame whose completion has another {name} came up"
            strange = [frame for frame in bench.received if frame not in spoilt]
            assert not strange, f"{len(strange)} frames were indicated that nobody sent"
            good = frames_to(bench.station, 3, 140, first=turn * 100 + place * 10)
            same([each.data for each in take(bench, *good)], good, f"arrived after another {name}")
    works(bench, "after completions that made no sense")


@case(manual("PROG-14"), _BELIEVED, **_EMPTY)
def while_nothing_is_sent(bench: Bench) -> None:
    """TYPE, INDEX or LEN of the 1st, 2nd or 3rd of three frames is wrong; half a minute later others come."""
    wrong = {
        "TYPE": RxCompletion(type=12),
        "INDEX": RxCompletion(index=1),
        "LEN": RxCompletion(len=1 << 16),
    }
    _frames_alone(bench, wrong)


@case(
    manual("PROG-14"),
    _BELIEVED,
    is_rough=True,
    keywords=SHORT_RINGS
    | {"*InterruptModeration": 0, "*TCPConnectionOffloadIPv4": 0, "*TCPConnectionOffloadIPv6": 0},
    **ONE,
)
def a_type_of_what_is_off(bench: Bench) -> None:
    """TYPE of a frame's completion is one of the chimney's, which is off by its keywords."""
    _frames_alone(bench, {f"TYPE ({1 ^ bit})": RxCompletion(type=bit) for bit in (8, 4)})
