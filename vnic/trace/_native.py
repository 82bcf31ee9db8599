"""What recorder and replay need of the compiled module: sinks, sources and judges."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from vnic import errors
from vnic._core import ffi, lib
from vnic.wire.capture_source import Readable

if TYPE_CHECKING:
    from vnic._core import CData, vnic_event

__all__ = ["Judge", "Sink", "Source", "ffi", "lib"]

#: judge(expected, actual): enum vnic_replay_verdict.
Judge = Callable[[Any, Any], int]

_FAILED: Final = -1


class Callback:
    """Something that C calls back with a handle; the first exception is kept until raise_failure()."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.handle = ffi.new_handle(weakref.ref(self))

    def raise_failure(self) -> None:
        """Raise what a call raised."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure


class Sink(Callback):
    """A stream that a recorder writes to."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self.stream = stream

    def open(self, capacity: int, *, compact: bool) -> CData:
        """A struct vnic_trace on it."""
        flags = lib.VNIC_TRACE_COMPACT if compact else 0
        trace = lib.vnic_trace_create(capacity, flags, lib.vnic_py_sink, self.handle)
        if not trace:
            raise errors.ArgumentError(f"a buffer of {capacity} bytes")
        return trace

    def write(self, octets: CData, length: int) -> int:
        """Called back."""
        try:
            self.stream.write(ffi.buffer(octets, length))
        except BaseException as failure:  # KeyboardInterrupt must come out, too
            self.failure = self.failure or failure
            return _FAILED
        return 0

    def close(self, *, owned: bool) -> None:
        """Flush, and close what was opened for it."""
        self.stream.flush()
        if owned:
            self.stream.close()


class Source(Callback):
    """A stream that a replay reads, and the judge of its differences."""

    def __init__(self, stream: Readable, judge: Judge | None = None) -> None:
        super().__init__()
        self.stream = stream
        self.judge = judge

    def read(self, octets: CData, length: int) -> int:
        """Called back."""
        try:
            data = self.stream.read(length)
        except BaseException as failure:
            self.failure = self.failure or failure
            return _FAILED
        ffi.memmove(octets, data, len(data))
        return len(data)

    def decide(self, expected: vnic_event, actual: vnic_event) -> int:
        """Called back."""
        try:
            return self.judge(expected, actual) if self.judge else 0
        except BaseException as failure:
            self.failure = self.failure or failure
            return 0


@ffi.def_extern(error=_FAILED)  # type: ignore[untyped-decorator]
def vnic_py_sink(opaque: CData, octets: CData, length: int) -> int:
    """struct vnic_trace_sink."""
    sink: Sink | None = ffi.from_handle(opaque)()
    return sink.write(octets, length) if sink is not None else _FAILED


@ffi.def_extern(error=_FAILED)  # type: ignore[untyped-decorator]
def vnic_py_source(opaque: CData, octets: CData, length: int) -> int:
    """struct vnic_replay_source."""
    source: Source | None = ffi.from_handle(opaque)()
    return source.read(octets, length) if source is not None else _FAILED


@ffi.def_extern(error=0)  # type: ignore[untyped-decorator]
def vnic_py_judge(opaque: CData, expected: vnic_event, actual: vnic_event) -> int:
    """struct vnic_replay_judge."""
    source: Source | None = ffi.from_handle(opaque)()
    return source.decide(expected, actual) if source is not None else 0
