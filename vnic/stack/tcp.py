"""TCP sockets: listeners, and connections that move bytes by copy, by reference and into posted buffers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vnic._core import ffi, lib
from vnic.abi import SendFlag, SocketEvent, SocketOption, StackResult, TcpPhase, TcpState
from vnic.errors import VnicError
from vnic.stack.address import Endpoint, read_endpoint
from vnic.stack.errors import check, error_of
from vnic.stack.memory import pointer_to
from vnic.stack.native import Native
from vnic.stack.socket import Socket

if TYPE_CHECKING:
    from vnic._core import vnic_tcp_info

Buffer = bytes | bytearray | memoryview
#: done(bytes, error): how much was acknowledged or received, and why the rest came back.
Done = Callable[[int, VnicError | None], None]

_PIECES = 64
_COMPLETIONS = 64
_RECEIVE_BYTES = 1 << 16
_LISTENER = 255
_COUNTED = ("sends", "receives")


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """A connection as it is now; times in us, sizes in bytes."""

    local: Endpoint
    remote: Endpoint
    #: None: a listener.
    state: TcpState | None
    interface: int
    srtt_us: int
    rttvar_us: int
    rto_us: int
    min_rtt_us: int
    cwnd: int
    ssthresh: int
    flight: int
    snd_wnd: int
    rcv_wnd: int
    mss: int
    #: Held for the socket.
    send_queued: int
    receive_queued: int
    phase: TcpPhase
    #: Of a listener: connections to accept.
    backlog_waiting: int
    #: Acknowledged by the peer.
    sent_bytes: int
    #: Given to the user.
    received_bytes: int
    retransmits: int
    retransmitted_bytes: int
    #: Calls of the user that moved bytes.
    sends: int = 0
    receives: int = 0


def _read_info(raw: vnic_tcp_info, **counted: int) -> TcpInfo:
    plain = {name: getattr(raw, name) for name in TcpInfo.__slots__ if name not in _COUNTED}
    converted = {
        "local": read_endpoint(raw.local),
        "remote": read_endpoint(raw.remote),
        "state": None if raw.state == _LISTENER else TcpState(raw.state),
        "phase": TcpPhase(raw.phase),
    }
    return TcpInfo(**plain | converted | counted)


class TcpEnd(Socket):
    """What listeners and connections share."""

    #: Calls that moved bytes.
    sends = 0
    receives = 0

    @property
    def info(self) -> TcpInfo:
        """State and measurements."""
        raw: vnic_tcp_info = ffi.new("struct vnic_tcp_info *")
        check(lib.vnic_tcp_get_info(self._native.enter(), self._own(), raw), "info")
        return _read_info(raw, sends=self.sends, receives=self.receives)


class Listener(TcpEnd):
    """A port that takes connections."""

    def accept(self) -> TcpSocket | None:
        """The connection that waits longest; None when none does."""
        handle = lib.vnic_tcp_accept(self._native.enter(), self._own())
        if handle == StackResult.EAGAIN:
            return None
        made = TcpSocket(self._native, check(handle, "accept"))
        made.events |= SocketEvent.CONNECTED
        return made


class TcpSocket(TcpEnd):
    """A connection. Nothing blocks: what cannot be done now says so, and an event says when it can.

    Memory given by reference or posted is kept alive until its completion.
    """

    def __init__(self, native: Native, handle: int) -> None:
        super().__init__(native, handle)
        self._cookies = itertools.count(1)
        self._out: dict[int, tuple[object, Done | None]] = {}
        self._pieces = ffi.new("struct vnic_bytes[]", _PIECES)
        self._is_lingering = False

    # -- state -----------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the handshake was completed; an accepted connection's was."""
        return bool(self.events & SocketEvent.CONNECTED)

    @property
    def is_over(self) -> bool:
        """Whether the connection ended; `error` says how."""
        return bool(self.events & SocketEvent.CLOSED) or self.is_closed

    @property
    def outstanding(self) -> int:
        """Buffers given by reference or posted that are not completed."""
        return len(self._out)

    # -- sending ---------------------------------------------------------------------------------------------

    def send(self, data: Buffer, *, push: bool = False, urgent: bool = False, more: bool = False) -> int:
        """Copy bytes into the send queue; how many were taken, 0 when there is no room."""
        flags = SendFlag.PUSH * push | SendFlag.URGENT * urgent | SendFlag.MORE * more
        return self._send([data], int(flags), 0)

    def send_all(self, *parts: Buffer, more: bool = False) -> int:
        """Copy several buffers that follow each other; how many bytes were taken."""
        return self._send(parts, int(SendFlag.MORE) if more else 0, 0)

    def send_by_reference(self, *parts: Buffer, done: Done | None = None, more: bool = False) -> bool:
        """Send without a copy; all, or False when there is no room. Unchanged until `done` is called."""
        flags = SendFlag.REFERENCE | (SendFlag.MORE if more else 0)
        cookie = next(self._cookies)
        self._out[cookie] = (parts, done)
        try:
            taken = self._send(parts, int(flags), cookie)
        except BaseException:
            del self._out[cookie]
            raise
        if not taken:
            del self._out[cookie]
        return taken > 0

    def _send(self, parts: tuple[Buffer, ...] | list[Buffer], flags: int, cookie: int) -> int:
        handle, raw = self._own(), self._native.enter()
        if len(parts) > _PIECES:
            parts = [b"".join(parts)]
            if cookie:
                self._out[cookie] = (parts, self._out[cookie][1])
        kept = []
        for place, part in enumerate(parts):
            piece = self._pieces[place]
            view = memoryview(part).cast("B")
            kept.append(view)
            piece.data, piece.len = pointer_to(view), len(view)
        if cookie:
            self._out[cookie] = ((parts, kept), self._out[cookie][1])
        result = lib.vnic_tcp_send(raw, handle, self._pieces, len(parts), flags, cookie)
        self.sends += result > 0
        return 0 if result == StackResult.EAGAIN else self._native.finish(result, "send")

    # -- receiving -------------------------------------------------------------------------------------------

    def recv(self, size: int = _RECEIVE_BYTES) -> bytes | None:
        """Up to `size` bytes; b'' at the peer's FIN, None when nothing is there now."""
        room = bytearray(size)
        count = self.recv_into(room)
        return None if count is None else bytes(memoryview(room)[:count])

    def recv_into(self, room: bytearray | memoryview) -> int | None:
        """Copy in-order bytes into memory; how many, 0 at the peer's FIN, None when nothing is there now."""
        data = ffi.from_buffer("uint8_t[]", room, require_writable=True)
        result = lib.vnic_tcp_receive(self._native.enter(), self._own(), data, len(data))
        self.receives += result > 0
        return None if result == StackResult.EAGAIN else self._native.finish(result, "receive")

    def peek(self) -> list[memoryview]:
        """In-order bytes where they lie; valid until the next call for this socket."""
        count = lib.vnic_tcp_peek(self._native.enter(), self._own(), self._pieces, _PIECES)
        if count == StackResult.EAGAIN:
            return []
        check(count, "peek")
        return [
            memoryview(ffi.buffer(piece.data, piece.len)).toreadonly()
            for piece in self._pieces[0:count]
            if piece.len
        ]

    def consume(self, size: int) -> None:
        """Give up bytes that peek() showed."""
        check(lib.vnic_tcp_consume(self._native.enter(), self._own(), size), "consume")
        self.receives += size > 0

    def post(self, room: bytearray | memoryview, done: Done | None = None) -> bool:
        """Have in-order data put straight into memory, which is the stack's until `done`; False: not now.

        It completes when full, on a push, on FIN or on close.
        """
        view = memoryview(room).cast("B")
        where = pointer_to(view, is_written=True)
        cookie = next(self._cookies)
        self._out[cookie] = (view, done)
        result = lib.vnic_tcp_post(self._native.enter(), self._own(), where, len(view), cookie)
        if result < 0:
            del self._out[cookie]
        if result == StackResult.EAGAIN:
            return False
        self._native.finish(result, "post")
        return True

    # -- completions -----------------------------------------------------------------------------------------

    def notify(self, events: SocketEvent, result: int) -> None:
        """The stack reports events: completions come first."""
        if self._is_lingering:
            self._linger()
            return
        if events & (SocketEvent.SENT | SocketEvent.RECEIVED | SocketEvent.CLOSED):
            self._complete()
        super().notify(events, result)

    def _complete(self) -> None:
        if not self._out:
            return
        batch = ffi.new("struct vnic_completion[]", _COMPLETIONS)
        while self.handle:
            count = lib.vnic_stack_completions(self._native.enter(), self.handle, batch, _COMPLETIONS)
            done = [(each.cookie, each.len, each.result) for each in batch[0 : check(count, "completions")]]
            for cookie, length, outcome in done:
                self._end(cookie, length, outcome)
            if len(done) < _COMPLETIONS:
                return

    def _end(self, cookie: int, length: int, outcome: int) -> None:
        kept, done = self._out.pop(cookie, (None, None))
        self.receives += isinstance(kept, memoryview) and length > 0
        if done is not None:
            done(length, error_of(outcome, str(self)) if outcome < 0 else None)

    # -- the end ---------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Send FIN after what is queued; receiving goes on."""
        check(lib.vnic_tcp_shutdown(self._native.enter(), self._own()), "shutdown")

    @property
    def is_closed(self) -> bool:
        """Whether close() or abort() was called."""
        return super().is_closed or self._is_lingering

    def close(self) -> None:
        """Give up both directions; what is queued is still sent. Idempotent.

        With buffers out the handle stays, for their completions only.
        """
        if not self.is_closed:
            self._give_up(lib.vnic_stack_close(self._native.enter(), self.handle), "close")

    def abort(self) -> None:
        """Send RST; buffers come back with AbortedError. Idempotent."""
        if not self.is_closed:
            self._give_up(lib.vnic_tcp_abort(self._native.enter(), self.handle), "abort")

    def _give_up(self, result: int, what: str) -> None:
        self.on_event = None
        self._is_lingering = True
        self._linger()
        self._native.finish(result, what)

    def _linger(self) -> None:
        """Wait for the last completion."""
        self._complete()
        if not self._out:
            self._is_lingering = False
            self._forget()

    # -- options ---------------------------------------------------------------------------------------------

    def set_nodelay(self, is_on: bool = True) -> None:
        """Nagle's algorithm off."""
        self.set_option(SocketOption.NODELAY, int(is_on))

    def set_keepalive(
        self, time_ms: int | None = None, interval_ms: int | None = None, limit: int | None = None
    ) -> None:
        """Keepalive on, with the idle time before it, between probes, and how many are tried."""
        for option, value in (
            (SocketOption.KEEP_TIME_MS, time_ms),
            (SocketOption.KEEP_INTERVAL_MS, interval_ms),
            (SocketOption.KEEP_LIMIT, limit),
            (SocketOption.KEEPALIVE, 1),
        ):
            if value is not None:
                self.set_option(option, value)
