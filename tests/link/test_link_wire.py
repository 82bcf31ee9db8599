"""The emulated wire: order, timing, chance, conservation, link state."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.fuzz.effort import examples
from vnic.link.wire import Impairments, LaneStatistics, Wire

FRAME = bytes(range(64))


class Sink:
    """A port that keeps what it gets, and hears of the link."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.times: list[int] = []
        self.link: list[tuple[bool, int]] = []

    def deliver(self, frame: bytes, now_ns: int) -> None:
        self.frames.append(frame)
        self.times.append(now_ns)

    def link_changed(self, up: bool, now_ns: int) -> None:
        self.link.append((up, now_ns))


class Echo:
    """A port that answers each frame at once."""

    def __init__(self, wire: Wire, side: int) -> None:
        self.end = wire.end(side)
        self.times: list[int] = []
        wire.attach(side, self)

    def deliver(self, frame: bytes, now_ns: int) -> None:
        self.times.append(now_ns)
        self.end.transmit(frame, now_ns)


def wired(forth: Impairments | None = None, *, seed: int = 0) -> tuple[Wire, Sink, Sink]:
    """A wire with a sink at each end."""
    first, second = Sink(), Sink()
    return Wire(first, second, forth=forth, seed=seed), first, second


def drain(wire: Wire, until_ns: int | None = None) -> int:
    """Follow the deadlines; returns the last one."""
    last = 0
    while (deadline := wire.next_deadline_ns()) is not None and (until_ns is None or deadline <= until_ns):
        wire.advance(deadline)
        last = deadline
    return last


def send(wire: Wire, frames: Iterable[bytes], gap_ns: int = 1) -> None:
    """Transmit frames from side 0, one each `gap_ns`, the wire advanced to each deadline; then drain it."""
    for number, frame in enumerate(frames):
        drain(wire, number * gap_ns)
        wire.transmit(0, frame, number * gap_ns)
    drain(wire)


def numbered(count: int) -> list[bytes]:
    """Frames that carry their number."""
    return [number.to_bytes(4, "big") + bytes(60) for number in range(count)]


def balance(counts: LaneStatistics, in_flight: int) -> bool:
    """Whether every frame is accounted for."""
    gone = counts.lost + counts.queue_dropped + counts.oversize_dropped + counts.link_dropped
    return counts.sent + counts.duplicated == counts.delivered + gone + in_flight


def test_perfect_wire_delivers_in_advance_never_in_transmit() -> None:
    wire, first, second = wired()
    wire.transmit(0, b"ping", 5)
    assert second.frames == [] and wire.in_flight(0) == 1
    assert wire.next_deadline_ns() == 5
    assert wire.advance(5) == 1
    wire.end(1).transmit(b"pong", 7)
    assert wire.advance(100) == 1
    assert (second.frames, second.times) == ([b"ping"], [5])
    assert (first.frames, first.times) == ([b"pong"], [7])
    assert wire.next_deadline_ns() is None


def test_delay_is_exact_and_nothing_comes_early() -> None:
    wire, _, second = wired(Impairments(delay_ns=1000))
    wire.transmit(0, FRAME, 10)
    assert wire.advance(1009) == 0
    assert wire.advance(5000) == 1
    assert second.times == [1010]


@pytest.mark.parametrize(
    ("length", "bandwidth_bps", "gap_ns"),
    [(64, 10**9, 704), (1514, 10**9, 12_304), (1514, 10**10, 1230.4), (60, 10**8, 6720), (14, 10**9, 672)],
)
def test_bandwidth_is_the_serialisation_of_frame_and_overhead(
    length: int, bandwidth_bps: int, gap_ns: float
) -> None:
    wire, _, second = wired(Impairments(bandwidth_bps=bandwidth_bps))
    for _ in range(1000):
        wire.transmit(0, bytes(length), 0)
    drain(wire)
    # Fractions of a nanosecond add up: the thousandth frame is exact again.
    assert second.times[0] == -(-gap_ns // 1)
    assert second.times[-1] == round(1000 * gap_ns)
    assert all(
        b - a in (int(gap_ns), int(gap_ns) + 1) for a, b in zip(second.times, second.times[1:], strict=False)
    )


def test_line_rests_between_spaced_frames() -> None:
    wire, _, second = wired(Impairments(bandwidth_bps=10**9, delay_ns=100))
    for start in (0, 704, 5000):
        drain(wire, start)
        wire.transmit(0, FRAME, start)
    drain(wire)
    assert second.times == [804, 1508, 5804]


def test_queue_drops_its_tail_and_does_not_count_the_frame_on_the_line() -> None:
    wire, _, second = wired(Impairments(bandwidth_bps=10**9, queue_bytes=128))
    for frame in numbered(5):
        wire.transmit(0, frame, 0)
    assert wire.statistics(0).queue_dropped == 2
    drain(wire, 704)
    wire.transmit(0, b"x" * 64, 704)  # one of the two that waited is on the line: room for one
    drain(wire)
    assert [int.from_bytes(frame[:4], "big") for frame in second.frames[:3]] == [0, 1, 2]
    assert len(second.frames) == 4


def test_queue_of_zero_bytes_sends_only_on_an_idle_line() -> None:
    wire, _, second = wired(Impairments(bandwidth_bps=10**9, queue_bytes=0))
    wire.transmit(0, FRAME, 0)
    wire.transmit(0, FRAME, 703)
    wire.transmit(0, FRAME, 704)
    drain(wire)
    assert len(second.frames) == 2 and wire.statistics(0).queue_dropped == 1


def test_flight_is_bounded_when_time_stands_still() -> None:
    wire, _, _ = wired(Impairments(delay_ns=10**9, flight_bytes=64_000))
    for _ in range(5000):
        wire.transmit(0, FRAME, 0)
    assert wire.in_flight(0) == 1000
    assert wire.statistics(0).queue_dropped == 4000


def test_mtu_counts_layer_3_and_leaves_room_for_a_tag() -> None:
    wire, _, second = wired(Impairments(mtu=1500))
    for length in (1514, 1518, 1519):
        wire.transmit(0, bytes(length), 0)
    drain(wire)
    assert [len(frame) for frame in second.frames] == [1514, 1518]
    assert wire.statistics(0).oversize_dropped == 1


@pytest.mark.parametrize(
    ("nature", "counter"),
    [
        (Impairments(loss=0.2), "lost"),
        (Impairments(duplicate=0.2), "duplicated"),
        (Impairments(corrupt=0.2), "corrupted"),
    ],
)
def test_rates_are_what_was_asked(nature: Impairments, counter: str) -> None:
    wire, _, second = wired(nature, seed=3)
    send(wire, numbered(5000))
    counts = wire.statistics(0)
    assert 850 <= getattr(counts, counter) <= 1150  # 5000 x 0.2, sigma 28
    others = {"lost", "duplicated", "corrupted", "reordered"} - {counter}
    assert not any(getattr(counts, other) for other in others)
    assert len(second.frames) == 5000 - counts.lost + counts.duplicated


def test_corruption_inverts_exactly_one_bit_anywhere_in_the_frame() -> None:
    wire, _, second = wired(Impairments(corrupt=1.0), seed=1)
    send(wire, [FRAME] * 3000)
    places = set()
    for frame in second.frames:
        difference = int.from_bytes(frame, "big") ^ int.from_bytes(FRAME, "big")
        assert difference.bit_count() == 1
        places.add(difference.bit_length())
    assert len(places) > 480  # of 512 bits


def test_duplicate_follows_its_original() -> None:
    wire, _, second = wired(Impairments(duplicate=1.0, delay_ns=10))
    send(wire, numbered(10))
    assert [int.from_bytes(frame[:4], "big") for frame in second.frames] == [n // 2 for n in range(20)]


def test_jitter_keeps_the_order_and_reorder_breaks_it() -> None:
    wire, _, second = wired(Impairments(delay_ns=1000, jitter_ns=5000), seed=1)
    frames = numbered(500)
    send(wire, frames, 100)
    assert second.frames == frames
    assert wire.statistics(0).reordered == 0
    waits = [time - number * 100 for number, time in enumerate(second.times)]
    assert min(waits) >= 1000 and len(set(waits)) > 100

    wire, _, second = wired(Impairments(reorder=0.1, reorder_hold_ns=1000), seed=1)
    send(wire, frames, 100)
    assert sorted(second.frames) == frames
    order = [int.from_bytes(frame[:4], "big") for frame in second.frames]
    late = sum(1 for place, number in enumerate(order) if any(other > number for other in order[:place]))
    assert late == wire.statistics(0).reordered
    assert 25 <= late <= 80


def test_same_seed_same_deliveries_other_seed_others() -> None:
    nature = Impairments(loss=0.1, delay_ns=50, jitter_ns=500, reorder=0.1, duplicate=0.1, corrupt=0.1)

    def deliveries(seed: int) -> tuple[list[bytes], list[int]]:
        wire, _, second = wired(nature, seed=seed)
        send(wire, numbered(300), 10)
        return second.frames, second.times

    assert deliveries(7) == deliveries(7)
    assert deliveries(7) != deliveries(8)


def test_one_impairment_leaves_the_fate_by_the_others() -> None:
    def lost(nature: Impairments) -> set[int]:
        wire, _, second = wired(nature, seed=9)
        send(wire, numbered(300))
        return set(range(300)) - {int.from_bytes(frame[:4], "big") for frame in second.frames}

    assert lost(Impairments(loss=0.1)) == lost(
        Impairments(loss=0.1, jitter_ns=100, duplicate=0.5, reorder=0.5)
    )


def test_directions_are_independent() -> None:
    first, second = Sink(), Sink()
    wire = Wire(first, second, forth=Impairments(loss=1.0), back=Impairments(delay_ns=3))
    wire.transmit(0, FRAME, 0)
    wire.transmit(1, FRAME, 0)
    drain(wire)
    assert (len(first.frames), len(second.frames)) == (1, 0)
    assert wire.statistics(0).lost == 1 and wire.end(1).statistics.delivered == 1


def test_link_down_loses_what_is_under_way_and_what_is_sent() -> None:
    wire, first, second = wired(Impairments(delay_ns=100, bandwidth_bps=10**9))
    for _ in range(3):
        wire.transmit(0, FRAME, 0)
    wire.set_link(False, 50)
    assert not wire.is_up and wire.next_deadline_ns() is None
    wire.transmit(0, FRAME, 60)
    assert wire.advance(10_000) == 0
    assert wire.statistics(0).link_dropped == 4
    wire.set_link(True, 20_000)
    wire.set_link(True, 20_001)
    wire.transmit(0, FRAME, 20_001)
    drain(wire)
    assert second.times == [20_001 + 704 + 100]
    assert first.link == second.link == [(False, 50), (True, 20_000)]
    assert balance(wire.statistics(0), 0)


def test_unplugged_end_takes_the_link_down() -> None:
    wire, _, second = wired(Impairments(delay_ns=10))
    wire.transmit(0, FRAME, 0)
    wire.attach(1, None)
    assert not wire.is_up
    wire.transmit(0, FRAME, 5)
    assert wire.statistics(0).link_dropped == 2
    wire.attach(1, second)
    wire.transmit(0, FRAME, 6)
    drain(wire)
    assert len(second.frames) == 1


def test_echoing_ports_cannot_hold_an_advance() -> None:
    wire = Wire()
    ports = Echo(wire, 0), Echo(wire, 1)
    wire.transmit(0, FRAME, 0)
    assert wire.advance(100) == 1
    assert wire.next_deadline_ns() == 0
    assert wire.advance(100, 10) == 10
    assert sum(len(port.times) for port in ports) == 11


def test_answers_within_one_advance_come_in_order_of_arrival() -> None:
    wire = Wire(forth=Impairments(delay_ns=10))
    echo = Echo(wire, 1)
    sink = Sink()
    wire.attach(0, sink)
    wire.transmit(0, b"a" * 60, 0)
    wire.transmit(0, b"b" * 60, 5)
    assert wire.advance(100, 4) == 4
    assert echo.times == [10, 15]
    assert sink.times == [20, 25]
    assert sink.frames == [b"a" * 60, b"b" * 60]


def test_a_frame_nobody_advanced_to_is_late_and_time_does_not_go_back() -> None:
    wire, _, second = wired()
    wire.transmit(0, b"early" * 12, 10)
    wire.transmit(0, b"later" * 12, 30)
    assert wire.next_deadline_ns() == 30
    assert wire.advance(30) == 2
    assert second.times == [30, 30]


def test_time_never_goes_back() -> None:
    wire, _, _ = wired()
    wire.transmit(0, FRAME, 100)
    with pytest.raises(ValueError, match="back from 100 to 99"):
        wire.transmit(1, FRAME, 99)
    with pytest.raises(ValueError, match="back"):
        wire.advance(50)
    with pytest.raises(ValueError, match="sides 0 and 1"):
        wire.end(2)


@pytest.mark.parametrize(
    "wrong", [{"loss": 1.5}, {"corrupt": -0.1}, {"delay_ns": -1}, {"queue_bytes": -1}, {"bandwidth_bps": -1}]
)
def test_meaningless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Impairments(**wrong)  # type: ignore[arg-type]


NATURES = st.builds(
    Impairments,
    loss=st.sampled_from([0.0, 0.3, 1.0]),
    delay_ns=st.integers(0, 1000),
    jitter_ns=st.integers(0, 1000),
    reorder=st.sampled_from([0.0, 0.5]),
    reorder_hold_ns=st.integers(0, 2000),
    duplicate=st.sampled_from([0.0, 0.5, 1.0]),
    corrupt=st.sampled_from([0.0, 0.5]),
    bandwidth_bps=st.sampled_from([0, 10**6, 10**9, 10**10 + 7]),
    queue_bytes=st.none() | st.integers(0, 5000),
    flight_bytes=st.integers(0, 20_000),
    mtu=st.sampled_from([0, 100, 1500]),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "advance", "down", "up", "change"]),
        st.integers(0, 1),
        st.integers(0, 3000),
        st.integers(0, 1600),
    ),
    max_size=60,
)


@examples(80)
@given(NATURES, NATURES, STEPS, st.integers(0, 2**32))
def test_every_frame_is_accounted_for_at_any_time(
    forth: Impairments, back: Impairments, steps: list[tuple[str, int, int, int]], seed: int
) -> None:
    first, second = Sink(), Sink()
    wire = Wire(first, second, forth=forth, back=back, seed=seed)
    now_ns = 0
    for what, side, wait_ns, length in steps:
        now_ns += wait_ns
        if what == "send":
            wire.transmit(side, bytes(length), now_ns)
        elif what == "change":
            wire.set_impairments(side, back if side else forth)
        elif what == "advance":
            wire.advance(now_ns)
            deadline = wire.next_deadline_ns()
            assert deadline is None or deadline > now_ns
        else:
            wire.set_link(what == "up", now_ns)
        for sender in (0, 1):
            assert balance(wire.statistics(sender), wire.in_flight(sender))
    drain(wire)
    for sender, sink in ((0, second), (1, first)):
        counts = wire.statistics(sender)
        assert balance(counts, 0)
        assert counts.delivered == len(sink.frames)
        assert counts.delivered_bytes == sum(map(len, sink.frames))
        assert sink.times == sorted(sink.times)
