"""Received NBLs that a copy engine reads: each stays with the host until the last copy from it is done."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

from vnic.ndis.net_buffer_list import NetBufferList, link
from vnic.ndis.protocol import BindingHandle

_START = attrgetter("start")


class Hold:
    """The bytes of one NBL, where the processor finds them, and how many copies from it are under way."""

    __slots__ = ("copies", "end", "handle", "is_at_hand", "nbl", "start")

    def __init__(self, nbl: NetBufferList, handle: BindingHandle, start: int, length: int) -> None:
        self.nbl = nbl
        self.handle = handle
        self.start = start
        self.end = start + length
        self.copies = 0
        #: The indication that brought it has not been dealt with.
        self.is_at_hand = True


class Holds:
    """All NBLs of all bindings from which copies are under way, and those of the indication at hand."""

    def __init__(self) -> None:
        self.peak = 0
        self._at_hand: list[Hold] = []
        self._held: dict[int, Hold] = {}

    def __len__(self) -> int:
        return len(self._held)

    def count(self, handle: BindingHandle) -> int:
        """How many NBLs of a binding are kept."""
        return sum(hold.handle is handle for hold in self._held.values())

    # -- an indication ---------------------------------------------------------------------------------------

    def begin(self, holds: Sequence[Hold]) -> None:
        """NBLs were indicated; copies from them may begin."""
        self._at_hand = sorted(holds, key=_START)

    def find(self, source: int, length: int) -> Hold | None:
        """The NBL at hand in which bytes lie."""
        place = bisect_right(self._at_hand, source, key=_START) - 1
        hold = self._at_hand[place] if place >= 0 else None
        return hold if hold is not None and source + length <= hold.end else None

    def end(self) -> None:
        """The stack has seen the indication: what is not kept now may go back."""
        for hold in self._at_hand:
            hold.is_at_hand = False
            if hold.copies:
                self._held[id(hold.nbl)] = hold
        self._at_hand = []
        self.peak = max(self.peak, len(self._held))

    def has(self, nbl: NetBufferList) -> bool:
        """Whether an NBL is kept."""
        return id(nbl) in self._held

    # -- copies ----------------------------------------------------------------------------------------------

    def release(self, holds: Sequence[Hold]) -> None:
        """A copy from each is done: NBLs that nobody reads any more go back to where they came from."""
        back: dict[int, tuple[BindingHandle, list[NetBufferList]]] = {}
        for hold in holds:
            hold.copies -= 1
            if not hold.copies and not hold.is_at_hand:
                del self._held[id(hold.nbl)]
                back.setdefault(id(hold.handle), (hold.handle, []))[1].append(hold.nbl)
        for handle, nbls in back.values():
            head = link(nbls)
            assert head is not None
            handle.return_net_buffer_lists(head)
