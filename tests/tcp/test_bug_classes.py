"""The eleven classes of bugs that other stacks shipped, each by name."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from tests.tcp.flight import MSS, Receiver, at, numbers, sender
from tests.tcp.segment import pattern
from tests.tcp.states import BUILDERS, SYNCHRONIZED, established
from vnic._core import ffi, lib


class TestClass1RetransmitAndCoalesce:
    """What is sent again, joined or split, must be the bytes of that place (libxlio PR 51, F-Stack 556)."""

    @pytest.mark.parametrize("sack", [False, True])
    @pytest.mark.parametrize("seed", range(5))
    def test_small_writes_that_are_lost_and_joined(self, sack: bool, seed: int) -> None:
        random = Random(seed)
        t = established(rtt_ms=50, sack=sack, nodelay=True)
        receiver = Receiver()
        stream: dict[int, bytes] = {}
        for _ in range(300):
            t.is_lax = True
            if random.random() < 0.4 and len(t.endpoint.queued) < 30_000:
                t.send(random.randrange(1, 900))
            t.advance(random.randrange(60))
            for s in t.drain():
                if s.len and random.random() < 0.7:
                    stream[s.seq] = max(stream.get(s.seq, b""), s.payload, key=len)
                    blocks = receiver.take(s.seq, s.len)
                    t.inject("ACK", ack=receiver.next, sack=blocks if sack else None)
                    t.drain()
        heard = bytearray(receiver.next - 1)
        for seq, data in stream.items():
            heard[seq - 1 : seq - 1 + len(data)] = data
        assert bytes(heard[: receiver.next - 1]) == pattern(0, receiver.next - 1)

    @pytest.mark.parametrize("longer", [1, 500, 5000])
    def test_a_duplicate_that_is_longer(self, longer: int) -> None:
        t = established()
        t.inject("ACK", seq=1, data=1000)
        t.drain()
        t.inject("ACK", seq=1, data=1000 + longer)
        t.drain()
        assert t.received == pattern(0, 1000 + longer)

    def test_a_duplicate_with_a_fin(self) -> None:
        t = established()
        t.inject("ACK", data=1000)
        t.drain()
        t.inject("FIN,ACK", seq=1, data=1000)
        t.expect("ACK", ack=1002)
        t.inject("FIN,ACK", seq=1, data=1000)
        t.expect("ACK", ack=1002)
        assert t.received == pattern(0, 1000)


class TestClass2ReleasedTooEarly:
    """A byte belongs to the engine until it is acknowledged cumulatively (tcpdirect PR 28, IBM H19288)."""

    def test_sack_releases_nothing(self) -> None:
        t = sender(queue=10, sack=True)
        t.drain()
        t.inject("ACK", ack=1, sack=[(at(1), at(10))])
        t.drain()
        assert t.endpoint.released == 0
        t.inject("ACK", ack=at(10))
        assert t.endpoint.released == 10 * MSS

    @pytest.mark.parametrize("ack", [0, 1, 2, 700, MSS + 1, 10 * MSS + 1])
    def test_exactly_what_is_acknowledged(self, ack: int) -> None:
        t = sender(queue=10)
        t.drain()
        t.inject("ACK", ack=ack)
        t.drain()
        assert t.endpoint.released == max(ack - 1, 0)

    def test_an_ack_of_the_fin_releases_no_byte_more(self) -> None:
        t = established()
        t.send(100)
        t.drain()
        t.shutdown()
        t.drain()
        t.inject("ACK", ack=102)
        assert t.endpoint.released == 100
        t.expect_state("FIN_WAIT_2")

    def test_an_abort_sends_nothing_more(self) -> None:
        t = sender(queue=100)
        t.drain()
        t.abort()
        assert [s.control for s in t.drain()] in (["RST"], ["RST,ACK"])
        t.advance(200_000).expect_nothing()


class TestClass3CountersPastTheirLimit:
    """A limit that is lowered below what was counted still holds (libxlio PR 600)."""

    def test_a_user_timeout_below_what_has_passed(self) -> None:
        t = established(rtt_ms=100)
        t.send(100)
        t.drain()
        t.advance(60_000)
        t.drain()
        t.call("set_options", user_timeout_ms=1000)
        t.drain()
        if t.state != "CLOSED":
            t.wait(70_000)
            t.drain()
        t.expect_end("TIMEOUT")

    def test_fewer_keepalive_probes_than_were_sent(self) -> None:
        fast = {"flags": lib.TCP_KEEPALIVE, "keep_time_ms": 1000, "keep_interval_ms": 1000}
        t = established()
        t.call("set_options", **fast, keep_limit=200)
        for _ in range(20):
            t.wait(5000)
            t.expect("ACK", seq=0)
        t.call("set_options", **fast, keep_limit=3)
        t.drain()
        if t.state != "CLOSED":
            t.wait(5000)
            t.drain()
        t.expect_end("KEEPALIVE")

    def test_hundreds_of_timeouts(self) -> None:
        t = established(rtt_ms=1, config={"r2_ms": 400_000_000, "rto_max_us": 60_000_000})
        t.send(100)
        t.drain()
        gaps = []
        for _ in range(300):
            gaps.append(t.wait(200_000))
            t.expect("ACK", seq=1, len=100)
        assert all(b >= a - 1 for a, b in pairwise(gaps)), "the back-off starts again"
        assert max(gaps) <= 60_001
        t.inject("ACK", ack=101)
        assert not t.is_running

    def test_hundreds_of_window_probes(self) -> None:
        t = established(peer_wnd=0, config={"r2_ms": 400_000_000})
        t.send(100)
        gaps = []
        for _ in range(300):
            gaps.append(t.wait(300_000))
            t.expect("ACK", seq=1, len=1)
        assert all(b >= a - 1 for a, b in pairwise(gaps))

    def test_hundreds_of_duplicate_acks(self) -> None:
        t = sender(queue=300)
        t.drain()
        again = 0
        for _ in range(600):
            t.inject("ACK", ack=1)
            again += sum(s.seq == 1 for s in t.drain())
        assert again == 1
        assert t.statistics.fast_recoveries == 1


class TestClass4TheLifeOfAZeroWindow:
    """smoltcp 199, 62; gVisor 10243; Zephyr 47966, 48471; edk2 6949; lwIP."""

    def test_a_read_announces_the_window(self) -> None:
        t = established(rcv_buf=4000)
        t.give(4000)
        assert t.consume()
        t.expect("ACK", ack=4001, wnd=4000)

    def test_acks_do_not_put_the_timer_off_for_ever(self) -> None:
        t = established(rtt_ms=100)
        t.send(MSS)
        t.drain()
        for i in range(40):
            t.advance(20)
            if t.outbox:
                break
            t.inject("ACK", ack=1, wnd=60_000 + i)
        t.expect("ACK", seq=1, len=MSS)

    def test_a_probe_without_data_is_answered(self) -> None:
        t = established(rcv_buf=4000)
        t.give(4000)
        for seq in (4000, 4000, 4001 - 2):
            t.inject("ACK", seq=seq)
            t.expect("ACK", ack=4001, wnd=0)

    def test_a_refused_probe_is_answered(self) -> None:
        t = established(rcv_buf=4000)
        t.give(4000)
        t.inject("ACK", seq=4001, data=1)
        t.expect("ACK", ack=4001, wnd=0)

    def test_no_deadlock_when_the_edge_moved_below_what_was_sent(self) -> None:
        t = established(peer_wnd=8000, nodelay=True, rtt_ms=100)
        t.send(20_000)
        t.drain()
        t.inject("ACK", ack=1 + MSS, wnd=0)
        t.drain()
        for _ in range(6):
            t.wait(200_000)
            probe = t.drain()[0]
            assert (probe.seq, probe.len) in ((1 + MSS, 1), (1 + MSS, 0), (MSS, 0))
            t.inject("ACK", ack=1 + MSS, wnd=0)
        t.inject("ACK", ack=1 + MSS, wnd=60_000)
        una = 1 + MSS
        for _ in range(60):
            if not t.outbox:
                if t.snd_una == 20_001:
                    break
                t.wait(200_000)
            for seen in t.drain():
                una = max(una, seen.seq + seen.len) if seen.seq <= una else una
            t.inject("ACK", ack=una)
        assert t.snd_una == 20_001

    def test_a_lost_window_update_is_found_by_a_probe(self) -> None:
        t = established(peer_wnd=0, nodelay=True)
        t.send(5000)
        t.wait(60_000)
        t.expect("ACK", seq=1, len=1)
        t.inject("ACK", ack=1, wnd=60_000)  # the answer tells what the lost update told
        assert max(s.seq + s.len for s in t.drain()) == 5001


class TestClass5AWindowThatShrinks:
    """The usable window is never negative."""

    @pytest.mark.parametrize("wscale", [None, 7])
    @pytest.mark.parametrize("seed", range(4))
    def test_any_sequence_of_windows(self, wscale: int | None, seed: int) -> None:
        random = Random(seed)
        t = established(wscale=wscale, peer_wscale=3, peer_wnd=40_000, nodelay=True, rtt_ms=10)
        for _ in range(200):
            t.drain()
            if len(t.endpoint.queued) - t.snd_una < 100_000:
                t.send(random.randrange(1, 20_000))
            t.drain()
            wnd = random.choice([0, 8, 1000, 20_000, 60_000])
            t.inject("ACK", ack=random.randrange(t.snd_una, t.snd_nxt + 1), wnd=wnd)
            t.drain()
            t.advance(random.randrange(3))
        t.drain()
        assert t.state == "ESTABLISHED"


class TestClass6SequenceWrap:
    """2^31 and 2^32 are numbers like any other."""

    @pytest.mark.parametrize("start", [2**31 - 2, 2**32 - 2, 2**32 - 5 * MSS])
    def test_sack_across_the_wrap(self, start: int) -> None:
        t = sender(queue=10, sack=True, iss=start, irs=start)
        t.drain()
        t.advance(100)
        t.inject("ACK", ack=1, sack=[(at(4), at(9))])
        sent = numbers(t.drain())
        assert t.endpoint.pipe == (10 - 5 - 4 + len(sent)) * MSS
        for top in (9, 10):
            t.inject("ACK", ack=1, sack=[(at(4), at(top))])
            sent += numbers(t.drain())
        assert sent == [0, 1, 2, 3][: len(sent)]
        t.inject("ACK", ack=at(10))
        assert t.endpoint.released == 10 * MSS

    @pytest.mark.parametrize("start", [2**31 - 2, 2**32 - 2, 2**32 - 3000])
    def test_ranges_across_the_wrap(self, start: int) -> None:
        t = established(sack=True, irs=start, rcv_buf=60_000)
        for seq in (4001, 2001, 1001):
            t.inject("ACK", seq=seq, data=1000)
            t.drain()
        assert t.endpoint.ranges() == [(1001, 3001), (4001, 5001)]
        t.inject("ACK", seq=1, data=1000)
        t.expect("ACK", ack=3001, sack=[(4001, 5001)])


class TestClass7OutOfOrder:
    """Empty segments are not queued, a FIN may come early, what is held is not replaced (NuttX PR 9041)."""

    def test_empty_segments_ahead(self) -> None:
        t = established(sack=True)
        for seq in (100, 5000, 65_000):
            t.inject("ACK", seq=seq)
            t.expect_nothing()
        assert t.endpoint.ranges() == []

    @pytest.mark.parametrize("size", [0, 100])
    def test_a_fin_out_of_order(self, size: int) -> None:
        t = established(sack=True)
        t.inject("FIN,ACK", seq=501, data=size)
        t.expect("ACK", ack=1)
        t.inject("ACK", seq=1, data=300)
        t.drain()
        t.expect_state("ESTABLISHED")
        t.inject("ACK", seq=301, data=200)
        t.expect("ACK", ack=502 + size)
        t.expect_state("CLOSE_WAIT")

    def test_two_fins_at_different_places(self) -> None:
        t = established(sack=True)
        t.inject("FIN,ACK", seq=1001, data=0)
        t.drain()
        t.inject("FIN,ACK", seq=501, data=100)
        t.drain()
        t.inject("ACK", seq=1, data=3000)
        t.drain()
        assert t.take_events().count("FIN") <= 1
        assert t.received == pattern(0, len(t.received))

    def test_the_first_copy_of_a_byte_stays(self) -> None:
        t = established(sack=True)
        t.inject("ACK", seq=101, data=b"1" * 100)
        t.drain()
        for seq, length in ((101, 100), (51, 200), (1, 300)):
            t.inject("ACK", seq=seq, data=b"2" * length)
            t.drain()
        t.give(1) if t.rcv_nxt < 301 else None
        assert t.received[100:200] == b"1" * 100


class TestClass8OptionsThatLie:
    """Length 0 does not loop, nothing is read beyond the header, lying SACK blocks change nothing."""

    @pytest.mark.parametrize("seed", range(3))
    def test_random_options(self, seed: int) -> None:
        random = Random(seed)
        segment = ffi.new("struct tcp_segment *")
        for _ in range(3000):
            words = random.randrange(11)
            options = bytes(random.choice([0, 1, 2, 3, 4, 5, 8, 10, 28, 255]) for _ in range(4 * words))
            header = bytes(12) + bytes([(5 + words) << 4, 0x10]) + bytes(6) + options
            exact = ffi.new("uint8_t[]", header)
            assert lib.tcp_header_parse(segment, exact, len(header)) == 0
            assert segment.sacks <= 4
            assert segment.len == 0

    def test_five_sack_blocks_are_four_at_most(self) -> None:
        block = bytes([0, 0, 0, 1, 0, 0, 0, 2])
        options = bytes([5, 34]) + block * 4 + bytes([5, 2]) + bytes([1] * 2) + bytes(2)
        header = bytes(12) + bytes([15 << 4, 0x10]) + bytes(6) + options.ljust(40, b"\1")
        segment = ffi.new("struct tcp_segment *")
        assert lib.tcp_header_parse(segment, header, len(header)) == 0
        assert segment.sacks <= 4

    def test_a_syn_ack_without_mss(self) -> None:
        t = established(is_active=True, peer_mss=None)
        t.send(1000)
        assert sum(seen.len for seen in t.drain()) >= 536

    @pytest.mark.parametrize("mss", [0, 1, 8, 40])
    def test_a_tiny_mss_still_sends(self, mss: int) -> None:
        t = established(peer_mss=mss, timestamps=True, nodelay=True)
        t.send(200)
        seen = t.drain()
        assert seen
        assert all(s.len > 0 for s in seen)

    def test_timestamps_of_zero(self) -> None:
        t = established(timestamps=True, peer_ts=0, ts_offset=0)
        t.inject("ACK", data=100, ts=(0, 12345))
        t.flush_ack()
        assert t.received == pattern(0, 100)


class TestClass9Timers:
    """Armed again, not twice, and not for what they are not for."""

    def test_the_probe_timeout_gives_way_to_the_timeout(self) -> None:
        t = sender(queue=5, sack=True)
        t.drain()
        t.wait(5000)
        assert numbers(t.drain()) == [4]
        t.wait(5000)
        assert numbers(t.drain()) == [0]
        t.inject("ACK", ack=at(5))
        assert not t.is_running
        t.advance(1_000_000).expect_nothing()

    def test_no_timer_in_closed(self) -> None:
        for state in SYNCHRONIZED:
            t = BUILDERS[state](keepalive=True)
            t.inject("RST", seq=t.rcv_nxt)
            if t.state == "CLOSED":
                assert not t.is_running

    def test_a_delayed_ack_goes_with_the_data_and_not_again(self) -> None:
        t = established()
        t.give(40 * MSS)
        t.inject("ACK", data=100)
        t.send(100)
        t.drain()
        t.inject("ACK", ack=101)
        t.advance(1000).expect_nothing()

    def test_keepalive_waits_while_data_is_outstanding(self) -> None:
        t = established(keepalive=True, keep_time_ms=300, keep_interval_ms=100, rtt_ms=100)
        t.send(100)
        t.drain()
        t.advance(250)
        t.expect_nothing()
        t.wait(10_000)
        t.expect("ACK", seq=1, len=100)
        assert t.statistics.keepalive_probes == 0


class TestClass10BlindAttacks:
    """Nothing that an outsider can guess moves anything, and how much we answer tells him nothing."""

    @pytest.mark.parametrize("seed", range(4))
    def test_guesses(self, seed: int) -> None:
        random = Random(seed)
        t = established()
        before = (t.snd_una, t.rcv_nxt)
        for _ in range(400):
            control = random.choice(["RST", "SYN", "RST,ACK", "SYN,ACK"])
            seq = random.choice([-1, 2, 100, 70_000, random.randrange(2, 2**31)])
            t.inject(control, seq=seq, ack=random.randrange(2**31) if "ACK" in control else None)
            t.drain()
        assert (t.snd_una, t.rcv_nxt, t.state) == (*before, "ESTABLISHED")

    def test_the_limit_is_the_connections_own(self) -> None:
        t = established(config={"challenge_limit": 5, "challenge_period_ms": 1000})
        t.is_lax = True
        for _ in range(20):
            t.inject("RST", seq=50)
        assert len(t.drain()) == 5

    def test_an_old_ack_injects_no_data(self) -> None:
        t = established(peer_wnd=1000)
        t.inject("ACK", data=b"evil", ack=1 - 100_000)
        t.drain()
        assert t.received == b""


class TestClass11MovedConnections:
    """A move loses no wake-up, no delayed ACK and no timer (KB 942861 and its like)."""

    @pytest.mark.parametrize("shift", [0, 1, 2**32, 12_345_678])
    def test_a_delayed_ack_survives(self, shift: int) -> None:
        t = established()
        t.give(40 * MSS)
        t.inject("ACK", data=100)
        t.expect_nothing()
        before = t.endpoint.deadline_ns - t.engine.now_ns
        t.advance(5)
        t.move(shift)
        assert t.wait(500) == pytest.approx(before / 1e6 - 5, abs=1)
        t.expect("ACK", ack=40 * MSS + 101)

    def test_a_pending_ack_survives(self) -> None:
        t = established()
        t.is_batch = True
        t.inject("ACK", data=MSS)
        t.inject("ACK", data=MSS)
        t.is_batch = False
        t.move(77)
        t.expect("ACK", ack=1 + 2 * MSS)

    @pytest.mark.parametrize("at_ms", [0, 50, 299])
    def test_the_retransmission_timer_goes_on(self, at_ms: int) -> None:
        t = established(rtt_ms=100)
        t.send(100)
        t.drain()
        t.advance(at_ms)
        t.move(1_000_000)
        assert t.wait(5000) == pytest.approx(300 - at_ms, abs=1)
        t.expect("ACK", seq=1, len=100)
        t.move(5)
        assert t.wait(5000) == pytest.approx(600, abs=1)
        t.expect("ACK", seq=1, len=100)

    def test_a_closed_window_is_still_probed(self) -> None:
        t = established(peer_wnd=0)
        t.send(100)
        gaps = []
        for _ in range(5):
            t.move(3)
            gaps.append(t.wait(100_000))
            t.expect("ACK", seq=1, len=1)
        assert all(b == pytest.approx(2 * a, abs=2) for a, b in pairwise(gaps))

    def test_keepalive_and_time_wait_go_on(self) -> None:
        t = established(keepalive=True, keep_time_ms=10_000)
        t.advance(4000)
        t.move(2**31)
        assert t.wait(20_000) == pytest.approx(6000, abs=2)
        t.expect("ACK", seq=0)
        t = BUILDERS["TIME_WAIT"](config={"msl_ms": 10_000})
        t.advance(15_000)
        t.move(99)
        t.advance(4900).expect_state("TIME_WAIT")
        t.advance(200).expect_state("CLOSED")

    @pytest.mark.parametrize("state", [name for name in BUILDERS if not name.startswith("SYN")])
    def test_every_state_moves(self, state: str) -> None:
        t = BUILDERS[state](timestamps=True, sack=True)
        t.move(1000)
        t.expect_nothing().expect_state(state)
        t.inject("RST", seq=t.rcv_nxt + 5)
        assert state == "TIME_WAIT" or t.drain()[0].ack == t.rcv_nxt

    @pytest.mark.requirement("ECN-05")
    def test_pending_ecn_goes_along(self) -> None:
        t = established(ecn=True)
        t.give(30 * MSS)
        t.is_batch = True
        t.inject("ACK", data=100, ecn=lib.TCP_CE)
        t.is_batch = False
        t.move(5)
        if not t.outbox:
            t.wait(500)
        t.expect("ACK,ECE", ack=30 * MSS + 101)

    @pytest.mark.requirement("TS-06", "WIN-01")
    def test_clock_and_right_edge_are_continuous(self) -> None:
        t = established(timestamps=True, rcv_buf=20_000)
        t.give(5000)
        before = t.trace[-1][1]
        t.advance(10)
        t.move(123_456_789)
        t.inject("ACK", seq=50, data=1)
        seen = t.expect("ACK", ack=5001)
        assert seen.ts is not None
        assert (seen.ts[0] - before.ts_val) % 2**32 == 10
        assert seen.ack + seen.wnd >= 20_001
