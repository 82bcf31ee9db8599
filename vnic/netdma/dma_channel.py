"""A channel as a client has it: copies go in, and end in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vnic.errors import AllocationError, ArgumentError, CapacityError
from vnic.host.bus import Bus
from vnic.host.cpu import Level, SpinLock
from vnic.netdma.channel_handle import ChannelHandle, ChannelState
from vnic.netdma.descriptor import NET_DMA, NET_DMA_DESCRIPTOR, OP_TYPE_CONTEXT_CHANGE
from vnic.netdma.mapping import Mapping
from vnic.netdma.overlap import fenced
from vnic.netdma.patience import Patience
from vnic.netdma.plan import Move, plan
from vnic.netdma.ring import Ring
from vnic.netdma.types import NTSTATUS, Transfer
from vnic.netdma.watch import Watch

#: Called with True when every byte is copied; False: the destination is undefined, copy all again.
Done = Callable[[bool], None]

_LAST = NET_DMA.INTERRUPT_ON_COMPLETION | NET_DMA.STATUS_UPDATE_ON_COMPLETION | NET_DMA.SERIALIZE_TRANSFER


@dataclass(slots=True)
class Request:
    """One call of copy(); `last` is the position of its last descriptor."""

    last: int
    transfers: int
    bytes: int
    mapping: Mapping
    done: Done


class DmaChannel:
    """One channel of one client, freed by it or by the end of the provider.

    bytes, transfers: what was copied. errors: requests that ended with done(False). Usable at DISPATCH and
    below; done is called at DISPATCH, one request after the other in the order of their copy().
    """

    def __init__(
        self,
        watch: Watch,
        handle: ChannelHandle,
        bus: Bus,
        *,
        release: Callable[[], None],
        forget: Callable[[], None],
    ) -> None:
        """release: has the interface free the channel; forget: it did, for whatever reason."""
        self.handle = handle
        self.bytes = 0
        self.transfers = 0
        self.errors = 0
        self.descriptors = 0
        self.lost_interrupts = 0
        self._watch = watch
        self._bus = bus
        self._release = release
        self._forget = forget
        self._ring = Ring(handle.memory, is_counted=handle.record.version.is_counted)
        self._lock = SpinLock(watch.processors, "DMA channel")
        self._requests: deque[Request] = deque()
        self._ended: deque[tuple[Request, bool]] = deque()
        self._is_delivering = False
        self._is_closing = False
        self._patience = Patience(watch, handle, self._on_impatience)
        handle.listener = self

    # -- looking ---------------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """Requests whose `done` was not called yet."""
        return len(self._requests) + len(self._ended)

    @property
    def cpu(self) -> int:
        """The processor on which `done` is called."""
        return self.handle.cpu

    @property
    def is_usable(self) -> bool:
        """Whether copy() can take anything."""
        return not self._is_closing and not self.handle.is_freed and self.handle.record.is_usable

    # -- copying ---------------------------------------------------------------------------------------------

    def copy(self, transfers: Sequence[Transfer], done: Done) -> bool:
        """Copy between guest addresses; False, and nothing taken, when there is no room or no engine.

        What needs more descriptors than the channel has is never taken: a page of either side is one at most.
        """
        client = self.handle.client
        self._watch.require(not self._is_closing, "freed", client, "copy on a channel that was freed")
        self._watch.check_level(client, "copy")
        if not self.is_usable or len(transfers) > self._ring.free:
            return False
        self._check(transfers)
        mapping = self._map(transfers)
        if mapping is None:
            return False
        if self._post(transfers, mapping, done):
            return True
        self._unmap(mapping)
        return False

    def _check(self, transfers: Sequence[Transfer]) -> None:
        for transfer in transfers:
            is_sound = transfer.length >= 0 and not transfer.overlaps_itself
            self._watch.require(is_sound, "transfer", self.handle.client, str(transfer))

    def _map(self, transfers: Sequence[Transfer]) -> Mapping | None:
        try:
            return Mapping(self._bus, transfers)
        except (AllocationError, CapacityError):
            return None
        except ArgumentError as error:
            raise self._watch.breach("transfer", self.handle.client, str(error)) from None

    def _post(self, transfers: Sequence[Transfer], mapping: Mapping, done: Done) -> bool:
        descriptors = self._describe(transfers, mapping)
        with self._lock:
            if not self.is_usable or not self._submit(descriptors):
                return False
            total = sum(transfer.length for transfer in transfers)
            last = self._ring.tail - 1
            self._requests.append(Request(last, len(transfers), total, mapping, done))
            self.descriptors += len(descriptors)
            self._patience.begin()
        return True

    def _describe(self, transfers: Sequence[Transfer], mapping: Mapping) -> list[NET_DMA_DESCRIPTOR]:
        """The descriptors; the last one reports, and lets what comes later begin when all of this is done."""
        record = self.handle.record
        most, has_breaks = record.attributes.maximum_transfer_size, record.version.is_counted
        fences = fenced(transfers)
        descriptors = [
            _descriptor(move, NET_DMA.SERIALIZE_TRANSFER if index in fences else 0)
            for index, (source, destination) in enumerate(mapping.pairs)
            for move in plan(source, destination, most, has_breaks=has_breaks)
        ]
        if not descriptors:
            descriptors.append(_null())
        descriptors[-1].control_flags |= _LAST
        return descriptors

    def _submit(self, descriptors: list[NET_DMA_DESCRIPTOR]) -> bool:
        """Give a chain to the provider, by Append where that is allowed. The lock is held."""
        ring, handle = self._ring, self.handle
        must_start = handle.state is ChannelState.NEEDS_START
        if must_start and handle.record.has_dca:
            descriptors = [_context_change(handle.cpu), *descriptors]
        if len(descriptors) > ring.free:
            return False
        position = ring.tail
        first = ring.add(descriptors)
        if must_start:
            handle.clear_completion()
            status = handle.start(first, len(descriptors))
        else:
            ring.link(position)
            status = handle.append(first, len(descriptors))
        if status != NTSTATUS.SUCCESS:
            ring.take_back(position)
        return status == NTSTATUS.SUCCESS

    # -- completion ------------------------------------------------------------------------------------------

    def on_interrupt_dpc(self, descriptor: int | None) -> None:
        """NetDmaInterruptDpc: what the completion status names is done; None: the rest failed."""
        if descriptor is None:
            self.fail()
            return
        is_ours = self._ring.holds(descriptor)
        driver = self.handle.record.driver
        self._watch.require(is_ours, "dpc", driver, f"{descriptor:#x} is no descriptor of the channel")
        self.poll()

    def poll(self) -> int:
        """End what the completion status says is processed; how many requests that were."""
        with self._lock:
            before = len(self._ended)
            self._take_processed()
            ended = len(self._ended) - before
        self._deliver()
        return ended

    def fail(self) -> None:
        """The engine stands still for this channel: what it did not process ends as an error."""
        with self._lock:
            self.handle.on_failed()
            self._take_processed()
            self._ended.extend((request, False) for request in self._requests)
            self._requests.clear()
            self._ring.head = self._ring.tail
        self._deliver()

    def _take_processed(self) -> None:
        """Move requests that are through to `_ended`. The lock is held."""
        processed = self._ring.position_of(self.handle.completion.address)
        if processed is None:
            return
        self._ring.head = processed + 1
        while self._requests and self._requests[0].last <= processed:
            self._ended.append((self._requests.popleft(), True))

    def _deliver(self) -> None:
        """Call `done`; one processor does it for all, so that the order stays."""
        if self._is_delivering:
            return
        self._is_delivering = True
        processors = self._watch.processors
        try:
            with processors.raised_to(max(processors.level, Level.DISPATCH)):
                while self._ended:
                    self._end(*self._ended.popleft())
        finally:
            self._is_delivering = False
        if self._is_closing and not self.outstanding:
            self._give_back()

    def _end(self, request: Request, is_copied: bool) -> None:
        self._unmap(request.mapping)
        if is_copied:
            self.bytes += request.bytes
            self.transfers += request.transfers
        else:
            self.errors += 1
        with self._watch.entering(self.handle.client, "done", str(is_copied)):
            request.done(is_copied)

    def _unmap(self, mapping: Mapping) -> None:
        lost = mapping.end()
        self._watch.require(not lost, "mapped", self.handle.client, "; ".join(lost))

    # -- time ------------------------------------------------------------------------------------------------

    def _on_impatience(self, is_hopeless: bool) -> bool:
        """Nothing was heard for a while: look, at last stop the engine; whether to wait on."""
        if not self._requests:
            return False
        before = self._ring.head
        self.poll()
        if self._requests and is_hopeless and self._ring.head == before and self.handle.stop():
            self.fail()
        elif not self._requests and not self.handle.is_freed:
            # The interrupt was lost, and leaves those of the channel disabled: a reset enables them.
            self.lost_interrupts += 1
            self.handle.stop()
        return bool(self._requests)

    # -- power and end ---------------------------------------------------------------------------------------

    def restart(self) -> None:
        """After PowerUp: a Start with a NULL transfer, so that the engine knows the chain again."""
        with self._lock:
            self.handle.on_failed()
            self._submit([_null()])

    def free(self) -> None:
        """Give the channel back; what is outstanding is stopped and ends with done(False). Idempotent."""
        self._watch.check_level(self.handle.client, "free")
        was_closing, self._is_closing = self._is_closing, True
        if was_closing or self.handle.is_freed:
            return
        self.poll()
        if self._requests and self.handle.stop():
            self.fail()
        elif not self.outstanding:
            self._give_back()

    def abandon(self) -> None:
        """The wait for it was long enough: stop the engine, and end what is outstanding as an error."""
        self.poll()
        if self._requests:
            self.handle.stop()
            self.fail()

    def on_freed(self) -> None:
        """The channel is gone."""
        self._patience.end()
        self._forget()

    def _give_back(self) -> None:
        if not self.handle.is_freed:
            self._release()


def _descriptor(move: Move, flags: int) -> NET_DMA_DESCRIPTOR:
    if move.next_source:
        flags |= NET_DMA.SOURCE_PAGE_BREAK
    if move.next_destination:
        flags |= NET_DMA.DESTINATION_PAGE_BREAK
    return NET_DMA_DESCRIPTOR(
        move.size,
        flags,
        move.source,
        move.destination,
        next_source_address=move.next_source,
        next_destination_address=move.next_destination,
    )


def _null() -> NET_DMA_DESCRIPTOR:
    """A transfer of nothing; some engines check the size even so, so it is 1."""
    flags = NET_DMA.NULL_TRANSFER | NET_DMA.STATUS_UPDATE_ON_COMPLETION
    return NET_DMA_DESCRIPTOR(transfer_size=1, control_flags=flags)


def _context_change(cpu: int) -> NET_DMA_DESCRIPTOR:
    """Direct cache access goes to this processor from now on; its APIC id is its number."""
    return NET_DMA_DESCRIPTOR(transfer_size=cpu & 0xFF, control_flags=OP_TYPE_CONTEXT_CHANGE)
