"""Replay: the inputs of a trace into fresh devices, and what comes out of them beside the trace."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, BinaryIO, Final

from vnic.abi import EventType
from vnic.config import CopyEngineConfig, DeviceConfig
from vnic.copy_engine import CopyEngine
from vnic.device import Device
from vnic.errors import ArgumentError, VnicError
from vnic.function import PciFunction
from vnic.trace._native import Source, ffi, lib
from vnic.trace.event import TraceEvent
from vnic.trace.file import open_octets, ports_of
from vnic.trace.header import FunctionHeader, TraceError

_EVER: Final = (1 << 64) - 1
_SHOWN: Final = 64


class Outcome(IntEnum):
    """How a replay came to its end: enum vnic_replay_result."""

    STOPPED = 0
    END = 1
    CUT = 2
    DIFFERENT = 3
    BAD = 4
    FAILED = 5


class Decision(IntEnum):
    """What to do about a difference: enum vnic_replay_verdict."""

    STOP = 0
    GO_ON = 1
    DROP_ACTUAL = 2
    DROP_EXPECTED = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """Where device and trace part: the event's number, what the trace has and what came; None: nothing.

    Of data that came at most the first 64 bytes are kept.
    """

    number: int
    expected: TraceEvent | None
    actual: TraceEvent | None


#: judge(difference): what to do about it.
Judge = Callable[[Difference], Decision]


class Replay:
    """Replays a trace into devices that it makes from the header, or is given; usable as a context manager.

    judge: asked at each difference; without one the first ends the replay. notes: what is not as it was when
    the trace was made. The devices are free, without memory, when the replay is closed.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        judge: Judge | None = None,
        devices: dict[int, PciFunction[Any]] | None = None,
    ) -> None:
        self._judge = judge
        self._file, stream, self.header = open_octets(source)
        self._source = Source(stream, self._decide if judge else None)
        try:
            self.devices = dict(devices or {}) or {
                each.function: device_of(each) for each in self.header.functions
            }
        except BaseException:
            self._close_file()
            raise
        self._raw: Any = lib.vnic_replay_create(lib.vnic_py_source, self._source.handle)
        lib.vnic_replay_set_judge(self._raw, lib.vnic_py_judge if judge else ffi.NULL, self._source.handle)
        self._attach()
        self.difference: Difference | None = None
        self.notes = [note for each in self.header.functions if (note := self._note(each))]

    def _note(self, function: FunctionHeader) -> str:
        """Another register map is not refused: what of it makes a difference, the replay finds by name."""
        device = self.devices.get(function.function)
        here = f"{device.map_hash:016x}" if device is not None else function.map
        is_same = function.map == here
        return (
            ""
            if is_same
            else f"function {function.function}: another register map, {function.map}, than {here}"
        )

    def _attach(self) -> None:
        ports = ports_of(self.header)
        for number, device in self.devices.items():
            raw = device._enter()
            device.is_manual = True
            if isinstance(device, CopyEngine):
                result = lib.vnic_replay_engine(self._raw, number, raw, len(ports))
            else:
                result = lib.vnic_replay_card(
                    self._raw, number, raw, ports.get(number, _EVER >> 32), len(ports)
                )
            if result < 0:
                raise ArgumentError(f"function {number}: a number from 0 to 7, each once")

    # -- the run ---------------------------------------------------------------------------------------------

    def run(self, until: int | None = None) -> Outcome:
        """Go on until this many events are behind, to the end, or to a difference that ends it."""
        outcome = Outcome(lib.vnic_replay_run(self._open(), _EVER if until is None else until))
        self._source.raise_failure()
        if outcome is Outcome.DIFFERENT:
            self.difference = self._difference(
                lib.vnic_replay_expected(self._raw), lib.vnic_replay_actual(self._raw)
            )
        if outcome is Outcome.BAD:
            raise TraceError(f"no block of a trace, after {self.events} events (at offset {self.offset})")
        if outcome is Outcome.FAILED:
            raise TraceError(f"an event that is too long, or no memory (at offset {self.offset})")
        return outcome

    @property
    def events(self) -> int:
        """How many events of the trace are behind."""
        return lib.vnic_replay_events(self._open())

    @property
    def offset(self) -> int:
        """Where the next block starts in the uncompressed file."""
        return lib.vnic_replay_offset(self._open())

    @property
    def lost(self) -> int:
        """Events whose numbers are missing so far."""
        return lib.vnic_replay_lost(self._open())

    @property
    def skipped(self) -> int:
        """Events of a kind that is not known so far."""
        return lib.vnic_replay_skipped(self._open())

    def follow(self, follower: Any, opaque: Any) -> None:
        """Have a struct vnic_observer told of everything that happens, in the order of the file."""
        lib.vnic_replay_follow(self._open(), follower, opaque)

    def _decide(self, expected: Any, actual: Any) -> int:
        assert self._judge is not None
        return int(self._judge(self._difference(expected, actual)))

    def _difference(self, expected: Any, actual: Any) -> Difference:
        return Difference(
            self.events, _event(expected, self.events, None), _event(actual, self.events, _SHOWN)
        )

    def _open(self) -> Any:
        if self._raw is None:
            raise ArgumentError("the replay is closed")
        return self._raw

    # -- life ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End it; the devices live on. Idempotent."""
        if self._raw is not None:
            raw, self._raw = self._raw, None
            for number, device in self.devices.items():
                if device.is_closed:
                    lib.vnic_replay_forget(raw, number)
            lib.vnic_replay_destroy(raw)
            self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def device_of(function: FunctionHeader) -> PciFunction[Any]:
    """A fresh device as a trace's header describes it, in manual mode; TraceError when it cannot be made."""
    kinds: dict[str, tuple[Any, Any]] = {
        "nic": (Device, DeviceConfig),
        "copy": (CopyEngine, CopyEngineConfig),
    }
    if function.kind not in kinds:
        raise TraceError(
            f"function {function.function} is {function.kind}: it has registers, but no device here"
        )
    make, config_type = kinds[function.kind]
    known = {field.name: field for field in fields(config_type)}
    try:
        values = {name: _value(name, value) for name, value in function.config.items() if name in known}
        device: PciFunction[Any] = make(config_type(**values), manual=True)
    except (VnicError, TypeError, ValueError) as error:
        raise TraceError(f"function {function.function} of the trace cannot be made: {error}") from error
    return device


def _value(name: str, value: Any) -> Any:
    return bytes.fromhex(value) if name == "mac" else value


def _event(raw: Any, number: int, shown: int | None) -> TraceEvent | None:
    if raw.type == 0:
        return None
    length = raw.len if shown is None else min(raw.len, shown)
    data = bytes(ffi.buffer(raw.data, length)) if raw.data and length else b""
    return TraceEvent(
        number,
        EventType(raw.type),
        raw.time_ns,
        raw.function,
        raw.index,
        raw.width,
        raw.addr,
        raw.value,
        data,
        None,
        raw.len,
    )


def at(source: str | os.PathLike[str] | BinaryIO, number: int) -> PciFunction[Any]:
    """The device of a trace as it was after `number` events, alive and without memory.

    Of a trace with several functions, the first one: use Replay for all. TraceError when the trace is
    shorter, or the device does not do what the trace says.
    """
    with Replay(source) as replay:
        outcome = replay.run(number)
        if outcome is not Outcome.STOPPED and replay.events < number:
            raise TraceError(f"event {number} is not reached: {outcome.name} after {replay.events} events")
        return replay.devices[replay.header.functions[0].function]
