"""Submission rings: order, requests of several pieces, and what a driver may get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from tests.nic.chimney.driver import Driver
from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.device import Budget
from vnic.fault import Fault
from vnic.gen.descriptors import ChmCompletion, ChmSubmission
from vnic.gen.enums import ChmReason, ChmStatus, ChmSubmissionOp, CompletionType, RingError
from vnic.gen.registers import BAR0
from vnic.testbench.tcp_peer import IRS, ISS
from vnic.wire import packet

SEND, RECEIVE, CREDIT = ChmSubmissionOp.SEND, ChmSubmissionOp.RECEIVE, ChmSubmissionOp.CREDIT
DISCONNECT, FORWARD = ChmSubmissionOp.DISCONNECT, ChmSubmissionOp.FORWARD


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver() as made:
        yield made


def ends(driver: Driver) -> list[tuple[int, int]]:
    """(TYPE, STATUS) of chimney completions so far, in their order."""
    driver.poll()
    return [(e.type, e.status) for e in driver.entries if isinstance(e, ChmCompletion)]


def ring_error(driver: Driver, pair: int = 0) -> int:
    return driver.rig.field(BAR0.CHQ_SQ_STATUS, "ERROR", pair)


def is_running(driver: Driver, pair: int = 0) -> bool:
    return bool(driver.rig.field(BAR0.CHQ_SQ_STATUS, "RUNNING", pair))


@pytest.mark.requirement("CHM-20")
def test_submissions_are_taken_in_order(driver: Driver) -> None:
    connection = driver.connect()
    parts = [bytes([n]) * 100 for n in range(40)]
    entries = [ChmSubmission(op=SEND, addr=driver.rig.stage(part), len=100, push=1) for part in parts]
    connection.submit(*entries)
    assert b"".join(s.payload for s in connection.sent()) == b"".join(parts)
    assert driver.rig.get(BAR0.CHQ_SQ_HEAD, 0) == 40


@pytest.mark.requirement("CHM-20")
def test_a_ring_wraps(driver: Driver) -> None:
    connection = driver.connect(snd_wnd=1 << 20, cwnd=1 << 20)
    sent = b""
    for n in range(3 * driver.sq_count):
        connection.send(bytes([n & 0xFF]) * 10, cuts=(3,))
        sent += b"".join(s.payload for s in connection.sent())
    assert sent == b"".join(bytes([n & 0xFF]) * 10 for n in range(3 * driver.sq_count))


@pytest.mark.requirement("CHM-20")
def test_only_the_ring_of_the_create(driver: Driver) -> None:
    with Driver(pairs=2) as two:
        connection = two.connect(queue=1)
        entry = ChmSubmission(op=SEND, handle=connection.handle, addr=two.rig.stage(b"abc"), len=3)
        two.submit(0, entry)
        assert ends(two) == [(CompletionType.CHM_SEND, ChmStatus.WRONG_QUEUE)]
        assert connection.sent() == []
        assert two.reasons() == []
        two.submit(1, entry)
        assert [s.payload for s in connection.sent()] == [b"abc"]


WRONG = {
    "operation 0": (ChmSubmission(op=0), CompletionType.CHM_SEND, ChmStatus.BAD_COMMAND),
    "operation 6": (ChmSubmission(op=6), CompletionType.CHM_SEND, ChmStatus.BAD_COMMAND),
    "operation 255": (ChmSubmission(op=255), CompletionType.CHM_SEND, ChmStatus.BAD_COMMAND),
    "send too long": (
        ChmSubmission(op=SEND, len=(1 << 30) + 1),
        CompletionType.CHM_SEND,
        ChmStatus.BAD_LENGTH,
    ),
    "send of 4 GiB": (ChmSubmission(op=SEND, len=0xFFFF_FFFF), CompletionType.CHM_SEND, ChmStatus.BAD_LENGTH),
    "receive too long": (
        ChmSubmission(op=RECEIVE, len=0xFFFF_FFFF),
        CompletionType.CHM_RECEIVE,
        ChmStatus.BAD_LENGTH,
    ),
    "abort with bytes": (
        ChmSubmission(op=DISCONNECT, len=1, abortive=1),
        CompletionType.CHM_DISCONNECT,
        ChmStatus.BAD_LENGTH,
    ),
    "segment without a header": (
        ChmSubmission(op=FORWARD, len=19),
        CompletionType.CHM_FORWARD,
        ChmStatus.BAD_LENGTH,
    ),
    "segment too long": (
        ChmSubmission(op=FORWARD, len=65536),
        CompletionType.CHM_FORWARD,
        ChmStatus.BAD_LENGTH,
    ),
    "segment nowhere": (
        ChmSubmission(op=FORWARD, addr=1 << 45, len=40),
        CompletionType.CHM_FORWARD,
        ChmStatus.DMA,
    ),
}


@pytest.mark.requirement("CHM-20")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_submission_ends_with_a_status(driver: Driver, name: str) -> None:
    entry, kind, status = WRONG[name]
    connection = driver.connect()
    connection.submit(entry)
    assert ends(driver) == [(kind, status)]
    assert connection.sent() == []
    assert is_running(driver)
    assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")
    refused = entry.op == SEND
    assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED] * refused


@pytest.mark.requirement("CHM-20")
@pytest.mark.parametrize("bit", [*range(12, 32)])
def test_reserved_bits_are_refused(driver: Driver, bit: int) -> None:
    connection = driver.connect()
    packed = bytearray(ChmSubmission(op=RECEIVE, handle=connection.handle, len=10).pack())
    packed[16 + bit // 8] |= 1 << bit % 8
    driver.submit(0, bytes(packed))
    assert ends(driver) == [(CompletionType.CHM_RECEIVE, ChmStatus.BAD_COMMAND)]


@pytest.mark.requirement("CHM-20")
@pytest.mark.parametrize("op", [SEND, RECEIVE, DISCONNECT, FORWARD, CREDIT])
def test_a_handle_that_names_nothing(driver: Driver, op: int) -> None:
    connection = driver.connect()
    live = connection.handle
    for handle in (0, live + 1, live ^ 1 << 22, 0xFFFF_FFFF):
        driver.submit(0, ChmSubmission(op=op, handle=handle, len=40))
    connection.terminate()
    driver.submit(0, ChmSubmission(op=op, handle=live, len=40))
    found = [status for _, status in ends(driver)]
    assert found == ([] if op == CREDIT else [ChmStatus.BAD_HANDLE] * 5)
    assert is_running(driver)


@pytest.mark.requirement("CHM-20")
@pytest.mark.parametrize("change", ["handle", "operation"])
def test_a_request_that_is_broken_off(driver: Driver, change: str) -> None:
    first, second = driver.connect(), driver.connect(local_port=81)
    address = driver.rig.stage(b"abc")
    piece = ChmSubmission(op=SEND, handle=first.handle, addr=address, len=3, more=1)
    last = replace(piece, more=0, push=1)
    last = replace(last, handle=second.handle) if change == "handle" else replace(last, op=RECEIVE)
    driver.submit(0, piece, piece, last)
    assert ends(driver)[0] == (CompletionType.CHM_SEND, ChmStatus.BAD_COMMAND)
    assert [s.payload for s in second.sent()] == ([b"abc"] if change == "handle" else [])
    assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED]


@pytest.mark.requirement("CHM-20")
@pytest.mark.parametrize("op", [CREDIT, DISCONNECT])
def test_some_requests_have_one_piece(driver: Driver, op: int) -> None:
    connection = driver.connect()
    errors = driver.rig.stat("GUEST_ERRORS")
    connection.submit(ChmSubmission(op=op, more=1, abortive=op == DISCONNECT))
    connection.send(b"goes on")
    if op == CREDIT:
        assert driver.rig.stat("GUEST_ERRORS") == errors + 1
        assert [s.payload for s in connection.sent()] == [b"goes on"]
    else:
        assert (CompletionType.CHM_DISCONNECT, ChmStatus.BAD_COMMAND) in ends(driver)


@pytest.mark.requirement("CHM-22")
def test_more_than_may_be_unacknowledged() -> None:
    with Driver() as driver:
        connection = driver.connect(snd_wnd=1000)
        address = driver.rig.stage(bytes(1000))
        driver.device.set_link(0)
        connection.submit(ChmSubmission(op=SEND, addr=address, len=1 << 30))
        assert ends(driver) == []
        connection.submit(ChmSubmission(op=SEND, addr=address, len=1))
        assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED]
        _, image = connection.terminate()
        assert image.send_backlog_size == 1 << 30


@pytest.mark.requirement("CHM-50")
def test_a_forwarded_segment_is_processed(driver: Driver) -> None:
    connection = driver.connect()
    connection.send(bytes(10))
    connection.peer.ack += 10
    connection.forward(connection.peer.tcp(b"forwarded", flags=packet.ACK | packet.PSH))
    found = ends(driver)
    assert (CompletionType.CHM_FORWARD, ChmStatus.OK) in found
    assert (CompletionType.CHM_SEND, ChmStatus.OK) in found
    assert connection.data == b"forwarded"
    assert connection.query().rcv_nxt == IRS + 9


@pytest.mark.requirement("CHM-50", "CHM-20")
def test_a_forwarded_segment_in_pieces(driver: Driver) -> None:
    connection = driver.connect()
    segment = connection.peer.tcp(bytes(range(200)))
    address = driver.rig.stage(segment)
    cuts = [1, 19, 100]
    entries, at = [], 0
    for cut in cuts:
        entries.append(ChmSubmission(op=FORWARD, addr=address + at, len=cut, more=1))
        at += cut
    connection.submit(*entries, ChmSubmission(op=FORWARD, addr=address + at, len=len(segment) - at))
    assert ends(driver) == [(CompletionType.CHM_FORWARD, ChmStatus.OK)]
    assert connection.data == bytes(range(200))
    assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")


@pytest.mark.requirement("CHM-20", "CHM-22")
def test_a_forwarded_segment_of_too_many_pieces(driver: Driver) -> None:
    connection = driver.connect()
    address = driver.rig.stage(bytes(100))
    pieces = [ChmSubmission(op=FORWARD, addr=address, len=1, more=1) for _ in range(40)]
    connection.submit(*pieces, ChmSubmission(op=FORWARD, addr=address, len=1))
    assert ends(driver) == [(CompletionType.CHM_FORWARD, ChmStatus.BAD_LENGTH)]
    assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")


@pytest.mark.requirement("CHM-45")
def test_credit_beyond_what_the_driver_has_is_cut(driver: Driver) -> None:
    connection = driver.connect(initial_rcv_wnd=8000, rcv_wnd=8000)
    connection.receive(bytes(3000))
    driver.poll()
    errors = driver.rig.stat("GUEST_ERRORS")
    connection.submit(ChmSubmission(op=CREDIT, len=0xFFFF_FFFF))
    assert driver.rig.stat("GUEST_ERRORS") == errors + 1
    assert connection.query().receive_backlog_size == 0


@pytest.mark.requirement("CHM-20", "CHM-60")
def test_a_full_completion_ring_holds_submissions_back() -> None:
    with Driver(cq_count=8, pool_posted=0) as driver:
        connection = driver.connect()
        driver.poll()
        bad = ChmSubmission(op=RECEIVE, handle=connection.handle, len=0xFFFF_FFFF)
        driver.submit(0, *[bad] * 20)
        seen = 0
        for _ in range(10):
            fresh = driver.poll()
            seen += len(fresh)
            driver.run()
            driver.device.run()
        assert seen == 20


@pytest.mark.requirement("CHM-63")
@pytest.mark.parametrize("how", ["tail", "fetch", "taken back"])
def test_a_ring_that_stops_with_an_error(how: str) -> None:
    with Driver(manual=how == "taken back") as driver:
        driver.run()
        connection = driver.connect()
        if how == "tail":
            driver.rig.put(BAR0.CHQ_SQ_TAIL, driver.sq_count, 0)
            wanted = RingError.BAD_TAIL
        elif how == "fetch":
            fault = Fault(
                site=FaultSite.DMA_READ,
                action=FaultAction.ERROR,
                index=DmaPurpose.DESCRIPTOR,
                argument=DmaStatus.ABORTED,
            )
            driver.device.arm(fault)
            connection.send(b"x")
            wanted = RingError.FETCH_DMA
        else:
            connection.submit(*[ChmSubmission(op=CREDIT)] * 8)
            driver.device.run(Budget(1, 1 << 40))
            driver.rig.put(BAR0.CHQ_SQ_TAIL, 1, 0)
            wanted = RingError.BAD_TAIL
        assert ring_error(driver) == wanted
        assert driver.rig.stat("GUEST_ERRORS") == (wanted is RingError.BAD_TAIL)
        assert not is_running(driver)
        assert driver.rig.field(BAR0.CHM_STATUS, "UPLOAD_ALL")
        driver.run()
        connection.receive(b"the connection runs on")
        driver.run()
        driver.poll()
        assert connection.data == b"the connection runs on"


@pytest.mark.requirement("CHM-63", "CHM-1")
def test_a_ring_is_started_by_the_rules(driver: Driver) -> None:
    rig = driver.rig
    reset = BAR0.CHQ_SQ_CTRL.encode(RESET=1)
    for register, value, wanted in (
        (BAR0.CHQ_SQ_COUNT, 4, RingError.BAD_COUNT),
        (BAR0.CHQ_SQ_COUNT, 24, RingError.BAD_COUNT),
        (BAR0.CHQ_SQ_BASE, driver.sq_memory[0].address + 8, RingError.BAD_BASE),
    ):
        rig.put(BAR0.CHQ_SQ_CTRL, reset, 0)
        assert (ring_error(driver), is_running(driver)) == (RingError.NONE, False)
        rig.put(BAR0.CHQ_SQ_BASE, driver.sq_memory[0].address, 0)
        rig.put(BAR0.CHQ_SQ_COUNT, driver.sq_count, 0)
        rig.put(register, value, 0)
        rig.put(BAR0.CHQ_SQ_CTRL, BAR0.CHQ_SQ_CTRL.encode(ENABLE=1), 0)
        assert (ring_error(driver), is_running(driver)) == (wanted, False)
    driver.switch_off()
    errors = rig.stat("GUEST_ERRORS")
    driver.start_submissions(0)
    assert not is_running(driver)
    assert rig.stat("GUEST_ERRORS") == errors + 1


@pytest.mark.requirement("CHM-1")
def test_switching_off_in_the_middle_of_a_request(driver: Driver) -> None:
    connection = driver.connect()
    address = driver.rig.stage(bytes(100))
    connection.submit(*[ChmSubmission(op=SEND, addr=address, len=10, more=1)] * 5)
    assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK") - 5
    driver.switch_off()
    driver.enable()
    assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")
    again = driver.connect()
    again.send(b"as new")
    assert [s.payload for s in again.sent()] == [b"as new"]


@pytest.mark.requirement("CHM-20")
def test_stopping_a_ring_forgets_the_request_being_collected(driver: Driver) -> None:
    connection = driver.connect()
    address = driver.rig.stage(bytes(100))
    connection.submit(*[ChmSubmission(op=SEND, addr=address, len=10, more=1)] * 5)
    driver.rig.put(BAR0.CHQ_SQ_CTRL, 0, 0)
    assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")
    driver.start_submissions(0)
    connection.send(b"whole")
    assert [s.payload for s in connection.sent()] == [b"whole"]


@pytest.mark.requirement("CHM-20")
def test_rings_take_turns() -> None:
    with Driver(pairs=4, sq_count=256) as driver:
        connections = [driver.connect(local_port=80 + n, queue=n) for n in range(4)]
        for connection in connections:
            connection.send(b"from every ring")
        assert sorted(s.source_port for s in connections[0].sent()) == [80, 81, 82, 83]


@pytest.mark.requirement("CHM-20")
@pytest.mark.parametrize("seed", range(12))
def test_noise_in_a_submission_ring_harms_nobody_else(seed: int) -> None:
    random = Random(seed)
    with Driver(pairs=2, chimney_work=64, cq_count=1024) as driver:
        victim, other = driver.connect(queue=0), driver.connect(queue=1, local_port=81)
        handles = [victim.handle, other.handle, 0, random.getrandbits(32)]
        for _ in range(300):
            op = random.choice([0, 1, 1, 2, 2, 3, 4, 5, 5, 6])
            length = random.choice([0, 1, 19, 20, 100, 65535, 1 << 30, 0xFFFF_FFFF])
            entry = bytearray(
                ChmSubmission(
                    op=op,
                    handle=random.choice(handles),
                    addr=random.choice([0, driver.rig.stage(bytes(64)), 1 << 45, (1 << 64) - 10]),
                    len=length,
                    more=random.random() < 0.3,
                    push=random.getrandbits(1),
                    data_count=random.choice([0, 0, 1]),
                    before=random.choice([0, 5]),
                ).pack()
            )
            if random.random() < 0.05:
                entry[random.randrange(32)] ^= 1 << random.randrange(8)
            driver.submit(0, bytes(entry))
            driver.poll()
            driver.rig.sent()
        other.send(b"unharmed")
        assert b"unharmed" in [s.payload for s in other.sent()]
        victim.terminate()
        driver.rig.put(BAR0.CHQ_SQ_CTRL, 0, 0)
        other.peer.ack = ISS + 8
        other.receive()
        assert driver.stat("FREE_WORK") == 64
