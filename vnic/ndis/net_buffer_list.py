"""NET_BUFFER_LIST, NET_BUFFER and MDL: network data as NDIS 6 drivers pass it to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from vnic.ndis.oob import Slot
from vnic.ndis.status import NDIS_STATUS

PAGE_BYTES = 4096
_SLOTS = len(Slot)


class NetBufferError(ValueError):
    """Data that is not there: a retreat without room, an advance past the end, a broken or cyclic chain."""


class Mdl:
    """A run of memory: its bytes, and the guest address at which Bus.map finds them; linked by `next`."""

    __slots__ = ("address", "buffer", "next")

    def __init__(self, buffer: bytearray | memoryview, address: int = 0, next_mdl: Mdl | None = None) -> None:
        self.buffer = memoryview(buffer)
        self.address = address
        self.next = next_mdl

    def __len__(self) -> int:
        return len(self.buffer)


def walk_mdls(head: Mdl | None) -> Iterator[Mdl]:
    """Every MDL of a chain; raises NetBufferError on a cycle."""
    seen: set[int] = set()
    while head is not None:
        if id(head) in seen:
            raise NetBufferError("the MDL chain is cyclic")
        seen.add(id(head))
        yield head
        head = head.next


class NetBuffer:
    """One packet: `data_length` bytes that start `data_offset` bytes into the MDL chain."""

    __slots__ = (
        "data_length",
        "data_offset",
        "mdl_chain",
        "miniport_reserved",
        "next",
        "protocol_reserved",
    )

    def __init__(self, mdl_chain: Mdl | None, data_offset: int = 0, data_length: int | None = None) -> None:
        self.next: NetBuffer | None = None
        self.mdl_chain = mdl_chain
        self.data_offset = data_offset
        room = self.capacity - data_offset
        self.data_length = room if data_length is None else data_length
        if data_offset < 0 or not 0 <= self.data_length <= room:
            raise NetBufferError(f"{self.data_length} bytes at {data_offset} in {self.capacity}")
        self.miniport_reserved: object = None
        self.protocol_reserved: object = None

    @property
    def capacity(self) -> int:
        """Bytes described by the whole MDL chain, unused data space included."""
        first = self.mdl_chain
        if first is not None and first.next is None:
            return len(first.buffer)
        return sum(len(mdl) for mdl in walk_mdls(first))

    @property
    def current_mdl(self) -> Mdl | None:
        """The MDL in which the data starts."""
        return self._locate()[0]

    @property
    def current_mdl_offset(self) -> int:
        """Offset of the data's first byte in current_mdl."""
        return self._locate()[1]

    def _locate(self) -> tuple[Mdl | None, int]:
        offset = self.data_offset
        last = None
        for mdl in walk_mdls(self.mdl_chain):
            if offset < len(mdl):
                return mdl, offset
            offset -= len(mdl)
            last = mdl
        return last, len(last) if last is not None else 0

    def advance_data_start(self, count: int) -> None:
        """Consume `count` bytes from the front (NdisAdvanceNetBufferDataStart)."""
        if not 0 <= count <= self.data_length:
            raise NetBufferError(f"advance by {count} of {self.data_length} bytes")
        self.data_offset += count
        self.data_length -= count

    def retreat_data_start(self, count: int, allocate: Callable[[int], Mdl] | None = None) -> None:
        """Give `count` bytes of room in front (NdisRetreatNetBufferDataStart).

        Without enough unused data space an MDL from `allocate` is put in front; None raises NetBufferError.
        """
        if count < 0:
            raise NetBufferError(f"retreat by {count}")
        if count > self.data_offset:
            if allocate is None:
                raise NetBufferError(f"retreat by {count} with {self.data_offset} bytes of unused data space")
            mdl = allocate(count)
            if len(mdl) < count:
                raise NetBufferError(f"allocated {len(mdl)} bytes where {count} are needed")
            mdl.next = self.mdl_chain
            self.mdl_chain = mdl
            self.data_offset += len(mdl)
        self.data_offset -= count
        self.data_length += count

    def views(self, offset: int = 0, length: int | None = None) -> Iterator[tuple[int, memoryview]]:
        """(guest address, bytes) of each stretch of the data; raises NetBufferError past its end."""
        left = self.data_length - offset if length is None else length
        if offset < 0 or left < 0 or offset + left > self.data_length:
            raise NetBufferError(f"{left} bytes at {offset} of {self.data_length}")
        skip = self.data_offset + offset
        only = self.mdl_chain
        if only is not None and only.next is None and skip + left <= len(only.buffer):
            if left:
                yield only.address + skip, only.buffer[skip : skip + left]
            return
        for mdl in walk_mdls(self.mdl_chain):
            if left and skip < len(mdl):
                part = mdl.buffer[skip : skip + left]
                yield mdl.address + skip, part
                left -= len(part)
            skip = max(skip - len(mdl), 0)
        if left:
            raise NetBufferError(f"the MDL chain ends {left} bytes before the data")

    def data(self, offset: int = 0, length: int | None = None) -> bytes:
        """A copy of the data, or of a part."""
        return b"".join([part for _, part in self.views(offset, length)])

    def write(self, offset: int, data: bytes) -> None:
        """Overwrite part of the data in place."""
        for _, part in self.views(offset, len(data)):
            part[:] = data[: len(part)]
            data = data[len(part) :]

    def scatter_gather(self, page: int = PAGE_BYTES) -> list[tuple[int, int]]:
        """(guest address, length) of the data, split where a page ends: what a device is given to fetch."""
        elements = []
        for address, part in self.views():
            at, end = address, address + len(part)
            while at < end:
                stop = min(end, (at // page + 1) * page)
                elements.append((at, stop - at))
                at = stop
        return elements


def net_buffer(data: bytes, address: int = 0, backfill: int = 0) -> NetBuffer:
    """A NET_BUFFER over one fresh MDL that holds `data` behind `backfill` bytes of unused data space."""
    return NetBuffer(Mdl(bytearray(backfill) + bytearray(data), address), backfill)


class Custodian(Protocol):
    """Who watches over an NBL on its way through NDIS and wants to know of every touch."""

    def on_touch(self, nbl: NetBufferList) -> None:
        """Called before each access; raises when the code that runs now does not own the NBL."""


class NetBufferList:
    """One or more packets that travel together, with out-of-band information and a completion status."""

    __slots__ = (
        "_first_net_buffer",
        "_info",
        "_next",
        "_status",
        "cancel_id",
        "context",
        "custodian",
        "flags",
        "holder",
        "miniport_reserved",
        "protocol_reserved",
        "source_handle",
    )

    def __init__(self, first: NetBuffer | None = None, source_handle: object = None) -> None:
        self._next: NetBufferList | None = None
        self._first_net_buffer = first
        self._status: NDIS_STATUS = NDIS_STATUS.SUCCESS
        self._info: list[int] = [0] * _SLOTS
        self.source_handle = source_handle
        self.flags = 0
        self.cancel_id: object = None
        self.context: object = None
        self.miniport_reserved: object = None
        self.protocol_reserved: object = None
        self.custodian: Custodian | None = None
        self.holder: object = None

    @property
    def next(self) -> NetBufferList | None:
        """The next NBL of the chain."""
        if self.custodian is not None:
            self.custodian.on_touch(self)
        return self._next

    @next.setter
    def next(self, value: NetBufferList | None) -> None:
        if self.custodian is not None:
            self.custodian.on_touch(self)
        self._next = value

    @property
    def status(self) -> NDIS_STATUS:
        """Completion status."""
        return self._status

    @status.setter
    def status(self, value: NDIS_STATUS) -> None:
        if self.custodian is not None:
            self.custodian.on_touch(self)
        self._status = value

    @property
    def first_net_buffer(self) -> NetBuffer | None:
        """Head of the chain of NET_BUFFERs."""
        if self.custodian is not None:
            self.custodian.on_touch(self)
        return self._first_net_buffer

    @first_net_buffer.setter
    def first_net_buffer(self, value: NetBuffer | None) -> None:
        if self.custodian is not None:
            self.custodian.on_touch(self)
        self._first_net_buffer = value

    def info(self, slot: Slot) -> int:
        """NET_BUFFER_LIST_INFO: the value of an out-of-band slot."""
        if self.custodian is not None:
            self.custodian.on_touch(self)
        return self._info[slot]

    def set_info(self, slot: Slot, value: int) -> None:
        """Store a value in an out-of-band slot."""
        if self.custodian is not None:
            self.custodian.on_touch(self)
        self._info[slot] = value

    def clear_info(self) -> None:
        """Zero every slot: what a driver does before it reuses an NBL."""
        if self.custodian is not None:
            self.custodian.on_touch(self)
        self._info = [0] * _SLOTS

    def net_buffers(self) -> Iterator[NetBuffer]:
        """Every NET_BUFFER; raises NetBufferError on a cycle."""
        seen: set[int] = set()
        each = self.first_net_buffer
        while each is not None:
            if id(each) in seen:
                raise NetBufferError("the NET_BUFFER chain is cyclic")
            seen.add(id(each))
            yield each
            each = each.next

    def set_hash(self, hash_type: int, function: int, value: int) -> None:
        """NET_BUFFER_LIST_SET_HASH_TYPE, _FUNCTION and _VALUE at once; (0, 0, 0) is "no hash"."""
        self.set_info(Slot.HASH_VALUE, value)
        self.set_info(Slot.HASH_INFO, hash_type | function)

    @property
    def hash(self) -> tuple[int, int, int] | None:
        """(type, function, value), or None: type 0 says "not hashed", whatever the value holds [INV-53]."""
        information = self.info(Slot.HASH_INFO)
        if not information & 0x00FFFF00:
            return None
        return information & 0x00FFFF00, information & 0xFF, self.info(Slot.HASH_VALUE)


def net_buffer_list(data: bytes, source_handle: object = None, address: int = 0) -> NetBufferList:
    """An NBL with one NET_BUFFER over one MDL that holds `data`."""
    return NetBufferList(net_buffer(data, address), source_handle)


def link(lists: Iterable[NetBufferList]) -> NetBufferList | None:
    """Chain NBLs in order; returns the head, None for none."""
    head = tail = None
    for nbl in lists:
        nbl.next = None
        if tail is None:
            head = nbl
        else:
            tail.next = nbl
        tail = nbl
    return head


def walk(head: NetBufferList | None) -> Iterator[NetBufferList]:
    """Every NBL of a chain, next read before the NBL is given out; raises NetBufferError on a cycle."""
    seen: set[int] = set()
    while head is not None:
        if id(head) in seen:
            raise NetBufferError("the NET_BUFFER_LIST chain is cyclic")
        seen.add(id(head))
        following = head.next
        yield head
        head = following
