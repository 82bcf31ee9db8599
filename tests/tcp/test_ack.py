"""ACK: when acknowledgments leave, and the SACK blocks they carry."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from tests.tcp.states import BUILDERS, established, syn_received

MSS = 1460


@pytest.mark.requirement("ACK-01")
@pytest.mark.parametrize("size", [1, 100, MSS])
def test_an_ack_waits_less_than_half_a_second(size: int) -> None:
    t = established()
    delays = []
    for _ in range(40):
        t.inject("ACK", data=size)
        delays.append(0.0 if t.outbox else t.wait(499))
        t.expect("ACK", ack=t.rcv_nxt)
        t.advance(10)
    assert max(delays) < 500
    assert max(delays) > 1, "no ACK is ever delayed"


@pytest.mark.requirement("ACK-01")
def test_a_delayed_ack_rides_on_data() -> None:
    t = established()
    for _ in range(40):
        t.give(MSS)
    t.inject("ACK", data=100)
    t.expect_nothing()
    t.send(50)
    t.expect("ACK", len=50, ack=t.rcv_nxt)
    t.inject("ACK", ack=51)
    t.advance(600).expect_nothing()


@pytest.mark.requirement("ACK-02")
@pytest.mark.parametrize("timestamps", [False, True])
def test_every_second_full_sized_segment_is_acknowledged(timestamps: bool) -> None:
    t = established(timestamps=timestamps, rcv_buf=1_000_000, wscale=7)
    size = MSS - 12 if timestamps else MSS
    unacknowledged = 0
    for _ in range(100):
        t.inject("ACK", data=size)
        unacknowledged += 1
        if acks := t.drain():
            assert acks[-1].ack == t.rcv_nxt
            unacknowledged = 0
        assert unacknowledged < 2


@pytest.mark.requirement("ACK-02")
def test_small_segments_count_by_their_bytes() -> None:
    t = established(rcv_buf=1_000_000, wscale=7)
    t.give(60 * MSS)
    acked = t.rcv_nxt
    for _ in range(100):
        t.inject("ACK", data=500)
        if acks := t.drain():
            acked = acks[-1].ack
        assert t.rcv_nxt - acked < 2 * MSS


@pytest.mark.requirement("ACK-02")
def test_a_peer_with_small_segments_is_acknowledged_by_its_own_size() -> None:
    t = established(rcv_buf=60_000, mtu=9000, peer_mss=536)
    t.give(40 * 536, 536)
    waiting = 0
    for _ in range(20):
        t.inject("ACK", data=536)
        waiting = 0 if t.drain() else waiting + 1
        assert waiting < 2, "RMSS is what the peer sends, not what we could take"


@pytest.mark.requirement("ACK-03")
@pytest.mark.parametrize("state", ["ESTABLISHED", "FIN_WAIT_2"])
@pytest.mark.parametrize("sack", [False, True])
def test_disorder_is_acknowledged_at_once(state: str, sack: bool) -> None:
    t = BUILDERS[state](sack=sack)
    for _ in range(30):
        t.give(100)
    base = t.rcv_nxt
    t.inject("ACK", seq=base + 100, data=100)
    t.expect("ACK", ack=base)
    t.inject("ACK", seq=base + 300, data=100)
    t.expect("ACK", ack=base)
    t.inject("ACK", seq=base, data=50)  # fills a part of the gap
    t.expect("ACK", ack=base + 50)
    t.inject("ACK", seq=base + 50, data=50)
    t.expect("ACK", ack=base + 200)
    t.inject("ACK", seq=base + 200, data=100)
    t.expect("ACK", ack=base + 400)
    t.inject("ACK", seq=base + 200, data=100)  # a duplicate
    t.expect("ACK", ack=base + 400)
    t.inject("ACK", seq=base - 100, data=100)
    t.expect("ACK", ack=base + 400)


@pytest.mark.requirement("ACK-04")
@pytest.mark.parametrize("seed", range(8))
def test_never_more_than_one_ack_a_segment(seed: int) -> None:
    random = Random(seed)
    t = established(sack=True, timestamps=bool(seed & 1), rcv_buf=1_000_000, wscale=6)
    for _ in range(300):
        seq = max(1, t.rcv_nxt + random.randrange(-3000, 20_000) * random.randrange(2))
        t.inject(random.choice(["ACK", "ACK", "PSH,ACK"]), seq=seq, data=random.choice([0, 1, 700, 1460]))
        assert len(t.drain()) <= 1
        if random.random() < 0.2:
            t.advance(random.random() * 50)
            assert len(t.drain()) <= 1


@pytest.mark.requirement("ACK-04", "SEG-06")
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("control", ["ACK", "FIN,ACK"])
def test_a_segment_that_is_cut_behind_a_gap_is_answered_once(sack: bool, control: str) -> None:
    t = established(sack=sack, rcv_buf=1000)
    for seq, size in ((501, 600), (901, 100), (701, 301)):
        t.inject(control, seq=seq, data=size)
        t.expect("ACK", ack=1)
        t.expect_nothing()


@pytest.mark.requirement("ACK-05")
def test_the_first_block_holds_the_segment_that_came() -> None:
    t = established(sack=True)
    order = [3001, 9001, 5001, 6001, 3501, 7001]
    for seq in order:
        t.inject("ACK", seq=seq, data=500)
        left, right = t.expect("ACK", ack=1).sack[0]
        assert left <= seq and seq + 500 <= right


@pytest.mark.requirement("ACK-06")
@pytest.mark.parametrize(("timestamps", "blocks"), [(False, 4), (True, 3)])
def test_then_the_most_recent_blocks_as_many_as_fit(timestamps: bool, blocks: int) -> None:
    t = established(sack=True, timestamps=timestamps)
    held: list[tuple[int, int]] = []
    for seq in (2001, 8001, 4001, 6001, 10_001, 12_001):
        t.inject("ACK", seq=seq, data=1000)
        held.insert(0, (seq, seq + 1000))
        t.expect("ACK", ack=1, sack=held[:blocks])
    t.inject("ACK", seq=9001, data=1000)  # joins two blocks
    held = [(8001, 11_001), *(block for block in held if block[0] not in (8001, 10_001))]
    t.expect("ACK", ack=1, sack=held[:blocks])
    t.inject("ACK", seq=1, data=1000)
    seen = t.expect("ACK", ack=1001)
    assert len(seen.sack) == blocks
    assert set(seen.sack) <= set(held)


@pytest.mark.requirement("ACK-06")
def test_a_block_is_reported_in_several_acks() -> None:
    t = established(sack=True)
    t.inject("ACK", seq=2001, data=100)
    reports = sum((2001, 2101) in seen.sack for seen in t.drain())
    for seq in (4001, 6001):
        t.inject("ACK", seq=seq, data=100)
        reports += (2001, 2101) in t.expect("ACK").sack
    assert reports == 3


@pytest.mark.requirement("ACK-07")
def test_no_blocks_unless_agreed() -> None:
    t = established(sack=False)
    t.inject("ACK", seq=2001, data=100)
    t.expect("ACK", ack=1, sack=())
    t = syn_received(sack=True, peer_options=0)
    t.inject("ACK", seq=1, ack=1)
    t.inject("ACK", seq=2001, data=100)
    t.expect("ACK", ack=1, sack=())


@pytest.mark.requirement("ACK-07")
def test_no_blocks_when_all_is_in_order() -> None:
    t = established(sack=True)
    t.inject("ACK", seq=101, data=100)
    t.expect("ACK", sack=[(101, 201)])
    t.inject("ACK", seq=1, data=100)
    t.expect("ACK", ack=201, sack=())
    t.inject("ACK", seq=201, data=100)
    assert t.flush_ack().sack == ()
    t.send(100)
    t.expect("ACK", len=100, sack=())


@pytest.mark.requirement("ACK-08")
def test_a_duplicate_below_rcv_nxt_is_reported_once() -> None:
    t = established(sack=True)
    t.give(1000)
    t.inject("ACK", seq=501, data=500)
    t.expect("ACK", ack=1001, sack=[(501, 1001)])
    t.inject("ACK", seq=2001, data=10)
    t.expect("ACK", ack=1001, sack=[(2001, 2011)])


@pytest.mark.requirement("ACK-08")
def test_only_the_part_that_came_before_is_a_duplicate() -> None:
    t = established(sack=True)
    t.give(1000)
    t.inject("ACK", seq=501, data=1000)
    seen = t.flush_ack()
    assert seen.ack == 1501
    assert seen.sack in (
        ((501, 1001),),
        (),
    )  # RFC 2883 4.2.1 reports it; a partial overlap may be below notice


@pytest.mark.requirement("ACK-08")
def test_a_duplicate_inside_a_block_is_followed_by_that_block() -> None:
    t = established(sack=True)
    t.inject("ACK", seq=1001, data=500)
    t.expect("ACK")
    t.inject("ACK", seq=1501, data=500)
    t.expect("ACK", sack=[(1001, 2001)])
    t.inject("ACK", seq=1501, data=500)
    t.expect("ACK", ack=1, sack=[(1501, 2001), (1001, 2001)])
    t.inject("ACK", seq=3001, data=500)
    t.expect("ACK", ack=1, sack=[(3001, 3501), (1001, 2001)])


@pytest.mark.requirement("ACK-08")
def test_no_duplicate_is_reported_where_sack_was_not_agreed() -> None:
    t = established(sack=False)
    t.give(1000)
    t.inject("ACK", seq=501, data=500)
    t.expect("ACK", ack=1001, sack=())


@pytest.mark.requirement("ACK-09")
def test_blocks_stay_until_they_are_delivered() -> None:
    t = established(sack=True)
    t.inject("ACK", seq=1001, data=100)
    t.drain()
    for i in range(20):
        t.inject("ACK", seq=3001 + 200 * i, data=10)
        t.drain()
        assert (1001, 1101) in t.endpoint.ranges()
    t.give(1000)
    assert t.rcv_nxt == 1101


@pytest.mark.requirement("ACK-09")
def test_dropped_ranges_vanish_from_later_acks() -> None:
    t = established(sack=True)
    for seq in (1001, 3001):
        t.inject("ACK", seq=seq, data=500)
        t.drain()
    t.call("drop_ranges")
    t.drain()
    t.inject("ACK", seq=5001, data=500)
    t.expect("ACK", ack=1, sack=[(5001, 5501)])
    t.inject("ACK", seq=1, data=1000)
    t.expect("ACK", ack=1001)
    t.inject("ACK", seq=1001, data=500)
    t.expect("ACK", ack=1501)
    assert len(t.received) == 1500


@pytest.mark.requirement("ACK-09")
def test_a_store_that_is_full_forgets_nothing_it_reported() -> None:
    t = established(sack=True, rcv_buf=1_000_000, wscale=5, config={"ranges_per_connection": 4})
    reported: set[tuple[int, int]] = set()
    for i in range(12):
        t.inject("ACK", seq=1001 + 300 * i, data=100)
        for seen in t.drain():
            reported |= set(seen.sack)
    assert len(t.endpoint.ranges()) == 4
    assert reported == set(t.endpoint.ranges())


@pytest.mark.requirement("ACK-10")
@pytest.mark.parametrize("size", [0, 1, 700])
def test_a_fin_is_acknowledged_at_once(size: int) -> None:
    t = established()
    for _ in range(30):
        t.give(100)
    t.inject("FIN,ACK", data=size)
    t.expect("ACK", ack=3001 + size + 1)


@pytest.mark.requirement("ACK-01", "ACK-02")
def test_acks_of_a_bulk_transfer_are_few() -> None:
    t = established(rcv_buf=2_000_000, wscale=7)
    t.give(50 * MSS)
    before = len(t.trace)
    for _ in range(200):
        t.inject("ACK", data=MSS)
        t.drain()
    acks = [segment.ack for _, segment in t.trace[before:]]
    assert 100 <= len(acks) <= 110
    assert all((b - a) % 2**32 <= 2 * MSS for a, b in pairwise(acks))
