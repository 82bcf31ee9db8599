"""The C card behind a Device: its life, the calls that come back out of it, and what results mean."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from vnic import errors
from vnic._core import ffi, lib
from vnic.abi import DmaStatus, EventType, Result
from vnic.config import DeviceConfig
from vnic.events import Answer, Event, Observer
from vnic.gen.registers import BAR0

if TYPE_CHECKING:
    from vnic._core import CData, vnic, vnic_access, vnic_config, vnic_event

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

    def __init__(self, card: Card, observer: Observer, types: Iterable[EventType]) -> None:
        self.observer = observer
        self.mask = sum(1 << kind for kind in set(types))
        self._card = card

    def cancel(self) -> None:
        """No more events; idempotent."""
        self._card.detach(self)

    def __enter__(self) -> Observation:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class Card:
    """Owns a struct vnic, and frees it when closed or forgotten.

    settle: called when a register access left something to do. What callbacks raise, raise_failure() raises.
    """

    def __init__(self, config: DeviceConfig, settle: Callable[[], None]) -> None:
        _check_build()
        raw = _raw_config(config)
        created = ffi.new("vnic **")
        check(lib.vnic_create(raw, created), f"create {config}")
        self.config = _resolved(raw)
        self.access: vnic_access = lib.vnic_access_create(
            created[0], id(settle), id(errors.ClosedError), id(errors.InsideError)
        )
        if not self.access:
            lib.vnic_destroy(created[0])
            raise errors.AllocationError("no memory for a device")
        self.failure: BaseException | None = None
        self.answer: Answer | None = None
        self._observations: list[Observation] = []
        self._kept: dict[int, memoryview] = {}
        self._handle = ffi.new_handle(weakref.ref(self))
        weakref.finalize(self, _release, self.access)

    def close(self) -> None:
        """Free the card; idempotent."""
        if self.access.is_inside:
            raise errors.InsideError("an observer or answer must not close its own device")
        _destroy(self.access)
        self._kept.clear()

    def enter(self) -> vnic:
        """The card, for a call; ClosedError, InsideError."""
        access = self.access
        if not access.card:
            raise errors.ClosedError("the device is closed")
        if access.is_inside:
            raise errors.InsideError("an observer or answer must not use its own device")
        return access.card

    def open(self, window: BarWindow, bar: int) -> None:
        """Make a window one of this card's."""
        lib.vnic_window_open(id(window), self.access, bar)

    def keep(self, view: memoryview) -> None:
        """Hold on to memory that the card points to."""
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
        if self.access.card:
            self._apply_mask()

    def _apply_mask(self) -> None:
        mask = 0
        for observation in self._observations:
            mask |= observation.mask
        lib.vnic_observe(self.access.card, lib.vnic_py_event if mask else ffi.NULL, self._handle, mask)

    def set_answer(self, answer: Answer | None) -> None:
        """Who answers DMA to what is not mapped."""
        card = self.enter()
        self.answer = answer
        lib.vnic_set_unmapped(card, lib.vnic_py_unmapped if answer else ffi.NULL, self._handle)

    def on_event(self, raw: vnic_event) -> None:
        """The card reports an event."""
        data = bytes(ffi.buffer(raw.data, raw.len)) if raw.len else b""
        event = Event(
            EventType(raw.type), raw.function, raw.index, raw.width, raw.time_ns, raw.addr, raw.value, data
        )
        for observation in self._observations:
            if observation.mask >> event.type & 1:
                self._call(observation.observer, event)

    def on_unmapped(self, iova: int, data: memoryview, is_write: bool) -> int:
        """The card asks for what is not mapped."""
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


def _destroy(access: vnic_access) -> None:
    if access.card:
        lib.vnic_destroy(access.card)
        access.card = ffi.NULL


def _release(access: vnic_access) -> None:
    _destroy(access)
    lib.vnic_access_release(access)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def vnic_py_event(opaque: CData, event: vnic_event) -> None:
    """struct vnic_observer: hand an event to the card's Python side."""
    card = ffi.from_handle(opaque)()
    if card is not None:
        card.on_event(event)


@ffi.def_extern(error=int(DmaStatus.UNSUPPORTED))  # type: ignore[untyped-decorator]
def vnic_py_unmapped(opaque: CData, iova: int, data: CData, length: int, is_write: int) -> int:
    """struct vnic_unmapped: ask the card's Python side."""
    card: Card | None = ffi.from_handle(opaque)()
    if card is None:
        return int(DmaStatus.UNSUPPORTED)
    view = memoryview(ffi.buffer(data, length))
    return card.on_unmapped(iova, view.toreadonly() if is_write else view, bool(is_write))


def _check_build() -> None:
    if lib.vnic_register_map_hash() != BAR0.MAP.hash:
        raise errors.BuildError("the compiled module has other registers than vnic.gen: build it again")


def _raw_config(config: DeviceConfig) -> vnic_config:
    raw: vnic_config = ffi.new("struct vnic_config *")
    lib.vnic_config_init(raw)
    for name, value in asdict(config).items():
        if value is None:
            continue
        if name == "mac" and len(value) != len(raw.mac):
            raise errors.ArgumentError(f"a MAC address has {len(raw.mac)} octets, not {len(value)}")
        try:
            setattr(raw, name, value if name != "mac" else list(value))
        except OverflowError as error:
            raise errors.ArgumentError(f"{name}: {error}") from None
    return raw


def _resolved(raw: vnic_config) -> DeviceConfig:
    values = {field.name: getattr(raw, field.name) for field in fields(DeviceConfig)}
    return DeviceConfig(**{**values, "mac": bytes(values["mac"])})
