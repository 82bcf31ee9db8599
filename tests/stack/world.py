"""One stack in virtual time, and around it hosts that are played by hand."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from tests.stack.seen import Seen, read
from vnic._core import ffi, lib
from vnic.wire import packet

SECOND = 1_000_000_000
OUR_MAC = packet.mac("02:00:00:00:01:01")
PEER_MAC = packet.mac("02:00:00:00:02:02")
OTHER_MAC = packet.mac("02:00:00:00:03:03")
US, PEER, OTHER = "10.0.0.1", "10.0.0.2", "10.0.0.3"
US6, PEER6 = "2001:db8::1", "2001:db8::2"
OUR_LINK_LOCAL = "fe80::ff:fe00:101"
PEER_LINK_LOCAL = "fe80::ff:fe00:202"
ALL_NODES = "ff02::1"
CAPACITY = 65536 + 64


def address(text: packet.Address) -> Any:
    """A struct vnic_address."""
    raw = packet.packed(text)
    return ffi.new("struct vnic_address *", {"bytes": raw.ljust(16, b"\0"), "is_ipv6": len(raw) == 16})


def endpoint(text: packet.Address, port: int = 0) -> Any:
    """A struct vnic_endpoint."""
    return ffi.new("struct vnic_endpoint *", {"address": address(text)[0], "port": port})


def unpacked(value: Any) -> bytes:
    """The 4 or 16 bytes of a struct vnic_address."""
    return bytes(ffi.buffer(value.bytes))[: 16 if value.is_ipv6 else 4]


def solicited_node(text: str) -> str:
    """The solicited-node group of an address. RFC 4291 2.7.1."""
    return str(ipaddress.IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + packet.packed(text)[13:]))


def group_mac(group: str) -> bytes:
    """The Ethernet address of an IPv6 group. RFC 2464 7."""
    return b"\x33\x33" + packet.packed(group)[12:]


class World:
    """A stack with interface 0 up, at 10.0.0.1/24 and 2001:db8::1/64 unless told otherwise.

    Use it as a context: the stack ends with it.
    """

    def __init__(
        self,
        *,
        addresses: Sequence[tuple[str, int]] = ((US, 24), (US6, 64)),
        mtu: int = 1500,
        vlan: int = 0,
        offload: int = 0,
        is_up: bool = True,
        **config: int,
    ) -> None:
        values = ffi.new("struct vnic_stack_config *")
        lib.vnic_stack_defaults(values)
        values.seed, values.connections, values.neighbours = 7, 16, 64
        for name, value in config.items():
            setattr(values, name, value)
        self.stack = lib.vnic_stack_create(values)
        assert self.stack != ffi.NULL
        self.now = 0
        self.interfaces = 0
        self._out = ffi.new("uint8_t[]", CAPACITY)
        self._frame = ffi.new("struct vnic_stack_frame *")
        assert self.add_interface(mtu=mtu, vlan=vlan, offload=offload) == 0
        if is_up:
            self.set_link(True)
        for text, prefix_len in addresses:
            assert self.add_address(text, prefix_len) == 0

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lib.vnic_stack_destroy(self.stack)

    # -- setting up

    def add_interface(
        self, mac: bytes = OUR_MAC, mtu: int = 1500, vlan: int = 0, offload: int = 0, tso_bytes: int = 0
    ) -> int:
        """The number of the new interface, or a result below 0."""
        values = {"mac": mac, "vlan": vlan, "mtu": mtu, "offload": offload, "tso_bytes": tso_bytes}
        number = lib.vnic_stack_add_interface(self.stack, ffi.new("struct vnic_stack_interface *", values))
        self.interfaces += number >= 0
        return int(number)

    def set_link(self, is_up: bool, interface: int = 0) -> None:
        """Takes the link up or down."""
        assert lib.vnic_stack_set_link(self.stack, interface, is_up) == 0

    def add_address(self, text: str, prefix_len: int, interface: int = 0) -> int:
        """An enum vnic_result."""
        return int(lib.vnic_stack_add_address(self.stack, interface, address(text), prefix_len))

    def add_route(self, network: str, gateway: str | None, interface: int = 0, metric: int = 0) -> int:
        """A route "prefix/len"; gateway None is on-link."""
        prefix, _, prefix_len = network.partition("/")
        via = gateway if gateway is not None else ("::" if ":" in prefix else "0.0.0.0")
        return int(
            lib.vnic_stack_add_route(
                self.stack, address(prefix), int(prefix_len), address(via), interface, metric
            )
        )

    def remove_route(self, network: str, interface: int = 0) -> int:
        """An enum vnic_result."""
        prefix, _, prefix_len = network.partition("/")
        return int(lib.vnic_stack_remove_route(self.stack, address(prefix), int(prefix_len), interface))

    def know(self, text: str, mac: bytes = PEER_MAC, interface: int = 0) -> int:
        """A permanent neighbour; an enum vnic_result."""
        return int(lib.vnic_stack_add_neighbour(self.stack, interface, address(text), mac))

    # -- frames and time

    def receive(self, frame: bytes, interface: int = 0, flags: int = 0) -> None:
        """Gives the stack a frame."""
        assert lib.vnic_stack_receive(self.stack, interface, frame, len(frame), flags) == 0

    def transmit(self, interface: int = 0) -> list[Seen]:
        """Takes all that the stack would send."""
        frames = []
        while length := lib.vnic_stack_transmit(self.stack, interface, self._out, CAPACITY, self._frame):
            assert length > 0
            assert length == self._frame.len
            frames.append(
                read(
                    bytes(ffi.buffer(self._out, length)),
                    self._frame.vlan,
                    self._frame.checksum_start,
                    self._frame.checksum_offset,
                )
            )
        return frames

    def one(self, interface: int = 0) -> Seen:
        """Takes the only frame that the stack would send."""
        frames = self.transmit(interface)
        assert len(frames) == 1, frames
        return frames[0]

    def advance(self, seconds: float) -> None:
        """Lets time pass, deadline by deadline; AssertionError when one does not pass."""
        end = self.now + round(seconds * SECOND)
        visits = 0
        while (at := self.deadline) <= end:
            visits = 0 if at > self.now else visits + 1
            assert visits < 100, "a deadline that does not pass"
            self.now = max(at, self.now)
            assert lib.vnic_stack_time(self.stack, self.now) == 0
        self.now = end
        assert lib.vnic_stack_time(self.stack, self.now) == 0

    @property
    def deadline(self) -> int:
        """In nanoseconds; 2**64 - 1 for never."""
        return int(lib.vnic_stack_deadline(self.stack))

    # -- datagrams of hosts around

    def hear(self, datagram: bytes, *, destination: bytes = OUR_MAC, source: bytes = PEER_MAC) -> None:
        """Gives the stack an IP datagram in a frame to it."""
        self.receive(packet.ethernet(datagram, source=source, destination=destination))

    def hear_arp(
        self,
        operation: int,
        source: str,
        target: str,
        *,
        mac: bytes = PEER_MAC,
        target_mac: bytes = bytes(6),
        destination: bytes = OUR_MAC,
    ) -> None:
        """Gives the stack an ARP packet."""
        body = packet.arp(source, target, operation=operation, source_mac=mac, target_mac=target_mac)
        self.receive(
            packet.ethernet(body, ethertype=packet.ETHERTYPE_ARP, source=mac, destination=destination)
        )

    def answer_arp(self, source: str = PEER, target: str = US, mac: bytes = PEER_MAC) -> None:
        """The reply that the stack waits for."""
        self.hear_arp(2, source, target, mac=mac, target_mac=OUR_MAC)

    def hear_icmpv6(
        self,
        kind: int,
        body: bytes,
        *,
        source: str = PEER_LINK_LOCAL,
        destination: str = OUR_LINK_LOCAL,
        code: int = 0,
        hop_limit: int = 255,
        mac: bytes = PEER_MAC,
        field: int | None = None,
    ) -> None:
        """Gives the stack an ICMPv6 message; body starts behind the checksum."""
        message = packet.icmpv6(source, destination, kind, code, body, field=field)
        to = group_mac(destination) if destination.startswith("ff") else OUR_MAC
        self.hear(
            packet.ipv6(source, destination, packet.ICMPV6, message, hop_limit=hop_limit),
            destination=to,
            source=mac,
        )

    def solicit(
        self,
        target: str,
        *,
        source: str = PEER6,
        destination: str | None = None,
        options: bytes = b"",
        **more: Any,
    ) -> None:
        """Gives the stack a neighbour solicitation."""
        to = solicited_node(target) if destination is None else destination
        body = bytes(4) + packet.packed(target) + options
        self.hear_icmpv6(135, body, source=source, destination=to, **more)

    def advertise(
        self,
        target: str = PEER6,
        *,
        flags: int = 0x60,
        mac: bytes | None = PEER_MAC,
        source: str | None = None,
        destination: str = US6,
        **more: Any,
    ) -> None:
        """Gives the stack a neighbour advertisement; mac None leaves the option out."""
        option = b"" if mac is None else b"\x02\x01" + mac
        body = bytes([flags, 0, 0, 0]) + packet.packed(target) + option
        self.hear_icmpv6(136, body, source=source or target, destination=destination, **more)

    # -- looking

    @property
    def statistics(self) -> Any:
        """A struct vnic_stack_statistics."""
        out = ffi.new("struct vnic_stack_statistics *")
        lib.vnic_stack_get_statistics(self.stack, out)
        return out

    def neighbours(self) -> dict[str, Any]:
        """The neighbour caches by address."""
        found: dict[str, Any] = {}
        out = ffi.new("struct vnic_neighbour *")
        while lib.vnic_stack_neighbour(self.stack, len(found), out) == 0:
            text = str(ipaddress.ip_address(unpacked(out.address)))
            copy = ffi.new("struct vnic_neighbour *")
            copy[0] = out[0]
            found[text] = copy
        return found

    def state_of(self, text: str = PEER) -> int:
        """An enum vnic_neighbour_state; NONE also without an entry."""
        entry = self.neighbours().get(str(ipaddress.ip_address(text)))
        return int(entry.state) if entry else 0

    def mac_of(self, text: str = PEER) -> bytes:
        """The Ethernet address of an entry."""
        entry = self.neighbours()[str(ipaddress.ip_address(text))]
        return bytes(ffi.buffer(entry.mac))

    def addresses(self) -> dict[str, Any]:
        """Our addresses, of all interfaces."""
        found: dict[str, Any] = {}
        out = ffi.new("struct vnic_interface_address *")
        while lib.vnic_stack_address(self.stack, len(found), out) == 0:
            copy = ffi.new("struct vnic_interface_address *")
            copy[0] = out[0]
            found[str(ipaddress.ip_address(unpacked(out.address)))] = copy
        return found

    def events(self) -> dict[int, int]:
        """The events that wait, by socket."""
        out = ffi.new("struct vnic_stack_event[64]")
        count = lib.vnic_stack_events(self.stack, out, 64)
        assert count >= 0
        return {int(event.socket): int(event.events) for event in out[0:count]}

    # -- datagram sockets

    def bind(self, text: str = "0.0.0.0", port: int = 5000) -> int:
        """A UDP socket, or a result below 0."""
        return int(lib.vnic_udp_bind(self.stack, endpoint(text, port)))

    def send(self, socket: int, data: bytes, to: str = PEER, port: int = 7) -> int:
        """Bytes sent, or a result below 0."""
        return int(
            lib.vnic_udp_send(
                self.stack, socket, endpoint(to, port), ffi.from_buffer("uint8_t[]", data), len(data)
            )
        )

    def take(self, socket: int, room: int = 65536) -> tuple[bytes, str, int]:
        """The next datagram with its source; AssertionError when there is none."""
        out, remote = ffi.new("uint8_t[]", room), endpoint(US)
        length = lib.vnic_udp_receive(self.stack, socket, remote, out, room)
        assert length >= 0, length
        text = str(ipaddress.ip_address(unpacked(remote.address)))
        return bytes(ffi.buffer(out, min(length, room))), text, int(remote.port)

    def take_result(self, socket: int) -> tuple[int, str, int]:
        """What receive says, and the remote end that it names."""
        out, remote = ffi.new("uint8_t[]", 65536), endpoint("0.0.0.0")
        result = int(lib.vnic_udp_receive(self.stack, socket, remote, out, 65536))
        return result, str(ipaddress.ip_address(unpacked(remote.address))), int(remote.port)

    def close(self, socket: int) -> int:
        """An enum vnic_result."""
        return int(lib.vnic_stack_close(self.stack, socket))
