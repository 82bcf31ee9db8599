"""What tests of NetDMA share: a client that keeps what it hears, raw chains, memory to compare."""

from __future__ import annotations

from collections.abc import Sequence

from vnic.host.bus import Direction, Segment
from vnic.host.memory import GuestBuffer
from vnic.netdma.channel_handle import ChannelHandle
from vnic.netdma.client import ClientHandle, ProviderRecord
from vnic.netdma.descriptor import (
    DESCRIPTOR_BYTES,
    NET_DMA,
    NET_DMA_DESCRIPTOR,
    CompletionStatus,
    DescriptorPointer,
)
from vnic.netdma.dma_channel import DmaChannel
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE, NTSTATUS, Transfer
from vnic.testbench.copy_bench import CopyBench

VERSIONS = [(1, 0), (1, 1), (2, 0), (2, 1)]
ONE_OF_EACH = [(1, 0), (2, 0)]
REPORT = NET_DMA.STATUS_UPDATE_ON_COMPLETION | NET_DMA.INTERRUPT_ON_COMPLETION


def pattern(length: int, salt: int = 1) -> bytes:
    """Bytes of which no two places are likely to be alike."""
    return bytes((index * 167 + (index >> 8) * 31 + salt * 97) & 0xFF for index in range(length))


class Client:
    """A NetDmaClient that keeps the events and the ends of its copies, in their order."""

    def __init__(self, bench: CopyBench) -> None:
        self.bench = bench
        self.events: list[NET_DMA_PNP_NOTIFICATION_CODE] = []
        self.ended: list[tuple[int, bool, int]] = []  # number of the copy, how it ended, on which processor
        self._posted = 0
        self.handle: ClientHandle = bench.interface.register_client(self)

    def pnp_event(self, code: NET_DMA_PNP_NOTIFICATION_CODE, provider: ProviderRecord) -> None:
        """Keep it."""
        self.events.append(code)

    def channel(self, cpu: int = 0) -> DmaChannel:
        """A channel; AssertionError when there is none."""
        channel = self.handle.allocate_channel(cpu)
        assert channel is not None
        return channel

    def copy(self, channel: DmaChannel, *transfers: Transfer) -> bool:
        """Post; its number is how many were posted before."""
        number = self._posted

        def done(is_copied: bool) -> None:
            self.ended.append((number, is_copied, self.bench.processors.current))

        taken = channel.copy(transfers, done)
        self._posted += taken
        return taken

    @property
    def results(self) -> list[bool]:
        """How the copies ended, in that order."""
        return [is_copied for _, is_copied, _ in self.ended]


def transfer(to: GuestBuffer, source: GuestBuffer, *, at: int = 0, length: int | None = None) -> Transfer:
    """All of the source, or `length` bytes of both from `at`."""
    size = len(source) - at if length is None else length
    return Transfer(to.address + at, source.address + at, size)


class RawChain:
    """A raw channel and its chains: descriptors by place in its memory, mapped source and destination.

    Listens to the channel; place n copies piece n of the source to piece n of the destination.
    """

    def __init__(self, bench: CopyBench, *, pieces: int = 8, piece: int = 64, cpu: int = 0) -> None:
        self.bench = bench
        self.client = Client(bench)
        handle = self.client.handle.allocate_raw_channel(cpu)
        assert handle is not None
        self.handle: ChannelHandle = handle
        self.handle.listener = self
        self.reports: list[int | None] = []
        self.piece = piece
        self.content = pattern(pieces * piece)
        self.source = bench.buffer(self.content, align=4096)
        self.destination = bench.buffer(pieces * piece, align=4096)
        self._mapped: list[tuple[list[Segment], Direction]] = []
        (self.source_segment,) = self._map(self.source, Direction.TO_DEVICE)
        (self.destination_segment,) = self._map(self.destination, Direction.FROM_DEVICE)

    def _map(self, buffer: GuestBuffer, direction: Direction) -> list[Segment]:
        segments = self.bench.system.map(buffer.address, len(buffer), direction)
        self._mapped.append((segments, direction))
        return segments

    def close(self) -> None:
        """Give everything back."""
        if not self.handle.is_freed:
            self.client.handle.free_raw_channel(self.handle)
        for segments, direction in self._mapped:
            self.bench.system.unmap(segments, direction)
        self.source.free()
        self.destination.free()

    def on_interrupt_dpc(self, descriptor: int | None) -> None:
        """Keep the report, by place; None of a failure."""
        self.reports.append(None if descriptor is None else self.place(descriptor))

    # -- descriptors -----------------------------------------------------------------------------------------

    def pointer(self, place: int) -> DescriptorPointer:
        """The descriptor at a place."""
        return DescriptorPointer(self.handle.memory, place * DESCRIPTOR_BYTES)

    def place(self, address: int) -> int:
        """The place of a bus address."""
        return (address - self.handle.memory.addr) // DESCRIPTOR_BYTES

    def make(self, place: int, flags: int = 0, **changed: int) -> NET_DMA_DESCRIPTOR:
        """A descriptor that copies the piece of its place."""
        at = place * self.piece
        values = {
            "transfer_size": self.piece,
            "control_flags": flags,
            "source_address": self.source_segment.addr + at,
            "destination_address": self.destination_segment.addr + at,
        }
        return NET_DMA_DESCRIPTOR(**values | changed)

    def put(self, places: Sequence[int], *descriptors: NET_DMA_DESCRIPTOR, onward: int | None = None) -> None:
        """A chain over these places, by default of plain copies of which the last reports.

        It ends with NULL in version 1.x, and leads to place `onward`, or the one after the last, in 2.0.
        """
        last = len(places) - 1
        made = descriptors or [self.make(p, REPORT if i == last else 0) for i, p in enumerate(places)]
        for index, (place, descriptor) in enumerate(zip(places, made, strict=True)):
            following = (
                places[index + 1] if index < last else (places[last] + 1 if onward is None else onward)
            )
            ends = index == last and not self.is_counted
            descriptor.next_descriptor = 0 if ends else self.pointer(following).physical
            self.pointer(place).write(descriptor)

    @property
    def is_counted(self) -> bool:
        """Version 2.0 and later."""
        return self.handle.record.version.is_counted

    # -- operations ------------------------------------------------------------------------------------------

    def start(self, *places: int) -> NTSTATUS:
        """Start a chain that was put."""
        return self.handle.start(self.pointer(places[0]), len(places))

    def append(self, *places: int) -> NTSTATUS:
        """Append one: before 2.0, NextDescriptor of the place before is rewritten, as the interface does."""
        if not self.is_counted:
            self.pointer(places[0] - 1).link(self.pointer(places[0]).physical)
        return self.handle.append(self.pointer(places[0]), len(places))

    # -- looking ---------------------------------------------------------------------------------------------

    @property
    def copied(self) -> set[int]:
        """The pieces that arrived; AssertionError when one has other bytes than 0 or its own."""
        found = set()
        for start in range(0, len(self.content), self.piece):
            seen = bytes(self.destination.view[start : start + self.piece])
            if seen == self.content[start : start + self.piece]:
                found.add(start // self.piece)
            else:
                assert not any(seen), f"piece {start // self.piece} is torn"
        return found

    @property
    def completion(self) -> CompletionStatus:
        """The completion status."""
        return self.handle.completion
