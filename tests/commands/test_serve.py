"""`vnic serve` as a person calls it: a real curl behind a TAP is its client."""

from __future__ import annotations

import hashlib
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vnic.cli import main
from vnic.wire.capture import open_capture

if TYPE_CHECKING:
    from tests.commands.conftest import Wall

BIG = 4 << 20
SECRET = b"what nobody may see"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory to serve."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "big").write_bytes(random.Random(1).randbytes(BIG))
    (root / "small").write_bytes(b"0123456789")
    (tmp_path / "secret").write_bytes(SECRET)
    return root


@pytest.fixture
def curl() -> str:
    """The client."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl: not installed")
    return "curl"


def run(wall: Wall, *command: str) -> subprocess.CompletedProcess[bytes]:
    """A command in the namespace, to its end."""
    with wall.namespace.entered():
        return subprocess.run(command, capture_output=True, timeout=40, check=False)


def await_acknowledged(wall: Wall, but: int) -> None:
    """Wait until the server has heard of every connection's end, but for that of one port.

    A FIN of the kernel's acknowledges all data before it; in FIN_WAIT_2 or TIME_WAIT the server has it.
    """
    open_states = ("established", "fin-wait-1", "close-wait", "last-ack", "closing")
    words = [word for state in open_states for word in ("state", state)]
    for _ in range(200):
        lines = wall.namespace.run("ss", "-Htn", *words).splitlines()
        if lines and all(f":{but} " in line for line in lines):
            return
        time.sleep(0.05)
    raise AssertionError(f"connections that do not end: {lines}")


def complaints(err: str) -> list[str]:
    """What was printed on standard error but for the progress of a slow machine."""
    return [line for line in err.splitlines() if not line.startswith("answering: ")]


def digest(data: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(data).hexdigest()


def test_curl_fetches_large_files_over_both_versions(
    wall: Wall, site: Path, curl: str, tmp_path: Path
) -> None:
    pcap = tmp_path / "out.pcapng"
    addresses = ("--address", "10.0.0.1/24", "--address", "fd00::1/64")
    server = wall.serve(site, *addresses, "--requests", "2", "--pcap", str(pcap))
    for host in ("10.0.0.1", "[fd00::1]"):
        done = run(wall, curl, "-sS", "-g", f"http://{host}/big")
        assert done.returncode == 0, done.stderr
        assert digest(done.stdout) == digest((site / "big").read_bytes())
    out, err = server.communicate(timeout=20)
    assert server.returncode == 0 and complaints(err) == []
    assert out.count("GET /big: 200, 4.2 MB") == 2 and "large sends" in out and "retransmitted" in out
    with open_capture(pcap) as capture:
        assert sum(len(frame.data) for frame in capture) > 2 * BIG


def test_what_curl_asks_and_what_others_do_meanwhile(wall: Wall, site: Path, curl: str) -> None:
    server = wall.serve(site)
    base = "http://10.0.0.1"
    with wall.namespace.entered(), socket.create_connection(("10.0.0.1", 80), 5) as lazy:
        lazy.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET /")
        ranged = run(wall, curl, "-sS", "-r", "3-5", f"{base}/small")
        assert ranged.stdout == b"345"
        both = run(wall, curl, "-sS", "-v", f"{base}/small", f"{base}/small?again")
        assert both.stdout == b"0123456789" * 2 and b"Re-using existing connection" in both.stderr
        assert b"small" in run(wall, curl, "-sS", f"{base}/").stdout
        head = run(wall, curl, "-sS", "-I", f"{base}/big").stdout
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length: 4194304\r\n" in head
        escape = run(wall, curl, "-sS", "--path-as-is", "-w", "%{http_code}", f"{base}/%2e%2e/secret")
        assert escape.stdout.endswith(b"403") and SECRET not in escape.stdout
        posted = run(wall, curl, "-sS", "-d", "x=y", "-w", "%{http_code}", f"{base}/small")
        assert posted.stdout.endswith(b"405")
        urls = [part for _ in range(6) for part in ("-o", "/dev/null", f"{base}/big")]
        many = run(wall, curl, "-sS", "-Z", "--parallel-immediate", "--fail", *urls)
        assert many.returncode == 0, many.stderr
        await_acknowledged(wall, but=lazy.getsockname()[1])
        status, _, err = wall.call("serve", str(site), "--tap", "tap0")
        assert status == 2 and err == "vnic: TAP tap0 is in use\n"
        status, out, err = wall.end(server)
    assert status == 0 and complaints(err) == []
    assert out.count("GET /big: 200, 4.2 MB") == 6 and out.count("NOT ALL OF IT") == 1


def test_an_address_in_use(wall: Wall, site: Path) -> None:
    for address in ("10.0.0.2/24", "fd00::2/64"):
        status, _, err = wall.call("serve", str(site), "--tap", "tap0", "--address", address)
        assert status == 2 and "address in use" in err and "02:00:00:00:aa:01" in err


def test_no_rights(wall: Wall, site: Path) -> None:
    wall.namespace.run("ip", "tuntap", "add", "dev", "tap1", "mode", "tap", "user", "root")
    code = (
        "import os, sys, vnic.commands.serve, vnic.cli; os.setgid(65534); os.setuid(65534); "
        "sys.exit(vnic.cli.main(['serve', '/', '--tap', 'tap1']))"
    )
    done = run(wall, sys.executable, "-c", code)
    assert done.returncode == 2 and done.stderr == b"vnic: no rights to TAP tap1: needs CAP_NET_ADMIN\n"


def test_what_is_no_tap(wall: Wall, site: Path) -> None:
    status, _, err = wall.call("serve", str(site), "--tap", "lo")
    assert status == 2 and err.startswith("vnic: lo is no TAP")


def test_a_tap_that_is_down_is_told_of(wall: Wall, site: Path) -> None:
    wall.namespace.take_down("tap0")
    server = wall.serve(site)
    _, _, err = wall.end(server)
    assert err == "vnic: tap0 is down; bring it up with: ip link set dev tap0 up\n"


def test_no_such_tap(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["serve", str(tmp_path), "--tap", "notap7"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("vnic: no such TAP: notap7; make it with: ip tuntap add") and err.count("\n") == 1


def test_no_such_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["serve", str(tmp_path / "none"), "--tap", "notap7"]) == 2
    assert "No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--address", "10.0.0.1"), "no prefix length"),
        (("--address", "10.0.0.300/24"), "does not appear to be"),
        (("--address", "224.0.0.1/24"), "cannot be a host's address"),
        (("--port", "0"), "from 1 to 65535"),
        (("--requests", "0"), "from 1 on"),
        (("--gateway", "x"), "does not appear to be"),
    ],
)
def test_bad_arguments(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["serve", ".", "--tap", "x", *arguments])
    assert stop.value.code == 2 and complaint in capsys.readouterr().err
