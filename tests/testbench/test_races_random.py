"""Random chains, and which of their transfers race, against a plain look at every two of them."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.testbench.race_scene import EngineScene
from vnic.fuzz.effort import examples
from vnic.host.bus import Direction
from vnic.testbench.races import RaceKind

_ARENA = 96
_SIZE = 24


class Move(NamedTuple):
    """A transfer within one small arena; a batch is handed over by one doorbell."""

    source: int
    target: int
    size: int
    is_fenced: bool
    completes: bool
    batch: int


@st.composite
def moves(draw: st.DrawFn) -> list[Move]:
    """Up to 8, in rising batches."""
    place = st.integers(0, _ARENA - _SIZE)
    raw = draw(
        st.lists(
            st.tuples(place, place, st.integers(1, _SIZE), st.booleans(), st.booleans(), st.booleans()),
            min_size=1,
            max_size=8,
        )
    )
    found: list[Move] = []
    for source, target, size, is_fenced, completes, is_new_batch in raw:
        batch = found[-1].batch + is_new_batch if found else 0
        found.append(Move(source, target, size, is_fenced, completes, batch))
    return found


def meet(first: int, second: int, sizes: tuple[int, int]) -> bool:
    """Whether two ranges overlap."""
    return first < second + sizes[1] and second < first + sizes[0]


def conflict(a: Move, b: Move) -> bool:
    """Whether one writes what the other reads or writes."""
    sizes = a.size, b.size
    return (
        meet(a.target, b.target, sizes) or meet(a.target, b.source, sizes) or meet(a.source, b.target, sizes)
    )


def is_ordered(chain: list[Move], i: int, j: int) -> bool:
    """By a fence between, or because the driver knew of the end before it handed the second over."""
    if any(move.is_fenced for move in chain[i:j]):
        return True
    return any(move.completes and move.batch < chain[j].batch for move in chain[i:j])


@pytest.mark.requirement("NDMA-31", "NDMA-35")
@pytest.mark.parametrize("is_overlapping", [0, 1])
@examples(60)
@given(chain=moves())
def test_exactly_the_pairs_that_nothing_orders_are_found(is_overlapping: int, chain: list[Move]) -> None:
    with EngineScene(is_overlapping=is_overlapping) as scene:
        arena = scene.memory.alloc(_ARENA, align=4096)
        base = scene.map(arena, Direction.BIDIRECTIONAL).addr
        scene.chain()
        for number, move in enumerate(chain):
            flags = {"fence": int(move.is_fenced), "compl_write": int(move.completes)}
            scene.post(base + move.source, base + move.target, move.size, **flags)
            if number + 1 == len(chain) or chain[number + 1].batch != move.batch:
                scene.count()
        races = scene.checker.look()
        assert {race.kind for race in races} <= {RaceKind.OVERLAP}
        found = {tuple(party.index for party in race.parties) for race in races}
        pairs = combinations(range(len(chain)), 2)
        assert found == {
            (i, j) for i, j in pairs if conflict(chain[i], chain[j]) and not is_ordered(chain, i, j)
        }


@pytest.mark.requirement("NDMA-30", "NDMA-33")
@examples(60)
@given(
    size=st.integers(1, 9000),
    steps=st.integers(1, 6),
    where=st.sampled_from(["source", "target", "descriptor", "beside"]),
    place=st.integers(0, 8999),
)
def test_one_byte_that_the_host_changes_at_any_step_is_found_where_it_is(
    size: int, steps: int, where: str, place: int
) -> None:
    with EngineScene(manual=True) as scene:
        ends = [scene.system.alloc_coherent(12288) for _ in range(2)]
        scene.chain()
        scene.copy(ends[0].addr, ends[1].addr, size)
        for _ in range(steps):
            scene.engine.step(0)
        views = {"source": ends[0].view, "target": ends[1].view, "descriptor": scene.ring().view}
        if where == "beside":
            ends[0].view[size + place % (12288 - size)] ^= 0xFF
        else:
            at = place % (24 if where == "descriptor" else size)
            views[where][at] ^= 0xFF
        scene.engine.run()
        races = scene.checker.look()
        if steps >= _steps(size) or where == "beside":
            assert races == ()
        else:
            (race,) = races
            assert race.kind == (RaceKind.DESCRIPTOR if where == "descriptor" else RaceKind.HOST_WRITE)
            assert (race.length, race.before[0] ^ race.after[0]) == (1, 0xFF)
            assert race.label == f"coherent+{at:#x}"


def _steps(size: int) -> int:
    """A fetch, a step for each page, a completion."""
    return 2 + -(-size // 4096)
