"""Datagram sockets: UDP, and ICMP echo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vnic._core import ffi, lib
from vnic.abi import StackResult
from vnic.stack.address import AddressLike, Endpoint, EndpointLike, endpoint_of, raw_endpoint, read_endpoint
from vnic.stack.native import Native
from vnic.stack.socket import Socket

if TYPE_CHECKING:
    from vnic._core import CData, vnic_endpoint

_DATAGRAM_BYTES = 0xFFFF
_ECHO_HEADER = 8
_ECHO_REQUEST = {4: 8, 6: 128}


class UdpSocket(Socket):
    """A UDP port."""

    def __init__(self, native: Native, handle: int) -> None:
        super().__init__(native, handle)
        self._room: CData = ffi.new("uint8_t[]", _DATAGRAM_BYTES)
        self._from: vnic_endpoint = ffi.new("struct vnic_endpoint *")

    def send_to(self, data: bytes | bytearray | memoryview, remote: EndpointLike) -> None:
        """Send a datagram."""
        raw, content = raw_endpoint(endpoint_of(remote)), ffi.from_buffer("uint8_t[]", data)
        result = lib.vnic_udp_send(self._native.enter(), self._own(), raw, content, len(content))
        self._native.finish(result, "send")

    def receive(self) -> tuple[bytes, Endpoint] | None:
        """The next datagram and who sent it; None when none is there."""
        stack, room = self._native.enter(), self._room
        length = lib.vnic_udp_receive(stack, self._own(), self._from, room, _DATAGRAM_BYTES)
        if length == StackResult.EAGAIN:
            return None
        self._native.finish(length, "receive")
        return bytes(ffi.buffer(room, min(length, _DATAGRAM_BYTES))), read_endpoint(self._from)


class Ping(UdpSocket):
    """Echo requests of one IP version, and the answers to them."""

    def __init__(self, native: Native, handle: int, version: int) -> None:
        super().__init__(native, handle)
        self.version = version

    def request(self, address: AddressLike, sequence: int, payload: bytes = b"") -> None:
        """Send an echo request; the stack knows its own by their identifier."""
        header = bytes([_ECHO_REQUEST[self.version], 0, 0, 0, 0, 0]) + sequence.to_bytes(2)
        self.send_to(header + payload, (address, 0))

    def answer(self) -> tuple[int, bytes, Endpoint] | None:
        """The next answer: sequence number, payload, who sent it; None when none is there."""
        found = self.receive()
        if found is None:
            return None
        data, who = found
        return int.from_bytes(data[6:8]), data[_ECHO_HEADER:], who
