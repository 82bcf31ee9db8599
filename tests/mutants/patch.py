"""A piece of text in one file and what stands there instead: looked for, and put there."""

from __future__ import annotations

from pathlib import Path


class Patch:
    """What all faults have: `text` occurs once in `file`, and `wrong` takes its place."""

    __slots__ = ()

    #: Relative to the project's folder.
    file: str
    text: str
    wrong: str

    @property
    def is_compiled(self) -> bool:
        """Whether something has to be compiled."""
        return self.file.endswith((".c", ".h"))

    def occurrences(self, root: Path) -> int:
        """How often the text is there."""
        return (root / self.file).read_text(encoding="utf-8").count(self.text)

    def seed(self, root: Path) -> None:
        """Break the file."""
        path = root / self.file
        path.write_text(path.read_text(encoding="utf-8").replace(self.text, self.wrong, 1), encoding="utf-8")
