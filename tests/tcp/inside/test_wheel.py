"""The timing wheel against a dictionary of deadlines: nothing early, nothing late, nothing lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tcp.inside.conftest import NEVER, Inside
from vnic.fuzz.effort import examples

TICK = 1024
LEVELS, SLOTS = 7, 64
EPOCH = TICK << 42  # of the highest level
CONNECTIONS = 24

# From one nanosecond to beyond the highest level, each scale as likely as any other.
DELAYS = st.integers(0, 60).flatmap(lambda bits: st.integers(0, 2**bits))
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("file"), st.integers(1, CONNECTIONS), DELAYS),
        st.tuples(st.just("remove"), st.integers(1, CONNECTIONS), st.just(0)),
        st.tuples(st.just("pass"), st.just(0), DELAYS),
        st.tuples(st.just("follow"), st.integers(1, 8), st.just(0)),
    ),
    max_size=60,
)


class Model:
    """A wheel and what it is to hold; `now` is a time that the wheel has been brought to."""

    def __init__(self, inside: Inside, start: int) -> None:
        self.inside, self.now = inside, start
        self.deadlines: dict[int, int] = {}
        inside.advance(start)
        assert inside.wheel_now() == start

    def file(self, index: int, delay: int) -> None:
        """A deadline, earlier or later than the one before."""
        self.deadlines[index] = min(self.now + delay, NEVER - 1)
        self.inside.file(index, self.deadlines[index])

    def remove(self, index: int) -> None:
        """None any more."""
        self.deadlines.pop(index, None)
        self.inside.remove(index)
        assert not self.inside.is_filed(index)

    def fetch(self, now: int) -> int:
        """Takes what has expired, files again what came up early; returns how many came up."""
        self.now, came = now, 0
        expired = set()
        while (index := self.inside.next(now)) != 0:
            came += 1
            assert not self.inside.is_filed(index)
            assert self.inside.wheel_now() <= now
            if self.deadlines[index] <= now:
                expired.add(index)
                del self.deadlines[index]
            else:
                self.inside.file(index, self.deadlines[index])
        assert not [i for i, deadline in self.deadlines.items() if deadline <= now], "one was forgotten"
        assert self.inside.wheel_now() == now
        return came

    def follow(self) -> int:
        """Goes to the wheel's deadline; returns how many came up."""
        deadline = self.inside.deadline()
        assert deadline > self.now, "time would stand still"
        return self.fetch(deadline)

    def check(self) -> None:
        """The wheel holds what the model holds, and wakes in time."""
        assert self.inside.wheel_check() == len(self.deadlines)
        deadline = self.inside.deadline()
        assert deadline <= min(self.deadlines.values(), default=NEVER)
        assert (deadline == NEVER) == (not self.deadlines)


def run(model: Model, operations: list[tuple[str, int, int]]) -> None:
    """Performs operations, checking after each."""
    for name, argument, delay in operations:
        if name == "file":
            model.file(argument, delay)
        elif name == "remove":
            model.remove(argument)
        elif name == "pass":
            model.fetch(min(model.now + delay, NEVER - 1))
        else:
            for _ in range(argument):
                if model.deadlines and model.inside.deadline() > model.now:
                    model.follow()
        model.check()


STARTS = [0, 1, TICK - 1, TICK * SLOTS**3 - 5, EPOCH - 3 * TICK - 1, EPOCH - 1, 7 * EPOCH - 2**40, 2**63 + 9]


@pytest.mark.parametrize("start", STARTS)
@examples(25)
@given(operations=OPERATIONS)
def test_against_dictionary(
    library: tuple[Any, Any], start: int, operations: list[tuple[str, int, int]]
) -> None:
    inside = Inside(*library, CONNECTIONS, 1, 1)
    try:
        run(Model(inside, start), operations)
    finally:
        inside.lib.harness_destroy(inside.h)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("delay", [0, 1, 999, TICK - 1, TICK, TICK + 1, 10**6, 10**9, 2147483647 * 10**6])
def test_expires_to_the_nanosecond(make: Callable[..., Inside], start: int, delay: int) -> None:
    model = Model(make(), start)
    model.file(1, delay)
    came = 0
    if delay == 0:
        came = model.fetch(start)
    while model.deadlines:
        came += model.follow()
    assert model.now == start + delay
    assert came <= LEVELS + 2  # a slot of each level, the present tick, and the end of the highest level


def test_cost_does_not_depend_on_the_idle(make: Callable[..., Inside]) -> None:
    """Driven by its deadlines alone, each connection comes up no more than once a level."""
    rng = random.Random(1)
    count = 3000
    model = Model(make(connections=count), 5 * 10**12)
    for index in range(1, count + 1):  # whole microseconds, as timers are
        model.file(index, 1000 * rng.randrange(1, 10 ** rng.choice([3, 6, 10])))
    came, wakes = 0, 0
    while model.deadlines:
        came += model.follow()
        wakes += 1
    assert came <= count * (LEVELS + 1)
    assert wakes <= came


def test_later_is_free(make: Callable[..., Inside]) -> None:
    """An ACK that moves the deadline on relinks nothing."""
    inside = make()
    model = Model(inside, 10**9)
    model.file(1, 2 * 10**8)
    model.file(2, 2 * 10**8)
    before = inside.places()
    for step in range(1, 100):
        model.file(1, 2 * 10**8 + step * 10**6)
        assert inside.places() == before
    model.file(1, 10**6)
    assert inside.places() != before
    model.check()


def test_earlier_is_not_late(make: Callable[..., Inside]) -> None:
    model = Model(make(), 12345)
    for delay in (10**15, 10**12, 10**9, 10**6, TICK, 1000, 10, 1):
        model.file(1, delay)
        model.check()
    model.follow()
    assert model.now == 12346


def test_one_slot_many_connections(make: Callable[..., Inside]) -> None:
    """A list of a slot is fetched whole, and each of it may leave while it waits."""
    inside = make()
    model = Model(inside, 0)
    for index in range(1, 11):
        model.file(index, 10**9)
    model.now = 2 * 10**9
    first = inside.next(model.now)
    assert first == 10  # the last filed comes first; the others wait
    del model.deadlines[first]
    model.check()
    for index in (9, 1, 5):  # head, tail and middle of those that wait
        model.remove(index)
        model.check()
    model.file(4, 10**9)  # away into a slot
    model.file(3, -(10**9))  # still past
    model.check()
    model.fetch(model.now)
    assert set(model.deadlines) == {4}
    model.fetch(3 * 10**9)
    assert not model.deadlines


def test_removing_twice_does_nothing(make: Callable[..., Inside]) -> None:
    inside = make()
    inside.remove(1)
    inside.file(1, 10**6)
    inside.remove(1)
    inside.remove(1)
    assert inside.wheel_check() == 0
    assert inside.deadline() == NEVER


def test_time_does_not_run_back(make: Callable[..., Inside]) -> None:
    inside = make()
    assert inside.next(10**9) == 0
    inside.file(1, 2 * 10**9)
    assert inside.next(0) == 0
    assert inside.wheel_now() == 10**9
    assert inside.next(2 * 10**9 - 1) in (0, 1)
