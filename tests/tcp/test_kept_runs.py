"""The kept runs: today's engine sends, segment by segment, what it sent when they were written.

After a change that is meant, `python -m tests.tcp.kept` writes them anew.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.tcp import kept

KEPT = dict(line.split(": ", 1) for line in kept.FILE.read_text(encoding="utf-8").splitlines())
SEEDS = [*kept.USUAL, *kept.SCARCE]


def test_every_run_is_kept() -> None:
    assert list(KEPT) == [str(seed) for seed in SEEDS]


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_still_done_so(seed: int) -> None:
    assert kept.run(seed)[0] == KEPT[str(seed)], "if that is meant: `python -m tests.tcp.kept`"


def test_memory_is_short_where_it_should_be() -> None:
    reached: Counter[str] = Counter()
    for seed in kept.SCARCE[2:9]:
        for counters in kept.run(seed)[1]:
            reached.update(counters)
    assert reached["no_nodes"] > 500
    assert min(reached[name] for name in ("retransmits", "timeouts", "dsacks_in", "out_of_order")) > 20
