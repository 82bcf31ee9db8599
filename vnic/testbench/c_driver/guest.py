"""The machine's memory as a C driver has it: pointers into the arena, and the allocations they belong to."""

from __future__ import annotations

from bisect import bisect_right

from vnic.errors import AllocationError
from vnic.host.bus import Bus, Coherent
from vnic.host.memory import GuestBuffer, GuestMemory
from vnic.testbench.c_driver.crossing import Crossing
from vnic.testbench.c_driver.declarations import C, address_of, declared, pointer_to

__all__ = ["Guest"]


class Guest:
    """What one adapter allocated of the machine's memory."""

    def __init__(self, crossing: Crossing, memory: GuestMemory, bus: Bus) -> None:
        self._crossing = crossing
        self._memory = memory
        self._bus = bus
        self._arena = pointer_to(memory.view)
        self._start = address_of(self._arena)
        self._owned: dict[int, GuestBuffer] = {}
        self._coherent: dict[int, Coherent] = {}
        self._starts: list[int] = []

    # -- pointers and addresses --------------------------------------------------------------------------

    def pointer(self, address: int) -> C:
        """The driver's pointer to guest memory."""
        return self._arena + (address - self._memory.base)

    def address(self, pointer: C, length: int, what: str) -> int:
        """The guest's address of what a driver points at; DRV-10 when that is no memory of the machine."""
        at = address_of(pointer) - self._start
        if at < 0 or at + length > self._memory.size:
            text = f"{what}: {length} bytes at {address_of(pointer):#x} are no memory of the machine"
            raise self._crossing.breach("DRV-10", text)
        return at + self._memory.base

    def own_address(self, pointer: C, length: int, what: str) -> int:
        """The same, in one allocation of the driver's own."""
        address = self.address(pointer, length, what)
        place = bisect_right(self._starts, address) - 1
        start = self._starts[place] if place >= 0 else 0
        if place < 0 or address + length > start + self._length(start):
            text = f"{what}: {length} bytes at {address:#x} are in no allocation of the driver's"
            raise self._crossing.breach("DRV-10", text)
        return address

    def _length(self, start: int) -> int:
        return len(self._owned[start]) if start in self._owned else len(self._coherent[start].view)

    def view(self, address: int, length: int) -> memoryview:
        """The bytes."""
        return self._memory.slice(address, length)

    # -- allocations -------------------------------------------------------------------------------------

    def alloc(self, size: int, align: int) -> C:
        """Zeroed memory; NULL when there is none."""
        if size == 0 or align & (align - 1):
            return declared().NULL
        try:
            buffer = self._memory.alloc(size, align=max(align, 16), label="C driver")
        except AllocationError:
            return declared().NULL
        buffer.view[:] = bytes(size)
        self._owned[buffer.address] = buffer
        self._remember(buffer.address)
        return self.pointer(buffer.address)

    def free(self, pointer: C) -> None:
        """Give memory of alloc() back."""
        address = self.address(pointer, 0, "free_memory")
        buffer = self._owned.pop(address, None)
        if buffer is None:
            text = f"free_memory of {address:#x}, which is not allocated (or was freed before)"
            raise self._crossing.breach("DRV-13", text)
        self._starts.remove(address)
        buffer.free()

    def alloc_coherent(self, size: int) -> tuple[C, int]:
        """Pointer and bus address; NULL when there is none."""
        try:
            memory = self._bus.alloc_coherent(size)
        except AllocationError:
            return declared().NULL, 0
        address = address_of(pointer_to(memory.view)) - self._start + self._memory.base
        self._coherent[address] = memory
        self._remember(address)
        return self.pointer(address), memory.addr

    def free_coherent(self, pointer: C, size: int, addr: int) -> None:
        """Give memory of alloc_coherent() back, with the length and bus address that it had."""
        address = self.address(pointer, 0, "free_coherent")
        memory = self._coherent.get(address)
        if memory is None or memory.addr != addr or len(memory) != size:
            text = f"free_coherent of {size} bytes at {address:#x}, bus address {addr:#x}: not allocated so"
            raise self._crossing.breach("DRV-13", text)
        del self._coherent[address]
        self._starts.remove(address)
        self._bus.free_coherent(memory)

    def _remember(self, address: int) -> None:
        self._starts.insert(bisect_right(self._starts, address), address)
