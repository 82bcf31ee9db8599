"""Who owns which NET_BUFFER_LIST: those that are away from their owner, with what they looked like."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from vnic.ndis.net_buffer_list import NetBuffer, NetBufferError, NetBufferList

_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What must not change while an NBL is away: its NET_BUFFERs, data ranges, a checksum of the bytes."""

    buffers: tuple[tuple[int, int, int, int], ...]

    @classmethod
    def of(cls, nbl: NetBufferList, with_data: bool) -> Fingerprint:
        """Raises NetBufferError for data that its MDLs do not hold."""
        buffer = nbl.first_net_buffer
        if buffer is not None and buffer.next is None:
            return cls((_fingerprint(buffer, with_data),))
        return cls(tuple([_fingerprint(each, with_data) for each in nbl.net_buffers()]))


def _fingerprint(buffer: NetBuffer, with_data: bool) -> tuple[int, int, int, int]:
    checksum = 0
    if with_data:
        for _, part in buffer.views():
            checksum = zlib.crc32(part, checksum)
    elif buffer.data_offset + buffer.data_length > buffer.capacity:
        raise NetBufferError(f"{buffer.data_length} bytes at {buffer.data_offset} in {buffer.capacity}")
    return id(buffer), buffer.data_offset, buffer.data_length, checksum


R = TypeVar("R")


class Ledger(Generic[R]):
    """Records of the NBLs that are away, by identity; remembers the last ones that came back."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[NetBufferList, R]] = {}
        self._closed: OrderedDict[int, NetBufferList] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, nbl: NetBufferList) -> bool:
        return id(nbl) in self._open

    def open(self, nbl: NetBufferList, record: R) -> None:
        """The NBL leaves."""
        self._open[id(nbl)] = (nbl, record)
        self._closed.pop(id(nbl), None)

    def close(self, nbl: NetBufferList) -> R | None:
        """The NBL is back; None when it was not away."""
        found = self._open.pop(id(nbl), None)
        if found is None:
            return None
        self._closed[id(nbl)] = nbl
        if len(self._closed) > _REMEMBERED:
            self._closed.popitem(last=False)
        return found[1]

    def was_closed(self, nbl: NetBufferList) -> bool:
        """Whether this NBL came back lately and did not leave again."""
        return id(nbl) in self._closed

    def record(self, nbl: NetBufferList) -> R | None:
        """The record of an NBL that is away."""
        found = self._open.get(id(nbl))
        return None if found is None else found[1]

    def items(self) -> list[tuple[NetBufferList, R]]:
        """Every NBL that is away, oldest first, with its record."""
        return list(self._open.values())

    def records(self) -> Iterator[R]:
        """Every record that is open."""
        for _, record in list(self._open.values()):
            yield record
