"""A connection as a stream that waits: reading and writing let time pass until they are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from vnic.abi import SocketEvent
from vnic.errors import VnicError
from vnic.stack.address import EndpointLike
from vnic.stack.errors import StreamEndError
from vnic.stack.stack import Stack
from vnic.stack.tcp import Buffer, Listener, TcpSocket

#: wait(is_done, what): let time pass until then; raises TimedOutError naming what never came.
Wait = Callable[[Callable[[], bool], str], None]

_READ_BYTES = 1 << 18


class Stream:
    """Blocking calls over a TcpSocket; `wait` is a world in virtual time, or a pump on a real clock."""

    def __init__(self, socket: TcpSocket, wait: Wait) -> None:
        self.socket = socket
        self._wait = wait
        self._rest = bytearray()

    def connected(self) -> Self:
        """Wait for the handshake; RefusedError, TimedOutError, HostUnreachableError."""
        self._wait(lambda: self.socket.is_connected or self.socket.is_over, "a connection")
        if not self.socket.is_connected:
            self.socket.close()
            raise self.socket.error or StreamEndError("the connection ended")
        return self

    # -- writing ---------------------------------------------------------------------------------------------

    def write_all(self, data: Buffer) -> None:
        """Put all bytes into the send queue, waiting for room."""
        left = memoryview(data).cast("B")
        while left:
            self._raise_failure()
            taken = self.socket.send(left)
            left = left[taken:]
            if left and not taken:
                self.socket.events &= ~SocketEvent.WRITABLE
                self._wait(lambda: self._has(SocketEvent.WRITABLE), "room to send")

    def finish(self) -> None:
        """No more will be written: FIN."""
        self.socket.shutdown()

    def drain(self) -> None:
        """Wait until the peer acknowledged all that was written."""
        self._wait(lambda: self.socket.is_over or not self.socket.info.send_queued, "acknowledgements")
        self._raise_failure()

    # -- reading ---------------------------------------------------------------------------------------------

    def read(self, size: int = _READ_BYTES) -> bytes:
        """At least one byte, at most `size`; b'' at the end."""
        if not self._rest and not self._fill(size):
            return b""
        data = bytes(self._rest[:size])
        del self._rest[:size]
        return data

    def read_exactly(self, size: int) -> bytes:
        """`size` bytes; StreamEndError when the stream ends before."""
        while len(self._rest) < size:
            if not self._fill(size - len(self._rest)):
                raise StreamEndError(f"the stream ended after {len(self._rest)} of {size} bytes")
        return self.read(size) if size else b""

    def read_until(self, end: bytes, limit: int = 1 << 16) -> bytes:
        """Up to and with `end`; StreamEndError at the end or when `limit` bytes came without."""
        while end not in self._rest:
            if len(self._rest) >= limit or not self._fill(_READ_BYTES):
                raise StreamEndError(f"{end!r} did not come within {len(self._rest)} bytes")
        return self.read(self._rest.index(end) + len(end))

    def read_all(self) -> bytes:
        """Everything up to the peer's FIN."""
        while self._fill(_READ_BYTES):
            pass
        data, self._rest = bytes(self._rest), bytearray()
        return data

    def _fill(self, size: int) -> bool:
        """Get some more bytes; False at the end."""
        while (data := self._receive(size)) is None:
            self.socket.events &= ~SocketEvent.READABLE
            self._wait(lambda: self._has(SocketEvent.READABLE | SocketEvent.FIN), "data")
        self._rest += data
        return bool(data)

    def _receive(self, size: int) -> bytes | None:
        try:
            data = self.socket.recv(size)
        except VnicError:
            self._raise_failure()
            raise
        if data is None:
            self._raise_failure()
        return data

    # -- the end ---------------------------------------------------------------------------------------------

    def wait_closed(self) -> None:
        """Wait until the connection is over on both sides (TIME_WAIT included)."""
        self._wait(lambda: self.socket.is_over, "the end of the connection")
        self._raise_failure()

    def close(self) -> None:
        """Give the connection up; what was written is still sent."""
        self.socket.close()

    def abort(self) -> None:
        """RST."""
        self.socket.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        (self.socket.close if kind is None else self.socket.abort)()

    def _has(self, events: SocketEvent) -> bool:
        return bool(self.socket.events & (events | SocketEvent.CLOSED)) or self.socket.is_closed

    def _raise_failure(self) -> None:
        if self.socket.error is not None:
            raise self.socket.error


class Streams:
    """Streams of one stack."""

    def __init__(self, stack: Stack, wait: Wait) -> None:
        self.stack = stack
        self.wait = wait

    def connect(self, remote: EndpointLike, local: EndpointLike | None = None) -> Stream:
        """Connect and wait for the handshake; RefusedError, TimedOutError, HostUnreachableError."""
        return Stream(self.stack.connect(remote, local), self.wait).connected()

    def accept(self, listener: Listener) -> Stream:
        """Wait for the next connection of a listener."""
        accepted: list[TcpSocket] = []

        def has_come() -> bool:
            socket = listener.accept()
            if socket is not None:
                accepted.append(socket)
            return bool(accepted)

        self.wait(has_come, "a connection")
        return Stream(accepted[0], self.wait)
