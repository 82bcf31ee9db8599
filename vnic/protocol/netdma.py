"""The NetDMA client: received data goes from receive buffers to posted buffers by a copy engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vnic.abi import HookAnswer
from vnic.host.clock import Timer, VirtualClock
from vnic.host.cpu import Processors
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.protocol import BindingHandle
from vnic.netdma.types import NET_DMA_PNP_NOTIFICATION_CODE, Transfer
from vnic.protocol.coexistence import Coexistence
from vnic.protocol.netdma_channels import Channel, Channels, Registration
from vnic.protocol.netdma_holds import Hold, Holds
from vnic.protocol.netdma_options import NetDmaOptions, NetDmaTally, Reason
from vnic.protocol.switches import Switches
from vnic.stack.memory import move, pointer_of
from vnic.stack.stack import Stack

_BATCH = 64


class HostMemory(Protocol):
    """Memory of the guest: an arena whose addresses the bus knows."""

    @property
    def base(self) -> int:
        """The first address."""

    @property
    def view(self) -> memoryview:
        """All of it."""


class Interface(Protocol):
    """The NetDMA interface, as a client sees it."""

    def register_client(self, client: NetDma) -> Registration:
        """Take part."""


@dataclass(slots=True)
class Copy:
    """One copy that the stack waits for; places as the processor sees them."""

    ticket: int
    to: int
    source: int
    length: int
    #: The NBL that is kept for it; None: the stack sees to it that the bytes stay.
    hold: Hold | None


@dataclass(slots=True, eq=False)
class Batch:
    """Copies that were given to a channel together."""

    channel: Channel
    copies: list[Copy]
    since_ns: int
    was_looked_for: bool = False


class NetDma:
    """The stack's copy hook over channels of the NetDMA interface. [NDMA-20] to [NDMA-24]

    `on_released` is called when NBLs went back, at DISPATCH or below.
    """

    def __init__(
        self,
        stack: Stack,
        memory: HostMemory,
        processors: Processors,
        clock: VirtualClock,
        *,
        options: NetDmaOptions | None = None,
        coexistence: Coexistence | None = None,
    ) -> None:
        self.options = options or NetDmaOptions()
        self.switches = self.options.switches
        self.tally = NetDmaTally()
        self.holds = Holds()
        self.on_released: Callable[[], None] = lambda: None
        self._stack = stack
        self._memory = memory
        self._first = pointer_of(memory.view)
        self._end = self._first + len(memory.view)
        self._processors = processors
        self._clock = clock
        self._coexistence = coexistence or Coexistence()
        self._channels = Channels(self.options, lambda: clock.now_ns)
        self._gathered: list[Copy] = []
        self._batches: list[Batch] = []
        self._is_hooked = False
        self._is_receiving = False
        self._why_not = Reason.NOT_KEPT
        self._timer: Timer | None = None
        self._coexistence.listeners.append(self._apply_rules)

    def attach(self, interface: Interface) -> None:
        """Become a client of the interface, and the stack's copy hook where the host allows it."""
        self._channels.registration = interface.register_client(self)
        self._apply_rules()

    # -- what the host allows --------------------------------------------------------------------------------

    def may_move(self, handle: BindingHandle | None = None) -> bool:
        """Whether switch and components let data of a binding be moved. [INV-49]"""
        return self.switches.EnableTCPA and self._coexistence.may_netdma(handle)

    def set_switches(self, switches: Switches) -> None:
        """Change the host's switches; what is under way is finished, nothing new begins."""
        self.switches = switches
        self._apply_rules()

    def _apply_rules(self) -> None:
        wanted = self._channels.registration is not None and self.may_move()
        if wanted is not self._is_hooked and not self._stack.is_closed:
            self._is_hooked = wanted
            self._stack.set_copy_hook(self._on_copy if wanted else None)

    def pnp_event(self, code: NET_DMA_PNP_NOTIFICATION_CODE, provider: object) -> None:
        """Of the interface: a provider came, went, or changed its power. [NDMA-8]"""
        self._channels.on_event(code)

    # -- indications -----------------------------------------------------------------------------------------

    @property
    def is_listening(self) -> bool:
        """Whether frames are to be given to the stack as kept."""
        return self._is_hooked

    def begin(
        self, handle: BindingHandle, frames: Iterable[tuple[NetBufferList, memoryview]], *, may_keep: bool
    ) -> None:
        """The stack is about to see frames, each in one piece, that may be kept or not."""
        self._is_receiving = True
        self.holds.begin([])
        if not self.may_move(handle):
            self._why_not = Reason.OBSTACLE
        elif not may_keep:
            self._why_not = Reason.NOT_KEPT
        elif not self._channels.is_open:
            self._why_not = Reason.NO_CHANNEL
        else:
            self._why_not = Reason.ELSEWHERE
            self.holds.begin([self._hold(handle, *frame) for frame in frames])

    def _hold(self, handle: BindingHandle, nbl: NetBufferList, view: memoryview) -> Hold:
        return Hold(nbl, handle, pointer_of(view), len(view))

    def end(self) -> None:
        """The stack has seen them."""
        self._is_receiving = False
        self.holds.end()
        self.tally.kept_peak = self.holds.peak

    def _on_copy(self, to: int, source: int, length: int, ticket: int) -> HookAnswer:
        """The stack's copy hook: it must not use the stack, nor call anyone who might."""
        reason, hold = self._judge(to, source, length)
        if reason is not None:
            self.tally.declined[reason] += 1
            self.tally.bytes_by_processor += length
            return HookAnswer.DECLINED
        if hold is not None:
            self.tally.kept += not hold.copies
            hold.copies += 1
        self._gathered.append(Copy(ticket, to, source, length, hold))
        return HookAnswer.LATER

    def _judge(self, to: int, source: int, length: int) -> tuple[Reason | None, Hold | None]:
        """Why the processor is to copy, or what has to be kept for the engine."""
        if length < self.options.minimum_bytes:
            return Reason.SHORT, None
        if not self._reaches(to, length) or not self._reaches(source, length):
            return Reason.ELSEWHERE, None
        if self._is_receiving:
            hold = self.holds.find(source, length)
            return (self._why_not if hold is None else None), hold
        # Bytes of a chimney's target that nobody has read: the stack has them until they are copied.
        return (None if self._channels.is_open else Reason.NO_CHANNEL), None

    def _reaches(self, place: int, length: int) -> bool:
        return self._first <= place and place + length <= self._end

    # -- submitting ------------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """Copies that are not done."""
        return len(self._gathered) + sum(len(batch.copies) for batch in self._batches)

    def submit(self) -> int:
        """Give the engine what the stack asked for since; how many copies. At DISPATCH or below."""
        copies, self._gathered = self._gathered, []
        if not self._is_hooked:  # forbidden meanwhile
            self._finish(copies, Reason.OBSTACLE)
            return len(copies)
        for first in range(0, len(copies), _BATCH):
            self._submit(copies[first : first + _BATCH])
        return len(copies)

    def _submit(self, copies: list[Copy]) -> None:
        channel = self._channels.of(self._processors.current)
        if channel is None:
            self._finish(copies, Reason.NO_CHANNEL)
            return
        batch = Batch(channel, copies, self._clock.now_ns)
        self._batches.append(batch)  # before the call: another processor may see its end first
        if not channel.copy(
            [self._transfer(copy) for copy in copies], lambda is_good: self._done(batch, is_good)
        ):
            self._batches.remove(batch)
            self._finish(copies, Reason.REFUSED)
            if not channel.outstanding:
                self._channels.give_up(channel)
            return
        self.tally.batches += 1
        self._watch()

    def _transfer(self, copy: Copy) -> Transfer:
        offset = self._memory.base - self._first
        return Transfer(copy.to + offset, copy.source + offset, copy.length)

    # -- completing ------------------------------------------------------------------------------------------

    def _done(self, batch: Batch, is_good: bool) -> None:
        """The channel is through with a batch."""
        if batch not in self._batches:
            return
        self._batches.remove(batch)
        if not is_good:
            self.tally.failures += 1
            self._finish(batch.copies, Reason.FAILED)
            return
        self._channels.on_success()
        self.tally.copies += len(batch.copies)
        self.tally.bytes_by_engine += sum(copy.length for copy in batch.copies)
        self._complete(batch.copies)

    def _finish(self, copies: Sequence[Copy], reason: Reason) -> None:
        """The processor copies what the engine did not, all of it. [NDMA-22]"""
        for copy in copies:
            move(copy.to, copy.source, copy.length)
            self.tally.bytes_by_processor += copy.length
            self.tally.bytes_finished += copy.length
        self.tally.declined[reason] += len(copies)
        self._complete(copies)

    def _complete(self, copies: Sequence[Copy]) -> None:
        """Every byte is in its place: the stream goes on, and receive buffers go back. [NDMA-21]"""
        if not self._stack.is_closed:
            for copy in copies:
                self._stack.copied(copy.ticket)
        holds = [copy.hold for copy in copies if copy.hold is not None]
        if holds:
            self.holds.release(holds)
            self.on_released()

    # -- patience --------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Look after what takes too long: interrupts are lost, engines die."""
        if self._timer is not None or not self._batches:
            return
        oldest_ns = min(batch.since_ns for batch in self._batches)
        deadline_ns = max(oldest_ns + self.options.patience_ns, self._clock.now_ns + 1)
        self._timer = self._clock.call_at(deadline_ns, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._processors.queue_work(self._look)

    def _look(self) -> None:
        """Poll what is late; give up what was late before."""
        now_ns = self._clock.now_ns
        late = [batch for batch in self._batches if now_ns - batch.since_ns >= self.options.patience_ns]
        for channel in {id(batch.channel): batch.channel for batch in late}.values():
            channel.poll()
        for batch in late:
            if batch not in self._batches:
                self.tally.looked_up += 1
            elif batch.was_looked_for:
                self._channels.give_up(batch.channel)
            else:
                batch.was_looked_for, batch.since_ns = True, now_ns
        self._watch()

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Finish by the processor what is not done, and leave the interface; idempotent."""
        if self._apply_rules in self._coexistence.listeners:
            self._coexistence.listeners.remove(self._apply_rules)
        if not self._stack.is_closed and self._is_hooked:
            self._stack.set_copy_hook(None)
        self._is_hooked = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        copies, self._gathered = self._gathered, []
        self._finish(copies, Reason.NO_CHANNEL)
        self._channels.close()
