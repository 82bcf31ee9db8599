"""Data of connections in posted receives: order, pushes, what completes a receive and when."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nic.chimney.driver import Driver
from vnic.abi import DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.gen.descriptors import ChmCompletion, ChmEventEntry, ChmSubmission
from vnic.gen.enums import ChmEvent, ChmReason, ChmStatus, ChmSubmissionOp, CompletionType
from vnic.gen.registers import BAR0
from vnic.host.memory import GuestBuffer
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

RECEIVE, DATA, EVENT = CompletionType.CHM_RECEIVE, CompletionType.CHM_DATA, CompletionType.CHM_EVENT
ACK, PSH, FIN, RST = packet.ACK, packet.PSH, packet.FIN, packet.RST
PUSH_NS = 500_000_000


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver() as made:
        yield made


def received(driver: Driver) -> list[tuple[ChmStatus, int, int]]:
    """(STATUS, BYTES, PUSHED) of the receives that came back since the last take()."""
    return [(ChmStatus(e.status), e.bytes, e.pushed) for e in driver.completions(RECEIVE)]


def text(buffer: GuestBuffer) -> bytes:
    return bytes(buffer.view)


def full(count: int) -> tuple[ChmStatus, int, int]:
    return (ChmStatus.OK, count, 0)


def pushed(count: int) -> tuple[ChmStatus, int, int]:
    return (ChmStatus.OK, count, 1)


# -- filling ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-42", "CHM-44", "INV-22")
def test_receives_fill_and_complete_in_order(driver: Driver) -> None:
    connection = driver.connect()
    first, second = connection.post(6), connection.post(6)
    connection.receive(b"abcdefgh")
    assert received(driver) == [full(6)]
    connection.receive(b"ijkl")
    assert received(driver) == [full(6), full(6)]
    assert (text(first), text(second)) == (b"abcdef", b"ghijkl")
    assert connection.data == b""


@pytest.mark.requirement("CHM-42")
@pytest.mark.parametrize("cuts", [(), (1,), (1, 1, 1), (0, 3, 0, 4), (1,) * 9, (2, 0, 0, 0, 0, 0, 3)])
def test_a_receive_may_be_in_pieces(driver: Driver, cuts: tuple[int, ...]) -> None:
    connection = driver.connect()
    buffer = connection.post(10, cuts=cuts)
    connection.receive(b"0123")
    connection.receive(b"456789and more")
    assert received(driver) == [full(10)]
    assert text(buffer) == b"0123456789"
    assert connection.data == b"and more"
    assert driver.stat("PLACED_BYTES") == 10


@pytest.mark.requirement("CHM-42")
def test_a_segment_in_many_pieces(driver: Driver) -> None:
    """More pieces than one segment is placed in at once."""
    connection = driver.connect()
    buffer = connection.post(60, cuts=(1,) * 59)
    payload = bytes(range(60))
    connection.receive(payload[:50])
    connection.receive(payload[50:])
    assert received(driver) == [full(60)]
    assert text(buffer) == payload


@pytest.mark.requirement("CHM-42")
def test_data_out_of_order_is_placed_when_the_gap_is_filled(driver: Driver) -> None:
    connection = driver.connect()
    buffer = connection.post(12)
    connection.receive(b"efgh", seq=IRS + 4)
    connection.receive(b"ijkl", seq=IRS + 8)
    assert received(driver) == []
    assert text(buffer) == b"\xee" * 12
    connection.receive(b"abcd")
    assert received(driver) == [full(12)]
    assert text(buffer) == b"abcdefghijkl"


@pytest.mark.requirement("CHM-43", "INV-22")
def test_a_receive_of_no_bytes_completes_in_its_turn(driver: Driver) -> None:
    connection = driver.connect()
    connection.post(0)
    assert received(driver) == [full(0)]
    connection.post(4)
    connection.post(0)
    assert received(driver) == [full(0)]
    connection.receive(b"four")
    assert received(driver) == [full(0), full(4), full(0)]
    assert connection.data == b""


@pytest.mark.requirement("CHM-45")
def test_what_is_placed_opens_the_window(driver: Driver) -> None:
    """The edge moves by itself for placed data, by credit for the pool's, and never back."""
    connection = driver.connect(initial_rcv_wnd=4000, rcv_wnd=4000)
    connection.post(2000)
    connection.receive(b"x" * 2000, flags=ACK | PSH)
    connection.receive(b"y" * 2000, flags=ACK | PSH)
    driver.advance(PUSH_NS)
    edges = [sent.ack + sent.window for sent in connection.sent()]
    assert edges[-1] == IRS + 6000
    connection.credit(1500)
    connection.credit(500)
    connection.credit(100)
    connection.receive(b"z", flags=ACK | PSH)
    driver.advance(PUSH_NS)
    edges += [sent.ack + sent.window for sent in connection.sent()]
    assert edges[-1] == IRS + 8000
    assert edges == sorted(edges)


# -- completion ------------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-44", "INV-26")
def test_a_push_completes_a_receive(driver: Driver) -> None:
    connection = driver.connect()
    buffer = connection.post(10)
    connection.receive(b"abc")
    assert received(driver) == []
    connection.receive(b"def", flags=ACK | PSH)
    assert received(driver) == [pushed(6)]
    assert text(buffer) == b"abcdef" + b"\xee" * 4


@pytest.mark.requirement("CHM-44", "INV-26")
def test_without_push_mode_only_full_is_complete(driver: Driver) -> None:
    connection = driver.connect()
    connection.post(10, no_push=1)
    connection.receive(b"abcdef", flags=ACK | PSH)
    driver.advance(10 * PUSH_NS)
    assert received(driver) == []
    connection.post(10)
    connection.receive(b"ghijkl")
    assert received(driver) == [full(10)]
    driver.advance(PUSH_NS)
    assert received(driver) == [full(10), pushed(2)]


@pytest.mark.requirement("CHM-44")
def test_a_push_that_fills_a_receive_says_nothing_of_the_next(driver: Driver) -> None:
    connection = driver.connect()
    connection.post(4), connection.post(4)
    connection.receive(b"full", flags=ACK | PSH)
    connection.receive(b"ab")
    assert received(driver) == [full(4)]
    connection.receive(b"c", flags=ACK | PSH)
    assert received(driver) == [full(4), pushed(3)]


@pytest.mark.requirement("CHM-44", "INV-26")
def test_the_push_timer_restarts_with_new_data(driver: Driver) -> None:
    connection = driver.connect()
    connection.post(10)
    driver.advance(5 * PUSH_NS)
    connection.receive(b"a")
    driver.advance(PUSH_NS - 1)
    connection.receive(b"b")
    driver.advance(PUSH_NS - 1)
    assert received(driver) == []
    driver.advance(1)
    assert received(driver) == [pushed(2)]
    assert driver.stat("PUSH_TIMEOUTS") == 1


@pytest.mark.requirement("CHM-44")
def test_push_timers_of_many(driver: Driver) -> None:
    connections = [driver.connect(remote_port=50000 + n) for n in range(5)]
    for connection in connections:
        connection.post(10)
        connection.receive(b"x")
        driver.advance(1000)
    connections[1].receive(b"y")
    order = []
    while (deadline := driver.device.next_deadline_ns()) is not None:
        driver.advance(deadline - driver.device.now_ns)
        order += [entry.handle for entry in driver.completions(RECEIVE)]
        driver.take()
    assert order == [connections[n].handle for n in (0, 2, 3, 4, 1)]


@pytest.mark.requirement("CHM-44")
def test_bytes_of_the_drivers_start_the_push_timer(driver: Driver) -> None:
    connection = driver.connect()
    connection.post(10, before=4)
    driver.advance(PUSH_NS - 1)
    assert received(driver) == []
    driver.advance(1)
    assert received(driver) == [pushed(0)]
    connection.post(10, before=4, no_push=1)
    driver.advance(10 * PUSH_NS)
    assert received(driver) == [pushed(0)]


@pytest.mark.requirement("CHM-44")
@pytest.mark.parametrize("ticks", [10, 100, 1000])
def test_ticks_are_the_hosts(ticks: int) -> None:
    with Driver(
        parameters={"TICKS_PER_SECOND": ticks, "PUSH_TICKS": 3, "DELAYED_ACK_TICKS": 1, "NCE_STALE_TICKS": 30}
    ) as d:
        connection = d.connect()
        connection.post(10)
        connection.receive(b"x")
        d.advance(3 * 1_000_000_000 // ticks - 1)
        assert received(d) == []
        d.advance(1)
        assert received(d) == [pushed(1)]


@pytest.mark.requirement("CHM-44", "CHM-46", "INV-32")
def test_a_fin_completes_what_is_partly_filled(driver: Driver) -> None:
    connection = driver.connect()
    for no_push in (0, 1):
        connection.post(10, no_push=no_push)
    connection.receive(b"abc")
    connection.receive(flags=ACK | FIN)
    entries = [entry for entry in driver.take() if entry.type in (RECEIVE, EVENT)]
    assert [entry.type for entry in entries] == [RECEIVE, EVENT, RECEIVE]
    connection.post(5)
    done = [entry for entry in entries if isinstance(entry, ChmCompletion)]
    assert [(e.status, e.bytes, e.pushed) for e in done] == [pushed(3), (ChmStatus.AFTER_FIN, 0, 0)]
    assert received(driver) == [(ChmStatus.AFTER_FIN, 0, 0)]


@pytest.mark.requirement("CHM-46")
def test_a_fin_ends_a_receive_that_only_full_would_complete(driver: Driver) -> None:
    connection = driver.connect()
    buffer = connection.post(10, no_push=1)
    connection.receive(b"abc", flags=ACK | FIN)
    assert received(driver) == [(ChmStatus.AFTER_FIN, 3, 0)]
    assert text(buffer)[:3] == b"abc"


# -- resets and ends -------------------------------------------------------------------------------------


@pytest.mark.requirement("CHM-47", "INV-30")
def test_a_reset_ends_what_is_held(driver: Driver) -> None:
    """Complete receives are told before it; it says how much is in the open one, and in the first send."""
    connection = driver.connect()
    connection.post(4)
    connection.post(10)
    connection.post(10)
    connection.send(b"s" * 100)
    connection.peer.ack = ISS + 30
    connection.receive(b"fourand")
    connection.receive(flags=RST)
    entries = driver.take()
    (abort,) = [e for e in entries if isinstance(e, ChmEventEntry) and e.event != ChmEvent.SEND_BACKLOG]
    assert (abort.event, abort.count, abort.acked) == (ChmEvent.ABORT, 3, 30)
    (receive,) = [entry for entry in entries if entry.type == RECEIVE]
    assert entries.index(receive) < entries.index(abort)
    driver.advance(10 * PUSH_NS)
    connection.receive(b"later")
    assert not [entry for entry in driver.take() if entry.type in (RECEIVE, DATA, EVENT)]
    connection.post(5)
    assert received(driver)[-1][0] == ChmStatus.ABORTED
    done, image = connection.terminate()
    assert (done.placed, done.acked, image.state) == (0, 0, 0)


@pytest.mark.requirement("CHM-7", "CHM-45", "INV-20")
def test_terminate_tells_what_is_in_the_first_receive(driver: Driver) -> None:
    connection = driver.connect()
    connection.post(4)
    buffer = connection.post(10)
    connection.post(10)
    connection.receive(b"fourand")
    done, image = connection.terminate()
    assert done.placed == 3
    assert text(buffer)[:3] == b"and"
    assert image.rcv_nxt == IRS + 7
    assert received(driver) == [full(4)]
    assert driver.rig.get(BAR0.CHM_FREE_WORK) == driver.rig.get(BAR0.CHM_MAX_WORK)


@pytest.mark.requirement("CHM-24", "INV-30")
def test_an_abortive_disconnect_tells_what_is_in_the_first_receive(driver: Driver) -> None:
    connection = driver.connect()
    connection.post(10)
    connection.receive(b"abc")
    connection.disconnect(abortive=1)
    (entry,) = driver.completions(CompletionType.CHM_DISCONNECT)
    assert (entry.count, entry.status, entry.bytes) == (1, ChmStatus.OK, 3)
    assert connection.sent()[-1].flags & RST
    connection.terminate()


# -- memory that cannot be written -----------------------------------------------------------------------


@pytest.mark.requirement("CHM-42", "CHM-62")
def test_a_receive_that_cannot_be_written(driver: Driver) -> None:
    """It comes back with what is in it; the rest comes with the end."""
    connection = driver.connect()
    buffer = connection.post(10)
    connection.post(10)
    connection.receive(b"abc")
    fault = Fault(
        site=FaultSite.DMA_WRITE,
        action=FaultAction.ERROR,
        argument=DmaStatus.ABORTED,
        first=buffer.address,
        last=buffer.address + 9,
        count=9,
    )
    with driver.device.arm(fault):
        connection.receive(b"defgh", flags=ACK | PSH)
        assert received(driver) == [(ChmStatus.DMA, 3, 0)]
        assert driver.reasons() == [ChmReason.HARDWARE_FAILURE]
    assert connection.data == b""
    done, image = connection.terminate()
    assert (bytes(connection.data), done.placed, image.rcv_nxt) == (b"defgh", 0, IRS + 8)


@pytest.mark.requirement("CHM-42")
def test_a_receive_outside_of_memory(driver: Driver) -> None:
    connection = driver.connect()
    connection.submit(ChmSubmission(op=ChmSubmissionOp.RECEIVE, addr=(1 << 64) - 4, len=8))
    connection.receive(b"abcdefgh")
    assert received(driver) == [(ChmStatus.DMA, 0, 0)]
    connection.terminate()
    assert connection.data == b"abcdefgh"
