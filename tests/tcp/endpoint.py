"""An engine in virtual time and its connections, each with the payload that a caller would keep."""

from __future__ import annotations

from typing import Any

from tests.tcp.invariants import Edges, check_events, check_liveness, check_output, check_state
from tests.tcp.segment import MODULUS, Segment, signed
from vnic._core import ffi, lib

NEVER = 2**64 - 1
START_NS = 5_000_000_000
EVENTS = {
    name: getattr(lib, f"TCP_EVENT_{name}")
    for name in (
        "OUTPUT", "CONNECTED", "DATA", "READABLE", "ACKED", "FIN", "WINDOW", "R1", "URGENT", "PUSH",
        "REPLY_RST", "TIME_WAIT", "CLOSED", "DROP_RANGES", "UPLOAD", "CONFIRMED", "MTU",
    )
}  # fmt: skip
REASONS = {
    name: getattr(lib, f"TCP_REASON_{name}")
    for name in (
        "NONE", "CLOSED", "RESET", "REFUSED", "TIMEOUT", "KEEPALIVE", "DATA_AFTER_CLOSE", "ABORTED",
        "UNREACHABLE", "UPLOAD_SYN", "UPLOAD_URGENT", "UPLOAD_TIMEOUT", "UPLOAD_TIME_WAIT",
        "UPLOAD_RESOURCES",
    )
}  # fmt: skip
STATES = (
    "CLOSED", "SYN_SENT", "SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING",
    "LAST_ACK", "TIME_WAIT",
)  # fmt: skip


class Engine:
    """One engine and its clock; the configuration is given by the names of struct tcp_engine_config."""

    def __init__(self, start_ns: int = START_NS, connections: int = 4, **config: int) -> None:
        made = ffi.new("struct tcp_engine_config *")
        lib.tcp_engine_defaults(made, connections)
        for name, value in config.items():
            setattr(made, name, value)
        self.config: Any = made
        self.handle: Any = lib.tcp_engine_create(made)
        if self.handle == ffi.NULL:
            raise ValueError("the engine refused its configuration")
        self.now_ns = start_ns
        self.endpoints: dict[int, Endpoint] = {}

    def close(self) -> None:
        """Free it, connections included."""
        if self.handle is not None:
            lib.tcp_engine_destroy(self.handle)
        self.handle = None
        self.endpoints.clear()

    @property
    def statistics(self) -> Any:
        """The counters."""
        return lib.tcp_engine_statistics(self.handle)

    @property
    def deadline_ns(self) -> int:
        """When the engine wants to be called again."""
        return int(lib.tcp_deadline(self.handle))

    def run_timers(self) -> None:
        """Everything that has expired by now; AssertionError when it never ends."""
        for _ in range(1000):
            c = lib.tcp_expired(self.handle, self.now_ns)
            if c == ffi.NULL:
                return
            self.endpoints[int(lib.tcp_index(self.handle, c))].on_expired()
        raise AssertionError("timers expire for ever")

    def step(self, target_ns: int) -> bool:
        """Time moves on to the next deadline if that is not beyond target: whether it was not."""
        deadline = self.deadline_ns
        if deadline > target_ns:
            self.now_ns = max(self.now_ns, target_ns)
            self.run_timers()
            return False
        self.now_ns = max(self.now_ns, deadline)
        self.run_timers()
        assert self.deadline_ns > self.now_ns, "a deadline stays in the past"
        return True


class Endpoint:
    """One connection with both buffers of its user: bytes go in and come out at their sequence numbers."""

    def __init__(self, engine: Engine, c: Any, iss: int) -> None:
        assert c != ffi.NULL, "no connection left"
        self.is_output_due = False
        self.engine, self.c, self.iss = engine, c, iss
        self.irs = 0  # known after the peer's SYN
        self.index = int(lib.tcp_index(engine.handle, c))
        engine.endpoints[self.index] = self
        self.queued = bytearray()  # all that the user ever sent
        self.released = 0  # of it, acknowledged and freed
        self.received = bytearray()  # in order
        self.store = bytearray()  # what the engine said to keep, by offset
        self.stored = bytearray()  # 1 where it was
        self.consumed = 0
        self.max_len = 0  # of large sends
        self.edges = Edges()
        self.events: list[str] = []
        self.reason = 0
        self.is_closed = False
        self.is_uploading = False
        self.deliveries: list[int] = []
        self.resets: list[Segment] = []  # that wait to be pulled
        self.result: Any = ffi.new("struct tcp_result *")
        self.out: Any = ffi.new("struct tcp_segment *")
        self.inward: Any = ffi.new("struct tcp_segment *")

    @property
    def c(self) -> Any:
        """struct tcp_connection."""
        return self._c

    @c.setter
    def c(self, c: Any) -> None:
        self._c = c
        self.is_output_due = True  # one that was just made may have something to say

    @property
    def state(self) -> str:
        """The state by its name."""
        return STATES[self.c.state]

    def has(self, flag: int) -> bool:
        """Whether a flag of enum tcp_flag is set."""
        return bool(self.c.flags & flag)

    # --- what came of a call

    def _absorb(self, segment: Segment | None = None, before_nxt: int | None = None) -> None:
        result = self.result
        bits = int(result.events)
        self.is_output_due |= bool(bits & lib.TCP_EVENT_OUTPUT)
        check_events(self, result)
        self.events += [name for name, bit in EVENTS.items() if bits & bit]
        if bits & lib.TCP_EVENT_DROP_RANGES:
            self.forget_ranges()
        if bits & lib.TCP_EVENT_DATA:
            assert segment is not None
            self._keep(segment, result.seq, result.skip, result.len)
        if bits & lib.TCP_EVENT_READABLE:
            assert before_nxt is not None
            self._deliver(before_nxt, result.delivered)
        if bits & lib.TCP_EVENT_ACKED:
            self.released += result.acked
            assert self.released <= len(self.queued), "more bytes acknowledged than were queued"
        if bits & (lib.TCP_EVENT_CLOSED | lib.TCP_EVENT_UPLOAD):
            self.reason = int(result.reason)
            self.is_closed = bool(bits & lib.TCP_EVENT_CLOSED)
            self.is_uploading = not self.is_closed
        check_state(self)

    def _keep(self, segment: Segment, seq: int, skip: int, length: int) -> None:
        offset = signed(seq - self.irs - 1)
        assert length > 0, "nothing to keep"
        assert skip + length <= len(segment.payload), "keeps bytes that the segment does not have"
        assert seq == (segment.seq + skip + bool(segment.control & lib.TCP_SYN)) % MODULUS, (
            "keeps at another place"
        )
        assert offset >= len(self.received), "bytes that were delivered change"
        end = offset + length
        if len(self.store) < end:
            self.store.extend(bytes(end - len(self.store)))
            self.stored.extend(bytes(end - len(self.stored)))
        assert not any(self.stored[offset:end]), "bytes held already are replaced"
        self.store[offset:end] = segment.payload[skip : skip + length]
        self.stored[offset:end] = b"\1" * length

    def _deliver(self, before_nxt: int, length: int) -> None:
        offset = signed(before_nxt - self.irs - 1)
        assert offset == len(self.received), "delivery does not continue where the last one ended"
        assert self.stored.count(1, offset, offset + length) == length, (
            "delivers bytes that were never stored"
        )
        self.received += self.store[offset : offset + length]
        self.deliveries.append(length)

    def forget_ranges(self) -> None:
        """Out-of-order bytes are gone."""
        del self.store[len(self.received) :], self.stored[len(self.received) :]

    # --- calls

    def input(self, segment: Segment) -> None:
        """A segment arrives."""
        before = int(self.c.rcv_nxt)
        if segment.control & lib.TCP_SYN and self.c.state in (lib.TCP_STATE_SYN_SENT, lib.TCP_STATE_CLOSED):
            self.irs = segment.seq
            before = (segment.seq + 1) % MODULUS
        raw = segment.fill(self.inward)
        self.edges.on_input(self, segment)
        lib.tcp_input(self.engine.handle, self.c, self.engine.now_ns, raw, self.result)
        if self.result.events & lib.TCP_EVENT_REPLY_RST:
            self.reply_reset(segment)
        self._absorb(segment, before)

    def reply_reset(self, segment: Segment) -> None:
        """The answer of a closed port, if there is one."""
        if lib.tcp_reset_for(segment.fill(self.inward), self.out):
            self.resets.append(Segment.of(self.out, b""))

    def on_expired(self) -> None:
        """A timer of this connection fires."""
        lib.tcp_timeout(self.engine.handle, self.c, self.engine.now_ns, self.result)
        self._absorb()

    def pull(self, limit: int = 10_000) -> list[Segment]:
        """All segments that wait; AssertionError when there is no end of them."""
        segments, self.resets = self.resets, []
        if self.is_closed:
            handle, now_ns = self.engine.handle, self.engine.now_ns
            assert not lib.tcp_output(handle, self.c, now_ns, self.max_len, self.out), "sends in CLOSED"
            return segments
        while lib.tcp_output(self.engine.handle, self.c, self.engine.now_ns, self.max_len, self.out):
            segments.append(self._sent())
            assert len(segments) < limit, "output has no end"
            assert self.is_output_due, "something is sent that no event announced"
        self.is_output_due = False
        check_state(self)
        check_liveness(self)
        return segments

    def _sent(self) -> Segment:
        out = self.out
        offset = signed(out.seq - self.iss - 1) + bool(out.control & lib.TCP_SYN)
        length = int(out.len)
        if length:
            assert offset >= self.released, "bytes that were freed leave again"
            assert offset + length <= len(self.queued), "bytes leave that the user never queued"
        segment = Segment.of(out, bytes(self.queued[offset : offset + length]) if length else b"")
        check_output(self, segment)
        self.edges.on_output(self, segment)
        return segment

    def queue(self, data: bytes, push: bool = False) -> None:
        """The user sends."""
        self.queued += data
        lib.tcp_queue(self.engine.handle, self.c, self.engine.now_ns, len(data), push, self.result)
        self._absorb()

    def queue_urgent(self) -> None:
        """What the user sent so far is urgent."""
        lib.tcp_queue_urgent(self.engine.handle, self.c, self.engine.now_ns, self.result)
        self._absorb()

    def consume(self, length: int) -> bytes:
        """The user takes in-order bytes."""
        assert self.consumed + length <= len(self.received)
        lib.tcp_consume(self.engine.handle, self.c, self.engine.now_ns, length, self.result)
        data = bytes(self.received[self.consumed : self.consumed + length])
        self.consumed += length
        self._absorb()
        return data

    def shutdown(self) -> None:
        """The user sends no more."""
        lib.tcp_shutdown(self.engine.handle, self.c, self.engine.now_ns, self.result)
        self._absorb()

    def close(self) -> None:
        """The user neither sends nor reads any more; a reset may wait afterwards."""
        if lib.tcp_close(self.engine.handle, self.c, self.engine.now_ns, self.result, self.out):
            self.resets.append(Segment.of(self.out, b""))
        self._absorb()

    def abort(self) -> None:
        """The user gives up; a reset may wait afterwards."""
        if lib.tcp_abort(self.engine.handle, self.c, self.engine.now_ns, self.out):
            self.resets.append(Segment.of(self.out, b""))
        self.is_closed = True
        check_state(self)

    def set_receive_buffer(self, length: int) -> None:
        """Another size of the receive buffer."""
        lib.tcp_set_receive_buffer(self.engine.handle, self.c, self.engine.now_ns, length, self.result)
        self._absorb()

    def drop_ranges(self) -> None:
        """The caller cannot keep out-of-order bytes."""
        lib.tcp_drop_ranges(self.engine.handle, self.c)
        self.forget_ranges()
        check_state(self)

    def set_options(
        self,
        *,
        flags: int = 0,
        keep_time_ms: int = 7_200_000,
        keep_interval_ms: int = 75_000,
        keep_limit: int = 9,
        user_timeout_ms: int = 0,
    ) -> None:
        """Keepalive, user timeout, Nagle."""
        lib.tcp_set_options(
            self.engine.handle, self.c, self.engine.now_ns, flags, keep_time_ms, keep_interval_ms, keep_limit,
            user_timeout_ms, self.result,
        )  # fmt: skip
        self._absorb()

    def icmp(self, kind: int, seq: int, mtu: int = 0) -> None:
        """An ICMP error that quotes our segment with that absolute number."""
        lib.tcp_icmp(self.engine.handle, self.c, self.engine.now_ns, kind, seq, mtu, self.result)
        self._absorb()

    # --- hand-off

    def image(self) -> bytes:
        """The exact image of the connection."""
        size = lib.tcp_image_size(self.engine.handle, self.c)
        out = ffi.new("uint8_t[]", size)
        assert lib.tcp_save(self.engine.handle, self.c, self.engine.now_ns, out, size) == size
        return bytes(ffi.buffer(out, size))

    def move(self, engine: Engine) -> None:
        """Saves the connection, forgets it here, and loads it in an engine, perhaps the same."""
        image = self.image()
        lib.tcp_release(self.engine.handle, self.c)
        del self.engine.endpoints[self.index]
        box = ffi.new("struct tcp_connection **")
        result = lib.tcp_load(engine.handle, engine.now_ns, image, len(image), box)
        assert result == lib.TCP_LOAD_OK, f"an image of our own is refused: {result}"
        self.engine, self.c = engine, box[0]
        self.index = int(lib.tcp_index(engine.handle, self.c))
        engine.endpoints[self.index] = self
        check_state(self)

    # --- looking

    @property
    def pipe(self) -> int:
        """Bytes that congestion control counts in the network."""
        return int(lib.tcp_pipe(self.engine.handle, self.c))

    @property
    def window(self) -> int:
        """The window to advertise now, unscaled."""
        return int(lib.tcp_receive_window(self.c))

    @property
    def deadline_ns(self) -> int:
        """When the first of its timers expires."""
        return int(lib.tcp_connection_deadline(self.engine.handle, self.c))

    def runs(self) -> list[tuple[int, int, int]]:
        """The scoreboard: left, right (relative to the ISS) and marks."""
        block, us, marks = ffi.new("struct tcp_block *"), ffi.new("uint32_t *"), ffi.new("uint32_t *")
        found: list[tuple[int, int, int]] = []
        while lib.tcp_run_at(self.engine.handle, self.c, len(found), block, us, marks):
            found.append((signed(block.left - self.iss), signed(block.right - self.iss), int(marks[0])))
        return found

    def ranges(self) -> list[tuple[int, int]]:
        """The reassembly list, relative to the IRS."""
        block = ffi.new("struct tcp_block *")
        found: list[tuple[int, int]] = []
        while lib.tcp_range_at(self.engine.handle, self.c, len(found), block):
            found.append((signed(block.left - self.irs), signed(block.right - self.irs)))
        return found
