"""The receives of an offloaded connection: posted, indicated, refused; one delivery at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vnic.ndis.chimney_extent import Extent
from vnic.ndis.net_buffer_list import NetBufferError, NetBufferList
from vnic.ndis.oob import TCP_OFFLOAD_BYTES_TRANSFERRED, TCP_RECEIVE_NO_PUSH, Slot
from vnic.ndis.status import NDIS_STATUS

if TYPE_CHECKING:
    from vnic.ndis.chimney_connection import Connection
    from vnic.ndis.verifier import Moment

_NOT_ACCEPTED = NDIS_STATUS.OFFLOAD_DATA_NOT_ACCEPTED
_PARTIALLY = NDIS_STATUS.OFFLOAD_DATA_PARTIALLY_ACCEPTED


@dataclass(slots=True)
class Post:
    """One posted receive, with `before` bytes in its buffer already; `moment` inside the target's call."""

    nbl: NetBufferList
    extent: Extent
    is_no_push: bool
    before: int
    is_after_disconnect: bool
    moment: Moment | None = None
    is_returned: bool = False


class ReceiveWatch:
    """The receive side of one connection; `expected`: the bytes that have to come next, as far as known."""

    def __init__(self, connection: Connection) -> None:
        self._of = connection
        self._busy = ""
        self._is_refused = False
        self._ended_short = ""
        self.posts: deque[Post] = deque()
        self.expected = b""
        self.has_buffered = False
        #: NBLs of BufferedData, lent while the initiate is pending.
        self.lent: list[NetBufferList] = []
        self.posted = self.buffered_in = self.buffered_out = self.delivered = 0

    def start(self, buffered: bytes) -> None:
        """BufferedData of the initiate."""
        self.expected, self.buffered_in = buffered, len(buffered)
        self.has_buffered = bool(buffered)

    # -- posted --------------------------------------------------------------------------------------------

    def post(self, nbls: list[NetBufferList]) -> list[Post]:
        """The protocol posts receives."""
        of = self._of
        found = [self._new_post(nbl) for nbl in nbls]
        for nbl in nbls:
            of.verifier.give(nbl, of.miniport)
        self.posts += found
        return found

    def reached_target(self, posts: list[Post]) -> None:
        """The target's entry point begins: from now on it may know of them, and may indicate again."""
        moment = self._of.verifier.moment()
        for post in posts:
            post.moment = moment
        self.posted += len(posts)
        self._is_refused = False

    def _new_post(self, nbl: NetBufferList) -> Post:
        of = self._of
        try:
            extent = Extent.of(nbl)
        except NetBufferError as error:
            raise of.verifier.breach("NBL-2", of.protocol, str(error), of.subject.calls) from None
        is_own = nbl.custodian is None or nbl.holder is of.protocol
        of.require(is_own, "PSEND-1", of.protocol, "posts a NET_BUFFER_LIST that is not its own")
        ended = of.close.disconnected
        is_after = ended is not None and of.verifier.must_know(ended)
        before = nbl.info(Slot.TCP_RECEIVE_BYTES_TRANSFERRED)
        return Post(nbl, extent, bool(nbl.info(TCP_RECEIVE_NO_PUSH)), before, is_after)

    def complete(self, nbls: list[NetBufferList]) -> None:
        """NdisTcpOffloadReceiveComplete, before the protocol is told."""
        for nbl in nbls:
            self._check_turn(nbl)
            post = self.posts.popleft()
            self._check_outcome(post, nbl.status, nbl.info(TCP_OFFLOAD_BYTES_TRANSFERRED))
            self._of.verifier.give(nbl, self._of.protocol)

    def _check_turn(self, nbl: NetBufferList) -> None:
        of = self._of
        if self.posts and self.posts[0].nbl is nbl:
            return
        is_posted = any(post.nbl is nbl for post in self.posts)
        text = "before an earlier one" if is_posted else "that is not posted (completed before?)"
        of.require(False, "INV-22", of.miniport, f"a receive was completed {text}")

    def _check_outcome(self, post: Post, status: NDIS_STATUS, count: int) -> None:
        of, length = self._of, post.extent.length
        of.check_status("a receive", status, NDIS_STATUS.INVALID_STATE)
        moved = post.extent.advanced(post.nbl)
        text = f"TcpOffloadBytesTransferred {count} of {length}, data start moved by {moved}"
        of.require(moved == count, "CHIM-23", of.miniport, text)
        if status == NDIS_STATUS.INVALID_STATE:
            of.require(count == 0, "INV-32", of.miniport, f"INVALID_STATE with {count} bytes")
        if post.is_after_disconnect:
            text = "a receive posted after Disconnect is SUCCESS"
            of.require(status != NDIS_STATUS.SUCCESS, "INV-32", of.miniport, text)
        self._deliver(post.extent, count)
        is_empty = not count and not post.before
        if status == NDIS_STATUS.SUCCESS and count < length and (post.is_no_push or is_empty):
            self._ended_short = f"a receive of {length} bytes was completed with {count}"

    def _deliver(self, extent: Extent, count: int) -> None:
        """Bytes reached the protocol: the expected ones, and not behind the end of the stream."""
        if not count:
            return
        of = self._of
        of.require(not self._ended_short, "INV-26", of.miniport, f"{self._ended_short}, and more data came")
        self._check_expected(extent, count)
        self._advance(count)

    def _advance(self, count: int) -> None:
        self.expected = self.expected[count:]
        self.delivered += count

    def _check_expected(self, extent: Extent, count: int) -> None:
        known = min(count, len(self.expected))
        if not known:
            return
        of = self._of
        is_first = self.has_buffered and self.delivered < self.buffered_in
        rule = "INV-21" if is_first else "INV-20"
        text = "BufferedData" if is_first else "what was refused"
        is_right = extent.data(0, known) == self.expected[:known]
        of.require(is_right, rule, of.miniport, f"other data came before the rest of {text}")

    # -- serialisation -------------------------------------------------------------------------------------

    @contextmanager
    def exclusive(self, function: str) -> Iterator[None]:
        """One of ReceiveComplete and ReceiveHandler is active."""
        of = self._of
        of.require(not self._busy, "INV-23", of.miniport, f"{function} while {self._busy} is active")
        self._busy = function
        try:
            yield
        finally:
            self._busy = ""

    # -- indicated -----------------------------------------------------------------------------------------

    def check_indication(self, extent: Extent) -> None:
        """Whether data may be indicated now, and is what has to come next."""
        of = self._of
        text = "indicates again though nothing was posted since the refusal"
        of.require(not self._is_refused, "INV-25", of.miniport, text)
        ended = of.close.disconnected
        text = "data after Disconnect was indicated"
        of.require(ended is None, "INV-28", of.miniport, text)
        of.require(not self._ended_short, "INV-26", of.miniport, f"{self._ended_short}, and more data came")
        self._check_expected(extent, extent.length)

    def check_no_post(self) -> None:
        """No data is indicated while a posted receive is available."""
        of = self._of
        of.require(
            not self.has_available_post(), "INV-24", of.miniport, "indicates while a receive is posted"
        )

    def has_available_post(self) -> bool:
        """Whether the target must know of a posted receive that it has not completed."""
        verifier = self._of.verifier
        entry = verifier.moment().entries[-1:]
        for post in self.posts:
            if post.moment is None:
                continue
            if post.moment.entries[-1:] == entry:
                return True
            if post.is_returned and verifier.must_know(post.moment):
                return True
        return False

    def answered(self, extent: Extent, status: NDIS_STATUS, consumed: int, posted_before: int) -> None:
        """The protocol's answer to an indication; raises CHIM-30 when it contradicts itself."""
        of, length = self._of, extent.length
        is_right = {
            NDIS_STATUS.SUCCESS: consumed == length,
            _NOT_ACCEPTED: consumed == 0,
            _PARTIALLY: 0 < consumed < length,
        }.get(status, False)
        text = f"an indication of {length} bytes is answered {status!s}, BytesConsumed {consumed}"
        of.require(is_right, "CHIM-30", of.protocol, text)
        self._advance(consumed)
        if consumed == length:
            return
        if len(self.expected) < length - consumed:
            self.expected = extent.data(consumed, length - consumed)
        self._is_refused = self.posted == posted_before

    # -- terminate -----------------------------------------------------------------------------------------

    def give_out(self, data: bytes) -> None:
        """BufferedData of a terminate."""
        of = self._of
        is_right = data[: len(self.expected)] == self.expected
        rule = "INV-21" if self.has_buffered and self.delivered < self.buffered_in else "INV-20"
        text = f"BufferedData ({len(data)} bytes) does not begin with the {len(self.expected)} left over"
        of.require(is_right, rule, of.miniport, text)
        self.buffered_out = len(data)
