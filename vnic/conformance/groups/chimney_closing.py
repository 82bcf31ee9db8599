"""TCP chimney, closing: FINs that wait or were there before, objects that are lost, rings that stop."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.drive import OK as DONE
from vnic.conformance.drive import has_oid, tell
from vnic.conformance.groups.chimney import PUSH, below, drained, forget, named, one
from vnic.conformance.pages import chimney, ddi, guide
from vnic.gen.registers import BAR0
from vnic.ndis import chimney as nd
from vnic.ndis.offload import OffloadParameters, Switch
from vnic.ndis.oid import OID
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import (
    OK,
    STATE,
    TYPE,
    block_of,
    ending_of,
    tcp,
)
from vnic.testbench.chimney.connection import Connection
from vnic.testbench.frames import plain_frame
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_DISCONNECT = ddi("nc-ndischimney-w_tcp_offload_disconnect_handler", "ndischimney")
_STATE = ddi("ns-ndischimney-_tcp_offload_state_delegated", "ndischimney")
_LISTS = chimney("offload-block-lists")
_LOST = chimney("processing-events-that-occur-during-an-offload")
_PARAMETERS = guide("oid-tcp-offload-parameters")
_SMALL: dict[str, Any] = {"device": {"chimney_work": 16}}
_GRACEFUL = nd.TcpDisconnectFlag.GRACEFUL_CLOSE


@case(
    _DISCONNECT,
    "a disconnect may have data in any number of MDLs; the FIN is behind it",
    Feature.CHIMNEY,
    **_SMALL,
)
def disconnects_in_pieces(bench: Bench) -> None:
    """Disconnects with 40 bytes in 1 to 20 MDLs on a card that holds 16 pieces."""
    chimneys, _ = one(bench)
    data = bytes(range(40))
    for count in (1, 2, 3, 12, 14, 16, 17, 20):
        (connection,) = chimneys.connect(tcp(40100 + count))
        nbl = chimneys.nbl(data, cuts=range(1, count))
        chimneys.call(partial(chimneys.calls.offload_tcp_disconnect, connection.handle, nbl, _GRACEFUL))
        segments = connection.sent()
        assert b"".join(each.payload for each in segments) == data, f"{count} MDLs: other bytes left"
        assert segments[-1].flags & packet.FIN, f"{count} MDLs: no FIN behind them"
        connection.peer.ack += 41
        connection.receive()
        assert connection.told("disconnected") == [(OK,)], f"{count} MDLs: {connection.told('disconnected')}"
        connection.terminate()


@case(
    _DISCONNECT, "a disconnect that finds the card full waits, and its FIN leaves", Feature.CHIMNEY, **_SMALL
)
def a_disconnect_that_waits_for_others(bench: Bench) -> None:
    """One connection has all the room of the card; two others disconnect; then it is acknowledged."""
    chimneys, first = one(bench)
    others = chimneys.connect(tcp(40001), tcp(40002))
    first.send(*[b"0123456789"] * 30)
    first.sent()
    for number, other in enumerate(others):
        if number:
            other.send(b"before")
        other.disconnect(b"bye" * number)
    bench.transmitted.clear()
    assert not any(other.told("disconnected") for other in others)
    first.peer.ack = ISS + 120
    first.receive()
    assert len(drained(first)) == 180, "the rest of the first connection's data did not leave"
    for number, other in enumerate(others):
        assert drained(other) == (b"beforebye" if number else b""), "what was before the FIN did not leave"
        assert other.told("disconnected") == [(OK,)], f"{other.told('disconnected')}"


def _offloaded_closing(
    chimneys: ChimneyBench, port: int, state: nd.TCP_OFFLOAD_CONNECTION_STATE, data: bytes, is_sent: bool
) -> Connection | None:
    """A connection whose FIN, behind `data`, is acknowledged after the offload; None when it is refused."""
    last = ISS + (len(data) + 1 if is_sent else 0)
    block = tcp(port, State=state, SndNxt=last, SndMax=last)
    block.NetBufferListChain = chimneys.nbl(data) if data else None
    what = f"{state.name} with {len(data)} bytes, FIN {'sent' if is_sent else 'not sent'}"
    status = chimneys.control("initiate", below(chimneys, block))[1]
    if status != OK:
        assert not is_sent or state is not STATE.FIN_WAIT1, f"{what} was refused with {named([status])}"
        forget(chimneys, block)
        return None
    connection = chimneys.connections[block.OffloadHandle]
    if not is_sent:
        segments = connection.sent()
        assert segments and segments[-1].flags & packet.FIN, f"{what}: the FIN never leaves"
    connection.peer.ack = ISS + len(data) + 1
    connection.receive()
    assert not connection.told("disconnected"), f"{what}: a disconnect ends that nobody asked for"
    assert connection.told("sent") == [(OK, len(data))] * bool(data), f"{what}: {connection.told('sent')}"
    return connection


@case(
    _STATE,
    "a FIN that is on its way when the connection is offloaded is the target's to see through",
    Feature.CHIMNEY,
    **_SMALL,
)
def fins_of_the_state(bench: Bench) -> None:
    """FIN_WAIT1, CLOSING and LAST_ACK, with data and without, the FIN sent or not; it is acknowledged."""
    chimneys, first = one(bench)
    after = {STATE.FIN_WAIT1: STATE.FIN_WAIT2, STATE.CLOSING: STATE.TIME_WAIT, STATE.LAST_ACK: STATE.CLOSED}
    for number, (state, data, is_sent) in enumerate(product(after, (b"", b"left"), (True, False))):
        connection = _offloaded_closing(chimneys, 40100 + number, state, data, is_sent)
        if connection is None:
            continue
        connection.terminate()
        found = connection.state
        assert found is not None
        assert found.SndUna == ISS + len(data) + 1, f"{state.name}: SndUna is not behind the FIN"
        assert found.State in (after[state], STATE.CLOSED), f"{state.name}: then {found.State.name}"
    for number in range(14):
        closing = _offloaded_closing(chimneys, 40200 + number, STATE.FIN_WAIT1, b"", True)
        assert closing is not None
        closing.disconnect(abortive=True)
        assert closing.told("disconnected") == [(OK,)], (
            f"an abort in FIN_WAIT2: {closing.told('disconnected')}"
        )
    first.send(*[b"0123456789"] * 30)
    assert drained(first) == b"0123456789" * 30, "what closed before has left no room in the card"


@case(
    _LISTS,
    "a block without a handle is a placeholder: what hangs on it counts, it has no context",
    Feature.CHIMNEY,
)
def blocks_that_hold_a_place(bench: Bench) -> None:
    """A placeholder above the path: a connection is offloaded, and ended with the path in one tree."""
    chimneys, first = one(bench)
    block = tcp(40001)
    statuses = chimneys.control("initiate", block_of(TYPE.NONE, below(chimneys, block)))
    assert statuses == [OK] * 3, named(statuses)
    (second,) = (each for each in chimneys.connections.values() if each is not first)
    assert chimneys.path_block is not None and chimneys.neighbour_block is not None
    endings = [each.ending() for each in (first, second)]
    upper = ending_of(chimneys.path_block)
    upper.DependentBlockList, endings[0].NextBlock = endings[0], endings[1]
    statuses = chimneys.control("terminate", block_of(TYPE.NONE, upper))
    assert statuses == [OK] * 4, named(statuses)
    (status,) = chimneys.control("terminate", ending_of(chimneys.neighbour_block))
    assert status == OK, named([status])
    chimneys.connections.clear()
    chimneys.path_block = chimneys.neighbour_block = None


@case(
    _LOST,
    "whatever is asked of objects that a reset has lost, it is completed, and not with SUCCESS",
    Feature.CHIMNEY,
)
def what_is_asked_of_lost_objects(bench: Bench) -> None:
    """Offload, reset the adapter; query, update and invalidate what was lost; then terminate it."""
    chimneys, connection = one(bench)
    chimneys.adapter.reset()
    chimneys.settle()
    assert chimneys.path_block is not None
    handles = connection.handle, chimneys.path_block.OffloadHandle
    asked = [
        block_of(TYPE.TCP_DELEGATED, handle=handles[0], delegated=nd.TCP_OFFLOAD_STATE_DELEGATED()),
        block_of(TYPE.IP4_PATH_DELEGATED, handle=handles[1], delegated=nd.PATH_OFFLOAD_STATE_DELEGATED()),
    ]
    for block in asked:
        (status,) = chimneys.control("query", block)
        assert status not in (OK, None), f"a query of what is lost ended {named([status])}"
    cached = block_of(TYPE.IP4_PATH_CACHED, handle=handles[1], cached=nd.PATH_OFFLOAD_STATE_CACHED(1400))
    (status,) = chimneys.control("update", cached)
    assert status not in (OK, None), f"an update of what is lost ended {named([status])}"
    (status,) = chimneys.control("invalidate", block_of(TYPE.NONE, handle=handles[1]))
    assert status is not None, "an invalidate of what is lost was not completed"
    block = tcp(40007)
    statuses = chimneys.control("initiate", below(chimneys, block))
    assert OK not in statuses, f"a connection was offloaded below a path that is lost: {named(statuses)}"
    forget(chimneys, block)


@case(
    _PARAMETERS,
    "TcpConnectionIPv4 and TcpConnectionIPv6 switch connection offload of their own IP version, off and on",
    Feature.CHIMNEY,
)
def connection_offload_off_and_on(bench: Bench) -> None:
    """All is taken back; connection offload of IPv4 is switched off, and on; that of IPv6 off alone."""
    if not has_oid(bench, OID.TCP_OFFLOAD_PARAMETERS):
        raise NotSupported("OID_TCP_OFFLOAD_PARAMETERS")
    chimneys, _ = one(bench)
    for number, (four, six) in enumerate(
        (
            (Switch.DISABLED, Switch.NO_CHANGE),
            (Switch.ENABLED, Switch.DISABLED),
            (Switch.NO_CHANGE, Switch.ENABLED),
        )
    ):
        chimneys.upload_all()
        chimneys.connections.clear()
        chimneys.transmitted.clear()
        wanted = OffloadParameters(tcp_connection_ipv4=four, tcp_connection_ipv6=six)
        assert tell(bench, OID.TCP_OFFLOAD_PARAMETERS, wanted.pack()) == DONE
        if four is Switch.DISABLED:
            continue
        (again,) = chimneys.connect(tcp(40002 + number))
        again.send(b"works")
        assert again.acknowledge() == b"works"


@case(
    _LOST,
    "a receive ring that stops is put right, and connections are lost with a word, or go on",
    Feature.CHIMNEY,
    is_rough=True,
)
def a_ring_that_stops_beside_connections(bench: Bench) -> None:
    """Each ring of the card stops in turn, with sends and receives outstanding; then all works again."""
    chimneys, _ = one(bench)
    tails = (
        *(BAR0.QP_RX_TAIL.at(0), BAR0.QP_TX_TAIL.at(0), BAR0.QP_RX_TAIL.at(1)),
        *(BAR0.CHQ_POOL_TAIL.at(0), BAR0.CHM_ADMIN_TAIL.offset),
    )
    for number, tail in enumerate(tails):
        chimneys.upload_all()
        chimneys.connections.clear()
        chimneys.transmitted.clear()
        (connection,) = chimneys.connect(tcp(41000 + number))
        connection.send(b"unacknowledged")
        connection.post(50, no_push=True)
        bench.device.write32(tail, 1 << 20)
        chimneys.settle()
        chimneys.advance(1_000_000_000)
        lost = connection.told("RETRIEVE") or connection.told("ABORT")
        if not lost:
            connection.receive(b"x" * 50, flags=PUSH)
            assert connection.told("received") == [(OK, 50)], f"tail {tail:#x}: neither lost nor alive"
        _still_works(chimneys, 42000 + number)


def _still_works(chimneys: ChimneyBench, port: int) -> None:
    chimneys.upload_all()
    chimneys.connections.clear()
    chimneys.transmitted.clear()
    (again,) = chimneys.connect(tcp(port))
    again.send(b"works")
    assert again.acknowledge() == b"works"
    again.receive(b"comes", flags=PUSH)
    assert again.stream == b"comes"
    before = len(chimneys.received)
    chimneys.receive(plain_frame(100, 1, chimneys.station))
    chimneys.settle()
    assert len(chimneys.received) == before + 1, "frames of the plain path do not come"
