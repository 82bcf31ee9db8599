"""What holds after every event and for every segment sent, whatever the test is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.tcp.segment import MODULUS, Segment, control_names, signed
from vnic._core import ffi, lib

if TYPE_CHECKING:
    from tests.tcp.endpoint import Endpoint

NEVER = 2**64 - 1
SYN_ONLY = lib.TCP_OPT_MSS | lib.TCP_OPT_WSCALE | lib.TCP_OPT_SACK_PERMITTED


class Edges:
    """The edges of both windows as the wire saw them, apart from what the engine believes."""

    def __init__(self) -> None:
        self.offered: int | None = None  # by the peer: highest ACK + window
        self.sent: int | None = None  # one beyond the highest number sent
        self.advertised: int | None = None  # by us
        self.acked: int | None = None  # by us

    def on_input(self, endpoint: Endpoint, segment: Segment) -> None:
        """Remembers the furthest right edge that the peer ever showed."""
        c = endpoint.c
        is_within = signed(segment.ack - c.snd_una) >= 0 and signed(c.snd_nxt - segment.ack) >= 0
        if not segment.control & lib.TCP_ACK or not is_within:
            return
        shift = 0 if segment.control & lib.TCP_SYN else endpoint.c.snd_wscale
        edge = (segment.ack + (segment.wnd << shift)) % MODULUS
        if self.offered is None or signed(edge - self.offered) > 0:
            self.offered = edge

    def start(self, acked: int, window: int) -> None:
        """What the SYN offered, when it is the peer's SYN that opens."""
        self.offered = (acked + window) % MODULUS

    def on_output(self, endpoint: Endpoint, segment: Segment) -> None:
        """Both windows, against what left before."""
        if segment.control & lib.TCP_RST:
            return
        self._check_right_edge(endpoint, segment)
        if segment.control & lib.TCP_ACK:
            self._check_advertised(endpoint, segment)

    def _check_right_edge(self, endpoint: Endpoint, segment: Segment) -> None:
        is_new = self.sent is None or signed(segment.end - self.sent) > 0
        if not is_new:
            return
        self.sent = segment.end
        if segment.control & lib.TCP_SYN or self.offered is None or segment.end == segment.seq:
            return
        beyond = signed(segment.end - self.offered)
        is_probe = len(segment.payload) <= 1 and beyond == 1
        assert beyond <= 0 or is_probe, f"{beyond} beyond the right edge that the peer offered"
        edge = (endpoint.c.snd_una + endpoint.c.snd_wnd) % MODULUS
        beyond = signed(segment.end - edge)
        assert beyond <= 0 or is_probe or endpoint.c.snd_wnd == 0, f"{beyond} beyond SND.UNA + SND.WND"

    def _check_advertised(self, endpoint: Endpoint, segment: Segment) -> None:
        shift = 0 if segment.control & lib.TCP_SYN else endpoint.c.rcv_wscale
        edge = (segment.ack + (segment.wnd << shift)) % MODULUS
        if self.acked is not None:
            assert signed(segment.ack - self.acked) >= 0, "our ACK moves back"
        self.acked = segment.ack
        if self.advertised is None or signed(edge - self.advertised) > 0:
            self.advertised = edge
        # Rounding may take less than a unit of the scale away (RFC 7323 2.4).
        assert signed(self.advertised - edge) < 1 << shift, "the right edge that we offer moves left"


def check_events(endpoint: Endpoint, result: Any) -> None:
    """An event says something, and what is said has its event."""
    bits = result.events
    for bit, value in (
        (lib.TCP_EVENT_ACKED, result.acked),
        (lib.TCP_EVENT_DATA, result.len),
        (lib.TCP_EVENT_READABLE, result.delivered),
        (lib.TCP_EVENT_CLOSED | lib.TCP_EVENT_UPLOAD, result.reason),
    ):
        assert bool(bits & bit) == bool(value), f"events {bits:#x} and value {value} do not agree"
    assert not bits & lib.TCP_EVENT_CLOSED or endpoint.state == "CLOSED"


def check_state(endpoint: Endpoint) -> None:
    """The invariants of the connection itself."""
    c, engine = endpoint.c, endpoint.engine.handle
    broken = lib.tcp_check(engine, c)
    assert broken == ffi.NULL, ffi.string(broken).decode()
    flight = signed(c.snd_nxt - c.snd_una)
    assert flight >= 0, "SND.UNA > SND.NXT"
    has_fin = bool(c.flags & lib.TCP_FIN_QUEUED)
    if endpoint.state != "CLOSED":
        assert signed(c.snd_end + has_fin - c.snd_nxt) >= 0, "SND.NXT beyond what was queued"
        assert endpoint.pipe <= flight, "more in the pipe than was sent"
        assert signed(c.rcv_adv - c.rcv_nxt) >= 0 or endpoint.state == "SYN_SENT", (
            "RCV.NXT beyond the right edge"
        )
        assert c.rcv_unread == len(endpoint.received) - endpoint.consumed, "unread bytes miscounted"
    if endpoint.state == "CLOSED":
        assert endpoint.deadline_ns == NEVER, "a timer runs in CLOSED"


def check_liveness(endpoint: Endpoint) -> None:
    """After output was pulled: what is in flight, or held back, has a timer."""
    c = endpoint.c
    if endpoint.state == "CLOSED" or c.flags & lib.TCP_FROZEN or endpoint.is_uploading:
        return
    waiting = signed(c.snd_end - c.snd_una)
    is_silent = endpoint.deadline_ns == NEVER
    assert not (waiting > 0 and is_silent), f"{waiting} bytes wait to be acknowledged and no timer runs"
    assert not (c.snd_nxt != c.snd_una and is_silent), "in flight and no timer runs"


def check_output(endpoint: Endpoint, segment: Segment) -> None:
    """What every segment of ours is like."""
    c, control = endpoint.c, segment.control
    assert signed(c.snd_nxt - segment.seq) >= 0, "sends beyond SND.NXT"
    assert signed(segment.seq - c.snd_una) >= -1, "sends below SND.UNA - 1"
    is_syn, is_reset = bool(control & lib.TCP_SYN), bool(control & lib.TCP_RST)
    assert is_syn or not segment.options & SYN_ONLY, f"a SYN's options on {control_names(control)}"
    options = int(lib.tcp_header_len(endpoint.out)) - 20
    assert 0 <= options <= 40
    if segment.payload and not is_syn:
        packet = min(len(segment.payload), endpoint.out.mss or len(segment.payload))
        assert packet + options <= c.snd_mss or c.probe_mtu, (
            f"{packet} bytes and {options} of options exceed the MSS"
        )
        assert len(segment.payload) <= max(endpoint.max_len, packet)
    if not is_syn:
        assert control & (lib.TCP_ACK | lib.TCP_RST), "a segment without ACK"
    if is_syn or is_reset:
        return
    has_ts = bool(c.flags & lib.TCP_HAS_TIMESTAMPS)
    assert bool(segment.options & lib.TCP_OPT_TIMESTAMP) == has_ts, "timestamps in every segment or in none"
    assert not segment.sack or c.flags & lib.TCP_HAS_SACK, "SACK was not agreed"
    assert len(segment.sack) <= (3 if has_ts else 4)
    if not c.flags & lib.TCP_HAS_ECN:
        assert segment.ecn == lib.TCP_NOT_ECT and not control & (lib.TCP_ECE | lib.TCP_CWR), (
            "ECN was not agreed"
        )
