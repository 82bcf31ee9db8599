"""The card itself reached from Python: a register, a batch of register operations, guest memory."""

from __future__ import annotations

import importlib
from itertools import repeat
from time import thread_time_ns
from types import ModuleType
from typing import Any

from .harness import Figures, MissingError, RoundError
from .python_access import CALLS_A_ROUND, one_argument_ns
from .workshop import Workshop

BLOCK = bytes(range(256)) * 4
BATCH = 512
COMMAND, COMMAND_MEMORY = 0x04, 0x2


def imported(name: str) -> ModuleType:
    """A module of the package; MissingError when the package is not built."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingError(f"the package is not built: {error}") from error


class CardRegisterContender:
    """Device.read32, and the same read as the operations of a batch."""

    name = "card registers"

    def __init__(self) -> None:
        self._device: Any = None
        self._ops: Any = None
        self._offset = 0

    def start(self, shop: Workshop) -> None:
        """Create a card that answers, and a batch of reads of a register whose reset value is known."""
        module = imported("vnic.device")
        registers = imported("vnic.gen.registers")
        self._offset = registers.Reg.MAC_RX_MAX
        self._device = module.Device()
        self._device.config_write(COMMAND, COMMAND_MEMORY, 2)
        self._ops = module.OpList(BATCH)
        for _ in range(BATCH):
            self._ops.read(self._offset)

    def round(self, effort: float) -> Figures:
        """Measure one read, and a batch by the operation."""
        if self._device is None:
            raise RoundError("was not started")
        count = int(CALLS_A_ROUND * effort)
        if self._device.read32(self._offset) != 1518:
            raise RoundError("does not read the register")
        return {
            "card read32": one_argument_ns(self._device.read32, self._offset, count),
            "card batch of 512": self._batch_ns(max(count // BATCH * 4, 4)),
        }

    def stop(self) -> None:
        """Give the card back."""
        if self._device is not None:
            self._device.close()
        self._device = self._ops = None

    def _batch_ns(self, count: int) -> float:
        return one_argument_ns(self._device.batch, self._ops, count) / BATCH


class CardMemoryContender:
    """Guest memory through a buffer's view, and through the memory's read and write."""

    name = "card guest memory"

    def __init__(self) -> None:
        self._memory: Any = None

    def start(self, shop: Workshop) -> None:
        """Make a guest memory."""
        self._memory = imported("vnic.host.memory").GuestMemory()

    def round(self, effort: float) -> Figures:
        """Measure 1 KiB in and out, and see that it arrived."""
        if self._memory is None:
            raise RoundError("was not started")
        count = int(CALLS_A_ROUND * effort)
        buffer = self._memory.alloc(len(BLOCK), align=64)
        figures = {
            "card write 1 KiB": view_write_ns(buffer.view, count),
            "card read 1 KiB": view_read_ns(buffer.view, count),
            "card memory.write 1 KiB": self._write_ns(buffer.address, count),
            "card memory.read 1 KiB": self._read_ns(buffer.address, count),
        }
        if self._memory.read(buffer.address, len(BLOCK)) != BLOCK:
            raise RoundError("what was written is not there")
        buffer.free()
        return figures

    def stop(self) -> None:
        """Let the memory go."""
        self._memory = None

    def _write_ns(self, address: int, count: int) -> float:
        write = self._memory.write
        start = thread_time_ns()
        for _ in repeat(None, count):
            write(address, BLOCK)
        return (thread_time_ns() - start) / count

    def _read_ns(self, address: int, count: int) -> float:
        read = self._memory.read
        start = thread_time_ns()
        for _ in repeat(None, count):
            read(address, 1024)
        return (thread_time_ns() - start) / count


def view_read_ns(view: memoryview, count: int) -> float:
    """CPU time of copying a view's 1 KiB out."""
    start = thread_time_ns()
    for _ in repeat(None, count):
        view.tobytes()
    return (thread_time_ns() - start) / count


def view_write_ns(view: memoryview, count: int) -> float:
    """CPU time of filling a view with 1 KiB of bytes."""
    start = thread_time_ns()
    for _ in repeat(None, count):
        view[:] = BLOCK
    return (thread_time_ns() - start) / count
