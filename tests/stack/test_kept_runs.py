"""The kept runs: a stack says today, byte by byte, what it said when they were written.

After a change that is meant, `python -m tests.stack.kept` writes them anew.
"""

from __future__ import annotations

import pytest

from tests.stack import kept

KEPT = dict(line.split(": ", 1) for line in kept.FILE.read_text(encoding="utf-8").splitlines())


def test_every_run_is_kept() -> None:
    assert list(KEPT) == [str(seed) for seed in kept.SEEDS]


@pytest.mark.parametrize("seed", kept.SEEDS)
def test_it_is_still_done_so(seed: int) -> None:
    assert kept.run(seed) == KEPT[str(seed)], "if that is meant: `python -m tests.stack.kept`"
