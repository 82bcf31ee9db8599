"""What all sockets have in common: a handle, the events that came, and who wants to hear of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vnic._core import ffi, lib
from vnic.abi import SocketEvent, SocketOption
from vnic.errors import VnicError
from vnic.stack.address import EndpointLike, endpoint_of, raw_endpoint
from vnic.stack.errors import SocketClosedError, check, error_of
from vnic.stack.native import Native

if TYPE_CHECKING:
    from vnic._core import vnic_endpoint

#: Called with all events since the last call; it may use the stack.
Listening = Callable[[SocketEvent], None]

_NOTHING = SocketEvent(0)


class Socket:
    """A socket of any kind; it must be closed."""

    def __init__(self, native: Native, handle: int) -> None:
        self.handle = handle
        #: Every event so far.
        self.events = _NOTHING
        #: How the connection ended; None: it lasts, or ended in an orderly way.
        self.error: VnicError | None = None
        self.on_event: Listening | None = None
        self._native = native
        native.sockets[handle] = self

    def notify(self, events: SocketEvent, result: int) -> None:
        """The stack reports events."""
        self.events |= events
        if events & SocketEvent.CLOSED and result < 0:
            self.error = error_of(result, str(self))
        if self.on_event is not None:
            self.on_event(events)

    @property
    def is_closed(self) -> bool:
        """Whether close() or abort() was called: the handle is gone."""
        return self.handle == 0

    def close(self) -> None:
        """Give the socket up; idempotent."""
        if not self.handle:
            return
        result = lib.vnic_stack_close(self._native.enter(), self.handle)
        self._forget()
        self._native.finish(result, "close")

    def set_option(self, option: SocketOption, value: int) -> None:
        """Change an option; on a listener, of the connections that it accepts from now on."""
        result = lib.vnic_stack_set_option(self._native.enter(), self._own(), option, value)
        check(result, f"{option.name} {value}")

    def _own(self) -> int:
        if self.is_closed:
            raise SocketClosedError("the socket was closed")
        return self.handle

    def _forget(self) -> None:
        self._native.sockets.pop(self.handle, None)
        self.handle = 0
        self.on_event = None

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.handle:#x}"


def endpoint_or_null(value: EndpointLike | None) -> vnic_endpoint:
    """struct vnic_endpoint, NULL for none."""
    return ffi.NULL if value is None else raw_endpoint(endpoint_of(value))
