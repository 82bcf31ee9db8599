"""What goes wrong in a stack: an exception for each result of vnic_stack.h, and Python's own of that name."""

from __future__ import annotations

import errno
from typing import Final

from vnic._core import ffi, lib
from vnic.abi import Result, StackResult
from vnic.errors import AllocationError, ArgumentError, CapacityError, TimeError, UnknownError, VnicError


class StackError(VnicError, OSError):
    """Root of what a socket or interface answers; `errno` is the system's number of it."""


class WouldBlockError(StackError, BlockingIOError):
    """EAGAIN: nothing there now, or no room; an event will tell."""


class SocketClosedError(StackError):
    """EBADF: the socket was closed."""


class AddressInUseError(StackError):
    """EADDRINUSE."""


class AddressNotAvailableError(StackError):
    """EADDRNOTAVAIL: not an address of an interface, or no local port left."""


class HostUnreachableError(StackError):
    """EHOSTUNREACH: no route, or the neighbour does not answer."""


class RefusedError(StackError, ConnectionRefusedError):
    """ECONNREFUSED."""


class ResetError(StackError, ConnectionResetError):
    """ECONNRESET."""


class TimedOutError(StackError, TimeoutError):
    """ETIMEDOUT: the peer does not answer."""


class NotConnectedError(StackError):
    """ENOTCONN: not connected yet, or a listener."""


class PipeError(StackError, BrokenPipeError):
    """EPIPE: sending after shutdown."""


class MessageSizeError(StackError):
    """EMSGSIZE: a datagram too long."""


class NoBuffersError(StackError):
    """ENOBUFS: a pool is used up."""


class AbortedError(StackError, ConnectionAbortedError):
    """ECONNABORTED: by ourselves."""


class StreamEndError(StackError, EOFError):
    """The peer's stream ended before what was to be read."""


_STACK: Final[dict[int, tuple[type[StackError], int]]] = {
    StackResult.EAGAIN: (WouldBlockError, errno.EAGAIN),
    StackResult.EBADF: (SocketClosedError, errno.EBADF),
    StackResult.EADDRINUSE: (AddressInUseError, errno.EADDRINUSE),
    StackResult.EADDRNOTAVAIL: (AddressNotAvailableError, errno.EADDRNOTAVAIL),
    StackResult.EHOSTUNREACH: (HostUnreachableError, errno.EHOSTUNREACH),
    StackResult.ECONNREFUSED: (RefusedError, errno.ECONNREFUSED),
    StackResult.ECONNRESET: (ResetError, errno.ECONNRESET),
    StackResult.ETIMEDOUT: (TimedOutError, errno.ETIMEDOUT),
    StackResult.ENOTCONN: (NotConnectedError, errno.ENOTCONN),
    StackResult.EPIPE: (PipeError, errno.EPIPE),
    StackResult.EMSGSIZE: (MessageSizeError, errno.EMSGSIZE),
    StackResult.ENOBUFS: (NoBuffersError, errno.ENOBUFS),
    StackResult.ECONNABORTED: (AbortedError, errno.ECONNABORTED),
}
_COMMON: Final[dict[int, type[VnicError]]] = {
    Result.EINVAL: ArgumentError,
    Result.ENOMEM: AllocationError,
    Result.ENOSPC: CapacityError,
    Result.ENOENT: UnknownError,
    Result.ETIME: TimeError,
}


def error_of(result: int, what: str) -> VnicError:
    """The exception that a negative result stands for."""
    text = f"{what}: {ffi.string(lib.vnic_stack_strerror(result)).decode()}"
    known = _STACK.get(result)
    if known is not None:
        kind, number = known
        return kind(number, text)
    return _COMMON.get(result, VnicError)(text)


def check(result: int, what: str) -> int:
    """The result, unless it is negative: then its exception is raised."""
    if result < 0:
        raise error_of(result, what)
    return result
