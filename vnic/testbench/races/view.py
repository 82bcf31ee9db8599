"""Guest memory as a driver under test may have it: every access is seen, not only what comes of it."""

from __future__ import annotations

from vnic.host.memory import GuestMemory


class WatchedView:
    """Bytes by index and slice, as a memoryview gives them; slices are copies, steps are not taken.

    IndexError outside, ValueError for a slice of another length.
    """

    def __init__(self, memory: GuestMemory, address: int, length: int) -> None:
        self._memory = memory
        self._address = address
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: int | slice) -> int | bytes:
        start, length = self._range(key)
        data = self._memory.read(start, length)
        return data if isinstance(key, slice) else data[0]

    def __setitem__(self, key: int | slice, value: int | bytes | bytearray | memoryview) -> None:
        start, length = self._range(key)
        data = bytes([value]) if isinstance(value, int) else bytes(value)
        if len(data) != length:
            raise ValueError(f"{len(data)} bytes for {length}")
        self._memory.write(start, data)

    def _range(self, key: int | slice) -> tuple[int, int]:
        if isinstance(key, int):
            if not -self._length <= key < self._length:
                raise IndexError(f"byte {key} of {self._length}")
            return self._address + key % self._length, 1
        start, stop, step = key.indices(self._length)
        if step != 1:
            raise ValueError(f"a step of {step}")
        return self._address + start, max(stop - start, 0)
