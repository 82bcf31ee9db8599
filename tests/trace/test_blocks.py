"""The replay's reader against files of every shape: sources that fail, blocks that lie, events in parts."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vnic._core import ffi, lib
from vnic.abi import DmaStatus, EventType, FaultAction, FaultSite, ResetLevel, Result
from vnic.copy_engine import CopyEngine
from vnic.fault import Fault
from vnic.trace.recorder import Recorder
from vnic.trace.replay import Outcome, Replay

FFI: Any = ffi  # its stub has no callback
PORT, DEVICE, OTHER = 0, 1, 9
PACKET, COMMENT = 6, 0x0A0D0D0B
BUFFER = 4 << 20  # what the reader holds
CAPS = 0x0
DIGEST, GOES_ON, CONTINUES = 1, 2, 4
STOPPED, END, CUT, DIFFERENT, BAD, FAILED = range(6)
ABORTED = int(DmaStatus.ABORTED)
STOP, GO_ON, DROP_ACTUAL, DROP_EXPECTED = range(4)


def block(kind: int, body: bytes, total: int | None = None, again: int | None = None) -> bytes:
    """A block of pcapng, whose lengths may lie."""
    size = 12 + len(body) if total is None else total
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size if again is None else again)


def packet(
    interface: int, data: bytes, options: bytes = b"", captured: int | None = None, time_ns: int = 0
) -> bytes:
    """An enhanced packet block."""
    size = len(data) if captured is None else captured
    head = struct.pack("<IIIII", interface, time_ns >> 32, time_ns & 0xFFFFFFFF, size, len(data))
    return block(PACKET, head + data + bytes(-len(data) % 4) + options)


def option(code: int, value: bytes, size: int | None = None) -> bytes:
    """An option of a packet, whose length may lie."""
    return struct.pack("<HH", code, len(value) if size is None else size) + value + bytes(-len(value) % 4)


def event(
    kind: int,
    addr: int = 0,
    value: int = 0,
    data: bytes = b"",
    *,
    number: int = 0,
    flags: int = 0,
    **more: int,
) -> bytes:
    """An event on the device's interface; `more`: version, function, index, width, len."""
    head = bytes([more.get("version", 1), kind, more.get("function", 0), more.get("index", 0)])
    head += bytes([more.get("width", 0), flags, 0, 0])
    head += struct.pack("<QQII", addr, value, more.get("len", len(data)), number)
    return packet(DEVICE, head + data, captured=more.get("captured"))


class Reel:
    """A card behind a replay of some octets."""

    def __init__(self, octets: bytes, at_once: int, judge: Any) -> None:
        self.stream, self.at_once = io.BytesIO(octets), at_once
        box, config = ffi.new("vnic **"), ffi.new("struct vnic_config *")
        lib.vnic_config_init(config)
        assert lib.vnic_create(config, box) == Result.OK
        self.card: Any = box[0]
        self.source = FFI.callback("int64_t(void *, uint8_t *, size_t)", self.read)
        self.handle: Any = lib.vnic_replay_create(self.source, ffi.NULL)
        self.judge = FFI.callback("int(void *, const struct vnic_event *, const struct vnic_event *)", judge)
        lib.vnic_replay_set_judge(self.handle, self.judge, ffi.NULL)
        assert lib.vnic_replay_card(self.handle, 0, self.card, PORT, DEVICE) == Result.OK

    def read(self, _: Any, octets: Any, length: int) -> int:
        """Some of it: a file need not give all that is asked for."""
        data = self.stream.read(min(length, self.at_once))
        ffi.memmove(octets, data, len(data))
        return len(data)

    def run(self, until: int = 2**64 - 1) -> int:
        """As vnic_replay_run()."""
        return int(lib.vnic_replay_run(self.handle, until))

    @property
    def expected(self) -> Any:
        """The first event that was not met."""
        return lib.vnic_replay_expected(self.handle)

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Events behind, lost and skipped."""
        each = (lib.vnic_replay_events, lib.vnic_replay_lost, lib.vnic_replay_skipped)
        behind, lost, skipped = (int(call(self.handle)) for call in each)
        return behind, lost, skipped


@contextmanager
def reel(
    octets: bytes, at_once: int = 1 << 30, judge: Callable[..., int] = lambda *_: STOP
) -> Iterator[Reel]:
    """A replay that ends with its test."""
    made = Reel(octets, at_once, judge)
    try:
        yield made
    finally:
        lib.vnic_replay_forget(made.handle, 0)
        lib.vnic_replay_destroy(made.handle)
        lib.vnic_destroy(made.card)


def after(octets: bytes, **options: Any) -> tuple[int, tuple[int, int, int]]:
    """How a replay of these octets ends, and what it counted."""
    with reel(octets, **options) as made:
        return made.run(), made.numbers


def caps(number: int = 0) -> bytes:
    """A read of GLB_CAPS, as a fresh card answers it."""
    box, config = ffi.new("vnic **"), ffi.new("struct vnic_config *")
    lib.vnic_config_init(config)
    assert lib.vnic_create(config, box) == Result.OK
    value = int(lib.vnic_read(box[0], 0, CAPS, 4))
    lib.vnic_destroy(box[0])
    return event(EventType.MMIO_READ, CAPS, value, number=number, width=4)


def test_a_read_is_met() -> None:
    assert after(caps() + caps(1)) == (END, (2, 0, 0))


@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_a_source_may_give_little_at_a_time(at_once: int) -> None:
    assert after(caps() + block(COMMENT, bytes(400)) + caps(1), at_once=at_once) == (END, (2, 0, 0))


@pytest.mark.parametrize("answer", [-1, -(2**63), "more"])
def test_a_source_that_fails(answer: int | str) -> None:
    with reel(caps()) as made:
        broken = FFI.callback(
            "int64_t(void *, uint8_t *, size_t)",
            lambda _, __, size: size + 1 if answer == "more" else answer,
        )
        replay = lib.vnic_replay_create(broken, ffi.NULL)
        assert lib.vnic_replay_run(replay, 10) == FAILED
        lib.vnic_replay_destroy(replay)
        assert made.run() == END


@pytest.mark.parametrize("cut", [1, 4, 11, 12, 20, 31])
def test_a_file_that_is_cut(cut: int) -> None:
    assert after(caps() + caps(1)[:cut]) == (CUT, (1, 0, 0))


BAD_BLOCKS = {
    "shorter than itself": block(PACKET, bytes(20), total=8),
    "no multiple of four": block(PACKET, bytes(20), total=33),
    "longer than any": block(PACKET, bytes(20), total=BUFFER),
    "two lengths": block(PACKET, bytes(24), again=32),
    "no room for a packet": block(PACKET, bytes(8)),
    "a packet without its end": block(PACKET, bytes(16)),
    "more captured than there is": packet(DEVICE, bytes(32), captured=36),
    "more captured than numbers go": packet(DEVICE, bytes(32), captured=0xFFFFFFFF),
    "all but the padding": packet(DEVICE, bytes(32), captured=33),
}


@pytest.mark.parametrize("name", BAD_BLOCKS)
def test_blocks_that_lie_end_it_where_they_are(name: str) -> None:
    first = caps()
    with reel(first + BAD_BLOCKS[name] + caps(1)) as made:
        assert made.run() == BAD
        assert made.numbers == (1, 0, 0)
        assert lib.vnic_replay_offset(made.handle) == len(first)
        assert made.run() == BAD, "and there it stays"


SKIPPED = {
    "another interface": packet(OTHER, bytes(40)),
    "another kind of block": block(COMMENT, bytes(64)),
    "too short for an event": packet(DEVICE, bytes(31)),
}


@pytest.mark.parametrize("name", SKIPPED)
def test_what_is_nobodys_is_passed_over(name: str) -> None:
    assert after(caps() + SKIPPED[name] + caps(1)) == (END, (2, 0, 0))


UNKNOWN = {
    "another version": event(EventType.MMIO_READ, number=1, version=2),
    "fewer octets than it says": event(EventType.LOAD, data=bytes(8), len=9, number=1),
    "a digest of seven octets": event(EventType.DMA_WRITE, data=bytes(7), len=100, flags=DIGEST, number=1),
    "the end of nothing": event(EventType.LOAD, data=bytes(4), flags=CONTINUES, number=1),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_understood_is_counted(name: str) -> None:
    behind, lost, skipped = after(caps() + UNKNOWN[name] + caps(2))[1]
    assert (behind, skipped) == (2, 1)
    assert lost <= 1


def test_missing_numbers_are_lost_and_old_ones_are_not() -> None:
    assert after(caps() + caps(5))[1] == (2, 4, 0)
    assert after(caps(3) + caps(1))[1] == (2, 3, 0)


def test_a_file_larger_than_what_is_held() -> None:
    filler = b"".join(block(COMMENT, bytes(1 << 20)) for _ in range(5))
    octets = caps() + filler + caps(1) + filler + caps(2)
    assert after(octets) == (END, (3, 0, 0))
    assert after(octets, at_once=100_000) == (END, (3, 0, 0))


def test_events_wait_while_the_reader_looks_for_an_input() -> None:
    """Outputs that no device makes, with much between them: they are there when the judge is asked."""
    outputs = [event(EventType.INTERRUPT, value=n, number=n) for n in range(6)]
    filler = block(COMMENT, bytes(600_000))
    seen: list[int] = []

    def judge(_: Any, expected: Any, actual: Any) -> int:
        seen.append(int(expected.value))
        assert actual.type in (0, EventType.MMIO_READ)
        return DROP_EXPECTED

    assert after(filler.join(outputs) + caps(6), judge=judge) == (END, (7, 0, 0))
    assert seen == list(range(6))


def test_more_than_can_wait_is_a_bad_file() -> None:
    outputs = [event(EventType.DMA_WRITE, data=bytes(1 << 20), number=n) for n in range(6)]
    octets = b"".join(outputs) + caps(6)
    assert after(octets, judge=lambda *_: DROP_EXPECTED)[0] == BAD
    assert after(octets)[0] == DIFFERENT


@pytest.mark.parametrize("sizes", [(4,), (131_072, 8), (131_072, 131_072, 1), (8, 0, 8), (0, 0)])
def test_an_event_in_parts_is_one(sizes: tuple[int, ...]) -> None:
    """A snapshot that no card takes, in parts: one input, and the card is as after a power cycle."""
    parts = [bytes([n + 1]) * size for n, size in enumerate(sizes)]
    octets = b""
    for n, part in enumerate(parts):
        flags = (CONTINUES if n else 0) | (GOES_ON if n + 1 < len(parts) else 0)
        octets += event(EventType.LOAD, data=part, len=sum(sizes), flags=flags, number=1)
    seen: list[bytes] = []

    def judge(_: Any, expected: Any, actual: Any) -> int:
        if expected.type == EventType.LOAD:
            seen.append(bytes(ffi.buffer(expected.data, expected.len)) if expected.len else b"")
        return GO_ON if expected.type and actual.type else DROP_EXPECTED if expected.type else DROP_ACTUAL

    ended, (behind, _, skipped) = after(caps() + octets + caps(2), judge=judge)
    assert (ended, behind, skipped) == (END, 3, 0)
    assert all(each == b"".join(parts) for each in seen)


FRAME = bytes(range(60))
FLAGS_IN, FLAGS_OUT = option(2, struct.pack("<I", 1)), option(2, struct.pack("<I", 2))
HASH = option(3, bytes([5, 1, 2, 3, 4]))
FRAMES = {
    "nothing is said": (b"", EventType.FRAME_OUT, 0, 0, 0),
    "out": (FLAGS_OUT + HASH + option(7, b"\0\3"), EventType.FRAME_OUT, 0, 0, 0),
    "in": (FLAGS_IN, EventType.FRAME_IN, 0, 0, 0),
    "all": (
        FLAGS_IN + option(6, struct.pack("<I", 3)) + HASH + option(7, b"\0\2"),
        EventType.FRAME_IN, 3, 0x04030201 | 1 << 32, 2,
    ),
    "another hash": (FLAGS_IN + option(3, bytes([4, 1, 2, 3, 4])), EventType.FRAME_IN, 0, 0, 0),
    "too short": (FLAGS_IN + option(3, bytes(4)) + option(6, b"\1"), EventType.FRAME_IN, 0, 0, 0),
    "beyond the block": (FLAGS_IN + option(3, bytes([5, 1, 2, 3]), size=60), EventType.FRAME_IN, 0, 0, 0),
    "behind the last": (FLAGS_IN + option(0, b"") + HASH, EventType.FRAME_IN, 0, 0, 0),
    "half an option": (FLAGS_IN + b"", EventType.FRAME_IN, 0, 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_options_of_a_frame(name: str) -> None:
    options, kind, queue, addr, verdict = FRAMES[name]
    expected: list[tuple[int, ...]] = []

    def judge(_: Any, file: Any, actual: Any) -> int:
        if file.type in (EventType.FRAME_IN, EventType.FRAME_OUT):
            expected.append((file.type, file.index, file.addr, file.value, file.len))
        return DROP_EXPECTED if file.type else DROP_ACTUAL

    assert after(packet(PORT, FRAME, options) + caps(1), judge=judge)[0] == END
    assert expected[:1] == [(kind, queue, addr, verdict, len(FRAME))]


@pytest.mark.parametrize("verdict", [-1, 4, 99, DROP_ACTUAL])
def test_a_verdict_that_is_none_ends_it(verdict: int) -> None:
    with reel(event(EventType.INTERRUPT, value=7) + caps(1), judge=lambda *_: verdict) as made:
        assert made.run() == DIFFERENT
        assert (made.expected.type, made.expected.value) == (EventType.INTERRUPT, 7)
        assert made.run() == DIFFERENT


def test_functions_that_there_are_not() -> None:
    with reel(caps()) as made:
        functions = 8
        while lib.vnic_replay_card(made.handle, functions, made.card, 5, 6) == Result.OK:
            functions += 1
        assert lib.vnic_replay_card(made.handle, 0, made.card, PORT, DEVICE) == Result.EINVAL, "it has one"
        assert lib.vnic_replay_card(made.handle, 1 << 31, made.card, PORT, DEVICE) == Result.EINVAL
        lib.vnic_replay_forget(made.handle, 1 << 31)
        assert made.run() == END


def test_inputs_of_a_function_without_a_device_are_passed_over() -> None:
    odd = [event(EventType.TIME, value=5, number=1, function=n) for n in (3, 200)]
    ended, numbers = after(caps() + odd[0] + caps(2), judge=lambda *_: DROP_EXPECTED)
    assert (ended, numbers) == (END, (3, 0, 0))
    assert after(caps() + odd[1] + caps(2), judge=lambda *_: DROP_EXPECTED) == (END, (3, 0, 0))


# ---- what a recording of a copy engine has


def recorded(compact: bool) -> bytes:
    """An engine in manual mode: everything that can be done to it from outside."""
    stream = io.BytesIO()
    with CopyEngine(manual=True) as engine, Recorder(stream, engine, compact=compact) as recorder:
        engine.config_write(4, 6, 2)
        engine.read32(0)
        engine.write32(0x80 + 4, 1)
        engine.advance(1000)
        with engine.arm(Fault(site=FaultSite.DMA_READ, action=FaultAction.ERROR, argument=ABORTED)):
            engine.step(0)
            engine.run()
        recorder.hash()
        for level in ResetLevel:
            engine.reset(level)
        engine.remove()
        engine.config_read(0)
        engine.insert()
        engine.load(engine.save())
        engine.interrupts()
        recorder.hash()
    return stream.getvalue()


@pytest.mark.parametrize("compact", [False, True])
def test_a_copy_engine_is_replayed_whatever_is_done_to_it(compact: bool) -> None:
    with Replay(io.BytesIO(recorded(compact))) as replay:
        assert replay.run() is Outcome.END
        assert (replay.lost, replay.skipped, replay.difference) == (0, 0, None)
