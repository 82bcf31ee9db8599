"""Whether the checksums of a received frame hold: the reference of the C verification."""

from __future__ import annotations

import enum

from vnic.wire import checksum
from vnic.wire.parse import L3, L4, Frame, Mark


class Verdict(enum.IntEnum):
    """What is known of one checksum."""

    NONE = 0
    GOOD = 1
    BAD = 2
    UDP_ZERO = 3


def ipv4_header(frame: Frame) -> Verdict:
    """The IPv4 header checksum."""
    if frame.l3 is not L3.IPV4:
        return Verdict.NONE
    length = frame.data[frame.l2_len] % 16 * 4
    return _verdict(frame.data[frame.l2_len :][:length])


def transport(frame: Frame) -> Verdict:
    """The TCP or UDP checksum; NONE for fragments, cut datagrams and an unknown final destination."""
    if frame.l4 not in (L4.TCP, L4.UDP) or frame.marks & (Mark.CUT | Mark.ROUTED):
        return Verdict.NONE
    segment = frame.data[frame.l4_offset :][: frame.l4_len]
    if frame.l4 is L4.UDP:
        if segment[6:8] == b"\0\0":
            return Verdict.UDP_ZERO if frame.l3 is L3.IPV4 else Verdict.BAD
        length = int.from_bytes(segment[4:6])
        if not 8 <= length <= len(segment):
            return Verdict.BAD
        segment = segment[:length]
    source, destination = _final_addresses(frame)
    proto = checksum.PROTO_TCP if frame.l4 is L4.TCP else checksum.PROTO_UDP
    return _verdict(checksum.pseudo(source, destination, proto, len(segment)) + segment)


def _verdict(covered: bytes) -> Verdict:
    return Verdict.GOOD if checksum.total(covered) == 0xFFFF else Verdict.BAD


def _final_addresses(frame: Frame) -> tuple[bytes, bytes]:
    assert frame.source is not None
    assert frame.destination is not None
    source, destination = frame.source.packed, frame.destination.packed
    if frame.home_address:
        source = frame.data[frame.home_address : frame.home_address + 16]
    if frame.routing_address:
        destination = frame.data[frame.routing_address : frame.routing_address + 16]
    return source, destination
