"""The virtio_net_hdr before a TAP frame: parse and build it, complete checksums, segment large sends.

Layout and meaning: virtio 1.2, 5.1.6; the kernel's include/uapi/linux/virtio_net.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

NEEDS_CSUM: Final = 1
DATA_VALID: Final = 2

GSO_NONE: Final = 0
GSO_TCPV4: Final = 1
GSO_UDP: Final = 3
GSO_TCPV6: Final = 4
GSO_UDP_L4: Final = 5
GSO_ECN: Final = 0x80

HEADER_BYTES: Final = 10
HEADER_BYTES_MERGEABLE: Final = 12

SEGMENTS_MAX: Final = 1 << 16  # a frame of 64 KiB at one byte a segment

_LAYOUT: Final = struct.Struct("<BBHHHH")
_ETHERTYPE_VLAN: Final = (0x8100, 0x88A8)
_ETHERTYPE_IPV4: Final = 0x0800
_ETHERTYPE_IPV6: Final = 0x86DD
_TCP_FIN: Final = 0x01
_TCP_PSH: Final = 0x08
_TCP_CWR: Final = 0x80
_PROTOCOL_TCP: Final = 6
_PROTOCOL_UDP: Final = 17


class VnetError(ValueError):
    """A virtio_net_hdr does not fit its frame."""


@dataclass(frozen=True, slots=True)
class VnetHeader:
    """The header's fields; offsets count from the frame's first byte, `csum_offset` from `csum_start`."""

    flags: int = 0
    gso_type: int = GSO_NONE
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0
    num_buffers: int = 0

    @classmethod
    def parse(cls, data: bytes, size: int = HEADER_BYTES_MERGEABLE) -> VnetHeader:
        """Read a header of 10 or 12 bytes, little-endian; raises VnetError when `data` is shorter."""
        if len(data) < size:
            raise VnetError(f"virtio_net_hdr of {len(data)} bytes, not {size}")
        flags, gso_type, hdr_len, gso_size, csum_start, csum_offset = _LAYOUT.unpack_from(data)
        buffers = int.from_bytes(data[10:12], "little") if size == HEADER_BYTES_MERGEABLE else 0
        return cls(flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, buffers)

    def build(self, size: int = HEADER_BYTES_MERGEABLE) -> bytes:
        """Write the header in 10 or 12 bytes."""
        fixed = _LAYOUT.pack(
            self.flags, self.gso_type, self.hdr_len, self.gso_size, self.csum_start, self.csum_offset
        )
        return fixed + self.num_buffers.to_bytes(2, "little") if size == HEADER_BYTES_MERGEABLE else fixed


def ones_sum(data: bytes) -> int:
    """One's-complement sum of 16-bit big-endian words; an odd last byte is the high half of a word."""
    if len(data) & 1:
        data += b"\0"
    # 65536 is 1 modulo 65535, so the number's remainder is the folded sum. Of the two zeros, a sum with
    # end-around carry is +0 only when every word is.
    number = int.from_bytes(data, "big")
    return number % 0xFFFF or (0xFFFF if number else 0)


def complete_checksum(frame: bytes, header: VnetHeader) -> bytes:
    """Finish the checksum the sender left to the device (NEEDS_CSUM); other frames come back as they are.

    The checksum field holds the pseudo-header's sum and is part of what is summed.
    """
    if not header.flags & NEEDS_CSUM:
        return frame
    field = header.csum_start + header.csum_offset
    if field + 2 > len(frame):
        raise VnetError(f"checksum at {header.csum_start}+{header.csum_offset} in {len(frame)} bytes")
    value = ~ones_sum(frame[header.csum_start :]) & 0xFFFF
    # A UDP checksum of 0 would say "none" (RFC 768); 0xFFFF is the same number for TCP too.
    return frame[:field] + (value or 0xFFFF).to_bytes(2, "big") + frame[field + 2 :]


@dataclass(frozen=True, slots=True)
class _Headers:
    """Where a large send's headers are."""

    ip: int
    is_ipv6: bool
    transport: int
    protocol: int
    payload: int


def segment_gso(frame: bytes, header: VnetHeader) -> list[bytes]:
    """Cut a large send into frames as a card would, checksums complete; raises VnetError on a bad header.

    hdr_len is a hint only (virtio 1.2, 5.1.6.2) and is not used.
    """
    kind = header.gso_type & ~GSO_ECN
    if kind == GSO_NONE:
        return [complete_checksum(frame, header)]
    if kind not in (GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4):
        raise VnetError(f"GSO type {kind} was not offered")
    if not header.gso_size:
        raise VnetError("GSO size is 0")
    where = _locate(frame, header, kind)
    payload_bytes = len(frame) - where.payload
    if payload_bytes > SEGMENTS_MAX * header.gso_size:
        raise VnetError(
            f"{payload_bytes} bytes in segments of {header.gso_size}: over {SEGMENTS_MAX} segments"
        )
    offsets = range(0, max(payload_bytes, 1), header.gso_size)
    return [_segment(frame, where, offset, header.gso_size, index) for index, offset in enumerate(offsets)]


def _locate(frame: bytes, header: VnetHeader, kind: int) -> _Headers:
    ip = 14
    ethertype = int.from_bytes(frame[12:14], "big")
    while ethertype in _ETHERTYPE_VLAN and ip < 22:
        ethertype = int.from_bytes(frame[ip + 2 : ip + 4], "big")
        ip += 4
    is_ipv6 = ethertype == _ETHERTYPE_IPV6
    if ethertype not in (_ETHERTYPE_IPV4, _ETHERTYPE_IPV6) or (kind == GSO_TCPV4 and is_ipv6):
        raise VnetError(f"GSO type {kind} on EtherType {ethertype:#06x}")
    if kind == GSO_TCPV6 and not is_ipv6:
        raise VnetError("GSO type TCPV6 on IPv4")
    transport = header.csum_start
    if not header.flags & NEEDS_CSUM or transport < ip + (40 if is_ipv6 else 20):
        raise VnetError(f"GSO without a checksum start behind the IP header: {transport}")
    if kind == GSO_UDP_L4:
        payload, protocol = transport + 8, _PROTOCOL_UDP
    else:
        if transport + 20 > len(frame):
            raise VnetError("GSO frame ends in its TCP header")
        payload, protocol = transport + (frame[transport + 12] >> 4) * 4, _PROTOCOL_TCP
    if payload > len(frame) or payload < transport + (20 if protocol == _PROTOCOL_TCP else 8):
        raise VnetError(f"GSO headers end at {payload} of {len(frame)} bytes")
    return _Headers(ip, is_ipv6, transport, protocol, payload)


def _segment(frame: bytes, where: _Headers, offset: int, gso_size: int, index: int) -> bytes:
    """The segment whose payload starts at `offset` of the large send's."""
    start = where.payload + offset
    segment = bytearray(frame[: where.payload] + frame[start : start + gso_size])
    if where.protocol == _PROTOCOL_TCP:
        _set_tcp(segment, where.transport, offset, is_last=start + gso_size >= len(frame))
    else:
        _set_udp(segment, where.transport)
    return _finish(segment, where, index)


def _set_tcp(segment: bytearray, tcp: int, offset: int, *, is_last: bool) -> None:
    seq = int.from_bytes(segment[tcp + 4 : tcp + 8], "big") + offset & 0xFFFFFFFF
    segment[tcp + 4 : tcp + 8] = seq.to_bytes(4, "big")
    if not is_last:
        segment[tcp + 13] &= ~(_TCP_FIN | _TCP_PSH)
    if offset:
        segment[tcp + 13] &= ~_TCP_CWR  # RFC 3168 6.1.2: once a window
    segment[tcp + 16 : tcp + 18] = b"\0\0"


def _set_udp(segment: bytearray, udp: int) -> None:
    segment[udp + 4 : udp + 6] = (len(segment) - udp).to_bytes(2, "big")
    segment[udp + 6 : udp + 8] = b"\0\0"


def _finish(segment: bytearray, where: _Headers, index: int) -> bytes:
    """Set the IP lengths, IP ID and both checksums of one segment."""
    ip, transport = where.ip, where.transport
    if where.is_ipv6:
        segment[ip + 4 : ip + 6] = (len(segment) - ip - 40).to_bytes(2, "big")
        addresses = bytes(segment[ip + 8 : ip + 40])
    else:
        segment[ip + 2 : ip + 4] = (len(segment) - ip).to_bytes(2, "big")
        ident = int.from_bytes(segment[ip + 4 : ip + 6], "big") + index & 0xFFFF
        segment[ip + 4 : ip + 6] = ident.to_bytes(2, "big")
        segment[ip + 10 : ip + 12] = b"\0\0"
        header_end = ip + (segment[ip] & 15) * 4
        segment[ip + 10 : ip + 12] = (~ones_sum(bytes(segment[ip:header_end])) & 0xFFFF).to_bytes(2, "big")
        addresses = bytes(segment[ip + 12 : ip + 20])
    field = transport + (16 if where.protocol == _PROTOCOL_TCP else 6)
    pseudo = addresses + struct.pack(">II", len(segment) - transport, where.protocol)
    value = ~ones_sum(pseudo + bytes(segment[transport:])) & 0xFFFF
    if where.protocol == _PROTOCOL_UDP:
        value = value or 0xFFFF
    segment[field : field + 2] = value.to_bytes(2, "big")
    return bytes(segment)
