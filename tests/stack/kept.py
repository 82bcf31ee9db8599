"""Kept runs: all that a stack says while it hears frames that are nearly right, as a digest.

`python -m tests.stack.kept` writes them anew, after a change that is meant.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random
from typing import Any

from tests.stack.noise import corpus, damage
from tests.stack.world import PEER, PEER6, World, endpoint
from vnic._core import ffi, lib

FILE = Path(__file__).resolve().parent / "kept.txt"
SEEDS = range(8)
FRAMES = 600
CAPACITY = 65600
CALLS = 12  # one in so many frames is followed by a call of the user's


class Run:
    """One stack, its sockets, and the digest of what came out of it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random, self.total = world, Random(seed), hashlib.sha256()
        self.frames = 0
        self._out, self._frame = ffi.new("uint8_t[]", CAPACITY), ffi.new("struct vnic_stack_frame *")
        self.datagrams = [world.bind("0.0.0.0", 9), world.bind("::", 9)]
        listen = [int(lib.vnic_tcp_listen(world.stack, endpoint(text, 9), 4)) for text in ("0.0.0.0", "::")]
        connect = [
            int(lib.vnic_tcp_connect(world.stack, ffi.NULL, endpoint(text, 7))) for text in (PEER, PEER6)
        ]
        self.sockets = [*self.datagrams, *listen, *connect]
        self.say(*self.sockets)

    def say(self, *values: object) -> None:
        """Into the digest."""
        self.total.update(repr(values).encode())

    def drain(self) -> None:
        """All frames that wait, as they are."""
        stack = self.world.stack
        while (size := lib.vnic_stack_transmit(stack, 0, self._out, CAPACITY, self._frame)) > 0:
            self.frames += 1
            self.total.update(ffi.buffer(self._out, size)[:])
        self.say(self.world.deadline, sorted(self.world.events().items()))

    def call(self) -> None:
        """Something that a user, the time or the link does."""
        random, world = self.random, self.world
        match random.randrange(6):
            case 0:
                world.advance(random.choice([0.01, 0.3, 1, 20]))
            case 1 | 2:
                host = random.randrange(2, 40)
                to = random.choice([f"10.0.0.{host}", f"2001:db8::{host:x}"])
                size = random.choice([0, 1, 100, 1472, 3000, 20_000, 60_000])
                self.say(world.send(self.datagrams[":" in to], bytes(size), to=to))
            case 3:
                self.say(*(world.take_result(socket) for socket in self.datagrams))
            case 4:
                text = random.choice([PEER, PEER6])
                self.say(int(lib.vnic_tcp_connect(world.stack, ffi.NULL, endpoint(text, 80))))
                for listener in self.sockets[2:4]:
                    self.say(int(lib.vnic_tcp_accept(world.stack, listener)))
            case 5 if random.random() < 0.2:
                world.set_link(False)
                world.set_link(True)

    def tell(self) -> str:
        """One line."""
        counted = self.world.statistics
        self.say([int(getattr(counted, name)) for name, _ in ffi.typeof(counted[0]).fields])
        self.say(sorted((text, int(each.state)) for text, each in self.world.neighbours().items()))
        return f"{self.frames} frames, {self.total.hexdigest()[:16]}"


def run(seed: int) -> str:
    """What a stack of a seed says."""
    config: dict[str, Any] = {"neighbours": 12, "fragments_bytes": 8192, "syn_cookies": seed % 3}
    config |= {"outbox_frames": (8, 24)[seed % 2], "udp_sockets": 2 + seed % 3}
    with World(seed=seed, address_probes=seed % 2, ecn=seed % 3, connections=8, **config) as world:
        made = Run(world, seed)
        frames = corpus()
        for _ in range(FRAMES):
            world.receive(damage(made.random, made.random.choice(frames)), flags=made.random.randrange(4))
            if made.random.randrange(CALLS) == 0:
                made.call()
                if made.random.random() < 0.6:
                    made.drain()
        world.advance(100)
        made.drain()
        return made.tell()


def main() -> None:
    """Write them anew."""
    FILE.write_text("".join(f"{seed}: {run(seed)}\n" for seed in SEEDS), encoding="utf-8")


if __name__ == "__main__":
    main()
