"""A seeded sample of the changes that the C core offers: each place in the code is as likely as any other."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.mutants.random.operators import Change, Source

#: Generated code is its generator's, and programs of the examples are not the core.
LEFT_OUT = ("gen", "examples")


class Mutant(NamedTuple):
    """One change of one file; `file` is relative to the project's folder."""

    file: str
    change: Change

    def source(self, root: Path) -> str:
        """The file as the mutant has it."""
        text = (root / self.file).read_text(encoding="utf-8")
        return text[: self.change.start] + self.change.text + text[self.change.end :]

    def told(self, root: Path) -> str:
        """The change in one line."""
        text = (root / self.file).read_text(encoding="utf-8")
        before = " ".join(text[self.change.start : self.change.end].split())
        after = " ".join(self.change.text.split())
        return f"{self.change.operator}: `{before[:70]}` -> `{after[:70]}`"


def files(root: Path, left_out: tuple[str, ...] = ()) -> list[str]:
    """The C files that are mutated."""
    found = [path.relative_to(root) for path in sorted((root / "csrc").rglob("*.c"))]
    return [str(path) for path in found if path.parent.name not in LEFT_OUT and str(path) not in left_out]


def mutants(root: Path, seed: int, left_out: tuple[str, ...] = ()) -> Iterator[Mutant]:
    """Mutants without end of the list but that of the code; a place gives one at most."""
    places: dict[tuple[str, str, int], list[Change]] = defaultdict(list)
    for file in files(root, left_out):
        for change in Source((root / file).read_text(encoding="utf-8")).changes():
            places[file, change.operator, change.start].append(change)
    chance = random.Random(seed)
    order = sorted(places)
    chance.shuffle(order)
    for place in order:
        yield Mutant(place[0], chance.choice(places[place]))
