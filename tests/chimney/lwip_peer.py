"""lwIP as the peer of a stage: its connections look like ours to an Application."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from vnic.link.wire import Wire
from vnic.stack.errors import ResetError

TICK_NS = 250_000_000
_FRAME = 1600
_ROOM = 1 << 16
_SOURCE = Path(__file__).with_name("lwip_peer.c")


@functools.cache
def library() -> ctypes.CDLL:
    """The peer, compiled once; skips without a compiler or lwIP."""
    compiler = shutil.which("cc")
    question = ["pkg-config", "--cflags", "--libs", "lwip"]
    asked = subprocess.run(question, capture_output=True, text=True, check=False)
    if compiler is None or asked.returncode:
        pytest.skip("needs package: liblwip-dev and a C compiler")
    folder = tempfile.mkdtemp(prefix="lwip-peer-")
    target = f"{folder}/lwip_peer.so"
    command = [compiler, "-O1", "-fPIC", "-shared", "-w", "-o", target, str(_SOURCE)]
    subprocess.run([*command, *asked.stdout.split()], check=True)
    made = ctypes.CDLL(target)
    shutil.rmtree(folder)
    if made.peer_open() != 0:
        raise RuntimeError("lwIP does not start")
    return made


class LwipSocket:
    """A connection of lwIP's: what Application uses of a TcpSocket."""

    def __init__(self, number: int) -> None:
        self._peer = library()
        self.number = number
        self._is_aborted = False

    @property
    def is_connected(self) -> bool:
        """Whether the handshake is over."""
        return bool(self._peer.peer_is_connected(self.number))

    @property
    def error(self) -> Exception | None:
        """Why it broke."""
        return ResetError(104, "lwIP's connection was reset") if self._peer.peer_error(self.number) else None

    @property
    def is_over(self) -> bool:
        """Whether it broke."""
        return self._is_aborted or bool(self._peer.peer_error(self.number))

    def send(self, data: bytes | bytearray) -> int:
        """How many bytes were taken."""
        if self._peer.peer_error(self.number):
            raise ResetError(104, "lwIP's connection was reset")
        return int(self._peer.peer_send(self.number, bytes(data[:_ROOM]), min(len(data), _ROOM)))

    def recv(self) -> bytes | None:
        """Bytes, b'' at the end, None when there are none now."""
        room = ctypes.create_string_buffer(_ROOM)
        count = self._peer.peer_receive(self.number, room, _ROOM)
        if count == -2:
            raise ResetError(104, "lwIP's connection was reset")
        return b"" if count == -1 else room.raw[:count] if count else None

    def shutdown(self) -> None:
        """FIN behind all that was sent."""
        self._peer.peer_shutdown(self.number)

    def abort(self) -> None:
        """RST."""
        self._is_aborted = True
        self._peer.peer_abort(self.number)


class LwipStation:
    """lwIP's end of a wire, with virtual time for its timers."""

    def __init__(self, sink: Wire | object) -> None:
        self._peer = library()
        self._peer.peer_forget()
        self._sink = sink
        self._room = ctypes.create_string_buffer(_FRAME)
        self._tick_ns = TICK_NS
        self._is_stopped = False

    @property
    def port(self) -> LwipStation:
        """What stands at the end of the wire."""
        return self

    def listen(self, port: int) -> None:
        """Take one connection."""
        if self._peer.peer_listen(port) != 0:
            raise RuntimeError("lwIP does not listen")

    def accepted(self) -> LwipSocket | None:
        """The connection that came."""
        number = self._peer.peer_accepted()
        return LwipSocket(number) if number >= 0 else None

    def connect(self, port: int) -> LwipSocket:
        """Begin to connect to the host."""
        number = self._peer.peer_connect(port)
        if number < 0:
            raise RuntimeError("lwIP does not connect")
        return LwipSocket(number)

    def deliver(self, frame: bytes, now_ns: int) -> None:
        """A frame arrives."""
        self._peer.peer_input(frame, len(frame))

    def stop(self) -> None:
        """Its timers stand still: the world may come to rest."""
        self._is_stopped = True

    def next_deadline_ns(self) -> int | None:
        """The next tick."""
        return None if self._is_stopped else self._tick_ns

    def advance(self, now_ns: int) -> int:
        """Timers that are due, and what there is to send."""
        while self._tick_ns <= now_ns and not self._is_stopped:
            self._peer.peer_tick()
            self._tick_ns += TICK_NS
        count = 0
        while length := self._peer.peer_output(self._room, _FRAME):
            self._sink.transmit(self._room.raw[:length], now_ns)  # type: ignore[union-attr,call-arg]
            count += 1
        return count
