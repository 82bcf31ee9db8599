"""TCP chimney, receives: posted buffers, indications, what is refused, and what is kept."""

from __future__ import annotations

from vnic.conformance.case import Feature, case
from vnic.conformance.groups.chimney import PUSH, below, one
from vnic.conformance.pages import chimney, ddi
from vnic.ndis.net_buffer_list import walk
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.blocks import OK, bytes_of, tcp
from vnic.wire import packet

_RECEIVE = ddi("nc-ndischimney-w_tcp_offload_receive_handler", "ndischimney")
_INDICATE = ddi("nc-ndischimney-ndis_tcp_offload_receive_indicate", "ndischimney")
_RETURN = ddi("nc-ndischimney-w_tcp_offload_receive_return_handler", "ndischimney")
_DELIVERY = chimney("delivery-algorithm")
_PROTOCOL = chimney("required-and-suggested-tcp-ip-protocol-support")
_BUFFERED = chimney("terminate-offload-initiated-by-the-host-stack")
FIN = packet.ACK | packet.FIN
MS = 1_000_000


@case(_RECEIVE, "posted receives are filled in order, without a gap", Feature.CHIMNEY)
def receives_are_filled_in_order(bench: Bench) -> None:
    """Post receives of 1 to 20 bytes; 210 bytes come in segments of 13."""
    _, connection = one(bench)
    connection.post(*range(1, 21), no_push=True)
    data = bytes(range(210))
    for start in range(0, 210, 13):
        connection.receive(data[start : start + 13], flags=packet.ACK)
    assert connection.stream == data, "what was placed is not what came"
    assert connection.told("received") == [(OK, n) for n in range(1, 21)], f"{connection.told('received')}"


@case(_DELIVERY, "without TcpReceiveNoPush a receive completes at PSH, or by the push timer", Feature.CHIMNEY)
def push_completes_a_receive(bench: Bench) -> None:
    """Post receives of 10, with and without TcpReceiveNoPush; data comes with PSH and without."""
    chimneys, connection = one(bench)
    connection.post(10, 10, no_push=True)
    connection.receive(b"12345", flags=PUSH)
    assert not connection.told("received"), "a receive with TcpReceiveNoPush completed before it was full"
    connection.receive(b"67890abcdefghij", flags=PUSH)
    assert connection.told("received") == [(OK, 10)] * 2
    connection.post(10, 10)
    connection.receive(b"xyz", flags=PUSH)
    assert connection.told("received")[2:] == [(OK, 3)], "PSH did not complete the receive"
    connection.receive(b"u", flags=packet.ACK)
    assert len(connection.told("received")) == 3, "a receive completed without PSH, and not full"
    chimneys.advance(5_000 * MS)
    assert connection.told("received")[3:] == [(OK, 1)], "the push timer did not complete the receive"


@case(_INDICATE, "without a posted receive, data is indicated", Feature.CHIMNEY)
def data_without_a_receive(bench: Bench) -> None:
    """Twenty segments come; the client takes and returns each."""
    _, connection = one(bench)
    data = b""
    for number in range(20):
        part = bytes([number]) * (50 + number)
        data += part
        connection.receive(part, flags=PUSH)
    assert connection.stream == data
    assert not connection.told("received")


@case(_DELIVERY, "while a posted receive is there, nothing is indicated", Feature.CHIMNEY)
def receives_come_before_indications(bench: Bench) -> None:
    """Post receives ahead of every segment."""
    _, connection = one(bench)
    connection.post(*[100] * 10, no_push=True)
    for number in range(10):
        connection.receive(bytes([number]) * 100, flags=PUSH)
    assert not connection.told("indicate"), "data was indicated with a receive posted"
    assert connection.told("received") == [(OK, 100)] * 10


@case(_INDICATE, "refused data is kept, and not indicated again before a receive is posted", Feature.CHIMNEY)
def refused_data(bench: Bench) -> None:
    """The client refuses; more comes; it posts 4 of 6 bytes, then nothing, then all."""
    chimneys, connection = one(bench)
    chimneys.client.accepts = lambda data: 0
    connection.receive(b"one", flags=PUSH)
    connection.receive(b"two", flags=PUSH)
    assert len(connection.told("indicate")) == 1, "refused data was indicated again without a receive"
    connection.post(4)
    assert connection.stream == b"onet", f"{connection.stream!r} was placed"
    chimneys.client.accepts = lambda data: None
    connection.post(0)
    connection.receive(b"three", flags=PUSH)
    assert connection.stream == b"onetwothree", f"{connection.stream!r} came"
    assert connection.told("received") == [(OK, 4), (OK, 0)]


@case(_INDICATE, "of partly accepted data the rest comes next, from where it stopped", Feature.CHIMNEY)
def partly_accepted_data(bench: Bench) -> None:
    """The client takes 2 of 6 bytes, posts 3, then takes the rest."""
    chimneys, connection = one(bench)
    chimneys.client.accepts = lambda data: 2
    connection.receive(b"abcdef", flags=PUSH)
    assert connection.stream == b"ab"
    connection.post(3, no_push=True)
    assert connection.told("received") == [(OK, 3)], f"{connection.told('received')}"
    chimneys.client.accepts = lambda data: None
    connection.post(0)
    assert connection.stream == b"abcdef", f"{connection.stream!r} came"


@case(
    _RETURN,
    "an indicated NBL is the client's until it returns it; its return opens the window",
    Feature.CHIMNEY,
)
def kept_indications(bench: Bench) -> None:
    """The client keeps 40 indications of 1,000 bytes; what it keeps stays as it was; it returns them."""
    chimneys, connection = one(bench)
    chimneys.client.returns = False
    for number in range(40):
        connection.receive(bytes([number]) * 1000, flags=PUSH)
    kept = [bytes_of(nbl) for _, nbl in chimneys.client.kept]
    assert b"".join(kept) == b"".join(bytes([n]) * 1000 for n in range(40)), "kept data has changed"
    assert connection.query().ReceiveBacklogSize == 40_000
    narrow = connection.sent()[-1].window
    chimneys.client.give_back()
    chimneys.settle()
    assert connection.query().ReceiveBacklogSize == 0
    assert connection.sent()[-1].window > narrow, "the window did not open"


@case(
    _PROTOCOL,
    "segments out of order are put in order, and what comes twice is delivered once",
    Feature.CHIMNEY,
)
def segments_out_of_order(bench: Bench) -> None:
    """Ten segments of 100 come in reverse, the first of them three times."""
    _, connection = one(bench)
    parts = [bytes([n]) * 100 for n in range(10)]
    start = connection.peer.seq
    for number in [*range(9, 0, -1), 9, 9, 0]:
        connection.receive(parts[number], flags=PUSH, seq=start + 100 * number)
    connection.peer.seq = start + 1000
    for number in range(9):  # what a card need not keep, the peer sends again
        connection.receive(parts[number + 1], flags=PUSH, seq=start + 100 * (number + 1))
    assert connection.stream == b"".join(parts), f"{len(connection.stream)} bytes came, or in another order"


@case(
    _BUFFERED,
    "BufferedData that comes with the connection is delivered before anything newer",
    Feature.CHIMNEY,
)
def buffered_data_of_the_state(bench: Bench) -> None:
    """Offload with 9 bytes that the host has not consumed, and let the peer send."""
    chimneys, _ = one(bench)
    block = tcp(40001, RcvWnd=60000, BufferedData=chimneys.nbl(b"old bytes"))
    assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
    connection = chimneys.connections[block.OffloadHandle]
    connection.receive(b"new", flags=PUSH)
    assert connection.stream == b"old bytesnew", f"{connection.stream!r} came"


@case(_BUFFERED, "what was received and not consumed goes back in BufferedData", Feature.CHIMNEY)
def buffered_data_at_the_end(bench: Bench) -> None:
    """The client refuses; it posts a part; terminate: the rest is in BufferedData, RcvNxt behind it."""
    chimneys, connection = one(bench)
    chimneys.client.accepts = lambda data: 0
    connection.receive(b"received", flags=PUSH)
    connection.post(3, no_push=True)
    connection.terminate()
    state = connection.state
    assert state is not None
    left = b"".join(bytes_of(nbl) for nbl in walk(state.BufferedData))
    assert connection.stream + left == b"received", (
        f"{connection.stream!r} consumed, {left!r} in BufferedData"
    )
    assert state.RcvNxt == connection.peer.seq
    if state.BufferedData is not None:
        chimneys.client.kept.append((connection.handle, state.BufferedData))


@case(_RECEIVE, "data that a late receive consumes opens the window, as any does", Feature.CHIMNEY)
def late_receives_open_the_window(bench: Bench) -> None:
    """The client refuses until the window is full, then posts receives; more than a window comes through."""
    chimneys, connection = one(bench)
    chimneys.client.accepts = lambda data: 0
    sent = b""
    for number in range(200):
        window = connection.query().RcvWnd
        if window < 1000:
            break
        part = bytes([number]) * 1000
        connection.receive(part, flags=PUSH)
        sent += part
    assert len(sent) > 40_000, f"the window closed after {len(sent)} bytes"
    for _ in range(len(sent) // 8192 + 1):
        connection.post(8192)
    chimneys.advance(1_000_000_000)
    assert connection.stream == sent, f"{len(connection.stream)} of {len(sent)} bytes came"
    chimneys.client.accepts = lambda data: None
    connection.receive(b"more", flags=PUSH)
    chimneys.advance(1_000_000_000)
    assert connection.query().RcvWnd > 40_000, (
        f"the window is {connection.query().RcvWnd} after all was consumed"
    )


@case(_PROTOCOL, "a segment whose checksum is wrong is as one that never came", Feature.CHIMNEY)
def bad_checksums(bench: Bench) -> None:
    """A segment with a wrong TCP checksum, one with a wrong IPv4 header checksum, then the right one."""
    _, connection = one(bench)
    start = connection.peer.seq
    good = connection.peer.frame(b"spoilt", flags=PUSH)
    for at in (len(good) - 1, 14 + 8):  # the payload; TTL
        bad = good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :]
        connection.bench.receive(bad)
        connection.bench.settle()
    assert connection.stream == b"", "data with a wrong checksum was delivered"
    assert all(each.ack == start for each in connection.sent()), "data with a wrong checksum was acknowledged"
    connection.receive(b"spoilt", flags=PUSH)
    assert connection.stream == b"spoilt"
