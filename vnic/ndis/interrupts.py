"""A registered interrupt: from the bus's vector over the ISR at DIRQL to the DPC on each processor."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from vnic.errors import CapacityError
from vnic.host.bus import Handler, InterruptKind, VectorKinds
from vnic.host.cpu import Level
from vnic.ndis.miniport import InterruptCharacteristics, InterruptResult, Miniport, NdisFailure
from vnic.ndis.status import NDIS_STATUS
from vnic.ndis.verifier import Verifier

T = TypeVar("T")


class InterruptBus(Protocol):
    """The part of a Bus that NDIS itself uses: interrupt vectors."""

    def alloc_vectors(self, minimum: int, maximum: int, kinds: VectorKinds = VectorKinds.ANY) -> int:
        """Get vectors, numbered from 0; CapacityError."""

    def free_vectors(self) -> None:
        """Give them back."""

    @property
    def vector_kind(self) -> InterruptKind:
        """What they are."""

    def request_irq(self, vector: int, handler: Handler, cpu: int = 0) -> None:
        """Call handler(vector) on `cpu`."""

    def free_irq(self, vector: int) -> None:
        """No more calls."""


class Interrupt:
    """NdisInterruptHandle: granted messages, their processors, and the way to ISR and DPC."""

    def __init__(
        self,
        verifier: Verifier,
        miniport: Miniport,
        bus: InterruptBus,
        wanted: InterruptCharacteristics,
    ) -> None:
        self._verifier = verifier
        self._miniport = miniport
        self._bus = bus
        try:
            count = bus.alloc_vectors(1, max(wanted.messages, 1), wanted.kinds)
        except CapacityError as error:
            raise NdisFailure(NDIS_STATUS.RESOURCE_CONFLICT, str(error)) from None
        self.is_registered = True
        self.kind = bus.vector_kind
        asked = wanted.affinity or tuple(range(count))
        processors = len(verifier.processors)
        self.affinity = tuple(asked[message % len(asked)] % processors for message in range(count))

    def connect(self) -> None:
        """Start delivery; an interrupt may come at once."""
        for message, cpu in enumerate(self.affinity):
            self._bus.request_irq(message, self._service, cpu)

    def disconnect(self) -> None:
        """Stop delivery; DPCs that are queued still run."""
        for message in range(len(self.affinity)):
            self._bus.free_irq(message)
        self._bus.free_vectors()

    def release(self) -> None:
        """The end: queued DPCs are dropped too."""
        self.is_registered = False
        for message in range(len(self.affinity)):
            self._verifier.processors.discard(self._source(message))

    def has_pending_dpc(self) -> bool:
        """Whether a DPC is queued on any processor."""
        processors = self._verifier.processors
        return any(processors.is_pending(self._source(message)) for message in range(len(self.affinity)))

    def _source(self, message_id: int) -> tuple[int, int]:
        return id(self), message_id

    def _service(self, message_id: int) -> bool:
        """The handler that the interrupt controller calls; False says "not mine" on a shared line."""
        processors = self._verifier.processors
        if processors.level != Level.DIRQL:
            raise RuntimeError("an ISR needs DIRQL: let the controller deliver by Processors.raise_interrupt")
        with self._verifier.entering(self._miniport, "MiniportInterrupt", f"message {message_id}") as call:
            result = self._miniport.interrupt(message_id)
            call.result = "claimed" if result.is_claimed else "not ours"
        if result.is_claimed:
            self._queue_requested(result, message_id, processors.current)
        return result.is_claimed

    def _queue_requested(self, result: InterruptResult, message_id: int, cpu: int) -> None:
        targets = frozenset({cpu}) if result.default_dpc else result.target_processors
        self.queue_dpcs(message_id, targets, None)

    def queue_dpcs(self, message_id: int, targets: frozenset[int], context: object) -> frozenset[int]:
        """Queue a DPC on each target; returns those on which none was queued before."""
        verifier = self._verifier
        if not self.is_registered:
            raise verifier.breach("INT-1", self._miniport, "a DPC for a deregistered interrupt")
        processors = verifier.processors
        if not 0 <= message_id < len(self.affinity) or not all(0 <= cpu < len(processors) for cpu in targets):
            where = f"message {message_id}, processors {sorted(targets)}"
            raise verifier.breach("INT-2", self._miniport, f"a DPC for {where}")
        source = self._source(message_id)
        routine = partial(self._dpc, message_id)
        return frozenset(
            cpu for cpu in sorted(targets) if processors.queue_dpc(cpu, routine, context, source)
        )

    def _dpc(self, message_id: int, context: object) -> None:
        cpu = self._verifier.processors.current
        with self._verifier.entering(self._miniport, "MiniportInterruptDPC", f"message {message_id}"):
            self._miniport.interrupt_dpc(message_id, cpu, context)

    def synchronize(self, function: Callable[[], T]) -> T:
        """Run `function` at DIRQL."""
        if not self.is_registered:
            raise self._verifier.breach(
                "INT-1", self._miniport, "synchronizing with a deregistered interrupt"
            )
        with self._verifier.processors.raised_to(Level.DIRQL):
            return function()
