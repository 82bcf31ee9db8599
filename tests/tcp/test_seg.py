"""SEG: arrival of segments, in the order of RFC 9293 3.10.7.4."""

from __future__ import annotations

import pytest

from tests.tcp.segment import Segment, control_bits
from tests.tcp.states import (
    BUILDERS,
    RECEIVING,
    SYNCHRONIZED,
    close_wait,
    closing,
    established,
    fin_wait_1,
    fin_wait_2,
    last_ack,
    syn_received,
    syn_sent,
    time_wait,
)
from vnic._core import ffi, lib

PROFILES = ("rfc", "chimney")
TALKING = tuple(state for state in SYNCHRONIZED if state != "TIME_WAIT")


def parse(header: bytes) -> int:
    """What tcp_header_parse() says."""
    return int(lib.tcp_header_parse(ffi.new("struct tcp_segment *"), header, len(header)))


def header(offset: int, payload: bytes = b"", fill: bytes = b"\1") -> bytes:
    """A TCP header whose data offset is `offset` words, with that many bytes if it is 5 or more."""
    fixed = bytes(12) + bytes([offset << 4, 0x10]) + bytes(6)
    return fixed + fill * (4 * max(offset - 5, 0)) + payload


@pytest.mark.requirement("SEG-02")
@pytest.mark.parametrize("offset", range(16))
def test_a_data_offset_below_5_or_beyond_the_segment_is_refused(offset: int) -> None:
    whole = header(offset, b"data")
    assert parse(whole) == (0 if offset >= 5 else -1)
    for length in range(4 * offset if offset >= 5 else 20):
        assert parse(whole[:length]) == -1
    if offset >= 5:
        assert parse(whole[: 4 * offset]) == 0


def windows_exchange(iss: int, irs: int) -> list[tuple[int, str]]:
    """An exchange that needs every kind of comparison, as text in relative numbers."""
    t = established(iss=iss, irs=irs, sack=True, rcv_buf=6000, peer_wnd=4000)
    t.send(6000)
    t.drain()
    for step in (
        {"data": 1460}, {"data": 1460, "seq": 2921}, {"data": 1460, "seq": 1461}, {"data": 100, "seq": 1},
        {"ack": 1461}, {"ack": 1461, "sack": [(2921, 4001)]}, {"ack": 4001, "wnd": 100}, {"ack": 9999},
        {"seq": 7000}, {"data": 5000, "seq": 3000},
    ):  # fmt: skip
        t.inject("ACK", **step)
        t.drain()
    t.advance(5000)
    t.drain()
    t.inject("RST", seq=-1)
    t.inject("RST", seq=t.rcv_nxt + 1)
    t.drain()
    t.shutdown()
    t.drain()
    return [(at, f"{t._seen(segment)}") for at, segment in t.trace]


@pytest.mark.requirement("SEG-03")
@pytest.mark.parametrize("iss", [2**31 - 4000, 2**31, 2**32 - 1, 2**32 - 3000, 0])
@pytest.mark.parametrize("irs", [2**31 - 3000, 2**32 - 2, 2**32 - 2000])
def test_numbers_wrap_without_a_trace(iss: int, irs: int) -> None:
    assert windows_exchange(iss, irs) == windows_exchange(1000, 2000)


def is_acceptable_ack(state: str, seq: int, length: int, window: int) -> bool:
    """A segment at RCV.NXT + seq: True when its ACK counted, False when it was answered and dropped."""
    t = established(rcv_buf=2920, peer_wnd=65535)
    if window == 0:
        t.give(2920)
    t.send(100)
    t.drain()
    if state == "FIN_WAIT_1":
        t.shutdown()
        t.drain()
    base, nxt = t.rcv_nxt, t.snd_nxt
    t.inject("ACK", seq=base + seq, data=length, ack=101)
    counted = t.snd_una == 101
    if not counted:
        t.expect("ACK", seq=nxt, ack=base)
        t.expect_nothing()
    t.drain()
    return counted


@pytest.mark.requirement("SEG-04")
@pytest.mark.parametrize("state", ["ESTABLISHED", "FIN_WAIT_1"])
@pytest.mark.parametrize(
    ("seq", "length", "window", "is_acceptable"),
    [
        (0, 0, 0, True), (1, 0, 0, False), (-1, 0, 0, False),
        (0, 0, 2920, True), (2919, 0, 2920, True), (2920, 0, 2920, False), (-1, 0, 2920, False),
        (1, 1, 0, False), (-10, 10, 0, False),
        (0, 1, 2920, True), (2919, 10, 2920, True), (2920, 1, 2920, False), (-10, 10, 2920, False),
        (-10, 11, 2920, True), (2**31 - 1, 1, 2920, False), (-(2**31), 1, 2920, False),
    ],
)  # fmt: skip
def test_the_four_cases_of_acceptability(
    state: str, seq: int, length: int, window: int, is_acceptable: bool
) -> None:
    assert is_acceptable_ack(state, seq, length, window) == is_acceptable


@pytest.mark.requirement("SEG-04")
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("state", TALKING)
def test_an_unacceptable_segment_is_answered_in_every_state(state: str, profile: str) -> None:
    t = BUILDERS[state](profile=profile)
    t.inject("ACK", seq=t.rcv_nxt - 500, data=100, ack=t.snd_nxt)
    t.expect("ACK", seq=t.snd_nxt, ack=t.rcv_nxt)
    t.expect_nothing().expect_state(state)
    assert t.received == b""


@pytest.mark.requirement("SEG-04")
def test_an_old_segment_in_time_wait_is_answered() -> None:
    t = time_wait()
    t.inject("ACK", seq=-500, data=100)
    t.expect("ACK", seq=2, ack=2)
    t.expect_state("TIME_WAIT")


@pytest.mark.requirement("SEG-05")
def test_the_ack_of_refused_data_counts_at_zero_window() -> None:
    t = established(rcv_buf=2920).give(2920)
    t.send(100)
    t.expect("ACK", seq=1, len=100, wnd=0)
    t.inject("ACK", data=1, ack=101, wnd=7000)
    t.expect("ACK", seq=101, ack=2921, wnd=0)
    t.expect_event("ACKED")
    assert (t.snd_una, t.c.snd_wnd, len(t.received)) == (101, 7000, 2920)


@pytest.mark.requirement("SEG-05")
def test_rst_and_urg_count_at_zero_window() -> None:
    t = established(rcv_buf=2920).give(2920)
    t.inject("ACK,URG", data=1, urgent=500)
    t.drain()
    t.expect_event("URGENT")
    t.inject("RST", seq=2921)
    t.expect_end("RESET")


@pytest.mark.requirement("SEG-06")
def test_the_left_part_that_came_before_is_cut() -> None:
    t = established()
    t.inject("ACK", data=1000)
    t.drain()
    t.inject("ACK", seq=501, data=1000)
    t.drain()
    assert t.endpoint.deliveries == [1000, 500]


@pytest.mark.requirement("SEG-06")
@pytest.mark.parametrize("state", RECEIVING)
def test_what_lies_beyond_the_window_is_cut_and_the_fin_with_it(state: str) -> None:
    t = BUILDERS[state](rcv_buf=2000)
    t.inject("FIN,ACK", data=2500)
    t.expect("ACK", ack=2001, wnd=0)
    t.expect_state(state).expect_no_event("FIN")
    assert len(t.received) == 2000


@pytest.mark.requirement("SEG-06")
def test_a_fin_at_the_right_edge_waits_for_room() -> None:
    t = established(rcv_buf=2000)
    t.inject("FIN,ACK", data=2000)
    t.expect("ACK", ack=2001, wnd=0)
    t.expect_state("ESTABLISHED")
    t.consume()
    t.expect("ACK", ack=2001, wnd=2000)
    t.inject("FIN,ACK", seq=2001)
    t.expect("ACK", ack=2002)
    t.expect_state("CLOSE_WAIT")


@pytest.mark.requirement("SEG-07")
@pytest.mark.parametrize("state", SYNCHRONIZED)
@pytest.mark.parametrize("control", ["", "PSH", "FIN", "URG"])
def test_a_segment_without_ack_is_dropped(state: str, control: str) -> None:
    t = BUILDERS[state]()
    before = t.rcv_nxt
    t.inject(control, seq=before, data=100)
    t.expect_nothing().expect_state(state).expect_no_event("READABLE", "FIN", "URGENT")
    assert (t.rcv_nxt, t.received) == (before, b"")


@pytest.mark.requirement("SEG-08")
@pytest.mark.parametrize(
    ("state", "profile"),
    [*((state, "rfc") for state in SYNCHRONIZED), *((state, "chimney") for state in TALKING)],
)
def test_an_ack_beyond_what_was_sent_touches_nothing(state: str, profile: str) -> None:
    t = BUILDERS[state](profile=profile, timestamps=True)
    una, recent, window = t.snd_una, int(t.c.ts_recent), int(t.c.snd_wnd)
    t.advance(10)
    t.inject("ACK", seq=t.rcv_nxt, ack=t.snd_nxt + 1, data=100, wnd=1)
    t.expect("ACK", seq=t.snd_nxt, ack=t.rcv_nxt)
    t.expect_nothing().expect_state(state)
    assert (t.snd_una, t.c.ts_recent, t.c.snd_wnd, t.received) == (una, recent, window, b"")


@pytest.mark.requirement("SEG-08")
@pytest.mark.parametrize("ack", [0, 2, -5, 1000])
def test_a_wrong_ack_in_syn_received_is_reset(ack: int) -> None:
    t = syn_received()
    t.inject("ACK", seq=1, ack=ack)
    t.expect("RST", seq=ack)
    t.expect_state("SYN_RECEIVED")


@pytest.mark.requirement("SEG-08")
@pytest.mark.parametrize("ack", [0, 2])
@pytest.mark.parametrize("control", ["SYN,ACK", "ACK"])
def test_a_wrong_ack_in_syn_sent_is_reset(ack: int, control: str) -> None:
    t = syn_sent()
    t.inject(control, seq=0, ack=ack)
    t.expect("RST", seq=ack)
    t.expect_state("SYN_SENT")


@pytest.mark.requirement("SEG-09")
@pytest.mark.parametrize("state", RECEIVING)
def test_text_beside_an_old_ack_is_taken(state: str) -> None:
    t = BUILDERS[state]()
    una = t.snd_una
    for ack in (una, una - 1, una - 60000):
        t.inject("ACK", data=10, ack=ack)
        t.drain()
    t.expect_state(state)
    assert (len(t.received), t.snd_una) == (30, una)


@pytest.mark.requirement("SEG-10")
def test_only_a_newer_segment_changes_the_window() -> None:
    t = established(peer_wnd=2000)
    t.inject("ACK", seq=101, data=10, wnd=5000)  # ahead of order: newer
    t.drain()
    assert t.c.snd_wnd == 5000
    t.inject("ACK", seq=1, wnd=1000)
    assert t.c.snd_wnd == 5000, "an older segment (SEG.SEQ < WL1) changed the window"
    t.send(6000)
    assert sum(seen.len for seen in t.drain()) <= 5000
    t.inject("ACK", seq=101, ack=1461, wnd=4000)
    t.drain()
    assert t.c.snd_wnd == 4000
    t.inject("ACK", seq=101, ack=1001, wnd=9000)
    t.drain()
    assert t.c.snd_wnd == 4000, "an older ACK changed the window"
    t.inject("ACK", seq=101, ack=1461, wnd=4500)
    t.drain()
    assert t.c.snd_wnd == 4500, "the same numbers and another window: the update counts"


@pytest.mark.requirement("SEG-10")
def test_the_window_is_compared_across_the_wrap() -> None:
    t = established(iss=2**32 - 1000, irs=2**32 - 50, peer_wnd=2000)
    t.inject("ACK", seq=101, data=10, wnd=5000)
    t.drain()
    t.inject("ACK", seq=1, wnd=1000)
    assert t.c.snd_wnd == 5000


@pytest.mark.requirement("SEG-11")
@pytest.mark.parametrize("timestamps", [False, True])
def test_one_ack_answers_all_that_arrived_together(timestamps: bool) -> None:
    t = established(timestamps=timestamps)
    with t.batch():
        for _ in range(10):
            t.inject("ACK", data=1400)
    t.expect("ACK", ack=14001)
    t.expect_nothing()


@pytest.mark.requirement("SEG-11")
def test_data_carries_the_ack_of_what_arrived() -> None:
    t = established()
    with t.batch():
        t.inject("ACK", data=1400)
        t.inject("ACK", data=1400)
        t.send(100)
    t.expect("ACK", seq=1, len=100, ack=2801)
    t.expect_nothing()


@pytest.mark.requirement("SEG-12")
@pytest.mark.parametrize("state", RECEIVING)
def test_out_of_order_segments_are_kept(state: str) -> None:
    t = BUILDERS[state](sack=True)
    for seq in (2001, 1001, 4001, 3001):
        t.inject("ACK", seq=seq, data=1000)
        t.expect("ACK", ack=1)
    t.inject("ACK", seq=1, data=1000)
    t.expect("ACK", ack=5001, sack=())
    assert t.endpoint.deliveries == [5000]


@pytest.mark.requirement("SEG-12")
def test_an_overlap_never_changes_what_was_held() -> None:
    t = established()
    t.inject("ACK", seq=1, data=b"a" * 100)
    t.drain()
    t.inject("ACK", seq=51, data=b"b" * 100)
    t.drain()
    assert t.received == b"a" * 100 + b"b" * 50
    t.inject("ACK", seq=251, data=b"c" * 100)  # 151..251 is missing
    t.drain()
    t.inject("ACK", seq=201, data=b"d" * 200)
    t.drain()
    t.inject("ACK", seq=101, data=b"e" * 300)
    t.drain()
    t.inject("ACK", seq=101, data=b"f" * 300)
    t.drain()
    rest = t.received[150:]
    assert len(rest) == 250
    assert rest[100:200] == b"c" * 100, "bytes that were held were replaced"
    assert set(rest[:50]) == set(b"e")
    assert t.received[:150] == b"a" * 100 + b"b" * 50


@pytest.mark.requirement("SEG-13")
@pytest.mark.parametrize("is_with_data", [False, True])
def test_a_fin_counts_when_all_before_it_arrived(is_with_data: bool) -> None:
    t = established()
    t.inject("FIN,ACK", seq=1001, data=500 if is_with_data else 0)
    t.expect("ACK", ack=1)
    t.expect_state("ESTABLISHED").expect_no_event("FIN")
    t.inject("ACK", seq=1, data=1000)
    end = 1502 if is_with_data else 1002
    t.expect("ACK", ack=end)
    t.expect_state("CLOSE_WAIT")
    assert t.take_events().count("FIN") == 1
    t.inject("FIN,ACK", seq=1001, data=500 if is_with_data else 0)
    t.expect("ACK", ack=end)
    t.expect_no_event("FIN")


@pytest.mark.requirement("SEG-13", "SEG-14")
@pytest.mark.parametrize("state", ["CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_retransmitted_fin_is_acknowledged_again(state: str, profile: str) -> None:
    t = BUILDERS[state](profile=profile)
    t.inject("FIN,ACK", seq=1)
    t.expect("ACK", seq=t.snd_nxt, ack=2)
    t.expect_nothing().expect_state(state).expect_no_event("FIN")
    assert t.rcv_nxt == 2


@pytest.mark.requirement("SEG-15")
@pytest.mark.parametrize("state", BUILDERS)
@pytest.mark.parametrize("control", ["RST", "RST,ACK", "RST,SYN", "RST,FIN,ACK"])
@pytest.mark.parametrize("seq", [-1, 0, 1, 100000])
def test_a_rst_is_never_answered_by_a_rst(state: str, control: str, seq: int) -> None:
    t = BUILDERS[state]()
    t.inject(
        control, seq=t.rcv_nxt + seq if state != "SYN_SENT" else seq, ack=5 if "ACK" in control else None
    )
    assert not any(seen.has("RST") for seen in t.drain())


@pytest.mark.requirement("SEG-15")
def test_the_answer_of_a_closed_port() -> None:
    out = ffi.new("struct tcp_segment *")
    for control in ("RST", "RST,ACK", "SYN,RST"):
        assert not lib.tcp_reset_for(Segment(control_bits(control), 1, 2, 3).raw(), out)
    assert lib.tcp_reset_for(Segment(control_bits("ACK,PSH"), 1, 777, 3, b"abc").raw(), out)
    assert (out.control, out.seq, out.len) == (lib.TCP_RST, 777, 0)
    assert lib.tcp_reset_for(Segment(control_bits("SYN,FIN"), 2**32 - 1, 0, 3, b"abc").raw(), out)
    assert (out.control, out.seq, out.ack) == (lib.TCP_RST | lib.TCP_ACK, 0, 4)


@pytest.mark.requirement("SEG-16")
@pytest.mark.parametrize("make", [close_wait, closing, last_ack, time_wait])
def test_text_after_the_fin_is_ignored(make: type) -> None:
    t = make()
    t.inject("ACK", seq=2, data=100)
    t.drain()
    t.expect_no_event("READABLE", "CLOSED")
    assert (t.received, t.rcv_nxt) == (b"", 2)


@pytest.mark.requirement("SEG-16")
def test_data_that_nobody_will_read_is_reset() -> None:
    t = established()
    t.close()
    t.expect("FIN,ACK", seq=1)
    t.inject("ACK", data=100, ack=2)
    t.expect("RST", seq=2)
    t.expect_end("DATA_AFTER_CLOSE")


@pytest.mark.requirement("SEG-16")
def test_data_in_fin_wait_2_of_a_half_close_is_read() -> None:
    t = fin_wait_2()
    t.inject("ACK", data=100)
    t.flush_ack()
    assert len(t.received) == 100


@pytest.mark.requirement("SEG-13")
def test_the_ack_of_our_fin_beside_the_peers_fin() -> None:
    t = fin_wait_1()
    t.inject("FIN,ACK", ack=2)
    t.expect("ACK", seq=2, ack=2)
    t.expect_state("TIME_WAIT").expect_event("FIN", "TIME_WAIT")


@pytest.mark.requirement("SEG-16")
def test_chimney_leaves_data_for_nobody_to_the_host() -> None:
    t = established(profile="chimney")
    t.close()
    t.expect("FIN,ACK", seq=1)
    t.inject("ACK", data=100)
    t.expect_nothing().expect_upload("UPLOAD_RESOURCES")
    assert t.received == b""


@pytest.mark.requirement("SEG-15")
def test_a_connection_that_is_gone_answers_like_a_closed_port() -> None:
    t = established()
    t.abort()
    assert t.drain()[0].has("RST")
    t.inject("ACK", seq=1, ack=77, data=10)
    t.expect("RST", seq=77)
    t.inject("RST", seq=1)
    t.expect_nothing()
