"""The copy core on every path of this processor, beside bytes: lengths, alignments, overlaps, guards."""

from __future__ import annotations

import ctypes
import mmap
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI
from hypothesis import given
from hypothesis import strategies as st

from tests.c_objects import build_folder, is_asked
from vnic.fuzz.effort import examples

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-Wstrict-prototypes"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-wrapv", "-g"]
PORTABLE, AVX2, AVX512, PATHS = range(4)
NAMES = ("portable", "avx2", "avx512")
CDEF = """
struct move_ops {
    int path;
    void (*move)(uint8_t *to, const uint8_t *from, size_t len);
    void (*fill)(uint8_t *to, uint64_t pattern, unsigned phase, size_t len);
};
const struct move_ops *move_ops_best(void);
const struct move_ops *move_ops_path(int path);
"""
PAGE = mmap.PAGESIZE
MARGIN = 128
INSIDE = examples(100)


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> tuple[FFI, Any]:
    """csrc/copy/move*.c by themselves; for coverage they are built where the report looks."""
    folder = build_folder("move", tmp_path_factory)
    flags = [*STRICT, "-O2", "-fPIC", "-shared", f"-I{CSRC}", f"-I{CSRC / 'include'}"]
    flags += SANITIZE if is_asked("VNIC_SANITIZE") else []
    flags += ["--coverage", "-fno-early-inlining", "-O1"] if is_asked("VNIC_COVERAGE") else []
    target = folder / "move.so"
    sources = sorted(map(str, (CSRC / "copy").glob("move*.c")))
    subprocess.run(["gcc", *flags, *sources, "-o", str(target)], check=True, timeout=120, cwd=folder)
    ffi = FFI()
    ffi.cdef(CDEF)
    return ffi, ffi.dlopen(str(target))


class Memory:
    """Whole pages between two that nobody may touch, and a path of the core that works in them."""

    def __init__(self, ffi: FFI, ops: Any, pages: int = 3) -> None:
        self.ffi, self.ops, self.size = ffi, ops, pages * PAGE
        self.map = mmap.mmap(-1, self.size + 2 * PAGE)
        self.first = ffi.from_buffer("uint8_t[]", self.map) + PAGE
        libc = ctypes.CDLL(None, use_errno=True)
        for at in (-PAGE, self.size):
            start = ctypes.c_void_p(int(ffi.cast("uintptr_t", self.first)) + at)
            if libc.mprotect(start, ctypes.c_size_t(PAGE), 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")

    def __getitem__(self, part: slice) -> bytes:
        return self.map[PAGE + part.start : PAGE + part.stop]

    def __setitem__(self, part: slice, data: bytes) -> None:
        self.map[PAGE + part.start : PAGE + part.stop] = data

    def move(self, to: int, source: int, length: int) -> None:
        """As memmove."""
        self.ops.move(self.first + to, self.first + source, length)

    def fill(self, to: int, pattern: int, phase: int, length: int) -> None:
        """The pattern over and over."""
        self.ops.fill(self.first + to, pattern, phase, length)


@pytest.fixture(params=range(PATHS), ids=NAMES)
def memory(request: pytest.FixtureRequest, core: tuple[FFI, Any]) -> Memory:
    """Guarded memory with one path."""
    ffi, lib = core
    ops = lib.move_ops_path(request.param)
    if ops == ffi.NULL:
        pytest.skip(f"this processor has no {NAMES[request.param]}")
    assert ops.path == request.param
    return Memory(ffi, ops)


NOISE = random.Random(58).randbytes(3 * PAGE)
REST = b"\xc3" * (3 * PAGE)
LENGTHS = [*range(301), 511, 512, 513, 1500, 4095, 4096]


def test_every_length_and_alignment(memory: Memory) -> None:
    """Both ends at every offset in 8 bytes, and some in a line; nothing beside the destination changes."""
    for length in LENGTHS:
        offsets = range(0, 8) if length < 40 else (0, 1, 31, 33, 63)
        for offset in offsets:
            source, to = offset * 7 % 64, PAGE + 2 * MARGIN + offset
            memory[0:PAGE] = NOISE[:PAGE]
            memory[PAGE : 3 * PAGE] = REST[PAGE:]
            memory[source : source + length] = NOISE[PAGE : PAGE + length]
            memory.move(to, source, length)
            assert memory[to : to + length] == NOISE[PAGE : PAGE + length], length
            assert memory[to - MARGIN : to] == REST[:MARGIN], length
            assert memory[to + length : to + length + MARGIN] == REST[:MARGIN], length


def test_nothing_beyond_the_ends_is_touched(memory: Memory) -> None:
    """Source and destination end, or begin, where an inaccessible page begins, or ends."""
    for length in LENGTHS:
        memory[0 : memory.size] = NOISE
        memory.move(0, memory.size - length, length)
        assert memory[0:length] == NOISE[memory.size - length :]
        memory.move(memory.size - length, 0, length)
        memory.fill(0, 0x0102030405060708, length, length)
        memory.fill(memory.size - length, 0x0102030405060708, 0, length)


@pytest.mark.parametrize("length", [1, 5, 8, 9, 31, 33, 64, 65, 129, 200, 257, 300, 700, 4096])
def test_every_distance_of_an_overlap(memory: Memory, length: int) -> None:
    for distance in {*range(-70, 71), -257, 257, -300, 300, -4000, 4000, length, -length}:
        source = PAGE
        memory[0 : memory.size] = NOISE
        memory.move(source + distance, source, length)
        wanted = bytearray(NOISE)
        wanted[source + distance : source + distance + length] = NOISE[source : source + length]
        assert memory[0 : memory.size] == bytes(wanted), distance


@pytest.mark.parametrize("length", [8192, 8193, 8447, 9001, 12288, 16383, 16384, 16385, 20000])
def test_lengths_about_the_first_cache(memory: Memory, length: int) -> None:
    """Apart, a little apart, overlapping either way, and up to both ends of what may be touched."""
    wide = Memory(memory.ffi, memory.ops, pages=12)
    noise = random.Random(length).randbytes(wide.size)
    ways = ((0, wide.size - length), (wide.size - length, 0), (1, 24000), (24063, 65), (100, 133), (4000, 37))
    for to, source in ways:
        wide[0 : wide.size] = noise
        wide.move(to, source, length)
        wanted = bytearray(noise)
        wanted[to : to + length] = noise[source : source + length]
        assert wide[0 : wide.size] == bytes(wanted), (to, source)


@INSIDE
@given(to=st.integers(0, 2 * PAGE), source=st.integers(0, 2 * PAGE), length=st.integers(0, PAGE))
def test_move_is_a_move(memory: Memory, to: int, source: int, length: int) -> None:
    memory[0 : memory.size] = NOISE
    memory.move(to, source, length)
    wanted = bytearray(NOISE)
    wanted[to : to + length] = NOISE[source : source + length]
    assert memory[0 : memory.size] == bytes(wanted)


@pytest.mark.parametrize("phase", range(10))
def test_a_fill_of_every_length(memory: Memory, phase: int) -> None:
    pattern = 0xF7E6D5C4B3A29180
    endless = pattern.to_bytes(8, "little") * (PAGE // 8 + 3)
    for length in LENGTHS:
        at = MARGIN + (length * 5 + phase) % 64
        memory[0 : 2 * PAGE] = REST[: 2 * PAGE]
        memory.fill(at, pattern, phase, length)
        start = phase % 8
        assert memory[0 : at + length + MARGIN] == REST[:at] + endless[start : start + length] + REST[:MARGIN]


def test_the_best_path_is_one_that_is_there(core: tuple[FFI, Any]) -> None:
    ffi, lib = core
    there = [path for path in range(PATHS) if lib.move_ops_path(path) != ffi.NULL]
    assert there[0] == PORTABLE
    assert lib.move_ops_best().path == there[-1]
    assert lib.move_ops_path(PATHS) == ffi.NULL
