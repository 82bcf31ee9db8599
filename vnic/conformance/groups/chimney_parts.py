"""TCP chimney, parts: trees of which something fails, updates that move and change, and those that cannot."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.groups.chimney import PUSH, below, drained, forget, named, offloading, one
from vnic.conformance.pages import chimney, ddi
from vnic.ndis import chimney as nd
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import (
    FAILURE,
    OK,
    PARTIAL,
    STATE,
    TYPE,
    Block,
    block_of,
    context_of,
    ending_of,
    neighbour,
    path,
    tcp,
    tree,
)

_PARTIAL = chimney("partial-offloads-and-offload-failures")
_PLACES = chimney("placeholders--linkers--and-new-offloads")
_UPDATE = chimney("reasons-for-updating-offloaded-state-objects")
_MOVE = chimney("linking-path-state-objects-to-a-new-neighbor-state-object")
_UPDATED = ddi("nf-ndischimney-ndismupdateoffloadcomplete", "ndischimney")
_CLASSES = chimney("classes-of-offload-state-variables")
_LARGE = 1 << 31
_NO_MTU = 0xFFFF_FFFF
_OTHER_MAC = bytes.fromhex("0200000000bb")


def _bad(port: int) -> Block:
    """A connection with a window that no TCP has."""
    return tcp(port, cached={"InitialRcvWnd": _LARGE})


def _agrees(root: Block) -> None:
    """A context just where a block succeeded, and PARTIAL just where a dependent of it failed."""
    for block in tree(root):
        is_there = block.Status in (OK, PARTIAL)
        if block.OffloadHandle is not None and block.state_type is not TYPE.NONE:
            has_context = context_of(block) is not None
            assert has_context == is_there, (
                f"{named([block.Status])} with {'a' if has_context else 'no'} MiniportOffloadContext"
            )
        below_it = []
        each = block.DependentBlockList
        while each is not None:
            below_it.append(each.Status)
            each = each.NextBlock
        if is_there and below_it:
            wanted = OK if set(below_it) <= {OK, PARTIAL} else PARTIAL
            assert block.Status == wanted, f"{named([block.Status])} over {named(below_it)}"
        if not is_there:
            assert not {OK, PARTIAL} & set(below_it), f"{named(below_it)} below a block that failed"


def _ended(chimneys: ChimneyBench, *blocks: Block) -> None:
    """Terminate what of these succeeded, the last first."""
    for block in reversed(blocks):
        if block.Status in (OK, PARTIAL):
            assert chimneys.control("terminate", ending_of(block)) == [OK]
    chimneys.connections.clear()


@case(_PARTIAL, "the worked example: what failed, what is below it, and what is above it", Feature.CHIMNEY)
def a_tree_of_which_half_fails(bench: Bench) -> None:
    """N1 over P1 with T1 and T2, and P2 with T3, of which T2 and P2 cannot be offloaded."""
    chimneys = offloading(bench)
    t1, t2, t3 = tcp(40001), _bad(40002), tcp(40003)
    nbl = t2.NetBufferListChain = chimneys.nbl(b"still the host's")
    p1, p2 = path(t1, t2), path(t3, mtu=_NO_MTU)
    n1 = neighbour(p1, p2)
    for block in (t1, t2, t3):
        chimneys.enlist(block)
    statuses = chimneys.control("initiate", n1)
    _agrees(n1)
    assert t2.Status not in (OK, PARTIAL, None), "a connection with a window that no TCP has is offloaded"
    assert t1.Status == OK, f"T1 has {named([t1.Status])}, its sibling failed"
    if p2.Status in (OK, PARTIAL):
        raise NotSupported("a path that cannot be offloaded")
    assert statuses[:3] == [PARTIAL, PARTIAL, OK], f"N1, P1, T1 have {named(statuses[:3])}"
    assert t2.NetBufferListChain is nbl and nbl.status == OK, (
        "send data of a connection that failed was touched"
    )
    _ended(chimneys, n1, p1, t1)


@case(_PARTIAL, "when everything below an object fails, it is offloaded in part", Feature.CHIMNEY)
def everything_below_fails(bench: Bench) -> None:
    """A neighbour with a path with two connections, neither of which can be offloaded."""
    chimneys = offloading(bench)
    blocks = [_bad(40001), _bad(40002)]
    lower = path(*blocks)
    root = neighbour(lower)
    for block in blocks:
        chimneys.enlist(block)
    chimneys.control("initiate", root)
    _agrees(root)
    _ended(chimneys, root, lower)


@case(
    _PLACES,
    "of a linker: SUCCESS with all that hangs on it, PARTIAL with some, FAILURE with none",
    Feature.CHIMNEY,
)
def linkers_over_what_fails(bench: Bench) -> None:
    """Below the path that is offloaded: two that fail; one that does, one that does not; two sound ones."""
    chimneys, _ = one(bench)
    for number, (blocks, wanted) in enumerate(
        (
            ((_bad(41000), _bad(41001)), FAILURE),
            ((_bad(41002), tcp(41003)), PARTIAL),
            ((tcp(41004), tcp(41005)), OK),
        )
    ):
        statuses = chimneys.control("initiate", below(chimneys, *blocks))
        assert statuses[0] == wanted, (
            f"list {number}: the linker has {named(statuses[:1])} over {named(statuses[1:])}"
        )
        for block in blocks:
            assert (context_of(block) is not None) == (block.Status == OK), "context and status do not agree"
        forget(chimneys, *[block for block in blocks if block.Status != OK])


@case(_PLACES, "a placeholder is no object: it has SUCCESS whatever happens below it", Feature.CHIMNEY)
def states_that_fail_alone(bench: Bench) -> None:
    """Among sound ones, connections with no state, with flags of nobody, and with a MSS of 0."""
    chimneys, first = one(bench)
    good, also = tcp(42000), tcp(42003)
    strange = tcp(42001, State=STATE.ESTABLISHED, SndWnd=_LARGE, cached={"InitialRcvWnd": _LARGE})
    statuses = chimneys.control("initiate", below(chimneys, good, strange, also))
    assert (statuses[1], statuses[3]) == (OK, OK), f"sound connections have {named(statuses)}"
    forget(chimneys, *[block for block in (strange,) if block.Status != OK])
    for block in (good, also, first.block):
        connection = chimneys.connections[block.OffloadHandle]
        connection.send(b"data")
        assert connection.acknowledge() == b"data"


def _update(kind: TYPE, handle: Any, cached: object) -> Block:
    return block_of(kind, handle=handle, cached=cached)


@case(
    _MOVE,
    "an update may move a path to another neighbour: its connections send there from then on",
    Feature.CHIMNEY,
)
def a_path_moves_to_another_neighbour(bench: Bench) -> None:
    """Offload another neighbour, link the path to it, take the old one back; data goes to the new address."""
    chimneys, connection = one(bench)
    connection.send(b"here")
    old_mac = connection.sent()[0].frame[:6]
    connection.peer.ack += 4
    connection.receive()
    old, new = chimneys.neighbour_block, neighbour()
    assert old is not None and chimneys.path_block is not None
    new.cached = nd.NEIGHBOR_OFFLOAD_STATE_CACHED(_OTHER_MAC, 0)
    assert chimneys.control("initiate", new) == [OK]
    lower = block_of(TYPE.NONE, handle=chimneys.path_block.OffloadHandle)
    moved = block_of(TYPE.NONE, lower, handle=new.OffloadHandle)
    statuses = chimneys.control("update", moved)
    assert statuses == [OK, OK], f"the move ended with {named(statuses)}"
    chimneys.neighbour_block = new
    statuses = chimneys.control("terminate", ending_of(old))
    assert statuses == [OK], f"the old neighbour, which nothing hangs on, ends with {named(statuses)}"
    connection.send(b"there")
    found = {each.frame[:6] for each in connection.sent()}
    assert found == {_OTHER_MAC}, (
        f"after the move segments go to {[mac.hex() for mac in found]}, not from {old_mac.hex()}"
    )
    connection.peer.ack += 5
    connection.receive()
    assert connection.told("sent") == [(OK, 4), (OK, 5)]


@case(
    _UPDATE, "a neighbour's new address and a path's new MTU are those of the next segment", Feature.CHIMNEY
)
def what_updates_change(bench: Bench) -> None:
    """Update DlDestinationAddress, PathMtu and TtlOrHopLimit in one tree; look at the segments."""
    chimneys, connection = one(bench)
    assert chimneys.path_block is not None and chimneys.neighbour_block is not None
    lowest = _update(
        TYPE.TCP_CACHED, connection.handle, nd.TCP_OFFLOAD_STATE_CACHED(InitialRcvWnd=65535, TtlOrHopLimit=9)
    )
    lower = _update(
        TYPE.IP4_PATH_CACHED, chimneys.path_block.OffloadHandle, nd.PATH_OFFLOAD_STATE_CACHED(600)
    )
    upper = _update(
        TYPE.NEIGHBOR_CACHED,
        chimneys.neighbour_block.OffloadHandle,
        nd.NEIGHBOR_OFFLOAD_STATE_CACHED(_OTHER_MAC, 0),
    )
    lower.DependentBlockList, upper.DependentBlockList = lowest, lower
    statuses = chimneys.control("update", upper)
    assert statuses == [OK] * 3, named(statuses)
    connection.send(b"z" * 1500)
    segments = connection.sent()
    assert {each.frame[:6] for each in segments} == {_OTHER_MAC}, "DlDestinationAddress is the old one"
    assert max(len(each.ip) for each in segments) <= 600, "segments are longer than PathMtu"
    assert {each.ip[8] for each in segments} == {9}, "TtlOrHopLimit is the old one"
    state = connection.query()
    assert (state.RcvNxt, state.SndUna, state.State) == (1000, 5000, STATE.ESTABLISHED), (
        "DELEGATED has changed"
    )


@case(_UPDATED, "after an update that failed an object goes on with the values that it had", Feature.CHIMNEY)
def updates_that_fail(bench: Bench) -> None:
    """Update PathMtu to what cannot be; data flows on in segments of the old size; then one that can be."""
    chimneys, connection = one(bench)
    assert chimneys.path_block is not None
    for mtu, wanted in ((700, OK), (_NO_MTU, None), (900, OK)):
        block = _update(
            TYPE.IP4_PATH_CACHED, chimneys.path_block.OffloadHandle, nd.PATH_OFFLOAD_STATE_CACHED(mtu)
        )
        statuses = chimneys.control("update", block)
        if wanted is None and statuses == [OK]:
            raise NotSupported("a PathMtu that cannot be")
        assert statuses == [FAILURE if wanted is None else wanted], f"PathMtu {mtu}: {named(statuses)}"
        most = 700 if wanted is None else mtu
        connection.send(b"m" * 3000)
        first = connection.sent()
        assert max(len(each.ip) for each in first) == most, (
            f"with PathMtu {mtu} segments have other sizes than {most}"
        )
        chimneys.transmitted.extend(each.frame for each in first)
        assert drained(connection) == b"m" * 3000, "data does not go on after an update"
    asked = _update(TYPE.IP4_PATH_CACHED, chimneys.path_block.OffloadHandle, nd.PATH_OFFLOAD_STATE_CACHED(0))
    assert chimneys.control("query", asked) == [OK]
    assert isinstance(asked.cached, nd.PATH_OFFLOAD_STATE_CACHED)
    assert asked.cached.PathMtu == 900, f"a query says PathMtu {asked.cached.PathMtu}"


@case(
    _CLASSES,
    "a query of an object gives every structure that it asks for, and each as it is",
    Feature.CHIMNEY,
)
def queries_of_all_objects(bench: Bench) -> None:
    """Query CONST, CACHED and DELEGATED of neighbour, path and connection in one tree, behind traffic."""
    chimneys, connection = one(bench, cached={"KaTimeout": 77, "MaxRT": 5, "RcvIndicationSize": 4000})
    connection.receive(b"12345", flags=PUSH)
    assert chimneys.path_block is not None and chimneys.neighbour_block is not None
    given = [chimneys.neighbour_block, chimneys.path_block, connection.block]
    asked = [
        block_of(TYPE.NEIGHBOR_ALL, const=nd.NEIGHBOR_OFFLOAD_STATE_CONST(),
                 cached=nd.NEIGHBOR_OFFLOAD_STATE_CACHED(), delegated=nd.NEIGHBOR_OFFLOAD_STATE_DELEGATED()),
        block_of(TYPE.IP4_PATH_ALL, const=nd.PATH_OFFLOAD_STATE_CONST(bytes(4), bytes(4)),
                 cached=nd.PATH_OFFLOAD_STATE_CACHED(), delegated=nd.PATH_OFFLOAD_STATE_DELEGATED()),
        block_of(TYPE.TCP_ALL, const=nd.TCP_OFFLOAD_STATE_CONST(), cached=nd.TCP_OFFLOAD_STATE_CACHED(),
                 delegated=nd.TCP_OFFLOAD_STATE_DELEGATED()),
    ]  # fmt: skip
    for block, source in zip(asked, given, strict=True):
        block.OffloadHandle = source.OffloadHandle
    asked[0].DependentBlockList, asked[1].DependentBlockList = asked[1], asked[2]
    statuses = chimneys.control("query", asked[0])
    assert statuses == [OK] * 3, named(statuses)
    for block, source in zip(asked, given, strict=True):
        assert block.const == source.const, f"CONST is {block.const}, given was {source.const}"
    assert asked[1].cached == given[1].cached and asked[2].cached == given[2].cached, "CACHED is another"
    state = asked[2].delegated
    assert isinstance(state, nd.TCP_OFFLOAD_STATE_DELEGATED)
    assert state.RcvNxt == connection.peer.seq, "DELEGATED is not that of now"
