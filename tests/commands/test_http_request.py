"""Requests as the file server reads them: what is right, and the status of everything that is wrong."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnic.commands.http.fields import FIELDS_MAX, HEAD_BYTES_MAX
from vnic.commands.http.request import BODY_BYTES_MAX, TARGET_BYTES_MAX, HttpError, Request, take_request

HOST = b"Host: a\r\n"


def parse(head: bytes) -> Request:
    """A request that is whole."""
    buffer = bytearray(head)
    request = take_request(buffer)
    assert request is not None and not buffer
    return request


def status_of(head: bytes) -> tuple[int, bool]:
    """The status that a head gets, and whether the connection ends with it."""
    with pytest.raises(HttpError) as caught:
        take_request(bytearray(head))
    return caught.value.status.value, caught.value.closes


def test_a_request_is_taken_and_what_follows_stays() -> None:
    buffer = bytearray(b"GET /a%20b?x=%zz HTTP/1.1\r\nhOST: example:80\r\nX:  y \r\n\r\nGET /next")
    request = take_request(buffer)
    assert request is not None
    assert (request.method, request.path, request.version) == ("GET", b"/a b", (1, 1))
    assert request.fields.get("x") == "y" and request.fields.get("Host") == "example:80"
    assert buffer == b"GET /next"


def test_empty_lines_before_a_request_are_passed_over() -> None:
    assert parse(b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n").path == b"/"


@given(cut=st.integers(0, 60))
def test_a_request_may_come_in_pieces(cut: int) -> None:
    whole = b"GET /index.html HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    buffer = bytearray(whole[:cut])
    assert cut >= len(whole) or take_request(buffer) is None
    buffer += whole[cut:]
    request = take_request(buffer)
    assert request is not None and not request.keeps_alive


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: Close\r\n", False),
        (b"1.1", b"Connection: x, close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
        (b"1.2", b"", True),
    ],
)
def test_persistence(version: bytes, connection: bytes, keeps: bool) -> None:
    assert parse(b"GET / HTTP/" + version + b"\r\n" + HOST + connection + b"\r\n").keeps_alive is keeps


def test_absolute_form() -> None:
    assert parse(b"GET http://10.0.0.1:8080/x?q HTTP/1.1\r\n" + HOST + b"\r\n").path == b"/x"
    assert parse(b"GET HTTP://a HTTP/1.1\r\n" + HOST + b"\r\n").path == b"/"


def test_http_1_0_needs_no_host() -> None:
    assert parse(b"GET / HTTP/1.0\r\n\r\n").version == (1, 0)


def test_a_body_is_counted() -> None:
    assert parse(b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n").body_bytes == 5
    assert parse(b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 5\r\n\r\n").body_bytes == 5


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
        b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / http/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.10\r\n" + HOST + b"\r\n",
        b"GET index HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /#x HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /%4 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\xe9 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET https://a/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://a b/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b" folded\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b": no name\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
    ],
)
def test_malformed_requests_are_400_and_the_end(head: bytes) -> None:
    assert status_of(head) == (400, True)


@pytest.mark.parametrize(
    ("head", "status", "closes"),
    [
        (b"POST / HTTP/1.1\r\n" + HOST + b"\r\n", 405, False),
        (b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n", 405, True),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 405, False),
        (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", 501, False),
        (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 501, False),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505, True),
        (b"PRI * HTTP/2.0\r\n\r\n", 505, True),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 411, True),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, True),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1), 413, True),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n\r\n", 417, True),
    ],
)
def test_what_is_not_done_here(head: bytes, status: int, closes: bool) -> None:
    assert status_of(head) == (status, closes)


def test_a_target_too_long_is_414_before_its_end_is_there() -> None:
    assert status_of(b"GET /" + b"a" * TARGET_BYTES_MAX + b" HTTP/1.1\r\n" + HOST + b"\r\n") == (414, True)
    assert status_of(b"GET /" + b"a" * (TARGET_BYTES_MAX + 100)) == (414, True)


def test_fields_too_large_are_431_before_their_end_is_there() -> None:
    start = b"GET / HTTP/1.1\r\n" + HOST
    assert status_of(start + b"X: " + b"a" * HEAD_BYTES_MAX) == (431, True)
    assert status_of(start + b"X: y\r\n" * FIELDS_MAX + b"\r\n") == (431, True)


@given(noise=st.binary(max_size=300))
def test_noise_is_refused_or_waited_for(noise: bytes) -> None:
    buffer = bytearray(noise)
    try:
        request = take_request(buffer)
    except HttpError as error:
        assert error.status in set(HTTPStatus) and error.status >= 400
        return
    assert request is None or request.path.startswith(b"/")
