"""Requests that the host has outstanding on a connection: their memory, how far they are, their end."""

from __future__ import annotations

from collections.abc import Iterable

from vnic.errors import AllocationError, CapacityError
from vnic.gen.descriptors import ChmSubmission
from vnic.gen.enums import ChmSubmissionOp
from vnic.host.bus import Bus, Coherent, Direction, Segment
from vnic.ndis.net_buffer_list import NetBufferList
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED, TCP_RECEIVE_NO_PUSH, Slot
from vnic.ndis.status import NDIS_STATUS


class OutOfMemory(Exception):
    """No mapping can be made for a request."""


def map_data(bus: Bus, nbl: NetBufferList, start: int, direction: Direction) -> list[Segment]:
    """Bus addresses of an NBL's data from byte `start` on; raises OutOfMemory."""
    segments: list[Segment] = []
    try:
        for packet in nbl.net_buffers():
            if start < packet.data_length:
                for address, part in packet.views(start):
                    segments += bus.map(address, len(part), direction)
            start = max(start - packet.data_length, 0)
    except (AllocationError, CapacityError):
        bus.unmap(segments, direction)
        raise OutOfMemory from None
    return segments


def advance(nbl: NetBufferList, count: int) -> None:
    """NdisAdvanceNetBufferDataStart over the NBL's NET_BUFFERs in order."""
    for packet in nbl.net_buffers():
        step = min(count, packet.data_length)
        packet.advance_data_start(step)
        count -= step


def data_length(nbl: NetBufferList) -> int:
    """Bytes in all of an NBL's NET_BUFFERs."""
    return sum(packet.data_length for packet in nbl.net_buffers())


class Request:
    """An NBL that the host waits for; `length` is what it held when it came."""

    __slots__ = ("bus", "direction", "length", "nbl", "segments")

    def __init__(self, bus: Bus, nbl: NetBufferList, direction: Direction) -> None:
        self.bus = bus
        self.nbl = nbl
        self.direction = direction
        self.length = data_length(nbl)
        self.segments: list[Segment] = []

    def map(self, start: int = 0) -> int:
        """Let the card reach the data from `start` on; returns the number of pieces. Raises OutOfMemory."""
        self.segments = map_data(self.bus, self.nbl, start, self.direction)
        return len(self.segments)

    def unmap(self) -> None:
        """Take the data back from the card."""
        if self.segments:
            self.bus.unmap(self.segments, self.direction)
            self.segments = []

    def end(self, status: NDIS_STATUS, count: int) -> NetBufferList:
        """The NBL as it is completed: `count` bytes are done with."""
        self.unmap()
        nbl = self.nbl
        nbl.next = None
        nbl.status = status
        nbl.set_info(TCP_OFFLOAD_BYTES_TRANSFERRED, count)
        advance(nbl, count)
        return nbl


class SendRequest(Request):
    """A send. The card is given it in parts of not more pieces than the card has room for at all."""

    __slots__ = ("acked", "parts", "parts_posted")

    def __init__(self, bus: Bus, nbl: NetBufferList) -> None:
        super().__init__(bus, nbl, Direction.TO_DEVICE)
        self.acked = 0
        self.parts: list[list[Segment]] = []
        self.parts_posted = 0

    def prepare(self, most: int) -> None:
        """Map it and cut it into parts of at most `most` pieces. Raises OutOfMemory."""
        if self.length and not self.parts:
            self.map()
            self.parts = [self.segments[at : at + most] for at in range(0, len(self.segments), most)]

    @property
    def is_posted(self) -> bool:
        """Whether the card has all of it; what holds no byte is never given to it."""
        return self.parts_posted == len(self.parts) and bool(self.parts or not self.length)

    @property
    def is_begun(self) -> bool:
        """Whether the card has some of it."""
        return self.parts_posted > 0

    def post(self, handle: int) -> list[ChmSubmission]:
        """The submissions of the next part; the last byte of the NBL has PSH."""
        part = self.parts[self.parts_posted]
        self.parts_posted += 1
        is_last = self.parts_posted == len(self.parts)
        return submissions(ChmSubmissionOp.SEND, handle, part, push=is_last)

    def finish_part(self) -> int:
        """The oldest part is acknowledged; returns its pieces."""
        part = self.parts.pop(0)
        self.parts_posted -= 1
        self.acked += sum(segment.len for segment in part)
        return len(part)

    def drop_part(self) -> int:
        """The oldest part came back without being sent; returns its pieces."""
        part = self.parts.pop(0)
        self.parts_posted -= 1
        return len(part)

    @property
    def next_pieces(self) -> int:
        """Pieces of the part that is posted next."""
        return len(self.parts[self.parts_posted])

    @property
    def unacked(self) -> int:
        """Bytes that are not acknowledged."""
        return self.length - self.acked

    @property
    def is_done(self) -> bool:
        """Whether every byte is acknowledged."""
        return self.acked == self.length

    @property
    def unposted_bytes(self) -> int:
        """Bytes that the card has not been given."""
        if not self.parts:
            return self.length - self.acked
        return sum(segment.len for part in self.parts[self.parts_posted :] for segment in part)

    @property
    def pieces_posted(self) -> int:
        """Pieces that the card holds."""
        return sum(len(part) for part in self.parts[: self.parts_posted])


class DisconnectRequest(Request):
    """A disconnect, with the data that goes out before the FIN."""

    __slots__ = ("flat", "is_abortive", "is_posted", "pieces")

    def __init__(self, bus: Bus, nbl: NetBufferList, is_abortive: bool) -> None:
        super().__init__(bus, nbl, Direction.TO_DEVICE)
        self.is_abortive = is_abortive
        self.is_posted = False
        self.pieces = 0
        self.flat: Coherent | None = None

    def prepare(self, most: int) -> int:
        """Map it; what has too many pieces is made one. Returns the pieces. Raises OutOfMemory."""
        if not self.pieces:
            segments = [] if self.is_abortive else map_data(self.bus, self.nbl, 0, self.direction)
            self.segments = segments
            self.pieces = max(len(segments), 1)
            if self.pieces > most:
                self._flatten()
        return self.pieces

    def _flatten(self) -> None:
        self.unmap()
        try:
            self.flat = self.bus.alloc_coherent(self.length)
        except AllocationError:
            self.pieces = 0
            raise OutOfMemory from None
        self.flat.view[:] = b"".join(packet.data() for packet in self.nbl.net_buffers())
        self.pieces = 1

    def post(self, handle: int) -> list[ChmSubmission]:
        """Its submissions."""
        self.is_posted = True
        parts = self.segments if self.flat is None else [Segment(self.flat.addr, self.length)]
        return submissions(ChmSubmissionOp.DISCONNECT, handle, parts, abortive=self.is_abortive)

    def unmap(self) -> None:
        """Take the data back from the card."""
        super().unmap()
        if self.flat is not None:
            self.bus.free_coherent(self.flat)
            self.flat = None


class ReceiveRequest(Request):
    """A receive; `filled` bytes are in it, from kept data or by the card, `posted` are the card's to fill."""

    __slots__ = ("before", "filled", "is_no_push", "pieces", "posted")

    def __init__(self, bus: Bus, nbl: NetBufferList) -> None:
        super().__init__(bus, nbl, Direction.FROM_DEVICE)
        self.before = nbl.info(Slot.TCP_RECEIVE_BYTES_TRANSFERRED)
        self.is_no_push = bool(nbl.info(TCP_RECEIVE_NO_PUSH))
        self.filled = 0
        self.posted = 0
        self.pieces = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more goes in; a request of no bytes always is."""
        return self.filled == self.length

    @property
    def is_posted(self) -> bool:
        """Whether the card has it."""
        return self.posted > 0

    @property
    def is_posted_whole(self) -> bool:
        """Whether the card has all that is left of it, so that a later one may follow."""
        return self.is_full or self.filled + self.posted == self.length

    def put(self, data: memoryview) -> int:
        """Copy kept bytes in; returns how many fitted."""
        count = min(len(data), self.length - self.filled)
        at, left = self.filled, data[:count]
        for packet in self.nbl.net_buffers():
            if at < packet.data_length and left:
                step = min(len(left), packet.data_length - at)
                packet.write(at, bytes(left[:step]))
                left = left[step:]
            at = max(at - packet.data_length, 0)
        self.filled += count
        return count

    def prepare(self, most: int) -> int:
        """Map what is left; the card gets at most `most` pieces. Returns them. Raises OutOfMemory."""
        self.map(self.filled)
        if len(self.segments) > most:
            self.bus.unmap(self.segments[most:], self.direction)
            del self.segments[most:]
        return len(self.segments)

    def post(self, handle: int, data_count: int) -> list[ChmSubmission]:
        """Its submissions."""
        self.pieces = len(self.segments)
        self.posted = sum(segment.len for segment in self.segments)
        return submissions(
            ChmSubmissionOp.RECEIVE,
            handle,
            self.segments,
            no_push=self.is_no_push,
            data_count=data_count,
            before=self.before + self.filled,
        )

    def take_back(self, placed: int) -> int:
        """The card is through with what it had and placed so many bytes; returns the pieces it held."""
        self.unmap()
        pieces, self.pieces = self.pieces, 0
        self.filled += min(placed, self.posted)
        self.posted = 0
        return pieces


class ForwardRequest:
    """A TCP segment that the host forwards, in one piece of memory."""

    __slots__ = ("_bus", "flat", "length", "nbl")

    def __init__(self, bus: Bus, nbl: NetBufferList) -> None:
        """Copies the segment; raises OutOfMemory."""
        self._bus = bus
        self.nbl = nbl
        data = b"".join(packet.data() for packet in nbl.net_buffers())
        try:
            self.flat: Coherent | None = bus.alloc_coherent(max(len(data), 1))
        except AllocationError:
            raise OutOfMemory from None
        self.flat.view[: len(data)] = data
        self.length = len(data)

    def post(self, handle: int) -> list[ChmSubmission]:
        """Its submission."""
        assert self.flat is not None
        return submissions(ChmSubmissionOp.FORWARD, handle, [Segment(self.flat.addr, self.length)])

    def end(self, status: NDIS_STATUS) -> NetBufferList:
        """The NBL as it is completed."""
        if self.flat is not None:
            self._bus.free_coherent(self.flat)
            self.flat = None
        self.nbl.next = None
        self.nbl.status = status
        return self.nbl


def submissions(
    op: ChmSubmissionOp,
    handle: int,
    parts: Iterable[Segment],
    *,
    push: bool = False,
    no_push: bool = False,
    abortive: bool = False,
    data_count: int = 0,
    before: int = 0,
) -> list[ChmSubmission]:
    """A request: one submission a piece, all but the last with MORE."""
    pieces = list(parts) or [Segment(0, 0)]
    entries = [
        ChmSubmission(
            addr=piece.addr,
            handle=handle,
            len=piece.len,
            op=op,
            more=1,
            no_push=int(no_push),
            abortive=int(abortive),
            data_count=data_count,
            before=before,
        )
        for piece in pieces
    ]
    entries[-1].more = 0
    entries[-1].push = int(push)
    return entries
