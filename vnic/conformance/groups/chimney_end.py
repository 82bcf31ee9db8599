"""TCP chimney, the end of an offload: invalidate, terminate, reset, low power; and what a target reports."""

from __future__ import annotations

from itertools import product

from vnic.conformance.case import Feature, case
from vnic.conformance.groups.chimney import PUSH, below, forget, named, offloading, one
from vnic.conformance.pages import chimney, ddi
from vnic.ndis import chimney as nd
from vnic.ndis.chimney_stats import TcpOffloadStats
from vnic.ndis.oid import OID
from vnic.ndis.structures import DevicePowerState
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.blocks import (
    OK,
    TYPE,
    UPLOAD,
    block_of,
    ending_of,
    tcp,
)
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_TERMINATE = chimney("terminate-offload-initiated-by-the-host-stack")
_INVALID = chimney("handling-invalidated-state-objects")
_REACH = chimney("making-a-neighborreachabilityquery-indication")
_STATISTICS = chimney("maintaining-and-reporting-chimney-specific-statistics")
_PROTOCOL = chimney("required-and-suggested-tcp-ip-protocol-support")


@case(_INVALID, "nothing is sent on an invalidated object and its dependents", Feature.CHIMNEY)
def invalidated_is_silent(bench: Bench) -> None:
    """Invalidate the path of a connection that has data to send; then the peer speaks, and time goes by."""
    chimneys, connection = one(bench)
    assert chimneys.path_block is not None
    connection.send(b"under way")
    connection.sent()
    block = block_of(TYPE.NONE, handle=chimneys.path_block.OffloadHandle)
    assert chimneys.control("invalidate", block) == [OK]
    connection.send(b"more")
    connection.receive(b"hello", flags=PUSH)
    chimneys.advance(5_000_000_000)
    assert not connection.sent(), "a segment was sent after the invalidate completed"


@case(_TERMINATE, "nothing is sent on a connection after its terminate has completed", Feature.CHIMNEY)
def terminated_is_silent(bench: Bench) -> None:
    """Terminate with data unacknowledged; the peer speaks and time goes by: no ACK, no retransmission."""
    chimneys, connection = one(bench)
    connection.send(bytes(1000))
    connection.sent()
    connection.terminate()
    chimneys.transmitted.clear()
    chimneys.receive(connection.peer.frame(b"late", flags=PUSH))
    chimneys.settle()
    chimneys.advance(5_000_000_000)
    assert not connection.sent(), "a segment was sent after the terminate completed"


@case(_TERMINATE, "from the terminate on, segments take the plain path", Feature.CHIMNEY)
def segments_after_a_terminate(bench: Bench) -> None:
    """Terminate, and let the peer send: the frame is indicated unchanged."""
    chimneys, connection = one(bench)
    connection.terminate()
    frame = connection.peer.frame(b"for the host", flags=PUSH)
    chimneys.receive(frame)
    chimneys.settle()
    assert frame in chimneys.received, "the segment was not indicated to the protocol"


@case(
    _TERMINATE,
    "bytes that were posted are reported acknowledged, or come back, none lost and none twice",
    Feature.CHIMNEY,
)
def unacknowledged_sends_come_back(bench: Bench) -> None:
    """Send 300 bytes in three NBLs, have 130 acknowledged, terminate; count."""
    _, connection = one(bench)
    connection.send(b"a" * 100, b"b" * 100, b"c" * 100)
    connection.sent()
    connection.peer.ack += 130
    connection.receive()
    block = connection.terminate()
    state = connection.state
    assert state is not None
    left, nbl = b"", block.NetBufferListChain
    while nbl is not None:
        left += b"".join(each.data() for each in nbl.net_buffers())
        nbl = nbl.next
    told = connection.told("sent")
    done = (state.SndUna - ISS) % (1 << 32)
    returned = len(left) or sum(100 - count for status, count in told if status != OK)
    assert done + returned == 300, f"{done} bytes acknowledged and {returned} back make no 300"
    if left:
        assert left == b"b" * 70 + b"c" * 100, "the chain is not what was left, in order"
    assert state.SndMax - state.SndUna == 170, "SndUna does not address the first byte that is left"


@case(_TERMINATE, "every posted receive completes, with what was placed in it", Feature.CHIMNEY)
def posted_receives_come_back(bench: Bench) -> None:
    """Post three receives of 100, let 130 bytes come, terminate."""
    _, connection = one(bench)
    connection.post(100, 100, 100, no_push=True)
    connection.receive(bytes(130), flags=packet.ACK)
    connection.terminate()
    told = connection.told("received")
    assert [count for _, count in told] == [100, 30, 0], f"receives completed with {told}"
    assert told[0][0] == OK and {status for status, _ in told[1:]} <= {UPLOAD, OK}, f"{told}"


@case(_TERMINATE, "a connection that was taken back can be offloaded again and goes on", Feature.CHIMNEY)
def there_and_back_again(bench: Bench) -> None:
    """Five times: data both ways, terminate, initiate with the state that came back."""
    chimneys, connection = one(bench)
    for turn in range(5):
        connection.send(bytes([turn]) * 700)
        assert connection.acknowledge() == bytes([turn]) * 700, f"turn {turn}: not what was sent"
        connection.post(50)
        connection.receive(bytes([turn]) * 50, flags=PUSH)
        assert connection.stream[-50:] == bytes([turn]) * 50, f"turn {turn}: not what came"
        connection.terminate()
        state = connection.state
        assert state is not None
        del chimneys.connections[connection.handle]
        block = tcp()
        block.delegated = state
        state.SendDataHead = state.SendDataTail = state.BufferedData = None
        peer = connection.peer
        assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
        connection = chimneys.connections[block.OffloadHandle]
        connection.peer = peer


@case(_TERMINATE, "an object is terminated after its dependents; a tree is, in one call", Feature.CHIMNEY)
def terminates_a_tree(bench: Bench) -> None:
    """Terminate neighbour, path and two connections in one tree."""
    chimneys = offloading(bench)
    connections = chimneys.connect(tcp(40000), tcp(40001))
    assert chimneys.path_block is not None and chimneys.neighbour_block is not None
    ends = [ending_of(connection.block) for connection in connections]
    lower, upper = ending_of(chimneys.path_block), ending_of(chimneys.neighbour_block)
    ends[0].NextBlock, lower.DependentBlockList, upper.DependentBlockList = ends[1], ends[0], lower
    statuses = chimneys.control("terminate", upper)
    assert statuses == [OK] * 4, named(statuses)
    chimneys.connections.clear()
    chimneys.path_block = chimneys.neighbour_block = None


@case(_STATISTICS, "OID_TCP4_OFFLOAD_STATS counts segments of offloaded connections only", Feature.CHIMNEY)
def statistics_of_offloaded_segments(bench: Bench) -> None:
    """Two segments in and some out on an offloaded connection, and three frames on the plain path."""
    chimneys, connection = one(bench)
    before = TcpOffloadStats.parse(chimneys.query(OID.TCP4_OFFLOAD_STATS))
    connection.receive(b"x", flags=PUSH)
    connection.receive(b"y", flags=PUSH)
    chimneys.receive(
        *[connection.peer.frame(b"z", flags=PUSH).replace(b"\x00\x50", b"\x00\x51") for _ in range(3)]
    )
    chimneys.settle()
    after = TcpOffloadStats.parse(chimneys.query(OID.TCP4_OFFLOAD_STATS))
    assert after.in_segments - before.in_segments == 2, (
        f"in_segments grew by {after.in_segments - before.in_segments}"
    )
    assert after.currently_established == 1, f"TcpCurrentlyEstablished is {after.currently_established}"


@case(
    _PROTOCOL,
    "segments of an offloaded connection have Don't Fragment set, and an ID of at least 0x8000",
    Feature.CHIMNEY,
)
def headers_of_segments(bench: Bench) -> None:
    """Send 5,000 bytes and look at the IPv4 headers."""
    _, connection = one(bench)
    connection.send(bytes(5000))
    segments = connection.sent()
    for each in segments:
        identification, flags = int.from_bytes(each.ip[4:6]), each.ip[6] >> 5
        assert flags == 2, f"flags {flags} of an IPv4 header"
        assert identification >= 0x8000, f"identification 0x{identification:04x}"
    assert sum(len(each.payload) for each in segments) > 0


@case(
    chimney("power-management-for-offload-targets"),
    "after low power nothing is offloaded, and all can be again",
    Feature.CHIMNEY,
    Feature.POWER,
)
def offloads_after_low_power(bench: Bench) -> None:
    """Upload, D3, D0, offload: data flows."""
    chimneys, _ = one(bench)
    chimneys.upload_all()
    chimneys.connections.clear()
    for state in (DevicePowerState.D3, DevicePowerState.D0):
        assert chimneys.adapter.set_power(state) == OK
    chimneys.settle()
    (again,) = chimneys.connect(tcp(40009))
    again.send(b"works")
    assert again.acknowledge() == b"works"


@case(
    _TERMINATE,
    "a reset loses what was offloaded: each connection is told, everything completes, none hangs",
    Feature.CHIMNEY,
)
def reset_with_connections(bench: Bench) -> None:
    """Reset the adapter with sends, receives and a disconnect outstanding; terminate; offload another."""
    chimneys, connection = one(bench)
    connection.send(b"unacknowledged")
    connection.post(100, no_push=True)
    connection.disconnect(b"bye")
    chimneys.adapter.reset()
    chimneys.settle()
    assert (
        len(connection.told("sent"))
        == len(connection.told("received"))
        == len(connection.told("disconnected"))
        == 1
    )
    assert connection.told("RETRIEVE") or connection.told("ABORT"), "the host was not told"
    connection.terminate()
    chimneys.release()
    chimneys.connections.clear()
    (again,) = chimneys.connect(tcp(40009))
    again.send(b"works")
    assert again.acknowledge() == b"works"


@case(
    chimney("processing-events-that-occur-during-an-offload"),
    "connections come and go on processors that race",
    Feature.CHIMNEY,
    seeds=(1, 2, 3),
)
def many_connections_that_race(bench: Bench) -> None:
    """Offload 12 connections in four trees, send and receive on all, take back half, and go on."""
    chimneys, first = one(bench)
    blocks = [tcp(43000 + n, hash_value=n) for n in range(12)]
    for start in range(0, 12, 3):
        assert chimneys.control("initiate", below(chimneys, *blocks[start : start + 3])) == [OK] * 4
    connections = [chimneys.connections[block.OffloadHandle] for block in blocks]
    for turn, connection in product(range(2), connections):
        data = bytes([turn + 1]) * 900
        connection.send(data)
        connection.receive(data, flags=PUSH)
        assert connection.acknowledge() == data, "not what was sent"
        assert connection.stream.endswith(data), "not what came"
    for connection in connections[::2]:
        connection.terminate()
    for connection in [first, *connections[1::2]]:
        connection.send(b"goes on")
        assert connection.acknowledge() == b"goes on"


@case(
    _REACH,
    "a neighbour that was not heard of for NceStaleTicks is asked about before data is sent",
    Feature.CHIMNEY,
)
def asks_whether_the_neighbour_is_there(bench: Bench) -> None:
    """Let two minutes go by, then send: the host is asked, and data goes out."""
    chimneys, connection = one(bench)
    chimneys.clock.advance(120_000_000_000)
    connection.send(b"anybody there?")
    chimneys.advance(1_000_000_000)
    assert chimneys.client.queries, "no NeighborReachabilityQuery"
    assert b"anybody there?" in [each.payload for each in connection.sent()], "the data was not sent"
    connection.peer.ack += 14
    connection.receive()


@case(
    chimney("delayed-acknowledgement-timer"),
    "an ACK that is owed is sent before the terminate completes, and never after it",
    Feature.CHIMNEY,
)
def the_owed_acknowledgement(bench: Bench) -> None:
    """One segment comes, whose ACK a target may delay; terminate; then a second goes by."""
    chimneys, connection = one(bench)
    connection.post(100, no_push=True)
    connection.sent()
    connection.receive(b"one segment", flags=packet.ACK)
    connection.terminate()
    before = connection.sent()
    assert before and before[-1].ack == connection.peer.seq, (
        "the ACK was not sent before the terminate completed"
    )
    chimneys.advance(2_000_000_000)
    assert not connection.sent(), "a segment was sent after the terminate completed"


@case(
    _TERMINATE,
    "of a send that ends in the terminate, the bytes that were acknowledged are reported",
    Feature.CHIMNEY,
)
def partly_acknowledged_sends(bench: Bench) -> None:
    """Two sends of 100 and a disconnect; 120 bytes are acknowledged; terminate: each byte counts once."""
    _, connection = one(bench)
    connection.send(b"a" * 100, b"b" * 100)
    connection.disconnect(b"bye")
    connection.sent()
    connection.peer.ack = ISS + 120
    connection.receive()
    block = connection.terminate()
    state = connection.state
    assert state is not None and (state.SndUna - ISS) % (1 << 32) == 120
    left, nbl = 0, block.NetBufferListChain
    while nbl is not None:
        left += sum(each.data_length for each in nbl.net_buffers())
        nbl = nbl.next
    done = sum(count for _, count in connection.told("sent"))
    if not left:
        assert done == 120, f"{done} bytes are reported as acknowledged, 120 were"
    assert len(connection.told("disconnected")) == 1 or left


@case(
    ddi("ns-ndischimney-_tcp_offload_state_const", "ndischimney"),
    "a window scale is at most 14 (RFC 7323, 2.3): 15 is refused, or taken as 14",
    Feature.CHIMNEY,
)
def window_scale_of_15(bench: Bench) -> None:
    """Offload with SndWindScale and RcvWindScale 15; data flows if it is taken, in a window that exists."""
    chimneys, _ = one(bench)
    block = tcp(40001, SndWnd=1 << 20, MaxSndWnd=1 << 20)
    assert isinstance(block.const, nd.TCP_OFFLOAD_STATE_CONST)
    block.const.Flags = nd.TcpConstFlag.WINDOW_SCALING_ENABLED
    block.const.SndWindScale = block.const.RcvWindScale = 15
    statuses = chimneys.control("initiate", below(chimneys, block))
    if statuses[1] != OK:
        forget(chimneys, block)
        return
    connection = chimneys.connections[block.OffloadHandle]
    connection.receive(b"x", flags=PUSH, window=1)
    assert connection.query().SndWnd <= 1 << 14, f"a window of 1 counts as {connection.query().SndWnd}"
