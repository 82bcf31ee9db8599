"""Byte ranges of a representation (RFC 9110 14): one range is served, anything else gets the whole."""

from __future__ import annotations

import re

_SPEC = re.compile(r"([0-9]{1,18})?-([0-9]{1,18})?")


class UnsatisfiableError(ValueError):
    """No byte of the range is there."""


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """First byte and count of 'bytes=...' in `size` bytes; None: ignore the field. UnsatisfiableError."""
    unit, equals, specs = value.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    spec = _SPEC.fullmatch(specs.strip())
    if spec is None or not (spec[1] or spec[2]):
        return None
    if spec[1] is None:
        return _suffix(int(spec[2]), size)
    first = int(spec[1])
    last = int(spec[2]) if spec[2] else size - 1
    if spec[2] and last < first:
        return None
    if first >= size:
        raise UnsatisfiableError(f"byte {first} of {size}")
    return first, min(last, size - 1) - first + 1


def _suffix(count: int, size: int) -> tuple[int, int]:
    if not count or not size:
        raise UnsatisfiableError(f"the last {count} of {size} bytes")
    count = min(count, size)
    return size - count, count
