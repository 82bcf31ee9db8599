"""QEMU's qtest protocol: the peer that reads registers and guest memory of an emulated card over a socket."""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .harness import Figures, MissingError, RoundError
from .workshop import Workshop

QEMU = "qemu-system-x86_64"
START_SECONDS, POLL_SECONDS = 30, 0.5
CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
E1000E_ID = 0x10D38086
BAR0_BASE = 0xE000_0000
STATUS_OFFSET = 0x8
BUFFER_ADDR = 0x10_0000
BUFFER_BYTES = 1024
PIPELINE = 512
# above 128 KiB each buffer would be mapped and unmapped again, which costs as much as the operation
RECEIVE_BYTES = 1 << 16
OPS_A_ROUND = 2000


class QtestMachine:
    """A QEMU with an e1000e, spoken to over a UNIX socket; its processor is stopped, so all its work is ours.

    Debian leaves the qtest accelerator out of its builds; a stopped TCG machine serves the socket alike.
    """

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="vnic-qtest-")
        path = Path(self._folder) / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            listener.listen(1)
            listener.settimeout(POLL_SECONDS)
            self._qemu = subprocess.Popen(
                [QEMU, "-machine", "q35,accel=tcg", "-S", "-nodefaults", "-display", "none", "-m", "64",
                 "-device", "e1000e", "-qtest", f"unix:{path}", "-qtest-log", "/dev/null"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self._rest = b""
            self._socket = self._accept(listener)

    def _accept(self, listener: socket.socket) -> socket.socket:
        for _ in range(int(START_SECONDS / POLL_SECONDS)):
            with contextlib.suppress(TimeoutError):
                return listener.accept()[0]
            if self._qemu.poll() is not None:
                break
        self.close()
        raise MissingError(f"{QEMU} does not connect to the qtest socket")

    def ask(self, line: bytes) -> bytes:
        """Send one command and return what follows OK in the answer."""
        self._socket.sendall(line + b"\n")
        return self.answers(1)[0]

    def ask_all(self, lines: bytes, count: int) -> list[bytes]:
        """Send many commands at once; the answers in order."""
        self._socket.sendall(lines)
        return self.answers(count)

    def answers(self, count: int) -> list[bytes]:
        """The next answers, each without its OK."""
        while self._rest.count(b"\n") < count:
            piece = self._socket.recv(RECEIVE_BYTES)
            if not piece:
                raise RoundError(f"{QEMU} closed the qtest socket")
            self._rest += piece
        *lines, self._rest = self._rest.split(b"\n", count)
        if not all(line.startswith(b"OK") for line in lines):
            raise RoundError(f"qtest refused a command: {lines[0]!r}")
        return [line[3:] for line in lines]

    def write_config(self, slot: int, offset: int, value: int) -> None:
        """Write 32 bits of a function's configuration space on bus 0."""
        self.ask(b"outl 0x%x 0x%x" % (CONFIG_ADDRESS, 0x8000_0000 | slot << 11 | offset))
        self.ask(b"outl 0x%x 0x%x" % (CONFIG_DATA, value))

    def read_config(self, slot: int, offset: int) -> int:
        """Read 32 bits of a function's configuration space on bus 0."""
        self.ask(b"outl 0x%x 0x%x" % (CONFIG_ADDRESS, 0x8000_0000 | slot << 11 | offset))
        return int(self.ask(b"inl 0x%x" % CONFIG_DATA), 16)

    def enable_card(self) -> None:
        """Find the e1000e, place its BAR0 and let it answer and master the bus."""
        slot = next((n for n in range(32) if self.read_config(n, 0) == E1000E_ID), None)
        if slot is None:
            raise MissingError("no e1000e on the machine's bus 0")
        self.write_config(slot, 0x10, BAR0_BASE)
        self.write_config(slot, 0x04, 0x6)

    def cpu_ns(self) -> int:
        """CPU time that QEMU has used, over all its threads."""
        tasks = Path(f"/proc/{self._qemu.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    def close(self) -> None:
        """End QEMU and remove the socket."""
        self._qemu.kill()
        self._qemu.wait()
        if hasattr(self, "_socket"):
            self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class QtestContender:
    """The time of qtest operations: CPU time of the client and of QEMU together.

    Pinned to one CPU this is the elapsed time; on a busy machine it favours QEMU.
    """

    name = "QEMU qtest"

    def __init__(self, works: tuple[str, ...]) -> None:
        self._works = works
        self._machine: QtestMachine | None = None

    def start(self, shop: Workshop) -> None:
        """Start QEMU and bring its e1000e on the bus."""
        if shutil.which(QEMU) is None:
            raise MissingError(f"no {QEMU} (Debian: qemu-system-x86)")
        self._machine = QtestMachine()
        self._machine.enable_card()

    def round(self, effort: float) -> Figures:
        """Measure each of the works chosen."""
        machine = self._machine
        if machine is None:
            raise RoundError("was not started")
        count = max(int(OPS_A_ROUND * effort), 10)
        figures: Figures = {}
        for work in self._works:
            figures |= _measure(machine, work, count)
        return figures

    def stop(self) -> None:
        """End QEMU."""
        if self._machine is not None:
            self._machine.close()
        self._machine = None


def _measure(machine: QtestMachine, work: str, count: int) -> Figures:
    operation, weight = WORKS[work]
    rounds = max(count // weight, 2)
    start = time.thread_time_ns() + machine.cpu_ns()
    for _ in range(rounds):
        operation(machine)
    spent = time.thread_time_ns() + machine.cpu_ns() - start
    return {f"qtest {work}": spent / (rounds * weight)}


def _readl(machine: QtestMachine) -> int:
    return int(machine.ask(b"readl 0x%x" % (BAR0_BASE + STATUS_OFFSET)), 16)


def _readl_pipelined(machine: QtestMachine) -> list[int]:
    lines = b"readl 0x%x\n" % (BAR0_BASE + STATUS_OFFSET) * PIPELINE
    return [int(answer, 16) for answer in machine.ask_all(lines, PIPELINE)]


def _memory_write(machine: QtestMachine) -> None:
    machine.ask(b"write 0x%x 0x%x 0x%s" % (BUFFER_ADDR, BUFFER_BYTES, BLOCK.hex().encode()))


def _memory_read(machine: QtestMachine) -> bytes:
    return bytes.fromhex(machine.ask(b"read 0x%x 0x%x" % (BUFFER_ADDR, BUFFER_BYTES))[2:].decode())


def _memory_write_base64(machine: QtestMachine) -> None:
    machine.ask(b"b64write 0x%x 0x%x %s" % (BUFFER_ADDR, BUFFER_BYTES, base64.b64encode(BLOCK)))


def _memory_read_base64(machine: QtestMachine) -> bytes:
    return base64.b64decode(machine.ask(b"b64read 0x%x 0x%x" % (BUFFER_ADDR, BUFFER_BYTES)))


BLOCK = bytes(range(256)) * (BUFFER_BYTES // 256)
WORKS: dict[str, tuple[Callable[[QtestMachine], object], int]] = {
    "readl": (_readl, 1),
    "readl pipelined": (_readl_pipelined, PIPELINE),
    "write 1 KiB": (_memory_write, 1),
    "read 1 KiB": (_memory_read, 1),
    "b64write 1 KiB": (_memory_write_base64, 1),
    "b64read 1 KiB": (_memory_read_base64, 1),
}
