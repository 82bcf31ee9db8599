"""NET_BUFFER_LISTs on their way up: allocated for the driver, indicated out of C structures, and returned."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from vnic.ndis.net_buffer_list import Mdl, NetBuffer, NetBufferError, NetBufferList, walk
from vnic.ndis.oob import Slot
from vnic.testbench.c_driver.crossing import Crossing
from vnic.testbench.c_driver.declarations import C, address_of, declared
from vnic.testbench.c_driver.guest import Guest
from vnic.testbench.c_driver.heap import Heap

__all__ = ["Receives"]

_SLOTS = len(Slot)


class Indicated:
    """One NBL of the driver's; `seen` is what its structures held when it was indicated, None at home."""

    __slots__ = ("buffer", "list", "nbl", "seen")

    def __init__(self, c_list: C, c_buffer: C, nbl: NetBufferList) -> None:
        self.list = c_list
        self.buffer = c_buffer
        self.nbl = nbl
        self.seen: list[tuple[C, bytes]] | None = None


class Receives:
    """MDLs and NBLs that the driver allocated. `source` is what indicated NBLs name as theirs."""

    def __init__(self, crossing: Crossing, guest: Guest, source: object) -> None:
        self._crossing = crossing
        self._guest = guest
        self._source = source
        self._list_heap = Heap(crossing, "struct vnic_net_buffer_list", "NET_BUFFER_LIST")
        self._buffer_heap = Heap(crossing, "struct vnic_net_buffer", "NET_BUFFER")
        self._mdl_heap = Heap(crossing, "struct vnic_mdl", "MDL")
        self._mdls: dict[int, C] = {}
        self._lists: dict[int, Indicated] = {}

    # -- allocation --------------------------------------------------------------------------------------

    def alloc_mdl(self, memory: C, size: int) -> C:
        """An MDL over memory of the driver's."""
        self._guest.own_address(memory, size, "alloc_mdl")
        mdl = self._mdl_heap.take()
        mdl.data, mdl.len = memory, size
        self._mdls[address_of(mdl)] = mdl
        return mdl

    def free_mdl(self, pointer: C) -> None:
        """Give an MDL back."""
        mdl = self._mdls.pop(address_of(pointer), None)
        if mdl is None:
            raise self._crossing.breach("DRV-13", f"free_mdl of {address_of(pointer):#x}: not allocated")
        self._mdl_heap.give(mdl)

    def alloc_list(self, chain: C, offset: int, length: int) -> C:
        """An NBL with one NET_BUFFER."""
        c_list, c_buffer = self._list_heap.take(), self._buffer_heap.take()
        c_list.first_net_buffer = c_buffer
        c_buffer.mdl_chain, c_buffer.data_offset, c_buffer.data_length = chain, offset, length
        nbl = NetBufferList(NetBuffer(None), self._source)
        made = self._lists[address_of(c_list)] = Indicated(c_list, c_buffer, nbl)
        nbl.miniport_reserved = made
        return c_list

    def free_list(self, pointer: C) -> None:
        """Give an NBL back, which NDIS must not have."""
        found = self._lists.get(address_of(pointer))
        if found is None:
            text = f"free_net_buffer_list of {address_of(pointer):#x}: not allocated (or freed before)"
            raise self._crossing.breach("DRV-13", text)
        if found.seen is not None:
            raise self._crossing.breach("NBL-1", "free_net_buffer_list of a list that NDIS has")
        del self._lists[address_of(pointer)]
        self._list_heap.give(found.list)
        self._buffer_heap.give(found.buffer)

    # -- up ----------------------------------------------------------------------------------------------

    def give(self, head: C) -> list[NetBufferList]:
        """A chain that the driver indicates, as NDIS will know it."""
        found = list(self._walk(head))
        for each in found:
            self._fill(each)
        return [each.nbl for each in found]

    def _walk(self, head: C) -> Iterator[Indicated]:
        passed: set[int] = set()
        while head:
            address = address_of(head)
            if address in passed:
                raise self._crossing.breach("NBL-2", "the chain of indicated NET_BUFFER_LISTs is cyclic")
            passed.add(address)
            found = self._lists.get(address)
            if found is None:
                text = f"{address:#x} is no NET_BUFFER_LIST that the driver allocated"
                raise self._crossing.breach("RECV-3", text)
            if found.seen is not None:
                raise self._crossing.breach(
                    "RECV-3", f"the list at {address:#x} was indicated and is not back"
                )
            head = head.next
            yield found

    def _fill(self, each: Indicated) -> None:
        c_list, c_buffer, nbl = each.list, each.buffer, each.nbl
        if c_list.first_net_buffer != c_buffer or c_buffer.next:
            raise self._crossing.breach("RECV-5", "an indicated list has other NET_BUFFERs than its own one")
        each.seen = [self._snapshot(c_list), self._snapshot(c_buffer)]
        try:
            chain = self._mdl_chain(each, c_buffer.mdl_chain)
            buffer = NetBuffer(chain, c_buffer.data_offset, c_buffer.data_length)
        except NetBufferError as error:
            raise self._crossing.breach("NBL-2", str(error)) from None
        nbl.first_net_buffer = buffer
        nbl.flags = c_list.flags
        nbl.source_handle = self._source
        nbl.clear_info()
        for slot, value in enumerate(declared().unpack(c_list.info, _SLOTS)):
            if value:
                nbl.set_info(Slot(slot), value)

    def _mdl_chain(self, each: Indicated, head: C) -> Mdl | None:
        mdls: list[Mdl] = []
        passed: set[int] = set()
        while head:
            address = address_of(head)
            if address not in self._mdls or address in passed:
                raise self._crossing.breach("NBL-2", f"{address:#x} is no MDL of the driver's, or a cycle")
            passed.add(address)
            assert each.seen is not None
            each.seen.append(self._snapshot(head))
            where = self._guest.own_address(head.data, head.len, "an indicated MDL")
            mdls.append(Mdl(self._guest.view(where, head.len), where))
            head = head.next
        for mdl, following in pairwise(mdls):
            mdl.next = following
        return mdls[0] if mdls else None

    @staticmethod
    def _snapshot(pointer: C) -> tuple[C, bytes]:
        return pointer, bytes(declared().buffer(pointer))

    # -- and back ----------------------------------------------------------------------------------------

    def take_back(self, chain: NetBufferList) -> C:
        """A chain that NDIS returns; its C head. What the driver wrote meanwhile was not its to write."""
        head = previous = declared().NULL
        for nbl in walk(chain):
            found = nbl.miniport_reserved
            assert isinstance(found, Indicated)
            self.end(found.nbl)
            found.list.next = declared().NULL
            if previous:
                previous.next = found.list
            else:
                head = found.list
            previous = found.list
        return head

    def end(self, nbl: NetBufferList) -> None:
        """NDIS has done with an NBL."""
        found = nbl.miniport_reserved
        assert isinstance(found, Indicated)
        seen, found.seen = found.seen or [], None
        for pointer, before in seen:
            if bytes(declared().buffer(pointer)) != before:
                text = f"the structures of {nbl_name(found)} were written while NDIS had them"
                raise self._crossing.breach("NBL-1", text)

    # -- the end -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Nothing may be left, and nothing that was freed may have been written; DRV-13, DRV-11."""
        for heap in (self._list_heap, self._buffer_heap, self._mdl_heap):
            heap.check()
        if self._lists or self._mdls:
            text = f"{len(self._lists)} NET_BUFFER_LISTs and {len(self._mdls)} MDLs were not freed"
            raise self._crossing.breach("DRV-13", text)


def nbl_name(each: Indicated) -> str:
    """How an NBL is named to whoever reads of it."""
    return f"the NET_BUFFER_LIST at {address_of(each.list):#x}"
