"""Recording: everything that happens to devices, from now on, into a file."""

from __future__ import annotations

import os
import weakref
from dataclasses import asdict
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from vnic.abi import EventType
from vnic.copy_engine import CopyEngine
from vnic.errors import ArgumentError
from vnic.function import PciFunction
from vnic.trace._native import Sink, ffi, lib
from vnic.trace.file import create_stream, head_of, ports_of
from vnic.trace.header import FunctionHeader, TraceError, TraceHeader

_CAPACITY: Final = 1 << 20


class Recorder:
    """Records functions into a trace file until it is closed; usable as a context manager.

    target: a path (.gz and .zst are compressed) or a binary stream. compact: outputs with data are written as
    length and digest. A snapshot of each function goes first, so it may begin at any time. What is recorded
    does not change what devices do; a file that cannot be written is told of by flush() and close(). A device
    keeps its recorder alive, not the other way round. Raises ArgumentError while faults keep something for
    later: it is in no snapshot.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *functions: PciFunction[Any],
        compact: bool = False,
        seed: int = 0,
        capacity: int = _CAPACITY,
    ) -> None:
        numbers = [each.config.function for each in functions]
        if not functions or len(set(numbers)) != len(numbers):
            raise ArgumentError(f"functions {numbers}: at least one, and each number once")
        if kept := sum(each.fault_kept for each in functions):
            raise ArgumentError(f"faults keep {kept} things for later: no trace begins so, disarm them")
        self.header = TraceHeader(
            tuple(header_of(each) for each in functions), seed, "compact" if compact else "full"
        )
        self._owns = isinstance(target, (str, os.PathLike))
        self._sink = Sink(create_stream(target) if isinstance(target, (str, os.PathLike)) else target)
        self._trace: Any = self._sink.open(capacity, compact=compact)
        self._functions = [weakref.ref(each) for each in functions]
        self._put_head()
        for each in functions:
            self._begin(each)

    def _put_head(self) -> None:
        octets = head_of(self.header)
        lib.vnic_trace_head(self._trace, ffi.from_buffer("uint8_t[]", octets), len(octets))
        ports = ports_of(self.header)
        for each in self.header.functions:
            port = ports.get(each.function, 0xFFFF_FFFF)
            lib.vnic_trace_interfaces(self._trace, each.function, port, len(ports))

    def _begin(self, function: PciFunction[Any]) -> None:
        self._put(EventType.LOAD, function.config.function, 0, function.save())
        function._native.record(self._trace, self)
        function._calls.retell(function._enter())

    def _put(self, kind: int, function: int, time_ns: int, data: bytes = b"", value: int = 0) -> None:
        event = ffi.new("struct vnic_event *")
        event.type, event.function, event.time_ns, event.value = kind, function, time_ns, value
        if data:
            event.data, event.len = ffi.from_buffer("uint8_t[]", data), len(data)
        lib.vnic_trace_event(self._trace, event)

    def _alive(self) -> list[PciFunction[Any]]:
        functions = [each() for each in self._functions]
        return [each for each in functions if each is not None and not each.is_closed]

    def mark(self, text: str) -> None:
        """Put a mark here."""
        self._open()
        first = next(iter(self._alive()), None)
        number = self.header.functions[0].function
        self._put(EventType.MARK, number, first.now_ns if first else 0, text.encode())

    def hash(self) -> None:
        """Put the state hash of every function here: a replay compares it."""
        self._open()
        for each in self._alive():
            self._put(EventType.HASH, each.config.function, each.now_ns, value=each.state_hash())

    @property
    def events(self) -> int:
        """How many were recorded."""
        return lib.vnic_trace_events(self._open())

    @property
    def octets(self) -> int:
        """Bytes of the file so far, before compression."""
        return lib.vnic_trace_octets(self._open())

    def _open(self) -> Any:
        if self._trace is None:
            raise ArgumentError("the recording is over")
        return self._trace

    def flush(self) -> None:
        """Hand what is held to the file; TraceError when it cannot be written."""
        result = lib.vnic_trace_flush(self._open())
        self._sink.raise_failure()
        if result < 0:
            raise TraceError(f"the file takes no more: {self.events} events were recorded")

    def close(self) -> None:
        """End the recording, the devices go on; idempotent."""
        if self._trace is None:
            return
        for each in self._alive():
            each._native.record(None, None)
        try:
            self.flush()
        finally:
            trace, self._trace = self._trace, None
            lib.vnic_trace_destroy(trace)
            self._sink.close(owned=self._owns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()


def header_of(function: PciFunction[Any]) -> FunctionHeader:
    """What the header says of a function."""
    config = function.config
    kind = "copy" if isinstance(function, CopyEngine) else "nic"
    return FunctionHeader(config.function, kind, f"{function.map_hash:016x}", asdict(config))
