"""Cancelled sends: what MiniportCancelSend completes, and what it leaves alone."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import NotSupported, case
from vnic.conformance.drive import (
    OK,
    ONE,
    SHORT_RINGS,
    assert_all_sent,
    contexts,
    outgoing,
    same,
    statuses,
    transmit_ring,
    works,
)
from vnic.conformance.pages import ddi
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench

_CANCEL = ddi("nc-ndis-miniport_cancel_send")
_EMPTY: dict[str, Any] = {"keywords": SHORT_RINGS} | ONE


@case(
    _CANCEL,
    "MiniportCancelSend completes the queued sends of that id, and no others, with SEND_ABORTED",
    **_EMPTY,
)
def cancels_by_id(bench: Bench) -> None:
    """Twenty sends of two ids wait for a card that stands still; one id is cancelled."""
    bench.device.is_manual = True
    for number, frame in enumerate(outgoing(20)):
        bench.send(frame, cancel_id="odd" if number % 2 else "even", context=number)
    bench.protocol.bindings[0].cancel_send_net_buffer_lists("odd")
    bench.processors.run_until_idle()
    bench.device.is_manual = False
    bench.settle()
    ended = {sent.context: sent.status for sent in bench.protocol.sent}
    assert sorted(contexts(bench), key=repr) == sorted(range(20), key=repr), "not every send came back once"
    assert {ended[number] for number in range(0, 20, 2)} == {OK}, "a send of another id was not sent"
    assert {ended[number] for number in range(1, 20, 2)} <= {OK, NDIS_STATUS.SEND_ABORTED}
    sent = [frame for number, frame in enumerate(outgoing(20)) if ended[number] == OK]
    same(bench.transmitted, sent, "left")


@case(
    _CANCEL,
    "a miniport completes what it has queued of the id at once, not when the hardware gets there",
    **_EMPTY,
)
def cancels_what_waits_without_waiting(bench: Bench) -> None:
    """52 sends more than its ring of 8 holds wait; those that are not with the card are back before it
    goes on."""
    count = transmit_ring(bench) + 52
    bench.device.is_manual = True
    for number, frame in enumerate(outgoing(count)):
        bench.send(frame, cancel_id=1, context=number)
    if statuses(bench):
        raise NotSupported("completes sends before the card has taken them: nothing is left to cancel")
    bench.protocol.bindings[0].cancel_send_net_buffer_lists(1)
    bench.processors.run_until_idle()
    aborted = statuses(bench).count(NDIS_STATUS.SEND_ABORTED)
    bench.device.is_manual = False
    bench.settle()
    assert aborted >= 52, f"{aborted} of at least 52 queued sends were aborted at once"
    assert len(statuses(bench)) == count
    assert len(bench.transmitted) == count - aborted


@case(_CANCEL, "an id that no send has cancels nothing", **_EMPTY)
def cancels_nothing_of_an_unknown_id(bench: Bench) -> None:
    """Twenty sends wait, an id is cancelled that none of them has, and another before any send."""
    bench.protocol.bindings[0].cancel_send_net_buffer_lists("before")
    bench.device.is_manual = True
    frames = outgoing(20)
    for frame in frames:
        bench.send(frame, cancel_id="mine")
    bench.protocol.bindings[0].cancel_send_net_buffer_lists("other")
    bench.device.is_manual = False
    bench.settle()
    assert_all_sent(bench, frames)


@case(
    _CANCEL,
    "of a list that is partly with the hardware nothing is lost: it is completed once, when all is done",
    **_EMPTY,
)
def cancels_a_list_that_is_half_sent(bench: Bench) -> None:
    """A list of 12 NET_BUFFERs of which 7 fit the ring is cancelled; another list follows it."""
    bench.device.is_manual = True
    bench.send(*outgoing(12), cancel_id=1, context="cancelled")
    bench.send(*outgoing(3, first=50), cancel_id=2, context="other")
    bench.protocol.bindings[0].cancel_send_net_buffer_lists(1)
    bench.device.is_manual = False
    bench.settle()
    assert sorted(map(str, contexts(bench))) == ["cancelled", "other"], f"came back: {contexts(bench)}"
    ended = {sent.context: sent.status for sent in bench.protocol.sent}
    assert ended["other"] == OK
    if ended["cancelled"] == OK:
        same(bench.transmitted, outgoing(12) + outgoing(3, first=50), "left")
    works(bench)
