"""The way of frames out of a card: kept where there is no link, and stamped with the time of the world."""

from __future__ import annotations

from vnic.device import FrameSink
from vnic.testbench.world import World


class Outgoing:
    """The wire of a bench that has no other: keeps what the card sends."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """Take a frame."""
        self.frames.append(frame)


class Timestamped:
    """Frames leave at the world's time: a device hears of a new time only when it is next looked at."""

    def __init__(self, world: World, sink: FrameSink) -> None:
        self._world = world
        self._sink = sink

    def transmit(self, frame: bytes, now_ns: int) -> None:
        """Pass a frame on."""
        self._sink.transmit(frame, max(now_ns, self._world.clock.now_ns))
