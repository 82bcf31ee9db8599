"""How a copy between two scatter-gather lists becomes transfers: split at borders, joined by page breaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vnic.host.bus import PAGE, Segment


class Move(NamedTuple):
    """One descriptor's worth: bus addresses and bytes; a second page is 0 where there is no page break."""

    source: int
    destination: int
    size: int
    next_source: int = 0
    next_destination: int = 0


class _Cursor:
    """Where a list is read or written next."""

    def __init__(self, segments: Sequence[Segment], has_breaks: bool) -> None:
        self._segments = segments
        self._has_breaks = has_breaks
        self._index = 0
        self._offset = 0

    @property
    def is_done(self) -> bool:
        """Whether all of the list is used up."""
        return self._index == len(self._segments)

    @property
    def addr(self) -> int:
        """The bus address."""
        return self._segments[self._index].addr + self._offset

    @property
    def plain(self) -> int:
        """Bytes until the segment ends."""
        return self._segments[self._index].len - self._offset

    @property
    def next_page(self) -> Segment | None:
        """Where a page break would go on: the segment ends with a page, and the next one starts with one."""
        following = self._index + 1
        if not self._has_breaks or following == len(self._segments):
            return None
        after = self._segments[following]
        if PAGE - self.addr % PAGE != self.plain or after.addr % PAGE:
            return None
        return Segment(after.addr, min(after.len, PAGE))

    @property
    def reach(self) -> int:
        """Bytes that one transfer can move from here."""
        page = self.next_page
        return self.plain + (page.len if page is not None else 0)

    def second(self, size: int) -> int:
        """The address that a transfer of this size needs for its second page, 0 when it needs none."""
        page = self.next_page
        return page.addr if page is not None and size > self.plain else 0

    def advance(self, size: int) -> None:
        """Go on; over the end of at most one segment."""
        self._offset += size
        while not self.is_done and self._offset >= self._segments[self._index].len:
            self._offset -= self._segments[self._index].len
            self._index += 1


def plan(
    source: Sequence[Segment], destination: Sequence[Segment], size_max: int, *, has_breaks: bool
) -> Iterator[Move]:
    """The transfers, in order, of at most size_max bytes each; both lists have the same length in bytes."""
    if len(source) == len(destination) == 1 and source[0].len <= size_max:
        yield Move(source[0].addr, destination[0].addr, source[0].len)
        return
    read, write = _Cursor(source, has_breaks), _Cursor(destination, has_breaks)
    while not read.is_done:
        size = min(read.reach, write.reach, size_max)
        yield Move(read.addr, write.addr, size, read.second(size), write.second(size))
        read.advance(size)
        write.advance(size)
