"""Traces as strangers write them: damaged, read and replayed, and only errors come of it."""

from __future__ import annotations

import io
import random
from functools import cache
from typing import Any, Final

from vnic.abi import OpCode
from vnic.device import Device
from vnic.errors import ArgumentError, VnicError
from vnic.fuzz.bring_up import BRING_UP
from vnic.fuzz.choice import Edges, OneOf, Range
from vnic.fuzz.oplang import Step
from vnic.fuzz.scene import Broken, Scene, act
from vnic.fuzz.world import World
from vnic.testbench.frames import tcp_frame
from vnic.trace.file import TraceReader
from vnic.trace.recorder import Recorder
from vnic.trace.replay import Outcome, Replay
from vnic.trace.text import Lines

__all__ = ["TraceScene"]

#: More than this of events or bytes comes of no file of the size that is damaged here.
_EVENTS_MAX: Final = 100_000
_GROWN_MAX: Final = 1 << 20
_HEADER_BYTES = 8


@cache
def _recorded(kind: int) -> bytes:
    """A small trace: a card that does nothing, or one that is brought up, sends and receives."""
    stream = io.BytesIO()
    if kind == 0:
        with Device(manual=True, queue_pairs=1, vectors=1) as device, Recorder(stream, device):
            device.read(0, 0)
        return stream.getvalue()
    with World() as world, Recorder(stream, world.device, compact=kind == 2) as recorder:
        world.apply(BRING_UP)
        for number in range(4):
            world.act(Step(OpCode.RECEIVE, data=tcp_frame(bytes(200), ports=(number + 1, 80))))
            world.act(Step(OpCode.RUN, addr=100, value=1 << 40))
        recorder.mark("half-way")
        recorder.hash()
        world.drain()
    return stream.getvalue()


@cache
def _blocks(octets: bytes) -> tuple[tuple[int, int], ...]:
    """Start and length of each block."""
    found, at = [], 0
    while at + _HEADER_BYTES <= len(octets):
        size = int.from_bytes(octets[at + 4 : at + 8], "little")
        found.append((at, size))
        at += size
    return tuple(found)


class TraceScene(Scene):
    """A file in memory, and edits; at the end it is read as a whole and replayed."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        if options:
            raise ArgumentError(f"a trace's scene has no options {sorted(options)}")
        self.octets = bytearray(_recorded(1))
        self._whole = bytes(self.octets)

    @act(2, kind=Range(0, 2))
    def take(self, kind: int) -> None:
        """Start from another file."""
        self._whole = _recorded(kind)
        self.octets = bytearray(self._whole)

    def _place(self, block: int, offset: int) -> int:
        """Where a byte of a block was before any edit; a place that is gone counts around."""
        blocks = _blocks(self._whole)
        start, size = blocks[block % len(blocks)]
        return (start + offset % max(size, 1)) % max(len(self.octets), 1)

    @act(10, block=Range(0, 4000), offset=Edges(8), value=Edges(32), width=OneOf(4, 1, 2, 8))
    def put(self, block: int, offset: int, value: int, width: int) -> None:
        """A number in a block is another."""
        at = self._place(block, offset)
        data = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
        self.octets[at : at + width] = data

    @act(8, block=Range(0, 4000), offset=Edges(8), bit=Range(0, 7))
    def flip(self, block: int, offset: int, bit: int) -> None:
        """One bit."""
        if self.octets:
            self.octets[self._place(block, offset)] ^= 1 << bit

    @act(3, block=Range(0, 4000), offset=Edges(8))
    def cut(self, block: int, offset: int) -> None:
        """The file ends here."""
        del self.octets[self._place(block, offset) :]

    @act(4, block=Range(0, 4000), count=Range(1, 8))
    def leave_out(self, block: int, count: int) -> None:
        """Whole blocks are gone."""
        blocks = _blocks(self._whole)
        first = blocks[block % len(blocks)][0]
        end = first + sum(size for _, size in blocks[block % len(blocks) :][:count])
        del self.octets[first:end]

    @act(4, source=Range(0, 4000), before=Range(0, 4000), count=Range(1, 4))
    def repeat(self, source: int, before: int, count: int) -> None:
        """Whole blocks come again elsewhere."""
        blocks = _blocks(self._whole)
        first = blocks[source % len(blocks)][0]
        size = sum(each for _, each in blocks[source % len(blocks) :][:count])
        at = self._place(before, 0)
        if len(self.octets) < _GROWN_MAX:
            self.octets[at:at] = self._whole[first : first + size]

    @act(2, block=Range(0, 4000), size=Edges(9), seed=Range(0, 255))
    def insert(self, block: int, size: int, seed: int) -> None:
        """Noise between blocks."""
        at = self._place(block, 0)
        self.octets[at:at] = random.Random(seed).randbytes(size)

    # -- looking ---------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Read and replayed; an error of the package is what a damaged file may come to, and nothing else."""
        self._read()
        self._replay()

    def _read(self) -> None:
        try:
            with TraceReader(io.BytesIO(self.octets)) as reader:
                lines = Lines(reader.header)
                for count, event in enumerate(reader):
                    if count < 2000:
                        lines.line(event)
                    if count > _EVENTS_MAX:
                        raise Broken(
                            "trace-bounds", f"more than {_EVENTS_MAX} events in {len(self.octets)} bytes"
                        )
            self.reached.add("read")
        except VnicError as error:
            self.reached.add(f"read: {type(error).__name__}")

    def _replay(self) -> None:
        replay: Replay | None = None
        try:
            replay = Replay(io.BytesIO(self.octets))
            outcome = replay.run()
            self.reached.add(f"replay: {outcome.name}")
            if outcome is Outcome.STOPPED:
                raise Broken("trace-replay", "a replay stopped that nobody had stopped")
            if bytes(self.octets) in (_recorded(0), _recorded(1)) and outcome is not Outcome.END:
                raise Broken("trace-replay", f"an undamaged trace replays as {outcome.name}")
        except VnicError as error:
            self.reached.add(f"replay: {type(error).__name__}")
        finally:
            if replay is not None:
                for device in replay.devices.values():
                    device.close()

    def abandon(self) -> None:
        """Nothing is held."""
