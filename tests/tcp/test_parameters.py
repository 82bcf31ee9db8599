"""Parameters of an engine that a host changes while connections live."""

from __future__ import annotations

import pytest

from tests.tcp import flight
from tests.tcp.builder import Conversation
from tests.tcp.endpoint import Engine
from tests.tcp.states import established
from vnic._core import ffi, lib

MSS = 1460


def adjust(engine: Engine, **values: int) -> bool:
    """Whether the engine takes these values."""
    made = ffi.new("struct tcp_engine_parameters *")
    lib.tcp_engine_get_parameters(engine.handle, made)
    for name, value in values.items():
        setattr(made, name, value)
    return bool(lib.tcp_engine_set_parameters(engine.handle, made))


@pytest.mark.requirement("OFL-7")
@pytest.mark.parametrize(
    "values",
    [
        {"delack_us": 500_000}, {"ack_every": 0}, {"ack_every": 256}, {"override_us": 99_999},
        {"override_us": 1_000_001}, {"dup_threshold": 1}, {"dup_threshold": 256},
        {"max_retransmissions": 256}, {"doubt": 0}, {"doubt": 256},
    ],
)  # fmt: skip
def test_values_out_of_bounds_change_nothing(values: dict[str, int]) -> None:
    engine = Engine()
    before, after = ffi.new("struct tcp_engine_parameters *"), ffi.new("struct tcp_engine_parameters *")
    lib.tcp_engine_get_parameters(engine.handle, before)
    assert not adjust(engine, ack_every=5, **{k: v for k, v in values.items() if k != "ack_every"}) or (
        "ack_every" in values and not adjust(engine, **values) and adjust(engine, ack_every=before.ack_every)
    )
    lib.tcp_engine_get_parameters(engine.handle, after)
    assert bytes(ffi.buffer(before)) == bytes(ffi.buffer(after))
    engine.close()


@pytest.mark.requirement("OFL-7")
@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_so_many_full_segments_until_an_ack(every: int) -> None:
    t = established()
    assert adjust(t.engine, ack_every=every)
    for i in range(3 * every):
        t.inject("ACK", seq=1 + i * MSS, data=MSS)
        if i % every == every - 1:
            t.expect("ACK", ack=1 + (i + 1) * MSS)
        else:
            t.expect_nothing()


@pytest.mark.requirement("OFL-7")
@pytest.mark.parametrize("delack_ms", [10, 40, 200])
def test_the_delayed_ack_waits_as_long(delack_ms: int) -> None:
    t = established()
    assert adjust(t.engine, delack_us=delack_ms * 1000)
    t.inject("ACK", data=100)
    t.expect_nothing()
    assert t.wait(1000) == pytest.approx(delack_ms, abs=1)
    t.expect("ACK", ack=101)


@pytest.mark.requirement("OFL-7")
def test_a_delay_of_nothing_is_no_delay() -> None:
    t = established()
    assert adjust(t.engine, delack_us=0)
    t.inject("ACK", data=1)
    t.expect("ACK", ack=2)


@pytest.mark.requirement("OFL-7")
def test_what_swas_holds_back_leaves_when_the_override_says() -> None:
    t = established(peer_wnd=100_000)
    assert adjust(t.engine, override_us=700_000)
    t.send(100, push=False)
    t.expect_nothing()
    assert t.wait(2000) == pytest.approx(700, abs=1)
    assert [seen.len for seen in t.drain()] == [100]


@pytest.mark.requirement("OFL-7")
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("threshold", [2, 3, 5, 8])
def test_duplicates_until_something_is_lost(threshold: int, sack: bool) -> None:
    t = flight.sender(queue=40, sack=sack)
    assert adjust(t.engine, dup_threshold=threshold)
    t.drain()
    t.advance(100)
    flight.ack(t, 10)  # a window that is large enough
    t.advance(100)
    for heard in range(1, threshold + 1):
        assert t.c.phase < lib.TCP_PHASE_RECOVERY, f"after {heard - 1} duplicates"
        flight.ack(t, 10, *(range(11, 11 + heard) if sack else ()))
    assert t.c.phase == lib.TCP_PHASE_RECOVERY


def timeouts(t: Conversation, most: int) -> int:
    """Timeouts in a row until the connection is uploaded, or so many."""
    for count in range(most):
        if t.endpoint.is_uploading:
            return count
        t.wait(200_000)
        t.drain()
    return most


@pytest.mark.requirement("OFL-7")
@pytest.mark.parametrize("most", [1, 2, 5, 12])
def test_a_target_gives_back_after_so_many_timeouts(most: int) -> None:
    t = established(profile="chimney", rtt_ms=100)
    assert adjust(t.engine, max_retransmissions=most)
    t.send(100)
    t.drain()
    t.is_lax = True
    before = t.statistics.retransmits
    timeouts(t, most + 1)
    assert t.endpoint.is_uploading
    assert t.endpoint.reason == lib.TCP_REASON_UPLOAD_TIMEOUT
    assert t.statistics.retransmits - before == most + (most == 0)


@pytest.mark.requirement("OFL-7")
def test_a_limit_of_time_counts_instead() -> None:
    t = established(profile="chimney", rtt_ms=100, user_timeout_ms=60_000)
    assert adjust(t.engine, max_retransmissions=1)
    t.send(100)
    t.drain()
    t.is_lax = True
    t.advance(30_000)
    t.drain()
    assert not t.endpoint.is_uploading
    t.advance(31_000)
    t.drain()
    assert t.endpoint.is_uploading


@pytest.mark.requirement("OFL-7")
def test_a_host_does_not_count_them() -> None:
    t = established(rtt_ms=100)
    assert adjust(t.engine, max_retransmissions=1)
    t.send(100)
    t.drain()
    t.is_lax = True
    t.advance(30_000)
    t.drain()
    assert t.state == "ESTABLISHED"


@pytest.mark.requirement("OFL-7")
@pytest.mark.parametrize("most", [1, 3])
def test_probes_of_a_closed_window_count(most: int) -> None:
    t = established(profile="chimney", rtt_ms=100)
    assert adjust(t.engine, max_retransmissions=most)
    t.inject("ACK", wnd=0)
    t.send(100)
    t.is_lax = True
    before = t.statistics.window_probes
    for _ in range(most + 1):
        t.wait(200_000)
        t.drain()
    assert t.endpoint.is_uploading
    assert t.endpoint.reason == lib.TCP_REASON_UPLOAD_TIMEOUT
    assert t.statistics.window_probes - before == most


@pytest.mark.requirement("OFL-7")
@pytest.mark.parametrize("doubt", [1, 4])
def test_the_path_is_in_doubt_after_so_many_timeouts(doubt: int) -> None:
    t = established(profile="chimney", rtt_ms=100)
    assert adjust(t.engine, doubt=doubt)
    t.send(100)
    t.drain()
    t.is_lax = True
    for count in range(doubt):
        assert not t.c.flags & lib.TCP_NOTIFIED_R1, f"after {count}"
        t.wait(200_000)
        t.drain()
    assert t.c.flags & lib.TCP_NOTIFIED_R1


@pytest.mark.requirement("CH-15")
def test_a_target_without_nodes_drops_first_and_is_uploaded_then() -> None:
    t = established(profile="chimney", sack=True, config={"nodes": 3})
    for seq in (101, 301, 501):
        t.inject("ACK", seq=seq, data=100)
        t.expect("ACK", ack=1)
    t.inject("ACK", seq=701, data=100)
    t.expect_event("DROP_RANGES")
    t.expect("ACK", ack=1, sack=())
    t.inject("ACK", seq=1, data=100)
    assert t.flush_ack().ack == 101  # it goes on
    other = Conversation(t.options)
    other.engine.close()
    other.engine = t.engine
    other.accept()
    other.drain()
    other.inject("ACK", seq=1, ack=1)
    for seq in (201, 401, 601):
        t.inject("ACK", seq=seq, data=50)
        t.expect("ACK", ack=101)
    other.inject("ACK", seq=301, data=50)
    assert other.endpoint.is_uploading
    assert other.endpoint.reason == lib.TCP_REASON_UPLOAD_RESOURCES
    other.expect_nothing()
    assert other.rcv_nxt == 1


@pytest.mark.requirement("CH-15")
def test_a_host_without_nodes_goes_on() -> None:
    t = established(sack=True, config={"nodes": 1})
    for seq in (101, 301, 501):
        t.inject("ACK", seq=seq, data=100)
        t.expect("ACK", ack=1)
    assert t.endpoint.ranges() == [(101, 201)]
