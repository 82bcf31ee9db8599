"""What the report counts: groups of events, polling, TCP's sequence numbers, and which events it lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.abi import DmaStatus, EventType
from vnic.fuzz.effort import examples
from vnic.trace.event import TraceEvent
from vnic.trace.report import connections, figures, half, listing, timeline
from vnic.trace.report.connections import Connections
from vnic.trace.report.half import ACK, FIN, POINTS_MAX, RST, SYN, Half
from vnic.trace.report.listing import Listing
from vnic.trace.report.polls import Polls
from vnic.trace.report.timeline import Timeline
from vnic.wire.packet import ethernet, ipv4, ipv6, tcp

ONE, OTHER = ("10.0.0.1", 1000), ("10.0.0.2", 80)


def segment(source: tuple[str, int], target: tuple[str, int], data: int = 0, **more: object) -> bytes:
    """A frame with a TCP segment of so many bytes of data."""
    octets = tcp(source[0], target[0], source[1], target[1], bytes(data), **more)  # type: ignore[arg-type]
    build = ipv6 if ":" in source[0] else ipv4
    return ethernet(build(source[0], target[0], 6, octets), min_len=60)


def seen(*frames: bytes, apart_ns: int = 10) -> Connections:
    """The connections of these frames, which arrive one after the other."""
    found = Connections()
    for number, frame in enumerate(frames):
        kind = EventType.FRAME_OUT if number % 2 else EventType.FRAME_IN
        found.add(TraceEvent(number, kind, number * apart_ns, data=frame, length=len(frame)))
    return found


# ---- groups ------------------------------------------------------------------------------------------------


@examples(30)
@given(st.integers(1, 400), st.integers(1, 5))
def test_groups_lose_nothing_however_many_events(events: int, step: int) -> None:
    found = Timeline()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "GROUPS_MAX", 16)
        for number in range(events):
            found.add(number, number * step, ["even"] if number % 2 == 0 else ["odd", "unit"])
    assert len(found.groups) <= 16
    assert sum(group.counts.get("even", 0) for group in found.groups) == (events + 1) // 2
    assert sum(group.counts.get("unit", 0) for group in found.groups) == events // 2
    assert [group.number for group in found.groups] == list(range(0, events, found.size))
    assert found.groups[-1].last_ns == (events - 1) * step
    assert (found.events, found.end) == (events, events)


def test_marks_are_bounded() -> None:
    found = Timeline()
    for number in range(timeline.MARKS_MAX + 3):
        found.mark(number, 0, "x" * 1000)
    assert (len(found.marks), found.marks_left_out) == (timeline.MARKS_MAX, 3)
    assert len(found.marks[0][2]) == 120


# ---- polling -----------------------------------------------------------------------------------------------


def polled(*accesses: tuple[str, int, bool]) -> Polls:
    """Name, value, and whether it is a read."""
    found = Polls()
    for number, (name, value, is_read) in enumerate(accesses):
        kind = EventType.MMIO_READ if is_read else EventType.MMIO_WRITE
        found.add(TraceEvent(number, kind, number * 7, value=value), name)
    found.finish()
    return found


def test_a_loop_has_its_reads_and_what_ended_it() -> None:
    found = polled(("A", 9, True), *[("B", 1, True)] * 4, ("B", 2, True), ("C", 0, True))
    (loop,) = found.ranked()
    assert (loop.name, loop.reads, loop.value, loop.then) == ("B", 4, 1, 2)
    assert (loop.first, loop.first_ns, loop.last_ns) == (1, 7, 28)
    assert found.registers == {"f0 B": (1, 4)}


def test_another_access_between_makes_it_no_loop() -> None:
    assert polled(*[("B", 1, True), ("B", 1, True), ("C", 1, False)] * 3).ranked() == []
    assert polled(*[("B", 1, False)] * 5).ranked() == []
    (loop,) = polled(*[("B", 1, True)] * 3, ("B", 1, False)).ranked()
    assert loop.then is None


def test_the_longest_loops_are_kept() -> None:
    loops = [[("B", 1, True)] * (3 + number % 5) + [("C", 1, False)] for number in range(600)]
    found = polled(*[each for loop in loops for each in loop])
    assert found.loops == 600
    assert [loop.reads for loop in found.ranked()] == [7] * 100


# ---- one direction of a connection -------------------------------------------------------------------------


def test_new_data_again_and_a_gap() -> None:
    one = Half()
    one.send(0, 100, 0, SYN)
    one.send(1, 101, 10, ACK)
    one.send(2, 121, 10, ACK)
    one.send(3, 111, 10, ACK)
    one.send(4, 101, 10, ACK)
    one.send(5, 131, 0, FIN | ACK)
    assert one.data == [(0, 0, 0, 1), (1, 1, 1, 11), (2, 21, 2, 31), (5, 31, 5, 32)]
    assert (one.late, one.again) == ([(3, 11, 21)], [(4, 1, 11)])
    assert (one.bytes, one.retransmitted, one.gaps_filled) == (30, 1, 1)
    assert one.flags == [(0, 0, "S"), (5, 31, "F")]


def test_sequence_numbers_go_round() -> None:
    one = Half()
    start = (1 << 32) - 5
    for number in range(4):
        one.send(number, (start + 10 * number) % (1 << 32), 10, ACK)
        one.acknowledge(number, (start + 10 * number + 10) % (1 << 32), 100, is_bare=True)
    assert [at for _, at, _, _ in one.data] == [0, 10, 20, 30]
    assert [at for _, at in one.acks] == [10, 20, 30, 40]
    assert [at for _, at in one.windows] == [110, 120, 130, 140]


def test_acknowledgements_of_the_same_byte() -> None:
    one = Half()
    one.send(0, 0, 100, ACK)
    for number in range(4):
        one.acknowledge(number, 50, None, is_bare=number != 2)
    assert (one.acks, one.windows, one.duplicate_acks) == ([(0, 50)], [], 2)


@pytest.mark.parametrize("gap", [0, 1])
def test_points_are_bounded(gap: int) -> None:
    """Neighbours become one stroke; what does not fit together is left out, and counted."""
    one = Half()
    for number in range(5 * POINTS_MAX):
        one.send(number, number * (10 + gap), 10, ACK)
        one.acknowledge(number, number * 10, None, is_bare=True)
    assert len(one.data) <= POINTS_MAX
    assert len(one.acks) <= POINTS_MAX
    assert one.bytes == 50 * POINTS_MAX
    assert one.data[0][:2] == (0, 0)
    if not gap:
        assert one.data[-1][3] == one.end
        assert all(before[3] == after[1] for before, after in zip(one.data, one.data[1:], strict=False))


@examples(60)
@given(
    st.lists(st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 2000), st.integers(0, 255)), max_size=60)
)
def test_any_segments_make_a_graph(segments: list[tuple[int, int, int]]) -> None:
    one = Half()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(half, "POINTS_MAX", 8)
        patch.setattr(half, "_HOLES_MAX", 4)
        for number, (seq, length, flags) in enumerate(segments):
            one.send(number, seq, length, flags)
            one.acknowledge(number, seq, length, is_bare=True)
            one.select(number, [(seq, seq + length)])
    lists = (one.data, one.again, one.late, one.acks, one.windows, one.sacks, one.flags)
    assert all(len(points) <= 8 for points in lists)
    assert one.segments == len(segments)
    assert len(one._seen) <= 4


# ---- connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [(ONE, OTHER), (("fd00::1", 1), ("fd00::2", 2))], ids=["IPv4", "IPv6"])
def test_both_directions_of_a_connection(ends: tuple[tuple[str, int], tuple[str, int]]) -> None:
    one, other = ends
    scale = bytes.fromhex("03 03 04 00")
    sack = bytes.fromhex("01 01 05 0a") + (2011).to_bytes(4) + (2021).to_bytes(4)
    found = seen(
        segment(one, other, seq=1000, flags=SYN, window=500, options=scale),
        segment(other, one, seq=2000, ack=1001, flags=SYN | ACK, window=400, options=scale),
        segment(one, other, 30, seq=1001, ack=2001, flags=ACK, window=100),
        segment(other, one, 10, seq=2011, ack=1031, flags=ACK, window=50),
        segment(one, other, seq=1031, ack=2001, flags=ACK, window=100, options=sack),
        segment(other, one, seq=2021, ack=1031, flags=RST | ACK),
    )
    (connection,) = found.all
    assert connection.ends == (one, other)
    out, back = connection.halves
    assert (out.bytes, back.bytes, connection.bytes, connection.segments) == (30, 10, 40, 6)
    assert out.acks == [(10, 1), (30, 31)]
    assert out.windows == [(10, 401), (30, 31 + (50 << 4))]
    assert back.acks == [(20, 1)]
    assert back.sacks == [(40, 11, 21)]
    assert back.flags[-1][2] == "R"
    assert connection.is_reset
    assert (connection.first_ns, connection.last_ns) == (0, 50)


def test_a_window_whose_unit_is_not_known_is_not_drawn() -> None:
    (connection,) = seen(segment(ONE, OTHER, 5, seq=1, ack=1, flags=ACK, window=9)).all
    assert connection.halves[1].windows == []


def test_a_new_handshake_between_the_same_ends_is_another_connection() -> None:
    again = segment(ONE, OTHER, seq=1, flags=SYN)
    found = seen(again, again, segment(ONE, OTHER, seq=900, flags=SYN))
    assert [each.segments for each in found.all] == [2, 1]
    assert found.all[0].halves[0].retransmitted == 1


def test_a_handshake_after_the_end_is_another_connection_even_with_the_same_number() -> None:
    first = segment(ONE, OTHER, seq=1, flags=SYN)
    ends = segment(ONE, OTHER, seq=2, flags=FIN | ACK), segment(OTHER, ONE, seq=9, ack=3, flags=FIN | ACK)
    assert [each.segments for each in seen(first, ends[0], first, ends[1], first).all] == [4, 1]
    assert [each.segments for each in seen(first, segment(OTHER, ONE, flags=RST), first).all] == [2, 1]


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FOLLOWED_MAX", 2)
    found = seen(*(segment((ONE[0], port), OTHER, port, seq=1, flags=ACK) for port in range(1, 6)))
    assert (len(found.all), found.left_out) == (2, 3)
    assert [each.bytes for each in found.ranked()] == [2, 1]


def test_frames_without_data_are_counted() -> None:
    found = Connections()
    found.add(TraceEvent(0, EventType.FRAME_OUT, 0, digest=5, length=1500))
    assert (found.unread, found.all) == (1, [])


@examples(80)
@given(st.binary(max_size=60), st.integers(0, 100), st.binary(max_size=40))
def test_any_octets_are_a_frame(octets: bytes, cut: int, options: bytes) -> None:
    whole = bytearray(segment(ONE, OTHER, 20, seq=1, flags=ACK, options=options[: len(options) // 4 * 4]))
    whole[46 : 46 + len(octets)] = octets
    seen(octets, bytes(whole), bytes(whole[:cut]), segment(ONE, ONE, 3, flags=ACK))


# ---- listing -----------------------------------------------------------------------------------------------


def test_what_is_listed_of_a_long_trace() -> None:
    found = Listing()
    odd = {2000: EventType.MARK, 2500: EventType.RESET, 3000: EventType.DMA_READ, 3990: EventType.MARK}
    for number in range(4000):
        kind = odd.get(number, EventType.DMA_WRITE)
        status = DmaStatus.ABORTED if kind == EventType.DMA_READ else DmaStatus.OK
        found.add(TraceEvent(number, kind, 0, value=status, data=bytes(5000), length=5000))
    rows = list(found.rows())
    events = [each for each in rows if isinstance(each, TraceEvent)]
    assert [each.number for each in events] == [*range(1500), 2000, 2500, 3000, *range(3700, 4000)]
    assert [each for each in rows if isinstance(each, int)] == [500, 499, 499, 699]
    assert all(len(each.data) <= 64 for each in events if each.type != EventType.MARK)


def test_notable_events_are_bounded() -> None:
    found = Listing()
    for number in range(5000):
        found.add(TraceEvent(number, EventType.MARK, 0))
    kept = found.kept()
    assert len(kept) == listing.FIRST + listing.NOTABLE + listing.LAST
    assert found.notable_left_out == 5000 - len(kept)


# ---- figures -----------------------------------------------------------------------------------------------


def test_figures() -> None:
    assert [figures.time(each) for each in (0, 999, 1500, 2_000_000, 60_000_000_000)] == [
        "0 ns", "999 ns", "1.5 µs", "2 ms", "60 s"
    ]  # fmt: skip
    assert [figures.octets(each) for each in (5, 1536, 3 << 20, 5 << 30)] == [
        "5 B",
        "1.5 KiB",
        "3.0 MiB",
        "5.0 GiB",
    ]
    assert figures.time(2_652_649_001) == "2.653 s"
    assert figures.time(2_652_649_001, 6) == "2.652649 s"
    assert figures.rate(1_250_000, 10**9) == "10.0 Mb/s"
    assert figures.rate(1_250_000_000, 10**9) == "10.00 Gb/s"
    assert figures.rate(5, 0) == figures.share(1, 0) == figures.NONE
    assert figures.share(1, 8) == "12.5 %"
