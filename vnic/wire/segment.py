"""Large send by cutting a payload and rebuilding every header: the reference of the C segmentation."""

from __future__ import annotations

from vnic.wire import checksum

FIN, PSH, CWR = 0x01, 0x08, 0x80
PAYLOAD_MAX = 256 * 1024


def segment(
    header: bytes, payload: bytes, mss: int, *, l3_offset: int = 14, l4_offset: int, seed: int | None = None
) -> list[bytes]:
    """The frames that a header template and a payload become.

    seed is the one's-complement sum of the pseudo header without the length, as NDIS has the driver leave it
    in the TCP checksum field; None computes it from the addresses. ValueError for an mss of 0. Source:
    Microsoft, "Offloading the segmentation of large TCP packets".
    """
    if mss < 1:
        raise ValueError("the MSS is at least 1")
    pieces = [payload[at : at + mss] for at in range(0, len(payload), mss)] or [b""]
    frames = []
    for index, piece in enumerate(pieces):
        ip = bytearray(header[l3_offset:l4_offset])
        tcp = bytearray(header[l4_offset:])
        _number(tcp, 4, 4, (_read(tcp, 4, 4) + index * mss) % 2**32)
        if index > 0:
            tcp[13] &= ~CWR & 0xFF
        if piece is not pieces[-1] or index + 1 < len(pieces):
            tcp[13] &= ~(FIN | PSH) & 0xFF
        length = len(tcp) + len(piece)
        addresses = _finish_ipv4(ip, index, length) if ip[0] >> 4 == 4 else _finish_ipv6(ip, length)
        _number(tcp, 16, 2, 0)
        covered = bytes(tcp) + piece
        if seed is None:
            covered = checksum.pseudo(*addresses, checksum.PROTO_TCP, length) + covered
        else:
            covered = seed.to_bytes(2) + length.to_bytes(2) + covered
        _number(tcp, 16, 2, checksum.internet(covered))
        frames.append(header[:l3_offset] + bytes(ip) + bytes(tcp) + piece)
    return frames


def seed_of(source: bytes, destination: bytes) -> int:
    """What an NDIS driver leaves in the TCP checksum field of a large send."""
    return checksum.total(checksum.pseudo(source, destination, checksum.PROTO_TCP, 0))


def _read(header: bytearray, offset: int, length: int) -> int:
    return int.from_bytes(header[offset : offset + length])


def _number(header: bytearray, offset: int, length: int, value: int) -> None:
    header[offset : offset + length] = value.to_bytes(length)


def _finish_ipv4(ip: bytearray, index: int, length: int) -> tuple[bytes, bytes]:
    _number(ip, 2, 2, len(ip) + length)
    _number(ip, 4, 2, (_read(ip, 4, 2) + index) % 0x8000)
    _number(ip, 10, 2, 0)
    _number(ip, 10, 2, checksum.internet(bytes(ip)))
    return bytes(ip[12:16]), bytes(ip[16:20])


def _finish_ipv6(ip: bytearray, length: int) -> tuple[bytes, bytes]:
    _number(ip, 4, 2, len(ip) - 40 + length)
    return bytes(ip[8:24]), bytes(ip[24:40])
