"""Pointers into memory of Python that the caller keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic._core import ffi

if TYPE_CHECKING:
    from vnic._core import CData


def pointer_to(memory: memoryview, *, is_written: bool = False) -> CData:
    """Where C finds the bytes; `memory` is to be kept for as long as C knows the place.

    What ffi.from_buffer() returns must not be kept beside a memoryview: it is an export, and the garbage
    collector of CPython 3.11 crashes when it clears a memoryview that has one.
    """
    where: CData = ffi.cast("uint8_t *", ffi.from_buffer("uint8_t[]", memory, require_writable=is_written))
    return where


def pointer_of(memory: memoryview) -> int:
    """The same, as a number."""
    return address_of_pointer(pointer_to(memory))


def address_of_pointer(pointer: CData) -> int:
    """Where a pointer points, as a number."""
    return int(ffi.cast("uintptr_t", pointer))


def move(to: int, source: int, length: int) -> None:
    """Copy bytes from place to place, as the processor does; both must be there."""
    ffi.memmove(ffi.cast("uint8_t *", to), ffi.cast("uint8_t *", source), length)
