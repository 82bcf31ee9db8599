"""The Linux kernel's TCP judges a whole host of ours, from the stack to the card, and so does curl."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.strangers.kernel_wire import (
    KERNEL,
    KERNEL_MAC,
    OURS,
    HostWire,
    OurEnd,
    OurServer,
    digests,
    noise,
)
from vnic.link.impairments import Impairments
from vnic.link.netns import Namespace

PORT = 5001
CONNECTIONS = 6
SIZE = 256 << 10
LARGE, MIDDLE = 64, 16  # MiB
versions = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])


@versions
@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_all_arrives_through_the_card(namespace: Namespace, version: int, loss: float) -> None:
    half = CONNECTIONS // 2
    ours = [noise(SIZE, number) for number in range(CONNECTIONS)]
    theirs = [noise(SIZE, 100 + number) for number in range(CONNECTIONS)]
    with HostWire(namespace, Impairments(loss=loss, delay_ns=500_000)) as wire:
        stack = wire.host.stack
        server = OurServer(stack.listen((OURS[version], PORT)), ours[:half])
        wire.kernel.listen(version, PORT, theirs[:half])
        for number in range(half):
            wire.kernel.connect(version, PORT, theirs[half + number])
        opened = [
            OurEnd(stack.connect((KERNEL[version], PORT)), ours[half + number]) for number in range(half)
        ]

        def is_done() -> bool:
            ends, peers = [*opened, *server.ends], wire.kernel.ends
            is_open = len(ends) == CONNECTIONS == len(peers)
            return is_open and all(end.is_done for end in ends) and all(peer.is_done for peer in peers)

        wire.wait_for(is_done)
        assert digests([end.received for end in wire.kernel.ends]) == digests(ours)
        assert digests([end.received for end in (*opened, *server.ends)]) == digests(theirs)
        if loss:
            assert wire.wire.statistics(0).lost and stack.statistics["tcp_retransmits"]
        else:
            # The card cut large sends: the stack handed out fewer frames than went over the wire.
            assert stack.statistics["frames_out"] < wire.wire.statistics(0).sent
        for end in (*opened, *server.ends):
            end.socket.close()


# ---- the commands ------------------------------------------------------------------------------------------


@pytest.fixture
def tapped(namespace: Namespace) -> Namespace:
    """The namespace with a TAP that a command can be plugged into."""
    namespace.run("ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
    namespace.sysctl("net.ipv4.tcp_congestion_control", "reno")
    namespace.bring_up("tap0", [f"{KERNEL[4]}/24", f"{KERNEL[6]}/64"], mac=KERNEL_MAC.hex(":"))
    return namespace


@contextlib.contextmanager
def running(
    namespace: Namespace, environment: dict[str, str], *command: str
) -> Iterator[subprocess.Popen[str]]:
    """A Python command in the namespace, from its first line on; ended like by a person."""
    with namespace.entered():
        process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=environment | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "erving" in line, line + process.stdout.read()
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that are named by their size in MiB."""
    folder = tmp_path_factory.mktemp("site")
    for size in (LARGE, MIDDLE):
        (folder / str(size)).write_bytes(noise(1 << 20) * size)
    return folder


def test_curl_fetches_a_large_file(
    tapped: Namespace, python_environment: dict[str, str], site: Path, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: not installed")
    got = tmp_path / "got"
    command = ("-m", "vnic", "serve", str(site), "--tap", "tap0", "--address", f"{OURS[4]}/24")
    with running(tapped, python_environment, *command):
        tapped.run("curl", "-sS", "-f", "-o", str(got), f"http://{OURS[4]}/{LARGE}", timeout_s=60)
    assert sha256(got) == sha256(site / str(LARGE))


def test_a_large_file_is_fetched_from_a_web_server(
    tapped: Namespace, python_environment: dict[str, str], site: Path, tmp_path: Path
) -> None:
    got = tmp_path / "got"
    server = ("-m", "http.server", "8000", "--bind", KERNEL[4], "--directory", str(site))
    url = f"http://{KERNEL[4]}:8000/{MIDDLE}"
    ours = ("vnic", "get", url, "--tap", "tap0", "--address", f"{OURS[4]}/24", "-o", str(got))
    with running(tapped, python_environment, *server), tapped.entered():
        done = subprocess.run(
            [sys.executable, "-m", *ours],
            env=python_environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sha256(got) == sha256(site / str(MIDDLE))
