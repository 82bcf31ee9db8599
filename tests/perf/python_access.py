"""What it costs to reach a register or guest memory from Python: the card and its in-process peers."""

from __future__ import annotations

import contextlib
import ctypes
import io
from collections.abc import Callable
from itertools import repeat
from time import thread_time_ns
from typing import Any

from .harness import Figures, MissingError, RoundError
from .workshop import HERE, Workshop, has_python_headers

PEERS = HERE / "peers"
CALLS_A_ROUND = 200_000
OFFSET = 0x40


def one_argument_ns(call: Callable[[Any], object], argument: object, count: int) -> float:
    """CPU time of one call in a plain loop, the loop included, which every contender pays alike."""
    start = thread_time_ns()
    for _ in repeat(None, count):
        call(argument)
    return (thread_time_ns() - start) / count


def two_arguments_ns(call: Callable[[Any, Any], object], first: object, second: object, count: int) -> float:
    """As one_argument_ns, for a call with two arguments."""
    start = thread_time_ns()
    for _ in repeat(None, count):
        call(first, second)
    return (thread_time_ns() - start) / count


def _check(read: Callable[[int], object]) -> None:
    """Raise RoundError unless the register is read: the peers' register file holds its word numbers."""
    if read(OFFSET) != OFFSET // 4:
        raise RoundError("does not read the register")


class CtypesContender:
    """A shared library called through ctypes, its argument types declared."""

    name = "ctypes"

    def __init__(self) -> None:
        self._read: Callable[[object, int], object] | None = None
        self._registers: object = None

    def start(self, shop: Workshop) -> None:
        """Compile the library and load it."""
        if not shop.can_compile():
            raise MissingError("no C compiler")
        library = ctypes.CDLL(str(shop.shared("register_shared", [PEERS / "register_shared.c"])))
        library.shared_create.restype = ctypes.c_void_p
        library.shared_read32.argtypes = (ctypes.c_void_p, ctypes.c_uint64)
        library.shared_read32.restype = ctypes.c_uint32
        self._registers = ctypes.c_void_p(library.shared_create())
        self._read = library.shared_read32

    def round(self, effort: float) -> Figures:
        """Measure one register read."""
        read = self._read
        if read is None:
            raise RoundError("was not started")
        _check(lambda offset: read(self._registers, offset))
        return {"ctypes": two_arguments_ns(read, self._registers, OFFSET, int(CALLS_A_ROUND * effort))}

    def stop(self) -> None:
        """Nothing to release: the interpreter keeps the library."""


class CffiContender:
    """A stock cffi API-mode module, as its documentation shows it."""

    name = "cffi API mode"

    def __init__(self) -> None:
        self._read: Callable[[object, int], object] | None = None
        self._registers: object = None

    def start(self, shop: Workshop) -> None:
        """Let cffi write the module, compile and import it."""
        _require_module_build(shop)
        try:
            import cffi  # noqa: PLC0415
        except ImportError as error:
            raise MissingError("no cffi (PyPI: cffi)") from error
        ffi = cffi.FFI()
        ffi.cdef(
            "typedef struct registers registers; registers *registers_create(void);"
            "uint32_t registers_read32(const registers *r, uint64_t offset);"
        )
        header = PEERS / "register_read.h"
        ffi.set_source("register_cffi", f'#include "{header}"\ntypedef struct registers registers;')
        source = shop.folder / "register_cffi.c"
        with contextlib.redirect_stdout(io.StringIO()):  # it announces the file that it writes
            ffi.emit_c_code(str(source))
        library = shop.module("register_cffi", [source]).lib
        self._registers = library.registers_create()
        self._read = library.registers_read32

    def round(self, effort: float) -> Figures:
        """Measure one register read."""
        read = self._read
        if read is None:
            raise RoundError("was not started")
        _check(lambda offset: read(self._registers, offset))
        return {"cffi API mode": two_arguments_ns(read, self._registers, OFFSET, int(CALLS_A_ROUND * effort))}

    def stop(self) -> None:
        """Nothing to release: the interpreter keeps the module."""


class ExtensionContender:
    """A hand-written extension type with a one-argument method: the least that CPython allows."""

    name = "C extension"

    def __init__(self) -> None:
        self._read: Callable[[int], object] | None = None

    def start(self, shop: Workshop) -> None:
        """Compile the extension and import it."""
        _require_module_build(shop)
        module = shop.module("register_extension", [PEERS / "register_extension.c"])
        self._read = module.Registers().read32

    def round(self, effort: float) -> Figures:
        """Measure one register read."""
        if self._read is None:
            raise RoundError("was not started")
        _check(self._read)
        return {"C extension": one_argument_ns(self._read, OFFSET, int(CALLS_A_ROUND * effort))}

    def stop(self) -> None:
        """Nothing to release: the interpreter keeps the module."""


def _require_module_build(shop: Workshop) -> None:
    if not shop.can_compile():
        raise MissingError("no C compiler")
    if not has_python_headers():
        raise MissingError("no Python.h (Debian: python3-dev)")
