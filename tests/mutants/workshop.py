"""A copy of the project in which files may be broken; objects are kept, so that a fault compiles one file."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.patch import Patch

ROOT = Path(__file__).resolve().parent.parent.parent
COMPILERS = 2
BUILD_SECONDS = 300
GLUE = "build/_core.c"
MODULE = "vnic/_core.abi3.so"
EMIT = f"import runpy; runpy.run_path('vnic/_build.py')['ffibuilder']().emit_c_code('{GLUE}')"
FLAGS = ("-std=gnu11", "-O1", "-fPIC", "-fvisibility=hidden", "-DVNIC_API=", "-DPy_LIMITED_API=0x030B0000")
LEFT_OUT = shutil.ignore_patterns(
    ".git", "build", "__pycache__", "*.so", "*.egg-info", ".*_cache", ".hypothesis"
)


class BuildError(Exception):
    """The compiler or the linker refused; the text is the end of what it said."""


class Workshop:
    """`folder` has the copy. Whoever breaks a file there heals it."""

    #: Options of the compiler behind the common ones.
    options: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiler = [os.environ.get("CC", "cc")]
        self._healthy: dict[str, bytes] = {}

    def open(self) -> None:
        """Copy the project and build it. Raises BuildError."""
        shutil.copytree(ROOT, self.folder, ignore=LEFT_OUT, dirs_exist_ok=True)
        (self.folder / "build").mkdir(exist_ok=True)
        self._run([sys.executable, "-c", EMIT])
        with ThreadPoolExecutor(COMPILERS) as pool:
            list(pool.map(self.compile, self.sources()))
        self.link()

    def seed(self, fault: Patch) -> None:
        """Break one file and bring the module up to date. Raises BuildError."""
        path = self.folder / fault.file
        self._healthy[fault.file] = path.read_bytes()
        fault.seed(self.folder)
        self._renew(fault)

    def heal(self, fault: Patch) -> None:
        """As it was before. Raises BuildError."""
        (self.folder / fault.file).write_bytes(self._healthy.pop(fault.file))
        self._renew(fault)

    def _renew(self, fault: Patch) -> None:
        if fault.is_compiled:
            self.compile(fault.file)
            self.link()
        else:
            Path(importlib.util.cache_from_source(str(self.folder / fault.file))).unlink(missing_ok=True)

    def sources(self) -> list[str]:
        """Every file of the module, the glue first."""
        found = [path.relative_to(self.folder) for path in (self.folder / "csrc").rglob("*.c")]
        return [GLUE, *sorted(str(path) for path in found if path.parent.name != "examples")]

    def object_of(self, source: str) -> Path:
        """Where the object of a source file lies."""
        return self.folder / "build" / f"{source.replace('/', '-')}.o"

    def compile(self, source: str) -> None:
        """Make one object. Raises BuildError."""
        includes = ["csrc", "csrc/include", "vnic", sysconfig.get_path("include")]
        command = [*self.compiler, *FLAGS, *self.options, *(f"-I{folder}" for folder in includes)]
        self._run([*command, "-c", source, "-o", str(self.object_of(source))])

    def link(self) -> None:
        """Make the module of all objects. Raises BuildError."""
        target = self.folder / MODULE
        target.unlink(missing_ok=True)
        objects = [str(self.object_of(source)) for source in self.sources()]
        self._run([*self.compiler, "-shared", *objects, "-o", str(target)])

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
        if done.returncode != 0:
            raise BuildError(done.stderr[-2000:])
