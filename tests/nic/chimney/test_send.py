"""Sends and disconnects of connections: from host memory, in order, completed when acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nic.chimney.driver import CLOSE_WAIT, FIN_WAIT_1, LAST_ACK, SACK, Connection, Driver
from vnic.abi import DmaPurpose, DmaStatus, FaultAction, FaultSite
from vnic.fault import Fault
from vnic.fuzz.effort import examples
from vnic.gen.descriptors import ChmCompletion, ChmEventEntry, ChmSubmission
from vnic.gen.enums import ChmEvent, ChmReason, ChmStatus, ChmSubmissionOp, CompletionType
from vnic.testbench.tcp_peer import IRS, ISS, Segment
from vnic.wire import packet

MSS = 1460
SEND, RECEIVE = CompletionType.CHM_SEND, CompletionType.CHM_RECEIVE
DISCONNECT = CompletionType.CHM_DISCONNECT


@pytest.fixture
def driver() -> Iterator[Driver]:
    with Driver() as made:
        yield made


def noise(length: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(length)


def acknowledge(connection: Connection, count: int, **frame: Any) -> None:
    """The peer acknowledges so many bytes more."""
    connection.peer.ack += count
    connection.receive(**frame)


def stream(segments: list[Segment], start: int = ISS) -> bytes:
    """The payload, which must be without gap or overlap."""
    made = b""
    for segment in segments:
        assert segment.seq == start + len(made)
        made += segment.payload
    return made


def done(driver: Driver, kind: CompletionType = SEND) -> list[tuple[int, int]]:
    """(COUNT, STATUS) of the completions of a kind."""
    return [(entry.count, entry.status) for entry in driver.completions(kind)]


@pytest.mark.requirement("CHM-21")
@pytest.mark.parametrize("version", [4, 6])
def test_a_send_leaves_as_segments(driver: Driver, version: int) -> None:
    connection = driver.connect(version=version, remote_mss=1400)
    payload = noise(10_000)
    connection.send(payload)
    segments = connection.sent()
    assert stream(segments) == payload
    assert [len(s.payload) for s in segments] == [1400] * 7 + [200]
    assert all((s.source_port, s.destination_port, s.ack) == (80, 40000, IRS) for s in segments)
    assert all(s.flags & packet.ACK for s in segments)
    assert driver.stat("SENT_BYTES") == len(payload)


@pytest.mark.requirement("CHM-21", "CHM-20")
def test_pieces_of_any_cut_make_one_stream(driver: Driver) -> None:
    connection = driver.connect()
    payloads = [noise(n, n) for n in (1, 3000, 7, 1460, 2, 4096)]
    for payload, cuts in zip(
        payloads, ((), (1, 1459, 1), (3, 3), (1459,), (1,), (1000, 1, 2000)), strict=True
    ):
        connection.send(payload, cuts=cuts)
    assert stream(connection.sent()) == b"".join(payloads)
    assert done(driver) == []
    acknowledge(connection, sum(map(len, payloads)))
    assert sum(count for count, status in done(driver)) == len(payloads)


@pytest.mark.requirement("CHM-21", "INV-16")
def test_a_send_completes_with_its_last_byte_acknowledged(driver: Driver) -> None:
    connection = driver.connect()
    for length in (100, 200, 300):
        connection.send(bytes(length), cuts=(50,))
    acknowledge(connection, 99)
    assert done(driver) == []
    acknowledge(connection, 1)
    assert done(driver) == [(1, ChmStatus.OK)]
    acknowledge(connection, 499)
    assert done(driver) == [(1, ChmStatus.OK)] * 2
    completion, image = connection.terminate()
    assert completion.acked == 299
    assert image.snd_una == ISS + 599


@pytest.mark.requirement("CHM-21", "INV-16")
def test_selective_acknowledgment_completes_nothing(driver: Driver) -> None:
    connection = driver.connect(const_flags=SACK)
    connection.send(bytes(3 * MSS))
    block = (ISS + MSS).to_bytes(4) + (ISS + 3 * MSS).to_bytes(4)
    connection.receive(options=b"\x01\x01\x05\x0a" + block)
    assert done(driver) == []
    completion, _ = connection.terminate()
    assert completion.acked == 0


@pytest.mark.requirement("CHM-21")
def test_memory_is_read_when_the_segment_leaves(driver: Driver) -> None:
    connection = driver.connect(cwnd=MSS)
    address = connection.send(bytes(2 * MSS))
    assert stream(connection.sent()) == bytes(MSS)
    driver.memory.write(address + MSS, b"\xaa" * MSS)
    acknowledge(connection, MSS)
    assert b"".join(s.payload for s in connection.sent()) == b"\xaa" * MSS


@pytest.mark.requirement("CHM-21")
def test_lost_segments_are_read_again(driver: Driver) -> None:
    connection = driver.connect()
    payload = noise(5 * MSS)
    connection.send(payload, cuts=(700, 1460, 3))
    connection.sent()
    for _ in range(3):
        connection.receive()
    (again,) = connection.sent()[:1]
    assert (again.seq, again.payload) == (ISS, payload[:MSS])
    assert driver.stat("TCP4_RETRANSMITTED_SEGMENTS") == 1
    acknowledge(connection, len(payload))
    assert done(driver) == [(1, ChmStatus.OK)]


@pytest.mark.requirement("CHM-21")
def test_a_timeout_sends_again(driver: Driver) -> None:
    connection = driver.connect()
    connection.send(b"once more")
    connection.sent()
    sent = driver.stat("TCP4_OUT_SEGMENTS")
    driver.advance(3_100_000_000)
    segments = connection.sent()
    assert segments
    assert all((s.seq, s.payload) == (ISS, b"once more") for s in segments)
    assert driver.stat("TCP4_OUT_SEGMENTS") == sent
    assert driver.stat("TCP4_RETRANSMITTED_SEGMENTS") == len(segments)


@pytest.mark.requirement("CHM-5", "CHM-21")
def test_the_list_of_a_create_is_sent_first(driver: Driver) -> None:
    sends = [noise(1000, 1), noise(2000, 2)]
    connection = driver.connect(sends=sends, snd_nxt=ISS + 500, snd_max=ISS + 500)
    connection.send(b"and this")
    segments = connection.sent()
    assert stream(segments, ISS + 500) == (b"".join(sends) + b"and this")[500:]
    acknowledge(connection, 3008)
    assert sum(count for count, _ in done(driver)) == 3


@pytest.mark.requirement("CHM-5", "CHM-21", "INV-15")
def test_what_was_sent_before_the_move_is_sent_first(driver: Driver) -> None:
    """SndNxt below SndMax: those bytes leave again, before any that never left (invariant 15)."""
    payload = noise(4 * MSS)
    connection = driver.connect(
        sends=[payload], snd_nxt=ISS, snd_max=ISS + 2 * MSS, cwnd=MSS, retransmit_timeout_delta=1000
    )
    assert [s.seq for s in connection.sent()][:1] == [ISS]


@pytest.mark.requirement("CHM-23")
def test_push_marks_the_end_of_a_send(driver: Driver) -> None:
    connection = driver.connect(cwnd=20 * MSS)
    connection.send(bytes(MSS), push=1)
    connection.send(bytes(MSS + 10), push=0)
    connection.send(bytes(2 * MSS - 20), cuts=(5,), push=1)
    connection.send(bytes(10 + MSS), push=0)
    flags = {s.seq - ISS: bool(s.flags & packet.PSH) for s in connection.sent()}
    assert flags[0]


@pytest.mark.requirement("CHM-23")
def test_push_inside_a_segment_and_at_the_end_of_the_queue(driver: Driver) -> None:
    sends = [bytes(MSS), bytes(100), bytes(3 * MSS - 100)]
    connection = driver.connect(sends=sends, cwnd=20 * MSS)
    assert [bool(s.flags & packet.PSH) for s in connection.sent()] == [True, True, False, True]
    other = driver.connect(local_port=81)
    other.submit(ChmSubmission(op=ChmSubmissionOp.SEND, addr=driver.rig.stage(bytes(2000)), len=2000))
    assert [bool(s.flags & packet.PSH) for s in other.sent()] == [False, True]


@pytest.mark.requirement("CHM-24")
def test_a_graceful_disconnect_follows_all_data(driver: Driver) -> None:
    connection = driver.connect()
    connection.send(b"x" * 2000)
    connection.disconnect(b"last words")
    segments = connection.sent()
    assert stream(segments) == b"x" * 2000 + b"last words"
    assert segments[-1].flags & packet.FIN
    assert not any(s.flags & packet.FIN for s in segments[:-1])
    acknowledge(connection, 2010)
    assert done(driver) == [(1, ChmStatus.OK)]
    assert done(driver, DISCONNECT) == []
    acknowledge(connection, 1)
    assert done(driver, DISCONNECT) == [(1, ChmStatus.OK)]
    assert connection.query().state == 5 + 1


@pytest.mark.requirement("CHM-24", "INV-31")
def test_one_ack_completes_sends_before_the_disconnect(driver: Driver) -> None:
    connection = driver.connect()
    connection.send(b"x" * 10)
    connection.disconnect()
    driver.take()
    acknowledge(connection, 11)
    kinds = [entry.type for entry in driver.take() if isinstance(entry, ChmCompletion)]
    assert kinds == [SEND, DISCONNECT]


@pytest.mark.requirement("CHM-24")
def test_the_receive_half_stays_open_after_a_graceful_disconnect(driver: Driver) -> None:
    connection = driver.connect()
    connection.disconnect()
    connection.receive(b"still here")
    driver.poll()
    assert connection.data == b"still here"


@pytest.mark.requirement("CHM-24")
@pytest.mark.parametrize(("state", "acked"), [(FIN_WAIT_1, 0), (LAST_ACK, 3)])
def test_a_fin_that_came_with_the_state_is_completed(driver: Driver, state: int, acked: int) -> None:
    connection = driver.connect(sends=[b"abc"], fin=True, state=state)
    assert stream(connection.sent()) == b"abc"
    acknowledge(connection, 4)
    assert done(driver) == [(1, ChmStatus.OK)]
    assert done(driver, DISCONNECT) == [(1, ChmStatus.OK)]


@pytest.mark.requirement("CHM-24")
def test_nothing_is_sent_after_a_disconnect(driver: Driver) -> None:
    connection = driver.connect()
    connection.disconnect()
    connection.sent()
    connection.send(b"too late")
    connection.disconnect()
    assert done(driver) == [(1, ChmStatus.BAD_STATE)]
    assert done(driver, DISCONNECT) == [(1, ChmStatus.BAD_STATE)]
    assert connection.sent() == []


@pytest.mark.requirement("CHM-24", "INV-30")
@pytest.mark.parametrize("state", [4, CLOSE_WAIT])
def test_an_abortive_disconnect_sends_a_reset_and_is_silent_then(driver: Driver, state: int) -> None:
    connection = driver.connect(state=state)
    connection.send(bytes(500))
    connection.post(100)
    connection.sent()
    connection.disconnect(abortive=1)
    (reset,) = connection.sent()
    assert reset.flags & packet.RST
    assert reset.seq == ISS + 500
    assert done(driver, DISCONNECT) == [(1, ChmStatus.OK)]
    assert done(driver) == []
    for flags in (packet.ACK, packet.ACK | packet.FIN, packet.SYN):
        connection.receive(b"data", flags=flags)
    driver.advance(10_000_000_000)
    assert connection.sent() == []
    assert driver.stat("TCP4_OUT_RESETS") == 1
    connection.send(b"no more")
    assert done(driver)[-1] == (1, ChmStatus.ABORTED)
    assert driver.stat("FREE_WORK") == driver.stat("MAX_WORK")


@pytest.mark.requirement("CHM-24")
def test_an_abort_ends_a_graceful_disconnect(driver: Driver) -> None:
    connection = driver.connect()
    connection.disconnect()
    connection.disconnect(abortive=1)
    assert done(driver, DISCONNECT) == [(1, ChmStatus.ABORTED), (1, ChmStatus.OK)]


@pytest.mark.requirement("CHM-24", "INV-29")
def test_only_an_abort_sends_a_reset(driver: Driver) -> None:
    connection = driver.connect()
    connection.send(bytes(100))
    connection.receive(flags=packet.SYN, seq=IRS + 100)
    connection.receive(flags=packet.RST, seq=IRS + 100)
    connection.receive(flags=packet.ACK, ack=ISS + 10_000)
    connection.receive(b"late", seq=IRS - 500)
    driver.advance(200_000_000_000)
    assert not any(s.flags & packet.RST for s in connection.sent())
    assert driver.stat("TCP4_OUT_RESETS") == 0


@pytest.mark.requirement("CHM-22")
def test_work_that_finds_no_room_asks_for_an_upload() -> None:
    with Driver(chimney_work=16) as driver:
        connection = driver.connect(snd_wnd=1000, max_snd_wnd=1000)
        other = driver.connect(local_port=81)
        for _ in range(16):
            connection.send(bytes(100))
        other.send(b"no room")
        assert done(driver) == [(1, ChmStatus.XMIT_BUFFER)]
        assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED]
        assert not any(s.source_port == 81 for s in other.sent())
        acknowledge(connection, 1000)
        other.send(b"nor now")
        assert done(driver)[-1] == (1, ChmStatus.UPLOAD)
        completion, image = other.terminate()
        assert (image.snd_una, image.snd_nxt, image.send_backlog_size, completion.acked) == (ISS, ISS, 0, 0)


@pytest.mark.requirement("CHM-22", "INV-17")
def test_a_refused_send_moves_no_byte_and_ends_with_the_others() -> None:
    with Driver(chimney_work=16) as driver:
        connection = driver.connect(cwnd=4 * MSS)
        payload = noise(16 * 100)
        for n in range(16):
            connection.send(payload[100 * n : 100 * n + 100])
        connection.send(b"refused")
        connection.send(b"refused too")
        assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED]
        assert done(driver) == []
        _, image = connection.terminate()
        assert stream(connection.sent()) in (payload, payload[: image.snd_nxt - ISS])
        assert image.send_backlog_size == len(payload)
        assert driver.stat("FREE_WORK") == 16


@pytest.mark.requirement("CHM-22")
def test_an_unending_request_takes_no_more_than_the_pool() -> None:
    with Driver(chimney_work=16) as driver:
        connection = driver.connect()
        address = driver.rig.stage(bytes(64))
        for _ in range(40):
            connection.submit(ChmSubmission(op=ChmSubmissionOp.SEND, addr=address, len=1, more=1))
        assert driver.stat("FREE_WORK") == 16
        connection.submit(ChmSubmission(op=ChmSubmissionOp.SEND, addr=address, len=1))
        assert done(driver) == [(1, ChmStatus.XMIT_BUFFER)]
        assert connection.sent() == []


@pytest.mark.requirement("CHM-22")
def test_a_receive_that_finds_no_room_asks_for_an_upload() -> None:
    with Driver(chimney_work=16) as driver:
        connection, other = driver.connect(), driver.connect(local_port=81)
        for _ in range(16):
            connection.post(100)
        other.post(100)
        assert done(driver, RECEIVE) == [(1, ChmStatus.RCV_BUFFER)]
        assert [entry.handle for entry in driver.events()] == [other.handle]
        driver.take()
        connection.post(100)
        assert done(driver, RECEIVE) == []
        assert driver.reasons() == [ChmReason.UPLOAD_REQUESTED]
        completion, _ = connection.terminate()
        assert completion.placed == 0
        assert driver.stat("FREE_WORK") == 16


@pytest.mark.requirement("CHM-27")
@pytest.mark.parametrize("watched", [False, True])
def test_send_data_that_cannot_be_read(driver: Driver, watched: bool) -> None:
    connection = driver.connect()
    driver.take()
    if watched:
        driver.device.arm(
            Fault(
                site=FaultSite.DMA_READ,
                action=FaultAction.ERROR,
                index=DmaPurpose.DATA,
                argument=DmaStatus.POISONED,
            )
        )
        connection.send(bytes(100))
    else:
        connection.submit(ChmSubmission(op=ChmSubmissionOp.SEND, addr=1 << 45, len=100))
    assert connection.sent() == []
    (event,) = driver.events()
    assert (event.event, event.reason) == (ChmEvent.RETRIEVE, ChmReason.HARDWARE_FAILURE)
    driver.advance(5_000_000_000)
    connection.receive(b"data")
    assert connection.sent() == []
    _, image = connection.terminate()
    assert image.send_backlog_size == 100


@pytest.mark.requirement("CHM-27")
def test_a_gap_in_the_middle_of_a_send(driver: Driver) -> None:
    connection = driver.connect()
    good = driver.rig.stage(noise(2 * MSS))
    connection.submit(
        ChmSubmission(op=ChmSubmissionOp.SEND, addr=good, len=2 * MSS, more=1),
        ChmSubmission(op=ChmSubmissionOp.SEND, addr=1 << 45, len=100),
    )
    assert stream(connection.sent()) == noise(2 * MSS)
    assert driver.reasons() == [ChmReason.HARDWARE_FAILURE]


@pytest.mark.requirement("CHM-21")
def test_sends_of_no_bytes_complete_in_their_turn(driver: Driver) -> None:
    connection = driver.connect()
    connection.send(b"")
    assert done(driver) == [(1, ChmStatus.OK)]
    connection.send(b"abc")
    connection.send(b"")
    assert done(driver) == [(1, ChmStatus.OK)]
    acknowledge(connection, 3)
    assert sum(count for count, _ in done(driver)) == 3


@pytest.mark.requirement("CHM-21")
def test_the_ideal_backlog_is_told_when_it_changes(driver: Driver) -> None:
    connection = driver.connect(cwnd=2 * MSS)
    for _ in range(8):
        connection.send(bytes(2 * MSS))
        acknowledge(connection, 2 * MSS)
    told = [
        e.count for e in driver.take() if isinstance(e, ChmEventEntry) and e.event == ChmEvent.SEND_BACKLOG
    ]
    assert told == sorted(set(told))
    assert told
    assert all(count & (count - 1) == 0 for count in told)


@pytest.mark.requirement("CHM-21", "INV-18")
@examples(25)
@given(
    sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=12),
    seed=st.integers(0, 1 << 32),
    mss=st.sampled_from([88, 536, 1460]),
)
def test_any_sends_arrive_and_complete_in_order(sizes: list[int], seed: int, mss: int) -> None:
    """Bytes posted = acknowledged + returned (invariant 18), whatever the peer acknowledges when."""
    random = Random(seed)
    with Driver(sq_count=256, cq_count=1024) as driver:
        connection = driver.connect(remote_mss=mss, cwnd=random.randrange(mss, 40 * mss))
        payload = b"".join(noise(size, seed + n) for n, size in enumerate(sizes))
        got, at, acked = bytearray(len(payload)), 0, 0
        for size in sizes:
            cuts = [random.randrange(1, 400) for _ in range(3)] if size > 1200 else []
            connection.send(payload[at : at + size], cuts=cuts)
            at += size
            for segment in connection.sent():
                start = segment.seq - ISS
                got[start : start + len(segment.payload)] = segment.payload
                acked = max(acked, start + len(segment.payload))
            if random.random() < 0.7 and acked:
                connection.peer.ack = ISS + acked
                connection.receive()
        count = sum(entry.count for entry in driver.completions(SEND))
        completion, image = connection.terminate()
        una = image.snd_una - ISS
        assert got[:una] == payload[:una]
        whole = sum(sizes[:count])
        assert whole + completion.acked == una
        assert una + image.send_backlog_size == len(payload)
