"""Recordings: complete, the same bytes for the same run, and never in a device's way."""

from __future__ import annotations

import gc
import gzip
import io
from pathlib import Path

import pytest

from tests.trace.traces import FRAME, events_of, recorded, work
from vnic.abi import DmaPurpose, EventType, FaultAction, FaultSite
from vnic.copy_engine import CopyEngine
from vnic.device import Device
from vnic.errors import ArgumentError
from vnic.fault import Fault
from vnic.testbench.bench import Bench
from vnic.trace.event import FRAMES, digest_of
from vnic.trace.file import TraceReader
from vnic.trace.header import TraceError
from vnic.trace.recorder import Recorder
from vnic.trace.replay import Outcome, Replay, at


@pytest.mark.requirement("TRC-13")
def test_two_recordings_of_one_run_are_the_same_bytes() -> None:
    assert recorded() == recorded()


@pytest.mark.requirement("TRC-11")
def test_every_kind_of_event_is_there() -> None:
    kinds = {event.type for event in events_of(recorded())}
    assert kinds >= {
        EventType.LOAD,
        EventType.MARK,
        EventType.HASH,
        EventType.MMIO_READ,
        EventType.MMIO_WRITE,
        EventType.CFG_READ,
        EventType.CFG_WRITE,
        EventType.DMA_READ,
        EventType.DMA_WRITE,
        EventType.INTERRUPT,
        EventType.TAKE,
        EventType.FRAME_IN,
        EventType.FRAME_OUT,
        EventType.RELEASE,
        EventType.RUN,
        EventType.MAP,
        EventType.UNMAP,
    }


@pytest.mark.requirement("TRC-15")
def test_compact_has_digests_for_outputs_and_inputs_in_full() -> None:
    full, compact = events_of(recorded()), events_of(recorded(compact=True))
    assert len(full) == len(compact)
    digests = 0
    for one, other in zip(full, compact, strict=True):
        assert one._replace(data=b"", digest=None, offset=0) == other._replace(
            data=b"", digest=None, offset=0
        )
        if other.digest is None:
            assert other.data == one.data
        else:
            digests += 1
            assert other.type in {EventType.DMA_WRITE, EventType.FRAME_OUT}
            assert other.digest == digest_of(one.data)
    assert digests > 40


@pytest.mark.requirement("TRC-3")
def test_time_is_the_functions_and_order_is_the_files() -> None:
    events = events_of(recorded())
    assert [event.number for event in events] == list(range(len(events)))
    times = [event.time_ns for event in events]
    assert times == sorted(times)


@pytest.mark.requirement("TRC-4")
def test_frames_are_packets_of_the_port() -> None:
    frames = [event for event in events_of(recorded()) if event.type in FRAMES]
    received = [event for event in frames if event.type == EventType.FRAME_IN]
    assert len(received) == 40
    assert received[7].data == FRAME[:-2] + b"\0\x07"
    assert {event.value for event in received} == {0}
    assert len(frames) - len(received) == 8


@pytest.mark.requirement("TRC-12")
def test_a_recording_that_begins_in_the_middle_stands_on_its_own() -> None:
    stream = io.BytesIO()
    with Bench(queues=2, cpus=2) as bench:
        work_again = [FRAME] * 5
        never = Fault(site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, count=1, skip=999, argument=1)
        fault = Fault(
            site=FaultSite.DMA_WRITE, action=FaultAction.ERROR, index=DmaPurpose.DATA, skip=7, argument=2
        )
        gone = bench.device.arm(never)
        armed = bench.device.arm(fault)
        gone.disarm()
        bench.receive(*work_again)
        with Recorder(stream, bench.device) as recorder:
            bench.receive(*work_again)
            recorder.hash()
            fired = armed.fired
        bench.close()
    events = events_of(stream.getvalue())
    assert [event.type for event in events[:2]] == [EventType.LOAD, EventType.MAP]
    assert [event.value for event in events if event.type == EventType.ARM] == [0, 1, 0]
    assert fired == 1
    stream.seek(0)
    with Replay(stream) as replay:
        assert replay.run() is Outcome.END


@pytest.mark.requirement("TRC-12")
def test_a_map_is_told_again_piece_by_piece() -> None:
    stream = io.BytesIO()
    spans = [(0x10000, 0x3000, 3), (0x40000, 0x1000, 1), (0x80000, 0x2000, 2)]
    with Device(manual=True) as device:
        for iova, size, permissions in spans:
            device.map(iova, bytearray(size), permissions)
        with Recorder(stream, device):
            pass
    told = [event for event in events_of(stream.getvalue()) if event.type == EventType.MAP]
    assert [(event.addr, event.value, event.width) for event in told] == spans


def test_several_functions_are_one_order() -> None:
    stream = io.BytesIO()
    with Device(manual=True) as card, CopyEngine(manual=True) as engine, Recorder(stream, card, engine):
        card.advance(10)
        engine.config_write(4, 6)
        card.advance(20)
        engine.read32(8)
    events = events_of(stream.getvalue())
    assert [(event.function, event.type) for event in events if event.type != EventType.LOAD] == [
        (0, EventType.TIME),
        (1, EventType.CFG_WRITE),
        (0, EventType.TIME),
        (1, EventType.MMIO_READ),
    ]
    stream.seek(0)
    with Replay(stream) as replay:
        assert replay.run() is Outcome.END


def test_observers_see_what_they_saw_before() -> None:
    seen: list[EventType] = []
    device = Device(manual=True)
    observation = device.observe(lambda event: seen.append(event.type), [EventType.TIME])
    with Recorder(io.BytesIO(), device):
        device.advance(5)
    device.advance(6)
    observation.cancel()
    device.close()
    assert seen == [EventType.TIME, EventType.TIME]


@pytest.mark.requirement("TRC-14")
def test_a_full_disk_ends_the_recording_and_nothing_else() -> None:
    class Full(io.BytesIO):
        def write(self, octets: object, /) -> int:
            raise OSError(28, "No space left on device")

    with Device(manual=True) as device:
        recorder = Recorder(Full(), device)
        for number in range(20_000):
            device.advance(number)
        assert device.now_ns == 19_999
        assert 0 < recorder.events < 20_000
        with pytest.raises(OSError, match="No space"):
            recorder.close()
        device.advance(20_000)


@pytest.mark.requirement("TRC-14")
def test_what_is_held_is_bounded() -> None:
    class Counting(io.BytesIO):
        largest = 0

        def write(self, octets: memoryview, /) -> int:  # type: ignore[override]
            Counting.largest = max(Counting.largest, len(octets))
            return len(octets)

    with Device(manual=True) as device, Recorder(Counting(), device, capacity=1 << 18):
        for number in range(20_000):
            device.advance(number)
    assert 0 < Counting.largest <= 1 << 18


def test_a_recorder_that_is_forgotten_goes_on() -> None:
    stream = io.BytesIO()
    with Device(manual=True) as device:
        Recorder(stream, device)
        gc.collect()
        for number in range(40_000):
            device.advance(number)
    assert len(stream.getvalue()) > 1 << 20


def test_compressed_files(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng.gz"
    for _ in range(2):
        with Device(manual=True) as device, Recorder(path, device):
            device.advance(7)
    with TraceReader(path) as reader:
        assert [event.type for event in reader] == [EventType.LOAD, EventType.TIME]
    assert gzip.decompress(path.read_bytes())[:4] == b"\x0a\x0d\x0d\x0a"


def test_what_a_recorder_refuses() -> None:
    with Device(manual=True) as device:
        with pytest.raises(ArgumentError, match="at least one"):
            Recorder(io.BytesIO())
        with pytest.raises(ArgumentError, match="each number once"):
            Recorder(io.BytesIO(), device, device)
        with pytest.raises(ArgumentError, match="buffer"):
            Recorder(io.BytesIO(), device, capacity=1000)
        recorder = Recorder(io.BytesIO(), device)
        recorder.close()
        recorder.close()
        with pytest.raises(ArgumentError, match="over"):
            recorder.mark("too late")


@pytest.mark.requirement("TRC-25")
def test_a_device_as_it_was_after_an_event() -> None:
    octets = recorded()
    events = events_of(octets)
    place = next(event.number for event in events if event.type == EventType.HASH)
    device = at(io.BytesIO(octets), place)
    assert device.state_hash() == events[place].value
    device.close()
    with pytest.raises(TraceError, match="not reached"):
        at(io.BytesIO(octets), 1 << 30)


def test_a_bench_of_a_recorded_run_goes_on_the_same() -> None:
    """Being recorded changes nothing: state and counters are those of a run that is not."""
    hashes = []
    for is_recorded in (False, True):
        with Bench(queues=2, cpus=2, starts=False) as bench:
            recorder = Recorder(io.BytesIO(), bench.device) if is_recorded else None
            work(bench)
            hashes.append(bench.device.state_hash())
            if recorder is not None:
                recorder.close()
    assert hashes[0] == hashes[1]


@pytest.mark.requirement("FLT-8")
def test_no_recording_begins_while_faults_keep_something() -> None:
    with Device() as device:
        device.set_link(10_000)
        armed = device.arm(Fault(site=FaultSite.FRAME_IN, action=FaultAction.DELAY, argument=10))
        device.receive(bytes(60))
        assert device.fault_kept == 1
        with pytest.raises(ArgumentError, match="keep 1 things"):
            Recorder(io.BytesIO(), device)
        armed.disarm()
        Recorder(io.BytesIO(), device).close()
