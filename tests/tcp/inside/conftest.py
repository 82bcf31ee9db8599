"""Wheel, timers and reassembly of the TCP engine by themselves, behind a C harness."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI

from tests.c_objects import build_folder, is_asked

ROOT = Path(__file__).resolve().parents[3]
CSRC = ROOT / "csrc"
HERE = Path(__file__).resolve().parent
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-Wstrict-prototypes"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-wrapv", "-g"]
MARKED = re.compile(r"/\* cdef begin \*/\n(.*?)/\* cdef end \*/", re.DOTALL)
FILES = ("wheel", "timer", "reassembly")
NEVER = 2**64 - 1


def build(folder: Path) -> Path:
    """Compile the three files and the harness into a shared object."""
    flags = [*STRICT, "-O1", "-fPIC", "-shared"]
    flags += SANITIZE if is_asked("VNIC_SANITIZE") else []
    flags += ["--coverage", "-fno-early-inlining"] if is_asked("VNIC_COVERAGE") else []
    files = [*(CSRC / "tcp" / f"{name}.c" for name in FILES), HERE / "harness.c"]
    target = folder / "harness.so"
    command = ["gcc", *flags, "-I", str(CSRC), "-I", str(HERE), "-o", str(target), *map(str, files)]
    subprocess.run(command, check=True, timeout=120, cwd=folder)
    return target


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[FFI, Any]:
    """The compiled harness; for coverage it is built where the report looks."""
    folder = build_folder("tcp", tmp_path_factory)
    ffi = FFI()
    ffi.cdef("\n".join(MARKED.findall((HERE / "harness.h").read_text(encoding="utf-8"))))
    return ffi, ffi.dlopen(str(build(folder)))


Blocks = list[tuple[int, int]]


class Inside:
    """Every call of harness.h without its prefix; out parameters as lists."""

    def __init__(self, ffi: FFI, lib: Any, connections: int, nodes: int, ranges: int) -> None:
        self.ffi, self.lib = ffi, lib
        self.h = lib.harness_create(connections, nodes, ranges)
        self.room: Any = ffi.new("struct harness_range[]", 2048)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.lib, f"harness_{name}")
        bound: Callable[..., Any] = lambda *args: call(self.h, *args)  # noqa: E731
        setattr(self, name, bound)
        return bound

    def held(self, index: int = 1) -> Blocks:
        """The ranges of a connection."""
        count = self.ranges(index, self.room, 2048)
        return [(self.room[i].left, self.room[i].right) for i in range(count)]

    def sacks(self, limit: int = 4, index: int = 1) -> Blocks:
        """The blocks of the next ACK."""
        count = self.blocks(index, self.room, limit)
        return [(self.room[i].left, self.room[i].right) for i in range(count)]

    def expired(self, now_ns: int) -> dict[int, int]:
        """Takes every expired timer at a time: connection to timers."""
        self.at(now_ns)
        found = {}
        while (index := self.next_expired()) != 0:
            assert index not in found
            found[index] = int(self.take_expired(index))
        return found


@pytest.fixture
def make(library: tuple[FFI, Any]) -> Iterator[Callable[..., Inside]]:
    """A maker of harnesses."""
    made: list[Inside] = []

    def make_inside(connections: int = 16, nodes: int = 64, ranges: int = 32) -> Inside:
        made.append(Inside(*library, connections, nodes, ranges))
        return made[-1]

    yield make_inside
    for inside in made:
        inside.lib.harness_destroy(inside.h)
