"""A conversation over one connection: turns of bytes, known in advance and checked by their hash."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vnic.errors import VnicError

_NOISE_BYTES = 1 << 20
_READ_BYTES = 1 << 16


class Sock(Protocol):
    """What both ends need of a socket: the stack's own, or the kernel's behind the same names."""

    def send(self, data: memoryview) -> int:
        """How many bytes were taken, 0: none now."""

    def recv(self, size: int) -> bytes | memoryview | None:
        """Bytes; b'' at the end, None: none now."""

    def shutdown(self) -> None:
        """No more is sent."""

    def close(self) -> None:
        """Give it up."""

    @property
    def error(self) -> VnicError | None:
        """How the connection ended, if not well."""


@dataclass(frozen=True, slots=True)
class Turn:
    """So many bytes, from the host or to it, `request` of them at a time."""

    is_from_host: bool
    size: int
    request: int


class Noise:
    """Bytes without end that are the same for the same seed; each stream starts elsewhere in them."""

    def __init__(self, seed: int = 1) -> None:
        data = random.Random(seed).randbytes(_NOISE_BYTES)
        self._data = memoryview(data + data)

    def at(self, position: int, size: int) -> memoryview:
        """At most `size` bytes from a position on."""
        start = position % _NOISE_BYTES
        return self._data[start : start + min(size, _NOISE_BYTES)]


class Stream:
    """One direction: what was sent and what arrived, with the hash of each."""

    def __init__(self, noise: Noise, start: int) -> None:
        self._noise = noise
        self._start = start
        self.sent = 0
        self.received = 0
        self._out = hashlib.sha256()
        self._in = hashlib.sha256()

    def push(self, sock: Sock, limit: int, request: int) -> int:
        """Send up to a position, a request at a time; how many bytes."""
        before = self.sent
        while self.sent < limit:
            data = self._noise.at(self._start + self.sent, min(request, limit - self.sent))
            taken = sock.send(data)
            self._out.update(data[:taken])
            self.sent += taken
            if taken < len(data):
                break
        return self.sent - before

    def pull(self, sock: Sock, limit: int) -> int:
        """Read up to a position; how many bytes."""
        before = self.received
        while self.received < limit:
            data = sock.recv(min(_READ_BYTES, limit - self.received))
            if not data:
                break
            self._in.update(data)
            self.received += len(data)
        return self.received - before

    @property
    def is_whole(self) -> bool:
        """Whether what arrived is what was sent, by its hash."""
        return self.sent == self.received and self._out.digest() == self._in.digest()


class Dialogue:
    """Both ends of a connection; step() does what can be done now."""

    def __init__(self, host: Sock, peer: Sock, turns: Sequence[Turn], noise: Noise, number: int) -> None:
        self.host = host
        self.peer = peer
        self.up = Stream(noise, number * 7919)
        self.down = Stream(noise, number * 104_729 + 13)
        self._turns = turns
        self._turn = 0
        self._up_end = self._down_end = 0
        self._ends: list[bool] = [False, False]
        self.is_done = False
        self._open()

    def _open(self) -> None:
        """The next turn, or the end."""
        if self._turn < len(self._turns):
            turn = self._turns[self._turn]
            if turn.is_from_host:
                self._up_end += turn.size
            else:
                self._down_end += turn.size
            return
        self.host.shutdown()
        self.peer.shutdown()

    @property
    def moved(self) -> int:
        """Bytes that arrived, both ways."""
        return self.up.received + self.down.received

    def step(self) -> int:
        """Go on; how many bytes moved at an end."""
        count = 0
        while not self.is_done:
            for sock in (self.host, self.peer):
                if sock.error is not None:
                    raise sock.error
            if self._turn == len(self._turns):
                self._finish()
                return count
            turn = self._turns[self._turn]
            sender, receiver = (self.host, self.peer) if turn.is_from_host else (self.peer, self.host)
            stream = self.up if turn.is_from_host else self.down
            limit = self._up_end if turn.is_from_host else self._down_end
            count += stream.push(sender, limit, turn.request) + stream.pull(receiver, limit)
            if stream.received < limit:
                return count
            self._turn += 1
            self._open()
        return count

    def _finish(self) -> None:
        for place, sock in enumerate((self.host, self.peer)):
            if not self._ends[place]:
                self._ends[place] = sock.recv(1) == b""
        if all(self._ends):
            self.is_done = True
            self.host.close()
            self.peer.close()

    @property
    def is_whole(self) -> bool:
        """Whether both streams arrived as they were sent."""
        return self.is_done and self.up.is_whole and self.down.is_whole


#: A workload: the turns of connection `number`.
Workload = Callable[[int], list[Turn]]


def make_workload(name: str, per_connection: int) -> Workload:
    """web: small questions and answers. backup: up. stream: down. storage: blocks both ways."""
    return {"web": _web, "backup": _backup, "stream": _stream, "storage": _storage}[name](per_connection)


def _web(size: int) -> Workload:
    pair = [Turn(True, 400, 400), Turn(False, 600, 600)]
    return lambda number: pair * max(size // 1000, 1)


def _backup(size: int) -> Workload:
    return lambda number: [Turn(True, size, 1 << 18)]


def _stream(size: int) -> Workload:
    return lambda number: [Turn(False, size, 1 << 18)]


def _storage(size: int) -> Workload:
    block = 1 << 16
    pair = [Turn(True, block, block), Turn(False, block, block)]
    return lambda number: pair * max(size // (2 * block), 1)
