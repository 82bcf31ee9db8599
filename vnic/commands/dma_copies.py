"""Copies through NetDMA in a machine of its own, batch by batch, each batch next to memcpy."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

from vnic.abi import DmaPurpose, EventType, InterruptKind
from vnic.commands.dma_tally import ENGINE_ALONE, MEMCPY, THROUGH_NETDMA, Plan, Tally
from vnic.errors import UnrestError
from vnic.events import Event
from vnic.fault import ANY, DmaStatus, Fault, FaultAction, FaultHandle, FaultSite
from vnic.gen.registers import COPY_BAR0
from vnic.host.bus import PAGE, Interrupt
from vnic.host.memory import GuestBuffer
from vnic.netdma.client import DmaChannel
from vnic.netdma.dma_channel import Done
from vnic.netdma.record import ProviderRecord
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE, Transfer
from vnic.testbench.copy_bench import CopyBench

TRANSFER_LOG2 = 20
TRANSFER_MAX = 1 << TRANSFER_LOG2
_WINDOW = 32 << 20  # bytes that are gone through, of each buffer
_ROOM = 16 << 20  # guest memory for all the rest
_REGIONS = 1 << 17
_RING = 512
_BATCH = 128  # copies
_PATIENCE_NS = 1_000_000_000
_WAITS_MAX = 100
#: What can go wrong and be noticed: where, and of what purpose; an interrupt is lost.
_FAULTS = (
    (FaultSite.DMA_READ, DmaPurpose.DATA),
    (FaultSite.DMA_WRITE, DmaPurpose.DATA),
    (FaultSite.DMA_READ, DmaPurpose.DESCRIPTOR),
    (FaultSite.DMA_WRITE, DmaPurpose.COMPLETION),
    (FaultSite.INTERRUPT, None),
)
_STATUSES = (DmaStatus.UNSUPPORTED, DmaStatus.ABORTED, DmaStatus.POISONED, DmaStatus.TIMEOUT)


class Copies:
    """A machine with an engine, its provider, and a client that has all the channels: this.

    show: told after each batch how many bytes of how many are done.
    """

    def __init__(self, plan: Plan, show: Callable[[int, int], None] = lambda done, total: None) -> None:
        self.plan = plan
        self._show = show
        self._total = 0
        self.tally = Tally()
        self._random = random.Random(plan.seed)
        self._window = max(_WINDOW // plan.size, 1) * plan.size
        self._bench = CopyBench(
            channels=plan.channels,
            seed=plan.seed,
            interrupt=plan.interrupt,
            version=plan.version,
            device={"transfer_log2": TRANSFER_LOG2, "map_regions": _REGIONS, "faults": max(plan.faults, 1)},
            ring=_RING,
            memory_bytes=-(-3 * self._window // PAGE) * PAGE + _ROOM,
            scatter=plan.has_iommu,
            strict_dma=plan.has_iommu,
            is_checked=False,
        )
        self._client = self._bench.interface.register_client(self)
        self._channels = list(self._allocate())
        self._buffers: list[GuestBuffer] = []
        self._armed: list[FaultHandle] = []
        self._faulty: set[int] = set()  # numbers of copies before which a fault is armed
        self._batch = _BATCH
        self._bench.engine.observe(self._on_write, (EventType.MMIO_WRITE,))
        self._bench.engine.connect_interrupts(self)

    def _allocate(self) -> Iterator[DmaChannel]:
        for number in range(self.plan.channels):
            channel = self._client.allocate_channel(number % len(self._bench.processors))
            assert channel is not None
            yield channel

    def pnp_event(self, code: NET_DMA_PNP_NOTIFICATION_CODE, provider: ProviderRecord) -> None:
        """Of no interest: this machine's provider stays."""

    def __enter__(self) -> Copies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._bench.abandon()
            return
        self.tally.faults_fired = sum(handle.disarm() for handle in self._armed)
        for channel in self._channels:
            self.tally.descriptors += channel.descriptors
            self.tally.lost_interrupts += channel.lost_interrupts
        self._client.deregister()
        for buffer in self._buffers:
            buffer.free()
        self._bench.close()

    def signal(self, interrupt: Interrupt) -> None:
        """An interrupt leaves the engine; the end of a line's is none."""
        self.tally.interrupts += interrupt.kind != InterruptKind.INTX or interrupt.data == 1
        self._bench.system.signal(interrupt)

    def _on_write(self, event: Event) -> None:
        """Counts the errors that the driver clears."""
        register = COPY_BAR0.CHANERR
        channel, offset = divmod(event.addr - register.at(0), register.stride)
        if offset == 0 and 0 <= channel < self.plan.channels:
            self.tally.errors.update(name for name, bit in register.decode(event.value).items() if bit)

    # -- memory ----------------------------------------------------------------------------------------------

    def take_room(self, total: int) -> tuple[memoryview, memoryview]:
        """Source and destination of copies of `total` bytes, as far as they fit at once; once only."""
        self._total = total
        copies = -(-total // self.plan.size)
        self._choose_faulty(copies)
        at_once = self.plan.channels if self.plan.is_hot else self._window // self.plan.size
        size = max(min(copies, at_once), 1) * self.plan.size
        labels = ("source", "destination", "destination of memcpy")
        self._buffers = [self._bench.memory.alloc(size, align=PAGE, label=label) for label in labels]
        for buffer in self._buffers:
            buffer.view[:] = bytes(size)  # pages that nobody has touched would cost who comes first
        return self._buffers[0].view, self._buffers[1].view

    def copy_memory(self, total: int) -> bool:
        """Copy so many random bytes, in rounds; whether all arrived, and nothing beside them."""
        source, destination = self.take_room(total)
        content = self._random.randbytes(len(source))
        source[:] = content
        while self.tally.bytes < total and not self.tally.wrong:
            left = total - self.tally.bytes
            length = left if self.plan.is_hot else min(left, len(source))
            destination[:] = bytes(len(destination))
            self.copy(length)
            if bytes(source) != content:
                self.tally.wrong = "the source has changed"
            elif bytes(destination) != content[:length] + bytes(max(len(content) - length, 0)):
                self.tally.wrong = f"the destination differs within {self.tally.bytes:,} bytes"
        return not self.tally.wrong

    # -- copying ---------------------------------------------------------------------------------------------

    def copy(self, length: int) -> None:
        """Copy so many bytes from the source to the same places of the destination; hot: round and round."""
        waiting = list(self._cut(length))
        waiting.reverse()
        while waiting:
            self._bench.engine.is_manual = True  # it waits until the whole batch is there
            begun = time.thread_time()
            batch = self._post(waiting)
            self._finish(batch, begun)
            self._compare_speed(batch)
            self._show(self.tally.bytes, self._total)

    def _cut(self, length: int) -> Iterator[Transfer]:
        source, destination, _ = self._buffers
        for start in range(0, length, self.plan.size):
            at = start % len(source)
            yield Transfer(destination.address + at, source.address + at, min(self.plan.size, length - start))

    def _post(self, waiting: list[Transfer]) -> list[Transfer]:
        """Give copies to the channels in turn until one takes no more; those that were taken."""
        batch: list[Transfer] = []
        while waiting and len(batch) < self._batch:
            transfer = waiting[-1]
            if self.tally.copies in self._faulty:
                self._arm(len(batch))
            channel = self._channels[self.tally.copies % len(self._channels)]
            if not channel.copy((transfer,), self._make_done(transfer)):
                if batch:
                    break
                self._copy_by_processor(transfer)
            batch.append(waiting.pop())
            self.tally.copies += 1
            self.tally.bytes += transfer.length
        return batch

    def _make_done(self, transfer: Transfer) -> Done:
        def done(is_copied: bool) -> None:
            self.tally.completions += 1
            if not is_copied:
                self.tally.failures += 1
                self._copy_by_processor(transfer)

        return done

    def _copy_by_processor(self, transfer: Transfer) -> None:
        memory = self._bench.memory
        memory.write(transfer.destination, memory.read(transfer.source, transfer.length))
        self.tally.by_processor += 1

    def _finish(self, batch: Sequence[Transfer], begun: float) -> None:
        """Let the engine go, and the machine hear of it."""
        total = sum(transfer.length for transfer in batch)
        started = time.thread_time()
        self._bench.engine.run()
        stopped = time.thread_time()
        self._bench.engine.is_manual = False
        self._settle()
        self.tally.note(ENGINE_ALONE, total, len(batch), stopped - started)
        self.tally.note(THROUGH_NETDMA, total, len(batch), time.thread_time() - begun)

    def _settle(self) -> None:
        """Until every copy has ended; one whose interrupt was lost is found when time has passed."""
        for _ in range(_WAITS_MAX):
            self._bench.settle()
            if not any(channel.outstanding for channel in self._channels):
                return
            self._bench.advance(_PATIENCE_NS)
        raise UnrestError("a copy does not come to an end")

    # -- faults ----------------------------------------------------------------------------------------------

    def _choose_faulty(self, copies: int) -> None:
        """One fault before a copy; it stops what its channel was given, so that batches get short."""
        chosen = min(self.plan.faults, copies)
        self._faulty = set(self._random.sample(range(copies), chosen))
        if chosen:
            self._batch = max(min(_BATCH, copies // chosen // 2), 1)

    def _arm(self, before: int) -> None:
        """Something goes wrong soon: after as many transfers as there are copies in the batch, or fewer."""
        self._faulty.discard(self.tally.copies)
        site, purpose = self._random.choice(_FAULTS)
        is_lost = purpose is None
        fault = Fault(
            site=site,
            action=FaultAction.DROP if is_lost else FaultAction.ERROR,
            index=ANY if purpose is None else int(purpose),
            skip=0 if is_lost else self._random.randint(0, before),
            argument=0 if is_lost else int(self._random.choice(_STATUSES)),
        )
        self._armed.append(self._bench.engine.arm(fault))
        self.tally.faults_armed += 1

    # -- beside it -------------------------------------------------------------------------------------------

    def _compare_speed(self, batch: Sequence[Transfer]) -> None:
        """memcpy of as many bytes from half the buffer away: caches hold these neither more nor less."""
        source, _, target = self._buffers
        span = batch[-1].source + batch[-1].length - batch[0].source
        shift = 0
        if not self.plan.is_hot:
            first = batch[0].source - source.address
            shift = min((first + len(source) // 2) % len(source), len(source) - span) - first
        pairs = []
        for transfer in batch:
            at = transfer.source - source.address + shift
            pairs.append((target.view[at : at + transfer.length], source.view[at : at + transfer.length]))
        empty = [(target.view[:0], source.view[:0])] * len(pairs)
        seconds = _seconds_of(pairs) - _seconds_of(empty)
        self.tally.note(MEMCPY, sum(transfer.length for transfer in batch), len(batch), seconds)


def _seconds_of(pairs: Sequence[tuple[memoryview, memoryview]]) -> float:
    begun = time.thread_time()
    for to, origin in pairs:
        to[:] = origin
    return time.thread_time() - begun
