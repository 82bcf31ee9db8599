"""The memory that a driver has mapped, by bus address, for who reads and writes it in a device's place."""

from __future__ import annotations

from bisect import bisect_right, insort


class DriverMemory:
    """Ranges of bus addresses, each with the memory that the driver gave for it; they do not overlap."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ranges: dict[int, memoryview] = {}

    def map(self, iova: int, memory: memoryview) -> None:
        """Memory at a bus address from now on, in place of what began there."""
        if iova not in self._ranges:
            insort(self._starts, iova)
        self._ranges[iova] = memoryview(memory).cast("B")

    def unmap(self, iova: int, length: int) -> None:
        """Take ranges away that lie within."""
        gone = [start for start in self._starts if iova <= start < iova + length]
        for start in gone:
            del self._ranges[start]
        self._starts = [start for start in self._starts if start in self._ranges] if gone else self._starts

    def read(self, iova: int, length: int) -> bytes | None:
        """Octets, over ranges that follow each other; None where not all of them are mapped."""
        parts = self._parts(iova, length)
        return b"".join(parts) if parts is not None else None

    def write(self, iova: int, data: bytes) -> bool:
        """Put octets there; False, and nothing is written, where not all of it is mapped."""
        parts = self._parts(iova, len(data))
        for part in parts or ():
            part[:], data = data[: len(part)], data[len(part) :]
        return parts is not None

    def _parts(self, iova: int, length: int) -> list[memoryview] | None:
        parts = []
        while length > 0:
            place = bisect_right(self._starts, iova) - 1
            start = self._starts[place] if place >= 0 else iova + 1
            if not start <= iova < start + len(self._ranges.get(start, b"")):
                return None
            part = self._ranges[start][iova - start : iova - start + length]
            parts.append(part)
            iova, length = iova + len(part), length - len(part)
        return parts
