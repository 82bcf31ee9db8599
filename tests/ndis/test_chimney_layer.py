"""The chimney across the NDIS border, both sides right: registration, control calls, data, the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ndis.chimney_questions import question
from tests.ndis.chimney_toys import (
    CONNECTIONS,
    PARTIAL,
    SUCCESS,
    ChimneyMiniport,
    ChimneyProtocol,
    Rig,
    ending,
    linker,
    make_rig,
    neighbor,
    of,
    path,
    tcp,
    tree,
    with_state,
)
from tests.ndis.conftest import FakeBus
from vnic.host.cpu import Processors
from vnic.ndis import chimney as nd
from vnic.ndis.adapter import AdapterOptions
from vnic.ndis.chimney import OFFLOAD_STATE_TYPE as TYPE
from vnic.ndis.chimney_objects import Kind
from vnic.ndis.layer import Ndis
from vnic.ndis.miniport import NdisFailure
from vnic.ndis.net_buffer_list import net_buffer_list
from vnic.ndis.offload import TcpConnectionOffload
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.structures import DevicePowerState


@pytest.fixture
def rig() -> Rig:
    """A running one."""
    rig = make_rig()
    rig.start()
    return rig


def test_a_tree_goes_down_and_back(rig: Rig) -> None:
    found = rig.offload()
    assert rig.adapter.chimney.registry.count(Kind.TCP) == 1
    assert rig.handle.MiniportOffloadContext.value is found
    state = rig.terminate()
    assert state.SndUna == 1000
    assert rig.client.statuses == [SUCCESS] * 3
    assert not rig.adapter.chimney.registry.live
    assert rig.handle.MiniportOffloadContext.value is None
    rig.adapter.halt()
    assert rig.ndis.violations == []


@pytest.mark.requirement("INV-1", "INV-4", "INV-5")
def test_the_worked_example_of_the_guide(rig: Rig) -> None:
    first, second, third = tcp(), tcp(), tcp()
    failing = path(third)
    root = neighbor(path(first, second), failing)
    refused = {id(second.cached): NDIS_STATUS.RESOURCES, id(failing.cached): NDIS_STATUS.FAILURE}
    rig.target.refuses = lambda block: refused.get(id(block.cached))
    rig.initiate(root)
    resources, failure = NDIS_STATUS.RESOURCES, NDIS_STATUS.FAILURE
    assert rig.client.statuses == [PARTIAL, PARTIAL, SUCCESS, resources, failure, failure]
    contexts = [of(block).MiniportOffloadContext.value is not None for block in tree(root)]
    assert contexts == [True, True, True, False, False, False]
    live = sorted(str(each) for each in rig.adapter.chimney.registry.live)
    assert live == ["neighbor 1", "path 1", "tcp 1"]


def test_a_failed_root_comes_back_untouched(rig: Rig) -> None:
    rig.target.refuses = lambda block: NDIS_STATUS.OFFLOAD_NEIGHBOR_ENTRIES
    root = neighbor(path(tcp(sends=(b"abc",), buffered=b"xyz")))
    rig.initiate(root)
    connection = tree(root)[2]
    chain = connection.NetBufferListChain
    assert chain is not None
    assert rig.as_protocol(chain.first_net_buffer.data) == b"abc"
    assert rig.as_protocol(connection.delegated.BufferedData.first_net_buffer.data) == b"xyz"
    assert not rig.adapter.chimney.registry.live
    rig.target.refuses = lambda block: None
    connection.DependentBlockList = None
    rig.initiate(root)
    assert rig.client.statuses == [SUCCESS] * 3


def test_linkers_and_placeholders(rig: Rig) -> None:
    rig.offload()
    first, second, _ = rig.handles
    rig.initiate(linker(first, path(tcp(), kind=TYPE.IP6_PATH_ALL)))
    assert rig.client.statuses == [SUCCESS] * 3
    assert rig.adapter.chimney.established(is_ipv6=True) == 1
    rig.initiate(linker(None, linker(second, tcp())))
    assert rig.client.statuses == [SUCCESS] * 3
    assert rig.adapter.chimney.established(is_ipv6=False) == 2
    rig.target.refuses = lambda block: NDIS_STATUS.OFFLOAD_TCP_ENTRIES
    rig.initiate(linker(None, linker(second, tcp())))
    assert rig.client.statuses == [SUCCESS, NDIS_STATUS.FAILURE, NDIS_STATUS.OFFLOAD_TCP_ENTRIES]


def test_the_members_of_other_drivers_come_back(rig: Rig) -> None:
    root = neighbor(path(tcp()))
    root.ProtocolReserved, root.ImReserved, root.SourceHandle = "mine", "intermediate", rig.binding
    seen: list[tuple[object, ...]] = []

    def look(default: object, block: nd.NDIS_MINIPORT_OFFLOAD_BLOCK_LIST) -> None:
        seen.append((block.ProtocolReserved, block.ImReserved, block.SourceHandle))
        block.Scratch = block.MiniportReserved = "the target's"
        rig.target._initiate(block)

    rig.target.hooks["initiate"] = look
    rig.initiate(root)
    assert seen == [("mine", "intermediate", rig.binding)]
    assert (root.ProtocolReserved, root.ImReserved, root.SourceHandle) == (*seen[0][:2], rig.binding)


def test_query_update_invalidate(rig: Rig) -> None:
    found = rig.offload()
    first, second, third = rig.handles
    asked = with_state(third, TYPE.TCP_DELEGATED, delegated=nd.TCP_OFFLOAD_STATE_DELEGATED())
    found.state.CWnd = 77
    rig.protocol_does(lambda: rig.calls.query_offload_state(linker(None, linker(None, asked))))
    assert isinstance(asked.delegated, nd.TCP_OFFLOAD_STATE_DELEGATED)
    assert asked.delegated.CWnd == 77
    cached = nd.PATH_OFFLOAD_STATE_CACHED(1200)
    changed = with_state(second, TYPE.IP4_PATH_CACHED, cached=cached)
    rig.protocol_does(lambda: rig.calls.update_offload(linker(first, changed)))
    assert rig.client.statuses == [SUCCESS] * 2
    rig.protocol_does(lambda: rig.calls.invalidate_offload(linker(first)))
    assert [name for name, _ in rig.client.done] == ["initiate", "query", "update", "invalidate"]
    rig.terminate()


def test_a_path_moves_to_another_neighbor(rig: Rig) -> None:
    rig.offload()
    first, second, _ = rig.handles
    root = neighbor()
    rig.initiate(root)
    rig.protocol_does(lambda: rig.calls.update_offload(linker(of(root), linker(second))))
    assert rig.client.statuses == [SUCCESS] * 2
    rig.protocol_does(lambda: rig.calls.terminate_offload(ending(first, 0)))
    assert rig.client.statuses == [SUCCESS]
    assert second.NdisReserved.parent is of(root).NdisReserved  # type: ignore[attr-defined]


def test_data_goes_both_ways(rig: Rig) -> None:
    found = rig.offload(sends=(b"12", b"345"), sent=2, buffered=b"ab")
    rig.send(b"6789")
    rig.target_does(lambda: rig.target.ack(found))
    assert rig.client.sent == [(SUCCESS, 2), (SUCCESS, 3), (SUCCESS, 4)]
    rig.target_does(lambda: rig.target.arrive(found, b"cd"))
    rig.post(3, no_push=True)
    rig.target_does(lambda: rig.target.arrive(found, b"efg"))
    assert rig.client.received == [(SUCCESS, 3)]
    rig.disconnect(b"end")
    rig.target_does(lambda: rig.target.fin(found))
    assert rig.client.events == [(nd.TCP_OFFLOAD_EVENT_TYPE.DISCONNECT, 0)]
    assert rig.client.stream == b"abcdefg"
    rig.target.returned.clear()
    rig.give_back()
    assert len(rig.target.returned) == 2
    rig.terminate()
    assert rig.client.disconnected == [NDIS_STATUS.UPLOAD_IN_PROGRESS]
    assert rig.ndis.violations == []


@pytest.mark.requirement("INV-25")
def test_refusals_and_what_enables_again(rig: Rig) -> None:
    found = rig.offload()
    rig.client.answer = lambda data: 2
    rig.target_does(lambda: rig.target.arrive(found, b"abcdef"))
    assert (rig.client.stream, found.waiting) == (b"ab", b"cdef")
    rig.client.answer = lambda data: 0
    rig.post(0)
    assert (rig.client.received, rig.client.stream) == ([(SUCCESS, 0)], b"ab")
    rig.post(3)
    rig.client.answer = lambda data: None
    assert rig.client.stream == b"abcde"
    rig.target_does(lambda: rig.target.deliver(found))
    rig.post(0)
    assert rig.client.stream == b"abcdef"


@pytest.mark.requirement("INV-18", "INV-19", "INV-20", "INV-21")
def test_what_is_left_comes_back_at_terminate(rig: Rig) -> None:
    found = rig.offload(buffered=b"ab")
    rig.client.answer = lambda data: 0
    rig.target_does(lambda: rig.target.deliver(found))
    nbls = rig.send(b"12345", b"67")
    found.state.SndUna, found.state.SndMax = 1003, 1005
    found.state.SndNxt = 1005
    rig.as_miniport(lambda: nbls[0].first_net_buffer.advance_data_start(3))  # type: ignore[union-attr]
    rig.target_does(lambda: rig.target.arrive(found, b"cd"))
    state = rig.terminate()
    assert (state.SendDataHead, state.SendDataTail) == (nbls[0], nbls[1])
    assert rig.as_protocol(nbls[0].first_net_buffer.data) == b"45"  # type: ignore[union-attr]
    assert rig.client.stream == b"abcd"
    rig.give_back()
    rig.adapter.halt()
    assert rig.ndis.violations == []


def test_received_data_outlives_its_connection(rig: Rig) -> None:
    found = rig.offload()
    rig.target_does(lambda: rig.target.arrive(found, b"late"))
    rig.terminate()
    assert rig.adapter.chimney.inbox.outstanding(rig.binding) == 1
    rig.give_back()
    assert rig.target.returned[0][0] is found
    assert rig.adapter.chimney.inbox.outstanding() == 0


@pytest.mark.requirement("INV-30", "INV-32")
def test_the_ways_a_connection_ends(rig: Rig) -> None:
    found = rig.offload()
    rig.target_does(lambda: rig.target.fin(found))
    rig.post(10)
    assert rig.client.received == [(NDIS_STATUS.INVALID_STATE, 0)]
    rig.send(b"more")
    rig.target_does(lambda: rig.target.reset(found))
    assert rig.client.sent == [(NDIS_STATUS.REQUEST_ABORTED, 0)]
    rig.terminate()
    other = rig.offload()
    rig.send(b"more")
    rig.post(5)
    rig.disconnect(flags=nd.TcpDisconnectFlag.ABORTIVE_CLOSE)
    assert rig.client.disconnected == [SUCCESS]
    assert rig.client.received[-1] == (NDIS_STATUS.REQUEST_ABORTED, 0)
    other.state.State = nd.TCP_OFFLOAD_CONNECTION_STATE.CLOSED
    rig.terminate()
    assert rig.ndis.violations == []


def test_forwarded_segments(rig: Rig) -> None:
    rig.offload()
    nbl = net_buffer_list(bytes(24))
    rig.protocol_does(lambda: rig.calls.offload_tcp_forward(rig.handle, nbl))
    assert rig.client.forwarded == [SUCCESS]


def test_a_reachability_query_is_answered_at_once(rig: Rig) -> None:
    rig.offload()
    block = question(rig.handles[0].NdisReserved)
    indicate = rig.target.calls.m_offload_event_indicate
    event = nd.INDICATE_OFFLOAD_EVENT.NEIGHBOR_REACHABILITY_QUERY
    rig.target_does(lambda: indicate(block, event))
    assert block.cached == nd.NEIGHBOR_OFFLOAD_STATE_CACHED(bytes(6), 7)


def test_who_has_a_chimney(rig: Rig) -> None:
    assert isinstance(rig.protocol, ChimneyProtocol)
    without = ChimneyProtocol()
    without.client = None
    binding = rig.adapter.bind(without)
    assert binding is not None
    assert binding.chimney is None
    assert rig.binding is not None
    assert rig.binding.chimney is not None


@pytest.mark.parametrize(
    "connections", [None, replace(CONNECTIONS, encapsulation=1)], ids=["no capability", "encapsulation NULL"]
)
def test_an_adapter_without_the_capability_has_none(connections: TcpConnectionOffload | None) -> None:
    rig = make_rig()
    assert isinstance(rig.miniport, ChimneyMiniport)
    rig.miniport.connections = connections
    rig.start()
    assert rig.binding is not None
    assert rig.binding.chimney is None


def test_a_miniport_without_handlers_has_none() -> None:
    processors = Processors(1)
    bus = FakeBus(processors)
    miniport = ChimneyMiniport(bus, processors)
    miniport.registers = False
    ndis = Ndis(processors)
    adapter = ndis.add_adapter(miniport, AdapterOptions("toy", interrupts=bus))
    rig = Rig(ndis, bus, miniport, ChimneyProtocol(), adapter)
    rig.start()
    assert rig.binding is not None
    assert rig.binding.chimney is None


def test_handlers_are_fetched_by_who_registered_them() -> None:
    rig = make_rig()
    assert isinstance(rig.miniport, ChimneyMiniport)
    rig.adapter.chimney.handlers = None
    with pytest.raises(NdisFailure):
        rig.start()


@pytest.mark.requirement("INV-41")
def test_pause_upload_resume(rig: Rig) -> None:
    rig.target.holds = True
    root = rig.initiate(neighbor(path(tcp())))
    rig.miniport.indicate_status(NDIS_STATUS.OFFLOAD_PAUSE)
    rig.miniport.indicate_status(NDIS_STATUS.UPLOAD_ALL)
    rig.miniport.indicate_status(NDIS_STATUS.OFFLOAD_RESUME)
    rig.as_miniport(rig.target.release)
    rig.run()
    assert rig.client.statuses == [SUCCESS] * 3
    rig.root = root
    rig.terminate()
    rig.initiate(neighbor())
    assert rig.client.statuses == [SUCCESS]


def test_pause_halt_and_power(rig: Rig) -> None:
    assert isinstance(rig.protocol, ChimneyProtocol)
    rig.offload()
    rig.protocol.at_pause = lambda: upload_once(rig)
    assert rig.adapter.set_power(DevicePowerState.D3) == SUCCESS
    assert rig.adapter.set_power(DevicePowerState.D0) == SUCCESS
    rig.offload()
    rig.adapter.surprise_remove()
    assert rig.ndis.violations == []


def upload_once(rig: Rig) -> None:
    """What a protocol does at a pause."""
    if rig.adapter.chimney.registry.live:
        rig.terminate()
