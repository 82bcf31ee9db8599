"""A TAP in a namespace of its own, and commands of ours run inside of it."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vnic.cli import main
from vnic.commands import conflict
from vnic.link.netns import Namespace, unavailable

KERNEL_MAC = "02:00:00:00:aa:01"


class Wall:
    """A namespace with tap0: the kernel's side is 10.0.0.2 and fd00::2."""

    def __init__(self, namespace: Namespace, environment: dict[str, str]) -> None:
        self.namespace = namespace
        self._environment = environment
        self._running: list[subprocess.Popen[str]] = []
        namespace.run("ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
        namespace.sysctl("net.ipv4.tcp_congestion_control", "reno")
        namespace.bring_up("tap0", ["10.0.0.2/24", "fd00::2/64"], mac=KERNEL_MAC)

    def vnic(self, *arguments: str) -> subprocess.Popen[str]:
        """A command of ours, started."""
        with self.namespace.entered():
            process = subprocess.Popen(
                [sys.executable, "-m", "vnic", *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, env=self._environment,
            )  # fmt: skip
        self._running.append(process)
        return process

    def call(self, *arguments: str) -> tuple[int, str, str]:
        """A command of ours to its end, in this very process: status, output, complaints."""
        with (
            self.namespace.entered(),
            contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as out,
            contextlib.redirect_stderr(io.StringIO()) as err,
        ):
            status = main(arguments)
        out.seek(0)
        return status, out.read(), err.getvalue()

    def serve(self, directory: Path, *arguments: str) -> subprocess.Popen[str]:
        """`vnic serve`, ready."""
        process = self.vnic("serve", str(directory), "--tap", "tap0", *arguments)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving "), process.communicate(timeout=10)
        return process

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Stop a command as a person does: status, output, complaints."""
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        return process.returncode, out, err

    def close(self) -> None:
        """End what still runs."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.fixture
def wall(python_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Wall]:
    """A TAP that commands can be plugged into; only the kernel is there to claim an address, at once."""
    monkeypatch.setattr(conflict, "_WAIT_S", 0.02)
    reason = unavailable()
    if not reason and not Path("/dev/net/tun").exists():
        reason = "needs /dev/net/tun: no TAP driver here"
    if reason:
        pytest.skip(reason)
    with Namespace() as namespace:
        made = Wall(namespace, python_environment)
        try:
            yield made
        finally:
            made.close()
