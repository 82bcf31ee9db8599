"""OID_TCP_TASK_OFFLOAD of NDIS 5.x: a header followed by a chain of NDIS_TASK_OFFLOAD nodes.

This is how the Scalable Networking Pack's own hosts asked for checksum and large-send offload.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields
from enum import IntEnum

from vnic.ndis.structures import bad_data, too_short

VERSION = 1
HEADER_BYTES = 28
NODE_BYTES = 20
_NAME = "NDIS_TASK_OFFLOAD"


class Task(IntEnum):
    """NDIS_TASK."""

    TCP_IP_CHECKSUM = 0
    IPSEC = 1
    TCP_LARGE_SEND = 2


class HeaderFormat(IntEnum):
    """NDIS_ENCAPSULATION of NDIS 5.x."""

    UNSPECIFIED = 0
    NULL = 1
    IEEE_802_3 = 2
    IEEE_802_5 = 3
    LLC_SNAP_ROUTED = 4
    LLC_SNAP_BRIDGED = 5


@dataclass(frozen=True, slots=True)
class ChecksumBits:
    """One direction of NDIS_TASK_TCP_IP_CHECKSUM, one bit each from the least significant on."""

    ip_options: bool = False
    tcp_options: bool = False
    tcp_checksum: bool = False
    udp_checksum: bool = False
    ip_checksum: bool = False

    def word(self) -> int:
        """The ULONG of the structure."""
        return sum(int(getattr(self, each.name)) << place for place, each in enumerate(fields(self)))

    @classmethod
    def of(cls, word: int) -> ChecksumBits:
        """The bits of a ULONG; higher bits are ignored."""
        return cls(*(bool(word >> place & 1) for place in range(5)))


@dataclass(frozen=True, slots=True)
class ChecksumTask:
    """NDIS_TASK_TCP_IP_CHECKSUM."""

    v4_transmit: ChecksumBits = field(default_factory=ChecksumBits)
    v4_receive: ChecksumBits = field(default_factory=ChecksumBits)
    v6_transmit: ChecksumBits = field(default_factory=ChecksumBits)
    v6_receive: ChecksumBits = field(default_factory=ChecksumBits)

    def pack(self) -> bytes:
        """16 bytes."""
        return struct.pack("<4I", *(getattr(self, each.name).word() for each in fields(self)))

    @classmethod
    def parse(cls, data: bytes) -> ChecksumTask:
        """Raises StructureError."""
        if len(data) < 16:
            raise too_short("NDIS_TASK_TCP_IP_CHECKSUM", len(data), 16)
        return cls(*map(ChecksumBits.of, struct.unpack_from("<4I", data)))


@dataclass(frozen=True, slots=True)
class LargeSendTask:
    """NDIS_TASK_TCP_LARGE_SEND (LSOv1)."""

    max_offload_size: int = 0
    min_segment_count: int = 0
    tcp_options: bool = False
    ip_options: bool = False

    def pack(self) -> bytes:
        """16 bytes, version 0."""
        options = (self.tcp_options, self.ip_options)
        return struct.pack("<III??xx", 0, self.max_offload_size, self.min_segment_count, *options)

    @classmethod
    def parse(cls, data: bytes) -> LargeSendTask:
        """Raises StructureError."""
        if len(data) < 14:
            raise too_short("NDIS_TASK_TCP_LARGE_SEND", len(data), 14)
        version, size, count, tcp_options, ip_options = struct.unpack_from("<III??", data)
        if version:
            raise bad_data("NDIS_TASK_TCP_LARGE_SEND", f"version {version}")
        return cls(size, count, tcp_options, ip_options)


@dataclass(frozen=True, slots=True)
class TaskOffload:
    """The header and its list; a set with no task switches all off."""

    checksum: ChecksumTask | None = None
    large_send: LargeSendTask | None = None
    header_format: HeaderFormat = HeaderFormat.IEEE_802_3
    fixed_header_size: bool = True
    header_size: int = 14

    def pack(self) -> bytes:
        """Header, then the nodes, each linked to the next by its offset."""
        tasks = [(Task.TCP_IP_CHECKSUM, self.checksum), (Task.TCP_LARGE_SEND, self.large_send)]
        present = [(task, body.pack()) for task, body in tasks if body is not None]
        nodes = b""
        for place, (task, body) in enumerate(present):
            is_last = place == len(present) - 1
            step = 0 if is_last else NODE_BYTES + len(body)
            nodes += struct.pack("<5I", VERSION, NODE_BYTES + 4, task, step, len(body)) + body
        first = HEADER_BYTES if present else 0
        encapsulation = (self.header_format, int(self.fixed_header_size), self.header_size)
        return struct.pack("<7I", VERSION, HEADER_BYTES, 0, first, *encapsulation) + nodes

    @classmethod
    def parse(cls, data: bytes) -> TaskOffload:
        """Raises StructureError; offsets only go forward, so a hostile list cannot loop."""
        if len(data) < HEADER_BYTES:
            raise too_short("NDIS_TASK_OFFLOAD_HEADER", len(data), HEADER_BYTES)
        version, size, _, first, header_format, flags, header_size = struct.unpack_from("<7I", data)
        if version != VERSION or size < HEADER_BYTES:
            raise bad_data("NDIS_TASK_OFFLOAD_HEADER", f"version {version}, size {size}")
        if header_format > HeaderFormat.LLC_SNAP_BRIDGED:
            raise bad_data("NDIS_TASK_OFFLOAD_HEADER", f"encapsulation {header_format}")
        found: dict[Task, bytes] = {}
        if first:
            if first < HEADER_BYTES:
                raise bad_data("NDIS_TASK_OFFLOAD_HEADER", f"OffsetFirstTask {first}")
            found = _parse_nodes(data, first)
        checksum, large = found.get(Task.TCP_IP_CHECKSUM), found.get(Task.TCP_LARGE_SEND)
        return cls(
            ChecksumTask.parse(checksum) if checksum is not None else None,
            LargeSendTask.parse(large) if large is not None else None,
            HeaderFormat(header_format),
            bool(flags & 1),
            header_size,
        )


def _parse_nodes(data: bytes, offset: int) -> dict[Task, bytes]:
    found: dict[Task, bytes] = {}
    while True:
        if offset + NODE_BYTES > len(data):
            raise too_short(_NAME, len(data), offset + NODE_BYTES)
        version, _, task, step, length = struct.unpack_from("<5I", data, offset)
        body_at = offset + NODE_BYTES
        if version != VERSION or task not in (Task.TCP_IP_CHECKSUM, Task.TCP_LARGE_SEND):
            raise bad_data(_NAME, f"version {version}, task {task}")
        if body_at + length > len(data):
            raise too_short(_NAME, len(data), body_at + length)
        if Task(task) in found:
            raise bad_data(_NAME, f"{Task(task).name} twice")
        found[Task(task)] = bytes(data[body_at : body_at + length])
        if step == 0:
            return found
        if step < NODE_BYTES:
            raise bad_data(_NAME, f"OffsetNextTask {step}")
        offset += step
