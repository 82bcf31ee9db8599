"""From a message or the line to the queues it is about, and when to let the card interrupt again.

MSI-X: a vector per queue and one for events; AUTO_MASK quiets the vector that was raised, its queue's DPC
enables it again. MSI and the line: one interrupt for all, told apart by the cause register; the ISR clears
the master enable, DPCs run on the processors of the queues found, and the last one to end sets it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vnic.gen.registers import BAR0, IntCtrl, VecCtrl
from vnic.host.bus import InterruptKind, VectorKinds
from vnic.miniport.queue import QueuePair
from vnic.miniport.registers import Registers
from vnic.ndis.miniport import InterruptCharacteristics, InterruptHandle, InterruptResult, MiniportHandle

#: GLB_EVENT bits that the driver wants to hear of.
EVENTS = BAR0.GLB_EVENT_ENABLE.encode(LINK=1, RING=1, DMA=1, CHIMNEY=1)
_SERVED = VecCtrl.ENABLE | VecCtrl.AUTO_MASK
#: *InterruptModeration on: at most one interrupt of a vector in this time, ns.
MODERATION_NS = 20_000


@dataclass(slots=True)
class Due:
    """What a DPC on one processor has to do."""

    queues: set[int] = field(default_factory=set)
    has_events: bool = False

    def take(self) -> Due:
        """All of it; nothing is due afterwards."""
        taken = Due(self.queues, self.has_events)
        self.queues, self.has_events = set(), False
        return taken

    @property
    def is_empty(self) -> bool:
        """Whether nothing is due."""
        return not self.queues and not self.has_events


class Interrupts:
    """The interrupts of one adapter. `queues` decide by their `cpu` where DPCs run."""

    def __init__(
        self, handle: MiniportHandle, registers: Registers, homes: tuple[int, ...], kinds: VectorKinds
    ) -> None:
        """Registers with NDIS for a message per home and one for events; raises NdisFailure."""
        self._handle = handle
        self._registers = registers
        self._queues: list[QueuePair] = []
        self._due: dict[int, Due] = {}
        self._owed: set[int] = set()
        self.is_live = False
        self.event_vector = 0
        self.moderation_ns = 0
        wanted = InterruptCharacteristics(len(homes) + 1, (*homes, homes[0]), kinds)
        self.registration: InterruptHandle = handle.m_register_interrupt_ex(wanted)
        self.kind = self.registration.kind
        self.messages = len(self.registration.affinity)

    @property
    def is_shared(self) -> bool:
        """One interrupt for everything, told apart by the cause register."""
        return self.kind != InterruptKind.MSIX

    @property
    def queues_served(self) -> int:
        """How many queues can have a vector of their own; 0: any number, told apart by the cause."""
        return 0 if self.is_shared else max(self.messages - 1, 1)

    def attach(self, queues: list[QueuePair], vectors: int) -> None:
        """The queues served from now on: queue q raises vector q, events the next one, if there is one."""
        self._queues = queues
        available = vectors if self.is_shared else min(self.messages, vectors)
        self.event_vector = len(queues) if len(queues) < available else 0

    # -- the card's side ---------------------------------------------------------------------------------

    def program(self) -> None:
        """Step 7: vectors, events, and the master enable last."""
        for vector in {*(queue.vector for queue in self._queues), self.event_vector}:
            self._registers.write(BAR0.VEC_INTERVAL, self.moderation_ns, vector)
            self._registers.write(BAR0.VEC_CTRL, VecCtrl.ENABLE if self.is_shared else _SERVED, vector)
        self._registers.write(BAR0.GLB_EVENT_VECTOR, self.event_vector)
        self._registers.write(BAR0.GLB_EVENT_ENABLE, EVENTS)
        self._due.clear()
        self._owed.clear()
        self.is_live = True
        self._registers.write(BAR0.INT_CTRL, IntCtrl.MASTER_ENABLE)

    def set_moderation(self, interval_ns: int) -> None:
        """VEC_INTERVAL of every vector; takes effect at each one's next interrupt."""
        self.moderation_ns = interval_ns
        for vector in {*(queue.vector for queue in self._queues), self.event_vector}:
            self._registers.write(BAR0.VEC_INTERVAL, interval_ns, vector)

    def quiet(self) -> None:
        """No more interrupts; DPCs that are queued find nothing due."""
        self.is_live = False
        self._registers.write(BAR0.INT_CTRL, 0)
        self._due.clear()
        self._owed.clear()

    def deregister(self) -> None:
        """NdisMDeregisterInterruptEx."""
        self._handle.m_deregister_interrupt_ex(self.registration)

    # -- ISR ---------------------------------------------------------------------------------------------

    def service(self, message_id: int) -> InterruptResult:
        """The ISR: whose interrupt it is, and where its DPCs shall run."""
        if not self.is_shared:
            return self._service_message(message_id)
        cause = self._registers.read(BAR0.INT_CAUSE)
        if cause == BAR0.INT_CAUSE.field("VECTORS").max or not self.is_live:
            return InterruptResult(self.kind != InterruptKind.INTX)
        if not cause:
            # A message was ours whatever the register says: an earlier ISR read the cause.
            return InterruptResult(self.kind != InterruptKind.INTX)
        self._registers.write(BAR0.INT_CTRL, 0)
        return InterruptResult(True, target_processors=self._note(cause))

    def _service_message(self, message_id: int) -> InterruptResult:
        """AUTO_MASK has quieted the vector, so the ISR needs no register."""
        if not self.is_live:
            return InterruptResult(True)
        return InterruptResult(True, target_processors=self._note(1 << message_id))

    def _note(self, vectors: int) -> frozenset[int]:
        """Write down what is due where; returns the processors."""
        targets = set()
        for queue in self._queues:
            if vectors >> queue.vector & 1:
                self._due_on(queue.cpu).queues.add(queue.index)
                targets.add(queue.cpu)
        if vectors >> self.event_vector & 1:
            processor = self._queues[0].home
            self._due_on(processor).has_events = True
            targets.add(processor)
        self._owed |= targets
        return frozenset(targets)

    def _due_on(self, processor: int) -> Due:
        return self._due.setdefault(processor, Due())

    # -- DPC ---------------------------------------------------------------------------------------------

    def take_due(self, message_id: int, processor: int) -> Due:
        """What the DPC that runs on `processor` has to do."""
        return self._handle.m_synchronize_with_interrupt_ex(
            self.registration, message_id, lambda: self._due_on(processor).take()
        )

    def queue_again(self, message_id: int, queue: QueuePair) -> None:
        """There is more than one DPC may do: queue another on the processor that now serves the queue."""
        processor = queue.cpu

        def note() -> None:
            self._due_on(processor).queues.add(queue.index)
            self._owed.add(processor)

        self._handle.m_synchronize_with_interrupt_ex(self.registration, message_id, note)
        message = message_id if self.is_shared else queue.vector
        self._handle.m_queue_dpc_ex(self.registration, message, frozenset({processor}))

    def end_queue(self, queue: QueuePair) -> None:
        """A queue's completions are all taken. With a vector of its own it may interrupt again at once."""
        if not self.is_shared and self.is_live:
            self._registers.write(BAR0.VEC_CTRL, _SERVED, queue.vector)

    def end_events(self) -> None:
        """Events were looked at."""
        if not self.is_shared and self.is_live:
            self._registers.write(BAR0.VEC_CTRL, _SERVED, self.event_vector)

    def end_dpc(self, message_id: int, processor: int) -> None:
        """A DPC ends; with one interrupt for all, the last one lets the card interrupt again."""
        if not self.is_shared:
            return

        def is_last() -> bool:
            if self._due_on(processor).is_empty:
                self._owed.discard(processor)
            return not self._owed

        is_over = self._handle.m_synchronize_with_interrupt_ex(self.registration, message_id, is_last)
        if is_over and self.is_live:
            self._registers.write(BAR0.INT_CTRL, IntCtrl.MASTER_ENABLE)
