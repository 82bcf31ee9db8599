"""Whether the kept inputs of the fuzz targets notice a mutant: tests/fuzz/kept.py, without pytest."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from tests.fuzz import kept
from tests.fuzz.workshop import FLAVOURS, HERE, ROOT, Target, Workshop, run_compiler
from tests.mutants.random.sample import Mutant

#: The test of the suite that does the same.
TEST = "tests/fuzz/test_kept_inputs.py::test_it_is_still_done_so[{}]"
#: A target that takes so much more processor time than the sound one, and some seconds, hangs.
SLOWER, START_SECONDS = 3, 2
#: Targets of a room whose own business it is, before the others.
FIRST = {"nic": "card", "tcp": "segment", "pci": "card", "wire": "card", "trace": "trace", "copy": "copy"}


class Inputs:
    """Links the targets from objects of the core that are there; what the sound ones say is right."""

    def __init__(self, folder: Path, object_of: Callable[[str], Path]) -> None:
        self._folder = folder
        self._object_of = object_of
        self._own: dict[str, tuple[list[str], list[str]]] = {}
        self._sound: dict[str, tuple[str, float]] = {}

    def open(self) -> None:
        """With all objects sound. Raises BuildError; RuntimeError when a target ends before its inputs do."""
        workshop = Workshop(self._folder)
        for name, target in kept.all_targets().items():
            files = [HERE / f"{each}.c" for each in kept.sources(target)]
            own = [str(path) for path in workshop.objects(files, FLAVOURS["gcc"])]
            self._own[name] = kept.link_flags(own), own
            program = self._link(target)
            began = getrusage(RUSAGE_CHILDREN).ru_utime
            done = kept.run(program, kept.arguments(target))
            if done.returncode != 0:
                raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
            self._sound[name] = done.stdout, getrusage(RUSAGE_CHILDREN).ru_utime - began

    def _link(self, target: Target) -> Path:
        sources = [path for room in target.rooms for path in sorted((ROOT / "csrc" / room).glob("*.c"))]
        core = [str(self._object_of(str(path.relative_to(ROOT)))) for path in sources]
        program = self._folder / f"kept_{target.name}"
        flags, own = self._own[target.name]
        run_compiler(["gcc", *flags, *own, *core, "-o", str(program)])
        return program

    def killer(self, mutant: Mutant) -> str | None:
        """The test that notices; nothing when none does."""
        room = mutant.file.split("/")[1]
        first = "chimney" if "chimney" in mutant.file else FIRST.get(room)
        concerned = [target for target in kept.all_targets().values() if room in target.rooms]
        concerned.sort(key=lambda target: target.name != first)
        return next((TEST.format(target.name) for target in concerned if self._notices(target)), None)

    def _notices(self, target: Target) -> bool:
        sound, seconds = self._sound[target.name]
        limit = math.ceil(START_SECONDS + SLOWER * seconds)
        done = kept.run(self._link(target), kept.arguments(target), limit)
        return done.returncode != 0 or done.stdout != sound
