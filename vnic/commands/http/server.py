"""The file server: connections of a listener, answered one request after the other, all on one thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from vnic.abi import SocketEvent, SocketOption
from vnic.commands.http.files import Files
from vnic.commands.http.request import HttpError, take_request
from vnic.commands.http.response import Response, answer, refuse
from vnic.errors import VnicError
from vnic.stack.address import Endpoint
from vnic.stack.stack import Stack
from vnic.stack.tcp import Done, Listener, TcpSocket

#: Each may hold _PIECES_OUT pieces of a file in memory.
CONNECTIONS_MAX = 128
#: A client has this long for a request, between requests, to take the next bytes, to close after us.
REQUEST_NS = 10_000_000_000
IDLE_NS = 30_000_000_000
STALL_NS = 60_000_000_000
LINGER_NS = 2_000_000_000

_PIECE_BYTES = 1 << 18
_PIECES_OUT = 4
_INPUT_BYTES = 1 << 16


@dataclass(slots=True)
class Exchange:
    """One request and what became of it; times of the clock, ns."""

    peer: Endpoint
    line: str
    status: HTTPStatus
    start_ns: int
    end_ns: int = 0
    #: Of the content: acknowledged by the client, and all.
    bytes: int = 0
    expected: int = 0
    is_whole: bool = False
    retransmits: int = 0
    srtt_us: int = 0


class ShrunkError(Exception):
    """A file became shorter than its Content-Length said."""


Pieces = Iterator[tuple[list[bytes], bool]]


def _pieces(response: Response) -> Pieces:
    """What is sent, one reference at a time, and whether it is the last; ShrunkError."""
    parts, at, left = [response.head], response.offset, response.count
    while parts or left:
        wanted = min(left, _PIECE_BYTES)
        if wanted:
            data = response.content.read(at, wanted)
            if len(data) < wanted:
                raise ShrunkError
            parts.append(data)
        at, left = at + wanted, left - wanted
        yield parts, not left
        parts = []


class Connection:
    """One connection: reads requests, sends answers by reference, a piece at a time."""

    def __init__(self, server: Server, socket: TcpSocket) -> None:
        self.socket = socket
        self._server = server
        self._peer = socket.info.remote
        self._input = bytearray()
        self._has_partial = False
        self._discard = 0
        self._response: Response | None = None
        self._exchange: Exchange | None = None
        self._pieces: Pieces = iter(())
        self._unsent: tuple[list[bytes], bool] | None = None
        self._open: list[Exchange] = []
        self._has_ended = False
        self._is_lingering = False
        self._since_ns = server.now_ns()
        self._retransmits = 0
        socket.on_event = self._on_event

    # -- events ----------------------------------------------------------------------------------------------

    def _on_event(self, events: SocketEvent) -> None:
        self.work()
        if events & SocketEvent.CLOSED and not self.socket.is_closed:
            self.drop()

    def work(self) -> None:
        """Do all that can be done now; what goes wrong ends the connection."""
        try:
            self._work()
        except (VnicError, ShrunkError):
            self.drop()

    def _work(self) -> None:
        while not (self.socket.is_closed or self._is_lingering):
            self._read()
            if self._response is not None:
                if not self._send(self._response):
                    return
            elif not self._begin():
                if not self._has_ended or self._is_lingering:
                    break
                self.finish()
        if self._is_lingering:
            self._drain()

    def _read(self) -> None:
        while not self._has_ended and len(self._input) < _INPUT_BYTES:
            data = self.socket.recv(_INPUT_BYTES)
            if data is None:
                return
            self._has_ended = not data
            self._input += data

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes acknowledged of what is being answered, and all of them."""
        return sum(each.bytes for each in self._open), sum(each.expected for each in self._open)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request of which nothing has come."""
        return not (self._response or self.socket.outstanding or self._input or self._is_lingering)

    # -- requests --------------------------------------------------------------------------------------------

    def _begin(self) -> bool:
        """Take the next request and start its answer; False when it is not there yet."""
        if self._server.has_enough:
            self.finish()
            return False
        if not self._skip_body():
            return False
        try:
            request = take_request(self._input)
        except HttpError as error:
            self._start(refuse(error, closes=self._server.is_last), str(error))
            return True
        if request is None:
            if self._input and not self._has_partial:
                self._has_partial, self._since_ns = True, self._server.now_ns()
            return False
        self._discard = request.body_bytes
        closes = not request.keeps_alive or self._server.is_last
        response = answer(request, self._server.files, closes=closes)
        self._start(response, f"{request.method} {request.target}")
        return True

    def _skip_body(self) -> bool:
        taken = min(self._discard, len(self._input))
        del self._input[:taken]
        self._discard -= taken
        return not self._discard

    def _start(self, response: Response, line: str) -> None:
        self._server.begun += 1
        self._has_partial, self._since_ns = False, self._server.now_ns()
        self._response, self._pieces, self._unsent = response, _pieces(response), None
        self._exchange = Exchange(self._peer, line, response.status, self._since_ns, expected=response.count)
        self._open.append(self._exchange)

    # -- answers ---------------------------------------------------------------------------------------------

    def _send(self, response: Response) -> bool:
        """Queue what there is room for; True when all of the answer is queued."""
        assert self._exchange is not None
        while (piece := self._unsent or next(self._pieces, None)) is not None:
            self._unsent = piece
            parts, is_last = piece
            if self.socket.outstanding >= _PIECES_OUT:
                return False
            head_bytes = len(response.head) if parts[0] is response.head else 0
            done = self._acknowledged(self._exchange, head_bytes, is_last)
            if not self.socket.send_by_reference(*parts, done=done, more=not is_last):
                return False
            self._unsent = None
        response.content.close()
        self._response = None
        if response.closes:
            self.finish()
        return True

    def _acknowledged(self, exchange: Exchange, head_bytes: int, is_last: bool) -> Done:
        """What follows when the client has a piece."""

        def done(count: int, error: VnicError | None) -> None:
            self._since_ns = self._server.now_ns()
            exchange.bytes += max(count - head_bytes, 0)
            if is_last and error is None:
                self._conclude(exchange, is_whole=True)

        return done

    def _conclude(self, exchange: Exchange, *, is_whole: bool) -> None:
        if exchange not in self._open:
            return
        self._open.remove(exchange)
        exchange.end_ns = self._server.now_ns()
        exchange.is_whole = is_whole
        with contextlib.suppress(VnicError):
            info = self.socket.info
            exchange.retransmits = info.retransmits - self._retransmits
            exchange.srtt_us = info.srtt_us
            self._retransmits = info.retransmits
        self._server.on_exchange(exchange)

    # -- the end ---------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """FIN behind what is queued; no RST may overtake an answer, so the client's FIN is waited for."""
        self._is_lingering = True
        self._since_ns = self._server.now_ns()
        self.socket.shutdown()

    def _drain(self) -> None:
        while not self._has_ended and (data := self.socket.recv(_INPUT_BYTES)) is not None:
            self._has_ended = not data
        if self._has_ended and not self.socket.outstanding:
            self._leave()

    def _leave(self) -> None:
        self._release()
        self.socket.close()

    def drop(self) -> None:
        """Give the connection up at once."""
        self._release()
        self.socket.abort()

    def _release(self) -> None:
        if self._response is not None:
            self._response.content.close()
            self._response = None
        for exchange in list(self._open):
            self._conclude(exchange, is_whole=False)
        self._server.connections.discard(self)

    def look_at_clock(self, now_ns: int) -> None:
        """End what takes too long."""
        waited_ns = now_ns - self._since_ns
        if self._response is not None or self.socket.outstanding:
            if waited_ns > STALL_NS:
                self.drop()
        elif self._is_lingering:
            if waited_ns > LINGER_NS:
                self.drop()
        elif self._input or self._discard:
            if waited_ns > REQUEST_NS:
                self._time_out()
        elif waited_ns > IDLE_NS:
            self.finish()

    def _time_out(self) -> None:
        error = HttpError(HTTPStatus.REQUEST_TIMEOUT, "the request did not come", closes=True)
        self._input.clear()
        self._start(refuse(error, closes=True), str(error))
        self.work()


class Server:
    """Serves files at one or more endpoints; `limit` requests at most, then is_finished.

    now_ns: the clock. on_exchange hears of every request that was answered, or not.
    """

    def __init__(
        self,
        stack: Stack,
        files: Files,
        endpoints: Sequence[Endpoint],
        *,
        now_ns: Callable[[], int],
        on_exchange: Callable[[Exchange], None] = lambda exchange: None,
        limit: int | None = None,
        send_buffer: int = _PIECES_OUT * _PIECE_BYTES,
    ) -> None:
        self.files = files
        self.now_ns = now_ns
        self.on_exchange = on_exchange
        self.connections: set[Connection] = set()
        self.begun = 0
        self._limit = limit
        self._looked_ns = now_ns()
        self._listeners = [self._listen(stack, endpoint, send_buffer) for endpoint in endpoints]

    def _listen(self, stack: Stack, endpoint: Endpoint, send_buffer: int) -> Listener:
        listener = stack.listen(endpoint, backlog=CONNECTIONS_MAX)
        listener.set_option(SocketOption.SEND_BUFFER, send_buffer)
        listener.on_event = lambda events: self._accept(listener)
        return listener

    def _accept(self, listener: Listener) -> None:
        while len(self.connections) < CONNECTIONS_MAX and not self.has_enough:
            socket = listener.accept()
            if socket is None:
                return
            connection = Connection(self, socket)
            self.connections.add(connection)
            connection.work()

    @property
    def is_last(self) -> bool:
        """Whether the request that is answered now is the last one of the limit."""
        return self._limit is not None and self.begun + 1 >= self._limit

    @property
    def has_enough(self) -> bool:
        """Whether no more requests are taken."""
        return self._limit is not None and self.begun >= self._limit

    @property
    def is_finished(self) -> bool:
        """Whether all requests of the limit are answered and their connections at their end."""
        return self.has_enough and not self.connections

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes acknowledged of what is being answered now, and all of them."""
        each = [connection.progress for connection in self.connections]
        return sum(done for done, _ in each), sum(total for _, total in each)

    def look_at_clock(self) -> None:
        """To be called now and then: ends what takes too long, and takes connections that had to wait."""
        now_ns = self.now_ns()
        if now_ns - self._looked_ns < 100_000_000:
            return
        self._looked_ns = now_ns
        for connection in list(self.connections):
            try:
                connection.look_at_clock(now_ns)
            except VnicError:
                connection.drop()
        if not self.has_enough:
            for listener in self._listeners:
                self._accept(listener)
        else:
            for connection in [each for each in self.connections if each.is_idle]:
                connection.finish()

    def close(self) -> None:
        """Stop listening, give up what is open."""
        for connection in list(self.connections):
            connection.drop()
        for listener in self._listeners:
            listener.close()
