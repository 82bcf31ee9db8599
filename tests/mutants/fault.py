"""A seeded fault: a piece of text in one file, and the text that stands there when it is broken."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.patch import Patch


@dataclass(frozen=True, slots=True)
class Fault(Patch):
    """`text` occurs once in `file`; with `wrong` in its place the invariant does not hold any more."""

    invariant: str
    #: Relative to the project's folder.
    file: str
    text: str
    wrong: str
    #: What is broken, in one sentence.
    broken: str
