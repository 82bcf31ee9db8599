"""One C copy engine as a Python object: a PCI function with DMA channels."""

from __future__ import annotations

from typing import Any

from vnic._core import lib
from vnic._kind import Kind
from vnic.abi import CopyPart
from vnic.config import CopyEngineConfig
from vnic.function import UNBOUNDED, BarWindow, Budget, Observation, PciFunction
from vnic.gen.registers import COPY_BAR0

__all__ = ["IRQ", "UNBOUNDED", "BarWindow", "Budget", "CopyEngine", "CopyEngineConfig", "Observation"]

#: What step() takes for interrupts that INTRDELAY held back; 0 to 15 are the channels.
IRQ = CopyPart.IRQ

_COPY_ENGINE = Kind("vnic_copy", CopyEngineConfig, COPY_BAR0.MAP, lib.vnic_access_to_copy)


class CopyEngine(PciFunction[CopyEngineConfig]):
    """The copy engine. Its own read8 to write64 are those of BAR0, where the MSI-X table is, too.

    runnable and step() number its engines: 0 to 15 are the channels, IRQ raises interrupts that were delayed.
    """

    def __init__(
        self, config: CopyEngineConfig | None = None, *, manual: bool = False, **parameters: Any
    ) -> None:
        """`parameters` are those of CopyEngineConfig, where no `config` is given."""
        super().__init__(_COPY_ENGINE, config, manual, parameters)
