"""Sends and disconnects of offloaded connections: order, room in the card, and what comes back."""

from __future__ import annotations

import pytest

from tests.miniport.chimney_bench import ChimneyBench
from vnic.errors import AllocationError
from vnic.ndis.net_buffer_list import link, walk
from vnic.testbench.chimney.blocks import (
    ABORTED,
    EVENT,
    OK,
    REASON,
    STATE,
    TYPE,
    UPLOAD,
    block_of,
    bytes_of,
    tcp,
)
from vnic.testbench.chimney.connection import Connection
from vnic.testbench.tcp_peer import ISS
from vnic.wire import packet

SMALL = {"chimney_work": 16}


def drain(connection: Connection) -> bytes:
    """The peer takes and acknowledges until nothing more comes."""
    data = b""
    while part := connection.acknowledge():
        data += part
    return data


@pytest.mark.requirement("INV-16", "INV-17")
def test_sends_complete_in_order_when_every_byte_is_acknowledged() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"a" * 700, b"", b"b" * 700, cuts=())
        connection.send(b"c" * 10)
        assert connection.told("sent") == []
        connection.sent()
        connection.peer.ack = ISS + 699
        connection.receive()
        assert connection.told("sent") == []
        connection.peer.ack = ISS + 700
        connection.receive()
        assert connection.told("sent") == [(OK, 700), (OK, 0)]
        connection.peer.ack = ISS + 1410
        connection.receive()
        assert connection.told("sent") == [(OK, 700), (OK, 0), (OK, 700), (OK, 10)]


@pytest.mark.requirement("CHM-22", "INV-17", "INV-18")
def test_a_hundred_times_what_the_card_has_room_for_goes_through_in_order() -> None:
    with ChimneyBench(device=SMALL) as bench:
        one, two = bench.connect(tcp(40001), tcp(40002))
        data = {each: [bytes([n]) * (40 + n) for n in range(200)] for each in (one, two)}
        for each in (one, two):
            each.send(*data[each], cuts=(1, 2, 3, 4), settles=False)
        assert bench.rings.work.used <= 16
        got = {one: b"", two: b""}
        for _ in range(400):
            for each in (one, two):
                got[each] += each.acknowledge()
        for each in (one, two):
            assert got[each] == b"".join(data[each])
            assert each.told("sent") == [(OK, 40 + n) for n in range(200)]
            assert each.told(EVENT.RETRIEVE.name) == []
        assert bench.rings.work.used == 0


def test_an_nbl_of_more_pieces_than_the_card_holds_goes_in_parts() -> None:
    with ChimneyBench(device=SMALL) as bench:
        (connection,) = bench.connect()
        data = bytes(n & 0xFF for n in range(3000))
        connection.send(data, b"tail", cuts=[7] * 300)
        assert drain(connection) == data + b"tail"
        assert connection.told("sent") == [(OK, 3000), (OK, 4)]


@pytest.mark.requirement("INV-17", "INV-18", "INV-19")
def test_what_is_not_acknowledged_comes_back_chained() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        mapped = len(bench.system.iommu.mapped)
        nbls = connection.send(b"a" * 100, b"b" * 100, b"c" * 100)
        connection.sent()
        connection.peer.ack = ISS + 130
        connection.receive()
        block = connection.terminate()
        state = connection.state
        assert state is not None
        left = list(walk(block.NetBufferListChain))
        assert left == nbls[1:]
        assert [bytes_of(nbl) for nbl in left] == [b"b" * 70, b"c" * 100]
        assert (state.SendDataHead, state.SendDataTail) == (left[0], left[-1])
        assert (state.SndUna, state.SndMax) == (ISS + 130, ISS + 300)
        assert connection.told("sent") == [(OK, 100)]
        assert bench.rings.work.used == 0
        assert len(bench.system.iommu.mapped) == mapped


@pytest.mark.requirement("INV-18", "INV-19")
def test_sends_that_wait_in_the_miniport_come_back_too() -> None:
    with ChimneyBench(device=SMALL) as bench:
        (connection,) = bench.connect()
        nbls = connection.send(*[bytes([n]) * 10 for n in range(100)])
        block = connection.terminate()
        assert list(walk(block.NetBufferListChain)) == nbls
        assert b"".join(bytes_of(nbl) for nbl in nbls) == b"".join(bytes([n]) * 10 for n in range(100))


@pytest.mark.requirement("INV-15", "INV-16")
def test_send_data_that_comes_with_the_connection() -> None:
    with ChimneyBench() as bench:
        block = tcp(SndNxt=ISS + 50, SndMax=ISS + 120)
        nbls = [bench.nbl(bytes([n]) * 60) for n in range(4)]
        block.NetBufferListChain = link(nbls)
        (connection,) = bench.connect(block)
        first, *_ = connection.sent()
        assert first.seq == ISS + 50
        connection.peer.ack = ISS + 60
        connection.receive()
        assert connection.told("sent") == [(OK, 60)]
        connection.peer.ack = ISS + 240
        connection.receive()
        assert connection.told("sent") == [(OK, 60)] * 4


def test_more_than_the_card_can_take_over_waits_when_it_was_never_sent() -> None:
    with ChimneyBench(device=SMALL) as bench:
        block = tcp(SndNxt=ISS + 10, SndMax=ISS + 10)
        nbls = [bench.nbl(bytes([n]) * 10) for n in range(100)]
        block.NetBufferListChain = link(nbls)
        (connection,) = bench.connect(block)
        connection.peer.ack += 10
        connection.receive()
        assert drain(connection) == b"".join(bytes([n]) * 10 for n in range(1, 100))
        assert connection.told("sent") == [(OK, 10)] * 100


@pytest.mark.requirement("INV-31")
def test_a_disconnect_with_data_goes_behind_every_send() -> None:
    with ChimneyBench(device=SMALL) as bench:
        (connection,) = bench.connect()
        connection.send(*[b"s" * 10] * 50)
        connection.disconnect(b"bye")
        assert drain(connection) == b"s" * 500 + b"bye"
        kinds = [entry[0] for entry in connection.log if entry[0] in ("sent", "disconnected")]
        assert kinds == ["sent"] * 50 + ["disconnected"]
        assert connection.told("disconnected") == [(OK,)]
        assert connection.query().State == STATE.FIN_WAIT2


def test_a_fin_that_the_host_had_queued_is_nobodys_disconnect() -> None:
    with ChimneyBench() as bench:
        block = tcp(State=STATE.FIN_WAIT1)
        block.NetBufferListChain = bench.nbl(b"last")
        (connection,) = bench.connect(block)
        (segment,) = connection.sent()
        assert segment.payload == b"last"
        assert segment.flags & packet.FIN
        connection.peer.ack += 5
        connection.receive()
        assert connection.told("sent") == [(OK, 4)]
        assert connection.told("disconnected") == []
        assert connection.query().State == STATE.FIN_WAIT2
        assert bench.rings.work.used == 0


@pytest.mark.requirement("INV-18", "INV-31")
def test_a_disconnect_that_is_not_done_has_its_sends_completed_first() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"a" * 100, b"b" * 100)
        connection.disconnect(b"bye")
        connection.sent()
        connection.peer.ack = ISS + 120
        connection.receive()
        block = connection.terminate()
        assert block.NetBufferListChain is None
        assert [entry for entry in connection.log if entry[0] in ("sent", "disconnected")] == [
            ("sent", OK, 100),
            ("sent", UPLOAD, 20),
            ("disconnected", UPLOAD),
        ]


@pytest.mark.requirement("INV-29", "INV-30", "INV-31")
@pytest.mark.parametrize("is_closing", [False, True])
def test_an_abortive_disconnect_ends_everything(is_closing: bool) -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"a" * 100)
        connection.post(50)
        if is_closing:
            connection.disconnect(b"bye")
        connection.sent()
        connection.disconnect(abortive=True)
        assert [each.flags & packet.RST for each in connection.sent()] == [packet.RST]
        graceful = [("disconnected", ABORTED)] if is_closing else []
        told = [entry for entry in connection.log if entry[0] in ("sent", "received", "disconnected")]
        assert sorted(told[:-1], key=str) == sorted(
            [("sent", ABORTED, 0), ("received", ABORTED, 0), *graceful], key=str
        )
        assert told[-1] == ("disconnected", OK)
        connection.receive(b"late", flags=0x18)
        connection.post(10)
        assert connection.sent() == []
        assert connection.told("received")[-1] == (ABORTED, 0)
        block = connection.terminate()
        assert block.NetBufferListChain is None
        assert connection.state is not None
        assert connection.state.State == STATE.CLOSED


@pytest.mark.requirement("INV-29", "INV-31")
def test_an_abort_passes_a_graceful_disconnect_that_waits_for_room() -> None:
    with ChimneyBench(device=SMALL) as bench:
        (connection,) = bench.connect()
        connection.send(*[b"0123456789"] * 24)
        connection.disconnect(b"bye")
        connection.sent()
        connection.disconnect(abortive=True)
        assert [each.flags & packet.RST for each in connection.sent()] == [packet.RST]
        assert connection.told("sent") == [(ABORTED, 0)] * 24
        assert connection.told("disconnected") == [(ABORTED,), (OK,)]


@pytest.mark.requirement("CHM-22", "INV-2")
def test_a_refused_connection_that_was_closing_gives_back_the_room_that_it_took() -> None:
    with ChimneyBench(device=SMALL) as bench:
        bench.connect()
        for sends in (40, 2, 0):
            block = tcp(40001, State=STATE.FIN_WAIT1, RcvWnd=1 << 31)
            block.NetBufferListChain = link([bench.nbl(b"0123456789") for _ in range(sends)])
            assert bench.path_block is not None
            linker = block_of(TYPE.NONE, block, handle=bench.path_block.OffloadHandle)
            assert bench.control("initiate", linker)[1] != OK
            assert bench.rings.work.used == 0


@pytest.mark.requirement("INV-30", "INV-36")
def test_a_reset_from_the_peer_is_told_first_and_ends_everything() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"a" * 100, b"b" * 100)
        connection.post(50, 20)
        connection.receive(b"part", flags=0x10)
        connection.sent()
        connection.receive(flags=packet.RST | packet.ACK, ack=ISS + 130)
        told = [entry for entry in connection.log if entry[0] in ("ABORT", "sent", "received")]
        assert told[0] == ("ABORT", 0)
        assert [entry[1] for entry in told[1:]] == [ABORTED] * 4
        assert connection.stream == b"part"
        connection.send(b"more")
        assert connection.told("sent")[-1] == (ABORTED, 0)
        assert connection.sent() == []


@pytest.mark.requirement("INV-17")
def test_a_send_that_cannot_be_mapped_sends_the_connection_home(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"good")

        def no_mapping(*_: object) -> None:
            raise AllocationError("no mapping")

        monkeypatch.setattr(bench.system, "map", no_mapping)
        connection.send(b"bad", b"worse")
        monkeypatch.undo()
        connection.send(b"later")
        assert connection.told(EVENT.RETRIEVE.name) == [(REASON.UPLOAD_REQUESTED,)]
        connection.sent()
        connection.peer.ack += 4
        connection.receive()
        assert connection.told("sent") == [(OK, 4), (UPLOAD, 0), (UPLOAD, 0), (UPLOAD, 0)]


def test_segments_that_the_host_forwards_count_as_received() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.forward(connection.peer.tcp(b"first", flags=0x18))
        assert connection.told("forwarded") == [(OK,)]
        assert connection.stream == b"first"
        connection.peer.seq += 5
        connection.receive(b"second", flags=0x18)
        assert connection.stream == b"firstsecond"
        connection.terminate()


@pytest.mark.requirement("CHM-25", "INV-44")
def test_frames_of_a_connection_are_never_fragments() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.send(b"x" * 5000)
        for each in connection.sent():
            assert each.ip[6] & 0xE0 == 0x40
            assert int.from_bytes(each.ip[4:6], "big") >= 0x8000
