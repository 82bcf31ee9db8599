"""Coverage of the chimney: a shadow's states by segments, and a card's connections in a trace."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from tests.nic.chimney.driver import Driver
from vnic.gen.descriptors import ChmTcp
from vnic.gen.enums import ChmObject
from vnic.testbench.recording import Recordings
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.trace.coverage.chimney import EVENTS, ChimneyCoverage
from vnic.trace.coverage.run import RunCoverage, cover
from vnic.trace.coverage.shadow import Came, Shadow, State
from vnic.trace.file import TraceReader
from vnic.trace.report.connections import Segment

ACK, FIN, RST, SYN, URG = 0x10, 0x01, 0x04, 0x02, 0x20


def shadow(state: State = State.ESTABLISHED, **fields: int) -> Shadow:
    return Shadow.of(ChmTcp(state=state.value, rcv_nxt=100, snd_una=500, snd_max=600, **fields))


def peer(seq: int = 100, ack: int = 500, flags: int = ACK, window: int = 9, length: int = 0) -> Segment:
    return Segment(seq, ack, flags, window, length)


@pytest.mark.requirement("COV-6")
@pytest.mark.parametrize(
    ("segment", "came"),
    [
        (peer(flags=ACK | RST, length=1), Came.RST),
        (peer(flags=ACK | SYN), Came.SYN),
        (peer(flags=ACK | URG | FIN, length=1), Came.URG),
        (peer(flags=ACK | FIN, length=1), Came.FIN),
        (peer(length=1), Came.DATA),
        (peer(101, length=1), Came.GAP),
        (peer(99, length=1), Came.OLD),
        (Segment(100, 500, ACK, 9, 0, sacks=[(550, 560)]), Came.SACK),
        (peer(window=0), Came.ZERO_WINDOW),
        (peer(ack=501), Came.ACK),
        (peer(), Came.DUPLICATE),
    ],
)
def test_what_a_segment_is_first(segment: Segment, came: Came) -> None:
    assert shadow().kind_of(segment) is came


@pytest.mark.requirement("COV-5")
def test_the_states_of_a_close_that_we_begin() -> None:
    it = shadow()
    it.send(Segment(600, 100, ACK | FIN, 9, 0))
    states = [it.state]
    it.receive(peer(ack=600))  # all but the FIN
    states.append(it.state)
    it.receive(peer(ack=601))
    states.append(it.state)
    it.take_fin()
    states.append(it.state)
    assert states == [State.FIN_WAIT1, State.FIN_WAIT1, State.FIN_WAIT2, State.TIME_WAIT]


@pytest.mark.requirement("COV-5")
def test_the_states_of_a_close_that_the_peer_begins() -> None:
    it = shadow()
    it.take_fin()
    states = [it.state]
    it.send(Segment(600, 101, ACK | FIN, 9, 0))
    states.append(it.state)
    it.receive(peer(ack=601))
    states.append(it.state)
    assert states == [State.CLOSE_WAIT, State.LAST_ACK, State.TIME_WAIT]


@pytest.mark.requirement("COV-5")
def test_a_simultaneous_close() -> None:
    it = shadow()
    it.send(Segment(600, 100, ACK | FIN, 9, 0))
    it.take_fin()
    states = [it.state]
    it.receive(peer(ack=601))
    states.append(it.state)
    assert states == [State.CLOSING, State.TIME_WAIT]


@pytest.mark.requirement("COV-5")
@pytest.mark.parametrize(
    ("offloaded", "after"),
    [
        (State.FIN_WAIT1, State.FIN_WAIT2),
        (State.CLOSING, State.TIME_WAIT),
        (State.LAST_ACK, State.TIME_WAIT),
    ],
)
def test_offloaded_with_its_fin_sent(offloaded: State, after: State) -> None:
    it = shadow(offloaded)
    it.receive(peer(ack=599))
    assert it.state is offloaded
    it.receive(peer(ack=600))
    assert it.state is after


@pytest.mark.requirement("COV-7")
def test_what_was_sent_before_is_a_retransmission() -> None:
    it = shadow()
    assert not it.send(Segment(600, 100, ACK, 9, 50))
    assert not it.send(Segment(650, 100, ACK, 9, 0))  # a bare ACK never is
    assert it.send(Segment(600, 100, ACK, 9, 50))


@pytest.mark.requirement("COV-5")
def test_sequence_numbers_wrap() -> None:
    it = Shadow.of(ChmTcp(state=4, rcv_nxt=0xFFFF_FFFF, snd_una=0xFFFF_FFF0, snd_max=0xFFFF_FFF0))
    assert not it.send(Segment(0xFFFF_FFF0, 0, ACK, 9, 0x20))
    assert it.snd_max == 0x10
    assert it.rcv_nxt == 0
    assert it.kind_of(peer(0, ack=0x10)) is Came.ACK
    assert it.kind_of(peer(0xFFFF_FFF0, length=1)) is Came.OLD


def life(version: int) -> None:
    """A connection that sends, receives, is asked about and is terminated; by registers."""
    with Driver() as driver:
        connection = driver.connect(version=version)
        connection.send(bytes(100))
        driver.run()
        connection.receive(b"data", ack=ISS)
        connection.receive(seq=IRS + 4, ack=ISS + 100)
        connection.query()
        driver.run()
        connection.terminate()


def recorded(act: Callable[[], None]) -> ChimneyCoverage:
    recordings, run = Recordings(), RunCoverage()
    recordings.start()
    try:
        act()
    finally:
        recordings.stop()
    for each in recordings.take_all():
        cover(TraceReader(io.BytesIO(each.octets())), run)
        each.close()
    return run.chimney


@pytest.mark.requirement("COV-5")
@pytest.mark.requirement("COV-6")
@pytest.mark.parametrize("version", [4, 6])
def test_a_connection_of_a_card(version: int) -> None:
    found = recorded(lambda: life(version))
    assert found.connections == 1
    cells = {what: n for (state, what), n in found.cells.items() if state is State.ESTABLISHED}
    assert cells == {"SEND": 1, "DATA": 1, "ACK": 1, "QUERY": 1, "TERMINATE": 1}
    assert not found.said


@pytest.mark.requirement("COV-5")
def test_an_invalidated_connection_and_one_that_is_gone() -> None:
    def act() -> None:
        with Driver() as driver:
            path = driver.path()
            connection = driver.connect(path)
            driver.invalidate(ChmObject.TCP, connection.handle)
            connection.receive(b"silence", ack=ISS)
            connection.terminate()
            connection.receive(b"not its any more", ack=ISS)

    cells = recorded(act).cells
    assert cells == {
        (State.ESTABLISHED, "INVALIDATE"): 1,
        (State.INVALIDATED, "DATA"): 1,
        (State.INVALIDATED, "TERMINATE"): 1,
    }


@pytest.mark.requirement("COV-7")
def test_what_the_card_says() -> None:
    def act() -> None:
        with Driver() as driver:
            connection = driver.connect(driver.path())
            connection.send(bytes(10))
            driver.run()
            driver.advance(3_000_000_000)  # nobody acknowledges
            connection.receive(flags=ACK | FIN, ack=ISS + 10)
            driver.run()
            connection.receive(flags=ACK | SYN, ack=ISS + 10, seq=IRS + 1)
            driver.run()

    said = recorded(act).said
    assert said[State.ESTABLISHED, "RETRANSMISSION"] >= 1
    assert said[State.ESTABLISHED, "FIN"] == 1
    assert said[State.CLOSE_WAIT, "UPLOAD_REQUESTED"] == 1


def test_events_are_named_once() -> None:
    assert len(set(EVENTS)) == len(EVENTS)
