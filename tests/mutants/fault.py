"""A seeded fault: a piece of text in one file, and the text that stands there when it is broken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """`text` occurs once in `file`; with `wrong` in its place the invariant does not hold any more."""

    invariant: str
    #: Relative to the project's folder.
    file: str
    text: str
    wrong: str
    #: What is broken, in one sentence.
    broken: str

    @property
    def is_compiled(self) -> bool:
        """Whether the file has to be compiled."""
        return self.file.endswith(".c")

    def occurrences(self, root: Path) -> int:
        """How often the text is there."""
        return (root / self.file).read_text(encoding="utf-8").count(self.text)

    def seed(self, root: Path) -> None:
        """Break the file."""
        path = root / self.file
        path.write_text(path.read_text(encoding="utf-8").replace(self.text, self.wrong, 1), encoding="utf-8")
