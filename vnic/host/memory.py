"""Guest memory: an arena with an allocator, addressed as the guest's processor does."""

from __future__ import annotations

import mmap
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from vnic.errors import AllocationError, ArgumentError, LeakError, UnknownError
from vnic.host.bus import PAGE

POISON = 0xDB
# watcher(address, bytes, is_write): called before a read and after a write.
Watcher = Callable[[int, int, bool], None]
_DEFAULT_BASE = 0x1000_0000
_DEFAULT_SIZE = 64 << 20


class GuestBuffer:
    """An allocation: `address` for the bus, `view` for the driver."""

    __slots__ = ("address", "is_free", "label", "memory", "view")

    def __init__(self, memory: GuestMemory, address: int, size: int, label: str) -> None:
        self.memory = memory
        self.address = address
        self.view = memory.slice(address, size)
        self.label = label
        self.is_free = False

    def __len__(self) -> int:
        return len(self.view)

    def __repr__(self) -> str:
        state = " (free)" if self.is_free else ""
        return f"<GuestBuffer {self.label or 'unnamed'} {self.address:#x}+{len(self):#x}{state}>"

    def free(self) -> None:
        """Give it back; UnknownError when that was done before."""
        self.memory.free(self)


class GuestMemory:
    """`size` bytes from `base`; freed memory is filled with 0xDB, so that who still reads it is seen.

    Contiguous for the guest; what a device sees of it is the Iommu's business.
    """

    def __init__(self, size: int = _DEFAULT_SIZE, base: int = _DEFAULT_BASE) -> None:
        if size <= 0 or size % PAGE or base % PAGE:
            raise ArgumentError(f"memory of {size:#x} at {base:#x}: both are multiples of {PAGE}")
        self.base = base
        self.size = size
        # Anonymous pages come zeroed and take room only when touched.
        self._arena = mmap.mmap(-1, size)
        self.view = memoryview(self._arena)
        self._live: dict[int, GuestBuffer] = {}
        self._free_starts = [base]
        self._free_sizes = {base: size}
        #: Told of read(), write() and free(); what goes through a view, nobody can be told of.
        self.watcher: Watcher | None = None

    # -- access ----------------------------------------------------------------------------------------------

    def slice(self, address: int, length: int) -> memoryview:
        """The bytes themselves; ArgumentError outside of the memory."""
        start = address - self.base
        if start < 0 or length < 0 or start + length > self.size:
            raise self._outside(address, length)
        return self.view[start : start + length]

    def read(self, address: int, length: int) -> bytes:
        """A copy of bytes; ArgumentError outside of the memory."""
        start = address - self.base
        if start < 0 or length < 0 or start + length > self.size:
            raise self._outside(address, length)
        if self.watcher is not None:
            self.watcher(address, length, False)
        return self._arena[start : start + length]

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Replace bytes; ArgumentError outside of the memory."""
        start = address - self.base
        end = start + len(data)
        if start < 0 or end > self.size:
            raise self._outside(address, len(data))
        self._arena[start:end] = data
        if self.watcher is not None:
            self.watcher(address, len(data), True)

    def _outside(self, address: int, length: int) -> ArgumentError:
        return ArgumentError(f"{address:#x}+{length:#x} is outside of guest memory")

    def pages(self, address: int, length: int) -> Iterator[tuple[int, int]]:
        """Address and length of the parts of a range, cut where pages end."""
        end = address + length
        while address < end:
            step = min(PAGE - address % PAGE, end - address)
            yield address, step
            address += step

    # -- allocation ------------------------------------------------------------------------------------------

    def alloc(self, size: int, *, align: int = 16, label: str = "") -> GuestBuffer:
        """First fit; it holds what was there: 0, or 0xDB after a free. AllocationError when nothing fits."""
        if size <= 0 or align <= 0 or align & (align - 1):
            raise ArgumentError(f"{size} bytes aligned to {align}")
        for start in self._free_starts:
            address = -(-start // align) * align
            if address + size <= start + self._free_sizes[start]:
                self._take(start, address, size)
                buffer = self._live[address] = GuestBuffer(self, address, size, label)
                return buffer
        raise AllocationError(f"no {size:#x} bytes left of {self.size:#x}")

    def alloc_pages(self, size: int, *, label: str = "") -> GuestBuffer:
        """Whole pages, zeroed."""
        buffer = self.alloc(-(-size // PAGE) * PAGE, align=PAGE, label=label)
        buffer.view[:] = bytes(len(buffer))
        return buffer

    def free(self, buffer: GuestBuffer) -> None:
        """Give an allocation back; UnknownError when it is none of this memory, or was freed."""
        if self._live.get(buffer.address) is not buffer:
            raise UnknownError(f"{buffer!r} is not allocated")
        del self._live[buffer.address]
        buffer.is_free = True
        buffer.view[:] = bytes([POISON]) * len(buffer)
        if self.watcher is not None:
            self.watcher(buffer.address, len(buffer), True)
        self._give(buffer.address, len(buffer))

    def _take(self, start: int, address: int, size: int) -> None:
        end = start + self._free_sizes.pop(start)
        self._free_starts.remove(start)
        if address > start:
            self._add_free(start, address - start)
        if address + size < end:
            self._add_free(address + size, end - address - size)

    def _give(self, address: int, size: int) -> None:
        index = bisect_left(self._free_starts, address)
        if index < len(self._free_starts) and self._free_starts[index] == address + size:
            size += self._free_sizes.pop(self._free_starts.pop(index))
        if index and self._free_starts[index - 1] + self._free_sizes[self._free_starts[index - 1]] == address:
            address = self._free_starts.pop(index - 1)
            size += self._free_sizes.pop(address)
        self._add_free(address, size)

    def _add_free(self, start: int, size: int) -> None:
        insort(self._free_starts, start)
        self._free_sizes[start] = size

    # -- inspection ------------------------------------------------------------------------------------------

    @property
    def live(self) -> list[GuestBuffer]:
        """What is allocated, by address."""
        return [self._live[address] for address in sorted(self._live)]

    @property
    def free_bytes(self) -> int:
        """Bytes not allocated."""
        return sum(self._free_sizes.values())

    def assert_no_leaks(self) -> None:
        """LeakError naming what is still allocated."""
        if self._live:
            listed = ", ".join(repr(buffer) for buffer in self.live[:8])
            raise LeakError(f"{len(self._live)} allocations were not freed: {listed}")
