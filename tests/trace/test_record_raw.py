"""The recorder behind its C calls: what it refuses, sinks that fail at any moment, events of every size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vnic._core import ffi, lib
from vnic.abi import EventType, Result

FFI: Any = ffi  # its stub has no callback
CAPACITY, PART, HEAD, PACKET = 1 << 20, 131_072, 32, 28
COMPACT = 1
FUNCTIONS = 256  # more than there are


class Tape:
    """A recorder, and what its sink was given; the sink fails once so many octets are there."""

    def __init__(self, capacity: int = CAPACITY, flags: int = 0, room: int = 1 << 40) -> None:
        self.octets, self.room = bytearray(), room
        self.sink = FFI.callback("int(void *, const uint8_t *, size_t)", self.write)
        self.handle: Any = lib.vnic_trace_create(capacity, flags, self.sink, ffi.NULL)
        assert self.handle != ffi.NULL
        assert lib.vnic_trace_interfaces(self.handle, 0, 0, 1) == Result.OK

    def write(self, _: Any, octets: Any, length: int) -> int:
        """The sink."""
        if len(self.octets) + length > self.room:
            return -1
        self.octets += ffi.buffer(octets, length)[:]
        return 0

    def tell(self, kind: int, data: bytes | None = b"", function: int = 0, **fields: int) -> None:
        """An event."""
        self.data = ffi.NULL if data is None else ffi.from_buffer("uint8_t[]", data)
        values = {"type": kind, "function": function, "len": len(data or b""), "data": self.data}
        lib.vnic_trace_event(self.handle, ffi.new("struct vnic_event *", values | fields))

    @property
    def counts(self) -> tuple[int, int]:
        """Events recorded, and octets of the file so far."""
        return int(lib.vnic_trace_events(self.handle)), int(lib.vnic_trace_octets(self.handle))


@pytest.fixture
def tape() -> Iterator[Tape]:
    """One that takes everything."""
    made = Tape()
    yield made
    lib.vnic_trace_destroy(made.handle)


def blocks(octets: bytes) -> list[bytes]:
    """The blocks one after the other."""
    found, at = [], 0
    while at < len(octets):
        size = int.from_bytes(octets[at + 4 : at + 8], "little")
        found.append(bytes(octets[at : at + size]))
        at += size
    return found


def parts(tape: Tape) -> list[tuple[int, bytes]]:
    """Flags and data of each packet on the device's interface."""
    assert lib.vnic_trace_flush(tape.handle) == Result.OK
    found = []
    for block in blocks(bytes(tape.octets)):
        captured = int.from_bytes(block[20:24], "little")
        found.append((block[PACKET + 5], block[PACKET + HEAD : PACKET + captured]))
    return found


def test_what_cannot_be_made() -> None:
    sink = FFI.callback("int(void *, const uint8_t *, size_t)", lambda *_: 0)
    for capacity, flags, call in ((1000, 0, sink), (CAPACITY, 0, ffi.NULL), (CAPACITY, COMPACT + 1, sink)):
        assert lib.vnic_trace_create(capacity, flags, call, ffi.NULL) == ffi.NULL
    lib.vnic_trace_destroy(ffi.NULL)


def test_functions_that_there_are_not(tape: Tape) -> None:
    assert lib.vnic_trace_interfaces(tape.handle, FUNCTIONS, 0, 1) == Result.EINVAL
    assert lib.vnic_trace_forward(tape.handle, FUNCTIONS, ffi.NULL, ffi.NULL, 0) == Result.EINVAL


def test_a_function_without_an_interface_is_not_recorded(tape: Tape) -> None:
    tape.tell(EventType.TIME, function=3)
    assert tape.counts == (0, 0)
    tape.tell(EventType.TIME)
    assert tape.counts == (1, PACKET + HEAD + 4)


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 5])
def test_data_in_parts(tape: Tape, size: int) -> None:
    data = bytes(n & 0xFF for n in range(size))
    tape.tell(EventType.LOAD, data)
    found = parts(tape)
    assert b"".join(part for _, part in found) == data
    assert len(found) == max(1, -(-size // PART))
    last = len(found) - 1
    flags = [(2 if n < last else 0) | (4 if n else 0) for n in range(len(found))]
    assert [flag for flag, _ in found] == flags
    assert tape.counts[0] == 1


def test_a_length_without_data_has_a_head_only(tape: Tape) -> None:
    tape.tell(EventType.LOAD, None, len=500)
    assert parts(tape) == [(0, b"")]


@pytest.mark.parametrize("kind", [EventType.FRAME_IN, EventType.FRAME_OUT])
@pytest.mark.parametrize("size", [0, 60, PART, PART + 1])
def test_frames_are_packets_of_the_port_while_they_are_whole(tape: Tape, kind: int, size: int) -> None:
    tape.tell(kind, bytes(size))
    assert lib.vnic_trace_flush(tape.handle) == Result.OK
    interfaces = {int.from_bytes(block[8:12], "little") for block in blocks(bytes(tape.octets))}
    assert interfaces == ({0} if size <= PART else {1})
    assert tape.counts[0] == 1


KINDS = (
    (EventType.TIME, b""), (EventType.LOAD, bytes(3 * PART)), (EventType.FRAME_IN, bytes(100)),
    (EventType.FRAME_OUT, bytes(PART)), (EventType.DMA_WRITE, bytes(4096)),
)  # fmt: skip


@pytest.mark.parametrize("flags", [0, COMPACT])
@pytest.mark.parametrize("room", [0, 1 << 18, 1 << 19, (1 << 20) + 70_000])
def test_a_sink_that_fails_ends_the_recording(room: int, flags: int) -> None:
    """What was handed over stays a file; nothing is counted or handed over after."""
    tape = Tape(1 << 18, flags, room)
    heard: list[int] = []
    observer = FFI.callback(
        "void(void *, const struct vnic_event *)", lambda _, event: heard.append(event.type)
    )
    assert lib.vnic_trace_forward(tape.handle, 0, observer, ffi.NULL, 0xFFFFFFFF) == Result.OK
    for _ in range(12):
        for kind, data in KINDS:
            tape.tell(kind, data)
    assert lib.vnic_trace_flush(tape.handle) == Result.ENOSPC
    assert len(heard) == 12 * len(KINDS), "others go on hearing"
    assert len(tape.octets) <= room
    counts = tape.counts
    tape.tell(EventType.TIME)
    assert tape.counts == counts
    assert lib.vnic_trace_flush(tape.handle) == Result.ENOSPC
    lib.vnic_trace_destroy(tape.handle)
