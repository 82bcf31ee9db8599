"""Frames for tests: one call each, addressed to the rig's card, right unless an argument says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vnic.wire import packet, segment
from vnic.wire.parse import Frame

MAC = bytes.fromhex("020000000001")
PEER = bytes.fromhex("020000000099")
ADDRESSES = {4: ("192.0.2.1", "198.51.100.2"), 6: ("2001:db8::1", "2001:db8:7::2")}
Tags = Sequence[tuple[int, int]]


def plain_frame(length: int = 100, number: int = 0, to: bytes = MAC) -> bytes:
    """A frame of the local experimental EtherType, told from others by its number."""
    head = to + PEER + bytes.fromhex("88b5") + number.to_bytes(4)
    return (head + bytes(n & 0xFF for n in range(length)))[:length]


def ethernet(datagram: bytes, *, to: bytes = MAC, tags: Tags = (), min_len: int = 0) -> bytes:
    """A datagram in a frame."""
    return packet.ethernet(datagram, source=PEER, destination=to, tags=tags, min_len=min_len)


def datagram(version: int, proto: int, payload: bytes, /, **ip: Any) -> bytes:
    """An IP datagram between the two hosts of these tests."""
    source, destination = ip.pop("addresses", ADDRESSES[version])
    maker = packet.ipv4 if version == 4 else packet.ipv6
    return maker(source, destination, proto, payload, **ip)


def tcp_frame(
    payload: bytes = b"",
    *,
    version: int = 4,
    ports: tuple[int, int] = (40000, 80),
    tags: Tags = (),
    min_len: int = 0,
    to: bytes = MAC,
    ip: dict[str, Any] | None = None,
    **tcp: Any,
) -> bytes:
    """A TCP segment; `ip` are arguments of the datagram, the rest of the segment."""
    source, destination = (ip or {}).get("addresses", ADDRESSES[version])
    inner = packet.tcp(source, destination, *ports, payload, **tcp)
    return ethernet(datagram(version, packet.TCP, inner, **(ip or {})), to=to, tags=tags, min_len=min_len)


def udp_frame(
    payload: bytes = b"",
    *,
    version: int = 4,
    ports: tuple[int, int] = (40000, 53),
    tags: Tags = (),
    min_len: int = 0,
    to: bytes = MAC,
    ip: dict[str, Any] | None = None,
    **udp: Any,
) -> bytes:
    """A UDP datagram; `ip` are arguments of the IP datagram, the rest of the UDP one."""
    source, destination = (ip or {}).get("addresses", ADDRESSES[version])
    inner = packet.udp(source, destination, *ports, payload, **udp)
    return ethernet(datagram(version, packet.UDP, inner, **(ip or {})), to=to, tags=tags, min_len=min_len)


def pseudo_sum(version: int) -> int:
    """What a driver leaves in the TCP checksum field of a large send between the two hosts."""
    source, destination = (packet.packed(address) for address in ADDRESSES[version])
    return segment.seed_of(source, destination)


def large_send(
    payload: bytes,
    mss: int,
    version: int = 4,
    *,
    tag: int | None = None,
    ip: dict[str, Any] | None = None,
    **tcp: Any,
) -> tuple[bytes, dict[str, Any], list[bytes]]:
    """What a driver hands over, its context's fields, and the frames that come of it, not padded."""
    template = tcp_frame(version=version, field=pseudo_sum(version), ip=ip, **tcp)
    l4_offset = Frame.parse(template).l4_offset
    context = {
        "lso": 1,
        "mss": mss,
        "hdr_len": len(template),
        "l3_offset": 14,
        "l4_offset": l4_offset,
        "l3_kind": int(version == 6),
    }
    frames = segment.segment(template, payload, mss, l4_offset=l4_offset)
    if tag is not None:
        context |= {"vlan_insert": 1, "vlan_tci": tag}
        frames = [frame[:12] + b"\x81\0" + tag.to_bytes(2) + frame[12:] for frame in frames]
    return template + payload, context, frames
