"""Where mutants are made: a copy of the project with every object at hand, of which one is replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.mutants.random.sample import Mutant
from tests.mutants.workshop import BuildError, Workshop

#: What no compiler lets pass: such a mutant is nobody's mistake.
STRICT = ("incompatible-pointer-types", "int-conversion", "return-type", "implicit-function-declaration")
#: As users build it: assertions are about our own mistakes and count for nothing.
OPTIONS = ("-O2", "-DNDEBUG", *(f"-Werror={each}" for each in STRICT))


class Plant:
    """Opens the copy once; `plant` and `heal` take turns. What is broken is kept aside."""

    def __init__(self, folder: Path) -> None:
        self._workshop = Workshop(folder)
        self._workshop.options = OPTIONS
        self._aside = folder / "build" / "sound"
        self.folder = folder

    def open(self) -> None:
        """Copy and build, or take what an earlier run left. Raises BuildError."""
        if not (self.folder / "complete").is_file():
            self._workshop.open()
            (self.folder / "complete").touch()
        self._aside.mkdir(exist_ok=True)
        self.heal()

    def object_of(self, source: str) -> Path:
        """Where the object of a source file of the project lies."""
        return self._workshop.object_of(source)

    def plant(self, mutant: Mutant) -> str | None:
        """Compile it; what became of it when that was not possible or changed nothing. See `link`."""
        path, compiled = self.folder / mutant.file, self._workshop.object_of(mutant.file)
        shutil.copy(compiled, self._aside / "object")
        shutil.copy(path, self._aside / "source")
        (self._aside / "file").write_text(mutant.file, encoding="utf-8")
        path.write_text(mutant.source(self.folder), encoding="utf-8")
        try:
            self._workshop.compile(mutant.file)
        except BuildError:
            self.heal()
            return "does not compile"
        if compiled.read_bytes() == (self._aside / "object").read_bytes():
            self.heal()
            return "equivalent"
        return None

    def link(self) -> None:
        """The module, of the objects as they are. Raises BuildError."""
        self._workshop.link()

    def heal(self) -> None:
        """As before, if anything is broken; the module is linked anew by the next mutant."""
        if not (self._aside / "file").is_file():
            return
        file = (self._aside / "file").read_text(encoding="utf-8")
        shutil.copy(self._aside / "source", self.folder / file)
        shutil.copy(self._aside / "object", self._workshop.object_of(file))
        (self._aside / "file").unlink()
