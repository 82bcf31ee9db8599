"""TCP chimney, variety: IPv6, VLANs, lists of several packets, hosts that keep what they get, what waits."""

from __future__ import annotations

import itertools

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import tell
from vnic.conformance.groups.chimney import PUSH, below, drained, named, offloading, one
from vnic.conformance.pages import chimney, ddi
from vnic.ndis import chimney as nd
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oid import OID
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import (
    OK,
    TYPE,
    Block,
    block_of,
    bytes_of,
    chain_of,
    ending_of,
    neighbour,
    path,
    tcp,
)
from vnic.testbench.chimney.connection import Connection
from vnic.wire import packet

_TREE = chimney("offload-block-lists")
_VLAN = chimney("determining-whether-to-fail-the-offload-of-a-vlan-id")
_TAG = chimney("sending-802-1q-frames-from-an-offload-target")
_SEND = ddi("nc-ndischimney-w_tcp_offload_send_handler", "ndischimney")
_INDICATE = ddi("nc-ndischimney-ndis_tcp_offload_receive_indicate", "ndischimney")
_REACH = chimney("making-a-neighborreachabilityquery-indication")
_OTHER_MAC = bytes.fromhex("0200000000cc")
_SECOND_NS = 1_000_000_000


def _offloaded(chimneys: ChimneyBench, root: Block, block: Block) -> Connection:
    """A tree of one connection; it has to be ended by _ended()."""
    connection = chimneys.enlist(block)
    statuses = chimneys.control("initiate", root)
    if set(statuses) != {OK}:
        del chimneys.connections[block.OffloadHandle]
        raise NotSupported(f"such a tree: {named(statuses)}")
    return connection


def _ended(chimneys: ChimneyBench, *blocks: Block) -> None:
    """Connection, path, neighbour: each ends, and says so."""
    for block in blocks:
        statuses = chimneys.control("terminate", ending_of(block))
        assert statuses == [OK], f"{block.state_type.name} ends with {named(statuses)}"
        chimneys.connections.pop(block.OffloadHandle, None)


def _works(connection: Connection) -> None:
    """Data goes both ways, by segments of several sizes, and by a posted receive."""
    data = bytes(n * 7 & 0xFF for n in range(4000))
    connection.send(data)
    assert drained(connection) == data, "what left is not what was sent"
    connection.post(1000, no_push=True)
    for start in range(0, 3000, 750):
        connection.receive(data[start : start + 750], flags=PUSH)
    assert connection.stream == data[:3000], f"{len(connection.stream)} of 3,000 bytes came, or others"


@case(_TREE, "a path may be of IPv6, with everything that one of IPv4 has", Feature.CHIMNEY)
def over_ipv6(bench: Bench) -> None:
    """Offload a connection over IPv6, use it, query its path, disconnect, and end everything."""
    chimneys = offloading(bench)
    block = tcp(40006)
    lower = path(block, version=6)
    root = neighbour(lower)
    connection = _offloaded(chimneys, root, block)
    connection.peer.version = 6
    _works(connection)
    asked = block_of(TYPE.IP6_PATH_CACHED, handle=lower.OffloadHandle, cached=nd.PATH_OFFLOAD_STATE_CACHED(0))
    assert chimneys.control("query", asked) == [OK]
    assert asked.cached == lower.cached, f"a query says {asked.cached}"
    connection.disconnect(b"bye")
    assert drained(connection) == b"bye"
    assert connection.told("disconnected") == [(OK,)]
    connection.receive(flags=packet.ACK | packet.FIN)
    assert connection.told("DISCONNECT"), "the peer's FIN was not told"
    _ended(chimneys, block, lower, root)


@case(_TREE, "objects of both IPs live side by side on one neighbour", Feature.CHIMNEY)
def both_ips_at_once(bench: Bench) -> None:
    """Offload IPv4 and IPv6 below one neighbour; end one, the other goes on."""
    chimneys = offloading(bench)
    four, six = tcp(40004), tcp(40006)
    lower = [path(four), path(six, version=6)]
    root = neighbour(*lower)
    chimneys.enlist(four)
    last = _offloaded(chimneys, root, six)
    first = chimneys.connections[four.OffloadHandle]
    last.peer.version = 6
    _works(first)
    _works(last)
    _ended(chimneys, four, lower[0])
    last.send(b"still here")
    assert last.acknowledge() == b"still here"
    _ended(chimneys, six, lower[1], root)


def _tagged(bench: Bench, own: int, vlan_id: int) -> None:
    chimneys = offloading(bench)
    if own and tell(bench, OID.GEN_VLAN_ID, own.to_bytes(4, "little")) != OK:
        raise NotSupported("OID_GEN_VLAN_ID")
    block = tcp(40050)
    lower = path(block)
    root = neighbour(lower, VlanId=vlan_id)
    connection = _offloaded(chimneys, root, block)
    connection.peer.tci = vlan_id
    connection.send(b"tagged")
    tags = {(each.tci or 0) & 0xFFF for each in connection.sent()}
    assert tags == {vlan_id}, f"segments leave with VLAN ids {tags}, wanted {vlan_id}"
    connection.peer.ack += 6
    connection.receive(b"own", flags=PUSH)
    assert connection.stream == b"own", "a segment with the right tag did not come"
    connection.receive(b"x", flags=PUSH, seq=connection.peer.seq, tci=vlan_id + 1)
    assert connection.stream == b"own", "a segment with another tag was taken"
    _ended(chimneys, block, lower, root)


@case(
    _TAG,
    "segments of a neighbour with a VlanId have its tag, and others are not taken",
    Feature.CHIMNEY,
    Feature.VLAN,
    keywords={"*PriorityVLANTag": 3},
)
def a_neighbour_with_a_vlan(bench: Bench) -> None:
    """A VlanId of 5 on an interface without one."""
    _tagged(bench, 0, 5)


@case(
    _VLAN,
    "a VlanId that is the interface's own is offloaded",
    Feature.CHIMNEY,
    Feature.VLAN,
    keywords={"*PriorityVLANTag": 3},
)
def a_neighbour_with_the_interface_s_vlan(bench: Bench) -> None:
    """A VlanId of 7 on an interface of VLAN 7."""
    _tagged(bench, 7, 7)


def _of_several(chimneys: ChimneyBench, parts: list[bytes]) -> NetBufferList:
    """One list with a NET_BUFFER for each part."""
    made = [chimneys.nbl(part, (len(part) // 3,)) for part in parts]
    buffers = [each.first_net_buffer for each in made]
    for buffer, following in itertools.pairwise(buffers):
        assert buffer is not None
        buffer.next = following
    return made[0]


@case(_SEND, "a send's data is that of all its NET_BUFFERs, one behind the other", Feature.CHIMNEY)
def sends_of_several_packets(bench: Bench) -> None:
    """Lists of three NET_BUFFERs of 1 to 900 bytes; then one acknowledged in part, and a terminate."""
    chimneys, connection = one(bench)
    sizes = [(1, 2, 3), (300, 1, 700), (900, 900, 900), (5, 400, 6)]
    data = [
        [bytes([65 + 4 * turn + at]) * size for at, size in enumerate(each)]
        for turn, each in enumerate(sizes)
    ]
    head = chain_of([_of_several(chimneys, parts) for parts in data])
    chimneys.call(lambda: chimneys.calls.offload_tcp_send(connection.handle, head))
    whole = b"".join(b"".join(parts) for parts in data)
    assert drained(connection) == whole, "what left is not what was sent"
    assert connection.told("sent") == [(OK, sum(each)) for each in sizes], f"{connection.told('sent')}"
    last = _of_several(chimneys, [b"a" * 100, b"b" * 100, b"c" * 100])
    chimneys.call(lambda: chimneys.calls.offload_tcp_send(connection.handle, last))
    connection.sent()
    connection.peer.ack += 150
    connection.receive()
    block = connection.terminate()
    assert block.NetBufferListChain is last, "the send that is left is not in the chain"
    assert bytes_of(last) == b"b" * 50 + b"c" * 100, "what is left of it is not what was not acknowledged"


@case(
    ddi("nc-ndischimney-w_tcp_offload_receive_handler", "ndischimney"),
    "a receive is filled from its first byte to its last, in however many parts data comes",
    Feature.CHIMNEY,
)
def receives_filled_in_parts(bench: Bench) -> None:
    """Data is kept first, then posted for in parts; more comes by the wire; every byte at its place."""
    chimneys, connection = one(bench)
    data = bytes(n * 11 & 0xFF for n in range(2000))
    chimneys.client.accepts = lambda _: 0
    for start in range(0, 600, 100):
        connection.receive(data[start : start + 100], flags=PUSH)
    connection.post(250, 250, 700, 800, no_push=True)
    for start in range(600, 2000, 140):
        connection.receive(data[start : start + 140], flags=packet.ACK)
    assert connection.told("received") == [(OK, 250), (OK, 250), (OK, 700), (OK, 800)], (
        f"{connection.told('received')}"
    )
    assert connection.stream == data, "other bytes are in the receives, or at other places"


@case(_INDICATE, "a host that keeps what it is indicated does not stop other connections", Feature.CHIMNEY)
def hosts_that_keep_everything(bench: Bench) -> None:
    """One connection's data is kept until its window is nearly full; the other's goes on."""
    chimneys, greedy = one(bench)
    block = tcp(40001)
    assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
    other = chimneys.connections[block.OffloadHandle]
    chimneys.client.returns = False
    for number in range(400):  # 60,000 bytes: not quite its window
        greedy.receive(bytes([number & 0xFF]) * 150, flags=PUSH)
    assert len(greedy.stream) == 60_000, f"{len(greedy.stream)} of 60,000 bytes came"
    other.post(*[100] * 20, no_push=True)
    for number in range(20):
        other.receive(bytes([number]) * 100, flags=PUSH)
    assert other.told("received") == [(OK, 100)] * 20, "another connection is out of buffers"
    for number in range(30):
        other.receive(bytes([number]) * 50, flags=PUSH)
    assert len(other.stream) == 3500, f"{len(other.stream)} of 3,500 bytes of another connection came"
    chimneys.client.give_back()
    chimneys.settle()
    chimneys.client.returns = True


@case(
    ddi("ns-ndischimney-_tcp_offload_state_delegated", "ndischimney"),
    "SendBacklogSize is all that was given and is not acknowledged, wherever it waits",
    Feature.CHIMNEY,
    device={"chimney_work": 16},
)
def the_backlog_of_sends(bench: Bench) -> None:
    """Forty sends of 50 bytes on a card that holds 16 pieces; the peer acknowledges some, and all."""
    _, connection = one(bench)
    connection.send(*[bytes([n]) * 50 for n in range(40)], cuts=(5, 9))
    given = 2000
    for acknowledged in (0, 100, 150):
        connection.peer.ack = 5000 + acknowledged
        connection.receive()
        state = connection.query()
        assert state.SndUna == connection.peer.ack, "SndUna is not what was acknowledged"
        waits = given - acknowledged
        assert state.SendBacklogSize in (waits, waits - (state.SndMax - state.SndUna)), (
            f"SendBacklogSize is {state.SendBacklogSize} with {waits} of {given} bytes unacknowledged"
        )
    connection.sent()
    connection.peer.ack = connection.query().SndMax
    connection.receive()
    drained(connection)
    assert connection.query().SendBacklogSize == 0, "a backlog is left when all was acknowledged"


@case(
    _REACH,
    "after an update that failed a neighbour's old address holds, also in later answers",
    Feature.CHIMNEY,
)
def a_neighbour_s_update_that_fails(bench: Bench) -> None:
    """Update DlDestinationAddress to no Ethernet address; two minutes later data goes on."""
    chimneys, connection = one(bench)
    assert chimneys.neighbour_block is not None
    connection.send(b"before")
    old = connection.sent()[0].frame[:6]
    connection.peer.ack += 6
    connection.receive()
    strange = nd.NEIGHBOR_OFFLOAD_STATE_CACHED(_OTHER_MAC + b"\1" * 26, 0)
    block = block_of(TYPE.NEIGHBOR_CACHED, handle=chimneys.neighbour_block.OffloadHandle, cached=strange)
    if chimneys.control("update", block) == [OK]:
        raise NotSupported("a destination address that cannot be")
    chimneys.clock.advance(120 * _SECOND_NS)
    connection.send(b"after")
    chimneys.advance(_SECOND_NS)
    found = {each.frame[:6] for each in connection.sent() if each.payload}
    assert found == {old}, "segments go to another address after an update that failed"
    connection.peer.ack += 5
    connection.receive()
