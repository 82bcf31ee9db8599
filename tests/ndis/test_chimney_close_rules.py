"""Rules of disconnects, events and forwarded segments, each broken: the layer names rule and driver."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ndis.chimney_toys import SUCCESS, Rig, Target, advance, make_rig
from vnic.ndis import chimney as nd
from vnic.ndis.chimney import TCP_OFFLOAD_CONNECTION_STATE as STATE
from vnic.ndis.chimney import TCP_OFFLOAD_EVENT_TYPE as EVENT
from vnic.ndis.chimney import TCP_UPLOAD_REASON as REASON
from vnic.ndis.net_buffer_list import NetBufferList, link, net_buffer, net_buffer_list
from vnic.ndis.status import NDIS_STATUS

GRACEFUL = nd.TcpDisconnectFlag.GRACEFUL_CLOSE
ABORTIVE = nd.TcpDisconnectFlag.ABORTIVE_CLOSE
ABORTED = NDIS_STATUS.REQUEST_ABORTED


@pytest.fixture
def rig() -> Rig:
    """A running one."""
    rig = make_rig()
    rig.start()
    return rig


def event(rig: Rig, found: Target, kind: int, info: int = 0) -> None:
    """Indicate an event."""
    rig.target_does(lambda: rig.target.event(found, kind, info))  # type: ignore[arg-type]


def complete(rig: Rig, found: Target, nbl: NetBufferList, status: NDIS_STATUS, count: int = 0) -> None:
    """Complete a disconnect."""

    def run() -> None:
        advance(nbl, count)
        nbl.status = status
        rig.target.calls.tcp_offload_disconnect_complete(found.handle, nbl)

    rig.target_does(run)


# -- disconnect ----------------------------------------------------------------------------------------------


def chained() -> NetBufferList:
    """Two NBLs."""
    head = link([net_buffer_list(b""), net_buffer_list(b"")])
    assert head is not None
    return head


def with_two_buffers() -> NetBufferList:
    """Two NET_BUFFERs."""
    first = net_buffer(b"a")
    first.next = net_buffer(b"b")
    return NetBufferList(first)


FORMS: list[tuple[Callable[[], NetBufferList], int]] = [
    (chained, GRACEFUL),
    (with_two_buffers, GRACEFUL),
    (lambda: NetBufferList(None), GRACEFUL),
    (lambda: net_buffer_list(b""), 0),
    (lambda: net_buffer_list(b""), 3),
    (lambda: net_buffer_list(b"data"), ABORTIVE),
]


@pytest.mark.requirement("CHIM-24")
@pytest.mark.parametrize(("make", "flags"), FORMS, ids=map(str, range(len(FORMS))))
def test_a_disconnect_of_another_form(rig: Rig, make: Callable[[], NetBufferList], flags: int) -> None:
    rig.offload()
    with rig.breach("CHIM-24", "client"):
        rig.protocol_does(
            lambda: rig.calls.offload_tcp_disconnect(rig.handle, make(), nd.TcpDisconnectFlag(flags))
        )


@pytest.mark.requirement("CHIM-20")
@pytest.mark.parametrize("first", [GRACEFUL, ABORTIVE])
@pytest.mark.parametrize("then", ["send", "disconnect"])
def test_more_after_a_disconnect(rig: Rig, first: nd.TcpDisconnectFlag, then: str) -> None:
    rig.offload()
    rig.disconnect(flags=first)
    with rig.breach("CHIM-20", "client"):
        _ = rig.send(b"more") if then == "send" else rig.disconnect(flags=first)


def test_an_abortive_disconnect_after_a_graceful_one(rig: Rig) -> None:
    rig.offload()
    rig.disconnect()
    rig.disconnect(flags=ABORTIVE)
    assert rig.client.disconnected == [ABORTED, SUCCESS]
    rig.terminate()
    assert rig.ndis.violations == []


@pytest.mark.requirement("INV-31")
def test_a_disconnect_is_complete_before_a_send(rig: Rig) -> None:
    found = rig.offload()
    rig.send(b"data")
    nbl = rig.disconnect()
    with rig.breach("INV-31", "target"):
        complete(rig, found, nbl, SUCCESS)


@pytest.mark.requirement("INV-31")
def test_a_disconnect_is_complete_before_its_data(rig: Rig) -> None:
    found = rig.offload()
    nbl = rig.disconnect(b"data")
    with rig.breach("INV-31", "target"):
        complete(rig, found, nbl, SUCCESS, 3)


@pytest.mark.requirement("CHIM-22")
@pytest.mark.parametrize("status", [NDIS_STATUS.FAILURE, NDIS_STATUS.PENDING])
def test_a_disconnect_with_a_status_of_others(rig: Rig, status: NDIS_STATUS) -> None:
    found = rig.offload()
    nbl = rig.disconnect()
    with rig.breach("CHIM-22", "target"):
        complete(rig, found, nbl, status)


@pytest.mark.requirement("CHIM-22")
def test_a_disconnect_that_is_none(rig: Rig) -> None:
    found = rig.offload()
    with rig.breach("CHIM-22", "target"):
        complete(rig, found, net_buffer_list(b""), SUCCESS)


# -- forward -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHIM-24")
@pytest.mark.parametrize("make", [lambda: net_buffer_list(bytes(19)), with_two_buffers])
def test_a_forwarded_segment_of_another_form(rig: Rig, make: Callable[[], NetBufferList]) -> None:
    rig.offload()
    with rig.breach("CHIM-24", "client"):
        rig.protocol_does(lambda: rig.calls.offload_tcp_forward(rig.handle, make()))


@pytest.mark.requirement("CHIM-22")
@pytest.mark.parametrize("how", ["unknown", "twice", "status"])
def test_a_forwarded_segment_is_completed_wrongly(rig: Rig, how: str) -> None:
    found = rig.offload()
    rig.target.finish_forwards = lambda found: None  # type: ignore[method-assign]
    nbl = net_buffer_list(bytes(20))
    rig.protocol_does(lambda: rig.calls.offload_tcp_forward(rig.handle, nbl))

    def finish(nbl: NetBufferList, status: NDIS_STATUS) -> None:
        nbl.status = status
        rig.target.calls.tcp_offload_forward_complete(found.handle, nbl)

    if how == "twice":
        rig.target_does(lambda: finish(nbl, SUCCESS))
        rig.ndis.verifier.give(nbl, rig.miniport)
    given = net_buffer_list(bytes(20)) if how == "unknown" else nbl
    status = NDIS_STATUS.FAILURE if how == "status" else SUCCESS
    with rig.breach("CHIM-22", "target"):
        rig.target_does(lambda: finish(given, status))


# -- events --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-28")
@pytest.mark.parametrize("left", ["buffered", "refused"])
def test_disconnect_before_the_data_is_consumed(rig: Rig, left: str) -> None:
    rig.client.answer = lambda data: 1
    found = rig.offload(buffered=b"abc" if left == "buffered" else b"")
    if left == "refused":
        rig.target_does(lambda: rig.target.arrive(found, b"abc"))
    with rig.breach("INV-28", "target"):
        event(rig, found, EVENT.DISCONNECT)


@pytest.mark.requirement("INV-28")
def test_disconnect_twice(rig: Rig) -> None:
    found = rig.offload()
    event(rig, found, EVENT.DISCONNECT)
    with rig.breach("INV-28", "target"):
        event(rig, found, EVENT.DISCONNECT)


@pytest.mark.requirement("INV-28")
def test_data_after_disconnect(rig: Rig) -> None:
    found = rig.offload()
    event(rig, found, EVENT.DISCONNECT)
    with rig.breach("INV-28", "target"):
        rig.target_does(lambda: rig.target.indicate(found, net_buffer_list(b"late")))


@pytest.mark.requirement("INV-30")
@pytest.mark.parametrize("what", ["send", "receive", "disconnect"])
def test_success_after_abort(rig: Rig, what: str) -> None:
    rig.target.deliver = lambda found: None  # type: ignore[method-assign]
    found = rig.offload()
    if what == "send":
        rig.send(b"data")
    elif what == "receive":
        rig.post(0)
    else:
        nbl = rig.disconnect()
    event(rig, found, EVENT.ABORT)
    with rig.breach("INV-30", "target"):
        if what == "send":
            rig.target_does(lambda: rig.target.ack(found))
        elif what == "receive":
            rig.target_does(lambda: rig.target.complete_posts(found, 1, SUCCESS))
        else:
            complete(rig, found, nbl, SUCCESS)


@pytest.mark.requirement("INV-32")
def test_success_of_a_receive_after_disconnect(rig: Rig) -> None:
    rig.target.deliver = lambda found: None  # type: ignore[method-assign]
    found = rig.offload()
    event(rig, found, EVENT.DISCONNECT)
    rig.post(0)
    with rig.breach("INV-32", "target"):
        rig.target_does(lambda: rig.target.complete_posts(found, 1, SUCCESS))


EVENTS = [(0, 0), (5, 0), (EVENT.RETRIEVE, 0), (EVENT.RETRIEVE, 12)]


@pytest.mark.requirement("CHIM-40")
@pytest.mark.parametrize(("kind", "info"), EVENTS)
def test_an_event_that_is_none(rig: Rig, kind: int, info: int) -> None:
    found = rig.offload()
    with rig.breach("CHIM-40", "target"):
        event(rig, found, kind, info)


@pytest.mark.requirement("CHIM-40")
def test_abort_twice(rig: Rig) -> None:
    found = rig.offload()
    event(rig, found, EVENT.ABORT)
    with rig.breach("CHIM-40", "target"):
        event(rig, found, EVENT.ABORT)


@pytest.mark.requirement("CHIM-40")
def test_an_upload_request_for_a_neighbor(rig: Rig) -> None:
    found = rig.offload()
    found.handle = rig.handles[0].NdisReserved
    with rig.breach("CHIM-40", "target"):
        event(rig, found, EVENT.RETRIEVE, REASON.LOW_ACTIVITY)


@pytest.mark.requirement("CHIM-40")
@pytest.mark.parametrize("how", ["offloaded so", "fin came", "disconnect complete"])
@pytest.mark.parametrize("reason", [each for each in REASON])
def test_upload_requests_of_half_closed_connections(rig: Rig, how: str, reason: REASON) -> None:
    found = rig.offload(state=STATE.CLOSE_WAIT if how == "offloaded so" else STATE.ESTABLISHED)
    if how == "fin came":
        rig.target_does(lambda: rig.target.fin(found))
    elif how == "disconnect complete":
        complete(rig, found, rig.disconnect(), SUCCESS)
    if reason.is_mandatory:
        event(rig, found, EVENT.RETRIEVE, reason)
        assert rig.client.events[-1] == (EVENT.RETRIEVE, reason)
        return
    with rig.breach("CHIM-40", "target"):
        event(rig, found, EVENT.RETRIEVE, reason)


def test_upload_requests_and_backlog_of_open_connections(rig: Rig) -> None:
    found = rig.offload()
    for reason in REASON:
        event(rig, found, EVENT.RETRIEVE, reason)
    event(rig, found, EVENT.SEND_BACKLOG_CHANGE, 65536)
    assert len(rig.client.events) == 12
    assert rig.ndis.violations == []
