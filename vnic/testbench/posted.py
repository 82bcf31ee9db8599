"""A socket whose reader posts buffers in the machine's memory, where adapter and copy engine reach them."""

from __future__ import annotations

from collections import deque

from vnic.errors import VnicError
from vnic.host.memory import GuestMemory
from vnic.stack.tcp import Done, TcpSocket

BUFFERS = 4
BUFFER_BYTES = 32 << 10


class PostedSocket:
    """The calls of a TcpSocket that a conversation needs; recv() shows what completed, without a copy.

    What recv() gave is valid until the next call. The memory goes back when the socket is closed and the
    stack has none of it.
    """

    def __init__(
        self,
        socket: TcpSocket,
        memory: GuestMemory,
        *,
        buffers: int = BUFFERS,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.socket = socket
        self._memory = memory.alloc(buffers * buffer_bytes, align=64, label="posted receives")
        starts = range(0, buffers * buffer_bytes, buffer_bytes)
        self._free = deque(self._memory.view[at : at + buffer_bytes] for at in starts)
        self._filled: deque[tuple[memoryview, int]] = deque()
        #: Of the first that is filled.
        self._read = 0
        self._out = 0
        self._is_at_end = False
        self._post()

    # -- receiving -------------------------------------------------------------------------------------------

    def _post(self) -> None:
        while self._free and not self._is_at_end and not self.socket.is_closed:
            room = self._free.popleft()
            self._out += 1
            if not self.socket.post(room, self._on_done(room)):
                self._out -= 1
                self._free.appendleft(room)
                return

    def _on_done(self, room: memoryview) -> Done:
        def done(length: int, error: VnicError | None) -> None:
            self._out -= 1
            if length:
                self._filled.append((room, length))
            else:
                self._free.append(room)
                self._is_at_end |= error is None
            self._settle()

        return done

    def recv(self, size: int) -> memoryview | bytes | None:
        """Up to `size` bytes; b'' at the peer's FIN, None when nothing is there now."""
        while self._filled and self._read == self._filled[0][1]:
            self._free.append(self._filled.popleft()[0])
            self._read = 0
        self._post()
        if not self._filled:
            return b"" if self._is_at_end and not self._out else None
        room, length = self._filled[0]
        part = room[self._read : min(self._read + size, length)]
        self._read += len(part)
        return part

    # -- the rest --------------------------------------------------------------------------------------------

    def send(self, data: memoryview) -> int:
        """Copy bytes into the send queue; how many were taken."""
        return self.socket.send(data)

    def shutdown(self) -> None:
        """Send FIN after what is queued."""
        self.socket.shutdown()

    @property
    def error(self) -> VnicError | None:
        """How the connection ended, if not well."""
        return self.socket.error

    def close(self) -> None:
        """Give the connection up; the memory follows when the stack has none of it."""
        self.socket.close()
        self._settle()

    def abort(self) -> None:
        """The same with RST."""
        self.socket.abort()
        self._settle()

    def _settle(self) -> None:
        if self.socket.is_closed and not self._out and not self._memory.is_free:
            self._filled.clear()
            self._free.clear()
            self._memory.free()
