"""Receives and indications of offloaded connections: order, refusals, push, the FIN, short pools."""

from __future__ import annotations

import pytest

from tests.miniport.chimney_bench import ChimneyBench
from vnic.ndis.net_buffer_list import walk
from vnic.ndis.status import NDIS_STATUS
from vnic.testbench.chimney.blocks import EVENT, OK, STATE, TYPE, UPLOAD, block_of, bytes_of, tcp
from vnic.wire import packet

PUSH = packet.ACK | packet.PSH
FIN = packet.ACK | packet.FIN
MS = 1_000_000


@pytest.mark.requirement("INV-24", "INV-27")
def test_data_without_a_receive_is_indicated_and_its_return_opens_the_window() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        bench.client.returns = False
        for _ in range(40):
            connection.receive(b"x" * 1000, flags=PUSH)
        assert connection.stream == b"x" * 40000
        assert connection.query().ReceiveBacklogSize == 40000
        assert connection.sent()[-1].window == 25535
        bench.client.give_back()
        bench.settle()
        assert connection.query().ReceiveBacklogSize == 0
        assert connection.sent()[-1].window > 25535
        assert bench.rings.unreturned == 0


@pytest.mark.requirement("INV-25")
def test_refused_data_is_not_indicated_again_before_a_receive_is_posted() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        bench.client.accepts = lambda data: 0
        connection.receive(b"one", flags=PUSH)
        connection.receive(b"two", flags=PUSH)
        assert connection.told("indicate") == [(3,)]
        connection.post(4)
        assert connection.stream == b"onet"
        assert connection.told("indicate") == [(3,), (2,)]
        connection.receive(b"three", flags=PUSH)
        assert connection.told("indicate") == [(3,), (2,)]
        bench.client.accepts = lambda data: None
        connection.post(0)
        assert connection.told("received") == [(OK, 4), (OK, 0)]
        assert connection.stream == b"onetwothree"


@pytest.mark.requirement("INV-20", "INV-25")
def test_partly_accepted_data_goes_on_where_it_stopped() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        bench.client.accepts = lambda data: 2
        connection.receive(b"abcdef", flags=PUSH)
        assert connection.stream == b"ab"
        connection.post(3, no_push=True)
        assert connection.told("received") == [(OK, 3)]
        assert connection.told("indicate") == [(6,), (1,)]
        bench.client.accepts = lambda data: None
        connection.post(0)
        assert connection.stream == b"abcdef"


@pytest.mark.requirement("INV-22", "INV-26")
def test_push_and_no_push() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.post(10, 10, no_push=True)
        connection.receive(b"12345", flags=PUSH)
        assert connection.told("received") == []
        connection.receive(b"67890abc", flags=PUSH)
        assert connection.told("received") == [(OK, 10)]
        connection.receive(b"defghij", flags=PUSH)
        assert connection.told("received") == [(OK, 10)] * 2
        connection.post(10, 10)
        connection.receive(b"xyz", flags=PUSH)
        assert connection.told("received") == [(OK, 10), (OK, 10), (OK, 3)]
        connection.receive(b"u", flags=packet.ACK)
        assert len(connection.told("received")) == 3
        bench.advance(501 * MS)
        assert connection.told("received")[3:] == [(OK, 1)]
        assert connection.stream == b"1234567890abcdefghijxyzu"


@pytest.mark.requirement("CHM-43", "INV-22")
def test_data_that_passes_a_receive_on_its_way_goes_in_first() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.receive(b"early", flags=packet.ACK, settles=False)  # in the pool, its interrupt not taken
        connection.post(8, 8, no_push=True, settles=False)
        bench.settle()
        assert bench.device.read64(0x4248) > 0
        connection.receive(b"and the rest", flags=PUSH)
        assert connection.stream == b"earlyand the rest"
        assert connection.told("received") == [(OK, 8), (OK, 8)]
        assert connection.told("indicate") == [(1,)]


def test_the_push_timer_runs_for_what_was_filled_from_kept_data() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        bench.client.accepts = lambda data: 0
        connection.receive(b"abc", flags=packet.ACK)
        connection.post(10)
        assert connection.told("received") == []
        bench.advance(501 * MS)
        assert connection.told("received") == [(OK, 3)]


@pytest.mark.requirement("INV-20", "INV-21")
def test_buffered_data_goes_up_before_anything_newer() -> None:
    with ChimneyBench() as bench:
        old = bench.nbl(b"old bytes")
        (connection,) = bench.connect(tcp(RcvWnd=60000, BufferedData=old))
        connection.receive(b"new", flags=PUSH)
        assert connection.stream == b"old bytesnew"
    with ChimneyBench() as bench:
        bench.client.accepts = lambda data: 0
        (connection,) = bench.connect(tcp(RcvWnd=60000, BufferedData=bench.nbl(b"old bytes")))
        connection.receive(b"new", flags=PUSH)
        connection.post(3, no_push=True)
        connection.terminate()
        state = connection.state
        assert state is not None
        assert connection.stream == b"old"
        assert b"".join(bytes_of(nbl) for nbl in walk(state.BufferedData)) == b" bytesnew"
        assert state.RcvNxt == connection.peer.seq
        assert state.BufferedData is not None
        bench.client.kept.append((connection.handle, state.BufferedData))


@pytest.mark.requirement("INV-28", "INV-32")
def test_the_fin_is_told_when_everything_is_consumed() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        bench.client.accepts = lambda data: 0
        connection.receive(b"last", flags=PUSH)
        connection.receive(flags=FIN)
        assert connection.told(EVENT.DISCONNECT.name) == []
        connection.post(3)
        assert connection.told(EVENT.DISCONNECT.name) == []
        connection.post(3)
        assert connection.told("received") == [(OK, 3), (OK, 1)]
        assert connection.told(EVENT.DISCONNECT.name) == [(0,)]
        connection.post(3, 0)
        assert connection.told("received")[2:] == [(NDIS_STATUS.INVALID_STATE, 0)] * 2
        assert connection.query().State == STATE.CLOSE_WAIT


@pytest.mark.requirement("INV-26", "INV-28")
def test_receives_that_wait_when_the_fin_comes() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.post(10, 10, 0, no_push=True)
        connection.receive(b"abc", flags=PUSH)
        connection.receive(flags=FIN)
        told = [entry for entry in connection.log if entry[0] in ("received", "DISCONNECT")]
        assert told == [
            ("received", OK, 3),
            ("received", NDIS_STATUS.INVALID_STATE, 0),
            ("received", OK, 0),
            ("DISCONNECT", 0),
        ]


@pytest.mark.requirement("INV-20", "INV-22")
def test_a_terminate_gives_receives_back_with_what_is_in_them() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.post(10, 10, no_push=True)
        connection.receive(b"abc", flags=PUSH)
        connection.terminate()
        assert connection.told("received") == [(UPLOAD, 3), (UPLOAD, 0)]
        assert connection.stream == b"abc"
        assert connection.state is not None
        assert connection.state.BufferedData is None
        assert bench.rings.work.used == 0


def test_a_receive_of_more_pieces_than_the_card_holds() -> None:
    with ChimneyBench(device={"chimney_work": 16}) as bench:
        (connection,) = bench.connect()
        connection.post(5 * 4096, 100, no_push=True)
        data = bytes(n * 7 & 0xFF for n in range(5 * 4096 + 100))
        for at in range(0, len(data), 1400):
            connection.receive(data[at : at + 1400], flags=PUSH)
        assert connection.stream == data
        assert connection.told("received") == [(OK, 5 * 4096), (OK, 100)]


@pytest.mark.requirement("INV-27")
def test_a_host_that_keeps_everything_does_not_starve_the_pool() -> None:
    with ChimneyBench() as bench:
        connections = bench.connect(*[tcp(40000 + n) for n in range(6)])
        bench.client.returns = False
        data = {each: b"" for each in connections}
        for round_ in range(44):
            for number, each in enumerate(connections):
                part = bytes([round_, number]) * 700
                data[each] += part
                each.receive(part, flags=PUSH)
        for each in connections:
            assert each.stream == data[each]
        bench.client.give_back()
        bench.settle()
        assert bench.rings.unreturned == 0


@pytest.mark.requirement("INV-6")
def test_nothing_is_told_before_the_initiate_is_complete() -> None:
    """The peer's data is there the moment the card has the connection; NDIS would raise a breach."""
    with ChimneyBench() as bench:
        (first,) = bench.connect()
        assert bench.path_block is not None
        frames = []

        def arrive(what: str, handle: object) -> None:
            frames.append(len(bench.connections))

        bench.client.during = arrive
        block = tcp(40001)
        connection = bench.enlist(block)
        bench.device.is_manual = True
        bench.control(
            "initiate", block_of(TYPE.NONE, block, handle=bench.path_block.OffloadHandle), settles=False
        )
        bench.device.run()
        connection.receive(b"at once", flags=PUSH, settles=False)
        bench.device.run()
        bench.device.is_manual = False
        bench.settle()
        assert connection.stream == b"at once"
        assert first.log == []


@pytest.mark.requirement("INV-30")
def test_a_receive_of_no_bytes_behind_an_abort_is_aborted_as_any() -> None:
    with ChimneyBench() as bench:
        (connection,) = bench.connect()
        connection.receive(flags=packet.RST | packet.ACK)
        connection.post(10, 0)
        assert connection.told("received") == [(NDIS_STATUS.REQUEST_ABORTED, 0)] * 2
