"""C drivers for the tests: built once a session."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vnic.headers import include_dir

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "vnic" / "examples"

Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build(source, *flags): a shared library of it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("drivers")

    def make(source: Path, *flags: str, name: str = "") -> Path:
        library = folder / f"{name or source.stem}.so"
        includes = [f"-I{include_dir()}", f"-I{EXAMPLES}"]
        command = [compiler, "-std=c11", "-g", "-shared", "-fPIC", *includes, *flags, str(source)]
        subprocess.run([*command, "-o", str(library)], check=True, timeout=120)
        return library

    return make


@pytest.fixture(scope="session")
def minimal(build: Build) -> Path:
    """The example driver."""
    return build(EXAMPLES / "minimal.c")


@pytest.fixture(scope="session")
def hostile(build: Build) -> Path:
    """The example driver with something wrong: HOSTILE says what."""
    return build(Path(__file__).with_name("hostile.c"))
