"""A queue pair: three rings, the processor that serves them, and a bounded look at what the card has done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from vnic.gen.descriptors import RxCompletion, TxCompletion
from vnic.gen.enums import CompletionType, RingError
from vnic.gen.registers import BAR0, QpCqCtrl, QpRxCtrl, QpTxCtrl
from vnic.host.bus import Bus
from vnic.host.cpu import Processors, SpinLock
from vnic.miniport.buffers import DATA_BYTES, HEADER_BYTES, Memory
from vnic.miniport.offload import TaskOffloads
from vnic.miniport.receive import ReceiveQueue, RingFault
from vnic.miniport.registers import Registers
from vnic.miniport.ring import CompletionRing
from vnic.miniport.transmit import Bounce, Send, TransmitQueue
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.status import NDIS_STATUS

#: Completion types that are the chimney's.
CHIMNEY_TYPES = frozenset(kind for kind in CompletionType if kind.name.startswith("CHM_"))


@dataclass(frozen=True, slots=True)
class QueueShape:
    """Sizes of rings in descriptors, slots for the chimney; whether headers are split, and tags told of."""

    receive: int
    transmit: int
    is_split: bool = False
    reports_tags: bool = False
    chimney: int = 0

    @property
    def completions(self) -> int:
        """A power of two: an entry for every descriptor, so that the card never waits; the chimney may."""
        return 1 << (self.receive + self.transmit + self.chimney - 1).bit_length()


@dataclass(slots=True)
class Harvest:
    """What one look found: NBLs to indicate and to complete, entries of the chimney, and more to come."""

    received: list[NetBufferList] = field(default_factory=list)
    sent: list[NetBufferList] = field(default_factory=list)
    chimney: list[bytes] = field(default_factory=list)
    has_more: bool = False
    must_lend: bool = False
    fault: RingFault | None = None


class QueuePair:
    """One pair; AllocationError leaves nothing allocated.

    `home` is the processor of its interrupt, `cpu` the one on which its DPC runs.
    """

    def __init__(
        self,
        index: int,
        home: int,
        *,
        bus: Bus,
        memory: Memory,
        registers: Registers,
        processors: Processors,
        shape: QueueShape,
        offloads: TaskOffloads,
        bounce: Bounce,
        source_handle: object,
    ) -> None:
        self.index = index
        self.home = self.cpu = home
        self.vector = index
        self.lock = SpinLock(processors, f"queue {index}")
        self.is_polling = False
        self.poll_again = False
        self._registers = registers
        self._shape = shape
        with ExitStack() as undo:
            self.receive = ReceiveQueue(
                bus,
                memory,
                shape.receive,
                offloads,
                is_split=shape.is_split,
                reports_tags=shape.reports_tags,
                source_handle=source_handle,
            )
            undo.callback(self.receive.free)
            doorbell = self._doorbell(BAR0.QP_TX_TAIL.name)
            self.transmit = TransmitQueue(bus, shape.transmit, bounce, doorbell)
            undo.callback(self.transmit.free)
            self._completions = CompletionRing(bus, shape.completions)
            undo.pop_all()
        self._announce_receive = self._doorbell(BAR0.QP_RX_TAIL.name)
        self._announce_completions = self._doorbell(BAR0.QP_CQ_TAIL.name)
        self._seen = 0, 0  # QP_TX_HEAD, and the oldest descriptor that was not reported
        self._stuck_checks = 0
        self._hole: int | None = None  # where an entry is missing before others

    def _doorbell(self, name: str) -> Callable[[int], None]:
        offset = self._registers.offset(BAR0.MAP[name], self.index)
        registers = self._registers
        return lambda index: registers.window.write32(offset, index)

    # -- life --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Steps 8 to 10: completion ring, receive ring with its buffers, transmit ring. Raises RingFault."""
        registers, i = self._registers, self.index
        registers.write(BAR0.QP_CQ_BASE, self._completions.memory.addr, i)
        registers.write(BAR0.QP_CQ_COUNT, self._completions.count, i)
        registers.write(BAR0.QP_CQ_VECTOR, self.vector, i)
        registers.write(BAR0.QP_CQ_CTRL, QpCqCtrl.ENABLE, i)
        self._announce_completions(self._completions.count - 1)
        registers.write(BAR0.QP_RX_BASE, self.receive.ring.memory.addr, i)
        registers.write(BAR0.QP_RX_COUNT, self.receive.ring.count, i)
        registers.write(BAR0.QP_RX_BUF_LEN, DATA_BYTES, i)
        registers.write(BAR0.QP_RX_HDR_LEN, HEADER_BYTES, i)
        registers.write(BAR0.QP_RX_CTRL, QpRxCtrl.ENABLE, i)
        registers.write(BAR0.QP_TX_BASE, self.transmit.ring.memory.addr, i)
        registers.write(BAR0.QP_TX_COUNT, self.transmit.ring.count, i)
        registers.write(BAR0.QP_TX_CTRL, QpTxCtrl.ENABLE, i)
        error = self.ring_error()
        if error is not RingError.NONE:
            raise RingFault(f"queue {i} does not start: {error.name}")
        self._refill()

    def stop(self) -> None:
        """Stop the rings: the card uses no memory of the pair afterwards."""
        for register in (BAR0.QP_RX_CTRL, BAR0.QP_TX_CTRL, BAR0.QP_CQ_CTRL):
            self._registers.write(register, 0, self.index)

    def ring_error(self) -> RingError:
        """Why one of the rings stopped; NONE while all run. A card that is gone shows as NO_CQ."""
        for register in (BAR0.QP_CQ_STATUS, BAR0.QP_RX_STATUS, BAR0.QP_TX_STATUS):
            status = register.decode(self._registers.read(register, self.index))
            if status["ERROR"] in RingError._value2member_map_ and status["ERROR"]:
                return RingError(status["ERROR"])
            if not status["RUNNING"] or status["ERROR"]:
                return RingError.NO_CQ
        return RingError.NONE

    def forget(self, status: NDIS_STATUS) -> list[NetBufferList]:
        """The card's rings are reset or gone: take every buffer back; the sends that end with `status`."""
        done = self.transmit.abort_all(status)
        self.receive.reclaim()
        self._completions.clear()
        self._seen, self._stuck_checks = (0, 0), 0
        self._hole = None
        return done

    def reset(self, status: NDIS_STATUS) -> list[NetBufferList]:
        """Reset this pair's rings alone, for start(); the sends that were lost."""
        self._registers.write(BAR0.QP_CQ_CTRL, QpCqCtrl.RESET, self.index)
        return self.forget(status)

    def free(self) -> None:
        """Give all memory back; the rings are stopped or reset."""
        self.receive.free()
        self.transmit.free()
        self._completions.free()

    # -- work --------------------------------------------------------------------------------------------

    def submit(self, sends: list[Send]) -> list[NetBufferList]:
        """Hand sends to the ring; the NBLs that ended at once."""
        with self.lock:
            return self.transmit.submit(sends)

    def poll(self, budget: int) -> Harvest:
        """Take at most `budget` frames and all sends that are done, then give the card its room back."""
        harvest = Harvest()
        with self.lock:
            try:
                self._take(harvest, budget)
            except RingFault as fault:
                harvest.fault = fault
            harvest.must_lend = self.receive.is_short
            tail = self._completions.tail_to_announce()
            if tail is not None:
                self._announce_completions(tail)
            self._refill()
            harvest.sent += self.transmit.pump()
        return harvest

    def _take(self, harvest: Harvest, budget: int) -> None:
        view = self._completions.memory.view
        while len(harvest.received) + len(harvest.chimney) < budget:
            offset = self._completions.next_offset()
            if offset is None:
                return
            kind = view[offset + 24] & 0xF
            if kind == CompletionType.RX:
                nbl = self.receive.accept(RxCompletion.unpack(view, offset))
                if nbl is not None:
                    harvest.received.append(nbl)
            elif kind == CompletionType.TX:
                harvest.sent += self.transmit.reap(TxCompletion.unpack(view, offset))
            elif kind in CHIMNEY_TYPES and self._shape.chimney:
                harvest.chimney.append(bytes(view[offset : offset + CompletionRing.ENTRY_BYTES]))
            else:
                raise RingFault(f"a completion of type {kind}")
        harvest.has_more = self._completions.has_news

    def recycle(self, nbls: list[NetBufferList]) -> None:
        """Indicated NBLs came back: their buffers go to the card again."""
        with self.lock:
            for nbl in nbls:
                self.receive.recycle(nbl)
            self._refill()

    def _refill(self) -> None:
        if self.receive.refill():
            self._announce_receive(self.receive.ring.tail_index)

    @property
    def has_news(self) -> bool:
        """Whether a completion waits to be taken."""
        with self.lock:
            return self._completions.has_news

    def is_stuck(self) -> bool:
        """Whether no send was done between two checks, nor a descriptor taken, though some were there."""
        with self.lock:
            head = self._registers.read(BAR0.QP_TX_HEAD, self.index)
            seen = head, self.transmit.ring.head
            is_still = bool(self.transmit.posted) and seen == self._seen
            self._stuck_checks = self._stuck_checks + 1 if is_still else 0
            self._seen = seen
            return self._has_old_hole() or self._stuck_checks >= 2

    def _has_old_hole(self) -> bool:
        """Whether at two checks the same completion was not there though the card went on: it is lost."""
        completions = self._completions
        written = self._registers.read(BAR0.QP_CQ_HEAD, self.index)
        is_hole = written != completions.position and not completions.has_news
        before, self._hole = self._hole, completions.position if is_hole else None
        return is_hole and before == self._hole
