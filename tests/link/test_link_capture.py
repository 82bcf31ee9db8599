"""Replaying captures into a port and recording what a port gets."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import pytest

from vnic.link.capture import CaptureWriter, RecordedPort, Replay
from vnic.link.wire import Impairments, Wire
from vnic.wire.capture import CapturedFrame, CaptureError, open_capture
from vnic.wire.pcapng import Direction, InterfaceStatistics, PcapngReader, Section, Verdict

SAMPLES = Path(__file__).parent.parent / "samples"


class Sink:
    """A port that keeps what it gets."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, int]] = []

    def deliver(self, frame: bytes, now_ns: int) -> None:
        self.frames.append((frame, now_ns))


def at(*times: int) -> list[CapturedFrame]:
    """Captured frames at these times, each holding its number."""
    return [CapturedFrame(bytes([n]) * 60, time_ns, 60) for n, time_ns in enumerate(times)]


def play(replay: Replay) -> list[int]:
    """Follow the deadlines to the end; returns them."""
    deadlines = []
    while (deadline := replay.next_deadline_ns()) is not None:
        deadlines.append(deadline)
        replay.advance(deadline)
    return deadlines


def test_recorded_times_rule() -> None:
    sink = Sink()
    replay = Replay(at(1000, 1500, 4000), sink, start_ns=70)
    assert play(replay) == [70, 570, 3070]
    assert [time for _, time in sink.frames] == [70, 570, 3070]
    assert replay.is_finished and replay.delivered == 3 and replay.delivered_bytes == 180


@pytest.mark.parametrize(
    ("speed", "times"), [(2, [0, 250, 1500]), (Fraction(1, 3), [0, 1500, 9000]), (0.5, [0, 1000, 6000])]
)
def test_speed_scales_the_times(speed: Fraction | float, times: list[int]) -> None:
    assert play(Replay(at(1000, 1500, 4000), Sink(), speed=speed)) == times


def test_even_gaps_replace_the_times() -> None:
    assert play(Replay(at(5, 5, 900), Sink(), gap_ns=10, start_ns=3)) == [3, 13, 23]


def test_as_fast_as_asked_in_portions() -> None:
    sink = Sink()
    replay = Replay(at(*range(0, 10_000, 100)), sink, speed=None)
    assert replay.advance(7, 30) == 30
    assert replay.next_deadline_ns() == 0
    assert replay.advance(9, 30) == 30
    assert replay.advance(9) == 40
    assert replay.next_deadline_ns() is None
    assert {time for _, time in sink.frames} == {7, 9}


def test_time_that_goes_back_keeps_the_file_order() -> None:
    sink = Sink()
    replay = Replay(at(100, 50, 120), sink)
    assert replay.advance(100) == 3
    assert [time for _, time in sink.frames] == [0, 0, 20]
    assert [frame[0] for frame, _ in sink.frames] == [0, 1, 2]


def test_nothing_is_early() -> None:
    sink = Sink()
    replay = Replay(at(0, 10, 20), sink)
    assert replay.advance(9) == 1 and replay.next_deadline_ns() == 10
    assert replay.advance(19) == 1


@pytest.mark.parametrize(("deliver_cut", "count"), [(True, 2), (False, 1)])
def test_cut_frames_are_counted_and_may_be_left_out(deliver_cut: bool, count: int) -> None:
    sink = Sink()
    replay = Replay([CapturedFrame(b"x" * 60, 0, 900), *at(5)], sink, deliver_cut=deliver_cut)
    play(replay)
    assert len(sink.frames) == count and replay.cut == 1


def test_broken_capture_raises_after_its_last_good_frame() -> None:
    cut = (SAMPLES / "flows.pcap").read_bytes()[:-10]
    sink = Sink()
    replay = Replay(open_capture(io.BytesIO(cut)), sink, speed=None)
    assert replay.advance(0) == 1315
    assert replay.next_deadline_ns() == 0 and not replay.is_finished
    with pytest.raises(CaptureError, match="file ends in the record"):
        replay.advance(0)
    assert replay.is_finished and replay.next_deadline_ns() is None


def test_speed_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="speed 0"):
        Replay([], Sink(), speed=0)


def test_empty_capture_is_finished_at_once() -> None:
    assert Replay([], Sink()).is_finished


def test_writer_keeps_all_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    with CaptureWriter(
        path, ports=("port0", "port1"), section=Section(application="test"), epoch_ns=10**18
    ) as out:
        out.record(b"in", 5, direction=Direction.INBOUND, toeplitz=0x51CCC178, queue=3)
        out.record(
            b"out", 7, direction=Direction.OUTBOUND, port=1, packetid=9, dropcount=2,
            verdict=Verdict(0, b"sent"), comment="hello", orig_len=60,
        )  # fmt: skip
        out.statistics(9, port=1, received=1, dropped=2)
        assert out.recorded == [1, 1]
    first, second = open_capture(path)
    assert (first.data, first.time_ns, first.interface) == (b"in", 10**18 + 5, 0)
    assert (first.options.toeplitz, first.options.queue) == (0x51CCC178, 3)
    assert first.options.direction is Direction.INBOUND
    assert (second.interface, second.orig_len, second.options.packetid) == (1, 60, 9)
    assert second.options.direction is Direction.OUTBOUND
    assert (second.options.dropcount, second.options.comments) == (2, ("hello",))
    assert second.options.verdicts == (Verdict(0, b"sent"),)
    with path.open("rb") as stream:
        statistics = [block for block in PcapngReader(stream) if isinstance(block, InterfaceStatistics)]
    assert [(block.received, block.dropped) for block in statistics] == [(1, 2)]


def test_frames_over_the_snaplen_are_cut_and_say_so() -> None:
    stream = io.BytesIO()
    with CaptureWriter(stream, snaplen=100) as out:
        out.record(bytes(1514), 0)
    stream.seek(0)
    (frame,) = open_capture(stream)
    assert (len(frame.data), frame.orig_len, frame.is_cut) == (100, 1514, True)


def test_a_capture_through_a_wire_is_recorded_as_it_was() -> None:
    """File -> replay -> wire -> recorder -> file: the frames of the sample, each later by the delay."""
    stream = io.BytesIO()
    out = CaptureWriter(stream)
    sink = Sink()
    wire = Wire(Sink(), RecordedPort(sink, out), forth=Impairments(delay_ns=500))

    class Ingress:
        def deliver(self, frame: bytes, now_ns: int) -> None:
            wire.transmit(0, frame, now_ns)

    replay = Replay(open_capture(SAMPLES / "flows.pcap"), Ingress())
    while deadlines := [d for link in (replay, wire) if (d := link.next_deadline_ns()) is not None]:
        now_ns = min(deadlines)
        replay.advance(now_ns)
        wire.advance(now_ns)
    original = list(open_capture(SAMPLES / "flows.pcap"))
    stream.seek(0)
    recorded = list(open_capture(stream))
    assert (
        [frame.data for frame in recorded]
        == [frame.data for frame in original]
        == [f for f, _ in sink.frames]
    )
    assert {frame.options.direction for frame in recorded} == {Direction.INBOUND}
    first_ns = original[0].time_ns
    latest = 0
    for frame, source in zip(recorded, original, strict=True):
        latest = max(latest, source.time_ns - first_ns)
        assert frame.time_ns == latest + 500
