"""Answers of the file server: lengths, ranges, conditions."""

from __future__ import annotations

import os
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.commands.http.files import Files
from vnic.commands.http.ranges import UnsatisfiableError, parse_range
from vnic.commands.http.request import take_request
from vnic.commands.http.response import Response, answer

BODY = bytes(range(100))
DATE = 1_700_000_000


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A directory with one file of 100 bytes."""
    (tmp_path / "f.bin").write_bytes(BODY)
    os.utime(tmp_path / "f.bin", (DATE, DATE))
    return Files(tmp_path)


def ask(files: Files, *fields: str, method: str = "GET", path: str = "/f.bin") -> Response:
    """The answer to a request with these fields."""
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""]
    request = take_request(bytearray("\r\n".join(lines).encode()))
    assert request is not None
    return answer(request, files, closes=False)


def body(response: Response) -> bytes:
    """What follows the head."""
    with response.content:
        return response.content.read(response.offset, response.count) if response.count else b""


def field(response: Response, name: str) -> str | None:
    """A field of the answer."""
    for line in response.head.decode("latin-1").split("\r\n")[1:]:
        known, _, value = line.partition(": ")
        if known.lower() == name.lower():
            return value
    return None


def test_the_whole(files: Files) -> None:
    response = ask(files)
    assert response.status is HTTPStatus.OK and body(response) == BODY
    assert field(response, "Content-Length") == "100" and field(response, "Accept-Ranges") == "bytes"
    assert field(response, "Last-Modified") == formatdate(DATE, usegmt=True)
    assert response.head.endswith(b"\r\n\r\n") and response.head.startswith(b"HTTP/1.1 200 OK\r\n")


def test_head_tells_the_length_and_sends_nothing(files: Files) -> None:
    response = ask(files, method="HEAD")
    assert field(response, "Content-Length") == "100" and body(response) == b""
    missing = ask(files, method="HEAD", path="/none")
    assert missing.status is HTTPStatus.NOT_FOUND and missing.count == 0
    assert int(field(missing, "Content-Length") or 0) > 0


@pytest.mark.parametrize(
    ("value", "first", "count"),
    [("bytes=0-0", 0, 1), ("bytes=90-", 90, 10), ("bytes=-10", 90, 10), ("bytes=10-999", 10, 90),
     ("Bytes=5-6", 5, 2), ("bytes=-999", 0, 100)],
)  # fmt: skip
def test_a_range(files: Files, value: str, first: int, count: int) -> None:
    response = ask(files, f"Range: {value}")
    assert response.status is HTTPStatus.PARTIAL_CONTENT
    assert body(response) == BODY[first : first + count]
    assert field(response, "Content-Range") == f"bytes {first}-{first + count - 1}/100"
    assert field(response, "Content-Length") == str(count)


@pytest.mark.parametrize("value", ["bytes=100-", "bytes=-0", "bytes=1000-2000"])
def test_a_range_that_is_not_there(files: Files, value: str) -> None:
    response = ask(files, f"Range: {value}")
    assert response.status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    assert field(response, "Content-Range") == "bytes */100"
    response.content.close()


@pytest.mark.parametrize(
    "value", ["bytes=5-4", "bytes=", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes", "bytes=--1"]
)
def test_a_range_that_is_none_is_ignored(files: Files, value: str) -> None:
    response = ask(files, f"Range: {value}")
    assert response.status is HTTPStatus.OK and body(response) == BODY


def test_if_range_and_conditions(files: Files) -> None:
    whole = ask(files)
    etag, date = field(whole, "ETag"), field(whole, "Last-Modified")
    whole.content.close()
    for same in (etag, date):
        assert body(ask(files, "Range: bytes=0-1", f"If-Range: {same}")) == BODY[:2]
    assert body(ask(files, "Range: bytes=0-1", 'If-Range: "other"')) == BODY
    for unchanged in (f"If-None-Match: {etag}", f"If-None-Match: W/{etag}", "If-None-Match: *",
                      f"If-Modified-Since: {date}"):  # fmt: skip
        response = ask(files, unchanged)
        assert response.status is HTTPStatus.NOT_MODIFIED and body(response) == b""
        assert field(response, "Content-Length") is None
    for changed in ('If-None-Match: "x"', f"If-Modified-Since: {formatdate(DATE - 1, usegmt=True)}",
                    "If-Modified-Since: yesterday"):  # fmt: skip
        assert body(ask(files, changed)) == BODY


@given(text=st.text(alphabet="bytes=-,0123456789 ", max_size=20), size=st.integers(0, 200))
def test_no_range_reaches_beyond_the_end(text: str, size: int) -> None:
    try:
        found = parse_range(text, size)
    except UnsatisfiableError:
        return
    if found is not None:
        first, count = found
        assert 0 <= first < size and 1 <= count <= size - first
