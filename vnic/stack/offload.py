"""Connections of a stack that move to an offload target and back: vnic_stack_offload.h for its driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vnic._core import ffi, lib
from vnic.abi import OffloadEvent, StackResult
from vnic.abi import OffloadWhere as Where
from vnic.stack.address import Address, read_address
from vnic.stack.errors import PipeError, check
from vnic.stack.memory import pointer_to

if TYPE_CHECKING:
    from vnic._core import tcp_offload_state, vnic_offload_route
    from vnic.stack.stack import Stack

    State: TypeAlias = tcp_offload_state
else:
    State = object

__all__ = ["Offload", "OffloadEvent", "Posted", "Route", "State", "UserGone", "Where"]

_NEWS = 256
_PIECES = 64
_COOKIES = 256
_SEGMENT_BYTES = 1 << 16

#: EPIPE of deliver(): nobody will read the bytes; news of an abort follow.
UserGone = PipeError


class Route(NamedTuple):
    """Where the packets of a connection go; `neighbour` and `path` name objects, and never others later."""

    interface: int
    neighbour: int
    #: 0: the connection is in host, and no other of these two addresses is away.
    path: int
    next_hop: Address
    source: Address
    destination: Address
    mac: bytes
    #: The next hop is resolved, and not known to be gone.
    is_reachable: bool
    vlan: int
    path_mtu: int
    #: Since the last proof, at least 1; 0: stale.
    host_reachability_ms: int


class Posted(NamedTuple):
    """A buffer that the user posted: all of it, where it is, and how many bytes are in it."""

    view: memoryview
    pointer: int
    done: int


class Offload:
    """Moves connections, named by the handles of their sockets, also of those that their users have closed.

    A call for a handle that is gone raises SocketClosedError, one that does not fit where the connection is
    ArgumentError.
    """

    def __init__(self, stack: Stack) -> None:
        self._native = stack.native
        self._news = ffi.new("struct vnic_offload_news[]", _NEWS)
        self._pieces = ffi.new("struct vnic_bytes[]", _PIECES)
        self._cookies = ffi.new("uint64_t[]", _COOKIES)
        self._segment = ffi.new("uint8_t[]", _SEGMENT_BYTES)

    @property
    def is_closed(self) -> bool:
        """Whether the stack was closed, and all connections with it."""
        return self._native.is_closed

    def new_state(self) -> State:
        """An empty struct tcp_offload_state."""
        made: State = ffi.new("struct tcp_offload_state *")
        return made

    def where(self, handle: int) -> Where:
        """InHost, Offloading, Offloaded or Uploading."""
        return Where(check(lib.vnic_tcp_offload_where(self._native.enter(), handle), "where"))

    # -- out -------------------------------------------------------------------------------------------------

    def begin(self, handle: int, ticks_per_second: int) -> State:
        """Take a connection out; WouldBlockError: not now, NoBuffersError, ArgumentError: never."""
        state = self.new_state()
        result = lib.vnic_tcp_offload_begin(self._native.enter(), handle, ticks_per_second, state)
        check(result, "begin to offload")
        return state

    def send_pieces(
        self, handle: int, offset: int, length: int | None = None
    ) -> list[tuple[int, memoryview]]:
        """Where the send queue lies from `offset` bytes behind SND.UNA on, in order; bytes are read-only."""
        found: list[tuple[int, memoryview]] = []
        left = length if length is not None else 1 << 32
        while left:
            raw = self._native.enter()
            count = lib.vnic_tcp_offload_send_pieces(raw, handle, offset, self._pieces, _PIECES)
            for piece in self._pieces[0 : check(count, "the send queue")]:
                size = min(piece.len, left)
                if size:
                    view = memoryview(ffi.buffer(piece.data, size)).toreadonly()
                    found.append((int(ffi.cast("uintptr_t", piece.data)), view))
                offset += size
                left -= size
            if count < _PIECES:
                break
        return found

    def buffered(self, handle: int) -> bytes:
        """Received bytes that the user of a connection that leaves has not read: BufferedData."""
        size = self._count(
            lib.vnic_tcp_offload_buffered(self._native.enter(), handle, ffi.NULL, 0), "buffered"
        )
        room = bytearray(size)
        if size:
            out = ffi.from_buffer("uint8_t[]", room, require_writable=True)
            self._count(lib.vnic_tcp_offload_buffered(self._native.enter(), handle, out, size), "buffered")
        return bytes(room)

    def end(self, handle: int, is_offloaded: bool) -> None:
        """The connection is at the target, or goes on here."""
        result = lib.vnic_tcp_offload_end(self._native.enter(), handle, is_offloaded)
        self._native.finish(result, "end of offloading")

    # -- what happens here meanwhile -------------------------------------------------------------------------

    def news(self) -> list[tuple[int, OffloadEvent]]:
        """Everything there is: handles, and what their users or the network did."""
        found: list[tuple[int, OffloadEvent]] = []
        while count := check(lib.vnic_stack_offload_news(self._native.enter(), self._news, _NEWS), "news"):
            found += [(each.socket, OffloadEvent(each.events)) for each in self._news[0:count]]
        return found

    def queued(self, handle: int) -> tuple[int, bool]:
        """Bytes of the send queue behind SND.UNA, and whether a FIN follows."""
        has_fin = ffi.new("int *")
        count = lib.vnic_tcp_offload_queued(self._native.enter(), handle, has_fin)
        return self._count(count, "queued"), bool(has_fin[0])

    def forward(self, handle: int) -> bytes | None:
        """The next segment that came the plain way, from its TCP header on; None: there is none."""
        raw = self._native.enter()
        count = check(lib.vnic_tcp_offload_forward(raw, handle, self._segment, _SEGMENT_BYTES), "forward")
        return bytes(ffi.buffer(self._segment, count)) if count else None

    def hold(self, handle: int, segment: bytes) -> None:
        """A forwarded segment came back unprocessed: held again, or, in host, processed now."""
        result = lib.vnic_tcp_offload_hold(
            self._native.enter(), handle, pointer_to(memoryview(segment)), len(segment)
        )
        self._native.finish(result, "hold")

    def cached(self, handle: int, ticks_per_second: int) -> State:
        """CACHED as the user has set it now."""
        state = self.new_state()
        check(lib.vnic_tcp_offload_cached(self._native.enter(), handle, ticks_per_second, state), "CACHED")
        return state

    # -- what the target reports -----------------------------------------------------------------------------

    def acked(self, handle: int, count: int) -> None:
        """The peer acknowledged `count` more bytes."""
        self._native.finish(lib.vnic_tcp_offload_acked(self._native.enter(), handle, count), "acked")

    def deliver(self, handle: int, data: bytes | bytearray | memoryview, cookie: int = 0) -> int:
        """Give the user received bytes; how many were taken, 0: not now. UserGone: nobody reads them.

        With a cookie all or none are taken, in place; the caller keeps them until returns() names it.
        """
        view = memoryview(data).cast("B")
        raw = self._native.enter()
        result = lib.vnic_tcp_offload_deliver(raw, handle, pointer_to(view), len(view), cookie)
        return 0 if result == StackResult.EAGAIN else self._native.finish(result, "deliver")

    def returns(self, handle: int) -> list[int]:
        """Cookies whose bytes are not needed any more; none of a handle that is gone."""
        found: list[int] = []
        while True:
            count = lib.vnic_tcp_offload_returns(self._native.enter(), handle, self._cookies, _COOKIES)
            if count == StackResult.EBADF:
                return found
            found.extend(self._cookies[0 : check(count, "returns")])
            if count < _COOKIES:
                return found

    def own(self, handle: int) -> bool:
        """Copy what was delivered by reference and not read, so that all cookies return; False: no room."""
        result = lib.vnic_tcp_offload_own(self._native.enter(), handle)
        if result in (StackResult.EAGAIN, StackResult.EBADF):
            return result == StackResult.EBADF
        return check(result, "own") == 0

    def unread(self, handle: int) -> tuple[int, int]:
        """Bytes delivered and not read, and how many more the receive buffer has room for."""
        room = ffi.new("int64_t *")
        count = lib.vnic_tcp_offload_unread(self._native.enter(), handle, room)
        return self._count(count, "unread"), room[0]

    def post(self, handle: int) -> Posted | None:
        """The next buffer that the user posted, for the target to fill; None: none now."""
        raw: Any = ffi.new("struct vnic_offload_post *")
        if not check(lib.vnic_tcp_offload_post(self._native.enter(), handle, raw), "post"):
            return None
        view = memoryview(ffi.buffer(raw.data, raw.len)).cast("B")
        return Posted(view, int(ffi.cast("uintptr_t", raw.data)), raw.done)

    def posted(self, handle: int, count: int, is_complete: bool) -> None:
        """The oldest buffer of post() is back, with `count` bytes more."""
        result = lib.vnic_tcp_offload_posted(self._native.enter(), handle, count, is_complete)
        self._native.finish(result, "posted")

    def fin(self, handle: int) -> None:
        """The peer will send no more."""
        self._native.finish(lib.vnic_tcp_offload_fin(self._native.enter(), handle), "FIN")

    def aborted(self, handle: int) -> None:
        """The peer reset the connection, or an abort is done."""
        self._native.finish(lib.vnic_tcp_offload_aborted(self._native.enter(), handle), "aborted")

    def shut(self, handle: int) -> None:
        """The peer acknowledged our FIN, and everything before it."""
        self._native.finish(lib.vnic_tcp_offload_shut(self._native.enter(), handle), "shutdown")

    # -- routes ----------------------------------------------------------------------------------------------

    def route(self, handle: int) -> Route:
        """Where the packets of a connection go; WouldBlockError: that is being found out."""
        raw: vnic_offload_route = ffi.new("struct vnic_offload_route *")
        check(lib.vnic_tcp_offload_route(self._native.enter(), handle, raw), "route")
        return _read_route(raw)

    def query(self, neighbour: int, nic_ms: int) -> Route:
        """Answer a NeighborReachabilityQuery, nic_ms since the target's last proof; UnknownError: gone."""
        raw: vnic_offload_route = ffi.new("struct vnic_offload_route *")
        age = min(nic_ms, (1 << 32) - 1)
        check(lib.vnic_stack_offload_query(self._native.enter(), neighbour, age, raw), "neighbour")
        return _read_route(raw)

    def confirm(self, neighbour: int, nic_ms: int) -> None:
        """The target had a proof of reachability nic_ms ago; UnknownError: the neighbour is gone."""
        age = min(nic_ms, (1 << 32) - 1)
        check(lib.vnic_stack_offload_confirm(self._native.enter(), neighbour, age), "neighbour")

    # -- and back --------------------------------------------------------------------------------------------

    def upload_begin(self, handle: int) -> None:
        """The target is to give the connection back."""
        self._native.finish(lib.vnic_tcp_upload_begin(self._native.enter(), handle), "begin to upload")

    def upload_end(
        self, handle: int, ticks_per_second: int, state: State, buffered: bytes = b"", result: int = 0
    ) -> None:
        """The connection goes on here as state.Delegated says, or ended with `result` (State Closed).

        ArgumentError: that contradicts what was reported; WouldBlockError: no room for the bytes now.
        """
        raw = self._native.enter()
        data = pointer_to(memoryview(buffered)) if buffered else ffi.NULL
        outcome = lib.vnic_tcp_upload_end(raw, handle, ticks_per_second, state, data, len(buffered), result)
        self._native.finish(outcome, "end of uploading")

    def _count(self, count: int, what: str) -> int:
        return self._native.finish(count, what)


def _read_route(raw: vnic_offload_route) -> Route:
    return Route(
        raw.interface,
        raw.neighbour,
        raw.path,
        read_address(raw.next_hop),
        read_address(raw.source),
        read_address(raw.destination),
        bytes(ffi.buffer(raw.mac)),
        bool(raw.is_reachable),
        raw.vlan,
        raw.path_mtu,
        raw.host_reachability_ms,
    )
