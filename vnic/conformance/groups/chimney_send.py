"""TCP chimney, sends: every byte once and in order, completed when it is acknowledged."""

from __future__ import annotations

import itertools

from vnic.conformance.case import Feature, case
from vnic.conformance.groups.chimney import below, drained, one
from vnic.conformance.pages import chimney, ddi
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.blocks import EVENT, OK, tcp
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_SEND = ddi("nc-ndischimney-w_tcp_offload_send_handler", "ndischimney")
_SENT = ddi("nc-ndischimney-ndis_tcp_offload_send_complete", "ndischimney")
_PROTOCOL = chimney("required-and-suggested-tcp-ip-protocol-support")
FIN = packet.ACK | packet.FIN
MS = 1_000_000


@case(_SENT, "a send completes when its last byte is acknowledged, and not before; in order", Feature.CHIMNEY)
def sends_complete_when_acknowledged(bench: Bench) -> None:
    """Send 700, 0, 700 and 10 bytes; acknowledge 699, one more, and all."""
    _, connection = one(bench)
    connection.send(b"a" * 700, b"", b"b" * 700)
    connection.send(b"c" * 10)
    connection.sent()
    wanted = [(OK, 700), (OK, 0), (OK, 700), (OK, 10)]
    for acknowledged, count in ((0, 0), (699, 0), (700, 2), (1399, 2), (1410, 4)):
        connection.peer.ack = ISS + acknowledged
        connection.receive()
        told = connection.told("sent")
        assert told == wanted[:count], (
            f"with {acknowledged} bytes acknowledged {len(told)} sends are complete: {told}"
        )


@case(
    _SEND,
    "a miniport accepts every send: what its hardware has no room for waits in it",
    Feature.CHIMNEY,
    device={"chimney_work": 16},
)
def more_sends_than_the_card_holds(bench: Bench) -> None:
    """Send 200 NBLs in pieces on each of two connections of a card that holds 16 pieces."""
    chimneys, one_ = one(bench)
    assert chimneys.control("initiate", below(chimneys, tcp(40001))) == [OK, OK]
    other = next(each for each in chimneys.connections.values() if each is not one_)
    data = [bytes([n]) * (40 + n) for n in range(200)]
    for each in (one_, other):
        each.send(*data, cuts=(1, 2, 3, 4), settles=False)
    chimneys.settle()
    got = {one_: b"", other: b""}
    for _ in range(400):
        for each in (one_, other):
            got[each] += each.acknowledge()
    for each in (one_, other):
        assert got[each] == b"".join(data), "what left is not what was sent"
        assert each.told("sent") == [(OK, 40 + n) for n in range(200)], "not every send completed in order"
        assert not each.told(EVENT.RETRIEVE.name), "the card asked for the connection's upload"


@case(_SEND, "data may be in any number of MDLs", Feature.CHIMNEY, device={"chimney_work": 16})
def a_send_in_many_pieces(bench: Bench) -> None:
    """Send 3,000 bytes in 300 MDLs on a card that holds 16 pieces."""
    _, connection = one(bench)
    data = bytes(n & 0xFF for n in range(3000))
    connection.send(data, b"tail", cuts=[7] * 300)
    assert drained(connection) == data + b"tail"
    assert connection.told("sent") == [(OK, 3000), (OK, 4)]


@case(_PROTOCOL, "what is lost is sent again", Feature.CHIMNEY)
def retransmission(bench: Bench) -> None:
    """The peer hears nothing of 500 bytes; after the retransmission timeout they come again, the same."""
    chimneys, connection = one(bench)
    connection.send(b"lost" * 125)
    (first,) = connection.sent()
    chimneys.advance(3_500 * MS)
    again = [each for each in connection.sent() if each.payload]
    assert again, "nothing was sent again in 3.5 s"
    assert (again[0].seq, again[0].payload[:500]) == (first.seq, first.payload)
    connection.peer.ack += 500
    connection.receive()
    assert connection.told("sent") == [(OK, 500)]


@case(
    _PROTOCOL, "a window of 0 holds data back; it is probed, and data goes on when it opens", Feature.CHIMNEY
)
def zero_window(bench: Bench) -> None:
    """The peer closes its window, 30 s go by, it opens it."""
    chimneys, connection = one(bench)
    connection.receive(window=0)
    connection.sent()
    connection.send(b"w" * 400)
    assert sum(len(each.payload) for each in connection.sent()) <= 1, "data was sent into a window of 0"
    chimneys.advance(30_000 * MS)
    assert connection.sent(), "the window of 0 was never probed"
    connection.receive(window=65535)
    chimneys.advance(5_000 * MS)
    sent = {each.seq: each.payload for each in connection.sent() if each.payload}
    assert max(len(payload) for payload in sent.values()) >= 399, "the data did not go on"
    connection.peer.ack += 400
    connection.receive()
    assert connection.told("sent") == [(OK, 400)]


@case(_SEND, "send data that comes with the connection goes before anything newer", Feature.CHIMNEY)
def send_data_of_the_state(bench: Bench) -> None:
    """Offload with 240 bytes of send data, 120 of them under way, and send more."""
    chimneys, _ = one(bench)
    block = tcp(40001, SndNxt=ISS + 50, SndMax=ISS + 120)
    nbls = [chimneys.nbl(bytes([n]) * 60) for n in range(4)]
    for nbl, following in itertools.pairwise(nbls):
        nbl.next = following
    block.NetBufferListChain = nbls[0]
    assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
    connection = chimneys.connections[block.OffloadHandle]
    connection.send(b"newer")
    first, *_ = connection.sent()
    assert first.seq == ISS + 50, (
        f"the first segment starts {first.seq - ISS} bytes behind SndUna, SndNxt is 50"
    )
    connection.peer.ack = ISS + 245
    connection.receive()
    assert connection.told("sent") == [(OK, 60)] * 4 + [(OK, 5)]


@case(_PROTOCOL, "what is lost is sent again, from wherever in memory it is", Feature.CHIMNEY)
def retransmission_of_pieces(bench: Bench) -> None:
    """Send 3,000 bytes in 40 MDLs; of three segments the second is lost; it comes again, byte for byte."""
    chimneys, connection = one(bench)
    data = bytes(n * 31 & 0xFF for n in range(3000))
    connection.send(data, cuts=[75] * 39)
    segments = [each for each in connection.sent() if each.payload]
    assert b"".join(each.payload for each in segments) == data, "what left is not what was sent"
    first = segments[0]
    connection.peer.ack = first.seq + len(first.payload)
    for _ in range(4):
        connection.receive()
    chimneys.advance(500 * MS)
    again = [each for each in connection.sent() if each.payload]
    assert again, "nothing was sent again"
    for each in again:
        start = each.seq - ISS
        assert each.payload == data[start : start + len(each.payload)], f"other bytes at {start}"
    connection.peer.ack = ISS + 3000
    connection.receive()
    assert connection.told("sent") == [(OK, 3000)]
