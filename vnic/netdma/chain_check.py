"""The checks of a chain of descriptors before a provider gets it."""

from __future__ import annotations

from vnic.host.bus import PAGE
from vnic.netdma.descriptor import (
    DESCRIPTOR_BYTES,
    FLAGS_OF_VERSION_2,
    NET_DMA,
    NET_DMA_DESCRIPTOR,
    OP_TYPE_CONTEXT_CHANGE,
    OP_TYPE_MASK,
    OP_TYPE_STANDARD,
    PAGE_BREAKS,
    RESERVED_MASK,
    DescriptorPointer,
)
from vnic.netdma.record import ProviderRecord
from vnic.netdma.watch import Watch

#: Descriptors of one chain: DMACOUNT has 16 bits.
CHAIN_MAX = 0xFFFF


class ChainCheck:
    """Checks what a client passes to one provider."""

    def __init__(self, watch: Watch, record: ProviderRecord, client: object) -> None:
        self._watch = watch
        self._record = record
        self._client = client

    def check(self, first: DescriptorPointer, count: int) -> None:
        """Raise the first breach in a chain of `count` descriptors."""
        self._require(0 < count <= CHAIN_MAX, "chain", f"a chain of {count} descriptors")
        walked = 0
        last = NET_DMA_DESCRIPTOR()
        for pointer in first.walk(count):
            last = pointer.read()
            self._check_one(pointer, last)
            walked += 1
        self._check_end(last, walked, count)

    def _check_end(self, last: NET_DMA_DESCRIPTOR, walked: int, count: int) -> None:
        following = last.next_descriptor
        self._require(following % DESCRIPTOR_BYTES == 0, "alignment", f"NextDescriptor {following:#x}")
        if self._record.version.is_counted:
            self._require(following != 0, "chain", "NextDescriptor of the last descriptor is NULL")
            return
        self._require(walked == count, "chain", f"NULL after {walked} descriptors of {count}")
        self._require(following == 0, "chain", f"no NULL after {count} descriptors")

    def _check_one(self, pointer: DescriptorPointer, descriptor: NET_DMA_DESCRIPTOR) -> None:
        where = f"descriptor at {pointer.physical:#x}"
        self._require(pointer.physical % DESCRIPTOR_BYTES == 0, "alignment", where)
        self._check_flags(descriptor.control_flags, where)
        if not descriptor.is_null:
            self._check_transfer(descriptor, where)

    def _check_flags(self, flags: int, where: str) -> None:
        said = f"{where}: ControlFlags {flags:#x}"
        self._require(not flags & RESERVED_MASK, "flags", said)
        operation = flags & OP_TYPE_MASK
        self._require(operation in (OP_TYPE_STANDARD, OP_TYPE_CONTEXT_CHANGE), "flags", said)
        if not self._record.version.is_counted:
            self._require(not flags & (FLAGS_OF_VERSION_2 | OP_TYPE_MASK), "flags", said)
        if operation:
            self._require(self._record.has_dca and not flags & PAGE_BREAKS, "flags", said)

    def _check_transfer(self, descriptor: NET_DMA_DESCRIPTOR, where: str) -> None:
        size = descriptor.transfer_size
        most = self._record.attributes.maximum_transfer_size
        self._require(0 < size <= most, "size", f"{where}: TransferSize {size} where {most} is the most")
        flags = descriptor.control_flags
        second = descriptor.next_source_address if flags & NET_DMA.SOURCE_PAGE_BREAK else 0
        second |= descriptor.next_destination_address if flags & NET_DMA.DESTINATION_PAGE_BREAK else 0
        self._require(second % PAGE == 0, "alignment", f"{where}: a page break to the middle of a page")
        ends = [_end(descriptor.source_address, size, flags & NET_DMA.SOURCE_PAGE_BREAK)]
        ends.append(_end(descriptor.destination_address, size, flags & NET_DMA.DESTINATION_PAGE_BREAK))
        space = self._record.attributes.maximum_address_space
        self._require(max(ends) - 1 <= space, "size", f"{where}: beyond MaximumAddressSpace {space:#x}")

    def _require(self, condition: bool, rule: str, message: str) -> None:
        if not condition:
            raise self._watch.breach(rule, self._client, message)


def _end(address: int, size: int, has_break: int) -> int:
    """Where a transfer ends; with a page break, its first part ends with the page."""
    return min(address + size, address - address % PAGE + PAGE) if has_break else address + size
