"""Hostile segments in every state, with a user and a clock between them: no invariant breaks."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tcp.builder import Conversation
from tests.tcp.segment import MODULUS, Segment, control_bits
from tests.tcp.states import BUILDERS
from vnic._core import lib
from vnic.fuzz.effort import examples

STARTS = (0, 1, 2**31 - 5000, 2**31, 2**32 - 1, 2**32 - 3000, 12345)
SMALL = {"ranges_per_connection": 4, "nodes": 16, "recoveries": 1}
USUAL = [control_bits(names) for names in ("ACK", "ACK", "FIN,ACK", "PSH,ACK", "SYN", "RST")]
CALLS = ("", "", "", "", "send", "read", "shutdown", "icmp", "options", "drop", "buffer")


def number(random: Random) -> int:
    """Near an edge of something, or anywhere."""
    edge = random.choice([0, 1, 101, 1001, 1461, 2921, 5000, 65_535, 2**31 - 1])
    return random.choice([edge, edge + random.randint(-3, 3), random.randint(-(2**31), 2**31 - 1)])


def hostile(random: Random, t: Conversation) -> Segment:
    """A segment that is right in some fields."""
    o = t.options
    ack = random.choice([number(random), random.randint(t.snd_una, max(t.snd_una, t.snd_nxt))])
    seq = random.choice([number(random), t.rcv_nxt, t.rcv_nxt + random.choice([1, 100, 1460])])
    made = Segment(
        control=random.choice([*USUAL, random.randrange(256)]), seq=(o.irs + seq) % MODULUS,
        ack=(o.iss + ack) % MODULUS, wnd=random.choice([0, 1, 500, 65_535]),
        payload=bytes(random.choice([0, 0, 1, 100, 1460, 9000])), urgent=random.choice([0, 1, 65_535]),
        ecn=random.randrange(4), options=random.choice([0, lib.TCP_OPT_TIMESTAMP, random.randrange(256)]),
        wscale=random.randrange(256), mss=random.choice([0, 1, 40, 536, 65_535]),
        ts_val=random.choice([0, 900_000, t.peer_clock, random.randrange(MODULUS)]),
        ts_ecr=random.choice([0, t.last_ts, random.randrange(MODULUS)]), refused=random.random() < 0.1,
    )  # fmt: skip
    blocks = [(number(random), number(random)) for _ in range(random.randrange(5))]
    return replace(
        made, sack=tuple(((o.iss + left) % MODULUS, (o.iss + right) % MODULUS) for left, right in blocks)
    )


def call(t: Conversation, what: str) -> None:
    """What the user does in the middle of it."""
    if what == "send" and t.state in ("SYN_SENT", "SYN_RECEIVED", "ESTABLISHED", "CLOSE_WAIT"):
        if not t.endpoint.has(lib.TCP_FIN_QUEUED):
            t.send(3000)
    elif what == "read":
        t.consume()
    elif what == "shutdown":
        t.shutdown()
    elif what == "icmp":
        t.icmp("TOO_BIG", t.snd_una, 700)
    elif what == "options":
        t.call(
            "set_options", flags=lib.TCP_NODELAY | lib.TCP_KEEPALIVE, keep_time_ms=500, keep_interval_ms=100
        )
    elif what == "drop":
        t.call("drop_ranges")
    elif what == "buffer":
        t.call("set_receive_buffer", 100)
    t.drain()


def storm(random: Random, t: Conversation) -> None:
    """So many segments, calls and pauses."""
    for _ in range(random.randrange(1, 25)):
        call(t, random.choice(CALLS))
        if t.endpoint.is_closed:
            return
        t.receive(hostile(random, t))
        t.drain()
        t.advance(random.choice([0, 0, 0, 1, 50, 1000, 100_000]))
        t.drain()
        if t.endpoint.is_closed:
            return


@pytest.mark.parametrize("state", BUILDERS)
@examples(30)
@given(seed=st.integers(0, 2**48))
def test_noise_breaks_no_invariant(state: str, seed: int) -> None:
    random = Random(seed)
    flip = [random.random() < 0.5 for _ in range(7)]
    t = BUILDERS[state](
        profile="rfc" if flip[0] else "chimney", congestion="cubic" if flip[1] else "newreno",
        timestamps=flip[2], sack=flip[3], ecn=flip[4], keepalive=flip[5], wscale=7 if flip[6] else None,
        peer_wscale=5, iss=random.choice(STARTS), irs=random.choice(STARTS), rcv_buf=5000, config=SMALL,
    )  # fmt: skip
    try:
        storm(random, t)
    finally:
        t.outbox.clear()
        t.close_engine()
