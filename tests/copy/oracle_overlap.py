"""Every memory image that DMA-27 lets a chain end in, when writes may be held back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.copy.oracle_channel import Hand, is_empty
from vnic.gen.descriptors import CopyDescriptor


@dataclass
class Held:
    """A piece that was read and is still to be written."""

    addr: int
    data: bytes


class Image:
    """Memory from `base` on, and the piece that is held back."""

    def __init__(self, base: int, data: bytes, held: Held | None = None) -> None:
        self.base = base
        self.data = bytearray(data)
        self.held = held

    def fork(self) -> Image:
        """Another one like it."""
        return Image(self.base, bytes(self.data), self.held)

    def read(self, addr: int, count: int) -> bytes:
        """Bytes as they are now."""
        return bytes(self.data[addr - self.base : addr - self.base + count])

    def write(self, addr: int, data: bytes) -> None:
        """Bytes as they are from now on."""
        self.data[addr - self.base : addr - self.base + len(data)] = data

    def write_held(self) -> None:
        """What was held back is written."""
        if self.held:
            self.write(self.held.addr, self.held.data)
            self.held = None


def may_hold(descriptor: CopyDescriptor) -> bool:
    """Whether its last piece may wait for the successor's first one."""
    asks = descriptor.fence or descriptor.compl_write or descriptor.int_en
    return not asks and not is_empty(descriptor)


def outcomes(image: Image, chain: Sequence[CopyDescriptor]) -> Iterator[bytes]:
    """What may be in memory after a chain, of which all is counted."""
    if not chain:
        yield bytes(image.data)
        return
    for ending in _endings(image.fork(), chain[0], may_hold(chain[0]) and len(chain) > 1):
        yield from outcomes(ending, chain[1:])


def _endings(image: Image, descriptor: CopyDescriptor, is_holding_legal: bool) -> Iterator[Image]:
    hand = Hand(0, descriptor)
    while not is_empty(descriptor) and hand.moved < descriptor.size:
        target, count, source = hand.destination, hand.piece, hand.source
        data = hand.pattern(count) if source is None else image.read(source, count)
        image.write_held()
        hand.moved += count
        if is_holding_legal and hand.moved == descriptor.size:
            holding = image.fork()
            holding.held = Held(target, data)
            yield holding
        image.write(target, data)
    image.write_held()
    yield image
