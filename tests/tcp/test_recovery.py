"""CC: SACK information that lies, PRR, RACK, tail loss probes and undo: RFC 2018, 6937, 8985, 4015."""

from __future__ import annotations

import pytest

from tests.tcp.flight import BOTH, MSS, ack, at, numbers, sender
from vnic._core import lib

RTT = 100


@pytest.mark.requirement("CC-11")
@pytest.mark.parametrize("is_reneging", [False, True])
def test_after_a_timeout_sack_is_not_relied_on(is_reneging: bool) -> None:
    t = sender(queue=10, sack=True)
    t.drain()
    t.advance(RTT)
    ack(t, 0, 2, 3)
    while not t.statistics.timeouts:
        t.wait(5000)
        t.drain()
    seen: list[int] = []
    una = 0
    held = set() if is_reneging else {2, 3}
    for _ in range(40):
        while una in held or una in seen:
            una += 1
        if una == 10:
            break
        t.advance(RTT)
        seen += numbers(t.drain())
        seen += ack(t, una, *(n for n in held if n > una))
        if not seen:
            t.wait(10_000)
            seen += numbers(t.drain())
    assert una == 10, f"stalled at {una}"
    assert {2, 3} <= set(seen) or not is_reneging


@pytest.mark.requirement("CC-11")
def test_reneging_shows_when_the_first_bytes_are_sacked() -> None:
    t = sender(queue=10, sack=True)
    t.drain()
    t.advance(RTT)
    ack(t, 0, 1, 2, 3)
    ack(t, 1)  # the receiver threw 1 .. 3 away
    for _ in range(4):
        if t.snd_una > at(1) - 1 and t.endpoint.runs() == []:
            break
        t.wait(5000)
        sent = numbers(t.drain())
        if 1 in sent:
            break
    else:
        t.fail("segment 1 is never sent again")


@pytest.mark.requirement("CC-12")
@pytest.mark.parametrize(
    "block",
    [
        (-5000, 0), (1 - MSS, 1), (1, 1), (5, 5), (at(3), at(2)), (at(5), at(40)), (at(10) + 1, at(11)),
        (at(10), at(10)), (2**31 - 10, -(2**31) + 10), (at(9), at(10) + 1), (-1, at(5)), (0, 2**31 - 1),
    ],
)  # fmt: skip
def test_blocks_outside_of_what_is_in_flight_are_ignored(block: tuple[int, int]) -> None:
    t = sender(queue=10, sack=True)
    t.drain()
    before = [run[2] for run in t.endpoint.runs()]
    pipe = t.endpoint.pipe
    for _ in range(2):
        t.inject("ACK", ack=1, sack=[block] * 4)
        t.drain()
    assert {run[2] for run in t.endpoint.runs()} <= set(before)
    assert t.endpoint.pipe == pipe
    assert t.statistics.fast_recoveries == 0
    t.inject("ACK", ack=at(10))
    assert t.endpoint.released == 10 * MSS


@pytest.mark.requirement("CC-12")
def test_a_duplicate_report_is_no_new_information() -> None:
    t = sender(queue=20, sack=True)
    t.drain()
    t.advance(RTT)
    t.inject("ACK", ack=at(4))
    t.drain()
    runs = [run[2] for run in t.endpoint.runs()]
    for i in range(3):
        t.inject("ACK", ack=at(4), sack=[(at(i), at(i + 1))])
        t.drain()
    assert [run[2] for run in t.endpoint.runs()] == runs
    assert t.statistics.fast_recoveries == 0
    assert t.statistics.dsacks_in == 3


@pytest.mark.requirement("CC-12")
def test_blocks_where_sack_was_not_agreed_are_ignored() -> None:
    t = sender(queue=10, sack=False)
    t.drain()
    t.inject("ACK", ack=1, sack=[(at(5), at(9))])
    t.drain()
    assert t.endpoint.pipe >= 9 * MSS, "no more than a duplicate ACK"


@pytest.mark.requirement("CC-13")
@BOTH
def test_prr_sends_in_proportion_to_what_is_delivered(congestion: str) -> None:
    t = sender(queue=10, sack=True, congestion=congestion)
    t.drain()
    t.advance(RTT)
    ack(t, 10)
    t.send(300 * MSS)
    t.drain()
    t.advance(RTT)
    for number in range(11, 31):
        ack(t, number)
    flight = (t.snd_nxt - 1) // MSS - 30
    assert flight >= 30
    t.advance(RTT)
    sent: list[int] = []
    held: list[int] = []
    largest = 0
    for number in range(31, 30 + flight):
        held.append(number)
        now = ack(t, 30, *held)
        largest = max(largest, len(now))
        sent += now
    share = 0.5 if congestion == "newreno" else 0.7
    assert largest <= 2, "a burst in recovery"
    assert len(sent) == pytest.approx(share * flight, abs=4)
    assert 30 in sent
    ssthresh = t.c.ssthresh
    t.advance(RTT)
    ack(t, 30 + flight)
    assert t.c.cwnd <= ssthresh + MSS
    assert t.c.phase == lib.TCP_PHASE_OPEN


@pytest.mark.requirement("CC-14")
def test_time_alone_finds_a_loss() -> None:
    t = sender(queue=10, sack=True)
    t.drain()
    t.advance(RTT)
    ack(t, 0, 1, 2)  # two are above: fewer than three
    assert t.statistics.fast_recoveries == 0
    took = t.wait(1000)
    assert took <= RTT / 4 + 2, "a quarter of the smallest RTT"
    assert numbers(t.drain())[0] == 0
    assert t.statistics.fast_recoveries == 1
    assert t.statistics.timeouts == 0


@pytest.mark.requirement("CC-14")
def test_a_lost_retransmission_is_found() -> None:
    t = sender(queue=100, sack=True)
    t.drain()
    t.advance(RTT)
    sent = ack(t, 0, 1, 2, 3)
    assert sent[0] == 0
    held = [1, 2, 3, *range(4, 10)]
    for number in range(4, 10):
        sent += ack(t, 0, *range(1, number + 1))
    t.advance(RTT)
    sent += numbers(t.drain())
    for number in [n for n in sent if n >= 10]:
        held.append(number)
        if 0 in (again := ack(t, 0, *held)):
            break
        sent += again
    else:
        assert t.wait(RTT) < RTT
        assert 0 in numbers(t.drain())
    assert t.statistics.timeouts == 0


@pytest.mark.requirement("CC-14")
def test_reordering_widens_the_window_of_rack() -> None:
    t = sender(queue=400, sack=True)
    t.drain()
    una = 0
    for _ in range(3):  # segments a little late, each sent again and then reported as a duplicate
        t.advance(RTT)
        t.drain()
        ack(t, una, una + 1, una + 2, una + 3, una + 4)
        t.advance(30)
        t.drain()
        t.inject("ACK", ack=at(una + 5))
        t.drain()
        t.inject("ACK", ack=at(una + 5), sack=[(at(una), at(una + 1))])
        t.drain()
        una += 5
        t.advance(RTT)
        t.drain()
        top = (t.snd_nxt - 1) // MSS
        t.inject("ACK", ack=at(top))
        t.drain()
        una = top
    assert t.endpoint.has(lib.TCP_REORDERING_SEEN)
    assert t.c.reo_mult > 1


@pytest.mark.requirement("CC-15")
@pytest.mark.parametrize("queue", [3, 10])
def test_a_lost_tail_is_probed(queue: int) -> None:
    t = sender(queue=queue, sack=True)
    t.drain()
    assert t.wait(5000) == pytest.approx(2 * RTT, abs=2)
    assert numbers(t.drain()) == [queue - 1], "without new data the last segment"
    assert (t.statistics.tail_probes, t.statistics.timeouts) == (1, 0)
    assert t.wait(5000) >= 200
    assert numbers(t.drain()) == [0], "one probe, then the timeout"
    assert t.statistics.tail_probes == 1


@pytest.mark.requirement("CC-15")
def test_the_probe_is_new_data_if_there_is_some() -> None:
    t = sender(queue=30, sack=True)
    assert numbers(t.drain()) == list(range(10))
    t.wait(5000)
    assert numbers(t.drain()) == [10]


@pytest.mark.requirement("CC-15")
def test_a_single_segment_waits_for_a_delayed_ack() -> None:
    t = sender(queue=1, sack=True)
    t.drain()
    took = t.wait(5000)
    assert 2 * RTT < took <= 300 + 2
    t.drain()


@pytest.mark.requirement("CC-15")
def test_a_probe_that_repaired_a_loss_reduces_the_window() -> None:
    t = sender(queue=5, sack=True)
    t.drain()
    t.advance(RTT)
    ack(t, 4)
    before = t.c.cwnd
    while not t.outbox:
        t.wait(5000)
    assert numbers(t.drain()) == [4]
    t.advance(RTT)
    ack(t, 5)
    t.send(5 * MSS)
    t.drain()
    t.advance(RTT)
    ack(t, 10)
    assert t.c.cwnd < before, "no duplicate report until the ACK passed it: the segment had been lost"


@pytest.mark.requirement("CC-15")
def test_a_probe_that_was_not_needed_costs_nothing() -> None:
    t = sender(queue=5, sack=True)
    t.drain()
    t.advance(RTT)
    ack(t, 4)
    before = t.c.cwnd
    while not t.outbox:
        t.wait(5000)
    assert numbers(t.drain()) == [4]
    ack(t, 5)
    t.advance(RTT)
    t.inject("ACK", ack=at(5), sack=[(at(4), at(5))])
    t.send(5 * MSS)
    t.drain()
    t.advance(RTT)
    ack(t, 10)
    assert t.c.cwnd >= before
    assert t.statistics.timeouts == 0


@pytest.mark.requirement("CC-15")
def test_the_tail_probe_finds_the_holes_above() -> None:
    t = sender(queue=10, sack=True)
    t.drain()
    t.wait(5000)
    assert numbers(t.drain()) == [9]
    t.advance(RTT)
    sent = ack(t, 7, 9)
    if not sent:
        t.wait(RTT)
        sent = numbers(t.drain())
    assert sent[0] == 7
    assert t.statistics.timeouts == 0


@pytest.mark.requirement("CC-21")
@BOTH
def test_a_duplicate_report_undoes_the_reduction(congestion: str) -> None:
    t = sender(queue=100, sack=True, congestion=congestion)
    t.drain()
    t.advance(RTT)
    before = t.c.cwnd
    assert ack(t, 0, 1, 2, 3)[0] == 0
    assert t.c.ssthresh < before
    for number in range(4, 8):
        ack(t, 0, *range(1, number + 1))
    ack(t, 8)  # the original came late
    t.inject("ACK", ack=at(8), sack=[(at(0), at(1))])  # and the retransmission was a duplicate
    t.drain()
    for number in range(9, 16):
        ack(t, number)
    assert t.c.cwnd >= before
    assert t.statistics.undone == 1


@pytest.mark.requirement("CC-21")
def test_timestamps_undo_a_fast_retransmit() -> None:
    t = sender(queue=100, sack=True, timestamps=True)
    first = t.last_ts
    t.drain()
    size = MSS - 12
    t.advance(RTT)
    before = t.c.cwnd
    t.inject("ACK", ack=1, sack=[(1 + size, 1 + 4 * size)])
    t.drain()
    assert t.c.ssthresh < before
    t.advance(2)
    t.inject("ACK", ack=1 + 4 * size, ts=(t.peer_clock, first))
    t.drain()
    assert t.c.cwnd >= before
    assert t.statistics.undone == 1
