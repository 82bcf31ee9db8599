"""Rules of sending and receiving on offloaded connections, each broken: the layer names rule and driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.ndis.chimney_toys import SUCCESS, Rig, Target, advance, ending, linker, make_rig, tree
from vnic.host.cpu import Level
from vnic.ndis import chimney as nd
from vnic.ndis.chimney_objects import Kind
from vnic.ndis.net_buffer_list import NetBuffer, NetBufferList, link, net_buffer, net_buffer_list
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED
from vnic.ndis.status import NDIS_STATUS

ABORTED = NDIS_STATUS.REQUEST_ABORTED
UPLOADING = NDIS_STATUS.UPLOAD_IN_PROGRESS


@pytest.fixture
def rig() -> Rig:
    """A running one."""
    rig = make_rig()
    rig.start()
    return rig


def first_buffer(nbl: NetBufferList) -> NetBuffer:
    """Of an NBL that has one."""
    buffer = nbl.first_net_buffer
    assert buffer is not None
    return buffer


def complete_send(
    rig: Rig, nbl: NetBufferList, status: NDIS_STATUS, count: int, said: int | None = None
) -> None:
    """Complete one send as told."""

    def complete() -> None:
        advance(nbl, count)
        nbl.set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, count if said is None else said)
        nbl.status = status
        nbl.next = None
        rig.target.calls.tcp_offload_send_complete(rig.target.connections[-1].handle, nbl)

    rig.target_does(complete)


def complete_receive(
    rig: Rig, nbl: NetBufferList, status: NDIS_STATUS, count: int, said: int | None = None
) -> None:
    """Complete one receive as told."""

    def complete() -> None:
        advance(nbl, count)
        nbl.set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, count if said is None else said)
        nbl.status = status
        nbl.next = None
        rig.target.calls.tcp_offload_receive_complete(rig.target.connections[-1].handle, nbl)

    rig.target_does(complete)


def indicate(rig: Rig, found: Target, data: bytes) -> None:
    """Indicate whatever the state of the connection."""
    rig.target_does(lambda: rig.target.indicate(found, net_buffer_list(data)))


def held_back(rig: Rig) -> None:
    """The target does nothing with receives by itself."""
    rig.target.deliver = lambda found: None  # type: ignore[method-assign]


# -- sends ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-16")
def test_success_before_all_is_acknowledged(rig: Rig) -> None:
    rig.offload()
    (nbl,) = rig.send(b"12345")
    with rig.breach("INV-16", "target"):
        complete_send(rig, nbl, SUCCESS, 4)


@pytest.mark.requirement("INV-17")
def test_sends_out_of_order(rig: Rig) -> None:
    rig.offload()
    _, second = rig.send(b"1", b"2")
    with rig.breach("INV-17", "target"):
        complete_send(rig, second, SUCCESS, 1)


@pytest.mark.requirement("INV-17")
@pytest.mark.parametrize(("status", "count"), [(SUCCESS, 1), (ABORTED, 1)])
def test_progress_behind_a_failed_send(rig: Rig, status: NDIS_STATUS, count: int) -> None:
    rig.offload()
    first, second = rig.send(b"123", b"4")
    complete_send(rig, first, UPLOADING, 2)
    with rig.breach("INV-17", "target"):
        complete_send(rig, second, status, count)


@pytest.mark.requirement("INV-18")
def test_a_send_twice(rig: Rig) -> None:
    rig.offload()
    (nbl,) = rig.send(b"123")
    complete_send(rig, nbl, SUCCESS, 3)
    rig.ndis.verifier.give(nbl, rig.miniport)
    with rig.breach("INV-18", "target"):
        complete_send(rig, nbl, SUCCESS, 0, 3)


@pytest.mark.requirement("CHIM-22")
def test_a_send_that_was_never_posted(rig: Rig) -> None:
    rig.offload()
    with rig.breach("CHIM-22", "target"):
        complete_send(rig, net_buffer_list(b"x"), SUCCESS, 1)


@pytest.mark.requirement("CHIM-22")
@pytest.mark.parametrize("status", [NDIS_STATUS.PENDING, NDIS_STATUS.FAILURE, NDIS_STATUS.PAUSED])
def test_a_send_with_a_status_of_others(rig: Rig, status: NDIS_STATUS) -> None:
    rig.offload()
    (nbl,) = rig.send(b"123")
    with rig.breach("CHIM-22", "target"):
        complete_send(rig, nbl, status, 0)


@pytest.mark.requirement("CHIM-23")
@pytest.mark.parametrize(("moved", "said"), [(2, 3), (3, 2), (0, 1)])
def test_bytes_transferred_and_data_start_differ(rig: Rig, moved: int, said: int) -> None:
    rig.offload()
    (nbl,) = rig.send(b"123")
    with rig.breach("CHIM-23", "target"):
        complete_send(rig, nbl, UPLOADING, moved, said)


def test_a_send_with_several_net_buffers(rig: Rig) -> None:
    rig.offload()
    first, second = net_buffer(b"123"), net_buffer(b"45")
    first.next = second
    nbl = NetBufferList(first)
    rig.protocol_does(lambda: rig.calls.offload_tcp_send(rig.handle, nbl))
    complete_send(rig, nbl, UPLOADING, 4)
    assert (first.data_length, second.data_length) == (0, 1)


@pytest.mark.requirement("CHIM-23")
def test_the_second_net_buffer_moves_before_the_first_is_through(rig: Rig) -> None:
    rig.offload()
    first, second = net_buffer(b"123"), net_buffer(b"45")
    first.next = second
    nbl = NetBufferList(first)
    rig.protocol_does(lambda: rig.calls.offload_tcp_send(rig.handle, nbl))
    second.advance_data_start(1)
    with rig.breach("CHIM-23", "target"):
        complete_send(rig, nbl, UPLOADING, 0, 1)


def test_the_bytes_of_a_send_change(rig: Rig) -> None:
    found = rig.offload()
    (nbl,) = rig.send(b"123")
    rig.as_miniport(lambda: first_buffer(nbl).write(0, b"x"))
    with rig.breach("SEND-5", "target"):
        rig.target_does(lambda: rig.target.ack(found))


def test_a_protocol_sends_what_it_has_given_away(rig: Rig) -> None:
    rig.offload()
    (nbl,) = rig.send(b"123")
    with rig.breach("PSEND-1", "client"):
        rig.protocol_does(lambda: rig.calls.offload_tcp_send(rig.handle, nbl))


def test_a_send_without_data_to_point_at(rig: Rig) -> None:
    rig.offload()
    with rig.breach("NBL-2", "client"):
        rig.protocol_does(lambda: rig.calls.offload_tcp_send(rig.handle, NetBufferList(None)))
    nbl = net_buffer_list(b"abc")
    first_buffer(nbl).data_length = 99
    with rig.breach("NBL-2", "client"):
        rig.protocol_does(lambda: rig.calls.offload_tcp_send(rig.handle, nbl))


@pytest.mark.requirement("CHIM-21")
@pytest.mark.parametrize("function", ["send", "receive"])
def test_a_call_that_does_not_pend(rig: Rig, function: str) -> None:
    rig.offload()
    rig.target.hooks[function] = lambda default, *_: SUCCESS
    with rig.breach("CHIM-21", "target"):
        _ = rig.send(b"x") if function == "send" else rig.post(5)


@pytest.mark.requirement("CHIM-21")
def test_a_return_that_fails(rig: Rig) -> None:
    found = rig.offload()
    rig.target_does(lambda: rig.target.arrive(found, b"abc"))
    rig.target.hooks["return"] = lambda default: NDIS_STATUS.FAILURE
    with rig.breach("CHIM-21", "target"):
        rig.give_back()


@pytest.mark.requirement("CHIM-20")
@pytest.mark.parametrize("function", ["send", "receive"])
def test_two_processors_in_one_call(rig: Rig, function: str) -> None:
    """The DPC of another processor completes a send, and the protocol goes on from there: unserialized."""
    rig.offload()
    handle = rig.handle

    def again(default: object, *_: object) -> NDIS_STATUS:
        rig.target.hooks.clear()
        call: Callable[[], Any] = {
            "send": lambda: rig.calls.offload_tcp_send(handle, net_buffer_list(b"2")),
            "receive": lambda: rig.calls.offload_tcp_receive(handle, net_buffer_list(b"2")),
        }[function]
        rig.ndis.processors.queue_dpc(1, lambda _: rig.as_protocol(call))
        rig.ndis.processors.run_until_idle()
        return NDIS_STATUS.PENDING

    rig.target.hooks[function] = again
    with rig.breach("CHIM-20", "client"):
        _ = rig.send(b"1") if function == "send" else rig.post(5)


def test_a_receive_from_within_its_completion_is_no_breach(rig: Rig) -> None:
    found = rig.offload()
    handle = rig.handle
    left = [3]

    def during(what: str, handle: nd.NDIS_OFFLOAD_HANDLE) -> None:
        if what == "received" and left[0]:
            left[0] -= 1
            rig.calls.offload_tcp_receive(handle, net_buffer_list(bytes(2)))

    rig.client.during = during
    rig.target_does(lambda: setattr(found, "waiting", b"abcdefgh"))
    found.state.RcvNxt += 8
    rig.protocol_does(lambda: rig.calls.offload_tcp_receive(handle, net_buffer_list(bytes(2))))
    assert rig.client.stream == b"abcdefgh"
    rig.terminate()
    assert rig.ndis.violations == []


# -- receives ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("INV-22")
@pytest.mark.parametrize("how", ["order", "twice", "unknown"])
def test_receives_out_of_turn(rig: Rig, how: str) -> None:
    held_back(rig)
    rig.offload()
    first, second = rig.post(2, 2)
    nbl = second
    if how == "twice":
        complete_receive(rig, first, SUCCESS, 2)
        rig.ndis.verifier.give(first, rig.miniport)
        nbl = first
    elif how == "unknown":
        nbl = net_buffer_list(b"xx")
    with rig.breach("INV-22", "target"):
        complete_receive(rig, nbl, SUCCESS, 0, 2)


@pytest.mark.requirement("INV-22")
@pytest.mark.parametrize("length", [0, 5])
def test_a_receive_that_is_never_completed(rig: Rig, length: int) -> None:
    held_back(rig)
    found = rig.offload()
    rig.post(length)
    found.posts.clear()
    with rig.breach("INV-37", "target"):
        rig.terminate_connection()


@pytest.mark.requirement("INV-23")
@pytest.mark.parametrize("inner", ["complete", "indicate"])
def test_a_delivery_within_an_indication(rig: Rig, inner: str) -> None:
    held_back(rig)
    found = rig.offload()

    def nested(what: str, handle: nd.NDIS_OFFLOAD_HANDLE) -> None:
        rig.client.during = lambda what, handle: None
        if inner == "complete":
            rig.calls.offload_tcp_receive(handle, net_buffer_list(b""))
            rig.as_miniport(lambda: rig.target.complete_posts(found, 1, SUCCESS), Level.DISPATCH)
        else:
            rig.as_miniport(lambda: rig.target.indicate(found, net_buffer_list(b"y")), Level.DISPATCH)

    rig.client.during = nested
    with rig.breach("INV-23", "target"):
        indicate(rig, found, b"x")


@pytest.mark.requirement("INV-23")
def test_a_delivery_within_a_completion(rig: Rig) -> None:
    held_back(rig)
    found = rig.offload()
    rig.post(0, 0)

    def nested(what: str, handle: nd.NDIS_OFFLOAD_HANDLE) -> None:
        rig.client.during = lambda what, handle: None
        rig.as_miniport(lambda: rig.target.complete_posts(found, 1, SUCCESS), Level.DISPATCH)

    rig.client.during = nested
    with rig.breach("INV-23", "target"):
        rig.target_does(lambda: rig.target.complete_posts(found, 1, SUCCESS))


@pytest.mark.requirement("INV-24")
def test_data_is_indicated_though_a_receive_is_posted(rig: Rig) -> None:
    held_back(rig)
    found = rig.offload()
    rig.post(10)
    with rig.breach("INV-24", "target"):
        indicate(rig, found, b"x")


@pytest.mark.requirement("INV-24")
def test_data_is_indicated_from_within_the_post(rig: Rig) -> None:
    found = rig.offload()

    def post(default: object, context: Target) -> NDIS_STATUS:
        context.posts.clear()
        rig.target.indicate(found, net_buffer_list(b"x"))
        return NDIS_STATUS.PENDING

    rig.target.hooks["receive"] = post
    with rig.breach("INV-24", "target"):
        rig.post(10)


@pytest.mark.requirement("INV-24")
def test_a_receive_that_comes_while_the_indication_is_under_way_is_no_breach(rig: Rig) -> None:
    """Another processor posts after the target has looked for requests and before it indicates."""
    found = rig.offload()
    handle = rig.handle
    rig.target.cpu = 1

    def late() -> None:
        found.is_busy = True
        rig.ndis.processors.queue_dpc(
            0,
            lambda _: rig.as_protocol(lambda: rig.calls.offload_tcp_receive(handle, net_buffer_list(b"12"))),
        )
        rig.ndis.processors._run(rig.ndis.processors._eligible()[0], "race")
        assert found.posts
        rig.target.indicate(found, net_buffer_list(b"x"))
        found.is_busy = False

    rig.ndis.processors.queue_dpc(1, lambda _: rig.as_miniport(late, Level.DISPATCH))
    rig.run()
    assert rig.client.stream == b"x"
    assert rig.ndis.violations == []
    with rig.breach("INV-24", "target"):
        indicate(rig, found, b"y")


@pytest.mark.requirement("INV-25")
@pytest.mark.parametrize("consumed", [0, 1])
def test_data_is_indicated_again_after_a_refusal(rig: Rig, consumed: int) -> None:
    held_back(rig)
    found = rig.offload()
    rig.client.answer = lambda data: consumed
    indicate(rig, found, b"abc")
    with rig.breach("INV-25", "target"):
        indicate(rig, found, b"abc"[consumed:])


@pytest.mark.requirement("INV-20", "INV-25")
@pytest.mark.parametrize("data", [b"xbc", b"bc", b"abx"])
def test_other_data_than_what_was_refused(rig: Rig, data: bytes) -> None:
    held_back(rig)
    found = rig.offload()
    rig.client.answer = lambda data: 0
    indicate(rig, found, b"abc")
    rig.post(0)
    rig.target_does(lambda: rig.target.complete_posts(found, 1, SUCCESS))
    with rig.breach("INV-20", "target"):
        indicate(rig, found, data)


@pytest.mark.requirement("INV-20", "INV-21")
@pytest.mark.parametrize("by", ["indication", "receive"])
def test_newer_data_before_buffered_data(rig: Rig, by: str) -> None:
    held_back(rig)
    found = rig.offload(buffered=b"old")
    if by == "indication":
        with rig.breach("INV-21", "target"):
            indicate(rig, found, b"new")
        return
    (nbl,) = rig.post(3)
    rig.as_miniport(lambda: first_buffer(nbl).write(0, b"new"))
    with rig.breach("INV-21", "target"):
        complete_receive(rig, nbl, SUCCESS, 3)


@pytest.mark.requirement("INV-26")
@pytest.mark.parametrize("next_is", ["receive", "indication"])
def test_a_short_non_push_receive_and_more_data(rig: Rig, next_is: str) -> None:
    held_back(rig)
    found = rig.offload()
    (nbl,) = rig.post(10, no_push=True)
    complete_receive(rig, nbl, SUCCESS, 3)  # right, if the stream ended here
    if next_is == "indication":
        with rig.breach("INV-26", "target"):
            indicate(rig, found, b"more")
        return
    (second,) = rig.post(10)
    with rig.breach("INV-26", "target"):
        complete_receive(rig, second, SUCCESS, 1)


@pytest.mark.requirement("INV-26")
@pytest.mark.parametrize("before", [0, 4])
def test_a_push_receive_that_ends_with_nothing_new(rig: Rig, before: int) -> None:
    """The push timer may end it for what was in it before; with nothing in it only the end of the stream."""
    held_back(rig)
    rig.offload()
    (nbl,) = rig.post(10, before=before)
    complete_receive(rig, nbl, SUCCESS, 0)
    (second,) = rig.post(10)
    if before:
        complete_receive(rig, second, SUCCESS, 1)
        return
    with rig.breach("INV-26", "target"):
        complete_receive(rig, second, SUCCESS, 1)


@pytest.mark.requirement("CHIM-23")
@pytest.mark.parametrize(("moved", "said"), [(2, 3), (0, 1)])
def test_received_bytes_and_data_start_differ(rig: Rig, moved: int, said: int) -> None:
    held_back(rig)
    rig.offload()
    (nbl,) = rig.post(5)
    with rig.breach("CHIM-23", "target"):
        complete_receive(rig, nbl, SUCCESS, moved, said)


@pytest.mark.requirement("CHIM-22")
@pytest.mark.parametrize("status", [NDIS_STATUS.PENDING, NDIS_STATUS.REQUEST_UPLOAD])
def test_a_receive_with_a_status_of_others(rig: Rig, status: NDIS_STATUS) -> None:
    held_back(rig)
    rig.offload()
    (nbl,) = rig.post(5)
    with rig.breach("CHIM-22", "target"):
        complete_receive(rig, nbl, status, 0)


@pytest.mark.requirement("INV-32")
def test_invalid_state_with_data(rig: Rig) -> None:
    held_back(rig)
    rig.offload()
    (nbl,) = rig.post(5)
    with rig.breach("INV-32", "target"):
        complete_receive(rig, nbl, NDIS_STATUS.INVALID_STATE, 2)


@pytest.mark.requirement("CHIM-31")
@pytest.mark.parametrize("how", ["chain", "status", "two buffers", "empty"])
def test_an_indication_of_another_form(rig: Rig, how: str) -> None:
    found = rig.offload()
    nbl = net_buffer_list(b"" if how == "empty" else b"abc")
    if how == "chain":
        link([nbl, net_buffer_list(b"def")])
    elif how == "status":
        nbl.status = NDIS_STATUS.RESOURCES
    elif how == "two buffers":
        first_buffer(nbl).next = net_buffer(b"def")
    with rig.breach("CHIM-31", "target"):
        rig.target_does(lambda: rig.target.indicate(found, nbl))


ANSWERS: list[tuple[NDIS_STATUS, int]] = [
    (SUCCESS, 2),
    (SUCCESS, 0),
    (SUCCESS, 4),
    (NDIS_STATUS.OFFLOAD_DATA_NOT_ACCEPTED, 1),
    (NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED, 0),
    (NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED, 3),
    (NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED, -1),
    (NDIS_STATUS.PENDING, 3),
    (NDIS_STATUS.NOT_ACCEPTED, 0),
]


@pytest.mark.requirement("CHIM-30")
@pytest.mark.parametrize("answer", ANSWERS, ids=map(str, range(len(ANSWERS))))
def test_an_answer_that_contradicts_itself(rig: Rig, answer: tuple[NDIS_STATUS, int]) -> None:
    found = rig.offload()
    rig.client.tcp_offload_receive_indicate = lambda handle, nbl: answer  # type: ignore[method-assign]
    with rig.breach("CHIM-30", "client"):
        indicate(rig, found, b"abc")


@pytest.mark.requirement("CHIM-30")
def test_a_refused_indication_is_consumed_by_hand(rig: Rig) -> None:
    found = rig.offload()

    def answer(handle: nd.NDIS_OFFLOAD_HANDLE, nbl: NetBufferList) -> tuple[NDIS_STATUS, int]:
        first_buffer(nbl).advance_data_start(1)
        return NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED, 1

    rig.client.tcp_offload_receive_indicate = answer  # type: ignore[method-assign]
    with rig.breach("CHIM-30", "client"):
        indicate(rig, found, b"abc")


@pytest.mark.requirement("CHIM-32")
def test_a_refused_indication_is_returned_too(rig: Rig) -> None:
    found = rig.offload()
    of_connection = rig.handle

    def answer(handle: nd.NDIS_OFFLOAD_HANDLE, nbl: NetBufferList) -> tuple[NDIS_STATUS, int]:
        rig.calls.offload_tcp_receive_return(of_connection, nbl)
        return NDIS_STATUS.OFFLOAD_DATA_NOT_ACCEPTED, 0

    rig.client.tcp_offload_receive_indicate = answer  # type: ignore[method-assign]
    with rig.breach("CHIM-32", "client"):
        indicate(rig, found, b"abc")


def test_data_that_is_returned_at_once_may_be_overwritten(rig: Rig) -> None:
    """The protocol copies and returns within the indication; the target fills the buffer anew."""
    found = rig.offload(buffered=b"abc")
    rig.client.answer = lambda data: 0
    rig.target_does(lambda: rig.target.deliver(found))
    of_connection = rig.handle

    def answer(handle: nd.NDIS_OFFLOAD_HANDLE, nbl: NetBufferList) -> tuple[NDIS_STATUS, int]:
        length = first_buffer(nbl).data_length
        rig.calls.offload_tcp_receive_return(of_connection, nbl)
        rig.as_miniport(lambda: first_buffer(nbl).write(0, b"xyz"))
        return SUCCESS, length

    rig.client.tcp_offload_receive_indicate = answer  # type: ignore[method-assign]
    rig.post(0)
    assert found.waiting == b""
    assert rig.ndis.violations == []


@pytest.mark.requirement("INV-27")
def test_an_indicated_nbl_is_used_again(rig: Rig) -> None:
    found = rig.offload()
    nbl = net_buffer_list(b"abc")
    rig.target_does(lambda: rig.target.indicate(found, nbl))
    with rig.breach("INV-27", "target"):
        rig.target_does(lambda: rig.target.calls.tcp_offload_receive_handler(found.handle, nbl))


@pytest.mark.requirement("INV-27")
def test_an_indicated_buffer_is_written(rig: Rig) -> None:
    found = rig.offload()
    nbl = net_buffer_list(b"abc")
    buffer = first_buffer(nbl)
    rig.target_does(lambda: rig.target.indicate(found, nbl))
    rig.as_miniport(lambda: buffer.write(1, b"x"))
    with rig.breach("INV-27", "target"):
        rig.give_back()


@pytest.mark.requirement("INV-27")
def test_a_binding_is_closed_with_indications_out(rig: Rig) -> None:
    found = rig.offload()
    rig.target_does(lambda: rig.target.arrive(found, b"abc"))
    rig.terminate()
    binding = rig.binding
    assert binding is not None
    with rig.breach("INV-27", "client"):
        rig.as_protocol(binding.close)


@pytest.mark.requirement("CHIM-32")
@pytest.mark.parametrize("how", ["twice", "other handle", "never"])
def test_a_return_of_what_it_does_not_have(rig: Rig, how: str) -> None:
    found = rig.offload()
    rig.target_does(lambda: rig.target.arrive(found, b"abc"))
    handle, nbl = rig.client.kept[0]
    if how == "twice":
        rig.give_back()
    wanted = rig.handles[0] if how == "other handle" else handle
    returned = net_buffer_list(b"x") if how == "never" else nbl
    if how == "twice":
        rig.ndis.verifier.give(nbl, rig.protocol)
    with rig.breach("CHIM-32", "client"):
        rig.protocol_does(lambda: rig.calls.offload_tcp_receive_return(wanted, returned))


# -- terminate -----------------------------------------------------------------------------------------------


def at_upload(rig: Rig, fault: Callable[[Target, Any], None]) -> None:
    """Upload rightly, then spoil the block."""

    def upload(default: Callable[..., None], found: Target, block: Any) -> None:
        default(found, block)
        fault(found, block)

    rig.target.hooks["upload"] = upload


@pytest.mark.requirement("INV-18")
@pytest.mark.parametrize("how", ["lost", "added", "cut"])
def test_sends_are_lost_at_terminate(rig: Rig, how: str) -> None:
    def fault(found: Target, block: Any) -> None:
        if how == "lost":
            block.NetBufferListChain = None
        elif how == "added":
            block.NetBufferListChain = link([net_buffer_list(b"x"), block.NetBufferListChain])
        else:
            block.NetBufferListChain.next = None

    rig.offload()
    rig.send(b"12", b"34")
    at_upload(rig, fault)
    with rig.breach("INV-18", "target"):
        rig.terminate()


@pytest.mark.requirement("INV-18")
@pytest.mark.parametrize("delta", [1, -1, 2])
def test_snd_una_and_the_bytes_transferred_differ(rig: Rig, delta: int) -> None:
    found = rig.offload()
    rig.send(b"12345", b"67")
    rig.target_does(lambda: rig.target.ack(found, 1))

    def fault(found: Target, block: Any) -> None:
        block.delegated.SndUna += delta
        block.delegated.SndNxt = block.delegated.SndMax = block.delegated.SndUna

    at_upload(rig, fault)
    with rig.breach("INV-18", "target"):
        rig.terminate()


@pytest.mark.requirement("INV-18", "INV-20")
def test_more_than_4_gib_go_round_the_sequence_space(rig: Rig) -> None:
    rig.offload()
    (found,) = [each.connection for each in rig.adapter.chimney.registry.live if each.connection is not None]
    found.sends.acked += 5 << 32
    found.receives.delivered += 3 << 32
    rig.terminate()
    assert not rig.adapter.chimney.registry.count(Kind.TCP)


@pytest.mark.requirement("INV-18")
def test_a_fin_may_be_acknowledged_with_its_disconnect(rig: Rig) -> None:
    found = rig.offload()
    nbl = rig.disconnect(b"bye")

    def acknowledge() -> None:
        advance(nbl, 3)
        nbl.status = SUCCESS
        found.disconnects.clear()
        found.state.SndUna += 4
        found.state.SndNxt = found.state.SndMax = found.state.SndUna
        rig.target.calls.tcp_offload_disconnect_complete(found.handle, nbl)

    rig.target_does(acknowledge)
    rig.terminate()
    assert rig.client.disconnected == [SUCCESS]
    assert rig.ndis.violations == []


@pytest.mark.requirement("INV-19")
@pytest.mark.parametrize("how", ["order", "head", "tail", "middle", "short"])
def test_the_chain_of_a_terminate(rig: Rig, how: str) -> None:
    def fault(found: Target, block: Any) -> None:
        nbls = [block.NetBufferListChain, block.NetBufferListChain.next]
        if how == "order":
            block.NetBufferListChain = link(reversed(nbls))
        elif how == "head":
            block.delegated.SendDataHead = None
        elif how == "tail":
            block.delegated.SendDataTail = nbls[0]
        elif how == "middle":
            first_buffer(nbls[1]).advance_data_start(1)
        else:
            block.delegated.SndMax += 5

    rig.offload()
    rig.send(b"12", b"34")
    at_upload(rig, fault)
    with rig.breach("INV-19", "target"):
        rig.terminate()


@pytest.mark.requirement("INV-20")
@pytest.mark.parametrize("delta", [1, -1])
def test_rcv_nxt_and_the_bytes_delivered_differ(rig: Rig, delta: int) -> None:
    found = rig.offload(buffered=b"ab")
    rig.target_does(lambda: rig.target.arrive(found, b"cde"))

    def fault(found: Target, block: Any) -> None:
        block.delegated.RcvNxt += delta

    at_upload(rig, fault)
    with rig.breach("INV-20", "target"):
        rig.terminate()


@pytest.mark.requirement("INV-20", "INV-21")
@pytest.mark.parametrize(("buffered", "rule_id"), [(True, "INV-21"), (False, "INV-20")])
@pytest.mark.parametrize("returned", [b"", b"abx", b"ab"])
def test_buffered_data_is_lost_at_terminate(rig: Rig, buffered: bool, rule_id: str, returned: bytes) -> None:
    held_back(rig)
    found = rig.offload(buffered=b"abc" if buffered else b"")
    if not buffered:
        rig.client.answer = lambda data: 0
        found.state.RcvNxt += 3
        indicate(rig, found, b"abc")

    def fault(found: Target, block: Any) -> None:
        block.delegated.BufferedData = net_buffer_list(returned) if returned else None

    at_upload(rig, fault)
    with rig.breach(rule_id, "target"):
        rig.terminate()


@pytest.mark.requirement("INV-37")
@pytest.mark.parametrize("what", ["receives", "disconnects", "forwards"])
def test_something_is_outstanding_at_terminate(rig: Rig, what: str) -> None:
    held_back(rig)
    found = rig.offload()
    rig.target.finish_forwards = lambda found: None  # type: ignore[method-assign]
    if what == "receives":
        rig.post(5)
        found.posts.clear()
    elif what == "disconnects":
        rig.disconnect()
        found.disconnects.clear()
    else:
        rig.protocol_does(lambda: rig.calls.offload_tcp_forward(rig.handle, net_buffer_list(bytes(20))))
        found.forwards.clear()
    with rig.breach("INV-37", "target"):
        rig.terminate()


@pytest.mark.requirement("INV-37")
def test_an_indication_is_in_progress_at_terminate(rig: Rig) -> None:
    found = rig.offload()
    rig.target.cpu = 1

    def during(what: str, handle: nd.NDIS_OFFLOAD_HANDLE) -> None:
        rig.client.during = lambda what, handle: None
        processors = rig.ndis.processors
        root = linker(None, linker(None, ending(handle, 2)))
        rig.calls.terminate_offload(root)
        processors._run(processors._eligible()[0], "race")

    rig.client.during = during
    with rig.breach("INV-37", "target"):
        rig.target_does(lambda: rig.target.event(found, nd.TCP_OFFLOAD_EVENT_TYPE.RETRIEVE, 10))


def test_a_failed_terminate_may_lose_the_state(rig: Rig) -> None:
    found = rig.offload()
    rig.send(b"12")

    def fail(block: Any) -> None:
        rig.target.end_io(found, ABORTED)
        for each in tree(block):
            each.Status = SUCCESS if each.MiniportOffloadContext is None else NDIS_STATUS.FAILURE
        rig.target.calls.m_terminate_offload_complete(block)

    rig.target.hooks["terminate"] = lambda default, block: fail(block)
    rig.terminate_connection()
    assert rig.client.statuses == [SUCCESS, SUCCESS, NDIS_STATUS.FAILURE]
    assert rig.client.sent == [(ABORTED, 0)]
    assert rig.ndis.violations == []


NOTHING: Any = None


@pytest.mark.requirement("CHIM-24")
@pytest.mark.parametrize("function", ["send", "receive", "forward", "disconnect"])
def test_a_request_of_nothing(rig: Rig, function: str) -> None:
    rig.offload()
    handle, flag = rig.handle, nd.TcpDisconnectFlag.GRACEFUL_CLOSE
    calls: dict[str, Callable[[], object]] = {
        "send": lambda: rig.calls.offload_tcp_send(handle, NOTHING),
        "receive": lambda: rig.calls.offload_tcp_receive(handle, NOTHING),
        "forward": lambda: rig.calls.offload_tcp_forward(handle, NOTHING),
        "disconnect": lambda: rig.calls.offload_tcp_disconnect(handle, NOTHING, flag),
    }
    with rig.breach("CHIM-24", "client"):
        rig.protocol_does(calls[function])


@pytest.mark.requirement("CHIM-22")
@pytest.mark.parametrize("function", ["send", "receive", "forward", "disconnect"])
def test_a_completion_of_nothing(rig: Rig, function: str) -> None:
    found = rig.offload()
    complete = getattr(rig.target.calls, f"tcp_offload_{function}_complete")
    with rig.breach("CHIM-22", "target"):
        rig.target_does(lambda: complete(found.handle, NOTHING))


@pytest.mark.requirement("CHIM-31")
def test_an_indication_of_nothing(rig: Rig) -> None:
    found = rig.offload()
    with rig.breach("CHIM-31", "target"):
        rig.target_does(lambda: rig.target.calls.tcp_offload_receive_handler(found.handle, NOTHING))
