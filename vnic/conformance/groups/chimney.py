"""TCP chimney, control: trees of state that are offloaded, asked about, changed and taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.pages import chimney, ddi
from vnic.ndis import chimney as nd
from vnic.ndis.status import NDIS_STATUS
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
    neighbour,
    path,
    tcp,
    tree,
)
from vnic.testbench.chimney.connection import Connection
from vnic.wire import packet

_TREE = chimney("offload-block-lists")
_PARTIAL = chimney("partial-offloads-and-offload-failures")
_STATUS = chimney("returning-completion-status-of-an-initiate-offload-operation")
_CLASSES = chimney("classes-of-offload-state-variables")
_DELEGATED = ddi("ns-ndischimney-_tcp_offload_state_delegated", "ndischimney")
PUSH = packet.ACK | packet.PSH


def offloading(bench: Bench) -> ChimneyBench:
    """The bench of a case that needs the chimney."""
    assert isinstance(bench, ChimneyBench)
    return bench


def one(bench: Bench, **members: Any) -> tuple[ChimneyBench, Connection]:
    """A bench with one connection offloaded."""
    chimneys = offloading(bench)
    (connection,) = chimneys.connect(tcp(**members))
    return chimneys, connection


def below(bench: ChimneyBench, *blocks: Block) -> Block:
    """A linker to the offloaded path, with new connections below it."""
    for block in blocks:
        bench.enlist(block)
    assert bench.path_block is not None
    return block_of(TYPE.NONE, *blocks, handle=bench.path_block.OffloadHandle)


def forget(bench: ChimneyBench, *blocks: Block) -> None:
    """They were not offloaded: there is nothing to take back."""
    for block in blocks:
        bench.connections.pop(block.OffloadHandle, None)


def drained(connection: Connection, rounds: int = 400) -> bytes:
    """The peer acknowledges until nothing more comes; what came."""
    data = b""
    for _ in range(rounds):
        new = connection.acknowledge()
        data += new
        if not new:
            break
    return data


def named(statuses: Sequence[NDIS_STATUS | None]) -> str:
    """For people."""
    return ", ".join("unwritten" if each is None else each.name for each in statuses)


# -- initiate ------------------------------------------------------------------------------------------------


@case(
    _STATUS,
    "every block of a completed initiate has a status, and each that succeeded a context",
    Feature.CHIMNEY,
)
def initiates_a_tree(bench: Bench) -> None:
    """Offload a neighbour with a path and three connections in one tree."""
    chimneys = offloading(bench)
    blocks = [tcp(40000 + n) for n in range(3)]
    chimneys.connect(*blocks)
    assert chimneys.neighbour_block is not None
    contexts = [context_of(block) for block in tree(chimneys.neighbour_block)]
    assert None not in contexts, "an offloaded object has no MiniportOffloadContext"
    assert len({id(each) for each in contexts}) == 5, "two objects share a MiniportOffloadContext"


@case(
    _TREE,
    "a block without state and with a handle links to an object that is offloaded already",
    Feature.CHIMNEY,
)
def links_to_what_is_there(bench: Bench) -> None:
    """Offload further connections below a path that was offloaded before; then data flows on each."""
    chimneys, first = one(bench)
    assert chimneys.control("initiate", below(chimneys, tcp(40001), tcp(40002))) == [OK] * 3
    for connection in list(chimneys.connections.values()):
        connection.send(b"data")
        assert connection.acknowledge() == b"data"
    assert first.told("sent") == [(OK, 4)]


@case(
    _PARTIAL,
    "a node whose dependent failed has PARTIAL_SUCCESS; siblings behind it are offloaded",
    Feature.CHIMNEY,
)
def a_sibling_that_fails(bench: Bench) -> None:
    """Between two sound connections, one with a window that no TCP has."""
    chimneys, _ = one(bench)
    good, bad, also = tcp(40001), tcp(40002, cached={"InitialRcvWnd": 1 << 31}), tcp(40003)
    statuses = chimneys.control("initiate", below(chimneys, good, bad, also))
    assert statuses[0] == PARTIAL, f"the node above has {named(statuses[:1])}"
    assert statuses[1] == statuses[3] == OK, f"its siblings have {named(statuses)}"
    assert statuses[2] not in (OK, PARTIAL, None), f"the connection that cannot be has {named(statuses[2:3])}"
    assert context_of(bad) is None, "MiniportOffloadContext was written for a block that failed"
    forget(chimneys, bad)


@case(_PARTIAL, "when the root fails nothing below it is offloaded", Feature.CHIMNEY)
def a_root_that_fails(bench: Bench) -> None:
    """Offload a tree over a neighbour whose VLAN is not the interface's, where the driver checks it."""
    chimneys = offloading(bench)
    root = neighbour(path(tcp()), VlanId=0xFFF)
    statuses = chimneys.control("initiate", root)
    if statuses[0] in (OK, PARTIAL):
        raise NotSupported("takes any VLAN")
    assert not {OK, PARTIAL} & set(statuses), named(statuses)
    assert [context_of(block) for block in tree(root)] == [None] * 3


@case(_DELEGATED, "a connection in a state without data transfer is never offloaded", Feature.CHIMNEY)
def states_that_cannot_be_offloaded(bench: Bench) -> None:
    """Offload one in each state; only ESTABLISHED to LAST_ACK may succeed."""
    chimneys, _ = one(bench)
    for number, state in enumerate(sorted(nd.OFFLOADABLE)):
        block = tcp(41000 + number, State=state)
        statuses = chimneys.control("initiate", below(chimneys, block))
        assert statuses == [OK, OK], f"{state.name}: {named(statuses)}"


@case(
    _PARTIAL, "send data of a connection that was not offloaded stays the host's, untouched", Feature.CHIMNEY
)
def send_data_of_a_failed_connection(bench: Bench) -> None:
    """Offload a connection that cannot be, with data to send."""
    chimneys, _ = one(bench)
    bad = tcp(40001, cached={"InitialRcvWnd": 1 << 31})
    nbl = bad.NetBufferListChain = chimneys.nbl(b"still the host's")
    before = nbl.status
    chimneys.control("initiate", below(chimneys, bad))
    assert bad.NetBufferListChain is nbl and nbl.status == before, "its NBL was touched"
    assert nbl.first_net_buffer is not None and nbl.first_net_buffer.data() == b"still the host's"
    forget(chimneys, bad)


@case(
    _STATUS,
    "when entries run out the rest fails with a status that says so, and what is there works",
    Feature.CHIMNEY,
    device={"connections": 4},
)
def entries_run_out(bench: Bench) -> None:
    """Offload 10 connections to a card with room for 4; end one, and another fits."""
    chimneys = offloading(bench)
    blocks = [tcp(40000 + n) for n in range(10)]
    p = path(*blocks)
    root = neighbour(p)
    for block in blocks:
        chimneys.enlist(block)
    chimneys.path_block, chimneys.neighbour_block = p, root
    statuses = chimneys.control("initiate", root)[2:]
    took = [block for block, status in zip(blocks, statuses, strict=True) if status == OK]
    lost = [block for block in blocks if block not in took]
    assert 1 <= len(took) <= 4, f"{len(took)} connections were offloaded to a card with room for 4"
    assert {block.Status for block in lost} <= {
        NDIS_STATUS.OFFLOAD_TCP_ENTRIES,
        NDIS_STATUS.RESOURCES,
        FAILURE,
    }, named([block.Status for block in lost])
    forget(chimneys, *lost)
    chimneys.connections[took[0].OffloadHandle].terminate()
    del chimneys.connections[took[0].OffloadHandle]
    again = tcp(42000)
    assert chimneys.control("initiate", below(chimneys, again)) == [OK, OK], "no room after one ended"


# -- query and update ----------------------------------------------------------------------------------------


@case(
    _CLASSES,
    "CONST and CACHED are never altered by the target; a query gives them as they were given",
    Feature.CHIMNEY,
)
def cached_values_as_they_were_given(bench: Bench) -> None:
    """Offload with unusual values, let data flow, and query CACHED."""
    values = {
        "InitialRcvWnd": 30000,
        "TtlOrHopLimit": 17,
        "KaTimeout": 1234,
        "KaInterval": 56,
        "KaProbeCount": 7,
    }
    _, connection = one(bench, cached=values)
    connection.send(bytes(3000))
    connection.acknowledge()
    asked = block_of(TYPE.TCP_CACHED, handle=connection.handle, cached=nd.TCP_OFFLOAD_STATE_CACHED())
    assert connection.bench.control("query", asked) == [OK]
    found = {name: getattr(asked.cached, name) for name in values}
    assert found == values, f"CACHED is {found}, given was {values}"


@case(_DELEGATED, "a query tells where the connection is now", Feature.CHIMNEY)
def delegated_values_of_now(bench: Bench) -> None:
    """Send and receive, and look at SndUna, SndNxt, SndMax and RcvNxt at each point."""
    _, connection = one(bench)
    start = connection.query()
    connection.send(bytes(500))
    sent = connection.query()
    assert (sent.SndUna, sent.SndMax) == (start.SndUna, start.SndUna + 500), "500 bytes are under way"
    assert sent.SndUna <= sent.SndNxt <= sent.SndMax
    connection.acknowledge()
    connection.receive(bytes(70), flags=PUSH)
    last = connection.query()
    assert last.SndUna == start.SndUna + 500, "they were acknowledged"
    assert last.RcvNxt == start.RcvNxt + 70, "70 bytes were received"
    assert last.State == STATE.ESTABLISHED


@case(_CLASSES, "an update changes CACHED, at once, and nothing else", Feature.CHIMNEY)
def update_takes_effect(bench: Bench) -> None:
    """Update the hop limit of a connection: the next segment has it, and the data goes on where it was."""
    _, connection = one(bench)
    connection.send(b"before")
    first = connection.sent()[-1]
    connection.peer.ack += 6
    connection.receive()
    cached = nd.TCP_OFFLOAD_STATE_CACHED(InitialRcvWnd=65535, TtlOrHopLimit=99)
    block = block_of(TYPE.TCP_CACHED, handle=connection.handle, cached=cached)
    assert connection.bench.control("update", block) == [OK]
    connection.send(b"after")
    second = connection.sent()[-1]
    assert (first.ip[8], second.ip[8]) == (64, 99), f"TTL {first.ip[8]}, then {second.ip[8]}"
    assert (second.seq, second.payload) == (first.seq + 6, b"after")
    connection.peer.ack += 5
    connection.receive()


@case(_DELEGATED, "what is offloaded and terminated without traffic comes back as it was", Feature.CHIMNEY)
def round_trip_without_traffic(bench: Bench) -> None:
    """Offload values of every kind and terminate at once; compare DELEGATED."""
    values = {
        "SndUna": 7000,
        "SndNxt": 7000,
        "SndMax": 7000,
        "SndWnd": 12345,
        "MaxSndWnd": 23456,
        "SendWL1": 990,
        "CWnd": 4380,
        "SsThresh": 8760,
        "RcvNxt": 4_000_000_000,
        "RcvWnd": 65535,
        "SRtt": 80,
        "RttVar": 20,
        "DupAckCount": 1,
    }
    _, connection = one(bench, **values)
    connection.terminate()
    state = connection.state
    assert state is not None
    changed = {name: getattr(state, name) for name, value in values.items() if getattr(state, name) != value}
    assert not changed, "changed on the way: " + ", ".join(
        f"{n} {values[n]} to {v}" for n, v in changed.items()
    )


@case(_DELEGATED, "sequence numbers are modulo 2^32", Feature.CHIMNEY)
def sequence_numbers_that_wrap(bench: Bench) -> None:
    """Offload 10 bytes before the wrap in both directions; send and receive 3,000 over it."""
    edge = (1 << 32) - 10
    _, connection = one(bench, SndUna=edge, SndNxt=edge, SndMax=edge, RcvNxt=edge, SendWL1=edge)
    data = bytes(n & 0xFF for n in range(3000))
    connection.send(data)
    got = b""
    for _ in range(6):
        got += connection.acknowledge()
    assert got == data, "data sent over the wrap is not what was given"
    connection.post(3000, no_push=True)
    for start in range(0, 3000, 1000):
        connection.receive(data[start : start + 1000], flags=PUSH)
    assert connection.stream == data, "data received over the wrap is not what came"
    assert connection.query().SndUna == (edge + 3000) % (1 << 32)
