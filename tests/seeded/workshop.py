"""The copy in which faults are seeded: a header recompiles what includes it, a C driver is a library."""

from __future__ import annotations

import re
from pathlib import Path

from tests.mutants.patch import Patch
from tests.mutants.workshop import Workshop

EXAMPLES = "vnic/examples"
#: Headers that drivers are made of; nothing of the card's includes them.
DRIVER_HEADERS = "csrc/include/vnic/vnic_plain_"
C_SOURCE = f"{EXAMPLES}/minimal.c"
C_LIBRARY = "build/minimal.so"
DRIVER_FLAGS = ("-std=c11", "-O1", "-fPIC", "-shared", "-fvisibility=hidden")


class SeededWorkshop(Workshop):
    """A copy of the project, its compiled module, and the example driver as a library."""

    options = ("-MMD",)

    def open(self) -> None:
        """Copy the project and build it, with the example driver. Raises BuildError."""
        super().open()
        self.make_driver()

    @property
    def c_driver(self) -> Path:
        """The example driver's library."""
        return self.folder / C_LIBRARY

    def make_driver(self) -> None:
        """Make the library of the example driver. Raises BuildError."""
        self._run([*self.compiler, *DRIVER_FLAGS, "-Icsrc/include", C_SOURCE, "-o", C_LIBRARY])

    def includers(self, header: str) -> list[str]:
        """The sources whose objects were made with a header."""
        return [source for source in self.sources() if header in self._read(source)]

    def _read(self, source: str) -> frozenset[str]:
        """What the compiler read for a source's object, relative to the folder."""
        rule = self.object_of(source).with_suffix(".d").read_text(encoding="utf-8")
        return frozenset(re.sub(r"\\\n", " ", rule).split()[1:])

    def _renew(self, fault: Patch) -> None:
        if fault.file == C_SOURCE or fault.file.startswith(DRIVER_HEADERS):
            self.make_driver()
        elif fault.file.endswith(".h"):
            for source in self.includers(fault.file):
                self.compile(source)
            self.link()
        else:
            super()._renew(fault)
