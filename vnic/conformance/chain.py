"""A NetDMA client that makes its chains by hand: descriptors by place, and what became of each piece."""

from __future__ import annotations

from collections.abc import Sequence

from vnic.host.bus import Direction, Segment
from vnic.host.memory import GuestBuffer
from vnic.netdma.client import ProviderRecord
from vnic.netdma.descriptor import DESCRIPTOR_BYTES, NET_DMA, NET_DMA_DESCRIPTOR, DescriptorPointer
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE, NTSTATUS, Transfer
from vnic.testbench.copy_bench import CopyBench

REPORT = NET_DMA.STATUS_UPDATE_ON_COMPLETION | NET_DMA.INTERRUPT_ON_COMPLETION


def content(length: int, salt: int = 0) -> bytes:
    """Bytes that tell where they were."""
    return bytes((n * 131 + (n >> 8) * 17 + salt * 59 + 1) & 0xFF for n in range(length))


class CopyClient:
    """A client of the interface: keeps what it is told, and how its copies ended, in their order."""

    def __init__(self, bench: CopyBench) -> None:
        self.bench = bench
        self.events: list[NET_DMA_PNP_NOTIFICATION_CODE] = []
        self.ended: list[tuple[int, bool, int]] = []
        self._count = 0
        self.handle = bench.interface.register_client(self)

    def pnp_event(self, code: NET_DMA_PNP_NOTIFICATION_CODE, provider: ProviderRecord) -> None:
        """NetDmaNotification..."""
        self.events.append(code)

    def copy(self, channel: object, *transfers: Transfer) -> bool:
        """Post a copy; what comes of it is (number, whether it was copied, processor) in `ended`."""
        number = self._count

        def done(is_copied: bool) -> None:
            self.ended.append((number, is_copied, self.bench.processors.current))

        taken: bool = channel.copy(transfers, done)  # type: ignore[attr-defined]
        self._count += taken
        return taken


class Chain:
    """A raw channel; place n of its memory copies piece n of a source to piece n of a destination.

    Gives everything back at the end of a with block that goes well.
    """

    def __init__(self, bench: CopyBench, *, pieces: int = 8, piece: int = 64, cpu: int = 0) -> None:
        self.bench = bench
        self.client = CopyClient(bench)
        handle = self.client.handle.allocate_raw_channel(cpu)
        assert handle is not None, "no channel"
        self.handle = handle
        handle.listener = self
        self.reports: list[int | None] = []
        self.piece = piece
        self.bytes = content(pieces * piece)
        self.source = bench.buffer(self.bytes, align=4096)
        self.target = bench.buffer(pieces * piece, align=4096)
        self._mapped: list[tuple[list[Segment], Direction]] = []
        self.source_addr = self._map(self.source, Direction.TO_DEVICE)
        self.target_addr = self._map(self.target, Direction.FROM_DEVICE)

    def _map(self, buffer: GuestBuffer, direction: Direction) -> int:
        segments = self.bench.system.map(buffer.address, len(buffer), direction)
        self._mapped.append((segments, direction))
        assert len(segments) == 1, "a bench for chains does not scatter"
        return segments[0].addr

    def __enter__(self) -> Chain:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            return
        if not self.handle.is_freed:
            self.client.handle.free_raw_channel(self.handle)
        for segments, direction in self._mapped:
            self.bench.system.unmap(segments, direction)
        self.source.free()
        self.target.free()

    def on_interrupt_dpc(self, descriptor: int | None) -> None:
        """NetDmaInterruptDpc: by place; None: the channel failed."""
        self.reports.append(None if descriptor is None else self.place(descriptor))

    # -- making ----------------------------------------------------------------------------------------------

    def pointer(self, place: int) -> DescriptorPointer:
        """The descriptor at a place."""
        return DescriptorPointer(self.handle.memory, place * DESCRIPTOR_BYTES)

    def place(self, address: int) -> int:
        """The place of a bus address."""
        return (address - self.handle.memory.addr) // DESCRIPTOR_BYTES

    def make(self, place: int, flags: int = 0, **changed: int) -> NET_DMA_DESCRIPTOR:
        """A copy of the piece of a place."""
        at = place * self.piece
        usual = {
            "transfer_size": self.piece,
            "control_flags": flags,
            "source_address": self.source_addr + at,
            "destination_address": self.target_addr + at,
        }
        return NET_DMA_DESCRIPTOR(**usual | changed)

    @property
    def is_counted(self) -> bool:
        """Version 2.0 on: chains end by their count; before, by NULL."""
        return self.handle.record.version.is_counted

    def put(
        self, places: Sequence[int], made: Sequence[NET_DMA_DESCRIPTOR] = (), *, onward: int = -1
    ) -> None:
        """Write a chain: plain copies, of which the last reports, or those given.

        onward: the place that its last one leads to in version 2; by default the one behind it.
        """
        last = len(places) - 1
        for index, place in enumerate(places):
            one = made[index] if made else self.make(place, REPORT if index == last else 0)
            following = places[index + 1] if index < last else (onward if onward >= 0 else place + 1)
            is_end = index == last and not self.is_counted
            one.next_descriptor = 0 if is_end else self.pointer(following).physical
            self.pointer(place).write(one)

    # -- moving ----------------------------------------------------------------------------------------------

    def start(self, *places: int) -> NTSTATUS:
        """ProviderStartDma."""
        return self.handle.start(self.pointer(places[0]), len(places))

    def append(self, *places: int) -> NTSTATUS:
        """ProviderAppendDma; in version 1 the descriptor before is linked first."""
        if not self.is_counted:
            self.pointer(places[0] - 1).link(self.pointer(places[0]).physical)
        return self.handle.append(self.pointer(places[0]), len(places))

    def steps(self, count: int) -> None:
        """So many steps of the engine."""
        for _ in range(count):
            self.bench.step(0)

    # -- looking ---------------------------------------------------------------------------------------------

    @property
    def copied(self) -> set[int]:
        """The pieces that arrived; AssertionError when one is neither whole nor untouched."""
        found = set()
        for number in range(len(self.bytes) // self.piece):
            at = slice(number * self.piece, (number + 1) * self.piece)
            seen = bytes(self.target.view[at])
            if seen == self.bytes[at]:
                found.add(number)
            else:
                assert not any(seen), f"piece {number} arrived with other bytes"
        return found

    def ends_at(self, place: int, status: int) -> None:
        """The completion status names this descriptor, and says so."""
        found = self.handle.completion
        address = self.pointer(place).physical
        assert found == (address, status), (
            f"the completion status is ({self.place(found.address)}, {found.status}), not ({place}, {status})"
        )
