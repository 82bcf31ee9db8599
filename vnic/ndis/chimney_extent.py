"""The data of a request as it was handed over: how far its start has moved, and what its bytes are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from vnic.ndis.net_buffer_list import NetBuffer, NetBufferError, NetBufferList


@dataclass(frozen=True, slots=True)
class Extent:
    """(NET_BUFFER, offset, length) of each; `checksum` of the bytes, 0 when they are not verified."""

    buffers: tuple[tuple[NetBuffer, int, int], ...]
    length: int
    checksum: int

    @classmethod
    def of(cls, nbl: NetBufferList, with_data: bool = False) -> Extent:
        """Raises NetBufferError for data that its MDLs do not hold."""
        buffers = tuple((each, each.data_offset, each.data_length) for each in nbl.net_buffers())
        for each, offset, length in buffers:
            if offset < 0 or length < 0 or offset + length > each.capacity:
                raise NetBufferError(f"{length} bytes at {offset} in {each.capacity}")
        checksum = _checksum(buffers) if with_data else 0
        return cls(buffers, sum(length for _, _, length in buffers), checksum)

    def advanced(self, nbl: NetBufferList) -> int | None:
        """By how many bytes the data start has moved; None when anything else of the data has changed."""
        now = tuple(nbl.net_buffers())
        if len(now) != len(self.buffers):
            return None
        moved, is_open = 0, False
        for (was, offset, length), buffer in zip(self.buffers, now, strict=True):
            by = buffer.data_offset - offset
            if buffer is not was or not 0 <= by <= length or buffer.data_length != length - by:
                return None
            if by and is_open:
                return None
            moved, is_open = moved + by, is_open or by < length
        return moved

    def has_same_bytes(self) -> bool:
        """Whether the bytes are those that were handed over; True when they are not verified."""
        return not self.checksum or self.checksum == _checksum(self.buffers)

    def data(self, start: int, count: int) -> bytes:
        """`count` bytes from `start` on, wherever the data start is now."""
        parts = []
        for part in _views(self.buffers):
            if start < len(part) and count:
                taken = bytes(part[start : start + count])
                parts.append(taken)
                count -= len(taken)
            start = max(start - len(part), 0)
        return b"".join(parts)


def _views(buffers: tuple[tuple[NetBuffer, int, int], ...]) -> Iterator[memoryview]:
    for buffer, offset, length in buffers:
        skip, left = offset, length
        mdl = buffer.mdl_chain
        while left and mdl is not None:
            if skip < len(mdl.buffer):
                part = mdl.buffer[skip : skip + left]
                yield part
                left -= len(part)
            skip = max(skip - len(mdl.buffer), 0)
            mdl = mdl.next


def _checksum(buffers: tuple[tuple[NetBuffer, int, int], ...]) -> int:
    value = 1
    for part in _views(buffers):
        value = zlib.crc32(part, value)
    return value or 1
