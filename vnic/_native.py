"""The C object behind a PCI function: its life, the calls that come back out of it, and what results mean."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic

from vnic import errors
from vnic._core import ffi, lib
from vnic._kind import ConfigT, Kind
from vnic.abi import DmaStatus, EventType, Result
from vnic.events import Answer, Event, Observer

if TYPE_CHECKING:
    from vnic._core import CData, vnic_access, vnic_event

_ERRORS: dict[int, type[errors.VnicError]] = {
    Result.EINVAL: errors.ArgumentError,
    Result.ENOMEM: errors.AllocationError,
    Result.EOVERLAP: errors.OverlapError,
    Result.ENOSPC: errors.CapacityError,
    Result.ENOENT: errors.UnknownError,
    Result.ETIME: errors.TimeError,
    Result.EFORMAT: errors.SnapshotError,
    Result.EVERSION: errors.SnapshotVersionError,
    Result.ECONFIG: errors.SnapshotConfigError,
}


def check(result: int, what: str) -> None:
    """Raise the exception that a negative result stands for."""
    if result < 0:
        text = ffi.string(lib.vnic_strerror(result)).decode()
        raise _ERRORS.get(result, errors.VnicError)(f"{what}: {text}")


def _window_type() -> Any:
    names: dict[str, Any] = {}
    if lib.vnic_window_type(id(names)):
        raise errors.AllocationError("no memory for the type of windows")
    return names["Window"]


if TYPE_CHECKING:

    class BarWindow:
        """The accesses of one BAR: methods of the compiled module, as quick as C from Python can be."""

        def read8(self, offset: int, /) -> int:
            """The byte at an offset; OverflowError, as of all, for numbers that do not fit."""

        def read16(self, offset: int, /) -> int:
            """The 16 bits at an offset."""

        def read32(self, offset: int, /) -> int:
            """The 32 bits at an offset."""

        def read64(self, offset: int, /) -> int:
            """The 64 bits at an offset."""

        def write8(self, offset: int, value: int, /) -> None:
            """Write a byte."""

        def write16(self, offset: int, value: int, /) -> None:
            """Write 16 bits."""

        def write32(self, offset: int, value: int, /) -> None:
            """Write 32 bits."""

        def write64(self, offset: int, value: int, /) -> None:
            """Write 64 bits."""
else:
    BarWindow = _window_type()


class Observation:
    """An observer that is attached; cancel(), or the end of a with block, detaches it."""

    def __init__(self, native: Native[Any], observer: Observer, types: Iterable[EventType]) -> None:
        self.observer = observer
        self.mask = sum(1 << kind for kind in set(types))
        self._native = native

    def cancel(self) -> None:
        """No more events; idempotent."""
        self._native.detach(self)

    def __enter__(self) -> Observation:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


_EVERYTHING = 0xFFFF_FFFF


class Native(Generic[ConfigT]):
    """Owns the C object of a function, and frees it when closed or forgotten.

    settle: called when a register access left something to do. What callbacks raise, raise_failure() raises.
    """

    def __init__(self, kind: Kind[ConfigT], config: ConfigT, settle: Callable[[], None]) -> None:
        self.calls = kind.calls
        raw = kind.raw(config)
        created = kind.pointer()
        check(self.calls.create(raw, created), f"create {config}")
        self.config = kind.resolved(raw)
        self._number: int = raw.function
        self.access: vnic_access = kind.open_access(
            created[0], id(settle), id(errors.ClosedError), id(errors.InsideError)
        )
        if not self.access:
            self.calls.destroy(created[0])
            raise errors.AllocationError("no memory for a device")
        self.failure: BaseException | None = None
        self.answer: Answer | None = None
        self._observations: list[Observation] = []
        self._recorder: Any = None
        self._recorder_owner: object = None
        self._kept: dict[int, memoryview] = {}
        self._handle = ffi.new_handle(weakref.ref(self))
        weakref.finalize(self, _release, self.access, self.calls.destroy)

    def close(self) -> None:
        """Free it; idempotent."""
        if self.access.is_inside:
            raise errors.InsideError("an observer or answer must not close its own device")
        _destroy(self.access, self.calls.destroy)
        self._kept.clear()

    def enter(self) -> Any:
        """The pointer to the C object, for a call; ClosedError, InsideError."""
        access = self.access
        if not access.function:
            raise errors.ClosedError("the device is closed")
        if access.is_inside:
            raise errors.InsideError("an observer or answer must not use its own device")
        return access.function

    def open(self, window: BarWindow, bar: int) -> None:
        """Make a window one of this function's."""
        lib.vnic_window_open(id(window), self.access, bar)

    def keep(self, view: memoryview) -> None:
        """Hold on to memory that the C object points to."""
        owner = view.obj
        self._kept.setdefault(id(owner), memoryview(owner))

    # -- callbacks -------------------------------------------------------------------------------------------

    def attach(self, observation: Observation) -> None:
        """Start an observation."""
        self._observations = [*self._observations, observation]
        self._apply_mask()

    def detach(self, observation: Observation) -> None:
        """End an observation; from inside an observer too."""
        self._observations = [other for other in self._observations if other is not observation]
        if self.access.function:
            self._apply_mask()

    def record(self, recorder: Any, owner: object) -> None:
        """Have a struct vnic_trace see every event before the observers do; None: no more.

        owner: what it lives by, kept alive as long.
        """
        self._recorder, self._recorder_owner = recorder, owner
        if self.access.function:
            self._apply_mask()

    def mark(self, function: int, time_ns: int, text: str) -> None:
        """Put a MARK into what sees every event, if something does."""
        if self._recorder is None:
            return
        event, data = ffi.new("struct vnic_event *"), text.encode()
        event.type, event.function, event.time_ns = lib.VNIC_EVENT_MARK, function, time_ns
        event.data, event.len = ffi.from_buffer("uint8_t[]", data), len(data)
        lib.vnic_trace_event(self._recorder, event)

    def _apply_mask(self) -> None:
        mask = 0
        for observation in self._observations:
            mask |= observation.mask
        observer = lib.vnic_py_event if mask else ffi.NULL
        opaque = self._handle
        if self._recorder is not None:
            lib.vnic_trace_forward(self._recorder, self._number, observer, opaque, mask)
            observer, opaque, mask = lib.vnic_trace_event, self._recorder, _EVERYTHING
        self.calls.observe(self.access.function, observer, opaque, mask)

    def set_answer(self, answer: Answer | None) -> None:
        """Who answers DMA to what is not mapped."""
        function = self.enter()
        self.answer = answer
        self.calls.set_unmapped(function, lib.vnic_py_unmapped if answer else ffi.NULL, self._handle)

    def on_event(self, raw: vnic_event) -> None:
        """The function reports an event."""
        data = bytes(ffi.buffer(raw.data, raw.len)) if raw.len else b""
        event = Event(
            EventType(raw.type), raw.function, raw.index, raw.width, raw.time_ns, raw.addr, raw.value, data
        )
        for observation in self._observations:
            if observation.mask >> event.type & 1:
                self._call(observation.observer, event)

    def on_unmapped(self, iova: int, data: memoryview, is_write: bool) -> int:
        """The function asks for what is not mapped."""
        status = self._call(self.answer, iova, data, is_write) if self.answer else None
        return int(DmaStatus.UNSUPPORTED if status is None else status)

    def _call(self, callback: Callable[..., Any], *arguments: Any) -> Any:
        """What the callback returned, or None when it raised; the first exception is kept."""
        access = self.access
        was_inside, access.is_inside = access.is_inside, True
        try:
            return callback(*arguments)
        except BaseException as failure:  # KeyboardInterrupt must come out of the call, too
            self.failure = self.failure or failure
            access.must_settle = True
            return None
        finally:
            access.is_inside = was_inside

    def raise_failure(self) -> None:
        """Raise what a callback raised since last time."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure


def _destroy(access: vnic_access, destroy: Callable[[Any], None]) -> None:
    if access.function:
        destroy(access.function)
        access.function = ffi.NULL


def _release(access: vnic_access, destroy: Callable[[Any], None]) -> None:
    _destroy(access, destroy)
    lib.vnic_access_release(access)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def vnic_py_event(opaque: CData, event: vnic_event) -> None:
    """struct vnic_observer: hand an event to the function's Python side."""
    native: Native[Any] | None = ffi.from_handle(opaque)()
    if native is not None:
        native.on_event(event)


@ffi.def_extern(error=int(DmaStatus.UNSUPPORTED))  # type: ignore[untyped-decorator]
def vnic_py_unmapped(opaque: CData, iova: int, data: CData, length: int, is_write: int) -> int:
    """struct vnic_unmapped: ask the function's Python side."""
    native: Native[Any] | None = ffi.from_handle(opaque)()
    if native is None:
        return int(DmaStatus.UNSUPPORTED)
    view = memoryview(ffi.buffer(data, length))
    return native.on_unmapped(iova, view.toreadonly() if is_write else view, bool(is_write))
