"""The head of an HTTP message: its first line and its header fields, read strictly (RFC 9112 2 to 5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

HEAD_BYTES_MAX = 32 * 1024
FIELDS_MAX = 100

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_END = b"\r\n\r\n"


class MalformedError(ValueError):
    """Not HTTP/1.x."""


class TooLargeError(MalformedError):
    """A first line or header section longer than is taken; `is_first_line` says which."""

    def __init__(self, is_first_line: bool) -> None:
        super().__init__("first line too long" if is_first_line else "header fields too large")
        self.is_first_line = is_first_line


class Fields:
    """Header fields in their order; names compare without regard to case."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [(name.lower(), value) for name, value in fields]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for known, value in self._fields if known == name.lower()]

    def get(self, name: str) -> str | None:
        """The value, several with commas between (RFC 9110 5.3); None without one."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def tokens(self, name: str) -> list[str]:
        """The members of a list field, in lower case."""
        return [part.strip().lower() for part in (self.get(name) or "").split(",") if part.strip()]


def content_length(fields: Fields) -> int | None:
    """The value of Content-Length; None without one. MalformedError for anything but one number."""
    values = {part.strip() for value in fields.all("content-length") for part in value.split(",")}
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,18}", value := values.pop()):
        raise MalformedError("Content-Length is not one number")
    return int(value)


def take_head(buffer: bytearray, line_max: int) -> tuple[bytes, Fields] | None:
    """Take first line and fields off the front of a buffer; None while they are not whole.

    MalformedError; TooLargeError as soon as it is seen.
    """
    while buffer[:2] == b"\r\n":  # RFC 9112 2.2: a robust server ignores empty lines before the first one
        del buffer[:2]
    end = buffer.find(_END)
    _check_size(buffer, end, line_max)
    head = bytes(buffer[: end if end >= 0 else len(buffer)])
    if b"\n" in head.replace(b"\r\n", b""):
        raise MalformedError("a line that does not end in CR LF")
    if end < 0:
        return None
    del buffer[: end + len(_END)]
    first, *lines = head.split(b"\r\n")
    if len(lines) > FIELDS_MAX:
        raise TooLargeError(False)
    return first, Fields(_field(line) for line in lines)


def _check_size(buffer: bytearray, end: int, line_max: int) -> None:
    line_end = buffer.find(b"\r\n")
    if (line_end if line_end >= 0 else len(buffer)) > line_max:
        raise TooLargeError(True)
    if (end if end >= 0 else len(buffer)) > HEAD_BYTES_MAX:
        raise TooLargeError(False)


def _field(line: bytes) -> tuple[str, str]:
    """One line; folded lines, and space before the colon, are refused (RFC 9112 5.1, 5.2)."""
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
        raise MalformedError("a malformed header field")
    return name.decode("ascii"), value.decode("latin-1")


def is_token(text: bytes) -> bool:
    """Whether these are the characters of a method or field name."""
    return bool(_TOKEN.fullmatch(text))
