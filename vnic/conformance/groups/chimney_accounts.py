"""TCP chimney, accounts: however requests end, every byte is reported once, as what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vnic.conformance.case import Feature, NotSupported, case
from vnic.conformance.groups.chimney import PUSH, below, drained, one
from vnic.conformance.pages import chimney, ddi
from vnic.errors import CapacityError
from vnic.host.bus import Direction, Segment
from vnic.ndis.net_buffer_list import NetBufferList, walk
from vnic.testbench.bench import Bench
from vnic.testbench.chimney.bench import ChimneyBench
from vnic.testbench.chimney.blocks import ABORTED, EVENT, OK, UPLOAD, Block, bytes_of, tcp
from vnic.testbench.chimney.connection import Connection
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

_SENT = ddi("nc-ndischimney-ndis_tcp_offload_send_complete", "ndischimney")
_RECEIVED = ddi("nc-ndischimney-ndis_tcp_offload_receive_complete", "ndischimney")
_TERMINATED = ddi("nf-ndischimney-ndismterminateoffloadcomplete", "ndischimney")
_SHORTAGE = chimney("terminating-the-offload-of-a-connection-because-of-resource-constraint")
_RST = packet.RST | packet.ACK
_SMALL: dict[str, Any] = {"device": {"chimney_work": 16}}
_PARTS = [bytes([65 + n]) * (60 + 10 * n) for n in range(24)]


def _agrees(connection: Connection, data: list[bytes], nbls: list[NetBufferList], acked: int) -> None:
    """Sends end in order: whole ones with SUCCESS, then one in part at most, then nothing transferred.

    acked: bytes that the peer acknowledged. What is left of an NBL is what was not transferred.
    """
    told = connection.told("sent")
    assert len(told) <= len(data), f"{len(told)} completions of {len(data)} sends"
    done, has_failed = 0, False
    for (status, count), whole, nbl in zip(told, data, nbls, strict=False):
        if status == OK:
            assert not has_failed, "a send succeeds behind one that did not"
            assert count == len(whole), f"SUCCESS with {count} of {len(whole)} bytes"
        else:
            assert not (has_failed and count), f"{count} bytes transferred behind a send that failed"
            has_failed = True
        assert bytes_of(nbl) == whole[count:], (
            f"of {len(whole)} bytes {count} are transferred, others are left"
        )
        done += count
    assert done <= acked, f"{done} bytes are reported as transferred, the peer acknowledged {acked}"
    if len(told) == len(data):
        assert done == acked, f"{done} bytes are reported as transferred, the peer acknowledged {acked}"


def _loaded(bench: Bench) -> tuple[ChimneyBench, Connection, list[NetBufferList], int]:
    """More sends than the card holds, 250 bytes of which the peer has acknowledged."""
    chimneys, connection = one(bench)
    nbls = connection.send(*_PARTS, cuts=(5, 9))
    connection.sent()
    connection.peer.ack = ISS + 250
    connection.receive()
    return chimneys, connection, nbls, 250


@case(
    _SENT,
    "of sends that a RST ends, what was acknowledged is reported and nothing else",
    Feature.CHIMNEY,
    **_SMALL,
)
def sends_that_a_reset_of_the_peer_ends(bench: Bench) -> None:
    """24 sends on a card that holds 16 pieces; 250 bytes are acknowledged, 20 more by the peer's RST."""
    _, connection, nbls, _ = _loaded(bench)
    connection.receive(flags=_RST, ack=ISS + 270)
    told = connection.told("sent")
    assert len(told) == 24, f"{len(told)} of 24 sends ended"
    assert {status for status, _ in told} <= {OK, ABORTED}, f"{told}"
    done = sum(count for _, count in told)
    assert done in (250, 270), (
        f"{done} bytes are reported as transferred, 250 were acknowledged, 270 by the RST"
    )
    _agrees(connection, _PARTS, nbls, done)


@case(
    _SENT,
    "of sends that an abortive disconnect ends, what was acknowledged is reported",
    Feature.CHIMNEY,
    **_SMALL,
)
def sends_that_an_abort_ends(bench: Bench) -> None:
    """24 sends on a card that holds 16 pieces; 250 bytes are acknowledged; the host aborts."""
    _, connection, _, acked = _loaded(bench)
    connection.disconnect(abortive=True)
    told = connection.told("sent")
    assert len(told) == 24, f"{len(told)} of 24 sends ended"
    assert all(status in (OK, ABORTED) for status, _ in told), f"{told}"
    assert connection.told("disconnected") == [(OK,)]
    done = sum(count for _, count in told)
    assert done <= acked, f"{done} bytes are reported as transferred, {acked} were acknowledged"


@case(_SENT, "of sends that a reset of the adapter ends nothing is made up", Feature.CHIMNEY, **_SMALL)
def sends_that_a_reset_of_the_adapter_ends(bench: Bench) -> None:
    """24 sends on a card that holds 16 pieces; 250 bytes are acknowledged; the adapter is reset."""
    chimneys, connection, _, acked = _loaded(bench)
    chimneys.adapter.reset()
    chimneys.settle()
    told = connection.told("sent")
    assert len(told) == 24, f"{len(told)} of 24 sends ended"
    done = sum(count for _, count in told)
    assert done <= acked, f"{done} bytes are reported as transferred, {acked} were acknowledged"
    wrong = [
        entry for entry, data in zip(told, _PARTS, strict=True) if entry[0] == OK and entry[1] != len(data)
    ]
    assert not wrong, f"ended with SUCCESS in part: {wrong}"


def _chained(block: Block) -> bytes:
    return b"".join(bytes_of(nbl) for nbl in walk(block.NetBufferListChain))


@case(
    _TERMINATED,
    "what was posted is reported as transferred, completed unsent, or in the chain: each byte once, in order",
    Feature.CHIMNEY,
    **_SMALL,
)
def sends_that_a_terminate_ends(bench: Bench) -> None:
    """24 sends on a card that holds 16 pieces; 0, 35, 60, 250 and all bytes are acknowledged; terminate."""
    total = sum(map(len, _PARTS))
    chimneys, first = one(bench)
    for turn, acked in enumerate((0, 35, 60, 250, total)):
        block = tcp(41000 + turn)
        assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
        connection = chimneys.connections[block.OffloadHandle]
        connection.send(*_PARTS, cuts=(5, 9))
        if acked == total:
            drained(connection)
        else:
            connection.sent()
            connection.peer.ack = ISS + acked
            connection.receive()
        ended = connection.terminate()
        told, state = connection.told("sent"), connection.state
        assert state is not None
        done = sum(count for _, count in told)
        left = b"".join(_PARTS)[acked:]
        unsent = b"".join(
            data[count:] for (status, count), data in zip(told, _PARTS, strict=False) if status != OK
        )
        assert done <= acked, f"{done} bytes are reported as transferred, {acked} were acknowledged"
        assert unsent + _chained(ended) == left, (
            f"what comes back with {acked} bytes acknowledged is not what is left"
        )
        assert (state.SndUna - ISS) % (1 << 32) == acked, (
            "SndUna does not address the first byte that is left"
        )
    assert not first.told("sent")


def _starved(bench: Bench, work: Callable[[], None]) -> bool:
    """Do something while no data to be sent can be mapped; whether it asked for a mapping."""
    genuine, asked = bench.system.map, list[int]()

    def none(address: int, length: int, direction: Direction) -> list[Segment]:
        if direction is Direction.TO_DEVICE:
            asked.append(length)
            raise CapacityError("no map registers")
        return genuine(address, length, direction)

    setattr(bench.system, "map", none)  # noqa: B010 - an instance's own
    try:
        work()
    finally:
        setattr(bench.system, "map", genuine)  # noqa: B010
    return bool(asked)


@case(
    _SHORTAGE,
    "sends that a target has no resources for come back UPLOAD_IN_PROGRESS with no byte transferred",
    Feature.CHIMNEY,
)
def sends_that_cannot_be_mapped(bench: Bench) -> None:
    """Four bytes are under way; two sends cannot be mapped, one comes later: all three come back."""
    _, connection = one(bench)
    data = [b"good", b"bad" * 5, b"worse" * 4, b"later"]
    nbls = connection.send(data[0])
    if not _starved(bench, lambda: nbls.extend(connection.send(*data[1:3]))):
        raise NotSupported("maps nothing when it is given a send")
    nbls += connection.send(data[3])
    sent = connection.sent()
    assert b"".join(each.payload for each in sent) == b"good", "what came back to the host was sent"
    connection.peer.ack += 4
    connection.receive()
    told = connection.told("sent")
    if told == [(OK, len(each)) for each in data]:
        raise NotSupported("copies what it cannot map")
    assert told == [(OK, 4), (UPLOAD, 0), (UPLOAD, 0), (UPLOAD, 0)], f"{told}"
    _agrees(connection, data, nbls, 4)
    assert connection.told(EVENT.RETRIEVE.name), "the host was not asked to take the connection back"


@case(
    chimney("handling-the-reception-of-urgent-data"),
    "after the target asked for a connection's upload, sends come back UPLOAD_IN_PROGRESS, untouched",
    Feature.CHIMNEY,
)
def sends_after_the_upload_was_asked_for(bench: Bench) -> None:
    """Urgent data comes with a send under way; then three more sends, a disconnect, and the terminate."""
    _, connection = one(bench)
    data = [b"first" * 10, b"second", b"", b"third"]
    nbls = connection.send(data[0])
    connection.sent()
    connection.receive(b"urgent", flags=PUSH | 0x20, urgent=3)
    assert connection.told(EVENT.RETRIEVE.name), "urgent data, and the host was not told"
    nbls += connection.send(*data[1:])
    again = [each for each in connection.sent() if each.payload and each.seq != ISS]
    assert not again, "a send was transmitted after the upload was asked for"
    block = connection.terminate()
    left = b"".join(data)
    back = b"".join(bytes_of(nbl) for nbl in nbls if nbl.status == UPLOAD) or b""
    chained = _chained(block)
    assert chained in (left, b"") or back + chained == left, "sends are lost or come back twice"
    assert sum(count for _, count in connection.told("sent")) == 0, (
        "bytes are reported that nobody acknowledged"
    )


def _reset(chimneys: ChimneyBench) -> None:
    chimneys.adapter.reset()
    chimneys.settle()


@case(_RECEIVED, "receives end in order with the bytes that are in them, however they end", Feature.CHIMNEY)
def receives_that_end_early(bench: Bench) -> None:
    """Five receives of 100, 230 bytes come; a RST, an abort, a reset, a terminate end them."""
    chimneys, first = one(bench)
    ends: list[tuple[str, Callable[[Connection], Any]]] = [
        ("a RST", lambda each: each.receive(flags=_RST)),
        ("an abort", lambda each: each.disconnect(abortive=True)),
        ("a terminate", lambda each: each.terminate()),
        ("a reset", lambda each: _reset(chimneys)),
    ]
    data = bytes(n & 0xFF for n in range(230))
    for turn, (why, end) in enumerate(ends):
        block = tcp(42000 + turn)
        assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
        connection = chimneys.connections[block.OffloadHandle]
        connection.post(*[100] * 5, no_push=True)
        connection.receive(data, flags=packet.ACK)
        end(connection)
        told = connection.told("received")
        assert len(told) == 5, f"{len(told)} of 5 receives ended with {why}"
        counts = [count for _, count in told]
        assert counts in ([100, 100, 30, 0, 0], [100, 100, 0, 0, 0]), (
            f"with {why} receives have {counts} bytes"
        )
        assert [status for status, _ in told[:2]] == [OK, OK], f"full receives ended {told[:2]} with {why}"
        assert connection.stream == data[: sum(counts)], f"other bytes are in the receives that {why} ended"
    assert not first.told("received")


@case(
    ddi("nc-ndischimney-ndis_tcp_offload_forward_complete", "ndischimney"),
    "every segment that the host forwards is completed, whatever becomes of the connection",
    Feature.CHIMNEY,
)
def forwards_that_end_early(bench: Bench) -> None:
    """Forward three segments while the card stands still, and end the connection in four ways."""
    chimneys, first = one(bench)
    ends: list[tuple[str, Callable[[Connection], Any]]] = [
        ("a RST", lambda each: each.receive(flags=_RST, settles=False)),
        ("an abort", lambda each: each.disconnect(abortive=True, settles=False)),
        ("a terminate", lambda each: chimneys.control("terminate", each.ending(), settles=False)),
        ("a reset", lambda each: chimneys.adapter.reset()),
    ]
    for turn, (why, end) in enumerate(ends):
        block = tcp(43000 + turn)
        assert chimneys.control("initiate", below(chimneys, block)) == [OK, OK]
        connection = chimneys.connections[block.OffloadHandle]
        chimneys.device.is_manual = True
        connection.forward(*[connection.peer.tcp(b"f", flags=PUSH) for _ in range(3)])
        end(connection)
        chimneys.device.is_manual = False
        chimneys.settle()
        if why == "a terminate":
            del chimneys.connections[block.OffloadHandle]
        told = connection.told("forwarded")
        assert len(told) == 3, f"{len(told)} of 3 forwarded segments were completed with {why}"
        assert {status for (status,) in told} <= {OK, UPLOAD, ABORTED}, f"{told}"
    assert not first.told("forwarded")


@case(
    ddi("nc-ndischimney-w_tcp_offload_disconnect_handler", "ndischimney"),
    "a graceful disconnect waits for every send before it, also for those that wait for room",
    Feature.CHIMNEY,
    **_SMALL,
)
def a_disconnect_behind_many_sends(bench: Bench) -> None:
    """24 sends on a card that holds 16 pieces, and a disconnect with 9 bytes: the FIN is behind them all."""
    _, connection = one(bench)
    connection.send(*_PARTS, cuts=(5, 9), settles=False)
    connection.disconnect(b"that's it")
    data = drained(connection)
    assert data == b"".join(_PARTS) + b"that's it", f"{len(data)} bytes left, or in another order"
    kinds = [entry[0] for entry in connection.log if entry[0] in ("sent", "disconnected")]
    assert kinds == ["sent"] * 24 + ["disconnected"], (
        f"the disconnect is completion {kinds.index('disconnected') + 1} of 25"
    )
    assert connection.told("disconnected") == [(OK,)]
    assert connection.told("sent") == [(OK, len(each)) for each in _PARTS]


@case(
    ddi("nc-ndischimney-w_tcp_offload_send_handler", "ndischimney"),
    "after an abort every request ends REQUEST_ABORTED, and nothing more is sent",
    Feature.CHIMNEY,
)
def requests_after_the_end(bench: Bench) -> None:
    """The peer resets; then the host sends, posts, forwards, and disconnects."""
    _, connection = one(bench)
    connection.receive(flags=_RST)
    assert connection.told("ABORT"), "the host was not told of the RST"
    connection.sent()
    connection.send(b"too late", b"")
    connection.post(10, 0)
    connection.forward(connection.peer.tcp(b"x", flags=PUSH))
    connection.disconnect()
    assert connection.told("sent") == [(ABORTED, 0)] * 2, f"sends ended {connection.told('sent')}"
    assert [status for status, _ in connection.told("received")] == [ABORTED] * 2, (
        f"{connection.told('received')}"
    )
    assert connection.told("forwarded") == [(ABORTED,)], f"{connection.told('forwarded')}"
    assert connection.told("disconnected") == [(ABORTED,)], f"{connection.told('disconnected')}"
    assert not connection.sent(), "a segment was sent after the connection was reset"
