"""Interrupt vectors of one function: MSI-X, MSI or the line, programmed as a kernel does for its driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vnic.abi import InterruptKind
from vnic.errors import CapacityError, UnknownError
from vnic.gen.registers import CONFIG, MSIX_TABLE
from vnic.host.bus import Handler, VectorKinds, Window
from vnic.host.interrupts import InterruptController, Irq, Line
from vnic.host.pci import CapabilityId, ConfigSpace, Fields, capability_fields


class VectorSource(ConfigSpace, Protocol):
    """What of a function this needs."""

    def window(self, bar: int) -> Window:
        """The BAR with the MSI-X table."""


class Scheme(Protocol):
    """One way to interrupt."""

    kind: InterruptKind
    irqs: list[Irq]

    def enable(self, irq: Irq) -> None:
        """The handler is there: let the interrupt through."""

    def disable(self, irq: Irq) -> None:
        """The handler goes."""

    def aim(self, irq: Irq) -> None:
        """The interrupt's processor changed."""

    def close(self) -> None:
        """Off."""


class MsixVectors:
    """A table entry a vector; entries without a handler are masked."""

    kind = InterruptKind.MSIX

    def __init__(self, function: VectorSource, controller: InterruptController, count: int) -> None:
        self._controller = controller
        self._control = capability_fields(function, CONFIG.MSIX_CTRL, CapabilityId.MSIX)
        self._table = function.window(self._control[CONFIG.MSIX_TABLE, "BIR"])
        self._table_offset = self._control[CONFIG.MSIX_TABLE, "OFFSET"] * 8
        self.irqs = controller.allocate(count)
        # Masked as a whole until no entry holds what was there before.
        self._control.change(CONFIG.MSIX_CTRL, ENABLE=1, FUNCTION_MASK=1)
        for irq in self.irqs:
            self._set_mask(irq, 1)
            self.aim(irq)
        self._control[CONFIG.MSIX_CTRL, "FUNCTION_MASK"] = 0

    @staticmethod
    def capacity(function: VectorSource) -> int:
        """Vectors that the function offers; UnknownError when it has no MSI-X."""
        control = capability_fields(function, CONFIG.MSIX_CTRL, CapabilityId.MSIX)
        return control[CONFIG.MSIX_CTRL, "TABLE_SIZE"] + 1

    def enable(self, irq: Irq) -> None:
        """Unmask."""
        self._set_mask(irq, 0)

    def disable(self, irq: Irq) -> None:
        """Mask."""
        self._set_mask(irq, 1)

    def aim(self, irq: Irq) -> None:
        """Rewrite the message, masked meanwhile: a half-written one must not go out."""
        address, data = self._controller.message(irq, irq.cpu)
        mask = self._entry(MSIX_TABLE.ENTRY_CTRL.offset, irq)
        old = self._table.read32(mask)
        self._table.write32(mask, old | 1)
        self._table.write32(self._entry(MSIX_TABLE.ENTRY_ADDR_LO.offset, irq), address & 0xFFFF_FFFF)
        self._table.write32(self._entry(MSIX_TABLE.ENTRY_ADDR_HI.offset, irq), address >> 32)
        self._table.write32(self._entry(MSIX_TABLE.ENTRY_DATA.offset, irq), data)
        self._table.write32(mask, old)

    def close(self) -> None:
        """Mask all, then disable."""
        self._control[CONFIG.MSIX_CTRL, "FUNCTION_MASK"] = 1
        self._control.change(CONFIG.MSIX_CTRL, ENABLE=0, FUNCTION_MASK=0)
        self._controller.release(self.irqs)

    def _entry(self, offset: int, irq: Irq) -> int:
        return self._table_offset + irq.vector * MSIX_TABLE.ENTRY_CTRL.stride + offset

    def _set_mask(self, irq: Irq, mask: int) -> None:
        self._table.write32(self._entry(MSIX_TABLE.ENTRY_CTRL.offset, irq), mask)


class MsiVectors:
    """One message whose low data bits are the vector; all vectors go to one processor."""

    kind = InterruptKind.MSI

    def __init__(self, function: VectorSource, controller: InterruptController, log2: int) -> None:
        self._controller = controller
        self._control = capability_fields(function, CONFIG.MSI_CTRL, CapabilityId.MSI)
        self.irqs = controller.allocate(1 << log2, align=1 << log2)
        self._has_mask = bool(self._control[CONFIG.MSI_CTRL, "MASKABLE"])
        self._set_masks((1 << len(self.irqs)) - 1)
        self._write_message(0)
        self._control.change(CONFIG.MSI_CTRL, GRANTED=log2, ENABLE=1)

    @staticmethod
    def capacity_log2(function: VectorSource) -> int:
        """Log2 of the vectors that the function offers; UnknownError when it has no MSI."""
        control = capability_fields(function, CONFIG.MSI_CTRL, CapabilityId.MSI)
        return control[CONFIG.MSI_CTRL, "CAPABLE"]

    def enable(self, irq: Irq) -> None:
        """Unmask, where the function can."""
        self._set_masks(self._masks & ~(1 << irq.vector))

    def disable(self, irq: Irq) -> None:
        """Mask, where the function can."""
        self._set_masks(self._masks | 1 << irq.vector)

    def aim(self, irq: Irq) -> None:
        """Move all vectors: there is but one address."""
        for other in self.irqs:
            other.cpu = irq.cpu
        self._write_message(irq.cpu)

    def close(self) -> None:
        """Disable."""
        self._control[CONFIG.MSI_CTRL, "ENABLE"] = 0
        self._controller.release(self.irqs)

    def _write_message(self, cpu: int) -> None:
        address, data = self._controller.message(self.irqs[0], cpu)
        self._control.write(CONFIG.MSI_ADDR_LO, address & 0xFFFF_FFFF)
        self._control.write(CONFIG.MSI_ADDR_HI, address >> 32)
        self._control.write(CONFIG.MSI_DATA, data)

    def _set_masks(self, masks: int) -> None:
        self._masks = masks
        if self._has_mask:
            self._control.write(CONFIG.MSI_MASK, masks)


class LineVector:
    """The INTx line: one vector, level-triggered, shared."""

    kind = InterruptKind.INTX

    def __init__(self, function: VectorSource, line: Line) -> None:
        self._command = Fields(function)
        self._line = line
        self.irqs = [Irq(0)]
        self._command[CONFIG.COMMAND, "INTX_DISABLE"] = 0

    def enable(self, irq: Irq) -> None:
        """Connect to the line."""
        self._line.connect(irq)

    def disable(self, irq: Irq) -> None:
        """Disconnect."""
        self._line.disconnect(irq)

    def aim(self, irq: Irq) -> None:
        """The line asks for the processor at each delivery."""

    def close(self) -> None:
        """Keep the function from pulling a line that nobody serves."""
        self._command[CONFIG.COMMAND, "INTX_DISABLE"] = 1


class Vectors:
    """The vectors that a driver holds, whatever they are made of."""

    def __init__(self, function: VectorSource, controller: InterruptController, line: Line) -> None:
        self._function = function
        self._controller = controller
        self._line = line
        self._scheme: Scheme | None = None

    @property
    def scheme(self) -> Scheme:
        """What is in force; UnknownError before allocation."""
        if self._scheme is None:
            raise UnknownError("no vectors are allocated")
        return self._scheme

    @property
    def is_allocated(self) -> bool:
        """Whether vectors are held."""
        return self._scheme is not None

    def allocate(self, minimum: int, maximum: int, kinds: VectorKinds) -> int:
        """The best kind that gives at least `minimum`; how many there are. CapacityError when none does."""
        if self._scheme is not None:
            raise CapacityError("vectors are allocated already")
        if not 1 <= minimum <= maximum:
            raise CapacityError(f"from {minimum} to {maximum} vectors were asked for")
        ways: list[tuple[VectorKinds, Callable[[int, int], Scheme | None]]] = [
            (VectorKinds.MSIX, self._try_msix),
            (VectorKinds.MSI, self._try_msi),
            (VectorKinds.INTX, self._try_line),
        ]
        for kind, attempt in ways:
            if kind in kinds and (scheme := attempt(minimum, maximum)) is not None:
                self._scheme = scheme
                return min(len(scheme.irqs), maximum)
        raise CapacityError(f"the function has no {minimum} vectors of {kinds!r}")

    def free(self) -> None:
        """Give them back; CapacityError while one has a handler."""
        for irq in self.scheme.irqs:
            if irq.handler is not None:
                raise CapacityError(f"vector {irq.vector} still has a handler")
        self.scheme.close()
        self._scheme = None

    def irq(self, vector: int) -> Irq:
        """The input behind a vector; UnknownError outside of what was allocated."""
        if not 0 <= vector < len(self.scheme.irqs):
            raise UnknownError(f"there is no vector {vector}")
        return self.scheme.irqs[vector]

    def request(self, vector: int, handler: Handler, cpu: int) -> None:
        """Connect a handler and let the interrupt through; CapacityError when there is one."""
        irq = self.irq(vector)
        if irq.handler is not None:
            raise CapacityError(f"vector {vector} has a handler")
        irq.handler = handler
        if irq.cpu != cpu:
            irq.cpu = cpu
            self.scheme.aim(irq)
        self.scheme.enable(irq)

    def release(self, vector: int) -> None:
        """Disconnect the handler; UnknownError when there is none."""
        irq = self.irq(vector)
        if irq.handler is None:
            raise UnknownError(f"vector {vector} has no handler")
        self.scheme.disable(irq)
        irq.handler = None

    def set_affinity(self, vector: int, cpu: int) -> None:
        """Move a vector to a processor."""
        irq = self.irq(vector)
        irq.cpu = cpu
        self.scheme.aim(irq)

    def _try_msix(self, minimum: int, maximum: int) -> Scheme | None:
        try:
            capacity = MsixVectors.capacity(self._function)
        except UnknownError:
            return None
        count = min(capacity, maximum)
        return MsixVectors(self._function, self._controller, count) if count >= minimum else None

    def _try_msi(self, minimum: int, maximum: int) -> Scheme | None:
        try:
            capacity = MsiVectors.capacity_log2(self._function)
        except UnknownError:
            return None
        log2 = min(capacity, (maximum - 1).bit_length())
        return MsiVectors(self._function, self._controller, log2) if 1 << log2 >= minimum else None

    def _try_line(self, minimum: int, maximum: int) -> Scheme | None:
        has_pin = Fields(self._function)[CONFIG.INTERRUPT, "PIN"] != 0
        return LineVector(self._function, self._line) if has_pin and minimum == 1 else None
