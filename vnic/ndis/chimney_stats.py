"""TCP_OFFLOAD_STATS and IP_OFFLOAD_STATS: what a target counts of offloaded traffic, as bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import ClassVar

from vnic.ndis.structures import too_short


@dataclass(slots=True)
class TcpOffloadStats:
    """TCP_OFFLOAD_STATS of one IP version; the fields' order is the structure's."""

    in_segments: int = 0
    out_segments: int = 0
    currently_established: int = 0
    reset_established: int = 0
    retransmitted_segments: int = 0
    in_errors: int = 0
    out_resets: int = 0

    NAME: ClassVar[str] = "TCP_OFFLOAD_STATS"
    SIZE: ClassVar[int] = 40
    _BODY: ClassVar[struct.Struct] = struct.Struct("<QQ5I4x")

    def pack(self) -> bytes:
        """40 bytes, no object header; counters wrap at their width."""
        return self._BODY.pack(*_wrapped(self, 2))

    @classmethod
    def parse(cls, data: bytes) -> TcpOffloadStats:
        """Raises StructureError."""
        if len(data) < cls.SIZE:
            raise too_short(cls.NAME, len(data), cls.SIZE)
        return cls(*cls._BODY.unpack_from(data))


@dataclass(slots=True)
class IpOffloadStats:
    """IP_OFFLOAD_STATS of one IP version; the fields' order is the structure's."""

    in_receives: int = 0
    in_octets: int = 0
    in_delivers: int = 0
    out_requests: int = 0
    out_octets: int = 0
    in_header_errors: int = 0
    in_truncated_packets: int = 0
    in_discards: int = 0
    out_discards: int = 0
    out_no_routes: int = 0

    NAME: ClassVar[str] = "IP_OFFLOAD_STATS"
    SIZE: ClassVar[int] = 64
    _BODY: ClassVar[struct.Struct] = struct.Struct("<5Q5I4x")

    def pack(self) -> bytes:
        """64 bytes, no object header; counters wrap at their width."""
        return self._BODY.pack(*_wrapped(self, 5))

    @classmethod
    def parse(cls, data: bytes) -> IpOffloadStats:
        """Raises StructureError."""
        if len(data) < cls.SIZE:
            raise too_short(cls.NAME, len(data), cls.SIZE)
        return cls(*cls._BODY.unpack_from(data))


def _wrapped(stats: TcpOffloadStats | IpOffloadStats, wide: int) -> list[int]:
    """The members; the first `wide` have 64 bits, the others 32."""
    values = [int(getattr(stats, each.name)) for each in fields(stats)]
    return [
        value & (0xFFFFFFFFFFFFFFFF if place < wide else 0xFFFFFFFF) for place, value in enumerate(values)
    ]
