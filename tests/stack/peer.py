"""A TCP host that is played by hand: segments to the stack, and the stack's segments read back."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from tests.stack.seen import Seen
from tests.stack.world import OUR_MAC, PEER, PEER6, PEER_MAC, US, US6, World, endpoint
from vnic._core import ffi, lib
from vnic.wire import packet
from vnic.wire.packet import ACK, FIN, PSH, RST, SYN

MSS, NOP, SCALE, SACK_PERMITTED, TIMESTAMP = 2, 1, 3, 4, 8


def mss(value: int) -> bytes:
    """The option of RFC 9293 3.7.1."""
    return struct.pack("!BBH", MSS, 4, value)


def scale(shift: int) -> bytes:
    """The option of RFC 7323 2, padded."""
    return bytes([NOP, SCALE, 3, shift])


def sack_permitted() -> bytes:
    """The option of RFC 2018 2, padded."""
    return bytes([NOP, NOP, SACK_PERMITTED, 2])


def timestamp(value: int, echo: int = 0) -> bytes:
    """The option of RFC 7323 3, padded."""
    return struct.pack("!BBBBII", NOP, NOP, TIMESTAMP, 10, value & 0xFFFFFFFF, echo)


def options_of(data: bytes) -> dict[int, bytes]:
    """The options of a header that is right, by kind."""
    found = {}
    while data and data[0] != 0:
        if data[0] == NOP:
            data = data[1:]
            continue
        found[data[0]] = data[2 : data[1]]
        data = data[data[1] :]
    return found


@dataclass(frozen=True)
class Segment:
    """A segment that the stack sent."""

    seen: Seen
    source_port: int
    port: int
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int
    options: dict[int, bytes]
    data: bytes

    @property
    def timestamp(self) -> tuple[int, int]:
        """TSval and TSecr."""
        value, echo = struct.unpack("!II", self.options[TIMESTAMP])
        return value, echo


def segment_of(seen: Seen) -> Segment:
    """The TCP segment in a frame."""
    payload = seen.datagram.payload
    assert seen.datagram.proto == packet.TCP
    source, port, seq, ack, offset, flags, window, _, urgent = struct.unpack("!HHIIBBHHH", payload[:20])
    header_len = (offset >> 4) * 4
    options = options_of(payload[20:header_len])
    return Segment(seen, source, port, seq, ack, flags, window, urgent, options, payload[header_len:])


@dataclass
class Peer:
    """One end of a connection with the stack of a world; numbers are those to be used next."""

    world: World
    us: str = US
    them: str = PEER
    port: int = 40000
    our_port: int = 80
    seq: int = 1_000_000
    ack: int = 0
    window: int = 65535
    options: bytes = b""
    mac: bytes = PEER_MAC
    our_mac: bytes = OUR_MAC
    #: The stack's interface that hears this peer.
    interface: int = 0
    sent: list[Segment] = field(default_factory=list)

    def frame(self, flags: int = ACK, data: bytes = b"", **fields: Any) -> bytes:
        """A frame with a segment; fields are those of packet.tcp, `destination` a MAC address."""
        to = fields.pop("destination", self.our_mac)
        values: dict[str, Any] = {
            "seq": self.seq,
            "window": self.window,
            "options": self.options,
            "flags": flags,
        }
        values |= {"ack": self.ack if flags & ACK else 0} | fields
        segment = packet.tcp(self.them, self.us, self.port, self.our_port, data, **values)
        build = packet.ipv6 if ":" in self.us else packet.ipv4
        return packet.ethernet(
            build(self.them, self.us, packet.TCP, segment), source=self.mac, destination=to
        )

    def send(self, flags: int = ACK, data: bytes = b"", **fields: Any) -> None:
        """Gives the stack a segment and counts it unless its number was given."""
        self.world.receive(self.frame(flags, data, **fields), self.interface)
        if "seq" not in fields:
            self.seq = (self.seq + len(data) + bool(flags & SYN) + bool(flags & FIN)) & 0xFFFFFFFF

    def heard(self) -> list[Segment]:
        """What the stack sends to this peer now."""
        found = [segment_of(seen) for seen in self.world.transmit(self.interface)]
        self.sent += found
        return found

    def one(self) -> Segment:
        """The only segment that the stack sends now."""
        found = self.heard()
        assert len(found) == 1, found
        return found[0]

    def silent(self) -> None:
        """The stack sends nothing."""
        assert self.heard() == []

    def take(self) -> Segment:
        """The only segment now; it will be acknowledged with the next that is sent."""
        segment = self.one()
        extra = bool(segment.flags & SYN) + bool(segment.flags & FIN)
        self.ack = (segment.seq + len(segment.data) + extra) & 0xFFFFFFFF
        return segment


def resolve(world: World) -> None:
    """The peer's Ethernet address is known."""
    assert world.know(PEER) == 0
    assert world.know(PEER6) == 0


def connect(world: World, peer: Peer, *, options: bytes = mss(1460), local_port: int = 0) -> int:
    """The stack's connection to a peer, established; the socket. CONNECTED was fetched."""
    source = endpoint(peer.us, local_port) if local_port else ffi.NULL
    socket = int(lib.vnic_tcp_connect(world.stack, source, endpoint(peer.them, peer.port)))
    assert socket > 0
    syn = peer.take()
    assert syn.flags & (SYN | ACK) == SYN
    peer.our_port = syn.source_port
    peer.send(SYN | ACK, options=options)
    assert peer.take().flags == ACK
    assert events(world) == {socket: lib.VNIC_EVENT_CONNECTED}
    return socket


def establish(world: World, peer: Peer, listener: int, *, options: bytes = mss(1460)) -> int:
    """The peer's connection to a listener, accepted; the socket."""
    peer.send(SYN, options=options)
    assert peer.take().flags & (SYN | ACK) == SYN | ACK
    peer.send(ACK)
    assert events(world) == {listener: lib.VNIC_EVENT_ACCEPT}
    socket = int(lib.vnic_tcp_accept(world.stack, listener))
    assert socket > 0
    return socket


def listen(world: World, address: str = "0.0.0.0", port: int = 80, backlog: int = 8) -> int:
    """A listener, or a result below 0."""
    return int(lib.vnic_tcp_listen(world.stack, endpoint(address, port), backlog))


def events(world: World) -> dict[int, int]:
    """The events that wait, by socket."""
    return {socket: bits for socket, (bits, _) in outcomes(world).items()}


def outcomes(world: World) -> dict[int, tuple[int, int]]:
    """Events and results that wait, by socket; AssertionError when a socket has two entries."""
    out = ffi.new("struct vnic_stack_event[64]")
    found: dict[int, tuple[int, int]] = {}
    while count := lib.vnic_stack_events(world.stack, out, 64):
        for i in range(count):
            assert out[i].socket not in found
            found[out[i].socket] = (out[i].events, out[i].result)
    return found


def send(world: World, socket: int, data: bytes, flags: int = 0) -> int:
    """Sends a copy of data; how many bytes, or a result below 0."""
    piece = ffi.from_buffer("char[]", data)
    pieces = ffi.new("struct vnic_bytes[1]", [{"data": piece, "len": len(data)}])
    return int(lib.vnic_tcp_send(world.stack, socket, pieces, 1, flags, 0))


def refer(world: World, socket: int, pieces: list[Any], cookie: int, flags: int = 0) -> int:
    """Sends buffers (of ffi) by reference."""
    values = [{"data": piece, "len": len(piece)} for piece in pieces]
    out = ffi.new("struct vnic_bytes[]", values)
    return int(
        lib.vnic_tcp_send(world.stack, socket, out, len(values), lib.VNIC_SEND_REFERENCE | flags, cookie)
    )


def receive(world: World, socket: int, limit: int = 1 << 16) -> bytes | int:
    """Received bytes, b"" at the end, or a result below 0."""
    out = ffi.new("uint8_t[]", limit)
    count = int(lib.vnic_tcp_receive(world.stack, socket, out, limit))
    return bytes(ffi.buffer(out, count)) if count >= 0 else count


def completions(world: World, socket: int) -> list[tuple[int, int, int, bool]]:
    """(cookie, length, result, is_send) of each that waits."""
    out = ffi.new("struct vnic_completion[32]")
    count = lib.vnic_stack_completions(world.stack, socket, out, 32)
    assert count >= 0, count
    return [(out[i].cookie, out[i].len, out[i].result, bool(out[i].is_send)) for i in range(count)]


def info(world: World, socket: int) -> Any:
    """A struct vnic_tcp_info."""
    out = ffi.new("struct vnic_tcp_info *")
    assert lib.vnic_tcp_get_info(world.stack, socket, out) == 0
    return out


def statistics(world: World) -> Any:
    """A struct vnic_stack_statistics."""
    out = ffi.new("struct vnic_stack_statistics *")
    lib.vnic_stack_get_statistics(world.stack, out)
    return out


def peer6(world: World, **fields: Any) -> Peer:
    """A peer over IPv6."""
    return Peer(world, us=US6, them=PEER6, **fields)


__all__ = [
    "ACK",
    "FIN",
    "PSH",
    "RST",
    "SYN",
    "Peer",
    "Segment",
    "completions",
    "connect",
    "establish",
    "events",
    "info",
    "listen",
    "mss",
    "outcomes",
    "peer6",
    "receive",
    "refer",
    "resolve",
    "sack_permitted",
    "scale",
    "segment_of",
    "send",
    "statistics",
    "timestamp",
]
