"""Rules of trees, control calls and status indications, each broken: the layer names rule and driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.ndis.chimney_questions import question
from tests.ndis.chimney_toys import (
    CAPACITY,
    PARTIAL,
    SUCCESS,
    ChimneyProtocol,
    Rig,
    chain,
    ending,
    linker,
    make_rig,
    neighbor,
    of,
    over,
    path,
    tcp,
    tree,
    with_state,
)
from vnic.host.cpu import Level
from vnic.ndis import chimney as nd
from vnic.ndis.chimney import NDIS_MINIPORT_OFFLOAD_BLOCK_LIST as Block
from vnic.ndis.chimney import NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST as ProtocolBlock
from vnic.ndis.chimney import OFFLOAD_STATE_TYPE as TYPE
from vnic.ndis.chimney import TCP_OFFLOAD_CONNECTION_STATE as STATE
from vnic.ndis.chimney_objects import Kind
from vnic.ndis.net_buffer_list import net_buffer_list
from vnic.ndis.offload import TcpConnectionOffloadParameters
from vnic.ndis.oid import OID
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState

FAILURE = NDIS_STATUS.FAILURE


@pytest.fixture
def rig() -> Rig:
    """A running one."""
    rig = make_rig()
    rig.start()
    return rig


def blocks_of(block: Block) -> list[Any]:
    """Neighbor, path, connection of the miniport's tree."""
    return tree(block)


def spoil(rig: Rig, name: str, fault: Callable[[Block], None]) -> None:
    """Do a control call rightly, but for what `fault` does right before it is completed."""
    calls = rig.target.calls
    completions = {
        "initiate": "m_initiate_offload_complete",
        "terminate": "m_terminate_offload_complete",
        "update": "m_update_offload_complete",
        "invalidate": "m_invalidate_offload_complete",
        "query": "m_query_offload_state_complete",
    }
    right = getattr(calls, completions[name])

    class Spoiled:
        """The provider calls, with one replaced."""

        def __getattr__(self, attribute: str) -> Any:
            return getattr(calls, attribute)

    spoiled = Spoiled()

    def complete(block: Block) -> None:
        fault(block)
        right(block)

    setattr(spoiled, completions[name], complete)
    rig.target.calls = spoiled


# -- what a target makes of an initiate --------------------------------------------------------------------


@pytest.mark.requirement("INV-1")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_block_without_status(rig: Rig, place: int) -> None:
    def fault(block: Block) -> None:
        blocks_of(block)[place].Status = None

    spoil(rig, "initiate", fault)
    with rig.breach("INV-1", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-1")
def test_a_placeholder_with_another_status(rig: Rig) -> None:
    rig.offload()
    spoil(rig, "initiate", lambda block: setattr(block, "Status", PARTIAL))
    with rig.breach("INV-1", "target"):
        rig.initiate(linker(None, linker(rig.handles[1], tcp())))


@pytest.mark.requirement("INV-2")
def test_a_context_is_written_at_failure(rig: Rig) -> None:
    def fault(block: Block) -> None:
        blocks_of(block)[0].Status = blocks_of(block)[1].Status = PARTIAL
        blocks_of(block)[2].Status = NDIS_STATUS.RESOURCES

    spoil(rig, "initiate", fault)
    with rig.breach("INV-2", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-2")
def test_a_context_is_not_written_at_success(rig: Rig) -> None:
    def fault(block: Block) -> None:
        context = blocks_of(block)[1].MiniportOffloadContext
        context.value = None

    spoil(rig, "initiate", fault)
    with rig.breach("INV-2", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-3")
@pytest.mark.parametrize("how", ["status", "advance", "completed", "chain"])
def test_the_sends_of_a_failed_connection_are_touched(rig: Rig, how: str) -> None:
    def fault(block: Block) -> None:
        connection = blocks_of(block)[2]
        nbl = connection.NetBufferListChain
        found = connection.MiniportOffloadContext.value
        connection.MiniportOffloadContext.value = None
        blocks_of(block)[0].Status, blocks_of(block)[1].Status = SUCCESS, PARTIAL
        connection.Status = NDIS_STATUS.RESOURCES
        if how == "status":
            nbl.status = FAILURE
        elif how == "advance":
            nbl.first_net_buffer.advance_data_start(1)
        elif how == "completed":
            rig.target.ack(found)
        else:
            connection.NetBufferListChain = None

    spoil(rig, "initiate", fault)
    with rig.breach("INV-3", "target"):
        rig.initiate(neighbor(path(tcp(sends=(b"data",)))))


@pytest.mark.requirement("INV-4")
def test_something_is_offloaded_below_a_failed_node(rig: Rig) -> None:
    def fault(block: Block) -> None:
        for each in blocks_of(block)[:2]:
            each.Status = FAILURE
            each.MiniportOffloadContext.value = None

    spoil(rig, "initiate", fault)
    with rig.breach("INV-4", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-5")
def test_success_over_a_dependent_that_failed(rig: Rig) -> None:
    rig.target.refuses = lambda block: (
        NDIS_STATUS.OFFLOAD_TCP_ENTRIES if block.state_type == TYPE.TCP_ALL else None
    )
    spoil(rig, "initiate", lambda block: setattr(blocks_of(block)[1], "Status", SUCCESS))
    with rig.breach("INV-5", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-5")
def test_partial_success_where_all_succeeded(rig: Rig) -> None:
    spoil(rig, "initiate", lambda block: setattr(blocks_of(block)[1], "Status", PARTIAL))
    with rig.breach("INV-5", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-6")
@pytest.mark.parametrize("what", ["event", "data", "query"])
def test_an_indication_before_the_initiate_is_complete(rig: Rig, what: str) -> None:
    def early(block: Block) -> None:
        found = rig.target.connections[-1]
        if what == "event":
            rig.target.event(found, nd.TCP_OFFLOAD_EVENT_TYPE.ABORT)
        elif what == "data":
            found.waiting = b"early"
            rig.target.indicate(found)
        else:
            asked = question(block.NdisOffloadHandle)
            event = nd.INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY
            rig.target.calls.m_offload_event_indicate(asked, event)

    spoil(rig, "initiate", early)
    with rig.breach("INV-6", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-6")
def test_an_indication_before_the_completion_has_returned(rig: Rig) -> None:
    """From another processor, while the protocol is being told."""

    def during(what: str, handle: nd.NDIS_OFFLOAD_HANDLE) -> None:
        if rig.target.connections and what == "initiate":
            event = nd.TCP_OFFLOAD_EVENT_TYPE.ABORT
            found = rig.target.connections[-1]
            rig.as_miniport(lambda: rig.target.event(found, event), Level.DISPATCH)

    rig.client.during = during
    with rig.breach("INV-6", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-7")
@pytest.mark.parametrize(
    "state", [STATE.CLOSED, STATE.LISTEN, STATE.SYN_SENT, STATE.SYN_RCVD, STATE.TIME_WAIT]
)
def test_a_state_that_cannot_be_offloaded(rig: Rig, state: STATE) -> None:
    with rig.breach("INV-7", "client"):
        rig.initiate(neighbor(path(tcp(state=state))))


@pytest.mark.requirement("INV-8")
@pytest.mark.parametrize("status", [PARTIAL, NDIS_STATUS.RESOURCES, NDIS_STATUS.PENDING])
def test_another_status_than_success_or_failure(rig: Rig, status: NDIS_STATUS) -> None:
    rig.offload()
    spoil(rig, "invalidate", lambda block: setattr(block, "Status", status))
    with rig.breach("INV-8", "target"):
        rig.protocol_does(lambda: rig.calls.invalidate_offload(linker(rig.handles[0])))


@pytest.mark.requirement("INV-9")
def test_a_completion_from_within_the_call(rig: Rig) -> None:
    rig.target.hooks["call_initiate"] = lambda default, block: rig.target._initiate(block)
    with rig.breach("INV-9", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-9")
def test_a_completion_twice(rig: Rig) -> None:
    kept: list[Block] = []
    spoil(rig, "initiate", kept.append)
    rig.initiate(neighbor())
    with rig.breach("INV-9", "target"):
        rig.target_does(lambda: rig.target.complete_initiate(kept[0]))


@pytest.mark.requirement("INV-9")
@pytest.mark.parametrize("how", ["another block", "another call"])
def test_a_completion_of_something_else(rig: Rig, how: str) -> None:
    rig.target.holds = True
    rig.initiate(neighbor(path(tcp())))
    block = rig.target.held[0][1]
    calls = rig.target.calls
    with rig.breach("INV-9", "target"):
        if how == "another block":
            rig.target_does(lambda: calls.m_initiate_offload_complete(block.DependentBlockList))
        else:
            rig.target_does(lambda: calls.m_terminate_offload_complete(block))


@pytest.mark.requirement("INV-10")
@pytest.mark.parametrize("part", ["const", "cached"])
def test_const_or_cached_values_are_altered(rig: Rig, part: str) -> None:
    def fault(block: Block) -> None:
        state = getattr(blocks_of(block)[2], part)
        if part == "const":
            state.LocalPort += 1
        else:
            state.MaxRT += 1

    spoil(rig, "initiate", fault)
    with rig.breach("INV-10", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("INV-10", "INV-42")
def test_a_query_tells_other_values_than_were_given(rig: Rig) -> None:
    rig.offload()
    update = with_state(rig.handles[1], TYPE.IP4_PATH_CACHED, cached=nd.PATH_OFFLOAD_STATE_CACHED(900))
    spoil(rig, "update", lambda block: setattr(blocks_of(block)[1], "Status", FAILURE))
    rig.protocol_does(lambda: rig.calls.update_offload(linker(None, update)))
    asked = with_state(rig.handles[1], TYPE.IP4_PATH_CACHED, cached=nd.PATH_OFFLOAD_STATE_CACHED(1500))
    rig.protocol_does(lambda: rig.calls.query_offload_state(linker(None, asked)))
    asked.cached = nd.PATH_OFFLOAD_STATE_CACHED(900)  # as if the failed update had taken effect
    with rig.breach("INV-10", "target"):
        rig.protocol_does(lambda: rig.calls.query_offload_state(linker(None, asked)))


@pytest.mark.requirement("INV-11")
@pytest.mark.parametrize("level", [0, 1])
def test_an_object_is_terminated_under_its_dependents(rig: Rig, level: int) -> None:
    rig.offload()
    root = ending(rig.handles[0], 0) if level == 0 else linker(None, ending(rig.handles[1], 1))
    with rig.breach("INV-11", "client"):
        rig.protocol_does(lambda: rig.calls.terminate_offload(root))


@pytest.mark.requirement("INV-12")
def test_more_connections_than_the_capacity(rig: Rig) -> None:
    rig.initiate(neighbor(path(*(tcp() for _ in range(CAPACITY)))))
    assert rig.adapter.chimney.registry.count(Kind.TCP) == CAPACITY
    with rig.breach("INV-12", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("CHIM-10")
def test_a_status_of_another_kind_of_object(rig: Rig) -> None:
    rig.target.refuses = lambda block: NDIS_STATUS.OFFLOAD_TCP_ENTRIES
    with rig.breach("CHIM-10", "target"):
        rig.initiate(neighbor())


@pytest.mark.requirement("CHIM-4")
@pytest.mark.parametrize("member", ["ProtocolReserved", "ImReserved", "SourceHandle", "NdisReserved"])
def test_reserved_members_are_written(rig: Rig, member: str) -> None:
    spoil(rig, "initiate", lambda block: setattr(blocks_of(block)[1], member, "mine"))
    with rig.breach("CHIM-4", "target"):
        rig.initiate(neighbor(path(tcp())))


@pytest.mark.requirement("CHIM-4")
def test_the_tree_is_cut(rig: Rig) -> None:
    spoil(rig, "initiate", lambda block: setattr(blocks_of(block)[1], "DependentBlockList", None))
    with rig.breach("CHIM-4", "target"):
        rig.initiate(neighbor(path(tcp())))


# -- block lists of a protocol -----------------------------------------------------------------------------


def cyclic() -> ProtocolBlock:
    """The last sibling leads back to the first."""
    first = neighbor()
    first.NextBlock = first
    return first


def cyclic_downwards() -> ProtocolBlock:
    """A path that hangs on itself."""
    below = path()
    below.DependentBlockList = below
    return neighbor(below)


def shared() -> ProtocolBlock:
    """One connection below two paths."""
    connection = tcp()
    first, second = path(), path()
    first.DependentBlockList = second.DependentBlockList = connection
    return neighbor(first, second)


def twice() -> ProtocolBlock:
    """Two blocks with one handle."""
    first, second = tcp(), tcp()
    second.OffloadHandle = first.OffloadHandle
    return neighbor(path(first, second))


BROKEN_TREES: list[tuple[str, Callable[[], ProtocolBlock]]] = [
    ("CHIM-1", cyclic),
    ("CHIM-1", cyclic_downwards),
    ("CHIM-1", shared),
    ("CHIM-1", twice),
    ("CHIM-1", lambda: neighbor(path(over(tcp(), tcp())))),
    ("CHIM-1", lambda: neighbor(tcp())),
    ("CHIM-1", lambda: path(tcp())),
    ("CHIM-1", tcp),
    ("CHIM-1", lambda: over(neighbor(), neighbor())),
    ("CHIM-1", lambda: chain(neighbor(), path()) or neighbor()),
    ("CHIM-1", lambda: linker(None)),
    ("CHIM-1", lambda: linker(None, linker(None))),
    ("CHIM-1", lambda: linker(None, path(tcp()))),
    ("CHIM-1", lambda: over(neighbor(), Block())),  # type: ignore[arg-type]
    ("CHIM-2", lambda: neighbor(path(spoiled(tcp(), const=None)))),
    ("CHIM-2", lambda: neighbor(path(spoiled(tcp(), delegated=nd.PATH_OFFLOAD_STATE_DELEGATED())))),
    ("CHIM-2", lambda: neighbor(path(spoiled(tcp(), state_type=TYPE.TCP_CONST)))),
    ("CHIM-2", lambda: neighbor(path(spoiled(tcp(), state_type=TYPE.TCP_RESOURCE)))),
    ("CHIM-2", lambda: neighbor(path(spoiled(tcp(), state_type=TYPE.NONE)))),
    ("CHIM-2", lambda: neighbor(path(spoiled(tcp(), state_type=0xFE)))),
    ("CHIM-2", lambda: neighbor(path(spoiled(tcp(), OffloadHandle=None)))),
    ("CHIM-3", lambda: neighbor(path(spoiled(tcp(), OffloadHandle=object())))),
    ("CHIM-11", lambda: neighbor(path(tcp(sends=(b"abc",), sent=4)))),
    ("CHIM-11", lambda: spoiled(neighbor(), NetBufferListChain=net_buffer_list(b"x"))),
]


def spoiled(block: ProtocolBlock, **members: object) -> ProtocolBlock:
    """A block with other members."""
    for name, value in members.items():
        setattr(block, name, value)
    return block


@pytest.mark.requirement("CHIM-1", "CHIM-2", "CHIM-3", "CHIM-11")
@pytest.mark.parametrize(("rule_id", "make"), BROKEN_TREES, ids=map(str, range(len(BROKEN_TREES))))
def test_a_broken_tree(rig: Rig, rule_id: str, make: Callable[[], ProtocolBlock]) -> None:
    with rig.breach(rule_id, "client"):
        rig.protocol_does(lambda: rig.calls.initiate_offload(make()))
    assert not rig.target.connections
    rig.offload()
    rig.terminate()


@pytest.mark.requirement("CHIM-1")
def test_no_block_list_at_all(rig: Rig) -> None:
    with rig.breach("CHIM-1", "client"):
        rig.protocol_does(lambda: rig.calls.initiate_offload(None))  # type: ignore[arg-type]


@pytest.mark.requirement("INV-14")
@pytest.mark.parametrize(("una", "nxt", "top"), [(2, 1, 3), (1, 3, 2), (0, 0, 1 << 31), (5, 4, 4)])
def test_send_variables_out_of_order(rig: Rig, una: int, nxt: int, top: int) -> None:
    root = neighbor(path(tcp()))
    state = tree(root)[2].delegated
    state.SndUna, state.SndNxt, state.SndMax = una, nxt, top
    with rig.breach("INV-14", "client"):
        rig.initiate(root)


@pytest.mark.requirement("CHIM-11")
def test_send_data_that_is_not_the_chain(rig: Rig) -> None:
    root = neighbor(path(tcp(sends=(b"abc",))))
    tree(root)[2].delegated.SendDataTail = net_buffer_list(b"other")
    with rig.breach("CHIM-11", "client"):
        rig.initiate(root)


@pytest.mark.requirement("CHIM-2")
def test_a_linker_with_state(rig: Rig) -> None:
    rig.offload()
    root = neighbor(path())
    root.OffloadHandle = rig.handles[0]
    with rig.breach("CHIM-2", "client"):
        rig.initiate(root)


@pytest.mark.requirement("CHIM-2")
def test_state_of_another_kind_follows_an_object(rig: Rig) -> None:
    rig.offload()
    wrong = with_state(rig.handles[0], TYPE.TCP_DELEGATED, delegated=nd.TCP_OFFLOAD_STATE_DELEGATED())
    with rig.breach("CHIM-2", "client"):
        rig.protocol_does(lambda: rig.calls.query_offload_state(wrong))


@pytest.mark.requirement("CHIM-2")
def test_state_of_the_other_ip_version_follows_a_path(rig: Rig) -> None:
    root = neighbor(path(tcp(), kind=TYPE.IP6_PATH_ALL))
    rig.initiate(root)
    handles = [of(block) for block in tree(root)]
    right = with_state(handles[1], TYPE.IP6_PATH_CACHED, cached=nd.PATH_OFFLOAD_STATE_CACHED(1300))
    rig.protocol_does(lambda: rig.calls.update_offload(linker(None, right)))
    asked = with_state(handles[2], TYPE.TCP_DELEGATED, delegated=nd.TCP_OFFLOAD_STATE_DELEGATED())
    rig.protocol_does(lambda: rig.calls.query_offload_state(linker(None, linker(None, asked))))
    wrong = with_state(handles[1], TYPE.IP4_PATH_CACHED, cached=nd.PATH_OFFLOAD_STATE_CACHED(1300))
    with rig.breach("CHIM-2", "client"):
        rig.protocol_does(lambda: rig.calls.update_offload(linker(None, wrong)))


@pytest.mark.requirement("CHIM-2")
@pytest.mark.parametrize("call", ["update_offload", "invalidate_offload", "terminate_offload"])
def test_the_wrong_state_for_a_call(rig: Rig, call: str) -> None:
    rig.offload()
    state = nd.NEIGHBOR_OFFLOAD_STATE_CONST()
    wrong = with_state(rig.handles[0], TYPE.NEIGHBOR_CONST, const=state)
    with rig.breach("CHIM-2", "client"):
        rig.protocol_does(lambda: getattr(rig.calls, call)(wrong))


@pytest.mark.requirement("CHIM-2")
@pytest.mark.parametrize("call", ["update_offload", "terminate_offload", "query_offload_state"])
def test_a_call_about_nothing(rig: Rig, call: str) -> None:
    rig.offload()
    with rig.breach("CHIM-2", "client"):
        rig.protocol_does(lambda: getattr(rig.calls, call)(linker(rig.handles[0])))


@pytest.mark.requirement("CHIM-3")
def test_a_handle_that_was_never_offloaded(rig: Rig) -> None:
    with rig.breach("CHIM-3", "client"):
        rig.protocol_does(lambda: rig.calls.invalidate_offload(linker(nd.NDIS_OFFLOAD_HANDLE())))


@pytest.mark.requirement("CHIM-3")
def test_a_handle_whose_object_is_gone(rig: Rig) -> None:
    rig.offload()
    rig.terminate()
    with rig.breach("CHIM-3", "client"):
        rig.protocol_does(lambda: rig.calls.terminate_offload(ending(rig.handles[0], 0)))


@pytest.mark.requirement("CHIM-3")
def test_a_handle_of_another_binding(rig: Rig) -> None:
    rig.offload()
    stranger = ChimneyProtocol()
    rig.protocol.at_pause = lambda: None  # type: ignore[attr-defined]
    binding = rig.binding
    assert binding is not None
    other = type(binding)(rig.adapter, stranger)
    other.state = binding.state
    calls = other.chimney
    assert calls is not None
    with rig.breach("CHIM-3", "client"):
        rig.protocol_does(lambda: calls.invalidate_offload(linker(rig.handles[0])))


@pytest.mark.requirement("CHIM-3")
def test_a_forged_handle(rig: Rig) -> None:
    rig.offload()
    forged = nd.NDIS_OFFLOAD_HANDLE(rig.handles[0].NdisReserved)
    with rig.breach("CHIM-3", "client"):
        rig.protocol_does(lambda: rig.calls.invalidate_offload(linker(forged)))


@pytest.mark.requirement("CHIM-1")
def test_a_dependent_under_a_stranger(rig: Rig) -> None:
    rig.offload()
    other = neighbor(path())
    rig.initiate(other)
    stranger = of(other)
    with rig.breach("CHIM-1", "client"):
        rig.protocol_does(lambda: rig.calls.terminate_offload(linker(stranger, ending(rig.handles[1], 1))))


# -- when a protocol may call ------------------------------------------------------------------------------


@pytest.mark.requirement("CHIM-6")
@pytest.mark.parametrize("call", ["send", "update", "terminate", "initiate below"])
def test_a_call_for_an_object_being_offloaded(rig: Rig, call: str) -> None:
    rig.target.holds = True
    rig.root = root = rig.initiate(neighbor(path(tcp())))
    first, second, third = (of(each) for each in tree(root))
    block = with_state(first, TYPE.NEIGHBOR_CACHED, cached=nd.NEIGHBOR_OFFLOAD_STATE_CACHED())
    calls: dict[str, Callable[[], object]] = {
        "send": lambda: rig.calls.offload_tcp_send(third, net_buffer_list(b"x")),
        "update": lambda: rig.calls.update_offload(block),
        "terminate": lambda: rig.calls.terminate_offload(ending(first, 0)),
        "initiate below": lambda: rig.calls.initiate_offload(linker(first, linker(second, tcp()))),
    }
    with rig.breach("CHIM-6", "client"):
        rig.protocol_does(calls[call])


@pytest.mark.requirement("CHIM-6")
@pytest.mark.parametrize("call", ["send", "receive", "disconnect", "forward", "query"])
def test_a_call_for_an_object_being_terminated(rig: Rig, call: str) -> None:
    rig.offload()
    rig.target.holds = True
    rig.terminate_connection()
    handle = rig.handle
    asked = with_state(handle, TYPE.TCP_CONST, const=nd.TCP_OFFLOAD_STATE_CONST())
    flag = nd.TcpDisconnectFlag.GRACEFUL_CLOSE
    calls: dict[str, Callable[[], object]] = {
        "send": lambda: rig.calls.offload_tcp_send(handle, net_buffer_list(b"x")),
        "receive": lambda: rig.calls.offload_tcp_receive(handle, net_buffer_list(b"x")),
        "disconnect": lambda: rig.calls.offload_tcp_disconnect(handle, net_buffer_list(b""), flag),
        "forward": lambda: rig.calls.offload_tcp_forward(handle, net_buffer_list(bytes(20))),
        "query": lambda: rig.calls.query_offload_state(linker(None, linker(None, asked))),
    }
    with rig.breach("CHIM-6", "client"):
        rig.protocol_does(calls[call])


@pytest.mark.requirement("CHIM-7")
@pytest.mark.parametrize("why", ["updating", "invalid"])
def test_an_update_at_the_wrong_time(rig: Rig, why: str) -> None:
    rig.offload()
    first = rig.handles[0]
    rig.target.holds = why == "updating"

    def update() -> None:
        block = with_state(first, TYPE.NEIGHBOR_CACHED, cached=nd.NEIGHBOR_OFFLOAD_STATE_CACHED())
        rig.calls.update_offload(block)

    rig.protocol_does(update if why == "updating" else lambda: rig.calls.invalidate_offload(linker(first)))
    with rig.breach("CHIM-7", "client"):
        rig.protocol_does(update)


@pytest.mark.requirement("CHIM-7")
def test_a_connection_is_moved_to_another_path(rig: Rig) -> None:
    rig.offload()
    other = linker(rig.handles[0], path())
    rig.initiate(other)
    second = of(tree(other)[1])
    with rig.breach("CHIM-7", "client"):
        rig.protocol_does(lambda: rig.calls.update_offload(linker(None, linker(second, linker(rig.handle)))))


@pytest.mark.requirement("CHIM-8")
@pytest.mark.parametrize("call", ["query", "invalidate"])
def test_a_terminate_with_another_call_outstanding(rig: Rig, call: str) -> None:
    rig.offload()
    rig.target.holds = True
    handle = rig.handle
    asked = with_state(handle, TYPE.TCP_CONST, const=nd.TCP_OFFLOAD_STATE_CONST())
    first: dict[str, Callable[[], None]] = {
        "query": lambda: rig.calls.query_offload_state(linker(None, linker(None, asked))),
        "invalidate": lambda: rig.calls.invalidate_offload(linker(None, linker(None, linker(handle)))),
    }
    rig.protocol_does(first[call])
    with rig.breach("CHIM-8", "client"):
        rig.terminate_connection()


@pytest.mark.requirement("CHIM-6")
def test_an_invalidate_twice_at_once(rig: Rig) -> None:
    rig.offload()
    rig.target.holds = True
    rig.protocol_does(lambda: rig.calls.invalidate_offload(linker(rig.handles[0])))
    with rig.breach("CHIM-6", "client"):
        rig.protocol_does(lambda: rig.calls.invalidate_offload(linker(rig.handles[0])))


@pytest.mark.requirement("CHIM-1")
def test_a_block_list_that_is_out_is_passed_again(rig: Rig) -> None:
    rig.offload()
    rig.target.holds = True
    asked = with_state(rig.handles[0], TYPE.NEIGHBOR_CONST, const=nd.NEIGHBOR_OFFLOAD_STATE_CONST())
    rig.protocol_does(lambda: rig.calls.query_offload_state(asked))
    with rig.breach("CHIM-1", "client"):
        rig.protocol_does(lambda: rig.calls.query_offload_state(asked))


@pytest.mark.requirement("CHIM-9")
def test_an_initiate_on_a_paused_binding(rig: Rig) -> None:
    calls = rig.calls
    rig.adapter.pause()
    with rig.breach("CHIM-9", "client"):
        rig.protocol_does(lambda: calls.initiate_offload(neighbor()))


@pytest.mark.requirement("CHIM-12")
@pytest.mark.parametrize("what", ["pause", "power", "close"])
def test_objects_are_left_behind(rig: Rig, what: str) -> None:
    rig.offload()
    binding = rig.binding
    assert binding is not None
    ends: dict[str, Callable[[], object]] = {
        "pause": rig.adapter.pause,
        "power": lambda: rig.adapter.set_power(DevicePowerState.D3),
        "close": lambda: rig.as_protocol(binding.close),
    }
    with rig.breach("CHIM-12", "client"):
        ends[what]()


@pytest.mark.requirement("CHIM-13")
def test_a_query_is_not_filled(rig: Rig) -> None:
    rig.offload()
    spoil(rig, "query", lambda block: setattr(blocks_of(block)[2], "delegated", None))
    asked = with_state(rig.handle, TYPE.TCP_DELEGATED, delegated=nd.TCP_OFFLOAD_STATE_DELEGATED())
    with rig.breach("CHIM-13", "target"):
        rig.protocol_does(lambda: rig.calls.query_offload_state(linker(None, linker(None, asked))))


@pytest.mark.requirement("INV-14")
def test_a_query_tells_send_variables_out_of_order(rig: Rig) -> None:
    found = rig.offload()
    found.state.SndNxt = found.state.SndMax + 1
    asked = with_state(rig.handle, TYPE.TCP_DELEGATED, delegated=nd.TCP_OFFLOAD_STATE_DELEGATED())
    with rig.breach("INV-14", "target"):
        rig.protocol_does(lambda: rig.calls.query_offload_state(linker(None, linker(None, asked))))


# -- handles, events, statuses of a miniport ---------------------------------------------------------------


@pytest.mark.requirement("CHIM-5")
def test_a_handle_that_is_none(rig: Rig) -> None:
    found = rig.offload()
    found.handle = object()
    with rig.breach("CHIM-5", "target"):
        rig.target_does(lambda: rig.target.event(found, nd.TCP_OFFLOAD_EVENT_TYPE.ABORT))


@pytest.mark.requirement("CHIM-5")
def test_a_handle_of_a_terminated_connection(rig: Rig) -> None:
    found = rig.offload()
    rig.terminate()
    with rig.breach("CHIM-5", "target"):
        rig.target_does(lambda: rig.target.event(found, nd.TCP_OFFLOAD_EVENT_TYPE.ABORT))


@pytest.mark.requirement("CHIM-5")
def test_an_io_completion_for_a_neighbor(rig: Rig) -> None:
    found = rig.offload()
    rig.send(b"data")
    found.handle = rig.handles[0].NdisReserved
    with rig.breach("CHIM-5", "target"):
        rig.target_does(lambda: rig.target.ack(found))


@pytest.mark.parametrize("what", ["event", "data", "query"])
def test_an_indication_at_passive_level(rig: Rig, what: str) -> None:
    found = rig.offload()
    calls = rig.target.calls
    kind = nd.INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY
    events: dict[str, Callable[[], object]] = {
        "event": lambda: calls.tcp_offload_event_handler(found.handle, nd.TCP_OFFLOAD_EVENT_TYPE.ABORT, 0),
        "data": lambda: calls.tcp_offload_receive_handler(found.handle, net_buffer_list(b"x")),
        "query": lambda: calls.m_offload_event_indicate(question(rig.handles[0].NdisReserved), kind),
    }
    with rig.breach("LEVEL-3", "target"):
        rig.as_miniport(events[what], Level.PASSIVE)


QUESTIONS: list[Callable[[Rig, Block], object]] = [
    lambda rig, block: setattr(block, "Status", FAILURE),
    lambda rig, block: setattr(block, "state_type", TYPE.NEIGHBOR_CACHED),
    lambda rig, block: setattr(block, "delegated", None),
    lambda rig, block: setattr(block, "NextBlock", Block()),
    lambda rig, block: setattr(block, "DependentBlockList", Block()),
    lambda rig, block: setattr(block, "NdisOffloadHandle", rig.handles[1].NdisReserved),
]


@pytest.mark.requirement("CHIM-41")
@pytest.mark.parametrize("spoil_it", QUESTIONS, ids=map(str, range(len(QUESTIONS))))
def test_a_malformed_reachability_query(rig: Rig, spoil_it: Callable[[Rig, Block], object]) -> None:
    rig.offload()
    block = question(rig.handles[0].NdisReserved)
    spoil_it(rig, block)
    kind = nd.INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY
    with rig.breach("CHIM-41", "target"):
        rig.target_does(lambda: rig.target.calls.m_offload_event_indicate(block, kind))


@pytest.mark.requirement("CHIM-41")
@pytest.mark.parametrize("event", [nd.INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_IN_DOUBT, 9])
def test_an_event_that_is_reserved(rig: Rig, event: int) -> None:
    rig.offload()
    with rig.breach("CHIM-41", "target"):
        rig.target_does(lambda: rig.target.calls.m_offload_event_indicate(None, event))


@pytest.mark.requirement("INV-46")
def test_a_neighbor_is_asked_about_too_often(rig: Rig) -> None:
    rig.offload()
    parameters = TcpConnectionOffloadParameters(ticks_per_second=100, nce_stale_ticks=200)
    rig.adapter.oids.known.connection_parameters = parameters
    kind = nd.INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY

    def ask() -> None:
        block = question(rig.handles[0].NdisReserved)
        rig.target_does(lambda: rig.target.calls.m_offload_event_indicate(block, kind))

    ask()
    ask()  # the answer was not 0
    rig.client.reachability = 0
    ask()
    rig.ndis.run_for(2_000_000_000)
    ask()
    rig.ndis.run_for(1_000_000_000)
    with rig.breach("INV-46", "target"):
        ask()


@pytest.mark.requirement("CHIM-42")
@pytest.mark.parametrize("member", ["const", "address", "range"])
def test_an_answer_that_changes_more(rig: Rig, member: str) -> None:
    rig.offload()

    def spoil_answer(block: ProtocolBlock) -> None:
        assert isinstance(block.const, nd.NEIGHBOR_OFFLOAD_STATE_CONST)
        assert isinstance(block.cached, nd.NEIGHBOR_OFFLOAD_STATE_CACHED)
        if member == "const":
            block.const.VlanId = 5
        elif member == "address":
            block.cached.DlDestinationAddress = b"123456"
        else:
            block.cached.HostReachabilityDelta = -1

    rig.client.hooks["query"] = spoil_answer
    kind = nd.INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY
    block = question(rig.handles[0].NdisReserved)
    with rig.breach("CHIM-42", "client"):
        rig.target_does(lambda: rig.target.calls.m_offload_event_indicate(block, kind))


@pytest.mark.requirement("INV-41")
@pytest.mark.parametrize("status", [NDIS_STATUS.OFFLOAD_PAUSE, NDIS_STATUS.UPLOAD_ALL])
def test_an_initiate_after_the_pause_was_indicated(rig: Rig, status: NDIS_STATUS) -> None:
    rig.miniport.indicate_status(status)
    with rig.breach("INV-41", "client"):
        rig.initiate(neighbor())
    if status == NDIS_STATUS.OFFLOAD_PAUSE:
        rig.miniport.indicate_status(NDIS_STATUS.UPLOAD_ALL)
    rig.miniport.indicate_status(NDIS_STATUS.OFFLOAD_RESUME)
    rig.initiate(neighbor())
    assert rig.client.statuses == [SUCCESS]


@pytest.mark.requirement("INV-41")
def test_an_initiate_succeeds_before_the_resume(rig: Rig) -> None:
    rig.target.holds = True
    rig.initiate(neighbor())
    rig.miniport.indicate_status(NDIS_STATUS.UPLOAD_ALL)
    rig.as_miniport(rig.target.release)
    with rig.breach("INV-41", "target"):
        rig.run()


@pytest.mark.requirement("INV-41")
def test_a_resume_with_objects_left(rig: Rig) -> None:
    rig.offload()
    rig.miniport.indicate_status(NDIS_STATUS.UPLOAD_ALL)
    with rig.breach("INV-41", "target"):
        rig.miniport.indicate_status(NDIS_STATUS.OFFLOAD_RESUME)


@pytest.mark.requirement("INV-41")
@pytest.mark.parametrize(
    "statuses",
    [(NDIS_STATUS.OFFLOAD_RESUME,), (NDIS_STATUS.UPLOAD_ALL, NDIS_STATUS.OFFLOAD_PAUSE)],
    ids=["resume alone", "pause after upload"],
)
def test_statuses_out_of_order(rig: Rig, statuses: tuple[NDIS_STATUS, ...]) -> None:
    for status in statuses[:-1]:
        rig.miniport.indicate_status(status)
    with rig.breach("INV-41", "target"):
        rig.miniport.indicate_status(statuses[-1])


def test_handlers_outside_of_set_options(rig: Rig) -> None:
    with rig.breach("STATE-1", "target"):
        rig.as_miniport(lambda: rig.adapter.m_set_optional_handlers(rig.target))
    with rig.breach("STATE-1", "target"):
        rig.as_miniport(rig.adapter.m_get_offload_handlers)


def test_the_history_of_the_object_is_told(rig: Rig) -> None:
    rig.offload()
    with pytest.raises(Exception, match="calls for this object, oldest first") as caught:
        rig.protocol_does(lambda: rig.calls.terminate_offload(ending(rig.handles[0], 0)))
    assert "MiniportInitiateOffload(neighbor 1, path 1, tcp 1)" in str(caught.value)


def test_oids_of_the_family(rig: Rig) -> None:
    status, data = rig.protocol.query(OID.TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES)
    assert (status, len(data)) == (SUCCESS, 20)
