"""Trees of state objects through NDIS, the miniport and the card: every call and its statuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.miniport.chimney_bench import ChimneyBench
from vnic.errors import AllocationError
from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import link, walk
from vnic.ndis.offload import OffloadParameters, Switch
from vnic.ndis.oid import OID
from vnic.ndis.oid_request import set_
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.chimney.blocks import (
    ENDS,
    EVENT,
    FAILURE,
    OK,
    PARTIAL,
    REASON,
    STATE,
    TYPE,
    UPLOAD,
    Block,
    block_of,
    bytes_of,
    context_of,
    ending_of,
    neighbour,
    path,
    tcp,
    tree,
)
from vnic.testbench.tcp_peer import ISS

BAD_MTU = 1


def offload(bench: ChimneyBench, root: Block) -> list[NDIS_STATUS | None]:
    """Initiate; what succeeded is terminated when the bench closes."""
    for block in tree(root):
        if block.state_type is TYPE.TCP_ALL:
            bench.enlist(block)
    return bench.control("initiate", root)


def end(bench: ChimneyBench, *blocks: Block) -> None:
    """Terminate the objects of these blocks, dependents before what they depend on."""
    for block in blocks:
        assert bench.control("terminate", ending_of(block)) == [OK]
        bench.connections.pop(block.OffloadHandle, None)


def ending_tree(block: Any) -> Any:
    """The same tree, to be terminated; a block whose handle was taken away is a placeholder."""
    if block is None:
        return None
    kind, state = ENDS.get(block.state_type, (TYPE.NONE, lambda: None))
    made = block_of(kind if block.OffloadHandle else TYPE.NONE, handle=block.OffloadHandle, delegated=state())
    made.NextBlock = ending_tree(block.NextBlock)
    made.DependentBlockList = ending_tree(block.DependentBlockList)
    return made


def forget_failed(bench: ChimneyBench) -> None:
    """Connections that were not offloaded are not to be terminated."""
    bench.connections = {
        handle: each for handle, each in bench.connections.items() if each.block.Status in (OK, PARTIAL)
    }


@pytest.mark.requirement("INV-1", "INV-2", "INV-3", "INV-4", "INV-5", "INV-9")
def test_the_worked_example_of_partial_success(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChimneyBench() as bench:
        t1, t2, t3 = (tcp(port) for port in (40001, 40002, 40003))
        sends = [bench.nbl(b"a" * 10), bench.nbl(b"b" * 10)]
        t2.NetBufferListChain = link(sends)
        p1, p2 = path(t1, t2), path(t3, mtu=BAD_MTU)
        n1 = neighbour(p1, p2)

        def out_of_memory(size: int) -> None:
            raise AllocationError(f"{size}")

        monkeypatch.setattr(bench.system, "alloc_coherent", out_of_memory)
        statuses = offload(bench, n1)
        monkeypatch.undo()
        assert statuses == [PARTIAL, PARTIAL, OK, NDIS_STATUS.RESOURCES, FAILURE, FAILURE]
        is_set = [context_of(block) is not None for block in (n1, p1, t1, t2, p2, t3)]
        assert is_set == [True, True, True, False, False, False]
        assert list(walk(t2.NetBufferListChain)) == sends
        assert [nbl.status for nbl in sends] == [OK, OK]
        assert bench.rings.work.used == 0
        forget_failed(bench)
        end(bench, t1, p1, n1)


@pytest.mark.requirement("INV-4")
def test_a_root_that_fails_ends_the_walk() -> None:
    with ChimneyBench(keywords={"*PriorityVLANTag": 3}) as bench:
        assert bench.request(set_(OID.GEN_VLAN_ID, (7).to_bytes(4, "little"))) == OK
        root = neighbour(path(tcp()), VlanId=9)
        assert offload(bench, root) == [NDIS_STATUS.OFFLOAD_VLAN_MISMATCH, FAILURE, FAILURE]
        forget_failed(bench)
        assert not bench.rings.has_objects


@pytest.mark.requirement("INV-1", "INV-2", "INV-5", "INV-7", "INV-9")
def test_linkers_and_placeholders_over_connections_that_cannot_be_offloaded() -> None:
    with ChimneyBench() as bench:
        bench.record()
        p = path()
        n = neighbour(p)
        assert bench.direct("initiate", n) == [OK, OK]
        good, bad = tcp(40001), tcp(40002, State=STATE.SYN_SENT)
        above = block_of(TYPE.NONE, block_of(TYPE.NONE, good, bad, handle=p.OffloadHandle))
        assert bench.direct("initiate", above) == [OK, PARTIAL, OK, FAILURE]
        assert context_of(bad) is None
        for state in set(STATE) - nd.OFFLOADABLE:
            again = block_of(TYPE.NONE, tcp(40002, State=state), handle=p.OffloadHandle)
            assert bench.direct("initiate", again) == [FAILURE, FAILURE]
        assert bench.direct("initiate", block_of(TYPE.NONE, tcp(40004))) == [OK, FAILURE]
        p.DependentBlockList, good.NextBlock = good, None
        assert bench.direct("terminate", ending_tree(n)) == [OK, OK, OK]


@pytest.mark.parametrize(
    "members",
    [
        {"SndNxt": ISS - 1},
        {"SndMax": ISS + 5},
        {"State": 77},
        {"RcvNxt": 1 << 40},
        {"RcvNxt": -1},
        {"SRtt": 1 << 16},
        {"cached": {"UserPriority": 9}},
        {"cached": {"FlowLabel": 1 << 20}},
    ],
)
def test_a_state_that_makes_no_sense_fails_its_block_alone(members: dict[str, Any]) -> None:
    with ChimneyBench() as bench:
        bench.record()
        good, bad = tcp(40001), tcp(40002, **members)
        bad.NetBufferListChain = bench.nbl(b"12")
        n = neighbour(path(good, bad))
        assert bench.direct("initiate", n) == [OK, PARTIAL, OK, FAILURE]
        assert bench.rings.work.used == 0
        bad.OffloadHandle = None
        assert bench.direct("terminate", ending_tree(n)) == [OK, OK, OK, OK]


@pytest.mark.parametrize(
    "block",
    [
        neighbour,
        lambda: block_of(TYPE.NEIGHBOR_ALL, handle=nd.NDIS_OFFLOAD_HANDLE()),
        lambda: block_of(TYPE.TCP_ALL, handle=nd.NDIS_OFFLOAD_HANDLE()),
        lambda: block_of(TYPE.TCP_CONST, handle=nd.NDIS_OFFLOAD_HANDLE(), const=nd.TCP_OFFLOAD_STATE_CONST()),
        lambda: block_of(TYPE.TCP_RESOURCE, handle=nd.NDIS_OFFLOAD_HANDLE()),
        lambda: path(tcp(), version=6, mtu=1500),
    ],
)
def test_structures_that_are_not_there_or_not_due_fail_a_block(block: Any) -> None:
    with ChimneyBench() as bench:
        bench.record()
        made = block()
        made.DependentBlockList = tcp(40009)
        if made.state_type is TYPE.NEIGHBOR_ALL and made.cached is not None:
            made.cached = nd.NEIGHBOR_OFFLOAD_STATE_CACHED(b"12345", 0)
        assert bench.direct("initiate", made) == [FAILURE, FAILURE]
        for name in ("update", "invalidate", "query"):
            made.DependentBlockList = None
            assert bench.direct(name, made) == [FAILURE]
        assert not bench.rings.has_objects


@pytest.mark.requirement("INV-12")
def test_entries_run_out() -> None:
    with ChimneyBench(device={"connections": 2, "paths": 1, "neighbours": 1}) as bench:
        bench.connect(tcp(40001), tcp(40002))
        assert bench.path_block is not None
        assert bench.neighbour_block is not None
        third = block_of(TYPE.NONE, tcp(40003), handle=bench.path_block.OffloadHandle)
        assert offload(bench, third) == [FAILURE, NDIS_STATUS.OFFLOAD_TCP_ENTRIES]
        other = block_of(TYPE.NONE, path(version=6), handle=bench.neighbour_block.OffloadHandle)
        assert offload(bench, other) == [FAILURE, NDIS_STATUS.OFFLOAD_PATH_ENTRIES]
        assert offload(bench, neighbour()) == [NDIS_STATUS.OFFLOAD_NEIGHBOR_ENTRIES]
        forget_failed(bench)


def test_a_window_that_is_too_large() -> None:
    with ChimneyBench() as bench:
        bench.connect()
        assert bench.path_block is not None
        large = tcp(40001, cached={"InitialRcvWnd": 1 << 31})
        root = block_of(TYPE.NONE, large, handle=bench.path_block.OffloadHandle)
        assert offload(bench, root) == [FAILURE, NDIS_STATUS.OFFLOAD_TCP_RCV_WINDOW]
        forget_failed(bench)


@pytest.mark.requirement("INV-13")
def test_a_connection_that_goes_and_comes_back_is_as_it_was() -> None:
    given: dict[str, Any] = {
        "RcvWnd": 30000, "SndWnd": 20000, "MaxSndWnd": 40000, "CWnd": 5000, "SsThresh": 9000, "SRtt": 80,
        "RttVar": 12, "DupAckCount": 1, "SendWL1": 990,
    }  # fmt: skip
    with ChimneyBench() as bench:
        (connection,) = bench.connect(tcp(**given))
        block = connection.terminate()
        state = connection.state
        assert state is not None
        before = connection.block.delegated
        assert isinstance(before, nd.TCP_OFFLOAD_STATE_DELEGATED)
        for name in (*given, "State", "RcvNxt", "SndUna", "SndNxt", "SndMax", "KeepAlive", "Retransmit"):
            assert getattr(state, name) == getattr(before, name), name
        assert block.NetBufferListChain is None
        assert state.BufferedData is None


@pytest.mark.requirement("INV-10")
def test_a_query_tells_all_three_structures() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        asked = block_of(
            TYPE.TCP_ALL,
            handle=connection.handle,
            const=nd.TCP_OFFLOAD_STATE_CONST(),
            cached=nd.TCP_OFFLOAD_STATE_CACHED(),
            delegated=nd.TCP_OFFLOAD_STATE_DELEGATED(),
        )
        assert bench.control("query", asked) == [OK]
        assert asked.const == connection.block.const
        assert asked.cached == connection.block.cached
        assert asked.delegated == connection.block.delegated


@pytest.mark.requirement("INV-8", "INV-11")
def test_ends_are_refused_while_others_hang_on() -> None:
    with ChimneyBench() as bench:
        bench.record()
        p = path()
        n = neighbour(p)
        assert bench.direct("initiate", n) == [OK, OK]
        n.DependentBlockList = None
        assert bench.direct("terminate", ending_tree(n)) == [FAILURE]
        assert bench.direct("terminate", ending_tree(p)) == [OK]
        assert bench.direct("terminate", ending_tree(n)) == [OK]


@pytest.mark.requirement("INV-10", "INV-42")
def test_updates_change_cached_values_and_nothing_else() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        assert bench.path_block is not None
        assert bench.neighbour_block is not None
        mac = bytes.fromhex("0200000000aa")
        tree_of_changes = block_of(
            TYPE.NEIGHBOR_CACHED,
            block_of(
                TYPE.IP4_PATH_CACHED,
                block_of(
                    TYPE.TCP_CACHED,
                    handle=connection.handle,
                    cached=nd.TCP_OFFLOAD_STATE_CACHED(InitialRcvWnd=65535, TtlOrHopLimit=9),
                ),
                handle=bench.path_block.OffloadHandle,
                cached=nd.PATH_OFFLOAD_STATE_CACHED(600),
            ),
            handle=bench.neighbour_block.OffloadHandle,
            cached=nd.NEIGHBOR_OFFLOAD_STATE_CACHED(mac, 0),
        )
        assert bench.control("update", tree_of_changes) == [OK, OK, OK]
        connection.send(b"z" * 1000)
        frames = connection.sent()
        assert {each.frame[:6] for each in frames} == {mac}
        assert max(len(each.ip) for each in frames) == 600
        assert {each.ip[8] for each in frames} == {9}
        bad = block_of(
            TYPE.IP4_PATH_CACHED,
            handle=bench.path_block.OffloadHandle,
            cached=nd.PATH_OFFLOAD_STATE_CACHED(BAD_MTU),
        )
        assert bench.control("update", bad) == [FAILURE]
        connection.peer.ack += 1000
        connection.receive()
        connection.send(b"y" * 1000)
        assert max(len(each.ip) for each in connection.sent()) == 600


def test_a_path_moves_to_another_neighbour() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        old, bench.neighbour_block = bench.neighbour_block, neighbour()
        assert bench.path_block is not None
        assert old is not None
        mac = bytes.fromhex("0200000000bb")
        bench.neighbour_block.cached = nd.NEIGHBOR_OFFLOAD_STATE_CACHED(mac, 0)
        assert bench.control("initiate", bench.neighbour_block) == [OK]
        moved = block_of(
            TYPE.NONE,
            block_of(TYPE.NONE, handle=bench.path_block.OffloadHandle),
            handle=bench.neighbour_block.OffloadHandle,
        )
        assert bench.control("update", moved) == [OK, OK]
        end(bench, old)
        connection.send(b"there")
        assert [each.frame[:6] for each in connection.sent()] == [mac]


@pytest.mark.requirement("INV-40")
def test_what_is_invalidated_is_silent_and_asks_to_be_taken_back() -> None:
    with ChimneyBench() as bench:
        one, two = bench.connect(tcp(40001), tcp(40002))
        assert bench.neighbour_block is not None
        one.send(b"before")
        one.sent()
        gone = block_of(TYPE.NONE, handle=bench.neighbour_block.OffloadHandle)
        assert bench.control("invalidate", gone) == [OK]
        for each in (one, two):
            assert each.told(EVENT.RETRIEVE.name) == [(REASON.INVALID_STATE,)]
            each.receive(b"data", flags=0x18)
        one.send(b"after")
        bench.advance(5_000_000_000)
        assert not bench.transmitted
        assert one.terminate().NetBufferListChain is None
        assert one.told("sent") == [(UPLOAD, 0), (UPLOAD, 0)]
        two_sends = two.send(b"never")
        assert two.terminate().NetBufferListChain is None
        assert two.told("sent") == [(UPLOAD, 0)]
        assert [bytes_of(nbl) for nbl in two_sends] == [b"never"]


@pytest.mark.requirement("INV-46")
def test_a_reachability_query_goes_up_and_its_answer_down() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"one")
        assert connection.acknowledge() == b"one"
        bench.advance(61_000_000_000)
        connection.send(b"two")
        assert len(bench.client.queries) == 1
        connection.send(b"three")
        assert len(bench.client.queries) == 1
        assert bench.client.queries[0] >= 60_000
        assert connection.acknowledge() == b"twothree"


def test_a_version_that_is_switched_off_is_rejected() -> None:
    with ChimneyBench() as bench:
        off = OffloadParameters(tcp_connection_ipv4=Switch.DISABLED)
        assert bench.request(set_(OID.TCP_OFFLOAD_PARAMETERS, off.pack())) == OK
        bench.record()
        n = neighbour(path(tcp()))
        assert bench.direct("initiate", n) == [OK, PARTIAL, NDIS_STATUS.OFFLOAD_CONNECTION_REJECTED]
        n.DependentBlockList.DependentBlockList = None  # type: ignore[union-attr]
        assert bench.direct("terminate", ending_tree(n)) == [OK, OK]
