"""Which queue a transfer of a card belongs to: told by where rings are, and by their descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from vnic.abi import DmaPurpose, EventType
from vnic.device import Device
from vnic.events import Event
from vnic.gen.descriptors import RxCompletion, RxDesc, TxData
from vnic.gen.enums import DescType
from vnic.gen.model import Register
from vnic.gen.registers import BAR0

_RX = Struct("<QQ")
_SIZES = {"RX": RxDesc.SIZE, "TX": TxData.SIZE, "CQ": RxCompletion.SIZE}


class Rings:
    """The rings of a card; `registers` is a copy of it, which can be read without a trace of that."""

    def __init__(self, registers: Device, card: Device) -> None:
        self._registers = registers
        self._card = card
        self._pairs = range(card.config.queue_pairs or 0)

    def _get(self, register: Register, pair: int) -> int:
        return self._registers.read(0, register.at(pair), register.bytes)

    def _span(self, ring: str, pair: int) -> tuple[int, int]:
        """Bus address and bytes of a ring."""
        base = self._get(BAR0.MAP[f"QP_{ring}_BASE"], pair)
        return base, self._get(BAR0.MAP[f"QP_{ring}_COUNT"], pair) * _SIZES[ring]

    def queues_of(self, event: Event, *, is_searching: bool = False) -> frozenset[int]:
        """Queue pairs that an act concerns; of payload only when `is_searching`: through all descriptors."""
        if event.type == EventType.FRAME_OUT:
            return frozenset({event.index})
        if event.type == EventType.INTERRUPT:
            return self.queues_of_vector(event.index)
        if event.index == DmaPurpose.DESCRIPTOR:
            return self._at(event.addr, ("RX", "TX"))
        if event.index == DmaPurpose.COMPLETION:
            return self._at(event.addr, ("CQ",))
        return self._with_buffer(event) if is_searching else frozenset()

    def queues_of_vector(self, vector: int) -> frozenset[int]:
        """Pairs whose completion ring interrupts by a vector."""
        return frozenset(pair for pair in self._pairs if self._get(BAR0.QP_CQ_VECTOR, pair) == vector)

    def _at(self, addr: int, rings: tuple[str, ...]) -> frozenset[int]:
        for pair in self._pairs:
            for ring in rings:
                base, size = self._span(ring, pair)
                if base <= addr < base + size:
                    return frozenset({pair})
        return frozenset()

    def _with_buffer(self, event: Event) -> frozenset[int]:
        find = self._tx_buffers if event.type == EventType.DMA_READ else self._rx_buffers
        return frozenset(
            pair
            for pair in self._pairs
            if any(first <= event.addr < first + size for first, size in find(pair))
        )

    def _memory(self, ring: str, pair: int) -> memoryview:
        base, size = self._span(ring, pair)
        found = self._card.memory_at(base, size) if size else None
        return found[0] if found is not None else memoryview(b"")

    def _rx_buffers(self, pair: int) -> Iterator[tuple[int, int]]:
        data_bytes = self._get(BAR0.QP_RX_BUF_LEN, pair)
        header_bytes = self._get(BAR0.QP_RX_HDR_LEN, pair)
        memory = self._memory("RX", pair)
        for at in range(0, len(memory) - RxDesc.SIZE + 1, RxDesc.SIZE):
            data, header = _RX.unpack_from(memory, at)
            yield data, data_bytes
            yield header, header_bytes

    def _tx_buffers(self, pair: int) -> Iterator[tuple[int, int]]:
        memory = self._memory("TX", pair)
        for at in range(0, len(memory) - TxData.SIZE + 1, TxData.SIZE):
            descriptor = TxData.unpack(memory, at)
            if descriptor.type == DescType.DATA:
                yield descriptor.addr, descriptor.len
