"""The declarations of vnic_driver.h as cffi knows them, and the memory that C structures live in."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from cffi import FFI

from vnic.headers import include_dir

__all__ = ["C", "abi", "address_of", "declared", "is_sanitized", "new", "pointer_to"]

#: Something of C: a pointer, a structure, a function.
C: TypeAlias = Any

_MARKED = re.compile(r"/\* cdef begin \*/\n(.*?)/\* cdef end \*/", re.DOTALL)
_ABI = re.compile(r"VNIC_DRIVER_ABI = (\d+)")
_SYSTEM = """
const struct vnic_miniport *vnic_driver_entry(uint32_t abi);
void *calloc(size_t count, size_t size);
void free(void *memory);
"""


@functools.cache
def _header() -> str:
    return (include_dir() / "vnic" / "vnic_driver.h").read_text(encoding="utf-8")


@functools.cache
def abi() -> int:
    """VNIC_DRIVER_ABI."""
    found = _ABI.search(_header())
    assert found is not None
    return int(found[1])


@functools.cache
def declared() -> C:
    """Made when first used: it costs a tenth of a second, and most have no C driver."""
    ffi = FFI()
    ffi.cdef("\n".join(_MARKED.findall(_header())))
    ffi.cdef(_SYSTEM)
    return ffi


@functools.cache
def _allocator() -> Callable[..., C]:
    """Memory of malloc's, in which a sanitizer sees who strays."""
    ffi = declared()
    system = ffi.dlopen(None)

    def allocate(size: int) -> C:
        return system.calloc(1, size)

    made: Callable[..., C] = ffi.new_allocator(allocate, system.free, should_clear_after_alloc=False)
    return made


def new(kind: str, init: object = None) -> C:
    """A structure or array of C, zeroed; it lives as long as what is returned."""
    return _allocator()(kind) if init is None else _allocator()(kind, init)


def address_of(pointer: C) -> int:
    """A pointer as a number."""
    return int(declared().cast("uintptr_t", pointer))


def pointer_to(view: memoryview) -> C:
    """A pointer to bytes that somebody else keeps: an export that lives on hinders the garbage collector."""
    ffi = declared()
    return ffi.cast("uint8_t *", ffi.from_buffer(view))


@functools.cache
def is_sanitized() -> bool:
    """Whether AddressSanitizer is loaded in this process."""
    probe = FFI()
    probe.cdef("int __asan_address_is_poisoned(void const volatile *addr);")
    return hasattr(probe.dlopen(None), "__asan_address_is_poisoned")
