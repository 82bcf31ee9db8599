"""The three timers of a connection: modulo 2^32, compared by difference, exact to their unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tcp.inside.conftest import NEVER, Inside
from vnic.fuzz.effort import examples

XMIT, DELACK, KEEP = 1, 2, 4
US, MS = 1000, 1000000
UNIT = {XMIT: US, DELACK: US, KEEP: MS}
LONGEST = 2**31 - 1
WRAP_US, WRAP_MS = 2**32 * US, 2**32 * MS
STARTS = [0, 10**9 + 777, WRAP_US - 5 * US, WRAP_MS - 3 * MS - 1, WRAP_US * 1000 + 2**31 * US]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("which", [XMIT, DELACK, KEEP])
@pytest.mark.parametrize("delay", [0, 1, 40, 200000, 2**30, LONGEST])
@pytest.mark.requirement("RTO-06")
def test_expires_when_due(make: Callable[..., Inside], start: int, which: int, delay: int) -> None:
    """Also across the wrap of its unit, at 71 minutes and at 49 days."""
    inside = make()
    inside.at(start)
    inside.set(1, which, delay)
    due = (start // UNIT[which] + delay) * UNIT[which]
    assert inside.timer_deadline(1) == due
    assert inside.deadline() <= max(due, start)
    if due > start:
        assert inside.expired(due - 1) == {}
    assert inside.expired(max(due, start)) == {1: which}
    assert inside.timer_deadline(1) == NEVER
    assert inside.armed(1) == 0


@pytest.mark.parametrize("late", [2**31 * US, 2**32 * US + 5, 3 * 3600 * 10**9, 20 * 86400 * 10**9])
def test_late_caller_still_finds_it(make: Callable[..., Inside], late: int) -> None:
    """Nobody looked for hours: the timer has expired, whatever its difference modulo 2^32 says."""
    inside = make()
    inside.set(1, XMIT, 200000)
    inside.set(2, KEEP, 7200000)
    found = inside.expired(late)
    assert found[1] == XMIT
    assert (2 in found) == (late >= 7200000 * MS)


def test_armed_after_long_silence(make: Callable[..., Inside]) -> None:
    """With nothing armed for hours nobody looked either; a timer set then is not past."""
    inside = make()
    for start in (3 * 3600 * 10**9, 10 * 3600 * 10**9):
        inside.at(start)
        inside.set(1, XMIT, 200000)
        assert inside.timer_deadline(1) == start + 200000 * US
        assert inside.expired(start + 200000 * US - 1) == {}
        assert inside.expired(start + 200000 * US) == {1: XMIT}


@pytest.mark.requirement("RTO-05")
def test_restart_moves_it(make: Callable[..., Inside]) -> None:
    inside = make()
    inside.set(1, XMIT, 200000)
    inside.at(150 * MS)
    places = inside.places()
    inside.set(1, XMIT, 200000)
    assert inside.places() == places  # nothing was relinked
    assert inside.expired(349 * MS) == {}
    assert inside.expired(350 * MS) == {1: XMIT}


def test_stopped_never_expires(make: Callable[..., Inside]) -> None:
    inside = make()
    inside.set(1, XMIT, 1000)
    inside.set(1, DELACK, 2000)
    inside.stop(1, XMIT)
    assert inside.expired(MS) == {}
    assert inside.expired(2 * MS) == {1: DELACK}
    inside.set(1, KEEP, 10)
    inside.stop(1, KEEP)
    assert inside.expired(3600 * 10**9) == {}
    assert inside.deadline() == NEVER


def test_all_that_expired_at_once(make: Callable[..., Inside]) -> None:
    inside = make()
    inside.set(1, XMIT, 1000)
    inside.set(1, DELACK, 1000)
    inside.set(1, KEEP, 2)
    assert inside.expired(MS) == {1: XMIT | DELACK}
    assert inside.timer_deadline(1) == 2 * MS
    assert inside.expired(2 * MS) == {1: KEEP}


def test_timer_set_between_expiry_and_its_taking(make: Callable[..., Inside]) -> None:
    """A connection that was handed out is in no list; setting a timer then files it again."""
    inside = make()
    inside.set(1, XMIT, 1000)
    inside.at(MS)
    assert inside.next_expired() == 1
    inside.set(1, XMIT, 5000)
    assert inside.is_filed(1)
    assert inside.take_expired(1) == 0
    assert inside.expired(6 * MS) == {1: XMIT}


def test_release_leaves_nothing(make: Callable[..., Inside]) -> None:
    inside = make()
    for which in (XMIT, DELACK, KEEP):
        inside.set(1, which, 1000)
    inside.release(1)
    assert inside.wheel_check() == 0
    assert inside.armed(1) == 0
    assert inside.deadline() == NEVER


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("set"),
            st.integers(1, 8),
            st.sampled_from([XMIT, DELACK, KEEP]),
            st.integers(0, 31).flatmap(lambda bits: st.integers(0, 2**bits - 1)),
        ),
        st.tuples(st.just("stop"), st.integers(1, 8), st.integers(1, 7), st.just(0)),
        st.tuples(
            st.just("pass"),
            st.just(0),
            st.just(0),
            st.integers(0, 45).flatmap(lambda bits: st.integers(0, 2**bits)),
        ),
        st.tuples(st.just("follow"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=60,
)


def expected(timers: dict[tuple[int, int], int], now: int) -> dict[int, int]:
    """Takes from the model what is due: connection to timers."""
    found: dict[int, int] = {}
    for key in [key for key, due in timers.items() if due <= now]:
        index, which = key
        found[index] = found.get(index, 0) | which
        del timers[key]
    return found


@examples(80)
@given(start=st.sampled_from(STARTS), steps=STEPS)
def test_against_dictionary(
    library: tuple[Any, Any], start: int, steps: list[tuple[str, int, int, int]]
) -> None:
    inside = Inside(*library, 8, 1, 1)
    timers: dict[tuple[int, int], int] = {}
    now = start
    inside.at(now)
    for name, index, which, amount in steps:
        if name == "set":
            inside.set(index, which, amount)
            timers[index, which] = (now // UNIT[which] + amount) * UNIT[which]
        elif name == "stop":
            inside.stop(index, which)
            for bit in (XMIT, DELACK, KEEP):
                if which & bit:
                    timers.pop((index, bit), None)
        else:
            now = now + amount if name == "pass" else min(max(now, inside.deadline()), now + 2**45)
            assert inside.expired(now) == expected(timers, now)
        assert inside.wheel_check() >= 0
        assert inside.deadline() <= max(min(timers.values(), default=NEVER), now)
    inside.lib.harness_destroy(inside.h)
