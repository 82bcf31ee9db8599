"""NET_DMA_DESCRIPTOR, its control flags, and where it lies for driver and engine."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from vnic.gen.descriptors import CopyCompletion, CopyDescriptor
from vnic.gen.enums import ChanStatus
from vnic.host.bus import Coherent

DESCRIPTOR_BYTES = CopyDescriptor.SIZE
COMPLETION_BYTES = CopyCompletion.SIZE

_LAYOUT = struct.Struct("<2I7Q")
_CONTROL = struct.Struct("<4xI")
_U64 = struct.Struct("<Q")
_NEXT_OFFSET = 24


def _flag(field: str, value: int = 1) -> int:
    """The bits that a field of the engine's descriptor has in ControlFlags."""
    control: int = _CONTROL.unpack_from(CopyDescriptor(**{field: value}).pack())[0]
    return control


class NET_DMA(IntFlag):
    """ControlFlags of a descriptor, NET_DMA_...; the engine's manual has their bits."""

    INTERRUPT_ON_COMPLETION = _flag("int_en")
    SOURCE_NO_SNOOP = _flag("src_snoop_dis")
    DESTINATION_NO_SNOOP = _flag("dst_snoop_dis")
    STATUS_UPDATE_ON_COMPLETION = _flag("compl_write")
    SERIALIZE_TRANSFER = _flag("fence")
    NULL_TRANSFER = _flag("null")
    SOURCE_PAGE_BREAK = _flag("src_brk")
    DESTINATION_PAGE_BREAK = _flag("dst_brk")
    DESTINATION_DCA_ENABLE = _flag("dest_dca")


#: NET_DMA_OP_TYPE_MASK, and the one operation that is no transfer.
OP_TYPE_MASK = _flag("op", 0xFF)
OP_TYPE_CONTEXT_CHANGE = _flag("op", 0xFF)
OP_TYPE_STANDARD = 0
#: What a provider before version 2.0 does not know.
PAGE_BREAKS = NET_DMA.SOURCE_PAGE_BREAK | NET_DMA.DESTINATION_PAGE_BREAK
FLAGS_OF_VERSION_2 = PAGE_BREAKS | NET_DMA.DESTINATION_DCA_ENABLE
#: NET_DMA_RESERVED_MASK: bits that are 0.
RESERVED_MASK = 0xFFFF_FFFF & ~(OP_TYPE_MASK | int(NET_DMA(sum(NET_DMA))))


class NET_DMA_TRANSFER_STATUS(IntEnum):
    """What a channel does, in the low bits of the completion status."""

    ACTIVE = ChanStatus.ACTIVE
    IDLE = ChanStatus.DONE
    SUSPEND = ChanStatus.SUSPENDED
    HALTED = ChanStatus.HALTED
    ARMED = ChanStatus.ARMED


STATUS_MASK = 0x7
_ADDRESS_MASK = ~(DESCRIPTOR_BYTES - 1) & (1 << 64) - 1


class CompletionStatus(NamedTuple):
    """A completion status: the last processed descriptor and what the channel does; 0: none processed."""

    address: int
    status: int

    @classmethod
    def read(cls, memory: memoryview) -> CompletionStatus:
        """What stands at CompletionVirtualAddress."""
        (value,) = _U64.unpack_from(memory)
        return cls(value & _ADDRESS_MASK, value & STATUS_MASK)

    def write(self, memory: memoryview) -> None:
        """Put it there, for an engine that has none to write."""
        _U64.pack_into(memory, 0, self.address | self.status)


@dataclass(slots=True)
class NET_DMA_DESCRIPTOR:
    """One transfer of a chain; addresses are bus addresses, sizes bytes. [H:netdma.h]"""

    transfer_size: int = 0  # of a context change: DCAContext, an APIC id
    control_flags: int = 0
    source_address: int = 0
    destination_address: int = 0
    next_descriptor: int = 0
    next_source_address: int = 0  # Reserved1 before version 2.0
    next_destination_address: int = 0  # Reserved2 before version 2.0
    user_context1: int = 0
    user_context2: int = 0

    def pack(self) -> bytes:
        """The 64 bytes; struct.error when a value does not fit."""
        return _LAYOUT.pack(
            self.transfer_size,
            self.control_flags,
            self.source_address,
            self.destination_address,
            self.next_descriptor,
            self.next_source_address,
            self.next_destination_address,
            self.user_context1,
            self.user_context2,
        )

    @classmethod
    def unpack(cls, memory: memoryview | bytes, offset: int = 0) -> NET_DMA_DESCRIPTOR:
        """The descriptor at an offset; struct.error when it is not whole."""
        return cls(*_LAYOUT.unpack_from(memory, offset))

    @property
    def is_null(self) -> bool:
        """Whether it moves nothing."""
        return bool(self.control_flags & (NET_DMA.NULL_TRANSFER | OP_TYPE_MASK))


class DescriptorPointer(NamedTuple):
    """DescriptorVirtualAddress: a descriptor as the processor reaches it, in coherent memory at `offset`."""

    memory: Coherent
    offset: int

    @property
    def physical(self) -> int:
        """DescriptorPhysicalAddress, which the engine uses."""
        return self.memory.addr + self.offset

    def read(self) -> NET_DMA_DESCRIPTOR:
        """What lies there."""
        return NET_DMA_DESCRIPTOR.unpack(self.memory.view, self.offset)

    def write(self, descriptor: NET_DMA_DESCRIPTOR) -> None:
        """Put a descriptor there."""
        self.memory.view[self.offset : self.offset + DESCRIPTOR_BYTES] = descriptor.pack()

    def link(self, address: int) -> None:
        """Rewrite NextDescriptor alone, as one store."""
        _U64.pack_into(self.memory.view, self.offset + _NEXT_OFFSET, address)

    def at(self, address: int) -> DescriptorPointer | None:
        """The pointer to another bus address of the same memory, None outside of it."""
        offset = address - self.memory.addr
        is_inside = 0 <= offset <= len(self.memory) - DESCRIPTOR_BYTES
        return DescriptorPointer(self.memory, offset) if is_inside else None

    def walk(self, limit: int) -> Iterator[DescriptorPointer]:
        """The chain from here until NextDescriptor is 0 or leaves this memory, at most `limit`."""
        here: DescriptorPointer | None = self
        for _ in range(limit):
            if here is None:
                return
            yield here
            following = here.read().next_descriptor
            here = here.at(following) if following else None
