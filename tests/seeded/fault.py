"""A seeded fault: a mistake in one file, the rule against it, where it was made before, and whom to judge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from tests.mutants.patch import Patch


class Subject(Enum):
    """What is broken; it decides what is compiled, and which drivers are judged with it."""

    MINIPORT = "reference miniport"
    PROVIDER = "reference NetDMA provider"
    C_EXAMPLE = "example driver in C"
    PYTHON_EXAMPLE = "example driver in Python"
    CARD = "card"
    COPY_ENGINE = "copy engine"


class Cites(NamedTuple):
    """`known` is a public bug of the kind, "" where none is named; `rule` is what forbids it."""

    rule: str
    known: str = ""


@dataclass(frozen=True, slots=True)
class Fault(Patch):
    """`text` occurs once in `file`; with `wrong` in its place the author has made the mistake."""

    #: Two letters for the table, and a number that never changes.
    id: str
    subject: Subject
    #: Relative to the project's folder.
    file: str
    text: str
    wrong: str
    #: In one sentence, as it would be told of the driver or the card.
    mistake: str
    cites: Cites
