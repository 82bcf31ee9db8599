"""File server and fetcher over two stacks on a wire, in virtual time: answers, pipelines, patience."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from vnic.commands.http.client import Fetch, Head, request_of
from vnic.commands.http.fields import MalformedError
from vnic.commands.http.files import Files
from vnic.commands.http.server import IDLE_NS, REQUEST_NS, STALL_NS, Exchange, Server
from vnic.link.impairments import Impairments
from vnic.stack.address import Endpoint
from vnic.stack.errors import RefusedError, ResetError
from vnic.stack.stream import Stream
from vnic.testbench.network import Network

BIG = random.Random(1).randbytes(1_300_000)
S = 1_000_000_000


@dataclass
class Site:
    """A server, a client host, and the wire between."""

    network: Network
    root: Path
    server: Server
    exchanges: list[Exchange] = field(default_factory=list)

    def dial(self, host: str = "10.0.0.1") -> Stream:
        """A plain connection to the server."""
        return self.network.stations[1].streams.connect((host, 80))

    def ask(self, *lines: str, host: str = "10.0.0.1") -> bytes:
        """All that the server answers to a request, or several."""
        with self.dial(host) as stream:
            stream.write_all("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n")
            return stream.read_all()

    def fetch(self, url: str, method: str = "GET") -> tuple[Fetch, bytes]:
        """A fetch to its end."""
        parts = urlsplit(url)
        socket = self.network.stations[1].stack.connect((parts.hostname or "", parts.port or 80))
        got = bytearray()
        fetch = Fetch(socket, request_of(parts, method), write=got.extend, method=method)
        assert self.network.run_until(lambda: fetch.is_done, 600 * S)
        socket.abort()
        return fetch, bytes(got)

    def pass_time(self, ns: int) -> None:
        """Let the server look at its clock now and then."""
        for _ in range(ns // S + 1):
            self.network.run_for(S)
            self.server.look_at_clock()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with a small file, a large one and an empty one."""
    (tmp_path / "small").write_bytes(b"0123456789")
    (tmp_path / "big").write_bytes(BIG)
    (tmp_path / "empty").write_bytes(b"")
    with Network() as network:
        host = network.station("10.0.0.1/24", "fd00::1/64")
        client = network.station("10.0.0.2/24", "fd00::2/64")
        network.join(host, client, forth=Impairments(delay_ns=100_000, bandwidth_bps=1_000_000_000))
        any_address = [Endpoint(IPv4Address(0), 80), Endpoint(IPv6Address(0), 80)]
        exchanges: list[Exchange] = []
        server = Server(
            host.stack, Files(tmp_path), any_address,
            now_ns=lambda: network.clock.now_ns, on_exchange=exchanges.append,
        )  # fmt: skip
        yield Site(network, tmp_path, server, exchanges)
        server.close()


@pytest.mark.parametrize("host", ["10.0.0.1", "[fd00::1]"])
def test_a_large_file_arrives_whole(site: Site, host: str) -> None:
    fetch, got = site.fetch(f"http://{host}/big")
    assert fetch.error is None and hashlib.sha256(got).digest() == hashlib.sha256(BIG).digest()
    site.network.run_for(S)
    assert [(each.bytes, each.is_whole, each.status) for each in site.exchanges] == [(len(BIG), True, 200)]
    assert not site.server.connections


def test_an_empty_file_and_one_that_is_not_there(site: Site) -> None:
    fetch, got = site.fetch("http://10.0.0.1/empty")
    assert fetch.error is None and fetch.head is not None and (fetch.head.status, got) == (200, b"")
    fetch, _ = site.fetch("http://10.0.0.1/none")
    assert fetch.error is None and fetch.head is not None and fetch.head.status == 404


def test_head(site: Site) -> None:
    fetch, got = site.fetch("http://10.0.0.1/big", "HEAD")
    assert fetch.head is not None and fetch.head.fields.get("content-length") == str(len(BIG)) and not got


def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    with site.dial() as stream:
        wanted = ["small", "none", "big", "empty", "small"]
        for number, name in enumerate(wanted):
            last = "Connection: close\r\n" if number == len(wanted) - 1 else ""
            stream.write_all(f"GET /{name} HTTP/1.1\r\nHost: a\r\n{last}\r\n".encode())
        answers = []
        for _ in wanted:
            head = stream.read_until(b"\r\n\r\n").decode()
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            answers.append((head.split(" ")[1], stream.read_exactly(length)))
        assert [status for status, _ in answers] == ["200", "404", "200", "200", "200"]
        assert [answers[place][1] for place in (0, 2, 3, 4)] == [b"0123456789", BIG, b"", b"0123456789"]
        assert stream.read() == b""


def test_a_body_is_passed_over(site: Site) -> None:
    with site.dial() as stream:
        stream.write_all(
            b"GET /small HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n" + b"GET / " * 3 + b"xx"
        )
        stream.write_all(b"GET /empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = stream.read_all()
    assert answer.count(b"HTTP/1.1 200 OK") == 2 and answer.count(b"HTTP/1.1 ") == 2


def test_after_an_error_that_hides_the_next_request_the_connection_ends(site: Site) -> None:
    answer = site.ask("GET / HTTP/1.1", "Host: a", "Bad Field: x", "", "GET / HTTP/1.1", "Host: a")
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in answer


def test_a_method_that_is_not_allowed_leaves_the_connection(site: Site) -> None:
    answer = site.ask("DELETE /small HTTP/1.1", "Host: a", "", "GET /small HTTP/1.0")
    assert answer.startswith(b"HTTP/1.1 405 ") and b"Allow: GET, HEAD\r\n" in answer
    assert answer.endswith(b"0123456789")


def test_half_a_request_is_408_in_the_end_however_slowly_it_grows(site: Site) -> None:
    with site.dial() as stream:
        for byte in b"GET / HTTP/1.1\r\n":
            if stream.socket.is_over or site.exchanges:
                break
            stream.write_all(bytes([byte]))
            site.pass_time(S)
        assert site.network.clock.now_ns < REQUEST_NS + 5 * S
        assert stream.read_all().startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_asks_nothing_is_closed(site: Site) -> None:
    with site.dial() as stream:
        site.pass_time(IDLE_NS + 2 * S)
        assert stream.read_all() == b""
    site.pass_time(3 * S)
    assert not site.server.connections


def test_a_client_that_takes_nothing_is_dropped(site: Site) -> None:
    with site.dial() as stream:
        stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        site.pass_time(STALL_NS + 3 * S)
        assert not site.server.connections and not site.exchanges[0].is_whole
        with pytest.raises(ResetError):
            stream.read_all()
            stream.wait_closed()


def test_a_client_that_goes_away_costs_nothing(site: Site) -> None:
    stream = site.dial()
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    stream.read_exactly(1000)
    stream.abort()
    site.network.run_for(S)
    assert not site.server.connections and [each.is_whole for each in site.exchanges] == [False]


def test_a_file_that_shrinks_ends_the_connection_not_the_server(site: Site) -> None:
    with site.dial() as stream:
        stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        stream.read_until(b"\r\n\r\n")
        (site.root / "big").write_bytes(b"short")
        with pytest.raises(ResetError):
            stream.read_exactly(len(BIG))
    assert site.ask("GET /small HTTP/1.0").endswith(b"0123456789")


def test_a_limit_ends_the_service(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    with Network() as network:
        host, client = network.station("10.0.0.1/24"), network.station("10.0.0.2/24")
        network.join(host, client)
        any_address = [Endpoint(IPv4Address(0), 80)]
        server = Server(
            host.stack, Files(tmp_path), any_address, now_ns=lambda: network.clock.now_ns, limit=2
        )
        first, second, idle = (client.streams.connect(("10.0.0.1", 80)) for _ in range(3))
        for stream in (first, second):
            stream.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
        assert first.read_until(b"\r\n\r\nx").count(b"Connection: close") == 0
        assert second.read_all().count(b"Connection: close") == 1
        first.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
        assert first.read_all() == b""
        for stream in (first, second):
            stream.close()
        assert not server.is_finished
        for _ in range(5):
            network.run_for(S)
            server.look_at_clock()
        assert idle.read_all() == b"" and server.is_finished and server.begun == 2


def test_many_connections_at_once(site: Site) -> None:
    streams = [site.dial() for _ in range(8)]
    for stream in streams:
        stream.write_all(b"GET /big HTTP/1.0\r\n\r\n")
    for stream in streams:
        assert stream.read_all().endswith(BIG[-1000:])
        stream.close()
    site.network.run_for(S)
    assert len(site.exchanges) == 8


# -- the fetcher and servers of other kinds ------------------------------------------------------------------


def fetch_from(answer: bytes, *, is_reset: bool = False, method: str = "GET") -> tuple[Fetch, bytes]:
    """What the fetcher makes of an answer, which comes in pieces."""
    with Network() as network:
        host, client = network.station("10.0.0.1/24"), network.station("10.0.0.2/24")
        network.join(host, client)
        listener = host.stack.listen(("0.0.0.0", 80))
        got = bytearray()
        socket = client.stack.connect(("10.0.0.1", 80))
        request = request_of(urlsplit("http://10.0.0.1/x"), method)
        fetch = Fetch(socket, request, write=got.extend, method=method)
        stream = host.streams.accept(listener)
        asked = stream.read_until(b"\r\n\r\n")
        assert asked.startswith(f"{method} /x HTTP/1.1\r\nHost: 10.0.0.1\r\n".encode())
        for start in range(0, len(answer), 7):
            stream.write_all(answer[start : start + 7])
            network.run_for(1_000_000)
        (stream.abort if is_reset else stream.finish)()
        assert network.run_until(lambda: fetch.is_done, 60 * S)
        return fetch, bytes(got)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", b"hello"),
        (b"HTTP/1.1 200\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", b"x"),
        (CHUNKED + b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nTrailer: t\r\n\r\n", b"hello!"),
        (CHUNKED + b"00A\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
    ],
)
def test_answers_of_every_framing(answer: bytes, body: bytes) -> None:
    fetch, got = fetch_from(answer)
    assert fetch.error is None and got == body


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        CHUNKED + b"5\r\nhel", CHUNKED + b"5\r\nhello\r\n", CHUNKED, CHUNKED + b"0\r\n",
    ],
)  # fmt: skip
def test_an_answer_cut_short_is_an_error(answer: bytes) -> None:
    fetch, _ = fetch_from(answer)
    assert fetch.error is not None and not isinstance(fetch.error, MalformedError)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n", CHUNKED + b"x\r\n", CHUNKED + b"1\r\nab\r\n",
        CHUNKED + b"-1\r\n", CHUNKED + b"f" * 20 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 40, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000,
    ],
)  # fmt: skip
def test_what_is_no_answer(answer: bytes) -> None:
    fetch, _ = fetch_from(answer)
    assert isinstance(fetch.error, MalformedError)


def test_a_reset_in_the_middle() -> None:
    fetch, _ = fetch_from(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", is_reset=True)
    assert isinstance(fetch.error, ResetError)


def test_the_head_decides_whether_the_body_is_wanted(site: Site) -> None:
    heads: list[Head] = []

    def refuse(head: Head) -> bool:
        heads.append(head)
        return False

    socket = site.network.stations[1].stack.connect(("10.0.0.1", 80))
    fetch = Fetch(
        socket,
        request_of(urlsplit("http://10.0.0.1/big")),
        write=lambda data: pytest.fail("body"),
        on_head=refuse,
    )
    assert site.network.run_until(lambda: fetch.is_done, S)
    assert heads[0].status == 200 and fetch.error is None
    socket.abort()


def test_nobody_listens() -> None:
    with Network() as network:
        host, client = network.station("10.0.0.1/24"), network.station("10.0.0.2/24")
        network.join(host, client)
        fetch = Fetch(client.stack.connect(("10.0.0.1", 81)), b"", write=len)
        assert network.run_until(lambda: fetch.is_done, S)
        assert isinstance(fetch.error, RefusedError)
