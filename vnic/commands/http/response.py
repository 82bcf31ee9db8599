"""The answer to a request: status, fields, and which bytes of which content follow."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus

from vnic import __version__
from vnic.commands.http.fields import Fields
from vnic.commands.http.files import Content, Files
from vnic.commands.http.ranges import UnsatisfiableError, parse_range
from vnic.commands.http.request import HttpError, Request

SERVER = f"vnic/{__version__}"


@dataclass(slots=True)
class Response:
    """A head as bytes, and `count` bytes of `content` from `offset`; close the content when done."""

    status: HTTPStatus
    head: bytes
    content: Content
    offset: int
    count: int
    closes: bool


def _head(status: HTTPStatus, fields: Sequence[tuple[str, str]], closes: bool) -> bytes:
    common = [("Date", formatdate(usegmt=True)), ("Server", SERVER)]
    end = [("Connection", "close")] if closes else []
    lines = [f"{name}: {value}\r\n" for name, value in (*common, *fields, *end)]
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{''.join(lines)}\r\n".encode("latin-1")


def answer(request: Request, files: Files, *, closes: bool) -> Response:
    """The answer to a request that was understood."""
    try:
        content = files.open(request.path)
    except HttpError as error:
        return refuse(error, closes=closes, is_head=request.is_head)
    try:
        return _answer_with(request, content, closes)
    except BaseException:
        content.close()
        raise


def _answer_with(request: Request, content: Content, closes: bool) -> Response:
    fields = [("Content-Type", content.kind)]
    if content.etag and content.last_modified:
        fields += [
            ("Last-Modified", content.last_modified), ("ETag", content.etag), ("Accept-Ranges", "bytes"),
        ]  # fmt: skip
        if _is_unchanged(request.fields, content):
            return Response(
                HTTPStatus.NOT_MODIFIED,
                _head(HTTPStatus.NOT_MODIFIED, fields[1:3], closes),
                content, 0, 0, closes,
            )  # fmt: skip
    status, offset, count = HTTPStatus.OK, 0, content.size
    try:
        part = _wanted_range(request, content)
    except UnsatisfiableError:
        content.close()
        size = (("Content-Range", f"bytes */{content.size}"),)
        error = HttpError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "no byte of it is there", fields=size)
        return refuse(error, closes=closes, is_head=request.is_head)
    if part is not None:
        status, (offset, count) = HTTPStatus.PARTIAL_CONTENT, part
        fields.append(("Content-Range", f"bytes {offset}-{offset + count - 1}/{content.size}"))
    fields.append(("Content-Length", str(count)))
    sent = 0 if request.is_head else count
    return Response(status, _head(status, fields, closes), content, offset, sent, closes)


def _wanted_range(request: Request, content: Content) -> tuple[int, int] | None:
    """RFC 9110 14.2: of GET only, and only when If-Range names this very content."""
    value = request.fields.get("range")
    if value is None or request.is_head or content.etag is None:
        return None
    condition = request.fields.get("if-range")
    if condition is not None and condition not in (content.etag, content.last_modified):
        return None
    return parse_range(value, content.size)


def _is_unchanged(fields: Fields, content: Content) -> bool:
    """RFC 9110 13.2.2: If-None-Match before If-Modified-Since."""
    wanted = fields.get("if-none-match")
    if wanted is not None:
        tags = [tag.strip().removeprefix("W/") for tag in wanted.split(",")]
        return "*" in tags or content.etag in tags
    since = fields.get("if-modified-since")
    if since is None or content.modified_ns is None:
        return False
    try:
        return content.modified_ns // 10**9 <= parsedate_to_datetime(since).timestamp()
    except (ValueError, OverflowError, TypeError):
        return False


def refuse(error: HttpError, *, closes: bool, is_head: bool = False) -> Response:
    """An answer that is only a status and a line of text."""
    status, ends = error.status, closes or error.closes
    line = html.escape(f"{status.value} {status.phrase}: {error}")
    data = f"<!DOCTYPE html>\n<title>{status.value}</title>\n<p>{line}</p>\n".encode()
    fields = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(data))), *error.fields]
    content = Content(len(data), "", data=data)
    return Response(status, _head(status, fields, ends), content, 0, 0 if is_head else len(data), ends)
