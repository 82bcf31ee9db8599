"""`python -m tests.fuzz.seeds`: the kept traces as inputs of fuzz targets: programs, and shorter traces."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.workshop import ROOT, targets
from vnic.abi import EventType, OpCode
from vnic.fuzz.oplang import STEPS_MAX, Flag, Program, Step, WorldCode, encode
from vnic.trace import TraceEvent, TraceReader

TRACES = ROOT / "tests" / "traces"
STEPS = 64
#: A step of a program that takes more octets is left out: what it does, shorter ones do.
STEP_BYTES = 512
BLOCKS = 48
PACKET = 6

_ACCESSES = {
    EventType.MMIO_READ: OpCode.READ,
    EventType.MMIO_WRITE: OpCode.WRITE,
    EventType.CFG_READ: OpCode.CFG_READ,
    EventType.CFG_WRITE: OpCode.CFG_WRITE,
}


def _input(event: TraceEvent, before_ns: int) -> Step | None:
    """The operation that is this input; None for what programs have no word for."""
    match event.type:
        case EventType.MMIO_READ | EventType.MMIO_WRITE | EventType.CFG_READ | EventType.CFG_WRITE:
            return Step(_ACCESSES[event.type], event.index, event.width, event.addr, event.value)
        case EventType.RUN:
            return Step(OpCode.RUN, addr=event.addr, value=event.value)
        case EventType.STEP:
            return Step(OpCode.STEP, event.index)
        case EventType.TIME:
            return Step(OpCode.ADVANCE, value=event.value - before_ns)
        case EventType.LINK:
            return Step(OpCode.LINK, value=event.value)
        case EventType.RESET:
            return Step(OpCode.RESET, event.value & 0xFF)
        case EventType.REMOVE:
            return Step(OpCode.REMOVE, value=event.value)
        case EventType.FRAME_IN:
            return Step(OpCode.RECEIVE, data=event.data[:STEP_BYTES])
        case EventType.TAKE | EventType.RELEASE:
            return Step(OpCode.DRAIN)
        case _:
            return None


def steps_of(path: Path) -> Iterator[Step]:
    """What happens to the card of a trace; what its DMA read is poked before the input that makes it read."""
    read: list[Step] = []
    waiting: Step | None = None
    before_ns = 0
    with TraceReader(path) as reader:
        for event in reader:
            if event.function != 0:
                continue
            if event.type == EventType.DMA_READ and len(event.data) <= STEP_BYTES:
                read.append(Step(WorldCode.POKE, addr=event.addr, data=event.data))
            step = _input(event, before_ns)
            if event.type == EventType.TIME:
                before_ns = event.value
            if step is not None:
                yield from read
                if waiting is not None:
                    yield waiting
                read, waiting = [], step
    yield from read
    if waiting is not None:
        yield waiting


def programs() -> Iterator[bytes]:
    """The kept traces, cut into programs that start from a card that is up."""
    for path in sorted(TRACES.glob("*.pcapng.gz")):
        steps = tuple(steps_of(path))
        for at in range(0, len(steps), STEPS):
            yield encode(Program(Flag.UP | Flag.NO_TWIN, steps[at : at + STEPS][:STEPS_MAX]))


def _blocks(octets: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(octets):
        length = struct.unpack_from("<I", octets, at + 4)[0]
        yield octets[at : at + length]
        at += length


def cuttings() -> Iterator[bytes]:
    """The kept traces in pieces: their head, and some packets in a row."""
    for path in sorted(TRACES.glob("*.pcapng.gz")):
        blocks = list(_blocks(gzip.decompress(path.read_bytes())))
        packets = [number for number, block in enumerate(blocks) if block[0] == PACKET]
        head = blocks[: packets[0] + 1]
        for at in range(packets[0] + 1, len(blocks), BLOCKS):
            yield b"".join([*head, *blocks[at : at + BLOCKS]])


def write(folder: Path, inputs: Iterator[bytes]) -> int:
    """Each under its digest; how many."""
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for octets in inputs:
        (folder / hashlib.sha256(octets).hexdigest()[:12]).write_bytes(octets)
        written += 1
    return written


def main() -> None:
    """Write the seeds of every target that has some into folders of its name."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.seeds", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, inputs in (("card", programs()), ("twins", programs()), ("trace", cuttings())):
        print(f"{targets()[name].name}: {write(folder / name, inputs)} seeds")


if __name__ == "__main__":
    main()
