"""TCP chimney, requests that meet something else: a card that stopped, one that is full, an abort."""

from __future__ import annotations

from typing import Any

from vnic.conformance.case import Feature, case
from vnic.conformance.groups.chimney import PUSH, drained, one
from vnic.conformance.groups.chimney_crossings import race_with_a_pause
from vnic.conformance.pages import chimney, ddi
from vnic.ndis import chimney as nd
from vnic.ndis.oob import TCP_RECEIVE_NO_PUSH
from vnic.ndis.states import AdapterState
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import ABORTED, OK, UPLOAD, tcp
from vnic.testbench.chimney.client import Offloader
from vnic.testbench.chimney.connection import Connection
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_SENT = ddi("nc-ndischimney-ndis_tcp_offload_send_complete", "ndischimney")
_RECEIVE = ddi("nc-ndischimney-w_tcp_offload_receive_handler", "ndischimney")
_INDICATE = ddi("nc-ndischimney-ndis_tcp_offload_receive_indicate", "ndischimney")
_DISCONNECT = ddi("nc-ndischimney-w_tcp_offload_disconnect_handler", "ndischimney")
_DELEGATED = ddi("ns-ndischimney-_tcp_offload_state_delegated", "ndischimney")
_PAUSE = chimney("ndis-status-offload-pause")
_SMALL: dict[str, Any] = {"device": {"chimney_work": 16}}
_URG = 0x20


@case(
    _SENT,
    "a send that the card refuses, for it has stopped, comes back with UPLOAD_IN_PROGRESS and all its bytes",
    Feature.CHIMNEY,
    **_SMALL,
)
def sends_for_a_card_that_has_stopped(bench: Bench) -> None:
    """Urgent data stops the connection; before the driver knows, sends in 1 to 13 pieces and a FIN."""
    _, connection = one(bench)
    data = [bytes([65 + n]) * (20 + n) for n in range(13)]
    bench.device.is_manual = True
    connection.receive(b"urgent", flags=PUSH | _URG, urgent=3, settles=False)
    bench.device.run()
    for n, each in enumerate(data):
        connection.send(each, cuts=range(1, n + 1), settles=False)
    connection.disconnect(b"end", settles=False)
    bench.device.run()
    bench.device.is_manual = False
    bench.settle()
    assert all(status == UPLOAD for status, _ in connection.told("sent")), f"{connection.told('sent')}"
    connection.terminate()
    assert [count for _, count in connection.told("sent")] == [0] * 13, f"{connection.told('sent')}"
    assert len(connection.told("disconnected")) == 1, f"{connection.told('disconnected')}"
    assert not [each for each in connection.sent() if each.payload], "data left a connection that has stopped"
    assert connection.state is not None
    assert (connection.state.SndUna, connection.state.SndMax) == (ISS, ISS), "sends that never left count"


@case(_RECEIVE, "a miniport accepts every receive, also more than the card holds", Feature.CHIMNEY, **_SMALL)
def more_receives_than_the_card_holds(bench: Bench) -> None:
    """Sixty receives of 20 bytes on each of two connections of a card that holds 16 pieces."""
    chimneys, first = one(bench)
    (second,) = chimneys.connect(tcp(40001))
    for connection in (first, second):
        connection.post(*[20] * 60, no_push=True)
    stream = bytes(n & 0xFF for n in range(1200))
    for at in range(0, 1200, 150):
        for connection in (first, second):
            connection.receive(stream[at : at + 150], flags=PUSH)
    for connection in (first, second):
        assert connection.told("received") == [(OK, 20)] * 60, f"{connection.told('received')}"
        assert connection.stream == stream, "the receives were not filled in order"
        connection.send(b"room")
        assert drained(connection) == b"room", "receives took the room of sends"


@case(
    _RECEIVE,
    "a receive may be in any number of MDLs; it is filled from the first to the last",
    Feature.CHIMNEY,
    **_SMALL,
)
def receives_in_pieces(bench: Bench) -> None:
    """Receives of 40 bytes in 1 to 14 MDLs on a card that holds 16 pieces; segments of 33 bytes."""
    chimneys, connection = one(bench)
    stream = bytes(n & 0xFF for n in range(14 * 40))
    for count in range(1, 15):
        nbl = chimneys.nbl(bytes(40), cuts=range(1, count))
        nbl.set_info(TCP_RECEIVE_NO_PUSH, 1)
        chimneys.call(lambda nbl=nbl: chimneys.calls.offload_tcp_receive(connection.handle, nbl))  # type: ignore[misc]
    for at in range(0, len(stream), 33):
        connection.receive(stream[at : at + 33], flags=PUSH)
    assert connection.told("received") == [(OK, 40)] * 14, f"{connection.told('received')}"
    assert connection.stream == stream, "bytes are missing, or at another place"


@case(
    _INDICATE,
    "the window opens by what the client consumes, though it takes only a part of each indication",
    Feature.CHIMNEY,
)
def windows_of_parts_that_are_taken(bench: Bench) -> None:
    """Segments of 1,000 bytes, two windows in all; the client takes 300 of each, then the rest."""
    chimneys, connection = one(bench)
    for _ in range(130):
        chimneys.client.accepts = lambda data: 300
        connection.receive(b"x" * 1000, flags=PUSH)
        chimneys.client.accepts = lambda data: None
        connection.post(0)
    assert len(connection.stream) == 130_000, f"{len(connection.stream)} of 130000 bytes came"
    chimneys.advance(1_000_000_000)
    edge = max((each.ack + each.window) % (1 << 32) for each in connection.sent()[-3:])
    left = (edge - connection.peer.seq) % (1 << 32)
    assert left >= 60_000, f"all is consumed, and the window is {left} of 65535"


@case(
    _RECEIVE,
    "a receive behind the peer's FIN ends with INVALID_STATE",
    Feature.CHIMNEY,
)
def receives_behind_the_fin(bench: Bench) -> None:
    """The peer closes, the host is told; it posts receives, before and after its own FIN; one crosses it."""
    chimneys, connection = one(bench)
    connection.receive(b"last", flags=PUSH | packet.FIN)
    assert connection.told("DISCONNECT"), "the FIN was not told"
    connection.post(10)
    connection.disconnect(b"bye")
    connection.post(10, 20)
    told = connection.told("received")
    assert told == [(NDIS_STATUS.INVALID_STATE, 0)] * 3, f"receives behind the FIN ended {told}"
    (other,) = chimneys.connect(tcp(40001))
    bench.device.is_manual = True
    other.receive(flags=packet.ACK | packet.FIN, settles=False)
    bench.device.run()
    other.post(10, settles=False)
    bench.device.run()
    bench.device.is_manual = False
    bench.settle()
    told = other.told("received")
    assert told == [(NDIS_STATUS.INVALID_STATE, 0)], f"one that crossed the FIN ended {told}"
    assert len(other.told("DISCONNECT")) == 1


@case(
    _DISCONNECT,
    "an abortive disconnect overtakes a graceful one: everything ends once, and the peer hears RST",
    Feature.CHIMNEY,
    **_SMALL,
)
def an_abort_behind_a_graceful_close(bench: Bench) -> None:
    """Sends, a receive, a graceful disconnect with data; some, none or all are in the card; abort."""
    chimneys, _ = one(bench)
    for turn, (count, acked) in enumerate(((0, 0), (3, 0), (3, 12), (24, 12))):
        (connection,) = chimneys.connect(tcp(40010 + turn))
        if count:
            connection.send(*[b"0123456789"] * count)
        connection.post(50, no_push=True)
        connection.disconnect(b"bye")
        connection.sent()
        connection.peer.ack += acked
        connection.receive()
        connection.disconnect(abortive=True)
        flags = [each.flags for each in connection.sent()]
        assert flags and flags[-1] & packet.RST, f"the peer hears no RST behind {count} sends: {flags}"
        sent = connection.told("sent")
        assert len(sent) == count, f"{len(sent)} of {count} sends ended"
        assert {status for status, _ in sent} <= {OK, ABORTED}, f"{sent}"
        assert [status for status, _ in sent].count(OK) == acked // 10, f"{acked} are acknowledged: {sent}"
        assert connection.told("disconnected")[-1] == (OK,), f"{connection.told('disconnected')}"
        assert len(connection.told("disconnected")) == 2, f"{connection.told('disconnected')}"
        assert connection.told("received") == [(ABORTED, 0)], f"{connection.told('received')}"


def _upload(chimneys: ChimneyBench, begun: list[Connection]) -> None:
    """Terminate what was offloaded; what was not is nobody's."""
    chimneys.settle()
    for other in begun:
        if other.block.Status != OK:
            chimneys.connections.pop(other.handle, None)
    chimneys.upload_all()


@case(
    _PAUSE,
    "an initiate that waits for the end of a pause fails when the NIC is removed",
    Feature.CHIMNEY,
    seeds=tuple(range(301, 307)),
    is_rough=True,
)
def an_initiate_that_waits_when_the_card_goes(bench: Bench) -> None:
    """An initiate races with a pause; then the card is pulled."""
    chimneys, _, begun = race_with_a_pause(bench)
    chimneys.settle()
    assert isinstance(chimneys.protocol, Offloader)
    chimneys.protocol.on_pause = lambda: _upload(chimneys, begun)
    bench.device.remove()
    bench.adapter.surprise_remove()
    bench.settle()
    assert bench.adapter.state is AdapterState.HALTED, f"the adapter is {bench.adapter.state.value}"
    for other in begun:
        assert other.block.Status is not None, "an initiate of a card that is gone was never completed"


@case(
    _DELEGATED,
    "the state of the timers is of the connection: what was given comes back while nothing happened",
    Feature.CHIMNEY,
)
def timers_that_come_back(bench: Bench) -> None:
    """A segment that was sent again twice, a keepalive probe that was sent once; terminate at once."""
    chimneys, _ = one(bench)
    timers: dict[str, Any] = {
        "Retransmit": nd.RetransmitState(2, 400),
        "KeepAlive": nd.KeepAliveState(1, 500),
    }
    block = tcp(40001, SndNxt=ISS + 50, SndMax=ISS + 50, **timers)
    block.NetBufferListChain = chimneys.nbl(b"5" * 50)
    (connection,) = chimneys.connect(block)
    connection.terminate()
    assert connection.state is not None
    found = connection.state.Retransmit.Count, connection.state.KeepAlive.ProbeCount
    assert found == (2, 1), f"Retransmit.Count and KeepAlive.ProbeCount are {found}"
