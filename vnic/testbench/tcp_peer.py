"""The other end of a TCP connection by hand: it makes segments, and takes those of a card apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from vnic.testbench.frames import ADDRESSES, MAC, PEER
from vnic.wire import packet

#: First sequence numbers: of the card's host, and of the peer.
ISS, IRS = 5000, 1000


class Segment(NamedTuple):
    """A TCP segment that the card sent, with what carried it."""

    seq: int
    ack: int
    flags: int
    window: int
    payload: bytes
    options: bytes
    source_port: int
    destination_port: int
    frame: bytes
    tci: int | None
    ip: bytes


def segment_of(frame: bytes) -> Segment:
    """Parses a TCP frame without IPv6 extension headers; its padding is not payload."""
    tagged = frame[12:14] == b"\x81\0"
    tci = int.from_bytes(frame[14:16]) if tagged else None
    ip = frame[18 if tagged else 14 :]
    if ip[0] >> 4 == 4:
        start, end = 4 * (ip[0] & 15), int.from_bytes(ip[2:4])
    else:
        start, end = 40, 40 + int.from_bytes(ip[4:6])
    tcp = ip[start:end]
    header = 4 * (tcp[12] >> 4)
    return Segment(
        seq=int.from_bytes(tcp[4:8]),
        ack=int.from_bytes(tcp[8:12]),
        flags=tcp[13],
        window=int.from_bytes(tcp[14:16]),
        payload=tcp[header:],
        options=tcp[20:header],
        source_port=int.from_bytes(tcp[0:2]),
        destination_port=int.from_bytes(tcp[2:4]),
        frame=frame,
        tci=tci,
        ip=ip[:end],
    )


@dataclass
class Peer:
    """The other end of a connection, by hand: it knows numbers and makes segments; nothing goes by itself."""

    version: int = 4
    ports: tuple[int, int] = (40000, 80)
    seq: int = IRS
    ack: int = ISS
    window: int = 65535
    tci: int | None = None
    addresses: tuple[str, str] | None = None

    def tcp(self, payload: bytes = b"", **tcp: Any) -> bytes:
        """A segment from the TCP header on; arguments are those of packet.tcp and replace its own."""
        source, destination = self.addresses or ADDRESSES[self.version]
        given = {"seq": self.seq, "ack": self.ack, "flags": packet.ACK, "window": self.window} | tcp
        return packet.tcp(source, destination, *self.ports, payload, **given)

    def frame(
        self, payload: bytes = b"", *, ip: dict[str, Any] | None = None, tci: int | None = None, **tcp: Any
    ) -> bytes:
        """A frame to the card; `seq` advances only by send()."""
        source, destination = self.addresses or ADDRESSES[self.version]
        maker = packet.ipv4 if self.version == 4 else packet.ipv6
        datagram = maker(source, destination, packet.TCP, self.tcp(payload, **tcp), **(ip or {}))
        tag = self.tci if tci is None else tci
        tags = () if tag is None else ((0x8100, tag),)
        return packet.ethernet(datagram, source=PEER, destination=MAC, tags=tags)

    def fragments(self) -> list[bytes]:
        """Two frames to the card with a segment of 64 bytes, cut 48 bytes behind its TCP header's start."""
        source, destination = self.addresses or ADDRESSES[self.version]
        segment, cut = self.tcp(bytes(64)), 48
        if self.version == 4:
            whole = packet.ipv4(source, destination, packet.TCP, segment, fragment=0)
            parts = packet.ipv4_fragments(whole, cut)
        else:
            parts = [
                packet.ipv6(
                    source, destination, packet.TCP, piece,
                    extensions=((packet.FRAGMENT, packet.fragment_header(at, more=at == 0)),),
                )
                for at, piece in ((0, segment[:cut]), (cut, segment[cut:]))
            ]  # fmt: skip
        return [packet.ethernet(part, source=PEER, destination=MAC) for part in parts]
