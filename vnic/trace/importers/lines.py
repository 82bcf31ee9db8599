"""Lines of a text that somebody else wrote: numbered, uncompressed, bounded, with errors that name them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vnic.trace.header import TraceError
from vnic.wire.capture_source import CaptureError, CountedStream, uncompressed

_LINE_MAX: Final = 1 << 20
_CHUNK: Final = 1 << 16
_VALUE_MAX: Final = 1 << 64
_NUMBER: Final = re.compile(r"0[xX]([0-9a-fA-F]{1,64})|(0[0-7]{0,63})|([1-9][0-9]{0,63})")
_SECONDS: Final = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?")


def lines_of(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of each line; TraceError for a line of more than 1 MiB, or damaged data."""
    number, rest = 0, b""
    with Path(path).open("rb") as file:
        try:
            source, _ = uncompressed(CountedStream(file))
            while chunk := source.read(_CHUNK):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    number += 1
                    yield number, line.decode("utf-8", "replace").rstrip("\r")
                if len(rest) > _LINE_MAX:
                    raise TraceError(f"line {number + 1} is longer than {_LINE_MAX} bytes")
        except CaptureError as error:
            raise TraceError(f"after line {number}: {error}") from error
    if rest:
        yield number + 1, rest.decode("utf-8", "replace").rstrip("\r")


def value_of(text: str, number: int) -> int:
    """A number in C's notation (0 before octal), below 2^64; TraceError with the line."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise TraceError(f"line {number}: {text[:60]!r} is not a number")
    value = int(match[1], 16) if match[1] else int(match[2], 8) if match[2] else int(match[3])
    if value >= _VALUE_MAX:
        raise TraceError(f"line {number}: {text} does not fit in 64 bits")
    return value


def hex_of(text: str, number: int) -> int:
    """A hexadecimal number without 0x."""
    return value_of(f"0x{text}", number)


def width_of(text: str, number: int) -> int:
    """Bytes of an access, 1, 2, 4 or 8; TraceError."""
    if text not in ("1", "2", "4", "8"):
        raise TraceError(f"line {number}: an access of {text[:20]} bytes")
    return int(text)


def time_of(text: str, number: int) -> int:
    """Nanoseconds of a number of seconds with a point, exactly; TraceError."""
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise TraceError(f"line {number}: {text[:60]!r} is not a time")
    return int(match[1]) * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))
