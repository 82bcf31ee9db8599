"""NDIS_OID_REQUEST: one query, set or statistics query on its way through NDIS."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from vnic.ndis.oid import oid_name
from vnic.ndis.status import NDIS_STATUS


class RequestType(IntEnum):
    """NDIS_REQUEST_TYPE."""

    QUERY_INFORMATION = 0
    SET_INFORMATION = 1
    QUERY_STATISTICS = 2


@dataclass(slots=True, eq=False)
class OidRequest:
    """A request with its InformationBuffer; `buffer_length` is what its owner offered, in bytes."""

    type: RequestType
    oid: int
    buffer: bytearray
    request_id: int = 0
    port: int = 0
    timeout_s: int = 0
    bytes_written: int = 0
    bytes_read: int = 0
    bytes_needed: int = 0
    status: NDIS_STATUS = NDIS_STATUS.PENDING
    source_handle: object = None
    miniport_reserved: object = None
    buffer_length: int = field(init=False)

    def __post_init__(self) -> None:
        self.buffer_length = len(self.buffer)

    @property
    def is_query(self) -> bool:
        """Query or statistics query."""
        return self.type != RequestType.SET_INFORMATION

    @property
    def data(self) -> bytes:
        """What a set carries, or what a completed query returned."""
        return bytes(self.buffer[: self.bytes_written] if self.is_query else self.buffer)

    def answer(self, data: bytes) -> NDIS_STATUS:
        """Complete a query: copy `data` in, or say BUFFER_TOO_SHORT and how many bytes are needed."""
        if len(data) > self.buffer_length:
            self.bytes_written, self.bytes_needed = 0, len(data)
            return NDIS_STATUS.BUFFER_TOO_SHORT
        self.buffer[: len(data)] = data
        self.bytes_written, self.bytes_needed = len(data), 0
        return NDIS_STATUS.SUCCESS

    def accept(self, size: int) -> NDIS_STATUS:
        """Check that a set carries at least `size` bytes and count them read, or say INVALID_LENGTH."""
        if self.buffer_length < size:
            self.bytes_read, self.bytes_needed = 0, size
            return NDIS_STATUS.INVALID_LENGTH
        self.bytes_read = size
        return NDIS_STATUS.SUCCESS

    def __str__(self) -> str:
        verb = "query" if self.is_query else "set"
        return f"{verb} {oid_name(self.oid)} [{self.buffer_length}]"


def query(oid: int, size: int, statistics: bool = False) -> OidRequest:
    """A query with a buffer of `size` bytes."""
    kind = RequestType.QUERY_STATISTICS if statistics else RequestType.QUERY_INFORMATION
    return OidRequest(kind, oid, bytearray(size))


def set_(oid: int, data: bytes) -> OidRequest:
    """A set that carries `data`."""
    return OidRequest(RequestType.SET_INFORMATION, oid, bytearray(data))
