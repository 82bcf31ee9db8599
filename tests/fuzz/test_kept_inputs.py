"""Kept inputs: the core does today with the inputs of every fuzz target what it did when they were written.

After a change that is meant, or with another corpus, `python -m tests.fuzz.kept` writes them anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import kept
from tests.fuzz.kept import Input
from tests.fuzz.workshop import targets
from vnic.fuzz.effort import EFFORT

#: A quarter of the lines by default, all with an effort of 2. For the stacks alone they are compiled: from 1.
LINES = min(kept.LINES, round(kept.LINES * EFFORT / 2))
NAMES = [name for name in kept.all_targets() if name != kept.TALK.name or EFFORT >= 1]


@pytest.mark.requirement("FUZ-10")
@pytest.mark.parametrize("name", NAMES)
def test_it_is_still_done_so(kept_program: Callable[[str], Path], name: str) -> None:
    difference = kept.difference(kept.all_targets()[name], kept_program(name), LINES)
    assert difference is None, f"{difference}\nif that is meant: `python -m tests.fuzz.kept {name}`"


def test_what_is_kept_is_what_happened(kept_program: Callable[[str], Path]) -> None:
    """No two lines are alike: every input makes calls of its own."""
    for name, target in kept.all_targets().items():
        rows = kept.kept(target)
        made = [each for each in rows if each.startswith("made-")]
        assert len(made) == kept.LINES
        assert {Path(path).name for path in kept.corpus(target)} == set(rows) - set(made), name
        assert len({each.digest for each in rows.values()}) > 0.9 * len(rows)


@pytest.mark.requirement("FUZ-10")
def test_a_change_is_named(
    kept_program: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the seventh call of an input had once answered something else: there the failure looks."""
    target = targets()["segment"]
    rows = kept.kept(target)
    name, was = next((name, each) for name, each in rows.items() if each.calls > 20 and "made" not in name)
    notes = bytes.fromhex(was.notes)
    notes = notes[:5] + bytes(note ^ 1 for note in notes[5:])
    lines = [f"{each} {row.calls} {row.digest} {row.notes}" for each, row in rows.items() if each != name]
    lines.append(f"{name} {was.calls} {int(was.digest, 16) ^ 1:016x} {notes.hex()}")
    (tmp_path / "segment.txt").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    said = kept.difference(target, kept_program("segment"), 1)
    assert said is not None
    assert said.startswith(f"1 of {len(kept.corpus(target)) + 1} inputs, the first: {name};")
    assert "between 7 and 8; today they are" in said
    shown = said.splitlines()[3:]
    assert [int(line.split()[0]) for line in shown] == [7, 8]
    assert all(" tcp_" in line and "state" in line for line in shown)


@pytest.mark.parametrize(
    ("before", "now", "where"),
    [
        (Input(3, "a", "010203"), Input(3, "b", "019903"), (1, 2)),
        (Input(19, "a", "0102030405060708"), Input(19, "b", "0102030405060799"), (12, 16)),
        (Input(5, "a", "0102030405"), Input(4, "b", "01020304"), (4, 5)),
        (Input(20, "a", "01"), Input(20, "b", "02"), (0, 1)),
    ],
)
def test_where_an_input_changed(before: Input, now: Input, where: tuple[int, int]) -> None:
    """Digests on the way are taken after 1, 2, 3, 4, 6, 8, 12 .. calls."""
    assert kept.window(before, now) == where


def test_without_a_file_nothing_was_kept(
    kept_program: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    said = kept.difference(targets()["image"], kept_program("image"), 1)
    assert said is not None and said.endswith("was never kept")
