"""A conversation with a scripted peer: segments in, segments out, in virtual time and relative numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn, Self

from tests.tcp.endpoint import EVENTS, NEVER, REASONS, Endpoint, Engine
from tests.tcp.options import Options
from tests.tcp.seen import Seen
from tests.tcp.segment import MODULUS, Segment, control_bits, control_names, pattern, signed
from vnic._core import lib

MS = 1_000_000


class Conversation:
    """One connection of the engine, and a test that plays its peer. Every event is checked and logged."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.engine = Engine(options.start_ns, **options.config)
        self.log: list[str] = []
        self.outbox: list[Seen] = []
        self.trace: list[tuple[int, Segment]] = []
        self.is_batch = False
        self.is_lax = False  # whether what was sent may wait to be expected while more happens
        self.noted = 0  # events in the log
        self.shift_ns = 0  # of the engine's clock, by moves
        self.peer_nxt, self.peer_ack = 0, 0
        self.peer_window = options.peer_wnd
        self.last_ts = 0  # newest TSval that we sent
        self.endpoint: Endpoint

    # --- opening

    def connect(self) -> Self:
        """SYN_SENT; the SYN waits to be expected."""
        open_ = self.options.raw()
        c = lib.tcp_connect(self.engine.handle, self.engine.now_ns, open_)
        self.endpoint = Endpoint(self.engine, c, self.options.iss)
        self._note("connect")
        self._pull()
        return self

    def syn(self, **changes: Any) -> Segment:
        """The peer's SYN as the options say."""
        o = self.options
        made = Segment(
            control=lib.TCP_SYN, seq=o.irs % MODULUS, ack=0, wnd=min(self.peer_window, 65535),
            options=o.syn_options, wscale=o.peer_wscale, mss=o.peer_mss or 0, ts_val=self.peer_clock,
        )  # fmt: skip
        if o.ecn:
            made = replace(made, control=made.control | lib.TCP_ECE | lib.TCP_CWR)
        return replace(made, **changes)

    def accept(self, **changes: Any) -> Self:
        """SYN_RECEIVED; the SYN,ACK waits to be expected."""
        syn = self.syn(**changes)
        c = lib.tcp_accept(self.engine.handle, self.engine.now_ns, self.options.raw(), syn.raw())
        self.endpoint = Endpoint(self.engine, c, self.options.iss)
        self.endpoint.irs = syn.seq
        self.endpoint.edges.start((self.options.iss + 1) % MODULUS, syn.wnd)
        self.peer_nxt = 1
        self._note(f"< {control_names(syn.control)} seq=0 (accepted)")
        self._pull()
        return self

    # --- names of the endpoint

    @property
    def state(self) -> str:
        """The connection's state."""
        return self.endpoint.state

    @property
    def c(self) -> Any:
        """struct tcp_connection."""
        return self.endpoint.c

    @property
    def statistics(self) -> Any:
        """The engine's counters."""
        return self.engine.statistics

    @property
    def received(self) -> bytes:
        """What the user was given."""
        return bytes(self.endpoint.received)

    @property
    def snd_una(self) -> int:
        """Relative to the ISS."""
        return signed(self.c.snd_una - self.options.iss)

    @property
    def snd_nxt(self) -> int:
        """Relative to the ISS."""
        return signed(self.c.snd_nxt - self.options.iss)

    @property
    def rcv_nxt(self) -> int:
        """Relative to the IRS."""
        return signed(self.c.rcv_nxt - self.options.irs)

    @property
    def peer_clock(self) -> int:
        """The peer's timestamp clock, 1 ms."""
        return (self.options.peer_ts + int(self.now_ms)) % MODULUS

    @property
    def now_ms(self) -> float:
        """Virtual time since the start."""
        return (self.engine.now_ns - self.shift_ns - self.options.start_ns) / MS

    # --- the peer

    def inject(
        self,
        control: str,
        *,
        seq: int | None = None,
        ack: int | None = None,
        data: bytes | int = b"",
        wnd: int | None = None,
        sack: list[tuple[int, int]] | None = None,
        ts: tuple[int, int] | None = None,
        no_ts: bool = False,
        urgent: int = 0,
        ecn: int = 0,
        refused: bool = False,
        **changes: Any,
    ) -> Self:
        """
        A segment of the peer.

        seq and ack are relative and continue where the last one ended; data may be a length of the peer's
        stream; wnd is in bytes and stays until changed; SACK blocks are relative to our ISS.
        """
        self._refuse_leftovers(f"before {control} was injected")
        o = self.options
        seq = self.peer_nxt if seq is None else seq
        bits = control_bits(control)
        payload = pattern(seq - 1, data) if isinstance(data, int) else data
        if bits & lib.TCP_ACK:
            self.peer_ack = max(self.peer_ack, ack) if ack is not None else self.peer_ack
            ack = self.peer_ack if ack is None else ack
        self.peer_window = self.peer_window if wnd is None else wnd
        shift = 0 if bits & lib.TCP_SYN or o.wscale is None else o.peer_wscale
        segment = Segment(
            control=bits, seq=(o.irs + seq) % MODULUS, ack=(o.iss + ack) % MODULUS if ack is not None else 0,
            wnd=min(self.peer_window >> shift, 65535), payload=payload, urgent=urgent, ecn=ecn,
            refused=refused,
            sack=tuple(((o.iss + left) % MODULUS, (o.iss + right) % MODULUS) for left, right in sack or []),
        )  # fmt: skip
        if bits & lib.TCP_SYN:
            segment = replace(segment, options=o.syn_options, wscale=o.peer_wscale, mss=o.peer_mss or 0)
        if (o.timestamps and not no_ts and not bits & lib.TCP_RST) or ts is not None:
            val, ecr = ts if ts is not None else (self.peer_clock, self.last_ts if bits & lib.TCP_ACK else 0)
            segment = replace(
                segment,
                options=segment.options | lib.TCP_OPT_TIMESTAMP,
                ts_val=val % MODULUS,
                ts_ecr=ecr % MODULUS,
            )
        segment = replace(segment, **changes)
        self.peer_nxt = max(self.peer_nxt, signed(segment.end - o.irs))
        return self.receive(segment)

    def receive(self, segment: Segment) -> Self:
        """A segment as it is."""
        self._note(f"< {self._text(segment)}")
        try:
            self.endpoint.input(segment)
        except AssertionError as error:
            self.fail(str(error))
        self._after()
        return self

    def syn_ack(self, **changes: Any) -> Self:
        """The peer's answer to our SYN."""
        control = "SYN,ACK,ECE" if self.options.ecn else "SYN,ACK"
        return self.inject(control, seq=0, ack=1, **changes)

    def batch(self) -> _Batch:
        """`with t.batch():` several segments arrive before output is pulled."""
        return _Batch(self)

    def icmp(self, kind: str, seq: int, mtu: int = 0) -> Self:
        """An ICMP error that quotes our segment with that relative number."""
        self._refuse_leftovers(f"before ICMP {kind}")
        self._note(f"< icmp {kind} seq={seq} mtu={mtu}")
        value = getattr(lib, f"TCP_ICMP_{kind}")
        self.endpoint.icmp(value, (self.options.iss + seq) % MODULUS, mtu)
        self._after()
        return self

    # --- the user

    def send(self, data: bytes | int, push: bool = True) -> Self:
        """The user sends bytes, or so many of the pattern."""
        self._refuse_leftovers("before the user sent")
        if isinstance(data, int):
            data = pattern(len(self.endpoint.queued), data)
        self._note(f"user sends {len(data)}")
        self.endpoint.queue(data, push)
        self._after()
        return self

    def consume(self, length: int | None = None) -> bytes:
        """The user reads so many bytes, or all."""
        self._refuse_leftovers("before the user read")
        length = len(self.endpoint.received) - self.endpoint.consumed if length is None else length
        self._note(f"user reads {length}")
        data = self.endpoint.consume(length)
        self._after()
        return data

    def call(self, name: str, *args: Any, **keywords: Any) -> Self:
        """Another call of the user: shutdown, close, abort, queue_urgent, drop_ranges, set_options ..."""
        self._refuse_leftovers(f"before {name}")
        self._note(f"user calls {name}")
        getattr(self.endpoint, name)(*args, **keywords)
        self._after()
        return self

    def shutdown(self) -> Self:
        """The user sends no more."""
        return self.call("shutdown")

    def close(self) -> Self:
        """The user neither sends nor reads any more."""
        return self.call("close")

    def abort(self) -> Self:
        """The user gives up."""
        return self.call("abort")

    def move(self, shift_ms: int = 0) -> Self:
        """The connection moves to another engine, whose clock differs by that."""
        self._note("moved")
        made = Engine(self.engine.now_ns + shift_ms * MS, **self.options.config)
        self.endpoint.move(made)
        self.engine.close()
        self.engine = made
        self.shift_ns += shift_ms * MS
        self._pull()
        return self

    # --- time

    def advance(self, ms: float) -> Self:
        """Time passes; what is sent meanwhile waits to be expected."""
        self._refuse_leftovers("before time passed")
        target = self.engine.now_ns + int(ms * MS)
        while self.engine.step(target):
            self._pull()
        self._pull()
        return self

    def wait(self, limit_ms: float) -> float:
        """Until something is sent or the connection ends: milliseconds. AssertionError at the limit."""
        self._refuse_leftovers("before waiting")
        start = self.engine.now_ns
        before = len(self.endpoint.events)
        while self.engine.step(start + int(limit_ms * MS)):
            self._pull()
            if self.outbox or {"CLOSED", "UPLOAD"} & set(self.endpoint.events[before:]):
                return (self.engine.now_ns - start) / MS
        self._pull()
        self.fail(f"nothing was sent within {limit_ms} ms")

    def flush_ack(self) -> Seen:
        """The ACK that is due, now or when the delayed-ACK timer says so; at most 500 ms later."""
        if not self.outbox:
            self.wait(500)
        return self.expect("ACK", ack=self.rcv_nxt)

    def give(self, length: int, mss: int = 1460) -> Self:
        """The peer sends so many bytes in order; ACKs are taken, and the last one is waited for."""
        while length > 0:
            self.inject("ACK", seq=self.rcv_nxt, data=min(length, mss))
            length -= mss
            acks = self.drain()
            if acks and any(seen.len for seen in acks):
                self.fail("data was sent where only ACKs were due")
        if not acks or acks[-1].ack != self.rcv_nxt:
            self.flush_ack()
        return self

    # --- expectations

    def expect(self, control: str, **wanted: Any) -> Seen:
        """
        The next segment sent: these control bits (PSH only when it is named or given as psh=), no data unless
        len is given, and fields of Seen by their names.
        """
        if not self.outbox:
            self.fail(f"expected {control} {wanted}, nothing was sent")
        seen = self.outbox.pop(0)
        psh = wanted.pop("psh", True if "PSH" in control else None)
        bits, want = seen.absolute.control, control_bits(control)
        if bits & ~lib.TCP_PSH != want & ~lib.TCP_PSH or (
            psh is not None and psh != bool(bits & lib.TCP_PSH)
        ):
            self.fail(f"expected {control} {wanted}, seen {seen}")
        wanted.setdefault("len", 0)
        if "sack" in wanted:
            wanted["sack"] = tuple(wanted["sack"])
        for name, value in wanted.items():
            if getattr(seen, name) != value:
                self.fail(f"expected {control} with {name}={value}, seen {seen}")
        return seen

    def expect_nothing(self) -> Self:
        """Nothing more was sent."""
        self.is_lax = False
        self._refuse_leftovers("now")
        return self

    def expect_event(self, *names: str) -> Self:
        """All these events happened since the last look at events."""
        events = self.take_events()
        if missing := set(names) - set(events):
            self.fail(f"events {sorted(missing)} did not happen, these did: {events}")
        return self

    def expect_no_event(self, *names: str) -> Self:
        """None of these happened since the last look at events."""
        events = self.take_events()
        if found := set(names) & set(events):
            self.fail(f"events {sorted(found)} happened")
        return self

    def expect_state(self, state: str) -> Self:
        """The connection is in that state."""
        if self.state != state:
            self.fail(f"state is {self.state}, expected {state}")
        return self

    def expect_end(self, reason: str) -> Self:
        """The connection is CLOSED for that reason."""
        self.expect_state("CLOSED").expect_event("CLOSED")
        if self.endpoint.reason != REASONS[reason]:
            self.fail(f"ended with reason {self.endpoint.reason}, expected {reason}")
        return self

    def expect_upload(self, reason: str) -> Self:
        """The connection asks to be taken back by the host for that reason, and says nothing."""
        self.expect_event("UPLOAD")
        if self.endpoint.reason != REASONS[reason]:
            self.fail(f"upload for reason {self.endpoint.reason}, expected {reason}")
        return self

    def drain(self) -> list[Seen]:
        """What was sent and not looked at."""
        seen, self.outbox = self.outbox, []
        return seen

    def take_events(self) -> list[str]:
        """Events since the last look, in order."""
        assert set(self.endpoint.events) <= set(EVENTS)
        events, self.endpoint.events = self.endpoint.events, []
        self.noted = 0
        return events

    def fail(self, message: str) -> NoReturn:
        """AssertionError with all that was said so far."""
        listing = "\n".join(self.log[-60:])
        raise AssertionError(f"{message}\nstate {self.state}, the exchange:\n{listing}")

    # --- inside

    def _note(self, text: str) -> None:
        self.log.append(f"{self.now_ms:12.3f} {text}")

    def _after(self) -> None:
        if news := self.endpoint.events[self.noted :]:
            self._note(f"  {' '.join(news)}")
        self.noted = len(self.endpoint.events)
        if not self.is_batch:
            self._pull()

    def _pull(self) -> None:
        try:
            segments = self.endpoint.pull()
        except AssertionError as error:
            self.fail(str(error))
        for segment in segments:
            seen = self._seen(segment)
            self._note(f"> {seen}")
            self.trace.append((self.engine.now_ns, segment))
            self.outbox.append(seen)
            if segment.options & lib.TCP_OPT_TIMESTAMP:
                self.last_ts = segment.ts_val

    def _seen(self, s: Segment) -> Seen:
        has = s.options.__and__
        iss, irs = self.options.iss, self.options.irs
        return Seen(
            self.engine.now_ns, control_names(s.control), signed(s.seq - iss), signed(s.ack - irs),
            len(s.payload), s.wnd, s.urgent, s.ecn, s.mss if has(lib.TCP_OPT_MSS) else None,
            s.wscale if has(lib.TCP_OPT_WSCALE) else None, bool(has(lib.TCP_OPT_SACK_PERMITTED)),
            (s.ts_val, s.ts_ecr) if has(lib.TCP_OPT_TIMESTAMP) else None,
            tuple((signed(left - irs), signed(right - irs)) for left, right in s.sack),
            s.user_timeout if has(lib.TCP_OPT_USER_TIMEOUT) else None, s.payload, s,
        )  # fmt: skip

    def _text(self, s: Segment) -> str:
        iss, irs = self.options.iss, self.options.irs
        parts = [control_names(s.control) or "none", f"seq={signed(s.seq - irs)}"]
        parts += [f"ack={signed(s.ack - iss)}"] if s.control & lib.TCP_ACK else []
        parts += [f"len={len(s.payload)}"] if s.payload else []
        parts += [f"wnd={s.wnd}"]
        parts += [f"ts={s.ts_val, s.ts_ecr}"] if s.options & lib.TCP_OPT_TIMESTAMP else []
        sack = [(signed(left - iss), signed(right - iss)) for left, right in s.sack]
        return " ".join(parts + ([f"sack={sack}"] if sack else []))

    def _refuse_leftovers(self, when: str) -> None:
        if self.outbox and not self.is_lax:
            self.fail(f"sent and not expected {when}: {self.outbox[0]}")

    def close_engine(self) -> None:
        """Free everything."""
        self.engine.close()

    @property
    def is_running(self) -> bool:
        """Whether a timer of the connection runs."""
        return self.endpoint.deadline_ns != NEVER


class _Batch:
    """Segments that arrive together: output is pulled at the end."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation

    def __enter__(self) -> Conversation:
        self.conversation.is_batch = True
        return self.conversation

    def __exit__(self, *_: object) -> None:
        self.conversation.is_batch = False
        self.conversation._pull()
