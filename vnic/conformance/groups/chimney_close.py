"""TCP chimney, ends and exceptions: disconnects, FIN, RST, urgent data, and who is told what."""

from __future__ import annotations

from vnic.conformance.case import Feature, case
from vnic.conformance.groups.chimney import PUSH, below, drained, one
from vnic.conformance.pages import chimney, ddi
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.blocks import ABORTED, EVENT, OK, REASON, STATE, TYPE, block_of, tcp
from vnic.testbench.chimney.connection import Connection
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_DISCONNECT = ddi("nc-ndischimney-w_tcp_offload_disconnect_handler", "ndischimney")
_EVENT = ddi("nc-ndischimney-ndis_tcp_offload_event_indicate", "ndischimney")
_URGENT = chimney("handling-the-reception-of-urgent-data")
FIN = packet.ACK | packet.FIN


def events(connection: Connection, *kinds: str) -> list[tuple[object, ...]]:
    """What the client was told, of some kinds, in order."""
    return [entry for entry in connection.log if entry[0] in kinds]


@case(
    _DISCONNECT,
    "a graceful disconnect sends the FIN behind every byte, and completes when it is acknowledged",
    Feature.CHIMNEY,
)
def graceful_disconnect(bench: Bench) -> None:
    """Send, disconnect with 3 more bytes, acknowledge all but the FIN, then the FIN."""
    _, connection = one(bench)
    connection.send(b"s" * 500)
    connection.disconnect(b"bye")
    segments = connection.sent()
    last = segments[-1]
    assert last.flags & packet.FIN, "no FIN"
    end = last.seq + len(last.payload)
    assert end == ISS + 503, f"the FIN stands {end - ISS} bytes behind the first, not 503"
    connection.peer.ack = ISS + 503
    connection.receive()
    assert not connection.told("disconnected"), "the disconnect completed before its FIN was acknowledged"
    connection.peer.ack += 1
    connection.receive()
    assert connection.told("disconnected") == [(OK,)]
    kinds = [entry[0] for entry in events(connection, "sent", "disconnected")]
    assert kinds == ["sent", "disconnected"], "the disconnect completed before a send"
    assert connection.query().State == STATE.FIN_WAIT2


@case(
    _DISCONNECT,
    "an abortive disconnect sends RST, and everything outstanding ends REQUEST_ABORTED",
    Feature.CHIMNEY,
)
def abortive_disconnect(bench: Bench) -> None:
    """With a send and a receive outstanding, abort; then the peer speaks."""
    _, connection = one(bench)
    connection.send(b"a" * 100)
    connection.post(50)
    connection.sent()
    connection.disconnect(abortive=True)
    assert [each.flags & packet.RST for each in connection.sent()] == [packet.RST], (
        "no RST, or more than one segment"
    )
    ends = events(connection, "sent", "received", "disconnected")
    assert sorted(ends[:-1], key=str) == [("received", ABORTED, 0), ("sent", ABORTED, 0)], f"{ends}"
    assert ends[-1] == ("disconnected", OK)
    connection.receive(b"late", flags=PUSH)
    assert not connection.sent(), "a segment was sent after the abort"


@case(_EVENT, "the peer's FIN is told once, when every byte before it is consumed", Feature.CHIMNEY)
def fin_of_the_peer(bench: Bench) -> None:
    """The client refuses the last 4 bytes; the FIN comes; it posts 3, then 3."""
    chimneys, connection = one(bench)
    chimneys.client.accepts = lambda data: 0
    connection.receive(b"last", flags=PUSH)
    connection.receive(flags=FIN)
    assert not connection.told("DISCONNECT"), "TcpIndicateDisconnect before the data"
    connection.post(3)
    assert not connection.told("DISCONNECT"), "TcpIndicateDisconnect before the last byte"
    connection.post(3)
    assert len(connection.told("DISCONNECT")) == 1, "TcpIndicateDisconnect did not come"
    connection.post(3)
    assert connection.told("received")[-1] == (NDIS_STATUS.INVALID_STATE, 0), "a receive behind the FIN"
    assert connection.query().State == STATE.CLOSE_WAIT


@case(_EVENT, "after the peer's FIN the host can still send, and then close", Feature.CHIMNEY)
def sends_after_the_peer_s_fin(bench: Bench) -> None:
    """The peer closes; the host sends 2,000 bytes and closes."""
    _, connection = one(bench)
    connection.receive(flags=FIN)
    connection.send(b"z" * 2000)
    connection.disconnect()
    assert drained(connection) == b"z" * 2000
    assert connection.told("sent") == [(OK, 2000)]
    assert connection.told("disconnected") == [(OK,)]


@case(
    _EVENT,
    "an acceptable RST is told as TcpIndicateAbort, first; everything outstanding ends",
    Feature.CHIMNEY,
)
def reset_by_the_peer(bench: Bench) -> None:
    """With sends and receives outstanding, the peer resets."""
    _, connection = one(bench)
    connection.send(b"a" * 100, b"b" * 100)
    connection.post(50, 20)
    connection.sent()
    connection.receive(flags=packet.RST | packet.ACK, ack=ISS + 130)
    ends = events(connection, "ABORT", "sent", "received")
    assert ends[0][0] == "ABORT", f"{ends[0]} came first"
    assert [entry[1] for entry in ends[1:]] == [ABORTED] * 4, f"{ends}"
    assert not connection.sent(), "an RST was answered"


@case(
    chimney("responding-to-the-reception-of-a-fin-or-rst-segment"),
    "an RST out of the window is ignored; one in it and not at RcvNxt is challenged",
    Feature.CHIMNEY,
)
def blind_resets(bench: Bench) -> None:
    """RSTs far out of the window, and in it; data still flows."""
    _, connection = one(bench)
    start = connection.peer.seq
    connection.receive(flags=packet.RST | packet.ACK, seq=(start + (1 << 30)) % (1 << 32))
    assert not connection.told("ABORT"), "an RST out of the window aborted the connection"
    assert not connection.sent(), "an RST out of the window was answered"
    for _ in range(3):
        connection.receive(flags=packet.RST | packet.ACK, seq=start + 100)
    assert not connection.told("ABORT"), "an RST that is not at RcvNxt aborted the connection"
    challenges = connection.sent()
    assert len(challenges) <= 1, f"{len(challenges)} challenge ACKs"
    connection.receive(b"fine", flags=PUSH)
    assert connection.stream == b"fine"


@case(_URGENT, "valid urgent data has the connection uploaded, and is not acknowledged", Feature.CHIMNEY)
def urgent_data(bench: Bench) -> None:
    """A segment with URG comes; the card asks for the upload; no ACK passes the segment."""
    _, connection = one(bench)
    connection.receive(b"before", flags=PUSH)
    connection.sent()
    start = connection.peer.seq
    connection.receive(b"urgent", flags=PUSH | 0x20, urgent=3)
    assert connection.told(EVENT.RETRIEVE.name) == [(REASON.RECEIVED_URGENT_DATA,)], f"{connection.log}"
    assert all(each.ack <= start for each in connection.sent()), "urgent data was acknowledged"
    connection.terminate()
    assert connection.state is not None and connection.state.RcvNxt == start


@case(
    ddi("nc-ndischimney-w_tcp_offload_forward_handler", "ndischimney"),
    "a segment that the host forwards counts as received",
    Feature.CHIMNEY,
)
def forwarded_segments(bench: Bench) -> None:
    """Forward two segments, in order; the next comes by the wire."""
    _, connection = one(bench)
    connection.forward(connection.peer.tcp(b"first", flags=PUSH))
    connection.peer.seq += 5
    connection.forward(connection.peer.tcp(b"second", flags=PUSH))
    connection.peer.seq += 6
    connection.receive(b"third", flags=PUSH)
    assert connection.stream == b"firstsecondthird", f"{connection.stream!r} came"
    assert connection.told("forwarded") == [(OK,)] * 2


@case(
    chimney("processing-events-that-occur-during-an-offload"),
    "nothing is told of a connection before its initiate has completed",
    Feature.CHIMNEY,
)
def data_that_comes_at_once(bench: Bench) -> None:
    """The peer's data is there the moment the card has the connection."""
    chimneys, _ = one(bench)
    assert chimneys.path_block is not None
    block = tcp(40001)
    connection = chimneys.enlist(block)
    chimneys.device.is_manual = True
    root = block_of(TYPE.NONE, block, handle=chimneys.path_block.OffloadHandle)
    chimneys.control("initiate", root, settles=False)
    chimneys.device.run()
    connection.receive(b"at once", flags=PUSH, settles=False)
    chimneys.device.run()
    chimneys.device.is_manual = False
    chimneys.settle()
    assert connection.stream == b"at once"


@case(
    chimney("receive-side-scaling-on-an-offloaded-tcp-connection"),
    "an offloaded connection comes up where its HashValue and the table say",
    Feature.CHIMNEY,
    Feature.RSS,
    queues=4,
    cpus=4,
)
def processor_of_a_connection(bench: Bench) -> None:
    """With RSS on, offload connections with hash values 0 to 7; each is indicated where its table says."""
    chimneys, _ = one(bench)
    table = (3, 1, 2, 0)
    assert chimneys.set_rss(table) == OK
    blocks = [tcp(44000 + n, hash_value=n) for n in range(8)]
    assert chimneys.control("initiate", below(chimneys, *blocks)) == [OK] * 9
    for number, block in enumerate(blocks):
        connection = chimneys.connections[block.OffloadHandle]
        connection.receive(b"where?", flags=PUSH)
        assert set(connection.cpus) == {table[number & 3]}, f"hash {number} came up on {set(connection.cpus)}"
