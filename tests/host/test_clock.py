"""The virtual clock: order, cancellation, and time that moves only forward."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.host.clock import ClockError, VirtualClock


def test_timers_fire_in_order_of_deadline_then_of_arming() -> None:
    clock, fired = VirtualClock(), list[str]()
    clock.call_at(20, lambda: fired.append("late"))
    clock.call_at(10, lambda: fired.append("first at 10"))
    clock.call_at(10, lambda: fired.append("second at 10"))
    assert clock.advance_to(15) == 2
    assert fired == ["first at 10", "second at 10"]
    assert clock.now_ns == 15
    assert clock.next_deadline_ns() == 20


def test_a_callback_sees_its_own_deadline_as_now() -> None:
    clock, seen = VirtualClock(), list[int]()
    for deadline in (7, 3):
        clock.call_at(deadline, lambda: seen.append(clock.now_ns))
    clock.advance_to(100)
    assert seen == [3, 7]


def test_a_timer_armed_on_the_way_fires_on_the_way() -> None:
    clock, seen = VirtualClock(), list[int]()

    def again() -> None:
        seen.append(clock.now_ns)
        clock.call_after(10, again)

    clock.call_at(10, again)
    clock.advance_to(35)
    assert seen == [10, 20, 30]


def test_cancel_tells_whether_it_came_in_time() -> None:
    clock, fired = VirtualClock(), list[int]()
    timer = clock.call_after(5, lambda: fired.append(1))
    assert timer.cancel()
    assert not timer.cancel()
    assert clock.next_deadline_ns() is None
    late = clock.call_after(5, lambda: fired.append(2))
    clock.advance(5)
    assert not late.cancel()
    assert fired == [2]


def test_a_deadline_in_the_past_fires_at_the_present() -> None:
    clock, seen = VirtualClock(100), list[int]()
    clock.call_at(10, lambda: seen.append(clock.now_ns))
    assert clock.advance_to_next()
    assert seen == [100]
    assert not clock.advance_to_next()


def test_time_does_not_run_backwards() -> None:
    clock = VirtualClock(10)
    with pytest.raises(ClockError, match="backwards"):
        clock.advance_to(9)


def test_a_callback_may_not_move_the_clock() -> None:
    clock = VirtualClock()

    def meddle() -> None:
        clock.advance(1)

    clock.call_at(1, meddle)
    with pytest.raises(ClockError, match="callback"):
        clock.advance_to(2)
    clock.advance_to(2)
    assert clock.now_ns == 2


def test_a_timer_that_rearms_itself_without_delay_is_stopped() -> None:
    clock = VirtualClock(fire_limit=100)

    def again() -> None:
        clock.call_after(0, again)

    clock.call_after(0, again)
    with pytest.raises(ClockError, match="re-arms"):
        clock.advance_to(1)


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.booleans()), max_size=40),
    st.lists(st.integers(0, 300), max_size=8),
)
def test_every_timer_fires_once_and_in_order(timers: list[tuple[int, bool]], steps: list[int]) -> None:
    clock, fired = VirtualClock(), list[int]()
    for deadline, is_cancelled in timers:
        timer = clock.call_at(deadline, lambda deadline=deadline: fired.append(deadline))  # type: ignore[misc]
        if is_cancelled:
            timer.cancel()
    for step in steps:
        clock.advance(step)
    clock.advance_to(max(clock.now_ns, 1000))
    assert fired == sorted(deadline for deadline, is_cancelled in timers if not is_cancelled)
