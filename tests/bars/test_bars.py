"""The throughput bars, a few seeds of each row; virtual time makes them the same on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bars.measure import ENGINE, Result, build, compiler, measure
from tests.bars.scene import Scene, scenes
from tests.c_objects import PLAIN, objects_of

SEEDS, LOSSY_SEEDS = 2, 12  # a lossy path carries little and differs much between seeds


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled engine and emulator."""
    if compiler() is None:
        pytest.skip("needs a C compiler")
    return build(tmp_path_factory.mktemp("bars"), PLAIN, objects_of(ENGINE, PLAIN))


@pytest.mark.parametrize("scene", list(scenes()), ids=lambda scene: scene.title)
def test_a_row_meets_its_bars(program: Path, scene: Scene) -> None:
    seeds = LOSSY_SEEDS if scene.loss_ppm else SEEDS
    result = measure(program, scene, seeds)
    assert len(result.runs) == seeds
    assert list(result.failures()) == []


def test_the_same_seed_gives_the_same_run(program: Path) -> None:
    scene = Scene("loss 1 %", "cubic", loss_ppm=10_000, reorder_ppm=10_000, seconds=5)
    assert measure(program, scene, 2) == measure(program, scene, 2)
    first, second = measure(program, scene, 2).runs
    assert first.delivered != second.delivered


def test_a_slow_sender_misses_its_bar(program: Path) -> None:
    fair = measure(program, Scene("loss 1 %", "newreno", loss_ppm=10_000, seconds=20), 2)
    lossier = Scene("no loss", "newreno", loss_ppm=0)
    assert "of the ceiling" in next(Result(lossier, fair.runs).failures())


@pytest.mark.parametrize("sack", [True, False])
@pytest.mark.parametrize(("nodes", "recoveries"), [(1, 1), (24, 1), (24, 8), (400, 2)])
def test_flows_go_on_when_pools_run_short(program: Path, nodes: int, recoveries: int, sack: bool) -> None:
    scene = Scene("short", "cubic", loss_ppm=10_000, reorder_ppm=2_000, flows=8, seconds=20)
    pools = ("--nodes", str(nodes), "--recoveries", str(recoveries), "--check", "1")
    (run,) = measure(program, scene, 1, *pools, "--flags", "3" if sack else "0").runs
    assert run.short_of > 0
    assert min(run.delivered) > 100_000
    assert run.stall_ns < 8e9
