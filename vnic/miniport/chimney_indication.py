"""Kept data on its way up: NBLs of the chimney's own, which come back by MiniportTcpOffloadReceiveReturn."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

from vnic.miniport.chimney_pool import Kept
from vnic.ndis.net_buffer_list import NetBuffer, NetBufferList
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.miniport.chimney_connection import Connection

#: The most that one indication carries when RcvIndicationSize says nothing, bytes.
_UNSPECIFIED = 1 << 16


class Indication:
    """One NBL with one NET_BUFFER over kept data, and whose it is; `connection` None: BufferedData."""

    __slots__ = ("connection", "is_returned", "length", "nbl", "pieces")

    def __init__(self, connection: Connection | None, pieces: list[Kept], source_handle: object) -> None:
        self.connection = connection
        self.pieces = pieces
        self.length = sum(piece.length for piece in pieces)
        self.is_returned = False
        mdls = [piece.mdl() for piece in pieces]
        for mdl, following in itertools.pairwise(mdls):
            mdl.next = following
        self.nbl = NetBufferList(NetBuffer(mdls[0]), source_handle)
        self.nbl.status = NDIS_STATUS.SUCCESS
        self.nbl.miniport_reserved = self

    def release(self) -> None:
        """The memory is the miniport's again."""
        self.is_returned = True
        for piece in self.pieces:
            piece.release()
        self.pieces = []


class KeptData:
    """A connection's bytes that no receive has taken and the host has not accepted, the oldest first."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: deque[Kept] = deque()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def append(self, piece: Kept) -> None:
        """Younger bytes came."""
        self._pieces.append(piece)

    def first(self) -> Kept:
        """The oldest piece."""
        return self._pieces[0]

    def drop_first(self) -> None:
        """The oldest piece is consumed."""
        self._pieces.popleft().release()

    def take(self, hint: int) -> list[Kept]:
        """Pieces for one indication of about `hint` bytes; 0: as many as there are."""
        most = hint or _UNSPECIFIED
        taken: list[Kept] = []
        while self._pieces and (not taken or most >= self._pieces[0].length):
            most -= self._pieces[0].length
            taken.append(self._pieces.popleft())
        return taken

    def put_back(self, pieces: list[Kept], consumed: int) -> None:
        """An indication was refused, or only its first `consumed` bytes were accepted."""
        left = []
        for piece in pieces:
            step = min(consumed, piece.length)
            consumed -= step
            piece.consume(step)
            if piece.length:
                left.append(piece)
            else:
                piece.release()
        self._pieces.extendleft(reversed(left))

    def take_all(self) -> list[Kept]:
        """Everything; nothing is kept afterwards."""
        pieces = list(self._pieces)
        self._pieces.clear()
        return pieces

    def release(self) -> None:
        """Throw everything away."""
        for piece in self.take_all():
            piece.release()
