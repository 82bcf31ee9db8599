"""The fetcher: one request on one connection, and its answer, written away as it comes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult

from vnic.abi import SocketEvent
from vnic.commands.http.fields import Fields, MalformedError, content_length, take_head
from vnic.commands.http.response import SERVER
from vnic.errors import VnicError
from vnic.stack.tcp import TcpSocket

_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})( .*)?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?")
_LINE_MAX = 8 * 1024
_INTERIM_MAX = 16
_NO_BODY = (204, 304)
_CHUNK_SIZE, _CHUNK_END, _TRAILER = range(3)


class ResponseError(Exception):
    """What came is no answer, or not all of it."""


@dataclass(slots=True)
class Head:
    """The final status line and fields."""

    status: int
    reason: str
    fields: Fields


def request_of(url: SplitResult, method: str = "GET") -> bytes:
    """The request for a URL; the connection is to be closed after it."""
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    lines = (
        f"{method} {target} HTTP/1.1",
        f"Host: {url.netloc.rpartition('@')[2]}",
        f"User-Agent: {SERVER}",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("ascii") + b"\r\n"


@dataclass(slots=True)
class Body:
    """Where in the body the reader is: `left` bytes to the next decision, None: to the connection's end."""

    left: int | None = 0
    is_chunked: bool = False
    is_done: bool = False
    received: int = 0
    #: By Content-Length.
    expected: int | None = None
    #: Of a chunked body: what the next line is.
    phase: int = 0
    trailer_bytes: int = 0

    @classmethod
    def of(cls, head: Head, method: str) -> Body:
        """RFC 9112 6.3. Raises MalformedError."""
        if method == "HEAD" or head.status in _NO_BODY:
            return cls(is_done=True)
        codings = head.fields.tokens("transfer-encoding")
        if codings and codings[-1] == "chunked":
            if len(codings) > 1:
                raise MalformedError(f"transfer coding {codings[0]} is not known")
            return cls(is_chunked=True)
        length = content_length(head.fields)
        if codings or length is None:
            return cls(left=None)
        return cls(left=length, expected=length, is_done=length == 0)


class Fetch:
    """One exchange over a socket that is being connected. `write` takes the body's bytes as they come.

    on_head: called with the final head; False: the body is not wanted.
    """

    def __init__(
        self,
        socket: TcpSocket,
        request: bytes,
        *,
        write: Callable[[memoryview], object],
        on_head: Callable[[Head], bool] = lambda head: True,
        method: str = "GET",
    ) -> None:
        self.socket = socket
        self.head: Head | None = None
        self.body = Body()
        #: Why it failed.
        self.error: Exception | None = None
        self.is_done = False
        self.bytes_in = 0
        self._write = write
        self._on_head = on_head
        self._method = method
        self._request = memoryview(request)
        self._input = bytearray()
        self._interim = 0
        socket.on_event = self._on_event

    def _on_event(self, events: SocketEvent) -> None:
        if self.is_done:
            return
        try:
            self._work()
        except (VnicError, MalformedError, ResponseError, OSError) as error:
            self._end(self.socket.error or error)
        if events & SocketEvent.CLOSED:
            self._end(self.socket.error or ResponseError("the connection ended"))

    def _work(self) -> None:
        while self.socket.is_connected and len(self._request):
            taken = self.socket.send(self._request)
            self._request = self._request[taken:]
            if not taken:
                break
        while not self.is_done and self._take():
            pass

    def _take(self) -> bool:
        """Take what is there; False when nothing is, now or ever."""
        pieces = self.socket.peek()
        size = sum(map(len, pieces))
        if not size:
            if self.socket.events & SocketEvent.FIN and self.socket.recv(1) == b"":
                self._on_end()
            return False
        self.bytes_in += size
        for piece in pieces:
            self._feed(piece)
        del pieces
        self.socket.consume(size)
        return True

    def _feed(self, data: memoryview) -> None:
        """Bytes of the stream; those of a body of known length go past the buffer."""
        body = self.body
        while len(data) and not body.is_done:
            if self.head is not None and not self._input and (body.left is None or body.left):
                taken = len(data) if body.left is None else min(body.left, len(data))
                self._deliver(data[:taken])
                data = data[taken:]
            else:
                self._input += data
                data = data[:0]
                self._parse()
                body = self.body

    def _parse(self) -> None:
        """Go on with what is buffered."""
        while not self.body.is_done:
            if self.head is None:
                if not self._take_head():
                    return
            elif self.body.left is None or self.body.left:
                if not self._input:
                    return
                taken = len(self._input) if self.body.left is None else min(self.body.left, len(self._input))
                data = bytes(self._input[:taken])
                del self._input[:taken]
                self._deliver(memoryview(data))
            elif not self._take_chunk_line():
                return
        self._end(None)

    def _take_head(self) -> bool:
        taken = take_head(self._input, _LINE_MAX)
        if taken is None:
            return False
        line, fields = taken
        status = _STATUS.fullmatch(line)
        if status is None:
            raise MalformedError("that is no HTTP/1.x answer")
        code = int(status[1])
        if code < 200 and code != 101:
            self._interim += 1
            if self._interim > _INTERIM_MAX:
                raise MalformedError("interim answers without end")
            return True
        self.head = Head(code, (status[2] or b"").strip().decode("latin-1"), fields)
        self.body = Body.of(self.head, self._method)
        if not self._on_head(self.head):
            self.body.is_done = True
        return True

    def _take_chunk_line(self) -> bool:
        """Between chunks: the end of one, the size of the next, or the trailer (RFC 9112 7.1)."""
        body = self.body
        end = self._input.find(b"\r\n")
        if end < 0:
            if len(self._input) > _LINE_MAX:
                raise MalformedError("a chunk line too long")
            return False
        line = bytes(self._input[:end])
        del self._input[: end + 2]
        if body.phase == _TRAILER:
            body.trailer_bytes += end
            if body.trailer_bytes > _LINE_MAX:
                raise MalformedError("a trailer too long")
            body.is_done = not line
        elif body.phase == _CHUNK_END:
            if line:
                raise MalformedError("a chunk longer than its size")
            body.phase = _CHUNK_SIZE
        else:
            size = _CHUNK.fullmatch(line)
            if size is None:
                raise MalformedError("a malformed chunk size")
            body.left = int(size[1], 16)
            body.phase = _CHUNK_END if body.left else _TRAILER
        return True

    def _deliver(self, data: memoryview) -> None:
        body = self.body
        self._write(data)
        body.received += len(data)
        if body.left is not None:
            body.left -= len(data)
            body.is_done = not body.left and not body.is_chunked
        if body.is_done:
            self._end(None)

    def _on_end(self) -> None:
        """The server's FIN."""
        body = self.body
        if self.head is None:
            raise ResponseError("the server closed the connection without an answer")
        if body.left is None:
            self._end(None)
        elif body.expected is not None:
            raise ResponseError(f"the answer ended after {body.received:,} of {body.expected:,} bytes")
        else:
            raise ResponseError(f"the answer ended within a chunk, after {body.received:,} bytes")

    def _end(self, error: Exception | None) -> None:
        if not self.is_done:
            self.is_done = True
            self.error = error
