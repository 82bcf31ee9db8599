"""`vnic get` as a person calls it: a real server behind a TAP."""

from __future__ import annotations

import hashlib
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vnic.cli import main

if TYPE_CHECKING:
    from tests.commands.conftest import Wall

BIG = random.Random(2).randbytes(3 << 20)
GET = ("get", "--tap", "tap0")


@pytest.fixture
def web(wall: Wall, tmp_path: Path) -> Iterator[Path]:
    """Python's own server on port 8000 of the kernel's addresses; the directory that it serves."""
    root = tmp_path / "web"
    (root / "sub").mkdir(parents=True)
    (root / "big").write_bytes(BIG)
    with wall.namespace.entered():
        server = WebServer(("::", 8000), partial(QuietHandler, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield root
    server.shutdown()
    thread.join()
    server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    """Prints nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class WebServer(ThreadingHTTPServer):
    """For both IP versions."""

    address_family = socket.AF_INET6


@contextmanager
def answering(wall: Wall, answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server of the kernel that does one thing to each connection; its port."""
    with wall.namespace.entered():
        listener = socket.create_server(("10.0.0.2", 0))
    listener.settimeout(20)

    def serve() -> None:
        for _ in range(8):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                connection.recv(4096)
                answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("host", ["10.0.0.2", "[fd00::2]"])
def test_a_large_file(wall: Wall, web: Path, tmp_path: Path, host: str) -> None:
    out = tmp_path / "out"
    addresses = ("--address", "10.0.0.1/24", "--address", "fd00::1/64")
    status, _, err = wall.call(*GET, *addresses, f"http://{host}:8000/big", "-o", str(out))
    assert status == 0, err
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(BIG).digest()
    assert "3.1 MB in " in err and "retransmitted, RTT" in err and "checksums verified" in err
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("out")] == ["out"]


def test_standard_output_names_and_quiet(wall: Wall, web: Path) -> None:
    (web / "text").write_text("hello\n")
    status, out, err = wall.call(*GET, "--quiet", "--resolve", "web:10.0.0.2", "http://web:8000/text")
    assert (status, out, err) == (0, "hello\n", "")


def test_redirections_stay_on_the_host(wall: Wall, web: Path) -> None:
    status, out, _ = wall.call(*GET, "http://10.0.0.2:8000/sub")
    assert status == 0 and "Directory listing" in out
    elsewhere = b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"
    with answering(wall, lambda connection: connection.sendall(elsewhere)) as port:
        status, out, err = wall.call(*GET, f"http://10.0.0.2:{port}/")
    assert status == 1 and "another host" in err and out == ""
    again = b"HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
    with answering(wall, lambda connection: connection.sendall(again)) as port:
        status, _, err = wall.call(*GET, f"http://10.0.0.2:{port}/")
    assert status == 1 and "5 redirections" in err


def test_errors_of_the_server(wall: Wall, web: Path, tmp_path: Path) -> None:
    status, _, err = wall.call(*GET, "http://10.0.0.2:8000/none", "-o", str(tmp_path / "page"))
    assert status == 1 and err.endswith("/none: 404 File not found\n") and err.count("\n") == 1
    assert not [each for each in tmp_path.iterdir() if each.name.startswith("page")]
    with answering(wall, lambda connection: connection.sendall(b"SSH-2.0-x\r\n\r\n")) as port:
        status, _, err = wall.call(*GET, f"http://10.0.0.2:{port}/")
    assert status == 1 and "no HTTP" in err


def test_half_an_answer_leaves_no_file(wall: Wall, tmp_path: Path) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    with answering(wall, lambda connection: connection.sendall(half)) as port:
        status, _, err = wall.call(*GET, f"http://10.0.0.2:{port}/", "-o", str(tmp_path / "out"))
    assert status == 1 and "after 4 of 100 bytes" in err
    assert not [each for each in tmp_path.iterdir() if each.name.startswith("out")]


def test_refused(wall: Wall) -> None:
    status, _, err = wall.call(*GET, "http://10.0.0.2:81/")
    assert (status, err) == (3, "vnic: 10.0.0.2:81: connection refused\n")


def test_nobody_there(wall: Wall) -> None:
    status, _, err = wall.call(*GET, "http://10.0.0.77/")
    assert status == 3 and err.startswith("vnic: 10.0.0.77:80: unreachable") and err.count("\n") == 1
    status, _, err = wall.call(*GET, "http://192.0.2.1/")
    assert status == 3 and "unreachable" in err and "--gateway" in err


def test_timed_out(wall: Wall) -> None:
    wall.namespace.run("ip", "addr", "add", "10.0.0.50/24", "dev", "tap0")
    with wall.namespace.entered():
        silent = socket.create_server(("10.0.0.50", 80), backlog=1)
    with silent:
        status, _, err = wall.call(*GET, "--timeout", "0.7", "http://10.0.0.50/")
    assert status == 3 and err == "vnic: 10.0.0.50:80: timed out: nothing more came within 0.7 s\n"


def test_a_gateway(wall: Wall) -> None:
    wall.namespace.sysctl("net.ipv4.ip_forward", "1")
    wall.namespace.run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
    with wall.namespace.entered():
        listener = socket.create_server(("192.0.2.1", 80))
    listener.settimeout(20)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nfrom afar")

    thread = threading.Thread(target=serve)
    thread.start()
    status, out, err = wall.call(*GET, "--gateway", "10.0.0.2", "http://192.0.2.1/")
    thread.join()
    listener.close()
    assert (status, out) == (0, "from afar"), err


def test_interrupted(wall: Wall, tmp_path: Path) -> None:
    connected = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1")
        connected.set()
        with suppress(ConnectionResetError):
            connection.recv(1)

    with answering(wall, trickle) as port:
        process = wall.vnic(*GET, f"http://10.0.0.2:{port}/", "-o", str(tmp_path / "out"))
        part = tmp_path / "out.part"
        end = time.monotonic() + 20
        while not (part.exists() and connected.is_set()) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGINT and err == "vnic: interrupted\n"
    assert not part.exists()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("https://10.0.0.2/", "only http://"),
        ("10.0.0.2/x", "only http://"),
        ("http:///x", "only http://"),
        ("http://name/", "--resolve name:ADDRESS"),
        ("http://10.0.0.2:99999/", "out of range"),
        ("http://10.0.0.2/a b", "percent-encoded"),
        ("http://10.0.0.2/\r\nX: y", "percent-encoded"),
    ],
)
def test_urls_that_are_not_fetched(capsys: pytest.CaptureFixture[str], url: str, complaint: str) -> None:
    assert main(["get", url, "--tap", "notap7"]) == 2
    assert complaint in capsys.readouterr().err.replace("Port out of range", "out of range")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--timeout", "0"), "not a number of seconds"),
        (("--timeout", "nan"), "not a number of seconds"),
        (("--resolve", "name"), "does not appear to be"),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["get", "http://10.0.0.2/", "--tap", "x", *arguments])
    assert stop.value.code == 2 and complaint in capsys.readouterr().err
