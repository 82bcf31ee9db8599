"""The receive pool of a pair: buffers that the card fills with data for which no receive is posted."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack

from vnic.errors import AllocationError, CapacityError
from vnic.gen.descriptors import ChmPoolBuffer
from vnic.gen.registers import BAR0
from vnic.host.bus import Bus
from vnic.miniport.buffers import PAGE, Allocation, Memory, Piece
from vnic.miniport.receive import RingFault
from vnic.miniport.registers import Registers
from vnic.miniport.ring import DescriptorRing
from vnic.ndis.net_buffer_list import Mdl

#: Bytes of a pool buffer; divides a page, so that one bus address names it.
BUFFER_BYTES = 2048


class Kept:
    """Bytes of a connection that the host has not consumed: part of a pool buffer, or memory of their own."""

    __slots__ = ("_address", "_allocation", "_piece", "_pool", "_view", "is_pushed", "length", "offset")

    def __init__(self, address: int, view: memoryview, length: int, is_pushed: bool) -> None:
        self._address = address
        self._view = view
        self._pool: ReceivePool | None = None
        self._piece: Piece | None = None
        self._allocation: Allocation | None = None
        self.offset = 0
        self.length = length
        self.is_pushed = is_pushed

    @classmethod
    def in_pool(cls, pool: ReceivePool, piece: Piece, length: int, is_pushed: bool) -> Kept:
        """In a buffer, which goes back to the card when the bytes are consumed."""
        kept = cls(piece.address, piece.view, length, is_pushed)
        kept._pool, kept._piece = pool, piece
        return kept

    @classmethod
    def copy_of(cls, memory: Memory, parts: list[memoryview], is_pushed: bool) -> Kept:
        """A copy in memory of its own; raises AllocationError."""
        length = sum(map(len, parts))
        allocation = memory.alloc_pages(-(-length // PAGE) * PAGE, label="chimney data")
        at = 0
        for part in parts:
            allocation.view[at : at + len(part)] = part
            at += len(part)
        kept = cls(allocation.address, allocation.view, length, is_pushed)
        kept._allocation = allocation
        return kept

    @property
    def view(self) -> memoryview:
        """The bytes that are left."""
        return self._view[self.offset : self.offset + self.length]

    def mdl(self) -> Mdl:
        """An MDL of the bytes that are left."""
        return Mdl(self.view, self._address + self.offset)

    def consume(self, count: int) -> None:
        """The first `count` bytes have gone to the host."""
        self.offset += count
        self.length -= count

    def release(self) -> None:
        """The memory is free again."""
        if self._pool is not None and self._piece is not None:
            self._pool.recycle(self._piece)
            self._pool = self._piece = None
        if self._allocation is not None:
            self._allocation.free()
            self._allocation = None


class ReceivePool:
    """The pool ring of one pair and its buffers. Callers hold the chimney's lock."""

    def __init__(self, bus: Bus, memory: Memory, registers: Registers, index: int, count: int) -> None:
        self.index = index
        self._memory = memory
        self._registers = registers
        with ExitStack() as undo:
            self.ring = DescriptorRing(bus, count, ChmPoolBuffer.SIZE)
            undo.callback(self.ring.free)
            self._allocation = memory.alloc_pages((count - 1) * BUFFER_BYTES, label="chimney pool")
            undo.pop_all()
        base, view = self._allocation.address, self._allocation.view
        starts = range(0, (count - 1) * BUFFER_BYTES, BUFFER_BYTES)
        self._spare = deque(Piece(bus, base + at, view[at : at + BUFFER_BYTES]) for at in starts)
        self._posted: deque[Piece] = deque()

    def start(self) -> None:
        """Configure and run the ring with all its buffers. Raises RingFault."""
        registers, i = self._registers, self.index
        registers.write(BAR0.CHQ_POOL_BASE, self.ring.memory.addr, i)
        registers.write(BAR0.CHQ_POOL_COUNT, self.ring.count, i)
        registers.write(BAR0.CHQ_POOL_BUF_LEN, BUFFER_BYTES, i)
        registers.write(BAR0.CHQ_POOL_CTRL, 1, i)
        if not registers.field(BAR0.CHQ_POOL_STATUS, "RUNNING", i):
            raise RingFault(f"pool ring {i} does not start")
        self.flush()

    def flush(self) -> None:
        """Give every spare buffer to the card; one that cannot be mapped waits for the next flush."""
        before = self.ring.tail
        while self._spare and self.ring.room:
            try:
                addr = self._spare[0].map()
            except (AllocationError, CapacityError):
                break
            self.ring.put(ChmPoolBuffer(addr).pack())
            self._posted.append(self._spare.popleft())
        if self.ring.tail != before:
            self._registers.write(BAR0.CHQ_POOL_TAIL, self.ring.tail_index, self.index)

    @property
    def has_spare(self) -> bool:
        """Whether a flush has something to do."""
        return bool(self._spare)

    @property
    def is_short(self) -> bool:
        """Whether so few buffers are left that the host must not keep more: their data is copied."""
        return len(self._posted) + len(self._spare) < max(self.ring.count // 4, 2)

    def take(self, index: int, length: int, is_pushed: bool) -> Kept | None:
        """One CHM_DATA entry; None when the card could not write the buffer. Raises RingFault."""
        if not self._posted or index != self.ring.head % self.ring.count or length > BUFFER_BYTES:
            raise RingFault(f"{length} bytes in pool buffer {index}")
        self.ring.head += 1
        piece = self._posted.popleft()
        piece.unmap()
        if not length:
            self._spare.append(piece)
            return None
        kept = Kept.in_pool(self, piece, length, is_pushed)
        return self._moved(kept) if self.is_short else kept

    def _moved(self, kept: Kept) -> Kept:
        """The bytes in memory of their own, the buffer free; where there is none they stay."""
        try:
            copy = Kept.copy_of(self._memory, [kept.view], kept.is_pushed)
        except (AllocationError, CapacityError):
            return kept
        kept.release()
        return copy

    def recycle(self, piece: Piece) -> None:
        """A buffer is the pool's again; the card has it with the next flush."""
        self._spare.append(piece)

    def reclaim(self) -> None:
        """The ring was reset: what the card had is spare."""
        while self._posted:
            piece = self._posted.popleft()
            piece.unmap()
            self._spare.append(piece)
        self.ring.clear()

    def free(self) -> None:
        """Give the memory back; no buffer may be with the host."""
        self.reclaim()
        self._allocation.free()
        self.ring.free()
