"""Compiles the C contenders of a run into a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLAGS = ("-std=gnu11", "-O3", "-g", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes")
BUILD_SECONDS = 300
ERROR_LINES = 12


class BuildError(Exception):
    """The compiler refused a source of ours; the text is the start of what it said."""


class Workshop:
    """A compiler, a folder for what it makes, and the processor that the run is pinned to."""

    def __init__(self, folder: Path, cpu: int) -> None:
        self.folder = folder
        self.cpu = cpu
        self.cc = os.environ.get("CC", "cc")

    def can_compile(self) -> bool:
        """Whether there is a C compiler."""
        return shutil.which(self.cc) is not None

    def package_flags(self, package: str) -> tuple[list[str], list[str]] | None:
        """pkg-config's compile and link flags; None if the package is not installed."""
        words: list[list[str]] = []
        for question in ("--cflags", "--libs"):
            try:
                answer = subprocess.run(
                    ["pkg-config", question, package], capture_output=True, text=True, timeout=30, check=True
                )
            except (OSError, subprocess.CalledProcessError):
                return None
            words.append(answer.stdout.split())
        return [word.replace("-I", "-isystem", 1) for word in words[0]], words[1]

    def program(
        self, name: str, sources: Sequence[Path], flags: Sequence[str] = (), libraries: Sequence[str] = ()
    ) -> Path:
        """Compile and link a program.

        Raises: BuildError.
        """
        return self._compile(self.folder / name, sources, flags, libraries)

    def objects(self, sources: Sequence[Path], flags: Sequence[str]) -> list[Path]:
        """Compile sources one by one, for a program whose other sources take other flags.

        Raises: BuildError.
        """
        return [self._compile(self.folder / f"{path.stem}.o", [path], ["-c", *flags], []) for path in sources]

    def shared(
        self, name: str, sources: Sequence[Path], flags: Sequence[str] = (), libraries: Sequence[str] = ()
    ) -> Path:
        """Compile and link a shared library.

        Raises: BuildError.
        """
        target = self.folder / f"{name}.so"
        return self._compile(target, sources, ["-fPIC", "-shared", *flags], libraries)

    def module(self, name: str, sources: Sequence[Path]) -> ModuleType:
        """Compile an extension module against the running interpreter and import it.

        Raises: BuildError.
        """
        include = sysconfig.get_paths()["include"]
        path = self.shared(name, sources, [f"-isystem{include}", "-DNDEBUG", "-fwrapv", "-w"])
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise BuildError(f"{path} is no extension module")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def _compile(
        self, target: Path, sources: Sequence[Path], flags: Sequence[str], libraries: Sequence[str]
    ) -> Path:
        command = [self.cc, *FLAGS, *flags, "-o", str(target), *map(str, sources), *libraries]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        if done.returncode:
            raise BuildError(f"{target.name}\n" + "\n".join(done.stderr.splitlines()[:ERROR_LINES]))
        return target


def has_python_headers() -> bool:
    """Whether extension modules can be compiled for the running interpreter."""
    return (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()


def compiler_version(cc: str) -> str:
    """The first line of the compiler's --version."""
    try:
        done = subprocess.run([cc, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return done.stdout.splitlines()[0]


def python_version() -> str:
    """The running interpreter, by name and version."""
    return f"{sys.implementation.name} {sys.version.split()[0]}"
