"""The C stack behind a Stack: its life, the sockets of its handles, the copy hook that comes back out."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from vnic import errors
from vnic._core import ffi, lib
from vnic.abi import HookAnswer, SocketEvent
from vnic.stack.config import StackConfig
from vnic.stack.errors import check
from vnic.stack.memory import address_of_pointer, pointer_to

if TYPE_CHECKING:
    from vnic._core import CData, vnic_stack, vnic_stack_config

#: hook(to, from, length, ticket): places as pointer_of() names them; after LATER comes Stack.copied(ticket).
CopyHook = Callable[[int, int, int, int], HookAnswer]

_EVENTS = 64


class Notified(Protocol):
    """A socket, as the dispatcher of events sees it."""

    def notify(self, events: SocketEvent, result: int) -> None:
        """Something happened."""


class Native:
    """Owns a struct vnic_stack, and frees it when closed or forgotten."""

    def __init__(self, config: StackConfig, send_memory: memoryview | None = None) -> None:
        raw = _raw_config(config)
        self._send_memory = send_memory
        created = _create(raw, send_memory)
        if not created:
            raise errors.ArgumentError(f"the library makes no stack of {config}")
        self.config = _resolved(raw)
        self.sockets: dict[int, Notified] = {}
        self._life = [created]
        self._hook: CopyHook | None = None
        self._copying: set[int] = set()
        self._is_inside = False
        self._failure: BaseException | None = None
        self._events = ffi.new("struct vnic_stack_event[]", _EVENTS)
        self._handle: CData = ffi.new_handle(weakref.ref(self))
        weakref.finalize(self, _release, self._life)

    # -- life ------------------------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return not self._life

    def close(self) -> None:
        """Free the stack: connections end without a word. Idempotent."""
        if self._is_inside:
            raise errors.InsideError("a copy hook must not close its own stack")
        _release(self._life)
        self.sockets.clear()
        self._copying.clear()
        self._send_memory = None

    def enter(self) -> vnic_stack:
        """The stack, for a call; ClosedError, InsideError."""
        if not self._life:
            raise errors.ClosedError("the stack is closed")
        if self._is_inside:
            raise errors.InsideError("a copy hook must not use its own stack")
        return self._life[0]

    def finish(self, result: int, what: str) -> int:
        """The result of a call: raises what the hook raised meanwhile, or what the result means."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return result if result >= 0 else check(result, what)

    # -- events ----------------------------------------------------------------------------------------------

    def dispatch(self) -> int:
        """Hand every event that waits to its socket; how many there were."""
        count = 0
        while fetched := lib.vnic_stack_events(self.enter(), self._events, _EVENTS):
            batch = [(raw.socket, raw.events, raw.result) for raw in self._events[0:fetched]]
            count += fetched
            for handle, events, result in batch:
                target = self.sockets.get(handle)
                if target is not None:
                    target.notify(SocketEvent(events), result)
            if self.is_closed:
                break
        return count

    # -- the copy hook ---------------------------------------------------------------------------------------

    @property
    def hook_handle(self) -> CData:
        """What C gives vnic_py_copy() to find this object."""
        return self._handle

    def set_copy_hook(self, hook: CopyHook | None) -> None:
        """Who copies received data; None: the processor."""
        raw = self.enter()
        self._hook = hook
        lib.vnic_stack_set_copy_hook(raw, lib.vnic_py_copy if hook else ffi.NULL, self._handle)

    def copied(self, ticket: int) -> None:
        """A copy that the hook put off is done; UnknownError for a ticket that is not out."""
        result = lib.vnic_stack_copied(self.enter(), ticket)
        self._copying.discard(ticket)
        self.finish(result, f"copied {ticket}")

    @property
    def copies(self) -> int:
        """Copies that are put off."""
        return len(self._copying)

    def on_copy(self, to: CData, source: CData, length: int, ticket: int) -> int:
        """The stack asks for a copy; one whose hook raises is made by the processor."""
        assert self._hook is not None
        self._is_inside = True
        try:
            answer = self._hook(address_of_pointer(to), address_of_pointer(source), length, ticket)
        except BaseException as failure:  # KeyboardInterrupt must come out of the call, too
            self._failure = self._failure or failure
            answer = HookAnswer.DECLINED
        finally:
            self._is_inside = False
        if answer == HookAnswer.LATER:
            self._copying.add(ticket)
        return int(answer)


def _create(raw: vnic_stack_config, send_memory: memoryview | None) -> vnic_stack:
    if send_memory is None:
        return lib.vnic_stack_create(raw)
    where = pointer_to(send_memory, is_written=True)
    return lib.vnic_stack_create_in(raw, where, len(send_memory))


def _release(life: list[vnic_stack]) -> None:
    while life:
        lib.vnic_stack_destroy(life.pop())


@ffi.def_extern(error=int(HookAnswer.DECLINED))  # type: ignore[untyped-decorator]
def vnic_py_copy(opaque: CData, to: CData, source: CData, length: int, ticket: int) -> int:
    """vnic_copy_hook: ask the stack's Python side."""
    native: Native | None = ffi.from_handle(opaque)()
    if native is None:
        return int(HookAnswer.DECLINED)
    return native.on_copy(to, source, length, ticket)


def _raw_config(config: StackConfig) -> vnic_stack_config:
    raw: vnic_stack_config = ffi.new("struct vnic_stack_config *")
    lib.vnic_stack_defaults(raw)
    for name, value in asdict(config).items():
        if value is None:
            continue
        try:
            setattr(raw, name, value)
        except (OverflowError, TypeError) as error:
            raise errors.ArgumentError(f"{name}: {error}") from None
    return raw


def _resolved(raw: vnic_stack_config) -> StackConfig:
    return StackConfig(**{name: getattr(raw, name) for name in StackConfig.__slots__})
