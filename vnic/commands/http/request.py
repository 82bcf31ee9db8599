"""A request as a server sees it: read from a connection's bytes, with the status of all that is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from vnic.commands.http.fields import (
    Fields,
    MalformedError,
    TooLargeError,
    content_length,
    is_token,
    take_head,
)

TARGET_BYTES_MAX = 8 * 1024
#: Of a request; whatever it is, it is thrown away.
BODY_BYTES_MAX = 64 * 1024

_METHODS = ("GET", "HEAD")
_KNOWN_METHODS = ("POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_ABSOLUTE = re.compile(r"[Hh][Tt][Tt][Pp]://([^/?#]*)(.*)")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class HttpError(Exception):
    """A request that is answered with an error; with `closes` nothing after it can be understood."""

    def __init__(
        self, status: HTTPStatus, text: str, *, closes: bool = False, fields: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(text)
        self.status = status
        self.closes = closes
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Request:
    """A request without its body; `path` is decoded and starts with a slash."""

    method: str
    target: str
    path: bytes
    version: tuple[int, int]
    fields: Fields
    body_bytes: int

    @property
    def is_head(self) -> bool:
        """Whether the answer goes without its content."""
        return self.method == "HEAD"

    @property
    def keeps_alive(self) -> bool:
        """Whether the client lets the connection stay (RFC 9112 9.3)."""
        options = self.fields.tokens("connection")
        if "close" in options:
            return False
        return self.version >= (1, 1) or "keep-alive" in options


def take_request(buffer: bytearray) -> Request | None:
    """Take a request off the front of a buffer; None while it is not whole. Raises HttpError."""
    try:
        head = take_head(buffer, TARGET_BYTES_MAX + 64)
        return None if head is None else _parse(*head)
    except TooLargeError as error:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        if error.is_first_line:
            status = HTTPStatus.REQUEST_URI_TOO_LONG
        raise HttpError(status, str(error), closes=True) from None
    except MalformedError as error:
        raise _bad(str(error)) from None


def _bad(text: str) -> HttpError:
    return HttpError(HTTPStatus.BAD_REQUEST, text, closes=True)


def _parse(line: bytes, fields: Fields) -> Request:
    method, target, version = _request_line(line)
    _check_host(version, fields)
    body_bytes = _body_bytes(version, fields)
    path = _path_of(target)
    if method not in _METHODS:
        raise _method_error(method, closes=body_bytes > 0)
    if fields.tokens("expect"):
        # What is expected is not met: the body does not interest, so the final answer comes at once.
        raise HttpError(HTTPStatus.EXPECTATION_FAILED, "no expectation is met here", closes=True)
    return Request(method, target, path, version, fields, body_bytes)


def _request_line(line: bytes) -> tuple[str, str, tuple[int, int]]:
    parts = line.split(b" ")
    if len(parts) != 3 or not is_token(parts[0]) or not parts[1]:
        raise _bad("a malformed request line")
    method, target, protocol = parts
    if len(target) > TARGET_BYTES_MAX:
        raise HttpError(HTTPStatus.REQUEST_URI_TOO_LONG, "request target too long", closes=True)
    known = _VERSION.fullmatch(protocol)
    if known is None:
        raise _bad("a malformed HTTP version")
    version = int(known[1]), int(known[2])
    if version[0] != 1:
        raise HttpError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.x is spoken here", closes=True)
    if any(octet <= 0x20 or octet >= 0x7F for octet in target):
        raise _bad("a request target with other than printable ASCII")
    return method.decode("ascii"), target.decode("ascii"), version


def _check_host(version: tuple[int, int], fields: Fields) -> None:
    """RFC 9112 3.2: one valid Host field, which HTTP/1.0 may lack."""
    hosts = fields.all("host")
    if (version >= (1, 1) and not hosts) or len(hosts) > 1:
        raise _bad(f"{len(hosts)} Host fields")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise _bad("a malformed Host")


def _body_bytes(version: tuple[int, int], fields: Fields) -> int:
    """The length of the body that follows; one of unknown length is refused (RFC 9112 6)."""
    length = content_length(fields)
    codings = fields.tokens("transfer-encoding")
    if codings:
        if length is not None or version < (1, 1):
            raise _bad("Transfer-Encoding where it must not be")
        if codings != ["chunked"]:
            raise HttpError(HTTPStatus.NOT_IMPLEMENTED, "that transfer coding is not known", closes=True)
        raise HttpError(HTTPStatus.LENGTH_REQUIRED, "a body needs Content-Length", closes=True)
    if (length or 0) > BODY_BYTES_MAX:
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large", closes=True)
    return length or 0


def _method_error(method: str, *, closes: bool) -> HttpError:
    if method in _KNOWN_METHODS:
        allow = (("Allow", ", ".join(_METHODS)),)
        return HttpError(
            HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not allowed", closes=closes, fields=allow
        )
    return HttpError(HTTPStatus.NOT_IMPLEMENTED, "that method is not known", closes=closes)


def _path_of(target: str) -> bytes:
    """The path of a target in origin or absolute form, decoded once."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        if not _HOST.fullmatch(absolute[1]) or not absolute[1]:
            raise _bad("a malformed authority")
        target = absolute[2] if absolute[2].startswith("/") else f"/{absolute[2]}"
    if target == "*":
        return b"*"
    if not target.startswith("/") or "#" in target:
        raise _bad("a malformed request target")
    path = target.partition("?")[0]
    if _ESCAPE.search(path):
        raise _bad("a malformed percent escape")
    return unquote_to_bytes(path)
