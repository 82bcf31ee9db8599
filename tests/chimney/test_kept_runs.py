"""The kept runs: today's card puts out, event by event, what it did when they were written.

After a change that is meant, `python -m tests.chimney.kept` writes them anew.
"""

from __future__ import annotations

import pytest

from tests.chimney import kept

KEPT = dict(line.split(": ", 1) for line in kept.FILE.read_text(encoding="utf-8").splitlines())


def test_every_run_is_kept() -> None:
    assert list(KEPT) == list(kept.PLANS)


@pytest.mark.parametrize("name", kept.PLANS)
def test_it_is_still_done_so(name: str) -> None:
    assert kept.told(kept.recorded(name)) == KEPT[name], "if that is meant: `python -m tests.chimney.kept`"
