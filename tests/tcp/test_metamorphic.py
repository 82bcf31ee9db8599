"""What must not matter: where numbers start, the fate of pure ACKs, being saved and loaded; and no stalls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.tcp.builder import MS
from tests.tcp.endpoint import Engine
from tests.tcp.options import Options
from tests.tcp.segment import MODULUS
from tests.tcp.world import Act, Link, Scenario, World
from vnic.fuzz.effort import examples

STARTS = (0, 1, 2**31 - 5000, 2**31, 2**32 - 1, 2**32 - 3000, 12345, 2**32 - 100_000)
starts = st.sampled_from(STARTS)


def options_of(random: Random, both: dict[str, Any]) -> Options:
    """One side: some of what it wants the other does not."""
    options = dict(both)
    if random.random() < 0.15:
        options["sack"] = False
    options["wscale"] = random.choice([None, 0, 3, 7, 14])
    options["rcv_buf"] = random.choice([1000, 4000, 20_000, 65_535, 300_000])
    options["nodelay"] = random.random() < 0.5
    options["max_len"] = random.choice([0, 0, 5000, 65_535])
    options["profile"] = random.choice(["rfc", "chimney"])
    options["iss"], options["ts_offset"] = random.choice(STARTS), random.choice(STARTS)
    if options["profile"] == "chimney":  # one without nodes has itself uploaded (CH-15)
        options["config"] = options["config"] | {"nodes": 2000}
    return Options(**options)


def acts_of(random: Random) -> list[Act]:
    """Both send for a while, stop reading and read again, and perhaps one is done before the other."""
    acts = [Act(0, side, "send", random.choice([1, 500, 5000, 40_000])) for side in (0, 1)]
    for _ in range(random.randrange(4, 14)):
        side, what = random.randrange(2), random.choice(["send", "send", "send", "stop", "read"])
        amount = random.choice([1, 100, 1460, 3000, 20_000]) if what == "send" else 0
        acts.append(Act(random.choice([0, 0, 1, 30, 300, 5000]), side, what, amount))
    if random.random() < 0.5:
        acts.insert(random.randrange(2, len(acts)), Act(0, random.randrange(2), "shutdown"))
    return acts


def scenario_of(seed: int) -> Scenario:
    """A scenario with a bit of everything."""
    random = Random(seed)
    both: dict[str, Any] = {name: random.random() < 0.6 for name in ("timestamps", "sack", "ecn")}
    both["congestion"] = random.choice(["newreno", "cubic"])
    both["mtu"] = random.choice([576, 1500, 1500, 9000])
    both["config"] = {
        "nodes": random.choice([8, 64, 2000]),
        "recoveries": random.choice([1, 2]),
        "r2_ms": 3_000_000,
    }
    loss, duplicate, reorder, mark = (random.choice([0, 0, 0.02, 0.1]) for _ in range(4))
    delay_ms, jitter_ms = random.choice([0.1, 10, 50]), random.choice([1, 30])
    mtu = random.choice([65_535] * 4 + [1000, 552])
    link = Link(seed, loss, duplicate, reorder, mark, delay_ms, jitter_ms, mtu=mtu)
    return Scenario((options_of(random, both), options_of(random, both)), link, acts_of(random))


# Drawn whole: what Hypothesis draws by parts is mostly trivial, and shrinking makes traces no easier to read.
scenarios = st.builds(scenario_of, st.integers(0, 2**48))
EXAMPLES = examples(8)


def finished(scenario: Scenario, on_event: Callable[[World, int], None] | None = None) -> World:
    """The world at its end: both users have every byte, unless somebody gave up."""
    world = World(scenario, on_event)
    try:
        world.run()
        for index, side in enumerate(world.sides):
            peer = world.sides[1 - index]
            assert side.endpoint is not None, "the SYN never arrived"
            assert peer.endpoint is not None
            assert side.endpoint.received == peer.endpoint.queued[: len(side.endpoint.received)], (
                "the stream differs"
            )
    except AssertionError:
        for sent in world.trace[-40:]:
            note(f"{sent.at_ns / MS:10.3f} {'<' if sent.side else '>'} {sent.segment}")
        raise
    finally:
        world.close()
    return world


def assert_drained(world: World) -> None:
    """Nobody gave up, and everything arrived."""
    for index, side in enumerate(world.sides):
        peer = world.sides[1 - index]
        assert side.endpoint is not None
        assert peer.endpoint is not None
        assert bytes(side.endpoint.received) == bytes(peer.endpoint.queued), f"side {index} stalls"
        assert "FIN" in side.happened


@examples(20)
@given(scenario=scenarios)
def test_a_fair_network_always_drains(scenario: Scenario) -> None:
    assert_drained(finished(scenario))


@EXAMPLES
@given(scenario=scenarios, shifts=st.tuples(starts, starts), ts_shifts=st.tuples(starts, starts))
def test_where_numbers_start_changes_nothing(
    scenario: Scenario, shifts: tuple[int, int], ts_shifts: tuple[int, int]
) -> None:
    base = finished(scenario)
    a, b = (
        replace(o, iss=(o.iss + shift) % MODULUS, ts_offset=(o.ts_offset + ts_shift) % MODULUS)
        for o, shift, ts_shift in zip(scenario.options, shifts, ts_shifts, strict=True)
    )
    assert finished(replace(scenario, options=(a, b))).trace == base.trace


@pytest.mark.parametrize("shift", [2**31, 2**32 - 1, 2**31 - 1])
def test_the_middle_and_the_end_of_the_number_space(shift: int) -> None:
    options = Options(sack=True, timestamps=True, wscale=7, ecn=True, rcv_buf=100_000)
    link = Link(seed=7, loss=0.03, reorder=0.05, duplicate=0.02, mark=0.02)
    scenario = Scenario((options, options), link, [Act(0, 0, "send", 200_000), Act(100, 1, "send", 100_000)])
    base = finished(scenario)
    moved = replace(options, iss=options.iss + shift, ts_offset=options.ts_offset + shift)
    assert finished(replace(scenario, options=(moved, moved))).trace == base.trace


@EXAMPLES
@given(scenario=scenarios, seed=st.integers(0, 1000))
def test_duplicated_and_reordered_pure_acks_change_nothing_delivered(scenario: Scenario, seed: int) -> None:
    quiet = replace(scenario.link, loss=0.0, duplicate=0.0, reorder=0.0, mark=0.0)
    noisy = replace(quiet, duplicate=0.3, reorder=0.3, only_acks=True, seed=seed)
    base = finished(replace(scenario, link=quiet))
    other = finished(replace(scenario, link=noisy))
    assert_drained(base)
    assert_drained(other)
    for one, two in zip(base.sides, other.sides, strict=True):
        assert one.endpoint is not None
        assert two.endpoint is not None
        assert one.endpoint.received == two.endpoint.received


@EXAMPLES
@given(scenario=scenarios, moments=st.sets(st.integers(0, 800), max_size=30))
def test_saving_and_loading_changes_nothing_at_all(scenario: Scenario, moments: set[int]) -> None:
    base = finished(scenario)
    seen = 0

    def move(world: World, side: int) -> None:
        nonlocal seen
        seen += 1
        if seen in moments or not moments:
            world.move(side)

    assert finished(scenario, move).trace == base.trace


@EXAMPLES
@given(scenario=scenarios, every=st.integers(1, 40))
def test_an_engine_of_another_time_goes_on_exactly(scenario: Scenario, every: int) -> None:
    base = finished(scenario)
    seen = 0

    def move(world: World, side: int) -> None:
        nonlocal seen
        seen += 1
        if seen % every == 0:
            config = scenario.options[side].config
            world.move(side, Engine(0, **config), shift_ns=(seen * 7919 + 2**32) * MS)

    assert finished(scenario, move).trace == base.trace
