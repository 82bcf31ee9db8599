"""NET_BUFFER_LISTs on their way down: mirrored as C structures for the driver, and taken back from it."""

from __future__ import annotations

from collections.abc import Iterator

from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferList, walk, walk_mdls
from vnic.ndis.oob import Slot
from vnic.testbench.c_driver.crossing import Crossing
from vnic.testbench.c_driver.declarations import C, address_of, declared, pointer_to
from vnic.testbench.c_driver.heap import Heap

__all__ = ["CancelIds", "Sends"]

_SLOTS = len(Slot)
_REMEMBERED = 256


class CancelIds:
    """Cancel ids as numbers: what a protocol uses is its own affair. None is 0."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {None: 0}

    def number(self, cancel_id: object) -> int:
        """The number of an id, the same each time."""
        return self._numbers.setdefault(cancel_id, len(self._numbers))


class Mirror:
    """One NBL in the driver's hands."""

    __slots__ = ("buffers", "info", "list", "mdls", "nbl")

    def __init__(self, nbl: NetBufferList, c_list: C) -> None:
        self.nbl = nbl
        self.list = c_list
        self.info = [nbl.info(slot) for slot in Slot]
        self.buffers: list[tuple[NetBuffer, C]] = []
        self.mdls: list[tuple[C, C, C, int]] = []  # MDL, its next, data, length


class Sends:
    """The sends that the driver has."""

    def __init__(self, crossing: Crossing, cancel_ids: CancelIds) -> None:
        self._crossing = crossing
        self._cancel_ids = cancel_ids
        self._lists = Heap(crossing, "struct vnic_net_buffer_list", "NET_BUFFER_LIST of a send")
        self._buffers = Heap(crossing, "struct vnic_net_buffer", "NET_BUFFER of a send")
        self._mdls = Heap(crossing, "struct vnic_mdl", "MDL of a send")
        self._live: dict[int, Mirror] = {}
        self._by_buffer: dict[int, NetBuffer] = {}
        self._done: dict[int, None] = {}

    # -- down --------------------------------------------------------------------------------------------

    def give(self, chain: NetBufferList) -> C:
        """Mirror a chain; its C head."""
        head = previous = declared().NULL
        for nbl in walk(chain):
            c_list = self._mirror(nbl).list
            if previous:
                previous.next = c_list
            else:
                head = c_list
            previous = c_list
        return head

    def _mirror(self, nbl: NetBufferList) -> Mirror:
        c_list = self._lists.take()
        mirror = Mirror(nbl, c_list)
        c_list.flags = nbl.flags
        c_list.cancel_id = self._cancel_ids.number(nbl.cancel_id)
        c_list.info = mirror.info
        previous = declared().NULL
        for buffer in nbl.net_buffers():
            c_buffer = self._mirror_buffer(mirror, buffer)
            if previous:
                previous.next = c_buffer
            else:
                c_list.first_net_buffer = c_buffer
            previous = c_buffer
        self._live[address_of(c_list)] = mirror
        self._done.pop(address_of(c_list), None)
        return mirror

    def _mirror_buffer(self, mirror: Mirror, buffer: NetBuffer) -> C:
        c_buffer = self._buffers.take()
        c_buffer.data_offset, c_buffer.data_length = buffer.data_offset, buffer.data_length
        chain = [(mdl, self._mdls.take()) for mdl in walk_mdls(buffer.mdl_chain)]
        following = declared().NULL
        for mdl, c_mdl in reversed(chain):
            following = self._fill(mirror, c_mdl, mdl, following)
        c_buffer.mdl_chain = following
        mirror.buffers.append((buffer, c_buffer))
        self._by_buffer[address_of(c_buffer)] = buffer
        return c_buffer

    @staticmethod
    def _fill(mirror: Mirror, c_mdl: C, mdl: Mdl, following: C) -> C:
        data = pointer_to(mdl.buffer)
        c_mdl.next, c_mdl.data, c_mdl.len = following, data, len(mdl)
        mirror.mdls.append((c_mdl, following, data, len(mdl)))
        return c_mdl

    # -- what the driver has -----------------------------------------------------------------------------

    def net_buffer(self, pointer: C) -> NetBuffer:
        """The NET_BUFFER of a send that the driver has; DRV-10."""
        found = self._by_buffer.get(address_of(pointer))
        if found is None:
            text = f"{address_of(pointer):#x} is no NET_BUFFER of a send that the driver has"
            raise self._crossing.breach("DRV-10", text)
        return found

    # -- and back ----------------------------------------------------------------------------------------

    def take_back(self, head: C) -> list[NetBufferList]:
        """A chain that the driver completes, as NDIS knows it, with what the driver stored in it."""
        mirrors = list(self._walk(head))
        for mirror in mirrors:
            self._take(mirror)
        return [mirror.nbl for mirror in mirrors]

    def _walk(self, head: C) -> Iterator[Mirror]:
        seen: set[int] = set()
        while head:
            address = address_of(head)
            if address in seen:
                raise self._crossing.breach("NBL-2", "the chain of completed sends is cyclic")
            seen.add(address)
            mirror = self._live.get(address)
            if mirror is None:
                raise self._unknown(address)
            head = head.next
            yield mirror

    def _unknown(self, address: int) -> Exception:
        if address in self._done:
            return self._crossing.breach("SEND-2", f"the send at {address:#x} was completed before")
        text = f"{address:#x} is no NET_BUFFER_LIST that the driver was given to send"
        return self._crossing.breach("SEND-1", text)

    def _take(self, mirror: Mirror) -> None:
        self._check(mirror)
        nbl, c_list = mirror.nbl, mirror.list
        nbl.status = self._crossing.status(c_list.status, "the status of a completed send")
        now = declared().unpack(c_list.info, _SLOTS)
        for slot, (before, after) in enumerate(zip(mirror.info, now, strict=True)):
            if before != after:
                nbl.set_info(Slot(slot), after)
        self._forget(mirror)

    def _check(self, mirror: Mirror) -> None:
        """NET_BUFFERs and MDLs are as they were; the bytes are NDIS's to check."""
        following = declared().NULL
        is_same = True
        for buffer, c_buffer in reversed(mirror.buffers):
            is_same &= c_buffer.next == following and c_buffer.data_offset == buffer.data_offset
            is_same &= c_buffer.data_length == buffer.data_length
            following = c_buffer
        is_same &= mirror.list.first_net_buffer == following
        for c_mdl, next_mdl, data, length in mirror.mdls:
            is_same &= c_mdl.next == next_mdl and c_mdl.data == data and c_mdl.len == length
        if not is_same:
            raise self._crossing.breach("SEND-5", "NET_BUFFERs or MDLs of a send were changed by the driver")

    def _forget(self, mirror: Mirror) -> None:
        del self._live[address_of(mirror.list)]
        self._done[address_of(mirror.list)] = None
        if len(self._done) > _REMEMBERED:
            del self._done[next(iter(self._done))]
        for _, c_buffer in mirror.buffers:
            del self._by_buffer[address_of(c_buffer)]
            self._buffers.give(c_buffer)
        for c_mdl, *_ in mirror.mdls:
            self._mdls.give(c_mdl)
        self._lists.give(mirror.list)

    def check(self) -> None:
        """Look at everything the driver gave back; raises DRV-11."""
        for heap in (self._lists, self._buffers, self._mdls):
            heap.check()
