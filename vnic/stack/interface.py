"""One interface of a stack: frames in, frames out with what is left to the link to do, its addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from vnic._core import ffi, lib
from vnic.abi import StackRx
from vnic.errors import ArgumentError
from vnic.stack.address import AddressLike, AddressOnLink, address_of, address_on_link, raw_address, raw_mac
from vnic.stack.config import InterfaceConfig
from vnic.stack.errors import check
from vnic.stack.memory import pointer_to
from vnic.stack.native import Native

if TYPE_CHECKING:
    from vnic._core import CData, vnic_stack_frame

#: Frames handed over as one input.
BURST = 64
_HEADERS = 18  # Ethernet with one tag
_LARGE_HEADERS = 256


class OutFrame(NamedTuple):
    """A frame to send and what the link is to do with it; offsets count from its first byte."""

    length: int
    #: Not 0: to be cut into packets of this many payload bytes.
    mss: int
    #: Tag to insert; 0: none.
    vlan: int
    #: With checksum_offset, the field to complete; 0: nothing to do.
    checksum_start: int
    checksum_offset: int
    is_ipv6: bool
    is_tcp: bool
    #: Ethernet to TCP header, of a large send.
    header_len: int

    @property
    def is_complete(self) -> bool:
        """Whether the link has nothing to do but to send it."""
        return not (self.mss or self.vlan or self.checksum_start)


class Area:
    """Writable memory that frames are put into, one after the other."""

    __slots__ = ("_start", "size", "view")

    def __init__(self, memory: memoryview | bytearray) -> None:
        self.view = memoryview(memory)
        self.size = len(self.view)
        self._start = pointer_to(self.view, is_written=True)

    def at(self, offset: int) -> CData:
        """Where C finds an offset."""
        if not 0 <= offset < self.size:
            raise ArgumentError(f"offset {offset} of {self.size} bytes")
        where: CData = ffi.addressof(self._start, offset)
        return where

    def release(self) -> None:
        """Let go of the memory, which may then be given back."""
        self.view = memoryview(b"")
        self.size = 0
        self._start = ffi.NULL


class Interface:
    """Interface `number` of a stack, made by Stack.add_interface()."""

    def __init__(self, native: Native, number: int, config: InterfaceConfig) -> None:
        self.number = number
        self.config = config
        self.is_up = False
        self.addresses: list[AddressOnLink] = []
        #: Room that one frame may need, a large send too.
        self.frame_room = _room(config)
        self._native = native
        self._frame: vnic_stack_frame = ffi.new("struct vnic_stack_frame *")
        self._burst = ffi.new("struct vnic_stack_packet[]", BURST)
        self._own = Area(bytearray(self.frame_room))

    # -- state -----------------------------------------------------------------------------------------------

    def set_link(self, is_up: bool) -> None:
        """The link below came up or went down."""
        result = lib.vnic_stack_set_link(self._native.enter(), self.number, int(is_up))
        self._native.finish(result, "set link")
        self.is_up = is_up

    def set_offload(self, offload: int, tso_bytes: int) -> None:
        """The link below does other things from the next frame on (StackOffload)."""
        result = lib.vnic_stack_set_offload(self._native.enter(), self.number, offload, tso_bytes)
        self._native.finish(result, f"offload {offload:#x}")
        self.config = replace(self.config, offload=offload, tso_bytes=tso_bytes)
        self.frame_room = _room(self.config)
        self._own = Area(bytearray(self.frame_room))

    def add_address(self, address: AddressOnLink | str) -> AddressOnLink:
        """Take an address with its on-link prefix: '10.0.0.1/24'."""
        wanted = address_on_link(address)
        raw, length = raw_address(wanted.ip), wanted.network.prefixlen
        check(lib.vnic_stack_add_address(self._native.enter(), self.number, raw, length), f"address {wanted}")
        self.addresses.append(wanted)
        return wanted

    def add_neighbour(self, address: AddressLike, mac: bytes) -> None:
        """Enter a permanent neighbour."""
        raw = raw_address(address_of(address))
        result = lib.vnic_stack_add_neighbour(self._native.enter(), self.number, raw, raw_mac(mac))
        check(result, f"neighbour {address}")

    # -- frames in -------------------------------------------------------------------------------------------

    def receive(self, frame: bytes | bytearray | memoryview, flags: int = 0) -> None:
        """A frame without FCS; a bad one is counted and dropped. flags: StackRx."""
        data = ffi.from_buffer("uint8_t[]", frame)
        result = lib.vnic_stack_receive(self._native.enter(), self.number, data, len(frame), flags)
        self._native.finish(result, "receive")

    def receive_burst(self, frames: Sequence[tuple[bytes | memoryview, int]]) -> None:
        """Frames with their StackRx flags, as one input up to BURST."""
        raw, burst = self._native.enter(), self._burst
        for first in range(0, len(frames), BURST):
            part = frames[first : first + BURST]
            kept = []
            for place, (frame, flags) in enumerate(part):
                packet = burst[place]
                data = ffi.from_buffer("uint8_t[]", frame)
                kept.append(data)
                packet.data, packet.len, packet.flags = data, len(frame), flags
            result = lib.vnic_stack_receive_burst(raw, self.number, burst, len(part))
            self._native.finish(result, "receive")

    # -- frames out ------------------------------------------------------------------------------------------

    def transmit_into(self, area: Area, offset: int = 0) -> OutFrame | None:
        """Put the next frame into an area that has `frame_room` from `offset` on; None when there is none."""
        raw = self._frame
        room = area.size - offset
        length = lib.vnic_stack_transmit(self._native.enter(), self.number, area.at(offset), room, raw)
        if length <= 0:
            check(length, "transmit")
            return None
        return OutFrame(
            length, raw.mss, raw.vlan, raw.checksum_start, raw.checksum_offset,
            bool(raw.is_ipv6), bool(raw.is_tcp), raw.header_len,
        )  # fmt: skip

    def transmit(self) -> tuple[bytes, OutFrame] | None:
        """The next frame to send, copied out, and what is left to do; None when there is none."""
        frame = self.transmit_into(self._own)
        return None if frame is None else (bytes(self._own.view[: frame.length]), frame)


def _room(config: InterfaceConfig) -> int:
    return max(config.mtu + _HEADERS, config.tso_bytes + _LARGE_HEADERS)


#: The link below verified every checksum.
VERIFIED = int(StackRx.L4_GOOD | StackRx.IP_GOOD)
